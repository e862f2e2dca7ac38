"""Partial convolution of NumPy arrays, and plans of masks on the CPU."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import Array, NumpyArray, dtype_of
from .._native import native
from ..errors import MaskError
from ._partial_conv import (
    LayerPlan,
    Window,
    address,
    by_channel,
    check_same_dtype,
    number,
    optional,
    plan_of_call,
    real_of,
    sizes_of,
)  # fmt: skip

#: The largest number of bytes of gathered rows at a time.
COLUMN_BYTES = 64 << 20


def plan_layers(mask: Array, chain: tuple[tuple[Window, int], ...], soft: bool) -> tuple[LayerPlan, ...]:
    """Returns the plans of a chain of layers from the mask of the first."""
    mask_view = view(mask, "mask")
    kind = native.partial_conv_mask_kind(mask_view)
    if kind == 3:
        raise MaskError("mask: values outside [0, 1]")
    if kind == 2 and not soft:
        raise MaskError("mask: values between 0 and 1; pass soft=True, or mask > 0.5")
    groups, sizes = sizes_of(tuple(mask.shape), chain)
    n = mask.shape[0]
    # A soft mask with only zeros and ones gives the same min(u, 1) as a hard mask.
    soft = kind == 2
    real = np.dtype("float64" if soft and dtype_of(mask) == "float64" else "float32")
    maps = []
    for size in sizes:
        shape = (n, groups, *size)
        maps.append(
            (np.empty(shape, real), np.empty(shape, np.float32), np.empty(shape, real if soft else np.bool_),
             np.empty(n * size[0] * size[1], np.int32))
        )  # fmt: skip
    totals = native.partial_conv_plan(
        mask_view, groups, soft,
        [(window.values, *(_arrays.view(a, "maps", writable=True) for a in arrays), rows.ctypes.data)
         for (window, _), (*arrays, rows) in zip(chain, maps)],
    )  # fmt: skip
    first = mask if soft else mask != 0
    if _arrays.is_torch(first):
        # NumPy has no bfloat16.
        first = _arrays.to_numpy(first.float() if dtype_of(first) == "bfloat16" else first, "mask")
    current = np.array(first, real if soft else np.bool_)
    layers, full = [], kind == 0
    for (window, _), (count, ratio, new_mask, rows), total in zip(chain, maps, totals):
        layer = LayerPlan(
            window,
            current,
            count,
            ratio,
            new_mask,
            rows[:total].copy(),
            dtype=mask.dtype,
            torch=_arrays.is_torch(mask),
            full=full,
        )
        layers.append(layer)
        current, full = new_mask, len(layer._rows) == len(rows) and not layer.soft and groups == 1
    return tuple(layers)


@functools.lru_cache(maxsize=16)
def _cached_ones(height: int, width: int, window: Window, torch: bool) -> LayerPlan:
    mask = np.ones((1, 1, height, width), np.bool_)
    return plan_layers(sys.modules["torch"].from_numpy(mask) if torch else mask, ((window, 1),), False)[0]


def ones(x: Any, window: Window) -> LayerPlan:
    """Returns the plan without a mask, in which only pixels beyond the borders are unknown."""
    return _cached_ones(*x.shape[2:], window, _arrays.is_torch(x))


def partial_conv2d(
    x: NumpyArray, weight: NumpyArray, bias: NumpyArray | None, mask: NumpyArray | None, window: Window, groups: int,
    soft: bool, plan: LayerPlan | None, scale: Any, slope: float,
) -> tuple[NumpyArray, NumpyArray]:  # fmt: skip
    """Computes `pyharmony.ops.partial_conv2d` for arrays, after its checks of shapes."""
    layer = plan_of_call(x, mask, plan, window, groups, soft, sys.modules[__name__])
    factor = 1.0 if scale is None else number(scale, "scale")
    y = _forward(x, weight, bias, layer.for_batch(x.shape[0]), groups, factor, slope)
    return y, by_channel(layer.mask_out, layer._mask.shape[1], weight.shape[0])


def _forward(
    x: NumpyArray, weight: NumpyArray, bias: NumpyArray | None, layer: LayerPlan, groups: int, scale: float,
    slope: float,
) -> NumpyArray:  # fmt: skip
    check_same_dtype(x, weight, bias)
    real, product = real_of(x), "float32" if x.dtype == np.float16 else x.dtype
    n, c, h, w = x.shape
    channels, each, out = weight.shape[0], c // groups, weight.shape[0] // groups
    size = layer.window.out_size(h, w)
    y = np.empty((n, channels, *size), x.dtype)
    mask = layer.mask_in_type(real)
    if mask is not None and mask.shape[1] > 1:
        x = premask(np.ascontiguousarray(x), mask, np.empty(x.shape, x.dtype))
        mask = None
    rows = layer._rows
    offset = None if bias is None else np.ascontiguousarray(bias, real)
    matrix = weight.astype(product, copy=False).reshape(channels, -1)
    step = max(1, COLUMN_BYTES // (matrix.shape[1] * matrix.itemsize))
    for g in range(groups):
        these = slice(g * out, (g + 1) * out)
        acc = np.empty((len(rows), out), product)
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            columns = np.empty((len(some), matrix.shape[1]), product)
            native.partial_conv_gather(
                _arrays.view(x[:, g * each : (g + 1) * each], "x"), optional(mask), layer.window.values, size,
                address(some), _arrays.view(columns, "columns", writable=True), True,
            )  # fmt: skip
            np.matmul(columns, matrix[these].T, out=acc[first : first + step])
        own = g if layer.groups > 1 else 0
        native.partial_conv_epilogue(
            _arrays.view(acc, "acc"), address(rows), optional(layer.ratio_in(real, own)),
            optional(layer.new_mask_in(real, own)),
            optional(None if offset is None else offset[these]), scale, slope,
            _arrays.view(y[:, these], "y", writable=True),
        )  # fmt: skip
    return y


def view(x: Any, name: str, *, writable: bool = False) -> Any:
    """Returns the native view of an array or a tensor."""
    if _arrays.is_torch(x):
        return _arrays.tensor_view(x, writable=writable)
    return _arrays.view(x, name, writable=writable)


def premask(x: Any, mask: NumpyArray, out: Any) -> Any:
    """Writes x times mask to out, which has the layout of x or is x; returns out."""
    if mask.shape[0] != x.shape[0]:
        mask = np.broadcast_to(mask, (x.shape[0], *mask.shape[1:]))
    native.partial_conv_premask(view(x, "x"), _arrays.view(mask, "mask"), view(out, "out", writable=True))
    return out
