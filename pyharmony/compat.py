"""Calls of other libraries, implemented by pyharmony: OpenCV's ``seamlessClone``.

Only the signature is OpenCV's; OpenCV need not be installed. docs/coming-from-seamlessclone.md lists the differences.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np

from . import blend as _blend
from ._arrays import MASK_DTYPES, NumpyArray, check_dtype, dtype_name
from ._checks import result_like, two_numbers, wrong_size
from ._images.frame import one_image
from ._images.region import bounding_box
from ._public import publish
from .errors import ArgumentError, DTypeError
from .reference.luma import LUMA
from .typing import Gradients

__all__ = [
    "MIXED_CLONE",
    "MIXED_CLONE_WIDE",
    "MONOCHROME_TRANSFER",
    "MONOCHROME_TRANSFER_WIDE",
    "NORMAL_CLONE",
    "NORMAL_CLONE_WIDE",
    "seamlessClone",
]

NORMAL_CLONE: Final = 1  #: The source's gradients.
MIXED_CLONE: Final = 2  #: The stronger gradient of the two images.
MONOCHROME_TRANSFER: Final = 3  #: The gradients of the source's luma.
NORMAL_CLONE_WIDE: Final = 9  #: `NORMAL_CLONE`, placed by the centre of the source, not of its mask.
MIXED_CLONE_WIDE: Final = 10  #: `MIXED_CLONE`, placed by the centre of the source, not of its mask.
MONOCHROME_TRANSFER_WIDE: Final = 11  #: `MONOCHROME_TRANSFER`, placed by the centre of the source, not of its mask.

_WIDE: Final = 8
NumpyT = TypeVar("NumpyT", bound=NumpyArray)

_GRADIENTS: dict[int, Gradients] = {NORMAL_CLONE: "source", MIXED_CLONE: "mixed", MONOCHROME_TRANSFER: "monochrome"}
_FLAGS = "NORMAL_CLONE (1), MIXED_CLONE (2), MONOCHROME_TRANSFER (3) or the same + 8, *_WIDE (9, 10, 11)"

#: The weights of Rec. 601 luma in OpenCV's order of channels.
_LUMA_BGR = LUMA[::-1]


def seamlessClone(  # OpenCV's name
    src: NumpyArray,
    dst: NumpyT,
    mask: NumpyArray | None,
    p: Sequence[int] | NumpyArray,
    flags: int,
    blend: NumpyT | None = None,
) -> NumpyT:
    """Implements ``cv2.seamlessClone``: OpenCV's arguments and placement, the solver of `pyharmony.blend.poisson`.

    Placement, as in OpenCV 5: without ``_WIDE`` the bounding box of the mask's pixels above zero, of size w x h, is
    placed so that its pixel (w // 2, h // 2) is at p. The outermost pixels of the mask do not count for the box unless
    all its pixels are there. With ``_WIDE`` pixel (width // 2, height // 2) of src is at p, for any mask. Pixels
    outside dst are cropped.

    The result has the gradients of src wherever the mask is above zero, its border included, with the colours of dst
    around it. Where the mask is zero the result is dst, bit for bit, except for strips of at most three pixels between
    the mask and dst's border, which count as inside. If a mask covers every pixel of dst, the outermost ones are not
    changed, since they determine the colours; an empty mask gives a copy of dst.

    Args:
        src, dst: [H, W, 3] in BGR, of any size each and one dtype: uint8, uint16 (0 to 65535), or
            float16, float32, float64 (1.0 is white; never clipped). Also [H, W], [H, W, 1], and
            [H, W, 4] in BGRA: the alpha of src multiplies the mask, and the object lies over that of dst; where it
            is zero dst is unknown, such as erased, and is ignored (see `pyharmony.blend`). Any strides.
        mask: [H, W] or [H, W, 1], of src's height and width, or [H, W, 3 or 4], of which the luma is
            used; uint8 or uint16 (their largest value is fully inside, values between weight the
            gradients), bool, or floats from 0 to 1. If the largest value of an integer mask is
            1, ones are fully inside. None: all of src.
        p: (x, y) in dst, whole numbers.
        flags: NORMAL_CLONE, MIXED_CLONE (at each edge the stronger gradient of src and dst),
            MONOCHROME_TRANSFER (the gradients of the luma of src), or their ``_WIDE`` forms; the
            constants of this module or of cv2.
        blend: an array like dst to write into; it may be dst.

    Returns:
        The blend, of dst's shape and dtype; blend itself if it is passed.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: an argument is not accepted; the message names it, the
            given and the accepted values; see `pyharmony.blend`.

    Perez, Gangnet, Blake: Poisson Image Editing, 2003.

    Example:
        >>> from pyharmony import compat
        >>> dst, src = np.full((32, 32, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> mask = np.full((16, 16), 255, np.uint8)
        >>> compat.seamlessClone(src, dst, mask, (16, 16), compat.NORMAL_CLONE)[16, 16].tolist()
        [60, 60, 60]
    """
    gradients, wide = _flags(flags)
    at_p = _point(p)
    _check_image(src, "src")
    _check_image(dst, "dst")
    result: Any = result_like(blend, "blend", dst, "dst")
    for image, name in ((src, "src"), (mask, "mask")):
        if blend is not None and isinstance(image, np.ndarray) and np.may_share_memory(blend, image):
            raise ArgumentError(f"blend: shares memory with {name}; pass another array")
    height, width = src.shape[:2]
    inside = np.ones((height, width), bool) if mask is None else _plane(mask, height, width)
    x, y = _corner(inside, at_p, wide)
    inside = _leave_frame(inside, x, y, *dst.shape[:2])
    if gradients != "monochrome":
        _blend.poisson(src, dst, inside, at=(x, y), gradients=gradients, out=result)
    elif dst.ndim == 3 and dst.shape[2] == 4:
        flipped = _blend.poisson(_rgb(src), _rgb(dst), inside, at=(x, y), gradients=gradients)
        result[...] = _rgb(flipped)
    else:
        _blend.poisson(_rgb(src), _rgb(dst), inside, at=(x, y), gradients=gradients, out=_rgb(result))
    return result


def _flags(flags: Any) -> tuple[Gradients, bool]:
    """Returns the gradients of flags, and whether they are of the wide kind."""
    if isinstance(flags, bool) or not isinstance(flags, numbers.Integral):
        raise DTypeError(f"flags: {type(flags).__name__} {flags!r}, expected {_FLAGS}")
    number = int(flags)
    if number & ~_WIDE not in _GRADIENTS:
        raise ArgumentError(f"flags: {number}, expected {_FLAGS}")
    return _GRADIENTS[number & ~_WIDE], bool(number & _WIDE)


def _point(p: Any) -> tuple[int, int]:
    accepts = "expected (x, y), two whole numbers: the position of the centre in dst"
    x, y = two_numbers(p, "p", accepts)
    if not (float(x).is_integer() and float(y).is_integer()):
        raise ArgumentError(f"p: {p!r}, {accepts}")
    return int(x), int(y)


def _check_image(x: Any, name: str) -> None:
    """Refuses images that OpenCV's signature excludes; the blend checks the rest."""
    if not isinstance(x, np.ndarray):
        raise DTypeError(f"{name}: {type(x).__name__}, expected a numpy.ndarray, such as cv2.imread returns")
    one_image(x, name)


def _plane(mask: Any, height: int, width: int) -> NumpyArray:
    """Returns one plane of OpenCV's mask, bool if 1 is its largest integer; the blend checks its values."""
    if not isinstance(mask, np.ndarray):
        raise DTypeError(f"mask: {type(mask).__name__}, expected None or a numpy.ndarray")
    check_dtype(dtype_name(mask), "mask", MASK_DTYPES)
    channels = mask.shape[2] if mask.ndim == 3 else 1
    if mask.ndim not in (2, 3) or channels not in (1, 3, 4) or mask.shape[:2] != (height, width):
        raise wrong_size("mask", mask.shape, (height, width), "or that with 3 or 4 channels; masks are never resized")
    plane = mask if mask.ndim == 2 else mask[..., 0] if channels == 1 else _luma(mask)
    if plane.dtype.kind == "u" and plane.max() == 1:
        return plane.view(bool) if plane.itemsize == 1 else plane > 0
    return plane


def _luma(mask: NumpyArray) -> NumpyArray:
    """Returns the luma of a BGR mask, whose three channels are nearly always equal."""
    blue = np.ascontiguousarray(mask[..., 0])
    if np.array_equal(blue, mask[..., 1]) and np.array_equal(blue, mask[..., 2]):
        return blue
    if mask.dtype == bool:
        return np.logical_or.reduce(mask[..., :3], axis=2)
    luma = mask[..., :3] @ np.array(_LUMA_BGR, np.float32)
    return luma if mask.dtype.kind == "f" else np.rint(luma).astype(mask.dtype)


def _corner(inside: NumpyArray, p: tuple[int, int], wide: bool) -> tuple[int, int]:
    """Returns the position (x, y) of the first pixel of src in dst."""
    height, width = inside.shape
    if wide:
        return p[0] - width // 2, p[1] - height // 2
    box, first = bounding_box(inside[1:-1, 1:-1]), 1
    if box.empty:
        box, first = bounding_box(inside), 0
        if box.empty:
            return p
    x, y, w, h = box.rectangle
    return p[0] - w // 2 - x - first, p[1] - h // 2 - y - first


def _leave_frame(inside: NumpyArray, x: int, y: int, height: int, width: int) -> NumpyArray:
    """Returns the mask without the outermost pixels of dst [height, width] if it would cover all of it."""
    if x > 0 or y > 0 or x + inside.shape[1] < width or y + inside.shape[0] < height:
        return inside
    over = slice(-y, height - y), slice(-x, width - x)
    if inside[over].min() == 0:
        return inside
    inside = inside.copy()
    edges = inside[over]
    edges[[0, -1]] = 0
    edges[:, [0, -1]] = 0
    return inside


def _rgb(x: NumpyArray) -> NumpyArray:
    """Swaps BGR and RGB: a view, or a copy for BGRA."""
    if x.ndim == 2 or x.shape[2] == 1:
        return x
    return x[..., ::-1] if x.shape[2] == 3 else x[..., [2, 1, 0, 3]]


publish(globals())
