"""The pixels of TIFF files that Pillow does not decode: deep, float, signed and packed ones, and rare layouts.

It reads strips and tiles, chunky and planar, of 1 to 64 bits, uncompressed, with Deflate or LZMA; LZW, PackBits and
WebP by Pillow; Zstandard and deep JPEG by imagecodecs, one segment at a time. The size of a segment after
decompression is known before, and limits the output. Sources: TIFF 6.0 (Adobe, 1992), sections 8, 9 and 14 to 23; the
Technical Notes 1 and 3 of Photoshop's TIFF; BigTIFF.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _install
from .._arrays import NumpyArray
from ..reference.luma import LUMA
from . import _jpeg, _tiff, _webp
from ._picture import Refusal
from ._profiles import _strips

_NAMES = {
    1: "uncompressed", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 6: "JPEG of TIFF 6.0", 7: "JPEG", 8: "Deflate",
    32766: "NeXT", 32773: "PackBits", 32809: "ThunderScan", 32946: "Deflate", 33003: "JPEG 2000", 33004: "JPEG 2000",
    33005: "JPEG 2000", 34676: "SGI LogLuv", 34677: "SGI LogLuv", 34712: "JPEG 2000", 34887: "LERC",
    34892: "lossy JPEG", 34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 50000: "Zstandard", 50001: "WebP",
    50002: "JPEG XL", 50013: "Deflate", 52546: "JPEG XL",
}  # fmt: skip
_DEFLATE = (8, 32946, 50013)
# Values of the tag Compression (259); the old JPEG is that of TIFF 6.0, which a technical note replaced.
_LZW, _OLD_JPEG, _JPEG, _PACKBITS, _LZMA, _ZSTANDARD, _WEBP = 5, 6, 7, 32773, 34925, 50000, 50001
#: The compressions that imagecodecs decodes, and its functions for them.
_BY_IMAGECODECS = {_ZSTANDARD: "zstd_decode", _JPEG: "jpeg_decode"}
#: The largest number of bytes from one byte for each compression: none, LZW (4096 of 9 bits), Deflate, PackBits.
_RATIOS = {1: 1, 5: 3641, 8: 1032, 32946: 1032, 50013: 1032, 32773: 64}
#: The largest size of a list of offsets, in bytes.
_MAX_LIST = 1 << 23
#: The largest number of strips or tiles that are small, of fewer pixels: each takes as long as thousands of pixels.
_MAX_SMALL_SEGMENTS, _MIN_SEGMENT_PIXELS = 1 << 16, 256
#: The number of values that are unpacked at a time.
_UNPACKED = 1 << 18
_STRIP_OFFSETS = 273  # the tag StripOffsets: the offset of each strip
_TILE_WIDTH = 322  # the tag TileWidth, in pixels
_TILE_OFFSETS = 324  # the tag TileOffsets: the offset of each tile
# Values of the tag PhotometricInterpretation (262).
_PALETTE, _CMYK, _YCBCR, _LAB, _ICC_LAB = 3, 5, 6, 8, 9
#: The number of colour channels of each kind of pixels.
_COLORS = {0: 1, 1: 1, 2: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3, _LAB: 3, _ICC_LAB: 3}
_PHOTOMETRIC = {
    4: "mask", 10: "Lab", 32803: "colour filter array", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw"
}  # fmt: skip
_REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


@dataclass(frozen=True)
class Layout:
    """How the pixels of a TIFF file are stored; see TIFF 6.0 for the fields."""

    width: int
    height: int
    samples: int
    bits: int
    form: int
    alike: bool
    planar: bool
    photometric: int
    compression: int
    predictor: int
    extra: tuple[float, ...]
    reversed: bool
    subsampled: tuple[int, int]

    @property
    def kind(self) -> str:
        """Returns the type of a value in words."""
        form = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "untyped"}.get(self.form, "unusual")
        return f"{self.bits}-bit {form}"

    @property
    def is_plain(self) -> bool:
        """Returns whether the values of pixels are returned as they are stored."""
        return self.photometric in (1, 2) and (self.form == 3 or (self.form == 1 and self.bits in (8, 16)))

    @property
    def is_lossy(self) -> bool:
        """Returns whether the compression may have changed the pixels; JPEG 2000, LERC and others are not read."""
        return self.compression in (_OLD_JPEG, _JPEG, _WEBP)


def layout(main: _tiff.Directory, width: int, height: int) -> Layout:
    """Reads how pixels are stored."""
    bits, forms = main.numbers(258, 1024) or (1,), main.numbers(339, 1024) or (1,)
    photometric, compression = main.number(262, 1), main.number(259, 1)
    across, down = 1, 1
    if photometric == _YCBCR and compression not in (_JPEG, _OLD_JPEG):
        across, down = (int(v) for v in (*main.numbers(530, 64), 2, 2)[:2]) if 530 in main.where else (2, 2)
        if across not in (1, 2, 4) or down not in (1, 2, 4):
            raise _tiff.TiffError(f"its colour is subsampled by {across} x {down}")
    return Layout(
        width,
        height,
        samples=main.number(277, 1),
        bits=int(max(bits)),
        form=int(max(forms)),
        alike=len({*bits}) == len({*forms}) == 1,
        planar=main.number(284, 1) == 2,
        photometric=photometric,
        compression=compression,
        predictor=main.number(317, 1),
        extra=main.numbers(338, 64),
        reversed=main.number(266, 1) == 2,
        subsampled=(across, down),
    )


def compression_name(layout: Layout) -> str:
    return _NAMES.get(layout.compression, f"method {layout.compression}")


def is_for_pillow(main: _tiff.Directory, layout: Layout) -> bool:
    """Returns whether Pillow may support such pixels: at most 8 bits, and not a layout that it reads incorrectly."""
    if layout.bits > 8 or layout.form not in (1, 4) or layout.compression in (_WEBP, 50013):
        return False
    if layout.photometric == _YCBCR and (layout.compression == 1 or layout.planar) and layout.compression != _JPEG:
        return False
    plain = layout.compression in (1, *_DEFLATE, _LZMA)
    if plain and (layout.planar or layout.reversed):
        return False
    if layout.planar and (len(layout.extra) > 1 or layout.samples == 2):
        return False
    return _TILE_WIDTH not in main.where or _TILE_OFFSETS in main.where


def decode(read: _tiff.Reader, main: _tiff.Directory, layout: Layout) -> tuple[str | None, NumpyArray, int]:
    """Decodes pixels [H, W, C], alpha not premultiplied.

    Values of 1 to 8 bits become uint8, other integers uint16, scaled by their ranges; floats are unchanged. Returns
    Pillow's mode 'CMYK' or 'LAB' or else None, for C = 1, 3 or 4; the pixels; and the number of ignored channels.
    """
    colors = _checked(main, layout)
    alpha = layout.samples == colors + 1 if not layout.extra else layout.extra[0] in (1, 2)
    # ExtraSamples may list channels that do not exist.
    if layout.samples <= colors or layout.photometric in (_CMYK, _LAB, _ICC_LAB):
        alpha = False
    channels = colors + alpha
    out = _samples(read, main, layout, channels)
    if layout.photometric == 0:
        if out.dtype.kind == "f":
            raise Refusal("has floating-point pixels where 0 is white, expected 0 to be black")
        np.subtract(np.iinfo(out.dtype).max, out[..., :1], out=out[..., :1])
    mode = None
    if layout.photometric == _PALETTE:
        out = _from_palette(out, main, layout.bits)
    elif layout.photometric == _YCBCR:
        _from_ycbcr(out, main)
    elif layout.photometric in (_CMYK, _LAB, _ICC_LAB):
        mode = "CMYK" if layout.photometric == _CMYK else "LAB"
        out = out if out.dtype == np.uint8 else (out >> 8).astype(np.uint8)
        if layout.photometric == _ICC_LAB:
            out[..., 1:] ^= 128  # Pillow expects signed values
    if alpha and layout.extra[:1] == (1,):
        unpremultiply(out)
    if out.shape[2] == 2:
        out = np.ascontiguousarray(out[..., [0, 0, 0, 1]])
    return mode, out, layout.samples - channels


def _checked(main: _tiff.Directory, layout: Layout) -> int:
    """Returns the number of colour channels, after checking that the pixels can be decoded."""
    if layout.photometric not in _COLORS:
        kind = _PHOTOMETRIC.get(layout.photometric, f"unusual (type {layout.photometric})")
        raise Refusal(f"has {kind} pixels, expected grey, RGB, a palette, CMYK, Lab or YCbCr")
    if not layout.alike:
        each = "/".join(f"{int(bits)}" for bits in main.numbers(258, 64))
        raise Refusal(f"has channels of different kinds ({each} bits), expected equal channels")
    colors = _COLORS[layout.photometric]
    if not colors <= layout.samples <= colors + max(len(layout.extra), 1):
        raise Refusal(f"has {layout.samples} channels of {layout.kind} values, but its fields describe {colors}")
    floats = layout.form == 3
    if layout.bits not in ((16, 32, 64) if floats else (*range(1, 33), 64)) or layout.form not in (1, 2, 3, 4):
        raise Refusal(f"has {layout.kind} values, expected integers of 1 to 32 bits or floats of 16, 32 or 64")
    if layout.form == 2 and layout.bits not in (8, 16, 32, 64):
        raise Refusal(f"has {layout.kind} values, expected signed ones of 8, 16, 32 or 64 bits")
    if floats and colors != 3 and layout.photometric not in (0, 1):
        raise Refusal("has floating-point pixels of CMYK or a palette, expected grey or RGB")
    if layout.photometric in (_YCBCR, _LAB, _ICC_LAB) and (layout.bits not in (8, 16) or layout.form not in (1, 2, 4)):
        raise Refusal(f"has YCbCr or Lab pixels of {layout.kind} values, expected 8 or 16 bits")
    if layout.photometric == _YCBCR and (layout.bits != 8 or layout.samples != 3):
        raise Refusal(f"has YCbCr pixels of {layout.samples} channels of {layout.bits} bits, expected 3 of 8")
    if layout.photometric == _PALETTE and layout.bits > 16:
        raise Refusal(f"has a palette of {layout.bits} bits, expected 16 at most")
    if layout.photometric == _PALETTE and layout.form == 2:
        raise Refusal("has a palette with signed indices, expected unsigned ones")
    if layout.photometric == _CMYK and main.number(332, 1) != 1:
        raise Refusal("has inks that are not cyan, magenta, yellow and black")
    if main.number(32997, 1) > 1:
        raise Refusal("is a volume, expected one image")
    if layout.compression not in (1, *_DEFLATE, _LZMA, _LZW, _PACKBITS, _WEBP, *_BY_IMAGECODECS):
        raise Refusal(
            f"has {layout.kind} values compressed by {compression_name(layout)}; save it with Deflate, LZW or without"
        )
    if layout.compression == _WEBP and (layout.bits != 8 or layout.samples not in (3, 4) or layout.planar):
        raise Refusal(f"has {layout.samples} channels of {layout.kind} values compressed by WebP, expected RGB of 8")
    if layout.compression == _JPEG and layout.photometric not in (0, 1, 2):
        raise Refusal(f"has {layout.kind} YCbCr or CMYK values compressed by JPEG, expected grey or RGB")
    packed = layout.predictor == 2 and layout.bits not in (8, 16, 32, 64)
    if layout.predictor not in (1, 2, 3) or (layout.predictor == 3) > floats or (packed and layout.compression != 1):
        raise Refusal(f"has {layout.kind} values with the predictor {layout.predictor}, which are incompatible")
    return colors


def _samples(read: _tiff.Reader, main: _tiff.Directory, layout: Layout, channels: int) -> NumpyArray:
    """Returns the first channels [H, W, channels], scaled to the type of the result."""
    width, height = layout.width, layout.height
    offsets, counts, (_, down, across, seg_h) = segments(main, width, height)
    tiled = _TILE_WIDTH in main.where
    seg_w = main.number(_TILE_WIDTH, 0) if tiled else width
    floats = layout.form == 3
    out = np.empty((height, width, channels), f"f{layout.bits // 8}" if floats else "u1" if layout.bits <= 8 else "u2")
    decompress = _decompressor(main, layout)
    for i, (offset, count) in enumerate(zip(offsets, counts)):
        plane, y, x = i // (down * across), i // across % down * seg_h, i % across * seg_w
        if plane >= channels:
            break
        rows = seg_h if tiled else min(seg_h, height - y)
        h, v = layout.subsampled if layout.photometric == _YCBCR and (not layout.planar or plane) else (1, 1)
        if not layout.planar and (h, v) != (1, 1):
            shape = (-(-rows // v), -(-seg_w // h), h * v + 2)  # a block of luma, then its two chroma values
        else:
            shape = (-(-rows // v), -(-seg_w // h), 1 if layout.planar else layout.samples)
        row = (shape[1] * shape[2] * layout.bits + 7) // 8
        segment = decompress(read(int(offset), min(int(count), 2 * shape[0] * row + 4096)), shape)
        if isinstance(segment, bytes):
            if len(segment) < shape[0] * row:
                raise _tiff.TiffError(f"it ends {shape[0] * row - len(segment)} bytes too early, or a segment does")
            segment = _values(segment[: shape[0] * row], shape, layout, main.order)
        if (h, v) != (1, 1):
            segment = _full_size(segment, h, v, layout.planar)
        rows, columns = min(rows, height - y), min(seg_w, width - x)
        first = plane if layout.planar else 0
        part = segment[:rows, :columns, : 1 if layout.planar else channels]
        target = out[y : y + rows, x : x + columns, first : first + part.shape[2]]
        if layout.photometric == _PALETTE and first == 0:
            target[..., 0] = part[..., 0]  # an index, which is not scaled
            part, target = part[..., 1:], target[..., 1:]
        if part.size:
            _scaled(part, target, layout)
    return out


def _decompressor(main: _tiff.Directory, layout: Layout) -> Callable[[bytes, tuple[int, int, int]], Any]:
    """Returns the function that decodes a segment to bytes, or to an array of the segment's shape."""
    if layout.compression in _BY_IMAGECODECS:
        try:
            import imagecodecs
        except ImportError:
            raise Refusal(
                f"has {layout.kind} values compressed by {compression_name(layout)}, which imagecodecs decodes: "
                f"{_install.hint('io')}; or save it with Deflate or without"
            ) from None
        function = getattr(imagecodecs, _BY_IMAGECODECS[layout.compression])
        tables = main.entry(347, 1 << 20)

    def undo(data: bytes, shape: tuple[int, int, int]) -> Any:
        if layout.reversed:
            data = data.translate(_REVERSED)
        size = shape[0] * ((shape[1] * shape[2] * layout.bits + 7) // 8)
        try:
            if layout.compression == 1:
                return data
            if layout.compression in _DEFLATE:
                return zlib.decompressobj().decompress(data, size)
            if layout.compression == _LZMA:
                return lzma.LZMADecompressor(lzma.FORMAT_XZ, 1 << 28).decompress(data, size)
            if layout.compression == _WEBP:
                return _of_webp(data, shape)
            if layout.compression in (_LZW, _PACKBITS):
                return _of_libtiff(data, shape[0], size // shape[0], layout.compression)
            if layout.compression == _JPEG:
                _check_jpeg(data, shape, layout.bits)
                pixels = function(data, bitspersample=layout.bits, tables=tables.data if tables else None)
                return np.asarray(pixels).reshape(shape)
            return bytes(function(data, out=size + 4096))  # some writers pad segments
        except (zlib.error, lzma.LZMAError, OSError, RuntimeError, ValueError, TypeError) as error:
            raise _tiff.TiffError(f"a segment cannot be decompressed ({error})") from None

    return undo


def _of_libtiff(data: bytes, rows: int, row: int, compression: int) -> bytes:
    """Decompresses a segment of `rows` x `row` bytes by libtiff in Pillow: the strip of an 8-bit grey file."""
    from PIL.TiffImagePlugin import TiffImageFile

    fields = {256: row, 257: rows, 258: 8, 259: compression, 262: 1, _STRIP_OFFSETS: 8, 278: rows, 279: len(data)}
    directory = _tiff.build([_tiff.long(tag, value) for tag, value in fields.items()], {}, 8 + len(data))
    file = struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory
    return TiffImageFile(io.BytesIO(file)).tobytes()


def _of_webp(data: bytes, shape: tuple[int, int, int]) -> NumpyArray:
    """Decodes a WebP image of exactly that shape, which is checked in its header before decoding."""
    from PIL import features

    if not features.check("webp"):
        raise Refusal("has pixels compressed by WebP, which this build of Pillow does not decode")
    from PIL.WebPImagePlugin import WebPImageFile

    size = _webp.size_of(data[:30])
    if size != (shape[1], shape[0]):
        raise _tiff.TiffError(f"a WebP segment has {size[0]} x {size[1]} pixels, expected {shape[1]} x {shape[0]}")
    return np.asarray(WebPImageFile(io.BytesIO(data)).convert("RGB" if shape[2] == 3 else "RGBA"))


def _check_jpeg(data: bytes, shape: tuple[int, int, int], bits: int) -> None:
    """Checks that a JPEG has the size of its segment, before decoding."""
    frame = next((body for kind, body, _ in _jpeg.segments(data) if kind in _jpeg.FRAMES), b"")
    if len(frame) < 6 or struct.unpack_from(">BHHB", frame) != (bits, *shape):
        raise _tiff.TiffError("the size of a JPEG segment differs from that in the file")


def segments(
    main: _tiff.Directory, width: int, height: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, int, int, int]]:
    """Returns offsets and byte counts of the strips or tiles, and numbers: planes, down, across, and rows of each."""
    samples, bits = main.number(277, 1), main.number(258, 1)
    planes = samples if main.number(284, 1) == 2 else 1
    tiled = _TILE_WIDTH in main.where
    if tiled:
        seg_h, seg_w = main.number(323, 0), main.number(_TILE_WIDTH, 0)
        if not (0 < seg_h <= height + 4096 and 0 < seg_w <= width + 4096):
            raise _tiff.TiffError(f"its tiles have {seg_w} x {seg_h} pixels")
    else:
        seg_h, seg_w = min(main.number(278, height), height), width
        if seg_h < 1:
            raise _tiff.TiffError("its strips have no rows")
    down, across = -(-height // seg_h), -(-width // seg_w)
    number = planes * down * across
    if number > _MAX_SMALL_SEGMENTS and seg_h * seg_w < _MIN_SEGMENT_PIXELS:
        raise _tiff.TiffError(f"it has {number} strips or tiles of {seg_w} x {seg_h} pixels")
    strips = not tiled or _TILE_OFFSETS not in main.where  # early writers list tiles as strips
    offsets = main.numbers(_STRIP_OFFSETS if strips else _TILE_OFFSETS, _MAX_LIST)
    counts = main.numbers(279 if strips else 325, _MAX_LIST)
    if len(offsets) < number or len(counts) < number:
        raise _tiff.TiffError(f"it lists {min(len(offsets), len(counts))} of its {number} strips or tiles")
    offsets, counts = offsets[:number], counts[:number]
    if min(offsets) < 8 or min(counts) < 1:
        raise _tiff.TiffError("strips or tiles are missing")
    ratio = _RATIOS.get(main.number(259, 1))
    row_bits = width * bits * (samples if planes == 1 else 1)
    least = planes * height * ((row_bits + 7) // 8)
    if main.number(262, 1) == _YCBCR:
        least = height * ((width * bits + 7) // 8)  # colour may be subsampled, luma has every pixel
    if ratio and sum(counts) * ratio < least:
        raise _tiff.TiffError(f"its header claims {width} x {height} pixels, which its bytes cannot encode")
    return offsets, counts, (planes, down, across, seg_h)


def _values(data: bytes, shape: tuple[int, int, int], layout: Layout, order: str) -> NumpyArray:
    """Returns the values of a segment, in the smallest sufficient type, the predictor undone."""
    rows, columns, depth = shape
    size = layout.bits // 8
    if layout.predictor == 3:  # the bytes of a row, most significant ones first, as differences
        planes = np.frombuffer(data, np.uint8).reshape(rows, columns * size, depth)
        planes = np.add.accumulate(planes, axis=1, dtype=np.uint8).reshape(rows, size, columns * depth)
        return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(f">f{size}").reshape(shape)
    if layout.bits in (8, 16, 32, 64):
        values = np.frombuffer(data, np.dtype(f"u{size}").newbyteorder("<" if order == "<" else ">")).reshape(shape)
    else:
        values = _unpacked(data, rows, columns * depth, layout.bits).reshape(shape)
    if layout.predictor == 2:
        native = values.dtype.newbyteorder("=")
        values = np.add.accumulate(values.astype(native), axis=1, dtype=native)
        if layout.bits not in (8, 16, 32, 64):
            values &= native.type((1 << layout.bits) - 1)
    if layout.form in (2, 3):
        values = values.view(values.dtype.str.replace("u", "i" if layout.form == 2 else "f"))
    return values


def _unpacked(data: bytes, rows: int, number: int, bits: int) -> NumpyArray:
    """Returns [rows, number] of values of this many bits, whose rows begin at a byte, the highest bit first."""
    out = np.empty((rows, number), np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)
    packed = np.frombuffer(data, np.uint8).reshape(rows, -1)
    step = max(1, _UNPACKED // number)
    for y in range(0, rows, step):
        each = np.unpackbits(packed[y : y + step], axis=1, count=number * bits).reshape(-1, number, bits)
        part = np.zeros(each.shape[:2], out.dtype)
        for bit in range(bits):
            part <<= part.dtype.type(1)
            part |= each[..., bit]
        out[y : y + step] = part
    return out


def _full_size(segment: NumpyArray, h: int, v: int, planar: bool) -> NumpyArray:
    """Returns values of subsampled colour [rows, columns, 3 or 1] at the size of luma, each repeated."""
    if planar:
        return np.repeat(np.repeat(segment, v, 0), h, 1)
    down, across = segment.shape[:2]
    luma = segment[..., : h * v].reshape(down, across, v, h).transpose(0, 2, 1, 3).reshape(down * v, across * h, 1)
    return np.concatenate((luma, np.repeat(np.repeat(segment[..., h * v :], v, 0), h, 1)), 2)


def _scaled(part: NumpyArray, out: NumpyArray, layout: Layout) -> None:
    """Writes the values of a segment in the range of the result's type.

    Signed integers of 32 bits and more are values of 16 bits, as written by programs without an intermediate type.
    """
    lab = layout.photometric in (_LAB, _ICC_LAB)
    if layout.form == 3:
        out[...] = part
        return
    if layout.form == 2 and not lab:
        least, most = int(part.min()), int(part.max())
        limit = 65535 if layout.bits >= 32 else (1 << layout.bits - 1) - 1
        if least < 0 or most > limit:
            raise Refusal(f"has {layout.kind} values from {least} to {most}, expected 0 to {limit}")
        if layout.bits >= 32:
            out[...] = part
            return
        bits = layout.bits - 1
    else:
        bits = layout.bits
    if bits == 8 * out.itemsize or lab:
        out[...] = part if part.dtype.kind == "u" else part.view(part.dtype.str.replace("i", "u"))
        return
    work = part.astype(np.uint64)
    if bits > 32:
        work >>= np.uint64(bits - 32)
        bits = 32
    largest, half = np.uint64(np.iinfo(out.dtype).max), np.uint64((1 << bits) - 1)
    work *= largest
    work += half >> np.uint64(1)
    work //= half
    out[...] = work


def _from_palette(indices: NumpyArray, main: _tiff.Directory, bits: int) -> NumpyArray:
    """Returns the colours of a palette: uint8 for one of up to 256 colours, else uint16."""
    colors = np.array(main.numbers(320, 1 << 19), np.uint16)
    if len(colors) != 3 << bits:
        raise _tiff.TiffError(f"its palette has {len(colors)} values, expected {3 << bits}")
    colors = colors.reshape(3, -1).T
    if bits <= 8:
        colors = (colors >> 8).astype(np.uint8)  # as Pillow reads the palettes that it supports
    return np.concatenate((colors[indices[..., 0]], indices[..., 1:].astype(colors.dtype)), 2)


def _from_ycbcr(out: NumpyArray, main: _tiff.Directory) -> None:
    """Converts 8-bit YCbCr to RGB, by section 21 of TIFF 6.0."""
    weights, range_ = main.numbers(529, 64), main.numbers(532, 64)
    if len(weights) != 3 or not all(0 < weight < 1 for weight in weights):
        weights = LUMA
    if len(range_) != 6 or not all(range_[i] < range_[i + 1] <= 255 for i in (0, 2, 4)):
        range_ = (0, 255, 128, 255, 128, 255)
    red, green, blue = weights

    def strip(rows: slice) -> None:
        part = out[rows].astype(np.float32)
        y = (part[..., 0] - range_[0]) * (255 / (range_[1] - range_[0]))
        cb, cr = ((part[..., i] - range_[2 * i]) * (127 / (range_[2 * i + 1] - range_[2 * i])) for i in (1, 2))
        r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
        rgb = np.stack((r, (y - blue * b - red * r) / green, b), -1)
        out[rows] = np.rint(np.clip(rgb, 0, 255))

    _strips(out.shape[0], out.shape[1] * 3, strip)


def unpremultiply(out: NumpyArray) -> None:
    largest = float(np.iinfo(out.dtype).max) if out.dtype.kind == "u" else 1.0

    def strip(rows: slice) -> None:
        part = out[rows].astype(np.float64)
        alpha = part[..., -1:] / largest
        with np.errstate(divide="ignore", invalid="ignore"):
            color = np.where(alpha > 0, part[..., :-1] / alpha, part[..., :-1])
        out[rows][..., :-1] = np.rint(np.clip(color, 0, largest)) if out.dtype.kind == "u" else color

    _strips(out.shape[0], out.shape[1] * out.shape[2], strip)
