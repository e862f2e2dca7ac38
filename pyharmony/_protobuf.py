"""A parser and a writer of protocol buffers that do not need their package.

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


def values(message: Any, *path: int) -> list[Any]:
    """Returns the values of the fields with the last number of a path, in the messages with the numbers before it."""
    messages = [message]
    for field_number in path:
        messages = [value for each in messages for number, value in fields(each) if number == field_number]
    return messages


def field(number: int, value: bytes) -> bytes:
    """Returns a field of bytes; number: 1 to 15."""
    size, head = len(value), [number << 3 | 2]
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size]) + value


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


def varints(data: Any) -> Iterator[int]:
    """Yields the integers of a packed field."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value
