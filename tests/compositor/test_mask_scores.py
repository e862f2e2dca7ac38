"""`pyharmony.segmentation.scores`: what a mask is expected to cover, and `benchmarks/mask_scores.py`, which fits it."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

from pyharmony import segmentation
from pyharmony.segmentation import METHODS
from pyharmony.segmentation._network import NetworkCutter, Prompts
from pyharmony.segmentation.layers import Layer
from pyharmony.segmentation.scores import Facts, Weights, expected, facts_of, surely_best_first

from ..shared import ROOT, load_script

pytestmark = [pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

HEIGHT, WIDTH = 120, 160


@pytest.fixture(scope="module")
def script() -> Any:
    pytest.importorskip("scipy", reason="SciPy is not installed")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return load_script("benchmarks/mask_scores.py")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def rectangle(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    region = np.zeros((HEIGHT, WIDTH), bool)
    region[top:bottom, left:right] = True
    return region


def layer(region: np.ndarray, score: float = 0.8, sure: float = 1.0) -> Layer:
    return Layer((0, 0, WIDTH, HEIGHT), np.where(region, np.float32(sure), np.float32(0)), score)


def picture(region: np.ndarray, levels: int = 100) -> np.ndarray:
    return np.repeat(np.where(region, np.uint8(50 + levels), np.uint8(50))[..., None], 3, 2)


OBJECT = rectangle(40, 30, 100, 90)


def test_facts_are_what_is_to_be_seen_of_a_mask() -> None:
    half, click = rectangle(40, 30, 70, 90), Prompts([(69.0, 59.0)], [1])
    first = facts_of(picture(OBJECT), [layer(OBJECT, 0.8, 0.9), layer(half)], 0, click)
    assert first.network == pytest.approx(math.log(4)) and first.agreement == pytest.approx(0.5, abs=0.02)
    assert first.sureness == pytest.approx(0.9) and first.middle == 1 and first.clicks == 0
    # Three channels differ by 100 levels each.
    assert math.exp(first.contrast) == pytest.approx(100 * 3**0.5, rel=0.1)
    alone = facts_of(picture(OBJECT, 0), [layer(OBJECT, 1.0)], 0, click)
    assert alone.agreement == 1 and alone.contrast == pytest.approx(math.log(2)) and 3 < alone.network < 5


def test_clicks_near_the_contour_are_not_in_the_middle() -> None:
    def middle(*points: tuple[float, float], labels: list[int] | None = None) -> float:
        prompts = Prompts(points, labels or [1] * len(points))
        return facts_of(picture(OBJECT), [layer(OBJECT)], 0, prompts).middle

    # From half of the greatest depth on a click is in the middle.
    assert middle((69, 59)) == middle((56, 59)) == 1
    assert 0 < middle((42, 59)) < 0.25 and middle((10, 10)) == 0 and middle((0, 0)) == 0
    assert middle((10, 10), (69, 59)) == 1
    # Clicks beside the object do not count, and of several the one that is farthest in the middle.
    assert middle((69, 59), (10, 10), labels=[1, 0]) == 1 and middle() == 1
    assert facts_of(picture(OBJECT), [layer(OBJECT)], 0, Prompts([(69, 59)] * 3, [1] * 3)).clicks == math.log(3)


def test_no_fact_lowers_what_is_expected() -> None:
    for method in METHODS.values():
        if method.scored is not None:
            assert min(method.scored.facts) >= 0 and max(method.scored.facts) > 0
    weights = Weights(-1.0, Facts(1, 0.5, 0.5, 0.5, 0.1, 0.2))
    facts = Facts(0.5, 0.5, 0.8, 0.5, 3.0, 0.0)
    assert 0 < expected(facts, weights) < 1
    for name in Facts._fields:
        assert expected(facts._replace(**{name: getattr(facts, name) + 0.1}), weights) > expected(facts, weights)
    assert expected(facts, Weights(0.0, Facts(1, 0, 0, 0, 0, 0))) == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_a_session_gives_the_expected_share_and_sorts_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # The network prefers a mask that it is not sure of, at whose rim the click is.
    wrong, small = rectangle(60, 0, 160, 120), rectangle(44, 34, 96, 86)
    layers = [layer(wrong, 0.85, 0.6), layer(OBJECT, 0.8), layer(small, 0.75)]
    monkeypatch.setattr(NetworkCutter, "cut", lambda self, prompts, last=None: layers)
    monkeypatch.setattr(NetworkCutter, "people", lambda self: np.zeros((8, 8), np.float32))
    photo, prompts = picture(OBJECT), Prompts([(66, 60)], [1])
    own = segmentation.segment(photo, points=(66, 60), method="clicks")
    assert own.scores == (0.85, 0.8, 0.75) and own.areas[0] == wrong.sum()
    for method in ("clicks-imagenet", "clicks-imagenet-alone"):
        masks = segmentation.segment(photo, points=(66, 60), method=method)
        weights = METHODS[method].scored
        assert weights is not None and masks.areas[-1] == wrong.sum()
        assert masks.scores[-1] == expected(facts_of(photo, layers, 0, prompts), weights)
        assert list(masks.scores) == sorted(masks.scores, reverse=True)


def test_after_a_correction_a_mask_comes_first_that_is_surely_better() -> None:
    first, other = layer(OBJECT, 0.6), layer(rectangle(40, 30, 120, 90), 0.65)
    prompts = Prompts([(50, 60), (95, 60)], [1, 1])
    assert surely_best_first([], prompts) == []
    assert surely_best_first([first, other], prompts) == [first, other]
    better = other._replace(score=0.7)
    assert surely_best_first([first, better], prompts) == [better, first]
    # Not where it does not explain what the first one explains, but where neither of them does.
    beside = prompts._replace(points=[*prompts.points, (110, 60)], labels=[1, 1, 0])
    assert surely_best_first([first, better], beside) == [first, better]
    neither = prompts._replace(points=[*prompts.points, (150, 60)], labels=[1, 1, 1])
    assert surely_best_first([first, better], neither) == [better, first]


def test_a_mask_of_another_object_comes_first_if_it_explains_all_clicks_better() -> None:
    before, corrected = layer(OBJECT, 0.6), layer(OBJECT, 0.6)
    other = layer(rectangle(90, 30, 150, 90), 0.64)
    prompts = Prompts([(100, 60), (140, 60)], [1, 1], since=1)
    assert surely_best_first([corrected], prompts, [other], before) == [other, corrected]
    assert surely_best_first([corrected], prompts, [other._replace(score=0.62)], before) == [corrected]
    assert surely_best_first([corrected], prompts, [before._replace(score=0.9)], before) == [corrected]
    against = prompts._replace(labels=[1, 0])
    assert surely_best_first([corrected], against, [other], before) == [corrected]
    third = Prompts([*prompts.points, (145, 60)], [1, 1, 1], since=2)
    assert surely_best_first([corrected], third, [other], before) == [corrected]
    assert surely_best_first([corrected], third, [other._replace(score=0.75)], before)[0].score == 0.75


def test_a_first_correction_may_turn_to_another_object_but_not_from_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = picture(OBJECT)
    part, whole = layer(rectangle(60, 40, 80, 60), 0.9), layer(OBJECT, 0.5)

    def cut(self: NetworkCutter, prompts: Prompts, last: Any = None) -> list[Any]:
        return [part, whole] if last is None and prompts.one_click else [whole] if last is None else [last]

    def rated(self: Any, weights: Any, layers: Any, prompts: Prompts) -> Any:
        return [one._replace(score=0.9 if one.values is (part if prompts.one_click else whole).values else 0.4)
                for one in layers]  # fmt: skip

    monkeypatch.setattr(NetworkCutter, "cut", cut)
    monkeypatch.setattr(NetworkCutter, "people", lambda self: np.zeros((8, 8), np.float32))
    monkeypatch.setattr(segmentation.Session, "_rated", rated)
    session = segmentation.Session(photo)
    assert session.click(70, 50).areas[0] < OBJECT.sum() / 2
    assert session.click(95, 70).areas[0] == OBJECT.sum()
    session.undo()
    session.choose(0)
    assert session.click(95, 70).areas[0] < OBJECT.sum() / 2


def test_the_fit_tells_facts_that_count(script: Any) -> None:
    random = np.random.default_rng(0)
    facts = random.normal(0, 1, (4000, 6))
    likeness = 1 / (1 + np.exp(0.5 - facts @ [1, 0.5, 0, -0.7, 0, 0]))
    weights = script.fitted(facts, likeness, np.ones(4000))
    # The ridge makes all of them smaller alike.
    assert 0.7 < weights.facts.network < 1
    assert weights.facts.agreement / weights.facts.network == pytest.approx(0.5, abs=0.1)
    # What lowers the IoU here does not count.
    assert weights.facts.middle == 0 and weights.bias == pytest.approx(-0.5, abs=0.1)
    scores = script.told(facts, weights)
    parts = np.array_split(np.argsort(scores), 5)
    assert max(abs(scores[part].mean() - likeness[part].mean()) for part in parts) < 0.1
