"""Changes of a pair of pictures that tell a network nothing of whether one of them is a composite."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def drawn(x: Tensor, *shape: int) -> Tensor:
    """Numbers of 0 to 1 for each sample of x, [N, *shape]."""
    return torch.rand(len(x), *shape, device=x.device)


def exchanged_rims(image: Tensor, composite: Tensor, mask: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """A share of the pictures takes on up to half of the other one's colours next to the mask's border.

    A mask misses its object by a little, so a composite has a rim that kept its colours, or that took those of the
    object: here photographs have such rims as well.
    """
    first, second = (
        _rim(mask, drawn(mask, 1, 1, 1) < 0.5) * (drawn(mask, 1, 1, 1) < share) * drawn(mask, 1, 1, 1) / 2
        for _ in range(2)
    )
    image, composite = torch.lerp(image, composite, first), torch.lerp(composite, image, second)
    return image, composite


def toned(image: Tensor, composite: Tensor, gamma: float, gain: float) -> tuple[Tensor, Tensor]:
    """x in [0, 1] becomes clamp(g·x^a), with an a and a g of each channel for both pictures of a pair.

    The logarithms of a and g lie up to gamma and gain from 0 on either side. Pictures are in [-1, 1].
    """
    power = ((2 * drawn(image, 1, 1, 1) - 1) * gamma).exp()
    factor = ((2 * drawn(image, 3, 1, 1) - 1) * gain).exp()
    image, composite = ((((x + 1) / 2).clamp(0, 1) ** power * factor).clamp(max=1) * 2 - 1 for x in (image, composite))
    return image, composite


def _rim(mask: Tensor, outside: Tensor) -> Tensor:
    """The pixels next to the border of masks [N, 1, H, W], outside of it where that is true, else inside."""
    grown = functional.max_pool2d(mask, 3, 1, 1)
    shrunk = -functional.max_pool2d(-mask, 3, 1, 1)
    return torch.where(outside, grown - mask, mask - shrunk)
