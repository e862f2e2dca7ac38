"""Code of one's own that a run calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DTypeError
from ._results import Progress, TrainResult

if TYPE_CHECKING:
    from ._loop import Run


class Callback:
    """A base for code that a run calls: a class derived from it overrides the methods that it needs.

    They are called in the run's first process. An error of theirs ends the run: the step under way is finished and a
    checkpoint written, then the error is raised, and the run can go on from there.

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

        run: it has `config`, `out` (its folder), `model`, `ema` (the average of its weights, or None), `step` (with
            `optimizers`, `count` and `device`), and the samples `training` and `validation`.
        """

    def on_step(self, progress: Progress) -> None:
        """Is called after every step. A run that has it reads the losses of each, for which the host waits."""

    def on_evaluation(self, figures: dict[str, float]) -> None:
        """Is called with the figures of each evaluation, by name."""

    def on_checkpoint(self, path: Path) -> None:
        """Is called with the folder of each checkpoint that was written."""

    def on_end(self, result: TrainResult) -> None:
        """Is called with the result, of an interrupted run as well."""


class Callbacks:
    """The callbacks of a run; the first error of theirs is kept as `error`, and after it none of them is called.

    Args:
        callbacks: the callbacks.
        on_progress: see `train`.

    Raises:
        DTypeError: one of them is no `Callback`.
    """

    def __init__(
        self, callbacks: Sequence[Callback] = (), on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        for i, callback in enumerate(callbacks):
            if not isinstance(callback, Callback):
                raise DTypeError(f"callbacks[{i}]: {callback!r}, expected a pyharmony.training.Callback")
        self._callbacks, self._on_progress = tuple(callbacks), on_progress
        self.error: Exception | None = None
        #: Whether one of them is called after every step.
        self.every_step = any(type(callback).on_step is not Callback.on_step for callback in callbacks)

    def tell(self, method: str, value: Any) -> None:
        """Calls a method of each of them; an error is kept."""
        for callback in self._callbacks:
            self._call(getattr(callback, method), value)

    def tell_progress(self, progress: Progress) -> None:
        """Calls `on_progress`; an error is kept."""
        if self._on_progress is not None:
            self._call(self._on_progress, progress)

    def raise_error(self) -> None:
        """Raises the first error."""
        if self.error is not None:
            raise self.error

    def _call(self, function: Callable[[Any], None], value: Any) -> None:
        if self.error is None:
            try:
                function(value)
            except Exception as error:  # whatever the caller's code raises
                self.error = error
