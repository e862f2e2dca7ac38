"""Images and masks of any kind as 8-bit arrays, as what judges an image or cuts something out of it takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import VALUE_RANGE, NumpyArray
from .._images.kinds import one_image, one_mask, picture_of
from ..data import _files


def levels_of(image: Any, name: str = "image") -> NumpyArray:
    """Returns an image of any kind as uint8 [H, W, 3] without its alpha.

    Raises:
        ShapeError, DTypeError, ArgumentError: it is no image, a batch, or not finite.
        DecodeError: a file is not an image.
    """
    if not _arrays.is_array(image):
        return _files.read_picture(picture_of(image, name), name)
    a = one_image(image, name).pixels[..., :3]
    _checks.finite(a, name)
    if a.dtype != np.uint8:
        a = np.rint(np.clip(a.astype(np.float64) * (255 / VALUE_RANGE[a.dtype.name]), 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(a, (*a.shape[:2], 3)))


def mask_of(mask: Any, height: int, width: int, name: str = "mask") -> NumpyArray:
    """Returns a mask as uint8 [H, W] of 0 to 255.

    name: the name of the mask in messages.

    Raises:
        ShapeError, DTypeError, MaskError: it is no mask of that size.
    """
    a = one_mask(mask if _arrays.is_array(mask) else _files.read_mask(mask, name), name, height, width)
    if a.dtype == np.uint8:
        return a.copy()
    return np.rint(255 * (a.astype(np.float64) / VALUE_RANGE.get(a.dtype.name, 1.0))).astype(np.uint8)
