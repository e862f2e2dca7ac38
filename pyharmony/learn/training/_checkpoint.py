"""Checkpoints: folders of safetensors and JSON, each written atomically.

A folder such as `step-00001200/` contains `model.safetensors`, which `models.load` reads, `ema.safetensors` if the run
averages its weights, `state.safetensors` with the optimizers' moments and the random states, and `state.json` with
everything else and the SHA-256 of the other files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ... import _temporary
from ...errors import ArgumentError, FileError, WeightsError
from ...networks import models

_LOG = logging.getLogger(__name__)
_FORMAT = 2
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_NAME = re.compile(r"step-(\d{8,})")


@dataclass
class Checkpoint:
    """The contents of a checkpoint.

    Attributes:
        model, ema: the model with its weights, and one of the same class with the averaged weights, or None.
        optimizers: the result of `Step.state_dict`.
        random: the random generator states, uint8 tensors by `process/device`.
        facts: plain values: step count, position in the data, best metrics, the digest of the configuration.
    """

    model: models.Model
    ema: models.Model | None
    optimizers: dict[str, Any]
    random: dict[str, Tensor]
    facts: dict[str, Any]


def _flat(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Moves each tensor in value to `tensors` and returns value with names in their place."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().clone().contiguous()
        return {"__tensor__": path}
    if isinstance(value, Mapping):
        return {"__items__": [[key, _flat(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, tuple | list):
        return {"__list__": [_flat(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]}
    return value


def _deep(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "__tensor__" in value:
        return tensors[value["__tensor__"]]
    if "__items__" in value:
        return {key: _deep(item, tensors) for key, item in value["__items__"]}
    return [_deep(item, tensors) for item in value["__list__"]]


def write(folder: Path, count: int, checkpoint: Checkpoint, keep: int) -> Path:
    """Writes the checkpoint of a step and removes all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{count:08d}"
    with _temporary.folder(target, replace=True) as temporary:
        models.save(checkpoint.model, temporary / "model.safetensors")
        if checkpoint.ema is not None:
            models.save(checkpoint.ema, temporary / "ema.safetensors")
        tensors: dict[str, Tensor] = {}
        optimizers = _flat(checkpoint.optimizers, "optimizers", tensors)
        tensors.update({f"random/{name}": state for name, state in checkpoint.random.items()})
        safetensors.torch.save_file(tensors, temporary / "state.safetensors")
        files = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        state = {"format": _FORMAT, "files": files, "optimizers": optimizers, "facts": checkpoint.facts}
        (temporary / "state.json").write_text(json.dumps(state), "utf-8")
        for path in temporary.iterdir():
            _temporary.sync(path)
    for _, old in _checkpoints_in(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """Returns the checkpoints in a folder, newest first."""
    if not folder.is_dir():
        return []
    matches = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)) and path.is_dir()]
    return sorted(((int(match[1]), path) for match, path in matches), reverse=True)


def newest(folder: Path) -> Path | None:
    """Returns the newest undamaged checkpoint; logs a warning for each damaged one."""
    for _, path in _checkpoints_in(folder):
        try:
            _read_state(path)
            return path
        except WeightsError as error:
            _LOG.warning("%s; the previous one is used", error)
    return None


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads((path / "state.json").read_text("utf-8"))
        files = dict(state["files"])
        if state["format"] != _FORMAT:
            raise WeightsError(f"{path}: format {state['format']!r}, expected {_FORMAT}")
        for name, expected in files.items():
            if _checksum(path / name) != expected:
                raise WeightsError(f"{path}: {name} is damaged")
    except (OSError, *_DAMAGE) as error:
        raise WeightsError(f"{path}: not a checkpoint, or damaged ({type(error).__name__}: {error})") from error
    return dict(state)


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint that `write` wrote."""
    folder = Path(path)
    state = _read_state(folder)
    ema = folder / "ema.safetensors"
    try:
        tensors = safetensors.torch.load_file(folder / "state.safetensors")
        return Checkpoint(
            model=models.load(folder / "model.safetensors"),
            ema=models.load(ema) if "ema.safetensors" in state["files"] else None,
            optimizers=_deep(state["optimizers"], tensors),
            random={k.removeprefix("random/"): v for k, v in tensors.items() if k.startswith("random/")},
            facts=dict(state["facts"]),
        )
    except (safetensors.SafetensorError, OSError, *_DAMAGE) as error:
        raise WeightsError(f"{folder}: damaged checkpoint ({type(error).__name__}: {error})") from error


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Returns the random generator states of this process, by device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], rank: int, device: torch.device) -> None:
    """Restores the random states of this rank; a rank that the checkpoint does not contain keeps its state."""
    if f"{rank}/cpu" not in states:
        return
    torch.set_rng_state(states[f"{rank}/cpu"])
    if device.type == "cuda":
        if f"{rank}/cuda" not in states:
            raise ArgumentError("resume: the checkpoint was made on a CPU, but the run is on a GPU")
        torch.cuda.set_rng_state(states[f"{rank}/cuda"], device)


@contextlib.contextmanager
def locked(folder: Path, rank: int = 0) -> Iterator[None]:
    """Locks a folder so that only one run writes to it; only the run's first process takes the lock."""
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError.of(error.errno or errno.EIO, "out", folder, "a folder for the run") from None
    if rank:
        yield
        return
    lock = folder / ".lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ArgumentError(f"out: {lock} is a link, expected a regular file") from error
    with open(descriptor, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ArgumentError(f"out: another run is writing to {folder}") from error
        _temporary.sweep(folder)
        _temporary.sweep(folder / "checkpoints")
        yield
