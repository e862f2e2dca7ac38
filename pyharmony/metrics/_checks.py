"""Checks of the metrics' arguments."""

from __future__ import annotations

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array, NumpyArray
from ..errors import MaskError, ShapeError

#: The value of white in the unit of every metric.
RANGE = 255.0


def picture(x: Array, name: str) -> NumpyArray:
    """Returns x as a checked image [H, W, C] of 1 or 3 channels, finite."""
    a = _checks.image(x, name)
    if a.shape[2] not in (1, 3):
        hint = f"; leave alpha out: {name}[..., :3]" if a.shape[2] == 4 else ""
        raise ShapeError(f"{name}: shape {list(x.shape)}, expected [H, W] or [H, W, C] with C = 1 or 3{hint}")
    _checks.finite(a, name)
    return a


def pair(output: Array, target: Array) -> tuple[NumpyArray, NumpyArray]:
    """Returns output and target as checked images of one shape and dtype."""
    a, b = picture(output, "output"), picture(target, "target")
    _checks.same_shape(output, "output", target, "target")
    _checks.same_dtype(a, "output", b, "target")
    return a, b


def scale(picture: NumpyArray) -> float:
    """Returns the factor that turns the values of an image into 8-bit levels."""
    return RANGE / _arrays.VALUE_RANGE[picture.dtype.name]


def weights(mask: Array, height: int, width: int) -> NumpyArray:
    """Returns a mask as float64 [H, W] in [0, 1]."""
    a = _checks.mask(mask, "mask", height, width)
    return a.astype(np.float64) / (1.0 if a.dtype == bool else _arrays.VALUE_RANGE[a.dtype.name])


def foreground(mask: Array, height: int, width: int) -> NumpyArray:
    """Returns a mask that is not empty as float64 [H, W] in [0, 1]."""
    m = weights(mask, height, width)
    if not m.any():
        raise MaskError("mask: empty; a metric of the foreground needs a pixel inside")
    return m
