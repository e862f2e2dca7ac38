"""Enlarges a mask to the image's resolution by a guided filter: it follows edges, and is soft where they are soft.

Source: He, Sun and Tang, "Guided Image Filtering", PAMI 2013, with the subsampling of He and Sun, "Fast Guided Filter",
2015: around each place the mask is an affine function of the colours there.
"""

from __future__ import annotations

import numpy as np

from .._arrays import Box, Float32, Pixels
from .._images.levels import shares_of
from .._images.sizes import fitted, resized
from ..ops import guided_filter
from .layers import Layer

#: The longer side of the image on which the affine functions are fitted.
_FIT_SIDE = 640
#: The radius of the window around a place in which the function of its colours is fitted, in pixels of the layer.
_RADIUS = 1.5
#: The regularisation of that fit, for colours in [0, 1].
_RIDGE = 2e-4
#: The least gradient of a mask, per pixel.
_MIN_MASK_GRADIENT = 1e-3
#: The contrast of the result about one half.
_CONTRAST = 1.4
#: The largest distance from the contour at which colours are compared, in pixels of the layer.
_MAX_COLOR_DISTANCE = 2
#: The largest number of copies of a picture that are kept.
_COPIES = 8
#: The least share of either side of the contour in the window around a place on it.
_MIN_SIDE_SHARE = 0.2


class Copies:
    """A picture for several masks of the same parts: each part is resized once."""

    def __init__(self, picture: Pixels) -> None:
        self.picture = picture
        self._copies: dict[tuple[tuple[int, int], Box], Pixels] = {}
        self._guide: tuple[tuple[int, int], Box, Float32] | None = None

    def part(self, size: tuple[int, int], box: Box) -> Pixels:
        """Returns a part of the picture at a size (width, height)."""
        if (size, box) not in self._copies:
            if len(self._copies) >= _COPIES:
                self._copies.clear()
            self._copies[size, box] = resized(self.picture, size, box)
        return self._copies[size, box]

    def guide(self, size: tuple[int, int], box: Box) -> Float32:
        """Returns the colours in [0, 1] of a part of the picture at a size, from which a mask of it is drawn.

        Unlike those of `part` they do not depend on what surrounds it. The last one is kept.
        """
        last = self._guide
        if last is None or last[:2] != (size, box):
            left, top, right, bottom = box
            last = self._guide = size, box, shares_of(resized(self.picture[top:bottom, left:right], size))
        return last[2]


def at_full_size(image: Pixels | Copies, layer: Layer) -> Pixels:
    """Returns the mask [H, W] of an image [H, W, 3], 0 to 255."""
    copies = image if isinstance(image, Copies) else Copies(image)
    picture = copies.picture
    left, top, right, bottom = layer.box
    whole = np.zeros(picture.shape[:2], np.uint8)
    part = picture[top:bottom, left:right]
    size = fitted((right - left, bottom - top), _FIT_SIDE)
    guide = copies.guide(size, layer.box)
    radius = max(1, round(_RADIUS * max(size) / max(layer.values.shape)))
    coarse = _ramp(resized(layer.values.astype(np.float32, copy=False), size), radius)
    functions = guided_filter.fit(guide, coarse, radius, _RIDGE)
    guided_filter.apply(part, coarse, functions, whole[top:bottom, left:right], contrast=_CONTRAST)
    return whole


def contrast(picture: Pixels | Copies, layer: Layer) -> float:
    """Returns the median colour difference across the contour of a mask, in levels of 255; 0 without a contour."""
    height, width = layer.values.shape
    copies = picture if isinstance(picture, Copies) else Copies(picture)
    colours = copies.part((width, height), layer.box).astype(np.float32)
    inside = (layer.values > 0.5).astype(np.float32)
    outside = np.float32(1) - inside
    shares = [guided_filter.mean(region, _MAX_COLOR_DISTANCE) for region in (inside, outside)]
    contour = np.minimum(*shares) > _MIN_SIDE_SHARE
    if not contour.any():
        return 0.0
    squares = np.zeros(np.count_nonzero(contour), np.float32)
    for channel in range(3):
        near, far = (
            guided_filter.mean(colours[..., channel] * region, _MAX_COLOR_DISTANCE)[contour] / share[contour]
            for region, share in zip((inside, outside), shares, strict=True)
        )
        squares += np.square(near - far)
    return float(np.median(np.sqrt(squares)))


def between(planes: Float32, size: tuple[int, int], box: tuple[float, float, float, float]) -> Float32:
    """Returns a box of planes [P, h, w] enlarged to [P, H, W], bilinearly, with the border replicated."""
    for axis, count, start, end in ((1, size[1], box[1], box[3]), (2, size[0], box[0], box[2])):
        if (start, end) == (0, count) and count == planes.shape[axis]:
            continue
        last = planes.shape[axis] - 1
        at = np.clip(start + (np.arange(count) + 0.5) * (end - start) / count - 0.5, 0, last)
        first = np.minimum(at.astype(np.intp), max(0, last - 1))
        share = (at - first).astype(np.float32).reshape((-1, 1) if axis == 1 else -1)
        low = planes.take(first, axis)
        planes = low + share * (planes.take(np.minimum(first + 1, last), axis) - low)
    return planes


def _ramp(values: Float32, radius: int) -> Float32:
    """Returns values [h, w] that rise from 0 to 1 within so many pixels of the contour at 0.5.

    Uncertain areas are binarised as well: only the contour is soft.
    """
    down, across = np.gradient(values) if min(values.shape) > 1 else (values * 0, values * 0)
    # The approximate distance from the contour, in pixels.
    away = (values - np.float32(0.5)) / np.maximum(np.hypot(down, across), np.float32(_MIN_MASK_GRADIENT))
    narrow: Float32 = np.clip(np.float32(0.5) + away / np.float32(2 * radius), 0, 1)
    return narrow
