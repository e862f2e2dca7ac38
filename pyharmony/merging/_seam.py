"""Seams: the minimal cut around the region that is added from a photo.

The region with the least cost of its contour and its inside is a continuous minimal cut: a convex problem once regions
are relaxed to functions (Chan, Esedoglu and Nikolova, 2006), whose solution, thresholded at one half, is the best
region. It is solved by the primal-dual algorithm of Chambolle and Pock (2011), from coarse to fine.
"""

from __future__ import annotations

import numpy as np

from .._arrays import Bools, Float32

_COARSEST_SIDE = 100  # the longest side of the coarsest level, in pixels
_COARSEST_ITERATIONS = 400  # the largest number of iterations on the coarsest level
_FINER_ITERATIONS = 120  # the largest number of iterations on each finer level
_LOOK = 20  # the iterations between tests of convergence
_CONVERGED_CHANGE = 2e-5  # the mean change in an iteration below which the solution has converged


Level = tuple[Float32, Float32, Bools, Bools]
"""The arguments of `cut`."""


def cut(crossing: Float32, taking: Float32, inside: Bools, outside: Bools) -> Bools:
    """Returns the region [H, W] with the least cost.

    crossing: the cost of a contour per pixel of its length, [H, W], above 0.
    taking: the cost of including a pixel in the region; a gain if below 0.
    inside, outside: the pixels that are always included, and those that never are; outside has priority.
    """
    levels = [(crossing, taking, inside & ~outside, outside)]
    while max(levels[-1][0].shape) > _COARSEST_SIDE and min(levels[-1][0].shape) >= 8:
        levels.append(_halved(levels[-1]))
    u: Float32 | None = None
    p: Float32 | None = None
    for number, level in enumerate(reversed(levels)):
        if u is not None and p is not None:
            u, p = _doubled(u, level[0].shape), _doubled(p, level[0].shape)
        u, p = _solve(*level, u, p, _COARSEST_ITERATIONS if number == 0 else _FINER_ITERATIONS)
    assert u is not None  # noqa: S101  # there is at least one level
    region: Bools = u > 0.5
    return (region | (inside & ~outside)) & ~outside


def _halved(level: Level) -> Level:
    """Returns a level at half its size: a contour costs twice as much per pixel, and an area four times as much."""
    crossing, taking, inside, outside = level
    even = tuple(n + n % 2 for n in crossing.shape)
    around = [(0, m - n) for n, m in zip(crossing.shape, even)]

    def blocks(x: np.ndarray, mode: str) -> np.ndarray:
        padded = np.pad(x, around, mode=mode) if even != x.shape else x  # type: ignore[call-overload]
        grid: np.ndarray = padded.reshape(even[0] // 2, 2, even[1] // 2, 2)
        return grid

    contour, inner, outer = (blocks(plane, "edge").mean((1, 3)) for plane in (crossing, inside, outside))
    return 2 * contour, blocks(taking, "constant").sum((1, 3)), inner > 0.5, outer > 0.5


def _doubled(x: Float32, size: tuple[int, ...]) -> Float32:
    """Returns planes [..., h, w] at about twice their size."""
    return np.ascontiguousarray(x.repeat(2, -2).repeat(2, -1)[..., : size[0], : size[1]])


def _solve(
    crossing: Float32, taking: Float32, inside: Bools, outside: Bools, u: Float32 | None, p: Float32 | None, steps: int
) -> tuple[Float32, Float32]:
    """Returns the function [H, W] in [0, 1] of least cost, and the dual variable [2, H, W]."""
    # Step sizes are relative to the mean cost.
    unit = np.float32(max(float(crossing.mean()), 1e-6))
    cost, gain = crossing / unit, taking / unit
    if u is None or p is None:
        u, p = np.where(gain < 0, np.float32(1), np.float32(0)), np.zeros((2, *cost.shape), np.float32)
    u[inside], u[outside] = 1, 0
    last, step = u.copy(), np.float32(1 / np.sqrt(8.0))
    for number in range(1, steps + 1):
        # The dual step: along the gradient, projected to a length of at most the cost.
        p[0, :-1] += step * (last[1:] - last[:-1])
        p[1, :, :-1] += step * (last[:, 1:] - last[:, :-1])
        length = np.sqrt(p[0] * p[0] + p[1] * p[1])
        p *= cost / np.maximum(length, cost)
        before = u
        u = u - step * gain
        u[:-1] += step * p[0, :-1]
        u[1:] -= step * p[0, :-1]
        u[:, :-1] += step * p[1, :, :-1]
        u[:, 1:] -= step * p[1, :, :-1]
        np.clip(u, 0, 1, out=u)
        u[inside], u[outside] = 1, 0
        last = 2 * u - before
        if number % _LOOK == 0 and float(np.abs(u - before).mean()) < _CONVERGED_CHANGE:
            break
    return u, p
