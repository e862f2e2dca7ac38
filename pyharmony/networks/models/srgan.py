"""SRGAN: super-resolution by a factor of two or four.

Source: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR
2017, as the last stage of a harmonisation system: five residual blocks, and a PReLU after the convolution that follows
them, where the paper has a batch norm. The preset `light` is small enough for CPUs: it has no batch norms (Lim et al.,
"Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR Workshops 2017), produces the output's pixels
in its last convolution (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network", CVPR 2016), and adds them to a bicubic enlargement.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import WeightsError
from ..nn import BatchNorm2d
from . import _blocks, checks
from ._registry import Adversarial, register

__all__ = ["SRGANDiscriminator"]


@dataclass(frozen=True)
class SrganConfig:
    """Settings of `Srgan`.

    Attributes:
        scale: 2 or 4.
        width: the channels of the generator.
        blocks: the number of residual blocks.
        discriminator_width: the channels of the discriminator's first layer.
        norm: whether the residual blocks have batch norms.
        direct: whether the last convolution, at low resolution, produces all pixels of the output by one pixel shuffle,
            and the first and the last kernel are 3x3.
        residual: whether the output is added to the bicubic enlargement of the image; it is zero at first.
    """

    scale: Literal[2, 4] = 4
    width: int = 64
    blocks: int = 5
    discriminator_width: int = 64
    norm: bool = True
    direct: bool = False
    residual: bool = False

    def __post_init__(self) -> None:
        checks.check_choice(self.scale, "scale", (2, 4))
        checks.check_fields(self, checks.check_whole, "width", "discriminator_width")
        checks.check_layers(self.blocks, "blocks")
        checks.check_fields(self, checks.check_flag, "norm", "direct", "residual")


class SRGANBlock(nn.Module):
    """A residual block x + BN(conv(PReLU(BN(conv(x))))), BN only with `norm`."""

    def __init__(self, channels: int, norm: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.act = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))


class SRGANGenerator(nn.Module):
    """The generator: 9x9, residual blocks, a pixel shuffle per doubling, 9x9; `SrganConfig` has variants."""

    def __init__(self, config: SrganConfig) -> None:
        super().__init__()
        w, self.scale, self.direct, self.residual = config.width, config.scale, config.direct, config.residual
        ends = 3 if config.direct else 9
        self.first = nn.Sequential(nn.Conv2d(3, w, ends, padding=ends // 2), nn.PReLU())
        self.blocks = nn.Sequential(*(SRGANBlock(w, config.norm) for _ in range(config.blocks)))
        self.close = nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.PReLU())
        doublings = 0 if config.direct else 1 if config.scale == 2 else 2
        stages = [[nn.Conv2d(w, 4 * w, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()] for _ in range(doublings)]
        self.up = nn.Sequential(*(nn.Sequential(*stage) for stage in stages))
        self.last = nn.Conv2d(w, 3 * config.scale**2 if config.direct else 3, ends, padding=ends // 2)
        if config.residual:
            _blocks.start_as_identity(self.last)

    def forward(self, image: Tensor) -> Tensor:
        """Maps image [N, 3, H, W] in [0, 1] to [N, 3, scale * H, scale * W] in [0, 1].

        With `residual` the result is near [0, 1], but not clamped.
        """
        checks.check_image(image, "image", 3)
        first = self.first(image)
        output = self.last(self.up(self.close(self.blocks(first)) + first))
        if self.direct:
            output = functional.pixel_shuffle(output, self.scale)
        return output + enlarged(image, self.scale) if self.residual else (torch.tanh(output) + 1) / 2


def enlarged(image: Tensor, scale: int) -> Tensor:
    """Returns the bicubic enlargement of images [N, C, H, W], by Keys' kernel with a = -1/2 as in Pillow."""
    size = [scale * side for side in image.shape[2:]]
    # Without antialias torch uses a = -3/4.
    return functional.interpolate(image, size=size, mode="bicubic", antialias=True)


class SRGANDiscriminator(nn.Module):
    """Eight 3x3 convolutions that halve the size four times, the mean over the image, and two layers to a score.

    The paper has a dense layer in place of the mean, and so accepts one image size only.
    """

    smallest = 16

    def __init__(self, config: SrganConfig) -> None:
        super().__init__()
        w = config.discriminator_width
        widths = (3, w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, 1 + i % 2, 1, bias=i == 0) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.norms = nn.ModuleList(BatchNorm2d(c, negative_slope=0.2) for c in widths[2:])
        self.hidden = nn.Linear(8 * w, 16 * w)
        self.score = nn.Linear(16 * w, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Returns logits [N] of images [N, 3, H, W] in [0, 1] of 16 pixels or more."""
        checks.check_image(image, "image", 3)
        checks.check_smallest(image, "image", self.smallest)
        x = _blocks.leaky_convs(self.convs, self.norms, image)
        return self.score(functional.leaky_relu(self.hidden(x.mean((2, 3))), 0.2)).squeeze(1)


class Srgan(Adversarial):
    """Enlarges an image by `scale`.

    Shape:
        image [N, 3, H, W] in [0, 1] to [N, 3, scale * H, scale * W] in [0, 1], with `residual` only approximately.
        `discriminator(image)` returns logits.
    """

    name = "srgan"
    low = 0.0
    picture = "image"

    def __init__(self, config: SrganConfig) -> None:
        super().__init__(config, size=32, takes_mask=False)
        self.generator = SRGANGenerator(config)
        self.discriminator = SRGANDiscriminator(config)


_BLOCK = {"bn1": "norm1", "bn2": "norm2", "prelu": "act"}


def _convert(state: dict[str, Any]) -> tuple[SrganConfig, dict[str, Any]]:
    """Converts the generator of github.com/yiyang7/Super_Resolution_with_CNNs_and_GANs, whose blocks are numbered.

    block1 is the first layer, then come the residual blocks, the convolution after them, and the enlargement.
    """
    numbers = {int(name.partition(".")[0].removeprefix("block")) for name in state if re.match(r"block\d+\.", name)}
    last = max(numbers, default=0)
    parts = {name: name.split(".") for name in state}
    final = max((int(p[1]) for p in parts.values() if p[0] == f"block{last}" and p[1].isdigit()), default=0)
    if last < 4 or f"block{last}.{final}.weight" not in state or "block1.0.weight" not in state:
        raise WeightsError("not a generator of SRGAN: expected layers block1.0, block2.conv1 and so on")
    tensors = {}
    for name, (block, part, *rest) in parts.items():
        number = int(block.removeprefix("block")) if block.removeprefix("block").isdigit() else 0
        if number == 1:
            place = ["first", part, *rest]
        elif 2 <= number <= last - 2:
            place = ["blocks", str(number - 2), _BLOCK.get(part, part), *rest]
        elif number == last - 1:
            place = ["close", part, *rest]
        elif number == last and part == str(final):
            place = ["last", *rest]
        elif number == last and rest and rest[0] in ("conv", "prelu"):
            # Ours has a pixel shuffle between the two.
            place = ["up", part, {"conv": "0", "prelu": "2"}[rest[0]], *rest[1:]]
        else:
            raise WeightsError(f"{name!r} is not a tensor of the model")
        tensors[".".join(["generator", *place])] = state[name]
    width = int(state["block1.0.weight"].shape[0])
    return SrganConfig(blocks=last - 3, width=width, scale=2**final), tensors


register(
    Srgan,
    SrganConfig,
    task="upscale",
    summary="super-resolution by a factor of two or four",
    source="Ledig et al., CVPR 2017, with five blocks",
    presets={
        "x2": {"scale": 2},
        "x4": {},
        "small": {"width": 16, "blocks": 2, "discriminator_width": 8},
        "light": {
            "scale": 2,
            "width": 32,
            "blocks": 6,
            "discriminator_width": 32,
            "norm": False,
            "direct": True,
            "residual": True,
        },
    },
    convert=_convert,
)
