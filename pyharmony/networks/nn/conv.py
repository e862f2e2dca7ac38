"""Convolutions whose training on a CPU needs fewer multiplications and less time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...ops import conv4x4


def _trains(layer: Any, x: Tensor) -> bool:
    """Returns whether a layer uses our training code: in training, on the CPU, in float32, without options."""
    return (
        layer.training
        and x.device.type == "cpu"
        and x.dtype == torch.float32 == layer.weight.dtype
        and x.ndim == 4
        and x.shape[1] == layer.in_channels
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
    )


def _padding(layer: Any) -> int | None:
    """Returns the padding of a layer if `pyharmony.ops.conv4x4` supports it, else None."""
    pad = layer.padding[0]
    suits = layer.kernel_size == (4, 4) and layer.stride in ((1, 1), (2, 2)) and layer.padding == (pad, pad)
    return pad if suits and pad in range(4) else None


def _rows(x: Tensor) -> Tensor:
    """Returns [N, C, H, W] as [N, H W C], a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).flatten(1)


class Conv2d(torch.nn.Conv2d):
    """torch's Conv2d; in training, on a CPU and in float32, 4 x 4 weights use Winograd's minimal filtering.

    That needs 25 multiplications instead of 64 for a plain convolution; results differ from torch's by rounding, some
    1e-6 of their size. Small images, few output channels and kernels that cover the whole image use one matrix product.
    Everything else (few channels on both sides, other kernels, evaluation) is computed by torch.

    Example:
        >>> import torch
        >>> from pyharmony import nn
        >>> conv = nn.Conv2d(16, 32, 4, stride=2, padding=1)
        >>> conv(torch.rand(2, 16, 32, 32)).shape
        torch.Size([2, 32, 16, 16])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns what torch's Conv2d returns for input [N, C, H, W] or [C, H, W]."""
        if not _trains(self, input):
            return super().forward(input)
        if self.kernel_size == tuple(input.shape[2:]) and self.padding == (0, 0):
            return functional.linear(_rows(input), _rows(self.weight), self.bias)[:, :, None, None]
        if (pad := _padding(self)) is not None and min(input.shape[2:]) + 2 * pad >= 4:
            step = self.stride[0]
            sides = [(side + 2 * pad - 4) // step + 1 for side in input.shape[2:]]
            if way := conv4x4.way_of(input.shape[0], sides, self.in_channels, self.out_channels, step):
                return conv4x4.conv(input, self.weight, self.bias, step, pad, way)
        return super().forward(input)


class ConvTranspose2d(torch.nn.ConvTranspose2d):
    """torch's ConvTranspose2d, with the faster training of `Conv2d` on a CPU in float32.

    Example:
        >>> import torch
        >>> from pyharmony import nn
        >>> conv = nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1)
        >>> conv(torch.rand(2, 32, 16, 16)).shape
        torch.Size([2, 16, 32, 32])
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Returns what torch's ConvTranspose2d returns for input [N, C, H, W] or [C, H, W]."""
        plain = output_size is None and self.output_padding == (0, 0)
        if not plain or not _trains(self, input):
            return super().forward(input, output_size)
        if tuple(input.shape[2:]) == (1, 1) and self.padding == (0, 0):
            rows = input.flatten(1) @ _rows(self.weight)
            result = rows.view(-1, *self.kernel_size, self.out_channels).permute(0, 3, 1, 2)
            return result if self.bias is None else result + self.bias[:, None, None]
        if (pad := _padding(self)) is not None:
            step, sides = self.stride[0], input.shape[2:]
            channels = self.out_channels, self.in_channels
            if way := conv4x4.way_of(input.shape[0], sides, *channels, step, transposed=True):
                return conv4x4.conv_transpose(input, self.weight, self.bias, step, pad, way)
        return super().forward(input, output_size)
