"""Transfers that match cumulative histograms, channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Float64
from ..ops.color_map import Affine, Curves, Stage
from ..typing import ImageLike, MaskLike
from .common import Region, regions
from .spaces import RGB_TO_YCBCR

__all__ = ["fecker", "match_histogram", "quantile_tables"]

_TO_YCBCR = Affine(np.column_stack([RGB_TO_YCBCR, [0.0, 0.5, 0.5]]))
_YCBCR_TO_RGB = np.linalg.inv(RGB_TO_YCBCR)
_FROM_YCBCR = Affine(np.column_stack([_YCBCR_TO_RGB, _YCBCR_TO_RGB @ [0.0, -0.5, -0.5]]))


def match_histogram(
    image: ImageLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    bins: int | None = None, strength: float = 1.0,
) -> Any:  # fmt: skip
    """Matches the cumulative histogram of each of red, green and blue: x' = F_r⁻¹(F(x)).

    F and F_r are the cumulative histograms, linear within a bin. For uint8 every value is a bin, so x' is evaluated
    at the middle of its step. A channel with all values in one bin is shifted to the mean of reference's.

    Args:
        image, reference, mask, reference_mask, strength: see `reinhard`.
        bins: the bins of the histograms, 2 to 65536; None: 256 if image is uint8, else 1024.

    Returns, Raises: see `reinhard`; also ArgumentError if bins is not accepted.

    Example:
        >>> from pyharmony import color
        >>> image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        >>> color.match_histogram(image, image + 100)[0, 0].tolist()
        [100, 101, 102]
    """
    target, source, amount = regions(image, reference, mask, reference_mask, strength)
    count = _checks.whole(256 if target.image.dtype == np.uint8 else 1024, "bins", low=2, high=65536)
    if bins is not None:
        count = _checks.whole(bins, "bins", low=2, high=65536)
    low, high = limits(target, source, [])
    if target.image.dtype == np.uint8:
        low, high = low - 0.5 / 255, high + 0.5 / 255
    return target.map([matching(target, source, [], count, low, high)], amount)


def fecker(
    image: ImageLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    bins: int = 256, strength: float = 1.0,
) -> Any:  # fmt: skip
    """Matches the cumulative histogram of each channel of YCbCr: x' = F_r⁻¹(F(x)).

    After Fecker, Barkowsky and Kaup, *Histogram-Based Prefiltering for Luminance and Chrominance Compensation of
    Multiview Video*, 2008; F is linear within a bin. YCbCr follows Rec. 601 in full range.

    Args:
        image, reference, mask, reference_mask, strength: see `reinhard`.
        bins: the bins of the histograms, 2 to 65536.

    Returns, Raises: see `reinhard`; also ArgumentError if bins is not accepted.

    Example:
        >>> from pyharmony import color
        >>> image = np.random.default_rng(0).integers(0, 100, (16, 16, 3), np.uint8)
        >>> reference = image + 100
        >>> round(float(color.fecker(image, reference).mean() - reference.mean()))
        0
    """
    target, source, amount = regions(image, reference, mask, reference_mask, strength)
    count = _checks.whole(bins, "bins", low=2, high=65536)
    curves = matching(target, source, [_TO_YCBCR], count, *limits(target, source, [_TO_YCBCR]))
    return target.map([_TO_YCBCR, curves, _FROM_YCBCR], amount)


def limits(target: Region, source: Region, stages: list[Stage]) -> tuple[Float64, Float64]:
    """Returns 0 and 1, or wider limits if floats of either region exceed them."""
    low, high = np.zeros(3), np.ones(3)
    for part in (target, source):
        if part.image.dtype.kind == "f":
            stats = part.stats(stages)
            low, high = np.minimum(low, stats.minimum), np.maximum(high, stats.maximum)
    return low, high


def matching(target: Region, source: Region, stages: list[Stage], bins: int, low: Float64, high: Float64) -> Curves:
    """Returns the curves that match the histograms of target's colours to those of source's, both after stages."""
    ours, theirs = (part.stats(stages, bins, low, high).histogram for part in (target, source))
    return Curves(quantile_tables(ours, theirs, low, high), low, high)


def quantile_tables(ours: Any, theirs: Any, low: Float64, high: Float64) -> Float64:
    """Returns F_r⁻¹(F(x)) at the edges x of the bins, [3, bins + 1], for histograms [3, bins].

    A channel with all values in one bin, of which only the mean is known, is shifted.
    """
    bins = ours.shape[1]
    # F would be flat in empty bins and not invertible there, so a slope far below a pixel's weight is added.
    slope = np.linspace(0, 1e-9, bins + 1)
    tables = np.empty((3, bins + 1))
    for c in range(3):
        edges = np.linspace(low[c], high[c], bins + 1)
        if np.count_nonzero(ours[c]) == 1:
            middles = (edges[1:] + edges[:-1]) / 2
            tables[c] = edges + np.average(middles, weights=theirs[c]) - middles[ours[c].argmax()]
            continue
        cumulative, goal = (
            slope + np.concatenate([[0.0], np.cumsum(counts[c])]) / counts[c].sum() for counts in (ours, theirs)
        )
        nonempty = np.flatnonzero(theirs[c])
        tables[c] = np.interp(cumulative, goal, edges).clip(edges[nonempty[0]], edges[nonempty[-1] + 1])
    return tables
