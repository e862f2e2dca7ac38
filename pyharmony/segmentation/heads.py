"""Heads: the boxes of people's heads and bodies, decoded from the network's output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Float32, Rectangle
from .._images.planes import grown
from ._clicks import sigmoid
from .layers import Number, around_both

__all__ = ["FAINT", "Head", "corners", "faces_of_others", "head_around", "rectangle_of"]

#: The least confidence of a head.
FAINT = 0.15
#: The largest number of heads in one view.
_MAX_HEADS = 24
#: How far the chest is below the middle of a head, in its heights.
_CHEST = 1.4
#: The least share of the smaller one of two overlapping heads of one view with which only the first stays.
_MIN_OVERLAP = 0.5
#: The least intersection over union of two heads of several views that are one; the first one stays.
_UNION = 0.3
#: The least share of the smaller one that they have in common, which is sufficient, too.
_MIN_SMALLER_SHARE = 0.6
#: The sides of a quarter, as a share of those of the image; quarters overlap.
_QUARTER = 4 / 7
#: The least mean of the people map in the box of a person.
_PEOPLE = 0.3

#: The margin of a head at each side of its face, in the face's widths.
_FACE_SIDE_MARGIN = 0.05
#: The margin of a head above its face, in the face's heights.
_FACE_TOP_MARGIN = 0.3
#: The margin of a head below its face, in the face's heights.
_FACE_BOTTOM_MARGIN = 0.12
#: Rectangles are of one head if their sides differ by a pixel and this share of its height at most.
_ROUNDED = 0.05

"""A part of an image in pixels: left, top, right, bottom."""


class Head(NamedTuple):
    """A detected head of a person.

    Attributes:
        box: the rectangle (x, y, width, height) of the head, in pixels.
        body: the rectangle of the visible part of the person.
        sure: the confidence of the detection, 0 to 1.

    Example:
        >>> from pyharmony import segmentation
        >>> head = segmentation.Head(box=(40, 20, 30, 40), body=(20, 20, 80, 180), sure=0.8)
        >>> head.middle, head.clicks(400)
        ((54.5, 39.5), [(54.5, 39.5), (54.5, 95.5)])
    """

    box: tuple[float, float, float, float]
    body: tuple[float, float, float, float]
    sure: float

    @property
    def middle(self) -> tuple[float, float]:
        """The middle (x, y) of the head; that of the image's first pixel is (0, 0)."""
        return self.box[0] + self.box[2] / 2 - 0.5, self.box[1] + self.box[3] / 2 - 0.5

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """The rectangle (x, y, width, height) of whole pixels around the person."""
        left, top = math.floor(self.body[0]), math.floor(self.body[1])
        return left, top, math.ceil(self.body[0] + self.body[2]) - left, math.ceil(self.body[1] + self.body[3]) - top

    def clicks(self, height: int) -> list[tuple[float, float]]:
        """Returns the places (x, y) to click: the middle of the head, and the chest if the person extends that far.

        height: the height of the image.
        """
        x, y = self.middle
        chest = y + _CHEST * self.box[3]
        return [(x, y), (x, chest)] if chest < min(self.body[1] + self.body[3], height) - 1 else [(x, y)]


def heads_of(planes: Float32, width: int, height: int, least: float = FAINT) -> list[Head]:
    """Returns the heads that planes [h, w, 9] of the network encode, in pixels of an image, the most confident first.

    Heads are local maxima of the confidence, of at least `least`. Their sizes are means over the neighbouring places,
    weighted by confidence: those of one place alone have errors larger by a tenth.
    """
    sure = sigmoid(planes[..., 0])
    rows, columns = sure.shape
    places = np.argwhere((sure >= grown(sure)) & (sure >= least))
    weights = np.where(sure >= least, sure, 0)
    heads: list[Head] = []
    for row, column in sorted(places.tolist(), key=lambda place: -sure[place[0], place[1]]):
        right, below = planes[row, column, 1:3].tolist()
        near = np.s_[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        logs = np.tensordot(weights[near], planes[near][..., 3:], 2) / weights[near].sum()
        x, y = (column + 0.5 + right) * width / columns, (row + 0.5 + below) * height / rows
        # Damaged weights may give logarithms of any size.
        wide, high, *beside = (math.exp(min(v, 0.0)) for v in logs.tolist())
        box = x - wide * width / 2, y - high * height / 2, x + wide * width / 2, y + high * height / 2
        left, top, right, bottom = (v * side for v, side in zip(beside, (width, height) * 2, strict=True))
        body = around_both(box, (x - left, y - top, x + right, y + bottom))
        head = Head(_rectangle(box, width, height), _rectangle(body, width, height), float(sure[row, column]))
        if all(shared(corners(head.box), corners(other.box)) < _MIN_OVERLAP for other in heads):
            heads.append(head)
    return heads[:_MAX_HEADS]


def quarters(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Returns the boxes of an image's quarters, which overlap; small heads are larger in them."""
    wide, high = round(_QUARTER * width), round(_QUARTER * height)
    return [(x, y, x + wide, y + high) for y in (0, height - high) for x in (0, width - wide)]


def among_people(heads: Sequence[Head], people: Float32, width: int, height: int) -> list[Head]:
    """Returns those heads whose people's boxes contain people by the people map, which rejects lamps and leaves.

    people: the people map [h, w] in [0, 1], of the same view as the heads.
    """
    rows, columns = people.shape

    def mean(body: Rectangle) -> float:
        left, top = int(body[0] * columns / width), int(body[1] * rows / height)
        right, bottom = math.ceil(body[2] * columns / width), math.ceil(body[3] * rows / height)
        return float(people[top:bottom, left:right].mean())

    return [head for head in heads if mean(corners(head.body)) >= _PEOPLE]


def in_picture(heads: Sequence[Head], part: Rectangle, width: int, height: int) -> list[Head]:
    """Returns heads of a part of an image in pixels of the image, without those that the part's border cuts."""
    left, top, right, bottom = part
    uncut_heads = []
    for head in heads:
        ends = corners(head.box)
        cut = (ends[0] <= 0 < left, ends[1] <= 0 < top,
               ends[2] >= right - left and right < width, ends[3] >= bottom - top and bottom < height)  # fmt: skip
        # Such a head is completely in another part, or so large that it is detected in the whole image.
        if not any(cut):
            box, body = ((x + left, y + top, wide, high) for x, y, wide, high in (head.box, head.body))
            uncut_heads.append(head._replace(box=box, body=body))
    return uncut_heads


def merged(views: Sequence[Sequence[Head]]) -> list[Head]:
    """Returns the heads of several views of an image, without duplicates, the most confident first."""
    distinct: list[Head] = []
    for head in sorted((head for heads in views for head in heads), key=lambda head: -head.sure):
        same = next((i for i, other in enumerate(distinct) if _one_head(head, other)), None)
        if same is None:
            distinct.append(head)
        else:
            # The body of a person who extends beyond one view is larger in another one.
            body = around_both(corners(distinct[same].body), corners(head.body))
            distinct[same] = distinct[same]._replace(body=rectangle_of(body))
    return distinct


def _one_head(first: Head, second: Head) -> bool:
    """Returns whether two heads are detections of one head in several views."""
    boxes = corners(first.box), corners(second.box)
    common = both(*boxes)
    return common >= _UNION * (area(boxes[0]) + area(boxes[1]) - common) or shared(*boxes) >= _MIN_SMALLER_SHARE


def both(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the area of the intersection of two boxes."""
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    return max(0.0, across) * max(0.0, down)


def area(box: Sequence[float]) -> float:
    """Returns the area of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the intersection of two boxes, as a share of the area of the smaller one."""
    return both(first, second) / min(area(first), area(second))


def corners(rectangle: Sequence[float]) -> Rectangle:
    """Returns the box of a rectangle (x, y, width, height)."""
    return rectangle[0], rectangle[1], rectangle[0] + rectangle[2], rectangle[1] + rectangle[3]


def rectangle_of(box: Sequence[Number]) -> tuple[Number, Number, Number, Number]:
    """Returns the rectangle (x, y, width, height) of a box."""
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def head_around(face: Sequence[float]) -> Rectangle:
    """Returns the box of the head around the box of a face, as face detectors define it."""
    left, top, right, bottom = face
    wide, high = right - left, bottom - top
    return (
        left - _FACE_SIDE_MARGIN * wide,
        top - _FACE_TOP_MARGIN * high,
        right + _FACE_SIDE_MARGIN * wide,
        bottom + _FACE_BOTTOM_MARGIN * high,
    )


def face_in(head: Sequence[float]) -> tuple[float, float, float, float]:
    """Returns the rectangle of the face in that of a head, as face detectors define it."""
    x, y, wide, high = head
    wide, high = wide / (1 + 2 * _FACE_SIDE_MARGIN), high / (1 + _FACE_TOP_MARGIN + _FACE_BOTTOM_MARGIN)
    return x + _FACE_SIDE_MARGIN * wide, y + _FACE_TOP_MARGIN * high, wide, high


def faces_of_others(
    heads: Sequence[Head], heads_with_mask: Sequence[Sequence[float]]
) -> list[tuple[float, float, float, float]]:
    """Returns the rectangles of the faces of heads that are not among those of people with a mask."""
    boxes = np.array([corners(head) for head in heads_with_mask], np.float64).reshape(-1, 4)
    faces = []
    for head in heads:
        apart = np.abs(boxes - corners(head.box)).max(1, initial=0)
        if not (apart <= 1 + _ROUNDED * head.box[3]).any():
            faces.append(face_in(head.box))
    return faces


def _rectangle(box: Rectangle, width: int, height: int) -> tuple[float, float, float, float]:
    """Returns the rectangle of a box clipped to an image, at least a pixel wide and high."""
    left, top = min(max(box[0], 0.0), width - 1.0), min(max(box[1], 0.0), height - 1.0)
    return left, top, max(1.0, min(box[2], float(width)) - left), max(1.0, min(box[3], float(height)) - top)
