"""Op spectral_norm on a GPU: DoveNet's sixteen layers, compared with torch's two forms, and its share of a step."""

from __future__ import annotations

import copy
import functools
import itertools
import statistics
from collections.abc import Callable
from typing import Any

import peers_cuda
import pytest
from measure import Ledger
from measure_cuda import GpuTiming, add, interleave, ratio

import pyharmony

pytestmark = pytest.mark.gpu

OURS = f"pyharmony {pyharmony.__version__}"
GROUP = "spectral norm of sixteen layers on the GPU"
#: Channels of an encoder of seven 3 x 3 convolutions, of which there are two; the head is two 1 x 1.
ENCODER = (3, 64, 128, 256, 512, 512, 512, 512)
BATCH, IMAGE_SIDE = 8, 256


def discriminator(torch: Any) -> Any:
    """Returns two encoders and a head, without partial convolution and normalisation: a step of it is a short one."""
    torch.manual_seed(0)

    def encoder() -> Any:
        pairs = list(itertools.pairwise(ENCODER))
        layers = []
        for i, (a, b) in enumerate(pairs):
            layers += [torch.nn.Conv2d(a, b, 3, stride=1 if i == len(pairs) - 1 else 2), torch.nn.LeakyReLU(0.2)]
        return torch.nn.Sequential(*layers)

    last = ENCODER[-1]
    head = torch.nn.Sequential(torch.nn.Conv2d(last, last, 1), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(last, last, 1))
    return torch.nn.ModuleList([encoder(), encoder(), head]).to(peers_cuda.DEVICE)


def convolutions(model: Any) -> list[Any]:
    return [layer for layer in model.modules() if hasattr(layer, "kernel_size")]


def legacy(torch: Any) -> Callable[[], list[Any]]:
    model = discriminator(torch)
    hooks = []
    for layer in convolutions(model):
        torch.nn.utils.spectral_norm(layer)
        hooks.append((next(iter(layer._forward_pre_hooks.values())), layer))

    def call() -> list[Any]:
        for hook, layer in hooks:
            hook(layer, None)
        return [layer.weight for _, layer in hooks]

    return call


def parametrization(torch: Any) -> Callable[[], list[Any]]:
    layers = [torch.nn.utils.parametrizations.spectral_norm(layer) for layer in convolutions(discriminator(torch))]
    return lambda: [layer.weight for layer in layers]


def ours(torch: Any, *, fold: bool = False) -> Callable[[], Any]:
    from pyharmony.networks.nn import SpectralNormGroup

    group = SpectralNormGroup(discriminator(torch), fold=fold)

    def call() -> Any:
        group.update()
        return group.sigmas if fold else group.weights

    return call


def share(torch: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Times a forward and backward of the discriminator with the norms, and without them."""
    from pyharmony.networks.nn import SpectralNormGroup

    plain = discriminator(torch)
    normed = copy.deepcopy(plain)
    group = SpectralNormGroup(normed)
    x = torch.rand(BATCH, 3, IMAGE_SIDE, IMAGE_SIDE, device=peers_cuda.DEVICE)

    def step(model: Any) -> Any:
        loss = model[2](model[0](x) * model[1](x)).mean()
        return torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])

    def with_norms() -> Any:
        group.update()
        return step(normed)

    return with_norms, lambda: step(plain)


def eager_ratio(slow: GpuTiming, fast: GpuTiming) -> float:
    return statistics.median(a / b for a, b in zip(slow.eager, fast.eager, strict=True))


@pytest.mark.first
def bench_update(gpu: Any, ledger: Ledger) -> None:
    """Times one power iteration of all layers and W / sigma."""
    calls = {
        "ours": ours(gpu),
        "folded": ours(gpu, fold=True),
        "torch.nn.utils.spectral_norm": legacy(gpu),
        "torch.nn.utils.parametrizations.spectral_norm": parametrization(gpu),
    }
    timings = interleave(calls)
    row = functools.partial(add, ledger, GROUP, "update")
    weights = sum(layer.weight.numel() for layer in convolutions(discriminator(gpu)))
    row("SpectralNormGroup", timings["ours"], version=OURS, nbytes=12 * weights, note="W read twice, W / sigma written")
    row("SpectralNormGroup, fold=True", timings["folded"], version=OURS, nbytes=8 * weights)
    theirs = {name: timing for name, timing in timings.items() if name.startswith("torch")}
    for name, timing in theirs.items():
        row(name, timing, version=str(gpu.__version__), ours=timings["ours"])
    ledger.figure("spectral_norm_v_torch", min(eager_ratio(timing, timings["ours"]) for timing in theirs.values()))
    ledger.figure("spectral_norm_v_graph", min(ratio(timing, timings["ours"]) for timing in theirs.values()))


@pytest.mark.first
def bench_share(gpu: Any, ledger: Ledger) -> None:
    """Times the overhead of the norms in a forward and backward of the discriminator."""
    with_norms, without = share(gpu)
    timings = interleave({"with": with_norms, "without": without})
    row = functools.partial(add, ledger, GROUP, f"discriminator, {BATCH} x {IMAGE_SIDE}²")
    row("forward and backward with SpectralNormGroup", timings["with"], version=OURS)
    row("without norms", timings["without"], version=str(gpu.__version__), ours=timings["with"])
    ledger.figure("spectral_norm_share", max(0.0, 100 * (1 - 1 / ratio(timings["with"], timings["without"]))))
