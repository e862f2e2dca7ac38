"""`pyharmony compose`: the picture, recipes, layers, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyharmony
from pyharmony import io

from .shared import runners

call, told = runners("compose")
PLAIN = ("--harmonize", "none", "--shadow", "off", "--grain", "0", "--sharpness", "0", "--at", "30,20")


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


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_it_makes_what_the_function_makes() -> None:
    result = told("subject.png", "scene.png", "--output", "out.png", *PLAIN, "--scale", "1.2", "--angle", "5")
    wanted = pyharmony.compose(
        "subject.png", "scene.png", at=(30, 20), scale=1.2, angle=5.0, harmonize=None, shadow=False, grain=0.0,
        sharpness=0.0,
    )  # fmt: skip
    assert np.array_equal(pixels("out.png"), np.asarray(wanted))
    assert result["subjects"][0]["scale"] == 1.2 and not result["subjects"][0]["shadow"]
    assert Image.open("out.png").info["dpi"][0] == pytest.approx(300, abs=1)
    masked = told("opaque.png", "scene.png", "-o", "masked.png", *PLAIN, "--mask", "mask.png")
    assert masked["status"] == "ok" and tuple(pixels("masked.png")[45, 50]) == (200, 120, 40)
    for options in (("--point", "20,25"), ("--box", "8,8,24,34")):
        told("opaque.png", "scene.png", "-o", "clicked.png", *PLAIN, *options, "--overwrite")
        assert tuple(pixels("clicked.png")[45, 50]) == (200, 120, 40)


def test_recipe_and_layers() -> None:
    looks = ("--at", "30,20", "--seed", "4", "--tip", "90,80", "--softness", "2", "--flip", "--strength", "0.5")
    told("subject.png", "scene.png", "-o", "out.png", *looks, "--save-recipe", "r.json", "--layers", "out.ora")
    told("subject.png", "scene.png", "-o", "again.png", "--recipe", "r.json")
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    layers, merged = io.read_layers("out.ora")
    assert [layer.name for layer in layers] == ["background", "shadow 1", "subject 1"]
    assert np.array_equal(merged.pixels[..., :3], pixels("out.png"))
    told("subject.png", "scene.png", "-o", "small.png", "--recipe", "r.json", "--side", "65")
    assert pixels("small.png").shape == (45, 65, 3)
    light = ("--shadow", "on", "--azimuth", "120", "--elevation", "40", "--blend", "poisson", "--at", "30,20")
    assert told("subject.png", "scene.png", "-o", "lit.png", *light)["subjects"][0]["shadow"]


def test_several_subjects() -> None:
    result = told("subject.png", "opaque.png", "scene.png", "-o", "two.png", "--harmonize", "none", "--shadow", "off",
                  "--at", "10,20", "--at", "70,20", "--mask", "mask.png", "--mask", "mask.png")  # fmt: skip
    assert len(result["subjects"]) == 2


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("--at", "1"), "--at: '1', expected auto or X,Y", 2),
        (("--at", "1,1", "--at", "2,2"), "--at: given 2 times for 1 subjects", 2),
        (("--box", "1,2"), "--box: '1,2', expected X,Y,W,H", 2),
        (("--shadow", "yes"), "--shadow: 'yes', expected auto, on or off", 2),
        (("--shadow", "off", "--azimuth", "3"), "--shadow off and --azimuth do not go together", 2),
        (("--scale", "x"), "--scale: 'x', expected auto or a number", 2),
        (("--blend", "x"), "--blend: 'x', expected auto, alpha", 2),
        (("--recipe", "scene.png"), "--recipe: scene.png is no JSON", 2),
        (("--save-recipe", "-"), "stdout takes OUT alone", 2),
        (("--layers", "x.zip", *PLAIN), ".ora", 2),
    ],
)
def test_what_cannot_be_is_said_in_its_options(options: tuple[str, ...], says: str, code: int) -> None:
    result = call("subject.png", "scene.png", "-o", "out.png", *options, code=code)
    assert says in result.stderr


def test_a_background_is_needed() -> None:
    assert "BACKGROUND is missing" in call("subject.png", "-o", "out.png", code=2).stderr


def test_what_it_tells() -> None:
    asked = ("subject.png", "scene.png", "-o", "out.png", "--overwrite", *PLAIN)
    assert "wrote out.png" in call(*asked, "--verbose").stderr
    assert call(*asked, "--quiet").stderr == ""
    assert json.loads(call(*asked, "--log-json").stderr.splitlines()[-1])["message"].startswith("wrote out.png")
    assert "Traceback" in call("none.png", "scene.png", "-o", "x.png", "--debug", code=3).stderr
    call("subject.png", "scene.png", "-o", "out.png", *PLAIN, code=2)
