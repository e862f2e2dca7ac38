"""The distance to what is outside a mask: exact, for any mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony.errors import DTypeError, MaskError, ShapeError
from pyharmony.ops.distance import distance
from pyharmony.reference import distance as reference


def nearly(expected: np.ndarray) -> dict[str, object]:
    """Asserts one rounding to float32: the square is exact, and its root is taken in double."""
    return {"desired": expected, "rtol": np.finfo(np.float32).eps, "atol": 0}


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 70),
    share=st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.95, 1.0]),
    seed=st.integers(0, 99),
)
def test_any_mask_follows_the_definition(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) >= share
    np.testing.assert_allclose(distance(mask), **nearly(reference.distance(mask)))


@given(height=st.integers(1, 200), width=st.integers(1, 600), y=st.floats(0, 1), x=st.floats(0, 1))
def test_one_pixel_outside_gives_a_cone(height, width, y, x):
    mask = np.ones((height, width), np.uint8) * 255
    y, x = int(y * (height - 1)), int(x * (width - 1))
    mask[y, x] = 0
    rows, columns = np.mgrid[:height, :width]
    np.testing.assert_allclose(distance(mask), **nearly(np.sqrt((rows - y) ** 2.0 + (columns - x) ** 2.0)))


def test_a_disc_between_strips_and_tasks():
    """It is wider than a strip of columns, higher than a task's rows, and has a hole."""
    y, x = np.mgrid[:90, :700]
    mask = (((y - 45) / 40) ** 2 + ((x - 350) / 330) ** 2 < 1) & ((y - 50) ** 2 + (x - 300) ** 2 > 90)
    mask[20, 512] = False
    outside = np.argwhere(~mask)
    result = distance(mask)
    assert (result[~mask] == 0).all()
    for v, u in np.argwhere(mask)[::37]:
        expected = np.sqrt(((outside - (v, u)) ** 2).sum(axis=1).min())
        assert result[v, u] == pytest.approx(expected, rel=float(np.finfo(np.float32).eps))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float16", "float32", "float64"])
def test_dtypes_and_strides_say_the_same(dtype):
    inside = np.random.default_rng(1).random((41, 53)) > 0.1
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    expected, mask = distance(inside), (inside * full).astype(dtype)
    for same in (mask, np.ascontiguousarray(mask[::-1, ::-1])[::-1, ::-1], np.asfortranarray(mask), mask[..., None]):
        np.testing.assert_array_equal(distance(same), expected)


def test_any_value_above_zero_is_inside():
    mask = np.full((3, 3), 1e-300)
    mask[0, 0] = 0
    np.testing.assert_array_equal(distance(mask)[0], [0, 1, 2])


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((4, 4), np.uint8), MaskError, "mask > 0"),
        (np.ones((4, 4, 3)), ShapeError, r"expected \[H, W\]"),
        (np.ones((0, 4)), ShapeError, "with pixels"),
        (np.ones((4, 4), np.int32), DTypeError, "mask: dtype int32"),
    ],
)
def test_bad_input(mask, error, message):
    with pytest.raises(error, match=message):
        distance(mask)
