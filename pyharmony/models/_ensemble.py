"""Several networks that harmonise, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, DTypeError
from ..typing import Task
from ._registry import Model


class Ensemble(Model):
    """The mean of the images that several networks make, as a network that harmonises.

    `pyharmony.harmonize` and `pyharmony.evaluation.harmonizer` take it like its members. It has no file of its own.

    Args:
        members: two or more models that harmonise, made for images of one size; they are kept, not copied.

    Shape:
        composite [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], of sides that all members take, to
        [N, 3, H, W] in [-1, 1], as far as the members keep to their ranges.

    Raises:
        ArgumentError: there are fewer than two, one does something else, or they were made for several sizes.
        DTypeError: one is no model of `pyharmony.models`.

    Example:
        >>> from pyharmony import models
        >>> both = models.Ensemble([models.create("unet3plus", "small"), models.create("pct_net")])
        >>> both.task, both.size
        ('harmonize', 256)
    """

    name = "ensemble"

    def __init__(self, members: Sequence[Model]) -> None:
        for i, member in enumerate(members):
            if not isinstance(member, Model):
                raise DTypeError(f"members[{i}]: {type(member).__name__}, expected a model made by pyharmony.models")
            if member.task != "harmonize":
                raise ArgumentError(f"members[{i}]: {member.name} does not harmonize")
        if len(members) < 2:
            raise ArgumentError(f"members: {len(members)}, expected two or more")
        sizes = sorted({member.size for member in members})
        if len(sizes) > 1:
            raise ArgumentError(f"members: made for {' and '.join(map(str, sizes))} pixels, expected one size")
        super().__init__(None, size=sizes[0])
        self.members = nn.ModuleList(members)

    @property
    def task(self) -> Task:
        return "harmonize"

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns the mean of the members' images, see the class."""
        images = []
        member: Any
        for member in self.members:
            # A member's range is [low, 1]; here it is [-1, 1].
            scale = (1 - member.low) / 2
            image = member.predict((composite - 1) * scale + 1, mask)
            images.append((image - 1) / scale + 1)
        return torch.stack(images).mean(0)
