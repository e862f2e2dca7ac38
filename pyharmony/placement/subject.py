"""What placing knows of the object: its silhouette in bands, the head, and the sides on which its picture cut it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._images.levels import shares_of
from .._images.region import bounding_box
from .._images.sizes import fitted, resized
from ..errors import ArgumentError, MaskError
from ..segmentation import Posture
from ..segmentation.layers import Layer, Pixels, box_of
from ..segmentation.people import head_of
from ._roll import turned

__all__ = ["SIDES", "enlarged_at_most", "matrix_of", "subject_of"]

Float = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SIDES = ("left", "top", "right", "bottom")
#: How many times larger an object becomes at most in a background of which a screen shows all pixels.
_ENLARGED = 2.5
#: The longer side of such a background.
_SHOWN = 1600
#: Who is cut at both of these fits only as large as in their own picture.
OPPOSITE = (frozenset(("left", "right")), frozenset(("top", "bottom")))
#: The longer side of the reduced mask.
_SIDE = 256
#: The number of bands of the silhouette.
BANDS = 12
#: A side cuts the object if it touches the frame there along this share of its own width or height, ...
_TOUCHES = 0.12
#: ... and if it is hardly wider this share of the other side further inside, where a head or a shoe that only touches
#: would be. What touches at the left or the right of a person is a limb, which widens inwards where it is cut, too.
_INSIDE = 0.04
#: So many times as wide as at the frame is hardly wider.
_WIDER = 1.6
#: An object that touches along this share of its side is cut however much wider it is inside: nothing round would.
_ALONG = 0.25
#: How far before the frame a mask that it cuts may end, as a share of the picture.
_BEFORE = 0.012
#: From this level on a pixel of a mask is inside.
_INSIDE_MASK = 128
#: The most points along an edge.
_POINTS = 256
#: A mask ends near the lower edge if it does so within this share of the height.
_NEAR = 0.04
#: Near that edge a person of more heads stands on it without touching it, and one of fewer who touches it is cut.
_STANDS = 6.2
#: Near that edge a person of fewer heads is cut without touching it: masks drawn by hand seldom reach the frame.
_CUT = 5.0
#: A person who is fewer heads tall was hidden below by something in the picture, a table or somebody, if not cut.
_HIDDEN = 3.8
#: So was a person without feet in the pose who is fewer heads tall: under a long dress no feet are seen either.
_WHOLE = 6.2


class Subject(NamedTuple):
    """An object, in pixels of its picture.

    Attributes:
        size: width and height of the picture.
        mask: where the object is, [h, w], of the picture's shape but smaller; of who sits down to the seat.
        box: the part of the picture in which that is: left, top, right, bottom.
        head: the box of the head; of what is no person, None.
        cut: the sides on which the picture's frame cut it.
        is_hidden: whether it counts as cut at the bottom since something in its picture hid the rest.
        bands: [B, 4], the left, top, right and bottom of the silhouette, band by band from above.
        edges: for each of the sides in cut the points [N, 2] on which it is cut, by the picture's own pixels.
        most: how much larger it becomes at most.
    """

    size: tuple[int, int]
    mask: Bools
    box: tuple[float, float, float, float]
    head: tuple[float, float, float, float] | None
    cut: frozenset[str]
    is_hidden: bool
    bands: Float
    edges: Mapping[str, Float]
    most: float = math.inf

    @property
    def anchor(self) -> tuple[float, float, float, float]:
        """The box that places are told by: the head, or all of it."""
        return self.head or self.box

    @property
    def tall(self) -> float:
        """How many heads tall what is seen of it is, or 1."""
        top, bottom = self.anchor[1], self.anchor[3]
        return (self.box[3] - top) / (bottom - top)

    def contour(self) -> Float:
        """Returns the points [N, 2] on which the object is cut: (x, y) of the edges of its outermost pixels."""
        return np.concatenate([np.empty((0, 2)), *(self.edges[side] for side in sorted(self.cut))])


def subject_of(
    mask: Pixels,
    head: tuple[float, float, float, float] | None,
    is_person: bool,
    cut: Collection[str] | None,
    posture: Posture | None = None,
) -> Subject:
    """Returns what is known of an object by its mask [H, W] of 0 to 255.

    Who sits has nothing to sit on: all of them from the hips on counts as cut off, and so has to leave the picture or
    to be behind somebody.

    Raises:
        MaskError: the mask is empty.
        ArgumentError: cut names something else than sides.
    """
    height, width = mask.shape
    small = resized(mask, fitted((width, height), _SIDE))
    values = shares_of(small)
    layer = Layer((0, 0, width, height), values, 1.0)
    box = box_of(layer)
    if box is None:
        raise MaskError("mask: empty, nothing in it is at least half inside; expected the object")
    region = values > 0.5
    if head is None and is_person:
        head = head_of(layer)
    is_hidden = False
    seat = None
    if cut is None and posture is not None and posture.seat is not None and head is not None:
        # Hips above the chin, or all of the mask, are none.
        seat = round(posture.seat) if max(head[3], box[1] + 1) < posture.seat < box[3] else None
    if seat is not None:
        region[math.ceil(seat * len(region) / height) :] = False
        box = (box[0], box[1], box[2], seat)
        sides = _sides(region, True) | {"bottom"}
    elif cut is None:
        sides = _sides(region, head is not None)
        tall = math.inf if head is None else (box[3] - box[1]) / (head[3] - head[1])
        near = head is not None and box[3] >= (1 - _NEAR) * height
        touches = near and bool((mask[-1] >= _INSIDE_MASK).any())
        short = tall < (_STANDS if touches else _CUT if near else _HIDDEN)
        if head is not None and posture is not None and not touches:
            short = posture.feet is None and tall < _WHOLE
        if short:
            is_hidden = not near and "bottom" not in sides
            sides |= {"bottom"}
        elif near and not touches and (tall > _STANDS or (posture is not None and posture.feet is not None)):
            sides -= {"bottom"}
    else:
        for side in cut:
            if not isinstance(side, str) or side not in SIDES:
                raise ArgumentError(f"cut: {side!r}, expected some of {', '.join(SIDES)}")
        sides = frozenset(cut)
    bands, edges = _bands(region, (width, height)), {side: _edge(mask, side) for side in sides}
    if seat is not None:
        edges["bottom"] = _from_row_on(mask, box[3])
    return Subject((width, height), region, box, head, sides, is_hidden, bands, edges)


def _edge(mask: Pixels, side: str) -> Float:
    """Returns points [N, 2] along what of a mask [H, W] lies at a side of its picture: (x, y) of edges of pixels."""
    # Seen from the side, rows go away from it.
    view = _seen_from(mask, side)
    rows = view.max(1) >= _INSIDE_MASK
    if not rows.any():
        return np.empty((0, 2))
    depth = int(rows.argmax()) + _slack(view)
    region = view[:depth] >= _INSIDE_MASK
    at = np.flatnonzero(region.any(0))
    at = at[np.unique(np.linspace(0, len(at) - 1, _POINTS).round().astype(int))]
    away = region[:, at].argmax(0).astype(np.float64)
    along = at + 0.5
    # The outermost pixels reach half a pixel farther.
    along[0], along[-1] = at[0], at[-1] + 1
    height, width = mask.shape
    if side in ("left", "right"):
        return np.stack([away if side == "left" else width - away, along], 1)
    return np.stack([along, away if side == "top" else height - away], 1)


def _from_row_on(mask: Pixels, row: int) -> Float:
    """Returns points [N, 2] along what of a mask [H, W] lies in a row, and along both sides of it from there on."""
    part = mask[row:] >= _INSIDE_MASK
    rows = np.flatnonzero(part.any(1))
    along = np.flatnonzero(part[rows[:1]].any(0))
    ends = part[rows].argmax(1), part.shape[1] - part[rows, ::-1].argmax(1)
    below = [np.stack([columns, row + rows + 1.0], 1) for columns in ends]
    points = np.concatenate([np.stack([along + 0.5, np.full(len(along), float(row))], 1), *below])
    return points[np.unique(np.linspace(0, len(points) - 1, _POINTS).round().astype(int))]


def _sides(region: Bools, is_person: bool) -> frozenset[str]:
    """Returns the sides of the frame that cut a region."""
    high, wide = bounding_box(region).shape
    sides: set[str] = set()
    limbs: set[str] = set()
    for side in SIDES:
        view = _seen_from(region, side)
        extent, into = (wide, high) if side in ("top", "bottom") else (high, wide)
        slack = _slack(view)
        touching = int(np.count_nonzero(view[:slack].any(0)))
        inside = int(np.count_nonzero(view[min(slack + round(_INSIDE * into), len(view) - 1)]))
        like_cut = inside <= _WIDER * touching or touching >= _ALONG * extent
        if touching >= max(2, _TOUCHES * extent):
            (sides if like_cut else limbs).add(side)
    # Who is cut at both sides fits nowhere, so there the rounder one is let go.
    upright = {"left", "right"}
    if is_person and len((sides | limbs) & upright) == 1:
        sides |= limbs & upright
    return frozenset(sides)


def _seen_from(region: npt.NDArray[Any], side: str) -> npt.NDArray[Any]:
    """Returns a region or mask turned so that its first row is the one at a side."""
    return {"left": region.T, "right": region.T[::-1], "top": region, "bottom": region[::-1]}[side]


def _slack(region: Bools) -> int:
    """Returns how many rows at a side count as its edge: masks often end a little before the frame."""
    return max(1, round(_BEFORE * len(region)))


def _bands(region: Bools, size: tuple[int, int]) -> Float:
    """Returns the left, top, right and bottom of bands of a region, in pixels of the picture."""
    height, width = region.shape
    across, down = size[0] / width, size[1] / height
    rows = np.flatnonzero(region.any(1))
    edges = np.linspace(rows[0], rows[-1] + 1, min(BANDS, len(rows)) + 1).round().astype(int)
    bands = []
    for top, bottom in itertools.pairwise(edges):
        part = region[top:bottom]
        nonempty = part.any(1)
        if not nonempty.any():
            continue
        left = part[nonempty].argmax(1).mean()
        right = width - part[nonempty][:, ::-1].argmax(1).mean()
        bands.append((left * across, top * down, right * across, bottom * down))
    return np.array(bands)


def matrix_of(size: tuple[int, int], x: float, y: float, scale: float, angle: float, flip: bool) -> Float:
    """Returns [2, 3], which takes pixels of the object's picture to where they come to lie."""
    cos, sin = (float(v) for v in turned(1.0, 0.0, angle))
    sign = -1.0 if flip else 1.0
    linear = scale * np.array([[cos * sign, -sin], [sin * sign, cos]])
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    return np.concatenate([linear, (np.array([x, y]) - linear @ middle)[:, None]], 1)


def enlarged_at_most(size: tuple[int, int]) -> float:
    """Returns how many times larger an object becomes at most in a background of a size (width, height)."""
    return _ENLARGED * max(1.0, max(size) / _SHOWN)
