"""Exact Euclidean distance to the outside of a mask. Not public: `pyharmony.blend.alpha` feathers with it."""

from __future__ import annotations

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array, NumpyArray
from .._native import native

__all__ = ["distance_inside"]


def distance(mask: Array) -> Array:
    """Returns the distance of each pixel of a mask [H, W] above zero to the nearest pixel outside, [H, W] float32.

    It is in pixels from centre to centre; 0 outside, infinite if nothing is outside.
    """
    plane = _arrays.to_numpy(mask, "mask")
    plane = _checks.mask(plane, "mask", *_checks.mask_size(plane, "mask"))
    return _arrays.like_kind(distance_inside(plane), mask)


def distance_inside(mask: NumpyArray) -> NumpyArray:
    """Returns `distance` of a validated mask."""
    out = np.empty(mask.shape, np.float32)
    native.distance(_arrays.view(mask, "mask"), _arrays.view(out, "out", writable=True))
    return out
