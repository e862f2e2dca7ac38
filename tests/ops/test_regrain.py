"""The regrain op, whose change of colours is smooth where an image is smooth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony.errors import DTypeError, MaskError, ShapeError
from pyharmony.ops.regrain import regrain
from pyharmony.reference import regrain as reference

from ..shared import DTYPES

RANGE = {"uint8": 255.0, "uint16": 65535.0}
#: The error: each of the 244 sweeps of all levels takes weighted means of six values in float32; the weights come of
#: a dozen operations each.
BOUND = 32 * sum(reference.SWEEPS) * float(np.finfo(np.float32).eps)


def problem(seed, height, width, dtype="uint8", share=0.7):
    """Returns an image with flat parts, a change of it of order one, and a mask."""
    rng = np.random.default_rng(seed)
    image = np.repeat(rng.random((height, width, 1)) < 0.5, 3, 2) * rng.random(3) * 0.8
    image = image + (rng.random((height, 1, 1)) < 0.5) * 0.02 * rng.random((height, width, 3))
    image = (image * RANGE[dtype]).round().astype(dtype) if dtype in RANGE else image.astype(dtype)
    change = rng.uniform(-1, 1, (height, width, 3)).astype(np.float32)
    return image, change, rng.random((height, width)) < share


def levels(image):
    return image.astype(np.float64) * 255 / RANGE.get(image.dtype.name, 1)


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 150),
    dtype=st.sampled_from(DTYPES),
    share=st.sampled_from([0.0, 0.1, 0.7, 1.0]),
    seed=st.integers(0, 99),
)
def test_any_shape_and_mask_follow_the_reference(height, width, dtype, share, seed):
    image, change, inside = problem(seed, height, width, dtype, share)
    result = regrain(image, change, inside)
    expected = reference.regrain(levels(image), change.astype(np.float64), inside)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result[inside], expected[inside], rtol=0, atol=BOUND)
    np.testing.assert_array_equal(result[~inside], change[~inside])


def test_every_instruction_set(simd):
    image, change, inside = problem(1, 130, 203)
    result = regrain(image, change, inside)
    expected = reference.regrain(levels(image), change.astype(np.float64), inside)
    np.testing.assert_allclose(result[inside], expected[inside], rtol=0, atol=BOUND)


def test_one_change_stays_and_inputs_are_not_modified():
    image, change, inside = problem(3, 60, 70)
    change[...] = 0.25
    copies = image.copy(), change.copy(), inside.copy()
    np.testing.assert_allclose(regrain(image, change, inside), 0.25, rtol=0, atol=BOUND)
    for a, b in zip((image, change, inside), copies, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_outside_has_no_part():
    image, change, inside = problem(4, 60, 70)
    other, also = image.copy(), change.copy()
    other[~inside] = 7
    also[~inside] = np.nan
    np.testing.assert_array_equal(regrain(other, also, inside)[inside], regrain(image, change, inside)[inside])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": np.zeros((4, 5), np.uint8)}, ShapeError, "image: shape"),
        ({"change": np.zeros((4, 6, 3))}, ShapeError, "change: shape"),
        ({"change": np.zeros((4, 5, 3), np.uint8)}, DTypeError, "change: dtype uint8"),
        ({"inside": np.zeros((4, 6), bool)}, ShapeError, "inside: shape"),
        ({"inside": np.zeros((4, 5))}, DTypeError, "inside: dtype float64"),
        ({"inside": np.full((4, 5), 2.0)}, MaskError, "inside: values"),
    ],
)
def test_bad_input(arguments, error, message):
    good = {"image": np.zeros((4, 5, 3)), "change": np.zeros((4, 5, 3)), "inside": np.ones((4, 5), bool)}
    with pytest.raises(error, match=message):
        regrain(**{**good, **arguments})
