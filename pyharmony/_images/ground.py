"""Destinations under their sources: known and unknown colours, and a warning of erased objects."""

from __future__ import annotations

import numpy as np

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native
from .._warnings import warn
from ..errors import MaskWarning
from .fill import fill
from .region import Region


class Ground:
    """The colours of a destination [H, W, C], some pixels of which may be unknown.

    alpha, valid: [H, W], where zero dst is unknown, or None. An alpha that is zero everywhere is ignored.
    """

    def __init__(self, dst: NumpyArray, alpha: NumpyArray | None, valid: NumpyArray | None) -> None:
        self._dst = dst
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
            self._unknown[region] = None if none else missing
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
            values = around.of(self._dst).astype(real)
            # NaN next to the pixels that a blend reads must not be extrapolated.
            absent = self._missing(around) | ~np.isfinite(values).all(2)
            self._colours[region] = region.of(fill(values, absent), around.origin)
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


def warn_of_erased(dst: NumpyArray, mask: NumpyArray, src_region: Region, box: Region) -> None:
    """Warns of a dst [H, W, C] with nearly one colour under its mask and others around it, on a grid of samples.

    mask, box: [h, w] over the region `src_region` of dst, and the box of its pixels above zero in dst.
    """
    views = _arrays.view(dst, "dst", copies=True), _arrays.view(mask, "mask", copies=True)
    if colour := native.erased_colour(*views, src_region.ends, box.ends):
        decimals = 0 if dst.dtype.kind == "u" else 3
        text = ", ".join(f"{value:g}" for value in np.round(np.array(colour, np.float32), decimals))
        warn(
            MaskWarning(
                f"dst: nearly one colour, ({text}), under the mask and not around it, as if an object had been erased "
                "there, and the blend uses it as background",
                code="looks-erased",
                hint="mark unknown pixels: alpha 0, or False in dst_valid",
            )
        )
