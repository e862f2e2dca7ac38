"""`poisson` on the CPU, and its setup for one mask."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._native import native
from ..errors import MaskError
from ..reference.gaussian_poisson import divergence, edge_field
from . import _gaussian_poisson_cpu
from ._gaussian_poisson import LOOSE_MEAN, Equation
from ._images_cpu import batch_of, deliver, masks_of, pair_of
from ._poisson import UNDETERMINED_MESSAGE, PoissonCall, check_base, warn_of_errors
from ._solve_call import Outcome, measured

MAX_ITERATIONS = 30


def hierarchy_of(mask: NumpyArray, weight: float | NumpyArray) -> Any:
    """Returns the native setup for a mask."""
    weight_map = None if isinstance(weight, float) else _arrays.view(weight, "color_weight")
    try:
        return native.PoissonHierarchy(
            _arrays.view(mask, "mask"),
            mask.shape,
            weight=weight if isinstance(weight, float) else 0.0,
            weight_map=weight_map,
        )
    except ValueError as error:
        if not (mask > 0).all():
            raise
        raise MaskError(UNDETERMINED_MESSAGE) from error


def _loose_equation(
    mask: NumpyArray,
    src: NumpyArray,
    dst: NumpyArray,
    base: NumpyArray | None,
    weight: float | NumpyArray,
    gradients: str,
    contour: str,
) -> Equation | None:
    """Returns the equation of an image without known pixels, if only its weights determine the mean, and poorly.

    A residual does not show an error of that mean, and rounding is amplified by 1 / weight: it is solved apart.
    """
    eq = Equation.of(src, dst, mask, src if base is None else base, weight, pinned=False)
    if eq.mean_weight_ratio() > LOOSE_MEAN:
        return None
    eq.op = PoissonCall.op
    if (gradients, contour) != ("source", "half"):
        share = np.divide(mask, 1 if mask.dtype == bool else _arrays.VALUE_RANGE[mask.dtype.name], dtype=np.float64)
        images = src.astype(np.float64), dst.astype(np.float64)
        eq.field = divergence(*edge_field(*images, share, gradients, contour=contour))
    return eq


def solve_image(
    hierarchy: Any,
    mask: NumpyArray,
    src: NumpyArray,
    dst: NumpyArray,
    base: NumpyArray | None,
    out: NumpyArray,
    gradients: str,
    levels: float,
    certify: bool,
    edges: NumpyArray | None = None,
    warm: Any = None,
    contour: str = "half",
    weight: float | NumpyArray = 0.0,
) -> SolveInfo:
    """Solves one image into out, which initially contains dst.

    edges: the mask by which gradients are mixed, if it is not mask. warm: a native PoissonWarmStart. weight: that of
    the hierarchy.
    """
    for image, name in ((src, "src"), (dst, "dst"), (base, "base")):
        if image is not None:
            _checks.finite(image, name, mask)
    all_unknown = hierarchy.unknowns == mask.size
    if all_unknown and (eq := _loose_equation(mask, src, dst, base, weight, gradients, contour)) is not None:
        method = "dct" if eq.is_rectangle() else "auto"
        return _gaussian_poisson_cpu.solve(eq, out, method=method, tolerance=levels, certify=certify)
    unit = _arrays.VALUE_RANGE[dst.dtype.name] / 255
    start = time.perf_counter()
    stats = hierarchy.solve(
        _arrays.view(src, "src"),
        _arrays.view(dst, "dst"),
        _arrays.view(mask if edges is None else edges, "mask"),
        None if base is None else _arrays.view(base, "base"),
        _arrays.view(out, "out", writable=True),
        gradients=gradients,
        contour=contour,
        tolerance=levels * unit,
        max_iterations=MAX_ITERATIONS,
        certify=certify,
        warm=warm,
    )
    elapsed = time.perf_counter() - start
    warn_of_errors(stats["converged"], stats["iterations"], stats["estimate"] / unit, levels, stats["max_error"] / unit)
    if stats["max_error"] == math.inf:
        stats["max_error"] = math.nan
    method = "multigrid" if hierarchy.unknowns else "copy"
    outcome = Outcome(method, stats["iterations"], stats["residual"], stats["max_error"], stats["clipped"])
    return outcome.info(unit, elapsed * 1e3, values=hierarchy.unknowns * out.shape[2])


def _solve(
    call: PoissonCall,
    source: NumpyArray,
    target: NumpyArray,
    systems: list[tuple[Any, NumpyArray]],
    weight: float | NumpyArray,
    warm: Any = None,
) -> Any:
    """Solves the images of a call; systems has a setup and a mask for each item, or one pair for all.

    weight: that of the setups. warm: a native PoissonWarmStart, passed on from item to item.
    """
    ground = None if call.base is None else _checks.image(call.base, "base", dims=(2, 3, 4))
    if ground is not None:
        check_base(ground, target, "float32", "float64")
    levels = _checks.tolerance(call.tolerance, target.dtype.name)
    result = np.array(target, order="C", copy=True)
    infos = []
    for i, (src, dst, out) in enumerate(zip(*map(batch_of, (source, target, result)))):
        hierarchy, mask = systems[i if len(systems) > 1 else 0]
        base = None if ground is None else batch_of(ground)[i]
        solve = functools.partial(
            solve_image, hierarchy, mask, src, dst, base, out, call.gradients, levels, call.return_info, warm=warm,
            contour=call.contour, weight=weight,
        )  # fmt: skip
        infos.append(measured(solve, call.return_info, held=hierarchy.bytes))
    return deliver(call, result, infos)


def run(call: PoissonCall) -> Any:
    """Computes `pyharmony.ops.poisson` for arrays and tensors on the CPU."""
    source, target = pair_of(call.src, call.dst)
    weight = _checks.color_weight(call.color_weight, *target.shape[-3:-1])
    return _solve(call, source, target, [(hierarchy_of(m, weight), m) for m in masks_of(call.mask, target)], weight)


class Solver:
    """The part of `PoissonSolver` that solves images on the CPU."""

    def __init__(self, mask: Any, color_weight: Any) -> None:
        plane = _arrays.to_numpy(mask, "mask")
        height, width = _checks.mask_size(plane, "mask")
        self.mask = np.array(_checks.mask(plane, "mask", height, width), order="C", copy=True)
        self.weight = _checks.color_weight(color_weight, height, width)
        self.hierarchy = hierarchy_of(self.mask, self.weight)
        self.shape = height, width

    @property
    def unknowns(self) -> int:
        return int(self.hierarchy.unknowns)

    @property
    def bytes(self) -> int:
        return int(self.hierarchy.bytes)

    def warm_start(self) -> Any:
        """Returns the empty state of a sequence of frames."""
        return native.PoissonWarmStart()

    def solve(self, call: PoissonCall, warm: Any) -> Any:
        """Solves the images of a call; its mask and color_weight are ignored."""
        source, target = pair_of(call.src, call.dst)
        _checks.mask(self.mask, "mask", *target.shape[-3:-1])
        return _solve(call, source, target, [(self.hierarchy, self.mask)], self.weight, warm)
