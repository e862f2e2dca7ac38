"""Windows, plans and checks of partial convolutions."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array, NumpyArray, dtype_of
from .._native import native
from ..errors import ArgumentError, DTypeError, PyHarmonyError, ShapeError
from ..typing import PartialConvMethod

Pair = tuple[int, int]

METHODS: tuple[PartialConvMethod, ...] = get_args(PartialConvMethod)

#: The accepted dtypes of x and weight; bfloat16 only in torch.
DTYPES = ("float16", "bfloat16", "float32", "float64")

#: The largest kernel, stride, padding, dilation and number of groups.
_LARGEST_WINDOW = (1 << 24) - 1

#: The smallest number of output rows that exceeds int32 indices.
_MIN_UNINDEXED_ROWS = 1 << 31


@dataclass(frozen=True)
class Window:
    """The windows of a convolution; each value is a pair for rows and columns."""

    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def values(self) -> tuple[int, ...]:
        """The eight numbers for native code."""
        return (*self.kernel_size, *self.stride, *self.padding, *self.dilation)

    @property
    def taps(self) -> int:
        return self.kernel_size[0] * self.kernel_size[1]

    def out_size(self, height: int, width: int) -> Pair:
        """Returns (OH, OW), the number of windows on an image; below 1 if the image is smaller than the window."""
        each = zip((height, width), self.kernel_size, self.stride, self.padding, self.dilation)
        oh, ow = ((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in each)
        if oh * ow >= _MIN_UNINDEXED_ROWS and min(oh, ow) > 0:
            raise ArgumentError(f"padding: {self.padding} makes an output of {oh} x {ow} pixels, expected below 2^31")
        return oh, ow


class LayerPlan:
    """The quantities of a layer that depend on its mask.

    Attributes:
        window: the windows.
        channels: the number of mask planes that a window sums: 1, or the channels of a group.
        groups: the groups of the maps below: 1, or those of the layer if the mask has a plane for each channel.
        soft: whether the mask has values between 0 and 1.
        full: whether the mask is one everywhere.
        plain: whether every ratio is one, so that the layer is an ordinary convolution.
        method: how layers with this plan are computed, see `mask_plan`.
        on_device: whether the plan is in the memory of a CUDA device. There full and plain are false for any given
            mask, and rows and share wait for the device.
    """

    on_device = False
    method: PartialConvMethod = "auto"

    def __init__(
        self, window: Window, mask: NumpyArray, count: NumpyArray, ratio: NumpyArray, new_mask: NumpyArray,
        rows: NumpyArray, *, dtype: Any, torch: bool, full: bool,
    ) -> None:  # fmt: skip
        self.window = window
        self.soft = new_mask.dtype != np.bool_
        self.groups = count.shape[1]
        self.channels = mask.shape[1] // self.groups
        self.full = full
        self.plain = not self.soft and bool((count == self.size).all())
        self._mask, self._count, self._ratio, self._new_mask, self._rows = mask, count, ratio, new_mask, rows
        self._dtype, self._torch = dtype, torch
        self._index: NumpyArray | None = None
        self._in_type: dict[tuple[str, str, int | None], NumpyArray] = {}
        self._views: dict[tuple[str, str, int], Any] = {}
        self._batch: LayerPlan | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The addresses refer to this plan's memory, and a copy has its own.
        state = {name: value for name, value in vars(self).items() if name not in ("where", "index_address")}
        return {**state, "_views": {}}

    def __repr__(self) -> str:
        n, _, oh, ow = self._ratio.shape
        return f"LayerPlan({n} x {oh} x {ow} windows, {len(self._rows)} active)"

    @property
    def size(self) -> int:
        """S, the number of mask values in a window."""
        return self.window.taps * self.channels

    @property
    def mask_in(self) -> Array:
        """The mask [N, 1 or C, H, W], in its dtype."""
        return self._as_mask(self._mask)

    @property
    def mask_out(self) -> Array:
        """The new mask [N, groups, OH, OW], in the dtype of the mask."""
        return self._as_mask(self._new_mask)

    @property
    def count(self) -> Array:
        """The sum of the mask over each window, [N, groups, OH, OW] float32 (float64 for a soft float64 mask)."""
        return self._kind(self._count)

    @property
    def ratio(self) -> Array:
        """S / count times the new mask, [N, groups, OH, OW] float32; zero where count is zero."""
        return self._kind(self._ratio)

    @property
    def rows(self) -> Array:
        """The positions in [N, OH, OW] of the windows with a known pixel, in order, [M] int32."""
        return self._kind(self._rows)

    @property
    def share(self) -> float:
        """The share of the windows that are active."""
        n, _, oh, ow = self._ratio.shape
        return len(self._rows) / (n * oh * ow)

    def _as_mask(self, x: NumpyArray) -> Array:
        return self._kind(x).to(self._dtype) if self._torch else x.astype(self._dtype, copy=False)

    def new_mask_tensor(self, dtype: Any, channels: int = 1) -> Array:
        """Returns mask_out in a dtype, repeated for each of the channels if groups differ."""
        new_mask = self._kind(self._new_mask).to(dtype)
        return new_mask.repeat_interleave(channels // self.groups, 1) if self.groups > 1 else new_mask

    def _kind(self, x: NumpyArray) -> Array:
        return sys.modules["torch"].from_numpy(x) if self._torch else x

    # The arrays below are for kernels: float64 for float64 inputs, else float32.

    def index(self) -> NumpyArray:
        """Returns the index of each window among the rows, or -1, [N, OH, OW] int32."""
        if self._index is None:
            n, _, oh, ow = self._ratio.shape
            index = np.empty((n, oh, ow), np.int32)
            native.partial_conv_index(address(self._rows), address(index))
            self._index = index
        return self._index

    def ratio_in(self, real: str, group: int = 0) -> NumpyArray:
        """Returns the ratio of a group, exact to a rounding, [N, OH, OW] real."""
        return self._typed("ratio", real, group, lambda: self._ratio if real == "float32" else self._exact_ratio())

    def new_mask_in(self, real: str, group: int = 0) -> NumpyArray | None:
        """Returns the new mask of a group, [N, OH, OW] real; None if it is one wherever the ratio is not zero."""
        return self._typed("cover", real, group, lambda: self._new_mask) if self.soft else None

    def mask_in_type(self, real: str) -> NumpyArray | None:
        """Returns the mask as bool or real; None if it is one everywhere."""
        if self.full or not self.soft:
            return None if self.full else self._mask
        return self._typed("mask", real, None, lambda: self._mask)

    def view_of(self, name: str, real: str, group: int = 0) -> Any:
        """Returns the cached native view of 'ratio', 'cover' or 'mask' as above."""
        key = (name, real, group)
        if key not in self._views:
            make = {"ratio": self.ratio_in, "cover": self.new_mask_in}.get(name)
            self._views[key] = optional(make(real, group) if make else self.mask_in_type(real))
        return self._views[key]

    @functools.cached_property
    def where(self) -> tuple[int, int]:
        """The address and the number of the rows, for native code."""
        return address(self._rows)

    @functools.cached_property
    def index_address(self) -> int:
        """The address of `index`."""
        return int(self.index().ctypes.data)

    def _exact_ratio(self) -> NumpyArray:
        count = self._count.astype(np.float64)
        return np.where(count > 0, self.size / np.maximum(count, 1), 0)

    def _typed(self, name: str, real: str, group: int | None, make: Callable[[], NumpyArray]) -> NumpyArray:
        # The arrays are stored here, because native code refers to their memory without keeping them alive.
        key = (name, real, group)
        if key not in self._in_type:
            array = make()
            self._in_type[key] = (
                array.astype(real, copy=False) if group is None else np.ascontiguousarray(array[:, group], real)
            )
        return self._in_type[key]

    def for_batch(self, n: int) -> LayerPlan:
        """Returns this plan for one mask, repeated for n images that share the mask."""
        if self._ratio.shape[0] == n:
            return self
        if self._batch is None or self._batch._ratio.shape[0] != n:
            plane = self._ratio.shape[2] * self._ratio.shape[3]
            rows = (self._rows[None] + plane * np.arange(n, dtype=np.int32)[:, None]).reshape(-1)
            count, ratio, new_mask = (
                np.ascontiguousarray(np.broadcast_to(a, (n, *a.shape[1:])))
                for a in (self._count, self._ratio, self._new_mask)
            )
            mask = np.broadcast_to(self._mask, (n, *self._mask.shape[1:]))
            self._batch = LayerPlan(
                self.window, mask, count, ratio, new_mask, rows, dtype=self._dtype, torch=self._torch, full=self.full
            )
        return self._batch


# ---- arguments ------------------------------------------------------------------------------------------------------


def pair(value: Any, name: str, low: int) -> Pair:
    """Returns an integer or a pair of them as a pair."""
    accepts = f"an integer from {low} to {_LARGEST_WINDOW} or two of them"
    try:
        if isinstance(value, (set, frozenset)):
            raise ValueError  # without an order
        values = (value, value) if isinstance(value, (int, np.integer)) else _checks.several(value, name, accepts)
        first, second = (_checks.whole(v, name, low=low, high=_LARGEST_WINDOW) for v in values)
    except (PyHarmonyError, ValueError):
        raise ArgumentError(f"{name}: {_checks.shortened(value)}, expected {accepts}") from None
    return first, second


def window_of(kernel_size: Any, stride: Any, padding: Any, dilation: Any, name: str = "") -> Window:
    """Returns the validated windows of a layer."""
    return Window(
        pair(kernel_size, f"{name}kernel_size", 1),
        pair(stride, f"{name}stride", 1),
        pair(padding, f"{name}padding", 0),
        pair(dilation, f"{name}dilation", 1),
    )


def cached_window(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    """Returns `window_of` from a cache, for the tuples and integers of a layer."""
    try:
        return _remembered(kernel_size, stride, padding, dilation)
    except TypeError:
        return window_of(kernel_size, stride, padding, dilation)


_remembered = functools.lru_cache(maxsize=256, typed=True)(window_of)


def pairs_of(window: Window) -> tuple[Pair, ...]:
    """Returns kernel size, stride, padding and dilation."""
    return window.kernel_size, window.stride, window.padding, window.dilation


def parse_layer(layer: Any, name: str) -> tuple[Window, int]:
    """Returns the windows and groups of a layer of `mask_plan`."""
    if hasattr(layer, "kernel_size"):
        values = [layer.kernel_size, layer.stride, layer.padding, layer.dilation, getattr(layer, "groups", 1)]
    elif isinstance(layer, (tuple, list)) and 1 <= len(layer) <= 5:
        values = [*layer, *(1, 0, 1, 1)[len(layer) - 1 :]]
    else:
        raise ArgumentError(
            f"{name}: {_checks.shortened(layer)}, expected a layer or (kernel_size, stride, padding, dilation, groups)"
        )
    kernel_size, stride, padding, dilation, groups = values
    window = window_of(kernel_size, stride, padding, dilation, f"{name}: ")
    return window, pair(groups, f"{name}: groups", 1)[0]


def mask_4d(mask: Any) -> Array:
    """Returns a mask as [N, C, H, W]; raises for other shapes and dtypes."""
    if not isinstance(mask, np.ndarray) and not _arrays.is_torch(mask):
        raise DTypeError(f"mask: {type(mask).__name__}, expected a numpy.ndarray or a torch.Tensor")
    _arrays.check_dense(mask, "mask")
    dtype = dtype_of(mask)
    if dtype not in ("bool", *DTYPES):
        raise DTypeError(f"mask: dtype {dtype} is not supported, use bool or floats in [0, 1], such as mask > 0")
    if mask.ndim == 2:
        mask = mask[None, None]
    if mask.ndim != 4 or 0 in mask.shape:
        raise ShapeError(f"mask: shape {list(mask.shape)}, expected [N, 1, H, W], [N, C, H, W] or [H, W]")
    if _arrays.is_torch(mask):
        mask = mask.detach()
        _arrays.check_device(mask, "mask")
    return mask


def sizes_of(shape: tuple[int, ...], chain: tuple[tuple[Window, int], ...]) -> tuple[int, list[Pair]]:
    """Returns the groups of a mask [N, C, H, W], and the size of each layer's new mask."""
    _, channels, *size = shape
    groups = 1 if channels == 1 else chain[0][1]
    if channels % groups:
        raise ShapeError(f"mask: {channels} channels, not divisible by groups {groups}")
    sizes: list[Pair] = []
    for i, (window, _) in enumerate(chain):
        before, size = size, list(window.out_size(*size))
        if min(size) < 1:
            raise ShapeError(f"mask: [{before[0]}, {before[1]}] is smaller than the window of layer {i}, {window}")
        sizes.append((size[0], size[1]))
    return groups, sizes


def real_of(x: Any) -> str:
    """Returns the dtype of ratios, biases and sums for the dtype of x."""
    return "float64" if dtype_of(x) == "float64" else "float32"


def address(x: NumpyArray) -> tuple[int, int]:
    """Returns the address of an array of integers, and their number."""
    return x.ctypes.data, x.size


def optional(x: NumpyArray | None) -> Any:
    """Returns the native view of an array, or None."""
    return None if x is None else _arrays.view(x, "map")


def number(value: Any, name: str, low: float = -math.inf) -> float:
    """Returns a finite number of at least low; raises otherwise."""
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise ArgumentError(f"{name}: {_checks.shortened(value)}, expected a number")
    try:
        result = float(value)
    except Exception as error:
        raise ArgumentError(f"{name}: {_checks.shortened(value)}, expected a number") from error
    if not (math.isfinite(result) and result >= low):
        least = f" of at least {low:g}" if math.isfinite(low) else ""
        raise ArgumentError(f"{name}: {result}, expected a finite number{least}")
    return result


def check_layer(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Window:
    """Returns the windows of a layer; raises if the arguments do not match."""
    for value, name in ((x, "x"), (weight, "weight"), (bias, "bias")):
        if value is None and name == "bias":
            continue
        if not isinstance(value, np.ndarray) and not _arrays.is_torch(value):
            raise DTypeError(f"{name}: {type(value).__name__}, expected a numpy.ndarray or a torch.Tensor")
        if _arrays.is_torch(value) != _arrays.is_torch(x):
            raise DTypeError(f"{name}: {type(value).__name__}, expected the kind of x, {type(x).__name__}")
        _arrays.check_dense(value, name)
        _arrays.check_dtype(dtype_of(value), name, DTYPES)
    if x.ndim != 4 or 0 in x.shape:
        raise ShapeError(f"x: shape {list(x.shape)}, expected [N, C, H, W]")
    if weight.ndim != 4 or 0 in weight.shape:
        raise ShapeError(f"weight: shape {list(weight.shape)}, expected [O, C / groups, kh, kw]")
    groups = pair(groups, "groups", 1)[0]
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ShapeError(
            f"weight: shape {list(weight.shape)} with groups {groups} does not fit the {x.shape[1]} channels of x"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(f"bias: shape {list(bias.shape)}, expected [{weight.shape[0]}]")
    window = cached_window(tuple(weight.shape[2:]), stride, padding, dilation)
    if min(window.out_size(x.shape[2], x.shape[3])) < 1:
        raise ShapeError(f"x: [{x.shape[2]}, {x.shape[3]}] is smaller than {window}")
    return window


def check_same_dtype(x: Any, weight: Any, bias: Any) -> None:
    """Raises if weight or bias has another dtype than x."""
    for value, name in ((weight, "weight"), (bias, "bias")):
        if value is not None and value.dtype != x.dtype:
            raise DTypeError(f"{name}: dtype {dtype_of(value)}, expected that of x, {dtype_of(x)}")


def check_mask(mask: Any, x: Any) -> Array:
    """Returns a mask as [N or 1, 1 or C, H, W], which broadcasts to x."""
    if _arrays.is_torch(mask) != _arrays.is_torch(x):
        raise DTypeError(f"mask: {type(mask).__name__}, expected the kind of x, {type(x).__name__}")
    mask = mask_4d(mask)
    n, c, h, w = x.shape
    if mask.shape[0] not in (1, n) or mask.shape[1] not in (1, c) or tuple(mask.shape[2:]) != (h, w):
        raise ShapeError(f"mask: shape {list(mask.shape)} does not broadcast to x {list(x.shape)}")
    return mask


def plan_of_call(x: Any, mask: Any, plan: Any, window: Window, groups: int, soft: bool, planner: Any) -> LayerPlan:
    """Returns the given plan of a call, or a new one.

    Args:
        planner: the module with `ones` and `plan_layers` for x.
    """
    if plan is None:
        if mask is None:
            new_plan: LayerPlan = planner.ones(x, window)
        else:
            new_plan = planner.plan_layers(check_mask(mask, x), ((window, groups),), soft)[0]
        return new_plan
    check_plan(plan, x, window, groups)
    return plan


def check_plan(plan: Any, x: Any, window: Window, groups: int) -> None:
    """Raises if the plan is for another layer or another x."""
    n, c, h, w = x.shape
    if not isinstance(plan, LayerPlan):
        raise ArgumentError(f"plan: {type(plan).__name__}, expected one layer of a MaskPlan, such as plan[0]")
    if plan.window != window:
        raise ShapeError(f"plan: for {plan.window}, but the layer has {window}")
    shape = plan._mask.shape
    if shape[0] not in (1, n) or shape[1] not in (1, c) or shape[2:] != (h, w):
        raise ShapeError(f"plan: for a mask {list(shape)}, which does not broadcast to x {list(x.shape)}")
    if shape[1] > 1 and plan.groups != groups:
        raise ShapeError(f"plan: for groups {plan.groups}, but the layer has {groups}")


def by_channel(new_mask: Array, planes: int, channels: int) -> Array:
    """Returns a new mask as input of the next layer, with a plane per channel if the mask had several."""
    if planes == 1:
        return new_mask
    n, g, h, w = new_mask.shape
    shape = (n, g, channels // g, h, w)
    if _arrays.is_torch(new_mask):
        return new_mask[:, :, None].expand(shape).reshape(n, channels, h, w)
    return np.broadcast_to(new_mask[:, :, None], shape).reshape(n, channels, h, w)
