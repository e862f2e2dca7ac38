"""Op adam: an update of all tensors of a network, with and without clipping, compared with torch's fused Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import exact
import pytest
from measure import Ledger, interleave

import pyharmony

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony.learn.training.steps import _adam  # noqa: E402
from pyharmony.networks import models  # noqa: E402

GROUP = "an update of all tensors of a network by Adam"
NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "GP-GAN's critic": ("gp_gan", "discriminator", {}),
    "GP-GAN's generator": ("gp_gan", "generator", {}),
    "DoveNet's generator, width 16": ("dovenet", "generator", {"width": 16}),
    "DoveNet's discriminator, width 16": ("dovenet", "discriminator", {"discriminator_width": 16}),
    "pix2pix' generator, width 16": ("pix2pix", "generator", {"width": 16}),
    "pix2pix' discriminator": ("pix2pix", "discriminator", {}),
}


def update_of(
    kind: type[Any], values: list[Any], gradients: list[Any], clip: float | None
) -> tuple[Callable[[], Any], list[Any]]:
    """Returns an update of copies of values by an optimizer, and the copies."""
    parameters = [torch.nn.Parameter(x.clone()) for x in values]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g
    optimizer = kind(parameters, 2e-4, (0.5, 0.999), fused=True)
    if isinstance(optimizer, _adam.Adam):
        return lambda: optimizer.step(clip=clip), parameters

    @torch.no_grad()
    def update() -> None:
        optimizer.step()
        if clip is not None:
            torch._foreach_clamp_min_(parameters, -clip)
            torch._foreach_clamp_max_(parameters, clip)

    return update, parameters


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("clip", [None, 0.01], ids=["plain", "clipped"])
@pytest.mark.parametrize("name", NETWORKS)
def bench_adam(benchmark: Any, ledger: Ledger, name: str, clip: float | None) -> None:
    model, part, options = NETWORKS[name]
    network = getattr(models.create(model, **options), part).to(memory_format=torch.channels_last)
    values = [p.detach() for p in network.parameters()]
    gradients = [torch.randn_like(x) * 1e-3 for x in values]
    mine, results = update_of(_adam.Adam, values, gradients, clip)
    theirs, others = update_of(torch.optim.Adam, values, gradients, clip)
    timings = interleave(benchmark, mine, {"torch, fused": theirs}, rounds=15)
    problem = f"{name}, {sum(x.numel() for x in values) / 1e6:.1f} M values" + (", clipped" if clip else "")
    ledger.add(GROUP, problem, "training.steps", timings["ours"], version=pyharmony.__version__)
    apart = max(exact.distance(a.detach().numpy(), b.detach().numpy()) for a, b in zip(results, others, strict=True))
    ledger.add(
        GROUP, problem, "torch, fused", timings["torch, fused"], against=timings["ours"], version=torch.__version__,
        note=f"differs from ours by up to {apart:.1g}",
    )  # fmt: skip
