"""Cut-outs: images with a mask as their alpha, and without the background's colours at the contour."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from .. import _checks
from .._arrays import NumpyArray
from .._images.edge_colours import decontaminated
from .._images.kinds import checked_image, checked_mask
from .._images.levels import in_dtype
from .._images.region import bounding_box
from ..errors import ArgumentError
from ..typing import FileLike, ImageLike, ImageT, MaskLike, PILImage
from .masks import Masks


@overload
def cutout(
    image: ImageT, mask: MaskLike | Masks, *, crop_to_mask: bool = False, keep_background: bool = False
) -> ImageT: ...
@overload
def cutout(
    image: FileLike, mask: MaskLike | Masks, *, crop_to_mask: bool = False, keep_background: bool = False
) -> PILImage | Any: ...
def cutout(
    image: ImageLike, mask: MaskLike | Masks, *, crop_to_mask: bool = False, keep_background: bool = False
) -> Any:
    """Returns the object under a mask of an image, with transparency, ready to be composited.

    The pixels of a soft contour contain a share of the old background, I = αF + (1 − α)B. They get the colours F of the
    object alone (Germer et al., "Fast Multi-Level Foreground Estimation", 2020), so that there is no halo on another
    background; colours where the mask is 1 do not change. Where the mask is 0 all values are 0, so that a file of the
    result does not contain what was cut away.

    Args:
        image: an image of any kind: NumPy [H, W] or [H, W, C], torch [C, H, W] on the CPU, uint8, uint16 or floats with
            1.0 for white; a path, the bytes of a file, an open binary file, a PIL image or a `pyharmony.io.Picture`.
            Its own alpha is ignored.
        mask: of any kind; as an array [H, W], bool, uint8 or uint16 scaled by its range, or floats in [0, 1], used as
            alpha. For the result of `segment` on image, alpha is that of `Masks.alpha`.
        crop_to_mask: whether the result is cropped to the mask.
        keep_background: whether the image's colours stay where the mask is 0.

    Returns:
        RGBA of image's kind and dtype, not premultiplied: [H, W, 4], or for a tensor [4, H, W]. For a file a PIL image,
        or an array where it has more than 8 bits.

    Raises:
        ShapeError, DTypeError: image or mask has a shape or dtype that is not accepted, or they differ in size.
        MaskError: the mask has values outside of its range.
        ArgumentError: image has NaN or infinities; or crop is True, and the mask is empty.
        DecodeError: a file is not an image.

    Example:
        >>> from pyharmony import segmentation
        >>> image = np.full((40, 60, 3), 200, np.uint8)
        >>> mask = np.zeros((40, 60), np.uint8)
        >>> mask[10:20, 30:50] = 255
        >>> segmentation.cutout(image, mask, crop_to_mask=True).shape
        (10, 20, 4)
    """
    _checks.flags(crop_to_mask=crop_to_mask, keep_background=keep_background)
    whole = checked_image(image, "image")
    pixels = whole.pixels[..., :3]
    _checks.finite(pixels, "image")
    height, width = pixels.shape[:2]
    mask_like: Any = mask.alpha() if isinstance(mask, Masks) else mask
    inside = checked_mask(mask_like, "mask", height, width)
    alpha = in_dtype(inside, pixels.dtype)
    colours = decontaminated(np.broadcast_to(pixels, (height, width, 3)), alpha, (0, 0), background=True)
    rgba: NumpyArray = np.concatenate([colours, alpha[..., None]], 2)
    if not keep_background:
        rgba[alpha == 0] = 0
    if crop_to_mask:
        box = bounding_box(alpha)
        if box.empty:
            raise ArgumentError("mask: empty, with crop_to_mask=True expected a pixel above 0")
        rgba = np.ascontiguousarray(box.of(rgba))
    return whole.like(rgba)
