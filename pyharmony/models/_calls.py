"""How a model that makes pictures is called: whatever its network takes besides the picture."""

from __future__ import annotations

import inspect

from torch import Tensor

from . import _registry
from ._registry import Model

#: Sides of the pictures of models whose configuration says nothing.
SIDE = 256


def task_of(model: Model) -> str:
    return _registry.info_of(model.name).task


def takes_mask(model: Model) -> bool:
    """Whether the model was made to see masks."""
    made = getattr(model.config, "mask", None)
    if isinstance(made, bool):
        return made
    part = getattr(model, "generator", model)
    return "mask" in inspect.signature(part.forward).parameters


def side_of(model: Model) -> int:
    """Sides of the pictures that a model was made for."""
    return int(getattr(model.config, "size", SIDE))


def output_of(model: Model, picture: Tensor, mask: Tensor | None) -> Tensor:
    """What a model makes of pictures [N, 3, H, W] in its range, and of their masks [N, 1, H, W] where it takes them."""
    made: Tensor = model(picture) if mask is None or not takes_mask(model) else model(picture, mask)
    return made
