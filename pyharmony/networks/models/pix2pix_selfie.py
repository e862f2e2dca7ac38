"""pix2pix adapted to selfies: nine stages down and nine up, dropout as the noise, a wide residual discriminator.

The layers are those of a system that pastes a person into a photograph and adapts the light; the kernels (4x4 in stages
of stride 2, else 3x3) are our interpretation of its list. Source of the training: Isola et al., CVPR 2017; of the
blocks: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ShapeError
from ..nn import ConvTranspose2d
from . import _blocks, checks
from ._blocks import Norm
from ._registry import Adversarial, register
from .pix2pix import PatchGan, Pix2PixDiscriminator


@dataclass(frozen=True)
class Pix2PixSelfieConfig:
    """Settings of `Pix2PixSelfie`.

    Attributes:
        mask: whether a mask is a fourth input channel.
        width: the channels of the generator's first stage.
        norm: the norm of the generator, 'batch' or 'instance'.
        dropout: the dropout after the norm of every decoder stage except the last; it is the noise of the model.
        residual: whether the output is added to the image inside the mask; it is small at first.
        depth: how often the generator halves the image, after two stages that do not; sides are multiples of 2^depth.
        discriminator: 'wide_residual', four blocks of two convolutions; 'patches', that of pix2pix.
        discriminator_width: the channels of its first block or layer.
        discriminator_norm: 'batch' or 'instance'; equal in quality as published, batch norm is faster.
        discriminator_factor: the widening factor inside a wide residual block.
    """

    mask: bool = True
    width: int = 64
    norm: Norm = "batch"
    dropout: float = 0.5
    residual: bool = False
    depth: int = 7
    discriminator: Literal["wide_residual", "patches"] = "wide_residual"
    discriminator_width: int = 64
    discriminator_norm: Norm = "instance"
    discriminator_factor: int = 2

    def __post_init__(self) -> None:
        checks.check_fields(self, checks.check_flag, "mask", "residual")
        checks.check_choice(self.norm, "norm", _blocks.NORMS[:2])
        checks.check_choice(self.discriminator_norm, "discriminator_norm", _blocks.NORMS[:2])
        checks.check_choice(self.discriminator, "discriminator", ("wide_residual", "patches"))
        checks.check_share(self.dropout, "dropout")
        checks.check_fields(self, checks.check_whole, "width", "discriminator_width", "discriminator_factor")
        checks.check_layers(self.depth, "depth")


def _conv(a: int, b: int, stride: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(a, b, 4 if stride == 2 else 3, stride, 1, bias=bias)


class SelfieGenerator(nn.Module):
    """Nine stages down and nine up; stage i of the decoder gets the previous stage and encoder stage 10 - i.

    With another depth there are depth + 2 stages each way.
    """

    def __init__(self, config: Pix2PixSelfieConfig) -> None:
        super().__init__()
        self.mask, self.norm, self.dropout_p, self.residual = config.mask, config.norm, config.dropout, config.residual
        self.depth, self.multiple = config.depth, 2**config.depth
        w, bias = config.width, _blocks.has_bias(config.norm)
        down = (w, w, *(w * min(2**i, 8) for i in range(config.depth)))
        strides = (1, 1, *(2,) * config.depth)
        before = (3 + config.mask, *down[:-1])
        self.down = nn.ModuleList(
            _conv(a, b, stride, bias or i == 0) for i, (a, b, stride) in enumerate(zip(before, down, strides))
        )
        self.down_norm = nn.ModuleList(_blocks.norm_layer(config.norm, c, 0.2) for c in down[1:])
        up = down[-2::-1]
        # The first stage has no skip; the others concatenate the encoder stage of the same size.
        inputs = (down[-1], *(a + b for a, b in zip(up, up)))
        self.up = nn.ModuleList(
            ConvTranspose2d(a, b, 4, 2, 1, bias=bias) if i < config.depth else _conv(a, b, 1, bias)
            for i, (a, b) in enumerate(zip(inputs, up))
        )
        self.up_norm = nn.ModuleList(_blocks.norm_layer(config.norm, c, 0.0) for c in up)
        self.last = _conv(inputs[-1], 3, 1, True)

    def forward(self, image: Tensor, mask: Tensor | None = None, *, stochastic: bool = False) -> Tensor:
        """Generates an image like `Pix2PixGenerator`; sides are multiples of 2^depth, 128.

        With instance norm not both sides are 2^depth.
        """
        checks.check_image(image, "image", 3, self.multiple)
        if self.norm == "batch":
            checks.check_statistics(image, "image", self.training, self.depth)
        elif max(image.shape[2:]) == self.multiple:
            raise ShapeError(
                f"image: {self.multiple}x{self.multiple} pixels, which an instance norm maps to 0; expected more"
            )
        x = _blocks.with_mask(image, mask, self.mask)
        skips: list[Tensor] = []
        x = _blocks.leaky_convs(self.down, self.down_norm, x, skips=skips)
        skips.pop()
        for conv, norm in zip(self.up, self.up_norm):
            x = _blocks.norm_dropout(norm, conv(x), self.dropout_p, self.training or stochastic)
            x = torch.cat([x, skips.pop()], 1)
        output = torch.tanh(self.last(x))
        return _blocks.add_residual(image, output, mask) if self.residual else output


class WideBlock(nn.Module):
    """Norm, leaky ReLU and 3x3 to factor * channels, then again to channels at half the size; a 1x1 shortcut."""

    def __init__(self, in_channels: int, channels: int, factor: int, norm: Norm) -> None:
        super().__init__()
        self.norm1 = _blocks.norm_layer(norm, in_channels)
        self.conv1 = nn.Conv2d(in_channels, factor * channels, 3, 1, 1, bias=False)
        self.norm2 = _blocks.norm_layer(norm, factor * channels)
        self.conv2 = nn.Conv2d(factor * channels, channels, 3, 2, 1, bias=False)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.leaky_relu(self.norm1(x), 0.2))
        # Strided by slicing: in torch 2.13 the channels-last gradient of a strided 1x1 writes out of bounds.
        return self.conv2(functional.leaky_relu(self.norm2(y), 0.2)) + self.shortcut(x[:, :, ::2, ::2])


class WideResidual(nn.Module):
    """Four wide residual blocks of stride 2, and a 1x1: 256 pixels become a map of 16x16."""

    smallest = multiple = 16

    def __init__(self, config: Pix2PixSelfieConfig) -> None:
        super().__init__()
        w = config.discriminator_width
        widths = (6 + config.mask, w, 2 * w, 4 * w, 4 * w)
        self.blocks = nn.Sequential(
            *(
                WideBlock(a, b, config.discriminator_factor, config.discriminator_norm)
                for a, b in itertools.pairwise(widths)
            )
        )
        self.last = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(x))


class Pix2PixSelfie(Adversarial):
    """Image and mask to image, with dropout in training and, if stochastic=True, in evaluation mode.

    Shape:
        image [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1] to [N, 3, H, W] in [-1, 1].
        `discriminator(image, output, mask)` returns a map of logits.
    """

    name = "pix2pix_selfie"
    picture = "image"

    def __init__(self, config: Pix2PixSelfieConfig) -> None:
        super().__init__(config, takes_mask=config.mask)
        self.generator = SelfieGenerator(config)
        net: nn.Module
        if config.discriminator == "wide_residual":
            net = WideResidual(config)
        else:
            net = PatchGan(6 + config.mask, config.discriminator_width, config.discriminator_norm)
        self.discriminator = Pix2PixDiscriminator(net, config.mask)
        _blocks.initialize(self)


register(
    Pix2PixSelfie,
    Pix2PixSelfieConfig,
    task="harmonize",
    summary="nine stages down and up with dropout as noise, with a wide residual discriminator",
    source="a system for selfie compositing trained like Isola et al., CVPR 2017",
    presets={
        "small": {"width": 16, "discriminator_width": 16},
        "narrow_blocks": {"discriminator_factor": 1},
        "patches": {"discriminator": "patches"},
    },
)
