"""Layers and blocks shared by several networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ArgumentError
from ..nn import BatchNorm2d, Conv2d, ConvTranspose2d, InstanceNorm2d
from . import checks

Norm = Literal["batch", "instance", "none"]

NORMS = ("batch", "instance", "none")


def norm_layer(norm: Norm, channels: int, negative_slope: float | None = None) -> nn.Module:
    """Creates a norm: batch norm has a scale, a shift and running statistics; instance norm has none of them.

    With a negative slope the layer applies a leaky ReLU, too.
    """
    if norm == "none":
        return nn.Identity() if negative_slope is None else nn.LeakyReLU(negative_slope)
    kind = BatchNorm2d if norm == "batch" else InstanceNorm2d
    return kind(channels, negative_slope=negative_slope)


def norm_dropout(norm: nn.Module, x: Tensor, p: float, active: bool) -> Tensor:
    """Returns the norm of x, with its activation, followed by dropout, in one pass in training."""
    if active and p and norm.training and isinstance(norm, (BatchNorm2d, InstanceNorm2d)):
        return norm(x, p)
    return dropout(norm(x), p, active)


def has_bias(norm: Norm) -> bool:
    """Returns whether a convolution before the norm has a bias; batch norm has its own."""
    return norm != "batch"


def has_bias_in_pix2pix(norm: Norm) -> bool:
    """Like `has_bias`, but for pix2pix, whose convolutions without a norm have no bias either, as published."""
    return norm == "instance"


def initialize(module: nn.Module) -> None:
    """Sets weights to N(0, 0.02²), scales of batch norms to N(1, 0.02²) and biases to 0."""
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear)):
                nn.init.normal_(m.weight, 0.0, 0.02)
            elif isinstance(m, nn.modules.batchnorm._BatchNorm) and m.affine:
                nn.init.normal_(m.weight, 1.0, 0.02)
            else:
                continue
            if m.bias is not None:
                nn.init.zeros_(m.bias)


def start_as_identity(last: nn.Module) -> None:
    """Initialises the last layer of a residual branch to zero, so that the branch adds nothing at first."""
    for parameter in last.parameters():
        nn.init.zeros_(parameter)


def dropout(x: Tensor, p: float, active: bool) -> Tensor:
    return functional.dropout(x, p) if active and p else x


#: The number of planes that `with_statistics` adds.
STATISTICS = 12


def with_statistics(image: Tensor, mask: Tensor) -> Tensor:
    """Returns planes: image [N, 3, H, W], mask, and each channel's mean and deviation inside and outside the mask."""
    planes = [image, mask]
    for weights in (mask, 1 - mask):
        area = weights.sum((2, 3), keepdim=True).clamp(min=1)
        mean = (image * weights).sum((2, 3), keepdim=True) / area
        variance = ((image - mean).square() * weights).sum((2, 3), keepdim=True) / area
        # The minimum of the variance is far below an 8-bit level; it keeps the derivative of the root finite.
        planes += [x.expand_as(image) for x in (mean, (variance + 1e-6).sqrt())]
    return torch.cat(planes, 1)


#: The number of output values per pixel of a residual generator: an affine colour map.
AFFINE = 12


def apply_maps(maps: Tensor, image: Tensor, mask: Tensor | None) -> Tensor:
    """Returns image + mask * (A image + b) in [-1, 1]; A, b of each pixel are maps [N, 12, H, W]; no mask: 1."""
    affine = maps.reshape(maps.shape[0], 3, 4, *maps.shape[2:])
    change = (affine[:, :, :3] * image[:, None]).sum(2) + affine[:, :, 3]
    return (image + (change if mask is None else mask.to(change.dtype) * change)).clamp(-1, 1)


def binary(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns the mask thresholded at 0.5, as zeros and ones."""
    return (mask >= 0.5).to(dtype)


def constants(values: Sequence[float], like: Tensor) -> Tensor:
    """Returns values as a tensor [len(values)] with the dtype and device of another.

    `torch.tensor` would copy from the CPU, which cannot be captured in a CUDA graph.
    """
    return torch.cat([like.new_full((1,), value) for value in values])


def concat_channels(*images: Tensor) -> Tensor:
    """Concatenates images [N, C, H, W] along the channels, in the memory format of the first.

    `torch.cat` returns planar memory if an image has one channel, and the next convolution would copy it.
    """
    first = images[0]
    if first.is_contiguous() or not first.is_contiguous(memory_format=torch.channels_last):
        return torch.cat(images, 1)
    pixels = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in images], 1)
    return pixels.view(first.shape[0], *first.shape[2:], -1).permute(0, 3, 1, 2)


def with_mask(image: Tensor, mask: Tensor | None, takes_mask: bool) -> Tensor:
    """Returns image with the mask appended as a channel if takes_mask; raises if mask is missing or unused."""
    if not takes_mask:
        if mask is not None:
            raise ArgumentError("mask: not accepted, this model was created with mask=False")
        return image
    if mask is None:
        raise ArgumentError("mask: missing, this model was created with mask=True")
    checks.check_mask(mask, image)
    return concat_channels(image, mask.to(image.dtype))


def with_code(image: Tensor, mask: Tensor, code: Tensor) -> Tensor:
    """Returns planes: image [N, 3, H, W], mask [N, 1, H, W], and a code [N, D] repeated for every pixel."""
    tiled = code.to(image.dtype)[:, :, None, None].expand(-1, -1, *image.shape[2:])
    return torch.cat([image, mask.to(image.dtype), tiled], 1)


def add_residual(image: Tensor, output: Tensor, mask: Tensor | None) -> Tensor:
    """Returns image + 2 output, inside the mask if there is one, clipped to [-1, 1]; an output of 0 changes nothing.

    image and output are [N, 3, H, W] in [-1, 1], so that any image can be produced. The result is at least float32,
    since bfloat16 resolves few image levels.
    """
    change = 2 * output.to(torch.promote_types(output.dtype, torch.float32))
    return (image + (change if mask is None else mask * change)).clamp(-1, 1)


def power_of_two_sizes(size: int, name: str) -> int:
    """Returns n for size = 4 * 2^n."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 8 or size & (size - 1):
        raise ArgumentError(f"{name}: {size!r}, expected 8, 16, 32, 64 or another power of two")
    checks.check_whole(size, name, 8)
    return int(math.log2(size)) - 2


class UNet(nn.Module):
    """The U-Net of pix2pix, optionally with DoveNet's gates.

    Each level halves the image by C(4, 2, 1) after a leaky ReLU, and T(4, 2, 1) after a ReLU doubles it again. A skip
    is the input of the next level, including the leaky ReLU of the norm, and comes first in the concatenation. A gate
    multiplies a concatenation z by sigmoid(conv1x1(z)); the three largest concatenations have one.

    Args:
        in_channels, out_channels: the channels of the input and of the output.
        width: the channels of the first level; they double until 8 * width.
        depth: the number of levels, 5 or more; sides are multiples of 2^depth.
        norm: the norm after every convolution except the first, the innermost and the last.
        gates: whether there are gates.
        dropout_p: the dropout after the norm of the inner levels of full width except the innermost: 3 for depth 8.
        bounded: whether the output is passed through tanh.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        depth: int,
        norm: Norm,
        *,
        gates: bool = False,
        dropout_p: float = 0.5,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        self.depth, self.multiple, self.dropout_p, self.bounded = depth, 2**depth, dropout_p, bounded
        bias = has_bias_in_pix2pix(norm)
        widths = [width * min(2**i, 8) for i in range(depth)]
        before = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(Conv2d(a, b, 4, 2, 1, bias=bias) for a, b in zip(before, widths))
        self.down_norm = nn.ModuleList(norm_layer(norm, c, 0.2) for c in widths[1:-1])
        # Level i doubles to the size of skip i - 1; the innermost one has no skip.
        inputs = [c if i == depth - 1 else 2 * c for i, c in enumerate(widths)]
        self.up = nn.ModuleList(
            ConvTranspose2d(inputs[i], widths[i - 1], 4, 2, 1, bias=bias) for i in range(depth - 1, 0, -1)
        )
        self.up_norm = nn.ModuleList(norm_layer(norm, widths[i - 1]) for i in range(depth - 1, 0, -1))
        self.last = ConvTranspose2d(inputs[0], out_channels, 4, 2, 1)
        gated = range(min(2, depth - 2), -1, -1) if gates else ()
        self.gates = nn.ModuleDict({str(i): nn.Conv2d(2 * widths[i], 2 * widths[i], 1) for i in gated})

    def forward(self, x: Tensor, *, stochastic: bool = False) -> Tensor:
        """Maps x [N, in_channels, H, W] to [N, out_channels, H, W], in [-1, 1] if bounded; stochastic: whether dropout
        is also applied in evaluation mode."""
        skips = []
        x = self.down[0](x)
        for i, conv in enumerate(self.down[1:]):
            x = self.down_norm[i - 1](x) if i > 0 else functional.leaky_relu_(x, 0.2)
            skips.append(x)
            x = conv(x)
        active = self.training or stochastic
        for i, (conv, norm) in enumerate(zip(self.up, self.up_norm)):
            drops = 1 <= i <= self.depth - 5
            x = norm_dropout(norm, conv(functional.relu_(x)), self.dropout_p, active and drops)
            level = self.depth - 2 - i
            x = torch.cat([skips[level], x], 1)
            if str(level) in self.gates:
                x = x * torch.sigmoid_(self.gates[str(level)](x))
        x = self.last(functional.relu_(x))
        return torch.tanh(x) if self.bounded else x


def leaky_convs(
    convs: nn.ModuleList, norms: nn.ModuleList, x: Tensor, slope: float = 0.2, skips: list[Tensor] | None = None
) -> Tensor:
    """Applies convolutions to x, each followed by its norm with a leaky ReLU, the first by one of this slope alone.

    skips: a list to which the output of each is appended.
    """
    for i, conv in enumerate(convs):
        x = conv(x)
        x = norms[i - 1](x) if i else functional.leaky_relu(x, slope)
        if skips is not None:
            skips.append(x)
    return x


def check_gated(config: Any) -> None:
    """Checks the fields common to the configurations of a gated `UNet`."""
    checks.check_whole(config.width, "width")
    checks.check_choice(config.norm, "norm", NORMS[:2])
    checks.check_flag(config.gates, "gates")
    checks.check_share(config.dropout, "dropout")


def conv_norm_relu(in_channels: int, channels: int, norm: Norm = "batch", slope: float = 0.0) -> nn.Sequential:
    """Creates a 3x3 convolution with norm and ReLU, leaky if slope is not 0."""
    conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=has_bias(norm))
    act = nn.LeakyReLU(slope) if slope else nn.ReLU()
    return nn.Sequential(conv, *([] if norm == "none" else [norm_layer(norm, channels)]), act)


def double_conv(in_channels: int, channels: int, norm: Norm, slope: float = 0.0) -> nn.Sequential:
    """Creates two 3x3 convolutions, each with norm and ReLU, see `conv_norm_relu`."""
    return nn.Sequential(
        conv_norm_relu(in_channels, channels, norm, slope), conv_norm_relu(channels, channels, norm, slope)
    )
