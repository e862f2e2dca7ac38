"""PYHARMONY_OPEN_DATA=1 leaves out the networks that were not trained on photographs under open licences alone."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pyharmony
from pyharmony import _catalogue, _shipped, _verdict, segmentation
from pyharmony.cli._app import app
from pyharmony.errors import ArgumentError, PyHarmonyWarning, WeightsError
from pyharmony.segmentation.surroundings import UNKNOWN_THING, surroundings_of, thing_in

from ..shared import ROOT

pytestmark = pytest.mark.chains

PHOTOS = ROOT / "pyharmony" / "cli" / "images"
SUBJECT, SCENE, CLICK = PHOTOS / "cowgirl.jpg", PHOTOS / "colorado.jpg", (294, 271)
LEFT_OUT = ["clicks-imagenet", "pose", "scale"]
OPEN = ["clicks", "colorgrid", "gp-gan-small", "light", "realism-small", "srgan-light"]
SAYS = "PYHARMONY_OPEN_DATA=1 leaves them out, since not all photographs"


@pytest.fixture
def open_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYHARMONY_OPEN_DATA", "1")


def test_the_manifest_says_it_of_each_network() -> None:
    entries = _shipped.manifest()
    assert [one.name for one in entries if not one.open_data] == LEFT_OUT
    for one in entries:
        is_told = re.search("ImageNet|not public", f"{one.licence} {one.trained_on}") is not None
        assert one.open_data is not is_told, one.name


@pytest.mark.parametrize("value", ["", "0", None])
def test_without_the_variable_all_are_used(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYHARMONY_OPEN_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("PYHARMONY_OPEN_DATA", value)
    assert [one.name for one in _shipped.every()] == sorted([*OPEN, *LEFT_OUT]) and not _shipped.left_out()


@pytest.mark.parametrize("value", ["yes", "true", "2", " 1", "01"])
def test_another_value_is_an_error(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYHARMONY_OPEN_DATA", value)
    with pytest.raises(ArgumentError, match=f"PYHARMONY_OPEN_DATA: '{value}', expected 0 or 1"):
        pyharmony.segment(np.eye(60, dtype=np.uint8)[..., None] * np.uint8(255), points=(30, 30))


def test_the_weights_that_are_left_out_are_refused_by_name(open_only: None) -> None:
    assert [one.name for one in _shipped.every()] == OPEN
    assert [one.name for one in _shipped.left_out()] == LEFT_OUT
    image = np.zeros((40, 40, 3), np.uint8)
    for name, method in segmentation.METHODS.items():
        if name not in ("clicks", "grabcut", "random_walker"):
            assert SAYS in method.missing
            with pytest.raises(WeightsError, match=SAYS):
                pyharmony.segment(image, points=(5, 5), method=name)
    for name in LEFT_OUT:
        with pytest.raises(WeightsError, match=f"the weights {name}: {SAYS}"):
            _catalogue.check_weights(name)
    session = segmentation.Session(image)
    for call in (session.people, session.heads, session.foremost):
        with pytest.raises(WeightsError, match=f"people are detected by the weights clicks-imagenet: {SAYS}"):
            call()


def test_auto_is_the_network_of_open_photographs(open_only: None) -> None:
    masks = pyharmony.segment(SUBJECT, points=CLICK)
    assert masks.method == "clicks"
    assert np.array_equal(masks.mask, pyharmony.segment(SUBJECT, points=CLICK, method="clicks").mask)
    # The people map is part of it; heads and poses are not.
    session = segmentation.Session(SUBJECT)
    assert session.shows_people(masks.mask) and session.posture(masks.mask) is None and session.standable() == 1


def test_things_and_surfaces_are_unknown(open_only: None) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    around = surroundings_of(picture)
    assert around.water_and_sky_at(0.5, 0.1) == (0, 0) and np.ptp(around.heads) == 0
    assert thing_in(picture, np.full((64, 96), 255, np.uint8)) is UNKNOWN_THING
    # The verdict counts no fact that is unknown.
    assert _verdict.pose_facts(None) == {}


def test_composites_use_open_networks_alone_and_say_what_is_missing(open_only: None) -> None:
    with _shipped.noted() as weights, pytest.warns(PyHarmonyWarning) as told:
        result, info = pyharmony.compose(SUBJECT, SCENE, points=CLICK, return_info=True)
    assert any(re.match(f"people: not detected, .*{SAYS}.*pass their masks", str(one.message)) for one in told)
    assert {"clicks", "colorgrid"} <= set(weights) <= set(OPEN)
    left, top, wide, high = info.subjects[0].box
    assert np.asarray(result).shape == np.asarray(pyharmony.load(SCENE)).shape and wide > 50 and high > 150
    # Who passes the people is told nothing, and the subject in the middle is cut out without a prompt.
    with _shipped.noted() as weights, pytest.warns(PyHarmonyWarning) as told:
        pyharmony.compose(SUBJECT, SCENE, people=[], at=(0, 0))
    assert set(weights) <= set(OPEN) and not any("not detected" in str(one.message) for one in told)
    assert any("the object in the middle was selected" in str(one.message) for one in told)


def test_placements_use_open_networks_alone(open_only: None) -> None:
    masks = pyharmony.segment(SUBJECT, points=CLICK)
    with _shipped.noted() as weights, pytest.warns(PyHarmonyWarning, match="people: not detected"):
        places = pyharmony.place(SUBJECT, SCENE, mask=masks)
    assert set(weights) == {"clicks"} and places[0].usable is not None
    # A photo whose alpha cuts nothing out, and a thing.
    levels = np.asarray(pyharmony.load(SUBJECT))
    opaque = np.dstack([levels, np.full(levels.shape[:2], 255, np.uint8)])
    with pytest.warns(PyHarmonyWarning, match="cuts nothing out"):
        assert pyharmony.place(opaque, SCENE, people=[])
    with _shipped.noted() as weights:
        assert pyharmony.place(PHOTOS / "cat.png", SCENE, mask=PHOTOS / "cat_mask.png", people=[])
    assert set(weights) == {"clicks"}


def test_a_merge_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It detects people by the network of open photographs in any case."""
    photo = np.asarray(pyharmony.load(SCENE))
    monkeypatch.setenv("PYHARMONY_OPEN_DATA", "1")
    with _shipped.noted() as weights, pytest.warns(PyHarmonyWarning):
        merged = pyharmony.merge([photo, photo])
    assert np.array_equal(merged, photo) and set(weights) <= {"clicks"}


def called(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


def test_the_commands_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = called("models", "list").stdout.splitlines()
    assert [row.split()[0] for row in rows if row.endswith("not all trained on open photographs")] == LEFT_OUT
    monkeypatch.setenv("PYHARMONY_OPEN_DATA", "1")
    says = f"PYHARMONY_OPEN_DATA=1 leaves out {', '.join(LEFT_OUT)}"
    assert called("models", "list").stdout.splitlines()[-1] == says
    report = json.loads(called("models", "list", "--task", "segment", "--json").stdout)
    assert report["left_out"] == LEFT_OUT and [one["name"] for one in report["weights"]] == ["clicks"]
    checks = json.loads(called("doctor", "--json").stdout)["checks"]
    assert next(one["found"] for one in checks if one["name"] == "weights") == f"{', '.join(OPEN)}; {says}"
    assert SAYS in called("models", "show", "pose", code=2).stderr
    assert SAYS in called("models", "verify", "scale", code=6).stderr
    command = ("segment", str(SUBJECT), "--all-people", "-o", "-")
    assert SAYS in called(*command, code=6).stderr
    monkeypatch.setenv("PYHARMONY_OPEN_DATA", "on")
    assert "PYHARMONY_OPEN_DATA: 'on', expected 0 or 1" in called("models", "list", code=2).stderr
