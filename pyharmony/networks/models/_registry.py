"""The registry of models: their configurations, constructors and sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ... import _catalogue, _checks
from ..._header import Calibration
from ...errors import ArgumentError, WeightsError
from ...typing import Task


class Model(nn.Module):
    """The base class of all networks: a module with a task and a common interface.

    For a model that returns images or scores, `predict` is sufficient:

        image = image * (1 - model.low) + model.low  # from [0, 1], at model.size
        output = model.predict(image, mask)

    Attributes:
        name: the model's name in the registry.
        config: the frozen dataclass of its configuration.
        low: the lowest value of its images, -1 or 0; the highest is 1.
        size: the side of the images that it processes.
        takes_mask: whether it has a mask input.
        calibration: statistics of the changes that its weights make; `save` and `load` preserve it.
    """

    name: ClassVar[str]
    low: ClassVar[float] = -1.0
    picture: ClassVar[str] = "composite"  # the first argument of `forward`

    def __init__(self, config: Any, *, size: int = 256, takes_mask: bool = True) -> None:
        super().__init__()
        self.config, self.size, self.takes_mask = config, size, takes_mask
        self.calibration = Calibration()

    @property
    def task(self) -> Task:
        """The task of the model: 'harmonize', 'blend', 'realism', 'segment', 'style' or 'upscale'."""
        return info_of(self.name).task

    def predict(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the model's result for images [N, 3, H, W] in its range: images, scores or codes, by its task.

        mask: [N, 1, H, W] in [0, 1], the objects; ignored by a model without a mask input.
        """
        return self(image) if mask is None or not self.takes_mask else self(image, mask)

    @_checks.kinds
    def start_from(self, other: Model) -> None:
        """Copies the weights of another model as the start of training.

        Raises:
            WeightsError: it has another architecture, or parts with other shapes.
        """
        if other.name != self.name:
            raise WeightsError(f"start: weights of {other.name}, expected weights of {self.name}")
        try:
            self.load_state_dict(self._state_from(other))
        except RuntimeError as error:
            raise WeightsError(f"start: weights for other settings than the model's: {error}") from error

    def _state_from(self, other: Model) -> dict[str, Any]:
        """Returns the weights of a model of the same class, with changes for wider settings."""
        return other.state_dict()

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        """Returns two random samples of the inputs of `forward` by argument name, for tracing in `export`.

        size: the side of the images; None: the size of the published model.
        """
        side = self.size if size is None else _checks.whole(size, "size", low=1)
        samples = {self.picture: torch.rand(2, 3, side, side) * (1 - self.low) + self.low}
        if self.takes_mask:
            samples["mask"] = torch.zeros(2, 1, side, side)
            samples["mask"][:, :, side // 4 : side // 2, side // 4 :] = 1
        return samples


class Adversarial(Model):
    """A generator and its discriminator; calling the model runs the generator.

    Attributes:
        generator, discriminator: the two networks.
    """

    generator: nn.Module
    discriminator: nn.Module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.generator(*args, **kwargs)


@dataclass(frozen=True)
class ModelInfo:
    """Information about a model that is available before it is created.

    Attributes:
        name: the name for `create`.
        task: 'harmonize', 'blend', 'realism', 'segment', 'style' or 'upscale'.
        config: the dataclass of its configuration.
        make: the function from a configuration to the module.
        summary: a description in one line.
        source: the publication or system that it follows.
        presets: configurations by name, as changes of the default.
        convert: the function from a published state dict on the CPU to (configuration, our state dict); None if no
            published layout is supported.
    """

    name: str
    task: Task
    config: type
    make: Callable[[Any], Model]
    summary: str
    source: str
    presets: dict[str, dict[str, Any]]
    convert: Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]] | None = None


_models: dict[str, ModelInfo] = {}


def register(
    make: type[Model],
    config: type,
    *,
    task: Task,
    summary: str,
    source: str,
    presets: dict[str, dict[str, Any]],
    convert: Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]] | None = None,
) -> None:
    """Registers a model under its name; see `ModelInfo`."""
    if make.name in _models:
        raise ArgumentError(f"name: {make.name!r} is already registered")
    _models[make.name] = ModelInfo(make.name, task, config, make, summary, source, presets, convert)


def all_models() -> list[ModelInfo]:
    return [_models[name] for name in sorted(_models)]


def info_of(name: str) -> ModelInfo:
    _catalogue.check_name(name, _models)
    return _models[name]


def config_of(info: ModelInfo, values: dict[str, Any], preset: str | None = None) -> Any:
    """Returns the configuration with these values, checked."""
    settings = _catalogue.preset_of(info.name, info.presets, preset)
    fields = [f.name for f in dataclasses.fields(info.config)]
    for key, value in values.items():
        _catalogue.check_key(key, fields, info.name)
        # JSON contains lists in place of tuples.
        settings[key] = tuple(value) if isinstance(value, list) else value
    return info.config(**settings)
