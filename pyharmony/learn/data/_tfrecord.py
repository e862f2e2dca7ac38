"""Pairs in TFRecord files, the format of GP-GAN's data for TensorFlow.

A file is a sequence of records: the length in 8 bytes, its checksum in 4, the data, its checksum. A record is a message
of protocol buffers, tf.train.Example: a map from names to lists of bytes, floats or whole numbers, of which floats are
not read. TensorFlow is not needed; the checksums are those of google-crc32c.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import struct
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import _checks, _install, _protobuf, _temporary
from ..._public import naming_keywords
from ...errors import ArgumentError, DataError, FileError, ShapeError
from ...typing import PathLike, Skip
from . import _files
from ._dataset import Dataset, Problem, Sample, in_chunks, load_samples
from ._tar import encoded

_NAME = "name"  # the feature for a sample's name
_MASK = "mask"  # the default feature for a sample's mask
#: The features of composite and target, ours and those of the TensorFlow ports of GP-GAN, which contain raw pixels.
_PAIRS = (("copy_paste", "bg"), ("image/encoded_cp", "image/encoded_bg"))
_SIZE = ("image/height", "image/width")
#: The number of bytes of a record that are read to find its name, which comes first in our records.
_PEEK = 1024
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
        try:
            features = example(data[:length])
        except (ValueError, IndexError, struct.error) as error:
            raise DataError(f"{where}: not an example with features: {error}") from None
        sources = {}
        found_mask = "mask" not in self.features and isinstance(next(iter(features.get(_MASK, ())), None), bytes)
        pair = next((pair for pair in _PAIRS if all(name in features for name in pair)), _PAIRS[0])
        names = {**dict(zip(("composite", "target"), pair)), **self.features}
        for role, key in {**names, **({"mask": _MASK} if found_mask else {})}.items():
            if key not in features:
                raise DataError(f"{where}: no feature {key!r}, only {', '.join(sorted(features)) or 'none'}")
            value = features[key]
            if not isinstance(value, list) or not value or not isinstance(value[0], bytes):
                raise DataError(f"{where}: {key} contains no bytes")
            sources[role] = value[0]
        shape = self.shape or _size_in(features, sources)
        if shape is not None:
            return self._raw(sources, shape, index, where)
        return _files.sample(
            self.names[index], {role: _files.NamedBytes(data, f"{where}: {role}") for role, data in sources.items()}
        )

    def _raw(self, sources: dict[str, bytes], size: tuple[int, int], index: int, where: str) -> Sample:
        height, width = size
        sample: dict[str, Any] = {"name": self.names[index]}
        for role, data in sources.items():
            shape = (height, width) if role == "mask" else (height, width, 3)
            if len(data) != int(np.prod(shape)):
                raise ShapeError(f"{where}: {role}: {len(data)} bytes, expected {list(shape)}")
            sample[role] = np.frombuffer(data, np.uint8).reshape(shape).copy()
        _files.one_size(sample, {role: f"{where}: {role}" for role in sources})
        return sample

    def _strays(self) -> list[Problem]:
        return self._bad


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
    features = _features(composite, target, mask)
    sound = load_samples(dataset, errors, progress, threads)
    if os.path.lexists(_checks.path(path, "path")):
        raise FileError.of(errno.EEXIST, "path", path, "a new file")
    with _temporary.file(path) as unfinished, open(unfinished, "wb") as file:
        _write(file, _with_mask_feature(sound, features), features)
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
    most = _checks.whole(samples_per_shard, "samples_per_shard", low=1)
    features = _features(composite, target, mask)
    with _files.new_folder(folder) as draft:
        sound = _with_mask_feature(load_samples(dataset, errors, progress, threads), features)
        for number, samples in in_chunks(sound, most):
            with open(draft / f"{number:06}.tfrecord", "wb") as file:
                _write(file, samples, features)
                _files.sync(file)
    return TFRecordPairs(folder, composite, target, mask)


def _features(composite: str, target: str, mask: str | None) -> dict[str, str]:
    """Returns the features of a sample's arrays; without that of a mask if the first sample decides about it."""
    features = {"composite": composite, "target": target} | ({} if mask is None else {"mask": mask})
    names = [_NAME, *features.values(), *([_MASK] if mask is None else [])]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(f"{twice!r} is the name of two features; expected different names, none of them {_NAME!r}")
    return features


def _with_mask_feature(sound: Iterator[tuple[int, Sample]], features: dict[str, str]) -> Iterator[tuple[int, Sample]]:
    """Returns the samples, after adding the mask to features if the first sample has one."""
    first = next(sound, None)
    if first is None:
        raise ShapeError("dataset: no sample to write")
    if "mask" in first[1]:
        features.setdefault("mask", _MASK)
    return itertools.chain([first], sound)


def _write(file: Any, sound: Iterable[tuple[int, Sample]], features: dict[str, str]) -> None:
    """Writes the records of samples."""
    for index, sample in sound:
        lacking = [role for role in features if role not in sample]
        if lacking:
            raise ArgumentError(f"dataset: sample {index} has no {lacking[0]}")
        if "mask" in sample and "mask" not in features:
            raise ArgumentError(f"dataset: sample {index} has a mask, but the first has none")
        values = {_NAME: str(sample.get("name", index)).encode()}
        data = _example({**values, **{key: encoded(sample[role], "png") for role, key in features.items()}})
        head = struct.pack("<Q", len(data))
        file.write(head + _checksum(head) + data + _checksum(data))


def _is_compressed(path: Path) -> bool:
    with _checks.opened(path, "paths") as file:
        head = file.read(12)
    if head[:2] == b"\x1f\x8b":
        return True
    is_zlib = len(head) > 1 and head[0] == 0x78 and (head[0] << 8 | head[1]) % 31 == 0
    return is_zlib and head[8:] != _checksum(head[:8])


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
        while data := file.read(1 << 20):
            while data:
                try:
                    size += unpacked.write(engine.decompress(data, 1 << 24))
                except zlib.error as error:
                    return f"{path}: damaged: {error}"
                if size > limit:
                    raise DataError(
                        f"{path}: would unpack to more than {limit:,} bytes, too many for records of images"
                    )
                data = engine.unused_data if engine.eof else engine.unconsumed_tail
                if engine.eof and data:  # several files one after another are one
                    engine = zlib.decompressobj(_GZIP_OR_ZLIB)
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
    try:
        at = 0
        for _ in range(2):  # the features, then the first of them
            key, at = _protobuf.varint(start, at)
            length, at = _protobuf.varint(start, at)
            if key != 1 << 3 | 2:
                return None
        parts = dict(_protobuf.fields(start[at : at + length]))
        values = _feature(parts[2]) if parts.get(1) == _NAME.encode() else []
        return values[0].decode() if values and isinstance(values[0], bytes) else None
    except (ValueError, LookupError, TypeError, struct.error):
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
    size = [next(iter(features.get(name, ())), None) for name in _SIZE]
    height, width = (x if isinstance(x, int) and x > 0 else 0 for x in size)
    images = [data for role, data in sources.items() if role != "mask"]
    return (height, width) if height and width and all(len(x) == height * width * 3 for x in images) else None


def example(data: bytes) -> dict[str, list[Any]]:
    """Returns the features of a tf.train.Example: lists of bytes or whole numbers by name; those of floats are empty.

    Raises:
        ValueError: data is not such a message.
    """
    feature_lists: dict[str, list[Any]] = {}
    for features in _values(data):
        for entry in _values(features):
            parts = dict(_protobuf.fields(entry))
            feature_lists[_bytes(parts.get(1, b"")).decode()] = _feature(parts.get(2, b""))
    return feature_lists


def _values(message: bytes) -> list[Any]:
    """Returns the values of the first field of a message, which may be repeated."""
    return [value for number, value in _protobuf.fields(message) if number == 1]


def _feature(data: bytes) -> list[Any]:
    values: list[Any] = []
    for kind, body in _protobuf.fields(data):
        for value in _values(body):
            if kind == 1:
                values.append(_bytes(value))
            elif kind == 3:
                values += [value] if isinstance(value, int) else _varints(value)
    return values


def _bytes(value: Any) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number, expected bytes")
    return bytes(value)


def _varints(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _protobuf.varint(data, at)
        values.append(value)
    return values


def _example(features: dict[str, bytes]) -> bytes:
    def field(number: int, data: bytes) -> bytes:
        length, head = len(data), [number << 3 | 2]
        while length > 127:
            head.append(length & 127 | 128)
            length >>= 7
        return bytes([*head, length]) + data

    entries = (field(1, key.encode()) + field(2, field(1, field(1, value))) for key, value in features.items())
    return field(1, b"".join(field(1, entry) for entry in entries))
