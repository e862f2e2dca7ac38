"""The step of GP-GAN: several updates of a critic with clipped weights, then one of the generator.

Source: Wu et al., "GP-GAN: Towards Realistic High-Resolution Image Blending", ACM MM 2019, and the code published with
it; for the generator from noise Arjovsky et al., "Wasserstein Generative Adversarial Networks", ICML 2017. The gradient
penalty, an alternative to the clipping, is that of Gulrajani et al., NeurIPS 2017.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from ....errors import ArgumentError
from ....networks.losses import (
    clip_parameters,
    gradient_penalty,
    masked_l2,
    wasserstein_discriminator,
    wasserstein_generator,
)
from ....networks.models import Adversarial
from ....networks.models.checks import check_choice, check_fields, check_image, check_statistics, check_whole
from ....networks.models.gp_gan import Critic
from ._step import Losses, Step, StepSettings, check_betas, check_least, register


@dataclass(frozen=True, kw_only=True)
class GPGanSettings(StepSettings):
    """The settings of `GPGanStep`; the defaults are those published, and None depends on the kind of generator.

    An `optimizer` of None is Adam, but RMSprop for the generator from noise.

    Attributes:
        lr_discriminator: the critic's learning rate; None: 2e-4, from noise 5e-5.
        lr_generator: the generator's learning rate; None: 2e-3, from noise 5e-5.
        betas: the betas of Adam.
        l2: the weight of the mean squared difference of output and target; the critic's score has the weight 1 - l2;
            None: 0.999. The generator from noise has no such term.
        clip: every parameter of the critic is clipped to [-clip, clip], while `clip_norm` limits gradients; None: no
            clipping.
        clip_when: 'before' the critic's update, or 'after' it, as in a port to PyTorch.
        gradient_penalty: the weight of `losses.gradient_penalty`, for a critic without clipping; 0: none.
        critic_updates: the number of updates of the critic per update of the generator.
        critic_updates_more: the same while the generator has had fewer than `more_until` updates, or a multiple of
            `more_every`.
    """

    lr_discriminator: float | None = None
    lr_generator: float | None = None
    betas: tuple[float, float] = (0.5, 0.999)
    l2: float | None = None
    clip: float | None = 0.01
    clip_when: Literal["before", "after"] = "before"
    gradient_penalty: float = 0.0
    critic_updates: int = 5
    critic_updates_more: int = 100
    more_until: int = 25
    more_every: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_betas(self.betas)
        for name in ("lr_discriminator", "lr_generator", "clip"):
            if getattr(self, name) is not None:
                check_least(getattr(self, name), name, open_end=True)
        if self.l2 is not None:
            check_least(self.l2, "l2")
            if self.l2 > 1:
                raise ArgumentError(f"l2: {self.l2!r}, expected 0 to 1")
        check_choice(self.clip_when, "clip_when", ("before", "after"))
        self._check_not_negative("gradient_penalty")
        if self.gradient_penalty and self.clip is not None:
            raise ArgumentError("gradient_penalty: conflicts with clip, which keeps slopes far from 1; set clip=None")
        check_fields(self, check_whole, "critic_updates", "critic_updates_more", "more_every")
        check_whole(self.more_until, "more_until", 0)


@register("gp_gan")
class GPGanStep(Step):
    """One update of the critic and, after enough of these, one of the generator on the same batch.

    Here t is the target, y the output, and D the mean score of a batch, which is low for real images:

        L_D = D(t) - D(y) + penalty,  L_G = (1 - l2) D(y) + l2 mean (y - t)², from noise D(y)

    A batch contains 'composite' and 'target', the background; for the generator from noise only 'target', and z comes
    from torch's random generator. The critic's batch norms mix samples, so that a gradient penalty is that of the
    batch.

    Losses: 'discriminator' without the penalty, 'gradient_penalty' if its weight is not 0; 'adversarial' and 'l2'
    without their weights, if the generator was updated.

    Attributes:
        generator_count: the number of updates of the generator.
        critic_count: the number of updates of the critic since the generator's last one.
    """

    settings: GPGanSettings
    settings_type = GPGanSettings
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {},
        "port": {
            "lr_discriminator": 5e-4,
            "lr_generator": 5e-4,
            "l2": 0.99,
            "clip_when": "after",
            "critic_updates_more": 50,
            "more_until": 15,
        },
        "tensorflow": {"l2": 0.99},
        "gradient_penalty": {"clip": None, "gradient_penalty": 10.0},
    }
    progress = ("count", "generator_count", "critic_count")
    model: Adversarial

    def __init__(self, model: Adversarial, settings: GPGanSettings) -> None:
        self._supervised = bool(model.config.supervised)
        if not self._supervised and settings.l2 is not None:
            raise ArgumentError(f"l2: {settings.l2!r}, but the generator from noise has no target; leave it out")
        defaults = self._published(self._supervised)
        defaults = {name: value for name, value in defaults.items() if getattr(settings, name) is None}
        super().__init__(model, dataclasses.replace(settings, **defaults))
        self.inputs = ("composite", "target") if self._supervised else ("target",)
        self.generator_count = self.critic_count = 0
        self._clipped = False

    def add_optimizers(self) -> None:
        for name in ("discriminator", "generator"):
            parameters, lr = getattr(self.model, name).parameters(), getattr(self.settings, f"lr_{name}")
            self.add_optimizer(name, parameters, lr, self.settings.betas)

    @staticmethod
    def _published(supervised: bool) -> dict[str, Any]:
        if supervised:
            return {"optimizer": "adam", "lr_discriminator": 2e-4, "lr_generator": 2e-3, "l2": 0.999}
        return {"optimizer": "rmsprop", "lr_discriminator": 5e-5, "lr_generator": 5e-5}

    def _share(self) -> int:
        """Returns the number of updates of the critic before the next one of the generator."""
        settings, count = self.settings, self.generator_count
        more = count < settings.more_until or count % settings.more_every == 0
        return settings.critic_updates_more if more else settings.critic_updates

    @property
    def _updates_both(self) -> bool:
        """Whether the next step also updates the generator."""
        return self.measures or self.critic_count + 1 >= self._share()

    @property
    def _clips_before(self) -> bool:
        """Whether the next step clips the critic before its update; if not, its last update clipped it."""
        return self.settings.clip is not None and self.settings.clip_when == "before" and not self._clipped

    def _phase(self) -> tuple[bool, bool]:
        return self._updates_both, self._clips_before

    def _advance(self) -> None:
        both = self._updates_both
        # The generator was scored by a critic that was not clipped after its update.
        self._clipped = not both
        self.generator_count += both
        self.critic_count = 0 if both else self.critic_count + 1
        super()._advance()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._clipped = False

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        target = batch["target"]
        check_image(target, "target", 3, size=self.model.config.size)
        if self._supervised:
            check_statistics(target, "target", True, self.model.config.halvings + 2)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        settings, critic = self.settings, cast(Critic, self.model.discriminator)
        target, both = batch["target"], self._updates_both
        composite = batch.get("composite")
        if composite is None:
            composite = torch.randn(target.shape[0], self.model.config.nz, device=self.device)
        with self.autocast(), torch.set_grad_enabled(both):
            output = self.model.generator(composite)
        output = output.float()

        def score(image: Tensor, *, twice: bool = False) -> Tensor:
            with self.autocast(twice=twice):
                return critic.scores(image).float()

        if self._clips_before:
            clip_parameters(critic, cast(float, settings.clip))
        fake = output.detach()
        of_target, of_fake = score(target), score(fake)
        self.observe("score", real=of_target, fake=of_fake)
        losses = {"discriminator": wasserstein_discriminator(of_target, of_fake, low_is_real=True)}
        total = losses["discriminator"]
        if settings.gradient_penalty:
            losses["gradient_penalty"] = gradient_penalty(
                functools.partial(score, twice=True), target, fake, weight=settings.gradient_penalty
            )
            total = total + losses["gradient_penalty"]
        # Clipping after an update equals clipping before the next one, unless the generator is updated in between.
        self.update("discriminator", total, clip=None if both and settings.clip_when == "before" else settings.clip)
        if both:
            total = losses["adversarial"] = wasserstein_generator(score(output), low_is_real=True)
            if settings.l2 is not None:
                losses["l2"] = masked_l2(output, target)
                total = (1 - settings.l2) * total + settings.l2 * losses["l2"]
            self.update("generator", total)
        return losses
