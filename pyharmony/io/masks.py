"""Masks in image files and pictures."""

from __future__ import annotations

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from ..errors import MaskError
from ._picture import Picture

__all__ = ["known_of", "mask_of"]

#: The formats whose compression is taken for lossy where it is not known.
_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF")
_LOSSY_ALPHA = ("AVIF", "HEIF", "JXL")  # formats whose compression may not keep alpha exactly
#: In a mask of a lossy file, values at most this far from black and white, in 8-bit levels, count as black and white,
#: and channels at most this far from each other as equal.
_NOISE = 8


def mask_of(picture: Picture, name: str) -> NumpyArray:
    """Returns the mask [H, W] of an image: its alpha, or else its grey channel or three equal channels."""
    pixels, white = picture.pixels, VALUE_RANGE[picture.pixels.dtype.name]
    lossy = picture.format in _LOSSY if picture.lossy is None else picture.lossy
    noise = white * _NOISE / 255 if lossy else 0
    if pixels.shape[2] == 4:
        alpha = _cleaned(pixels[..., 3], noise if picture.format in _LOSSY_ALPHA else 0)
        if (alpha != white).any():
            return alpha
    grey = pixels[..., min(1, pixels.shape[2] - 1)]  # green for three channels, the closest to their luma
    if pixels.shape[2] > 1 and not _equal(pixels, noise):
        raise MaskError(f"{name}: a colour image, expected a grey image or one with alpha")
    return _cleaned(grey, noise)


def known_of(picture: Picture) -> NumpyArray | None:
    """Returns which pixels [H, W] of an image are known, by its nodata value; None if all are."""
    nodata, colors = picture.description.nodata, picture.pixels[..., :3]
    if nodata is None:
        return None
    if np.isnan(nodata):
        unknown = np.asarray(np.isnan(colors).all(2))
    else:
        with np.errstate(over="ignore"):
            value = colors.dtype.type(nodata) if colors.dtype.kind == "f" else nodata
            unknown = np.asarray((colors == value).all(2))
    return np.logical_not(unknown) if unknown.any() else None


def _equal(pixels: NumpyArray, noise: float) -> bool:
    """Returns whether the three colours of each pixel differ by at most `noise`."""
    red, green, blue = (pixels[..., k] for k in range(3))
    if noise == 0:
        return np.array_equal(red, green) and np.array_equal(green, blue)
    low, high = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    return bool((high - low).max() <= noise)


def _cleaned(mask: NumpyArray, noise: float) -> NumpyArray:
    """Returns a mask whose values within `noise` of black and white are black and white."""
    if noise == 0:
        return mask
    white = VALUE_RANGE[mask.dtype.name]
    mask = mask.copy()
    mask[mask <= noise] = 0
    mask[mask >= white - noise] = white
    return mask
