"""Pixels of an object and of two scenes: the one that it comes from, and the one that it was put into.

A composite alone tells little of the light that a clean cut-out comes from. Whoever pasted it knows the photograph that
it was cut from, or something in the new scene that it should be lit like. Both are made here of one photograph: all of
it is seen in another light, and the object is put back before the part of it that was not seen so.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: The standard deviations of a light: of the logarithm of its exponent, of its channels' beside that, of its contrast.
_EXPOSURE, _BALANCE, _CONTRAST = 0.35, 0.08, 0.25
#: The same of the light in which a reference differs from what the object should be lit like, as a part of the above.
_LOOSELY = 0.15
#: The share of samples in whose light nothing changes, and of those whose source is another photograph.
_FITS, _OTHER = 0.25, 0.35
#: The largest part of a change that the map has made already, and how far it is off, as a part of the above.
_MADE, _OFF = 0.8, 0.15
#: Where a photograph is parted, as shares of its side, and the least share of an object on either side.
_PARTED, _LEAST = (0.35, 0.65), 0.15


class Sets(NamedTuple):
    """Colours in [0, 1] of samples, [N, P, 3] each.

    Attributes:
        given: pixels of the object as the composite has them.
        mapped: the same pixels as a map has them that knows nothing of the hint.
        wanted: the right ones.
        background: pixels of the scene that the object was put into, without the object.
        hint: pixels of the scene that it comes from, without the object; or of what it should be lit like.
    """

    given: Tensor
    mapped: Tensor
    wanted: Tensor
    background: Tensor
    hint: Tensor


class Scenes(NamedTuple):
    """The samples of a batch."""

    by_source: Sets
    by_reference: Sets


def drawn_scenes(composite: Tensor, target: Tensor, mask: Tensor, pixels: int) -> Scenes:
    """Draws samples from photographs, by torch's generator.

    The light of half of the samples changes exposure, white balance and contrast, and keeps black and white where they
    are, so that nothing clipped tells of it. The others take the colours that the object has in the composite.

    Args:
        composite, target: images [N, 3, H, W] in [0, 1]; target is the photograph.
        mask: the objects [N, 1, H, W], 0 or 1.
        pixels: the number of pixels of each set, P.
    """
    count, _, height, width = target.shape
    fits = torch.rand(count) < _FITS
    light = _Light(count, torch.where(fits, 0.0, 1.0))
    here, there = _halves(count, height, width)
    object_, around = mask[:, 0], 1 - mask[:, 0]
    at = _drawn(object_, pixels)
    wanted = _colors(target, at)
    scene = _colors(target, _drawn(around * here, pixels))
    source = _colors(target, _drawn(around * there, pixels))
    other = torch.rand(count) < _OTHER
    source = torch.where(other[:, None, None], source.roll(1, 0), source)
    given = light(wanted)
    by_source = Sets(given, _mapped(given, wanted), wanted, scene, light(source))

    line = _halves(count, height, width, object_)
    parts = [object_ * side for side in line]
    sizes = [part.sum((1, 2)) / object_.sum((1, 2)).clamp_min(1) for part in parts]
    parted = (torch.minimum(*sizes) > _LEAST)[:, None, None]
    first, second = (torch.where(parted, part, object_) for part in parts)
    at = _drawn(first, pixels)
    wanted = _colors(target, at)
    recoloured = (torch.rand(count) < 0.5)[:, None, None] & ~fits[:, None, None]
    given = torch.where(recoloured, _colors(composite, at), light(wanted))
    like = _Light(count, torch.full((count,), _LOOSELY))(_colors(target, _drawn(second, pixels)))
    return Scenes(by_source, Sets(given, _mapped(given, wanted), wanted, scene, like))


class _Light:
    """A change of exposure, white balance and contrast of each of some samples, by factors [N] of its usual size."""

    def __init__(self, count: int, size: Tensor) -> None:
        size = size[:, None, None]
        self._exponent = (size * (torch.randn(count, 1, 1) * _EXPOSURE + torch.randn(count, 1, 3) * _BALANCE)).exp()
        self._contrast = size * torch.randn(count, 1, 1) * _CONTRAST

    def __call__(self, colors: Tensor) -> Tensor:
        """Returns colours [N, P, 3] in this light."""
        curved = colors.clamp(0, 1) ** self._exponent
        return (curved + self._contrast * 2 * curved * (1 - curved) * (2 * curved - 1)).clamp(0, 1)


def _mapped(given: Tensor, wanted: Tensor) -> Tensor:
    """Returns colours as a map may have them that found a part of the change, and something beside it."""
    count = len(given)
    part = _MADE * torch.rand(count, 1, 1) ** 2
    return _Light(count, torch.full((count,), _OFF))(torch.lerp(given, wanted, part))


def _halves(count: int, height: int, width: int, about: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Returns the two sides [N, H, W] of a line through each image, or through the middle of what `about` marks."""
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
    """Returns the numbers [N, P] of pixels of weight [N, H, W]; any where all are 0."""
    return torch.multinomial(weight.flatten(1) + 1e-9, pixels, replacement=True)


def _colors(images: Tensor, at: Tensor) -> Tensor:
    """Returns the colours [N, P, 3] of pixels."""
    return images.flatten(2).gather(2, at[:, None].expand(-1, 3, -1)).mT
