"""Trains from a configuration: locks the run's folder and resumes an earlier part of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _catalogue, _install, _temporary
from ..errors import ArgumentError
from ..typing import TorchDevice
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

    In a process that torchrun started, the run is shared with the other processes: each takes its part of every batch,
    `run.batch` samples a process, the gradients are averaged, and the first process writes. On one CPU or GPU and with
    one seed the result is the same to the bit, whether the run was interrupted or not.

    Args:
        config: the configuration, see `config_of`.
        out: the run's folder: `best.safetensors` and `last.safetensors` (a GAN's generator), `checkpoints/`,
            `config.json`, `log.jsonl`, `tensorboard/`.
        resume: 'auto' for the newest whole checkpoint in `out`, where there is one; a checkpoint's folder; None for a
            new run, in a folder without checkpoints.
        device: 'cpu' or 'cuda'; None: a GPU where there is one.
        on_progress: called with the run's progress after each logged step, and every ten seconds.
        callbacks: code that is called at other places, see `Callback`.

    Raises:
        ArgumentError: the model, its step or the data does not accept a setting; `out` has checkpoints and `resume` is
            None; `resume` is no checkpoint, or one of a run with other settings or samples; another run uses `out`.
        WeightsError: a checkpoint is damaged, or the weights of `run.start` are, or are of another model.
        DecodeError: a sample, which is named, cannot be read; other errors of `pyharmony.data` occur, too.
        OSError: `out` cannot be written.
        ImportError: something that the extra installs is missing.
        DTypeError: one of the callbacks is no `Callback`.

    An error that `on_progress` or a callback raises is raised after a checkpoint was written.
    """
    all_callbacks = Callbacks(callbacks, on_progress)
    folder, run = Path(out), _prepared(config, Path(out), device, all_callbacks)
    from . import _checkpoint

    with _checkpoint.locked(folder, int(os.environ.get("RANK", "0"))):
        checkpoints = folder / "checkpoints"
        if resume == "auto":
            start = _checkpoint.newest(checkpoints)
        elif resume is not None:
            start = Path(resume)
            if not (start / "state.json").is_file():
                accepted = f"a checkpoint such as {checkpoints / 'step-00000100'}"
                raise ArgumentError(
                    f"resume: {start} is no folder of a checkpoint, expected 'auto', or {accepted}",
                    code="no-checkpoint", start=start, accepted=accepted,
                )  # fmt: skip
        else:
            start = None
            if checkpoints.is_dir() and any(checkpoints.iterdir()):
                hint = "resume='auto' goes on with it, or give another folder"
                raise ArgumentError(f"out: {folder} holds a run", code="holds-a-run", hint=hint)
        if start is not None:
            run.resume(start)
        elif config.run.start:
            run.start_from(config.run.start)
        if run.processes.first:
            text = json.dumps(run.config.as_dict(), indent=2, sort_keys=True)
            _temporary.write_text(folder / "config.json", text + "\n")
        return run.run()


def plan(config: TrainConfig, *, device: TorchDevice | None = None) -> Plan:
    """Tells what a run would do: its samples, parameters, steps, and from a few of these its speed. Nothing is written.

    Args:
        config: the configuration, see `config_of`.
        device: 'cpu' or 'cuda'; None: a GPU where there is one.

    Raises:
        ArgumentError, WeightsError, DecodeError, ImportError: as `train`.
    """
    return _prepared(config, Path(), device, None).plan()


def _prepared(config: TrainConfig, folder: Path, device: TorchDevice | None, callbacks: Callbacks | None) -> Run:
    """Returns a run with its samples."""
    if device not in (None, "cpu", "cuda"):
        raise ArgumentError(f"device: {device!r}, expected 'cpu' or 'cuda'")
    # Errors in the arguments are raised before torch is loaded, or else before data are read, which takes longer.
    with in_table("model"):
        _catalogue.check_model(dict(config.model))
    if config.run.best_by:
        check_name("run.best_by", config.run.best_by, FIGURES[_catalogue.entry_of(config.model["name"]).task])
    check_root(config)
    try:
        import torch as _torch  # noqa: F401

        from ._loop import Run
    except ModuleNotFoundError as error:
        datasets(config)  # what is wrong with the data is told in any case
        reason = f"pyharmony.training.train needs it: {_install.hint('train')}"
        raise ImportError(f"{error.name} is missing, {reason}") from error
    run = Run(config, folder, device=device, callbacks=callbacks)
    bad: dict[str, str] = {}
    run.take(*datasets(config, bad), bad)
    return run
