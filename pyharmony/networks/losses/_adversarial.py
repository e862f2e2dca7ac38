"""Adversarial losses of a generator and a discriminator.

Scores are logits of any shape: one per image, or a map of them; every loss is the mean over all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ArgumentError, ShapeError
from ._checks import check_positive


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Returns mean relu(1 - D(real)) + mean relu(1 + D(fake)): Lim and Ye, 2017."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Returns -mean D(fake)."""
    return -fake.mean()


def vanilla_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Returns mean softplus(-D(real)) + mean softplus(D(fake)), D giving logits: Goodfellow et al., NeurIPS 2014.

    This is the sum of the binary cross-entropies to 1 and to 0; pix2pix uses half of it.
    """
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def vanilla_generator(fake: Tensor) -> Tensor:
    """Returns mean softplus(-D(fake)), the non-saturating form."""
    return functional.softplus(-fake).mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Returns mean (D(real) - 1)² + mean D(fake)²: Mao et al., ICCV 2017; pix2pix uses half of it."""
    return (real - 1).square().mean() + fake.square().mean()


def least_squares_generator(fake: Tensor) -> Tensor:
    """Returns mean (D(fake) - 1)²."""
    return (fake - 1).square().mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor, *, low_is_real: bool = False) -> Tensor:
    """Returns mean D(fake) - mean D(real): Arjovsky et al., ICML 2017.

    low_is_real: whether to change the sign: the critic of GP-GAN gives low scores to real images.
    """
    difference = fake.mean() - real.mean()
    return -difference if low_is_real else difference


def wasserstein_generator(fake: Tensor, *, low_is_real: bool = False) -> Tensor:
    """Returns -mean D(fake), or mean D(fake) with low_is_real."""
    return fake.mean() if low_is_real else -fake.mean()


class Adversary(NamedTuple):
    """A pair of adversarial losses: discriminator(real, fake) and generator(fake), tensors []."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


_GAMES = {
    "hinge": Adversary(hinge_discriminator, hinge_generator),
    "vanilla": Adversary(vanilla_discriminator, vanilla_generator),
    "least_squares": Adversary(least_squares_discriminator, least_squares_generator),
    "wasserstein": Adversary(wasserstein_discriminator, wasserstein_generator),
}


def adversary(kind: str) -> Adversary:
    """Returns the two losses by name: 'hinge', 'vanilla', 'least_squares' or 'wasserstein'."""
    if kind not in _GAMES:
        raise ArgumentError(f"kind: {kind!r}, expected one of {', '.join(map(repr, _GAMES))}")
    return _GAMES[kind]


@torch.no_grad()
def clip_parameters(critic: nn.Module, limit: float = 0.01) -> None:
    """Clips every parameter to [-limit, limit], also those of normalisation layers, but not running statistics.

    GP-GAN does so before the critic's update, its PyTorch port after it.
    """
    check_positive(limit, "limit")
    parameters: list[Tensor] = list(critic.parameters())
    torch._foreach_clamp_min_(parameters, -limit)
    torch._foreach_clamp_max_(parameters, limit)


def gradient_penalty(
    score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, weight: float = 10.0, alpha: Tensor | None = None
) -> Tensor:
    """Returns weight * mean_n (|d score(x) / dx_n| - 1)², x = alpha real + (1 - alpha) fake.

    Gulrajani et al., NeurIPS 2017. The norm is over a whole sample, in float32, with 1e-16 added to the gradient first,
    as in DoveNet. The result can be differentiated by the discriminator's weights; real and fake get no gradient.

    Args:
        score: maps images to scores of any shape, each score of its own sample only; their sum is differentiated.
        real, fake: [N, ...], of one shape.
        weight: the weight of the penalty.
        alpha: [N], the shares of real; None: uniform in [0, 1], from torch's generator.
    """
    if real.shape != fake.shape:
        raise ShapeError(f"fake: shape {list(fake.shape)}, expected that of real, {list(real.shape)}")
    count = real.shape[0]
    if alpha is None:
        alpha = torch.rand(count, device=real.device, dtype=real.dtype)
    elif tuple(alpha.shape) != (count,):
        raise ShapeError(f"alpha: shape {list(alpha.shape)}, expected [{count}]")
    share = alpha.reshape(count, *[1] * (real.ndim - 1))
    x = (share * real.detach() + (1 - share) * fake.detach()).requires_grad_()
    with torch.enable_grad():
        scores = score(x)
        (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    wide = slope if slope.dtype == torch.float64 else slope.float()
    norms = torch.linalg.vector_norm(wide.flatten(1) + 1e-16, dim=1)
    return weight * (norms - 1).square().mean()
