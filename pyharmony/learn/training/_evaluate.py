"""Evaluation of a network on validation samples: metrics, and a contact sheet of images."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._arrays import Pixels
from ...errors import ShapeError
from ...networks.models import Model
from ...networks.models.calls import evaluating
from ...networks.models.clicks import prompt_of
from ...ops.distance import distance_inside
from .. import evaluation, metrics
from ..scoring.networks import levels
from ._batches import TensorSamples, stacked
from ._config import FIGURES, check_name
from .steps import Step
from .steps.clicks import region_iou

#: The mean metrics over some samples, and a sheet of some of them.
Measured = tuple[dict[str, float], Pixels]

_SHEET_ROWS = 8
#: The result for an empty set.
_EMPTY_RESULT: Measured = ({}, np.zeros((1, 1, 3), np.uint8))
_BATCH = 8
#: The largest number of evaluation batches on which the losses are computed as well.
_MEASURED = 32
#: The metrics for which larger is better.
_INCREASING_METRICS = frozenset(("psnr", "ssim", "fpsnr", "fssim", "gain", "auc", "iou", "best"))


def better(model: Model, figures: dict[str, float], best: dict[str, float], by: str = "") -> bool:
    """Returns whether these metrics are better than the best so far.

    by: the name of the metric that decides; '': the default of the model's task.
    """
    name = by or FIGURES[model.task][0]
    if by and by not in figures:
        check_name("run.best_by", by, figures)
    if name not in figures:  # a harmoniser whose samples have no mask
        name = "mse"
    if name not in best:
        return True
    return figures[name] > best[name] if name in _INCREASING_METRICS else figures[name] < best[name]


class LossMeter:
    """The mean losses of a step over at most `_MEASURED` batches of an evaluation of `count` samples, evenly spread."""

    def __init__(self, step: Step, count: int) -> None:
        self._step, self._every = step, max(1, math.ceil(count / (_BATCH * _MEASURED)))
        self._batch_count = 0
        self._sums: dict[str, float] = {}
        self._weights: dict[str, int] = {}

    def update(self, batch: dict[str, Tensor]) -> None:
        """Computes the losses of a batch if it is selected and contains the step's inputs."""
        inputs = {name: x for name, x in batch.items() if name in (*self._step.inputs, *self._step.optional)}
        size = len(next(iter(batch.values())))
        if self._batch_count % self._every == 0 and set(self._step.inputs) <= set(inputs):
            # The batch norms of some networks need more than one sample.
            with contextlib.suppress(*([ShapeError] if size == 1 else [])):
                for name, loss in self._step.measure(inputs).items():
                    self._sums[name] = self._sums.get(name, 0.0) + size * float(loss)
                    self._weights[name] = self._weights.get(name, 0) + size
        self._batch_count += 1

    @property
    def losses(self) -> dict[str, float]:
        """The mean losses by name."""
        return {name: total / self._weights[name] for name, total in self._sums.items()}


@torch.no_grad()
def evaluate(model: Model, prepared: TensorSamples, loss_meter: LossMeter | None = None) -> Measured:
    """Returns the mean metrics over the samples, and a sheet of some of them; passes each batch to `loss_meter`.

    A harmoniser's output is inserted into the composite by the mask before comparison, as in `evaluation`;
    `gain` is its PSNR minus that of the composite. The output of a blending network is compared unchanged: `mse`,
    `psnr`, and for samples with a mask `seam_error` along its contour and `color_error`, the mean absolute difference
    of the mean colours inside it, averaged over channels; both in 8-bit levels. Segmentation is measured for one click
    at the object's deepest point: `iou` of the mask with the highest score, and `best` of all three.
    """
    with evaluating(model):
        by_task = {"realism": _measure_scores, "style": _measure_scores, "segment": _measure_masks}
        return by_task.get(model.task, _measure_images)(model, prepared, loss_meter)


def _batches(
    model: Model, prepared: TensorSamples, loss_meter: LossMeter | None
) -> Iterator[tuple[dict[str, Tensor], list[int]]]:
    """Yields the batches, each with the indices in it of the samples on the sheet."""
    device, numbers, count = next(model.parameters()).device, on_sheet(len(prepared)), 0
    samples = prepared.usable()
    while some := list(itertools.islice(samples, _BATCH)):
        batch = {name: x.to(device) for name, x in stacked(some).items()}
        if loss_meter is not None:
            loss_meter.update(batch)
        yield batch, [i for i in range(len(some)) if count + i in numbers]
        count += len(some)


def _bytes(x: Tensor, low: float) -> Pixels:
    """Converts [N, C, H, W] in [low, 1] to [N, H, W, C] in 0 to 255, rounded."""
    return np.rint(levels(x, low).clip(0, 255)).astype(np.uint8)


def _measure_images(model: Model, prepared: TensorSamples, loss_meter: LossMeter | None) -> Measured:
    low, scale = prepared.low, prepared.scale
    rows: list[dict[str, float]] = []
    sheet_rows: list[list[Pixels]] = []
    for batch, shown in _batches(model, prepared, loss_meter):
        target = _bytes(batch["target"], low)
        image = batch.get("composite", batch.get("image"))
        if image is None:  # images generated from noise have no target
            return _EMPTY_RESULT
        mask = batch.get("mask")
        blends = model.task == "blend"
        output = levels(model.predict(image, None if blends else mask), low)
        before = _bytes(image, low)
        inside = None if mask is None else _bytes(mask, 0.0)[..., 0]
        for i in range(len(target)):
            if inside is None or blends:
                pixels = np.rint(output[i].clip(0, 255)).astype(np.uint8)
                figures = {"mse": metrics.mse(pixels, target[i]), "psnr": metrics.psnr(pixels, target[i])}
                if inside is not None:
                    figures |= _seam_errors(pixels, target[i], inside[i])
            else:
                pixels, figures = evaluation.measure(output[i], before[i], target[i], inside[i])
                figures["gain"] = figures["psnr"] - metrics.psnr(before[i], target[i])
            rows.append({name: float(value) for name, value in figures.items()})
            if i in shown:
                small = np.asarray(before[i].repeat(scale, 0).repeat(scale, 1)) if scale > 1 else before[i]
                masks = [] if inside is None else [inside[i][..., None].repeat(3, 2)]
                sheet_rows.append([small, *masks, pixels, target[i]])
    if not rows:
        return _EMPTY_RESULT
    columns = max(map(len, sheet_rows))
    for images in sheet_rows:
        if len(images) < columns:  # some samples have no mask
            images.insert(1, np.zeros_like(images[0]))
    return _means(rows), np.concatenate([np.concatenate(images, 1) for images in sheet_rows])


def _seam_errors(output: Pixels, target: Pixels, mask: Pixels) -> dict[str, float]:
    """Returns the errors of the seam along a mask [H, W] and of the mean colour inside it."""
    inside = mask > 127
    apart = output[inside].mean(0) - target[inside].mean(0)
    return {"seam_error": metrics.seam_error(output, target, target, mask), "color_error": float(np.abs(apart).mean())}


def _measure_scores(model: Any, prepared: TensorSamples, loss_meter: LossMeter | None) -> Measured:
    score = model.harmony if model.task == "style" else model
    role = "image" if "image" in prepared.inputs else "target"
    real: list[Tensor] = []
    pasted: list[Tensor] = []
    sheet_rows: list[Pixels] = []
    for batch, shown in _batches(model, prepared, loss_meter):
        mask = batch.get("mask")
        real.append(score(batch[role], mask).cpu())
        pasted.append(score(batch["composite"], mask).cpu())
        sheet_rows += list(np.concatenate([_bytes(batch[key][shown], prepared.low) for key in (role, "composite")], 2))
    if not real:
        return _EMPTY_RESULT
    return {"auc": area_under_curve(torch.cat(real), torch.cat(pasted))}, np.concatenate(sheet_rows)


def _measure_masks(model: Any, prepared: TensorSamples, loss_meter: LossMeter | None) -> Measured:
    ious: dict[str, list[Tensor]] = {"iou": [], "best": []}
    sheet: list[Pixels] = []
    for batch, shown in _batches(model, prepared, loss_meter):
        image, mask = batch["image"], batch["mask"] > 0.5
        depths = [distance_inside(np.pad(region, 1))[1:-1, 1:-1] for region in mask[:, 0].cpu().numpy()]
        places = [divmod(int(depth.argmax()), depth.shape[1])[::-1] for depth in depths]
        points = torch.tensor(places, dtype=image.dtype, device=image.device)[:, None]
        prediction = model(image, prompt_of(image, points, torch.ones_like(points[..., 0])))
        right = region_iou(prediction.logits > 0, mask.expand_as(prediction.logits))
        best = prediction.scores.argmax(1)
        ious["iou"].append(right.gather(1, best[:, None])[:, 0].cpu())
        ious["best"].append(right.amax(1).cpu())
        best_masks = prediction.logits[torch.arange(len(best)), best] > 0
        for one in shown:
            rows = [image[one], *(x[None].expand(3, -1, -1).float() for x in (best_masks[one], mask[one, 0]))]
            sheet.append(np.concatenate(list(_bytes(torch.stack(rows), 0.0)), 1))
    if not ious["iou"]:
        return _EMPTY_RESULT
    return {name: float(torch.cat(values).mean()) for name, values in ious.items()}, np.concatenate(sheet)


def on_sheet(count: int) -> set[int]:
    """Returns the samples on the sheet, evenly spread because neighbours may be of the same photograph."""
    return {i * count // _SHEET_ROWS for i in range(_SHEET_ROWS)}


def area_under_curve(higher: Tensor, lower: Tensor) -> float:
    """Returns the area under the ROC curve: the share of pairs with higher > lower; ties count half."""
    difference = higher[:, None] - lower[None]
    return float(((difference > 0).float() + 0.5 * (difference == 0).float()).mean())


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Returns the mean of each metric over the samples that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
