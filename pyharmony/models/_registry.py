"""The models by name: their configurations, how they are made, and where they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import _catalogue
from .._header import Calibration
from ..errors import ArgumentError, WeightsError
from ..typing import Task


class Model(nn.Module):
    """The base of the networks that `create` makes: a module that says what it is for, and how it is called.

    A caller that has a model which makes images or judges them needs only `predict`:

        image = image * (1 - model.low) + model.low  # from [0, 1], at model.size
        output = model.predict(image, mask)

    Attributes:
        name: the model's name in the registry.
        config: the frozen dataclass that it was made from.
        low: the least value of its images, -1 or 0; the largest is 1.
        size: the side of the images that it works on.
        takes_mask: whether it was made to see masks.
        calibration: facts about the changes that its weights make; `save` and `load` keep it.
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

        mask: [N, 1, H, W] in [0, 1], the objects; a model that takes none ignores it.
        """
        output: Tensor = self(image) if mask is None or not self.takes_mask else self(image, mask)
        return output

    def start_from(self, other: Model) -> None:
        """Takes the weights of another model, which training goes on from.

        Raises:
            WeightsError: it is another architecture, or has parts of other shapes.
        """
        if other.name != self.name:
            raise WeightsError(f"start: weights of {other.name}, the model is {self.name}")
        self._take(other)

    def _take(self, other: Model) -> None:
        """Takes the weights of a model of the same class."""
        try:
            self.load_state_dict(other.state_dict())
        except RuntimeError as error:
            raise WeightsError(f"start: weights of other settings than the model's: {error}") from error

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        """Returns two random samples of the inputs of `forward`, by the names of its arguments, for `export` to trace.

        size: the side of the images; None: the size that the model was published with.
        """
        side = size or self.size
        samples = {self.picture: torch.rand(2, 3, side, side) * (1 - self.low) + self.low}
        if self.takes_mask:
            samples["mask"] = torch.zeros(2, 1, side, side)
            samples["mask"][:, :, side // 4 : side // 2, side // 4 :] = 1
        return samples


class Adversarial(Model):
    """A generator and the discriminator that it is trained against; calling the model runs the generator.

    Attributes:
        generator, discriminator: the two networks.
    """

    generator: nn.Module
    discriminator: nn.Module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.generator(*args, **kwargs)


@dataclass(frozen=True)
class ModelInfo:
    """The facts about a model that are known before it is made.

    Attributes:
        name: the name for `create`.
        task: 'harmonize', 'blend', 'realism', 'segment', 'style' or 'upscale'.
        config: the dataclass of its configuration.
        make: the function from a configuration to the module.
        summary: a description in one line.
        source: the publication, or the system that it follows.
        presets: configurations by name, as changes of the default.
        convert: the function from a published state dict, already on the CPU, to (configuration, our state dict); None
            where no published layout is known.
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
    """Makes a model known under its name; for the facts see `ModelInfo`."""
    if make.name in _models:
        raise ArgumentError(f"name: {make.name!r} is there already")
    _models[make.name] = ModelInfo(make.name, task, config, make, summary, source, presets, convert)


def all_models() -> list[ModelInfo]:
    return [_models[name] for name in sorted(_models)]


def info_of(name: str) -> ModelInfo:
    _catalogue.check_name(name, _models)
    return _models[name]


def config_of(info: ModelInfo, values: dict[str, Any], preset: str | None = None) -> Any:
    """Returns the configuration with these values."""
    settings = _catalogue.preset_of(info.name, info.presets, preset)
    fields = [f.name for f in dataclasses.fields(info.config)]
    for key, value in values.items():
        _catalogue.check_key(key, fields, info.name)
        # JSON has lists where a configuration has tuples.
        settings[key] = tuple(value) if isinstance(value, list) else value
    return info.config(**settings)
