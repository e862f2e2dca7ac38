"""Spectral normalisation of all weights of a model in one call.

See `pyharmony.reference.spectral_norm` for the definition.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array
from .._native import native
from ..errors import ArgumentError, DTypeError, ShapeError
from ..typing import SpectralNormOrder

ORDERS: tuple[SpectralNormOrder, ...] = get_args(SpectralNormOrder)
FLOATS = ("float16", "bfloat16", "float32", "float64")


class Layout(NamedTuple):
    """How a weight lies in memory, as [outer, rows, inner]; its matrix is [rows, outer * inner].

    Attributes:
        dense: whether its memory can be read as that; else a contiguous copy has this layout.
        shape: the sizes of all axes but dim, in their own order: that of v.
        order: these axes in the order of memory, where that is another one; else None.
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
        """The native view of memory that lies like this."""
        strides = (self.rows * self.inner, self.inner, 1)
        return module.ArrayView(pointer, dtype, (self.outer, self.rows, self.inner), strides, writable)

    def in_memory(self, v: Any) -> Any:
        """v [cols] in the order of memory."""
        return v if self.order is None else v.reshape(self.shape).transpose(self.order).reshape(-1)

    def logical(self, v: Any) -> Any:
        """The inverse of `in_memory`."""
        if self.order is None:
            return v
        back = tuple(int(axis) for axis in np.argsort(self.order))
        return v.reshape([self.shape[axis] for axis in self.order]).transpose(back).reshape(-1)


@functools.lru_cache(maxsize=4096)
def layout_of(shape: tuple[int, ...], strides: tuple[int, ...], dim: int) -> Layout:
    """Of a weight with strides in elements."""
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
    # Axes of one element go first, where they move nothing.
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
    """What a call does, checked; iterations is 0 where u and v are to stay."""

    iterations: int
    eps: float
    order: str


def settings(n_power_iterations: Any, eps: Any, order: Any, update: Any = True) -> Settings:
    if isinstance(n_power_iterations, bool) or not isinstance(n_power_iterations, (int, np.integer)):
        raise DTypeError(f"n_power_iterations: {n_power_iterations!r}, expected an integer of at least 1")
    if n_power_iterations < 1:
        raise ArgumentError(f"n_power_iterations: {n_power_iterations}, expected an integer of at least 1")
    accepts = "a finite number above 0"
    if not (size := _checks.number(eps, "eps", accepts=accepts)) > 0:
        raise ArgumentError(f"eps: {size:g}, expected {accepts}")
    if order not in ORDERS:
        raise ArgumentError(f"order: {order!r}, expected one of {', '.join(map(repr, ORDERS))}")
    if not isinstance(update, bool):
        raise DTypeError(f"update: {update!r}, expected True or False")
    return Settings(int(n_power_iterations) if update else 0, size, order)


def axes_of(weights: Sequence[Any], dims: int | Sequence[int] | None) -> list[int]:
    """The axis of the outputs of each weight, not negative."""
    if dims is None or isinstance(dims, int):
        dims = [dims or 0] * len(weights)
    if len(dims) != len(weights):
        raise ArgumentError(f"dims: {len(dims)} numbers for {len(weights)} weights")
    result = []
    for i, (w, dim) in enumerate(zip(weights, dims)):
        if w.ndim < 2 or 0 in w.shape:
            raise ShapeError(f"weights[{i}]: shape {list(w.shape)}, expected at least two axes, none of them empty")
        if not -w.ndim <= dim < w.ndim:
            raise ArgumentError(f"dims[{i}]: {dim}, expected {-w.ndim} to {w.ndim - 1}")
        result.append(dim % w.ndim)
    return result


def check_vectors(weights: Sequence[Any], us: Sequence[Any], vs: Sequence[Any], dims: Sequence[int]) -> None:
    """Refuses u and v that do not fit."""
    for i, (w, u, v, dim) in enumerate(zip(weights, us, vs, dims)):
        rows = w.shape[dim]
        for x, name, size in ((u, "us", rows), (v, "vs", math.prod(w.shape) // rows)):
            if tuple(x.shape) != (size,):
                raise ShapeError(f"{name}[{i}]: shape {list(x.shape)}, expected [{size}] for {list(w.shape)}")


def zero_weight(i: int) -> ArgumentError:
    return ArgumentError(f"weights[{i}]: its spectral norm is zero; expected a weight that is not all zeros")


def spectral_norm(
    weights: Sequence[Array],
    us: Sequence[Array],
    vs: Sequence[Array],
    *,
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    order: SpectralNormOrder = "legacy",
    update: bool = True,
    dims: int | Sequence[int] | None = None,
    normalized: bool = False,
) -> Any:
    """Largest singular values of weights by power iteration, and the weights divided by them.

    All weights are done in one call. The matrix M of a weight is [rows, cols], its axis dims[i] first. An iteration
    is v = M^T u, u = M v ('legacy', as in torch.nn.utils.spectral_norm) or first u, then v ('parametrization', as in
    torch.nn.utils.parametrizations), each scaled to length 1; then sigma = u^T M v. Sums are float32 for weights of
    float16, bfloat16 and float32, and the same to the bit in every run and for any number of threads.

    Args:
        weights: arrays of one kind (NumPy, or torch on one device) of two or more axes; float16, float32, float64,
            bfloat16 of torch. Their memory may be channels_last; with gaps it is copied.
        us, vs: of each weight, [rows] and [cols], float, contiguous; they are changed in place where update is True.
        n_power_iterations: at least 1.
        eps: the least length that a vector is divided by, above 0.
        order: 'legacy' or 'parametrization'.
        update: False: no iteration, as in eval mode.
        dims: the axis of the outputs, one for all or one each; 1 for transposed convolutions. None: 0.
        normalized: also return the weights divided by their sigma.

    Returns:
        sigmas [len(weights)] float32, or float64 if a weight is; with normalized also the list of W / sigma, of the
        weights' dtypes. Of tensors both have gradients of any order; u and v count as constants.

    Raises:
        ShapeError: a weight has fewer than two axes, or u or v do not fit.
        DTypeError: an array is no float array, or not of the kind of the others.
        ArgumentError: a number is out of range, or a weight is zero, on the processor; then u and v are as before.
        DeviceError: tensors are on several devices, or on one that kernels cannot be used on.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018.

    Example:
        >>> from pyharmony import ops
        >>> weight = np.diag([3.0, 1.0]).astype(np.float32)
        >>> u, v = np.array([1.0, 0.0], np.float32), np.array([1.0, 0.0], np.float32)
        >>> ops.spectral_norm([weight], [u], [v]).tolist()
        [3.0]
    """
    chosen = settings(n_power_iterations, eps, order, update)
    weights, us, vs = list(weights), list(us), list(vs)
    outs: list[Any]
    sigmas: Any
    if not weights or len(us) != len(weights) or len(vs) != len(weights):
        raise ArgumentError(
            f"us, vs: {len(us)} and {len(vs)} for {len(weights)} weights; expected one each, at least 1"
        )
    torch_given = [_arrays.is_torch(x) for x in (*weights, *us, *vs)]
    if any(torch_given):
        if not all(torch_given):
            raise DTypeError("weights, us, vs: tensors and other arrays; expected one kind")
        from . import _spectral_norm_torch

        axes = axes_of(weights, dims)
        check_vectors(weights, us, vs, axes)
        sigmas, outs = _spectral_norm_torch.normalize(weights, us, vs, axes, chosen, normalized=normalized)
        return (sigmas, outs) if normalized else sigmas
    named = [
        (x, f"{name}[{i}]") for name, xs in (("weights", weights), ("us", us), ("vs", vs)) for i, x in enumerate(xs)
    ]
    for x, name in named:
        if not isinstance(x, np.ndarray) or _arrays.dtype_name(x) not in FLOATS:
            what = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise DTypeError(f"{name}: {what}, expected an array of float16, float32 or float64")
    axes = axes_of(weights, dims)
    check_vectors(weights, us, vs, axes)
    for x, name in named[len(weights) :]:
        if update and not x.flags.writeable:
            raise ArgumentError(f"{name}: read-only, but it gets the new vector; pass a copy, or update=False")
    layouts = [layout_of(w.shape, tuple(s // w.itemsize for s in w.strides), dim) for w, dim in zip(weights, axes)]
    dense = [w if at.dense else np.ascontiguousarray(w) for w, at in zip(weights, layouts)]
    outs = [np.empty_like(w) for w in dense] if normalized else []
    real = np.float64 if any(w.dtype == np.float64 for w in weights) else np.float32
    sigmas = np.empty(len(weights), real)
    state = np.empty(sum(at.rows + at.cols for at in layouts), real)
    new_us = [np.ascontiguousarray(u) for u in us]
    new_vs = [np.ascontiguousarray(at.in_memory(v)) for v, at in zip(vs, layouts)]

    def vectors(xs: list[Any]) -> list[Any]:
        return [_arrays.view(x, "vector", writable=True) for x in xs]

    zero = native.spectral_norm(
        [at.view(native, w.ctypes.data, w.dtype.name) for w, at in zip(dense, layouts)],
        vectors(new_us),
        vectors(new_vs),
        [at.view(native, out.ctypes.data, out.dtype.name, writable=True) for out, at in zip(outs, layouts)],
        _arrays.view(sigmas, "sigmas", writable=True),
        _arrays.view(state, "state", writable=True),
        iterations=chosen.iterations,
        eps=chosen.eps,
        order=chosen.order,
        write=update,
    )
    if zero >= 0:
        raise zero_weight(zero)
    if update:
        for given, made in [*zip(us, new_us), *((v, at.logical(new)) for v, new, at in zip(vs, new_vs, layouts))]:
            if given is not made:
                given[...] = made
    return (sigmas, outs) if normalized else sigmas
