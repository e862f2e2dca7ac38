"""The networks by name: for harmonising, blending, judging and enlarging images.

`list` names them, `create` makes one, `load` and `save` read and write safetensors, `weights` lists those that come
with pyharmony, `convert` reads published ones, and `export` writes ONNX. Images are [N, 3, H, W] in [-1, 1] unless a
model says otherwise, masks [N, 1, H, W] in [0, 1]. Needs the extra `torch`.
"""

from __future__ import annotations

import builtins
import importlib
import pkgutil
from typing import Any

try:
    import torch as _torch  # noqa: F401, I001  # first: its absence is what is told
    import safetensors as _safetensors  # noqa: F401
except ModuleNotFoundError as error:
    from .. import _install

    raise ImportError(f"{error.name} is missing, pyharmony.models needs it: {_install.hint('torch')}") from error

from .. import _catalogue
from .._shipped import Figure, Weights
from ..typing import Task
from . import _registry
from ._files import convert, export, load, save, weights
from ._outline import Layer, layers, outline
from ._registry import Adversarial, Model, ModelInfo

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)  # registers the model in it

__all__ = [
    "Adversarial",
    "Figure",
    "Layer",
    "Model",
    "ModelInfo",
    "Weights",
    "convert",
    "create",
    "export",
    "layers",
    "list",
    "load",
    "outline",
    "save",
    "weights",
]


def list(task: Task | None = None) -> builtins.list[ModelInfo]:
    """Returns the models by name, or those of a task.

    That is 'harmonize', 'blend', 'realism', 'segment', 'style' or 'upscale'.
    """
    _catalogue.check_task(task)
    return [info for info in _registry.all_models() if task in (None, info.task)]


def create(name: str, preset: str | None = None, **config: Any) -> Model:
    """Makes a model with random weights, from torch's generator of random numbers.

    Args:
        name: one of `list`.
        preset: a named configuration, see `ModelInfo.presets`; None: as published.
        config: settings, fields of `ModelInfo.config`, which override the preset.

    Raises:
        ArgumentError: there is no such model, preset or setting, or a value is not accepted.
    """
    info = _registry.info_of(name)
    return info.make(_registry.config_of(info, config, preset))


def __dir__() -> builtins.list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
