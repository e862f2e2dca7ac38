"""The step of the click segmentation network, with simulated user clicks.

Sources: Xu et al., "Deep Interactive Object Selection", CVPR 2016, for simulated clicks; Sofiiuk et al., "Reviving
Iterative Training with Mask Guidance", ICIP 2022, for clicks on the errors of the last mask; Guzman-Rivera et al.,
"Multiple Choice Learning", NeurIPS 2012, for the least loss of several masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...._images.region import bounding_box
from ....errors import ArgumentError
from ....networks.models.checks import check_fields, check_image, check_mask, check_share, check_whole
from ....networks.models.clicks import BOXED, MASKS, Clicks, Cut, prompt_of
from ....ops.distance import distance_inside
from ._contours import chance
from ._step import AdamSettings, CapturedStep, Losses, Optimizer, Step, register

#: The first click is drawn where the distance from the contour is at least this share of the maximum.
_MIN_CLICK_DEPTH = 0.25
#: The largest distance of background clicks from the object, in sides of the image.
_MAX_CLICK_DISTANCE = 0.25
#: The weight of the loss of the masks other than the best.
_OTHER_MASKS_WEIGHT = 0.04


@dataclass(frozen=True, kw_only=True)
class ClicksSettings(AdamSettings):
    """Settings of `ClicksStep`.

    Attributes:
        more: the share of the samples with several initial clicks, on the object and outside.
        coarse: the share of the samples with a coarse mask or a box as the previous mask.
        answered: the share of the batches with corrective clicks on the errors of the predicted mask.
        rounds: the largest number of rounds of corrective clicks.
        again: the share of these batches that get their first prediction, coarsened, with the same clicks, as when the
            network refines an object in a magnified crop.
        scored: the weight of the error of the predicted scores.
        people: the weight of the loss of the mask of all people.
        silent: the share of the samples without any prompt, which train only the mask of all people.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    optimizer: Optimizer | None = "adamw"
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    more: float = 0.25
    coarse: float = 0.15
    answered: float = 0.5
    rounds: int = 3
    again: float = 0.3
    scored: float = 0.5
    people: float = 0.2
    silent: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_not_negative("scored", "people")
        check_fields(self, check_share, "more", "coarse", "answered", "again", "silent")
        check_whole(self.rounds, "rounds", 1)


@register("clicks")
class ClicksStep(Step):
    """One update on the masks predicted for simulated clicks.

    L = mean_n (min_k l(x_nk, y_n) + a mean_k l(x_nk, y_n)) + b mean_nk (s_nk - IoU(x_nk, y_n))² + c H(p, q)

    x are the three masks of a sample and y the object; l is the cross entropy plus 1 - soft IoU; a is 0.04, and b
    `scored`. p is the mask of people, q its target, and H the mean cross entropy where q is known; c is `people`.

    The first click is well inside the object. Further initial clicks are on the object and outside; a corrective click
    is at the deepest point of the error of the last mask.

    Losses: 'mask', 'score', 'people', and 'iou', the IoU of the mask with the highest score. A batch may contain
    `people` [N, 1, H, W]: 1 for a person, 0 for none, 0.5 for unknown.
    """

    inputs = ("mask", "image")
    optional = ("people",)
    settings: ClicksSettings
    settings_type = ClicksSettings
    model: Clicks

    def add_optimizers(self) -> None:
        settings = self.settings
        if self.model.config.features:
            self.model.known.requires_grad_(False)
        parameters = [x for x in self.model.parameters() if x.requires_grad]
        self.add_optimizer("model", parameters, settings.lr, settings.betas)

    def capture(self, batch: Mapping[str, Tensor]) -> CapturedStep:
        """Raises: this step cannot be captured."""
        raise ArgumentError("run.capture: clicks are drawn on the CPU in each step; set it to false")

    def _check(self, batch: dict[str, Tensor]) -> None:
        super()._check({name: x for name, x in batch.items() if name != "people"})
        check_image(batch["image"], "image", 3, 32)
        for name in batch.keys() - {"image"}:
            check_mask(batch[name], batch["image"], name)

    def run(self, batch: dict[str, Tensor]) -> Losses:
        image, mask = batch["image"], (batch["mask"] > 0.5).to(batch["image"].dtype)
        settings = self.settings
        silent = torch.rand(len(image)) < (settings.silent if "people" in batch else 0)
        with torch.no_grad(), self.autocast():
            features = self.model.image_features(image)
        prompt = self._prompted(image, mask, silent, features)
        with self.autocast():
            prediction = self.model(image, prompt, features)
        losses = self._losses(
            Cut(*(x.float() for x in prediction)), mask, ~silent.to(image.device), batch.get("people")
        )
        loss = losses["mask"] + settings.scored * losses["score"] + settings.people * losses["people"]
        self.update("model", loss)
        return losses

    def _prompted(self, image: Tensor, mask: Tensor, silent: Tensor, features: tuple[Tensor, ...]) -> Tensor:
        """Returns simulated prompts for a batch; `silent` samples have none."""
        settings, regions = self.settings, mask[:, 0].cpu().numpy() > 0.5
        clicks = [first_clicks(region, settings.more) for region in regions]
        last = torch.zeros_like(mask)
        for i, region in enumerate(regions):
            if silent[i]:
                clicks[i] = []
            elif chance(settings.coarse):
                last[i, 0] = torch.from_numpy(coarse(region)).to(last)
                if chance(0.5):
                    clicks[i] = []
        prompt = prompt_of(image, *_padded_clicks(clicks, image), last)
        if not chance(settings.answered):
            return prompt
        self.model.eval()
        again = chance(settings.again)
        for round_ in range(int(torch.randint(settings.rounds, ())) + 1):
            with torch.no_grad(), self.autocast():
                prediction = self.model(image, prompt, features)
            best = prediction.scores.argmax(1)
            last = prediction.logits[torch.arange(len(best)), best].float().sigmoid()[:, None]
            for i, answer in enumerate(last[:, 0].cpu().numpy() > 0.5):
                if silent[i]:
                    last[i] = 0
                elif again and not round_:
                    last[i] = _coarsened(last[i])
                elif click := click_on_errors(regions[i], answer):
                    clicks[i].append(click)
            prompt = prompt_of(image, *_padded_clicks(clicks, image), last)
        self.model.train()
        return prompt

    def _losses(self, prediction: Cut, mask: Tensor, has_prompt: Tensor, people: Tensor | None = None) -> Losses:
        """Returns the losses; those of masks use only the samples with a prompt."""
        is_certain = torch.zeros_like(mask) if people is None else ((people - 0.5).abs() > 0.25).to(mask)
        where = (mask if people is None else people).round()
        entropy = functional.binary_cross_entropy_with_logits(prediction.people, where, reduction="none")
        losses = {"people": (is_certain * entropy).sum() / is_certain.sum().clamp_min(1)}
        if not has_prompt.all():
            prediction, mask = Cut(*(x[has_prompt] for x in prediction)), mask[has_prompt]
        if not len(mask):
            nothing = 0 * prediction.logits.sum() + 0 * prediction.scores.sum()
            return {"mask": nothing, "score": nothing, **losses, "iou": nothing.detach()}
        target = mask.expand(-1, MASKS, -1, -1)
        each = functional.binary_cross_entropy_with_logits(prediction.logits, target, reduction="none").mean((2, 3))
        inside = prediction.logits.sigmoid()
        both = (inside * target).sum((2, 3))
        union = (inside + target - inside * target).sum((2, 3))
        each = each + 1 - both / union.clamp_min(1)
        loss = (each.amin(1) + _OTHER_MASKS_WEIGHT * each.mean(1)).mean()
        with torch.no_grad():
            right = region_iou(prediction.logits > 0, target > 0.5)
            iou = right.gather(1, prediction.scores.argmax(1, keepdim=True)).mean()
        return {"mask": loss, "score": (prediction.scores - right).square().mean(), **losses, "iou": iou}


Click = tuple[float, float, int]
"""A click: x, y, and 1 on the object, 0 outside."""


def region_iou(first: Tensor, second: Tensor) -> Tensor:
    """Returns the IoU of regions [..., H, W]; 1 if both are empty."""
    both, either = (x.sum((-2, -1)).float() for x in (first & second, first | second))
    return torch.where(either > 0, both / either.clamp_min(1), torch.ones_like(both))


def first_clicks(region: np.ndarray, more: float) -> list[Click]:
    """Returns a click well inside a region [H, W], and with probability `more` further ones on it and outside."""
    depth = _depth(region)
    clicks = [_drawn(depth >= max(_MIN_CLICK_DEPTH * depth.max(), 0.5), 1)] if region.any() else []
    if region.any() and chance(more):
        for _ in range(int(torch.randint(1, 4, ()))):
            if chance(0.5):
                clicks.append(_drawn(region, 1))
            else:
                outside = _depth(~region)
                clicks.append(_drawn((outside > 1) & (outside < _MAX_CLICK_DISTANCE * len(region)), 0))
    return [click for click in clicks if click is not None]


def click_on_errors(region: np.ndarray, mask: np.ndarray) -> Click | None:
    """Returns a click at the deepest error of a mask [H, W], label 1 if it was missed, else 0; None without error."""
    inner, outer = _depth(region & ~mask), _depth(mask & ~region)
    depth, label = (inner, 1) if inner.max() >= outer.max() else (outer, 0)
    return _drawn(depth >= max(0.7 * depth.max(), 0.5), label) if depth.max() > 0 else None


def coarse(region: np.ndarray) -> np.ndarray:
    """Returns a box around a region [H, W], `BOXED` inside, or a coarse version of the region, in [0, 1]."""
    height, width = region.shape
    if not region.any():
        return np.zeros(region.shape, np.float32)
    if chance(0.5):
        box = bounding_box(region)
        margins = (0.06 * torch.randn(4)).numpy() * [height, width, height, width]
        top, left = box.y0 + margins[0], box.x0 + margins[1]
        bottom, right = box.y1 + margins[2], box.x1 + margins[3]
        y, x = np.arange(height)[:, None], np.arange(width)
        return BOXED * ((y >= top) & (y < bottom) & (x >= left) & (x < right)).astype(np.float32)
    waves = int(4 * 2 ** torch.randint(3, ()))
    noise = functional.interpolate(torch.randn(1, 1, waves, waves), size=region.shape, mode="bicubic")[0, 0].numpy()
    size = np.sqrt(region.sum())
    field = _depth(region) - _depth(~region) + size * float(0.04 * torch.randn(())) + 0.08 * size * noise
    return (field > 0).astype(np.float32)


def _coarsened(mask: Tensor) -> Tensor:
    """Returns a mask [1, H, W] as predicted at a lower resolution, with pixels up to four times as large."""
    factor = 2 ** int(torch.randint(3, ()))
    small = functional.avg_pool2d(mask[None], factor)
    return functional.interpolate(small, size=mask.shape[1:], mode="bilinear")[0]


def _depth(region: np.ndarray) -> np.ndarray:
    """Returns the distance of each pixel of a region [H, W] to its contour or the image border, 0 outside."""
    return distance_inside(np.pad(region, 1))[1:-1, 1:-1]


def _drawn(where: np.ndarray, label: int) -> Click | None:
    places = np.flatnonzero(where)
    if not len(places):
        return None
    y, x = divmod(int(places[int(torch.randint(len(places), ()))]), where.shape[1])
    return float(x), float(y), label


def _padded_clicks(clicks: list[list[Click]], like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns points [N, K, 2] and labels [N, K] of lists of clicks."""
    most = max(1, *(len(own) for own in clicks))
    padded = [own + [(0.0, 0.0, -1)] * (most - len(own)) for own in clicks]
    values = torch.tensor(padded, dtype=like.dtype, device=like.device)
    return values[..., :2], values[..., 2]
