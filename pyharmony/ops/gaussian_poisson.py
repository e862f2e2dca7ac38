"""The Gaussian-Poisson equation on arrays; see docs/gaussian_poisson.md for the schemes."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from .. import _arrays, _checks, _cuda
from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._native import native
from ..errors import ArgumentError
from ..reference.gaussian_poisson import GRADIENT_KERNELS, gaussian_taps
from ..typing import Array, ArrayT, Device, GradientKernel, SolveMethod

METHODS: tuple[SolveMethod, ...] = get_args(SolveMethod)

#: 'auto' takes Chebyshev as long as it needs at most this many steps: on the rectangle, where the
#: alternative is the DCT, and with pinned pixels or a map, where it is Galerkin multigrid.
#: Measured, see docs/gaussian_poisson.md.
CHEBYSHEV_STEPS = 17
CHEBYSHEV_STEPS_PINNED = 44

#: Below this weight the certified bound is reported and not waited for.
CERTIFIED_STOP_FROM = 0.02

MAX_SIGMA = 0.8
#: Times 1 / (row excess of A): the error in 8-bit levels below which float32 cannot certify.
CHEBYSHEV_ROUNDING = 1.5e-3
_MAX_CYCLES = 30
_MAX_STEPS = 400
_MAX_REFINEMENTS = 8
_STRIP = 64  # rows whose temporaries stay in the cache


@dataclass
class Equation:
    """A x = b of one image, checked, in the native unit of dst's dtype.

    Attributes:
        src, dst, base: [H, W, C].
        mask: [H, W].
        weight: color_weight, or the least value of its map.
        weight_map: [H, W] float32 or float64, or None where the weight is one number.
        w0, w1: taps of the Gaussian.
        pinned: only pixels with mask > 0 are unknown.
        field: [H, W, C] float64, the wanted differences summed at each pixel; a solve takes its memory
            over. None: those of src and dst.
    """

    src: NumpyArray
    dst: NumpyArray
    mask: NumpyArray
    base: NumpyArray
    weight: float
    weight_map: NumpyArray | None
    w0: float
    w1: float
    pinned: bool
    field: NumpyArray | None = None

    def views(self) -> tuple[Any, Any, Any, Any]:
        return (
            _arrays.view(self.src, "src"),
            _arrays.view(self.dst, "dst"),
            _arrays.view(self.mask, "mask"),
            _arrays.view(self.base, "base"),
        )

    def operator(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "weight_map": None if self.weight_map is None else _arrays.view(self.weight_map, "color_weight"),
            "w0": self.w0,
            "w1": self.w1,
            "preserve_background": self.pinned,
        }

    def check_finite(self) -> None:
        """Raises ArgumentError for NaN or infinities where they are used."""
        used = self.mask if self.pinned else None
        for image, name in ((self.src, "src"), (self.dst, "dst"), (self.base, "base")):
            _checks.finite(image, name, used)

    def residual(self, x: NumpyArray, out: NumpyArray | None = None) -> float:
        """max |b - A x| over the unknowns, in float64."""
        into = None if out is None else _arrays.view(out, "out", writable=True)
        field = None if self.field is None else _arrays.view(self.field, "field")
        return native.gaussian_poisson_residual(
            *self.views(), _arrays.view(x, "x"), gradients="source", field=field, out=into, **self.operator()
        )

    def rhs(self, dtype: type) -> NumpyArray | None:
        """b of the whole rectangle with one weight, where the native code does not form it itself."""
        if self.field is None:
            return None
        b: NumpyArray = self.field.astype(dtype)
        if self.weight > 0:
            for y in range(0, b.shape[0], _STRIP):
                b[y : y + _STRIP] += np.multiply(self.base[y : y + _STRIP], self.weight, dtype=dtype)
        return b

    def mean(self) -> list[float] | None:
        """Of x, where b says nothing about it."""
        if self.field is None or self.weight > 0:
            return None
        return [float(m) for m in self.base.mean((0, 1), dtype=np.float64)]

    def largest_weight(self) -> float:
        return self.weight if self.weight_map is None else float(self.weight_map.max())

    def row_excess(self) -> float:
        """A lower bound of a_ii - sum_j |a_ij| over the rows, so that |x - x*| <= |b - A x| / excess.

        Row i of A sums to s c_i, s = (w0 + 2 w1)^2, and its positive entries count twice: the four
        corners, c_i w1^2 each at most, and the four edges where c_i w0 w1 > 1. Mirroring at a border
        moves corners onto edges, pinned pixels drop out: both only add. Concave in c.
        """

        def excess(c: float) -> float:
            w0, w1 = self.w0, self.w1
            return ((w0 + 2 * w1) ** 2 - 8 * w1 * w1) * c - 8 * max(0.0, c * w0 * w1 - 1)

        return max(0.0, min(excess(self.weight), excess(self.largest_weight())))

    def least_eigenvalue(self) -> float:
        """Of L + weight G on the rectangle; with weight 0, of L on images of mean zero.

        An eigenvalue is affine in the cosine of each axis, so the least one is at their ends, or
        beside the end that weight 0 leaves out.
        """
        cy, cx = (np.cos(np.pi * np.array(sorted({0, min(1, n - 1), n - 1})) / n) for n in self.mask.shape)
        cy = cy[:, None]
        g = (self.w0 + 2 * self.w1 * cy) * (self.w0 + 2 * self.w1 * cx)
        eigenvalues = 4 - 2 * cy - 2 * cx + self.weight * g
        if self.weight == 0:
            eigenvalues[0, 0] = np.inf
        return float(eigenvalues.min()) if eigenvalues.size > 1 or self.weight else 1.0


@dataclass
class _Outcome:
    method: str
    iterations: int
    residual: float
    max_error: float
    peak_bytes: int


def _round_into(x: NumpyArray, out: NumpyArray) -> None:
    """Half to even and held in range for integers; floats are converted, not clipped."""
    if out.dtype.kind == "u":
        np.rint(x, out=x)
        np.clip(x, 0, np.iinfo(out.dtype).max, out=x)
    out[...] = x


def proven_bound(eq: Equation, x: NumpyArray, residual: float, tolerance: float) -> tuple[float, int]:
    """A proven bound of |x - x*| for x in float32 or float64, on the rectangle with one weight; scratch bytes.

    |r| / excess where that is enough. Else an exact solve gives x + e, whose residual r2 is
    far smaller, and |x - x*| <= |e| + |A^-1 r2|.
    """
    excess = eq.row_excess()
    if excess > 0 and residual / excess <= tolerance:
        return residual / excess, 0
    e = np.empty(x.shape, np.float64)
    eq.residual(x, out=e)
    # In place: the rows of rhs are in the work array before the first one of the result is written.
    stats = native.gaussian_poisson_dct(
        *eq.views(),
        _arrays.view(e, "out", writable=True),
        weight=eq.weight,
        w0=eq.w0,
        w1=eq.w1,
        double_precision=True,
        rhs=_arrays.view(e, "rhs"),
    )
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


def _chebyshev(eq: Equation, out: NumpyArray, tolerance: float, check: bool) -> _Outcome:
    # base may be float64 whatever dst is.
    if eq.field is None and np.float64 not in (out.dtype, eq.src.dtype, eq.dst.dtype, eq.base.dtype):
        stats = native.gaussian_poisson_chebyshev(
            *eq.views(),
            _arrays.view(out, "out", writable=True),
            tolerance=tolerance,
            max_steps=_MAX_STEPS,
            rhs=None,
            **eq.operator(),
        )
        # The kernel sees every value in its load; a pass of its own would cost a quarter of the solve.
        if check and not stats["finite"]:
            eq.check_finite()
        if stats["converged"]:
            return _Outcome("chebyshev", stats["steps"], stats["residual"], stats["max_error"], stats["peak_bytes"])
    elif check:
        eq.check_finite()
    return _refined_chebyshev(eq, out, tolerance)


def _refined_chebyshev(eq: Equation, out: NumpyArray, tolerance: float) -> _Outcome:
    """Float64 state and residual, float32 corrections: for tolerances below what float32 holds."""
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
    _round_into(x, out)
    return _Outcome("chebyshev", steps, residual, bound, peak)


def _dct(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> _Outcome:
    double = out.dtype == np.float64 or tolerance < _float32_error(eq)
    x = out
    if certify and out.dtype not in (np.float32, np.float64) or double and out.dtype == np.float32:
        x = np.empty(out.shape, np.float64 if double else np.float32)
    rhs = eq.rhs(np.float64 if double else np.float32)
    stats = native.gaussian_poisson_dct(
        *eq.views(),
        _arrays.view(x, "out", writable=True),
        weight=eq.weight,
        w0=eq.w0,
        w1=eq.w1,
        double_precision=double,
        rhs=None if rhs is None else _arrays.view(rhs, "rhs"),
        mean=eq.mean(),
    )
    residual = bound = math.nan
    peak = stats["peak_bytes"] + (0 if rhs is None else rhs.nbytes)
    del rhs
    if certify:
        residual = eq.residual(x)
        bound, scratch = proven_bound(eq, x, residual, tolerance)
        peak = max(peak, scratch)
    if x is not out:
        _round_into(x, out)
        peak += x.nbytes
    return _Outcome("dct", 1, residual, bound, peak)


def _refined_multigrid(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> _Outcome:
    """Float64 state and residual, float32 corrections: for tolerances below what float32 holds."""
    excess = eq.row_excess()
    hold = eq.weight >= CERTIFIED_STOP_FROM and excess > 0
    x = np.zeros(out.shape, np.float64)
    e = np.empty(out.shape, np.float32)
    r = eq.rhs(np.float64)
    cycles, peak, goal = 0, 0, max(tolerance / 4, _float32_error(eq))
    residual = bound = math.inf
    for _ in range(_MAX_REFINEMENTS):
        stats = native.gaussian_poisson_multigrid(
            *eq.views(),
            _arrays.view(e, "out", writable=True),
            weight=eq.weight,
            w0=eq.w0,
            w1=eq.w1,
            tolerance=goal,
            max_cycles=_MAX_CYCLES,
            rhs=None if r is None else _arrays.view(r, "rhs"),
        )
        cycles += stats["cycles"]
        peak = max(peak, stats["peak_bytes"])
        x += e
        if eq.weight == 0:
            x += eq.base.mean((0, 1), dtype=np.float64) - x.mean((0, 1))
        if r is None:
            r = np.empty(out.shape, np.float64)
        residual = eq.residual(x, out=r)
        bound = residual / excess if excess > 0 else math.inf
        if bound <= tolerance or (goal <= tolerance / 4 and not hold):
            break
        # A float32 correction is good to four digits of its own size.
        goal = max(goal * 1e-4, tolerance / 4) if goal > tolerance / 4 else goal / 4
    if certify:
        bound, scratch = proven_bound(eq, x, residual, tolerance)
        peak = max(peak, scratch)
    _round_into(x, out)
    return _Outcome("multigrid", cycles, residual, bound, peak + x.nbytes + e.nbytes + x.nbytes)


def _multigrid(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> _Outcome:
    """Cell-centred multigrid on the rectangle; the stop is the certified bound where the weight allows."""
    if out.dtype == np.float64 or tolerance < _float32_error(eq):
        return _refined_multigrid(eq, out, tolerance, certify)
    hold = eq.weight >= CERTIFIED_STOP_FROM and eq.row_excess() > 0
    x = out if out.dtype == np.float32 else np.empty(out.shape, np.float32)
    cycles, goal, peak = 0, tolerance, 0
    residual = bound = math.nan
    rhs = eq.rhs(np.float32)
    for _ in range(3):
        stats = native.gaussian_poisson_multigrid(
            *eq.views(),
            _arrays.view(x, "out", writable=True),
            weight=eq.weight,
            w0=eq.w0,
            w1=eq.w1,
            tolerance=goal,
            max_cycles=_MAX_CYCLES,
            rhs=None if rhs is None else _arrays.view(rhs, "rhs"),
            mean=eq.mean(),
        )
        cycles += stats["cycles"]
        peak = max(peak, stats["peak_bytes"] + (0 if rhs is None else rhs.nbytes))
        if not hold:
            break
        residual = eq.residual(x)
        bound = residual / eq.row_excess()
        if bound <= tolerance or not stats["converged"]:
            break
        goal *= 0.5 * tolerance / bound
    if certify or not stats["converged"]:
        residual = eq.residual(x)
        bound, scratch = proven_bound(eq, x, residual, tolerance)
        peak = max(peak, scratch)
    if x is not out:
        _round_into(x, out)
        peak += x.nbytes
    return _Outcome("multigrid", cycles, residual, bound, peak)


def _galerkin(eq: Equation, out: NumpyArray, tolerance: float, certify: bool) -> _Outcome:
    """Galerkin multigrid with conjugate gradients: any mask, any map of weights."""
    hierarchy = native.PoissonHierarchy(
        _arrays.view(eq.mask, "mask") if eq.pinned else None,
        eq.mask.shape,
        weight=0.0 if eq.weight_map is not None else eq.weight,
        weight_map=eq.operator()["weight_map"],
        w0=eq.w0,
        w1=eq.w1,
    )
    if eq.field is not None:
        return _galerkin_of_field(hierarchy, eq, eq.field, out, tolerance, certify)
    if eq.pinned:
        out[...] = eq.dst
    stats = hierarchy.solve(
        *eq.views(),
        _arrays.view(out, "out", writable=True),
        gradients="source",
        tolerance=tolerance,
        max_iterations=_MAX_CYCLES,
        certify=certify,
    )
    return _Outcome("multigrid", stats["iterations"], stats["residual"], stats["max_error"], stats["peak_bytes"])


def _galerkin_of_field(
    hierarchy: Any, eq: Equation, r: NumpyArray, out: NumpyArray, tolerance: float, certify: bool
) -> _Outcome:
    """The same for a field that is given: for the correction of base, which is zero where pixels are known."""
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
    if real is np.float32:  # e and the sum are rounded
        bound += 2.0**-23 * float(max(x.max(), -x.min(), e.max(), -e.min()))
    _round_into(x, out)
    peak = stats["peak_bytes"] + x.nbytes + r.nbytes + e.nbytes
    return _Outcome("multigrid", stats["iterations"], stats["residual"], bound, peak)


def expected_steps(eq: Equation, levels: float) -> float:
    """Chebyshev steps that a photograph needs to an error of that many 8-bit levels.

    The spectrum of A lies in [weight, 8 + weight], base is off by some 85 levels, and each step
    shrinks that by (sqrt(k) - 1) / (sqrt(k) + 1), k being the ratio of the two ends.
    """
    if not eq.weight > 0:
        return math.inf
    root = math.sqrt((8 + eq.largest_weight()) / eq.weight)
    return math.log(170 / levels) / math.log((root + 1) / (root - 1))


def choose_method(eq: Equation, levels: float) -> str:
    """What 'auto' stands for at a tolerance of that many 8-bit levels."""
    irregular = eq.pinned or eq.weight_map is not None
    most = CHEBYSHEV_STEPS_PINNED if irregular else CHEBYSHEV_STEPS
    if expected_steps(eq, levels) <= most and levels * eq.row_excess() >= CHEBYSHEV_ROUNDING:
        return "chebyshev"
    return "multigrid" if irregular else "dct"


def _float32_levels(eq: Equation) -> float:
    """What a float32 DCT may be off by, in 8-bit levels: measured on noise, with a margin.

    Without a weight it is that of the lowest frequencies, which grows as the square of the size.
    """
    flat = 0.05 * (max(eq.mask.shape) / 1920) ** 2
    return max(2e-3, min(flat, 5e-6 / eq.weight if eq.weight > 0 else math.inf))


def _float32_error(eq: Equation) -> float:
    """The least error to ask of one float32 solve, in dst's unit."""
    return _float32_levels(eq) * _arrays.VALUE_RANGE[eq.dst.dtype.name] / 255


def wanted_field(
    src: NumpyArray,
    dst: NumpyArray,
    mask: NumpyArray,
    gradient_kernel: str = "normal",
    gain: NumpyArray | None = None,
) -> NumpyArray:
    """`Equation.field` of images [H, W, C] and a mask [H, W]; gain [H, W] multiplies src's differences."""
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
        certify: compute max_error where the method does not have it anyway.
        check: raise ArgumentError for NaN and infinities; out may have been written by then.
    """
    start = time.perf_counter()
    level = _arrays.VALUE_RANGE[eq.dst.dtype.name] / 255
    limit = tolerance * level
    if eq.pinned and not eq.mask.max() > 0:
        out[...] = eq.dst
        outcome = _Outcome("copy", 0, 0.0, 0.0, 0)
    else:
        if eq.pinned and eq.mask.min() > 0:
            eq.pinned = False
        if method == "auto":
            method = choose_method(eq, tolerance)
        elif method == "dct" and (eq.pinned or eq.weight_map is not None):
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
        elif method == "dct":
            outcome = _dct(eq, out, limit, certify)
        elif eq.pinned or eq.weight_map is not None:
            outcome = _galerkin(eq, out, limit, certify)
        else:
            outcome = _multigrid(eq, out, limit, certify)
    # NaN: not computed; the methods without a bound of their own converge by construction.
    if outcome.max_error > limit * (1 + 1e-9) and eq.weight >= CERTIFIED_STOP_FROM:
        warnings.warn(
            f"gaussian_poisson: the error is only known to be below {outcome.max_error / level:.3g} levels, "
            f"tolerance {tolerance:.3g}",
            RuntimeWarning,
            stacklevel=3,
        )
    return SolveInfo(
        method=outcome.method,
        iterations=outcome.iterations,
        residual=outcome.residual / level,
        max_error=outcome.max_error / level,
        device="cpu",
        milliseconds=(time.perf_counter() - start) * 1e3,
        peak_bytes=outcome.peak_bytes,
    )


def gaussian_poisson(
    src: Array,
    dst: ArrayT,
    mask: Array,
    base: Array,
    *,
    color_weight: float | Array = 1.0,
    sigma: float = 0.5,
    reference: bool = False,
    gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = False,
    method: SolveMethod = "auto",
    tolerance: float | None = None,
    device: Device | None = None,
    return_info: bool = False,
) -> Any:
    """Solves the Gaussian-Poisson equation of one image, or of each of a batch.

    The blend has the gradients of src inside the mask and of dst outside, and the colours of
    base as far as color_weight asks: ``(L + color_weight G) x = b + color_weight base`` with the
    5-point Laplacian L and a 3 x 3 Gaussian G (Wu et al., GP-GAN, 2019, eq. 4-6; the exact
    definition is `pyharmony.reference.gaussian_poisson`).

    Float tensors that require grad are differentiated: gradients go to src, dst and base, exact to
    tolerance / 255 of the largest incoming one; torch.compile takes the op whole. Mask and
    color_weight have none, nor have src and dst with another gradient_kernel than 'normal'.

    Args:
        src, dst: [H, W], [H, W, C] or [N, H, W, C] of equal shape and dtype, uint8, uint16,
            float16, float32 or float64, any strides; numpy, torch, or an array on a CUDA device (docs/cuda.md;
            no float64 there). Never changed.
        mask: [H, W], or [N, H, W] with a batch; bool, uint8 or uint16 scaled by their range, or
            floats in [0, 1]. The gradient of an edge is mixed by the mean of its two pixels.
        base: like dst; float32 and float64, in dst's unit (0..255 for uint8), are taken too.
        color_weight: a number of at least 0, or a map [H, W] of them. With 0 the mean of the
            result is that of base.
        sigma: of the Gaussian in pixels, 0 to 0.8 (any with reference).
        reference: keep the taps of GP-GAN's code, whose sum is below one; it brightens.
        gradient_kernel: what the derivatives of src and dst are taken with. 'normal': the difference of
            neighbours, which alone reproduces src exactly. 'sobel', 'scharr', 'prewitt': centred
            differences, smoothed across; 'roberts': smoothed across. All lie along their edges and
            give 1 for a ramp of slope 1.
        preserve_background: solve for the pixels with mask > 0 only and keep the others.
        method: 'auto', 'chebyshev', 'dct' or 'multigrid'. 'dct' takes one weight and the whole
            rectangle; 'chebyshev' a weight above 0.
        tolerance: the largest error allowed, in 8-bit levels (1/255 of the value range), before
            rounding to the dtype. None: 0.25 for uint8, 0.004 for uint16, 0.025 for float16 and
            float32, 1e-6 for float64. Weights below 0.02 stop on an estimate.
        device: 'auto', 'cpu' or 'cuda', for NumPy arrays and tensors on the processor; None: what
            `pyharmony.set_device` says. Arrays on a device are solved there, see docs/cuda.md.
        return_info: also return a SolveInfo, with a certified bound of the error.

    Returns:
        The blend in dst's kind, shape and dtype, rounded half to even; floats are not clipped.
        With return_info a pair (blend, SolveInfo), or (blends, list of them) for a batch.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: naming the argument, what was given and
            what is accepted.

    Example:
        >>> from pyharmony import ops
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> ops.gaussian_poisson(src, dst, mask, base=dst)[8, 8].tolist()
        [60, 60, 60]
    """
    if _arrays.in_graph(src, dst, mask, base, color_weight):
        from ._torch import differentiable_gaussian_poisson

        return differentiable_gaussian_poisson(
            src, dst, mask, base, color_weight, sigma, reference, gradient_kernel, preserve_background, method,
            tolerance, return_info,
        )  # fmt: skip
    _checks.one_of(method, "method", METHODS)
    _checks.one_of(gradient_kernel, "gradient_kernel", tuple(GRADIENT_KERNELS))
    if reference:
        sigma = _checks.number(sigma, "sigma")
    else:
        sigma = _checks.number(
            sigma, "sigma", high=MAX_SIGMA, accepts=f"0 to {MAX_SIGMA} pixels, what a 3-tap Gaussian can hold"
        )
    w0, w1 = gaussian_taps(sigma, normalize=not reference)
    arrays = {"dst": dst, "src": src, "mask": mask, "base": base, "color_weight": _checks.map_or_none(color_weight)}
    place = _cuda.place_of(arrays, device)
    if place is not None:
        from . import _gaussian_poisson_cuda  # it stands on this module

        made = _cuda.attempt(
            place,
            "gaussian_poisson",
            lambda: _gaussian_poisson_cuda.run(
                place,
                src,
                dst,
                mask,
                base,
                color_weight=color_weight,
                w0=w0,
                w1=w1,
                gradient_kernel=gradient_kernel,
                preserve_background=preserve_background,
                method=method,
                tolerance=tolerance,
                return_info=return_info,
            ),
        )
        if made is not NotImplemented:
            return made
    source, target, ground = (
        _checks.image(x, name, dims=(2, 3, 4)) for x, name in ((src, "src"), (dst, "dst"), (base, "base"))
    )
    _checks.same_dtype(source, "src", target, "dst")
    _checks.same_shape(source, "src", target, "dst")
    if ground.dtype not in (target.dtype, np.float32, np.float64):
        raise ArgumentError(
            f"base: dtype {ground.dtype.name}, expected that of dst ({target.dtype.name}), float32 or float64"
        )
    _checks.same_shape(ground, "base", target, "dst")
    levels = _checks.tolerance(tolerance, target.dtype.name)
    height, width = target.shape[-3:-1]
    weight = _checks.color_weight(color_weight, height, width)
    batch = target.ndim == 4
    masks = _arrays.to_numpy(mask, "mask")
    if batch and masks.ndim == 3 and masks.shape[0] == target.shape[0] and masks.shape[1:] == (height, width):
        per_item = [_checks.mask(m, "mask", height, width) for m in masks]
    else:
        per_item = [_checks.mask(masks, "mask", height, width)] * (target.shape[0] if batch else 1)
    result = np.empty(target.shape, target.dtype)
    infos = []
    for i, m in enumerate(per_item):
        s, d, g, out = (a[i] if batch else a for a in (source, target, ground, result))
        eq = Equation(
            src=s,
            dst=d,
            mask=m,
            base=g,
            weight=weight if isinstance(weight, float) else float(weight.min()),
            weight_map=None if isinstance(weight, float) else weight,
            w0=w0,
            w1=w1,
            pinned=bool(preserve_background),
        )
        if gradient_kernel != "normal":
            eq.check_finite()
            eq.field = wanted_field(s, d, m, gradient_kernel)
        infos.append(solve(eq, out, method=method, tolerance=levels, certify=return_info, check=True))
    shaped = result.reshape(tuple(_arrays.to_numpy(dst, "dst").shape))
    image = _arrays.like_kind(shaped, dst)
    if return_info:
        return image, infos if batch else infos[0]
    return image
