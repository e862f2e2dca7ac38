"""What a training run tells on its way: to callbacks, to its log, to TensorBoard and other loggers."""

from __future__ import annotations

import csv
import functools
import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyharmony.errors import DTypeError

from ..shared import need

pytest.importorskip("torch", reason="torch is not installed")
need("lightning_fabric", "tensorboard")

from pyharmony.learn import training
from pyharmony.learn.training import _log

from .test_training import config, weights, write_composites

pytestmark = [pytest.mark.large, pytest.mark.networks, pytest.mark.usefixtures("one_torch_thread")]


@pytest.fixture(scope="module")
def triples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_composites(tmp_path_factory.mktemp("triples"))


# ---- callbacks ------------------------------------------------------------------------------------------------------


class Told(training.Callback):
    """Notes what it is told, and raises an error at one of these.

    Args:
        fails: the method, and how often it was called before.
    """

    def __init__(self, *fails: Any) -> None:
        self.fails, self.calls = fails, list[Any]()

    def _note(self, method: str, value: Any) -> None:
        before = [method_of_call for method_of_call, _ in self.calls if method_of_call == method]
        self.calls.append((method, value))
        if self.fails == (method, len(before)):
            raise RuntimeError(f"no more of {method}")

    def on_start(self, run: Any) -> None:
        self.run = run
        self._note("start", run.step.count)

    def on_step(self, progress: training.Progress) -> None:
        self._note("step", progress.count)

    def on_evaluation(self, figures: dict[str, float]) -> None:
        self._note("evaluation", sorted(figures))

    def on_checkpoint(self, path: Path) -> None:
        assert (path / "state.json").is_file()
        self._note("checkpoint", path.name)

    def on_end(self, result: training.TrainResult) -> None:
        self._note("end", result.steps)


def test_callbacks_are_called(triples: Path, tmp_path: Path) -> None:
    """`on_step` after every step, and beside it `on_progress` after those that are logged."""
    recorder, counts = Told(), list[int]()
    config_ = config(triples, run__evaluate_steps=3, schedule__steps=5)
    result = training.train(
        config_,
        tmp_path,
        device="cpu",
        callbacks=[recorder, training.Callback()],
        on_progress=lambda p: counts.append(p.count),
    )
    figures = sorted(result.figures)
    assert recorder.calls == [
        ("start", 0), ("step", 1), ("step", 2), ("checkpoint", "step-00000002"), ("step", 3), ("evaluation", figures),
        ("step", 4), ("checkpoint", "step-00000004"), ("step", 5), ("evaluation", figures),
        ("checkpoint", "step-00000005"), ("end", 5),
    ]  # fmt: skip
    assert counts == [1, 2, 4, 5]
    run = recorder.run
    assert (run.config, run.out, len(run.training) + len(run.validation)) == (config_, tmp_path, 12)
    assert run.step.model is run.model and run.ema is result.model


@functools.cache
def weights_of_a_whole_run(triples: Path) -> bytes:
    """Returns what a run that nothing ends early leaves."""
    folder = triples.with_name(f"{triples.name}_whole")
    training.train(config(triples, run__evaluate_steps=3), folder, device="cpu")
    return weights(folder)


@pytest.mark.parametrize(
    ("fails", "steps"),
    [(("step", 2), 3), (("evaluation", 0), 3), (("checkpoint", 2), 6)],
)
def test_an_error_of_a_callback_ends_the_run_after_a_checkpoint(
    triples: Path, tmp_path: Path, fails: tuple[str, int], steps: int
) -> None:
    """From there it goes on with the same bits; an error after a checkpoint ends the step after it."""
    config_ = config(triples, run__evaluate_steps=3)
    recorder = Told(*fails)
    with pytest.raises(RuntimeError, match=f"no more of {fails[0]}"):
        training.train(config_, tmp_path / "part", device="cpu", callbacks=[recorder])
    newest = max((tmp_path / "part" / "checkpoints").iterdir()).name
    assert newest == f"step-{steps:08}" and "end" not in dict(recorder.calls)
    training.train(config_, tmp_path / "part", resume="auto", device="cpu")
    assert weights(tmp_path / "part") == weights_of_a_whole_run(triples)


def test_an_error_of_on_progress_does_the_same(triples: Path, tmp_path: Path) -> None:
    def fail(progress: training.Progress) -> None:
        if progress.count == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        training.train(config(triples, run__checkpoint_steps=0), tmp_path, device="cpu", on_progress=fail)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]


def test_errors_before_the_first_step_and_after_the_last(triples: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no more of start"):
        training.train(config(triples), tmp_path, device="cpu", callbacks=[Told("start", 0)])
    assert not (tmp_path / "checkpoints").exists()
    with pytest.raises(RuntimeError, match="no more of end"):
        training.train(config(triples), tmp_path, device="cpu", callbacks=[Told("end", 0)])
    assert (tmp_path / "last.safetensors").is_file()
    with pytest.raises(DTypeError, match=r"callbacks\[1\]: int, expected a Callback"):
        training.train(config(triples), tmp_path, callbacks=[training.Callback(), 3])  # type: ignore[list-item]


# ---- loggers --------------------------------------------------------------------------------------------------------


def test_figures_go_to_a_table_as_well(triples: Path, tmp_path: Path) -> None:
    """It goes on with the run: rows after the checkpoint, and one that a kill cut off, are taken away."""
    config_ = config(triples, run__loggers=["csv"], run__evaluate_steps=3)
    training.train(config_, tmp_path / "whole", device="cpu")
    assert not (tmp_path / "whole" / "tensorboard").exists()
    rows = list(csv.DictReader((tmp_path / "whole" / "metrics.csv").open(newline="")))
    entries = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [int(row["step"]) for row in rows] == [entry["step"] for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        values = {f"{entry['kind']}/{name}": x for name, x in entry.items() if name not in ("kind", "step")}
        assert {name: float(x) for name, x in row.items() if x and name != "step"} == values
    part = tmp_path / "part"
    shutil.copytree(tmp_path / "whole", part)
    for step in (4, 6):
        shutil.rmtree(part / "checkpoints" / f"step-0000000{step}")
    with (part / "metrics.csv").open("a") as file:
        file.write("2,0.5")
    training.train(config_, part, resume="auto", device="cpu")
    again = list(csv.DictReader((part / "metrics.csv").open(newline="")))
    assert list(again[0]) == list(rows[0]) and len(again) == len(rows)
    for a, b in zip(again, rows, strict=True):
        assert all(a[name] == b[name] for name in a if not name.startswith("speed/"))


class Wandb(types.ModuleType):
    """A stand-in for the package of Weights & Biases, which notes what it is given."""

    def __init__(self, *, reachable: bool = True) -> None:
        super().__init__("wandb")
        self.reachable, self.runs, self.logged, self.ends = reachable, list[Any](), list[Any](), 0

    def init(self, **options: Any) -> Wandb:
        self.runs.append(options)
        if not self.reachable and options.get("mode") != "offline":
            raise RuntimeError("api_key not configured\n(no-tty)")
        return self

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        assert (name, step_metric) in (("step", None), ("*", "step"))

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.ends += 1

    @staticmethod
    def Image(pixels: np.ndarray) -> tuple[int, ...]:  # its name there
        return pixels.shape


@pytest.mark.parametrize("reachable", [True, False])
def test_figures_go_to_weights_and_biases(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reachable: bool
) -> None:
    """A run that goes on is the same one there; without a network or a key it is written to the folder."""
    wandb = Wandb(reachable=reachable)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    for steps in (2, 4):
        config_ = config(triples, run__loggers=["wandb"], schedule__steps=steps, schedule__decay=0.0)
        training.train(config_, tmp_path / "mine", resume="auto", device="cpu")
    assert len({options["id"] for options in wandb.runs}) == 1 and wandb.ends == 2
    options = wandb.runs[0]
    assert (options["project"], options["name"], options["resume"]) == ("pyharmony", "mine", "allow")
    assert options["config"]["run"]["loggers"] == ("wandb",)
    assert [options.get("mode") for options in wandb.runs] == ([None] * 2 if reachable else [None, "offline"] * 2)
    message = "run.loggers: wandb cannot start (api_key not configured (no-tty)); logging offline, upload"
    assert (message in caplog.text) != reachable
    assert [values["step"] for values in wandb.logged if "loss/l1" in values] == [1, 2, 4]
    assert any("validation/psnr" in values for values in wandb.logged)
    assert any(len(values["pictures"]) == 3 for values in wandb.logged if "pictures" in values)


def test_a_logger_whose_package_is_missing_says_how_to_get_it(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, command in (("wandb", "pip install wandb"), ("tensorboard", "pip install ")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=f"{name} is missing; run.loggers='{name}' needs it: {command}"):
            training.train(config(triples, run__loggers=[name]), tmp_path, device="cpu")
    training.train(config(triples, run__loggers=[]), tmp_path, device="cpu")
    assert {path.name for path in tmp_path.iterdir()} == {
        ".lock", "best.safetensors", "last.safetensors", "checkpoints", "config.json", "log.jsonl",
    }  # fmt: skip


# ---- what is logged -------------------------------------------------------------------------------------------------


def test_tensorboard_has_scores_norms_rates_and_speed(triples: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = {"name": "pix2pix", "generator": "unet_32", "width": 2, "discriminator_width": 2, "norm": "instance"}
    model["mask"] = True
    config_ = config(triples, run__evaluate_steps=3, run__loggers=["tensorboard"])
    training.train(training.config_of({**config_.as_dict(), "model": model}), tmp_path, device="cpu")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert sorted(events.Tags()["images"]) == ["pictures", "training_pictures"] and events.Tags()["graph"]
    tags = {name: [event.value for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    networks = ("generator", "discriminator")
    expected = {"score/real", "score/fake", "speed/images_per_second", "validation_loss/l1", "validation/psnr"}
    expected |= {f"{kind}/{name}" for kind in ("gradient_norm", "learning_rate") for name in networks}
    assert expected <= set(tags)
    assert all(len(tags[name]) == (2 if name.startswith("validation") else 4) for name in expected)
    assert min(tags["speed/images_per_second"]) > 0
    # Rates of 2e-4 that fall over the second half of six steps.
    assert tags["learning_rate/generator"] == pytest.approx([2e-4, 2e-4, 2e-4, 2e-4 / 3])
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {entry["kind"] for entry in entries} == {
        "loss", "score", "gradient_norm", "learning_rate", "speed", "validation", "validation_loss",
    }  # fmt: skip


def test_the_same_samples_to_train_on_are_shown_each_time(
    triples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside each composite stand its mask, what the network makes of it, and the target."""
    sheets: list[np.ndarray] = []

    def noted(self: Any, name: str, count: int, pixels: np.ndarray) -> None:
        if name == "training_pictures":
            sheets.append(pixels)

    monkeypatch.setattr(_log._TensorBoard, "image", noted)
    changes = {"run__evaluate_steps": 3, "run__loggers": ["tensorboard"], "step__lr": 0.01, "data__validation": 0.0}
    training.train(config(triples, **changes), tmp_path, device="cpu")
    first, second = (sheet.reshape(8, 32, 4, 32, 3) for sheet in sheets)
    composite, mask, output, target = (first[:, :, i] for i in range(4))
    assert np.array_equal(np.delete(first, 2, 2), np.delete(second, 2, 2)) and not np.array_equal(first, second)
    assert set(np.unique(mask)) == {0, 255} and not np.array_equal(output, target)
    outside = mask == 0
    assert (
        np.abs(composite.astype(int) - target)[outside].mean() < np.abs(composite.astype(int) - target)[~outside].mean()
    )
