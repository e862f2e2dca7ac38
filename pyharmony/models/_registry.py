"""The models by name: their configurations, how they are made, and where they come from."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import ArgumentError


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before it is made.

    Attributes:
        name: in `create`.
        task: 'harmonize', 'blend', 'realism', 'style' or 'upscale'.
        config: the dataclass of its configuration.
        make: from a configuration to the module.
        summary: one line.
        source: the publication, or the system that it follows.
        presets: configurations by name, as changes of the default.
        convert: from a published state dict, already on the CPU, to (configuration, our state dict); None where
            no published layout is known.
    """

    name: str
    task: str
    config: type
    make: Callable[[Any], nn.Module]
    summary: str
    source: str
    presets: dict[str, dict[str, Any]]
    convert: Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]] | None = None


_models: dict[str, ModelInfo] = {}


def register(info: ModelInfo) -> None:
    if info.name in _models:
        raise ArgumentError(f"name: {info.name!r} is there already")
    _models[info.name] = info


def all_models() -> list[ModelInfo]:
    return [_models[name] for name in sorted(_models)]


def info_of(name: str) -> ModelInfo:
    if not isinstance(name, str) or name not in _models:
        near = difflib.get_close_matches(str(name), _models, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ArgumentError(f"name: {name!r} is no model{hint}; there are {', '.join(sorted(_models))}")
    return _models[name]


def config_of(info: ModelInfo, values: dict[str, Any], preset: str | None = None) -> Any:
    """The configuration with these values.

    Raises:
        ArgumentError: an unknown key or preset, or a value that the configuration refuses.
    """
    chosen: dict[str, Any] = {}
    if preset is not None:
        if preset not in info.presets:
            known = ", ".join(sorted(info.presets)) or "none"
            raise ArgumentError(f"preset: {preset!r}, {info.name} has {known}")
        chosen.update(info.presets[preset])
    fields = {f.name: f for f in dataclasses.fields(info.config)}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ArgumentError(f"{key}: {info.name} has no such setting{hint}; it has {', '.join(fields)}")
        # JSON has lists where a configuration has tuples.
        chosen[key] = tuple(value) if isinstance(value, list) else value
    return info.config(**chosen)
