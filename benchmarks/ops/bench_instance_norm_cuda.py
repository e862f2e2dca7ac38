"""Op instance_norm on a GPU: norms of DoveNet's generator with leaky ReLU, compared with torch's two calls.

Both are measured eager, captured in CUDA graphs, and by torch.compile; the faster memory format of each counts.
"""

from __future__ import annotations

import functools
import statistics
from typing import Any

import bench_instance_norm as cpu
import measure_cuda
import peers_cuda
import pytest
from measure import Ledger
from measure_cuda import GpuTiming, add, interleave, ratio

import pyharmony

pytestmark = pytest.mark.gpu

OURS = f"pyharmony {pyharmony.__version__}"
GROUP = "instance norm and leaky ReLU on the GPU"
SHAPES = ((1, 64, 128, 128), (8, 64, 128, 128), (8, 128, 64, 64), (8, 512, 16, 16))
PASSES = {"forward": 2, "step": 5, "penalty": 10}  # of a tensor that is read or written once each


def eager_ratio(slow: GpuTiming, fast: GpuTiming) -> float:
    return statistics.median(a / b for a, b in zip(slow.eager, fast.eager, strict=True))


def fastest(timings: dict[str, GpuTiming]) -> GpuTiming:
    return min(timings.values(), key=lambda timing: statistics.median(timing.warm))


@pytest.mark.parametrize("what", [*(pytest.param(w, marks=pytest.mark.first) for w in ("forward", "step")), "penalty"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
def bench_norms(gpu: Any, ledger: Ledger, shape: tuple[int, ...], what: str) -> None:
    """Reports the minimum over both dtypes, forward and forward + backward."""
    for dtype, name in ((gpu.float32, "fp32"), (gpu.bfloat16, "bf16")):
        gpu.manual_seed(0)
        x = gpu.randn(shape).to(peers_cuda.DEVICE, dtype)
        kinds = {"ours": cpu.ours, "torch": cpu.theirs}
        # torch's compiler has no derivatives of a penalty's order.
        if what != "penalty" and not measure_cuda.FIRST_ONLY:
            kinds["compiled"] = peers_cuda.compiled(cpu.theirs)
        layers = {
            f"{kind}, {form}": call
            for kind, norm in kinds.items()
            for form, call in cpu.calls(norm, x, what).items()
        }  # fmt: skip
        timings = interleave(layers)
        mine, eager = ({k: v for k, v in timings.items() if k.startswith(who)} for who in ("ours", "torch"))
        best = fastest(mine)
        row = functools.partial(add, ledger, GROUP, f"{name}, {' x '.join(map(str, shape))}, {what}")
        nbytes = PASSES[what] * x.numel() * x.element_size()
        for key, timing in mine.items():
            row(key.replace("ours", "ops.instance_norm"), timing, version=OURS, nbytes=nbytes)
        for key, timing in timings.items():
            if key not in mine:
                row(key, timing, version=str(gpu.__version__), ours=best)
        if what != "penalty":
            other = fastest(eager)
            for key, value in (
                ("instance_norm_v_eager", eager_ratio(other, best)), ("instance_norm_v_graph", ratio(other, best)),
            ):  # fmt: skip
                ledger.figure(key, min(value, ledger.figures.get(key, value)))
