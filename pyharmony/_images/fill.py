"""Smooth extrapolation of colours into pixels without colour."""

from __future__ import annotations

import numpy as np

from .._arrays import NumpyArray
from ..ops.pyramid import downsample, halve_mask, upsample


def fill(x: NumpyArray, holes: NumpyArray) -> NumpyArray:
    """Returns x [h, w, C] smoothly extrapolated into its holes; pixels next to known ones get the mean of these."""
    if holes.all():
        return np.zeros_like(x)
    value = np.where(holes[..., None], 0, x).astype(np.float32, copy=False)
    present = ~holes
    levels = []
    while not present.all():
        levels.append((value, present))
        total = halve_mask(present)
        value = downsample(value, 0.0)
        present = total > 0
        value /= np.where(present, total, 1)[..., None]
    for finer, present in reversed(levels):
        doubled = upsample(value, present.shape)
        np.copyto(doubled, finer, where=present[..., None])
        value = doubled
    result: NumpyArray = value.astype(x.dtype, copy=False)
    np.copyto(result, x, where=~holes[..., None])
    _meet_neighbours(result, holes)
    return result


def _meet_neighbours(x: NumpyArray, holes: NumpyArray) -> None:
    """Sets each pixel of x [h, w, C] in holes [h, w] that has neighbours outside the holes to their mean."""
    padded = np.pad(holes, 1, constant_values=True)
    beside = ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
    ys, xs = np.nonzero(holes & beside)
    total = np.zeros((len(ys), x.shape[2]), x.dtype)
    count = np.zeros((len(ys), 1), x.dtype)
    for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0)):
        there = ~padded[ys + 1 + dy, xs + 1 + dx]
        total[there] += x[ys[there] + dy, xs[there] + dx]
        count[there] += 1
    x[ys, xs] = total / count
