"""Op poisson on a GPU: the masked solve, compared with the DCT of the whole rectangle and the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import peers_cuda
import problems_cuda
import pytest
from measure import Ledger
from measure_cuda import OURS, add, interleave, numpy_to_numpy, on_cpu, ratio

from pyharmony.ops import poisson

pytestmark = pytest.mark.gpu

GROUP = "masked region on the GPU"
TOLERANCE = 0.25


@pytest.mark.parametrize("size", [pytest.param("8K", marks=pytest.mark.first), "4K", "1080p"])
def bench_masked(gpu: Any, ledger: Ledger, size: str) -> None:
    """Times a mask of 40 % of the image, to a quarter of an 8-bit level."""
    floats, bytes_ = (problems_cuda.tensors(size, dtype) for dtype in ("float32", "uint8"))
    dct, settings = problems_cuda.torch_dct(floats, 1.0)
    # There is no base.
    nbytes, nbytes8 = (t.nbytes - t.base.numel() * t.base.element_size() for t in (floats, bytes_))
    calls = {
        "ours": functools.partial(poisson, floats.src, floats.dst, floats.mask, tolerance=TOLERANCE),
        "uint8": functools.partial(poisson, bytes_.src, bytes_.dst, bytes_.mask, tolerance=TOLERANCE),
        "dct": dct,
        "copy": peers_cuda.copy_of(nbytes),
        "uint8 copy": peers_cuda.copy_of(nbytes8),
    }
    timings = interleave(calls)
    x, info = calls["ours"](return_info=True)
    finest = poisson(floats.src, floats.dst, floats.mask, tolerance=0.003)
    row = functools.partial(add, ledger, GROUP, floats.name)
    row(
        f"pyharmony, {info.iterations} iterations, float32", timings["ours"], version=OURS, copy=timings["copy"],
        nbytes=nbytes, error=problems_cuda.levels(x, finest),
        note=f"certified {info.max_error:.3g}; error beside our own at a tolerance of 0.003",
    )  # fmt: skip
    row("pyharmony, uint8", timings["uint8"], version=OURS, copy=timings["uint8 copy"], nbytes=nbytes8)
    row(
        "torch.fft DCT of the rectangle, float32, solve only", timings["dct"],
        version=str(peers_cuda.TORCH_DCT.version), ours=timings["ours"], note=settings,
    )  # fmt: skip
    row("copy of the bytes of the float32 problem", timings["copy"], version="", ours=timings["ours"], nbytes=nbytes)
    src, dst, mask, _ = floats.numpy()
    there = on_cpu(lambda: poisson(src, dst, mask, tolerance=TOLERANCE))
    row("pyharmony on the CPU, float32", there, version=OURS)
    if size == "8K":
        ledger.figure("masked_v_torch_dct", ratio(timings["ours"], timings["dct"]))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def bench_numpy_to_numpy(gpu: Any, ledger: Ledger, dtype: str) -> None:
    """Times calls with both transfers, to find from which size the GPU pays."""

    def problem(side: int) -> Callable[[str], Any]:
        src, dst, mask, _ = problems_cuda.tensors((side, side), dtype).numpy()
        return lambda device: poisson(src, dst, mask, tolerance=TOLERANCE, device=device)

    numpy_to_numpy(ledger, f"mask of 40 %, {dtype}", problem)
