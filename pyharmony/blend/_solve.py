"""The solves of `pyharmony.ops` for crops that were checked already.

src, dst, base and out may each have a dtype of their own, in one unit: a source that is continued
beyond its border is float32 over a uint8 destination. Tolerances are in 8-bit levels of dst's
dtype. The scratch of a solve is counted in memory.

Functions that end in _on are for batches on a device: they enqueue their work, and wait only where they return infos.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._cuda import DeviceArray, Place
from .._images.frame import Crop
from .._images.memory import Memory
from ..ops.gaussian_poisson import DeviceEquation, Equation, choose_method_on, solve, solve_on, wanted_field
from ..ops.poisson import DeviceHierarchy, hierarchy_of, most_iterations, solve_image, solve_images
from ..ops.pyramid import double
from ..reference.gaussian_poisson import gaussian_taps


def solve_poisson(
    src: NumpyArray,
    dst: NumpyArray,
    mask: NumpyArray,
    out: NumpyArray,
    *,
    gradients: str,
    contour: str = "half",
    color_weight: float | NumpyArray,
    tolerance: float,
    base: NumpyArray | None = None,
    certify: bool = False,
    memory: Memory,
) -> SolveInfo:
    """Solves as `pyharmony.ops.poisson` does, into out [H, W, C], which holds dst."""
    weight = _contiguous(color_weight, memory)
    info = solve_image(
        hierarchy_of(mask, weight), mask, src, dst, base, out, gradients, tolerance, certify, contour=contour
    )
    memory.touch(info.peak_bytes)
    return info


def solve_gaussian_poisson(
    src: NumpyArray,
    dst: NumpyArray,
    mask: NumpyArray,
    base: NumpyArray,
    out: NumpyArray,
    *,
    color_weight: float | NumpyArray,
    sigma: float,
    reference: bool,
    gradient_kernel: str,
    preserve_background: bool,
    tolerance: float,
    certify: bool,
    memory: Memory,
) -> SolveInfo:
    """Solves as `pyharmony.ops.gaussian_poisson` does, into out [H, W, C]."""
    w0, w1 = gaussian_taps(sigma, normalize=not reference)
    weight = _contiguous(color_weight, memory)
    equation = Equation(
        src=src,
        dst=dst,
        mask=mask,
        base=base,
        weight=weight if isinstance(weight, float) else float(weight.min()),
        weight_map=None if isinstance(weight, float) else weight,
        w0=w0,
        w1=w1,
        pinned=preserve_background,
    )
    if gradient_kernel != "normal":
        equation.field = memory.hold(wanted_field(src, dst, mask, gradient_kernel))
    info = solve(equation, out, method="auto", tolerance=tolerance, certify=certify)
    memory.touch(info.peak_bytes)
    return info


def solve_poisson_on(
    place: Place, crop: Crop, out: DeviceArray, *, gradients: str, contour: str, tolerance: float, certify: bool
) -> list[SolveInfo]:
    """Solves as `pyharmony.ops.poisson` does, for a crop on a device, into out [N, H, W, C]."""
    constant = isinstance(crop.weight, float)
    return solve_images(
        place,
        crop.src,
        crop.dst,
        crop.mask,
        None,
        out,
        gradients=gradients,
        contour=contour,
        weight=crop.weight if constant else 0.0,
        weight_map=None if constant else crop.weight,
        levels=tolerance,
        unit=crop.unit,
        certify=certify,
        read=certify or crop.fetched,
    )


def solve_gaussian_poisson_on(
    place: Place,
    crop: Crop,
    level: Any,
    base: DeviceArray,
    out: DeviceArray,
    *,
    sigma: float,
    pinned: bool,
    half_base: bool,
    tolerance: float,
    certify: bool,
    tell: bool,
) -> list[SolveInfo]:
    """Solves as `pyharmony.ops.gaussian_poisson` does, for a level of a crop's pyramid, into out [N, H, W, C].

    half_base says that base has the size of the next coarser level, half of this one.
    """
    w0, w1 = gaussian_taps(sigma)
    equation = DeviceEquation(
        src=level.src,
        dst=level.dst,
        mask=level.mask,
        base=base,
        weight=crop.least,
        weight_map=None if isinstance(level.weight, float) else level.weight,
        w0=w0,
        w1=w1,
        pinned=pinned,
        most=crop.most,
        half_base=half_base,
    )
    # Chebyshev's kernel doubles the base itself, except where the base has to meet known pixels.
    if half_base and (pinned or choose_method_on(equation, tolerance) != "chebyshev"):
        equation.base = double(base, level.dst, level.mask if pinned else None, level.known, place)
        equation.half_base = False
    return solve_on(place, equation, out, method="auto", levels=tolerance, unit=crop.unit, info=tell, certify=certify)


def membrane_on(place: Place, level: Any, weights: DeviceArray | None, tolerance: float, unit: float) -> DeviceArray:
    """Returns the membrane of a level's src over dst, float32; weights [N, H, W] hold it near dst."""
    _, out = place.empty(level.dst.shape, np.dtype(np.float32))
    place.copy(level.dst, out)
    hierarchy = DeviceHierarchy(place, level.mask, level.dst.shape[1:3], weight=0.0, weight_map=weights)
    hierarchy.solve(
        place,
        level.src,
        level.dst,
        level.mask,
        level.dst,
        out,
        gradients="source",
        tolerance=tolerance * unit / 255,
        iterations=most_iterations(tolerance),
        certify=False,
        read=False,
    )
    return out


def solve_edit(
    image: NumpyArray,
    mask: NumpyArray,
    out: NumpyArray,
    *,
    gain: float | NumpyArray,
    color_weight: float | NumpyArray = 0.0,
    tolerance: float,
    certify: bool,
    memory: Memory,
) -> SolveInfo:
    """Solves for image [H, W, C] with its differences on the mask times gain, a number or a float32 map [H, W].

    The result goes into out. Where the mask covers the whole image, the mean of image is kept.
    """
    weight = _contiguous(color_weight, memory)
    if isinstance(gain, float):
        real = np.float64 if image.dtype == np.float64 else np.float32
        src = memory.hold(np.multiply(image, gain, dtype=real))
    else:
        src = image
    equation = Equation(
        src=src,
        dst=image,
        mask=mask,
        base=image,
        weight=weight if isinstance(weight, float) else float(weight.min()),
        weight_map=None if isinstance(weight, float) else weight,
        w0=1.0,
        w1=0.0,
        pinned=True,
        field=None if isinstance(gain, float) else memory.hold(wanted_field(image, image, mask, gain=gain)),
    )
    info = solve(equation, out, method="auto", tolerance=tolerance, certify=certify)
    memory.touch(info.peak_bytes)
    return info


def solve_membrane(
    image: NumpyArray, mask: NumpyArray, out: NumpyArray, *, tolerance: float, certify: bool, memory: Memory
) -> SolveInfo:
    """Writes image, continued harmonically into mask > 0, to out [H, W, C], which may hold anything in the mask."""
    known = image
    if image.dtype.kind == "f":  # zeros keep NaN and Inf inside the mask out of the solve
        known = memory.hold(np.where((mask > 0)[..., None], image.dtype.type(0), image))
    nothing = np.broadcast_to(np.zeros(1, image.dtype), image.shape)
    everywhere = np.broadcast_to(np.ones(1, bool), mask.shape)
    info = solve_image(
        hierarchy_of(mask, 0.0), mask, nothing, known, None, out, "source", tolerance, certify, edges=everywhere
    )
    memory.touch(info.peak_bytes)
    return info


def _contiguous(color_weight: float | NumpyArray, memory: Memory) -> float | NumpyArray:
    if isinstance(color_weight, float):
        return color_weight
    crop = np.ascontiguousarray(color_weight, np.float32)
    return crop if np.may_share_memory(crop, color_weight) else memory.hold(crop)
