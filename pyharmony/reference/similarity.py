"""Squared errors, and the structural similarity of Wang et al. 2004, in float64 NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: The window: 11 x 11, a Gaussian with a sigma of 1.5 pixels.
RADIUS = 5
KERNEL = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * 1.5**2))
KERNEL /= KERNEL.sum()
C1 = (0.01 * 255) ** 2  # keeps the denominator of the luminance term above 0
C2 = (0.03 * 255) ** 2  # keeps that of the contrast and structure term above 0


def squared_errors(output: Any, target: Any) -> npt.NDArray[np.float64]:
    """Returns the sum over channels of (output - target)² [H, W] for images [H, W, C]."""
    total: npt.NDArray[np.float64] = np.square(np.float64(output) - target).sum(axis=2)
    return total


def similarity(output: Any, target: Any) -> npt.NDArray[np.float64]:
    """Returns the map of SSIM [H, W], averaged over channels, for images [H, W, C] in 8-bit levels.

    Images are mirrored beyond their borders; variances are those of the weighted population.
    """
    x, y = (
        np.pad(np.float64(image), [(RADIUS, RADIUS)] * 2 + [(0, 0)], mode="symmetric") for image in (output, target)
    )
    mean_x, mean_y, squares, product = (_smooth(moment) for moment in (x, y, x * x + y * y, x * y))
    means, both = mean_x * mean_y, mean_x**2 + mean_y**2
    ssim = (2 * means + C1) * (2 * (product - means) + C2) / ((both + C1) * (squares - both + C2))
    average: npt.NDArray[np.float64] = ssim.mean(axis=2)
    return average


def _smooth(x: Any) -> Any:
    height, width = (side - 2 * RADIUS for side in x.shape[:2])
    rows = sum(weight * x[i : i + height] for i, weight in enumerate(KERNEL))
    return sum(weight * rows[:, i : i + width] for i, weight in enumerate(KERNEL))
