"""Weighted statistics of colours, defined in float64.

    W = Σ w,   μ = Σ w x / W,   C = Σ w (x - μ)(x - μ)ᵀ / W

over the pixels of weight above zero, and for each channel the weight in each of `bins` equal intervals of
[low, high); colours beyond the ends count in the first and the last interval.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


class Stats(NamedTuple):
    """The statistics: weight; mean, minimum, maximum [3]; covariance [3, 3]; histogram [3, bins]."""

    weight: float
    mean: Float64
    covariance: Float64
    minimum: Float64
    maximum: Float64
    histogram: Float64


def color_stats(colors: Float64, weights: Float64, bins: int, low: Float64, high: Float64) -> Stats:
    """Returns the statistics of colours [..., 3] with weights [...], at least one of them above zero."""
    inside = weights > 0
    x, w = np.asarray(colors, np.float64)[inside], np.asarray(weights, np.float64)[inside]
    total = w.sum()
    mean = w @ x / total
    apart = x - mean
    histogram = np.zeros((3, bins))
    for c in range(3):
        if bins:
            place = np.floor((x[:, c] - low[c]) * bins / (high[c] - low[c]))
            np.add.at(histogram[c], np.clip(place, 0, bins - 1).astype(int), w)
    covariance = (w[:, None] * apart).T @ apart / total
    return Stats(float(total), mean, covariance, x.min(0), x.max(0), histogram)
