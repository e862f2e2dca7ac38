"""Enlarges a mask to the image's resolution by a guided filter: it follows edges, and is soft where they are soft.

Source: He, Sun and Tang, "Guided Image Filtering", PAMI 2013, with the subsampling of He and Sun, "Fast Guided Filter",
2015: around each place the mask is an affine function of the colours there.
"""

from __future__ import annotations

import numpy as np

from .._images.levels import levels_of_shares, shares_of
from .._images.sizes import fitted, resized
from .layers import Float32, Layer, Pixels

#: The longer side of the image on which the affine functions are fitted.
_SIDE = 640
#: The radius of the window around a place in which the function of its colours is fitted, in pixels of the layer.
_RADIUS = 1.5
#: The regularisation of that fit, for colours in [0, 1].
_RIDGE = 2e-4
#: The least gradient of a mask, per pixel.
_FLAT = 1e-3
#: The contrast of the result about one half.
_CONTRAST = 1.4
#: The largest distance from the contour at which colours are compared, in pixels of the layer.
_ACROSS = 2
#: The least share of either side of the contour in the window around a place on it.
_BOTH = 0.2
#: The side of the blocks that are computed at once, to save memory; only blocks with values between 0 and 1 are.
_BLOCK = 128


def at_full_size(picture: Pixels, layer: Layer) -> Pixels:
    """Returns the mask [H, W] of an image [H, W, 3], 0 to 255."""
    left, top, right, bottom = layer.box
    whole = np.zeros(picture.shape[:2], np.uint8)
    part = picture[top:bottom, left:right]
    whole[top:bottom, left:right] = _edge_aligned(part, layer.values)
    return whole


def contrast(picture: Pixels, layer: Layer) -> float:
    """Returns the median colour difference across the contour of a mask, in levels of 255; 0 without a contour."""
    height, width = layer.values.shape
    colours = resized(picture, (width, height), layer.box).astype(np.float32)
    inside = (layer.values > 0.5).astype(np.float32)
    outside = np.float32(1) - inside
    shares = [mean(region, _ACROSS) for region in (inside, outside)]
    contour = np.minimum(*shares) > _BOTH
    if not contour.any():
        return 0.0
    squares = np.zeros(np.count_nonzero(contour), np.float32)
    for channel in range(3):
        near, far = (
            mean(colours[..., channel] * region, _ACROSS)[contour] / share[contour]
            for region, share in zip((inside, outside), shares, strict=True)
        )
        squares += np.square(near - far)
    return float(np.median(np.sqrt(squares)))


def _edge_aligned(picture: Pixels, values: Float32) -> Pixels:
    """Returns values [h, w] in [0, 1] enlarged to an image [H, W, 3], following its edges, 0 to 255."""
    height, width = picture.shape[:2]
    size = fitted((width, height), _SIDE)
    guide = shares_of(resized(picture, size))
    radius = max(1, round(_RADIUS * max(size) / max(values.shape)))
    coarse = _ramp(resized(values.astype(np.float32, copy=False), size), radius)
    slopes, level = affine(guide, coarse, radius, _RIDGE)
    planes = np.stack([coarse, level, *slopes])
    mask = np.zeros((height, width), np.uint8)
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            bottom, right = min(top + _BLOCK, height), min(left + _BLOCK, width)
            box = (left * size[0] / width, top * size[1] / height, right * size[0] / width, bottom * size[1] / height)
            # Blocks that are entirely inside or outside need no colours.
            part = around(coarse, box)
            if part.min() == part.max() and part.flat[0] in (0, 1):
                mask[top:bottom, left:right] = part.flat[0] * 255
                continue
            block = (right - left, bottom - top)
            part, fine, *slope = between(planes, block, box)
            colours = shares_of(picture[top:bottom, left:right])
            for channel in range(3):
                fine += slope[channel] * colours[..., channel]
            fine = (fine - np.float32(0.5)) * np.float32(_CONTRAST) + np.float32(0.5)
            sure = np.clip(np.abs(part - np.float32(0.5)) * 20 - 9, 0, 1)
            fine += sure * (part - fine)
            mask[top:bottom, left:right] = levels_of_shares(fine)
    return mask


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


def around(values: Float32, box: tuple[float, float, float, float]) -> Float32:
    """Returns the part of values [H, W] from which a box is interpolated."""
    left, top, right, bottom = box
    return values[max(0, int(top) - 1) : int(np.ceil(bottom)) + 1, max(0, int(left) - 1) : int(np.ceil(right)) + 1]


def _ramp(values: Float32, radius: int) -> Float32:
    """Returns values [h, w] that rise from 0 to 1 within so many pixels of the contour at 0.5.

    Uncertain areas are binarised as well: only the contour is soft.
    """
    down, across = np.gradient(values) if min(values.shape) > 1 else (values * 0, values * 0)
    # The approximate distance from the contour, in pixels.
    away = (values - np.float32(0.5)) / np.maximum(np.hypot(down, across), np.float32(_FLAT))
    narrow: Float32 = np.clip(np.float32(0.5) + away / np.float32(2 * radius), 0, 1)
    return narrow


def affine(guide: Float32, target: Float32, radius: int, ridge: float) -> tuple[list[Float32], Float32]:
    """Returns slopes of three channels and an intercept, [h, w] each: the linear regression of the target on colours.

    It is fitted in a window of the radius around each place. A larger ridge makes the slopes smaller.
    """
    channels = [np.ascontiguousarray(guide[..., c]) for c in range(3)]
    means = [mean(c, radius) for c in channels]
    middle = mean(target, radius)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    rr, rg, rb, gg, gb, bb = (mean(channels[a] * channels[b], radius) - means[a] * means[b] for a, b in pairs)
    rr, gg, bb = rr + ridge, gg + ridge, bb + ridge
    with_r, with_g, with_b = (mean(channels[c] * target, radius) - means[c] * middle for c in range(3))
    # The inverse of a symmetric matrix by its cofactors.
    a, b, c = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    d, e, f = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    whole = rr * a + rg * b + rb * c
    slopes = [
        (a * with_r + b * with_g + c * with_b) / whole,
        (b * with_r + d * with_g + e * with_b) / whole,
        (c * with_r + e * with_g + f * with_b) / whole,
    ]
    level = middle - sum(slope * m for slope, m in zip(slopes, means))
    return [mean(slope, radius) for slope in slopes], mean(level, radius)


def mean(x: Float32, radius: int) -> Float32:
    """Returns the mean of the existing pixels of x [H, W] at most radius away along each axis."""
    height, width = x.shape
    framed = np.pad(x, radius)
    rows = framed[:height].copy()
    for step in range(1, 2 * radius + 1):
        rows += framed[step : step + height]
    sums = rows[:, :width].copy()
    for step in range(1, 2 * radius + 1):
        sums += rows[:, step : step + width]
    return sums / np.outer(_counts(height, radius), _counts(width, radius))


def _counts(size: int, radius: int) -> Float32:
    """Returns for each pixel of a row of `size` the number of pixels at most radius away."""
    at = np.arange(size)
    return (np.minimum(at + radius, size - 1) - np.maximum(at - radius, 0) + 1).astype(np.float32)
