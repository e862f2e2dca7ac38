"""Results of methods under the conditions of `contours.py`: gains, changes of what fits, and the frontier of scaling.

Scaling down a network's change is a method, too, and reasonable if the contour has no information: it changes fitting
objects less. `FACTORS` of the unguarded change by fixed weights are the controls, and the line from the origin through
their gains over their changes is the frontier: another network is better only if it is above that line at its own
change. Where the line would fall it continues horizontally, since nobody has to change more.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from contours import CONDITIONS, CUTS, Case, can_be_judged, hard
from photographs import Picture, Set, fitting, triples
from PIL import Image
from skin import hue_apart
from tables import RESAMPLES, Floats, mean, numbered, percent, rows_of, share_below, signed, write_json

import pyharmony
from pyharmony.errors import DataError, PyHarmonyWarning
from pyharmony.learn import data, metrics

TRIPLES, PHOTOGRAPHS = "triples", "photographs"
GUARDED, CAUTIOUS, UNGUARDED = "auto", "auto, cautious=True", "auto, guard=False"
#: The arguments of `harmonize` in addition to the weights, by the end of the method's name.
OPTIONS: Mapping[str, Mapping[str, bool]] = {
    "": {},
    ", cautious=True": {"cautious": True},
    ", guard=False": {"guard": False},
}
#: The factors of the controls, and the SHA-256 of the weights whose change they scale. These are fixed when the default
#: changes, so that the frontier is constant.
FACTORS = (0.15, 0.25, 0.35, 0.5, 1.0)
FRONTIER_OF = "362d832c4a081c543978d736648fe769afa3258ec1bd23678b76763ebd4b29d4"
CONTROLS = tuple(f"control × {factor:g}" for factor in FACTORS)
#: Conditions that do not change a fitting photograph, and the one to which they are equal.
SAME_CONDITIONS = {"feathered": "given"}
#: Conditions that are reported together.
CONDITION_GROUPS = {"clean cuts": tuple(name for name in CUTS if name.startswith("cut"))}

#: A function of an image and its mask that returns one or more results.
Answers = Callable[[Picture, Picture], Sequence[Picture]]


# ---- measures ----


def gain(result: Picture, case: Case) -> float:
    """Returns by how many dB the error in the core is smaller than that of the given image."""
    inside, target = case.core, case.target[case.core].astype(np.float64)
    before, after = (np.square(image[inside] - target).mean() for image in (case.image, result))
    return float(10 * np.log10(max(before, 1e-3) / max(after, 1e-3)))


def change(result: Picture, case: Case) -> float:
    """Returns the mean absolute change in the core, in levels."""
    return float(np.abs(result[case.core].astype(np.float64) - case.image[case.core]).mean())


def answers(source: Any = GUARDED, *, factors: Sequence[float] = (), **options: bool) -> Answers:
    """Returns `pyharmony.harmonize`: its result, and for each factor the one with the change scaled by it."""

    def call(image: Picture, mask: Picture) -> list[Picture]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PyHarmonyWarning)
            result, info = pyharmony.harmonize(image, mask, method=source, return_info=True, **options)
        return [result, *(info.map.scaled(factor).apply(image, mask) for factor in factors)]

    return call


def cases(sample: Mapping[str, Any], name: str) -> Iterator[tuple[str, Case]]:
    """Yields every condition of a triple, or of a photograph, whose image is composite and target."""
    composite, target, mask = (sample[role] for role in ("composite", "target", "mask"))
    for condition, make in CONDITIONS.items():
        if name == TRIPLES or condition not in SAME_CONDITIONS:
            yield condition, make(composite, target, mask)


def figures(call: Answers, names: Sequence[str], samples: Set, name: str) -> dict[str, dict[str, Any]]:
    """Returns the metrics of each of a call's results under each condition, one value per sample.

    They are `gain` for triples and `change` for photographs, and `skin`: the difference of the hue of skin from the
    target's, or from the photograph's; controls have none.
    """
    key, measure = ("gain", gain) if name == TRIPLES else ("change", change)
    rows_by_method: dict[str, dict[str, Any]] = {method: {} for method in names}
    for i, sample in enumerate(samples.samples):
        for condition, case in cases(sample, name):
            right = case.target if name == TRIPLES else case.image
            for method, result in zip(names, call(case.image, case.mask), strict=True):
                row = rows_by_method[method].setdefault(condition, {key: []})
                row[key].append(round(measure(result, case), 3))
                if method not in CONTROLS:
                    hue_change = hue_apart(result, right, hard(case.core)) if samples.persons[i] else None
                    row.setdefault("skin", []).append(None if hue_change is None else round(hue_change, 2))
    return rows_by_method


# ---- samples ----


class AsTriples(data.Dataset):
    """Selected samples as composite, target and mask, optionally at the size of a view.

    Args:
        samples: triples, or photographs with a mask.
        chosen: the indices of the selected samples.
        side: the side of a square to which images are resized; None: no resizing.
        alike: whether the target, or the image, is the composite, too.
    """

    def __init__(self, samples: data.Dataset, indices: Sequence[int], side: int | None, *, alike: bool) -> None:
        self._samples, self._indices, self._side, self._alike = samples, indices, side, alike
        self.names = [samples.names[i] for i in indices]

    def _load(self, index: int) -> dict[str, Any]:
        sample = self._samples[self._indices[index]]
        target = sample["target"] if "target" in sample else sample["image"]
        roles = {"composite": target if self._alike else sample["composite"], "target": target, "mask": sample["mask"]}
        return {role: self._sized(image) for role, image in roles.items()}

    def _sized(self, image: Picture) -> Picture:
        if self._side is None:
            return image
        return np.array(Image.fromarray(image).resize((self._side, self._side), Image.Resampling.BILINEAR))


def opened(root: Path, name: str, split: str, side: int | None) -> Set:
    """Returns those triples or photographs of a split whose core is large enough."""
    every, alike = (triples(root, split), False) if name == TRIPLES else (fitting(root, split), True)
    whole = AsTriples(every.samples, range(len(every.groups)), side, alike=alike)
    indices = [i for i, sample in enumerate(whole) if can_be_judged(sample["mask"])]
    groups, persons, is_open, fine = (
        [values[i] for i in indices] for values in (every.groups, every.persons, every.is_open, every.fine)
    )
    return Set(AsTriples(every.samples, indices, side, alike=alike), groups, persons, is_open, fine)


# ---- runs ----


def digest(source: str) -> str:
    """Returns the SHA-256 of a file of weights, or of the default's."""
    from pyharmony.networks import models

    shipped = {entry.name: entry.sha256 for entry in models.weights("harmonize")}["colorgrid"]
    return shipped if source == GUARDED else hashlib.sha256(Path(source).read_bytes()).hexdigest()


def measure(
    root: Path,
    path: Path,
    *,
    split: str = "test",
    side: int | None = None,
    ways: Sequence[tuple[str, str]] = tuple((GUARDED, ending) for ending in OPTIONS),
    again: bool = False,
) -> dict[str, Any]:
    """Measures what is missing in a file of results, and returns all of it.

    Args:
        root: the folder of the data.
        path: the results, which are written whenever a method has completed a set.
        split: the split of triples and photographs.
        side: see `AsTriples`.
        ways: the weights, 'auto' or paths, each with one of `OPTIONS`; the controls come with those of `FRONTIER_OF`,
            unguarded. Weights are measured again if their file has changed.
        again: whether all of `ways` is measured again.
    """
    import torch

    torch.set_num_threads(1)
    results = json.loads(path.read_text()) if path.is_file() else {}
    entry = results.setdefault(f"{split}, {side} px" if side else split, {"sets": {}, "methods": {}})
    sets: dict[str, Set] = {}
    for source, ending in ways:
        stem = GUARDED if source == GUARDED else Path(source).stem
        sha256 = digest(source)
        controlled = sha256 == FRONTIER_OF and not OPTIONS[ending].get("guard", True)
        names = [stem + ending, *(CONTROLS if controlled else ())]
        for method in names:
            if entry["methods"].setdefault(method, {}).get("sha256") != sha256 or again:
                entry["methods"][method] = {"sha256": sha256}
        for name in (TRIPLES, PHOTOGRAPHS):
            if all(name in entry["methods"][method] for method in names):
                continue
            if not sets:
                sets = {each: opened(root, each, split, side) for each in (TRIPLES, PHOTOGRAPHS)}
                description = described(sets)
                if entry["sets"].setdefault("of", description) != description:
                    raise DataError(f"{path}: it is of other pictures; choose another --out, or remove it")
            start = time.monotonic()
            call = answers(source, factors=FACTORS if controlled else (), **OPTIONS[ending])
            for method, rows in figures(call, names, sets[name], name).items():
                entry["methods"][method][name] = rows
            write_json(path, results)
            print(f"contours, {split}, {name}, {names[0]}: {time.monotonic() - start:.0f} s", flush=True)
    return dict(entry)


def described(sets: Mapping[str, Set]) -> dict[str, Any]:
    """Returns a description of the samples of each set; a photograph has the same number in both."""
    numbers = iter(numbered([group for samples in sets.values() for group in samples.groups]))
    return {
        name: {"groups": [next(numbers) for _ in s.groups], "open": list(s.is_open), "fine": list(s.fine)}
        for name, s in sets.items()
    }


# ---- figures with intervals ----


class Resampled:
    """The triples and photographs of a file of results, resampled by photograph, many times.

    The first draw is the complete set. Both sets are drawn together: a photograph and the triples made from it are
    drawn as one.

    Args:
        found: the result of `measure`.
        chosen: whether a sample counts, by its description: `open` and `fine`.
    """

    def __init__(
        self, report: Mapping[str, Any], subset: Callable[[Mapping[str, Any]], bool] = lambda about: True
    ) -> None:
        self._methods = report["methods"]
        self._at: dict[str, npt.NDArray[np.intp]] = {}
        of: dict[str, npt.NDArray[np.intp]] = {}
        for name, about in report["sets"]["of"].items():
            each = [dict(zip(about, values, strict=True)) for values in zip(*about.values(), strict=True)]
            self._at[name] = np.array([i for i, sample in enumerate(each) if subset(sample)], np.intp)
            of[name] = np.array(about["groups"], np.intp)[self._at[name]]
        there, places = np.unique(np.concatenate(list(of.values())), return_inverse=True)
        picks = np.random.default_rng(0).integers(0, max(len(there), 1), (RESAMPLES, len(there)))
        times = np.stack([np.ones(len(there)), *(np.bincount(row, minlength=len(there)) for row in picks)])
        split = np.split(places, [len(of[TRIPLES])])
        self._times = {name: times[:, at].astype(np.float64) for name, at in zip(of, split, strict=True)}

    def count(self, name: str) -> int:
        """Returns how many samples of a set there are."""
        return len(self._at[name])

    def draws(
        self,
        method: str,
        condition: str,
        key: str,
        statistic: Callable[[Floats, Floats], Floats] = mean,
        name: str | None = None,
    ) -> Floats | None:
        """Returns a statistic of every draw, [1 + RESAMPLES]; None if there are no values.

        Args:
            method: the name of the method.
            condition: a condition, or a name of `CONDITION_GROUPS`.
            key: 'gain' of triples, 'change' of photographs, 'skin' of the set `name`.
            statistic: a function of values and counts, see `tables.bootstrap`.
            name: the set; None: that of key.
        """
        name = name or (TRIPLES if key == "gain" else PHOTOGRAPHS)
        rows = self._methods.get(method, {}).get(name, {})
        values, times = [], []
        for each in CONDITION_GROUPS.get(condition, (condition,)):
            row = rows.get(each if name == TRIPLES else SAME_CONDITIONS.get(each, each), {}).get(key)
            if row is None:
                return None
            x = np.array([np.nan if value is None else value for value in row], np.float64)[self._at[name]]
            values.append(x[~np.isnan(x)])
            times.append(self._times[name][:, ~np.isnan(x)])
        if not sum(len(x) for x in values):
            return None
        with np.errstate(invalid="ignore"):
            return statistic(np.concatenate(values), np.concatenate(times, 1))

    def of(self, *names: Any, **more: Any) -> metrics.Interval | None:
        """Returns a statistic with its interval, see `draws`."""
        return interval(self.draws(*names, **more))

    def above(self, method: str, condition: str) -> metrics.Interval | None:
        """Returns by how many dB a method's gain is above the frontier at its own change of what fits."""
        parts = [[self.draws(each, condition, key) for key in ("change", "gain")] for each in (*CONTROLS, method)]
        if any(part is None for row in parts for part in row):
            return None
        *controls, own = np.array(parts, np.float64)
        line = np.array(controls)
        return interval(own[1] - frontier(own[0], line[:, 0], line[:, 1]))


def interval(draws: Floats | None) -> metrics.Interval | None:
    """Returns the first of all draws, and the interval that contains 95 % of the others."""
    if draws is None:
        return None
    low, high = np.nanpercentile(draws[1:], (2.5, 97.5))
    return metrics.Interval(float(draws[0]), float(low), float(high))


def frontier(at: Floats, changes: Floats, gains: Floats) -> Floats:
    """Returns the gain on the frontier: linear from (0, 0) through the controls, constant where it would fall.

    Args:
        at: [R], a change of what fits in each draw.
        changes: [K, R], that of each control, in ascending order.
        gains: [K, R], the gain of each control.
    """
    nothing = np.zeros((1, len(at)))
    points = np.concatenate([nothing, changes])
    best = np.maximum.accumulate(np.concatenate([nothing, gains]))
    return np.array([np.interp(x, *control) for x, *control in zip(at, points.T, best.T, strict=True)])


# ---- tables ----

#: The samples that count in a column, by their description.
SUBSETS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "all": lambda about: True,
    "fine masks": lambda about: about["fine"] is True,
    "polygons": lambda about: about["fine"] is False,
}


def cell(x: metrics.Interval | None, digits: int, sign: str = "", unit: str = "") -> str:
    return "" if x is None else signed(x, digits, sign) + unit


def share_cell(x: metrics.Interval | None) -> str:
    return "" if x is None else percent(x)


def title(condition: str) -> str:
    return condition.replace("-", "−")


def lines(report: Mapping[str, Any], method: str) -> Iterator[str]:
    """Yields a line of figures for each condition."""
    every = Resampled(report)
    yield (
        f"{method}: gain in dB of {every.count(TRIPLES)} triples, share worse; change of {every.count(PHOTOGRAPHS)} "
        "photographs that fit, in levels; dB above the frontier"
    )
    for condition in (*CONDITIONS, *CONDITION_GROUPS):
        cells = [
            cell(every.of(method, condition, "gain"), 2, "+"),
            share_cell(every.of(method, condition, "gain", share_below)),
            cell(every.of(method, condition, "change"), 1),
            cell(every.above(method, condition), 2, "+"),
        ]
        yield f"{title(condition):16s}" + "".join(f"{text:22s}" for text in cells).rstrip()


def measured(report: Mapping[str, Any]) -> list[str]:
    """Returns the methods that have completed all samples, the default first, without the controls."""
    there = [name for name, entry in report["methods"].items() if TRIPLES in entry and PHOTOGRAPHS in entry]
    first = [name for name in (GUARDED, CAUTIOUS, UNGUARDED) if name in there]
    return first + [name for name in there if name not in (*first, *CONTROLS)]


def section(report: Mapping[str, Any]) -> str:
    """Returns the default's gain, share worse and change of what fits under each condition, and its other forms'."""
    every, fine, polygons = (Resampled(report, SUBSETS[name]) for name in ("all", "fine masks", "polygons"))
    forms = {name: name.removeprefix(f"{GUARDED}, ") for name in (CAUTIOUS, UNGUARDED) if name in measured(report)}
    rows = [["", "gain, dB", "worse", "change", "fine masks", "polygons"]]
    rows[0] += [f"`{short}`: {what}" for short in forms.values() for what in ("gain", "worse", "change")]
    for condition in (*CONDITIONS, *CONDITION_GROUPS):
        whole = cell(every.of(GUARDED, condition, "gain"), 2, "+")
        cells = [title(condition), whole, *brief(every, GUARDED, condition)[1:]]
        cells += [brief(part, GUARDED, condition)[0] for part in (fine, polygons)]
        rows.append(cells + [text for name in forms for text in brief(every, name, condition)])
    return (
        f"`{GUARDED}`, {every.count(TRIPLES)} test triples, {fine.count(TRIPLES)} with fine masks and "
        f"{polygons.count(TRIPLES)} with polygons; *change*, in levels, is that of {every.count(PHOTOGRAPHS)} "
        f"photographs that fit:\n\n{rows_of(rows)}"
    )


def brief(every: Resampled, method: str, condition: str) -> list[str]:
    """Returns a method's gain, share worse and change of what fits, without their intervals."""
    gain, change = every.of(method, condition, "gain"), every.of(method, condition, "change")
    worse = every.of(method, condition, "gain", share_below)
    return [
        "" if x is None else text(x.mean)
        for x, text in (
            (gain, lambda mean: f"{mean:+.1f}".replace("-", "−")),
            (worse, lambda mean: f"{100 * mean:.0f} %"),
            (change, lambda mean: f"{mean:.1f}"),
        )
    ]
