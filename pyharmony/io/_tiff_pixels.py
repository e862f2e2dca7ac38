"""The pixels of 16-bit and float TIFF files, which Pillow does not decode.

It reads strips and tiles, chunky and planar, uncompressed or by Deflate, with either predictor; see TIFF 6.0 and the
Technical Notes 1 and 3 of Photoshop's TIFF. The inflated size of a segment is bounded by its own size.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from .._arrays import NumpyArray
from . import _tiff
from ._profiles import _strips

_COMPRESSIONS = {
    2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 6: "JPEG", 7: "JPEG", 32773: "PackBits", 34712: "JPEG 2000",
    34892: "lossy JPEG", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_BY_OPENCV = (5, 32773)
#: The most bytes that each compression makes of one: none, LZW (4096 of 9 bits), Deflate, PackBits.
_RATIOS = {1: 1, 5: 3641, 8: 1032, 32946: 1032, 32773: 64}
#: The most bytes of a list of offsets.
_MAX_LIST = 1 << 23
#: The most strips or tiles that may be smaller than so many pixels; each takes as long as thousands of pixels do.
_MANY, _SMALL = 1 << 16, 256
_TILED = 324
_PHOTOMETRIC = {
    3: "palette",
    4: "mask",
    5: "CMYK",
    6: "YCbCr",
    8: "Lab",
    32803: "colour filter array",
    34892: "linear raw",
}


class Unsupported(ValueError):
    """An error for a kind of TIFF that is not accepted; the text goes on after the file's name."""


class NeedsOpenCV(ValueError):
    """An error for a compression that OpenCV undoes; the text is its name."""


def decode(read: _tiff.Reader, main: _tiff.Directory, dtype: np.dtype[Any], width: int, height: int) -> NumpyArray:
    """Decodes pixels [H, W, C] of C = 1, 3 or 4, alpha not premultiplied.

    Raises:
        Unsupported, NeedsOpenCV, TiffError: see these classes; TiffError is for damage.
    """
    samples, planar = main.number(277, 1), main.number(284, 1) == 2
    photometric, compression, predictor = main.number(262, 1), main.number(259, 1), main.number(317, 1)
    extra = main.numbers(338, 64)
    if photometric not in (0, 1, 2):
        raise Unsupported(
            f"has {_PHOTOMETRIC.get(photometric, 'unusual')} pixels of {dtype.name}, expected grey or RGB"
        )
    colors = 3 if photometric == 2 else 1
    if samples not in (colors, colors + 1):
        raise Unsupported(f"has {samples} channels of {dtype.name}, expected grey, RGB or RGBA")
    if main.number(32997, 1) > 1:
        raise Unsupported("is a volume, expected one image")
    if compression not in (1, 8, 32946):
        name = _COMPRESSIONS.get(compression, f"method {compression}")
        if compression in _BY_OPENCV and not planar and photometric != 0 and dtype != np.float16 and samples != 2:
            if samples == 4 and extra[:1] == (1,):
                raise Unsupported(
                    f"has premultiplied alpha and is compressed by {name}; save it with Deflate or without"
                )
            segments(main, width, height)
            raise NeedsOpenCV(name)
        raise Unsupported(f"has {dtype.name} pixels compressed by {name}; save it with Deflate, LZW or without")
    if predictor not in (1, 2, 3) or (predictor == 3) > (dtype.kind == "f") or (predictor == 2 and dtype.kind == "f"):
        raise Unsupported(f"has {dtype.name} pixels with the predictor {predictor}, which do not go together")

    offsets, counts, (_, down, across, seg_h) = segments(main, width, height)
    seg_w = width if _TILED not in main.where else main.number(322, 0)
    depth = 1 if planar else samples
    out = np.empty((height, width, samples), dtype)
    stored = dtype.newbyteorder("<" if main.order == "<" else ">")
    for i, (offset, count) in enumerate(zip(offsets, counts)):
        plane, y, x = i // (down * across), i // across % down * seg_h, i % across * seg_w
        rows = seg_h if _TILED in main.where else min(seg_h, height - y)
        size = rows * seg_w * depth * dtype.itemsize
        if compression == 1:
            data = read(int(offset), size)
        else:
            inflate = zlib.decompressobj()
            try:
                data = inflate.decompress(read(int(offset), min(int(count), size + size // 8 + 1024)), size)
            except zlib.error as error:
                raise _tiff.TiffError(f"a segment cannot be inflated ({error})") from None
        if len(data) != size:
            raise _tiff.TiffError(f"it ends {size - len(data)} bytes too early, or a segment does")
        segment = _unpredicted(data, (rows, seg_w, depth), stored, predictor)
        h, w = min(rows, height - y), min(seg_w, width - x)
        if planar:
            out[y : y + h, x : x + w, plane] = segment[:h, :w, 0]
        else:
            out[y : y + h, x : x + w] = segment[:h, :w]
    return _finished(out, colors, photometric, extra)


def segments(
    main: _tiff.Directory, width: int, height: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, int, int, int]]:
    """Returns offsets and byte counts of the strips or tiles, and their number: planes, down, across, and their rows.

    Raises:
        TiffError: some are missing, or they are too short for the pixels that the header claims.
    """
    samples, bits = main.number(277, 1), main.number(258, 1)
    planes = samples if main.number(284, 1) == 2 else 1
    tiled = _TILED in main.where
    if tiled:
        seg_h, seg_w = main.number(323, 0), main.number(322, 0)
        if not (0 < seg_h <= height + 4096 and 0 < seg_w <= width + 4096):
            raise _tiff.TiffError(f"its tiles have {seg_w} x {seg_h} pixels")
    else:
        seg_h, seg_w = min(main.number(278, height), height), width
        if seg_h < 1:
            raise _tiff.TiffError("its strips have no rows")
    down, across = -(-height // seg_h), -(-width // seg_w)
    number = planes * down * across
    if number > _MANY and seg_h * seg_w < _SMALL:
        raise _tiff.TiffError(f"it has {number} strips or tiles of {seg_w} x {seg_h} pixels")
    offsets = main.numbers(_TILED if tiled else 273, _MAX_LIST)
    counts = main.numbers(325 if tiled else 279, _MAX_LIST)
    if len(offsets) < number or len(counts) < number:
        raise _tiff.TiffError(f"it lists {min(len(offsets), len(counts))} of its {number} strips or tiles")
    offsets, counts = offsets[:number], counts[:number]
    if min(offsets) < 8 or min(counts) < 1:
        raise _tiff.TiffError("strips or tiles are missing")
    ratio = _RATIOS.get(main.number(259, 1))
    row_bits = width * bits * (samples if planes == 1 else 1)
    if ratio and sum(counts) * ratio < planes * height * ((row_bits + 7) // 8):
        raise _tiff.TiffError(f"its header claims {width} x {height} pixels, which its bytes cannot hold")
    return offsets, counts, (planes, down, across, seg_h)


def _unpredicted(data: bytes, shape: tuple[int, int, int], stored: np.dtype[Any], predictor: int) -> NumpyArray:
    rows, columns, depth = shape
    if predictor == 3:  # the bytes of a row, most significant ones first, as differences
        planes = np.frombuffer(data, np.uint8).reshape(rows, columns * stored.itemsize, depth)
        planes = np.add.accumulate(planes, axis=1, dtype=np.uint8).reshape(rows, stored.itemsize, columns * depth)
        whole = np.ascontiguousarray(planes.transpose(0, 2, 1))
        return whole.view(stored.newbyteorder(">")).reshape(shape)
    segment = np.frombuffer(data, stored).reshape(shape)
    if predictor == 2:
        return np.add.accumulate(segment.astype(stored.newbyteorder("=")), axis=1, dtype=stored.newbyteorder("="))
    return segment


def _finished(out: NumpyArray, colors: int, photometric: int, extra: tuple[float, ...]) -> NumpyArray:
    """Makes white the largest value, grey with alpha RGBA, and alpha not premultiplied."""
    if photometric == 0:
        if out.dtype.kind == "f":
            raise Unsupported("has floating-point pixels where 0 is white, expected 0 to be black")
        np.subtract(65535, out[..., :1], out=out[..., :1])
    if out.shape[2] == colors:
        return out
    if extra[:1] == (0,):  # a channel that is not alpha
        return np.ascontiguousarray(out[..., :colors])
    if extra[:1] == (1,):
        _unpremultiply(out)
    if colors == 1:
        return np.ascontiguousarray(out[..., [0, 0, 0, 1]])
    return out


def _unpremultiply(out: NumpyArray) -> None:
    largest = 65535.0 if out.dtype.kind == "u" else 1.0

    def strip(rows: slice) -> None:
        part = out[rows].astype(np.float64)
        alpha = part[..., -1:] / largest
        with np.errstate(divide="ignore", invalid="ignore"):
            color = np.where(alpha > 0, part[..., :-1] / alpha, part[..., :-1])
        out[rows][..., :-1] = np.rint(np.clip(color, 0, largest)) if out.dtype.kind == "u" else color

    _strips(out.shape[0], out.shape[1] * out.shape[2], strip)
