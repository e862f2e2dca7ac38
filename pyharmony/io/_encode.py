"""Writes images: encodes them in memory, then replaces the target atomically."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks, _install, _temporary, _warnings
from .._arrays import NumpyArray
from ..errors import ArgumentError, DTypeError, FileError, OutOfMemory, PyHarmonyError
from ..typing import Quality
from . import _description, _jpeg, _metadata, _png, _profiles, _tiff
from ._picture import Picture, Refusal

if TYPE_CHECKING:
    from ._original import Original

logger = logging.getLogger("pyharmony")

_SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP",
    ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP", ".avif": "AVIF", ".jxl": "JXL",
}  # fmt: skip
_FLOATS = ("float16", "float32", "float64")
#: The dtypes and the channels of each format.
_HOLDS = {
    "JPEG": (("uint8",), (1, 3)),
    "PNG": (("uint8", "uint16"), (1, 3, 4)),
    "WEBP": (("uint8",), (1, 3, 4)),
    "TIFF": (("uint8", "uint16", *_FLOATS), (1, 3, 4)),
    "BMP": (("uint8",), (1, 3)),
    "AVIF": (("uint8",), (1, 3, 4)),
    # imagecodecs writes deeper pixels as linear ones.
    "JXL": (("uint8",), (1, 3, 4)),
}
#: The level of Deflate: files are a tenth larger than at the usual level 6, and are written several times as fast.
_PNG_LEVEL = 1

#: The options of Pillow's encoders that do not depend on the image.
_ENCODERS: dict[str, dict[str, Any]] = {
    "JPEG": {"subsampling": 0},
    "WEBP": {"method": 2},
    "AVIF": {"subsampling": "4:4:4", "speed": 9},
}

Piece = Any


def format_of(target: Any, format: Any) -> str:
    """Returns the format by its name, or by the target's suffix; PNG for a file object without a format."""
    if format is not None:
        if not isinstance(format, str):
            raise DTypeError(f"format: {type(format).__name__}, expected None or a name such as 'png'")
        name = format.upper().lstrip(".")
        name = {"JPG": "JPEG", "TIF": "TIFF"}.get(name, name)
        if name not in _HOLDS:
            raise ArgumentError(f"format: {format!r}, expected one of {', '.join(map(repr, map(str.lower, _HOLDS)))}")
        return name
    path = path_of(target)
    if path is None:
        return "PNG"
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _SUFFIXES:
        raise ArgumentError(
            f"target: {path}: the suffix {suffix!r} names no format, expected one of {', '.join(_SUFFIXES)}"
        )
    return _SUFFIXES[suffix]


def path_of(target: Any) -> str | None:
    """Returns the path of a file to write; None for a file object."""
    if isinstance(target, (str, bytes, os.PathLike)):
        path = os.fsdecode(target) if isinstance(target, bytes) else target
        return os.fspath(_checks.path(path, "target", _ACCEPTED))
    if not hasattr(target, "write") or isinstance(target, io.TextIOBase):
        raise DTypeError(f"target: {type(target).__name__}, expected a path or a binary file object")
    return None


_ACCEPTED = "the path of a file to write"


def check(picture: Picture, target: Any, format: Any, quality: Any) -> str:
    """Returns the format to write, after checking that it can store the Picture. It is fast: call it first."""
    path_of(target)
    name = format_of(target, format)
    dtypes, channels = _HOLDS[name]
    if picture.pixels.dtype.name not in dtypes:
        able = ", ".join(each for each, (kinds, _) in _HOLDS.items() if picture.pixels.dtype.name in kinds)
        remedy = ""
        if picture.pixels.dtype.kind == "f":
            factor = "" if _in_levels(picture.pixels) else "255 * "
            remedy = f", or convert it to 8 bits: numpy.rint({factor}image).clip(0, 255).astype('uint8')"
        raise ArgumentError(
            f"format: {name} stores {' or '.join(dtypes)} pixels, the image has {picture.pixels.dtype.name}",
            code="format-lacks-depth",
            hint=f"use {able}{remedy}",
            able=able,
        )
    if picture.pixels.shape[2] not in channels:
        able = ", ".join(each for each, (kinds, c) in _HOLDS.items() if 4 in c and picture.pixels.dtype.name in kinds)
        raise ArgumentError(
            f"format: {name} has no alpha channel, the image has one",
            code="format-lacks-alpha",
            hint=f"use {able}, or drop it: pixels[..., :3]",
            able=able,
        )
    if name == "JXL":
        from . import _jxl

        try:
            _jxl.codec()
        except Refusal:
            raise ImportError(f"format: JPEG XL is written by imagecodecs: {_install.hint('io')}") from None
    if isinstance(quality, str) and quality == _jpeg.ORIGINAL:
        from . import _original

        # A package is asked for only where it would help.
        _original.check(picture, name)
    check_quality(quality)
    return name


def check_quality(quality: Any) -> None:
    """Refuses a quality that is neither a number nor 'original', and that one if jpeglib is missing."""
    if isinstance(quality, str) and quality == _jpeg.ORIGINAL:
        from . import _original

        _original.codec()
    else:
        _checks.whole(quality, "quality", low=1, high=100, accepts="a whole number from 1 to 100, or 'original'")


def check_folder(target: Any) -> None:
    """Raises the error that writing to a path would end with, if its folder determines it beforehand."""
    path = path_of(target)
    if path is None:
        return
    real = os.path.realpath(path)
    folder = os.path.dirname(real)
    number = 0
    if os.path.isdir(real):
        number = errno.EISDIR
    elif not os.path.isdir(folder):
        number = errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
    elif not os.path.lexists(real) and not os.access(folder, os.W_OK):
        is_read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        number = errno.EROFS if is_read_only else errno.EACCES
    if number == errno.ENOENT:
        raise FileError.of(number, "target", path, cause=f"no such folder: {folder}")
    if number:
        raise FileError.of(number, "target", path, _ACCEPTED)


def _in_levels(pixels: NumpyArray) -> bool:
    """Returns whether floats look like levels of 0 to 255 instead of 0 to 1."""
    values = pixels[np.isfinite(pixels)]
    return bool(values.size and 16 < values.max() <= 255.5 and np.median(values) > 2)


def encode(picture: Picture, format: str, quality: Quality) -> list[Piece]:
    """Returns the bytes of the file, in pieces."""
    original = None
    if quality == _jpeg.ORIGINAL:
        from . import _original

        original = _original.original_of(picture)
        picture = original.laid_out(picture)
    if picture.xmp is not None and _metadata.declares(picture.xmp):
        logger.warning("the XMP data has a DOCTYPE, which XMP forbids, and was not written")
        picture = replace(picture, xmp=None)
    picture = _true_of_its_size(picture, format)
    try:
        if format == "TIFF":
            return _tiff_file(picture)
        if format == "PNG":
            texts = _description.texts(picture.description)
            extra = _png.metadata(picture.profile, picture.exif, picture.xmp, picture.dpi, texts)
            return list(_png.encode(picture.pixels, _PNG_LEVEL, extra))
        if format == "JXL":
            return _jxl_file(picture, int(quality))
        return _pillow(picture, format, quality, original)
    except MemoryError as error:
        raise OutOfMemory(f"out of memory while encoding {picture!r} as {format}") from error
    except PyHarmonyError:
        raise
    except (OSError, ValueError, OverflowError, SystemError, struct.error) as error:
        raise ArgumentError(f"{format} cannot store {picture!r}: {' '.join(str(error).split())[:200]}") from error


#: The kinds of a description that each format stores; the rest is told.
_STORES = {
    "JPEG": ("comment", "IPTC data"),
    "PNG": ("comment", "text", "IPTC data"),
    "TIFF": ("IPTC data", "georeference", "GDAL metadata", "nodata value"),
}


def _true_of_its_size(picture: Picture, format: str) -> Picture:
    """Returns a picture whose metadata is true of its pixels, and warns once of what the file does not get."""
    height, width = picture.pixels.shape[:2]
    description = picture.description
    stored = _description.segments(description)[1] if format == "JPEG" else _STORES.get(format, ())
    unstored = [name for name, there in description.kinds().items() if there and name not in stored]
    why = [f"{_description.listed(unstored)} not written: {format} does not store it"] if unstored else []
    if description.geo and description.size != (width, height):
        description = replace(description, geo=(), size=None)
        if "georeference" not in unstored:
            why.append("the georeference is not written: it is true of the image at another size only")
    if why:
        _warnings.warn("; ".join(why))
    exif, xmp = _metadata.sized_exif(picture.exif, width, height), _metadata.sized_xmp(picture.xmp, width, height)
    return replace(picture, exif=exif, xmp=xmp, description=description)


def _pil_image(picture: Picture) -> Any:
    from PIL import Image

    pixels = np.ascontiguousarray(picture.pixels)
    height, width, channels = pixels.shape
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)


def _pillow(picture: Picture, format: str, quality: Quality, original: Original | None) -> list[Piece]:
    if format in ("WEBP", "AVIF"):
        from PIL import features  # takes 13 ms

        if not features.check(format.lower()):
            raise ArgumentError(f"format: {format} is not supported by this build of Pillow")
    profile, exif, xmp, dpi = picture.profile, picture.exif, picture.xmp, picture.dpi
    if format in ("WEBP", "AVIF") and picture.pixels.shape[2] == 1:
        picture = replace(picture, pixels=np.repeat(picture.pixels, 3, 2))
        profile = profile and _profiles.rgb_profile(profile)
    stream = io.BytesIO()
    if format == "BMP":
        if profile is not None or exif is not None or xmp is not None:
            logger.warning("a BMP file has no colour profile and no metadata; they were not written")
        _pil_image(picture).save(stream, "BMP", **({} if dpi is None else {"dpi": dpi}))
        return [stream.getbuffer()]
    options: dict[str, Any] = dict(_ENCODERS[format])
    if quality != _jpeg.ORIGINAL:
        options["quality"] = int(quality)
    metadata: dict[str, bytes | None] = {"exif": exif or b"", "xmp": xmp, "icc_profile": profile}
    if format == "JPEG":
        for name, most in (("exif", 65533), ("xmp", 65502 - 29)):
            if (size := len(metadata[name] or b"")) > most:
                text = "the %s data is too large for a JPEG (%d bytes) and was not written"
                logger.warning(text, name.upper(), size)
                del metadata[name]
        if "exif" not in metadata and original is not None and original.orientation != 1:
            metadata["exif"] = _metadata.oriented_exif(None, original.orientation)
        if dpi is not None:
            options["dpi"] = tuple(min(max(round(x), 1), 65535) for x in dpi)
        options["extra"] = _description.segments(picture.description)[0]
    options |= {name: data for name, data in metadata.items() if data is not None}
    if original is not None:
        return original.encode(picture.pixels, options)
    if format == "JPEG" and (pieces := _jpeg.encode(picture.pixels, int(quality), options)) is not None:
        return pieces
    _pil_image(picture).save(stream, format, **options)
    return [stream.getbuffer()]


def _jxl_file(picture: Picture, quality: int) -> list[Piece]:
    """Encodes a JPEG XL file in sRGB, whose encoder takes no profile."""
    from . import _jxl

    if picture.profile is not None:
        picture = _profiles.convert(picture, Picture(picture.pixels))
    return [*_jxl.encode(picture.pixels, quality, picture.exif, picture.xmp)]


def _tiff_file(picture: Picture) -> list[Piece]:
    """Encodes a little-endian TIFF of one strip of uncompressed pixels: the directory first, then the pixels."""
    pixels = np.ascontiguousarray(picture.pixels)
    if sys.byteorder == "big":
        pixels = pixels.astype(pixels.dtype.newbyteorder("<"))
    height, width, channels = pixels.shape
    bits = pixels.itemsize * 8
    rows = max(1, (1 << 22) // (width * channels * pixels.itemsize))
    starts = list(range(0, height, rows))
    row_bytes = width * channels * pixels.itemsize
    entries, parts = _metadata.tiff_of_exif(picture.exif)
    entries += _description.entries(picture.description)
    entries += [
        _tiff.long(256, width), _tiff.long(257, height), _tiff.short(258, *(bits,) * channels), _tiff.short(259, 1),
        _tiff.short(262, 1 if channels == 1 else 2), _tiff.short(277, channels), _tiff.long(278, rows),
        _tiff.long(279, *(row_bytes * min(rows, height - y) for y in starts)), _tiff.short(284, 1),
        _tiff.short(339, *(1 if pixels.dtype.kind == "u" else 3,) * channels),
    ]  # fmt: skip
    if channels == 4:
        entries.append(_tiff.short(338, 2))
    if picture.dpi is not None:
        entries += [_tiff.rational(282, picture.dpi[0]), _tiff.rational(283, picture.dpi[1]), _tiff.short(296, 2)]
    if picture.profile is not None:
        entries.append(_tiff.raw(34675, 7, picture.profile))
    if picture.xmp is not None:
        entries.append(_tiff.raw(700, 1, picture.xmp))

    def laid_out(first: int) -> bytes:
        return _tiff.build([*entries, _tiff.long(273, *(first + row_bytes * y for y in starts))], parts, 8)

    first = 8 + len(laid_out(0))
    first += -first % 16
    if first + pixels.nbytes > 0xFFFFFFFF:
        raise ArgumentError(f"TIFF: {picture!r} takes {pixels.nbytes / 1e9:.1f} GB, expected at most 4.2 GB")
    head = (struct.pack("<2sHI", b"II", 42, 8) + laid_out(first)).ljust(first, b"\0")
    return [head, pixels.data]


# ---- Files ----


def write_to(target: Any, pieces: Iterable[Piece], overwrite: bool) -> None:
    """Writes the pieces to a file object, or to a path: all of them, or nothing.

    A path is written through a temporary file in its folder, which replaces it when it is complete and on the disk. A
    path that is not a regular file, such as a pipe or /dev/stdout, is written to directly.
    """
    path = path_of(target)
    if path is None:
        _write_all(target.write, pieces)
        with contextlib.suppress(AttributeError):
            target.flush()
        return
    try:
        _write_path(path, pieces, overwrite)
    except OSError as error:
        # The error gets the name of the target instead of the temporary file or none.
        if error.errno is None:
            raise
        check_folder(path)
        raise FileError.of(error.errno, "target", path, _ACCEPTED) from error


def _write_all(write: Callable[[Any], Any], pieces: Iterable[Piece]) -> None:
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while len(view):  # a raw file may write only a part
            count = write(view[: 1 << 30])
            if count is None:
                count = min(len(view), 1 << 30)
            view = view[count:]


def _write_path(path: str, pieces: Iterable[Piece], overwrite: bool) -> None:
    real = os.path.realpath(path)
    try:
        before = os.stat(real)
    except FileNotFoundError:
        before = None
    if before is not None:
        if not overwrite:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if stat.S_ISDIR(before.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(before.st_mode):
            with open(real, "wb", buffering=0) as file:
                _write_all(file.write, pieces)
            return
    folder = os.path.dirname(real) or "."
    with _temporary.opened(folder) as (temporary, descriptor):
        with open(descriptor, "wb", buffering=0, closefd=False) as file:
            if before is not None and hasattr(os, "fchmod"):
                with contextlib.suppress(PermissionError):
                    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            _write_all(file.write, pieces)
            os.fsync(descriptor)
        if overwrite:
            os.replace(temporary, real)
        else:
            _into_free_place(temporary, real)
    _temporary.sync_folder(folder)


def _into_free_place(temporary: Path, real: str) -> None:
    """Gives the file its name if no file has that name; the temporary name is kept."""
    try:
        os.link(temporary, real)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without links needs two steps.
        os.close(os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.replace(temporary, real)
