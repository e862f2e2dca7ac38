"""Plans a composite: segments every subject, places it, and writes both into a recipe."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from .._arrays import NumpyArray, Rectangle
from .._images.cutouts import warn_of_opaque, without_faint
from .._images.levels import in_levels, mask_levels, shares_of
from .._images.region import bounding_box
from .._images.sizes import block_means, fitted, resized
from .._verdict import mask_facts, pose_facts
from ..errors import NO_REASON, ArgumentError, MaskError, PyHarmonyError, Reason
from ..harmonization.light import change, view_of
from ..placement import Placement, place
from ..placement.subject import enlarged_at_most, matrix_of, subject_of
from ..segmentation import METHODS, Masks, Method, Posture, Session
from ..segmentation.heads import Head, corners, faces_of_others, rectangle_of
from ..segmentation.layers import Layer
from ..segmentation.masks import layer_mask, layers_of, refined_layer, rough_mask
from ..segmentation.people import SURE, around_person, head_in, head_of, least_sure
from ..segmentation.subjects import people_in
from ._recipe import encoded, of_layers, quantized
from .subjects import Names, Subject, clicks_of
from .warping import homography, mapped

#: The least longer side of the reduced photos in which people and objects are detected, if they have so many pixels.
MIN_DETECTION_SIDE = 1200
#: The approximate longer side of the photos over which masks are drawn for placement.
_PLACEMENT_MASK_SIDE = 1000
#: The longer side of the background in which placements are searched.
_PLACES = 800
#: The longer side of a mask in which a head is estimated from the silhouette.
_HEAD_SIDE = 256
#: The largest ratio of the heights of heads of people at similar places.
_MAX_HEAD_RATIO = 2.0
#: The longer side of masks that are compared.
_COMPARED_MASK_SIDE = 256
#: The number of nearest heads of the background that are the reference for a subject's colours.
_REFERENCE_HEADS = 2
#: Two heads may be one if their middles are nearer than this share of the larger width, ...
_ONE_HEAD_ACROSS = 0.5
#: ... and nearer than this share of the larger height.
_ONE_HEAD_DOWN = 0.95
#: The scale above which a subject is enlarged by super-resolution.
ENLARGED = 1.5
#: The largest scale for which super-resolution is by 2; above it is by 4.
_MAX_SCALE_OF_TWO = 3.0
#: The number of pixels of a subject above which super-resolution is by 2 at most.
_MAX_PIXELS_OF_FOUR = 500_000
#: The least visible share of the lowest part of an object with which its base is visible.
_BASE_SEEN = 0.6
#: The height of that part, as a share of the object's.
_BASE = 0.04


@dataclass(frozen=True)
class Photo:
    """A photo."""

    pixels: NumpyArray  # [h, w, 3] in the background's colours and dtype
    levels: NumpyArray  # [h, w, 3] uint8 in its own colours
    alpha: NumpyArray | None  # [h, w] in the background's dtype, if it cuts an object out
    whole: tuple[int, int] | None = None  # width and height of the photo if these pixels are reduced; else None
    file: str | None = None  # the SHA-256 of its file; None if it is not from a file
    #: The levels of the file's preview, in which objects are detected; None if they are computed from levels.
    preview: NumpyArray | None = None
    is_opaque: bool = False  # whether the photo has an alpha that cuts nothing out

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo."""
        return self.whole or (self.levels.shape[1], self.levels.shape[0])

    @functools.cached_property
    def detection_levels(self) -> NumpyArray:
        """The levels in which people and objects are detected, for large photos the same as those of a preview."""
        if self.preview is not None:
            return self.preview
        every = max(k for k in (1, 2, 4, 8) if k == 1 or max(self.size) // k >= MIN_DETECTION_SIDE)
        return block_means(self.levels, round(every * self.levels.shape[1] / self.size[0]))

    @functools.cached_property
    def small(self) -> NumpyArray:
        """The levels at the size at which masks are drawn for placement."""
        levels = self.detection_levels
        return block_means(levels, round(max(levels.shape) / _PLACEMENT_MASK_SIDE))

    @property
    def factor(self) -> float:
        """The side of the small levels relative to that of the photo."""
        return self.small.shape[1] / self.size[0]

    def session(self, method: str | Method = "auto") -> Session:
        """Returns a segmentation session of the photo."""
        return Session(self.detection_levels, method=method, at=self.size)


class People:
    """The people of the background, detected at their first use.

    `whole` and `size` are the sizes of the background, full and reduced for the search; `factor` is their ratio.
    """

    def __init__(self, background: Photo, method: str | Method, masks: Masks | Sequence[Any] | None) -> None:
        self._background, self._method, self._masks = background, method, masks
        self.whole, self.size = background.size, fitted(background.size, _PLACES)
        self.factor = self.size[0] / self.whole[0]

    @functools.cached_property
    def small(self) -> NumpyArray:
        """The background at the reduced size."""
        return resized(self._background.small, self.size)

    @functools.cached_property
    def crowd(self) -> _PeopleMasks:
        """All people, with those that were added."""
        return self._detect() if self._masks is None else self._from_masks(self._masks)

    def together(self, numbers: Sequence[int]) -> dict[str, Any]:
        """Returns the union of the masks of some people, for the recipe."""
        parts = [self.crowd.masks[i] for i in numbers]
        masks = [part for part in parts if not isinstance(part, Layer)]
        union = np.maximum.reduce(masks) if masks else None
        return of_layers([part for part in parts if isinstance(part, Layer)], self._background.size, union)

    def add(self, mask: NumpyArray, head: Rectangle) -> None:
        """Adds a subject that was placed, so that the next one does not cover it."""
        self.crowd.masks.append(mask)
        self.crowd.reduced.append(resized(mask, self.size))
        self.crowd.heads.append(head)

    def _detect(self) -> _PeopleMasks:
        method, levels = _of_people(self._method), self._background.detection_levels
        if not isinstance(method, str):
            return self._with_others(None)
        crowd = _crowd_of(levels.tobytes(), levels.shape, self._background.size, method)
        return _PeopleMasks([*crowd.masks], [*crowd.reduced], [*crowd.heads], crowd.others, crowd.faces)

    def _with_others(self, detected_people: Masks | None) -> _PeopleMasks:
        """Returns people with a mask, together with the faces and the region of people without one."""
        session = self._background.session(_of_people(self._method))
        masks, every_head = people_in(session, detected_people)
        layers, heads = layers_of(masks), [_rectangle(head) for head in masks.heads]
        # At the resolution at which placements are searched.
        reduced = [rough_mask(layer, masks.size, self.size) for layer in layers]
        faces = faces_of_others(every_head, heads)
        return _PeopleMasks([*layers], reduced, heads, session.other_people(reduced, self.size), faces)

    def _from_masks(self, masks: Masks | Sequence[Any]) -> _PeopleMasks:
        width, height = self._background.size
        if isinstance(masks, Masks) and len(masks.heads) == len(masks) and masks.size == (width, height):
            # People without a mask must not be covered either.
            return self._with_others(masks)
        whole = [mask_levels(masks[i], height, width, f"people[{i}]") for i in range(len(masks))]
        reduced = [resized(mask, self.size) for mask in whole]
        return _PeopleMasks([*whole], reduced, [_head_of(mask) for mask in whole], None)


@dataclass
class _PeopleMasks:
    """The masks and heads of people."""

    masks: list[NumpyArray | Layer]
    reduced: list[NumpyArray]  # the masks [h, w] uint8 at the reduced size
    heads: list[Rectangle]  # the rectangles of their heads in the background
    others: NumpyArray | None  # the mask of people without a mask of their own, [h, w] uint8 at the reduced size
    faces: list[Rectangle] = field(default_factory=list)  # those of their faces in the background

    @property
    def sure(self) -> list[float]:
        """The confidence of each person, 0 to 1."""
        return [part.score if isinstance(part, Layer) else 1.0 for part in self.masks]


@functools.lru_cache(maxsize=2)  # a batch, and a user of the service, compose into one background many times
def _crowd_of(content: bytes, shape: tuple[int, ...], size: tuple[int, int], method: str) -> _PeopleMasks:
    """Returns the people in levels [h, w, 3] of a photo of a size (width, height)."""
    levels = np.frombuffer(content, np.uint8).reshape(shape)
    return People(Photo(levels, levels, None, size, preview=levels), method, None)._with_others(None)


def _rectangle(values: Sequence[float]) -> Rectangle:
    x, y, wide, high = (float(v) for v in values)
    return x, y, wide, high


def _of_people(method: str | Method) -> str | Method:
    """Returns a method that detects people: this one, or the default."""
    cutter = METHODS.get(method) if isinstance(method, str) else method
    return method if cutter is None or cutter.detects_people else "auto"


class CutOut(NamedTuple):
    """A segmented subject."""

    mask: NumpyArray  # [h, w] uint8 of its photo, at the size of `Photo.small` if `layer` is set
    by_alpha: bool  # whether the mask is the photo's alpha
    reason: Reason  # the reason why the mask may not be the intended one, or an empty one
    head: Rectangle | None = None  # the rectangle of its head; None if unknown
    person: bool | None = None  # whether it is a person; None if unknown
    score: float | None = None  # the score of its mask, 0 to 1; None if the caller passed the mask
    #: The layer from which its mask is drawn, at any size; None if the caller passed the mask.
    layer: Layer | None = None
    posture: Posture | None = None  # the rows of a person's feet and seat; None without a pose
    answers: int | None = None  # the number of masks that the prompts may mean; None if the caller passed the mask


#: Hints for a subject that may not be the intended one.
SAY_WHO = Reason("say-who", "pass a point or a box on the person")
_SAY_WHAT = Reason("say-what", "pass a point or a box on the object")


def cut_out(photo: Photo, subject: Subject, method: str | Method, name: Names) -> CutOut:
    """Returns the segmented subject of a photo."""
    width, height = photo.size
    both = {"points": subject.points, "box": subject.box}
    prompts: dict[str, Any] = {key: value for key, value in both.items() if value is not None}
    if subject.box is not None:
        left, top, right, bottom = _checks.checked_box(subject.box, name("box"), photo.size)
        prompts["box"] = left, top, right - left, bottom - top
    if subject.mask is not None and not prompts and subject.beside is None:
        mask = without_faint(mask_levels(subject.mask, height, width, name("mask")), name("mask"))
        if photo.alpha is not None and (mask >= 128).any() and not mask[photo.alpha > 0].any():
            raise MaskError(f"{name('mask')}: empty where the alpha of the photo is above 0, expected them to overlap")
        return CutOut(_nonempty(mask, name("mask")), False, NO_REASON)
    if not prompts and photo.alpha is not None:
        return CutOut(_nonempty(in_levels(photo.alpha), f"{name.owner}mask"), True, NO_REASON)
    if photo.is_opaque and not prompts and subject.mask is None:
        warn_of_opaque(name.photo)
    session = photo.session(method)
    if prompts or subject.mask is not None:
        on, beside = ([] if each is None else clicks_of(each) for each in (subject.points, subject.beside))
        labels = [1] * len(on) + [0] * len(beside)
        try:
            masks = session.segment(
                points=[*on, *beside] or None, labels=labels or None, box=prompts.get("box"), mask=subject.mask
            )
        except PyHarmonyError as error:
            clicks = {f"points[{len(on) + i}]": f"beside[{i}]" for i in range(len(beside))}
            renamed = {**name.plurals, **clicks}.get(error.argument or "")
            raise error.within(name.owner, renamed) from None
        if not len(masks):
            raise ArgumentError.because(f"{name('points')}: ", masks.reason)
        return _cut_by_prompts(photo, session, masks)
    searched = session if session.finds_people else photo.session()
    heads, head = (searched.heads(SURE), searched.foremost()) if searched.finds_people else ((), None)
    if head is not None:
        masks = searched.segment(points=head.clicks(height), box=around_person(head, width, height))
        masks = _alone(photo, searched, masks, head, heads)
        if len(masks):
            text = f"{len(heads)} people were found, a large one apart from others was selected"
            reason = Reason("one-of-several", text) if len(heads) > 1 else NO_REASON
            cut = _cut_from(photo, masks, reason, head.box, True)
            return cut._replace(posture=searched.posture(cut.mask))
    masks = session.segment(points=((width - 1) / 2, (height - 1) / 2))
    if photo.is_opaque and masks.reason.code == "one-colour":  # all of it is the object
        return CutOut(np.full((height, width), 255, np.uint8), False, NO_REASON)
    if not len(masks):
        raise ArgumentError(
            f"{name('points')}: no person was found, and {masks.reason}; expected a point, a box or a mask",
            code="nobody",
        )
    reason = Reason("middle-taken", "no person was found, the object in the middle was selected", hint=_SAY_WHAT)
    return _cut_from(photo, masks, reason)


def _alone(photo: Photo, session: Session, masks: Masks, head: Head, heads: Sequence[Head]) -> Masks:
    """Returns the masks of a person, corrected by a click outside of the object at each other head that it covers.

    Two heads of which one is less than a head below the other are often one: a click would be in the person's face.
    """
    if not len(masks) or len(heads) < 2:
        return masks
    (width, height), small = photo.size, fitted(photo.size, _COMPARED_MASK_SIDE)
    inside = rough_mask(layers_of(masks)[0], photo.size, small) >= 128
    for one in heads:
        x, y = one.middle
        column, row = int((x + 0.5) * small[0] / width), int((y + 0.5) * small[1] / height)
        if not _may_be_one(one, head) and inside[min(row, small[1] - 1), min(column, small[0] - 1)]:
            masks = session.click(x, y, add=False)
    return masks


def _may_be_one(one: Head, other: Head) -> bool:
    """Returns whether the middles of two heads are so near that both may be detections of one head."""
    wide, high = (max(sides) for sides in zip(one.box[2:], other.box[2:], strict=True))
    (x, y), (other_x, other_y) = one.middle, other.middle
    return abs(x - other_x) < _ONE_HEAD_ACROSS * wide and abs(y - other_y) < _ONE_HEAD_DOWN * high


def _cut_from(
    photo: Photo, masks: Masks, reason: Reason, head: Rectangle | None = None, person: bool | None = None
) -> CutOut:
    """Returns the subject by the best mask."""
    layer = quantized(refined_layer(masks))
    mask = layer_mask(photo.small, layer, photo.size)
    return CutOut(mask, False, reason, head, person, layer.score, layer, answers=len(masks))


def _cut_by_prompts(photo: Photo, session: Session, masks: Masks) -> CutOut:
    """Returns the subject by the masks for prompts, with head and posture if it is a person."""
    cut = _cut_from(photo, masks, masks.reason)
    if not session.finds_people:
        return cut
    if not session.shows_people(cut.mask):
        return cut._replace(person=False)
    posture = session.posture(cut.mask)
    head = head_in(session.heads(least_sure(posture is not None)), cut.mask, photo.factor)
    box = _head_by(photo, cut.mask, posture) if head is None else head.box
    return cut._replace(person=True, head=box, posture=posture)


def with_person(photo: Photo, cut: CutOut) -> CutOut:
    """Returns a subject with `person` set, and the head and posture of a person."""
    if cut.person is not None and (cut.head is not None or not cut.person):
        return cut
    session = Session(photo.small)
    mask = resized(cut.mask, (photo.small.shape[1], photo.small.shape[0]))
    if not (cut.person or session.shows_people(mask)):
        return cut._replace(person=False)
    posture = session.posture(mask)
    head = head_in(session.heads(least_sure(posture is not None)), mask) if session.finds_people else None
    posture = None if posture is None else posture.scaled(1 / photo.factor)
    box = _head_by(photo, mask, posture) if head is None else _rectangle([v / photo.factor for v in head.box])
    return cut._replace(person=True, head=box, posture=posture)


def light_between(photo: Photo, cut: CutOut, people: People, heads: Sequence[Rectangle]) -> dict[str, Any] | None:
    """Returns the change of light from the photo of a subject to the background for the recipe; None if there is none.

    heads: those of the background's people.
    """
    own_heads = [cut.head] if cut.person and cut.head is not None else []
    # The colours beside a cut-out are arbitrary.
    own = view_of(photo.pixels, own_heads, photo.size[0], is_scene=photo.alpha is None)
    light = change(own, view_of(people.small, heads, people.whole[0]))
    return None if light is None else light._asdict()


def mask_entry(photo: Photo, cut: CutOut) -> dict[str, Any] | None:
    """Returns the mask of a subject for the recipe; None if it is the photo's alpha."""
    if cut.by_alpha:
        return None
    return encoded(cut.mask) if cut.layer is None else of_layers([cut.layer], photo.size)


def ends(photo: Photo, cut: CutOut) -> dict[str, Any]:
    """Returns the cropped sides of a subject for the recipe.

    `cropped_sides` are these, and `hidden` is whether another object occluded the lower end in its photo.
    """
    factor = cut.mask.shape[1] / photo.size[0]
    head = None if cut.head is None else corners([v * factor for v in cut.head])
    try:
        posture = None if cut.posture is None else cut.posture.scaled(factor)
        subject = subject_of(cut.mask, head, bool(cut.person), None, posture)
    except MaskError:
        # A mask that is empty at this size counts as uncropped.
        return {"cropped_sides": [], "hidden": False}
    return {"cropped_sides": sorted(subject.cut), "hidden": subject.is_hidden}


def pixels_of(photo: Photo, cut: CutOut) -> float:
    """Returns the number of pixels of a photo that a subject covers."""
    return float((cut.mask >= 128).mean()) * photo.size[0] * photo.size[1]


def _nonempty(mask: NumpyArray, name: str) -> NumpyArray:
    if not (mask >= 128).any():
        raise MaskError(f"{name}: empty, expected a pixel of at least one half")
    return mask


def decide(
    photo: Photo, cut: CutOut, subject: Subject, people: People, name: Names, k: int = 1
) -> tuple[list[dict[str, Any]], list[Placement]]:
    """Returns the recipe entries of a subject's best placements, and these placements.

    If the caller passes (x, y), there is one entry, and no placement.
    """
    at = subject.at
    if isinstance(at, Placement):
        return [_place_entry(at, subject, people, name)], [at]
    if isinstance(at, str):
        places = _search_places(photo, cut, subject, people, k)
        return [_place_entry(one, subject, people, name) for one in places], places
    x, y = (float(v) for v in at)
    scale = 1.0 if subject.scale == "auto" else float(subject.scale)
    angle = 0.0 if subject.angle == "auto" else float(subject.angle)
    wide, high = photo.size
    # The middle of the photo, whose first corner is at `at` before the rotation about that middle.
    x, y = x + (wide * scale - 1) / 2, y + (high * scale - 1) / 2
    spot = Placement(x, y, scale, angle, bool(subject.flip), (), 0.0, {}, (0.0, 0.0, 0.0, 0.0), photo.size)
    return [_place_entry(spot, subject, people, name)], []


def _place_entry(spot: Placement, subject: Subject, people: People, name: Names) -> dict[str, Any]:
    """Returns a placement for the recipe, with the mask of the people in front of it."""
    behind = spot.behind if subject.behind == "auto" else subject.behind
    entry: dict[str, Any] = {key: getattr(spot, key) for key in ("x", "y", "scale", "angle", "flip")}
    entry["cover"] = None
    if len(behind):
        count = len(people.crowd.heads)
        if not all(0 <= i < count for i in behind):
            raise ArgumentError(f"{name('behind')}: {behind!r}, expected numbers of the {count} people")
        entry["cover"] = people.together(behind)
    return entry


def _search_places(photo: Photo, cut: CutOut, subject: Subject, people: People, k: int) -> list[Placement]:
    """Returns the best placements, which are searched in reduced images."""
    crowd, factor = people.crowd, people.factor
    own, own_factor = photo.small, photo.factor
    own_mask = resized(cut.mask, (own.shape[1], own.shape[0]))
    boxes = [(x * factor, y * factor, wide * factor, high * factor) for x, y, wide, high in crowd.heads]
    heads = [Head(box, box, sure) for box, sure in zip(boxes, crowd.sure, strict=True)]
    arguments: dict[str, Any] = {"people": crowd.reduced, "heads": heads, "other_people": crowd.others}
    arguments["faces"] = [tuple(v * factor for v in face) for face in crowd.faces]
    arguments |= {"angle": None if subject.angle == "auto" else subject.angle, "flip": subject.flip}
    if subject.scale != "auto":
        arguments["scale"] = float(subject.scale) * factor / own_factor
    if cut.head is not None:
        arguments["head"] = tuple(v * own_factor for v in cut.head)
    if cut.posture is not None:
        arguments["posture"] = cut.posture.scaled(own_factor)
    arguments |= {"person": cut.person, "max_scale": enlarged_at_most(people.whole) * factor / own_factor}
    back, own_back = 1 / factor, 1 / own_factor
    # Centres of pixels have whole coordinates, corners are half a pixel away.
    return [
        Placement(
            (one.x + 0.5) * back - 0.5, (one.y + 0.5) * back - 0.5, one.scale * back / own_back, one.angle, one.flip,
            one.behind, one.score, one.terms, _rectangle([v * back for v in one.box]), photo.size, one.reason,
            one.usable, one.doubts,
        )
        for one in place(own, people.small, mask=own_mask, k=k, **arguments)
    ]  # fmt: skip


def _head_by(photo: Photo, mask: NumpyArray, posture: Posture | None) -> Rectangle:
    """Returns the rectangle of a person's head by the posture, or by the silhouette in a reduced mask."""
    factor = mask.shape[1] / photo.size[0]
    if posture is not None and head_in([Head(posture.head, posture.head, 1.0)], mask, factor) is not None:
        return posture.head
    return _rectangle([v / factor for v in _head_of(mask)])


def _head_of(mask: NumpyArray) -> Rectangle:
    height, width = mask.shape
    small = resized(mask, fitted((width, height), _HEAD_SIDE))
    return _rectangle(rectangle_of(head_of(Layer((0, 0, width, height), shares_of(small), 1.0))))


def enlarged(scale: float, pixels: float) -> int:
    """Returns the factor of super-resolution of a subject before it is drawn at a scale; 0: none.

    pixels: the number of its photo's pixels that it covers. By 4 takes five times as long as by 2.
    """
    if scale <= ENLARGED:
        return 0
    return 2 if scale <= _MAX_SCALE_OF_TWO or pixels > _MAX_PIXELS_OF_FOUR else 4


def nearest_heads(heads: Sequence[Rectangle], x: float, y: float) -> list[list[float]]:
    """Returns the rectangles of the heads that are nearest to a place."""
    ranked = sorted(heads, key=lambda head: math.hypot(head[0] + head[2] / 2 - x, head[1] + head[3] / 2 - y))
    return [[float(v) for v in head] for head in ranked[:_REFERENCE_HEADS]]


def unlike_others(cut: CutOut, entry: Mapping[str, Any], heads: Sequence[Rectangle]) -> Reason:
    """Returns the reason for a person who is much smaller or larger than the nearest ones; else an empty one.

    A person nearer to the camera has a larger head on the line of the others' heads.
    """
    if not cut.person or cut.head is None or not heads:
        return NO_REASON
    near = nearest_heads(heads, entry["x"], entry["y"])
    times = cut.head[3] * entry["scale"] / float(np.mean([head[3] for head in near]))
    if times > _MAX_HEAD_RATIO:
        left, top, wide, high = cut.head
        matrix = matrix_of(entry["size"], *(entry[name] for name in ("x", "y", "scale", "angle", "flip")))
        row = float(matrix[1] @ (left + wide / 2, top + high / 2, 1.0))
        line = float(np.median([head[1] + head[3] / 2 for head in heads]))
        if abs(row - line) <= high * entry["scale"]:
            return NO_REASON
    if 1 / _MAX_HEAD_RATIO <= times <= _MAX_HEAD_RATIO:
        return NO_REASON
    return Reason("head-unlike", f"the head is {times:.2g} times as high as the nearest ones")


def facts_of(cut: CutOut, place: dict[str, float]) -> dict[str, float]:
    """Returns the facts about a subject and its place, for the verdict; without those of a mask that was passed."""
    facts = pose_facts(cut.posture)
    if cut.layer is not None and cut.answers:
        facts |= mask_facts(cut.layer.values, cut.answers)
    return facts | place


def is_cut_below(entry: Mapping[str, Any]) -> bool:
    """Returns whether the lower side of a subject in the background was cropped in its own photo, or occluded there."""
    # After a rotation clockwise by a quarter turn, the right side is the lower one.
    below = ("bottom", "right", "top", "left")[round(float(entry["angle"]) / 90) % 4]
    if entry["flip"] and below in ("left", "right"):
        below = "right" if below == "left" else "left"
    return below in entry["cropped_sides"]


def lower_end(cut: CutOut, entry: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    """Returns the place of the lower end of a subject, in sides of the background of a size."""
    box, factor = bounding_box(cut.mask >= 128), entry["size"][0] / cut.mask.shape[1]
    matrix = matrix_of(entry["size"], *(entry[name] for name in ("x", "y", "scale", "angle", "flip")))
    end = factor * (box.x0 + box.x1) / 2, factor * box.y1
    if entry["warp"] is not None:
        end = mapped(homography(entry["warp"], entry["size"]), [end])[0]
    x, y = matrix @ (*end, 1.0) / size
    return (0.5, 1.0) if box.empty else (float(x), float(y))


def base_is_seen(alpha: NumpyArray, front_mask: NumpyArray | None, bottom: int, height: int) -> bool:
    """Returns whether the ground below an object that was not cropped is visible.

    alpha, front_mask: [h, w] uint8, the object over its rectangle of the background, and people in front of it.
    bottom: the row of the background below the rectangle.
    """
    box = bounding_box(alpha >= 128)
    if box.empty or bottom - (len(alpha) - box.y1) >= height:
        return False
    depth = max(2, round(_BASE * box.shape[0]))
    if front_mask is None:
        return True
    low = alpha[box.y1 - depth : box.y1] >= 128
    visible = front_mask[box.y1 - depth : box.y1] < 128
    return bool((low & visible).sum() >= _BASE_SEEN * low.sum())


def mask_in_background(entry: dict[str, Any], mask: NumpyArray, size: tuple[int, int]) -> tuple[NumpyArray, Rectangle]:
    """Returns the mask [H, W] uint8 of a subject in the background of a size, and the rectangle of its head.

    The mask may be smaller than the photo. The result is for the placement of later subjects, not for drawing.
    """
    from PIL import Image

    scale = entry["scale"] * entry["size"][0] / mask.shape[1]
    matrix = matrix_of(mask.shape[::-1], entry["x"], entry["y"], scale, entry["angle"], entry["flip"])
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    # Pillow's coordinates start at corners, those of the matrices at centres of pixels.
    shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    back = np.linalg.inv(shift) @ inverse @ shift
    way, numbers = Image.Transform.AFFINE, back[:2].ravel()
    if entry["warp"] is not None:
        back = np.linalg.inv(homography(entry["warp"], mask.shape[::-1])) @ back
        way, numbers = Image.Transform.PERSPECTIVE, back.ravel()[:8] / back[2, 2]
    image = Image.fromarray(np.ascontiguousarray(mask))
    placed_mask = np.asarray(image.transform(size, way, tuple(numbers), Image.Resampling.BILINEAR))
    head = _head_of(placed_mask) if (placed_mask > 127).any() else (0.0, 0.0, 1.0, 1.0)
    return placed_mask, head
