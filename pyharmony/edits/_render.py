"""Drawing: the changes of an edit, at the size, sharpness and colours of the original, into a copy of it.

The edit is sampled in the *fine frame*, that of the original at the edit's resolution, or the original's own where the
edit has as many pixels. There its colours are mapped and its blur is undone; if the original is larger, the result is
enlarged. All is done inside the changes only, in bands of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._arrays import VALUE_RANGE, Bools, Float32, Float64, NumpyArray, Pixels, Rectangle, round_into
from .._images.levels import colour_levels, levels_of_shares
from .._images.sizes import resized
from ..ops.distance import distance_inside
from ..ops.warp import warp
from ..upscaling import super_resolve
from ._analysis import Analysis
from ._blur import blur_of, filtered, inverse_of
from ._planes import planes_of, resizing, scaled_box, translation
from ._space import SAME_SPACE, Space

_ROWS = 256  # of the original that are drawn at once
#: The pixels around a part of the fine frame that its enlargement reads, by either way.
_LANCZOS_REACH, _SRGAN_REACH = 4, 24
_HALO = 12  # pixels of the fine frame around a part, which the filter of sharpness reads
#: The shares of the original's size from which on the fine frame is the original's own.
_FULL_SCALE = 0.9
_ENLARGED_SCALE = 1.4  # the factor from which on an edit is an enlargement
#: Squares in which blur is measured: how many, their side, and the border that is not compared, in fine pixels.
_SQUARES, _SQUARE_SIDE, _BORDER = 12, 96, 8
#: The longer side of the part of a change from which its sharpness is learnt.
_PART_SIDE = 320


@dataclass(frozen=True)
class Drawer:
    """An edit, ready to be drawn into its original."""

    original: NumpyArray  # [H, W, C]
    edited: NumpyArray  # [h, w, C], of any dtype
    analysis: Analysis
    space: Space = SAME_SPACE
    match_colours: bool = True
    match_sharpness: bool = True
    upscale: str = "lanczos"  # how the edit is enlarged, or 'srgan'

    @cached_property
    def size(self) -> tuple[int, int]:
        return self.original.shape[1], self.original.shape[0]

    @cached_property
    def matrix(self) -> Float64:
        """From the original to the edit, in their own pixels."""
        start = self.analysis.registration.start
        other = resizing(start.size, (self.edited.shape[1], self.edited.shape[0]))
        matrix = other @ self.analysis.registration.matrix @ resizing(self.size, self.analysis.size)
        return np.asarray(matrix / matrix[2, 2])

    @cached_property
    def fine(self) -> tuple[int, int]:
        """The size of the fine frame."""
        scale = _scale(self.matrix, self.size)
        if scale >= _FULL_SCALE:
            return self.size
        return max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale))

    @property
    def enlarges(self) -> bool:
        """Whether the edit has many more pixels than the original for the same."""
        return _scale(self.matrix, self.size) > _ENLARGED_SCALE

    @cached_property
    def source(self) -> tuple[NumpyArray, Float64]:
        """The edit, reduced if it has more pixels than the fine frame, and the matrix from the fine frame to it."""
        matrix = self.matrix @ resizing(self.fine, self.size)
        scale = _scale(matrix, self.fine)
        if scale < 1.2:
            return self.edited, matrix
        size = max(1, round(self.edited.shape[1] / scale)), max(1, round(self.edited.shape[0] / scale))
        reduced = resizing((self.edited.shape[1], self.edited.shape[0]), size)
        return resized(self.edited, size), reduced @ matrix

    def sampled(self, box: tuple[int, int, int, int]) -> Float32:
        """Returns the edit in a part of the fine frame, in the original's colours, levels [h, w, 3] as float32."""
        left, top, right, bottom = box
        image, matrix = self.source
        size = right - left, bottom - top
        is_inside = left >= 0 and top >= 0 and right <= self.fine[0] and bottom <= self.fine[1]
        if is_inside and image.shape[1::-1] == self.fine and np.allclose(matrix, np.eye(3), rtol=0, atol=1e-9):
            values = image[top:bottom, left:right].astype(np.float32)
        else:
            values = warp(image, matrix @ translation(left, top), size)
        values *= np.float32(255 / VALUE_RANGE[image.dtype.name])
        if values.shape[2] == 1:
            values = values.repeat(3, 2)
        if self.match_colours:
            values = self.analysis.tone.apply(values, box, self.fine)
        return values

    @cached_property
    def inverse(self) -> Float64:
        """The weights of the bands that give the edit the sharpness of the original."""
        if not self.match_sharpness:
            return np.zeros(0)
        own, other, fitting = [], [], []
        border = np.zeros((_SQUARE_SIDE, _SQUARE_SIDE), bool)
        border[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
        for left, top in self._squares():
            box = (left, top, left + _SQUARE_SIDE, top + _SQUARE_SIDE)
            own.append(self._own(box))
            other.append(self.sampled(box))
            levels = self.analysis.same.astype(np.uint8) * np.uint8(255)
            same = resized(levels, (_SQUARE_SIDE, _SQUARE_SIDE), self._in_view(box))
            fitting.append(border & (same > 254))
        if not own:
            return np.zeros(0)
        blur = blur_of(
            planes_of(np.concatenate(own))[1:2], planes_of(np.concatenate(other))[1:2], np.concatenate(fitting)
        )
        box = self._part()
        learnt = self._learnt.astype(np.uint8) * np.uint8(255)
        inside = resized(learnt, (box[2] - box[0], box[3] - box[1]), self._in_view(box))
        return inverse_of(blur, planes_of(self.sampled(box))[1:2], inside > 127)

    @property
    def _learnt(self) -> Bools:
        """The region from which sharpness is learnt, [h, w]: the largest change, or the view if there is none."""
        largest: Bools = self.analysis.numbers == 1
        return largest if largest.any() else self.analysis.visible

    def _squares(self) -> list[tuple[int, int]]:
        """Returns the positions of squares of the fine frame in which all is the same, evenly spread."""
        width, height = self.fine
        places = [
            (x, y)
            for y in range(0, height - _SQUARE_SIDE + 1, _SQUARE_SIDE // 2)
            for x in range(0, width - _SQUARE_SIDE + 1, _SQUARE_SIDE // 2)
        ]
        if not places:
            return []
        sums = np.pad(self.analysis.same, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        shares = []
        for x, y in places:
            left, top, right, bottom = (round(v) for v in self._in_view((x, y, x + _SQUARE_SIDE, y + _SQUARE_SIDE)))
            area = max(1, (right - left) * (bottom - top))
            count = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
            shares.append(count / area)
        order = np.argsort(-np.array(shares), kind="stable")
        good = [int(i) for i in order if shares[i] > 0.5][: 4 * _SQUARES]
        return [places[i] for i in sorted(good)[:: max(1, len(good) // _SQUARES)][:_SQUARES]]

    def _own(self, box: tuple[int, int, int, int]) -> Pixels:
        """Returns the original in a part of the fine frame, in the edit's space, levels [h, w, 3]."""
        part = scaled_box(box, self.fine, self.size)
        left, top = max(0, int(part[0]) - 8), max(0, int(part[1]) - 8)
        levels = colour_levels(self.original[top : int(part[3]) + 8, left : int(part[2]) + 8])
        place = part[0] - left, part[1] - top, part[2] - left, part[3] - top
        reduced = resized(levels, (box[2] - box[0], box[3] - box[1]), place)
        return np.rint(self.space.to_edit(reduced)).astype(np.uint8)

    def _in_view(self, box: Rectangle) -> Rectangle:
        """Returns a part of the fine frame in pixels of the view."""
        return scaled_box(box, self.fine, self.analysis.size)

    def _part(self) -> tuple[int, int, int, int]:
        """Returns the part of the fine frame, at most `_PART_SIDE` on a side, about the middle of the largest change.

        Without a change it is about the middle of the frame.
        """
        rows, columns = np.nonzero(self._learnt)
        x, y = self.fine[0] / self.analysis.size[0], self.fine[1] / self.analysis.size[1]
        result = []
        for places, scale, size in ((columns, x, self.fine[0]), (rows, y, self.fine[1])):
            low, high = int(places.min() * scale), int(np.ceil((places.max() + 1) * scale))
            middle = (low + high) // 2
            first = max(0, max(low, middle - _PART_SIDE // 2) - _HALO)
            result.append((first, min(size, min(high, middle + _PART_SIDE // 2) + _HALO)))
        return result[0][0], result[1][0], result[0][1], result[1][1]

    def sharpened(self, box: tuple[int, int, int, int], beyond: bool = False) -> Float32:
        """Returns the edit in a part of the fine frame with the colours and sharpness of the original, levels.

        beyond: whether the part may lie beyond the frame.
        """
        if not len(self.inverse) or not np.abs(self.inverse).max() > 1e-3:
            return self.sampled(box)
        left, top, right, bottom = box
        outer = self._within((left - _HALO, top - _HALO, right + _HALO, bottom + _HALO), beyond)
        values = self.sampled(outer)
        for channel, plane in enumerate(planes_of(values)):
            values[..., channel] = filtered(plane, self.inverse)
        return values[top - outer[1] : bottom - outer[1], left - outer[0] : right - outer[0]]

    def draw(self, soft: Pixels, limit: NumpyArray | None, out: NumpyArray, mask: Pixels) -> None:
        """Draws what a mask of the view shows into `out`, and the mask at full size into `mask`.

        soft: [h, w], of the view.
        limit: the caller's mask [H, W] of levels, or None.
        """
        rows, columns = np.nonzero(soft)
        if not len(rows):
            return
        x, y = self.size[0] / self.analysis.size[0], self.size[1] / self.analysis.size[1]
        left, right = max(0, int((columns.min() - 1) * x)), min(self.size[0], int(np.ceil((columns.max() + 2) * x)))
        top, bottom = max(0, int((rows.min() - 1) * y)), min(self.size[1], int(np.ceil((rows.max() + 2) * y)))
        for first in range(top, bottom, _ROWS):
            self._draw_band(soft, limit, (left, first, right, min(first + _ROWS, bottom)), out, mask)

    def _draw_band(
        self, soft: Pixels, limit: NumpyArray | None, box: tuple[int, int, int, int], out: NumpyArray, mask: Pixels
    ) -> None:
        left, top, right, bottom = box
        part = np.s_[top:bottom, left:right]
        levels = resized(soft, (right - left, bottom - top), scaled_box(box, self.size, self.analysis.size))
        if limit is not None:
            levels = np.minimum(levels, limit[part])
        if not levels.any():
            return
        values = self.at_full_size(box)
        values *= np.float32(VALUE_RANGE[out.dtype.name] / 255)
        if out.shape[2] == 1:
            values = values.mean(2, keepdims=True)
        weight = levels[..., None] * np.float32(1 / 255)
        target = out[part]
        round_into(target + weight * (values - target), target, where=levels[..., None] > 0)
        np.maximum(mask[part], levels, out=mask[part])

    def _within(self, box: tuple[int, int, int, int], beyond: bool) -> tuple[int, int, int, int]:
        """Returns the part of a part that lies in the fine frame; all of it where that may lie beyond."""
        left, top, right, bottom = box
        return box if beyond else (max(0, left), max(0, top), min(self.fine[0], right), min(self.fine[1], bottom))

    def at_full_size(self, box: tuple[int, int, int, int], beyond: bool = False) -> Float32:
        """Returns the edit in a part of the original, levels [h, w, 3] as float32; beyond: see `sharpened`."""
        if self.fine == self.size:
            return self.space.to_original(self.sharpened(box, beyond))
        left, top, right, bottom = box
        matrix = resizing(self.size, self.fine)
        reach = _SRGAN_REACH if self.upscale == "srgan" else _LANCZOS_REACH
        first = [int(np.floor(v)) - reach for v in (left * matrix[0, 0], top * matrix[1, 1])]
        last = [int(np.ceil(v)) + reach for v in (right * matrix[0, 0], bottom * matrix[1, 1])]
        inner = self._within((first[0], first[1], last[0], last[1]), beyond)
        values = self.sharpened(inner, beyond)
        onto = translation(-inner[0], -inner[1]) @ matrix
        if self.upscale == "srgan":
            factor = 2 if self.size[0] < 2.5 * self.fine[0] else 4
            values = values.clip(0, 255) * np.float32(1 / 255)
            small = values.shape[1], values.shape[0]
            values = super_resolve(values, factor, method="srgan") * np.float32(255)
            onto = resizing(small, (small[0] * factor, small[1] * factor)) @ onto
        values = self.space.to_original(values)
        return warp(values, onto @ translation(left, top), (right - left, bottom - top))


def _scale(matrix: Float64, size: tuple[int, int]) -> float:
    """Returns the factor by which a homography enlarges the middle of an image of a size."""
    x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
    points = matrix @ np.array([(x, y, 1.0), (x + 1, y, 1.0), (x, y + 1, 1.0)]).T
    across, down = (points[:2, i] / points[2, i] - points[:2, 0] / points[2, 0] for i in (1, 2))
    return float(np.sqrt(abs(across[0] * down[1] - across[1] * down[0])))


def softened(region: Bools, width: float) -> Pixels:
    """Returns a region [h, w] with a soft edge of a width in pixels outside of it, as levels."""
    away = distance_inside(~region)
    share = np.clip(1 - away / np.float32(width + 1), 0, 1)
    return levels_of_shares(share * share)
