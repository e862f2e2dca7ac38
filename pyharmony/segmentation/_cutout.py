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


def cutout(image: ImageLike, mask: MaskLike, *, crop: bool = False) -> Any:
    """Returns what a mask covers of an image, with transparency, ready to be pasted.

    The pixels of a soft edge hold a share of what was behind the object. They take the colours of the object beside
    them, so that no halo is left before another background.

    Args:
        image: an image [H, W] or [H, W, C] of 1 or 3 channels, uint8, uint16 or floats with 1.0 for white; or a path,
            the bytes of a file, an open binary file, a PIL image or a `pyharmony.io.Picture`.
        mask: [H, W], bool, uint8 or uint16 scaled by its range, or floats in [0, 1]; or a file, like image.
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
    if not _arrays.is_array(mask):
        mask = _files.read_mask(mask)
    inside = _checks.mask(mask, "mask", height, width)
    share = inside.astype(np.float64) / (1.0 if inside.dtype == bool else VALUE_RANGE[inside.dtype.name])
    level = VALUE_RANGE[pixels.dtype.name]
    alpha = (np.rint(share * level) if pixels.dtype.kind == "u" else share * level).astype(pixels.dtype)
    colours = decontaminated(np.ascontiguousarray(np.broadcast_to(pixels, (height, width, 3))), alpha, (0, 0), Memory())
    found: NumpyArray = np.concatenate([colours, alpha[..., None]], 2)
    if crop:
        rows, columns = (np.flatnonzero(alpha.any(axis)) for axis in (1, 0))
        if not len(rows):
            raise ArgumentError("mask: empty, there is nothing to crop to")
        found = np.ascontiguousarray(found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return found if picture is None else dataclasses.replace(picture, pixels=found, format=None)
