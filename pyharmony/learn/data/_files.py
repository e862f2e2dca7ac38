"""Files of data sets as uint8 arrays, and checks of their paths."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import functools
import io
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ... import _checks, _temporary
from ... import io as files
from ..._arrays import VALUE_RANGE, NumpyArray
from ..._images.levels import in_levels, picture_levels
from ...errors import DataError, FileError, MaskError, OutOfMemory, PyHarmonyError, ShapeError
from ...io.files import read_square
from ...io.folders import images_in, tell_of_others
from ...io.masks import mask_of

#: The names of the images of a sample.
IMAGES = ("composite", "target", "image", "src", "dst")


class NamedBytes(io.BytesIO):
    """The bytes of a file, with its name for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


#: The errors that Python raises for an impossible number, name or nesting in a file, or a missing part.
_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, EOFError, RecursionError,
    struct.error, csv.Error,
)  # fmt: skip


@contextlib.contextmanager
def data_errors(what: str) -> Iterator[None]:
    """Turns any error in the contents of a foreign file into a DataError whose message begins with what.

    Errors of the system, of pyharmony and of missing packages pass unchanged.
    """
    try:
        yield
    except (OSError, PyHarmonyError):
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{what}: needs more memory than available") from error
    except _DAMAGE as error:
        text = " ".join(str(error).split())
        raise DataError(f"{what}: damaged: {type(error).__name__}{': ' if text else ''}{text[:200]}") from error


_Load = TypeVar("_Load", bound=Callable[..., Any])


def loads_files(load: _Load) -> _Load:
    """Wraps a data set's method that loads the sample of an index in `data_errors`."""

    @functools.wraps(load)
    def guarded(self: Any, index: int, *arguments: Any) -> Any:
        with data_errors(str(self.names[index])):
            return load(self, index, *arguments)

    return guarded  # type: ignore[return-value]


def label(source: Any) -> str:
    return str(getattr(source, "name", source)) if isinstance(source, io.IOBase) else str(source)


def read_picture(source: Any, role: str) -> NumpyArray:
    """Reads an image as uint8 [H, W, 3] in sRGB, upright, without alpha."""
    return picture_levels(files.read(source, role), role)


def read_mask(source: Any, role: str = "mask") -> NumpyArray:
    """Reads a mask as uint8 [H, W] from a grey image, one whose colours are all grey, or its alpha."""
    picture = files.read(source, role)
    pixels = picture.pixels
    if not (pixels.min() >= 0 and pixels.max() <= VALUE_RANGE[pixels.dtype.name]):  # NaN also fails
        raise MaskError(f"{role}: {label(source)}: values outside the range of a mask")
    levels = mask_of(dataclasses.replace(picture, pixels=in_levels(pixels)), f"{role}: {label(source)}")
    mask: NumpyArray = np.require(levels, requirements=["C", "W"])
    if mask.size > 1 and mask.max() == 1:
        raise MaskError(f"{role}: {label(source)}: its largest value is 1, expected 255 for fully inside")
    return mask


#: The width and height of images that were decoded at a reduced size, by role.
Sizes = dict[str, tuple[int, int]]


def sample(name: str, sources: dict[str, Any], side: int | None = None, sizes: Sizes | None = None) -> dict[str, Any]:
    """Reads a sample from files by role; their sizes must be equal, and a mask must not be empty.

    side: images may be decoded at a reduced size, to be resized to side x side pixels. sizes: those of whole images,
    of sources that are reduced.
    """
    result: dict[str, Any] = {"name": name}
    sizes = dict(sizes or {})
    for role, source in sources.items():
        if role == "mask":
            result[role] = read_mask(source, role)
        elif side is None:
            result[role] = read_picture(source, role)
        else:
            picture, size = read_square(source, role, side)
            result[role] = picture_levels(picture, role)
            sizes |= {} if size is None else {role: size}
    one_size(result, {role: f"{role}: {label(source)}" for role, source in sources.items()}, sizes)
    return result


def one_size(arrays: dict[str, Any], labels: dict[str, str], sizes: Sizes | None = None) -> None:
    """Raises if the arrays of a sample differ in size, or its mask is empty; sizes: those of reduced arrays."""

    def size_of(role: str) -> tuple[int, int]:
        height, width = arrays[role].shape[:2]
        return (sizes or {}).get(role, (width, height))

    first = next(iter(labels))
    for role, what in labels.items():
        (width, height), (w, h) = size_of(first), size_of(role)
        if (h, w) != (height, width):
            raise ShapeError(f"{what}: {w} x {h} pixels, expected {width} x {height} as {labels[first]}")
        if role == "mask" and arrays[role].max() < 128:
            raise MaskError(f"{what}: empty; no pixel is at least half inside")


def read_text(path: Path, name: str = "path") -> str:
    """Returns the text of a UTF-8 file; name: the argument that it comes from."""
    with _checks.opened(path, name) as file:
        data = file.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: {path}: not UTF-8 at byte {error.start}") from None


def read_lines(path: Path, name: str = "path") -> list[str]:
    """Returns the lines of a UTF-8 file."""
    return read_text(path, name).splitlines()


def read_json(path: Path, name: str = "path") -> Any:
    """Returns the contents of a JSON file."""
    text = read_text(path, name)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: {path}: invalid JSON: {error}") from None


def files_of(paths: Any, *suffixes: str) -> list[Path]:
    """Returns the files with these suffixes in a folder, one file, or several."""
    if isinstance(paths, (str, os.PathLike)):
        path = _checks.path(paths, "paths")
        files = sorted(file for suffix in suffixes for file in path.glob(f"*{suffix}")) if path.is_dir() else [path]
    else:
        files = [_checks.path(each, "paths") for each in _checks.several(paths, "paths", "a path or a list of paths")]
    for path in files:
        if not path.exists():
            raise FileError.of(errno.ENOENT, "paths", path, f"a folder, or a file {suffixes[0]}")
    if not files:
        raise DataError(f"paths: {paths}: no {suffixes[0]} file")
    return files


def inside(root: Path, name: Any, what: str) -> Path:
    """Returns the path for a name in a list, which must be inside root; see `own_file` for links."""
    if not isinstance(name, str) or not is_file_name(name):
        raise DataError(f"{what}: {name!r} is not a file name")
    path = Path(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise DataError(f"{what}: {name!r} is outside {root}")
    return root / path


def is_file_name(name: str) -> bool:
    """Returns whether the system accepts a file of this name."""
    try:
        return bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def check_name(name: Any, what: str) -> str:
    """Returns the name of a sample as text that can be encoded."""
    text = str(name)
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise DataError(f"{what}: the name {text!r} contains half a surrogate pair") from None
    return text


def own_file(root: Path, path: Path, what: str) -> Path:
    """Returns a path from `inside`; raises if links inside root lead out of it."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise DataError(f"{what}: {path} is a link to a file outside {root}")
    return path


def pictures_in(folder: Path) -> dict[str, Path]:
    """Returns the image files of a folder by their stems, sorted; warns of other files."""
    images, others = images_in(folder)
    tell_of_others(folder, others)
    paths: dict[str, Path] = {}
    for path in images:
        if path.stem in paths:
            raise DataError(f"{path}: {paths[path.stem].name} in the same folder has the same stem")
        paths[path.stem] = path
    return paths


@contextlib.contextmanager
def new_folder(folder: Any) -> Iterator[Path]:
    """Yields a temporary folder, which gets its name when complete, and is removed if anything fails."""
    target = _checks.path(folder, "folder")
    if os.path.lexists(target):
        raise FileError.of(errno.EEXIST, "folder", target, "a new folder")
    with _temporary.folder(target) as draft:
        yield draft


@contextlib.contextmanager
def replaced_folder(folder: Any, overwrite: bool, is_own: Callable[[Path], bool]) -> Iterator[Path]:
    """Yields a folder like `new_folder`; with overwrite it may replace one that contains only own files."""
    target = _checks.path(folder, "folder")
    if overwrite:
        _temporary.restore(target)
    if not overwrite or not os.path.lexists(target):
        with new_folder(folder) as draft:
            yield draft
        return
    others = sorted(path.name for path in _checks.folder(target, "folder").iterdir() if not is_own(path))
    if others or target.is_symlink():
        raise DataError(f"folder: {target}: contains {others[0] if others else 'a link'}, so it is not replaced")
    with _temporary.folder(target, replace=True) as draft:
        yield draft


def sync(file: Any) -> None:
    """Flushes a written file to the disk."""
    file.flush()
    os.fsync(file.fileno())
