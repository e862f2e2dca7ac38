"""Objects that one native call pastes: by `poisson` and `gaussian_poisson` of arrays on the CPU, and `paste_many`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda
from .._arrays import NumpyArray
from .._images import region
from .._images.call import Call, clipped_warning
from .._images.frame import LARGEST_COORDINATE
from .._images.limit import FAINT_ALPHA, MAX_FAINT_SHARE
from .._native import native
from .._warnings import is_quiet, warn
from ..errors import OutOfMemory, PyHarmonyWarning

#: The dtypes of images that the native call reads, as NumPy's characters.
_IMAGES = frozenset("BHefd")
_MAX_TOLERANCE = 1e9  # a tolerance, in 8-bit levels, that the general way converts with care

#: The numbers of channels that the native call supports.
_CHANNELS = {"poisson": (1, 3), "gaussian_poisson": (1, 3), "alpha": (1, 3, 4)}

#: src, mask, y, x, the method, and its options for the native code: an object for the native call.
NativeItem = tuple[Any, Any, int, int, str, tuple[Any, ...]]


def native_item(
    method: str, src: Any, dst: NumpyArray, mask: Any, at: Any, options: Mapping[str, Any]
) -> NativeItem | None:
    """Returns the arguments of a blend for the native call; None if they need more than it does, or are wrong.

    The native call checks the rest, and leaves out what is refused or needs a warning before the solve.

    Args:
        method: a blend; the native call has those of `_OPTIONS`.
        options: the arguments of that function other than those of every blend.
    """
    if method not in _OPTIONS or type(src) is not np.ndarray or not (mask is None or type(mask) is np.ndarray):
        return None
    if src.dtype != dst.dtype or src.ndim not in (2, 3) or (src.ndim == 3 and src.shape[2] not in _CHANNELS[method]):
        return None
    if _checks.range_fault(src) or (mask is not None and mask.ndim == 2 and _checks.is_suspect(mask)):
        return None  # the general way warns
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
    tolerance = options.get("tolerance")
    if tolerance is None:
        levels = _checks.DEFAULT_TOLERANCE[_arrays.dtype_name(dst)]
    elif type(tolerance) in (int, float) and 1e-9 <= tolerance <= _MAX_TOLERANCE:
        levels = float(tolerance)
    else:
        return None
    own = _OPTIONS[method](options, levels, _arrays.VALUE_RANGE[_arrays.dtype_name(dst)], dst.dtype.char)
    # Where no pixel may be known, a small color_weight alone determines the mean: the general way solves that apart.
    if own is not None and method == "poisson" and own[2] > 0 and min(np.subtract(src.shape[:2], dst.shape[:2])) >= 0:
        return None
    return None if own is None else (src, mask, y, x, method, own)


def _poisson_options(options: Mapping[str, Any], levels: float, white: float, _: str) -> tuple[Any, ...] | None:
    """Returns the options of `poisson` for the native code; levels is the tolerance, white the value of white."""
    if not options.keys() <= {"gradients", "contour", "color_weight", "tolerance"}:
        return None
    from ..ops.poisson import MAX_ITERATIONS

    gradients, contour = options.get("gradients", "source"), options.get("contour", "half")
    if gradients not in _checks.GRADIENTS or contour not in _checks.CONTOURS:
        return None
    weight = options.get("color_weight", 0.0)
    if not _is_number(weight, _checks.MAX_COLOR_WEIGHT):
        return None
    return gradients, contour, float(weight), levels * (white / 255), MAX_ITERATIONS


def _gaussian_poisson_options(
    options: Mapping[str, Any], levels: float, white: float, char: str
) -> tuple[Any, ...] | None:
    """Returns the options of `gaussian_poisson` for the native code, which solves by Chebyshev's iteration only."""
    if not options.keys() <= _DEFAULT_OPTIONS.keys() | {"color_weight", "sigma", "smooth_sigma", "tolerance"}:
        return None
    if char == "d" or any(options.get(name, plain) is not plain for name, plain in _DEFAULT_OPTIONS.items()):
        return None
    from ..ops.gaussian_poisson import MAX_SIGMA
    from ..ops.pyramid import MAX_SMOOTH_SIGMA

    weight, sigma, smooth_sigma = (options.get(n, x) for n, x in _NUMBERS.items())
    limits = (weight, _checks.MAX_COLOR_WEIGHT), (sigma, MAX_SIGMA), (smooth_sigma, MAX_SMOOTH_SIGMA)
    if not all(_is_number(*each) for each in limits):
        return None
    return _chebyshev_options(float(weight), float(sigma), float(smooth_sigma), levels, white, region.COARSEST_SIDE)


def _alpha_options(options: Mapping[str, Any], *_: Any) -> tuple[Any, ...] | None:
    """Returns the options of `alpha` for the native code, which has no ramp."""
    flags = {"keep_alpha": False, "decontaminate": True, "owned": False, **options}
    feather = flags.pop("feather", 0)
    suits = len(flags) == 3 and type(feather) in (int, float) and all(type(flag) is bool for flag in flags.values())
    return tuple(flags.values()) if suits and feather == 0 else None


#: The options of `gaussian_poisson` that the native code supports with one value only, and the others.
_DEFAULT_OPTIONS = {
    "contour": "half",
    "base": None,
    "gradient_kernel": "normal",
    "preserve_background": True,
    "as_published": False,
}
_NUMBERS = {"color_weight": 1.0, "sigma": 0.5, "smooth_sigma": 1.0}


@functools.lru_cache(64)
def _chebyshev_options(
    weight: float, sigma: float, smooth_sigma: float, levels: float, white: float, coarsest: int
) -> tuple[Any, ...] | None:
    """Returns the options for the native code; None if `gaussian_poisson` selects another method on some level."""
    from ..ops.gaussian_poisson import MAX_STEPS, Equation, chebyshev_is_faster
    from ..ops.poisson import MAX_ITERATIONS
    from ..reference.gaussian_poisson import gaussian_taps
    from ._pyramid import coarse_tolerance_of

    w0, w1 = gaussian_taps(sigma)
    nothing: NumpyArray = np.empty(0)

    def suits(levels: float, pinned: bool) -> bool:
        equation = Equation.of(nothing, nothing, nothing, nothing, weight, w0, w1, pinned)
        return chebyshev_is_faster(equation, levels)

    coarse = coarse_tolerance_of(levels) * white  # these levels are float32 in the unit of dst
    if not (suits(levels, True) and suits(coarse, True)):
        return None
    tolerances = levels * (white / 255), coarse * (1.0 / 255)
    return weight, w0, w1, smooth_sigma, coarsest, *tolerances, suits(coarse, False), MAX_STEPS, MAX_ITERATIONS


_OPTIONS: dict[str, Callable[..., tuple[Any, ...] | None]] = {
    "poisson": _poisson_options,
    "gaussian_poisson": _gaussian_poisson_options,
    "alpha": _alpha_options,
}


def is_plain(dst: Any, method: str = "poisson") -> bool:
    """Returns whether dst is an array into which the native call pastes by a method: [H, W] or [H, W, C]."""
    return (
        type(dst) is np.ndarray
        and dst.dtype.char in _IMAGES
        and dst.dtype.isnative
        and (dst.ndim == 2 or (dst.ndim == 3 and dst.shape[2] in _CHANNELS[method]))
    )


def paste(dst: NumpyArray, out: NumpyArray, items: Sequence[NativeItem], name: str = "dst") -> list[tuple[Any, ...]]:
    """Pastes items in order into a copy of dst in out, or in place, until one needs more than the native call does.

    Returns the reports of those that were pasted, for `tell`. If there is none, out is unchanged.
    """
    try:
        limits = {"strip": region.STRIP, "faint": FAINT_ALPHA, "most_faint": MAX_FAINT_SHARE}
        reports: list[tuple[Any, ...]] = native.paste(dst, out, items, **limits, warns=not is_quiet(PyHarmonyWarning))
    except MemoryError as error:
        size = f"{list(dst.shape)} of {dst.dtype}"
        raise OutOfMemory(f"{name}: out of memory while blending into {size}") from error
    return reports


def tell(report: tuple[Any, ...], item: NativeItem, dst: NumpyArray) -> None:
    """Gives the warnings of a report of `paste`."""
    if is_quiet(PyHarmonyWarning):  # their sentences take time
        return
    clipped, flooded, *solve = report
    *_, method, options = item
    from .._images.flooded import warn_of_levels
    from ..ops.poisson import warn_of_errors

    if method == "poisson":
        converged, iterations, estimate, max_error = solve
        level = _arrays.VALUE_RANGE[_arrays.dtype_name(dst)] / 255
        *_, tolerance, _ = options
        warn_of_errors(converged, iterations, estimate / level, tolerance / level, max_error / level)
    warn_of_levels(flooded, dst.dtype)
    if (warning := clipped_warning(clipped, "blended", method)) is not None:
        warn(warning)


def in_one_call(call: Call, options: Mapping[str, Any]) -> NumpyArray | None:
    """Returns the result of a blend from one native call; None if it needs more than that, or is refused.

    The result has the bits of the general way, which handles all other calls.
    """
    dst, out = call.dst, call.out
    if call.return_info or call.dst_valid is not None or call.errors != "raise" or call.wrap is not None:
        return None
    if not is_plain(dst, call.function):
        return None
    from ..ops.hierarchies import are_cached

    if type(call.scale) not in (int, float) or call.scale != 1 or are_cached() or _checks.range_fault(dst):
        return None
    if out is None:
        result = np.empty_like(dst)
    elif type(out) is np.ndarray and out.dtype == dst.dtype and out.shape == dst.shape:
        if out.ctypes.data == dst.ctypes.data and out.strides != dst.strides:
            return None
        result = out
    else:
        return None
    if call.function == "alpha":
        options = {**options, "keep_alpha": call.keep_alpha, "decontaminate": call.decontaminate, "owned": out is None}
    item = native_item(call.function, call.src, dst, call.mask, call.at, options)
    if item is None or _cuda.place_of({}, call.device) is not None:
        return None
    reports = paste(dst, result, [item])
    if not reports:
        return None
    tell(reports[0], item, dst)
    return result


def _is_number(x: Any, most: float) -> bool:
    """Returns whether x is a number of Python from 0 to `most`."""
    return type(x) in (int, float) and 0 <= x <= most


def _whole(x: Any) -> int | None:
    """Returns a coordinate that is a whole number; None if it is not, or wrong."""
    if type(x) is int:  # the others take a microsecond each
        return x if abs(x) < LARGEST_COORDINATE else None
    if type(x) is not float and not isinstance(x, (np.integer, np.floating)):
        return None
    value: Any = x
    return int(value) if abs(value) < LARGEST_COORDINATE and float(value).is_integer() else None
