"""Distances of an extractor's features and of their Gram matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ... import _checks
from ...errors import ArgumentError
from ._checks import check_mask, check_pair
from ._pixels import masked_l1
from ._spaces import hue_saturation

#: A function from images [N, 3, H, W] to one map of features, or to several.
Extractor = Callable[[Tensor], Tensor | Sequence[Tensor]]


def mask_pyramid(mask: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Returns the mask [N, 1, H, W] max-pooled to each size, [N, 1, h, w]."""
    if mask.ndim != 4:
        raise ArgumentError(f"mask: shape {list(mask.shape)}, expected [N, 1, H, W]")
    return [functional.adaptive_max_pool2d(mask, size) if mask.shape[2:] != size else mask for size in sizes]


def gram(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns F Fᵀ / (C sum m) as [N, C, C], F being m * features as C rows: Gatys et al., CVPR 2016, with a mask.

    features [N, C, H, W], mask [N, 1, H, W] or None for all pixels; the result is zero if the mask is empty.
    """
    check_pair(features, features, "features")
    count, channels, height, width = features.shape
    if mask is None:
        area = torch.full((count, 1, 1), float(height * width), device=features.device, dtype=features.dtype)
    else:
        check_mask(mask, features)
        mask = mask.to(features.dtype)
        features = features * mask
        area = mask.sum((1, 2, 3))[:, None, None]
    rows = features.flatten(2)
    return rows @ rows.transpose(1, 2) / (channels * torch.where(area > 0, area, 1))


def box_gram(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Returns the mean squared difference of the Gram matrices of colours in the box around the mask, [].

    They are G = X Xᵀ / (h w + 1e-6) [C, C] of the pixels X [C, h w] of an image in the box of mask > 0. The box's last
    row and column are excluded, as in the code of a system on HCOCO with this loss; if the mask is empty the box is the
    whole image. Background in the box counts. The mean is over C C numbers and over the samples.

    Args:
        output, target: images [N, C, H, W]; the target gets a gradient, too.
        mask: [N, 1, H, W].

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> import torch
        >>> from pyharmony import losses
        >>> mask = torch.zeros(1, 1, 8, 8)
        >>> mask[..., 2:6, 2:6] = 1
        >>> float(losses.box_gram(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), mask))
        1.0
    """
    check_pair(output, target)
    check_mask(mask, output)
    box = _box(mask).to(output.dtype)
    area = box.sum((2, 3)).expand(output.shape[0], 1)[..., None]
    one, other = (
        rows @ rows.transpose(1, 2) / (area + 1e-6) for rows in ((x * box).flatten(2) for x in (output, target))
    )
    return (one - other).square().mean()


def _box(mask: Tensor) -> Tensor:
    """Returns the box around the mask, [N, 1, H, W], without its last row and column; all if the mask is empty."""
    inside = mask > 0
    sides = []
    for axis in (3, 2):
        line = inside.any(axis)
        # A row is inside if the mask has pixels in it or above it, and in a row below it.
        below = line.flip(-1).cumsum(-1).flip(-1) - line.long()
        sides.append((line.cumsum(-1) > 0) & (below > 0))
    rows, columns = sides
    return rows[..., None] & columns[:, :, None] | ~inside.any(3, keepdim=True).any(2, keepdim=True)


def _maps(features: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [features] if isinstance(features, Tensor) else list(features)


def _matching_maps(
    output: Tensor | Sequence[Tensor],
    target: Tensor | Sequence[Tensor],
    mask: Tensor | None,
    weights: Sequence[float] | None,
) -> list[tuple[Tensor, Tensor, Tensor | None, float]]:
    a, b = _maps(output), _maps(target)
    if not a or len(a) != len(b):
        raise ArgumentError(f"target: {len(b)} feature maps, expected {len(a) or 'one or more'} as in output")
    if weights is None:
        weights = [1.0] * len(a)
    elif len(weights) != len(a):
        raise ArgumentError(f"weights: {len(weights)} of them, expected {len(a)}")
    for one, other in zip(a, b):
        check_pair(one, other)
    masks: Sequence[Tensor | None] = [None] * len(a)
    if mask is not None:
        masks = mask_pyramid(mask, [(x.shape[2], x.shape[3]) for x in a])
    return list(zip(a, b, masks, weights))


def feature_distance(
    output: Tensor | Sequence[Tensor],
    target: Tensor | Sequence[Tensor],
    mask: Tensor | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Returns sum_l w_l `masked_l1` of feature maps [N, C_l, h_l, w_l]; the mask is max-pooled to their sizes."""
    terms = [w * masked_l1(a, b, m) for a, b, m, w in _matching_maps(output, target, mask, weights)]
    return torch.stack(terms).sum()


def gram_distance(
    output: Tensor | Sequence[Tensor],
    target: Tensor | Sequence[Tensor],
    mask: Tensor | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Returns sum_l w_l mean |`gram`(output_l) - gram(target_l)| of feature maps [N, C_l, h_l, w_l]."""
    terms = [w * (gram(a, m) - gram(b, m)).abs().mean() for a, b, m, w in _matching_maps(output, target, mask, weights)]
    return torch.stack(terms).sum()


def _extract(extractor: Extractor, output: Tensor, target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the features of both; the target gets no gradient."""
    with torch.no_grad():
        target_features = [features.detach() for features in _maps(extractor(target))]
    return _maps(extractor(output)), target_features


def perceptual(
    extractor: Extractor,
    output: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Returns `feature_distance` of an extractor's features of two images [N, 3, H, W]: Johnson et al., ECCV 2016.

    Args:
        extractor: any extractor; its input are the images in their own range.
        output, target: the images; the target gets no gradient.
        mask: [N, 1, H, W]; None: everywhere.
        weights: the weights of the extractor's maps; None: 1 each.
    """
    check_pair(output, target)
    return feature_distance(*_extract(extractor, output, target), mask, weights=weights)


def style(
    extractor: Extractor,
    output: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    space: Literal["rgb", "hsv"] = "rgb",
    kind: Literal["gram", "features"] = "gram",
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Returns the distance between the styles of output and target, inside the mask.

    Args:
        extractor: any extractor; its input are the images, or their `hue_saturation`.
        output, target: [N, 3, H, W] in [-1, 1]; the target gets no gradient.
        mask: [N, 1, H, W]; None: everywhere.
        space: 'rgb' or 'hsv'.
        kind: 'gram' for `gram_distance`, 'features' for `feature_distance`.
        weights: the weights of the extractor's maps; None: 1 each.
    """
    check_pair(output, target)
    _checks.one_of(space, "space", ("rgb", "hsv"))
    _checks.one_of(kind, "kind", ("gram", "features"))
    if space == "hsv":
        output, target = hue_saturation(output), hue_saturation(target)
    distance = gram_distance if kind == "gram" else feature_distance
    return distance(*_extract(extractor, output, target), mask, weights=weights)
