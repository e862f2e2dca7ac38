"""`pyharmony train`, and what goes before and after it: `data synth` and `evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pyharmony
from pyharmony.cli._app import app

pytest.importorskip("torch", reason="torch is not installed")

from pyharmony import models, training

pytestmark = pytest.mark.usefixtures("one_torch_thread")

#: A network, pictures and a run that take no time.
SMALL = tuple(
    part
    for setting in ("model.width=4", "data.size=32", "run.batch=2", "schedule.steps=2", "run.log_steps=1")
    for part in ("--set", setting)
)


def call(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


def told(*arguments: object, code: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", code=code).stdout)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve photographs with masks; the folder around them is the current one."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    for role in ("images", "masks"):
        (tmp_path / "photos" / role).mkdir(parents=True)
    for i in range(12):
        picture = random.integers(0, 256, (4, 4, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        pyharmony.save(picture, tmp_path / "photos" / "images" / f"{i}.png")
        pyharmony.save(mask, tmp_path / "photos" / "masks" / f"{i}.png")
    return tmp_path / "photos"


def test_from_photographs_to_figures(root: Path) -> None:
    call("data", "synth", root, "-o", "composites", "--size", "32", "--limits", "0,65025")
    found = told("train", "--model", "dovenet_lite", "--data", "composites", "-o", "run", "--device", "cpu", *SMALL)
    assert (found["schema"], found["status"], found["steps"]) == ("pyharmony.train/1", "ok", 2)
    assert models.load(found["weights"]).config.width == 4
    figures = told("evaluate", "--data", "composites", "--model", found["weights"], "--device", "cpu")
    assert figures["methods"] == ["composite", "run"] and figures["samples"] == 12
    checkpoint = sorted(Path("run/checkpoints").iterdir())[-1] / "model.safetensors"
    figures = told("evaluate", "--data", "composites", "--judge", f"d={checkpoint}", "--device", "cpu")
    assert "d_verification" in figures["summaries"][0]["means"]


def test_a_run_goes_on(root: Path) -> None:
    arguments = ("train", "--model", "dovenet_lite", "--data", root, "--device", "cpu", *SMALL)
    result = call(*arguments)
    assert result.stdout == "" and "runs/dovenet_lite/best.safetensors: 2 steps, " in result.stderr
    assert "resume='auto' goes on" in call(*arguments, code=2).stderr
    longer = (*arguments, "--set", "schedule.steps=3")
    assert told(*longer, "--resume", "auto", "--output", "runs/dovenet_lite")["steps"] == 3
    assert call(*longer, "--resume", "auto", "--quiet").stderr == ""


def test_a_file_says_what_to_train(root: Path) -> None:
    Path("mine.toml").write_text('[model]\nname = "dovenet_lite"\n[data]\nroot = "photos"\n')
    lines = call("train", "mine.toml", "--device", "cpu", *SMALL, "--log-json").stderr.splitlines()
    assert [json.loads(line)["level"] for line in lines] == ["info"] * len(lines)
    assert json.loads(lines[0])["step"] == 1
    found = told("train", "dovenet_lite", "--data", root, "-o", "b", "--device", "cpu", *SMALL, "--verbose")
    assert found["steps"] == 2  # a recipe with its changes


def test_recipes_are_listed() -> None:
    assert told("train", "--recipes")["recipes"] == training.recipes()
    assert [line.split()[0] for line in call("train", "--recipes").stdout.splitlines()] == list(training.recipes())


def test_what_cannot_be_trained_is_told(root: Path) -> None:
    Path("mine").write_text("a file")
    for arguments, code, says in (
        ((), 2, "CONFIG: missing"),
        (("none.toml",), 3, "none.toml: no such file"),
        (("--model", "dovenet_lyte", "--data", root), 2, "did you mean 'dovenet_lite'"),
        (("--model", "dovenet_lite"), 2, "data.root: missing"),
        (("--model", "dovenet_lite", "--data", "none"), 3, "none: no such file"),
        (("--model", "dovenet_lite", "--data", root, "--output", "mine/run", *SMALL), 1, "mine/run: cannot be written"),
        (("--model", "dovenet_lite", "--data", root, "--set", "run.batch"), 2, "run.batch"),
        (("--model", "dovenet_lite", "--data", root, "--set", "run.bach=2"), 2, "run.bach"),
    ):
        assert says in call("train", *arguments, code=code).stderr
    assert "Traceback" in call("train", "none.toml", "--debug", code=3).stderr
