"""`adam` for torch tensors: checks and the native call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _arrays
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ._native_torch import Calls, calls_for

#: By the id of a parameter: the addresses of it, its moments and its step, and their native views.
Cache = dict[int, "tuple[tuple[Any, ...], list[Any]]"]


def update(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    lr: float | Tensor,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    skip: Tensor | None,
    clip: float | None,
    cache: Cache | None,
) -> None:
    for name, tensors in {"gradients": gradients, "means": means, "squares": squares, "steps": steps}.items():
        if len(tensors) != len(parameters):
            raise ArgumentError(
                f"{name}: {len(tensors)} tensors, expected one for each of {len(parameters)} parameters"
            )
    if clip is not None and not clip > 0:
        raise ArgumentError(f"clip: {clip!r}, expected more than 0")
    if not all(0 <= beta < 1 for beta in betas):
        raise ArgumentError(f"betas: {betas!r}, expected two numbers in [0, 1)")
    if not parameters:
        return
    on, device, cache = calls_for(parameters[0], "adam"), parameters[0].get_device(), {} if cache is None else cache
    states = [
        _views_of_state(on, device, cache, *tensors) for tensors in zip(parameters, means, squares, steps, strict=True)
    ]
    dense_gradients = [_in_layout_of(g, p) for g, p in zip(gradients, parameters)]
    rate = None
    if isinstance(lr, Tensor):
        rate, lr = (lr, 0.0) if lr.get_device() == device else (None, float(lr))
    on.run(
        "adam", [views[0] for views in states], [_view(on, device, "gradients", g) for g in dense_gradients],
        *([views[i] for views in states] for i in (1, 2, 3)), lr, _number(on, device, "lr", rate), *betas, eps,
        weight_decay, decoupled, _number(on, device, "skip", skip), math.inf if clip is None else clip,
        workspace=on.size("adam_workspace", len(parameters)),
    )  # fmt: skip
    torch.autograd.graph.increment_version([*parameters, *means, *squares, *steps])


def is_dense(x: Tensor) -> bool:
    """Returns whether the memory of x has neither gaps nor shared elements."""
    step = 1
    for stride, size in sorted((stride, size) for size, stride in zip(x.shape, x.stride()) if size > 1):
        if stride != step:
            return False
        step *= size
    return True


def _has_layout_of(x: Tensor, parameter: Tensor) -> bool:
    """Returns whether x has the shape and memory layout of a parameter."""
    if x.shape != parameter.shape:
        return False
    strides, others = x.stride(), parameter.stride()
    return strides == others or all(a == b for n, a, b in zip(x.shape, strides, others) if n > 1)


def _in_layout_of(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Returns a gradient in the memory layout of its parameter."""
    gradient = _arrays.plain(gradient, "gradients")
    if _has_layout_of(gradient, parameter):
        return gradient
    if gradient.shape != parameter.shape:
        shapes = f"shape {list(gradient.shape)}, expected that of the parameter, {list(parameter.shape)}"
        raise ShapeError(f"gradients: {shapes}")
    return torch.empty_like(parameter, dtype=gradient.dtype).copy_(gradient)


def _views_of_state(
    on: Calls, device: int, cache: Cache, parameter: Tensor, mean: Tensor, square: Tensor, step: Tensor
) -> list[Any]:
    """Returns the native views of a parameter, its moments and its step; cached, since checks are slow."""
    at = (parameter.data_ptr(), mean.data_ptr(), square.data_ptr(), step.data_ptr(), parameter.stride())
    entry = cache.get(id(parameter))
    if entry is None or entry[0] != at:
        if not is_dense(parameter):
            raise ShapeError(
                f"parameters: shape {list(parameter.shape)}, strides {parameter.stride()}, expected no gaps in memory"
            )
        for name, moment in (("means", mean), ("squares", square)):
            if not _has_layout_of(moment, parameter):
                raise ShapeError(
                    f"{name}: shape {list(moment.shape)}, strides {moment.stride()}, expected those of the parameter, "
                    f"{list(parameter.shape)} and {parameter.stride()}"
                )
        tensors = {"parameters": parameter, "means": mean, "squares": square}
        views = [_view(on, device, name, x) for name, x in tensors.items()]
        entry = cache[id(parameter)] = (at, [*views, _number(on, device, "steps", step)])
    return entry[1]


def _view(on: Calls, device: int, name: str, x: Tensor) -> Any:
    """Returns the native view of a tensor's memory as one axis."""
    if x.dtype != torch.float32:
        raise DTypeError(f"{name}: a tensor of {x.dtype}, expected torch.float32")
    if x.get_device() != device:
        raise DeviceError(f"{name}: a tensor on {x.device}, but the first parameter is on another device")
    return on.module.ArrayView(x.data_ptr(), "float32", (x.numel(),), (1,), True)


def _number(on: Calls, device: int, name: str, x: Tensor | None) -> Any:
    if x is None:
        return None
    if x.numel() != 1:
        raise ShapeError(f"{name}: shape {list(x.shape)}, expected one number")
    return _view(on, device, name, x)
