"""Tiles: enlarges an image part by part, each with the surrounding pixels on which it depends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .._arrays import Float32
from .._images.region import Region


class Pass(NamedTuple):
    """One of several enlargements in turn."""

    factor: int  # the factor of the size
    reach: int  # the largest distance of an input pixel on which a pixel of the result depends, in input pixels
    run: Callable[[Float32], Float32]  # the function from [h, w, C] to [factor h, factor w, C]


def enlarged(
    read: Callable[[Region], Float32], region: Region, shape: tuple[int, int], passes: Sequence[Pass]
) -> Float32:
    """Returns a region of an image [H, W] enlarged by all passes, the same as if the whole image were enlarged.

    read: a function that returns the pixels [h, w, C] of a part of the image.
    """
    factor = math.prod(one.factor for one in passes)
    part = Region(factor * region.y0, factor * region.y1, factor * region.x0, factor * region.x1)
    # The region of the result, and the input region of each pass, in pixels of each.
    parts = [part]
    for one in reversed(passes):
        factor //= one.factor
        rows, columns = ((low // one.factor, -(-high // one.factor)) for low, high in part.spans)
        part = Region(*rows, *columns).expand(one.reach, (factor * shape[0], factor * shape[1]))
        parts.append(part)
    values = read(part)
    for one, own, following in zip(passes, parts[::-1], parts[-2::-1]):
        values = following.of(one.run(values), (one.factor * own.y0, one.factor * own.x0))
    return values


def resampled(values: Float32, factor: int, kernel: str) -> Float32:
    """Returns values [h, w, C] enlarged by a filter of Pillow, 'BICUBIC' (Keys 1981, a = -1/2) or 'LANCZOS'."""
    from PIL import Image

    size = factor * values.shape[1], factor * values.shape[0]
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling[kernel]))
        for plane in np.moveaxis(values, -1, 0)
    ]
    return np.stack(planes, -1)
