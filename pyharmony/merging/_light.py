"""Light: the gains that bring a photograph to the exposure of another one, and where the two differ all the same.

Photographs are [H, W, C] in levels; `visible`, [H, W], is where both show the place.
"""

from __future__ import annotations

import numpy as np

from .. import blend
from ._planes import Bools, Float, Float32, blurred, highest, lowest, smoothed

_DARK = 6.0  # the highest level of a pixel that is black
_BRIGHT = 248.0  # the lowest level of a pixel that is burnt out
_KNOTS = 12  # the most knots of the tone curve
_PIXELS = 60  # the fewest pixels that a gain or a tone curve is estimated from
_NOISE = 9.0  # the least threshold below which a difference is noise, in levels
_MEDIANS = 2.5  # that threshold in medians of all differences, where this is more
#: What differs by as much above the noise is surely something else, in levels.
_ELSE = 10.0
FOOT = 16.0  # the offset that is added before ratios are taken, in levels
_LIGHT = 0.35  # the limit of a logarithm of a ratio that is explained by light
#: The width of what is smooth, in longer sides.
_SMOOTH = 0.06


def gains_of(base: Float32, other: Float32, visible: Bools) -> Float:
    """Returns the factor of each channel that brings a photograph to the exposure of another one, robustly."""
    gains = np.ones(base.shape[2])
    for channel in range(base.shape[2]):
        y, x = _sound(base[..., channel], other[..., channel], visible)
        if len(x) < _PIXELS:
            continue
        gain = float(np.median(y / x))
        for _ in range(8):
            off = np.abs(y - gain * x)
            # Tukey's weights leave out what is not the same thing in both.
            reach = 4.685 * max(1.4826 * float(np.median(off)), 1.0)
            weight = (1 - np.minimum(off / reach, 1) ** 2) ** 2
            gain = float((weight * x * y).sum() / (weight * x * x).sum())
        gains[channel] = gain
    return gains


def _sound(base: Float32, other: Float32, visible: Bools) -> tuple[Float, Float]:
    """Returns the levels of two planes where neither is black or burnt out, [N] each."""
    good = visible & (base > _DARK) & (base < _BRIGHT) & (other > _DARK) & (other < _BRIGHT)
    return base[good].astype(np.float64), other[good].astype(np.float64)


def _curved(base: Float32, other: Float32, visible: Bools) -> Float32:
    """Returns a photograph [H, W, C] with each channel's levels brought to those of the base by a curve.

    A gain is what light does; cameras draw curves as well. The curve is the median of the base's levels at levels of
    the photograph.
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
        # What is brighter in one photograph is so in the other.
        goal_levels = np.maximum.accumulate(goal_levels)
        # Beyond the curve's ends levels keep their ratio.
        curve = np.interp(values, levels, goal_levels)
        curve = np.where(values < levels[0], goal_levels[0] / levels[0] * values, curve)
        result[..., channel] = np.where(values > levels[-1], goal_levels[-1] / levels[-1] * values, curve)
    return result


def differing(base: Float32, photo: Float32, visible: Bools, slack: int) -> tuple[Float32, Float32]:
    """Returns how surely each place shows something else, 0 to 1, and by how many levels it differs, [H, W] each.

    The same thing may lie `slack` pixels apart.
    """
    photo_levels = _curved(base, photo, visible)
    # What changes slowly over the photograph is light.
    off = base - photo_levels
    same = (visible & (np.abs(off).max(-1) < 2 * _NOISE)).astype(np.float32)
    photo_levels += _mean(off, same, _SMOOTH * max(same.shape), 0.02)
    # What is burnt out or black may be anything beyond.
    photo_levels = np.where(
        photo >= _BRIGHT,
        np.maximum(photo_levels, base),
        np.where(photo <= _DARK, np.minimum(photo_levels, base), photo_levels),
    )
    base_levels = np.where(
        base >= _BRIGHT, np.maximum(photo_levels, base), np.where(base <= _DARK, np.minimum(photo_levels, base), base)
    )
    exact = _length(base_levels - photo_levels)
    # The least difference from what lies near in the other photograph.
    beyond = (
        np.maximum(0, np.maximum(a - highest(b, slack), lowest(b, slack) - a))
        for a, b in ((base_levels, photo_levels), (photo_levels, base_levels))
    )
    least = _length(np.maximum(*beyond))
    exact[~visible] = least[~visible] = 0
    noise = max(_NOISE, _MEDIANS * float(np.median(exact[visible]))) if visible.any() else _NOISE
    return np.clip((least - np.float32(noise)) / np.float32(_ELSE), 0, 1), exact


def correction(base: Float32, photo: Float32, fitting: Bools, inside: Bools, fixed: Bools) -> Float32:
    """Returns the logarithms of factors by which a part of a photograph goes over into the base, [H, W, C].

    Where the part meets the base, it gets the base's colours; between there and the people in it the factors are a
    membrane, as in Poisson blending (Pérez, Gangnet and Blake, 2003, in the form of Farbman et al., "Coordinates for
    Instant Image Cloning", 2009). People get the factors of the light around them only, so that no colour of the place
    flows into them. Factors are those of levels above `FOOT` below black, because the ratio of what is dark is noise.

    Args:
        base, photo: of one exposure.
        fitting: where both show the same, [H, W].
        inside: the part, [H, W].
        fixed: where the people are, [H, W].
    """
    ratio = np.log((blurred(base, 1.0) + np.float32(FOOT)) / (blurred(photo, 1.0) + np.float32(FOOT)))
    clipped = np.zeros(fitting.shape, bool)
    for levels in (base, photo):
        clipped |= ((levels <= _DARK) | (levels >= _BRIGHT)).any(-1)
    good = (fitting & ~clipped & (np.abs(ratio).max(-1) < _LIGHT)).astype(np.float32)
    light = _mean(ratio, good, _SMOOTH * max(good.shape), 0.05)
    fixed_inside = inside & fixed
    constraints = (fitting & ~inside) | fixed_inside
    if constraints.all() or not constraints.any():
        return light
    factors: Float32 = blend.inpaint(np.where(fixed_inside[..., None], light, ratio), ~constraints, tolerance=0.1)
    return factors


def _mean(values: Float32, weight: Float32, width: float, least: float) -> Float32:
    """Returns the weighted mean of planes [H, W, C] around each place; it fades out where there is little weight."""
    shares = np.maximum(smoothed(weight, width), np.float32(least))
    return np.asarray(smoothed(values * weight[..., None], width) / shares[..., None])


def _length(off: Float32) -> Float32:
    """Returns the root of the mean square over channels."""
    return np.sqrt(np.square(off).mean(-1))
