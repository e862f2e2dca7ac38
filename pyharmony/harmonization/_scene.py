"""The input of methods: an image and its mask, reduced to a size that does not grow with the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .._arrays import Float32, NumpyArray
from .._images.region import Region, as_float, bounding_box
from .._images.sizes import level_means, resized

_CROP_MARGIN = 0.25  # the margin of a closer crop at each side, as a share of the object's box
_MAX_CROP_SHARE = 0.9  # the largest share of an image in a closer crop
#: The number of rows of the reduced image that are averaged at once, which limits the memory for temporaries.
_STRIP = 16


@dataclass(frozen=True, eq=False)
class Scene:
    """A composite as input of the methods."""

    image: Float32  # [h, w, 3] in [0, 1]; a grey image has three equal channels
    mask: Float32  # [h, w] in [0, 1]
    close: Scene | None = None  # a crop of the object with a margin, at the same size; None: not used


def scene_of(colors: NumpyArray, mask: NumpyArray, holes: NumpyArray | None, size: tuple[int, int]) -> Scene:
    """Returns the scene at size (h, w), each of its pixels the mean of the pixels that it covers.

    colors: [H, W, C] of an image, C of 1 or 3; floats are clipped to [0, 1].
    mask: [H, W] of any dtype of masks.
    holes: [H, W], where the image has no colour; those pixels have no weight. None: nowhere.
    size: the reduced height and width. Along an axis on which the image has fewer pixels, it is enlarged.
    """
    image = reduced(colors, size, holes)
    if image.shape[2] == 1:
        image = np.repeat(image, 3, 2)
    return Scene(image, reduced(mask[..., None], size)[..., 0])


def close_to(scene: Scene, shape: tuple[int, ...]) -> Region | None:
    """Returns the box of the object in an image [H, W], with a quarter of its size added at each side.

    It is None if there is no object, or if the region is nearly the whole image. The scene has a hard mask.
    """
    box = bounding_box(scene.mask)
    if box.empty:
        return None
    edges = []
    for ends, length, side in zip(box.spans, shape, scene.mask.shape):
        low, high = (at * length / side for at in ends)
        more = _CROP_MARGIN * (high - low)
        edges += [max(0, math.floor(low - more)), min(length, math.ceil(high + more))]
    region = Region(*edges)
    return region if np.prod(region.shape) <= _MAX_CROP_SHARE * np.prod(shape) else None


def reduced(x: NumpyArray, size: tuple[int, int], holes: NumpyArray | None = None) -> Float32:
    """Returns x [H, W, C] reduced to [h, w, C], float32 in [0, 1].

    First, whole blocks of pixels are averaged, strip by strip, as large as possible with two blocks for each pixel of
    the result; then Pillow's bilinear filter is applied, which widens as it shrinks the image.
    """
    height, width = x.shape[:2]
    fy, fx = max(1, height // (2 * size[0])), max(1, width // (2 * size[1]))
    rows, columns = -(-height // fy), -(-width // fx)
    small = np.empty((rows, columns, x.shape[2]), np.float32)
    weights = None if holes is None or not holes.any() else np.empty((rows, columns, 1), np.float32)
    # Means of levels need no temporaries.
    strip = rows if weights is None and _has_level_means(x, fy, fx) else _STRIP
    for top in range(0, rows, strip):
        lines = slice(top * fy, min((top + strip) * fy, height))
        part = slice(top, min(top + strip, rows))
        if weights is None:
            small[part] = _blocks(x[lines], fy, fx)
            continue
        assert holes is not None  # noqa: S101
        has_color = ~holes[lines, :, None]
        weights[part] = _blocks(has_color, fy, fx)
        small[part] = _blocks(np.where(has_color, x[lines], x.dtype.type(0)), fy, fx)
    box = (0.0, 0.0, width / fx, height / fy)
    if weights is None:
        return resized(small, size[::-1], box)
    share = np.maximum(resized(weights, size[::-1], box), np.float32(1e-6))
    return np.divide(resized(small, size[::-1], box), share, dtype=np.float32)


def _blocks(x: NumpyArray, fy: int, fx: int) -> Float32:
    """Returns the means of blocks of fy x fx pixels of [h, w, C], smaller ones at the far borders; in [0, 1]."""
    if _has_level_means(x, fy, fx):
        return np.divide(level_means(x, fy, fx), np.float32(255), dtype=np.float32)
    values = as_float(x)
    if x.dtype.kind == "f":
        values = np.clip(values, 0, 1)
    if fy == 1 and fx == 1:
        return values
    height, width = values.shape[:2]
    tops, lefts = np.arange(0, height, fy), np.arange(0, width, fx)
    sums = np.add.reduceat(np.add.reduceat(values, tops, axis=0), lefts, axis=1)
    counts = np.outer(np.diff(tops, append=height), np.diff(lefts, append=width))
    means: Float32 = (sums / counts[..., None]).astype(np.float32)
    return means


def _has_level_means(x: NumpyArray, fy: int, fx: int) -> bool:
    return x.dtype == np.uint8 and (fy > 1 or fx > 1) and x.shape[2] in (1, 3)
