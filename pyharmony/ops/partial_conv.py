"""Partial convolution: a convolution of the known pixels, scaled by how many of them a window has.

Definition: `pyharmony.reference.partial_conv`. The sums over windows depend on the mask alone, so a `MaskPlan` of all
layers of a network is made once and serves forward, backward, and every call with the same mask. It lists the windows
that see a known pixel at all: with few of them they are gathered into the rows of one matrix product, with many a
library's convolution runs between two passes over whole tensors.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import Array, NumpyArray
from .._native import native
from ..errors import ArgumentError, DTypeError, MaskError, ShapeError
from ..typing import ArrayT

Pair = tuple[int, int]

#: What x and weight may be; bfloat16 is torch's alone.
DTYPES = ("float16", "bfloat16", "float32", "float64")

#: The most bytes of gathered rows at once.
COLUMN_BYTES = 64 << 20


#: Rows of outputs are numbered by int32.
_MOST_ROWS = 1 << 31


@dataclass(frozen=True)
class Window:
    """The windows of a convolution, each value of rows and of columns."""

    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def values(self) -> tuple[int, ...]:
        """The eight numbers that native code takes."""
        return (*self.kernel_size, *self.stride, *self.padding, *self.dilation)

    @property
    def taps(self) -> int:
        return self.kernel_size[0] * self.kernel_size[1]

    def out_size(self, height: int, width: int) -> Pair:
        """(OH, OW) on an image; less than 1 where it is smaller than the window.

        Raises:
            ArgumentError: padding makes an output of 2^31 pixels or more, whose rows have no numbers.
        """
        each = zip((height, width), self.kernel_size, self.stride, self.padding, self.dilation)
        oh, ow = ((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in each)
        if oh * ow >= _MOST_ROWS and min(oh, ow) > 0:
            raise ArgumentError(f"padding: {self.padding} makes an output of {oh} x {ow} pixels, expected below 2^31")
        return oh, ow


class LayerPlan:
    """What one layer needs to know of its mask.

    Attributes:
        window: the windows.
        channels: planes of the mask that a window sums: 1, or those of a group's channels.
        groups: of the maps below: 1, or the layer's where the mask has a plane for each channel.
        soft: whether the mask has values between 0 and 1.
        full: whether the mask is one everywhere.
        plain: whether every ratio is one: a convolution like any other.
        on_device: whether it is in the memory of a CUDA device, where full and plain are false of any mask, and rows
            and share wait for the device.
    """

    on_device = False

    def __init__(
        self, window: Window, mask: NumpyArray, count: NumpyArray, ratio: NumpyArray, cover: NumpyArray,
        rows: NumpyArray, *, dtype: Any, torch: bool, full: bool,
    ) -> None:  # fmt: skip
        self.window = window
        self.soft = cover.dtype != np.bool_
        self.groups = count.shape[1]
        self.channels = mask.shape[1] // self.groups
        self.full = full
        self.plain = not self.soft and bool((count == self.size).all())
        self._mask, self._count, self._ratio, self._cover, self._rows = mask, count, ratio, cover, rows
        self._dtype, self._torch = dtype, torch
        self._index: NumpyArray | None = None
        self._in_type: dict[tuple[str, str, int | None], NumpyArray] = {}
        self._views: dict[tuple[str, str, int], Any] = {}
        self._batch: LayerPlan | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Addresses are of this plan's memory, not of a copy's.
        state = {name: value for name, value in vars(self).items() if name not in ("where", "index_address")}
        return {**state, "_views": {}}

    def __repr__(self) -> str:
        n, _, oh, ow = self._ratio.shape
        return f"LayerPlan({n} x {oh} x {ow} windows, {len(self._rows)} active)"

    @property
    def size(self) -> int:
        """S: the values of the mask in a window."""
        return self.window.taps * self.channels

    @property
    def mask_in(self) -> Array:
        """[N, 1 or C, H, W]: the mask, in its dtype."""
        return self._as_mask(self._mask)

    @property
    def mask_out(self) -> Array:
        """[N, groups, OH, OW]: the new mask, in the dtype of the mask."""
        return self._as_mask(self._cover)

    @property
    def count(self) -> Array:
        """[N, groups, OH, OW] float32 (float64 of a soft float64 mask): the sum of the mask over each window."""
        return self._kind(self._count)

    @property
    def ratio(self) -> Array:
        """[N, groups, OH, OW] float32: S / count times the new mask; zero where the count is."""
        return self._kind(self._ratio)

    @property
    def rows(self) -> Array:
        """[M] int32: positions in [N, OH, OW] of the windows with a known pixel, in order."""
        return self._kind(self._rows)

    @property
    def share(self) -> float:
        """Active windows of all."""
        n, _, oh, ow = self._ratio.shape
        return len(self._rows) / (n * oh * ow)

    def _as_mask(self, x: NumpyArray) -> Array:
        return self._kind(x).to(self._dtype) if self._torch else x.astype(self._dtype, copy=False)

    def cover_tensor(self, dtype: Any, channels: int = 1) -> Array:
        """mask_out of a dtype, for each of the channels where groups differ."""
        cover = self._kind(self._cover).to(dtype)
        return cover.repeat_interleave(channels // self.groups, 1) if self.groups > 1 else cover

    def _kind(self, x: NumpyArray) -> Array:
        return sys.modules["torch"].from_numpy(x) if self._torch else x

    # What kernels take, beside float64 in float64, else in float32.

    def index(self) -> NumpyArray:
        """[N, OH, OW] int32: the number of a window among the rows, or -1."""
        if self._index is None:
            n, _, oh, ow = self._ratio.shape
            index = np.empty((n, oh, ow), np.int32)
            native.partial_conv_index(address(self._rows), address(index))
            self._index = index
        return self._index

    def ratio_in(self, real: str, group: int = 0) -> NumpyArray:
        """[N, OH, OW] real: the ratio of a group, exact to a rounding."""
        return self._typed("ratio", real, group, lambda: self._ratio if real == "float32" else self._exact_ratio())

    def cover_in(self, real: str, group: int = 0) -> NumpyArray | None:
        """[N, OH, OW] real: the new mask of a group; None where it is one wherever the ratio is not zero."""
        return self._typed("cover", real, group, lambda: self._cover) if self.soft else None

    def mask_in_type(self, real: str) -> NumpyArray | None:
        """The mask as bool or real; None where it is one everywhere."""
        if self.full or not self.soft:
            return None if self.full else self._mask
        return self._typed("mask", real, None, lambda: self._mask)

    def view_of(self, name: str, real: str, group: int = 0) -> Any:
        """The native view of 'ratio', 'cover' or 'mask' as above, made once."""
        key = (name, real, group)
        if key not in self._views:
            make = {"ratio": self.ratio_in, "cover": self.cover_in}.get(name)
            self._views[key] = optional(make(real, group) if make else self.mask_in_type(real))
        return self._views[key]

    @functools.cached_property
    def where(self) -> tuple[int, int]:
        """The rows as native code takes them: where they are, and how many."""
        return address(self._rows)

    @functools.cached_property
    def index_address(self) -> int:
        """Where `index` is."""
        return int(self.index().ctypes.data)

    def _exact_ratio(self) -> NumpyArray:
        count = self._count.astype(np.float64)
        return np.where(count > 0, self.size / np.maximum(count, 1), 0)

    def _typed(self, name: str, real: str, group: int | None, make: Callable[[], NumpyArray]) -> NumpyArray:
        # Kept, because native code sees the memory and not the array.
        key = (name, real, group)
        if key not in self._in_type:
            found = make()
            self._in_type[key] = (
                found.astype(real, copy=False) if group is None else np.ascontiguousarray(found[:, group], real)
            )
        return self._in_type[key]

    def for_batch(self, n: int) -> LayerPlan:
        """This plan, of one mask, for n images that share it."""
        if self._ratio.shape[0] == n:
            return self
        if self._batch is None or self._batch._ratio.shape[0] != n:
            plane = self._ratio.shape[2] * self._ratio.shape[3]
            rows = (self._rows[None] + plane * np.arange(n, dtype=np.int32)[:, None]).reshape(-1)
            count, ratio, cover = (
                np.ascontiguousarray(np.broadcast_to(a, (n, *a.shape[1:])))
                for a in (self._count, self._ratio, self._cover)
            )
            mask = np.broadcast_to(self._mask, (n, *self._mask.shape[1:]))
            self._batch = LayerPlan(
                self.window, mask, count, ratio, cover, rows, dtype=self._dtype, torch=self._torch, full=self.full
            )
        return self._batch


class MaskPlan:
    """Window sums, ratios and active windows of a chain of layers, from one mask; see `mask_plan`.

    Example:
        >>> from pyharmony import ops
        >>> mask = np.ones((1, 1, 8, 8), np.float32)
        >>> mask[..., 2:4, 2:4] = 0  # a hole
        >>> plan = ops.MaskPlan(mask, [(3, 2, 1), (3, 2, 1)])  # kernel, stride and padding of two layers
        >>> len(plan)
        2
    """

    def __init__(self, mask: Array, layers: Sequence[Any], *, soft: bool = False) -> None:
        self._chain = tuple(_layer(layer, f"layers[{i}]") for i, layer in enumerate(layers))
        if not self._chain:
            raise ArgumentError("layers: empty, expected at least one layer")
        self._soft = soft
        self._layers = plan_layers(_mask_4d(mask), self._chain, soft)
        self._complement: MaskPlan | None = None

    def __getitem__(self, i: int) -> LayerPlan:
        return self._layers[i]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[LayerPlan]:
        return iter(self._layers)

    def complement(self) -> MaskPlan:
        """The plan of 1 - mask for the same layers."""
        if self._complement is None:
            mask = self._layers[0].mask_in
            other = ~mask if dtype_of(mask) == "bool" else 1 - mask
            layers = [(*_pairs(window), groups) for window, groups in self._chain]
            self._complement = MaskPlan(other, layers, soft=self._soft)
        return self._complement


# ---- plans ----------------------------------------------------------------------------------------------------------


def mask_plan(mask: Array, layers: Sequence[Any], *, soft: bool = False) -> MaskPlan:
    """Plans a chain of partial convolutions, each on the new mask of the one before.

    Args:
        mask: [N, 1, H, W], or [N, C, H, W] with a plane for each channel of the first layer's input; N may be 1 where
            all images share it; or [H, W]. bool, or floats that are 0 and 1; 1 is known. numpy or torch.
        layers: for each layer its module (what has kernel_size, stride, padding and dilation), or a tuple
            (kernel_size, stride, padding, dilation, groups), of which all but the first may be left out; each value
            an integer or a pair of rows and columns.
        soft: accept values between 0 and 1.

    Returns:
        A plan with one LayerPlan for each layer, to be given to `partial_conv2d` and `nn.PartialConv2d`. It does not
        change with the mask's memory.

    Raises:
        MaskError: values outside [0, 1]; values that are neither 0 nor 1 without soft.
        ShapeError: no such mask, or one smaller than a window.
        DTypeError: the mask's dtype is no float and not bool.
        ArgumentError: a layer that is not one.

    Example:
        >>> from pyharmony import ops
        >>> mask = np.ones((1, 1, 8, 8), np.float32)
        >>> mask[..., 2:4, 2:4] = 0  # a hole
        >>> plan = ops.mask_plan(mask, [(3, 1, 1)])  # kernel, stride and padding of a layer
        >>> x, weight = np.ones((1, 1, 8, 8), np.float32), np.ones((1, 1, 3, 3), np.float32)
        >>> y, new_mask = ops.partial_conv2d(x, weight, padding=1, plan=plan[0])
        >>> y[0, 0, 2, 2].round(3).item(), int(new_mask.sum())
        (9.0, 64)
    """
    return MaskPlan(mask, layers, soft=soft)


def pair(value: Any, name: str, low: int) -> Pair:
    """An integer or a pair of them as a pair."""
    values = (value, value) if isinstance(value, (int, np.integer)) and not isinstance(value, bool) else value
    try:
        found = tuple(int(v) for v in values)
        if len(found) == 2 and found == tuple(values) and min(found) >= low:
            return found[0], found[1]
    except (TypeError, ValueError):
        pass
    raise ArgumentError(f"{name}: {value!r}, expected an integer of at least {low} or two of them")


def window_of(kernel_size: Any, stride: Any, padding: Any, dilation: Any, name: str = "") -> Window:
    return Window(
        pair(kernel_size, f"{name}kernel_size", 1),
        pair(stride, f"{name}stride", 1),
        pair(padding, f"{name}padding", 0),
        pair(dilation, f"{name}dilation", 1),
    )


def _window_of(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> Window:
    """The same, remembered for what tuples and integers a layer has."""
    try:
        return _remembered_window(kernel_size, stride, padding, dilation)
    except TypeError:
        return window_of(kernel_size, stride, padding, dilation)


_remembered_window = functools.lru_cache(maxsize=256, typed=True)(window_of)


def _pairs(window: Window) -> tuple[Pair, ...]:
    return window.kernel_size, window.stride, window.padding, window.dilation


def _layer(layer: Any, name: str) -> tuple[Window, int]:
    if hasattr(layer, "kernel_size"):
        values = [layer.kernel_size, layer.stride, layer.padding, layer.dilation, getattr(layer, "groups", 1)]
    elif isinstance(layer, (tuple, list)) and 1 <= len(layer) <= 5:
        values = [*layer, *(1, 0, 1, 1)[len(layer) - 1 :]]
    else:
        raise ArgumentError(f"{name}: {layer!r}, expected a layer or (kernel_size, stride, padding, dilation, groups)")
    kernel_size, stride, padding, dilation, groups = values
    window = window_of(kernel_size, stride, padding, dilation, f"{name}: ")
    return window, pair(groups, f"{name}: groups", 1)[0]


def _mask_4d(mask: Any) -> Array:
    """A mask [N, C, H, W] of a dtype that is accepted."""
    if not isinstance(mask, np.ndarray) and not _arrays.is_torch(mask):
        raise DTypeError(f"mask: {type(mask).__name__}, expected a numpy.ndarray or a torch.Tensor")
    check_dense(mask, "mask")
    dtype = dtype_of(mask)
    if dtype not in ("bool", *DTYPES):
        raise DTypeError(f"mask: dtype {dtype} is not supported, use bool or floats in [0, 1], such as mask > 0")
    if mask.ndim == 2:
        mask = mask[None, None]
    if mask.ndim != 4 or 0 in mask.shape:
        raise ShapeError(f"mask: shape {list(mask.shape)}, expected [N, 1, H, W], [N, C, H, W] or [H, W]")
    if _arrays.is_torch(mask):
        mask = mask.detach()
        if mask.device.type not in ("cpu", "cuda"):
            raise DTypeError(f"mask: a tensor on {mask.device}, expected one on the CPU or a CUDA device")
    return mask


def on_device(x: Any) -> bool:
    """Whether x is a tensor on a CUDA device."""
    return _arrays.is_torch(x) and bool(x.is_cuda)


def sizes_of(shape: tuple[int, ...], chain: tuple[tuple[Window, int], ...]) -> tuple[int, list[Pair]]:
    """The groups of a mask [N, C, H, W], and the size of each layer's new mask."""
    _, channels, *size = shape
    groups = 1 if channels == 1 else chain[0][1]
    if channels % groups:
        raise ShapeError(f"mask: {channels} channels do not divide by groups {groups}")
    sizes: list[Pair] = []
    for i, (window, _) in enumerate(chain):
        before, size = size, list(window.out_size(*size))
        if min(size) < 1:
            raise ShapeError(f"mask: [{before[0]}, {before[1]}] is smaller than the window of layer {i}, {window}")
        sizes.append((size[0], size[1]))
    return groups, sizes


def plan_layers(mask: Array, chain: tuple[tuple[Window, int], ...], soft: bool) -> tuple[LayerPlan, ...]:
    """The layers of a chain from the mask of the first."""
    if on_device(mask):
        from . import _partial_conv_cuda

        return _partial_conv_cuda.plan_layers(mask, chain, soft)
    seen = view(mask, "mask")
    kind = native.partial_conv_mask_kind(seen)
    if kind == 3:
        raise MaskError("mask: values outside [0, 1]")
    if kind == 2 and not soft:
        raise MaskError("mask: values between 0 and 1; pass soft=True, or mask > 0.5")
    groups, sizes = sizes_of(tuple(mask.shape), chain)
    n = mask.shape[0]
    # A soft mask of zeros and ones is a hard one: min(u, 1) says the same.
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
        seen, groups, soft,
        [(window.values, *(_arrays.view(a, "maps", writable=True) for a in arrays), rows.ctypes.data)
         for (window, _), (*arrays, rows) in zip(chain, maps)],
    )  # fmt: skip
    first = mask if soft else mask != 0
    if _arrays.is_torch(first):
        # bfloat16 is of torch alone.
        first = _arrays.to_numpy(first.float() if dtype_of(first) == "bfloat16" else first, "mask")
    current = np.array(first, real if soft else np.bool_)
    layers, full = [], kind == 0
    for (window, _), (count, ratio, cover, rows), total in zip(chain, maps, totals):
        layer = LayerPlan(
            window,
            current,
            count,
            ratio,
            cover,
            rows[:total].copy(),
            dtype=mask.dtype,
            torch=_arrays.is_torch(mask),
            full=full,
        )
        layers.append(layer)
        current, full = cover, len(layer._rows) == len(rows) and not layer.soft and groups == 1
    return tuple(layers)


@functools.lru_cache(maxsize=16)
def _ones(height: int, width: int, window: Window, torch: bool) -> LayerPlan:
    """The plan without a mask: borders alone."""
    mask = np.ones((1, 1, height, width), np.bool_)
    return plan_layers(sys.modules["torch"].from_numpy(mask) if torch else mask, ((window, 1),), False)[0]


# ---- the call -------------------------------------------------------------------------------------------------------


def partial_conv2d(
    x: ArrayT,
    weight: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    soft: bool = False,
    plan: LayerPlan | None = None,
    scale: Any = None,
    negative_slope: float | None = None,
) -> tuple[ArrayT, ArrayT]:
    """Convolves the known pixels of x and scales by the share of each window that is known.

    y = act(scale r conv(mask x, weight) + bias c), with u the sum of the mask over a window of S values,
    c = min(u, 1) and r = S / u c, zero where u is. Pixels beyond the border count as unknown. Gradients of any order
    flow to x, weight, bias and scale; none to the mask. What x holds in holes does not matter, NaN included.

    Args:
        x: [N, C, H, W] float16, float32, float64, or bfloat16 of torch; any memory format.
        weight: [O, C / groups, kh, kw] of the same kind and dtype.
        bias: [O], or None.
        mask: [N or 1, 1, H, W], [H, W], or [N or 1, C, H, W] with a plane for each channel; bool or floats, 1 is
            known. None: all known.
        stride, padding, dilation, groups: as of a convolution; an integer or a pair of rows and columns.
        soft: accept mask values between 0 and 1.
        plan: the layer's part of a `mask_plan`, in place of mask.
        scale: a number, or a scalar of x's kind (with a gradient, such as 1 / sigma of a spectral norm).
        negative_slope: of a leaky ReLU that is applied to y, 0 or more; 0 is a ReLU. None: no activation.

    Returns:
        y [N, O, OH, OW], channels-last where x or weight is, and the new mask in the mask's dtype: [N or 1, 1, OH,
        OW], or [N or 1, O, OH, OW] (a view, not to be written) of a mask with planes for channels.

    Raises:
        ShapeError: shapes that do not fit each other; a mask that does not broadcast to x; a plan of another layer.
        DTypeError: dtypes or kinds that differ.
        MaskError: mask values outside [0, 1], or between without soft.
        ArgumentError: a stride, padding, dilation, number of groups or slope that is not one.

    Example:
        >>> from pyharmony import ops
        >>> x, weight = np.ones((1, 1, 8, 8), np.float32), np.ones((1, 1, 3, 3), np.float32)
        >>> mask = np.ones((8, 8), np.float32)
        >>> mask[2:4, 2:4] = 0
        >>> y, new_mask = ops.partial_conv2d(x, weight, mask=mask, padding=1)
        >>> y[0, 0, 2, 2].round(3).item(), new_mask.min().item()
        (9.0, 1.0)
    """
    window = check_layer(x, weight, bias, stride, padding, dilation, groups)
    slope = 1.0 if negative_slope is None else number(negative_slope, "negative_slope", 0.0)
    if plan is not None and mask is not None:
        raise ArgumentError("plan: given beside mask, expected one of them")
    if _arrays.is_torch(x):
        from . import _partial_conv_torch

        of_tensor: Any = _partial_conv_torch.partial_conv2d
        return of_tensor(x, weight, bias, mask, window, groups, soft, plan, scale, slope)
    array: Any = x
    layer = layer_plan(array, mask, plan, window, groups, soft)
    factor = 1.0 if scale is None else number(scale, "scale")
    y: Any = _forward(array, weight, bias, layer.for_batch(array.shape[0]), groups, factor, slope)
    return y, by_channel(layer.mask_out, layer._mask.shape[1], weight.shape[0])


def dtype_of(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")


def real_of(x: Any) -> str:
    """The type of ratios, biases and sums beside x."""
    return "float64" if dtype_of(x) == "float64" else "float32"


def view(x: Any, name: str, *, writable: bool = False) -> Any:
    """The native view of an array or a tensor."""
    if _arrays.is_torch(x):
        return _arrays.tensor_view(x, writable=writable)
    return _arrays.view(x, name, writable=writable)


def address(x: NumpyArray) -> tuple[int, int]:
    """Where the integers of an array are, and how many."""
    return x.ctypes.data, x.size


def number(value: Any, name: str, low: float = -math.inf) -> float:
    """A finite number."""
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name}: {value!r}, expected a number") from error
    if not (math.isfinite(found) and found >= low):
        least = f" of at least {low:g}" if math.isfinite(low) else ""
        raise ArgumentError(f"{name}: {found}, expected a finite number{least}")
    return found


def check_layer(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Window:
    """Refuses what does not fit; the windows."""
    for value, name in ((x, "x"), (weight, "weight"), (bias, "bias")):
        if value is None and name == "bias":
            continue
        if not isinstance(value, np.ndarray) and not _arrays.is_torch(value):
            raise DTypeError(f"{name}: {type(value).__name__}, expected a numpy.ndarray or a torch.Tensor")
        if _arrays.is_torch(value) != _arrays.is_torch(x):
            raise DTypeError(f"{name}: {type(value).__name__}, expected the kind of x, {type(x).__name__}")
        check_dense(value, name)
        if dtype_of(value) not in DTYPES:
            raise DTypeError(f"{name}: dtype {dtype_of(value)} is not supported, use one of {', '.join(DTYPES)}")
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
    window = _window_of(tuple(weight.shape[2:]), stride, padding, dilation)
    if min(window.out_size(x.shape[2], x.shape[3])) < 1:
        raise ShapeError(f"x: [{x.shape[2]}, {x.shape[3]}] is smaller than {window}")
    return window


def check_dense(x: Any, name: str) -> None:
    """Refuses a tensor that is sparse or of oneDNN's own layout, of which there are no strides."""
    if _arrays.is_torch(x) and str(x.layout) != "torch.strided":
        raise DTypeError(f"{name}: a tensor of layout {x.layout}, expected a dense one; use {name}.to_dense()")


def check_same_dtype(x: Any, weight: Any, bias: Any) -> None:
    for value, name in ((weight, "weight"), (bias, "bias")):
        if value is not None and value.dtype != x.dtype:
            raise DTypeError(f"{name}: dtype {dtype_of(value)} differs from x {dtype_of(x)}; convert one of them")


def check_mask(mask: Any, x: Any) -> Array:
    """A mask [N or 1, 1 or C, H, W] that broadcasts to x."""
    if _arrays.is_torch(mask) != _arrays.is_torch(x):
        raise DTypeError(f"mask: {type(mask).__name__}, expected the kind of x, {type(x).__name__}")
    mask = _mask_4d(mask)
    n, c, h, w = x.shape
    if mask.shape[0] not in (1, n) or mask.shape[1] not in (1, c) or tuple(mask.shape[2:]) != (h, w):
        raise ShapeError(f"mask: shape {list(mask.shape)} does not broadcast to x {list(x.shape)}")
    return mask


def layer_plan(x: Any, mask: Any, plan: Any, window: Window, groups: int, soft: bool) -> LayerPlan:
    """The plan of a call."""
    if plan is None:
        if mask is None and on_device(x):
            from . import _partial_conv_cuda

            return _partial_conv_cuda.ones(x, window)
        if mask is None:
            return _ones(*x.shape[2:], window, _arrays.is_torch(x))
        return plan_layers(check_mask(mask, x), ((window, groups),), soft)[0]
    check_plan(plan, x, window, groups)
    return plan


def check_plan(plan: Any, x: Any, window: Window, groups: int) -> None:
    """Refuses a plan of another layer."""
    n, c, h, w = x.shape
    if not isinstance(plan, LayerPlan):
        raise ArgumentError(f"plan: {type(plan).__name__}, expected one layer of a MaskPlan, such as plan[0]")
    if plan.window != window:
        raise ShapeError(f"plan: made for {plan.window}, the layer has {window}")
    shape = plan._mask.shape
    if shape[0] not in (1, n) or shape[1] not in (1, c) or shape[2:] != (h, w):
        raise ShapeError(f"plan: made for a mask {list(shape)}, which does not broadcast to x {list(x.shape)}")
    if shape[1] > 1 and plan.groups != groups:
        raise ShapeError(f"plan: made for groups {plan.groups}, the layer has {groups}")


def by_channel(cover: Array, planes: int, channels: int) -> Array:
    """A new mask as the next layer takes it: with a plane for each channel where the mask had several."""
    if planes == 1:
        return cover
    n, g, h, w = cover.shape
    shape = (n, g, channels // g, h, w)
    if _arrays.is_torch(cover):
        return cover[:, :, None].expand(shape).reshape(n, channels, h, w)
    return np.broadcast_to(cover[:, :, None], shape).reshape(n, channels, h, w)


# ---- NumPy ----------------------------------------------------------------------------------------------------------


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
            optional(layer.cover_in(real, own)),
            optional(None if offset is None else offset[these]), scale, slope,
            _arrays.view(y[:, these], "y", writable=True),
        )  # fmt: skip
    return y


def premask(x: Any, mask: NumpyArray, out: Any) -> Any:
    """out = x mask, of one layout; in place where they are one."""
    if mask.shape[0] != x.shape[0]:
        mask = np.broadcast_to(mask, (x.shape[0], *mask.shape[1:]))
    native.partial_conv_premask(view(x, "x"), _arrays.view(mask, "mask"), view(out, "out", writable=True))
    return out


def optional(x: NumpyArray | None) -> Any:
    return None if x is None else _arrays.view(x, "map")
