"""Enlarges of a cut-out only what is seen of it."""

from __future__ import annotations

import numpy as np

from .._arrays import NumpyArray
from .._images.region import Region
from ._methods import Method, method_of
from ._super_resolve import TILE, enlarge

__all__ = ["enlarged_where"]

#: The pixels beside a tile whose alpha reaches into its enlargement.
_BESIDE = 2


def enlarged_where(image: NumpyArray, factor: int, method: str | Method, part: Region) -> NumpyArray:
    """Returns a cut-out [h, w, 4] enlarged as `super_resolve` does, where a part of it is not transparent.

    Tiles with nothing of that are left transparent, and take neither time nor memory.

    Args:
        part: the part of image that is looked at.
    """
    out = np.zeros((factor * image.shape[0], factor * image.shape[1], 4), image.dtype)
    near = part.expand(_BESIDE, image.shape)

    def is_seen(tile: Region) -> bool:
        around = tile.expand(_BESIDE, image.shape).overlap(near)
        return not around.empty and bool(around.of(image)[..., 3].any())

    enlarge(image, out, factor, method_of(method).passes(factor), TILE, is_seen)
    return out
