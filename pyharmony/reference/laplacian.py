"""Multiband blending, in float64 NumPy.

Burt and Adelson, A Multiresolution Spline With Application to Image Mosaics, 1983, with weights that fade inwards. The
levels of x = src - dst are x_0 = x and x_(k+1) = down(x_k), their bands b_k = x_k - up(x_(k+1)), the last one x_K. The
result is dst + s_0 where s_K = w_K b_K and s_k = w_k b_k + up(s_(k+1)).

A cell of level k is inside if all of its pixels are. The weight w_k is the mask, halved k times, times a ramp along the
contour of the cells inside: 0 in one cell along it if k > 0, then 1/4, 3/4 and 1 across a straight one. Image borders
are not contours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .pyramid import downsample, downsample_mask, upsample

Float64 = npt.NDArray[np.float64]

#: The least share of the mask in which the coarsest band has its full weight, with `adapt`.
CORE = 0.25


def eroded(inside: Any, cells: int) -> npt.NDArray[np.bool_]:
    """Returns the cells [h, w] whose square of side 2 cells + 1 has no cell outside."""
    framed = np.pad(inside, cells, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(framed, (2 * cells + 1, 2 * cells + 1))
    result: npt.NDArray[np.bool_] = np.asarray(windows.all((2, 3)))
    return result


def ramp(inside: Any, clear: int) -> Float64:
    """Returns the ramp [h, w] that is zero in so many cells along the contour."""
    result = eroded(inside, clear + 1).astype(np.float64)
    for axis in (0, 1):
        framed = np.pad(result, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        before, here, after = (framed.take(range(k, k + result.shape[axis]), axis) for k in (0, 1, 2))
        result = (before + 2 * here + after) / 4
    return result


def laplacian(src: Any, dst: Any, mask: Any, levels: int, *, adapt: bool = False) -> Float64:
    """Returns dst [H, W, C] with the faded bands of src - dst where mask [H, W], from 0 to 1, is above zero.

    levels: the number of halvings, at most; adapt: whether only bands are used that have their full weight in a quarter
    of the mask.
    """
    s, d, m = (np.asarray(x, np.float64) for x in (src, dst, mask))
    inside = m > 0
    x, cells, weights = s - d, inside, [m * ramp(inside, 0)]
    for _ in range(levels):
        m, cells = downsample_mask(m), downsample_mask(cells) == 1
        if adapt and eroded(cells, 3).mean() < CORE * m.mean():
            break
        weights.append(m * ramp(cells, 1))
    images = [x]
    for _ in weights[1:]:
        images.append(downsample(images[-1]))
    total = weights[-1][..., None] * images[-1]
    for finer, coarser, weight in zip(images[-2::-1], images[:0:-1], weights[-2::-1], strict=True):
        band = finer - upsample(coarser, finer.shape[:2])
        total = weight[..., None] * band + upsample(total, finer.shape[:2])
    result = d.copy()
    result[inside] += total[inside]
    return result
