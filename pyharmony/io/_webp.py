"""The header of a WebP file (RFC 9649), which has its size and is checked before decoding."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ._picture import Refusal

_MAX_CHUNKS = 4096  # that are looked at


def _triple(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little") + 1


def size_of(head: bytes) -> tuple[int, int]:
    """Returns the width and the height in the first 30 bytes: the decoder allocates the canvas at once."""
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        raise Refusal("is damaged: it ends in its header, or has none")
    kind = head[12:16]
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    if kind == b"VP8X":
        return _triple(head, 24), _triple(head, 27)
    raise Refusal(f"is damaged: its first chunk is {kind!r}")


def names_of(stream: Any) -> list[bytes]:
    """Returns the names of the chunks of a file."""
    names: list[bytes] = []
    stream.seek(12)
    while len(head := stream.read(8)) == 8 and len(names) < _MAX_CHUNKS:
        name, size = struct.unpack("<4sI", head)
        names.append(name)
        stream.seek(size + size % 2, 1)
    return names


def is_lossless(names: list[bytes]) -> bool:
    """Returns whether the pixels of a file with chunks of these names are stored exactly."""
    return next((name == b"VP8L" for name in names if name in (b"VP8 ", b"VP8L", b"ANMF")), False)


def check_animation(read: Callable[[int, int], bytes]) -> None:
    """Refuses an animation whose first image is a small part of its canvas, which would cost much memory for little."""
    head = read(0, 30)
    if head[12:16] != b"VP8X" or not head[20] & 2:
        return
    canvas, at = (_triple(head, 24), _triple(head, 27)), 30
    for _ in range(64):
        name, size = struct.unpack("<4sI", read(at, 8).ljust(8, b"\0"))
        if name == b"ANMF":
            frame = read(at + 8, 12).ljust(12, b"\0")
            if canvas[0] * canvas[1] > 16 * _triple(frame, 6) * _triple(frame, 9):
                raise Refusal(f"is an animation whose first image is a small part of {canvas[0]} x {canvas[1]}")
            return
        at += 8 + size + size % 2
