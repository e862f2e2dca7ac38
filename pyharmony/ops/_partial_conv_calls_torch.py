"""Layers of partial convolution on a CUDA device that were called before with tensors of the same forms.

What a call costs on the host is checks of arguments and descriptions of tensors for native code, not kernels. Both
depend on the forms of the tensors and not on their addresses, so they are made once and kept for the next call.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _cuda
from ._native_torch import DeviceCalls, Formats, Shapes, dense, where_of

#: The largest number of forms that are kept; a network has one for each layer, size and dtype.
_MAX_FORMS = 512


class Memory:
    """Values by the form of a call, of which the oldest are dropped."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def get(self, form: Any) -> Any:
        """Returns the value of a form; None if there is none, or if a form has parts without a hash."""
        try:
            return self._values.get(form)
        except TypeError:
            return None

    def put(self, form: Any, value: Any) -> None:
        try:
            self._values[form] = value
        except TypeError:
            return
        if len(self._values) > _MAX_FORMS:
            for old in list(itertools.islice(self._values, _MAX_FORMS // 4)):
                self._values.pop(old, None)


class LayerCalls:
    """The description of a layer for native code, whose convolution is the library's.

    Args:
        last: the memory format of the result.
    """

    def __init__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, factor: Tensor | None, layer: Any,
        last: torch.memory_format,
    ) -> None:  # fmt: skip
        plan, calls = layer.plan, DeviceCalls(x, "partial_conv2d")
        self.module = calls.module
        self.last, self.conv = last, (*layer.conv, layer.groups)
        shape = (x.shape[0], weight.shape[0], *plan._shape[2:])
        y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=last)
        self.native = calls.module.PartialConvCalls(calls.view(x), calls.view(y), calls.view(bias), calls.view(factor))

    def run(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, plan: Any, value: float, factor: Tensor | None,
        slope: float, where: tuple[int, int],
    ) -> Tensor:  # fmt: skip
        """Computes the layer on a device and stream."""
        native = self.native
        if plan.mask_view is not None:
            masked = torch.empty_like(x)
            native.premask(plan.mask_view, x.data_ptr(), masked.data_ptr(), *where)
            x = masked
        inside = plan.plain and factor is None and value == 1
        y = F.conv2d(x, weight, bias if inside else None, *self.conv).contiguous(memory_format=self.last)
        if inside:
            return y if slope == 1 else F.leaky_relu_(y, slope)
        offset = 0 if bias is None else bias.data_ptr()
        scale = 0 if factor is None else factor.data_ptr()
        native.epilogue(*plan.map_views, y.data_ptr(), offset, value, scale, slope, *where)
        return y


_described = Memory()


def run_described(
    x: Tensor, weight: Tensor, bias: Tensor | None, layer: Any, value: float, factor: Tensor | None, slope: float,
    last: torch.memory_format,
) -> Tensor:  # fmt: skip
    """Computes a layer of tensors whose values are in memory, the bias without gaps."""
    plan = layer.plan
    form = (
        x.shape, x.stride(), x.dtype, x.device, weight.shape, weight.stride(), bias is None,
        None if factor is None else factor.dtype, last, layer.groups, plan.form, id(_cuda.kernels()),
    )  # fmt: skip
    calls: LayerCalls | None = _described.get(form)
    if calls is None:
        if (copy := dense(x)) is not x:
            return run_described(copy, weight, bias, layer, value, factor, slope, last)
        calls = LayerCalls(x, weight, bias, factor, layer, last)
        _described.put(form, calls)
    result: Tensor = _run(calls, x, weight, bias, plan, value, factor, slope, where_of(x))
    return result


def _run(calls: Any, *arguments: Any) -> Any:
    """Runs described calls; failures of the device become errors that name the op."""
    module = calls.module
    try:
        return calls.run(*arguments)
    except (module.DeviceFailure, module.DeviceMemoryFailure):
        with _cuda.failures("partial_conv2d"):
            raise


class GradientCalls:
    """The description of the gradients of a layer for native code."""

    def __init__(
        self, grad: Tensor, x: Tensor | None, layer: Any, shapes: Shapes, last: Formats, factor: Tensor | None,
        x_factor: Tensor | None, for_bias: bool,
    ) -> None:  # fmt: skip
        calls = DeviceCalls(grad, "partial_conv2d")
        self.module, self.shapes, self.last = calls.module, shapes, last
        self.conv: Any = (*layer.conv, False, [0, 0], layer.groups)
        self.device, self.dtype, self.channels = grad.device, grad.dtype, grad.shape[1]
        dx = self.like(0)
        bias_grad = torch.empty(self.channels, dtype=self.dtype, device=self.device) if for_bias else None
        self.native = calls.module.PartialConvCalls(
            calls.view(x), calls.view(grad), calls.view(bias_grad), calls.view(factor), calls.view(dx),
            calls.view(x_factor),
        )  # fmt: skip
        self.workspace = max(self.native.workspace, 1)

    def like(self, i: int) -> Tensor:
        """Returns uninitialised memory in the form of x or of the weight."""
        return torch.empty(self.shapes[i], dtype=self.dtype, device=self.device, memory_format=self.last[i])

    def run(
        self, grad: Tensor, y: Tensor | None, x: Tensor | None, weight: Tensor | None, plan: Any, value: float,
        factor: Tensor | None, slope: float, for_bias: bool, x_value: float, x_factor: Tensor | None, rows: Any,
        where: tuple[int, int],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
        """Computes the gradients of x (if weight is given), of weight (if x is given), and of bias."""
        native, offset = self.native, None
        if plan.plain and factor is None and value == 1 and slope == 1:
            h = grad
            offset = grad.sum((0, 2, 3)) if for_bias else None
        else:
            h = torch.empty_like(grad)
            address = scratch = 0
            if for_bias:
                offset = torch.empty(self.channels, dtype=self.dtype, device=self.device)
                memory = torch.empty(self.workspace, dtype=torch.uint8, device=self.device)
                address, scratch = offset.data_ptr(), memory.data_ptr()
            native.epilogue_grad(
                *plan.map_views, grad.data_ptr(),
                0 if y is None else y.data_ptr(), value, 0 if factor is None else factor.data_ptr(), slope,
                h.data_ptr(), address, scratch, *where,
            )  # fmt: skip
        if x is None and weight is None:
            return None, None, offset
        if rows is not None:
            return (*rows(h, x, weight), offset)
        needs, inputs = [weight is not None, x is not None, False], x
        if x is None:
            inputs = self.like(0)
        elif plan.mask_view is not None:
            inputs = torch.empty_like(x)
            native.premask(plan.mask_view, x.data_ptr(), inputs.data_ptr(), *where)
        dx, dw, _ = _convolution_backward(
            h, inputs, self.like(1) if weight is None else weight, None, *self.conv, needs
        )
        if dx is not None:
            dx = dx.contiguous(memory_format=self.last[0])
            if plan.mask_view is not None or x_factor is not None or x_value != 1:
                scale = 0 if x_factor is None else x_factor.data_ptr()
                native.mask_gradient(plan.mask_view, dx.data_ptr(), x_value, scale, *where)
        return dx, dw, offset


_convolution_backward = torch.ops.aten.convolution_backward.default
_gradients = Memory()


def run_described_backward(
    grad: Tensor, y: Tensor | None, x: Tensor | None, weight: Tensor | None, layer: Any, shapes: Shapes, last: Formats,
    value: float, factor: Tensor | None, slope: float, for_bias: bool, x_value: float, x_factor: Tensor | None,
    rows: Any,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """Computes a layer's gradients from tensors with memory.

    Args:
        grad, x: without gaps; y, which is missing where the slope is 1, has the strides of grad.
        x_value, x_factor: a number and a tensor by which the gradient of x is multiplied.
        rows: a function of (h, x, weight) that returns the gradients of x and weight for the product's gradient h,
            instead of the library; or None.
    """
    plan = layer.plan
    form = (
        grad.shape, grad.stride(), grad.dtype, grad.device, None if x is None else (x.stride(), x.dtype),
        shapes, last, None if factor is None else factor.dtype, None if x_factor is None else x_factor.dtype, for_bias,
        layer.groups, plan.form, id(_cuda.kernels()),
    )  # fmt: skip
    calls: GradientCalls | None = _gradients.get(form)
    if calls is None:
        calls = GradientCalls(grad, x, layer, shapes, last, factor, x_factor, for_bias)
        _gradients.put(form, calls)
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None] = _run(
        calls, grad, y, x, weight, plan, value, factor, slope, for_bias, x_value, x_factor, rows, where_of(grad)
    )
    return gradients


def form_of_plan(plan: Any) -> int:
    """Returns a number for all plans that differ in their values alone."""
    facts = (
        plan.window, plan._mask.shape, plan._mask.stride(), plan._mask.dtype, plan._shape, plan.groups, plan.channels,
        plan.soft, plan.full, plan._dtype, plan.device,
    )  # fmt: skip
    if len(_plans) > _MAX_FORMS:  # a number is never given again, so those of older plans stay right
        _plans.clear()
    return _plans.setdefault(facts, next(_numbers))


_plans: dict[Any, int] = {}
_numbers = itertools.count()
