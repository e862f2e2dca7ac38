"""SRGAN: an image twice or four times as large.

Source: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR
2017, in the form that a system for harmonisation ended with: five residual blocks, and a PReLU after the convolution
that closes them, where the paper has a batch norm.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import _blocks, checks
from ._registry import Adversarial, register


@dataclass(frozen=True)
class SrganConfig:
    """Settings of `Srgan`.

    Attributes:
        scale: 2 or 4.
        width: the channels of the generator.
        blocks: the number of residual blocks.
        discriminator_width: the channels of the discriminator's first layer.
    """

    scale: Literal[2, 4] = 4
    width: int = 64
    blocks: int = 5
    discriminator_width: int = 64

    def __post_init__(self) -> None:
        checks.check_choice(self.scale, "scale", (2, 4))
        checks.check_fields(self, checks.check_whole, "width", "discriminator_width")
        checks.check_layers(self.blocks, "blocks")


class ResidualBlock(nn.Module):
    """A residual block x + BN(conv(PReLU(BN(conv(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class Generator(nn.Module):
    """The generator: 9x9, residual blocks, a pixel shuffle for each doubling, 9x9."""

    def __init__(self, config: SrganConfig) -> None:
        super().__init__()
        w = config.width
        self.first = nn.Sequential(nn.Conv2d(3, w, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(w) for _ in range(config.blocks)))
        self.close = nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.PReLU())
        self.up = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(w, 4 * w, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())
                for _ in range(1 if config.scale == 2 else 2)
            )
        )
        self.last = nn.Conv2d(w, 3, 9, padding=4)

    def forward(self, image: Tensor) -> Tensor:
        """Maps image [N, 3, H, W] in [0, 1] to [N, 3, scale * H, scale * W] in [0, 1]."""
        checks.check_image(image, "image", 3)
        first = self.first(image)
        return (torch.tanh(self.last(self.up(self.close(self.blocks(first)) + first))) + 1) / 2


class Discriminator(nn.Module):
    """Eight convolutions 3x3 that halve the size four times, the mean over the image, and two layers to a score.

    The paper has a dense layer in place of the mean, and so takes one size of images only.
    """

    smallest = 16

    def __init__(self, config: SrganConfig) -> None:
        super().__init__()
        w = config.discriminator_width
        widths = (3, w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, 1 + i % 2, 1, bias=i == 0) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in widths[2:])
        self.hidden = nn.Linear(8 * w, 16 * w)
        self.score = nn.Linear(16 * w, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Returns logits [N] of images [N, 3, H, W] in [0, 1] of 16 pixels or more."""
        checks.check_image(image, "image", 3)
        checks.check_smallest(image, "image", self.smallest)
        x = _blocks.leaky_convs(self.convs, self.norms, image)
        return self.score(functional.leaky_relu(self.hidden(x.mean((2, 3))), 0.2)).squeeze(1)


class Srgan(Adversarial):
    """An image `scale` times as large.

    Shape:
        image [N, 3, H, W] in [0, 1] to [N, 3, scale * H, scale * W] in [0, 1]. `discriminator(image)` gives logits.
    """

    name = "srgan"
    low = 0.0
    picture = "image"

    def __init__(self, config: SrganConfig) -> None:
        super().__init__(config, size=32, takes_mask=False)
        self.generator = Generator(config)
        self.discriminator = Discriminator(config)


register(
    Srgan,
    SrganConfig,
    task="upscale",
    summary="an image two or four times as large",
    source="Ledig et al., CVPR 2017, with five blocks",
    presets={"x2": {"scale": 2}, "x4": {}, "small": {"width": 16, "blocks": 2, "discriminator_width": 8}},
)
