"""Gradients of `gaussian_poisson` and `poisson`, and both as operators of torch for its compiler.

The only module of the ops that imports torch; they import it when a tensor asks for a gradient or is compiled.

The result is x = A^-1 (b + c base), b = D^T (alpha D src + (1 - alpha) D dst), for the unknown pixels and dst for
the others: D takes the differences of neighbours, alpha is the share of src at an edge, c the weights and
A = D^T D + C with the Gaussian in C; see `pyharmony.reference.gaussian_poisson`. A is symmetric, so that with the
incoming gradient g and y = A^-1 g, zero where pixels are known,

    src.grad = T,   base.grad = c y,   dst.grad = g - C y - T,   T = D^T alpha D y.

dst.grad holds for all pixels: unknown ones have A y = g, known ones act through their links. With 'average' alpha is
half the mask, with 'mixed' zero where dst was the stronger, with the contour 'full' the larger of the two pixels' mask
in place of their mean; 'monochrome' spreads the sum of T over the channels by
the luma. Where nothing fixes the mean (no weight, no known pixel) it is that of base, which takes the mean of g, and
y = A^-1 (g - mean g). A^-1 and y -> T + C y are operators of their own, symmetric, so that each is its own gradient:
derivatives of any order follow.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .. import _arrays, _checks, _cuda
from .._arrays import Array, NumpyArray
from .._native import native
from ..errors import ArgumentError
from ..reference.gaussian_poisson import GRADIENT_KERNELS, LUMA, gaussian_taps
from ._gaussian_poisson_cuda import DeviceEquation, inverse
from ._images_cuda import planes_of, weight_on
from .gaussian_poisson import METHODS, Equation, choose_method, gaussian_poisson, solve
from .poisson import SOLVERS, poisson

_MAX_STEPS = 400
_MAX_ITERATIONS = 30
_STRIP = 16

#: `infos` is the list that a call with return_info waits for; the operator runs on its thread.
_waiting = threading.local()


@dataclass(frozen=True)
class Operator:
    """A, but for what is a tensor (mask and map), and how exactly it is to be inverted.

    Attributes:
        weight: color_weight where it is one number.
        sigma, reference, pinned: as in `gaussian_poisson`; pinned is its preserve_background.
        levels: the tolerance, which is relative here: no gradient is off by more than levels / 255 of the
            largest incoming one.
        solver: the key of a PoissonSolver with the same mask and weights, or 0.
    """

    weight: float
    sigma: float
    reference: bool
    pinned: bool
    levels: float
    solver: int

    def equation(self, mask: NumpyArray, channels: int, weight: float | NumpyArray) -> Equation:
        """A, of black images."""
        black = np.broadcast_to(np.zeros(1, np.float32), (*mask.shape, channels))
        w0, w1 = gaussian_taps(self.sigma, normalize=not self.reference)
        return Equation(
            src=black,
            dst=black,
            mask=mask,
            base=black,
            weight=weight if isinstance(weight, float) else float(weight.min()),
            weight_map=None if isinstance(weight, float) else weight,
            w0=w0,
            w1=w1,
            pinned=self.pinned,
        )

    def in_float64(self, dtype: torch.dtype, color_map: Tensor | None) -> bool:
        """Whether y, which is up to 1 / row excess times larger than g, needs more than float32.

        A float32 solve is taken to be off by 64 roundings of the largest y; up to 51 were measured.
        """
        if dtype == torch.float64 or color_map is not None or self.weight == 0:
            return True
        excess = self.equation(np.ones((1, 1), bool), 1, self.weight).row_excess()
        return 64 * 2.0**-24 * _largest_sum(self.weight) / 2 > self.levels / 255 * excess


def _largest_sum(weight: float) -> float:
    """At least twice the sum of magnitudes in a row of A, and in a row of what makes a gradient of y."""
    return 2 * (8 + weight)


# ---- A^-1 and T + C on arrays ---------------------------------------------------------------------------------------


def _items(mask: Tensor, color_map: Tensor | None, weight: float, image: NumpyArray) -> tuple[list[Any], Any]:
    """The mask of each item of image [N, H, W, C], and the weights."""
    count, height, width = image.shape[:3]
    planes = _arrays.to_numpy(mask, "mask")
    each = planes.shape == (count, height, width)
    masks = [_checks.mask(m, "mask", height, width) for m in (planes if each else [planes])]
    weights = weight if color_map is None else _checks.color_weight(color_map, height, width)
    return masks * (1 if each else count), weights


def _batch(x: NumpyArray) -> NumpyArray:
    """[H, W], [H, W, C] or [N, H, W, C] as [N, H, W, C]."""
    return x[None, ..., None] if x.ndim == 2 else x if x.ndim == 4 else x[None]


def _solve_item(eq: Equation, g: NumpyArray, out: NumpyArray, levels: float, hierarchy: Any) -> None:
    """out = A^-1 g, exact to levels / 255 of max |g| / _largest_sum."""
    most = max(float(g.max()), -float(g.min()))
    if not 0 < most < np.inf:
        # A gradient that is not finite goes on as such: who scales a loss waits for it.
        out.fill(0 if most == 0 else np.nan)
        return
    if eq.pinned and not eq.mask.max() > 0:
        out.fill(0)
        return
    if eq.pinned and eq.mask.min() > 0:
        eq.pinned = False
    size = _largest_sum(eq.largest_weight())
    b = np.divide(g, most, out=np.empty(g.shape, out.dtype))
    b *= size
    if eq.largest_weight() == 0 and not eq.pinned:
        b -= b.mean((0, 1), dtype=np.float64).astype(b.dtype)
    # What made the result does not matter: all methods solve the same equation.
    method = "multigrid" if hierarchy else choose_method(eq, levels)
    double = out.dtype == np.float64
    rhs, into, limit = _arrays.view(b, "grad"), _arrays.view(out, "out", writable=True), levels / 255
    if method == "dct":
        native.gaussian_poisson_dct(
            *eq.views(), into, weight=eq.weight, w0=eq.w0, w1=eq.w1, double_precision=double, rhs=rhs
        )
    elif method == "chebyshev":
        single = b.astype(np.float32, copy=False)
        state = np.empty(out.shape, np.float32) if double else out
        stats = native.gaussian_poisson_chebyshev(
            *eq.views(),
            _arrays.view(state, "out", writable=True),
            tolerance=limit,
            max_steps=_MAX_STEPS,
            rhs=_arrays.view(single, "grad"),
            **eq.operator(),
        )
        if not stats["converged"]:
            eq.field = b.astype(np.float64)
            solve(eq, out, method=method, tolerance=levels, certify=False)
        elif double:
            out[...] = state
    else:
        hierarchy = hierarchy or native.PoissonHierarchy(
            _arrays.view(eq.mask, "mask") if eq.pinned else None,
            eq.mask.shape,
            weight=0.0 if eq.weight_map is not None else eq.weight,
            weight_map=eq.operator()["weight_map"],
            w0=eq.w0,
            w1=eq.w1,
        )
        out.fill(0)
        stats = hierarchy.solve_rhs(rhs, into, tolerance=limit, max_iterations=_MAX_ITERATIONS)
        if not stats["converged"]:
            warnings.warn(
                f"gradient: about {stats['estimate'] / limit:.3g} times the allowed error is left after "
                f"{stats['iterations']} iterations",
                RuntimeWarning,
                stacklevel=2,
            )
    out *= most / size


def _run_inverse(
    grad: Tensor,
    mask: Tensor,
    color_map: Tensor | None,
    weight: float,
    sigma: float,
    reference: bool,
    pinned: bool,
    levels: float,
    solver: int,
    double: bool,
) -> Tensor:
    op = Operator(weight, sigma, reference, pinned, levels, solver)
    if grad.is_cuda:
        return _inverse_on_device(op, grad, mask, color_map).to(torch.float64 if double else torch.float32)
    g = _batch(_arrays.to_numpy(grad, "grad"))
    masks, weights = _items(mask, color_map, weight, g)
    known = SOLVERS.get(solver)
    y = np.empty(g.shape, np.float64 if double else np.float32)
    for item, m, out in zip(g, masks, y):
        hierarchy = None if known is None else known._hierarchy
        _solve_item(op.equation(m, item.shape[2], weights), item, out, levels, hierarchy)
    return torch.from_numpy(y.reshape(tuple(grad.shape)))


def _inverse_on_device(op: Operator, grad: Tensor, mask: Tensor, color_map: Tensor | None) -> Tensor:
    """In float32, as all kernels there are."""
    g = grad.detach().to(torch.float32)
    g = g.reshape(1, *g.shape, 1) if g.ndim == 2 else g.reshape(-1, *g.shape[-3:])
    # Of size one, so that the tolerance is that of any image; the factor stays on the device.
    size = g.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    g = (g / size).contiguous()
    y = torch.zeros_like(g)
    place = _cuda.place_of({"grad": g}, None)
    assert place is not None  # noqa: S101  # g is on a device
    right, out = _cuda.describe(g, "grad"), _cuda.describe(y, "out")
    least, weight_map, most = weight_on(place, op.weight if color_map is None else color_map, *g.shape[:3])
    w0, w1 = gaussian_taps(op.sigma, normalize=not op.reference)
    inverse(
        place,
        DeviceEquation(
            src=right,
            dst=right,
            mask=planes_of(place.take(mask, "mask"), g.shape[0]),
            base=right,
            weight=least,
            weight_map=weight_map,
            w0=w0,
            w1=w1,
            pinned=op.pinned,
            most=most,
        ),
        right,
        out,
        op.levels / 255,
    )
    return (y * size).reshape(grad.shape)


def _plane(x: Tensor, image: Tensor) -> Tensor:
    """A mask or map as floats that broadcast to image, integers scaled by their range."""
    range_ = {torch.uint8: 255, torch.uint16: 65535}.get(x.dtype, 1)
    if x.ndim == 3 and not (image.ndim == 4 and x.shape == image.shape[:3]):
        x = x[..., 0]
    x = x.to(image.dtype) / range_
    return x if image.ndim == 2 else x[..., None]


def _near(x: Tensor, axis: int, step: int) -> Tensor:
    """The neighbours along an axis, mirrored at the border."""
    n = x.shape[axis]
    return x.index_select(axis, (torch.arange(n, device=x.device) + step).clamp(0, n - 1))


def _color_links(y: Tensor, weight: Tensor, w0: float, w1: float) -> Tensor:
    """C y of [N, H, W, C], weight [..., H, W, 1]."""
    total = (w0 + 2 * w1) ** 2 * weight * y
    for step, other in ((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j):
        near, its = (_near(_near(u, -3, step), -2, other) for u in (y, weight))
        tap = (w1 if step else w0) * (w1 if other else w0)
        total = total - tap * torch.minimum(weight, its) * (y - near)
    return total


def _edge_links(y: Tensor, mask: Tensor, half: bool, full: bool, pair: list[Tensor]) -> Tensor:
    """T of [N, H, W, C], mask [..., H, W, 1]; with a pair src, dst only of the edges at which src is the stronger."""
    total = torch.zeros_like(y)
    for axis, border in ((-3, [0, 0, 0, 0]), (-2, [0, 0])):
        n = y.shape[axis]
        first, second = mask.narrow(axis, 0, n - 1), mask.narrow(axis, 1, n - 1)
        share = torch.maximum(first, second) if full else (first + second) / 2
        if half:
            share = share / 2
        if pair:
            ds, dd = (torch.diff(u.to(y.dtype), dim=axis).square().sum(-1, keepdim=True) for u in pair)
            share = share * (ds >= dd)
        pull = share * torch.diff(y, dim=axis)
        total = total + pad(pull, [*border, 1, 0]) - pad(pull, [*border, 0, 1])
    return total


def _run_links(
    y: Tensor,
    mask: Tensor,
    color_map: Tensor | None,
    pair: list[Tensor],
    weight: float,
    sigma: float,
    reference: bool,
    half: bool,
    full: bool,
    double: bool,
) -> Tensor:
    dtype = torch.float64 if double else torch.float32
    shape = (1, *y.shape, 1) if y.ndim == 2 else y.shape if y.ndim == 4 else (1, *y.shape)
    image, *images = (u.reshape(shape) for u in (y, *pair))
    # The native call below has the mask's mean at an edge.
    if y.device.type != "cpu" or pair or full:
        m = _plane(mask, image)
        result = torch.empty(shape, dtype=dtype, device=y.device)
        # Strips with the rows beside them: what is in between stays in a processor's cache.
        rows = _STRIP if y.device.type == "cpu" else shape[1]
        for top in range(0, shape[1], rows):
            first, end = max(0, top - 1), min(shape[1], top + rows + 1)
            strip, share, *two = (u[..., first:end, :, :] for u in (image, m, *images))
            pull = _edge_links(strip, share, half, full, two)
            result[:, top : top + rows] = pull[:, top - first : top - first + rows]
        if weight > 0 or color_map is not None:
            w0, w1 = gaussian_taps(sigma, normalize=not reference)
            plane = image.new_full((*shape[1:3], 1), weight) if color_map is None else _plane(color_map, image)
            result += _color_links(image, plane, w0, w1)
        return result.reshape(y.shape)
    op = Operator(weight, sigma, reference, False, 1.0, 0)
    array = _arrays.to_numpy(image, "y")
    masks, weights = _items(mask, color_map, weight, array)
    out = np.empty(shape, np.float64 if double else np.float32)
    for item, m, into in zip(array, masks, out):
        # With a black src and dst = x = y: D^T (1 - alpha) D y - A y.
        eq = op.equation(m, item.shape[2], weights)
        eq.dst = item
        black, dst_view, mask_view, base = eq.views()
        native.gaussian_poisson_residual(
            black,
            dst_view,
            mask_view,
            base,
            dst_view,
            gradients="average" if half else "source",
            out=_arrays.view(into, "out", writable=True),
            **eq.operator(),
        )
    np.negative(out, out=out)
    return torch.from_numpy(out.reshape(tuple(y.shape)))


_inverse = torch.library.custom_op(
    "pyharmony::gaussian_poisson_inverse",
    _run_inverse,
    mutates_args=(),
    schema="(Tensor grad, Tensor mask, Tensor? color_map, float weight, float sigma, bool reference, bool pinned, "
    "float levels, int solver, bool double) -> Tensor",
)
_links = torch.library.custom_op(
    "pyharmony::gaussian_poisson_links",
    _run_links,
    mutates_args=(),
    schema="(Tensor y, Tensor mask, Tensor? color_map, Tensor[] pair, float weight, float sigma, "
    "bool reference, bool half, bool full, bool double) -> Tensor",
)


def _empty(operand: Tensor, *rest: Any) -> Tensor:
    return operand.new_empty(operand.shape, dtype=torch.float64 if rest[-1] else torch.float32)


def _register_symmetric(op: Any) -> None:
    """The operators whose gradient is themselves."""

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        operand, mask, color_map, *ctx.rest = inputs
        pair = ctx.rest.pop(0) if op is _links else []
        ctx.save_for_backward(mask, color_map, *pair)
        ctx.dtype = operand.dtype

    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        mask, color_map, *pair = ctx.saved_tensors
        lists = [pair] if op is _links else []
        ours = op(grad, mask, color_map, *lists, *ctx.rest).to(ctx.dtype)
        return (ours, None, None, *([None] * len(pair) for _ in lists), *[None] * len(ctx.rest))

    op.register_fake(_empty)
    op.register_autograd(backward, setup_context=setup)


_register_symmetric(_inverse)
_register_symmetric(_links)


# ---- the gradient ---------------------------------------------------------------------------------------------------


def _free_mean(grad: Tensor, mask: Tensor, color_map: Tensor | None, op: Operator) -> Tensor | None:
    """The mean of grad by channel where no weight and no known pixel fixes that of the result, else zero or None."""
    if color_map is None and op.weight > 0:
        return None
    plane = (-2, -1) if grad.ndim == 2 else (-3, -2)
    mean = grad.mean(plane, keepdim=True)
    if color_map is not None:
        mean = torch.where((color_map == 0).all(), mean, 0.0)
    if op.pinned:
        mean = torch.where(_plane(mask, grad).amin(plane, keepdim=True) > 0, mean, 0.0)
    return mean


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    mask, color_map, *pair = ctx.saved_tensors
    op: Operator = ctx.operator
    for_src, for_dst, _, for_base = ctx.needs_input_grad[:4]
    y = _inverse(
        grad, mask, color_map, op.weight, op.sigma, op.reference, op.pinned, op.levels, op.solver,
        op.in_float64(grad.dtype, color_map),
    )  # fmt: skip
    # From here on float32 is as good as the gradients themselves.
    double = grad.dtype == torch.float64
    g = grad.to(torch.float64 if double else torch.float32)
    # Without a Gaussian C is the weights, and without weights only the mean is of base.
    plain = op.sigma == 0 or (color_map is None and op.weight == 0)
    color: Tensor | None = None
    if color_map is not None:
        # A map is taken in float32 unless it is constant.
        single = color_map.to(torch.float32).to(color_map.dtype)
        color = _plane(torch.where(color_map.amin() == color_map.amax(), color_map, single), g) * y.to(g.dtype)
    elif op.weight > 0:
        color = op.weight * y.to(g.dtype)
    mean = _free_mean(g, mask, color_map, op) if ctx.mean_of_base else None
    pull: Any = None
    src_grad = dst_grad = base_grad = None
    if for_src or (for_dst and plain):
        average, full = ctx.gradients == "average", ctx.contour == "full"
        pull = _links(y, mask, None, pair, 0.0, 0.0, False, average, full, double)
    if for_dst:
        dst_grad = g - (
            pull if plain else _links(y, mask, color_map, [], op.weight, op.sigma, op.reference, False, False, double)
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


def _setup(
    ctx: Any, inputs: tuple[Any, ...], operator: Operator, gradients: str, contour: str, mean_of_base: bool
) -> None:
    src, dst, mask, base, color_map, *settings = inputs
    ctx.save_for_backward(mask, color_map, *([src, dst] if gradients == "mixed" else []))
    ctx.operator, ctx.gradients, ctx.contour, ctx.mean_of_base = operator, gradients, contour, mean_of_base
    ctx.base_is_src = base is None
    ctx.base_dtype = None if base is None else base.dtype
    ctx.settings = 1 + len(settings)
    ctx.solver = SOLVERS.get(operator.solver)  # alive as long as its graph


def _levels(tolerance: float | None, image: Tensor) -> float:
    return _checks.tolerance(tolerance, str(image.dtype).removeprefix("torch."))


# ---- the two ops ----------------------------------------------------------------------------------------------------


def _run(function: Any, *arrays: Tensor | None, **options: Any) -> Tensor:
    """The public function, which is called without a graph here and therefore computes."""
    infos = getattr(_waiting, "infos", None)
    with torch.no_grad():
        result = function(*arrays, **options, return_info=infos is not None)
    if infos is None:
        return result
    infos.append(result[1])
    return result[0]


def _run_gaussian_poisson(
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
    return _run(
        gaussian_poisson,
        src,
        dst,
        mask,
        base,
        color_weight=color_weight if color_map is None else color_map,
        sigma=sigma,
        reference=reference,
        gradient_kernel=gradient_kernel,
        preserve_background=preserve_background,
        method=method,
        tolerance=tolerance,
    )


def _run_poisson(
    src: Tensor,
    dst: Tensor,
    mask: Tensor,
    base: Tensor | None,
    color_map: Tensor | None,
    color_weight: float,
    gradients: str,
    contour: str,
    tolerance: float | None,
    solver: int,
) -> Tensor:
    known = SOLVERS.get(solver)
    options = {"gradients": gradients, "contour": contour, "base": base, "tolerance": tolerance}
    if known is not None:
        return _run(known.solve, src, dst, **options)
    return _run(poisson, src, dst, mask, color_weight=color_weight if color_map is None else color_map, **options)


_gaussian_poisson = torch.library.custom_op(
    "pyharmony::gaussian_poisson",
    _run_gaussian_poisson,
    mutates_args=(),
    schema="(Tensor src, Tensor dst, Tensor mask, Tensor base, Tensor? color_map, float color_weight, float sigma, "
    "bool reference, str gradient_kernel, bool preserve_background, str method, float? tolerance) -> Tensor",
)
_poisson = torch.library.custom_op(
    "pyharmony::poisson",
    _run_poisson,
    mutates_args=(),
    schema="(Tensor src, Tensor dst, Tensor mask, Tensor? base, Tensor? color_map, float color_weight, str gradients, "
    "str contour, float? tolerance, int solver) -> Tensor",
)


def _setup_gaussian_poisson(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *_, weight, sigma, reference, _, pinned, _, tolerance = inputs
    operator = Operator(weight, sigma, reference, pinned, _levels(tolerance, output), 0)
    _setup(ctx, inputs, operator, "source", "half", True)


def _setup_poisson(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *_, weight, gradients, contour, tolerance, solver = inputs
    operator = Operator(weight, 0.0, False, True, _levels(tolerance, output), solver)
    _setup(ctx, inputs, operator, gradients, contour, False)


_gaussian_poisson.register_fake(lambda src, dst, *_: dst.new_empty(dst.shape))
_gaussian_poisson.register_autograd(_backward, setup_context=_setup_gaussian_poisson)
_poisson.register_fake(lambda src, dst, *_: dst.new_empty(dst.shape))
_poisson.register_autograd(_backward, setup_context=_setup_poisson)


def _tensor(x: Array, name: str, like: Tensor) -> Tensor:
    if isinstance(x, Tensor):
        return x
    array = _arrays.to_numpy(x, name)
    if not torch.compiler.is_compiling():  # which holds arrays as tensors already
        array = np.array(array, order="C")  # a tensor has no negative strides, and warns of read-only memory
    return torch.from_numpy(array).to(like.device)


def _check(dst: Array, mask: Array, color_weight: Any, **images: Array | None) -> None:
    """Refuses a gradient that would be lost."""
    if not isinstance(dst, Tensor):
        raise ArgumentError(
            f"dst: {type(dst).__name__}, and so would be the result, without a graph; pass a tensor, or the others "
            "detached"
        )
    if not torch.is_grad_enabled():
        return
    for x, name in ((mask, "mask"), (color_weight, "color_weight")):
        if isinstance(x, Tensor) and x.requires_grad:
            raise ArgumentError(
                f"{name}: it requires grad, but gradients are those of src, dst and base; pass {name}.detach()"
            )
    for name, x in images.items():
        if isinstance(x, Tensor) and x.requires_grad and not dst.is_floating_point():
            raise ArgumentError(
                f"{name}: it requires grad, but a result in {dst.dtype} is rounded and has none; pass src and dst as "
                f"floats, or {name}.detach()"
            )


def _weights(color_weight: Any, like: Tensor) -> tuple[Tensor | None, float]:
    if isinstance(color_weight, Tensor) or (isinstance(color_weight, np.ndarray) and color_weight.ndim > 0):
        return _tensor(color_weight, "color_weight", like), 0.0
    return None, _number(color_weight, "color_weight")


def _number(x: Any, name: str) -> float:
    """A float as it is, which a compiler may hold as a symbol: the op checks its range."""
    return x if isinstance(x, float) else _checks.number(x, name)


def _call(op: Any, arguments: tuple[Any, ...], return_info: bool) -> Any:
    if not return_info:
        return op(*arguments)
    if torch.compiler.is_compiling():
        raise ArgumentError("return_info: True, but a compiled graph holds tensors only; expected False")
    infos: list[Any] = []
    _waiting.infos = infos
    try:
        image = op(*arguments)
    finally:
        del _waiting.infos
    return image, infos[0]


def differentiable_gaussian_poisson(
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
    """`gaussian_poisson` in a graph."""
    _check(dst, mask, color_weight, src=src, base=base)
    if gradient_kernel != "normal" and torch.is_grad_enabled():
        for x, name in ((src, "src"), (dst, "dst")):
            if isinstance(x, Tensor) and x.requires_grad:
                raise ArgumentError(
                    f"gradient_kernel: {gradient_kernel!r}, but {name} requires grad, which needs 'normal'; pass "
                    f"{name}.detach() for the gradient of base alone"
                )
    color_map, weight = _weights(color_weight, dst)
    images = [_tensor(x, name, dst) for x, name in ((src, "src"), (dst, "dst"), (mask, "mask"), (base, "base"))]
    settings = (
        _number(sigma, "sigma"),
        bool(reference),
        _checks.one_of(gradient_kernel, "gradient_kernel", tuple(GRADIENT_KERNELS)),
        bool(preserve_background),
        _checks.one_of(method, "method", METHODS),
        None if tolerance is None else _number(tolerance, "tolerance"),
    )
    return _call(_gaussian_poisson, (*images, color_map, weight, *settings), return_info)


def differentiable_poisson(
    src: Array,
    dst: Array,
    mask: Array,
    base: Array | None,
    color_weight: Any,
    gradients: str,
    contour: str,
    tolerance: float | None,
    return_info: bool,
    solver: int = 0,
) -> Any:
    """`poisson` in a graph, or `PoissonSolver.solve` of the solver of that key."""
    _check(dst, mask, color_weight, src=src, base=base)
    color_map, weight = _weights(color_weight, dst)
    images = [
        None if x is None else _tensor(x, name, dst)
        for x, name in ((src, "src"), (dst, "dst"), (mask, "mask"), (base, "base"))
    ]
    _checks.one_of(gradients, "gradients", _checks.GRADIENTS)
    _checks.one_of(contour, "contour", _checks.CONTOURS)
    levels = None if tolerance is None else _number(tolerance, "tolerance")
    return _call(_poisson, (*images, color_map, weight, gradients, contour, levels, solver), return_info)
