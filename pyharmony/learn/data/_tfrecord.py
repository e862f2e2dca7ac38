"""Pairs in TFRecord files, the format of GP-GAN's data for TensorFlow.

A file is a sequence of records: the length in 8 bytes, its checksum in 4, the data, its checksum. A record is a message
of protocol buffers, tf.train.Example: a map from names to lists of bytes, floats or whole numbers, of which floats are
not read. TensorFlow is not needed; the checksums are those of google-crc32c.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import re
import shutil
import struct
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import _checks, _install, _protobuf, _temporary
from ..._public import naming_keywords
from ...errors import ArgumentError, DataError, FileError, ShapeError
from ...typing import PathLike, Skip
from . import _files
from ._dataset import Dataset, Problem, Sample, load_samples, write_numbered
from ._tar import encoded

_NAME = "name"  # the feature for a sample's name
_MASK = "mask"  # the default feature for a sample's mask
#: The features of composite and target, ours and those of the TensorFlow ports of GP-GAN, which contain raw pixels.
_PAIRS = (("copy_paste", "bg"), ("image/encoded_cp", "image/encoded_bg"))
_SIZE = ("image/height", "image/width")
#: The number of bytes of a record that are read to find its name, which comes first in our records.
_PEEK = 1024
#: The start of a record whose first feature is the name, up to the name's length.
_NAMED = re.compile(rb"\n%(size)b\n%(size)b\n\x04name\x12%(size)b\n%(size)b\n" % {b"size": rb"[\x80-\xff]*[\0-\x7f]"})
#: The ends of the names of files, as patterns.
SUFFIXES = tuple(f".tfrecord{s}{end}" for s in ("", "s") for end in ("", ".gz", "-*"))
#: The format of zlib's engine that takes files of either kind.
_GZIP_OR_ZLIB = 47
# Images hardly compress, and raw pixels not to a hundredth: a file that unpacks to more than both together is refused.
_LARGEST_RATIO = 100  # the largest ratio of unpacked bytes to the file's
_ALWAYS_UNPACKED = 1 << 26  # the unpacked bytes that are always accepted


@naming_keywords
class TFRecordPairs(Dataset):
    """Composite and target of each record of TFRecord files.

    Args:
        paths: a folder of .tfrecord or .tfrecords files, one such file, or several. They may be compressed by GZIP or
            ZLIB, and are then unpacked to temporary files, for as long as the object lives; shards may be numbered,
            such as train.tfrecord-00000-of-00010.
        composite, target: the features of the two images; None: 'copy_paste' and 'bg', or, in a record without these,
            'image/encoded_cp' and 'image/encoded_bg', as in TensorFlow ports of GP-GAN.
        mask: the feature of a mask; None: 'mask', if a record has one.
        shape: (height, width) of features that are raw bytes of uint8 and not image files; None: those of the features
            'image/height' and 'image/width', if a record has them and its images have the right number of bytes.

    Samples have `composite` and `target`, and `mask` if there is one. A record that starts with the feature 'name',
    like those of pyharmony, has this name; others are named by their file and number. Needs the extra `tfrecord`.

    Raises:
        DataError: there is no such file, or one is damaged; its records before the damage can be read.
        ImportError: google-crc32c is missing.

    Example:
        >>> from pyharmony import data
        >>> data.write_tfrecord(data.Synthesis(data.Photos("photos")), "pairs.tfrecord")
        >>> sorted(data.TFRecordPairs("pairs.tfrecord")[0])
        ['composite', 'mask', 'name', 'target']
    """

    @_checks.kinds
    def __init__(
        self,
        paths: PathLike | Sequence[PathLike],
        composite: str | None = None,
        target: str | None = None,
        mask: str | None = None,
        *,
        shape: tuple[int, int] | None = None,
    ) -> None:
        feature_names = {"composite": composite, "target": target, "mask": mask}
        self.features = {role: name for role, name in feature_names.items() if name is not None}
        self.shape = shape
        self._records: list[tuple[Path, int, int, int]] = []
        self._bad: list[Problem] = []
        self._unpacked: dict[Path, Path] = {}
        self.names: list[str] = []
        for path in _files.files_of(paths, *SUFFIXES):
            damage = ""
            try:
                if _is_compressed(path):
                    self._unpacked[path] = _temporary_file(self, len(self._unpacked))
                    damage = _unpack(path, self._unpacked[path])
                with _files.data_errors(str(path)):
                    for number, (offset, length, start) in enumerate(_records(self._unpacked.get(path, path), path)):
                        self._records.append((path, offset, length, number))
                        self.names.append(_name_in(start) or f"{path.stem}:{number}")
            except DataError as error:
                damage = damage or str(error)
            if damage:
                self._bad.append(Problem(path.name, damage))
        if not self._records:
            raise DataError(self._bad[0].message if self._bad else f"paths: {paths}: no record")

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        path, offset, length, number = self._records[index]
        with open(self._unpacked.get(path, path), "rb") as file:
            file.seek(offset)
            data = file.read(length + 4)
        where = f"{path}: record {number}"
        if data[length:] != _checksum(data[:length]):
            raise DataError(f"{where}: damaged: wrong checksum")
        with _files.data_errors(where):
            features = example(data[:length])
        pair = next((pair for pair in _PAIRS if all(name in features for name in pair)), _PAIRS[0])
        names = {**dict(zip(("composite", "target"), pair)), **self.features}
        if isinstance(_first(features, _MASK), bytes):
            names.setdefault("mask", _MASK)
        sources = {}
        for role, name in names.items():
            if name not in features:
                raise DataError(f"{where}: no feature {name!r}, only {', '.join(sorted(features)) or 'none'}")
            sources[role] = _first(features, name)
            if not isinstance(sources[role], bytes):
                raise DataError(f"{where}: {name} contains no bytes")
        labels = {role: f"{where}: {role}" for role in sources}
        size = self.shape or _size_in(features, sources)
        if size is None:
            images = {role: _files.NamedBytes(source, labels[role]) for role, source in sources.items()}
            return _files.sample(self.names[index], images)
        sample: Sample = {"name": self.names[index]}
        for role, source in sources.items():
            shape = tuple(size) if role == "mask" else (*size, 3)
            if len(source) != math.prod(shape):
                raise ShapeError(f"{labels[role]}: {len(source)} bytes, expected {list(shape)}")
            sample[role] = np.frombuffer(source, np.uint8).reshape(shape).copy()
        _files.one_size(sample, labels)
        return sample


@_checks.kinds
def write_tfrecord(
    dataset: Dataset | Sequence[Sample],
    path: PathLike,
    composite: str = "copy_paste",
    target: str = "bg",
    mask: str | None = None,
    *,
    errors: Skip = "raise",
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> None:
    """Writes the composite, target and mask of samples as one TFRecord file of PNG images, all or nothing.

    `TFRecordPairs` reads the same samples again, bit for bit, including names.

    Args:
        dataset: a `Dataset`, or any sequence of samples.
        path: the file; it must not exist.
        composite, target: the names of the features, see `TFRecordPairs`.
        mask: the feature of masks, which every sample must then have; None: 'mask', if the first sample has one.
        errors, threads, progress: see `write_shards`.

    Raises:
        FileExistsError: the file exists.
        ShapeError: there is no sample.
        ArgumentError: a sample has no composite or target, or only some have a mask; two features have the same name.
        PyHarmonyError, OSError: a sample is bad; the file is then removed.
        ImportError: google-crc32c is missing.

    Example:
        >>> from pyharmony import data
        >>> data.write_tfrecord(data.Synthesis(data.Photos("photos")), "pairs.tfrecord")
        >>> len(data.TFRecordPairs("pairs.tfrecord"))
        2
    """
    records = _records_of(load_samples(dataset, errors, progress, threads), composite, target, mask)
    if os.path.lexists(_checks.path(path, "path")):
        raise FileError.of(errno.EEXIST, "path", path, "a new file")
    with _temporary.file(path) as unfinished, open(unfinished, "wb") as file:
        file.writelines(records)
        _files.sync(file)


@_checks.kinds
def write_tfrecord_shards(
    dataset: Dataset | Sequence[Sample],
    folder: PathLike,
    composite: str = "copy_paste",
    target: str = "bg",
    mask: str | None = None,
    *,
    samples_per_shard: int = 1000,
    errors: Skip = "raise",
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> TFRecordPairs:
    """Writes samples as TFRecord files `000000.tfrecord` and so on, each like `write_tfrecord`, all or nothing.

    Args:
        dataset, composite, target, mask: see `write_tfrecord`.
        folder, samples_per_shard, errors, threads, progress: see `write_shards`.

    Returns:
        The `TFRecordPairs`.

    Raises:
        FileExistsError: folder exists.
        ShapeError, ArgumentError, PyHarmonyError, OSError, ImportError: see `write_tfrecord`.

    Example:
        >>> from pyharmony import data
        >>> pairs = data.write_tfrecord_shards(data.Synthesis(data.Photos("photos")), "records")
        >>> len(pairs)
        2
    """
    records = _records_of(load_samples(dataset, errors, progress, threads), composite, target, mask)
    write_numbered(folder, ".tfrecord", records, samples_per_shard, lambda file, part: file.writelines(part))
    return TFRecordPairs(folder, composite, target, mask)


def _records_of(
    samples: Iterator[tuple[int, Sample]], composite: str, target: str, mask: str | None
) -> Iterator[bytes]:
    """Yields the records of samples; mask: None if the first sample decides whether they have the feature 'mask'."""
    features = {"composite": composite, "target": target, "mask": _MASK if mask is None else mask}
    names = [_NAME, *features.values()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(f"{twice!r} is the name of two features; expected different names, none of them {_NAME!r}")
    first = next(samples, None)
    if first is None:
        raise ShapeError("dataset: no sample to write")
    if mask is None and "mask" not in first[1]:
        del features["mask"]
    for index, sample in itertools.chain([first], samples):
        lacking = [role for role in features if role not in sample]
        if lacking:
            raise ArgumentError(f"dataset: sample {index} has no {lacking[0]}")
        if "mask" in sample and "mask" not in features:
            raise ArgumentError(f"dataset: sample {index} has a mask, but the first has none")
        values = {_NAME: str(sample.get("name", index)).encode()}
        yield _record({**values, **{name: encoded(sample[role], "png") for role, name in features.items()}})


def _record(features: dict[str, bytes]) -> bytes:
    """Returns the record of an example."""
    field = _protobuf.field
    values = {name.encode(): field(1, field(1, value)) for name, value in features.items()}
    data = field(1, b"".join(field(1, field(1, name) + field(2, value)) for name, value in values.items()))
    head = struct.pack("<Q", len(data))
    return head + _checksum(head) + data + _checksum(data)


def _is_compressed(path: Path) -> bool:
    with _checks.opened(path, "paths") as file:
        head = file.read(12)
    is_zlib = head[:1] == b"x" and int.from_bytes(head[:2], "big") % 31 == 0
    return (is_zlib or head[:2] == b"\x1f\x8b") and head[8:] != _checksum(head[:8])  # those may begin a record's length


def _temporary_file(owner: Any, number: int) -> Path:
    """Returns the path for a file in a new folder, which is deleted with its owner, by the process that made it."""
    folder, process = tempfile.mkdtemp(prefix="pyharmony-"), os.getpid()
    weakref.finalize(owner, lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == process else None)
    return Path(folder) / f"{number}.tfrecord"


def _unpack(path: Path, target: Path) -> str:
    """Unpacks a file of GZIP or ZLIB; returns how it is damaged, after what could be unpacked, or ''."""
    limit = _ALWAYS_UNPACKED + _LARGEST_RATIO * path.stat().st_size
    engine, size = zlib.decompressobj(_GZIP_OR_ZLIB), 0
    with open(path, "rb") as file, open(target, "wb") as unpacked:
        while data := engine.unconsumed_tail or engine.unused_data or file.read(1 << 20):
            if engine.eof:  # several files one after another are one
                engine = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                size += unpacked.write(engine.decompress(data, 1 << 24))
            except zlib.error as error:
                return f"{path}: damaged: {error}"
            if size > limit:
                raise DataError(f"{path}: would unpack to more than {limit:,} bytes, too many for records of images")
    return "" if engine.eof else f"{path}: damaged: ends within the compressed data"


def _records(path: Path, name: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yields offset and length of the data of each record, and its first bytes; name: the file's in messages."""
    end, offset = path.stat().st_size, 0
    with open(path, "rb") as file:
        while offset < end:
            file.seek(offset)
            head = file.read(12 + _PEEK)
            if head[8:12] != _checksum(head[:8]):
                raise DataError(f"paths: {name}: damaged at byte {offset}: invalid record header")
            length = struct.unpack("<Q", head[:8])[0]
            if offset + 16 + length > end:
                raise DataError(f"paths: {name}: ends within the record at byte {offset}")
            yield offset + 12, length, head[12 : 12 + length]
            offset += 16 + length


def _name_in(start: bytes) -> str | None:
    """Returns the name at the start of a record; None if it starts with something else."""
    head = _NAMED.match(start)
    with contextlib.suppress(ValueError, IndexError):
        length, at = _protobuf.varint(start, head.end() if head else len(start))
        return start[at : at + length].decode() if at + length <= len(start) else None
    return None


def _checksum(data: bytes) -> bytes:
    """Returns CRC-32C, rotated by 15 bits and shifted by a constant, as TFRecord requires."""
    try:
        import google_crc32c
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is missing, TFRecord needs it: {_install.hint('tfrecord')}") from error
    crc = int(google_crc32c.value(data))
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _size_in(features: dict[str, list[Any]], sources: dict[str, bytes]) -> tuple[int, int] | None:
    """Returns the height and width that a record states, if its images have as many raw pixels."""
    height, width = (x if isinstance(x := _first(features, name), int) and x > 0 else 0 for name in _SIZE)
    images = [data for role, data in sources.items() if role != "mask"]
    return (height, width) if height and width and all(len(x) == height * width * 3 for x in images) else None


def _first(features: dict[str, list[Any]], name: str) -> Any:
    """Returns the first value of a feature, or None."""
    return next(iter(features.get(name, ())), None)


def example(data: bytes) -> dict[str, list[Any]]:
    """Returns the features of a tf.train.Example: lists of bytes or whole numbers by name; those of floats are empty.

    Raises:
        ValueError, IndexError: data is not such a message.
    """
    feature_lists: dict[str, list[Any]] = {}
    for entry in _protobuf.values(data, 1, 1):
        parts = {1: b"", 2: b"", **dict(_protobuf.fields(entry))}
        texts, numbers = (_protobuf.values(parts[2], kind, 1) for kind in (1, 3))
        if any(isinstance(text, int) for text in (parts[1], *texts)):
            raise ValueError("a number, expected bytes")
        lists = ([number] if isinstance(number, int) else _protobuf.varints(number) for number in numbers)
        feature_lists[parts[1].decode()] = [*texts, *itertools.chain.from_iterable(lists)]
    return feature_lists
