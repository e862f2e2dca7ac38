"""Masks drawn from what a method found: over its picture, or over that picture at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._edges import at_full_size
from ._matting import soft_alpha
from .layers import Layer, Pixels

if TYPE_CHECKING:
    from ._segment import Masks


def layers_of(masks: Masks) -> tuple[Layer, ...]:
    """Returns what masks are drawn from, in pixels of their picture."""
    return masks._layers


def size_of(masks: Masks) -> tuple[int, int]:
    """Returns the width and height of the picture in which masks were found."""
    height, width = masks._picture.shape[:2]
    return width, height


def drawn(picture: Pixels, layer: Layer, size: tuple[int, int], *, soft: bool = False) -> Pixels:
    """Returns the mask of a layer over a picture [h, w, 3], of 0 to 255.

    size: the width and height of the picture in which the layer was found; this one may be smaller.
    soft: whether to find alpha for a cut-out, which takes longer, as `Masks.alpha` does.
    """
    across, down = picture.shape[1] / size[0], picture.shape[0] / size[1]
    left, top, right, bottom = layer.box
    box = round(left * across), round(top * down), round(right * across), round(bottom * down)
    # Nothing is left of a mask that is smaller than a pixel here.
    if box[0] == box[2] or box[1] == box[3]:
        return np.zeros(picture.shape[:2], np.uint8)
    return (soft_alpha if soft else at_full_size)(picture, layer._replace(box=box))
