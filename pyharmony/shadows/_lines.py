"""Checks places and lines of a picture that callers say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks
from ..errors import ArgumentError
from ._geometry import Line


def point_of(value: Any, name: str) -> tuple[float, float]:
    """Returns a place (x, y) of the picture."""
    x, y = _checks.two_numbers(value, name, "expected (x, y) in pixels")
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ArgumentError(f"{name}: {value!r}, expected (x, y) in pixels, finite")
    return float(x), float(y)


def line_of(value: Any, name: str) -> Line | None:
    """Returns a line of the picture that is given as a row or as two points."""
    if value is None:
        return None
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return Line(_checks.number(float(value), name, low=-math.inf, accepts="a finite row, or two points"))
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: {value!r}, expected a row, or two points ((x, y), (x, y))") from None
    (x0, y0), (x1, y1) = point_of(first, name), point_of(second, name)
    if x0 == x1:
        raise ArgumentError(f"{name}: {value!r} is upright, expected two points of different x")
    slope = (y1 - y0) / (x1 - x0)
    return Line(y0 - slope * x0, slope)
