"""An edit that shows more than its original: the original goes back into its place, the rest is from the edit.

The result has the pixels of the original on their own grid, which is extended to the frame of the edit. Beyond the
original the edit has its colours and sharpness, and so that no seam is visible, what is left of the difference at the
border, which fades with the distance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import VALUE_RANGE, Float32, NumpyArray, Pixels, round_into
from .._images.planes import shrunk
from .._images.sizes import resized
from ._planes import planes_of, smoothed
from ._render import Drawer

_ROWS = 256  # of the result that are drawn at once
#: The radius of the window over which the difference at the border is averaged, in pixels of the view.
_BORDER_RADIUS = 6
#: The distance at which it has fallen to a third, as a share of the view's longer side.
_FADE_SHARE = 0.06


class Extended(NamedTuple):
    """A result in the frame of the edit."""

    pixels: NumpyArray  # [H, W, C]
    mask: Pixels  # the share of each pixel that is from the edit, [H, W] levels
    at: tuple[int, int]  # the position (x, y) of the original's first pixel in it


def extended(result: NumpyArray, mask: Pixels, drawer: Drawer) -> Extended:
    """Returns a result [H, W, C] and its mask [H, W] in the frame of the edit."""
    width, height = drawer.size
    left, top, right, bottom = _margins(drawer)
    size = width + left + right, height + top + bottom
    pixels = np.empty((size[1], size[0], result.shape[2]), result.dtype)
    pixels[top : top + height, left : left + width] = result
    whole = np.full(size[::-1], 255, np.uint8)
    whole[top : top + height, left : left + width] = mask
    field, bounds = _field(drawer, (left, top, right, bottom))
    # Above and below in the full width, and beside the original.
    parts = [(-left, -top, width + right, 0), (-left, height, width + right, height + bottom)]
    parts += [(-left, 0, 0, height), (width, 0, width + right, height)]
    unit = np.float32(VALUE_RANGE[result.dtype.name] / 255)
    for x0, y0, x1, y1 in parts:
        for first in range(y0, y1, _ROWS):
            last = min(first + _ROWS, y1)
            if x0 == x1:
                continue
            values = drawer.at_full_size((x0, first, x1, last), beyond=True)
            scale = drawer.analysis.size[0] / width, drawer.analysis.size[1] / height
            place = (
                x0 * scale[0] - bounds[0], first * scale[1] - bounds[1],
                min(x1 * scale[0] - bounds[0], field.shape[1]), min(last * scale[1] - bounds[1], field.shape[0]),
            )  # fmt: skip
            values += resized(field, (x1 - x0, last - first), place)
            colours = min(result.shape[2], 3)
            if colours == 1:
                values = values.mean(2, keepdims=True)
            target = pixels[first + top : last + top, x0 + left : x1 + left]
            round_into(values[..., :colours] * unit, target[..., :colours])
            target[..., colours:] = VALUE_RANGE[result.dtype.name]
    return Extended(pixels, whole, (left, top))


def _margins(drawer: Drawer) -> tuple[int, int, int, int]:
    """Returns by how many pixels the edit shows more on the left, at the top, on the right and below."""
    (width, height), (high, wide) = drawer.size, drawer.edited.shape[:2]
    corners = np.array([(x, y, 1) for x in (-0.5, wide - 0.5) for y in (-0.5, high - 0.5)])
    points = corners @ np.linalg.inv(drawer.matrix).T
    x, y = np.sort(points[:, 0] / points[:, 2]), np.sort(points[:, 1] / points[:, 2])
    # For a turned edit this is the largest upright frame that it fills on every side.
    sides = -0.5 - x[1], -0.5 - y[1], x[2] - (width - 0.5), y[2] - (height - 0.5)
    left, top, right, bottom = (max(0, int(np.floor(side + 0.25))) for side in sides)
    return left, top, right, bottom


def _field(drawer: Drawer, margins: tuple[int, int, int, int]) -> tuple[Float32, tuple[int, int]]:
    """Returns what is added to the edit beyond the original, in levels, over the extended view, and its margins."""
    analysis = drawer.analysis
    differs = analysis.view.astype(np.float32)
    differs -= analysis.tone.apply(analysis.edit_view) if drawer.match_colours else analysis.edit_view
    height, width = analysis.region.shape
    same = shrunk(analysis.visible & ~analysis.region, 1).astype(np.float32)
    weight = smoothed(same, _BORDER_RADIUS) + np.float32(1e-3)
    planes = [smoothed(plane * same, _BORDER_RADIUS) / weight for plane in planes_of(differs)]
    scale = width / drawer.size[0], height / drawer.size[1]
    left, top, right, bottom = (int(np.ceil(margin * scale[i % 2])) + 1 for i, margin in enumerate(margins))
    field = np.pad(np.stack(planes, 2), ((top, bottom), (left, right), (0, 0)), mode="edge")
    y, x = np.mgrid[-top : height + bottom, -left : width + right]
    away = np.hypot(np.maximum(np.maximum(-x, x - width + 1), 0), np.maximum(np.maximum(-y, y - height + 1), 0))
    field *= np.exp(-away / (_FADE_SHARE * max(width, height)))[..., None].astype(np.float32)
    return np.ascontiguousarray(field, np.float32), (-left, -top)
