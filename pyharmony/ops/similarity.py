"""The errors of an image against its target: sums of squares, and the map of SSIM.

See `pyharmony.reference.similarity` for the definitions. Not public: used by `learn.metrics`, which checks the
arguments.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native

__all__ = ["similarity", "squared_errors"]


def squared_errors(
    output: NumpyArray, target: NumpyArray, weights: npt.NDArray[np.float64] | None = None
) -> tuple[float, float]:
    """Returns the sum of (output - target)² in squared 8-bit levels, and the same of each pixel times its weight.

    Args:
        output, target: [H, W, C] of one image dtype. Sums of integers are exact.
        weights: [H, W]; None: the second sum is 0.
    """
    rows = np.empty((output.shape[0], 2))
    plane = None if weights is None else _arrays.view(weights, "weights", copies=True)
    native.squared_errors(*_views(output, target), plane, _arrays.view(rows, "out", writable=True))
    plain, weighted = rows.sum(axis=0).tolist()
    return plain, weighted


def similarity(output: NumpyArray, target: NumpyArray) -> npt.NDArray[np.float64]:
    """Returns the map of SSIM [H, W], averaged over channels; images are mirrored beyond their borders.

    output, target: [H, W, C] of one image dtype, with sides of at least 11 pixels.
    """
    out = np.empty(output.shape[:2])
    native.similarity(*_views(output, target), _arrays.view(out, "out", writable=True))
    return out


def _views(output: NumpyArray, target: NumpyArray) -> list[object]:
    return [_arrays.view(x, name, copies=True) for x, name in ((output, "output"), (target, "target"))]
