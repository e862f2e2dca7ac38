"""`color_grid` for NumPy arrays and tensors on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._native import native
from ..errors import ArgumentError, DTypeError
from ._color_grid import PARTS, flattened, frame_of, image_form, mask_form, out_form, part_form
from ._images_cpu import batch_of


def _mask(mask: Any, image: NumpyArray) -> NumpyArray | None:
    """Returns a mask as [N, H, W], or None."""
    if mask is None:
        return None
    m = _arrays.to_numpy(mask, "mask")
    mask_form(m.shape, _arrays.dtype_name(m), image.shape)
    height, width = image.shape[-3:-1]
    _checks.mask(m.reshape(-1, width), "mask", m.size // width, width)  # this checks the values
    count = image.shape[0] if image.ndim == 4 else 1
    return m if m.ndim == 3 else np.broadcast_to(m, (count, height, width))


def _part(x: Any, name: str, image: NumpyArray) -> NumpyArray | None:
    """Returns a part of a map with a batch axis, in the dtype of the kernels; or None."""
    if x is None:
        return None
    real = np.float64 if image.dtype == np.float64 else np.float32
    if _arrays.is_torch(x):  # NumPy has no bfloat16
        x = x.detach().double() if real is np.float64 else x.detach().float()
        x = _arrays.to_numpy(x, name)
    try:
        a = np.ascontiguousarray(x, real)
    except (TypeError, ValueError, OverflowError) as error:
        raise DTypeError(f"{name}: {type(x).__name__}, expected an array of numbers") from error
    part_form(a.shape, name, image.shape[0] if image.ndim == 4 else None)
    if not np.isfinite(a).all():
        raise ArgumentError(f"{name}: contains NaN or an infinity, expected finite numbers")
    return a if a.ndim == PARTS[name][0] + 1 else a[None]


def _optional_view(x: NumpyArray | None, name: str) -> Any:
    return None if x is None else _arrays.view(x, name)


def _target(out: Any, image: NumpyArray) -> NumpyArray:
    """Returns the validated array for the result."""
    if out is None:
        return np.empty(image.shape, image.dtype)
    a = _arrays.to_numpy(out, "out", writable=True)
    if not a.flags.writeable:
        raise ArgumentError("out: read-only, expected writable memory")
    same = a.ctypes.data == image.ctypes.data and a.strides == image.strides
    out_form(a, image, not same and np.may_share_memory(a, image))
    return a


def color_grid(image: Any, mask: Any, affine: Any, curves: Any, grid: Any, origin: Any, frame: Any, out: Any) -> Any:
    """Computes `pyharmony.ops.color_grid` without a graph."""
    a = _arrays.to_numpy(image, "image")
    image_form(a.shape, _arrays.dtype_name(a))
    m = _mask(mask, a)
    at = frame_of(origin, frame, *a.shape[-3:-1])
    parts = [_part(x, name, a) for name, x in zip(PARTS, (affine, curves, grid), strict=True)]
    flat, rows = flattened(parts)
    result = _target(out, a)
    native.color_grid(
        _arrays.view(batch_of(a), "image"), _optional_view(m, "mask"),
        *(_optional_view(x, name) for x, name in zip(flat, PARTS, strict=True)), rows, at,
        _arrays.view(batch_of(result), "out", writable=True),
    )  # fmt: skip
    return _arrays.like_kind(result, image) if out is None else out
