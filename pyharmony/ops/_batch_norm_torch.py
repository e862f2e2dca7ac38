"""Batch norm in training with activation and dropout in one pass, for channels-last tensors. Not public.

Uses the kernels of `instance_norm`, with all positions of the batch as one plane; see
`csrc/ops/instance_norm/instance_norm.h`. Second derivatives are computed by torch's own operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from ._instance_norm_torch import DropoutMask, options_of
from ._native_torch import calls_for


def _real(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def run(
    x: Tensor, scale: Tensor, shift: Tensor, slope: float, eps: float, dropout_mask: DropoutMask | None
) -> tuple[Tensor, Tensor]:
    """Returns y, and per channel the mean, its rounding error, and 1 / sqrt(variance + eps), [1, C, 3]."""
    on = calls_for(x, "batch_norm")
    y, stats = torch.empty_like(x), torch.empty(1, x.shape[1], 3, dtype=_real(x), device=x.device)
    view = on.view(x)
    on.run(
        "batch_norm", view, on.view(scale), on.view(shift), eps, slope, on.view(y, writable=True),
        on.view(stats, writable=True), workspace=on.size("batch_norm_workspace", view), **options_of(on, dropout_mask),
    )  # fmt: skip
    return y, stats


def run_gradient(
    x: Tensor, stats: Tensor, scale: Tensor, shift: Tensor, grad: Tensor, slope: float, dropout_mask: DropoutMask | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of x, scale and shift for the gradient of y."""
    grad = grad.contiguous(memory_format=torch.channels_last)
    dx, dscale, dshift = torch.empty_like(x), torch.empty_like(scale), torch.empty_like(shift)
    on = calls_for(x, "batch_norm")
    view = on.view(x)
    on.run(
        "batch_norm_gradient", view, on.view(stats), on.view(scale), on.view(shift), on.view(grad), slope,
        on.view(dx, writable=True), on.view(dscale, writable=True), on.view(dshift, writable=True),
        workspace=on.size("batch_norm_workspace", view), **options_of(on, dropout_mask),
    )  # fmt: skip
    return dx, dscale, dshift


def composed_gradient(
    x: Tensor, scale: Tensor, shift: Tensor, grad: Tensor, slope: float, eps: float, dropout_mask: DropoutMask | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes `run_gradient` by torch's own operations, so that it can be differentiated."""
    real = _real(x)

    def mean(v: Tensor) -> Tensor:
        return v.mean((0, 2, 3), keepdim=True)

    def of_channels(v: Tensor) -> Tensor:
        return v.to(real)[:, None, None]

    centred = x.to(real) - mean(x.to(real))
    r = (mean(centred.square()) + eps).rsqrt()
    h = centred * r
    active = of_channels(scale) * h + of_channels(shift) > 0
    act = torch.where(active, torch.ones_like(h), slope)
    g = (act if dropout_mask is None else act * dropout_mask.factor(act)) * grad.to(real)
    dx = of_channels(scale) * r * (g - mean(g) - h * mean(g * h))
    return dx.to(x.dtype), (g * h).sum((0, 2, 3)).to(scale.dtype), g.sum((0, 2, 3)).to(shift.dtype)


class BatchNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, slope: float, eps: float, drop: float
    ) -> tuple[Tensor, Tensor]:
        dropout_mask = DropoutMask.random(x, drop)
        y, stats = run(x.detach(), scale.detach(), shift.detach(), slope, eps, dropout_mask)
        ctx.save_for_backward(x, scale, shift, stats)
        ctx.slope, ctx.eps, ctx.dropout_mask = slope, eps, dropout_mask
        ctx.mark_non_differentiable(stats)
        return y, stats

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
        x, scale, shift, stats = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*composed_gradient(x, scale, shift, grad, ctx.slope, ctx.eps, ctx.dropout_mask), None, None, None)
        return (*run_gradient(x, stats, scale, shift, grad, ctx.slope, ctx.dropout_mask), None, None, None)


# torch has no types for apply.
apply_batch_norm: Any = BatchNorm.apply
