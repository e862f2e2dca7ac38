"""The grid on which shadows are computed, which is the same for every size of an image, and so is the shadow.

An image of more than `CELLS` pixels is divided into about that many cells, and the shadow is computed there, with
places and lines to fractions of a cell. A mask is resampled to the grid by a Gaussian, narrowed by the blur of its own
pixels, so that masks of all sizes give the same values at the same places. A shadow is resampled to the image as the
mean of a smooth function over each pixel, so that the means of small pixels are the values of the larger pixels that
they make up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Float32, Float64
from .._images.region import Region
from .._images.threads import in_threads
from ._geometry import Line
from ._parts import moments

#: The largest number of cells of a grid.
CELLS = 750_000
_VARIANCE = 0.5  # the variance of the Gaussian by which a mask is resampled, in square cells
_FOLLOWED = 4.0  # the reach of that Gaussian, in standard deviations
#: The length of a pixel, in cells, from which on the position of the object within a pixel matters.
_MIN_COARSE_PIXEL = 0.3
#: The number of multiplications of a matrix product that OpenBLAS computes in one thread, without synchronisation.
_SINGLE_THREAD_PRODUCTS = 1 << 18
#: The margin of a card around its object, in which the Gaussian falls to 0, in cells.
_CARD_MARGIN = 4
_ROWS = 128  # the rows of a mask in each task of a thread
_OUTPUTS = 16  # the outputs of each band of a product
_PIXELS = 64  # the columns of the image in each band if the grid is enlarged


class Band(NamedTuple):
    """A part of a product with a band matrix: its outputs, its inputs, and the entries there."""

    outputs: slice
    inputs: slice
    entries: Float32


@dataclass(frozen=True)
class Grid:
    """The cells of an image."""

    image_size: tuple[int, int]  # width and height of the image, in pixels
    size: tuple[int, int]  # the number of cells from left to right and from top to bottom

    @classmethod
    def over(cls, width: int, height: int) -> Grid:
        """Returns the grid of an image: about `CELLS` cells, or its pixels if it has fewer."""
        share = min(1.0, math.sqrt(CELLS / (width * height)))
        return cls((width, height), (max(1, round(width * share)), max(1, round(height * share))))

    @property
    def across(self) -> float:
        """The width of a pixel, in cells."""
        return self.size[0] / self.image_size[0]

    @property
    def down(self) -> float:
        """The height of a pixel, in cells."""
        return self.size[1] / self.image_size[1]

    @property
    def coarse(self) -> bool:
        """Whether the position of the object within partly covered pixels matters."""
        return max(self.across, self.down) > _MIN_COARSE_PIXEL

    def row(self, y: float) -> float:
        """Returns the row of the grid, from the centre of its first cell, at a row of the image."""
        return (y + 0.5) * self.down - 0.5

    def place(self, at: tuple[float, float]) -> tuple[float, float]:
        """Returns the place on the grid of a place (x, y) in the image."""
        return (at[0] + 0.5) * self.across - 0.5, self.row(at[1])

    def line(self, line: Line) -> Line:
        """Returns the line on the grid of a line in the image."""
        slope = line.slope * self.down / self.across
        return Line(self.row(line.start - 0.5 * line.slope) + 0.5 * slope, slope)

    def row_of_image(self, y: float) -> float:
        """Returns the row of the image at a row of the grid."""
        return (y + 0.5) / self.down - 0.5

    def line_of_image(self, line: Line) -> Line:
        """Returns the line in the image of a line on the grid."""
        slope = line.slope * self.across / self.down
        return Line(self.row_of_image(line.start - 0.5 * line.slope) + 0.5 * slope, slope)

    def card(self, mask: npt.NDArray[Any], box: Region, white: float) -> tuple[Float32, Region]:
        """Returns a mask [h, w] from 0 to `white` over a box of the image, resampled to the grid, and its box there.

        Beyond the box the mask is 0. The card's box may extend beyond the image.
        """
        part = Region(
            math.floor(box.y0 * self.down) - _CARD_MARGIN, math.ceil(box.y1 * self.down) + _CARD_MARGIN,
            math.floor(box.x0 * self.across) - _CARD_MARGIN, math.ceil(box.x1 * self.across) + _CARD_MARGIN,
        )  # fmt: skip
        columns = [_weighting(self.across, part.x0, part.x1, box.x0, box.x1, order) for order in range(3)]
        rows = [_weighting(self.down, part.y0, part.y1, box.y0, box.y1, order) for order in range(3)]
        card = _weighted(mask, rows[0], columns[0])
        if self.coarse:
            for down, across, moment in moments(mask.astype(np.float32) / np.float32(white)):
                card += np.float32(white) * _weighted(moment, rows[down], columns[across])
        card /= np.float32(white)
        return np.clip(card, 0, 1, out=card), part

    def parts(
        self, image: npt.NDArray[Any], across: tuple[float, float], down: tuple[float, float], most: int,
        mask: npt.NDArray[Any], box: Region, white: float,
    ) -> tuple[Float32, Float32]:  # fmt: skip
        """Returns the mean colours of parts of the image without an object, at most so many along a side.

        across, down: the start and end of the parts, in cells; each part is at least a cell long.
        mask, box, white: the mask of the object over a box, [h, w], from 0 to `white`.

        Returns:
            The mean colours of an image [H, W, C] over the parts, [h, w, C], and the share of each outside of the
            object, [h, w]; a completely covered part is black.
        """
        ends = [((side[0] + 0.5) / pixel, (side[1] + 0.5) / pixel, max(1, min(most, round(side[1] - side[0]))))
                for side, pixel in ((across, self.across), (down, self.down))]  # fmt: skip
        (columns, left, right), (rows, top, _) = (
            _areas(low, high, count, limit) for (low, high, count), limit in zip(ends, self.image_size, strict=True)
        )
        wide, channels, columns_of_image = right - left, image.shape[2], image[:, left:right]

        def averaged(band: Band) -> tuple[Float32, Float32]:
            part = Region(top + band.inputs.start, top + band.inputs.stop, left, right)
            values = np.ascontiguousarray(columns_of_image[part.y0 : part.y1], np.float32)
            if image.dtype.kind == "f":
                # Transparent pixels may be NaN. The conversion copies the caller's values.
                values = np.nan_to_num(values)
            object_share = np.zeros((len(band.entries), wide), np.float32)
            inner = part.overlap(box)
            if not inner.empty:
                mask_part = inner.of(mask, box.origin).astype(np.float32) / np.float32(white)
                inside = inner.of(values, part.origin)
                inside *= 1 - mask_part[..., None]
                entries = band.entries[:, inner.y0 - part.y0 : inner.y1 - part.y0]
                under = object_share[:, inner.x0 - left : inner.x1 - left]
                for at in _columns_at_once(band, inner.shape[1]):
                    under[:, at] = entries @ mask_part[:, at]
            flat = values.reshape(part.shape[0], wide * channels)
            sums = np.empty((len(band.entries), wide * channels), np.float32)
            for at in _columns_at_once(band, wide * channels):
                np.matmul(band.entries, flat[:, at], out=sums[:, at])
            bare = 1 - _along_rows(object_share, columns)
            planes = [_along_rows(sums[:, channel::channels], columns) for channel in range(channels)]
            means: Float32 = np.stack(planes, 2)
            means /= np.maximum(bare, 1e-6)[..., None]
            return means, bare

        colours, shares = zip(*in_threads(averaged, rows), strict=True)
        return np.concatenate(colours), np.concatenate(shares)


def _areas(low: float, high: float, count: int, limit: int) -> tuple[list[Band], int, int]:
    """Returns the means over `count` equal parts between two edges along an axis, and the range of their pixels."""
    first, last = max(0, math.floor(low)), min(limit, math.ceil(high))
    edges = np.linspace(low, high, count + 1)
    taps = np.floor(edges[:-1]).astype(np.intp)[:, None] + np.arange(math.ceil((high - low) / count) + 1)
    weights = np.minimum(taps + 1, edges[1:, None]) - np.maximum(taps, edges[:-1, None])
    weights = np.where((taps >= first) & (taps < last), np.maximum(weights, 0), 0)
    return _bands(taps, weights / weights.sum(1, keepdims=True), first, last, 4), first, last


def _weighted(values: npt.NDArray[Any], rows: list[Band], columns: list[Band]) -> Float32:
    """Returns the product of values [h, w] with bands along both axes."""

    def narrowed(start: int) -> Float32:
        return _along_rows(np.ascontiguousarray(values[start : start + _ROWS], np.float32), columns)

    narrow = np.concatenate(in_threads(narrowed, range(0, len(values), _ROWS)))
    result = np.empty((rows[-1].outputs.stop, narrow.shape[1]), np.float32)
    for band in rows:
        for few in _columns_at_once(band, result.shape[1]):
            np.matmul(band.entries, narrow[band.inputs, few], out=result[band.outputs, few])
    return result


def _along_rows(values: Float32, bands: list[Band]) -> Float32:
    """Returns the product of each row of values [h, w] with bands."""
    result = np.empty((len(values), bands[-1].outputs.stop), np.float32)
    for band in bands:
        count = max(1, _SINGLE_THREAD_PRODUCTS // band.entries.size)
        for start in range(0, len(values), count):
            few = values[start : start + count, band.inputs]
            result[start : start + count, band.outputs] = few @ band.entries.T
    return result


def _columns_at_once(band: Band, width: int) -> Iterator[slice]:
    """Yields groups of columns whose product with a band is small enough for one thread."""
    count = max(1, _SINGLE_THREAD_PRODUCTS // band.entries.size)
    for start in range(0, width, count):
        yield slice(start, min(start + count, width))


def _weighting(pixel: float, low: int, high: int, first: int, last: int, order: int) -> list[Band]:
    """Returns the product from pixels `first` to `last` of an image to the cells from `low` to `high` along an axis.

    pixel: the length of a pixel, in cells.
    order: 0; 1 or 2 for the first or second derivative by the position of the coverage within a pixel.
    """
    # For an evenly covered pixel the mean of the Gaussian over it is nearly a wider Gaussian.
    variance = _VARIANCE / pixel**2 + 1 / 12
    centres = (np.arange(low, high) + 0.5) / pixel - 0.5
    reach = _FOLLOWED * math.sqrt(variance)
    taps = np.floor(centres - reach).astype(np.intp)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    away = (taps - centres[:, None]) / math.sqrt(variance)
    weights = np.exp(-0.5 * np.square(away))
    weights /= weights.sum(1, keepdims=True)
    if order == 1:
        weights *= -away / math.sqrt(variance)
    elif order == 2:
        weights *= (np.square(away) - 1) / variance
    return _bands(taps, weights, first, last)


class Spread(NamedTuple):
    """Values of a grid, prepared for resampling to the pixels of an image."""

    grid: Grid  # the grid
    values: Float32  # the values [h, w], padded with zeros
    corner: tuple[int, int]  # the column and row of the first of them, which is in the padding
    box: Region  # the part of the image
    wide: Float32  # the values, with their columns resampled to those of the box
    rows: list[Band]  # the product that resamples the rows, from the rows of `wide` to those of the box

    def part(self, band: Band, columns: slice) -> Float32:
        """Returns the values at rows of the box and at some of its columns."""
        values = np.empty((len(band.entries), columns.stop - columns.start), np.float32)
        wide = self.wide[band.inputs, columns]
        for few in _columns_at_once(band, values.shape[1]):
            np.matmul(band.entries, wide[:, few], out=values[:, few])
        return values

    def at(self, rows: Float64, columns: Float64) -> Float64:
        """Returns the values at places of the image, which may be between the centres of its pixels.

        rows, columns: the coordinates of the places; they broadcast.
        """
        (first, down), (left, across) = (
            _between(place * pixel + (pixel - 1) / 2 - start, size)
            for place, pixel, start, size in (
                (rows, self.grid.down, self.corner[1], self.values.shape[0]),
                (columns, self.grid.across, self.corner[0], self.values.shape[1]),
            )
        )
        upper = self.values[first, left] * (1 - across) + self.values[first, left + 1] * across
        lower = self.values[first + 1, left] * (1 - across) + self.values[first + 1, left + 1] * across
        result: Float64 = upper * (1 - down) + lower * down
        return result


def _between(places: Float64, size: int) -> tuple[npt.NDArray[np.intp], Float64]:
    """Returns the indices of the values before places, and the distances of the places from them."""
    inside = np.clip(places, 0, size - 1)
    first = np.minimum(inside.astype(np.intp), size - 2)
    return first, inside - first


def spread(grid: Grid, values: Float32, box: Region, rows_at_once: int) -> Spread:
    """Returns values [h, w] over a box of the grid, prepared for the pixels of the image in bands of `rows_at_once`."""
    part = Region(
        math.floor((box.y0 - 1) / grid.down), math.ceil((box.y1 + 1) / grid.down),
        math.floor((box.x0 - 1) / grid.across), math.ceil((box.x1 + 1) / grid.across),
    ).overlap(Region.whole(grid.image_size[::-1]))  # fmt: skip
    columns = _means(grid.across, part.x0, part.x1, box.x0, box.x1, _PIXELS)
    rows = _means(grid.down, part.y0, part.y1, box.y0, box.y1, rows_at_once)
    return Spread(grid, np.pad(values, 1), (box.x0 - 1, box.y0 - 1), part, _along_rows(values, columns), rows)


def _means(pixel: float, low: int, high: int, first: int, last: int, outputs: int) -> list[Band]:
    """Returns the product from cells `first` to `last` to the pixels from `low` to `high` of an image along an axis.

    A pixel's value is the mean over it of the function that is linear between the centres of cells; if pixels are
    cells, it is the cell's value.
    """
    if pixel == 1:
        return _bands(np.arange(low, high)[:, None], np.ones((high - low, 1)), first, last, outputs)
    edges = np.arange(low, high + 1) * pixel - 0.5
    taps = np.floor(edges[:-1]).astype(np.intp)[:, None] + np.arange(4)
    weights = (_sum_until(edges[1:, None] - taps) - _sum_until(edges[:-1, None] - taps)) / pixel
    return _bands(taps, weights, first, last, outputs)


def _sum_until(place: Float64) -> Float64:
    """Returns the integral up to a place of the triangle function that is 1 at 0 and 0 from -1 and from 1 on."""
    t = np.clip(place, -1, 1)
    return 0.5 + t - 0.5 * t * np.abs(t)


def _bands(taps: npt.NDArray[np.intp], weights: Float64, first: int, last: int, outputs: int = _OUTPUTS) -> list[Band]:
    """Returns the product with weights [n, k] of inputs at taps [n, k], which are 0 beyond `first` and `last`."""
    bands = []
    weights = np.where((taps >= first) & (taps < last), weights, 0)
    taps = np.clip(taps, first, last - 1) - first
    for start in range(0, len(taps), outputs):
        few, their = taps[start : start + outputs], weights[start : start + outputs]
        low, high = int(few.min()), int(few.max()) + 1
        entries = np.zeros((len(few), high - low), np.float32)
        np.add.at(entries, (np.arange(len(few))[:, None], few - low), their)
        bands.append(Band(slice(start, start + len(few)), slice(low, high), entries))
    return bands
