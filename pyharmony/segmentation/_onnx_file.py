"""Checks of the sizes and files that an ONNX file declares, before onnxruntime allocates memory or opens files.

The newest onnxruntime rejects tensors without their data, and data outside of the folder; older ones accept both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: The largest size of a network with the files of its weights, in bytes.
LIMIT = 8_589_934_592
#: The messages that may contain tensors, by the number of the field in the outer message (onnx.proto).
_NESTED_MESSAGES = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
# The numbers of fields: of a tensor's sides, of an entry of its external data, and of that entry's key and value.
_DIMS, _EXTERNAL, _KEY, _VALUE = 1, 13, 1, 2
#: The largest nesting depth of messages, as in protobuf.
_MAX_NESTING = 100
#: The largest number of values in a byte, for those of 2 bits.
_IN_A_BYTE = 4
#: The longest name of a file, in bytes.
_MAX_NAME_BYTES = 4096

#: The start and end of a field's bytes in the file, or its value and None.
Field = tuple[int, int, "int | None"]


def check(path: Path) -> None:
    """Rejects a file for which onnxruntime would allocate too much memory or read outside of the network's folder.

    Raises:
        ValueError: it is not an ONNX file, it is too large, a tensor has more values than data, or its data are in a
            file outside of the folder of the network.
    """
    size = total = path.stat().st_size
    if total > LIMIT:
        raise ValueError(_too_large(total))
    sizes: dict[Path, int] = {}
    with path.open("rb") as file:
        for first, last in _tensors(file, size):
            values, names = _declared(file, first, last)
            length = last - first
            for name in names:
                data = _data_file(path, name)
                if data not in sizes:
                    sizes[data] = data.stat().st_size
                    total += sizes[data]
                length += sizes[data]
            if total > LIMIT:
                raise ValueError(_too_large(total))
            if values > _IN_A_BYTE * length:
                raise ValueError(f"a tensor of {values:,} values has {length:,} bytes of data")


def _too_large(size: int) -> str:
    return f"{size:,} bytes with its weights, expected at most {LIMIT:,}"


def _data_file(path: Path, name: str) -> Path:
    """Returns the file of a tensor's data, which must be in the folder of the network after links are resolved."""
    data = Path(os.path.realpath(path.parent / name))
    # A cache may consist of links in a folder to files in another one.
    folders = os.path.realpath(path.parent), os.path.dirname(os.path.realpath(path))
    inside = any(data.is_relative_to(folder) for folder in folders)
    if os.path.isabs(name) or not inside or not os.path.isfile(data):
        raise ValueError(f"its data are in {name!r}, expected a file in the folder of the network")
    return data


def _tensors(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yields the start and the end of the bytes of every tensor."""
    stack = [("model", _fields(file, 0, size))]
    while stack:
        kind, fields = stack[-1]
        for number, first, last in fields:
            within = _NESTED_MESSAGES[kind].get(number)
            if last is None or within is None:
                continue
            if within == "tensor":
                yield first, last
                continue
            if len(stack) == _MAX_NESTING:
                raise ValueError(f"its graphs are nested more than {_MAX_NESTING} messages deep")
            stack.append((within, _fields(file, first, last)))
            break
        else:
            stack.pop()


def _declared(file: BinaryIO, first: int, last: int) -> tuple[int, set[str]]:
    """Returns the number of a tensor's values, and the names of its files of external data."""
    values, names = 1, set()
    for number, start, end in _fields(file, first, last):
        if number == _DIMS:
            sides = [start] if end is None else _packed(file, start, end)
            for side in sides:
                values = min(values * side, 1 << 64)
        elif number == _EXTERNAL and end is not None:
            entry = {
                key: _text(file, place, stop) for key, place, stop in _fields(file, start, end) if stop is not None
            }
            if entry.get(_KEY) == "location":
                names.add(entry.get(_VALUE, ""))
    return values, names


def _text(file: BinaryIO, first: int, last: int) -> str:
    if last - first > _MAX_NAME_BYTES:
        raise ValueError(f"a name of {last - first:,} bytes, expected at most {_MAX_NAME_BYTES}")
    file.seek(first)
    return file.read(last - first).decode()


def _packed(file: BinaryIO, at: int, end: int) -> Iterator[int]:
    while at < end:
        file.seek(at)
        value, at = _number(file, at)
        yield value


def _fields(file: BinaryIO, at: int, end: int) -> Iterator[Field]:
    """Yields the number of each field of a message with the start and end of its bytes, or its value and None."""
    while at < end:
        file.seek(at)
        key, at = _number(file, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _number(file, at)
            yield number, value, None
        elif wire in (1, 2, 5):
            length, at = _number(file, at) if wire == 2 else (8 if wire == 1 else 4, at)
            if length > end - at:
                raise ValueError("a field is longer than the message that contains it")
            yield number, at, at + length
            at += length
        else:
            raise ValueError(f"wire type {wire} of a field, expected 0, 1, 2 or 5")


def _number(file: BinaryIO, at: int) -> tuple[int, int]:
    """Returns a varint and the offset after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << shift
        at += 1
        if byte[0] < 128:
            return value, at
    raise ValueError("a number is not terminated")
