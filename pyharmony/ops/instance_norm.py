"""Instance norm with a leaky ReLU, without scale, shift and running statistics.

See `pyharmony.reference.instance_norm` for the definition.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._native import native
from ..errors import ArgumentError, DTypeError, ShapeError
from ..typing import ArrayT

#: What x may be; bfloat16 is torch's alone.
DTYPES = ("float16", "bfloat16", "float32", "float64")


def settings(negative_slope: Any, eps: Any) -> tuple[float, float]:
    """Slope, 1 without an activation, and eps, checked."""
    slope = 1.0 if negative_slope is None else _checks.number(negative_slope, "negative_slope")
    accepts = "a finite number above 0"
    if not (size := _checks.number(eps, "eps", accepts=accepts)) > 0:
        raise ArgumentError(f"eps: {size:g}, expected {accepts}")
    return slope, size


def check(x: Any) -> None:
    """Refuses what x cannot be."""
    dtype = str(x.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise DTypeError(f"x: dtype {dtype} is not supported, use one of {', '.join(DTYPES)}")
    if x.ndim != 4 or 0 in x.shape:
        raise ShapeError(f"x: shape {list(x.shape)}, expected [N, C, H, W]")
    if x.shape[2] * x.shape[3] == 1:
        raise ShapeError(f"x: shape {list(x.shape)} has one pixel, which is its own mean; expected two or more")


def stats_shape(x: Any) -> tuple[int, int, int]:
    """Of the mean, what its rounding left, and 1 / sqrt(variance + eps) of each plane."""
    return x.shape[0], x.shape[1], 3


def instance_norm(x: ArrayT, *, negative_slope: float | None = None, eps: float = 1e-5) -> ArrayT:
    """Makes each plane's mean 0 and its variance 1, then applies a leaky ReLU.

    y = act((x - mean) / sqrt(variance + eps)), with the mean and the biased variance of the pixels of each image and
    channel. Sums are float32 in short runs and float64 over these for float16, bfloat16 and float32; a plane of equal
    values gives 0, and a large mean costs no digits. Results are the same to the bit for any number of threads.
    Gradients of any order flow to a tensor x; the statistics count as functions of it.

    Args:
        x: [N, C, H, W] of two pixels or more, float16, float32, float64, or bfloat16 of torch; any memory format.
            On a GPU not float64.
        negative_slope: of a leaky ReLU, 0 or more; 0 is a ReLU. None: no activation.
        eps: what is added to the variance, above 0.

    Returns:
        y, of x's kind, shape, dtype and memory format.

    Raises:
        ShapeError: x has not four axes, or a plane has less than two pixels.
        DTypeError: x is no such array.
        ArgumentError: negative_slope or eps is out of range.
        DeviceError: x is on a device that kernels cannot be used on.

    Source: Ulyanov et al., "Instance Normalization: The Missing Ingredient for Fast Stylization", 2016.

    Example:
        >>> from pyharmony import ops
        >>> x = np.array([[[[1.0, 3.0]]]], np.float32)
        >>> ops.instance_norm(x).round(3).tolist()
        [[[[-1.0, 1.0]]]]
    """
    slope, eps = settings(negative_slope, eps)
    if _arrays.is_torch(x):
        from . import _instance_norm_torch

        of_tensor: Any = _instance_norm_torch.instance_norm
        return of_tensor(x, slope, eps)
    if not isinstance(x, np.ndarray):
        raise DTypeError(f"x: {type(x).__name__}, expected a numpy.ndarray or a torch.Tensor")
    check(x)
    last = not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous
    given = x if last else np.ascontiguousarray(x)
    y: Any = np.empty_like(given)
    stats = np.empty(stats_shape(x), np.float64 if x.dtype == np.float64 else np.float32)
    native.instance_norm(
        _arrays.view(given, "x"), eps, slope, _arrays.view(y, "y", writable=True),
        _arrays.view(stats, "stats", writable=True),
    )  # fmt: skip
    return y
