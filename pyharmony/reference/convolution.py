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


def points(elements: Any, layers: Any, norms: Any, *, scores: Any = None, added: Any = None) -> npt.NDArray[np.float64]:
    """Returns the pools [V, pools W] of sets of elements [V, P, C] that go through three layers with SiLU between.

    layers: three pairs of a weight [in, out] and a bias [out]. norms: a pair of a scale and a shift [W] for each pool:
    mean, maximum, deviation and, with scores, means by their softmax over the set, each of a share of the channels.
    scores: a weight [W, heads] and a bias [heads]. added: a summand [V, W] of the first layer.
    """
    x = (np.asarray(elements, np.float64) - 0.5) * 3
    for i, (weight, bias) in enumerate(layers):
        x = x @ np.asarray(weight, np.float64) + bias
        if i == 0 and added is not None:
            x = x + np.asarray(added)[:, None]
        if i < len(layers) - 1:
            with np.errstate(over="ignore"):
                x = x / (1 + np.exp(-x))
    pools = [x.mean(1), x.max(1), np.sqrt(x.var(1) + 1e-6)]
    if scores is not None:
        shares = np.exp(x @ np.asarray(scores[0], np.float64) + scores[1])
        shares /= shares.sum(1, keepdims=True)
        heads = x.reshape(*x.shape[:2], shares.shape[2], -1)
        pools.append(np.einsum("vph,vphc->vhc", shares, heads).reshape(len(x), -1))
    normed = []
    for pool, (scale, shift) in zip(pools, norms, strict=True):
        off = pool - pool.mean(1, keepdims=True)
        normed.append(off / np.sqrt(np.square(off).mean(1, keepdims=True) + 1e-5) * scale + shift)
    return np.concatenate(normed, 1)


def spread(weight: Any, count: int) -> npt.NDArray[np.intp]:
    """Returns the indices of `count` elements of weight [P], evenly spread by weight plus 1e-9."""
    summed = (np.asarray(weight, np.float32) + np.float32(1e-9)).cumsum(dtype=np.float64)
    steps = (np.arange(count) + 0.5) / count
    return np.minimum(np.searchsorted(summed, steps * summed[-1]), len(summed) - 1)


def contour(mask: Any, blur: Any, count: int) -> tuple[npt.NDArray[np.float64], ...]:
    """Returns positions (x, y) [P, 2] along the contour of a mask [S, S], inward directions [P, 2] and slopes [P].

    blur: [S, S]; the mask is blurred as blur mask blurᵀ. Positions are evenly spread by the cube of its slope.
    """
    side = len(mask)
    smooth = np.pad(np.asarray(blur, np.float64) @ mask @ np.asarray(blur, np.float64).T, 1, mode="edge")
    across, down = (smooth[1:-1, 2:] - smooth[1:-1, :-2]) / 2, (smooth[2:, 1:-1] - smooth[:-2, 1:-1]) / 2
    steep = np.hypot(across, down)
    at = spread((steep**3).reshape(-1), count)
    slope = steep.reshape(-1)[at]
    normal = np.stack([across.reshape(-1)[at], down.reshape(-1)[at]], 1) / np.maximum(slope, 1e-4)[:, None]
    return np.stack([at % side, at // side], 1).astype(np.float64), normal, slope


def sampled(planes: Any, place: Any, normal: Any, distances: Any) -> npt.NDArray[np.float64]:
    """Returns the bilinear values of planes [S, S, C] at distances [R] from positions along normals, [P, R, C]."""
    side = len(planes)
    steps = np.asarray(distances, np.float64)[:, None]
    points = (np.asarray(place, np.float64)[:, None] + steps * np.asarray(normal)[:, None]).clip(0, side - 1)
    first = np.minimum(np.floor(points).astype(int), side - 2)
    right, below = np.moveaxis(points - first, -1, 0)[..., None]
    x, y = np.moveaxis(first, -1, 0)
    top, bottom = (planes[row, x] * (1 - right) + planes[row, x + 1] * right for row in (y, y + 1))
    return top * (1 - below) + bottom * below


def recolored(colors: Any, affine: Any, curves: Any) -> npt.NDArray[np.float64]:
    """Returns affine [x; 1] + curves(x) for colours x [V, P, 3], affine [V, 3, 4] and curves [V, 3, 3, K]."""
    x, at = np.asarray(colors, np.float64), np.linspace(0, 1, np.shape(curves)[-1])
    out = x @ np.asarray(affine, np.float64)[..., :3].swapaxes(1, 2) + np.asarray(affine)[:, None, :, 3]
    for v, of_set in enumerate(curves):
        for o in range(3):
            out[v, :, o] += sum(np.interp(x[v, :, c].clip(0, 1), at, of_set[o, c]) for c in range(3))
    return out
