"""Files and folders that take their name when they are whole, and what becomes of those whose run was killed.

What is unfinished lies beside its target as `.pyharmony-HOST-XXXXXXXXXXXXXXXX.part`, locked by the process that writes
it (flock(2)). The system lets go of the lock when the process ends, however it ends: whoever next writes to the same
folder removes what nobody holds. Another host's is left alone for a day, since not every network has its locks in
common.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"\.pyharmony-([0-9a-f]{8})-[0-9a-f]{16}\.part")
#: Seconds after which a file of another host, on which no lock is seen, counts as left behind.
_LONG = 86_400.0
#: The folders that this process looked through; a run may write a million files into one.
_swept: set[str] = set()
_MOST_SWEPT = 4096

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


@functools.cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Locks what is open until it is closed; False where somebody else holds it, or the file system has no locks."""
    try:
        import fcntl
    except ImportError:  # a system without flock
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether path is the name of what is open."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _made(beside: Path, *, folder: bool) -> tuple[Path, int]:
    """A new file or folder of a temporary name, open and locked.

    Who sweeps may find it before it is locked; then another one is made.
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
            descriptor = os.open(path, _NEW, 0o666)
        _lock(descriptor, wait=True)
        if _is_at(descriptor, path):
            return path, descriptor
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _age(path: Path) -> float:
    """Seconds since it, or something directly in it, was written."""
    times = [path.lstat().st_mtime]
    if path.is_dir():
        times += [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(path)]
    return time.time() - max(times)


def sweep(beside: Path) -> None:
    """Removes what runs that were killed left in a folder; nothing that a living one writes.

    It never fails: what may not be read or removed stays.
    """
    own = _host()
    try:
        with os.scandir(beside) as entries:
            found = [(named[1], Path(entry.path)) for entry in entries if (named := _NAME.fullmatch(entry.name))]
    except OSError:
        return
    for host, path in found:
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or (host != own and _age(path) < _LONG):
                continue
            access = os.O_RDONLY if stat.S_ISDIR(mode) else os.O_RDWR
            descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if _lock(descriptor, wait=False) and _is_at(descriptor, path):
                    _remove(path)
            finally:
                os.close(descriptor)


def _sweep_once(beside: Path) -> None:
    key = os.path.realpath(beside)
    if key not in _swept:
        if len(_swept) >= _MOST_SWEPT:
            _swept.clear()
        _swept.add(key)
        sweep(beside)


@contextlib.contextmanager
def opened(beside: str | os.PathLike[str]) -> Iterator[tuple[Path, int]]:
    """A new file in a folder and its descriptor; unless it has been renamed, it is gone at the end.

    Raises:
        OSError: it cannot be made.
    """
    place = Path(beside)
    _sweep_once(place)
    path, descriptor = _made(place, folder=False)
    try:
        yield path, descriptor
    finally:
        try:
            if _is_at(descriptor, path):
                _remove(path)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of an empty file, to be written, that takes the place of target when all went well.

    Raises:
        OSError: it cannot be written, with the name of target.
    """
    place = Path(target)
    with _named(place), opened(place.parent) as (path, _):
        yield path
        os.replace(path, place)


@contextlib.contextmanager
def folder(target: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A new folder, to be written into, that takes the name of target when all went well.

    Args:
        target: the name; nothing has it, unless replace is True.
        replace: take the place of a folder that is there, at once: there is one or the other under the name at any
            time, or, where the file system cannot exchange two names, under `.NAME.pyharmony-old` until the next
            call of `restore`.

    Raises:
        OSError: it cannot be written, with the name of target; what was there stays.
    """
    place = Path(target)
    with _named(place):
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
            _sync(place.parent)
        finally:
            # After an exchange it is the old folder that has the temporary name.
            if os.path.lexists(path):
                _remove(path)
            os.close(descriptor)


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Errors of the system that name nothing, or what is unfinished, are of the target."""
    try:
        yield
    except OSError as error:
        name = error.filename
        unfinished = isinstance(name, (str, bytes, os.PathLike)) and _NAME.search(os.fsdecode(name))
        if error.errno is None or not (name is None or unfinished):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error


def _sync(folder: Path) -> None:
    """A new name on the disk too, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _renameat2(first: Path, second: Path) -> bool:
    """Exchanges two names in one step; False where the system has no such call, or not for this file system."""
    if not sys.platform.startswith("linux"):
        return False
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), str(second))


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.pyharmony-old")


def _exchange(new: Path, target: Path) -> None:
    """The new folder under the name of target, and the old one under the new one's."""
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
    """Gives a folder its name back where a kill in between two steps of a replacement took it.

    Only where names cannot be exchanged in one step there are such; an old folder beside its complete follower goes.
    """
    place = Path(target)
    aside = _aside(place)
    if not os.path.lexists(aside):
        return
    if os.path.lexists(place):
        _remove(aside)
    else:
        os.rename(aside, place)
