"""Convolutions of one channels-last image, for networks that run without torch. Not public."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._native import native

__all__ = ["convolution", "enlarged", "linear", "product"]

Float32 = npt.NDArray[np.float32]


def convolution(
    image: Float32,
    weight: Float32,
    bias: Float32,
    *,
    stride: int = 1,
    before: int | None = None,
    added: Float32 | None = None,
    slope: float = 1.0,
    high: float = math.inf,
) -> Float32:
    """Returns max(s, 0) + slope min(s, 0), at most high, where s is a convolution plus bias plus added.

    Args:
        image: [H, W, C] float32.
        weight: [k, k, C, O] float32, or [k, k, C] for a depthwise convolution.
        bias: [O] float32.
        stride: the distance of windows; the result has one for each `stride` rows and columns, rounded up.
        before: the rows and columns of zeros before the image, k // 2 by default; after it there are as many as the
            windows need.
        added: a summand of the shape of the result.
        slope: the factor of values below 0: 1 for no activation, 0 for a ReLU, others for a leaky ReLU.
        high: the upper limit of values.

    Returns:
        [h, w, O] float32. Each value is one sum in a fixed order, independent of the number of threads.

    Example:
        >>> image = np.ones((4, 4, 1), np.float32)
        >>> convolution(image, np.ones((3, 3, 1, 1), np.float32), np.zeros(1, np.float32))[..., 0].tolist()[0]
        [4.0, 6.0, 6.0, 4.0]
    """
    size = -(-image.shape[0] // stride), -(-image.shape[1] // stride)
    out = np.empty((*size, bias.shape[0]), np.float32)
    if not out.size:
        return out
    # A view does not keep its array alive: the arrays have names until the call is over.
    image = np.ascontiguousarray(image)
    added = None if added is None else np.ascontiguousarray(added)
    before = weight.shape[0] // 2 if before is None else before
    inputs = [_arrays.view(a, name) for a, name in ((image, "image"), (weight, "weight"), (bias, "bias"))]
    beside = None if added is None else _arrays.view(added, "added")
    native.convolution(*inputs, beside, _arrays.view(out, "out", writable=True), stride, before, slope, high)
    return out


def enlarged(image: Float32, added: Float32 | None = None) -> Float32:
    """Returns an image [H, W, C] at twice the size, bilinearly, like torch: [2 H, 2 W, C] float32.

    added: an array of the shape of the result: the result is max(s + added, 0) for the enlarged image s.

    Example:
        >>> enlarged(np.array([[[0.0], [4.0]]], np.float32))[0, :, 0].tolist()
        [0.0, 1.0, 3.0, 4.0]
    """
    height, width, channels = image.shape
    out = np.empty((2 * height, 2 * width, channels), np.float32)
    if not out.size:
        return out
    # A view does not keep its array alive, see `convolution`.
    image = np.ascontiguousarray(image)
    added = None if added is None else np.ascontiguousarray(added)
    beside = None if added is None else _arrays.view(added, "added")
    native.enlarged(_arrays.view(image, "image"), beside, _arrays.view(out, "out", writable=True))
    return out


def linear(x: Float32, weight: Float32, bias: Float32, *, slope: float = 1.0) -> Float32:
    """Returns x [P, C] times a weight [C, O] plus bias [O], with the activation of `convolution`, [P, O].

    Example:
        >>> linear(np.ones((1, 2), np.float32), np.ones((2, 3), np.float32), np.zeros(3, np.float32)).tolist()
        [[2.0, 2.0, 2.0]]
    """
    return convolution(x[None], weight[None, None], bias, slope=slope)[0]


def product(first: Float32, second: Float32) -> Float32:
    """Returns the product of two matrices [P, C] and [C, O], [P, O].

    The threads of NumPy's own product busy-wait for the next one, which takes more CPU time than the product.

    Example:
        >>> product(np.ones((1, 2), np.float32), np.ones((2, 3), np.float32)).tolist()
        [[2.0, 2.0, 2.0]]
    """
    return linear(first, np.ascontiguousarray(second), np.zeros(second.shape[1], np.float32))
