"""The step of a harmoniser without a discriminator: the distance to the target, and optionally of their styles.

Sources: Isola et al., CVPR 2017, for the mean absolute difference; Sofiiuk et al., "Foreground-aware Semantic
Representations for Image Harmonization", WACV 2021, for the one normalised by the object's area; Huang et al., ICASSP
2020, for the heads of U-Net 3+; Cong et al., ICME 2021, for codes of regions as a loss.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ....errors import ArgumentError, DTypeError
from ....networks.losses import foreground_mse, masked_l1
from ....networks.models import Model
from ....networks.models.checks import check_choice, check_image, check_smallest
from ....networks.models.style_encoder import RegionEncoder, StyleEncoder
from ....networks.models.unet3plus import UNet3Plus
from ._step import AdamSettings, Losses, Step, check_least, register


@dataclass(frozen=True, kw_only=True)
class SupervisedSettings(AdamSettings):
    """Settings of `SupervisedStep`.

    Attributes:
        lr, betas: the parameters of Adam; the source of the learning rate does not give betas.
        distance: 'l1', the mean absolute difference, or 'foreground_mse' of `pyharmony.networks.losses`.
        min_area: the least area of 'foreground_mse', in pixels.
        heads: the weights of the outputs of a model with deep supervision, largest first; None: 1 / their number.
        style: the weight of the style distance inside the mask, which needs an extractor; None: 1 if there is one.
        style_background: the weight of the distance between the codes of object and background; needs an encoder.
        gram: whether features are compared by their Gram matrices.
    """

    lr: float = 2e-3
    distance: Literal["l1", "foreground_mse"] = "l1"
    min_area: float = 100.0
    heads: tuple[float, ...] | None = None
    style: float | None = None
    style_background: float = 0.0
    gram: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.distance, "distance", ("l1", "foreground_mse"))
        self._check_positive("min_area")
        self._check_not_negative("style_background", *(["style"] if self.style is not None else []))
        if self.heads is not None:
            if not isinstance(self.heads, (tuple, list)):
                raise ArgumentError(f"heads: {self.heads!r}, expected a weight for each head")
            for i, weight in enumerate(self.heads):
                check_least(weight, f"heads[{i}]")
        self._check_flags("gram")


@register("attention_unet", "unet3plus")
class SupervisedStep(Step):
    """One update of the model by the distance of its output y to the target t.

    L = sum_k heads_k d(y_k, t) + style d_style(y, t) + style_background mean |E(y, m) - E(t, 1 - m)|

    y_0 is y, and further y_k exist if the model has `deep`. The extractor E is a `style_encoder`, and d_style its
    `distance` inside the mask m.

    Losses: the distance of y by its name; 'deep', the first sum, if there are several heads; 'style' and
    'style_background', without their weights, if they are not 0.
    """

    settings: SupervisedSettings
    settings_type = SupervisedSettings
    extracts = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "foreground": {"distance": "foreground_mse"},
        "style_code": {"style": 0.01, "style_background": 0.01},
        "style_features": {"style": 1.0},
    }
    extractor: StyleEncoder | None

    def __init__(self, model: Model, settings: SupervisedSettings, extractor: nn.Module | None = None) -> None:
        if extractor is not None and not isinstance(extractor, StyleEncoder):
            raise DTypeError(
                f"extractor: {type(extractor).__name__}, expected a style_encoder of pyharmony.networks.models"
            )
        self._check_style(settings, extractor)
        if isinstance(model, UNet3Plus) and model.config.code:
            raise ArgumentError(
                "model: a unet3plus with a code input is trained with its encoder; expected code=0, or a bargainnet of "
                "generator='unet3plus'"
            )
        if extractor is not None and settings.style is None:
            settings = dataclasses.replace(settings, style=1.0)
        super().__init__(model, settings, extractor)
        count = len(model.heads) if isinstance(model, UNet3Plus) else 1
        heads = settings.heads or (1 / count,) * count
        if len(heads) != count:
            raise ArgumentError(f"heads: {len(heads)} weights, expected {count} for this {model.name}")
        self._heads = heads

    @staticmethod
    def _check_style(settings: SupervisedSettings, extractor: StyleEncoder | None) -> None:
        codes = extractor is not None and extractor.config.kind == "code"
        if extractor is None and (settings.style or settings.style_background or settings.gram):
            raise ArgumentError("extractor: missing; style needs a style_encoder: steps.create(model, extractor=...)")
        if settings.style_background and not codes:
            raise ArgumentError("style_background: features have no code; pass an extractor of kind='code'")
        if settings.gram and codes:
            raise ArgumentError("gram: a code has no Gram matrix; pass an extractor of kind='features'")

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        if self.extractor is not None:
            if isinstance(self.extractor.net, RegionEncoder):
                check_smallest(batch["composite"], "composite", self.extractor.net.smallest)
            else:
                check_image(batch["composite"], "composite", 3, 4)

    def _distance(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        if self.settings.distance == "l1":
            return masked_l1(output, target)
        return foreground_mse(output, target, mask, min_area=self.settings.min_area)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        with self.autocast():
            if isinstance(self.model, UNet3Plus):
                outputs = self.model.deep(composite, mask)
            else:
                outputs = [self.model(composite, mask)]
        outputs = [output.float() for output in outputs]
        distances = [self._distance(output, target, mask) for output in outputs]
        losses: Losses = {self.settings.distance: distances[0]}
        total = torch.stack([w * d for w, d in zip(self._heads, distances)]).sum()
        if len(distances) > 1:
            losses["deep"] = total
        for name, style in self._styles(outputs[0], target, mask).items():
            losses[name] = style
            total = total + getattr(self.settings, name) * style
        self.update("model", total)
        return losses

    def _styles(self, output: Tensor, target: Tensor, mask: Tensor) -> Losses:
        encoder = self.extractor
        losses: Losses = {}
        if encoder is None:
            return losses
        if self.settings.style:
            losses["style"] = encoder.distance(output, target, mask, gram=self.settings.gram)
        if self.settings.style_background:
            with torch.no_grad():
                background = encoder(target, 1 - mask)
            losses["style_background"] = torch.linalg.vector_norm(encoder(output, mask) - background, dim=1).mean()
        return losses
