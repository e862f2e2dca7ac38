"""Cutting out by pointing: one call, and a session that goes on click by click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks
from .._images.levels import image_levels, mask_levels
from .._images.threads import in_threads
from ..errors import NO_REASON, ArgumentError, Reason
from ..typing import ImageLike, MaskLike
from ._closer import closer
from ._edges import contrast
from ._methods import Method, method_of
from ._network import COUNT, NetworkCutter, Prompts
from ._postures import Posture, posture_of, shows_people
from ._prompts import Point, along, point_in, prompts_of, reduced_prompts, size_within
from .heads import FAINT, Head
from .layers import Layer, Pixels, box_of, by_scores
from .masks import Masks
from .people import (
    RATED,
    apart_from_torsos,
    as_far_as_pose,
    foremost,
    heads_of_people,
    others,
    people_of,
    plainly_there,
    posed,
    wearer,
    whole_first,
)
from .scores import Weights, expected, facts_of, surely_best_first

Rectangle = tuple[int, int, int, int]
Quadruple = tuple[float, float, float, float]

#: A mask whose score is below this is a guess.
GUESSED = 0.5
#: Of somebody of whom a part was clicked the mask comes first from this score on.
_WEARER = 0.4
_ONE_COLOUR = Reason("one-colour", "the picture has one colour, nothing in it can be told apart")
_GUESS = Reason("guess", "nothing there stands out, the mask is a guess", hint="more clicks or a box say what is meant")
#: Colours that differ by fewer levels across the contour of a mask are those of one thing: contours of the objects by
#: which weights are chosen have 14 at least, in skies and meadows many have fewer.
_FLAT = 10.0


class _Step(NamedTuple):
    """A step of a session: all that is pointed at, and the answer, in layers of the reduced image and as masks."""

    prompts: Prompts
    layers: Sequence[Layer]
    masks: Masks


class Session:
    """A picture that is pointed at again and again; every answer starts from the one before.

    Args:
        image: the picture, see `segment`.
        method: see `segment`.
        at: the size (width, height) of a larger picture of which image is a reduced copy. Image is what is segmented,
            which is quicker; all that is pointed at and all answers are in pixels of the larger one, and masks have
            its size. Where a number may be a fraction there, as in `Masks.heads`, it is not rounded.

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
        ArgumentError: there is no such method, or `at` is no size of at least that of image.
    """

    def __init__(self, image: ImageLike, *, method: str | Method = "auto", at: tuple[int, int] | None = None) -> None:
        cutter = method_of(method)
        self.picture, self.method, self._scored = image_levels(image), cutter.name, cutter.scored
        own = self.picture.shape[1], self.picture.shape[0]
        self.size = own if at is None else _size_at_least(at, own)
        # The sides of the reduced image by those of the picture; None if it is not reduced.
        self._scale = None if self.size == own else (own[0] / self.size[0], own[1] / self.size[1])
        self._cutter = cutter.opened(self.picture)
        self._steps: list[_Step] = []

    def __repr__(self) -> str:
        width, height = self.size
        return f"Session({width}x{height}, {self.method}, {len(self._steps)} answers)"

    def click(self, x: float, y: float, *, add: bool = True) -> Masks:
        """Returns the answer to one more click: on the object, or, with add=False, beside it.

        Raises:
            ArgumentError: the click is not in the picture, or the first one is beside the object.
        """
        _checks.flags(add=add)
        return self._more([point_in((x, y), "click", self.size)], add)

    def scribble(self, line: Sequence[Point], *, add: bool = True) -> Masks:
        """Returns the answer to a line (x, y), (x, y), … that is drawn over the object, or, with add=False, beside it.

        Raises:
            ArgumentError: the line has no point, a point of it is not in the picture, or the first one is beside the
                object.
        """
        _checks.flags(add=add)
        return self._more(along(line, "line", self.size), add)

    def segment(
        self,
        *,
        points: Point | Sequence[Point] | None = None,
        labels: Sequence[int | bool] | None = None,
        box: Rectangle | None = None,
        scribble: Sequence[Point] | None = None,
        mask: MaskLike | None = None,
    ) -> Masks:
        """Begins anew, and returns the answer to all that is pointed at; see the function `segment`."""
        prompts = self._reduced(prompts_of(self.size, points, labels, box, scribble, mask))
        self._steps.clear()
        return self._answer(prompts)

    def choose(self, index: int) -> Masks:
        """Takes another mask of the last answer for the best one: further clicks correct it.

        Raises:
            ArgumentError: there is no such mask.
        """
        count = len(self._steps[-1].layers) if self._steps else 0
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < count:
            raise ArgumentError(f"index: {index!r}, the last answer has {count} masks; expected 0 to {count - 1}")
        prompts, before, masks = self._steps[-1]
        layers = [before[index], *(layer for i, layer in enumerate(before) if i != index)]
        masks = self._masks(layers, masks.reason, prompts=prompts)
        self._steps[-1] = _Step(prompts, layers, masks)
        return masks

    def undo(self) -> Masks | None:
        """Takes the last click back, and returns the answer before it; None where there is none."""
        if self._steps:
            self._steps.pop()
        return self._steps[-1].masks if self._steps else None

    def heads(self, least: float = FAINT) -> tuple[Head, ...]:
        """Returns the heads of all people who seem to be there, the surest first: more than those who get a mask.

        Args:
            least: how sure they are at least, 0.15 to 1; `people` takes those of at least 0.4.

        Raises:
            ArgumentError: the method does not find people, or least is not a number from 0.15 to 1.

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
        """Returns the head of whoever is large and apart from others, to cut out where nobody is pointed at.

        Returns:
            One of `heads` of at least 0.4, or that of somebody whom poses or the map of people alone tell of; None
            where nobody was found.

        Raises:
            ArgumentError: the method does not find people.

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
        """Returns a mask of each person, the largest first; clicks go on from what was there before.

        Raises:
            ArgumentError: the method does not find people.
        """
        cutter = self._of_people(True)
        people = [] if _of_one_colour(self.picture) else people_of(cutter)
        heads = tuple(_rectangle(person.head) for person in people)
        reason = NO_REASON if people else Reason("nobody", "no person was found")
        return self._masks([person.layer for person in people], reason, heads)

    def others(self, masks: Sequence[MaskLike], size: tuple[int, int]) -> Pixels:
        """Returns where people seem to be of whom none has a mask: not all are found one by one.

        Args:
            masks: of those who were found, [h, w] uint8 each, as `Masks.reduced` gives them.
            size: (w, h), at most that of the picture.

        Returns:
            A mask [h, w] uint8, 0 or 255.

        Raises:
            ArgumentError: the method does not know people, or the size is not that of an image.
            ShapeError: a mask has another size.

        Example:
            >>> from pyharmony import segmentation
            >>> session = segmentation.Session(np.zeros((60, 80, 3), np.uint8))
            >>> session.others(session.people().reduced((40, 30)), (40, 30)).shape
            (30, 40)
        """
        cutter, size = self._of_people(), size_within(size, self.size)
        if _of_one_colour(self.picture):
            return np.zeros(size[::-1], np.uint8)
        masks = _checks.several(masks, "masks", "a list of masks")
        return others(cutter, [mask_levels(mask, size[1], size[0]) for mask in masks], size)

    def shows_people(self, mask: MaskLike) -> bool:
        """Returns whether what a mask covers is people, on the whole; see `segment` for masks.

        Args:
            mask: of the picture's size, or an array of the whole picture at a smaller size.

        Raises:
            ArgumentError: the method does not know people.
        """
        return shows_people(self._of_people(), self._mask(mask))

    def standable(self) -> float:
        """Returns how likely it is that people could stand in what the picture shows, 0 to 1.

        It is low for things seen from near, such as flowers or what lies on a desk, for the sky, and under water. It is
        1 where nothing can be told: in a picture of one colour, and by weights that do not tell it.

        Raises:
            ArgumentError: the method does not know people.

        Example:
            >>> from pyharmony import segmentation
            >>> segmentation.Session(np.zeros((60, 80, 3), np.uint8)).standable()
            1.0
        """
        cutter = self._of_people()
        return 1.0 if _of_one_colour(self.picture) else cutter.standable()

    def posture(self, mask: MaskLike) -> Posture | None:
        """Returns where the feet of the person whom a mask covers are, and on what they sit, by the networks of poses.

        Args:
            mask: of the picture's size, or an array of the whole picture at a smaller size.

        Returns:
            The posture in pixels of the picture; None where no pose is that of the mask, the method has no poses, or
            it does not know people.

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
        """Returns a mask of the picture's size, or of a smaller one, as levels."""
        width, height = self.size
        if isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.size:
            height, width = min(height, mask.shape[0]), min(width, mask.shape[1])
        return mask_levels(mask, height, width)

    @property
    def finds_people(self) -> bool:
        """Whether the method finds people, so that `people` and `heads` tell of them."""
        return isinstance(self._cutter, NetworkCutter) and bool(self._cutter.network.finder)

    def _of_people(self, by_heads: bool = False) -> NetworkCutter:
        """Returns the network if it knows where people are, and if that is asked for, their heads."""
        if not isinstance(self._cutter, NetworkCutter) or (by_heads and not self.finds_people):
            raise ArgumentError(f"people: {self.method!r} cannot find them; expected method 'auto'")
        return self._cutter

    def _more(self, points: Sequence[Point], add: bool) -> Masks:
        before = self._steps[-1].prompts if self._steps else Prompts()
        labels = [*before.labels, *[int(bool(add))] * len(points)]
        since = len(before.points) if self._steps else 0
        points = self._reduced(Prompts(points)).points
        prompts = before._replace(points=[*before.points, *points], labels=labels, since=since)
        if not prompts.says_something:
            raise ArgumentError("click: beside the object, and nothing on it was pointed at; expected that first")
        return self._answer(prompts)

    def _answer(self, prompts: Prompts) -> Masks:
        last = self._steps[-1].layers if self._steps else ()
        layers: list[Layer] = []
        if _of_one_colour(self.picture):
            masks = self._masks(layers, _ONE_COLOUR)
        else:
            layers = self._cutter.cut(prompts, last[0] if last else None)
            layers = [layer for layer in layers if box_of(layer) is not None]
            # Who clicks again has seen the answer.
            alike = bool(layers) and not last and contrast(self.picture, layers[0]) < _FLAT
            if layers and not last and self.finds_people and (prompts.one_click or prompts.in_box):
                layers = self._of_somebody(layers, prompts)
            elif self._scored is not None:
                layers = self._rated(self._scored, layers, prompts)
                layers = surely_best_first(layers, prompts) if last else by_scores(layers)
            reason = _GUESS if alike else reason_of(layers)
            masks = self._masks(layers, reason, prompts=prompts)
        self._steps.append(_Step(prompts, layers, masks))
        return masks

    def _of_somebody(self, layers: Sequence[Layer], prompts: Prompts) -> list[Layer]:
        """Returns the masks of a first answer, before them what most likely is all of a person who was pointed at."""
        cutter, one_click = self._of_people(), prompts.one_click
        before = whole_first(cutter, layers) if one_click else [*layers]
        better = posed(cutter, before, prompts)
        if self._scored is None:
            return better
        rated = self._rated(self._scored, better, prompts)
        # Whoever is in a box is what the network sees first there.
        if better[0] is not before[0] or not one_click:
            return [rated[0], *by_scores(rated[1:])]
        rated = whole_first(cutter, by_scores(rated), RATED)
        whole = wearer(cutter, rated[0], prompts.points[0])
        if whole is None:
            return rated
        score = self._rated(self._scored, [whole, *better], prompts)[0].score
        return [whole._replace(score=score), *rated][:COUNT] if score >= _WEARER else rated

    def _rated(self, weights: Weights, layers: Sequence[Layer], prompts: Prompts) -> list[Layer]:
        """Returns masks with the share of the union that each is expected to cover as its score."""
        facts = in_threads(lambda i: facts_of(self.picture, layers, i, prompts), range(len(layers)))
        return [layer._replace(score=expected(one, weights)) for layer, one in zip(layers, facts, strict=True)]

    def _masks(
        self,
        layers: Sequence[Layer],
        reason: Reason,
        heads: tuple[Rectangle, ...] = (),
        prompts: Prompts | None = None,
    ) -> Masks:
        cutter = self._cutter

        def refined(index: int) -> Layer:
            return self._layer_at_size(closer(cutter, layers[index], prompts or Prompts()))

        at_size = tuple(self._layer_at_size(layer) for layer in layers)
        boxes = tuple(_rectangle(box_of(layer) or layer.box) for layer in at_size)
        return Masks(
            tuple(layer.score for layer in layers),
            boxes,
            tuple(self._at_size(head) for head in heads),
            self.method,
            reason,
            self.picture,
            at_size,
            self.size,
            refined if isinstance(cutter, NetworkCutter) else None,
        )

    def _reduced(self, prompts: Prompts) -> Prompts:
        """Returns prompts in pixels of the reduced image."""
        if self._scale is None:
            return prompts
        return reduced_prompts(prompts, self.size, (self.picture.shape[1], self.picture.shape[0]))

    def _at_size(self, rectangle: Quadruple) -> Quadruple:
        """Returns four numbers x, y, x, y of the reduced image in pixels of the picture."""
        if self._scale is None:
            return rectangle
        (x, y, wide, high), (across, down) = rectangle, self._scale
        return x / across, y / down, wide / across, high / down

    def _head_at_size(self, head: Head) -> Head:
        """Returns a head in pixels of the picture."""
        return head._replace(box=self._at_size(head.box), body=self._at_size(head.body))

    def _layer_at_size(self, layer: Layer) -> Layer:
        """Returns a layer in whole pixels of the picture."""
        if self._scale is None:
            return layer
        left, top, right, bottom = (round(v) for v in self._at_size(layer.box))
        return layer._replace(box=(left, top, right, bottom))


def segment(
    image: ImageLike,
    *,
    points: Point | Sequence[Point] | None = None,
    labels: Sequence[int | bool] | None = None,
    box: Rectangle | None = None,
    scribble: Sequence[Point] | None = None,
    mask: MaskLike | None = None,
    people: bool = False,
    method: str | Method = "auto",
) -> Masks:
    """Cuts out what is pointed at, or all people.

    Args:
        image: an image of any kind: NumPy [H, W] or [H, W, C], torch [C, H, W] on the CPU, uint8, uint16 or floats with
            1.0 for white; or a path, the bytes of a file, an open binary file, a PIL image or a
            `pyharmony.io.Picture`, which is brought to sRGB. Alpha is left out.
        points: one click on the object, (x, y) in pixels, or several [(x, y), …]; the middle of the first pixel is
            (0, 0). With `labels`, some of them are beside the object.
        labels: for each of the points 1 on the object and 0 beside it; None: all are on it.
        box: the rectangle (x, y, width, height) that the object lies in.
        scribble: a line over the object, [(x, y), …].
        mask: a coarse mask of the object, which is made better, of any kind; as an array [H, W], bool, uint8 or uint16
            scaled by its range, or floats in [0, 1].
        people: whether all people are wanted instead, one by one. It finds some of them only, see docs/segment.md.
        method: 'auto', the name of another of `METHODS`, or one made by `sam` or `salient` of networks of your own.

    Returns:
        Up to three masks, since one click may mean a part or the whole, the best first; after one click on a person
        the first is what most likely is all of that person. With `people`, a mask of each person. Where
        nothing was found there is none, `mask` is empty and `reason` says why; it also says so where nothing that
        stands out was clicked, such as the sky, and the mask is a guess.

    Raises:
        ArgumentError: nothing is pointed at, or people are wanted beside; a click lies outside of the picture; the box
            has nothing of it; there is no such method.
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
    _checks.flags(people=people)
    session = Session(image, method=method)
    prompts: dict[str, Any] = {"points": points, "labels": labels, "box": box, "scribble": scribble, "mask": mask}
    if people:
        if any(x is not None for x in prompts.values()):
            raise ArgumentError("people: all of them are wanted, and something is pointed at; expected one of both")
        return session.people()
    return session.segment(**prompts)


def reason_of(layers: Sequence[Layer]) -> Reason:
    """Returns what is to be said of an answer: that there is none, or that it is a guess."""
    if not layers:
        return Reason("nothing-there", "nothing was found there that could be cut out")
    # A click on a face leaves open how much is meant, not what: the mask of a part is sure, that of the person is not.
    if max(layer.score for layer in layers) < GUESSED:
        return _GUESS
    return NO_REASON


def _size_at_least(size: Any, least: tuple[int, int]) -> tuple[int, int]:
    """Returns the size of a picture of which an image is a reduced copy, after checks."""
    accepts = f"expected (width, height) of at least {least}, the size of image"
    across, down = _checks.two_numbers(size, "at", accepts)
    for side, shortest in ((across, least[0]), (down, least[1])):
        if not shortest <= side < 1 << 31 or int(side) != side:
            raise ArgumentError(f"at: {size!r}, {accepts}")
    return int(across), int(down)


def _rectangle(box: tuple[int, int, int, int]) -> Rectangle:
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def _of_one_colour(picture: Pixels) -> bool:
    first = picture[0, 0]
    return bool((picture[::64, ::64] == first).all()) and bool((picture == first).all())
