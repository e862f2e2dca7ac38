"""Op spectral_norm: the sixteen normalised layers of DoveNet's discriminator, beside torch's two forms."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from typing import Any

import peers
import pytest
from measure import Ledger, interleave, ratio

import pyharmony

OURS = pyharmony.__version__
GROUP = "spectral norm, sixteen layers of 71 MB"
TORCH = peers.find("torch spectral_norm", "eager, 1 and 2 threads", "torch", "torch")
#: Twice the encoder of seven 3 x 3 convolutions, and the two 1 x 1 of the head.
ENCODER = (3, 64, 128, 256, 512, 512, 512, 512)


@pytest.fixture
def torch(ledger: Ledger) -> Any:
    if not ledger.available(TORCH):
        pytest.skip("torch is not installed")
    module = pytest.importorskip("torch")
    before = module.get_num_threads()
    module.set_num_threads(2)
    yield module
    module.set_num_threads(before)


def layers(torch: Any) -> Any:
    """The convolutions, as a list; what is measured are their weights, not what they are for."""
    torch.manual_seed(0)
    conv = functools.partial(torch.nn.Conv2d, bias=False)
    encoders = [conv(a, b, 3) for _ in range(2) for a, b in itertools.pairwise(ENCODER)]
    return torch.nn.ModuleList([*encoders, conv(512, 512, 1), conv(512, 512, 1)])


def theirs(torch: Any, wrap: Callable[[Any], Any], *, hook: bool) -> Callable[[], list[Any]]:
    """What each layer does before its convolution."""
    made = [wrap(layer) for layer in copy.deepcopy(layers(torch))]

    def call() -> list[Any]:
        if not hook:
            return [layer.weight for layer in made]
        for layer in made:
            next(iter(layer._forward_pre_hooks.values()))(layer, None)
        return [layer.weight for layer in made]

    return call


def ours(torch: Any, **options: Any) -> Callable[[], Any]:
    from pyharmony.nn import SpectralNormGroup

    group = SpectralNormGroup(layers(torch), **options)

    def call() -> Any:
        group.update()
        return group.sigmas if options.get("fold") else group.weights

    return call


def on_threads(torch: Any, n: int, call: Callable[[], Any]) -> Callable[[], Any]:
    """With n threads of torch: two wait for each other in loops, which costs more than it gains on a busy machine."""

    def run() -> Any:
        torch.set_num_threads(n)
        return call()

    return run


def contestants(torch: Any) -> dict[str, Callable[[], Any]]:
    utils = torch.nn.utils
    legacy = theirs(torch, utils.spectral_norm, hook=True)
    parametrization = theirs(torch, utils.parametrizations.spectral_norm, hook=False)
    return with_threads(torch, legacy, parametrization) | {"folded": ours(torch, fold=True)}


def with_threads(
    torch: Any, legacy: Callable[[], Any], parametrization: Callable[[], Any]
) -> dict[str, Callable[[], Any]]:
    calls = {"legacy": legacy, "parametrization": parametrization}
    return {f"{name} {n}": on_threads(torch, n, call) for name, call in calls.items() for n in (1, 2)}


def report(ledger: Ledger, problem: str, timings: dict[str, Any], written: str, folded: str) -> None:
    ledger.add(GROUP, problem, written, timings["ours"], version=OURS)
    ledger.add(GROUP, problem, folded, timings["folded"], version=OURS)
    for name, timing in timings.items():
        if name in ("ours", "folded"):
            continue
        form, n = name.split()
        what = "nn.utils" if form == "legacy" else "nn.utils.parametrizations"
        ledger.add(
            GROUP, problem, f"torch.{what}.spectral_norm, {n} threads", timing, against=timings["ours"],
            version=str(TORCH.version), note=f"{ratio(timing, timings['folded'], 'cpu'):.1f} x the folded one's CPU",
        )  # fmt: skip


def bench_update(benchmark: Any, ledger: Ledger, torch: Any) -> None:
    """One power iteration of all layers, as a forward in training mode begins with."""
    timings = interleave(benchmark, ours(torch), contestants(torch), rounds=15)
    report(ledger, "update", timings, "SpectralNormGroup.update", "SpectralNormGroup.update, fold=True")
    for name, floor, goal, mine in (("W/sigma written", 1.4, 2, "ours"), ("folded", 4, None, "folded")):
        value = min(ratio(timing, timings[mine], "cpu") for other, timing in timings.items() if " " in other)
        ledger.target(f"spectral norm of sixteen layers, {name}: times less CPU than torch's", value, floor, goal, "x")


def bench_update_and_gradient(benchmark: Any, ledger: Ledger, torch: Any) -> None:
    """The same, and the gradients of all weights from those of W / sigma (folded: of sigma)."""
    pulls = [torch.randn_like(layer.weight) for layer in layers(torch)]

    def with_gradient(call: Callable[[], Any]) -> Callable[[], Any]:
        def both() -> Any:
            made = call()
            if torch.is_tensor(made):
                torch.autograd.backward([made], [torch.ones_like(made)])
            else:
                torch.autograd.backward(made, pulls)
            for model in models:
                model.zero_grad()
            return None

        return both

    utils = torch.nn.utils
    models: list[Any] = []

    def kept(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def wrap(layer: Any) -> Any:
            models.append(make(layer))
            return models[-1]

        return wrap

    calls = with_threads(
        torch,
        with_gradient(theirs(torch, kept(utils.spectral_norm), hook=True)),
        with_gradient(theirs(torch, kept(utils.parametrizations.spectral_norm), hook=False)),
    )
    from pyharmony.nn import SpectralNormGroup

    mine = {}
    for name, fold in (("ours", False), ("folded", True)):
        model = layers(torch)
        models.append(model)
        group = SpectralNormGroup(model, fold=fold)

        def call(group: Any = group, fold: bool = fold) -> Any:
            group.update()
            return group.sigmas if fold else group.weights

        mine[name] = with_gradient(call)
    calls["folded"] = mine["folded"]
    timings = interleave(benchmark, mine["ours"], calls, rounds=9)
    report(ledger, "update + gradient", timings, "SpectralNormGroup", "SpectralNormGroup, fold=True")
