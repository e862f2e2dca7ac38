"""TensorFlow checkpoints, read without TensorFlow: PREFIX.index and PREFIX.data-00000-of-00001.

The index is an uncompressed LevelDB table whose values are protocol buffer messages, BundleEntryProto. The data files
contain the bytes of the tensors. Source: the descriptions in tensorflow/core/util/tensor_bundle and
tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..._protobuf import fields, values, varint
from ...errors import WeightsError

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
#: The codes of TensorFlow's numeric dtypes that weights use; tensors of others, such as strings, are skipped.
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "|u1", 5: "<i2", 6: "|i1", 9: "<i8", 10: "|b1", 19: "<f2"}


def prefix_of(path: Path) -> Path | None:
    """Returns the prefix of the checkpoint for its prefix or the path of one of its files, or None."""
    if path.suffix == ".index":
        return path.with_suffix("")
    if re.fullmatch(r"\.data-\d{5}-of-\d{5}", path.suffix):
        return path.with_suffix("")
    return path if path.with_name(f"{path.name}.index").is_file() else None


def read(prefix: Path) -> dict[str, Tensor]:
    """Reads the tensors of a checkpoint by TensorFlow's names."""
    index = prefix.with_name(f"{prefix.name}.index")
    try:
        tensors = _tensors(index.read_bytes(), prefix)
    except FileNotFoundError as error:
        raise WeightsError(f"{error.filename}: there is no such file") from None
    except OSError as error:
        raise WeightsError(f"{index}: {error}") from error
    except (IndexError, KeyError, ValueError, TypeError, OverflowError, struct.error) as error:
        raise WeightsError(f"{index}: not a TensorFlow checkpoint, or damaged: {error}") from error
    if not tensors:
        raise WeightsError(f"{index}: contains no numeric tensor")
    return tensors


def _tensors(table: bytes, prefix: Path) -> dict[str, Tensor]:
    if len(table) < _FOOTER or struct.unpack("<Q", table[-8:])[0] != _MAGIC:
        raise ValueError("wrong footer")
    footer = table[-_FOOTER:]
    at = 0
    for _ in range(2):  # the handle of the metadata block
        _, at = varint(footer, at)
    entries = [entry for _, place in _entries(_block(table, footer[at:])) for entry in _entries(_block(table, place))]
    shards: dict[int, bytes] = {}
    count, tensors = 1, {}
    for key, value in entries:
        entry = dict(fields(value))
        if not key:
            count = int(entry.get(1, 1))
            continue
        if entry.get(1, 0) not in _DTYPES:
            continue
        dtype = np.dtype(_DTYPES[entry[1]])
        shape = [int(dict(fields(size)).get(1, 0)) for size in values(entry.get(2, b""), 2)]
        shard, first, length = (int(entry.get(number, 0)) for number in (3, 4, 5))
        if shard not in shards:
            shards[shard] = prefix.with_name(f"{prefix.name}.data-{shard:05}-of-{count:05}").read_bytes()
        raw = shards[shard][first : first + length]
        if len(raw) != length or length != dtype.itemsize * int(np.prod(shape, dtype=object)):
            raise ValueError(f"{key.decode(errors='replace')}: the number of bytes does not match its shape {shape}")
        tensors[key.decode()] = torch.from_numpy(np.frombuffer(raw, dtype).reshape(shape).copy())
    return tensors


def _block(table: bytes, place: bytes) -> bytes:
    """Returns the block of a table at the location of a handle."""
    start, at = varint(place, 0)
    size, _ = varint(place, at)
    if start + size >= len(table) - _FOOTER + 1:
        raise ValueError("a block is outside the file")
    if table[start + size] != 0:
        raise ValueError("compressed blocks are not supported")
    return table[start : start + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of a block; keys are prefix-compressed relative to the previous one."""
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        more, at = varint(block, at)
        size, at = varint(block, at)
        key = key[:shared] + block[at : at + more]
        at += more
        yield key, block[at : at + size]
        at += size
