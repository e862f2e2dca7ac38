"""The small tools on planes, each written once: boxes, growing, blurring, connected parts and sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pyharmony._images import kinds
from pyharmony._images.planes import closed, connected_parts, gaussian, grown, opened, shrunk
from pyharmony._images.region import Region, bounding_box
from pyharmony._images.sizes import block_means, fitted, resized

from ..shared import ROOT, dotted, nodes_of

PACKAGE = ROOT / "pyharmony"
#: Rooms of torch work on tensors, and definitions stand on NumPy alone.
EXCLUDED_ROOMS = ("models", "losses", "nn", "reference")

regions = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yields each function of the package with the path of its file, without the rooms apart."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(EXCLUDED_ROOMS):
            for node in nodes_of(path):
                if isinstance(node, ast.FunctionDef):
                    yield name, node


def test_the_box_of_a_mask_is_found_by_one_function() -> None:
    """No other function asks which rows and which columns of one array have something in them."""
    others = []
    for path, function in functions():
        axes: dict[str, set[str]] = {}
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and dotted(call.func) == "np.flatnonzero":
                (inner,) = call.args
                if (
                    isinstance(inner, ast.Call)
                    and isinstance(inner.func, ast.Attribute)
                    and inner.func.attr in _REDUCTIONS
                ):
                    axis = [*inner.args, *(keyword.value for keyword in inner.keywords)]
                    axes.setdefault(ast.unparse(inner.func.value), set()).update(map(ast.unparse, axis))
        if any(flags >= {"0", "1"} or "axis" in flags for flags in axes.values()):
            others.append(f"{path}: {function.name}")
    assert others == []


_REDUCTIONS = ("any", "max")


@given(regions)
def test_a_box_holds_all_of_a_mask_and_no_more(region: np.ndarray) -> None:
    box = bounding_box(region)
    assert box.empty == (not region.any())
    inside = box.of(region)
    assert inside.sum() == region.sum()
    if not box.empty:
        assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert bounding_box(region.astype(np.float32) * 0.25) == box


def test_a_box_as_pillow_has_it_and_as_a_rectangle() -> None:
    box = Region(2, 7, 1, 4)
    assert box.box == (1, 2, 4, 7) and box.rectangle == (1, 2, 3, 5)
    assert bounding_box(np.zeros((0, 3), bool)) == bounding_box(np.zeros((2, 3), bool)) == Region(0, 0, 0, 0)


#: The file with the one function of each name.
HELPER_FILES = {
    "grown": "_images/planes.py", "shrunk": "_images/planes.py", "connected_parts": "_images/planes.py",
    "gaussian": "_images/planes.py",
    "fitted": "_images/sizes.py", "resized": "_images/sizes.py", "block_means": "_images/sizes.py",
    "level_means": "_images/sizes.py",
}  # fmt: skip
#: Functions of these names that do something else: a blur of tensors; a margin around a `Region`; resizing as networks
#: are trained, a plane to the nearest pixels; a cell of a contact sheet; means in the order of the network's sums.
OTHER_FUNCTIONS = {
    "_images/edge_colours.py: _grown", "learn/training/_batches.py: resized", "cli/_sheets.py: fitted",
    "harmonization/_colorgrid.py: _block_means", "learn/training/steps/_degraded.py: gaussian",
}  # fmt: skip


def test_each_tool_has_one_function() -> None:
    others = [
        f"{path}: {function.name}"
        for path, function in functions()
        if HELPER_FILES.get(function.name.lstrip("_"), path) != path
    ]
    assert set(others) <= OTHER_FUNCTIONS


@given(regions, st.integers(0, 5), st.booleans())
def test_regions_grow_and_shrink_as_those_of_scipy(region: np.ndarray, radius: int, corners: bool) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    step = np.ones((3, 3), bool) if corners else ndimage.generate_binary_structure(2, 1)
    steps = {"structure": step, "iterations": radius}
    wider = ndimage.binary_dilation(region, **steps) if radius else region
    narrower = ndimage.binary_erosion(region, border_value=1, **steps) if radius else region
    before = region.copy()
    np.testing.assert_array_equal(grown(region, radius, corners=corners), wider)
    np.testing.assert_array_equal(shrunk(region, radius, corners=corners), narrower)
    np.testing.assert_array_equal(region, before)


@given(arrays.arrays(np.float32, (7, 9), elements=st.floats(-1, 1, width=32)), st.integers(0, 4), st.booleans())
def test_values_spread_as_the_regions_above_each_level(values: np.ndarray, radius: int, corners: bool) -> None:
    for level in values.ravel()[:5]:
        above = grown(values >= level, radius, corners=corners)
        np.testing.assert_array_equal(grown(values, radius, corners=corners) >= level, above)
    np.testing.assert_array_equal(shrunk(values, radius, corners=corners), -grown(-values, radius, corners=corners))


def test_what_is_thin_is_opened_and_gaps_are_closed() -> None:
    region = np.zeros((12, 20), bool)
    region[2:10, 2:8] = region[2:10, 10:17] = True
    bridged = region.copy()
    bridged[5, 8:10] = True
    np.testing.assert_array_equal(opened(bridged, 1), region)
    assert closed(region, 1)[2:10, 2:17].all() and closed(region, 1).sum() == 8 * 15


@given(regions)
def test_connected_parts_are_numbered_as_those_of_scipy(region: np.ndarray) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    np.testing.assert_array_equal(connected_parts(region), ndimage.label(region)[0])


@pytest.mark.parametrize("size", [0.0, 0.7, 2.0])
def test_parts_of_large_regions_are_connected(size: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    region = ndimage.gaussian_filter(np.random.default_rng(3).random((210, 170)), size) > 0.5
    np.testing.assert_array_equal(connected_parts(region), ndimage.label(region)[0])


def test_a_spiral_is_one_part() -> None:
    region = np.ones((41, 41), bool)
    row, column, step = 1, -1, (0, 1)
    for length in [*np.repeat(np.arange(40, 0, -2), 2)][1:]:
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            region[row, column] = False
        step = step[1], -step[0]
    assert connected_parts(region).max() == 1


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), st.integers(1, 6000), st.integers(1, 8))
def test_a_size_is_fitted_to_a_side(size: tuple[int, int], longest: int, least: int) -> None:
    sides = fitted(size, longest, least=least)
    assert max(sides) <= max(longest, least) and min(sides) >= least
    if max(size) <= longest:
        assert sides == tuple(max(side, least) for side in size)
    else:
        factor = longest / max(size)
        assert all(side == least or abs(side - factor * whole) <= 0.5 for side, whole in zip(sides, size, strict=True))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(31, 47), (31, 47, 1), (31, 47, 3), (31, 47, 5)])
def test_an_image_of_any_dtype_is_resized(dtype: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    unit = {"uint8": 255, "uint16": 65535}.get(dtype, 1.0)
    values = (random.random(shape) * unit).astype(dtype)
    assert resized(values, (47, 31)) is values
    small = resized(values, (12, 9))
    assert small.dtype == dtype and small.shape == (9, 12, *shape[2:])
    # Each channel is what it is by itself, to a level of 8 bits.
    plane = values.astype(np.float32).reshape(31, 47, -1)
    expected = np.stack([resized(plane[..., c], (12, 9)) for c in range(plane.shape[2])], 2).reshape(small.shape)
    np.testing.assert_allclose(small, expected, rtol=0, atol=unit / 255)
    constant = np.full(shape, unit, dtype)
    assert (resized(constant, (5, 80)) == unit).all()


@pytest.mark.parametrize("box", [(0.0, 0.0, 200.0, 160.0), (13.25, 40.5, 77.0, 90.75), (150.0, 100.0, 200.0, 160.0)])
def test_a_part_is_resized_as_in_the_whole_image(box: tuple[float, float, float, float]) -> None:
    from PIL import Image

    values = np.random.default_rng(1).random((160, 200)).astype(np.float32)
    for size in ((20, 10), (90, 70), (300, 200)):
        whole = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)
        np.testing.assert_allclose(resized(values, size, box), np.asarray(whole), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_blocks_become_their_mean(dtype: str) -> None:
    values = (np.arange(12 * 18 * 3).reshape(12, 18, 3) % 250).astype(dtype)
    expected = values.astype(float).reshape(4, 3, 6, 3, 3).mean((1, 3))
    means = block_means(values, 3)
    assert means.dtype == dtype
    np.testing.assert_allclose(means, expected, rtol=0, atol=1e-4 if dtype == "float32" else 0.6)
    assert block_means(values, 1) is values and block_means(values[:11, :17].astype(np.uint8), 3).shape == (4, 6, 3)


@pytest.mark.parametrize("border", ["symmetric", "edge"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("deviation", "reach"), [(0.75, 4.0), (1.5, 4.0), (2.0, 3.0)])
def test_a_gaussian_is_that_of_scipy(deviation: float, reach: float, dtype: type, border: Any) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy is not installed")
    mode = {"symmetric": "reflect", "edge": "nearest"}[border]
    # Beside a product of matrices, which small tiles are blurred by, there is a sum of shifted planes.
    for shape in ((3, 5), (40, 37), (70, 90)):
        values = np.random.default_rng(0).random(shape).astype(dtype)
        expected = ndimage.gaussian_filter(values.astype(np.float64), deviation, mode=mode, truncate=reach)
        blurred = gaussian(values, deviation, reach=reach, border=border)
        assert blurred.dtype == dtype
        np.testing.assert_allclose(blurred, expected, rtol=0, atol=2e-6 if dtype == np.float32 else 1e-14)


def test_only_these_axes_are_blurred() -> None:
    values = np.random.default_rng(0).random((3, 20, 18, 2)).astype(np.float32)
    expected = np.stack([[gaussian(x[..., c], 1.5) for c in range(2)] for x in values])
    np.testing.assert_allclose(np.moveaxis(gaussian(values, 1.5, (1, 2)), 3, 1), expected, rtol=0, atol=1e-6)


def test_a_mask_is_hard_above_one_half() -> None:
    for dtype, half in (("float32", 0.5), ("float16", 0.5), ("uint8", 127)):
        values = np.array([[half, half + (1 if dtype == "uint8" else 0.25)]], dtype)
        assert kinds.hard_mask(values, "mask", 1, 2).tolist() == [[False, True]]
