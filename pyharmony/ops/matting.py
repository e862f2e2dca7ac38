"""Matting: the product of the matting Laplacian's rows with an image, for conjugate gradients.

See `pyharmony.reference.matting` for the definition. Not public: used by `pyharmony.segmentation`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._native import native

__all__ = ["framed", "product"]

Float32 = npt.NDArray[np.float32]


def framed(shape: tuple[int, int]) -> tuple[Float32, Float32]:
    """Returns zeros for an image of a shape (h, w) as `product` reads it, and the image as a view [h, w] of them."""
    memory = np.zeros(shape[0] * shape[1] + 4, np.float32)
    return memory, memory[2:-2].reshape(shape)


def product(band: npt.NDArray[np.bool_], weights: Float32, memory: Float32) -> Float32:
    """Returns for each pixel of a band the sum of weights times the values of the 5 x 5 pixels around it.

    Args:
        band: [h, w], contiguous.
        weights: [25, N] for the N pixels of the band in their order, zero for pixels beyond the image.
        memory: the values, in the memory that `framed` returns.
    """
    out = np.empty(weights.shape[1], np.float32)
    native.matting_product(
        _arrays.view(band, "band"), _arrays.view(weights, "weights"), _arrays.view(memory, "values"),
        _arrays.view(out, "out", writable=True),
    )  # fmt: skip
    return out
