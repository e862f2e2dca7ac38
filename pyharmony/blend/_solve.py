"""The solves of the blends, with stand-ins."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._checks import SolveInfo
from .._arrays import NumpyArray
from ..ops import gaussian_poisson as gp
from ..ops.gaussian_poisson import Equation, gaussian_taps
from ._frame import as_float, write


def solve_poisson(src, dst, mask, out, *, gradients, color_weight, tolerance, base=None) -> SolveInfo:
    x = _exact(src, dst, as_float(mask), src if base is None else base, color_weight, 0.0, True, True, gradients)
    write(x, out)
    return SolveInfo("standin", 0, 0, 0, "cpu", 0, 0)


def solve_gaussian_poisson(
    src: NumpyArray,
    dst: NumpyArray,
    mask: NumpyArray,
    base: NumpyArray,
    out: NumpyArray,
    *,
    color_weight: float | NumpyArray,
    sigma: float,
    reference: bool,
    preserve_background: bool,
    tolerance: float,
    certify: bool,
) -> SolveInfo:
    """`pyharmony.ops.gaussian_poisson` of arguments that were checked already, into out."""
    w0, w1 = gaussian_taps(sigma, normalize=not reference)
    number = isinstance(color_weight, float)
    equation = Equation(
        src=src,
        dst=dst,
        mask=mask,
        base=base,
        weight=color_weight if number else float(np.min(color_weight)),
        weight_map=None if number else np.ascontiguousarray(color_weight, np.float32),
        w0=w0,
        w1=w1,
        pinned=preserve_background,
    )
    return gp.solve(equation, out, method="auto", tolerance=tolerance, certify=certify)


def _exact(src, dst, mask, base, weight, sigma, normalize, pinned, gradients):
    import scipy.sparse as sp
    from scipy.sparse.linalg import splu

    from ..reference import gaussian_poisson as ref

    if not pinned and np.ndim(weight) == 0:
        return ref.gaussian_poisson(src, dst, mask, base, color_weight=weight, sigma=sigma, reference=not normalize, gradients=gradients)
    src, dst, base = (np.asarray(v, np.float64) for v in (src, dst, base))
    h, w, c = dst.shape
    unknown = mask > 0 if pinned else np.ones((h, w), bool)
    wmap = np.broadcast_to(np.asarray(weight, np.float64), (h, w))
    if unknown.all() and not wmap.any():
        raise ValueError("singular")
    w0, w1 = ref.gaussian_taps(sigma, normalize)
    b = ref.divergence(*ref.edge_field(src, dst, np.asarray(mask, float), gradients)) + wmap[..., None] * base
    idx = np.arange(h * w).reshape(h, w)
    pad = np.pad(idx, 1, mode="symmetric")
    cpad = np.pad(wmap, 1, mode="symmetric")
    rows, cols, vals = [idx.ravel()], [idx.ravel()], [((w0 + 2 * w1) ** 2 * wmap).ravel()]
    for i in (0, 1, 2):
        for j in (0, 1, 2):
            if (i, j) == (1, 1):
                continue
            g = np.minimum(wmap, cpad[i : i + h, j : j + w]) * (w0 if i == 1 else w1) * (w0 if j == 1 else w1)
            if i == 1 or j == 1:
                g = g - 1
            rows += [idx.ravel(), idx.ravel()]
            cols += [idx.ravel(), pad[i : i + h, j : j + w].ravel()]
            vals += [-g.ravel(), g.ravel()]
    a = sp.csr_matrix((np.concatenate(vals), (np.concatenate(rows), np.concatenate(cols))), (h * w, h * w))
    u = unknown.ravel()
    x = dst.reshape(-1, c).copy()
    rhs = b.reshape(-1, c)[u] - a[u][:, ~u] @ x[~u]
    x[u] = splu(a[u][:, u].tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(rhs)
    return x.reshape(h, w, c)


class _Patched:  # stand-in
    def __init__(self, native):
        self._native = native

    def __getattr__(self, name):
        f = getattr(self._native, name)
        if name == "gaussian_poisson_chebyshev":
            return lambda *a, **k: f(*a, **{"rhs": None, **k})
        return f


gp.native = _Patched(gp.native)
