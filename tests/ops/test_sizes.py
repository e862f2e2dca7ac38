"""Resizing and means of blocks: levels have the bits of Pillow for every size, layout and instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyharmony import _arrays
from pyharmony._images.sizes import _around, block_means, level_means, resized
from pyharmony._native import native

from ..shared import DTYPES, laid_out, same_bits


def by_pillow(values, size, box=None):
    """Returns what Pillow 13 gives, by one axis after the other, in the order that its versions differ in."""
    if box is not None:
        values, box = _around(values, size, box)
    image = Image.fromarray(np.ascontiguousarray(values[..., 0] if values.shape[2:] == (1,) else values))
    left, top, right, bottom = box or (0, 0, *image.size)
    factors = [max(1, int((end - start) / n / 3)) for start, end, n in ((left, right, size[0]), (top, bottom, size[1]))]
    if max(factors) > 1:
        beyond = [(end - start) / n / 2 for start, end, n in ((left, right, size[0]), (top, bottom, size[1]))]
        x0, y0 = max(0, int(left - beyond[0])), max(0, int(top - beyond[1]))
        x1, y1 = min(image.width, int(np.ceil(right + beyond[0]))), min(image.height, int(np.ceil(bottom + beyond[1])))
        image = image.reduce(tuple(factors), box=(x0, y0, x1, y1))
        left, right = (left - x0) / factors[0], (right - x0) / factors[0]
        top, bottom = (top - y0) / factors[1], (bottom - y0) / factors[1]
    bilinear = Image.Resampling.BILINEAR
    if image.height - size[1] > 2 * max(0, image.width - size[0]):
        image = image.resize((image.width, size[1]), bilinear, box=(0, top, image.width, bottom))
        image = image.resize(size, bilinear, box=(left, 0, right, size[1]))
    else:
        image = image.resize((size[0], image.height), bilinear, box=(left, 0, right, image.height))
        image = image.resize(size, bilinear, box=(0, top, size[0], bottom))
    return np.asarray(image).reshape(size[1], size[0], *values.shape[2:])


@given(
    height=st.integers(1, 300), width=st.integers(1, 300), high=st.integers(1, 90), wide=st.integers(1, 90),
    channels=st.sampled_from([None, 1, 3]), part=st.sampled_from([None, "pixels", "any"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_levels_have_the_bits_of_pillow(height, width, high, wide, channels, part, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (height, width) if channels is None else (height, width, channels), np.uint8)
    values = np.where(values > 128, 255, 0).astype(np.uint8) if seed % 3 == 0 else values
    box = None
    if part is not None:
        x, y = (np.sort(rng.random(2) * (n - 1)) + (0, 1) for n in (width, height))
        if part == "pixels":
            x, y = np.floor(x), np.floor(y)
        box = float(x[0]), float(y[0]), float(x[1]), float(y[1])
    if box is None and (height, width) == (high, wide):
        return
    np.testing.assert_array_equal(resized(values, (wide, high), box), by_pillow(values, (wide, high), box))


def test_all_instruction_sets_and_layouts_give_the_same(simd, threads):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (701, 903, 3), np.uint8)
    for size in ((130, 101), (301, 233), (1400, 1000), (40, 690), (897, 30)):
        expected = by_pillow(values, size)
        np.testing.assert_array_equal(resized(values, size), expected)
        np.testing.assert_array_equal(resized(values[:, ::-1].copy()[:, ::-1], size), expected)
        np.testing.assert_array_equal(resized(np.asfortranarray(values), size), expected)
        np.testing.assert_array_equal(resized(values[..., 1], size), expected[..., 1])


def test_pillow_itself_gives_the_same():
    values = np.random.default_rng(2).integers(0, 256, (600, 800, 3), np.uint8)
    for size in ((128, 96), (320, 240), (1000, 750)):
        image = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
        np.testing.assert_array_equal(resized(values, size), np.asarray(image))


def test_a_part_beyond_the_image_is_refused():
    image = native.ArrayView(np.zeros((4, 5), np.uint8).ctypes.data, "uint8", (4, 5), (5, 1), True)
    with pytest.raises(ValueError, match=r"box: \(0, 0, 6, 4\) is not inside the image"):
        native.resize(image, image, 0.0, 0.0, 6.0, 4.0)


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), down=st.integers(1, 12), across=st.integers(1, 12),
    channels=st.sampled_from([None, 3]), seed=st.integers(0, 1 << 16),
)  # fmt: skip
def test_means_of_blocks_have_the_bits_of_pillow(height, width, down, across, channels, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (height, width) if channels is None else (height, width, channels), np.uint8)
    values = np.where(values > 128, 255, 0).astype(np.uint8) if seed % 3 == 0 else values
    expected = np.asarray(Image.fromarray(values).reduce((across, down)))
    np.testing.assert_array_equal(level_means(values, down, across), expected)
    if channels is None:
        np.testing.assert_array_equal(level_means(values[..., None], down, across), expected[..., None])


def test_means_of_blocks_of_all_instruction_sets_and_layouts(simd, threads):
    values = np.random.default_rng(3).integers(0, 256, (1021, 903, 3), np.uint8)
    for every in (2, 3, 4, 7, 64, 300):
        expected = np.asarray(Image.fromarray(values).reduce(every))
        np.testing.assert_array_equal(block_means(values, every), expected)
        np.testing.assert_array_equal(block_means(values[:, ::-1].copy()[:, ::-1], every), expected)
        np.testing.assert_array_equal(block_means(np.asfortranarray(values), every), expected)
        np.testing.assert_array_equal(block_means(values[..., 1], every), expected[..., 1])


def test_blocks_of_colours_with_alpha_are_refused():
    with pytest.raises(ValueError, match="image: 4 channels, expected 1 or 3"):
        level_means(np.zeros((4, 6, 4), np.uint8), 2, 2)
    pixels = np.zeros((4, 5), np.uint8)
    image = native.ArrayView(pixels.ctypes.data, "uint8", (4, 5), (5, 1), True)
    with pytest.raises(ValueError, match="across, down: 2, 0, expected above 0"):
        native.block_means(image, 2, 0, image)


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 300), st.integers(1, 4)), axis=st.integers(0, 1),
    count=st.integers(1, 7), cells=st.integers(1, 70), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99),
    real=st.sampled_from(["float32", "float64"]), layout=st.sampled_from(["", "planar", "mirrored", "four channels"]),
)  # fmt: skip
def test_resampling_has_the_bits_of_sums_in_numpy(size, axis, count, cells, dtype, seed, real, layout):
    rng = np.random.default_rng(seed)
    image = laid_out((rng.random(size) * (200 if dtype[0] == "u" else 3)).astype(dtype), layout)
    taps, weights = rng.integers(0, size[axis], (count, cells)), rng.random((count, cells)) * 2 - 1
    out = np.empty((cells, *size[1:]) if axis == 0 else (size[0], cells, size[2]), real)
    views = (_arrays.view(x, "x", writable=True) for x in (taps.astype(np.float64), weights, out))
    native.resample(_arrays.view(image, "image"), axis, *views)
    expected = np.zeros_like(out)
    for k in range(count):
        part = np.take(image, taps[k], axis).astype(real)
        part *= weights[k].astype(real).reshape((cells, 1, 1) if axis == 0 else (cells, 1))
        expected = part if k == 0 else expected + part
    same_bits(out, expected)


def test_taps_beyond_the_image_are_refused():
    image, out = np.zeros((4, 5, 3), np.float32), np.zeros((2, 5, 3), np.float32)
    for taps in ([[0.0, 4.0]], [[-1.0, 0.0]], [[np.nan, 0.0]]):
        views = (_arrays.view(np.array(x), "x") for x in (taps, [[1.0, 1.0]]))
        with pytest.raises(ValueError, match="taps: beyond the image"):
            native.resample(_arrays.view(image, "image"), 0, *views, _arrays.view(out, "out", writable=True))
