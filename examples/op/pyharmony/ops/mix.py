"""The mix of two arrays by a share. See `pyharmony.reference.mix` for the definition."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _cuda
from .._native import native
from ..errors import DTypeError, ShapeError
from ..typing import Array, ArrayT


def mix(a: ArrayT, b: Array, share: Array) -> ArrayT:
    """Returns b + share (a - b), in float32; it runs where the arrays are.

    Args:
        a, b, share: contiguous float32 of one shape: numpy, torch, or arrays on a CUDA device.

    Returns:
        An array of a's kind and shape.

    Raises:
        ShapeError, DTypeError: an array has another shape or dtype.
        DeviceError: the arrays are in different places, or their device cannot be used.
    """
    arrays = {"a": a, "b": b, "share": share}
    place = _cuda.place_where(arrays)
    result: Any
    if place is None:
        planes = {name: np.ascontiguousarray(_arrays.to_numpy(x, name)) for name, x in arrays.items()}
        _check(planes)
        out = np.empty_like(planes["a"])
        views = [_arrays.view(x, name) for name, x in planes.items()]
        native.mix(*views, _arrays.view(out, "out", writable=True))
        result = _arrays.like_kind(out, a)
    else:
        there = {name: place.take(x, name) for name, x in arrays.items()}
        _check(there)
        result, into = place.empty(there["a"].shape, there["a"].dtype)
        views = [x.view(name) for name, x in there.items()]
        with _cuda.failures("mix"):
            place.module.mix(*views, into.view("out", writable=True), device=place.device, stream=place.stream)
    return result


def _check(arrays: dict[str, Any]) -> None:
    for name, x in arrays.items():
        if x.dtype != np.float32:
            raise DTypeError(f"{name}: dtype {x.dtype.name}, expected float32")
        if x.shape != arrays["a"].shape:
            raise ShapeError(f"{name}: shape {list(x.shape)}, expected that of a, {list(arrays['a'].shape)}")
