"""Draws a subject over its surroundings, with the blends of a composite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import blend as blends
from .._arrays import NumpyArray
from .._warnings import quiet
from ..errors import MaskWarning

__all__ = ["BESIDE", "in_canvas_pixels", "laid_over"]

#: The arguments that are lengths in pixels.
_LENGTHS = ("edge", "feather")
#: The width of the surroundings that a gradient-domain blend reads, in pixels.
BESIDE = 8


def over(canvas: NumpyArray, colours: NumpyArray, alpha: NumpyArray) -> None:
    """Blends colours over canvas [h, w, 3] by alpha [h, w], in place, like `pyharmony.blend.alpha`."""
    with quiet(MaskWarning):  # a shadow is faint
        blends.alpha(np.dstack([colours, alpha]), canvas.copy(), out=canvas, decontaminate=False)


def laid_over(dst: NumpyArray, colours: NumpyArray, alpha: NumpyArray, inner: Any, method: str) -> NumpyArray:
    """Returns surroundings [H, W, 3] with a subject blended into them.

    Of a gradient-domain blend a composite uses only the pixels with alpha above 0.

    dst: the surroundings, somewhat larger than the subject unless the image ends there.
    colours, alpha: the subject [h, w, 3] and [h, w], of dst's dtype.
    inner: the slices of rows and columns of dst that the subject covers.
    """
    base = dst.copy()
    if method != "poisson":
        over(base[inner], colours, alpha)
    if method == "alpha":
        return base
    mask = np.zeros(dst.shape[:2], alpha.dtype)
    mask[inner] = alpha
    src = dst.copy()
    np.copyto(src[inner], colours, where=(alpha > 0)[..., None])
    result: NumpyArray
    with quiet(MaskWarning):  # the warning would name arguments that the caller does not have
        if method == "poisson":
            result = blends.poisson(src, dst, mask)
        else:
            result = blends.gaussian_poisson(src, dst, mask, base=base)
    return result


def in_canvas_pixels(arguments: Mapping[str, Any], ratio: float, below: float = 0.0) -> dict[str, Any]:
    """Returns the arguments of a shadow, a reflection or corrections for a canvas at a ratio of the background's size.

    Whole numbers are at the centres of pixels, on either canvas. below: the distance of the contact with the ground
    below the centre of a given row, in pixels of either size.
    """
    scaled = dict(arguments)
    if ratio != 1:
        scaled |= {key: scaled[key] * ratio for key in _LENGTHS if key in scaled}
        for key in ("tip", "horizon", "contact", "wall"):
            if scaled.get(key) is None:
                continue
            place = np.asarray(scaled[key], np.float64)
            # The second number of a place is its row.
            beyond = np.array([0.0, below]) if place.ndim else np.array(below)
            scaled[key] = ((place + 0.5 + beyond) * ratio - 0.5 - beyond).tolist()
    return scaled
