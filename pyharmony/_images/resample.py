"""Resampling to other sizes, by kernels that widen when they shrink an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import Float64, NumpyArray
from .._native import native

_MAX_CHANNELS = 4  # of an image that is resampled in native code

Kernel = tuple[Callable[[Float64], Float64], int]


def _cubic(t: Float64) -> Float64:
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((2.5 - 0.5 * t) * t - 4) * t + 2
    return np.where(t >= 2, 0.0, np.where(t <= 1, near, far))


#: A kernel is a function of the distance in pixels, and the distance from which on it is zero. CUBIC is Keys' cubic
#: convolution (1981, a = -1/2), sharp, with weights of both signs; TRIANGLE has no negative weight.
CUBIC: Kernel = (_cubic, 2)
TRIANGLE: Kernel = (lambda t: np.maximum(1 - t, 0.0), 1)


def resample(
    x: NumpyArray,
    axis: int,
    start: float,
    step: float,
    cells: int,
    *,
    kernel: Kernel = CUBIC,
    real: Any = np.float32,
    first_cell: int = 0,
    first_pixel: int = 0,
    count: int | None = None,
) -> NumpyArray:
    """Returns x [h, w, C] resampled by a kernel along an axis, contiguous and of the type real.

    Cell i covers the pixels of x from start + i * step to start + (i + 1) * step; if step is more than a pixel, the
    kernel is wider by that factor. Taps beyond the border are omitted.

    first_cell: the index of the first computed cell; a part has the same bits as in the whole.
    first_pixel, count: the index of the first pixel of x, and the number of pixels of the whole image, if x is a part,
        with all pixels that the cells read; None: x is the whole.
    """
    weight_at, reach = kernel
    count, wide = x.shape[axis] if count is None else count, max(step, 1.0)
    centres = np.clip(start + (np.arange(first_cell, first_cell + cells) + 0.5) * step - 0.5, 0, count - 1)
    first = np.floor(centres - reach * wide).astype(int)[:, None] + 1
    taps = first + np.arange(int(np.ceil(2 * reach * wide)) + 1)
    weights = np.where((taps < 0) | (taps >= count), 0.0, weight_at(np.abs(taps - centres[:, None]) / wide))
    weights /= weights.sum(1, keepdims=True)
    taps = np.clip(np.clip(taps, 0, count - 1) - first_pixel, 0, x.shape[axis] - 1)
    return weighted(x, axis, taps.T, weights.T, real)


def weighted(x: NumpyArray, axis: int, taps: NumpyArray, weights: NumpyArray, real: Any) -> NumpyArray:
    """Returns the sums over k of x's elements taps[k] along an axis times weights[k], in order, of the type real.

    taps, weights: [count, cells], positions along the axis; the result has `cells` there.
    """
    result: NumpyArray = np.empty((*x.shape[:axis], taps.shape[1], *x.shape[axis + 1 :]), real)
    if not result.size:
        return result
    views = [_arrays.view(np.ascontiguousarray(each, np.float64), "taps") for each in (taps, weights)]

    def sum_along(axis: int, image: NumpyArray, out: NumpyArray) -> None:
        native.resample(_arrays.view(image, "x", copies=True), axis, *views, _arrays.view(out, "out", writable=True))

    planes = (math.prod(x.shape[:axis]), -1, math.prod(x.shape[axis + 1 :]))
    if planes[2] <= _MAX_CHANNELS:
        sum_along(1, x.reshape(planes), result.reshape(planes))
    else:
        for image, out in zip(x.reshape(planes), result.reshape(planes), strict=True):
            sum_along(0, image[..., None], out[..., None])
    return result
