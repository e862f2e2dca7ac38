"""Cutting out by pointing: one call, and a session that goes on click by click."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import is_array
from .._images.levels import image_levels, mask_levels
from .._images.sizes import fitted, resized
from .._images.threads import in_threads
from ..errors import NO_REASON, ArgumentError, Reason, ShapeError
from ..io.shown import page, png
from ..typing import ImageLike, MaskLike
from ._closer import closer
from ._edges import at_full_size, contrast
from ._matting import soft_alpha
from ._methods import Method, method_of
from ._network import COUNT, NetworkCutter, Prompts
from ._postures import Posture, posture_of, shows_people
from .drawing import drawn
from .heads import FAINT, Head
from .layers import Layer, Pixels, box_of, by_scores, covered
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

Point = tuple[float, float]
Rectangle = tuple[int, int, int, int]

#: The largest number of clicks that a scribble counts for.
_SCRIBBLED = 16
#: A mask whose score is below this is a guess.
GUESSED = 0.5
#: Of somebody of whom a part was clicked the mask comes first from this score on.
_WEARER = 0.4
_ONE_COLOUR = Reason("one-colour", "the picture has one colour, nothing in it can be told apart")
_GUESS = Reason("guess", "nothing there stands out, the mask is a guess", hint="more clicks or a box say what is meant")
#: Colours that differ by fewer levels across the contour of a mask are those of one thing: contours of the objects by
#: which weights are chosen have 14 at least, in skies and meadows many have fewer.
_FLAT = 10.0
#: What labels of clicks are.
_LABELS = "1 on the object or 0 beside it, for each point"
#: The longer side of the pictures that a notebook shows of masks.
_SHOWN = 320


@dataclass(frozen=True)
class Masks:
    """Masks that were found, the best first: up to three answers to clicks, or one of each person, the largest first.

    `masks[i]` is one of them, [H, W] uint8, and len(masks) their number. Answers to clicks fall by their scores, but
    the first one may be another: the one that was chosen, or, after one click on a person, what most likely is all of
    that person. After a correcting click those come first that explain all clicks and lose nothing of the mask before.
    By `areas` they go from part to whole.

    Attributes:
        scores: how good each of the masks is expected to be, 0 to 1: the share of the union of mask and object that
            both cover.
        boxes: for each of them the rectangle (x, y, width, height) that it lies in.
        heads: for each person the rectangle of the head; empty for clicks.
        method: the method that ran.
        reason: why nothing was found, or why the mask may not be what was meant, in a few words; else empty.
    """

    _mask: Pixels | None
    scores: tuple[float, ...]
    boxes: tuple[Rectangle, ...]
    heads: tuple[Rectangle, ...]
    method: str
    reason: Reason
    _picture: Pixels
    _layers: tuple[Layer, ...]
    _closer: Callable[[Layer], Layer] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        height, width = self._picture.shape[:2]
        count = f"{len(self)} {'mask' if len(self) == 1 else 'masks'}"
        scores = f", scores {', '.join(f'{score:.2f}' for score in self.scores)}" if self.scores else ""
        reason = f", {self.reason!r}" if self.reason else ""
        return f"Masks({count} of {width}x{height}, {self.method}{scores}{reason})"

    def _repr_html_(self) -> str:
        """Returns the picture with everything outside darkened, for each of the masks, as a notebook shows it."""
        height, width = self._picture.shape[:2]
        size = fitted((width, height), _SHOWN)
        small = resized(self._picture, size)
        shown = [small * (0.2 + 0.8 / 255 * mask[..., None]) for mask in self.reduced(size)] if len(self) else []
        return page(repr(self), *(png(np.rint(picture).astype(np.uint8)) for picture in shown))

    @property
    def mask(self) -> Pixels:
        """The best mask, or all people together, [H, W] uint8, 0 outside and 255 inside, soft at the edge."""
        if self._mask is None:
            found = np.zeros(self._picture.shape[:2], np.uint8)
            for layer in self._layers if self.heads else self._layers[:1]:
                np.maximum(found, at_full_size(self._picture, layer), out=found)
            # It is made when somebody asks for it, and kept.
            object.__setattr__(self, "_mask", found)
            return found
        return self._mask

    @property
    def areas(self) -> tuple[int, ...]:
        """The number of pixels that each mask covers, to some hundredths: by them they go from part to whole.

        Example:
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> found = pyharmony.segment(image, points=(40, 30))
            >>> from_part_to_whole = [found[i] for i in np.argsort(found.areas)]
        """
        return tuple(round(covered(layer)) for layer in self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, index: int) -> Pixels:
        return at_full_size(self._picture, self._layers[index])

    def alpha(self, index: int | None = None) -> Pixels:
        """Returns the alpha of a cut-out, [H, W] uint8: how much each pixel near the contour shows of the object.

        It is nearer to soft edges, such as hair, and to thin parts than a mask is, and takes a little longer: parts of
        the contour are looked at once more. `cutout` uses it.

        Args:
            index: which of the masks; None: the best, or all people together.

        Raises:
            IndexError: there is no such mask.

        Example:
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> pyharmony.segment(image, points=(40, 30)).alpha().shape
            (60, 80)
        """
        if index is not None:
            return soft_alpha(self._picture, self._closely(index))
        found = np.zeros(self._picture.shape[:2], np.uint8)
        for i in range(len(self) if self.heads else min(1, len(self))):
            np.maximum(found, soft_alpha(self._picture, self._closely(i)), out=found)
        return found

    def _closely(self, index: int) -> Layer:
        """Returns what the alpha of one of the masks is drawn from: where there is a network, it looks closer."""
        layer = self._layers[index]
        return layer if self._closer is None else self._closer(layer)

    def reduced(self, size: tuple[int, int]) -> list[Pixels]:
        """Returns all masks as [h, w] uint8 at a smaller size (width, height), without making the large ones.

        Raises:
            ArgumentError: the size is not that of an image, or larger than the picture.

        Example:
            >>> image = np.zeros((60, 80, 3), np.uint8)
            >>> image[20:40, 30:50] = 200
            >>> [mask.shape for mask in pyharmony.segment(image, points=(40, 30)).reduced((40, 30))][0]
            (30, 40)
        """
        height, width = self._picture.shape[:2]
        size = _size(size, width, height)
        picture = resized(self._picture, size)
        return in_threads(lambda layer: drawn(picture, layer, (width, height)), self._layers)


class Session:
    """A picture that is pointed at again and again; every answer starts from the one before.

    Args:
        image: the picture, see `segment`.
        method: see `segment`.

    Example:
        >>> from pyharmony import segmentation
        >>> image = np.zeros((60, 80, 3), np.uint8)
        >>> image[20:40, 30:50] = 200
        >>> session = segmentation.Session(image)
        >>> session.click(40, 30).mask.shape
        (60, 80)
        >>> session.click(5, 5, add=False).mask.dtype
        dtype('uint8')
    """

    def __init__(self, image: ImageLike, *, method: str | Method = "auto") -> None:
        chosen = method_of(method)
        self.picture, self.method, self._scored = image_levels(image), chosen.name, chosen.scored
        self._cutter = chosen.opened(self.picture)
        self._steps: list[tuple[Prompts, Masks]] = []

    def __repr__(self) -> str:
        height, width = self.picture.shape[:2]
        return f"Session({width}x{height}, {self.method}, {len(self._steps)} answers)"

    def click(self, x: float, y: float, *, add: bool = True) -> Masks:
        """Returns the answer to one more click: on the object, or, with add=False, beside it.

        Raises:
            ArgumentError: the click is not in the picture, or the first one is beside the object.
        """
        _checks.flags(add=add)
        return self._more([_point((x, y), "click", self.picture)], add)

    def scribble(self, line: Sequence[Point], *, add: bool = True) -> Masks:
        """Returns the answer to a line (x, y), (x, y), … that is drawn over the object, or, with add=False, beside it.

        Raises:
            ArgumentError: the line has no point, a point of it is not in the picture, or the first one is beside the
                object.
        """
        _checks.flags(add=add)
        return self._more(_along(line, "line", self.picture), add)

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
        prompts = _prompts(self.picture, points, labels, box, scribble, mask)
        self._steps.clear()
        return self._answer(prompts)

    def choose(self, index: int) -> Masks:
        """Takes another mask of the last answer for the best one: further clicks correct it.

        Raises:
            ArgumentError: there is no such mask.
        """
        count = len(self._steps[-1][1]) if self._steps else 0
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < count:
            raise ArgumentError(f"index: {index!r}, the last answer has {count} masks; expected 0 to {count - 1}")
        prompts, before = self._steps[-1]
        layers = [before._layers[index], *(layer for i, layer in enumerate(before._layers) if i != index)]
        found = self._masks(layers, before.reason, prompts=prompts)
        self._steps[-1] = prompts, found
        return found

    def undo(self) -> Masks | None:
        """Takes the last click back, and returns the answer before it; None where there is none."""
        if self._steps:
            self._steps.pop()
        return self._steps[-1][1] if self._steps else None

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
        return tuple(head for head in heads if head.sure >= least)

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
        return as_far_as_pose(cutter, foremost(cutter, heads)) if heads else plainly_there(cutter)

    def people(self) -> Masks:
        """Returns a mask of each person, the largest first; clicks go on from what was there before.

        Raises:
            ArgumentError: the method does not find people.
        """
        cutter = self._of_people(True)
        found = [] if _of_one_colour(self.picture) else people_of(cutter)
        heads = tuple(_rectangle(person.head) for person in found)
        reason = NO_REASON if found else Reason("nobody", "no person was found")
        return self._masks([person.layer for person in found], reason, heads)

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
        cutter, (height, width) = self._of_people(), self.picture.shape[:2]
        size = _size(size, width, height)
        if _of_one_colour(self.picture):
            return np.zeros(size[::-1], np.uint8)
        given = _checks.several(masks, "masks", "a list of masks")
        return others(cutter, [mask_levels(mask, size[1], size[0]) for mask in given], size)

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
        return posture_of(self._cutter, levels)

    def _mask(self, mask: MaskLike) -> Pixels:
        """Returns a mask of the picture's size, or of a smaller one, as levels."""
        height, width = self.picture.shape[:2]
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
        before = self._steps[-1][0] if self._steps else Prompts()
        labels = [*before.labels, *[int(bool(add))] * len(points)]
        since = len(before.points) if self._steps else 0
        prompts = before._replace(points=[*before.points, *points], labels=labels, since=since)
        if not prompts.says_something:
            raise ArgumentError("click: beside the object, and nothing on it was pointed at; expected that first")
        return self._answer(prompts)

    def _answer(self, prompts: Prompts) -> Masks:
        last = self._steps[-1][1]._layers if self._steps else ()
        if _of_one_colour(self.picture):
            found = self._masks([], _ONE_COLOUR)
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
            found = self._masks(layers, reason, prompts=prompts)
        self._steps.append((prompts, found))
        return found

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
        boxes = tuple(_rectangle(box_of(layer) or layer.box) for layer in layers)
        scores = tuple(layer.score for layer in layers)
        cutter = self._cutter
        look = partial(closer, cutter, prompts=prompts or Prompts()) if isinstance(cutter, NetworkCutter) else None
        return Masks(None, scores, boxes, heads, self.method, reason, self.picture, tuple(layers), look)


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
    given: dict[str, Any] = {"points": points, "labels": labels, "box": box, "scribble": scribble, "mask": mask}
    if people:
        if any(x is not None for x in given.values()):
            raise ArgumentError("people: all of them are wanted, and something is pointed at; expected one of both")
        return session.people()
    return session.segment(**given)


def reason_of(layers: Sequence[Layer]) -> Reason:
    """Returns what is to be said of an answer: that there is none, or that it is a guess."""
    if not layers:
        return Reason("nothing-there", "nothing was found there that could be cut out")
    # A click on a face leaves open how much is meant, not what: the mask of a part is sure, that of the person is not.
    if max(layer.score for layer in layers) < GUESSED:
        return _GUESS
    return NO_REASON


def _prompts(picture: Pixels, points: Any, labels: Any, box: Any, line: Any, mask: Any) -> Prompts:
    height, width = picture.shape[:2]
    places = _clicks(points, picture)
    given = [1] * len(places) if labels is None else _checks.several(labels, "labels", _LABELS)
    signs = [_label(x, i) for i, x in enumerate(given)]
    if len(signs) != len(places):
        raise ShapeError(f"labels: {len(signs)} beside {len(places)} points")
    if line is not None:
        drawn = _along(line, "scribble", picture)
        places, signs = [*places, *drawn], [*signs, *[1] * len(drawn)]
    area = None if box is None else _area(box, width, height)
    coarse = None
    if mask is not None:
        coarse = mask_levels(mask, height, width)
        if not (coarse >= 128).any():
            raise ArgumentError("mask: empty, nothing in it is at least half inside")
    prompts = Prompts(places, signs, area, coarse)
    if not prompts.says_something:
        beside = " on the object" if places else ""
        raise ArgumentError(
            f"points: nothing{beside} is pointed at",
            code="nothing-pointed-at",
            hint="expected points, box, scribble or mask",
        )
    return prompts


def _clicks(points: Any, picture: Pixels) -> list[Point]:
    """Returns one click (x, y), or several of them, as a list."""
    if points is None:
        return []
    every = points.tolist() if is_array(points) else points
    several = isinstance(every, Sequence) and not isinstance(every, str)
    if not several or (len(every) == 2 and all(isinstance(x, numbers.Real) for x in every)):
        return [_point(every, "points", picture)]
    return [_point(x, f"points[{i}]", picture) for i, x in enumerate(every)]


def _along(line: Any, name: str, picture: Pixels) -> list[Point]:
    """Returns points along a line, evenly."""
    every = _checks.several(line, name, "[(x, y), ...]")
    corners = [_point(x, f"{name}[{i}]", picture) for i, x in enumerate(every)]
    if not corners:
        raise ArgumentError(f"{name}: empty, expected [(x, y), ...]")
    x, y = (np.array(v) for v in zip(*corners))
    passed = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    at = np.linspace(0, passed[-1], min(_SCRIBBLED, max(len(corners), 4)) if passed[-1] else 1)
    return list(zip(np.interp(at, passed, x).tolist(), np.interp(at, passed, y).tolist()))


def _point(value: Any, name: str, picture: Pixels) -> Point:
    height, width = picture.shape[:2]
    try:
        x, y = (float(v) for v in value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(f"{name}: {value!r}, expected (x, y) in pixels") from None
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise ArgumentError(
            f"{name}: ({x:g}, {y:g}) is outside of the image, expected 0 to {width - 1}, 0 to {height - 1}"
        )
    return x, y


def _size(size: Any, width: int, height: int) -> tuple[int, int]:
    """Returns a smaller size (width, height) than that of a picture, after checks."""
    accepts = f"expected (width, height) from (1, 1) to ({width}, {height})"
    across, down = _checks.two_numbers(size, "size", accepts)
    if not (1 <= across <= width and 1 <= down <= height and int(across) == across and int(down) == down):
        raise ArgumentError(f"size: {size!r}, {accepts}")
    return int(across), int(down)


def _label(value: Any, index: int) -> int:
    if not isinstance(value, (int, float, np.number, np.bool_)) or value not in (0, 1):
        raise ArgumentError(f"labels[{index}]: {value!r}, expected {_LABELS}")
    return int(value)


def _area(value: Any, width: int, height: int) -> tuple[int, int, int, int]:
    try:
        x, y, across, down = (float(v) for v in value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(f"box: {value!r}, expected (x, y, width, height) in pixels") from None
    if not all(map(math.isfinite, (x, y, across, down))):
        raise ArgumentError(f"box: {value!r}, expected numbers that are finite")
    left, top = max(0, math.floor(x)), max(0, math.floor(y))
    right, bottom = min(width, math.ceil(x + across)), min(height, math.ceil(y + down))
    if right <= left or bottom <= top or across <= 0 or down <= 0:
        given = f"({x:g}, {y:g}, {across:g}, {down:g})"
        raise ArgumentError(f"box: {given} has nothing of an image of {width} x {height} pixels")
    return left, top, right, bottom


def _rectangle(box: tuple[int, int, int, int]) -> Rectangle:
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def _of_one_colour(picture: Pixels) -> bool:
    first = picture[0, 0]
    return bool((picture[::64, ::64] == first).all()) and bool((picture == first).all())
