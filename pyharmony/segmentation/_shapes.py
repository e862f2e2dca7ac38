"""Shapes drawn by hand around an object or a part of it, and sums and differences of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Box, Pixels
from .._images.levels import shares_of
from .._images.region import bounding_box
from .._images.sizes import fitted, resized
from ..errors import ArgumentError
from ..ops.distance import distance_inside
from ._prompts import Point, Size, point_in
from .layers import Layer, around_both, sampled, value_at
from .masks import Parts

#: The distance from a shape within which the network decides by default, as a share of the root of its area: by shapes
#: with errors of 2 to 6 % around 59 objects of val, 0.04 to 0.1 are best, and the network alone is worse.
_TOLERANCE_SHARE = 0.06
_MIN_TOLERANCE = 2.0  # in pixels
#: The largest side of the grid on which masks are combined: thin parts have a few pixels.
_GRID_SIDE = 512
#: The number of samples of a pixel along each side by which a shape covers it.
_SAMPLES = 4
#: A click whose mask changes by no more than this share had no effect.
_NO_CHANGE = 1e-3


def shape_of(corners: Any, name: str, size: Size) -> Pixels:
    """Returns the mask [H, W] of a closed line (x, y), (x, y), …, 0 to 255, by the even-odd rule.

    Raises:
        ArgumentError: the line has fewer than three points, a point is outside of the image, or it encloses nothing.
    """
    from PIL import Image, ImageDraw

    every = _checks.several(corners, name, "[(x, y), ...]")
    points = [point_in(x, f"{name}[{i}]", size) for i, x in enumerate(every)]
    if len(points) < 3:
        raise ArgumentError(f"{name}: {len(points)} points, expected at least three around the object")
    mask = np.zeros(size[::-1], np.uint8)
    x, y = (np.array(values) for values in zip(*points))
    left, top = int(x.min()), int(y.min())
    part = mask[max(top, 0) : int(y.max()) + 2, max(left, 0) : int(x.max()) + 2]
    large = Image.new("L", (part.shape[1] * _SAMPLES, part.shape[0] * _SAMPLES))
    places = zip((x - max(left, 0) + 0.5) * _SAMPLES - 0.5, (y - max(top, 0) + 0.5) * _SAMPLES - 0.5)
    ImageDraw.Draw(large).polygon([(float(a), float(b)) for a, b in places], fill=255)
    part[...] = np.asarray(large.resize(part.shape[::-1], Image.Resampling.BOX))
    if not (part >= 128).any():
        raise ArgumentError(f"{name}: encloses no pixel, expected a line around the object")
    return mask


def layer_of(mask: Pixels, score: float) -> Layer:
    """Returns a mask [H, W] of 0 to 255, which is not empty, as a layer around it."""
    region = bounding_box(mask).expand(1, mask.shape)
    box = region.x0, region.y0, region.x1, region.y1
    return Layer(box, shares_of(resized(region.of(mask), _grid(box))), score)


def alone(mask: Pixels | None) -> Parts:
    """Returns the parts of an object that is a mask [H, W] as it is; those of no mask are none."""
    return () if mask is None else ((np.broadcast_to(np.uint8(255), mask.shape), False), (mask, True))


def default_tolerance(shape: Pixels) -> float:
    """Returns the tolerance of a shape [H, W] without one, in pixels."""
    return max(_MIN_TOLERANCE, _TOLERANCE_SHARE * float(np.count_nonzero(shape >= 128)) ** 0.5)


def within(layer: Layer, shape: Layer, tolerance: float) -> Layer:
    """Returns a layer near the contour of a shape, within a tolerance in pixels, and the shape elsewhere."""
    box = around_both(layer.box, shape.box)
    grid = fitted((box[2] - box[0], box[3] - box[1]), _GRID_SIDE)  # of square cells, for distances
    values, rough = (sampled(one, box, grid) for one in (layer, shape))
    inside = np.pad(rough > 0.5, 1, mode="edge")
    away = np.maximum(distance_inside(inside), distance_inside(~inside))[1:-1, 1:-1] - np.float32(0.5)
    reach = tolerance * values.shape[1] / (box[2] - box[0])
    return layer._replace(box=box, values=np.where(away <= reach, values, rough))


def combined(before: Layer, part: Layer, *, add: bool) -> Layer:
    """Returns the sum of two layers, or, with add=False, the first without the second."""
    box = around_both(before.box, part.box) if add else before.box
    values, other = (sampled(one, box, _grid(box)) for one in (before, part))
    return before._replace(box=box, values=np.maximum(values, other) if add else np.minimum(values, 1 - other))


def has_no_effect(before: Layer, after: Layer, points: Sequence[Point], labels: Sequence[int]) -> bool:
    """Returns whether a mask contradicted all new clicks and still does so, or hardly changed."""
    wrong = [
        (value_at(after, point) > 0.5) != bool(label)
        for point, label in zip(points, labels, strict=True)
        if (value_at(before, point) > 0.5) != bool(label)
    ]
    if len(wrong) < len(points) or not points:
        return False
    box = around_both(before.box, after.box)
    old, new = (sampled(one, box, _grid(box)) > 0.5 for one in (before, after))
    return all(wrong) or bool(np.count_nonzero(old != new) <= _NO_CHANGE * np.count_nonzero(old))


def _grid(box: Box) -> Size:
    """Returns the size of a grid over a box that is as fine along the shorter side: thin parts stay thin."""
    return min(box[2] - box[0], _GRID_SIDE), min(box[3] - box[1], _GRID_SIDE)
