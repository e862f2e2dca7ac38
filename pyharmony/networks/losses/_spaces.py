"""Colours by hue, for losses and encoders, with gradients that are finite for grey, black and white, too."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._checks import check_positive, check_rgb

#: Differences below a quarter of an 8-bit level count as zero, so that divisions by them have finite gradients.
_MIN_DIFFERENCE = 1e-3


def hue_saturation(image: Tensor, *, eps: float = 1e-4) -> Tensor:
    """Returns (s cos 2πh, s sin 2πh, s), periodic in hue h, with saturation s, of RGB in [-1, 1], both [N, 3, H, W].

    With x = (image + 1) / 2, V = max x and d = max x - min x: s = d / (V + eps), and 6h is (g - b) / d, 2 + (b - r) / d
    or 4 + (r - g) / d where r, g or b is the largest, with d + eps in the denominators. Gradients of grey and black
    are finite; red is (1, 0, 1), from either side.
    """
    check_rgb(image, "image")
    check_positive(eps, "eps")
    r, g, b = ((image + 1) / 2).unbind(1)
    largest, smallest = _extremes(r, g, b)
    spread = largest - smallest
    angle = _sector(r, g, b, largest, 1 / (spread + eps)) * (math.pi / 3)
    saturation = spread / (largest + eps)
    return torch.stack([saturation * torch.cos(angle), saturation * torch.sin(angle), saturation], 1)


def rgb_to_hsv(image: Tensor) -> Tensor:
    """Returns hue, saturation and value, of RGB in [-1, 1], both [N, 3, H, W]; each is scaled from [0, 1] to [-1, 1].

    With x = (image + 1) / 2 clipped to [0, 1], V = max x and d = V - min x: S = d / V, and 6H is (g - b) / d modulo 6,
    2 + (b - r) / d or 4 + (r - g) / d where r, g or b is the largest (Smith, "Color Gamut Transform Pairs", SIGGRAPH
    1978). Pillow's mode HSV has these numbers, truncated to bytes. Hue jumps at red, from 1 to -1; `hue_saturation` has
    no jump. If d is below 1/1000 a colour is grey: its hue is -1 and has no gradient. All gradients are finite.

    Example:
        >>> import torch
        >>> from pyharmony import losses
        >>> green = torch.tensor([-1.0, 1.0, -1.0]).reshape(1, 3, 1, 1)
        >>> [round(float(x), 3) for x in losses.rgb_to_hsv(green).flatten()]
        [-0.333, 1.0, 1.0]
    """
    check_rgb(image, "image")
    r, g, b = ((image + 1) / 2).clamp(0, 1).unbind(1)
    largest, smallest = _extremes(r, g, b)
    spread = largest - smallest
    saturation = spread / largest.clamp(min=_MIN_DIFFERENCE)
    return torch.stack([_hue(r, g, b, largest, spread), saturation, largest], 1) * 2 - 1


def rgb_to_hls(image: Tensor) -> Tensor:
    """Returns hue, lightness and saturation, of RGB in [-1, 1], both [N, 3, H, W]; each is scaled to [-1, 1].

    Hue is that of `rgb_to_hsv`. With the largest and the smallest of x = (image + 1) / 2 clipped to [0, 1], and d their
    difference: L = (max + min) / 2 and S = d / (1 - |2L - 1|), as in Python's `colorsys`.

    Example:
        >>> import torch
        >>> from pyharmony import losses
        >>> green = torch.tensor([-1.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
        >>> [round(float(x), 3) for x in losses.rgb_to_hls(green).flatten()]
        [-0.333, -0.5, 1.0]
    """
    check_rgb(image, "image")
    r, g, b = ((image + 1) / 2).clamp(0, 1).unbind(1)
    largest, smallest = _extremes(r, g, b)
    spread, both = largest - smallest, largest + smallest
    saturation = spread / torch.minimum(both, 2 - both).clamp(min=_MIN_DIFFERENCE)
    return torch.stack([_hue(r, g, b, largest, spread), both / 2, saturation], 1) * 2 - 1


def _extremes(r: Tensor, g: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return torch.maximum(torch.maximum(r, g), b), torch.minimum(torch.minimum(r, g), b)


def _sector(r: Tensor, g: Tensor, b: Tensor, largest: Tensor, inverse: Tensor) -> Tensor:
    """Returns six times the hue, -1 to 5; inverse is one over the difference of largest and smallest."""
    return torch.where(
        largest == r, (g - b) * inverse, torch.where(largest == g, 2 + (b - r) * inverse, 4 + (r - g) * inverse)
    )


def _hue(r: Tensor, g: Tensor, b: Tensor, largest: Tensor, spread: Tensor) -> Tensor:
    """Returns the hue in [0, 1], of grey 0."""
    hue = (_sector(r, g, b, largest, 1 / spread.clamp(min=_MIN_DIFFERENCE)) / 6).remainder(1)
    return torch.where(spread >= _MIN_DIFFERENCE, hue, torch.zeros_like(hue))
