"""Augmentation of pairs of images that does not reveal which of them is a composite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ....networks.models.checks import check_share
from ._step import AdamSettings


@dataclass(frozen=True, kw_only=True)
class VariedSettings(AdamSettings):
    """The settings of a step that augments both images of a pair; augmentations of 0 draw no random numbers.

    Attributes:
        edges: the share of the images whose rims get colours of the other image of the pair, see `exchanged_rims`.
        gamma, gain: images x in [0, 1] become clamp(g·x^a), with one a and a g per channel drawn per pair; their
            logarithms are uniform within ±gamma and ±gain.
    """

    edges: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.edges, "edges")
        self._check_not_negative("gamma", "gain")

    def varied(self, image: Tensor, composite: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns an augmented image and its composite; without a mask the rims are unchanged."""
        if mask is not None and self.edges:
            image, composite = exchanged_rims(image, composite, mask, self.edges)
        if self.gamma or self.gain:
            image, composite = toned(image, composite, self.gamma, self.gain)
        return image, composite


def drawn(x: Tensor, *shape: int) -> Tensor:
    """Draws uniform numbers in [0, 1] for each sample of x, [N, *shape]."""
    return torch.rand(len(x), *shape, device=x.device)


def exchanged_rims(image: Tensor, composite: Tensor, mask: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Blends the pixels next to the mask's contour, in a share of the images, with up to half of the other image.

    A mask is slightly inaccurate, so a composite has a rim that kept its colours or got those of the object; then
    photographs have such rims as well.
    """
    first, second = (
        _rim(mask, drawn(mask, 1, 1, 1) < 0.5) * (drawn(mask, 1, 1, 1) < share) * drawn(mask, 1, 1, 1) / 2
        for _ in range(2)
    )
    image, composite = torch.lerp(image, composite, first), torch.lerp(composite, image, second)
    return image, composite


def toned(image: Tensor, composite: Tensor, gamma: float, gain: float) -> tuple[Tensor, Tensor]:
    """Maps x in [0, 1] to clamp(g·x^a), with one a and a g per channel for each pair.

    The logarithms of a and g are within ±gamma and ±gain. Arguments and results are in [-1, 1].
    """
    power = ((2 * drawn(image, 1, 1, 1) - 1) * gamma).exp()
    factor = ((2 * drawn(image, 3, 1, 1) - 1) * gain).exp()
    image, composite = ((((x + 1) / 2).clamp(0, 1) ** power * factor).clamp(max=1) * 2 - 1 for x in (image, composite))
    return image, composite


def _rim(mask: Tensor, outside: Tensor) -> Tensor:
    """Returns the pixels adjacent to the contour of masks [N, 1, H, W], outside if `outside`, else inside."""
    dilation = functional.max_pool2d(mask, 3, 1, 1)
    erosion = -functional.max_pool2d(-mask, 3, 1, 1)
    return torch.where(outside, dilation - mask, mask - erosion)
