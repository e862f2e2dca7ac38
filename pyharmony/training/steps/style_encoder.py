"""The step that trains an encoder of regions by itself: BargainNet's triplets, with the target as the output.

Source: Cong et al., "BargainNet: Background-Guided Domain Translation for Image Harmonization", ICME 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...errors import ArgumentError
from ...losses import triplet
from ...models.checks import check_flag, check_mask, check_share
from ...models.style_encoder import RegionEncoder, StyleEncoder
from ._step import Losses, Step, StepSettings, check_betas, check_least, check_smallest, register
from ._varied import exchanged_rims, toned


@dataclass(frozen=True, kw_only=True)
class StyleEncoderSettings(StepSettings):
    """Settings of `StyleEncoderStep`; the defaults are those of BargainNet.

    Attributes:
        lr, betas: the parameters of Adam.
        margin: the margin of the triplets.
        each_number: whether the triplets compare single numbers of the codes, as in the published code; False: whole
            codes, as in the paper. See `pyharmony.losses.triplet`.
        together: whether all codes of a step come from one batch; False: from one batch for each region, as published.
        edges: the share of the images whose rims take the colours of the other image of the pair, see `RealismStep`.
        gamma, gain: the changes of tone of both images of a pair, see `RealismSettings`.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    margin: float = 0.1
    each_number: bool = True
    together: bool = False
    edges: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self.lr, "lr", open_end=True)
        check_betas(self.betas)
        check_least(self.margin, "margin", open_end=True)
        check_flag(self.each_number, "each_number")
        check_flag(self.together, "together")
        check_share(self.edges, "edges")
        check_least(self.gamma, "gamma")
        check_least(self.gain, "gain")


@register("style_encoder")
class StyleEncoderStep(Step):
    """One update by T(f, f, c) + T(f, b, c), T(a, p, n) = mean max(0, |a - p| - |a - n| + margin).

    f and b are the codes of the target's object and background, c that of the composite's object. In a photograph
    object and background are of one kind, and the recoloured object is of another. Where BargainNet uses its output,
    the target is used here. The features of an extractor are not trained.

    Batch norms over one kind of region at a time remove the difference of their means; with `together` they do not.

    Losses: 'triplet', the sum.
    """

    settings: StyleEncoderSettings
    settings_type = StyleEncoderSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {"published": {}}
    model: StyleEncoder

    def __init__(self, model: StyleEncoder, settings: StyleEncoderSettings) -> None:
        if model.config.kind != "code":
            raise ArgumentError("model: a style_encoder of kind='features', which is not trained; expected kind='code'")
        super().__init__(model, settings)
        self._adam("model", model.parameters(), settings.lr, settings.betas)

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_smallest(batch["composite"], "composite", RegionEncoder.smallest)

    def _run(self, batch: dict[str, Tensor]) -> Losses:
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        check_mask(mask, target)
        settings = self.settings
        if settings.edges:
            target, composite = exchanged_rims(target, composite, mask, settings.edges)
        if settings.gamma or settings.gain:
            target, composite = toned(target, composite, settings.gamma, settings.gain)
        pairs = ((target, mask), (target, 1 - mask), (composite, mask))
        with self._precision():
            if settings.together:
                pictures, regions = (torch.cat(several) for several in zip(*pairs))
                codes = list(self.model(pictures, regions).chunk(3))
            else:
                codes = [self.model(*pair) for pair in pairs]
        real, background, before = (code.float() for code in codes)
        how: dict[str, Any] = {"margin": settings.margin, "each_number": settings.each_number}
        loss = triplet(real, real, before, **how) + triplet(real, background, before, **how)
        self._update("model", loss)
        return {"triplet": loss}
