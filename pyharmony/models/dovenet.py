"""DoveNet: a gated U-Net trained against a discriminator that also verifies domains.

Source: Cong et al., "DoveNet: Deep Image Harmonization via Domain Verification", CVPR 2020, and the code that was
published with it where the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import nn as layers
from ..errors import ArgumentError
from . import _blocks
from ._blocks import Norm
from ._registry import ModelInfo, register


@dataclass(frozen=True)
class DoveNetConfig:
    """Settings of `DoveNet`.

    Attributes:
        width: channels of the generator's first level (ngf).
        discriminator_width: channels of the discriminator's first layer (ndf).
        norm: 'instance' as in the published command, 'batch' as in the released weights.
        gates: the three sigmoid gates.
        dropout: after the norm of three inner levels, in training.
        order: of the spectral norms' power iteration, see `pyharmony.nn.spectral_norm`.
    """

    width: int = 64
    discriminator_width: int = 64
    norm: Norm = "instance"
    gates: bool = True
    dropout: float = 0.5

    def __post_init__(self) -> None:
        _blocks.check_whole(self.width, "width")
        _blocks.check_whole(self.discriminator_width, "discriminator_width")
        _blocks.check_choice(self.norm, "norm", _blocks.NORMS[:2])
        _blocks.check_share(self.dropout, "dropout")


class Scores(NamedTuple):
    """What the discriminator says of each picture, [N]: higher is more real."""

    realism: Tensor
    verification: Tensor


class Generator(nn.Module):
    """The U-Net of eight levels on the composite and its mask."""

    def __init__(self, config: DoveNetConfig) -> None:
        super().__init__()
        self.unet = _blocks.UNet(4, 3, config.width, 8, config.norm, gates=config.gates, dropout_p=config.dropout)

    def forward(self, composite: Tensor, mask: Tensor, *, stochastic: bool = False) -> Tensor:
        """composite [N, 3, H, W] in [-1, 1], mask [N, 1, H, W] in [0, 1], sides multiples of 256, to [N, 3, H, W]."""
        _blocks.check_image(composite, "composite", 3, 256)
        _blocks.check_mask(mask, composite)
        return self.unet(torch.cat([composite, mask.to(composite.dtype)], 1), stochastic=stochastic)


class Encoder(nn.Module):
    """Seven partial convolutions 3x3 without padding: 256 pixels become 127, 63, 31, 15, 7, 3 and 1."""

    strides = (2, 2, 2, 2, 2, 2, 1)

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        widths = [3] + [width * min(2**i, 8) for i in range(7)]
        self.convs = nn.ModuleList(
            layers.PartialConv2d(a, b, 3, stride, bias=i == 0 or _blocks.has_bias(norm))
            for i, (a, b, stride) in enumerate(zip(widths, widths[1:], self.strides))
        )
        self.norms = nn.ModuleList(_blocks.norm_layer(norm, c) for c in widths[2:7])

    def forward(self, x: Tensor, plan: layers.MaskPlan) -> Tensor:
        """x [N, 3, 256, 256] to [N, 8 * width, 1, 1]."""
        for i, conv in enumerate(self.convs):
            x, _ = conv(x, plan=plan[i])
            if i in range(1, 6):
                x = self.norms[i - 1](x)
            if i < 6:
                x = functional.leaky_relu(x, 0.2)
        return x


class Discriminator(nn.Module):
    """Two encoders: of the whole picture, and of object and background, whose codes are compared.

    Every layer but the two that give the scores has a spectral norm.
    """

    size = 256

    def __init__(self, config: DoveNetConfig) -> None:
        super().__init__()
        width = config.discriminator_width
        code = 8 * width
        self.whole = Encoder(width, config.norm)
        self.parts = Encoder(width, config.norm)
        self.head = nn.Sequential(nn.Conv2d(code, code, 1), nn.LeakyReLU(0.2), nn.Conv2d(code, code, 1), nn.LeakyReLU(0.2))
        self.realism = nn.Conv2d(code, 1, 1)
        self.verification = nn.Conv2d(code, 1, 1)

    def plans(self, mask: Tensor) -> Plans:
        """What the partial convolutions need of mask [N, 1, 256, 256]; made once for all pictures with it."""
        _blocks.check_mask(mask, mask[:, :1])
        foreground = layers.mask_plan(mask, self.parts.convs)
        return Plans(
            layers.mask_plan(torch.ones_like(mask), self.whole.convs), foreground, foreground.complement()
        )

    def forward(self, image: Tensor, mask: Tensor | None = None, *, plans: Plans | None = None) -> Scores:
        """image [N, 3, 256, 256] in [-1, 1] with its mask [N, 1, 256, 256], or with the plans of that mask."""
        _blocks.check_image(image, "image", 3, size=self.size)
        if (mask is None) == (plans is None):
            raise ArgumentError("mask: expected it, or plans, and not both")
        if plans is None:
            assert mask is not None
            _blocks.check_mask(mask, image)
            plans = self.plans(mask)
        realism = self.realism(self.whole(image, plans.whole))
        foreground = self.parts(image, plans.foreground)
        background = self.parts(image, plans.background)
        return Scores(realism.flatten(), self.verification(self.head(foreground * background)).flatten())
