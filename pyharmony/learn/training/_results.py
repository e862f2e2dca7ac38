"""Progress and results of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...networks.models import Model


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        count, total: the number of steps made, and of all steps; total is None if minutes limit the run.
        epoch: the index of the epoch, from 0.
        share: the finished share of the run, 0 to 1.
        rate: images per second, of all processes together.
        seconds: the seconds of work, including earlier parts of the run.
        left: the estimated number of remaining seconds.
        losses: the losses of the last step.
        figures: the metrics of the last evaluation.
    """

    count: int
    total: int | None
    epoch: int
    share: float
    rate: float
    seconds: float
    left: float | None
    losses: dict[str, float]
    figures: dict[str, float]


@dataclass(frozen=True)
class Plan:
    """The expected size and duration of a run, measured by a few steps that are discarded.

    Attributes:
        training, validation: the numbers of training and validation samples.
        parameters: the number of parameters by the name of the network: 'generator' and 'discriminator', or 'model'.
        steps_per_epoch: the number of steps of an epoch.
        steps: the number of steps of the run; an estimate if minutes limit it.
        rate: images per second over `measured` steps, including loading.
        measured: the number of steps that were measured.
        seconds: the expected seconds of the run, without evaluations and checkpoints.
        dtype: the dtype of the networks' arithmetic.
        device: 'cpu' or 'cuda'.
    """

    training: int
    validation: int
    parameters: dict[str, int]
    steps_per_epoch: int
    steps: int
    rate: float
    measured: int
    seconds: float
    dtype: str
    device: str


@dataclass(frozen=True)
class TrainResult:
    """The result of a run.

    Attributes:
        model: the trained model in evaluation mode, with the averaged weights if the run averages them.
        steps: the number of steps made, in all parts of the run together.
        figures: the metrics of the last evaluation, by name.
        best: the metrics of the best evaluation.
        skipped: the number of updates skipped because a gradient was not finite.
        interrupted: whether the run was stopped before its end; it can be resumed.
        stopped_early: whether `schedule.stop_after` evaluations without improvement ended the run.
        folder: the run's folder.
        seconds: the seconds of work, in all parts of the run together, without evaluations.
        short: a sentence explaining that the run was too short to train the network; else empty.
        replaced: the number of samples replaced by others because their object has no pixel at the training size.
        bad: the names of samples skipped because they could not be read, see `data.skip_bad`.
        dtype: the dtype of the networks' arithmetic, 'float32', 'bfloat16' or 'float16'.
    """

    model: Model
    steps: int
    figures: dict[str, float]
    best: dict[str, float]
    skipped: int
    interrupted: bool
    folder: Path
    seconds: float = 0.0
    short: str = ""
    replaced: int = 0
    dtype: str = "float32"
    stopped_early: bool = False
    bad: tuple[str, ...] = ()
