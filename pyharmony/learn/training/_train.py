"""Trains from a configuration: locks the run's folder and resumes an earlier part of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ... import _catalogue, _install, _temporary
from ...errors import ArgumentError
from ...typing import TorchDevice
from ._callbacks import Callback, Callbacks
from ._config import FIGURES, TrainConfig, check_name, in_table
from ._results import Plan, Progress, TrainResult
from ._samples import check_root, datasets

if TYPE_CHECKING:
    from ._loop import Run


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    resume: str | os.PathLike[str] | None = None,
    device: TorchDevice | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Trains a network.

    Under torchrun, the processes share the run: each trains on its part of every batch, `run.batch` samples per
    process; gradients are averaged, and the first process writes. On one CPU or GPU and with one seed the result is
    bit-identical, whether the run was interrupted or not.

    Args:
        config: the configuration, see `config_of`.
        out: the run's folder: `best.safetensors` and `last.safetensors` (a GAN's generator), `checkpoints/`,
            `config.json`, `log.jsonl`, `tensorboard/`.
        resume: 'auto' for the newest undamaged checkpoint in `out`, if any; the folder of a checkpoint; None for a
            new run, in a folder without checkpoints and weights.
        device: 'cpu' or 'cuda'; None: a GPU if available.
        on_progress: called with the run's progress after each logged step, and every ten seconds.
        callbacks: objects called on other events, see `Callback`.

    Raises:
        ArgumentError: a setting is not accepted by the model, its step or the data; `out` has checkpoints or weights
            and `resume` is None; `resume` is not a checkpoint, or has other settings or samples; another run uses
            `out`.
        WeightsError: a checkpoint or the weights of `run.start` are damaged, or are of another model.
        DecodeError: a sample, which is named, cannot be read; other errors of `pyharmony.learn.data` occur, too.
        OSError: `out` cannot be written.
        ImportError: a package of the extra `train` is missing.
        DTypeError: an element of callbacks is not a `Callback`.

    An exception of `on_progress` or a callback is raised after a checkpoint was written.
    """
    all_callbacks = Callbacks(callbacks, on_progress)
    folder, run = Path(out), _prepared(config, Path(out), device, all_callbacks)
    from . import _checkpoint

    checkpoints = folder / "checkpoints"
    if resume not in (None, "auto") and not (Path(resume) / "state.json").is_file():
        accepted = f"a checkpoint such as {checkpoints / 'step-00000100'}"
        raise ArgumentError(
            f"resume: {resume} is not the folder of a checkpoint, expected 'auto', or {accepted}",
            code="no-checkpoint", start=Path(resume), accepted=accepted,
        )  # fmt: skip
    with _checkpoint.locked(folder, int(os.environ.get("RANK", "0"))):
        if resume == "auto":
            start = _checkpoint.newest(checkpoints)
        elif resume is not None:
            start = Path(resume)
        else:
            start = None
            if any(checkpoints.glob("*")) or any(folder.glob("*.safetensors")):  # weights are not replaced
                hint = "use resume='auto' to continue it, or another folder"
                raise ArgumentError(f"out: {folder} contains a run", code="holds-a-run", hint=hint)
        if start is not None:
            run.resume(start)
        elif config.run.start:
            run.start_from(config.run.start)
        if run.processes.first:
            text = json.dumps(run.config.as_dict(), indent=2, sort_keys=True)
            _temporary.write_text(folder / "config.json", text + "\n")
        return run.run()


def plan(config: TrainConfig, *, device: TorchDevice | None = None) -> Plan:
    """Estimates a run without writing anything: its samples, parameters, steps, and its speed from a few steps.

    config, device and errors are those of `train`.
    """
    return _prepared(config, Path(), device, None).plan()


def _prepared(config: TrainConfig, folder: Path, device: TorchDevice | None, callbacks: Callbacks | None) -> Run:
    """Returns a run with its samples."""
    if device not in (None, "cpu", "cuda"):
        raise ArgumentError(f"device: {device!r}, expected 'cpu' or 'cuda'")
    # Errors in the arguments are raised before loading torch, or else before reading data, which takes longer.
    with in_table("model"):
        _catalogue.check_model(dict(config.model))
    if config.run.best_by:
        check_name("run.best_by", config.run.best_by, FIGURES[_catalogue.entry_of(config.model["name"]).task])
    check_root(config)
    try:
        import torch as _torch  # noqa: F401

        from ._loop import Run
    except ModuleNotFoundError as error:
        datasets(config)  # reports errors in the data in any case
        reason = f"pyharmony.learn.training.train needs it: {_install.hint('train')}"
        raise ImportError(f"{error.name} is missing, {reason}") from error
    run = Run(config, folder, device=device, callbacks=callbacks)
    bad: dict[str, str] = {}
    run.set_samples(*datasets(config, bad), bad)
    return run
