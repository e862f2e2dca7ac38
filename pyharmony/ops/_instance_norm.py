"""Checks and shapes of `instance_norm`."""

from __future__ import annotations

from typing import Any

from .. import _arrays, _checks
from ..errors import ArgumentError, ShapeError

#: The accepted dtypes of x; bfloat16 only in torch.
DTYPES = ("float16", "bfloat16", "float32", "float64")


def settings(negative_slope: Any, eps: Any) -> tuple[float, float]:
    """Returns the validated slope, 1 for no activation, and eps."""
    slope = 1.0 if negative_slope is None else _checks.number(negative_slope, "negative_slope")
    accepts = "a number above 0, within float32"
    if not (size := _checks.number(eps, "eps", high=3.4e38, accepts=accepts)) > 0:
        raise ArgumentError(f"eps: {size:g}, expected {accepts}")
    return slope, size


def check(x: Any) -> None:
    """Raises if the number of axes, dtype or size of x is not accepted."""
    _arrays.check_dtype(_arrays.dtype_of(x), "x", DTYPES)
    if x.ndim != 4 or 0 in x.shape:
        raise ShapeError(f"x: shape {list(x.shape)}, expected [N, C, H, W]")
    if x.shape[2] * x.shape[3] == 1:
        raise ShapeError(f"x: shape {list(x.shape)} has one pixel per plane, expected at least two")


def stats_shape(x: Any) -> tuple[int, int, int]:
    """Returns the shape of the statistics of each plane: mean, its rounding error, and 1 / sqrt(variance + eps)."""
    return x.shape[0], x.shape[1], 3
