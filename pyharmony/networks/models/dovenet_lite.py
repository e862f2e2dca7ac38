"""A smaller DoveNet: attention on the skips, and one encoder for the whole image and its parts.

Source: Cong et al., "DoveNet: Deep Image Harmonization via Domain Verification", CVPR 2020, in the form of a
TensorFlow system for 224 pixels; the additive attention is that of Oktay et al., "Attention U-Net", MIDL 2018. That
system scales by the number of a mask's channels too; ours has one channel and does not.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import WeightsError
from ...ops import MaskPlan, mask_plan
from ..nn import BatchNorm2d
from . import _blocks, checks
from ._partial import PartialConv2d
from ._registry import Adversarial, register
from .dovenet import Scores

__all__ = ["DoveNetLiteDiscriminator"]


@dataclass(frozen=True)
class DoveNetLiteConfig:
    """Settings of `DoveNetLite`.

    Attributes:
        width: the channels of the generator's first level; they double four times.
        discriminator_widths: the channels of the encoder's layers.
        head_width: the channels of the two hidden layers that compare object and background.
    """

    width: int = 64
    discriminator_widths: tuple[int, ...] = (24, 48, 64, 64, 128, 128)
    head_width: int = 256

    def __post_init__(self) -> None:
        checks.check_whole(self.width, "width", 4)
        checks.check_widths(self.discriminator_widths, "discriminator_widths")
        checks.check_whole(self.head_width, "head_width")


class Attention(nn.Module):
    """A gate skip * sigmoid(psi(relu(theta(skip) + phi(up)))), all 1x1; one value per pixel."""

    def __init__(self, skip_channels: int, up_channels: int) -> None:
        super().__init__()
        inner = up_channels // 4
        self.theta = nn.Conv2d(skip_channels, inner, 1)
        self.phi = nn.Conv2d(up_channels, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        return skip * torch.sigmoid(self.psi(torch.relu(self.theta(skip) + self.phi(up))))


class DoveNetLiteGenerator(nn.Module):
    """A U-Net of four levels without norms; its output is linear."""

    multiple = 16
    levels = 4

    def __init__(self, config: DoveNetLiteConfig) -> None:
        super().__init__()
        widths = [config.width * 2**i for i in range(self.levels + 1)]
        self.down = nn.ModuleList(_blocks.double_conv(a, b, "none") for a, b in zip([4, *widths], widths))
        pairs = [(widths[i + 1], widths[i]) for i in reversed(range(self.levels))]
        self.attention = nn.ModuleList(Attention(skip, up) for up, skip in pairs)
        self.up = nn.ModuleList(_blocks.double_conv(up + skip, skip, "none") for up, skip in pairs)
        self.last = nn.Conv2d(config.width, 3, 1)

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Maps composite [N, 3, H, W] and mask [N, 1, H, W], both in [0, 1], sides multiples of 16, to [N, 3, H, W]:
        near [0, 1], but not clamped."""
        checks.check_image(composite, "composite", 3, self.multiple)
        checks.check_mask(mask, composite)
        x = torch.cat([composite, mask.to(composite.dtype)], 1)
        skips = []
        for i, stage in enumerate(self.down):
            x = stage(functional.max_pool2d(x, 2) if i else x)
            skips.append(x)
        skips.pop()
        for attention, stage in zip(self.attention, self.up):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = stage(torch.cat([x, attention(skips.pop(), x)], 1))
        return self.last(x)


#: The plans of the convolutions for a mask: for the whole image, the object and the background.
DoveNetLitePlans = tuple[MaskPlan, MaskPlan, MaskPlan]


class DoveNetLiteDiscriminator(nn.Module):
    """Six partial convolutions of stride 2, shared by the whole image, the object and the background."""

    def __init__(self, config: DoveNetLiteConfig) -> None:
        super().__init__()
        widths = (3, *config.discriminator_widths)
        self.convs = nn.ModuleList(
            PartialConv2d(a, b, 3, 2, 1, bias=i == 0) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.norms = nn.ModuleList(BatchNorm2d(c, negative_slope=0.2) for c in widths[2:])
        code, width = widths[-1], config.head_width
        self.head = nn.Sequential(
            nn.Conv2d(code, width, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, width, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 1),
        )  # fmt: skip
        self.realism = nn.Conv2d(code, 1, 1)

    def plans(self, mask: Tensor) -> DoveNetLitePlans:
        """Returns the plans of mask [N, 1, H, W], thresholded at 0.5; they suit every image with this mask."""
        mask = _blocks.binary(mask, mask.dtype)
        whole, foreground = (mask_plan(m, list(self.convs)) for m in (torch.ones_like(mask[:1]), mask))
        return whole, foreground, foreground.complement()

    def encode(self, image: Tensor, plan: MaskPlan) -> Tensor:
        """Returns the encoder's features of image [N, 3, H, W] inside the plan's mask: [N, C, h, w]."""
        x, _ = self.convs[0](image, plan=plan[0], negative_slope=0.2)
        for i, norm in enumerate(self.norms, 1):
            x, _ = self.convs[i](x, plan=plan[i])
            x = norm(x)
        return x

    def forward(self, image: Tensor, mask: Tensor | DoveNetLitePlans) -> Scores:
        """Scores images [N, 3, H, W] in [0, 1], and whether their objects match their backgrounds.

        The mask [N, 1, H, W] in [0, 1] is thresholded at 0.5; or it is its `plans`. Returns two maps of logits
        [N, 1, h, w], 4x4 for 224 pixels.
        """
        checks.check_image(image, "image", 3)
        checks.check_statistics(image, "image", self.training, len(self.convs))
        if isinstance(mask, Tensor):
            checks.check_mask(mask, image)
            mask = self.plans(mask.to(image.dtype))
        whole, foreground, background = (self.encode(image, plan) for plan in mask)
        return Scores(self.realism(whole), self.head(foreground * background))


class DoveNetLite(Adversarial):
    """An attention U-Net for 224 pixels with a discriminator that also verifies domains.

    Shape:
        composite [N, 3, H, W] in [0, 1] and mask [N, 1, H, W] in [0, 1] to [N, 3, H, W].
        `discriminator(image, mask)` returns two maps of logits.
    """

    name = "dovenet_lite"
    low = 0.0

    def __init__(self, config: DoveNetLiteConfig) -> None:
        super().__init__(config)
        self.generator = DoveNetLiteGenerator(config)
        self.discriminator = DoveNetLiteDiscriminator(config)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.xavier_uniform_(m.weight)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        return super().example(size or 224)


#: The generator's layers in the order in which the original constructs them.
_LAYERS = (
    *(f"down.{level}.{conv}.0" for level in range(5) for conv in range(2)),
    *(
        name
        for level in range(4)
        for name in (
            *(f"attention.{level}.{part}" for part in ("theta", "phi", "psi")),
            *(f"up.{level}.{i}.0" for i in (0, 1)),
        )
    ),
    "last",
)
_KERAS = "layer_with_weights-{}/{}/.ATTRIBUTES/VARIABLE_VALUE"


def _convert(state: dict[str, Any]) -> tuple[DoveNetLiteConfig, dict[str, Any]]:
    """Converts the generator saved by Keras as a TensorFlow checkpoint: layers in the order of construction."""
    first = state.get(_KERAS.format(0, "kernel"))
    layers = sum(name.endswith(_KERAS.format("", "kernel").partition("/")[2]) for name in state)
    if first is None or layers != len(_LAYERS):
        raise WeightsError(f"not a TensorFlow generator of DoveNet: {layers} layers, expected {len(_LAYERS)} of Keras")
    tensors = {}
    for number, name in enumerate(_LAYERS):
        for leaf, ours in (("kernel", "weight"), ("bias", "bias")):
            value = state[_KERAS.format(number, leaf)]
            tensors[f"generator.{name}.{ours}"] = value.permute(3, 2, 0, 1).contiguous() if value.ndim == 4 else value
    return DoveNetLiteConfig(width=int(first.shape[3])), tensors


register(
    DoveNetLite,
    DoveNetLiteConfig,
    task="harmonize",
    summary="attention U-Net for 224 pixels with a shared encoder of image, object and background",
    source="a TensorFlow system after Cong et al., CVPR 2020",
    presets={"small": {"width": 8, "discriminator_widths": (8, 12, 16, 16, 24, 24), "head_width": 32}},
    convert=_convert,
)
