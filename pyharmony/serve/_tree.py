"""The folder of one run of the service: its paths, the sizes of proxies, and its removal."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .. import _temporary
from .._images.sizes import fitted
from ..runs._jobs.failures import causes, reading
from ..typing import ImageFormat

_FOLDER = re.compile(r"pyharmony-serve-[0-9a-f]{16}")
_LOCK = "lock"
#: The errors of the operating system if there is no room for a file.
_DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: The message of such an error.
DISK_FULL = "the disk of the service is full; try again later"


def is_full(error: BaseException | None) -> bool:
    """Returns whether an error, or one that it was raised from, reports a full disk."""
    return any(isinstance(one, OSError) and one.errno in _DISK_FULL_ERRORS for one in causes(error))


def new_id() -> str:
    """Returns a name of 128 random bits."""
    return secrets.token_hex(16)


class Tree(NamedTuple):
    """The folder of a run and the paths in it."""

    folder: Path

    def picture(self, id: str) -> Path:
        return self.folder / "pictures" / id

    def proxy(self, id: str) -> Path:
        return self.folder / "proxies" / id

    def open(self, path: str, name: str) -> BinaryIO:
        """Opens an image or a proxy of this run to read; RunError, which begins with name: it is none, or a link."""

        def opener(path: str, flags: int) -> int:
            inner = os.path.dirname(path)
            if inner not in (str(self.folder / "pictures"), str(self.folder / "proxies")):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            folder = os.open(inner, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                # A pipe or a device is opened without waiting for it, and refused.
                descriptor = os.open(os.path.basename(path), flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
                os.close(descriptor)
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return descriptor

        with reading(f"{name}: {os.path.basename(path)}"):
            return open(path, "rb", opener=opener)

    def is_proxy(self, path: str) -> bool:
        return os.path.dirname(path) == str(self.folder / "proxies")

    def of_job(self, id: str) -> Path:
        """Returns the folder of a job's output files."""
        return self.folder / "jobs" / id

    def recipe(self, job: str) -> Path:
        """Returns the path of a job's recipe."""
        return self.folder / "recipes" / f"{job}.json"

    def make(self) -> None:
        for name in ("pictures", "proxies", "recipes", "jobs"):
            (self.folder / name).mkdir(mode=0o700)


class Sizes(NamedTuple):
    """The size of an image, which determines that of its proxy."""

    width: int
    height: int
    channels: int
    side: int

    @property
    def factor(self) -> float:
        """The ratio of the proxy's size to the image's, at most 1."""
        return min(1.0, self.side / max(self.width, self.height))

    @property
    def proxy(self) -> tuple[int, int]:
        return fitted((self.width, self.height), self.side)


def proxy_format(channels: int) -> ImageFormat:
    """Returns the format of the proxy of an image with this many channels: lossless for masks and alpha."""
    return "jpeg" if channels == 3 else "png"


@contextlib.contextmanager
def run_folder() -> Iterator[Tree]:
    """Creates the folder of a run in the system's folder for temporary files, and removes it at the end.

    Folders that killed runs of the same user left behind are removed too: their locks are free.
    """
    parent = Path(tempfile.gettempdir())
    _sweep(parent)
    folder, descriptor = _locked_folder(parent)
    try:
        tree = Tree(folder)
        tree.make()
        yield tree
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Creates a folder whose lock this process holds, and returns it with the descriptor of the lock.

    Another service that starts may remove it before it is locked; then another one is created.
    """
    while True:
        folder = parent / f"pyharmony-serve-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        lock = folder / _LOCK
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _temporary.lock(descriptor, wait=True)
        if _temporary.is_at(descriptor, lock):
            return folder, descriptor
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
                if not ours or not _FOLDER.fullmatch(entry.name):
                    continue
                lock = Path(entry.path, _LOCK)
                descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if _temporary.lock(descriptor, wait=False) and _temporary.is_at(descriptor, lock):
                        shutil.rmtree(entry.path, ignore_errors=True)
                finally:
                    os.close(descriptor)
