"""Images and masks of any kind as 8-bit arrays, as what judges an image or cuts something out of it takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from .. import _checks as checks
from .._arrays import NumpyArray
from ..data import _files
from ..metrics import _checks


def levels_of(image: Any) -> NumpyArray:
    """Returns an image as uint8 [H, W, 3].

    Raises:
        ShapeError, DTypeError, ArgumentError: an array is no image of 1 or 3 channels with finite values.
        DecodeError: a file is not an image.
    """
    if not _arrays.is_array(image):
        return _files.read_picture(image, "image")
    a = _checks.picture(image, "image")
    if a.dtype != np.uint8:
        a = np.rint(np.clip(a.astype(np.float64) * _checks.scale(a), 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(a, (*a.shape[:2], 3)))


def mask_of(mask: Any, height: int, width: int) -> NumpyArray:
    """Returns a mask as uint8 [H, W] of 0 to 255.

    Raises:
        ShapeError, DTypeError, MaskError: it is no mask of that size.
    """
    if not _arrays.is_array(mask):
        mask = _files.read_mask(mask)
    a = checks.mask(mask, "mask", height, width)
    return a.copy() if a.dtype == np.uint8 else np.rint(255 * _checks.weights(a, height, width)).astype(np.uint8)
