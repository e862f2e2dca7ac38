"""Selects the tiles of an image, inside and around an object, on which it is measured, and divides it into bands."""

from __future__ import annotations

import itertools

import numpy as np

from .._arrays import VALUE_RANGE, Float32
from .._images.frame import Job
from .._images.region import Region

TILE_SIDE = 64  # the side of a tile, in pixels
_MAX_TILES = 48  # the largest number of tiles that are measured on either side of an object's border
_CONTEXT_SHARE = 0.75  # the width of an object's surroundings, in its longer sides
_MIN_CONTEXT_PIXELS = 96  # the least width of the surroundings, in pixels
_MIN_INSIDE_ALPHA = 0.99  # the least share of white in the mask of a pixel inside of an object
_MAX_OUTSIDE_ALPHA = 0.01  # the largest share of white in the mask of a pixel outside
#: The least share of a tile's pixels that must be on its side of the border.
_MIN_SIDE_SHARE = 0.98
#: The number of pixels that are blurred or given grain at once.
_PIXELS_PER_BLOCK = 1 << 19


def tiles(job: Job, inside: bool, few: int = 0) -> Float32:
    """Returns tiles [N, TILE_SIDE, TILE_SIDE, C] in [0, 1], inside or around the object, spread evenly; N may be 0.

    few: with fewer tiles than this around the object, they are from the whole image.
    """
    height, width = job.shape
    box = job.bbox
    if not inside:
        reach = max(_MIN_CONTEXT_PIXELS, round(_CONTEXT_SHARE * max(box.shape)))
        box = box.expand(reach, (height, width))
        if few and len(_places(job, box, inside, TILE_SIDE)) < few:
            box = Region(0, height, 0, width)
    for step in (TILE_SIDE, TILE_SIDE // 2, TILE_SIDE // 4):
        places = _places(job, box, inside, step)
        if len(places):
            break
    if len(places) > _MAX_TILES:
        places = [places[int(i)] for i in np.linspace(0, len(places) - 1, _MAX_TILES)]
    pixels = [job.dst[y : y + TILE_SIDE, x : x + TILE_SIDE] for y, x in places]
    if not pixels:
        return np.zeros((0, TILE_SIDE, TILE_SIDE, job.dst.shape[2]), np.float32)
    unit = np.float32(VALUE_RANGE[job.dst.dtype.name])
    return np.stack(pixels).astype(np.float32) / unit


def _places(job: Job, box: Region, inside: bool, step: int) -> list[tuple[int, int]]:
    """Returns the first pixels (y, x) of tiles on one side of the object's border, on a grid of this step."""
    places = []
    for y in range(box.y0, box.y1 - TILE_SIDE + 1, step):
        strip = job.mask_of(Region(y, y + TILE_SIDE, box.x0, box.x1))
        full = VALUE_RANGE.get(strip.dtype.name, 1.0)
        on = strip >= _MIN_INSIDE_ALPHA * full if inside else strip <= _MAX_OUTSIDE_ALPHA * full
        counts = np.concatenate([[0], np.cumsum(np.add.reduce(on, 0, np.uint8), dtype=np.int64)])
        starts = np.arange(0, box.x1 - box.x0 - TILE_SIDE + 1, step)
        shares = (counts[starts + TILE_SIDE] - counts[starts]) / (TILE_SIDE * TILE_SIDE)
        places += [(y, box.x0 + int(x)) for x in starts[shares >= _MIN_SIDE_SHARE]]
    return places


def bands_of(region: Region) -> list[Region]:
    """Returns a region in bands of its rows, which are computed one by one to save memory.

    Bands have at least as many rows as a tile, unless the region is lower.
    """
    rows, columns = region.shape
    count = max(1, min(rows // (2 * TILE_SIDE), rows * columns // _PIXELS_PER_BLOCK))
    edges = [region.y0 + rows * i // count for i in range(count + 1)]
    return [Region(top, bottom, region.x0, region.x1) for top, bottom in itertools.pairwise(edges)]


def taller(band: Region, rows: int, region: Region) -> Region:
    """Returns a band of a region, extended by so many rows of the region above and below."""
    return Region(max(region.y0, band.y0 - rows), min(region.y1, band.y1 + rows), band.x0, band.x1)
