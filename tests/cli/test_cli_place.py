"""`pyharmony place`: what it prints, the sheet, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyharmony

from ..shared import runners

pytestmark = pytest.mark.chains

call, report_of = runners("place")
_, composed_by = runners("compose")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = np.zeros((120, 90, 4), np.uint8)
    subject[30:, 30:60] = 200
    Image.fromarray(subject).save(tmp_path / "subject.png")
    Image.fromarray(subject[..., 3]).save(tmp_path / "mask.png")
    Image.fromarray(subject[..., :3]).save(tmp_path / "opaque.png")
    Image.fromarray(np.full((150, 240, 3), 128, np.uint8)).save(tmp_path / "scene.png")
    monkeypatch.chdir(tmp_path)


def test_it_says_what_the_function_says() -> None:
    words = ("--no-person", "-k", "2", "--flip", "--angle", "3")
    result = report_of("subject.png", "scene.png", *words)
    expected = pyharmony.place("subject.png", "scene.png", person=False, k=2, flip=True, angle=3)
    assert [one["score"] for one in result["places"]] == [one.score for one in expected]
    first = result["places"][0]
    assert first["angle"] == 3 and first["x"] == pytest.approx(expected[0].x, abs=0.01) and first["terms"]
    text = call("subject.png", "scene.png", *words).stdout
    assert text.startswith("1. score ") and ", by --at " in text and " --angle 3\n" in text
    assert report_of("opaque.png", "scene.png", *words, "--mask", "mask.png")["places"] == result["places"]
    headed = report_of("subject.png", "scene.png", "--head", "36,30,18,22")
    assert headed["places"][0]["scale"] > 0


def test_it_takes_every_option_of_the_function() -> None:
    Image.fromarray(np.pad(np.full((60, 20), 255, np.uint8), ((60, 30), (40, 180)))).save("person.png")
    people = ("--people", "person.png", "--heads", "44,60,12,14", "--faces", "200,20,20,20")
    sides = ("--cropped-sides", "bottom", "--cropped-sides", "left")
    result = report_of("subject.png", "scene.png", *people, "--person", *sides, "--max-scale", "3")
    expected = pyharmony.place(
        "subject.png", "scene.png", people=["person.png"], heads=[(44, 60, 12, 14)], faces=[(200, 20, 20, 20)],
        person=True, cropped_sides=("bottom", "left"), max_scale=3,
    )  # fmt: skip
    assert [one["score"] for one in result["places"]] == [one.score for one in expected]
    assert report_of("subject.png", "scene.png", "--no-person", "--scale", "0.5")["places"][0]["scale"] == 0.5


def test_it_says_how_likely_a_place_is_usable() -> None:
    cup = np.pad(np.full((40, 30), 255, np.uint8), ((40, 40), (30, 30)))
    Image.fromarray(cup).save("cup.png")
    words = ("opaque.png", "scene.png", "--mask", "cup.png", "--no-person", "-k", "1")
    (expected,) = pyharmony.place("opaque.png", "scene.png", mask="cup.png", person=False, k=1)
    (place,) = report_of(*words)["places"]
    assert place["usable"] == round(expected.usable or 1, 4) < 0.35
    assert place["doubt_codes"] == [doubt.code for doubt in expected.doubts] != []
    likely = f"the composite at the best place is {100 * place['usable']:.0f} % likely to be usable: "
    assert likely + expected.doubts[0].text in call(*words).stderr


def test_the_options_that_it_tells_put_the_subject_there() -> None:
    words = ("subject.png", "scene.png", "--no-person", "--angle", "4", "-k", "2")
    places = report_of(*words)["places"]
    lines = [line for line in call(*words).stdout.splitlines() if ", by --at " in line]
    for line, place in zip(lines, places, strict=True):
        assert f" by --at {place['at'][0]:g},{place['at'][1]:g} --scale" in line
        options = ("-o", "there.png", "--overwrite", "--anyway", *line.partition(", by ")[2].split())
        composed = composed_by("subject.png", "scene.png", *options)["subjects"][0]
        there, expected = ([one[key] for key in ("x", "y", "angle", "flip")] for one in (composed, place))
        assert there == pytest.approx(expected, abs=0.06)


def test_fewer_places_than_asked_for_are_told() -> None:
    words = ("subject.png", "scene.png", "--no-person", "-k", "60")
    count = len(report_of(*words)["places"])
    assert 1 <= count < 60 and f"{count} of 60 places were found" in call(*words).stderr


def test_it_writes_a_sheet() -> None:
    result = report_of("subject.png", "scene.png", "--no-person", "--explain", "sheet.png")
    assert result["explain"] == "sheet.png" and Image.open("sheet.png").width > 400
    call("subject.png", "scene.png", "--no-person", "--explain", "sheet.png", code=2)
    again = call("subject.png", "scene.png", "--no-person", "--explain", "sheet.png", "--overwrite", "--verbose")
    assert "wrote sheet.png" in again.stderr


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("--head", "1,2"), "--head: '1,2', expected X,Y,W,H", 2),
        (("--head", "1,2,3,4", "--no-person"), "--no-person and --head exclude each other", 2),
        (("-k", "0"), "-k: 0, expected a whole number of at least 1", 2),
        (("--other-people", "none.png"), "--other-people: none.png: no such file or directory", 3),
        (("--angle", "400"), "--angle: 400.0, expected a number from -180 to 180", 2),
        (("--mask", "none.png"), "none.png", 3),
        (("--explain", "-", "--json"), "--json and --explain - both write to stdout", 2),
    ],
)
def test_what_cannot_be_is_said_in_its_options(options: tuple[str, ...], says: str, code: int) -> None:
    assert says in call("subject.png", "scene.png", *options, code=code).stderr


def test_a_subject_needs_a_mask() -> None:
    assert "--mask: not given, and SUBJECT has no transparency" in call("opaque.png", "scene.png", code=2).stderr


def test_what_it_tells() -> None:
    words = ("subject.png", "scene.png", "--no-person", "--explain", "sheet.png", "--overwrite")
    assert call(*words, "--quiet").stderr == ""
    assert json.loads(call(*words, "--log-json").stderr.splitlines()[-1])["message"].endswith("% likely to be usable")
    assert "Traceback" in call("none.png", "scene.png", "--debug", code=3).stderr
