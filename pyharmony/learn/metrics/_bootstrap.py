"""Means over images, with their confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ... import _checks
from ..._arrays import NumpyArray
from ...errors import ArgumentError, DTypeError, ShapeError


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: the mean of the values.
        low, high: the bounds of the interval.

    Example:
        >>> from pyharmony.learn.metrics import Interval
        >>> Interval(mean=2.5, low=2.0, high=3.0).low
        2.0
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def bootstrap(
    values: Sequence[float] | NumpyArray, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Returns the mean of values and its percentile bootstrap interval (Efron 1979).

    N values are drawn from the N given ones with replacement, `resamples` times; the interval contains the middle share
    `confidence` of the means. To compare two methods on the same images, pass the differences.

    Args:
        values: [N] finite numbers, one per image.
        confidence: the share, above 0 and below 1.
        resamples: the number of draws, at least 1.
        seed: the seed of the draws; equal seeds give equal intervals.

    Returns:
        An `Interval`; for a single value, mean, low and high are that value.

    Raises:
        ShapeError: values is empty or not one list of numbers.
        ArgumentError: a value is NaN or infinite; another argument is out of range.
        DTypeError: an argument is not a number.

    Example:
        >>> from pyharmony import metrics
        >>> interval = metrics.bootstrap([1.0, 2.0, 3.0, 4.0])
        >>> interval.mean, interval.low < 2.5 < interval.high
        (2.5, True)
    """
    x = _checks.floats(values, "values")
    if x.ndim != 1 or x.size == 0:
        raise ShapeError(f"values: shape {list(x.shape)}, expected [N] with at least one value")
    if not np.isfinite(x).all():
        at = int(np.flatnonzero(~np.isfinite(x))[0])
        raise ArgumentError(f"values: {x[at]} at {at}, expected finite numbers")
    share = _checks.number(confidence, "confidence", high=1.0, accepts="a number above 0 and below 1")
    if not 0 < share < 1:
        raise ArgumentError(f"confidence: {share:g}, expected a number above 0 and below 1")
    times = _checks.whole(resamples, "resamples", low=1)
    random = np.random.default_rng(_checks.whole(seed, "seed"))
    means = np.empty(times)
    at_once = max(1, 4_000_000 // x.size)
    for start in range(0, times, at_once):
        n = min(at_once, times - start)
        means[start : start + n] = x[random.integers(0, x.size, (n, x.size))].mean(axis=1)
    low, high = np.percentile(means, [50 - 50 * share, 50 + 50 * share])
    return Interval(float(x.mean()), float(low), float(high))


def summarize(
    rows: Iterable[Mapping[str, float]], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Returns the mean of each metric over images, with its interval.

    Args:
        rows: the result of `evaluate` for each image; all have the same names.
        confidence, resamples, seed: see `bootstrap`; all metrics use the same draws.

    Raises:
        ShapeError: there is no row.
        ArgumentError: rows differ in their names; a value is NaN or infinite.

    Example:
        >>> from pyharmony import metrics
        >>> table = metrics.summarize([{"mse": 1.0}, {"mse": 3.0}])
        >>> table["mse"].mean
        2.0
    """
    table = _checks.several(rows, "rows", "a list of the metrics of each image")
    for i, row in enumerate(table):
        if not isinstance(row, Mapping):
            raise DTypeError(f"rows[{i}]: {type(row).__name__}, expected a dictionary")
    if not table:
        raise ShapeError("rows: empty, expected the metrics of at least one image")
    for i, row in enumerate(table):
        if row.keys() != table[0].keys():
            raise ArgumentError(f"rows: {', '.join(row)} at {i}, expected {', '.join(table[0])} as at 0")
    return {
        name: bootstrap([row[name] for row in table], confidence=confidence, resamples=resamples, seed=seed)
        for name in table[0]
    }
