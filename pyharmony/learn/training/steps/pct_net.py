"""The step of PCT-Net: the distance to the target, divided by the object's area, and the smoothness of the maps.

Source: Guerreiro et al., "PCT-Net: Full Resolution Image Harmonization Using Pixel-Wise Color Transformations", CVPR
2023, without its contrastive loss, which uses VGG-16; the first term is that of Sofiiuk et al.,
"Foreground-aware Semantic Representations for Image Harmonization", WACV 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ....networks.losses import foreground_mse
from ....networks.models.checks import check_smallest
from ....networks.models.pct_net import MEAN, STD, PctNet, normalised
from ._step import AdamSettings, Losses, Step, register


@dataclass(frozen=True, kw_only=True)
class PctNetSettings(AdamSettings):
    """Settings of `PctNetStep`.

    Attributes:
        min_area: the area in pixels, at the size of the batch, below which objects have less weight.
        smooth: the weight of the mean gradient magnitude of the maps.
    """

    min_area: float = 1000.0
    smooth: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("min_area")
        self._check_not_negative("smooth")


def slope(maps: Tensor) -> Tensor:
    """Returns mean sqrt(g_x² + g_y² + 1e-8), g the Sobel gradients, scaled to 1 for a slope of 1 per pixel.

    The maps are [N, C, H, W], with replicated borders. The small constant keeps the derivative of the root finite
    for constant maps.
    """
    wide = functional.pad(maps, (1, 1, 1, 1), mode="replicate")
    across = wide[..., 2:] - wide[..., :-2]
    down = wide[..., 2:, :] - wide[..., :-2, :]
    x = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 8
    y = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 8
    return (x.square() + y.square() + 1e-8).sqrt().mean()


def normalised_maps(change: Tensor) -> Tensor:
    """Converts maps [N, 12, S, S] of x in [0, 1] to maps of z = (x - mean) / std: A x + b = A std z + (A mean + b)."""
    rows = change.reshape(-1, 3, 4, *change.shape[2:])
    columns = [rows[:, :, i] * STD[i] for i in range(3)]
    columns.append(rows[:, :, 3] + rows[:, :, 0] * MEAN[0] + rows[:, :, 1] * MEAN[1] + rows[:, :, 2] * MEAN[2])
    return torch.stack(columns, 2).flatten(1, 2)


@register("pct_net")
class PctNetStep(Step):
    """One update of the network by its output at the size of the batch.

    L = mean_n sum (y - t)² / (3 max(sum m, min_area)) + smooth mean |grad D|

    y is the output, t the target, m the mask, D the difference of the maps from the identity before the attention, and
    its gradient uses Sobel filters. As published, for the encoder 'cnn' y and t are normalised by ImageNet's mean and
    deviation, and D is the difference of maps of such normalised images.

    Losses: 'foreground_mse' and 'slope', the two terms without the weight.
    """

    settings: PctNetSettings
    settings_type = PctNetSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {"vit": {"lr": 1e-4}}
    model: PctNet

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_smallest(batch["composite"], "composite", self.model.smallest)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        settings = self.settings
        with self.autocast():
            transforms = self.model.transforms(composite, mask)
        output, change = self.model.mapped(composite, mask, transforms), transforms.change
        if self.model.config.encoder == "cnn":
            output, target, change = normalised(output), normalised(target), normalised_maps(change)
        losses: Losses = {
            "foreground_mse": foreground_mse(output, target, mask, min_area=settings.min_area),
            "slope": slope(change),
        }
        self.update("model", losses["foreground_mse"] + settings.smooth * losses["slope"])
        return losses
