"""Registration of an edit to its original: a homography between their views, to a part of a pixel.

Inverse compositional alignment (Baker and Matthews, "Lucas-Kanade 20 Years On", 2004) on points with steep slopes, from
coarse to fine, in images whose local mean and contrast are removed, so that drift of colours does not count. Robust
weights leave out what was edited. A motion is accepted only if points that it was not fitted on confirm it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Bools, Float32, Float64, Pixels
from .._images.sizes import fitted, resized
from ._planes import grey, resizing, smoothed, translation

_LEVELS = (8, 4, 2, 1)  # by which views are reduced, the coarsest first
_MIN_REDUCED_SIDE = 24  # of a reduced view, in pixels
_POINTS, _FEW_POINTS = 8000, 20
_BORDER_WIDTH = 3  # pixels at the border in which no points lie
_ITERATIONS = 10
_MIN_STEP_PIXELS = 0.01  # of a pixel, below which an iteration ends the fit
#: The radius of the window of the local mean, and the least local deviation, in levels.
_WINDOW, _MIN_CONTRAST = 5, 3.0
#: The largest difference of normalised values at which a point agrees.
_AGREEING_DIFFERENCE = 0.5
#: The share of its cost that a motion has to save at the points held back, and the least motion, in pixels.
_SAVED_SHARE, _MIN_MOTION_PIXELS = 0.03, 0.05
_SEARCH_SIDE = 96  # the longer side of the copies in which a guess is searched for
#: The scales of the edit that are tried, the longer sides being equal at 1.
_SEARCH_SCALES = tuple(1.04**power for power in range(-24, 25))
_SEARCH_OVERLAP = 0.3  # the least common part of both copies, as a share of the smaller
#: The kinds of motion, from simple to general, by the number of parameters.
_KINDS = (2, 4, 6, 8)


@dataclass(frozen=True)
class _Level:
    """An original and its edit, reduced and normalised, and the points of the original."""

    original: Float32
    edited: Float32
    every: int
    x: Float64
    y: Float64
    slope_x: Float64
    slope_y: Float64
    held_back: Bools  # a half of the points, in cells like those of a chessboard

    def residual(self, matrix: Float64) -> tuple[Float64, Bools]:
        """Returns the differences at the points through a homography, and which of them the edit covers."""
        points = matrix @ np.stack([self.x, self.y, np.ones_like(self.x)])
        u, v = points[0] / points[2], points[1] / points[2]
        height, width = self.edited.shape
        inside = (u > 1) & (v > 1) & (u < width - 2) & (v < height - 2)
        values = _sampled(self.edited, u, v)
        return values - self.original[self.y.astype(int), self.x.astype(int)], inside


def _sampled(plane: Float32, u: Float64, v: Float64) -> Float64:
    """Returns the values of a plane [h, w] at positions [n], by cubic convolution (Keys, 1981)."""
    u, v = np.clip(u, 1, plane.shape[1] - 3.001), np.clip(v, 1, plane.shape[0] - 3.001)
    column, row = u.astype(np.int64), v.astype(np.int64)
    across, down = _keys(u - column), _keys(v - row)
    first = (row - 1) * plane.shape[1] + column - 1
    flat = plane.ravel()
    total = np.zeros(len(u))
    for j in range(4):
        line = sum(across[i] * flat[first + j * plane.shape[1] + i] for i in range(4))
        total += down[j] * line
    return total


def _keys(t: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    return (
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def _normalised(plane: Float32) -> Float32:
    """Returns a plane [h, w] less its local mean, divided by its local deviation."""
    fine = smoothed(plane, 1)
    fine -= smoothed(fine, _WINDOW)
    deviation = np.sqrt(smoothed(np.square(fine), _WINDOW) + np.float32(_MIN_CONTRAST**2))
    return np.asarray(fine / deviation)


def _level(original: Float32, edited: Float32, unchanged: Float32, every: int) -> _Level:
    """Returns a level from grey views; unchanged: 1 where points may lie."""
    small, other, inside = (
        plane if every == 1 else resized(plane, (max(1, plane.shape[1] // every), max(1, plane.shape[0] // every)))
        for plane in (original, edited, unchanged)
    )
    small, other = _normalised(small), _normalised(other)
    gradients: Any = np.gradient(small, axis=(0, 1))
    slope_y, slope_x = gradients
    steep = np.square(slope_x) + np.square(slope_y)
    height, width = small.shape
    steep[:_BORDER_WIDTH] = steep[-_BORDER_WIDTH:] = 0
    steep[:, :_BORDER_WIDTH] = steep[:, -_BORDER_WIDTH:] = 0
    steep[inside < 1] = 0
    # The steepest pixel of each cell.
    side = max(2, round(np.sqrt(small.size / _POINTS)))
    rows, columns = height // side, width // side
    cells = steep[: rows * side, : columns * side].reshape(rows, side, columns, side).swapaxes(1, 2)
    best = cells.reshape(rows, columns, side * side).argmax(2)
    row, column = np.mgrid[:rows, :columns]
    y, x = (row * side + best // side).ravel(), (column * side + best % side).ravel()
    checker = ((row // 2 + column // 2) % 2 == 1).ravel()
    keep = steep[y, x] > 1e-3
    y, x = y[keep], x[keep]
    slopes = (slope_x[y, x].astype(np.float64), slope_y[y, x].astype(np.float64))
    return _Level(small, other, every, x.astype(np.float64), y.astype(np.float64), *slopes, checker[keep])


def _step(values: Float64, kind: int) -> Float64:
    """Returns the homography of a step's parameters."""
    if kind == 2:
        a, b, c, d, e, f, g, h = 0, 0, values[0], 0, 0, values[1], 0, 0
    elif kind == 4:
        a, b, c, d, e, f, g, h = values[0], -values[1], values[2], values[1], values[0], values[3], 0, 0
    else:
        a, b, c, d, e, f = values[:6]
        g, h = values[6:] if kind == 8 else (0, 0)
    return np.array([[1 + a, b, c], [d, 1 + e, f], [g, h, 1.0]])


def _fit(level: _Level, matrix: Float64, kind: int, points: Bools) -> Float64:
    """Returns a homography from the level's original to its edit, fitted on some of its points from a first guess."""
    height, width = level.original.shape
    unit = 2 / max(width, height)
    centred = np.array([[unit, 0, -unit * (width - 1) / 2], [0, unit, -unit * (height - 1) / 2], [0, 0, 1.0]])
    x, y = level.x * unit + centred[0, 2], level.y * unit + centred[1, 2]
    by_x, by_y = level.slope_x / unit, level.slope_y / unit
    if kind == 2:
        terms = [by_x, by_y]
    elif kind == 4:
        terms = [by_x * x + by_y * y, by_y * x - by_x * y, by_x, by_y]
    else:
        terms = [by_x * x, by_x * y, by_x, by_y * x, by_y * y, by_y]
    if kind == 8:
        along = by_x * x + by_y * y
        terms += [-along * x, -along * y]
    jacobian = np.stack(terms, 1)
    back = np.linalg.inv(centred)
    for _ in range(_ITERATIONS):
        residual, inside = level.residual(matrix)
        inside &= points
        if np.count_nonzero(inside) < 10 * kind:
            return matrix
        deviation = 1.48 * float(np.median(np.abs(residual[inside]))) + 0.02
        weight = inside / np.square(1 + np.square(residual / (2 * deviation)))
        weighted = jacobian * weight[:, None]
        normal = weighted.T @ jacobian
        normal += 1e-6 * np.trace(normal) / kind * np.eye(kind)
        step = np.linalg.solve(normal, weighted.T @ residual)
        matrix = matrix @ back @ np.linalg.inv(_step(step, kind)) @ centred
        matrix /= matrix[2, 2]
        if np.abs(step).max() < _MIN_STEP_PIXELS * unit:
            break
    return matrix


def _cost(level: _Level, matrix: Float64, points: Bools) -> float:
    """Returns the mean robust cost of a homography at some points; those that the edit does not cover cost nothing."""
    residual, inside = level.residual(matrix)
    use = inside & points
    if not use.any():
        return 1.0
    squares = np.square(residual[use])
    return float((squares / (squares + _AGREEING_DIFFERENCE**2)).mean())


class Start(NamedTuple):
    """A first guess of where an edit shows its original."""

    size: tuple[int, int]  # the width and height of the edit's view, in which its pixels are as large as the original's
    matrix: Float64  # [3, 3], from the original's view to the edit's


@dataclass(frozen=True)
class Registration:
    """Where an edit shows the pixels of its original."""

    start: Start
    matrix: Float64  # [3, 3], from the original's view to the edit's, in coordinates of the centres of pixels
    agreement: float  # the share of the points, 0 to 1, at which both show the same beyond chance
    motion: float  # the largest motion at a corner of the view that points held back confirmed, in pixels; 0: none
    coverage: float  # the share of the points that the edit covers


def starts_of(view: tuple[int, int], original: tuple[int, int], edited: tuple[int, int]) -> list[Start]:
    """Returns the usual guesses, from the sizes (width, height) of the original's view, of it and of its edit.

    An edit shows the whole picture, stretched if its sides have other proportions; or the whole with margins, or a
    part of it, about the centre.
    """
    starts = [Start(view, np.eye(3))]
    across, down = (edited[i] / original[i] for i in (0, 1))
    if abs(across / down - 1) * max(view) >= 1:
        for scale in (min(across, down), max(across, down)):
            factor = view[0] / original[0] / scale
            size = max(1, round(edited[0] * factor)), max(1, round(edited[1] * factor))
            starts.append(Start(size, translation((size[0] - view[0]) / 2, (size[1] - view[1]) / 2)))
    return starts


def register(
    original: Pixels, edited: Pixels, starts: Sequence[Start], align: bool = True, unchanged: Bools | None = None
) -> Registration:
    """Returns the registration of an edit, of any size, to the view of its original, from the best of several guesses.

    original, edited: [h, w, 3] levels. Without `align` the first guess holds.
    unchanged: the pixels of the original that count, [h, w]; None: all of them.
    """
    view = grey(original)
    counts = np.ones_like(view) if unchanged is None else unchanged.astype(np.float32)
    best: tuple[float, Start, Float64, list[_Level]] | None = None
    for start in starts if align else starts[:1]:
        levels = _levels(view, grey(resized(edited, start.size)), counts)
        matrix = start.matrix
        if align:
            for level in levels[:-1]:
                matrix = _on(level, matrix, 4)
        score = _agreement(levels[max(0, len(levels) - 2)], matrix)[0]
        if best is None or score > best[0] + 0.02:
            best = score, start, matrix, levels
    assert best is not None  # noqa: S101  # there is a guess
    _, start, matrix, levels = best
    if align:
        matrix = _confirmed(levels[-1], start.matrix, matrix)
    agreement, coverage = _agreement(levels[-1], matrix)
    return Registration(start, matrix, agreement, _motion(start.matrix, matrix, original.shape), coverage)


def _levels(view: Float32, other: Float32, unchanged: Float32) -> list[_Level]:
    short = min(*view.shape, *other.shape)
    factors = [every for every in _LEVELS if short / every >= _MIN_REDUCED_SIDE or every == 1]
    return [_level(view, other, unchanged, every) for every in factors]


def searched(original: Pixels, edited: Pixels) -> Start:
    """Returns the guess at which small copies of both agree best, over scales and all positions.

    It is the largest normalised correlation of the normalised copies, by Fourier transforms.
    """
    height, width = original.shape[:2]
    reduced = fitted((width, height), _SEARCH_SIDE)
    own = np.clip(_normalised(grey(resized(original, reduced))), -2, 2)
    base = max(reduced) / max(edited.shape[:2])
    best, start = -1.0, Start((width, height), np.eye(3))
    for scale in _SEARCH_SCALES:
        size = tuple(round(side * base * scale) for side in edited.shape[1::-1])
        if min(size) < _MIN_REDUCED_SIDE:
            continue
        other = np.clip(_normalised(grey(resized(edited, (size[0], size[1])))), -2, 2)
        score, x, y = _correlation(own, other)
        if score > best:
            factor = width / reduced[0]
            whole = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
            best, start = score, Start(whole, translation(x * factor, y * factor))
    return start


def _correlation(own: Float32, other: Float32) -> tuple[float, int, int]:
    """Returns the largest correlation of two planes where they overlap, and the position of the first in the second."""
    shape = own.shape[0] + other.shape[0], own.shape[1] + other.shape[1]

    spectrum: Any = functools.partial(np.fft.rfft2, s=shape)

    def correlated(first: Any, second: Any) -> Float64:
        return np.fft.irfft2(np.conj(first) * second, shape)

    ones = spectrum(np.ones_like(own)), spectrum(np.ones_like(other))
    energy = correlated(ones[0], spectrum(np.square(other))), correlated(spectrum(np.square(own)), ones[1])
    overlap = correlated(*ones)
    enough = overlap > _SEARCH_OVERLAP * min(own.size, other.size)
    norm = np.sqrt(np.maximum(energy[0] * energy[1], 1e-6))
    score = np.where(enough, correlated(spectrum(own), spectrum(other)) / norm, -1)
    # A small overlap agrees by chance.
    score *= np.sqrt(np.clip(overlap, 0, None) / own.size)
    y, x = np.unravel_index(int(score.argmax()), shape)
    value = float(score[y, x])
    return value, int(x) - (shape[1] if x > other.shape[1] else 0), int(y) - (shape[0] if y > other.shape[0] else 0)


def _on(level: _Level, matrix: Float64, kind: int) -> Float64:
    """Returns a homography of the views, fitted on all points of a level."""
    scale = resizing((level.every, level.every), (1, 1))
    back = np.linalg.inv(scale)
    result = back @ _fit(level, scale @ matrix @ back, kind, np.ones(len(level.x), bool)) @ scale
    return np.asarray(result / result[2, 2])


def _agreement(level: _Level, matrix: Float64) -> tuple[float, float]:
    """Returns the share of a level's points that agree, beyond chance, and the share that the edit covers.

    By chance as many agree as with the value at another point: the share is (p - q) / (1 - q), as in Cohen's
    kappa (Cohen, 1960).
    """
    if len(level.x) < _FEW_POINTS:  # an original without details agrees with anything
        return 1.0, 1.0
    scale = resizing((level.every, level.every), (1, 1))
    residual, inside = level.residual(scale @ matrix @ np.linalg.inv(scale))
    if np.count_nonzero(inside) < _FEW_POINTS:
        return 0.0, 0.0
    own = level.original[level.y.astype(int), level.x.astype(int)][inside]
    other = residual[inside] + own
    agree = float((np.abs(other - own) < _AGREEING_DIFFERENCE).mean())
    mixed = np.random.default_rng(0).permutation(len(own))
    chance = float((np.abs(other[mixed] - own) < _AGREEING_DIFFERENCE).mean())
    return max(0.0, (agree - chance) / max(1 - chance, 1e-6)), float(inside.mean())


def _confirmed(level: _Level, start: Float64, matrix: Float64) -> Float64:
    """Returns the simplest homography that the points held back confirm, fitted on all points."""
    test, fitting = level.held_back, ~level.held_back
    size = (level.original.shape[0], level.original.shape[1])
    best, cost, best_kind = start, _cost(level, start, test), 0
    for kind in _KINDS:
        candidate = _fit(level, matrix if best_kind == 0 and kind > 2 else best, kind, fitting)
        other = _cost(level, candidate, test)
        if other < (1 - _SAVED_SHARE) * cost and _motion(best, candidate, size) > _MIN_MOTION_PIXELS:
            best, cost, best_kind = candidate, other, kind
        elif best_kind:
            break
    return _fit(level, best, best_kind, np.ones(len(test), bool)) if best_kind else start


def _motion(first: Float64, second: Float64, shape: Sequence[int]) -> float:
    """Returns the largest distance of the images of a view's corners under two homographies, in pixels."""
    height, width = shape[:2]
    corners = np.array([(x, y, 1.0) for x in (0, width - 1) for y in (0, height - 1)]).T
    one, two = first @ corners, second @ corners
    return float(np.linalg.norm(one[:2] / one[2] - two[:2] / two[2], axis=0).max())
