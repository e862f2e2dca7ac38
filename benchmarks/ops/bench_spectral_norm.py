"""Op spectral_norm: the sixteen normalised layers of DoveNet's discriminator, compared with torch's two forms."""

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
#: The channels of an encoder of seven 3 x 3 convolutions, of which there are two; the head is two 1 x 1.
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
    """Returns the convolutions as a list; only their weights are measured."""
    torch.manual_seed(0)
    conv = functools.partial(torch.nn.Conv2d, bias=False)
    encoders = [conv(a, b, 3) for _ in range(2) for a, b in itertools.pairwise(ENCODER)]
    return torch.nn.ModuleList([*encoders, conv(512, 512, 1), conv(512, 512, 1)])


def theirs(torch: Any, wrap: Callable[[Any], Any], *, hook: bool) -> Callable[[], list[Any]]:
    """Returns a call that does the work of each layer before its convolution."""
    wrapped = [wrap(layer) for layer in copy.deepcopy(layers(torch))]

    def call() -> list[Any]:
        if not hook:
            return [layer.weight for layer in wrapped]
        for layer in wrapped:
            next(iter(layer._forward_pre_hooks.values()))(layer, None)
        return [layer.weight for layer in wrapped]

    return call


def updates(model: Any, **options: Any) -> Callable[[], Any]:
    from pyharmony.networks.nn import SpectralNormGroup

    group = SpectralNormGroup(model, **options)

    def call() -> Any:
        group.update()
        return group.sigmas if options.get("fold") else group.weights

    return call


def ours(torch: Any, **options: Any) -> Callable[[], Any]:
    return updates(layers(torch), **options)


def on_threads(torch: Any, n: int, call: Callable[[], Any]) -> Callable[[], Any]:
    """Returns the call with n threads, of torch and ours alike."""

    def run() -> Any:
        torch.set_num_threads(n)
        pyharmony.set_num_threads(n)
        return call()

    return run


def interleaved(benchmark: Any, torch: Any, calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Times each with one thread and with two, since torch's threads spin while waiting, long on a busy machine.

    The keys are 'legacy 1', 'legacy 2', and so on; 'ours' is W / sigma written with two.
    """
    others = {f"{name} {n}": on_threads(torch, n, call) for name, call in calls.items() for n in (1, 2)}
    mine = others.pop("written 2")
    return interleave(benchmark, mine, others, rounds=rounds)


NAMES = {
    "written": "SpectralNormGroup",
    "folded": "SpectralNormGroup, fold=True",
    "legacy": "torch.nn.utils.spectral_norm",
    "parametrization": "torch.nn.utils.parametrizations.spectral_norm",
}


def report(ledger: Ledger, problem: str, timings: dict[str, Any]) -> dict[str, float]:
    """Reports rows of all; returns the smallest ratio of torch's time to ours with two threads.

    This is the wall time: torch's second thread spins after its work, in the CPU time of the next call.
    """
    timings_by_name = {("written 2" if name == "ours" else name): timing for name, timing in timings.items()}
    least = {"written": float("inf"), "folded": float("inf")}
    for n in (2, 1):
        for name, title in NAMES.items():
            timing, beside = timings_by_name[f"{name} {n}"], timings_by_name[f"written {n}"]
            mine = name in least
            ledger.add(
                GROUP, problem, f"{title}, {n} thread{'s' if n > 1 else ''}", timing,
                against=None if mine else beside, version=OURS if mine else str(TORCH.version),
            )  # fmt: skip
            for kind in () if mine else least:
                least[kind] = min(least[kind], ratio(timing, timings_by_name[f"{kind} 2"], "wall"))
    return least


def targets(ledger: Ledger, what: str, least: dict[str, float]) -> None:
    for name, floor, goal, kind in (("W/sigma written", 1.4, 2, "written"), ("folded", 4, None, "folded")):
        note = "wall time, the faster of torch's forms with one or two threads"
        ledger.target(f"{what}, {name}: times faster than torch", least[kind], floor, goal, "x", note=note)


def bench_update(benchmark: Any, ledger: Ledger, torch: Any) -> None:
    """Times one power iteration of all layers, as at the start of a forward in training mode."""
    utils = torch.nn.utils
    calls = {
        "legacy": theirs(torch, utils.spectral_norm, hook=True),
        "parametrization": theirs(torch, utils.parametrizations.spectral_norm, hook=False),
        "written": ours(torch),
        "folded": ours(torch, fold=True),
    }
    least = report(ledger, "update", interleaved(benchmark, torch, calls, 11))
    targets(ledger, "an update of sixteen spectral norms", least)


def bench_update_and_gradient(benchmark: Any, ledger: Ledger, torch: Any) -> None:
    """Times the same, and the gradients of all weights from those of W / sigma (folded: of sigma)."""
    pulls = [torch.randn_like(layer.weight) for layer in layers(torch)]

    def with_gradient(call: Callable[[], Any]) -> Callable[[], Any]:
        def both() -> Any:
            result = call()
            if torch.is_tensor(result):
                torch.autograd.backward([result], [torch.ones_like(result)])
            else:
                torch.autograd.backward(result, pulls)
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

    calls = {
        "legacy": with_gradient(theirs(torch, kept(utils.spectral_norm), hook=True)),
        "parametrization": with_gradient(theirs(torch, kept(utils.parametrizations.spectral_norm), hook=False)),
    }
    for name in ("written", "folded"):
        models.append(layers(torch))
        calls[name] = with_gradient(updates(models[-1], fold=name == "folded"))
    least = report(ledger, "update + gradient", interleaved(benchmark, torch, calls, 7))
    targets(ledger, "an update of sixteen spectral norms and its gradient", least)
