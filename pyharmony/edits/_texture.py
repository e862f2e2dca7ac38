"""Texture for a hole: pieces of the same image, moved by the offsets at which it repeats, and joined without seams.

He and Sun, Statistics of Patch Offsets for Image Completion, 2012: patches of an image resemble others at few offsets.
Each pixel of the hole gets one of them, so that the moved pieces meet each other and the rim where they look alike. The
labelling is solved at a small size by belief propagation, in sweeps, and refined up to full size. Last, one Poisson
equation joins the gradients of all pieces.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float32
from .._images.fill import fill
from .._images.planes import connected_parts, gaussian, grown, shrunk
from .._images.region import Region, bounding_box
from ..errors import MaskError
from ..ops.convolution import product
from ..ops.gaussian_poisson import Equation, solve
from ..reference.gaussian_poisson import divergence

#: The largest size of the coarsest level: the pixels of its hole, and of all of it.
_COARSE_HOLE, _COARSE_PIXELS = 5000, 60_000
_HALVED_SIDE = 24  # a side of less is not halved
_CELL = 3  # a patch is 3 x 3 cells of this side, whose means describe it
_QUERIES = 200, 2500  # the patches whose most similar one is searched for, of a speck and at most
_CHUNK = 64  # the queries that are compared at once
#: The least length of an offset: near patches overlap, and are alike in every smooth part.
_LEAST_SHARE, _LEAST_OFFSET = 1 / 15, 6
_OFFSETS = 16, 64  # the offsets that are tried, for a speck and at most
_RIM_PIXELS = 3  # the width of the rim that pieces have to match, in pixels
#: The cost of a colour that the rim does not have, which is that of another thing: per level, and up to so many.
_STRANGE_WEIGHT, _STRANGE_LEVELS = np.float32(0.25), 80
_RIM_COLOURS = 300
_SWEEPS = 5
_KEPT_PIXELS = 1000  # up to so many, the costs of all pairs of labels are kept between sweeps
_GRADIENT_WEIGHT = 2.0  # of gradients among the features
#: The cost of a longer offset, per side of the part, in squared levels: of equal pieces the nearer one is taken.
_FAR_COST = 2.0
_IMPOSSIBLE = np.float32(1e5)
_BAND = 3  # the distance from a seam within which a finer level moves it, in pixels
_TURNS = 12
_NEIGHBOURS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
_JITTERS = np.array([(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
_SEAM_DEVIATION = 3.0  # the deviation of the Gaussian by which steps along a seam are averaged, in pixels
_SMEAR = 40.0  # the step at a seam, in levels, of which a half is spread

Offsets = npt.NDArray[np.int64]  # [K, 2], (rows, columns)
Labels = npt.NDArray[np.int32]  # [h, w], indices of offsets in the hole


@dataclass(frozen=True)
class _Size:
    """A part of an image at some size.

    Attributes:
        features: [h, w, D], colours and weighted gradients; smooth where they are not known.
        hole: what is filled.
        sources: what may be copied from; pixels may be neither.
        loose: the part of the hole whose pixels may stay as they are.
    """

    features: Float32
    hole: Bools
    sources: Bools
    loose: Bools

    def near(self, ys: npt.NDArray[np.int64], xs: npt.NDArray[np.int64]) -> tuple[Float32, Bools]:
        """Returns the features at positions, clipped to the part, and whether they are known."""
        height, width = self.hole.shape
        inside = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
        flat = np.ravel_multi_index((ys, xs), (height, width), mode="clip")
        return self.features.reshape(height * width, -1)[flat], inside & self.sources.reshape(-1)[flat]


_Images = tuple[Float32, Bools, Bools, Bools]
"""The colours [h, w, C] of a size, its hole, sources, and the loose part of the hole, [h, w]."""


def _level(images: _Images, coarser: _Size | None = None) -> _Size:
    """Returns a size; what is not known gets the colours of the coarser one, or smooth ones."""
    colours, hole, sources, loose = images
    height, width, channels = colours.shape
    features = np.zeros((height, width, channels + 2), np.float32)
    unknown = ~(sources | loose)
    if coarser is None:
        features[..., :channels] = fill(colours, unknown)
    else:
        features[..., :channels] = colours
        ys, xs = np.nonzero(unknown)
        features[ys, xs, :channels] = coarser.features[ys // 2, xs // 2, :channels]
    grey = features[..., :channels].mean(2) * np.float32(_GRADIENT_WEIGHT)
    np.subtract(grey[1:], grey[:-1], out=features[:-1, :, channels])
    np.subtract(grey[:, 1:], grey[:, :-1], out=features[:, :-1, channels + 1])
    return _Size(features, hole, sources, loose)


def _differences(one: Float32, other: Float32) -> Float32:
    return np.sqrt(np.square(one - other).sum(-1))


def _halved(images: _Images) -> _Images:
    """Returns half the size: means of what is known, and in the hole all that it touches."""
    colours, hole, sources, loose = images

    def blocks(x: np.ndarray) -> Any:
        odd = [(0, n % 2) for n in x.shape[:2]]
        padded = np.pad(x, odd + [(0, 0)] * (x.ndim - 2)) if odd != [(0, 0)] * 2 else x
        return padded.reshape(len(padded) // 2, 2, padded.shape[1] // 2, 2, *x.shape[2:])

    visible = blocks(sources | loose)
    count = visible.sum((1, 3))
    total = blocks(colours).sum((1, 3), where=visible[..., None])
    half: Bools = blocks(hole).any((1, 3))
    means = (total / np.maximum(count, 1)[..., None]).astype(np.float32)
    return means, half, blocks(sources).all((1, 3)) & ~half, half & ~blocks(hole & ~loose).any((1, 3))


def completed(
    colours: Float32, hole: Bools, sources: Bools, loose: Bools, frequent: Offsets | None = None
) -> tuple[Region, Float32, Bools, Offsets]:
    """Fills a hole in colours [h, w, C], in 8-bit levels, from what is known.

    loose: the part of the hole that may stay as it is, where that hides the seam.
    frequent: the offsets at which a part that contains the hole resembles itself; None: they are searched for.

    Returns a box with the hole, the colours in it, what was filled of the part, and the frequent offsets.
    MaskError: there is nothing to copy at the size at which offsets are searched for.
    """
    sizes: list[_Images] = [(colours, hole, sources, loose)]
    while sizes[-1][1].sum() > _COARSE_HOLE or sizes[-1][1].size > _COARSE_PIXELS:
        if min(sizes[-1][1].shape) < _HALVED_SIDE:
            break
        sizes.append(_halved(sizes[-1]))
    level = _level(sizes.pop())
    offsets = _covering(level, frequent := _frequent(level) if frequent is None else frequent)
    if not len(offsets):
        text = "mask: leaves no coherent part of the image, expected some that can be copied into the hole"
        raise MaskError(text, code="no-source")
    moves = np.concatenate([np.zeros((1, 2), np.int64), offsets])
    pieces = np.where(level.hole, _labelled(level, offsets) + 1, 0).astype(np.int32)
    _move_seams(level, moves, pieces)
    while sizes:
        level = _level(sizes.pop(), level)
        height, width = level.hole.shape
        pieces = pieces.repeat(2, 0)[:height].repeat(2, 1)[:, :width]
        pieces[~level.hole] = 0
        moves = _separated(2 * moves, pieces)
        _move_pieces(level, moves, pieces)
        _move_seams(level, moves, pieces)
    return *_joined(level, moves, pieces), pieces > 0, frequent


# ---- the offsets ----


def _frequent(level: _Size) -> Offsets:
    """Returns the offsets [K, 2] at which patches of a part resemble each other most often."""
    height, width = level.hole.shape
    reach = _CELL + _CELL // 2
    box = level.features[..., :-2]
    means = np.zeros_like(box)
    for step in _JITTERS:  # a cell is as wide as these are
        means += np.roll(box, -step, (0, 1))
    means /= _CELL**2
    cells = [np.roll(means, -_CELL * step, (0, 1)) for step in _JITTERS]
    whole = level.sources
    for axis, count in enumerate(whole.shape):
        # A strip that is narrower than a patch goes around in it, as in `roll`.
        pads = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
        whole = np.pad(whole, pads, "wrap" if count <= 2 * reach else "constant")
    ys, xs = np.nonzero(shrunk(whole, reach)[reach:-reach, reach:-reach])
    if len(ys) < 2:
        return np.zeros((0, 2), np.int64)
    patches = np.concatenate([cell[ys, xs] for cell in cells], 1)
    patches -= patches.mean(0)
    norms = np.square(patches).sum(1)
    area = int(np.count_nonzero(level.hole))
    queries, count = (min(most, least + area // per) for (least, most), per in ((_QUERIES, 1), (_OFFSETS, 16)))
    # A long thin image is not reduced: labels take the square of their number for each pixel of the hole.
    count = min(count, math.isqrt(_COARSE_HOLE * _OFFSETS[1] ** 2 // max(1, area)))
    every = np.arange(0, len(ys), max(1, -(-len(ys) // queries)))
    least = max(_LEAST_OFFSET, _LEAST_SHARE * max(height, width))
    columns = np.ascontiguousarray(patches.T)
    counts = np.zeros((2 * height - 1, 2 * width - 1), np.float32)
    side = math.ceil(least)
    numbers = np.full((height + 2 * side, width + 2 * side), -1)
    numbers[ys + side, xs + side] = np.arange(len(ys))
    disc = np.argwhere(np.square(np.mgrid[-side : side + 1, -side : side + 1]).sum(0) < least * least).T
    for first in range(0, len(every), _CHUNK):
        one = every[first : first + _CHUNK]
        distance = product(-2 * patches[one], columns)
        distance += norms
        near = numbers[ys[one, None] + disc[0], xs[one, None] + disc[1]]
        distance[np.nonzero(near >= 0)[0], near[near >= 0]] = np.inf
        best = distance.argmin(1)
        is_far = np.isfinite(distance[np.arange(len(one)), best])
        dy, dx = (ys[best] - ys[one])[is_far], (xs[best] - xs[one])[is_far]
        np.add.at(counts, (dy + height - 1, dx + width - 1), 1)
    counts += counts[::-1, ::-1]  # two patches are alike in both directions
    smooth = gaussian(counts, 1.0)
    peaks = (grown(smooth, 2) == smooth) & (smooth > 0)
    at = np.flatnonzero(peaks)
    at = at[np.lexsort((at, -smooth.ravel()[at]))][:count]
    peak_offsets = np.stack(np.unravel_index(at, counts.shape), 1) - (height - 1, width - 1)
    return peak_offsets[np.square(peak_offsets).sum(1) >= least * least]


def _covering(level: _Size, offsets: Offsets) -> Offsets:
    """Returns offsets with more of them until each pixel of the hole that can be has something known at one."""
    height, width = level.hole.shape
    ys, xs = np.nonzero(level.hole)
    bare = ~level.near(ys + offsets[:, :1], xs + offsets[:, 1:])[1].any(0)
    if not bare.any():
        return offsets
    step = max(1, min(height, width) // 40)
    grid = np.mgrid[-height:height:step, -width:width:step].reshape(2, -1).T
    grid = grid[np.argsort(np.square(grid).sum(1), kind="stable")]
    while bare.any():
        part = np.flatnonzero(bare)[:: max(1, bare.sum() // 200)]
        _, is_there = level.near(ys[part] + grid[:, :1], xs[part] + grid[:, 1:])
        count = is_there.sum(1)
        if not count.max():
            break
        best = grid[count.argmax()]
        offsets = np.concatenate([offsets, best[None]])
        bare &= ~level.near(ys + best[0], xs + best[1])[1]
    return offsets


# ---- the labels ----


def _rim_costs(level: _Size, offsets: Offsets, ys: npt.NDArray[np.int64], xs: npt.NDArray[np.int64]) -> Float32:
    """Returns how badly each offset [K] continues the rim near pixels of the hole, [N, K]."""
    box = bounding_box(level.hole).expand(_RIM_PIXELS, level.hole.shape)
    rim = box.of(level.sources & grown(level.hole, _RIM_PIXELS))
    inside = ..., ys - box.y0, xs - box.x0
    at_y, at_x = np.add(np.nonzero(rim), [[box.y0], [box.x0]])
    down, right = offsets[:, :1], offsets[:, 1:]
    copies, is_known = level.near(at_y + down, at_x + right)
    planes = np.zeros((len(offsets), *box.shape), np.float32)
    planes[:, rim] = _differences(copies, box.of(level.features)[rim]) * np.where(is_known, 1, 1.5)
    count = _sums(rim[None].astype(np.float32))[inside]
    costs = _sums(planes)[inside] / np.maximum(count, _RIM_PIXELS)
    costs += _strangeness(level, np.ravel_multi_index((ys + down, xs + right), level.hole.shape, mode="clip"))
    far = _FAR_COST / float(np.square(level.hole.shape).sum()) * np.square(offsets).sum(1)
    _, is_known = level.near(ys + down, xs + right)
    return (np.where(is_known, costs, _IMPOSSIBLE) + far.astype(np.float32)[:, None]).T


def _strangeness(level: _Size, at: npt.NDArray[np.int64]) -> Float32:
    """Returns a cost of copying what has no colour of the rim, such as another thing, of positions in the flat part."""
    colours = level.features[..., :-2]
    rim = colours[level.sources & grown(level.hole, 3 * _RIM_PIXELS)]
    if not len(rim):  # what is around the hole is transparent
        return np.zeros(at.shape, np.float32)
    rim = rim[:: max(1, len(rim) // _RIM_COLOURS)]
    places, numbers = np.unique(at, return_inverse=True)
    flat = colours.reshape(-1, colours.shape[2])[places]
    distances = np.square(flat).sum(1)[:, None] - 2 * product(flat, rim.T) + np.square(rim).sum(1)
    nearest = np.sqrt(np.maximum(distances.min(1), 0))[numbers].reshape(at.shape)
    return _STRANGE_WEIGHT * np.minimum(nearest, _STRANGE_LEVELS)


def _sums(planes: Float32) -> Float32:
    """Returns the sums of planes [K, h, w] over squares that reach as far as the rim is wide."""
    for axis in (1, 2):
        padded = np.pad(planes, [(_RIM_PIXELS, _RIM_PIXELS) if a == axis else (0, 0) for a in range(3)])
        lines, count = np.moveaxis(padded, axis, 0), planes.shape[axis]
        total = functools.reduce(np.add, (lines[i : i + count] for i in range(2 * _RIM_PIXELS + 1)))
        planes = np.moveaxis(total, 0, axis)
    return planes


def _labelled(level: _Size, offsets: Offsets) -> Labels:
    """Returns the label of each pixel of the hole by belief propagation, in sweeps along rows and columns."""
    ys, xs = np.nonzero(level.hole)
    box = bounding_box(level.hole)
    index = np.full(box.shape, -1)
    index[box.of(level.hole)] = np.arange(len(ys))
    unary = _rim_costs(level, offsets, ys, xs)
    copies = np.stack([level.near(ys + dy, xs + dx)[0] for dy, dx in offsets], 1)  # [N, K, D]
    apart = np.empty((len(ys), len(offsets), len(offsets)), np.float32)
    for first in range(0, len(ys), _CHUNK):
        some = copies[first : first + _CHUNK]
        squares = np.square(some).sum(2)
        products = np.matmul(some, some.transpose(0, 2, 1))
        apart[first : first + _CHUNK] = np.maximum(squares[:, :, None] + squares[:, None, :] - 2 * products, 0)
    np.sqrt(apart, out=apart)
    lines: list[Any] = [[], []]  # along both axes
    for links, rows in zip(lines, (index, index.T)):
        for before, here in itertools.pairwise(rows):
            both = np.flatnonzero((before >= 0) & (here >= 0))
            for first in range(0, len(both), _CHUNK):
                ends = before[both[first : first + _CHUNK]], here[both[first : first + _CHUNK]]
                # A large hole has too many of these to keep them.
                links.append((*ends, apart[ends[0]] + apart[ends[1]] if len(ys) <= _KEPT_PIXELS else None))
    messages = np.zeros((4, *unary.shape), np.float32)
    for _ in range(_SWEEPS):
        for way in range(4):
            for one, other, pair in lines[way // 2][:: -1 if way % 2 else 1]:
                source, target = (other, one) if way % 2 else (one, other)
                # The message that is not passed back came from the opposite direction.
                belief = unary[source] + np.add.reduce(messages[:, source]) - messages[way ^ 1, source]
                costs = apart[one] + apart[other] if pair is None else pair
                best = np.minimum.reduce(costs + belief[:, :, None], 1)
                messages[way, target] = best - np.minimum.reduce(best, 1, keepdims=True)
    labels = np.zeros(level.hole.shape, np.int32)
    labels[ys, xs] = (unary + messages.sum(0)).argmin(1)
    return labels


def _separated(moves: Offsets, pieces: Labels) -> Offsets:
    """Gives each connected part of a piece a number of its own in pieces, and returns the moves by these numbers."""
    pieces = bounding_box(pieces > 0).of(pieces)
    every, numbers = [moves[0]], np.zeros_like(pieces)
    for piece in np.unique(pieces[pieces > 0]):
        parts = connected_parts(pieces == piece)
        np.copyto(numbers, parts + (len(every) - 1), where=parts > 0)
        every += [moves[piece]] * int(parts.max())
    pieces[...] = numbers
    return np.array(every, np.int64)


def _changes(pieces: Labels) -> Bools:
    """Returns where the pixel to the right or below is of another piece."""
    result = np.zeros(pieces.shape, bool)
    result[:, :-1] |= pieces[:, 1:] != pieces[:, :-1]
    result[:-1] |= pieces[1:] != pieces[:-1]
    return result


def _move_pieces(level: _Size, moves: Offsets, pieces: Labels) -> None:
    """Moves each piece by up to a pixel, one after the other, to where it meets its surroundings best."""
    height, width = level.hole.shape
    at = np.argwhere(grown(_changes(pieces)) & level.hole)
    beside = np.concatenate([np.concatenate([at, at + step], 1) for step in _NEIGHBOURS])
    pairs = beside[((beside[:, 2:] >= 0) & (beside[:, 2:] < (height, width))).all(1)].T
    own, other = pieces[pairs[0], pairs[1]], pieces[pairs[2], pairs[3]]
    hole, sources = level.hole[pairs[2], pairs[3]], level.sources[pairs[2], pairs[3]]
    at_seam = np.flatnonzero((own != other) & (hole | sources))
    at_seam = at_seam[np.argsort(own[at_seam], kind="stable")]
    bounds = np.searchsorted(own[at_seam], np.arange(len(moves) + 1))
    for piece in range(1, len(moves)):
        one = at_seam[bounds[piece] : bounds[piece + 1]]
        if not len(one):
            continue
        y, x, to_y, to_x = (p[one] for p in pairs)
        beyond = moves[other[one]]
        beyond[~hole[one]] = 0
        there, _ = level.near(to_y + beyond[:, 0], to_x + beyond[:, 1])
        here, _ = level.near(y + beyond[:, 0], x + beyond[:, 1])
        inner = other[one] > 0  # what the rim looks like within the hole is not known
        costs = []
        for dy, dx in _JITTERS:
            at = moves[piece] + (dy, dx)
            mine, is_known = level.near(y + at[0], x + at[1])
            next_, next_known = level.near(to_y + at[0], to_x + at[1])
            beyond_ = _differences(next_, there)
            cost = beyond_ + np.where(inner, _differences(mine, here), beyond_)
            unknown = float((~is_known).sum())
            costs.append(float(cost.sum(dtype=np.float64)) + 1e4 * unknown + 1e-3 * (dy * dy + dx * dx))
        moves[piece] += _JITTERS[int(np.argmin(costs))]


def _move_seams(level: _Size, moves: Offsets, pieces: Labels) -> None:
    """Moves the seams within a band, by belief propagation among the pieces that are near each pixel.

    Piece 0 is what is there: a loose pixel may stay.
    """
    height, width = level.hole.shape
    ys, xs = np.nonzero(grown(_changes(pieces), _BAND) & level.hole)
    free = level.loose[ys, xs]
    index = np.full((height, width), -1, np.int32)
    index[ys, xs] = np.arange(len(ys))
    choices = np.repeat(pieces[ys, xs][:, None], 6, 1)
    for number, (dy, dx) in enumerate(_NEIGHBOURS, 1):
        piece = pieces[np.clip(ys + _BAND * dy, 0, height - 1), np.clip(xs + _BAND * dx, 0, width - 1)]
        np.copyto(choices[:, number], piece, where=piece > 0)
    choices[free, 5] = 0

    def looks(y: npt.NDArray[np.int64], x: npt.NDArray[np.int64], move: Offsets) -> Float32:
        return level.near(y[:, None] + move[..., 0], x[:, None] + move[..., 1])[0]

    _, is_known = level.near(ys[:, None] + moves[choices][..., 0], xs[:, None] + moves[choices][..., 1])
    unary = np.where(is_known | (choices == 0), np.float32(0), _IMPOSSIBLE)
    links = []
    for way, (dy, dx) in enumerate(_NEIGHBOURS):
        y, x = ys + dy, xs + dx
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
        here = np.flatnonzero(inside & (index[y, x] >= 0))
        fixed = inside & (index[y, x] < 0) & (level.hole[y, x] | level.sources[y, x])
        y, x, own_y, own_x = y[fixed], x[fixed], ys[fixed], xs[fixed]
        theirs, mine, hole = moves[pieces[y, x]][:, None], moves[choices[fixed]], (pieces[y, x] > 0) | free[fixed]
        outer = _differences(looks(y, x, mine), looks(y, x, theirs))
        inner = _differences(looks(own_y, own_x, mine), looks(own_y, own_x, theirs))
        unary[fixed] += outer + np.where(hole[:, None], inner, outer)
        if way < 2:
            there = index[ys[here] + dy, xs[here] + dx]
            mine, theirs = moves[choices[here]], moves[choices[there]]
            cost = sum(
                _differences(looks(ys[one], xs[one], mine)[:, :, None], looks(ys[one], xs[one], theirs)[:, None])
                for one in (here, there)
            )
            links.append((here, there, cost))
    messages = np.zeros((4, *unary.shape), np.float32)
    for _ in range(_TURNS):
        belief = unary + messages.sum(0)
        for way, (here, there, cost) in enumerate(links):
            # The beliefs at both ends, each without what it has from the other.
            ahead = (belief[here] - messages[way + 2, here])[:, :, None] + cost
            back = (belief[there] - messages[way, there])[:, None] + cost
            forth, forth_back = ahead.min(1), back.min(2)
            messages[way, there] = forth - forth.min(1, keepdims=True)
            messages[way + 2, here] = forth_back - forth_back.min(1, keepdims=True)
    best = (unary + messages.sum(0)).argmin(1)
    pieces[ys, xs] = choices[np.arange(len(ys)), best]


# ---- the join ----


def _joined(level: _Size, every: Offsets, pieces: Labels) -> tuple[Region, Float32]:
    """Returns the box of the hole, with a pixel around, and its colours with the pieces joined by their gradients.

    At a seam the gradient is the mean of both pieces'. A step far above `_SMEAR` stays an edge: spread, it is fog.
    """
    box = bounding_box(level.hole).expand(1, level.hole.shape)
    top, left = box.origin
    hole, channels = box.of(pieces > 0), level.features.shape[2] - 2
    y, x = np.nonzero(hole)
    moves = np.zeros((*hole.shape, 2), np.int64)
    moves[y, x] = every[box.of(pieces)[y, x]]
    pasted = box.of(level.features)[..., :channels].copy()
    pasted[y, x] = level.near(top + y + moves[y, x, 0], left + x + moves[y, x, 1])[0][:, :channels]
    fields = []
    for axis in (0, 1):
        first, second = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        step = pasted[second] - pasted[first]
        is_seam = (moves[first] != moves[second]).any(2) & (hole[first] | hole[second])
        fields.append(step)
        y, x = np.nonzero(is_seam)
        if not len(y):
            continue
        total, count = np.zeros((len(y), channels), np.float32), np.zeros((len(y), 1), np.float32)
        for side in (first, second):
            move = moves[side][y, x]
            from_y, from_x = top + y + move[:, 0], left + x + move[:, 1]
            one, _ = level.near(from_y, from_x)
            two, _ = level.near(from_y + (axis == 0), from_x + (axis == 1))
            # The colours within the hole are unknown to the rim.
            inside = hole[side][y, x][:, None]
            total += np.where(inside, (two - one)[:, :channels], 0)
            count += inside
        jump = step[y, x] - total / count
        # Along a seam through a texture the jumps have any sign; those of an edge have one.
        both = np.zeros((*is_seam.shape, channels + 1), np.float32)
        both[y, x] = np.concatenate([jump, np.ones_like(count)], 1)
        near = gaussian(both, _SEAM_DEVIATION)[y, x]
        size = np.square(near[:, :-1] / near[:, -1:]).sum(1, keepdims=True)
        step[y, x] -= jump / (1 + np.square(size / _SMEAR**2))
    result = pasted.copy()
    equation = Equation.of(pasted, pasted, hole.view(np.uint8), pasted, 0.0)
    equation.field = divergence(fields[1], fields[0])
    solve(equation, result, method="multigrid", tolerance=0.1, certify=False)
    return box, result
