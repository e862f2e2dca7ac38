"""The verdict on a subject of a composite: how likely a stranger sees no fault, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import NO_REASON, Reason
from ..segmentation.layers import Layer

__all__ = ["mask_doubts", "told", "verdict_of"]

#: The likelihood of a usable composite below which commands and runs write none: of 210 graded ones half are below it,
#: and a seventh of these are usable.
LEAST_USABLE = 0.35
#: The likelihood from which on they say nothing about it: 33 are above it, and a quarter of these have a fault.
SURELY_USABLE = 0.65
#: The least change of the logarithm of the odds by a fact that is told, and the number of facts that are.
_LEAST_CHANGE, _DOUBTS_TOLD = 0.5, 3
#: The largest certainty that counts: none of the graded composites has more.
_MAX_CERTAINTY = 0.98


class Facts(NamedTuple):
    """The facts about a subject that was segmented and placed, on which the verdict depends."""

    certainty: float  # the mean of the mask's values inside of it, 0 for one half to 1
    answers: float  # the logarithm of the number of masks that the prompt may mean
    posed: float  # whether a person's pose fits the mask
    doubted: float  # whether the place breaks a rule, or the size is unlike others'
    cropped_below: float  # whether its photo crops the subject at the bottom
    in_front: float  # the logarithm of one more than the number of people in front of it


class Weight(NamedTuple):
    """The weight of a fact in the logarithm of the odds, and its mean in usable composites."""

    weight: float
    mean: float


#: Printed by `python benchmarks/composition.py fit`, from the graded composites of `tools/annotations/grades.json`.
BIAS = 0.142
WEIGHTS = {
    "certainty": Weight(14.348, 0.927),
    "answers": Weight(-1.511, 0.819),
    "posed": Weight(1.271, 0.737),
    "doubted": Weight(-1.077, 0.079),
    "cropped_below": Weight(0.945, 0.645),
    "in_front": Weight(1.117, 0.281),
}
_CLICK_MORE = Reason("click-more", "click the missing and the wrong parts too, or pass a box")
_CLICK_FACE = Reason("click-face", "click the face too; a thing needs a position and a scale")
_PASS_PLACE = Reason("pass-place", "pass a position and a scale")
_DOUBTS = {
    "certainty": Reason("vague-outline", "parts of the cut-out are a guess", hint=_CLICK_MORE),
    "answers": Reason("several-meant", "the prompt may mean several things", hint=_CLICK_MORE),
    "posed": Reason("no-body", "no person's body was recognised in the cut-out", hint=_CLICK_FACE),
    "doubted": Reason("doubtful-place", "the place or the size is doubtful", hint=_PASS_PLACE),
    "cropped_below": Reason("stands-free", "it has to stand on ground that is not recognised", hint=_PASS_PLACE),
    "in_front": Reason("in-the-open", "all of it is in front of everybody", hint=_PASS_PLACE),
}


def certainty_of(layer: Layer) -> float:
    """Returns how certain a mask is inside of itself, 0 to 1."""
    inside = layer.values[layer.values > 0.5]
    return min(float(2 * inside.mean() - 1), _MAX_CERTAINTY) if inside.size else 0.0


def verdict_of(facts: Facts | None) -> tuple[float | None, tuple[Reason, ...]]:
    """Returns how likely a composite is usable, 0 to 1, and what speaks against it, the weightiest first.

    The likelihood is None without facts: the caller decided the mask or the place, and no such composites were graded.
    """
    if facts is None:
        return None, ()
    changes = _changes(facts._asdict())
    return 1 / (1 + math.exp(-BIAS - sum(changes.values()))), _doubts(changes)


def mask_doubts(layer: Layer, answers: int) -> tuple[Reason, ...]:
    """Returns what speaks against a mask, one of several answers to a prompt, before it is placed."""
    return _doubts(_changes({"certainty": certainty_of(layer), "answers": math.log(answers)}))


def _changes(values: Mapping[str, float]) -> dict[str, float]:
    """Returns what facts change in the logarithm of the odds."""
    return {name: WEIGHTS[name].weight * (value - WEIGHTS[name].mean) for name, value in values.items()}


def _doubts(changes: Mapping[str, float]) -> tuple[Reason, ...]:
    against = sorted((name for name in changes if changes[name] <= -_LEAST_CHANGE), key=changes.__getitem__)
    return tuple(_DOUBTS[name] for name in against[:_DOUBTS_TOLD])


def told(usable: float | None, doubts: Sequence[Reason]) -> Reason:
    """Returns the verdict in words, of the code 'not-usable' or 'doubtful'; empty for a usable or unknown one."""
    if usable is None or usable >= SURELY_USABLE:
        return NO_REASON
    code, once = "doubtful" if usable >= LEAST_USABLE else "not-usable", list(dict.fromkeys(doubts))
    text = f"the composite is {100 * usable:.0f} % likely to be usable"
    hints = "; ".join(dict.fromkeys(one.hint for one in once))
    return Reason(code, f"{text}: {', '.join(one.text for one in once)}" if once else text, hint=hints, usable=usable)
