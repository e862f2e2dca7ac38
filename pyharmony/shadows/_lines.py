"""Checks places and lines of an image in arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from ..errors import ArgumentError
from ._geometry import Line

#: The largest absolute coordinate and slope; larger ones are rejected as mistakes.
MAX_COORDINATE = 1e7


def point_of(value: Any, name: str) -> tuple[float, float]:
    """Returns a place (x, y) of the image."""
    accepts = "expected (x, y) in pixels"
    x, y = _checks.two_numbers(value, name, accepts)
    if not (abs(x) <= MAX_COORDINATE and abs(y) <= MAX_COORDINATE):
        raise ArgumentError(f"{name}: {value!r}, {accepts}, finite and at most {MAX_COORDINATE:.0e} in size")
    return float(x), float(y)


def row_of(value: Any, name: str) -> float:
    """Returns a row of the image, which may be outside of it."""
    return _checks.number(
        value,
        name,
        low=-MAX_COORDINATE,
        high=MAX_COORDINATE,
        accepts=f"a finite row, at most {MAX_COORDINATE:.0e} in size",
    )


def check_near(line: Line, name: str, columns: tuple[float, float], height: int) -> None:
    """Rejects a line that is farther outside of the image than its height, between two columns."""
    rows = [line.at(column) for column in columns]
    for row in rows:
        if not -height <= row <= 2 * height:
            raise ArgumentError(
                f"{name}: at row {row:g} below the object, expected {-height} to {2 * height}, at most the image's "
                "height beyond its borders"
            )


def line_of(value: Any, name: str) -> Line | None:
    """Returns a line of the image from a row or two points."""
    if value is None:
        return None
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return Line(row_of(value, name))
    accepts = "a row, or two points ((x, y), (x, y))"
    points = [] if isinstance(value, str) else _checks.several(value, name, accepts)
    if len(points) != 2:
        raise ArgumentError(f"{name}: {value!r}, expected {accepts}")
    first, second = points
    (x0, y0), (x1, y1) = point_of(first, name), point_of(second, name)
    if x0 == x1:
        raise ArgumentError(f"{name}: {value!r} is vertical, expected two points of different x")
    slope = (y1 - y0) / (x1 - x0)
    if not abs(slope) <= MAX_COORDINATE:
        raise ArgumentError(f"{name}: {value!r} is vertical, expected two points of different x")
    return Line(y0 - slope * x0, slope)
