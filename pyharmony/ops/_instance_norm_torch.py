"""`instance_norm` for tensors: gradients of any order, and operators for torch's compiler.

The gradient and its gradient are native passes, each after one that sums over planes. For higher orders
torch differentiates `composed`, which is the second gradient in torch's own operations.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .. import _arrays
from ._instance_norm import check, stats_shape
from ._native_torch import Calls, calls_for, check_device_dtype, dense, on_device, operator


def _like(g: Tensor, x: Tensor) -> Tensor:
    """Returns g in the memory format of x, which is dense."""
    g = _arrays.plain(g, "grad")
    planar = x.is_contiguous()
    return g.contiguous(memory_format=torch.contiguous_format if planar else torch.channels_last)


def _stats(x: Tensor) -> Tensor:
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.empty(stats_shape(x), dtype=real, device=x.device)


@dataclasses.dataclass(frozen=True)
class DropoutMask:
    """Dropout after the activation: multiplies by `gain` where `keep` [N, C, H, W], uint8 like x, is 1, else by 0."""

    keep: Tensor
    gain: float

    @classmethod
    def random(cls, x: Tensor, share: float) -> DropoutMask | None:
        """Draws which values of x are dropped, a share of 0 to 1; None for a share of 0."""
        if not share:
            return None
        keep = torch.empty_like(x, dtype=torch.uint8).bernoulli_(1 - share)
        return cls(keep, 1 / (1 - share) if share < 1 else 0.0)

    def factor(self, like: Tensor) -> Tensor:
        return self.keep.to(like.dtype) * self.gain


def options_of(calls: Calls, dropout_mask: DropoutMask | None) -> dict[str, Any]:
    return {} if dropout_mask is None else {"keep": calls.view(dropout_mask.keep), "gain": dropout_mask.gain}


def _call(calls: Calls, name: str, x: Tensor, dropout_mask: DropoutMask | None, *arguments: Any) -> None:
    view = calls.view(x)
    workspace = 0 if x.is_contiguous() else calls.size("instance_norm_workspace", view)
    calls.run(name, view, *arguments, workspace=workspace, **options_of(calls, dropout_mask))


def run(x: Tensor, slope: float, eps: float, dropout_mask: DropoutMask | None = None) -> tuple[Tensor, Tensor]:
    """Returns y, and the statistics of planes for the gradients."""
    x = dense(x.detach())
    on, y, stats = calls_for(x, "instance_norm"), torch.empty_like(x), _stats(x)
    _call(on, "instance_norm", x, dropout_mask, eps, slope, on.view(y, writable=True), on.view(stats, writable=True))
    return y, stats


def run_gradient(
    x: Tensor, stats: Tensor, grad: Tensor, slope: float, dropout_mask: DropoutMask | None = None
) -> Tensor:
    """Returns dx for grad = dy."""
    x = dense(x.detach())
    grad = _like(grad.detach(), x)
    on, dx = calls_for(x, "instance_norm"), torch.empty_like(x)
    _call(
        on, "instance_norm_gradient", x, dropout_mask, on.view(stats), on.view(grad), slope, on.view(dx, writable=True)
    )
    return dx


def run_second_gradient(
    x: Tensor, stats: Tensor, grad: Tensor, pull: Tensor, slope: float, dropout_mask: DropoutMask | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the cotangents of grad and of x for the cotangent `pull` of dx."""
    x = dense(x.detach())
    grad, pull = _like(grad.detach(), x), _like(pull.detach(), x)
    on, dgrad, dx = calls_for(x, "instance_norm"), torch.empty_like(x), torch.empty_like(x)
    _call(
        on, "instance_norm_second_gradient", x, dropout_mask, on.view(stats), on.view(grad), on.view(pull), slope,
        on.view(dgrad, writable=True), on.view(dx, writable=True),
    )  # fmt: skip
    return dgrad, dx


def composed(
    x: Tensor, grad: Tensor, pull: Tensor, slope: float, eps: float, dropout_mask: DropoutMask | None = None
) -> tuple[Tensor, Tensor]:
    """Computes `run_second_gradient` in torch's own operations, for its derivatives."""

    def mean(v: Tensor) -> Tensor:
        return v.mean((2, 3), keepdim=True)

    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    centred = x.to(real) - mean(x.to(real))
    r = (mean(centred.square()) + eps).rsqrt()
    h = centred * r
    act = torch.where(h > 0, torch.ones_like(h), slope)
    if dropout_mask is not None:
        act = act * dropout_mask.factor(act)
    g, u = act * grad.to(real), pull.to(real)
    g, u = g - mean(g), u - mean(u)
    d, b = mean(u * h), mean(g * h)
    dgrad = act * r * (u - h * d)
    dx = -r.square() * (h * (mean(u * g) - 3 * b * d) + b * u + d * g)
    return dgrad.to(grad.dtype), dx.to(x.dtype)


# ---- functions of autograd ------------------------------------------------------------------------------------------


class InstanceNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, eps: float, dropout_mask: DropoutMask | None) -> Tensor:
        y, stats = run(x, slope, eps, dropout_mask)
        ctx.save_for_backward(x, stats)
        ctx.slope, ctx.eps, ctx.dropout_mask = slope, eps, dropout_mask
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, stats = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _apply_gradient(x, stats, grad, ctx.slope, ctx.eps, ctx.dropout_mask), None, None, None
        return run_gradient(x, stats, grad, ctx.slope, ctx.dropout_mask), None, None, None


class Gradient(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, stats: Tensor, grad: Tensor, slope: float, eps: float, dropout_mask: DropoutMask | None
    ) -> Tensor:
        ctx.save_for_backward(x, stats, grad)
        ctx.slope, ctx.eps, ctx.dropout_mask = slope, eps, dropout_mask
        return run_gradient(x, stats, grad, slope, dropout_mask)

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> tuple[Any, ...]:
        x, stats, grad = ctx.saved_tensors
        if torch.is_grad_enabled():
            dgrad, dx = composed(x, grad, pull, ctx.slope, ctx.eps, ctx.dropout_mask)
        else:
            dgrad, dx = run_second_gradient(x, stats, grad, pull, ctx.slope, ctx.dropout_mask)
        return dx, None, dgrad, None, None, None


# torch has no types for apply.
_apply: Any = InstanceNorm.apply
_apply_gradient: Any = Gradient.apply


# ---- operators of torch.library -------------------------------------------------------------------------------------


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, ctx.slope, _ = inputs
    ctx.save_for_backward(x, output[1])


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    return _gradient_operator(*ctx.saved_tensors, grad, ctx.slope), None, None


def _keep_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _backward_gradient(ctx: Any, pull: Tensor) -> tuple[Any, ...]:
    x, stats, grad = ctx.saved_tensors
    dgrad, dx = _second_operator(x, stats, grad, pull, ctx.slope)
    return dx, None, dgrad, None


_operator = operator(
    "instance_norm",
    "(Tensor x, float slope, float eps) -> (Tensor, Tensor)",
    lambda x, slope, eps: run(x, slope, eps),
    lambda x, *_: (torch.empty_like(dense(x)), _stats(x)),
    _backward,
    _keep,
)
_gradient_operator = operator(
    "instance_norm_gradient",
    "(Tensor x, Tensor stats, Tensor grad, float slope) -> Tensor",
    run_gradient,
    lambda x, *_: torch.empty_like(dense(x)),
    _backward_gradient,
    _keep_gradient,
)
_second_operator = operator(
    "instance_norm_second_gradient",
    "(Tensor x, Tensor stats, Tensor grad, Tensor pull, float slope) -> (Tensor, Tensor)",
    run_second_gradient,
    lambda x, *_: (torch.empty_like(dense(x)), torch.empty_like(dense(x))),
)


# ---- the call -------------------------------------------------------------------------------------------------------


def instance_norm(x: Tensor, slope: float, eps: float, drop: float = 0.0) -> Tensor:
    """Computes `pyharmony.ops.instance_norm` for a tensor; slope 1 is no activation, drop the dropout probability."""
    check(x)
    _arrays.check_dense(x, "x")
    _arrays.check_device(x, "x")
    if on_device(x):
        check_device_dtype(x, "x")
    if torch.compiler.is_compiling():
        y: Tensor = _operator(x, slope, eps)[0]
        return torch.nn.functional.dropout(y, drop) if drop else y
    return _apply(x, slope, eps, DropoutMask.random(dense(x), drop))
