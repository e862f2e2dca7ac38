"""pyharmony.blend: whole calls, images in and image out."""

from __future__ import annotations

import functools
from typing import Any

import problems
import pytest
from measure import Ledger, interleave

import pyharmony
from pyharmony import blend

OURS = pyharmony.__version__
CALLS = {
    "gaussian_poisson (default)": blend.gaussian_poisson,
    "gaussian_poisson, preserve_background=False": functools.partial(blend.gaussian_poisson, preserve_background=False),
    "poisson": blend.poisson,
    "poisson, mixed": functools.partial(blend.poisson, gradients="mixed"),
    "laplacian": blend.laplacian,
    "alpha": blend.alpha,
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("size", ["1080p", "4K"])
def bench_blend(benchmark: Any, ledger: Ledger, size: str, name: str) -> None:
    p = problems.blend(size)
    call = CALLS[name]
    timings = interleave(benchmark, lambda: call(p.src, p.dst, p.mask), {}, rounds=3)
    columns: dict[str, Any] = {}
    if "poisson" in name:
        info = call(p.src, p.dst, p.mask, return_info=True)[1]
        scratch = info.peak_bytes / p.pixels
        columns = {"certified": info.max_error, "note": f"{info.method}, {scratch:.0f} B of scratch a pixel"}
    ledger.add("pyharmony.blend, uint8, blob of 40 %", f"{size} x 3", name, timings["ours"], version=OURS, **columns)
    if size == "4K" and name.endswith("(default)"):
        ledger.target(
            "the default blend.gaussian_poisson call, 4K uint8", timings["ours"].summary()["wall_ms"] / 1000,
            1.5, 0.5, "s", higher_is_better=False,
        )  # fmt: skip
