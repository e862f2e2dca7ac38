"""Convolutions of one channels-last image, for networks that run without torch. Not public."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._arrays import Float32
from .._native import native

__all__ = [
    "PointLayers",
    "contour",
    "convolution",
    "enlarged",
    "linear",
    "points",
    "product",
    "recolored",
    "sampled",
    "spread",
]


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
    before = weight.shape[0] // 2 if before is None else before
    _call(
        native.convolution, {"out": out}, image=image, weight=weight, bias=bias, added=added, stride=stride,
        before=before, slope=slope, high=high,
    )  # fmt: skip
    return out


def _call(function: Any, results: dict[str, Any], **arguments: Any) -> None:
    """Calls a native function by the names of its arguments: arrays, numbers, and the arrays for its results."""
    # A view does not keep its array alive: contiguous copies are here until the call is over.
    arrays = {name: np.ascontiguousarray(x) for name, x in arguments.items() if isinstance(x, np.ndarray)}
    views = {name: _arrays.view(x, name) for name, x in arrays.items()}
    views |= {name: _arrays.view(x, name, writable=True) for name, x in results.items()}
    function(**arguments | views)


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
    _call(native.enlarged, {"out": out}, image=image, added=added)
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


class PointLayers(NamedTuple):
    """The layers of `points`: see `layers.point_layers_of`."""

    parameters: Float32  # of the three layers, the scores and the norms, as csrc/ops/convolution/points.h lists them
    width: int
    heads: int


def points(elements: Float32, layers: PointLayers, added: Float32 | None = None) -> Float32:
    """Returns the pools of sets [V, P, C] whose elements in [0, 1] go through three layers, [V, 3 W or 4 W].

    added: a summand [V, W] of the first layer for all elements of a set.

    Example:
        >>> layers = PointLayers(np.zeros(12, np.float32), width=1, heads=0)
        >>> points(np.ones((1, 5, 1), np.float32), layers).tolist()
        [[0.0, 0.0, 0.0]]
    """
    out = np.empty((len(elements), (4 if layers.heads else 3) * layers.width), np.float32)
    _call(native.points, {"out": out}, elements=elements, added=added, parameters=layers.parameters, heads=layers.heads)
    return out


def spread(weight: Float32, count: int) -> npt.NDArray[np.intp]:
    """Returns the indices of `count` elements of weight [P], evenly spread by weight plus 1e-9.

    Example:
        >>> spread(np.array([0.0, 1.0, 0.0, 3.0], np.float32), 4).tolist()
        [1, 3, 3, 3]
    """
    out = np.empty(count)
    _call(native.spread, {"out": out}, weight=weight)
    return out.astype(np.intp)


def contour(mask: Float32, blur: Float32, reach: int, count: int) -> tuple[Float32, Float32, Float32]:
    """Returns positions (x, y) [P, 2] along the contour of a mask [S, S], inward directions [P, 2] and slopes [P].

    They are `count` positions, evenly spread by the cube of the slope of the mask after a blur.

    blur: [S, S], by which a product blurs along one axis; zero beyond `reach` elements from its diagonal.
    """
    place, normal, slope = (np.empty(shape, np.float32) for shape in ((count, 2), (count, 2), count))
    _call(native.contour, {"place": place, "normal": normal, "slope": slope}, mask=mask, blur=blur, reach=reach)
    return place, normal, slope


def sampled(planes: Float32, place: Float32, normal: Float32, distances: Sequence[float]) -> Float32:
    """Returns the values of planes [S, S, C] at distances from positions [P, 2] along normals [P, 2], [P, R, C].

    They are interpolated bilinearly; beyond the border are the values of the border.

    Example:
        >>> ramp = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
        >>> sampled(ramp, np.ones((1, 2), np.float32), np.array([[1, 0]], np.float32), (0, 0.5, 7)).tolist()
        [[[4.0], [4.5], [5.0]]]
    """
    steps = np.array(distances, np.float32)
    out = np.empty((len(place), len(steps), planes.shape[2]), np.float32)
    _call(native.sampled, {"out": out}, planes=planes, place=place, normal=normal, distances=steps)
    return out


def recolored(colors: Float32, affine: Float32, curves: Float32) -> Float32:
    """Returns affine [x; 1] + curves(x) for colours x [V, P, 3], by a map of each set; not held in [0, 1].

    affine: [V, 3, 4].
    curves: [V, 3, 3, K], as `pyharmony.ops.color_grid` has them.

    Example:
        >>> twice = np.array([[[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]], np.float32)
        >>> recolored(np.ones((1, 1, 3), np.float32), twice, np.zeros((1, 3, 3, 2), np.float32)).tolist()
        [[[2.0, 2.0, 2.0]]]
    """
    out = np.empty(colors.shape, np.float32)
    _call(native.recolored, {"out": out}, colors=colors, affine=affine, curves=curves)
    return out
