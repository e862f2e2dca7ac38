"""Layers, which are masks over a part of an image: resampling, comparison and connected components."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Box, Float32, Pixels
from .._images.planes import connected_parts, grown
from .._images.region import bounding_box

__all__ = ["Layer", "Pixels", "box_of"]

Number = TypeVar("Number", int, float)
"""A part of an image in pixels: left, top, right, bottom; the last two are outside."""


#: The width of the half-covered rim that is removed together with a part, in pixels.
_HALF_INSIDE = 2


class Layer(NamedTuple):
    """A mask over a part of an image, as a method computes it."""

    box: Box  # the part of the image that the mask describes; it is 0 elsewhere
    #: The probability that each place is inside, [h, w] in [0, 1]; a large box has fewer values than pixels.
    values: Float32
    score: float  # the expected intersection over union with the object, 0 to 1


def sampled(layer: Layer, box: Box, size: tuple[int, int]) -> Float32:
    """Returns the values of a layer over another box of the image, resampled to a size (width, height)."""
    left, top, right, bottom = box
    own_left, own_top, own_right, own_bottom = layer.box
    height, width = layer.values.shape
    # The centres of the output pixels, in pixels of the layer.
    x = (left + (np.arange(size[0]) + 0.5) * (right - left) / size[0] - own_left) * width / (own_right - own_left) - 0.5
    y = (top + (np.arange(size[1]) + 0.5) * (bottom - top) / size[1] - own_top) * height / (own_bottom - own_top) - 0.5
    return _between(_between(layer.values, y).T, x).T


def _between(values: Float32, at: npt.NDArray[np.float64]) -> Float32:
    """Returns the rows of values [N, M] at fractional indices [P], [P, M], interpolated linearly; 0 beyond the ends."""
    count = len(values)
    first = np.clip(np.floor(at), 0, max(count - 2, 0)).astype(np.intp)
    share = np.clip(at - first, 0, 1).astype(np.float32)[:, None]
    rows = values[first]
    rows += share * (values[np.minimum(first + 1, count - 1)] - rows)
    rows[(at <= -0.5) | (at >= count - 0.5)] = 0
    return rows


def box_of(layer: Layer) -> Box | None:
    """Returns the bounding box in the image of a layer's values above 0.5; None if there are none."""
    region = layer.values > 0.5
    inside = bounding_box(region)
    if inside.empty:
        return None
    left, top, right, bottom = layer.box
    height, width = region.shape
    across, down = (right - left) / width, (bottom - top) / height
    right, bottom = math.ceil(left + inside.x1 * across), math.ceil(top + inside.y1 * down)
    return int(left + inside.x0 * across), int(top + inside.y0 * down), right, bottom


def covered(layer: Layer) -> float:
    """Returns the area of the image that a layer covers, in pixels."""
    left, top, right, bottom = layer.box
    return float(np.mean(layer.values > 0.5)) * (right - left) * (bottom - top)


def by_scores(layers: Sequence[Layer]) -> list[Layer]:
    """Returns layers in falling order of their scores."""
    return sorted(layers, key=lambda layer: -layer.score)


def value_at(layer: Layer, place: tuple[float, float]) -> float:
    """Returns the value of a layer at a place (x, y) of the image."""
    x, y = math.floor(place[0] + 0.5), math.floor(place[1] + 0.5)
    return float(sampled(layer, (x, y, x + 1, y + 1), (1, 1))[0, 0])


def around_both(first: tuple[Number, ...], second: tuple[Number, ...]) -> tuple[Number, Number, Number, Number]:
    """Returns the box around two boxes."""
    left, top, right, bottom = first
    return min(left, second[0]), min(top, second[1]), max(right, second[2]), max(bottom, second[3])


def iou(first: Layer, second: Layer) -> float:
    """Returns the intersection over union of two layers."""
    box = around_both(first.box, second.box)
    return iou_of_regions(*(sampled(layer, box, (128, 128)) > 0.5 for layer in (first, second)))


def iou_of_regions(first: Bools, second: Bools) -> float:
    """Returns the intersection over union of two regions; 1 if both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def connected(layer: Layer, points: Sequence[tuple[float, float]], least: float = 0.1) -> Layer:
    """Returns a layer with only those of its connected parts that contain one of some points of the image.

    If no part contains a point, all parts of at least `least` times the area of the largest one stay. Holes stay.
    """
    region = layer.values > 0.5
    numbers = connected_parts(region)
    count = int(numbers.max())
    if count <= 1:
        return layer
    left, top, right, bottom = layer.box
    height, width = region.shape
    part_numbers = set()
    for x, y in points:
        column = int((x + 0.5 - left) / (right - left) * width)
        row = int((y + 0.5 - top) / (bottom - top) * height)
        if 0 <= row < height and 0 <= column < width:
            part_numbers.add(int(numbers[row, column]))
    part_numbers -= {0}
    if not part_numbers:
        areas = np.bincount(numbers.ravel())[1:]
        part_numbers = set((np.flatnonzero(areas >= least * areas.max()) + 1).tolist())
    other_parts = region & ~np.isin(numbers, sorted(part_numbers))
    near = grown(other_parts, _HALF_INSIDE, corners=False)
    values = np.where(near, np.minimum(layer.values, np.float32(0)), layer.values)
    return layer._replace(values=np.where(region & ~other_parts, layer.values, values).astype(np.float32, copy=False))
