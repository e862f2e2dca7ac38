"""Pixels of an object and of two scenes: its source and the background it is pasted on.

A composite alone reveals little about the light of a clean cut-out's source. The photograph it was cut from, or a
reference in the new scene, provides that information. Here both are made from one photograph: a simulated change of
light recolours all of it, and the recoloured object is pasted on the part of the photograph that keeps its colours.
Then the contour is changed like that of other samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ._contours import ColorSamples, Shares, changed_samples

_EXPOSURE = 0.35  # the standard deviation of the log of a light's exponent, common to all channels
_BALANCE = 0.08  # the standard deviation of that log per channel, in addition
_CONTRAST = 0.25  # the standard deviation of a light's contrast
#: The same for the light by which a reference differs from the object's correct light, as a factor of the above.
_REFERENCE_LIGHT_FACTOR = 0.15
_FITS = 0.25  # the share of samples whose light is unchanged
_OTHER_SOURCE_SHARE = 0.35  # the share of samples whose source is another photograph
#: The share of the other samples with the light of the composite.
_RECOLOURED = 0.5
#: The ridge regularisation of the affine map fitted to a change of colours.
_RIDGE = 1e-3
_PARTED = (0.35, 0.65)  # the position of the midpoint of the line that divides a photograph, as a share of its sides
_MIN_PART_SHARE = 0.15  # the smallest share of an object on either side of a dividing line


class HintSamples(NamedTuple):
    """Samples with colours [N, P, 3] in [0, 1] of the scene around each object, and of a hint.

    A hint is the source scene without the object, or a reference for the object's light.
    """

    samples: ColorSamples
    background: Tensor
    hint: Tensor


class Scenes(NamedTuple):
    """The samples of a batch."""

    by_source: HintSamples
    by_reference: HintSamples


def drawn_scenes(composite: Tensor, target: Tensor, mask: Tensor, shares: Shares, pixels: int) -> Scenes:
    """Draws samples from photographs, using torch's random generator.

    For half of the samples the light changes exposure, white balance and contrast, with black and white fixed, so that
    clipping does not reveal the change. The others use the colour change of the composite's object; a scene is
    recoloured by the affine map fitted to it.

    The arguments are those of `changed_samples`: target is the photograph, pixels the number of pixels per set, P.
    The share of objects that already fit is `_FITS`; shares.fits is ignored.
    """
    count, _, height, width = target.shape
    fits = torch.rand(count) < _FITS
    recoloured = (torch.rand(count) < _RECOLOURED) & ~fits
    light, nearest = _Light(count, torch.where(fits, 0.0, 1.0)), _nearest(target, composite, mask, pixels)

    def lit(colors: Tensor) -> Tensor:
        return torch.where(recoloured[:, None, None], nearest(colors), light(colors))

    here, there = _halves(count, height, width)
    object_, around = mask[:, 0], 1 - mask[:, 0]
    shares = dataclasses.replace(shares, fits=0.0)
    changed = lit(target.flatten(2).mT).mT.view_as(target)
    scene = _colors(target, _drawn(around * here, pixels))
    source = _colors(target, _drawn(around * there, pixels))
    other = torch.rand(count) < _OTHER_SOURCE_SHARE
    source = torch.where(other[:, None, None], source.roll(1, 0), source)
    pasted = changed_samples(torch.lerp(target, changed, mask), target, mask, shares, pixels)
    by_source = HintSamples(pasted, scene, lit(source))

    line = _halves(count, height, width, object_)
    parts = [object_ * side for side in line]
    sizes = [part.sum((1, 2)) / object_.sum((1, 2)).clamp_min(1) for part in parts]
    parted = (torch.minimum(*sizes) > _MIN_PART_SHARE)[:, None, None]
    first, second = (torch.where(parted, part, object_) for part in parts)
    changed = torch.where(recoloured[:, None, None, None], composite, changed)
    pasted = changed_samples(torch.lerp(target, changed, first[:, None]), target, first[:, None], shares, pixels)
    like = _Light(count, torch.full((count,), _REFERENCE_LIGHT_FACTOR))(_colors(target, _drawn(second, pixels)))
    return Scenes(by_source, HintSamples(pasted, scene, like))


class _Light:
    """A change of exposure, white balance and contrast per sample, scaled by factors [N]."""

    def __init__(self, count: int, size: Tensor) -> None:
        size = size[:, None, None]
        self._exponent = (size * (torch.randn(count, 1, 1) * _EXPOSURE + torch.randn(count, 1, 3) * _BALANCE)).exp()
        self._contrast = size * torch.randn(count, 1, 1) * _CONTRAST

    def __call__(self, colors: Tensor) -> Tensor:
        """Returns colours [N, P, 3] under this light."""
        curved = colors.clamp(0, 1) ** self._exponent
        return (curved + self._contrast * 2 * curved * (1 - curved) * (2 * curved - 1)).clamp(0, 1)


def _nearest(before: Tensor, after: Tensor, mask: Tensor, pixels: int) -> Callable[[Tensor], Tensor]:
    """Returns affine colour maps fitted to the changes of the objects in images, see `drawn_scenes`."""
    at = _drawn(mask[:, 0], pixels)
    before_colors, after_colors = _colors(before, at), _colors(after, at)
    features = functional.pad(before_colors, (0, 1), value=1.0)
    normal = features.mT @ features + _RIDGE * pixels * torch.eye(4)
    change = torch.linalg.solve(normal, features.mT @ (after_colors - before_colors))
    return lambda colors: (colors + functional.pad(colors, (0, 1), value=1.0) @ change).clamp(0, 1)


def _halves(count: int, height: int, width: int, about: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Returns the two sides [N, H, W] of a line through each image, or through the centre of the region `about`."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    angle = torch.rand(count) * 2 * torch.pi
    if about is None:
        low, high = _PARTED
        middle = low + (high - low) * torch.rand(2, count)
    else:
        total = about.sum((1, 2)).clamp_min(1)
        middle = torch.stack([(about * axis).sum((1, 2)) / total for axis in (x, y)])
    across = (x - middle[0][:, None, None]) * angle.cos()[:, None, None]
    side = (across + (y - middle[1][:, None, None]) * angle.sin()[:, None, None] > 0).to(torch.float32)
    return side, 1 - side


def _drawn(weight: Tensor, pixels: int) -> Tensor:
    """Returns the indices [N, P] of pixels drawn by weight [N, H, W]; uniformly if all weights are 0."""
    return torch.multinomial(weight.flatten(1) + 1e-9, pixels, replacement=True)


def _colors(images: Tensor, at: Tensor) -> Tensor:
    """Returns the colours [N, P, 3] of the pixels with indices [N, P]."""
    return images.flatten(2).gather(2, at[:, None].expand(-1, 3, -1)).mT
