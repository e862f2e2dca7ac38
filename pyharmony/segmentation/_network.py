"""The default method: the network of clicks, which segments the whole image first and then a crop around the object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._arrays import Box, Float32, Pixels
from .._images.levels import shares_of
from .._images.sizes import block_means, resized
from .._images.threads import check_ended, in_threads
from . import _clicks
from ._poses import Poses
from ._thin import with_thin_piece
from .corrections import corrected
from .heads import Head, among_people, heads_of, in_picture, merged, quarters
from .layers import Layer, box_of, by_scores, connected, iou, sampled

#: The margin of the crop at each side of the object, in the object's sides.
_MARGIN = 0.25
#: The least side of the crop, in the image's sides.
_MIN_CROP_SHARE = 0.1
#: The share of its side by which a crop is widened because the object extends beyond it.
_STEP = 0.4
#: The width of the rim of a crop's mask in which an object counts as extending beyond it, in pixels of the mask.
_CROP_RIM = 3
#: The share of the image from which on a crop shows no more detail.
_MAX_CROP_SHARE = 0.75
#: The least longer side of an image that is reduced before large crops of it are, in pixels.
_MIN_REDUCED_SIDE = 1000
#: The least number of the reduced image's pixels for each pixel of a view that is resampled from it, along each side.
_MIN_OVERSAMPLING = 2
#: How far an object may extend beyond the box that is drawn around it, in sides of the box.
_BOX_MARGIN = 0.02
#: The least intersection over union of masks that count as the same.
_SAME_MASK_IOU = 0.8
#: The largest side of the network's input in a quick segmentation.
_MAX_QUICK_SIDE = 192
#: The largest number of masks that are returned.
COUNT = 3


class Prompts(NamedTuple):
    """The prompts of a user, which mark an object."""

    #: Places (x, y), in pixels of the image; the middle of its first pixel is (0, 0).
    points: Sequence[tuple[float, float]] = ()
    labels: Sequence[int] = ()  # for each of them 1 on the object and 0 outside of it
    box: Box | None = None  # a box around the object, or None
    mask: Pixels | None = None  # a coarse mask of the image [H, W], 0 to 255, or None
    tolerance: float | None = None  # the largest distance of the result's contour from that of the coarse mask
    since: int = 0  # the number of points that led to the last mask; the others correct it

    @property
    def marks_object(self) -> bool:
        """Whether a prompt marks a place on the object."""
        return any(self.labels) or self.box is not None or self.mask is not None

    @property
    def one_click(self) -> bool:
        """Whether the prompts are one click."""
        return len(self.points) == 1 and self.box is None and self.mask is None

    @property
    def in_box(self) -> bool:
        """Whether the prompts are clicks on the object and a box around it."""
        return self.box is not None and bool(self.points) and all(self.labels) and self.mask is None

    @property
    def inside(self) -> list[tuple[float, float]]:
        """The places on the object."""
        return [point for point, label in zip(self.points, self.labels, strict=True) if label]

    @property
    def limit(self) -> Box | None:
        """The box, unless a click on the object is outside of it."""
        box = self.box
        if box is None or not all(box[0] <= x + 0.5 < box[2] and box[1] <= y + 0.5 < box[3] for x, y in self.inside):
            return None
        return box


@dataclass
class NetworkCutter:
    """An image [H, W, 3] of uint8 that the network segments for several prompts.

    poses: the estimator of poses of people, or None.
    """

    network: _clicks.Network
    picture: Pixels
    poses: Poses | None = None

    def __post_init__(self) -> None:
        self._views: dict[tuple[Box, int], tuple[Float32, list[Float32]]] = {}
        self._crowd: _clicks.Crowd | None = None
        self._heads: list[Head] | None = None
        # Most views of large images are resampled from block means of so many pixels along each side.
        self._every = max(1, max(self.picture.shape[:2]) // _MIN_REDUCED_SIDE)
        self._fewer = block_means(self.picture, self._every)

    @property
    def whole(self) -> Box:
        """The box of the whole image."""
        return 0, 0, self.picture.shape[1], self.picture.shape[0]

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        """Returns masks, the best first; `last` is the mask that further prompts correct.

        First masks are the mean over the image and its mirror image, which takes twice the time.
        """
        layers, box = self._near_or_whole(prompts, last), prompts.limit
        if last is not None and len(prompts.points) > prompts.since:
            layers = corrected(last, layers, prompts.points, prompts.labels, prompts.since)
            if len(prompts.points) == prompts.since + 1:
                layers = self._with_thin_piece(last, layers, prompts)
            layers = distinct(layers)
        if box is None:
            return layers
        layers = limited(layers, box)
        if last is None and not prompts.points:
            # A box is a weaker prompt than a click: the network refines its own mask once.
            layers = limited(self._near_or_whole(prompts, layers[0]), box)
        return layers

    def _with_thin_piece(self, last: Layer, layers: Sequence[Layer], prompts: Prompts) -> list[Layer]:
        on = bool(prompts.labels[-1])

        def answers_in(window: Box, click: tuple[float, float], mask: Layer) -> list[Layer]:
            prior = mask._replace(values=(mask.values > 0.5).astype(np.float32))
            logits, scores = self._run(window, Prompts([click], [int(on)]), prior, False, keep=False)
            answers = zip(logits, scores, strict=True)
            return by_scores([Layer(window, _clicks.sigmoid(x), float(score)) for x, score in answers])

        return with_thin_piece(last, layers, prompts.points[-1], on, answers_in, self.whole[2:])

    def _near_or_whole(self, prompts: Prompts, last: Layer | None) -> list[Layer]:
        mirrored = last is None
        prior = last or self._prior(prompts)
        if prior is not None and (near := self._near(prior, prompts)) is not None:
            return self._widening(near, prompts, prior, mirrored)
        layers = self._cut_in(self.whole, prompts, prior, mirrored)
        if last is not None or (near := self._near(layers[0], prompts)) is None:
            return layers
        # Of two similar masks the one of the crop is kept.
        return by_scores(distinct([*self._widening(near, prompts, layers[0], mirrored), *layers]))

    def quickly(self, prompts: Prompts) -> Layer:
        """Returns the best mask of one small view of a box and its surroundings."""
        prior = self._prior(prompts)
        box = (None if prior is None else self._near(prior, prompts)) or self.whole
        logits, scores = self._run(box, prompts, prior, False, min(_MAX_QUICK_SIDE, self.network.size))
        best = int(scores.argmax())
        return connected(Layer(box, _clicks.sigmoid(logits[best]), float(scores[best])), prompts.inside)

    def closely(self, box: Box, prompts: Prompts, prior: Layer) -> Float32:
        """Returns the logits [M, S, S] of masks of a part of the image, given a prior mask of it."""
        return self._run(box, prompts, prior, False, keep=False)[0]

    def _widening(self, box: Box, prompts: Prompts, prior: Layer, mirrored: bool) -> list[Layer]:
        """Returns the network's masks in a crop, which is widened where the object extends beyond it."""
        layers = self._cut_in(box, prompts, prior, mirrored)
        wider = self._wider(box, layers[0])
        return layers if wider == box else self._cut_in(wider, prompts, prior, mirrored)

    def _wider(self, box: Box, layer: Layer) -> Box:
        """Returns the box with those sides moved outwards that a mask in it touches."""
        height, width = self.picture.shape[:2]
        region = layer.values > 0.5
        across, down = round(_STEP * (box[2] - box[0])), round(_STEP * (box[3] - box[1]))
        steps = [
            (region[:, :_CROP_RIM].any(), -across, 0, 0), (region[:_CROP_RIM].any(), -down, 0, 0),
            (region[:, -_CROP_RIM:].any(), across, width, 1), (region[-_CROP_RIM:].any(), down, height, 1),
        ]  # fmt: skip
        corners = []
        for side, (touches, step, end, last) in zip(box, steps):
            at = side + step if touches else side
            corners.append(min(at, end) if last else max(at, 0))
        return corners[0], corners[1], corners[2], corners[3]

    def people(self) -> Float32:
        """Returns the people map: the probability that each place of the image shows a person, in [0, 1]."""
        return _clicks.sigmoid(self._whole_crowd().people)

    def standable(self) -> float:
        """Returns the likelihood that people could stand in the scene of the image, 0 to 1; 1 if that is unknown."""
        if not self.network.scene:
            return 1.0
        view, _ = self._view(self.whole, self.network.size)
        return self.network.standable(view)

    def heads(self) -> list[Head]:
        """Returns the heads of people in falling order of confidence; none if the network does not detect heads.

        They are detected in the whole image and in its quarters, where small ones are larger.
        """
        if self._heads is None:
            boxes = [self.whole, *quarters(*self.whole[2:])] if self.network.finder else []
            self._heads = merged(in_threads(self._heads_in, boxes))
        return [*self._heads]

    def plain_heads(self) -> list[Head]:
        """Returns the heads that are detected in the whole image, in falling order of confidence."""
        return self._heads_in(self.whole) if self.network.finder else []

    def _heads_in(self, box: Box) -> list[Head]:
        """Returns the heads that are detected in a part of the image."""
        wide, high = box[2] - box[0], box[3] - box[1]
        is_whole = (wide, high) == self.whole[2:]
        crowd = self._whole_crowd() if is_whole else self.network.crowd(*self._new_view(box, self.network.size))
        if crowd.heads is None:
            return []
        heads = among_people(heads_of(crowd.heads, wide, high), _clicks.sigmoid(crowd.people), wide, high)
        return in_picture(heads, box, *self.whole[2:])

    def _whole_crowd(self) -> _clicks.Crowd:
        if self._crowd is None:
            check_ended()
            self._crowd = self.network.crowd(*self._view(self.whole, self.network.size))
        return self._crowd

    def _prior(self, prompts: Prompts) -> Layer | None:
        """Returns the prior mask of prompts: the coarse mask, or one that fills the box."""
        if prompts.mask is not None:
            size = (self.network.size, self.network.size)
            return Layer(self.whole, shares_of(resized(prompts.mask, size)), 0.0)
        if prompts.box is not None:
            return Layer(prompts.box, np.full((8, 8), np.float32(_clicks.BOXED)), 0.0)
        return None

    def _near(self, layer: Layer, prompts: Prompts) -> Box | None:
        """Returns a crop around the object and all clicks on it; None if it is nearly the whole image."""
        object_box = box_of(layer) or prompts.box
        if object_box is None:
            return None
        width, height = self.whole[2:]
        left, top, right, bottom = (float(x) for x in object_box)
        for x, y in prompts.inside:
            left, top, right, bottom = min(left, x), min(top, y), max(right, x + 1), max(bottom, y + 1)
        across = max((right - left) * (1 + 2 * _MARGIN), _MIN_CROP_SHARE * width)
        down = max((bottom - top) * (1 + 2 * _MARGIN), _MIN_CROP_SHARE * height)
        # Neither side is more than twice the other, or the object would be distorted.
        across, down = max(across, down / 2), max(down, across / 2)
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        left, top = max(0, round(middle_x - across / 2)), max(0, round(middle_y - down / 2))
        right, bottom = min(width, round(middle_x + across / 2)), min(height, round(middle_y + down / 2))
        area = (right - left) * (bottom - top)
        return (left, top, right, bottom) if area < _MAX_CROP_SHARE * height * width else None

    def _cut_in(self, box: Box, prompts: Prompts, prior: Layer | None, mirrored: bool) -> list[Layer]:
        """Returns the network's masks in a part of the image, the best first."""
        logits, scores = self._run(box, prompts, prior, mirrored)
        layers = [Layer(box, _clicks.sigmoid(x), float(score)) for x, score in zip(logits, scores, strict=True)]
        layers = [connected(layer, prompts.inside) for layer in layers]
        return distinct(by_scores(layers))

    def _run(
        self,
        box: Box,
        prompts: Prompts,
        prior: Layer | None,
        mirrored: bool,
        side: int | None = None,
        keep: bool = True,
    ) -> tuple[Float32, Float32]:
        """Returns the logits [M, S, S] of the network's masks of a part of the image, and their scores [M].

        side: the side of the network's input; None: that of its training.
        keep: whether to cache the view and its features for further prompts.
        """
        check_ended()
        side = side or self.network.size
        left, top, right, bottom = box
        points, labels = [], []
        for (x, y), label in zip(prompts.points, prompts.labels, strict=True):
            column, row = (x + 0.5 - left) * side / (right - left) - 0.5, (y + 0.5 - top) * side / (bottom - top) - 0.5
            if -0.5 <= column < side - 0.5 and -0.5 <= row < side - 0.5:
                points.append((column, row))
                labels.append(label)
        view, features = (self._view if keep else self._new_view)(box, side)
        last = None if prior is None else sampled(prior, box, (side, side))
        prompt = _clicks.prompt_of(view, points, labels, last)
        logits, scores, _ = self.network.cut(view, prompt, features)
        if mirrored:
            # The mirror image has other errors: the mean of both results is better than either. Its features are
            # nearly the mirrored ones.
            flipped, flipped_prompt, *rest = (np.ascontiguousarray(x[:, ::-1]) for x in (view, prompt, *features))
            other = self.network.cut(flipped, flipped_prompt, rest)
            half = np.float32(0.5)
            logits, scores = half * (logits + other.logits[..., ::-1]), half * (scores + other.scores)
        return logits, scores

    def _view(self, box: Box, side: int) -> tuple[Float32, list[Float32]]:
        """Returns the network's input for a part of the image at a side, and its features, from a cache."""
        # One thread may clear the cache while another one looks up an entry.
        entry = self._views.get((box, side))
        if entry is None:
            if len(self._views) > 8:
                self._views.clear()
            entry = self._views[box, side] = self._new_view(box, side)
        return entry

    def _new_view(self, box: Box, side: int) -> tuple[Float32, list[Float32]]:
        """Computes the result of `_view`, without the cache."""
        check_ended()
        every = self._every if min(box[2] - box[0], box[3] - box[1]) >= _MIN_OVERSAMPLING * self._every * side else 1
        source = self.picture if every == 1 else self._fewer
        part = box[0] / every, box[1] / every, box[2] / every, box[3] / every
        view = shares_of(resized(source, (side, side), part))
        return view, self.network.feature_terms(view)


def limited(layers: Sequence[Layer], box: Box) -> list[Layer]:
    """Returns masks cut to a box, with a small margin because it may be drawn too tightly."""
    beyond = _BOX_MARGIN * (box[2] - box[0]), _BOX_MARGIN * (box[3] - box[1])
    within = []
    for layer in layers:
        sides = []
        for axis, count in enumerate(layer.values.shape[::-1]):
            start, end = layer.box[axis], layer.box[axis + 2]
            at = start + (np.arange(count) + 0.5) * (end - start) / count
            sides.append((at >= box[axis] - beyond[axis]) & (at < box[axis + 2] + beyond[axis]))
        within.append(layer._replace(values=layer.values * (sides[1][:, None] & sides[0])))
    return distinct(within)


def distinct(layers: Sequence[Layer]) -> list[Layer]:
    """Returns the first of each group of similar masks, at most `COUNT`."""
    unique: list[Layer] = []
    for layer in layers:
        if all(iou(layer, other) < _SAME_MASK_IOU for other in unique):
            unique.append(layer)
    return unique[:COUNT]
