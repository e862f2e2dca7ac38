"""`color_grid` for images on a CUDA device. Does not read masks and maps on the host, so it does not synchronise."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .. import _arrays, _cuda
from .._cuda import DeviceArray, Place
from ..errors import DTypeError
from ._color_grid import PARTS, flattened, frame_of, image_form, mask_form, out_form, part_form
from .images_cuda import batch_of, planes_of, unsupported


def _part(place: Place, x: Any, name: str, count: int | None) -> DeviceArray | None:
    """Returns a part of a map as contiguous float32 [M, ...]; torch and CuPy convert their own arrays."""
    if x is None:
        return None
    if _arrays.is_torch(x):
        x = x.detach().float().contiguous()
    elif _cuda.is_cupy(x):
        x = sys.modules["cupy"].ascontiguousarray(x, "float32")
    a = place.take(x, name)
    part_form(a.shape, name, count)
    if a.dtype != np.float32 or a.strides != _cuda.contiguous_strides(a.shape):
        raise DTypeError(f"{name}: {a.dtype.name} with strides {a.strides}, expected contiguous float32 on a device")
    return a.reshape(a.shape if a.ndim == PARTS[name][0] + 1 else (1, *a.shape))


def _target(place: Place, out: Any, image: DeviceArray) -> tuple[Any, DeviceArray]:
    if out is None:
        return place.result(image.shape, image.dtype)
    a = place.take(out, "out")
    same = a.pointer == image.pointer and a.strides == image.strides
    out_form(a, image, not same and _first(a) <= _last(image) and _first(image) <= _last(a))
    return out, a


def _first(a: DeviceArray) -> int:
    before = sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True) if s < 0)
    return a.pointer + before * a.dtype.itemsize


def _last(a: DeviceArray) -> int:
    behind = sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True) if s > 0)
    return a.pointer + (behind + 1) * a.dtype.itemsize - 1


def color_grid(
    place: Place, image: Any, mask: Any, affine: Any, curves: Any, grid: Any, origin: Any, frame: Any, out: Any
) -> Any:
    """Computes `pyharmony.ops.color_grid` at a place."""
    a = place.take(image, "image")
    image_form(a.shape, a.dtype.name)
    _cuda.takes(place, (lambda image: unsupported(image.dtype.name, "image"),), a, DTypeError)
    count = a.shape[0] if a.ndim == 4 else None
    m = None if mask is None else place.take(mask, "mask")
    if m is not None:
        mask_form(m.shape, m.dtype.name, a.shape)
    at = frame_of(origin, frame, *a.shape[-3:-1])
    parts = [_part(place, x, name, count) for name, x in zip(PARTS, (affine, curves, grid), strict=True)]
    flat, rows = flattened(parts)
    result, to = _target(place, out, a)
    with _cuda.failures("color_grid"):
        place.module.color_grid(
            batch_of(a).view("image"), None if m is None else planes_of(m, count or 1).view("mask"),
            *(None if x is None else x.view(name) for x, name in zip(flat, PARTS, strict=True)), rows, at,
            batch_of(to).view("out", writable=True), device=place.device, stream=place.stream,
        )  # fmt: skip
    return result
