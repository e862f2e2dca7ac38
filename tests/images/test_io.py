"""Image files in and out: the pixels, colours and metadata that are read, and how files are written."""

from __future__ import annotations

import ctypes
import io
import itertools
import logging
import math
import os
import signal
import stat
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features
from PIL.PngImagePlugin import PngInfo

import pyharmony as ph
from pyharmony import errors
from pyharmony.io import Picture, _color_tags, _decode, convert, read, save
from tests.foreign import PEAK_MEMORY
from tests.image_files import ADAM7, by_pillow, by_tifffile, chunk, encoded, png, png_of

from ..shared import DTYPES, srgb_device

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")

pytestmark = pytest.mark.house

WHITE = {"uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")


def noise(height: int, width: int, channels: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((height, width, channels))
    return (values * WHITE[dtype]).astype(dtype)


def smooth(height: int, width: int) -> np.ndarray:
    """Returns an 8-bit colour image that JPEG keeps within a few levels, without any symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / width, y * 255 / height, (x + 2 * y) * 85 / max(width, height)], -1).astype(np.uint8)


# The profiles are made here, from chromaticities: nothing of the package is used.

D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D65 = (0.3127, 0.3290)
PRIMARIES = {
    "sRGB": (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), D65),
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), D65),
    "Adobe RGB": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65),
    "ProPhoto RGB": (((0.734699, 0.265301), (0.159597, 0.840403), (0.036598, 0.000105)), (0.345704, 0.358540)),
}


def xyz_matrix(name: str) -> np.ndarray:
    """Returns the matrix from linear RGB to XYZ of D50."""

    def xyz(x: float, y: float) -> np.ndarray:
        return np.array([x / y, 1, (1 - x - y) / y])

    primaries, white = PRIMARIES[name]
    columns, w = np.stack([xyz(*each) for each in primaries], 1), xyz(*white)
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ w)) @ BRADFORD
    return adapt @ (columns * np.linalg.solve(columns, w))


def srgb_linear(x: np.ndarray) -> np.ndarray:
    return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0) + 0.055) / 1.055) ** 2.4)


LINEAR = {
    "sRGB": srgb_linear,
    "Display P3": srgb_linear,
    "Adobe RGB": lambda x: x ** (563 / 256),
    "ProPhoto RGB": lambda x: np.where(x < 1 / 32, x / 16, x**1.8),
}


def parametric(form: int, *values: float) -> bytes:
    head = b"para\0\0\0\0" + struct.pack(">HH", form, 0)
    return head + struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def table(values: np.ndarray) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + np.round(values * 65535).astype(">u2").tobytes()


CURVES = {
    "sRGB": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "Display P3": parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "Adobe RGB": b"curv\0\0\0\0" + struct.pack(">IH", 1, 563),
    "ProPhoto RGB": parametric(3, 1.8, 1, 0, 1 / 16, 1 / 32),
}


def icc(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", device: bytes = b"mntr") -> bytes:
    text = b"of a test\0"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78), **tags}
    white = struct.pack(">3i", *(round(v * 65536) for v in D50))
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + white
    index, body = b"", b""
    for name, data in tags.items():
        index += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 132 + len(index) + len(body)
    head = struct.pack(">I4s4s4s4s4s", size, b"", b"\2\x40\0\0", device, space, pcs) + bytes(12) + b"acsp" + bytes(28)
    return (head + white).ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + body


def matrix_profile(name: str, curve: bytes | None = None) -> bytes:
    matrix, tags = xyz_matrix(name), {}
    for i, channel in enumerate((b"r", b"g", b"b")):
        tags[channel + b"XYZ"] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in matrix[:, i]))
        tags[channel + b"TRC"] = curve or CURVES[name]
    return icc(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    return icc(b"GRAY", {b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))})


def table_profile(space: bytes, channels: int) -> bytes:
    """Returns a profile of colour tables (lut8Type): light where ink, or lack of light, is none; hues shifted."""
    nodes = np.stack(np.meshgrid(*[[0, 1]] * channels, indexing="ij"), -1).reshape(-1, channels)
    light = np.prod(1 - 0.8 * nodes, 1) if channels == 4 else nodes.mean(1)
    lab = np.stack([light * 255, 128 + 40 * (nodes[:, 0] - nodes[:, 1]), 128 + 40 * (nodes[:, 1] - nodes[:, 2])], -1)
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([channels, 3, 2, 0])
    lut += struct.pack(">9i", *(65536 * int(i == j) for i in range(3) for j in range(3)))
    lut += ramp * channels + np.clip(np.round(lab), 0, 255).astype(np.uint8).tobytes() + ramp * 3
    return icc(space, {b"A2B0": lut}, b"Lab ", b"prtr")


# Metadata of a phone

XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description xmlns:exif='http://ns.adobe.com/exif/1.0/' xmlns:tiff='http://ns.adobe.com/tiff/1.0/'"
    b' exif:GPSLatitude="48,51.5N" tiff:Orientation="6"><exif:GPSLongitude>2,17.6E</exif:GPSLongitude>'
    b"<dc:title xmlns:dc='http://purl.org/dc/elements/1.1/'>Tower</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
)
MAKER_NOTE = b"a maker's note of 33 bytes\1\2\3\4\5\6\7"
THUMBNAIL = b"\xff\xd8\xff\xe0" + b"thumbnail" * 50 + b"\xff\xd9"


def phone_exif(orientation: int, order: str = ">") -> bytes:
    """Returns EXIF with camera, orientation, maker note, GPS and a thumbnail, laid out by hand."""

    def ifd(at: int, rows: list[tuple[int, int, int, bytes]], after: int = 0) -> bytes:
        data_at = at + 2 + 12 * len(rows) + 4
        head, data = struct.pack(order + "H", len(rows)), b""
        for tag, kind, count, value in rows:
            if len(value) > 4:
                head += struct.pack(order + "HHII", tag, kind, count, data_at + len(data))
                data += value + bytes(len(value) % 2)
            else:
                head += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
        return head + struct.pack(order + "I", after) + data

    def u16(value: int) -> bytes:
        return struct.pack(order + "H", value)

    def u32(*values: int) -> bytes:
        return struct.pack(order + f"{len(values)}I", *values)

    exif = lambda at: ifd(at, [(0x829A, 5, 1, u32(1, 125)), (0x927C, 7, len(MAKER_NOTE), MAKER_NOTE)])  # noqa: E731
    gps = lambda at: ifd(at, [(1, 2, 2, b"N\0"), (2, 5, 3, u32(48, 1, 51, 1, 30, 1))])  # noqa: E731

    def main(exif_at: int, gps_at: int, next_at: int) -> bytes:
        date = b"2026:01:02 03:04:05\0"
        rows = [(0x010F, 2, 8, b"Example\0"), (0x0112, 3, 1, u16(orientation)), (0x0132, 2, len(date), date),
                (0x8769, 4, 1, u32(exif_at)), (0x8825, 4, 1, u32(gps_at))]  # fmt: skip
        return ifd(8, rows, next_at)

    exif_at = 8 + len(main(0, 0, 0))
    gps_at = exif_at + len(exif(exif_at))
    thumb_at = gps_at + len(gps(gps_at))
    thumb_data = thumb_at + 2 + 2 * 12 + 4
    thumb = ifd(thumb_at, [(0x0201, 4, 1, u32(thumb_data)), (0x0202, 4, 1, u32(len(THUMBNAIL)))])
    head = (b"MM\0*" if order == ">" else b"II*\0") + u32(8)
    return b"Exif\0\0" + head + main(exif_at, gps_at, thumb_at) + exif(exif_at) + gps(gps_at) + thumb + THUMBNAIL


def turned(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Returns the pixels that a camera stores which writes this orientation: EXIF 2.32, section 4.6.4."""
    a = upright
    return {
        1: a, 2: a[:, ::-1], 3: a[::-1, ::-1], 4: a[::-1], 5: a.swapaxes(0, 1), 6: a.swapaxes(0, 1)[::-1],
        7: a.swapaxes(0, 1)[::-1, ::-1], 8: a.swapaxes(0, 1)[:, ::-1]
    }[orientation]  # fmt: skip


def fields(exif: bytes) -> Any:
    parsed = Image.Exif()
    parsed.load(exif)
    return parsed


# Round trips


@pytest.mark.parametrize(
    ("format", "dtype"), [("png", "uint8"), ("png", "uint16"), *(("tiff", dtype) for dtype in DTYPES), ("bmp", "uint8")]
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_formats_keep_every_value(format: str, dtype: str, channels: int) -> None:
    if format == "bmp":
        channels = min(channels, 3)  # BMP is written without alpha
    pixels = noise(19, 33, channels, dtype)
    back = read(encoded(Picture(pixels), format))
    assert back.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.format == format.upper()


@pytest.mark.parametrize("format", ["jpeg", "webp", pytest.param("avif", marks=needs_avif), "jxl"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossy_formats_keep_the_picture(format: str, channels: int) -> None:
    pixels = np.ascontiguousarray(smooth(48, 64)[..., :channels])
    back = read(encoded(Picture(pixels), format))
    assert back.pixels.shape == (48, 64, 1 if format in ("jpeg", "jxl") and channels == 1 else 3)
    assert np.abs(back.pixels.astype(int) - pixels).mean() < 2
    assert len(encoded(Picture(pixels), format, quality=20)) < len(encoded(Picture(pixels), format))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_xl_of_quality_100_has_every_pixel(channels: int) -> None:
    picture = Picture(noise(20, 31, channels, "uint8"))
    back = read(encoded(picture, "jxl", quality=100))
    assert back.format == "JXL" and back.profile is None
    np.testing.assert_array_equal(back.pixels, picture.pixels)


def test_jpeg_xl_is_in_srgb_with_its_metadata() -> None:
    wide = matrix_profile("Display P3")
    photo = read(by_pillow(smooth(32, 40), "JPEG", exif=phone_exif(1), xmp=XMP, icc_profile=wide))
    back = read(encoded(photo, "jxl", quality=100))
    expected = convert(photo, Picture(photo.pixels))
    assert back.profile is None and np.array_equal(back.pixels, expected.pixels)
    assert not np.array_equal(back.pixels, photo.pixels)
    assert back.exif is not None and fields(back.exif)[0x010F] == "Example"
    assert back.xmp is not None and b"Tower" in back.xmp and b"GPS" not in back.xmp


def test_jpeg_xl_without_its_encoder_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImportError, match="format: JPEG XL is written by imagecodecs: pip install"):
        save(smooth(4, 4), tmp_path / "a.jxl")
    assert not list(tmp_path.iterdir())
    with pytest.raises(errors.ArgumentError, match="JXL stores uint8 pixels"):
        save(noise(4, 4, 3, "uint16"), tmp_path / "a.jxl")


def test_jpeg_keeps_the_full_resolution_of_colour() -> None:
    image = Image.open(io.BytesIO(encoded(Picture(smooth(16, 16)), "jpeg")))
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_programs_read_what_is_written(dtype: str) -> None:
    for channels in (1, 3, 4):
        pixels = noise(300, 70, channels, dtype)
        theirs = tifffile.imread(io.BytesIO(encoded(Picture(pixels), "tiff")))
        np.testing.assert_array_equal(theirs.reshape(pixels.shape), pixels)
        if dtype == "uint16":
            data = np.frombuffer(encoded(Picture(pixels), "png"), np.uint8)
            theirs = cv2.imdecode(data, cv2.IMREAD_UNCHANGED).reshape(pixels.shape)
            np.testing.assert_array_equal(theirs, pixels[..., {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]])


def test_float_tiff_with_the_predictor_of_floats() -> None:
    """Technical Note 3 stores the bytes of a row, most significant first, as differences."""
    pixels = noise(9, 14, 3, "float32")
    planes = pixels.astype(">f4").view(np.uint8).reshape(9, 14 * 3, 4).transpose(0, 2, 1).reshape(9, 4 * 14, 3)
    coded = planes.copy()
    coded[:, 1:] -= planes[:, :-1]
    strip = zlib.compress(coded.tobytes())
    rows = [(256, 14), (257, 9), (259, 8), (262, 2), (273, 0), (277, 3), (278, 9), (279, len(strip)), (317, 3)]
    rows += [(258, 0), (339, 0)]
    after = 8 + 2 + 12 * len(rows) + 4
    body = struct.pack("<H", len(rows))
    for tag, value in sorted(rows):
        if tag in (258, 339):
            body += struct.pack("<HHII", tag, 3, 3, after + (0 if tag == 258 else 6))
        else:
            body += struct.pack("<HHII", tag, 4, 1, after + 12 if tag == 273 else value)
    data = b"II*\0" + struct.pack("<I", 8) + body + bytes(4) + struct.pack("<6H", 32, 32, 32, 3, 3, 3) + strip
    np.testing.assert_array_equal(read(data).pixels, pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 700, 4), (2000, 1, 1), (501, 603, 3), (3, 200_000, 4)], ids=str)
def test_png_files_of_one_block_and_of_many(shape: tuple[int, int, int], dtype: str, threads: int) -> None:
    """Flat, smooth and noisy rows are written; every filter is chosen somewhere."""
    height, width, channels = shape
    pixels = np.broadcast_to(np.linspace(0, WHITE[dtype], width)[None, :, None], shape).astype(dtype)
    pixels[::3] = 7
    pixels[1::3] ^= noise(len(pixels[1::3]), width, channels, dtype) & 15
    data = encoded(Picture(pixels), "png")
    np.testing.assert_array_equal(read(data).pixels, pixels)
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).reshape(shape)
    np.testing.assert_array_equal(theirs, pixels[..., {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]])
    packed = b"".join(piece[8:-4] for piece in chunks(data) if piece[4:8] == b"IDAT")
    assert len(zlib.decompress(packed)) == height * (1 + width * channels * pixels.itemsize)  # its Adler-32 is right


def chunks(data: bytes) -> list[bytes]:
    chunks_, at = [], 8
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        chunks_.append(data[at : at + 12 + size])
        at += 12 + size
    return chunks_


# Sources


class Pipe(io.RawIOBase):
    """A stand-in for standard input: it gives bytes once, a few at a time."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(min(len(buffer), 1000))
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("format", ["png", "jpeg", "tiff"])
def test_every_kind_of_source(tmp_path: Path, format: str) -> None:
    data = encoded(Picture(smooth(40, 50)), format)
    path = tmp_path / f"a.{format}"
    path.write_bytes(data)
    expected = read(data).pixels
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["/bin/cp", str(path), str(pipe)])
    with path.open("rb") as file:
        sources = [
            path,
            str(path),
            os.fsencode(str(path)).decode(),
            bytearray(data),
            memoryview(data),
            io.BytesIO(data),
        ]
        sources += [file, io.BufferedReader(Pipe(data)), Image.open(io.BytesIO(data)), pipe]
        for source in sources:
            np.testing.assert_array_equal(read(source).pixels, expected)
    assert writer.wait(10) == 0
    picture = read(data)
    assert read(picture) is picture


def test_load_gives_pillow_for_8_bit_and_numpy_for_more() -> None:
    profile = matrix_profile("Display P3")
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        pixels = noise(8, 9, channels)
        expected_profile = profile if channels > 1 else grey_profile(2.2)
        image = ph.load(encoded(Picture(pixels, profile=expected_profile, dpi=(300, 300)), "png"))
        assert type(image) is Image.Image
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)
        assert image.info["icc_profile"] == expected_profile
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)  # PNG counts pixels a metre
        deep = ph.load(encoded(Picture(noise(8, 9, channels, "uint16")), "png"))
        assert deep.dtype == np.uint16
        assert deep.shape == ((8, 9) if channels == 1 else (8, 9, channels))


def test_load_never_gives_the_callers_own_image() -> None:
    mine = Image.fromarray(smooth(4, 5))
    loaded = ph.load(mine)
    loaded.putpixel((0, 0), (9, 9, 9))
    assert mine.getpixel((0, 0)) != (9, 9, 9)


@pytest.mark.parametrize("source", [None, 3, np.zeros((4, 4, 3), np.uint8), [b"a"]], ids=["None", "3", "array", "list"])
def test_other_sources_are_refused(source: Any) -> None:
    with pytest.raises(errors.DTypeError, match=r"^dst: .*, expected a path, bytes, a binary file object"):
        read(source, "dst")
    with pytest.raises(errors.DTypeError, match="expected a binary one"):
        read(io.StringIO("text"))


# Kinds of pixels


def kinds() -> dict[str, tuple[bytes, np.ndarray]]:
    """Returns files of every kind of pixels, and what each of them is."""
    rgb = smooth(12, 15)
    grey = rgb[..., 0]
    alpha = np.where(rgb[..., 1] > 100, 255, 60).astype(np.uint8)
    paletted = Image.fromarray(rgb).quantize(16)
    colors = np.asarray(paletted.convert("RGB"))
    indices = np.asarray(paletted)
    key = tuple(int(v) for v in rgb[3, 4])
    key_alpha = np.where((rgb == key).all(-1), 0, 255)
    bilevel = Image.fromarray(grey).convert("1")
    two = np.asarray(bilevel.convert("L"))
    premultiplied = Image.fromarray(np.dstack([rgb, alpha])).convert("RGBa")
    associated_values = np.frombuffer(premultiplied.tobytes(), np.uint8).reshape(12, 15, 4)
    associated = by_tifffile(associated_values, photometric="rgb", extrasamples=["assocalpha"])
    with_alpha = np.dstack([grey, grey, grey, alpha])
    return {
        "bilevel PNG": (by_pillow(bilevel, "PNG"), two[..., None]),
        "bilevel TIFF by CCITT": (by_pillow(bilevel, "TIFF", compression="group4"), two[..., None]),
        "grey": (by_pillow(grey, "PNG"), grey[..., None]),
        "grey with alpha": (by_pillow(np.dstack([grey, alpha]), "PNG"), with_alpha),
        "grey with a transparent value": (
            by_pillow(grey, "PNG", transparency=int(grey[2, 3])),
            np.dstack([grey, grey, grey, np.where(grey == grey[2, 3], 0, 255)]),
        ),
        "palette": (by_pillow(paletted, "PNG"), colors),
        "palette BMP": (by_pillow(paletted, "BMP"), colors),
        "palette with transparency": (
            by_pillow(paletted, "PNG", transparency=3),
            np.dstack([colors, np.where(indices == 3, 0, 255)]),
        ),
        "RGB with a transparent colour": (by_pillow(rgb, "PNG", transparency=key), np.dstack([rgb, key_alpha])),
        "RGBA": (by_pillow(np.dstack([rgb, alpha]), "TIFF"), np.dstack([rgb, alpha])),
        "premultiplied TIFF": (associated, np.asarray(premultiplied.convert("RGBA"))),
        "interlaced PNG": (interlaced_png(rgb), rgb),
        "LZW TIFF": (by_pillow(rgb, "TIFF", compression="tiff_lzw"), rgb),
        "grey 16-bit PNG": (by_pillow(grey.astype(np.uint16) * 257, "PNG"), grey[..., None].astype(np.uint16) * 257),
        "CMYK TIFF": (
            by_pillow(Image.fromarray(rgb).convert("CMYK"), "TIFF"),
            np.asarray(Image.fromarray(rgb).convert("CMYK").convert("RGB")),
        ),
    }


def interlaced_png(rgb: np.ndarray) -> bytes:
    """Returns the image as an interlaced PNG: seven passes, no filter."""
    body = b""
    for y, x, dy, dx in ADAM7:
        part = rgb[y::dy, x::dx]
        body += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    return png_of(rgb.shape[1], rgb.shape[0], 8, 2, zlib.compress(body), interlace=1)


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_kind_of_pixels(kind: str) -> None:
    data, expected = kinds()[kind]
    result = read(data).pixels
    assert result.dtype == expected.dtype or expected.dtype == np.int64
    np.testing.assert_array_equal(result, expected)


def test_transparent_values_at_16_bit() -> None:
    grey, rgb = noise(6, 7, 1, "uint16"), noise(6, 7, 3, "uint16")
    for pixels in (grey, rgb):
        key = chunk(b"tRNS", pixels[2, 3].astype(">u2").tobytes())
        result = read(png(pixels, key)).pixels
        np.testing.assert_array_equal(result[..., :3], np.broadcast_to(pixels, (6, 7, 3)))
        np.testing.assert_array_equal(result[..., 3] == 0, (pixels == pixels[2, 3]).all(-1))
    both = noise(6, 7, 2, "uint16")
    np.testing.assert_array_equal(read(png(both)).pixels, both[..., [0, 0, 0, 1]])


def test_16_bit_tiff_with_white_zero_and_premultiplied_alpha() -> None:
    grey = noise(6, 7, 1, "uint16")
    np.testing.assert_array_equal(read(by_tifffile(65535 - grey[..., 0], photometric="miniswhite")).pixels, grey)
    rgba = noise(6, 7, 4, "float32") * 0.5 + 0.5
    associated = rgba.copy()
    associated[..., :3] *= associated[..., 3:]
    data = by_tifffile(associated, photometric="rgb", extrasamples=["assocalpha"])
    # A product and a quotient of float32 are each rounded once.
    np.testing.assert_allclose(read(data).pixels, rgba, rtol=2 * np.finfo(np.float32).eps)


def test_images_of_pillow_in_other_modes() -> None:
    grey = noise(5, 6, 1, "uint16")
    deep = Image.fromarray(grey[..., 0])
    np.testing.assert_array_equal(read(deep).pixels, grey)
    np.testing.assert_array_equal(read(Image.fromarray(grey[..., 0].astype(np.int32))).pixels, grey)
    floats = noise(5, 6, 1, "float32")
    np.testing.assert_array_equal(read(Image.fromarray(floats[..., 0])).pixels, floats)
    rgb = Image.fromarray(smooth(5, 6))
    np.testing.assert_array_equal(read(rgb.convert("YCbCr")).pixels, np.asarray(rgb.convert("YCbCr").convert("RGB")))
    with pytest.raises(errors.DecodeError, match="32-bit integers from -1 to -1"):
        read(Image.new("I", (2, 2), -1))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_of_several_pictures_it_is_the_first(format: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.fromarray(smooth(16, 20)), Image.fromarray(255 - smooth(16, 20))]
    data = by_pillow(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    with caplog.at_level(logging.WARNING, "pyharmony"):
        result = read(data, "src").pixels
    np.testing.assert_array_equal(result, np.asarray(frames[0]))
    assert [record.getMessage().startswith("src: ") for record in caplog.records] == [True]


# Orientation and metadata


@pytest.mark.parametrize(
    ("orientation", "format"),
    [*((n, "jpeg") for n in range(1, 9)), *itertools.product((3, 6), ("png", "png 16", "webp", "tiff", "tiff 16"))],
)
def test_a_phones_picture_is_upright(format: str, orientation: int) -> None:
    upright = smooth(24, 40)
    stored_pixels = np.ascontiguousarray(turned(upright, orientation))
    name, _, deep = format.partition(" ")
    exif = phone_exif(orientation)
    if deep:
        stored_pixels, upright = stored_pixels.astype(np.uint16) * 257, upright.astype(np.uint16) * 257
    if name == "tiff":
        data = by_tifffile(stored_pixels, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    elif deep:
        data = encoded(Picture(stored_pixels, exif=exif), "png")
    else:
        data = by_pillow(stored_pixels, name, exif=exif, xmp=XMP, quality=95, lossless=True)
    picture = read(data)
    tolerance = 12 if name == "jpeg" else 0
    assert np.abs(picture.pixels.astype(int) - upright).max() <= tolerance
    if picture.exif is not None:
        assert 0x0112 not in fields(picture.exif)
    if picture.xmp is not None:
        assert b"tiff:Orientation" not in picture.xmp  # the pixels are upright, whatever XMP said of them
    assert read(encoded(picture, name)).pixels.shape == upright.shape  # nothing turns it twice


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("keep_gps", [False, True])
def test_exif_without_gps_and_thumbnail(order: str, keep_gps: bool) -> None:
    data = by_pillow(smooth(16, 16), "JPEG", exif=phone_exif(6, order), xmp=XMP)
    picture = read(data, keep_gps=keep_gps)
    assert picture.exif is not None
    assert picture.xmp is not None
    exif = fields(picture.exif)
    assert exif[0x010F] == "Example"
    assert exif[0x0132] == "2026:01:02 03:04:05"
    assert exif.get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert (0x8825 in exif) == keep_gps
    assert b"thumbnail" not in picture.exif
    assert (struct.pack(order + "6I", 48, 1, 51, 1, 30, 1) in picture.exif) == keep_gps
    assert (b"GPS" in picture.xmp) == keep_gps
    assert b"Tower" in picture.xmp
    # A maker note counts its offsets from the start, so the tags that stay keep their places.
    assert picture.exif.find(MAKER_NOTE) == phone_exif(6, order).find(MAKER_NOTE) > 0


def test_exif_that_is_damaged_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    whole = phone_exif(1)
    broken = [whole[:20], b"Exif\0\0garbage!", whole[:10] + b"\xff\xff\xff\xf0" + whole[14:]]
    for exif in broken:
        with caplog.at_level(logging.WARNING, "pyharmony"):
            assert read(by_pillow(smooth(8, 8), "JPEG", exif=exif), "dst").exif is None
    assert len([r for r in caplog.records if "EXIF data is damaged" in r.getMessage()]) == len(broken)


@pytest.mark.parametrize(
    "format", ["jpeg", "png", "png 16", "webp", "tiff", "tiff 16", pytest.param("avif", marks=needs_avif)]
)
def test_metadata_is_carried(format: str) -> None:
    name, _, deep = format.partition(" ")
    background = read(
        by_pillow(smooth(16, 20), "JPEG", exif=phone_exif(1), xmp=XMP, dpi=(240, 240),
                  icc_profile=matrix_profile("Display P3"))
    )  # fmt: skip
    if deep:
        like = Picture(np.zeros((1, 1, 3), np.uint16), profile=background.profile)
        background = convert(background, like)
    back = read(encoded(background, name))
    assert back.profile == matrix_profile("Display P3")
    assert back.exif is not None
    exif = fields(back.exif)
    assert exif[0x010F] == "Example"
    assert exif[0x0132] == "2026:01:02 03:04:05"
    assert exif.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 125)
    assert exif.get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert 0x8825 not in exif
    assert back.xmp is not None
    assert b"Tower" in back.xmp
    assert b"GPS" not in back.xmp
    if name not in ("webp", "avif"):  # these hold no resolution
        assert back.dpi == pytest.approx((240, 240), abs=0.02)


def test_metadata_of_tiff_goes_into_other_formats() -> None:
    deep = Picture(noise(8, 9, 3, "uint16"), matrix_profile("Adobe RGB"), phone_exif(1, "<"), XMP, (300, 300))
    picture = read(encoded(deep, "tiff"))
    back = read(encoded(picture, "png"))
    assert fields(back.exif)[0x010F] == "Example"
    assert fields(back.exif).get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert (back.profile, back.xmp) == (picture.profile, picture.xmp)
    assert 0x8825 in fields(read(encoded(deep, "tiff"), keep_gps=True).exif)


# Texts, IPTC, places on Earth


def iim() -> bytes:
    """Returns IPTC-IIM: by-line, caption, copyright, city, and data sets that another image makes untrue."""
    sets = {80: "A. Nonymous", 120: "A tower", 116: "(c) nobody", 90: "Paris", 101: "France", 131: "L"}
    data = b"\x1c\1\x5a\0\3\x1b%G"
    return data + b"".join(b"\x1c\2" + struct.pack(">BH", n, len(t)) + t.encode() for n, t in sets.items())


def resource(kind: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HH", kind, 0) + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)


def described(format: str, pixels: np.ndarray) -> bytes:
    """Returns a file of a stranger's program, with all that its format says of the image."""
    if format == "jpeg":
        blocks = b"Photoshop 3.0\0" + resource(1036, b"thumbnail") + resource(0x404, iim()) + resource(1061, bytes(16))
        segment = b"\xff\xed" + struct.pack(">H", len(blocks) + 2) + blocks
        return by_pillow(pixels, "JPEG", comment=b"shot at dawn", extra=segment, quality=95)
    if format == "png":
        info = PngInfo()
        info.add_text("Author", "N. N\xf6body")
        info.add_text("Description", "long " * 1000, zip=True)
        info.add_itxt("Title", "\u5854", "zh", "\u5854", zip=True)
        info.add_text("Comment", "shot at dawn")
        info.add_text("exif:GPSLatitude", "48/1, 51/1")
        info.add_text("Thumb::Image::Width", "9")
        return by_pillow(pixels, "PNG", pnginfo=info)
    tags = [(33723, 7, len(iim()), iim(), True), (33550, 12, 3, (2.0, 3.0, 0.0), True),
            (33922, 12, 6, (0.0, 0.0, 0.0, 500000.0, 4600000.0, 0.0), True),
            (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), True), (34737, 2, 0, "WGS 84|", True),
            (42112, 2, 0, "<GDALMetadata/>", True), (42113, 2, 0, "7", True)]  # fmt: skip
    return by_tifffile(pixels, photometric="rgb", extratags=tags)


REPORTED_METADATA = {
    "jpeg": {"comment", "IPTC data"},
    "png": {"comment", "text"},
    "tiff": {"IPTC data", "georeference", "GDAL metadata", "nodata value"},
}
STORED_METADATA = {
    "jpeg": {"comment", "IPTC data"}, "png": {"comment", "text", "IPTC data"}, "tiff": REPORTED_METADATA["tiff"],
    "webp": set(), "avif": set(), "bmp": set(), "jxl": set()
}  # fmt: skip


@pytest.mark.parametrize("source", REPORTED_METADATA)
@pytest.mark.parametrize("target", [*STORED_METADATA][:4] + [pytest.param("avif", marks=needs_avif), "bmp", "jxl"])
def test_descriptions_are_carried_or_told(source: str, target: str) -> None:
    """A file gets what its format stores, and one warning names the rest."""
    picture = read(described(source, smooth(16, 20)))
    assert {name for name, there in picture.description.kinds().items() if there} == REPORTED_METADATA[source]
    losses = REPORTED_METADATA[source] - STORED_METADATA[target]
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        data = encoded(picture, target)
    assert len(records) == bool(losses)
    for name in losses:
        assert f"the {name}" in str(records[0].message)
    back = read(data).description
    assert {name for name, there in back.kinds().items() if there} == REPORTED_METADATA[source] - losses
    if not losses:
        assert back == picture.description
    description = picture.description
    if description.iptc:
        assert (
            b"A. Nonymous" in description.iptc and b"(c) nobody" in description.iptc and b"A tower" in description.iptc
        )
        assert b"Paris" not in description.iptc and b"France" not in description.iptc  # the place goes with GPS
        assert b"\x1c\2\x83" not in description.iptc  # the layout of the image
        assert b"Paris" in (read(described(source, smooth(16, 20)), keep_gps=True).description.iptc or b"")
    if source == "png":
        assert dict(description.text) == {"Author": "N. N\xf6body", "Description": "long " * 1000, "Title": "\u5854",
                                   "Comment": "shot at dawn"}  # fmt: skip


@pytest.mark.parametrize(
    ("format", "kind"),
    [*(("jpeg", n) for n in (1034, 1035, 1050, 2000, 2997, 4000, 10000)), ("tiff", 1050), ("png", 2000)],
)
def test_resources_of_photoshop_that_are_dropped_are_told(format: str, kind: int) -> None:
    """Once each kind; IPTC beside them is carried, and what repeats other metadata is not worth a word."""

    def file(*kinds: int) -> bytes:
        blocks = b"".join(resource(each, b"abc") for each in kinds) + resource(1028, iim())
        if format == "jpeg":
            blocks = b"Photoshop 3.0\0" + blocks
            return by_pillow(smooth(16, 20), "JPEG", extra=b"\xff\xed" + struct.pack(">H", len(blocks) + 2) + blocks)
        if format == "tiff":
            tags = [(34377, 7, len(blocks), blocks, True)]
            return by_tifffile(smooth(16, 20), photometric="rgb", extratags=tags)
        info = PngInfo()
        info.add_text("Raw profile type 8bim", f"\n8bim\n{len(blocks):8}\n{blocks.hex()}\n")
        return by_pillow(smooth(16, 20), "PNG", pnginfo=info)

    name = "clipping path" if 2000 <= kind <= 2997 else "data of Photoshop"
    with pytest.warns(errors.PyHarmonyWarning, match=f"^image: the {name} is not kept: only the pixels") as records:
        picture = read(file(1036, kind, kind))
    assert len(records) == 1 and b"A. Nonymous" in (picture.description.iptc or b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(file(1036, 1005, 1061)).description.iptc == picture.description.iptc
    with pytest.warns(errors.PyHarmonyWarning, match="the data of layers is not kept"):
        read(by_tifffile(smooth(16, 20), photometric="rgb", extratags=[(37724, 7, 4, b"8BIM", True)]))


def test_other_programs_read_descriptions() -> None:
    back = Image.open(io.BytesIO(encoded(read(described("jpeg", smooth(16, 20))), "jpeg")))
    assert back.info["comment"] == b"shot at dawn"
    assert b"A. Nonymous" in back.info["photoshop"][0x404] and 1036 not in back.info["photoshop"]
    png = Image.open(io.BytesIO(encoded(read(described("png", smooth(16, 20))), "png")))
    assert (png.text["Author"], png.text["Title"]) == ("N. N\xf6body", "\u5854")
    with tifffile.TiffFile(io.BytesIO(encoded(read(described("tiff", smooth(16, 20))), "tiff"))) as file:
        tags = file.pages[0].tags
        assert tags[33550].value == (2.0, 3.0, 0.0)
        assert tags[42113].value == "7"
        assert file.pages[0].geotiff_tags["GTModelTypeGeoKey"] == 1


def test_results_of_pil_images_keep_descriptions(tmp_path: Path) -> None:
    for source, suffix in (("jpeg", "jpg"), ("png", "png"), ("tiff", "tif")):
        path = tmp_path / f"dst.{suffix}"
        path.write_bytes(described(source, smooth(16, 20)))
        expected = read(path).description
        mask = np.zeros((16, 20), np.uint8)
        mask[4:9, 4:9] = 255
        result = ph.blend.alpha(np.full((16, 20, 3), 90, np.uint8), path, mask)
        ph.save(result, tmp_path / f"out.{suffix}")
        assert read(tmp_path / f"out.{suffix}").description == expected
        ph.save(smooth(16, 20), tmp_path / f"like.{suffix}", like=path)
        assert read(tmp_path / f"like.{suffix}").description == expected


def test_a_place_is_true_of_the_pixels_or_dropped() -> None:
    picture = read(described("tiff", smooth(16, 20)))
    larger = ph.super_resolve(picture)
    description = read(encoded(larger, "tiff")).description
    height, width = larger.pixels.shape[:2]
    fields = {entry.tag: np.frombuffer(entry.data, "<f8") for entry in description.geo if entry.type == 12}
    np.testing.assert_allclose(fields[33550], (2.0 * 20 / width, 3.0 * 16 / height, 0))
    np.testing.assert_array_equal(fields[33922], (0, 0, 0, 500000, 4600000, 0))
    cropped = replace(picture, pixels=picture.pixels[2:, 3:])
    with pytest.warns(errors.PyHarmonyWarning, match="the georeference is not written"):
        assert not read(encoded(cropped, "tiff")).description.geo
    tags = [(274, 3, 1, 6, True), (33550, 12, 3, (2.0, 3.0, 0.0), True)]
    with pytest.warns(errors.PyHarmonyWarning, match="the georeference is not kept"):
        assert not read(by_tifffile(smooth(16, 20), photometric="rgb", extratags=tags)).description.geo


def test_sizes_and_crops_in_metadata_are_true() -> None:
    """EXIF and XMP have the size of the pixels that are written, and no crop or thumbnail of other ones."""
    xmp = XMP.replace(b"<dc:title", b"<exif:PixelXDimension>4000</exif:PixelXDimension><tiff:ImageLength>3000"
                      b"</tiff:ImageLength><crs:CropTop xmlns:crs='c'>0.2</crs:CropTop><photoshop:City xmlns:photoshop"
                      b"='p'>Paris</photoshop:City><xmp:Thumbnails>QUJD</xmp:Thumbnails><dc:title")  # fmt: skip
    head = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 2, 0x0100, 3, 1, 4000)
    exif = head + struct.pack("<HHIII", 0x8769, 4, 1, 38, 0)
    exif += struct.pack("<HHHIIHHIII", 2, 0xA002, 3, 1, 4000, 0xA003, 4, 1, 3000, 0)
    picture = read(by_pillow(smooth(16, 20), "JPEG", exif=exif, xmp=xmp))
    for format in ("jpeg", "png", "webp"):
        back = read(encoded(picture, format))
        assert fields(back.exif)[0x0100] == 20
        assert [fields(back.exif).get_ifd(0x8769)[tag] for tag in (0xA002, 0xA003)] == [20, 16]
        assert back.xmp is not None
        assert b"PixelXDimension>20<" in back.xmp and b"ImageLength>16<" in back.xmp
        assert not any(word in back.xmp for word in (b"CropTop", b"Paris", b"Thumbnails", b"Orientation"))
        assert b"Tower" in back.xmp
    assert b"Paris" in (read(by_pillow(smooth(9, 9), "JPEG", xmp=xmp), keep_gps=True).xmp or b"")


def test_texts_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    texts = [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes([65 + i]) * (1 << 20))) for i in range(9)]
    picture = read(png_of(1, 1, 8, 0, zlib.compress(b"\0\0"), *texts, chunk(b"tEXt", b"Comment")))
    assert sum(len(value) for _, value in picture.description.text) <= 1 << 22
    assert "the rest is not kept" in caplog.text


@pytest.mark.parametrize(
    ("nodata", "blend"),
    [(-9999.0, "alpha"), (math.nan, "poisson"), (0.0, "poisson"), (math.nan, "laplacian"), (0.0, "gaussian_poisson")],
)
def test_nodata_and_masked_values_are_not_known(nodata: float, blend: str) -> None:
    dst = (0.4 + 0.2 * noise(40, 50, 3) / 255).astype(np.float32)
    src, mask, valid = np.full((40, 50, 3), 0.7, np.float32), np.zeros((40, 50), np.uint8), np.ones((40, 50), bool)
    mask[10:30, 10:30], valid[:, 25:] = 255, False
    file = with_nodata(np.where(valid[..., None], dst, np.float32(nodata)), nodata)
    call = getattr(ph.blend, blend)
    expected = call(src, dst, mask, dst_valid=valid)
    for image in (read(file), np.ma.masked_where(~np.dstack([valid] * 3), dst)):
        result = call(src, image, mask)
        pixels = result.pixels if isinstance(result, Picture) else result.data
        np.testing.assert_array_equal(pixels[:, :25], expected[:, :25])
        assert np.isfinite(pixels[10:30, 10:30]).all()
        if isinstance(result, np.ma.MaskedArray):
            assert result.mask[:, 30:].all() and not result.mask[:, :25].any() and not result.mask[10:30, 10:30].any()


def test_a_dst_of_which_nothing_is_known_is_refused() -> None:
    image, mask = np.full((8, 9, 3), 90, np.uint8), np.full((8, 9), 255, np.uint8)
    for dst in (np.ma.array(image, mask=True), with_nodata(image, 90.0), read(with_nodata(image, 90.0))):
        with pytest.raises(errors.MaskError, match=r"^dst: every pixel is masked or has the nodata value"):
            ph.blend.poisson(image, dst, mask)


def with_nodata(pixels: np.ndarray, nodata: float) -> bytes:
    return by_tifffile(pixels, photometric="rgb", extratags=[(42113, 2, 0, repr(nodata), True)])


@pytest.mark.parametrize("kind", ["bytes", "path", "Picture"])
@pytest.mark.parametrize("nodata", [0.0, 255.0])
def test_nodata_that_is_taken_for_a_colour_is_told(nodata: float, kind: str, tmp_path: Path) -> None:
    """Warns for src, for the background of a composite and for an edited image: all their pixels are used."""
    pixels = smooth(40, 50).clip(1, 254)
    pixels[5:9, 7:12] = int(nodata)
    data = with_nodata(pixels, nodata)
    path = tmp_path / "scene.tif"
    path.write_bytes(data)
    image: Any = {"bytes": data, "path": path, "Picture": read(data)}[kind]
    mask = np.zeros((40, 50), np.uint8)
    mask[4:30, 4:30] = 255
    subject = np.dstack([np.full((10, 8, 3), 90, np.uint8), np.pad(np.full((8, 6), 255, np.uint8), 1)])
    plain = smooth(40, 50)
    doors = {
        "src": lambda: ph.blend.alpha(image, plain, mask),
        "background": lambda: ph.compose(subject, image, at=(20, 20), harmonize=None, shadow=False),
        "subjects": lambda: ph.compose(image, plain, at=(0, 0), masks=mask, harmonize=None, shadow=False),
        "image": lambda: ph.harmonize(image, mask, method="reinhard"),
    }
    for name, door in doors.items():
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            door()
        texts = [str(one.message) for one in records if "nodata value of the file" in str(one.message)]
        assert texts == [f"{name}: 20 pixels have the nodata value of the file, {nodata:g}, which is taken for a "
                         "colour here; fill them before, as inpainting does, or crop to the others"], name  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ph.blend.alpha(plain, image, mask)  # dst: they are left out


def test_a_converted_image_has_no_nodata() -> None:
    picture = read(described("tiff", smooth(16, 20)))
    assert picture.description.nodata == 7
    assert convert(picture, Picture(np.zeros((1, 1, 3), np.uint16))).description.nodata is None


def test_masked_values_of_other_arguments_are_refused() -> None:
    image, mask = np.full((8, 9, 3), 90, np.uint8), np.full((8, 9), 255, np.uint8)
    holes = np.ma.array(image, mask=np.zeros(image.shape, bool))
    holes[2, 3] = np.ma.masked
    soft = np.ma.array(mask, mask=mask > 0)
    for call in (
        lambda: ph.blend.alpha(holes, image, mask),
        lambda: ph.blend.alpha(image, image, soft),
        lambda: ph.blend.poisson(image, image, mask, dst_valid=soft),
        lambda: ph.harmonize(holes, mask),
        lambda: ph.save(holes, io.BytesIO()),
        lambda: ph.blend.texture_flattening(holes, mask),
    ):
        with pytest.raises(errors.PyHarmonyError, match=r"a masked array with .* expected a value everywhere"):
            call()
    whole = np.ma.array(image, mask=False)
    np.testing.assert_array_equal(ph.blend.alpha(whole, image, mask), ph.blend.alpha(image, image, mask))


def test_metadata_larger_than_a_jpeg_holds_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    large = (
        b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x010E, 2, 70000, 26) + bytes(4) + b"x" * 69999 + b"\0"
    )
    picture = Picture(smooth(8, 8), exif=large, xmp=XMP + b" " * 70000)
    with caplog.at_level(logging.WARNING, "pyharmony"):
        back = read(encoded(picture, "jpeg"))
    assert (back.exif, back.xmp) == (None, None)
    assert len(caplog.records) == 2
    assert len(read(encoded(picture, "png")).exif or b"") > 70000


def test_save_takes_the_metadata_of_like(tmp_path: Path) -> None:
    background = tmp_path / "background.jpg"
    image = Image.fromarray(smooth(20, 30))
    image.save(background, exif=phone_exif(6), icc_profile=matrix_profile("Display P3"), dpi=(72, 72))
    for result in (smooth(8, 9), Image.fromarray(smooth(8, 9)), Picture(smooth(8, 9))):
        ph.save(result, tmp_path / "out.png", like=background)
        back = read(tmp_path / "out.png")
        np.testing.assert_array_equal(back.pixels, smooth(8, 9))
        assert back.profile == matrix_profile("Display P3")
        assert fields(back.exif)[0x010F] == "Example"
        assert 0x8825 not in fields(back.exif)
    ph.save(smooth(8, 9), tmp_path / "out.png", like=background, keep_gps=True)
    assert 0x8825 in fields(read(tmp_path / "out.png", keep_gps=True).exif)


# Colours


@pytest.mark.parametrize(
    ("source", "target", "dtype"),
    [(*pair, ("uint16", "float32", "float64")[i % 3]) for i, pair in enumerate(itertools.permutations(PRIMARIES, 2))],
)
def test_deep_colours_follow_the_formulae(source: str, target: str, dtype: str) -> None:
    """Linear light by the curve, XYZ by the primaries and back, in float64, give what convert does."""
    ramp = np.concatenate([noise(40, 30, 3, "float64"), np.repeat(np.linspace(0, 1, 30)[None, :, None], 3, -1)])
    if dtype == "uint16":
        values: np.ndarray = np.rint(ramp * 65535).astype(np.uint16)
        exact = values / 65535
    else:
        values = ramp.astype(dtype)
        exact = values.astype(np.float64)
    light = LINEAR[source](exact) @ (np.linalg.inv(xyz_matrix(target)) @ xyz_matrix(source)).T
    inside = ((light >= 0) & (light <= 1)).all(-1)
    x = np.clip(light, 0, 1)
    expected = {
        "Adobe RGB": lambda: x ** (256 / 563),
        "ProPhoto RGB": lambda: np.where(x < 1 / 512, x * 16, x ** (1 / 1.8))
    }.get(target, lambda: srgb_device(x))()  # fmt: skip
    like = Picture(np.zeros((1, 1, 3), dtype), matrix_profile(target))
    result = convert(Picture(values, matrix_profile(source)), like).pixels / WHITE[dtype]
    # A profile holds its numbers in 1/65536. A matrix of such numbers moves linear light by 3 of them at most,
    # and each curve is at its steepest near black: 12.92 of sRGB, 16 of ProPhoto; a pure power has no bound there.
    dark = light.min(-1) < 1e-3
    check = inside & ~dark
    assert check.sum() > 100
    assert np.abs(result - expected)[check].max() < 12 / 65536 * (3 if target == "ProPhoto RGB" else 2)
    assert np.abs(result - expected)[inside & dark].max(initial=0) < 2e-3


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(PRIMARIES, 2)))
def test_8_bit_colours_are_those_of_little_cms_and_of_the_deep_path(source: str, target: str) -> None:
    pixels = noise(100, 60, 3)
    a, b = matrix_profile(source), matrix_profile(target)
    result = convert(Picture(pixels, a), Picture(pixels[:1], b)).pixels
    theirs = ImageCms.profileToProfile(
        Image.fromarray(pixels), ImageCms.ImageCmsProfile(io.BytesIO(a)), ImageCms.ImageCmsProfile(io.BytesIO(b))
    )
    np.testing.assert_array_equal(result, np.asarray(theirs))
    deep = convert(Picture(pixels.astype(np.uint16) * 257, a), Picture(np.zeros((1, 1, 3), np.uint16), b)).pixels
    difference = np.abs(result - deep / 257)
    # Little CMS calculates with 14 bits of linear light: a level of 8 bits, rarely more where the curve is steep.
    assert (difference > 1.5).mean() < 1e-3
    assert difference.mean() < 0.35


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_same_colours_stay_untouched(dtype: str, channels: int) -> None:
    picture = Picture(noise(10, 11, channels, dtype))
    assert convert(picture, Picture(noise(3, 3, min(channels, 3), dtype))) is picture
    if channels == 1:
        return
    again = table(srgb_linear(np.linspace(0, 1, 1024)))
    for profile in (matrix_profile("sRGB"), matrix_profile("sRGB", again), ImageCms.createProfile("sRGB")):
        data = profile if isinstance(profile, bytes) else ImageCms.ImageCmsProfile(profile).tobytes()
        result = convert(Picture(picture.pixels, data), Picture(noise(3, 3, 3, dtype)))
        assert result.pixels is picture.pixels
        assert result.profile is None


def test_floats_are_not_clipped_and_integers_are() -> None:
    green = np.zeros((1, 1, 3))
    green[..., 1] = 1
    p3, srgb = matrix_profile("Display P3"), Picture(np.zeros((1, 1, 3)))
    wide = convert(Picture(green, p3), srgb).pixels[0, 0]
    assert wide[0] < -0.4
    assert wide[1] > 1.01
    bright = convert(Picture(np.full((1, 1, 3), 4.0), p3), srgb).pixels
    np.testing.assert_allclose(bright, 4.0, rtol=1e-3)
    deep = convert(Picture((green * 65535).astype(np.uint16), p3), Picture(np.zeros((1, 1, 3), np.uint16))).pixels
    assert deep[0, 0].tolist()[:2] == [0, 65535]


def test_depths() -> None:
    eight = Picture(np.arange(256, dtype=np.uint8).reshape(16, 16, 1))
    sixteen = convert(eight, Picture(np.zeros((1, 1, 1), np.uint16)))
    np.testing.assert_array_equal(sixteen.pixels, eight.pixels.astype(np.uint16) * 257)
    every = Picture(np.arange(65536, dtype=np.uint16).reshape(256, 256, 1))
    np.testing.assert_array_equal(convert(every, eight).pixels, np.rint(every.pixels / 257).astype(np.uint8))
    floats = convert(every, Picture(np.zeros((1, 1, 1), np.float32)))
    np.testing.assert_array_equal(floats.pixels, (every.pixels / np.float32(65535)).astype(np.float32))
    np.testing.assert_array_equal(convert(floats, every).pixels, every.pixels)
    over = Picture(np.array([[[-1.0], [0.5], [2.0], [np.inf]]]))
    assert convert(over, eight).pixels.ravel().tolist() == [0, 128, 255, 255]
    with pytest.raises(errors.ArgumentError, match=r"^src: nan at pixel \(y=0, x=1\), channel 0"):
        convert(Picture(np.array([[[0.0], [np.nan]]])), eight, "src")


def test_alpha_is_no_colour() -> None:
    pixels = noise(9, 8, 4)
    result = convert(Picture(pixels, matrix_profile("Display P3")), Picture(noise(2, 2, 3, "uint16"))).pixels
    assert result.shape == (9, 8, 4)
    np.testing.assert_array_equal(result[..., 3], pixels[..., 3].astype(np.uint16) * 257)
    without = convert(Picture(pixels[..., :3].copy(), matrix_profile("Display P3")), Picture(noise(2, 2, 3, "uint16")))
    np.testing.assert_array_equal(result[..., :3], without.pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_grey_and_colour(dtype: str) -> None:
    grey, rgb = Picture(noise(9, 8, 1, dtype)), Picture(noise(9, 8, 3, dtype))
    np.testing.assert_array_equal(convert(grey, rgb).pixels, np.repeat(grey.pixels, 3, 2))
    luma = rgb.pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    # Three products and two sums of float32 are rounded, then the result to half a level.
    bound = 0.5 + 1e-2 if dtype != "float32" else 6 * np.finfo(np.float32).eps
    assert np.abs(convert(rgb, grey).pixels[..., 0] - luma).max() <= bound
    # A grey of gamma 1.8 gets lighter or darker with the curve, and stays grey.
    gamma = Picture(grey.pixels, grey_profile(1.8))
    result = convert(gamma, rgb).pixels / WHITE[dtype]
    expected = srgb_device((grey.pixels / WHITE[dtype]) ** (461 / 256))
    assert np.abs(result - expected).max() < {"uint8": 0.51 / 255, "uint16": 2 / 65535, "float32": 1e-5}[dtype]
    back = convert(Picture(result.astype(np.float64)), Picture(np.zeros((1, 1, 1)), grey_profile(1.8))).pixels
    assert np.abs(back - grey.pixels / WHITE[dtype]).max() < 1 / 100


def test_grey_with_alpha_keeps_the_look_of_its_profile() -> None:
    """RGBA needs a profile of RGB, and gets one with the curve of the grey one."""
    both = noise(7, 9, 2)
    data = by_pillow(both, "PNG", icc_profile=grey_profile(1.8))
    picture = read(data)
    np.testing.assert_array_equal(picture.pixels, both[..., [0, 0, 0, 1]])
    expected = srgb_device((both[..., 0] / 255) ** (461 / 256)) * 255
    result = convert(picture, Picture(noise(1, 1, 3))).pixels
    assert np.abs(result[..., :3] - expected[..., None]).max() <= 1
    assert ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(picture.profile)))


def test_cmyk_goes_through_its_profile() -> None:
    profile = table_profile(b"CMYK", 4)
    image = Image.fromarray(smooth(20, 30)).convert("CMYK")
    expected = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    picture = read(by_pillow(image, "TIFF", icc_profile=profile))
    assert picture.profile is None
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))
    assert np.abs(picture.pixels.astype(int) - np.asarray(image.convert("RGB"))).max() > 20
    jpeg = read(by_pillow(image, "JPEG", icc_profile=profile, quality=100)).pixels
    assert np.abs(jpeg.astype(int) - picture.pixels).mean() < 3


def test_profiles_with_tables(caplog: pytest.LogCaptureFixture) -> None:
    profile = table_profile(b"RGB ", 3)
    pixels = smooth(9, 8)
    with caplog.at_level(logging.WARNING, "pyharmony"):
        result = convert(Picture(pixels, profile), Picture(pixels)).pixels
    expected = ImageCms.profileToProfile(
        Image.fromarray(pixels), ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    )
    np.testing.assert_array_equal(result, np.asarray(expected))
    assert not caplog.records


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_profiles_with_tables_at_more_than_8_bits(dtype: str, caplog: pytest.LogCaptureFixture) -> None:
    """Little CMS gives what it gives at 8 bit, within a level of it, and of 16 bits what it gives of floats."""
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    profile, pixels = table_profile(b"RGB ", 3), noise(40, 50, 3)
    eight = convert(Picture(pixels, profile), Picture(pixels)).pixels
    largest = WHITE[dtype]
    deep = Picture((pixels.astype(np.float64) / 255 * largest).astype(dtype), profile)
    with caplog.at_level(logging.WARNING, "pyharmony"):
        result = convert(deep, Picture(deep.pixels[:1]))
        back = convert(Picture(deep.pixels), replace(deep, profile=matrix_profile("Display P3")))
    assert not caplog.records
    assert result.profile is None and back.pixels.dtype == result.pixels.dtype == dtype
    assert np.abs(np.clip(result.pixels / largest, 0, 1) * 255 - eight).mean() < 0.6
    floats = convert(
        Picture((pixels / 255).astype(np.float32), profile), Picture(np.zeros((1, 1, 3), np.float32))
    ).pixels
    assert np.abs(np.clip(floats, 0, 1) - np.clip(result.pixels / largest, 0, 1)).max() < 2e-5


def test_profiles_with_tables_without_imagecodecs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    deep = Picture(noise(9, 8, 3, "uint16"), table_profile(b"RGB ", 3))
    with caplog.at_level(logging.WARNING, "pyharmony"):
        unchanged = convert(deep, Picture(deep.pixels), "src").pixels
    np.testing.assert_array_equal(unchanged, deep.pixels)
    assert [record.getMessage().startswith("src: its colours were not converted") for record in caplog.records] == [
        True
    ]
    assert "by imagecodecs only: pip install" in caplog.text


@pytest.mark.parametrize("what", ["a claim of 2 GB", "cut off", "of CMYK", "no curve", "not a profile"])
def test_profiles_that_are_damaged_are_left_out(what: str, caplog: pytest.LogCaptureFixture) -> None:
    whole = matrix_profile("Display P3")
    profile = {
        "a claim of 2 GB": struct.pack(">I", 1 << 31) + whole[4:],
        "cut off": whole[:300],
        "of CMYK": table_profile(b"CMYK", 4),
        "no curve": whole.replace(b"rTRC", b"xTRC"),
        "not a profile": b"\0" * 400,
    }[what]
    with caplog.at_level(logging.WARNING, "pyharmony"):
        assert read(by_pillow(smooth(8, 8), "PNG", icc_profile=profile)).profile is None
    assert "ignored" in caplog.records[0].getMessage()


# Refusals


@pytest.mark.parametrize(
    ("data", "is_a"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(50), "a GIF file"),
        (b"%PDF-1.7" + bytes(50), "a PDF file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "an EPS or PostScript file"),
        (b"SIMPLE  =                    T", "a FITS file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG file"),
        (b"  \n<?xml version='1.0'?><svg/>", "an SVG, XML or HTML file"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a video"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "a JPEG 2000 file"),
        (b"8BPS\0\1" + bytes(40), "a Photoshop file"),
        (b"P6 2 2 255 " + bytes(12), "a PNM file"),
        (b"BMnot a bitmap at all", "not a known image file (it starts with 'BMnot a bitmap a')"),
        (b"hello, world", "not a known image file (it starts with 'hello, world')"),
        (b"{\n  1: 'a'}", "not a known image file (it starts with \"{\\n  1: 'a'}\")"),
        (b"\0\1text", "not a known image file (it starts with 00 01 74 65 78 74)"),
        (b"\x1f\x8b\x08" + bytes(30), "a gzip file")
    ]
)  # fmt: skip
def test_other_files_are_refused_by_their_first_bytes(
    tmp_path: Path, data: bytes, is_a: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pillow_heif", "imagecodecs"):
        monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    path = tmp_path / "picture.jpg"  # the name says nothing
    path.write_bytes(data)
    with pytest.raises(errors.DecodeError) as error:
        read(path, "dst")
    message = str(error.value)
    assert message.startswith(f"dst: {path} is {is_a}")
    remedy = "; save the frame as PNG" if is_a == "a GIF file" else ""
    assert message.endswith(f"expected JPEG, PNG, WebP, TIFF, BMP or AVIF{remedy}")


def test_heic_is_among_what_is_expected_where_it_is_read() -> None:
    pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    with pytest.raises(errors.DecodeError, match=r"expected JPEG, PNG, WebP, TIFF, BMP, AVIF(, JPEG XL)? or HEIC$"):
        read(b"hello, world", "dst")


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, quality=95, **options)
    return stream.getvalue()


def test_pictures_of_iphones_are_read_where_pillow_heif_is() -> None:
    for mode in ("RGB", "RGBA", "L"):
        image = Image.fromarray(smooth(48, 64)).convert(mode)
        exif = Image.Exif()
        exif[271], exif[274] = "a telephone", 6  # turned by a quarter
        picture = read(heic(image, exif=exif.tobytes()))
        expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270).convert(mode if mode != "L" else "RGB"))
        pixels = picture.pixels if picture.pixels.shape[2] > 1 else np.repeat(picture.pixels, 3, 2)
        assert pixels.shape == expected.shape and np.abs(pixels.astype(int) - expected).mean() < 3
        assert picture.format == "HEIF" and b"a telephone" in (picture.exif or b"")
    with pytest.raises(errors.ImageTooLarge, match=r"64 x 48 pixels|48 x 64 pixels"):
        read(heic(Image.fromarray(smooth(48, 64))), max_pixels=100)
    with pytest.raises(errors.DecodeError, match="is damaged"):
        read(heic(Image.fromarray(smooth(48, 64)))[:600])


@pytest.mark.parametrize("size", [(9, 11), (16, 24), (64, 64), (75, 100), (1, 5000)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_xl_is_read(dtype: str, channels: int, size: tuple[int, int]) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    values = noise(*size, channels, dtype)
    data = imagecodecs.jpegxl_encode(values[..., 0] if channels == 1 else values, lossless=True)
    picture = read(data)
    expected = values[..., [0, 0, 0, 1]] if channels == 2 else values
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.format == "JXL" and not picture.lossy
    light = convert(picture, Picture(np.zeros((1, 1, 1 if channels == 1 else 3), np.float32))).pixels
    if dtype == "float32":  # floats are linear by the default of JPEG XL
        np.testing.assert_allclose(light[..., :3], srgb_device(expected[..., :3]), atol=2e-3)
    with pytest.raises(errors.ImageTooLarge, match=f"has {size[1]} x {size[0]} pixels"):
        read(data, max_pixels=size[0] * size[1] - 1)


def test_jpeg_xl_of_other_kinds() -> None:
    """Deep values have the ends of their range; metadata is in boxes, and the decoder has turned the pixels."""
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    ten = (np.arange(99).reshape(9, 11) * 10 + 43).astype(np.uint16)
    pixels = read(imagecodecs.jpegxl_encode(ten, lossless=True, bitspersample=10)).pixels[..., 0]
    np.testing.assert_allclose(pixels, ten * (65535 / 1023), atol=0.51)
    photo = smooth(64, 64)
    lossy = read(imagecodecs.jpegxl_encode(photo, level=95))
    assert lossy.lossy and np.abs(lossy.pixels.astype(int) - photo).mean() < 3
    assert read(imagecodecs.jpegxl_encode_jpeg(by_pillow(photo, "JPEG"))).lossy

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(data), kind) + data

    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    stream = imagecodecs.jpegxl_encode(smooth(16, 20), lossless=True)
    for xmp in (box(b"xml ", XMP), box(b"brob", b"xml " + imagecodecs.brotli_encode(XMP))):
        picture = read(head + box(b"Exif", bytes(4) + phone_exif(6)[6:]) + xmp + box(b"jxlc", stream))
        np.testing.assert_array_equal(picture.pixels, smooth(16, 20))
        assert fields(picture.exif)[0x010F] == "Example" and 0x0112 not in fields(picture.exif)
        assert picture.xmp is not None and b"Tower" in picture.xmp and b"GPS" not in picture.xmp
    for data in (
        stream[:2],
        stream[:5],
        stream[:20],
        stream[:-3],
        head,
        head + box(b"jxlc", b"no"),
        head + b"\0\0\0\1jxlc",
    ):
        with pytest.raises(errors.DecodeError, match="is damaged"):
            read(data)


def jpeg_xl(
    pixels: np.ndarray, *, icc: bytes | None = None, encoding: bytes | None = None, lossless: bool = True
) -> bytes:
    """Returns a JPEG XL file of uint8 pixels [H, W, C] by libjxl, whose functions imagecodecs is linked to."""
    from imagecodecs import _jpegxl

    lib = ctypes.CDLL(_jpegxl.__file__)
    lib.JxlEncoderCreate.restype = lib.JxlEncoderFrameSettingsCreate.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(lib.JxlEncoderCreate(None))
    height, width, channels = pixels.shape
    info = (ctypes.c_uint32 * 256)()
    lib.JxlEncoderInitBasicInfo(info)
    info[1], info[2], info[3], info[9], info[13] = width, height, 8, lossless, channels
    assert lib.JxlEncoderSetBasicInfo(encoder, info) == 0
    if icc is not None:
        assert lib.JxlEncoderSetICCProfile(encoder, icc, ctypes.c_size_t(len(icc))) == 0
    elif encoding is not None:
        assert lib.JxlEncoderSetColorEncoding(encoder, encoding) == 0
    settings = ctypes.c_void_p(lib.JxlEncoderFrameSettingsCreate(encoder, None))
    assert lib.JxlEncoderSetFrameLossless(settings, int(lossless)) == 0
    format_ = struct.pack("IIIxxxxQ", channels, 2, 0, 0)
    data = np.ascontiguousarray(pixels).tobytes()
    assert lib.JxlEncoderAddImageFrame(settings, format_, data, ctypes.c_size_t(len(data))) == 0
    lib.JxlEncoderCloseInput(encoder)
    out = ctypes.create_string_buffer(1 << 22)
    at, left = ctypes.c_void_p(ctypes.addressof(out)), ctypes.c_size_t(len(out))
    assert lib.JxlEncoderProcessOutput(encoder, ctypes.byref(at), ctypes.byref(left)) == 0
    lib.JxlEncoderDestroy(encoder)
    return out.raw[: len(out) - left.value]


def jpeg_xl_encoding(primaries: int, transfer: int, gamma: float = 0, space: int = 0, white: int = 1) -> bytes:
    """Returns a JxlColorEncoding: the enumerated colours of a file."""
    return struct.pack("2i2di4x6di4xdi4x", space, white, 0, 0, primaries, *(0,) * 6, transfer, gamma, 0)


WIDE_COLORS = {
    "Adobe RGB": _color_tags.ADOBE_RGB, "P3": _color_tags.of_code_points(12, 13),
    "BT.2020, linear": _color_tags.of_code_points(9, 8)
}  # fmt: skip


@pytest.mark.parametrize("kind", WIDE_COLORS)
@pytest.mark.parametrize("lossless", [True, False])
def test_the_icc_profile_of_a_jpeg_xl_is_honoured(kind: str, lossless: bool) -> None:
    """Its pixels are those of the same profile in a PNG; a lossy file's are in the colours that the decoder states."""
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    profile = _color_tags.profile(WIDE_COLORS[kind], False)
    pixels = smooth(48, 64)
    picture = read(jpeg_xl(pixels, icc=profile, lossless=lossless))
    assert picture.lossy is not lossless
    like = Picture(np.zeros((1, 1, 3), np.uint8))
    expected = convert(Picture(pixels, profile), like).pixels
    assert np.abs(expected.astype(int) - pixels).max() > 20  # the profile matters
    error = np.abs(convert(picture, like).pixels.astype(int) - expected)
    if lossless:
        np.testing.assert_array_equal(picture.pixels, pixels)
        assert picture.profile is not None and error.max() <= 1
    else:
        assert error.mean() < 4


def test_the_icc_profile_of_a_grey_jpeg_xl_is_honoured() -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    profile = _color_tags.profile(_color_tags.Colors(_color_tags.SRGB.primaries, (0, 1.4), "gamma 1.4"), True)
    pixels = smooth(48, 64)[..., :1]
    picture = read(jpeg_xl(pixels, icc=profile))
    like = Picture(np.zeros((1, 1, 1), np.uint8))
    np.testing.assert_array_equal(convert(picture, like).pixels, convert(Picture(pixels, profile), like).pixels)
    assert (convert(picture, like).pixels != pixels).any()


@pytest.mark.parametrize(
    ("encoding", "colors"),
    [
        (jpeg_xl_encoding(11, 13), _color_tags.of_code_points(12, 13)),
        (jpeg_xl_encoding(9, 8), _color_tags.of_code_points(9, 8)),
        (jpeg_xl_encoding(1, 65535, 1 / 1.8), _color_tags.Colors(_color_tags.SRGB.primaries, (0, 1.8), "gamma 1.8")),
        (jpeg_xl_encoding(1, 1), _color_tags.SRGB),  # BT.709, shown by a display's curve
        (jpeg_xl_encoding(11, 17, white=11), _color_tags.Colors(
            (*_color_tags.of_code_points(12, 13).primaries[:3], (0.314, 0.351)), (0, 2.6), "DCI-P3"))
    ],
    ids=["P3", "BT.2020, linear", "gamma", "BT.709", "DCI-P3"]
)  # fmt: skip
def test_the_enumerated_colours_of_a_jpeg_xl(encoding: bytes, colors: _color_tags.Colors) -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    pixels, like = smooth(48, 64), Picture(np.zeros((1, 1, 3), np.uint8))
    picture = read(jpeg_xl(pixels, encoding=encoding))
    expected = convert(Picture(pixels, _color_tags.profile(colors, False)), like).pixels
    assert np.abs(convert(picture, like).pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("transfer", [16, 18])
def test_a_jpeg_xl_of_hdr_is_refused(transfer: int) -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    for lossless in (True, False):
        with pytest.raises(errors.DecodeError, match="is an HDR image"):
            read(jpeg_xl(smooth(48, 64), encoding=jpeg_xl_encoding(9, transfer), lossless=lossless))


def test_a_jpeg_packed_in_a_jpeg_xl_is_read_as_the_jpeg() -> None:
    """Its profile, EXIF, comment and IPTC are those of the JPEG, and so are its pixels."""
    imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    profile = _color_tags.profile(_color_tags.ADOBE_RGB, False)
    photo = Image.fromarray(smooth(40, 64))
    jpeg = by_pillow(photo, "JPEG", quality=97, icc_profile=profile, exif=phone_exif(6), comment=b"A note")
    picture, expected = read(imagecodecs.jpegxl_encode_jpeg(jpeg)), read(jpeg)
    assert picture.format == "JXL" and picture.pixels.shape == (64, 40, 3)
    np.testing.assert_array_equal(picture.pixels, expected.pixels)
    assert (picture.profile, picture.exif, picture.description) == (profile, expected.exif, expected.description)
    assert picture.description.text == (("Comment", "A note"),)


def test_jpeg_xl_without_imagecodecs_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(
        errors.DecodeError, match=r"is a JPEG XL file, which is decoded by imagecodecs: pip install .*imagecodecs"
    ):
        read(b"\xff\x0a" + bytes(40), "dst")


def test_without_it_they_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    _decode._plugin.cache_clear()
    (tmp_path / "picture.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1")
    with pytest.raises(
        errors.DecodeError, match=r"picture\.heic is a HEIF file .*pip install pillow-heif, or save it as"
    ):
        read(tmp_path / "picture.heic", "src")
    _decode._plugin.cache_clear()


@pytest.mark.parametrize(
    "address", ["https://example.org/a.png", "http://x/a.jpg", "s3://bucket/a.png", "data:image/png;base64,iVBO"]
)
def test_an_address_is_no_file(address: str) -> None:
    with pytest.raises(errors.DecodeError, match=r"^src: .* is a URL, expected a path; download the file first"):
        read(address, "src")


def test_a_file_that_is_missing_names_the_argument() -> None:
    with pytest.raises(FileNotFoundError, match=r"src: none\.png: no such file or directory, expected") as error:
        read("none.png", "src")
    assert error.value.filename == "none.png" and error.value.errno == 2


def test_what_does_not_fit_a_file_is_told_how_it_does(tmp_path: Path) -> None:
    floats = np.linspace(0, 1, 60).reshape(4, 5, 3)
    for image, says in (
        (floats, r"use TIFF, or convert it to 8 bits: numpy\.rint\(255 \* image\)\.clip\(0, 255\)\.astype\('uint8'\)"),
        (255 * floats, r"use TIFF, or convert it to 8 bits: numpy\.rint\(image\)\.clip"),
    ):
        with pytest.raises(errors.ArgumentError, match=says):
            save(image, tmp_path / "a.png")
    with pytest.raises(
        errors.ShapeError, match=r"shape \[3, 4, 5\], expected the channels last: numpy\.moveaxis\(image, 0, -1\)"
    ):
        save(np.zeros((3, 4, 5), np.uint8), tmp_path / "a.png")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.zeros(5, 6, 3, dtype=torch.uint8)
    with pytest.raises(
        errors.ShapeError, match=r"shape \[5, 6, 3\], expected the channels first: image\.movedim\(-1, 0\)"
    ):
        save(tensor, tmp_path / "a.png")
    save(tensor.movedim(-1, 0), tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == (6, 5)


def test_the_path_itself_raises_what_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


@pytest.mark.parametrize(
    ("format", "dtype"),
    [("jpeg", "uint8"), ("png", "uint8"), ("webp", "uint8"), ("tiff", "uint8"), ("bmp", "uint8"), ("png", "uint16"),
     ("tiff", "uint16"), ("tiff", "float32"), pytest.param("avif", "uint8", marks=needs_avif), ("jxl", "uint8")]
)  # fmt: skip
def test_truncated_files_are_refused(format: str, dtype: str) -> None:
    data = encoded(Picture(noise(60, 70, 3, dtype)), format)
    for part in (0.999, 0.9, 0.5, 0.1, 0.02):
        with pytest.raises(errors.DecodeError, match=r"^dst: the .* bytes given "):
            read(data[: int(len(data) * part)], "dst")


def test_a_file_of_16_bit_without_opencv_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture(noise(4, 4, 3, "uint16"))
    data = encoded(picture, "png")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(errors.DecodeError, match=r"pip install 'opencv-python-headless>=4\.10'"):
        read(data)
    assert encoded(picture, "png") == data  # writing needs none
    np.testing.assert_array_equal(read(encoded(picture, "tiff")).pixels, picture.pixels)


def claiming_compression(method: int) -> bytes:
    """Returns a TIFF of 4 x 4 pixels that names a compression."""
    return tiff_claiming(4, 4, t258=8, t259=method) + bytes(200)


def test_kinds_that_are_not_accepted_are_named() -> None:
    tiff = by_tifffile
    cases = {
        r"16-bit signed values from -7 to -7, expected 0 to 32767": tiff(np.full((4, 4), -7, np.int16)),
        r"32-bit signed values from 65536 to 65536, expected 0 to 65535": tiff(np.full((4, 4), 65536, np.int32)),
        r"128-bit unusual values": tiff(np.zeros((4, 4), np.complex128)),
        r"floating-point pixels of CMYK": tiff(np.zeros((4, 4, 4), np.float32), photometric="separated"),
        r"floating-point pixels where 0 is white": tiff(np.zeros((4, 4), np.float32), photometric="miniswhite"),
        r"colour filter array pixels": tiff(np.zeros((4, 4), np.uint16), photometric=32803),
        r"a camera's raw file": tiff(np.zeros((4, 4), np.uint16), extratags=[(50706, 1, 4, (1, 4, 0, 0), True)]),
        r"8-bit unsigned values compressed by JPEG XL": claiming_compression(50002),
        r"8-bit unsigned values compressed by method 4242": claiming_compression(4242),
    }
    for message, data in cases.items():
        with pytest.raises(errors.DecodeError, match=message):
            read(data)


# Limits


def tiff_claiming(width: int, height: int, **more: int) -> bytes:
    rows = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: 200, 277: 1, 278: height, 279: 100}
    rows.update({int(tag[1:]): value for tag, value in more.items()})
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(rows.items()))
    return (b"II*\0" + struct.pack("<IH", 8, len(rows)) + body + bytes(4)).ljust(300, b"\0")


def riff(kind: bytes, data: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(data)) + b"WEBP" + kind + struct.pack("<I", len(data)) + data


def bombs() -> dict[str, bytes]:
    side = 65535
    jpeg = bytearray(encoded(Picture(smooth(16, 16)), "jpeg"))
    at = jpeg.find(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", side, side)
    return {
        "PNG": png_of(side, side, 8, 2, zlib.compress(bytes(1000))),
        "PNG of 16 bit": png_of(side, side, 16, 6, zlib.compress(bytes(1000))),
        "PNG of the largest size": png_of(2**31 - 1, 2**31 - 1, 1, 0, b""),
        "JPEG": bytes(jpeg),
        "BMP": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(46),
        "TIFF": tiff_claiming(side, side),
        "TIFF of the largest size": tiff_claiming(2**32 - 1, 2**32 - 1),
        "WebP": riff(b"VP8X", b"\0" * 4 + b"\xfe\xff\0" * 2 + bytes(4)),
    }


MEASURE = (
    PEAK_MEMORY
    + """
import pathlib, sys, time, warnings
warnings.simplefilter("error")
from pyharmony import errors, io
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, BmpImagePlugin, WebPImagePlugin, ImageCms
import cv2
for path in sys.argv[1:]:
    data = pathlib.Path(path).read_bytes()
    before = peak_memory()
    started = time.process_time()
    try:
        says = io.read(data).pixels.shape
    except errors.PyHarmonyError as error:
        says = f"{type(error).__name__} {error}"
    taken = time.process_time() - started
    print((peak_memory() - before) >> 10, taken, says)
"""
)


@pytest.mark.parametrize("kind", sorted(bombs()))
def test_sizes_are_refused_by_the_header(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(errors.ImageTooLarge, match=r"at most 256 million are allowed \(max_pixels=256000000\)"):
            read(bombs()[kind])


def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    """Claims that lie below the limit, or beside the pixels, cost no memory either."""
    small = zlib.compress(b"".join(b"\0" + bytes(24) for _ in range(8)))
    zeros = zlib.compress(bytes(1 << 28), 9)  # 256 MB in 260 KB
    runs = by_pillow(Image.new("L", (8, 8)), "BMP")
    runs = runs[:18] + struct.pack("<iiHHI", 250_000, 1000, 1, 8, 1) + runs[34:]
    animation = by_pillow(
        Image.new("RGB", (8, 8)), "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]
    )
    at = animation.find(b"ANMF", animation.find(b"ANMF") + 4)
    frames = animation[:at] + animation[at:] * 100_000
    bombs = {
        "PNG header": png_of(15000, 15000, 8, 2, small),
        "TIFF strip": tiff_claiming(15000, 15000),
        "TIFF strips": tiff_claiming(15000, 15000, t278=1),
        "TIFF strips at 8 bit": tiff_claiming(15000, 15000, t258=8, t278=1),
        "TIFF strip at 8 bit": tiff_claiming(15000, 15000, t258=8),
        "TIFF tiles": tiff_claiming(15000, 15000, t322=1, t323=1, t324=8, t325=8),
        "TIFF of many fields": b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(100),
        "run lengths": runs,
        "canvas of an animation": animation[:24] + b"\xff\x3a\0" * 2 + animation[30:],
    }
    read_well = {
        "text": png_of(8, 8, 8, 2, small, *[chunk(b"zTXt", b"a\0\0" + zeros)] * 3),
        "frames": b"RIFF" + struct.pack("<I", len(frames) - 8) + frames[8:],
        "deflated TIFF strip": tiff_claiming(10, 10, t259=8, t273=300, t279=len(zeros)) + zeros,
        "TIFF profile": tiff_claiming(10, 10, t279=200, t34675=2**32 - 1) + bytes(100),
        "profile": png_of(8, 8, 8, 2, small, chunk(b"iCCP", b"a\0\0" + zeros)),
        "XMP": png_of(8, 8, 8, 2, small, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros)),
    }
    paths = []
    for name, data in (*bombs.items(), *read_well.items()):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    process = subprocess.run([sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    for name, line in zip((*bombs, *read_well), lines, strict=True):
        megabytes, seconds, says = line.split(" ", 2)
        assert says.startswith("DecodeError" if name in bombs else "("), (name, says)
        # At most 32 MB are kept of a profile or XMP.
        assert int(megabytes) <= 64 + 32 * (name in ("profile", "XMP")), (name, megabytes)
        assert float(seconds) < 5, (name, seconds)


def test_max_pixels() -> None:
    data = encoded(Picture(smooth(10, 20)), "png")
    assert read(data, max_pixels=200).pixels.shape == (10, 20, 3)
    for source in (data, Image.fromarray(smooth(10, 20))):
        with pytest.raises(errors.ImageTooLarge, match=r"20 x 10 pixels.*max_pixels=199"):
            read(source, max_pixels=199)
    with pytest.raises(errors.ImageTooLarge):
        ph.load(data, max_pixels=199)
    for wrong, error in (
        (0, errors.ArgumentError),
        (-5, errors.ArgumentError),
        (1.5, errors.DTypeError),
        (True, errors.DTypeError),
    ):
        with pytest.raises(error, match=r"^max_pixels: "):
            read(data, max_pixels=wrong)  # type: ignore[arg-type]


def test_large_pictures_do_not_meet_pillows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns from 89 million pixels and refuses twice that; here a smaller limit stands for it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for format in ("png", "jpeg", "tiff", "bmp"):
            assert read(encoded(Picture(smooth(20, 20)), format)).pixels.shape == (20, 20, 3)
        lzw = by_pillow(smooth(20, 20), "TIFF", compression="tiff_lzw")
        np.testing.assert_array_equal(read(lzw).pixels, smooth(20, 20))


# Writing


@pytest.mark.parametrize(
    "name", ["größe ñ 写真.png", "n" * 251 + ".png", "é" * 125 + ".jpeg"], ids=["unicode", "ascii", "utf-8"]
)
def test_names_as_long_as_a_name_may_be(tmp_path: Path, name: str) -> None:
    assert len(name.encode()) <= 255
    ph.save(smooth(8, 9), tmp_path / name)
    assert read(tmp_path / name).pixels.shape == (8, 9, 3)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_a_format_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for pixels, suffix, message in (
        (noise(4, 4, 3, "uint16"), "jpg", "JPEG stores uint8 pixels, the image has uint16; use PNG, TIFF"),
        (noise(4, 4, 3, "float32"), "png", "PNG stores uint8 or uint16 pixels, the image has float32; use TIFF"),
        (noise(4, 4, 4), "jpg", "JPEG has no alpha channel, the image has one; use PNG, WEBP, TIFF, AVIF"),
        (noise(4, 4, 4), "bmp", "BMP has no alpha channel"),
    ):
        with pytest.raises(errors.ArgumentError, match=message):
            ph.save(pixels, tmp_path / f"a.{suffix}")
    for name in ("a.gif", "a", "a.psd"):
        with pytest.raises(errors.ArgumentError, match=r"names no format, expected one of \.jpg"):
            ph.save(smooth(4, 4), tmp_path / name)
    with pytest.raises(errors.ArgumentError, match="format: 'gif', expected one of 'jpeg', 'png'"):
        ph.save(smooth(4, 4), tmp_path / "a.png", format="gif")
    with pytest.raises(errors.ArgumentError, match="quality: 101"):
        ph.save(smooth(4, 4), tmp_path / "a.jpg", quality=101)
    with pytest.raises(errors.ArgumentError, match="WEBP cannot store"):
        ph.save(np.zeros((4, 17000, 3), np.uint8), tmp_path / "a.webp")
    with pytest.raises(errors.DTypeError, match="dtype bool"):
        ph.save(np.zeros((4, 4), bool), tmp_path / "a.png")
    with pytest.raises(errors.ShapeError, match=r"\[2, 3, 4, 3\]"):
        ph.save(np.zeros((2, 3, 4, 3), np.uint8), tmp_path / "a.png")
    with pytest.raises(errors.DTypeError, match="expected a path or a binary file object"):
        ph.save(smooth(4, 4), 3)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_any_layout_are_saved(tmp_path: Path) -> None:
    pixels = noise(9, 12, 3, "uint16")
    for array in (
        pixels[::-1, ::2],
        pixels[..., ::-1],
        pixels.transpose(1, 0, 2),
        pixels.astype(">u2"),
        pixels[..., 0],
    ):
        for suffix in ("png", "tiff"):
            ph.save(array, tmp_path / f"a.{suffix}")
            np.testing.assert_array_equal(ph.load(tmp_path / f"a.{suffix}"), array)


def test_a_file_is_replaced_with_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to("real.png")
    ph.save(smooth(8, 9), link)
    assert link.is_symlink()
    assert read(real).pixels.shape == (8, 9, 3)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    before = os.umask(0o027)
    try:
        ph.save(smooth(8, 9), tmp_path / "new.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.png").stat().st_mode) == 0o640


def test_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    ph.save(smooth(8, 9), path, overwrite=False)
    whole = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"a\.png"):
        ph.save(smooth(4, 4), path, overwrite=False)
    assert path.read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 1


def test_file_objects() -> None:
    class Slow(io.RawIOBase):
        """A raw stream that takes a little at a time."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            self.data += bytes(piece[:1000])
            return min(len(piece), 1000)

    slow, plain = Slow(), io.BytesIO()
    ph.save(noise(40, 50, 3), slow)
    ph.save(noise(40, 50, 3), plain)
    assert slow.data == plain.getvalue()
    assert read(plain.getvalue()).format == "PNG"
    ph.save(smooth(8, 8), plain, format="JPG")


FAILING = """
import resource, signal, sys
import numpy as np
import pyharmony as ph
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
try:
    ph.save(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8), sys.argv[1])
except OSError as error:
    print(type(error).__name__, error.filename)
"""


@pytest.mark.parametrize("existing", [False, True])
def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path: Path, existing: bool) -> None:
    path = tmp_path / "a.png"
    if existing:
        path.write_bytes(b"old")
    process = subprocess.run([sys.executable, "-c", FAILING, str(path)], capture_output=True, text=True)
    assert process.stdout.split() == ["FileError", str(path)], process.stderr
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == ([("a.png", b"old")] if existing else [])


def test_what_is_no_regular_file_is_written_to(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"target: /dev/full: no space left on device"):
        ph.save(smooth(8, 9), "/dev/full", format="png")
    ph.save(smooth(8, 9), "/dev/null", format="png")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(IsADirectoryError):
        ph.save(smooth(8, 9), tmp_path, format="png")


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    target = folder / "a.png"
    if os.geteuid() == 0:  # a mode does not stop the superuser
        target = Path("/proc/a.png")
    else:
        folder.chmod(0o500)
    with pytest.raises(OSError, match=str(target)):
        ph.save(smooth(8, 9), target)
    absent = tmp_path / "missing" / "a.png"
    for call in (ph.save, lambda image, out: ph.blend.alpha(image, image, out=out)):
        with pytest.raises(FileNotFoundError, match=r"missing/a\.png: no such folder: .*missing$"):
            call(smooth(8, 9), absent)


@pytest.mark.parametrize("where", ["fsync", "replace", "fchmod"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(5, "Input/output error")], ids=["interrupt", "error"])
def test_nothing_is_left_of_an_interrupted_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Any
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(os, where, fail)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OSError):
        ph.save(smooth(8, 9), path)
    monkeypatch.undo()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.png", b"old")]


KILLED = """
import sys, numpy as np, pyharmony as ph
a = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
print("ready", flush=True)
while True:
    ph.save(a, sys.argv[1], format="tiff")
"""


def test_a_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    expected = np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8)
    for wait in (0.02, 0.05, 0.11):
        writer = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        while not path.exists():
            signal.sigtimedwait([], 0.001)
        signal.sigtimedwait([], wait)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        np.testing.assert_array_equal(read(path).pixels, expected)


def test_little_memory_is_said(tmp_path: Path) -> None:
    """An error says so when an image does not fit into the memory there is."""
    data = tmp_path / "a.png"
    data.write_bytes(encoded(Picture(np.zeros((5000, 5000, 3), np.uint8)), "png"))
    code = (
        "import resource, sys, PIL.Image, PIL.PngImagePlugin\n"
        "from pyharmony import errors, io\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (45 << 20),) * 2)\n"
        "try:\n    io.read(sys.argv[1])\nexcept errors.OutOfMemory as error:\n    print(error)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(data)], capture_output=True, text=True)
    assert "needs more memory to decode" in process.stdout, process.stderr


def test_peak_memory_of_a_read_is_bounded_by_the_picture() -> None:
    """It takes Pillow's four bytes a pixel and the result's three, beside the compressed bytes."""
    code = PEAK_MEMORY + (
        "import io as stdio, PIL.Image, PIL.JpegImagePlugin\n"
        "from pyharmony import io\n"
        "stream = stdio.BytesIO()\n"
        "PIL.Image.new('RGB', (4000, 3000)).save(stream, 'JPEG')\n"
        "before = peak_memory()\n"
        "io.read(stream.getvalue())\n"
        "print((peak_memory() - before) * 1024 / 12e6)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(process.stdout) < 11  # PIL.Image.new's own four lie in the baseline; three more for a copy of rows


def test_threads_may_read_convert_and_write_at_once() -> None:
    sources = [
        encoded(Picture(noise(200, 150, 3, dtype, seed), matrix_profile(name)), format)
        for seed, (format, dtype, name) in enumerate(
            [("jpeg", "uint8", "Display P3"), ("png", "uint8", "Adobe RGB"), ("png", "uint16", "Display P3"),
             ("tiff", "float32", "ProPhoto RGB"), ("webp", "uint8", "Display P3")]
        )
    ]  # fmt: skip

    def work(data: bytes) -> bytes:
        return encoded(convert(read(data), Picture(noise(1, 1, 3))), "png")

    expected = [work(data) for data in sources]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, sources * 10)) == expected * 10


def test_pictures_pass_through_a_fresh_process_twice(tmp_path: Path) -> None:
    """The functions below `load` and `save` need no import that another one makes."""
    file = tmp_path / "a.png"
    save(noise(5, 4, 3), file)
    calls = (
        "check_target(source, 'b.png')",
        "convert(source, source)",
        "read(data)",
        "write(source, io.BytesIO(), format='png')",
    )
    for call in calls:
        code = (
            "import io, sys, numpy as np, pyharmony.io\n"
            "data, source = open(sys.argv[1], 'rb').read(), pyharmony.io.Picture(np.zeros((5, 4, 3), np.uint8))\n"
            f"for _ in range(2): pyharmony.io.{call}\n"
        )
        subprocess.run([sys.executable, "-c", code, str(file)], cwd="/", capture_output=True, check=True)
