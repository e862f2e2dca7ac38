"""Finds placements of an object, and draws a contact sheet of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import _checks, _reprs
from .._arrays import Bools, Float64, Pixels, Rectangle
from .._images.cutouts import cutout_alpha, warn_of_opaque, without_faint
from .._images.kinds import checked_image, checked_mask
from .._images.levels import image_levels, in_levels, mask_levels, opened, shares_of
from .._images.planes import grown
from .._images.sizes import fitted, resized
from .._verdict import mask_facts, place_facts, pose_facts, verdict_of
from ..errors import NO_REASON, ArgumentError, DTypeError, Reason, ShapeError
from ..reference.luma import LUMA
from ..segmentation import Head, Masks, Posture, Session
from ..segmentation.heads import corners, faces_of_others
from ..segmentation.layers import Layer
from ..segmentation.masks import refined_layer
from ..segmentation.people import head_in, head_of, least_sure
from ..segmentation.subjects import main_object, people_in
from ..segmentation.surroundings import surroundings_of, thing_in
from ..typing import ImageLike, MaskLike
from . import _score
from ._crowd import Crowd, crowd_of, off_the_line
from ._roll import Roll, reduced, roll_in
from ._score import Candidates, Ground
from .subject import OPPOSITE, Subject, enlarged_at_most, matrix_of, subject_of

#: Returns the regions of people in front of an object, see `_fronts`.
_Fronts = Callable[[tuple[int, ...]], tuple[Bools, Bools]]

#: The longer side of the reduced background from which the terms are computed.
_BACKGROUND_SIDE = 256
#: The number of candidates of the grid that are tried at other sizes.
_RESIZED = 300
#: The number of candidates, of all sizes, that are then compared.
_MAX_CANDIDATES = 800
#: The rows of a product of so many candidates that NumPy computes in one thread.
_ROWS = 8
#: The least intersection over union of two candidates that count as the same placement.
_SAME_PLACEMENT_IOU = 0.5
#: The number of finer candidates near a placement that are checked at the silhouette.
_FINER_CANDIDATES = 3
#: The penalty of a broken rule in the order of candidates, in units of the score.
_BROKEN = 1e3
#: The intersection over union with a candidate that breaks a rule from which on another one is skipped.
_SAME_DEFECT_IOU = 0.8
#: The largest number of candidates that are checked although they break a rule.
_DOUBTED = 60
#: The accepted values of scale and max_scale.
_SCALES = "a number above 0, at most 1000"
#: The factor of a candidate's likelihood for the first placement if it has an unusual size or a doubt.
_UNUSUAL_FACTOR = 0.5
#: The largest rotation of an object, in degrees.
_MAX_ROTATION = 10.0
#: The least rotation: smaller ones are within the errors of both rolls, and would only blur the object.
_MIN_ROTATION = 2.0
#: The largest distance of the lower end of an occluded object from the line at which others end, in its heads.
_LINE = 0.3
#: The largest distance by which an object is moved so that a cropped edge leaves the background, in its heights.
_MAX_SHIFT = 0.15
#: The largest number of such moves.
_MOVES = 4
#: The least distance from the border that is not rounding, in pixels.
_MIN_BORDER_DISTANCE = 1e-6
#: The least confidence of a person.
_MIN_PERSON_CONFIDENCE = 0.01


#: The rules that a placement may break, the least bad one first.
_REASONS = _EDGE_SEEN, _HEAD_HIDDEN, _FACE_COVERED, _NOTHING_SEEN = (
    Reason("edge-seen", "a cropped edge of the object would be visible"),
    Reason("head-hidden", "the head of the object would be hidden"),
    Reason("face-covered", "a face would be covered"),
    Reason("nothing-seen", "nothing of the object would be visible"),
)
#: The reason for an object near its largest size and much smaller than the usual size there.
_FEW_PIXELS = Reason("few-pixels", "the object has too few pixels for the usual size there")
#: The least share of the largest size at which an object is near it.
_LARGEST_SIZE_SHARE = 0.93
#: The least ratio of the usual size to the object's at which it is much smaller.
_MIN_USUAL_RATIO = 1.4
#: The reason for a first placement with a low score.
_NO_GOOD_PLACE = Reason("no-good-place", "no placement has a good score")
#: The score below which it is low; a seventh of the people in photos of groups have less.
_MIN_GOOD_SCORE = 0.1
#: The values of terms at or below which a placement that keeps the rules gets their reason.
_BAD_TERM = -3.0
_OFF_LINE = Reason("off-head-line", "the head of the object would be far from the line of the others' heads")
_ON_SKY = Reason("on-sky", "the object would stand in the sky or on nothing")
_ON_WATER = Reason("on-water", "the object would stand on water")
#: The probability of water above which it is told.
_MIN_WATER_SHARE = 0.5
_NO_GROUND = Reason("no-ground", "people could not stand in the scene, which is a close-up, the sky or water")
_DOUBTS = {
    "head_line": (_BAD_TERM, _OFF_LINE),
    "off": (_BAD_TERM, Reason("mostly-beyond", "most of the object would be outside of the background")),
    "others": (_BAD_TERM, Reason("others-covered", "people without a mask would be covered")),
    "surface": (-1.5, _ON_SKY),
    "no_scene": (_BAD_TERM, _NO_GROUND),
    # One in thirty people in photos stands on ground so different from that of others: 1.2 of its deviations.
    "ground": (-0.98, Reason("other-ground", "the object would stand on other ground than the people")),
}


@dataclass(frozen=True, repr=False)
class Placement(_reprs.Line):
    """A placement of an object in a background.

    Attributes:
        x, y: the position of the middle of the object's photo in the background, in pixels.
        scale: the factor by which the object is enlarged.
        angle: the rotation, in degrees clockwise.
        flip: whether the object is mirrored, before the rotation.
        behind: the people of the background who are in front of the object, by their numbers.
        score: the quality of the placement, 0 to 1, comparable between calls: the logistic of the sum of terms, scaled
            so that half of the people in photos of groups have 0.5 or more at their own places. A broken rule counts
            as a term of -3. Scores never rise from one placement to the next.
        terms: the terms of the score: what each adds to the logarithm of the placement's likelihood.
        box: the rectangle (x, y, width, height) of the object in the background, which may extend beyond it.
        size: width and height of the object's photo.
        reason: the rule that the placement breaks, or the term that is strongly against it, in a few words; else empty.
        usable: how likely a stranger finds no fault in a composite there, 0 to 1, if a mask that was passed is right;
            None if it was not searched.
        doubts: what speaks against that, with hints, the weightiest first.

    Example:
        >>> from pyharmony import placement
        >>> mask = np.zeros((60, 40), np.uint8)
        >>> mask[10:50, 10:30] = 255
        >>> found = placement.place(np.zeros((60, 40, 3), np.uint8), np.zeros((90, 120, 3), np.uint8), mask=mask,
        ...                         people=[], person=False)
        >>> found[0].angle, found[0].z, found[0].matrix.shape
        (0.0, 0, (2, 3))
    """

    x: float
    y: float
    scale: float
    angle: float
    flip: bool
    behind: tuple[int, ...]
    score: float
    terms: Mapping[str, float]
    box: Rectangle
    size: tuple[int, int]
    reason: Reason = NO_REASON
    usable: float | None = None
    doubts: tuple[Reason, ...] = field(default=(), repr=False)

    @property
    def z(self) -> int:
        """The number of people in front of the object: 0 if it is in front of all."""
        return len(self.behind)

    @property
    def matrix(self) -> Float64:
        """The matrix [2, 3] that maps (x, y, 1), in pixels of the object's photo, to pixels of the background."""
        return matrix_of(self.size, self.x, self.y, self.scale, self.angle, self.flip)


def place(
    subject: ImageLike,
    background: ImageLike,
    *,
    mask: MaskLike | Masks | None = None,
    people: Masks | Sequence[MaskLike] | None = None,
    heads: Sequence[Rectangle | Head] | None = None,
    faces: Sequence[Rectangle] = (),
    other_people: MaskLike | None = None,
    head: Rectangle | None = None,
    person: bool | None = None,
    cropped_sides: Collection[str] | None = None,
    posture: Posture | None = None,
    scale: float | None = None,
    max_scale: float | None = None,
    angle: float | None = None,
    flip: bool = False,
    k: int = 5,
) -> list[Placement]:
    """Returns the best placements of an object in a background.

    A person is placed among the people there: at the size of their heads, and on the line of their heads and feet. No
    face is covered, and an edge at which the photo crops the object is placed at the same border of the background or
    behind other people. A lower person is nearer, and so may be one who is cropped at the bottom, with a larger head on
    the same line. Without people the head is in the usual row, and a thing has the height of its kind, if it is known.

    Args:
        subject: the photo with the object, see `pyharmony.segment`. It should not be cropped: the sides on which it
            crops the object are detected at its borders.
        background: the image in which the object is placed, likewise.
        mask: the mask of the object, of the subject's size, or the result of `pyharmony.segment`, which also tells how
            sure it is; None: the alpha of the subject; if that is above 0 nearly everywhere it cuts nothing out, and
            the main object is segmented, with a warning.
        people: the people in the background: the result of `pyharmony.segment` with all_people=True, or a mask of each;
            None: they are detected. The first two give the same placements: people without a mask are detected in
            addition.
        heads: the rectangles (x, y, width, height) of their heads, if people are masks, or each a `segmentation.Head`,
            whose confidence is its weight in the estimate of sizes; None: estimated from silhouettes.
        faces: rectangles of faces of people without a mask, which must not be covered either.
        other_people: a mask of more people, see `pyharmony.segmentation.Session.other_people`; covering them
            lowers the score. None: detected if people are, or were by `pyharmony.segment`, else empty.
        head: the rectangle of the object's head; None: estimated.
        person: whether the object is a person; None: estimated.
        cropped_sides: the sides on which the subject is cropped, of 'left', 'top', 'right' and 'bottom'; None:
            estimated.
        posture: the rows of a person's feet and seat, see `pyharmony.segmentation.Session.posture`: a person without
            visible feet counts as cropped at the bottom, and a sitting one from the hips on. None: estimated if person
            and head are; without poses by the silhouette, which does not show whether a person sits.
        scale: the factor by which the object is enlarged; None: estimated.
        max_scale: the largest scale if scale is None and the photo does not crop the object at two opposite sides,
            which both have to be outside of the background; None: 2.5, which looks sharp enough on a screen, and more
            in a background of more than 1600 pixels, which a screen displays reduced.
        angle: the rotation of the object, in degrees clockwise; None: so that it is as upright as the background, by 2
            to 10 degrees, if edges tell both photos' roll with certainty and the people who stand there do not
            contradict; else 0.
        flip: whether the object may be mirrored.
        k: the largest number of placements.

    Returns:
        Up to k placements, the best first; no two visible parts of their boxes overlap by about half. There is at least
        one: if none keeps all rules, the best of the others, with the broken rule as its `reason`. A placement that
        keeps them has a reason if a term is strongly against it.

    Raises:
        MaskError: the mask is empty or has values outside of its range.
        ArgumentError: subject has no alpha and no mask is given, or angle, cropped_sides, faces, head, heads, k,
            max_scale, posture or scale have a value that is not accepted.
        ShapeError, DTypeError, DecodeError, WeightsError: see `pyharmony.segment`.

    Example:
        >>> import pyharmony
        >>> mask = np.zeros((60, 40), np.uint8)
        >>> mask[10:, 10:30] = 255
        >>> background = np.full((90, 120, 3), 128, np.uint8)
        >>> best = pyharmony.place(np.zeros((60, 40, 3), np.uint8), background, mask=mask, people=[], person=False)[0]
        >>> round(best.box[1] + best.box[3]) >= 90
        True
    """
    _checks.flags(flip=flip)
    if person is not None:
        _checks.flags(person=person)
    _checks.whole(k, "k", low=1)
    if angle is not None:
        angle = _checks.number(angle, "angle", low=-180, high=180, accepts="-180 to 180 degrees")
    scales = [(name, value) for name, value in (("scale", scale), ("max_scale", max_scale)) if value is not None]
    for name, value in scales:
        if not _checks.number(value, name, high=1000, accepts=_SCALES) > 0:
            raise ArgumentError(f"{name}: 0, expected {_SCALES}")
    posture = _posture(posture)
    image, subject_mask = _subject_of(subject, mask)
    sides = None if cropped_sides is None else _checks.several(cropped_sides, "cropped_sides", "a list of sides")
    heads = None if heads is None else _checks.several(heads, "heads", "a list of rectangles")
    if not (people is None or isinstance(people, Masks)):
        people = _checks.several(people, "people", "None, a list of masks, or the result of `pyharmony.segment`")
    scene = image_levels(background, "background")
    size = (scene.shape[1], scene.shape[0])
    face_boxes = [] if faces is None else _checks.checked_boxes(faces, "faces", size).tolist()
    own_size = (subject_mask.shape[1], subject_mask.shape[0])
    own_head = None if head is None else _checks.checked_box(head, "head", own_size)
    is_pose_known = posture is not None or person is False or (person is None and head is None)
    if person is None and head is None:
        session = Session(image)
        person = session.shows_people(subject_mask)
        if person:
            posture = session.posture(subject_mask) if posture is None else posture
            if session.finds_people:
                # As `pyharmony.compose` does: a detected head is nearer to the truth than a posture's or silhouette's.
                detection = head_in(session.heads(least_sure(posture is not None)), subject_mask)
                own_head = None if detection is None else corners(detection.box)
    object_ = subject_of(subject_mask, own_head, bool(person), sides, posture)
    longer = max(object_.box[2] - object_.box[0], object_.box[3] - object_.box[1])
    for name, value in scales:
        if value * longer < 1:
            raise ArgumentError(f"{name}: {value!r}, expected an object of at least one pixel at that scale")
    more: list[Rectangle] = []
    if people is None or (isinstance(people, Masks) and heads is None and len(people.heads) == len(people)):
        people, more, other_people = _detected_people(scene, people, heads, other_people)
    masks, boxes, sure = _people_of(size, people, heads)
    face_boxes += _checks.checked_boxes(more, "faces", size).tolist()
    background_roll = roll_in(scene)
    crowd = crowd_of(masks, boxes, face_boxes, size, background_roll.degrees, sure)
    if angle is None:
        angle = _angle(image, background_roll, crowd.lean(size))
    ground = _ground(scene, crowd, boxes, _others_of(size, other_people), image, object_)
    if object_.head is not None and not len(crowd):
        ground = ground._replace(standable=Session(scene).standable())
    if object_.head is None:
        left, top, right, bottom = (int(end) for end in object_.box)
        near = max(right - left, bottom - top) // 4 + 1
        part = slice(max(0, top - near), bottom + near), slice(max(0, left - near), right + near)
        object_ = object_._replace(thing=thing_in(image[part], subject_mask[part]))
    if scale is None and not any(object_.cut >= pair for pair in OPPOSITE):
        object_ = object_._replace(most=enlarged_at_most(size) if max_scale is None else float(max_scale))
    facts = pose_facts(posture) if is_pose_known else {}
    if isinstance(mask, Masks) and len(mask) and not mask.heads:
        facts |= mask_facts(refined_layer(mask).values, len(mask))
    return [_judged(one, object_, ground, facts) for one in _best(object_, ground, angle, flip, scale, int(k))]


def _judged(one: Placement, object_: Subject, ground: Ground, facts: Mapping[str, float]) -> Placement:
    """Returns a placement with its verdict, by the facts about the mask; water has a reason of its own."""
    (left, top, wide, high), (width, height) = one.box, ground.size
    below = ground.surroundings.water_and_sky_at((left + wide / 2) / width, (top + high) / height)
    reason = _ON_WATER if one.reason is _ON_SKY and below[0] > _MIN_WATER_SHARE else one.reason
    usable, doubts = verdict_of({**facts, **place_facts(reason, object_.cut, len(one.behind), below)}, reason)
    return replace(one, reason=reason, usable=usable, doubts=doubts)


def _subject_of(subject: Any, mask: Any) -> tuple[Pixels, Pixels]:
    """Returns the photo of an object and its mask, as levels."""
    if mask is not None:
        levels, mask = image_levels(subject, "subject"), mask.mask if isinstance(mask, Masks) else mask
        return levels, without_faint(mask_levels(mask, *levels.shape[:2]), "mask")
    image = opened(subject, "subject")
    pixels = checked_image(image, "subject").pixels
    if pixels.shape[2] != 4:
        raise ArgumentError(
            "mask: not given, and subject has no alpha",
            code="no-mask",
            hint="expected a mask or a subject with alpha, such as by `segmentation.cutout`",
        )
    levels, alpha = image_levels(image, "subject"), cutout_alpha(pixels[..., 3], "subject")
    if alpha is None:
        warn_of_opaque("subject")
        return levels, main_object(levels, "subject")
    return levels, mask_levels(np.ascontiguousarray(alpha), *levels.shape[:2])


def _detected_people(
    scene: Pixels, people: Masks | None, heads: Sequence[Rectangle | Head] | None, others: Any
) -> tuple[Masks, list[Rectangle], Any]:
    """Returns the people in an image, the faces of those without a mask, and the mask of others.

    people: the people detected before; None: they are detected here, too.
    """
    if heads is not None:
        raise ArgumentError("heads: given without people, expected both, with one head for each person")
    if people is not None and people.size != (scene.shape[1], scene.shape[0]):
        (wide, high), (height, width) = people.size, scene.shape[:2]
        raise ShapeError(f"people: masks of {wide} x {high} pixels, expected those of background, {width} x {height}")
    session = Session(scene)
    people, every_head = people_in(session, people)
    faces = faces_of_others(every_head, people.heads)
    if others is None:
        size, small = people.size, fitted(people.size, _BACKGROUND_SIDE)
        others = resized(session.other_people(people.reduced(small), small), size)
    return people, faces, others


def _others_of(size: tuple[int, int], others: Any) -> Bools:
    """Returns the mask of others in an image of a size (width, height), at the small size."""
    if others is None:
        return np.zeros(fitted(size, _BACKGROUND_SIDE)[::-1], bool)
    return _small_mask(others, "other_people", size) > 127


def _people_of(size: tuple[int, int], people: Any, heads: Any) -> tuple[list[Pixels], Float64, Float64]:
    """Returns the people of an image of a size (width, height).

    They are masks at a small size, [h, w] uint8, the boxes of their heads in pixels of the image, and the confidences.
    """
    every = [people[i] for i in range(len(people))]
    if isinstance(people, Masks) and heads is None and len(people.heads) == len(every):
        heads = [Head(box, box, score) for box, score in zip(people.heads, people.scores)]
    if heads is not None and len(heads) != len(every):
        raise ArgumentError(f"heads: {len(heads)} heads for {len(every)} people, expected one for each")
    masks: list[Pixels] = []
    boxes: list[tuple[float, ...]] = []
    sure: list[float] = []
    for i, one in enumerate(every):
        small = _small_mask(one, f"people[{i}]", size)
        if not (small > 127).any():
            continue
        head = None if heads is None else heads[i]
        if head is None:
            layer = Layer((0, 0, *size), shares_of(small), 1.0)
            boxes.append(tuple(float(v) for v in head_of(layer)))
        else:
            rectangle = head.box if isinstance(head, Head) else head
            boxes.append(_checks.checked_box(rectangle, f"heads[{i}]", size))
        sure.append(max(float(head.sure), _MIN_PERSON_CONFIDENCE) if isinstance(head, Head) else 1.0)
        masks.append(small)
    return masks, np.array(boxes, np.float64).reshape(-1, 4), np.array(sure)


def _small_mask(mask: Any, name: str, size: tuple[int, int]) -> Pixels:
    """Returns a mask of a scene of a size (width, height) at the small size; a large one is checked, but not copied."""
    return reduced(in_levels(checked_mask(mask, name, size[1], size[0])), fitted(size, _BACKGROUND_SIDE))


def _angle(image: Pixels, background_roll: Roll, lean: float) -> float:
    """Returns the rotation of an object to the roll of a background, in degrees clockwise.

    A wrong rotation is worse than none: it is 0 unless both rolls are sure, and if it would turn the object away from
    the lean of the people who stand there, which is NaN without any.
    """
    own = roll_in(image)
    angle = float(np.clip(background_roll.degrees - own.degrees, -_MAX_ROTATION, _MAX_ROTATION))
    is_away = abs(own.degrees + angle - lean) >= abs(own.degrees - lean)
    is_sure = own.is_sure and background_roll.is_sure
    return 0.0 if is_away or not is_sure or abs(angle) < _MIN_ROTATION else angle


def _ground(
    scene: Pixels, crowd: Crowd, heads: Float64, others: Bools, subject_image: Pixels, subject: Subject
) -> Ground:
    """Returns the tables from which terms are computed, for an image with people, whose heads are given, and others."""
    size = (scene.shape[1], scene.shape[0])
    small = reduced(scene, fitted(size, _BACKGROUND_SIDE))
    gray = small.astype(np.float64) @ LUMA
    edges = np.zeros_like(gray)
    edges[1:-1, 1:-1] = np.hypot(gray[1:-1, 2:] - gray[1:-1, :-2], gray[2:, 1:-1] - gray[:-2, 1:-1])
    # The contrast of an edge is limited: covering a stronger one loses no more.
    edges = np.minimum(edges / 64, 1.0)
    empty = np.zeros((1, *gray.shape), bool)
    appearance = _score.table_of(
        _score.appearance_of(small, grown(np.asarray(crowd.masks.any(0))) if len(crowd) else empty[0])
    )
    standing, high = crowd.standing(size)
    floors = _score.floors_of(appearance, standing, high, size)
    many = len(crowd) > 0
    shades = [_shade(scene, head) for head in heads]
    own = _shade(subject_image, subject.anchor)
    return Ground(
        size, crowd, _score.table_of(crowd.masks if many else empty), _score.table_of(crowd.faces if many else empty),
        _score.table_of(edges[None]), _score.table_of(others[None]), appearance,
        floors[~np.isnan(floors).any(1)], (own, float(np.median(shades)) if shades else own), surroundings_of(small),
    )  # fmt: skip


def _shade(image: Pixels, box: Sequence[float]) -> float:
    """Returns the brightness of the right half of a part of an image relative to the left half, -1 to 1."""
    height, width = image.shape[:2]
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    if right - left < 4 or bottom <= top:
        return 0.0
    part = resized(np.ascontiguousarray(image[top:bottom, left:right]), (16, 16)).astype(np.float64).mean(2)
    first, second = part[:, :8].mean(), part[:, 8:].mean()
    return float((second - first) / max(first + second, 1.0))


def scored(subject: Subject, ground: Ground, places: Candidates) -> tuple[Float64, dict[str, Float64], Bools]:
    """Returns the scores of candidates, the contribution of each term, and whether they keep the rules."""
    among = len(ground.crowd) > 0 and subject.head is not None
    weights = _score.MANUAL_WEIGHTS | (_score.AMONG_PEOPLE if among else _score.WEIGHTS_WITHOUT_PEOPLE)
    terms, is_allowed = _score.terms_of(subject, ground, places)
    worth = {name: weights.get(name, 0.0) * values for name, values in terms.items()}
    return np.sum(list(worth.values()), 0), worth, is_allowed


def _best(subject: Subject, ground: Ground, angle: float, flip: bool, scale: float | None, k: int) -> list[Placement]:
    """Returns the best placements that keep the rules, or the best one that does not."""
    places = _score.candidates(subject, ground, (False, True) if flip else (False,), scale)
    score, terms, is_allowed = scored(subject, ground, places)
    is_allowed &= _edges_hidden(subject, ground, places)
    if scale is None:
        # The size expected at a row is uncertain, so other sizes are tried at the likely candidates.
        likely = np.argsort(-np.where(is_allowed, score, score - _BROKEN), kind="stable")[:_RESIZED]
        places = _score.around(places.select(likely), _score.RESIZED, (0.0,), ground)
        places = _score.no_larger(subject, places)
        score, terms, is_allowed = scored(subject, ground, places)
        is_allowed &= _edges_hidden(subject, ground, places)
    # The likelihood of every candidate; a placement gets the sum over the candidates that are nearly the same.
    worth = np.exp(score - score[is_allowed].max()) * is_allowed if is_allowed.any() else np.exp(score - score.max())
    worth /= worth.sum()
    likely = np.argsort(-worth, kind="stable")[:_MAX_CANDIDATES]
    likely = likely[worth[likely] > 0]
    # Two candidates are the same if the visible parts of their boxes are.
    boxes = np.clip(_boxes(subject, places.select(likely)), 0.0, np.array([*ground.size, *ground.size], np.float64))
    shared = _overlaps(boxes)
    same = shared >= _SAME_PLACEMENT_IOU
    left = worth[likely].copy()
    together = _summed(same, left)
    # An unusual size has to be much more likely to be the first placement, and so has a candidate with a term that is
    # strongly against it.
    usual = np.abs(places.octaves[likely]) < 0.5 * np.log2(_score.FINER_SIZES[-1])
    for name, (bad, _) in _DOUBTS.items():
        doubted = terms[name][likely] <= bad
        # A term that is against all candidates does not distinguish them.
        usual &= ~doubted | doubted.all()
    first = np.where(usual, 1.0, _UNUSUAL_FACTOR)
    is_tried = np.zeros(len(likely), bool)
    placements: list[Placement] = []
    doubtful: list[Callable[[], Placement]] = []
    fronts = functools.cache(functools.partial(_fronts, ground))
    while len(placements) < k and len(doubtful) < _DOUBTED and not is_tried.all():
        gains = np.where(is_tried, -1.0, together * (1.0 if placements else first))
        i = int(gains.argmax())
        is_tried[i] = True
        most = placements[-1].score if placements else 1.0
        one = _refined(subject, ground, fronts, places.select(likely[i : i + 1]), angle, scale, most)
        if not isinstance(one, Placement):
            doubtful.append(one)
            is_tried |= shared[i] >= _SAME_DEFECT_IOU
            continue
        placements.append(one)
        left[same[i]] = 0
        together = _summed(same, left)
        is_tried |= same[i]
    if not placements:
        broken = [one() for one in doubtful]
        return [min(broken, key=lambda one: (_REASONS.index(one.reason), -one.score))]
    reasons = [_doubt(one.terms) or _few_pixels(subject, ground, one) for one in placements]
    if placements[0].score < _MIN_GOOD_SCORE:
        reasons[0] = reasons[0] or _NO_GOOD_PLACE
    return [replace(one, reason=reason) for one, reason in zip(placements, reasons, strict=True)]


def _summed(same: Bools, worth: Float64) -> Float64:
    """Returns the worth [N] of each candidate and those that are the same [N, N], summed.

    The product is in parts, since after a large one NumPy's threads busy-wait for the next.
    """
    return np.concatenate([same[i : i + _ROWS] @ worth for i in range(0, len(same), _ROWS)])


def _doubt(terms: Mapping[str, float]) -> Reason:
    """Returns the reason of the term that is most strongly against a placement; empty if none is."""
    name, (bad, text) = min(_DOUBTS.items(), key=lambda one: terms.get(one[0], 0.0) / -one[1][0])
    return text if terms.get(name, 0.0) <= bad else NO_REASON


def _few_pixels(subject: Subject, ground: Ground, one: Placement) -> Reason:
    """Returns the reason for an object that has too few pixels for the usual size at its place; else empty."""
    if one.scale < _LARGEST_SIZE_SHARE * subject.most:
        return NO_REASON
    left, top, right, bottom = subject.anchor
    x, y = one.matrix @ ((left + right - 1) / 2, (top + bottom - 1) / 2, 1.0) + 0.5
    usual = _score.usual_size(subject, ground, x, y, one.box[1] + one.box[3])
    return _FEW_PIXELS if usual > _MIN_USUAL_RATIO * one.scale * (bottom - top) else NO_REASON


def _refined(
    subject: Subject, ground: Ground, fronts: _Fronts, place: Candidates, angle: float, scale: float | None, most: float
) -> Placement | Callable[[], Placement]:
    """Returns the placement of a candidate, or of the best finer one near it, that keeps all rules.

    If none does, it returns a function that returns the placement of the candidate, which is rarely needed.
    most: the largest score that it may have.
    """
    finer = _score.around(place, _score.FINER_SIZES if scale is None else (1.0,), _score.SHIFTS, ground)
    finer = _score.joined(place, _score.no_larger(subject, finer))
    score, worth, is_allowed = scored(subject, ground, finer)
    is_allowed &= _edges_hidden(subject, ground, finer)
    order = [0, *(1 + np.argsort(-np.where(is_allowed, score, score - _BROKEN)[1:], kind="stable")[:_FINER_CANDIDATES])]

    def placement_at(i: int, broken: bool) -> Placement | None:
        terms = {name: round(float(values[i]), 4) for name, values in worth.items() if abs(values[i]) > 5e-5}
        return _placement_at(subject, ground, fronts, finer.select(np.array([i])), angle, most, terms, broken=broken)

    def broken() -> Placement:
        first = placement_at(0, True)
        assert first is not None  # noqa: S101  # None is for placements that keep all rules
        return first

    return next((one for i in order if (one := placement_at(i, False)) is not None), broken)


def _edges_hidden(subject: Subject, ground: Ground, places: Candidates) -> Bools:
    """Returns whether the cropped edges of an object are outside of the background or behind people, roughly, [N]."""
    good = np.ones(len(places), bool)
    if not subject.cut:
        return good
    width, height = ground.size
    bands, _ = _score.rectangles(subject, places)
    left, top = bands[..., 0].min(1), bands[:, 0, 1]
    right, bottom = bands[..., 2].max(1), bands[:, -1, 3]
    slack = _MAX_SHIFT * places.size
    at_left, at_right = left <= slack, right >= width - slack
    good &= np.where(places.flip, at_right, at_left) if "left" in subject.cut else True
    good &= np.where(places.flip, at_left, at_right) if "right" in subject.cut else True
    good &= top <= slack if "top" in subject.cut else True
    if "bottom" in subject.cut:
        at_bottom = bottom >= height - slack
        if len(ground.crowd):
            # Is the lowest band occluded by people in front of the object?
            over = ground.people.shape
            unit = (over[1] - 1) * (over[2] - 1) / (height * width)
            last = bands[:, -1]
            area = (last[:, 2] - last[:, 0]) * (last[:, 3] - last[:, 1]) * unit
            overlap = np.where(_score.in_front(ground, places), _score.sums(ground.people, last, ground.size), 0).sum(0)
            at_bottom |= overlap >= 0.97 * area
            if subject.is_hidden:
                off = off_the_line(ground.crowd, places.x, bottom, places.size, subject.tall)
                at_bottom |= np.abs(off) <= _LINE * places.size
        good &= at_bottom
    return good


def _boxes(subject: Subject, places: Candidates) -> Float64:
    """Returns the bounding boxes of an object at candidates, [N, 4]: left, top, right, bottom."""
    bands, _ = _score.rectangles(subject, places)
    return np.stack([bands[..., 0].min(1), bands[..., 1].min(1), bands[..., 2].max(1), bands[..., 3].max(1)], 1)


def _overlaps(boxes: Float64) -> Float64:
    """Returns the intersection over union of boxes [N, 4] with each other, [N, N]."""
    left, top, right, bottom = boxes.T.astype(np.float32)
    wide = (np.minimum.outer(right, right) - np.maximum.outer(left, left)).clip(0)
    high = (np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)).clip(0)
    area = (right - left) * (bottom - top)
    shared = wide * high
    union = np.maximum(np.add.outer(area, area) - shared, np.float32(_MIN_BORDER_DISTANCE))
    return np.asarray(shared / union)


def _fronts(ground: Ground, behind: tuple[int, ...]) -> tuple[Bools, Bools]:
    """Returns the region of some people, and that in which an edge behind them is hidden, [h, w]."""
    masks = ground.crowd.masks
    shape = masks.shape[1:] if len(masks) else tuple(n - 1 for n in ground.edges.shape[1:])
    front_mask, solid = np.zeros((2, *shape), bool)
    for i in behind:
        front_mask |= masks[i]
        solid |= ground.crowd.solid[i]
    # Masks are smaller than the image: within a pixel of its limit a rule counts as broken.
    return front_mask, ~grown(~solid)


def _placement_at(
    subject: Subject, ground: Ground, fronts: _Fronts, one: Candidates, angle: float, most: float,
    terms: dict[str, float], *, broken: bool,
) -> Placement | None:  # fmt: skip
    """Returns the placement of a candidate, with every rule checked at the transformed silhouette.

    broken: whether it may break a rule; otherwise None is returned as soon as one is broken.
    """
    width, height = ground.size
    left, top, right, bottom = subject.anchor
    scale = float(one.size[0] / (bottom - top))
    flip = bool(one.flip[0])
    x, y = float(one.x[0]), float(one.y[0])
    # The middle of the photo, from that of the anchor.
    own = matrix_of(subject.size, 0.0, 0.0, scale, angle, flip)
    anchor = own @ np.array([(left + right - 1) / 2, (top + bottom - 1) / 2, 1.0])
    x, y = x - 0.5 - float(anchor[0]), y - 0.5 - float(anchor[1])
    front = _score.in_front(ground, one)[:, 0] if len(ground.crowd) else np.zeros(0, bool)
    behind = tuple(int(i) for i in np.flatnonzero(front))
    front_mask, hides = fronts(behind)
    sides = subject.cut
    if subject.is_hidden:
        off = float(off_the_line(ground.crowd, one.x, _boxes(subject, one)[:, 3], one.size, subject.tall)[0])
        if abs(off) <= _LINE * one.size[0]:
            y, sides = y + off, sides - {"bottom"}
    with_sides = subject._replace(cut=sides)
    x, y, floats = _moved_out(with_sides, hides, ground.size, (x, y), scale, angle, flip)
    reason = _EDGE_SEEN if floats else NO_REASON
    if reason and not broken:
        return None
    matrix = matrix_of(subject.size, x, y, scale, angle, flip)
    part, region = _silhouette_at(subject, matrix, ground.size, front_mask.shape)
    if subject.head is not None and _hidden(subject, matrix, ground.size, front_mask) > _score.HIDDEN:
        reason = _HEAD_HIDDEN
    near = grown(region) & ~front_mask[part]
    region &= ~front_mask[part]
    for i in range(len(ground.crowd)):
        face = ground.crowd.faces[i]
        if i not in behind and (touched := np.count_nonzero(near & face[part])):
            reason = _FACE_COVERED if touched > _score.FACE * np.count_nonzero(face) else reason
    # Corners of pixels are half a pixel from their centres, which have whole coordinates.
    places = [(u - 0.5, v - 0.5, 1.0) for band in subject.bands for u in band[::2] for v in band[1::2]]
    corners = np.array(places) @ matrix.T
    low, high = corners.min(0), corners.max(0)
    if not region.any():
        reason = _NOTHING_SEEN
    if reason and not broken:
        return None
    box = (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    among = len(ground.crowd) > 0 and subject.head is not None
    score = min(_score.goodness(sum(terms.values()) + (_BAD_TERM if reason else 0.0), among), most)
    return Placement(x, y, scale, angle, flip, behind, round(score, 4), terms, box, subject.size, reason)


def _hidden(subject: Subject, matrix: Float64, size: tuple[int, int], front_mask: Bools) -> float:
    """Returns the share of the visible part of an object's head that a region of people covers."""
    high, wide = subject.mask.shape
    left, top, right, bottom = np.array(subject.anchor) * np.tile((wide / subject.size[0], high / subject.size[1]), 2)
    head = np.zeros_like(subject.mask)
    part = slice(max(0, math.floor(top)), math.ceil(bottom)), slice(max(0, math.floor(left)), math.ceil(right))
    head[part] = subject.mask[part]
    part, region = _silhouette_at(subject._replace(mask=head), matrix, size, front_mask.shape)
    return int(np.count_nonzero(region & front_mask[part])) / max(1, int(np.count_nonzero(region)))


def _moved_out(
    subject: Subject, front_mask: Bools, size: tuple[int, int], at: tuple[float, float], scale: float, angle: float,
    flip: bool,
) -> tuple[float, float, bool]:  # fmt: skip
    """Returns a position moved until the cropped edges are outside of the background, and whether one is visible.

    Edges behind people may stay inside.
    """
    x, y = at
    points = subject.contour()
    if not len(points):
        return x, y, False
    width, height = size
    rows, columns = front_mask.shape
    far = _MAX_SHIFT * scale * (subject.anchor[3] - subject.anchor[1]) * (1.0 if subject.head is not None else 0.5)
    sides = {("right" if side == "left" else "left") if flip and side in ("left", "right") else side
             for side in subject.cut}  # fmt: skip
    homogeneous = np.concatenate([points - 0.5, np.ones((len(points), 1))], 1)
    # A move may uncover a part that was behind a person before.
    for _ in range(_MOVES):
        at_points = homogeneous @ matrix_of(subject.size, x, y, scale, angle, flip).T + 0.5
        column = np.clip((at_points[:, 0] * columns / width).astype(int), 0, columns - 1)
        row = np.clip(((at_points[:, 1] - 1e-6) * rows / height).astype(int), 0, rows - 1)
        inside = ((at_points > _MIN_BORDER_DISTANCE) & (at_points < np.array(size) - _MIN_BORDER_DISTANCE)).all(1)
        open_ = ~front_mask[row, column] & inside
        if not open_.any():
            return x, y, False
        down = height - float(at_points[open_, 1].min()) if "bottom" in sides else 0.0
        up = float(at_points[open_, 1].max()) if "top" in sides else 0.0
        right = width - float(at_points[open_, 0].min()) if "right" in sides else 0.0
        left = float(at_points[open_, 0].max()) if "left" in sides else 0.0
        # The side with the shortest move.
        moves = [(d, move) for d, move in ((down, (0.0, down)), (up, (0.0, -up)), (right, (right, 0.0)),
                                           (left, (-left, 0.0))) if d > 0]  # fmt: skip
        if not moves:
            return x, y, True
        _, (dx, dy) = min(moves)
        x, y = x + dx, y + dy
        if max(abs(x - at[0]), abs(y - at[1])) > max(far, 2.0):
            return *at, True
    return *at, True


def _silhouette_at(
    subject: Subject, matrix: Float64, size: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], Bools]:
    """Returns the silhouette of an object in the background, reduced to [h, w] of `shape`.

    Only a part of at least one pixel that includes the object and a margin is returned: its slices and values.
    """
    (rows, columns), (high, wide) = shape, subject.mask.shape
    corners = np.array([(u - 0.5, v - 0.5, 1.0) for u in (0, subject.size[0]) for v in (0, subject.size[1])])
    ends = (corners @ matrix.T + 0.5) * (columns / size[0], rows / size[1])
    starts, stops = np.floor(ends.min(0)) - 2, np.ceil(ends.max(0)) + 2
    left, right = (int(n) for n in np.clip((starts[0], stops[0]), (0, 1), (columns - 1, columns)))
    top, bottom = (int(n) for n in np.clip((starts[1], stops[1]), (0, 1), (rows - 1, rows)))
    y, x = np.arange(top, bottom)[:, None] + 0.5, np.arange(left, right) + 0.5
    x, y = x * size[0] / columns - 0.5, y * size[1] / rows - 0.5
    inverse = np.linalg.inv(matrix[:, :2])
    dx, dy = x - matrix[0, 2], y - matrix[1, 2]
    # Without a rotation, each row and each column of the background is one of the mask.
    u, v = inverse[0, 0] * dx, inverse[1, 1] * dy
    if inverse[0, 1] or inverse[1, 0]:
        u, v = u + inverse[0, 1] * dy, inverse[1, 0] * dx + v
    column = np.floor((u + 0.5) * wide / subject.size[0]).astype(np.intp)
    row = np.floor((v + 0.5) * high / subject.size[1]).astype(np.intp)
    inside = (column >= 0) & (column < wide) & (row >= 0) & (row < high)
    silhouette = subject.mask[row.clip(0, high - 1), column.clip(0, wide - 1)] & inside
    return (slice(top, bottom), slice(left, right)), np.asarray(silhouette)


def _posture(posture: Any) -> Posture | None:
    """Returns a posture with finite numbers and a head with an area, after checks."""
    if posture is None:
        return None
    if not isinstance(posture, Posture):
        raise DTypeError(f"posture: {type(posture).__name__}, expected None or the result of `Session.posture`")
    # A pose may continue beyond the image: no size is passed.
    _checks.checked_box(posture.head, "posture.head")
    for name, row in (("feet", posture.feet), ("seat", posture.seat)):
        if row is not None:
            _checks.number(row, f"posture.{name}", low=-math.inf, accepts="a finite number")
    return posture


def contact_sheet(
    subject: ImageLike, background: ImageLike, placements: Sequence[Placement], *, mask: MaskLike | Masks | None = None
) -> Pixels:
    """Returns an image [H, W, 3] uint8 of an object pasted at each of its placements, with the terms of their scores.

    Args:
        subject, background, mask: see `place`.
        placements: the result of `place`.

    Raises:
        ArgumentError: there is no placement.

    Example:
        >>> from pyharmony import placement
        >>> subject, scene = np.zeros((60, 40, 4), np.uint8), np.full((90, 120, 3), 128, np.uint8)
        >>> subject[10:50, 10:30] = 255
        >>> found = placement.place(subject, scene, people=[], person=False, k=2)
        >>> placement.contact_sheet(subject, scene, found).shape[2]
        3
    """
    from PIL import Image, ImageDraw

    placements = _checks.several(placements, "placements", accepts := "a list of placements by `place`")
    if not placements:
        raise ArgumentError("placements: empty, expected at least one")
    for i, one in enumerate(placements):
        if not isinstance(one, Placement):
            raise DTypeError(f"placements[{i}]: {type(one).__name__}, expected {accepts}")
    image, subject_mask = _subject_of(subject, mask)
    scene = image_levels(background, "background")
    height, width = scene.shape[:2]
    wide = 420
    high = round(wide * height / width)
    cell = high + 150
    columns = min(3, len(placements))
    sheet = Image.new("RGB", (columns * wide, math.ceil(len(placements) / columns) * cell), "white")
    base = Image.fromarray(scene).resize((wide, high), Image.Resampling.BOX)
    cut_out = Image.fromarray(np.dstack([image, subject_mask]))
    draw = ImageDraw.Draw(sheet)
    for i, one in enumerate(placements):
        left, top = i % columns * wide, i // columns * cell
        # The matrix from pixels of the cell to those of the object's photo.
        matrix = np.vstack([one.matrix, [0, 0, 1]])
        shrunk = np.diag([wide / width, high / height, 1.0])
        shrunk[:2, 2] = 0.5 * wide / width - 0.5, 0.5 * high / height - 0.5
        own = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        back = np.linalg.inv(np.linalg.inv(own) @ shrunk @ matrix @ own)
        pasted = cut_out.transform((wide, high), Image.Transform.AFFINE, tuple(back[:2].ravel()),
                                   Image.Resampling.BILINEAR)  # fmt: skip
        tile = base.copy()
        tile.paste(pasted.convert("RGB"), (0, 0), pasted.getchannel("A"))
        sheet.paste(tile, (left, top))
        lines = [f"{i + 1}: score {one.score:.2f}  scale {one.scale:.2f}  angle {one.angle:.1f}  behind {one.z}"]
        lines += [one.reason] if one.reason else []
        strongest = sorted(one.terms.items(), key=lambda item: -abs(item[1]))[:8]
        lines += [f"  {name.replace('_', ' ')} {value:+.2f}" for name, value in strongest]
        draw.multiline_text((left + 6, top + high + 4), "\n".join(lines), fill="black", spacing=2)
    return np.asarray(sheet)
