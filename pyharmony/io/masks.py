"""Masks that are images: in files and pictures."""

from __future__ import annotations

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from ..errors import MaskError
from ._picture import Picture

#: A JPEG does not keep black and white exactly: in a mask, values at most this far from them count as black and white.
_JPEG_NOISE = 8


def mask_of(picture: Picture, name: str) -> NumpyArray:
    """Returns the mask [H, W] that an image holds: its alpha, or else its grey channel or three equal channels.

    Args:
        picture: the image; where it is a JPEG, it has 8 bits.
        name: the name of the mask in messages.

    Raises:
        MaskError: it has colours, and no alpha.
    """
    pixels = picture.pixels
    if pixels.shape[2] == 4 and (pixels[..., 3] != VALUE_RANGE[pixels.dtype.name]).any():
        return pixels[..., 3]
    grey = pixels[..., 0]
    if pixels.shape[2] > 1 and not all(np.array_equal(grey, pixels[..., k]) for k in (1, 2)):
        raise MaskError(f"{name}: a colour image, expected a grey one or one with alpha")
    if picture.format == "JPEG":
        grey = grey.copy()
        grey[grey <= _JPEG_NOISE] = 0
        grey[grey >= 255 - _JPEG_NOISE] = 255
    return grey
