"""Lays a subject over its surroundings, by the blends that a composite has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import blend as blends
from .._arrays import NumpyArray
from .._warnings import quiet
from ..errors import MaskWarning

__all__ = ["BESIDE", "in_canvas_pixels", "laid_over"]

#: The pixels around a subject that a blend by gradients sees.
BESIDE = 8


def over(canvas: NumpyArray, colours: NumpyArray, alpha: NumpyArray) -> None:
    """Lays colours over canvas [h, w, 3] by alpha [h, w], in place, as `pyharmony.blend.alpha` does."""
    with quiet(MaskWarning):  # a shadow is faint
        blends.alpha(np.dstack([colours, alpha]), canvas.copy(), out=canvas, decontaminate=False)


def laid_over(dst: NumpyArray, colours: NumpyArray, alpha: NumpyArray, inner: Any, method: str) -> NumpyArray:
    """Returns surroundings with a subject in them.

    Args:
        dst: the surroundings [H, W, 3], somewhat larger than the subject where they can be.
        colours, alpha: the subject [h, w, 3] and [h, w], of dst's dtype.
        inner: the slices of rows and columns of dst that it lies in.
        method: the blend, 'alpha', 'poisson' or 'gaussian_poisson'.

    Returns:
        [H, W, 3]. Of a blend by gradients the pixels where alpha is not 0 count, of which a composite is made.
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
    with quiet(MaskWarning):  # its arguments are not those that the warning names
        if method == "poisson":
            result = blends.poisson(src, dst, mask)
        else:
            result = blends.gaussian_poisson(src, dst, mask, base=base)
    return result


def in_canvas_pixels(arguments: Mapping[str, Any], ratio: float, below: float = 0.0) -> dict[str, Any]:
    """Returns the arguments of a shadow or a reflection for a canvas of another size.

    Whole numbers are at the middles of pixels, on either canvas.

    Args:
        arguments: the arguments, in pixels of the background at full size.
        ratio: the size of the canvas by that of the background.
        below: how far below the middle of the row that is given the ground is met, in pixels of either size.

    Raises:
        TypeError, ValueError: a place or a line is no number and no list of numbers.
    """
    scaled = dict(arguments)
    if ratio != 1:
        for key in ("tip", "horizon", "contact", "wall"):
            if scaled.get(key) is None:
                continue
            place = np.asarray(scaled[key], np.float64)
            # The second number of a place is its row.
            beyond = np.array([0.0, below]) if place.ndim else np.array(below)
            scaled[key] = ((place + 0.5 + beyond) * ratio - 0.5 - beyond).tolist()
    return scaled
