"""User code that a training run calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._results import Progress, TrainResult

if TYPE_CHECKING:
    from ._loop import Run


class Callback:
    """The base class of user code that a run calls; subclasses override the methods they need.

    They are called in the run's first process. If a callback raises, the current step is finished and a checkpoint
    written before the error is raised again, so that the run can be resumed.

    Example:
        >>> from pyharmony import training
        >>> class Figures(training.Callback):
        ...     def on_evaluation(self, figures):
        ...         print(f"{figures['psnr']:.1f} dB")
        >>> Figures().on_evaluation({"psnr": 31.25})  # training.train(config, "run", callbacks=[Figures()]) calls it
        31.2 dB
    """

    def on_start(self, run: Run) -> None:
        """Is called before the first step; an error here ends the run at once.

        run: has `config`, `out` (its folder), `model`, `ema` (the averaged weights, or None), `step` (with
            `optimizers`, `count` and `device`), and the samples `training` and `validation`.
        """

    def on_step(self, progress: Progress) -> None:
        """Is called after every step. Overriding it makes the host wait for the losses of every step."""

    def on_evaluation(self, figures: dict[str, float]) -> None:
        """Is called with the metrics of each evaluation, by name."""

    def on_checkpoint(self, path: Path) -> None:
        """Is called with the folder of each checkpoint written."""

    def on_end(self, result: TrainResult) -> None:
        """Is called with the result, also if the run was interrupted."""


class Callbacks:
    """The callbacks of a run, see `train`; stores the first exception as `error`, after which none is called."""

    def __init__(
        self, callbacks: Sequence[Callback] = (), on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        self._callbacks, self._on_progress = tuple(callbacks), on_progress
        self.error: Exception | None = None
        #: Whether any of them overrides `on_step`.
        self.every_step = any(type(callback).on_step is not Callback.on_step for callback in callbacks)

    def notify(self, method: str, value: Any) -> None:
        """Calls a method of each callback; stores an exception."""
        for callback in self._callbacks:
            self._call(getattr(callback, method), value)

    def report_progress(self, progress: Progress) -> None:
        """Calls `on_progress`; stores an exception."""
        if self._on_progress is not None:
            self._call(self._on_progress, progress)

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    def _call(self, function: Callable[[Any], None], value: Any) -> None:
        if self.error is None:
            try:
                function(value)
            except Exception as error:  # user code may raise anything
                self.error = error
