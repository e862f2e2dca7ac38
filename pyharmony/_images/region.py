"""Regions of an image, and properties of masks and crops that the blends need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._cuda import DeviceArray
from .._native import native

COARSEST_SIDE = 64  # the largest number of pixels on the short side of a pyramid's coarsest level
#: The widest strip, in pixels, between a mask and the border of the image that counts as inside the mask.
STRIP = 3


@dataclass(frozen=True)
class Region:
    """A region of an image: rows y0..y1 and columns x0..x1, ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    @staticmethod
    def whole(shape: Sequence[int]) -> Region:
        """Returns all of an image of `shape`."""
        return Region(0, shape[0], 0, shape[1])

    @staticmethod
    def around(regions: Sequence[Region]) -> Region:
        """Returns the smallest region that contains all of some."""
        return Region(
            min(r.y0 for r in regions),
            max(r.y1 for r in regions),
            min(r.x0 for r in regions),
            max(r.x1 for r in regions),
        )

    @property
    def empty(self) -> bool:
        return self.y0 >= self.y1 or self.x0 >= self.x1

    @property
    def shape(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def origin(self) -> tuple[int, int]:
        """The first row and column."""
        return self.y0, self.x0

    @property
    def spans(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The start and the end of its rows, and of its columns."""
        return (self.y0, self.y1), (self.x0, self.x1)

    @property
    def ends(self) -> tuple[int, int, int, int]:
        """The first row, the end of the rows, and the same of the columns: the order of native code."""
        return self.y0, self.y1, self.x0, self.x1

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, in Pillow's order; the last two are excluded."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def rectangle(self) -> tuple[int, int, int, int]:
        """The first column and row, width and height."""
        return self.x0, self.y0, self.x1 - self.x0, self.y1 - self.y0

    def expand(self, pixels: int, shape: Sequence[int]) -> Region:
        """Returns the region with `pixels` more on every side, clipped to an image of `shape`."""
        return Region(
            max(self.y0 - pixels, 0),
            min(self.y1 + pixels, shape[0]),
            max(self.x0 - pixels, 0),
            min(self.x1 + pixels, shape[1]),
        )

    def overlap(self, other: Region) -> Region:
        """Returns the pixels of both; without any, the empty region at 0, of which every array has an empty view."""
        y0, y1, x0, x1 = max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1)
        return Region(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else Region(0, 0, 0, 0)

    def moved(self, rows: int, columns: int) -> Region:
        return Region(self.y0 + rows, self.y1 + rows, self.x0 + columns, self.x1 + columns)

    def tiles(self, side: int) -> list[Region]:
        """Returns the parts of the region, row by row, each at most `side` pixels wide and high."""
        return [
            Region(y, min(y + side, self.y1), x, min(x + side, self.x1))
            for y in range(self.y0, self.y1, side)
            for x in range(self.x0, self.x1, side)
        ]

    def contains(self, other: Region) -> bool:
        return self.overlap(other) == other

    def halved(self, times: int = 1) -> Region:
        """Returns the pixels that the region covers, at least in part, on a level that was halved `times` times."""
        up = (1 << times) - 1
        return Region(self.y0 >> times, (self.y1 + up) >> times, self.x0 >> times, (self.x1 + up) >> times)

    def of(self, array: Any, origin: tuple[int, int] = (0, 0)) -> Any:
        """Returns this region as a view of an array whose first pixel is at origin (y, x).

        An array on a device is a batch; its view is the region of all items.
        """
        rows = slice(self.y0 - origin[0], self.y1 - origin[0])
        columns = slice(self.x0 - origin[1], self.x1 - origin[1])
        if isinstance(array, DeviceArray):
            return array.cropped(slice(0, array.shape[0]), rows.start, rows.stop, columns.start, columns.stop)
        return array[rows, columns]


def as_float(mask: NumpyArray) -> NumpyArray:
    """Returns a mask of any dtype as float32 in [0, 1]."""
    scale = np.float32(_arrays.VALUE_RANGE.get(mask.dtype.name, 1.0))
    return np.divide(mask, scale, dtype=np.float32, casting="same_kind")


def bounding_box(mask: NumpyArray) -> Region:
    """Returns the smallest region of a mask [h, w] with every pixel above zero; empty if there is none."""
    if not mask.size:
        return Region(0, 0, 0, 0)
    m = mask.view(np.uint8) if mask.dtype == np.bool_ else mask
    rows = np.flatnonzero(m.max(axis=1))
    if rows.size == 0:
        return Region(0, 0, 0, 0)
    columns = np.flatnonzero(m[rows[0] : rows[-1] + 1].max(axis=0))
    return Region(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def to_border(box: Region, shape: Sequence[int]) -> Region:
    """Returns a mask's box with the strips that count as inside, for an image of `shape`."""
    if box.empty:
        return box
    far = box.expand(STRIP, shape)
    return Region(
        0 if far.y0 == 0 else box.y0,
        shape[0] if far.y1 == shape[0] else box.y1,
        0 if far.x0 == 0 else box.x0,
        shape[1] if far.x1 == shape[1] else box.x1,
    )


def close_strips(mask: NumpyArray, region: Region, shape: Sequence[int]) -> NumpyArray:
    """Returns a mask over a region of an image, with the strips at the image's border inside it.

    A strip is at most `STRIP` pixels of mask 0 between the border and the mask, along a row or a column; it gets the
    value of the pixel where it ends. The mask itself is returned if there is none.
    """
    result = mask
    at_border = region.y0 == 0, region.y1 == shape[0], region.x0 == 0, region.x1 == shape[1]
    for side in (i for i in range(4) if at_border[i]):

        def lines(a: NumpyArray, side: int = side) -> NumpyArray:
            """Returns the lines along the border, the outermost first."""
            a = a if side < 2 else a.T
            return (a[::-1] if side % 2 else a)[: STRIP + 1]

        wide = (lines(result) > 0).argmax(0)  # 0 where there is no strip
        if wide.any():
            result = mask.copy() if result is mask else result
            outer = lines(result)
            end = np.take_along_axis(outer, wide[None], 0)
            np.copyto(outer, end, where=np.arange(len(outer))[:, None] < wide)
    return result


def check_finite(
    x: NumpyArray,
    name: str,
    origin: tuple[int, int] = (0, 0),
    *,
    skip: NumpyArray | None = None,
    mask: NumpyArray | None = None,
) -> None:
    """Refuses NaN and Inf in x [h, w, C], a crop whose first pixel is at origin, where skip is not True."""
    if x.dtype.kind == "f":
        if skip is not None:
            x = np.where(skip[..., None], 0, x)
        _checks.finite(x, name, mask, origin)


def is_finite(x: NumpyArray) -> bool:
    """Returns whether x [h, w, C] has neither NaN nor Inf."""
    return x.dtype.kind != "f" or native.first_nonfinite(_arrays.view(x, "x", copies=True), None) is None


def regions_of(bbox: Region, shape: tuple[int, int], whole: bool) -> list[Region]:
    """Returns the region that is solved on each level, finest first, in pixels of that level over all of dst.

    Each region starts at an even pixel and, doubled, covers the region of the next finer level, so that a level's
    doubled result is the initial value of the finer one.
    """
    regions = [Region.whole(shape) if whole else _even(bbox.expand(2, shape))]
    while min(regions[-1].shape) > COARSEST_SIDE:
        finer = regions[-1]
        shape = (shape[0] + 1) // 2, (shape[1] + 1) // 2
        coarse = finer.halved()
        regions.append(coarse if whole else _even(coarse.expand(1, shape)))
    return regions


def covered_by(regions: list[Region], shape: tuple[int, int]) -> Region:
    """Returns the part of dst under the coarsest region."""
    last, count = regions[-1], len(regions) - 1
    part = Region(last.y0 << count, last.y1 << count, last.x0 << count, last.x1 << count)
    return part.overlap(Region.whole(shape))


def _even(region: Region) -> Region:
    return Region(region.y0 & ~1, region.y1, region.x0 & ~1, region.x1)
