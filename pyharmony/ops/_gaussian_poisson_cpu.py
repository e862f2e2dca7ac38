"""`gaussian_poisson` on the CPU."""

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
from ..errors import ArgumentError
from ..reference.gaussian_poisson import GRADIENT_KERNELS
from ._gaussian_poisson import (
    DCT_NEEDS,
    LOOSE_MEAN,
    SMALL_WEIGHTS,
    BlendCall,
    Equation,
    check_base,
    check_chebyshev,
    choose_method,
    expected_steps,
    warn_of_bound,
)
from ._images_cpu import batch_of, deliver, masks_of, pair_of
from ._solve_call import Outcome, measured

_MAX_CYCLES = 30
MAX_STEPS = 400
_MAX_REFINEMENTS = 8
_MAX_CORRECTIONS = 30
_LOOSE_SHARE = 1e-3  # the factor of multigrid's tolerance if the mean is poorly determined

_ROUNDING_RATIO = 2.0**29  # the ratio of the rounding units of float32 and float64


def solve_by_dct(
    eq: Equation, out: NumpyArray, double: bool, rhs: NumpyArray | None = None, mean: list[float] | None = None
) -> int:
    """Solves the rectangle exactly into out, and returns how many values were clipped.

    Args:
        double: whether to compute in float64.
        rhs: replaces the b of the images.
        mean: the mean of the result by channel, if it is known more exactly than from b.
    """
    clipped: int = native.gaussian_poisson_dct(
        *eq.views(),
        _arrays.view(out, "out", writable=True),
        weight=eq.weight,
        w0=eq.w0,
        w1=eq.w1,
        double_precision=double,
        rhs=None if rhs is None else _arrays.view(rhs, "rhs"),
        mean=mean,
    )
    return clipped


def proven_bound(eq: Equation, x: NumpyArray, residual: float, tolerance: float) -> float:
    """Returns a proven bound of |x - x*|, x float32 or float64 on the rectangle with one weight.

    The bound is |r| / excess if that is within the tolerance. Otherwise an exact solve gives x + e, whose residual
    r2 is far smaller, and |x - x*| <= |e| + |A^-1 r2|. Both include the rounding errors of such a residual in float64.
    """
    excess, rounding = eq.row_excess(), _rounding_error(eq)
    if excess > 0 and residual / excess + rounding <= tolerance:
        return residual / excess + rounding
    e = np.empty(x.shape, np.float64)
    eq.residual(x, out=e)
    # The mean of the solution is known; with a small weight the residual determines it poorly.
    mean = eq.base.mean((0, 1), dtype=np.float64) / eq.gain() - x.mean((0, 1), dtype=np.float64)
    # rhs and out may share memory: the solve copies the rows of rhs before it writes the first row of out.
    solve_by_dct(eq, e, True, rhs=e, mean=mean.tolist())
    e += mean - e.mean((0, 1))
    size = max(float(e.max()), -float(e.min()))
    e += x
    r = np.empty(x.shape, np.float64)
    rest = eq.residual(e, out=r)
    r -= r.mean((0, 1))
    norm = float(np.sqrt(np.einsum("ijc,ijc->c", r, r).max()))
    least = eq.least_eigenvalue()
    bound = size + (norm / least if least > 0 else math.inf)
    if excess > 0:
        bound = min(bound, size + rest / excess, residual / excess)
    return bound + rounding


def _chebyshev(eq: Equation, out: NumpyArray, tolerance: float, check: bool) -> Outcome:
    # base may be float64 independently of the dtype of dst.
    if eq.field is None and np.float64 not in (out.dtype, eq.src.dtype, eq.dst.dtype, eq.base.dtype):
        stats = native.gaussian_poisson_chebyshev(
            *eq.views(),
            _arrays.view(out, "out", writable=True),
            tolerance=tolerance,
            max_steps=MAX_STEPS,
            rhs=None,
            **eq.operator(),
        )
        # The kernel checks each value when it loads it; a separate pass would cost a quarter of the solve.
        if check and not stats["finite"]:
            eq.check_finite()
        if stats["converged"]:
            return Outcome("chebyshev", stats["steps"], stats["residual"], stats["max_error"], stats["clipped"])
    elif check:
        eq.check_finite()
    return _refined_chebyshev(eq, out, tolerance)


def _refined_chebyshev(eq: Equation, out: NumpyArray, tolerance: float) -> Outcome:
    """Solves with float64 state and residual and float32 corrections, for tolerances below what float32 can reach."""
    x = eq.base.astype(np.float64)
    if eq.pinned:
        np.copyto(x, eq.dst, where=(eq.mask == 0)[..., None])
    r = np.empty(x.shape, np.float32)
    e = np.empty(x.shape, np.float32)
    excess, weight, size = eq.row_excess(), eq.largest_weight(), _size(eq)
    steps = 0

    def bound_of(residual: float) -> float:
        bound = residual / excess if excess > 0 else math.inf
        if bound > tolerance:
            return bound
        # A residual has fewer than 40 roundings, of values up to 16 + 2 weight times those of the images and of x. At
        # first x is bounded by |b| / excess, since reading its maximum takes as long as a step.
        rounding = 40 * 2.0**-53 * (16 + 2 * weight) / excess
        if bound + rounding * size * (8 + weight) / excess <= tolerance:
            return bound + rounding * size * (8 + weight) / excess
        return bound + rounding * max(size, float(x.max()), -float(x.min()))

    for _ in range(_MAX_REFINEMENTS):
        residual = eq.residual(x, out=r)
        bound = bound_of(residual)
        if bound <= tolerance:
            break
        goal = max(tolerance / 2, 1e-4 * bound if math.isfinite(bound) else 1e-4 * residual)
        stats = native.gaussian_poisson_chebyshev(
            *eq.views(),
            _arrays.view(e, "out", writable=True),
            tolerance=goal,
            max_steps=MAX_STEPS,
            rhs=_arrays.view(r, "rhs"),
            **eq.operator(),
        )
        steps += stats["steps"]
        x += e
    else:
        residual = eq.residual(x)
        bound = bound_of(residual)
    return Outcome("chebyshev", steps, residual, bound, _store(x, out))


def _dct(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> Outcome:
    rounding = _rounding_error(eq)
    double = out.dtype == np.float64 or _ROUNDING_RATIO * rounding > tolerance
    certify = certify or rounding > tolerance
    x = out
    if certify and out.dtype not in (np.float32, np.float64) or double and out.dtype == np.float32:
        x = np.empty(out.shape, np.float64 if double else np.float32)
    rhs = eq.rhs(np.float64 if double else np.float32)
    clipped = solve_by_dct(eq, x, double, rhs, eq.mean())
    residual = bound = math.nan
    del rhs
    if certify:
        residual = eq.residual(x)
        bound = proven_bound(eq, x, residual, tolerance)
    if x is not out:
        clipped = _store(x, out)
    return Outcome("dct", 1, residual, bound, clipped)


def _corrected_dct(eq: Equation, out: NumpyArray, tolerance: float) -> Outcome:
    """Solves with a map of weights that are small relative to all nonzero eigenvalues of L.

    The rows of A x = b sum to s (c, x) = (c, base), s = (w0 + 2 w1)^2, which determines the mean without cancellation.
    The rest is a correction e of zero mean with L e = r, the residual, by cosines; it neglects C e.
    """
    x = eq.base.astype(np.float64)
    r, e = np.empty(x.shape, np.float64), np.empty(x.shape, np.float64)
    flat = Equation(eq.src, eq.dst, eq.mask, eq.base, 0.0, None, eq.w0, eq.w1, pinned=False)
    c = np.asarray(eq.weight_map, np.float64)
    c = c / c.sum()
    mean = np.einsum("ij,ijc->c", c, eq.base, dtype=np.float64) / eq.gain()
    x += mean - np.einsum("ij,ijc->c", c, x)
    bound, rounds, residual = math.inf, 0, math.inf
    best = math.inf
    share = SMALL_WEIGHTS * eq.gain()
    while rounds < _MAX_CORRECTIONS:
        residual = eq.residual(x, out=r)
        r -= r.mean((0, 1))
        solve_by_dct(flat, e, True, rhs=r)
        # With e of zero mean and A f = r the error is f = m + g: |g| <= |e| + share (|g| + 3 |g|) in the Euclidean
        # norm, as |C| <= 3 gain max(c), and the mean m weighted by c is that of -g.
        norm = float(np.sqrt(np.einsum("ijc,ijc->c", e, e).max()))
        bound = 2 * norm / (1 - 4 * share)
        if bound <= tolerance or bound >= best / 2:
            break
        best = bound
        x += e
        x += mean - np.einsum("ij,ijc->c", c, x)
        rounds += 1
    bound += _rounding_error(flat)
    return Outcome("dct", rounds, residual, bound, _store(x, out))


def _galerkin(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> Outcome:
    """Solves by Galerkin multigrid with conjugate gradients, for any mask and any map of weights."""
    hierarchy = eq.hierarchy()
    if eq.field is not None:
        return _galerkin_of_field(hierarchy, eq, eq.field, out, tolerance, certify)
    if eq.pinned:
        out[...] = eq.dst
    # The estimate by which the solve stops is insensitive to the mean, which a residual in float64 corrects.
    solve_tolerance = tolerance * (_LOOSE_SHARE if eq.mean_weight_ratio() <= LOOSE_MEAN else 1)

    def solve_into(x: NumpyArray, certify: bool) -> Any:
        return hierarchy.solve(
            *eq.views(),
            _arrays.view(x, "out", writable=True),
            gradients="source",
            tolerance=solve_tolerance,
            max_iterations=_MAX_CYCLES,
            certify=certify,
        )

    if certify and eq.is_rectangle():
        # The exact solve of the rectangle proves a bound faster than the hierarchy.
        x = out if out.dtype in (np.float32, np.float64) else np.empty(out.shape, np.float64)
        stats = solve_into(x, False)
        residual = eq.residual(x)
        bound = proven_bound(eq, x, residual, tolerance)
        if bound <= tolerance:
            clipped = 0 if x is out else _store(x, out)
            return Outcome("multigrid", stats["iterations"], residual, bound, clipped, stats["estimate"])
    stats = solve_into(out, certify)
    return Outcome(
        "multigrid", stats["iterations"], stats["residual"], stats["max_error"], stats["clipped"], stats["estimate"]
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
        tolerance=tolerance * (_LOOSE_SHARE if eq.mean_weight_ratio() <= LOOSE_MEAN else 1),
        max_iterations=_MAX_CYCLES,
        certify=certify,
    )
    x += e
    bound = stats["max_error"]
    if real is np.float32:  # e and the sum are rounded to float32
        bound += 2.0**-23 * float(max(x.max(), -x.min(), e.max(), -e.min()))
    return Outcome("multigrid", stats["iterations"], stats["residual"], bound, _store(x, out), stats["estimate"])


def _store(x: NumpyArray, out: NumpyArray) -> int:
    """Writes x into out, rounded to its dtype (x is changed); returns how many values were clipped."""
    clipped = _arrays.count_clipped(x, out.dtype)
    _arrays.round_into(x, out)
    return clipped


def _rounding_error(eq: Equation) -> float:
    """Returns the rounding error of a DCT in float64, in dst's unit; in float32 it is `_ROUNDING_RATIO` times it.

    Each stage of a transform rounds b, white noise that A^-1 amplifies by the root mean square of 1 / eigenvalue.
    The result itself, which may be larger than the images, is rounded by every stage, and by more in transforms of
    lengths with large prime factors and with large weights, which make links negative. The largest error of 10,000
    solves was 0.9 of this.
    """
    height, width = eq.mask.shape
    gain, amplitude = _gains(height, width, eq.weight, eq.w0, eq.w1)
    smooth = _largest_factor(width) <= 11
    roundings = math.log2(2 * height * width) * gain * (1 if smooth else 2) + 2 * math.sqrt(height)
    negative = eq.weight * eq.w0 * eq.w1 > 1
    roundings += amplitude * (64 if smooth else 512) * (3 if negative else 1)
    return 2.0**-53 * _size(eq) * roundings


@functools.lru_cache(256)
def _gains(height: int, width: int, weight: float, w0: float, w1: float) -> tuple[float, float]:
    """Returns the gains of A^-1 for noise in b, and of the equation for noise in the images, as root mean squares.

    The mean is excluded, since it is set separately.
    """
    (ly, ny), (lx, nx) = _frequencies(height), _frequencies(width)
    flat = ly[:, None] + lx
    eigenvalues = flat + weight * (w0 + 2 * w1 - w1 * ly[:, None]) * (w0 + 2 * w1 - w1 * lx)
    eigenvalues[0, 0] = np.inf
    count = ny[:, None] * nx / (height * width)
    gain, amplitude = (float((count * (b / eigenvalues) ** 2).sum()) for b in (1.0, flat + weight))
    return math.sqrt(gain), max(1.0, math.sqrt(amplitude))


@functools.lru_cache(256)
def _largest_factor(n: int) -> int:
    """Returns the largest prime factor of n, or 1."""
    largest, factor = 1, 2
    while factor * factor <= n:
        if n % factor == 0:
            largest, n = factor, n // factor
        else:
            factor += 1
    return max(largest, n)


def _frequencies(n: int) -> tuple[NumpyArray, NumpyArray]:
    """Returns representative eigenvalues of the Laplacian of n pixels in a line, and the number that each represents.

    Low frequencies represent themselves, higher ones ever longer runs that start with them.
    """
    low = min(n, 64)
    edges = np.unique(np.concatenate([np.arange(low), np.geomspace(low, n, 48).astype(np.int64)]))
    return 4 * np.sin(np.pi * edges[:-1] / (2 * n)) ** 2, np.diff(edges)


def _size(eq: Equation) -> float:
    """Returns the largest magnitude of the images: the range of their dtype, or for floats of a sample, if larger."""
    sizes = [float(_arrays.VALUE_RANGE[eq.dst.dtype.name])]
    for image in (eq.src, eq.dst, eq.base):
        if image.dtype.kind == "f":
            sample = image[:: max(1, len(image) // 32)]
            if sample.dtype == np.float16:
                sample = sample.astype(np.float32)  # NumPy's maximum of halves is slow
            sizes.append(max(float(sample.max()), -float(sample.min())))
    return max(sizes)


def target_field(
    src: NumpyArray,
    dst: NumpyArray,
    mask: NumpyArray,
    gradient_kernel: str = "normal",
    gain: NumpyArray | None = None,
    contour: str = "half",
) -> NumpyArray:
    """Returns `Equation.field` for images [H, W, C] and a mask [H, W]; gain [H, W] multiplies src's differences."""
    centred, across = GRADIENT_KERNELS[gradient_kernel]
    field = np.empty(dst.shape, np.float64)
    native.gaussian_poisson_field(
        _arrays.view(src, "src"),
        _arrays.view(dst, "dst"),
        _arrays.view(mask, "mask"),
        None if gain is None else _arrays.view(gain, "gain"),
        along=0.25 if centred else 0.0,
        across=across,
        full=contour == "full",
        out=_arrays.view(field, "field", writable=True),
    )
    return field


def solve(
    eq: Equation, out: NumpyArray, *, method: str, tolerance: float, certify: bool, check: bool = False
) -> SolveInfo:
    """Solves a validated equation into out [H, W, C].

    Args:
        eq: the equation.
        out: dst's dtype, or float32 or float64 in dst's unit.
        method: one of METHODS.
        tolerance: the largest error allowed, in 8-bit levels of dst's dtype.
        certify: whether to compute max_error if the method does not provide it.
        check: whether to raise ArgumentError for NaN and infinities; out may have been written by then.
    """
    start = time.perf_counter()
    level = _arrays.VALUE_RANGE[eq.dst.dtype.name] / 255
    limit = tolerance * level
    outcome: Outcome | None = None
    if eq.pinned and not eq.mask.max() > 0:
        out[...] = eq.dst
        outcome = Outcome("copy", 0, 0.0, 0.0)
    else:
        if eq.pinned and eq.mask.min() > 0:
            eq.pinned = False
        rectangle = eq.is_rectangle()
        if method == "auto":
            method = choose_method(eq, tolerance)
        elif method == "dct" and not rectangle:
            raise ArgumentError(DCT_NEEDS)
        elif method == "chebyshev":
            check_chebyshev(eq)
        if check and (method != "chebyshev" or expected_steps(eq, tolerance) > MAX_STEPS * _MAX_REFINEMENTS):
            eq.check_finite()
        if method == "chebyshev" and expected_steps(eq, tolerance) <= MAX_STEPS * _MAX_REFINEMENTS:
            iterated = _chebyshev(eq, out, limit, check)
            outcome = iterated if iterated.max_error <= limit else None
        if outcome is None:
            if rectangle and (method != "multigrid" or eq.mean_weight_ratio() <= 1):
                outcome = _dct(eq, out, limit, certify)
            elif eq.is_loose():
                outcome = _corrected_dct(eq, out, limit)
            else:
                outcome = _galerkin(eq, out, limit, certify)
                if rectangle and eq.field is None and outcome.estimate > limit:
                    outcome = _dct(eq, out, limit, certify)
    warn_of_bound(eq, outcome, limit, level)
    milliseconds = (time.perf_counter() - start) * 1e3
    pixels = np.count_nonzero(eq.mask) if outcome.clipped and eq.pinned else eq.mask.size
    return outcome.info(level, milliseconds, values=pixels * out.shape[2])


def run(call: BlendCall) -> Any:
    """Computes `pyharmony.ops.gaussian_poisson` for arrays and tensors on the CPU."""
    source, target = pair_of(call.src, call.dst)
    ground = _checks.image(call.base, "base", dims=(2, 3, 4))
    check_base(ground, target, "float32", "float64")
    levels = _checks.tolerance(call.tolerance, target.dtype.name)
    weight = _checks.color_weight(call.color_weight, *target.shape[-3:-1])
    masks = masks_of(call.mask, target)
    result = np.empty(target.shape, target.dtype)

    def solve_item(item: int, src: NumpyArray, dst: NumpyArray, base: NumpyArray, out: NumpyArray) -> SolveInfo:
        mask = masks[item if len(masks) > 1 else 0]
        equation = Equation.of(src, dst, mask, base, weight, call.w0, call.w1, call.preserve_background)
        if call.gradient_kernel != "normal":
            equation.check_finite()
            equation.field = target_field(src, dst, mask, call.gradient_kernel)
        return solve(equation, out, method=call.method, tolerance=levels, certify=call.return_info, check=True)

    items = enumerate(zip(*map(batch_of, (source, target, ground, result))))
    infos = [measured(functools.partial(solve_item, i, *images), call.return_info) for i, images in items]
    return deliver(call, result, infos)
