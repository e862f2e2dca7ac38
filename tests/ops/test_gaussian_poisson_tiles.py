"""Tiles of an image that does not fit in memory have the bits of the whole, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyharmony import blend, ops
from pyharmony.blend import _tiles as tiled_blend
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError, UnchangedWarning

from ..shared import FLOODS

RANGE = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1}


class Disk:
    """An array that can only be sliced, like a dataset in a file."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.most = 0

    def _part(self, key: Any) -> Any:
        assert isinstance(key, tuple) and all(isinstance(k, slice) and k.step is None for k in key)
        part = self._array[key]
        self.most = max(self.most, part.nbytes)
        return part

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._part(key).copy()

    def __setitem__(self, key: Any, values: np.ndarray) -> None:
        self._part(key)[...] = values


def scene(height: int, width: int, dtype: str = "uint8", noise: float = 0.02) -> tuple[np.ndarray, ...]:
    """Returns src, dst, base and a soft mask."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    mask = np.clip(1.5 - np.hypot(y - 0.45 * height, x - 0.5 * width) / (0.3 * min(height, width)), 0, 1)

    def image(k: int) -> np.ndarray:
        planes = [0.5 + 0.3 * np.sin(x / (19 + k) + c) * np.cos(y / (23 - k)) for c in range(3)]
        values = np.stack(planes, -1) + 0.1 * ((x // 31 + y // 23 + k) % 2)[..., None]
        values = np.clip(values + noise * rng.standard_normal(values.shape), 0, 1)
        return np.rint(values * RANGE[dtype]).astype(dtype) if RANGE[dtype] > 1 else values.astype(dtype)

    return image(0), image(3), image(5), mask


def both(images: tuple[np.ndarray, ...], tile: Any = 256, **options: Any) -> tuple[Any, Any, Any, Any]:
    """Returns the tiled and the whole result, each with its info; the whole by the same method and steps."""
    src, dst, base, mask = images
    out = np.zeros_like(dst)
    tiled, info = ops.gaussian_poisson_tiles(src, dst, mask, base, out, tile=tile, return_info=True, **options)
    assert tiled is out
    # The whole takes as many steps: float32 may be asked for less than its default.
    options.setdefault("tolerance", max(info.max_error, {"uint16": 0.004, "uint8": 0.25}.get(dst.dtype.name, 0.025)))
    whole, whole_info = ops.gaussian_poisson(src, dst, mask, base, method="chebyshev", return_info=True, **options)
    return tiled, whole, info, whole_info


@pytest.mark.large
@pytest.mark.parametrize("dtype", RANGE)
@pytest.mark.parametrize("weight", [0.25, 1.0, 4.0, "map"])
@pytest.mark.parametrize("pinned", [False, True])
def test_tiles_have_the_bits_of_the_whole(dtype: str, weight: Any, pinned: bool) -> None:
    images = scene(290, 347, dtype)
    if weight == "map":
        weight = (0.25 + np.random.default_rng(1).random((290, 347))).astype(np.float32)
    for tile in (128, (61, 200)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tiled, whole, info, whole_info = both(images, tile, color_weight=weight, preserve_background=pinned)
        # The range of float images, which the proof allows rounding for, is that of the pixels that were read.
        alike = info.max_error == pytest.approx(whole_info.max_error, rel=0.01)
        if alike and info.iterations == whole_info.iterations:
            assert np.array_equal(tiled, whole)
        else:  # the least tolerance of float32 is asked for in another way
            assert dtype == "uint16"
            limit = (info.max_error + whole_info.max_error) * 257 + 1
            assert np.abs(tiled.astype(int) - whole).max() <= limit
        assert info.max_error <= {"uint8": 0.25, "uint16": 0.03}.get(dtype, 0.025)


@pytest.mark.parametrize("tile", [16, (97, 1000), (1000, 31), 256])
def test_any_tile_gives_the_same(tile: Any, threads: int) -> None:
    images = scene(173, 190)
    tiled, whole, _, _ = both(images, tile, color_weight=0.3, preserve_background=True)
    assert np.array_equal(tiled, whole)


def test_a_second_run_is_one_of_the_whole_image() -> None:
    """Noise asks for more steps than photographs; the proof of all tiles decides."""
    rng = np.random.default_rng(0)
    images = tuple(rng.integers(0, 256, (3, 150, 160, 3), np.uint8)) + (rng.random((150, 160)),)
    tiled, whole, info, _ = both(images, 64)
    assert np.array_equal(tiled, whole)
    smooth = both(scene(150, 160), 64)[2]
    assert info.iterations > smooth.iterations


def test_options_are_those_of_the_whole() -> None:
    images = scene(140, 150)
    for options in (dict(sigma=0.0), dict(sigma=1.0, as_published=True), dict(tolerance=0.01)):
        tiled, whole, _, _ = both(images, 64, **options)
        assert np.array_equal(tiled, whole), options
    grey = tuple(a[..., 0] for a in images[:3]) + images[3:]
    tiled, whole, _, _ = both(grey, 64)
    assert tiled.shape == (140, 150)
    assert np.array_equal(tiled, whole)
    base = images[2].astype(np.float32) + 0.25
    tiled, whole, _, _ = both((*images[:2], base, images[3]), 64)
    assert np.array_equal(tiled, whole)


def test_slices_are_all_that_it_asks_for() -> None:
    images = scene(300, 280)
    expected = both(images, 64)[0]
    src, dst, base, mask = (Disk(a) for a in images)
    weights = Disk(np.ones((300, 280), np.float32))
    out = Disk(np.zeros_like(images[1]))
    assert ops.gaussian_poisson_tiles(src, dst, mask, base, out, tile=64, color_weight=weights) is out
    assert np.array_equal(out._array, expected)
    assert max(src.most, base.most) <= (64 + 2 * 20) ** 2 * 3
    empty = Disk(np.zeros((300, 280), bool))
    ops.gaussian_poisson_tiles(src, dst, empty, base, out, tile=64, preserve_background=True)
    assert np.array_equal(out._array, images[1])


@pytest.mark.large
@pytest.mark.parametrize(("width", "channels"), [(1501, 1), (1031, 2), (701, 3), (1013, 4)])
def test_a_result_past_the_caches_has_the_same_bits(simd: str, width: int, channels: int) -> None:
    """Large float32 results are stored another way than tiles, row by row from any offset of a vector."""
    shape = (2**21 // (width * channels) + 5, width, channels)
    rng = np.random.default_rng(channels)
    src, dst, base = (rng.random(shape, np.float32) for _ in range(3))
    mask = rng.random(shape[:2], np.float32)
    whole = ops.gaussian_poisson(src, dst, mask, base, method="chebyshev")
    assert whole.nbytes > 2**23
    in_tiles = np.empty_like(whole)
    ops.gaussian_poisson_tiles(src, dst, mask, base, in_tiles, tile=512)
    np.testing.assert_array_equal(whole, in_tiles)


@pytest.mark.house  # sanitizers need memory of their own
def test_memory_is_bounded(tmp_path: Path) -> None:
    """A process that may take 24 MB beside its imports solves files of 4 x 27 MB."""
    code = f"""
import ctypes, resource
import numpy as np
import pyharmony
from pyharmony import blend, ops
from pyharmony.blend import _tiles as tiled_blend

pyharmony.set_num_threads(2)
tiled_blend.IN_MEMORY = 1 << 16
height, width = 3000, 3000
def file(name, dtype, *channels):
    return np.memmap({str(tmp_path)!r} + "/" + name, dtype, "w+", shape=(height, width, *channels))
src, dst, base, out = (file(n, np.uint8, 3) for n in ("src", "dst", "base", "out"))
mask = file("mask", np.uint8)
rows = np.arange(height)[:, None]
for x in range(0, width, 500):
    columns = np.arange(x, x + 500)[None]
    for image, k in ((src, 1), (dst, 2), (base, 3)):
        image[:, x:x+500] = (128 + 60 * np.sin(rows / (30 * k)) * np.cos(columns / 50))[..., None]
    mask[:, x:x+500] = 255 * (np.hypot(rows - 1500, columns - 1500) < 1000)
# Threads have their stacks before the limit is set.
part = slice(0, 700), slice(0, 700)
ops.gaussian_poisson_tiles(src[part], dst[part], mask[part], base[part], out[part].copy(), tile=512)
ctypes.CDLL(None).malloc_trim(0)  # what is free already would not count
with open("/proc/self/status") as status:
    held = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
limit = held + (24 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
info = ops.gaussian_poisson_tiles(
    src, dst, mask, base, out, tile=512, preserve_background=True, return_info=True)[1]
assert info.max_error <= 0.25, info
assert info.peak_bytes < 12 << 20, info
whole_blend = blend.gaussian_poisson_tiles(src, dst, mask, out, tile=512, return_info=True)[1]
assert whole_blend.max_error <= 0.25
assert whole_blend.peak_bytes < 12 << 20, whole_blend
try:
    ops.gaussian_poisson(src, dst, mask, base)
except MemoryError:
    print("bounded")
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("resource limits of data are Linux's")
    # An arena of malloc for each thread would count too.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "bounded\n"


@pytest.mark.full
def test_a_picture_of_12000_by_12000(tmp_path: Path) -> None:
    shape = (12000, 12000)
    rng = np.random.default_rng(0)
    src, dst, base, out = (np.memmap(tmp_path / n, np.uint8, "w+", shape=(*shape, 3)) for n in "sdbo")
    mask = np.memmap(tmp_path / "m", np.uint8, "w+", shape=shape)
    x = np.arange(shape[1])[None, :, None]
    for top in range(0, shape[0], 1000):
        y = np.arange(top, top + 1000)[:, None, None]
        for image, k in ((src, 1), (dst, 2), (base, 3)):
            wave = 128 + 60 * np.sin(y / (90 * k)) * np.cos(x / 150) + rng.integers(-5, 6, (1000, shape[1], 3))
            image[top : top + 1000] = wave
        mask[top : top + 1000] = 255 * (np.hypot(y[..., 0] - 6000, x[..., 0] - 6000) < 4000)
    _, info = ops.gaussian_poisson_tiles(src, dst, mask, base, out, preserve_background=True, return_info=True)
    assert info.max_error <= 0.25
    assert info.peak_bytes < 64 << 20
    for y, x0 in ((1024, 2048), (5000, 5000), (9980, 6100)):  # across tiles, in the middle and at the contour
        part = slice(y - 100, y + 100), slice(x0 - 100, x0 + 100)
        crop = slice(y - 200, y + 200), slice(x0 - 200, x0 + 200)
        whole = ops.gaussian_poisson(src[crop], dst[crop], mask[crop], base[crop], preserve_background=True)
        # Errors of a crop's border die out over 100 pixels; two solves within tolerance, each rounded.
        assert np.abs(out[part].astype(int) - whole[100:300, 100:300]).max() <= 1

    def check_outside() -> None:
        for top in range(0, shape[0], 1000):
            rows = slice(top, top + 1000)
            outside = mask[rows] == 0
            assert np.array_equal(out[rows][outside], dst[rows][outside])

    check_outside()
    _, info = blend.gaussian_poisson_tiles(src, dst, mask, out, folder=tmp_path, return_info=True)
    assert info.max_error <= 0.25
    assert info.peak_bytes < 256 << 20
    check_outside()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"color_weight": 0.2}, ArgumentError, r"color_weight: 0.2, expected .*at least 0.25; with smaller"),
        ({"color_weight": np.full((40, 50), 0.2, np.float32)}, ArgumentError, "color_weight: values from 0.2 to 0.2"),
        ({"color_weight": np.full((40, 50), np.nan)}, ArgumentError, "color_weight: values from nan"),
        ({"color_weight": np.ones((4, 5))}, ShapeError, r"color_weight: a map of shape \[4, 5\]"),
        ({"color_weight": "1"}, DTypeError, "color_weight: str, expected"),
        ({"tile": 8}, ArgumentError, "tile: 8, expected a number of pixels, at least 16"),
        ({"tile": 64.0}, DTypeError, "tile: 64.0, expected"),
        ({"sigma": 0.8, "color_weight": 30}, ArgumentError, "color_weight: 30 with sigma 0.8, for which no error"),
        ({"sigma": 1}, ArgumentError, "sigma: 1, expected 0 to 0.8"),
        ({"out": np.zeros((40, 50, 3), np.float32)}, DTypeError, "out: dtype float32, expected uint8"),
        ({"out": np.zeros((40, 51, 3), np.uint8)}, ShapeError, r"out: shape \[40, 51, 3\] differs from dst"),
        ({"base": np.zeros((40, 50, 3))}, DTypeError, "base: dtype float64, expected uint8 or float32"),
        ({"src": [1, 2]}, DTypeError, "src: list, expected an array with shape"),
        ({"mask": np.ones((40, 50), np.uint8)}, MaskError, "mask: uint8 with largest value 1"),
        ({"mask": np.full((40, 50), 1.5)}, MaskError, "mask: values from 1.5 to 1.5"),
        ({"mask": np.ones((40, 50), np.int32)}, DTypeError, "mask: dtype int32 is not supported"),
    ],
)
def test_bad_arguments(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    src, dst, base, mask = scene(40, 50)
    arguments = {"src": src, "dst": dst, "mask": mask, "base": base, "out": np.zeros_like(dst), **changes}
    with pytest.raises(error, match=message):
        ops.gaussian_poisson_tiles(**arguments)


def test_out_is_another_array_and_nan_is_named() -> None:
    src, dst, base, mask = scene(90, 100, "float32")
    with pytest.raises(ArgumentError, match="out: shares memory with dst"):
        ops.gaussian_poisson_tiles(src, dst, mask, base, dst)
    src[70, 80, 1] = np.nan
    with pytest.raises(ArgumentError, match=r"src: nan at pixel \(y=70, x=80\), channel 1"):
        ops.gaussian_poisson_tiles(src, dst, mask, base, np.zeros_like(dst), tile=32)


# ---- the blend -----------------------------------------------------------------------------------

SMALL_MASK = np.hypot(*(np.mgrid[:210, :287] - np.array([105, 140])[:, None, None])) < 15


@pytest.mark.covering(1)
@FLOODS
@pytest.mark.large
@pytest.mark.parametrize("in_memory", [0, 10_000, 1 << 21])
@pytest.mark.parametrize("kind", ["soft", "border", "everything", "small", "strips"])
def test_the_blend_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch, in_memory: int, kind: str) -> None:
    monkeypatch.setattr(tiled_blend, "IN_MEMORY", in_memory)
    src, dst, _, soft = scene(210, 287)
    x = np.arange(287)[None] + np.zeros((210, 1))
    masks = {"soft": soft, "border": x < 175, "everything": x >= 0, "small": SMALL_MASK, "strips": x % 9 > 0}
    mask = masks[kind]
    for pinned in (False, True):
        options = dict(preserve_background=pinned, return_info=True)
        want, whole = blend.gaussian_poisson(src, dst, mask, **options)
        for tile in (64, (70, 180)):
            out = Disk(np.zeros_like(dst))
            result, info = blend.gaussian_poisson_tiles(Disk(src), Disk(dst), Disk(mask), out, tile=tile, **options)
            assert result is out
            assert np.array_equal(out._array, want)
            assert (info.iterations, info.max_error) == (whole.iterations, whole.max_error)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_options_of_the_blend(dtype: str, tmp_path: Path) -> None:
    src, dst, _, mask = scene(150, 170, dtype)
    for options in (
        dict(color_weight=0.3, sigma=0.3),
        dict(smooth_sigma=0.0),
        dict(smooth_sigma=3.0),
        dict(tolerance=0.05),
    ):
        out = np.zeros_like(dst)
        blend.gaussian_poisson_tiles(src, dst, mask, out, tile=64, folder=tmp_path, **options)
        want = blend.gaussian_poisson(src, dst, mask, **options)
        if dtype == "uint16" and "tolerance" not in options:  # float32 proves less than the default of the whole
            assert np.abs(out.astype(int) - want).max() <= 0.02 * 257 + 1
        else:
            assert np.array_equal(out, want), options
    assert not list(tmp_path.iterdir())
    grey = np.zeros_like(dst[..., 0])
    blend.gaussian_poisson_tiles(src[..., 0], dst[..., 0], mask, grey, tile=64)
    if dtype != "uint16":
        assert np.array_equal(grey, blend.gaussian_poisson(src[..., 0], dst[..., 0], mask))


def test_the_blend_without_a_mask_or_with_bad_arguments() -> None:
    src, dst, _, mask = scene(90, 100)
    out = np.zeros_like(dst)
    with pytest.warns(UnchangedWarning, match="mask is zero everywhere"):
        _, info = blend.gaussian_poisson_tiles(src, dst, mask * 0, out, return_info=True)
    assert info.method == "copy"
    assert np.array_equal(out, dst)
    with pytest.raises(ArgumentError, match=r"color_weight: 0\.1, expected a number of at least 0\.25"):
        blend.gaussian_poisson_tiles(src, dst, mask, out, color_weight=0.1)
    rgba = np.zeros((90, 100, 4), np.uint8)
    with pytest.raises(ShapeError, match="expected 1 or 3 channels"):
        blend.gaussian_poisson_tiles(rgba, rgba, mask, rgba.copy())
    bad = src.astype(np.float32)
    bad[70, 61, 2] = np.nan
    with pytest.raises(ArgumentError, match=r"src: nan at pixel \(y=70, x=61\), channel 2"):
        blend.gaussian_poisson_tiles(bad, dst.astype(np.float32), mask >= 0, out.astype(np.float32), tile=32)
