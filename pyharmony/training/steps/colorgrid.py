"""The step of the network that gives maps of colours, by how far the object's colours are from the right ones.

The loss is our own: it takes the root, so that objects far off do not drown those that are nearly right.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ...errors import ArgumentError
from ...models.checks import check_fields, check_image, check_mask, check_share, check_smallest, check_whole
from ...models.colorgrid import Answers, ColorGrid, ColorMaps, Compared, Judge
from ._contours import ColorSamples, Shares, as_given, drawn_anew
from ._scenes import Scenes, drawn_scenes
from ._step import AdamSettings, CapturedStep, Losses, Optimizer, Step, register

#: What may learn, with the beginnings of the names of its parameters; {} is the number of the last expert.
_PARTS = {"looks": ("experts.{}.",), "judge": ("judge.",), "hints": ("by_source.", "by_reference.")}


@dataclass(frozen=True, kw_only=True)
class ColorGridSettings(AdamSettings):
    """Settings of `ColorGridStep`.

    Attributes:
        pixels: the number of pixels of each object, drawn for a step, that the loss compares.
        floor: the mean squared error below which there is little left to gain, in [0, 1].
        early: the weight of the errors of the stages before the last.
        scale: the error, in [0, 1], beyond which an error counts by its logarithm: c log(1 + e / c). 0: it counts as
            it is.
        moved, cut_out, feathered, worn: shares of each batch whose contour is made to tell less: masks that miss the
            recoloured region, objects cut out without their rim, changes that fade, and composites saved again.
        fits: the share of those cut out whose object keeps its colours.
        elsewhere: the share of those cut out that stand before another part of the photograph.
        exposed: the share of each batch whose object is recoloured as another exposure does it.
        ramp: the number of steps over which `moved`, `cut_out`, `feathered` and `worn` rise from 0. A network that
            never sees an easy contour learns to change nothing first, and is slow to leave that.
        trains: the part of the network that learns, while the others stay as they are: 'looks', the last of the experts
            that find maps of colours; 'judge'; or 'hints', the layers that compare scenes.
        memory: the number of the last samples that a judge or hints are asked about again; one takes some 140 kB. A
            run that goes on later begins with an empty memory.
        replays: the number of further updates of a judge or of hints in each step, on samples that are drawn from
            memory: the answers of the network cost more than what is learned of them.
        replayed: the number of samples of each of them.
    """

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.99)
    optimizer: Optimizer | None = "adamw"
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    pixels: int = 768
    floor: float = 1e-5
    early: float = 0.3
    scale: float = 0.0
    moved: float = 0.0
    cut_out: float = 0.0
    feathered: float = 0.0
    worn: float = 0.0
    fits: float = 0.15
    elsewhere: float = 0.5
    exposed: float = 0.0
    ramp: int = 0
    trains: str = "looks"
    memory: int = 0
    replays: int = 0
    replayed: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.pixels, "pixels", 1)
        check_fields(self, check_whole, "ramp", "memory", "replays", low=0)
        check_whole(self.replayed, "replayed", 1)
        self._check_positive("floor")
        self._check_not_negative("early", "scale")
        check_fields(self, check_share, *(field.name for field in dataclasses.fields(Shares)))
        if self.trains not in _PARTS:
            raise ArgumentError(f"trains: {self.trains!r}, expected one of {', '.join(map(repr, _PARTS))}")
        if self.replays and (self.trains == "looks" or not self.memory):
            raise ArgumentError("replays: more than 0, expected trains='judge' or 'hints', and a memory to draw from")

    @property
    def shares(self) -> Shares:
        """The shares of a batch that are changed."""
        return Shares(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Shares)})


@register("colorgrid")
class ColorGridStep(Step):
    """One update of the network by the colours that its maps give the object.

    L = mean_n (e(last stage) + early sum e(other stages)),   e = sqrt(mean_p |y_np - t_np|² + floor)

    y are the mapped colours of pixels p, which are drawn from the recoloured region, and t those of the target. With a
    `scale` c, c log(1 + e / c) takes the place of e: as much is won by halving a small error as by halving a large one,
    as in decibels.

    A judge is trained by e of what it makes of the answers, without any early stage; hints by the sum of e by source
    and e by reference, of samples that `drawn_scenes` draws, after the map that the network finds without them. Both
    learn of the batch and then of samples that were found before (experience replay; Lin, Machine Learning 8, 1992).

    Losses: 'rmse', the error of the last stage, and 'early', the sum of the others, where there are any; for hints
    'by_source' and 'by_reference'.

    Raises:
        ArgumentError: the network has not the part that `trains` names.
    """

    settings: ColorGridSettings
    settings_type = ColorGridSettings
    model: ColorGrid

    def __init__(self, model: ColorGrid, settings: ColorGridSettings, extractor: nn.Module | None = None) -> None:
        super().__init__(model, settings, extractor)
        self._memory: deque[tuple[Tensor, ...]] = deque(maxlen=settings.memory)

    def add_optimizers(self) -> None:
        settings, last = self.settings, self.model.config.experts - 1
        starts = tuple(start.format(last) for start in _PARTS[settings.trains])
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith(starts))
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if not parameters:
            raise ArgumentError(f"trains: {settings.trains!r}, and the network has none; set model.{settings.trains}")
        self.add_optimizer("model", parameters, settings.lr, settings.betas)

    def capture(self, batch: Mapping[str, Tensor]) -> CapturedStep:
        """Captures the step, see `Step.capture`."""
        if self.settings.shares.any:
            none = "moved, cut_out, feathered, worn and exposed to 0"
            raise ArgumentError(f"run.capture: batches are changed on the CPU; set {none}")
        if self.settings.replays:
            raise ArgumentError("run.capture: samples are replayed, others in each step; set replays to 0")
        return super().capture(batch)

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        if self.settings.replays and self.accumulate > 1:
            raise ArgumentError(f"accumulate: {self.accumulate}, expected 1 where replays are more than 0")
        check_image(batch["composite"], "composite", 3)
        check_mask(batch["mask"], batch["composite"])
        check_smallest(batch["composite"], "composite", self.model.config.view)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        settings = self.settings
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        shares = settings.shares.scaled(min(1.0, self.count / settings.ramp) if settings.ramp else 1.0)
        if settings.trains == "hints":
            return self._hinted(drawn_scenes(composite.cpu(), target.cpu(), mask.cpu(), shares, settings.pixels))
        if settings.shares.any:
            samples = drawn_anew(composite.cpu(), target.cpu(), mask.cpu(), shares, settings.pixels)
            samples = ColorSamples(*(x.to(composite.device) for x in samples))
        else:
            samples = as_given(composite, target, mask, settings.pixels)
        if settings.trains == "judge":
            return self._judged(samples)
        with self.autocast():
            stage_maps = self.model.looks(samples.composite, samples.mask)
        losses = {"rmse": self._error(stage_maps[-1].apply(samples.colors), samples.target_colors)}
        total = losses["rmse"]
        if len(stage_maps) > 1:
            early = [self._error(maps.apply(samples.colors), samples.target_colors) for maps in stage_maps[:-1]]
            losses["early"] = torch.stack(early).sum()
            total = total + settings.early * losses["early"]
        self.update("model", total)
        return losses

    def _judged(self, samples: ColorSamples) -> Losses:
        """Updates the judge by a batch, and then by samples that it heard before."""
        # The answers are those of inference; only the judge has dropout.
        self.model.eval()
        cast(Judge, self.model.judge).train()
        with torch.no_grad(), self.autocast():
            maps, *facts = self.model.heard(samples.composite, samples.mask)
        return self._replayed([*maps, *facts, samples.colors, samples.target_colors], self._weighed)

    def _replayed(self, samples: list[Tensor], errors: Callable[[list[Tensor]], Losses]) -> Losses:
        """Updates by the errors of samples, and then by those of some that came before; returns the first."""
        settings = self.settings
        losses = self._learned(errors(samples))
        if self.measures:
            return losses
        self._memory.extend(zip(*samples, strict=True))
        for _ in range(settings.replays):
            again = [self._memory[i] for i in torch.randint(len(self._memory), (settings.replayed,)).tolist()]
            self._learned(errors([torch.stack(parts) for parts in zip(*again, strict=True)]))
        return losses

    def _learned(self, losses: Losses) -> Losses:
        """Updates by the sum of some errors, and returns these."""
        self.update("model", torch.stack(list(losses.values())).sum())
        return {name: loss.detach() for name, loss in losses.items()}

    def _weighed(self, samples: list[Tensor]) -> Losses:
        """Returns the error of what the judge makes of the answers to some samples."""
        affine, curves, across, *facts, colors, target_colors = samples
        with self.autocast():
            weights = cast(Judge, self.model.judge)(across, *facts)
        return {
            "rmse": self._error(Answers(ColorMaps(affine, curves), weights).together().apply(colors), target_colors)
        }

    def _hinted(self, scenes: Scenes) -> Losses:
        """Updates the hints by samples with a source and samples with a reference."""
        device = next(self.model.parameters()).device
        # The maps are those of inference; only what learns has dropout.
        self.model.eval()
        for learning in (self.model.by_source, self.model.by_reference):
            cast(Compared, learning).train()
        samples = []
        for sample, *hints in scenes:
            composite, mask, colors, target_colors = (x.to(device) for x in sample)
            with torch.no_grad(), self.autocast():
                mapped = self.model.maps(composite, mask).apply(colors)
            samples += [colors, mapped, *(x.to(device) for x in hints), target_colors]
        return self._replayed(samples, self._asked)

    def _asked(self, samples: list[Tensor]) -> Losses:
        """Returns the errors of the changes that sources and references ask for."""
        losses: Losses = {}
        for name, parts in (("source", samples[:5]), ("reference", samples[5:])):
            colors, mapped, background, hint, target_colors = parts
            change = self.model.hinted(colors, mapped, background, **{name: hint})
            losses[f"by_{name}"] = self._error(mapped + change.apply(colors), target_colors)
        return losses

    def _error(self, colors: Tensor, target_colors: Tensor) -> Tensor:
        """Returns the mean error of colours [N, P, 3], see the class."""
        scale = self.settings.scale
        apart = ((colors - target_colors).square().mean((1, 2)) + self.settings.floor).sqrt()
        return ((apart / scale).log1p() * scale if scale else apart).mean()
