"""Objects cut out of pictures, and their copies at other sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import _arrays
from ..._arrays import Bools, Pixels
from ..._images.region import Region, bounding_box
from ..._images.sizes import block_means
from ..._native import native
from ...errors import UnusableSample

#: From this value on a pixel of a mask is inside.
INSIDE_LEVEL = 128
#: The pixels around an object that stay in its cut-out, since the gradients across its contour need them: at least, and
#: as a share of its longer side.
_MARGIN, _SHARE = 2, 1 / 32
#: With fewer pixels along a side an object is not halved any more.
_MIN_HALVED_SIDE = 8


class Scaled(NamedTuple):
    """A cut-out at a size.

    Attributes:
        levels: [h, w, 4].
        hard: bool [h, w], where the mask is at least half inside.
        box: the region of these pixels.
        area: their number.
    """

    levels: Pixels
    hard: Bools
    box: Region
    area: int

    @classmethod
    def of(cls, levels: Pixels) -> Scaled:
        hard = levels[..., 3] >= INSIDE_LEVEL
        return cls(levels, hard, box_of(hard), int(np.count_nonzero(hard)))

    @property
    def mirrored(self) -> Scaled:
        width, box = self.hard.shape[1], self.box
        mirrored_box = Region(box.y0, box.y1, width - box.x1, width - box.x0) if self.area else box
        return Scaled(self.levels[:, ::-1], self.hard[:, ::-1], mirrored_box, self.area)


def box_of(hard: Bools) -> Region:
    """Returns the smallest region with all pixels that are set; quicker than `bounding_box` for small arrays."""
    rows: Bools = np.any(hard, axis=1)
    columns: Bools = np.any(hard, axis=0)
    top, left = int(rows.argmax()), int(columns.argmax())
    if not rows[top]:
        return Region(0, 0, 0, 0)
    return Region(top, len(rows) - int(rows[::-1].argmax()), left, len(columns) - int(columns[::-1].argmax()))


class Cutout:
    """An object with a margin around it, as levels [h, w, 4] of red, green, blue and mask, at full and halved sizes.

    Args:
        image: uint8 [H, W, 3].
        mask: uint8 [H, W].

    Raises:
        UnusableSample: no pixel of the mask is at least half inside.
    """

    def __init__(self, image: Pixels, mask: Pixels) -> None:
        core = bounding_box(mask >= INSIDE_LEVEL)
        if core.empty:
            raise UnusableSample("mask: empty; no pixel is at least half inside")
        box = bounding_box(mask)
        region = box.expand(max(_MARGIN, round(max(box.shape) * _SHARE)), mask.shape)
        levels = np.empty((*region.shape, 4), np.uint8)
        levels[..., :3], levels[..., 3] = region.of(image), region.of(mask)
        self._sizes = [levels]
        self._own = Scaled.of(levels)
        #: Height and width of the object.
        self.shape = core.shape

    @property
    def image(self) -> Pixels:
        return self._sizes[0][..., :3]

    @property
    def mask(self) -> Pixels:
        return self._sizes[0][..., 3]

    @property
    def nbytes(self) -> int:
        """The memory of the cut-out with all its halved copies."""
        return self._sizes[0].nbytes * 4 // 3 + self._own.hard.nbytes

    def scaled(self, factor: float) -> Scaled:
        """Returns the cut-out with its sides times a factor, at least a pixel.

        Below a half, the nearest larger one of the halved copies is resized, so that the cost does not grow with the
        size of the donor; the filter of the rest widens as it shrinks. It is linear when it enlarges.
        """
        full = self._sizes[0]
        height, width = (max(1, round(side * factor)) for side in full.shape[:2])
        if (height, width) == full.shape[:2]:
            return self._own
        number = 0
        while (half := self._half(number)) is not None and half.shape[0] >= height and half.shape[1] >= width:
            number += 1
        levels = self._sizes[number]
        out = np.empty((height, width, 4), np.uint8)
        box = 0.0, 0.0, full.shape[1] / (1 << number), full.shape[0] / (1 << number)  # without what was padded
        native.resize(_arrays.view(levels, "levels"), _arrays.view(out, "out", writable=True), *box)
        return Scaled.of(out)

    def _half(self, number: int) -> Pixels | None:
        """Returns the copy after a copy; None if that is too small. Several threads compute the same."""
        sizes = self._sizes
        if len(sizes) == number + 1 and min(sizes[number].shape[:2]) >= 2 * _MIN_HALVED_SIDE:
            self._sizes = sizes = [*sizes, _halved(sizes[number])]
        return sizes[number + 1] if len(sizes) > number + 1 else None


def _halved(levels: Pixels) -> Pixels:
    """Returns the means of blocks of 2 x 2 pixels; an odd side gets a copy of its last line."""
    height, width = levels.shape[:2]
    if height % 2 or width % 2:
        levels = np.pad(levels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    halves: Any = block_means(levels[..., :3], 2), block_means(levels[..., 3], 2)
    return np.dstack(halves)
