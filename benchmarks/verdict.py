"""The verdict on composites, fitted to graded ones: `composition.py fit` and `composition.py facts`.

`tools/annotations/grades.json` has pairs of the open data that were composed with one click, or with a mask of the
data, and all other defaults, and graded by looking without scores and warnings: good, acceptable, or a fault and its
first kind. The pairs of `test` have other subjects and backgrounds than those of `fit`. Beside each grade are the facts
about the composite, null where they are not known.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import numpy.typing as npt
from pairs import pixels_of
from PIL import Image

from pyharmony import _verdict, compose
from pyharmony._verdict import COMPOSED, LEAST_USABLE, SURELY_USABLE, Table, Weight, verdict_of

GRADES = Path(__file__).resolve().parent.parent / "tools" / "annotations" / "grades.json"
#: The candidates for the weight of the ridge, the folds and rounds of the cross-validation, and the Newton steps.
RIDGES, FOLDS, ROUNDS, STEPS = (1.0, 2.0, 4.0, 8.0, 16.0), 6, 8, 30
#: The decimals of the weights, and the number of parts of the calibration.
DECIMALS, PARTS = 3, 4
#: What makes a preview with the same decisions, which is quicker.
UNMATCHED: dict[str, Any] = {"harmonize": None, "upscale": None, "sharpness": 0, "grain": 0, "side": 256}

#: The facts in the order of the file.
FACTS = tuple(COMPOSED.weights)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Question(NamedTuple):
    """A table of the verdict: its facts, the kinds of faults of pairs that do not count, and those that are no fault.

    Of several faults the file has the kind that is seen first. A composite with a bad cut-out does not show whether
    its place would be good; one at a bad place shows that its cut-out is not bad.
    """

    facts: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    no_fault: tuple[str, ...] = ()

    def arrays(self, part: str) -> tuple[Floats, Bools, list[str]]:
        """Returns the facts [N, F], whether each composite is usable, and the photographs of the subjects."""
        columns = [FACTS.index(name) for name in self.facts]
        pairs = [
            pair for pair in graded(part)
            if pair["kind"] not in self.left_out and None not in [pair["facts"][i] for i in columns]
        ]  # fmt: skip
        words = np.array([pair["word"] != "fault" or pair["kind"] in self.no_fault for pair in pairs])
        facts = np.array([[pair["facts"][i] for i in columns] for pair in pairs], np.float64)
        return facts, words, [pair["subject"] for pair in pairs]


#: The question of each table of `pyharmony._verdict`.
QUESTIONS = {
    "COMPOSED": Question(FACTS),
    "PLACED": Question(FACTS[2:], left_out=("cut-out",)),
    "CUT_OUT": Question(FACTS[:3], no_fault=("place", "size", "depth")),
}


def graded(part: str) -> list[dict[str, Any]]:
    """Returns the graded pairs of a part, 'fit' or 'test'."""
    pairs: list[dict[str, Any]] = json.loads(GRADES.read_text("utf-8"))["pairs"]
    return [pair for pair in pairs if pair["part"] == part]


def facts_of(pair: dict[str, Any], data: Path) -> list[float | None]:
    """Returns the facts about the composite of a pair of photographs, by composing them; None for unknown ones."""
    photos = [pixels_of(data / pair[name]) for name in ("subject", "background")]
    prompt: dict[str, Any] = {"points": tuple(pair["click"])} if pair["click"] else {}
    if pair.get("mask"):
        with Image.open(data / pair["mask"]) as mask:
            prompt["masks"] = np.asarray(mask.convert("L").resize(photos[0].shape[1::-1]))
    judged = mock.patch("pyharmony.composition._compose.verdict_of", wraps=verdict_of)
    with warnings.catch_warnings(), judged as record:
        warnings.simplefilter("ignore")
        compose(photos[0], photos[1], **prompt, **UNMATCHED)
    facts = record.call_args.args[0]
    return [round(float(facts[name]), 4) if name in facts else None for name in FACTS]


def measure(data: Path) -> None:
    """Writes the facts about all graded pairs as the library has them now; grades of pictures that changed are old."""
    content = json.loads(GRADES.read_text("utf-8"))
    for pair in content["pairs"]:
        pair["facts"] = facts_of(pair, data)
    # A line for each pair, so that changes are seen.
    rows = ",\n".join(json.dumps(pair) for pair in content.pop("pairs"))
    GRADES.write_text(f'{json.dumps(content)[:-1]}, "pairs": [\n{rows}\n]}}\n', "utf-8")


def logistic(facts: Floats, is_usable: Bools, ridge: float) -> Floats:
    """Returns the weights of a logistic regression on standardised facts [N, F], and the bias at the end."""
    rows = np.c_[facts, np.ones(len(facts))]
    penalty = np.diag([ridge] * facts.shape[1] + [0.0])
    weights = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-rows @ weights))
        curvature = rows.T @ (rows * (likely * (1 - likely))[:, None]) + penalty
        weights += np.linalg.solve(curvature, rows.T @ (is_usable - likely) - penalty @ weights)
    return weights


def fitted(facts: Floats, is_usable: Bools, ridge: float, names: Sequence[str]) -> Table:
    """Returns the weight of each fact and its mean in usable results, and the bias."""
    weights = logistic((facts - facts.mean(0)) / facts.std(0), is_usable, ridge)
    slopes, usual = weights[:-1] / facts.std(0), facts[is_usable].mean(0)
    bias = float(weights[-1] + slopes @ (usual - facts.mean(0)))
    rows = zip(names, slopes.round(DECIMALS), usual.round(DECIMALS), strict=True)
    return Table(round(bias, DECIMALS), {name: Weight(float(slope), float(mean)) for name, slope, mean in rows})


def likelihoods(facts: Floats, table: Table) -> Floats:
    """Returns the likelihood of each row of facts [N, F]."""
    changes = sum(one.weight * (facts[:, i] - one.mean) for i, one in enumerate(table.weights.values()))
    return np.asarray(1 / (1 + np.exp(-table.bias - changes)))


def cross_validated(facts: Floats, is_usable: Bools, groups: Sequence[object], ridge: float) -> Floats:
    """Returns the likelihoods [R, N] of each round by weights fitted to other groups, such as photographs."""
    numbers, names = np.unique(groups, return_inverse=True)[1], [str(i) for i in range(facts.shape[1])]
    rounds = np.zeros((ROUNDS, len(facts)))
    for number in range(ROUNDS):
        folds = np.random.default_rng(number).permutation(numbers.max() + 1)[numbers] % FOLDS
        for fold in range(FOLDS):
            here = folds == fold
            rounds[number, here] = likelihoods(facts[here], fitted(facts[~here], is_usable[~here], ridge, names))
    return rounds


def ranked(is_usable: Bools, likely: Floats) -> float:
    """Returns the area under the curve: how often a usable composite is likelier than another."""
    good, others = likely[is_usable], likely[~is_usable]
    return float(((good[:, None] > others) + 0.5 * (good[:, None] == others)).mean())


def figures(is_usable: Bools, likely: Floats) -> dict[str, Any]:
    """Returns the ranking, the calibration, and what is refused and delivered without a word.

    The calibration is by parts of equal size, and by what is refused, delivered with a word, and without.
    """
    refused, silent = likely < LEAST_USABLE, likely >= SURELY_USABLE
    parts = np.array_split(np.argsort(likely), PARTS)
    bands = [band for band in (refused, ~refused & ~silent, silent) if band.any()]
    return {
        "composites": len(likely),
        "usable": round(float(is_usable.mean()), 2),
        "area under the curve": round(ranked(is_usable, likely), 3),
        "expected and measured": [
            (round(float(likely[one].mean()), 2), round(float(is_usable[one].mean()), 2)) for one in [*parts, *bands]
        ],
        "refused, and usable": (int(refused.sum()), int(is_usable[refused].sum())),
        "without a word, and faulty": (int(silent.sum()), int((~is_usable)[silent].sum())),
        "all faulty": int((~is_usable).sum()),
    }


def fit(
    facts: Floats, is_usable: Bools, groups: Sequence[object], names: Sequence[str]
) -> tuple[Table, dict[str, Any]]:
    """Returns the table, and the figures of a cross-validation; the ridge is the likeliest in it."""

    def surprise(likely: Floats) -> float:
        return float(-np.log(np.where(is_usable, likely, 1 - likely)).mean())

    every = {ridge: cross_validated(facts, is_usable, groups, ridge) for ridge in RIDGES}
    ridge = min(every, key=lambda one: surprise(every[one]))
    return fitted(facts, is_usable, ridge, names), figures(is_usable, every[ridge].mean(0))


def report() -> dict[str, Any]:
    """Returns for each table the fitted one, the figures of its cross-validation and, shipped, of the test pairs."""
    lines = {}
    for name, question in QUESTIONS.items():
        table, validated = fit(*question.arrays("fit"), question.facts)
        facts, is_usable, _ = question.arrays("test")
        lines[f"{name}.bias"] = table.bias
        lines |= {f"{name}.{fact}": tuple(one) for fact, one in table.weights.items()}
        tested = figures(is_usable, likelihoods(facts, getattr(_verdict, name)))
        lines |= {f"{name}, cross-validated": validated, f"{name}, test": tested}
    return lines
