"""Image files: by the package, by Pillow and by tifffile, and PNG that is laid out by hand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from pyharmony.io import Picture, write

#: The passes of an interlaced PNG: the first row and column, and the steps between rows and columns.
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def encoded(picture: Picture, format: str, **options: Any) -> bytes:
    """Returns the file that the package writes."""
    stream = io.BytesIO()
    write(picture, stream, format=format, **options)
    return stream.getvalue()


def by_pillow(image: Any, format: str = "PNG", **options: Any) -> bytes:
    """Returns the file that Pillow writes of its image, or of an array."""
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, format, **options)
    return stream.getvalue()


def by_tifffile(pixels: np.ndarray, **options: Any) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, depth: int, color: int, packed: bytes, *extra: bytes, interlace: int = 0) -> bytes:
    """Returns a PNG with this header, chunks before the pixels, and compressed pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def png(pixels: np.ndarray, *extra: bytes) -> bytes:
    """Returns a PNG of uint8 or uint16 pixels [H, W, 1 to 4] without a filter, with chunks before them."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels)
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png_of(width, height, 8 * pixels.itemsize, color, zlib.compress(rows), *extra)


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Returns a PNG file with a chunk behind its header."""
    return data[:33] + chunk(kind, body) + data[33:]
