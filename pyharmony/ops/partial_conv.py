"""Partial convolution: a convolution of the known pixels, scaled by the share of known pixels in each window.

Definition: `pyharmony.reference.partial_conv`. The sums over windows depend only on the mask, so a `MaskPlan` of all
layers of a network is computed once and used in forward, backward, and every call with the same mask. It lists the
windows with a known pixel. If these are few, they are gathered into the rows of one matrix product; if they are many,
a library's convolution runs between two passes over whole tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .. import _arrays, _checks
from .._arrays import Array, dtype_of
from ..errors import ArgumentError
from ..typing import ArrayT, PartialConvMethod
from . import _partial_conv_cpu
from ._partial_conv import METHODS, Window, check_layer, mask_4d, number, pairs_of, parse_layer
from ._partial_conv import LayerPlan as LayerPlan
from ._partial_conv import Pair as Pair
from ._partial_conv import pair as pair

__all__ = ["LayerPlan", "MaskPlan", "Pair", "mask_plan", "pair", "partial_conv2d"]


def _plan_layers(mask: Array, chain: tuple[tuple[Window, int], ...], soft: bool) -> tuple[LayerPlan, ...]:
    if not _arrays.is_torch(mask):
        return _partial_conv_cpu.plan_layers(mask, chain, soft)
    from . import _partial_conv_torch

    plans: tuple[LayerPlan, ...] = _partial_conv_torch.plan_layers(mask, chain, soft)
    return plans


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

    def __init__(
        self, mask: Array, layers: Sequence[Any], *, soft: bool = False, method: PartialConvMethod = "auto"
    ) -> None:
        _checks.flags(soft=soft)
        _checks.one_of(method, "method", METHODS)
        layers = _checks.several(layers, "layers", "a list of layers")
        self._chain = tuple(parse_layer(layer, f"layers[{i}]") for i, layer in enumerate(layers))
        if not self._chain:
            raise ArgumentError("layers: empty, expected at least one layer")
        self._soft = soft
        self._method: PartialConvMethod = method
        self._layers = _plan_layers(mask_4d(mask), self._chain, soft)
        for layer in self._layers:
            layer.method = method
        self._complement: MaskPlan | None = None

    def __getitem__(self, i: int) -> LayerPlan:
        return self._layers[i]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[LayerPlan]:
        return iter(self._layers)

    def complement(self) -> MaskPlan:
        """Returns the plan of 1 - mask for the same layers."""
        if self._complement is None:
            mask = self._layers[0].mask_in
            other = ~mask if dtype_of(mask) == "bool" else 1 - mask
            layers = [(*pairs_of(window), groups) for window, groups in self._chain]
            self._complement = MaskPlan(other, layers, soft=self._soft, method=self._method)
        return self._complement


def mask_plan(
    mask: Array, layers: Sequence[Any], *, soft: bool = False, method: PartialConvMethod = "auto"
) -> MaskPlan:
    """Plans a chain of partial convolutions, each on the new mask of the previous one.

    Args:
        mask: [N, 1, H, W], or [N, C, H, W] with a plane for each channel of the first layer's input; N may be 1 if
            all images share it; or [H, W]. bool, or floats that are 0 and 1; 1 is known. numpy or torch.
        layers: for each layer its module (with kernel_size, stride, padding and dilation), or a tuple
            (kernel_size, stride, padding, dilation, groups), of which all but the first may be omitted; each value
            is an integer or a pair for rows and columns.
        soft: accept values between 0 and 1.
        method: "rows" computes the active windows alone, where a layer allows it; "dense" computes all of them;
            "auto" decides by their share on a CPU, and is "dense" on a GPU.

    Returns:
        A plan with one LayerPlan for each layer, an argument of `partial_conv2d` and `nn.PartialConv2d`. Later changes
        of the mask's memory do not change it.

    Raises:
        MaskError: values outside [0, 1]; values that are neither 0 nor 1 without soft.
        ShapeError: the mask has a wrong shape, or is smaller than a window.
        DTypeError: the mask's dtype is neither a float nor bool.
        ArgumentError: an item of layers does not describe a layer, or method is none of these.

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
    return MaskPlan(mask, layers, soft=soft, method=method)


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
    """Convolves the known pixels of x and scales by the known share of each window.

    y = act(scale r conv(mask x, weight) + bias c), with u the sum of the mask over a window of S values,
    c = min(u, 1) and r = S / u c, zero where u is zero. Pixels beyond the border are unknown. Gradients of any order
    flow to x, weight, bias and scale, not to the mask. The values of x in holes have no influence, even NaN.

    Args:
        x: [N, C, H, W] float16, float32, float64, or bfloat16 of torch; any memory format.
        weight: [O, C / groups, kh, kw] of the same kind and dtype.
        bias: [O], or None.
        mask: [N or 1, 1, H, W], [H, W], or [N or 1, C, H, W] with a plane for each channel; bool or floats, 1 is
            known. None: all known.
        stride, padding, dilation, groups: as for a convolution; an integer or a pair for rows and columns.
        soft: accept mask values between 0 and 1.
        plan: the layer's part of a `mask_plan`, instead of mask.
        scale: a number, or a scalar of x's kind (with a gradient, such as 1 / sigma of a spectral norm).
        negative_slope: the slope of a leaky ReLU applied to y, 0 or more; 0 is a ReLU. None: no activation.

    Returns:
        y [N, O, OH, OW], channels-last if x or weight is, and the new mask in the mask's dtype: [N or 1, 1, OH,
        OW], or for a mask with planes for channels [N or 1, O, OH, OW] (a view, not to be written).

    Raises:
        ShapeError: shapes do not match, the mask does not broadcast to x, or the plan is of another layer.
        DTypeError: dtypes or kinds differ.
        MaskError: mask values are outside [0, 1], or between without soft.
        ArgumentError: a stride, padding, dilation, number of groups or slope is out of range.

    Example:
        >>> from pyharmony import ops
        >>> x, weight = np.ones((1, 1, 8, 8), np.float32), np.ones((1, 1, 3, 3), np.float32)
        >>> mask = np.ones((8, 8), np.float32)
        >>> mask[2:4, 2:4] = 0
        >>> y, new_mask = ops.partial_conv2d(x, weight, mask=mask, padding=1)
        >>> y[0, 0, 2, 2].round(3).item(), new_mask.min().item()
        (9.0, 1.0)
    """
    form = None
    if mask is None and getattr(plan, "on_device", False) and _arrays.is_torch(x):
        # Arguments of the same forms as in an earlier call need no checks. True equals 1, but is refused for it.
        others = (stride, padding, dilation, groups, soft, negative_slope)
        kinds = type(stride), type(padding), type(dilation), type(groups), type(soft), type(negative_slope), type(scale)
        form, known = plan.find_call(x, weight, bias, scale, (*others, *kinds))  # type: ignore[union-attr]
        if known is not None:
            return known
    _checks.flags(soft=soft)
    window = check_layer(x, weight, bias, stride, padding, dilation, groups)
    slope = 1.0 if negative_slope is None else number(negative_slope, "negative_slope", 0.0)
    if plan is not None and mask is not None:
        raise ArgumentError("plan: not accepted with mask, expected one of them")
    way: Any = _partial_conv_cpu.partial_conv2d
    if _arrays.is_torch(x):
        from . import _partial_conv_torch

        way = _partial_conv_torch.partial_conv2d
    result: tuple[ArrayT, ArrayT] = way(x, weight, bias, mask, window, groups, soft, plan, scale, slope)
    if form is not None:
        plan.keep_call(form, _partial_conv_torch.run_checked, groups, slope)  # type: ignore[union-attr]
    return result
