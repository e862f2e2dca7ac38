"""The step that trains an encoder of regions alone: BargainNet's triplets, with the target as the output.

Source: Cong et al., "BargainNet: Background-Guided Domain Translation for Image Harmonization", ICME 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ....errors import ArgumentError
from ....networks.losses import triplet
from ....networks.models.checks import check_mask, check_smallest
from ....networks.models.style_encoder import RegionEncoder, StyleEncoder
from ._step import Losses, Step, register
from ._varied import VariedSettings


@dataclass(frozen=True, kw_only=True)
class StyleEncoderSettings(VariedSettings):
    """Settings of `StyleEncoderStep`; the defaults are those of BargainNet.

    Attributes:
        margin: the margin of the triplets.
        each_number: whether the triplets compare single elements of the codes, see `pyharmony.networks.losses.triplet`.
        together: whether all codes of a step are computed in one batch; False: one batch per region, as published.
    """

    lr: float = 1e-4
    margin: float = 0.1
    each_number: bool = True
    together: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("margin")
        self._check_flags("each_number", "together")


@register("style_encoder")
class StyleEncoderStep(Step):
    """One update by T(f, f, c) + T(f, b, c), T(a, p, n) = mean max(0, |a - p| - |a - n| + margin).

    f and b are the codes of the target's object and background, c that of the composite's object. In a photograph
    object and background have the same style, and the recoloured object has another. The target is used where
    BargainNet uses its output. The features of an extractor are not trained.

    Batch norms over one kind of region remove the difference of their means; with `together` they do not.

    Losses: 'triplet', the sum.
    """

    settings: StyleEncoderSettings
    settings_type = StyleEncoderSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {"published": {}}
    model: StyleEncoder

    def __init__(self, model: StyleEncoder, settings: StyleEncoderSettings) -> None:
        if model.config.kind != "code":
            raise ArgumentError("model: kind='features' has no weights to train, expected kind='code'")
        super().__init__(model, settings)

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_smallest(batch["composite"], "composite", RegionEncoder.smallest)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        check_mask(mask, target)
        settings = self.settings
        target, composite = settings.varied(target, composite, mask)
        pairs = ((target, mask), (target, 1 - mask), (composite, mask))
        with self.autocast():
            if settings.together:
                images, regions = (torch.cat(several) for several in zip(*pairs))
                codes = list(self.model(images, regions).chunk(3))
            else:
                codes = [self.model(*pair) for pair in pairs]
        real, background, before = (code.float() for code in codes)
        how: dict[str, Any] = {"margin": settings.margin, "each_number": settings.each_number}
        loss = triplet(real, real, before, **how) + triplet(real, background, before, **how)
        self.update("model", loss)
        return {"triplet": loss}
