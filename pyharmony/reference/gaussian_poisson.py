"""The Gaussian-Poisson equation in float64 NumPy.

Wu, Zheng, Zhang, Huang: GP-GAN: Towards Realistic High-Resolution Image Blending, 2019, eq. 4-6.

For each channel of an image of H x W pixels the blend x solves ``A x = b``:

* ``L`` is the 5-point Laplacian ``(L x)_i = sum_j (x_i - x_j)`` over the 4 neighbours j, and
  ``G`` the separable Gaussian ``[w1 w0 w1]``; both continue the image by half-sample mirroring.
* ``A = L + color_weight G``. With a map of weights ``c_i``, and ``g_ij`` the entries of G with
  row sum s: ``(A x)_i = (L x)_i + s c_i x_i - sum_j min(c_i, c_j) g_ij (x_i - x_j)``, which is
  symmetric, positive definite, keeps constants and is ``L + c G`` where the map is constant.
* ``b_i = sum_j F_ij + c_i base_i`` over the 4 neighbours, with the wanted difference
  ``F_ij = a (v_i - v_j) + (1 - a) (dst_i - dst_j)``, ``a = (mask_i + mask_j) / 2`` and v the
  guidance (src, or another choice of ``gradients``).
* With ``preserve_background`` only the pixels with mask > 0 are unknown; the others are dst.
* Where nothing fixes the mean (weight zero, no known pixel) it is that of base.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

#: Rec. 601 weights of the luma that "monochrome" gradients are taken from.
LUMA = (0.299, 0.587, 0.114)


def gaussian_taps(sigma: float, normalize: bool = True) -> tuple[float, float]:
    """The centre and side tap (w0, w1) of the 3-tap Gaussian.

    Without normalize the taps of the full kernel (cut at 4 sigma, sum one) are kept as they
    are, as GP-GAN's code does, so that w0 + 2 w1 < 1.
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


def edge_field(src: Float64, dst: Float64, mask: Float64, gradients: str = "source") -> tuple[Float64, Float64]:
    """The wanted differences x[:, 1:] - x[:, :-1] and x[1:] - x[:-1], [H, W-1, C] and [H-1, W, C]."""

    def mix(ds: Float64, dd: Float64, m0: Float64, m1: Float64) -> Float64:
        a = ((m0 + m1) / 2)[..., None]
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
        return a * v + (1 - a) * dd

    return (
        mix(np.diff(src, axis=1), np.diff(dst, axis=1), mask[:, :-1], mask[:, 1:]),
        mix(np.diff(src, axis=0), np.diff(dst, axis=0), mask[:-1], mask[1:]),
    )


def divergence(fh: Float64, fv: Float64) -> Float64:
    """sum_j F_ij of each pixel, [H, W, C]; differences across the image's border are zero."""
    h, w, c = fv.shape[0] + 1, fh.shape[1] + 1, fh.shape[2]
    b = np.zeros((h, w, c))
    b[:, :-1] -= fh
    b[:, 1:] += fh
    b[:-1] -= fv
    b[1:] += fv
    return b


def apply_operator(x: Float64, weight: Float64, w0: float, w1: float) -> Float64:
    """A x of the whole image; x [H, W, C], weight [H, W]."""
    p = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    c = np.pad(weight, 1, mode="symmetric")
    h, w = weight.shape
    y = ((w0 + 2 * w1) ** 2 * weight)[..., None] * x
    for i in (0, 1, 2):
        for j in (0, 1, 2):
            if (i, j) == (1, 1):
                continue
            difference = x - p[i : i + h, j : j + w]
            g = (w0 if i == 1 else w1) * (w0 if j == 1 else w1)
            y -= (np.minimum(weight, c[i : i + h, j : j + w]) * g)[..., None] * difference
            if i == 1 or j == 1:
                y += difference
    return y


def _conjugate_gradients(apply: Any, b: Float64, x: Float64) -> Float64:
    """Solves apply(x) = b of each channel to rounding error."""
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
        x = x + alpha * d
        r = r - alpha * ad
        rr, before = (r * r).sum((0, 1)), rr
        d = r + np.where(before == 0, 0, rr / np.where(before == 0, 1, before)) * d
    return x


def _cosines(n: int) -> tuple[Float64, Float64]:
    """The orthonormal DCT-II matrix [n, n] and cos(pi k / n)."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    t = np.cos(np.pi * k * (2 * i + 1) / (2 * n)) * np.sqrt(2 / n)
    t[0] /= np.sqrt(2)
    return t, np.cos(np.pi * np.arange(n) / n)


def gaussian_poisson(
    src: Any,
    dst: Any,
    mask: Any,
    base: Any,
    *,
    color_weight: Any = 1.0,
    sigma: float = 0.5,
    reference: bool = False,
    preserve_background: bool = False,
    gradients: str = "source",
) -> Float64:
    """Solves the equation above exactly.

    Args:
        src, dst, base: [H, W, C], any real dtype and unit.
        mask: [H, W] in [0, 1].
        color_weight: a number or a map [H, W], not negative.
        sigma: of the Gaussian, in pixels.
        reference: keep GP-GAN's taps, whose sum is below one.
        preserve_background: solve for the pixels with mask > 0 only.
        gradients: 'source', 'mixed', 'average' or 'monochrome'.

    Returns:
        [H, W, C] float64, in the unit of the inputs.
    """
    src, dst, base = (np.asarray(v, np.float64) for v in (src, dst, base))
    mask = np.asarray(mask, np.float64)
    h, w, _ = dst.shape
    weight = np.broadcast_to(np.asarray(color_weight, np.float64), (h, w))
    w0, w1 = gaussian_taps(sigma, normalize=not reference)
    b = divergence(*edge_field(src, dst, mask, gradients)) + weight[..., None] * base

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

    unknown = ((mask > 0) | np.full((h, w), not preserve_background))[..., None]
    known = np.where(unknown, 0.0, dst)
    rhs = np.where(unknown, b - apply_operator(known, weight, w0, w1), 0.0)
    start = np.where(unknown, base, 0.0)
    x = _conjugate_gradients(lambda u: np.where(unknown, apply_operator(u, weight, w0, w1), 0.0), rhs, start)
    return np.where(unknown, x, dst)
