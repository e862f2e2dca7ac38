"""The output folder of a run: the paths that it may write and delete, and which files in it are the run's own.

A file is known by its inode. While an output is written, its file also has a name in the run's own folder, a hard link
NUMBER.INDEX.TOKEN: so a later run knows which outputs were begun, and which ones another program has written meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import tarfile
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ... import _temporary
from ...errors import PyHarmonyError, RunError
from .._jobs.failures import Code, reading
from .._jobs.failures import writing as _writing

#: The folder of the ledgers inside the output folder.
FOLDER = ".pyharmony-batch"
#: The longest name of a file in bytes, on common file systems.
LONGEST_NAME = 255
#: The longest path in the output folder in bytes, and its most folders; systems accept 4096 bytes from the root.
_LONGEST_PATH, _MAX_FOLDERS = 2048, 64
#: Errors of the operating system that stop the run, since every other item would fail as well.
STOPPING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_TAR_END = bytes(1024)
_UNFINISHED_NAME = re.compile(r"(\d+)\.(\d+)\.[0-9a-f]+")


class Mark(NamedTuple):
    """A file as the run has written it."""

    inode: int
    bytes: int
    sha256: str


@contextlib.contextmanager
def writing(name: str) -> Iterator[None]:
    """Turns errors of the operating system into those of the output called `name`; a full disk ends the run."""
    try:
        with _writing(name):
            yield
    except RunError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in STOPPING:
            raise RunError(str(error), Code.RESOURCES, "disk", "disk-full") from error.__cause__
        raise


def problem_of(out: str) -> str:
    """Returns why a path cannot be that of an output in the output folder; '' if it can."""
    folders, last = os.path.split(out)
    parts = [*filter(None, folders.split(os.sep)), last]
    if os.path.isabs(out) or os.pardir in parts or os.path.normpath(out) != out or "\0" in out or last in ("", "."):
        return "is outside the output folder"
    if unicodedata.normalize("NFKC", parts[0]).casefold() == FOLDER:
        return "is in the folder of the ledger"
    try:
        sizes = [len(os.fsencode(part)) for part in parts]
    except UnicodeEncodeError:
        return "is no text"
    if max(sizes) > LONGEST_NAME or sum(sizes) + len(sizes) > _LONGEST_PATH or len(sizes) > _MAX_FOLDERS:
        return f"is too long, expected at most {_LONGEST_PATH} bytes and {_MAX_FOLDERS - 1} folders"
    return ""


def is_inside(path: str, root: str) -> bool:
    """Returns whether a path leads to a place in a folder: it is no link, and no link in it leads out."""
    base = os.path.realpath(root)
    return not os.path.islink(path) and os.path.commonpath([base, os.path.realpath(os.path.dirname(path))]) == base


def check_inside(path: str, root: str) -> None:
    """Refuses an output that is a link, or whose folder is, by a link, outside the output folder."""
    if not is_inside(path, root):
        raise RunError(f"{path}: a link, expected a file inside {root}", Code.INPUT, "outside")


def checksum(path: str) -> dict[str, Any]:
    """Returns the size and the SHA-256 of a file, as it can be read after it was written."""
    with reading(path), open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def mark_of(path: str, bytes: int, sha256: str) -> Mark:
    """Returns the mark of a file that was just written."""
    return Mark(os.lstat(path).st_ino, bytes, sha256)


def is_whole(path: str, mark: Mark, *, verify: bool) -> bool:
    """Returns whether a file is as the run wrote it, by its size, or by its digest too."""
    try:
        there = os.lstat(path)
        same = stat.S_ISREG(there.st_mode) and there.st_size == mark.bytes
        return same and (not verify or checksum(path)["sha256"] == mark.sha256)
    except (OSError, RunError):
        return False


class Begun:
    """The folder with the second names of the files that the run has begun to write."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def recording(self, number: int, index: int, path: str, root: str) -> Iterator[None]:
        """Notes the file that the block writes as that of an item; a file system without hard links cannot.

        Its folder may have become a link since the item was begun: it is judged before the file is created, and once
        more while that is empty, whose name cannot be given to it in another folder.
        """
        name = os.path.join(self.folder, f"{number}.{index}.{secrets.token_hex(4)}")

        def watch(unfinished: Path) -> None:
            check_inside(path, root)
            with contextlib.suppress(OSError):
                os.link(unfinished, name)

        if not self.folder:  # a list of a command: its outputs are anywhere
            yield
            return
        check_inside(path, root)
        with _temporary.watched(watch):
            yield

    def names(self) -> Iterator[tuple[int, int, str]]:
        """Yields the number of an item, the index of one of its files, and the second name of that."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if match := _UNFINISHED_NAME.fullmatch(entry.name):
                    yield int(match[1]), int(match[2]), entry.path

    def forget(self, numbers: Collection[int] | None = None) -> None:
        """Removes the names of the files of some items, or all; they are in the ledger, or nobody's."""
        for number, index, name in list(self.names()):
            if numbers is None or (number in numbers and index < 9):
                with contextlib.suppress(OSError):
                    os.unlink(name)

    def has(self, number: int, index: int, path: str) -> bool:
        """Returns whether a file is one that was begun for an item."""
        with contextlib.suppress(OSError):
            there = os.lstat(path)
            names = (name for one, other, name in self.names() if (one, other) == (number, index))
            return any(os.path.samestat(os.lstat(name), there) for name in names)
        return False

    def owns(self, number: int, index: int, path: str, root: str, files: Sequence[Mark]) -> bool:
        """Returns whether a file is the run's: one of those that it wrote for an item, or begun for it."""
        mark = files[index] if index < len(files) else None
        return is_own(path, root, mark) or (is_inside(path, root) and self.has(number, index, path))


def is_own(path: str, root: str, mark: Mark | None) -> bool:
    """Returns whether a file is the one that the run wrote at a path, or what is left of it after it was cut."""
    try:
        there = os.lstat(path)
    except OSError:
        return False
    if mark is None or not stat.S_ISREG(there.st_mode) or not is_inside(path, root):
        return False
    if there.st_size == mark.bytes and checksum(path)["sha256"] == mark.sha256:
        return True
    return there.st_ino == mark.inode and there.st_size <= mark.bytes and not _is_readable(path)


def _is_readable(path: str) -> bool:
    """Returns whether a file is a whole image or shard: another program's, which may have the inode of one deleted."""
    from ...io import read

    try:
        if path.endswith(".tar"):
            with tarfile.open(path) as archive:
                has_members = len(archive.getmembers()) > 0  # also if it was cut
            with open(path, "rb") as file:
                file.seek(-len(_TAR_END), os.SEEK_END)
                return has_members and file.read() == _TAR_END
        read(path)
    except (PyHarmonyError, OSError, MemoryError, tarfile.TarError):
        return False
    return True


def remove(path: str, root: str, mark: Mark | None) -> None:
    """Deletes a file, if it is the one that the run wrote there."""
    if is_own(path, root, mark):
        with writing(path), contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def check_own_folder(folder: Path) -> None:
    """Makes a folder of the run, and refuses a link in its place."""
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise RunError(f"{folder}: a link, expected a folder of the run", Code.INPUT, "outside", "damaged-ledger")
