"""Spectral normalisation by power iteration, in float64.

Miyato et al., "Spectral Normalization for Generative Adversarial Networks", 2018, algorithm 1. The weight W with the
axis `dim` first, flattened to [rows, cols], is the matrix M; u [rows] and v [cols] are estimates of its first singular
vectors. With normalize(x) = x / max(|x|, eps), an iteration is

    'legacy'            v <- normalize(M^T u),  u <- normalize(M v)      torch.nn.utils.spectral_norm
    'parametrization'   u <- normalize(M v),  v <- normalize(M^T u)      torch.nn.utils.parametrizations.spectral_norm

and after n of them sigma = u^T M v; the normalised weight is W / sigma. In the gradient u and v are constants.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def matrix(weight: npt.ArrayLike, dim: int = 0) -> Array:
    """Returns the matrix [rows, cols] of a weight, with the axis dim first."""
    w = np.moveaxis(np.asarray(weight, np.float64), dim, 0)
    return w.reshape(w.shape[0], -1)


def normalize(x: Array, eps: float) -> Array:
    return x / max(float(np.sqrt(x @ x)), eps)


def iterate(m: Array, u: Array, v: Array, n: int = 1, eps: float = 1e-12, order: str = "legacy") -> tuple[Array, Array]:
    """Returns u and v after n power iterations; n = 0 in eval mode."""
    u, v = np.asarray(u, np.float64), np.asarray(v, np.float64)
    for _ in range(n):
        if order == "legacy":
            v = normalize(m.T @ u, eps)
            u = normalize(m @ v, eps)
        else:
            u = normalize(m @ v, eps)
            v = normalize(m.T @ u, eps)
    return u, v


def sigma(m: Array, u: Array, v: Array) -> float:
    return float(u @ m @ v)


def spectral_norm(
    weight: npt.ArrayLike, u: Array, v: Array, *, dim: int = 0, n: int = 1, eps: float = 1e-12, order: str = "legacy"
) -> tuple[Array, float, Array, Array]:
    """Returns W / sigma, sigma, and the new u and v."""
    m = matrix(weight, dim)
    u, v = iterate(m, u, v, n, eps, order)
    s = sigma(m, u, v)
    return np.asarray(weight, np.float64) / s, s, u, v


def gradient(
    weight: npt.ArrayLike, u: Array, v: Array, grad: npt.ArrayLike, grad_sigma: float = 0.0, *, dim: int = 0
) -> Array:
    """Returns dL/dW for G = dL/d(W / sigma) and g = dL/dsigma, u and v being constants.

    sigma = u^T M v has the gradient u v^T, and W / sigma that of a quotient:
    G / sigma + (g - <G, W> / sigma^2) u v^T.
    """
    w, g = np.asarray(weight, np.float64), np.asarray(grad, np.float64)
    s = sigma(matrix(w, dim), u, v)
    shape = np.moveaxis(w, dim, 0).shape
    outer = np.moveaxis(np.outer(u, v).reshape(shape), 0, dim)
    return g / s + (grad_sigma - float(np.sum(g * w)) / s**2) * outer
