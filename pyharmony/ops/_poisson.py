"""The arguments of `poisson`, and messages of failing solves."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from typing import Any

from .. import _checks
from .._warnings import warn
from ._solve_call import SolveCall

UNDETERMINED_MESSAGE = (
    "mask: it covers the whole image and color_weight is 0, so nothing determines the mean of the result; leave a "
    "pixel at 0 (a known pixel), pass color_weight > 0, or use gaussian_poisson, which uses the mean of base"
)

NOTHING_PROVEN = (
    "poisson: no bound of the error could be proven, max_error is NaN: if the path from a pixel to the nearest known "
    "one is very long, rounding hides the barrier function A w = 1; only an estimate ensures the tolerance"
)

#: The solvers of `pyharmony.ops.PoissonSolver` by integer keys, since graphs of torch cannot hold Python objects.
SOLVERS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


@dataclass
class PoissonCall(SolveCall):
    """The arguments of `poisson`, checked except for arrays, color_weight and tolerance."""

    op = "poisson"

    gradients: str
    contour: str


def call_of(
    src: Any, dst: Any, mask: Any, base: Any, color_weight: Any, gradients: Any, contour: Any, tolerance: Any,
    return_info: bool,
) -> PoissonCall:  # fmt: skip
    """Returns the arguments of `poisson`, checked except for arrays, color_weight and tolerance."""
    _checks.flags(return_info=return_info)
    _checks.one_of(gradients, "gradients", _checks.GRADIENTS)
    _checks.one_of(contour, "contour", _checks.CONTOURS)
    return PoissonCall(src, dst, mask, base, color_weight, tolerance, return_info, gradients, contour)


def check_base(base: Any, dst: Any, *floats: str) -> None:
    """Raises if base has another shape than dst, or a dtype that is neither that of dst nor one of floats."""
    if base.dtype not in floats:
        _checks.same_dtype(base, "base", dst, "dst")
    _checks.same_shape(base, "base", dst, "dst")


def warn_of_errors(converged: bool, iterations: int, estimate: float, tolerance: float, max_error: float) -> None:
    """Warns of a solve that may have missed its tolerance; errors are in 8-bit levels, max_error NaN if unknown."""
    if not converged:
        warn(
            f"poisson: an error of about {estimate:.3g} levels is left after {iterations} iterations, "
            f"tolerance {tolerance:.3g}",
            RuntimeWarning,
        )
    elif max_error == math.inf:
        warn(NOTHING_PROVEN, RuntimeWarning)
    elif max_error > tolerance * (1 + 1e-9):
        warn(
            f"poisson: the error is only known to be below {max_error:.3g} levels, tolerance {tolerance:.3g}",
            RuntimeWarning,
        )
