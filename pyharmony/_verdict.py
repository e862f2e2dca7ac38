"""The verdict on a result: how likely a stranger sees no fault in it, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from . import _shipped
from ._arrays import Float32
from .errors import NO_REASON, Reason

__all__ = ["certainty_of", "mask_doubts", "pose_facts", "told", "verdict_of"]

#: The likelihood of a usable result below which commands and runs write none: of 210 graded composites half are below
#: it, and an eighth of these are usable.
LEAST_USABLE = 0.35
#: The likelihood from which on they say nothing about it: 32 are above it, and a fifth of these have a fault.
SURELY_USABLE = 0.65
#: The least change of the logarithm of the odds by a fact that is told, and the number of facts that are.
_LEAST_CHANGE, _DOUBTS_TOLD = 0.5, 3
#: The largest certainty that counts: none of the graded composites has more.
_MAX_CERTAINTY = 0.98


class Weight(NamedTuple):
    """The weight of a fact in the logarithm of the odds, and its mean in usable results."""

    weight: float
    mean: float


class Table(NamedTuple):
    """The weights of facts, and the logarithm of the odds of a result with their means."""

    bias: float
    weights: Mapping[str, Weight]


#: The facts about a subject of a composite:
#: certainty: the mean of the mask's values inside of it, 0 for one half to 1;
#: answers: the logarithm of the number of masks that the prompt may mean;
#: posed: whether a person's pose fits the mask;
#: doubted: whether the place breaks a rule, or the size is unlike others'; 2 where a face is covered, or it is hidden;
#: cropped_below: whether its photo crops the subject at the bottom;
#: in_front: the logarithm of one more than the number of people in front of it;
#: on_water, in_sky: how likely its lower end is there.
#: Printed by `python benchmarks/composition.py fit`, from the graded composites of `tools/annotations/grades.json`: of
#: a subject that was segmented and placed, of a mask of the caller's that was placed, and of a segmented one at the
#: caller's place.
COMPOSED = Table(0.191, {
    "certainty": Weight(14.311, 0.927),
    "answers": Weight(-1.478, 0.819),
    "posed": Weight(1.164, 0.737),
    "doubted": Weight(-1.045, 0.079),
    "cropped_below": Weight(0.94, 0.645),
    "in_front": Weight(1.037, 0.281),
    "on_water": Weight(-0.603, 0.075),
    "in_sky": Weight(-6.051, 0.003),
})  # fmt: skip
PLACED = Table(0.377, {
    "posed": Weight(0.473, 0.716),
    "doubted": Weight(-0.657, 0.105),
    "cropped_below": Weight(1.383, 0.632),
    "in_front": Weight(1.139, 0.269),
    "on_water": Weight(-0.854, 0.07),
    "in_sky": Weight(-4.446, 0.003),
})  # fmt: skip
CUT_OUT = Table(0.976, {
    "certainty": Weight(7.178, 0.918),
    "answers": Weight(-0.832, 0.87),
    "posed": Weight(0.171, 0.571),
})  # fmt: skip
#: The facts about a merge:
#: ended, contour: the square roots of those of `pyharmony.merging.MergeBase`;
#: missed: as there.
#: Printed by `python benchmarks/merging.py fit`.
MERGED = Table(1.716, {
    "ended": Weight(-4.722, 0.059),
    "contour": Weight(-4.793, 0.227),
    "missed": Weight(-5.889, 0.008),
})  # fmt: skip
#: The rules that count twice when they are broken: one is seen by everybody.
_HIDING = ("head-hidden", "face-covered", "nothing-seen")
_CLICK_MORE = Reason("click-more", "click the missing and the wrong parts too, or pass a box")
_CLICK_FACE = Reason("click-face", "click the face of a person too, or pass a position and a scale")
_PASS_PLACE = Reason("pass-place", "pass a position and a scale")
_OTHER_BASE = Reason("other-base", "pass another base, which may show all of them")
_PASS_PEOPLE = Reason("pass-people", "pass masks of the people, or photos in which they stand apart")
_DOUBTS = {
    "certainty": Reason("vague-outline", "parts of the cut-out are a guess", hint=_CLICK_MORE),
    "answers": Reason("several-meant", "the prompt may mean several things", hint=_CLICK_MORE),
    "posed": Reason("no-body", "no person's body was recognised in the cut-out", hint=_CLICK_FACE),
    "doubted": Reason("doubtful-place", "the place or the size is doubtful", hint=_PASS_PLACE),
    "cropped_below": Reason("stands-free", "the point where it meets the ground is a guess", hint=_PASS_PLACE),
    "in_front": Reason("in-the-open", "all of it is in front of everybody", hint=_PASS_PLACE),
    "on_water": Reason("on-water", "below it is water", hint=_PASS_PLACE),
    "in_sky": Reason("in-the-sky", "below it is the sky", hint=_PASS_PLACE),
    "ended": Reason("person-cropped", "a photo crops a person who was added", hint=_OTHER_BASE),
    "contour": Reason("people-overlap", "an added person overlaps someone of the base", hint=_PASS_PEOPLE),
    "missed": Reason("person-missing", "a person of one photo was not added", hint=_PASS_PEOPLE),
}


def certainty_of(values: Float32) -> float:
    """Returns how certain a mask of probabilities [h, w] is inside of itself, 0 to 1."""
    inside = values[values > 0.5]
    return min(float(2 * inside.mean() - 1), _MAX_CERTAINTY) if inside.size else 0.0


def verdict_of(
    facts: Mapping[str, float], place_reason: Reason = NO_REASON, table: Table | None = None
) -> tuple[float | None, tuple[Reason, ...]]:
    """Returns how likely a result is usable, 0 to 1, and what speaks against it, the weightiest first.

    A fact that is not known counts as in usable results. The likelihood is None if neither the mask nor the place of a
    subject was estimated.

    facts: those of `table`, None: the one of what was estimated of a subject of a composite.
    place_reason: why the place is doubtful, which is told instead of the usual reason.
    """
    table = _table_of(facts) if table is None else table
    if table is None:
        return None, ()
    changes = _changes(facts, table)
    return 1 / (1 + math.exp(-table.bias - sum(changes.values()))), _doubts(changes, place_reason)


def mask_doubts(values: Float32, answers: int) -> tuple[Reason, ...]:
    """Returns what speaks against a mask of probabilities, one of several answers to a prompt, on its own."""
    return _doubts(_changes(mask_facts(values, answers), COMPOSED))


def mask_facts(values: Float32, answers: int) -> dict[str, float]:
    """Returns the facts about a mask of probabilities [h, w], the first of several answers to a prompt."""
    return {"certainty": certainty_of(values), "answers": math.log(answers)}


def pose_facts(posture: object) -> dict[str, float]:
    """Returns the fact whether a person's pose fits a mask: whether there is a posture; none without the pose networks.

    posture: that of the person, or None.
    """
    return {"posed": float(posture is not None)} if _shipped.is_there("pose") else {}


def place_facts(
    reason: Reason, cropped_sides: Collection[str], in_front: int, below: tuple[float, float]
) -> dict[str, float]:
    """Returns the facts about a place.

    reason: why it is doubtful, see `pyharmony.placement.Placement`; a low score alone says little: 10 of 23 such
        composites were usable.
    cropped_sides: those on which the subject's photo crops it.
    in_front: the number of people in front of it.
    below: how likely its lower end is on water, and in the sky, 0 to 1.
    """
    doubted = 2.0 if reason.code in _HIDING else float(reason.code not in ("", "no-good-place"))
    cropped = float("bottom" in cropped_sides)
    facts = {"doubted": doubted, "cropped_below": cropped, "in_front": math.log1p(in_front)}
    return {**facts, "on_water": below[0], "in_sky": below[1]}


def _table_of(facts: Mapping[str, float]) -> Table | None:
    """Returns the table of the facts about a subject, by what was estimated; None if nothing was."""
    if "in_front" in facts:
        return COMPOSED if "answers" in facts else PLACED
    return CUT_OUT if "answers" in facts else None


def _changes(facts: Mapping[str, float], table: Table) -> dict[str, float]:
    """Returns what facts change in the logarithm of the odds."""
    return {name: one.weight * (facts[name] - one.mean) for name, one in table.weights.items() if name in facts}


def _doubts(changes: Mapping[str, float], place_reason: Reason = NO_REASON) -> tuple[Reason, ...]:
    replacements = {"doubted": place_reason.within("", _PASS_PLACE)} if place_reason else {}
    against = sorted((name for name in changes if changes[name] <= -_LEAST_CHANGE), key=changes.__getitem__)
    return tuple(replacements.get(name, _DOUBTS[name]) for name in against[:_DOUBTS_TOLD])


def told(usable: float | None, doubts: Sequence[Reason], result: str = "composite") -> Reason:
    """Returns the verdict in words, of the code 'not-usable' or 'doubtful'; empty for a usable or unknown one."""
    if usable is None or usable >= SURELY_USABLE:
        return NO_REASON
    faults, hints = ", and ".join(dict.fromkeys(one.text for one in doubts)), dict.fromkeys(one.hint for one in doubts)
    # A hint that is a part of another is told by that one.
    remedies = "; ".join(one for one in hints if sum(one in other for other in hints) == 1)
    text = f"the {result} is {100 * usable:.0f} % likely to be usable{faults and f': {faults}'}"
    code = "doubtful" if usable >= LEAST_USABLE else "not-usable"
    return Reason(code, text, hint=remedies and f"try: {remedies}", usable=usable)
