"""The models by name: their configurations, how they are made, and where they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from .. import _catalogue
from ..errors import ArgumentError


class Model(nn.Module):
    """What `create` makes: a module with its name and its configuration.

    Attributes:
        name: in the registry.
        config: the frozen dataclass that it was made from.
        low: the least value of its pictures, -1 or 0; the largest is 1.
    """

    name: ClassVar[str]
    low: ClassVar[float] = -1.0

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        """Two random samples of what `forward` takes, by the names of its arguments; `export` traces with them.

        size: sides of the pictures; None: those that the model was published with.
        """
        raise NotImplementedError


class Adversarial(Model):
    """A generator and the discriminator that it is trained against; a call is one of the generator.

    Attributes:
        generator, discriminator: the two networks.
    """

    generator: nn.Module
    discriminator: nn.Module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.generator(*args, **kwargs)


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
    make: Callable[[Any], Model]
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
    _catalogue.check_name(name, _models)
    return _models[name]


def config_of(info: ModelInfo, values: dict[str, Any], preset: str | None = None) -> Any:
    """The configuration with these values.

    Raises:
        ArgumentError: an unknown key or preset, or a value that the configuration refuses.
    """
    chosen: dict[str, Any] = {}
    if preset is not None:
        if not isinstance(preset, str) or preset not in info.presets:
            known = ", ".join(sorted(info.presets)) or "none"
            raise ArgumentError(f"preset: {preset!r}, {info.name} has {known}")
        chosen.update(info.presets[preset])
    fields = {f.name: f for f in dataclasses.fields(info.config)}
    for key, value in values.items():
        _catalogue.check_key(key, fields, info.name)
        # JSON has lists where a configuration has tuples.
        chosen[key] = tuple(value) if isinstance(value, list) else value
    return info.config(**chosen)
