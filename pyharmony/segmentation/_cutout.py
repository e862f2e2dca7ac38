"""Cut-outs: images whose alpha is a mask, and whose edge has the colours of the object alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .. import _arrays, _checks, io
from .._arrays import VALUE_RANGE, NumpyArray
from .._images.memory import Memory
from .._images.source import decontaminated
from ..data import _files
from ..errors import ArgumentError
from ..io import Picture
from ..typing import ImageLike, MaskLike
from ._segment import Masks


def cutout(image: ImageLike, mask: MaskLike | Masks, *, crop: bool = False) -> Any:
    """Returns what a mask covers of an image, with transparency, ready to be pasted.

    The pixels of a soft edge hold a share of what was behind the object. They take the colours of the object beside
    them, so that no halo is left before another background.

    Args:
        image: an image [H, W] or [H, W, C] of 1 or 3 channels, uint8, uint16 or floats with 1.0 for white; or a path,
            the bytes of a file, an open binary file, a PIL image or a `pyharmony.io.Picture`.
        mask: [H, W], bool, uint8 or uint16 scaled by its range, or floats in [0, 1]; or a file, like image: it
            is taken as it is. What `segment` found in image: `Masks.alpha` makes a soft edge of the best mask.
        crop: whether the result is cut to the mask.

    Returns:
        RGBA [H, W, 4] of image's dtype, not premultiplied; for what is no array, a `Picture` of its depth and colours.

    Raises:
        ShapeError, DTypeError: image or mask has a shape or dtype that is not accepted, or they differ in size.
        MaskError: the mask has values outside of its range.
        ArgumentError: crop, and the mask is empty.
        DecodeError: a file is not an image.

    Example:
        >>> from pyharmony import segmentation
        >>> image = np.full((40, 60, 3), 200, np.uint8)
        >>> mask = np.zeros((40, 60), np.uint8)
        >>> mask[10:20, 30:50] = 255
        >>> segmentation.cutout(image, mask, crop=True).shape
        (10, 20, 4)
    """
    given: Any = image
    picture: Picture | None = None if _arrays.is_array(given) else io.read(given)
    pixels = _checks.image(given, "image") if picture is None else picture.pixels[..., :3]
    height, width = pixels.shape[:2]
    given_mask: Any = mask.alpha() if isinstance(mask, Masks) else mask
    if not _arrays.is_array(given_mask):
        given_mask = _files.read_mask(given_mask)
    inside = _checks.mask(given_mask, "mask", height, width)
    alpha = _in_levels(inside, pixels.dtype)
    colours = decontaminated(np.broadcast_to(pixels, (height, width, 3)), alpha, (0, 0), Memory())
    found: NumpyArray = np.concatenate([colours, alpha[..., None]], 2)
    if crop:
        rows, columns = (np.flatnonzero(alpha.any(axis)) for axis in (1, 0))
        if not len(rows):
            raise ArgumentError("mask: empty, there is nothing to crop to")
        found = np.ascontiguousarray(found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return found if picture is None else dataclasses.replace(picture, pixels=found, format=None)


def _in_levels(mask: NumpyArray, dtype: np.dtype[Any]) -> NumpyArray:
    """Returns a mask in the levels of an image of a dtype."""
    if mask.dtype == dtype:
        return mask
    share = mask.astype(np.float64) / (1.0 if mask.dtype == bool else VALUE_RANGE[mask.dtype.name])
    level = VALUE_RANGE[dtype.name]
    return (np.rint(share * level) if dtype.kind == "u" else share * level).astype(dtype)
