"""The chunks of a PNG file: checks, parses and inserts them.

Source: Portable Network Graphics (Third Edition), W3C 2025. Decoders get only the chunks of the pixels, so that forged
ancillary chunks cost nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from .._arrays import NumpyArray
from . import _color_tags
from ._description import MAX_TEXT
from ._picture import Refusal
from ._profiles import in_threads

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
#: The largest ratio of inflated to deflated bytes.
_DEFLATE = 1032
_MAX_METADATA = 1 << 25
_MAX_TEXTS = 1024
_XMP = b"XML:com.adobe.xmp"
_COLORS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")


class PngError(ValueError):
    """An error for bytes that are not a PNG file, or a damaged one."""


@dataclass
class Png:
    """The contents of a PNG file, its pixels still compressed."""

    width: int
    height: int
    depth: int
    color: int
    pixels: bytes = b""
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    animated: bool = False
    credentials: bool = False
    text: list[tuple[str, str]] = field(default_factory=list)
    texts_left: int = 0
    """The number of texts that are not kept, because they are too large together."""
    colors: dict[bytes, bytes] = field(default_factory=dict)
    """The chunks that specify colours other than by a profile."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(head: bytes) -> Png:
    """Reads the header from the first 33 bytes."""
    if len(head) < 33 or head[:8] != SIGNATURE or head[8:16] != b"\0\0\0\rIHDR":
        raise PngError("it has no PNG header")
    width, height, depth, color, compression, filters, interlace = struct.unpack(">IIBBBBB", head[16:29])
    if zlib.crc32(head[12:29]) != struct.unpack(">I", head[29:33])[0]:
        raise PngError("the checksum of its header is wrong")
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31) or depth not in _DEPTHS.get(color, ()):
        raise PngError("its header has invalid values")
    if compression or filters or interlace > 1:
        raise PngError("its header names unknown methods")
    return Png(width, height, depth, color)


def parse(data: bytes) -> Png:
    """Parses the file, and checks that every chunk of the pixels is present and complete."""
    png = header(data[:33])
    view = memoryview(data)
    critical: list[memoryview] = [view[:33]]
    at, packed, is_complete = 33, 0, False
    kinds: set[bytes] = set()
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
        elif kind in _COLORS:
            if size <= 32 and zlib.crc32(view[at + 4 : end - 4]) == struct.unpack_from(">I", data, end - 4)[0]:
                png.colors.setdefault(kind, bytes(body))
        elif size <= _MAX_METADATA:
            _ancillary(png, kind, bytes(body), kinds)
        at = end
        if kind == b"IEND":
            is_complete = True
            break
    if not is_complete:
        raise PngError("it ends before its last chunk")
    row = (png.width * png.depth * _CHANNELS[png.color] + 7) // 8
    if not packed or packed * _DEFLATE < png.height * row:
        raise PngError(f"its header claims {png.width} x {png.height} pixels, which {packed} bytes cannot encode")
    png.pixels = b"".join(critical)
    return png


def _ancillary(png: Png, kind: bytes, body: bytes, kinds: set[bytes]) -> None:
    """Reads a chunk; only the first of a kind counts, so that the inflated size does not grow with their number."""
    is_xmp = kind == b"iTXt" and body.startswith(_XMP + b"\0")
    if kind in (b"tEXt", b"zTXt", b"iTXt") and not is_xmp:
        _text(png, kind, body)
    if kind in (b"iCCP", b"eXIf") or is_xmp:
        if kind in kinds:
            return
        kinds.add(kind)
    if kind == b"iCCP":
        _, _, packed = body.partition(b"\0")
        png.profile = _inflate(packed[1:])
    elif kind == b"eXIf":
        png.exif = body
    elif is_xmp:
        png.xmp = _international(body, _MAX_METADATA)
    elif kind == b"pHYs" and len(body) == 9:
        x, y, unit = struct.unpack(">IIB", body)
        if unit == 1 and x and y:
            png.dpi = (x * 0.0254, y * 0.0254)
    elif kind == b"caBX":
        png.credentials = True
    elif kind == b"acTL" and len(body) == 8:
        png.animated = struct.unpack_from(">I", body)[0] > 1


def _international(body: bytes, most: int) -> bytes | None:
    """Returns the text of an iTXt chunk."""
    _, _, rest = body.partition(b"\0")
    text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _inflate(text, most) if rest[:1] == b"\1" else text


def _text(png: Png, kind: bytes, body: bytes) -> None:
    """Reads a text; all together are limited, so that their inflated size is."""
    key, _, rest = body.partition(b"\0")
    left = MAX_TEXT - sum(len(value) for _, value in png.text)
    data = _international(body, left) if kind == b"iTXt" else _inflate(rest[1:], left) if kind == b"zTXt" else rest
    if data is None or len(data) > left or not 0 < len(key) < 80 or len(png.text) >= _MAX_TEXTS:
        png.texts_left += 1
        return
    keyword = key.decode("latin-1")
    if keyword in ("Raw profile type exif", "Raw profile type APP1") and png.exif is None:
        try:
            raw = bytes.fromhex(data.decode("latin-1").split(maxsplit=2)[2])
        except (ValueError, IndexError):
            return
        png.exif = raw if raw.startswith(b"Exif\0\0") else None
        return
    png.text.append((keyword, data.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")))


def text_chunk(key: str, value: str) -> bytes:
    """Returns a chunk with a text: tEXt if Latin-1 has its characters, zTXt if it is long, else iTXt."""
    try:
        name, data = key.encode("latin-1"), value.encode("latin-1")
    except UnicodeEncodeError:
        return chunk(b"iTXt", key.encode("latin-1", "replace") + b"\0\0\0\0\0" + value.encode())
    return (
        chunk(b"zTXt", name + b"\0\0" + zlib.compress(data))
        if len(data) > 1024
        else chunk(b"tEXt", name + b"\0" + data)
    )


def colors_of(png: Png) -> tuple[bytes | None, _color_tags.Colors | None]:
    """Returns the profile or the colours of a file: from cICP, iCCP, sRGB, and gAMA with cHRM, the first counts (4.3).

    Refusal: it is an HDR image, or its pixels have the narrow range of video, from 16 to 235 at 8 bit.
    UnknownColors: the chunk that counts has invalid numbers.
    """
    cicp = png.colors.get(b"cICP", b"")
    if len(cicp) == 4 and not cicp[2]:
        try:
            colors = _color_tags.of_code_points(cicp[0], cicp[1], in_png=True)
        except _color_tags.UnknownColors:
            # Another chunk may specify the colours in a known way.
            if png.profile is None and not png.colors.keys() & {b"sRGB", b"gAMA", b"cHRM"}:
                raise
            colors = None
        if colors is not None:
            if not cicp[3]:
                raise Refusal("has pixels of the narrow range of video, expected the full one")
            return None, colors
    if png.profile is not None:
        return png.profile, None
    if b"sRGB" in png.colors:
        return None, _color_tags.SRGB
    gamma, points = png.colors.get(b"gAMA", b""), png.colors.get(b"cHRM", b"")
    numbers = [value / 100_000 for value in struct.unpack(">8I", points)] if len(points) == 32 else []
    flat = [(numbers[i], numbers[i + 1]) for i in (2, 4, 6, 0)] if numbers else None
    return None, _color_tags.of_gamma(
        struct.unpack(">I", gamma)[0] / 100_000 if len(gamma) == 4 else None, None if flat is None else tuple(flat)
    )


def transparent_grey(png: Png) -> int | None:
    """Returns the grey value that a tRNS chunk makes transparent."""
    at = png.pixels.find(b"tRNS", 33, png.pixels.find(b"IDAT", 33))
    if png.color != 0 or at < 0 or png.pixels[at - 4 : at] != b"\0\0\0\2":
        return None
    return int(struct.unpack_from(">H", png.pixels, at + 4)[0])


def _inflate(packed: bytes, most: int = _MAX_METADATA) -> bytes | None:
    """Inflates data; returns None if it is damaged or too large, of which no more than a part is stored."""
    measure, left, size = zlib.decompressobj(), packed, 0
    try:
        while not measure.eof:
            part = measure.decompress(left, 1 << 16)
            left, size = measure.unconsumed_tail, size + len(part)
            if size > most or not (part or measure.eof):
                return None
        return zlib.decompressobj().decompress(packed)
    except zlib.error:
        return None


def metadata(
    profile: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
    texts: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Returns the chunks with the metadata, to be placed after the header."""
    extra = []
    if profile is not None and profile in (_color_tags.profile(_color_tags.SRGB, grey) for grey in (False, True)):
        extra.append(chunk(b"sRGB", b"\0"))
    elif profile is not None:
        extra.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)))
    if dpi is not None:
        extra.append(chunk(b"pHYs", struct.pack(">IIB", *(min(round(x / 0.0254), 0x7FFFFFFF) for x in dpi), 1)))
    if exif is not None:
        extra.append(chunk(b"eXIf", exif[6:] if exif.startswith(b"Exif\0\0") else exif))
    if xmp is not None:
        extra.append(chunk(b"iTXt", _XMP + b"\0\0\0\0\0" + xmp))
    return [*extra, *(text_chunk(*text) for text in texts)]


#: The number of bytes of pixels in a block, which is compressed separately, so that threads share the work.
_BLOCK = 1 << 20
_ADLER = 65521


def encode(pixels: NumpyArray, level: int, extra: list[bytes]) -> list[bytes]:
    """Encodes uint8 or uint16 pixels [H, W, C], C = 1, 3 or 4, as a PNG file in pieces.

    Each row gets the filter Sub, Up or Average whose result is smallest (section 12.7 of the standard);
    blocks of rows are deflated separately and joined into one stream.
    """
    height, width, channels = pixels.shape
    depth, color = pixels.itemsize * 8, {1: 0, 3: 2, 4: 6}[channels]
    if max(height, width) >= 1 << 31:
        raise PngError(f"a side of {max(height, width)} pixels is too long")
    rows = max(1, _BLOCK // (width * channels * pixels.itemsize))

    def block(y: int) -> tuple[bytes, int, int]:
        first = max(y - 1, 0)
        part = np.ascontiguousarray(pixels[first : y + rows], dtype=">u2" if depth == 16 else np.uint8)
        part = part.reshape(len(part), -1).view(np.uint8)
        if y == 0:
            part = np.concatenate((np.zeros_like(part[:1]), part))
        filtered = _filtered(part, channels * depth // 8).data.cast("B")
        deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 9)
        data = deflate.compress(filtered)
        data += deflate.flush(zlib.Z_FINISH if y + rows >= height else zlib.Z_FULL_FLUSH)
        return data, zlib.adler32(filtered), len(filtered)

    blocks = in_threads(block, range(0, height, rows))
    out = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)), *extra]
    out.append(chunk(b"IDAT", b"\x78\x01"))
    low, high = 1, 0  # the two sums of Adler-32 (RFC 1950), combined block by block
    for data, adler, length in blocks:
        out.append(chunk(b"IDAT", data))
        high = (high + length * (low - 1) + (adler >> 16)) % _ADLER
        low = (low + (adler & 0xFFFF) - 1) % _ADLER
    return [*out, chunk(b"IDAT", struct.pack(">I", high << 16 | low)), chunk(b"IEND", b"")]


def _filtered(part: NumpyArray, step: int) -> NumpyArray:
    """Filters rows [1 + N, bytes], the first of which serves only the second: [N, 1 + bytes], filter types first."""
    row, above = part[1:], part[:-1]
    left = np.zeros_like(row)
    left[:, step:] = row[:, :-step]
    choices = [row - left, row - above, row - ((left & above) + ((left ^ above) >> 1))]
    # The filter is the one whose differences, taken as signed, have the smallest sum.
    costs = [np.abs(choice.view(np.int8)).view(np.uint8).sum(1, dtype=np.int64) for choice in choices]
    best = np.argmin(costs, axis=0)
    out = np.empty((row.shape[0], row.shape[1] + 1), np.uint8)
    out[:, 0] = best + 1
    for i, choice in enumerate(choices):
        rows = best == i
        out[rows, 1:] = choice[rows]
    return out
