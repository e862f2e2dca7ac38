"""An image as it looks through a homography.

See `pyharmony.reference.warp` for the definition. Not public: used by `pyharmony.edits`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._arrays import Float32, NumpyArray
from .._native import native

__all__ = ["warp"]


def warp(image: NumpyArray, matrix: npt.NDArray[np.float64], size: tuple[int, int]) -> Float32:
    """Returns an image [H, W, C] or plane [H, W] through a homography, of a size (width, height), as float32.

    Args:
        image: of any image dtype, C up to 4; the result has its unit.
        matrix: [3, 3], from positions in the result to those in image, in coordinates of the centres of pixels. Its
            third row is positive over the result. Positions outside of the image get its border.
        size: in pixels.
    """
    out = np.empty((size[1], size[0], *image.shape[2:]), np.float32)
    homography = np.ascontiguousarray(matrix, np.float64)
    views = _arrays.view(image, "image"), _arrays.view(homography, "matrix")
    native.warp(*views, _arrays.view(out, "out", writable=True))
    return out
