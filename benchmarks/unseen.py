"""Evaluates the default on photographs not used in training any weights, for selecting changes of it.

The 49 triples of val are few, and the judge and the calibration were selected by them. Here are the photographs of
`masks_open`, train and val, with the largest mask of each: none of them is in a folder used for training weights.
Photographs without colour are skipped, and those with tone mapping by a camera or its owner. Each object is recoloured
like those of the triples (four transfers from another photograph's object, or a retouch), and evaluated under the most
informative conditions of `contours.py`; a clean cut also gets its source photograph as a hint, as in `hints.py`. The
photographs themselves, under the same conditions, measure the change of what fits.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from contour_scores import AsTriples, cell, change, gain
from contours import CONDITIONS, can_be_judged
from hints import Known, with_source
from photographs import MIN_MASK_SHARE, Picture, is_person
from PIL import Image
from tables import bootstrap, rows_of

import pyharmony
from pyharmony.errors import DataError, PyHarmonyWarning
from pyharmony.learn import data

FOLDER, SPLITS = "masks_open", ("train", "val")
#: The recolourings and the limits of their fMSE, as in the triples.
METHODS = ("reinhard", "xiao_ma", "fecker", "idt", "retouch")
LIMITS = (80.0, 2600.0)
#: The conditions of `contours.py` to evaluate.
CONTOURS = ("given", "mask -1", "mask +1", "cut 3, nearest", "pasted")
#: A clean cut on the other half of its photograph, without and with its source photograph as a hint.
HALF, HALF_WITH_SOURCE = "half", "half, source="
ALL_CONDITIONS = (*CONTOURS, HALF, HALF_WITH_SOURCE)

#: A function of image, mask and hints.
Call = Callable[..., Picture]
#: The metrics of composites, and of photographs that fit.
FIGURES = {"gain": gain, "change": change}
#: `photographs`, their names, and `methods`: of each by condition gains of composites and changes of what fits.
Figures = dict[str, Any]


class Photographs(data.Dataset):
    """Photographs with their largest usable masks.

    Args:
        root: the folder that has `masks_open`.
    """

    def __init__(self, root: Path) -> None:
        folder = root / FOLDER
        entries = json.loads((folder / "manifest.json").read_text())["entries"]
        masks: dict[str, list[Mapping[str, Any]]] = {}
        for entry in sorted(entries, key=lambda entry: -entry.get("mask_fraction", 0)):
            if entry["role"] == "mask":
                masks.setdefault(entry["pair"], []).append(entry)
        self.names: list[str] = []
        self.persons: list[bool] = []
        self._files: list[tuple[Path, Path]] = []
        for entry in entries:
            toned = "tone-mapped" in entry.get("note", "")
            if entry["role"] != "photo" or entry["split"] not in SPLITS or entry.get("monochrome") or toned:
                continue
            for mask in masks.get(entry["pair"], []):
                file = folder / mask["file"]
                if mask["mask_fraction"] >= MIN_MASK_SHARE and can_be_judged(_opened(file, "L")):
                    self.names.append(entry["pair"])
                    self.persons.append(is_person(mask))
                    self._files.append((folder / entry["file"], file))
                    break
        if not self.names:
            raise DataError(f"{folder}: there are no photographs with masks that can be judged")

    def _load(self, index: int) -> dict[str, Any]:
        image, mask = self._files[index]
        return {"name": self.names[index], "image": _opened(image, "RGB"), "mask": _opened(mask, "L")}


def _opened(file: Path, mode: str) -> Picture:
    with Image.open(file) as image:
        return np.array(image.convert(mode))


def triples(root: Path, work: Path) -> data.Triples:
    """Returns a composite of each photograph; they are made once, and stored in `work`."""
    if not work.exists():
        work.parent.mkdir(parents=True, exist_ok=True)
        composites = data.Synthesis(Photographs(root), METHODS, seed=600, limits=LIMITS)
        data.write_triples(composites, work, errors="skip")
    return data.Triples(work)


def cases(samples: data.Dataset, at: int) -> Iterator[tuple[str, Known]]:
    """Yields the conditions of a sample, each with additional arguments of `pyharmony.harmonize`."""
    sample = samples[at]
    composite, target, mask = (sample[role] for role in ("composite", "target", "mask"))
    for condition in CONTOURS:
        yield condition, Known(CONDITIONS[condition](composite, target, mask), {})
    hinted = with_source(sample, samples[(at + 1) % len(samples)], at)
    yield HALF, Known(hinted.case, {})
    yield HALF_WITH_SOURCE, hinted


def measure(root: Path, work: Path, calls: Mapping[str, Call], most: int | None = None) -> Figures:
    """Evaluates methods.

    Args:
        root: the folder that has `masks_open`.
        work: the folder of composites.
        calls: methods by name.
        most: the number of photographs to evaluate, evenly spread; None: all.
    """
    samples = triples(root, work)
    indices = np.unique(np.linspace(0, len(samples) - 1, most or len(samples)).astype(int))
    both = {
        "gain": AsTriples(samples, indices, None, alike=False),
        "change": AsTriples(samples, indices, None, alike=True),
    }
    figures: Figures = {"photographs": [samples.names[i] for i in indices], "methods": {}}
    for name, call in calls.items():
        start = time.monotonic()
        rows: dict[str, dict[str, list[float]]] = {
            condition: {key: [] for key in FIGURES} for condition in ALL_CONDITIONS
        }
        for key, measured in FIGURES.items():
            for i in range(len(indices)):
                for condition, (case, arguments) in cases(both[key], i):
                    rows[condition][key].append(round(measured(call(case.image, case.mask, **arguments), case), 4))
        figures["methods"][name] = rows
        print(f"unseen, {name}: {len(indices)} photographs, {time.monotonic() - start:.0f} s", flush=True)
    return figures


def beside(before: Figures, figures: Figures) -> Figures:
    """Returns results with those of an earlier run as the first method.

    Raises:
        DataError: they are of other photographs.
    """
    if before["photographs"] != figures["photographs"]:
        raise DataError("--beside: its figures are of other photographs; measure as many again")
    earlier = {f"{name}, before": rows for name, rows in before["methods"].items()}
    return {**figures, "methods": earlier | figures["methods"]}


def harmonized(source: Any, **options: Any) -> Call:
    """Returns `pyharmony.harmonize` with some weights."""

    def call(image: Picture, mask: Picture, **hints: Any) -> Picture:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PyHarmonyWarning)
            result: Picture = pyharmony.harmonize(image, mask, method=source, **options, **hints)
        return result

    return call


def table(figures: Figures) -> str:
    """Returns gain, share worse and change of what fits of each method, and the differences to the first."""
    first, count = next(iter(figures["methods"])), len(figures["photographs"])
    lines = [["", "", "gain, dB", "worse", "change of what fits", "gain beside the first", "change beside the first"]]
    for name, every in figures["methods"].items():
        for condition, rows in every.items():
            values = {key: np.array(rows[key]) for key in FIGURES}
            gained, changed = (bootstrap(x, range(count)) for x in values.values())
            cells = [
                f"`{name}`, {count}",
                condition,
                cell(gained, 2, "+"),
                f"{100 * (values['gain'] < 0).mean():.0f} %",
            ]
            cells.append(cell(changed, 2))
            for key, x in values.items():
                apart = bootstrap(x - np.array(figures["methods"][first][condition][key]), range(count))
                cells.append("" if name == first else cell(apart, 2, "+"))
            lines.append(cells)
    return rows_of(lines)
