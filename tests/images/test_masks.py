"""What masks say: maps of labels, files that do not keep black and white, and soft masks, which bound what changes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

import pyharmony
from pyharmony import blend, compat, ops
from pyharmony._images import frame, limit
from pyharmony._images.region import bounding_box
from pyharmony.blend import _edits as edits
from pyharmony.blend import _laplacian as laplacian
from pyharmony.errors import MaskError, MaskWarning, PyHarmonyWarning
from pyharmony.io import Picture, read
from pyharmony.io.masks import mask_of
from pyharmony.learn import metrics

from ..blends import VARIANTS


def said(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Returns what a call returns, and the texts of its warnings of `MaskWarning`."""
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        result = call()
    return result, [str(one.message) for one in records if issubclass(one.category, MaskWarning)]


def scene(seed: int = 0, shape: tuple[int, int] = (40, 48), dtype: str = "uint8") -> tuple[np.ndarray, np.ndarray]:
    """Returns src and dst, random in blocks of five pixels and in single ones, over the range of a dtype."""
    rng = np.random.default_rng(seed)
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)

    def image() -> np.ndarray:
        coarse = rng.random((shape[0] // 5 + 1, shape[1] // 5 + 1, 3)).repeat(5, 0).repeat(5, 1)
        x = np.clip(coarse[: shape[0], : shape[1]] + rng.normal(0, 0.1, (*shape, 3)), 0, 1) * white
        return (np.rint(x) if white > 1 else x).astype(dtype)

    return image(), image()


# ---- maps of labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "largest", "share"),
    [("uint8", 2, "0.78"), ("uint8", 15, "5.9"), ("uint8", 24, "9.4"), ("uint8", 127, "50"), ("uint16", 255, "0.39")],
)
def test_a_map_of_labels_is_told_of_with_its_largest_value_and_the_remedy(dtype, largest, share):
    src, dst = scene()
    labels = np.zeros(src.shape[:2], dtype)
    labels[8:30, 8:30] = largest
    labels[12:20, 12:20] = 2
    for call in (blend.alpha, blend.laplacian, blend.poisson, blend.gaussian_poisson, ops.poisson):
        _, (first, *_) = said(lambda call=call: call(src, dst, labels))
        white = 255 if dtype == "uint8" else 65535
        assert first == (
            f"mask: {dtype} with largest value {largest}, which is {share} % inside, since {white} is fully inside; "
            "for a map of labels pass `mask == label`, or `mask > 0` for all of them"
        )
    _, texts = said(lambda: pyharmony.harmonize(dst, labels, method="mkl"))
    assert texts and texts[0].startswith(f"mask: {dtype} with largest value {largest}")
    _, texts = said(lambda: metrics.fmse(dst, src, labels))
    assert texts


def test_masks_that_are_no_labels_are_not_told_of():
    src, dst = scene()
    inside = np.zeros(src.shape[:2], bool)
    inside[8:30, 8:30] = True
    for mask in (inside, inside * np.uint8(128), inside * np.uint16(40000), inside * 0.1, inside * np.float32(0.9)):
        assert said(lambda mask=mask: blend.alpha(src, dst, mask))[1] == []
    assert said(lambda: blend.alpha(src, dst, np.zeros(inside.shape, np.uint8)))[1] == []
    faint = np.dstack([src, inside * np.uint8(60)])  # the alpha of a layer is no map of labels
    assert said(lambda: blend.alpha(faint, dst))[1] == []


def test_labels_of_an_image_that_is_read_by_tiles_are_told_of():
    src, dst = scene()
    labels = np.zeros(src.shape[:2], np.uint8)
    labels[8:30, 8:30] = 15
    out = np.empty_like(dst)
    assert len(said(lambda: blend.gaussian_poisson_tiles(src, dst, labels, out, tile=16))[1]) >= 1
    with pytest.raises(MaskError, match="largest value 1"):
        blend.gaussian_poisson_tiles(src, dst, labels // 15, out, tile=16)


# ---- masks in files that do not keep black and white -----------------------------------------------------


def file_of(image: np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")
LOSSY = [
    ("JPEG", {"quality": 60}),
    ("WEBP", {"quality": 50}),
    pytest.param("AVIF", {"quality": 40}, marks=needs_avif),
]


@pytest.mark.parametrize(("kind", "options"), LOSSY)
def test_black_and_white_of_a_lossy_file_are_black_and_white(kind, options):
    src, dst = scene(shape=(80, 96))
    mask = np.zeros((80, 96), np.uint8)
    mask[20:60, 20:70] = 255
    rng = np.random.default_rng(1)
    noisy = np.clip(mask + rng.integers(-4, 5, mask.shape), 0, 255).astype(np.uint8)
    data = file_of(np.dstack([noisy] * 3), kind, **options)
    read = mask_of(pyharmony.io.read(data, "mask"), "mask")
    assert (read[:10] == 0).all() and (read[70:] == 0).all()
    assert (read[28:52, 28:62] == 255).all()
    result = blend.alpha(src, dst, data)
    np.testing.assert_array_equal(result[:10], dst[:10])
    np.testing.assert_array_equal(result[28:52, 28:62], src[28:52, 28:62])


def test_a_lossy_mask_may_be_off_grey_by_its_noise_and_no_more():
    grey = np.full((8, 8, 3), 200, np.uint8)
    grey[2, 2] = (203, 200, 196)
    coloured = grey.copy()
    coloured[2, 2] = (230, 200, 170)
    for kind in ("JPEG", "WEBP", "AVIF", "HEIF"):
        assert mask_of(Picture(grey, format=kind), "mask")[2, 2] == 200
        with pytest.raises(MaskError, match="a colour image"):
            mask_of(Picture(coloured, format=kind), "mask")
    for kind in ("PNG", "TIFF", None):
        with pytest.raises(MaskError, match="a colour image"):
            mask_of(Picture(grey, format=kind), "mask")


def test_the_compression_decides_whether_a_mask_is_noisy() -> None:
    """JPEG in a TIFF is JPEG; WebP and JPEG XL without loss store what they were given."""
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    rng = np.random.default_rng(0)
    mask = (rng.random((64, 80)) < 0.5).astype(np.uint8) * 255
    mask[:, 40:] = 3 * (mask[:, 40:] // 255)
    rgb, stream = np.dstack([mask] * 3), io.BytesIO()
    for photometric, pixels in (("minisblack", mask), ("rgb", rgb)):
        stream = io.BytesIO()
        tifffile.imwrite(stream, pixels, photometric=photometric, compression="jpeg", compressionargs={"level": 97})
        picture = read(stream.getvalue())
        assert picture.format == "TIFF"
        values = mask_of(picture, "mask")
        assert {*np.unique(values)} >= {0, 255}
        assert not ((values > 0) & (values < 9)).any() and not ((values > 246) & (values < 255)).any()
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "WEBP", lossless=True)
    files = [stream.getvalue(), imagecodecs.jpegxl_encode(mask, lossless=True)]
    stream = io.BytesIO()
    tifffile.imwrite(stream, mask, compression="zlib")
    for data in (*files, stream.getvalue()):
        np.testing.assert_array_equal(mask_of(read(data), "mask"), mask)


def test_what_a_lossless_file_holds_stays():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for kind in ("PNG", "TIFF", "BMP", None):
        np.testing.assert_array_equal(mask_of(Picture(grey, format=kind), "mask"), grey[..., 0])
    deep = (grey * np.uint16(257)).astype(np.uint16)
    read = mask_of(Picture(deep, format="HEIF"), "mask")
    assert (read[grey[..., 0] <= 8] == 0).all() and (read[grey[..., 0] >= 247] == 65535).all()
    middle = (grey[..., 0] > 8) & (grey[..., 0] < 247)
    np.testing.assert_array_equal(read[middle], deep[..., 0][middle])


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "WEBP"])
def test_the_alpha_of_a_lossy_file(kind):
    """AVIF and HEIF compress alpha like a colour; WebP keeps it."""
    pixels = np.full((4, 4, 4), 90, np.uint8)
    pixels[..., 3] = (3, 100, 251, 255)
    expected = (3, 100, 251, 255) if kind == "WEBP" else (0, 100, 255, 255)
    assert mask_of(Picture(pixels, format=kind), "mask")[0].tolist() == list(expected)
    pixels[..., 3] = 252  # opaque but for noise
    if kind != "WEBP":
        assert (mask_of(Picture(pixels, format=kind), "mask") == 90).all()


# ---- soft masks bound what changes -------------------------------------------------------------------

#: Every blend and edit with the options that change what it solves.
ALL_CALLS: list[tuple[str, dict[str, Any]]] = [
    *VARIANTS,
    ("texture_flattening", {"low": 30, "high": 60}),
    ("illumination_change", {}),
    ("detail_boost", {"gain": 4}),
    ("inpaint", {}),
]
EDITS = ("texture_flattening", "illumination_change", "detail_boost", "inpaint")
WHITE = {"uint8": 255, "uint16": 65535, "float32": 1.0}


def blended(name: str, src: np.ndarray, dst: np.ndarray, mask: np.ndarray, **options: Any) -> np.ndarray:
    images = (dst,) if name in EDITS else (src, dst)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result: np.ndarray = getattr(blend, name)(*images, mask, **options)
    return result


def soft_mask(seed: int, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Returns an object in full, around it 1 to 20 of 255, and zeros along the border, where strips count as inside."""
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 1, 1, 1, 2, 5, 20], shape)
    values[12:24, 14:30] = rng.choice([255, 128, 200], (12, 16))
    if seed % 2:
        values[14:20, 16:26] = 255
    values[:4] = values[-4:] = values[:, :4] = values[:, -4:] = 0
    if dtype == "float32":
        return (values / np.float32(255)).astype(np.float32)
    return values.astype(np.uint8) if dtype == "uint8" else (values * 257).astype(np.uint16)


def excess(result: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> float:
    """Returns how far results lie beyond mask * range from dst, in the unit of the dtype; floats are not clipped."""
    share = mask / WHITE[mask.dtype.name]
    beyond = np.abs(result.astype(np.float64) - dst) - (share * WHITE[dst.dtype.name])[..., None]
    return float(beyond[share < 1 if dst.dtype.kind == "f" else share >= 0].max())


@pytest.mark.parametrize(("name", "options"), ALL_CALLS)
@pytest.mark.parametrize("dtype", WHITE)
def test_a_mask_of_k_of_255_changes_dst_by_at_most_k_of_255(name, options, dtype):
    for seed, kind in enumerate((*WHITE, "uint8")):
        src, dst = scene(seed, dtype=dtype)
        mask = soft_mask(seed, src.shape[:2], kind)
        result = blended(name, src, dst, mask, **options)
        assert (result != dst).any()
        assert excess(result, dst, mask) <= (1e-6 if dtype == "float32" else 0)
        into = dst.copy()
        np.testing.assert_array_equal(blended(name, src, into, mask, out=into, **options), result)


@pytest.mark.parametrize("name", ["laplacian", "poisson", "gaussian_poisson"])
def test_a_black_that_is_1_of_255_leaves_the_photograph(name):
    """Of two pictures of one size 100 % of what is outside changed, by 75 levels in the mean."""
    src, dst = scene(3, (80, 96))
    mask = np.ones((80, 96), np.uint8)
    mask[:5, :5] = 0  # something has to fix the colours of `poisson`
    mask[20:60, 30:70] = 255
    (result, texts) = said(lambda: getattr(blend, name)(src, dst, mask))
    assert np.abs(result.astype(int) - dst)[mask == 1].max() <= 1
    share = (mask == 1).sum() / (mask > 0).sum()
    assert texts == [
        f"mask: {share:.0%} of the pixels inside are below 4 %, where dst can change by 4 % only; if they are meant "
        "to be black, pass `numpy.where(mask > 10, mask, 0)`"
    ]
    inside = mask == 255
    assert np.abs(result.astype(int) - dst)[inside].mean() > 20


def test_a_source_that_its_scale_makes_smaller_than_a_pixel_is_told_of():
    src, dst = scene(3, (80, 96))
    says = "^scale: 0.0001 reduces src to 0.0096 x 0.008 pixels, which is almost invisible; use a larger scale$"
    with pytest.warns(PyHarmonyWarning, match=says) as records:
        blend.alpha(src, dst, np.full((80, 96), 255, np.uint8), at=(20, 20), scale=1e-4)
    assert len(records) == 1


def test_the_least_mask_above_zero_leaves_dst():
    src, dst = scene(8)
    mask = np.zeros(src.shape[:2])
    mask[6:34, 6:42] = 1e-60  # zero as float32
    mask[12:24, 14:30] = 1
    for name in ("laplacian", "poisson", "gaussian_poisson"):
        np.testing.assert_array_equal(blended(name, src, dst, mask)[mask < 1], dst[mask < 1])


def test_tiles_and_lists_bound_it_too():
    src, dst = scene(5)
    mask = soft_mask(1, src.shape[:2], "uint8")
    expected = blended("gaussian_poisson", src, dst, mask)
    out = np.empty_like(dst)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tile in (16, 33):
            blend.gaussian_poisson_tiles(src, dst, mask, out, tile=tile)
            np.testing.assert_array_equal(out, expected)
        (again,) = blend.gaussian_poisson([src], [dst], mask)
        batch = blend.gaussian_poisson(np.stack([src, dst]), np.stack([dst, src]), mask)
    np.testing.assert_array_equal(again, expected)
    np.testing.assert_array_equal(batch[0], expected)
    assert excess(batch[1], src, mask) <= 0
    _, texts = said(lambda: blend.gaussian_poisson_tiles(src, dst, np.maximum(mask, 1), out))
    assert len(texts) == 1 and texts[0].startswith("mask: ")


def test_a_clone_bounds_it_too():
    src, dst = scene(6)
    mask = soft_mask(1, src.shape[:2], "uint8")
    for flags in (compat.NORMAL_CLONE_WIDE, compat.MIXED_CLONE_WIDE, compat.MONOCHROME_TRANSFER_WIDE):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = compat.seamlessClone(src, dst, mask, (dst.shape[1] // 2, dst.shape[0] // 2), flags)
        assert excess(result, dst, mask) <= 0


@pytest.mark.parametrize("name", ["laplacian", "poisson", "gaussian_poisson"])
def test_floats_beyond_white_have_the_range_of_what_is_there(name):
    src, dst = scene(2, dtype="float32")
    src, dst = src * 40, dst * 9  # lamps and suns
    mask = np.zeros(src.shape[:2], np.float32)
    mask[10:30, 10:38] = 0.5
    result = blended(name, src, dst, mask)
    reach = np.maximum.reduce([np.ones_like(src), src, dst, np.abs(src - dst)]) / 2
    assert (np.abs(result - dst) <= reach * np.where(mask > 0, 1, 0)[..., None] * (1 + 1e-6)).all()
    assert np.abs(result - dst).max() > 5


@pytest.mark.parametrize(("name", "options"), ALL_CALLS)
def test_a_hard_mask_bounds_nothing(name, options, monkeypatch):
    """A hard mask takes no pass over the images, and a mask near 1 no other result than before."""
    src, dst = scene(4)
    mask = np.zeros(src.shape[:2], np.uint8)
    mask[10:30, 10:38] = 255
    expected = blended(name, src, dst, mask, **options)
    for module in (frame, laplacian, edits):
        monkeypatch.setattr(module, "limit_change", None)
    np.testing.assert_array_equal(blended(name, src, dst, mask, **options), expected)
    np.testing.assert_array_equal(blended(name, src, dst, mask > 0, **options), expected)


def test_masks_that_are_soft_at_the_contour_alone_are_not_told_of():
    src, dst = scene(1, (80, 96))
    y, x = np.mgrid[:80, :96]
    feathered = np.clip(1.5 - np.hypot(y - 40, x - 48) / 20, 0, 1)
    for mask in (feathered, np.rint(feathered * 255).astype(np.uint8), (feathered > 0.5) * 0.05):
        assert said(lambda mask=mask: blend.poisson(src, dst, mask))[1] == []
    layer = np.dstack([src, np.maximum(np.rint(feathered * 255), 2).astype(np.uint8)])
    _, texts = said(lambda: blend.alpha(layer, dst))
    assert len(texts) == 1 and texts[0].startswith("the alpha of src: ") and "an alpha of 0" in texts[0]


# ---- the facts of a mask ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("size", [(1, 1), (3, 127), (4, 128), (5, 129), (90, 700)])
def test_the_facts_of_a_mask_are_those_of_numpy(dtype, size, simd, threads):
    rng = np.random.default_rng(11)
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    for kind in range(6):
        levels = rng.random(size)
        levels = [levels, levels > 0.5, levels * 0, levels * 0 + 1, levels * (rng.random(size) > 0.99), levels * 0.1][
            kind
        ]
        top, left = int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))
        levels[:top], levels[:, :left] = 0, 0
        mask = (levels * white).round().astype(dtype) if white > 1 else levels.astype(dtype)
        inside = mask > 0
        facts = limit.mask_facts(mask)
        assert facts.box == bounding_box(mask)
        assert facts.soft == bool((inside & (mask < white)).any() and dtype != "bool")
        assert facts.inside == inside.sum()
        assert facts.largest == (mask.max() if white > 1 else 0)
        least = int(0.04 * white) + 1 if white > 1 else mask.dtype.type(dtype == "bool" or 0.04)
        assert facts.faint == (inside & (mask < least)).sum()
        for same in (mask[:, ::-1].copy()[:, ::-1], np.asfortranarray(mask), np.repeat(mask, 2, 1)[:, ::2]):
            assert limit.mask_facts(same) == facts


def test_a_mask_is_read_once_unless_a_part_of_it_counts(monkeypatch):
    shapes = []
    monkeypatch.setattr(frame, "mask_facts", lambda mask: shapes.append(mask.shape) or limit.mask_facts(mask))
    src, dst = (np.random.default_rng(k).integers(0, 256, (40, 50, 3), np.uint8) for k in range(2))
    mask = np.zeros((40, 50), np.uint8)
    mask[5:30, 7:44] = 255
    inside = mask[..., None] > 0
    result, _ = blend.alpha(src, dst, mask, return_info=True)  # without it, native code reads the mask
    assert np.array_equal(result, np.where(inside, src, dst))
    assert shapes == [(40, 50)]
    result, _ = blend.alpha(src, dst, mask, at=(-20, 3), return_info=True)
    expected = dst.copy()
    expected[3:, :30] = np.where(inside[:-3, 20:], src[:-3, 20:], dst[3:, :30])
    assert np.array_equal(result, expected)
    assert shapes == [(40, 50), (40, 50), (37, 30)]
    # Each item of a batch has its own.
    shapes.clear()
    masks = np.stack([mask, mask[::-1, ::-1]])
    both = blend.alpha(np.stack([src, src]), np.stack([dst, dst]), masks)
    assert np.array_equal(both[0], np.where(inside, src, dst))
    assert np.array_equal(both[1], np.where(inside[::-1, ::-1], src, dst))


def test_a_mask_without_pixels_has_an_empty_box():
    facts = limit.mask_facts(np.zeros((0, 5), np.uint8))
    assert (facts.box.empty, facts.soft, facts.inside) == (True, False, 0)
