"""`pyharmony compose`: the picture, recipes, layers, exit codes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pyharmony
from pyharmony import io, placement
from pyharmony.cli._app import app
from pyharmony.composition import Subject, _compose, _plan
from pyharmony.errors import Reason
from pyharmony.merging import _merge

from ..shared import pixels, runners

pytestmark = pytest.mark.chains

call, report_of = runners("compose")
merge, merged = runners("merge")
PASTE_OPTIONS = ("--harmonize", "none", "--shadow", "off", "--grain", "0", "--sharpness", "0", "--at", "30,20")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = np.zeros((50, 40, 4), np.uint8)
    subject[10:40, 10:30] = (200, 120, 40, 255)
    Image.fromarray(subject).save(tmp_path / "subject.png")
    Image.fromarray(subject[..., :3]).save(tmp_path / "opaque.png")
    Image.fromarray(subject[..., 3]).save(tmp_path / "mask.png")
    scene = np.random.default_rng(0).integers(100, 140, (90, 130, 3), np.uint8)
    Image.fromarray(scene).save(tmp_path / "scene.png", dpi=(300, 300))
    monkeypatch.chdir(tmp_path)


def test_it_makes_what_the_function_makes() -> None:
    result = report_of(
        "subject.png", "scene.png", "--output", "out.png", *PASTE_OPTIONS, "--scale", "1.2", "--angle", "5"
    )
    expected = pyharmony.compose(
        "subject.png", "scene.png", at=(30, 20), scale=1.2, angle=5.0, harmonize=None, shadow=False, grain=0.0,
        sharpness=0.0,
    )  # fmt: skip
    assert np.array_equal(pixels("out.png"), np.asarray(expected))
    assert result["subjects"][0]["scale"] == 1.2 and not result["subjects"][0]["shadow"]
    assert Image.open("out.png").info["dpi"][0] == pytest.approx(300, abs=1)
    masked = report_of("opaque.png", "scene.png", "-o", "masked.png", *PASTE_OPTIONS, "--mask", "mask.png")
    assert masked["status"] == "ok" and tuple(pixels("masked.png")[45, 50]) == (200, 120, 40)
    for options in (("--points", "20,25"), ("--points", "20,25", "--beside", "2,2"), ("--box", "8,8,24,34")):
        report_of("opaque.png", "scene.png", "-o", "clicked.png", *PASTE_OPTIONS, *options, "--overwrite")
        assert tuple(pixels("clicked.png")[45, 50]) == (200, 120, 40)


def test_the_alpha_of_the_background_may_stay() -> None:
    faint = Image.open("scene.png").convert("RGBA")
    faint.putalpha(90)
    faint.save("faint.png")
    report_of("subject.png", "faint.png", "-o", "over.png", *PASTE_OPTIONS)
    report_of("subject.png", "faint.png", "-o", "same.png", *PASTE_OPTIONS, "--keep-alpha")
    assert pixels("over.png")[..., 3].max() == 255 and (pixels("same.png")[..., 3] == 90).all()


def test_recipe_and_layers() -> None:
    options = ("--at", "30,20", "--seed", "4", "--shadow-tip", "90,80", "--shadow-softness", "2", "--flip")
    options += ("--strength", "0.5")
    report_of("subject.png", "scene.png", "-o", "out.png", *options, "--save-recipe", "r.json", "--layers", "out.ora")
    report_of("subject.png", "scene.png", "-o", "again.png", "--recipe", "r.json")
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    layers, merged = io.read_layers("out.ora")
    assert [layer.name for layer in layers] == ["background", "shadow 1", "subject 1"]
    assert np.array_equal(merged.pixels[..., :3], pixels("out.png"))
    report_of("subject.png", "scene.png", "-o", "small.png", "--recipe", "r.json", "--side", "65")
    assert pixels("small.png").shape == (45, 65, 3)
    mirrored = ("--at", "30,20", "--reflection-strength", "0.5", "--shadow", "off", "--layers", "mirrored.ora")
    assert report_of("subject.png", "scene.png", "-o", "mirrored.png", *mirrored)["subjects"][0]["reflection"]
    assert [layer.name for layer in io.read_layers("mirrored.ora")[0]] == ["background", "reflection 1", "subject 1"]
    light = ("--shadow", "on", "--shadow-azimuth", "120", "--shadow-elevation", "40", "--blend", "poisson")
    assert report_of("subject.png", "scene.png", "-o", "lit.png", *light, *options[:2])["subjects"][0]["shadow"]


def test_a_subject_that_is_enlarged() -> None:
    results = {}
    for name in ("auto", "lanczos", "none"):
        result = report_of(
            "subject.png", "scene.png", "-o", f"{name}.png", *PASTE_OPTIONS, "--scale", "2", "--upscale", name
        )
        results[name] = pixels(f"{name}.png")
        assert any("enlarged by" in reason for reason in result["subjects"][0]["reasons"]) == (name != "none")
    assert not np.array_equal(results["auto"], results["none"]) and not np.array_equal(
        results["lanczos"], results["none"]
    )


def test_several_subjects() -> None:
    result = report_of(
        "subject.png", "opaque.png", "scene.png", "-o", "two.png", "--harmonize", "none", "--shadow", "off",
        "--at", "10,20", "--at", "70,20", "--mask", "mask.png", "--mask", "mask.png",
    )  # fmt: skip
    assert len(result["subjects"]) == 2


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("--at", "1"), "--at: '1', expected auto or X,Y", 2),
        (
            ("--at", "1,1", "--at", "2,2"),
            "--at: given 2 times for 1 subjects, expected once for each, or once for all",
            2,
        ),
        (("--box", "1,2"), "--box: '1,2', expected X,Y,W,H", 2),
        (("--shadow", "yes"), "--shadow: 'yes', expected one of auto, on, off", 2),
        (("--shadow", "off", "--shadow-azimuth", "3"), "--shadow off and --shadow-azimuth exclude each other", 2),
        (("--scale", "x"), "--scale: 'x', expected auto or a number", 2),
        (("--reflection-strength", "2"), "--reflection-strength: 2.0, expected a number from 0 to 1", 2),
        (("--adjust-exposure", "5"), "--adjust-exposure: 5.0, expected a number from -4 to 4", 2),
        (("--adjust-feather", "nan"), "--adjust-feather: nan, expected a number from 0 to 50", 2),
        (("--adjust-edge", "x"), "Invalid value for '--adjust-edge'", 2),
        (
            ("--adjust-result-curve", "0,0,0,1"),
            "--adjust-result-curve: ((0.0, 0.0), (0.0, 1.0)), expected 2 to 16 po",
            2,
        ),
        (("--adjust-background-exposure", "9"), "--adjust-background-exposure: 9.0, expected a number from -4 to 4", 2),
        (("--opacity", "2"), "--opacity: 2.0, expected a number from 0 to 1", 2),
        (("--mode", "screen", "--blend", "poisson"), "--mode: 'screen' with blend 'poisson', expected 'normal'", 2),
        (("--adjust-edge", "1", "--adjust-edge", "2"), "--adjust-edge: given 2 times for 1 subjects, expected once", 2),
        (("--recipe", "scene.png", "--adjust-edge", "1"), "--recipe and --adjust-edge exclude each other", 2),
        (("--strength", "nan"), "--strength: nan, expected a number from 0 to 2", 2),
        (("--people", "none.png"), "--people: none.png: no such file or directory", 3),
        (("--recipe", "none.json"), "--recipe: none.json: no such file or directory", 3),
        (("--recipe", "scene.png", "--at", "1,2"), "--recipe and --at exclude each other", 2),
        (("--shadow-contact", "5000", "--at", "30,20"), "--shadow-contact: ", 2),
        (("--shadow-elevation", "99", "--at", "30,20"), "--shadow-elevation: 99", 2),
        (("--shadow-tint", "1,2"), "--shadow-tint: '1,2', expected R,G,B", 2),
        (("--segment", "x"), "--segment: 'x', expected one of 'auto', 'clicks-imagenet', 'clicks'", 2),
        (("--upscale", "x"), "--upscale: 'x', expected auto or none or one of srgan", 2),
        (("--blend", "x"), "--blend: 'x', expected auto or one of alpha, gaussian-poisson, poisson", 2),
        (("--recipe", "scene.png"), "--recipe: scene.png is not JSON", 2),
        (("--save-recipe", "-"), "stdout is for OUT alone", 2),
        (("-k", "1000000000", *PASTE_OPTIONS), "-k: several places need one subject without --at", 2),
        (("-k", "2", "--recipe", "r.json"), "--recipe and -k exclude each other", 2),
        (("--explain", "e.png", "--recipe", "r.json"), "--recipe and --explain exclude each other", 2),
        (("--explain", "e.ora", *PASTE_OPTIONS), "--explain: e.ora: the suffix '.ora' names no format", 2),
        (("--explain", "e.png", *PASTE_OPTIONS), "--explain: every place is given by --at", 2),
        (("--layers", "x.zip", *PASTE_OPTIONS), ".ora", 2),
    ],
)
def test_what_cannot_be_is_said_in_its_options(options: tuple[str, ...], says: str, code: int) -> None:
    result = call("subject.png", "scene.png", "-o", "out.png", *options, code=code)
    assert says in result.stderr


def test_a_wrong_suffix_is_told_before_anything_is_read() -> None:
    for command in (call, merge):
        result = command("none.png", "no.png", "-o", "out.ora", code=2)
        assert "-o: out.ora: the suffix '.ora' names no format" in result.stderr


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets nobody be found in the background."""
    monkeypatch.setattr(_plan.People, "_detect", lambda self: _plan._PeopleMasks([], [], [], None))


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
@pytest.mark.usefixtures("nobody")
def test_the_best_places_are_written_and_explained() -> None:
    options = ("--harmonize", "reinhard", "--grain", "0", "--upscale", "none")
    several = ("-k", "3", "--explain", "sheet.png", "--anyway")
    result = report_of("subject.png", "scene.png", "-o", "out.png", *options, *several)
    best, others = result["subjects"][0], result["alternatives"]
    assert result["others"] == others  # their former name
    assert [other["output"] for other in others] == ["out-2.png", "out-3.png"] and result["explain"] == "sheet.png"
    expected, info = pyharmony.compose(
        "subject.png", "scene.png", k=3, harmonize="reinhard", grain=0.0, upscale=None, return_info=True
    )
    assert np.array_equal(pixels("out.png"), np.asarray(expected))
    for other, recipe, spot in zip(others, info.alternatives, info.subjects[0].places[1:], strict=True):
        again = pyharmony.compose("subject.png", "scene.png", recipe=recipe)
        assert np.array_equal(pixels(other["output"]), np.asarray(again))
        assert other["place"]["score"] == spot.score and other["x"] == round(spot.x, 2)
    places = info.subjects[0].places
    assert np.array_equal(pixels("sheet.png"), placement.contact_sheet("subject.png", "scene.png", places))
    assert best["place"] == {
        "score": places[0].score,
        "terms": dict(places[0].terms),
        "behind": [],
        "reason": places[0].reason,
        "reason_code": places[0].reason.code,
    }
    assert 0 <= best["confidence"] <= 1 and best["mask_score"] is None
    # A file that one of the places would replace is known before anything is done.
    process = call("subject.png", "scene.png", "-o", "new.png", *options, "-k", "2", "--explain", "out-2.png", code=2)
    assert "out-2.png" in process.stderr and not Path("new.png").exists()


@pytest.mark.usefixtures("nobody")
def test_fewer_places_than_wanted_are_told() -> None:
    few = ("--harmonize", "none", "--grain", "0", "--sharpness", "0", "--scale", "3.2", "--upscale", "none")
    message = call("subject.png", "scene.png", "-o", "out.png", *few, "-k", "40", "--verbose", "--anyway").stderr
    count = 1 + len(list(Path().glob("out-*.png")))
    assert count < 40 and f"{count} of 40 places were found" in message


def test_scores_of_what_was_given_are_none() -> None:
    one = report_of("opaque.png", "scene.png", "-o", "out.png", *PASTE_OPTIONS, "--points", "20,25")["subjects"][0]
    assert one["place"] is None and one["confidence"] is None and 0 < one["mask_score"] <= 1


def test_the_file_tells_that_it_is_a_composite() -> None:
    """By IPTC's word for it, with what made it and the SHA-256 of the files; what it told before stays."""
    report_of("subject.png", "scene.png", "-o", "out.png", *PASTE_OPTIONS)
    sums = [hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in ("subject.png", "scene.png")]
    xmp = io.read("out.png").xmp
    assert xmp is not None and b"digitalsourcetype/compositeCapture" in xmp
    assert f"pyharmony {pyharmony.__version__}".encode() in xmp
    assert all(f"sha256:{one}".encode() in xmp for one in sums) and xmp.count(b"sha256:") == 2
    report_of("subject.png", "out.png", "-o", "twice.jpg", *PASTE_OPTIONS)
    twice = io.read("twice.jpg").xmp
    assert twice is not None and twice.count(b"compositeCapture") == 2 and twice.count(b"sha256:") == 4
    # What comes through a pipe is known by its bytes.
    runner = CliRunner().invoke(
        app, ["compose", "-", "scene.png", "-o", "piped.png", *PASTE_OPTIONS], input=Path("subject.png").read_bytes()
    )
    assert runner.exit_code == 0 and io.read("piped.png").xmp == xmp


def test_a_background_is_needed() -> None:
    assert "BACKGROUND is missing" in call("subject.png", "-o", "out.png", code=2).stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("--merge",), "No such option: --merge. Use `pyharmony merge` instead."),
        (("--base=scene.png",), "No such option: --base. Use an option of `pyharmony merge` instead."),
        (("--reflection", "0.4"), "--reflection: '0.4', expected one of on, off; --reflection-strength is a number"),
        (("--blend", "gaussian_poisson"), "expected auto or one of alpha, gaussian-poisson, poisson"),
    ],
)
def test_old_spellings_are_answered_with_the_new(old: tuple[str, ...], new: str) -> None:
    assert new in call("subject.png", "scene.png", "-o", "out.png", *old, code=2).stderr


def test_several_subjects_have_values_of_their_own() -> None:
    photos = ("subject.png", "subject.png", "scene.png")
    own = ("--at", "10,20", "--at", "70,20", "--scale", "0.8", "--scale", "1.2", "--flip", "--no-flip")
    result = report_of(*photos, "-o", "two.png", "--harmonize", "none", "--shadow", "off", *own, "--angle", "3")
    about = [(one["scale"], one["flip"], one["angle"]) for one in result["subjects"]]
    assert sorted(about) == [(0.8, True, 3.0), (1.2, False, 3.0)]


def test_arguments_of_a_shadow_and_of_a_reflection_are_options() -> None:
    shadow = ("--shadow-strength", "0.6", "--shadow-under", "0.5", "--shadow-horizon", "10", "--shadow-depth", "0.1")
    shadow += ("--shadow-contact", "60", "--shadow-wall", "55", "--shadow-azimuth", "160")
    mirror = ("--reflection-fade", "0.5", "--reflection-blur", "0", "--reflection-contact", "0,60,129,60")
    report_of(
        "subject.png",
        "scene.png",
        "-o",
        "out.png",
        *PASTE_OPTIONS[:2],
        *PASTE_OPTIONS[4:],
        *shadow,
        *mirror,
        "--save-recipe",
        "r.json",
    )
    entry = json.loads(Path("r.json").read_text())["subjects"][0]
    assert entry["shadow"] == {
        "strength": 0.6, "under": 0.5, "horizon": 10, "depth": 0.1, "contact": 60, "wall": 55, "azimuth": 160,
    }  # fmt: skip
    assert entry["reflection"] == {"fade": 0.5, "blur": 0, "contact": [[0, 60], [129, 60]]}


def test_corrections_by_hand_are_options() -> None:
    photos = ("subject.png", "subject.png", "scene.png")
    own = (*PASTE_OPTIONS[:-2], "--at", "10,20", "--at", "70,20", "--adjust-exposure", "1", "--adjust-exposure", "-0.5")
    own += ("--adjust-temperature", "40", "--adjust-contrast", "0.2", "--adjust-saturation", "0.8")
    own += ("--adjust-edge", "-2", "--adjust-feather", "3")
    result = report_of(*photos, "-o", "two.png", *own, "--save-recipe", "r.json")
    same = {"temperature": 40.0, "contrast": 0.2, "saturation": 0.8, "edge": -2.0, "feather": 3.0}
    pair = [
        Subject("subject.png", at=at, adjust={"exposure": exposure, **same})
        for at, exposure in (((10, 20), 1), ((70, 20), -0.5))
    ]
    expected = pyharmony.compose(pair, "scene.png", harmonize=None, shadow=False, grain=0, sharpness=0)
    assert np.array_equal(pixels("two.png"), np.asarray(expected))
    entries = sorted(json.loads(Path("r.json").read_text())["subjects"], key=lambda one: one["x"])
    assert [one["adjust"] for one in entries] == [{"exposure": 1.0, **same}, {"exposure": -0.5, **same}]
    plain = report_of(*photos, "-o", "plain.png", *PASTE_OPTIONS[:-2], "--at", "10,20", "--at", "70,20")
    assert [one.keys() for one in result["subjects"]] == [one.keys() for one in plain["subjects"]]
    report_of(*photos, "-o", "again.png", "--recipe", "r.json")
    assert np.array_equal(pixels("again.png"), pixels("two.png"))


def test_layers_and_whole_pictures_are_corrected_by_options() -> None:
    options = ("--at", "10,20", "--opacity", "0.5", "--mode", "soft-light", "--adjust-curve", "0,0.1,1,1")
    options += ("--adjust-background-exposure", "1", "--adjust-background-temperature", "20")
    options += ("--adjust-background-contrast", "0.1", "--adjust-background-saturation", "0.9")
    options += ("--adjust-background-curve", "0,0.05,1,1", "--adjust-result-exposure", "-0.5")
    options += ("--adjust-result-temperature", "-10", "--adjust-result-contrast", "-0.1")
    options += ("--adjust-result-saturation", "1.2", "--adjust-result-curve", "0,0,0.5,0.6,1,1")
    below = {"exposure": 1, "temperature": 20, "contrast": 0.1, "saturation": 0.9, "curve": [(0, 0.05), (1, 1)]}
    whole = {"exposure": -0.5, "temperature": -10, "contrast": -0.1, "saturation": 1.2}
    report_of("subject.png", "scene.png", "-o", "out.png", *PASTE_OPTIONS[:-2], *options, "--save-recipe", "r.json")
    expected = pyharmony.compose(
        "subject.png", "scene.png", at=(10, 20), harmonize=None, shadow=False, grain=0, sharpness=0, opacity=0.5,
        mode="soft_light", adjust={"curve": [(0, 0.1), (1, 1)]}, adjust_background=below,
        adjust_result={**whole, "curve": [(0, 0), (0.5, 0.6), (1, 1)]},
    )  # fmt: skip
    assert np.array_equal(pixels("out.png"), np.asarray(expected))
    report_of("subject.png", "scene.png", "-o", "again.png", "--recipe", "r.json")
    assert np.array_equal(pixels("again.png"), pixels("out.png"))


def test_the_corners_of_the_photo_are_moved() -> None:
    warp = ((0, 0), (0.1, 0.05), (0.1, -0.05), (0, 0))
    options = (*PASTE_OPTIONS[:-2], "--at", "30,20", "--warp", "0,0,0.1,0.05,0.1,-0.05,0,0")
    report_of("subject.png", "scene.png", "-o", "out.png", *options, "--save-recipe", "r.json")
    paste = {"harmonize": None, "shadow": False, "grain": 0, "sharpness": 0}
    expected = pyharmony.compose("subject.png", "scene.png", at=(30, 20), warp=warp, **paste)
    assert np.array_equal(pixels("out.png"), np.asarray(expected))
    assert json.loads(Path("r.json").read_text())["subjects"][0]["warp"] == [list(shift) for shift in warp]
    for value in ("0,0,1", "0.6,0.6,0,0,0,0,0,0"):
        failed = call("subject.png", "scene.png", "-o", "no.png", *PASTE_OPTIONS, "--warp", value, code=2)
        assert "error: --warp: " in failed.stderr


def test_it_takes_every_option_of_the_function() -> None:
    Image.fromarray(np.zeros((90, 130), np.uint8)).save("person.png")
    options = ("--people", "person.png", "--behind", "0", "--strength", "0.5", "--shadow-tint", "1,1,1.2")
    words = ("subject.png", "scene.png", "-o", "out.png", "--at", "30,20", *options, "--keep-gps", "--no-flip")
    assert "by --at 30,20 --scale 1 --behind 0" in call(*words).stderr
    expected = pyharmony.compose(
        "subject.png", "scene.png", at=(30, 20), people=["person.png"], behind=[0], strength=0.5,
        shadow={"tint": (1, 1, 1.2)}, keep_gps=True,
    )  # fmt: skip
    assert np.array_equal(pixels("out.png"), np.asarray(expected))


@pytest.mark.usefixtures("nobody")
def test_warnings_speak_the_words_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = _plan.decide

    def doubted(*arguments: Any) -> Any:
        lies, places = decide(*arguments)
        return lies, [
            dataclasses.replace(one, reason=Reason("face-covered", "a face would be covered")) for one in places
        ]

    monkeypatch.setattr(_plan, "decide", doubted)
    options = ("--harmonize", "none", "--upscale", "none", "--grain", "0", "--sharpness", "0")
    message = call("subject.png", "scene.png", "-o", "out.png", *options, "--anyway").stderr
    assert "warning: a face would be covered; --at sets another place, and -k returns more of them" in message
    two = ("subject.png", "subject.png", "scene.png", "-o", "two.png", *options, "--at", "10,20", "--at", "999,20")
    assert "warning: subject.png: nothing of it would be visible" in call(*two).stderr


def test_a_subject_beside_the_picture_is_told() -> None:
    plain = (*PASTE_OPTIONS[:-1], "99999,0")
    message = call("subject.png", "scene.png", "-o", "out.png", *plain).stderr
    assert "subject.png is outside the image" in message and "0 x 0" not in message
    assert np.array_equal(pixels("out.png"), pixels("scene.png"))


def test_how_sure_it_is_is_told_to_who_asks() -> None:
    sure = "opaque.png: mask score 0."
    words = ("opaque.png", "scene.png", "--points", "20,25", *PASTE_OPTIONS, "--scale", "1.2")
    message = call(*words, "-o", "out.png", "-v").stderr
    assert sure in message and ", place given, 1.20 times its size" in message
    assert sure not in call(*words, "-o", "again.png").stderr


def test_what_it_tells() -> None:
    words = ("subject.png", "scene.png", "-o", "out.png", "--overwrite", *PASTE_OPTIONS)
    assert "wrote out.png" in call(*words, "--verbose").stderr
    assert call(*words, "--quiet").stderr == ""
    assert json.loads(call(*words, "--log-json").stderr.splitlines()[-1])["message"].startswith("wrote out.png")
    assert "at 38,28, by --at 30,20 --scale 1\n" in call(*words).stderr
    assert "Traceback" in call("none.png", "scene.png", "-o", "x.png", "--debug", code=3).stderr
    call("subject.png", "scene.png", "-o", "out.png", *PASTE_OPTIONS, code=2)


def test_the_options_that_it_tells_place_the_subject_there_again() -> None:
    words = ("opaque.png", "scene.png", "--mask", "mask.png", *PASTE_OPTIONS[:-2], "--anyway", "--overwrite", "-o")
    for options in (("--angle", "4", "--flip"), ("--at=-7.25,3.5", "--scale", "1.234567")):
        first = report_of(*words, "first.png", *options)["subjects"][0]
        line = next(line for line in call(*words, "first.png", *options).stderr.splitlines() if ", by --at" in line)
        again = report_of(*words, "again.png", *line.partition(", by ")[2].split())["subjects"][0]
        assert first["box"] == again["box"] and first["flip"] == again["flip"]
        assert [again[key] for key in ("x", "y", "scale")] == pytest.approx(
            [first[key] for key in ("x", "y", "scale")], abs=0.06
        )


def group(tmp_path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Writes a.png and b.png, a place with a figure each, and masks of these; returns a.png and the masks."""
    random = np.random.default_rng(3)
    place = random.integers(50, 210, (60, 80, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    photos, masks = [], []
    for name, x in (("a", 40), ("b", 220)):
        photo, mask = place.copy(), np.zeros(place.shape[:2], np.uint8)
        photo[90:220, x : x + 50], mask[90:220, x : x + 50] = (240, 40, 30), 255
        Image.fromarray(photo).save(tmp_path / f"{name}.png", dpi=(300, 300))
        Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
        photos.append(photo)
        masks.append(mask)
    return photos[0], masks


@pytest.mark.slow
def test_photographs_of_one_place_are_merged(tmp_path: Path) -> None:
    first, (_, mask) = group(tmp_path)
    options = ("-o", "merged.png", "--people", "a_mask.png", "--people", "b_mask.png")
    result = merged("a.png", "b.png", *options)
    photos = [io.read(name) for name in ("a.png", "b.png")]
    expected = pyharmony.merge(photos, people=["a_mask.png", "b_mask.png"]).pixels
    merged_file = pixels("merged.png")
    assert np.array_equal(merged_file, expected) and Image.open("merged.png").info["dpi"][0] == pytest.approx(
        300, abs=1
    )
    assert np.abs(merged_file[mask > 0].astype(int) - (240, 40, 30)).max() < 6 and np.array_equal(
        merged_file[:, :60], first[:, :60]
    )
    told_of = io.read("merged.png").xmp
    assert told_of is not None and b"compositeCapture" in told_of and told_of.count(b"sha256:") == 2
    base, other = result["photos"]
    assert result["base"] == "a.png" and result["bases"][0]["cost"] <= result["bases"][1]["cost"]
    assert other["photo"] == "b.png" and other["parts"][0]["taken"] and other["inliers"] > 20 and not base["parts"]
    notes = merge("a.png", "b.png", *options, "--overwrite", "--verbose").stderr
    assert "b.png: " in notes and "the base is a.png; costs: a.png 0." in notes
    result = merged("a.png", "b.png", *options, "--overwrite", "--base", "b.png")
    assert result["base"] == "b.png" and result["bases"] == [] and result["photos"][0]["parts"]


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("b.png", "--base", "c.png"), "--base: 'c.png', expected auto or one of a.png, b.png", 2),
        ((), "one photo, expected two or more of one scene", 2),
        (("b.png", "--people", "a_mask.png"), "--people: given 1 times for 2 photos, expected once for each", 2),
        (
            ("b.png", "--people", "mask.png", "--people", "b_mask.png"),
            "mask.png: 40 x 50 pixels, expected 320 x 240",
            3,
        ),
    ],
)
def test_what_cannot_be_merged_is_said(options: tuple[str, ...], says: str, code: int, tmp_path: Path) -> None:
    group(tmp_path)
    assert says in merge("a.png", *options, "-o", "o.png", code=code).stderr


def test_photographs_that_are_aligned_already_may_stay_so(tmp_path: Path) -> None:
    group(tmp_path)
    merged("a.png", "b.png", "-o", "m.png", "--people", "a_mask.png", "--people", "b_mask.png", "--align", "--no-align")
    expected = pyharmony.merge(["a.png", "b.png"], people=["a_mask.png", "b_mask.png"], align=False)
    assert np.array_equal(pixels("m.png"), np.asarray(expected))


def test_a_photograph_of_another_place_is_left_out(tmp_path: Path) -> None:
    first, _ = group(tmp_path)
    refused = merge("a.png", "scene.png", "-o", "o.png", "--json", code=3)
    error = json.loads(refused.stdout)["error"]
    ends = "not written, as no other photo shows the scene of the base, a.png; --anyway writes a copy of that"
    assert (error["message"], error["code"]) == (f"o.png: {ends}", "no-common-place") and not Path("o.png").exists()
    result = merge("a.png", "scene.png", "-o", "o.png", "--anyway")
    assert "scene.png was left out: it does not show the scene of a.png, " in result.stderr
    assert np.array_equal(pixels("o.png"), first) and io.read("o.png").xmp is None


def test_a_merge_that_is_probably_not_usable_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubt = Reason("person-cropped", "a photo crops a person", hint="another base may show more")
    monkeypatch.setattr(_merge, "verdict_of", lambda *_, **__: (0.1, (doubt,)))
    group(tmp_path)
    arguments = ("a.png", "b.png", "-o", "m.png", "--people", "a_mask.png", "--people", "b_mask.png")
    sentence = f"the merged photo is 10 % likely to be usable: {doubt.text}; try: {doubt.hint}"
    refused = merge(*arguments, "--json", code=3)
    error = json.loads(refused.stdout)["error"]
    assert error["message"] == f"m.png: not written, as {sentence}; --anyway writes it" and not Path("m.png").exists()
    assert (error["kind"], error["code"]) == ("refused", "not-usable")
    assert merge(*arguments, code=3).stderr.count("likely to be usable") == 1
    report = merged(*arguments, "--anyway")
    assert Path("m.png").exists() and (report["usable"], report["verdict"]) == (0.1, sentence)
    assert report["doubt_codes"] == ["person-cropped"]


@pytest.mark.parametrize("usable", [0.1, 0.5])
def test_a_composite_that_is_probably_not_usable_is_not_written(usable: float, monkeypatch: pytest.MonkeyPatch) -> None:
    doubt = Reason("vague-outline", "parts are a guess", hint="click them too")
    monkeypatch.setattr(_compose, "verdict_of", lambda *_: (usable, (doubt,)))
    arguments = ("opaque.png", "scene.png", "-o", "out.png", *PASTE_OPTIONS, "--points", "20,25")
    sentence = f"the composite is {100 * usable:.0f} % likely to be usable: {doubt.text}; try: {doubt.hint}"
    if usable < 0.35:
        refused = call(*arguments, "--save-recipe", "recipe.json", "--json", code=3)
        assert not Path("out.png").exists() and not Path("recipe.json").exists()
        error = json.loads(refused.stdout)["error"]
        assert error["message"] == f"out.png: not written, as {sentence}; --anyway writes it"
        assert (error["kind"], error["code"]) == ("refused", "not-usable")
        assert call(*arguments, code=3).stderr.count("likely to be usable") == 1
        arguments = (*arguments, "--anyway")
    written = call(*arguments)
    assert sentence in written.stderr and Path("out.png").exists()
    report = report_of(*arguments, "--overwrite", "--save-recipe", "recipe.json")
    assert (report["usable"], report["verdict"], report["doubt_codes"]) == (usable, sentence, ["vague-outline"])
    again = report_of("opaque.png", "scene.png", "-o", "again.png", "--recipe", "recipe.json")
    assert again["usable"] is None and (pixels("again.png") == pixels("out.png")).all()
