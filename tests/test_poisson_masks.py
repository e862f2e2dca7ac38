"""`ops.poisson` on thin, sparse and ragged masks: the tolerance is kept or a warning says so, and bounds are bounds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as sparse_linalg
from test_poisson import laplacian

from pyharmony import _arrays, _checks
from pyharmony.ops import PoissonSolver, poisson
from pyharmony.reference import gaussian_poisson as gp_definition

TOLERANCE = _checks.DEFAULT_TOLERANCE


def unit(dtype: str) -> float:
    """The value of an 8-bit level."""
    return _arrays.VALUE_RANGE[dtype] / 255


# ---- the answer, independently --------------------------------------------------------------------------------------


def operator(x: Any, weight: Any) -> Any:
    """(L + weight) x on the whole image, in x's precision."""
    y = weight[..., None] * x
    for axis in (0, 1):
        step = np.diff(x, axis=axis)
        ahead = [(0, 0)] * 3
        ahead[axis] = (0, 1)
        behind = [(0, 0)] * 3
        behind[axis] = (1, 0)
        y = y - np.pad(step, ahead) + np.pad(step, behind)
    return y


def exact(src: Any, dst: Any, mask: Any, *, gradients: str = "source", weight: Any = 0.0) -> tuple[Any, float]:
    """The definition's equation by sparse LU, and how much its last correction by a residual of more digits was."""
    src, dst, mask = (np.asarray(a, np.float64) for a in (src, dst, mask))
    unknown = mask > 0
    x = dst.astype(np.longdouble)
    if not unknown.any():
        return x, 0.0
    plane = np.broadcast_to(np.asarray(weight, np.float64), mask.shape)
    wide = [a.astype(np.longdouble) for a in (src, dst, mask)]
    b = gp_definition.divergence(*gp_definition.edge_field(*wide, gradients)) + plane[..., None] * wide[0]
    factors = sparse_linalg.splu(laplacian(unknown, plane))
    correction = 0.0
    for _ in range(4):
        r = (b - operator(x, plane.astype(np.longdouble)))[unknown]
        step = factors.solve(r.astype(np.float64))
        x[unknown] += step
        correction = float(np.abs(step).max())
    return x, correction


# ---- what has to hold -----------------------------------------------------------------------------------------------


@dataclass
class Case:
    """A problem, and how to say it."""

    mask: Any
    src: Any
    dst: Any
    tolerance: float | None = None
    weight: Any = 0.0
    gradients: str = "source"

    def check(self, solve: Callable[..., Any] = poisson) -> tuple[float, float, bool]:
        """Error and bound in 8-bit levels, and whether a warning was given; asserts what must hold of them."""
        dtype = self.src.dtype.name
        options = {"gradients": self.gradients, "color_weight": self.weight, "tolerance": self.tolerance}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            out, info = solve(self.src, self.dst, self.mask, return_info=True, **options)
        answer, own = exact(self.src, self.dst, self.mask, gradients=self.gradients, weight=self.weight)
        size = max(float(np.abs(answer).max()), _arrays.VALUE_RANGE[dtype])
        if dtype.startswith("u"):
            answer = np.clip(answer, 0, _arrays.VALUE_RANGE[dtype])
            rounding = 0.5 / unit(dtype)
        else:
            rounding = float(np.finfo(dtype).eps) * size / unit(dtype)
        rounding += own / unit(dtype) + 1e-12
        error = float(np.abs(out - answer).max()) / unit(dtype)
        allowed = TOLERANCE[dtype] if self.tolerance is None else self.tolerance
        assert own <= 1e-3 * allowed * unit(dtype), f"the judge is not exact enough: {own}"
        assert math.isfinite(info.max_error), f"bound {info.max_error}"
        assert error <= info.max_error + rounding, f"error {error}, bound {info.max_error}"
        assert caught or error <= allowed + rounding, f"error {error}, tolerance {allowed}, {info.iterations} iterations"
        return error, info.max_error, bool(caught)


def ones(height: int, width: int, *known: Any) -> Any:
    mask = np.ones((height, width), np.float32)
    for at in known:
        mask[at] = 0
    return mask


def images(kind: str, shape: tuple[int, int], dtype: str, rng: Any, channels: int = 1) -> tuple[Any, Any]:
    """flat: a constant apart; noise; both. Their answers range from smooth to rough."""
    full = _arrays.VALUE_RANGE[dtype]
    size = (*shape, channels)
    src = np.zeros(size) if kind == "flat" else rng.random(size) * (1.0 if kind == "noise" else 0.2)
    dst = rng.random(size) if kind == "noise" else src + 0.8 if kind == "flat" else src + 0.6
    pair = (src * full, dst * full)
    return tuple(np.rint(a).astype(dtype) if dtype.startswith("u") else a.astype(dtype) for a in pair)  # type: ignore[return-value]
