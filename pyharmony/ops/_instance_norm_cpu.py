"""`instance_norm` for NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from .._native import native
from ..errors import DTypeError
from ._instance_norm import check, stats_shape


def instance_norm(x: Any, slope: float, eps: float) -> Any:
    """Computes `pyharmony.ops.instance_norm` for an array; slope 1 is no activation."""
    if not isinstance(x, np.ndarray):
        raise DTypeError(f"x: {type(x).__name__}, expected a numpy.ndarray or a torch.Tensor")
    check(x)
    last = not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous
    dense = x if last else np.ascontiguousarray(x)
    y = np.empty_like(dense)
    stats = np.empty(stats_shape(x), np.float64 if x.dtype == np.float64 else np.float32)
    native.instance_norm(
        _arrays.view(dense, "x"), eps, slope, _arrays.view(y, "y", writable=True),
        _arrays.view(stats, "stats", writable=True),
    )  # fmt: skip
    return y
