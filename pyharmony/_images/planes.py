"""Operations on regions and other planes: dilation, erosion, opening, closing, blur and connected components."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt

from .._arrays import Bools
from ..ops.convolution import linear
from .resample import weighted

Values = TypeVar("Values", bound=npt.NDArray[Any])

#: Up to this many pixels along an axis a blur is a product of matrices.
_TILE = 64


def grown(values: Values, radius: int = 1, *, corners: bool = True) -> Values:
    """Returns the largest value within some steps of each pixel: the dilation, for a region.

    values: [h, w] or [h, w, C] of any dtype without NaN, such as a region. Pixels beyond its border are ignored.
    corners: whether a step may go to a diagonal neighbour: the neighbourhood is a square, else a rhombus.
    """
    return _spread(values, radius, corners, np.maximum)


def shrunk(values: Values, radius: int = 1, *, corners: bool = True) -> Values:
    """Returns the smallest value within some steps of each pixel: the erosion, for a region. See `grown`."""
    return _spread(values, radius, corners, np.minimum)


def opened(region: Bools, radius: int) -> Bools:
    """Returns a region [h, w] without parts narrower than twice a radius: the opening."""
    return grown(shrunk(region, radius), radius)


def closed(region: Bools, radius: int) -> Bools:
    """Returns a region [h, w] with gaps narrower than twice a radius filled: the closing."""
    return shrunk(grown(region, radius), radius)


def connected_parts(region: Bools) -> npt.NDArray[np.int32]:
    """Returns the label of each pixel's connected component in a region [h, w]; 0 outside.

    Pixels that touch at a side are connected. Components are numbered from 1, by rows and columns of their first
    pixels.
    """
    height, width = region.shape
    framed = np.zeros((height, width + 2), np.int8)
    framed[:, 1:-1] = region
    steps = np.diff(framed, axis=1).ravel()
    # The runs of all rows, concatenated; a gap of one pixel separates them.
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    # The runs of the row above that each run touches.
    first = np.searchsorted(ends, starts - (width + 1), "right")
    count = np.searchsorted(starts, ends - (width + 1), "left") - first
    lower = np.repeat(np.arange(len(starts)), count)
    upper = np.repeat(first - np.cumsum(count) + count, count) + np.arange(len(lower))
    # Runs that touch get the smaller of their roots, until all connected ones have the same.
    root = np.arange(len(starts))
    while (root[lower] != root[upper]).any():
        least = np.minimum(root[lower], root[upper])
        np.minimum.at(root, root[lower], least)
        np.minimum.at(root, root[upper], least)
        while (root[root] != root).any():
            root = root[root]
    _, numbers = np.unique(root, return_inverse=True)
    change = np.zeros(height * (width + 1), np.int32)
    change[starts], change[ends] = numbers + 1, -(numbers + 1)
    return np.cumsum(change, dtype=np.int32).reshape(height, width + 1)[:, :-1]


def gaussian(
    values: Values,
    deviation: float,
    axes: tuple[int, int] = (0, 1),
    *,
    reach: float = 4.0,
    border: Literal["symmetric", "edge"] = "symmetric",
) -> Values:
    """Returns values, float32 or float64, blurred by a Gaussian along some axes.

    deviation: the standard deviation, in pixels.
    axes: the axes along which they are blurred.
    reach: the radius of the kernel, in deviations; see `reach_of`.
    border: the values beyond the border, as in `numpy.pad`: a mirror image, or the outermost values.
    """
    radius = reach_of(deviation, reach)
    at = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * np.square(at / deviation))
    weights /= weights.sum()
    blurred: Any = values
    for axis in axes:
        count = blurred.shape[axis]
        if count <= _TILE and blurred.dtype == np.float32:
            # In a tile, each pixel becomes a weighted sum of its row or column: one product of matrices blurs all.
            around = np.pad(np.eye(count), ((radius, radius), (0, 0)), mode=border)
            shares = sum(weight * around[shift : shift + count] for shift, weight in enumerate(weights))
            last = np.moveaxis(blurred, axis, -1)
            product = linear(
                last.reshape(-1, count), np.ascontiguousarray(shares.T, np.float32), np.zeros(count, np.float32)
            )
            blurred = np.moveaxis(product.reshape(last.shape), -1, axis)
            continue
        taps = np.lib.stride_tricks.sliding_window_view(np.pad(np.arange(count), radius, mode=border), count)
        blurred = weighted(blurred, axis, taps, np.broadcast_to(weights[:, None], taps.shape), blurred.dtype)
    return cast(Values, blurred)


def reach_of(deviation: float, reach: float = 4.0) -> int:
    """Returns the radius of the kernel of `gaussian` in pixels, at least one."""
    return max(1, math.ceil(reach * deviation))


def _spread(values: Any, radius: int, corners: bool, better: Callable[..., Any]) -> Any:
    if corners:
        return _along(_along(values, 0, radius, better), 1, radius, better)
    for _ in range(radius):
        values = better(_along(values, 0, 1, better), _along(values, 1, 1, better))
    return values


def _along(values: Any, axis: int, radius: int, better: Callable[..., Any]) -> Any:
    """Returns the best of the values within a radius along an axis."""
    if radius == 1:
        best = np.array(values, order="C")
        from_, to = np.moveaxis(values, axis, 0), np.moveaxis(best, axis, 0)
        better(to[1:], from_[:-1], out=to[1:])
        better(to[:-1], from_[1:], out=to[:-1])
        return best
    around = [(radius, radius) if a == axis else (0, 0) for a in range(values.ndim)]
    best, width = np.moveaxis(np.pad(values, around, "edge"), axis, 0), 1
    while width <= 2 * radius:
        step = min(width, 2 * radius + 1 - width)
        best = better(best[:-step], best[step:])
        width += step
    return np.moveaxis(best, 0, axis)
