"""Degraded small images, as cameras and software produce them: several reduction filters, noise, JPEG.

A super-resolution network trained only on clean bicubic reductions would amplify noise and JPEG blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ._contours import between, compressed

_BLURRED = (0.2, 0.8)  # the range of the standard deviation of lens blur, in pixels of the small image
_NOISE_LEVELS = (0.5, 4.0)  # the range of the standard deviation of noise, in 8-bit levels
#: The shares of degraded samples that are blurred, reduced by area averaging, noisy, and compressed.
_SHARES = (0.35, 0.6, 0.35, 0.35)


def degraded(image: Tensor, target: Tensor, share: float) -> Tensor:
    """Returns images [N, 3, h, w] in [0, 1], a random share of which is reduced from the target with degradations.

    The others are unchanged bicubic reductions of the target [N, 3, scale h, scale w].
    """
    selection = torch.rand(len(image)) < share
    if not selection.any():
        return image
    out = image.clone()
    for i in selection.nonzero().flatten().tolist():
        out[i] = _worn(target[i], (image.shape[2], image.shape[3]))
    return out


def _worn(target: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns a degraded reduction of an image [3, H, W] to a size (h, w)."""
    x = target[None]
    blurred, by_area, noisy, is_compressed = (torch.rand(4) < torch.tensor(_SHARES)).tolist()
    if blurred:
        x = gaussian(x, between(*_BLURRED) * target.shape[1] / size[0])
    if by_area:
        x = functional.interpolate(x, size=size, mode="area")
    else:
        x = functional.interpolate(x, size=size, mode="bicubic", antialias=True)
    if noisy:
        x = x + between(*_NOISE_LEVELS) / 255 * torch.randn(x.shape).to(x)
    x = x.clamp(0, 1)
    return compressed(x[0]) if is_compressed else x[0]


def gaussian(x: Tensor, deviation: float) -> Tensor:
    """Returns images [N, C, H, W] blurred by a Gaussian, with replicated borders."""
    reach = max(1, round(3 * deviation))
    at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    weights = torch.exp(-at.square() / (2 * deviation**2))
    weights = (weights / weights.sum()).view(1, 1, -1)
    channels = x.shape[1]
    x = functional.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = functional.conv2d(x, weights[..., None].expand(channels, 1, -1, 1), groups=channels)
    return functional.conv2d(x, weights[:, :, None].expand(channels, 1, 1, -1), groups=channels)
