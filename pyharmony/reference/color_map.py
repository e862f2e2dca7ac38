"""Colour maps by stages, defined in float64.

A colour is [..., 3], red, green and blue with 1 for white. A stage is a function of colours; a map is a list of
stages, whose result is blended with the image by the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def affine(x: Float64, matrix: Float64) -> Float64:
    """Returns A x + b for matrix [3, 4] = [A | b]."""
    return x @ matrix[:, :3].T + matrix[:, 3]


def log(x: Float64) -> Float64:
    """Returns ln x; values below the smallest normal float32 get the logarithm of that number."""
    return np.log(np.maximum(x, np.finfo(np.float32).tiny))


def exp(x: Float64) -> Float64:
    """Returns e^x, with x clamped to -87 to 88, where float32 has normal numbers."""
    return np.exp(np.clip(x, -87, 88))


def curves(x: Float64, table: Float64, low: Float64, high: Float64) -> Float64:
    """Maps channel c by table[c], values at equal steps from low[c] to high[c], linear between, constant beyond."""
    steps = [np.linspace(a, b, table.shape[1]) for a, b in zip(low, high, strict=True)]
    return np.stack([np.interp(x[..., c], steps[c], table[c]) for c in range(3)], -1)


def lut(x: Float64, table: Float64) -> Float64:
    """Returns the tetrahedral interpolation of table [n, n, n, 3]; [i, j, k] is the colour of (i, j, k) / (n - 1).

    Within a cell the weighted corners are those on the path from its lowest to its highest corner, along the
    axes in the order of decreasing fractions; colours outside are clamped to the cube.
    """
    n = table.shape[0]
    t = np.clip(x.reshape(-1, 3), 0, 1) * (n - 1)
    cell = np.minimum(np.floor(t).astype(int), n - 2)
    fraction = t - cell
    order = np.argsort(-fraction, axis=1, kind="stable")
    falling = np.take_along_axis(fraction, order, 1)
    corner = cell.copy()
    y = (1 - falling[:, :1]) * table[tuple(corner.T)]
    for step in range(3):
        corner[np.arange(len(corner)), order[:, step]] += 1
        after = falling[:, step + 1] if step < 2 else 0
        y += (falling[:, step] - after)[:, None] * table[tuple(corner.T)]
    return y.reshape(x.shape)


def light(x: Float64, stops: Float64) -> Float64:
    """Returns an image [H, W, 3] times 2^(a + b u + c v + d u² + e u v + f v²), u and v from -1 to 1 across it."""
    h, w = x.shape[:2]
    v, u = (2 * (np.arange(n) + 0.5) / n - 1 for n in (h, w))
    u, v = u[None, :], v[:, None]
    a, b, c, d, e, f = stops
    return x * np.exp2(a + b * u + c * v + d * u**2 + e * u * v + f * v**2)[..., None]


def color_map(
    image: npt.NDArray[Any],
    stages: Sequence[Callable[[Float64], Float64]],
    weights: Float64 | None = None,
    strength: float = 1.0,
) -> Float64:
    """Returns x + strength w (f(x) - x), image [H, W, 3] of floats and weights [H, W], f composing the stages."""
    x = np.asarray(image, np.float64)
    y = x
    for stage in stages:
        y = stage(y)
    w = np.ones(x.shape[:2]) if weights is None else weights
    return np.where(w[..., None] > 0, x + strength * w[..., None] * (y - x), x)
