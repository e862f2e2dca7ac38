"""Ensembles of harmonisation networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ... import _checks
from ...errors import ArgumentError
from ...typing import Task
from ._registry import Model


class Ensemble(Model):
    """A harmonisation network that returns the mean of the outputs of its members.

    `pyharmony.harmonize` and `pyharmony.learn.evaluation.harmonizer` accept it like its members. It cannot be saved.

    Args:
        members: two or more harmonisation models for images of one size; they are referenced, not copied.

    Shape:
        composite [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], with sides that all members accept, to
        [N, 3, H, W] in [-1, 1], provided that the members keep to their ranges.

    Raises:
        ArgumentError: there are fewer than two members, a member has another task, or their sizes differ.
        DTypeError: a member is not a model of `pyharmony.networks.models`.

    Example:
        >>> from pyharmony import models
        >>> both = models.Ensemble([models.create("unet3plus", "small"), models.create("pct_net")])
        >>> both.task, both.size
        ('harmonize', 256)
    """

    name = "ensemble"

    @_checks.kinds
    def __init__(self, members: Sequence[Model]) -> None:
        for i, member in enumerate(members):
            if member.task != "harmonize":
                raise ArgumentError(f"members[{i}]: {member.name} is not a harmonisation model")
        if len(members) < 2:
            raise ArgumentError(f"members: {len(members)}, expected two or more")
        sizes = sorted({member.size for member in members})
        if len(sizes) > 1:
            raise ArgumentError(f"members: sizes {' and '.join(map(str, sizes))}, expected the same size for all")
        super().__init__(None, size=sizes[0])
        self.members = nn.ModuleList(members)

    @property
    def task(self) -> Task:
        return "harmonize"

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns the mean of the members' outputs, see the class."""
        images = []
        member: Any
        for member in self.members:
            # A member's range is [low, 1]; here it is [-1, 1].
            scale = (1 - member.low) / 2
            image = member.predict((composite - 1) * scale + 1, mask)
            images.append((image - 1) / scale + 1)
        return torch.stack(images).mean(0)
