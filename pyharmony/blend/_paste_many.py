"""Several objects pasted into one image, in order."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .. import _checks, _cuda
from .._arrays import NumpyArray
from .._calls import NETLESS
from .._images.frame import one_image, sizes_differ
from .._public import FORMER, under_present_names
from .._warnings import of
from ..errors import ArgumentError, DTypeError, PyHarmonyError
from ..ops.hierarchies import are_cached
from ..typing import Device
from ._paste import NativeItem, is_plain, native_item, paste, tell

_NAMES = tuple(mode.replace("-", "_") for mode in NETLESS)
_METHODS = {name: getattr(importlib.import_module(f"._{name}", __package__), name) for name in _NAMES}
#: The keys of an item that are not options of its method.
_ITEM_KEYS = ("src", "mask", "box_xyxy", "box", "at", "method")
#: The arguments of the methods that `paste_many` sets, or that concern more than one object.
_NOT_OPTIONS = {*_ITEM_KEYS, "dst", "out", "return_info", "errors", "keep_gps", "device"}


def paste_many(
    dst: NumpyArray,
    items: Iterable[Mapping[str, object]],
    *,
    device: Device | None = None,
    out: NumpyArray | None = None,
) -> NumpyArray:
    """Pastes objects into an image, one after another, so that later ones lie over earlier ones.

    The result is, bit for bit, that of the blend of each item over the result of the one before, with one copy of dst
    at most. Consecutive items by `poisson`, `gaussian_poisson` or `alpha`, of arrays without an alpha channel at whole
    pixels, take one native call.

    Args:
        dst: [H, W] or [H, W, C], a NumPy array of 1, 3 or 4 channels, uint8, uint16 or floats with 1.0 for white. It is
            not changed, unless it is out.
        items: the objects, in order; each is a mapping, of whose keys only 'src' is required:

            * 'src': the image that contains the object, [h, w] or [h, w, C] of dst's dtype, or one of the other kinds
              of `pyharmony.blend`.
            * 'mask': its mask, of src's height and width; None: the alpha of src, or all of it.
            * 'box_xyxy': (x0, y0, x1, y1), the part of src and mask to paste, in whole pixels, the last two excluded;
              None: all. 'box' is its old name, which this release still takes, with a warning.
            * 'at': (x, y), the position in dst of the first pixel of that part. None: that in src, which then has the
              size of dst.
            * 'method': the blend, 'poisson' (the default) or another one without a network.
            * The options of that function, such as 'gradients', 'contour', 'color_weight', 'tolerance', 'feather',
              'scale', 'decontaminate' and 'dst_valid'.
        device: 'auto', 'cpu' or 'cuda', for all items; None: the setting of `pyharmony.set_device`. With 'cpu' a GPU is
            not even looked for, which a worker process must not do.
        out: None, or an array like dst to write into, which may be dst; it shares no other memory with dst or an item.

    Returns:
        The image with all objects, of dst's shape and dtype; out if it is passed.

    Raises:
        PyHarmonyError: an item is wrong; the message begins with its index, 'items[2]: ', as that of a warning. Items
            before it are in out then. Keys, methods and boxes are checked before the first one is pasted.

    Example:
        >>> from pyharmony import blend
        >>> photo = np.full((64, 64, 3), 60, np.uint8)
        >>> ball = np.full((16, 16, 3), 90, np.uint8)
        >>> ball[8, 8] = 120
        >>> lower = {"src": ball, "box_xyxy": (4, 4, 12, 12), "at": (40, 40), "method": "alpha"}
        >>> blend.paste_many(photo, [{"src": ball, "at": (4, 4)}, lower])[[12, 44], [12, 44], 0].tolist()
        [90, 120]
    """
    if not isinstance(dst, np.ndarray):
        raise DTypeError(f"dst: {type(dst).__name__}, expected a numpy.ndarray [H, W] or [H, W, C]")
    one_image(dst, "dst")
    result = _checks.result_like(out, "out", dst, "dst")
    objects = [_object(item, dst, f"items[{i}]: ") for i, item in enumerate(_several(items))]
    if not objects:
        np.copyto(result, dst)
    native = is_plain(dst) and not _checks.range_fault(dst) and not are_cached() and _cuda.place_of({}, device) is None
    natives = [_native_item(each, dst) if native else None for each in objects]
    under = dst
    i = 0
    while i < len(objects):
        run = _leading(natives[i:])
        if run:
            for report, item in zip(paste(under, result, run), run, strict=False):
                under = result
                with of(f"items[{i}]: "):
                    tell(report, item, dst)
                i += 1
            if i == len(objects):
                break
        method, src, mask, at, options = objects[i]
        owner = f"items[{i}]: "
        with of(owner):
            try:
                method(src, under, mask, at=at, device=device, out=result, **options)
            except PyHarmonyError as error:
                raise error.within(owner) from error
        under = result
        i += 1
    return result


def _several(items: Any) -> list[Any]:
    accepts = "a list of mappings, one for each object"
    if isinstance(items, Mapping):
        raise DTypeError(f"items: one mapping, expected {accepts}")
    return _checks.several(items, "items", accepts)


#: A function of `_METHODS`, src, mask, at, and the options of the function.
_Object = tuple[Any, Any, Any, Any, dict[str, Any]]


@functools.cache
def _options_of(method: str) -> frozenset[str]:
    return frozenset(inspect.signature(_METHODS[method]).parameters) - _NOT_OPTIONS


def _object(item: Any, dst: NumpyArray, owner: str) -> _Object:
    """Returns a checked item, cropped to its box."""
    if not isinstance(item, Mapping):
        raise DTypeError(f"{owner}{type(item).__name__}, expected a mapping with the key 'src'")
    if "src" not in item:
        raise ArgumentError(f"{owner}without the key 'src', expected the image that contains the object")
    name = item.get("method", "poisson")
    try:
        _checks.one_of(name, "method", tuple(_METHODS))
    except PyHarmonyError as error:
        raise error.within(owner) from None
    with of(owner):
        own = {key: value for key, value in item.items() if key not in _ITEM_KEYS}
        options = under_present_names(FORMER.get(name, {}), own)
    for key in options:
        if key not in _options_of(name):
            every = ", ".join(map(repr, (*_ITEM_KEYS, *sorted(_options_of(name)))))
            raise ArgumentError(f"{owner}key {key!r}, expected one of {every}, the options of {name}")
    src, mask, at = item["src"], item.get("mask"), item.get("at")
    try:
        key = _checks.renamed(item, "box", "box_xyxy")
        if item.get(key) is not None:
            with of(owner):
                src, mask, at = _cropped(src, mask, at, item[key], dst, key)
    except PyHarmonyError as error:
        raise error.within(owner) from None
    return _METHODS[name], src, mask, at, options


def _cropped(src: Any, mask: Any, at: Any, box: Any, dst: NumpyArray, name: str) -> tuple[Any, Any, Any]:
    """Returns the part of src and mask in a box, and its position in dst."""
    if not isinstance(src, np.ndarray) or not (mask is None or isinstance(mask, np.ndarray)):
        kinds = f"{type(src).__name__} and {type(mask).__name__}"
        raise DTypeError(f"{name}: src and mask are {kinds}, expected numpy arrays with a box")
    height, width = one_image(src, "src").shape[:2]
    if mask is not None and mask.shape[:2] != (height, width):
        raise _checks.wrong_size("mask", mask.shape, (height, width), like="that of src, ")
    corners = _checks.checked_box(box, name, (width, height), corners=True)
    x0, y0, x1, y1 = map(int, corners)
    if (x0, y0, x1, y1) != corners:
        raise ArgumentError(f"{name}: {_checks.shortened(box)}, expected (x0, y0, x1, y1) in whole pixels")
    if at is None:
        if (height, width) != dst.shape[:2]:
            raise sizes_differ(src.shape[:2], dst.shape[:2], 1)
        at = x0, y0
    return src[y0:y1, x0:x1], mask if mask is None else mask[y0:y1, x0:x1], at


def _native_item(each: _Object, dst: NumpyArray) -> NativeItem | None:
    """Returns an item for the native call; None if it needs more than that, or is wrong."""
    method, src, mask, at, options = each
    return native_item(method.__name__, src, dst, mask, at, options)


def _leading(items: list[NativeItem | None]) -> list[NativeItem]:
    """Returns the items before the first None."""
    count = next((i for i, item in enumerate(items) if item is None), len(items))
    return [item for item in items[:count] if item is not None]
