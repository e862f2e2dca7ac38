"""Convolutions of 4 x 4 weights and transposed ones, in float64 NumPy, as sums over the weights.

    y[n, k, i, j] = sum over c, a, b of x[n, c, s i + a - p, s j + b - p] w[k, c, a, b]

with stride s, padding p and zeros outside of x. The transposed convolution is its adjoint in x:

    x[n, c, s i + a - p, s j + b - p] += y[n, k, i, j] w[k, c, a, b]
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def conv(x: npt.ArrayLike, weight: npt.ArrayLike, stride: int, padding: int) -> Array:
    """Returns y [N, K, h, w] for x [N, C, H, W] and weight [K, C, 4, 4]."""
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncijab,kcab->nkij", windows, weight)


def conv_transpose(y: npt.ArrayLike, weight: npt.ArrayLike, stride: int, padding: int) -> Array:
    """Returns x [N, C, H, W] for y [N, K, h, w] and weight [K, C, 4, 4], H = (h - 1) stride + 4 - 2 padding."""
    y, weight = np.asarray(y, np.float64), np.asarray(weight, np.float64)
    parts = np.einsum("nkij,kcab->ncabij", y, weight)
    down, across = (stride * (side - 1) + 1 for side in y.shape[2:])
    padded = np.zeros((len(y), weight.shape[1], down + 3, across + 3))
    for a in range(4):
        for b in range(4):
            padded[:, :, a : a + down : stride, b : b + across : stride] += parts[:, :, a, b]
    return padded[:, :, padding : padded.shape[2] - padding, padding : padded.shape[3] - padding]
