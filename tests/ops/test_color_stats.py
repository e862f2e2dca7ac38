"""Statistics of the colours inside and outside of a mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony import ops
from pyharmony.errors import ArgumentError, DTypeError, MaskError, ShapeError
from pyharmony.reference import color_stats as reference

from ..shared import DTYPES, random_image

RANGE = {"uint8": 255.0, "uint16": 65535.0}
EPS = np.finfo(np.float32).eps


def random_mask(rng, height, width, dtype="uint8"):
    """Returns a soft mask with stretches of zeros and ones, with at least one of each."""
    mask = np.clip(3 * rng.random((height, width)) - 1, 0, 1)
    mask.flat[:: max(1, mask.size - 1)] = 1
    if dtype == "bool":
        return mask > 0.5
    return (mask * RANGE[dtype]).round().astype(dtype) if dtype in RANGE else mask.astype(dtype)


def in_float32(x):
    """Returns the values that the kernel reads of an image, in float64."""
    return (np.asarray(x, np.float32) * np.float32(1 / RANGE.get(x.dtype.name, 1))).astype(np.float64)


def weights_of(mask):
    """Returns the values that the kernel reads of a mask, in float64."""
    return (np.asarray(mask, np.float32) / np.float32(RANGE.get(mask.dtype.name, 1))).astype(np.float64)


def outside(weights):
    return (np.float32(1) - weights.astype(np.float32)).astype(np.float64)


def check(stats, expected, pixels):
    """Asserts equality but for the order of float64 sums, each of at most as many terms as there are pixels."""
    rtol = 4 * (pixels + 16) * np.finfo(np.float64).eps
    scale = max(np.abs(expected.minimum).max(), np.abs(expected.maximum).max())
    spread = (expected.maximum - expected.minimum).max()
    assert stats.weight == pytest.approx(expected.weight, rel=rtol)
    np.testing.assert_allclose(stats.mean, expected.mean, rtol=0, atol=rtol * scale)
    # The kernel sums about a pixel of each of its runs: squares of differences, not of values.
    np.testing.assert_allclose(stats.covariance, expected.covariance, rtol=0, atol=2 * rtol * (spread**2 + 1e-300))
    np.testing.assert_array_equal(stats.minimum, expected.minimum)
    np.testing.assert_array_equal(stats.maximum, expected.maximum)
    np.testing.assert_allclose(stats.histogram.sum(1), stats.weight if stats.histogram.size else 0, rtol=rtol)


@given(
    height=st.integers(1, 60),
    width=st.sampled_from([1, 2, 15, 16, 17, 300, 511, 513, 1100]),
    dtype=st.sampled_from(DTYPES),
    mask_dtype=st.sampled_from(["none", "bool", *DTYPES]),
    bins=st.sampled_from([0, 1, 7, 256]),
    seed=st.integers(0, 99),
)
def test_any_shape_and_dtype_follow_the_reference(height, width, dtype, mask_dtype, bins, seed):
    rng = np.random.default_rng(seed)
    image = random_image(rng, height, width, dtype)
    mask = None if mask_dtype == "none" else random_mask(rng, height, width, mask_dtype)
    stats = ops.color_stats(image, mask, bins=bins)
    inside = np.ones((height, width)) if mask is None else weights_of(mask)
    half = 0.5 / RANGE[dtype] if dtype in RANGE else 0
    for region, weights in ((stats.foreground, inside), (stats.background, outside(inside))):
        if not (weights > 0).any():
            assert region.weight == 0 and np.isnan(region.mean).all() and not region.histogram.any()
            continue
        expected = reference.color_stats(in_float32(image), weights, bins, np.full(3, -half), np.full(3, 1 + half))
        check(region, expected, height * width)
        if dtype in RANGE and bins == 256:  # a value that lies on no edge of a bin
            rtol = (height * width + 16) * np.finfo(np.float64).eps
            np.testing.assert_allclose(region.histogram, expected.histogram, rtol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set(simd, dtype):
    rng = np.random.default_rng(1)
    image, mask = random_image(rng, 67, 301, dtype), random_mask(rng, 67, 301)
    stats = ops.color_stats(image, mask, bins=16)
    for region, weights in ((stats.foreground, weights_of(mask)), (stats.background, outside(weights_of(mask)))):
        half = 0.5 / RANGE[dtype] if dtype in RANGE else 0
        expected = reference.color_stats(in_float32(image), weights, 16, np.full(3, -half), np.full(3, 1 + half))
        check(region, expected, mask.size)


def test_long_histograms():
    rng = np.random.default_rng(5)
    image = random_image(rng, 300, 400, "uint16")
    histogram = ops.color_stats(image, bins=65536).foreground.histogram
    np.testing.assert_array_equal(histogram, [np.bincount(image[..., c].ravel(), minlength=65536) for c in range(3)])


def test_nothing_cancels_far_from_zero():
    """A spread of a thousandth about a thousand is kept: squares of values would leave one digit in float32."""
    rng = np.random.default_rng(3)
    image = (1000 + 1e-3 * rng.standard_normal((100, 700, 3))).astype(np.float32)
    covariance = ops.color_stats(image).foreground.covariance
    np.testing.assert_allclose(covariance, np.cov(image.reshape(-1, 3).astype(np.float64).T, bias=True), rtol=1e-9)


def test_each_level_of_uint8_has_a_bin():
    image = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    image[..., 1] = 7
    histogram = ops.color_stats(image, bins=256).foreground.histogram
    np.testing.assert_array_equal(histogram[0], np.ones(256))
    np.testing.assert_array_equal(histogram[1], 256.0 * (np.arange(256) == 7))


def test_background_is_left_out():
    image = np.full((4, 5, 3), np.nan, np.float32)
    image[1:3, 1:3] = 0.5
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 1:3] = 255
    stats = ops.color_stats(image, mask, background=False)
    assert stats.background is None
    assert stats.foreground.weight == 4
    np.testing.assert_array_equal(stats.foreground.mean, 0.5)
    np.testing.assert_array_equal(stats.foreground.covariance, 0)
    with pytest.raises(ArgumentError, match="background"):
        ops.color_stats(image, mask)


def test_stages_come_first():
    rng = np.random.default_rng(4)
    image = random_image(rng, 50, 60)
    matrix = rng.standard_normal((3, 4))
    stats = ops.color_stats(image, stages=[ops.Affine(matrix)]).foreground
    plain = ops.color_stats(image).foreground
    atol = 8 * EPS * np.abs(matrix).sum()
    np.testing.assert_allclose(stats.mean, matrix[:, :3] @ plain.mean + matrix[:, 3], atol=atol)
    expected = matrix[:, :3] @ plain.covariance @ matrix[:, :3].T
    np.testing.assert_allclose(stats.covariance, expected, atol=2 * np.abs(matrix).sum() * atol)


def test_values_beyond_the_bounds_go_to_the_ends():
    image = np.array([[[-5, 0.1, 9]]], np.float32)
    histogram = ops.color_stats(image, bins=4, low=[0, 0, 1], high=2).foreground.histogram
    np.testing.assert_array_equal(histogram, [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def test_an_empty_region_has_no_colour():
    image = np.zeros((3, 4, 3), np.uint8)
    stats = ops.color_stats(image, np.zeros((3, 4), np.uint8), bins=2)
    assert stats.foreground.weight == 0
    assert np.isnan(stats.foreground.covariance).all()
    assert stats.background.weight == 12


IMAGE = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.color_stats(IMAGE[..., 0]), ShapeError, "image: shape"),
        (lambda: ops.color_stats(IMAGE[..., :2]), ShapeError, r"expected \[H, W, 3\]"),
        (lambda: ops.color_stats(IMAGE > 0), DTypeError, "image: dtype bool"),
        (lambda: ops.color_stats(IMAGE, np.zeros((3, 5), bool)), ShapeError, "mask: shape"),
        (lambda: ops.color_stats(IMAGE, np.ones((4, 5), np.uint8)), MaskError, "mask > 0"),
        (lambda: ops.color_stats(IMAGE, bins=-1), ArgumentError, "bins: -1"),
        (lambda: ops.color_stats(IMAGE, bins=2.0), DTypeError, "bins: float"),
        (lambda: ops.color_stats(IMAGE, bins=2, low=1, high=1), ArgumentError, "low below high"),
        (lambda: ops.color_stats(IMAGE, bins=2, low=[0, 0]), ShapeError, "low:"),
        (lambda: ops.color_stats(IMAGE * np.float32(np.nan)), ArgumentError, "foreground"),
        (lambda: ops.color_stats(IMAGE, stages=[1]), DTypeError, r"stages\[0\]: int"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
