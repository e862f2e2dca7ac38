"""Results of benchmarks: their files, means with intervals by photograph, cells and rows of tables."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyharmony.learn import metrics

RESAMPLES = 2000

Floats = npt.NDArray[np.float64]


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.write_text(json.dumps(value) + "\n")
    os.replace(whole, path)


def numbered(groups: Sequence[str]) -> list[int]:
    """Replaces the names of groups by numbers."""
    places: dict[str, int] = {}
    return [places.setdefault(group, len(places)) for group in groups]


def mean(values: Floats, counts: Floats) -> Floats:
    """Returns the means of values [N] for resampled counts [R, N]."""
    return (counts @ values) / counts.sum(1)


def share_below(values: Floats, counts: Floats) -> Floats:
    """Returns the share of values below zero."""
    return mean((values < 0).astype(np.float64), counts)


def percentile(q: float) -> Callable[[Floats, Floats], Floats]:
    """Returns the smallest value that the share q of the values does not exceed."""

    def statistic(values: Floats, counts: Floats) -> Floats:
        order = np.argsort(values, kind="stable")
        sums = np.cumsum(counts[:, order], 1)
        at = (sums < q * sums[:, -1:] - 1e-9).sum(1)
        return values[order][at]

    return statistic


@functools.lru_cache(maxsize=2)
def _resample_counts(of: tuple[int, ...], resamples: int) -> Floats:
    """Returns how often each composite is drawn, [resamples, N]; the columns of a table have it in common."""
    count = max(of) + 1
    picks = np.random.default_rng(0).integers(0, count, (resamples, count))
    times = np.stack([np.bincount(row, minlength=count) for row in picks])[:, list(of)].astype(np.float64)
    times.flags.writeable = False
    return times


def bootstrap(
    values: Iterable[float],
    groups: Sequence[Any],
    statistic: Callable[[Floats, Floats], Floats] = mean,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> metrics.Interval:
    """Returns a statistic and its percentile bootstrap interval: photographs are drawn, each with all its composites.

    Args:
        values: [N], one per composite.
        groups: [N], the photograph of each composite.
        statistic: a function of values and their counts.
        resamples: the number of times that photographs are drawn, as many as there are.
        confidence: the share of the resamples inside the interval.
    """
    x = np.asarray(list(values), np.float64)
    _, of = np.unique(np.asarray(groups), return_inverse=True)
    times = _resample_counts(tuple(of.tolist()), resamples)
    low, high = np.percentile(statistic(x, times), (50 - 50 * confidence, 50 + 50 * confidence))
    return metrics.Interval(float(statistic(x, np.ones((1, len(x))))[0]), float(low), float(high))


def signed(x: metrics.Interval, digits: int, sign: str = "+") -> str:
    return f"{x.mean:{sign}.{digits}f} [{x.low:{sign}.{digits}f}, {x.high:{sign}.{digits}f}]".replace("-", "−")


def percent(x: metrics.Interval) -> str:
    return f"{100 * x.mean:.0f} % [{100 * x.low:.0f}, {100 * x.high:.0f}]"


def rows_of(lines: Iterable[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *rest]).replace("|  |", "| |").replace("|  |", "| |")
