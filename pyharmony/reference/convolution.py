"""A convolution of one channels-last image, in float64 NumPy: a sum over each window; and its enlargement."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def convolution(
    image: Any, weight: Any, bias: Any, *, stride: int = 1, before: int | None = None, added: Any = 0.0,
    slope: float = 1.0, high: float = np.inf,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Returns max(s, 0) + slope min(s, 0), at most high, [h, w, O], where s is the convolution plus bias and added.

    image is [H, W, C] and weight [k, k, C, O], or [k, k, C] for a depthwise convolution.
    """
    image, weight = np.asarray(image, np.float64), np.asarray(weight, np.float64)
    kernel = len(weight)
    before = kernel // 2 if before is None else before
    height, width = -(-image.shape[0] // stride), -(-image.shape[1] // stride)
    behind = kernel * stride
    padded = np.pad(image, ((before, behind), (before, behind), (0, 0)))
    out = np.zeros((height, width, len(bias)))
    for y in range(height):
        for x in range(width):
            window = padded[y * stride : y * stride + kernel, x * stride : x * stride + kernel]
            each = weight.ndim == 3
            out[y, x] = (window * weight).sum((0, 1)) if each else np.tensordot(window, weight, 3)
    out += np.asarray(bias, np.float64) + added
    return np.minimum(np.maximum(out, 0) + slope * np.minimum(out, 0), high)


def enlarged(image: Any, added: Any = None) -> npt.NDArray[np.float64]:
    """Returns an image [H, W, C] at twice the size, bilinearly, [2 H, 2 W, C]: s; with added, max(s + added, 0)."""
    x = np.asarray(image, np.float64)
    for axis in (0, 1):
        sides = [(1, 1) if i == axis else (0, 0) for i in range(3)]
        padded = np.moveaxis(np.pad(x, sides, "edge"), axis, 0)
        middle = padded[1:-1]
        pairs = np.stack([0.75 * middle + 0.25 * padded[:-2], 0.75 * middle + 0.25 * padded[2:]], 1)
        x = np.moveaxis(pairs.reshape(-1, *middle.shape[1:]), 0, axis)
    return x if added is None else np.maximum(x + added, 0)
