"""The errors of a picture against its target: MSE, PSNR and SSIM, of all of it and of its foreground."""

from __future__ import annotations

import math

import numpy as np

from .._arrays import NumpyArray
from ..errors import ShapeError
from ..typing import Array
from . import _checks
from ._checks import RANGE
from ._seam import excess

#: PSNR is that of an MSE of at least this: 108.13 dB for equal pictures, so that means over pictures stay finite.
SMALLEST_MSE = 1e-6

#: The window of SSIM: 11 x 11, a Gaussian of 1.5 pixels.
RADIUS = 5
KERNEL = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * 1.5**2))
KERNEL /= KERNEL.sum()
C1, C2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2

#: Rows that are worked on at once: what they need stays in the processor's cache.
STRIP = 8


def mse(output: Array, target: Array) -> float:
    """mean (output - target)² over all pixels and channels, in squared 8-bit levels.

    Args:
        output, target: [H, W] or [H, W, C], C = 1 or 3, of one shape and dtype.

    Raises:
        ShapeError, DTypeError: they are no pictures, or differ in shape or dtype.
        ArgumentError: one holds NaN or Inf.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> metrics.mse(target + 2, target)
        4.0
    """
    return float(_squares(*_checks.pair(output, target)).mean())


def psnr(output: Array, target: Array) -> float:
    """10 log10(255² / MSE) in dB; MSE is taken as at least 1e-6, so that equal pictures have 108.13 dB.

    Args, Raises: as `mse`.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> round(metrics.psnr(target + 2, target), 2)
        42.11
    """
    return _decibels(mse(output, target))


def ssim(output: Array, target: Array) -> float:
    """The structural similarity of Wang et al. 2004, at most 1: its map's mean where the window is inside the picture.

    The window is 11 x 11, a Gaussian of sigma 1.5; K1 = 0.01, K2 = 0.03, range 255; variances are those of the weighted
    population; channels are averaged.

    Args, Raises: as `mse`; ShapeError also where a side is below 11 pixels.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.random.default_rng(0).integers(0, 200, (16, 16, 3), np.uint8)
        >>> round(metrics.ssim(target, target), 3)
        1.0
    """
    return float(_inside(_similarity(*_checks.pair(output, target))).mean())


def fmse(output: Array, target: Array, mask: Array) -> float:
    """The MSE of the foreground, sum m (output - target)² / (C sum m), in squared 8-bit levels.

    Args:
        output, target: [H, W] or [H, W, C], C = 1 or 3, of one shape and dtype.
        mask: [H, W], bool, integers scaled by their range, or floats in [0, 1].

    Raises:
        ShapeError, DTypeError: they are no pictures, or differ in shape or dtype; mask is of another size.
        MaskError: mask is empty, holds 0 and 1 as integers, or values outside [0, 1].
        ArgumentError: a picture holds NaN or Inf.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> metrics.fmse(target + 2, target, mask)
        4.0
    """
    a, b = _checks.pair(output, target)
    return _weighted(_squares(a, b), _checks.foreground(mask, *a.shape[:2]))


def fpsnr(output: Array, target: Array, mask: Array) -> float:
    """10 log10(255² / fMSE) in dB; fMSE is taken as at least 1e-6.

    Args, Raises: as `fmse`.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> round(metrics.fpsnr(target + 2, target, mask), 2)
        42.11
    """
    return _decibels(fmse(output, target, mask))


def fssim(output: Array, target: Array, mask: Array) -> float:
    """The SSIM of the foreground, sum m s / sum m of the map s of `ssim`, continued by mirroring at the borders.

    Windows reach out of the mask: pixels around the foreground have a part in it.

    Args, Raises: as `fmse`; ShapeError also where a side is below 11 pixels.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.random.default_rng(0).integers(0, 200, (16, 16, 3), np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> round(metrics.fssim(target, target, mask), 3)
        1.0
    """
    a, b = _checks.pair(output, target)
    return _weighted(_similarity(a, b), _checks.foreground(mask, *a.shape[:2]))


def evaluate(output: Array, target: Array, mask: Array) -> dict[str, float]:
    """All metrics of one result at once.

    Args:
        output: what was made, [H, W] or [H, W, C], C = 1 or 3, sides of at least 11 pixels.
        target: what it should be, of the same shape and dtype.
        mask: [H, W], what was to change.

    Returns:
        'mse', 'psnr', 'ssim', 'fmse', 'fpsnr', 'fssim', 'seam_error' (`pyharmony.metrics.seam_error` with target as
        both pictures) and 'foreground', the share of the picture that is inside.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: as `fmse` and `ssim`.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> output = np.where(mask[..., None] > 0, target + 2, target)
        >>> scores = metrics.evaluate(output, target, mask)
        >>> scores["mse"], scores["fmse"]
        (1.0, 4.0)
    """
    a, b = _checks.pair(output, target)
    m = _checks.foreground(mask, *a.shape[:2])
    squares, similarity = _squares(a, b), _similarity(a, b)
    whole, part = float(squares.mean()), _weighted(squares, m)
    return {
        "mse": whole,
        "psnr": _decibels(whole),
        "ssim": float(_inside(similarity).mean()),
        "fmse": part,
        "fpsnr": _decibels(part),
        "fssim": _weighted(similarity, m),
        "seam_error": excess(a, [b], m),
        "foreground": float(m.mean()),
    }


def _decibels(error: float) -> float:
    return 10 * math.log10(RANGE**2 / max(error, SMALLEST_MSE))


def _weighted(values: NumpyArray, weights: NumpyArray) -> float:
    return float((values * weights).sum() / weights.sum())


def _inside(values: NumpyArray) -> NumpyArray:
    return values[RADIUS:-RADIUS, RADIUS:-RADIUS]


def _squares(output: NumpyArray, target: NumpyArray) -> NumpyArray:
    """The squared error of each pixel, its channels averaged: float64 [H, W] in squared 8-bit levels."""
    found = np.empty(output.shape[:2])
    for top in range(0, output.shape[0], STRIP):
        rows = slice(top, top + STRIP)
        difference = output[rows].astype(np.float64) - target[rows]
        found[rows] = np.square(difference, out=difference).mean(axis=2)
    found *= _checks.scale(output) ** 2
    return found


def _similarity(output: NumpyArray, target: NumpyArray) -> NumpyArray:
    """The map of SSIM, its channels averaged: float64 [H, W]; beyond the borders the pictures are mirrored."""
    height, width, channels = output.shape
    if min(height, width) < 2 * RADIUS + 1:
        raise ShapeError(f"output: {width} x {height} pixels; SSIM needs sides of at least {2 * RADIUS + 1}")
    scale = _checks.scale(output)
    rows = np.pad(np.arange(height), RADIUS, mode="symmetric")
    columns = np.pad(np.arange(width), RADIUS, mode="symmetric")
    found = np.zeros((height, width))
    for top in range(0, height, STRIP):
        strip = rows[top : top + STRIP + 2 * RADIUS]
        for channel in range(channels):
            x, y = (picture[strip, :, channel].astype(np.float64) * scale for picture in (output, target))
            # x, y, x² + y² and xy are all that SSIM needs: [4, rows, W]
            moments = _smooth_rows(np.stack([x, y, x * x + y * y, x * y]))
            mean_x, mean_y, squares, product = _smooth_columns(moments[..., columns])
            means, both = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
            product -= means
            squares -= both
            found[top : top + STRIP] += (
                (2 * means + C1) * (2 * product + C2) / ((both + C1) * (squares + C2)) / channels
            )
    return found


def _smooth_rows(x: NumpyArray) -> NumpyArray:
    """x [4, h + 10, W] weighted by the kernel along its rows: [4, h, W]."""
    n = x.shape[1] - 2 * RADIUS
    return _weigh([x[:, i : i + n] for i in range(2 * RADIUS + 1)])


def _smooth_columns(x: NumpyArray) -> NumpyArray:
    """x [4, h, W + 10] weighted by the kernel along its columns: [4, h, W]."""
    n = x.shape[2] - 2 * RADIUS
    return _weigh([x[..., i : i + n] for i in range(2 * RADIUS + 1)])


def _weigh(shifted: list[NumpyArray]) -> NumpyArray:
    """The sum of eleven arrays weighted by the kernel, which is symmetric."""
    total = shifted[RADIUS] * KERNEL[RADIUS]
    both = np.empty_like(total)
    for i in range(RADIUS):
        np.add(shifted[i], shifted[-1 - i], out=both)
        both *= KERNEL[i]
        total += both
    return total
