"""The step of the network that distinguishes photographs from composites.

Source of the idea: Zhu et al., "Learning a Discriminative Model for the Perception of Realism in Composite Images",
ICCV 2015: it needs no labels, only photographs and composites made of them. Settings and network are our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ....networks.losses import vanilla_discriminator
from ....networks.models.checks import check_image, check_share
from ....networks.models.realism_cnn import RealismCnn
from ._step import Losses, Step, register
from ._varied import VariedSettings, drawn


@dataclass(frozen=True, kw_only=True)
class RealismSettings(VariedSettings):
    """The settings of `RealismStep`.

    Attributes:
        unmasked: the share of the pairs processed without their mask.
    """

    unmasked: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self.unmasked, "unmasked")


@register("realism_cnn")
class RealismStep(Step):
    """One update by the cross entropy of photographs x with label 1 and composites y with label 0; s are the logits.

    L = (mean softplus(-s(x)) + mean softplus(s(y))) / 2

    A batch contains 'image' and 'composite'. A 'mask' is input with both: otherwise its presence would distinguish
    them. Both go through the network as one batch, or batch norms would remove the difference of their means.

    The network should not detect mere traces of an edit, so `edges` gives both kinds of images the same rims, see
    `exchanged_rims`. Both images of a pair use the same numbers drawn for `gamma` and `gain`.

    Losses: 'loss', and 'accuracy', the share of images classified correctly at a threshold of 0.5.
    """

    inputs = ("image", "composite")
    optional = ("mask",)
    settings: RealismSettings
    settings_type = RealismSettings
    model: RealismCnn

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_image(batch["image"], "image", 3, size=self.model.config.size)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        image, composite, mask = self._varied(batch["image"], batch["composite"], batch.get("mask"))
        images = torch.cat([image, composite])
        with self.autocast():
            logits = self.model.logits(images, None if mask is None else torch.cat([mask, mask]))
        real, fake = logits.float().chunk(2)
        loss = vanilla_discriminator(real, fake) / 2
        accuracy = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
        self.update("model", loss)
        return {"loss": loss, "accuracy": accuracy}

    def _varied(self, image: Tensor, composite: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Returns the augmented pair as input of the network."""
        image, composite = self.settings.varied(image, composite, mask)
        if mask is not None and self.settings.unmasked:
            mask = mask * (drawn(mask, 1, 1, 1) >= self.settings.unmasked)
        return image, composite, mask
