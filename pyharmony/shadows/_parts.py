"""Tells in which parts of a pixel an object is that covers some of it, from the pixels around.

Beside the border of an object a pixel is covered on one side, not evenly. The border is taken for a straight line
across the pixel, at right angles to where the mask rises and as far in as the pixel's own value says; at the corner of
something upright it is taken for two lines. A mask that rises over several pixels covers each of them evenly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ._geometry import Float64
from ._soft import Float32

#: The parts of a pixel along each side.
PARTS = 3
#: The middles of a pixel's parts, from its own.
MIDDLES = (np.arange(PARTS) + 0.5) / PARTS - 0.5
#: How far a pixel that counts as wholly covered, or as free, may be from that.
_FULL = 0.02
#: How far a pixel may be from what two lines cover to be no corner at all.
_CORNER = 0.05

Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def border(mask: Float32) -> Places:
    """Returns the rows and columns of the pixels of a mask [h, w] that its border crosses.

    They are covered in part, and of the pixels around one at least is wholly covered and one is free, as all beyond is.
    """
    near = _around(mask > 1 - _FULL, beyond=False) & _around(mask < _FULL, beyond=True)
    places = np.nonzero(near & (mask > 0) & (mask < 1))
    return places[0], places[1]


def _around(inside: npt.NDArray[np.bool_], *, beyond: bool) -> npt.NDArray[np.bool_]:
    """Tells for each pixel [h, w] whether it or one of the eight around is inside; `beyond` says it of all others."""
    padded = np.pad(inside, 1, constant_values=beyond)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    result: npt.NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return result


def covered(mask: Float32, places: Places) -> Float64:
    """Returns how far each part of pixels of a mask [h, w] is covered, [n, PARTS, PARTS], of which the mean is theirs.

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
    # A border that is crossed within three pixels is one.
    steep = np.maximum(np.abs(near[1, 2] - near[1, 0]), np.abs(near[2, 1] - near[0, 1]))
    shares = own[:, None, None] + np.square(np.minimum(steep, 1))[:, None, None] * (shares - own[:, None, None])
    return np.clip(shares, 0, 1)


def _beside_a_line(own: Float64, across: Float64, down: Float64) -> Float64:
    """Returns how far each part of pixels is covered by what lies on one side of a line, [n, PARTS, PARTS].

    own: how far the pixels are covered. across, down: how much more so they are towards the right and the bottom.
    """
    # The nearest corner is where the object is not: from there a line is as far as the smaller and larger slope say.
    size = np.maximum(np.abs(across) + np.abs(down), 1e-9)
    along = np.abs(across) / size, np.abs(down) / size
    free = _distance(1 - own, np.minimum(*along))
    # The distance at the corner of each part that is nearest to where the object is not.
    starts = np.arange(PARTS) / PARTS
    firsts = [np.where(slope[:, None] >= 0, starts, 1 - 1 / PARTS - starts) for slope in (across, down)]
    offset = along[0][:, None, None] * firsts[0][:, None, :] + along[1][:, None, None] * firsts[1][:, :, None]
    left = PARTS * (free[:, None, None] - offset)
    return 1 - _area(left, np.minimum(*along)[:, None, None])


def _area(distance: Float64, less: Float64) -> Float64:
    """Returns the area of a unit square that lies within a distance of a corner of it, measured across a line.

    The distance to the opposite corner is 1, along one side it is `less`, at most 1/2, and 1 - less along the other.
    """
    near = np.clip(np.minimum(distance, 1 - distance), 0, 0.5)
    small = np.maximum(less, 1e-9)
    part = np.where(near < less, near * near / (2 * small * (1 - small)), (near - less / 2) / (1 - less))
    return np.where(distance > 0.5, 1 - part, part)


def _distance(area: Float64, less: Float64) -> Float64:
    """Returns the distance at which `_area` is an area from 0 to 1."""
    part = np.minimum(area, 1 - area)
    near = np.where(part < less / (2 * (1 - less)), np.sqrt(2 * less * (1 - less) * part), part * (1 - less) + less / 2)
    return np.where(area > 0.5, 1 - near, near)


def _at_a_corner(near: Float64) -> tuple[Float64, Float64]:
    """Returns how much pixels are like corners, [n], and how far their parts then are covered, [n, PARTS, PARTS].

    near: the pixels and those around them, [3, 3, n]. A corner reaches so far across as the pixel above or below it is
    covered, and so far down as the one beside it; a notch is a corner of what is free.
    """
    share, shares = np.zeros(near.shape[2]), np.zeros((near.shape[2], PARTS, PARTS))
    starts = np.arange(PARTS) / PARTS
    for free in (False, True):
        values = 1 - near if free else near
        across, down = np.maximum(values[0, 1], values[2, 1]), np.maximum(values[1, 0], values[1, 2])
        like = np.maximum(1 - np.abs(values[1, 1] - across * down) / _CORNER, 0)
        # On the other sides there is none of it; beside a straight border there is on one more.
        like *= (np.minimum(values[0, 1], values[2, 1]) == 0) & (np.minimum(values[1, 0], values[1, 2]) == 0)
        columns, rows = (
            np.clip(PARTS * (side[:, None] - np.where(first[:, None], starts, 1 - 1 / PARTS - starts)), 0, 1)
            for side, first in ((across, values[1, 0] > 0), (down, values[0, 1] > 0))
        )
        parts = rows[:, :, None] * columns[:, None, :]
        # What the two lines leave to the pixel's value is spread evenly.
        parts += (values[1, 1] - parts.mean((1, 2)))[:, None, None]
        better = like > share
        share = np.where(better, like, share)
        shares[better] = 1 - parts[better] if free else parts[better]
    return share, shares


def moments(mask: Float32) -> list[tuple[int, int, Float32]]:
    """Returns how what covers the pixels of a mask [h, w] is spread in them, beside what is spread evenly.

    Each entry tells how often it counts downwards and how often across, and the moment of each pixel, [h, w]: of the
    first order, how far below or aside of the middle of a pixel its cover lies, and of the second.
    """
    places = border(mask)
    parts = covered(mask, places)
    # The square of a place in a part, less that in a pixel, in the mean over each; the series has half of it.
    squares = (np.square(MIDDLES) + (PARTS**-2 - 1) / 12) / 2
    factors = np.ones(PARTS), MIDDLES, squares
    entries = []
    for down, across in ((0, 1), (1, 0), (0, 2), (1, 1), (2, 0)):
        plane = np.zeros_like(mask)
        plane[places] = (parts * factors[down][:, None] * factors[across]).mean((1, 2))
        entries.append((down, across, plane))
    return entries
