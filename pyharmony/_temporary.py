"""Files and folders that get their name when they are complete, and the removal of those left by killed runs.

An unfinished file is in the folder of its target as `.pyharmony-HOST-XXXXXXXXXXXXXXXX.part`, locked by the process that
writes it (flock(2)). The operating system releases the lock when the process ends, in any way. The next writer to the
same folder removes every such file that is not locked. A file of another host is kept for a day, since not every
network file system shares its locks.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import FileError

_NAME = re.compile(r"\.pyharmony-([0-9a-f]{8})-[0-9a-f]{16}\.part")
#: Seconds after which an unlocked file of another host counts as abandoned.
_ABANDONED_SECONDS = 86_400.0
#: The folders that this process has cleaned, stored because a run may write a million files into one.
_swept: set[str] = set()
_MAX_SWEPT_FOLDERS = 4096

#: What is called with each file that is begun, see `watched`.
_watch: contextvars.ContextVar[Callable[[Path], None] | None] = contextvars.ContextVar("watch", default=None)
_AT_FDCWD = -100  # for renameat2: relative names begin at the working directory
_RENAME_EXCHANGE = 2  # the flag of renameat2 that exchanges two names
_CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_UNSUPPORTED_ERRORS = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


@functools.cache
def _host() -> str:
    return hashlib.sha256(platform.node().encode("utf-8", "surrogateescape")).hexdigest()[:8]


def lock(descriptor: int, *, wait: bool) -> bool:
    """Locks an open file until it is closed; returns False if another process has the lock or there are no locks."""
    try:
        import fcntl
    except ImportError:  # the system has no flock
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Returns whether path is the name of the open file."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _made(beside: Path, *, folder: bool) -> tuple[Path, int]:
    """Creates a file or folder with a temporary name, open and locked, and returns its path and descriptor.

    Another process may remove it before it is locked; then another one is created.
    """
    while True:
        path = beside / f".pyharmony-{_host()}-{secrets.token_hex(8)}.part"
        if folder:
            os.mkdir(path, 0o700)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
        else:
            descriptor = os.open(path, _CREATE_FLAGS, 0o666)
        lock(descriptor, wait=True)
        if is_at(descriptor, path):
            return path, descriptor
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _age(path: Path) -> float:
    """Returns the seconds since the file, or any entry directly in the folder, was written."""
    times = [path.lstat().st_mtime]
    if path.is_dir():
        times += [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(path)]
    return time.time() - max(times)


def sweep(beside: Path) -> None:
    """Removes files of killed runs from a folder, but none that a running process is writing.

    It never fails: a file that may not be read or removed is kept.
    """
    own = _host()
    try:
        with os.scandir(beside) as entries:
            leftovers = [(match[1], Path(entry.path)) for entry in entries if (match := _NAME.fullmatch(entry.name))]
    except OSError:
        return
    for host, path in leftovers:
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or (host != own and _age(path) < _ABANDONED_SECONDS):
                continue
            access = os.O_RDONLY if stat.S_ISDIR(mode) else os.O_RDWR
            descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if lock(descriptor, wait=False) and is_at(descriptor, path):
                    _remove(path)
            finally:
                os.close(descriptor)


def _sweep_once(beside: Path) -> None:
    key = os.path.realpath(beside)
    if key not in _swept:
        if len(_swept) >= _MAX_SWEPT_FOLDERS:
            _swept.clear()
        _swept.add(key)
        sweep(beside)


@contextlib.contextmanager
def watched(watch: Callable[[Path], None]) -> Iterator[None]:
    """Calls a function with each file that the block begins, while it is empty; an error in it removes that file."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


@contextlib.contextmanager
def opened(beside: str | os.PathLike[str]) -> Iterator[tuple[Path, int]]:
    """Creates a file in a folder, and yields its path and descriptor; at the end removes it unless it was renamed."""
    place = Path(beside)
    _sweep_once(place)
    path, descriptor = _made(place, folder=False)
    try:
        if watch := _watch.get():
            watch(path)
        yield path, descriptor
    finally:
        try:
            if is_at(descriptor, path):
                _remove(path)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def file(target: str | os.PathLike[str], name: str = "path") -> Iterator[Path]:
    """Yields the path of an empty file to write; it replaces target if the block succeeds.

    name: the name of the argument, for messages.

    Raises:
        FileError: the file cannot be written, or target is a device, a pipe or a socket, which a file must not replace.
    """
    place = Path(target)
    with _named(place, name), opened(place.parent) as (path, _):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(place.stat().st_mode):
                raise FileError.of(errno.EISDIR if place.is_dir() else errno.ENODEV, name, place, "the path of a file")
        yield path
        os.replace(path, place)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Writes a whole text file in UTF-8, or nothing.

    Raises:
        FileError: the file cannot be written.
    """
    with file(target) as unfinished:
        unfinished.write_text(text, "utf-8")


@contextlib.contextmanager
def folder(target: str | os.PathLike[str], name: str = "folder", *, replace: bool = False) -> Iterator[Path]:
    """Yields a new folder to write into; it gets the name of target if the block succeeds.

    Args:
        target: the path, which must not exist unless replace is True.
        name: the name of the argument, for messages.
        replace: replace an existing folder atomically: at any time the name is that of the old folder or of the
            new one. If the file system cannot exchange two names, the old folder may be left under
            `.NAME.pyharmony-old` until the next call of `restore`.

    Raises:
        FileError: the folder cannot be written; the old folder is kept.
    """
    place = Path(target)
    with _named(place, name):
        sweep(place.parent)
        path, descriptor = _made(place.parent, folder=True)
        try:
            yield path
            mask = os.umask(0o022)
            os.umask(mask)
            path.chmod(0o777 & ~mask)
            if replace and os.path.lexists(place):
                _exchange(path, place)
            else:
                os.rename(path, place)
            sync_folder(place.parent)
        finally:
            # After an exchange the old folder has the temporary name.
            if os.path.lexists(path):
                _remove(path)
            os.close(descriptor)


@contextlib.contextmanager
def _named(target: Path, argument: str) -> Iterator[None]:
    """Makes errors of the operating system name the target if they name nothing or an unfinished file."""
    try:
        yield
    except OSError as error:
        name = error.filename
        unfinished = isinstance(name, (str, bytes, os.PathLike)) and _NAME.search(os.fsdecode(name))
        if error.errno is None or not (name is None or unfinished):
            raise
        raise FileError.of(error.errno, argument, target, "a path that can be written") from error


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Writes a new name in a folder to the disk, if the operating system can open a folder."""
    with contextlib.suppress(OSError):
        sync(folder)


def sync(path: str | os.PathLike[str]) -> None:
    """Writes a file or folder to the disk, so that after a power cut no name refers to an incomplete file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _renameat2(first: Path, second: Path) -> bool:
    """Exchanges two names atomically; returns False if the operating system or the file system has no such call."""
    if not sys.platform.startswith("linux"):
        return False
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED_ERRORS:
        return False
    raise OSError(number, os.strerror(number), str(second))


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.pyharmony-old")


def _exchange(new: Path, target: Path) -> None:
    """Gives the new folder the name of target, and the old folder the former name of the new one."""
    if _renameat2(new, target):
        return
    aside = _aside(target)
    restore(target)
    os.rename(target, aside)
    try:
        os.rename(new, target)
    except BaseException:
        os.rename(aside, target)
        raise
    os.rename(aside, new)


def restore(target: str | os.PathLike[str]) -> None:
    """Restores a folder's name if a run was killed between the two steps of a replacement.

    Only file systems that cannot exchange names atomically need this. An old folder next to a new one is removed.
    """
    place = Path(target)
    aside = _aside(place)
    if not os.path.lexists(aside):
        return
    if os.path.lexists(place):
        _remove(aside)
    else:
        os.rename(aside, place)
