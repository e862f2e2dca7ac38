"""The people of a background: their heads, faces and depth order, and the expected size of heads by position."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float64, Pixels
from .._images.region import bounding_box
from ..segmentation.heads import head_around
from ._roll import rotated

#: The margins between a head and its face at the left, top, right and bottom, in the head's width and height.
_FACE = (0.08, 0.2, 0.08, 0.0)
#: The least level of a pixel of a reduced mask that is completely inside.
_MIN_INSIDE_LEVEL = 250
#: The longer side of masks if no person has one.
_MASK_SIDE = 256
#: The prior of the slope by which heads lower in the image are larger, in octaves per height of the image.
_SLOPE_PRIOR = 0.35
#: The weight of the prior, in pairs of people whose heads are one head's height apart.
_PAIRS = 3.0
#: The largest slope, in octaves per height of the image.
_MAX_SLOPE = 3.0
#: The tolerance by which two halves of the weight count as equal, as a share of the whole.
_EVEN = 1e-9
#: The largest distance of a mask's end from the lower border at which it ends there, as a share of the height.
_MAX_BORDER_GAP = 0.03
#: The height of the lower end of a mask, as a share of a head.
_END_HEADS = 0.3
#: The share of that end from which on it is occluded by others, if they are below so much of it.
_OCCLUDED_SHARE = 0.5
#: A person of fewer heads ends at the hips or above, or sits.
_MAX_SHORT_HEADS = 4.6
#: The largest horizontal distance of two people whom the same object may occlude, in heads.
_MAX_OCCLUSION_HEADS = 2.0
#: The largest difference of their visible heights, in heads.
_MAX_HEIGHT_DIFFERENCE = 1.0
#: The least visible height of a standing person who is not occluded below the knees, in heads.
_STANDING = 5.0
#: The distance below the chin of the row by which depth is compared, in heads.
_DEPTH_ROW_HEADS = 0.5
#: The least distance by which that row of a nearer person is lower, in heads.
MIN_NEARER_HEADS = 0.25


class Crowd(NamedTuple):
    """The people of a background."""

    masks: Bools  # the masks of the people, [P, h, w], of the image's aspect but smaller
    solid: Bools  # the pixels of these masks that are completely covered by the person, and so opaque
    faces: Bools  # the regions of the faces, likewise
    heads: Float64  # the boxes of the heads, [P, 4] in pixels of the image: left, top, right, bottom
    roll: float  # the roll of the image, in degrees clockwise
    #: The number of people with a mask, who come first; of the others only the head is known, so that no object can be
    #: placed behind them.
    masked: int
    #: The row at which each person ends, [P] in pixels: the feet, or the edge of a table; NaN for a person who is
    #: cropped or occluded by others below.
    ends: Float64
    sure: Float64  # the confidence of each detection, [P]

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def sizes(self) -> Float64:
        """The heights of the heads, [P]."""
        return self.heads[:, 3] - self.heads[:, 1]

    def upright(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Returns places after rotation by minus the roll, as in an upright image."""
        upright = rotated(np.asarray(x, np.float64), np.asarray(y, np.float64), -self.roll)
        return np.asarray(upright[0]), np.asarray(upright[1])

    def middles(self) -> tuple[Float64, Float64]:
        """Returns the middles of the heads, rotated upright."""
        return self.upright((self.heads[:, 0] + self.heads[:, 2]) / 2, (self.heads[:, 1] + self.heads[:, 3]) / 2)

    def size_at(self, x: Float64, y: Float64, height: float) -> Float64:
        """Returns the expected heights of heads at places of the image, whose height is given.

        The size grows exponentially with the row: the slope is the weighted median of those of all pairs (Theil 1950,
        Sen 1968) and of a prior, and is never negative.
        """
        _, rows = self.middles()
        octaves = np.log2(self.sizes)
        _, at = self.upright(x, y)
        first, second = np.triu_indices(len(self), 1)
        apart = rows[second] - rows[first]
        size = np.sqrt(self.sizes[first] * self.sizes[second])
        far = np.abs(apart) > 0.4 * size
        slopes = (octaves[second] - octaves[first])[far] / apart[far] * height
        weights = np.minimum(np.abs(apart[far]) / size[far], 3.0)
        slope = _median(np.append(slopes, _SLOPE_PRIOR), np.append(weights, _PAIRS))
        slope = float(np.clip(slope, 0.0, _MAX_SLOPE))
        # The median is robust to a few wrong sizes; detections of low confidence have little weight.
        level = _median(octaves - slope * rows / height, self.sure**2)
        # Sizes are extrapolated by one head's height beyond the heads, and no further.
        typical = float(np.median(self.sizes))
        at = np.clip(at, rows.min() - typical, rows.max() + typical)
        return np.asarray(2.0 ** (level + slope * at / height))

    def ground(self) -> tuple[Float64, Float64, Float64]:
        """Returns the ends of people whose end is visible: columns and rows, upright, and visible heights in heads."""
        visible = np.flatnonzero(np.isfinite(self.ends))
        x, y = self.upright((self.heads[visible, 0] + self.heads[visible, 2]) / 2, self.ends[visible])
        return x, y, (self.ends[visible] - self.heads[visible, 1]) / self.sizes[visible]

    def standing(self, size: tuple[int, int]) -> tuple[Float64, Float64]:
        """Returns the boxes [F, 4] of standing people whose feet are visible, and the heights of their heads, [F].

        size: width and height of the image.
        """
        standing = self._are_standing()
        across = np.asarray(self.masks[standing].any(1))
        wide = size[0] / self.masks.shape[2]
        left, right = across.argmax(1) * wide, size[0] - across[:, ::-1].argmax(1) * wide
        boxes = np.stack([left, self.heads[standing, 1], right, self.ends[standing]], 1)
        return boxes, self.sizes[standing]

    def _are_standing(self) -> Bools:
        """Returns which people stand with visible feet, [P]."""
        return (self.ends - self.heads[:, 1]) / self.sizes >= _STANDING

    def lean(self, size: tuple[int, int]) -> float:
        """Returns the median lean of people who stand with visible feet, in degrees clockwise; NaN without any.

        size: width and height of the image.
        """
        leans = []
        for i in np.flatnonzero(self._are_standing()):
            left, top, right, bottom = self.heads[i]
            rows = np.array((self.ends[i] - _END_HEADS * self.sizes[i], self.ends[i])) * self.masks.shape[1] / size[1]
            columns = np.nonzero(self.masks[i, int(rows[0]) : math.ceil(rows[1])])[1] + 0.5
            foot = float(columns.mean()) * size[0] / self.masks.shape[2]
            leans.append(math.degrees(math.atan2((left + right) / 2 - foot, self.ends[i] - (top + bottom) / 2)))
        return float(np.median(leans)) if leans else math.nan

    def depth(self) -> Float64:
        """Returns the depth order key of each person, [P], larger for nearer ones: a row below the chin, upright."""
        return self.middles()[1] + (0.5 + _DEPTH_ROW_HEADS) * self.sizes

    def depth_at(self, x: Float64, y: Float64, size: Float64) -> Float64:
        """Returns the key of `depth` for heads with their middles at places, and of a height."""
        return self.upright(x, y)[1] + (0.5 + _DEPTH_ROW_HEADS) * size


def off_the_line(crowd: Crowd, x: Float64, bottom: Float64, size: Float64, tall: float) -> Float64:
    """Returns the height of an occluded object's lower end above the line at which its neighbours end, [N].

    People who end at the waist or the hips side by side are occluded by one table or wall, which leaves a similar part
    of each visible. The height is infinite if there are no such neighbours.

    x, bottom, size: the middle of the object's lower end and the height of its head, [N].
    tall: the visible height of the object, in heads.
    """
    columns, rows, others = crowd.ground()
    short = (others < _MAX_SHORT_HEADS) & (np.abs(others - tall) <= _MAX_HEIGHT_DIFFERENCE)
    columns, rows = columns[short], rows[short]
    if not len(columns):
        return np.full(len(x), np.inf)
    x, bottom = crowd.upright(x, bottom)
    apart = np.abs(x[:, None] - columns)
    nearest = apart.argmin(1)
    return np.where(apart.min(1) <= _MAX_OCCLUSION_HEADS * size, rows[nearest] - bottom, np.inf)


def crowd_of(
    masks: Sequence[Pixels], heads: Float64, faces: Sequence[Sequence[float]], size: tuple[int, int], roll: float,
    sure: Float64,
) -> Crowd:  # fmt: skip
    """Returns the people of an image of a size (width, height).

    masks, heads: the masks of people, [h, w] uint8 of one shape, and the boxes of their heads, [P, 4].
    faces: the boxes of faces of others, who get the least confidence of the people with a mask.
    """
    if not len(masks) + len(faces):
        none = np.empty((0, 1, 1), bool)
        return Crowd(none, none, none, np.empty((0, 4)), roll, 0, np.empty(0), np.empty(0))
    factor = min(1.0, _MASK_SIDE / max(size))
    height, width = masks[0].shape if masks else (max(1, round(v * factor)) for v in size[::-1])
    across, down = width / size[0], height / size[1]
    y, x = np.mgrid[:height, :width] + 0.5
    others = np.array([head_around(face) for face in faces], np.float64).reshape(-1, 4)
    ovals = []
    for left, top, right, bottom in others:
        u = (x / across - (left + right) / 2) / (right - left)
        v = (y / down - (top + bottom) / 2) / (bottom - top)
        ovals.append(u * u + v * v <= 0.25)
    every, heads = np.stack([*(mask > 127 for mask in masks), *ovals]), np.concatenate([heads, others])
    inner = np.empty_like(every)
    for i, (left, top, right, bottom) in enumerate(heads):
        wide, high = right - left, bottom - top
        inside = (x > (left + _FACE[0] * wide) * across) & (x < (right - _FACE[2] * wide) * across)
        inside &= (y > (top + _FACE[1] * high) * down) & (y < (bottom - _FACE[3] * high) * down)
        inner[i] = every[i] & inside
    ends = np.full(len(every), np.nan)
    for i in range(len(masks)):
        ends[i] = _end(every[i], every[np.arange(len(every)) != i].any(0), (heads[i, 3] - heads[i, 1]) * down) / down
    solid = np.stack([*(mask >= _MIN_INSIDE_LEVEL for mask in masks), *ovals])
    every_sure = np.concatenate([sure, np.full(len(faces), sure.min(initial=1.0))])
    return Crowd(every, solid, inner, heads, roll, len(masks), ends, every_sure)


def _end(mask: Bools, others: Bools, head: float) -> float:
    """Returns the row below the last one of a mask; NaN if it is the image's last, or others are below."""
    height = len(mask)
    start, end = bounding_box(mask).box[1::2]
    if end >= (1 - _MAX_BORDER_GAP) * height:
        return np.nan
    first = max(start, end - max(2, round(_END_HEADS * head)))
    part = mask[first:end]
    columns = np.flatnonzero(part.any(0))
    lowest = first + len(part) - 1 - part[::-1, columns].argmax(0)
    below = others[np.minimum(lowest + 1, height - 1), columns] | others[np.minimum(lowest + 2, height - 1), columns]
    return np.nan if below.mean() > _OCCLUDED_SHARE else float(end)


def _median(values: Float64, weights: Float64) -> float:
    """Returns the weighted median; if two values each have half of the weight on their sides, their mean."""
    order = np.argsort(values)
    passed = np.cumsum(weights[order]) / weights.sum()
    first, last = np.searchsorted(passed, (0.5 - _EVEN, 0.5 + _EVEN))
    return float((values[order][first] + values[order][min(last, len(values) - 1)]) / 2)
