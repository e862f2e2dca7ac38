"""JPEG by imagecodecs: the pixels, files and errors are those of Pillow, which decodes and encodes without it."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from pyharmony.errors import PyHarmonyError
from pyharmony.io import Picture, _jpeg, read
from pyharmony.io.files import read_square

from ..fuzz.mutate import mutated
from ..image_files import by_pillow, encoded

pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")


def photo(height: int, width: int) -> np.ndarray:
    """Returns smooth colours with noise in a part."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 4, y * 6, (x + y) * 2], -1).astype(np.uint8)
    pixels[height // 3 :] ^= np.random.default_rng(0).integers(0, 64, pixels[height // 3 :].shape, np.uint8)
    return pixels


def jpeg(image: Any, **options: Any) -> bytes:
    return by_pillow(image, "JPEG", **options)


def written(picture: Picture, quality: int = 95) -> bytes:
    return encoded(picture, "jpeg", quality=quality)


def outcome(data: bytes) -> Any:
    """Returns the picture of a file, or its error, in a form to be compared."""
    try:
        picture = read(data)
    except PyHarmonyError as error:
        return type(error), str(error)
    return picture.pixels.tobytes(), repr(dataclasses.replace(picture, pixels=picture.pixels[:1, :1])), picture.exif


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that reads with and without imagecodecs, and returns whether imagecodecs decoded the file."""
    decode = _jpeg.decode

    def both(data: bytes) -> bool:
        results: list[Any] = []

        def recorded(image: Any, stream: Any) -> Any:
            results.append(decode(image, stream))
            return results[-1]

        monkeypatch.setattr(_jpeg, "decode", recorded)
        ours = outcome(data)
        monkeypatch.setattr(_jpeg, "decode", lambda image, stream: None)
        assert ours == outcome(data)
        return any(pixels is not None for pixels in results)

    return both


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (64, 48)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "grey"])
def test_pixels_are_those_of_pillow(size: tuple[int, int], subsampling: str, decodes: Any) -> None:
    image = Image.fromarray(photo(*size))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for options in ({"quality": 30}, {"quality": 98, "restart_marker_blocks": 2, "dpi": (72, 72)}, {"optimize": True}):
        if subsampling == "grey":
            data = jpeg(image.convert("L"), **options)
        else:
            data = jpeg(image, subsampling=subsampling, icc_profile=profile, comment=b"\xff\xd9", **options)
        assert decodes(data)
        assert decodes(data + b"more")


def test_other_files_are_left_to_pillow(decodes: Any) -> None:
    image = Image.fromarray(photo(40, 56))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = jpeg(image, quality=90)
    size, tables = data.index(b"\xff\xc0") + 5, data.index(b"\xff\xc4") + 5
    wide = data[:size] + b"\0\x08\xff\xff" + data[size + 4 :]
    bogus = data[:tables] + b"\2" + data[tables + 1 :]
    for name, other in {
        "progressive": jpeg(image, progressive=True), "CMYK": jpeg(image.convert("CMYK")),
        "rotated": jpeg(image, exif=exif.tobytes()), "truncated": data[:-500], "without its end": data[:-2],
        "a second scan": data[:-2] + data[data.index(b"\xff\xda") :], "no scan": data[: data.index(b"\xff\xda")],
        "a fill byte": data.replace(b"\xff\xda", b"\xff\xff\xda"), "too wide": wide, "bogus codes": bogus,
    }.items():  # fmt: skip
        assert not decodes(other), name


def test_damaged_files_end_as_with_pillow(decodes: Any) -> None:
    image = Image.fromarray(photo(40, 56))
    seeds = [jpeg(image, quality=90), jpeg(image, restart_marker_blocks=2), jpeg(image.convert("L"))]
    rng = np.random.default_rng(0)
    count = sum(decodes(mutated(seeds[number % 3], seeds, rng)) for number in range(600))
    assert 100 < count < 500


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_those_of_pillow(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Example"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = photo(37, 53)[:, ::-1, :channels]
    plain = Picture(pixels)
    full = Picture(pixels, profile, exif.tobytes(), b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", (300.0, 72.0))
    cases = [(picture, quality) for picture in (plain, full) for quality in (1, 50, 95, 100)]
    ours = [written(*case) for case in cases]
    np.testing.assert_array_equal(read(ours[2]).pixels, np.asarray(Image.open(io.BytesIO(ours[2]))).reshape(37, 53, -1))
    monkeypatch.setattr(_jpeg, "_codec", lambda: None)
    assert ours == [written(*case) for case in cases]


@pytest.mark.parametrize("shape", [(5, 7), (5, 1), (1, 7), (1, 1)])
def test_grey_of_any_strides_is_written(shape: tuple[int, int]) -> None:
    pixels = np.full((9, 9), 77, np.uint8)[: shape[0], : shape[1]]
    for grey in (pixels[..., None], np.ascontiguousarray(pixels)[..., None], pixels.T[..., None].swapaxes(0, 1)):
        np.testing.assert_array_equal(read(written(Picture(grey))).pixels, grey)


@pytest.mark.parametrize("shape", [(1, 65501, 3), (65501, 1, 1)])
def test_what_no_jpeg_stores_has_the_error_of_pillow(shape: tuple[int, int, int]) -> None:
    with pytest.raises(PyHarmonyError, match="JPEG cannot store"):
        written(Picture(np.zeros(shape, np.uint8)))


def gratings(height: int, width: int) -> Image.Image:
    """Returns colours that vary over some hundreds of pixels, by which a shift of a fraction of a pixel is measured."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 40 + y / 90), np.sin(x / 70 - y / 50), np.sin((x + y) / 60)]
    return Image.fromarray(np.rint(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_jpeg_is_read_as_a_square(orientation: int) -> None:
    """The square is that of the whole image, whose sides are multiples of nothing, and not shifted at its ends."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(gratings(521, 777), quality=95, exif=exif.tobytes())
    whole = read(data)
    for side in (32, 64, 128, 256):
        picture, size = read_square(data, "image", side)
        assert (size is None) == (side == 256)  # no half has twice as many rows
        assert size in (None, (777, 521) if orientation < 5 else (521, 777))
        assert (picture.dpi, picture.exif, picture.format) == (whole.dpi, whole.exif, "JPEG")
        expected = Image.fromarray(whole.pixels).resize((side, side), Image.Resampling.BILINEAR)
        pixels = picture.pixels if size else np.asarray(Image.fromarray(picture.pixels).resize((side, side), 2))
        error = np.abs(pixels.astype(float) - np.asarray(expected))
        assert error.mean() < 0.5 and error[:, -1].mean() < 2.5 and error[-1].mean() < 2.5


def test_other_files_are_read_whole_where_a_square_is_wanted() -> None:
    stream = io.BytesIO()
    image = gratings(521, 777)
    image.save(stream, "PNG")
    picture, size = read_square(stream.getvalue(), "image", 32)
    assert size is None and picture.pixels.shape == (521, 777, 3)
    assert read_square(picture, "image", 32) == (picture, None)
    data = jpeg(image)
    for damaged in (data[: len(data) // 2], data[:300]):
        with pytest.raises(PyHarmonyError):
            read_square(damaged, "image", 32)
    grey, size = read_square(jpeg(image.convert("L")), "image", 32)
    assert size == (777, 521) and grey.pixels.shape == (32, 32, 1)
    cmyk, size = read_square(jpeg(image.convert("CMYK")), "image", 32)
    assert size == (777, 521) and cmyk.pixels.shape == (32, 32, 3)
