"""Refines a mask in windows along its contour, at a higher resolution than the first segmentation.

A mask is segmented at a resolution of some hundred pixels for the whole object. The windows here cover about half of
its box each, and the same network segments each with the mask as the prior. Their masks are used near the contour only,
so that a mask cannot switch to another object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._arrays import Bools, Box, Float32
from .._images.planes import connected_parts
from .._images.sizes import resized
from .._images.threads import in_threads
from ..ops.distance import distance_inside
from ._clicks import sigmoid
from ._network import NetworkCutter, Prompts, limited
from .layers import Layer, box_of, iou_of_regions, sampled, value_at

#: The side of a window, in longer sides of the object's box with its margin.
_WINDOW_SIDE = 0.6
#: The margin around the object's box, in its longer sides.
_MARGIN = 0.06
#: The least share of its side by which a window overlaps the next one.
_SHARED = 0.3
#: The least longer side of an object that is refined, in sides of the network's input.
_MIN_OBJECT_SIDE = 0.5
#: The pixels along the longer side of the new mask.
_FINE_MASK_SIDE = 256
#: The largest distance from the contour at which windows are used, in square roots of the mask's area.
_REACH = 0.15
#: The intersection over union of the mask and a window's mask at which the window's weight is 0, and at which it is 1.
_AGREEMENT_RANGE = (0.8, 0.9)
#: The least weight of the mask's own logits in the mean with those of the windows, 0 to 1.
_MIN_OWN_WEIGHT = 0.5
#: The largest absolute logit of the mask; others are clipped to it.
_MAX_OWN_LOGIT = 4.0
#: The largest absolute logit of a window's mask; others are clipped to it.
_LOGITS = 3.0
#: The share of a window's side over which its weight grows from its rim.
_WINDOW_RIM_SHARE = 0.2
#: The least sum of the weights of windows at which their mean has its full weight.
_FULL_WEIGHT_SUM = 0.05
#: The side of the reduced mask by which windows without a contour are skipped, in pixels.
_SKIP_MASK_SIDE = 64
#: The width of the rim of that reduced mask in which a contour is ignored, in pixels.
_SKIP_MASK_RIM = 3

Answer = tuple[Box, Float32]
"""A window and the logits [M, S, S] of the network's masks of it."""


def closer(cutter: NetworkCutter, layer: Layer, prompts: Prompts) -> Layer:
    """Returns a mask refined in windows along its contour."""
    box = box_of(layer)
    if box is None or max(box[2] - box[0], box[3] - box[1]) < _MIN_OBJECT_SIDE * cutter.network.size:
        return layer
    height, width = cutter.picture.shape[:2]
    windows = [window for window in windows_of(box, width, height) if _has_contour(layer, window)]
    if not windows:
        return layer
    answers = in_threads(lambda window: (window, cutter.closely(window, prompts, layer)), windows)
    refined = with_windows(layer, answers)
    if prompts.limit is not None:
        (refined,) = limited([refined], prompts.limit)
    # The mask must still agree with the clicks with which it agreed before.
    loses_clicks = (
        (value_at(layer, place) > 0.5) == bool(label) != (value_at(refined, place) > 0.5)
        for place, label in zip(prompts.points, prompts.labels, strict=True)
    )
    return layer if any(loses_clicks) else refined


def windows_of(box: Box, width: int, height: int) -> list[Box]:
    """Returns overlapping squares that cover a box of an image of a size; they are cut by the image's border only."""
    beyond = _MARGIN * max(box[2] - box[0], box[3] - box[1])
    sides = [(max(0.0, box[0] - beyond), min(float(width), box[2] + beyond)),
             (max(0.0, box[1] - beyond), min(float(height), box[3] + beyond))]  # fmt: skip
    side = _WINDOW_SIDE * max(end - start for start, end in sides)
    starts = []
    for start, end in sides:
        count = max(1, math.ceil(1 + (end - start - side) / ((1 - _SHARED) * side)))
        # A single window is centred on the box.
        starts.append([(start + end - side) / 2] if count == 1 else np.linspace(start, end - side, count).tolist())
    return [
        (max(0, round(x)), max(0, round(y)), min(width, round(x + side)), min(height, round(y + side)))
        for y in starts[1] for x in starts[0]
    ]  # fmt: skip


def with_windows(layer: Layer, answers: Sequence[Answer]) -> Layer:
    """Returns a mask combined with those of windows near the contour; unchanged if none of them is similar."""
    sides = zip(box_of(layer) or layer.box, *(window for window, _ in answers), strict=True)
    left, top, right, bottom = (pick(side) for pick, side in zip((min, min, max, max), sides))
    # A mask with thin parts is finer.
    (rows, columns), (x, y, end_x, end_y) = layer.values.shape, layer.box
    own = min(rows / (end_y - y), columns / (end_x - x))
    factor = min(1.0, max(own, _FINE_MASK_SIDE / max(right - left, bottom - top)))
    wide, high = max(1, round((right - left) * factor)), max(1, round((bottom - top) * factor))
    mask = sampled(layer, (left, top, right, bottom), (wide, high))
    inside = mask > 0.5
    logits, weights = np.zeros_like(mask), np.zeros_like(mask)
    for window, masks in answers:
        x, end_x = (round((v - left) * factor) for v in window[::2])
        y, end_y = (round((v - top) * factor) for v in window[1::2])
        rows, columns = slice(y, min(end_y, high)), slice(x, min(end_x, wide))
        part = inside[rows, columns]
        resized_masks = [resized(one, part.shape[::-1]) for one in masks]
        likeness = [iou_of_regions(one > 0, part) for one in resized_masks]
        best = int(np.argmax(likeness))
        trust = np.clip((likeness[best] - _AGREEMENT_RANGE[0]) / (_AGREEMENT_RANGE[1] - _AGREEMENT_RANGE[0]), 0, 1)
        weight = np.float32(trust) * np.outer(*map(_rising, part.shape))
        logits[rows, columns] += weight * resized_masks[best].clip(-_LOGITS, _LOGITS)
        weights[rows, columns] += weight
    reach = np.float32(_REACH * math.sqrt(np.count_nonzero(inside)))
    share = (2 - 2 * _from_contour(inside) / max(reach, np.float32(1))).clip(0, 1)
    share *= (1 - np.float32(_MIN_OWN_WEIGHT)) * np.minimum(weights / np.float32(_FULL_WEIGHT_SUM), 1)
    own = np.log(mask.clip(1e-6, 1 - 1e-6) / (1 - mask).clip(1e-6, 1 - 1e-6)).clip(-_MAX_OWN_LOGIT, _MAX_OWN_LOGIT)
    values = np.where(share > 0, sigmoid(own + share * (logits / np.maximum(weights, 1e-6) - own)), mask)
    # Parts that do not touch the mask are removed.
    numbers = connected_parts(values > 0.5)
    floating = (numbers > 0) & ~np.isin(numbers, np.unique(numbers[inside]))
    values = np.where(floating, np.minimum(values, mask), values)
    return Layer((left, top, right, bottom), values.astype(np.float32, copy=False), layer.score)


def _has_contour(layer: Layer, window: Box) -> bool:
    """Returns whether the contour of a mask crosses a window, apart from its rim."""
    inside = (
        sampled(layer, window, (_SKIP_MASK_SIDE, _SKIP_MASK_SIDE))[
            _SKIP_MASK_RIM:-_SKIP_MASK_RIM, _SKIP_MASK_RIM:-_SKIP_MASK_RIM
        ]
        > 0.5
    )
    return bool(inside.any() and not inside.all())


def _rising(count: int) -> Float32:
    """Returns weights of a row of so many pixels, which rise from its ends to 1."""
    at = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    return (np.minimum(at, 1 - at) / np.float32(_WINDOW_RIM_SHARE)).clip(0.02, 1)


def _from_contour(inside: Bools) -> Float32:
    """Returns the distance from the contour of each pixel inside or outside of a region [h, w]."""
    within, beyond = (
        distance_inside(np.pad(region, 1, constant_values=True))[1:-1, 1:-1] for region in (inside, ~inside)
    )
    return np.maximum(within, beyond)
