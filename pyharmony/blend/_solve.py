"""The solves of `pyharmony.ops` for validated arrays, on the CPU or on a device.

src, dst, base and out may have different dtypes in a common unit: a source extended beyond its border is float32 over
a uint8 destination. Tolerances are in 8-bit levels of dst's dtype. A solve on a device takes a batch, enqueues its
work, and waits only if it returns infos.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from .._checks import SolveInfo
from .._cuda import Place
from .._images.frame import Crop, Infos, WeightMap
from .._images.region import Region
from ..ops.gaussian_poisson import DeviceEquation, Equation, choose_method_on, solve, solve_on, target_field
from ..ops.hierarchies import setup_of_masks
from ..ops.poisson import DeviceHierarchy, hierarchy_of, solve_image, solve_images
from ..ops.pyramid import double, halve, halve_map, halve_masks
from ..reference.gaussian_poisson import gaussian_taps


@dataclass
class Level:
    """The arrays of one level of a pyramid, all over the same part of dst; see `Crop` for the shapes.

    Attributes:
        src, dst: the caller's images at the finest level, float32 in the same unit at coarser ones.
        mask: the mask.
        known_share: the share of each pixel where the mask is zero; None at the finest level on a device.
        weight: color_weight, a number, a map, or a WeightMap on a device.
    """

    src: Any
    dst: Any
    mask: Any
    known_share: Any
    weight: Any

    def coarser(self, smooth_sigma: float, place: Place | None) -> Level:
        src, dst = halve([self.src, self.dst], smooth_sigma, place)
        mask, known_share = halve_masks(self.mask, self.known_share, place)
        weight = self.weight
        if isinstance(weight, WeightMap):
            weight = dataclasses.replace(weight, values=halve_map(weight.values, place))
        elif not isinstance(weight, float):
            weight = halve_map(weight)
        return Level(src, dst, mask, known_share, weight)

    def over(self, region: Region, origin: tuple[int, int]) -> Level:
        """Returns the part of the level over a region; origin (y, x) is the first pixel of the level."""

        def part(x: Any) -> Any:
            if isinstance(x, WeightMap):
                return dataclasses.replace(x, values=region.of(x.values, origin))
            return x if x is None or isinstance(x, float) else region.of(x, origin)

        return Level(*(part(x) for x in (self.src, self.dst, self.mask, self.known_share, self.weight)))


def solve_poisson(crop: Crop, *, gradients: str, contour: str, tolerance: float, certify: bool) -> Infos:
    """Solves like `pyharmony.ops.poisson` over a crop, into its target, which on the CPU initially contains dst."""
    out = crop.target(crop.region)
    if crop.place is not None:
        return solve_images(
            crop.place,
            _on_device(crop, None),
            out,
            gradients=gradients,
            contour=contour,
            levels=tolerance,
            unit=crop.unit,
            certify=certify,
            read=certify or crop.fetched,
        )
    weight = _contiguous(crop.weight)
    images = crop.src, crop.dst, None, out
    scale = _scale(crop.unit, crop.dst.dtype)
    info = solve_image(
        setup_of_masks()(crop.mask, weight), crop.mask, *images, gradients, tolerance * scale, certify,
        contour=contour, weight=weight
    )  # fmt: skip
    return [in_levels(info, scale)]


def _scale(unit: float, dtype: np.dtype[Any]) -> float:
    """Returns the ratio of white, which is unit, to that of dst's dtype: they differ for floats in integer units."""
    return float(unit / VALUE_RANGE[dtype.name])


def in_levels(info: SolveInfo, scale: float) -> SolveInfo:
    """Returns an info in 8-bit levels of a dst whose white is scale times that of its dtype."""
    if scale == 1:
        return info
    return dataclasses.replace(info, residual=info.residual / scale, max_error=info.max_error / scale)


def membrane(
    level: Level, weights: Any, tolerance: float, unit: float, place: Place | None, contour: str = "half"
) -> Any:
    """Returns the membrane of a level's src over dst, float32, to a tolerance in 8-bit levels; unit is white.

    weights: those [h, w] that pull the membrane to dst, on a device [N, h, w]; None: no weights.
    """
    if place is not None:
        _, out = place.empty(level.dst.shape, np.dtype(np.float32))
        place.copy(level.dst, out)
        eq = DeviceEquation(level.src, level.dst, level.mask, level.dst, 0.0, weights)
        DeviceHierarchy.of(place, eq).solve(
            place, eq, out, gradients="source", levels=tolerance, unit=unit, certify=False, read=False
        )
        return out
    src, dst = (x.astype(np.float32) for x in (level.src, level.dst))
    out = dst.copy()
    weight = 0.0 if weights is None else weights
    solve_image(
        setup_of_masks()(level.mask, weight), level.mask, src, dst, dst, out, "source", tolerance * unit, False,
        contour=contour, weight=weight
    )  # fmt: skip
    return out


def solve_gaussian_poisson(
    level: Level,
    base: Any,
    out: Any,
    *,
    sigma: float,
    pinned: bool,
    tolerance: float,
    unit: float,
    place: Place | None = None,
    half_base: bool = False,
    reference: bool = False,
    gradient_kernel: str = "normal",
    contour: str = "half",
    certify: bool = False,
    report: bool = False,
) -> Infos:
    """Solves like `pyharmony.ops.gaussian_poisson`, for a level of a pyramid, into out.

    Args:
        base: the base colours; with half_base those of the next coarser level, which are upsampled.
        pinned: whether the pixels where the mask is zero are fixed.
        tolerance: in 8-bit levels of images whose white is unit.
        report: whether infos of a solve on a device are returned.
    """
    w0, w1 = gaussian_taps(sigma, normalize=not reference)
    pinned_mask = level.mask if pinned else None
    if place is not None:
        on_device = _on_device(level, base, w0=w0, w1=w1, pinned=pinned, half_base=half_base)
        # Chebyshev's kernel upsamples the base itself, except if the base has to match known pixels.
        if half_base and (pinned or choose_method_on(place, on_device, tolerance) != "chebyshev"):
            on_device.base = double(base, level.dst, pinned_mask, level.known_share, place)
            on_device.half_base = False
        return solve_on(place, on_device, out, method="auto", levels=tolerance, unit=unit, info=report, certify=certify)
    if half_base:
        base = double(base, level.dst, pinned_mask, level.known_share)
    weight = _contiguous(level.weight)
    equation = Equation.of(level.src, level.dst, level.mask, base, weight, w0, w1, pinned)
    if gradient_kernel != "normal" or contour != "half":
        equation.field = target_field(level.src, level.dst, level.mask, gradient_kernel, contour=contour)
    scale = _scale(unit, level.dst.dtype)  # coarser levels are float32 in the unit of dst
    info = solve(equation, out, method="auto", tolerance=tolerance * scale, certify=certify)
    return [in_levels(info, scale)]


def solve_edit(
    image: NumpyArray,
    mask: NumpyArray,
    out: NumpyArray,
    *,
    gain: float | NumpyArray,
    color_weight: float | NumpyArray = 0.0,
    tolerance: float,
    certify: bool,
) -> SolveInfo:
    """Solves for image [H, W, C] with its differences on the mask times gain, a number or a float32 map [H, W].

    The result is written to out. If the mask covers the whole image, the mean of image is preserved.
    """
    weight = _contiguous(color_weight)
    if isinstance(gain, float):
        real = np.float64 if image.dtype == np.float64 else np.float32
        src = np.multiply(image, gain, dtype=real)
    else:
        src = image
    equation = Equation.of(src, image, mask, image, weight)
    if not isinstance(gain, float):
        equation.field = target_field(image, image, mask, gain=gain)
    info = solve(equation, out, method="auto", tolerance=tolerance, certify=certify)
    return info


def solve_membrane(
    image: NumpyArray, mask: NumpyArray, out: NumpyArray, *, tolerance: float, certify: bool
) -> SolveInfo:
    """Writes image, continued harmonically into mask > 0, to out [H, W, C], whose values in the mask are not read."""
    outside = image
    if image.dtype.kind == "f":  # zeros keep NaN and Inf inside the mask out of the solve
        outside = np.where((mask > 0)[..., None], image.dtype.type(0), image)
    nothing = np.broadcast_to(np.zeros(1, image.dtype), image.shape)
    everywhere = np.broadcast_to(np.ones(1, bool), mask.shape)
    info = solve_image(
        hierarchy_of(mask, 0.0), mask, nothing, outside, None, out, "source", tolerance, certify, edges=everywhere
    )
    return info


def _on_device(images: Level | Crop, base: Any, **options: Any) -> DeviceEquation:
    """Returns the equation of the arrays of a level or a crop on a device."""
    weight = images.weight
    numbers = (weight, None, weight) if isinstance(weight, float) else (weight.least, weight.values, weight.most)
    least, weight_map, most = numbers
    return DeviceEquation(images.src, images.dst, images.mask, base, least, weight_map, most=most, **options)


def _contiguous(color_weight: float | NumpyArray) -> float | NumpyArray:
    return color_weight if isinstance(color_weight, float) else np.ascontiguousarray(color_weight, np.float32)
