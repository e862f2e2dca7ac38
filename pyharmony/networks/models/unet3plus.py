"""U-Net 3+: every decoder node uses all scales.

Source: Huang et al., "UNet 3+: A Full-Scale Connected UNet for Medical Image Segmentation", ICASSP 2020, without its
classification; here the output is an image, kept in [-1, 1] by a tanh after each head, which the source does not need.
A system on HCOCO trained it with instance norms, a leaky ReLU in the encoder, a linear head, and a code of the
background at every pixel; the settings provide this, and `BargainNet` combines it with an encoder of the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import ArgumentError, WeightsError
from . import _blocks, _published, checks
from ._blocks import Norm
from ._registry import Model, register

__all__ = ["UNet3Plus"]


@dataclass(frozen=True)
class UNet3PlusConfig:
    """Settings of `UNet3Plus`.

    Attributes:
        width: the channels of the first encoder stage; they double four times.
        branch: the channels of each of the five inputs of a decoder node.
        deep_supervision: whether the inner nodes have heads, too, which `deep` returns; nothing else changes.
        residual: whether the output is added to the composite inside the mask; it is small at first.
        norm: the norm after every convolution except the heads, 'batch' or 'instance'; the latter adds a bias.
        slope: the negative slope of the encoder's ReLUs.
        bounded: whether each head ends in tanh; False: heads are linear, and images may exceed [-1, 1].
        code: the length of a code that is an additional input at every pixel; 0: none.
    """

    width: int = 64
    branch: int = 64
    deep_supervision: bool = True
    residual: bool = False
    norm: Norm = "batch"
    slope: float = 0.0
    bounded: bool = True
    code: int = 0

    def __post_init__(self) -> None:
        checks.check_fields(self, checks.check_whole, "width", "branch")
        checks.check_fields(self, checks.check_flag, "deep_supervision", "residual", "bounded")
        checks.check_choice(self.norm, "norm", _blocks.NORMS[:2])
        checks.check_share(self.slope, "slope")
        checks.check_whole(self.code, "code", 0)


class Node(nn.Module):
    """A decoder node: maps of five sizes resized to its own, a 3x3 for each, and a 3x3 for all."""

    def __init__(self, inputs: list[int], level: int, branch: int, norm: Norm) -> None:
        super().__init__()
        self.level = level
        self.branches = nn.ModuleList(_blocks.conv_norm_relu(c, branch, norm) for c in inputs)
        self.merge = _blocks.conv_norm_relu(branch * len(inputs), branch * len(inputs), norm)

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
        [-1, 1]; if `config.code` is not 0 also the code [N, code].
    """

    name = "unet3plus"
    stages = 5
    multiple = 16

    def __init__(self, config: UNet3PlusConfig) -> None:
        super().__init__(config)
        widths = [config.width * 2**i for i in range(self.stages)]
        self.encoder = nn.ModuleList(
            _blocks.double_conv(a, b, config.norm, config.slope) for a, b in zip([4 + config.code, *widths], widths)
        )
        merged = config.branch * self.stages
        inputs = [
            [widths[k] if k <= i or k == self.stages - 1 else merged for k in range(self.stages)]
            for i in range(self.stages - 1)
        ]
        self.nodes = nn.ModuleList(Node(each, i, config.branch, config.norm) for i, each in enumerate(inputs))
        heads = self.stages - 1 if config.deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(merged, 3, 3, padding=1) for _ in range(heads))
        _blocks.initialize(self)

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        samples = super().example(size)
        return samples | {"code": torch.randn(2, self.config.code)} if self.config.code else samples

    def _planes(self, composite: Tensor, mask: Tensor, code: Tensor | None) -> Tensor:
        """Returns the input of the first convolution, [N, 4 + code, H, W]."""
        checks.check_image(composite, "composite", 3, self.multiple)
        checks.check_mask(mask, composite)
        if self.config.norm == "batch":
            checks.check_statistics(composite, "composite", self.training, self.stages - 1)
        if not self.config.code:
            if code is not None:
                raise ArgumentError("code: not accepted, this unet3plus was created with code=0")
            return torch.cat([composite, mask.to(composite.dtype)], 1)
        if code is None:
            raise ArgumentError(
                f"code: missing, this unet3plus needs one of {self.config.code} numbers; "
                "a bargainnet of generator='unet3plus' has an encoder that computes it"
            )
        checks.check_code(code, composite, self.config.code)
        return _blocks.with_code(composite, mask, code)

    def _nodes(self, composite: Tensor, mask: Tensor, code: Tensor | None) -> list[Tensor]:
        x = self._planes(composite, mask, code)
        maps = []
        for i, stage in enumerate(self.encoder):
            x = stage(functional.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(self.stages - 1)):
            maps[i] = self.nodes[i](maps)
        return maps[:-1]

    def _image(self, y: Tensor, composite: Tensor, mask: Tensor) -> Tensor:
        """Returns the image of a head's output, [N, 3, H, W]."""
        output = torch.tanh(y) if self.config.bounded else y
        return _blocks.add_residual(composite, output, mask) if self.config.residual else output

    def forward(self, composite: Tensor, mask: Tensor, code: Tensor | None = None) -> Tensor:
        """Returns the harmonised image, see the class."""
        return self._image(self.heads[0](self._nodes(composite, mask, code)[0]), composite, mask)

    def deep(self, composite: Tensor, mask: Tensor, code: Tensor | None = None) -> list[Tensor]:
        """Returns the images of all heads, [N, 3, H, W] each in [-1, 1]; the first is that of `forward`."""
        images = []
        for i, (head, x) in enumerate(zip(self.heads, self._nodes(composite, mask, code))):
            y = head(x)
            y = functional.interpolate(y, scale_factor=float(2**i), mode="bilinear") if i else y
            images.append(self._image(y, composite, mask))
        return images


#: The settings of a system on HCOCO, in addition to its instance norms and the length of its code.
ON_HCOCO: dict[str, Any] = {"slope": 0.01, "bounded": False}


def _names() -> dict[str, str]:
    """Returns our names for the layers of the published U-Net 3+ with one head, by its names."""
    names = {"outconv1": "heads.0"}
    for i in range(UNet3Plus.stages):
        names |= {f"conv{i + 1}.conv_block.{3 * j}": f"encoder.{i}.{j}.0" for j in range(2)}
    for i in range(UNet3Plus.stages - 1):
        names[f"conv{i + 1}d_1"] = f"nodes.{i}.merge.0"
        for k in range(UNet3Plus.stages):
            branch = f"h{k + 1}_PT" if k < i else f"h{k + 1}_Cat" if k == i else f"hd{k + 1}_UT"
            names[f"{branch}_hd{i + 1}_conv"] = f"nodes.{i}.branches.{k}.0"
    return names


def read_published(state: dict[str, Tensor]) -> tuple[UNet3PlusConfig, dict[str, Tensor]]:
    """Reads the U-Net 3+ of a system on HCOCO: only convolutions, since its instance norms have no tensors."""
    tensors = _published.rename(state, _names(), "instance")
    if "encoder.0.0.0.weight" not in tensors or "nodes.0.branches.0.0.weight" not in tensors:
        raise WeightsError("the file contains no complete U-Net 3+")
    width, channels = tensors["encoder.0.0.0.weight"].shape[:2]
    if channels < 4:
        raise WeightsError(f"the network has {channels} input channels, expected 4 with a mask, and those of a code")
    branch = tensors["nodes.0.branches.0.0.weight"].shape[0]
    return UNet3PlusConfig(width, branch, False, norm="instance", code=channels - 4, **ON_HCOCO), tensors


register(
    UNet3Plus,
    UNet3PlusConfig,
    task="harmonize",
    summary="U-Net whose decoder uses every scale, with deep supervision",
    source="Huang et al., ICASSP 2020",
    presets={"base_32": {"width": 32}, "small": {"width": 16, "branch": 16}},
    convert=read_published,
)
