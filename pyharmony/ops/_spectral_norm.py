"""Settings, checks and memory layouts of weights for `spectral_norm`."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from .. import _arrays, _checks
from ..errors import ArgumentError, ShapeError
from ..typing import SpectralNormOrder

ORDERS: tuple[SpectralNormOrder, ...] = get_args(SpectralNormOrder)
FLOATS = ("float16", "bfloat16", "float32", "float64")


def _transposed(x: Any, axes: tuple[int, ...]) -> Any:
    return x.permute(axes) if _arrays.is_torch(x) else x.transpose(axes)


class Layout(NamedTuple):
    """The layout of a weight in memory, as [outer, rows, inner]; its matrix is [rows, outer * inner].

    Attributes:
        dense: whether its memory can be read like that; if not, a contiguous copy has this layout.
        shape: the sizes of all axes except dim, in logical order, which is also the order of v.
        order: these axes in memory order, if that differs; else None.
    """

    outer: int
    rows: int
    inner: int
    dense: bool
    shape: tuple[int, ...]
    order: tuple[int, ...] | None

    @property
    def cols(self) -> int:
        return self.outer * self.inner

    def view(self, module: Any, pointer: int, dtype: str, *, writable: bool = False) -> Any:
        """Returns the native view of memory with this layout."""
        strides = (self.rows * self.inner, self.inner, 1)
        return module.ArrayView(pointer, dtype, (self.outer, self.rows, self.inner), strides, writable)

    def in_memory(self, v: Any) -> Any:
        """Returns v [cols] in memory order."""
        return v if self.order is None else _transposed(v.reshape(self.shape), self.order).reshape(-1)

    def logical(self, v: Any) -> Any:
        """Returns v in logical order: the inverse of `in_memory`."""
        if self.order is None:
            return v
        back = tuple(int(axis) for axis in np.argsort(self.order))
        return _transposed(v.reshape([self.shape[axis] for axis in self.order]), back).reshape(-1)


@functools.lru_cache(maxsize=4096)
def layout_of(shape: tuple[int, ...], strides: tuple[int, ...], dim: int) -> Layout:
    """Returns the layout of a weight with strides in elements."""
    axes = sorted((axis for axis in range(len(shape)) if shape[axis] > 1), key=lambda axis: -strides[axis])
    step, dense = 1, True
    for axis in reversed(axes):
        dense = dense and strides[axis] == step
        step *= shape[axis]
    if not dense:
        axes = [axis for axis in range(len(shape)) if shape[axis] > 1]
    at = axes.index(dim) if dim in axes else 0
    before, after = axes[:at], axes[at + (dim in axes) :]
    others = [axis for axis in range(len(shape)) if axis != dim]
    large = [axis for axis in others if shape[axis] > 1]
    # Axes of size one come first, where they change nothing.
    memory = [axis for axis in others if shape[axis] == 1] + before + after
    return Layout(
        outer=math.prod(shape[axis] for axis in before),
        rows=shape[dim],
        inner=math.prod(shape[axis] for axis in after),
        dense=dense,
        shape=tuple(shape[axis] for axis in others),
        order=None if large == before + after else tuple(others.index(axis) for axis in memory),
    )


class Settings(NamedTuple):
    """The validated settings of a call; iterations is 0 if u and v must not change."""

    iterations: int
    eps: float
    order: str


def settings(n_power_iterations: Any, eps: Any, order: Any, update: Any = True) -> Settings:
    """Returns the validated settings of a call."""
    iterations = _checks.whole(n_power_iterations, "n_power_iterations", low=1, high=(1 << 31) - 1)
    accepts = "a number above 0, at most 1"
    if not (size := _checks.number(eps, "eps", high=1.0, accepts=accepts)) > 0:
        raise ArgumentError(f"eps: {size:g}, expected {accepts}")
    _checks.one_of(order, "order", ORDERS)
    _checks.flags(update=update)
    return Settings(iterations if update else 0, size, order)


def axes_of(weights: Sequence[Any], dims: int | Sequence[int] | None) -> list[int]:
    """Returns the output axis of each weight as a non-negative index."""
    is_one = dims is None or isinstance(dims, numbers.Integral)
    every = [dims or 0] * len(weights) if is_one else _checks.several(dims, "dims", "a whole number for each weight")
    if len(every) != len(weights):
        raise ArgumentError(f"dims: {len(every)} numbers, expected one for each of {len(weights)} weights")
    result = []
    for i, (w, dim) in enumerate(zip(weights, every)):
        if w.ndim < 2 or 0 in w.shape:
            raise ShapeError(f"weights[{i}]: shape {list(w.shape)}, expected at least two axes, none of them empty")
        accepts = f"{-w.ndim} to {w.ndim - 1}"
        result.append(_checks.whole(dim, f"dims[{i}]", low=-w.ndim, high=w.ndim - 1, accepts=accepts) % w.ndim)
    return result


def check_vectors(weights: Sequence[Any], us: Sequence[Any], vs: Sequence[Any], dims: Sequence[int]) -> None:
    """Raises if the shapes of u and v do not match the weights."""
    for i, (w, u, v, dim) in enumerate(zip(weights, us, vs, dims)):
        rows = w.shape[dim]
        for x, name, size in ((u, "us", rows), (v, "vs", math.prod(w.shape) // rows)):
            if tuple(x.shape) != (size,):
                raise ShapeError(f"{name}[{i}]: shape {list(x.shape)}, expected [{size}] for {list(w.shape)}")


def zero_weight(i: int) -> ArgumentError:
    """Returns the error for a weight of zeros."""
    return ArgumentError(f"weights[{i}]: its spectral norm is zero; expected a weight that is not all zeros")
