"""Directories of TIFF and of EXIF: reads them with bounds, and writes them.

TIFF 6.0 (Adobe, 1992), BigTIFF, EXIF 2.32 (CIPA DC-008) section 4.6.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

#: The number of bytes of one value of each field type.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
#: The unit in bytes in which the values of a type are byte-swapped.
_UNITS = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}

_MAX_ENTRIES = 4096

EXIF_IFD = 0x8769  # the tag with the offset of the Exif directory
GPS_IFD = 0x8825  # the tag with the offset of the GPS directory
INTEROP_IFD = 0xA005  # the tag with the offset of the Interoperability directory
ORIENTATION = 0x0112

#: The tags that describe an image and not the layout of its file.
DESCRIPTIVE_TAGS = frozenset(
    (
        0x010D, 0x010E, 0x010F, 0x0110,  # document, description, maker and model of the camera
        0x0131, 0x0132, 0x013B, 0x013C,  # program, date, artist, computer
        0x4746, 0x4749, 0x8298,  # ratings, copyright
        0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,  # title, comment, author, keywords, subject of Windows
    )
)  # fmt: skip

Reader = Callable[[int, int], bytes]


class TiffError(ValueError):
    """An error for bytes that are not a TIFF, or for missing parts of a TIFF."""


@dataclass(frozen=True)
class Entry:
    """A field: its type, number of values and bytes in the order of its file."""

    tag: int
    type: int
    count: int
    data: bytes

    def swapped(self) -> Entry:
        unit = _UNITS.get(self.type, 1)
        if unit == 1:
            return self
        swapped = bytearray(len(self.data))
        for i in range(unit):
            swapped[i::unit] = self.data[unit - 1 - i :: unit]
        return Entry(self.tag, self.type, self.count, bytes(swapped))


class Budget:
    """The number of bytes that fields may have together, since several of them may claim the same bytes."""

    def __init__(self, size: int) -> None:
        self._left = size

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TiffError("its fields overlap")


@dataclass(frozen=True)
class Directory:
    """A directory: the offsets of its fields, whose bytes are read on demand."""

    order: str
    where: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # tag: type, count, offset
    next: int = 0
    read: Reader = lambda offset, size: b""

    def size(self, tag: int) -> int:
        kind, count, _ = self.where[tag]
        return SIZES[kind] * count

    def entry(self, tag: int, limit: int = 1 << 26) -> Entry | None:
        """Returns the field, or None if it is missing, cut off or larger than limit bytes."""
        if tag not in self.where:
            return None
        kind, count, offset = self.where[tag]
        size = SIZES[kind] * count
        if size > limit:
            return None
        data = self.read(offset, size)
        return Entry(tag, kind, count, data) if len(data) == size else None

    def numbers(self, tag: int, limit: int = 1 << 26) -> tuple[float, ...]:
        """Returns the values of a numeric field; empty if it is missing or not numeric."""
        entry = self.entry(tag, limit)
        if entry is None:
            return ()
        if entry.type in (5, 10):
            pairs = struct.unpack(f"{self.order}{2 * entry.count}{'I' if entry.type == 5 else 'i'}", entry.data)
            return tuple(a / b if b else 0.0 for a, b in zip(pairs[::2], pairs[1::2]))
        if entry.type not in _FORMATS:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{_FORMATS[entry.type]}", entry.data)

    def number(self, tag: int, default: int) -> int:
        values = self.numbers(tag, 64)
        return int(values[0]) if values and math.isfinite(values[0]) else default

    def entries(self, tags: Iterable[int], budget: Budget, limit: int = 1 << 22) -> list[Entry]:
        """Returns the existing fields of at most limit bytes each, or raises TiffError beyond the budget."""
        entries = []
        for tag in tags:
            if (entry := self.entry(tag, limit)) is not None:
                budget.spend(len(entry.data))
                entries.append(entry)
        return entries


def reader(data: bytes | bytearray | memoryview) -> Reader:
    return lambda offset, size: bytes(data[offset : offset + size])


def header(read: Reader) -> tuple[str, bool, int]:
    """Returns the byte order, whether it is BigTIFF, and the offset of the first directory."""
    head = read(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise TiffError("no TIFF header")
    magic = struct.unpack(order + "H", head[2:4])[0]
    if magic == 42:
        return order, False, struct.unpack(order + "I", head[4:8])[0]
    if magic == 43 and len(head) == 16 and struct.unpack(order + "HH", head[4:8]) == (8, 0):
        return order, True, struct.unpack(order + "Q", head[8:16])[0]
    raise TiffError("no TIFF header")


def main_directory(read: Reader) -> Directory:
    """Reads the first directory of a file."""
    return directory(read, *header(read))


def directory(read: Reader, order: str, big: bool, offset: int) -> Directory:
    """Reads the directory at offset. Fields of unknown types are ignored."""
    head, size, inline = ("Q", 20, 8) if big else ("H", 12, 4)
    start = offset + struct.calcsize(order + head)
    raw = read(offset, start - offset)
    if offset < 8 or len(raw) != start - offset:
        raise TiffError("a directory is outside the file")
    count = struct.unpack(order + head, raw)[0]
    if count > _MAX_ENTRIES:
        raise TiffError(f"a directory of {count} fields")
    raw = read(start, count * size)
    if len(raw) != count * size:
        raise TiffError("a directory is cut off")
    where: dict[int, tuple[int, int, int]] = {}
    for i in range(count):
        tag, kind, values = struct.unpack_from(order + ("HHQ" if big else "HHI"), raw, i * size)
        if kind not in SIZES or tag in where:
            continue
        at = start + (i + 1) * size - inline
        if SIZES[kind] * values > inline:
            at = struct.unpack_from(order + ("Q" if big else "I"), raw, (i + 1) * size - inline)[0]
        where[tag] = (kind, values, at)
    tail = read(start + count * size, inline)
    following = struct.unpack(order + ("Q" if big else "I"), tail)[0] if len(tail) == inline else 0
    return Directory(order, where, following, read)


def short(tag: int, *values: int) -> Entry:
    return Entry(tag, 3, len(values), struct.pack(f"<{len(values)}H", *values))


def long(tag: int, *values: int) -> Entry:
    return Entry(tag, 4, len(values), struct.pack(f"<{len(values)}I", *values))


def rational(tag: int, value: float) -> Entry:
    return Entry(tag, 5, 1, struct.pack("<2I", min(round(value * 10000), 0xFFFFFFFF), 10000))


def raw(tag: int, kind: int, data: bytes) -> Entry:
    return Entry(tag, kind, len(data), data)


def build(entries: Iterable[Entry], parts: dict[int, list[Entry]], base: int, order: str = "<") -> bytes:
    """Returns a directory with the parts (tag: directory) it points to, laid out from the offset base on.

    The bytes of the entries are in the byte order `order`.
    """
    fields = {entry.tag: entry for entry in entries}
    for tag in parts:
        fields[tag] = Entry(tag, 4, 1, b"\0\0\0\0")
    head_size = 2 + 12 * len(fields) + 4
    heads, tails = [], bytearray()
    for tag in sorted(fields):
        entry = fields[tag]
        if tag in parts:
            at = base + head_size + len(tails)
            tails += build(parts[tag], {}, at, order)
            value = struct.pack(order + "I", at)
        elif len(entry.data) <= 4:
            value = entry.data.ljust(4, b"\0")
        else:
            value = struct.pack(order + "I", base + head_size + len(tails))
            tails += entry.data
        if len(tails) % 2:
            tails.append(0)
        heads.append(struct.pack(order + "HHI", tag, entry.type, entry.count) + value)
    return struct.pack(order + "H", len(fields)) + b"".join(heads) + b"\0\0\0\0" + bytes(tails)
