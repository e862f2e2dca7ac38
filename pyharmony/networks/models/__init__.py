"""Networks by name: for harmonisation, blending, segmentation, realism scores, style codes and super-resolution.

`list` lists them, `create` constructs one, `load` and `save` read and write safetensors, `weights` lists the bundled
weights, `convert` reads published ones, and `export` writes ONNX. Images are [N, 3, H, W] in [-1, 1] unless a model
documents another range, masks [N, 1, H, W] in [0, 1]. Needs the extra `torch`.
"""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, get_args

try:
    import torch as _torch  # noqa: F401, I001  # first: the error should name it if it is missing
    import safetensors as _safetensors  # noqa: F401
except ModuleNotFoundError as error:
    from ... import _install

    raise ImportError(
        f"{error.name} is missing, pyharmony.networks.models needs it: {_install.hint('torch')}"
    ) from error

from ... import _catalogue, _checks
from ..._public import publish
from ..._shipped import Figure, Weights
from ...errors import ArgumentError, DTypeError
from ...typing import Task
from . import _registry
from ._ensemble import Ensemble
from ._files import convert, export, load, save, weights
from ._outline import Layer, layers, outline, parameter_counts
from ._registry import Adversarial, Model, ModelInfo

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)  # registers the model in it

__all__ = [
    "Adversarial",
    "Ensemble",
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
    "parameter_counts",
    "register",
    "save",
    "weights",
]


def list(task: Task | None = None) -> builtins.list[ModelInfo]:
    """Returns the models sorted by name, all or those of a task.

    Tasks are 'harmonize', 'blend', 'realism', 'segment', 'style' and 'upscale'.
    """
    _catalogue.check_task(task)
    return [info for info in _registry.all_models() if task in (None, info.task)]


def create(name: str, preset: str | None = None, **config: Any) -> Model:
    """Creates a model with random weights, drawn by torch's random generator.

    Args:
        name: a name from `list`.
        preset: a named configuration, see `ModelInfo.presets`; None: as published.
        config: settings, fields of `ModelInfo.config`, which override the preset.

    Raises:
        ArgumentError: there is no such model, preset or setting, or a value is not accepted.
    """
    info = _registry.info_of(name)
    return info.make(_registry.config_of(info, config, preset))


def register(
    make: type[Model],
    config: type,
    *,
    task: Task,
    summary: str = "",
    source: str = "",
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    convert: Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]] | None = None,
) -> None:
    """Registers a network for `create`, `load`, training, evaluation and the command line.

    Args:
        make: a class derived from `Model` with a `name`; called with a configuration, it constructs the network.
        config: the frozen dataclass of its configuration; all fields need defaults.
        task: 'harmonize', 'blend', 'realism', 'segment', 'style' or 'upscale': how it is called and evaluated.
        summary, source: its description and its origin, one line each.
        presets: configurations by name, as changes of the default.
        convert: the function from published tensors by name to (configuration, tensors by our names), for `convert`.

    Raises:
        ArgumentError: the name is missing or taken, `low` is neither -1 nor 0, config is not a dataclass with defaults,
            or the task is unknown.
        DTypeError: make is not derived from `Model`.

    Example:
        >>> import dataclasses, torch
        >>> from pyharmony import models
        >>> @dataclasses.dataclass(frozen=True)
        ... class Config:
        ...     width: int = 8
        >>> class Tint(models.Model):
        ...     name = "tint"
        ...
        ...     def __init__(self, config):
        ...         super().__init__(config)
        ...         self.layer = torch.nn.Conv2d(4, 3, 1)
        ...
        ...     def forward(self, composite, mask):
        ...         return composite + mask * self.layer(torch.cat([composite, mask], 1))
        >>> models.register(Tint, Config, task="harmonize")
        >>> models.create("tint").name
        'tint'
    """
    if not (isinstance(make, type) and issubclass(make, Model)):
        raise DTypeError(f"make: {make!r}, expected a class derived from pyharmony.networks.models.Model")
    name = getattr(make, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError(
            f"make: {make.__name__}.name is {name!r}, expected a name of letters, digits and underscores"
        )
    if make.low not in (-1.0, 0.0):
        raise ArgumentError(f"make: {make.__name__}.low is {make.low!r}, expected -1 or 0")
    _checks.one_of(task, "task", get_args(Task))
    for key, changes in (presets or {}).items():
        if not isinstance(changes, Mapping):
            raise DTypeError(f"presets[{key!r}]: {type(changes).__name__}, expected settings by name")
    changes_by_preset = {key: dict(changes) for key, changes in (presets or {}).items()}
    try:
        configs = {key: config(**changes_by_preset.get(key, {})) for key in ("", *changes_by_preset)}
        fields = {key: {f.name: getattr(one, f.name) for f in dataclasses.fields(one)} for key, one in configs.items()}
    except TypeError as error:
        raise ArgumentError(f"config: {config!r}, expected a dataclass whose fields have defaults: {error}") from error
    _registry.register(
        make, config, task=task, summary=summary, source=source, presets=changes_by_preset, convert=convert
    )
    counts = {key: parameter_counts(outline(name, key or None)) for key in fields}
    variants = {key: _catalogue.Variant(values, counts[key]) for key, values in fields.items()}
    _catalogue.add(_catalogue.Entry(name, task, summary, source, changes_by_preset, convert is not None, variants))


publish(globals(), _checks.kinds)
