"""The gradient of `gaussian_poisson` and `poisson`, and `gaussian_poisson` as an operator of torch for its compiler.

The result is x = A^-1 (b + c base), b = D^T (alpha D src + (1 - alpha) D dst), at the unknown pixels and dst at
the others: D computes the differences of neighbours, alpha is the share of src at an edge, c the weights and
A = D^T D + C with the Gaussian in C; see `pyharmony.reference.gaussian_poisson`. A is symmetric, so that with the
incoming gradient g and y = A^-1 g, zero at known pixels,

    src.grad = T,   base.grad = c y,   dst.grad = g - C y - T,   T = D^T alpha D y.

dst.grad is valid for all pixels: at unknown ones A y = g, known ones act through their links. With 'average' alpha is
half the mask, with 'mixed' it is zero if dst was the stronger. With the contour 'full' it is the larger of the two
pixels' masks instead of their mean. 'monochrome' distributes the sum of T over the channels by the luma. If nothing
determines the mean (no weight, no known pixel) the mean is that of base, which gets the mean of g, and
y = A^-1 (g - mean g). A^-1 and y -> T + C y are symmetric operators, so each is its own gradient:
derivatives of any order follow.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _arrays, _checks, _cuda
from .._arrays import Array
from ..errors import ArgumentError
from ..reference.gaussian_poisson import GRADIENT_KERNELS
from ..reference.luma import LUMA
from . import _gaussian_poisson_cpu, _gaussian_poisson_cuda
from ._gaussian_poisson import METHODS, call_of
from ._gaussian_poisson_inverse_torch import Operator, inverse, links, plane_of
from ._native_torch import operator
from ._poisson import SOLVERS

#: `infos` is the list for a call with return_info. It is local to the thread that runs the operator.
_waiting = threading.local()


def _free_mean(grad: Tensor, mask: Tensor, color_map: Tensor | None, op: Operator) -> Tensor | None:
    """Returns the mean of grad by channel if nothing determines the mean of the result, else zero or None."""
    if color_map is None and op.weight > 0:
        return None
    plane = (-2, -1) if grad.ndim == 2 else (-3, -2)
    mean = grad.mean(plane, keepdim=True)
    if color_map is not None:
        mean = torch.where((color_map == 0).all(), mean, 0.0)
    if op.pinned:
        mean = torch.where(plane_of(mask, grad).amin(plane, keepdim=True) > 0, mean, 0.0)
    return mean


def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """Returns the gradients of the inputs of either op, after `set_up`."""
    mask, color_map, *pair = ctx.saved_tensors
    op: Operator = ctx.operator
    for_src, for_dst, _, for_base = ctx.needs_input_grad[:4]
    y = inverse(
        grad, mask, color_map, op.weight, op.sigma, op.reference, op.pinned, op.levels, op.solver,
        op.in_float64(grad.dtype, color_map),
    )  # fmt: skip
    # Below, float32 is as precise as the gradients themselves.
    double = grad.dtype == torch.float64
    g = grad.to(torch.float64 if double else torch.float32)
    # Without a Gaussian C is the diagonal of the weights, and without weights base only determines the mean.
    plain = op.sigma == 0 or (color_map is None and op.weight == 0)
    color: Tensor | None = None
    if color_map is not None:
        # The solve uses a map in float32 unless it is constant.
        single = color_map.to(torch.float32).to(color_map.dtype)
        color = plane_of(torch.where(color_map.amin() == color_map.amax(), color_map, single), g) * y.to(g.dtype)
    elif op.weight > 0:
        color = op.weight * y.to(g.dtype)
    mean = _free_mean(g, mask, color_map, op) if ctx.mean_of_base else None
    pull: Any = None
    src_grad = dst_grad = base_grad = None
    if for_src or (for_dst and plain):
        average, full = ctx.gradients == "average", ctx.contour == "full"
        pull = links(y, mask, None, pair, 0.0, 0.0, False, average, full, double)
    if for_dst:
        dst_grad = g - (
            pull if plain else links(y, mask, color_map, [], op.weight, op.sigma, op.reference, False, False, double)
        )
        if plain and color is not None:
            dst_grad = dst_grad - color
        if mean is not None:
            dst_grad = dst_grad - mean
        dst_grad = dst_grad.to(grad.dtype)
    if for_src:
        src_grad = pull
        if ctx.gradients == "monochrome" and y.ndim > 2:
            channels = y.shape[-1]
            luma = g.new_tensor(LUMA if channels == 3 else [1 / channels] * channels)
            src_grad = pull.sum(-1, keepdim=True) * luma
        if ctx.base_is_src and color is not None:
            src_grad = src_grad + color
        src_grad = src_grad.to(grad.dtype)
    if for_base:
        base_grad = torch.zeros_like(g) if color is None else color
        if mean is not None:
            base_grad = base_grad + mean
        base_grad = base_grad.to(ctx.base_dtype)
    return (src_grad, dst_grad, None, base_grad, *[None] * ctx.settings)


def set_up(
    ctx: Any, inputs: tuple[Any, ...], numbers: Operator, gradients: str, contour: str, mean_of_base: bool
) -> None:
    """Saves the inputs that `backward` needs, for either op."""
    src, dst, mask, base, color_map, *settings = inputs
    ctx.save_for_backward(mask, color_map, *([src, dst] if gradients == "mixed" else []))
    ctx.operator, ctx.gradients, ctx.contour, ctx.mean_of_base = numbers, gradients, contour, mean_of_base
    ctx.base_is_src = base is None
    ctx.base_dtype = None if base is None else base.dtype
    ctx.settings = 1 + len(settings)
    ctx.solver = SOLVERS.get(numbers.solver)  # kept alive as long as its graph


def empty_like_dst(src: Tensor, dst: Tensor, *_: Any) -> Tensor:
    """Returns an empty result of either op."""
    return dst.new_empty(dst.shape)


def levels_of(tolerance: float | None, image: Tensor) -> float:
    """Returns the tolerance, in 8-bit levels, of a call on images of this dtype."""
    return _checks.tolerance(tolerance, _arrays.dtype_of(image))


# ---- calls of operators ---------------------------------------------------------------------------------------------


def tensor_of(x: Array, name: str, like: Tensor) -> Tensor:
    """Returns an array as a tensor on the device of another tensor."""
    if isinstance(x, Tensor):
        return x
    array = _arrays.to_numpy(x, name)
    if not torch.compiler.is_compiling():  # under the compiler arrays are tensors already
        array = np.array(array, order="C")  # torch rejects negative strides, and warns about read-only memory
    return torch.from_numpy(array).to(like.device)


def check(dst: Array, mask: Array, color_weight: Any, **images: Array | None) -> None:
    """Raises for calls whose gradient would be lost."""
    if not isinstance(dst, Tensor):
        raise ArgumentError(
            f"dst: {type(dst).__name__}, so the result would have no graph; pass a tensor, or the others detached"
        )
    if not torch.is_grad_enabled():
        return
    for x, name in ((mask, "mask"), (color_weight, "color_weight")):
        if isinstance(x, Tensor) and x.requires_grad:
            raise ArgumentError(
                f"{name}: requires grad, but only src, dst and base have gradients; pass {name}.detach()"
            )
    for name, x in images.items():
        if isinstance(x, Tensor) and x.requires_grad and not dst.is_floating_point():
            raise ArgumentError(
                f"{name}: requires grad, but a rounded result in {dst.dtype} has none; pass src and dst as "
                f"floats, or {name}.detach()"
            )


def weights_of(color_weight: Any, like: Tensor) -> tuple[Tensor | None, float]:
    """Returns the map of weights or None, and the number if there is no map."""
    if isinstance(color_weight, Tensor) or (isinstance(color_weight, np.ndarray) and color_weight.ndim > 0):
        return tensor_of(color_weight, "color_weight", like), 0.0
    return None, number(color_weight, "color_weight")


def number(x: Any, name: str) -> float:
    """Returns a float unchanged, since it may be symbolic under a compiler; the op checks its range."""
    return x if isinstance(x, float) else _checks.number(x, name)


def call_operator(op: Any, arguments: tuple[Any, ...], return_info: bool) -> Any:
    """Calls an operator and returns its result; with return_info, also the infos of its run."""
    if not return_info:
        return op(*arguments)
    if torch.compiler.is_compiling():
        raise ArgumentError("return_info: True, but a compiled graph supports only tensors; expected False")
    infos: list[Any] = []
    _waiting.infos = infos
    try:
        image = op(*arguments)
    finally:
        del _waiting.infos
    return image, infos[0]


def image_of(compute: Any) -> Tensor:
    """Returns the image of compute(return_info) without a graph, and passes its info to `call_operator`."""
    infos = getattr(_waiting, "infos", None)
    with torch.no_grad():
        result = compute(infos is not None)
    image: Tensor = result
    if infos is not None:
        image, info = result
        infos.append(info)
    return image


# ---- gaussian_poisson -----------------------------------------------------------------------------------------------


def _run(
    src: Tensor,
    dst: Tensor,
    mask: Tensor,
    base: Tensor,
    color_map: Tensor | None,
    color_weight: float,
    sigma: float,
    reference: bool,
    gradient_kernel: str,
    preserve_background: bool,
    method: str,
    tolerance: float | None,
) -> Tensor:
    call = call_of(
        src, dst, mask, base, color_weight=color_weight if color_map is None else color_map, sigma=sigma,
        reference=reference, gradient_kernel=gradient_kernel, preserve_background=preserve_background, method=method,
        tolerance=tolerance, return_info=False,
    )  # fmt: skip
    return image_of(
        lambda info: _cuda.dispatch(
            replace(call, return_info=info), None, _gaussian_poisson_cpu, _gaussian_poisson_cuda
        )
    )


def _set_up(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *_, weight, sigma, reference, _, pinned, _, tolerance = inputs
    numbers = Operator(weight, sigma, reference, pinned, levels_of(tolerance, output), 0)
    set_up(ctx, inputs, numbers, "source", "half", True)


_operator = operator(
    "gaussian_poisson",
    "(Tensor src, Tensor dst, Tensor mask, Tensor base, Tensor? color_map, float color_weight, float sigma, "
    "bool reference, str gradient_kernel, bool preserve_background, str method, float? tolerance) -> Tensor",
    _run,
    empty_like_dst,
    backward,
    _set_up,
)


def gaussian_poisson(
    src: Array,
    dst: Array,
    mask: Array,
    base: Array,
    color_weight: Any,
    sigma: float,
    reference: bool,
    gradient_kernel: str,
    preserve_background: bool,
    method: str,
    tolerance: float | None,
    return_info: bool,
) -> Any:
    """Computes `pyharmony.ops.gaussian_poisson` in a graph."""
    check(dst, mask, color_weight, src=src, base=base)
    if gradient_kernel != "normal" and torch.is_grad_enabled():
        for x, name in ((src, "src"), (dst, "dst")):
            if isinstance(x, Tensor) and x.requires_grad:
                raise ArgumentError(
                    f"gradient_kernel: {gradient_kernel!r}, but {name} requires grad, which needs 'normal'; pass "
                    f"{name}.detach() for the gradient of base alone"
                )
    color_map, weight = weights_of(color_weight, dst)
    images = [tensor_of(x, name, dst) for x, name in ((src, "src"), (dst, "dst"), (mask, "mask"), (base, "base"))]
    settings = (
        number(sigma, "sigma"),
        bool(reference),
        _checks.one_of(gradient_kernel, "gradient_kernel", tuple(GRADIENT_KERNELS)),
        bool(preserve_background),
        _checks.one_of(method, "method", METHODS),
        None if tolerance is None else number(tolerance, "tolerance"),
    )
    return call_operator(_operator, (*images, color_map, weight, *settings), return_info)
