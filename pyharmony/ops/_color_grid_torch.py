"""`color_grid` for tensors: gradients of image, mask and parts of the map, and operators for torch's compiler.

The gradient is one native pass; its derivatives use `composed`, the map in torch's own operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from .. import _arrays, _cuda
from ..errors import ArgumentError
from ..reference.luma import LUMA
from . import _color_grid_cpu, _color_grid_cuda
from ._color_grid import PARTS, Frame, flattened, frame_of, image_form
from ._native_torch import calls_for, operator

#: The differentiable arguments, in the order of the calls here.
NAMES = ("image", "mask", "affine", "curves", "grid")


def _run(
    image: Tensor, mask: Tensor | None, affine: Tensor | None, curves: Tensor | None, grid: Tensor | None,
    frame: list[int],
) -> Tensor:  # fmt: skip
    """Computes the map without a graph, on the CPU or the tensors' device."""
    tensors = [None if x is None else x.detach() for x in (image, mask, affine, curves, grid)]
    arguments = *tensors, (frame[0], frame[1]), (frame[2], frame[3]), None
    place = _cuda.place_where(dict(zip(NAMES, tensors, strict=True)))
    if place is None:
        return _color_grid_cpu.color_grid(*arguments)
    with place:
        return _color_grid_cuda.color_grid(place, *arguments)


def _sum_to(x: Tensor, like: Tensor) -> Tensor:
    """Sums gradients of each image to the shape of the image, or of a mask or a part shared by all images."""
    if x.ndim > like.ndim:
        x = x[0] if len(x) == 1 else x.sum(0)
    return x.reshape(like.shape).to(like.dtype)


def _gradient(tensors: list[Any], at: Frame, grad: Tensor, needs: list[bool]) -> list[Tensor | None]:
    """Returns gradients of NAMES for each image; None if not needed."""
    image, mask, *parts = tensors
    real = torch.float64 if image.dtype == torch.float64 else torch.float32
    batch = image if image.ndim == 4 else image[None]
    count, height, width = batch.shape[:3]
    m = None if mask is None else mask.expand(count, height, width)
    maps: list[Any] = []
    for part, (ndim, _) in zip(parts, PARTS.values(), strict=True):
        maps.append(None if part is None else (part if part.ndim > ndim else part[None]).to(real).contiguous())
    flat, rows = flattened(maps)
    grads: list[Tensor | None] = [torch.empty_like(batch, memory_format=torch.contiguous_format) if needs[0] else None]
    shapes = [(count, height, width), *(None if x is None else (count, *x.shape[1:]) for x in maps)]
    for shape, need in zip(shapes, needs[1:], strict=True):
        grads.append(batch.new_empty(shape, dtype=real) if need and shape is not None else None)
    calls = calls_for(batch, "color_grid")
    views, image_view = [calls.view(x) for x in flat], calls.view(batch)
    nbytes = 0
    if any(needs[2:]):
        nbytes = calls.size("color_grid_gradient_workspace", image_view, views[1], views[2], rows, at)
    results = [None if x is None else x.reshape(-1) if i > 1 else x for i, x in enumerate(grads)]
    calls.run(
        "color_grid_gradient", image_view, calls.view(m), *views, rows, at,
        calls.view(grad if grad.ndim == 4 else grad[None]), *(calls.view(x, writable=True) for x in results),
        workspace=nbytes,
    )  # fmt: skip
    return grads


def _run_gradient(
    image: Tensor, mask: Tensor | None, affine: Tensor | None, curves: Tensor | None, grid: Tensor | None,
    frame: list[int], grad: Tensor, needs: list[bool],
) -> list[Tensor]:  # fmt: skip
    """Returns gradients of NAMES; empty if not needed."""
    inputs = image, mask, affine, curves, grid
    grads = _gradient([None if x is None else x.detach() for x in inputs], Frame(*frame), grad.detach(), needs)
    return [
        image.new_empty(0) if x is None or like is None else _sum_to(x, like)
        for x, like in zip(grads, inputs, strict=True)
    ]


# ---- the map in torch's own operations -------------------------------------------------------------------------------


def _along(first: int, pixels: int, frame: int, cells: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the two cells adjacent to each pixel, and the weight of the second one."""
    at = (first + torch.arange(pixels, dtype=torch.float64, device=like.device) + 0.5) * cells / frame - 0.5
    at = at.clamp(0, cells - 1)
    low = at.floor()
    return low.long(), (low.long() + 1).clamp(max=cells - 1), (at - low).to(like.dtype)


def _between(position: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    low = position.detach().floor().clamp(0, max(count - 2, 0))
    return low.long(), (low.long() + 1).clamp(max=count - 1), position - low


def _clamped(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Clamps with gradient 1 at the bounds, like the native pass; that of torch's clamp is 0 from 2.14 on."""
    return torch.where(x < low, low, torch.where(x > high, high, x))


def composed(
    image: Tensor, mask: Tensor | None, affine: Tensor | None, curves: Tensor | None, grid: Tensor | None,
    frame: list[int],
) -> Tensor:  # fmt: skip
    """Computes `pyharmony.ops.color_grid` in torch's own operations, for higher derivatives."""
    real = torch.float64 if image.dtype == torch.float64 else torch.float32
    x = image.to(real) if image.ndim == 4 else image.to(real)[None]
    count, height, width = x.shape[:3]
    one = torch.cat([x, torch.ones_like(x[..., :1])], -1)
    t = _clamped(x, 0, 1)

    def each(part: Tensor, ndim: int) -> tuple[Tensor, Tensor]:
        """Returns a part with a batch axis, and the index into it for each image."""
        batch = part.to(real) if part.ndim == ndim + 1 else part.to(real)[None]
        item = torch.arange(count, device=x.device) if len(batch) > 1 else x.new_zeros(count, dtype=torch.long)
        return batch, item[:, None, None]

    y = x
    if affine is not None:
        batch, item = each(affine, 2)
        y = torch.einsum("nhwj,nhwoj->nhwo", one, batch[item].expand(count, height, width, 3, 4))
    if curves is not None:
        batch, item = each(curves, 3)
        knots = batch.shape[-1]
        for c in range(3):
            low, high, share = _between((knots - 1) * t[..., c], knots)
            y = y + (1 - share)[..., None] * batch[item, :, c, low] + share[..., None] * batch[item, :, c, high]
    if grid is not None:
        batch, item = each(grid, 5)
        rows, columns, depth = batch.shape[1:4]
        x0, y0, frame_height, frame_width = frame
        down, across = _along(y0, height, frame_height, rows, x), _along(x0, width, frame_width, columns, x)
        luma = (t * torch.as_tensor(LUMA, dtype=real, device=x.device)).sum(-1)
        deep = _between(_clamped(depth * luma - 0.5, 0, depth - 1), depth)
        total: Any = 0
        for v, share_v in ((down[0], 1 - down[2]), (down[1], down[2])):
            for u, share_u in ((across[0], 1 - across[2]), (across[1], across[2])):
                for w, share_w in ((deep[0], 1 - deep[2]), (deep[1], deep[2])):
                    share = share_v[:, None] * share_u * share_w
                    total = total + share[..., None, None] * batch[item, v[:, None], u, w]
        y = y + torch.einsum("nhwoj,nhwj->nhwo", total, one)
    y = _clamped(y, torch.where(x < 0, x, 0.0), torch.where(x > 1, x, 1.0))
    if mask is not None:
        scale = {torch.uint8: 255.0, torch.uint16: 65535.0}.get(mask.dtype, 1.0)
        y = x + (mask.to(real) / scale)[..., None] * (y - x)
    return y.reshape(image.shape).to(image.dtype)


# ---- a function of autograd ------------------------------------------------------------------------------------------


class ColorGrid(Function):
    @staticmethod
    def forward(
        ctx: Any, frame: list[int], image: Tensor, mask: Tensor | None, affine: Tensor | None, curves: Tensor | None,
        grid: Tensor | None,
    ) -> Tensor:  # fmt: skip
        ctx.frame = frame
        ctx.save_for_backward(image, mask, affine, curves, grid)
        return _run(image, mask, affine, curves, grid, frame)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        image, mask, affine, curves, grid = tensors = ctx.saved_tensors
        needs = list(ctx.needs_input_grad[1:])
        if not torch.is_grad_enabled():
            grads = _run_gradient(image, mask, affine, curves, grid, ctx.frame, grad, needs)
            return (None, *(x if need else None for x, need in zip(grads, needs)))
        inputs = [x for x, need in zip(tensors, needs) if need]
        result = composed(image, mask, affine, curves, grid, ctx.frame)
        remaining = iter(torch.autograd.grad(result, inputs, grad, create_graph=True))
        return (None, *(next(remaining) if need else None for need in needs))


# torch has no types for apply.
_apply: Any = ColorGrid.apply


# ---- operators of torch.library --------------------------------------------------------------------------------------

_TENSORS = "Tensor image, Tensor? mask, Tensor? affine, Tensor? curves, Tensor? grid, SymInt[] frame"


def _fake_gradient(
    image: Tensor, mask: Any, affine: Any, curves: Any, grid: Any, frame: Any, grad: Tensor, needs: list[bool]
) -> list[Tensor]:
    pairs = zip((image, mask, affine, curves, grid), needs)
    return [x.new_empty(x.shape) if need and x is not None else image.new_empty(0) for x, need in pairs]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.frame = inputs
    ctx.save_for_backward(*tensors)
    ctx.needs = [x is not None and x.requires_grad for x in tensors]


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    grads = _gradient_operator(*ctx.saved_tensors, ctx.frame, grad, ctx.needs)
    return (*(x if need else None for x, need in zip(grads, ctx.needs)), None)


_operator = operator(
    "color_grid", f"({_TENSORS}) -> Tensor", _run, lambda image, *_: image.new_empty(image.shape), _backward, _keep
)
_gradient_operator = operator(
    "color_grid_gradient", f"({_TENSORS}, Tensor grad, bool[] needs) -> Tensor[]", _run_gradient, _fake_gradient
)


# ---- the call --------------------------------------------------------------------------------------------------------


def color_grid(image: Any, mask: Any, affine: Any, curves: Any, grid: Any, origin: Any, frame: Any, out: Any) -> Any:
    """Computes `pyharmony.ops.color_grid` in a graph."""
    if not isinstance(image, Tensor):
        raise ArgumentError(
            f"image: {type(image).__name__}, so the result would have no graph; pass a tensor, or the others detached"
        )
    if out is not None:
        raise ArgumentError("out: not accepted for a result in a graph; expected None")
    image_form(image.shape, _arrays.dtype_of(image))
    at = frame_of(origin, frame, image.shape[-3], image.shape[-2])
    tensors = [_tensor(x, name, image) for x, name in zip((image, mask, affine, curves, grid), NAMES)]
    if not image.is_floating_point():
        for x, name in zip(tensors, NAMES):
            if x is not None and x.requires_grad and torch.is_grad_enabled():
                raise ArgumentError(
                    f"{name}: requires grad, but a rounded result in {image.dtype} has none; pass image as "
                    f"floats, or {name}.detach()"
                )
    return _operator(*tensors, list(at)) if torch.compiler.is_compiling() else _apply(list(at), *tensors)


def _tensor(x: Any, name: str, image: Tensor) -> Tensor | None:
    if x is None or isinstance(x, Tensor):
        return x
    array = np.array(_arrays.to_numpy(x, name), order="C")  # torch does not support negative strides
    return torch.from_numpy(array).to(image.device)
