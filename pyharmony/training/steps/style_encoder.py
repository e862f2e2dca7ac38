"""The step of an encoder of regions by itself: BargainNet's triplets, with the target in place of an output.

Source: Cong et al., "BargainNet: Background-Guided Domain Translation for Image Harmonization", ICME 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import ArgumentError
from ...losses import triplet
from ...models._blocks import check_mask, check_share
from ...models.style_encoder import RegionEncoder, StyleEncoder
from ._step import Losses, Step, StepSettings, check_betas, check_flag, check_least, check_smallest, register
from ._varied import exchanged_rims, toned


@dataclass(frozen=True, kw_only=True)
class StyleEncoderSettings(StepSettings):
    """Settings of `StyleEncoderStep`; the defaults are those of BargainNet.

    Attributes:
        lr, betas: of Adam.
        margin: of the triplets.
        ranking: weight of the third term, see `StyleEncoderStep`; 0: none, as published.
        together: whether the codes of a step come of one batch; False: of a batch for each region, as published.
        edges: share of the pictures whose edges are those of the other one of the pair, see `RealismStep`.
        gamma, gain: changes of tone of both pictures of a pair, see `RealismSettings`.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    margin: float = 0.1
    ranking: float = 0.0
    together: bool = False
    edges: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self.lr, "lr", open_end=True)
        check_betas(self.betas)
        check_least(self.margin, "margin", open_end=True)
        check_flag(self.together, "together")
        check_share(self.edges, "edges")
        for name in ("ranking", "gamma", "gain"):
            check_least(getattr(self, name), name)


@register("style_encoder")
class StyleEncoderStep(Step):
    """One update by T(f, f, c) + T(f, b, c), T(a, p, n) = mean max(0, |a - p| - |a - n| + margin).

    f and b are the codes of the target's object and background, c that of the composite's object: of a photograph both
    are of one kind, and its recoloured object is of another. What BargainNet takes of its output is of the target here.
    The features of an extractor are not trained.

    With `ranking` r what the score of `StyleEncoder.harmony` compares is trained besides, over all pairs of a
    photograph i and a composite j of the batch: r mean_ij log(1 + exp(|f_i - b_i| - |c_j - b_j|)), a smooth form of the
    share of pairs in the wrong order. With codes that are not of one batch (`together`), batch norms take away what is
    different in their means.

    Losses: 'triplet', the sum of the two, and with `ranking` 'ranking', without its weight.
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
        margin = settings.margin
        loss = triplet(real, real, before, margin=margin) + triplet(real, background, before, margin=margin)
        if not settings.ranking:
            self._update("model", loss)
            return {"triplet": loss}
        ranked = _ranking(real, before, background)
        self._update("model", loss + settings.ranking * ranked)
        return {"triplet": loss, "ranking": ranked}


def _ranking(real: Tensor, before: Tensor, background: Tensor) -> Tensor:
    """mean_ij log(1 + exp(|f_i - b_i| - |c_j - b_j|)) of codes [N, D], 1e-6 added to differences."""
    near, far = (functional.pairwise_distance(code, background) for code in (real, before))
    return functional.softplus(near[:, None] - far).mean()
