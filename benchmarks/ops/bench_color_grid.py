"""Op color_grid: affine map, curves and a 16 x 16 x 8 grid of uint8, compared with OpenCV and torch compositions."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import peers
import peers_color_grid
import problems
import pytest
from measure import Ledger, interleave

import pyharmony
from pyharmony import ops

GROUP = "colour grid, uint8, soft mask"
OURS = pyharmony.__version__
SIZES = {"1080p": (1080, 1920), "12 MP": (3000, 4000), "50 MP": (6144, 8192)}
#: The rows per band of torch's composition: twelve planes of floats of them fit in a cache.
BAND = 64


def problem(size: str) -> tuple[Any, Any]:
    """Returns a photograph and a soft mask of 40 % of it."""
    height, width = SIZES[size]
    inside = problems.blob(height, width)
    ramp = np.linspace(128, 255, width).astype(np.uint8)[None]
    return problems.photograph("coffee", height, width), np.where(inside, ramp, 0).astype(np.uint8)


def torch_bands(torch: Any, call: Any, image: Any, mask: Any) -> Any:
    """Runs torch's composition from array to array, a band of rows at a time."""
    color_map = peers_color_grid.on_torch(peers_color_grid.random_map())
    image, mask, height = torch.from_numpy(image), torch.from_numpy(mask), image.shape[0]
    out = torch.empty_like(image)
    for top in range(0, height, BAND):
        rows = slice(top, top + BAND)
        out[rows] = call(image[rows], mask[rows], top, height, color_map)
    return out.numpy()


@pytest.mark.parametrize("region", ["whole image", "40 %"])
@pytest.mark.parametrize("size", ["1080p", "12 MP"])
def bench_map(benchmark: Any, ledger: Ledger, size: str, region: str) -> None:
    image, mask = problem(size)
    if region == "whole image":
        mask = np.full_like(mask, 255)
    color_map = peers_color_grid.random_map()
    others: dict[str, Any] = {}
    names = {}
    if ledger.available(peers.OPENCV) and size == "1080p":
        import cv2

        cv2.setNumThreads(2)
        others["opencv"] = functools.partial(peers_color_grid.with_opencv, image, mask, color_map)
        names["opencv"] = ("OpenCV and NumPy", str(peers.OPENCV.version), "cells enlarged by cv2.resize")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    compiled = torch.compile(peers_color_grid.with_torch, dynamic=True)
    with torch.inference_mode():
        for key, call, note in (
            ("torch", peers_color_grid.with_torch, "grid_sample, in bands of rows"),
            ("compiled", compiled, "the same, compiled"),
        ):
            others[key] = functools.partial(torch_bands, torch, call, image, mask)
            names[key] = (f"torch, {key}" if key == "compiled" else "torch", torch.__version__, note)
        out = np.empty_like(image)
        timings = interleave(
            benchmark, lambda: ops.color_grid(image, mask, out=out, **color_map.parts), others, rounds=5
        )  # fmt: skip
    torch.set_num_threads(before)
    what = f"{size}, {region}"
    rate = image.shape[0] * image.shape[1] / 1e6 / (timings["ours"].summary()["wall_ms"] / 1000)
    ledger.add(GROUP, what, "pyharmony.ops.color_grid", timings["ours"], version=OURS, note=f"{rate:.0f} MP/s")
    ours = timings["ours"].result.astype(int)
    for key, (name, version, note) in names.items():
        apart = np.abs(timings[key].result.astype(int) - ours).max()
        ledger.add(
            GROUP, what, name, timings[key], against=timings["ours"], version=version,
            note=f"{note}; differs from ours by up to {apart} levels",
        )  # fmt: skip


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def bench_dtypes(benchmark: Any, ledger: Ledger, dtype: str) -> None:
    image, mask = problem("12 MP")
    scale = {"uint8": 1, "uint16": 257}.get(dtype, 1 / 255)
    image, color_map = (image * np.float32(scale)).astype(dtype), peers_color_grid.random_map()
    out = np.empty_like(image)
    timings = interleave(benchmark, lambda: ops.color_grid(image, out=out, **color_map.parts), {}, rounds=5)
    ledger.add(GROUP, f"12 MP, no mask, {dtype}", "pyharmony.ops.color_grid", timings["ours"], version=OURS)


def bench_large(benchmark: Any, ledger: Ledger) -> None:
    """Times the map on 50 megapixels, a part of their harmonisation."""
    image, mask = problem("50 MP")
    out, color_map = np.empty_like(image), peers_color_grid.random_map()
    timings = interleave(benchmark, lambda: ops.color_grid(image, mask, out=out, **color_map.parts), {}, rounds=3)
    ledger.add(GROUP, "50 MP, 40 %", "pyharmony.ops.color_grid", timings["ours"], version=OURS)
    rate = image.shape[0] * image.shape[1] / 1e6 / (timings["ours"].summary()["wall_ms"] / 1000)
    ledger.target("color_grid, uint8, 50 MP, two threads", rate, 60, 200, "MP/s")
