"""The step of pix2pix: a discriminator of patches, and the distance to the target.

Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...losses import adversary, masked_l1
from ...models import Adversarial
from ._step import Losses, Step, StepSettings, check_betas, check_least, register


@dataclass(frozen=True, kw_only=True)
class Pix2PixSettings(StepSettings):
    """Settings of `Pix2PixStep`; the defaults are those published.

    Attributes:
        lr, betas: of both Adams.
        l1: weight of the mean absolute difference of output and target.
        adversary: the game, see `pyharmony.losses.adversary`.
    """

    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    l1: float = 100.0
    adversary: str = "least_squares"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self.lr, "lr", open_end=True)
        check_betas(self.betas)
        check_least(self.l1, "l1")
        adversary(self.adversary)


@register("pix2pix", "pix2pix_selfie")
class Pix2PixStep(Step):
    """The discriminator on target and output, half of its loss, then the generator.

    Losses: 'discriminator', 'adversarial' and 'l1', the mean absolute difference without its weight.
    """

    settings: Pix2PixSettings
    settings_type = Pix2PixSettings
    model: Adversarial

    def __init__(self, model: Adversarial, settings: Pix2PixSettings) -> None:
        super().__init__(model, settings)
        self._game = adversary(settings.adversary)
        if not model.config.mask:
            self.inputs = ("composite", "target")
        for name in ("generator", "discriminator"):
            self._adam(name, getattr(model, name).parameters(), settings.lr, settings.betas)

    def _run(self, batch: dict[str, Tensor]) -> Losses:
        generator, discriminator = self.model.generator, self.model.discriminator
        composite, target = batch["composite"], batch["target"]
        mask = {"mask": batch["mask"]} if "mask" in batch else {}
        with self._precision():
            output = generator(composite, **mask)

        def judge(image: Tensor) -> Any:
            with self._precision():
                return discriminator(composite, image, **mask).float()

        judged = self._game.discriminator(judge(target), judge(output.detach().float())) / 2
        self._update("discriminator", judged)
        adversarial = self._game.generator(judge(output.float()))
        l1 = masked_l1(output.float(), target)
        self._update("generator", adversarial + self.settings.l1 * l1)
        return {"discriminator": judged, "adversarial": adversarial, "l1": l1}
