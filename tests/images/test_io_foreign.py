"""Foreign image files, by the thousand: each ends in the right pixels or in an error of ours that says why.

Pillow, OpenCV, tifffile, imagecodecs, pillow-heif and code of the tests write images of known pixels in every kind of
file, depth, layout, compression and colour tag that they know, at random. What is expected follows from the pixels and
the options, by the standards; reading is of the package.
"""

from __future__ import annotations

import collections
import lzma
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from pyharmony import errors
from pyharmony.io import read
from tests import image_files
from tests.image_files import ADAM7, chunk, png_of, with_chunk
from tests.images import tiffs

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")

pytestmark = pytest.mark.house

Rng = np.random.Generator


@dataclass
class Foreign:
    """A file, and what is to come of it: pixels [H, W, C] from 0 to 1 within a tolerance, or the words of a refusal."""

    name: str
    data: bytes
    expected: np.ndarray | None = None
    tolerance: float = 0.0
    refusal: str = ""


def pick(rng: Rng, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def size(rng: Rng, least: int = 1) -> tuple[int, int]:
    return int(rng.integers(least, 60)), int(rng.integers(least, 60))


def codes(rng: Rng, bits: int, channels: int, least: int = 1) -> np.ndarray:
    """Returns integers of so many bits: noise, or a gradient."""
    height, width = size(rng, least)
    largest = (1 << bits) - 1
    if rng.random() < 0.5:
        unit = rng.random((height, width, channels))
    else:
        y, x = np.mgrid[0:height, 0:width]
        unit = (x[..., None] * rng.random(channels) + y[..., None] * rng.random(channels)) / (height + width)
    return np.minimum(np.rint(unit * largest), largest).astype("u1" if bits <= 8 else "u2" if bits <= 16 else "u4")


def smooth(rng: Rng, channels: int) -> np.ndarray:
    """Returns an 8-bit image that lossy kinds keep within a few levels."""
    height, width = size(rng, 16)
    y, x = np.mgrid[0:height, 0:width]
    a, b, c = rng.uniform(0, 1.2, channels), rng.uniform(0, 1.2, channels), rng.uniform(0, 80, channels)
    return np.clip(c + 70 * (a * x[..., None] / width + b * y[..., None] / height), 0, 255).astype(np.uint8)


def laid_out(unit: np.ndarray) -> np.ndarray:
    """Returns channels as pyharmony has them: grey with alpha has three equal colours."""
    return unit[..., [0, 0, 0, 1]] if unit.shape[2] == 2 else unit


# TIFF by hand

COMPRESSIONS: dict[int, Callable[[bytes], bytes] | None] = {
    1: None, 8: zlib.compress, 32946: zlib.compress, 34925: lzma.compress, 5: imagecodecs.lzw_encode,
    32773: imagecodecs.packbits_encode, 50000: imagecodecs.zstd_encode,
}  # fmt: skip


def tiff_by_hand(rng: Rng) -> Foreign:
    bits = int(pick(rng, 8, 8, 16, 16, 16, 32, 1, 2, 3, 4, 5, 6, 7, 10, 12, 14, 24))
    photometric, colors = pick(rng, (0, 1), (1, 1), (2, 3), (2, 3))
    alpha = pick(rng, (), (), (2,), (0,), (2, 0))
    values = codes(rng, bits, colors + len(alpha))
    compression = int(pick(rng, *COMPRESSIONS))
    predictor = 2 if compression in (5, 8, 34925, 50000) and bits in (8, 16, 32) and rng.random() < 0.4 else 1
    options = {
        "order": pick(rng, "<", ">"), "big": bool(rng.random() < 0.2), "planar": bool(rng.random() < 0.3),
        "reverse": bool(rng.random() < 0.1) and compression == 1,
        **pick(rng, {}, {"rows": int(rng.integers(1, 9))}, {"tile": (16, 16)}, {"tile": (32, 16)}),
    }  # fmt: skip
    data = tiffs.encode(values, bits, photometric, compression=compression, compress=COMPRESSIONS[compression],
                        predictor=predictor, extra=alpha, **options)  # fmt: skip
    unit = values / ((1 << bits) - 1)
    if photometric == 0:
        unit = np.concatenate((1 - unit[..., :1], unit[..., 1:]), 2)
    expected = laid_out(unit[..., : colors + (alpha[:1] == (2,))])
    name = f"TIFF of {bits} bits, {photometric}, {len(alpha)} more, compression {compression}, {options}"
    return Foreign(name, data, expected, 0.501 / (255 if bits <= 8 else 65535))


def tiff_of_floats(rng: Rng) -> Foreign:
    dtype = pick(rng, "f2", "f4", "f8")
    values = rng.normal(0.5, 0.4, (*size(rng), int(pick(rng, 1, 3, 4)))).astype(dtype)
    compression = int(pick(rng, *COMPRESSIONS))
    data = tiffs.encode(values, 8 * values.itemsize, 1 if values.shape[2] == 1 else 2, form=3, compression=compression,
                        compress=COMPRESSIONS[compression], extra=[2] if values.shape[2] == 4 else [],
                        order=pick(rng, "<", ">"), planar=bool(rng.random() < 0.3))  # fmt: skip
    return Foreign(f"TIFF of {dtype}, compression {compression}", data, values.astype(np.float64))


def tiff_of_signed(rng: Rng) -> Foreign:
    bits = int(pick(rng, 8, 16))
    values = codes(rng, bits - 1, 1).astype(f"i{bits // 8}")
    negative = rng.random() < 0.3
    if negative:
        values[0, 0] = -1
    data = tiffs.encode(values, bits, 1, form=2, order=pick(rng, "<", ">"))
    if negative:
        return Foreign("TIFF of negative values", data, refusal="signed values from -1 to")
    tolerance = 0.501 / (255 if bits == 8 else 65535)
    return Foreign(f"TIFF of signed {bits} bits", data, values / ((1 << bits - 1) - 1), tolerance)


def tiff_of_ycbcr(rng: Rng) -> Foreign:
    ycbcr = codes(rng, 8, 3, 4)
    data, expected = tiffs.subsampled(ycbcr, int(pick(rng, 1, 2, 4)), int(pick(rng, 1, 2)), 4 * int(rng.integers(1, 5)))
    y, cb, cr = (expected[..., i].astype(np.float64) for i in range(3))
    r, b = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
    rgb = np.clip(np.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], -1), 0, 255) / 255
    return Foreign("TIFF of YCbCr", data, rgb, 1.01 / 255)


def tiff_of_palette(rng: Rng) -> Foreign:
    bits = int(pick(rng, 1, 2, 4, 8, 5, 12))
    indices = codes(rng, bits, 1)
    colors = rng.integers(0, 65536, (1 << bits, 3))
    data = tiffs.encode(indices, bits, 3, more={320: (3, [int(v) for v in colors.T.ravel()])})
    expected = colors[indices[..., 0]]
    return Foreign(f"TIFF of a palette of {bits} bits", data, (expected >> 8) / 255 if bits <= 8 else expected / 65535)


def tiff_of_unknown(rng: Rng) -> Foreign:
    values = codes(rng, 8, 3)
    what, more, words = pick(
        rng, ("compression", 34712, "JPEG 2000"), ("compression", 50002, "JPEG XL"), ("compression", 34887, "LERC"),
        ("photometric", 32803, "colour filter array"), ("photometric", 32845, "LogLuv"),
    )  # fmt: skip
    fields = {"compression": 259, "photometric": 262}
    data = tiffs.encode(values, 8, 2, more={fields[what]: (3, [more])})
    return Foreign(f"TIFF of {words}", data, refusal=words)


# TIFF by tifffile, OpenCV and Pillow


def tiff_by_tifffile(rng: Rng) -> Foreign:
    dtype = pick(rng, "u1", "u2", "f4", "u4")
    channels = int(pick(rng, 1, 3, 4))
    values = codes(rng, {"u1": 8, "u2": 16, "f4": 16, "u4": 32}[dtype], channels)
    unit = values / {"u1": 255, "u2": 65535, "f4": 65535, "u4": 2**32 - 1}[dtype]
    values_of_file = unit.astype(np.float32) if dtype == "f4" else values.astype(dtype)
    options: dict[str, Any] = {"byteorder": pick(rng, "<", ">"), "bigtiff": bool(rng.random() < 0.2)}
    if rng.random() < 0.5:
        options["compression"] = pick(rng, "zlib", "lzw", "zstd", "packbits", "lzma")
        options["predictor"] = bool(rng.random() < 0.5) and options["compression"] != "packbits"
    if rng.random() < 0.3:
        options["tile"] = (16, int(pick(rng, 16, 32)))
    elif rng.random() < 0.5:
        options["rowsperstrip"] = int(rng.integers(1, 20))
    if channels > 1 and rng.random() < 0.3:
        options["planarconfig"] = "separate"
        values_of_file = np.ascontiguousarray(values_of_file.transpose(2, 0, 1))
    if channels == 4:
        options["extrasamples"] = ["unassalpha"]
    kind = "minisblack" if channels == 1 else "rgb"
    data = image_files.by_tifffile(
        values_of_file[..., 0] if channels == 1 else values_of_file, photometric=kind, **options
    )
    expected = unit.astype(np.float32).astype(np.float64) if dtype == "f4" else unit
    return Foreign(f"TIFF of tifffile, {dtype}, {options}", data, expected, 0.501 / 65535 * (dtype == "u4"))


def tiff_by_opencv(rng: Rng) -> Foreign:
    bits, channels = int(pick(rng, 8, 16)), int(pick(rng, 1, 3, 4))
    values = codes(rng, bits, channels)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    method = int(pick(rng, 1, 5, 8, 32773))
    options = [cv2.IMWRITE_TIFF_COMPRESSION, method]
    if method in (5, 8):
        options += [cv2.IMWRITE_TIFF_PREDICTOR, int(pick(rng, 1, 2))]
    is_encoded, data = cv2.imencode(".tiff", np.ascontiguousarray(values[..., order]), options)
    assert is_encoded
    return Foreign(f"TIFF of OpenCV, {bits} bits, {method}", data.tobytes(), values / ((1 << bits) - 1))


def by_pillow(
    name: str, image: Any, expected: np.ndarray | None, tolerance: float, format: str, **options: Any
) -> Foreign:
    data = image_files.by_pillow(image, format, **options)
    return Foreign(f"{name} of Pillow, {options}", data, expected, tolerance)


def in_mode(rng: Rng, *modes: str) -> tuple[Any, np.ndarray]:
    """Returns an image of a mode, and its pixels from 0 to 1."""
    mode = str(pick(rng, *modes))
    if mode == "1":
        bits = codes(rng, 1, 1)
        return Image.fromarray(bits[..., 0] * 255).convert("1"), bits.astype(np.float64)
    if mode == "P":
        image = Image.fromarray(codes(rng, 8, 3)).quantize(int(rng.integers(2, 200)))
        return image, np.asarray(image.convert("RGB")) / 255
    values = codes(rng, 8, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode])
    return Image.fromarray(values[..., 0] if mode == "L" else values, mode), laid_out(values / 255)


def tiff_by_pillow(rng: Rng) -> Foreign:
    image, unit = in_mode(rng, "1", "L", "P", "RGB", "RGBA", "LA")
    choices = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"] + ["group3", "group4"] * (image.mode == "1")
    return by_pillow(f"TIFF {image.mode}", image, unit, 0, "TIFF", compression=pick(rng, *choices))


def tiff_of_jpeg(rng: Rng) -> Foreign:
    pixels = smooth(rng, 3)
    return by_pillow(
        "TIFF of JPEG", Image.fromarray(pixels), pixels / 255, 24 / 255, "TIFF", compression="jpeg", quality=95
    )


# The other kinds


def png_by_hand(rng: Rng) -> Foreign:
    color, channels, depths = pick(rng, (0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (4, 2, (8, 16)), (6, 4, (8, 16)),
                                   (3, 1, (1, 2, 4, 8)))  # fmt: skip
    bits = int(pick(rng, *depths))
    values = codes(rng, bits, channels)
    extra: list[bytes] = []
    unit = values / ((1 << bits) - 1)
    if color == 3:
        palette = rng.integers(0, 256, (1 << bits, 3)).astype(np.uint8)
        extra.append(chunk(b"PLTE", palette.tobytes()))
        unit = palette[values[..., 0]] / 255
    if color in (0, 2) and rng.random() < 0.3:
        key = values[0, 0]
        extra.append(chunk(b"tRNS", key.astype(">u2").tobytes()))
        clear = (values == key).all(-1, keepdims=True)
        unit = np.concatenate((unit[..., [0, 0, 0]] if channels == 1 else unit, 1.0 - clear), 2)
    tags = [chunk(b"gAMA", struct.pack(">I", int(rng.integers(20_000, 120_000)))), chunk(b"sRGB", b"\0"),
            chunk(b"cICP", bytes([int(pick(rng, 1, 9, 12)), int(pick(rng, 1, 8, 13)), 0, 1])),
            chunk(b"cHRM", rng.integers(0, 2**32, 8, np.uint64).astype(">u4").tobytes()),
            chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)), chunk(b"tEXt", b"Comment\0text"),
            chunk(b"iCCP", b"x\0\0" + zlib.compress(rng.bytes(200)))]  # fmt: skip
    extra = [tag for tag in tags if rng.random() < 0.2] + extra
    interlaced = bool(rng.random() < 0.3)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    body = b""
    for y, x, dy, dx in passes:
        part = values[y::dy, x::dx]
        if part.size:
            rows = tiffs.packed(part.reshape(len(part), -1), bits, ">")
            step = len(rows) // len(part)
            body += b"".join(b"\0" + rows[i * step : (i + 1) * step] for i in range(len(part)))
    height, width = values.shape[:2]
    data = png_of(width, height, bits, color, zlib.compress(body), *extra, interlace=int(interlaced))
    return Foreign(f"PNG {color} of {bits} bits", data, laid_out(unit), 0)


def png_of_hdr(rng: Rng) -> Foreign:
    transfer = int(pick(rng, 16, 18))
    image = by_pillow("PNG", Image.fromarray(codes(rng, 8, 3)), None, 0, "PNG").data
    data = with_chunk(image, b"cICP", bytes([9, transfer, 0, 1]))
    return Foreign("PNG of HDR", data, refusal="is an HDR image")


def png_by_opencv(rng: Rng) -> Foreign:
    bits, channels = int(pick(rng, 8, 16)), int(pick(rng, 1, 3, 4))
    values = codes(rng, bits, channels)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    is_encoded, data = cv2.imencode(".png", np.ascontiguousarray(values[..., order]))
    assert is_encoded
    return Foreign(f"PNG of OpenCV, {bits} bits", data.tobytes(), values / ((1 << bits) - 1))


def png_by_imagecodecs(rng: Rng) -> Foreign:
    bits = int(pick(rng, 8, 16))
    values = codes(rng, bits, int(pick(rng, 1, 2, 3, 4)), 2)
    data = imagecodecs.png_encode(values[..., 0] if values.shape[2] == 1 else values)
    return Foreign(f"PNG of imagecodecs, {bits} bits", bytes(data), laid_out(values / ((1 << bits) - 1)))


def png_by_pillow(rng: Rng) -> Foreign:
    image, unit = in_mode(rng, "1", "L", "LA", "P", "RGB", "RGBA")
    return by_pillow(f"PNG {image.mode}", image, unit, 0, "PNG", optimize=bool(rng.random() < 0.5))


def jpeg(rng: Rng) -> Foreign:
    pixels = smooth(rng, int(pick(rng, 1, 3)))
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    options = {"quality": int(rng.integers(85, 101)), "progressive": bool(rng.random() < 0.4),
               "optimize": bool(rng.random() < 0.5), "subsampling": int(pick(rng, 0, 1, 2)),
               "restart_marker_rows": int(pick(rng, 0, 1))}  # fmt: skip
    return by_pillow("JPEG", image, pixels / 255, 30 / 255, "JPEG", **options)


def jpeg_of_rgb(rng: Rng) -> Foreign:
    """A JPEG without a change of colours, which its Adobe segment says."""
    pixels = smooth(rng, 3)
    return by_pillow("JPEG of RGB", Image.fromarray(pixels), pixels / 255, 12 / 255, "JPEG", quality=97, keep_rgb=True)


def jpeg_of_cmyk(rng: Rng) -> Foreign:
    image = Image.fromarray(smooth(rng, 3)).convert("CMYK")
    return by_pillow("JPEG of CMYK", image, np.asarray(image.convert("RGB")) / 255, 40 / 255, "JPEG", quality=97)


def webp(rng: Rng) -> Foreign:
    if rng.random() < 0.6:
        image, unit = in_mode(rng, "RGB", "RGBA")
        options = {"lossless": True, "exact": True, "method": int(rng.integers(0, 5))}
        if unit.shape[2] == 4 and (unit[..., 3] == 1).all():
            unit = unit[..., :3]
        return by_pillow("WebP", image, unit, 0, "WEBP", **options)
    pixels = smooth(rng, 3)
    return by_pillow(
        "WebP", Image.fromarray(pixels), pixels / 255, 40 / 255, "WEBP", quality=int(rng.integers(80, 101))
    )


def bmp(rng: Rng) -> Foreign:
    image, unit = in_mode(rng, "1", "L", "P", "RGB")
    return by_pillow(f"BMP {image.mode}", image, unit, 0, "BMP")


def avif(rng: Rng) -> Foreign:
    pixels = smooth(rng, int(pick(rng, 3, 4)))
    pixels[..., 3:] = np.minimum(pixels[..., 3:], 200)
    case = by_pillow("AVIF", Image.fromarray(pixels), pixels / 255, 30 / 255, "AVIF", quality=95, speed=10,
                     subsampling=pick(rng, "4:4:4", "4:2:0", "4:2:2"))  # fmt: skip
    points = struct.pack(">HH", int(pick(rng, 1, 9, 12)), int(pick(rng, 1, 8, 13, 16, 18)))
    case.data = case.data.replace(b"colrnclx" + struct.pack(">HH", 1, 13), b"colrnclx" + points)
    if points[3] in (16, 18):
        return Foreign("AVIF of HDR", case.data, refusal="is an HDR image")
    return case


def another_kind(rng: Rng) -> Foreign:
    format, words = pick(rng, ("GIF", "a GIF file"), ("PPM", "a PNM file"), ("JPEG2000", "a JPEG 2000 file"),
                         ("PDF", "a PDF file"), ("ICO", "an icon file"), ("TGA", "not a known image file"),
                         ("DDS", "a DDS file"), ("EPS", "an EPS or PostScript file"))  # fmt: skip
    return Foreign(f"{format} of Pillow", image_files.by_pillow(codes(rng, 8, 3, 20), format), refusal=words)


def cut_off(rng: Rng) -> Foreign:
    """A file that ends in the middle is refused, unless the rest is no part of the pixels."""
    whole = pick(rng, tiff_by_hand, png_by_hand, webp, bmp, tiff_by_tifffile)(rng)
    at = int(rng.integers(len(whole.data)))
    return Foreign(f"{whole.name}, cut off", whole.data[:at], refusal="is damaged|is empty|not a known image")


MAKERS: tuple[tuple[int, Callable[[Rng], Foreign]], ...] = (
    (30, tiff_by_hand), (6, tiff_of_floats), (4, tiff_of_signed), (5, tiff_of_ycbcr), (4, tiff_of_palette),
    (2, tiff_of_unknown), (12, tiff_by_tifffile), (5, tiff_by_opencv), (5, tiff_by_pillow), (2, tiff_of_jpeg),
    (20, png_by_hand), (1, png_of_hdr), (4, png_by_opencv), (3, png_by_imagecodecs), (3, png_by_pillow), (8, jpeg),
    (1, jpeg_of_rgb), (1, jpeg_of_cmyk), (5, webp), (3, bmp), (1, avif), (2, another_kind), (4, cut_off),
)  # fmt: skip


def foreign(rng: Rng) -> Foreign:
    makers = [make for _, make in MAKERS if make is not avif or features.check("avif")]
    weights = np.array([weight for weight, make in MAKERS if make in makers], float)
    make = makers[int(rng.choice(len(makers), p=weights / weights.sum()))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the encoders
        return make(rng)


def outcome(file: Foreign) -> tuple[str, str]:
    """Returns 'read' or 'refused', or 'wrong' and why."""
    try:
        picture = read(file.data)
    except errors.PyHarmonyError as error:
        message = str(error)
        if any(word in message for word in file.refusal.split("|") if word):
            return "refused", ""
        return "wrong", f"refused: {message}"
    if file.expected is None:
        # What was cut off may have been no part of the image; anything else should have been refused.
        return ("read", "") if file.name.endswith("cut off") else ("wrong", f"read as {picture!r}")
    pixels = picture.pixels
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    if pixels.shape != file.expected.shape:
        return "wrong", f"read as {pixels.shape}, expected {file.expected.shape}"
    error = float(np.abs(pixels.astype(np.float64) / white - file.expected).max())
    return ("read", "") if error <= file.tolerance + 1e-9 else ("wrong", f"{error * 255:.3f} levels off")


def run(number: int, seed: int) -> collections.Counter[str]:
    rng = np.random.default_rng(seed)
    counts: collections.Counter[str] = collections.Counter()
    wrong = []
    for _ in range(number):
        file = foreign(rng)
        what, why = outcome(file)
        counts[what] += 1
        if what == "wrong":
            wrong.append(f"{file.name}: {why}")
    assert not wrong, f"{len(wrong)} of {number}:\n" + "\n".join(wrong[:40])
    return counts


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # of Pillow, in files that were damaged
def test_foreign_files() -> None:
    counts = run(500, 1)
    assert counts["read"] > 400
    assert counts["refused"] > 13
