"""Strokes of a brush, drawn into a mask at full size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from .._arrays import NumpyArray
from .._images.levels import levels_of_shares


def paint_stroke(mask: NumpyArray, line: Sequence[tuple[float, float]], width: float, *, add: bool = True) -> None:
    """Draws a stroke into a mask [H, W] uint8, in place: a brush with a round tip and an edge that is one pixel soft.

    A pixel's coverage is half the width plus a half minus the distance of its centre to the line, clipped to 0..1. The
    mask becomes at least the coverage, or with add=False at most its complement.

    Args:
        line: the points (x, y) of the brush's path, in pixels; the centre of the first pixel is (0, 0).
        width: the width of the brush in pixels.
    """
    reach = width / 2 + 0.5
    points = [line[0], *(point for last, point in itertools.pairwise(line) if point != last)]
    for begin, end in zip(points, points[1:] or points, strict=False):
        (x0, x1), (y0, y1) = (
            (max(0, math.ceil(min(a, b) - reach)), min(size, math.floor(max(a, b) + reach) + 1))
            for a, b, size in zip(begin, end, mask.shape[::-1], strict=True)
        )
        if x0 >= x1 or y0 >= y1:
            continue
        x, y = np.arange(x0, x1, dtype=np.float32) - begin[0], np.arange(y0, y1, dtype=np.float32)[:, None] - begin[1]
        along, down = end[0] - begin[0], end[1] - begin[1]
        share = ((x * along + y * down) / ((along * along + down * down) or 1.0)).clip(0, 1)
        distance = np.hypot(x - share * along, y - share * down)
        coverage = levels_of_shares(reach - distance)
        part = mask[y0:y1, x0:x1]
        part[...] = np.maximum(part, coverage) if add else np.minimum(part, 255 - coverage)
