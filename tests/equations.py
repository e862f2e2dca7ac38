"""Equations of gradients for the tests of solvers: hard images and masks, and solutions of the definition."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as sparse_linalg

from pyharmony import _arrays
from pyharmony.reference import gaussian_poisson as definition

from .shared import RANGE, image, to_dtype


def noise(seed: int, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """Returns noise over the whole range, which has the hardest gradients."""
    return image(np.random.default_rng(seed), shape, dtype)


def masks(h: int, w: int) -> dict[str, Any]:
    """Returns masks of many forms, some with little for a coarse grid to stand on."""
    y, x = np.mgrid[:h, :w]
    n = min(h, w)
    angle, radius = np.arctan2(y - h / 2, x - w / 2), np.hypot(y - h / 2, x - w / 2)
    rng = np.random.default_rng(0)
    blob = radius < n * (0.34 + 0.05 * np.sin(3 * angle + 1) + 0.03 * np.cos(7 * angle))
    star = radius < n * (0.25 + 0.18 * np.sin(9 * angle))
    comb = np.zeros((h, w), bool)
    comb[h // 8 : -(h // 8), w // 8 : -(w // 8)] = True
    comb[h // 8 : h // 2, w // 8 : -(w // 8) : 6] = False
    holes = blob.copy()
    holes[rng.integers(0, h, h * w // 200), rng.integers(0, w, h * w // 200)] = False
    corner = np.zeros((h, w), bool)
    corner[: h // 2 + 3, : w // 3 + 1] = True
    opposite = np.zeros((h, w), bool)
    opposite[h // 3 :, w // 4 :] = True
    pixel = np.zeros((h, w), bool)
    pixel[h // 2 + 1, w // 3 | 1] = True
    two = np.zeros((h, w), bool)
    two[3 : h // 3, 5 : w // 2] = True
    two[h // 2 :, w // 2 + 1 :] = True
    few = np.ones((h, w), bool)
    few[rng.integers(0, h, 5), rng.integers(0, w, 5)] = False
    return {
        "blob": blob, "star": star, "comb": comb, "holes": holes, "corner": corner, "opposite corner": opposite,
        "single pixel": pixel, "two components": two, "all but five pixels": few, "columns": x % 2 == 1,
        "noise": rng.random((h, w)) > 0.3,
    }  # fmt: skip


def exact(src: Any, dst: Any, mask: Any, gradients: str = "source", weight: Any = 0.0, base: Any = None,
          w0: float = 1.0, w1: float = 0.0, unknown: Any = None, contour: str = "half") -> Any:  # fmt: skip
    """Returns the solution of the definition's equation for one image [H, W, C], by sparse LU in float64."""
    src, dst = src.astype(np.float64), dst.astype(np.float64)
    mask = np.asarray(mask, np.float64)
    unknown = mask > 0 if unknown is None else unknown
    boundary = np.where(unknown[..., None], 0.0, dst)
    plane = np.broadcast_to(np.asarray(weight, np.float64), mask.shape)
    b = definition.divergence(*definition.edge_field(src, dst, mask, gradients, contour=contour))
    b = b + plane[..., None] * (src if base is None else base.astype(np.float64))
    rhs = (b - definition.apply_operator(boundary, plane, w0, w1))[unknown]
    x = dst.copy()
    if unknown.any():
        x[unknown] = sparse_linalg.splu(matrix(unknown, plane, w0, w1)).solve(rhs)
    return x


def matrix(unknown: Any, weight: Any, w0: float = 1.0, w1: float = 0.0) -> Any:
    """Returns A on the unknown pixels [H, W], assembled from the definition's links."""
    h, w = unknown.shape
    index = np.full((h, w), -1)
    index[unknown] = np.arange(int(unknown.sum()))
    i, j = np.nonzero(unknown)
    diagonal = (w0 + 2 * w1) ** 2 * weight[unknown]
    rows, columns, values = [], [], []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy == dx == 0:
                continue
            y, x = np.clip(i + dy, 0, h - 1), np.clip(j + dx, 0, w - 1)
            edge = float(dy == 0 or dx == 0)
            g = (w0 if dy == 0 else w1) * (w0 if dx == 0 else w1)
            link = edge - np.minimum(weight[i, j], weight[y, x]) * g
            link = np.where((y == i) & (x == j), 0.0, link)
            diagonal = diagonal + link
            near = unknown[y, x]
            rows.append(index[i, j][near])
            columns.append(index[y, x][near])
            values.append(-link[near])
    n = len(i)
    rows.append(np.arange(n))
    columns.append(np.arange(n))
    values.append(diagonal)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    result = sparse.csc_matrix(entries, (n, n))
    result.eliminate_zeros()  # those of corners without a Gaussian
    return result


def photo(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, smooth: bool = False) -> Any:
    """Returns noise, or smooth images, over the whole range of the dtype."""
    x = rng.random(shape)
    if smooth:
        i, j = np.ogrid[: shape[-3], : shape[-2]]
        x = (0.5 + 0.4 * np.sin(i / 9 + 1)[..., None] * np.cos(j / 13)[..., None]) + 0.1 * (x - 0.5)
    return to_dtype(x, dtype)


def mask_of(rng: np.random.Generator, h: int, w: int, dtype: str, kind: str = "soft", shift: int = 0) -> Any:
    """Returns a soft blob that touches the border, with values in [0, 1], exact zeros and exact ones."""
    if kind in ("empty", "full"):
        m = np.full((h, w), float(kind == "full"))
    else:
        i, j = np.ogrid[:h, :w]
        m = np.clip(1.5 - np.hypot((i - h * 0.3) / (h * 0.4 + 1), (j - w * (0.4 + shift)) / (w * 0.5 + 1)) * 1.5, 0, 1)
        m = np.where(rng.random((h, w)) < 0.05, 0, m)
    return m > 0.5 if dtype == "bool" else to_dtype(m, dtype)


def mask_value(mask: Any) -> Any:
    return mask.astype(np.float64) / RANGE.get(mask.dtype.name, 1.0)


def native_view(x: Any, writable: bool = False) -> Any:
    return None if x is None else _arrays.view(x, "x", writable=writable)


_solutions: dict[bytes, Any] = {}


def solution(src: Any, dst: Any, mask: Any, base: Any, weight: Any = 1.0, **options: Any) -> Any:
    """Returns the definition's solution, one for the kernels of all instruction sets."""
    arrays = [np.asarray(a) for a in (src, dst, mask, base, weight)]
    text = repr(([(a.shape, a.dtype.name) for a in arrays], options)).encode()
    key = hashlib.sha256(text + b"".join(a.tobytes() for a in arrays)).digest()
    if key not in _solutions:
        want = definition.gaussian_poisson(src, dst, mask_value(mask), base, color_weight=weight, **options)
        want.flags.writeable = False
        _solutions[key] = want
    return _solutions[key]
