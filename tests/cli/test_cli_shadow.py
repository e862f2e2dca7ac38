"""`pyharmony shadow`: the light, lines of the picture, the layer, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pyharmony

from ..rendered import Camera, person
from ..shared import pixels, runners

pytestmark = pytest.mark.chains

call, report_of = runners("shadow")
CAMERA = Camera()


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = np.full((CAMERA.height, CAMERA.width, 3), 200, np.uint8)
    Image.fromarray(ground).save(tmp_path / "ground.png", icc_profile=b"", dpi=(300, 300))
    Image.fromarray(np.rint(255 * CAMERA.matte(5.0, person)).astype(np.uint8)).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)


def test_it_draws_what_the_function_draws() -> None:
    light = ("--azimuth", "30", "--elevation", "35", "--softness", "1", "--strength", "0.7", "--under", "0.5")
    light += ("--tint", "1,1,1.1")
    place = ("--horizon", "79.5", "--contact", "181.9", "--wall", "0,150,300,152", "--depth", "0.05")
    result = report_of("ground.png", "mask.png", "--output", "out.png", "--layer", "layer.png", *light, *place)
    expected, info = pyharmony.shadow(
        pixels("ground.png"), pixels("mask.png"), azimuth=30, elevation=35, softness=1, strength=0.7, under=0.5,
        tint=(1, 1, 1.1),
        horizon=79.5, contact=181.9, wall=((0, 150), (300, 152)), depth=0.05, return_info=True,
    )  # fmt: skip
    assert np.array_equal(pixels("out.png"), expected) and np.array_equal(pixels("layer.png"), info.layer)
    assert result["strength"] == 0.7 and result["contact"] == [181.9, 0.0] and result["layer"] == "layer.png"
    assert Image.open("out.png").info["dpi"][0] == pytest.approx(300, abs=1)
    call("ground.png", "mask.png", "-o", "out.png", code=2)
    again = call("ground.png", "mask.png", "-o", "out.png", "--tip", "60,230", "--overwrite", "--verbose")
    assert "wrote out.png: strength" in again.stderr
    assert pixels("out.png")[225:235, 55:75].min() < 200


def test_it_mirrors_what_the_function_mirrors() -> None:
    call_, report_of_reflection = runners("reflection")
    options = ("--strength", "0.7", "--fade", "0.5", "--blur", "0.05", "--contact", "0,181,300,182")
    result = report_of_reflection("ground.png", "mask.png", "--output", "out.png", "--layer", "layer.png", *options)
    expected, info = pyharmony.reflection(
        pixels("ground.png"), pixels("mask.png"), strength=0.7, fade=0.5, blur=0.05, contact=((0, 181), (300, 182)),
        return_info=True,
    )  # fmt: skip
    assert np.array_equal(pixels("out.png"), expected) and np.array_equal(pixels("layer.png"), info.layer)
    assert result["contact"] == list(info.contact) and result["layer"] == "layer.png"
    call_("ground.png", "mask.png", "-o", "out.png", code=2)
    again = call_("ground.png", "mask.png", "-o", "out.png", "--overwrite", "--verbose")
    assert "wrote out.png: contact at" in again.stderr
    assert call_("ground.png", "mask.png", "-o", "out.png", "--overwrite", "--quiet").stderr == ""
    record = json.loads(call_("ground.png", "mask.png", "-o", "x.png", "--log-json").stderr.splitlines()[-1])
    assert record["message"].startswith("wrote x.png")
    assert "--blur: 2" in call_("ground.png", "mask.png", "-o", "y.png", "--blur", "2", code=2).stderr
    assert "--contact: '1,2'" in call_("ground.png", "mask.png", "-o", "y.png", "--contact", "1,2", code=2).stderr
    assert "Traceback" in call_("none.png", "mask.png", "-o", "y.png", "--debug", code=3).stderr
    Image.new("L", (CAMERA.width, CAMERA.height)).save("empty.png")
    assert "nothing was written" in call_("ground.png", "empty.png", "-o", "y.png", code=3).stderr


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("--tip", "60"), "--tip: '60', expected X,Y", 2),
        (("--wall", "1,2"), "--wall: '1,2', expected Y|X,Y,X,Y, such as 300 or 10,300,200,290", 2),
        (("--elevation", "0"), "--elevation: 0, expected degrees above 0", 2),
        (("--wall", "230"), "--wall: meets the ground at 230", 2),
    ],
)
def test_what_cannot_be_is_said_in_its_options(options: tuple[str, ...], says: str, code: int) -> None:
    result = call("ground.png", "mask.png", "-o", "out.png", *options, code=code)
    assert says in result.stderr and not Path("out.png").exists()


@pytest.mark.parametrize("command", ["shadow", "reflection"])
def test_sizes_are_told_width_first_and_suffixes_beforehand(command: str) -> None:
    run, _ = runners(command)
    Image.new("L", (20, 30)).save("small.png")
    result = run("ground.png", "small.png", "-o", "out.png", code=3)
    assert f"20 x 30 pixels, expected {CAMERA.width} x {CAMERA.height}" in result.stderr
    output = run("none.png", "mask.png", "-o", "out.ora", code=2)
    assert "-o: out.ora: the suffix '.ora' names no format" in output.stderr
    layer = run("none.png", "mask.png", "-o", "out.png", "--layer", "x.ora", code=2)
    assert "--layer: x.ora: the suffix '.ora' names no format" in layer.stderr


def test_nothing_is_written_without_an_object() -> None:
    Image.new("L", (CAMERA.width, CAMERA.height)).save("empty.png")
    result = call("ground.png", "empty.png", "-o", "out.png", code=3)
    assert "mask is zero everywhere; nothing was written" in result.stderr and not Path("out.png").exists()


def test_what_it_tells() -> None:
    words = ("ground.png", "mask.png", "-o", "out.png", "--overwrite")
    assert call(*words, "--quiet").stderr == ""
    assert json.loads(call(*words, "--log-json").stderr.splitlines()[-1])["message"].startswith("wrote out.png")
    assert "Traceback" in call("none.png", "mask.png", "-o", "x.png", "--debug", code=3).stderr
