"""Checks of arguments that are shared by ops and blends.

Each returns the checked value in the form that the native code expects, or raises an error that names the argument, the
given value and the accepted ones. Messages are built on failure only.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import math
import numbers
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast, get_args, get_origin

import numpy as np
import numpy.typing as npt

from . import _arrays
from ._arrays import Corners, NumpyArray
from ._native import native
from ._warnings import is_quiet, warn
from .errors import (
    NO_REASON,
    ArgumentError,
    DTypeError,
    FileError,
    MaskError,
    MaskWarning,
    PyHarmonyError,
    PyHarmonyWarning,
    Reason,
    ShapeError,
)
from .typing import Contour, Gradients

Word = TypeVar("Word", bound=str)
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

GRADIENTS: tuple[Gradients, ...] = get_args(Gradients)
CONTOURS: tuple[Contour, ...] = get_args(Contour)

#: The default tolerances, in 8-bit levels: a quarter level, one 16-bit level, a tenth of a quarter level, and for
#: float64 the limit of iterative refinement.
DEFAULT_TOLERANCE = {"uint8": 0.25, "uint16": 0.004, "float16": 0.025, "float32": 0.025, "float64": 1e-6}

#: The largest signed integer of 64 bits.
_MAX_INT64 = (1 << 63) - 1

#: With this color_weight the result has the colours of its base to within 1/100 of an 8-bit level.
MAX_COLOR_WEIGHT = 1e6
COLOR_WEIGHTS = f"from 0 to {MAX_COLOR_WEIGHT:g}, which keeps the colours to within 1/100 of a level"


@dataclass(frozen=True)
class SolveInfo:
    """The report of a solve.

    Attributes:
        method: the solver that was used, such as 'chebyshev'.
        iterations: Chebyshev steps, multigrid cycles or conjugate gradient iterations.
        residual: the largest entry of b - A x, in 8-bit levels (1/255 of the value range).
        max_error: a proven bound of the largest error, in 8-bit levels, before rounding to dtype. It is infinite
            if none could be proven (a map of weights that is zero in places, with a Gaussian), and NaN, with a
            warning, if `poisson` could not prove one.
            device: the device that was used, such as 'cpu'.
        milliseconds: wall time of the native call.
        peak_bytes: the peak of scratch memory, without inputs and output.
        reason: the reason why a blend's method is 'copy', such as 'mask is zero everywhere'; else empty.
        clipped: the share of the values inside, 0 to 1, that are beyond the range of an integer dtype when they are
            rounded, and were clipped to it; 0 for floats, which are not clipped. NaN on devices, which do not count.

    Example:
        >>> from pyharmony import ops
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> result, info = ops.poisson(src, dst, mask, return_info=True)
        >>> info.max_error < 0.25, info.reason
        (True, '')
    """

    method: str
    iterations: int
    residual: float
    max_error: float
    device: str
    milliseconds: float
    peak_bytes: int
    reason: Reason = NO_REASON
    clipped: float = 0.0


def image(x: Any, name: str, *, dims: tuple[int, ...] = (2, 3)) -> NumpyArray:
    """Returns an image [H, W] or [H, W, C] as numpy [H, W, C] over the same memory."""
    a = _arrays.to_numpy(x, name)
    image_form(a.shape, _arrays.dtype_name(a), name, dims)
    return a[..., None] if a.ndim == 2 else a


def image_form(shape: tuple[int, ...], dtype: str, name: str, dims: tuple[int, ...]) -> None:
    """Refuses the shape and dtype of an array that are not those of an image."""
    image_dtype(dtype, name)
    if len(shape) not in dims:
        raise ShapeError(f"{name}: shape {list(shape)}, expected [H, W] or [H, W, C]")
    if 0 in shape:
        raise ShapeError(f"{name}: shape {list(shape)} has no pixels")


def image_dtype(dtype: str, name: str) -> None:
    """Refuses a dtype that is not that of an image."""
    if dtype == "bool":
        raise DTypeError(f"{name}: dtype bool, expected an image dtype; convert it to uint8 (0 and 255) or float32")
    _arrays.check_dtype(dtype, name, _arrays.IMAGE_DTYPES)


def out_like(out: NumpyArray, name: str, like: NumpyArray, like_name: str) -> None:
    """Refuses an array for a result that differs in form from another one, or shares memory without being identical."""
    if out.dtype != like.dtype:
        raise DTypeError(f"{name}: dtype {out.dtype.name}, expected that of {like_name}, {like.dtype.name}")
    if out.shape != like.shape:
        raise ShapeError(f"{name}: shape {list(out.shape)}, expected that of {like_name}, {list(like.shape)}")
    if not out.flags.writeable:
        raise ArgumentError(f"{name}: the array is read-only")
    same = out.__array_interface__["data"][0] == like.__array_interface__["data"][0] and out.strides == like.strides
    if not same and np.may_share_memory(out, like):
        raise ArgumentError(f"{name}: shares memory with {like_name}; pass {like_name} itself or another array")


def result_like(out: Any, name: str, like: NumpyArray, like_name: str) -> NumpyArray:
    """Returns the NumPy array for a result: out, after its checks, or a new one if it is None."""
    if out is None:
        return np.empty(like.shape, like.dtype)
    if not isinstance(out, np.ndarray):
        raise DTypeError(f"{name}: {type(out).__name__}, expected None or a numpy.ndarray like {like_name}")
    out_like(out, name, like, like_name)
    return out


def same_shape(a: Any, a_name: str, b: Any, b_name: str) -> None:
    if a.shape != b.shape:
        raise ShapeError(f"{a_name}: shape {list(a.shape)} differs from {b_name} {list(b.shape)}")


def same_dtype(a: Any, a_name: str, b: Any, b_name: str) -> None:
    if a.dtype != b.dtype:
        raise DTypeError(
            f"{a_name}: dtype {a.dtype.name} differs from {b_name} {b.dtype.name}; convert one of them, values included"
        )


def mask(m: Any, name: str, height: int, width: int, largest: Callable[[NumpyArray], int] | None = None) -> NumpyArray:
    """Returns a mask [H, W], from [H, W] or [H, W, 1] of bool, integers scaled by their range, or floats in [0, 1].

    largest: returns the largest value of a mask of integers; None: it is searched for.
    """
    a = _arrays.to_numpy(m, name)
    dtype = _arrays.dtype_name(a)
    if a.ndim == 3 and a.shape[2] == 1:
        a = a[..., 0]
    mask_form(a.shape, dtype, name, height, width)
    if dtype in ("uint8", "uint16"):
        if a.size > 1:
            peak = int(a.max()) if largest is None else largest(a)
            mask_levels(peak, dtype, name, lambda: labels_in(a))
    elif dtype != "bool":
        low, high = float(a.min()), float(a.max())
        if not (low >= 0 and high <= 1):  # NaN is refused too
            raise MaskError(f"{name}: values from {low:g} to {high:g}, expected floats in [0, 1]")
    return a


def mask_levels(largest: int, dtype: str, name: str, areas: Callable[[], str]) -> None:
    """Refuses an integer mask whose largest value is 1, and warns of one that looks like a map of labels.

    areas: returns the description of `labels_in`.
    """
    white = int(_arrays.VALUE_RANGE[dtype])
    if largest == 1:
        raise MaskError(
            f"{name}: {dtype} with largest value 1, but {white} is fully inside; pass `{name} > 0` if ones mean inside"
        )
    if values := label_values(largest, dtype, areas):
        remedy = f"`{name} == label`, or `{name} > 0` for all of them"
        text = f"{name}: {dtype} with {values}, since {white} is fully inside; for a map of labels pass {remedy}"
        warn(text, MaskWarning)


def label_values(largest: int, dtype: str, areas: Callable[[], str]) -> str:
    """Describes the values of an integer mask that looks like a map of labels; else empty. For areas see above."""
    white = int(_arrays.VALUE_RANGE[dtype])
    if largest > white // 2:
        return areas()
    return f"largest value {largest}, which is {100 * largest / white:.2g} % inside" if largest else ""


def is_suspect(a: NumpyArray) -> bool:
    """Returns whether an array [h, w] is an integer mask that looks like a map of labels."""
    return a.dtype.char in "BH" and a.size > 0 and bool(labels_in(a))


def labels_in(a: NumpyArray) -> str:
    """Describes the values of an integer mask [h, w] that fill areas, as those of a map of labels do; else empty.

    In a soft mask the values between black and white change from pixel to pixel, or by one level at a time. Only a grid
    of samples is read.
    """
    white = _arrays.VALUE_RANGE[a.dtype.name]
    rows, columns = max(1, a.shape[0] // _LABEL_SAMPLES), max(1, a.shape[1] // _LABEL_SAMPLES)
    sample = a[::rows, ::columns]
    # White overflows to 0 and black becomes 1.
    soft = np.count_nonzero(sample + sample.dtype.type(1) > 1)
    if not soft or soft < _MIN_LABEL_SHARE * np.count_nonzero(sample):
        return ""
    own, right, below = a[:-1:rows, :-1:columns], a[:-1:rows, 1::columns], a[1::rows, :-1:columns]
    between = (own > 0) & (own < white)
    flat = between & (own == right) & (own == below)
    count = np.count_nonzero(flat)
    if not count or count < _FLAT_SHARE * np.count_nonzero(between):
        return ""
    labels = np.unique(own[flat])
    here, *beside = (x[between & ~flat].astype(np.int64) for x in (own, right, below))
    steps = np.maximum(*(np.abs(here - x) for x in beside))
    is_ramp = steps.size and np.quantile(steps, 0.9) <= 2 * white / 255
    if len(labels) < 2 or is_ramp:
        return ""
    shown = f"{labels[0]}, {labels[1]}{', …' if len(labels) > 2 else ''}"
    return f"areas of {len(labels)} values below white ({shown})"


#: The samples of a mask along each side.
_LABEL_SAMPLES = 32
#: The least share of values between black and white in a map of labels, and that of them that equal their neighbours.
_MIN_LABEL_SHARE, _FLAT_SHARE = 0.1, 0.8
#: The largest value of an image of fewer bits, as a share of their range, and the least share of negative values that
#: are not a rounding error.
_MIN_PEAK_SHARE, _MIN_NEGATIVE_SHARE = 0.75, 0.1
#: The largest magnitude of values that a network's input is normalised to.
_NORMALIZED = 4.0
#: A box may end this far outside its image, in pixels: annotations are rounded.
_ROUNDED_OUT = 1.0
#: The most labels above 0 whose counts are kept in an array instead of being sorted.
_COUNTED_LABELS = 1 << 16


def renamed(values: Mapping[str, Any], old: str, new: str) -> str:
    """Returns the name under which values have corners: new, or old, of which it warns."""
    if values.get(old) is None:
        return new
    if values.get(new) is not None:
        raise ArgumentError(f"{old}: passed beside {new}, its new name; expected one of them")
    other = "since a box is x, y, width, height everywhere else; the next release does not take the old name"
    warn(f"{old}: corners x0, y0, x1, y1 are called {new} now, {other}", DeprecationWarning)
    return old


def checked_box(box: Any, name: str, size: tuple[int, int] | None = None, *, corners: bool = False) -> Corners:
    """Returns the corners (x0, y0, x1, y1) of one box; for the arguments and what is refused see `checked_boxes`."""
    values = _numbers_of_box(box, name, corners)
    if corners and size is not None and all(type(value) is int for value in values):
        x0, y0, x1, y1 = map(float, values)
        if 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]:  # without the time of arrays
            return x0, y0, x1, y1
    x0, y0, x1, y1 = _checked_rows([values], [name], size, corners)[0].tolist()
    return x0, y0, x1, y1


def checked_boxes(
    boxes: Any, name: str, size: tuple[int, int] | None = None, *, corners: bool = False
) -> npt.NDArray[np.float64]:
    """Returns boxes as their corners, float64 [N, 4], each x0, y0, x1, y1 in pixels.

    Boxes without an area, shares of the image and boxes outside of it are refused. One that is partly outside is
    clipped, with a warning.

    Args:
        boxes: an array [N, 4] of integers or floats, or a list of boxes, each (x, y, width, height) in pixels.
        size: the width and height of the image; None: not known.
        corners: whether each is (x0, y0, x1, y1) instead, the last two excluded.
    """
    if _arrays.is_array(boxes):
        array = _arrays.to_numpy(boxes, name)
        if array.dtype.kind not in "iuf":
            raise DTypeError(f"{name}: dtype {array.dtype.name}, expected integers or floats")
        if array.size and (array.ndim != 2 or array.shape[1] != 4):
            raise ShapeError(f"{name}: shape {list(array.shape)}, expected [N, 4], each {_form_of_box(corners)}")
        rows: Any = array
    else:
        every = several(boxes, name, f"a list of boxes {_form_of_box(corners)}")
        rows = [_numbers_of_box(box, f"{name}[{i}]", corners) for i, box in enumerate(every)]
    return _checked_rows(rows, [f"{name}[{i}]" for i in range(len(rows))], size, corners)


def _form_of_box(corners: bool) -> str:
    return f"({'x0, y0, x1, y1' if corners else 'x, y, width, height'}) in pixels"


def _numbers_of_box(box: Any, name: str, corners: bool) -> list[Any]:
    """Returns the four numbers of a box."""
    accepts = f"{_form_of_box(corners)}, finite numbers"
    try:
        values = several(box.tolist() if _arrays.is_array(box) else box, name, accepts)
        if len(values) != 4 or any(isinstance(v, (bool, np.bool_)) for v in values):
            raise TypeError
        floats = [number(v, name, low=-math.inf) for v in values]
    except (PyHarmonyError, TypeError):
        raise ArgumentError(f"{name}: {shortened(box)}, expected {accepts}") from None
    return values if all(isinstance(v, numbers.Integral) for v in values) else floats


def _checked_rows(rows: Any, names: list[str], size: tuple[int, int] | None, corners: bool) -> npt.NDArray[np.float64]:
    """Returns the corners of rows of four numbers; names are those of the rows in messages."""
    array = np.asarray(rows)
    boxes = np.array(array, np.float64).reshape(-1, 4)
    if not corners:
        boxes[:, 2:] += boxes[:, :2]
    accepts = f"expected {_form_of_box(corners)}"

    def shown(i: int) -> str:
        return f"{names[i]}: ({', '.join(f'{v:.6g}' for v in np.asarray(rows[i], np.float64))})"

    finite = np.isfinite(boxes).all(1)
    if not finite.all():
        raise ArgumentError(f"{shown(int(finite.argmin()))}, {accepts}, finite numbers")
    flat = ~((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    if flat.any():
        area = "x0 < x1 and y0 < y1" if corners else "a width and a height above 0"
        text = f"{shown(int(flat.argmax()))}, expected {area}, {_form_of_box(corners)}"
        raise ArgumentError(text, hint="what has no area is outside of every object")
    if array.size and array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        raise ArgumentError(f"{shown(0)}, shares of the image's size, {accepts}", hint="multiply them by its size")
    if size is None or not len(boxes):
        return boxes
    width, height = size
    limits = np.array([width, height, width, height], np.float64)
    clipped = boxes.clip(0, limits)
    outside = ~((clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1]))
    image = f"an image of {width} x {height} pixels"
    if outside.any():
        raise ArgumentError(f"{shown(int(outside.argmax()))} is outside of {image}, {accepts}")
    beyond = (np.abs(clipped - boxes) > _ROUNDED_OUT).any(1)
    if beyond.any():
        i = int(beyond.argmax())
        others = "" if beyond.sum() == 1 else f", as are {beyond.sum() - 1} others"
        x, y, right, bottom = np.asarray(rows[i], np.float64).tolist()
        is_corners = not corners and x < right <= width and y < bottom <= height
        hint = f"({x:g}, {y:g}, {right - x:g}, {bottom - y:g}) if these are corners" if is_corners else ""
        warn(PyHarmonyWarning(f"{shown(i)} is partly outside of {image} and clipped{others}; {accepts}", hint=hint))
    return clipped


def checked_label_map(x: Any, name: str, height: int, width: int) -> tuple[NumpyArray, list[int]]:
    """Returns a map of labels [H, W] of integers, 0 for no object, and its labels above 0, ascending.

    The work and the memory depend on the number of pixels, not on the largest label.
    """
    a = _arrays.to_numpy(x, name)
    accepts = f"a map of labels [{height}, {width}] of integers, 0 for no object"
    if a.dtype.kind not in "iu":
        remedy = f"{name}.astype(numpy.int32) of whole numbers is one" if a.dtype.kind == "f" else ""
        raise DTypeError(f"{name}: dtype {a.dtype.name}, expected {accepts}", hint=remedy)
    if a.shape != (height, width):
        coloured = a.ndim == 3 and a.shape[:2] == (height, width) and a.shape[2] in (3, 4)
        hint = "colours of a palette are no labels; pass the palette's indices" if coloured else ""
        raise wrong_size(name, a.shape, (height, width), hint, "a map of labels of ")
    low, high = (int(a.min()), int(a.max())) if a.size else (0, 0)
    if low < 0:
        raise ArgumentError(f"{name}: labels from {low} to {high}, expected {accepts}, and labels above it")
    if high < _COUNTED_LABELS:
        labels = np.flatnonzero(np.bincount(a.ravel(), minlength=1)).tolist()
    else:
        labels = np.unique(a).tolist()
    return a, [label for label in labels if label]


def mask_form(shape: tuple[int, ...], dtype: str, name: str, height: int, width: int) -> None:
    """Refuses an array whose dtype or shape is not that of a mask [H, W]."""
    _arrays.check_dtype(dtype, name, _arrays.MASK_DTYPES)
    if shape != (height, width):
        raise wrong_size(name, shape, (height, width), _remedy(shape, name, height, width))


def wrong_size(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...], hint: str = "", form: str = "", like: str = ""
) -> ShapeError:
    """Returns the error about an image of another height and width than expected.

    Args:
        form: the words before the shape, such as 'a map of '.
        like: the words before the expected shape, such as 'that of dst, '.
    """
    sizes = {key: f"{x[1]} x {x[0]}" for key, x in (("given", shape), ("expected", expected)) if len(x) > 1}
    code = "wrong-size" if len(sizes) == 2 and shape[:2] != expected[:2] else None
    text = f"{name}: {form}shape {list(shape)}, expected {like}{list(expected)}"
    return ShapeError(text, code=code, hint=hint, **sizes)


def _remedy(shape: tuple[int, ...], name: str, height: int, width: int) -> str:
    """Returns the hint for a mask of another shape."""
    if len(shape) > 2 and shape[-3:-1] == (height, width) and shape[-1] in (3, 4):
        last = f"; its alpha is {name}[..., 3]" if shape[-1] == 4 else ""
        return f"pass one of {shape[-1]} equal channels, {name}[..., 0]{last}"
    if len(shape) > 2 and shape[-2:] == (height, width) and shape[-3] in (3, 4):
        last = f"; its alpha is {name}[..., 3, :, :]" if shape[-3] == 4 else ""
        return f"pass one of {shape[-3]} equal channels, {name}[..., 0, :, :]{last}"
    if len(shape) == 2 and shape[0] == width and height in (1, 3, 4):
        return "channels come last in pyharmony.ops, [H, W, C]; x.movedim(-3, -1) of an image [C, H, W] is a view"
    return "masks are never resized"


class RangeFault(Warning):
    """The kind by which `quiet` suppresses warnings of ranges, which are of the usual kind."""


def warn_of_range(images: NumpyArray, name: str) -> None:
    """Warns of an image [..., H, W, C] whose values seem to be in another range than its dtype's."""
    if not is_quiet(RangeFault) and (fault := range_fault(images)):
        warn(f"{name}: {fault}")


def range_fault(images: NumpyArray) -> str:
    """Describes values [..., H, W, C] that seem to be in another range, from a sample of the first image; else empty.

    These are floats of 0 to 255 or 65535, or of both signs, and 8 to 14 bits in uint16.
    """
    if images.dtype.kind != "f" and images.dtype != np.uint16:
        return ""
    first = images[(0,) * (images.ndim - 3)]
    values = first[:: max(1, first.shape[0] // 64), :: max(1, first.shape[1] // 64)]
    if images.dtype.kind == "u":
        largest = int(values.max())
        bits = largest.bit_length()
        if bits not in (8, 10, 12, 14) or largest < _MIN_PEAK_SHARE * (1 << bits):
            return ""
        factor = f"65535 / {(1 << bits) - 1}"
        return f"uint16 with values up to {largest}, where 65535 is white; multiply levels of {bits} bits by {factor}"
    values = values[np.isfinite(values)]
    if not values.size:
        return ""
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        if not 16 < high <= 65535.5 or np.median(values[values > 0]) <= 2:
            return ""
        white = 255 if high <= 255.5 else 65535
        remedy = f"divide levels of 0 to {white} by {white}"
        return f"{images.dtype.name} with values up to {high:g}, where 1 is white; {remedy}"
    if (
        -_NORMALIZED <= low < -0.1
        and high <= _NORMALIZED
        and np.count_nonzero(values < 0) > _MIN_NEGATIVE_SHARE * values.size
    ):
        text = f"{images.dtype.name} with values from {low:.3g} to {high:.3g}, where 0 is black and 1 is white"
        return f"{text}; of values from -1 to 1 pass (x + 1) / 2"
    return ""


def mask_size(m: Any, name: str) -> tuple[int, int]:
    """Returns height and width of a mask without an image."""
    if m.ndim not in (2, 3) or (m.ndim == 3 and m.shape[2] != 1) or m.size == 0:
        raise ShapeError(f"{name}: shape {list(m.shape)}, expected [H, W] with pixels")
    return m.shape[0], m.shape[1]


def finite(image: NumpyArray, name: str, mask: NumpyArray | None = None, origin: tuple[int, int] = (0, 0)) -> None:
    """Refuses NaN and infinities in an image [H, W, C], on mask > 0 and within one pixel of it; without mask, anywhere.

    origin (y, x) is the corner of a crop in the full image; the message names the pixel of the full image.
    """
    if image.dtype.kind != "f":
        return
    at = native.first_nonfinite(_arrays.view(image, name), None if mask is None else _arrays.view(mask, "mask"))
    if at is not None:
        pixel = f"(y={at[0] + origin[0]}, x={at[1] + origin[1]})"
        where = "" if mask is None else ", which the solve reads"
        raise ArgumentError(f"{name}: {image[at]} at pixel {pixel}, channel {at[2]}{where}; expected finite values")


def number(
    x: Any, name: str, *, low: float = 0.0, high: float = math.inf, accepts: str = "a finite number of at least 0"
) -> float:
    value = _float_of(x, f"{name}: {type(x).__name__} ", f", expected {accepts}")
    if not (math.isfinite(value) and low <= value <= high):
        raise ArgumentError(f"{name}: {value:g}, expected {accepts}")
    return value


def _float_of(x: Any, before: str, after: str) -> float:
    """Returns a number as a float, infinite beyond their range; raises DTypeError with these words around others."""
    if not isinstance(x, bool) and isinstance(x, numbers.Real):
        try:
            return float(x)
        except OverflowError:  # an integer or a fraction
            return math.inf if x > 0 else -math.inf  # type: ignore[operator]
        except Exception:  # noqa: S110 - somebody else's type
            pass
    raise DTypeError(f"{before}{shortened(x)}{after}")


def whole(x: Any, name: str, *, low: int = 0, high: int | None = None, accepts: str | None = None) -> int:
    """Returns a whole number from low to high, of Python or NumPy.

    high: None: the largest signed integer of 64 bits.
    accepts: the accepted values, for messages; None: from low and high.
    """
    if isinstance(x, bool) or not isinstance(x, numbers.Integral):
        raise DTypeError(f"{name}: {type(x).__name__} {shortened(x)}, expected {accepts or _whole_numbers(low, high)}")
    value = int(x)
    if not low <= value <= (_MAX_INT64 if high is None else high):
        # Python refuses to convert integers of more than some thousand digits to text.
        text = str(value) if abs(value) < 1 << 64 else f"a number of {value.bit_length()} bits"
        raise ArgumentError(f"{name}: {text}, expected {accepts or _whole_numbers(low, high)}")
    return value


def _whole_numbers(low: int, high: int | None) -> str:
    return f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"


def shortened(x: Any) -> str:
    """Returns the repr of a value for a message, of at most 100 characters."""
    try:
        text = repr(x)
    except Exception:
        text = f"a {type(x).__name__} that cannot be shown"
    return text if len(text) <= 100 else f"{text[:97]}..."


def flag(x: Any, name: str, accepts: str = "True or False") -> bool:
    """Returns a bool of Python or NumPy; values that are merely truthy or falsy, such as "no", are refused."""
    if not isinstance(x, (bool, np.bool_)):
        raise DTypeError(f"{name}: {shortened(x)}, expected {accepts}")
    return bool(x)


def flags(**values: Any) -> None:
    """Refuses arguments, by name, that are neither True nor False."""
    for name, value in values.items():
        flag(value, name)


def two_numbers(x: Any, name: str, accepts: str) -> tuple[Any, Any]:
    """Returns a pair of numbers, of any type and size."""
    if isinstance(x, (str, bytes, bytearray)):
        raise DTypeError(f"{name}: {shortened(x)}, {accepts}")
    try:
        first, second = [] if isinstance(x, (set, frozenset, Mapping)) else x
    except Exception:  # not two values, or an object that fails to iterate
        raise ArgumentError(f"{name}: {shortened(x)}, {accepts}") from None
    for value in (first, second):
        _float_of(value, f"{name}: {shortened(x)} with ", f", {accepts}")
    return first, second


def map_or_none(x: Any) -> Any:
    """Returns color_weight if it is a map, None if it is a number."""
    return None if x is None or isinstance(x, numbers.Real) else x


def color_weight(x: Any, height: int, width: int) -> float | NumpyArray:
    """Returns a number, or a contiguous map [H, W], float64 if x is, else float32."""
    if isinstance(x, numbers.Real):
        return number(x, "color_weight", high=MAX_COLOR_WEIGHT, accepts=COLOR_WEIGHTS)
    a = _arrays.to_numpy(x, "color_weight")
    if a.ndim == 0:
        return number(a.item(), "color_weight", high=MAX_COLOR_WEIGHT, accepts=COLOR_WEIGHTS)
    if a.dtype.kind != "f":
        raise DTypeError(f"color_weight: a map of dtype {a.dtype.name}, expected floats")
    if a.shape != (height, width):
        raise wrong_size("color_weight", a.shape, (height, width), form="a map of ")
    low, high = float(a.min()), float(a.max())
    color_weight_range(low, high)
    if low == high:
        return low
    return np.ascontiguousarray(a, np.float64 if a.dtype == np.float64 else np.float32)


def several(x: Any, name: str, accepts: str) -> list[Any]:
    """Returns the entries of a list, a tuple or an array."""
    if not isinstance(x, (str, bytes, bytearray, memoryview, Mapping)):
        with contextlib.suppress(Exception):  # not iterable, or an object that fails to iterate
            return list(x)
    raise DTypeError(f"{name}: {type(x).__name__}, expected {accepts}")


def kinds(function: FunctionT) -> FunctionT:
    """Decorates a public function, `__init__` or dataclass: refuses arguments that are not of their annotation's kind.

    `_KINDS` has the kinds; other annotations, ranges and names are checked by the function. A default is of any kind.
    Numbers are passed on as int and float. For calls that take milliseconds: binding arguments takes microseconds.
    """
    if isinstance(function, type):
        function.__init__ = kinds(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)

    @functools.cache  # at the first call, when the classes of the module are defined
    def checks_by_name() -> list[tuple[str, Callable[[Any, str], Any], Any, bool]]:
        scope = inspect.unwrap(function).__globals__
        checks = [
            (name, check, parameter.default, "None" in str(parameter.annotation))
            for name, parameter in signature.parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if (check := _kind_of(str(parameter.annotation), scope)) is not None
        ]
        # Flags come first, as in functions that are not decorated.
        return sorted(checks, key=lambda one: one[1] is not flag)

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        try:
            bound = signature.bind(*args, **options)
        except TypeError:  # the function itself raises the error that names the missing or unknown argument
            return function(*args, **options)
        for name, check, default, accepts_none in checks_by_name():
            value = bound.arguments.get(name, default)
            if value is not default and not (accepts_none and value is None):
                number = check(value, name)
                if isinstance(number, (int, float)):
                    bound.arguments[name] = number
        return function(*bound.args, **bound.kwargs)

    return cast(FunctionT, checked)


def _kind_of(annotation: str, scope: Mapping[str, Any]) -> Callable[[Any, str], Any] | None:
    """Returns the check for an annotation, whose classes are those of a module's scope; None if there is none."""
    plain = annotation.removesuffix(" | None")
    if plain.startswith("Sequence[") and " | " not in plain and (check := _kind_of(plain[9:-1], scope)):
        return functools.partial(_each, check)
    parts = plain[6:-1].split(", ") if plain.startswith("tuple[") else []
    if parts and set(parts) <= {"int", "float"}:
        return functools.partial(_tuple, [_KINDS[part] for part in parts])
    if parts[1:] == ["..."] and (check := _kind_of(parts[0], scope)):
        return functools.partial(_each, check)
    for begin, check in _KINDS.items():
        if plain == begin or (begin.endswith("[") and plain.startswith(begin) and "] | " not in plain):
            return check
    if " | " in plain:
        parts = plain.split(" | ")
        checks = {part: check for part in parts if (check := _kind_of(part, scope))}
        return functools.partial(_either, checks) if len(checks) == len(parts) else None
    first, *rest = plain.split(".")
    kind = functools.reduce(lambda owner, part: getattr(owner, part, None), rest, scope.get(first))
    kind = getattr(kind, "__bound__", kind)
    if origin := get_origin(kind):  # to Python 3.10 an alias such as that of NDArray is a type
        return _callable if origin is Callable else None
    if not isinstance(kind, type) or kind.__module__ == "typing" or getattr(kind, "_is_protocol", False):
        return None

    return _instance(kind)


def _instance(kind: type) -> Callable[[Any, str], None]:
    """Returns the check that a value is an instance of a class."""

    def check(x: Any, name: str) -> None:
        if not isinstance(x, kind):
            article = "an" if kind.__name__[0] in "AEIOU" else "a"
            raise DTypeError(f"{name}: {type(x).__name__}, expected {article} {kind.__name__}")

    return check


def _text(x: Any, name: str) -> None:
    if not isinstance(x, str):
        raise DTypeError(f"{name}: {type(x).__name__}, expected a text")
    if not x or not x.isprintable():  # control characters, and halves of characters, which no file can have
        raise ArgumentError(f"{name}: {x!r}, expected printable characters")


def _callable(x: Any, name: str) -> None:
    if not callable(x):
        raise DTypeError(f"{name}: {type(x).__name__}, expected a function")


def _bytes(x: Any, name: str) -> None:
    if not isinstance(x, bytes):
        raise DTypeError(f"{name}: {type(x).__name__}, expected bytes")


def _mapping(x: Any, name: str) -> None:
    if not isinstance(x, Mapping):
        raise DTypeError(f"{name}: {type(x).__name__}, expected a mapping")


def _whole_or_pair(x: Any, name: str) -> None:
    if isinstance(x, numbers.Integral):
        whole(x, name)
    else:
        _tuple([whole, whole], x, name)


def _tuple(checks: Sequence[Callable[[Any, str], Any]], x: Any, name: str) -> None:
    values = several(x, name, f"{len(checks)} numbers")
    if isinstance(x, (set, frozenset)) or len(values) != len(checks):
        raise ArgumentError(f"{name}: {x!r}, expected {len(checks)} numbers")
    for number, (check, value) in enumerate(zip(checks, values, strict=True)):
        check(value, f"{name}[{number}]")


def _each(check: Callable[[Any, str], Any], x: Any, name: str) -> None:
    _sequence(x, name)
    for number, entry in enumerate(x):
        check(entry, f"{name}[{number}]")


def _either(checks: Mapping[str, Callable[[Any, str], Any]], x: Any, name: str) -> None:
    for check in checks.values():
        with contextlib.suppress(PyHarmonyError):
            check(x, name)
            return
    raise DTypeError(f"{name}: {type(x).__name__} {shortened(x)}, expected {' or '.join(checks)}")


def is_iterable(x: Any) -> bool:
    """Returns whether x may be iterated over for its entries, as lists, arrays and generators may."""
    return isinstance(x, Iterable) and not isinstance(x, (str, bytes, Mapping)) and getattr(x, "ndim", 1) != 0


def _iterable(x: Any, name: str) -> None:
    if not is_iterable(x):
        raise DTypeError(f"{name}: {type(x).__name__}, expected a list or a generator")


def _samples(x: Any, name: str) -> None:
    if isinstance(x, (str, bytes, Mapping, np.ndarray)) or not (hasattr(x, "__len__") and hasattr(x, "__getitem__")):
        raise DTypeError(f"{name}: {type(x).__name__}, expected a data set or a list of samples")


def _sequence(x: Any, name: str) -> None:
    if isinstance(x, (set, frozenset, Iterator)):
        raise DTypeError(f"{name}: {type(x).__name__}, expected a list, whose order counts")
    several(x, name, "a list")


def floats(x: Any, name: str) -> NumpyArray:
    """Returns real numbers of any shape as float64; texts and flags, which NumPy would convert, are refused."""
    try:
        a = np.asarray(x.detach() if _arrays.is_torch(x) else x)
    except Exception as error:  # an object that fails to convert itself, or lists of different lengths
        raise DTypeError(f"{name}: {type(x).__name__}, expected an array of numbers") from error
    if a.dtype.kind not in "iuf":
        raise DTypeError(f"{name}: {type(x).__name__} of dtype {a.dtype}, expected an array of numbers")
    return a.astype(np.float64, copy=False)


def path(x: Any, name: str, accepts: str = "a path") -> Path:
    """Returns the path of a file or folder, which need not exist; one that no file can have is refused."""
    try:
        text = os.fspath(x)
    except Exception:  # not a path, or an object that fails to return it
        raise DTypeError(f"{name}: {type(x).__name__}, expected {accepts}") from None
    if not isinstance(text, str):
        raise DTypeError(f"{name}: {type(text).__name__}, expected {accepts}")
    try:
        if text and "\0" not in text:
            os.lstat(os.fsencode(text))
    except UnicodeEncodeError:
        text = ""
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FileError.of(error.errno, name, text, accepts) from None
    if not text or "\0" in text:
        raise ArgumentError(f"{name}: {x!r}, expected {accepts}")
    return Path(text)


_KINDS: dict[str, Callable[[Any, str], Any]] = {
    "bool": flag,
    "int": functools.partial(whole, low=-_MAX_INT64, accepts="a whole number of at most 64 bits"),
    "float": functools.partial(number, low=-math.inf, accepts="a finite number"),
    "str": _text,
    "PathLike": path,
    "str | os.PathLike[str]": path,
    "Path": path,
    "Callable[": _callable,
    "Mapping[": _mapping,
    "dict[": _mapping,
    "bytes": _bytes,
    "Sample": _mapping,
    "Dataset | Sequence[Sample]": _samples,
    "int | Pair": _whole_or_pair,
    "Iterable[": _iterable,
    "Sequence[": _sequence,
}


def folder(x: Any, name: str) -> Path:
    """Returns the path of an existing folder."""
    place = path(x, name, "an existing folder")
    if not place.is_dir():
        number = errno.ENOTDIR if place.exists() else errno.ENOENT
        raise FileError.of(number, name, place, "an existing folder")
    return place


@contextlib.contextmanager
def opened(x: Any, name: str) -> Iterator[BinaryIO]:
    """Yields the open file of a path; a folder and a device, which may have no end, are refused."""
    file_path = path(x, name, "the path of a file")
    try:
        file = open(file_path, "rb")  # noqa: SIM115, closed below
    except OSError as error:
        raise FileError.of(error.errno or errno.EIO, name, str(x), "a readable file") from None
    with file:
        if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):
            raise FileError.of(errno.ENODEV, name, str(x), "a file, not a device")
        yield file


def color_weight_range(low: float, high: float) -> None:
    """Refuses the smallest and the largest value of a map of weights."""
    if not (low >= 0 and high <= MAX_COLOR_WEIGHT):  # NaN is refused too
        raise ArgumentError(f"color_weight: values from {low:g} to {high:g}, expected {COLOR_WEIGHTS}")


def one_of(x: Any, name: str, names: tuple[Word, ...], more: str = "") -> Word:
    if not isinstance(x, str) or x not in names:
        raise ArgumentError(f"{name}: {shortened(x)}, expected one of {', '.join(map(repr, names))}{more}")
    return names[names.index(x)]


def tolerance(x: Any, dtype: str) -> float:
    """Returns the allowed error in 8-bit levels."""
    if x is None:
        return DEFAULT_TOLERANCE[dtype]
    return number(x, "tolerance", low=1e-9, accepts="None or a number of 8-bit levels (1/255), at least 1e-9")
