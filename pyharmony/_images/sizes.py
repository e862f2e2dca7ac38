"""Sizes: fitting an image to a side, resizing it, and reducing it by whole blocks of pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._arrays import VALUE_RANGE, NumpyArray
from .._native import native

Part = tuple[float, float, float, float]


def fitted(size: tuple[int, int], longest: float, *, least: int = 1) -> tuple[int, int]:
    """Returns a size of the same proportions whose longer side is at most `longest`, and whose sides are `least`."""
    factor = min(1.0, longest / max(size))
    return max(least, round(size[0] * factor)), max(least, round(size[1] * factor))


def resized(values: npt.NDArray[Any], size: tuple[int, int], box: Part | None = None) -> npt.NDArray[Any]:
    """Returns an image [h, w, C] or plane [h, w] at a size (width, height), bilinearly; its dtype is kept.

    values: of any dtype. Four channels of uint8 are colours and alpha, which weights the colours.
    box: left, top, right and bottom of the part that is resized; None: all of it.
    """
    if box is None and values.shape[1::-1] == size:
        return values
    if box is not None:
        # Only the part with the support of the filter is read: Pillow copies its whole input.
        values, box = _around(values, size, box)
    are_levels = values.dtype == np.uint8
    if are_levels and (values.ndim == 2 or values.shape[2] in (1, 3)):
        return _resized_levels(values, size, box)
    if values.ndim == 3 and not (are_levels and values.shape[2] == 4):
        one = _resized_levels if are_levels else _resized_by_pillow
        return np.stack([one(values[..., c], size, box) for c in range(values.shape[2])], 2)
    return _resized_by_pillow(values, size, box)


def _resized_by_pillow(values: npt.NDArray[Any], size: tuple[int, int], box: Part | None) -> npt.NDArray[Any]:
    """Returns a plane of any dtype, or levels of colours and alpha, at a size."""
    from PIL import Image

    dtype = values.dtype
    if dtype not in (np.uint8, np.float32):
        values = values.astype(np.float32)
    image = Image.fromarray(np.ascontiguousarray(values))
    result = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0))
    if dtype.kind == "u" and result.dtype != dtype:
        result = np.rint(np.clip(result, 0, VALUE_RANGE[dtype.name]))
    return result.astype(dtype, copy=False)


def _resized_levels(levels: NumpyArray, size: tuple[int, int], box: Part | None) -> NumpyArray:
    """Returns levels [h, w] or [h, w, C] of up to 4 channels at a size, with the bits of Pillow 13."""
    box = box or (0.0, 0.0, float(levels.shape[1]), float(levels.shape[0]))
    out = np.empty((size[1], size[0], *levels.shape[2:]), np.uint8)
    native.resize(_arrays.view(levels, "levels"), _arrays.view(out, "out", writable=True), *box)
    return out


def _around(values: npt.NDArray[Any], size: tuple[int, int], box: Part) -> tuple[npt.NDArray[Any], Part]:
    """Returns a part of an image with the support of a resized box, and the box in that part."""
    left, top, right, bottom = box
    across, down = (2 + math.ceil((end - start) / count) for start, end, count in
                    ((left, right, size[0]), (top, bottom, size[1])))  # fmt: skip
    x, y = max(0, math.floor(left) - across), max(0, math.floor(top) - down)
    part = values[y : math.ceil(bottom) + down, x : math.ceil(right) + across]
    return part, (left - x, top - y, right - x, bottom - y)


def block_means(values: NumpyArray, every: int) -> NumpyArray:
    """Returns an image [h, w, C] or plane [h, w] reduced to the means of blocks of `every` pixels on each side.

    At the far sides blocks of uint8 may be smaller; for other dtypes the sides are multiples of `every`.
    """
    if values.dtype == np.uint8 and every > 1:
        return level_means(values, every, every)
    values = np.ascontiguousarray(values)
    if every <= 1:
        return values
    height, width = values.shape[:2]
    means = values.reshape(height // every, every, width // every, every, *values.shape[2:]).mean((1, 3))
    return np.rint(means).astype(values.dtype) if values.dtype.kind == "u" else means.astype(values.dtype)


def level_means(levels: NumpyArray, down: int, across: int) -> NumpyArray:
    """Returns the means of blocks of levels [h, w] or [h, w, 1 or 3], smaller ones at the far sides.

    They have the bits of `Image.reduce` of Pillow.
    """
    height, width = levels.shape[:2]
    out = np.empty((-(-height // down), -(-width // across), *levels.shape[2:]), np.uint8)
    native.block_means(_arrays.view(levels, "levels"), across, down, _arrays.view(out, "out", writable=True))
    return out
