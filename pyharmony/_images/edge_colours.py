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
from .._native import get_num_threads
from ..ops.pyramid import downsample, upsample
from .memory import Memory
from .region import Region, as_float, bounding_box, check_finite
from .threads import in_threads

#: The alpha from which on a colour is the object's alone.
_OPAQUE = 0.99
# If the background is not known, colours are decontaminated by how much alpha varies in the three by three cells
# around a pixel.
_VARIANCE = 0.004  # the variance of alpha in [0, 1] from which on colours are fully decontaminated
_AROUND = 1 / 40  # the side of these cells is up to this share of the object's short side
#: The weight of neighbours, ε: the paper's 1e-5 follows noise and errors of alpha more.
_SMOOTH = 1e-2
#: The weight of its cell's colours relative to a pixel's own equation.
_PRIOR = 0.1
_SWEEPS = 2  # the number of sweeps of each level of a tile
_WHOLE_SWEEPS = 6  # the number of sweeps of each level that is solved as a whole, where they cost little
_LEVELS = 3  # the number of halvings after which an image is solved as a whole
_CELL = 8  # the side of a cell after these halvings, in pixels
# Both are multiples of 32, so that a tile begins with an even cell.
_TILE = 256  # the side of the tiles in which finer levels are solved, in pixels
_BESIDE = 32  # pixels computed around each tile: the sweeps of levels 1 and 2 reach 24, so seams are invisible
_NOTHING = np.float32(1e-6)  # a smaller share of a cell is a rounding error
_TINY = np.float32(1e-12)  # the smallest divisor, a determinant


class _Level(NamedTuple):
    """The equations of the cells of a level."""

    #: [h, w, 3 + 2 C] float32, the means of 1, α, α², αI and I over a cell, 0 for pixels without colour.
    means: NumpyArray
    soft: NumpyArray  # [h, w] bool, the cells with soft pixels

    def halved(self) -> _Level:
        """Returns the next coarser level."""
        odd = [(0, side % 2) for side in self.soft.shape]
        means = np.pad(self.means, [*odd, (0, 0)]) if odd[0][1] or odd[1][1] else self.means
        soft = np.pad(self.soft, odd)
        rows = soft[::2] | soft[1::2]
        return _Level(downsample(means, 0.0), rows[:, ::2] | rows[:, 1::2])


class _Pixels(NamedTuple):
    """An image whose edges are decontaminated."""

    colours: NumpyArray  # [h, w, C], of an image dtype
    alpha: NumpyArray  # [h, w], of the same dtype
    soft: NumpyArray  # [h, w] bool, the pixels whose colours are estimated
    background: bool  # whether colours where alpha is zero are read

    @property
    def frame(self) -> Region:
        return Region.whole(self.alpha.shape)

    def is_read(self, tile: Region) -> bool:
        """Returns whether there are soft pixels in a tile, or near enough to depend on it."""
        near = _grown(tile, _BESIDE).overlap(self.frame)
        return not tile.overlap(self.frame).empty and bool(near.of(self.soft).any())

    def level(self, region: Region) -> _Level:
        """Returns the equations of the pixels of a region, which may extend beyond the image, with 1 for white."""
        inside, origin = region.overlap(self.frame), region.origin
        channels = self.colours.shape[2]
        means = np.zeros((*region.shape, 3 + 2 * channels), np.float32)
        soft = np.zeros(region.shape, bool)
        inside.of(soft, origin)[...] = inside.of(self.soft)
        alpha = as_float(inside.of(self.alpha))
        alpha[alpha >= _OPAQUE] = 1
        colours = inside.of(self.colours)
        there: NumpyArray = np.ones(alpha.shape, bool) if self.background else alpha > 0
        if colours.dtype.kind == "f":
            there &= np.isfinite(colours).all(-1)
        target = inside.of(means, origin)
        target[..., 0], target[..., 1] = there, alpha
        np.multiply(alpha, alpha, out=target[..., 2])
        scale = np.float32(1 / VALUE_RANGE[colours.dtype.name])
        every = there.all()
        for channel in range(channels):
            its = target[..., 3 + channels + channel]
            np.multiply(colours[..., channel], scale, out=its, casting="same_kind")
            if not every:
                its[~there] = 0
            np.multiply(its, alpha, out=target[..., 3 + channel])
        return _Level(means, soft)


def decontaminated(
    colours: NumpyArray, alpha: NumpyArray, corner: tuple[int, int], memory: Memory, *, background: bool = False
) -> NumpyArray:
    """Returns colours in which those where alpha is between 0 and 1 are the object's alone, all others unchanged.

    At such pixels an image contains a share of its old background, visible as a halo on another background.

    colours: [h, w, C], of an image dtype.
    alpha: [h, w], of the same dtype. From 0.99 on it counts as 1.
    corner: the position (y, x) of the first pixel in the caller's src, for messages.
    background: whether colours where alpha is zero are those of the background. If not, they are never read, and soft
        pixels far from opaque ones, such as glass, are not changed.

    Returns:
        [h, w, C] of the same dtype, decontaminated colours within black and white or, for floats beyond, within their
        range; colours itself if nothing is changed.
    """
    level = VALUE_RANGE[colours.dtype.name]
    opaque = alpha >= _OPAQUE * level
    soft = memory.hold((alpha > 0) & ~opaque)
    memory.touch(2 * opaque.nbytes)
    box = bounding_box(soft)
    if box.empty or not (background or opaque.any()):
        return colours
    del opaque
    near = box.expand(_BESIDE, alpha.shape)
    check_finite(near.of(colours), "src", (corner[0] + near.y0, corner[1] + near.x0), skip=near.of(alpha) == 0)

    # The cells are aligned to the soft pixels' box, independent of the rest of the image.
    top, left = box.y0 - _BESIDE, box.x0 - _BESIDE
    high, wide = (-(-(side + 2 * _BESIDE) // _CELL) for side in box.shape)
    whole = Region(top, top + high * _CELL, left, left + wide * _CELL)
    pixels = _Pixels(colours, alpha, soft, background)
    read_tiles = [tile for tile in whole.tiles(_TILE) if pixels.is_read(tile)]
    coarse, limits = _coarse(pixels, whole, read_tiles, memory)
    cells = memory.hold(_solved(coarse, limits))
    object_box = bounding_box(alpha)
    certain = None if background else memory.hold(_certainty(coarse, min(object_box.shape) // _CELL))
    result = memory.hold(colours.copy())

    def clean(tile: Region) -> int:
        """Decontaminates the soft pixels of a tile, and returns the size of its scratch memory."""
        around = _grown(tile, _BESIDE).overlap(whole)
        levels = [pixels.level(around)]
        while len(levels) < _LEVELS:
            levels.append(levels[-1].halved())
        pairs = _cells_of(around, whole).of(cells)
        for finer in levels[:0:-1]:
            pairs = _relaxed(finer, pairs, limits, _SWEEPS)
        inside = tile.overlap(pixels.frame)
        ys, xs = np.nonzero(inside.of(soft))
        rows, columns = ys + (inside.y0 - around.y0), xs + (inside.x0 - around.x0)
        new = _own(levels[0].means[rows, columns], pairs[rows // 2, columns // 2])
        np.clip(new, *limits, out=new)
        new *= level
        if certain is not None:
            weight = _cells_of(around, whole).of(certain)
            for one in levels[::-1]:
                weight = upsample(weight, one.soft.shape)
            old = inside.of(colours)[ys, xs].astype(np.float32)
            new = old + weight[rows, columns, None].clip(0, 1) * (new - old)
        inside.of(result)[ys, xs] = np.rint(new) if result.dtype.kind == "u" else new
        # In addition to a level's means there are its colours and weights while it is relaxed.
        return 3 * sum(one.means.nbytes for one in levels)

    todo = [tile for tile in read_tiles if tile.overlap(pixels.frame).of(soft).any()]
    memory.touch(min(get_num_threads(), len(todo)) * max(in_threads(clean, todo), default=0))
    return result


def _certainty(level: _Level, size: int) -> NumpyArray:
    """Returns how well a level's equations separate object from background [h, w], float32, 0 to 1.

    It is 0 if alpha is the same all around. size: the short side of the object in cells.
    """
    levels = [level]
    while size * _AROUND > 2 ** len(levels):
        levels.append(levels[-1].halved())
    padded = np.pad(levels[-1].means[..., :3], [(1, 1), (1, 1), (0, 0)])
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    means = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    count, alpha, square = (means[..., i] / np.maximum(means[..., 0], _NOTHING) for i in range(3))
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


def _coarse(pixels: _Pixels, whole: Region, tiles: list[Region], memory: Memory) -> tuple[_Level, tuple[float, float]]:
    """Returns the level that is solved as a whole, without cells in no tile, and the range of colours in the tiles."""
    cells = whole.shape[0] // _CELL, whole.shape[1] // _CELL
    means = memory.hold(np.zeros((*cells, 3 + 2 * pixels.colours.shape[2]), np.float32))
    soft = memory.hold(np.zeros(cells, bool))

    def reduce(tile: Region) -> tuple[float, float, int]:
        level = pixels.level(tile)
        size, low, high = level.means.nbytes, float(level.means[..., 3:].min()), float(level.means[..., 3:].max())
        for _ in range(_LEVELS):
            level = level.halved()
        part = _cells_of(tile, whole)
        part.of(means)[...], part.of(soft)[...] = level.means, level.soft
        return low, high, size

    ranges = in_threads(reduce, tiles)
    memory.touch(2 * min(get_num_threads(), len(tiles)) * max(size for _, _, size in ranges))
    low, high = min(0.0, *(low for low, _, _ in ranges)), max(1.0, *(high for _, high, _ in ranges))
    return _Level(means, soft), (low, high)


def _solved(level: _Level, limits: tuple[float, float]) -> NumpyArray:
    """Returns the colours of object and background [h, w, 2, C] of a level, from all coarser levels."""
    coarser = None if max(level.soft.shape) == 1 else _solved(level.halved(), limits)
    return _relaxed(level, coarser, limits, _WHOLE_SWEEPS)


def _relaxed(level: _Level, coarser: NumpyArray | None, limits: tuple[float, float], sweeps: int) -> NumpyArray:
    """Returns the colours of object and background [h, w, 2, C] of a level's soft cells and their neighbours.

    They are initialised from the coarser level, [ceil(h / 2), ceil(w / 2), 2, C], and refined by Gauss-Seidel sweeps,
    every other cell at once. Cells without soft pixels have the means of their pixels.
    """
    height, width = level.soft.shape
    across = width + 2
    channels = (level.means.shape[2] - 3) // 2
    count, alpha_sum, object_means, means = (
        level.means[..., 0], level.means[..., 1], level.means[..., 3 : 3 + channels], level.means[..., 3 + channels :],
    )  # fmt: skip
    rest = count - alpha_sum
    # With a border of cells without colours, every cell has four neighbours.
    colours = np.zeros((height + 2, width + 2, 2, channels), np.float32)
    inner = colours[1:-1, 1:-1]
    np.divide(object_means, np.maximum(alpha_sum, _NOTHING)[..., None], out=inner[:, :, 0])
    np.divide(means - object_means, np.maximum(rest, _NOTHING)[..., None], out=inner[:, :, 1])
    ys, xs = np.nonzero(level.soft)
    if coarser is not None:
        inner[ys, xs] = coarser[ys // 2, xs // 2]
    alpha = np.pad(alpha_sum / np.maximum(count, _NOTHING), 1).ravel()
    has = np.pad(np.stack([alpha_sum > _NOTHING, rest > _NOTHING], -1), [(1, 1), (1, 1), (0, 0)]).reshape(-1, 2)
    flat = colours.reshape(-1, 2, channels)
    systems = []
    for parity in (0, 1):
        half = (ys + xs) % 2 == parity
        y, x = ys[half], xs[half]
        at = (y + 1) * across + x + 1
        beside = np.stack([at - across, at + across, at - 1, at + 1])
        weights = (np.abs(alpha[beside] - alpha[at]) + np.float32(_SMOOTH))[..., None] * has[beside]
        its = level.means[y, x] / np.maximum(count[y, x], _NOTHING)[:, None]
        right = np.stack([its[:, 3 : 3 + channels], its[:, 3 + channels :] - its[:, 3 : 3 + channels]], 1)
        mixed = its[:, 1] - its[:, 2]
        diagonal = weights.sum(0) + np.stack([its[:, 2], 1 - its[:, 1] - mixed], 1)
        scale = 1 / np.maximum(diagonal[:, 0] * diagonal[:, 1] - mixed * mixed, _TINY)
        systems.append((at, beside, weights[..., None], right, diagonal[:, ::-1] * scale[:, None], mixed * scale))
    for _ in range(sweeps):
        for at, beside, weight, right, own, other in systems:
            total = right.copy()
            for its_weight, neighbour in zip(weight, beside, strict=True):
                total += its_weight * flat[neighbour]
            flat[at] = (own[..., None] * total - other[:, None, None] * total[:, ::-1]).clip(*limits)
    return inner


def _own(means: NumpyArray, cell: NumpyArray) -> NumpyArray:
    """Returns the object's colours [N, C] of pixels, from their equations [N, 3 + 2 C] and their cells' [N, 2, C]."""
    channels = cell.shape[2]
    alpha = means[:, 1:2]
    rest = means[:, 3 + channels :] - alpha * cell[:, 0] - (1 - alpha) * cell[:, 1]
    result: NumpyArray = cell[:, 0] + rest * (alpha / (alpha * alpha + (1 - alpha) ** 2 + np.float32(_PRIOR)))
    return result
