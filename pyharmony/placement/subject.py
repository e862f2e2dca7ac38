"""The geometry of a subject: its silhouette in bands, the head, and the sides on which its photo crops it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float64, Pixels, Rectangle
from .._images.levels import shares_of
from .._images.region import bounding_box
from .._images.sizes import fitted, resized
from ..errors import ArgumentError, MaskError
from ..segmentation import Posture
from ..segmentation.layers import Layer, box_of
from ..segmentation.people import head_of
from ..segmentation.surroundings import HEAD, Thing
from ._roll import rotated

__all__ = ["SIDES", "enlarged_at_most", "matrix_of", "subject_of"]


SIDES = ("left", "top", "right", "bottom")
#: The largest scale of an object in a background that a screen displays in full resolution.
_ENLARGED = 2.5
#: The longer side of such a background.
_REFERENCE_SIDE = 1600
#: Pairs of sides: an object cropped at both of one fits only at the size that it has in its own photo.
OPPOSITE = (frozenset(("left", "right")), frozenset(("top", "bottom")))
#: The longer side of the reduced mask.
_REDUCED_MASK_SIDE = 256
#: The number of bands of the silhouette.
BANDS = 12
#: An object is cropped at a side that it touches along this share of its own width or height, ...
_TOUCHES = 0.12
#: ... unless it is much wider this share of its other side further inside, like a head or a shoe that only touches.
#: At the left or the right of a person a limb touches, which may widen inwards although it is cropped.
_INNER_ROW_SHARE = 0.04
#: The ratio to the width at the border from which on it is much wider.
_MIN_WIDENING = 1.6
#: The share of its side along which an object that touches is cropped in any case: no round object touches so far.
_MIN_TOUCHING_SHARE = 0.25
#: The largest distance of a cropped mask from the border of the photo, as a share of the photo's side.
_MAX_CROP_GAP = 0.012
#: The least level of a pixel inside a mask.
_INSIDE_MASK = 128
#: The largest number of points along an edge.
_POINTS = 256
#: The largest distance of a mask's end from the lower border at which it ends near it, as a share of the height.
_MAX_END_GAP = 0.04
#: Near that border, a person of more heads who does not touch it is whole, and one of fewer who touches it is cropped.
_STANDS = 6.2
#: Near that border, a person of fewer heads is cropped without touching it: hand-drawn masks seldom reach the border.
_CUT = 5.0
#: A person of fewer heads elsewhere was occluded from below, by a table or another person, unless cropped.
_HIDDEN = 3.8
#: So was a person of fewer heads whose pose shows no feet; a taller one may wear a long dress, which hides them too.
_MIN_WHOLE_HEADS = 6.2


class Subject(NamedTuple):
    """A subject, in pixels of its photo."""

    size: tuple[int, int]  # width and height of the photo
    #: The mask of the object, [h, w], of the photo's aspect but smaller; of a sitting person down to the seat.
    mask: Bools
    box: Rectangle  # the bounding box of the mask: left, top, right, bottom
    head: Rectangle | None  # the box of the head; None if the object is not a person
    cut: frozenset[str]  # the sides on which the photo crops it
    is_hidden: bool  # whether it counts as cropped at the bottom because another object occluded the rest in its photo
    bands: Float64  # [B, 4], the left, top, right and bottom of the silhouette in bands, from top to bottom
    #: For each of the sides in cut the points [N, 2] of the cropped edge, at the photo's own resolution.
    edges: Mapping[str, Float64]
    most: float = math.inf  # the largest scale
    thing: Thing = HEAD  # what is in the anchor

    @property
    def anchor(self) -> Rectangle:
        """The box by which candidates are positioned: the head, or the whole object."""
        return self.head or self.box

    @property
    def tall(self) -> float:
        """The height of the visible part in heads, or 1 for an object without a head."""
        top, bottom = self.anchor[1], self.anchor[3]
        return (self.box[3] - top) / (bottom - top)

    def contour(self) -> Float64:
        """Returns the points [N, 2] of all cropped edges: (x, y) of the edges of the outermost pixels."""
        return np.concatenate([np.empty((0, 2)), *(self.edges[side] for side in sorted(self.cut))])


def subject_of(
    mask: Pixels, head: Rectangle | None, is_person: bool, cut: Collection[str] | None, posture: Posture | None = None
) -> Subject:
    """Returns the geometry of an object by its mask [H, W] of 0 to 255.

    A sitting person's seat is not part of the cut-out: the part from the hips on counts as cropped, and so has to be
    outside of the background or behind other people.
    """
    height, width = mask.shape
    small = resized(mask, fitted((width, height), _REDUCED_MASK_SIDE))
    values = shares_of(small)
    layer = Layer((0, 0, width, height), values, 1.0)
    box = box_of(layer)
    if box is None:
        raise MaskError("mask: empty, expected a pixel of at least one half")
    region = values > 0.5
    if head is None and is_person:
        head = head_of(layer)
    is_hidden = False
    seat = None
    if cut is None and posture is not None and posture.seat is not None and head is not None:
        # Hips above the chin, or below the mask, are wrong estimates.
        seat = round(posture.seat) if max(head[3], box[1] + 1) < posture.seat < box[3] else None
    if seat is not None:
        region[math.ceil(seat * len(region) / height) :] = False
        box = (box[0], box[1], box[2], seat)
        sides = _sides(region, True) | {"bottom"}
    elif cut is None:
        sides = _sides(region, head is not None)
        tall = math.inf if head is None else (box[3] - box[1]) / (head[3] - head[1])
        near = head is not None and box[3] >= (1 - _MAX_END_GAP) * height
        touches = near and bool((mask[-1] >= _INSIDE_MASK).any())
        short = tall < (_STANDS if touches else _CUT if near else _HIDDEN)
        if head is not None and posture is not None and not touches:
            short = posture.feet is None and tall < _MIN_WHOLE_HEADS
        if short:
            is_hidden = not near and "bottom" not in sides
            sides |= {"bottom"}
        elif near and not touches and (tall > _STANDS or (posture is not None and posture.feet is not None)):
            sides -= {"bottom"}
    else:
        for side in cut:
            if not isinstance(side, str) or side not in SIDES:
                raise ArgumentError(f"cropped_sides: {side!r}, expected some of {', '.join(SIDES)}")
        sides = frozenset(cut)
    bands, edges = _bands(region, (width, height)), {side: _edge(mask, side) for side in sides}
    if seat is not None:
        edges["bottom"] = _from_row_on(mask, box[3])
    return Subject((width, height), region, box, head, sides, is_hidden, bands, edges)


def _edge(mask: Pixels, side: str) -> Float64:
    """Returns points [N, 2] along the part of a mask [H, W] at a side of its photo: (x, y) of edges of pixels."""
    # The first row of the view is at that side.
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
    # The outermost pixels extend half a pixel farther.
    along[0], along[-1] = at[0], at[-1] + 1
    height, width = mask.shape
    if side in ("left", "right"):
        return np.stack([away if side == "left" else width - away, along], 1)
    return np.stack([along, away if side == "top" else height - away], 1)


def _from_row_on(mask: Pixels, row: int) -> Float64:
    """Returns points [N, 2] along a mask [H, W] in a row, and along both of its sides below that row."""
    part = mask[row:] >= _INSIDE_MASK
    rows = np.flatnonzero(part.any(1))
    along = np.flatnonzero(part[rows[:1]].any(0))
    ends = part[rows].argmax(1), part.shape[1] - part[rows, ::-1].argmax(1)
    below = [np.stack([columns, row + rows + 1.0], 1) for columns in ends]
    points = np.concatenate([np.stack([along + 0.5, np.full(len(along), float(row))], 1), *below])
    return points[np.unique(np.linspace(0, len(points) - 1, _POINTS).round().astype(int))]


def _sides(region: Bools, is_person: bool) -> frozenset[str]:
    """Returns the sides of the photo on which a region is cropped."""
    high, wide = bounding_box(region).shape
    sides: set[str] = set()
    limbs: set[str] = set()
    for side in SIDES:
        view = _seen_from(region, side)
        extent, into = (wide, high) if side in ("top", "bottom") else (high, wide)
        slack = _slack(view)
        touching = int(np.count_nonzero(view[:slack].any(0)))
        inside = int(np.count_nonzero(view[min(slack + round(_INNER_ROW_SHARE * into), len(view) - 1)]))
        like_cut = inside <= _MIN_WIDENING * touching or touching >= _MIN_TOUCHING_SHARE * extent
        if touching >= max(2, _TOUCHES * extent):
            (sides if like_cut else limbs).add(side)
    # An object that is cropped at both sides fits nowhere, so a limb counts only if the other side is whole.
    upright = {"left", "right"}
    if is_person and len((sides | limbs) & upright) == 1:
        sides |= limbs & upright
    return frozenset(sides)


def _seen_from(region: npt.NDArray[Any], side: str) -> npt.NDArray[Any]:
    """Returns a region or mask oriented so that its first row is at a side."""
    return {"left": region.T, "right": region.T[::-1], "top": region, "bottom": region[::-1]}[side]


def _slack(region: Bools) -> int:
    """Returns the number of rows that count as the border of a side: masks often end a little before it."""
    return max(1, round(_MAX_CROP_GAP * len(region)))


def _bands(region: Bools, size: tuple[int, int]) -> Float64:
    """Returns the left, top, right and bottom of bands of a region, in pixels of the photo."""
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


def matrix_of(size: tuple[int, int], x: float, y: float, scale: float, angle: float, flip: bool) -> Float64:
    """Returns the matrix [2, 3] from pixels of the object's photo to pixels of the background."""
    cos, sin = (float(v) for v in rotated(1.0, 0.0, angle))
    sign = -1.0 if flip else 1.0
    linear = scale * np.array([[cos * sign, -sin], [sin * sign, cos]])
    middle = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    return np.concatenate([linear, (np.array([x, y]) - linear @ middle)[:, None]], 1)


def enlarged_at_most(size: tuple[int, int]) -> float:
    """Returns the largest scale of an object in a background of a size (width, height)."""
    return _ENLARGED * max(1.0, max(size) / _REFERENCE_SIDE)
