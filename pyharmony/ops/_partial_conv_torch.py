"""Partial convolution of torch tensors: three linear maps that are each other's gradients, and the layer around them.

With mask m and ratio r constant, `pyharmony.reference.partial_conv` has

    conv(x, W)         = r conv(m x, W)            x: input_grad(v, W),   W: weight_grad(x, v)
    input_grad(g, W)   = m conv^T(r g, W)          g: conv(v, W),         W: weight_grad(v, g)
    weight_grad(x, g)  = windows of m x by r g     x: input_grad(g, V),   g: conv(x, V)

with each map its gradients, v and V being the incoming ones. The three maps are closed under differentiation, so that
derivatives of any order follow. The layer y = act(scale conv(x, W) + b c) is one pass forward and one backward; if its
gradient is to be differentiated again, it is composed of the maps. Eager calls are functions of autograd, which share
one plan; under torch's compiler they are operators of torch.library, which plan again from the mask.

Only `run_layer`, `run_gradients` and `run_backward` distinguish tensors on the CPU and on a device.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd import forward_ad as _forward_ad

from .. import _arrays
from .._native import native
from ..errors import DTypeError, ShapeError
from . import _partial_conv as op
from . import _partial_conv_cpu as cpu
from . import _partial_conv_cuda_torch as device
from ._native_torch import ON_CPU, Formats, Shapes, check_device_dtype, dense, on_device, operator
from ._partial_conv import LayerPlan, Window

_ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")

#: Above this share of active windows a convolution is faster; with few channels it is cheap, gathering rows is not.
_MAX_ACTIVE_SHARE = 0.8
_MAX_SHARE_OF_FEW_CHANNELS = 0.4
_FEW_CHANNELS = 16

#: With so few rows the weights dominate a convolution's time, and rows are faster whatever their share.
_FEW_ROWS = 512

#: The largest number of bytes of gathered rows; a convolution that would need more runs densely.
_COLUMN_BYTES = 256 << 20

#: Gathered rows with no more bytes than this, or than x, are saved for the gradient of the weight.
_KEPT_BYTES = 1 << 20


@dataclass(frozen=True)
class Layer:
    """A plan, and the number of groups of the convolution."""

    plan: LayerPlan
    groups: int

    def by_rows(self, images: int, weight: Tensor) -> bool:
        """Returns whether to gather the active windows, if measured to be faster; see docs/partial_conv.md."""
        if self.groups > 1 or self.plan.method == "dense":
            return False
        rows = len(self.plan._rows) * (images // self.plan._ratio.shape[0])
        most = (
            _MAX_ACTIVE_SHARE
            if weight.shape[1] >= _FEW_CHANNELS
            else min(_MAX_ACTIVE_SHARE, _MAX_SHARE_OF_FEW_CHANNELS)
        )
        few = self.plan.method == "rows" or self.plan.share <= most or rows <= _FEW_ROWS
        return few and rows * (weight.numel() // weight.shape[0]) * weight.element_size() <= _COLUMN_BYTES

    @property
    def conv(self) -> tuple[list[int], list[int], list[int]]:
        """Stride, padding and dilation, as torch expects them."""
        window = self.plan.window
        return list(window.stride), list(window.padding), list(window.dilation)


# ---- on the CPU -----------------------------------------------------------------------------------------------------


def _real(x: Tensor) -> str:
    return "float64" if x.dtype == torch.float64 else "float32"


def _real_type(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _product_type(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype == torch.float16 else x.dtype


_view = ON_CPU.view


def _is_last(x: Tensor) -> bool:
    """Returns whether the channels of a pixel are adjacent in memory."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _format(*tensors: Tensor) -> torch.memory_format:
    """Returns the memory format of a convolution's result."""
    return torch.channels_last if any(_is_last(x) for x in tensors) else torch.contiguous_format


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Returns a [M, K] times the transpose of b [N, K], both with any strides."""
    if _ONEDNN and a.dtype == torch.float32 and a.shape[0] > 0 and a.shape[1] > 0 and a.is_contiguous():
        # The compiler uses this call for a linear layer: torch.mm calls a BLAS that is half as fast on some CPUs.
        # It would copy a transposed a.
        return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return a @ b.t()


def _channels_first(weight: Tensor, rows: int) -> bool:
    """Returns whether columns have the memory order of a weight [O, C, kh, kw], else that of [O, kh, kw, C].

    The second order is faster to gather; with few rows that gains less than permuting the weight costs.
    """
    return weight.is_contiguous() and rows < weight.shape[0]


def _matrix(weight: Tensor, first: bool) -> Tensor:
    """Returns the weight as [O, K], in the order of the columns."""
    w = weight if first else weight.permute(0, 2, 3, 1)
    return w.to(_product_type(weight)).reshape(weight.shape[0], -1)


def _masked(x: Tensor, plan: LayerPlan) -> Tensor:
    """Returns m x; x itself if the mask is one everywhere."""
    mask = plan.mask_in_type(_real(x))
    if mask is None:
        return x
    x = dense(x)
    return cpu.premask(x, mask, torch.empty_like(x))


def _columns(x: Tensor, plan: LayerPlan, first: bool) -> Tensor:
    """Returns the active windows of m x, [M, K]."""
    mask = plan.mask_in_type(_real(x))
    if mask is not None and mask.shape[1] > 1:
        x, mask = _masked(x, plan), None
    columns = torch.empty((len(plan._rows), plan.window.taps * x.shape[1]), dtype=_product_type(x))
    native.partial_conv_gather(
        _view(x), None if mask is None else plan.view_of("mask", _real(x)), plan.window.values,
        tuple(plan._ratio.shape[2:]), plan.where, _view(columns, writable=True), first,
    )  # fmt: skip
    return columns


def _parts(plan: LayerPlan, channels: int) -> list[tuple[int, slice]]:
    """Returns the groups of a plan, each with the channels that share its ratio."""
    each = channels // plan.groups
    return [(g, slice(g * each, (g + 1) * each)) for g in range(plan.groups)]


def _maps(plan: LayerPlan, x: Tensor, group: int = 0) -> tuple[Any, Any]:
    """Returns ratio and new mask of a group, for native code."""
    real = _real(x)
    return plan.view_of("ratio", real, group), plan.view_of("cover", real, group)


def run_layer(
    x: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, scale: Any, slope: float,
    cache: list[Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Computes y = act(scale conv(x, W) + bias c); scale is a number or a scalar tensor.

    Gathered rows that are small enough are stored in cache, for `run_backward`.
    """
    if layer.plan.on_device:
        return device.run_layer(x, weight, bias, layer, scale, slope, _format(x, weight))
    x, weight, scale = x.detach(), weight.detach(), float(scale)
    offset = None if bias is None else bias.detach().to(_real_type(x)).contiguous()
    if not layer.by_rows(x.shape[0], weight):
        return _run_dense(x, weight, offset, layer, scale, slope)
    plan = layer.plan.for_batch(x.shape[0])
    y = torch.empty(
        (x.shape[0], weight.shape[0], *plan._ratio.shape[2:]), dtype=x.dtype, memory_format=_format(x, weight)
    )
    first = _channels_first(weight, len(plan._rows))
    columns = _columns(x, plan, first)
    if cache is not None and columns.nbytes <= max(x.nbytes, _KEPT_BYTES):
        cache.append(columns)
    acc = _product(columns, _matrix(weight, first))
    native.partial_conv_epilogue(
        _view(acc), plan.where, *_maps(plan, x), _view(offset), scale, slope, _view(y, writable=True)
    )
    return y


def _run_dense(x: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, scale: float, slope: float) -> Tensor:
    plan, last = layer.plan, _format(x, weight)
    inside = plan.plain and scale == 1
    product = _product_type(x)
    y = F.conv2d(
        _masked(x, plan).to(product), weight.to(product), bias.to(product) if inside and bias is not None else None,
        *layer.conv, layer.groups,
    ).to(x.dtype).contiguous(memory_format=last)  # fmt: skip
    if inside:
        return y if slope == 1 else F.leaky_relu_(y, slope)
    batch = plan if plan.plain else plan.for_batch(x.shape[0])
    for group, channels in _parts(plan, weight.shape[0]):
        native.partial_conv_epilogue(
            None, (0, 0), *((None, None) if plan.plain else _maps(batch, x, group)),
            None if bias is None else _view(bias[channels]), scale, slope, _view(y[:, channels], writable=True),
        )  # fmt: skip
    return y


def run_backward(
    grad: Tensor,
    y: Tensor | None,
    x: Tensor | None,
    weight: Tensor | None,
    layer: Layer,
    shapes: Shapes,
    last: Formats,
    scale: float,
    slope: float,
    for_bias: bool,
    columns: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Returns the gradients of x (if weight is given), of weight (if x is given), and of bias.

    Args:
        y: the layer's result, if slope is not 1.
        shapes, last: the shapes and memory formats of x and weight.
        columns: the rows that `run_layer` saved.
    """
    if layer.plan.on_device:
        return device.run_backward(grad, y, x, weight, layer, shapes, last, scale, slope, for_bias)
    images = grad.shape[0]
    grad = dense(grad.detach()) if y is None else grad.detach().contiguous(memory_format=_format(y))
    offset = torch.empty(grad.shape[1], dtype=_real_type(grad)) if for_bias else None
    like = torch.empty(shapes[1], dtype=grad.dtype, device="meta", memory_format=last[1])
    plan = layer.plan
    if layer.by_rows(images, like):
        plan = plan.for_batch(images)
        h = torch.empty((len(plan._rows), grad.shape[1]), dtype=_product_type(grad))
        native.partial_conv_epilogue_grad(
            _view(grad), _view(y) if slope != 1 else None, plan.where, *_maps(plan, grad), scale,
            slope, _view(h, writable=True), _view(offset, writable=True),
        )  # fmt: skip
        dx = None if weight is None else _fold(h, weight.detach(), plan, shapes[0], last[0], grad.dtype)
        dw = None if x is None else _weight_grad(h, x.detach(), plan, like, columns)
        return dx, dw, offset
    if plan.plain and scale == 1 and slope == 1:
        h = grad
        offset = grad.sum((0, 2, 3), dtype=_real_type(grad)) if for_bias else None
    else:
        h = torch.empty_like(grad)
        batch = plan if plan.plain else plan.for_batch(images)
        for group, channels in _parts(plan, grad.shape[1]):
            native.partial_conv_epilogue_grad(
                _view(grad[:, channels]), _view(y[:, channels]) if y is not None and slope != 1 else None, None,
                *((None, None) if plan.plain else _maps(batch, grad, group)), scale, slope,
                _view(h[:, channels], writable=True),
                None if offset is None else _view(offset[channels], writable=True),
            )  # fmt: skip
    product = _product_type(grad)
    inputs = torch.empty(shapes[0], dtype=product, memory_format=last[0]) if x is None else _masked(x.detach(), plan)
    taps = torch.empty(shapes[1], dtype=product, memory_format=last[1]) if weight is None else weight.detach()
    dx, dw, _ = torch.ops.aten.convolution_backward(
        h.to(product), inputs.to(product), taps.to(product), None, *layer.conv, False, [0, 0], layer.groups,
        [weight is not None, x is not None, False],
    )  # fmt: skip
    mask = plan.mask_in_type(_real(grad))
    if dx is not None:
        dx = dx.to(grad.dtype).contiguous(memory_format=last[0])
        dx = dx if mask is None else cpu.premask(dx, mask, dx)
    return dx, None if dw is None else dw.to(grad.dtype), offset


def run_gradients(
    grad: Tensor,
    y: Tensor | None,
    x: Tensor,
    weight: Tensor,
    scale: Any,
    layer: Layer,
    slope: float,
    needs: Any,
    columns: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Returns the gradients of x, weight, bias and scale through `run_layer`, each None if it is not needed."""
    if layer.plan.on_device:
        last = _format(x, weight), _format(weight)
        return device.run_gradients(grad, y, x, weight, scale, layer, slope, needs, last)
    for_x, for_weight, for_bias, for_scale = needs
    # dW is scale times weight_grad. The gradient of scale is found by dividing by scale, so a scale of 0 is used as 1.
    factor = float(scale)
    divisor = 1.0 if for_scale and factor == 0 else factor
    dx, dw, db = run_backward(
        grad, y, x if for_weight or for_scale else None, weight if for_x else None, layer,
        (tuple(x.shape), tuple(weight.shape)), (_format(x), _format(weight)), divisor, slope, for_bias, columns,
    )  # fmt: skip
    ds = None
    if for_scale and dw is not None:
        ds = (torch.sum(dw * weight, dtype=_real_type(dw)) / divisor).to(scale.dtype).view_as(scale)
    if divisor != factor:
        dx, dw = None if dx is None else dx * factor, None if dw is None else dw * factor
    return dx, dw if for_weight else None, db, ds


def _fold(
    h: Tensor, weight: Tensor, plan: LayerPlan, shape: tuple[int, ...], last: torch.memory_format, dtype: torch.dtype
) -> Tensor:
    first = _channels_first(weight, len(plan._rows))
    columns = _product(h, _matrix(weight, first).t())
    dx = torch.empty(shape, dtype=dtype, memory_format=last)
    mask = plan.mask_in_type(_real(dx))
    planes = mask is not None and mask.shape[1] > 1
    native.partial_conv_fold(
        _view(columns), plan.index_address, plan.window.values, tuple(plan._ratio.shape[2:]),
        None if planes else plan.view_of("mask", _real(dx)), _view(dx, writable=True), first,
    )  # fmt: skip
    return cpu.premask(dx, mask, dx) if planes and mask is not None else dx


def _weight_grad(h: Tensor, x: Tensor, plan: LayerPlan, like: Tensor, columns: Tensor | None) -> Tensor:
    first = _channels_first(like, len(plan._rows))
    columns = _columns(x, plan, first) if columns is None else columns
    product = _product(h.t(), columns.t()).to(x.dtype)
    o, c, kh, kw = like.shape
    if first:
        return product.view(o, c, kh, kw)
    return product.view(o, kh, kw, c).permute(0, 3, 1, 2).contiguous(memory_format=_format(like))


def run_map(kind: str, a: Tensor, b: Tensor, shape: Any, layer: Layer) -> Tensor:
    """Computes one of the three maps by its name; shape is that of the result, None for 'conv'."""
    if kind == "conv":
        return run_layer(a, b, None, layer, 1.0, 1.0)
    last = _format_of_map(kind, a, b)
    if kind == "input_grad":
        shapes, forms = (tuple(shape), tuple(b.shape)), (last, _format(b))
        result = run_backward(a, None, None, b, layer, shapes, forms, 1.0, 1.0, False)[0]
    else:
        shapes, forms = (tuple(a.shape), tuple(shape)), (_format(a), last)
        result = run_backward(b, None, a, None, layer, shapes, forms, 1.0, 1.0, False)[1]
    assert result is not None  # noqa: S101  # its other operand is given
    return result.contiguous(memory_format=last)


def _format_of_map(kind: str, a: Tensor, b: Tensor) -> torch.memory_format:
    """Returns the memory format of a map's result."""
    return torch.contiguous_format if kind == "weight_grad" else _format(a, b)


# ---- functions of autograd ------------------------------------------------------------------------------------------


def _apply(function: Any, *inputs: Any) -> Any:
    return function.apply(*inputs)


def _needs(ctx: Any, *tensors: bool) -> list[bool]:
    """Returns ctx.needs_input_grad of the first inputs, but False if this run of the engine needs no gradient.

    In a gradient penalty, autograd.grad(scores, x) needs no gradient of weights, though a later call does.

    Args:
        tensors: which of these inputs are tensors.
    """
    edges = iter(ctx.next_functions)
    nodes = [next(edges)[0] if tensor else None for tensor in tensors]
    return [need and _runs(node) for need, node in zip(ctx.needs_input_grad, nodes)]


def _runs(node: Any) -> bool:
    if node is None:
        return False
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:
        # The node is a leaf whose gradient was requested from autograd.grad.
        return True


def gradients_of_map(maps: Any, kind: str, a: Tensor, b: Tensor, v: Tensor, needs: Any) -> list[Any]:
    """Returns the gradients of the two operands of a map for the incoming v, by the table above.

    Args:
        maps: maps(kind, a, b, shape) computes a map; shape is that of the result, None for 'conv'.
        needs: which of the two gradients are needed.
    """
    calls = {
        "conv": (("input_grad", v, b, a.shape), ("weight_grad", a, v, b.shape)),
        "input_grad": (("conv", v, b, None), ("weight_grad", v, a, b.shape)),
        "weight_grad": (("input_grad", b, v, a.shape), ("conv", a, v, None)),
    }[kind]
    return [maps(*call) if need else None for call, need in zip(calls, needs)]


class Map(Function):
    """One of the three maps, by its name, as a function of autograd."""

    @staticmethod
    def forward(ctx: Any, layer: Layer, kind: str, a: Tensor, b: Tensor, shape: Any) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.layer, ctx.kind = layer, kind
        return run_map(kind, a, b, shape, layer)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        a, b = ctx.saved_tensors
        needs = _needs(ctx, False, False, True, True)[2:]
        return None, None, *gradients_of_map(_maps_of(ctx.layer), ctx.kind, a, b, v, needs), None


def _maps_of(layer: Layer) -> Any:
    return functools.partial(_apply, Map, layer)


class PartialConv(Function):
    """The layer; scale is a number, or a scalar tensor."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: Any, layer: Layer, slope: float
    ) -> Tensor:
        cache: list[Tensor] | None = [] if weight.requires_grad else None
        y = run_layer(x, weight, bias, layer, scale, slope, cache)
        tensor = isinstance(scale, Tensor)
        ctx.save_for_backward(
            x, weight, y if slope != 1 else None, scale if tensor else None, cache[0] if cache else None
        )
        ctx.layer, ctx.slope, ctx.scale = layer, slope, None if tensor else scale
        ctx.bias = None if bias is None else bias.dtype
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, weight, y, scale, columns = ctx.saved_tensors
        needs = _needs(ctx, True, True, ctx.bias is not None, scale is not None)
        scale = ctx.scale if scale is None else scale
        if torch.is_grad_enabled():
            new_mask = ctx.layer.plan.new_mask_tensor(grad.dtype, weight.shape[0]) if needs[2] else None
            maps = _maps_of(ctx.layer)
            return *backward_of(grad, y, x, weight, scale, ctx.slope, new_mask, maps, needs), None, None
        grads = run_gradients(grad, y, x, weight, scale, ctx.layer, ctx.slope, needs, columns)
        return *grads[:2], None if grads[2] is None else grads[2].to(ctx.bias), grads[3], None, None


def backward_of(
    grad: Tensor, y: Tensor | None, x: Tensor, weight: Tensor, scale: Any, slope: float, new_mask: Tensor | None,
    maps: Any, needs: Any,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Returns the gradients of x, weight, bias and scale, composed of maps that can be differentiated again."""
    g = grad if y is None else torch.ops.aten.leaky_relu_backward(grad, y.detach(), slope, True)
    dx = maps("input_grad", g, weight, x.shape) if needs[0] else None
    dw = maps("weight_grad", x, g, weight.shape) if needs[1] or needs[3] else None
    db = None if new_mask is None or not needs[2] else (g * new_mask).sum((0, 2, 3))
    ds = (dw * weight).sum().to(scale.dtype).view_as(scale) if needs[3] and dw is not None else None
    if isinstance(scale, Tensor) or scale != 1:
        dx, dw = None if dx is None else dx * scale, None if dw is None else dw * scale
    return dx, dw if needs[1] else None, db, ds


# ---- operators of torch.library -------------------------------------------------------------------------------------


def _planner(x: Tensor) -> Any:
    """Returns the module that plans for the CPU or the device of x."""
    return device if on_device(x) else cpu


def plan_layers(mask: Tensor, chain: tuple[tuple[Window, int], ...], soft: bool) -> tuple[LayerPlan, ...]:
    """Returns the plans of a chain of layers from the mask of the first, on the mask's device."""
    plans: tuple[LayerPlan, ...] = _planner(mask).plan_layers(mask, chain, soft)
    return plans


def _layer_of(mask: Tensor, window: list[int], groups: int, soft: bool) -> Layer:
    return Layer(plan_layers(mask, ((_window(window), groups),), soft)[0], groups)


def _window(values: list[int]) -> Window:
    a, b, c, d, e, f, g, h = values
    return Window((a, b), (c, d), (e, f), (g, h))


def _run(
    x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None, mask: Tensor, window: list[int], groups: int,
    soft: bool, factor: float, slope: float,
) -> Tensor:  # fmt: skip
    return run_layer(x, weight, bias, _layer_of(mask, window, groups, soft), factor if scale is None else scale, slope)


def _run_mask(mask: Tensor, window: list[int], groups: int, soft: bool) -> Tensor:
    return _layer_of(mask, window, groups, soft).plan.new_mask_tensor(mask.dtype).clone()


def _fake_layer(x: Tensor, weight: Tensor, bias: Any, scale: Any, mask: Tensor, window: list[int], *_: Any) -> Tensor:
    size = _window(window).out_size(x.shape[2], x.shape[3])
    return torch.empty(
        (x.shape[0], weight.shape[0], *size), dtype=x.dtype, device=x.device, memory_format=_format(x, weight)
    )


def _fake_mask(mask: Tensor, window: list[int], groups: int, soft: bool) -> Tensor:
    size = _window(window).out_size(mask.shape[2], mask.shape[3])
    return mask.new_empty((mask.shape[0], 1 if mask.shape[1] == 1 else groups, *size))


def _map_in_graph(mask: Tensor, layer: list[Any], kind: str, a: Tensor, b: Tensor, shape: Any) -> Any:
    """Computes a map as an operator, which plans again from the mask."""
    if kind == "conv":
        return _layer(a, b, None, None, mask, *layer, 1.0, 1.0)
    return _GRADIENTS[kind](a, b, mask, *layer, list(shape))


def _keep_layer(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, scale, mask, *ctx.layer, ctx.factor, ctx.slope = inputs
    ctx.save_for_backward(x, weight, scale, mask, output if ctx.slope != 1 else None)


def _layer_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, weight, scale, mask, y = ctx.saved_tensors
    needs = ctx.needs_input_grad[:4]
    new_mask = None
    if needs[2]:
        new_mask = _new_mask(mask, *ctx.layer).to(grad.dtype)
        new_mask = (
            new_mask.repeat_interleave(weight.shape[0] // new_mask.shape[1], 1) if new_mask.shape[1] > 1 else new_mask
        )
    maps = functools.partial(_map_in_graph, mask, ctx.layer)
    grads = backward_of(grad, y, x, weight, ctx.factor if scale is None else scale, ctx.slope, new_mask, maps, needs)
    return *grads, *[None] * (len(ctx.layer) + 3)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    a, b, mask, *ctx.layer, _ = inputs
    ctx.save_for_backward(a, b, mask)


_LAYER = "int[] window, int groups, bool soft"
_layer = operator(
    "partial_conv",
    f"(Tensor x, Tensor weight, Tensor? bias, Tensor? scale, Tensor mask, {_LAYER}, float factor, float slope)"
    " -> Tensor",
    _run,
    _fake_layer,
    _layer_backward,
    _keep_layer,
)
_new_mask = operator("partial_conv_mask", f"(Tensor mask, {_LAYER}) -> Tensor", _run_mask, _fake_mask)


def _gradient_operator(kind: str) -> Any:
    """Registers one of the two maps that are gradients of the layer, by its name."""

    def run(a: Tensor, b: Tensor, mask: Tensor, window: list[int], groups: int, soft: bool, shape: list[int]) -> Tensor:
        return run_map(kind, a, b, shape, _layer_of(mask, window, groups, soft))

    def fake(a: Tensor, b: Tensor, *rest: Any) -> Tensor:
        return torch.empty(rest[-1], dtype=a.dtype, device=a.device, memory_format=_format_of_map(kind, a, b))

    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        a, b, mask = ctx.saved_tensors
        maps = functools.partial(_map_in_graph, mask, ctx.layer)
        grads = gradients_of_map(maps, kind, a, b, v, ctx.needs_input_grad)
        return *grads, *[None] * (len(ctx.layer) + 2)

    schema = f"(Tensor a, Tensor b, Tensor mask, {_LAYER}, int[] shape) -> Tensor"
    return operator(f"partial_conv_{kind}", schema, run, fake, backward, _keep)


_GRADIENTS = {kind: _gradient_operator(kind) for kind in ("input_grad", "weight_grad")}


# ---- the call -------------------------------------------------------------------------------------------------------


def _check_devices(x: Tensor, plan: Any, **others: Any) -> None:
    _arrays.check_device(x, "x")
    for name, tensor in others.items():
        if isinstance(tensor, Tensor) and tensor.device != x.device:
            raise DTypeError(f"{name}: a tensor on {tensor.device}, expected one on {x.device} like x")
    if isinstance(plan, LayerPlan):
        there = plan.device if plan.on_device else "the CPU"  # type: ignore[attr-defined]
        if plan.on_device != on_device(x) or (plan.on_device and there != x.device):
            raise DTypeError(f"plan: for a mask on {there}, expected one on {x.device} like x")


def partial_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None, window: Window, groups: int, soft: bool,
    plan: LayerPlan | None, scale: Any, slope: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Computes `pyharmony.ops.partial_conv2d` for tensors, after its checks of shapes."""
    _check_devices(x, weight=weight, bias=bias, mask=mask, scale=scale, plan=plan)
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    op.check_same_dtype(x, weight, bias)
    if on_device(x):
        check_device_dtype(x, "x")
    if isinstance(scale, Tensor):
        if scale.numel() != 1:
            raise ShapeError(f"scale: shape {list(scale.shape)}, expected a scalar")
    else:
        scale = 1.0 if scale is None else op.number(scale, "scale")
    if torch.compiler.is_compiling():
        if plan is not None:
            op.check_plan(plan, x, window, groups)
            mask, soft = plan.mask_in, plan.soft
        mask = x.new_ones((1, 1, *x.shape[2:]), dtype=torch.bool) if mask is None else op.check_mask(mask, x)
        tensor, factor = (scale, 1.0) if isinstance(scale, Tensor) else (None, scale)
        values = list(window.values)
        y = _layer(x, weight, bias, tensor, mask, values, groups, soft, factor, slope)
        return y, op.by_channel(_new_mask(mask, values, groups, soft), mask.shape[1], weight.shape[0])
    plan = op.plan_of_call(x, mask, plan, window, groups, soft, _planner(x))
    return run_checked(x, weight, bias, plan, scale, groups, slope)


def run_checked(
    x: Tensor, weight: Tensor, bias: Tensor | None, plan: LayerPlan, scale: Any, groups: int, slope: float
) -> tuple[Tensor, Tensor]:
    """Computes a layer of a plan from arguments that were checked."""
    layer = Layer(plan, groups)
    if not isinstance(scale, Tensor):
        scale = 1.0 if scale is None else float(scale)
    if not plan.on_device or _forward_ad._current_level >= 0:
        y = _apply(PartialConv, x, weight, bias, scale, layer, slope)
    elif not torch.is_grad_enabled():
        y = run_layer(x, weight, bias, layer, scale, slope)  # nothing is to be differentiated
    elif device.is_composed(x, bias, scale, plan):
        y = device.compose(x, weight, layer, scale, slope, _format(x, weight))
    else:
        y = _apply(PartialConv, x, weight, bias, scale, layer, slope)
    return y, op.by_channel(layer.plan.mask_out, layer.plan._mask.shape[1], weight.shape[0])
