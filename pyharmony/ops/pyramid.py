"""Resampling by two between the levels of an image pyramid.

Cells keep their place: pixel j of a level covers the pixels 2j and 2j + 1 of the finer one, and n
pixels become ceil(n / 2). See `pyharmony.reference.pyramid` for the formulae. Not public: the
blends halve and double with it.
"""

from __future__ import annotations

import numpy as np

from .. import _arrays, _checks
from .._arrays import Array
from .._native import native
from ..errors import ArgumentError, ShapeError

#: The widest smoothing before halving, in pixels.
MAX_SMOOTH_SIGMA = 16.0


def downsample(image: Array, smooth_sigma: float = 1.0) -> Array:
    """Smooths by a Gaussian and takes the mean of 2 x 2 pixels, borders mirrored.

    Args:
        image: [H, W] or [H, W, C], any number of channels, any image dtype and strides.
        smooth_sigma: of the Gaussian, in pixels of image, 0 to 16.

    Returns:
        [ceil(H / 2), ceil(W / 2)] or [..., C], float32 in the unit of image (uint8: 0 to 255).

    Raises:
        ShapeError, DTypeError: image is no image.
        ArgumentError: smooth_sigma is outside 0 to 16.
    """
    a = _checks.image(image, "image")
    sigma = _checks.number(smooth_sigma, "smooth_sigma", high=MAX_SMOOTH_SIGMA, accepts="a number from 0 to 16")
    out = np.empty(((a.shape[0] + 1) // 2, (a.shape[1] + 1) // 2, a.shape[2]), np.float32)
    native.pyramid_downsample(_arrays.view(a, "image"), sigma, _arrays.view(out, "out", writable=True))
    return _arrays.like_kind(out if image.ndim == 3 else out[..., 0], image)


def downsample_mask(mask: Array) -> Array:
    """The share of each 2 x 2 pixels that is inside; at an odd border, of those that exist.

    Args:
        mask: [H, W], bool, uint8 or uint16 scaled by their range, or floats in [0, 1].

    Returns:
        [ceil(H / 2), ceil(W / 2)] float32 in [0, 1].

    Raises:
        ShapeError, DTypeError, MaskError: mask is no mask.
    """
    a = _arrays.to_numpy(mask, "mask")
    if a.ndim != 2 or a.size == 0:
        raise ShapeError(f"mask: shape {list(a.shape)}, expected [H, W]")
    return _arrays.like_kind(halve_mask(_checks.mask(a, "mask", *a.shape)), mask)


def halve_mask(mask: _arrays.NumpyArray) -> _arrays.NumpyArray:
    """`downsample_mask` of a mask that was checked already."""
    out = np.empty(((mask.shape[0] + 1) // 2, (mask.shape[1] + 1) // 2), np.float32)
    native.pyramid_downsample_mask(_arrays.view(mask, "mask"), _arrays.view(out, "out", writable=True))
    return out


def upsample(image: Array, shape: tuple[int, int]) -> Array:
    """Doubles the size by Keys' cubic convolution at the cell centres, borders continued.

    Args:
        image: [ceil(H / 2), ceil(W / 2)] or [..., C], any number of channels, any image dtype and strides.
        shape: (H, W) of the result.

    Returns:
        [H, W] or [H, W, C] float32 in the unit of image; not clipped.

    Raises:
        ShapeError: image is no image, or shape is not twice its size (or one less).
        DTypeError: the dtype of image is not supported.
        ArgumentError: shape is not two positive integers.
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


def meet_known(colours: _arrays.NumpyArray, dst: _arrays.NumpyArray, known: _arrays.NumpyArray) -> None:
    """Moves colours, in place, to meet dst across the contour of what is known.

    See `pyharmony.reference.pyramid.meet_known`.

    Args:
        colours: [H, W, C] float32, contiguous; changed where known is below 1 and within 3 pixels
            of a pixel where it is 1.
        dst: [H, W, C], any image dtype, in the unit of colours.
        known: [H, W] bool or float32, the share of each pixel that is known.
    """
    native.pyramid_meet_known(
        _arrays.view(colours, "colours", writable=True), _arrays.view(dst, "dst"), _arrays.view(known, "known")
    )
