"""Correcting clicks: merges the network's mask for a further click with the mask before it, near the click.

The network computes a whole mask for each click, and may lose what was right. Its masks are ranked by the clicks that
they agree with, and of each mask only the changed piece at the click is used, with what is near it or was uncertain
(after the progressive merge of Chen et al., "FocalClick", CVPR 2022). Users click in the middle of an error: a piece
that is thicker elsewhere extends into what was right. Masks without such a piece rank first, and if all have one,
it is cut where it becomes thicker. A removed piece is cut at its necks: a bowl goes without the arm that holds it.
The numbers were chosen on the val photos of the open sets, by clicks at the deepest place of the larger error and by
clicks with jitter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Box, Float32
from .._images.planes import connected_parts
from ..ops.distance import distance_inside
from .layers import Layer, sampled

#: The largest shorter side of the grid on which masks are merged, that of the network's masks.
_MAX_GRID_SIDE = 256
#: That of a mask with thin parts, and how many times as many values along a side it has.
_FINE_GRID_SIDE, _FINER = 512, 1.2
#: The reach of a correction beyond its piece, in square roots of the area of the piece.
_REACH_BEYOND_PIECE = 0.25
#: A mask is uncertain where its value differs from one half by less than this.
_UNCERTAIN_MARGIN = 0.2
#: The largest distance of a piece from its click, in pixels of the grid.
_MAX_CLICK_PIXELS = 2
#: The largest depth of a thin piece, in depths around the click.
_MAX_THIN_DEPTH = 1.2
#: The radius around the click in which that depth is measured, in depths at the click.
_STRICT_RADIUS = 0.25
#: The depth at which a piece that is too thick is cut, in depths around the click.
_CUT_DEPTH = 1.25
#: The radius around the click in which that depth is measured, in depths at the click.
_WIDE_RADIUS = 1.0
#: The depth of a neck, at which a removed piece is cut if it is thicker beyond, in depths around the click.
_NECK = 0.4
#: An added piece that is too thick, and so many times as large as the mask before, is cut where it is thicker than at
#: the click itself.
_MAX_GROWTH = 2.0
#: The cost of a change as large as the mask, as a score, for each click that led to the mask: a mask that agrees with
#: more clicks is more likely right.
_CHANGE = 0.5
#: The cost of such a change, as a score, where the piece is too thick.
_THICK_COST = 0.1


class _Piece(NamedTuple):
    """The change of a mask at clicks, on the grid."""

    region: Bools  # the changed region, [h, w]
    beyond: Bools  # the rest of the change, connected with it by necks, which is not applied, [h, w]
    thin: bool  # whether the region is nowhere much thicker than around the clicks
    limit: float  # the largest depth of a region that is too thick


def corrected(
    before: Layer, answers: Sequence[Layer], points: Sequence[tuple[float, float]], labels: Sequence[int], since: int
) -> list[Layer]:
    """Returns the masks for further clicks, merged with the mask before them, the best first.

    before, answers: the mask that is corrected, and one or more masks of one box around its own, the best first.
    points, labels: all clicks (x, y), and 1 for those on the object, else 0; new ones unlike the last one are ignored.
    since: the number of clicks that led to the mask before.
    """
    box = answers[0].box
    size = fine_grid(box, _MAX_GRID_SIDE)
    old = sampled(before, box, size)
    places = [place_in(point, box, size) for point in points]
    inside = old > 0.5
    on = bool(labels[-1])
    # Clicks with which the mask before agrees count in the ranking; the other old ones do not.
    explained = [
        (place, bool(label))
        for place, label in zip(places[:since], labels[:since], strict=True)
        if place is not None and inside[place] == bool(label)
    ]
    new = zip(places[since:], labels[since:], strict=True)
    at = [place for place, label in new if place is not None and bool(label) == on]
    merged = []
    for answer in answers:
        values = sampled(answer, box, size)
        piece = _piece(values > 0.5, inside, at, on)
        near, stays = _reached(old, values, piece, at)
        result = _merged(old, values, near, stays)
        right = sum(bool(result[place] > 0.5) == on for place in at) / max(1, len(at))
        right += sum(bool(result[place] > 0.5) == label for place, label in explained)
        change = int(np.count_nonzero((result > 0.5) != inside)) / max(1, int(np.count_nonzero(inside)))
        cost = (_CHANGE * since if piece.thin else _THICK_COST) * min(change, 1.0)
        if _is_finer(before, box, size):
            # The thin parts of the mask before are narrower than a place of the grid.
            fine = fine_grid(box)
            shares = (sampled(Layer(box, x.astype(np.float32), 0.0), box, fine) > 0.5 for x in (near, stays))
            result = _merged(sampled(before, box, fine), sampled(answer, box, fine), *shares)
        merged.append((right, piece.thin, answer.score - cost, answer._replace(values=result)))
    merged.sort(key=lambda one: one[:3], reverse=True)
    return [layer for *_, layer in merged]


def fine_grid(box: Box, side: int = _FINE_GRID_SIDE) -> tuple[int, int]:
    """Returns the size (width, height) of a grid of square cells over a box, on which thin parts of a mask stay."""
    width, height = box[2] - box[0], box[3] - box[1]
    factor = min(1.0, side / min(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _is_finer(layer: Layer, box: Box, size: tuple[int, int]) -> bool:
    """Returns whether a mask has plainly more values than a grid of a size over a box."""
    own = len(layer.values) / (layer.box[3] - layer.box[1])
    return own > _FINER * size[1] / (box[3] - box[1]) and layer.values.shape[1] > _MAX_GRID_SIDE


def place_in(point: tuple[float, float], box: Box, size: tuple[int, int]) -> tuple[int, int] | None:
    """Returns the row and column of a point of the image on the grid of a box; None beyond it."""
    column = int(np.floor((point[0] + 0.5 - box[0]) * size[0] / (box[2] - box[0])))
    row = int(np.floor((point[1] + 0.5 - box[1]) * size[1] / (box[3] - box[1])))
    return (row, column) if 0 <= row < size[1] and 0 <= column < size[0] else None


def _piece(answer: Bools, inside: Bools, at: Sequence[tuple[int, int]], on: bool) -> _Piece:
    """Returns the connected parts of a mask's change that contain the clicks."""
    change = answer & ~inside if on else inside & ~answer
    numbers = connected_parts(change)
    near = [
        (
            slice(max(0, row - _MAX_CLICK_PIXELS), row + _MAX_CLICK_PIXELS + 1),
            slice(max(0, column - _MAX_CLICK_PIXELS), column + _MAX_CLICK_PIXELS + 1),
        )
        for row, column in at
    ]
    hit = sorted({int(number) for window in near for number in np.unique(numbers[window])} - {0})
    region = np.isin(numbers, hit) if hit else np.zeros_like(change)
    depth, apart = depth_of(region), _from(at, region.shape)
    own = max((float(depth[window].max()) for window in near), default=0.0)
    beyond = np.zeros_like(region)
    if not on and own > 0:
        beyond = _beyond_necks(region, connected_parts(depth > _NECK * own), near)
        region, depth = region & ~beyond, np.where(beyond, 0, depth)
    strict, wide = (
        float(depth[apart <= max(_MAX_CLICK_PIXELS, share * own)].max(initial=1.0))
        for share in (_STRICT_RADIUS, _WIDE_RADIUS)
    )
    thin, much = float(depth.max()) <= _MAX_THIN_DEPTH * strict, on and region.sum() > _MAX_GROWTH * inside.sum()
    return _Piece(region, beyond, thin, _CUT_DEPTH * (own if much else wide))


def _beyond_necks(region: Bools, thick: npt.NDArray[np.int32], near: Sequence[tuple[slice, slice]]) -> Bools:
    """Returns the part of a region that is nearer to other thick parts than to those at clicks.

    thick: the number of the thick part at each place, 0 where the region is thin.
    """
    clicked = np.isin(thick, sorted({int(number) for window in near for number in np.unique(thick[window])} - {0}))
    others = (thick > 0) & ~clicked
    return region & (_apart(clicked) > _apart(others)) if clicked.any() and others.any() else np.zeros_like(region)


def _merged(old: Float32, new: Float32, near: Bools, stays: Bools) -> Float32:
    """Returns the values before, replaced by new ones near a piece and where they were uncertain."""
    return np.where((near | (np.abs(old - 0.5) < _UNCERTAIN_MARGIN)) & ~stays, new, old)


def _reached(old: Float32, new: Float32, piece: _Piece, at: Sequence[tuple[int, int]]) -> tuple[Bools, Bools]:
    """Returns a piece with what is near it, and what stays as it was in any case."""
    region, answer, inside = piece.region, new > 0.5, old > 0.5
    stays = piece.beyond
    if not piece.thin:
        thick = np.maximum(depth_of(answer & ~inside), depth_of(inside & ~answer)) > piece.limit
        stays = stays | (_apart(thick) <= piece.limit) & (_from(at, region.shape) > piece.limit)
        region = region & ~stays
        numbers = connected_parts(region)
        region = np.isin(numbers, sorted({int(numbers[place]) for place in at} - {0}))
    reach = _REACH_BEYOND_PIECE * float(np.count_nonzero(region)) ** 0.5
    return np.minimum(_apart(region), _from(at, region.shape)) <= reach, stays


def depth_of(region: Bools) -> Float32:
    """Returns the distance of each place of a region [h, w] from its contour or the grid's border, 0 outside."""
    depth: Float32 = distance_inside(np.pad(region, 1))[1:-1, 1:-1]
    return depth


def _apart(region: Bools) -> Float32:
    """Returns the distance of each place from a region, 0 in it and infinite if it is empty."""
    return distance_inside(~region)


def _from(at: Sequence[tuple[int, int]], shape: tuple[int, int]) -> Float32:
    """Returns the distance of each place of a grid from the nearest of some places, infinite without any."""
    spots = np.ones(shape, np.bool_)
    for place in at:
        spots[place] = False
    return distance_inside(spots)
