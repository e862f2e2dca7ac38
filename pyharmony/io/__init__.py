"""Image files in and out, with colour profiles and metadata.

It reads JPEG, PNG, WebP, TIFF, BMP and, where Pillow has it, AVIF, with pillow-heif HEIC; everything else is refused by
its first bytes, and no other decoder is ever reached. 16-bit PNG and TIFF and float TIFF keep their depth; 16-bit PNG
needs OpenCV, deep TIFF by LZW imagecodecs: the extra `io`. Layers go to and come from OpenRaster files, which Krita and
GIMP open. No package except NumPy is loaded before it is used.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays, _checks
from ..errors import DTypeError, OutOfMemory, ShapeError
from ..typing import Array, FileLike, ImageFormat, PathLike, PILImage, WritableFile
from ._picture import MAX_PIXELS, Picture

if TYPE_CHECKING:
    from ._openraster import Layer, merged_of, read_layers, write_layers

__all__ = [
    "MAX_PIXELS",
    "Layer",
    "Picture",
    "check_target",
    "convert",
    "load",
    "merged_of",
    "read",
    "read_layers",
    "save",
    "write",
    "write_layers",
]

_LAZY = ("Layer", "merged_of", "read_layers", "write_layers")

if not TYPE_CHECKING:  # a type checker knows the names from the import above

    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(importlib.import_module("._openraster", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def read(
    source: FileLike | PILImage | Picture, name: str = "image", *, max_pixels: int | None = None, keep_gps: bool = False
) -> Picture:
    """Reads a file as a Picture, upright, in its own depth and colours.

    Args:
        source: a path, the bytes of a file, a binary file object, a PIL image, or a Picture (given back as
            it is).
        name: the name of the image in messages.
        max_pixels: the most pixels it may have, known from its header before anything is decoded; None
            means 256 million.
        keep_gps: whether to keep the place where it was taken in EXIF and XMP.

    Returns:
        A Picture: grey is [H, W, 1], an image with transparency [H, W, 4], any other [H, W, 3]. CMYK becomes
        sRGB. Of animations and files of several pages the first image is read, with a warning in the log.

    Raises:
        DecodeError: the file is not an image, is damaged, or is of a kind that is not accepted.
        ImageTooLarge: it has more than max_pixels.
        OutOfMemory: there is too little memory to decode it.
        OSError: the path is missing, a folder, or not readable.
        DTypeError: source is of another type.
    """
    _checks.flags(keep_gps=keep_gps)
    if isinstance(source, Picture):
        return source
    from . import _decode

    return _decode.picture(_decode.decode(source, name, max_pixels, keep_gps), name)


def write(
    picture: Picture,
    target: PathLike | WritableFile,
    *,
    format: ImageFormat | None = None,
    quality: int = 95,
    overwrite: bool = True,
) -> None:
    """Writes a Picture with its profile and metadata to a file.

    A path is written at once or not at all: on any failure an existing file stays as it was, and nothing is
    left beside it. A symbolic link stays one; the file it points to is replaced and keeps its mode.

    Args:
        picture: the Picture. JPEG, WebP, BMP and AVIF hold uint8, PNG also uint16, TIFF all dtypes; JPEG and
            BMP hold no alpha. Nothing is converted to fit.
        target: a path or a binary file object.
        format: 'jpeg', 'png', 'webp', 'tiff', 'bmp' or 'avif'; None: by the suffix, PNG for a file object.
        quality: 1 to 100, for JPEG, WebP and AVIF. JPEG is written with full colour resolution (4:4:4).
        overwrite: whether an existing file may be replaced.

    Raises:
        ArgumentError: the format does not hold such a Picture, or is unknown.
        DTypeError: an argument is of another type.
        OSError: the file cannot be written; FileExistsError: it exists and overwrite is False.
        OutOfMemory: there is too little memory to encode it.
    """
    from . import _encode

    _checks.flags(overwrite=overwrite)
    if not isinstance(picture, Picture):
        raise DTypeError(f"picture: {type(picture).__name__}, expected a Picture; pyharmony.save takes arrays and PIL")
    name = _encode.check(picture, target, format, quality)
    _encode.write_to(target, _encode.encode(picture, name, quality), overwrite)


def check_target(
    picture: Picture, target: PathLike | WritableFile, *, format: ImageFormat | None = None, quality: int = 95
) -> None:
    """Raises what `write` would for a file that does not hold such a Picture, before the work is done.

    Raises:
        ArgumentError, DTypeError, OSError: like `write`.
    """
    from . import _encode

    _encode.check(picture, target, format, quality)
    _encode.check_folder(target)


def convert(picture: Picture, like: Picture, name: str = "image") -> Picture:
    """Converts picture to the colours, channels and dtype of like, ready to be blended with it.

    8-bit colours go through Little CMS with the perceptual intent (colorimetric where a profile has no
    other), 16-bit and float ones through the matrix and curves of the profiles; integers are clipped to the
    destination's gamut, floats are not. Profiles that say the same leave the values as they are. If like is
    RGB, a grey Picture becomes RGB with three equal channels; if like is grey, a coloured one becomes grey by
    0.299 R + 0.587 G + 0.114 B of the values in like's tone curve. An alpha channel stays, scaled to the
    dtype, and a grey Picture with one has three equal channels; none is added. uint8 to uint16 multiplies by
    257, back rounds to nearest; floats scale by the range. Profiles with tables of colours are applied at
    8 bit, and deeper where imagecodecs is installed; else the values stay as they are, with a warning.

    Args:
        picture: the Picture to convert.
        like: the Picture that it shall go with.
        name: the name of picture in messages.

    Returns:
        A Picture with like's profile and otherwise picture's own metadata; picture itself if nothing has to be
        done.

    Raises:
        ArgumentError: picture holds NaN where like has an integer dtype.
        OutOfMemory: there is too little memory.
    """
    from . import _profiles

    try:
        return _profiles.convert(picture, like, name)
    except MemoryError as error:
        raise OutOfMemory(f"{name}: converting {picture!r} needs more memory than there is") from error


def load(source: FileLike | PILImage, *, max_pixels: int | None = None, keep_gps: bool = False) -> PILImage | Any:
    """Reads an image file as a PIL image (8 bit) or a NumPy array (16 bit and float).

    Args:
        source: a path, the bytes of a file, a binary file object, or a PIL image.
        max_pixels: the most pixels it may have, known from its header before anything is decoded; None
            means 256 million.
        keep_gps: whether to keep the place where it was taken in EXIF and XMP.

    Returns:
        A PIL image, upright, of mode L, RGB or RGBA, with icc_profile, exif, xmp and dpi in its info; or,
        for 16-bit and float files, an array [H, W], [H, W, 3] or [H, W, 4] of uint16, float16, float32 or
        float64.

    Raises:
        DecodeError, ImageTooLarge, OutOfMemory, OSError, DTypeError: like `pyharmony.io.read`.

    Example:
        >>> import pyharmony
        >>> pyharmony.save(np.full((2, 3, 3), 200, np.uint8), "grey.png")
        >>> image = pyharmony.load("grey.png")
        >>> image.size, image.getpixel((0, 0))
        ((3, 2), (200, 200, 200))
    """
    from . import _decode

    _checks.flags(keep_gps=keep_gps)
    decoded = _decode.decode(source, "source", max_pixels, keep_gps)
    if not _arrays.is_pil(decoded.pixels):
        return decoded.pixels[..., 0] if decoded.pixels.shape[2] == 1 else decoded.pixels
    return _decode.pil_image(decoded, "source", same_as=source)


def save(
    image: Array | PILImage | Picture,
    target: PathLike | WritableFile,
    *,
    like: FileLike | PILImage | Picture | None = None,
    format: ImageFormat | None = None,
    quality: int = 95,
    overwrite: bool = True,
    keep_gps: bool = False,
) -> None:
    """Writes an image to a file, at once or not at all.

    Args:
        image: a PIL image, a NumPy array [H, W] or [H, W, C] or a tensor [H, W] or [C, H, W] of 1, 3 or 4 channels, or
            a `pyharmony.io.Picture`.
        target: a path or a binary file object.
        like: the image whose colour profile, EXIF, XMP and resolution the file gets: a path, bytes, a file object, a
            PIL image or a Picture. None: those of image. The pixels stay as they are.
        format: 'jpeg', 'png', 'webp', 'tiff', 'bmp' or 'avif'; None: by the suffix, PNG for a file object.
        quality: 1 to 100, for JPEG, WebP and AVIF.
        overwrite: whether an existing file may be replaced.
        keep_gps: whether to keep the place where the image was taken.

    Raises:
        ArgumentError: the format does not hold such an image (16 bit in a JPEG, alpha in a JPEG), or is unknown.
        DTypeError, ShapeError: image is not an image.
        OSError: the file cannot be written; FileExistsError: it exists and overwrite is False.

    Example:
        >>> import pyharmony
        >>> pyharmony.save(np.full((2, 3, 3), 200, np.uint8), "grey.png")
        >>> pyharmony.load("grey.png").size
        (3, 2)
    """
    from . import _encode, _profiles

    _checks.flags(overwrite=overwrite, keep_gps=keep_gps)
    _encode.format_of(target, format)
    if isinstance(image, Picture):
        picture = image
    elif _arrays.is_pil(image):
        picture = read(image, "image", max_pixels=2**62, keep_gps=keep_gps)
    else:
        pixels, torch = _arrays.to_numpy(image, "image"), _arrays.is_torch(image)
        if pixels.dtype.name == "bool":
            raise DTypeError("image: a bool array; convert it to uint8 (0 and 255) first")
        last = "[C, H, W]" if torch else "[H, W, C]"
        if pixels.ndim not in (2, 3):
            raise ShapeError(f"image: shape {list(pixels.shape)}, expected [H, W] or {last} with C = 1, 3 or 4")
        channels, elsewhere = (0, 2) if torch else (2, 0)
        if pixels.ndim == 3 and pixels.shape[channels] not in (1, 3, 4) and pixels.shape[elsewhere] in (1, 3, 4):
            remedy = "first: image.movedim(-1, 0)" if torch else "last: numpy.moveaxis(image, 0, -1)"
            raise ShapeError(f"image: shape {list(pixels.shape)}, expected the channels {remedy}")
        if torch and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if pixels.dtype.byteorder not in "=|":
            pixels = pixels.astype(pixels.dtype.newbyteorder("="))
        picture = Picture(np.asarray(pixels))
    if like is not None:
        meta = read(like, "like", keep_gps=keep_gps)
        profile = _profiles.usable(meta.profile, picture.pixels.shape[2], "like", grey_too=True)
        picture = replace(picture, profile=profile, exif=meta.exif, xmp=meta.xmp, dpi=meta.dpi)
    write(picture, target, format=format, quality=quality, overwrite=overwrite)


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
