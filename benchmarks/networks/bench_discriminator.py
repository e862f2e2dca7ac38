"""DoveNet's discriminator at 256²: both encoders and both heads, with partial convolutions and spectral norms.

It is beside the same of partial convolutions composed of torch's calls and torch.nn.utils.spectral_norm, as it is
published: each call of an encoder iterates its norms again, where ours does so once a step. --full measures all masks,
batches and dtypes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from measure import Ledger, interleave, ratio

import pyharmony
from pyharmony import ops

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.nn.functional as F  # noqa: E402
from bench_partial_conv import CHANNELS, SLOPE, STRIDES, Composed, disc  # noqa: E402
from torch import nn  # noqa: E402

from pyharmony.networks.nn import PartialConv2d, SpectralNormGroup  # noqa: E402

pytestmark = pytest.mark.usefixtures("two_threads_of_torch")

OURS = pyharmony.__version__
GROUP = "DoveNet's discriminator at 256²"
#: The number of iterations before anything is measured.
_SETTLED = 20


class Encoder(nn.Module):
    """Seven partial convolutions, batch norms and leaky ReLUs between; a vector of 512 for each image."""

    def __init__(self, conv: Any, wrap: Callable[[Any], Any]) -> None:
        super().__init__()
        last = len(STRIDES) - 1
        self.layers = nn.ModuleList(
            [wrap(conv(CHANNELS[i], CHANNELS[i + 1], 3, STRIDES[i], bias=i == 0)) for i in range(last + 1)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(CHANNELS[i + 1]) for i in range(1, last)])

    def after(self, i: int, x: Any) -> Any:
        if 0 < i < len(self.layers) - 1:
            x = self.norms[i - 1](x)
        return F.leaky_relu(x, SLOPE) if i < len(self.layers) - 1 else x

    def forward(self, x: Any, mask: Any) -> Any:
        for i, layer in enumerate(self.layers):
            x, mask = layer(x, mask)
            x = self.after(i, x)
        return x


class Planned(Encoder):
    """The same encoder on a plan of all its masks."""

    def forward(self, x: Any, plan: Any) -> Any:
        for i, (layer, part) in enumerate(zip(self.layers, plan, strict=True)):
            x, _ = layer(x, plan=part)
            x = self.after(i, x)
        return x


class Discriminator(nn.Module):
    """The score of the image, and whether object and background match."""

    def __init__(self, conv: Any, encoder: Any, wrap: Callable[[Any], Any]) -> None:
        super().__init__()
        self.whole, self.local = encoder(conv, wrap), encoder(conv, wrap)
        self.score = nn.Conv2d(512, 1, 1)
        activation = nn.LeakyReLU(SLOPE)
        layers = (wrap(nn.Conv2d(512, 512, 1)), activation, wrap(nn.Conv2d(512, 512, 1)), activation)
        self.domain = nn.Sequential(*layers, nn.Conv2d(512, 1, 1))
        self.planned = encoder is Planned

    def forward(self, x: Any, mask: Any) -> tuple[Any, Any]:
        if self.planned:
            plan = ops.mask_plan(mask, self.local.layers)
            inside, outside, everywhere = plan, plan.complement(), whole_plan(mask.shape[2], self.whole.layers)
        else:
            inside, outside, everywhere = mask, 1 - mask, torch.ones_like(mask)
        score = self.score(self.whole(x, everywhere))
        return score, self.domain(self.local(x, inside) * self.local(x, outside))


@functools.cache
def whole_plan(size: int, layers: Any) -> Any:
    """Returns the plan of a mask of ones, which is the same for all images."""
    return ops.mask_plan(torch.ones(1, 1, size, size), layers)


def networks(dtype: Any, memory: Any) -> dict[str, Any]:
    """Returns both, with the same converged weights and vectors, since ours iterates less often."""
    torch.manual_seed(0)
    theirs = Discriminator(Composed, Encoder, torch.nn.utils.spectral_norm)
    for layer in theirs.modules():
        for hook in layer._forward_pre_hooks.values():
            for _ in range(_SETTLED):
                hook.compute_weight(layer, do_power_iteration=True)
    normalised: list[Any] = []
    ours = Discriminator(PartialConv2d, Planned, lambda layer: normalised.append(layer) or layer)
    SpectralNormGroup(ours, modules=normalised)
    ours.load_state_dict(theirs.state_dict())
    return {name: net.to(dtype, memory_format=memory) for name, net in (("theirs", theirs), ("ours", ours))}


def step(net: Any, x: Any, mask: Any, backward: bool) -> Callable[[], Any]:
    weights = [value for name, value in net.named_parameters() if name.endswith("weight_orig")]

    def once() -> Any:
        # The weights change as in an optimizer's step, after which the norms iterate.
        with torch.no_grad():
            for weight in weights:
                weight.mul_(1.0)
        if not backward:
            with torch.no_grad():
                return torch.cat(net(x, mask)).float()
        net.zero_grad(set_to_none=True)
        scores = torch.cat(net(x, mask))
        scores.float().sum().backward()
        return scores.detach().float()

    return once


def compare(benchmark: Any, ledger: Ledger, *, images: int, share: float, dtype: Any, backward: bool) -> float:
    """Returns the ratio of CPU times to the faster of torch's memory formats."""
    mask, image = disc(images, share, 1, dtype), torch.randn(images, 3, 256, 256).to(dtype)
    calls = {}
    for form, memory in (("channels-last", torch.channels_last), ("planar", torch.contiguous_format)):
        nets, x = networks(dtype, memory), image.contiguous(memory_format=memory)
        calls[f"composed, {form}"] = step(nets["theirs"], x, mask, backward)
        if form == "channels-last":
            ours = step(nets["ours"], x, mask, backward)
    first = {"ours": ours(), "theirs": calls["composed, channels-last"]()}
    timings = interleave(benchmark, ours, calls, rounds=3 if images > 1 else 5)
    fastest = min(calls, key=lambda name: min(timings[name].cpu))
    name = f"{'fp32' if dtype == torch.float32 else 'bf16'}, {share:.0%}, batch {images}"
    problem = f"{name}, {'forward + backward' if backward else 'forward'}"
    apart = float((first["ours"] - first["theirs"]).abs().max() / first["theirs"].abs().max().clamp(min=1e-30))
    ledger.add(GROUP, problem, "PartialConv2d, SpectralNormGroup", timings["ours"], version=OURS)
    ledger.add(
        GROUP, problem, f"torch, {fastest}", timings[fastest], against=timings["ours"], version=torch.__version__,
        note=f"first scores apart by {apart:.1g} of the largest",
    )  # fmt: skip
    return ratio(timings[fastest], timings["ours"], "cpu")


def bench_discriminator(benchmark: Any, ledger: Ledger) -> None:
    gain = compare(benchmark, ledger, images=1, share=0.15, dtype=torch.float32, backward=True)
    ledger.target("DoveNet's discriminator: 15 % mask, forward + backward, batch 1, v. composed", gain, 1.4, None, "x")


@pytest.mark.full
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "step"])
@pytest.mark.parametrize("images", [1, 8, 32])
@pytest.mark.parametrize("share", [0.05, 0.15, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def bench_discriminators(benchmark: Any, ledger: Ledger, dtype: Any, share: float, images: int, backward: bool) -> None:
    if images == 32 and backward:
        pytest.skip("32 images: forward alone")
    compare(benchmark, ledger, images=images, share=share, dtype=dtype, backward=backward)
