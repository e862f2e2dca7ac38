"""Changes a pair of images in ways that tell a network nothing about which of them is a composite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...models.checks import check_share
from ._step import AdamSettings


@dataclass(frozen=True, kw_only=True)
class VariedSettings(AdamSettings):
    """The settings of a step that changes both images of a pair; changes that are 0 draw no random numbers.

    Attributes:
        edges: the share of the images whose rims take the colours of the other image of the pair, see `RealismStep`.
        gamma, gain: images in [0, 1] become clamp(g·x^a); a, and g for each channel, are drawn for a pair. Their
            logarithms are at most gamma and gain away from 0.
    """

    edges: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.edges, "edges")
        self._check_not_negative("gamma", "gain")

    def varied(self, image: Tensor, composite: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns an image and its composite with these changes; without a mask the rims stay."""
        if mask is not None and self.edges:
            image, composite = exchanged_rims(image, composite, mask, self.edges)
        if self.gamma or self.gain:
            image, composite = toned(image, composite, self.gamma, self.gain)
        return image, composite


def drawn(x: Tensor, *shape: int) -> Tensor:
    """Draws numbers of 0 to 1 for each sample of x, [N, *shape]."""
    return torch.rand(len(x), *shape, device=x.device)


def exchanged_rims(image: Tensor, composite: Tensor, mask: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Gives a share of the images up to half of the other image's colours next to the mask's contour.

    A mask misses its object by a little, so a composite has a rim that kept its own colours or took those of the
    object. With this change photographs have such rims as well.
    """
    first, second = (
        _rim(mask, drawn(mask, 1, 1, 1) < 0.5) * (drawn(mask, 1, 1, 1) < share) * drawn(mask, 1, 1, 1) / 2
        for _ in range(2)
    )
    image, composite = torch.lerp(image, composite, first), torch.lerp(composite, image, second)
    return image, composite


def toned(image: Tensor, composite: Tensor, gamma: float, gain: float) -> tuple[Tensor, Tensor]:
    """Changes x in [0, 1] to clamp(g·x^a), with one a and a g for each channel, both for the whole pair.

    The logarithms of a and g are at most gamma and gain away from 0. The given and returned images are in [-1, 1].
    """
    power = ((2 * drawn(image, 1, 1, 1) - 1) * gamma).exp()
    factor = ((2 * drawn(image, 3, 1, 1) - 1) * gain).exp()
    image, composite = ((((x + 1) / 2).clamp(0, 1) ** power * factor).clamp(max=1) * 2 - 1 for x in (image, composite))
    return image, composite


def _rim(mask: Tensor, outside: Tensor) -> Tensor:
    """Returns the pixels next to the contour of masks [N, 1, H, W], on the outer side where `outside`, else inside."""
    dilation = functional.max_pool2d(mask, 3, 1, 1)
    erosion = -functional.max_pool2d(-mask, 3, 1, 1)
    return torch.where(outside, dilation - mask, mask - erosion)
