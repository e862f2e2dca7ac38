"""`instance_norm` of tensors: gradients of any order, and operators for torch's compiler.

The gradient and its gradient are native passes, each after one that sums over planes. Beyond the second order what
torch differentiates is `composed`, the second gradient as its own operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .. import _arrays, _cuda
from .._native import native
from ..errors import DTypeError
from .instance_norm import check, stats_shape

#: What kernels of a GPU take.
DEVICE_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Processor:
    """Where the native calls of a tensor run."""

    module: Any = native

    def view(self, x: Tensor, *, writable: bool = False) -> Any:
        return _arrays.tensor_view(x, writable=writable, module=self.module)

    def call(self, name: str, x: Tensor, *arguments: Any) -> None:
        getattr(self.module, name)(self.view(x), *arguments)


class Device(Processor):
    """The same on a CUDA device, with kernels on the current stream; nothing waits for it."""

    def __init__(self, module: Any, index: int, stream: int) -> None:
        self.module, self.index, self.stream = module, index, stream

    def call(self, name: str, x: Tensor, *arguments: Any) -> None:
        given = self.view(x)
        nbytes = 0 if x.is_contiguous() else self.module.instance_norm_workspace(given)
        memory = x.new_empty(max(nbytes, 1), dtype=torch.uint8)
        workspace = self.view(memory, writable=True)
        with _cuda.failures("instance_norm"):
            getattr(self.module, name)(given, *arguments, workspace=workspace, device=self.index, stream=self.stream)


_processor = Processor()


def _target(x: Tensor) -> Processor:
    if x.device.type == "cpu":
        return _processor
    return Device(_cuda._module(), x.device.index, torch.cuda.current_stream(x.device).cuda_stream)


def _dense(x: Tensor) -> Tensor:
    """x itself where it is planar or channels-last without gaps and in memory, else a copy."""
    x = _arrays.plain(x, "x")
    if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous(memory_format=torch.channels_last if x.stride(1) == 1 else torch.contiguous_format)


def _like(g: Tensor, x: Tensor) -> Tensor:
    """g in the memory format of x, which is dense."""
    g = _arrays.plain(g, "grad")
    planar = x.is_contiguous()
    return g.contiguous(memory_format=torch.contiguous_format if planar else torch.channels_last)


def _stats(x: Tensor) -> Tensor:
    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.empty(stats_shape(x), dtype=real, device=x.device)


def run(x: Tensor, slope: float, eps: float) -> tuple[Tensor, Tensor]:
    """y, and what the gradients need of the planes."""
    x = _dense(x.detach())
    on, y, stats = _target(x), torch.empty_like(x), _stats(x)
    on.call("instance_norm", x, eps, slope, on.view(y, writable=True), on.view(stats, writable=True))
    return y, stats


def run_gradient(x: Tensor, stats: Tensor, grad: Tensor, slope: float) -> Tensor:
    """dx of grad = dy."""
    x = _dense(x.detach())
    grad = _like(grad.detach(), x)
    on, dx = _target(x), torch.empty_like(x)
    on.call("instance_norm_gradient", x, on.view(stats), on.view(grad), slope, on.view(dx, writable=True))
    return dx


def run_second_gradient(x: Tensor, stats: Tensor, grad: Tensor, pull: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    """For the cotangent `pull` of dx: those of grad and of x."""
    x = _dense(x.detach())
    grad, pull = _like(grad.detach(), x), _like(pull.detach(), x)
    on, dgrad, dx = _target(x), torch.empty_like(x), torch.empty_like(x)
    on.call(
        "instance_norm_second_gradient", x, on.view(stats), on.view(grad), on.view(pull), slope,
        on.view(dgrad, writable=True), on.view(dx, writable=True),
    )  # fmt: skip
    return dgrad, dx


def composed(x: Tensor, grad: Tensor, pull: Tensor, slope: float, eps: float) -> tuple[Tensor, Tensor]:
    """`run_second_gradient` of torch's own operations, for derivatives of it."""

    def mean(v: Tensor) -> Tensor:
        return v.mean((2, 3), keepdim=True)

    real = torch.float64 if x.dtype == torch.float64 else torch.float32
    centred = x.to(real) - mean(x.to(real))
    r = (mean(centred.square()) + eps).rsqrt()
    h = centred * r
    act = torch.where(h > 0, torch.ones_like(h), slope)
    g, u = act * grad.to(real), pull.to(real)
    g, u = g - mean(g), u - mean(u)
    d, b = mean(u * h), mean(g * h)
    dgrad = act * r * (u - h * d)
    dx = -r.square() * (h * (mean(u * g) - 3 * b * d) + b * u + d * g)
    return dgrad.to(grad.dtype), dx.to(x.dtype)


# ---- functions of autograd ------------------------------------------------------------------------------------------


class InstanceNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, eps: float) -> Tensor:
        y, stats = run(x, slope, eps)
        ctx.save_for_backward(x, stats)
        ctx.slope, ctx.eps = slope, eps
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, stats = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _apply_gradient(x, stats, grad, ctx.slope, ctx.eps), None, None
        return run_gradient(x, stats, grad, ctx.slope), None, None


class Gradient(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stats: Tensor, grad: Tensor, slope: float, eps: float) -> Tensor:
        ctx.save_for_backward(x, stats, grad)
        ctx.slope, ctx.eps = slope, eps
        return run_gradient(x, stats, grad, slope)

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> tuple[Any, ...]:
        x, stats, grad = ctx.saved_tensors
        if torch.is_grad_enabled():
            dgrad, dx = composed(x, grad, pull, ctx.slope, ctx.eps)
        else:
            dgrad, dx = run_second_gradient(x, stats, grad, pull, ctx.slope)
        return dx, None, dgrad, None, None


# torch has no types for them.
_apply: Any = InstanceNorm.apply
_apply_gradient: Any = Gradient.apply


# ---- operators of torch.library -------------------------------------------------------------------------------------

_operator = torch.library.custom_op(
    "pyharmony::instance_norm",
    run,
    mutates_args=(),
    schema="(Tensor x, float slope, float eps) -> (Tensor, Tensor)",
)
_gradient_operator = torch.library.custom_op(
    "pyharmony::instance_norm_gradient",
    run_gradient,
    mutates_args=(),
    schema="(Tensor x, Tensor stats, Tensor grad, float slope) -> Tensor",
)
_second_operator = torch.library.custom_op(
    "pyharmony::instance_norm_second_gradient",
    run_second_gradient,
    mutates_args=(),
    schema="(Tensor x, Tensor stats, Tensor grad, Tensor pull, float slope) -> (Tensor, Tensor)",
)


@_operator.register_fake
def _(x: Tensor, slope: float, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(_dense(x)), _stats(x)


@_gradient_operator.register_fake
def _(x: Tensor, stats: Tensor, grad: Tensor, slope: float) -> Tensor:
    return torch.empty_like(_dense(x))


@_second_operator.register_fake
def _(x: Tensor, stats: Tensor, grad: Tensor, pull: Tensor, slope: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(_dense(x)), torch.empty_like(_dense(x))


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


_operator.register_autograd(_backward, setup_context=_keep)
_gradient_operator.register_autograd(_backward_gradient, setup_context=_keep_gradient)


# ---- the call -------------------------------------------------------------------------------------------------------


def instance_norm(x: Tensor, slope: float, eps: float) -> Tensor:
    """`pyharmony.ops.instance_norm` of a tensor; slope 1 is no activation."""
    check(x)
    if x.layout != torch.strided:
        raise DTypeError(f"x: a tensor of layout {x.layout}, expected a dense one; use x.to_dense()")
    if x.device.type not in ("cpu", "cuda"):
        raise DTypeError(f"x: a tensor on {x.device}, expected one on the CPU or a CUDA device")
    if x.is_cuda and x.dtype not in DEVICE_DTYPES:
        raise DTypeError(f"x: {x.dtype} is not supported on a GPU, use float32, bfloat16 or float16")
    if torch.compiler.is_compiling():
        return _operator(x, slope, eps)[0]
    return _apply(x, slope, eps)
