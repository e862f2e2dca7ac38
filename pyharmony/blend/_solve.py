"""The solves of `pyharmony.ops` for crops that were checked already.

src, dst, base and out may each have a dtype of their own, in one unit: a source that goes on
beyond its border is float32 over a uint8 destination. Tolerances are in 8-bit levels of dst's
dtype. The scratch of a solve is counted in memory.
"""

from __future__ import annotations

import numpy as np

from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._images.memory import Memory
from ..ops.gaussian_poisson import Equation, solve, wanted_field
from ..ops.poisson import _hierarchy, _solve_one
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
    """`pyharmony.ops.poisson` into out [H, W, C], which holds dst."""
    weight = _contiguous(color_weight, memory)
    info = _solve_one(
        _hierarchy(mask, weight), mask, src, dst, base, out, gradients, tolerance, certify, contour=contour
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
    """`pyharmony.ops.gaussian_poisson` into out [H, W, C]."""
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
    """image [H, W, C] with its differences on the mask times gain, a number or a float32 map [H, W], into out.

    Where the mask covers all of it, the mean of image is kept.
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
    """The harmonic continuation of image into mask > 0, into out [H, W, C], which holds image there or anything."""
    known = image
    if image.dtype.kind == "f":  # what is inside is not read, whatever it is
        known = memory.hold(np.where((mask > 0)[..., None], image.dtype.type(0), image))
    nothing = np.broadcast_to(np.zeros(1, image.dtype), image.shape)
    everywhere = np.broadcast_to(np.ones(1, bool), mask.shape)
    info = _solve_one(
        _hierarchy(mask, 0.0), mask, nothing, known, None, out, "source", tolerance, certify, edges=everywhere
    )
    memory.touch(info.peak_bytes)
    return info


def _contiguous(color_weight: float | NumpyArray, memory: Memory) -> float | NumpyArray:
    if isinstance(color_weight, float):
        return color_weight
    crop = np.ascontiguousarray(color_weight, np.float32)
    return crop if np.may_share_memory(crop, color_weight) else memory.hold(crop)
