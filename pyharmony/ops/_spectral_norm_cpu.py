"""`spectral_norm` for NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native
from ..errors import ArgumentError, DTypeError
from ._spectral_norm import FLOATS, Settings, layout_of, zero_weight


def _named(**lists: Sequence[Any]) -> list[tuple[Any, str]]:
    return [(x, f"{name}[{i}]") for name, xs in lists.items() for i, x in enumerate(xs)]


def check_dtypes(weights: Sequence[Any], us: Sequence[Any], vs: Sequence[Any]) -> None:
    """Raises if an argument is not an array of floats."""
    for x, name in _named(weights=weights, us=us, vs=vs):
        if not isinstance(x, np.ndarray) or _arrays.dtype_name(x) not in FLOATS:
            what = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
            raise DTypeError(f"{name}: {what}, expected an array of float16, float32 or float64")


def normalize(
    weights: Sequence[NumpyArray],
    us: Sequence[NumpyArray],
    vs: Sequence[NumpyArray],
    dims: Sequence[int],
    settings: Settings,
    *,
    normalized: bool,
) -> tuple[NumpyArray, list[NumpyArray]]:
    """Returns sigmas and W / sigma; updates u and v in place if there are iterations."""
    write = settings.iterations > 0
    for x, name in _named(us=us, vs=vs):
        if write and not x.flags.writeable:
            raise ArgumentError(f"{name}: read-only, but it would be updated; pass a copy, or update=False")
    weights = [np.require(w, requirements="A") for w in weights]
    layouts = [layout_of(w.shape, tuple(s // w.itemsize for s in w.strides), dim) for w, dim in zip(weights, dims)]
    dense = [w if at.dense else np.ascontiguousarray(w) for w, at in zip(weights, layouts)]
    outs = [np.empty_like(w) for w in dense] if normalized else []
    real = np.float64 if any(w.dtype == np.float64 for w in weights) else np.float32
    sigmas = np.empty(len(weights), real)
    state = np.empty(sum(at.rows + at.cols for at in layouts), real)
    new_us = [np.ascontiguousarray(_arrays.aligned(u)) for u in us]
    new_vs = [np.ascontiguousarray(at.in_memory(_arrays.aligned(v))) for v, at in zip(vs, layouts)]

    def vectors(xs: list[Any]) -> list[Any]:
        return [_arrays.view(x, "vector", writable=True) for x in xs]

    zero = native.spectral_norm(
        [at.view(native, w.ctypes.data, w.dtype.name) for w, at in zip(dense, layouts)],
        vectors(new_us),
        vectors(new_vs),
        [at.view(native, out.ctypes.data, out.dtype.name, writable=True) for out, at in zip(outs, layouts)],
        _arrays.view(sigmas, "sigmas", writable=True),
        _arrays.view(state, "state", writable=True),
        iterations=settings.iterations,
        eps=settings.eps,
        order=settings.order,
        write=write,
    )
    if zero >= 0:
        raise zero_weight(zero)
    if write:
        for old, new in [*zip(us, new_us), *((v, at.logical(new_v)) for v, new_v, at in zip(vs, new_vs, layouts))]:
            old[...] = new
    return sigmas, outs
