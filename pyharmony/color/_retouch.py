"""Adjustments as in a photo editor, with given or random parameters."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Float64
from .._calls import CURVE
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.color_map import Affine, Curves, Light, Stage, share
from ..reference.luma import LUMA
from ..typing import ImageLike, MaskLike, Rng
from . import spaces
from .common import generator, region
from .temperature import to_linear

#: The weights of linear sRGB in luminance.
_LUMINANCE = spaces.RGB_TO_XYZ[1]
#: Bradford's matrix from XYZ to the responses of the cones (CIECAM97s).
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_STEPS = 4096


def brightness_contrast(
    image: ImageLike, mask: MaskLike | None = None, *, brightness: float = 0.0, contrast: float = 0.0,
    strength: float = 1.0,
) -> Any:  # fmt: skip
    """Applies x' = (1 + contrast) (x - μ) + μ + brightness, where μ is the mean luma under the mask.

    Args:
        image: an image of any kind, see `reinhard`.
        mask, strength: see `reinhard`.
        brightness: the brightness to add, -1 to 1; 1 is white.
        contrast: the contrast to add, -1 (grey) to 4.

    Returns, Raises: see `reinhard`; also ArgumentError if another argument is not accepted.

    Example:
        >>> from pyharmony import color
        >>> color.brightness_contrast(np.full((1, 1, 3), 100, np.uint8), brightness=0.1).tolist()
        [[[126, 126, 126]]]
    """
    target = region(image, mask)
    amount = share(strength, "strength")
    lift = _checks.number(brightness, "brightness", low=-1, high=1, accepts="a number from -1 to 1")
    gain = 1 + _checks.number(contrast, "contrast", low=-1, high=4, accepts="a number from -1 to 4")
    mean = float(LUMA @ target.stats().mean)
    matrix = np.column_stack([gain * np.eye(3), np.full(3, (1 - gain) * mean + lift)])
    return target.map([Affine(matrix)], amount)


@dataclass(frozen=True)
class Retouching:
    """The parameters of `retouch`; the defaults change nothing.

    Attributes:
        exposure: the exposure in stops, -4 to 4.
        gains: the factors of red, green and blue, 0.1 to 10.
        gamma: the exponent of the tone curve, 0.2 to 5; above 1 is darker.
        contrast: the strength of an S-curve about middle grey, -1 to 1.
        saturation: the factor of saturation, 0 (grey) to 4.
        temperature: the shift of the light's temperature in mired, -150 to 300; above zero is warmer.
        tint: the distance from the Planckian locus in 1/1000 of CIE 1960 u, v, -50 to 50; above zero is greener.
        hue: the rotation of hues in degrees, -180 to 180.
        haze: the share of ambient light in the result, 0 to 1.
        ambient: the colour of the ambient light, linear, each 0 to 1.
        shadows, highlights: the amount of brightening, -1 to 1; above zero is brighter.
        light: the stops of `pyharmony.ops.Light`, a smooth field of light over the image, each -4 to 4.
        curve: 2 to 16 points (x, y) of a tone curve, each 0 to 1, x rising; empty, or a straight line from (0, 0)
            to (1, 1): none.

    Example:
        >>> from pyharmony.color import Retouching
        >>> Retouching(exposure=0.5).exposure
        0.5
        >>> Retouching.draw(np.random.default_rng(7)).exposure < 2
        True
    """

    exposure: float = 0.0
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 0.0
    saturation: float = 1.0
    temperature: float = 0.0
    tint: float = 0.0
    hue: float = 0.0
    haze: float = 0.0
    ambient: tuple[float, float, float] = (0.8, 0.8, 0.8)
    shadows: float = 0.0
    highlights: float = 0.0
    light: tuple[float, float, float, float, float, float] = (0.0,) * 6
    curve: Sequence[tuple[float, float]] = ()

    def __post_init__(self) -> None:
        points = np.asarray(self.curve).tolist() if isinstance(self.curve, np.ndarray) else self.curve
        if not isinstance(points, (tuple, list)):
            raise DTypeError(f"curve: {type(points).__name__}, expected {CURVE.accepted}")
        if points and not CURVE.accepts(points):
            raise ArgumentError(f"curve: {_checks.shortened(points)}, expected {CURVE.accepted}")
        curve = tuple((float(x), float(y)) for x, y in points)
        is_straight = bool(curve) and curve[0] == (0, 0) and curve[-1] == (1, 1) and all(x == y for x, y in curve)
        object.__setattr__(self, "curve", () if is_straight else curve)
        for field in dataclasses.fields(self)[:-1]:
            low, high = _ACCEPTED[field.name]
            setting = getattr(self, field.name)
            if isinstance(field.default, tuple):
                if not isinstance(setting, (tuple, list, np.ndarray)) or np.ndim(setting) == 0:
                    raise DTypeError(f"{field.name}: {type(setting).__name__}, expected {len(field.default)} numbers")
                if len(setting) != len(field.default):
                    raise ShapeError(f"{field.name}: {len(setting)} numbers, expected {len(field.default)}")
            for value in setting if isinstance(field.default, tuple) else [setting]:
                _checks.number(value, field.name, low=low, high=high, accepts=f"numbers from {low:g} to {high:g}")

    @classmethod
    def draw(cls, rng: Rng, amount: float = 1.0) -> Retouching:
        """Draws parameters: ±1 stop, gains ±20 %, gamma 0.6 to 1.6, saturation 0.5 to 1.5, ±60 mired, hue ±8°, etc.

        Args:
            rng: a numpy.random.Generator, which is advanced, or a whole number to seed one.
            amount: the strength of the changes, 0 to 1; the same random numbers are drawn for any amount.

        Raises:
            DTypeError, ArgumentError: an argument is not accepted.
        """
        u = generator(rng, "rng").uniform
        k = share(amount, "amount")
        return cls(
            exposure=k * u(-1, 1),
            gains=_three(1 + k * u(-0.2, 0.2, 3)),
            gamma=math.exp(k * u(math.log(0.6), math.log(1.6))),
            contrast=k * u(-0.5, 0.5),
            saturation=1 + k * u(-0.5, 0.5),
            temperature=k * u(-60, 60),
            tint=k * u(-8, 8),
            hue=k * u(-8, 8),
            haze=k * max(0.0, u(-0.3, 0.3)),
            ambient=_three(u(0.6, 1, 3)),
            shadows=k * u(-0.4, 0.4),
            highlights=k * u(-0.4, 0.4),
            light=(0.0, *(float(x) for x in k * u(-0.4, 0.4, 5))),  # type: ignore[arg-type]
        )


_ACCEPTED = {
    "exposure": (-4, 4), "gains": (0.1, 10), "gamma": (0.2, 5), "contrast": (-1, 1), "saturation": (0, 4),
    "temperature": (-150, 300), "tint": (-50, 50), "hue": (-180, 180), "haze": (0, 1), "ambient": (0, 1),
    "shadows": (-1, 1), "highlights": (-1, 1), "light": (-4, 4),
}  # fmt: skip


def retouch(
    image: ImageLike, mask: MaskLike | None = None, *, rng: Rng | None = None, parameters: Retouching | None = None,
    strength: float = 1.0,
) -> tuple[Any, Retouching]:  # fmt: skip
    """Changes exposure, white balance, tone, saturation, hue, haze and light, in one pass.

    In linear light y = h A + (1 - h) S H G W 2^e ℓ(u, v) x: the field of light ℓ, exposure e, the white balance W from
    D65 to the light of `temperature` and `tint` (Bradford's adaptation), gains G, rotation H by `hue` about the axis of
    greys, saturation S about luminance, haze h of ambient light A. Then come sRGB's curve and the tone curve

        t = y^γ,   t + c t (1 - t) (2 t - 1) 2 + s t (1 - t)³ 4 + k t³ (1 - t) 4

    with contrast c, shadows s and highlights k, which is non-decreasing. Last comes `curve`, which all three channels
    get in sRGB: the monotone cubic through its points (Fritsch and Butland 1984), constant beyond them.

    Args:
        image: an image of any kind, see `reinhard`, in sRGB; colours are clipped to [0, 1], floats too.
        mask, strength: see `reinhard`.
        rng: draws the parameters (`Retouching.draw`): a numpy.random.Generator, which is advanced, or a whole number.
        parameters: given parameters, instead of rng.

    Returns:
        (result, parameters): the result, see `reinhard`, and the parameters that were applied.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: see `reinhard`; both rng and parameters are given, or neither.

    Example:
        >>> from pyharmony import color
        >>> image = np.full((2, 2, 3), 100, np.uint8)
        >>> brighter, used = color.retouch(image, parameters=color.Retouching(exposure=1.0))
        >>> bool(brighter.mean() > 100), used.exposure
        (True, 1.0)
    """
    target = region(image, mask)
    amount = share(strength, "strength")
    if (rng is None) == (parameters is None):
        raise ArgumentError("rng: expected either rng or parameters")
    retouching = Retouching.draw(rng) if rng is not None else parameters
    if not isinstance(retouching, Retouching):
        raise DTypeError(f"parameters: {type(retouching).__name__}, expected a Retouching")
    if target.image.dtype.kind == "f":
        target.stats()
    stages: list[Stage] = [
        to_linear(),
        Light(retouching.light),
        Affine(_matrix(retouching)),
        Curves(_tones(retouching), 0.0, 1.0),
    ]
    return target.map(stages, amount), retouching


def _matrix(p: Retouching) -> Float64:
    """Returns the affine map [3, 4] of the parameters, in linear light."""
    m = 2.0**p.exposure * white_balance(p.temperature, p.tint)
    m = np.diag(np.asarray(p.gains, np.float64)) @ m
    m = _hue(math.radians(p.hue)) @ m
    m = (p.saturation * np.eye(3) + (1 - p.saturation) * _LUMINANCE) @ m
    return np.column_stack([(1 - p.haze) * m, p.haze * np.asarray(p.ambient, np.float64)])


def white_balance(temperature: float, tint: float) -> Float64:
    """Returns [3, 3] in linear sRGB, from D65 to a light shifted by `temperature` mired and `tint` off the locus."""
    uv = spaces.xy_to_uv((spaces.WHITE / spaces.WHITE.sum())[:2])
    mired = float(spaces.uv_to_mired(uv))
    before, tangent = spaces.planckian_uv(mired)
    normal = np.array([tangent[1], -tangent[0]])
    after, tangent_after = spaces.planckian_uv(mired + temperature)
    distance = (uv - before) @ normal + tint / 1000 * np.sign(normal[1])
    along = (uv - before) @ tangent
    xy = spaces.uv_to_xy(after + along * tangent_after + distance * np.array([tangent_after[1], -tangent_after[0]]))
    white = spaces.xyy_to_xyz(np.append(xy, 1.0))
    ratio = (_BRADFORD @ white) / (_BRADFORD @ spaces.WHITE)
    return spaces.XYZ_TO_RGB @ np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD @ spaces.RGB_TO_XYZ


def _hue(angle: float) -> Float64:
    """Returns a rotation about the axis of greys (Rodrigues' formula)."""
    k = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * k @ k


def _tones(p: Retouching) -> Any:
    """Returns the map from linear light to sRGB through the tone curve, at equal steps from 0 to 1."""
    t = _encoded() ** np.float32(p.gamma)
    rest = 1 - t
    tones = t + t * rest * (2 * p.contrast * (t - rest) + 4 * p.shadows * rest * rest + 4 * p.highlights * t * t)
    tones = np.maximum.accumulate(tones.clip(0, 1))
    return _through(p.curve, tones) if p.curve else tones


def _through(points: Sequence[tuple[float, float]], at: Any) -> Any:
    """Returns the values at some places of the piecewise cubic that is monotone between its points, [N] float32."""
    x, y = np.asarray(points, np.float64).T
    steps, slopes = np.diff(x), np.diff(y) / np.diff(x)
    tangents = np.empty(len(x))
    # The weighted harmonic mean of the slopes beside a point; 0 at a peak, a valley and the end of a level part.
    before, after = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    rises = slopes[:-1] * slopes[1:] > 0
    left, right = np.where(rises, slopes[:-1], 1), np.where(rises, slopes[1:], 1)
    tangents[1:-1] = np.where(rises, (before + after) / (before / left + after / right), 0)
    for end, order in ((0, 1), (-1, -1)):
        tangents[end] = _end_tangent(steps[::order][:2], slopes[::order][:2])
    part = np.clip(np.searchsorted(x, at, "right") - 1, 0, len(x) - 2)
    width, slope = steps[part], slopes[part]
    t = np.clip((at - x[part]) / width, 0, 1)
    first, last = tangents[part], tangents[part + 1]
    bend = (first - slope) * (1 - t) - (last - slope) * t
    return (y[part] + width * t * (slope + (1 - t) * bend)).clip(0, 1).astype(np.float32)


def _end_tangent(steps: Float64, slopes: Float64) -> float:
    """Returns the tangent at an end from the widths and slopes of the part there and, if there is one, the next."""
    if len(steps) == 1:
        return float(slopes[0])
    tangent = ((2 * steps[0] + steps[1]) * slopes[0] - steps[0] * slopes[1]) / steps.sum()
    if tangent * slopes[0] <= 0:
        return 0.0
    steep = slopes[0] * slopes[1] <= 0 and abs(tangent) > 3 * abs(slopes[0])
    return float(3 * slopes[0] if steep else tangent)


@functools.cache
def _encoded() -> Any:
    return spaces.linear_to_srgb(np.linspace(0, 1, _STEPS)).clip(0, 1).astype(np.float32)


def _three(values: Any) -> tuple[float, float, float]:
    a, b, c = (float(x) for x in values)
    return a, b, c
