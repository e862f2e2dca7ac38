"""What a training run tells on its way: to callbacks, to its log, to TensorBoard and other loggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyharmony.errors import DTypeError

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning_fabric", reason="lightning-fabric is not installed")
pytest.importorskip("tensorboard", reason="tensorboard is not installed")

from pyharmony import training

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
        before = [called for called, _ in self.calls if called == method]
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
    told, seen = Told(), list[int]()
    given = config(triples, run__evaluate_steps=3, schedule__steps=5)
    result = training.train(
        given, tmp_path, device="cpu", callbacks=[told, training.Callback()], on_progress=lambda p: seen.append(p.count)
    )
    figures = sorted(result.figures)
    assert told.calls == [
        ("start", 0), ("step", 1), ("step", 2), ("checkpoint", "step-00000002"), ("step", 3), ("evaluation", figures),
        ("step", 4), ("checkpoint", "step-00000004"), ("step", 5), ("evaluation", figures),
        ("checkpoint", "step-00000005"), ("end", 5),
    ]  # fmt: skip
    assert seen == [1, 2, 4, 5]
    run = told.run
    assert (run.config, run.out, len(run.training) + len(run.validation)) == (given, tmp_path, 12)
    assert run.step.model is run.model and run.ema is result.model


@pytest.mark.parametrize(
    ("fails", "steps"),
    [(("step", 2), 3), (("evaluation", 0), 3), (("checkpoint", 0), 3), (("checkpoint", 2), 6), (("evaluation", 1), 6)],
)
def test_an_error_of_a_callback_ends_the_run_after_a_checkpoint(
    triples: Path, tmp_path: Path, fails: tuple[str, int], steps: int
) -> None:
    """From there it goes on with the same bits; an error after a checkpoint ends the step after it."""
    given = config(triples, run__evaluate_steps=3)
    told = Told(*fails)
    with pytest.raises(RuntimeError, match=f"no more of {fails[0]}"):
        training.train(given, tmp_path / "part", device="cpu", callbacks=[told])
    newest = max((tmp_path / "part" / "checkpoints").iterdir()).name
    assert newest == f"step-{steps:08}" and "end" not in dict(told.calls)
    training.train(given, tmp_path / "part", resume="auto", device="cpu")
    training.train(given, tmp_path / "whole", device="cpu")
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")


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
    with pytest.raises(DTypeError, match=r"callbacks\[1\]: 3, expected a pyharmony\.training\.Callback"):
        training.train(config(triples), tmp_path, callbacks=[training.Callback(), 3])  # type: ignore[list-item]
