"""The files in an uncompressed tar file: their names, and the positions of their bytes.

Source: POSIX.1-2024, pax, section "pax Interchange Format"; the long names and large numbers of GNU tar. Python's
tarfile follows a header anywhere, also backwards, and reads a header of any stated length; here positions only
increase, and the size of headers is limited.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import DataError
from ._files import NamedBytes

__all__ = ["Member", "members", "read_member"]

_BLOCK = 512
#: The largest number of bytes of a header that describes the next one; a path has at most 4096.
_MAX_EXTENDED_HEADER = 1 << 20
_REGULAR = (b"0", b"\0", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


@dataclass(frozen=True)
class Member:
    """A regular file: its name, and the position of its bytes."""

    name: str
    offset: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """Yields the regular files, in order; DataError: the file is damaged from some position on, or is no tar file."""
    with open(path, "rb") as file:
        yield from _members(file, file.seek(0, 2))


def read_member(path: Path, member: Member) -> NamedBytes:
    """Returns the bytes of a file, as an open file with its name."""
    with open(path, "rb") as file:
        file.seek(member.offset)
        return NamedBytes(file.read(member.size), f"{path}/{member.name}")


def _members(file: BinaryIO, length: int) -> Iterator[Member]:
    at = 0
    name: str | None = None  # the name of the next file from an extended header
    size: int | None = None
    every: dict[str, str] = {}  # the records of a global header, for all following files
    while at < length:
        file.seek(at)
        block = file.read(_BLOCK)
        if not block.strip(b"\0"):
            break
        if len(block) < _BLOCK:
            raise DataError("it ends within a header")
        if not _sums(block):
            raise DataError(f"no header at byte {at}")
        kind = block[156:157]
        stated = _number(block[124:136])
        if kind in (b"x", b"g", b"X", b"L", b"K"):
            text = _extended(file, at, stated, length)
            if kind == b"L":
                name = _text(text.partition(b"\0")[0])
            elif kind == b"g":
                every |= _records(text)
            elif kind != b"K":
                records = _records(text)
                name = records.get("path", name)
                size = _decimal(records["size"]) if "size" in records else size
            at += _BLOCK + _padded(stated)
            continue
        if kind == b"S":
            raise DataError(f"a sparse file at byte {at}, which is not supported")
        if "size" in every and size is None:
            size = _decimal(every["size"])
        if name is None:
            name = every.get("path")
        count = stated if size is None else size
        if kind in _WITHOUT_DATA:
            count = 0
        if count < 0:
            raise DataError(f"the header at byte {at} states a size of {count}")
        if at + _BLOCK + count > length:
            raise DataError(f"the file of the header at byte {at} ends after the archive")
        if name is None:
            name = _name(block)
        if kind in _REGULAR and not name.endswith("/"):
            yield Member(name, at + _BLOCK, count)
        at += _BLOCK + _padded(count)
        name = size = None


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _sums(block: bytes) -> bool:
    """Returns whether a header's checksum is right, for signed or unsigned bytes, its own eight counted as blanks."""
    stated = _number(block[148:156])
    rest = block[:148] + b" " * 8 + block[156:]
    return stated in (sum(rest), sum(struct.unpack("512b", rest)))


def _number(text: bytes) -> int:
    """Returns the value of octal digits, or of GNU's base 256 if the first bit is set."""
    if text[0] & 0x80:
        value = int.from_bytes(text, "big") - (1 << (8 * len(text) - 1))
        return value if text[0] == 0x80 else value - (1 << (8 * len(text) - 1))
    digits = text.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise DataError(f"a header contains {digits[:12]!r}, expected an octal number")
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise DataError(f"a header states a size of {text[:24]!r}")
    return int(text)


def _extended(file: BinaryIO, at: int, size: int, length: int) -> bytes:
    if not 0 <= size <= _MAX_EXTENDED_HEADER or at + _BLOCK + size > length:
        raise DataError(
            f"the header at byte {at} has {size} bytes of names and more, expected up to {_MAX_EXTENDED_HEADER}"
        )
    return file.read(size)


def _records(text: bytes) -> dict[str, str]:
    """Returns the records 'LENGTH KEY=VALUE\\n' of pax."""
    records: dict[str, str] = {}
    at = 0
    while at < len(text) and text[at]:
        digits, blank, _ = text[at : at + 8].partition(b" ")
        size = int(digits) if blank and digits.isdigit() else 0
        record = text[at + len(digits) + 1 : at + size - 1]
        key, equals, value = record.partition(b"=")
        if size <= len(digits) + 1 or at + size > len(text) or text[at + size - 1] != 0x0A or not equals:
            raise DataError("a damaged extended header")
        records[_text(key)] = _text(value)
        at += size
    return records


def _name(block: bytes) -> str:
    name = _text(block[:100].partition(b"\0")[0])
    if block[257:263] == b"ustar\0":  # GNU's format ends in blanks, and has no prefix field
        prefix = _text(block[345:500].partition(b"\0")[0])
        name = f"{prefix}/{name}" if prefix else name
    return name


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
