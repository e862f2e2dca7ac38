"""The reports of a run: its progress and its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..models import Model


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        count, total: the number of steps made, and of all steps; total is None where minutes end the run.
        epoch: the number of the epoch, from 0.
        share: the share of the run that is over, 0 to 1.
        rate: images per second, of all processes together.
        seconds: the seconds of work, earlier parts of the run included.
        left: the estimated seconds that are left.
        losses: the losses of the last step.
        figures: the figures of the last evaluation.
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
    """What a run would do, from a few steps that were made and thrown away.

    Attributes:
        training, validation: the number of samples to train on, and of those held back.
        parameters: the number of parameters by the name of the network: 'generator' and 'discriminator', or 'model'.
        steps_per_epoch: the number of steps of an epoch.
        steps: the number of steps of the run; where minutes end it, what is to be expected.
        rate: images per second, loading included; in `measured` steps.
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
        model: the trained model, the average of its weights if the run keeps one; in evaluation mode.
        steps: the number of steps made, in all parts of the run together.
        figures: the figures of the last evaluation, by name.
        best: the figures of the best evaluation.
        skipped: the number of updates that were left out because a gradient was not finite.
        interrupted: whether the run was stopped before its end; it can be resumed.
        stopped_early: whether `schedule.stop_after` evaluations in a row that were no better ended the run.
        folder: the run's folder.
        seconds: the seconds of work, in all parts of the run together; evaluations are left out.
        short: a sentence that says why so few steps hardly train a network; else empty.
        replaced: how often another sample stood in for one whose object has no pixel at the size of the training.
        bad: the names of the samples that could not be read and were left out, see `data.skip_bad`.
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
