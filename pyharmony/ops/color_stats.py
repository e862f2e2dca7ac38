"""Statistics of the colours inside and outside a mask.

See `pyharmony.reference.color_stats` for the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks, _reprs
from .._arrays import VALUE_RANGE, NumpyArray
from .._native import native
from ..errors import ArgumentError
from ..typing import Array
from .color_map import Stage, bounds, color_image, encode

__all__ = ["ColorStats", "RegionStats", "color_stats", "run"]

#: The largest number of bins of a histogram.
MAX_BINS = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class RegionStats(_reprs.Line):
    """The colour statistics of a region, 1 being white.

    Attributes:
        weight: the sum of the weights. If it is zero the rest is NaN, and the histogram zero.
        mean: [3].
        covariance: [3, 3], of the population: divided by weight.
        minimum, maximum: [3], over the pixels of weight above zero.
        histogram: [3, bins], the weight in each bin.

    Example:
        >>> from pyharmony import ops
        >>> region = ops.color_stats(np.full((2, 2, 3), 255, np.uint8)).foreground
        >>> region.weight, region.mean.tolist()
        (4.0, [1.0, 1.0, 1.0])
    """

    weight: float
    mean: NumpyArray
    covariance: NumpyArray
    minimum: NumpyArray
    maximum: NumpyArray
    histogram: NumpyArray


@dataclass(frozen=True, eq=False, repr=False)
class ColorStats(_reprs.Line):
    """The result of `color_stats`.

    Attributes:
        foreground: the statistics weighted by the mask.
        background: the statistics weighted by one minus the mask; None if background=False was given.

    Example:
        >>> from pyharmony import ops
        >>> image = np.zeros((2, 2, 3), np.uint8)
        >>> image[0] = 255
        >>> stats = ops.color_stats(image, np.array([[255, 255], [0, 0]], np.uint8))
        >>> stats.foreground.mean.tolist(), stats.background.mean.tolist()
        ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """

    foreground: RegionStats
    background: RegionStats | None


def color_stats(
    image: Array,
    mask: Array | None = None,
    *,
    bins: int = 0,
    stages: Sequence[Stage] = (),
    low: Any = None,
    high: Any = None,
    background: bool = True,
) -> ColorStats:
    """Returns weight, mean, covariance, extremes and histograms inside and outside a mask, computed in one pass.

    Colours are read as float32. Each run of pixels is summed in float64 relative to one of its pixels, which avoids
    cancellation. The result is bit-identical for any number of threads and any strides.

    Args:
        image: [H, W, 3], any image dtype and strides.
        mask: [H, W], bool, uint8 or uint16 scaled by their range, or floats in [0, 1]; None: all is foreground.
        bins: the number of bins of each channel's histogram, 0 to 65536.
        stages: the stages of a `color_map`; the statistics are then of its result.
        low, high: the bounds of the histograms: numbers, or one for each channel. None: for integers without stages
            those that give each value an equal bin (with 256 bins one for each value of uint8), else 0 and 1.
        background: False skips the outside.

    Returns:
        ColorStats, with foreground and background.

    Raises:
        ShapeError, DTypeError, MaskError: image is not [H, W, 3], or mask does not match it.
        ArgumentError: bins, low or high are not accepted, or the image contains NaN or infinities in a region that is
            read.

    Example:
        >>> from pyharmony import ops
        >>> image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        >>> stats = ops.color_stats(image, bins=4)
        >>> stats.foreground.histogram.shape, int(stats.foreground.histogram[0].sum())
        ((3, 4), 1024)
    """
    _checks.flags(background=background)
    a = color_image(image, "image")
    m = None if mask is None else _checks.mask(mask, "mask", *a.shape[:2])
    _checks.whole(bins, "bins", high=MAX_BINS)
    encoded, _memory = encode(stages)
    half = 0.5 / VALUE_RANGE[a.dtype.name] if a.dtype.kind == "u" and not encoded else 0.0
    edges = bounds(-half if low is None else low, 1 + half if high is None else high, "")
    return run(a, m, encoded, int(bins), edges, bool(background))


def run(
    image: NumpyArray, mask: NumpyArray | None, encoded: Any, bins: int, edges: Any, background: bool
) -> ColorStats:
    """Runs the native call on checked arguments."""
    regions = 2 if background and mask is not None else 1
    moments, histograms = np.empty((regions, 16)), np.empty((regions, 3, bins))
    native.color_stats(
        _arrays.view(image, "image"), encoded, None if mask is None else _arrays.view(mask, "mask"),
        [float(x) for x in edges[0]], [float(x) for x in edges[1]],
        _arrays.view(moments, "moments", writable=True), _arrays.view(histograms, "histograms", writable=True),
    )  # fmt: skip
    stats = [_region(*both) for both in zip(moments, histograms, strict=True)]
    for region, name in zip(stats, ("foreground", "background")):
        if region.weight > 0 and not np.isfinite([region.mean, region.minimum, region.maximum]).all():
            raise ArgumentError(f"image: NaN or infinities in the {name}, expected finite values")
    if background and mask is None:
        stats.append(_region(np.zeros(16), np.zeros((3, bins))))
    return ColorStats(stats[0], stats[1] if background else None)


def _region(moments: NumpyArray, histogram: NumpyArray) -> RegionStats:
    rr, rg, rb, gg, gb, bb = moments[4:10]
    covariance = np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]])
    stats = RegionStats(float(moments[0]), moments[1:4], covariance, moments[10:13], moments[13:16], histogram)
    if stats.weight == 0:
        for a in (stats.mean, stats.covariance, stats.minimum, stats.maximum):
            a.fill(np.nan)
    return stats
