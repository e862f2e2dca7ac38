"""Alpha compositing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Array, NumpyArray
from ._frame import Frame, Job, as_float, check_finite, write

_ROWS = 64  # of a strip whose temporaries stay in the cache


def alpha(
    src: Array,
    dst: Array,
    mask: Array | None = None,
    *,
    at: Any = None,
    feather: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Lays src over dst: ``mask * src + (1 - mask) * dst``.

    Args:
        src, dst, mask, at, out: see `pyharmony.blend`.
        feather: width in pixels of a ramp along the contour, from 0 at the contour to 1 that far
            inside the mask. Nothing changes outside the mask.

    Returns:
        The blend, in dst's kind, layout, shape and dtype.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: see `pyharmony.blend`.
    """
    width = _checks.number(feather, "feather", accepts="a finite number of pixels, at least 0")
    frame = Frame(src, dst, mask, at, out)
    for job in frame.jobs():
        _blend(job, width)
    return frame.result()


def _blend(job: Job, feather: float) -> None:
    box = job.bbox
    if box.empty:
        job.start()
        return
    mask = job.mask_of(box)
    origin = job.placed.y0, job.placed.x0
    src, dst = box.of(job.src, origin), box.of(job.dst)
    outside = mask == 0
    check_finite(src, "src", (box.y0 - job.shift[0], box.x0 - job.shift[1]), skip=outside)
    check_finite(dst, "dst", (box.y0, box.x0), skip=outside)
    if feather > 0:
        around = box.expand(1, job.shape)
        ramp = _ramp(job.mask_of(around), feather)
        mask = as_float(mask) * box.of(ramp, (around.y0, around.x0))
        outside = mask == 0
    result = box.of(job.start())
    for y in range(0, box.shape[0], _ROWS):
        rows = slice(y, y + _ROWS)
        s: NumpyArray = src[rows].astype(job.real)
        d: NumpyArray = dst[rows].astype(job.real)
        if job.dst.dtype.kind == "f":  # keeps NaN and Inf outside the mask out of the sum
            s[outside[rows]] = d[outside[rows]] = 0
        m: NumpyArray = as_float(mask[rows]).astype(job.real)[..., None]
        s *= m
        m = 1 - m
        d *= m
        s += d
        blended = np.empty(s.shape, job.dst.dtype)
        write(s, blended)
        np.copyto(result[rows], blended, where=~outside[rows][..., None])


def _ramp(mask: NumpyArray, feather: float) -> NumpyArray:
    """[H, W] float32: the distance of each pixel inside to the contour over feather, at most 1.

    The exact Euclidean distance to the nearest pixel with mask zero, as far as the ramp reaches,
    less the half pixel from there to the contour.
    """
    reach = math.ceil(feather + 0.5)
    inside = mask > 0
    # Along the columns first: rows to the nearest pixel outside, by looking up and down.
    column = np.where(inside, np.float32(reach), np.float32(0))
    for rows in (column, column[::-1]):
        for y in range(1, rows.shape[0]):
            np.minimum(rows[y], rows[y - 1] + 1, out=rows[y])
    column *= column
    squared = column.copy()
    for dx in range(1, min(reach, mask.shape[1] - 1) + 1):
        step = np.float32(dx * dx)
        np.minimum(squared[:, dx:], column[:, :-dx] + step, out=squared[:, dx:])
        np.minimum(squared[:, :-dx], column[:, dx:] + step, out=squared[:, :-dx])
    return np.clip((np.sqrt(squared) - 0.5) / np.float32(feather), 0, 1)
