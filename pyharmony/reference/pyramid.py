"""Resampling by a factor of two between pyramid levels, in float64 NumPy.

Pixels are cells: pixel j of a level covers the pixels 2j and 2j + 1 of the finer one, so n pixels
become ceil(n / 2) without a shift. Halving smooths by a Gaussian (cut at 4 sigma, sum one)
and averages 2 x 2 pixels; the image is extended by half-sample mirroring. Doubling is
Keys' cubic convolution (Cubic Convolution Interpolation for Digital Image Processing, 1981, eq.
15, a = -1/2) at the cell centres; the image is extended by its border pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def _along(x: Float64, axis: int, matrix: Float64) -> Float64:
    return np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)


def _down_matrix(n: int, sigma: float) -> Float64:
    """Returns the matrix [ceil(n / 2), n] that halves an axis."""
    radius = int(4 * sigma + 0.5)
    q = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (q / sigma) ** 2) if radius else np.ones(1)
    matrix = np.zeros(((n + 1) // 2, n))
    for j in range(len(matrix)):
        for centre in (2 * j, 2 * j + 1):
            for offset, weight in zip(q, taps / taps.sum(), strict=True):
                i = (centre + offset) % (2 * n)
                matrix[j, i if i < n else 2 * n - 1 - i] += weight / 2
    return matrix


def _up_matrix(n: int) -> Float64:
    """Returns the matrix [n, ceil(n / 2)] that doubles an axis."""
    cells = (n + 1) // 2
    matrix = np.zeros((n, cells))
    for i in range(n):
        position = (i + 0.5) / 2 - 0.5
        for j in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            d = abs(position - j)
            weight = 1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
            matrix[i, min(max(j, 0), cells - 1)] += weight
    return matrix


def downsample(image: Any, smooth_sigma: float = 1.0) -> Float64:
    """Halves an image [H, W, ...] to [ceil(H / 2), ceil(W / 2), ...]."""
    x = np.asarray(image, np.float64)
    return _along(_along(x, 0, _down_matrix(x.shape[0], smooth_sigma)), 1, _down_matrix(x.shape[1], smooth_sigma))


def downsample_mask(mask: Any) -> Float64:
    """Halves a mask [H, W] in [0, 1] to [ceil(H / 2), ceil(W / 2)], the share of each cell that is inside."""
    return downsample(mask, 0.0)


def upsample(image: Any, shape: tuple[int, int]) -> Float64:
    """Doubles an image [ceil(H / 2), ceil(W / 2), ...] to [H, W, ...], shape being (H, W)."""
    x = np.asarray(image, np.float64)
    return _along(_along(x, 0, _up_matrix(shape[0])), 1, _up_matrix(shape[1]))


def meet_known(colours: Any, dst: Any, known_share: Any) -> Float64:
    """Returns colours adjusted to match dst across the contour of the known pixels.

    Colours upsampled from a coarser level differ from dst at the contour by the detail that the level lacks,
    and a solve that preserves colours would leave the difference there as a seam. So a pixel p that is
    not wholly known is blended with dst by its known share, and shifted by the mean error of the known
    pixels around it: by the mean of dst - colours over them, weighted by a Gaussian of one
    pixel (cut at 3), times min(1, 3 s), s being the known share of those weights; next to a straight
    contour 3 s is 0.9, one pixel further 0.18, then 0.01. Images are [H, W, C], known_share [H, W] in [0, 1].
    """
    colours, dst, known_share = (np.asarray(v, np.float64) for v in (colours, dst, known_share))
    h, w = known_share.shape
    whole = known_share >= 1
    miss = np.where(whole[..., None], dst - colours, 0)
    total, known_weight, weights = np.zeros_like(colours), np.zeros((h, w)), np.zeros((h, w))
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            g = np.exp(-0.5 * (dy * dy + dx * dx))
            here = np.s_[max(0, -dy) : max(0, h - max(0, dy)), max(0, -dx) : max(0, w - max(0, dx))]
            there = np.s_[max(0, dy) : max(0, h + min(0, dy)), max(0, dx) : max(0, w + min(0, dx))]
            total[here] += g * miss[there]
            known_weight[here] += g * whole[there]
            weights[here] += g
    share = np.where(known_weight > 0, known_share, 0)[..., None]
    strength = np.minimum(1, 3 * known_weight / weights) / np.where(known_weight > 0, known_weight, 1)
    result = colours + share * (dst - colours) + strength[..., None] * total
    return np.where(whole[..., None], colours, result)
