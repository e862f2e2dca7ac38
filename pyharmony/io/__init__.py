"""Reading and writing image files, with colour profiles and metadata.

It reads JPEG, PNG, WebP, TIFF, BMP and, if Pillow supports it, AVIF, with imagecodecs JPEG XL, with pillow-heif HEIC;
all other files are refused by their first bytes, without trying a decoder. 16-bit PNG and TIFF and float TIFF keep
their depth; 16-bit PNG needs OpenCV, TIFF with Zstandard imagecodecs, which also makes JPEG faster: the extra `io`.
Layers are read from and written to OpenRaster files, for Krita and GIMP. No package except NumPy is imported before it
is used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _arrays, _checks
from .._public import publish
from ..errors import DTypeError, OutOfMemory, ShapeError
from ..typing import Array, FileLike, ImageFormat, PathLike, PILImage, Quality, WritableFile
from ._description import Description
from ._picture import MAX_PIXELS, Picture

if TYPE_CHECKING:
    from ._credentials import sign
    from ._openraster import Layer, merged_of, read_layers, write_layers

__all__ = [
    "MAX_PIXELS",
    "Description",
    "Layer",
    "Picture",
    "check_target",
    "convert",
    "load",
    "merged_of",
    "read",
    "read_layers",
    "save",
    "sign",
    "write",
    "write_layers",
]


def read(
    source: FileLike | PILImage | Picture, name: str = "image", *, max_pixels: int | None = None, keep_gps: bool = False
) -> Picture:
    """Reads a file as a Picture, upright, in its own depth and colours.

    Args:
        source: a path, the bytes of a file, a binary file object, a PIL image, or a Picture (returned
            unchanged).
        name: the name of the image in messages.
        max_pixels: the largest accepted number of pixels, checked in the header before decoding; None
            means 256 million.
        keep_gps: whether to keep the GPS position in EXIF and XMP, and the names of places in XMP and IPTC.

    Returns:
        A Picture: grey is [H, W, 1], an image with transparency [H, W, 4], any other [H, W, 3]. CMYK becomes
        sRGB. From animations and files of several pages the first image is read, with a warning in the log.

    Raises:
        DecodeError: the file is not an image, is damaged, or is of a kind that is not accepted.
        ImageTooLarge: it has more than max_pixels.
        OutOfMemory: there is not enough memory to decode it.
        OSError: the path is missing, a folder, or not readable.
        DTypeError: source is of another type.
    """
    if isinstance(source, Picture):
        return source
    from . import _decode

    return _decode.picture(_decode.decode(source, name, max_pixels, keep_gps, _decode.Form(is_array=True)), name)


def write(
    picture: Picture,
    target: PathLike | WritableFile,
    *,
    format: ImageFormat | None = None,
    quality: Quality = 95,
    overwrite: bool = True,
) -> None:
    """Writes a Picture with its profile and metadata to a file.

    A path is written atomically: on any failure an existing file is unchanged, and no other file is left
    in its folder. A symbolic link is kept; the file it points to is replaced and keeps its mode.

    Args:
        picture: the Picture. JPEG, WebP, BMP, AVIF and JPEG XL store uint8, PNG also uint16, TIFF all dtypes; JPEG and
            BMP have no alpha. Nothing is converted to fit but the colours of JPEG XL, to sRGB.
        target: a path or a binary file object.
        format: 'jpeg', 'png', 'webp', 'tiff', 'bmp', 'avif' or 'jxl'; None: by the suffix, PNG for a file object.
        quality: 1 to 100, for JPEG, WebP, AVIF and JPEG XL, whose 100 is without loss. JPEG is written with full colour
            resolution (4:4:4). 'original', for a Picture from a JPEG file, which it has as its `original`: every block
            of 8 x 8 samples without a changed pixel keeps that file's coefficients, the others get its quantisation
            tables and sampling; the extra `jpeg`.
        overwrite: whether an existing file may be replaced.

    Raises:
        ArgumentError: the format cannot store the Picture, or is unknown; the original is not known, or is no JPEG file
            of this size and these channels.
        DTypeError: an argument is of another type.
        ImportError: quality is 'original', and jpeglib is missing.
        OSError: the file cannot be written; FileExistsError: it exists and overwrite is False.
        OutOfMemory: there is not enough memory to encode it.
    """
    from . import _encode

    name = _encode.check(picture, target, format, quality)
    _encode.write_to(target, _encode.encode(picture, name, quality), overwrite)


def check_target(
    picture: Picture, target: PathLike | WritableFile, *, format: ImageFormat | None = None, quality: Quality = 95
) -> None:
    """Raises the errors of `write` for a file that cannot store the Picture, before a long computation.

    Raises:
        ArgumentError, DTypeError, ImportError, OSError: like `write`. A file that is the `original` is not read.
    """
    from . import _encode

    _encode.check(picture, target, format, quality)
    _encode.check_folder(target)


def convert(picture: Picture, like: Picture, name: str = "image") -> Picture:
    """Converts picture to the colours, channels and dtype of like, to be blended with it.

    8-bit colours are converted by Little CMS with the perceptual intent (colorimetric if a profile has no other),
    16-bit and float ones by the matrix and curves of the profiles; integers are clipped to the destination's gamut,
    floats are not. Between equivalent profiles the values are unchanged. If like is RGB, a grey Picture becomes RGB
    with three equal channels; if like is grey, a coloured one becomes grey by 0.299 R + 0.587 G + 0.114 B of the values
    in like's tone curve. An alpha channel is kept, scaled to the dtype, and a grey Picture with one has three equal
    channels; none is added. uint8 to uint16 multiplies by 257, back rounds to nearest; floats scale by the range.
    Profiles with colour tables are applied at 8 bit, and at higher depths if imagecodecs is installed; otherwise the
    values are unchanged, with a warning.

    Args:
        picture: the Picture to convert.
        like: the Picture with the target colours.
        name: the name of picture in messages.

    Returns:
        A Picture with like's profile and otherwise picture's own metadata; picture itself if nothing
        changes.

    Raises:
        ArgumentError: picture contains NaN and like has an integer dtype.
        OutOfMemory: there is not enough memory.
    """
    from . import _profiles

    try:
        return _profiles.convert(picture, like, name)
    except MemoryError as error:
        raise OutOfMemory(f"{name}: out of memory while converting {picture!r}") from error


def load(source: FileLike | PILImage, *, max_pixels: int | None = None, keep_gps: bool = False) -> PILImage | Any:
    """Reads an image file as a PIL image (8 bit) or a NumPy array (16 bit and float).

    Args:
        source: a path, the bytes of a file, a binary file object, or a PIL image.
        max_pixels: the largest accepted number of pixels, checked in the header before decoding; None
            means 256 million.
        keep_gps: whether to keep the GPS position in EXIF and XMP.

    Returns:
        A PIL image, upright, of mode L, RGB or RGBA, with icc_profile, exif, xmp, dpi and description in its info; or,
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
    quality: Quality = 95,
    overwrite: bool = True,
    keep_gps: bool = False,
) -> None:
    """Writes an image to a file atomically.

    Args:
        image: a PIL image, a NumPy array [H, W] or [H, W, C] or a tensor [H, W] or [C, H, W] of 1, 3 or 4 channels, or
            a `pyharmony.io.Picture`.
        target: a path or a binary file object.
        like: the image from which the file gets its colour profile and metadata: a path, bytes, a file
            object, a PIL image or a Picture. None: those of image. The pixels are not converted.
        format: 'jpeg', 'png', 'webp', 'tiff', 'bmp', 'avif' or 'jxl'; None: by the suffix, PNG for a file object.
        quality: 1 to 100, for JPEG, WebP, AVIF and JPEG XL; 'original': the blocks of like, a JPEG file, that no
            changed pixel touches stay as they are, as in `pyharmony.io.write`.
        overwrite: whether an existing file may be replaced.
        keep_gps: whether to keep the GPS position.

    Raises:
        ArgumentError: the format cannot store the image (16 bit in a JPEG, alpha in a JPEG), or is unknown.
        DTypeError, ShapeError: image is not an image.
        OSError: the file cannot be written; FileExistsError: it exists and overwrite is False.

    Example:
        >>> import pyharmony
        >>> pyharmony.save(np.full((2, 3, 3), 200, np.uint8), "grey.png")
        >>> pyharmony.load("grey.png").size
        (3, 2)
    """
    from . import _encode, _profiles

    _encode.format_of(target, format)
    if isinstance(image, Picture):
        picture = image
    elif _arrays.is_pil(image):
        picture = read(image, "image", max_pixels=2**62, keep_gps=keep_gps)
    else:
        pixels, torch = _arrays.to_numpy(image, "image"), _arrays.is_torch(image)
        if pixels.dtype.name == "bool":
            raise DTypeError("image: dtype bool, expected an image dtype; convert it to uint8 (0 and 255)")
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
        try:
            picture = Picture(np.asarray(pixels))
        except (DTypeError, ShapeError) as error:
            raise error.within("", "image") from None
    if like is not None:
        meta = read(like, "like", keep_gps=keep_gps)
        profile = _profiles.usable(meta.profile, picture.pixels.shape[2], "like", grey_too=True)
        picture = replace(
            picture, profile=profile, exif=meta.exif, xmp=meta.xmp, dpi=meta.dpi, description=meta.description,
            original=meta.original,
        )  # fmt: skip
    write(picture, target, format=format, quality=quality, overwrite=overwrite)


publish(
    globals(),
    _checks.kinds,
    dict.fromkeys(("Layer", "merged_of", "read_layers", "write_layers"), "_openraster") | {"sign": "_credentials"},
)
