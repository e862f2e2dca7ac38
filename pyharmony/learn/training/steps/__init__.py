"""The optimisation step of each model: `create(model)` constructs it, `step(batch)` runs it.

    model = models.create("pix2pix", "small")
    step = steps.create(model, l1=100.0)
    losses = step({"composite": composite, "mask": mask, "target": target})

A harmoniser's batch contains composite and target [N, 3, H, W] in the model's range and mask [N, 1, H, W] in [0, 1].
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

try:
    from torch import nn
except ModuleNotFoundError as error:
    from .... import _install

    reason = f"pyharmony.learn.training.steps needs it: {_install.hint('torch')}"
    raise ImportError(f"{error.name} is missing, {reason}") from error

from .... import _checks
from ...._public import publish
from ....errors import ArgumentError
from ....networks.models import Model
from . import _step
from ._step import AdamSettings, CapturedStep, Step, StepSettings, register

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)  # registers the step of a model

__all__ = ["AdamSettings", "CapturedStep", "Step", "StepSettings", "create", "register"]


def create(model: Model, preset: str | None = None, *, extractor: nn.Module | None = None, **settings: Any) -> Step:
    """Creates the step of a model, with new optimizers.

    Args:
        model: a model of `pyharmony.networks.models`; the step changes it.
        preset: the name of a set of settings, see `Step.presets`; None: the defaults.
        extractor: a frozen network whose features a loss compares, on the model's device: a style_encoder for
            `attention_unet` and `unet3plus`, any network from images to features for `srgan`.
        settings: fields of `Step.settings_type`, which override the preset.

    Raises:
        ArgumentError: there is no such preset or setting, a value is not accepted, or the model has no step.
        DeviceError: extractor is on another device.
        DTypeError: model is not a model, or extractor is not of the type that the step needs.
    """
    step = _step.step_of(model)
    values = _step.settings_of(step, settings, preset)
    if extractor is None:
        return step(model, values)
    if not step.extracts:
        raise ArgumentError(f"extractor: given, but {step.__name__} uses none")
    return step(model, values, extractor)


publish(globals(), _checks.kinds)
