"""Light: the exposure gains between two photos, and the places at which they differ otherwise.

Photos are [H, W, C] in levels; `visible`, [H, W], is the mask of places that both show.
"""

from __future__ import annotations

import numpy as np

from .. import blend
from .._arrays import Bools, Float32, Float64
from .._warnings import quiet
from ..errors import PyHarmonyWarning
from ._planes import blurred, highest, lowest, smoothed

_BLACK_LEVEL = 6.0  # the highest level of a pixel that is black
_OVEREXPOSED_LEVEL = 248.0  # the lowest level of a pixel that is overexposed
_KNOTS = 12  # the largest number of knots of the tone curve
_PIXELS = 60  # the least number of pixels from which a gain or a tone curve is estimated
_NOISE = 9.0  # the least noise threshold of differences, in levels
_MEDIANS = 2.5  # that threshold in medians of all differences, if this is more
#: The difference above the noise from which on different objects are certain, in levels.
_CERTAIN_DIFFERENCE = 10.0
FOOT = 16.0  # the offset that is added before ratios are computed, in levels
_LIGHT = 0.35  # the largest logarithm of a ratio that a change of light explains
#: The width of the smoothing, in longer sides.
_SMOOTHING_WIDTH = 0.06


def gains_of(base: Float32, other: Float32, visible: Bools) -> Float64:
    """Returns the factor of each channel from the exposure of a photo to that of the base, by robust regression."""
    gains = np.ones(base.shape[2])
    for channel in range(base.shape[2]):
        y, x = _sound(base[..., channel], other[..., channel], visible)
        if len(x) < _PIXELS:
            continue
        gain = float(np.median(y / x))
        for _ in range(8):
            off = np.abs(y - gain * x)
            # Tukey's weights exclude pixels that show different objects.
            reach = 4.685 * max(1.4826 * float(np.median(off)), 1.0)
            weight = (1 - np.minimum(off / reach, 1) ** 2) ** 2
            gain = float((weight * x * y).sum() / (weight * x * x).sum())
        gains[channel] = gain
    return gains


def _sound(base: Float32, other: Float32, visible: Bools) -> tuple[Float64, Float64]:
    """Returns the levels of two planes at the pixels that are neither black nor overexposed in both, [N] each."""
    good = (
        visible
        & (base > _BLACK_LEVEL)
        & (base < _OVEREXPOSED_LEVEL)
        & (other > _BLACK_LEVEL)
        & (other < _OVEREXPOSED_LEVEL)
    )
    return base[good].astype(np.float64), other[good].astype(np.float64)


def _tone_mapped(base: Float32, other: Float32, visible: Bools) -> Float32:
    """Returns a photo [H, W, C] with each channel mapped to the levels of the base by a tone curve.

    A change of light is a gain, while cameras apply curves as well. The curve is the median of the base's levels at
    levels of the photo.
    """
    result = other.copy()
    for channel in range(base.shape[2]):
        values = other[..., channel]
        y, x = _sound(base[..., channel], values, visible)
        if len(x) < _PIXELS:
            continue
        edges = np.unique(np.quantile(x, np.linspace(0, 1, _KNOTS + 1)))
        number = np.searchsorted(edges[1:-1], x, side="right")
        inside = [number == i for i in range(max(len(edges) - 1, 1))]
        knots = [(np.median(x[one]), np.median(y[one])) for one in inside if np.count_nonzero(one) >= _PIXELS // 2]
        if not knots:
            continue
        levels, goal_levels = np.array(knots).T
        # Tone curves are monotonic.
        goal_levels = np.maximum.accumulate(goal_levels)
        # Beyond the curve's ends the ratio of levels is constant.
        curve = np.interp(values, levels, goal_levels)
        curve = np.where(values < levels[0], goal_levels[0] / levels[0] * values, curve)
        result[..., channel] = np.where(values > levels[-1], goal_levels[-1] / levels[-1] * values, curve)
    return result


def differences(base: Float32, photo: Float32, visible: Bools, slack: int) -> tuple[Float32, Float32]:
    """Returns the certainty that places show different objects, 0 to 1, and the differences in levels, [H, W] each.

    slack: the largest misalignment, in pixels.
    """
    photo_levels = _tone_mapped(base, photo, visible)
    # Differences that vary slowly over the photo are due to light.
    off = base - photo_levels
    same = (visible & (np.abs(off).max(-1) < 2 * _NOISE)).astype(np.float32)
    photo_levels += _mean(off, same, _SMOOTHING_WIDTH * max(same.shape), 0.02)
    photo_levels = _open_ended(photo_levels, photo, base)
    base_levels = _open_ended(base, base, photo_levels)
    exact = _length(base_levels - photo_levels)
    # The least difference from the levels within the slack in the other photo.
    beyond = (
        np.maximum(0, np.maximum(a - highest(b, slack), lowest(b, slack) - a))
        for a, b in ((base_levels, photo_levels), (photo_levels, base_levels))
    )
    least = _length(np.maximum(*beyond))
    exact[~visible] = least[~visible] = 0
    noise = max(_NOISE, _MEDIANS * float(np.median(exact[visible]))) if visible.any() else _NOISE
    return np.clip((least - np.float32(noise)) / np.float32(_CERTAIN_DIFFERENCE), 0, 1), exact


def _open_ended(levels: Float32, original: Float32, other: Float32) -> Float32:
    """Returns levels moved to those of another photo, beyond them, where a pixel is overexposed or black."""
    dark = np.where(original <= _BLACK_LEVEL, np.minimum(levels, other), levels)
    return np.where(original >= _OVEREXPOSED_LEVEL, np.maximum(levels, other), dark)


def correction(base: Float32, photo: Float32, fitting: Bools, inside: Bools, fixed: Bools) -> Float32:
    """Returns the logarithms of factors that fit a part of a photo to the colours of the base, [H, W, C].

    At its contour the part gets the base's colours; between there and the people in it the factors are a membrane, as
    in Poisson blending (Pérez, Gangnet and Blake, 2003, in the form of Farbman et al., "Coordinates for Instant Image
    Cloning", 2009). People get only the factors of the light around them, so that no colour of the background bleeds
    into them. Factors are those of levels plus `FOOT`, because ratios of dark levels are noisy.

    base, photo: of one exposure.
    fitting, inside, fixed: the masks of places at which both show the same, of the part, and of the people, [H, W].
    """
    ratio = np.log((blurred(base, 1.0) + np.float32(FOOT)) / (blurred(photo, 1.0) + np.float32(FOOT)))
    clipped = np.zeros(fitting.shape, bool)
    for levels in (base, photo):
        clipped |= ((levels <= _BLACK_LEVEL) | (levels >= _OVEREXPOSED_LEVEL)).any(-1)
    good = (fitting & ~clipped & (np.abs(ratio).max(-1) < _LIGHT)).astype(np.float32)
    light = _mean(ratio, good, _SMOOTHING_WIDTH * max(good.shape), 0.05)
    fixed_inside = inside & fixed
    constraints = (fitting & ~inside) | fixed_inside
    if constraints.all() or not constraints.any():
        return light
    with quiet(PyHarmonyWarning):  # logarithms of factors, in no range of an image
        factors: Float32 = blend.inpaint(np.where(fixed_inside[..., None], light, ratio), ~constraints, tolerance=0.1)
    return factors


def _mean(values: Float32, weight: Float32, width: float, least: float) -> Float32:
    """Returns the weighted local mean of planes [H, W, C]; it falls to 0 where the sum of weights is small."""
    shares = np.maximum(smoothed(weight, width), np.float32(least))
    return np.asarray(smoothed(values * weight[..., None], width) / shares[..., None])


def _length(off: Float32) -> Float32:
    """Returns the root mean square over channels."""
    return np.sqrt(np.square(off).mean(-1))
