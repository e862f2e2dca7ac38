"""The method of Xue, Agarwala, Dorsey and Rushmeier 2012: it matches statistics by the paper's rule of zero offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._arrays import Bools, Float64
from .._images.planes import gaussian
from .._images.region import bounding_box
from ..color import linear_to_srgb, srgb_to_linear
from ..color.spaces import MIRED_RANGE, RGB_TO_XYZ, shifted_light, uv_to_mired, xy_to_uv, xyz_to_xyy
from ..ops.distance import distance_inside
from ._guards import BACKGROUND_SMALL, OBJECT_SMALL, Answer, change_confidence, combined, limited, region_confidence
from ._maps import IDENTITY, image_of, table_of
from ._scene import Scene

Function = Callable[[Float64], Float64]

_LUMINANCE = np.array([0.21, 0.72, 0.07])
_MIN_LUMINANCE = 2.0**-11.686  # the smallest luminance whose logarithm is computed, where white is 1
_TAIL = 1 / 1024  # the share of pixels that count as high, and as low
_SHADOW = float(srgb_to_linear(60 / 255))  # colours above this luminance are used for the colour temperature
_OVEREXPOSED = 0.88  # colours below this luminance are used for the colour temperature
_CONTRAST = 0.10  # the smallest local contrast that is used, as a share of the blurred luminance
_SIGMA = 1.5  # the sigma, in pixels, of the Gaussian that blurs the luminance
_ALPHAS = (0.40, 0.45, 0.50, 0.55, 0.60)
#: Objects of fewer pixels are not changed, as in the paper's figures of iHarmony4.
_MIN_OBJECT_PIXELS = 500
_INNER_DISTANCE = 0.03  # the distance from the contour inside, in shorter sides of the object's box
_OUTER_DISTANCE = 0.15  # the distance from the contour outside, in shorter sides of the object's box
_STOPS = 1.0  # the largest offset of luminance of a guarded call, in stops
_MIRED = 60.0  # the largest offset of colour temperature of a guarded call, in mired
_SATURATION = 0.7  # the largest offset of the natural logarithm of saturation of a guarded call


class Features(NamedTuple):
    """The statistics of a region that are compared, each as high, low and mean; None if it has none."""

    luminance: Float64
    temperature: Float64 | None
    saturation: Float64


def xue(scene: Scene, guard: bool) -> Answer:
    """Estimates the map of the method 'xue', see `pyharmony.harmonize`."""
    area = float(scene.mask.sum(dtype=np.float64))
    if area < _MIN_OBJECT_PIXELS:
        return Answer(IDENTITY, 0.0, OBJECT_SMALL)
    inside, outside = regions(scene)
    if not outside.any():
        return Answer(IDENTITY, 0.0, BACKGROUND_SMALL)
    light = srgb_to_linear(scene.image)
    luminance = light @ _LUMINANCE
    ours, theirs = light[inside], features(light[outside])
    pivot = float(luminance[inside].mean())
    goal_contrast = top_contrast(luminance, outside)
    misses = [abs(top_contrast(s_curve(luminance, alpha, pivot), inside) - goal_contrast) for alpha in _ALPHAS]
    # Among equal errors the alpha closest to 0.5 wins, which changes nothing.
    alpha = min(zip(misses, _ALPHAS, strict=True), key=lambda pair: (pair[0], abs(pair[1] - 0.5)))[1]
    steps: list[Function] = [lambda x: contrasted(x, alpha, pivot)]
    ours = steps[0](ours)

    stops = offset(features(ours).luminance, theirs.luminance, np.log2(_MIN_LUMINANCE), 0.0)
    stops = float(np.clip(stops, -_STOPS, _STOPS)) if guard else stops
    steps.append(lambda x: x * 2.0**-stops)
    ours = steps[1](ours)

    warmth = features(ours).temperature
    mired = 0.0
    if warmth is not None and theirs.temperature is not None:
        mired = offset(warmth, theirs.temperature, *MIRED_RANGE)
        mired = float(np.clip(mired, -_MIRED, _MIRED)) if guard else mired
    steps.append(lambda x: warmed(x, -mired))
    ours = steps[2](ours)

    less = offset(features(ours).saturation, theirs.saturation, np.log(1e-3), 0.0)
    less = float(np.clip(less, -_SATURATION, _SATURATION)) if guard else less
    steps.append(lambda x: saturated(x, float(np.exp(-less))))

    def function(x: Float64) -> Float64:
        linear = srgb_to_linear(x)
        for step in steps:
            linear = np.maximum(step(linear), 0)
        return linear_to_srgb(linear)

    color_map = table_of(function)
    confidence = combined(region_confidence(scene), change_confidence(scene, image_of(color_map, scene.image)))
    return Answer(limited(color_map, scene) if guard else color_map, *confidence, color_map)


def regions(scene: Scene) -> tuple[Bools, Bools]:
    """Returns the regions of the statistics: in the object and in the background around it, both away from the contour.

    That part of the background is in the boxes of the object's size around the object's box; if no pixel of it
    remains, the whole background is used.
    """
    inside = scene.mask >= 0.5
    if not inside.any():
        inside = scene.mask > 0
    box = bounding_box(inside)
    height, width = box.shape
    side = min(height, width)
    core = distance_inside(inside) > _INNER_DISTANCE * side
    around = np.zeros_like(inside)
    around[max(box.y0 - height, 0) : box.y1 + height, max(box.x0 - width, 0) : box.x1 + width] = True
    without = scene.mask == 0
    away = distance_inside(without) > _OUTER_DISTANCE * side if without.any() else without
    choices = (away & around, without & around)
    return (core if core.any() else inside), next((choice for choice in choices if choice.any()), without)


def features(colors: Float64) -> Features:
    """Returns the features of linear colours [N, 3]."""
    luminance = colors @ _LUMINANCE
    is_usable = (luminance > _SHADOW) & (luminance < _OVEREXPOSED)
    temperature = None
    if is_usable.any():
        xyy = xyz_to_xyy(colors[is_usable] @ RGB_TO_XYZ.T)
        temperature = tails(uv_to_mired(xy_to_uv(xyy[:, :2])))
    top = colors.max(-1)
    saturation = np.where(top > 0, 1 - colors.min(-1) / np.where(top > 0, top, 1), 0)
    return Features(
        tails(np.log2(np.maximum(luminance, _MIN_LUMINANCE))), temperature, tails(np.log(np.maximum(saturation, 1e-3)))
    )


def tails(values: Float64) -> Float64:
    """Returns the mean of the highest 1/1024 of values, of the lowest 1/1024, and of all."""
    count = max(1, round(len(values) * _TAIL))
    ordered = np.partition(values, (count - 1, len(values) - count))
    return np.array([ordered[len(values) - count :].mean(), ordered[:count].mean(), values.mean()])


def offset(ours: Float64, theirs: Float64, low: float, high: float) -> float:
    """Returns the one of the three differences that best aligns our features with theirs.

    It has the smallest sum of absolute errors, with our features clipped to [low, high]; among equal ones, the smallest
    difference.
    """
    candidates = ours - theirs
    errors = np.abs((ours - candidates[:, None]).clip(low, high) - theirs).sum(1)
    return float(min(zip(errors.round(12), np.abs(candidates), candidates, strict=True))[2])


def top_contrast(luminance: Float64, where: Bools) -> float:
    """Returns the mean of the highest 1/1024 of the local contrasts of a region; 0 where it has none."""
    blurred = gaussian(luminance, _SIGMA)
    contrast = np.abs(luminance - blurred)[where] / np.maximum(blurred[where], _MIN_LUMINANCE)
    contrast = contrast[contrast > _CONTRAST]
    return float(tails(contrast)[0]) if contrast.size else 0.0


def s_curve(x: Float64, alpha: float, pivot: float) -> Float64:
    """Applies the quadratic Bezier curve (0, 0), (alpha, 1 - alpha), (1, 1) below the pivot, point-mirrored above it.

    With alpha above 0.5 contrast rises, at 0.5 nothing changes. Values beyond 1 do not change either.
    """
    pivot = min(max(pivot, 1e-6), 1 - 1e-6)
    low = pivot * _bezier((x / pivot).clip(0, 1), alpha)
    high = 1 - (1 - pivot) * _bezier(((1 - x) / (1 - pivot)).clip(0, 1), alpha)
    return np.where(x < pivot, low, np.where(x > 1, x, high))


def _bezier(x: Float64, alpha: float) -> Float64:
    bend = 1 - 2 * alpha  # x = 2 alpha t + bend t²
    t = x if abs(bend) < 1e-12 else (np.sqrt(alpha**2 + bend * x) - alpha) / bend
    return 2 * t * (1 - t) * (1 - alpha) + t * t


def contrasted(linear: Float64, alpha: float, pivot: float) -> Float64:
    """Returns colours [N, 3] whose luminance is mapped by `s_curve`."""
    luminance = linear @ _LUMINANCE
    ratio = np.where(luminance > 0, s_curve(luminance, alpha, pivot) / np.where(luminance > 0, luminance, 1), 1)
    return linear * ratio[..., None]


def warmed(linear: Float64, mired: float) -> Float64:
    """Returns colours [N, 3] moved along the Planckian locus at constant tint and luminance."""
    return np.maximum(shifted_light(linear, mired), 0)


def saturated(linear: Float64, ratio: float) -> Float64:
    """Returns colours [N, 3] whose saturation (max - min) / max is multiplied by ratio, up to 1 at most."""
    top = linear.max(-1, keepdims=True)
    now = np.where(top > 0, 1 - linear.min(-1, keepdims=True) / np.where(top > 0, top, 1), 0)
    ratio_ = np.where(now > 0, np.minimum(now * ratio, 1) / np.where(now > 0, now, 1), 1)
    return top - (top - linear) * ratio_
