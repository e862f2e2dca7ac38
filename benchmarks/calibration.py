"""Calibration of weights: the strength at which a guarded call applies the mean prediction over several views.

Predictions are computed once for every triple and every fitting photograph under each condition of `contours.py`. The
guard's inputs and the results at several strengths are stored for each, so that settings can be tried quickly.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from contour_scores import PHOTOGRAPHS, TRIPLES, cases, change, gain, opened
from contours import CUTS, VIEW, Case
from photographs import Set

from pyharmony._header import Calibration
from pyharmony.errors import DataError
from pyharmony.harmonization import _colorgrid
from pyharmony.harmonization._guards import (
    TRUSTED,
    Care,
    agreement,
    change_confidence,
    mean_change,
    region_confidence,
    share_of,
)
from pyharmony.harmonization._judged import BOOST_OF_TWO, compared, hardened, with_close
from pyharmony.harmonization._maps import weighted
from pyharmony.harmonization._scene import scene_of

Floats = npt.NDArray[np.float64]

BOOSTS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0)
#: The values of `doubt` and `caution` to try.
DOUBTS = (0.0, *np.round(0.05 * 2 ** (np.arange(89) / 8), 3))
#: The values of `noise` to try, in levels.
NOISES = tuple(np.arange(13) / 4)
#: The largest mean change in levels of photographs that fit, with the mask as given and in each clean cut.
#: The upper end of its interval has to be below, since photographs outside val may be changed more: the mean plus so
#: many standard errors.
LIMITS = {"doubt": (4.0, 5.0), "caution": (2.5, 3.0)}
ERRORS = 1.96
#: The largest share of triples, in each condition, that may be worse than the composite, by more than so many dB.
MAX_WORSE_SHARE, MAX_LOSS_DB = 0.25, 0.005
#: The strengths for which results are stored, the others are interpolated.
PARTS = np.linspace(0, max(BOOSTS), 17)


class Answer(NamedTuple):
    """The prediction for a case.

    Attributes:
        change, apart: the guard's inputs, see `Calibration`.
        trusted: whether the mean change, times each of `BOOSTS`, is applied at all.
        results: for each of `PARTS`, gain of a triple, or change of a photograph.
    """

    change: float
    apart: float
    trusted: tuple[bool, ...]
    results: Floats


def answer(network: _colorgrid.Network, case: Case, name: str) -> Answer:
    """Runs a network on a case."""
    size = network.size, network.size
    whole = scene_of(case.image, case.mask, None, size)
    scene = hardened(with_close(whole, case.image, case.mask, None) if network.closer else whole)
    more = 1.0 if scene.close is None else BOOST_OF_TWO
    maps, weights = network.answers(scene, Care.AGREED)
    counts = np.full(len(maps), 1 / len(maps)) if weights is None else weights
    picture, apart = compared(scene, [m.apply(scene.image) for m in maps], counts)
    confidence = region_confidence(scene)[0]
    trusted = (
        confidence * change_confidence(scene, scene.image + b * more * (picture - scene.image))[0] for b in BOOSTS
    )
    mean, measure = weighted(maps, counts), gain if name == TRIPLES else change
    results = [measure(mean.scaled(part * more).apply(case.image, case.mask), case) for part in PARTS]
    return Answer(mean_change(scene, picture), apart, tuple(x >= TRUSTED for x in trusted), np.array(results))


def answers(network: _colorgrid.Network, samples: Set, name: str) -> dict[str, list[Answer]]:
    """Runs a network on every condition of every sample of a set."""
    answers_by_set: dict[str, list[Answer]] = {}
    for sample in samples.samples:
        for condition, case in cases(sample, name):
            answers_by_set.setdefault(condition, []).append(answer(network, case, name))
    return answers_by_set


def results(every: Sequence[Answer], boost: float, noise: float, doubts: Iterable[float]) -> Floats:
    """Returns the result for each value of doubt of each prediction, [D, A].

    The guard for skin, whose hue may reduce the change further, is ignored.
    """
    results_of_each = []
    for one in every:
        trusted = boost * one.trusted[BOOSTS.index(boost)]
        parts = [trusted * share_of(agreement(one.change, one.apart, doubt, noise)) for doubt in doubts]
        results_of_each.append(np.interp(parts, PARTS, one.results))
    return np.array(results_of_each).T


class Choice(NamedTuple):
    """A setting, and its mean gain over the conditions of triples."""

    doubt: float
    gain: float


def best(
    every: Mapping[str, Mapping[str, Sequence[Answer]]],
    boost: float,
    noise: float,
    limits: tuple[float, float],
    least: float = 0.0,
) -> Choice | None:
    """Returns the setting with the largest mean gain within the limits; None if there is none."""
    doubts = [doubt for doubt in DOUBTS if doubt >= least]
    holds = np.ones(len(doubts), bool)
    for condition, limit in {"given": limits[0], **dict.fromkeys(CUTS, limits[1])}.items():
        changes = results(every[PHOTOGRAPHS][condition], boost, noise, doubts)
        holds &= changes.mean(1) + ERRORS * changes.std(1) / changes.shape[1] ** 0.5 <= limit
    if not holds.any():
        return None
    gains = [results(of, boost, noise, doubts) for of in every[TRIPLES].values()]
    for of in gains:
        holds &= (of < -MAX_LOSS_DB).mean(1) <= MAX_WORSE_SHARE
    if not holds.any():
        return None
    mean = np.mean([of.mean(1) for of in gains], 0)
    at = int(np.argmax(np.where(holds, mean, -np.inf)))
    return Choice(float(doubts[at]), float(mean[at]))


def chosen(every: Mapping[str, Mapping[str, Sequence[Answer]]]) -> Calibration:
    """Returns the calibration whose default has the largest gain, and within it the caution with the largest gain.

    Raises:
        DataError: no setting is within the limits.
    """
    choices = [(best(every, boost, noise, LIMITS["doubt"]), boost, noise) for boost in BOOSTS for noise in NOISES]
    there = [(choice, boost, noise) for choice, boost, noise in choices if choice is not None]
    if not there:
        raise DataError("no setting holds the limits; these weights change what fits, and their views agree on it")
    choice, boost, noise = max(there, key=lambda one: one[0].gain)
    careful = best(every, boost, noise, LIMITS["caution"], choice.doubt)
    if careful is None:
        raise DataError(f"no caution holds the limits at boost {boost:g} and noise {noise:g}")
    return Calibration(choice.doubt, careful.doubt, boost, float(noise))


def told(every: Mapping[str, Mapping[str, Sequence[Answer]]], calibration: Calibration) -> list[str]:
    """Returns lines on the gain of a calibration, and on its change of fitting photographs."""
    lines = [f"{'':16s}gain, default  cautious  change of what fits, default  cautious"]
    for condition, of in every[TRIPLES].items():
        rows = [of, every[PHOTOGRAPHS].get(condition)]
        settings = calibration.boost, calibration.noise, (calibration.doubt, calibration.caution)
        cells = ["" if row is None else results(row, *settings).mean(1) for row in rows]
        lines.append(
            f"{condition:16s}" + "  ".join("" if isinstance(c, str) else f"{c[0]:+6.2f} {c[1]:+6.2f}" for c in cells)
        )
    return lines


def calibration(root: Path, source: str) -> Calibration:
    """Returns the calibration of weights by the triples and photographs of val, and prints its results."""
    network = _colorgrid.parsed(Path(source).read_bytes(), source)
    every: dict[str, Any] = {}
    for name in (TRIPLES, PHOTOGRAPHS):
        start, samples = time.monotonic(), opened(root, name, "val", VIEW)
        every[name] = answers(network, samples, name)
        print(f"{name}, {len(samples.groups)}: {time.monotonic() - start:.0f} s", flush=True)
    limits = chosen(every)
    print(f"doubt {limits.doubt:g}, caution {limits.caution:g}, boost {limits.boost:g}, noise {limits.noise:g}")
    print("\n".join(told(every, limits)), flush=True)
    return limits
