"""Scores: the expected intersection over union of a mask and the object, by logistic regression on observable features.

The network's own score of a mask is too high for wrong masks. The agreement of the masks for a prompt, their certainty,
the positions of the clicks in them, and the contrast across the contour are more informative: the expected value is a
logistic function of a weighted sum of these facts. The weights are fitted on val by `benchmarks/mask_scores.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Pixels
from .._images.sizes import fitted
from ..ops.distance import distance_inside
from ._edges import Copies, contrast
from ._network import Prompts
from .layers import Layer, box_of, iou, sampled, value_at

#: The network's scores are clipped at this, and at 1 less this, before their logits are taken.
_MIN_SCORE = 0.02
#: The least contrast, in levels, whose logarithm is computed; smaller ones are raised to it.
_CONTRAST = 2.0
#: The relative depth in a mask from which on a click counts as in its middle: users do not click exactly there.
_MIDDLE_DEPTH = 0.5
#: The least difference of expected scores with which a mask is considered better.
_MIN_SCORE_GAIN = 0.06
#: The IoU below which a mask is of another object than the one before, and the least gain of its expected score at the
#: first correction and at later ones; chosen on val.
_UNLIKE_IOU, _UNLIKE_GAINS = 0.5, (0.03, 0.1)
#: The longer side of the grid on which depths are measured.
_DEPTH_GRID_SIDE = 128


class Facts(NamedTuple):
    """The facts about a mask from which its score is computed."""

    network: float  # the logit of the network's score
    agreement: float  # the mean intersection over union with the other masks for the same prompts; 1 without any
    sureness: float  # the mean of the values inside the mask, 0.5 to 1
    middle: float  # how far in the middle of the mask one of the clicks on the object is, 0 to 1; 1 without any
    contrast: float  # the logarithm of the colour difference across its contour, in levels
    clicks: float  # the logarithm of the number of clicks, 0 without any


class Weights(NamedTuple):
    """The weights of the facts, and the bias of their weighted sum."""

    bias: float
    facts: Facts


def facts_of(picture: Pixels | Copies, layers: Sequence[Layer], index: int, prompts: Prompts) -> Facts:
    """Returns the facts about one of the masks for some prompts.

    layers: the masks; none is empty.
    """
    layer = layers[index]
    score = min(max(layer.score, _MIN_SCORE), 1 - _MIN_SCORE)
    others = [iou(layer, other) for i, other in enumerate(layers) if i != index]
    inside = layer.values > 0.5
    return Facts(
        math.log(score / (1 - score)),
        float(np.mean(others)) if others else 1.0,
        float(layer.values[inside].mean()),
        _middle(layer, prompts.inside),
        math.log(max(contrast(picture, layer), _CONTRAST)),
        math.log(max(1, len(prompts.points))),
    )


def expected(facts: Facts, weights: Weights) -> float:
    """Returns the expected intersection over union of a mask and the object, 0 to 1."""
    return 1 / (1 + math.exp(-weights.bias - sum(a * b for a, b in zip(facts, weights.facts, strict=True))))


def surely_best_first(
    layers: Sequence[Layer], prompts: Prompts, others: Sequence[Layer] = (), before: Layer | None = None
) -> list[Layer]:
    """Returns the masks for a correcting click, with another one first if its score is higher by a margin.

    Correcting clicks that are not in the middle of an error mislead a ranking by clicks alone. The best mask does not
    become the first if it disagrees with a click with which the first one agrees. If the mask before was of another
    object, correcting it does not help: one of `others` then comes first, if it agrees with all clicks.

    layers: the mask before, corrected near the click, the best first.
    others, before: masks for the same clicks without the mask before; and that mask.
    """

    def explained(layer: Layer) -> list[bool]:
        both = zip(prompts.points, prompts.labels, strict=True)
        return [(value_at(layer, place) > 0.5) == bool(label) for place, label in both]

    best = max(layers, key=lambda layer: layer.score, default=None)
    if best is None:
        return []
    ranked = [*layers]
    if best.score > layers[0].score + _MIN_SCORE_GAIN and not any(
        first and not then for first, then in zip(explained(layers[0]), explained(best), strict=True)
    ):
        ranked = [best, *(layer for layer in layers if layer is not best)]
    unlike = [x for x in others if all(explained(x)) and before is not None and iou(x, before) < _UNLIKE_IOU]
    other = max(unlike, key=lambda layer: layer.score, default=ranked[0])
    gain = _UNLIKE_GAINS[len(prompts.points) > 2]
    return [other, *ranked] if other.score > ranked[0].score + gain else ranked


def _middle(layer: Layer, points: Sequence[tuple[float, float]]) -> float:
    """Returns the depth in a mask of the deepest of some places (x, y), relative to the deepest one, 0 to 1."""
    box = box_of(layer)
    if box is None or not points:
        return 1.0
    width, height = box[2] - box[0], box[3] - box[1]
    columns, rows = fitted((width, height), _DEPTH_GRID_SIDE)
    depth = np.pad(distance_inside(np.pad(sampled(layer, box, (columns, rows)) > 0.5, 1)), 1)
    shares = []
    for x, y in points:
        column = min(max(math.floor((x + 0.5 - box[0]) * columns / width), -1), columns)
        row = min(max(math.floor((y + 0.5 - box[1]) * rows / height), -1), rows)
        shares.append(
            min(float(depth[row + 2, column + 2]) / max(1.0, float(depth.max())), _MIDDLE_DEPTH) / _MIDDLE_DEPTH
        )
    return max(shares)
