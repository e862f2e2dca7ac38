"""Squared errors and the map of SSIM: of any dtype, layout and size, as defined in float64."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony import _arrays
from pyharmony.ops.similarity import similarity, squared_errors
from pyharmony.reference import similarity as reference

from ..shared import DTYPES


def images(height: int, width: int, channels: int, dtype: str, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    output = rng.random((height, width, channels))
    target = np.clip(output + rng.normal(0, 0.1, output.shape), 0, 1)
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    return [(x * white).astype(dtype) for x in (output, target)]


def levels(image: np.ndarray) -> np.ndarray:
    return np.float64(image) * (255 / {"uint8": 255, "uint16": 65535}.get(image.dtype.name, 1))


@pytest.mark.usefixtures("simd")
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    height=st.sampled_from([11, 12, 40, 70]),
    width=st.sampled_from([11, 17, 127, 129, 270]),
    channels=st.sampled_from([1, 3]),
    layout=st.sampled_from(["interleaved", "planar", "cropped"]),
)
def test_any_image_follows_the_definition(dtype, height, width, channels, layout):
    output, target = images(height, width, channels, dtype)
    if layout == "planar":
        output = np.ascontiguousarray(output.transpose(2, 0, 1)).transpose(1, 2, 0)
    elif layout == "cropped":
        target = np.pad(target, [(2, 3), (1, 4), (0, 0)])[2:-3, 1:-4]
    a, b = levels(output), levels(target)
    # Terms are at most 65025, and their differences are divided by C2 = 58.5 or more.
    np.testing.assert_allclose(similarity(output, target), reference.similarity(a, b), rtol=0, atol=1e-11)
    errors = reference.squared_errors(a, b)
    weights = np.random.default_rng(1).random((height, width))
    plain, weighted = squared_errors(output, target, weights)
    assert plain == pytest.approx(errors.sum(), rel=1e-13)
    assert weighted == pytest.approx((errors * weights).sum(), rel=1e-13)
    assert squared_errors(output, target) == (pytest.approx(plain, rel=1e-13), 0.0)


@pytest.mark.usefixtures("simd")
def test_sums_of_bytes_are_exact():
    output, target = np.zeros((3, 4099, 3), np.uint8), np.full((3, 4099, 3), 255, np.uint8)
    assert squared_errors(output, target)[0] == 3 * 4099 * 3 * 255**2
    output, target = images(64, 333, 3, "uint8")
    assert squared_errors(output, target)[0] == np.square(np.int64(output) - target).sum()


def test_bad_arrays_are_refused():
    a, b = images(12, 12, 3, "uint8")
    with pytest.raises(ValueError, match="target: dtype float32, expected uint8"):
        similarity(a, np.float32(b))
    with pytest.raises(ValueError, match=r"output: shape \[12, 12, 3\] differs from target \[11, 12, 3\]"):
        squared_errors(a, b[1:])
    with pytest.raises(ValueError, match="output: 12 x 10 pixels, expected sides of at least 11"):
        similarity(a[2:], b[2:])
    with pytest.raises(ValueError, match="weights: dtype float32, expected float64"):
        squared_errors(a, b, np.ones((12, 12), np.float32))  # type: ignore[arg-type]


def test_arrays_that_are_not_aligned_are_copied():
    a, b = images(20, 30, 3, "float32")
    shifted = np.empty(a.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(a.shape)
    shifted[...] = a
    assert np.array_equal(similarity(shifted, b), similarity(a, b))
    assert squared_errors(shifted, b) == squared_errors(a, b)


def test_a_view_keeps_its_array():
    x = np.zeros((4, 4, 1), np.float32)
    alive = weakref.ref(x)
    view = _arrays.view(x, "x")
    del x
    assert alive() is not None
    del view
    assert alive() is None
