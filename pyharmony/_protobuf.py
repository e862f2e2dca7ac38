"""A parser of protocol buffers that does not need their package.

Source: "Encoding" in the documentation of Protocol Buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Yields number and value of each field of a message: a whole number, or bytes.

    Raises:
        ValueError, IndexError: it is not a message, or a damaged one.
    """
    if isinstance(message, int):
        raise ValueError("a number, expected a message")
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        if kind == 0:
            value: Any
            value, at = varint(message, at)
        else:
            if kind == 2:
                length, at = varint(message, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise ValueError(f"a field of wire type {kind}, which is not supported")
            value, at = message[at : at + length], at + length
            if at > len(message):
                raise ValueError("a field extends beyond the message")
        yield key >> 3, value


def varint(data: Any, at: int) -> tuple[int, int]:
    """Returns an integer of seven bits per byte, and the position of the next value.

    Raises:
        ValueError, IndexError: the number has more than 64 bits, or extends beyond the data.
    """
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number has more than 64 bits")
