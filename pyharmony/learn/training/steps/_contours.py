"""Composites whose contour does not reveal the recoloured region: imprecise masks, and objects without their rim.

Optionally the object's exposure is changed first.

Training composites are photographs whose object was recoloured in place. There the pixels on both sides of the
contour show the same surface in two colours, and a network that compares them finds the correction directly. Pasted
objects have no such pixels. The functions here remove that shortcut from a part of each batch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ....color.spaces import linear_to_srgb, srgb_to_linear
from ....ops.distance import distance_inside
from ...data.pasting import as_jpeg

MAX_DISPLACEMENT = 3.0  # the largest displacement of a mask's contour, in pixels
REMOVED_RIM_WIDTHS = (0.5, 3.0)  # the width of the rim removed from an object, in pixels
GAP = (1.0, 8.0)  # the width of the inpainted gap around an object, in pixels
FADES = (1.0, 5.0)  # the width over which a feathered change fades, in pixels
QUALITIES = (60, 96)  # the range of the quality of JPEG
_STOPS = 0.8  # the standard deviation of an exposure change, in stops
_BALANCE = 0.12  # the standard deviation of each channel in addition to it, in stops
#: Distances from the contour are computed up to this number of pixels.
_MAX_DISTANCE = 30.0
#: The number of pixels inside below which a mask is not changed.
_MIN_INSIDE_PIXELS = 60


class ColorSamples(NamedTuple):
    """A changed sample, or a batch of them; values in [0, 1].

    The colours [P, 3] of some of the object's pixels are those in the composite [3, H, W] before it was resized or
    compressed, and in the target. The mask is [1, H, W].
    """

    composite: Tensor
    mask: Tensor
    colors: Tensor
    target_colors: Tensor


@dataclass(frozen=True)
class Shares:
    """The shares of a batch to change, each 0 to 1.

    Attributes:
        moved: samples whose mask differs from the recoloured region: wider, tighter, rougher, soft or shifted.
        cut_out: samples whose object loses its rim and is placed on a background without the object: the inpainted
            original background, or another part of the photograph.
        elsewhere: the share of the cut-outs placed on another part of the photograph.
        feathered: the share of the other samples whose change fades towards the contour.
        worn: samples whose composite is resized or compressed as JPEG.
        fits: the share of the cut-outs whose object keeps the colours of its photograph.
        exposed: samples whose object is recoloured like another exposure, by factors in linear light with or without
            a shoulder.
    """

    moved: float
    cut_out: float
    feathered: float
    worn: float
    fits: float
    elsewhere: float = 0.5
    exposed: float = 0.0

    @property
    def any(self) -> bool:
        """Whether any share that changes samples is above 0."""
        return max(self.moved, self.cut_out, self.feathered, self.worn, self.exposed) > 0

    def scaled(self, factor: float) -> Shares:
        """Returns the shares with those that hide the contour multiplied by a factor of 0 to 1."""
        lessened = {name: factor * getattr(self, name) for name in ("moved", "cut_out", "feathered", "worn")}
        return dataclasses.replace(self, **lessened)


def unchanged_samples(composite: Tensor, target: Tensor, mask: Tensor, pixels: int) -> ColorSamples:
    """Returns an unchanged batch with colours of `pixels` pixels of each object; see `changed_samples`."""
    indices = torch.multinomial(mask.flatten(1) + 1e-9, pixels, replacement=True)[:, None].expand(-1, 3, -1)
    return ColorSamples(composite, mask, *(image.flatten(2).gather(2, indices).mT for image in (composite, target)))


def changed_samples(composite: Tensor, target: Tensor, mask: Tensor, shares: Shares, pixels: int) -> ColorSamples:
    """Changes shares of a batch on the CPU, using torch's random generator.

    The images are [N, 3, H, W] in [0, 1], the mask of the recoloured regions [N, 1, H, W] is 0 or 1, and pixels is the
    number of pixels of each object in the loss, P.
    """
    samples = [_changed_sample(*sample, shares, pixels) for sample in zip(composite, target, mask)]
    return ColorSamples(*map(torch.stack, zip(*samples)))


def _changed_sample(composite: Tensor, target: Tensor, mask: Tensor, shares: Shares, pixels: int) -> ColorSamples:
    """Changes one sample, [., H, W]."""
    signed, region, depth = _signed_distance(mask), mask, 0.0
    if shares.exposed and chance(shares.exposed):
        composite = _exposed(target, mask)
    is_cut_out = chance(shares.cut_out)
    if is_cut_out:
        rim = between(*REMOVED_RIM_WIDTHS)
        inner = (signed > rim + 1.5).to(mask)
        is_cut_out = bool(inner.sum() > _MIN_INSIDE_PIXELS)
    if is_cut_out:
        if chance(shares.fits):
            composite = target
        ground = _filled(target, signed > -between(*GAP))
        if chance(shares.elsewhere):
            ground = _elsewhere(ground)
        alpha = ((signed - rim) / between(0.4, 2.5) + 0.5).clamp(0, 1)
        composite, target = (torch.lerp(ground, image, alpha) for image in (composite, target))
        region, depth = inner, rim
    elif chance(shares.feathered):
        alpha = (signed / between(*FADES)).clamp(0, 1)
        composite = torch.lerp(target, composite, alpha)
        whole = (alpha > 0.95).to(mask)
        region = whole if whole.sum() > _MIN_INSIDE_PIXELS else mask
    indices = torch.multinomial(region.flatten() + 1e-9, pixels, replacement=True)
    colors, target_colors = (image.flatten(1)[:, indices].T for image in (composite, target))
    if chance(shares.worn):
        composite = _saved_again(composite)
    input_mask = mask
    if is_cut_out or shares.moved:
        input_mask = _other_mask(
            signed - depth, MAX_DISPLACEMENT / 2 if is_cut_out else MAX_DISPLACEMENT, chance(shares.moved)
        )
    return ColorSamples(composite, input_mask if input_mask.sum() > _MIN_INSIDE_PIXELS else mask, colors, target_colors)


def chance(share: float) -> bool:
    """Returns True with probability `share`."""
    return bool(torch.rand(()) < share)


def between(low: float, high: float) -> float:
    """Draws a number uniformly between low and high."""
    return low + (high - low) * float(torch.rand(()))


def _exposed(image: Tensor, mask: Tensor) -> Tensor:
    """Returns an image [3, H, W] whose object has another exposure and white balance.

    Half of the time a shoulder keeps white fixed, as in cameras; otherwise the maximum of an object darkened by a
    plain factor would reveal the factor.
    """
    factors = torch.exp2(_STOPS * torch.randn(()) + _BALANCE * torch.randn(3)).numpy()[:, None]
    inside = mask[0] > 0
    other = image.clone()
    light = srgb_to_linear(image[:, inside].numpy())
    light = factors * light / (1 + light * (factors - 1) if chance(0.5) else 1)
    other[:, inside] = torch.from_numpy(linear_to_srgb(np.clip(light, 0, 1))).to(image)
    return torch.lerp(image, other, mask)


def _other_mask(field: Tensor, reach: float, is_moved: bool) -> Tensor:
    """Returns a mask whose contour is the zero level of field [1, H, W], a distance, moved by up to `reach` pixels."""
    if is_moved:
        field = field + between(-reach, reach)
        if chance(0.35):
            waves = int(8 * 2 ** torch.randint(3, ()))
            noise = functional.interpolate(torch.randn(1, 1, waves, waves), size=field.shape[1:], mode="bilinear")
            field = field + between(0, 2.5) * noise[0]
        if chance(0.3):
            field = field.roll(tuple(torch.randint(-2, 3, (2,)).tolist()), (1, 2))
    if chance(0.3):
        return (field / between(0.5, 3) + 0.5).clamp(0, 1)
    return (field > 0).to(field)


def _signed_distance(mask: Tensor) -> Tensor:
    """Returns the signed distance of each pixel of a mask [1, H, W] to the contour, positive inside."""
    plane = (mask[0] > 0.5).numpy()
    inside, outside = (np.minimum(distance_inside(x), _MAX_DISTANCE) for x in (plane, ~plane))
    # Distances are measured to the next pixel's centre; the contour is half a pixel nearer.
    return torch.from_numpy(inside - outside - np.where(plane, np.float32(0.5), np.float32(-0.5)))[None]


def _filled(image: Tensor, hole: Tensor) -> Tensor:
    """Returns an image [3, H, W] whose hole [1, H, W] is filled with surrounding colours, coarse to fine."""
    outside = (~hole).to(image)
    levels = [torch.cat([image * outside, outside])[None]]
    while min(levels[-1].shape[2:]) > 1:
        levels.append(functional.avg_pool2d(levels[-1], 2, ceil_mode=True, count_include_pad=False))
    fill = levels[-1][:, :3] / levels[-1][:, 3:].clamp_min(1e-6)
    for level in levels[-2::-1]:
        colors, weight = level[:, :3], level[:, 3:]
        wide = functional.interpolate(fill, size=colors.shape[2:], mode="bilinear")
        fill = torch.where(weight > 1e-3, colors / weight.clamp_min(1e-3), wide)
    return fill[0]


def _elsewhere(image: Tensor) -> Tensor:
    """Returns another part of an image [3, H, W], usually mirrored; reflected beyond its border."""
    if torch.rand(()) < 0.7:
        image = image.flip(-1)
    for axis, most in ((1, 6), (2, 3)):
        side = image.shape[axis]
        shift = int(torch.randint(-(side // most), side // most + 1, ()))
        at = torch.arange(side) + shift
        image = image.index_select(axis, torch.where(at < 0, -1 - at, torch.where(at >= side, 2 * side - 1 - at, at)))
    return image


def _saved_again(image: Tensor) -> Tensor:
    """Returns an image [3, H, W] downscaled and upscaled, compressed as JPEG, or both."""
    height, width = image.shape[1:]
    way = float(torch.rand(()))
    if way < 0.4:
        scale = 0.6 + 0.4 * float(torch.rand(()))
        small = Image.fromarray(_levels(image)).resize(
            (round(width * scale), round(height * scale)), Image.Resampling.BILINEAR
        )
        image = _of_levels(np.array(small.resize((width, height), Image.Resampling.BILINEAR)), image)
    return compressed(image) if way > 0.3 else image


def compressed(image: Tensor) -> Tensor:
    """Returns an image [3, H, W] in [0, 1] compressed as JPEG of a random quality."""
    return _of_levels(as_jpeg(_levels(image), int(torch.randint(*QUALITIES, ()))), image)


def _levels(image: Tensor) -> npt.NDArray[np.uint8]:
    """Returns an image [3, H, W] in [0, 1] as levels [H, W, 3]."""
    levels: npt.NDArray[np.uint8] = (image.permute(1, 2, 0) * 255).round().byte().cpu().numpy()
    return levels


def _of_levels(levels: npt.NDArray[np.uint8], like: Tensor) -> Tensor:
    return torch.from_numpy(levels).permute(2, 0, 1).to(like) / 255
