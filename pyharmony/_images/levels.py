"""The entry for images that a call analyses: opened, of any kind and depth, in 8-bit levels of sRGB, and back.

A call that returns an image of its argument's kind uses `call`; one that only reads an image, such as `segment`, gets
its levels from here. All conversions of depth by the range of a dtype are here as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._arrays import VALUE_RANGE, Float32, NumpyArray, Pixels, is_array
from ..io import Picture, convert
from .kinds import checked_image, checked_mask, picture_of

#: The rows that are converted at once, which limits the memory for float64.
_ROWS = 256
#: sRGB in 8 bits.
_SRGB_8BIT = Picture(np.zeros((1, 1, 3), np.uint8))


def opened(image: Any, name: str, *, keep_gps: bool = False) -> Any:
    """Returns an array unchanged, and an image of another kind as a `Picture`."""
    return image if is_array(image) else picture_of(image, name, keep_gps=keep_gps)


def image_levels(image: Any, name: str = "image") -> Pixels:
    """Returns an image of any kind as uint8 [H, W, 3] without its alpha: a file in sRGB, an array unconverted.

    A contiguous array of that form is returned as it is: the steps of a call pass levels on to each other.
    """
    is_plain = type(image) is np.ndarray and image.dtype == np.uint8 and image.ndim == 3
    if is_plain and image.shape[2] == 3 and image.size > 0 and image.flags.c_contiguous:
        return image
    opened_image = checked_image(image, name)
    if opened_image.picture is not None:
        return picture_levels(opened_image.picture, name)
    pixels = opened_image.pixels[..., :3]
    _checks.finite(pixels, name)
    return colour_levels(pixels)


def picture_levels(picture: Picture, name: str) -> Pixels:
    """Returns a Picture in sRGB as uint8 [H, W, 3] without its alpha, contiguous and writable."""
    if picture.profile is not None or picture.pixels.dtype != np.uint8 or picture.pixels.shape[2] == 1:
        picture = convert(picture, _SRGB_8BIT, name)
    # Pillow's pixels are neither contiguous nor writable, about which torch warns.
    return np.require(picture.pixels[..., :3], requirements=["C", "W"])


def colour_levels(colours: NumpyArray) -> Pixels:
    """Returns colours [H, W, C] of any dtype, C = 1 or 3, as uint8 [H, W, 3], contiguous."""
    levels = in_levels(colours)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def mask_levels(mask: Any, height: int, width: int, name: str = "mask") -> Pixels:
    """Returns a mask of any kind as uint8 [H, W], 255 for fully inside, in new memory."""
    values = checked_mask(mask, name, height, width)
    levels = in_levels(values)
    return levels.copy() if levels is values else levels


def in_levels(values: NumpyArray) -> Pixels:
    """Returns colours, an alpha or a mask of any dtype as uint8, rounded half to even and clipped; uint8 unchanged."""
    if values.dtype == np.uint8:
        return values
    scale = 255 / VALUE_RANGE.get(values.dtype.name, 1.0)  # a mask may be bool
    levels = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), _ROWS):
        rows = slice(first, first + _ROWS)
        levels[rows] = np.rint(np.clip(values[rows].astype(np.float64) * scale, 0, 255))
    return levels


def in_dtype(cover: NumpyArray, dtype: npt.DTypeLike) -> NumpyArray:
    """Returns an alpha or a mask of any dtype in the range of another, clipped to it."""
    target = np.dtype(dtype)
    if cover.dtype == target:
        return cover if target.kind == "u" else np.clip(cover, 0, 1)
    if target == np.uint8:
        return in_levels(cover)
    shares = np.clip(cover.astype(np.float64) / VALUE_RANGE.get(cover.dtype.name, 1.0), 0, 1)
    return rounded(shares * VALUE_RANGE[target.name], target)


def rounded(values: NumpyArray, dtype: npt.DTypeLike) -> NumpyArray:
    """Returns floats in the units of a dtype converted to it: integers are rounded and clipped."""
    target = np.dtype(dtype)
    if values.dtype == target:
        return values
    if target.kind == "u":
        values = np.rint(np.clip(values, 0, VALUE_RANGE[target.name]))
    return values.astype(target)


def shares_of(levels: Pixels) -> Float32:
    """Returns levels as float32 from 0 to 1, the input of networks and filters."""
    return levels.astype(np.float32) * np.float32(1 / 255)


def levels_of_shares(shares: npt.ArrayLike) -> Pixels:
    """Returns float32 shares, clipped to 0 to 1, as levels, rounded in float32, in which they were computed."""
    return np.rint(np.clip(shares, 0, 1) * np.float32(255)).astype(np.uint8)
