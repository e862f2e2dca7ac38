"""A realism score of images: a small network trained on photographs and composites, without human labels.

Source of the idea: Zhu et al., "Learning a Discriminative Model for the Perception of Realism in Composite Images",
ICCV 2015. The network is our own, with 1.1 million weights; theirs is a VGG-16 of 134 million.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...reference.luma import LUMA
from . import _blocks, checks
from ._registry import Model, register

__all__ = ["RealismCnn"]


@dataclass(frozen=True)
class RealismCnnConfig:
    """Settings of `RealismCnn`.

    Attributes:
        size: the side of the images.
        widths: the channels of the stem and of the residual stages, each of which halves the size.
        dropout: the dropout before the score, in training.
        regions: the hidden values of the comparison of colours inside and outside, see `RealismCnn`; 0: none.
    """

    size: int = 128
    widths: tuple[int, ...] = (32, 48, 96, 160, 192)
    dropout: float = 0.2
    regions: int = 0

    def __post_init__(self) -> None:
        checks.check_widths(self.widths, "widths")
        checks.check_whole(self.size, "size", 2 ** len(self.widths))
        checks.check_share(self.dropout, "dropout")
        if self.regions:
            checks.check_whole(self.regions, "regions", 1)


#: The number of channels of `colours`.
COLOURS = 9


class Stage(nn.Module):
    """Two 3x3 convolutions with batch norms, the first of stride 2, with a 1x1 shortcut of the mean of 2x2."""

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
    """The probability that an image is a photograph, not a composite.

    With `regions` a second score is added: a layer of so many hidden values on means and log deviations of colours,
    including saturation, inside and outside the mask, since mismatched colours differ in these. Without a mask both
    are computed over the whole image.

    Shape:
        image [N, 3, size, size] in [-1, 1] and, if known, mask [N, 1, size, size] in [0, 1] of the pasted object, to
        scores [N] in [0, 1]. A mask of zeros equals no mask.
    """

    name = "realism_cnn"
    picture = "image"

    def __init__(self, config: RealismCnnConfig) -> None:
        super().__init__(config, size=config.size)
        stem, *widths = config.widths
        self.stem = nn.Conv2d(4, stem, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        self.stages = nn.Sequential(*(Stage(a, b) for a, b in zip([stem, *widths], widths)))
        # The flaws of a composite may be local or global: both mean and maximum of each feature are used.
        self.score = nn.Linear(2 * config.widths[-1], 1)
        if config.regions:
            self.region_norm = nn.BatchNorm1d(4 * COLOURS)
            self.region_hidden = nn.Linear(4 * COLOURS, config.regions)
            self.region_score = nn.Linear(config.regions, 1, bias=False)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
        if config.regions:
            # The colours are learned first, since the output of untrained convolutions is noise to them.
            nn.init.zeros_(self.score.weight)

    def logits(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the score before the sigmoid, [N], for losses."""
        checks.check_image(image, "image", 3, size=self.config.size)
        checks.check_statistics(image, "image", self.training, len(self.config.widths))
        if mask is None:
            mask = torch.zeros_like(image[:, :1])
        else:
            checks.check_mask(mask, image)
        mask = mask.to(image.dtype)
        x = torch.relu(self.stem_norm(self.stem(torch.cat([image, mask], 1))))
        x = self.stages(x)
        y = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        score = self.score(_blocks.dropout(y, self.config.dropout, self.training))
        if self.config.regions:
            y = self.region_norm(statistics(colours(image), mask))
            y = torch.relu(self.region_hidden(_blocks.dropout(y, self.config.dropout, self.training)))
            score = score + self.region_score(y)
        return score.squeeze(1)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the score, see the class."""
        return torch.sigmoid(self.logits(image, mask))


def colours(image: Tensor) -> Tensor:
    """Returns R, G, B, luminance Y, R - Y, G - Y, B - Y, chroma, saturation of images in [-1, 1]: [N, 9, H, W]."""
    x = (image + 1) / 2
    weights = x.new_tensor(LUMA)[:, None, None]
    luminance = (x * weights).sum(1, keepdim=True)
    largest = x.amax(1, keepdim=True)
    chroma = largest - x.amin(1, keepdim=True)
    return torch.cat([x, luminance, x - luminance, chroma, chroma / (largest + 0.05)], 1)


def statistics(x: Tensor, mask: Tensor) -> Tensor:
    """Returns means and log deviations of x [N, C, h, w] inside and outside a mask [N, 1, H, W]: [N, 4 C].

    A deviation is at least 0.01. If either region is empty, both are computed over all pixels.
    """
    inside = functional.adaptive_avg_pool2d(mask, (x.shape[2], x.shape[3])).flatten(2)
    weights = torch.cat([inside, 1 - inside], 1)
    total, pixels = weights.sum(2, keepdim=True), weights.shape[2]
    both = (total > 0).all(1, keepdim=True)
    weights = torch.where(both, weights / total.clamp(min=1e-6), 1 / pixels)
    # Ordered by pixels, then channels, which is the fast memory layout of the network.
    values = x.permute(0, 2, 3, 1).flatten(1, 2)
    mean = weights @ values
    variance = (weights @ values.square() - mean.square()).clamp(min=1e-4)
    return torch.cat([mean, variance.log() / 2], 2).flatten(1)


register(
    RealismCnn,
    RealismCnnConfig,
    task="realism",
    summary="the probability that an image is a photograph",
    source="our own network on the idea of Zhu et al., ICCV 2015",
    presets={"small": {"size": 32, "widths": (8, 16, 24)}},
)
