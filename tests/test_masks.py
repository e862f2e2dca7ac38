"""What masks say: maps of labels, and files that do not keep black and white."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

import pyharmony
from pyharmony import blend, metrics, ops
from pyharmony.errors import MaskError, MaskWarning
from pyharmony.io import Picture
from pyharmony.io.masks import mask_of


def said(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Returns what a call returns, and the texts of its warnings of `MaskWarning`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [str(one.message) for one in caught if issubclass(one.category, MaskWarning)]


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
            f"mask: {dtype} with {largest} as its largest value, which is {share} % inside, as {white} means fully; "
            "of a map of labels pass `mask == label`, or `mask > 0` for all of them"
        )
    _, texts = said(lambda: pyharmony.harmonize(dst, labels, method="mkl"))
    assert texts and texts[0].startswith(f"mask: {dtype} with {largest}")
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
    with pytest.raises(MaskError, match="1 as its largest value"):
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
    pytest.param(
        "AVIF", {"quality": 40}, marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")
    ),
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
