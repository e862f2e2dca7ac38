"""The images of a folder, by one rule for all that read folders: a file's name, or else its first bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .._warnings import warn
from ..errors import PyHarmonyWarning
from ._decode import sniff

__all__ = ["IMAGE_SUFFIXES", "images_in", "is_image", "tell_of_others"]

#: The suffixes of files that are images whatever they contain, so that a damaged one is an error when it is read.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif", ".jxl",
)  # fmt: skip
#: The number of files that a warning names.
_NAMED_FILES = 3


def is_image(file: os.DirEntry[str] | Path) -> bool:
    """Returns whether a file is an image that is read."""
    named = os.path.splitext(file.name)[1].lower() in IMAGE_SUFFIXES
    # Opening a FIFO would wait; a link that leads nowhere, or to itself, is an error when it is read.
    if not os.path.isfile(file):
        return named and file.is_symlink() and not os.path.exists(file)
    if named:
        return True
    try:
        with open(file, "rb") as opened:
            return sniff(opened.read(64))[0] is not None
    except OSError:
        return False


def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the images of a folder and its other files, each in the order of names; hidden ones are in neither."""
    with os.scandir(folder) as entries:
        entries_by_name = sorted(
            (one for one in entries if not one.name.startswith(".") and not os.path.isdir(one)),
            key=lambda one: one.name,
        )
    images: list[Path] = []
    others: list[Path] = []
    for entry in entries_by_name:
        (images if is_image(entry) else others).append(folder / entry.name)
    return images, others


def tell_of_others(folder: Path, others: Sequence[str | os.PathLike[str]], what: str = "no image that is read") -> None:
    """Warns of the files of a folder that are left out, with their number and the first names."""
    if others:
        names = ", ".join(os.path.basename(each) for each in others[:_NAMED_FILES])
        more = f" and {len(others) - _NAMED_FILES} more" if len(others) > _NAMED_FILES else ""
        count = "1 file is" if len(others) == 1 else f"{len(others):,} files are"
        warn(PyHarmonyWarning(f"{folder}: {count} {what} and left out: {names}{more}", code="files-left-out"))
