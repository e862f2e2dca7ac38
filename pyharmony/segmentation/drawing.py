"""Masks drawn from what a method found: over its picture, or over that picture at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._images.levels import levels_of_shares
from .._images.sizes import resized
from ._edges import at_full_size
from ._matting import soft_alpha
from .layers import Box, Layer, Pixels

if TYPE_CHECKING:
    from ._segment import Masks


def layers_of(masks: Masks) -> tuple[Layer, ...]:
    """Returns what masks are drawn from, in pixels of their picture."""
    return masks._layers


def closely(masks: Masks) -> Layer:
    """Returns what the alpha of the best mask is drawn from: parts of its contour are looked at once more."""
    return masks._closely(0)


def size_of(masks: Masks) -> tuple[int, int]:
    """Returns the width and height of the picture in which masks were found."""
    height, width = masks._picture.shape[:2]
    return width, height


def drawn(picture: Pixels, layer: Layer, size: tuple[int, int], *, soft: bool = False) -> Pixels:
    """Returns the mask of a layer over a picture [h, w, 3], of 0 to 255.

    size: the width and height of the picture in which the layer was found; this one may be smaller.
    soft: whether to find alpha for a cut-out, which takes longer, as `Masks.alpha` does.
    """
    height, width = picture.shape[:2]
    box = _scaled(layer, size, (width, height))
    # Nothing is left of a mask that is smaller than a pixel here.
    if box[0] == box[2] or box[1] == box[3]:
        return np.zeros((height, width), np.uint8)
    return (soft_alpha if soft else at_full_size)(picture, layer._replace(box=box))


def roughly(layer: Layer, size: tuple[int, int], to: tuple[int, int]) -> Pixels:
    """Returns the mask of a layer [h, w], 0 to 255, as it was found: without a look at the picture's edges.

    size: the width and height of the picture in which the layer was found.
    to: those of the mask.
    """
    left, top, right, bottom = _scaled(layer, size, to)
    found = np.zeros(to[::-1], np.uint8)
    if left < right and top < bottom:
        found[top:bottom, left:right] = levels_of_shares(resized(layer.values, (right - left, bottom - top)))
    return found


def _scaled(layer: Layer, size: tuple[int, int], to: tuple[int, int]) -> Box:
    """Returns the box of a layer in a picture of another size."""
    across, down = to[0] / size[0], to[1] / size[1]
    left, top, right, bottom = layer.box
    return round(left * across), round(top * down), round(right * across), round(bottom * down)
