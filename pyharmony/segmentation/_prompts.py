"""Prompts: checks of a user's points, box, scribble or mask, and their conversion to a reduced copy of the image."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Box, is_array
from .._images.levels import mask_levels
from .._images.sizes import resized
from ..errors import ArgumentError, ShapeError
from ._network import Prompts

Point = tuple[float, float]
Size = tuple[int, int]
"""Width and height."""

#: The largest number of clicks that replace a scribble.
_SCRIBBLED = 16
#: The values that labels of clicks accept.
_LABELS = "1 on the object or 0 outside of it, for each point"


def prompts_of(
    size: Size, points: Any = None, labels: Any = None, box: Any = None, scribble: Any = None, mask: Any = None,
    tolerance: Any = None,
) -> Prompts:  # fmt: skip
    """Returns the checked prompts for an image of a size; for the arguments see `segment`."""
    clicks = _clicks(points, size)
    values = [1] * len(clicks) if labels is None else _checks.several(labels, "labels", _LABELS)
    signs = [_label(value, i) for i, value in enumerate(values)]
    if len(signs) != len(clicks):
        raise ShapeError(f"labels: {len(signs)} labels for {len(clicks)} points, expected one for each")
    if scribble is not None:
        line = along(scribble, "scribble", size)
        clicks, signs = [*clicks, *line], [*signs, *[1] * len(line)]
    area = None if box is None else _area(box, size)
    coarse = None if mask is None else nonempty(mask_levels(mask, size[1], size[0]))
    if tolerance is not None and coarse is None:
        raise ArgumentError(f"tolerance: {tolerance!r} without a mask, expected a coarse mask or a lasso, too")
    prompts = Prompts(clicks, signs, area, coarse, tolerance_of(tolerance))
    if not prompts.marks_object:
        where = " on the object" if clicks else ""
        raise ArgumentError(
            f"points: no prompt{where}",
            code="nothing-pointed-at",
            hint="expected points, box, scribble, mask or lasso",
        )
    return prompts


def reduced_prompts(prompts: Prompts, size: Size, to: Size) -> Prompts:
    """Returns the prompts of an image of a size for a copy of it at another size."""
    across, down = to[0] / size[0], to[1] / size[1]
    points = [((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5) for x, y in prompts.points]
    box = prompts.box
    if box is not None:
        left, right = (x * across for x in box[::2])
        top, bottom = (y * down for y in box[1::2])
        box = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    mask = None if prompts.mask is None else nonempty(resized(prompts.mask, to))
    tolerance = None if prompts.tolerance is None else prompts.tolerance * across
    return prompts._replace(points=points, box=box, mask=mask, tolerance=tolerance)


def tolerance_of(value: Any) -> float | None:
    """Returns a checked tolerance in pixels."""
    return None if value is None else _checks.number(value, "tolerance", accepts="a number of pixels from 0, or None")


def nonempty(mask: Any, name: str = "mask") -> Any:
    """Returns a coarse mask of 0 to 255, after a check that it is not empty."""
    if not (mask >= 128).any():
        raise ArgumentError(f"{name}: empty, expected a pixel of at least one half")
    return mask


def _clicks(points: Any, size: Size) -> list[Point]:
    """Returns one click (x, y), or several of them, as a list."""
    if points is None:
        return []
    every = points.tolist() if is_array(points) else points
    several = isinstance(every, Sequence) and not isinstance(every, str)
    if not several or (len(every) == 2 and all(isinstance(x, numbers.Real) for x in every)):
        return [point_in(every, "points", size)]
    return [point_in(x, f"points[{i}]", size) for i, x in enumerate(every)]


def along(line: Any, name: str, size: Size) -> list[Point]:
    """Returns points at equal distances along a line in an image of a size."""
    every = _checks.several(line, name, "[(x, y), ...]")
    corners = [point_in(x, f"{name}[{i}]", size) for i, x in enumerate(every)]
    if not corners:
        raise ArgumentError(f"{name}: empty, expected [(x, y), ...]")
    x, y = (np.array(v) for v in zip(*corners))
    passed = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    at = np.linspace(0, passed[-1], min(_SCRIBBLED, max(len(corners), 4)) if passed[-1] else 1)
    return list(zip(np.interp(at, passed, x).tolist(), np.interp(at, passed, y).tolist()))


def point_in(value: Any, name: str, size: Size) -> Point:
    """Returns a point (x, y) in an image of a size."""
    width, height = size
    accepts = "expected (x, y) in pixels"
    pair = _checks.two_numbers(value, name, accepts)
    x, y = (_checks.number(v, name, low=-math.inf, accepts="(x, y) in pixels") for v in pair)
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise ArgumentError(
            f"{name}: ({x:g}, {y:g}) is outside of the image, expected 0 to {width - 1}, 0 to {height - 1}"
        )
    return x, y


def size_within(size: Any, largest: Size) -> Size:
    """Returns a size, which is at most that of an image."""
    width, height = largest
    accepts = f"expected (width, height) from (1, 1) to ({width}, {height})"
    across, down = _checks.two_numbers(size, "size", accepts)
    if not (1 <= across <= width and 1 <= down <= height and int(across) == across and int(down) == down):
        raise ArgumentError(f"size: {size!r}, {accepts}")
    return int(across), int(down)


def _label(value: Any, index: int) -> int:
    if not isinstance(value, (int, float, np.number, np.bool_)) or value not in (0, 1):
        raise ArgumentError(f"labels[{index}]: {value!r}, expected {_LABELS}")
    return int(value)


def _area(value: Any, size: Size) -> Box:
    """Returns the box of whole pixels around a rectangle (x, y, width, height), clipped to an image of a size."""
    left, top, right, bottom = _checks.checked_box(value, "box", size)
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
