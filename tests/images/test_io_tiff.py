"""TIFF files of depths and layouts that Pillow does not decode, and grey HEIC of more than 8 bits."""

from __future__ import annotations

import io
import lzma
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyharmony import _install, errors
from pyharmony.io import read
from tests.foreign import confined
from tests.images import tiffs

imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")

pytestmark = pytest.mark.house


def codes(bits: int, channels: int = 3, height: int = 23, width: int = 37, seed: int = 0) -> np.ndarray:
    """Returns integers of so many bits, with the smallest and the largest."""
    values = np.random.default_rng(seed).integers(0, 1 << min(bits, 63), (height, width, channels), np.uint64)
    values[0, 0], values[0, 1] = 0, (1 << bits) - 1
    return values.astype("u1" if bits <= 8 else "u2" if bits <= 16 else "u4" if bits <= 32 else "u8")


def expected_of(values: np.ndarray, bits: int) -> np.ndarray:
    """Returns the 8- or 16-bit values nearest to those of so many bits."""
    largest = 255 if bits <= 8 else 65535
    exact = values.astype(np.float64) / ((1 << bits) - 1) * largest
    return np.rint(exact).astype(np.uint8 if bits <= 8 else np.uint16)


@pytest.mark.parametrize("bits", [*range(1, 17), 20, 24, 31, 32, 64])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_depth(bits: int, channels: int) -> None:
    values = codes(bits, channels)
    expected = expected_of(values, bits)
    for order in "<>":
        data = tiffs.encode(
            values, bits, 1 if channels == 1 else 2, order=order, extra=[2] if channels == 4 else [], rows=5
        )
        result = read(data).pixels
        assert result.dtype == expected.dtype
        # A half may go either way.
        assert np.abs(result.astype(int) - expected).max() <= (bits > 16 or bits < 8)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize(
    "layout",
    [
        {"planar": True},
        {"tile": (16, 16)},
        {"compression": 8, "rows": 7},
        {"big": True, "order": ">"},
        {"reverse": True},
    ],
    ids=str,
)
def test_packed_depths_in_every_layout(bits: int, layout: dict[str, Any]) -> None:
    values = codes(bits)
    np.testing.assert_array_equal(read(tiffs.encode(values, bits, 2, **layout)).pixels, expected_of(values, bits))


def test_white_may_be_zero() -> None:
    for bits in (4, 8, 12, 16, 32):
        values = codes(bits, 1)
        black = expected_of(values, bits)
        result = read(tiffs.encode(values, bits, 0)).pixels
        assert np.abs(np.iinfo(black.dtype).max - result.astype(int) - black).max() <= 1


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_signed_values_are_those_of_the_positive_range(bits: int) -> None:
    limit = 65535 if bits == 32 else (1 << bits - 1) - 1
    values = (np.arange(23 * 37).reshape(23, 37, 1) * limit // (23 * 37 - 1)).astype(f"i{bits // 8}")
    result = read(tiffs.encode(values, bits, 1, form=2)).pixels
    assert result.dtype == (np.uint8 if bits == 8 else np.uint16)
    np.testing.assert_allclose(result / np.iinfo(result.dtype).max, values / limit, atol=1 / 255 if bits == 8 else 1e-5)
    values[3, 4] = -5
    with pytest.raises(
        errors.DecodeError, match=rf"{bits}-bit signed values from -5 to {limit}, expected 0 to {limit}"
    ):
        read(tiffs.encode(values, bits, 1, form=2))


COMPRESSIONS = {
    "LZW": (5, imagecodecs.lzw_encode), "PackBits": (32773, imagecodecs.packbits_encode),
    "Zstandard": (50000, imagecodecs.zstd_encode), "LZMA": (34925, lzma.compress),
    "Deflate": (8, zlib.compress), "the older number of Deflate": (32946, zlib.compress),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", ["u2", "f2", "f4", "f8", "u1"])
def test_compressions_of_deep_pixels(name: str, planar: bool, dtype: str) -> None:
    """16-bit planar LZW among them, which Pillow reads wrongly and OpenCV not at all."""
    method, compress = COMPRESSIONS[name]
    bits, form = 8 * np.dtype(dtype).itemsize, 3 if dtype[0] == "f" else 1
    values = codes(bits if form == 1 else 16) if form == 1 else (codes(16) / 65535).astype(dtype)
    # With PackBits, programs differ in whether the predictor counts.
    for predictor in (1, 2) if form == 1 and name != "PackBits" else (1,):
        for segments in ({"rows": 9}, {"tile": (16, 32)}):
            data = tiffs.encode(values, bits, 2, form=form, planar=planar, compression=method, compress=compress,
                                predictor=predictor, **segments)  # fmt: skip
            np.testing.assert_array_equal(read(data).pixels, values)


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_inside(channels: int) -> None:
    pixels = np.kron(codes(8, channels, 6, 8), np.ones((8, 8, 1), np.uint8))
    pixels[..., 3:] |= 128

    def compress(data: bytes) -> bytes:
        stream = io.BytesIO()
        part = np.frombuffer(data, np.uint8).reshape(16, -1, channels)
        Image.fromarray(part).save(stream, "WEBP", lossless=True)
        return stream.getvalue()

    extra = [2] if channels == 4 else []
    for segments in ({"rows": 16}, {"tile": (16, 16)}):
        data = tiffs.encode(pixels, 8, 2, compression=50001, compress=compress, extra=extra, **segments)
        np.testing.assert_array_equal(read(data).pixels, pixels)
    # A segment that claims more is refused by its header.
    with pytest.raises(errors.DecodeError, match=r"a WebP segment has 64 x 16 pixels, expected 64 x 24"):
        read(tiffs.encode(pixels, 8, 2, compression=50001, compress=lambda data: compress(data[: 64 * 16 * channels]),
                          extra=extra, rows=24))  # fmt: skip


def rgb_of(ycbcr: np.ndarray) -> np.ndarray:
    """Returns RGB by BT.601, which is the default of TIFF."""
    y, cb, cr = (ycbcr[..., i].astype(np.float64) for i in range(3))
    r, b = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
    return np.rint(np.clip(np.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], -1), 0, 255))


@pytest.mark.parametrize(("h", "v"), [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (1, 2)])
def test_subsampled_colour(h: int, v: int) -> None:
    for height, width in ((32, 48), (23, 37)):
        data, expected = tiffs.subsampled(codes(8, 3, height, width), h, v, rows=8)
        assert np.abs(read(data).pixels - rgb_of(expected)).max() <= 1


def test_planar_subsampled_colour() -> None:
    ycbcr = codes(8, 3, 24, 36)
    chroma = ycbcr[::2, ::2, 1:]
    planes = [ycbcr[..., 0].tobytes(), chroma[..., 0].tobytes(), chroma[..., 1].tobytes()]
    fields: tiffs.Fields = {
        256: (4, [36]), 257: (4, [24]), 258: (3, [8] * 3), 259: (3, [1]), 262: (3, [6]), 277: (3, [3]),
        278: (4, [24]), 284: (3, [2]), 530: (3, [2, 2]),
    }  # fmt: skip
    full = np.dstack([ycbcr[..., :1], np.repeat(np.repeat(chroma, 2, 0), 2, 1)])
    assert np.abs(read(tiffs.tiff(fields, planes)).pixels - rgb_of(full)).max() <= 1


@pytest.mark.parametrize("bits", [3, 8, 12, 16])
def test_palettes(bits: int) -> None:
    indices = codes(bits, 1)
    colors = np.random.default_rng(1).integers(0, 65536, (1 << bits, 3))
    data = tiffs.encode(indices, bits, 3, more={320: (3, [int(value) for value in colors.T.ravel()])})
    expected = colors[indices[..., 0]]
    result = read(data).pixels
    np.testing.assert_array_equal(result, expected >> 8 if bits <= 8 else expected)


@pytest.mark.parametrize("bits", [4, 8, 12])
@pytest.mark.parametrize("planar", [False, True])
def test_palettes_with_alpha(bits: int, planar: bool) -> None:
    values = codes(bits, 2)
    colors = np.random.default_rng(1).integers(0, 65536, (1 << bits, 3))
    more = {320: (3, [int(value) for value in colors.T.ravel()])}
    result = read(tiffs.encode(values, bits, 3, extra=[2], planar=planar, more=more)).pixels
    expected = colors[values[..., 0]]
    np.testing.assert_array_equal(result[..., :3], expected >> 8 if bits <= 8 else expected)
    np.testing.assert_array_equal(result[..., 3], expected_of(values[..., 1], bits))


def test_deep_cmyk_and_lab_are_read_at_8_bit() -> None:
    pixels = np.kron(codes(8, 4, 6, 8), np.ones((4, 4, 1), np.uint8))
    for photometric, channels in ((5, 4), (8, 3)):
        part = pixels[..., :channels]
        expected = read(tiffs.encode(part, 8, photometric)).pixels
        for planar in (False, True):
            deep = tiffs.encode(part.astype(np.uint16) * 256 + 9, 16, photometric, planar=planar)
            np.testing.assert_array_equal(read(deep).pixels, expected)
    # ICC's Lab has its middle at 128.
    ab_offset = pixels[..., :3] ^ np.array([0, 128, 128], np.uint8)
    np.testing.assert_array_equal(read(tiffs.encode(ab_offset, 8, 9)).pixels, expected)


def test_more_channels_than_alpha_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    values = codes(16, 6)
    with caplog.at_level("WARNING", "pyharmony"):
        for planar in (False, True):
            for extra, channels in (([0, 0, 0], 3), ([2, 0, 0], 4)):
                data = tiffs.encode(values, 16, 2, extra=extra, planar=planar)
                np.testing.assert_array_equal(read(data).pixels, values[..., :channels])
    assert "3 more channels than colours and alpha" in caplog.text


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_channel_that_is_named_and_not_there_is_no_alpha(bits: int, planar: bool, channels: int) -> None:
    """Its values would be those of memory that was freed."""
    values = codes(bits, channels)
    data = tiffs.encode(values, bits, 2 if channels == 3 else 1, extra=[2], planar=planar)
    np.testing.assert_array_equal(read(data).pixels, expected_of(values, bits))


def test_tiles_that_are_listed_as_strips() -> None:
    """libtiff's own samples are so."""
    values = codes(8, 1, 32, 48)
    tiles = [values[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16, 32)]
    fields: tiffs.Fields = {256: (4, [48]), 257: (4, [32]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]),
                            322: (4, [16]), 323: (4, [16])}  # fmt: skip
    np.testing.assert_array_equal(read(tiffs.tiff(fields, tiles)).pixels, values)


def test_deep_jpeg() -> None:
    values = np.kron(codes(12, 1, 6, 8), np.ones((8, 8, 1), np.uint16))
    code = imagecodecs.ljpeg_encode(values[..., 0], bitspersample=12)
    data = tiffs.encode(values, 12, 1, compression=7, compress=lambda _: code)
    np.testing.assert_array_equal(read(data).pixels, expected_of(values, 12))
    large = code.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65000, 65000))
    assert large != code
    with pytest.raises(errors.DecodeError, match="the size of a JPEG segment differs"):
        read(tiffs.encode(values, 12, 1, compression=7, compress=lambda _: large))


# Errors


def test_without_imagecodecs_the_reason_and_the_remedy_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    method, compress = COMPRESSIONS["Zstandard"]
    with pytest.raises(errors.DecodeError) as error:
        read(tiffs.encode(codes(16), 16, 2, compression=method, compress=compress), "dst")
    assert "has 16-bit unsigned values compressed by Zstandard, which imagecodecs decodes: " in str(error.value)
    assert _install.hint("io") in str(error.value)
    for name in ("LZW", "PackBits", "Deflate"):
        method, compress = COMPRESSIONS[name]
        for bits in (8, 12, 16, 32):
            pixels = read(tiffs.encode(codes(bits), bits, 2, compression=method, compress=compress)).pixels
            assert pixels.shape == (23, 37, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tiffs.encode(codes(16, 3), 16, 1), "3 channels of 16-bit unsigned values, but its fields describe 1"),
        (tiffs.encode(codes(40, 1), 40, 1), "40-bit unsigned values, expected integers of 1 to 32 bits"),
        (tiffs.encode(codes(16), 16, 32803), "has colour filter array pixels"),
        (tiffs.encode(codes(16), 16, 2, more={258: (3, [16, 16, 8])}), r"channels of different kinds \(16/16/8 bits\)"),
        (tiffs.encode(codes(16, 4), 16, 5, more={332: (3, [2])}), "inks that are not cyan, magenta, yellow and black"),
        (tiffs.encode(codes(16), 16, 2, compression=34712), "16-bit unsigned values compressed by JPEG 2000"),
        (tiffs.encode(codes(8), 8, 2, compression=50002), "8-bit unsigned values compressed by JPEG XL"),
        (tiffs.encode(codes(12), 12, 2, compression=8, more={317: (3, [2])}), "with the predictor 2"),
        (tiffs.encode(codes(16), 16, 2, compression=5, compress=lambda data: data[:50]), "is damaged"),
        # After the code that clears the table, a code that is not in it: some decoders read outside of their memory.
        (tiffs.encode(codes(16), 16, 2, compression=5, compress=lambda _: b"\x80\x54\x20\x43"), "cannot be decompr"),
        (tiffs.encode(codes(16), 16, 2, compression=50000, compress=lambda data: data), "cannot be decompressed"),
        (tiffs.encode(codes(16), 16, 2, compression=34925, compress=lambda data: data), "cannot be decompressed"),
        (tiffs.encode(codes(12, 1), 12, 3, more={320: (3, [1] * 9)}), "its palette has 9 values, expected 12288"),
    ],
)  # fmt: skip
def test_reasons_are_the_real_ones(data: bytes, message: str) -> None:
    with pytest.raises(errors.DecodeError, match=message):
        read(data)


COST = """
import sys, time
from pyharmony import errors, io
import imagecodecs, PIL.TiffImagePlugin
before, began = peak_memory(), time.process_time()
try:
    print(io.read(sys.argv[1]))
except errors.PyHarmonyError as error:
    print(type(error).__name__, error)
print(time.process_time() - began, (peak_memory() - before) / 1024)
"""


@pytest.mark.parametrize("name", ["LZW", "PackBits", "Zstandard", "LZMA"])
def test_a_segment_costs_what_the_header_says(tmp_path: Path, name: str) -> None:
    """A segment that would become 64 MB makes no more than its 64 x 64 pixels."""
    method, compress = COMPRESSIONS[name]
    # PackBits by hand: runs of 128 zeros. Its encoder takes minutes.
    zeros = b"\x81\0" * (1 << 19) if name == "PackBits" else compress(bytes(1 << 26))
    path = tmp_path / "bomb.tif"
    path.write_bytes(
        tiffs.encode(np.zeros((64, 64, 1), np.uint16), 16, 1, compression=method, compress=lambda _: zeros)
    )
    *_, figures = confined(COST, path, seconds=60).splitlines()
    seconds, megabytes = map(float, figures.split())
    assert seconds < 2
    assert megabytes < 40


def test_unpacking_takes_memory_by_the_picture(tmp_path: Path) -> None:
    """One strip of 25 million values of 12 bits becomes 50 MB; eight times as much would be taken by its bits."""
    path = tmp_path / "large.tif"
    strip = bytes(5000 * 7500)
    fields: tiffs.Fields = {256: (4, [5000]), 257: (4, [5000]), 258: (3, [12]), 259: (3, [1]), 262: (3, [1]),
                            278: (4, [5000])}  # fmt: skip
    path.write_bytes(tiffs.tiff(fields, [strip]))
    line, figures = confined(COST, path, seconds=60).splitlines()
    assert line.startswith("Picture(5000x5000, 1 channels, uint16")
    assert float(figures.split()[1]) < 450


# HEIC


@pytest.mark.parametrize("bits", [10, 12])
def test_grey_heic_of_more_than_8_bits(bits: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    ramp = np.linspace(0, 65535, 128).astype(np.uint16)
    deep = np.repeat(ramp[None], 64, 0)
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    try:
        stream = io.BytesIO()
        pillow_heif.from_bytes(mode="I;16", size=(128, 64), data=deep.tobytes()).save(stream, quality=-1)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = False
    result = read(stream.getvalue()).pixels
    assert result.dtype == np.uint8 and result.shape == (64, 128, 1)
    assert np.abs(result[..., 0].astype(int) - (deep >> 8)).max() <= 1
