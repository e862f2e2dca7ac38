"""Halving and doubling of images and masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.ops.pyramid import downsample, downsample_mask, meet_known, upsample
from pyharmony.reference import pyramid as reference

from ..shared import DTYPES


def random_image(rng, shape, dtype="uint8"):
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def tolerance(image, taps):
    """Returns the error of sums of `taps` float32 products along each axis, of values up to the image's largest."""
    return 2 * (taps + 2) * np.finfo(np.float32).eps * float(np.abs(image.astype(np.float64)).max() + 1e-30)


@given(
    height=st.integers(1, 150),
    width=st.integers(1, 400),
    channels=st.integers(1, 5),
    dtype=st.sampled_from(DTYPES),
    sigma=st.sampled_from([0.0, 0.3, 1.0, 2.7]),
    seed=st.integers(0, 99),
)
def test_any_shape_and_dtype_follow_the_reference(height, width, channels, dtype, sigma, seed):
    image = random_image(np.random.default_rng(seed), (height, width, channels), dtype)
    half = downsample(image, sigma)
    assert half.dtype == np.float32
    bound = tolerance(image, 8 * sigma + 4)
    np.testing.assert_allclose(half, reference.downsample(image, sigma), rtol=0, atol=bound)
    double = upsample(half, (height, width))
    np.testing.assert_allclose(double, reference.upsample(half, (height, width)), rtol=0, atol=tolerance(half, 6))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set(simd, dtype, channels):
    image = random_image(np.random.default_rng(1), (67, 301, channels), dtype)
    half = downsample(image)
    np.testing.assert_allclose(half, reference.downsample(image), rtol=0, atol=tolerance(image, 10))
    double = upsample(half, (67, 301))
    np.testing.assert_allclose(double, reference.upsample(half, (67, 301)), rtol=0, atol=tolerance(half, 6))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 3), (64, 65), (301, 97)])
def test_constants_stay_and_borders_are_not_darkened(size):
    image = np.full((*size, 3), 178, np.uint8)
    half = downsample(image)
    bound = tolerance(image, 10)
    np.testing.assert_allclose(half, 178, rtol=0, atol=bound)
    np.testing.assert_allclose(upsample(half, size), 178, rtol=0, atol=2 * bound)


def test_nothing_shifts():
    """A ramp is a ramp of the cell centres on every level, away from the borders."""
    y, x = np.mgrid[:96, :96].astype(np.float64)
    ramp = 3 * x - 2 * y
    half = downsample(ramp)
    inside = np.s_[8:-8, 8:-8]
    expected = 3 * (2 * x[:48, :48] + 0.5) - 2 * (2 * y[:48, :48] + 0.5)
    np.testing.assert_allclose(half[inside], expected[inside], atol=tolerance(ramp, 10))
    double = upsample(half, (96, 96))
    inside = np.s_[20:-20, 20:-20]
    np.testing.assert_allclose(double[inside], ramp[inside], atol=2 * tolerance(ramp, 16))


@pytest.mark.parametrize("dtype", ("bool", *DTYPES))
def test_masks_are_averaged_over_what_is_there(dtype):
    rng = np.random.default_rng(4)
    mask = rng.random((37, 91)) < 0.5
    if dtype == "bool":
        given_mask, value = mask, mask.astype(float)
    else:
        full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
        given_mask = (mask * full).astype(dtype)
        value = mask.astype(float)
    half = downsample_mask(given_mask)
    np.testing.assert_array_equal(half, reference.downsample_mask(value))
    assert half[-1, -1] == value[-1, -1]
    assert (downsample_mask(np.full_like(given_mask, given_mask.max())) == 1).all()


def test_soft_masks_keep_their_mean():
    mask = random_image(np.random.default_rng(5), (40, 60))
    assert downsample_mask(mask).mean() == pytest.approx(mask.mean() / 255, rel=1e-6)


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    share=st.sampled_from([0.02, 0.5, 0.98]),
    seed=st.integers(0, 99),
)
def test_colours_meet_the_known_pixels_as_defined(height, width, channels, dtype, share, seed):
    rng = np.random.default_rng(seed)
    dst = random_image(rng, (height, width, channels), dtype)
    colours = (random_image(rng, (height, width, channels), dtype)).astype(np.float32)
    soft = np.where(rng.random((height, width)) < share, 1, rng.random((height, width))).astype(np.float32)
    for valid in (soft == 1, soft):
        blended = colours.copy()
        meet_known(blended, dst, valid)
        expected = reference.meet_known(colours, dst, valid)
        scale = max(np.abs(dst.astype(np.float64)).max(), np.abs(colours).max())
        # There are two sums of 49 terms and a quotient of them.
        np.testing.assert_allclose(blended, expected, rtol=0, atol=4 * 49 * np.finfo(np.float32).eps * scale)
        np.testing.assert_array_equal(blended[soft == 1], colours[soft == 1])


def test_inputs_are_not_modified_and_two_dimensions_stay():
    image = random_image(np.random.default_rng(6), (20, 30))
    before = image.copy()
    half = downsample(image)
    assert half.shape == (10, 15)
    assert upsample(half, (19, 30)).shape == (19, 30)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: downsample(np.zeros((4, 4), bool)), DTypeError, "image: dtype bool"),
        (lambda: downsample(np.zeros((4, 4), np.int32)), DTypeError, "image: dtype int32"),
        (lambda: downsample(np.zeros((0, 4))), ShapeError, "has no pixels"),
        (lambda: downsample(np.zeros((4, 4)), -1), ArgumentError, "smooth_sigma: -1"),
        (lambda: downsample(np.zeros((4, 4)), 17), ArgumentError, "smooth_sigma: 17"),
        (lambda: downsample_mask(np.ones((4, 4), np.uint8)), MaskError, "mask > 0"),
        (lambda: downsample_mask(np.ones((4, 4, 3))), ShapeError, r"expected \[H, W\]"),
        (lambda: upsample(np.zeros((4, 4)), (9, 8)), ShapeError, "H is 7 or 8"),
        (lambda: upsample(np.zeros((4, 4)), 8), ArgumentError, "shape: 8"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
