"""The small tools on planes, each written once: boxes, growing, blurring, connected parts and sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pyharmony._images.planes import closed, connected_parts, grown, opened, shrunk
from pyharmony._images.region import Region, bounding_box

PACKAGE = Path(__file__).resolve().parent.parent / "pyharmony"
#: Rooms of torch work on tensors, and definitions stand on NumPy alone.
APART = ("models", "losses", "nn", "reference")

regions = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yields each function of the package with the path of its file, without the rooms apart."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(APART):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    yield name, node


def test_the_box_of_a_mask_is_found_by_one_function() -> None:
    """No other function asks which rows and which columns of one array have something in them."""
    others = []
    for path, function in functions():
        axes: dict[str, set[str]] = {}
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "np.flatnonzero":
                (inner,) = call.args
                if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in _FILLED:
                    axis = [*inner.args, *(keyword.value for keyword in inner.keywords)]
                    axes.setdefault(ast.unparse(inner.func.value), set()).update(map(ast.unparse, axis))
        if any(found >= {"0", "1"} or "axis" in found for found in axes.values()):
            others.append(f"{path}: {function.name}")
    assert others == []


_FILLED = ("any", "max")


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


#: Names of which each has one function, beside tensors', and those that are something else: a `Region` with a margin.
ONCE = {"grown": "_images/planes.py", "shrunk": "_images/planes.py", "connected_parts": "_images/planes.py"}
ELSE = {"_images/edge_colours.py: _grown"}


def test_each_tool_has_one_function() -> None:
    others = [
        f"{path}: {function.name}"
        for path, function in functions()
        if ONCE.get(function.name.lstrip("_"), path) != path
    ]
    assert set(others) <= ELSE


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
