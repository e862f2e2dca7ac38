"""Partial convolution, composed of torch's own operations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PartialConv2d(nn.Conv2d):
    """A convolution that sees what the mask shows, scaled to what a full window would give.

    With u the sum of the mask in a window of S pixels and c = min(u, 1), the new mask:
    y = conv(mask * x, W) * c S / u + b c, zero where u is. Zero padding counts as hidden. Source: Liu et al., "Image
    Inpainting for Irregular Holes Using Partial Convolutions", ECCV 2018.
    """

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """x [N, C, H, W] and mask [N, 1, H, W] of zeros and ones to features and mask of the new size."""
        height, width = self.kernel_size
        ones = torch.ones(1, 1, height, width, dtype=torch.float32, device=x.device)
        with torch.no_grad():
            # Counts are exact in any precision that autocast may choose; their ratio is not.
            count = functional.conv2d(mask.float(), ones, None, self.stride, self.padding, self.dilation).float()
            seen = count.clamp(max=1)
            ratio = seen * (height * width) / torch.where(count > 0, count, 1)
        mask = mask.to(x.dtype)
        y = self._conv_forward(x * mask, self.weight, None)
        y = y * ratio.to(y.dtype)
        seen = seen.to(y.dtype)
        if self.bias is not None:
            y = y + self.bias[:, None, None] * seen
        return y, seen
