"""Euclidean distance to the outside of a mask, in float64 NumPy, by comparison with all pixels outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def distance(mask: Any) -> npt.NDArray[np.float64]:
    """Returns distances [H, W] to the nearest pixel where mask [H, W] is zero: 0 there, infinite if there is none."""
    inside = np.asarray(mask) > 0
    result = np.where(inside, np.inf, 0.0)
    outside = np.argwhere(~inside)
    if len(outside):
        for y, x in np.argwhere(inside):
            result[y, x] = np.sqrt(((outside - (y, x)) ** 2).sum(axis=1).min())
    return result
