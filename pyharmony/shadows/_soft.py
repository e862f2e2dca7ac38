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
        found = _means(found.T, reach, False).T
        found = _means(found, reach, True)
    return found.astype(np.float32)


def _means(values: npt.NDArray[np.float64], reach: npt.NDArray[np.float64], along: bool) -> npt.NDArray[np.float64]:
    """Returns the means over intervals of columns [H, W], centred at each row, with the half width of the row.

    along: whether the half widths belong to the rows, which are averaged along; else each column has one, and the mean
    goes along rows too, so that the caller turns the plane.
    """
    count = len(values)
    # The integral from the start to the boundary below row i, with zeros beyond; linear between boundaries.
    sums = np.zeros((count + 1, values.shape[1]))
    np.cumsum(values, 0, out=sums[1:])
    at = np.arange(count) + 0.5
    if along:
        low, high = at - reach - 0.5, at + reach + 0.5
        return (_between(sums, high) - _between(sums, low)) / (2 * reach + 1)[:, None]
    found = np.empty_like(values)
    for number, half in enumerate(reach):
        column = sums[:, number]
        found[:, number] = (
            np.interp(at + half + 0.5, np.arange(count + 1), column)
            - np.interp(at - half - 0.5, np.arange(count + 1), column)
        ) / (2 * half + 1)
    return found


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
