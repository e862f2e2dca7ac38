"""Matting: alpha by the matting Laplacian and conjugate gradients.

See `pyharmony.reference.matting` for the definitions. Not public: used by `pyharmony.segmentation`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._native import native

__all__ = ["rows", "solution"]

Bools = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]


def rows(guide: Float32, band: Bools, ridge: float) -> Float32:
    """Returns the coefficients [25, N] of the N pixels of a band in their order, for the 5 x 5 pixels around each.

    Beyond the image they are zero.

    Args:
        guide: the colours [h, w, 3], in [0, 1].
        band: [h, w].
        ridge: the regularisation; the larger, the less alpha follows the colours.
    """
    band = np.ascontiguousarray(band)
    weights = np.empty((25, int(np.count_nonzero(band))), np.float32)
    native.matting_rows(
        _arrays.view(guide, "guide"), _arrays.view(band, "band"), ridge, _arrays.view(weights, "weights", writable=True)
    )
    return weights


def solution(
    band: Bools, weights: Float32, pull: Float32, start: Float32, *, steps: int, solved: float = 0.0
) -> Float32:
    """Returns alpha [h, w], equal to start outside of a band and solved for in it by conjugate gradients.

    Args:
        band: [h, w].
        weights: [25, N], the rows of its pixels plus the diagonal that pulls them to start.
        pull: [N], that diagonal.
        start: [h, w].
        steps: the largest number of steps.
        solved: the squared residual norm at which they stop.
    """
    band, start, out = np.ascontiguousarray(band), np.ascontiguousarray(start), np.empty(band.shape, np.float32)
    native.matting_solve(
        _arrays.view(band, "band"), _arrays.view(weights, "weights"), _arrays.view(pull, "pull"),
        _arrays.view(start, "start"), steps, solved, _arrays.view(out, "out", writable=True),
    )  # fmt: skip
    return out
