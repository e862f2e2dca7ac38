"""Destinations under their sources: known and unknown colours, and a warning of erased objects."""

from __future__ import annotations

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from .._warnings import warn
from ..errors import MaskWarning
from .fill import fill
from .memory import Memory
from .region import Region

_SAMPLES = 24  # the rows and columns of the grid on which colours are compared, at least
# A dst looks erased if it has one colour under the mask and others around it.
_ERASED = 0.9  # the smallest share of samples under the mask that have nearly the same colour
_FLAT = 2.0  # the largest distance from that colour under the mask, in 8-bit levels
_BESIDE = 0.5  # the largest share of samples around the mask that have a similar colour
_ALIKE = 8.0  # the largest distance from that colour around the mask, in 8-bit levels
_LEAST = 16  # with fewer samples there is no warning


class Ground:
    """The colours of a destination [H, W, C], some pixels of which may be unknown.

    alpha, valid: [H, W], where zero dst is unknown, or None. An alpha that is zero everywhere is ignored.
    """

    def __init__(self, dst: NumpyArray, alpha: NumpyArray | None, valid: NumpyArray | None, memory: Memory) -> None:
        self._dst, self._memory = dst, memory
        self._planes = [plane for plane in (alpha, valid) if plane is not None]
        self._unknown: dict[Region, NumpyArray | None] = {}
        self._colours: dict[Region, NumpyArray] = {}

    def unknown(self, region: Region) -> NumpyArray | None:
        """Returns where dst is unknown in a region, [h, w] bool, or None if all of it is known."""
        if not self._planes:
            return None
        if region not in self._unknown:
            missing = self._missing(region)
            none = not missing.any() or (missing.all() and self._reach(region) is None)
            self._unknown[region] = None if none else self._memory.hold(missing)
        return self._unknown[region]

    def of(self, region: Region) -> tuple[NumpyArray, NumpyArray | None]:
        """Returns the colours over a region, and where they are unknown, or None.

        If all are known, the colours are a view of dst. Otherwise they are floats in its unit, extrapolated from the
        nearest known ones.
        """
        missing = self.unknown(region)
        if missing is None:
            return region.of(self._dst), None
        if region not in self._colours:
            around = self._reach(region)
            assert around is not None  # noqa: S101  # `unknown` would have been None
            real = np.float64 if self._dst.dtype == np.float64 else np.float32
            values = self._memory.hold(around.of(self._dst).astype(real))
            # NaN next to the pixels that a blend reads must not be extrapolated.
            absent = self._missing(around) | ~np.isfinite(values).all(2)
            self._colours[region] = region.of(fill(values, absent, self._memory), around.origin)
        return self._colours[region], missing

    def _missing(self, region: Region) -> NumpyArray:
        result: NumpyArray = np.zeros(region.shape, bool)
        for plane in self._planes:
            result |= ~(region.of(plane) > 0)
        return result

    def _reach(self, region: Region) -> Region | None:
        """Returns the region with known pixels on all sides of the unknown ones, as far as dst extends.

        None: no pixel of dst is known.
        """
        shape, pixels = self._dst.shape[:2], 8
        while True:
            around = region.expand(pixels, shape)
            missing = self._missing(around)
            open_sides = (
                around.y0 > 0 and missing[0].any(),
                around.y1 < shape[0] and missing[-1].any(),
                around.x0 > 0 and missing[:, 0].any(),
                around.x1 < shape[1] and missing[:, -1].any(),
            )
            if not any(open_sides):
                return None if missing.all() else around
            pixels *= 2


def _may_be_flat(part: NumpyArray, near: float) -> bool:
    """Returns whether at least three of nine pixels of [h, w, C] are similar: a test that takes next to no time."""
    ys, xs = ((n // 4, n // 2, n - 1 - n // 4) for n in part.shape[:2])
    first = sorted(part[y, x].tolist() for y in ys for x in xs)
    return any(
        all(abs(a - b) <= 2 * near for a, b in zip(low, high, strict=True)) for low, high in zip(first, first[2:])
    )


def warn_of_erased(dst: NumpyArray, mask: NumpyArray, src_region: Region, box: Region) -> None:
    """Warns of a dst [H, W, C] with nearly one colour under its mask and others around it, on a grid of samples.

    mask, box: [h, w] over the region `src_region` of dst, and the box of its pixels above zero in dst.
    """
    level = VALUE_RANGE[dst.dtype.name] / 255
    common = box.overlap(src_region)
    if common.empty or not _may_be_flat(common.of(dst), _FLAT * level):
        return
    rows, columns = (slice(None, None, max(1, n // _SAMPLES)) for n in common.shape)
    samples = common.of(mask, src_region.origin)[rows, columns]
    under = common.of(dst)[rows, columns][samples > VALUE_RANGE.get(samples.dtype.name, 1) / 2].astype(np.float32)
    if len(under) < _LEAST:
        return
    colour = under[len(under) // 2]
    # Comparisons with NaN are False.
    if not (np.abs(under - colour) <= _FLAT * level).all(1).mean() >= _ERASED:
        return
    around = box.expand(2 + max(box.shape) // 8, dst.shape)
    outside = np.ones(around.shape, bool)
    inner = src_region.overlap(around)
    inner.of(outside, around.origin)[...] = inner.of(mask, src_region.origin) == 0
    beside = around.of(dst)[rows, columns][outside[rows, columns]].astype(np.float32)
    if len(beside) < _LEAST:
        return
    if (np.abs(beside - colour) <= _ALIKE * level).all(1).mean() <= _BESIDE:
        text = ", ".join(f"{value:g}" for value in np.round(colour, 0 if level >= 1 else 3))
        warn(
            MaskWarning(
                f"dst: nearly one colour, ({text}), under the mask and not around it, as if an object had been erased "
                "there, and the blend uses it as background",
                code="looks-erased",
                hint="mark unknown pixels: alpha 0, or False in dst_valid",
            )
        )
