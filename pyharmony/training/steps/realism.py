"""The step of the network that tells photographs from composites.

Source of the idea: Zhu et al., "Learning a Discriminative Model for the Perception of Realism in Composite Images",
ICCV 2015: no labels, but photographs and composites that were made. Settings and network are our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...losses import vanilla_discriminator
from ...models._blocks import check_image
from ...models.realism_cnn import RealismCnn
from ._step import Losses, Step, StepSettings, check_betas, check_least, register


@dataclass(frozen=True, kw_only=True)
class RealismSettings(StepSettings):
    """Settings of `RealismStep`.

    Attributes:
        lr, betas: of Adam.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self.lr, "lr", open_end=True)
        check_betas(self.betas)


@register("realism_cnn")
class RealismStep(Step):
    """One update by the cross entropy of photographs x to 1 and composites y to 0, s their logits.

    L = (mean softplus(-s(x)) + mean softplus(s(y))) / 2

    A batch holds 'image' and 'composite'. A 'mask' is shown with both, or its presence alone would tell them apart; and
    both go through the network as one batch, or batch norms would take away what is different in their means.

    Losses: 'loss', and 'accuracy', the share that is on its side of 0.5.
    """

    inputs = ("image", "composite")
    optional = ("mask",)
    settings: RealismSettings
    settings_type = RealismSettings
    model: RealismCnn

    def __init__(self, model: RealismCnn, settings: RealismSettings) -> None:
        super().__init__(model, settings)
        self._adam("model", model.parameters(), settings.lr, settings.betas)

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_image(batch["image"], "image", 3, size=self.model.config.size)

    def _run(self, batch: dict[str, Tensor]) -> Losses:
        mask = batch.get("mask")
        pictures = torch.cat([batch["image"], batch["composite"]])
        with self._precision():
            logits = self.model.logits(pictures, None if mask is None else torch.cat([mask, mask]))
        real, fake = logits.float().chunk(2)
        loss = vanilla_discriminator(real, fake) / 2
        accuracy = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
        self._update("model", loss)
        return {"loss": loss, "accuracy": accuracy}
