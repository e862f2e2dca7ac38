"""The layer of `pyharmony.ops.instance_norm`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ... import _checks, _native
from ...errors import ShapeError
from ...ops.instance_norm import instance_norm_dropout, settings


def _no_device() -> bool:
    return _native.device_module() is None


# As `torch.compiler.assume_constant_result` marks it, which would import torch's compiler, 2 s, with every network.
vars(_no_device)["_dynamo_marked_constant"] = True


class InstanceNorm2d(torch.nn.InstanceNorm2d):
    """torch's InstanceNorm2d without scale, shift and running statistics, and a leaky ReLU in the same pass.

    It has no parameters and no buffers, and computes the same in training and evaluation. It calls torch's own two
    functions for ONNX, which has no such operator, for tensors without data, and on a GPU for float64 or if its
    kernels are missing.

    Args:
        channels: the number of channels of the input.
        eps: the number added to the variance, above 0.
        negative_slope: the slope of the leaky ReLU, 0 or more; 0 is a ReLU. None: no activation.

    Raises:
        ArgumentError, DTypeError: a number is out of range.

    Example:
        >>> import torch
        >>> from pyharmony import nn
        >>> norm = nn.InstanceNorm2d(8, negative_slope=0.2)
        >>> norm(torch.rand(2, 8, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    @_checks.kinds
    def __init__(self, channels: int, eps: float = 1e-5, negative_slope: float | None = None) -> None:
        settings(negative_slope, eps)
        super().__init__(channels, eps, affine=False, track_running_stats=False)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor, drop: float = 0.0) -> Tensor:
        """Returns y for input [N, C, H, W] or [C, H, W]; errors are those of `pyharmony.ops.instance_norm`.

        drop: the probability of a dropout in the same pass; other results are multiplied by 1 / (1 - drop).
        """
        if input.ndim not in (3, 4) or input.shape[-3] != self.num_features:
            raise ShapeError(f"input: shape {list(input.shape)}, expected [N, {self.num_features}, H, W]")
        if input.ndim == 3:
            return self.forward(input[None], drop)[0]
        without = input.is_cuda and (input.dtype == torch.float64 or _no_device())
        if without or input.is_meta or torch.onnx.is_in_onnx_export():
            y = functional.instance_norm(input, eps=self.eps)
            y = y if self.negative_slope is None else functional.leaky_relu(y, self.negative_slope)
            return functional.dropout(y, drop) if drop else y
        return instance_norm_dropout(input, negative_slope=self.negative_slope, eps=self.eps, drop=drop)

    def extra_repr(self) -> str:
        more = "" if self.negative_slope is None else f", negative_slope={self.negative_slope}"
        return f"{self.num_features}, eps={self.eps}{more}"
