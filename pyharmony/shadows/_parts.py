"""Estimates which parts of a partly covered pixel an object covers, from the neighbouring pixels.

At the border of an object a pixel is covered on one side, not evenly. The border is modelled as a straight line across
the pixel, perpendicular to the gradient of the mask and at the distance that gives the pixel's value; at a right-angled
corner as two lines. A mask that rises over several pixels covers each of them evenly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arrays import Float32, Float64

#: The number of parts of a pixel along each side.
PARTS = 3
#: The centres of a pixel's parts, relative to its own.
MIDDLES = (np.arange(PARTS) + 0.5) / PARTS - 0.5
#: The largest distance of a value from 1 or 0 with which a pixel counts as covered or free.
_VALUE_TOLERANCE = 0.02
#: The difference of a pixel's value from the area between two lines from which on it is not a corner.
_CORNER = 0.05

Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def border(mask: Float32) -> Places:
    """Returns the rows and columns of the pixels of a mask [h, w] that its border crosses.

    They are partly covered, with at least one fully covered and one free neighbour; all beyond the mask is free.
    """
    near = _around(mask > 1 - _VALUE_TOLERANCE, beyond=False) & _around(mask < _VALUE_TOLERANCE, beyond=True)
    places = np.nonzero(near & (mask > 0) & (mask < 1))
    return places[0], places[1]


def _around(inside: npt.NDArray[np.bool_], *, beyond: bool) -> npt.NDArray[np.bool_]:
    """Returns for each pixel [h, w] whether it or one of its eight neighbours is inside; `beyond`: the padding."""
    padded = np.pad(inside, 1, constant_values=beyond)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    result: npt.NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return result


def covered(mask: Float32, places: Places) -> Float64:
    """Returns the coverage of each part of pixels of a mask [h, w], [n, PARTS, PARTS], whose mean is the pixel's value.

    places: the rows and columns of the pixels.
    """
    padded = np.pad(mask, 1)
    rows, columns = places
    near = np.stack([padded[rows + i, columns + j] for i in range(3) for j in range(3)]).astype(np.float64)
    near = near.reshape(3, 3, -1)
    own = near[1, 1]
    straight = _beside_a_line(own, (near[:, 2] - near[:, 0]).sum(0), (near[2] - near[0]).sum(0))
    share, corner = _at_a_corner(near)
    shares = straight + share[:, None, None] * (corner - straight)
    # A border that is crossed within three pixels is sharp.
    steep = np.maximum(np.abs(near[1, 2] - near[1, 0]), np.abs(near[2, 1] - near[0, 1]))
    shares = own[:, None, None] + np.square(np.minimum(steep, 1))[:, None, None] * (shares - own[:, None, None])
    return np.clip(shares, 0, 1)


def _beside_a_line(own: Float64, across: Float64, down: Float64) -> Float64:
    """Returns the coverage of each part of pixels by the half plane on one side of a line, [n, PARTS, PARTS].

    own: the coverage of the pixels. across, down: its gradient towards the right and the bottom.
    """
    # Distances are from the free corner, along the normal: to the other corners they are the normalised slopes.
    size = np.maximum(np.abs(across) + np.abs(down), 1e-9)
    along = np.abs(across) / size, np.abs(down) / size
    free = _distance(1 - own, np.minimum(*along))
    # The distance to the corner of each part that is nearest to the free one.
    starts = np.arange(PARTS) / PARTS
    firsts = [np.where(slope[:, None] >= 0, starts, 1 - 1 / PARTS - starts) for slope in (across, down)]
    offset = along[0][:, None, None] * firsts[0][:, None, :] + along[1][:, None, None] * firsts[1][:, :, None]
    left = PARTS * (free[:, None, None] - offset)
    return 1 - _area(left, np.minimum(*along)[:, None, None])


def _area(distance: Float64, less: Float64) -> Float64:
    """Returns the area of a unit square within a distance of one of its corners, measured along a line's normal.

    The distance to the opposite corner is 1, along one side it is `less`, at most 1/2, and 1 - less along the other.
    """
    near = np.clip(np.minimum(distance, 1 - distance), 0, 0.5)
    small = np.maximum(less, 1e-9)
    part = np.where(near < less, near * near / (2 * small * (1 - small)), (near - less / 2) / (1 - less))
    return np.where(distance > 0.5, 1 - part, part)


def _distance(area: Float64, less: Float64) -> Float64:
    """Returns the distance at which `_area` has a value from 0 to 1."""
    part = np.minimum(area, 1 - area)
    near = np.where(part < less / (2 * (1 - less)), np.sqrt(2 * less * (1 - less) * part), part * (1 - less) + less / 2)
    return np.where(area > 0.5, 1 - near, near)


def _at_a_corner(near: Float64) -> tuple[Float64, Float64]:
    """Returns how well pixels fit a corner, [n], and the coverage of their parts by it, [n, PARTS, PARTS].

    near: the pixels and their neighbours, [3, 3, n]. The width of a corner is the value of the pixel above or below it,
    and its height that of the pixel at its left or right; a notch is a corner of the free side.
    """
    share, shares = np.zeros(near.shape[2]), np.zeros((near.shape[2], PARTS, PARTS))
    starts = np.arange(PARTS) / PARTS
    for free in (False, True):
        values = 1 - near if free else near
        across, down = np.maximum(values[0, 1], values[2, 1]), np.maximum(values[1, 0], values[1, 2])
        like = np.maximum(1 - np.abs(values[1, 1] - across * down) / _CORNER, 0)
        # The opposite neighbours are free at a corner, while at a straight border one more is covered.
        like *= (np.minimum(values[0, 1], values[2, 1]) == 0) & (np.minimum(values[1, 0], values[1, 2]) == 0)
        columns, rows = (
            np.clip(PARTS * (side[:, None] - np.where(first[:, None], starts, 1 - 1 / PARTS - starts)), 0, 1)
            for side, first in ((across, values[1, 0] > 0), (down, values[0, 1] > 0))
        )
        parts = rows[:, :, None] * columns[:, None, :]
        # The difference to the pixel's value is distributed evenly.
        parts += (values[1, 1] - parts.mean((1, 2)))[:, None, None]
        better = like > share
        share = np.where(better, like, share)
        shares[better] = 1 - parts[better] if free else parts[better]
    return share, shares


def moments(mask: Float32) -> list[tuple[int, int, Float32]]:
    """Returns the moments of the coverage within the pixels of a mask [h, w], relative to an even distribution.

    Each entry consists of the order downwards, the order across, and the moment of each pixel, [h, w]: of the first
    order, the offset of the coverage from the centre of the pixel, and of the second.
    """
    places = border(mask)
    parts = covered(mask, places)
    # The squared coordinate in a part, less that in a pixel, averaged over each; the Taylor series has half of it.
    squares = (np.square(MIDDLES) + (PARTS**-2 - 1) / 12) / 2
    factors = np.ones(PARTS), MIDDLES, squares
    entries = []
    for down, across in ((0, 1), (1, 0), (0, 2), (1, 1), (2, 0)):
        plane = np.zeros_like(mask)
        plane[places] = (parts * factors[down][:, None] * factors[across]).mean((1, 2))
        entries.append((down, across, plane))
    return entries
