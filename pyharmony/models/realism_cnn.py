"""How real a picture looks: a small network that was never shown a label, only photographs and composites.

Source of the idea: Zhu et al., "Learning a Discriminative Model for the Perception of Realism in Composite Images",
ICCV 2015. The network is our own: they have a VGG-16 of 134 million weights, this one has 1.1 million.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import _blocks
from ._registry import Model, ModelInfo, register


@dataclass(frozen=True)
class RealismCnnConfig:
    """Settings of `RealismCnn`.

    Attributes:
        size: sides of the pictures.
        widths: channels of the stem and of the residual stages, each of which halves the size.
        dropout: before the score, in training.
    """

    size: int = 128
    widths: tuple[int, ...] = (32, 48, 96, 160, 192)
    dropout: float = 0.2

    def __post_init__(self) -> None:
        _blocks.check_widths(self.widths, "widths")
        _blocks.check_whole(self.size, "size", 2 ** len(self.widths))
        _blocks.check_share(self.dropout, "dropout")


class Stage(nn.Module):
    """Two convolutions 3x3 with batch norms, the first of stride 2, beside a 1x1 of the mean of 2x2."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(in_channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class RealismCnn(Model):
    """The probability that a picture is a photograph, not a composite.

    Shape:
        image [N, 3, size, size] in [-1, 1] and, if it is known, mask [N, 1, size, size] in [0, 1] of what was put
        in, to scores [N] in [0, 1]. A mask of zeros says the same as none.
    """

    name = "realism_cnn"

    def __init__(self, config: RealismCnnConfig) -> None:
        super().__init__(config)
        stem, *widths = config.widths
        self.stem = nn.Conv2d(4, stem, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        self.stages = nn.Sequential(*(Stage(a, b) for a, b in zip([stem, *widths], widths)))
        # What a composite lacks may be in one place or all over: the mean and the largest of each feature.
        self.score = nn.Linear(2 * config.widths[-1], 1)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")

    def logits(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """The score before the sigmoid, [N], for losses."""
        _blocks.check_image(image, "image", 3, size=self.config.size)
        _blocks.check_statistics(image, "image", self.training, len(self.config.widths))
        if mask is None:
            mask = torch.zeros_like(image[:, :1])
        else:
            _blocks.check_mask(mask, image)
        x = torch.cat([image, mask.to(image.dtype)], 1)
        x = self.stages(torch.relu(self.stem_norm(self.stem(x))))
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return self.score(_blocks.dropout(x, self.config.dropout, self.training)).squeeze(1)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """See the class."""
        return torch.sigmoid(self.logits(image, mask))

    def example(self, size: int | None = None) -> dict[str, Tensor]:
        return _blocks.example_pictures(size or self.config.size, "image", mask=True)


register(
    ModelInfo(
        name="realism_cnn",
        task="realism",
        config=RealismCnnConfig,
        make=RealismCnn,
        summary="the probability that a picture is a photograph",
        source="our own network on the idea of Zhu et al., ICCV 2015",
        presets={"small": {"size": 32, "widths": (8, 16, 24)}},
    )
)
