"""Instance norm with a leaky ReLU, without scale, shift and running statistics.

See `pyharmony.reference.instance_norm` for the definition.
"""

from __future__ import annotations

from typing import Any

from .. import _arrays
from ..typing import ArrayT
from . import _instance_norm_cpu
from ._instance_norm import settings as settings

__all__ = ["batch_norm", "instance_norm", "instance_norm_dropout", "settings"]


def instance_norm(x: ArrayT, *, negative_slope: float | None = None, eps: float = 1e-5) -> ArrayT:
    """Normalises each plane to mean 0 and variance 1, then applies a leaky ReLU.

    y = act((x - mean) / sqrt(variance + eps)), with the mean and the biased variance of the pixels of each image and
    channel. Sums are float32 in short runs and float64 over these for float16, bfloat16 and float32; a plane of equal
    values gives 0, and a large mean costs no precision. Results are bit-identical for any number of threads.
    Gradients of any order flow to a tensor x, through the statistics.

    Args:
        x: [N, C, H, W] of at least two pixels, float16, float32, float64, or bfloat16 of torch; any memory format.
            float64 is not accepted on a GPU.
        negative_slope: the slope of a leaky ReLU, 0 or more; 0 is a ReLU. None: no activation.
        eps: the number added to the variance, above 0.

    Returns:
        The array y, of x's kind, shape, dtype and memory format.

    Raises:
        ShapeError: x does not have four axes, or a plane has fewer than two pixels.
        DTypeError: x is not such an array.
        ArgumentError: negative_slope or eps is out of range.
        DeviceError: x is on a device that kernels cannot use.

    Source: Ulyanov et al., "Instance Normalization: The Missing Ingredient for Fast Stylization", 2016.

    Example:
        >>> from pyharmony import ops
        >>> x = np.array([[[[1.0, 3.0]]]], np.float32)
        >>> ops.instance_norm(x).round(3).tolist()
        [[[[-1.0, 1.0]]]]
    """
    if _arrays.is_torch(x):
        return instance_norm_dropout(x, negative_slope=negative_slope, eps=eps)
    return _instance_norm_cpu.instance_norm(x, *settings(negative_slope, eps))


def batch_norm(x: Any, scale: Any, shift: Any, *, slope: float, eps: float, drop: float = 0.0) -> tuple[Any, Any]:
    """Computes batch norm in training, leaky ReLU and dropout in one pass, for `pyharmony.networks.nn.BatchNorm2d`.

    See `pyharmony.reference.instance_norm.batch_norm`. Gradients of any order flow to x, scale and shift.

    Args:
        x: a tensor [N, C, H, W], channels-last, of float32 or float64, on a GPU of float32, float16 or bfloat16.
        scale, shift: [C] of float32, or of float64 if x is float64.
        drop: the dropout probability, drawn by torch's generator; other results are multiplied by 1 / (1 - drop).

    Returns:
        y, like x, and per channel the mean, its rounding error, and 1 / sqrt(variance + eps), [C, 3].
    """
    from . import _batch_norm_torch

    y, stats = _batch_norm_torch.apply_batch_norm(x, scale, shift, slope, eps, drop)
    return y, stats[0]


def instance_norm_dropout(x: Any, *, negative_slope: float | None, eps: float, drop: float = 0.0) -> Any:
    """Computes `instance_norm` of a tensor and dropout, as in `batch_norm`, in one pass. Not public."""
    from . import _instance_norm_torch

    return _instance_norm_torch.instance_norm(x, *settings(negative_slope, eps), drop)
