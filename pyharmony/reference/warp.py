"""An image as it looks through a homography, defined in float64.

The result at (x, y) is the image I at (u, v), the homography of (x, y), both in coordinates of the centres of pixels:

    Σ w(u - i) w(v - j) I(i, j) / Σ w(u - i) w(v - j),   w(t) = sinc(t) sinc(t / 3) for |t| < 3

over the 6 x 6 pixels around it, Duchon, *Lanczos Filtering in One and Two Dimensions*, 1979. (u, v) is clamped to the
image, and the border is replicated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def warp(image: Float64, matrix: Float64, size: tuple[int, int]) -> Float64:
    """Returns image [H, W, C] through matrix [3, 3], of a size (width, height)."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    u, v, w = np.moveaxis(np.stack([x, y, np.ones_like(x)], -1) @ matrix.T, -1, 0)
    total, weights = np.zeros((*x.shape, image.shape[2])), np.zeros((*x.shape, 1))
    u, v = np.clip(u / w, 0, image.shape[1] - 1), np.clip(v / w, 0, image.shape[0] - 1)
    for j in range(-2, 4):
        for i in range(-2, 4):
            column, row = np.floor(u).astype(int) + i, np.floor(v).astype(int) + j
            weight = (_lanczos(u - column) * _lanczos(v - row))[..., None]
            total += weight * image[np.clip(row, 0, image.shape[0] - 1), np.clip(column, 0, image.shape[1] - 1)]
            weights += weight
    return total / weights


def _lanczos(t: Float64) -> Float64:
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0)
