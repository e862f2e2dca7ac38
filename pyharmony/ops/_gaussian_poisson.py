"""The arguments, the equation and the method selection of `gaussian_poisson`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._native import native
from .._warnings import warn
from ..errors import ArgumentError
from ..reference.gaussian_poisson import GRADIENT_KERNELS, gaussian_taps
from ..typing import SolveMethod
from ._solve_call import Outcome, SolveCall

METHODS: tuple[SolveMethod, ...] = get_args(SolveMethod)

#: 'auto' selects Chebyshev up to this number of steps. On the rectangle the alternative is the
#: DCT; with pinned pixels or a map of weights (second number) it is Galerkin multigrid.
#: Measured, see docs/gaussian_poisson.md.
CHEBYSHEV_STEPS = 17
CHEBYSHEV_STEPS_PINNED = 44

#: Below this weight the proven bound is reported, but the solve does not iterate until it reaches the tolerance.
CERTIFIED_STOP_FROM = 0.02

#: The ratio to the least nonzero eigenvalue of L below which weights hardly change the solution except its mean.
SMALL_WEIGHTS = 0.1

#: `Equation.mean_weight_ratio` below which float32 iterations do not determine the mean accurately.
LOOSE_MEAN = 100.0

#: Why method 'dct' refuses an equation.
DCT_NEEDS = (
    "method: 'dct' solves only the whole rectangle with one weight; with preserve_background or a map of "
    "color_weight use 'chebyshev', 'multigrid' or 'auto'"
)

MAX_SIGMA = 0.8
MAX_REFERENCE_SIGMA = 1000.0
REFERENCE_SIGMAS = f"0 to {MAX_REFERENCE_SIGMA:g} pixels"
#: This divided by the row excess of A is the smallest error in 8-bit levels that float32 can prove.
CHEBYSHEV_ROUNDING = 1.5e-3
_STRIP = 64  # the number of rows whose temporaries fit in the cache


@dataclass
class BlendCall(SolveCall):
    """The arguments of `gaussian_poisson`, checked except for arrays, color_weight and tolerance."""

    op = "gaussian_poisson"

    w0: float
    w1: float
    gradient_kernel: str
    preserve_background: bool
    method: str


def call_of(
    src: Any, dst: Any, mask: Any, base: Any, *, color_weight: Any, sigma: Any, reference: bool, gradient_kernel: Any,
    preserve_background: Any, method: Any, tolerance: Any, return_info: bool,
) -> BlendCall:  # fmt: skip
    """Returns the arguments of `gaussian_poisson`, checked except for arrays, color_weight and tolerance."""
    _checks.one_of(method, "method", METHODS)
    _checks.one_of(gradient_kernel, "gradient_kernel", tuple(GRADIENT_KERNELS))
    if reference:
        sigma = _checks.number(sigma, "sigma", high=MAX_REFERENCE_SIGMA, accepts=REFERENCE_SIGMAS)
    else:
        sigma = _checks.number(
            sigma, "sigma", high=MAX_SIGMA, accepts=f"0 to {MAX_SIGMA} pixels, the range of a 3-tap Gaussian"
        )
    w0, w1 = gaussian_taps(sigma, normalize=not reference)
    return BlendCall(
        src, dst, mask, base, color_weight, tolerance, return_info, w0, w1, gradient_kernel, bool(preserve_background),
        method,
    )  # fmt: skip


def check_base(base: Any, dst: Any, *floats: str) -> None:
    """Raises if base has another shape than dst, or a dtype that is neither that of dst nor one of floats."""
    if base.dtype not in (dst.dtype, *floats):
        raise ArgumentError(
            f"base: dtype {base.dtype.name}, expected that of dst ({dst.dtype.name}), {' or '.join(floats)}"
        )
    _checks.same_shape(base, "base", dst, "dst")


@dataclass
class Equation:
    """The validated equation A x = b of one image, in the native unit of dst's dtype.

    Attributes:
        src, dst, base: [H, W, C].
        mask: [H, W].
        weight: color_weight, or the minimum of its map.
        weight_map: [H, W] float32 or float64, or None if the weight is one number.
        w0, w1: the taps of the Gaussian.
        pinned: whether only pixels with mask > 0 are unknown.
        field: [H, W, C] float64, the divergence of the target gradients; a solve overwrites its memory. None: of the
            gradients of src and dst.
        op: the op that solves it, for warnings.
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
    op: str = BlendCall.op

    @classmethod
    def of(
        cls, src: NumpyArray, dst: NumpyArray, mask: NumpyArray, base: NumpyArray, weight: float | NumpyArray,
        w0: float = 1.0, w1: float = 0.0, pinned: bool = True,
    ) -> Equation:  # fmt: skip
        """Returns the equation with one weight, or with a map of weights."""
        least, weight_map = (weight, None) if isinstance(weight, float) else (float(weight.min()), weight)
        return cls(src, dst, mask, base, least, weight_map, w0, w1, pinned)

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

    def is_rectangle(self) -> bool:
        """Returns whether all pixels are unknown with equal weights, so that cosines are the eigenvectors."""
        return not self.pinned and self.weight_map is None

    def hierarchy(self) -> Any:
        """Returns the native setup of Galerkin multigrid."""
        return native.PoissonHierarchy(
            _arrays.view(self.mask, "mask") if self.pinned else None,
            self.mask.shape,
            weight=0.0 if self.weight_map is not None else self.weight,
            weight_map=self.operator()["weight_map"],
            w0=self.w0,
            w1=self.w1,
        )

    def check_finite(self) -> None:
        """Raises ArgumentError for NaN or infinities among the values used."""
        region = self.mask if self.pinned else None
        for image, name in ((self.src, "src"), (self.dst, "dst"), (self.base, "base")):
            _checks.finite(image, name, region)

    def residual(self, x: NumpyArray, out: NumpyArray | None = None) -> float:
        """Returns max |b - A x| over the unknowns, in float64."""
        into = None if out is None else _arrays.view(out, "out", writable=True)
        field = None if self.field is None else _arrays.view(self.field, "field")
        return native.gaussian_poisson_residual(
            *self.views(), _arrays.view(x, "x"), gradients="source", field=field, out=into, **self.operator()
        )

    def rhs(self, dtype: type) -> NumpyArray | None:
        """Returns b of the whole rectangle with one weight; None if the native code computes b itself."""
        if self.field is None:
            return None
        b: NumpyArray = self.field.astype(dtype)
        if self.weight > 0:
            for y in range(0, b.shape[0], _STRIP):
                b[y : y + _STRIP] += np.multiply(self.base[y : y + _STRIP], self.weight, dtype=dtype)
        return b

    def mean(self) -> list[float] | None:
        """Returns the mean of x by channel on the rectangle with one weight; None if the native code computes b."""
        if self.field is None:
            return None
        return [float(m) for m in self.base.mean((0, 1), dtype=np.float64) / self.gain()]

    def largest_weight(self) -> float:
        return self.weight if self.weight_map is None else float(self.weight_map.max())

    def row_excess(self) -> float:
        """Returns a lower bound of a_ii - sum_j |a_ij| over the rows, so that |x - x*| <= |b - A x| / excess.

        Row i of A sums to s c_i, s = (w0 + 2 w1)^2, and its positive off-diagonal entries count twice: the four
        corners, at most c_i w1^2 each, and the four edges if c_i w0 w1 > 1. Mirroring at a border moves corners onto
        edges, and pinned pixels are removed: both only increase the excess, which is concave in c.
        """

        def excess(c: float) -> float:
            w0, w1 = self.w0, self.w1
            return ((w0 + 2 * w1) ** 2 - 8 * w1 * w1) * c - 8 * max(0.0, c * w0 * w1 - 1)

        return max(0.0, min(excess(self.weight), excess(self.largest_weight())))

    def least_eigenvalue(self) -> float:
        """Returns the least eigenvalue of L + weight G on images of the rectangle with zero mean.

        An eigenvalue is affine in the cosine of each axis, so the least one is at the ends of the cosines, or
        next to the end that is the mean.
        """
        cy, cx = (np.cos(np.pi * np.array(sorted({0, min(1, n - 1), n - 1})) / n) for n in self.mask.shape)
        cy = cy[:, None]
        g = (self.w0 + 2 * self.w1 * cy) * (self.w0 + 2 * self.w1 * cx)
        eigenvalues = 4 - 2 * cy - 2 * cx + self.weight * g
        eigenvalues[0, 0] = np.inf
        return float(eigenvalues.min()) if eigenvalues.size > 1 else 1.0

    def gain(self) -> float:
        """Returns (w0 + 2 w1)^2, the factor from the mean of the result to that of base, weighted by color_weight."""
        return (self.w0 + 2 * self.w1) ** 2 if self.largest_weight() > 0 else 1.0

    def mean_weight_ratio(self) -> float:
        """Returns the mean weight relative to the least nonzero eigenvalue of L; infinite if pixels are pinned.

        Below 1 the mean of the image is the worst determined part of the solution, most sensitive to rounding.
        """
        return math.inf if self.pinned else self._mean_weight() / self._least_eigenvalue_of_laplacian()

    def is_loose(self) -> bool:
        """Returns whether all weights are small relative to the least nonzero eigenvalue of L, and none is pinned."""
        return not self.pinned and self.largest_weight() <= SMALL_WEIGHTS * self._least_eigenvalue_of_laplacian()

    def _mean_weight(self) -> float:
        return self.weight if self.weight_map is None else float(self.weight_map.mean(dtype=np.float64))

    def _least_eigenvalue_of_laplacian(self) -> float:
        return 4 * math.sin(math.pi / (2 * max(self.mask.shape))) ** 2


def expected_steps(eq: Equation, levels: float) -> float:
    """Returns the expected number of Chebyshev steps to an error of that many 8-bit levels, for a photograph.

    The spectrum of A is within [weight, 8 + weight]. The error of base is about 85 levels, and each step reduces it by
    (sqrt(k) - 1) / (sqrt(k) + 1), k being the ratio of the two ends.
    """
    if not eq.weight > 0:
        return math.inf
    root = math.sqrt((8 + eq.largest_weight()) / eq.weight)
    step = 2 * math.atanh(1 / root)  # the logarithm of (root + 1) / (root - 1), exact for large roots
    return math.log(170 / levels) / step if step > 0 else math.inf


def check_chebyshev(eq: Equation) -> None:
    """Raises ArgumentError for equations that Chebyshev's method does not solve: they need a positive definite A.

    Only the eigenvalue of stripes along one axis may be negative, by a filter that is negative there (`as_published`).
    """
    if not eq.weight > 0:
        raise ArgumentError("method: 'chebyshev' needs color_weight above 0 everywhere; use 'auto'")
    stripes = eq.w0 - 2 * eq.w1
    least = 4 + eq.weight * (eq.w0 + 2 * eq.w1) * stripes if eq.weight_map is None else eq.row_excess()
    if stripes < 0 and not least > 0:
        raise ArgumentError(
            f"method: 'chebyshev' needs a smaller sigma at color_weight {eq.largest_weight():g}, where the filter as"
            " published makes the equation indefinite; use 'auto'"
        )


def chebyshev_is_faster(eq: Equation, levels: float) -> bool:
    """Returns whether Chebyshev is the fastest method for a tolerance of that many 8-bit levels, and can prove it."""
    most = CHEBYSHEV_STEPS if eq.is_rectangle() else CHEBYSHEV_STEPS_PINNED
    return expected_steps(eq, levels) <= most and levels * eq.row_excess() >= CHEBYSHEV_ROUNDING


def choose_method(eq: Equation, levels: float) -> str:
    """Returns the method that 'auto' selects for a tolerance of that many 8-bit levels."""
    if chebyshev_is_faster(eq, levels):
        return "chebyshev"
    return "dct" if eq.is_rectangle() else "multigrid"


def warn_of_bound(eq: Equation, outcome: Outcome, limit: float, level: float) -> None:
    """Warns if the error may exceed the limit; both are in the unit of the dtype, as is an 8-bit level.

    Below `CERTIFIED_STOP_FROM` a bound may be too loose for the tolerance: there, and without a bound, the estimate
    decides by which the solve stopped. A direct solve without a bound has no estimate either.
    """
    error, phrase = outcome.max_error, "only known to be below"
    if not math.isfinite(error) or (eq.weight < CERTIFIED_STOP_FROM and outcome.estimate < error):
        error, phrase = outcome.estimate, "estimated at"
    if error > limit * (1 + 1e-9):
        warn(
            f"{eq.op}: the error is {phrase} {error / level:.3g} levels, tolerance {limit / level:.3g}",
            RuntimeWarning,
        )
