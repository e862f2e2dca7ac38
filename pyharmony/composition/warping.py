"""Warps a subject by its four corners: a homography, composed with its place and resampled once.

The homography is the one that maps four points to four others, solved as the direct linear transformation (R. Hartley
and A. Zisserman, Multiple View Geometry in Computer Vision, 2nd edition, Cambridge University Press 2004, section 4.1).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Float64, NumpyArray
from .._images.region import Region, as_float
from .._images.resample import CUBIC, TRIANGLE, Kernel
from .._images.source import SHARP_KERNEL_ALPHAS
from ..errors import ArgumentError, DTypeError

__all__ = ["ACCEPTED", "checked", "homography", "largest_growth", "mapped", "matrix_in", "resampled", "scales_at"]

Corners = tuple[tuple[float, float], ...]

#: The corners of the unit square: upper left, upper right, lower right, lower left.
_SQUARE = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
#: The largest displacement of a corner, in widths and heights of the photo.
_MAX_SHIFT = 10.0
#: The least area that the sides at a corner span, in photos, below which it counts as flat.
_LEAST_SPAN = 1e-3
#: The largest and the least side of the blocks in which a subject is resampled, in pixels of the background.
_BLOCK_SIDES = (128, 16)
#: The ratio of the reductions in a block above which it is divided.
_MAX_RATIO = 2.0
#: The least number of pixels of a source for one of the background along a side, if it is reduced by means first, ...
_MIN_OVERSAMPLING = 1.5
#: ... and the largest: the kernels are not wider.
_MAX_OVERSAMPLING = 12.0
#: A smaller share of alpha counts as a rounding error.
_NO_SHARE = 1e-6
#: The least weight of a place, relative to that of the middle, at which a subject is drawn: the horizon has 0.
_NEAR_HORIZON = 1e-6
#: What is accepted, for messages.
ACCEPTED = "four displacements (dx, dy) of the corners, in shares of width and height, of a convex outline"

Kernels = tuple[Kernel, ...]
Sampler = Callable[[Region], "tuple[NumpyArray, NumpyArray] | None"]


def checked(value: Any, name: str = "warp") -> Corners | None:
    """Returns the displacements of the four corners, ((dx, dy), …); None without any."""
    if value is None:
        return None
    try:
        shifts = _checks.floats(value, name)
    except DTypeError:
        shifts = np.zeros(0)
    if shifts.shape != (4, 2) or not (np.abs(shifts) <= _MAX_SHIFT).all():
        raise ArgumentError(f"{name}: {value!r}, expected None or {ACCEPTED}, each at most {_MAX_SHIFT:g}")
    if not shifts.any():
        return None
    if not is_convex(shifts):
        raise ArgumentError(f"{name}: {value!r}, its corners are not convex or too close; expected {ACCEPTED}")
    return tuple((float(x), float(y)) for x, y in shifts)


def is_convex(shifts: Any) -> bool:
    """Returns whether the corners that are displaced by shifts [4, 2] span a convex outline, not mirrored nor flat."""
    corners = _SQUARE + np.asarray(shifts, np.float64)
    (x, y), (u, v) = (np.roll(corners, -1, 0) - corners).T, (corners - np.roll(corners, 1, 0)).T
    return bool((u * y - v * x >= _LEAST_SPAN).all())


def homography(shifts: Any, size: tuple[float, float]) -> Float64:
    """Returns the matrix [3, 3] of a warp, in pixels of a photo of a size (width, height), counted from its corner.

    shifts: the displacements of its corners; None: the identity.
    """
    if shifts is None:
        return np.eye(3)
    rows, values = [], []
    for (x, y), (u, v) in zip(_SQUARE, _SQUARE + np.asarray(shifts, np.float64), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    unit = np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)
    scale = np.diag([*size, 1.0])
    result: Float64 = scale @ unit @ np.linalg.inv(scale)
    return result


def matrix_in(entry: Mapping[str, Any], size: tuple[int, int], ratio: float) -> Float64:
    """Returns the matrix [3, 3] from corners of pixels of a photo of a size to those of the background.

    entry: that of the subject in a recipe; ratio: the size of the background relative to the recipe's.
    """
    scale = float(entry["scale"]) * ratio * float(entry["size"][0]) / size[0]
    turn = math.radians(float(entry["angle"]))
    cos, sin, sign = scale * math.cos(turn), scale * math.sin(turn), -1 if entry["flip"] else 1
    x, y = (float(entry["x"]) + 0.5) * ratio, (float(entry["y"]) + 0.5) * ratio
    placed = np.array([[cos * sign, -sin, x], [sin * sign, cos, y], [0, 0, 1]])
    return placed @ _translation(-size[0] / 2, -size[1] / 2) @ homography(entry.get("warp"), size)


def of_part(matrix: Float64, left: float, top: float, every: float) -> Float64:
    """Returns a matrix for a part of a photo from (left, top) on that is reduced by `every`, below 1 enlarged."""
    return matrix @ _translation(left, top) @ np.diag([every, every, 1.0])


def mapped(matrix: Float64, points: Any) -> Float64:
    """Returns where a matrix [3, 3] takes points [N, 2]."""
    places = np.column_stack([np.asarray(points, np.float64), np.ones(len(points))]) @ matrix.T
    result: Float64 = places[:, :2] / places[:, 2:]
    return result


def scales_at(matrix: Float64, points: Any) -> Float64:
    """Returns the largest and the least scale of a matrix [3, 3] at points [N, 2], as [N, 2]."""
    points = np.asarray(points, np.float64)
    weights = np.column_stack([points, np.ones(len(points))]) @ matrix[2]
    slopes = (matrix[:2, :2] - mapped(matrix, points)[:, :, None] * matrix[2, :2]) / weights[:, None, None]
    result: Float64 = np.linalg.svd(slopes, compute_uv=False)
    return result


def largest_growth(shifts: Any, size: tuple[int, int]) -> float:
    """Returns the largest factor by which a warp enlarges a part of a photo of a size."""
    return float(scales_at(homography(shifts, size), _SQUARE * size).max())


def resampled(source: NumpyArray, matrix: Float64, shape: tuple[int, int], real: type) -> tuple[Region, Sampler]:
    """Returns the region of a background of `shape` that a warped source [h, w, 4] covers, and what draws its tiles.

    Colours are multiplied by alpha first, and resampled as in `_images.source.place_scaled`: by a cubic kernel where
    alpha is large enough, by a triangle near the contour. The kernels are as wide as the source is reduced at a pixel,
    along its rows and along its columns; where that is much, means of pixels are resampled. At the border of the source
    alpha is the covered share of a pixel.

    matrix: [3, 3], from corners of pixels of the source to those of the background.
    """
    high, wide = source.shape[:2]
    corners = mapped(matrix, _SQUARE * (wide, high))
    (left, top), (right, bottom) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    region = Region(int(top), int(bottom), int(left), int(right)).overlap(Region.whole(shape))
    back = np.linalg.inv(matrix)
    # The weight is 1 in the middle, and above 0 on its side of the horizon.
    back /= back[2] @ [*mapped(matrix, [(wide / 2, high / 2)])[0], 1.0]
    sides = _distances(corners)
    alpha = as_float(source[..., 3])
    values = np.concatenate([source[..., :3].astype(real) * alpha[..., None], alpha[..., None]], 2)

    @functools.cache
    def means(down: int, across: int) -> NumpyArray:
        if down == across == 1:
            return values
        padded = np.pad(values, ((0, -high % down), (0, -wide % across), (0, 0)), "edge")
        rows = padded.reshape(-1, down, padded.shape[1] // across, across, 4)
        result: NumpyArray = rows.mean((1, 3), dtype=real)
        return result

    def block(part: Region) -> tuple[NumpyArray, NumpyArray] | None:
        y, x = np.mgrid[part.y0 : part.y1, part.x0 : part.x1].reshape(2, -1) + 0.5
        coverage = np.prod([np.clip(a * x + b * y + c + 0.5, 0, 1) for a, b, c in sides], 0)
        inside = np.flatnonzero(coverage > _NO_SHARE)
        if not len(inside):
            return None
        count, x, y = len(x), x[inside], y[inside]
        weight = np.maximum(back[2, 0] * x + back[2, 1] * y + back[2, 2], _NEAR_HORIZON)
        column, row = ((line[0] * x + line[1] * y + line[2]) / weight for line in back[:2])
        # The pixels of the source along its columns and rows for one of the background.
        across, down = (
            np.hypot(line[0] - place * back[2, 0], line[1] - place * back[2, 1]) / weight
            for line, place in zip(back[:2], (column, row), strict=True)
        )
        ratio = max(float(steps.max() / steps.min()) for steps in (across, down))
        if ratio > _MAX_RATIO and max(part.shape) > _BLOCK_SIDES[1]:
            return tile(part, -(-max(part.shape) // 2))
        near = _around(column, across, wide), _around(row, down, high)
        near_alpha = alpha[near[1][0] : near[1][1], near[0][0] : near[0][1]]
        if not near_alpha.any():
            return None
        groups = _group(across, wide), _group(down, high)
        places = [(at / group, steps / group) for at, steps, group in zip((column, row), (across, down), groups)]
        sharp, soft = _sampled(means(*groups[::-1]), places[0], places[1], bool((near_alpha < 1).any()))
        low, full = SHARP_KERNEL_ALPHAS
        share = ((sharp[:, 3:] - low) / (full - low)).clip(0, 1)
        colours = sharp[:, :3] / np.maximum(sharp[:, 3:], low)
        smooth = soft[:, :3] / np.maximum(soft[:, 3:], _NO_SHARE)
        colours = smooth + share * (colours - smooth)
        plane: NumpyArray = np.zeros((count, 3), real)
        opacity = np.zeros(count, np.float32)
        visible = soft[:, 3] * coverage[inside]
        visible[visible <= _NO_SHARE] = 0
        plane[inside], opacity[inside] = colours, visible.clip(0, 1)
        return plane.reshape(*part.shape, 3), opacity.reshape(part.shape)

    def tile(part: Region, side: int = _BLOCK_SIDES[0]) -> tuple[NumpyArray, NumpyArray] | None:
        colours: NumpyArray = np.zeros((*part.shape, 3), real)
        opacity = np.zeros(part.shape, np.float32)
        for one in part.tiles(side):
            if planes := block(one):
                one.of(colours, part.origin)[...], one.of(opacity, part.origin)[...] = planes
        return (colours, opacity) if opacity.any() else None

    return region, tile


def _translation(x: float, y: float) -> Float64:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _distances(corners: Float64) -> list[Float64]:
    """Returns for each side of a convex outline of corners [4, 2] the numbers a, b, c of the distance a x + b y + c.

    It is above 0 on the side of the middle.
    """
    sides = []
    for start, along in zip(corners, np.roll(corners, -1, 0) - corners, strict=True):
        normal = np.array([-along[1], along[0]]) / np.hypot(*along)
        normal *= np.sign(normal @ (corners.mean(0) - start))
        sides.append(np.array([*normal, -normal @ start]))
    return sides


def _group(steps: Float64, length: int) -> int:
    """Returns how many pixels of a source have one mean, along an axis of a length, where it is reduced by steps."""
    most = max(1.0, min(float(steps.min()) / _MIN_OVERSAMPLING, length))
    return 1 << math.floor(math.log2(most))


def _around(places: Float64, steps: Float64, length: int) -> tuple[int, int]:
    """Returns the span of pixels that the kernels read at some places."""
    reach = 2 * float(np.maximum(steps, 1).max()) + 1
    start, end = math.floor(float(places.min()) - reach), math.ceil(float(places.max()) + reach)
    return min(max(0, start), length - 1), max(min(length, end), 1)


def _sampled(
    values: NumpyArray, across: tuple[Float64, Float64], down: tuple[Float64, Float64], both: bool
) -> tuple[NumpyArray, NumpyArray]:
    """Returns values [h, w, C] at some places by the cubic kernel and, if they differ, by the triangle, [N, C] each.

    across, down: the places along rows and columns, and the widths of a pixel of the background there.
    """
    kernels: Kernels = (CUBIC, TRIANGLE) if both else (CUBIC,)
    columns, column_weights = _taps(*across, values.shape[1], kernels)
    rows, row_weights = _taps(*down, values.shape[0], kernels)
    flat, count = values.reshape(-1, values.shape[2]), range(len(kernels))
    totals = [np.zeros((rows.shape[1], values.shape[2]), values.dtype) for _ in count]
    for number, row in enumerate(rows * values.shape[1]):
        lines = [np.zeros_like(totals[0]) for _ in count]
        for other, column in enumerate(columns):
            samples = flat.take(row + column, 0)
            for i in count:
                lines[i] += samples * column_weights[i][other, :, None].astype(values.dtype)
        for i in count:
            lines[i] *= row_weights[i][number, :, None].astype(values.dtype)
            totals[i] += lines[i]
    return totals[0], totals[-1]


def _taps(places: Float64, steps: Float64, length: int, kernels: Sequence[Kernel]) -> tuple[NumpyArray, list[Float64]]:
    """Returns the pixels [T, N] that kernels read along an axis, and the weights [T, N] of each; see `resample`."""
    wide = np.clip(steps, 1.0, _MAX_OVERSAMPLING)
    centres = np.clip(places - 0.5, 0, length - 1)
    reach = kernels[0][1] * wide
    taps = np.floor(centres - reach).astype(np.intp) + 1 + np.arange(int(np.ceil(2 * reach.max())) + 1)[:, None]
    distances, beyond = np.abs(taps - centres) / wide, (taps < 0) | (taps >= length)
    weights = [np.where(beyond, 0.0, weight_at(distances)) for weight_at, _ in kernels]
    return np.clip(taps, 0, length - 1), [one / one.sum(0) for one in weights]
