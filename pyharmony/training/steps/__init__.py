"""The optimisation step of each model: `create(model)` makes it, `step(batch)` runs it.

    model = models.create("pix2pix", "small")
    step = steps.create(model, l1=100.0)
    losses = step({"composite": composite, "mask": mask, "target": target})

A harmoniser's batch holds composite and target [N, 3, H, W] in the range of its model and mask [N, 1, H, W] in [0, 1].
"""

from __future__ import annotations

from typing import Any

from ...models import Model
from . import _step, dovenet, pix2pix
from ._step import CapturedStep, Step, StepSettings

__all__ = ["CapturedStep", "Step", "StepSettings", "create"]

#: Each registers its step.
_MODULES = (dovenet, pix2pix)


def create(model: Model, preset: str | None = None, **settings: Any) -> Step:
    """Makes the step of a model, with new optimizers.

    Args:
        model: of `pyharmony.models`; the step changes it.
        preset: named settings, see `Step.presets`; None: the defaults.
        settings: fields of `Step.settings_type`, on top of it.

    Raises:
        ArgumentError: no such preset or setting, a value that it does not accept, or a model without a step.
        DTypeError: model is none.
    """
    step = _step.step_of(model)
    return step(model, _step.settings_of(step, settings, preset))
