"""The step of the network that tells photographs from composites.

Source of the idea: Zhu et al., "Learning a Discriminative Model for the Perception of Realism in Composite Images",
ICCV 2015: no labels, but photographs and composites that were made. Settings and network are our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...losses import vanilla_discriminator
from ...models.checks import check_image, check_share
from ...models.realism_cnn import RealismCnn
from ._step import Losses, Step, StepSettings, check_betas, check_least, register
from ._varied import drawn, exchanged_rims, toned


@dataclass(frozen=True, kw_only=True)
class RealismSettings(StepSettings):
    """Settings of `RealismStep`.

    Attributes:
        lr, betas: of Adam.
        unmasked: share of the pairs that are shown without their mask.
        edges: share of the pictures whose edges are those of the other one of the pair, see `RealismStep`.
        gamma, gain: pictures in [0, 1] become clamp(g·x^a), a and the g of each channel drawn for a pair: their
            logarithms lie up to so far from 0 on either side.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    unmasked: float = 0.0
    edges: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self.lr, "lr", open_end=True)
        check_betas(self.betas)
        check_share(self.unmasked, "unmasked")
        check_share(self.edges, "edges")
        check_least(self.gamma, "gamma")
        check_least(self.gain, "gain")


@register("realism_cnn")
class RealismStep(Step):
    """One update by the cross entropy of photographs x to 1 and composites y to 0, s their logits.

    L = (mean softplus(-s(x)) + mean softplus(s(y))) / 2

    A batch holds 'image' and 'composite'. A 'mask' is shown with both, or its presence alone would tell them apart; and
    both go through the network as one batch, or batch norms would take away what is different in their means.

    What only shows that something was done to a picture is no sign of a composite. A mask misses its object by a
    little, so a composite has a rim that kept its colours, or that took those of the object: with `edges` the pixels
    next to the mask's border, inside or outside, take on up to half of the other picture's colours, and photographs
    have such rims as well.
    What is drawn for `gamma` and `gain` is the same for both pictures of a pair.

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
        image, composite, mask = self._varied(batch["image"], batch["composite"], batch.get("mask"))
        pictures = torch.cat([image, composite])
        with self._precision():
            logits = self.model.logits(pictures, None if mask is None else torch.cat([mask, mask]))
        real, fake = logits.float().chunk(2)
        loss = vanilla_discriminator(real, fake) / 2
        accuracy = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
        self._update("model", loss)
        return {"loss": loss, "accuracy": accuracy}

    def _varied(self, image: Tensor, composite: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The pair as the network is shown it; nothing is drawn for what is off."""
        settings = self.settings
        if mask is not None and settings.edges:
            image, composite = exchanged_rims(image, composite, mask, settings.edges)
        if settings.gamma or settings.gain:
            image, composite = toned(image, composite, settings.gamma, settings.gain)
        if mask is not None and settings.unmasked:
            mask = mask * (drawn(mask, 1, 1, 1) >= settings.unmasked)
        return image, composite, mask
