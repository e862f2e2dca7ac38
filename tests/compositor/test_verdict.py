"""How likely a composite is usable: the table, its reasons, and what calls do with them."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony.composition import _compose
from pyharmony.composition import verdict as shipped
from pyharmony.composition.verdict import LEAST_USABLE, SURELY_USABLE, WEIGHTS, Facts, told, verdict_of
from pyharmony.errors import PyHarmonyWarning, Reason
from pyharmony.segmentation.layers import Layer

from ..shared import ROOT, load_script

pytestmark = pytest.mark.chains

USUAL = Facts(*(weight.mean for weight in WEIGHTS.values()))
DOUBT = Reason("vague-outline", "parts are a guess", hint="click them too")


@pytest.fixture(scope="module")
def verdict() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return load_script("benchmarks/verdict.py")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def photos() -> tuple[np.ndarray, np.ndarray]:
    subject = np.full((60, 80, 3), 40, np.uint8)
    subject[15:45, 25:55] = (220, 120, 40)
    return subject, np.random.default_rng(1).integers(100, 140, (120, 160, 3), np.uint8)


def judged(monkeypatch: pytest.MonkeyPatch, *likelihoods: float) -> None:
    answers = iter(likelihoods)
    monkeypatch.setattr(_compose, "verdict_of", lambda facts: (next(answers), (DOUBT,)))


def test_the_table_is_that_of_the_command(verdict: Any) -> None:
    bias, weights, figures = verdict.fit()
    assert (bias, weights) == (shipped.BIAS, WEIGHTS) and list(WEIGHTS) == list(Facts._fields)
    assert figures["area under the curve"] > 0.79
    assert all(abs(expected - measured) < 0.1 for expected, measured in figures["expected and measured"])
    refused, usable = figures["refused, and usable"]
    assert usable <= 0.2 * refused


def test_grades_are_of_other_photographs_in_each_part(verdict: Any) -> None:
    fit, test = (
        {pair[name] for pair in verdict.graded(part) for name in ("subject", "background")} for part in ("fit", "test")
    )
    assert not fit & test
    words = {pair["word"] for part in ("fit", "test") for pair in verdict.graded(part)}
    assert words == {"good", "acceptable", "fault"}
    assert all(bool(pair["kind"]) == (pair["word"] == "fault") for pair in verdict.graded("fit"))


def test_the_likelihood_is_that_of_the_benchmark(verdict: Any) -> None:
    facts, _, _ = verdict.arrays_of("test")
    expected = verdict.likelihoods(facts, shipped.BIAS, WEIGHTS)
    assert [verdict_of(Facts(*row))[0] for row in facts] == pytest.approx(expected.tolist())


def test_nothing_is_said_of_what_the_caller_decided() -> None:
    assert verdict_of(None) == (None, ())
    usual, doubts = verdict_of(USUAL)
    assert usual == pytest.approx(1 / (1 + math.exp(-shipped.BIAS))) and not doubts


@pytest.mark.parametrize("values", list(itertools.product((0.0, 1.0), repeat=2)))
def test_the_weightiest_reason_comes_first(values: tuple[float, float]) -> None:
    facts = USUAL._replace(certainty=0.6, posed=values[0], doubted=values[1])
    usable, doubts = verdict_of(facts)
    assert usable is not None and 0 < usable < 0.1
    assert doubts[0].code == "vague-outline" and len(doubts) <= 3
    assert ("no-body" in [one.code for one in doubts]) == (values[0] == 0)
    assert ("doubtful-place" in [one.code for one in doubts]) == (values[1] == 1)
    assert all(one.text and one.hint for one in doubts)


def test_a_mask_without_a_pixel_inside_is_not_certain() -> None:
    box = (0, 0, 8, 8)
    assert shipped.certainty_of(Layer(box, np.zeros((8, 8), np.float32), 1.0)) == 0
    assert shipped.certainty_of(Layer(box, np.ones((8, 8), np.float32), 1.0)) == shipped._MAX_CERTAINTY
    assert shipped.certainty_of(Layer(box, np.full((8, 8), 0.75, np.float32), 1.0)) == pytest.approx(0.5)


def test_the_verdict_in_words() -> None:
    assert not told(None, [DOUBT]) and not told(SURELY_USABLE, [DOUBT])
    assert told(LEAST_USABLE, []).code == "doubtful"
    refusal = told(math.nextafter(LEAST_USABLE, 0), [DOUBT, DOUBT])
    assert refusal.code == "not-usable" and refusal.count("parts are a guess") == 1 and refusal.endswith(DOUBT.hint)


def test_compose_tells_how_likely_it_is_usable(photos: Any) -> None:
    options: dict[str, Any] = {"harmonize": None, "shadow": False, "return_info": True}
    _, info = pyharmony.compose(*photos, points=(40, 30), **options)
    one = info.subjects[0]
    assert one.usable is not None and 0 < one.usable < 1 and info.usable == one.usable
    _, info = pyharmony.compose(*photos, recipe=info.recipe, return_info=True)
    assert info.usable is None and not info.verdict
    mask = np.zeros((60, 80), np.uint8)
    mask[15:45, 25:55] = 255
    for passed in ({"masks": mask}, {"points": (40, 30), "at": (20, 20)}):
        _, info = pyharmony.compose(*photos, **passed, **options)
        assert info.usable is None and not info.verdict and not info.subjects[0].doubts


def test_a_composite_that_is_probably_not_usable_warns(photos: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"points": (40, 30), "at": (20, 20), "harmonize": None, "return_info": True}
    judged(monkeypatch, 0.2)
    with pytest.warns(PyHarmonyWarning, match="20 % likely to be usable: parts are a guess; click them too") as told_:
        result, _ = pyharmony.compose(*photos, **options)
    assert [one.message.code for one in told_] == ["not-usable"] and result.shape == photos[1].shape
    judged(monkeypatch, 0.5)
    assert pyharmony.compose(*photos, **options)[1].verdict.code == "doubtful"
    judged(monkeypatch, 0.9, 0.5)
    pair = [pyharmony.composition.Subject(photos[0], points=(40, 30), at=(x, 20)) for x in (10, 80)]
    _, info = pyharmony.compose(pair, photos[1], harmonize=None, return_info=True)
    assert info.usable == pytest.approx(0.45)
