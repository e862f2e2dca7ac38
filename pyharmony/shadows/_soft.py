"""Softness: a card whose rows are blurred the more, the higher they are, so that one projection makes the penumbra."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

#: How often a mean over an interval is taken: three of them are nearly a Gaussian.
_PASSES = 3


def reach_of(deviations: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Returns the half widths of the intervals whose means, taken in turn, have these standard deviations in pixels.

    A mean over an interval of half width n + f, for a whole n and a share f of the next pixel on each side, has the
    variance (n (n + 1) (2 n + 1) / 3 + 2 f (n + 1)^2) / (2 n + 1 + 2 f): n (n + 1) / 3 where f is 0.
    """
    variance = np.square(deviations, dtype=np.float64) / _PASSES
    n = np.floor((np.sqrt(1 + 12 * variance) - 1) / 2)
    missing = variance - n * (n + 1) / 3
    reach: npt.NDArray[np.float64] = n + missing * (2 * n + 1) / (2 * ((n + 1) ** 2 - variance))
    return reach


def margin_of(deviations: npt.NDArray[np.floating]) -> int:
    """Returns how many pixels beyond a card what is blurred with these deviations reaches."""
    return math.ceil(_PASSES * (float(reach_of(deviations).max(initial=0.0)) + 0.5))


def softened(card: Float32, deviations: npt.NDArray[np.floating]) -> Float32:
    """Returns a card [H, W] each row of which is blurred with a standard deviation of its own, [H] in pixels.

    Beyond the card is 0. Columns are blurred with what their rows ask for, which changes slowly with the height.
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
    """Returns the means over intervals along each row of values [H, W], centred at each place, with the half width of
    the row."""
    height, width = values.shape
    # The integral from the start to the boundary before each column, linear between boundaries; it goes on beyond the
    # ends, as far as the widest interval reaches.
    beyond = math.ceil(float(reach.max())) + 2
    sums = np.zeros((height, width + 1 + 2 * beyond), np.float32)
    np.cumsum(values, 1, out=sums[:, beyond + 1 : beyond + 1 + width])
    sums[:, beyond + 1 + width :] = sums[:, beyond + width, None]
    means = np.zeros_like(values)
    for sign in (1, -1):
        ends = beyond + 0.5 + sign * (reach + 0.5)
        first = np.floor(ends).astype(np.intp)
        shares = (ends - first).astype(np.float32)[:, None]
        # Rows that lie together and whose intervals end between the same boundaries are worked on at once.
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
    """Returns the means over intervals along each column of values [H, W], with the half width of the row."""
    sums = np.zeros((len(values) + 1, values.shape[1]), np.float32)
    np.cumsum(values, 0, out=sums[1:])
    at = np.arange(len(values)) + 0.5
    means = _between(sums, at + reach + 0.5)
    means -= _between(sums, at - reach - 0.5)
    means /= (2 * reach + 1).astype(np.float32)[:, None]
    return means


def _between(sums: Float32, at: npt.NDArray[np.float64]) -> Float32:
    """Returns rows of sums [N, W] at places between them, linearly; the ends go on beyond."""
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
    """Returns the standard deviation of the penumbra for each pixel of height, as seen on the card.

    softness: the angle under which the source is seen, in degrees. From a point of the shadow the source covers a disc
    of the card at the distance h / sin(elevation); a uniform disc of radius r has the deviation r / 2 along each axis.
    """
    return math.tan(math.radians(softness / 2)) / max(math.sin(math.radians(elevation)), 1e-6) / 2
