"""Outputs as WebDataset shards: finished files are collected, and packed into .tar files when there are enough."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ... import _temporary
from ...errors import RunError
from .._jobs.failures import Code
from ._folder import Begun, Mark, checksum, is_inside, mark_of, writing
from ._ledger import Ledger
from .operations import Settings, outputs_of

#: The index of a shard among the files that are begun; those of an item are below it.
SHARD = 9


@dataclass(frozen=True)
class _Sample:
    """A finished item: its key in a shard, its name, and its files with their roles; '' is an item's only file."""

    key: str
    name: str
    files: dict[str, str]


class Packer:
    """The shards of a run.

    A shard's items are in the ledger before it is written, and it is there as written before the files that it holds
    are deleted: whenever the run ends, each output is a file or in a shard, and an unfinished shard is written again.

    Args:
        settings: those of the run; its output is the folder of files that wait.
        size: the number of samples of a shard.
        prefix: the beginning of the names of shards.
    """

    def __init__(self, ledger: Ledger, settings: Settings, folder: Path, size: int, prefix: str) -> None:
        self.ledger, self.settings, self.folder, self.size, self.prefix = ledger, settings, folder, size, prefix
        self._threads = ThreadPoolExecutor(1)
        self._current: tuple[int, list[_Sample], Future[Mark]] | None = None

    def __enter__(self) -> Packer:
        if not (self.ledger.shards(written=True) or self.ledger.shards(written=False)):
            existing = sorted(self.folder.glob(f"{self.prefix}{'[0-9]' * 6}.tar"))
            if existing:
                raise _exists(existing[0])
        for number in self.ledger.shards(written=True):
            self._delete(self._samples(number))
        for number in self.ledger.shards(written=False):
            self._begin(number)
            self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def pack(self, *, all: bool = False) -> None:
        """Packs what has ended, while items are computed; all: also less than a whole shard, and waits for it."""
        if self._current is not None and (all or self._current[2].done()):
            self.wait()
        while self._current is None and (number := self.ledger.assign_shard(1 if all else self.size, self.size)) >= 0:
            self._begin(number)
            if all:
                self.wait()

    def wait(self) -> None:
        """Waits for the shard that is being written, and deletes the files that it holds."""
        if self._current is None:
            return
        number, samples, future = self._current
        self._current = None
        self.ledger.mark_written(number, future.result())
        self._delete(samples)

    def _begin(self, number: int) -> None:
        samples = self._samples(number)
        path = shard_of(self.folder, self.prefix, number)
        if os.path.lexists(path):
            raise _exists(path)
        begun = Begun(self.settings.begun)
        self._current = number, samples, self._threads.submit(_write, path, samples, begun, number)

    def _samples(self, shard: int) -> list[_Sample]:
        samples = []
        for number, name, out in self.ledger.in_shard(shard):
            samples.append(_Sample(f"{number:09}", name, outputs_of(self.settings, out)))
        return samples

    def _delete(self, samples: list[_Sample]) -> None:
        for file in (file for sample in samples for file in sample.files.values()):
            if is_inside(file, self.settings.output):
                with writing(file), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    os.unlink(file)


def _exists(path: Path) -> RunError:
    text = "already exists; shards need a folder without others"
    return RunError(f"{path}: {text}", Code.USAGE, "exists", "exists")


def shard_of(folder: Path, prefix: str, number: int) -> Path:
    """Returns the path of a shard."""
    return folder / f"{prefix}{number:06}.tar"


def _write(path: Path, samples: list[_Sample], begun: Begun, number: int) -> Mark:
    """Writes a shard, which gets its name when it is on the disk."""
    with (
        writing(str(path)),
        begun.recording(number, SHARD, str(path), str(path.parent)),
        _temporary.file(path) as unfinished,
    ):
        with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as archive:
            for sample in samples:
                for role, file in sample.files.items():
                    field = f"{role}{os.path.splitext(file)[1]}" if role else os.path.splitext(file)[1][1:]
                    with open(file, "rb") as source:
                        entry = tarfile.TarInfo(f"{sample.key}.{field}")
                        entry.size = os.fstat(source.fileno()).st_size
                        archive.addfile(entry, source)
                about = json.dumps({"name": sample.name}).encode()
                entry = tarfile.TarInfo(f"{sample.key}.json")
                entry.size = len(about)
                archive.addfile(entry, io.BytesIO(about))
        _temporary.sync(unfinished)
        mark = mark_of(str(unfinished), **checksum(str(unfinished)))
    _temporary.sync_folder(path.parent)
    return mark
