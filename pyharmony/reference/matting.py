"""Matting: alpha near a contour, in float64 NumPy.

Alpha: Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting", PAMI 2008, eq. 12: in each window
of 3 x 3 pixels alpha is about an affine function of the colours, so the row of a pixel has coefficients for the 5 x 5
pixels with which it shares a window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def rows(guide: Any, band: Any, ridge: float) -> Float64:
    """Returns the coefficients [25, N] of the N pixels of a band [h, w], with the colours of a guide [h, w, 3]."""
    colours, (height, width) = np.asarray(guide, np.float64), np.shape(band)
    every = np.zeros((height, width, 5, 5))
    for y in range(height - 2):
        for x in range(width - 2):
            off = colours[y : y + 3, x : x + 3].reshape(9, 3)
            off = off - off.mean(0)
            covariance = off.T @ off / 9 + ridge / 9 * np.eye(3)
            shares = np.eye(9) - (1 + off @ np.linalg.solve(covariance, off.T)) / 9
            for a, (down, across) in enumerate(np.ndindex(3, 3)):
                its = every[y + down, x + across, 2 - down : 5 - down, 2 - across : 5 - across]
                its += shares[a].reshape(3, 3)
    result: Float64 = every[np.asarray(band)].reshape(-1, 25).T
    return result


def product(band: Any, weights: Any, values: Any) -> Float64:
    """Returns for each pixel of a band [h, w] the sum of weights [25, N] times the 5 x 5 values [h, w] around it."""
    framed = np.pad(np.asarray(values, np.float64), 2)
    coefficients = np.asarray(weights, np.float64)
    places = np.argwhere(band)
    return np.array(
        [(framed[y : y + 5, x : x + 5].ravel() * coefficients[:, i]).sum() for i, (y, x) in enumerate(places)]
    )


def solution(band: Any, weights: Any, pull: Any, start: Any) -> Float64:
    """Returns start [h, w], in the band replaced by the values whose rows times the image are pull [N] times start."""
    inside, result = np.asarray(band), np.array(start, np.float64)
    right = np.asarray(pull, np.float64) * result[inside]
    result[inside] = 0
    beside, columns = product(inside, weights, result), []
    for place in np.argwhere(inside):
        one = np.zeros(inside.shape)
        one[tuple(place)] = 1
        columns.append(product(inside, weights, one))
    if columns:
        result[inside] = np.linalg.solve(np.stack(columns, 1), right - beside)
    return result
