"""The step of DoveNet: a hinge loss for each of two scores, a gradient penalty, and the distance to the target.

Source: Cong et al., "DoveNet: Deep Image Harmonization via Domain Verification", CVPR 2020, and the code that was
published with it. Redundant computations of that code are done once here; for each of them a setting restores the
published behaviour.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ....networks.losses import gradient_penalty, masked_l1
from ....networks.models.checks import check_choice, check_image
from ....networks.models.dovenet import DoveNet, Scores
from ....networks.nn.spectral_norm import UPDATES
from ._step import Losses, Step, TranslationSettings, foreground_error, register


@dataclass(frozen=True, kw_only=True)
class DoveNetSettings(TranslationSettings):
    """The settings of `DoveNetStep`; the values of the preset 'published' are given with the defaults.

    Attributes:
        verification: the weight of the score of the object against the background in the generator's loss.
        gradient_penalty: the weight of the penalty on the mean of both scores; 0: none. Published: 10.
        spectral_norm_updates: the power iterations: 'step', one before each of the two updates, or 'forward', one for
            each pass through a layer. Published: 'forward', which scores objects and backgrounds separately.
        judge_together: whether output and target share one pass of the discriminator if it has instance norms; batch
            norms always process one kind of image at a time. Published: False.
        plan_once: whether partial convolutions sum over the mask once per batch, not per pass. Published: False.
        judge_target_again: whether the target is scored in the generator's update, unused by any loss. Published: True.
    """

    verification: float = 1.0
    adversary: str = "hinge"
    spectral_norm_updates: Literal["step", "forward"] = "step"
    judge_together: bool = True
    plan_once: bool = True
    judge_target_again: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_not_negative("verification")
        check_choice(self.spectral_norm_updates, "spectral_norm_updates", UPDATES)
        self._check_flags("judge_together", "plan_once", "judge_target_again")


@register("dovenet")
class DoveNetStep(Step):
    """One update of the discriminator on target t and output y, with one mask, then one of the generator.

    L_D = game_D(D_g(t), D_g(y)) + game_D(D_v(t), D_v(y)) + penalty of (D_g + D_v) / 2
    L_G = l1 mean |y - t| + foreground fMSE(y, t) + adversarial game_G(D_g(y)) + verification game_G(D_v(y))

    D_g scores the image, D_v the object against the background; y is the raw output, background included. The
    penalty is always computed in float32.

    Losses: 'discriminator' without the penalty, 'gradient_penalty' if its weight is not 0, and without their weights
    'adversarial', 'verification', 'l1' and, if its weight is not 0, 'foreground'.
    """

    settings: DoveNetSettings
    settings_type = DoveNetSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {
            "gradient_penalty": 10.0,
            "spectral_norm_updates": "forward",
            "judge_together": False,
            "plan_once": False,
            "judge_target_again": True,
        }
    }
    model: DoveNet

    def __init__(self, model: DoveNet, settings: DoveNetSettings) -> None:
        super().__init__(model, settings)
        self._together = settings.judge_together and model.config.norm == "instance"
        model.discriminator.spectral_norms.update_once = settings.spectral_norm_updates

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        check_image(batch["composite"], "composite", 3, size=self.model.discriminator.size)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        settings, game, discriminator = self.settings, self.settings.game, self.model.discriminator
        mask, target = batch["mask"], batch["target"]
        with self.autocast():
            output = _wide(self.model.generator(batch["composite"], mask))
        plans = discriminator.plans(mask) if settings.plan_once else None

        def judge(image: Tensor) -> Scores:
            return Scores(*map(_wide, discriminator(image, plans or discriminator.plans(mask))))

        def mean_score(image: Tensor) -> Tensor:
            scores = judge(image)
            return (scores.realism + scores.verification) / 2

        if settings.spectral_norm_updates == "step" and self._micro == 0:
            discriminator.spectral_norms.update()
        with self.autocast():
            fake, real = self._judge_both(judge, output.detach(), target)
        self.observe("score", real=real.realism, fake=fake.realism)
        self.observe("verification", real=real.verification, fake=fake.verification)
        discriminator_loss = game.discriminator(real.realism, fake.realism) + game.discriminator(
            real.verification, fake.verification
        )
        losses = {"discriminator": discriminator_loss}
        if settings.gradient_penalty:
            # In float32: near a slope of 1 the penalty is a small difference, with errors of some per cent in bfloat16.
            penalty = gradient_penalty(mean_score, target, output.detach(), weight=settings.gradient_penalty)
            losses["gradient_penalty"], discriminator_loss = penalty, discriminator_loss + penalty
        self.update("discriminator", discriminator_loss)

        with _frozen(discriminator), self.autocast():
            fake = judge(output)
            if settings.judge_target_again:
                judge(target)
        adversarial, verification = map(game.generator, fake)
        losses |= {"adversarial": adversarial, "verification": verification, "l1": masked_l1(output, target)}
        total = settings.adversarial * adversarial + settings.verification * verification + settings.l1 * losses["l1"]
        if settings.foreground:
            losses["foreground"] = foreground_error(output, target, mask)
            total = total + settings.foreground * losses["foreground"]
        self.update("generator", total)
        return losses

    def _judge_both(self, judge: Any, fake: Tensor, real: Tensor) -> tuple[Scores, Scores]:
        if not self._together:
            return judge(fake), judge(real)
        realism, verification = (score.chunk(2) for score in judge(torch.cat([fake, real])))
        return Scores(realism[0], verification[0]), Scores(realism[1], verification[1])


def _wide(x: Tensor) -> Tensor:
    """Returns x in float32, or unchanged if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


@contextlib.contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Freezes the module's parameters: computations inside have no gradients for them."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
