"""The step of the network that gives maps of colours, by how far the object's colours are from the right ones.

The loss is our own: it takes the root, so that objects far off do not drown those that are nearly right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.checks import check_whole
from ...models.colorgrid import ColorGrid, ColorMaps
from ._step import AdamSettings, Losses, Step, register


@dataclass(frozen=True, kw_only=True)
class ColorGridSettings(AdamSettings):
    """Settings of `ColorGridStep`.

    Attributes:
        weight_decay: the decay of matrices, decoupled from the gradient (Loshchilov & Hutter, ICLR 2019).
        clip: the largest norm of the gradient; 0: no limit.
        pixels: the number of pixels of each object, drawn for a step, that the loss compares.
        floor: the mean squared error below which there is little left to gain, in [0, 1].
        early: the weight of the errors of the stages before the last.
    """

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-2
    clip: float = 1.0
    pixels: int = 768
    floor: float = 1e-5
    early: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.pixels, "pixels", 1)
        self._check_not_negative("weight_decay", "clip", "early")
        self._check_positive("floor")


@register("colorgrid")
class ColorGridStep(Step):
    """One update of the network by the colours that its maps give the object.

    L = mean_n (e(last stage) + early sum e(other stages)),   e = sqrt(mean_p |y_np - t_np|² + floor)

    y are the mapped colours of pixels p, which are drawn by the mask, and t those of the target.

    Losses: 'rmse', the error of the last stage, and 'early', the sum of the others, where there are any.
    """

    settings: ColorGridSettings
    settings_type = ColorGridSettings
    model: ColorGrid

    def _add_optimizers(self) -> None:
        settings = self.settings
        self._adam("model", self.model.parameters(), settings.lr, settings.betas, settings.weight_decay)

    def _run(self, batch: dict[str, Tensor]) -> Losses:
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        settings = self.settings
        with self._precision():
            looks = self.model.looks(composite, mask)
        chosen = torch.multinomial(mask.flatten(1) + 1e-9, settings.pixels, replacement=True)
        given, wanted = (x.flatten(2).gather(2, chosen[:, None].expand(-1, 3, -1)).mT for x in (composite, target))

        def error(maps: ColorMaps) -> Tensor:
            return ((maps.apply(given) - wanted).square().mean((1, 2)) + settings.floor).sqrt().mean()

        losses: Losses = {"rmse": error(looks[-1])}
        total = losses["rmse"]
        if len(looks) > 1:
            losses["early"] = torch.stack([error(maps) for maps in looks[:-1]]).sum()
            total = total + settings.early * losses["early"]
        self._update("model", total, clip=settings.clip)
        return losses
