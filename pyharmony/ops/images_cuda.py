"""Images, masks and weights of the ops, as batches in device memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda
from .._cuda import DeviceArray, Place
from ..errors import DTypeError

__all__ = ["batch_of", "planes_of", "unsupported", "weight_on"]

#: The image dtypes that kernels on a device support.
DTYPES = ("uint8", "uint16", "float16", "float32")


def image_form(place: Place, x: Any, name: str) -> Any:
    """Returns an image or batch with validated dtype and shape, as a NumPy array or a DeviceArray."""
    if place.kind == "host":
        a = _arrays.to_numpy(x, name)
        _checks.image_form(a.shape, _arrays.dtype_name(a), name, (2, 3, 4))
        return a
    array = place.describe(x, name)
    _checks.image_form(array.shape, _cuda.name_of(array.dtype), name, (2, 3, 4))
    return array


def unsupported(dtype: str, name: str) -> str:
    """Returns why CUDA kernels do not support images of a dtype; empty if they do."""
    if dtype in DTYPES:
        return ""
    return f"{name}: dtype {dtype}; CUDA kernels support {', '.join(DTYPES)}, use the CPU for others"


def batch_of(a: DeviceArray) -> DeviceArray:
    """Returns [H, W], [H, W, C] or [N, H, W, C] as [N, H, W, C]."""
    shape, strides = a.shape, a.strides
    if a.ndim == 2:
        shape, strides = (*shape, 1), (*strides, 1)
    if len(shape) == 3:
        shape, strides = (1, *shape), (0, *strides)
    return a.reshaped(shape, strides)


def planes_of(a: DeviceArray, count: int) -> DeviceArray:
    """Returns [H, W] or [N, H, W] as [N, H, W]; a single plane is shared by all items."""
    if a.ndim == 3:
        return a
    return a.reshaped((count, *a.shape), (0, *a.strides))


def mask_on(place: Place, mask: Any, count: int, height: int, width: int, *, batch: bool) -> DeviceArray:
    """Returns a validated mask, or one for each item of a batch, as [N, H, W] on the device."""
    if place.kind == "host":
        a = _arrays.to_numpy(mask, "mask")
        if batch and a.ndim == 3 and a.shape == (count, height, width):
            for plane in a:
                _checks.mask(plane, "mask", height, width)
        else:
            a = _checks.mask(a, "mask", height, width)
        return planes_of(place.take(a, "mask"), count)
    array = place.take(mask, "mask")
    if array.ndim == 3 and array.shape[2] == 1 and array.shape != (count, height, width):
        array = array.reshaped(array.shape[:2], array.strides[:2])
    if not (batch and array.shape == (count, height, width)):
        _checks.mask_form(array.shape, _cuda.name_of(array.dtype), "mask", height, width)
    return planes_of(array, count)


def without_float64(place: Place, mask: DeviceArray) -> DeviceArray:
    """Returns a mask [N, H, W], float64 converted to float32 such that values above zero stay above zero."""
    if mask.dtype != np.float64:
        return mask
    count, height, width = mask.shape
    own = 1 if mask.strides[0] == 0 else count
    _, copy = place.empty((own, height, width), np.dtype(np.float32))
    place.module.pyramid_lay_mask(
        mask.items(slice(0, own)).view("mask"),
        0,
        0,
        height,
        width,
        copy.view("mask", writable=True),
        device=place.device,
        stream=place.stream,
    )
    return copy if own == count else copy.reshaped(mask.shape, (0, *copy.strides[1:]))


#: What a call with return_info reads on the host, and how to do without; see `Place.wait_for`.
INFO = "the info", "pass return_info=False"


def weight_on(place: Place, x: Any, count: int, height: int, width: int) -> tuple[float, DeviceArray | None, float]:
    """Returns the minimum of color_weight, its map [N, H, W] or None, and its maximum.

    Reading the two values of a map on the device waits for the device.
    """
    if not _cuda.is_device_array(x):
        weight = _checks.color_weight(x, height, width)
        if isinstance(weight, float):
            return weight, None, weight
        weight = weight.astype(np.float32, copy=False)  # kernels need float32
        low, high = float(weight.min()), float(weight.max())
        return low, planes_of(place.take(weight, "color_weight"), count), high
    array = place.take(x, "color_weight")
    if array.dtype != np.float32:
        raise DTypeError(f"color_weight: a map of dtype {array.dtype.name} on the device, expected float32")
    _checks.mask_form(array.shape, "float32", "color_weight", height, width)
    place.wait_for("the range of color_weight", "pass a number")
    if place.kind in ("torch", "cupy"):
        low, high = float(x.min()), float(x.max())
    else:
        values = place.fetch(array)
        low, high = float(values.min()), float(values.max())
    _checks.color_weight_range(low, high)
    return low, None if low == high else planes_of(array, count), high
