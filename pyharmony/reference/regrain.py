"""The change of colours that is smooth where an image is smooth, defined in float64.

The change D of image I minimises, over pairs of neighbours and pixels inside a mask,

    Σ φ (D_i - D_j)² + Σ ψ (D_i - T_i)²,   φ = 30 / (1 + 10 g),   ψ = min(g / 5, 1)

for a given change T. g is the length of the image's forward differences in 8-bit levels, and φ
the mean over both pixels, after Pitié, Kokaram and Dahyot, *Automated Colour Grading Using Colour
Distribution Transfer*, 2007. Damped Jacobi sweeps approach it, a given number on each level of a
pyramid of means; each level starts from the next coarser one, and φ halves with each coarser level.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

#: The number of sweeps of each level, finest first.
SWEEPS = (4, 16, 32, 64, 64, 64)
#: A level with fewer pixels on a side has no coarser level.
SMALLEST = 20
DAMPING = 0.8


def regrain(image: Float64, change: Float64, inside: npt.NDArray[np.bool_], level: int = 0) -> Float64:
    """Returns the regrained change, zero outside; image (8-bit levels) and change are [H, W, 3], inside [H, W]."""
    at = inside[..., None]
    image, change = np.where(at, image, 0), np.where(at, change, 0)
    start = change
    if level + 1 < len(SWEEPS) and min(inside.shape) > SMALLEST:
        count = _sums(at.astype(np.float64))
        coarse = [_sums(x) / np.maximum(count, 1) for x in (image, change)]
        coarse_change = regrain(coarse[0], coarse[1], count[..., 0] > 0, level + 1)
        start = np.where(at, coarse_change.repeat(2, 0).repeat(2, 1)[: inside.shape[0], : inside.shape[1]], 0)

    down, right = inside[1:] & inside[:-1], inside[:, 1:] & inside[:, :-1]
    squares = np.zeros(inside.shape)
    squares[:-1] += down * (np.diff(image, axis=0) ** 2).sum(-1)
    squares[:, :-1] += right * (np.diff(image, axis=1) ** 2).sum(-1)
    g = np.sqrt(squares)
    keep, tie = np.minimum(g / 5, 1), 30 * 0.5**level / (1 + 10 * g)
    vertical, horizontal = down * (tie[1:] + tie[:-1]) / 2, right * (tie[:, 1:] + tie[:, :-1]) / 2
    total = keep + _neighbours(vertical, horizontal, np.ones((*inside.shape, 1)))[..., 0]
    alone = (total == 0)[..., None]
    x = start
    for _ in range(SWEEPS[level]):
        mean = keep[..., None] * change + _neighbours(vertical, horizontal, x)
        mean = np.where(alone, change, mean / np.where(alone, 1, total[..., None]))
        x = x + DAMPING * (mean - x)
    return x


def _neighbours(vertical: Float64, horizontal: Float64, x: Float64) -> Float64:
    """Returns for each pixel the sum over its neighbours, weighted by the pairs' weights."""
    y = np.zeros(x.shape)
    y[1:] += vertical[..., None] * x[:-1]
    y[:-1] += vertical[..., None] * x[1:]
    y[:, 1:] += horizontal[..., None] * x[:, :-1]
    y[:, :-1] += horizontal[..., None] * x[:, 1:]
    return y


def _sums(x: Float64) -> Float64:
    """Returns the sums of 2 x 2 pixels of [H, W, C], zeros beyond the border."""
    x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)))
    return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]
