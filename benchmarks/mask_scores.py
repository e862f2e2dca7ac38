"""Compares the quality of masks with their scores, and fits the scores to the expected IoU.

    python benchmarks/mask_scores.py measure DATA                # answers to simulated clicks and boxes on val
    python benchmarks/mask_scores.py fit                         # the weights of facts, for segmentation/_methods.py
    python benchmarks/mask_scores.py report DATA --split test    # scores and measured IoU, by fifths of the scores

Clicks are those of `segmentation.py`: up to three, exact or with jitter, and a box. The weights are fitted on val again
when those of the network change: a logistic regression on the IoU of all masks, in which each result has equal weight
and no fact may lower the expectation. `fit` reports both that and weights that were fitted on other photographs.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photographs import MIN_MASK_SHARE, open_objects
from records import commands_of
from segmentation import click, iou, rough_box, shown
from tables import numbered, rows_of, write_json

from pyharmony import segmentation
from pyharmony.segmentation._methods import DEFAULT
from pyharmony.segmentation.layers import sampled
from pyharmony.segmentation.scores import Facts, Weights, expected, facts_of

RESULTS = Path("artifacts") / "mask_scores.json"
#: The number of clicks, and the kinds of prompts to report.
CLICKS = 3
KINDS = {"1 click": ("exact 1", "jittered 1"), "3 clicks": ("exact 3", "jittered 3"), "a box": ("box",)}
#: The ridge weight, the number of Newton steps, and of folds of a cross-validation.
RIDGE, STEPS, FOLDS = 0.02, 60, 8
#: The number of parts into which masks are sorted by their scores.
PARTS = 5

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


def measured(root: Path, split: str, method: segmentation.Method, limit: int) -> dict[str, list[Any]]:
    """Returns the photographs of the open objects of a split, and the results of simulated clicks and boxes."""
    every = open_objects(root, split)
    table: dict[str, list[Any]] = {"groups": [], "answers": []}
    for index in np.random.default_rng(0).permutation(len(every)):
        image, region = shown(every[index])
        if region.mean() >= MIN_MASK_SHARE:
            table["groups"].append(every[index].group)
            table["answers"].append(answers_of(image, region, method, int(index)))
        if len(table["answers"]) == limit:
            break
    return table


def answers_of(image: Any, region: npt.NDArray[np.bool_], method: Any, seed: int) -> list[dict[str, Any]]:
    """Returns for each simulated prompt its kind, and the facts, scores and IoU of its masks."""
    session = segmentation.Session(image, method=method)
    height, width = region.shape
    answers: list[dict[str, Any]] = []

    def keep(kind: str, masks: segmentation.Masks) -> None:
        prompts, layers, *_ = session._steps[-1]
        likeness = [iou(sampled(layer, (0, 0, width, height), (width, height)) > 0.5, region) for layer in layers]
        facts = [facts_of(session.picture, layers, i, prompts) for i in range(len(layers))]
        answers.append({"kind": kind, "facts": facts, "scores": masks.scores, "iou": [round(x, 4) for x in likeness]})

    for kind, random in (("exact", None), ("jittered", np.random.default_rng(seed))):
        mask = np.zeros_like(region)
        for number in range(CLICKS):
            where = click(region, mask, random)
            if where is None:
                break
            x, y, on = where
            masks = session.click(x, y, add=on) if number else session.segment(points=(x, y))
            keep(f"{kind} {number + 1}", masks)
            mask = masks.mask >= 128
    keep("box", session.segment(box=rough_box(region)))
    return answers


class Table:
    """The masks of a record: facts [N, F], scores, IoU, kinds, photographs, their weights, and which are first."""

    def __init__(self, record: dict[str, Any]) -> None:
        rows = [
            (*one, answer["kind"], group, 1 / len(answer["iou"]), i == 0)
            for group, answers in zip(numbered(record["groups"]), record["answers"], strict=True)
            for answer in answers
            for i, one in enumerate(zip(answer["facts"], answer["scores"], answer["iou"], strict=True))
        ]
        every = (np.array(x) for x in zip(*rows, strict=True))
        self.facts, self.scores, self.iou, self.kinds, self.groups, self.shares, self.first = every


def fitted(facts: Floats, likeness: Floats, shares: Floats) -> Weights:
    """Returns the weights of a logistic regression with a ridge, none of which is below 0 except the bias."""
    middle, spread = facts.mean(0), facts.std(0) + 1e-9
    x = np.column_stack([np.ones(len(facts)), (facts - middle) / spread])
    ridge = RIDGE * shares.sum() * np.r_[0.0, np.ones(facts.shape[1])]
    values, free = np.zeros(x.shape[1]), np.ones(x.shape[1], bool)
    for _ in range(STEPS):
        predicted = 1 / (1 + np.exp(-x @ values))
        slope = x.T @ (shares * (likeness - predicted)) - ridge * values
        curve = (x * (shares * predicted * (1 - predicted))[:, None]).T @ x + np.diag(ridge)
        values[free] += np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        below = free & (values < 0) & (np.arange(len(values)) > 0)
        values[below], free[below] = 0.0, False
    own = values[1:] / spread
    return Weights(float(values[0] - own @ middle), Facts(*(float(v) for v in own)))


def told(facts: Floats, weights: Weights) -> Floats:
    """Returns the scores of masks from their facts."""
    return np.array([expected(Facts(*one), weights) for one in facts])


def unseen(table: Table) -> Floats:
    """Returns the scores of masks by weights that were fitted on other photographs."""
    parts = np.random.default_rng(0).integers(0, FOLDS, table.groups.max() + 1)[table.groups]
    scores = np.zeros(len(table.iou))
    for part in range(FOLDS):
        own, others = parts == part, parts != part
        if own.any():
            scores[own] = told(table.facts[own], fitted(table.facts[others], table.iou[others], table.shares[others]))
    return scores


def by_fifths(table: Table, scores: Floats) -> list[list[str]]:
    """Returns a table of the mean score and the mean IoU of the first masks, in each fifth by their scores."""
    lines = [
        ["first masks, by fifths of their scores: expected, measured", *map(str, range(1, PARTS + 1)), "correlation"]
    ]
    for name, kinds in KINDS.items():
        selection = np.isin(table.kinds, kinds) & table.first
        mine, likeness = scores[selection], table.iou[selection]
        parts: list[Integers] = np.array_split(np.argsort(mine, kind="stable"), PARTS)
        cells = [f"{mine[part].mean():.2f}, {likeness[part].mean():.2f}" for part in parts]
        lines.append([f"{name}, {len(mine)} answers", *cells, f"{np.corrcoef(mine, likeness)[0, 1]:.2f}"])
    return lines


def main() -> None:
    parser, commands = commands_of(__doc__)
    measuring, fitting, reporting = (commands.add_parser(name) for name in ("measure", "fit", "report"))
    for command in (measuring, reporting):
        command.add_argument("data", type=Path)
        command.add_argument("--limit", type=int, default=0, help="so many objects, drawn by a seed; 0: all")
    reporting.add_argument("--split", default="val")
    for command in (measuring, fitting, reporting):
        command.add_argument("--method", default=DEFAULT)
    for command in (measuring, fitting):
        command.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    method = segmentation.METHODS[options.method]
    if options.command == "report":
        table = Table(measured(options.data, options.split, method, options.limit))
        print(rows_of(by_fifths(table, table.scores)))
        return
    whole = json.loads(options.out.read_text()) if options.out.is_file() else {}
    if options.command == "measure":
        # Facts are of the network's own scores.
        plain = dataclasses.replace(method, scored=None)
        write_json(options.out, {**whole, options.method: measured(options.data, "val", plain, options.limit)})
        return
    table = Table(whole[options.method])
    weights = fitted(table.facts, table.iou, table.shares)
    print(f"Weights({weights.bias:.2f}, Facts({', '.join(f'{v:.2f}' for v in weights.facts)}))")
    for name, scores in (("as fitted", told(table.facts, weights)), ("on others", unseen(table))):
        print(f"\n{name}\n{rows_of(by_fifths(table, scores))}")


if __name__ == "__main__":
    main()
