"""The step of the network that gives maps of colours, by how far the object's colours are from the right ones.

The loss is our own: it takes the root, so that objects far off do not drown those that are nearly right.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models import Model
from ...models.checks import check_whole
from ...models.colorgrid import ColorGrid, ColorMaps
from ._step import Losses, Step, StepSettings, check_betas, check_least, register


@dataclass(frozen=True, kw_only=True)
class ColorGridSettings(StepSettings):
    """Settings of `ColorGridStep`.

    Attributes:
        lr: the learning rate of Adam.
        betas: the betas of Adam.
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
        check_least(self.lr, "lr", open_end=True)
        check_betas(self.betas)
        check_whole(self.pixels, "pixels", 1)
        for name in ("weight_decay", "clip", "early"):
            check_least(getattr(self, name), name)
        check_least(self.floor, "floor", open_end=True)


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

    def __init__(self, model: Model, settings: ColorGridSettings, extractor: None = None) -> None:
        super().__init__(model, settings, extractor)
        self._adam("model", model.parameters(), settings.lr, settings.betas, settings.weight_decay)

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
