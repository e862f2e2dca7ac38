"""Transfers of the background's statistics to the object, with limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .._arrays import Float64
from ..color import lab_to_rgb, lalphabeta_to_rgb, linear_to_srgb, rgb_to_lab, rgb_to_lalphabeta, srgb_to_linear
from ..color.common import Region
from ..color.gaussian import floored, transport
from ..color.histogram import quantile_tables
from ..color.spaces import LMS_TO_LALPHABETA, RGB_TO_LMS, shifted_light
from ..color.temperature import luminances, mean_mired, tone_curve_between
from ._guards import Answer, change_confidence, combined, keep_highlights, limited, region_confidence
from ._maps import image_of, table_of
from ._scene import Scene

Function = Callable[[Float64], Float64]

#: The longer side of the reduced image from which statistics are computed.
STATISTICS_SIDE = 512

#: The largest ratio of spreads, and of the slopes of curves; the smallest is its inverse.
_RATIO = 1.5
#: The largest shifts of the means of lαβ: a factor of 1.5 of light, of 1.25 of blue, of 1.1 between red and green.
_LALPHABETA = np.array(
    [math.sqrt(3) * math.log(1.5), 2 / math.sqrt(6) * math.log(1.25), math.sqrt(0.5) * math.log(1.1)]
)
_RGB = 0.15  # the largest shift of the means of red, green and blue, where white is 1
_CURVE = 0.2  # the largest shift of the values of curves, where white is 1
#: The smallest variance, for regions that are nearly of one colour: a standard deviation of 5 of 255.
_FLOOR = (5 / 255) ** 2
_BINS = 256
#: The standard deviation of rounding to 8-bit levels. A region with no more spread is of one colour, and is only
#: shifted: its noise is not stretched to the background's contrast.
_ROUNDED = 1 / 255 / math.sqrt(12)
#: The largest value of lαβ that is converted to light, without overflow.
_MAX_LALPHABETA = 100.0
_LUMINANCE = 0.2  # the largest shift of lightness, where white is 1
_MIRED = 40.0  # the largest shift of colour temperature, in mired


def reinhard(scene: Scene, guard: bool) -> Answer:
    """Estimates the map of the method 'reinhard', see `pyharmony.harmonize`."""
    colors, weights = rgb_to_lalphabeta(scene.image.reshape(-1, 3)), scene.mask.reshape(-1).astype(np.float64)
    (mean, spread), (goal_mean, goal) = (_moments(colors, w) for w in (weights, 1 - weights))
    rounded = _rounded(mean)
    ratio = np.where(spread > rounded, goal / np.maximum(spread, rounded), 1.0)
    shift = goal_mean - mean

    def function(ratio: Float64, shift: Float64) -> Function:
        def mapped(x: Float64) -> Float64:
            lalphabeta = (rgb_to_lalphabeta(x) - mean) * ratio + mean + shift
            # Colours unlike any of the object's may be mapped so far off that their light overflows.
            return lalphabeta_to_rgb(lalphabeta.clip(-_MAX_LALPHABETA, _MAX_LALPHABETA))

        return mapped

    limited_function = function(ratio.clip(1 / _RATIO, _RATIO), shift.clip(-_LALPHABETA, _LALPHABETA))
    return _answer(scene, function(ratio, shift), limited_function, guard)


def mkl(scene: Scene, guard: bool) -> Answer:
    """Estimates the map of the method 'mkl', see `pyharmony.harmonize`."""
    ours, theirs = (region.stats() for region in _regions(scene))
    shift = theirs.mean - ours.mean

    def function(matrix: Float64, shift: Float64) -> Function:
        return lambda x: (x - ours.mean) @ matrix.T + ours.mean + shift

    ratios, axes = np.linalg.eigh(transport(floored(ours.covariance, _FLOOR), floored(theirs.covariance, _FLOOR)))
    limited_matrix = axes @ np.diag(ratios.clip(1 / _RATIO, _RATIO)) @ axes.T
    published = function(transport(ours.covariance, theirs.covariance, _ROUNDED), shift)
    return _answer(scene, published, function(limited_matrix, shift.clip(-_RGB, _RGB)), guard)


def match_histogram(scene: Scene, guard: bool) -> Answer:
    """Estimates the map of the method 'match_histogram', see `pyharmony.harmonize`."""
    low, high = np.zeros(3), np.ones(3)
    ours, theirs = (region.stats((), _BINS, low, high) for region in _regions(scene))
    tables = quantile_tables(ours.histogram, theirs.histogram, low, high)
    edges = np.linspace(0, 1, _BINS + 1)
    # A channel of one value is shifted: its curve would be a step, with any value on it.
    flat = np.sqrt(np.diag(ours.covariance).clip(0)) <= _ROUNDED
    tables[flat] = edges + (theirs.mean - ours.mean)[flat, None]

    def function(tables: Float64) -> Function:
        return lambda x: np.stack([np.interp(x[:, c], edges, tables[c]) for c in range(3)], -1)

    limited_tables = [_limited_curve(table, float(middle)) for table, middle in zip(tables, ours.mean, strict=True)]
    return _answer(scene, function(tables), function(np.stack(limited_tables)), guard)


def luminance_temperature(scene: Scene, guard: bool) -> Answer:
    """Estimates the map of the method 'luminance_temperature', see `pyharmony.harmonize`."""
    ours, theirs = _regions(scene)
    before, goal = luminances(ours), luminances(theirs)
    mired = mean_mired(theirs) - mean_mired(ours)

    def function(most: float, mired: float) -> Function:
        curve = tone_curve_between(before, goal, most)

        def mapped(x: Float64) -> Float64:
            lab = rgb_to_lab(x)
            lab[:, 0] = 100 * curve(lab[:, 0] / 100)
            linear = np.maximum(srgb_to_linear(lab_to_rgb(lab)), 0)
            return linear_to_srgb(shifted_light(linear, mired))

        return mapped

    limited_function = function(_LUMINANCE, float(np.clip(mired, -_MIRED, _MIRED)))
    return _answer(scene, function(1.0, mired), limited_function, guard)


def _answer(scene: Scene, published: Function, limited_function: Function, guard: bool) -> Answer:
    """Returns a method's result from its published function of colours, and the function within the limits."""
    full_map = color_map = table_of(published)
    confidence = combined(region_confidence(scene), change_confidence(scene, image_of(color_map, scene.image)))
    if guard:
        color_map = limited(table_of(lambda x: keep_highlights(x, limited_function(x))), scene)
    return Answer(color_map, *confidence, full_map)


def _regions(scene: Scene) -> tuple[Region, Region]:
    return Region(scene.image, scene.mask, "image"), Region(scene.image, 1 - scene.mask, "image")


def _moments(colors: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Returns the mean and standard deviation of each channel."""
    mean = weights @ colors / weights.sum()
    return mean, np.sqrt(weights @ (colors - mean) ** 2 / weights.sum())


def _rounded(mean: Float64) -> Float64:
    """Returns the standard deviations of lαβ from rounding a colour, given by its lαβ, to levels."""
    lms = np.exp(mean @ np.linalg.inv(LMS_TO_LALPHABETA).T)
    return _ROUNDED * np.linalg.norm(LMS_TO_LALPHABETA @ (RGB_TO_LMS / lms[:, None]), axis=1)


def _limited_curve(table: Float64, middle: float) -> Float64:
    """Returns a curve at equal steps from 0 to 1, with limited slopes and shifts, about its value at middle."""
    step = 1 / (len(table) - 1)
    edges = np.linspace(0, 1, len(table))
    centre = float(np.interp(middle, edges, table))
    slopes = np.diff(table).clip(step / _RATIO, step * _RATIO)
    curve = np.concatenate([[0.0], np.cumsum(slopes)])
    curve += middle + float(np.clip(centre - middle, -_CURVE, _CURVE)) - float(np.interp(middle, edges, curve))
    return edges + (curve - edges).clip(-_CURVE, _CURVE)
