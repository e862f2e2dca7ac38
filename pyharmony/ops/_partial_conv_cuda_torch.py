"""Partial convolution of torch tensors on a CUDA device.

A plan of all layers is one launch if the bits of the mask fit into a block's shared memory. A layer is the product of
mask and x, the library's convolution, and one pass over its result with ratio, bias, scale and activation. By rows, a
kernel multiplies the active windows alone on tensor cores, with everything around the product, and so do the gradients.
Few images are composed of torch's calls where autograd is on: a function of autograd takes the host longer.

The host reads no device values, not even a scale, so that calls can be captured in a CUDA graph. One exception:
planning a mask of floats reads whether its values are in range, and waits for that, unless the stream is being
captured; a mask of bools needs no check.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import _arrays, _cuda
from ..errors import MaskError
from . import _native_torch
from . import _partial_conv as op
from ._native_torch import DEVICE_DTYPES, DeviceCalls, Formats, Shapes, dense
from ._partial_conv import LayerPlan, Window
from ._partial_conv_calls_torch import Memory, form_of_plan, run_described, run_described_backward

#: Layers of fewer images, and of fewer pixels than so many images of 256 x 256 have, are composed of torch's calls.
COMPOSED_IMAGES = 8

#: The largest number of positions that the products of rows can index.
_MAX_POSITIONS = 1 << 30

_ALIGNMENT = 256
_PIECE_BYTES = 16


def _calls(x: Tensor) -> DeviceCalls:
    return DeviceCalls(x, "partial_conv2d")


# ---- plans ----------------------------------------------------------------------------------------------------------


class _Maps:
    """The layout of a layer's maps in the memory of a plan."""

    def __init__(self, shape: tuple[int, ...], mask_dtype: torch.dtype) -> None:
        n, _, oh, ow = shape
        self.parts: dict[str, tuple[int, tuple[int, ...], torch.dtype]] = {}
        self._kinds = {
            "count": (shape, torch.float32), "ratio": (shape, torch.float32), "cover": (shape, mask_dtype),
            "rows": ((n, oh * ow), torch.int32),
        }  # fmt: skip

    def place(self, offset: int) -> int:
        """Allocates the parts from an offset on, and returns the offset after them."""
        for name, (shape, dtype) in self._kinds.items():
            self.parts[name] = (offset, shape, dtype)
            offset += -(-math.prod(shape) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        return offset

    def tensor(self, memory: Tensor, name: str) -> Tensor:
        offset, shape, dtype = self.parts[name]
        return memory[offset : offset + math.prod(shape) * dtype.itemsize].view(dtype).view(shape)

    def view(self, memory: Tensor, name: str) -> Any:
        offset, shape, dtype = self.parts[name]
        kind = str(dtype).removeprefix("torch.")
        return _cuda.kernels().ArrayView(memory.data_ptr() + offset, kind, shape, _cuda.contiguous_strides(shape), True)


class DeviceLayerPlan(LayerPlan):
    """A layer's plan in the memory of a device. Only `rows` and `share` wait for the device."""

    on_device = True

    def __init__(
        self, window: Window, mask: Tensor, maps: _Maps, memory: Tensor, totals: Tensor, *, dtype: Any, soft: bool,
        full: bool,
    ) -> None:  # fmt: skip
        self.window, self.soft, self.full = window, soft, full
        self._mask: Any = mask
        self._maps, self._memory, self._totals, self._dtype = maps, memory, totals, dtype
        self._shape = maps.parts["ratio"][1]
        self.groups = self._shape[1]
        self.channels = mask.shape[1] // self.groups
        # Whether another mask is plain is unknown without reading it.
        self.plain = full and window.padding == (0, 0)
        self.mask_view = None if full else _calls(mask).view(mask)
        self.ratio_view = maps.view(memory, "ratio")
        #: The native views of ratio and new mask, or None where kernels do not need them.
        self.map_views = (None, None) if self.plain else (self.ratio_view, self.cover_view if soft else None)
        self._cover: Tensor | None = None
        #: The same for all plans that differ in their values alone.
        self.form = form_of_plan(self)

    @functools.cached_property
    def rows_where(self) -> tuple[int, int, int]:
        """The addresses of the lists of rows and of their totals, and the number of lists, for native code."""
        return self._memory.data_ptr() + self._maps.parts["rows"][0], self._totals.data_ptr(), self._shape[0]

    @functools.cached_property
    def cover_view(self) -> Any:
        """The native view of the new mask."""
        return self._maps.view(self._memory, "cover")

    def __repr__(self) -> str:
        n, _, oh, ow = self._shape
        return f"DeviceLayerPlan({n} x {oh} x {ow} windows on {self.device})"

    @property
    def device(self) -> torch.device:
        """The device of the plan."""
        return self._memory.device

    @property
    def count(self) -> Tensor:
        return self._maps.tensor(self._memory, "count")

    @functools.cached_property
    def ratio(self) -> Tensor:
        # Changes of the new mask, which lies in the same memory, do not count as changes of this.
        return self._maps.tensor(self._memory.data, "ratio")

    @property
    def mask_in(self) -> Tensor:
        return self._mask.to(self._dtype)

    @property
    def mask_out(self) -> Tensor:
        if self._cover is None:
            self._cover = self._maps.tensor(self._memory, "cover")
        return self._cover.detach() if self._dtype == self._cover.dtype else self._cover.to(self._dtype)

    @property
    def rows(self) -> Tensor:
        rows = self._maps.tensor(self._memory, "rows")
        return torch.cat([row[:total] for row, total in zip(rows, self._totals.tolist(), strict=True)])

    @property
    def share(self) -> float:
        n, _, oh, ow = self._shape
        return float(self._totals.sum()) / (n * oh * ow)

    def new_mask_tensor(self, dtype: Any, channels: int = 1) -> Tensor:
        new_mask = self._maps.tensor(self._memory, "cover").to(dtype)
        return new_mask.repeat_interleave(channels // self.groups, 1) if self.groups > 1 else new_mask

    def for_batch(self, n: int) -> DeviceLayerPlan:
        return self  # kernels repeat the maps of one image

    def find_call(self, x: Any, weight: Any, bias: Any, scale: Any, others: tuple[Any, ...]) -> tuple[Any, Any]:
        """Returns the form of a call's arguments, and the result if arguments of that form were checked before.

        The form is None where arguments are always to be checked.
        """
        if type(x) is not Tensor or torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type):
            return None, None
        if not isinstance(weight, Tensor) or not (bias is None or isinstance(bias, Tensor)):
            return None, None
        of_scale: Any = None
        if isinstance(scale, Tensor):
            of_scale = scale.shape, scale.dtype, scale.device, scale.layout
        elif scale is not None:
            of_scale = op.number(scale, "scale") * 0  # its value may differ in each call
        form: tuple[Any, ...] = (
            x.shape, x.dtype, x.device, x.layout, weight.shape, weight.dtype, weight.device, weight.layout, self.form,
            of_scale, others,
        )  # fmt: skip
        if bias is not None:
            form = (*form, bias.shape, bias.dtype, bias.device, bias.layout)
        checked_call = _checked.get(form)
        if checked_call is None:
            return form, None
        run, groups, slope = checked_call
        return form, run(x, weight, bias, self, scale, groups, slope)

    def keep_call(self, form: Any, run: Any, groups: int, slope: float) -> None:
        """Notes that arguments of a form are right, and what computes the layer from them."""
        _checked.put(form, (run, groups, slope))


#: What computes a layer, by the form of arguments that were checked.
_checked = Memory()


def _kernel_mask(mask: Tensor, soft: bool) -> Tensor:
    """Returns a contiguous copy of the mask for kernels: bool, or float32 if soft."""
    copy = mask.to(torch.float32, copy=True) if soft else mask != 0
    if copy.is_contiguous() or copy.is_contiguous(memory_format=torch.channels_last):
        return copy.clone() if copy.data_ptr() == mask.data_ptr() else copy
    return copy.contiguous()


def plan_layers(
    mask: Tensor, chain: tuple[tuple[Window, int], ...], soft: bool, *, full: bool = False
) -> tuple[DeviceLayerPlan, ...]:
    """Plans layers as `pyharmony.ops.partial_conv.plan_layers` does, for a mask on a device.

    Args:
        full: whether the mask is known to be one everywhere.

    Raises:
        MaskError: values outside [0, 1], or between without soft. While the stream is being captured this is not
            checked, and values above 0 count as 1.
    """
    dtype = mask.dtype
    soft = soft and dtype != torch.bool
    if dtype == torch.float64:
        mask = mask.float()
    groups, sizes = op.sizes_of(tuple(mask.shape), chain)
    n = mask.shape[0]
    mask_dtype = torch.float32 if soft else torch.bool
    layers = [_Maps((n, groups, *size), mask_dtype) for size in sizes]
    offset = -(-4 * n * (len(layers) + 1) // _ALIGNMENT) * _ALIGNMENT  # the memory begins with totals and flags
    for layer in layers:
        offset = layer.place(offset)
    memory = _native_torch.scratch(offset, mask)
    totals = memory[: 4 * n * (len(layers) + 1)].view(torch.int32).view(len(layers) + 1, n)
    calls = DeviceCalls(mask, "mask_plan")
    mask_view, windows = calls.view(mask), [window.values for window, _ in chain]
    scratch = _native_torch.scratch(calls.size("partial_conv_plan_workspace", mask_view, groups, soft, windows), mask)
    base = memory.data_ptr()
    calls.run(
        "partial_conv_plan", mask_view, groups, soft,
        [(window, maps.view(memory, "count"), maps.view(memory, "ratio"), maps.view(memory, "cover"),
          base + maps.parts["rows"][0]) for window, maps in zip(windows, layers, strict=True)],
        base, base + 4 * n * len(layers), (scratch.data_ptr(), scratch.numel()),
    )  # fmt: skip
    if dtype != torch.bool and not full and not _native_torch.is_capturing(mask):
        flags = functools.reduce(int.__or__, totals[-1].tolist())
        if flags & 2:
            raise MaskError("mask: values outside [0, 1]")
        if flags & 1 and not soft:
            raise MaskError("mask: values between 0 and 1; pass soft=True, or mask > 0.5")
    plans: list[DeviceLayerPlan] = []
    current = _kernel_mask(mask, soft)
    for i, ((window, _), maps) in enumerate(zip(chain, layers, strict=True)):
        plans.append(
            DeviceLayerPlan(window, current, maps, memory, totals[i], dtype=dtype, soft=soft, full=full and i == 0)
        )
        current = maps.tensor(memory, "cover")
    return tuple(plans)


@functools.lru_cache(maxsize=32)
def _cached_ones(height: int, width: int, window: Window, device: torch.device, stream: int) -> DeviceLayerPlan:
    mask = torch.ones((1, 1, height, width), dtype=torch.bool, device=device)
    return plan_layers(mask, ((window, 1),), False, full=True)[0]


def ones(x: Tensor, window: Window) -> DeviceLayerPlan:
    """Returns the plan without a mask. In a graph capture it is not cached, since cached memory may be freed."""
    make = _cached_ones.__wrapped__ if _native_torch.is_capturing(x) else _cached_ones
    return make(x.shape[2], x.shape[3], window, x.device, _calls(x).place["stream"])


# ---- passes ---------------------------------------------------------------------------------------------------------


def _in_memory(x: Tensor) -> Tensor:
    """Returns a tensor, or a copy if its memory does not contain its values."""
    return _arrays.plain(x, "x") if x.is_neg() or not x.data_ptr() else x


def _factor(scale: Any) -> tuple[float, Tensor | None]:
    """Returns a scale for kernels: a number, and a tensor on the device or None."""
    if not isinstance(scale, Tensor):
        return float(scale), None
    scale = _in_memory(scale.detach())
    return 1.0, scale if scale.dtype in DEVICE_DTYPES else scale.float()


# ---- products of rows -----------------------------------------------------------------------------------------------


def by_rows(x_shape: tuple[int, ...], weight_shape: tuple[int, ...], like: Tensor, layer: Any) -> bool:
    """Returns whether to multiply the active windows alone, for tensors of the dtype and the device of one of them."""
    plan: DeviceLayerPlan = layer.plan
    suits = layer.groups == 1 and plan._mask.shape[1] == 1 and not plan.soft and not plan.full
    if plan.method != "rows" or not suits or not _rounds_operands(like.dtype):
        return False
    n, channels, height, width = x_shape
    positions = n * max(height * width, math.prod(plan._shape[2:]))
    fit = _cuda.kernels().partial_conv_rows_fit
    window, index = plan.window.values, _native_torch.where_of(like)[0]
    return positions < _MAX_POSITIONS and bool(fit(like.dtype.itemsize, channels, weight_shape[0], window, index))


def _rounds_operands(dtype: torch.dtype) -> bool:
    """Returns whether tensor cores may multiply values of a dtype: float32 as TF32, where torch's convolutions may."""
    if dtype != torch.float32:
        return True
    convolutions = getattr(torch.backends.cudnn, "conv", None)  # from torch 2.9 on
    if convolutions is None:
        return bool(torch.backends.cudnn.allow_tf32)
    return bool(convolutions.fp32_precision == "tf32")


def _in_pieces(x: Tensor) -> Tensor:
    """Returns x channels-last and aligned to the pieces of 16 bytes that kernels copy."""
    x = x.detach().contiguous(memory_format=torch.channels_last)
    return x if x.data_ptr() % _PIECE_BYTES == 0 else x.clone(memory_format=torch.channels_last)


def _taps(weight: Tensor, *order: int) -> Tensor:
    """Returns the weight in another order of dimensions, contiguous and aligned."""
    taps = weight.detach().permute(order).contiguous()
    return taps if taps.data_ptr() % _PIECE_BYTES == 0 else taps.clone()


def _rows_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, plan: DeviceLayerPlan, scale: Any, slope: float
) -> Tensor:
    calls = _calls(x)
    x = _in_pieces(x)
    taps = _taps(weight, 0, 2, 3, 1)
    shape = (x.shape[0], weight.shape[0], *plan._shape[2:])
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    into = calls.view(y, writable=True)
    value, factor = _factor(scale)
    scratch = _native_torch.scratch(calls.size("partial_conv_rows_workspace", into), x)
    calls.run(
        "partial_conv_rows", calls.view(x), plan.mask_view, calls.view(taps), plan.window.values, plan.rows_where,
        plan.ratio_view, calls.view(bias), value, calls.view(factor), slope, into,
        (scratch.data_ptr(), scratch.numel()),
    )  # fmt: skip
    return y


def _rows_input_grad(h: Tensor, weight: Tensor, plan: DeviceLayerPlan, shape: tuple[int, ...], x_scale: Any) -> Tensor:
    calls = _calls(h)
    h, taps = _in_pieces(h), _taps(weight, 1, 2, 3, 0)
    dx = torch.empty(shape, dtype=h.dtype, device=h.device, memory_format=torch.channels_last)
    into = calls.view(dx, writable=True)
    value, factor = _factor(x_scale)
    nbytes = calls.size("partial_conv_rows_input_workspace", into, plan.window.values)
    scratch = _native_torch.scratch(nbytes, h)
    calls.run(
        "partial_conv_rows_input_grad", calls.view(h), plan.cover_view, calls.view(taps), plan.window.values,
        plan.mask_view, value, calls.view(factor), into, (scratch.data_ptr(), scratch.numel()),
    )  # fmt: skip
    return dx


def _rows_gradients(
    h: Tensor, x: Tensor | None, weight: Tensor | None, plan: DeviceLayerPlan, shapes: Shapes, last: Formats,
    x_scale: Any,
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """Returns the gradients of x (if weight is given) and of weight (if x is given) for that of the product."""
    dx = None if weight is None else _rows_input_grad(h, weight, plan, shapes[0], x_scale)
    dw = None if x is None else _rows_weight_grad(h, x, plan, shapes[1])
    return (
        None if dx is None else dx.contiguous(memory_format=last[0]),
        None if dw is None else dw.contiguous(memory_format=last[1]),
    )


def _rows_weight_grad(h: Tensor, x: Tensor, plan: DeviceLayerPlan, shape: tuple[int, ...]) -> Tensor:
    calls = _calls(h)
    x, h = _in_pieces(x), _in_pieces(h)
    o, c, kh, kw = shape
    dw = torch.empty((o, kh, kw, c), dtype=h.dtype, device=h.device)
    from_, into = calls.view(h), calls.view(dw, writable=True)
    scratch = _native_torch.scratch(calls.size("partial_conv_rows_weight_workspace", from_, into), h)
    calls.run(
        "partial_conv_rows_weight_grad", from_, calls.view(x), plan.mask_view, plan.window.values, plan.rows_where,
        into, (scratch.data_ptr(), scratch.numel()),
    )  # fmt: skip
    return dw.permute(0, 3, 1, 2)


# ---- layers ---------------------------------------------------------------------------------------------------------


def is_composed(x: Tensor, bias: Tensor | None, scale: Any, plan: Any) -> bool:
    """Returns whether to `compose` a layer that may be differentiated: whether the host takes less time for it.

    Kernels read less memory, and are faster where a GPU does not wait for Python: in a capture, and for many pixels. A
    capture and its warm-up, which has to make the same calls, are not on the default stream.
    """
    images, _, height, width = x.shape
    few = images < COMPOSED_IMAGES and images * height * width < COMPOSED_IMAGES * 256 * 256
    # Half floats hold the ratios of small windows, but not ratio times scale, nor the sum that is a scale's gradient.
    suits = bias is None and plan.method != "rows" and plan.groups == 1 and plan.size <= 4096
    in_range = x.dtype == torch.float32 or (not isinstance(scale, Tensor) and scale == 1)
    if not (few and suits and in_range and _native_torch.where_of(x)[1] == 0):
        return False
    # Autograd refuses to save what was made in inference mode, such as a cached plan.
    return not any(a.is_inference() for a in (plan._memory, plan._mask, plan.ratio))


def compose(x: Tensor, weight: Tensor, layer: Any, scale: Any, slope: float, last: torch.memory_format) -> Tensor:
    """Computes `run_layer` without a bias by torch's calls, which autograd differentiates."""
    plan, dtype = layer.plan, x.dtype
    if plan.soft:
        x = torch.where(plan._mask != 0, x * plan._mask, 0).to(dtype)
    elif not plan.full:
        x = torch.where(plan._mask, x, 0)
    stride, padding, dilation = layer.conv
    y = F.conv2d(x, weight, None, stride, padding, dilation, layer.groups)
    factor = None if plan.plain else plan.ratio.to(dtype)
    if isinstance(scale, Tensor) or scale != 1:
        scale = scale.reshape(()) if isinstance(scale, Tensor) else scale
        factor = scale if factor is None else factor * scale
    y = y if factor is None else y * factor
    return (y if slope == 1 else F.leaky_relu(y, slope)).contiguous(memory_format=last)


def run_layer(
    x: Tensor, weight: Tensor, bias: Tensor | None, layer: Any, scale: Any, slope: float, last: torch.memory_format
) -> Tensor:
    """Computes y = act(scale conv(x, W) + bias c).

    Args:
        scale: a number, or a scalar on the device.
        last: the memory format of y.
    """
    if torch.is_grad_enabled():
        x, weight, bias = x.detach(), weight.detach(), None if bias is None else bias.detach()
    x, weight, bias = _in_memory(x), _in_memory(weight), None if bias is None else _in_memory(bias).contiguous()
    if by_rows(tuple(x.shape), tuple(weight.shape), x, layer):
        return _rows_forward(x, weight, bias, layer.plan, scale, slope).contiguous(memory_format=last)
    return run_described(x, weight, bias, layer, *_factor(scale), slope, last)


def run_backward(
    grad: Tensor,
    y: Tensor | None,
    x: Tensor | None,
    weight: Tensor | None,
    layer: Any,
    shapes: Shapes,
    last: Formats,
    scale: Any,
    slope: float,
    for_bias: bool,
    x_scale: Any = 1.0,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Computes `_partial_conv_torch.run_backward`; x_scale is a factor for the gradient of x only."""
    value, factor = _factor(scale)
    grad, rows = grad.detach(), None
    if by_rows(shapes[0], shapes[1], grad, layer):
        grad = grad.contiguous(memory_format=torch.channels_last)
        rows = functools.partial(_rows_gradients, plan=layer.plan, shapes=shapes, last=last, x_scale=x_scale)
    elif y is not None:
        y_last = y.is_contiguous(memory_format=torch.channels_last) and not y.is_contiguous()
        grad = grad.contiguous(memory_format=torch.channels_last if y_last else torch.contiguous_format)
    grad = dense(grad)
    y = None if y is None or slope == 1 else _in_layout_of(y.detach(), grad)
    return run_described_backward(
        grad, y, None if x is None else dense(x.detach()), None if weight is None else weight.detach(), layer, shapes,
        last, value, factor, slope, for_bias, *_factor(x_scale), rows,
    )  # fmt: skip


def _in_layout_of(y: Tensor, grad: Tensor) -> Tensor:
    """Returns y with the strides of a gradient, which has no gaps."""
    return y if y.stride() == grad.stride() and y.data_ptr() else torch.empty_like(grad).copy_(y)


def run_gradients(
    grad: Tensor, y: Tensor | None, x: Tensor, weight: Tensor, scale: Any, layer: Any, slope: float, needs: Any,
    last: Formats,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """Returns the gradients of x, weight, bias and scale, each None where needs[i] is False.

    The gradient of scale is the sum of W times the gradient of W without scale; scale is applied to that afterwards.
    """
    for_scale = needs[3]
    dx, dw, db = run_backward(
        grad, y, x if needs[1] or for_scale else None, weight if needs[0] else None, layer,
        (tuple(x.shape), tuple(weight.shape)), last, 1.0 if for_scale else scale, slope, needs[2],
        scale if for_scale else 1.0,
    )  # fmt: skip
    ds = None
    if for_scale and dw is not None:
        ds = torch.sum(dw * weight, dtype=torch.float32).to(scale.dtype).view_as(scale)
        dw = dw * scale.to(dw.dtype) if needs[1] else None
    return dx, dw, db, ds
