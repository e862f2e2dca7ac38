"""Matting: alpha by the matting Laplacian and conjugate gradients, and the colours of an object at soft edges.

See `pyharmony.reference.matting` for the definitions. Not public: used by `pyharmony.segmentation` and
`pyharmony._images.edge_colours`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _arrays
from .._arrays import Bools, Float32, NumpyArray
from .._native import native

__all__ = ["MEANS", "Edges", "relaxed", "rows", "solution"]


#: The number of means of a cell: of 1, α, α², and of αI and I of three channels.
MEANS = 9


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


class Edges(NamedTuple):
    """Pixels whose colours I are αF + (1 − α)B at soft edges, F being the object's and B the background's."""

    colours: NumpyArray  # [h, w, 3], of an image dtype
    alpha: NumpyArray  # [h, w], of the same dtype
    soft: Bools  # [h, w], the pixels whose colours are estimated
    opaque: float  # the alpha in [0, 1] from which on it counts as 1
    background: bool  # whether colours where alpha is zero are read

    def cells(self, origin: tuple[int, int], halvings: int, means: Float32, soft: Bools) -> tuple[float, float]:
        """Writes the equations of cells of 2^halvings pixels a side; returns the range of αI and I, at least 0 to 1.

        Args:
            origin: row and column of the first pixel of the first cell; cells may extend beyond the image.
            halvings: 0 to 8.
            means: [h, w, 9], the means of 1, α, α², αI and I over a cell, with 1 for white, and 0 for pixels beyond the
                image or without colour.
            soft: [h, w], whether a cell has soft pixels.
        """
        limits: tuple[float, float] = native.edge_cells(
            *self._views(), *origin, halvings, _arrays.view(means, "means", writable=True),
            _arrays.view(soft, "soft_cells", writable=True),
        )  # fmt: skip
        return limits

    def write_own(
        self, cells: Float32, origin: tuple[int, int], limits: tuple[float, float], out: NumpyArray,
        share: Float32 | None = None,
    ) -> None:  # fmt: skip
        """Writes the object's colours of soft pixels: those closest to its cell's that satisfy the pixel's equation.

        Args:
            cells: [.., .., 2, 3], the colours of object and background of cells of 2 x 2 pixels.
            origin: row and column of the first pixel from the first pixel of the cells.
            limits: the least and the largest colour.
            out: [h, w, 3], of the colours' dtype.
            share: [h, w], how much of the change counts, 0 to 1; None: all of it.
        """
        native.edge_own(
            *self._views(), _arrays.view(cells, "cells"), *origin,
            None if share is None else _arrays.view(share, "share"), *limits, _arrays.view(out, "out", writable=True),
        )  # fmt: skip

    def _views(self) -> tuple[Any, ...]:
        views = (_arrays.view(getattr(self, name), name, copies=True) for name in ("colours", "alpha", "soft"))
        return *views, self.opaque, self.background


def relaxed(means: Float32, soft: Bools, coarser: Float32 | None, limits: tuple[float, float], sweeps: int) -> Float32:
    """Returns the colours of object and background [h, w, 2, 3] of soft cells, zero elsewhere.

    They are initialised from cells twice as large, or without them from their own means, and refined by Gauss-Seidel
    sweeps, every other cell at once. Neighbours that are not soft have the means of their pixels.

    Args:
        means: [h, w, 9], the equations of the cells.
        soft: [h, w].
        coarser: [ceil(h / 2), ceil(w / 2), 2, 3].
        limits: the least and the largest colour.
        sweeps: their number.
    """
    out = np.empty((*soft.shape, 2, 3), np.float32)
    native.edge_relax(
        _arrays.view(means, "means"), _arrays.view(soft, "soft"),
        None if coarser is None else _arrays.view(coarser, "coarser"), *limits, sweeps,
        _arrays.view(out, "out", writable=True),
    )  # fmt: skip
    return out
