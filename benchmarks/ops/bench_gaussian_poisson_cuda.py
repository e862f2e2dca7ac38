"""Op gaussian_poisson on a GPU, compared with a DCT of torch.fft and of CuPy, a copy of the same bytes, and the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import measure_cuda
import numpy as np
import peers_cuda
import problems_cuda
import pytest
from measure import Ledger
from measure_cuda import OURS, GpuTiming, add, interleave, numpy_to_numpy, on_cpu, ratio, spread

from pyharmony.ops import gaussian_poisson

pytestmark = pytest.mark.gpu

PHOTOGRAPH = 0.25
GROUP = "whole image on the GPU"


def solver(t: problems_cuda.Tensors, **options: Any) -> Callable[[], Any]:
    return functools.partial(gaussian_poisson, t.src, t.dst, t.mask, t.base, tolerance=PHOTOGRAPH, **options)


def beside_dct(
    ledger: Ledger, t: problems_cuda.Tensors, weight: float, more: dict[str, Callable[[], Any]]
) -> dict[str, GpuTiming]:
    """Measures ours on float32 at a weight, `more`, the two DCTs and a copy; adds the rows of all but `more`."""
    dct, settings = problems_cuda.torch_dct(t, weight)
    calls = {"ours": solver(t, color_weight=weight), **more, "dct": dct, "copy": peers_cuda.copy_of(t.nbytes)}
    if not measure_cuda.FIRST_ONLY and ledger.available(peers_cuda.CUPY_DCT):
        calls["cupy"] = problems_cuda.cupy_dct(t, weight)
    timings = interleave(calls, eager=("cupy",))
    answer = problems_cuda.exact(t, weight)
    x, info = calls["ours"](return_info=True)
    row = functools.partial(add, ledger, GROUP, f"{t.name}, weight {weight:g}")
    row(
        f"pyharmony, {info.method}, {info.iterations} steps or cycles, float32", timings["ours"], version=OURS,
        copy=timings["copy"], nbytes=t.nbytes, error=problems_cuda.levels(x, answer),
        note=f"right-hand side included; certified {info.max_error:.3g}",
    )  # fmt: skip
    y = dct().permute(1, 2, 0)
    row(
        "torch.fft DCT, float32, solve only", timings["dct"], version=str(peers_cuda.TORCH_DCT.version),
        ours=timings["ours"], copy=timings["copy"], error=problems_cuda.levels(y, answer), note=settings,
    )  # fmt: skip
    row("copy of the bytes of the float32 problem", timings["copy"], version="", ours=timings["ours"], nbytes=t.nbytes)
    if "cupy" in timings:
        row(
            "cupyx.scipy.fft DCT, float32, solve only", timings["cupy"], version=str(peers_cuda.CUPY_DCT.version),
            ours=timings["ours"],
        )  # fmt: skip
    arrays = t.numpy()
    there = on_cpu(lambda: gaussian_poisson(*arrays, tolerance=PHOTOGRAPH, color_weight=weight))
    row("pyharmony on the CPU, float32", there, version=OURS)
    return timings


@pytest.mark.parametrize("size", [pytest.param("8K", marks=pytest.mark.first), "4K", "1080p"])
def bench_photograph(gpu: Any, ledger: Ledger, size: str) -> None:
    floats, bytes_ = (problems_cuda.tensors(size, dtype) for dtype in ("float32", "uint8"))
    more = {"uint8": solver(bytes_), "uint8 copy": peers_cuda.copy_of(bytes_.nbytes)}
    timings = beside_dct(ledger, floats, 1.0, more)
    add(
        ledger, GROUP, f"{bytes_.name}, weight 1", "pyharmony, uint8", timings["uint8"], version=OURS,
        copy=timings["uint8 copy"], nbytes=bytes_.nbytes,
    )  # fmt: skip
    if size == "8K":
        ledger.figure("float32_v_copy", ratio(timings["ours"], timings["copy"]))
        ledger.figure("uint8_v_float32", ratio(timings["uint8"], timings["ours"]))
        ledger.figure("v_torch_dct", ratio(timings["dct"], timings["ours"]))


@pytest.mark.first
def bench_small_weight(gpu: Any, ledger: Ledger) -> None:
    timings = beside_dct(ledger, problems_cuda.tensors("8K", "float32"), 1e-3, {})
    ledger.figure("small_weight_v_torch_dct", ratio(timings["dct"], timings["ours"]))


@pytest.mark.first
def bench_small_image(gpu: Any, ledger: Ledger) -> None:
    """Times a megapixel, from the images on the GPU to the blend there."""
    for dtype in ("uint8", "float32"):
        t = problems_cuda.tensors("1024²", dtype)
        timings = interleave({"ours": solver(t), "copy": peers_cuda.copy_of(t.nbytes)}, rounds=200)
        add(
            ledger, GROUP, t.name, f"pyharmony, {dtype}", timings["ours"], version=OURS, copy=timings["copy"],
            nbytes=t.nbytes,
        )  # fmt: skip
        if dtype == "uint8":
            ledger.figure("small_us", 1000 * spread(timings["ours"].cold)[0])


@pytest.mark.first
def bench_agreement(gpu: Any, ledger: Ledger) -> None:
    """Checks that both kernels differ only by rounding at the finest tolerance of float32."""
    t = problems_cuda.tensors("1080p", "float32")
    arrays = t.numpy()
    worst = 0.0
    for method, weight in (("chebyshev", 1.0), ("dct", 0.02)):
        options: dict[str, Any] = {"method": method, "color_weight": weight, "tolerance": 0.002}
        result = gaussian_poisson(t.src, t.dst, t.mask, t.base, **options).cpu().numpy()
        worst = max(worst, float(np.abs(result - gaussian_poisson(*arrays, **options, device="cpu")).max()))
    ledger.figure("cpu_v_cuda", worst)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def bench_numpy_to_numpy(gpu: Any, ledger: Ledger, dtype: str) -> None:
    """Times calls with both transfers, to find from which size the GPU pays."""

    def problem(side: int) -> Callable[[str], Any]:
        arrays = problems_cuda.tensors((side, side), dtype).numpy()
        return lambda device: gaussian_poisson(*arrays, tolerance=PHOTOGRAPH, device=device)

    numpy_to_numpy(ledger, f"whole image, {dtype}", problem)
