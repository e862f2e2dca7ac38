"""Planes: blurring and warping of images by OpenCV, shared by the steps of merging."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _install
from .._arrays import Bools, Box, Float32, Float64, Pixels

"""A part of an image in pixels: left, top, right, bottom; the last two are outside."""


def opencv() -> Any:
    """Returns the module of OpenCV."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError(f"cv2 is missing, pyharmony.merging needs it: {_install.hint('segment')}") from error
    return cv2


def blurred(x: npt.NDArray[Any], deviation: float) -> Float32:
    """Returns planes [H, W] or [H, W, C] blurred by a Gaussian, with the border replicated."""
    cv2 = opencv()
    values = np.ascontiguousarray(x, np.float32)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)).reshape(x.shape)


def smoothed(x: npt.NDArray[Any], deviation: float) -> Float32:
    """Returns planes [H, W] or [H, W, C] approximately blurred by a wide Gaussian, on a reduced image."""
    cv2 = opencv()
    height, width = x.shape[:2]
    factor = min(1.0, 3 / deviation)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(np.ascontiguousarray(x, np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), deviation * factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)).reshape(x.shape)


def slopes(x: Float32) -> Float32:
    """Returns the gradient magnitude of planes [H, W, C], the root mean square over channels, [H, W]."""
    down, across = np.gradient(x, axis=(0, 1))
    return np.asarray(np.sqrt((np.square(down) + np.square(across)).mean(-1)), np.float32)


def highest(x: Float32, radius: int) -> Float32:
    """Returns the maximum over a square window of a radius, for planes [H, W] or [H, W, C]."""
    return np.asarray(opencv().dilate(x, _square(radius))).reshape(x.shape)


def lowest(x: Float32, radius: int) -> Float32:
    """Returns the minimum over a square window of a radius, for planes [H, W] or [H, W, C]."""
    return np.asarray(opencv().erode(x, _square(radius))).reshape(x.shape)


def _square(radius: int) -> Pixels:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def mapped(matrix: Float64, points: Float64) -> Float64:
    """Returns points [..., 2] transformed by a homography."""
    homogeneous = np.concatenate([points, np.ones((*points.shape[:-1], 1))], -1) @ matrix.T
    return homogeneous[..., :2] / homogeneous[..., 2:]


def rescaled(matrix: Float64, first: tuple[float, float], second: tuple[float, float]) -> Float64:
    """Returns a homography from a first to a second image after each was resized by its factors (across, down)."""
    product = _resizing(second) @ matrix @ np.linalg.inv(_resizing(first))
    return np.asarray(product / product[2, 2])


def _resizing(factors: tuple[float, float]) -> Float64:
    """Returns the matrix from the centres of pixels to their places in a resized image."""
    x, y = factors
    return np.array([[x, 0, 0.5 * x - 0.5], [0, y, 0.5 * y - 0.5], [0, 0, 1.0]])


def warped(image: npt.NDArray[Any], matrix: Float64, box: Box) -> npt.NDArray[Any]:
    """Returns an image [H, W] or [H, W, C] warped to a part of another one, by cubic interpolation, border replicated.

    matrix: the homography from the other image to this one, in coordinates of the centres of pixels.
    box: the part of the other image.
    """
    cv2 = opencv()
    left, top, right, bottom = box
    corners = mapped(matrix, np.array([(x, y) for x in (left, right) for y in (top, bottom)], float))
    height, width = image.shape[:2]
    # Only the part that is needed is passed, since OpenCV accepts at most 32,767 rows or columns.
    x0, y0 = (int(np.clip(np.floor(a) - 3, 0, n - 1)) for a, n in zip(corners.min(0), (width, height)))
    x1, y1 = (int(np.clip(np.ceil(a) + 4, 1, n)) for a, n in zip(corners.max(0), (width, height)))
    part = image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    if image.dtype == np.float16:
        part = part.astype(np.float32)
    shift, start = (np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) for x, y in ((-x0, -y0), (left, top)))
    own = shift @ matrix @ start
    out = cv2.warpPerspective(
        np.ascontiguousarray(part), own, (right - left, bottom - top),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(out).reshape(bottom - top, right - left, *image.shape[2:])


def coverage(size: tuple[int, int], matrix: Float64, box: Box) -> Bools:
    """Returns which pixels of a part of another image an image (width, height) covers; see `warped`."""
    left, top, right, bottom = box
    x, y = np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)[:, None]
    m = matrix.astype(np.float32)
    last = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    inside: Bools = last > 0
    for row, length in zip(m[:2], size):
        at = row[0] * x + row[1] * y + row[2]
        inside &= (at >= np.float32(-0.5) * last) & (at <= np.float32(length - 0.5) * last)
    return inside
