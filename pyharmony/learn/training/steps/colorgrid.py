"""The step of the colour map network: the distance of the object's mapped colours from the target's.

The loss is our own: it uses the square root, so that large errors do not dominate small ones.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ....errors import ArgumentError
from ....networks.models.checks import check_fields, check_image, check_mask, check_share, check_smallest, check_whole
from ....networks.models.colorgrid import Answers, ColorGrid, ColorMaps, Compared, Judge
from ._contours import ColorSamples, Shares, changed_samples, unchanged_samples
from ._scenes import Scenes, drawn_scenes
from ._step import AdamSettings, CapturedStep, Losses, Optimizer, Step, register

#: The trainable parts, with the prefixes of their parameters' names; {} is the index of the last expert.
_PARTS = {"looks": ("experts.{}.",), "judge": ("judge.",), "hints": ("by_source.", "by_reference.")}


@dataclass(frozen=True, kw_only=True)
class ColorGridSettings(AdamSettings):
    """Settings of `ColorGridStep`.

    Attributes:
        pixels: the number of random pixels of each object in the loss.
        floor: the constant added to the mean squared error in [0, 1] under the root; smaller errors hardly count.
        early: the weight of the errors of the stages before the last.
        scale: the error c, in [0, 1], above which errors grow logarithmically: c log(1 + e / c). 0: they are linear.
        moved, cut_out, feathered, worn: shares of each batch whose contour is hidden: imprecise masks, objects cut out
            without their rim, feathered changes, and resized or compressed composites.
        fits: the share of the cut-outs whose object keeps its colours.
        elsewhere: the share of the cut-outs placed on another part of the photograph.
        exposed: the share of each batch whose object is recoloured like another exposure.
        ramp: the number of steps over which `moved`, `cut_out`, `feathered` and `worn` rise from 0. Without easy
            contours the network first learns the identity and leaves it slowly.
        trains: the part of the network to train while the others are frozen: 'looks', the last of the experts that
            predict colour maps; 'judge'; or 'hints', the layers that compare scenes.
        memory: the number of recent samples in the replay memory of a judge or hints; one takes some 140 kB. A resumed
            run starts with an empty memory.
        replays: the number of further updates of a judge or hints per step, on samples drawn from memory: predicting
            the colour maps costs more than such an update.
        replayed: the number of samples of each of these updates.
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
            raise ArgumentError("replays: more than 0, expected trains='judge' or 'hints', and memory above 0")

    @property
    def shares(self) -> Shares:
        """The shares of a batch that are changed."""
        return Shares(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Shares)})


@register("colorgrid")
class ColorGridStep(Step):
    """One update of the network by the object's colours after its colour maps.

    L = mean_n (e(last stage) + early sum e(other stages)),   e = sqrt(mean_p |y_np - t_np|² + floor)

    y are the mapped colours of random pixels p of the recoloured region, and t those of the target. With a `scale` c,
    c log(1 + e / c) replaces e: halving a small error then gains as much as halving a large one, as in decibels.

    A judge is trained by e of the colours it selects, without early stages; hints by the sum of e with a source and e
    with a reference, on samples of `drawn_scenes`, applied after the network's map without them. Both are trained on
    the batch and then on earlier samples (experience replay; Lin, Machine Learning 8, 1992).

    Losses: 'rmse', the error of the last stage, and 'early', the sum of the others, if there are any; for hints
    'by_source' and 'by_reference'.

    Raises:
        ArgumentError: the network does not have the part that `trains` names.
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
            raise ArgumentError(f"trains: {settings.trains!r}, but the network has none; set model.{settings.trains}")
        self.add_optimizer("model", parameters, settings.lr, settings.betas)

    def capture(self, batch: Mapping[str, Tensor]) -> CapturedStep:
        """Captures the step, see `Step.capture`."""
        if self.settings.shares.any:
            none = "moved, cut_out, feathered, worn and exposed to 0"
            raise ArgumentError(f"run.capture: batches are changed on the CPU; set {none}")
        if self.settings.replays:
            raise ArgumentError("run.capture: each step replays other samples; set replays to 0")
        return super().capture(batch)

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check(batch)
        if self.settings.replays and self.accumulate > 1:
            raise ArgumentError(f"accumulate: {self.accumulate}, expected 1 if replays is above 0")
        check_image(batch["composite"], "composite", 3)
        check_mask(batch["mask"], batch["composite"])
        check_smallest(batch["composite"], "composite", self.model.config.view)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        settings = self.settings
        composite, mask, target = batch["composite"], batch["mask"], batch["target"]
        shares = settings.shares.scaled(min(1.0, self.count / settings.ramp) if settings.ramp else 1.0)
        if settings.trains == "hints":
            return self._update_hints(drawn_scenes(composite.cpu(), target.cpu(), mask.cpu(), shares, settings.pixels))
        if settings.shares.any:
            samples = changed_samples(composite.cpu(), target.cpu(), mask.cpu(), shares, settings.pixels)
            samples = ColorSamples(*(x.to(composite.device) for x in samples))
        else:
            samples = unchanged_samples(composite, target, mask, settings.pixels)
        if settings.trains == "judge":
            return self._update_judge(samples)
        with self.autocast():
            stage_maps = self.model.stage_maps(samples.composite, samples.mask)
        losses = {"rmse": self._error(stage_maps[-1].apply(samples.colors), samples.target_colors)}
        total = losses["rmse"]
        if len(stage_maps) > 1:
            early = [self._error(maps.apply(samples.colors), samples.target_colors) for maps in stage_maps[:-1]]
            losses["early"] = torch.stack(early).sum()
            total = total + settings.early * losses["early"]
        self.update("model", total)
        return losses

    def _update_judge(self, samples: ColorSamples) -> Losses:
        """Updates the judge on a batch, and then on earlier samples."""
        # The network's predictions are those of evaluation mode; only the judge uses dropout.
        self.model.eval()
        cast(Judge, self.model.judge).train()
        with torch.no_grad(), self.autocast():
            maps, *facts = self.model.judge_inputs(samples.composite, samples.mask)
        return self._update_with_replay([*maps, *facts, samples.colors, samples.target_colors], self._judge_errors)

    def _update_with_replay(self, samples: list[Tensor], errors: Callable[[list[Tensor]], Losses]) -> Losses:
        """Updates on samples, and then on earlier ones from memory; returns the losses of the first update."""
        settings = self.settings
        losses = self._update(errors(samples))
        if self.measures:
            return losses
        self._memory.extend(zip(*samples, strict=True))
        for _ in range(settings.replays):
            again = [self._memory[i] for i in torch.randint(len(self._memory), (settings.replayed,)).tolist()]
            self._update(errors([torch.stack(parts) for parts in zip(*again, strict=True)]))
        return losses

    def _update(self, losses: Losses) -> Losses:
        """Updates by the sum of some losses, and returns them."""
        self.update("model", torch.stack(list(losses.values())).sum())
        return {name: loss.detach() for name, loss in losses.items()}

    def _judge_errors(self, samples: list[Tensor]) -> Losses:
        """Returns the error of the judge's choice between the predictions for some samples."""
        affine, curves, across, *facts, colors, target_colors = samples
        with self.autocast():
            weights = cast(Judge, self.model.judge)(across, *facts)
        return {
            "rmse": self._error(Answers(ColorMaps(affine, curves), weights).together().apply(colors), target_colors)
        }

    def _update_hints(self, scenes: Scenes) -> Losses:
        """Updates the hints on samples with a source and samples with a reference."""
        device = next(self.model.parameters()).device
        # The maps are those of evaluation mode; only the trained layers use dropout.
        self.model.eval()
        for learning in (self.model.by_source, self.model.by_reference):
            cast(Compared, learning).train()
        samples = []
        for sample, *hints in scenes:
            composite, mask, colors, target_colors = (x.to(device) for x in sample)
            with torch.no_grad(), self.autocast():
                mapped = self.model.maps(composite, mask).apply(colors)
            samples += [colors, mapped, *(x.to(device) for x in hints), target_colors]
        return self._update_with_replay(samples, self._hint_errors)

    def _hint_errors(self, samples: list[Tensor]) -> Losses:
        """Returns the errors of the corrections predicted from sources and references."""
        losses: Losses = {}
        for name, parts in (("source", samples[:5]), ("reference", samples[5:])):
            colors, mapped, background, hint, target_colors = parts
            change = self.model.hint_change(colors, mapped, background, **{name: hint})
            losses[f"by_{name}"] = self._error(mapped + change.apply(colors), target_colors)
        return losses

    def _error(self, colors: Tensor, target_colors: Tensor) -> Tensor:
        """Returns the mean error of colours [N, P, 3], see the class."""
        scale = self.settings.scale
        apart = ((colors - target_colors).square().mean((1, 2)) + self.settings.floor).sqrt()
        return ((apart / scale).log1p() * scale if scale else apart).mean()
