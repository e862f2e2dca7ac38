"""Regions and other planes: how they grow and shrink, and the connected parts of a region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Values = TypeVar("Values", bound=npt.NDArray[Any])
Bools = npt.NDArray[np.bool_]


def grown(values: Values, radius: int = 1, *, corners: bool = True) -> Values:
    """Returns the largest value within some steps of each pixel; a region grows by them.

    Args:
        values: [h, w] or [h, w, C] of any dtype without NaN, such as a region. Nothing lies beyond its border.
        radius: the number of steps.
        corners: whether a step may go to a pixel that touches by a corner: within a radius lies a square, else a
            rhombus.
    """
    return _spread(values, radius, corners, np.maximum)


def shrunk(values: Values, radius: int = 1, *, corners: bool = True) -> Values:
    """Returns the smallest value within some steps of each pixel; a region shrinks by them. See `grown`."""
    return _spread(values, radius, corners, np.minimum)


def opened(region: Bools, radius: int) -> Bools:
    """Returns a region [h, w] without what is narrower than twice a radius."""
    return grown(shrunk(region, radius), radius)


def closed(region: Bools, radius: int) -> Bools:
    """Returns a region [h, w] with its gaps filled that are narrower than twice a radius."""
    return shrunk(grown(region, radius), radius)


def _spread(values: Any, radius: int, corners: bool, better: Callable[..., Any]) -> Any:
    if corners:
        return _along(_along(values, 0, radius, better), 1, radius, better)
    for _ in range(radius):
        values = better(_along(values, 0, 1, better), _along(values, 1, 1, better))
    return values


def _along(values: Any, axis: int, radius: int, better: Callable[..., Any]) -> Any:
    """Returns the best of the values within a radius along an axis."""
    around = [(radius, radius) if a == axis else (0, 0) for a in range(values.ndim)]
    best, width = np.moveaxis(np.pad(values, around, "edge"), axis, 0), 1
    while width <= 2 * radius:
        step = min(width, 2 * radius + 1 - width)
        best = better(best[:-step], best[step:])
        width += step
    return np.moveaxis(best, 0, axis)
