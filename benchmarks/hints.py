"""Measures the gain of `source=` and `reference_mask=` of `pyharmony.harmonize` on clean cut-outs, over the default.

    python benchmarks/hints.py run DATA                # measures, a quarter of an hour on one thread
    python benchmarks/hints.py run DATA --split val    # for model selection; --out elsewhere
    python benchmarks/hints.py report                  # the table, into docs/harmonize.md

Every triple is divided. For a source, the photograph from which the object was cut is one half of the target, all of it
recoloured like the object; the clean cut-out is placed on the other half, mirrored to fill the image. So the two scenes
have nothing in common. Every third source is another photograph, recoloured likewise. For a reference, one half of a
person is recoloured and cut out, and the other half is in the light of the scene. The same is made from photographs
that fit, without recolouring.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import contours
import numpy as np
from contour_scores import PHOTOGRAPHS, TRIPLES, cell, change, gain, opened
from contours import Case, Picture, core_of, hard, moved, nearest_fill, region_of
from records import commands_of
from tables import bootstrap, numbered, rows_of, write_json

import pyharmony
from pyharmony.errors import PyHarmonyWarning
from pyharmony.harmonization import ColorMap

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "harmonization_hints.json"
PAGE = ROOT / "docs" / "harmonize.md"
START_MARK, END_MARK = "<!-- hints: written by benchmarks/hints.py -->", "<!-- end of hints -->"

#: The width of the rim around a cut-out that is replaced by the background, in pixels of the view.
RIM_WIDTH = 3
#: Every n-th source is another photograph.
MIXED = 3
#: The ridge of the map that recolours the whole photograph as its object is.
RIDGE = 1e-3
#: The smallest share of a person on either side.
PART = 0.15


class Known(NamedTuple):
    """A case with additional arguments of `pyharmony.harmonize`."""

    case: Case
    arguments: Mapping[str, Picture]


def recolouring(composite: Picture, target: Picture, mask: Picture) -> ColorMap:
    """Returns the affine map fitted to the change of an object."""
    inside = core_of(mask)
    before, after = (image[inside].astype(np.float64) / 255 for image in (target, composite))
    features = np.concatenate([before, np.ones((len(before), 1))], 1)
    normal = features.T @ features + RIDGE * len(before) * np.eye(4)
    return ColorMap(affine=np.eye(3, 4) + np.linalg.solve(normal, features.T @ (after - before)).T)


def cut_out(composite: Picture, ground: Picture, mask: Picture, target: Picture) -> Case:
    """Returns a clean cut-out of composite on a background."""
    inner = moved(region_of(mask), -contours.CUT_DEPTH)
    return Case(np.where(inner[..., None], composite, ground), hard(inner), target, core_of(mask))


def with_source(sample: Mapping[str, Picture], other: Mapping[str, Picture], number: int) -> Known:
    """Returns a cut-out on one half of its photograph, whose source is the other half, or another photograph."""
    composite, target, mask = (sample[role] for role in ("composite", "target", "mask"))
    hole = moved(region_of(mask), RIM_WIDTH)
    behind, half = nearest_fill(target, hole), mask.shape[1] // 2
    if number % 2:
        behind = behind[:, ::-1]
    ground = np.concatenate([behind[:, :half], behind[:, :half][:, ::-1], behind[:, :1]], 1)[:, : mask.shape[1]]
    light = recolouring(composite, target, mask)
    if number % MIXED == 0:
        photograph, where = other["target"], other["mask"]
    else:
        photograph, where = (x[:, half:] if number % 2 == 0 else x[:, :half] for x in (target, hard(hole)))
    return Known(
        cut_out(composite, ground, mask, target),
        {"source": light.apply(np.ascontiguousarray(photograph)), "source_mask": np.ascontiguousarray(where)},
    )


def with_reference(sample: Mapping[str, Picture], number: int) -> Known | None:
    """Returns a cut-out of one half of an object, lit like the other half; None if either is too small."""
    composite, target, mask = (sample[role] for role in ("composite", "target", "mask"))
    region, axis = region_of(mask), number % 2
    places = np.argwhere(region)[:, axis]
    line = int(np.median(places))
    side = np.arange(mask.shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1)) < line
    part, rest = region & side, moved(region & ~side, -RIM_WIDTH)
    if not contours.can_be_judged(hard(part)) or rest.sum() < PART * region.sum():
        return None
    ground = nearest_fill(target, moved(part, RIM_WIDTH))
    return Known(cut_out(composite, ground, hard(part), target), {"reference_mask": hard(rest)})


def known(samples: Any, hint: str, persons: list[bool]) -> Iterator[tuple[int, Known]]:
    """Yields the cases of a set for a hint, with the number of the sample."""
    count = len(samples)
    for i, sample in enumerate(samples):
        if hint == "source":
            yield i, with_source(sample, samples[(i + 1) % count], i)
        elif persons[i] and (pair := with_reference(sample, i)) is not None:
            yield i, pair


def measure(root: Path, path: Path, split: str, side: int | None) -> dict[str, Any]:
    """Measures every case without hints and with them, and writes the figures."""
    report: dict[str, Any] = {}
    sets = {name: opened(root, name, split, side) for name in (TRIPLES, PHOTOGRAPHS)}
    groups = iter(numbered([group for samples in sets.values() for group in samples.groups]))
    numbers = {name: [next(groups) for _ in samples.groups] for name, samples in sets.items()}
    for name, samples in sets.items():
        figure = gain if name == TRIPLES else change
        for hint in ("source", "reference"):
            start = time.monotonic()
            rows: dict[str, list[float]] = {"without": [], "with": [], "group": []}
            for i, (case, arguments) in known(samples.samples, hint, list(samples.persons)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", PyHarmonyWarning)
                    for key, extra in (("without", {}), ("with", arguments)):
                        result = pyharmony.harmonize(case.image, case.mask, **extra)
                        rows[key].append(round(figure(result, case), 3))
                rows["group"].append(numbers[name][i])
            report.setdefault(name, {})[hint] = rows
            print(f"{split}, {name}, {hint}: {len(rows['with'])} cases, {time.monotonic() - start:.0f} s", flush=True)
    write_json(path, report)
    return report


def table(report: Mapping[str, Any]) -> str:
    """Returns the table of the results of `measure`."""
    lines = [["", "without, dB", "with, dB", "difference", "worse than the composite", "what fits, without", "with"]]
    for hint, title in (("source", "`source=`, clean cut-outs"), ("reference", "`reference_mask=`, parts of people")):
        rows, fits = report[TRIPLES][hint], report[PHOTOGRAPHS][hint]
        before, after = (np.array(rows[key]) for key in ("without", "with"))
        cells = [bootstrap(x, rows["group"]) for x in (before, after, after - before)]
        worse = f"{100 * (after < 0).mean():.0f} %"
        changes = [f"{np.mean(fits[key]):.1f}" for key in ("without", "with")]
        lines.append([f"{title}, {len(after)}", *(cell(x, 2, "+") for x in cells), worse, *changes])
    return rows_of(lines)


def main() -> None:
    parser, commands = commands_of(__doc__)
    command = commands.add_parser("run")
    command.add_argument("data", type=Path)
    command.add_argument("--split", default="test")
    command.add_argument("--side", type=int, help="images are resized to squares of so many pixels")
    command.add_argument("--out", type=Path, default=RESULTS)
    commands.add_parser("report")
    options = parser.parse_args()
    if options.command == "run":
        print(table(measure(options.data, options.out, options.split, options.side)))
        return
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(START_MARK)
    _, _, after = rest.partition(END_MARK)
    PAGE.write_text(f"{before}{START_MARK}\n{table(json.loads(RESULTS.read_text()))}\n{END_MARK}{after}", "utf-8")


if __name__ == "__main__":
    main()
