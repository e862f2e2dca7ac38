"""The people of a picture as placing sees them: heads, faces, who stands before whom, and how large heads are where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._images.region import bounding_box
from ..segmentation.heads import head_around
from ..segmentation.layers import Pixels
from ._roll import turned
from .subject import Bools, Float

#: A face in a head: what is left out at each side, above and below, in its width and height.
_FACE = (0.08, 0.2, 0.08, 0.0)
#: From this level on a pixel of a mask made smaller is inside all over.
_SOLID = 250
#: The longer side of masks where nobody has one.
_SIDE = 256
#: How much larger heads are that lie lower, in octaves a height of a picture: the prior, where no two people show it.
_USUAL = 0.35
#: How many pairs of people with a head's height between them the prior counts for.
_PAIRS = 3.0
#: The largest change that is believed, in octaves a height of the picture.
_STEEPEST = 3.0
#: By how much of the whole two halves of the weight may differ and be even.
_EVEN = 1e-9
#: A mask ends at the lower edge of the picture if it does so within this share of the height.
_AT_EDGE = 0.03
#: The height of the lower end of a mask, as a share of a head.
_END = 0.3
#: That end is hidden by others if they are below this share of it.
_OTHERS = 0.5
#: Who is fewer heads tall ends at the hips at most, or sits.
_SHORT = 4.6
#: Within so many heads beside somebody the same thing hides both.
_BESIDE = 2.0
#: What hides two people leaves heights of them that differ by so many heads at most.
_AS_SHORT = 1.0
#: From so many heads on somebody stands, and neither sits nor is hidden below the knees.
_STANDING = 5.0
#: How many heads below the chin the row is by which it is compared who stands before whom.
_BELOW = 0.5
#: Somebody stands before another if that row lies lower by so many heads.
NEARER = 0.25


class Crowd(NamedTuple):
    """People.

    Attributes:
        masks: where each is seen, [P, h, w], of the picture's shape but smaller.
        solid: the pixels of these masks that are of one person all over, by whom nothing is seen.
        faces: where the face of each is seen, likewise.
        heads: the boxes of the heads, [P, 4] in pixels of the picture: left, top, right, bottom.
        roll: by how much the picture is turned, in degrees clockwise.
        masked: how many of them have a mask, the first ones; of the others nothing but the head is known, and nobody
            can stand behind them.
        ends: the row at which each ends, [P] in pixels: the feet, or the edge of a table; NaN where the picture ends
            first, or somebody hides it.
        sure: how sure it is that each is there, [P].
    """

    masks: Bools
    solid: Bools
    faces: Bools
    heads: Float
    roll: float
    masked: int
    ends: Float
    sure: Float

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def sizes(self) -> Float:
        """The heights of the heads, [P]."""
        return self.heads[:, 3] - self.heads[:, 1]

    def upright(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Float, Float]:
        """Returns places as they were if the picture were not turned."""
        upright = turned(np.asarray(x, np.float64), np.asarray(y, np.float64), -self.roll)
        return np.asarray(upright[0]), np.asarray(upright[1])

    def middles(self) -> tuple[Float, Float]:
        """Returns the middles of the heads, upright."""
        return self.upright((self.heads[:, 0] + self.heads[:, 2]) / 2, (self.heads[:, 1] + self.heads[:, 3]) / 2)

    def size_at(self, x: Float, y: Float, height: float) -> Float:
        """Returns how high a head is at places of the picture, which is as high as `height`.

        Heads grow with the row by a constant number of octaves: the slopes of all pairs give it by their weighted
        median (Theil 1950, Sen 1968), together with what is usual, and it is never negative.
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
        slope = _median(np.append(slopes, _USUAL), np.append(weights, _PAIRS))
        slope = float(np.clip(slope, 0.0, _STEEPEST))
        # The median is right even if some heads are small or large; a head that may be none hardly counts.
        level = _median(octaves - slope * rows / height, self.sure**2)
        # Beyond those who are there nothing is known: sizes go on by one head's height, and no further.
        typical = float(np.median(self.sizes))
        at = np.clip(at, rows.min() - typical, rows.max() + typical)
        return np.asarray(2.0 ** (level + slope * at / height))

    def ground(self) -> tuple[Float, Float, Float]:
        """Returns where those end whose end is seen: columns and rows, upright, and how many heads tall each is."""
        visible = np.flatnonzero(np.isfinite(self.ends))
        x, y = self.upright((self.heads[visible, 0] + self.heads[visible, 2]) / 2, self.ends[visible])
        return x, y, (self.ends[visible] - self.heads[visible, 1]) / self.sizes[visible]

    def standing(self, size: tuple[int, int]) -> tuple[Float, Float]:
        """Returns the boxes [F, 4] of those who stand and whose feet are seen, and the heights of their heads, [F].

        size: width and height of the picture.
        """
        tall = (self.ends - self.heads[:, 1]) / self.sizes
        standing = np.flatnonzero(tall >= _STANDING)
        across = np.asarray(self.masks[standing].any(1))
        wide = size[0] / self.masks.shape[2]
        left, right = across.argmax(1) * wide, size[0] - across[:, ::-1].argmax(1) * wide
        boxes = np.stack([left, self.heads[standing, 1], right, self.ends[standing]], 1)
        return boxes, self.sizes[standing]

    def depth(self) -> Float:
        """Returns how near each is, [P]: the upright row of the chin and somewhat more for large heads."""
        _, rows = self.middles()
        return rows + (0.5 + _BELOW) * self.sizes


def nearness(crowd: Crowd, x: Float, y: Float, size: Float) -> Float:
    """Returns how near somebody is whose head has its middle at places and a height, as `Crowd.depth` tells it."""
    _, rows = crowd.upright(x, y)
    return rows + (0.5 + _BELOW) * size


def off_the_line(crowd: Crowd, x: Float, bottom: Float, size: Float, tall: float) -> Float:
    """Returns by how much an object whose lower end is hidden is above the line at which those beside it end, [N].

    Where others end at the waist or the hips, a table or a wall hides all of them, whom it leaves about as much of. It
    is infinite where nobody does.

    Args:
        crowd: the people.
        x, bottom: the middle of the object's lower end, [N].
        size: the height of the object's head, [N].
        tall: how many heads tall the object is.
    """
    columns, rows, others = crowd.ground()
    short = (others < _SHORT) & (np.abs(others - tall) <= _AS_SHORT)
    columns, rows = columns[short], rows[short]
    if not len(columns):
        return np.full(len(x), np.inf)
    x, bottom = crowd.upright(x, bottom)
    apart = np.abs(x[:, None] - columns)
    nearest = apart.argmin(1)
    return np.where(apart.min(1) <= _BESIDE * size, rows[nearest] - bottom, np.inf)


def crowd_of(
    masks: Sequence[Pixels], heads: Float, faces: Sequence[Sequence[float]], size: tuple[int, int], roll: float,
    sure: Float,
) -> Crowd:  # fmt: skip
    """Returns the people of a picture of a size (width, height).

    Args:
        masks: where each is seen, [h, w] uint8 of one shape.
        heads: the boxes of their heads, [P, 4].
        faces: the boxes of faces of others.
        size: of the picture.
        roll: by how much it is turned.
        sure: how sure it is that each of those with a mask is there, [P]; others are as sure as the least of them.
    """
    if not len(masks) + len(faces):
        none = np.empty((0, 1, 1), bool)
        return Crowd(none, none, none, np.empty((0, 4)), roll, 0, np.empty(0), np.empty(0))
    factor = min(1.0, _SIDE / max(size))
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
    solid = np.stack([*(mask >= _SOLID for mask in masks), *ovals])
    every_sure = np.concatenate([sure, np.full(len(faces), sure.min(initial=1.0))])
    return Crowd(every, solid, inner, heads, roll, len(masks), ends, every_sure)


def _end(mask: Bools, others: Bools, head: float) -> float:
    """Returns the row below the last one of a mask; NaN where it is that of the picture, or others are below."""
    height = len(mask)
    start, end = bounding_box(mask).box[1::2]
    if end >= (1 - _AT_EDGE) * height:
        return np.nan
    first = max(start, end - max(2, round(_END * head)))
    part = mask[first:end]
    columns = np.flatnonzero(part.any(0))
    lowest = first + len(part) - 1 - part[::-1, columns].argmax(0)
    below = others[np.minimum(lowest + 1, height - 1), columns] | others[np.minimum(lowest + 2, height - 1), columns]
    return np.nan if below.mean() > _OTHERS else float(end)


def _median(values: Float, weights: Float) -> float:
    """Returns the weighted median: of two values between which half of the weight lies the mean."""
    order = np.argsort(values)
    passed = np.cumsum(weights[order]) / weights.sum()
    first, last = np.searchsorted(passed, (0.5 - _EVEN, 0.5 + _EVEN))
    return float((values[order][first] + values[order][min(last, len(values) - 1)]) / 2)
