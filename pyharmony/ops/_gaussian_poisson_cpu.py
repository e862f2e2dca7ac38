"""`gaussian_poisson` on the CPU."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._native import native
from ..errors import ArgumentError
from ..reference.gaussian_poisson import GRADIENT_KERNELS
from ._gaussian_poisson import Call, Equation, check_base, choose_method, warn_of_bound
from ._images_cpu import batch_of, deliver, masks_of, pair_of
from ._solve_call import Outcome

_MAX_CYCLES = 30
_MAX_STEPS = 400
_MAX_REFINEMENTS = 8


def solve_by_dct(
    eq: Equation, out: NumpyArray, double: bool, rhs: NumpyArray | None = None, mean: list[float] | None = None
) -> dict[str, Any]:
    """Solves the rectangle exactly into out, and returns the report.

    Args:
        double: calculate in float64.
        rhs: b, in place of the b that the images give.
        mean: the mean of the result by channel, where b does not determine it.
    """
    stats: dict[str, Any] = native.gaussian_poisson_dct(
        *eq.views(),
        _arrays.view(out, "out", writable=True),
        weight=eq.weight,
        w0=eq.w0,
        w1=eq.w1,
        double_precision=double,
        rhs=None if rhs is None else _arrays.view(rhs, "rhs"),
        mean=mean,
    )
    return stats


def proven_bound(eq: Equation, x: NumpyArray, residual: float, tolerance: float) -> tuple[float, int]:
    """Returns a proven bound of |x - x*|, x float32 or float64 on the rectangle with one weight, and bytes of scratch.

    The bound is |r| / excess where that meets the tolerance. Otherwise an exact solve gives x + e, whose residual
    r2 is far smaller, and |x - x*| <= |e| + |A^-1 r2|.
    """
    excess = eq.row_excess()
    if excess > 0 and residual / excess <= tolerance:
        return residual / excess, 0
    e = np.empty(x.shape, np.float64)
    eq.residual(x, out=e)
    # rhs and out may share memory: the solve copies the rows of rhs before it writes the first row of out.
    stats = solve_by_dct(eq, e, True, rhs=e)
    size = max(float(e.max()), -float(e.min()))
    e += x
    drift = 0.0
    if eq.weight == 0:
        drift = float(np.abs(e.mean((0, 1)) - eq.base.mean((0, 1), dtype=np.float64)).max())
    r = np.empty(x.shape, np.float64)
    rest = eq.residual(e, out=r)
    norm = float(np.sqrt(np.einsum("ijc,ijc->c", r, r).max()))
    rest_bound = norm / eq.least_eigenvalue()
    if excess > 0:
        rest_bound = min(rest_bound, rest / excess)
    refined = size + rest_bound + drift
    bound = min(refined, residual / excess) if excess > 0 else refined
    return bound, e.nbytes + max(r.nbytes, stats["peak_bytes"])


def _chebyshev(eq: Equation, out: NumpyArray, tolerance: float, check: bool) -> Outcome:
    # base may be float64 whatever the dtype of dst.
    if eq.field is None and np.float64 not in (out.dtype, eq.src.dtype, eq.dst.dtype, eq.base.dtype):
        stats = native.gaussian_poisson_chebyshev(
            *eq.views(),
            _arrays.view(out, "out", writable=True),
            tolerance=tolerance,
            max_steps=_MAX_STEPS,
            rhs=None,
            **eq.operator(),
        )
        # The kernel checks each value as it loads it; a separate pass would cost a quarter of the solve.
        if check and not stats["finite"]:
            eq.check_finite()
        if stats["converged"]:
            return Outcome(
                "chebyshev",
                stats["steps"],
                stats["residual"],
                stats["max_error"],
                stats["peak_bytes"],
                stats["clipped"],
            )
    elif check:
        eq.check_finite()
    return _refined_chebyshev(eq, out, tolerance)


def _refined_chebyshev(eq: Equation, out: NumpyArray, tolerance: float) -> Outcome:
    """Solves with float64 state and residual and float32 corrections, for tolerances that float32 cannot reach."""
    x = eq.base.astype(np.float64)
    if eq.pinned:
        np.copyto(x, eq.dst, where=(eq.mask == 0)[..., None])
    r = np.empty(x.shape, np.float32)
    e = np.empty(x.shape, np.float32)
    excess = eq.row_excess()
    own = x.nbytes + r.nbytes + e.nbytes
    steps, peak = 0, own
    for _ in range(_MAX_REFINEMENTS):
        residual = eq.residual(x, out=r)
        bound = residual / excess if excess > 0 else math.inf
        if bound <= tolerance:
            break
        goal = max(tolerance / 2, 1e-4 * bound if math.isfinite(bound) else 1e-4 * residual)
        stats = native.gaussian_poisson_chebyshev(
            *eq.views(),
            _arrays.view(e, "out", writable=True),
            tolerance=goal,
            max_steps=_MAX_STEPS,
            rhs=_arrays.view(r, "rhs"),
            **eq.operator(),
        )
        steps += stats["steps"]
        peak = max(peak, own + stats["peak_bytes"])
        x += e
    else:
        residual = eq.residual(x)
        bound = residual / excess if excess > 0 else math.inf
    return Outcome("chebyshev", steps, residual, bound, peak, _store(x, out))


def _dct(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> Outcome:
    double = out.dtype == np.float64 or tolerance < _float32_error(eq)
    x = out
    if certify and out.dtype not in (np.float32, np.float64) or double and out.dtype == np.float32:
        x = np.empty(out.shape, np.float64 if double else np.float32)
    rhs = eq.rhs(np.float64 if double else np.float32)
    stats = solve_by_dct(eq, x, double, rhs, eq.mean())
    residual = bound = math.nan
    peak = stats["peak_bytes"] + (0 if rhs is None else rhs.nbytes)
    del rhs
    if certify:
        residual = eq.residual(x)
        bound, scratch = proven_bound(eq, x, residual, tolerance)
        peak = max(peak, scratch)
    clipped = stats["clipped"]
    if x is not out:
        clipped = _store(x, out)
        peak += x.nbytes
    return Outcome("dct", 1, residual, bound, peak, clipped)


def _galerkin(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> Outcome:
    """Solves by Galerkin multigrid with conjugate gradients, for any mask and any map of weights."""
    hierarchy = eq.hierarchy()
    if eq.field is not None:
        return _galerkin_of_field(hierarchy, eq, eq.field, out, tolerance, certify)
    if eq.pinned:
        out[...] = eq.dst

    def solve_into(x: NumpyArray, certify: bool) -> Any:
        return hierarchy.solve(
            *eq.views(),
            _arrays.view(x, "out", writable=True),
            gradients="source",
            tolerance=tolerance,
            max_iterations=_MAX_CYCLES,
            certify=certify,
        )

    if certify and eq.is_rectangle():
        # The exact solve of the rectangle proves a bound in less time than the hierarchy.
        x = out if out.dtype in (np.float32, np.float64) else np.empty(out.shape, np.float64)
        stats = solve_into(x, False)
        residual = eq.residual(x)
        bound, scratch = proven_bound(eq, x, residual, tolerance)
        if bound <= tolerance:
            peak = max(stats["peak_bytes"], hierarchy.bytes + scratch)
            clipped = 0
            if x is not out:
                clipped = _store(x, out)
                peak += x.nbytes
            return Outcome("multigrid", stats["iterations"], residual, bound, peak, clipped)
    stats = solve_into(out, certify)
    return Outcome(
        "multigrid",
        stats["iterations"],
        stats["residual"],
        stats["max_error"],
        stats["peak_bytes"],
        stats["clipped"],
    )


def _galerkin_of_field(
    hierarchy: Any, eq: Equation, r: NumpyArray, out: NumpyArray, tolerance: float, certify: bool
) -> Outcome:
    """Solves for the correction of base, which is zero at known pixels, with a given field."""
    real = np.float64 if out.dtype == np.float64 else np.float32
    x: NumpyArray = eq.base.astype(real)
    if eq.pinned:
        np.copyto(x, eq.dst, where=(eq.mask == 0)[..., None])
    e = np.zeros(x.shape, real)
    eq.residual(x, out=r)
    stats = hierarchy.solve_rhs(
        _arrays.view(r, "rhs"),
        _arrays.view(e, "out", writable=True),
        tolerance=tolerance,
        max_iterations=_MAX_CYCLES,
        certify=certify,
    )
    x += e
    bound = stats["max_error"]
    if real is np.float32:  # e and the sum are rounded to float32
        bound += 2.0**-23 * float(max(x.max(), -x.min(), e.max(), -e.min()))
    peak = stats["peak_bytes"] + x.nbytes + r.nbytes + e.nbytes
    return Outcome("multigrid", stats["iterations"], stats["residual"], bound, peak, _store(x, out))


def _store(x: NumpyArray, out: NumpyArray) -> int:
    """Writes x, which is changed, into out, rounded to its dtype; returns how many values were clipped."""
    clipped = _arrays.count_clipped(x, out.dtype)
    _arrays.round_into(x, out)
    return clipped


def _float32_levels(eq: Equation) -> float:
    """Returns the possible error of a float32 DCT, in 8-bit levels: measured on noise, with a margin.

    Without a weight the error is that of the lowest frequencies, which grows as the square of the size.
    """
    flat = 0.05 * (max(eq.mask.shape) / 1920) ** 2
    return max(2e-3, min(flat, 5e-6 / eq.weight if eq.weight > 0 else math.inf))


def _float32_error(eq: Equation) -> float:
    """Returns the least error that one float32 solve can be asked for, in dst's unit."""
    return _float32_levels(eq) * _arrays.VALUE_RANGE[eq.dst.dtype.name] / 255


def wanted_field(
    src: NumpyArray,
    dst: NumpyArray,
    mask: NumpyArray,
    gradient_kernel: str = "normal",
    gain: NumpyArray | None = None,
) -> NumpyArray:
    """Returns `Equation.field` of images [H, W, C] and a mask [H, W]; gain [H, W] multiplies src's differences."""
    centred, across = GRADIENT_KERNELS[gradient_kernel]
    field = np.empty(dst.shape, np.float64)
    native.gaussian_poisson_field(
        _arrays.view(src, "src"),
        _arrays.view(dst, "dst"),
        _arrays.view(mask, "mask"),
        None if gain is None else _arrays.view(gain, "gain"),
        along=0.25 if centred else 0.0,
        across=across,
        out=_arrays.view(field, "field", writable=True),
    )
    return field


def solve(
    eq: Equation, out: NumpyArray, *, method: str, tolerance: float, certify: bool, check: bool = False
) -> SolveInfo:
    """Solves a checked equation into out [H, W, C].

    Args:
        eq: the equation.
        out: dst's dtype, or float32 or float64 in dst's unit.
        method: one of METHODS.
        tolerance: the largest error allowed, in 8-bit levels of dst's dtype.
        certify: compute max_error also where the method does not give it anyway.
        check: raise ArgumentError for NaN and infinities; out may have been written by then.
    """
    start = time.perf_counter()
    level = _arrays.VALUE_RANGE[eq.dst.dtype.name] / 255
    limit = tolerance * level
    if eq.pinned and not eq.mask.max() > 0:
        out[...] = eq.dst
        outcome = Outcome("copy", 0, 0.0, 0.0, 0)
    else:
        if eq.pinned and eq.mask.min() > 0:
            eq.pinned = False
        rectangle = eq.is_rectangle()
        if method == "auto":
            method = choose_method(eq, tolerance)
        elif method == "dct" and not rectangle:
            raise ArgumentError(
                "method: 'dct' solves the whole rectangle with one weight; with preserve_background or a map of "
                "color_weight use 'chebyshev', 'multigrid' or 'auto'"
            )
        elif method == "chebyshev" and not eq.weight > 0:
            raise ArgumentError("method: 'chebyshev' needs color_weight above 0 everywhere; use 'auto'")
        if check and method != "chebyshev":
            eq.check_finite()
        if method == "chebyshev":
            outcome = _chebyshev(eq, out, limit, check)
        elif method == "dct" or rectangle and eq.weight == 0:  # Galerkin cannot: the mean is free there
            outcome = _dct(eq, out, limit, certify)
        else:
            outcome = _galerkin(eq, out, limit, certify)
    warn_of_bound(eq, outcome, limit, level)
    milliseconds = (time.perf_counter() - start) * 1e3
    pixels = np.count_nonzero(eq.mask) if outcome.clipped and eq.pinned else eq.mask.size
    return outcome.info(level, milliseconds, values=pixels * out.shape[2])


def run(call: Call) -> Any:
    """Computes `pyharmony.ops.gaussian_poisson` of arrays and of tensors on the CPU."""
    source, target = pair_of(call.src, call.dst)
    ground = _checks.image(call.base, "base", dims=(2, 3, 4))
    check_base(ground, target, "float32", "float64")
    levels = _checks.tolerance(call.tolerance, target.dtype.name)
    weight = _checks.color_weight(call.color_weight, *target.shape[-3:-1])
    masks = masks_of(call.mask, target)
    result = np.empty(target.shape, target.dtype)
    infos = []
    for i, (src, dst, base, out) in enumerate(zip(*map(batch_of, (source, target, ground, result)))):
        mask = masks[i if len(masks) > 1 else 0]
        equation = Equation.of(src, dst, mask, base, weight, call.w0, call.w1, call.preserve_background)
        if call.gradient_kernel != "normal":
            equation.check_finite()
            equation.field = wanted_field(src, dst, mask, call.gradient_kernel)
        infos.append(solve(equation, out, method=call.method, tolerance=levels, certify=call.return_info, check=True))
    return deliver(call, result, infos)
