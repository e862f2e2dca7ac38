"""A metric of the visibility of a seam along the contour of a mask."""

from __future__ import annotations

import numpy as np

from ..._arrays import NumpyArray
from ...typing import ImageLike, MaskLike
from . import _checks

#: The sides of the squares that are compared across the contour, in pixels.
SIZES = (1, 3, 5)

#: The distance from a pixel covered by four squares in a row, and by their width.
REACH = 2 * max(SIZES)

#: The number of the contour's pixels that are processed at once, which bounds the memory.
PIXELS_PER_BLOCK = 8192


def seam_error(output: ImageLike, src: ImageLike, dst: ImageLike, mask: MaskLike) -> float:
    """Returns how much more output changes across the contour of mask than src and dst do there, in 8-bit levels.

    Between two neighbouring pixels with different mask values let a2, a1 | b1, b2 be the means of four squares of n x n
    pixels in a row, the contour in the middle. The step of an image is |b1 - a1|, its ridge |a1 + b1 - a2 - b2| / 2,
    where |.| is the root mean square of the channels. The excess of output over src and dst is

        e = max(0, step(output) - max(step(src), step(dst)), ridge(output) - max(ridge(src), ridge(dst)))

    and the error is sum w e / sum w, where w is the difference of the mask's values: for a hard mask, the mean along
    its contour. The result is the mean for n = 1, 3 and 5, to detect lines between pixels, and halos: noise and texture
    average out, changes all along the contour remain. Beyond the borders the last pixels are replicated.

    The error of src and dst themselves is 0, as is that of a mask without a contour. Along a straight contour a step of
    s levels between two constant images has s, and a line of s levels, one pixel on either side, 23 s / 45.

    Args:
        output: the image to measure, of any kind, see `pyharmony.learn.metrics.mse`.
        src, dst: the images from which it was composed, on the same frame, of the same shape and dtype. For a
            harmonised image both are its target.
        mask: see `pyharmony.learn.metrics.fmse`; it may be empty.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: see `pyharmony.learn.metrics.fmse`.

    Example:
        >>> from pyharmony import metrics
        >>> src, dst = np.full((16, 16, 3), 100, np.uint8), np.full((16, 16, 3), 60, np.uint8)
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> pasted = np.where(mask[..., None] > 0, src, dst)
        >>> metrics.seam_error(pasted, src, dst, mask) > metrics.seam_error(dst, src, dst, mask)
        True
    """
    a, *sources = _checks.pictures(output=output, src=src, dst=dst)
    return excess(a, sources, _checks.weights(mask, *a.shape[:2]))


def excess(output: NumpyArray, sources: list[NumpyArray], mask: NumpyArray) -> float:
    """Returns the `seam_error` of validated images [H, W, C] of one dtype and a validated mask of float64."""
    edges = []
    for axis in (0, 1):
        step = np.abs(np.diff(mask, axis=axis))
        at = np.nonzero(step)
        edges.append((axis, at, step[at]))
    weight = sum(float(w.sum()) for _, _, w in edges)
    if not weight:
        return 0.0
    ys, xs = (np.concatenate([at[i] for _, at, _ in edges]) for i in (0, 1))
    top, left, bottom, right = ys.min(), xs.min(), ys.max() + 1, xs.max() + 1
    sums = [_sums(image, top, left, bottom, right) for image in (output, *sources)]
    total = 0.0
    for axis, (y, x), w in edges:
        for start in range(0, w.size, PIXELS_PER_BLOCK):
            part = slice(start, start + PIXELS_PER_BLOCK)
            for size in SIZES:
                terms = [_step_and_ridge(s, axis, y[part] - top, x[part] - left, size) for s in sums]
                beyond = terms[0] - np.maximum.reduce(terms[1:])
                total += float((w[part] * np.maximum(beyond.max(axis=0), 0)).sum())
    return total * _checks.scale(output) / (weight * len(SIZES))


def _sums(image: NumpyArray, top: int, left: int, bottom: int, right: int) -> NumpyArray:
    """Returns the summed-area table of the pixels (top, left) to (bottom, right) with a margin of REACH.

    Beyond the borders the last pixels are replicated. Sums of integers are exact.
    """
    rows, columns = (
        np.arange(low - REACH, high + REACH + 1).clip(0, n - 1)
        for low, high, n in ((top, bottom, image.shape[0]), (left, right, image.shape[1]))
    )
    sums = np.zeros((len(rows) + 1, len(columns) + 1, image.shape[2]))
    np.cumsum(image[np.ix_(rows, columns)], axis=0, dtype=np.float64, out=sums[1:, 1:])
    return np.cumsum(sums, axis=1, out=sums)


def _step_and_ridge(sums: NumpyArray, axis: int, y: NumpyArray, x: NumpyArray, size: int) -> NumpyArray:
    """Returns step and ridge, [2, N], between each of N pixels (y, x) and the next along axis."""
    along, across = np.arange(-2, 3) * size + 1, np.array([0, size]) - size // 2
    offsets = (along[:, None], across) if axis == 0 else (across, along[:, None])
    corners = sums[tuple(at[:, None, None] + offset + REACH for at, offset in zip((y, x), offsets, strict=True))]
    squares = np.diff(np.diff(corners, axis=1), axis=2)[:, :, 0] / size**2  # [N, 4, C]
    a2, a1, b1, b2 = squares.swapaxes(0, 1)
    return np.stack([np.sqrt(np.square(v).mean(axis=1)) for v in (b1 - a1, (a1 + b1 - a2 - b2) / 2)])
