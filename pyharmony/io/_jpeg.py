"""JPEG by imagecodecs, where it is installed: libjpeg-turbo as in Pillow, without Pillow's copies of the pixels.

The pixels of an image, and the bytes of a file, are equal to Pillow's. Files of other kinds than the usual one, and
those that could be damaged in a way that Pillow reports, are left to Pillow.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._arrays import NumpyArray

#: The quality that keeps what is unchanged of a file, by `_original`.
ORIGINAL = "original"
#: The segments before the scan of a usual file: quantisation tables, restart interval, metadata and comments.
_OTHER_SEGMENTS = (0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
_HUFFMAN_TABLES, _SCAN, _END_OF_IMAGE = 0xC4, 0xDA, b"\xff\xd9"
_SEQUENTIAL = (0xC0, 0xC1)  # the frames of sequential files by Huffman codes
#: The markers of all frames.
FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
#: The first marker in or after the pixels of a scan; a fill byte counts as one.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
#: The largest number of rows or columns that libjpeg accepts; that in imagecodecs is changed.
_MAX_SIDE = 65500


@functools.cache
def _codec() -> Any:
    """Returns imagecodecs, or None if it, or libjpeg-turbo in Pillow, is missing."""
    from PIL import _imaging

    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs if imagecodecs.JPEG8.available and _imaging.HAVE_LIBJPEGTURBO else None


def decode(image: Any, stream: Any) -> NumpyArray | None:
    """Returns the pixels [H, W, C] of a JPEG of one scan, or None if Pillow has to decode it.

    image: Pillow's image, whose pixels are not decoded yet. stream: the file.
    """
    codec = _codec()
    if codec is None or image.mode not in ("L", "RGB") or max(image.size) > _MAX_SIDE:
        return None
    stream.seek(0)
    data = stream.read()
    # Decoders stop at the first marker after the pixels. If that is the end of the image, the file is complete, and
    # what a decoder does at the end of a truncated file, an error in Pillow and grey in imagecodecs, does not matter.
    at = _pixels_at(data)
    end = None if at is None else _MARKER.search(data, at)
    if end is None or end[0] != _END_OF_IMAGE:
        return None
    try:
        pixels: NumpyArray = codec.jpeg8_decode(data)
    except (codec.Jpeg8Error, ValueError):  # Pillow's error has its own words
        return None
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    whole = (*image.size[::-1], len(image.mode))
    return pixels if pixels.shape == whole and pixels.dtype == np.uint8 else None


def segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yields the kinds, contents and ends of the segments of a JPEG, to its first scan, or to what is none."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield kind, data[at + 4 : end], end
        if kind == _SCAN:
            return
        at = end


def huffman_tables(data: bytes) -> Iterator[bytes]:
    """Yields the Huffman tables before the first scan of a JPEG, each with its class and its place."""
    for kind, body, _ in segments(data):
        while kind == _HUFFMAN_TABLES and len(body) > 16:
            size = 17 + sum(body[1:17])
            yield body[:size]
            body = body[size:]


def _pixels_at(data: bytes) -> int | None:
    """Returns where the pixels of a usual file begin, which has one scan and valid tables; None: it is another."""
    components = 0
    for kind, body, end in segments(data):
        if kind == _SCAN:
            return end if body and body[0] == components else None
        if kind in _SEQUENTIAL and not components and len(body) > 6:
            components = body[5]
        elif kind not in _OTHER_SEGMENTS and not (kind == _HUFFMAN_TABLES and _are_valid(body)):
            return None
    return None


def _are_valid(tables: bytes) -> bool:
    """Returns whether Huffman tables are valid; imagecodecs also accepts some that are not."""
    at = 0
    while at < len(tables):
        counts = tables[at + 1 : at + 17]
        symbols = tables[at + 17 : at + 17 + sum(counts)]
        code = 0
        for length, count in enumerate(counts, 1):
            code = 2 * code + count
            if count and code >= 1 << length:  # no code has only ones
                return False
        if tables[at] < 16 and max(symbols, default=0) > 15:  # lengths of differences of DC
            return False
        at += 17 + len(symbols)
    return at == len(tables)


def encode(pixels: NumpyArray, quality: int, options: dict[str, Any]) -> list[Any] | None:
    """Returns the bytes of a file, in pieces, for pixels [H, W, C] in full colour resolution; None: Pillow has to.

    options: the arguments of Pillow's encoder, which writes what comes before the pixels.
    """
    codec = _codec()
    if codec is None or max(pixels.shape) > _MAX_SIDE:
        return None
    metadata = head(pixels.shape[2], options)
    # A contiguous array may have other strides than the usual ones in dimensions of one element.
    usual = np.frombuffer(np.ascontiguousarray(pixels), np.uint8).reshape(pixels.shape)
    try:
        body = codec.jpeg8_encode(usual, quality, subsampling="444")
    except codec.Jpeg8Error:
        return None
    return [metadata, memoryview(body)[tables_at(body) :]]


def head(channels: int, options: dict[str, Any]) -> bytes:
    """Returns what Pillow's encoder writes before the tables of a JPEG: its metadata."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L" if channels == 1 else "RGB", (1, 1)).save(stream, "JPEG", **options)
    return stream.getvalue()[: tables_at(stream.getvalue())]


def tables_at(data: bytes) -> int:
    """Returns the position of the first table of a JPEG, behind its metadata."""
    at = 2
    while data[at + 1] != 0xDB:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
