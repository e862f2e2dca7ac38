"""Transfers of luminance and colour temperature."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Float64
from ..ops.color_map import Affine, Curves, Stage, share
from ..typing import Chroma, ImageLike, MaskLike
from . import spaces
from .common import Region, region, regions
from .gaussian import floored, transport

__all__ = ["luminance_temperature", "luminances", "mean_mired", "shift_temperature", "tone_curve_between"]

#: The number of entries of the tables of curves that are steep near zero.
_STEPS = 4096
#: The number of colours whose temperature is shifted at once, so few that they fit in the CPU's cache.
_COLORS_PER_BLOCK = 4096
#: The number of samples of the cumulative histogram of luminance.
_SAMPLES = 32
#: The bins of the histograms of L, a and b, and their limits.
_BINS = 1024
_LAB_MIN, _LAB_MAX = np.array([0.0, -200.0, -200.0]), np.array([100.0, 200.0, 200.0])
#: The range of linear luminance, neither shadow nor over-exposed, used for temperatures (Xue et al. 2012).
_SHADOW, _OVEREXPOSED = float(spaces.srgb_to_linear(60 / 255)), 0.88


@functools.cache
def to_linear() -> Curves:
    """Returns sRGB's curve to linear light as a stage; values are clipped to [0, 1]."""
    return Curves(spaces.srgb_to_linear(np.linspace(0, 1, _STEPS)))


@functools.cache
def from_linear() -> Curves:
    """Returns the inverse of `to_linear` as a stage; values are clipped to [0, 1]."""
    return Curves(spaces.linear_to_srgb(np.linspace(0, 1, _STEPS)))


@functools.cache
def to_lab() -> tuple[Stage, ...]:
    """Returns the conversion of RGB to CIELAB as stages."""
    f = Curves(spaces.lab_f(np.linspace(0, 1, _STEPS)))
    lab = Affine(np.column_stack([spaces.F_TO_LAB, [-16.0, 0.0, 0.0]]))
    return to_linear(), Affine(spaces.RGB_TO_XYZ / spaces.WHITE[:, None]), f, lab


@functools.cache
def from_lab() -> tuple[Stage, ...]:
    """Returns the conversion of CIELAB to RGB as stages."""
    back = np.linalg.inv(spaces.F_TO_LAB)
    f = Curves(spaces.lab_f_inverse(np.linspace(0, 1.25, _STEPS)), 0.0, 1.25)
    return (
        Affine(np.column_stack([back, back @ [16.0, 0.0, 0.0]])),
        f,
        Affine(spaces.XYZ_TO_RGB * spaces.WHITE),
        from_linear(),
    )


def luminance_temperature(
    image: ImageLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    chroma: Chroma = "transport", max_shift: float = 0.4, floor: float = 7.5, strength: float = 1.0,
) -> Any:  # fmt: skip
    """Matches luminance by a smooth curve, and chroma by a linear map or by the colour temperature.

    In CIELAB, with L in [0, 1], 32 samples l of image's and l_r of reference's cumulative histogram give the targets
    l + (l_r - l) τ / max(τ, max |l_r - l|). L is mapped by the curve

        f(l) = (atan(m / δ) + atan((l - m) / δ)) / (atan(m / δ) + atan((1 - m) / δ)),   0 ≤ m ≤ 1, δ > 0

    with the m and δ that fit the targets best. Then a and b are mapped by the linear Monge-Kantorovich map between
    Gaussians with variances of at least `floor`; or all colours by the difference of the mean temperatures at
    constant tint (`shift_temperature`). After Lee et al., *Automatic Content-Aware Color and Tone Stylization*, 2016.

    Args:
        image, reference, mask, reference_mask, strength: see `reinhard`. Colours are clipped to [0, 1], floats too.
        chroma: how chroma is matched: 'transport' or 'temperature'.
        max_shift: τ, above 0 to 1: shifts of luminance are scaled so that the largest is at most this.
        floor: the least variance of a and b, 0 to 1e6.

    Returns, Raises: see `reinhard`; also ArgumentError if another argument is not accepted.

    Example:
        >>> from pyharmony import color
        >>> image = np.random.default_rng(0).integers(0, 100, (16, 16, 3), np.uint8)
        >>> result = color.luminance_temperature(image, image + 100)
        >>> bool(result.mean() > image.mean())
        True
    """
    target, source, amount = regions(image, reference, mask, reference_mask, strength)
    _checks.one_of(chroma, "chroma", ("transport", "temperature"))
    tau = _checks.number(max_shift, "max_shift", low=1e-6, high=1.0, accepts="a number above 0, at most 1")
    least = _checks.number(floor, "floor", high=1e6, accepts="a number from 0 to 1e6")
    ours, theirs = (part.stats(to_lab(), _BINS, _LAB_MIN, _LAB_MAX) for part in (target, source))
    curve = tone_curve_between(_luminances(ours.histogram[0]), _luminances(theirs.histogram[0]), tau)
    ends = np.linspace(_LAB_MIN, _LAB_MAX, _BINS + 1, axis=1)
    ends[0] = 100 * curve(ends[0] / 100)
    matrix = np.column_stack([np.eye(3), np.zeros(3)])
    if chroma == "transport":
        ab = transport(floored(ours.covariance[1:, 1:], least), floored(theirs.covariance[1:, 1:], least), 1e-3)
        matrix[1:, 1:3] = ab
        matrix[1:, 3] = theirs.mean[1:] - ab @ ours.mean[1:]
    stages = [*to_lab(), Curves(ends, _LAB_MIN, _LAB_MAX), Affine(matrix), *from_lab()]
    if chroma == "transport":
        return target.map(stages, amount)
    difference = mean_mired(source) - mean_mired(target)
    toned = Region(target.mapped(stages, 1.0), target.mask, "image")
    return target.replace(_shift_colors(toned.pixels[0], difference), amount)


def shift_temperature(image: ImageLike, mired: float, mask: MaskLike | None = None, *, strength: float = 1.0) -> Any:
    """Shifts each colour's correlated temperature by a number of mired, at constant tint and luminance.

    The chromaticity x, y of the linear colour is moved along the Planckian locus, preserving its distance from the
    locus and Y; temperatures are clipped to 1,500 to 20,000 K. The locus is Krystek's (1985).

    Args:
        image: an image of any kind, see `reinhard`, in sRGB; negative values count as zero.
        mired: the shift in 10⁶ / K, -600 to 600; above zero is warmer.
        mask, strength: see `reinhard`.

    Returns, Raises: see `reinhard`; also ArgumentError if mired is not accepted.

    Example:
        >>> from pyharmony import color
        >>> color.shift_temperature(np.full((1, 1, 3), 0.5), 50).round(2).tolist()  # warmer
        [[[0.54, 0.49, 0.42]]]
    """
    target = region(image, mask)
    amount = share(strength, "strength")
    shift = _checks.number(mired, "mired", low=-600, high=600, accepts="a number of mired from -600 to 600")
    target.stats()
    return target.replace(_shift_colors(target.pixels[0], shift), amount)


def _shift_colors(colors: Any, mired: float) -> Any:
    """Returns colours [N, 3] with their temperature shifted by mired."""
    result = np.empty(colors.shape, np.float32)
    for start in range(0, len(colors), _COLORS_PER_BLOCK):
        part = slice(start, start + _COLORS_PER_BLOCK)
        result[part] = spaces.linear_to_srgb(
            spaces.shifted_light(spaces.srgb_to_linear(np.maximum(colors[part], 0)), mired)
        )
    return result


def mean_mired(part: Region) -> float:
    """Returns the mean correlated colour temperature in mired of pixels neither in shadow nor over-exposed, if any."""
    colors, weights = part.pixels
    xyy = spaces.xyz_to_xyy(spaces.srgb_to_linear(np.maximum(colors, 0)) @ spaces.RGB_TO_XYZ.T)
    well_lit = (xyy[:, 2] > _SHADOW) & (xyy[:, 2] < _OVEREXPOSED)
    if well_lit.any():
        xyy, weights = xyy[well_lit], weights[well_lit]
    return float(np.average(spaces.uv_to_mired(spaces.xy_to_uv(xyy[:, :2])), weights=weights))


def luminances(part: Region) -> Float64:
    """Returns `_luminances` of a region."""
    return _luminances(part.stats(to_lab(), _BINS, _LAB_MIN, _LAB_MAX).histogram[0])


def tone_curve_between(before: Float64, goal: Float64, max_shift: float) -> Callable[[Float64], Float64]:
    """Returns the tone curve fitted from samples of L to others, with shifts scaled to at most max_shift."""
    shift = goal - before
    middle, width = fit_tone_curve(before, before + shift * (max_shift / max(max_shift, np.abs(shift).max())))
    return lambda luminance: tone_curve(luminance, middle, width)


def _luminances(histogram: Float64) -> Float64:
    """Returns samples of the cumulative histogram of L, at equal steps of the share of pixels, in [0, 1]."""
    cumulative = np.concatenate([[0.0], np.cumsum(histogram)]) / histogram.sum()
    shares = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    return np.interp(shares, cumulative + np.linspace(0, 1e-9, len(cumulative)), np.linspace(0, 1, len(cumulative)))


def tone_curve(luminance: Float64, middle: Any, width: Any) -> Float64:
    """Returns the f of `luminance_temperature`, where middle is m and width is δ."""
    start = np.arctan(middle / width)
    return (start + np.arctan((luminance - middle) / width)) / (start + np.arctan((1 - middle) / width))


def fit_tone_curve(luminance: Float64, goal: Float64) -> tuple[float, float]:
    """Returns m and δ of the curve through 0 and 1 with the smallest mean squared distance from the goals.

    Starts from the best point of a grid of m and log δ and makes Levenberg-Marquardt steps from there.
    """
    lowest, highest = np.array([0.0, np.log(0.02)]), np.array([1.0, np.log(1e4)])
    grid = np.stack(np.meshgrid(*np.linspace(lowest, highest, 17).T, indexing="ij"), -1).reshape(-1, 2)
    errors = ((tone_curve(luminance, grid[:, :1], np.exp(grid[:, 1:])) - goal) ** 2).sum(1)
    at, error, damping = grid[errors.argmin()], float(errors.min()), 1e-3
    for _ in range(40):
        value, slope = _tone_curve_slope(luminance, *at)
        normal = slope @ slope.T
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)) + 1e-15 * np.eye(2), slope @ (goal - value))
        trial = np.clip(at + step, lowest, highest)
        trial_error = float(((tone_curve(luminance, trial[0], np.exp(trial[1])) - goal) ** 2).sum())
        if trial_error < error:
            gain, at, error, damping = error - trial_error, trial, trial_error, damping / 4
            if gain < 1e-12:
                break
        else:
            damping *= 8
            if damping > 1e9:
                break
    return float(at[0]), float(np.exp(at[1]))


def _tone_curve_slope(luminance: Float64, middle: float, log_width: float) -> tuple[Float64, Float64]:
    """Returns f, and its derivatives [2, ...] by m and log δ."""
    width = np.exp(log_width)
    start, here, end = middle, luminance - middle, 1 - middle
    a, b, c = (np.arctan(x / width) for x in (start, here, end))
    da, db, dc = (width / (width**2 + x**2) for x in (start, here, end))
    top, bottom = a + b, a + c
    by_middle = (da - db) * bottom - top * (da - dc)
    by_width = -(start * da + here * db) * bottom + top * (start * da + end * dc)
    return top / bottom, np.stack([by_middle, by_width]) / bottom**2
