"""Softness: a card whose rows are blurred the more, the higher they are, so that one projection makes the penumbra."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

#: How often a mean over an interval is taken: three of them are nearly a Gaussian.
_PASSES = 3


def softened(card: Float32, deviations: Float32) -> Float32:
    """Returns a card [H, W] each row of which is blurred with a standard deviation of its own, [H] in pixels.

    A mean over an interval of half width r has the variance r (r + 1) / 3; three of them in turn are nearly a Gaussian.
    Beyond the card is 0. Columns are blurred with what their rows ask for, which changes slowly with the height.
    """
    variance = np.square(deviations.astype(np.float64)) / _PASSES
    reach = (np.sqrt(1 + 12 * variance) - 1) / 2
    if reach.max(initial=0.0) < 1e-3:
        return card
    found = card.astype(np.float64)
    for _ in range(_PASSES):
        found = _means_across(found, reach)
        found = _means_down(found, reach)
    return found.astype(np.float32)


def _means_across(values: npt.NDArray[np.float64], reach: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the means over intervals along each row of values [H, W], centred at each place, with the half width of
    the row."""
    height, width = values.shape
    # The integral from the start to the boundary before column i, with zeros beyond; linear between boundaries.
    sums = np.zeros((height, width + 1))
    np.cumsum(values, 1, out=sums[:, 1:])
    flat, start = sums.ravel(), (np.arange(height) * (width + 1))[:, None]
    found = np.zeros_like(values)
    for sign in (1, -1):
        at = np.clip(np.arange(width) + (0.5 + sign * (reach + 0.5))[:, None], 0, width)
        first = np.minimum(at.astype(np.intp), width - 1)
        low = flat[start + first]
        found += sign * (low + (at - first) * (flat[start + first + 1] - low))
    return found / (2 * reach + 1)[:, None]


def _means_down(values: npt.NDArray[np.float64], reach: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the means over intervals along each column of values [H, W], with the half width of the row."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, 0, out=sums[1:])
    at = np.arange(len(values)) + 0.5
    low, high = at - reach - 0.5, at + reach + 0.5
    return (_between(sums, high) - _between(sums, low)) / (2 * reach + 1)[:, None]


def _between(sums: npt.NDArray[np.float64], at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns rows of sums [N, W] at places between them, linearly; the ends go on beyond."""
    at = np.clip(at, 0, len(sums) - 1)
    first = np.minimum(at.astype(np.intp), len(sums) - 2)
    share = (at - first)[:, None]
    return sums[first] * (1 - share) + sums[first + 1] * share


def deviation(softness: float, elevation: float) -> float:
    """Returns the standard deviation of the penumbra for each pixel of height, as seen on the card.

    softness: the angle under which the source is seen, in degrees. From a point of the shadow the source covers a disc
    of the card at the distance h / sin(elevation); a uniform disc of radius r has the deviation r / 2 along each axis.
    """
    return math.tan(math.radians(softness / 2)) / max(math.sin(math.radians(elevation)), 1e-6) / 2
