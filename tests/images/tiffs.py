"""TIFF files of every layout, laid out by hand: nothing of the package, and no other program, is used."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

#: Fields: tag to (type, values).
Fields = dict[int, tuple[int, Sequence[int]]]
_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def packed(values: np.ndarray, bits: int, order: str) -> bytes:
    """Returns rows [rows, n] of integers of so many bits, each row filled up to a byte, the highest bit first."""
    if bits in (8, 16, 32, 64):
        return values.astype(f"{order}u{bits // 8}").tobytes()
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    each = (values.astype(np.uint64)[..., None] >> shifts & np.uint64(1)).astype(np.uint8)
    return np.packbits(each.reshape(len(values), -1), axis=1).tobytes()


def tiff(
    fields: Fields, segments: Sequence[bytes], order: str = "<", *, big: bool = False, tiled: bool = False
) -> bytes:
    """Returns a file of these fields and strips or tiles."""
    at = 16 if big else 8
    starts = []
    body = b""
    for segment in segments:
        starts.append(at + len(body))
        body += segment + bytes(len(segment) % 2)
    fields = {
        **fields,
        324 if tiled else 273: (16 if big else 4, starts),
        325 if tiled else 279: (4, [len(segment) for segment in segments]),
    }
    first = at + len(body)
    inline = 8 if big else 4
    head = struct.pack(order + ("Q" if big else "H"), len(fields))
    tail_at = first + len(head) + len(fields) * (20 if big else 12) + inline
    tail = b""
    for tag, (kind, values) in sorted(fields.items()):
        data = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        head += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values))
        if len(data) <= inline:
            head += data.ljust(inline, b"\0")
        else:
            head += struct.pack(order + ("Q" if big else "I"), tail_at + len(tail))
            tail += data + bytes(len(data) % 2)
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HHHQ", 43, 8, 0, first) if big else struct.pack(order + "HI", 42, first)
    return mark + start + body + head + bytes(inline) + tail


def encode(
    values: np.ndarray,
    bits: int,
    photometric: int,
    *,
    form: int = 1,
    order: str = "<",
    big: bool = False,
    planar: bool = False,
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    compression: int = 1,
    compress: Callable[[bytes], bytes] | None = None,
    predictor: int = 1,
    extra: Sequence[int] = (),
    reverse: bool = False,
    more: Fields | None = None,
) -> bytes:
    """Returns a file of values [H, W, C]: integers of so many bits, or floats.

    Args:
        tile: height and width of tiles; rows: those of strips.
        predictor: 2 for differences, which are taken here.
    """
    height, width, channels = values.shape
    if compress is None and compression in (8, 32946):
        compress = zlib.compress
    planes = [values[..., c : c + 1] for c in range(channels)] if planar else [values]
    if form == 3:
        planes = [plane.view(f"u{plane.itemsize}") for plane in map(np.ascontiguousarray, planes)]
    seg_h, seg_w = tile or (rows or height, width)
    segments = []
    for plane in planes:
        for y in range(0, height, seg_h):
            for x in range(0, width, seg_w):
                part = plane[y : y + seg_h, x : x + seg_w]
                if tile:
                    part = np.pad(part, ((0, seg_h - part.shape[0]), (0, seg_w - part.shape[1]), (0, 0)))
                if predictor == 2:
                    part = np.concatenate((part[:, :1], part[:, 1:] - part[:, :-1]), 1)
                data = packed(part.reshape(len(part), -1), bits, order)
                data = compress(data) if compress else data
                segments.append(reversed_bits(data) if reverse else data)
    fields: Fields = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * channels), 259: (3, [compression]),
        262: (3, [photometric]), 277: (3, [channels]), 284: (3, [2 if planar else 1]), 339: (3, [form] * channels),
        **({322: (4, [seg_w]), 323: (4, [seg_h])} if tile else {278: (4, [seg_h])}),
        **({317: (3, [predictor])} if predictor != 1 else {}), **({338: (3, list(extra))} if extra else {}),
        **({266: (3, [2])} if reverse else {}), **(more or {}),
    }  # fmt: skip
    return tiff(fields, segments, order, big=big, tiled=tile is not None)


def reversed_bits(data: bytes) -> bytes:
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)[:, ::-1]).tobytes()


def subsampled(ycbcr: np.ndarray, h: int, v: int, rows: int, **more: Any) -> tuple[bytes, np.ndarray]:
    """Returns a file of YCbCr [H, W, 3] whose colour is stored at a part of the size, and the pixels that it stores."""
    height, width, _ = ycbcr.shape
    assert rows % v == 0
    segments, expected = [], np.empty_like(ycbcr)
    for top in range(0, height, rows):
        part = ycbcr[top : top + rows]
        full = np.pad(part, ((0, -len(part) % v), (0, -width % h), (0, 0)), mode="edge")
        down, across = full.shape[0] // v, full.shape[1] // h
        luma = full[..., 0].reshape(down, v, across, h).transpose(0, 2, 1, 3).reshape(down, across, v * h)
        chroma = full[::v, ::h, 1:]
        segments.append(np.concatenate((luma, chroma), 2).tobytes())
        expected[top : top + rows, :, 0] = part[..., 0]
        expected[top : top + rows, :, 1:] = np.repeat(np.repeat(chroma, v, 0), h, 1)[: len(part), :width]
    fields: Fields = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [8] * 3), 259: (3, [1]), 262: (3, [6]), 277: (3, [3]),
        278: (4, [rows]), 284: (3, [1]), 530: (3, [h, v]),
    }  # fmt: skip
    return tiff({**fields, **more}, segments), expected
