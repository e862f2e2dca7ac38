"""`pyharmony train`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pyharmony
from pyharmony.cli._app import app

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning_fabric", reason="lightning-fabric is not installed")
pytest.importorskip("tensorboard", reason="tensorboard is not installed")

from pyharmony import models, training

pytestmark = [pytest.mark.large, pytest.mark.usefixtures("one_torch_thread")]

CONFIG = """
[model]
name = "unet3plus"
width = 2
branch = 2

[data]
size = 32
validation = 0.25

[schedule]
steps = 4

[run]
batch = 2
log_steps = 1
"""


def call(*arguments: object, code: int = 0, command: str = "train") -> Any:
    result = CliRunner().invoke(app, [*command.split(), *map(str, arguments)])
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs with masks, and a configuration beside them."""
    random = np.random.default_rng(0)
    for i in range(12):
        mask = np.zeros((36, 40), np.uint8)
        mask[6:26, 4 + i : 24 + i] = 255
        for role, pixels in (("images", random.integers(0, 256, (36, 40, 3), np.uint8)), ("masks", mask)):
            (tmp_path / "photos" / role).mkdir(parents=True, exist_ok=True)
            pyharmony.save(pixels, tmp_path / "photos" / role / f"p{i:02}.png")
    (tmp_path / "run.toml").write_text(CONFIG)
    return tmp_path


def test_a_network_is_trained_and_gone_on_with(folder: Path) -> None:
    given = (folder / "run.toml", "--data", folder / "photos", "--output", folder / "run", "--device", "cpu")
    result = call(*given)
    assert "step 1 of 4, epoch 1" in result.stderr
    assert "run/best.safetensors: 4 steps" in result.stderr
    assert models.load(folder / "run" / "best.safetensors").name == "unet3plus"
    assert "holds a run; resume='auto' goes on with it" in call(*given, code=2).stderr
    told = json.loads(call(*given, "--resume", "auto", "--set", "schedule.steps=6", "--json").stdout)
    assert (told["status"], told["steps"], told["skipped"]) == ("ok", 6, 0)
    assert {"psnr", "fmse", "gain", "step"} <= told["best"].keys()
    assert Path(told["weights"]).is_file()


def test_without_a_file_a_network_and_a_folder_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    changes = ("model.width=2", "model.branch=2", "data.size=32", "schedule.steps=2", "run.batch=2")
    settings = [text for change in changes for text in ("--set", change)]
    result = call("--model", "unet3plus", "--data", "photos", *settings, "--log-json")
    assert all(json.loads(line) for line in result.stderr.splitlines())
    assert (folder / "runs" / "unet3plus" / "last.safetensors").is_file()
    assert call("--model", "unet3plus", "--data", "photos", *settings, "-o", "other", "--quiet").stderr == ""


def test_recipes_are_listed_and_taken_by_name(folder: Path) -> None:
    listed = call("--recipes").stdout
    assert all(name in listed for name in training.recipes())
    assert json.loads(call("--recipes", "--json").stdout)["recipes"] == training.recipes()
    changes = ("model.width=2", "model.branch=2", "data.size=32", "schedule.steps=1", "run.batch=2")
    settings = [text for change in changes for text in ("--set", change)]
    call("unet3plus", "--data", folder / "photos", *settings, "-o", folder / "run", "--verbose")
    assert json.loads((folder / "run" / "config.json").read_text())["schedule"]["epochs"] == 100


def test_an_interrupted_run_ends_with_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.train

    def interrupted(*arguments: Any, **options: Any) -> Any:
        tell = options.pop("on_progress")

        def stop(progress: training.Progress) -> None:
            tell(progress)
            os.kill(os.getpid(), signal.SIGINT)

        return real(*arguments, on_progress=stop, **options)

    monkeypatch.setattr(training, "train", interrupted)
    given = (folder / "run.toml", "--data", folder / "photos", "-o", folder / "run")
    told = json.loads(call(*given, "--json", code=130).stdout)
    assert told["status"] == "interrupted" and told["steps"] < 4
    monkeypatch.undo()
    assert json.loads(call(*given, "--resume", "auto", "--json").stdout)["steps"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "CONFIG: missing"),
        (("nothing.toml",), 3, "nothing.toml: no such file"),
        (("unet3plus",), 2, "data.root: missing"),
        (("unet3plus", "--data", "nowhere"), 3, "nowhere"),
        (("unet3plus", "--set", "run.bach=3"), 2, "run.bach: no such key; did you mean 'batch'?"),
        (("unet3plus", "--set", "batch=3"), 2, "--set batch=3: expected table.key=value"),
        (("--model", "unet3", "--data", "photos"), 2, "did you mean 'unet3plus'?"),
        (("unet3plus", "--data", "photos", "--device", "abacus"), 2, "device: 'abacus'"),
    ],
)
def test_what_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(folder)
    assert message in call(*arguments, code=code).stderr
    assert not (folder / "runs").exists() or not list((folder / "runs").rglob("*.safetensors"))


def test_a_traceback_is_shown_when_asked_for(folder: Path) -> None:
    assert "Traceback" in call("unet3plus", "--debug", code=2).stderr


def test_from_photographs_to_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    call("photos", "-o", "composites", "--size", "32", "--limits", "0,65025", command="data synth")
    call("run.toml", "--data", "composites", "-o", "run")
    given = ("--data", "composites", "--model", "run/best.safetensors", "--size", "32", "--json")
    found = json.loads(call(*given, command="evaluate").stdout)
    assert found["methods"] == ["composite", "run"] and found["samples"] == 12
