"""The warp op: an image through a homography, by a windowed sinc."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony._native import native
from pyharmony.ops.warp import warp
from pyharmony.reference import warp as reference

from ..shared import DTYPES

RANGE = {"uint8": 255.0, "uint16": 65535.0}


def bound(image):
    """The error, in the image's unit: weights between the 1,024 entries of the table, whose second derivative is below
    20, are wrong by up to 20 / 8 / 1024²; 36 products in float32 follow, with weights that sum up to 2.2 in magnitude.
    """
    largest = float(np.abs(image.astype(np.float64)).max())
    return largest * (12 * 2 * 20 / 8 / 1024**2 + 40 * 2.2 * float(np.finfo(np.float32).eps))


def picture(seed, height, width, channels, dtype="uint8"):
    values = np.random.default_rng(seed).random((height, width, channels)) * RANGE.get(dtype, 1)
    return (values.round() if dtype in RANGE else values).astype(dtype)


def homography(seed, scale=1.0):
    """Returns a rotation of some degrees, a scale, a shift and a slight perspective."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-0.3, 0.3)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) * scale
    matrix[:2, 2] = rng.uniform(-9, 9, 2)
    matrix[2] = [*rng.uniform(-1e-3, 1e-3, 2), 1]
    return matrix


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 90),
    size=st.tuples(st.integers(1, 140), st.integers(1, 140)),
    channels=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from([0.1, 0.7, 1.0, 1.9]),
    seed=st.integers(0, 99),
)
def test_any_image_and_homography_follow_the_reference(height, width, size, channels, dtype, scale, seed):
    image, matrix = picture(seed, height, width, channels, dtype), homography(seed, scale)
    result = warp(image, matrix, size)
    assert result.dtype == np.float32
    expected = reference.warp(image.astype(np.float64), matrix, size)
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound(image))


def test_every_instruction_set(simd):
    image, matrix = picture(1, 130, 203, 3), homography(2)
    expected = reference.warp(image.astype(np.float64), matrix, (190, 150))
    np.testing.assert_allclose(warp(image, matrix, (190, 150)), expected, rtol=0, atol=bound(image))


@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_shifts_and_the_identity_copy(dtype):
    image = picture(5, 40, 50, 3, dtype)
    np.testing.assert_array_equal(warp(image, np.eye(3), (50, 40)), image.astype(np.float32))
    shift = np.array([[1, 0, 7], [0, 1, 4], [0, 0, 1.0]])
    np.testing.assert_array_equal(warp(image, shift, (43, 36)), image[4:, 7:].astype(np.float32))


def test_a_plane_is_an_image_of_one_channel_and_the_border_is_replicated():
    image = picture(6, 20, 30, 1)
    away = np.array([[1, 0, -400], [0, 1, 1000], [0, 0, 1.0]])
    np.testing.assert_array_equal(warp(image[..., 0], away, (5, 6)), np.full((6, 5), image[-1, 0, 0], np.float32))


def test_smooth_images_are_hit_between_pixels():
    """A wave of 8 pixels, moved by 0.37: far below a level from the truth, inside of the border."""
    x = np.arange(128)
    wave = np.broadcast_to(128 + 100 * np.sin(2 * np.pi * x / 8), (40, 128))
    shifted = warp(np.ascontiguousarray(wave), np.array([[1, 0, 0.37], [0, 1, 0], [0, 0, 1.0]]), (128, 40))
    expected = np.broadcast_to(128 + 100 * np.sin(2 * np.pi * (x + 0.37) / 8), (40, 128))
    np.testing.assert_allclose(shifted[:, 4:-4], expected[:, 4:-4], rtol=0, atol=1.0)


@pytest.mark.parametrize(
    ("shape", "matrix", "message"),
    [
        ((8, 9, 5), np.eye(3), "image: 5 channels"),
        ((0, 9, 3), np.eye(3), "image: it is empty"),
        ((8, 9, 3), np.full((3, 3), np.nan), "matrix: contains NaN"),
        ((8, 9, 3), np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 1.0]]), "matrix: its third row is not positive"),
    ],
)
def test_bad_input(shape, matrix, message):
    with pytest.raises(ValueError, match=message):
        warp(np.zeros(shape, np.uint8), matrix, (6, 5))


def test_the_kernel_refuses_arrays_of_other_kinds():
    from pyharmony import _arrays

    image, out = np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9, 3), np.float64)
    views = _arrays.view(image, "image"), _arrays.view(np.eye(3), "matrix")
    with pytest.raises(ValueError, match="out: expected writable float32"):
        native.warp(*views, _arrays.view(out, "out", writable=True))
