"""Lays a subject over its surroundings, by the blends that a composite has."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import blend as blends
from .._arrays import NumpyArray

#: The pixels around a subject that a blend by gradients sees.
BESIDE = 8


def over(canvas: NumpyArray, colours: NumpyArray, alpha: NumpyArray) -> None:
    """Lays colours over canvas [h, w, 3] by alpha [h, w], in place, as `pyharmony.blend.alpha` does."""
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
    made: NumpyArray = (
        blends.poisson(src, dst, mask) if method == "poisson" else blends.gaussian_poisson(src, dst, mask, base=base)
    )
    return made
