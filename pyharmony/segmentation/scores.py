"""Scores: the share of the union with the object that a mask is expected to cover, by what is to be seen of an answer.

The network's own score of a mask is too high where the mask is wrong. Whether the masks of an answer agree, how sure
they are, where in them the clicks are, and whether colours differ across the contour tell more: the expected share is
a logistic function of a weighted sum of these facts. The weights are fitted on val by `benchmarks/mask_scores.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._images.sizes import fitted
from ..ops.distance import distance_inside
from ._edges import contrast
from ._network import Prompts
from .layers import Layer, Pixels, alike, box_of, sampled

#: The network's scores are clipped at this, and at 1 less this, before their logits are taken.
_LEAST = 0.02
#: The least contrast, in levels, of which a logarithm is taken.
_CONTRAST = 2.0
#: A click that is half as deep in a mask as its deepest place is in the middle of it: nobody clicks exactly there.
_MIDDLE = 0.5
#: By how much a mask is expected to be better, so that it surely is.
_SURELY = 0.06
#: The longer side of the grid on which depths are measured.
_SIDE = 128


class Facts(NamedTuple):
    """The facts about one mask of an answer that its score is computed of.

    Attributes:
        network: the logit of the network's score.
        agreement: the share of the union with another mask of the answer that both cover, on the mean; 1 without any.
        sureness: how surely the places of the mask are inside, on the mean, 0.5 to 1.
        middle: how far in the middle of the mask one of the clicks on the object is, 0 to 1; 1 without any.
        contrast: the logarithm of the levels by which colours differ across its contour.
        clicks: the logarithm of the number of clicks, 0 without any.
    """

    network: float
    agreement: float
    sureness: float
    middle: float
    contrast: float
    clicks: float


class Weights(NamedTuple):
    """The weights of the facts, and what is added to their weighted sum."""

    bias: float
    facts: Facts


def facts_of(picture: Pixels, layers: Sequence[Layer], index: int, prompts: Prompts) -> Facts:
    """Returns what is to be seen of one of the masks of an answer.

    Args:
        picture: [H, W, 3] uint8.
        layers: the masks; each is inside somewhere.
        index: which of them.
        prompts: what was pointed at.
    """
    layer = layers[index]
    score = min(max(layer.score, _LEAST), 1 - _LEAST)
    others = [alike(layer, other) for i, other in enumerate(layers) if i != index]
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
    """Returns the share of the union with the object that a mask is expected to cover, 0 to 1."""
    return 1 / (1 + math.exp(-weights.bias - sum(a * b for a, b in zip(facts, weights.facts, strict=True))))


def surely_best_first(layers: Sequence[Layer], prompts: Prompts) -> list[Layer]:
    """Returns the masks of a corrected answer, first of them the best where that is surely better than the first.

    Whoever corrects by clicks that are not in the middle of what is wrong misleads a choice by clicks alone. A mask
    that does not explain a click which the first one explains stays behind it.
    """

    def explained(layer: Layer) -> list[bool]:
        places = [(math.floor(x + 0.5), math.floor(y + 0.5)) for x, y in prompts.points]
        values = [sampled(layer, (x, y, x + 1, y + 1), (1, 1))[0, 0] for x, y in places]
        return [bool(value > 0.5) == bool(label) for value, label in zip(values, prompts.labels, strict=True)]

    if not layers:
        return []
    best = max(layers, key=lambda layer: layer.score)
    if best.score <= layers[0].score + _SURELY:
        return [*layers]
    if any(before and not after for before, after in zip(explained(layers[0]), explained(best), strict=True)):
        return [*layers]
    return [best, *(layer for layer in layers if layer is not best)]


def _middle(layer: Layer, points: Sequence[tuple[float, float]]) -> float:
    """Returns how far in the middle of a mask that of some places (x, y) is which is farthest, 0 to 1."""
    box = box_of(layer)
    if box is None or not points:
        return 1.0
    width, height = box[2] - box[0], box[3] - box[1]
    columns, rows = fitted((width, height), _SIDE)
    depth = np.pad(distance_inside(np.pad(sampled(layer, box, (columns, rows)) > 0.5, 1)), 1)
    shares = []
    for x, y in points:
        column = min(max(math.floor((x + 0.5 - box[0]) * columns / width), -1), columns)
        row = min(max(math.floor((y + 0.5 - box[1]) * rows / height), -1), rows)
        shares.append(min(float(depth[row + 2, column + 2]) / max(1.0, float(depth.max())), _MIDDLE) / _MIDDLE)
    return max(shares)
