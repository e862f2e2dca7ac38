"""Tiles: enlarges an image part by part, each with the surrounding pixels on which it depends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._images.region import Region

Float32 = npt.NDArray[np.float32]


class Pass(NamedTuple):
    """One of several enlargements in turn."""

    factor: int  # the factor of the size
    reach: int  # the largest distance of an input pixel on which a pixel of the result depends, in input pixels
    run: Callable[[Float32], Float32]  # the function from [h, w, C] to [factor h, factor w, C]


def regions(shape: tuple[int, int], side: int) -> list[Region]:
    """Returns the parts of an image [H, W] that are enlarged one at a time, row by row, at most side x side."""
    height, width = shape
    return [
        Region(y, min(y + side, height), x, min(x + side, width))
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]


def enlarged(
    read: Callable[[Region], Float32], region: Region, shape: tuple[int, int], passes: Sequence[Pass]
) -> Float32:
    """Returns a region of an image [H, W] enlarged by all passes, the same as if the whole image were enlarged.

    read: a function that returns the pixels [h, w, C] of a part of the image.
    """
    parts = list(_parts(region, shape, passes))
    values = read(parts[0])
    for one, part, following in zip(passes, parts, parts[1:]):
        origin = one.factor * part.y0, one.factor * part.x0
        values = following.of(one.run(values), origin)
    return values


def _parts(region: Region, shape: tuple[int, int], passes: Sequence[Pass]) -> Iterator[Region]:
    """Yields the input region of each pass, and the region of the result, in pixels of each."""
    factor = math.prod(one.factor for one in passes)
    part = _times(region, factor)
    parts = [part]
    for one in reversed(passes):
        factor //= one.factor
        part = Region(
            part.y0 // one.factor,
            -(-part.y1 // one.factor),
            part.x0 // one.factor,
            -(-part.x1 // one.factor),
        ).expand(one.reach, (factor * shape[0], factor * shape[1]))
        parts.append(part)
    yield from reversed(parts)


def _times(region: Region, factor: int) -> Region:
    return Region(factor * region.y0, factor * region.y1, factor * region.x0, factor * region.x1)


def resampled(values: Float32, factor: int, kernel: str) -> Float32:
    """Returns values [h, w, C] enlarged by a filter of Pillow, 'BICUBIC' (Keys 1981, a = -1/2) or 'LANCZOS'."""
    from PIL import Image

    size = factor * values.shape[1], factor * values.shape[0]
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, Image.Resampling[kernel]))
        for plane in np.moveaxis(values, -1, 0)
    ]
    return np.stack(planes, -1)
