"""U-Net 3+: every decoder node sees every scale.

Source: Huang et al., "UNet 3+: A Full-Scale Connected UNet for Medical Image Segmentation", ICASSP 2020, without its
classification; here it paints an image, and tanh after each head, which the source has no need of, keeps it in
[-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import _blocks, checks
from ._registry import Model, register


@dataclass(frozen=True)
class UNet3PlusConfig:
    """Settings of `UNet3Plus`.

    Attributes:
        width: the channels of the first encoder stage; they double four times.
        branch: the channels of each of the five inputs of a decoder node.
        deep_supervision: whether the inner nodes have heads, too, which `deep` returns; nothing else changes.
        residual: whether the network says what to change of the composite inside the mask; it starts with little.
    """

    width: int = 64
    branch: int = 64
    deep_supervision: bool = True
    residual: bool = False

    def __post_init__(self) -> None:
        checks.check_fields(self, checks.check_whole, "width", "branch")
        checks.check_fields(self, checks.check_flag, "deep_supervision", "residual")


class Node(nn.Module):
    """A decoder node: five sizes of maps brought to its own, a 3x3 for each, and a 3x3 for all."""

    def __init__(self, inputs: list[int], level: int, branch: int) -> None:
        super().__init__()
        self.level = level
        self.branches = nn.ModuleList(_blocks.conv_norm_relu(c, branch) for c in inputs)
        self.merge = _blocks.conv_norm_relu(branch * len(inputs), branch * len(inputs))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Merges maps, level k at k: the encoder's up to the node's own level, the decoder's and the bottom below."""
        scaled = []
        for k, (x, conv) in enumerate(zip(maps, self.branches)):
            if k < self.level:
                x = functional.max_pool2d(x, 2 ** (self.level - k))
            elif k > self.level:
                x = functional.interpolate(x, scale_factor=float(2 ** (k - self.level)), mode="bilinear")
            scaled.append(conv(x))
        return self.merge(torch.cat(scaled, 1))


class UNet3Plus(Model):
    """Five encoder stages and four decoder nodes on the composite and its mask.

    Shape:
        composite [N, 3, H, W] in [-1, 1] and mask [N, 1, H, W] in [0, 1], sides multiples of 16, to [N, 3, H, W] in
        [-1, 1].
    """

    name = "unet3plus"
    stages = 5
    multiple = 16

    def __init__(self, config: UNet3PlusConfig) -> None:
        super().__init__(config)
        widths = [config.width * 2**i for i in range(self.stages)]
        self.encoder = nn.ModuleList(_blocks.double_conv(a, b, "batch") for a, b in zip([4, *widths], widths))
        merged = config.branch * self.stages
        self.nodes = nn.ModuleList(
            Node(
                [widths[k] if k <= i or k == self.stages - 1 else merged for k in range(self.stages)], i, config.branch
            )
            for i in range(self.stages - 1)
        )
        heads = self.stages - 1 if config.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(merged, 3, 3, padding=1) for _ in range(heads))
        _blocks.initialize(self)

    def _nodes(self, composite: Tensor, mask: Tensor) -> list[Tensor]:
        checks.check_image(composite, "composite", 3, self.multiple)
        checks.check_mask(mask, composite)
        checks.check_statistics(composite, "composite", self.training, self.stages - 1)
        x = torch.cat([composite, mask.to(composite.dtype)], 1)
        maps = []
        for i, stage in enumerate(self.encoder):
            x = stage(functional.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(self.stages - 1)):
            maps[i] = self.nodes[i](maps)
        return maps[:-1]

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns the harmonised image, see the class."""
        output = torch.tanh(self.heads[0](self._nodes(composite, mask)[0]))
        return _blocks.changed(composite, output, mask) if self.config.residual else output

    def deep(self, composite: Tensor, mask: Tensor) -> list[Tensor]:
        """Returns the images of all heads, [N, 3, H, W] each in [-1, 1]; the first is that of `forward`."""
        maps = self._nodes(composite, mask)
        pictures = []
        for i, (head, x) in enumerate(zip(self.heads, maps)):
            y = head(x)
            output = torch.tanh(functional.interpolate(y, scale_factor=float(2**i), mode="bilinear") if i else y)
            pictures.append(_blocks.changed(composite, output, mask) if self.config.residual else output)
        return pictures


register(
    UNet3Plus,
    UNet3PlusConfig,
    task="harmonize",
    summary="U-Net whose decoder sees every scale, supervised on all of them",
    source="Huang et al., ICASSP 2020",
    presets={"base_32": {"width": 32}, "small": {"width": 16, "branch": 16}},
)
