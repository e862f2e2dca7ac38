"""Changes of inputs: of bytes, of numbers where formats keep them, and of the values of JSON."""

from __future__ import annotations

import copy
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

EXTREME = (0, 1, 2, 7, 8, 12, 13, 127, 128, 255, 256, 4096, 32767, 32768, 40000, 65534, 65535, 65536, 1 << 20,
           (1 << 24) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)  # fmt: skip

#: Values that replace one of a JSON document.
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308, 1e-320, float("nan"),
    float("inf"), "", "a", "/etc/passwd", "../../x", "http://127.0.0.1/x", "nan", "\0", "\ud800", "x" * 5000, [], {},
    [[]], [0] * 300, [1, 2, 3, 4], {"a": 1}, [[[[[[[[]]]]]]]], "0" * 32, "cuda:0", "-1e999", "\u202e", "1;2",
)  # fmt: skip


def spots(data: bytes) -> list[int]:
    """Returns where lengths, tags and sizes lie: starts of every chunk, segment, field or box, and the first bytes."""
    at, where = 0, list(range(min(len(data), 64)))
    if data[:4] == b"\x89PNG":
        at = 8
        while at + 8 <= len(data) and len(where) < 2000:
            where += range(at, min(at + 24, len(data)))
            at += 12 + struct.unpack_from(">I", data, at)[0]
    elif data[:2] == b"\xff\xd8":
        at = 2
        while at + 4 <= len(data) and data[at] == 0xFF:
            where += range(at, min(at + 24, len(data)))
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    elif data[:4] == b"RIFF":
        at = 12
        while at + 8 <= len(data) and len(where) < 2000:
            where += range(at, min(at + 24, len(data)))
            size = struct.unpack_from("<I", data, at + 4)[0]
            at += 8 + size + size % 2
    elif data[:2] in (b"II", b"MM"):
        order = "<" if data[:2] == b"II" else ">"
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        if at + 8 < len(data):
            where += range(at, min(at + (600 if big else 350), len(data)))
    elif data[4:8] == b"ftyp":
        where += range(min(len(data), 600))
    return where


def checksums_put_right(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        if at + 12 + size > len(data):
            return
        struct.pack_into(">I", data, at + 8 + size, zlib.crc32(data[at + 4 : at + 8 + size]))
        at += 12 + size


def mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator, dictionary: Sequence[bytes] = ()) -> bytes:
    """Returns a file with one to eight changes: bits, numbers, cuts, copies, pieces of others, words."""
    out = bytearray(data)
    where = spots(data)

    def place() -> int:
        if where and rng.random() < 0.6:
            return min(int(where[rng.integers(len(where))]), max(len(out) - 1, 0))
        return int(rng.integers(max(len(out), 1)))

    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 8]))):
        kind = rng.integers(12 if dictionary else 10)
        at = place()
        if not out:
            break
        if kind <= 1:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            out[at] = int(rng.integers(256))
        elif kind in (3, 4, 5):  # a number
            size, order = int(rng.choice([1, 2, 2, 4, 4, 8])), str(rng.choice(["little", "big"]))
            value = int(rng.choice(EXTREME)) if rng.random() < 0.8 else int(rng.integers(1 << 32))
            out[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)
        elif kind == 6:
            del out[at : at + int(rng.integers(1, 40))]
        elif kind == 7:
            if rng.random() < 0.3:
                del out[at:]
            else:
                out[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 30)), np.uint8))
        elif kind == 8:  # a piece of its own, elsewhere
            start, length = place(), int(rng.integers(1, 200))
            piece = out[start : start + length]
            out[at : at + (length if rng.random() < 0.5 else 0)] = piece
        elif kind >= 10:
            word = dictionary[int(rng.integers(len(dictionary)))]
            out[at : at + (len(word) if rng.random() < 0.5 else 0)] = word
        else:  # a piece of another file
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(len(other)))
            out[at : at + int(rng.integers(200))] = other[start : start + int(rng.integers(400))]
    if bytes(out[:4]) == b"\x89PNG" and rng.random() < 0.8:
        checksums_put_right(out)
    return bytes(out)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Returns the containers of a document and their keys."""
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in list(keys)[:50]:
            places.append((one, key))
            waiting.append(one[key])
    return places


def json_mutated(document: Any, rng: np.random.Generator) -> Any:
    """Returns a document with one to four values replaced, removed, doubled, exchanged or renamed."""
    document = copy.deepcopy(document)
    for _ in range(int(rng.integers(1, 5))):
        places = _places(document)
        if not places:
            return HOSTILE[int(rng.integers(len(HOSTILE)))]
        container, key = places[int(rng.integers(len(places)))]
        kind = rng.integers(6)
        if kind <= 2:
            container[key] = copy.deepcopy(HOSTILE[int(rng.integers(len(HOSTILE)))])
        elif kind == 3:
            del container[key]
        elif kind == 4:
            other, name = places[int(rng.integers(len(places)))]
            container[key] = copy.deepcopy(other[name])
        elif isinstance(container, dict):
            container[str(key) + "_"] = container.pop(key)
        elif len(container) < 1000:
            container.extend(copy.deepcopy(container))
    return document


def json_bytes(document: Any) -> bytes:
    """Returns a document as JSON; lone surrogates and NaN are written as they are."""
    return json.dumps(document).encode("utf-8", "surrogatepass")
