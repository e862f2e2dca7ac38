"""Matting: alpha near a contour, and the object's colours at soft edges, in float64 NumPy.

Alpha: Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting", PAMI 2008, eq. 12: in each window
of 3 x 3 pixels alpha is about an affine function of the colours, so the row of a pixel has coefficients for the 5 x 5
pixels with which it shares a window.

Colours: Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation", ICPR 2020, of cells with the
mean of their pixels' equations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

#: The weight of neighbours that are alike, and that of its cell's colours, a pixel's own equation having 1.
SMOOTH, PRIOR = 1e-2, 0.1
#: A smaller share of a cell is nothing.
NOTHING = 1e-6


def rows(guide: Any, band: Any, ridge: float) -> Float64:
    """Returns the coefficients [25, N] of the N pixels of a band [h, w], with the colours of a guide [h, w, 3]."""
    colours, (height, width) = np.asarray(guide, np.float64), np.shape(band)
    every = np.zeros((height, width, 5, 5))
    for y in range(height - 2):
        for x in range(width - 2):
            off = colours[y : y + 3, x : x + 3].reshape(9, 3)
            off = off - off.mean(0)
            covariance = off.T @ off / 9 + ridge / 9 * np.eye(3)
            shares = np.eye(9) - (1 + off @ np.linalg.solve(covariance, off.T)) / 9
            for a, (down, across) in enumerate(np.ndindex(3, 3)):
                its = every[y + down, x + across, 2 - down : 5 - down, 2 - across : 5 - across]
                its += shares[a].reshape(3, 3)
    result: Float64 = every[np.asarray(band)].reshape(-1, 25).T
    return result


def product(band: Any, weights: Any, values: Any) -> Float64:
    """Returns for each pixel of a band [h, w] the sum of weights [25, N] times the 5 x 5 values [h, w] around it."""
    framed = np.pad(np.asarray(values, np.float64), 2)
    coefficients = np.asarray(weights, np.float64)
    places = np.argwhere(band)
    return np.array(
        [(framed[y : y + 5, x : x + 5].ravel() * coefficients[:, i]).sum() for i, (y, x) in enumerate(places)]
    )


def solution(band: Any, weights: Any, pull: Any, start: Any) -> Float64:
    """Returns start [h, w], in the band replaced by the values whose rows times the image are pull [N] times start."""
    inside, result = np.asarray(band), np.array(start, np.float64)
    right = np.asarray(pull, np.float64) * result[inside]
    result[inside] = 0
    beside, columns = product(inside, weights, result), []
    for place in np.argwhere(inside):
        one = np.zeros(inside.shape)
        one[tuple(place)] = 1
        columns.append(product(inside, weights, one))
    if columns:
        result[inside] = np.linalg.solve(np.stack(columns, 1), right - beside)
    return result


def cells(equations: Any, halvings: int) -> Float64:
    """Returns the means over cells of 2^halvings pixels a side, of whose multiples [h, w, ...] consists."""
    result = np.asarray(equations, np.float64)
    for _ in range(halvings):
        result = (result[::2] + result[1::2]) / 2
        result = (result[:, ::2] + result[:, 1::2]) / 2
    return result


def equations(colours: Any, alpha: Any, there: Any) -> Float64:
    """Returns 1, α, α², αI and I [h, w, 9] of pixels [h, w, 3], with 0 for the colours of those that have none."""
    shares, has = np.asarray(alpha, np.float64)[..., None], np.asarray(there)[..., None]
    values = np.where(has, np.asarray(colours, np.float64), 0)
    return np.concatenate([has, shares, shares**2, shares * values, values], 2)


def relaxed(means: Any, soft: Any, coarser: Any, limits: tuple[float, float], sweeps: int) -> Float64:
    """Returns the colours of object and background [h, w, 2, 3] of soft cells [h, w], zero elsewhere.

    A cell's colours minimise its equation, with means [h, w, 9], and the differences from its four neighbours' times
    ε + |α_i − α_j|. Those of soft cells begin with the colours of cells twice as large, if there are any.
    """
    m, (height, width) = np.asarray(means, np.float64), np.shape(soft)
    count, alphas, squares, mixed, whole = m[..., 0], m[..., 1], m[..., 2], m[..., 3:6], m[..., 6:]
    least = np.maximum(np.stack([alphas, count - alphas], -1), NOTHING)
    colours = np.stack([mixed, whole - mixed], 2) / least[..., None]
    has, alpha = least > NOTHING, alphas / np.maximum(count, NOTHING)
    places = [(y, x) for parity in (0, 1) for y, x in np.argwhere(soft) if (y + x) % 2 == parity]
    for y, x in places if coarser is not None else []:
        colours[y, x] = coarser[y // 2, x // 2]
    for _ in range(sweeps):
        for y, x in places:
            own, square = alpha[y, x], squares[y, x] / max(count[y, x], NOTHING)
            matrix = np.array([[square, own - square], [own - square, 1 - 2 * own + square]])
            right = np.stack([mixed[y, x], whole[y, x] - mixed[y, x]]) / max(count[y, x], NOTHING)
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < height and 0 <= u < width:
                    weights = (SMOOTH + abs(alpha[v, u] - own)) * has[v, u]
                    matrix += np.diag(weights)
                    right += weights[:, None] * colours[v, u]
            colours[y, x] = np.clip(np.linalg.solve(matrix, right), *limits)
    return np.where(np.asarray(soft)[..., None, None], colours, 0)


def own_colours(colours: Any, alpha: Any, cell: Any) -> Float64:
    """Returns the object's colours [..., 3] of pixels: those closest to their cells' [..., 2, 3] that satisfy I.

    They minimise the square of I − αF − (1 − α)B, and the squared differences of F and B from the cell's times a prior.
    """
    share, (object_, background) = np.asarray(alpha, np.float64)[..., None], np.moveaxis(np.asarray(cell), -2, 0)
    rest = colours - share * object_ - (1 - share) * background
    result: Float64 = object_ + rest * share / (share**2 + (1 - share) ** 2 + PRIOR)
    return result
