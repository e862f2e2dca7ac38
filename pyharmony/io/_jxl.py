"""The header of a JPEG XL file, which has its size and colours, and its metadata; imagecodecs decodes the pixels.

Source: ISO/IEC 18181-1:2024, annexes A and D; 18181-2, section 9, for the boxes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _install
from .._arrays import IMAGE_DTYPES, NumpyArray
from . import _color_tags, _tiff_pixels
from ._picture import Refusal

_CODESTREAM = b"\xff\x0a"
_MAX_METADATA = 1 << 24
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_GREY, _ICC = 1, -1
_CUSTOM, _UNKNOWN_TRANSFER, _DCI = 2, 2, 17
#: The distributions of the U32 fields of the header: the offset and the number of bits of each of four.
_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_COUNT = ((0, 0), (1, 0), (2, 4), (1, 12))
_BITS = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_BITS = ((32, 0), (16, 0), (24, 0), (1, 6))
_SHIFT = ((0, 0), (3, 0), (4, 0), (1, 3))
_NAME = ((0, 0), (0, 4), (16, 5), (48, 10))
_COORDINATE = ((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
_TICKS = (
    ((100, 0), (1000, 0), (1, 10), (1, 30)),
    ((1, 0), (1001, 0), (1, 8), (1, 10)),
    ((0, 0), (0, 3), (0, 16), (0, 32)),
)
_PREVIEW_BLOCKS, _PREVIEW = ((16, 0), (32, 0), (1, 5), (33, 9)), ((1, 6), (65, 8), (321, 10), (1345, 12))
_CFA = ((1, 0), (0, 2), (3, 4), (19, 8))
_ALPHA, _SPOT, _CFA_CHANNEL = 0, 2, 6  # kinds of extra channels


class _Bits:
    """The bits of a header, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise Refusal("is damaged: it ends in its header")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return value

    def number(self, choices: tuple[tuple[int, int], ...]) -> int:
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)

    def size(self) -> tuple[int, int]:
        small = self.take(1)

        def side() -> int:
            return 8 * (self.take(5) + 1) if small else self.number(_SIDE)

        height, ratio = side(), self.take(3)
        if ratio:
            over, under = _RATIOS[ratio - 1]
            return height * over // under, height
        return side(), height

    def depth(self) -> int:
        """Returns the bits of a value."""
        if self.take(1):
            bits = self.number(_FLOAT_BITS)
            self.take(4)
            return bits
        return self.number(_BITS)

    def point(self) -> tuple[float, float]:
        values = [self.number(_COORDINATE) for _ in range(2)]
        x, y = (-(value // 2) - 1 if value & 1 else value // 2 for value in values)
        return x / 1e6, y / 1e6


@dataclass
class Header:
    """The header of a file.

    Attributes:
        width, height: the size, before the image is turned upright.
        bits: the number of bits of a value.
        lossy: whether the compression may have changed the pixels.
        premultiplied: whether the colours are multiplied by alpha.
        colors: the colours; None for sRGB.
        has_profile: whether the colours are those of an ICC profile, which imagecodecs does not return.
        animated: whether there are several frames.
    """

    width: int
    height: int
    bits: int = 8
    lossy: bool = True
    premultiplied: bool = False
    colors: _color_tags.Colors | None = None
    has_profile: bool = False
    animated: bool = False


def header(codestream: bytes) -> Header:
    """Reads the header of a codestream.

    Refusal: it is damaged, or an HDR image. UnknownColors: its colours are unusual.
    """
    if codestream[:2] != _CODESTREAM:
        raise Refusal("is damaged: it has no codestream")
    bits = _Bits(codestream[2:4096])
    head = Header(*bits.size())
    if bits.take(1):  # all the rest has its default
        return head
    if bits.take(1):
        bits.take(3)  # the orientation, which the decoder applies
        if bits.take(1):
            bits.size()
        if bits.take(1):
            _skip_preview(bits)
        if bits.take(1):
            head.animated = True
            for choices in _TICKS:
                bits.number(choices)
            bits.take(1)
    head.bits = bits.depth()
    bits.take(1)
    for _ in range(bits.number(_COUNT)):
        head.premultiplied |= _extra_channel(bits)
    head.lossy = bool(bits.take(1))  # XYB is the space of lossy compression
    _read_colors(bits, head)
    return head


def _skip_preview(bits: _Bits) -> None:
    choices = _PREVIEW_BLOCKS if bits.take(1) else _PREVIEW
    bits.number(choices)
    if not bits.take(3):
        bits.number(choices)


def _extra_channel(bits: _Bits) -> bool:
    """Reads the description of a channel beside the colours; returns whether it is a premultiplied alpha."""
    if bits.take(1):
        return False
    kind = bits.number(_ENUM)
    bits.depth()
    bits.number(_SHIFT)
    bits.take(8 * bits.number(_NAME))
    if kind == _SPOT:
        bits.take(64)
    elif kind == _CFA_CHANNEL:
        bits.number(_CFA)
    return kind == _ALPHA and bool(bits.take(1))


def _read_colors(bits: _Bits, head: Header) -> None:
    if bits.take(1):
        return
    if bits.take(1):
        head.has_profile = not head.lossy  # of a lossy image the decoder returns sRGB
        return
    grey = bits.number(_ENUM) == _GREY
    white = bits.number(_ENUM)
    white_point = bits.point() if white == _CUSTOM else {10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}.get(white)
    primaries, points = 1, None
    if not grey:
        primaries = bits.number(_ENUM)
        points = tuple(bits.point() for _ in range(3)) if primaries == _CUSTOM else None
    gamma = bits.take(24) / 1e7 if bits.take(1) else None
    transfer = 13 if gamma else bits.number(_ENUM)
    if primaries == 11 and white != 11:
        primaries = 12  # Display P3: P3 by the white of daylight
    colors = _color_tags.of_code_points(1 if points else primaries, 8 if transfer == _DCI else transfer)
    if colors is None or (colors == _color_tags.SRGB and not (points or white_point or gamma)):
        return
    curve = (0, 1 / gamma) if gamma else (0, 2.6) if transfer == _DCI else colors.curve
    triangle = (*(points or colors.primaries[:3]), white_point or colors.primaries[3])
    head.colors = _color_tags.Colors(
        triangle, curve, colors.name if triangle == colors.primaries and not gamma else "JPEG XL"
    )


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the kinds and contents of the boxes of a file; a bare codestream is one box."""
    if data[:2] == _CODESTREAM:
        yield b"jxlc", data
        return
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1 and start + 8 <= len(data):
            size, start = struct.unpack_from(">Q", data, start)[0], start + 8
        end = len(data) if size == 0 else at + size
        if end < start or end > len(data):
            raise Refusal("is damaged: it ends in the middle of a box")
        yield kind, data[start:end]
        at = end


def codec() -> Any:
    """Returns imagecodecs.

    Refusal: it is not installed, or was built without JPEG XL.
    """
    try:
        import imagecodecs

        if imagecodecs.JPEGXL.available:
            return imagecodecs
    except ImportError:
        pass
    raise Refusal(f"is a JPEG XL file, which is decoded by imagecodecs: {_install.hint('io')}")


def contents(data: bytes) -> tuple[bytes, bytes | None, bytes | None, bool]:
    """Returns the codestream up to its first part, EXIF, XMP, and whether it is a JPEG that was packed without loss."""
    codestream, packed = b"", False
    metadata: dict[bytes, bytes] = {}
    for kind, body in boxes(data):
        if kind == b"brob" and body[:4] in (b"Exif", b"xml "):
            kind, body = body[:4], _unpacked(body[4:])
        if kind in (b"jxlc", b"jxlp") and not codestream:
            codestream = body if kind == b"jxlc" else body[4:]
        elif kind in (b"Exif", b"xml ") and body:
            metadata.setdefault(kind, body)
        packed |= kind == b"jbrd"
    exif = metadata.get(b"Exif")
    if exif is not None:  # an offset to the header of TIFF is first
        exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    return codestream, exif, metadata.get(b"xml "), packed


def _unpacked(data: bytes) -> bytes:
    imagecodecs = codec()
    try:
        return bytes(imagecodecs.brotli_decode(data, out=_MAX_METADATA))
    except (imagecodecs.BrotliError, imagecodecs.DelayedImportError, ValueError):
        return b""


def decode(data: bytes, head: Header) -> NumpyArray:
    """Returns the pixels [H, W, C] of the first frame, upright, with alpha that is not premultiplied."""
    imagecodecs = codec()
    try:
        pixels: NumpyArray = imagecodecs.jpegxl_decode(data, index=0 if head.animated else None)
    except imagecodecs.JpegxlError as error:
        raise Refusal(f"is damaged: {error}") from None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or {*pixels.shape[:2]} != {head.width, head.height} or pixels.shape[2] > 4:
        raise Refusal(f"has pixels of an unusual shape, {list(pixels.shape)}")
    if pixels.dtype.name not in IMAGE_DTYPES:
        raise Refusal(f"has {pixels.dtype.name} pixels, expected {', '.join(IMAGE_DTYPES)}")
    if pixels.shape[2] == 2:
        pixels = np.concatenate((*[pixels[..., :1]] * 3, pixels[..., 1:]), axis=2)
    if pixels.dtype.kind == "u" and head.bits != 8 * pixels.itemsize:  # the ends of the range are black and white
        white = np.iinfo(pixels.dtype).max
        pixels = np.rint(pixels * (white / ((1 << head.bits) - 1))).clip(0, white).astype(pixels.dtype)
    if head.premultiplied and pixels.shape[2] == 4:
        _tiff_pixels.unpremultiply(pixels)
    return pixels
