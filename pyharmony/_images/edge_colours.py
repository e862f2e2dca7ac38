"""Estimates the object's colours at soft edges from the compositing equation, I = αF + (1 − α)B.

Source: Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation", ICPR 2020. The colours F of the
object and B of the background minimise

    Σ_i (α_i F_i + (1 − α_i) B_i − I_i)² + Σ_(i, j) (ε + |α_i − α_j|) ((F_i − F_j)² + (B_i − B_j)²)

over the pixels i and their neighbours j, from coarse levels to fine ones. For a coarse level the paper reduces image
and alpha. Here a cell has the mean of its pixels' equations, which separates F from B wherever their alpha differs;
only cells with soft pixels are solved for; and a pixel's colours are those closest to its cell's that satisfy its
equation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from ..ops.matting import MEANS, Edges, relaxed
from ..ops.pyramid import downsample, upsample
from .region import Region, bounding_box, check_finite
from .threads import in_threads

#: The alpha from which on a colour is the object's alone.
_OPAQUE = 0.99
# If the background is not known, colours are decontaminated by how much alpha varies in the three by three cells
# around a pixel.
_VARIANCE = 0.004  # the variance of alpha in [0, 1] from which on colours are fully decontaminated
_CELL_SHARE = 1 / 40  # the side of these cells is up to this share of the object's short side
_SWEEPS = 2  # the number of sweeps of each level of a tile
_WHOLE_SWEEPS = 6  # the number of sweeps of each level that is solved as a whole, where they cost little
_LEVELS = 3  # the number of halvings after which an image is solved as a whole
_CELL = 8  # the side of a cell after these halvings, in pixels
# Both are multiples of 32, so that a tile begins with an even cell.
_TILE = 256  # the side of the tiles in which finer levels are solved, in pixels
_TILE_MARGIN = 32  # pixels computed around each tile: the sweeps of levels 1 and 2 reach 24, so seams are invisible
_MIN_CELL_SHARE = np.float32(1e-6)  # a smaller share of a cell is a rounding error


class _Level(NamedTuple):
    """The equations of the cells of a level."""

    means: NumpyArray  # [h, w, 9] float32, the means of 1, α, α², αI and I over a cell, 0 for pixels without colour
    soft: NumpyArray  # [h, w] bool, the cells with soft pixels

    def halved(self) -> _Level:
        """Returns the next coarser level."""
        odd = [(0, side % 2) for side in self.soft.shape]
        means = np.pad(self.means, [*odd, (0, 0)]) if odd[0][1] or odd[1][1] else self.means
        soft = np.pad(self.soft, odd)
        rows = soft[::2] | soft[1::2]
        return _Level(downsample(means, 0.0), rows[:, ::2] | rows[:, 1::2])


def decontaminated(
    colours: NumpyArray, alpha: NumpyArray, corner: tuple[int, int], *, background: bool = False
) -> NumpyArray:
    """Returns colours in which those where alpha is between 0 and 1 are the object's alone, all others unchanged.

    At such pixels an image contains a share of its old background, visible as a halo on another background.

    colours: [h, w, 3], of an image dtype.
    alpha: [h, w], of the same dtype. From 0.99 on it counts as 1.
    corner: the position (y, x) of the first pixel in the caller's src, for messages.
    background: whether colours where alpha is zero are those of the background. If not, they are never read, and soft
        pixels far from opaque ones, such as glass, are not changed.

    Returns:
        [h, w, 3] of the same dtype, decontaminated colours within black and white or, for floats beyond, within their
        range; colours itself if nothing is changed.
    """
    frame, level = Region.whole(alpha.shape), VALUE_RANGE[colours.dtype.name]
    opaque = alpha >= _OPAQUE * level
    soft = (alpha > 0) & ~opaque
    box = bounding_box(soft)
    if box.empty or not (background or opaque.any()):
        return colours
    del opaque
    near = box.expand(_TILE_MARGIN, alpha.shape)
    check_finite(near.of(colours), "src", (corner[0] + near.y0, corner[1] + near.x0), skip=near.of(alpha) == 0)

    # The cells are aligned to the soft pixels' box, independent of the rest of the image.
    top, left = box.y0 - _TILE_MARGIN, box.x0 - _TILE_MARGIN
    high, wide = (-(-(side + 2 * _TILE_MARGIN) // _CELL) for side in box.shape)
    whole = Region(top, top + high * _CELL, left, left + wide * _CELL)
    edges = Edges(colours, alpha, soft, _OPAQUE, background)
    read_tiles = [tile for tile in whole.tiles(_TILE) if _is_read(edges, tile)]
    coarse, limits = _coarse(edges, whole, read_tiles)
    cells = _solved(coarse, limits)
    object_box = bounding_box(alpha)
    certain = None if background else _certainty(coarse, min(object_box.shape) // _CELL)
    result = colours.copy()

    def clean(tile: Region) -> None:
        """Decontaminates the soft pixels of a tile."""
        around = _grown(tile, _TILE_MARGIN).overlap(whole)
        levels = [_finest(edges, around)]
        while len(levels) < _LEVELS - 1:
            levels.append(levels[-1].halved())
        pairs = _cells_of(around, whole).of(cells)
        for finer in levels[::-1]:
            pairs = relaxed(*finer, pairs, limits, _SWEEPS)
        inside, share = tile.overlap(frame), None
        if certain is not None:
            share = _cells_of(around, whole).of(certain)
            for shape in (*(finer.soft.shape for finer in levels[::-1]), around.shape):
                share = upsample(share, shape)
            share = inside.of(share, around.origin)
        origin = inside.y0 - around.y0, inside.x0 - around.x0
        _part(edges, inside).write_own(pairs, origin, limits, inside.of(result), share)

    in_threads(clean, [tile for tile in read_tiles if tile.overlap(frame).of(soft).any()])
    return result


def _part(edges: Edges, region: Region) -> Edges:
    colours, alpha, soft = (region.of(plane) for plane in edges[:3])
    return edges._replace(colours=colours, alpha=alpha, soft=soft)


def _is_read(edges: Edges, tile: Region) -> bool:
    """Returns whether there are soft pixels in a tile, or near enough to depend on it."""
    frame = Region.whole(edges.alpha.shape)
    near = _grown(tile, _TILE_MARGIN).overlap(frame)
    return not tile.overlap(frame).empty and bool(near.of(edges.soft).any())


def _finest(edges: Edges, region: Region) -> _Level:
    """Returns the equations of the cells of 2 x 2 pixels of a region, which may extend beyond the image."""
    height, width = (side // 2 for side in region.shape)
    level = _Level(np.empty((height, width, MEANS), np.float32), np.empty((height, width), bool))
    edges.cells(region.origin, 1, *level)
    return level


def _certainty(level: _Level, size: int) -> NumpyArray:
    """Returns how well a level's equations separate object from background [h, w], float32, 0 to 1.

    It is 0 if alpha is the same all around. size: the short side of the object in cells.
    """
    levels = [level]
    while size * _CELL_SHARE > 2 ** len(levels):
        levels.append(levels[-1].halved())
    padded = np.pad(levels[-1].means[..., :3], [(1, 1), (1, 1), (0, 0)])
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    means = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    count, alpha, square = (means[..., i] / np.maximum(means[..., 0], _MIN_CELL_SHARE) for i in range(3))
    result: NumpyArray = (square - alpha * alpha) / np.float32(_VARIANCE)
    for finer in levels[-2::-1]:
        result = upsample(result.clip(0, 1), finer.soft.shape)
    return result.clip(0, 1)


def _grown(region: Region, pixels: int) -> Region:
    return Region(region.y0 - pixels, region.y1 + pixels, region.x0 - pixels, region.x1 + pixels)


def _cells_of(region: Region, whole: Region) -> Region:
    """Returns the coarse cells of a region, which consists of whole ones."""
    return Region(
        (region.y0 - whole.y0) // _CELL, (region.y1 - whole.y0) // _CELL,
        (region.x0 - whole.x0) // _CELL, (region.x1 - whole.x0) // _CELL,
    )  # fmt: skip


def _coarse(edges: Edges, whole: Region, tiles: list[Region]) -> tuple[_Level, tuple[float, float]]:
    """Returns the level that is solved as a whole, without cells in no tile, and the range of colours in the tiles."""
    cells = whole.shape[0] // _CELL, whole.shape[1] // _CELL
    means = np.zeros((*cells, MEANS), np.float32)
    soft = np.zeros(cells, bool)

    def reduce(tile: Region) -> tuple[float, float]:
        part = _cells_of(tile, whole)
        return edges.cells(tile.origin, _LEVELS, part.of(means), part.of(soft))

    lows, highs = zip(*in_threads(reduce, tiles), strict=True)
    return _Level(means, soft), (min(lows), max(highs))


def _solved(level: _Level, limits: tuple[float, float]) -> NumpyArray:
    """Returns the colours of object and background [h, w, 2, C] of a level, from all coarser levels."""
    coarser = None if max(level.soft.shape) == 1 else _solved(level.halved(), limits)
    return relaxed(*level, coarser, limits, _WHOLE_SWEEPS)
