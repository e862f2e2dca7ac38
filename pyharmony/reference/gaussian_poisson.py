"""The Gaussian-Poisson equation in float64 NumPy.

Wu, Zheng, Zhang, Huang: GP-GAN: Towards Realistic High-Resolution Image Blending, 2019, eq. 4-6.

For each channel of an image of H x W pixels the blend x solves ``A x = b``:

* ``L`` is the 5-point Laplacian ``(L x)_i = sum_j (x_i - x_j)`` over the 4 neighbours j, and
  ``G`` the separable Gaussian ``[w1 w0 w1]``; both extend the image by half-sample mirroring.
* ``A = L + color_weight G``. With a map of weights ``c_i``, and ``g_ij`` the entries of G with
  row sum s: ``(A x)_i = (L x)_i + s c_i x_i - sum_j min(c_i, c_j) g_ij (x_i - x_j)``, which is
  symmetric, positive definite, preserves constants and is ``L + c G`` for a constant map.
* ``b_i = sum_j F_ij + c_i base_i`` over the 4 neighbours, with the target difference
  ``F_ij = a (v_i - v_j) + (1 - a) (dst_i - dst_j)``, ``a = (mask_i + mask_j) / 2`` and v the
  guidance (src, or another choice of ``gradients``). With the contour 'full' a is the larger of
  mask_i and mask_j: an edge across the contour uses as much of src as its pixel inside, see `poisson`.
* With another ``gradient_kernel`` than 'normal' the differences ``v_i - v_j`` and ``dst_i - dst_j``
  are those of `derivative`; with a map of gains ``v_i - v_j`` is multiplied by the mean of both ends.
* With ``preserve_background`` only the pixels with mask > 0 are unknown; the others are dst.
* If nothing determines the mean (weight zero, no known pixel) the mean of x is that of base.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .._public import naming_keywords
from .luma import LUMA

__all__ = [
    "GRADIENT_KERNELS",
    "apply_operator",
    "conjugate_gradients",
    "derivative",
    "divergence",
    "edge_field",
    "gaussian_poisson",
    "gaussian_taps",
]

Float64 = npt.NDArray[np.float64]


def gaussian_taps(sigma: float, normalize: bool = True) -> tuple[float, float]:
    """Returns the centre and side tap (w0, w1) of the 3-tap Gaussian.

    Without normalize the taps of the full kernel (cut at 4 sigma, sum one) are used unchanged,
    as in GP-GAN's code, so that w0 + 2 w1 < 1.
    """
    radius = int(4 * sigma + 0.5)
    if sigma == 0 or radius == 0:
        return 1.0, 0.0
    q = np.arange(-radius, radius + 1)
    w = np.exp(-0.5 * (q / sigma) ** 2)
    w /= w.sum()
    w0, w1 = float(w[radius]), float(w[radius + 1])
    total = w0 + 2 * w1 if normalize else 1.0
    return w0 / total, w1 / total


#: For each gradient kernel: whether it averages centred differences over both ends of an edge, and the
#: weight of each neighbour in the three-tap mean across the edge.
GRADIENT_KERNELS = {
    "normal": (False, 0.0),
    "sobel": (True, 1 / 4),
    "scharr": (True, 3 / 16),
    "prewitt": (True, 1 / 3),
    "roberts": (False, 1 / 4),
}


def derivative(u: Float64, axis: int, kernel: str = "normal") -> Float64:
    """Returns the derivative of u [H, W, C] on the edges along an axis, one fewer than pixels; 1 for a ramp of slope 1.

    'sobel', 'scharr' and 'prewitt' average the centred differences of both pixels of an edge, one-sided at
    the border, after a mean of three across the edge, [1 2 1]/4, [3 10 3]/16 or [1 1 1]/3, with replicated
    borders. 'roberts' uses the edge's own difference and [1 2 1]/4 across: the mean of the two rows, or
    columns, above and below it, so that it is located on the edge.
    """
    centred, side = GRADIENT_KERNELS[kernel]
    across = [(1, 1) if k == 1 - axis else (0, 0) for k in range(3)]
    p = np.moveaxis(np.pad(u, across, mode="edge"), 1 - axis, 0)
    u = np.moveaxis((1 - 2 * side) * p[1:-1] + side * (p[:-2] + p[2:]), 0, 1 - axis)
    if not centred or u.shape[axis] < 2:
        return np.diff(u, axis=axis)
    slope = np.moveaxis(np.gradient(u, axis=axis), axis, 0)
    return np.moveaxis((slope[:-1] + slope[1:]) / 2, 0, axis)


def edge_field(
    src: Float64,
    dst: Float64,
    mask: Float64,
    gradients: str = "source",
    gradient_kernel: str = "normal",
    gain: Float64 | None = None,
    contour: str = "half",
) -> tuple[Float64, Float64]:
    """Returns the target differences x[:, 1:] - x[:, :-1] and x[1:] - x[:-1], [H, W-1, C] and [H-1, W, C].

    gain [H, W] multiplies the differences of the guidance.
    """

    def mix(ds: Float64, dd: Float64, m0: Float64, m1: Float64, g0: Float64, g1: Float64) -> Float64:
        a = (np.maximum(m0, m1) if contour == "full" else (m0 + m1) / 2)[..., None]
        if gradients == "mixed":
            stronger = (dd**2).sum(-1, keepdims=True) > (ds**2).sum(-1, keepdims=True)
            v = np.where(stronger, dd, ds)
        elif gradients == "average":
            v = (ds + dd) / 2
        elif gradients == "monochrome":
            c = ds.shape[-1]
            weights = np.array(LUMA) if c == 3 else np.full(c, 1 / c)
            v = np.broadcast_to((ds * weights).sum(-1, keepdims=True), ds.shape)
        else:
            v = ds
        return a * ((g0 + g1) / 2)[..., None] * v + (1 - a) * dd

    g = np.ones(mask.shape) if gain is None else gain
    (sh, dh), (sv, dv) = ([derivative(u, axis, gradient_kernel) for u in (src, dst)] for axis in (1, 0))
    return (
        mix(sh, dh, mask[:, :-1], mask[:, 1:], g[:, :-1], g[:, 1:]),
        mix(sv, dv, mask[:-1], mask[1:], g[:-1], g[1:]),
    )


def divergence(fh: Float64, fv: Float64) -> Float64:
    """Returns sum_j F_ij of each pixel, [H, W, C]; differences across the image's border are zero."""
    h, w, c = fv.shape[0] + 1, fh.shape[1] + 1, fh.shape[2]
    b = np.zeros((h, w, c))
    b[:, :-1] -= fh
    b[:, 1:] += fh
    b[:-1] -= fv
    b[1:] += fv
    return b


def apply_operator(x: Float64, weight: Float64, w0: float, w1: float) -> Float64:
    """Returns A x of the whole image; x [H, W, C], weight [H, W]."""
    return _operator(weight, w0, w1, x.shape[2])(x)


def _operator(weight: Float64, w0: float, w1: float, channels: int) -> Callable[[Float64], Float64]:
    """Returns the function that computes A x; what does not depend on x is computed once."""
    c = np.pad(weight, 1, mode="symmetric")
    h, w = weight.shape
    own = ((w0 + 2 * w1) ** 2 * weight)[..., None]
    neighbours = []
    for i in (0, 1, 2):
        for j in (0, 1, 2):
            g = (w0 if i == 1 else w1) * (w0 if j == 1 else w1)
            if (i, j) != (1, 1):
                share = np.minimum(weight, c[i : i + h, j : j + w]) * g
                neighbours.append((i, j, np.repeat(share[..., None], channels, 2)))

    def apply(x: Float64) -> Float64:
        p = np.empty((h + 2, w + 2, channels))
        p[1:-1, 1:-1], p[0, 1:-1], p[-1, 1:-1] = x, x[0], x[-1]
        p[:, 0], p[:, -1] = p[:, 1], p[:, -2]
        y: Float64 = own * x
        difference, weighted = np.empty((h, w, channels)), np.empty((h, w, channels))
        for i, j, share in neighbours:
            np.subtract(x, p[i : i + h, j : j + w], out=difference)
            y -= np.multiply(share, difference, out=weighted)
            if i == 1 or j == 1:
                y += difference
        return y

    return apply


def conjugate_gradients(apply: Any, b: Float64, x: Float64) -> Float64:
    """Solves apply(x) = b for each channel, to rounding error."""

    def times(factor: Float64, y: Float64) -> Float64:
        return (np.tile(factor, b.shape[1]) * y.reshape(b.shape[0], -1)).reshape(b.shape)

    r = b - apply(x)
    d = r.copy()
    rr = (r * r).sum((0, 1))
    stop = np.maximum(1e-28 * (b * b).sum((0, 1)), 1e-300)
    for _ in range(20 * max(b.shape[:2]) + 200):
        if (rr <= stop).all():
            break
        ad = apply(d)
        dad = (d * ad).sum((0, 1))
        alpha = np.where(rr > stop, rr / np.where(dad == 0, 1, dad), 0)
        x = x + times(alpha, d)
        r = r - times(alpha, ad)
        rr, before = (r * r).sum((0, 1)), rr
        d = r + times(np.where(before == 0, 0, rr / np.where(before == 0, 1, before)), d)
    return x


def _cosines(n: int) -> tuple[Float64, Float64]:
    """Returns the orthonormal DCT-II matrix [n, n] and cos(pi k / n)."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    t = np.cos(np.pi * k * (2 * i + 1) / (2 * n)) * np.sqrt(2 / n)
    t[0] /= np.sqrt(2)
    return t, np.cos(np.pi * np.arange(n) / n)


@naming_keywords
def gaussian_poisson(
    src: Any,
    dst: Any,
    mask: Any,
    base: Any,
    *,
    color_weight: Any = 1.0,
    sigma: float = 0.5,
    as_published: bool = False,
    preserve_background: bool = False,
    gradients: str = "source",
    gradient_kernel: str = "normal",
    gain: Any = None,
    contour: str = "half",
) -> Float64:
    """Solves the equation above exactly.

    Args:
        src, dst, base: [H, W, C], any real dtype and unit.
        mask: [H, W] in [0, 1].
        color_weight: a number or a map [H, W], not negative.
        sigma: the width of the Gaussian, in pixels.
        as_published: use GP-GAN's taps, whose sum is below one.
        preserve_background: solve for the pixels with mask > 0 only.
        gradients: 'source', 'mixed', 'average' or 'monochrome'.
        gradient_kernel: 'normal', 'sobel', 'scharr', 'prewitt' or 'roberts'.
        gain: [H, W], a factor of the guidance's differences.
        contour: 'half' or 'full', the share of the guidance at an edge.

    Returns:
        [H, W, C] float64, in the unit of the inputs.
    """
    src, dst, base = (np.asarray(v, np.float64) for v in (src, dst, base))
    mask = np.asarray(mask, np.float64)
    h, w, _ = dst.shape
    weight = np.broadcast_to(np.asarray(color_weight, np.float64), (h, w))
    w0, w1 = gaussian_taps(sigma, normalize=not as_published)
    gain = None if gain is None else np.asarray(gain, np.float64)
    b = divergence(*edge_field(src, dst, mask, gradients, gradient_kernel, gain, contour)) + weight[..., None] * base

    if not preserve_background and np.ptp(weight) == 0:
        (ty, cy), (tx, cx) = _cosines(h), _cosines(w)
        beta = weight[0, 0]
        eigenvalues = (4 - 2 * cy[:, None] - 2 * cx[None]) + beta * np.outer(w0 + 2 * w1 * cy, w0 + 2 * w1 * cx)
        singular = beta == 0
        if singular:
            eigenvalues[0, 0] = 1.0
        planes = np.moveaxis(b, -1, 0)
        x = np.moveaxis(ty.T @ (ty @ planes @ tx.T / eigenvalues) @ tx, 0, -1)
        return x + (base.mean((0, 1)) - x.mean((0, 1))) if singular else x

    unknown = np.repeat(((mask > 0) | np.full((h, w), not preserve_background))[..., None], dst.shape[2], 2)
    apply = _operator(weight, w0, w1, dst.shape[2])
    rhs = np.where(unknown, b - apply(np.where(unknown, 0.0, dst)), 0.0)
    start = np.where(unknown, base, 0.0)
    x = conjugate_gradients(lambda u: np.where(unknown, apply(u), 0.0), rhs, start)
    return np.where(unknown, x, dst)
