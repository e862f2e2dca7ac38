"""The chunks of a PNG file: checked, taken apart and put in.

Portable Network Graphics (Third Edition), W3C 2025. Decoders get the chunks that make the pixels and
nothing else, so what an ancillary chunk claims costs nothing.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
#: Deflate makes at most 1032 bytes of one.
_DEFLATE = 1032
_MAX_METADATA = 1 << 25
_XMP = b"XML:com.adobe.xmp"


class PngError(ValueError):
    """The bytes are no PNG file, or a damaged one."""


@dataclass
class Png:
    """What a PNG file holds, its pixels still compressed."""

    width: int
    height: int
    depth: int
    color: int
    interlaced: bool
    pixels: bytes = b""
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    animated: bool = False


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(head: bytes) -> Png:
    """What the first 33 bytes say."""
    if len(head) < 33 or head[:8] != SIGNATURE or head[8:16] != b"\0\0\0\rIHDR":
        raise PngError("it has no PNG header")
    width, height, depth, color, compression, filters, interlace = struct.unpack(">IIBBBBB", head[16:29])
    if zlib.crc32(head[12:29]) != struct.unpack(">I", head[29:33])[0]:
        raise PngError("the checksum of its header is wrong")
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31) or depth not in _DEPTHS.get(color, ()):
        raise PngError("its header holds impossible values")
    if compression or filters or interlace > 1:
        raise PngError("its header names unknown methods")
    return Png(width, height, depth, color, interlace == 1)


def parse(data: bytes) -> Png:
    """The file taken apart: every chunk that makes pixels is there and whole."""
    png = header(data[:33])
    view = memoryview(data)
    critical: list[memoryview] = [view[:33]]
    at, packed, ended = 33, 0, False
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise PngError(f"it ends in the middle of a chunk, {end - len(data)} bytes too early")
        body = view[at + 8 : end - 4]
        is_critical = not kind[0] & 0x20 or kind == b"tRNS"
        if is_critical:
            if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
                raise PngError(f"the checksum of its {kind.decode('latin-1')!r} chunk is wrong")
            if kind not in (b"PLTE", b"IDAT", b"IEND", b"tRNS"):
                raise PngError(f"it has an unknown critical chunk {kind.decode('latin-1')!r}")
            critical.append(view[at:end])
            packed += size if kind == b"IDAT" else 0
        elif size <= _MAX_METADATA:
            _ancillary(png, kind, bytes(body))
        at = end
        if kind == b"IEND":
            ended = True
            break
    if not ended:
        raise PngError("it ends before its last chunk")
    row = (png.width * png.depth * _CHANNELS[png.color] + 7) // 8
    if not packed or packed * _DEFLATE < png.height * row:
        raise PngError(f"its header claims {png.width} x {png.height} pixels, which {packed} bytes cannot hold")
    png.pixels = b"".join(critical)
    return png


def _ancillary(png: Png, kind: bytes, body: bytes) -> None:
    if kind == b"iCCP":
        _, _, packed = body.partition(b"\0")
        png.profile = _inflate(packed[1:])
    elif kind == b"eXIf":
        png.exif = body
    elif kind == b"iTXt" and body.startswith(_XMP + b"\0"):
        compressed, rest = body[len(_XMP) + 1 : len(_XMP) + 2], body[len(_XMP) + 3 :]
        text = rest.partition(b"\0")[2].partition(b"\0")[2]
        png.xmp = _inflate(text) if compressed == b"\1" else text
    elif kind == b"pHYs" and len(body) == 9:
        x, y, unit = struct.unpack(">IIB", body)
        if unit == 1 and x and y:
            png.dpi = (x * 0.0254, y * 0.0254)
    elif kind == b"acTL" and len(body) == 8:
        png.animated = struct.unpack_from(">I", body)[0] > 1


def transparent_grey(png: Png) -> int | None:
    """The grey value that a tRNS chunk makes transparent."""
    at = png.pixels.find(b"tRNS", 33, png.pixels.find(b"IDAT", 33))
    if png.color != 0 or at < 0 or png.pixels[at - 4 : at] != b"\0\0\0\2":
        return None
    return int(struct.unpack_from(">H", png.pixels, at + 4)[0])


def _inflate(packed: bytes) -> bytes | None:
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(packed, _MAX_METADATA)
    except zlib.error:
        return None
    return data if inflate.eof else None


def with_metadata(
    data: bytes | memoryview,
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> list[bytes | memoryview]:
    """An encoded PNG with chunks put in behind its header, in pieces."""
    extra = []
    if profile is not None:
        extra.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)))
    if dpi is not None:
        extra.append(chunk(b"pHYs", struct.pack(">IIB", *(min(round(x / 0.0254), 0x7FFFFFFF) for x in dpi), 1)))
    if exif is not None:
        extra.append(chunk(b"eXIf", exif[6:] if exif.startswith(b"Exif\0\0") else exif))
    if xmp is not None:
        extra.append(chunk(b"iTXt", _XMP + b"\0\0\0\0\0" + xmp))
    return [data[:33], *extra, memoryview(data)[33:]]
