"""Op instance_norm: norms of DoveNet's generator with leaky ReLU, compared with F.instance_norm and F.leaky_relu.

Both are measured in both memory formats; the faster one of each counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from measure import Ledger, Timing, interleave, ratio

import pyharmony
from pyharmony import ops

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.nn.functional as F  # noqa: E402

pytestmark = pytest.mark.usefixtures("two_threads_of_torch")

OURS = pyharmony.__version__
GROUP = "instance norm and leaky ReLU"
#: Levels of a U-Net at 256²: [N, C, H, W].
SHAPES = ((1, 64, 128, 128), (1, 256, 32, 32), (8, 128, 64, 64), (8, 512, 16, 16))
FORMATS = {"planar": torch.contiguous_format, "channels-last": torch.channels_last}
SLOPE = 0.2


def ours(x: Any) -> Any:
    return ops.instance_norm(x, negative_slope=SLOPE)


def theirs(x: Any) -> Any:
    return F.leaky_relu(F.instance_norm(x), SLOPE)


def step(norm: Callable[[Any], Any], x: Any, what: str) -> Callable[[], Any]:
    """Returns one forward, with its gradient, or with the gradient of a gradient penalty."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_(what != "forward")
    pull = torch.empty_like(x).copy_(torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))

    def once() -> Any:
        y = norm(x)
        if what == "forward":
            return y
        (dx,) = torch.autograd.grad(y, x, pull, create_graph=what == "penalty")
        return dx if what == "step" else torch.autograd.grad(dx, x, pull)[0]

    return once


def calls(norm: Callable[[Any], Any], x: Any, what: str) -> dict[str, Callable[[], Any]]:
    return {name: step(norm, x.contiguous(memory_format=form), what) for name, form in FORMATS.items()}


def fastest(timings: dict[str, Timing]) -> str:
    return min(timings, key=lambda name: min(timings[name].wall))


@pytest.mark.parametrize("what", ["forward", "step", "penalty"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def bench_norms(benchmark: Any, ledger: Ledger, dtype: Any, shape: tuple[int, ...], what: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape).to(dtype)
    first, *others = calls(ours, x, what).items()
    peers = {f"torch, {name}": call for name, call in calls(theirs, x, what).items()}
    timings = interleave(benchmark, first[1], {**{f"ours, {name}": call for name, call in others}, **peers}, rounds=15)
    timings[f"ours, {first[0]}"] = timings.pop("ours")
    mine, other = ({k: v for k, v in timings.items() if k.startswith(who)} for who in ("ours", "torch"))
    best = timings[fastest(mine)]
    words = {"forward": "forward", "step": "forward + backward", "penalty": "with the gradient of the gradient"}[what]
    problem = f"{'fp32' if dtype == torch.float32 else 'bf16'}, {' x '.join(map(str, shape))}, {words}"
    exact = timings["torch, planar"].result.float()
    for name, timing in mine.items():
        apart = float((timing.result.float() - exact).abs().max() / exact.abs().max())
        note = f"apart by {apart:.1g} of the largest"
        ledger.add(GROUP, problem, name.replace("ours", "ops.instance_norm"), timing, version=OURS, note=note)
    for name, timing in other.items():
        ledger.add(GROUP, problem, name, timing, against=best, version=torch.__version__)
    if (dtype, shape, what) == (torch.float32, (8, 128, 64, 64), "step"):
        gain = ratio(timings[fastest(other)], best, "wall")
        ledger.target("instance_norm and leaky ReLU, forward + backward, v. torch's best format", gain, 1.7, 2.2, "x")
