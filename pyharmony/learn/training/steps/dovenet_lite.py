"""The step of the smaller DoveNet: two adversarial losses of one discriminator, and the distance to the target.

Source: Cong et al., "DoveNet: Deep Image Harmonization via Domain Verification", CVPR 2020, as in a TensorFlow system
for 224 pixels: with cross entropy in place of the hinge, and without spectral norms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import Tensor

from ....networks.losses import masked_l1
from ....networks.models import Adversarial
from ....networks.models.checks import check_statistics
from ....networks.models.dovenet import Scores
from ....networks.models.dovenet_lite import DoveNetLiteDiscriminator
from ._step import AdversarialSettings, Losses, Step, register


@dataclass(frozen=True, kw_only=True)
class DoveNetLiteSettings(AdversarialSettings):
    """The settings of `DoveNetLiteStep`; the defaults are those published.

    Attributes:
        l1: the weight of the mean absolute difference of output and target.
        verification: the weight of the score of the object against the background in the generator's loss.
    """

    lr: float = 2e-4
    l1: float = 100.0
    verification: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_not_negative("l1", "verification")


@register("dovenet_lite")
class DoveNetLiteStep(Step):
    """One update of the discriminator on target t and output y, with one mask, then the generator; images in [0, 1].

    L_D = game_D(D_g(t), D_g(y)) + game_D(D_v(t), D_v(y))
    L_G = l1 mean |y - t| + adversarial game_G(D_g(y)) + verification game_G(D_v(y))

    D_g scores the image, D_v the object against the background; y is the raw output, background included.

    Losses: 'discriminator'; 'adversarial', 'verification' and 'l1' without their weights.
    """

    settings: DoveNetLiteSettings
    settings_type = DoveNetLiteSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {"published": {}, "hinge": {"adversary": "hinge"}}
    model: Adversarial

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_statistics(batch["composite"], "composite", True, len(self.model.config.discriminator_widths))

    def run(self, batch: dict[str, Tensor]) -> Losses:
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        settings, discriminator = self.settings, cast(DoveNetLiteDiscriminator, self.model.discriminator)
        game = settings.game
        with self.autocast():
            output = self.model.generator(composite, mask)
        output = output.float()
        plans = discriminator.plans(mask)

        def judge(image: Tensor) -> Scores:
            with self.autocast():
                scores = discriminator(image, plans)
            return Scores(*(score.float() for score in scores))

        real, fake = judge(target), judge(output.detach())
        self.observe("score", real=real.realism, fake=fake.realism)
        self.observe("verification", real=real.verification, fake=fake.verification)
        discriminator_loss = game.discriminator(real.realism, fake.realism)
        discriminator_loss = discriminator_loss + game.discriminator(real.verification, fake.verification)
        self.update("discriminator", discriminator_loss)
        fake = judge(output)
        adversarial, verification = game.generator(fake.realism), game.generator(fake.verification)
        l1 = masked_l1(output, target)
        total = settings.l1 * l1 + settings.adversarial * adversarial + settings.verification * verification
        self.update("generator", total)
        return {"discriminator": discriminator_loss, "adversarial": adversarial, "verification": verification, "l1": l1}
