"""Raw shards: samples of one size as bytes, read directly from their files.

A folder has `index.json` and files `shard-00000.bin`. A file has a header of 4096 bytes, the magic and a JSON object
{size, samples, fields, sha256 of what follows}, then a record for each sample: the images of `fields` in order, uint8
[size, size, 3], and the mask, size² bits in rows, the highest bit of a byte first. At size 256 a record of composite,
target and mask is 98 pages of 4096 bytes. The index has the size, the fields, and for each file its name, number of
samples, sha256 and the names of its samples.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import _checks
from ..._arrays import NumpyArray
from ...errors import ArgumentError, DataError, PyHarmonyError, ShapeError
from ...typing import PathLike, Skip
from . import _files
from ._dataset import Dataset, Problem, Sample, error_text, in_order, load_samples

FORMAT = "pyharmony shards"  # the name of the format in an index
VERSION = 1  # the version of the format
MAGIC = b"pyharmony shard 1\n"
HEADER = 4096
FIELDS = ("composite", "target", "image", "mask")
#: The largest number of files that a data set keeps open.
_MAX_OPEN_FILES = 64


class Shards(Dataset):
    """Samples of raw shards; a file is opened when one of its samples is first read.

    Args:
        folder: the folder that `write_shards` wrote.

    Attributes:
        size: the side of the samples.
        fields: the arrays of the samples, some of `composite`, `target`, `image` and `mask`.

    `shards[i]` is a sample with newly allocated arrays, `shards[[3, 1]]` a batch. torch's DataLoader supports both;
    batches are faster, with a BatchSampler as its `sampler` and `batch_size=None`. It is safe to fork and to pickle.

    Raises:
        DataError: the index is missing, damaged or of another version. If a file is missing or damaged, only reading
            its samples is an error.

    Example:
        >>> from pyharmony import data
        >>> data.write_shards(data.Photos("photos"), "shards", 16).fields
        ('image', 'mask')
        >>> data.Shards("shards")[[1, 0]]["image"].shape
        (2, 16, 16, 3)
    """

    @_checks.kinds
    def __init__(self, folder: PathLike) -> None:
        self.folder = _checks.folder(folder, "folder")
        index = self.folder / "index.json"
        if not index.is_file():
            raise DataError(f"folder: {self.folder}: no index.json of shards")
        table = _files.read_json(index)
        with _files.data_errors(str(index)):
            if (table["format"], table["version"]) != (FORMAT, VERSION):
                raise DataError(f"{index}: {table['format']!r} of version {table['version']!r}, expected {VERSION}")
            self.size, self.fields = int(table["size"]), tuple(table["fields"])
            shards = _listed(table["shards"])
            self._table = [{key: one[key] for key in ("file", "samples", "sha256", "names")} for one in shards]
            where = str(index)
            self.names = [_files.check_name(name, where) for one in shards for name in _listed(one["names"])]
            self._groups = [_files.check_name(group, where) for one in shards for group in _listed(one["groups"])]
            sound = 0 < self.size < 1 << 16 and self.fields and set(self.fields) <= set(FIELDS)
            sound = sound and len(set(self.fields)) == len(self.fields)
            sound = sound and all(type(one["samples"]) is int and isinstance(one["sha256"], str) for one in self._table)
            sound = sound and all(len(one["names"]) == one["samples"] for one in self._table)
            if not sound or len(self._groups) != len(self.names):
                raise ValueError("its parts contradict each other")
        self._starts = np.cumsum([0] + [one["samples"] for one in self._table])
        self._open: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    @property
    def groups(self) -> Sequence[str]:
        return self._groups

    def __getitem__(self, index: Any) -> Sample:
        if isinstance(index, (list, tuple, np.ndarray)):
            return self.batch(index)
        batch = self.batch([self._at(index)])
        return {name: value[0] for name, value in batch.items()}

    def batch(self, indices: Sequence[int] | NumpyArray) -> Sample:
        """Returns several samples as one batch.

        Args:
            indices: [N] whole numbers.

        Returns:
            `name`, a list, and contiguous arrays of uint8: images [N, size, size, 3], `mask` [N, size, size] of 0 and
            255.

        Raises:
            DataError: a file is missing or damaged.
            IndexError: there is no such sample.
        """
        rows = [self._at(index, "indices") for index in _checks.several(indices, "indices", "whole numbers")]
        places = [(int(shard), row) for shard, row in zip(np.searchsorted(self._starts, rows, "right") - 1, rows)]
        bits = _sizes(self.size)[1]
        batch: dict[str, Any] = {"name": [self.names[row] for row in rows]}
        for field in self.fields:
            shape = (bits,) if field == "mask" else (self.size, self.size, 3)
            batch[field] = np.empty((len(rows), *shape), np.uint8)
        for n, (shard, row) in enumerate(places):
            self._fill([batch[field][n].reshape(-1) for field in self.fields], shard, row - int(self._starts[shard]))
        if "mask" in batch:
            mask = np.unpackbits(batch["mask"], axis=1, count=self.size**2)
            batch["mask"] = np.negative(mask, out=mask).reshape(-1, self.size, self.size)  # 1 becomes 255
        return batch

    @_checks.kinds
    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        rank: int = 0,
        ranks: int = 1,
        drop_last: bool = False,
    ) -> Iterator[Sample]:
        """Yields the batches of one epoch.

        Args:
            batch_size: the number of samples per batch.
            seed: the seed of the order, combined with epoch; None: the order in the files.
            epoch: the index of the epoch.
            rank, ranks: the index of this process and the number of all; each gets every ranks-th sample, equally many.
            drop_last: whether to drop a smaller last batch.
        """
        n, ranks = _checks.whole(batch_size, "batch_size", low=1), _checks.whole(ranks, "ranks", low=1)
        if _checks.whole(rank, "rank") >= ranks:
            raise ArgumentError(f"rank: {rank}, expected 0 to {ranks - 1}")
        order = np.arange(len(self))
        if seed is not None:
            key = [_checks.whole(seed, "seed"), _checks.whole(epoch, "epoch")]
            order = np.random.default_rng(key).permutation(order)
        order = order[: len(self) // ranks * ranks][rank::ranks]
        end = len(order) // n * n if drop_last else len(order)
        return (self.batch(order[start : start + n]) for start in range(0, end, n))

    def _fill(self, parts: list[NumpyArray], shard: int, record: int) -> None:
        """Reads a record of a file into uint8 arrays.

        The file is read, not memory-mapped: if it is truncated meanwhile, that raises an error, not a signal.
        """
        file = self._file(shard)
        left = [part.data for part in parts]
        at = HEADER + record * _length(self.size, self.fields)
        while left:
            count = os.preadv(file.fileno(), left, at)
            if not count:
                raise DataError(f"{file.name}: truncated at byte {at}, within sample {record}")
            at += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if count:
                left[0] = left[0][count:]

    def _file(self, shard: int) -> Any:
        """Returns the open file, after comparing its length and header with the index."""
        file = self._open.get(shard)
        if file is None:
            one = self._table[shard]
            index = str(self.folder / "index.json")
            path = _files.own_file(self.folder, _files.inside(self.folder, one["file"], index), index)
            file = open(path, "rb", buffering=0)  # noqa: SIM115, it is closed with its last reader
            head = file.read(HEADER)
            length = HEADER + one["samples"] * _length(self.size, self.fields)
            if (size := os.fstat(file.fileno()).st_size) != length:
                raise DataError(f"{path}: {size} bytes, expected {length}")
            if head != _header(self.size, one["samples"], self.fields, one["sha256"]):
                raise DataError(f"{path}: its header differs from the index")
            with contextlib.suppress(KeyError, RuntimeError):  # another thread may have been faster
                while len(self._open) >= _MAX_OPEN_FILES:
                    del self._open[next(iter(self._open))]
            self._open[shard] = file
        return file

    @_checks.kinds
    def check(
        self, progress: Callable[[], None] | None = None, *, threads: int = 1, size: int | None = None
    ) -> list[Problem]:
        """Returns every file that is missing, damaged or different from the index, by its checksum.

        Args:
            progress: called after each sample.
            threads: the number of files to read at once.
            size: the side of a network's training images, as in `Dataset.check`: if no file is damaged, a sample whose
                mask is empty at that size is a problem too.
        """
        side = None if size is None else _checks.whole(size, "size", low=1)
        problems: list[Problem] = []
        of_files = in_order(self._check_file, len(self._table), threads)
        for one, problem in zip(self._table, of_files, strict=True):
            problems += problem
            if progress is not None:
                for _ in range(one["samples"]):
                    progress()
        if side is not None and not problems:
            for own_problems in in_order(functools.partial(self._check_mask, size=side), len(self), threads):
                problems += own_problems
        return problems

    def _check_file(self, shard: int) -> list[Problem]:
        one = self._table[shard]
        try:
            file = self._file(shard)
            digest, at, left = hashlib.sha256(), HEADER, one["samples"] * _length(self.size, self.fields)
            while left and (block := os.pread(file.fileno(), min(left, 1 << 20), at)):
                digest.update(block)
                at, left = at + len(block), left - len(block)
            if left or digest.hexdigest() != one["sha256"]:
                raise DataError(f"{self.folder / one['file']}: damaged: its sha256 differs from the index")
        except (PyHarmonyError, OSError) as error:
            return [Problem(str(one["file"]), error_text(error))]
        return []


@_checks.kinds
def write_shards(
    dataset: Dataset | Sequence[Sample],
    folder: PathLike,
    size: int = 256,
    *,
    samples_per_shard: int = 1024,
    errors: Skip = "raise",
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> Shards:
    """Writes samples as raw shards, all or nothing.

    Args:
        dataset: a `Dataset`, or any sequence of samples; all have the fields of the first one. Only `composite`,
            `target`, `image` and `mask` are written.
        folder: the folder to write; it must not exist.
        size: the side of the written images, see `resize_sample`. Masks are binarised.
        samples_per_shard: the number of samples in a file.
        errors: 'raise', or 'skip' to skip bad samples, with a warning in the log for each.
        threads: the number of samples to decode at once; does not affect the files.
        progress: called after each sample.

    Returns:
        The `Shards`.

    Raises:
        FileExistsError: folder exists.
        ShapeError: a sample has other fields than the first, or there is no sample.
        PyHarmonyError, OSError: a sample is bad.

    Example:
        >>> from pyharmony import data
        >>> shards = data.write_shards(data.Photos("photos"), "shards", 16)
        >>> shards[0]["image"].shape
        (16, 16, 3)
    """
    side, most = _checks.whole(size, "size", low=1), _checks.whole(samples_per_shard, "samples_per_shard", low=1)
    sound = load_samples(dataset, errors, progress, threads, side)
    groups = dataset.groups if isinstance(dataset, Dataset) else None
    with _files.new_folder(folder) as draft:
        writer = _Writer(draft, side, most)
        for index, sample in sound:
            writer.add(sample, groups[index] if groups is not None else str(sample.get("name", index)), index)
        writer.finish()
    return Shards(folder)


class _Writer:
    """Writes the files of a folder of shards, one after the other."""

    def __init__(self, folder: Path, size: int, most: int) -> None:
        self.folder, self.size, self.most = folder, size, most
        self.fields: tuple[str, ...] = ()
        self.table: list[dict[str, Any]] = []
        self.file: Any = None

    def add(self, sample: Sample, group: str, index: int) -> None:
        name = str(sample.get("name", index))
        fields = tuple(field for field in FIELDS if field in sample)
        if not fields or self.fields not in ((), fields):
            raise ShapeError(
                f"{name}: has {', '.join(fields) or 'no image'}, expected {', '.join(self.fields or FIELDS)}"
            )
        values = ((field, sample[field]) for field in fields)
        record = b"".join((np.packbits(value) if field == "mask" else value).tobytes() for field, value in values)
        self.fields = fields
        if self.file is None:
            self.table.append({"file": f"shard-{len(self.table):05}.bin", "samples": 0, "names": [], "groups": []})
            self.file = open(self.folder / self.table[-1]["file"], "w+b")  # noqa: SIM115, it is closed when full
            self.file.write(bytes(HEADER))
            self.digest = hashlib.sha256()
        self.file.write(record)
        self.digest.update(record)
        one = self.table[-1]
        one["samples"] += 1
        one["names"].append(name)
        one["groups"].append(group)
        if one["samples"] == self.most:
            self.close()

    def close(self) -> None:
        if self.file is not None:
            with contextlib.closing(self.file):
                one = self.table[-1]
                one["sha256"] = self.digest.hexdigest()
                self.file.seek(0)
                self.file.write(_header(self.size, one["samples"], self.fields, one["sha256"]))
                _files.sync(self.file)
            self.file = None

    def finish(self) -> None:
        self.close()
        if not self.table:
            raise ShapeError("dataset: no sample to write")
        head = {"format": FORMAT, "version": VERSION, "size": self.size, "fields": self.fields}
        with open(self.folder / "index.json", "w", encoding="utf-8") as file:
            json.dump({**head, "samples": sum(one["samples"] for one in self.table), "shards": self.table}, file)
            _files.sync(file)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__}, expected a list")
    return value


def _sizes(size: int) -> tuple[int, int]:
    """Returns the number of bytes of an image and of a mask."""
    return 3 * size * size, (size * size + 7) // 8


def _length(size: int, fields: Sequence[str]) -> int:
    image_bytes, bits = _sizes(size)
    return sum(bits if field == "mask" else image_bytes for field in fields)


def _header(size: int, samples: int, fields: Sequence[str], sha256: str) -> bytes:
    about = {"size": size, "samples": samples, "fields": list(fields), "sha256": sha256}
    return (MAGIC + json.dumps(about).encode() + b"\n").ljust(HEADER, b"\0")
