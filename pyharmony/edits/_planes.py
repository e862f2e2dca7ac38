"""The views in which an edit is compared with its original: their geometry, smoothing, slopes and components."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float32, Float64, Rectangle
from .._images.planes import connected_parts
from ..ops import guided_filter
from ..reference.luma import LUMA

"""A part of an image in pixels: left, top, right, bottom."""


def resizing(first: tuple[int, int], second: tuple[int, int]) -> Float64:
    """Returns the matrix from the centres of pixels of an image to their positions in a resized one, by their sizes."""
    x, y = second[0] / first[0], second[1] / first[1]
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1.0]])


def translation(x: float, y: float) -> Float64:
    """Returns the matrix [3, 3] that moves positions by x and y."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def scaled_box(box: Rectangle, size: tuple[int, int], other: tuple[int, int]) -> Rectangle:
    """Returns a part of an image of a size (width, height) in pixels of its copy of another size, within that."""
    x, y = other[0] / size[0], other[1] / size[1]
    return box[0] * x, box[1] * y, min(box[2] * x, other[0]), min(box[3] * y, other[1])


def smoothed(plane: Float32, radius: int) -> Float32:
    """Returns a plane [h, w] smoothed by two passes of a window: about a Gaussian of a deviation of 0.82 (r + 0.5)."""
    return guided_filter.mean(guided_filter.mean(plane, radius), radius)


def tent(plane: Float32) -> Float32:
    """Returns a plane [h, w] smoothed by 1, 2, 1 along both axes, a Gaussian of a deviation of 0.71; border kept."""
    down = np.empty_like(plane)
    np.add(plane[2:], plane[:-2], out=down[1:-1])
    down[0], down[-1] = plane[0] + plane[min(1, len(plane) - 1)], plane[-1] + plane[max(0, len(plane) - 2)]
    down += plane
    down += plane
    across = np.empty_like(plane)
    np.add(down[:, 2:], down[:, :-2], out=across[:, 1:-1])
    across[:, 0], across[:, -1] = 2 * down[:, 0], 2 * down[:, -1]
    across += down
    across += down
    across *= np.float32(1 / 16)
    return across


def grey(colours: npt.NDArray[Any]) -> Float32:
    """Returns the grey of an image [h, w, 3], in its unit."""
    return np.asarray(colours.astype(np.float32) @ np.array(LUMA, np.float32))


def planes_of(colours: npt.NDArray[Any]) -> list[Float32]:
    """Returns the channels of an image [h, w, C]."""
    return [np.ascontiguousarray(colours[..., c], np.float32) for c in range(colours.shape[2])]


def texture(plane: Float32) -> Float32:
    """Returns the mean slope around each pixel of a plane [h, w], in its unit for each pixel."""
    squares = np.zeros_like(plane)
    squares[1:-1] = np.square(plane[2:] - plane[:-2])
    squares[:, 1:-1] += np.square(plane[:, 2:] - plane[:, :-2])
    return np.sqrt(smoothed(squares, 1)) * np.float32(0.5)


def without_small(region: Bools, area: float) -> Bools:
    """Returns a region [h, w] without its components of fewer pixels than an area."""
    numbers = connected_parts(region)
    large = np.bincount(numbers.ravel()) >= area
    large[0] = False
    return large[numbers]


def without_holes(region: Bools, area: float) -> Bools:
    """Returns a region [h, w] with its holes of fewer pixels than an area filled."""
    return ~without_small(~region, area)
