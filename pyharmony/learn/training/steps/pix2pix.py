"""The step of pix2pix: a patch discriminator, and the distance to the target.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017; the gradient
penalty is that of Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ....errors import ArgumentError
from ....networks.losses import gradient_penalty, masked_l1
from ....networks.models import Adversarial
from ....networks.models.checks import check_smallest
from ._step import Losses, Step, TranslationSettings, foreground_error, register


@dataclass(frozen=True, kw_only=True)
class Pix2PixSettings(TranslationSettings):
    """The settings of `Pix2PixStep`; the defaults are those published.

    Attributes:
        adversary: the name of the adversarial loss; 'vanilla', the binary cross entropy of logits, is the
            default of the published code, and 'least_squares' its option lsgan.
        gradient_penalty: the weight of `losses.gradient_penalty` on the sum of the discriminator's map; 0:
            none. The loss 'wasserstein' needs it.
    """


@register("pix2pix")
class Pix2PixStep(Step):
    """One update of the discriminator on target t and output y, then one of the generator.

    L_D = game_D(D(t), D(y)) / 2 + penalty,  L_G = adversarial game_G(D(y)) + l1 mean |y - t| + foreground fMSE(y, t)

    Both networks see the composite, and the mask if any. Losses: 'discriminator' without the penalty,
    'gradient_penalty' if it has a weight; without their weights 'adversarial', 'l1' and, if weighted, 'foreground'.
    """

    settings: Pix2PixSettings
    settings_type = Pix2PixSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {},
        "wgan_gp": {"adversary": "wasserstein", "gradient_penalty": 10.0},
    }
    model: Adversarial

    def __init__(self, model: Adversarial, settings: Pix2PixSettings) -> None:
        super().__init__(model, settings)
        if settings.foreground and not model.config.mask:
            raise ArgumentError(f"foreground: {settings.foreground!r}, but the model has no mask input; leave it out")
        if not model.config.mask:
            self.inputs = ("composite", "target")

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_smallest(batch["composite"], "composite", getattr(self.model.discriminator, "smallest", 1))

    def run(self, batch: dict[str, Tensor]) -> Losses:
        generator, discriminator = self.model.generator, self.model.discriminator
        composite, target = batch["composite"], batch["target"]
        mask = {"mask": batch["mask"]} if "mask" in batch else {}
        with self.autocast():
            output = generator(composite, **mask)

        def judge(image: Tensor, *, twice: bool = False) -> Any:
            with self.autocast(twice=twice):
                return discriminator(composite, image, **mask).float()

        output = output.float()
        fake = output.detach()
        of_target, of_fake = judge(target), judge(fake)
        self.observe("score", real=of_target, fake=of_fake)
        discriminator_loss = self.settings.game.discriminator(of_target, of_fake) / 2
        losses, total = {"discriminator": discriminator_loss}, discriminator_loss
        if self.settings.gradient_penalty:
            losses["gradient_penalty"] = gradient_penalty(
                functools.partial(judge, twice=True), target, fake, weight=self.settings.gradient_penalty
            )
            total = total + losses["gradient_penalty"]
        self.update("discriminator", total)
        losses |= {"adversarial": self.settings.game.generator(judge(output)), "l1": masked_l1(output, target)}
        total = self.settings.adversarial * losses["adversarial"] + self.settings.l1 * losses["l1"]
        if self.settings.foreground:
            losses["foreground"] = foreground_error(output, target, mask["mask"])
            total = total + self.settings.foreground * losses["foreground"]
        self.update("generator", total)
        return losses


@dataclass(frozen=True, kw_only=True)
class Pix2PixSelfieSettings(Pix2PixSettings):
    """Settings of `Pix2PixSelfieStep`: those of `Pix2PixStep`, with the least squares loss."""

    adversary: str = "least_squares"


@register("pix2pix_selfie")
class Pix2PixSelfieStep(Pix2PixStep):
    """The step of `Pix2PixStep` with the adversarial loss of the selfie system."""

    settings: Pix2PixSelfieSettings
    settings_type = Pix2PixSelfieSettings
