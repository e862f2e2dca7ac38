"""What a run tells, while it goes and at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..models import Model


@dataclass(frozen=True)
class Progress:
    """What a run tells while it goes.

    Attributes:
        count, total: steps, and how many there will be; None where minutes end it.
        epoch: from 0.
        share: of the run that is over, 0 to 1.
        rate: images a second, of all processes together.
        seconds: of work, earlier parts of the run included.
        left: seconds, as far as one can tell.
        losses: of the last step.
        figures: of the last evaluation.
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
class TrainResult:
    """How a run ended.

    Attributes:
        model: the trained one, its average where there is one; in evaluation mode.
        steps: that were made, all parts of the run together.
        figures: of the last evaluation, by name.
        best: those of the best one.
        skipped: updates that were left out because a gradient was not finite.
        interrupted: whether it was stopped before its end; it can be resumed.
        folder: where everything is.
        seconds: of work, all parts of the run together; evaluations are left out.
        short: why so few steps hardly train a network, in a sentence; else empty.
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
