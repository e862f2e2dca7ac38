"""The matting Laplacian's rows times an image, in float64 NumPy.

Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting", PAMI 2008, eq. 12: the row of a pixel
has coefficients for the 5 x 5 pixels with which it shares a window of 3 x 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def product(band: Any, weights: Any, values: Any) -> npt.NDArray[np.float64]:
    """Returns for each pixel of a band [h, w] the sum of weights [25, N] times the 5 x 5 values [h, w] around it."""
    framed = np.pad(np.asarray(values, np.float64), 2)
    coefficients = np.asarray(weights, np.float64)
    places = np.argwhere(band)
    return np.array(
        [(framed[y : y + 5, x : x + 5].ravel() * coefficients[:, i]).sum() for i, (y, x) in enumerate(places)]
    )
