"""Instance norm and a leaky ReLU, in float64.

Ulyanov, Vedaldi and Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization", 2016, equation 2,
without scale and shift: over the pixels of each plane of x [N, C, H, W], with the variance of all pixels (not of a
sample of them),

    h = (x - mean(x)) r,   r = 1 / sqrt(var(x) + eps),   y = act(h),   act(v) = v where v > 0, else negative_slope v.

From dh_i/dx_j = r (delta_ij - 1/M - h_i h_j / M), M pixels, with g = act'(h) dy and m() the mean of a plane,

    dx = r (g - m(g) - h m(g h)).

That is linear in dy and symmetric; for a cotangent u of dx, with D = m(u h), B = m(g h), and dr/dx_j = -r^2 h_j / M,

    ddy = act'(h) r (u - m(u) - h D),
    dx  = -r^2 (h (m(u g) - m(u) m(g) - 3 B D) + B (u - m(u)) + D (g - m(g))).

act is piecewise linear: its second derivative is zero.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def _mean(x: Array) -> Array:
    return x.mean((2, 3), keepdims=True)


def normalise(x: npt.ArrayLike, eps: float = 1e-5) -> tuple[Array, Array]:
    """Returns h [N, C, H, W] and r [N, C, 1, 1]."""
    x = np.asarray(x, np.float64)
    centred = x - _mean(x)
    r = 1 / np.sqrt(_mean(centred**2) + eps)
    return centred * r, r


def instance_norm(x: npt.ArrayLike, *, negative_slope: float = 1.0, eps: float = 1e-5) -> Array:
    """Returns y; a slope of 1 is no activation."""
    h, _ = normalise(x, eps)
    return np.where(h > 0, h, negative_slope * h)


def gradient(x: npt.ArrayLike, grad: npt.ArrayLike, *, negative_slope: float = 1.0, eps: float = 1e-5) -> Array:
    """Returns dL/dx for grad = dL/dy."""
    h, r = normalise(x, eps)
    g = np.where(h > 0, 1, negative_slope) * np.asarray(grad, np.float64)
    return r * (g - _mean(g) - h * _mean(g * h))


def second_gradient(
    x: npt.ArrayLike, grad: npt.ArrayLike, pull: npt.ArrayLike, *, negative_slope: float = 1.0, eps: float = 1e-5
) -> tuple[Array, Array]:
    """Returns the cotangents of grad and of x for the cotangent `pull` of `gradient`'s result."""
    h, r = normalise(x, eps)
    slope = np.where(h > 0, 1, negative_slope)
    g, u = slope * np.asarray(grad, np.float64), np.asarray(pull, np.float64)
    d, b = _mean(u * h), _mean(g * h)
    covariance = _mean(u * g) - _mean(u) * _mean(g)
    centred_u, centred_g = u - _mean(u), g - _mean(g)
    return slope * r * (centred_u - h * d), -(r**2) * (h * (covariance - 3 * b * d) + b * centred_u + d * centred_g)


def _of_batch(x: npt.ArrayLike) -> Array:
    """Returns [N, C, H, W] as one image [1, C, N H, W], whose planes are all values of a channel."""
    x = np.asarray(x, np.float64)
    return np.ascontiguousarray(x.transpose(1, 0, 2, 3)).reshape(1, x.shape[1], -1, x.shape[3])


def _of_images(x: Array, count: int) -> Array:
    return x.reshape(x.shape[1], count, -1, x.shape[3]).transpose(1, 0, 2, 3)


def batch_norm(
    x: npt.ArrayLike, scale: npt.ArrayLike, shift: npt.ArrayLike, *, negative_slope: float = 1.0, eps: float = 1e-5
) -> Array:
    """Returns act(scale h + shift) [N, C, H, W], with h over all images of the batch, and scale and shift [C].

    Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1.
    """
    h, _ = normalise(_of_batch(x), eps)
    v = np.asarray(scale)[:, None, None] * h + np.asarray(shift)[:, None, None]
    return _of_images(np.where(v > 0, v, negative_slope * v), len(np.asarray(x)))


def batch_norm_gradient(
    x: npt.ArrayLike, scale: npt.ArrayLike, shift: npt.ArrayLike, grad: npt.ArrayLike, *, negative_slope: float = 1.0,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Returns dL/dx, dL/dscale and dL/dshift for grad = dL/dy."""
    h, r = normalise(_of_batch(x), eps)
    scale = np.asarray(scale)[:, None, None]
    g = np.where(scale * h + np.asarray(shift)[:, None, None] > 0, 1, negative_slope) * _of_batch(grad)
    dx = scale * r * (g - _mean(g) - h * _mean(g * h))
    return _of_images(dx, len(np.asarray(x))), (g * h).sum((0, 2, 3)), g.sum((0, 2, 3))
