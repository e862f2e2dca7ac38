"""Exact answers and certified errors, in float64 NumPy and SciPy, in 8-bit levels.

Nothing here calls the measured code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from pyharmony.reference.gaussian_poisson import apply_operator, divergence, edge_field, gaussian_taps

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def eigenvalues(height: int, width: int, color_weight: float, w0: float, w1: float) -> Float64:
    """Returns the eigenvalues of L + color_weight G in the DCT-II basis, [H, W]."""
    cy, cx = (np.cos(np.pi * np.arange(n) / n) for n in (height, width))
    return (4 - 2 * cy[:, None] - 2 * cx[None]) + color_weight * np.outer(w0 + 2 * w1 * cy, w0 + 2 * w1 * cx)


def right_hand_side(src: Any, dst: Any, mask: Any, base: Any, color_weight: float) -> Float64:
    src, dst, mask, base = (np.asarray(v, np.float64) for v in (src, dst, mask, base))
    return divergence(*edge_field(src, dst, mask)) + color_weight * base


def gaussian_poisson_dct(
    src: Any, dst: Any, mask: Any, base: Any, *, color_weight: float = 1, sigma: float = 0.5, as_published: bool = False
) -> Float64:
    """Returns the whole-image solve by a float64 cosine transform, [H, W, C]; as_published: with GP-GAN's taps."""
    b = right_hand_side(src, dst, mask, base, color_weight)
    p = eigenvalues(*b.shape[:2], color_weight, *gaussian_taps(sigma, normalize=not as_published))
    b = scipy.fft.dctn(b, axes=(0, 1), norm="ortho", workers=2, overwrite_x=True)
    b /= p[..., None]
    return scipy.fft.idctn(b, axes=(0, 1), norm="ortho", workers=2, overwrite_x=True)


def certified_gaussian_poisson(
    x: Any, b: Float64, color_weight: float, sigma: float = 0.5, *, as_published: bool = False
) -> float:
    """Returns a bound of the error of x: the residual over the row excess of A, see docs/gaussian_poisson.md.

    A = L + c G is strictly diagonally dominant by rows for c w0 w1 <= 1, with the excess below.
    """
    w0, w1 = gaussian_taps(sigma, normalize=not as_published)
    if color_weight * w0 * w1 > 1:
        raise ValueError(f"color_weight: {color_weight}, the bound needs color_weight w0 w1 <= 1")
    excess = color_weight * (w0**2 + 4 * w0 * w1 - 4 * w1**2)
    weight = np.full(b.shape[:2], float(color_weight))
    x = np.asarray(x)
    residual = 0.0
    for c in range(b.shape[2]):
        ax = apply_operator(x[..., c : c + 1].astype(np.float64), weight, w0, w1)[..., 0]
        residual = max(residual, float(np.abs(b[..., c] - ax).max()))
    return residual / excess


def poisson_matrix(mask: Mask) -> Any:
    """Returns L restricted to the mask, CSC [n, n] with the pixels in row-major order."""
    import scipy.sparse as sp

    h, w = mask.shape
    index = np.full((h, w), -1, np.int32)
    index[mask] = np.arange(np.count_nonzero(mask), dtype=np.int32)
    diagonal = np.zeros((h, w))
    rows, columns = [], []
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        diagonal[near] += 1
        diagonal[far] += 1
        both = mask[near] & mask[far]
        rows += [index[near][both], index[far][both]]
        columns += [index[far][both], index[near][both]]
    i, j = np.concatenate(rows), np.concatenate(columns)
    n = np.count_nonzero(mask)
    return (sp.csc_matrix((np.full(i.size, -1.0), (i, j)), (n, n)) + sp.diags(diagonal[mask])).tocsc()


def poisson_right_hand_side(src: Any, dst: Any, mask: Mask, *, contour: str = "mean") -> Float64:
    """Returns b of the Dirichlet problem with the known neighbours moved in, [n, C].

    contour: 'mean' uses half of each gradient on an edge that crosses the mask's contour, as
    pyharmony does; 'source' uses the source's, as Perez et al. and most tools do.
    """
    src, dst = np.asarray(src, np.float64), np.asarray(dst, np.float64)
    b = np.zeros_like(dst)
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        m0, m1 = mask[near], mask[far]
        a = ((m0 | m1) if contour == "source" else (m0.astype(np.float64) + m1) / 2)[..., None]
        f = a * (src[far] - src[near]) + (1 - a) * (dst[far] - dst[near])
        b[near] += (m0 & ~m1)[..., None] * dst[far] - f
        b[far] += (m1 & ~m0)[..., None] * dst[near] + f
    return b[mask]


def poisson_rectangle(src: Any, dst: Any, *, contour: str = "mean") -> Float64:
    """Solves the Dirichlet problem on all but the outermost ring, by a float64 sine transform, [H, W, C]."""
    h, w, c = dst.shape
    mask = np.zeros((h, w), bool)
    mask[1:-1, 1:-1] = True
    b = poisson_right_hand_side(src, dst, mask, contour=contour).reshape(h - 2, w - 2, c)
    cy, cx = (np.cos(np.pi * np.arange(1, n - 1) / (n - 1)) for n in (h, w))
    b = scipy.fft.dstn(b, type=1, axes=(0, 1), norm="ortho", workers=2, overwrite_x=True)
    b /= (4 - 2 * cy[:, None] - 2 * cx[None])[..., None]
    x = np.array(dst, np.float64)
    x[1:-1, 1:-1] = scipy.fft.idstn(b, type=1, axes=(0, 1), norm="ortho", workers=2, overwrite_x=True)
    return x


def barrier(mask: Mask) -> Float64:
    """Returns w >= 0 with (L w)_i = 1 at every pixel of a mask that does not touch the border, [H, W].

    A quadratic around the mask's bounding box that is positive on it and its neighbours, so by
    the maximum principle |x - x*| <= max|b - L x| w for the Dirichlet problem.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if rows[0] == 0 or columns[0] == 0 or rows[-1] == mask.shape[0] - 1 or columns[-1] == mask.shape[1] - 1:
        raise ValueError("mask: touches the image's border, where the quadratic is no barrier")
    y0, x0 = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
    y, x = (np.arange(mask.shape[0]) - y0)[:, None], (np.arange(mask.shape[1]) - x0)[None]
    near = np.pad(mask, 1)
    near = near[1:-1, 1:-1] | near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:]
    best = None
    for aspect in (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0):  # weight of x^2 beside y^2
        q = (y * y + aspect * x * x) / (2 + 2 * aspect)
        w = q[near].max() - q
        if best is None or w[mask].max() < best[mask].max():
            best = w
    assert best is not None
    return best


def certified_poisson(x: Any, src: Any, dst: Any, mask: Mask, *, contour: str = "mean") -> float:
    """Returns a bound of the largest error of x on the mask: the largest residual times the barrier."""
    x = np.asarray(x, np.float64)
    y = np.zeros_like(x)
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        m0, m1 = mask[near][..., None], mask[far][..., None]
        y[near] += x[near] - np.where(m1, x[far], 0)
        y[far] += x[far] - np.where(m0, x[near], 0)
    r = np.abs(poisson_right_hand_side(src, dst, mask, contour=contour) - y[mask]).max()
    return float(r * barrier(mask)[mask].max())


def distance(x: Any, y: Any, where: Mask | None = None) -> float:
    """Returns the largest difference of two images in the same unit."""
    d = np.abs(np.asarray(x, np.float64) - np.asarray(y, np.float64))
    return float((d if where is None else d[where]).max())
