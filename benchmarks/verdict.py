"""The verdict on composites, fitted to graded ones: `composition.py fit` and `composition.py facts`.

`tools/annotations/grades.json` has pairs of the open data that were composed with one click and all other defaults, and
graded by looking without scores and warnings: good, acceptable, or a fault and its kind. The pairs of `test` have other
subjects and backgrounds than those of `fit`. Beside each grade are the facts about the composite.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from pairs import pixels_of

from pyharmony import compose
from pyharmony.composition.verdict import BIAS, LEAST_USABLE, SURELY_USABLE, WEIGHTS, Facts, Weight, verdict_of

GRADES = Path(__file__).resolve().parent.parent / "tools" / "annotations" / "grades.json"
#: The candidates for the weight of the ridge, the folds and rounds of the cross-validation, and the Newton steps.
RIDGES, FOLDS, ROUNDS, STEPS = (1.0, 2.0, 4.0, 8.0, 16.0), 6, 8, 30
#: The decimals of the weights, and the number of parts of the calibration.
DECIMALS, PARTS = 3, 4
#: What makes a preview with the same decisions, which is quicker.
UNMATCHED: dict[str, Any] = {"harmonize": None, "upscale": None, "sharpness": 0, "grain": 0, "side": 256}

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def graded(part: str) -> list[dict[str, Any]]:
    """Returns the graded pairs of a part, 'fit' or 'test'."""
    pairs: list[dict[str, Any]] = json.loads(GRADES.read_text("utf-8"))["pairs"]
    return [pair for pair in pairs if pair["part"] == part]


def facts_of(pair: dict[str, Any], data: Path) -> list[float]:
    """Returns the facts about the composite of a pair of photographs, by composing them."""
    photos = [pixels_of(data / pair[name]) for name in ("subject", "background")]
    judged = mock.patch("pyharmony.composition._compose.verdict_of", wraps=verdict_of)
    with warnings.catch_warnings(), judged as record:
        warnings.simplefilter("ignore")
        compose(photos[0], photos[1], points=tuple(pair["click"]), **UNMATCHED)
    return [round(float(value), 4) for value in record.call_args.args[0]]


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


def fitted(facts: Floats, is_usable: Bools, ridge: float) -> tuple[float, dict[str, Weight]]:
    """Returns the bias, and the weight of each fact and its mean in usable composites."""
    weights = logistic((facts - facts.mean(0)) / facts.std(0), is_usable, ridge)
    slopes, usual = weights[:-1] / facts.std(0), facts[is_usable].mean(0)
    bias = float(weights[-1] + slopes @ (usual - facts.mean(0)))
    pairs = zip(Facts._fields, slopes.round(DECIMALS), usual.round(DECIMALS), strict=True)
    return round(bias, DECIMALS), {name: Weight(float(slope), float(mean)) for name, slope, mean in pairs}


def likelihoods(facts: Floats, bias: float, weights: dict[str, Weight]) -> Floats:
    """Returns the likelihood of each row of facts [N, F]."""
    changes = sum(one.weight * (facts[:, i] - one.mean) for i, one in enumerate(weights.values()))
    return np.asarray(1 / (1 + np.exp(-bias - changes)))


def cross_validated(facts: Floats, is_usable: Bools, photos: Sequence[str], ridge: float) -> Floats:
    """Returns the likelihoods [R, N] of each round by weights fitted to other photographs of subjects."""
    numbers = np.unique(photos, return_inverse=True)[1]
    rounds = np.zeros((ROUNDS, len(facts)))
    for number in range(ROUNDS):
        folds = np.random.default_rng(number).permutation(numbers.max() + 1)[numbers] % FOLDS
        for fold in range(FOLDS):
            in_fold = folds == fold
            rounds[number, in_fold] = likelihoods(facts[in_fold], *fitted(facts[~in_fold], is_usable[~in_fold], ridge))
    return rounds


def ranked(is_usable: Bools, likely: Floats) -> float:
    """Returns the area under the curve: how often a usable composite is likelier than another."""
    good, others = likely[is_usable], likely[~is_usable]
    return float(((good[:, None] > others) + 0.5 * (good[:, None] == others)).mean())


def figures(is_usable: Bools, likely: Floats) -> dict[str, Any]:
    """Returns the ranking, the calibration by parts of equal size, and what is refused and delivered without a word."""
    refused, silent = likely < LEAST_USABLE, likely >= SURELY_USABLE
    parts = np.array_split(np.argsort(likely), PARTS)
    return {
        "composites": len(likely),
        "usable": round(float(is_usable.mean()), 2),
        "area under the curve": round(ranked(is_usable, likely), 3),
        "expected and measured": [
            (round(float(likely[one].mean()), 2), round(float(is_usable[one].mean()), 2)) for one in parts
        ],
        "refused, and usable": (int(refused.sum()), int(is_usable[refused].sum())),
        "without a word, and faulty": (int(silent.sum()), int((~is_usable)[silent].sum())),
        "all faulty": int((~is_usable).sum()),
    }


def arrays_of(part: str) -> tuple[Floats, Bools, list[str]]:
    """Returns the facts [N, F], whether each composite is usable, and the photographs of the subjects."""
    pairs = graded(part)
    words = np.array([pair["word"] != "fault" for pair in pairs])
    return np.array([pair["facts"] for pair in pairs]), words, [pair["subject"] for pair in pairs]


def fit() -> tuple[float, dict[str, Weight], dict[str, Any]]:
    """Returns the bias, the weights, and the figures of a cross-validation; the ridge is the likeliest in it."""
    facts, is_usable, photos = arrays_of("fit")

    def surprise(likely: Floats) -> float:
        return float(-np.log(np.where(is_usable, likely, 1 - likely)).mean())

    every = {ridge: cross_validated(facts, is_usable, photos, ridge) for ridge in RIDGES}
    ridge = min(every, key=lambda one: surprise(every[one]))
    return *fitted(facts, is_usable, ridge), figures(is_usable, every[ridge].mean(0))


def report() -> dict[str, Any]:
    """Returns the fitted table, and the figures of the cross-validation and, by the shipped one, of the test pairs."""
    bias, weights, validated = fit()
    facts, is_usable, _ = arrays_of("test")
    table = {name: tuple(one) for name, one in weights.items()}
    tested = figures(is_usable, likelihoods(facts, BIAS, WEIGHTS))
    return {"BIAS": bias, "WEIGHTS": table, "cross-validated": validated, "test": tested}
