"""Correcting clicks on thin parts and in gaps: the network sees windows around the click, in which these are larger.

Of an object and its surroundings the network sees 256 pixels: it misses a pole or a stem, and a click between two legs
takes a leg, too. If its own change is narrow at the click, the same network segments two windows with the mask as the
prior. Of the three changed pieces the one counts that the others resemble most. Users click in the middle of an error:
a piece that is far thicker elsewhere is another thing. The numbers were chosen on val, by clicks in thin parts and gaps
and by clicks at the deepest place of the larger error (`benchmarks/segmentation.py thin`, `corrections`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Bools, Box, Float32
from .._images.planes import connected_parts, grown
from .._images.threads import in_threads
from .corrections import depth_of, fine_grid, place_in
from .layers import Layer, around_both, box_of, iou_of_regions, sampled

#: The sides of the windows, in longer sides of the object's box, and the least one, in pixels.
_WINDOW_SIDES, _MIN_WINDOW_SIDE = (0.35, 0.8), 48
#: The depth at the click of the network's own change from which on it stays, in square roots of the mask's area.
_WIDE_DEPTH = 0.1
#: The largest depth of a piece, in depths at the click; and, whatever that is, in square roots of the mask's area.
_MAX_DEPTH_RATIO, _MAX_THIN_DEPTH = 1.5, 0.06
#: The largest distance of the network's own piece from the click, in pixels of the grid.
_MAX_CLICK_PIXELS = 2
#: The width of the rim of a window in which a piece ends that goes on, in sides of the window, and the largest number
#: of windows in which it is followed.
_RIM_SHARE, _MAX_WINDOWS = 0.05, 6
#: The slope of a piece's mask at its contour, relative to that of the network's.
_STEEPNESS = np.float32(4)


Answers = Callable[[Box, tuple[float, float], Layer], Sequence[Layer]]
"""Returns the network's masks of a window for a click (x, y) that corrects a mask, the best first."""


class _ThinPiece(NamedTuple):
    """The changed piece at a click, on the grid."""

    region: Bools  # [h, w]
    values: Float32  # the mask that has it, [h, w]


def with_thin_piece(
    before: Layer,
    layers: Sequence[Layer],
    click: tuple[float, float],
    on: bool,
    answers_in: Answers,
    size: tuple[int, int],
) -> list[Layer]:
    """Returns the masks for a correcting click, preceded by one with the thin piece at the click if there is one.

    before, layers: the mask that is corrected, and those for the click on the whole object, the best first.
    click, on: its place (x, y), and whether it is on the object.
    size: the width and height of the image.
    """
    object_box = box_of(before)
    if object_box is None:
        return [*layers]
    longer = max(object_box[2] - object_box[0], object_box[3] - object_box[1])
    lengths = [max(_MIN_WINDOW_SIDE, share * longer) for share in _WINDOW_SIDES]
    # A part may go on beyond the largest window.
    box = around_both(layers[0].box, _around(click, 2 * lengths[-1], size))
    grid = fine_grid(box)
    place, old = place_in(click, box, grid), sampled(before, box, grid)
    inside = old > 0.5
    if place is None or bool(inside[place]) == on:
        return [*layers]
    side = float(np.count_nonzero(inside)) ** 0.5
    own = _piece(sampled(layers[0], box, grid), inside, place, on, _MAX_CLICK_PIXELS)
    if depth_of(own.region)[place] >= _WIDE_DEPTH * side:
        return [*layers]
    windows = [_around(click, length, size) for length in lengths]
    pieces = [own]
    for answers in in_threads(lambda window: answers_in(window, click, before), windows):
        views = (_piece(sampled(layer, box, grid), inside, place, on) for layer in answers)
        pieces.append(next((piece for piece in views if piece.region.any()), own._replace(region=inside & False)))

    def likeness(index: int) -> float:
        return sum(iou_of_regions(pieces[index].region, piece.region) for i, piece in enumerate(pieces) if i != index)

    best = max((i for i in range(len(pieces)) if not i or _is_thin(pieces[i], place, side)), key=likeness)
    if not best:
        return [*layers]
    piece = _followed(pieces[best], windows[best - 1], Layer(box, old, 0.0), on, answers_in, size)
    return [layers[0]._replace(box=box, values=_changed(old, piece, on)), *layers]


def _followed(
    piece: _ThinPiece, window: Box, before: Layer, on: bool, answers_in: Answers, size: tuple[int, int]
) -> _ThinPiece:
    """Returns a piece with what continues it beyond its window, which is segmented in windows around its ends.

    before: the mask that is corrected, on the grid.
    """
    box, inside = before.box, before.values > 0.5
    across, down = (box[2] - box[0]) / inside.shape[1], (box[3] - box[1]) / inside.shape[0]
    most = _MAX_DEPTH_RATIO * float(depth_of(piece.region).max())
    ends = _ends(piece.region, window, box, size)
    for _ in range(_MAX_WINDOWS):
        if not ends:
            break
        row, column = ends.pop(0)
        click = box[0] + (column + 0.5) * across - 0.5, box[1] + (row + 0.5) * down - 0.5
        window = _around(click, window[2] - window[0], size)
        mask = before._replace(values=_changed(before.values, piece, on))
        values = sampled(answers_in(window, click, mask)[0], box, inside.shape[::-1])
        further = _piece(values, inside, (row, column), on)
        if 0 < float(depth_of(further.region).max()) <= most:
            values = np.where(piece.region, piece.values, values)
            piece = _ThinPiece(piece.region | further.region, values)
            ends += _ends(piece.region, window, box, size)
    return piece


def _ends(region: Bools, window: Box, box: Box, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Returns the deepest places of a region, on the grid of a box, at those sides of a window where it ends.

    At the image's border nothing continues.
    """
    depth, places, ends = depth_of(region), np.argwhere(region), []
    for axis in (0, 1):
        # The places along the axis, in pixels of the image.
        start, end = window[1 - axis], window[3 - axis]
        at = box[1 - axis] + (places[:, axis] + 0.5) * (box[3 - axis] - box[1 - axis]) / region.shape[axis]
        rim = _RIM_SHARE * (end - start)
        for near, outermost, is_border in (
            (at < start + rim, at.min() > start - rim, start <= 0),
            (at > end - rim, at.max() < end + rim, end >= size[1 - axis]),
        ):
            if near.any() and outermost and not is_border:
                row, column = max(places[near], key=lambda place: depth[tuple(place)])
                ends.append((int(row), int(column)))
    return ends


def _changed(old: Float32, piece: _ThinPiece, on: bool) -> Float32:
    """Returns a mask on the grid with a piece, and its soft edge, added or removed."""
    # A steep edge is not uncertain, and stays at further clicks.
    steep = (np.float32(0.5) + _STEEPNESS * (piece.values - np.float32(0.5))).clip(0, 1)
    return np.where(grown(piece.region), np.maximum(old, steep) if on else np.minimum(old, steep), old)


def _piece(values: Float32, inside: Bools, place: tuple[int, int], on: bool, reach: int = 0) -> _ThinPiece:
    """Returns the connected parts of a mask's change within a distance of a place."""
    numbers = connected_parts((values > 0.5) & ~inside if on else inside & (values <= 0.5))
    near = numbers[tuple(slice(max(0, at - reach), at + reach + 1) for at in place)]
    return _ThinPiece(np.isin(numbers, np.setdiff1d(near, 0)), values)


def _is_thin(piece: _ThinPiece, place: tuple[int, int], side: float) -> bool:
    """Returns whether a piece is not empty and nowhere much thicker than at a place, or thin everywhere."""
    depth = depth_of(piece.region)
    most = float(depth.max())
    return 0 < most <= max(_MAX_DEPTH_RATIO * max(float(depth[place]), 1.0), _MAX_THIN_DEPTH * side)


def _around(click: tuple[float, float], length: float, size: tuple[int, int]) -> Box:
    """Returns a square around a click, with sides of a length in pixels, moved into the image and cut by it."""
    side = round(length)
    starts = [max(0, min(round(at + 0.5 - side / 2), end - side)) for at, end in zip(click, size, strict=True)]
    left, top = starts
    return left, top, min(size[0], left + side), min(size[1], top + side)
