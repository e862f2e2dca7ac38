"""Alpha compositing: the bits of the expression in NumPy, for every type, layout and instruction set."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony import blend
from pyharmony.errors import ArgumentError, UnchangedWarning
from pyharmony.ops.alpha import alpha
from pyharmony.reference import alpha as reference

from ..shared import DTYPES, laid_out, same_bits

MASKS = ("bool", *DTYPES)
RANGE = {"uint8": 255, "uint16": 65535}
#: The images are random far beyond black and white, which is told and changes no bit.
IGNORE_RANGE_WARNING = pytest.mark.filterwarnings(
    "ignore:.* where 0 is black and 1 is white:pyharmony.errors.PyHarmonyWarning"
)
OUTS = ("new", "out", "dst")
LAYOUTS = ("interleaved", "planar", "mirrored", "every other", "four channels", "columns first", "unaligned")


def formula(src, dst, mask, ramp=None):
    """Returns the composite, each operation rounded to the type that is computed in."""
    real = np.float64 if dst.dtype == np.float64 else np.float32
    out_type = dst.dtype
    m = np.divide(mask, np.float32(RANGE.get(mask.dtype.name, 1)), dtype=np.float32, casting="same_kind")
    m = m if ramp is None else ramp * m
    inside = mask != 0
    s, d, w = src.astype(real)[inside], dst.astype(real)[inside], m.astype(real)[inside][:, None]
    values = s * w + d * (1 - w)
    if out_type.kind == "u":
        values = np.clip(np.rint(values), 0, np.iinfo(out_type).max)
    result = dst.copy()
    result[inside] = values.astype(out_type)
    return result


def image(rng, shape, dtype):
    if np.dtype(dtype).kind == "u":
        return rng.integers(0, RANGE[dtype] + 1, shape).astype(dtype)
    return (rng.random(shape) * 3 - 1).astype(dtype)


def mask_of(rng, shape, dtype, kind):
    """Returns a mask that is zero in some runs of pixels, one in others, and between them if it is soft."""
    values = np.repeat(rng.random((shape[0], -(-shape[1] // 9))) * 3 - 1, 9, 1)[:, : shape[1]].clip(0, 1)
    if kind == "soft":
        values[:, ::5] = rng.random(values[:, ::5].shape)
    else:
        values = np.full(shape, 1.0 if kind == "full" else 0.0) if kind != "hard" else values > 0.5
    if dtype == "bool":
        return values > 0
    return np.rint(values * RANGE[dtype]).astype(dtype) if dtype in RANGE else values.astype(dtype)


@IGNORE_RANGE_WARNING
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_dtype", MASKS)
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_every_type_and_layout_has_the_bits_of_the_formula(dtype, mask_dtype, kind, simd):
    rng = np.random.default_rng(1)
    for channels in (1, 3):
        shape = (6, 331)
        src, dst = (image(rng, (*shape, channels), dtype) for _ in range(2))
        mask = mask_of(rng, shape, mask_dtype, kind)
        if np.dtype(dtype).kind == "f":  # where they are not read
            src[mask == 0], dst[mask == 0] = np.nan, np.inf
        expected = formula(src, dst, mask)
        for layout in LAYOUTS:
            s, d, m = (laid_out(a, layout) for a in (src, dst, mask))
            same_bits(blend.alpha(s, d, m), expected)
            other = laid_out(np.zeros_like(dst), layout)
            assert blend.alpha(src, dst, mask, out=other) is other
            same_bits(other, expected)
            blend.alpha(s, d, m, out=d)
            same_bits(d, expected)


def test_all_bytes_have_the_bits_of_the_formula(simd):
    """All values of src and dst, under every weight that rounding could treat differently."""
    src, dst = (a.astype(np.uint8) for a in np.mgrid[:256, :256])
    for level in (*range(0, 256, 5), 1, 2, 3, 127, 128, 129, 252, 253, 254):
        mask = np.full((256, 256), level, np.uint8)
        out = np.zeros_like(dst)[..., None]
        alpha(src[..., None], dst[..., None], mask, out)
        same_bits(out, formula(src[..., None], dst[..., None], mask))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_any_number_of_channels_and_any_width(channels, dtype, simd):
    rng = np.random.default_rng(2)
    for width in (1, 2, 15, 63, 64, 65, 127, 200, 1100):
        src, dst = (image(rng, (3, width, channels), dtype) for _ in range(2))
        for kind in ("soft", "hard", "full", "empty"):
            for mask_dtype in ("uint8", "bool", "float32"):
                mask = mask_of(rng, (3, width), mask_dtype, kind)
                out = np.zeros_like(dst)
                alpha(src, dst, mask, out)
                same_bits(out, formula(src, dst, mask))
                in_place = dst.copy()
                alpha(src, in_place, mask, in_place)
                same_bits(in_place, out)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_around_the_mask_is_the_destination(dtype, layout, simd):
    rng = np.random.default_rng(8)
    src, dst = image(rng, (5, 150, 3), dtype), image(rng, (9, 171, 3), dtype)
    mask, placed_src, placed_mask = (
        mask_of(rng, (5, 150), "uint8", "soft"),
        np.zeros_like(dst),
        np.zeros((9, 171), "uint8"),
    )
    placed_src[1:6, 20:170], placed_mask[1:6, 20:170] = src, mask
    out = laid_out(np.zeros_like(dst), layout)
    alpha(src, laid_out(dst, layout), mask, out, origin=(1, 20))
    same_bits(out, formula(placed_src, dst, placed_mask))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_images_may_be_in_the_type_that_is_computed_in(dtype, simd):
    """Such as a source between pixels, beyond the range, over a destination with pixels that were unknown."""
    rng = np.random.default_rng(3)
    white = np.float32(RANGE.get(dtype, 1))
    src, dst = ((rng.random((5, 90, 3)) * 1.4 - 0.2).astype(np.float32) * white for _ in range(2))
    mask = mask_of(rng, (5, 90), "uint8", "soft")
    before = image(rng, (5, 90, 3), dtype)
    m = (mask / np.float32(255))[..., None]
    values = src * m + dst * (1 - m)
    if dtype in RANGE:
        values = np.clip(np.rint(values), 0, white)
    expected = np.where(mask[..., None] > 0, values.astype(dtype), before)
    out = before.copy()
    alpha(src, dst, mask, out, keep=True)
    same_bits(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_dtype", MASKS)
def test_a_ramp_multiplies_the_mask(dtype, mask_dtype, simd):
    rng = np.random.default_rng(4)
    src, dst = (image(rng, (4, 130, 3), dtype) for _ in range(2))
    mask, ramp = mask_of(rng, (4, 130), mask_dtype, "soft"), rng.random((4, 130)).astype(np.float32)
    out = np.zeros_like(dst)
    alpha(src, dst, mask, out, ramp=ramp)
    same_bits(out, formula(src, dst, mask, ramp))


@IGNORE_RANGE_WARNING
@pytest.mark.filterwarnings("ignore::pyharmony.errors.UnchangedWarning")
@given(
    height=st.integers(1, 30), width=st.integers(1, 90), y=st.integers(-20, 20), x=st.integers(-40, 40),
    kind=st.sampled_from(["soft", "hard", "full", "empty"]), mask_dtype=st.sampled_from(MASKS),
    dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_place_of_the_source(height, width, y, x, kind, mask_dtype, dtype, seed):
    rng = np.random.default_rng(seed)
    src, dst = image(rng, (height, width, 3), dtype), image(rng, (25, 70, 3), dtype)
    mask = mask_of(rng, (height, width), mask_dtype, kind)
    if mask_dtype in RANGE:
        mask[mask == 1] = 2  # a largest value of 1 is refused, since it is probably meant to be white
    placed_src, placed_mask = np.zeros_like(dst), np.zeros(dst.shape[:2], mask.dtype)
    y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + height, 25), min(x + width, 70)
    if y0 < y1 and x0 < x1:
        placed_src[y0:y1, x0:x1] = src[y0 - y : y1 - y, x0 - x : x1 - x]
        placed_mask[y0:y1, x0:x1] = mask[y0 - y : y1 - y, x0 - x : x1 - x]
    same_bits(blend.alpha(src, dst, mask, at=(x, y)), formula(placed_src, dst, placed_mask))


def with_alpha(rng, pixels, kind):
    if kind == "none":
        return pixels
    cover = np.ones(pixels.shape[:2]) if kind == "opaque" else mask_of(rng, pixels.shape[:2], "float64", kind)
    white = RANGE.get(pixels.dtype.name, 1)
    return np.concatenate((pixels, (cover * white).astype(pixels.dtype)[..., None]), 2)


ALPHAS = st.sampled_from(["none", "opaque", "hard", "soft"])


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
@given(
    alphas=st.tuples(ALPHAS, ALPHAS), keep_alpha=st.booleans(), decontaminate=st.booleans(), into=st.sampled_from(OUTS),
    kind=st.sampled_from(["none", "soft", "hard", "full", "empty"]), mask_dtype=st.sampled_from(MASKS),
    dtype=st.sampled_from(DTYPES), layout=st.sampled_from(LAYOUTS), width=st.integers(1, 300), seed=st.integers(0, 99),
)  # fmt: skip
def test_alpha_has_the_bits_of_its_definition_in_numpy(
    alphas, keep_alpha, decontaminate, into, kind, mask_dtype, dtype, layout, width, seed
):
    """A call for its info is not the native one: NumPy multiplies mask and alpha, and lays one over the other."""
    rng = np.random.default_rng(seed)
    src, dst = (with_alpha(rng, image(rng, (7, width, 3), dtype), each) for each in alphas)
    if np.dtype(dtype).kind == "f":
        src, dst = np.abs(src), np.abs(dst)
    mask = None if kind == "none" else mask_of(rng, (7, width), mask_dtype, kind)
    if mask_dtype in RANGE and mask is not None:
        mask[mask == 1] = 2
    options = {"at": (int(rng.integers(-9, 9)), 0), "keep_alpha": keep_alpha, "decontaminate": decontaminate}
    expected, _ = blend.alpha(src, dst, mask, **options, return_info=True)
    src, below = laid_out(src, layout), laid_out(dst, layout)
    out = {"new": None, "out": laid_out(np.zeros_like(dst), layout), "dst": below}[into]
    same_bits(blend.alpha(src, below, mask, **options, out=out), expected)


@pytest.mark.covering(1)
def test_a_large_result_has_the_bits_of_the_formula(simd, threads):
    rng = np.random.default_rng(9)
    y, x = np.mgrid[:900, :1400]
    contour = (np.hypot(y - 450, x - 600) < 380).astype(np.uint8) * np.uint8(255)
    for channels, at in ((3, (0, 0)), (4, (41, 23)), (4, (7, 0))):
        src, dst = image(rng, (900, 1400, channels), "uint8"), image(rng, (1000, 1500, channels), "uint8")
        expected = dst.copy()
        part = expected[at[0] : at[0] + 900, at[1] : at[1] + 1400]
        for mask in (contour, contour > 0, (contour * rng.random((900, 1))).astype(np.uint8)):
            part[...] = formula(src, dst[at[0] : at[0] + 900, at[1] : at[1] + 1400], mask)
            out = np.zeros_like(dst)
            alpha(src, dst, mask, out, origin=at)
            same_bits(out, expected)


@IGNORE_RANGE_WARNING
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_pixel(dtype, simd):
    rng = np.random.default_rng(5)
    src, dst = (image(rng, (1, 1, 3), dtype) for _ in range(2))
    for level in (0.0, 0.3, 1.0):
        mask = np.full((1, 1), level)
        with nullcontext() if level else pytest.warns(UnchangedWarning, match="mask is zero everywhere"):
            same_bits(blend.alpha(src, dst, mask), formula(src, dst, mask))


def test_it_follows_the_definition(simd):
    rng = np.random.default_rng(7)
    src, dst, mask = rng.random((20, 40, 3)), rng.random((20, 40, 3)), rng.random((20, 40))
    dst[0, 0], mask[0, 0] = np.nan, 0
    # The mask is rounded to float32.
    tolerance = {"rtol": 0, "atol": float(np.finfo(np.float32).eps)}
    np.testing.assert_allclose(blend.alpha(src, dst, mask), reference.alpha(src, dst, mask), **tolerance)


def test_what_reaches_beyond_the_destination_is_refused():
    a, mask = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"mask: 4 x 5 at \(0, 1\) reaches beyond out"):
        alpha(a, a.copy(), mask, a.copy(), origin=(0, 1))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_inside_is_refused(dtype, value):
    src, dst = np.zeros((4, 5, 3), dtype), np.zeros((4, 5, 3), dtype)
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    for bad, name in ((src, "src"), (dst, "dst")):
        bad[0, 0] = value
        blend.alpha(src, dst, mask)
        bad[2, 3, 1] = value
        with pytest.raises(ArgumentError, match=rf"{name}: .* at pixel \(y=2, x=3\), channel 1"):
            blend.alpha(src, dst, mask)
        bad[...] = 0
