"""Halving and doubling on a device, run by the emulator with several orders of the threads."""

from __future__ import annotations

import numpy as np
import pytest

from pyharmony._images.limit import limit_change
from pyharmony.ops import pyramid as cpu
from pyharmony.reference import pyramid as reference

from ..cuda_arrays import far_apart, view
from ..shared import DTYPES
from .test_pyramid import random_image

HOST_LAUNCH = {"device": -1, "stream": 0}
SIZES = [(1, 1), (1, 7), (2, 3), (37, 53), (67, 130)]
EPS = float(np.finfo(np.float32).eps)


def result(shape, dtype="float32"):
    return np.full(shape, np.nan, dtype)


def halved(shape):
    return (shape[0], (shape[1] + 1) // 2, (shape[2] + 1) // 2, *shape[3:])


def largest(*images):
    return max(float(np.abs(image.astype(np.float64)).max()) for image in images) + 1e-30


def tolerance(image, taps, dtype="float32"):
    """Returns the error of float32 sums of `taps` products an axis, of values up to the largest, and the rounding."""
    return (2 * (taps + 2) * EPS + (2.0**-11 if dtype == "float16" else 0)) * largest(image)


def downsample(emulator, image, sigma=1.0, dtype="float32"):
    out = result(halved(image.shape), dtype)
    emulator.pyramid_downsample(view(emulator, image), sigma, view(emulator, out, True), **HOST_LAUNCH)
    return out


def upsample(emulator, image, shape, dtype="float32"):
    out = result((image.shape[0], *shape, image.shape[3]), dtype)
    emulator.pyramid_upsample(view(emulator, image), view(emulator, out, True), **HOST_LAUNCH)
    return out


def upsample_meet(emulator, image, dst, valid, dtype="float32", **options):
    out = result(dst.shape, dtype)
    emulator.pyramid_upsample_meet(
        view(emulator, image),
        view(emulator, dst),
        view(emulator, valid),
        view(emulator, out, True),
        **options,
        **HOST_LAUNCH,
    )
    return out


def same_but_strided(images):
    """Returns the same values of [N, H, W, C]: planar, every second pixel of a wider image, reversed, not aligned."""
    n, h, w, c = images.shape
    planar = np.moveaxis(np.ascontiguousarray(np.moveaxis(images, -1, 1)), 1, -1)
    wide = np.zeros((n, 2 * h, 2 * w, c + 1), images.dtype)
    wide[:, ::2, ::2, :c] = images
    reversed_ = np.ascontiguousarray(images[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1]
    shifted = np.zeros((n, h, w * c + 5), images.dtype)[:, :, 1 : 1 + w * c].reshape(n, h, w, c, copy=False)
    shifted[...] = images
    return planar, wide[:, ::2, ::2, :c], reversed_, shifted


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_any_size_and_number_of_channels_follows_the_reference(emulator, size, channels):
    image = random_image(np.random.default_rng(channels), (1, *size, channels))
    for sigma in (0.0, 0.4, 1.0, 2.0):
        half = downsample(emulator, image, sigma)
        expected = reference.downsample(image[0], sigma)
        np.testing.assert_allclose(half[0], expected, rtol=0, atol=tolerance(image, 8 * sigma + 4))
    double = upsample(emulator, half, size)
    np.testing.assert_allclose(double[0], reference.upsample(half[0], size), rtol=0, atol=tolerance(half, 6))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("out", ["float32", "float16"])
def test_any_dtype_follows_the_reference(emulator, dtype, out):
    image = random_image(np.random.default_rng(1), (2, 45, 52, 3), dtype)
    if dtype == "uint16" and out == "float16":
        image //= 2  # within the range of float16
    for sigma, taps in ((1.0, 10), (0.0, 2), (0.6, 6)):
        half = downsample(emulator, image, sigma, out)
        for n in range(2):
            expected = reference.downsample(image[n], sigma)
            np.testing.assert_allclose(half[n], expected, rtol=0, atol=tolerance(image, taps, out))
    coarse = image[:, :23, :26]
    double = upsample(emulator, coarse, (45, 51), out)
    for n in range(2):
        expected = reference.upsample(coarse[n], (45, 51))
        # The cubic overshoots: the sum of its weights' sizes is 19/16 along each axis.
        np.testing.assert_allclose(double[n], expected, rtol=0, atol=1.5 * tolerance(coarse, 6, out))


def test_wide_filters_reach_past_the_image_repeatedly(emulator):
    rng = np.random.default_rng(2)
    for size, channels, sigma in (((9, 11), 3, 16.0), ((40, 300), 1, 16.0), ((31, 70), 8, 5.3), ((5, 6), 9, 3.0)):
        image = random_image(rng, (1, *size, channels))
        half = downsample(emulator, image, sigma)
        expected = reference.downsample(image[0], sigma)
        np.testing.assert_allclose(half[0], expected, rtol=0, atol=tolerance(image, 8 * sigma + 4))


def test_wide_images_have_more_than_one_tile(emulator):
    rng = np.random.default_rng(3)
    for width, channels, dtype in ((1601, 1, "uint8"), (1064, 3, "uint8"), (530, 3, "float32"), (400, 8, "float16")):
        image = random_image(rng, (1, 13, width, channels), dtype)
        half = downsample(emulator, image)
        np.testing.assert_allclose(half[0], reference.downsample(image[0]), rtol=0, atol=tolerance(image, 10))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_tiles_inside_an_image_give_what_those_at_its_border_give(emulator, dtype):
    """Tall tiles of aligned rows, and the same of rows that no four samples are aligned in."""
    rng = np.random.default_rng(8)
    for shape, sigma in (((43, 252, 500, 3), 1.0), ((40, 252, 1600, 1), 1.0), ((12, 36, 516, 3), 0.0)):
        image = random_image(rng, shape, dtype)
        half = downsample(emulator, image, sigma)
        np.testing.assert_array_equal(half, downsample(emulator, same_but_strided(image)[3], sigma))
        np.testing.assert_allclose(half[7], reference.downsample(image[7], sigma), rtol=0, atol=tolerance(image, 10))


def test_several_images_in_one_call(emulator):
    """They share a shape, whatever their dtype and strides; there are as many launches as kinds of them."""
    rng = np.random.default_rng(4)
    images = [random_image(rng, (2, 21, 34, 3), dtype) for dtype in ("uint8", "uint8", "float32", "uint8")]
    images[3] = np.moveaxis(np.ascontiguousarray(np.moveaxis(images[3], -1, 1)), 1, -1)
    outs = [result(halved(image.shape), dtype) for image, dtype in zip(images, ["float32", "float16"] * 2, strict=True)]
    emulator.pyramid_downsample(
        [view(emulator, image) for image in images], 1.0, [view(emulator, out, True) for out in outs], **HOST_LAUNCH
    )
    for image, out in zip(images, outs, strict=True):
        np.testing.assert_array_equal(out, downsample(emulator, image, 1.0, out.dtype.name))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_strided_images_give_the_same_bits(emulator, dtype):
    rng = np.random.default_rng(5)
    for channels in (1, 3):
        images = random_image(rng, (2, 26, 44, channels), dtype)
        dst = random_image(rng, (2, 52, 87, channels), dtype)
        valid = rng.random((2, 52, 87)) < 0.5
        down = {sigma: downsample(emulator, images, sigma) for sigma in (0.0, 1.0, 1.7)}
        up = upsample_meet(emulator, images, dst, valid)
        for image, other in zip(same_but_strided(images), same_but_strided(dst), strict=True):
            for sigma, expected in down.items():
                np.testing.assert_array_equal(downsample(emulator, image, sigma), expected)
            flags = np.moveaxis(np.ascontiguousarray(np.moveaxis(valid, 2, 1)), 1, 2)
            np.testing.assert_array_equal(upsample_meet(emulator, image, other, flags), up)
        wide = np.full((2, 13, 44, channels), -7, np.float32)
        emulator.pyramid_downsample(view(emulator, images), 1.0, view(emulator, wide[:, :, ::2], True), **HOST_LAUNCH)
        np.testing.assert_array_equal(wide[:, :, ::2], down[1.0])
        assert (wide[:, :, 1::2] == -7).all()


@pytest.mark.parametrize("axis", range(4), ids=["items", "rows", "columns", "channels"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_offsets_beyond_two_gigavalues(emulator, dtype, axis):
    rng = np.random.default_rng(14)

    def far(array):
        return array if axis >= array.ndim else far_apart(array, axis, emulator)

    def check(call, *arrays, out, **options):
        """Runs a kernel on arrays and on far ones, whose results are the same."""
        near, distant = out.copy(), far(out)
        for inputs, output in ((arrays, near), ([far(array) for array in arrays], distant)):
            call(
                *(view(emulator, array) for array in inputs),
                *options.values(),
                view(emulator, output, True),
                **HOST_LAUNCH,
            )
        np.testing.assert_array_equal(distant, near)
        assert not np.isnan(near.astype(float)).any()

    for channels in (1, 3):
        images, dst = random_image(rng, (2, 9, 10, channels), dtype), random_image(rng, (2, 18, 19, channels), dtype)
        masks, valid = random_image(rng, (2, 18, 19)), rng.random((2, 18, 19)) < 0.5
        for kind in ("float32", "float16"):
            for sigma in (0.0, 1.0, 1.7):
                check(emulator.pyramid_downsample, dst, sigma=sigma, out=result(halved(dst.shape), kind))
            check(emulator.pyramid_upsample, images, out=result(dst.shape, kind))
            check(emulator.pyramid_upsample_meet, images, dst, valid, out=result(dst.shape, kind))
        check(emulator.pyramid_copy_paste, dst[..., ::-1], dst, masks, out=result(dst.shape))
        check(emulator.pyramid_limit, dst[..., ::-1], dst, masks, out=dst[:, ::-1].copy())
        shares = [(place(result((2, 9, 10))), place(result((2, 9, 10)))) for place in (np.copy, far)]
        for (share, least), mask_ in zip(shares, (masks, far(masks)), strict=True):
            emulator.pyramid_downsample_mask(
                view(emulator, mask_), None, view(emulator, share, True), view(emulator, least, True), **HOST_LAUNCH
            )
        np.testing.assert_array_equal(shares[0], shares[1])
        check(emulator.pyramid_hold, shares[0][0], out=result((2, 9, 10)))


def test_one_image_for_a_whole_batch(emulator):
    rng = np.random.default_rng(6)
    image, masks = random_image(rng, (1, 20, 30, 3)), random_image(rng, (1, 20, 30))
    repeated = np.broadcast_to(image, (3, 20, 30, 3))
    np.testing.assert_array_equal(downsample(emulator, repeated), downsample(emulator, image).repeat(3, axis=0))
    share, least_share = result((3, 10, 15)), result((3, 10, 15))
    mask = view(emulator, np.broadcast_to(masks, (3, 20, 30)))
    emulator.pyramid_downsample_mask(
        mask, None, view(emulator, share, True), view(emulator, least_share, True), **HOST_LAUNCH
    )
    np.testing.assert_array_equal(share, share[:1].repeat(3, axis=0))
    np.testing.assert_array_equal(least_share, least_share[:1].repeat(3, axis=0))


@pytest.mark.covering(1)
@pytest.mark.parametrize("size", [*SIZES, (18, 272)])
@pytest.mark.parametrize("dtype", ("bool", *DTYPES))
def test_masks_and_what_is_known_go_down_together(emulator, size, dtype):
    rng = np.random.default_rng(7)
    full = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
    share = np.where(rng.random((2, *size)) < 0.5, 0, rng.random((2, *size)))
    share = np.where(rng.random((2, *size)) < 0.3, 1, share)
    mask = (share * full).astype(dtype)
    value = mask.astype(np.float64) / full
    out, least_share = result(halved(mask.shape)), result(halved(mask.shape))
    emulator.pyramid_downsample_mask(
        view(emulator, mask), None, view(emulator, out, True), view(emulator, least_share, True), **HOST_LAUNCH
    )
    # On the next level the known shares are averaged; the mask alone is as before.
    again, coarser = result(halved(out.shape)), result(halved(out.shape))
    emulator.pyramid_downsample_mask(
        view(emulator, out),
        view(emulator, least_share),
        view(emulator, again, True),
        view(emulator, coarser, True),
        **HOST_LAUNCH,
    )
    alone = result(out.shape)
    emulator.pyramid_downsample_mask(view(emulator, mask), None, view(emulator, alone, True), None, **HOST_LAUNCH)
    np.testing.assert_array_equal(alone, out)
    for n in range(2):
        np.testing.assert_allclose(out[n], reference.downsample_mask(value[n]), rtol=4 * EPS)
        np.testing.assert_array_equal(least_share[n], reference.downsample_mask(mask[n] == 0))
        np.testing.assert_allclose(again[n], reference.downsample_mask(out[n]), rtol=4 * EPS)
        np.testing.assert_array_equal(coarser[n], reference.downsample_mask(least_share[n]))
    whole = np.full_like(mask, full)
    emulator.pyramid_downsample_mask(view(emulator, whole), None, view(emulator, out, True), None, **HOST_LAUNCH)
    assert (out == 1).all()


def test_what_is_inside_a_mask_stays_inside(emulator):
    for dtype, value in (("float32", 1e-45), ("float64", 5e-324)):
        mask, out, least_share = np.full((1, 4, 18), value, dtype), result((1, 2, 9)), result((1, 2, 9))
        emulator.pyramid_downsample_mask(
            view(emulator, mask), None, view(emulator, out, True), view(emulator, least_share, True), **HOST_LAUNCH
        )
        assert (out > 0).all() and (least_share == 0).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@pytest.mark.parametrize("kind", ["soft", "spots", "contour"])
def test_doubled_colours_meet_the_known_pixels(emulator, size, channels, kind):
    rng = np.random.default_rng(8)
    coarse = random_image(rng, (2, (size[0] + 1) // 2, (size[1] + 1) // 2, channels), "float32") * 255
    dst = random_image(rng, (2, *size, channels))
    y, x = np.mgrid[: size[0], : size[1]]
    if kind == "contour":  # a tile without known pixels, or with nothing else, is left alone
        valid = np.stack([(x < 40) | (y < 3), (x + y > 90) & (x > 6)])
    elif kind == "spots":
        valid = rng.random((2, *size)) < 0.05
    else:
        valid = np.where(rng.random((2, *size)) < 0.5, 1, rng.random((2, *size))).astype(np.float32)
    blended = upsample_meet(emulator, coarse, dst, valid)
    # There are two sums of 49 terms and a quotient of them; the cubic overshoots.
    bound = 6 * 49 * EPS * largest(coarse, dst)
    for n in range(2):
        expected = reference.meet_known(reference.upsample(coarse[n], size), dst[n], valid[n])
        np.testing.assert_allclose(blended[n], expected, rtol=0, atol=bound)
    plain = upsample(emulator, coarse, size)
    np.testing.assert_array_equal(blended[valid == 1], plain[valid == 1])
    if kind != "soft":
        mask = np.where(valid, 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(upsample_meet(emulator, coarse, dst, mask, from_mask=True), blended)


def test_colours_and_results_of_half_precision(emulator):
    rng = np.random.default_rng(9)
    coarse, dst = (random_image(rng, (1, *size, 3), "float16") for size in ((19, 20), (38, 39)))
    valid = rng.random((1, 38, 39)) < 0.5
    blended = upsample_meet(emulator, coarse, dst, valid, "float16")
    expected = reference.meet_known(reference.upsample(coarse[0], (38, 39)), dst[0], valid[0])
    bound = 6 * 49 * EPS * largest(coarse, dst) + 2.0**-11 * largest(expected)
    np.testing.assert_allclose(blended[0], expected, rtol=0, atol=bound)


def test_the_kernels_of_both_agree(emulator):
    rng = np.random.default_rng(10)
    image = random_image(rng, (1, 61, 90, 3))
    half = downsample(emulator, image)
    np.testing.assert_allclose(half[0], cpu.downsample(image[0]), rtol=0, atol=tolerance(image, 10))
    valid = rng.random((1, 61, 90)) < 0.7
    colours = cpu.upsample(half[0], (61, 90))
    cpu.meet_known(colours, image[0], valid[0])
    blended = upsample_meet(emulator, half, image, valid)
    np.testing.assert_allclose(blended[0], colours, rtol=0, atol=6 * 49 * EPS * 255)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_base(emulator, dtype):
    rng = np.random.default_rng(11)
    src, dst = (random_image(rng, (2, 9, 70, 3), dtype) for _ in range(2))
    mask = random_image(rng, (2, 9, 70))
    base = result(src.shape)
    emulator.pyramid_copy_paste(
        view(emulator, src), view(emulator, dst), view(emulator, mask), view(emulator, base, True), **HOST_LAUNCH
    )
    m = mask[..., None] / 255
    expected = m * src.astype(np.float64) + (1 - m) * dst.astype(np.float64)
    np.testing.assert_allclose(base, expected, rtol=0, atol=3 * EPS * largest(src, dst))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_limit_of_a_soft_mask(emulator, dtype):
    rng = np.random.default_rng(13)
    src, dst, out = (random_image(rng, (2, 9, 70, 3), dtype) for _ in range(3))
    mask = rng.choice([0, 1, 2, 40, 254, 255], (2, 9, 70)).astype(np.uint8)
    expected = out.copy()
    for item in range(2):
        limit_change(src[item], dst[item], mask[item], expected[item])
    assert (expected != out).any()
    emulator.pyramid_limit(
        view(emulator, src), view(emulator, dst), view(emulator, mask), view(emulator, out, True), **HOST_LAUNCH
    )
    bound = 0 if out.dtype.kind == "u" else tolerance(expected, 2, dtype)
    np.testing.assert_allclose(out.astype(float), expected.astype(float), rtol=0, atol=bound)


def test_weights_that_hold_the_membrane(emulator):
    valid = np.array([[[0, 0.25, 0.5, 0.75, 1, 1e-30, 0.9995]]], np.float32)
    weights = result(valid.shape)
    emulator.pyramid_hold(view(emulator, valid), view(emulator, weights, True), **HOST_LAUNCH)
    share = np.minimum(valid.astype(np.float64), 0.999)
    expected = np.where(share > 0, 2 + 4 * share / (1 - share), 0)
    # 1 - 0.999 in float32 is off by half a unit of 1, a thousandth of which is left.
    np.testing.assert_allclose(weights, expected, rtol=1e3 * EPS)


def test_the_same_bits_in_any_order_of_the_threads(emulator):
    rng = np.random.default_rng(12)
    image, valid = random_image(rng, (1, 40, 70, 3)), rng.random((1, 40, 70)) < 0.5
    half = downsample(emulator, image)
    blended = upsample_meet(emulator, half, image, valid)
    emulator.set_seed(99)
    np.testing.assert_array_equal(downsample(emulator, image), half)
    np.testing.assert_array_equal(upsample_meet(emulator, half, image, valid), blended)


def test_inputs_are_checked(emulator):
    image, half = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 4, 4, 3), np.float32)
    valid = np.zeros((1, 8, 8), bool)

    def down(image, sigma, out, writable=True):
        emulator.pyramid_downsample(view(emulator, image), sigma, view(emulator, out, writable), **HOST_LAUNCH)

    with pytest.raises(ValueError, match="smooth_sigma: 17"):
        down(image, 17, half)
    with pytest.raises(ValueError, match=r"out: shape \[1, 4, 3, 3\], expected \[1, 4, 4, 3\]"):
        down(image, 1, half[:, :, :3])
    with pytest.raises(ValueError, match="out: read-only"):
        down(image, 1, half, writable=False)
    with pytest.raises(ValueError, match="out: dtype uint8, expected float32 or float16"):
        down(image, 1, half.astype(np.uint8))
    with pytest.raises(ValueError, match="image: dtype bool"):
        down(image > 0, 1, half)
    with pytest.raises(ValueError, match=r"image: 3 dimensions, expected \[N, H, W, C\]"):
        down(image[0], 1, half)
    with pytest.raises(ValueError, match="outs: 0 arrays for 1 images"):
        emulator.pyramid_downsample([view(emulator, image)], 1.0, [], **HOST_LAUNCH)
    with pytest.raises(ValueError, match=r"image: shape \[1, 3, 4, 3\], expected \[1, 4, 4, 3\]"):
        upsample(emulator, half[:, :3], (8, 8))
    with pytest.raises(ValueError, match=r"known: shape \[1, 8, 7, 1\], expected \[1, 8, 8, 1\]"):
        upsample_meet(emulator, half, image, valid[:, :, :7])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_source_goes_on_as_dst_and_the_nearest_difference(emulator, dtype):
    rng = np.random.default_rng(7)
    src, dst = (random_image(rng, shape, dtype) for shape in ((2, 9, 20, 3), (2, 15, 41, 3)))
    top, left = 4, 21
    # It is as with numpy: differences padded by those at the border.
    values = [a.astype(np.float32) for a in (src, dst)]
    inside = np.s_[:, top : top + 9, left : left + 20]
    around = ((0, 0), (top, 15 - 9 - top), (left, 41 - 20 - left), (0, 0))
    expected = np.pad(values[0] - values[1][inside], around, mode="edge") + values[1]
    expected[inside] = values[0]
    for laid_over in (dst, *same_but_strided(dst)):
        out = result(dst.shape)
        emulator.pyramid_lay(
            view(emulator, src), view(emulator, laid_over), top, left, view(emulator, out, True), **HOST_LAUNCH
        )
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float16", "float32", "float64"])
def test_a_mask_is_zero_around_its_source(emulator, dtype):
    share = np.random.default_rng(8).uniform(0, 1, (2, 9, 20))
    mask = share > 0.5 if dtype == "bool" else (share * {"uint8": 255, "uint16": 65535}.get(dtype, 1)).astype(dtype)
    scaled = mask.astype(np.float32) / np.float32({"uint8": 255, "uint16": 65535}.get(dtype, 1))
    for source_mask, inner in ((mask, scaled), (None, np.ones_like(scaled)), (None, scaled[:, :0, :0])):
        out, expected = result((2, 15, 41)), np.zeros((2, 15, 41), np.float32)
        height, width = inner.shape[1:]
        expected[:, 4 : 4 + height, 21 : 21 + width] = inner
        mask_view = None if source_mask is None else view(emulator, source_mask)
        emulator.pyramid_lay_mask(mask_view, 4, 21, height, width, view(emulator, out, True), **HOST_LAUNCH)
        np.testing.assert_array_equal(out, expected)


def test_a_source_beyond_dst_is_refused(emulator_module):
    m = emulator_module
    src, dst, out = (np.zeros(shape, np.float32) for shape in ((1, 4, 5, 1), (1, 6, 6, 1), (1, 6, 6, 1)))
    for top, left in ((-1, 0), (3, 0), (0, 2)):
        with pytest.raises(ValueError, match=r"src: 4 x 5 at row .* expected inside 6 x 6"):
            m.pyramid_lay(view(m, src), view(m, dst), top, left, view(m, out, True), **HOST_LAUNCH)
