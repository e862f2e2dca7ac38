"""Distances of the pixels of images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ... import _checks
from ._checks import check_mask, check_pair, check_positive


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Returns sum(mask * values) / (C * sum(mask)) over all samples together; 0 if the mask is empty."""
    if mask is None:
        return values.mean()
    check_mask(mask, values)
    mask = mask.to(values.dtype).expand(values.shape[0], -1, -1, -1)
    area = mask.sum() * values.shape[1]
    return (values * mask).sum() / torch.where(area > 0, area, 1)


def masked_l1(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns sum m |output - target| / (C sum m); without a mask the mean. Tensors [N, C, H, W], mask [N, 1, H, W]."""
    check_pair(output, target)
    return _mean((output - target).abs(), mask)


def masked_l2(output: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns sum m (output - target)² / (C sum m); without mask the mean. Tensors [N, C, H, W], mask [N, 1, H, W]."""
    check_pair(output, target)
    return _mean((output - target).square(), mask)


def foreground_mse(output: Tensor, target: Tensor, mask: Tensor, *, min_area: float = 100.0) -> Tensor:
    """Returns mean_n sum (output - target)² / (C max(sum m, min_area)), the sums over all of sample n.

    Objects of all sizes have equal weight, down to min_area pixels: Sofiiuk et al., WACV 2021 (100 at 256x256). The
    numerator sums over the whole image: if the output copies the background it is that of the object; otherwise
    errors in the background count too. Tensors [N, C, H, W], mask [N, 1, H, W].
    """
    check_pair(output, target)
    check_mask(mask, output)
    check_positive(min_area, "min_area")
    area = mask.to(output.dtype).sum((1, 2, 3)).clamp(min=min_area)
    return ((output - target).square().sum((1, 2, 3)) / (output.shape[1] * area)).mean()


def total_variation(image: Tensor, *, power: Literal[1, 2] = 1) -> Tensor:
    """Returns mean |x(i+1,j) - x(i,j)|^p + mean |x(i,j+1) - x(i,j)|^p, p = power; image [N, C, H, W]."""
    check_pair(image, image, "image")
    _checks.whole(power, "power", low=1, high=2, accepts="1 or 2")
    total = image.new_zeros(())
    for axis in (2, 3):
        if image.shape[axis] > 1:
            difference = torch.diff(image, dim=axis)
            total = total + (difference.abs() if power == 1 else difference.square()).mean()
    return total
