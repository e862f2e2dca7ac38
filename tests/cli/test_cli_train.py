"""`pyharmony train`: its settings, output, runs and errors."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import pyharmony
from pyharmony.cli import train
from pyharmony.cli._app import app

from ..shared import need

pytest.importorskip("torch", reason="torch is not installed")
need("lightning_fabric", "tensorboard")

from pyharmony.learn import training
from pyharmony.networks import models

pytestmark = [pytest.mark.large, pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]

CONFIG = """
[model]
name = "attention_unet"
width = 2
depth = 5

[data]
size = 32
validation = 0.25

[schedule]
steps = 4

[run]
batch = 2
log_steps = 1
loggers = []
"""


def call(*arguments: object, code: int = 0, command: str = "train") -> Any:
    result = CliRunner().invoke(app, [*command.split(), *map(str, arguments)])
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder of photographs with masks, and a configuration beside them."""
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
    arguments = (folder / "run.toml", "--data", folder / "photos", "--output", folder / "run", "--device", "cpu")
    result = call(*arguments, "--set", "run.loggers=['tensorboard']")
    assert "step 1 of 4, epoch 1" in result.stderr
    *_, summary, board = result.stderr.splitlines()
    assert re.search(
        r"run/best\.safetensors: 4 steps in 0:\d\d minutes; on the validation images PSNR \d+\.\d\d dB, "
        r"\d+\.\d\d dB (beyond|short of) the composite, fMSE \d+\.\d, best at step 4$",
        summary,
    )
    assert board == f"figures and images of the run: tensorboard --logdir {folder / 'run' / 'tensorboard'}"
    assert models.load(folder / "run" / "best.safetensors").name == "attention_unet"
    (folder / "bare").mkdir()
    plain = call(*arguments[:3], "-o", folder / "bare", "--device", "cpu")
    assert "tensorboard" not in plain.stderr
    gone = call(*arguments, "--resume", folder / "run", code=2).stderr
    assert f"--resume: {folder / 'run'} is not a checkpoint folder, expected auto or a checkpoint such as" in gone
    holds = f"error: --output: {folder / 'run'} contains a run; --resume auto continues it, or pass another folder"
    assert holds in call(*arguments, code=2).stderr
    report = json.loads(call(*arguments, "--resume", "auto", "--set", "schedule.steps=6", "--json").stdout)
    assert (report["status"], report["steps"], report["skipped"]) == ("ok", 6, 0)
    assert {"psnr", "fmse", "gain", "step"} <= report["best"].keys()
    assert Path(report["weights"]).is_file()


def test_without_a_file_a_network_and_a_folder_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    changes = ("model.width=2", "model.depth=5", "data.size=32", "schedule.steps=2", "run.batch=2", "run.loggers=[]")
    settings = [text for change in changes for text in ("--set", change)]
    result = call("--model", "attention_unet", "--data", "photos", *settings, "--log-json")
    assert all(json.loads(line) for line in result.stderr.splitlines())
    assert (folder / "runs" / "attention_unet" / "last.safetensors").is_file()
    assert call("--model", "attention_unet", "--data", "photos", *settings, "-o", "other", "--quiet").stderr == ""


def test_recipes_are_listed_and_taken_by_name(folder: Path) -> None:
    listed = call("--recipes").stdout
    assert all(name in listed for name in training.recipes())
    assert json.loads(call("--recipes", "--json").stdout)["recipes"] == training.recipes()
    changes = ("model.width=2", "model.depth=5", "data.size=32", "schedule.steps=1", "run.batch=2", "run.loggers=[]")
    settings = [text for change in changes for text in ("--set", change)]
    call("attention_unet", "--data", folder / "photos", *settings, "-o", folder / "run", "--verbose")
    assert json.loads((folder / "run" / "config.json").read_text())["schedule"]["epochs"] == 100


def test_a_dry_run_tells_of_the_run_and_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    arguments = ("run.toml", "--data", "photos", "--device", "cpu", "--dry-run")
    output = call(*arguments).stdout.splitlines()
    assert [line.split()[0] for line in output] == ["data", "network", "steps", "speed", "time"]
    plan = json.loads(call(*arguments, "--json").stdout)
    model = models.outline("attention_unet", width=2, depth=5)
    assert plan["parameters"] == {"model": sum(p.numel() for p in model.parameters())}
    assert plan["training"] + plan["validation"] == 12 and plan["steps_per_epoch"] == plan["training"] // 2
    assert (plan["steps"], plan["measured"], plan["dtype"], plan["device"]) == (4, 8, "float32", "cpu")
    assert plan["seconds"] == pytest.approx(4 * 2 / plan["rate"])
    changes = (
        "model.name=gp_gan",
        "model.width=4",
        "model.critic_width=4",
        "model.bottleneck=8",
        "data.size=64",
        "data.enlarge=true",
    )
    changes += ("schedule.steps=0", "schedule.minutes=0.5", "run.accumulate=2")
    (folder / "gan.toml").write_text('[model]\nname = "gp_gan"\n')
    settings = [text for change in changes for text in ("--set", change)]
    output = call("gan.toml", *arguments[1:], *settings).stdout
    assert re.search(r"network  gp_gan, [\d,]+ parameters: generator [\d,]+, discriminator [\d,]+\n", output)
    assert re.search(r"time     0:00:(29|30) hours, without evaluations", output)
    (folder / "gan.toml").unlink()
    assert sorted(folder.rglob("*")) == before
    assert "--dry-run: cannot be used with --resume" in call(*arguments, "--resume", "auto", code=2).stderr
    assert "lrr: SupervisedStep has no such" in call(*arguments, "--set", "step.lrr=1", code=2).stderr


def test_an_interrupted_run_ends_with_130(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.train

    def interrupted(*arguments: Any, **options: Any) -> Any:
        tell = options.pop("on_progress")

        def stop(progress: training.Progress) -> None:
            tell(progress)
            os.kill(os.getpid(), signal.SIGINT)

        return real(*arguments, on_progress=stop, **options)

    monkeypatch.setattr(training, "train", interrupted)
    arguments = (folder / "run.toml", "--data", folder / "photos", "-o", folder / "run")
    report = json.loads(call(*arguments, "--json", code=130).stdout)
    assert report["status"] == "interrupted" and report["steps"] < 4
    monkeypatch.undo()
    assert json.loads(call(*arguments, "--resume", "auto", "--json").stdout)["steps"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "CONFIG: missing"),
        (("nothing.toml",), 3, "nothing.toml: no such file"),
        (("nothing",), 2, "CONFIG: no recipe or file nothing; recipes are attention_unet, bargainnet"),
        (("dovenet-smal",), 2, "no recipe or file dovenet-smal; did you mean 'dovenet-small'?; recipes are"),
        (("unet3plus",), 2, "--data ROOT: missing"),
        (("unet3plus", "--data", "."), 3, "--data: .: no known kind of data set; pass --set data.kind=NAME"),
        (("unet3plus", "--data", "nowhere"), 3, "nowhere"),
        (("unet3plus", "--set", "run.bach=3"), 2, "run.bach: no such key; did you mean 'batch'?"),
        (("unet3plus", "--data", "nowhere", "--set", "step.lrr=1"), 2, "step.lrr: SupervisedStep has no such setting"),
        (("unet3plus", "--data", "nowhere", "--set", "model.widht=8"), 2, "did you mean 'width'?"),
        (("unet3plus", "--set", "batch=3"), 2, "--set: 'batch=3', expected table.key=value"),
        (("--model", "unet3", "--data", "photos"), 2, "did you mean 'unet3plus'?"),
        (("unet3plus", "--data", "photos", "--device", "abacus"), 2, "--device: 'abacus'"),
    ],
)
def test_what_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(folder)
    assert message in call(*arguments, code=code).stderr
    assert not (folder / "runs").exists() or not list((folder / "runs").rglob("*.safetensors"))


def test_a_line_comes_every_ten_seconds_with_the_time_that_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes whatever run.log_steps is, which here logs the first and the last step alone; steps seem to take 4 s."""
    from pyharmony.learn.training import _loop

    clock = [0.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return clock[0]

    real = _loop.Run._run_step

    def slow(self: Any, batch: Any) -> Any:
        clock[0] += 4
        return real(self, batch)

    began = dict.fromkeys(("began", "before", "told_at", "saved_at"), 0.0)
    monkeypatch.setattr(_loop, "_Watch", functools.partial(_loop._Watch, **began))
    monkeypatch.setattr(_loop, "time", Time)
    monkeypatch.setattr(_loop.Run, "_run_step", slow)
    lines = call(folder / "run.toml", "--data", folder / "photos", "--output", folder / "run", "--device", "cpu",
                 "--set", "run.log_steps=1000", "--set", "schedule.steps=12").stderr.splitlines()  # fmt: skip
    steps = [line for line in lines if line.startswith("step ")]
    assert [line.split(",")[0] for line in steps] == [f"step {n} of 12" for n in (1, 4, 7, 10, 12)]
    assert "0:00:32 left" in steps[1] and "0:00:08 left" in steps[3]


def test_a_run_that_was_far_too_short_says_so(folder: Path) -> None:
    arguments = (folder / "run.toml", "--data", folder / "photos", "--device", "cpu", "--output", folder / "run")
    more = ("--set", "schedule.warm_up=10", "--set", "schedule.expected_steps=1500")
    says = "hardly trained: 4 steps, expected about 1,500, inside the warm-up of 10; increase schedule.steps"
    result = call(*arguments, *more)
    assert f"warning: {says}" in result.stderr.splitlines()
    report = json.loads(call(*arguments, *more, "--resume", "auto", "--json").stdout)
    assert report["short"] == says
    report = json.loads(call(*arguments, "--set", "schedule.expected_steps=12", "--resume", "auto", "--json").stdout)
    assert report["short"] == ""


def test_what_a_network_that_blends_has_reached_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    call("photos", "-o", "composites", "--size", "64", "--limits", "0,65025", command="data synth")
    changes = ("preset=small", "width=4", "critic_width=4", "bottleneck=8")
    changes = (
        *(f"model.{x}" for x in changes),
        "data.size=64",
        "schedule.steps=2",
        "run.batch=2",
        "run.loggers=[]",
        "run.best_by=seam_error",
    )
    settings = [text for change in changes for text in ("--set", change)]
    message = call("--model", "gp_gan", "--data", "composites", *settings, "-o", "run").stderr
    assert re.search(
        r"on the validation images PSNR [\d.]+ dB, MSE \d+.*, seam [\d.]+ and colour [\d.]+ levels", message
    )


def test_what_a_network_that_cuts_out_has_reached_is_told() -> None:
    result = SimpleNamespace(
        steps=40, seconds=61.0, stopped_early=False, best={"iou": 0.7354, "best": 0.8, "step": 20.0}
    )
    summary = "best: 40 steps in 1:01 minutes; on the validation images IoU 0.735, best at step 20"
    assert train._summary("best", result) == summary


def test_a_run_that_stops_early_says_so(folder: Path) -> None:
    """At a rate of next to nothing the figures stay as they are."""
    arguments = (folder / "run.toml", "--data", folder / "photos", "--device", "cpu", "--output", folder / "run")
    changes = ("step.lr=1e-12", "run.evaluate_steps=1", "schedule.stop_after=1", "schedule.steps=50", "run.seed=1")
    result = call(*arguments, *(x for c in changes for x in ("--set", c)), "--resume", "auto")
    assert re.search(r"best\.safetensors: \d+ steps in 0:\d\d minutes, stopped early; on the validation", result.stderr)
    report = json.loads(
        call(*arguments, *(x for c in changes for x in ("--set", c)), "--resume", "auto", "--json").stdout
    )
    assert report["stopped_early"] and report["steps"] < 50


def test_a_recipe_of_minutes_says_what_they_are_worth() -> None:
    for name in ("colorgrid-five-minutes", "pix2pix-five-minutes"):
        schedule = training.config_of(training.with_changes(training.recipe(name), ["data.root=x"])).schedule
        assert schedule.expected_steps > 10 * schedule.warm_up and schedule.minutes == 5


def test_evaluation_of_a_run_gives_the_gain_that_training_told(folder: Path) -> None:
    """A crop makes the composites larger than what the network sees, which has another usual size."""
    arguments = (folder / "run.toml", "--data", folder / "photos", "--output", folder / "run", "--device", "cpu")
    changes = ("data.crop_share=0.3", "data.size=64", "data.enlarge=true", "data.per_photo=2", "run.evaluate_steps=2")
    report = json.loads(call(*arguments, *(x for c in changes for x in ("--set", c)), "--json").stdout)
    evaluation = json.loads(call("--run", folder / "run", "--device", "cpu", "--json", command="evaluate").stdout)
    assert evaluation["size"] == 64
    (summary,) = [row for row in evaluation["summaries"] if row["method"] == "run" and row["group"] == "all"]
    for name in ("psnr", "fmse", "mse", "ssim"):
        assert summary["means"][name]["mean"] == pytest.approx(report["best"][name], rel=1e-3)
    assert summary["gains"]["psnr"]["mean"] == pytest.approx(report["best"]["gain"], abs=2e-3)


def test_the_sheet_shows_different_photographs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.learn.training import _evaluate

    assert _evaluate.on_sheet(64) == {0, 8, 16, 24, 32, 40, 48, 56} and _evaluate.on_sheet(3) == {0, 1, 2}
    sheets: list[np.ndarray] = []
    real = _evaluate.evaluate

    def kept(model: Any, prepared: Any, *measured: Any) -> Any:
        figures, sheet = real(model, prepared, *measured)
        sheets.extend([sheet] if measured else [])
        return figures, sheet

    monkeypatch.setattr("pyharmony.learn.training._loop.evaluate", kept)
    changes = ("data.per_photo=4", "data.validation=0.5")
    call(folder / "run.toml", "--data", folder / "photos", "--output", folder / "run", "--device", "cpu",
         *(x for c in changes for x in ("--set", c)))  # fmt: skip
    rows = sheets[-1].reshape(-1, 32, 128, 3)[:, :, 96:]
    assert len(rows) == 8 and len({row.tobytes() for row in rows}) >= 4


def test_a_traceback_is_shown_when_asked_for(folder: Path) -> None:
    assert "Traceback" in call("unet3plus", "--debug", code=2).stderr


def test_from_photographs_to_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    call("photos", "-o", "composites", "--size", "32", "--limits", "0,65025", command="data synth")
    call("run.toml", "--data", "composites", "-o", "run")
    arguments = ("--data", "composites", "--network", "run/best.safetensors", "--size", "32", "--json")
    report = json.loads(call(*arguments, command="evaluate").stdout)
    assert report["methods"] == ["composite", "run"] and report["samples"] == 12
