"""EfficientNet-Lite0 up to 1/32 resolution, as a feature extractor trained on ImageNet.

Sources: Tan & Le, "EfficientNet", ICML 2019, and its "Lite" form, which has no squeeze-and-excitation and clips
activations at 6. Batch norms are folded into the convolutions; the network is used as it is or fine-tuned so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import WeightsError


class Inverted(NamedTuple):
    """The shape of a block: channels before, inside and after, the kernel and stride of the depthwise convolution."""

    before: int
    inside: int
    after: int
    kernel: int
    stride: int


def _blocks() -> tuple[Inverted, ...]:
    stages = [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (1, 5, 2, 6, 192),
    ]
    blocks, before = [], 32
    for count, kernel, stride, wider, after in stages:
        for number in range(count):
            blocks.append(Inverted(before, wider * before, after, kernel, 1 if number else stride))
            before = after
    return tuple(blocks)


BLOCKS = _blocks()  # the shapes of the blocks, in order
LEVELS = (0, 2, 4, 10, 11)  # the blocks whose output sizes match the levels of `Clicks`
#: The channels at these levels.
WIDTHS = tuple(BLOCKS[i].after for i in LEVELS)


class _InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection, with an identity connection if the shapes are equal."""

    def __init__(self, shape: Inverted) -> None:
        super().__init__()
        self.shape = shape
        if shape.inside != shape.before:
            self.wide = nn.Conv2d(shape.before, shape.inside, 1)
        self.each = nn.Conv2d(shape.inside, shape.inside, shape.kernel, shape.stride, groups=shape.inside)
        self.narrow = nn.Conv2d(shape.inside, shape.after, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self.wide(x)) if self.shape.inside != self.shape.before else x
        y = self.narrow(functional.relu6(self.each(_padded(y, self.shape.kernel, self.shape.stride))))
        return x + y if self.shape.stride == 1 and self.shape.before == self.shape.after else y


class EfficientNetLite0(nn.Module):
    """Maps images [N, 3, H, W] in [-1, 1], sides multiples of 32, to features at 1/2, 1/4 … 1/32 of the sides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, BLOCKS[0].before, 3, 2)
        self.blocks = nn.ModuleList(_InvertedResidual(shape) for shape in BLOCKS)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns the features of the five levels, see `WIDTHS`."""
        x = functional.relu6(self.stem(_padded(x, 3, 2)))
        levels = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in LEVELS:
                levels.append(x)
        return levels


def _padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pads with zeros like TensorFlow: if the number is odd, the extra one is at the bottom and on the right."""
    more = kernel - stride
    return functional.pad(x, (more // 2, more - more // 2) * 2)


def published(state: Mapping[str, Tensor], epsilon: float = 1e-3) -> dict[str, Tensor]:
    """Returns the state of `EfficientNetLite0` from a published one, with its batch norms folded in.

    state: the tensors of a whole EfficientNet-Lite0 by the names of the package efficientnet-lite-pytorch.
    """
    tensors = {}

    def fold(part: str, conv: str, norm: str) -> None:
        try:
            scale = state[f"{norm}.weight"] * torch.rsqrt(state[f"{norm}.running_var"] + epsilon)
            tensors[f"{part}.weight"] = state[f"{conv}.weight"] * scale[:, None, None, None]
            tensors[f"{part}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        except KeyError as error:
            raise WeightsError(f"state: no tensor {error}, expected those of EfficientNet-Lite0") from error

    fold("stem", "_conv_stem", "_bn0")
    for i, shape in enumerate(BLOCKS):
        convs = [("wide", "_expand_conv"), ("each", "_depthwise_conv"), ("narrow", "_project_conv")]
        for k, (part, conv) in enumerate(convs[shape.inside == shape.before :]):
            fold(f"blocks.{i}.{part}", f"_blocks.{i}.{conv}", f"_blocks.{i}._bn{k + (shape.inside == shape.before)}")
    return tensors
