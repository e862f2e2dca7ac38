"""Checks of the metrics' arguments."""

from __future__ import annotations

import numpy as np

from ... import _arrays, _checks
from ..._arrays import NumpyArray, is_torch
from ..._images.kinds import checked_image, checked_mask, in_colours
from ...errors import MaskError, ShapeError
from ...typing import ImageLike, MaskLike

#: The value of white in the unit of all metrics.
RANGE = 255.0


def pictures(**images: ImageLike) -> list[NumpyArray]:
    """Returns images of any kind, by the names of their arguments, as validated [H, W, C] of one shape and dtype.

    They have 1 or 3 channels and finite values, in the colour profile of the first.
    """
    arrays: list[NumpyArray] = []
    first, name_of_first = None, next(iter(images))
    for name, x in images.items():
        image = checked_image(x, name)
        a = image.pixels if first is None else in_colours(image, first, name)
        first = first or image
        if a.shape[2] not in (1, 3):
            layouts, colours = ("[C, H, W]", "[:3]") if is_torch(x) else ("[H, W, C]", "[..., :3]")
            expected = f"expected [H, W] or {layouts} with C = 1 or 3; drop alpha: {name}{colours}"
            raise ShapeError(f"{name}: an image with alpha, {expected}")
        _checks.finite(a, name)
        if arrays:
            _checks.same_shape(arrays[0], name_of_first, a, name)
            _checks.same_dtype(arrays[0], name_of_first, a, name)
        arrays.append(a)
    return arrays


def pair(output: ImageLike, target: ImageLike) -> list[NumpyArray]:
    """Returns output and target as validated images of one shape and dtype."""
    return pictures(output=output, target=target)


def scale(image: NumpyArray) -> float:
    """Returns the factor that turns the values of an image into 8-bit levels."""
    return RANGE / _arrays.VALUE_RANGE[image.dtype.name]


def weights(mask: MaskLike, height: int, width: int) -> NumpyArray:
    """Returns a mask of any kind as float64 [H, W] in [0, 1]."""
    a = checked_mask(mask, "mask", height, width)
    return a.astype(np.float64) / (1.0 if a.dtype == bool else _arrays.VALUE_RANGE[a.dtype.name])


def foreground(mask: MaskLike, height: int, width: int) -> NumpyArray:
    """Returns the weights of a mask that is not empty."""
    m = weights(mask, height, width)
    if not m.any():
        raise MaskError("mask: empty; a metric of the foreground needs a pixel inside")
    return m
