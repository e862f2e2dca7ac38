"""Resampling by a factor of two between the levels of an image pyramid.

Cells stay aligned: pixel j of a level covers the pixels 2j and 2j + 1 of the finer one, and n
pixels become ceil(n / 2). See `pyharmony.reference.pyramid` for the formulae. Not public: used by
blends.

A place is the device of the arrays, which are DeviceArrays [N, H, W, C] and [N, H, W] there. None means the
CPU, with arrays [H, W, C] and [H, W].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array
from .._cuda import DeviceArray, Place
from .._native import native
from ..errors import ArgumentError, ShapeError

__all__ = [
    "MAX_SMOOTH_SIGMA",
    "copy_paste",
    "double",
    "downsample",
    "downsample_mask",
    "empty_like",
    "halve",
    "halve_map",
    "halve_mask",
    "halve_masks",
    "hold",
    "lay",
    "lay_mask",
    "limit",
    "meet_known",
    "upsample",
]

#: The largest sigma of the smoothing before halving, in pixels.
MAX_SMOOTH_SIGMA = 16.0


def downsample(image: Array, smooth_sigma: float = 1.0) -> Array:
    """Smooths an image [H, W] or [H, W, C] by a Gaussian and averages 2 x 2 pixels, with mirrored borders.

    Returns [ceil(H / 2), ceil(W / 2)] or [..., C], float32 in the unit of image (uint8: 0 to 255). smooth_sigma is
    in pixels of image, 0 to 16.
    """
    a = _checks.image(image, "image")
    sigma = _checks.number(smooth_sigma, "smooth_sigma", high=MAX_SMOOTH_SIGMA, accepts="a number from 0 to 16")
    out = np.empty((*_halved(a.shape[:2]), a.shape[2]), np.float32)
    native.pyramid_downsample(_arrays.view(a, "image"), sigma, _arrays.view(out, "out", writable=True))
    return _arrays.like_kind(out if image.ndim == 3 else out[..., 0], image)


def downsample_mask(mask: Array) -> Array:
    """Returns the share of each 2 x 2 pixels of a mask [H, W] that is inside, [ceil(H / 2), ceil(W / 2)] float32.

    At an odd border it is that of the existing pixels.
    """
    a = _arrays.to_numpy(mask, "mask")
    if a.ndim != 2 or a.size == 0:
        raise ShapeError(f"mask: shape {list(a.shape)}, expected [H, W]")
    return _arrays.like_kind(halve_mask(_checks.mask(a, "mask", *a.shape)), mask)


def halve_mask(mask: _arrays.NumpyArray) -> _arrays.NumpyArray:
    """Returns `downsample_mask` of a validated mask."""
    out = np.empty(_halved(mask.shape), np.float32)
    native.pyramid_downsample_mask(_arrays.view(mask, "mask"), _arrays.view(out, "out", writable=True))
    return out


def upsample(image: Array, shape: tuple[int, int]) -> Array:
    """Doubles an image to shape (H, W) by Keys' cubic convolution at the cell centres, with replicated borders.

    The image is [ceil(H / 2), ceil(W / 2)] or [..., C], the result float32 in its unit, not clipped.
    """
    a = _checks.image(image, "image")
    try:
        height, width = (int(n) for n in shape)
    except (TypeError, ValueError):
        raise ArgumentError(f"shape: {shape!r}, expected (H, W)") from None
    if height < 1 or width < 1 or a.shape[:2] != ((height + 1) // 2, (width + 1) // 2):
        raise ShapeError(
            f"shape: ({height}, {width}) from an image of {list(a.shape[:2])}; "
            f"H is {2 * a.shape[0] - 1} or {2 * a.shape[0]}, W is {2 * a.shape[1] - 1} or {2 * a.shape[1]}"
        )
    out = np.empty((height, width, a.shape[2]), np.float32)
    native.pyramid_upsample(_arrays.view(a, "image"), _arrays.view(out, "out", writable=True))
    return _arrays.like_kind(out if image.ndim == 3 else out[..., 0], image)


def meet_known(colours: _arrays.NumpyArray, dst: _arrays.NumpyArray, known_share: _arrays.NumpyArray) -> None:
    """Adjusts contiguous float32 colours, in place, to dst at the known pixels, see `pyharmony.reference.pyramid`."""
    native.pyramid_meet_known(
        _arrays.view(colours, "colours", writable=True), _arrays.view(dst, "dst"), _arrays.view(known_share, "known")
    )


# ---- the levels of a blend, on the CPU or on a device -----------------------------------------------


def halve(images: Sequence[Any], smooth_sigma: float, place: Place | None = None) -> list[Any]:
    """Returns images with half of their rows and columns, as float32; see `downsample`."""
    if place is None:
        return [downsample(image, smooth_sigma) for image in images]
    outs = [_new(place, (a.shape[0], *_halved(a.shape[1:3]), a.shape[3])) for a in images]
    place.module.pyramid_downsample(
        [a.view("image") for a in images], smooth_sigma, [a.view("out", writable=True) for a in outs], **_at(place)
    )
    return outs


def halve_masks(mask: Any, known_share: Any, place: Place | None = None) -> tuple[Any, Any]:
    """Returns the mask and the known share of each pixel at half the size; by default known where the mask is zero."""
    if place is None:
        return halve_mask(mask), halve_mask(mask == 0 if known_share is None else known_share)
    shape = mask.shape[0], *_halved(mask.shape[1:3])
    outs = _new(place, shape), _new(place, shape)
    place.module.pyramid_downsample_mask(
        mask.view("mask"),
        None if known_share is None else known_share.view("known"),
        outs[0].view("mask", writable=True),
        outs[1].view("known", writable=True),
        **_at(place),
    )
    return outs


def halve_map(weights: Any, place: Place | None = None) -> Any:
    """Returns a map [H, W], or [N, H, W] on a device, with half of its rows and columns, without smoothing."""
    if place is None:
        return downsample(weights, 0.0)
    (halved,) = halve([weights.reshaped((*weights.shape, 1), (*weights.strides, 1))], 0.0, place)
    return halved.reshaped(halved.shape[:3], halved.strides[:3])


def double(colours: Any, like: Any, mask: Any = None, known_share: Any = None, place: Place | None = None) -> Any:
    """Returns colours at the size of the image like, which is twice their size or one less.

    With a mask they are matched to like across the contour of the known pixels, see `meet_known`; known_share None:
    known where the mask is zero.
    """
    if place is None:
        doubled = upsample(colours, like.shape[:2])
        if mask is not None:
            meet_known(doubled, like, mask == 0 if known_share is None else known_share)
        return doubled
    # Planar for a planar image: the solver reads both in the same order.
    if like.ndim == 4 and like.strides[2] == 1 and like.shape[3] > 1:
        n, h, w, c = like.shape
        out = _new(place, (n, c, h, w)).transpose((0, 2, 3, 1))
    else:
        out = _new(place, like.shape)
    image, into = colours.view("base"), out.view("base", writable=True)
    if mask is None:
        place.module.pyramid_upsample(image, into, **_at(place))
    else:
        share = mask if known_share is None else known_share
        place.module.pyramid_upsample_meet(
            image, like.view("dst"), share.view("known"), into, from_mask=known_share is None, **_at(place)
        )
    return out


# ---- on a device, operations that take one line of NumPy on the CPU --------------------------------


def copy_paste(place: Place, src: DeviceArray, dst: DeviceArray, mask: DeviceArray) -> DeviceArray:
    """Returns mask * src + (1 - mask) * dst, float32."""
    out = _new(place, dst.shape)
    place.module.pyramid_copy_paste(
        src.view("src"), dst.view("dst"), mask.view("mask"), out.view("base", writable=True), **_at(place)
    )
    return out


def hold(place: Place, known_share: DeviceArray) -> DeviceArray:
    """Returns weights, from the known share of each pixel, that pull the membrane of a coarse level to dst."""
    out = _new(place, known_share.shape)
    place.module.pyramid_hold(known_share.view("known"), out.view("hold", writable=True), **_at(place))
    return out


def limit(place: Place, src: DeviceArray, dst: DeviceArray, mask: DeviceArray, out: DeviceArray) -> None:
    """Limits out, where its mask is soft, to at most mask * range from dst; see `pyharmony._images.limit`."""
    arrays = src.view("src"), dst.view("dst"), mask.view("mask"), out.view("out", writable=True)
    place.module.pyramid_limit(*arrays, **_at(place))


def lay(place: Place, src: DeviceArray, dst: DeviceArray, corner: tuple[int, int]) -> DeviceArray:
    """Returns src with its first pixel at corner (y, x) of dst, extended by dst plus the nearest difference."""
    out = _new(place, dst.shape)
    place.module.pyramid_lay(src.view("src"), dst.view("dst"), *corner, out.view("src", writable=True), **_at(place))
    return out


def lay_mask(
    place: Place,
    mask: DeviceArray | None,
    shape: tuple[int, int, int],
    corner: tuple[int, int],
    size: tuple[int, int],
    at_border: Sequence[bool] = (),
    *,
    whole: bool = False,
) -> DeviceArray:
    """Returns zeros [N, H, W] with a mask of that size inserted at corner (y, x); None: a mask of ones.

    at_border: which sides (top, bottom, left, right) are the image's, where strips are closed as in
    `pyharmony._images.region.close_strips`; of a whole image, unless that leaves no zero.
    """
    out = _new(place, shape)
    sides = sum(side << bit for bit, side in enumerate(at_border))
    memory = place.scratch(4 * shape[0]) if sides and whole else None
    place.module.pyramid_lay_mask(
        None if mask is None else mask.view("mask"),
        *corner,
        *size,
        out.view("mask", writable=True),
        sides=sides,
        open=0 if memory is None else memory.pointer,
        **_at(place),
    )
    return out


def empty_like(image: Any, place: Place | None = None) -> Any:
    """Returns uninitialised float32 memory for an image of that shape."""
    return np.empty(image.shape, np.float32) if place is None else _new(place, image.shape)


def _new(place: Place, shape: tuple[int, ...]) -> DeviceArray:
    return place.empty(shape, np.dtype(np.float32))[1]


def _at(place: Place) -> dict[str, int]:
    return {"device": place.device, "stream": place.stream}


def _halved(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple((n + 1) // 2 for n in shape)
