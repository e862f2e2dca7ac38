"""Finds what was changed on purpose: where an edit differs from its original by more than drift, blur and noise.

The difference of the edit, its colours mapped, from the original, blurred like it, is smoothed at four scales. Its
magnitude is compared with what is usual for the texture at the place: with noise that is estimated from the half of
the pixels that changed least. Parts above a low threshold count if they hold a place above a high one (hysteresis), so
that shadows and reflections of an object come with it; the rim that only smoothing has widened is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Bools, Float32, Pixels
from .._images.planes import closed, connected_parts, grown, shrunk
from ..ops.distance import distance_inside
from ._planes import smoothed, tent, without_holes, without_small

#: The radii of the windows at which differences are smoothed; 0 is `tent`.
_RADII = (0, 1, 2, 5)
#: The least noise of each scale, in levels.
_FLOORS = (0.8, 0.7, 0.6, 0.6)
#: The largest noise of each scale: what differs by more is no noise, however common it is.
_CEILINGS = (8.0, 6.5, 5.0, 4.5)
_BINS = 12  # of texture, each with its own noise
_TABLE_STEPS = 256  # of texture, in a table of noise
_QUANTILE = 0.4  # of the magnitudes of a bin, which stands for its noise: the half that changed least
_SAMPLE_STEP = 3  # pixels along each axis, of which one is a sample of the noise
#: The magnitudes in noises above which a pixel may have changed, at the three finer scales.
_LOW_NOISES = (5.0, 4.5, 6.0)
#: The magnitudes of a certain change: at the second and third scale together, or at the coarsest.
_HIGH_NOISES = (8.0, 12.0, 16.0)
_MIN_AREA_SHARE = 0.0003  # the least area of a change, as a share of the view
_HOLE_AREA = 0.004  # the largest hole of a change that is filled, as a share of the view
_GAP_RADIUS = 2  # the radius of the closing of a change
#: The shares of the largest magnitude within `_RIM_RADIUS` pixels below which the rim of a change is smoothing alone,
#: at the two finest scales; the rim is at most `_RIM_WIDTH` pixels wide.
_RIM_SHARES = (0.16, 0.2)
_RIM_RADIUS, _RIM_WIDTH = 4, 5.0
#: The levels from which on a value of the edit is clipped, white or black.
_WHITE_LEVEL, _BLACK_LEVEL = 251, 4
#: The magnitudes up to which a pixel serves as unchanged, at the two coarser scales.
_SAME_NOISES = (4.0, 6.0)


class Difference(NamedTuple):
    """How far an edit differs from its original at each pixel of the view."""

    magnitudes: list[Float32]  # at each scale, [h, w], in levels
    shares: list[Float32]  # the same in noises

    def unchanged(self, visible: Bools) -> Bools:
        """Returns the pixels that surely show the same."""
        same = visible & (self.shares[2] < _SAME_NOISES[0]) & (self.shares[3] < _SAME_NOISES[1])
        return shrunk(same, 2)


def difference(
    original: Sequence[Float32], mapped: Sequence[Float32], edited: Pixels, slopes: Float32, fitting: Bools
) -> Difference:
    """Returns the difference of an edit from its original.

    original: planes [h, w] in levels, as blurred as the edit.
    mapped, edited: the edit in the original's colours, as planes, and in its own, [h, w, 3].
    slopes: the texture of the original, [h, w].
    fitting: where they are known to show the same, or may do.
    """
    # Where the edit is clipped, what it shows may be brighter or darker than it says.
    white, black = grown(edited) >= _WHITE_LEVEL, shrunk(edited) <= _BLACK_LEVEL
    off = []
    for channel, (plane, other) in enumerate(zip(original, mapped, strict=True)):
        part = other - plane
        part[(white[..., channel] & (part < 0)) | (black[..., channel] & (part > 0))] = 0
        off.append(part)
    magnitudes, shares = [], []
    for radius, floor, ceiling in zip(_RADII, _FLOORS, _CEILINGS, strict=True):
        squares = np.zeros_like(slopes)
        for part in off:
            smooth = smoothed(part, radius) if radius else tent(part)
            squares += np.square(smooth)
        magnitude = np.sqrt(squares * np.float32(1 / 3))
        around = smoothed(slopes, radius) if radius else slopes
        magnitudes.append(magnitude)
        shares.append(magnitude / np.clip(_noise(magnitude, around, fitting), floor, ceiling).astype(np.float32))
    return Difference(magnitudes, shares)


def _noise(magnitude: Float32, slopes: Float32, fitting: Bools) -> Float32:
    """Returns the usual magnitude for the texture at each pixel, [h, w]."""
    every = slice(None, None, _SAMPLE_STEP)
    samples = fitting[every, every]
    values, texture_values = magnitude[every, every][samples], slopes[every, every][samples]
    count = len(values) // _BINS
    if count < 50:
        return np.full_like(magnitude, np.median(values) if len(values) else 0.0)
    order = np.argsort(texture_values)[: count * _BINS].reshape(_BINS, count)
    centres = texture_values[order[:, count // 2]]
    place = int(_QUANTILE * count)
    levels = np.maximum.accumulate(np.partition(values[order], place, axis=1)[:, place])
    # A table at equal steps of texture is much faster than the search for each pixel's bin.
    table = np.interp(np.linspace(0, centres[-1], _TABLE_STEPS), centres, levels).astype(np.float32)
    last = _TABLE_STEPS - 1
    place_of = np.minimum(slopes * np.float32(last / max(centres[-1], 1e-6)), last).astype(np.uint8)
    return table[place_of]


def changed(differs: Difference, visible: Bools) -> Bools:
    """Returns where the edit was changed on purpose, [h, w]."""
    size = visible.size
    low = np.logical_or.reduce([share > least for share, least in zip(differs.shares, _LOW_NOISES, strict=False)])
    low &= visible
    _, finer, coarser, coarsest = differs.shares
    high = ((finer > _HIGH_NOISES[0]) & (coarser > _HIGH_NOISES[1])) | (coarsest > _HIGH_NOISES[2])
    numbers = connected_parts(low)
    certain = np.zeros(int(numbers.max()) + 1, bool)
    certain[numbers[high & low]] = True
    certain[0] = False
    region = without_small(certain[numbers], _MIN_AREA_SHARE * size)
    if not region.any():
        return region
    region = without_holes(closed(region, _GAP_RADIUS), _HOLE_AREA * size)
    rim = region.copy()
    for magnitude, share in zip(differs.magnitudes, _RIM_SHARES, strict=False):
        rim &= magnitude < np.float32(share) * grown(magnitude, _RIM_RADIUS)
    framed = np.pad(region, 1, mode="edge")
    rim &= distance_inside(framed)[1:-1, 1:-1] <= _RIM_WIDTH
    return without_holes(closed(region & ~rim, _GAP_RADIUS), _HOLE_AREA * size) & region
