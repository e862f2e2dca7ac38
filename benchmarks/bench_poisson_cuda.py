"""Op poisson on a GPU: the masked solve, beside the DCT of the whole rectangle and the processor."""

from __future__ import annotations

import functools
import time
from typing import Any

import peers_cuda
import problems_cuda
import pytest
from measure import Ledger
from measure_cuda import GpuTiming, add, interleave, ratio

import pyharmony
from pyharmony.ops import poisson

pytestmark = pytest.mark.gpu

OURS = f"pyharmony {pyharmony.__version__}"
GROUP = "masked region on the GPU"
TOLERANCE = 0.25


@pytest.mark.parametrize("size", ["8K", "4K", "1080p"])
def bench_masked(gpu: Any, ledger: Ledger, size: str) -> None:
    """A mask of 40 % of the image, to a quarter of an 8-bit level."""
    floats, bytes_ = (problems_cuda.tensors(size, dtype) for dtype in ("float32", "uint8"))
    dct, settings = problems_cuda.torch_dct(floats, 1.0)
    calls = {
        "ours": functools.partial(poisson, floats.src, floats.dst, floats.mask, tolerance=TOLERANCE),
        "uint8": functools.partial(poisson, bytes_.src, bytes_.dst, bytes_.mask, tolerance=TOLERANCE),
        "dct": dct,
        "copy": peers_cuda.copy_of(floats.nbytes),
    }
    timings = interleave(calls)
    x, info = calls["ours"](return_info=True)
    finest = poisson(floats.src, floats.dst, floats.mask, tolerance=0.003)
    row = functools.partial(add, ledger, GROUP, floats.name)
    row(
        f"pyharmony, {info.iterations} iterations, float32", timings["ours"], version=OURS, copy=timings["copy"],
        error=problems_cuda.levels(x, finest),
        note=f"certified {info.max_error:.3g}; error beside our own at a tolerance of 0.003",
    )  # fmt: skip
    row("pyharmony, uint8", timings["uint8"], version=OURS)
    row(
        "torch.fft DCT of the rectangle, float32, solve only", timings["dct"],
        version=str(peers_cuda.TORCH_DCT.version), ours=timings["ours"], note=settings,
    )  # fmt: skip
    row("pyharmony on the processor, float32", on_processor(floats), version=OURS)
    if size == "8K":
        ledger.figure("masked_v_torch_dct", ratio(timings["ours"], timings["dct"]))


def on_processor(t: problems_cuda.Tensors) -> GpuTiming:
    src, dst, mask, _ = t.numpy()
    timing = GpuTiming(mode=f"CPU, {pyharmony.get_num_threads()} threads")
    for i in range(3):
        begin = time.perf_counter()
        poisson(src, dst, mask, tolerance=TOLERANCE)
        if i:
            timing.eager.append(1000 * (time.perf_counter() - begin))
    timing.cold = timing.warm = timing.eager
    return timing
