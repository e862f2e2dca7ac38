"""A training run from its configuration: the data set opened, the folder locked, an earlier part gone on from."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import data
from ..errors import ArgumentError
from . import _checkpoint
from ._config import TrainConfig
from ._loop import Progress, Run, TrainResult


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    resume: str | os.PathLike[str] | None = None,
    device: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Trains a network.

    In a process that torchrun started the run is shared with the others: each takes its part of every batch of
    `run.batch` samples a process, gradients are averaged, the first process writes. On one processor or GPU and with
    one seed the result is the same to the bit, whether the run was interrupted or not.

    Args:
        config: see `config_of`.
        out: the run's folder: `best.safetensors` and `last.safetensors` (a GAN's generator), `checkpoints/`,
            `config.json`, `log.jsonl`, `tensorboard/`.
        resume: 'auto' for the newest whole checkpoint in `out`, where there is one; a checkpoint's folder; None for a
            new run, in a folder without checkpoints.
        device: 'cpu' or 'cuda'; None: a GPU where there is one.
        on_progress: told of the run after each logged step.

    Raises:
        ArgumentError: a setting that the model, its step or the data does not accept; checkpoints in `out` without
            `resume`; a checkpoint of a run with other settings; `out` in use by another run.
        WeightsError: a checkpoint that is damaged.
        DecodeError and others of `pyharmony.data`: a sample that cannot be read, by its name.
        OSError: `out` cannot be written.
    """
    folder = Path(out)
    training, validation = datasets(config)
    with _checkpoint.locked(folder, int(os.environ.get("RANK", "0"))):
        checkpoints = folder / "checkpoints"
        if resume == "auto":
            start = _checkpoint.newest(checkpoints)
        elif resume is not None:
            start = Path(resume)
        else:
            start = None
            if checkpoints.is_dir() and any(checkpoints.iterdir()):
                raise ArgumentError(f"out: {folder} holds a run; resume='auto' goes on with it, or give another folder")
        run = Run(config, training, validation, folder, device=device, on_progress=on_progress)
        if start is not None:
            run.resume(start)
        if run.processes.first:
            text = json.dumps(config.as_dict(), indent=2, sort_keys=True)
            temporary = folder / f".config.json.{os.getpid()}"
            temporary.write_text(text + "\n", "utf-8")
            os.replace(temporary, folder / "config.json")
        return run.run()


def datasets(config: TrainConfig) -> tuple[data.Dataset, data.Dataset]:
    """What is trained on, and what is held back; photographs and scenes as the composites that are made of them."""
    chosen = config.data
    if not chosen.root:
        raise ArgumentError("data.root: missing, expected a folder")
    training = _opened(chosen.root, chosen.split, config)
    if isinstance(chosen.validation, str):
        held_back = _opened(chosen.validation, chosen.validation_split, config)
    elif chosen.validation_split:
        held_back = _opened(chosen.root, chosen.validation_split, config)
    else:
        parts = data.split(training, {"train": 1 - chosen.validation, "val": chosen.validation})
        training, held_back = parts["train"], parts["val"]
    return _composites(training, config, 0), _composites(held_back, config, 1)


def _opened(root: str, split: str, config: TrainConfig) -> data.Dataset:
    found = data.open_dataset(root, split=split or None)
    return found.pairs(config.data.pairs, seed=config.run.seed) if isinstance(found, data.AlignedScenes) else found


def _composites(found: data.Dataset, config: TrainConfig, side: int) -> data.Dataset:
    """side: 0 of what is trained on, 1 of what is held back."""
    if not len(found):
        return found
    size, seed, first = math.ceil(config.data.size / (1 - config.data.crop)), 2 * config.run.seed + side, found[0]
    if "composite" in first:
        return found
    if "src" in first and "dst" in first:
        return data.CopyPaste(found, load_size=size, crop_size=size, seed=seed)
    return data.Synthesis(_Small(found, size), size=size, seed=seed)


class _Small(data.Dataset):
    """Photographs at size x size pixels, kept once they were read: decoding takes longer than all else.

    As many are kept as `memory` bytes hold. What `Synthesis` makes of them at this size is the same.
    """

    memory = 1 << 30

    def __init__(self, photos: data.Dataset, size: int) -> None:
        self.photos, self.size, self.names = photos, size, photos.names
        self._kept: dict[int, dict[str, Any]] = {}

    @property
    def groups(self) -> Sequence[str]:
        return self.photos.groups

    def _load(self, index: int) -> dict[str, Any]:
        found = self._kept.get(index)
        if found is None:
            found = data.resize_sample(self.photos[index], self.size)
            if len(self._kept) * 4 * self.size**2 < self.memory:
                self._kept[index] = found
        return dict(found)
