"""Batch norm followed by leaky ReLU and dropout, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ... import _checks, _native
from ...ops.instance_norm import batch_norm

#: The dtypes that the single pass supports, and those of their scale and shift.
_DTYPES = {
    "cpu": {torch.float32: torch.float32, torch.float64: torch.float64},
    "cuda": dict.fromkeys((torch.float32, torch.float16, torch.bfloat16), torch.float32),
}


class BatchNorm2d(torch.nn.BatchNorm2d):
    """torch's BatchNorm2d with scale, shift and running statistics, and a leaky ReLU in the same pass.

    In training one native pass computes norm and activation of channels-last memory, and one their gradients; second
    derivatives, other memory formats and evaluation are computed by torch.

    Args:
        channels: the number of channels of the input.
        eps: the number added to the variance, above 0.
        momentum: the share of a batch's statistics in the running ones, 0 to 1.
        negative_slope: the slope of the leaky ReLU, 0 or more; 0 is a ReLU. None: no activation.

    Raises:
        ArgumentError, DTypeError: `negative_slope` is not a finite number.

    Example:
        >>> import torch
        >>> from pyharmony import nn
        >>> norm = nn.BatchNorm2d(8, negative_slope=0.2)
        >>> norm(torch.rand(2, 8, 16, 16)).shape
        torch.Size([2, 8, 16, 16])
    """

    @_checks.kinds
    def __init__(
        self, channels: int, eps: float = 1e-5, momentum: float = 0.1, negative_slope: float | None = None
    ) -> None:
        super().__init__(_checks.whole(channels, "channels", low=1), eps, momentum)
        self.negative_slope = negative_slope
        self._slope = 1.0 if negative_slope is None else _checks.number(negative_slope, "negative_slope")

    def forward(self, input: Tensor, drop: float = 0.0) -> Tensor:
        """Returns y for input [N, C, H, W]; errors are those of torch's BatchNorm2d.

        drop: the probability of a dropout in the same pass; other results are multiplied by 1 / (1 - drop).
        """
        if not self._in_one_pass(input):
            y = super().forward(input)
            y = y if self.negative_slope is None else functional.leaky_relu(y, self.negative_slope)
            return functional.dropout(y, drop) if drop else y
        y, stats = batch_norm(input, self.weight, self.bias, slope=self._slope, eps=self.eps, drop=drop)
        self._note(stats, input.numel() // self.num_features)
        return y

    def _in_one_pass(self, x: Tensor) -> bool:
        return (
            self.training
            and _DTYPES.get(x.device.type, {}).get(x.dtype) == self.weight.dtype
            and x.ndim == 4
            and x.shape[1] == self.num_features
            and x.numel() > self.num_features
            and x.is_contiguous(memory_format=torch.channels_last)
            and not torch.compiler.is_compiling()
            and torch._C._get_tracing_state() is None
            and not (x.is_cuda and _native.device_module() is None)
        )

    def _note(self, stats: Tensor, count: int) -> None:
        """Adds the statistics of a batch of `count` values per channel to the running ones."""
        mean, variance, batches = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or variance is None or batches is None or self.momentum is None:
            return
        of_batch = (stats[:, 2].double().pow(-2) - self.eps).clamp(min=0) * (count / (count - 1))
        # By `data`, like torch's own pass: another pass of torch may have saved these tensors for its gradient.
        mean.data.lerp_(stats[:, 0], self.momentum)
        variance.data.lerp_(of_batch.to(variance.dtype), self.momentum)
        batches.data.add_(1)

    def extra_repr(self) -> str:
        more = "" if self.negative_slope is None else f", negative_slope={self.negative_slope}"
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}{more}"
