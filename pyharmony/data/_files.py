"""Files of data sets as arrays of uint8, and where they may lie."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import io as files
from .._arrays import VALUE_RANGE, NumpyArray
from ..errors import ArgumentError, DataError, DTypeError, MaskError, ShapeError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif")

#: What the pictures of a sample are called.
PICTURES = ("composite", "target", "image", "src", "dst")

#: Of a JPEG: values this near to black or white are black or white, since its noise is no mask.
JPEG_NOISE = 8

_PLAIN = files.Picture(np.zeros((1, 1, 3), np.uint8))


class NamedBytes(io.BytesIO):
    """The bytes of a file with the name that messages call it by."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def label(source: Any) -> str:
    return str(getattr(source, "name", source)) if isinstance(source, io.IOBase) else str(source)


def read_picture(source: Any, role: str) -> NumpyArray:
    """uint8 [H, W, 3] in sRGB, upright; alpha is left out."""
    picture = files.read(source, role)
    if picture.profile is not None or picture.pixels.dtype != np.uint8 or picture.pixels.shape[2] in (1, 2):
        picture = files.convert(picture, _PLAIN, role)
    return own(picture.pixels[..., :3])


def own(pixels: NumpyArray) -> NumpyArray:
    """Contiguous and writable: those of Pillow are not, and torch warns of it."""
    return np.require(pixels, requirements=["C", "W"])


def read_mask(source: Any, role: str = "mask") -> NumpyArray:
    """uint8 [H, W] of a grey picture, of one whose colours are all grey, or its alpha."""
    picture = files.read(source, role)
    pixels = picture.pixels
    if pixels.dtype != np.uint8:
        scaled = pixels.astype(np.float64) * (255 / VALUE_RANGE[pixels.dtype.name])
        if not (scaled.min() >= 0 and scaled.max() <= 255):  # NaN fails too
            raise MaskError(f"{role}: {label(source)}: values outside the range of a mask")
        pixels = np.rint(scaled).astype(np.uint8)
    if pixels.shape[2] == 4 and (pixels[..., 3] != 255).any():
        return own(pixels[..., 3])
    grey = own(pixels[..., 0])
    if pixels.shape[2] > 1 and not all(np.array_equal(grey, pixels[..., k]) for k in (1, 2)):
        raise MaskError(f"{role}: {label(source)}: a colour picture, expected a grey one or one with alpha")
    if picture.format == "JPEG":
        grey[grey <= JPEG_NOISE] = 0
        grey[grey >= 255 - JPEG_NOISE] = 255
    if grey.size > 1 and grey.max() == 1:
        raise MaskError(f"{role}: {label(source)}: 1 is its largest value, where 255 means fully inside")
    return grey


def sample(name: str, sources: dict[str, Any]) -> dict[str, Any]:
    """The sample of files by role; all have one size, and a mask has an inside."""
    found: dict[str, Any] = {"name": name}
    for role, source in sources.items():
        found[role] = read_mask(source, role) if role == "mask" else read_picture(source, role)
    one_size(found, {role: f"{role}: {label(source)}" for role, source in sources.items()})
    return found


def one_size(found: dict[str, Any], labels: dict[str, str]) -> None:
    """Refuses a sample whose arrays differ in size, or whose mask is empty."""
    first = next(iter(labels))
    for role, what in labels.items():
        (height, width), (h, w) = found[first].shape[:2], found[role].shape[:2]
        if (h, w) != (height, width):
            raise ShapeError(f"{what}: {w} x {h} pixels beside {width} x {height} of {labels[first]}")
        if role == "mask" and found[role].max() < 128:
            raise MaskError(f"{what}: empty; no pixel is at least half inside")


def read_json(path: Path) -> Any:
    """What a file of JSON holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON: {error}") from None


def folder_of(path: Any, name: str) -> Path:
    """A folder that exists."""
    if not isinstance(path, (str, os.PathLike)):
        raise DTypeError(f"{name}: {type(path).__name__}, expected a path")
    folder = Path(path)
    if not folder.exists():
        raise FileNotFoundError(2, "No such folder", str(folder))
    if not folder.is_dir():
        raise DataError(f"{name}: {folder}: a file, expected a folder")
    return folder


def inside(root: Path, name: Any, what: str) -> Path:
    """The path of a name that a list gives, which may not lead out of root."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise DataError(f"{what}: {name!r} is no name of a file")
    parts = Path(name.replace("\\", "/")).parts
    if ".." in parts or Path(name).is_absolute() or ":" in parts[0]:
        raise DataError(f"{what}: {name!r} leads out of {root}")
    return root.joinpath(*parts)


def pictures_in(folder: Path) -> dict[str, Path]:
    """The picture files of a folder by their stems, sorted."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise DataError(f"{path}: {found[path.stem].name} beside it has the same stem")
            found[path.stem] = path
    return found


@contextlib.contextmanager
def new_folder(folder: Any) -> Iterator[Path]:
    """A folder to write into that takes its name when all is written, and is gone where anything fails.

    Raises:
        FileExistsError: there is something of that name.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise DTypeError(f"folder: {type(folder).__name__}, expected a path")
    target = Path(folder)
    if os.path.lexists(target):
        raise FileExistsError(17, "Is there already", str(target))
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield made
        made.chmod(0o777 & ~_umask())
        os.rename(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def sync(file: Any) -> None:
    """What was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def whole(x: Any, name: str, low: int = 1) -> int:
    if isinstance(x, bool) or not isinstance(x, (int, np.integer)):
        raise DTypeError(f"{name}: {type(x).__name__} {x!r}, expected a whole number of at least {low}")
    if x < low:
        raise ArgumentError(f"{name}: {x}, expected a whole number of at least {low}")
    return int(x)
