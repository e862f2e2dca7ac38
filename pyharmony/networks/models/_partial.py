"""Partial convolutions that can be traced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .. import nn as layers


class PartialConv2d(layers.PartialConv2d):
    """The layer of `pyharmony.networks.nn`, composed of torch's own operations for ONNX and on the meta device.

    The result is y = conv(mask * x, W) * c S / u + b c; u is the mask's sum in a window of S pixels, c = min(u, 1).
    """

    def forward(self, input: Tensor, mask: Tensor | None = None, plan: Any = None, **epilogue: Any) -> Any:
        """Returns the result of `pyharmony.networks.nn.PartialConv2d`."""
        if mask is not None and (input.is_meta or torch.onnx.is_in_onnx_export()):
            return self._composed(input, mask, **epilogue)
        return super().forward(input, mask, plan, **epilogue)

    def _composed(self, x: Tensor, mask: Tensor, *, negative_slope: float | None = None) -> tuple[Tensor, Tensor]:
        height, width = self.kernel_size
        ones = torch.ones(1, 1, height, width, dtype=mask.dtype, device=x.device)
        count = functional.conv2d(mask, ones, None, self.stride, self.padding, self.dilation)
        valid = count.clamp(max=1)
        y = self._conv_forward(x * mask, self.weight, None) * (valid * (height * width) / count.clamp(min=1))
        if self.bias is not None:
            y = y + self.bias[:, None, None] * valid
        return y if negative_slope is None else functional.leaky_relu(y, negative_slope), valid
