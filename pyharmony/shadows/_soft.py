"""Softness: blurs a card more in higher rows, so that its projection has a penumbra that grows with the height."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from .._arrays import Float32

#: The number of box filters in turn: three are nearly a Gaussian.
_PASSES = 3


def reach_of(deviations: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Returns the half widths of the box filters that, applied in turn, have these standard deviations in pixels.

    A mean over an interval of half width n + f, for a whole n and a share f of the next pixel on each side, has the
    variance (n (n + 1) (2 n + 1) / 3 + 2 f (n + 1)^2) / (2 n + 1 + 2 f): n (n + 1) / 3 where f is 0.
    """
    variance = np.square(deviations, dtype=np.float64) / _PASSES
    n = np.floor((np.sqrt(1 + 12 * variance) - 1) / 2)
    missing = variance - n * (n + 1) / 3
    reach: npt.NDArray[np.float64] = n + missing * (2 * n + 1) / (2 * ((n + 1) ** 2 - variance))
    return reach


def margin_of(deviations: npt.NDArray[np.floating]) -> int:
    """Returns the width of the margin around a card that its blur needs, in pixels."""
    return math.ceil(_PASSES * (float(reach_of(deviations).max(initial=0.0)) + 0.5))


def blurred_by_row(card: Float32, deviations: npt.NDArray[np.floating]) -> Float32:
    """Returns a card [H, W] with each row blurred by its own standard deviation, [H] in pixels.

    It is 0 beyond the card. Columns are blurred by their rows' deviations, which change slowly with the height.
    """
    reach = reach_of(deviations)
    if reach.max(initial=0.0) < 1e-3:
        return card
    result = card
    for _ in range(_PASSES):
        result = _means_across(result, reach)
        result = _means_down(result, reach)
    return np.maximum(result, 0, out=result)


def _means_across(values: Float32, reach: npt.NDArray[np.float64]) -> Float32:
    """Returns box filtered rows of values [H, W], with the half width of each row."""
    height, width = values.shape
    # The integral from the start to the boundary before each column, linear between boundaries, and extended beyond the
    # ends by the widest interval.
    beyond = math.ceil(float(reach.max())) + 2
    sums = np.zeros((height, width + 1 + 2 * beyond), np.float32)
    np.cumsum(values, 1, out=sums[:, beyond + 1 : beyond + 1 + width])
    sums[:, beyond + 1 + width :] = sums[:, beyond + width, None]
    means = np.zeros_like(values)
    for sign in (1, -1):
        ends = beyond + 0.5 + sign * (reach + 0.5)
        first = np.floor(ends).astype(np.intp)
        shares = (ends - first).astype(np.float32)[:, None]
        # Adjacent rows whose intervals end between the same boundaries are computed at once.
        starts = [0, *(np.flatnonzero(np.diff(first)) + 1).tolist(), height]
        for low, high in itertools.pairwise(starts):
            at = int(first[low])
            one, other = sums[low:high, at : at + width], sums[low:high, at + 1 : at + 1 + width]
            between = other - one
            between *= shares[low:high]
            between += one
            if sign > 0:
                means[low:high] += between
            else:
                means[low:high] -= between
    means /= (2 * reach + 1).astype(np.float32)[:, None]
    return means


def _means_down(values: Float32, reach: npt.NDArray[np.float64]) -> Float32:
    """Returns box filtered columns of values [H, W], with the half width of each row."""
    sums = np.zeros((len(values) + 1, values.shape[1]), np.float32)
    np.cumsum(values, 0, out=sums[1:])
    at = np.arange(len(values)) + 0.5
    means = _between(sums, at + reach + 0.5)
    means -= _between(sums, at - reach - 0.5)
    means /= (2 * reach + 1).astype(np.float32)[:, None]
    return means


def _between(sums: Float32, at: npt.NDArray[np.float64]) -> Float32:
    """Returns rows of sums [N, W] at fractional indices, interpolated linearly, with the ends replicated."""
    at = np.clip(at, 0, len(sums) - 1)
    first = np.minimum(at.astype(np.intp), len(sums) - 2)
    share = (at - first).astype(np.float32)[:, None]
    low = sums[first]
    rows: Float32 = sums[first + 1]
    rows -= low
    rows *= share
    rows += low
    return rows


def deviation(softness: float, elevation: float) -> float:
    """Returns the standard deviation of the penumbra for each pixel of height, on the card.

    softness: the angular diameter of the source, in degrees. From a point of the shadow the source covers a disc of the
    card at the distance h / sin(elevation); a uniform disc of radius r has the deviation r / 2 along each axis.
    """
    return math.tan(math.radians(softness / 2)) / max(math.sin(math.radians(elevation)), 1e-6) / 2
