"""The operators A^-1 and T + C, from which the gradients of `gaussian_poisson` and `poisson` are composed.

See `pyharmony.ops._gaussian_poisson_torch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .. import _arrays, _checks, _cuda
from .._arrays import NumpyArray
from .._native import native
from .._warnings import warn
from ..reference.gaussian_poisson import gaussian_taps
from . import _gaussian_poisson_cpu, _gaussian_poisson_cuda
from ._gaussian_poisson import Equation, choose_method
from ._images_cpu import masks_of
from ._native_torch import on_device, operator
from ._poisson import SOLVERS
from ._poisson_cuda import DeviceEquation
from .images_cuda import planes_of, weight_on

_MAX_STEPS = 400
_MAX_ITERATIONS = 30
_STRIP = 16


@dataclass(frozen=True)
class Operator:
    """The parameters that define A, in addition to the tensors mask and map, and the tolerance of its inversion.

    Attributes:
        weight: color_weight if it is one number.
        sigma, reference, pinned: as in `gaussian_poisson`; pinned is its preserve_background.
        levels: the tolerance, which is relative here: the error of a gradient is at most levels / 255 of the
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
        """Returns the equation with the matrix A, for black images."""
        black = np.broadcast_to(np.zeros(1, np.float32), (*mask.shape, channels))
        w0, w1 = gaussian_taps(self.sigma, normalize=not self.reference)
        return Equation.of(black, black, mask, black, weight, w0, w1, self.pinned)

    def in_float64(self, dtype: torch.dtype, color_map: Tensor | None) -> bool:
        """Returns whether y, which may be 1 / row excess times as large as g, needs more precision than float32.

        The error of a float32 solve is assumed to be 64 roundings of the largest y; up to 51 were measured.
        """
        if dtype == torch.float64 or color_map is not None or self.weight == 0:
            return True
        excess = self.equation(np.ones((1, 1), bool), 1, self.weight).row_excess()
        return 64 * 2.0**-24 * _largest_sum(self.weight) / 2 > self.levels / 255 * excess


def _largest_sum(weight: float) -> float:
    """Returns at least twice the sum of magnitudes in a row of A, and in a row of the map from y to a gradient."""
    return 2 * (8 + weight)


# ---- A^-1 and T + C on arrays ---------------------------------------------------------------------------------------


def _items(mask: Tensor, color_map: Tensor | None, weight: float, image: NumpyArray) -> tuple[list[Any], Any]:
    """Returns a mask for each item of image [N, H, W, C], and the weights."""
    masks = masks_of(mask, image)
    weights = weight if color_map is None else _checks.color_weight(color_map, *image.shape[1:3])
    return masks * (image.shape[0] // len(masks)), weights


def _batch(x: NumpyArray) -> NumpyArray:
    """Returns [H, W], [H, W, C] or [N, H, W, C] as [N, H, W, C]."""
    return x[None, ..., None] if x.ndim == 2 else x if x.ndim == 4 else x[None]


def _solve_item(eq: Equation, g: NumpyArray, out: NumpyArray, levels: float, hierarchy: Any) -> None:
    """Writes A^-1 g to out, exact to levels / 255 of max |g| / _largest_sum."""
    most = max(float(g.max()), -float(g.min()))
    if not 0 < most < np.inf:
        # A non-finite gradient gives NaN, which loss scaling detects.
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
    # The method may differ from that of the forward solve: all methods solve the same equation.
    method = "multigrid" if hierarchy else choose_method(eq, levels)
    double = out.dtype == np.float64
    limit = levels / 255
    if method == "dct":
        _gaussian_poisson_cpu.solve_by_dct(eq, out, double, b)
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
            _gaussian_poisson_cpu.solve(eq, out, method=method, tolerance=levels, certify=False)
        elif double:
            out[...] = state
    else:
        hierarchy = hierarchy or eq.hierarchy()
        out.fill(0)
        stats = hierarchy.solve_rhs(
            _arrays.view(b, "grad"),
            _arrays.view(out, "out", writable=True),
            tolerance=limit,
            max_iterations=_MAX_ITERATIONS,
        )
        if not stats["converged"]:
            warn(
                f"gradient: about {stats['estimate'] / limit:.3g} times the allowed error is left after "
                f"{stats['iterations']} iterations",
                RuntimeWarning,
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
    if on_device(grad):
        return _inverse_on_device(op, grad, mask, color_map).to(torch.float64 if double else torch.float32)
    g = _batch(_arrays.to_numpy(grad, "grad"))
    masks, weights = _items(mask, color_map, weight, g)
    poisson_solver = SOLVERS.get(solver)
    y = np.empty(g.shape, np.float64 if double else np.float32)
    for item, m, out in zip(g, masks, y):
        hierarchy = None if poisson_solver is None else poisson_solver.hierarchy
        _solve_item(op.equation(m, item.shape[2], weights), item, out, levels, hierarchy)
    return torch.from_numpy(y.reshape(tuple(grad.shape)))


def _inverse_on_device(op: Operator, grad: Tensor, mask: Tensor, color_map: Tensor | None) -> Tensor:
    """Solves in float32, as all kernels on a device do."""
    g = grad.detach().to(torch.float32)
    g = g.reshape(1, *g.shape, 1) if g.ndim == 2 else g.reshape(-1, *g.shape[-3:])
    # The gradient is scaled to size one, so that the tolerance is that of images; the factor stays on the device.
    size = g.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    g = (g / size).contiguous()
    y = torch.zeros_like(g)
    place = _cuda.place_of({"grad": g}, None)
    assert place is not None  # noqa: S101  # g is on a device
    right, out = _cuda.describe(g, "grad"), _cuda.describe(y, "out")
    least, weight_map, most = weight_on(place, op.weight if color_map is None else color_map, *g.shape[:3])
    w0, w1 = gaussian_taps(op.sigma, normalize=not op.reference)
    with place:
        planes = planes_of(place.take(mask, "mask"), g.shape[0])
        eq = DeviceEquation(right, right, planes, right, least, weight_map, w0, w1, op.pinned, most=most)
        _gaussian_poisson_cuda.inverse(place, eq, right, out, op.levels / 255)
    return (y * size).reshape(grad.shape)


def plane_of(x: Tensor, image: Tensor) -> Tensor:
    """Returns a mask or map as floats that broadcast to image, with integers divided by their range."""
    range_ = {torch.uint8: 255, torch.uint16: 65535}.get(x.dtype, 1)
    if x.ndim == 3 and not (image.ndim == 4 and x.shape == image.shape[:3]):
        x = x[..., 0]
    x = x.to(image.dtype) / range_
    return x if image.ndim == 2 else x[..., None]


def _neighbours(x: Tensor, axis: int, step: int) -> Tensor:
    """Returns the neighbours along an axis, mirrored at the border."""
    n = x.shape[axis]
    return x.index_select(axis, (torch.arange(n, device=x.device) + step).clamp(0, n - 1))


def _color_links(y: Tensor, weight: Tensor, w0: float, w1: float) -> Tensor:
    """Returns C y for y [N, H, W, C] and weight [..., H, W, 1]."""
    total = (w0 + 2 * w1) ** 2 * weight * y
    for step, other in ((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j):
        near, near_weight = (_neighbours(_neighbours(u, -3, step), -2, other) for u in (y, weight))
        tap = (w1 if step else w0) * (w1 if other else w0)
        total = total - tap * torch.minimum(weight, near_weight) * (y - near)
    return total


def _edge_links(y: Tensor, mask: Tensor, half: bool, full: bool, pair: list[Tensor]) -> Tensor:
    """Returns T for y [N, H, W, C], mask [..., H, W, 1]; a pair src, dst selects edges with the stronger src."""
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
    # The native call below supports only mixing by the mean of the mask at an edge.
    if y.device.type != "cpu" or pair or full:
        m = plane_of(mask, image)
        result = torch.empty(shape, dtype=dtype, device=y.device)
        # Processed in strips with one more row on either side, so that intermediate values stay in a CPU cache.
        rows = _STRIP if y.device.type == "cpu" else shape[1]
        for top in range(0, shape[1], rows):
            first, end = max(0, top - 1), min(shape[1], top + rows + 1)
            strip, share, *two = (u[..., first:end, :, :] for u in (image, m, *images))
            pull = _edge_links(strip, share, half, full, two)
            result[:, top : top + rows] = pull[:, top - first : top - first + rows]
        if weight > 0 or color_map is not None:
            w0, w1 = gaussian_taps(sigma, normalize=not reference)
            plane = image.new_full((*shape[1:3], 1), weight) if color_map is None else plane_of(color_map, image)
            result += _color_links(image, plane, w0, w1)
        return result.reshape(y.shape)
    op = Operator(weight, sigma, reference, False, 1.0, 0)
    array = _arrays.to_numpy(image, "y")
    masks, weights = _items(mask, color_map, weight, array)
    out = np.empty(shape, np.float64 if double else np.float32)
    for item, m, into in zip(array, masks, out):
        # With a black src and dst = x = y the residual is D^T (1 - alpha) D y - A y.
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


def _empty(operand: Tensor, *rest: Any) -> Tensor:
    return operand.new_empty(operand.shape, dtype=torch.float64 if rest[-1] else torch.float32)


def _symmetric_operator(name: str, schema: str, run: Any, lists: int) -> Any:
    """Registers a symmetric operator, which is its own gradient; after mask and map it takes lists of tensors."""

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        operand, mask, color_map, *ctx.rest = inputs
        pair = ctx.rest.pop(0) if lists else []
        ctx.save_for_backward(mask, color_map, *pair)
        ctx.dtype = operand.dtype

    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        mask, color_map, *pair = ctx.saved_tensors
        pairs = [pair] * lists
        own = symmetric(grad, mask, color_map, *pairs, *ctx.rest).to(ctx.dtype)
        return (own, None, None, *([None] * len(pair) for _ in pairs), *[None] * len(ctx.rest))

    symmetric = operator(name, schema, run, _empty, backward, keep)
    return symmetric


inverse = _symmetric_operator(
    "gaussian_poisson_inverse",
    "(Tensor grad, Tensor mask, Tensor? color_map, float weight, float sigma, bool reference, bool pinned, "
    "float levels, int solver, bool double) -> Tensor",
    _run_inverse,
    lists=0,
)
links = _symmetric_operator(
    "gaussian_poisson_links",
    "(Tensor y, Tensor mask, Tensor? color_map, Tensor[] pair, float weight, float sigma, "
    "bool reference, bool half, bool full, bool double) -> Tensor",
    _run_links,
    lists=1,
)
