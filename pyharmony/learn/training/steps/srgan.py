"""The step of SRGAN: pretraining by the distance to the target, then also perceptual, adversarial and smoothness terms.

Source: Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
with the loss weights of a harmonisation system that used it as the last stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from ....errors import ArgumentError, ShapeError
from ....networks.losses import masked_l1, masked_l2, perceptual, total_variation
from ....networks.models import Adversarial
from ....networks.models.checks import (
    check_choice,
    check_image,
    check_share,
    check_smallest,
    check_statistics,
    check_whole,
)
from ....networks.models.srgan import SRGANDiscriminator
from ._degraded import degraded
from ._step import AdversarialSettings, Losses, Step, register


@dataclass(frozen=True, kw_only=True)
class SrganSettings(AdversarialSettings):
    """The settings of `SrganStep`; the weights are those published.

    Attributes:
        pretraining: the number of initial steps that train only the generator, by the mean absolute difference.
        content: the distance to the target after those steps, 'l2' (mean squared) or 'l1'.
        perceptual: the weight of `losses.perceptual`, which needs an extractor; None: 0.006 if there is one.
        total_variation: the weight of `pyharmony.networks.losses.total_variation`, of squares.
        worn: the share of the samples whose small image is reduced from the target with degradations: lens blur, area
            averaging, noise, or JPEG compression.
    """

    lr: float = 1e-4
    pretraining: int = 0
    content: Literal["l1", "l2"] = "l2"
    adversarial: float = 1e-3
    perceptual: float | None = None
    total_variation: float = 2e-8
    worn: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.pretraining, "pretraining", 0)
        check_share(self.worn, "worn")
        check_choice(self.content, "content", ("l1", "l2"))
        self._check_not_negative("total_variation", *(["perceptual"] if self.perceptual is not None else []))


@register("srgan")
class SrganStep(Step):
    """One update of the generator by mean |y - t|, `pretraining` times; then of the discriminator and the generator.

    L_D = game_D(D(t), D(y))
    L_G = content(y, t) + adversarial game_G(D(y)) + perceptual P(y, t) + total_variation TV(y)

    A batch contains 'target' t [N, 3, scale h, scale w] and its bicubic reduction 'image' [N, 3, h, w], both in [0, 1].
    The extractor of P maps images [N, 3, H, W] in [0, 1] to a feature map, or several.

    Losses: in the first phase 'l1'; then 'discriminator', and without their weights the content by its name,
    'adversarial', 'perceptual' if there is an extractor, and 'total_variation'.
    """

    inputs = ("image", "target")
    extracts = True
    settings: SrganSettings
    settings_type = SrganSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {"published": {}}
    model: Adversarial

    def __init__(self, model: Adversarial, settings: SrganSettings, extractor: nn.Module | None = None) -> None:
        if extractor is None and settings.perceptual:
            raise ArgumentError("extractor: missing; a perceptual loss needs one: steps.create(model, extractor=...)")
        super().__init__(model, settings, extractor)

    def _phase(self) -> str:
        return "pretraining" if self.count < self.settings.pretraining else "adversarial"

    def _check(self, batch: dict[str, Tensor]) -> None:
        image, target, scale = batch["image"], batch["target"], self.model.config.scale
        for name, x in batch.items():
            check_image(x, name, 3)
        expected = [image.shape[0], 3, scale * image.shape[2], scale * image.shape[3]]
        if list(target.shape) != expected:
            raise ShapeError(f"target: shape {list(target.shape)}, expected {scale} times that of image, {expected}")
        check_smallest(target, "target", SRGANDiscriminator.smallest)
        check_statistics(target, "target", True, 4)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        settings, game, target = self.settings, self.settings.game, batch["target"]
        image = degraded(batch["image"], target, settings.worn) if settings.worn else batch["image"]
        with self.autocast():
            output = self.model.generator(image)
        output = output.float()
        if self._phase() == "pretraining":
            l1 = masked_l1(output, target)
            self.update("generator", l1)
            return {"l1": l1}

        def judge(image: Tensor) -> Tensor:
            with self.autocast():
                return self.model.discriminator(image).float()

        of_target, of_output = judge(target), judge(output.detach())
        self.observe("score", real=of_target, fake=of_output)
        discriminator_loss = game.discriminator(of_target, of_output)
        self.update("discriminator", discriminator_loss)
        distance = masked_l1 if settings.content == "l1" else masked_l2
        losses = {
            settings.content: distance(output, target),
            "adversarial": game.generator(judge(output)),
            "total_variation": total_variation(output, power=2),
        }
        weights = {settings.content: 1.0, "adversarial": settings.adversarial}
        weights["total_variation"] = settings.total_variation
        if self.extractor is not None:
            losses["perceptual"] = perceptual(self.extractor, output, target)
            weights["perceptual"] = 0.006 if settings.perceptual is None else settings.perceptual
        total = losses[settings.content]
        for name, weight in weights.items():
            if name != settings.content:
                total = total + weight * losses[name]
        self.update("generator", total)
        return {"discriminator": discriminator_loss, **losses}
