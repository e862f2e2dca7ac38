"""Objects that one native call pastes: `poisson` of arrays on the CPU, and `paste_many`."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda
from .._arrays import NumpyArray
from .._images.call import Call, clipped_warning
from .._images.flooded import warn_of_levels
from .._images.limit import FAINT, MOST_FAINT
from .._images.region import STRIP
from .._native import native
from .._warnings import warn
from ..errors import OutOfMemory
from ..ops.hierarchies import are_cached
from ..ops.poisson import MAX_ITERATIONS, warn_of_errors

#: The dtypes of images that the native call reads, as NumPy's characters.
_IMAGES = frozenset("BHefd")
_FAR = 1 << 31  # pixels; the general way refuses positions beyond it
_LOOSEST = 1e9  # a tolerance, in 8-bit levels, that the general way converts with care

#: src, mask, y, x, gradients, contour, color_weight, and tolerance in the unit of src: an object for the native call.
NativeItem = tuple[Any, ...]


def native_item(
    src: Any, dst: NumpyArray, mask: Any, at: Any, gradients: str, contour: str, color_weight: Any, tolerance: Any
) -> NativeItem | None:
    """Returns the arguments of `poisson` for the native call; None if they need more than it does, or are wrong.

    The native call checks the rest, and leaves out what is refused or needs a warning before the solve.
    """
    if type(src) is not np.ndarray or not (mask is None or type(mask) is np.ndarray):
        return None
    if src.dtype != dst.dtype or src.ndim not in (2, 3) or (src.ndim == 3 and src.shape[2] not in (1, 3)):
        return None
    if at is None:
        if src.shape[:2] != dst.shape[:2]:
            return None
        x = y = 0
    else:
        if type(at) not in (tuple, list) or len(at) != 2:
            return None
        column, row = _whole(at[0]), _whole(at[1])
        if column is None or row is None:
            return None
        x, y = column, row
    if type(color_weight) not in (int, float) or not 0 <= color_weight <= _checks.MAX_COLOR_WEIGHT:
        return None
    level = _arrays.VALUE_RANGE[_arrays.dtype_name(dst)] / 255
    if tolerance is None:
        levels = _checks.DEFAULT_TOLERANCE[_arrays.dtype_name(dst)]
    elif type(tolerance) in (int, float) and 1e-9 <= tolerance <= _LOOSEST:
        levels = float(tolerance)
    else:
        return None
    return src, mask, y, x, gradients, contour, float(color_weight), levels * level


def is_plain(dst: Any) -> bool:
    """Returns whether dst is an array into which the native call pastes: [H, W], [H, W, 1] or [H, W, 3]."""
    return (
        type(dst) is np.ndarray
        and dst.dtype.char in _IMAGES
        and dst.dtype.isnative
        and (dst.ndim == 2 or (dst.ndim == 3 and dst.shape[2] in (1, 3)))
    )


def paste(dst: NumpyArray, out: NumpyArray, items: Sequence[NativeItem], name: str = "dst") -> list[tuple[Any, ...]]:
    """Pastes items in order into a copy of dst in out, or in place, until one needs more than the native call does.

    Returns the reports of those that were pasted, for `tell`. If there is none, out is unchanged.
    """
    try:
        reports: list[tuple[Any, ...]] = native.paste_poisson(
            dst, out, items, strip=STRIP, faint=FAINT, most_faint=MOST_FAINT, max_iterations=MAX_ITERATIONS
        )
    except MemoryError as error:
        size = f"{list(dst.shape)} of {dst.dtype}"
        raise OutOfMemory(f"{name}: out of memory while blending into {size}") from error
    return reports


def tell(report: tuple[Any, ...], item: NativeItem, dst: NumpyArray) -> None:
    """Gives the warnings of a report of `paste`."""
    converged, iterations, estimate, max_error, clipped, flooded = report
    level = _arrays.VALUE_RANGE[_arrays.dtype_name(dst)] / 255
    warn_of_errors(converged, iterations, estimate / level, item[-1] / level, max_error)
    warn_of_levels(flooded)
    if (warning := clipped_warning(clipped, "blended", "poisson")) is not None:
        warn(warning)


def poisson_in_one_call(
    call: Call, gradients: str, contour: str, color_weight: Any, tolerance: float | None
) -> NumpyArray | None:
    """Returns the result of `poisson` from one native call; None if it needs more than that, or is refused.

    The result has the bits of the general way, which handles all other calls.
    """
    dst, out = call.dst, call.out
    if not is_plain(dst) or call.dst_valid is not None or call.return_info or call.errors != "raise":
        return None
    if type(call.scale) not in (int, float) or call.scale != 1 or are_cached():
        return None
    if out is None:
        result = np.empty_like(dst)
    elif type(out) is np.ndarray and out.dtype == dst.dtype and out.shape == dst.shape:
        if out.ctypes.data == dst.ctypes.data and out.strides != dst.strides:
            return None
        result = out
    else:
        return None
    item = native_item(call.src, dst, call.mask, call.at, gradients, contour, color_weight, tolerance)
    if item is None or _cuda.place_of({}, call.device) is not None:
        return None
    reports = paste(dst, result, [item])
    if not reports:
        return None
    tell(reports[0], item, dst)
    return result


def _whole(x: Any) -> int | None:
    """Returns a coordinate that is a whole number; None if it is not, or wrong."""
    if isinstance(x, (bool, np.bool_)) or not isinstance(x, numbers.Real):
        return None
    value: Any = x
    return int(value) if abs(value) < _FAR and float(value).is_integer() else None
