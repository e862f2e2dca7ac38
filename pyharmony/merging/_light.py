"""Light: the gains that bring a photograph to the exposure of another one, and where the two differ all the same."""

from __future__ import annotations

import numpy as np

from .. import blend
from ._planes import Bools, Float, Float32, blurred, highest, lowest, smoothed

#: Levels between which a pixel is neither black nor burnt out.
_DARK, _BRIGHT = 6.0, 248.0
#: The knots of the curve by which levels are compared, and the least pixels to tell anything from.
_KNOTS, _PIXELS = 12, 60
#: What differs by less than this is noise, in levels; or by less than so many medians of all differences.
_NOISE, _MEDIANS = 9.0, 2.5
#: What differs by as much above the noise is surely something else, in levels.
_ELSE = 10.0
#: The levels by which black is raised before ratios are taken, and the largest logarithm of one that is light.
FOOT, _LIGHT = 16.0, 0.35
#: The width of what is smooth, in longer sides.
_SMOOTH = 0.06


def gains_of(base: Float32, other: Float32, known: Bools) -> Float:
    """Returns the factor of each channel that brings a photograph [H, W, C] to the exposure of another one, robustly.

    Args:
        known: where both show the place, [H, W].
    """
    found = np.ones(base.shape[2])
    for channel in range(base.shape[2]):
        y, x = _sound(base[..., channel], other[..., channel], known)
        if len(x) < _PIXELS:
            continue
        gain = float(np.median(y / x))
        for _ in range(8):
            off = np.abs(y - gain * x)
            # Tukey's weights leave out what is not the same thing in both.
            reach = 4.685 * max(1.4826 * float(np.median(off)), 1.0)
            weight = (1 - np.minimum(off / reach, 1) ** 2) ** 2
            gain = float((weight * x * y).sum() / (weight * x * x).sum())
        found[channel] = gain
    return found


def _sound(base: Float32, other: Float32, known: Bools) -> tuple[Float, Float]:
    """Returns the levels of two planes where neither is black or burnt out, [N] each."""
    good = known & (base > _DARK) & (base < _BRIGHT) & (other > _DARK) & (other < _BRIGHT)
    return base[good].astype(np.float64), other[good].astype(np.float64)


def _curved(base: Float32, other: Float32, known: Bools) -> Float32:
    """Returns a photograph [H, W, C] with each channel's levels brought to those of the base by a curve.

    A gain is what light does; cameras draw curves as well. The curve is the median of the base's levels at levels of
    the photograph.
    """
    made = other.copy()
    for channel in range(base.shape[2]):
        values = other[..., channel]
        y, x = _sound(base[..., channel], values, known)
        if len(x) < _PIXELS:
            continue
        edges = np.unique(np.quantile(x, np.linspace(0, 1, _KNOTS + 1)))
        number = np.searchsorted(edges[1:-1], x, side="right")
        inside = [number == i for i in range(max(len(edges) - 1, 1))]
        knots = [(np.median(x[one]), np.median(y[one])) for one in inside if np.count_nonzero(one) >= _PIXELS // 2]
        if not knots:
            continue
        levels, wanted = np.array(knots).T
        # What is brighter in one photograph is so in the other.
        wanted = np.maximum.accumulate(wanted)
        # Beyond the curve's ends levels keep their ratio.
        curve = np.interp(values, levels, wanted)
        curve = np.where(values < levels[0], wanted[0] / levels[0] * values, curve)
        made[..., channel] = np.where(values > levels[-1], wanted[-1] / levels[-1] * values, curve)
    return made


def differing(base: Float32, photo: Float32, known: Bools, slack: int) -> tuple[Float32, Float32]:
    """Returns how surely each place shows something else, 0 to 1, and by how many levels it differs, [H, W] each.

    Args:
        base, photo: [H, W, C] in levels.
        known: where both show the place.
        slack: how far apart the same thing may lie, in pixels.
    """
    made = _curved(base, photo, known)
    # What changes slowly over the photograph is light.
    off = base - made
    same = (known & (np.abs(off).max(-1) < 2 * _NOISE)).astype(np.float32)
    made += _mean(off, same, _SMOOTH * max(same.shape), 0.02)
    # What is burnt out or black may be anything beyond.
    made = np.where(photo >= _BRIGHT, np.maximum(made, base), np.where(photo <= _DARK, np.minimum(made, base), made))
    seen = np.where(base >= _BRIGHT, np.maximum(made, base), np.where(base <= _DARK, np.minimum(made, base), base))
    exact = _length(seen - made)
    # The least difference from what lies near in the other photograph.
    beyond = (
        np.maximum(0, np.maximum(a - highest(b, slack), lowest(b, slack) - a)) for a, b in ((seen, made), (made, seen))
    )
    least = _length(np.maximum(*beyond))
    exact[~known] = least[~known] = 0
    noise = max(_NOISE, _MEDIANS * float(np.median(exact[known]))) if known.any() else _NOISE
    return np.clip((least - np.float32(noise)) / np.float32(_ELSE), 0, 1), exact


def correction(base: Float32, photo: Float32, fitting: Bools, inside: Bools, fixed: Bools) -> Float32:
    """Returns the logarithms of factors by which a part of a photograph goes over into the base, [H, W, C].

    Where the part meets the base, it gets the base's colours; between there and the people in it the factors are a
    membrane, as in Poisson blending (Pérez, Gangnet and Blake, 2003, in the form of Farbman et al., "Coordinates for
    Instant Image Cloning", 2009). People get the factors of the light around them only, so that no colour of the place
    flows into them. Factors are those of levels above `FOOT` below black, because the ratio of what is dark is noise.

    Args:
        base, photo: [H, W, C] in levels, of one exposure.
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
    held = inside & fixed
    known = (fitting & ~inside) | held
    if known.all() or not known.any():
        return light
    found: Float32 = blend.inpaint(np.where(held[..., None], light, ratio), ~known, tolerance=0.1)
    return found


def _mean(values: Float32, weight: Float32, width: float, least: float) -> Float32:
    """Returns the weighted mean of planes [H, W, C] around each place; it fades out where there is little weight."""
    shares = np.maximum(smoothed(weight, width), np.float32(least))
    return np.asarray(smoothed(values * weight[..., None], width) / shares[..., None])


def _length(off: Float32) -> Float32:
    """Returns the root of the mean square over channels."""
    return np.sqrt(np.square(off).mean(-1))
