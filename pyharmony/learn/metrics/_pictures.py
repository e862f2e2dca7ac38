"""The errors of an image against its target: MSE, PSNR and SSIM, over the whole image and over its object."""

from __future__ import annotations

import math

from ..._arrays import NumpyArray
from ...errors import ShapeError
from ...ops.similarity import similarity, squared_errors
from ...typing import ImageLike, MaskLike
from . import _checks
from ._checks import RANGE
from ._seam import excess

#: The smallest MSE in a PSNR: equal images have 108.13 dB, so that means over images are finite.
SMALLEST_MSE = 1e-6

#: The pixels on each side of the centre of SSIM's window.
RADIUS = 5


def mse(output: ImageLike, target: ImageLike) -> float:
    """Returns the mean of (output - target)² over all pixels and channels, in squared 8-bit levels.

    Args:
        output, target: images of any kind, of one shape and dtype, grey or with three colours; as arrays NumPy [H, W]
            or [H, W, C], torch [C, H, W]. A file is converted to the colour profile of output.

    Raises:
        ShapeError, DTypeError: they are not images, one is a batch, or they differ in shape or dtype.
        ArgumentError: one contains NaN or Inf.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> metrics.mse(target + 2, target)
        4.0
    """
    a, b = _checks.pair(output, target)
    return squared_errors(a, b)[0] / a.size


def psnr(output: ImageLike, target: ImageLike) -> float:
    """Returns 10 log10(255² / MSE) in dB; MSE is at least 1e-6, so that equal images have 108.13 dB.

    Args, Raises: see `mse`.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> round(metrics.psnr(target + 2, target), 2)
        42.11
    """
    return _decibels(mse(output, target))


def ssim(output: ImageLike, target: ImageLike) -> float:
    """Returns the structural similarity of Wang et al. 2004, at most 1: its map's mean where windows fit the image.

    The window is 11 x 11, a Gaussian of sigma 1.5; K1 = 0.01, K2 = 0.03, range 255; variances are those of the weighted
    population; channels are averaged.

    Args, Raises: see `mse`; also ShapeError if a side is below 11 pixels.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.random.default_rng(0).integers(0, 200, (16, 16, 3), np.uint8)
        >>> round(metrics.ssim(target, target), 3)
        1.0
    """
    return float(_inside(_similarity(*_checks.pair(output, target))).mean())


def fmse(output: ImageLike, target: ImageLike, mask: MaskLike) -> float:
    """Returns the MSE of the object, sum m (output - target)² / (C sum m), in squared 8-bit levels.

    Args:
        output, target: see `mse`.
        mask: of any kind; as an array [H, W], bool, integers scaled by their range, or floats in [0, 1].

    Raises:
        ShapeError, DTypeError, ArgumentError: see `mse`; mask has another size.
        MaskError: mask is empty, contains 0 and 1 as integers, or values outside [0, 1].

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> metrics.fmse(target + 2, target, mask)
        4.0
    """
    a, b = _checks.pair(output, target)
    m = _checks.foreground(mask, *a.shape[:2])
    return squared_errors(a, b, m)[1] / (a.shape[2] * float(m.sum()))


def fpsnr(output: ImageLike, target: ImageLike, mask: MaskLike) -> float:
    """Returns 10 log10(255² / fMSE) in dB; fMSE is at least 1e-6.

    Args, Raises: see `fmse`.

    Example:
        >>> from pyharmony import metrics
        >>> target = np.full((16, 16, 3), 100, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> round(metrics.fpsnr(target + 2, target, mask), 2)
        42.11
    """
    return _decibels(fmse(output, target, mask))


def fssim(output: ImageLike, target: ImageLike, mask: MaskLike) -> float:
    """Returns the SSIM of the object, sum m s / sum m of the map s of `ssim`, with images mirrored at the borders.

    Windows extend beyond the mask, so pixels around the object count too.

    Args, Raises: see `fmse`; also ShapeError if a side is below 11 pixels.

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


def evaluate(output: ImageLike, target: ImageLike, mask: MaskLike) -> dict[str, float]:
    """Computes all metrics of one result at once.

    Args:
        output: the result, see `mse`, with sides of at least 11 pixels.
        target: the ground truth, of the same shape and dtype.
        mask: the mask of the object to be changed, see `fmse`.

    Returns:
        'mse', 'psnr', 'ssim', 'fmse', 'fpsnr', 'fssim', 'seam_error' (`metrics.seam_error` with target as
        both src and dst) and 'foreground', the share of the image that is inside the mask.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: see `fmse` and `ssim`.

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
    ssims, inside = _similarity(a, b), float(m.sum())
    total, weighted = squared_errors(a, b, m)
    whole, part = total / a.size, weighted / (a.shape[2] * inside)
    return {
        "mse": whole,
        "psnr": _decibels(whole),
        "ssim": float(_inside(ssims).mean()),
        "fmse": part,
        "fpsnr": _decibels(part),
        "fssim": _weighted(ssims, m),
        "seam_error": excess(a, [b], m),
        "foreground": float(m.mean()),
    }


def _decibels(error: float) -> float:
    return 10 * math.log10(RANGE**2 / max(error, SMALLEST_MSE))


def _weighted(values: NumpyArray, weights: NumpyArray) -> float:
    return float((values * weights).sum() / weights.sum())


def _inside(values: NumpyArray) -> NumpyArray:
    return values[RADIUS:-RADIUS, RADIUS:-RADIUS]


def _similarity(output: NumpyArray, target: NumpyArray) -> NumpyArray:
    """Returns the map of SSIM, averaged over channels: float64 [H, W]; images are mirrored beyond their borders."""
    height, width = output.shape[:2]
    if min(height, width) < 2 * RADIUS + 1:
        raise ShapeError(f"output: {width} x {height} pixels; SSIM needs sides of at least {2 * RADIUS + 1}")
    return similarity(output, target)
