"""The log of a run: `log.jsonl` and the loggers of `run.loggers`."""

from __future__ import annotations

import contextlib
import copy
import csv
import importlib
import io
import json
import logging
import os
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _install, _temporary
from ...networks.models import Model
from ._config import TrainConfig

_LOG = logging.getLogger(__name__)


def check_loggers(names: tuple[str, ...]) -> None:
    """Raises an ImportError if the package of a logger is missing."""
    for name in ("tensorboard", "wandb"):
        if name in names:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                command = _install.hint("train") if name == "tensorboard" else f"pip install {name}"
                raise ImportError(f"{error.name} is missing; run.loggers={name!r} needs it: {command}") from error


class Log:
    """The log of a run in its folder; on resuming after `count` steps, later entries are removed."""

    def __init__(self, folder: Path, config: TrainConfig, count: int) -> None:
        self._path = folder / "log.jsonl"
        _truncate(self._path, count)
        kinds = {"tensorboard": _TensorBoard, "csv": _Csv, "wandb": _WeightsAndBiases}
        self._loggers: list[Logger] = [kinds[name](folder, config, count) for name in dict.fromkeys(config.run.loggers)]

    @property
    def shows(self) -> bool:
        """Whether any of the loggers accepts images."""
        return any(type(logger).image is not Logger.image for logger in self._loggers)

    def entry(self, kind: str, count: int, values: Mapping[str, Any]) -> None:
        """Appends a line to `log.jsonl` only."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": count, **values}) + "\n")

    def scalars(self, kind: str, count: int, values: Mapping[str, float]) -> None:
        self.entry(kind, count, values)
        for logger in self._loggers:
            logger.scalars(kind, count, values)

    def image(self, name: str, count: int, pixels: npt.NDArray[np.uint8]) -> None:
        for logger in self._loggers:
            logger.image(name, count, pixels)

    def graph(self, model: Model) -> None:
        for logger in self._loggers:
            logger.graph(model)

    def close(self) -> None:
        for logger in self._loggers:
            logger.close()


class Logger:
    """A logger; the base class ignores everything but scalars."""

    def scalars(self, kind: str, count: int, values: Mapping[str, float]) -> None:
        """Logs named values of a kind after a step."""
        raise NotImplementedError

    def image(self, name: str, count: int, pixels: npt.NDArray[np.uint8]) -> None:
        """Logs an image [H, W, 3] after a step."""

    def graph(self, model: Model) -> None:
        """Logs the graph of the forward pass, if the logger supports it."""

    def close(self) -> None:
        """Closes the log."""


class _TensorBoard(Logger):
    def __init__(self, folder: Path, config: TrainConfig, count: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=count + 1)

    def scalars(self, kind: str, count: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, count)

    def image(self, name: str, count: int, pixels: npt.NDArray[np.uint8]) -> None:
        self._board.add_image(name, pixels, count, dataformats="HWC")

    def graph(self, model: Model) -> None:
        """Logs the graph of the forward pass, unless tracing fails."""
        example = {k: v.to(next(model.parameters()).device) for k, v in model.example().items()}
        try:
            # The tracer warns about shape checks, and torch prints the error in addition to raising it.
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                self._board.add_graph(copy.deepcopy(model).eval(), tuple(example.values()), verbose=False)
        except Exception as error:  # torch's tracer raises any error of the network
            _LOG.info("TensorBoard has no graph: %s", str(error).splitlines()[0] if str(error) else error)

    def close(self) -> None:
        self._board.close()


class _Csv(Logger):
    """`metrics.csv`: a row for each entry, with a column `step` and one for each value, such as `loss/l1`."""

    def __init__(self, folder: Path, config: TrainConfig, count: int) -> None:
        self._path = folder / "metrics.csv"
        self._names = ["step"]
        if self._path.is_file():
            rows = [row for row in self._rows() if row["step"].isdecimal() and int(row["step"]) <= count]
            self._write(rows)

    def scalars(self, kind: str, count: int, values: Mapping[str, float]) -> None:
        row = {"step": str(count), **{f"{kind}/{name}": repr(float(value)) for name, value in values.items()}}
        more = [name for name in row if name not in self._names]
        if more or not self._path.exists():
            rows = self._rows() if self._path.exists() else []
            self._names += more
            self._write([*rows, row])
        else:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self._names).writerow(row)

    def _rows(self) -> list[dict[str, str]]:
        """Reads the complete rows of the file; their columns become those of the log."""
        with self._path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = [row for row in reader if None not in row and None not in row.values()]
            self._names = list(reader.fieldnames or ["step"])
        return rows if "step" in self._names else []

    def _write(self, rows: list[dict[str, str]]) -> None:
        with _temporary.file(self._path) as path, path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._names)
            writer.writeheader()
            writer.writerows(rows)


class _WeightsAndBiases(Logger):
    """A run of Weights & Biases (https://wandb.ai), resumed by its id in `wandb.txt`.

    Without a connection or login it is written to the run's folder, for `wandb sync` later.
    """

    def __init__(self, folder: Path, config: TrainConfig, count: int) -> None:
        self._wandb: Any = importlib.import_module("wandb")
        id_path = folder / "wandb.txt"
        if not id_path.is_file():
            _temporary.write_text(id_path, secrets.token_hex(8) + "\n")
        options = {
            "id": id_path.read_text("utf-8").strip(),
            "resume": "allow",
            "project": os.environ.get("WANDB_PROJECT", "pyharmony"),
            "name": folder.resolve().name,
            "dir": str(folder),
            "config": config.as_dict(),
        }
        try:
            self._run = self._wandb.init(**options)
        except Exception as error:  # wandb's own errors and network errors
            _LOG.warning(
                "run.loggers: wandb cannot start (%s); logging offline, upload later with `wandb sync` of %s",
                " ".join(str(error).split()) or type(error).__name__,
                folder / "wandb",
            )
            self._run = self._wandb.init(**options, mode="offline")
        # A separate step metric allows resuming from an earlier step than the last one sent.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def scalars(self, kind: str, count: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": count, **{f"{kind}/{name}": value for name, value in values.items()}})

    def image(self, name: str, count: int, pixels: npt.NDArray[np.uint8]) -> None:
        self._run.log({"step": count, name: self._wandb.Image(pixels)})

    def close(self) -> None:
        self._run.finish()


def _truncate(path: Path, count: int) -> None:
    """Removes entries logged after the checkpoint from which the run resumes."""
    if not path.is_file():
        return
    lines = []
    for line in path.read_text("utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("step", 0) <= count:
            lines.append(line)
    _temporary.write_text(path, "".join(f"{line}\n" for line in lines))
