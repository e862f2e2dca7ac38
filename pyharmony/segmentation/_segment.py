"""Segmentation by prompts: one call, and a session that refines its mask click by click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _shipped
from .._arrays import Box, Pixels, Rectangle
from .._images.levels import image_levels, mask_levels
from .._images.threads import in_threads
from .._public import former_field
from ..errors import NO_REASON, ArgumentError, Reason, WeightsError
from ..typing import ImageLike, MaskLike
from ._closer import closer
from ._edges import Copies, contrast
from ._methods import DEFAULT, Method, method_of
from ._network import COUNT, NetworkCutter, Prompts, distinct
from ._postures import Posture, posture_of, shows_people
from ._prompts import Point, along, nonempty, point_in, prompts_of, reduced_prompts, size_within, tolerance_of
from ._shapes import alone, combined, default_tolerance, has_no_effect, layer_of, shape_of, within
from .heads import FAINT, Head, rectangle_of
from .layers import Layer, box_of, by_scores
from .masks import Masks, Parts
from .people import (
    RATED,
    apart_from_torsos,
    as_far_as_pose,
    foremost,
    heads_of_people,
    other_people,
    people_of,
    plainly_there,
    posed,
    wearer,
    whole_first,
)
from .scores import Weights, expected, facts_of, surely_best_first

#: A mask whose score is below this is a guess.
GUESSED = 0.5
#: The least score with which the mask of a person whose part was clicked comes first.
_WEARER = 0.4
#: By how much a score is above that of a person's mask, which comes first otherwise: on val 0.2 moves the mean IoU of
#: 59 drawn masks from 0.705 to 0.730 and none of 92 others; less of a margin costs these 0.004.
_SURER = 0.2
_ONE_COLOUR = Reason("one-colour", "the image has one colour, nothing in it can be segmented")
_NOTHING_LEFT = Reason("nothing-left", "nothing of the mask is left")
_NO_EFFECT = Reason(
    "no-effect", "the last click changed nothing", hint="draw a lasso around the part, or click in its middle"
)
_GUESS = Reason("guess", "nothing there is distinct, the mask is a guess", hint="add clicks or a box")
#: The least colour difference across the contour of a mask that is not a guess, in levels: the contours of the objects
#: on which weights are validated have 14 at least, many in skies and meadows less.
_MIN_CONTRAST_LEVELS = 10.0


class _Step(NamedTuple):
    """A step of a session: all prompts, and the resulting masks, as layers of the reduced image and as `Masks`."""

    prompts: Prompts
    layers: Sequence[Layer]
    masks: Masks
    parts: Parts = ()  # those since the last other prompt; the layers contain them, too
    drawn: Sequence[Layer] = ()  # the layers before those parts, if there are any
    chosen: bool = False  # whether the user has chosen the first of the masks


class Session:
    """An image that is segmented by several prompts; every mask is computed from the one before.

    Args:
        image: the image, see `segment`.
        method: see `segment`.
        at: the size (width, height) of a larger image of which image is a reduced copy. Image is segmented, which is
            quicker; prompts and results are in pixels of the larger one, and masks have its size. Coordinates that may
            be fractions there, as in `Masks.heads`, are not rounded.

    Example:
        >>> from pyharmony import segmentation
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> image[20:40, 30:50] = 200
        >>> session = segmentation.Session(image)
        >>> session.click(40, 30).mask.shape
        (60, 80)
        >>> session.click(5, 5, add=False).mask.dtype
        dtype('uint8')
        >>> segmentation.Session(image, at=(320, 240)).click(160, 120).mask.shape
        (240, 320)

    Raises:
        ArgumentError: there is no such method, or `at` is smaller than image.
    """

    def __init__(self, image: ImageLike, *, method: str | Method = "auto", at: tuple[int, int] | None = None) -> None:
        cutter = method_of(method)
        self.picture, self.method, self._scored = image_levels(image), cutter.name, cutter.scored
        self._copies = Copies(self.picture)
        own = self.picture.shape[1], self.picture.shape[0]
        self.size = own if at is None else _size_at_least(at, own)
        # The sides of the reduced image relative to those of the full one; None if it is not reduced.
        self._scale = None if self.size == own else (own[0] / self.size[0], own[1] / self.size[1])
        self._cutter = cutter.opened(self.picture)
        self._steps: list[_Step] = []

    def __repr__(self) -> str:
        width, height = self.size
        return f"Session({width}x{height}, {self.method}, {len(self._steps)} answers)"

    @_checks.kinds
    def click(self, x: float, y: float, *, add: bool = True) -> Masks:
        """Returns the masks after one more click: on the object, or, with add=False, outside of it.

        Raises:
            ArgumentError: the click is outside of the image, or there is no prompt on the object.
        """
        return self._more([point_in((x, y), "click", self.size)], add)

    @_checks.kinds
    def scribble(self, line: Sequence[Point], *, add: bool = True) -> Masks:
        """Returns the masks after a line (x, y), (x, y), … drawn on the object, or, with add=False, outside of it.

        Raises:
            ArgumentError: the line has no point, a point of it is outside of the image, or there is no prompt on the
                object.
        """
        return self._more(along(line, "line", self.size), add)

    @_checks.kinds
    def lasso(self, lasso: Sequence[Point], *, add: bool = True, tolerance: float | None = None) -> Masks:
        """Returns the masks after a rough outline of the object, or of a part to add or, with add=False, to remove.

        The method's mask counts near the outline only: thin parts, and objects on which clicks fail, can be drawn.

        Args:
            lasso: the corners (x, y), (x, y), … of the outline, which is closed.
            add: whether it surrounds the object or a part of it; False: what is not part of it.
            tolerance: the largest distance of the contour from the outline, in pixels; None: a share of its size. 0:
                as drawn.

        Raises:
            ArgumentError: lasso has fewer than three points, encloses nothing, or has a point outside of the image;
                tolerance is not a number from 0; add is False, and there is no object yet.

        Example:
            >>> from pyharmony import segmentation
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> session = segmentation.Session(image)
            >>> session.lasso([(28, 18), (51, 19), (52, 42), (29, 41)], tolerance=4).mask.shape
            (60, 80)
        """
        shape, distance = shape_of(lasso, "lasso", self.size), tolerance_of(tolerance)
        return self._combined(shape, default_tolerance(shape) if distance is None else distance, "lasso", add)

    @_checks.kinds
    def combine(self, mask: MaskLike, *, add: bool = True) -> Masks:
        """Returns the masks after the sum with another mask, or, with add=False, the difference.

        Args:
            mask: of the image's size, see `segment`; such as that of another object, or a part.
            add: whether to add its pixels; False: to remove them.

        Raises:
            ArgumentError: the mask is empty; add is False, and there is no object yet.
            ShapeError, DTypeError, MaskError: see `segment`.

        Example:
            >>> from pyharmony import segmentation
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> session = segmentation.Session(image)
            >>> before = session.click(40, 30).mask
            >>> bool(session.combine(np.eye(60, 80, dtype=bool)).mask[2, 2] > before[2, 2])
            True
        """
        return self._combined(mask_levels(mask, self.size[1], self.size[0]), 0.0, "mask", add)

    def segment(
        self,
        *,
        points: Point | Sequence[Point] | None = None,
        labels: Sequence[int | bool] | None = None,
        box: Box | None = None,
        scribble: Sequence[Point] | None = None,
        mask: MaskLike | None = None,
        tolerance: float | None = None,
    ) -> Masks:
        """Discards all prompts, and returns the masks for new ones; see the function `segment`."""
        prompts = prompts_of(self.size, points, labels, box, scribble, mask, tolerance)
        self._steps.clear()
        return self._answer(self._reduced(prompts), alone(prompts.mask) if prompts.tolerance == 0 else ())

    @_checks.kinds
    def choose(self, index: int) -> Masks:
        """Selects another one of the last masks as the best: further clicks correct it.

        Raises:
            ArgumentError: there is no such mask.
        """
        count = len(self._steps[-1].layers) if self._steps else 0
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < count:
            raise ArgumentError(f"index: {index!r}, the last answer has {count} masks; expected 0 to {count - 1}")
        prompts, before, masks, parts, drawn, _ = self._steps[-1]
        order = sorted(range(len(before)), key=lambda i: i != index)
        layers, drawn = [before[i] for i in order], [drawn[i] for i in order if drawn]
        masks = self._masks(layers, masks.reason, prompts=prompts, parts=parts, drawn=drawn)
        self._steps[-1] = _Step(prompts, layers, masks, parts, drawn, chosen=True)
        return masks

    def undo(self) -> Masks | None:
        """Undoes the last step, and returns the masks before it; None if there are none."""
        if self._steps:
            self._steps.pop()
        return self._steps[-1].masks if self._steps else None

    def heads(self, least: float = FAINT) -> tuple[Head, ...]:
        """Returns the detected heads of people, the most confident first: more than those of people with a mask.

        Args:
            least: the least confidence, 0.15 to 1; `people` uses heads of at least 0.42.

        Raises:
            ArgumentError: the method does not detect people, or least is not a number from 0.15 to 1.

        Example:
            >>> from pyharmony import segmentation
            >>> segmentation.Session(np.zeros((60, 80, 3), np.uint8)).heads()
            ()
        """
        cutter = self._of_people(True)
        if isinstance(least, bool) or not isinstance(least, (int, float)) or not FAINT <= least <= 1:
            raise ArgumentError(f"least: {least!r}, expected a number from {FAINT:g} to 1")
        heads = [] if _of_one_colour(self.picture) else apart_from_torsos(cutter)
        return tuple(self._head_at_size(head) for head in heads if head.sure >= least)

    def foremost(self) -> Head | None:
        """Returns the head of a large, sharp, whole person apart from others, the default subject without a prompt.

        Returns:
            One of `heads` of at least 0.42, or the head of a person detected by a pose or the people map alone; None
            if no person was detected.

        Raises:
            ArgumentError: the method does not detect people.

        Example:
            >>> from pyharmony import segmentation
            >>> segmentation.Session(np.zeros((60, 80, 3), np.uint8)).foremost() is None
            True
        """
        cutter = self._of_people(True)
        if _of_one_colour(self.picture):
            return None
        heads = heads_of_people(cutter)
        head = as_far_as_pose(cutter, foremost(cutter, heads)) if heads else plainly_there(cutter)
        return None if head is None else self._head_at_size(head)

    def people(self) -> Masks:
        """Returns a mask of each person, the largest first; further clicks correct the masks from before this call.

        Raises:
            ArgumentError: the method does not detect people.
        """
        cutter = self._of_people(True)
        people = [] if _of_one_colour(self.picture) else people_of(cutter)
        heads = tuple(rectangle_of(person.head) for person in people)
        reason = NO_REASON if people else Reason("nobody", "no person was found")
        return self._masks([person.layer for person in people], reason, heads)

    @_checks.kinds
    def other_people(self, masks: Sequence[MaskLike], size: tuple[int, int]) -> Pixels:
        """Returns the region of people without a mask, since not all are detected individually.

        Args:
            masks: the masks of the detected people, [h, w] uint8 each, as returned by `Masks.reduced`.
            size: (w, h), at most that of the image.

        Returns:
            A mask [h, w] uint8, 0 or 255.

        Raises:
            ArgumentError: the method has no people map, or the size is not valid.
            ShapeError: a mask has another size.

        Example:
            >>> from pyharmony import segmentation
            >>> session = segmentation.Session(np.zeros((60, 80, 3), np.uint8))
            >>> session.other_people(session.people().reduced((40, 30)), (40, 30)).shape
            (30, 40)
        """
        cutter, size = self._of_people(), size_within(size, self.size)
        if _of_one_colour(self.picture):
            return np.zeros(size[::-1], np.uint8)
        masks = _checks.several(masks, "masks", "a list of masks")
        return other_people(cutter, [mask_levels(mask, size[1], size[0]) for mask in masks], size)

    others = former_field("others", "other_people")

    def shows_people(self, mask: MaskLike) -> bool:
        """Returns whether a mask covers mostly people; see `segment` for masks.

        Args:
            mask: of the image's size, or an array of the whole image at a smaller size.

        Raises:
            ArgumentError: the method has no people map.
        """
        return shows_people(self._of_people(), self._mask(mask))

    def standable(self) -> float:
        """Returns the likelihood that people could stand in the scene of the image, 0 to 1.

        It is low for close-ups, such as of flowers or objects on a desk, for the sky, and under water. It is 1 if it
        cannot be estimated: for an image of one colour, and by weights without that part.

        Raises:
            ArgumentError: the method has no people map.

        Example:
            >>> from pyharmony import segmentation
            >>> segmentation.Session(np.zeros((60, 80, 3), np.uint8)).standable()
            1.0
        """
        cutter = self._of_people()
        return 1.0 if _of_one_colour(self.picture) else cutter.standable()

    def posture(self, mask: MaskLike) -> Posture | None:
        """Returns the rows of the feet and the seat of the person under a mask, by the pose networks.

        Args:
            mask: of the image's size, or an array of the whole image at a smaller size.

        Returns:
            The posture in pixels of the image; None if no pose fits the mask, or the method has no poses or no people
            map.

        Raises:
            ShapeError, DTypeError: the mask has another size or dtype.
            MaskError: the mask has values outside of its range.

        Example:
            >>> from pyharmony import segmentation
            >>> session = segmentation.Session(np.zeros((60, 80, 3), np.uint8))
            >>> session.posture(np.ones((60, 80), bool)) is None
            True
        """
        levels = self._mask(mask)
        if not isinstance(self._cutter, NetworkCutter) or _of_one_colour(self.picture):
            return None
        posture = posture_of(self._cutter, levels)
        return posture if posture is None or self._scale is None else posture.scaled(1 / self._scale[1])

    def _mask(self, mask: MaskLike) -> Pixels:
        """Returns a mask of the image's size, or of a smaller one, as levels."""
        width, height = self.size
        if isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.size:
            height, width = min(height, mask.shape[0]), min(width, mask.shape[1])
        return mask_levels(mask, height, width)

    @property
    def finds_people(self) -> bool:
        """Whether the method detects people, as `people` and `heads` require."""
        return isinstance(self._cutter, NetworkCutter) and bool(self._cutter.network.finder)

    def _of_people(self, by_heads: bool = False) -> NetworkCutter:
        """Returns the network if it has a people map, and, if by_heads, a head detector."""
        if by_heads and not self.finds_people and (why := _shipped.why_left_out(DEFAULT)):
            raise WeightsError(f"people are detected by the weights {DEFAULT}: {why}")
        if not isinstance(self._cutter, NetworkCutter) or (by_heads and not self.finds_people):
            raise ArgumentError(f"method: {self.method!r} does not detect people, expected 'auto'")
        return self._cutter

    def _more(self, points: Sequence[Point], add: bool) -> Masks:
        before = self._steps[-1].prompts if self._steps else Prompts()
        labels = [*before.labels, *[int(bool(add))] * len(points)]
        since = len(before.points) if self._steps else 0
        points = self._reduced(Prompts(points)).points
        prompts = before._replace(points=[*before.points, *points], labels=labels, since=since)
        if not prompts.marks_object:
            raise ArgumentError("click: outside of the object, expected a click on the object first")
        return self._answer(prompts)

    def _combined(self, shape: Pixels, tolerance: float, name: str, add: bool) -> Masks:
        """Returns the sum of the mask and the object in a shape [H, W], or the difference; the object, without a mask.

        name: the argument that contains the shape.
        """
        part = self._reduced(Prompts(mask=nonempty(shape, name), tolerance=tolerance))
        last = self._steps[-1] if self._steps else None
        if last is None or not last.layers:
            if not add:
                raise ArgumentError(f"{name}: removed, and there is no mask; expected a prompt on the object first")
            return self._answer(part, () if tolerance else alone(shape))
        # An exact sum changes no pixel elsewhere: the masks are drawn as before it.
        parts, before = ((), last.layers[:1]) if tolerance else ((*last.parts, (shape, add)), last.layers)
        pieces = self._cut(part, ())[:1]
        both = [(combined(layer, *pieces, add=add) if pieces else layer, i) for i, layer in enumerate(before)]
        both = [(layer, i) for layer, i in both if box_of(layer) is not None]
        layers, drawn = [layer for layer, _ in both], [(last.drawn or before)[i] for _, i in both if parts]
        # A box would limit further corrections; without a mask all begins anew.
        prompts = last.prompts._replace(box=None, since=len(last.prompts.points)) if layers else Prompts()
        reason = (NO_REASON if pieces else reason_of(pieces)) if layers else _NOTHING_LEFT
        masks = self._masks(layers, reason, prompts=prompts, parts=parts, drawn=drawn)
        self._steps.append(_Step(prompts, layers, masks, parts, drawn))
        return masks

    def _cut(self, prompts: Prompts, last: Sequence[Layer]) -> list[Layer]:
        """Returns the masks for prompts, the best first, within their tolerance of a coarse mask.

        last: the masks that the prompts correct; none for new prompts.
        """
        if prompts.mask is None or prompts.tolerance is None or last:
            return self._cutter.cut(prompts, last[0] if last else None)
        shape = layer_of(prompts.mask, 1.0)
        if not prompts.tolerance or _of_one_colour(self.picture):
            return [shape]
        return distinct([within(layer, shape, prompts.tolerance) for layer in self._cutter.cut(prompts)])

    def _answer(self, prompts: Prompts, parts: Parts = ()) -> Masks:
        """Returns the masks for prompts and the last step, with parts of the image's size."""
        last = self._steps[-1].layers if self._steps else ()
        layers: list[Layer] = []
        if _of_one_colour(self.picture) and prompts.tolerance is None:
            masks = self._masks(layers, _ONE_COLOUR)
        else:
            layers = [layer for layer in self._cut(prompts, last) if box_of(layer) is not None]
            # The user has seen the mask before a further click.
            is_new = bool(layers) and not last and prompts.tolerance is None
            is_flat = is_new and contrast(self._copies, layers[0]) < _MIN_CONTRAST_LEVELS
            if layers and not last and self.finds_people and (prompts.one_click or prompts.in_box):
                layers = self._of_somebody(layers, prompts)
            elif self._scored is not None:
                layers = self._rated(self._scored, layers, prompts)
                others: list[Layer] = []
                if last and self._only_clicked(prompts):
                    anew = [*last[1:], *(layer for layer in self._cutter.cut(prompts) if box_of(layer) is not None)]
                    others = self._rated(self._scored, anew, prompts)
                ranked = surely_best_first(layers, prompts, others, last[0]) if last else by_scores(layers)
                layers = distinct(ranked)
            reason = _GUESS if is_flat else reason_of(layers)
            new = slice(prompts.since, None)
            if last and layers and has_no_effect(last[0], layers[0], prompts.points[new], prompts.labels[new]):
                reason = _NO_EFFECT
            masks = self._masks(layers, reason, prompts=prompts, parts=parts)
        self._steps.append(_Step(prompts, layers, masks, parts))
        return masks

    def _only_clicked(self, prompts: Prompts) -> bool:
        """Returns whether each step was one click, of whose masks the user has chosen none, and so are the prompts."""
        if not self._steps or prompts.mask is not None or prompts.box is not None:
            return False
        untouched = not any(step.chosen or step.parts for step in self._steps)
        return untouched and len(prompts.points) == len(self._steps) + 1

    def _of_somebody(self, layers: Sequence[Layer], prompts: Prompts) -> list[Layer]:
        """Returns the first masks for prompts on a person, preceded by the likely mask of all of that person."""
        cutter, one_click = self._of_people(), prompts.one_click
        before = whole_first(cutter, layers) if one_click else [*layers]
        better = posed(cutter, before, prompts)
        if self._scored is None:
            return better
        rated = self._rated(self._scored, better, prompts)
        # In a box the network's first mask is the person.
        if not one_click or better[0] is not before[0]:
            rated = [rated[0], *by_scores(rated[1:])]
        else:
            rated = whole_first(cutter, by_scores(rated), RATED)
            whole = wearer(cutter, rated[0], prompts.points[0])
            if whole is not None:
                score = self._rated(self._scored, [whole, *better], prompts)[0].score
                rated = [whole._replace(score=score), *rated][:COUNT] if score >= _WEARER else rated
        if not one_click:
            return rated
        surest = max(rated, key=lambda layer: layer.score)
        # An object that the person holds or eats comes first if it is far likelier and not a guess.
        return by_scores(rated) if surest.score > max(rated[0].score + _SURER, GUESSED) else rated

    def _rated(self, weights: Weights, layers: Sequence[Layer], prompts: Prompts) -> list[Layer]:
        """Returns masks with their expected intersection over union as their scores."""
        facts = in_threads(lambda i: facts_of(self._copies, layers, i, prompts), range(len(layers)))
        return [layer._replace(score=expected(one, weights)) for layer, one in zip(layers, facts, strict=True)]

    def _masks(
        self, layers: Sequence[Layer], reason: Reason, heads: tuple[Box, ...] = (), prompts: Prompts | None = None,
        parts: Parts = (), drawn: Sequence[Layer] = (),
    ) -> Masks:  # fmt: skip
        cutter = self._cutter

        def refined(index: int) -> Layer:
            return self._layer_at_size(closer(cutter, (drawn or layers)[index], prompts or Prompts()))

        at_size = tuple(self._layer_at_size(layer) for layer in layers)
        boxes = tuple(rectangle_of(box_of(layer) or layer.box) for layer in at_size)
        scores, head_boxes = tuple(layer.score for layer in layers), tuple(self._at_size(head) for head in heads)
        refine = refined if isinstance(cutter, NetworkCutter) else None
        return Masks(
            scores, boxes, head_boxes, self.method, reason, self.picture, at_size, self.size, refine,
            _copies=self._copies, _parts=parts, _drawn=tuple(self._layer_at_size(layer) for layer in drawn),
        )  # fmt: skip

    def _reduced(self, prompts: Prompts) -> Prompts:
        """Returns prompts in pixels of the reduced image."""
        if self._scale is None:
            return prompts
        return reduced_prompts(prompts, self.size, (self.picture.shape[1], self.picture.shape[0]))

    def _at_size(self, rectangle: Rectangle) -> Rectangle:
        """Returns four numbers x, y, width, height of the reduced image in pixels of the full one."""
        if self._scale is None:
            return rectangle
        (x, y, wide, high), (across, down) = rectangle, self._scale
        return x / across, y / down, wide / across, high / down

    def _head_at_size(self, head: Head) -> Head:
        """Returns a head in pixels of the full image."""
        return head._replace(box=self._at_size(head.box), body=self._at_size(head.body))

    def _layer_at_size(self, layer: Layer) -> Layer:
        """Returns a layer in whole pixels of the full image."""
        if self._scale is None:
            return layer
        left, top, right, bottom = (round(v) for v in self._at_size(layer.box))
        return layer._replace(box=(left, top, right, bottom))


def segment(
    image: ImageLike,
    *,
    points: Point | Sequence[Point] | None = None,
    labels: Sequence[int | bool] | None = None,
    box: Box | None = None,
    scribble: Sequence[Point] | None = None,
    lasso: Sequence[Point] | None = None,
    mask: MaskLike | None = None,
    tolerance: float | None = None,
    include: MaskLike | Sequence[MaskLike] | None = None,
    exclude: MaskLike | Sequence[MaskLike] | None = None,
    all_people: bool = False,
    method: str | Method = "auto",
) -> Masks:
    """Segments an object by prompts, or all people.

    Args:
        image: an image of any kind: NumPy [H, W] or [H, W, C], torch [C, H, W] on the CPU, uint8, uint16 or floats with
            1.0 for white; or a path, the bytes of a file, an open binary file, a PIL image or a
            `pyharmony.io.Picture`, which is converted to sRGB. Alpha is ignored.
        points: one click on the object, (x, y) in pixels, or several [(x, y), …]; the middle of the first pixel is
            (0, 0). With `labels`, some of them are outside of the object.
        labels: for each of the points 1 on the object and 0 outside of it; None: all are on it.
        box: a rectangle (x, y, width, height) around the object.
        scribble: a line on the object, [(x, y), …].
        lasso: a rough outline of the object, [(x, y), …], which is closed; with other prompts, of a part to add.
        mask: a coarse mask of the object, which is refined, of any kind; as an array [H, W], bool, uint8 or uint16
            scaled by its range, or floats in [0, 1].
        tolerance: the largest distance of the contour from that of mask or lasso, in pixels; 0: as it is. None: any
            distance from the mask, and a share of its size from the lasso.
        include, exclude: a mask, or several, whose pixels are added to the result, or removed from it.
        all_people: whether to segment all people instead, one by one. Not all are detected, see docs/segment.md.
        method: 'auto', the name of another of `METHODS`, or a method from your own networks, by `sam` or `salient`.

    Returns:
        Up to three masks, since one click may mean a part or the whole, the best first; after one click on a person
        the first is the likely mask of the whole person. With `all_people`, a mask of each person. If nothing is found,
        there are no masks, `mask` is empty and `reason` contains the cause; `reason` is set, too, if the mask is a
        guess because the click is on nothing distinct, such as the sky.

    Raises:
        ArgumentError: there are no prompts, or prompts together with `all_people`; a click or the box is outside of
            the image; there is no such method.
        ShapeError, DTypeError: an argument has a shape or dtype that is not accepted.
        MaskError: the coarse mask has values outside of its range.
        DecodeError: a file is not an image.
        WeightsError: the weights are missing or damaged.
        ImportError: the method needs a package that is not installed.

    Example:
        >>> import pyharmony
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> image[20:40, 30:50] = 200
        >>> found = pyharmony.segment(image, points=(40, 30))
        >>> found.mask.shape, found.mask[0, 0]
        ((60, 80), np.uint8(0))
    """
    _checks.flags(all_people=all_people)
    session = Session(image, method=method)
    prompts: dict[str, Any] = {"points": points, "labels": labels, "box": box, "scribble": scribble, "mask": mask}
    parts: list[tuple[str, Any]] = [
        (name, part)
        for name, several in (("include", include), ("exclude", exclude))
        for part in (several if isinstance(several, (list, tuple)) else [] if several is None else [several])
    ]
    if all_people:
        if any(x is not None for x in (*prompts.values(), lasso, tolerance)) or parts:
            raise ArgumentError("all_people: True together with prompts, expected one of both")
        return session.people()
    if lasso is None or any(x is not None for x in prompts.values()):
        masks = session.segment(**prompts, tolerance=tolerance if lasso is None or mask is not None else None)
    if lasso is not None:
        masks = session.lasso(lasso, tolerance=tolerance)
    for name, part in parts:
        levels = mask_levels(part, session.size[1], session.size[0], name)
        masks = session._combined(levels, 0.0, name, add=name == "include")
    return masks


def reason_of(layers: Sequence[Layer]) -> Reason:
    """Returns the reason for missing masks, or for masks that are a guess."""
    if not layers:
        return Reason("nothing-there", "no object was found there")
    # After a click on a face only the extent is uncertain: the score of the part is high, that of the person is not.
    return _GUESS if max(layer.score for layer in layers) < GUESSED else NO_REASON


def _size_at_least(size: Any, least: tuple[int, int]) -> tuple[int, int]:
    """Returns the size of an image of which another one is a reduced copy, after checks."""
    accepts = f"expected (width, height) of at least {least}, the size of image"
    across, down = _checks.two_numbers(size, "at", accepts)
    for side, shortest in ((across, least[0]), (down, least[1])):
        if not shortest <= side < 1 << 31 or int(side) != side:
            raise ArgumentError(f"at: {size!r}, {accepts}")
    return int(across), int(down)


def _of_one_colour(picture: Pixels) -> bool:
    first = picture[0, 0]
    return bool((picture[::64, ::64] == first).all()) and bool((picture == first).all())
