"""How likely a composite is usable: the table, its reasons, and what calls do with them."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest

import pyharmony
from pyharmony import _verdict as shipped
from pyharmony._verdict import COMPOSED, LEAST_USABLE, SURELY_USABLE, told, verdict_of
from pyharmony.composition import _compose
from pyharmony.errors import PyHarmonyWarning, Reason
from pyharmony.segmentation.surroundings import surroundings_of

from ..shared import ROOT, load_script

pytestmark = pytest.mark.chains

USUAL = {name: weight.mean for name, weight in COMPOSED.weights.items()}
PLACE_CODES = {"no-body", "stands-free", "in-the-open", "on-water", "in-the-sky"}
DOUBT = Reason("vague-outline", "parts are a guess", hint="click them too")


def benchmark(name: str) -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return load_script(f"benchmarks/{name}.py")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def verdict() -> Any:
    return benchmark("verdict")


@pytest.fixture
def photos() -> tuple[np.ndarray, np.ndarray]:
    subject = np.full((60, 80, 3), 40, np.uint8)
    subject[15:45, 25:55] = (220, 120, 40)
    return subject, np.random.default_rng(1).integers(100, 140, (120, 160, 3), np.uint8)


def judged(monkeypatch: pytest.MonkeyPatch, *likelihoods: float) -> None:
    answers = iter(likelihoods)
    monkeypatch.setattr(_compose, "verdict_of", lambda *_: (next(answers), (DOUBT,)))


@pytest.mark.parametrize(
    ("name", "area", "error"), [("COMPOSED", 0.8, 0.1), ("PLACED", 0.74, 0.13), ("CUT_OUT", 0.64, 0.1)]
)
def test_the_tables_are_those_of_the_command(verdict: Any, name: str, area: float, error: float) -> None:
    question = verdict.QUESTIONS[name]
    table, figures = verdict.fit(*question.arrays("fit"), question.facts)
    assert table == getattr(shipped, name) and figures["area under the curve"] > area
    quarters = figures["expected and measured"][: verdict.PARTS]
    assert all(abs(expected - measured) < error for expected, measured in quarters)
    refused, usable = figures["refused, and usable"]
    assert refused < 10 or usable <= 0.25 * refused


def test_the_table_of_merges_is_that_of_the_command() -> None:
    merging = benchmark("merging")
    table, figures = merging.fit()
    assert table == shipped.MERGED and len(merging.RECORD.read()["judged"]["rows"]) >= 60
    assert figures["area under the curve"] > 0.8
    assert all(abs(expected - measured) < 0.1 for expected, measured in figures["expected and measured"])


def test_grades_are_of_other_photographs_in_each_part(verdict: Any) -> None:
    fit, test = (
        {pair[name] for pair in verdict.graded(part) for name in ("subject", "background")} for part in ("fit", "test")
    )
    assert not fit & test
    words = {pair["word"] for part in ("fit", "test") for pair in verdict.graded(part)}
    assert words == {"good", "acceptable", "fault"}
    assert all(bool(pair["kind"]) == (pair["word"] == "fault") for pair in verdict.graded("fit"))


def test_the_likelihood_is_that_of_the_benchmark(verdict: Any) -> None:
    for name, question in verdict.QUESTIONS.items():
        facts, _, _ = question.arrays("test")
        expected = verdict.likelihoods(facts, getattr(shipped, name))
        likely = [verdict_of(dict(zip(question.facts, row, strict=True)))[0] for row in facts]
        assert likely == pytest.approx(expected.tolist())


def test_nothing_is_said_of_what_the_caller_decided() -> None:
    assert verdict_of({"posed": 1.0}) == (None, ())
    usual, doubts = verdict_of(USUAL)
    assert usual == pytest.approx(1 / (1 + math.exp(-COMPOSED.bias))) and not doubts
    # A fact that is not known counts as usual.
    assert verdict_of({name: mean for name, mean in USUAL.items() if name != "posed"}) == (usual, ())


@pytest.mark.parametrize("values", list(itertools.product((0.0, 1.0), repeat=2)))
def test_the_weightiest_reason_comes_first(values: tuple[float, float]) -> None:
    facts = {**USUAL, "certainty": 0.6, "posed": values[0], "doubted": values[1]}
    usable, doubts = verdict_of(facts)
    assert usable is not None and 0 < usable < 0.1
    assert doubts[0].code == "vague-outline" and len(doubts) <= 3
    assert ("no-body" in [one.code for one in doubts]) == (values[0] == 0)
    assert ("doubtful-place" in [one.code for one in doubts]) == (values[1] == 1)
    assert all(one.text and one.hint for one in doubts)
    on_water = Reason("on-water", "the object would stand on water")
    _, named = verdict_of(facts, on_water)
    assert [one for one in named if one not in doubts] == [f"{on_water}; pass a position and a scale"] * int(values[1])


def test_a_covered_face_speaks_twice_as_loud_as_another_broken_rule() -> None:
    for table in (shipped.COMPOSED, shipped.PLACED):
        odds = []
        for code in ("", "edge-seen", "face-covered"):
            usable, _ = verdict_of(shipped.place_facts(Reason(code, code), (), 0, (0, 0)), table=table)
            assert usable is not None
            odds.append(math.log(usable / (1 - usable)))
        weight = table.weights["doubted"].weight
        assert np.diff(odds).tolist() == pytest.approx([weight, weight])


def test_a_mask_without_a_pixel_inside_is_not_certain() -> None:
    assert shipped.certainty_of(np.zeros((8, 8), np.float32)) == 0
    assert shipped.certainty_of(np.ones((8, 8), np.float32)) == shipped._MAX_CERTAINTY
    assert shipped.certainty_of(np.full((8, 8), 0.75, np.float32)) == pytest.approx(0.5)


def test_the_verdict_in_words() -> None:
    assert not told(None, [DOUBT]) and not told(SURELY_USABLE, [DOUBT])
    assert told(LEAST_USABLE, []).code == "doubtful"
    refusal = told(math.nextafter(LEAST_USABLE, 0), [DOUBT, DOUBT])
    assert refusal.code == "not-usable" and refusal.count("parts are a guess") == 1
    assert refusal.endswith(f"; try: {DOUBT.hint}")
    _, doubts = verdict_of({**USUAL, "posed": -1.0, "cropped_below": -2.0})
    faults = "the point where it meets the ground is a guess, and no person's body was recognised in the cut-out"
    remedies = "click the face of a person too, or pass a position and a scale"  # the other hint is a part of it
    assert told(0.2, doubts) == f"the composite is 20 % likely to be usable: {faults}; try: {remedies}"


def test_compose_tells_how_likely_it_is_usable(photos: Any) -> None:
    options: dict[str, Any] = {"harmonize": None, "shadow": False, "return_info": True}
    _, info = pyharmony.compose(*photos, points=(40, 30), **options)
    one = info.subjects[0]
    assert one.usable is not None and 0 < one.usable < 1 and info.usable == one.usable
    _, info = pyharmony.compose(*photos, recipe=info.recipe, return_info=True)
    assert info.usable is None and not info.verdict
    mask = np.zeros((60, 80), np.uint8)
    mask[15:45, 25:55] = 255
    _, info = pyharmony.compose(*photos, masks=mask, at=(20, 20), **options)
    assert info.usable is None and not info.verdict and not info.subjects[0].doubts


@pytest.mark.filterwarnings("ignore:the composite is")
def test_what_the_caller_decided_counts_as_right(photos: Any) -> None:
    options: dict[str, Any] = {"harmonize": None, "shadow": False, "return_info": True}
    mask = np.zeros((60, 80), np.uint8)
    mask[15:45, 25:55] = 255
    _, info = pyharmony.compose(*photos, masks=mask, **options)
    (one,) = info.subjects
    assert one.usable is not None and {doubt.code for doubt in one.doubts} <= PLACE_CODES
    _, placed = pyharmony.compose(*photos, points=(40, 30), at=(20, 20), **options)
    assert placed.usable is not None
    assert {doubt.code for doubt in placed.subjects[0].doubts} <= {"vague-outline", "several-meant", "no-body"}


def test_places_tell_how_likely_they_are_usable(photos: Any) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[15:45, 25:55] = 255
    every = pyharmony.place(*photos, mask=mask, people=[], k=2)
    (x, y, wide, high), (height, width) = every[0].box, photos[1].shape[:2]
    below = surroundings_of(photos[1]).water_and_sky_at((x + wide / 2) / width, (y + high) / height)
    facts = {"posed": 0.0, **shipped.place_facts(every[0].reason, (), 0, below)}
    assert (every[0].usable, every[0].doubts) == verdict_of(facts, every[0].reason) and every[0].doubts
    # How sure the mask is counts if it is known, and whether there is a pose does not if it is not.
    masks = pyharmony.segment(photos[0], points=(40, 30))
    (segmented,) = pyharmony.place(*photos, mask=masks, people=[], person=False, k=1)
    (drawn,) = pyharmony.place(*photos, mask=masks.mask, people=[], person=False, k=1)
    assert segmented.box == drawn.box and None is not segmented.usable != drawn.usable
    person = {"mask": mask, "people": [], "person": True, "head": (35, 15, 10, 8), "cropped_sides": ()}
    assert "no-body" not in [doubt.code for doubt in pyharmony.place(*photos, **person)[0].doubts]


def test_a_composite_that_is_probably_not_usable_warns(photos: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"points": (40, 30), "at": (20, 20), "harmonize": None, "return_info": True}
    judged(monkeypatch, 0.2)
    with pytest.warns(PyHarmonyWarning, match="20 % likely to be usable: parts are a guess; try: click them") as told_:
        result, _ = pyharmony.compose(*photos, **options)
    assert [one.message.code for one in told_] == ["not-usable"] and result.shape == photos[1].shape
    judged(monkeypatch, 0.5)
    assert pyharmony.compose(*photos, **options)[1].verdict.code == "doubtful"
    judged(monkeypatch, 0.9, 0.5)
    pair = [pyharmony.composition.Subject(photos[0], points=(40, 30), at=(x, 20)) for x in (10, 80)]
    _, info = pyharmony.compose(pair, photos[1], harmonize=None, return_info=True)
    assert info.usable == pytest.approx(0.45)
