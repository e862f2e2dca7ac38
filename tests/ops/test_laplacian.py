"""Multiband blending: the bits of the levels, weights and sums in NumPy, for every type and instruction set."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony import blend
from pyharmony._native import native
from pyharmony.ops.laplacian import laplacian
from pyharmony.ops.pyramid import downsample, halve_mask, upsample
from pyharmony.reference import laplacian as reference

from ..shared import DTYPES, laid_out, same_bits

MASKS = ("bool", *DTYPES)
RANGE = {"uint8": 255, "uint16": 65535}


def details(src, dst, levels):
    """Returns the levels of the difference of two images, and what each has beyond the next one, enlarged."""
    real = np.float64 if dst.dtype == np.float64 else np.float32
    images = [np.subtract(src, dst, dtype=real, casting="same_kind").astype(np.float32)]
    for _ in range(levels):
        images.append(downsample(images[-1]))
    return images, [finer - upsample(coarser, finer.shape[:2]) for finer, coarser in itertools.pairwise(images)]


def level_weights(mask, levels, *, adapt=False):
    """Returns the weights of each level."""
    inside = mask > 0
    soft = np.divide(mask, np.float32(RANGE.get(mask.dtype.name, 1)), dtype=np.float32, casting="same_kind")
    weights, cells = [reference.ramp(inside, 0).astype(np.float32) * soft], inside
    for _ in range(levels):
        soft, cells = halve_mask(soft), halve_mask(cells) == 1
        if adapt and reference.eroded(cells, 3).mean() < reference.CORE * np.float32(soft.mean(dtype=np.float64)):
            break
        weights.append(reference.ramp(cells, 1).astype(np.float32) * soft)
    return weights


def formula(src, dst, mask, weights, bands=None):
    """Returns the blend, each operation rounded to float32, by the filters of `pyharmony.ops.pyramid`.

    `weights` is `level_weights` of the mask, `bands` is `details` of the images, of as many levels or more.
    """
    real = np.float64 if dst.dtype == np.float64 else np.float32
    inside = mask > 0
    images, differences = bands or details(src, dst, len(weights) - 1)
    total = images[len(weights) - 1] * weights[-1][..., None]
    for detail, weight in zip(differences[: len(weights) - 1][::-1], weights[-2::-1], strict=True):
        total = detail * weight[..., None] + upsample(total, detail.shape[:2])
    values = dst.astype(real) + total
    result = dst.copy()
    if dst.dtype.kind == "u":
        values = np.clip(np.rint(values), 0, np.iinfo(dst.dtype).max)
    result[inside] = values.astype(dst.dtype)[inside]
    return result


def image(rng, shape, dtype):
    if dtype in RANGE:
        return rng.integers(0, RANGE[dtype] + 1, shape).astype(dtype)
    return (rng.random(shape) * 3 - 1).astype(dtype)


def mask_of(rng, shape, dtype, kind):
    """Returns an ellipse, hard or soft, or noise with zeros; full: everything."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in shape)
    far = np.hypot(y[:, None] + 0.05, x - 0.07)
    levels = {"hard": far < 0.4, "soft": (4 - 9 * far).clip(0, 1), "full": far < 2, "empty": far < 0}.get(kind)
    if levels is None:
        levels = rng.random(shape) * (rng.random(shape) > 0.2)
    if dtype == "bool":
        return levels > 0
    return np.rint(levels * RANGE[dtype]).astype(dtype) if dtype in RANGE else levels.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_dtype", MASKS)
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (64, 70), (67, 389)])
def test_bits_of_the_formula(dtype, mask_dtype, size, simd):
    rng = np.random.default_rng(3)
    pairs = [[image(rng, (*size, channels), dtype) for _ in range(2)] for channels in (1, 2, 3, 4)]
    bands = [details(*pair, 4) for pair in pairs]
    for kind in ("hard", "soft", "noise", "full", "empty"):
        mask = mask_of(rng, size, mask_dtype, kind)
        # With one level 'adapt' is decided as with four; with none there is nothing to decide.
        for levels, adapt in ((0, False), (1, False), (4, False), (4, True)):
            weights = level_weights(mask, levels, adapt=adapt)
            for (src, dst), images in zip(pairs, bands, strict=True):
                out = dst.copy()
                laplacian(src, dst, mask, out, levels=levels, adapt=adapt)
                same_bits(out, formula(src, dst, mask, weights, images))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["mirrored", "every other", "four channels", "columns first", "unaligned"])
def test_memory_of_any_layout(dtype, layout, simd):
    rng = np.random.default_rng(4)
    src, dst, mask = (
        image(rng, (70, 90, 3), dtype),
        image(rng, (70, 90, 3), dtype),
        mask_of(rng, (70, 90), dtype, "soft"),
    )

    out = laid_out(dst, layout)
    laplacian(laid_out(src, layout), laid_out(dst, layout), laid_out(mask, layout), out, levels=3)
    same_bits(out, formula(src, dst, mask, level_weights(mask, 3)))
    place = laid_out(dst, layout)
    laplacian(src, place, mask, place, levels=3)
    same_bits(place, out)


@given(
    height=st.integers(1, 60), width=st.integers(1, 90), levels=st.integers(0, 7), adapt=st.booleans(),
    kind=st.sampled_from(["hard", "soft", "noise", "full"]), seed=st.integers(0, 99),
)  # fmt: skip
def test_it_follows_the_definition(height, width, levels, adapt, kind, seed):
    rng = np.random.default_rng(seed)
    src, dst = rng.random((height, width, 3)), rng.random((height, width, 3))
    mask = mask_of(rng, (height, width), "float64", kind)
    out = dst.copy()
    laplacian(src, dst, mask, out, levels=levels, adapt=adapt)
    # On each level some 40 products in float32 are added whose sizes are at most 2.
    tolerance = 40 * 2 * (levels + 1) * np.finfo(np.float32).eps
    expected = reference.laplacian(src, dst, mask, levels, adapt=adapt)
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance)


def test_a_core_of_a_quarter_is_enough():
    # Squares of 12 x 12 cells have a core of 6 x 6; those of 11 x 11 one of 5 x 5, which is less.
    rng = np.random.default_rng(5)
    src, dst = rng.random((64, 64, 3)), rng.random((64, 64, 3))
    for side, least in ((24, 1), (22, 0)):
        mask = np.zeros((64, 64))
        mask[8 : 8 + side, 16 : 16 + side] = 1
        adapted, out = dst.copy(), dst.copy()
        laplacian(src, dst, mask, adapted, levels=4, adapt=True)
        laplacian(src, dst, mask, out, levels=least)
        same_bits(adapted, out)


def test_clipped_values_are_counted():
    src, dst, mask = np.full((40, 40, 3), 250, np.uint8), np.full((40, 40, 3), 5, np.uint8), np.ones((40, 40), bool)
    src[::2] = 0
    out = dst.copy()
    assert laplacian(src, dst, mask, out, levels=0) == 0
    rng = np.random.default_rng(7)
    src, dst, mask = (
        image(rng, (50, 60, 3), "uint8"),
        image(rng, (50, 60, 3), "uint8"),
        mask_of(rng, (50, 60), "bool", "hard"),
    )
    exact = dst.astype(np.float32)
    laplacian(src.astype(np.float32), exact.copy(), mask, exact, levels=3)
    count = laplacian(src, dst, mask, dst.copy(), levels=3)
    assert count == ((exact < -0.5) | (exact >= 255.5)).sum() > 0


def test_scratch_is_two_bytes_a_pixel_and_lines_without_levels():
    mask, image = np.ones((400, 400), bool), np.zeros((400, 400, 3), np.uint8)
    with native.Memory() as memory:
        laplacian(image, image, mask, image.copy(), levels=0)
    assert image.nbytes + 2 * mask.size <= memory.peak <= image.nbytes + 2 * mask.size + 50_000


def test_what_is_outside_is_not_written():
    rng = np.random.default_rng(8)
    src, dst, mask = rng.random((90, 70, 3)), rng.random((90, 70, 3)), mask_of(rng, (90, 70), "bool", "hard")
    out = np.full_like(dst, np.nan)
    laplacian(src, dst, mask, out, levels=3)
    assert np.isnan(out[~mask]).all()
    assert np.isfinite(out[mask]).all()
    same_bits(blend.laplacian(src, dst, mask)[~mask], dst[~mask])


def test_other_shapes_are_refused():
    a, mask = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"mask: shape \[4, 5, 1\], expected \[5, 4, 1\]"):
        laplacian(a.reshape(5, 4, 3), a.reshape(5, 4, 3), mask, a.reshape(5, 4, 3), levels=1)
    with pytest.raises(ValueError, match="out: 5 channels, expected 1 to 4"):
        laplacian(*(np.zeros((4, 5, 5), np.uint8) for _ in range(2)), mask, np.zeros((4, 5, 5), np.uint8), levels=1)
