"""The step of BargainNet: the distance to the target, and triplet losses of style codes.

Source: Cong et al., "BargainNet: Background-Guided Domain Translation for Image Harmonization", ICME 2021, and the code
published with it; the Gram matrices in the mask's box are from a system of style encoders on HCOCO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ....networks.losses import box_gram, masked_l1, triplet
from ....networks.models.bargainnet import BargainNet
from ....networks.models.checks import check_image, check_mask, check_smallest
from ._step import AdamSettings, Losses, Step, register


@dataclass(frozen=True, kw_only=True)
class BargainNetSettings(AdamSettings):
    """The settings of `BargainNetStep`; the defaults are those published.

    Attributes:
        l1: the weight of the mean absolute difference of output and target.
        triplet: the weight of the two triplets.
        margin: the margin of the triplets.
        each_number: whether the triplets compare single elements of the codes, see `pyharmony.networks.losses.triplet`.
        background: the weight of the second triplet, that of the background, within their sum.
        style: the weight of `pyharmony.networks.losses.box_gram` of output and target; 0: none.
    """

    lr: float = 1e-4
    l1: float = 1.0
    triplet: float = 0.01
    margin: float = 0.1
    each_number: bool = True
    background: float = 1.0
    style: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_not_negative("l1", "triplet", "background", "style")
        self._check_positive("margin")
        self._check_flags("each_number")


@register("bargainnet")
class BargainNetStep(Step):
    """One update of generator and encoder together.

    L = l1 mean |y - t| + triplet (T(f, f̂, c) + background T(f̂, b, c)) + style |G(y) - G(t)|²
    T(a, p, n) = mean max(0, |a - p| - |a - n| + margin)

    y is the output, t the target; b is the code of t's background, f that of t's object, f̂ that of y's object and c
    that of the composite's. The generator's input includes b. G are Gram matrices, see `losses.box_gram`.

    The preset 'hcoco' follows a system on HCOCO: Adam 2e-3 with betas (0.5, 0.999), margin 1, background 0.5 (0.9 if
    its encoder uses HLS), style 0.01. The encoder's input is a setting of the model, `BargainNetConfig.space`.

    Losses: 'l1', 'triplet', the sum of the two triplets, and 'style' if it has a weight, all without their weights.
    """

    settings: BargainNetSettings
    settings_type = BargainNetSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {},
        "hcoco": {"lr": 2e-3, "betas": (0.5, 0.999), "margin": 1.0, "background": 0.5, "style": 0.01},
    }
    model: BargainNet

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_image(batch["composite"], "composite", 3, self.model.generator.multiple)
        check_smallest(batch["composite"], "composite", self.model.encoder.smallest)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        check_mask(mask, composite)
        encode, settings = self.model.encode, self.settings
        with self.autocast():
            background = encode(target, 1 - mask)
            output = self.model.generator(composite, mask, background)
        output = output.float()
        with self.autocast():
            codes = [encode(image, mask) for image in (target, output, composite)]
        background, real, fake, before = (code.float() for code in (background, *codes))
        l1 = masked_l1(output, target)
        how: dict[str, Any] = {"margin": settings.margin, "each_number": settings.each_number}
        triplets = triplet(real, fake, before, **how) + settings.background * triplet(fake, background, before, **how)
        losses: Losses = {"l1": l1, "triplet": triplets}
        total = settings.l1 * l1 + settings.triplet * triplets
        if settings.style:
            losses["style"] = box_gram(output, target, mask)
            total = total + settings.style * losses["style"]
        self.update("model", total)
        return losses
