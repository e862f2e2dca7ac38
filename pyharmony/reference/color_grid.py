"""An affine colour map, curves and a sliced bilateral grid, in float64.

A colour x is [3], red, green and blue with 1 for white; t is x clamped to [0, 1]. At pixel (px, py) of a frame
[H, W], with an affine map A [3, 4], curves C [3, 3, K] and a grid G [Gh, Gw, D, 3, 4],

    y_o = A_o [x; 1] + sum_c sum_k C[o, c, k] hat_k(t_c) + S_o [x; 1],   hat_k(t) = max(0, 1 - |(K - 1) t - k|),
    S = sum_{v, u, w} hat(v' - v) hat(u' - u) hat(w' - w) G[v, u, w],     hat(d) = max(0, 1 - |d|),
    u' = (px + 1/2) Gw / W - 1/2,  v' = (py + 1/2) Gh / H - 1/2,  w' = D luma(t) - 1/2,

each of the three clamped to [0, n - 1]: the values of the grid are at the centres of its cells. The grid and its slice
are those of Gharbi et al., "Deep Bilateral Learning for Real-Time Image Enhancement", 2017, section 3.3; luma is that
of ITU-R BT.601. y is clamped to be no further outside [0, 1] than x, and blended with x by the mask m:

    result = x + m (min(max(y, min(x, 0)), max(x, 1)) - x).

Without A the map is [I | 0], without C and G it adds zero: then y is x.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .luma import LUMA

Float64 = npt.NDArray[np.float64]

IDENTITY = np.eye(3, 4)


def hats(position: Float64, count: int) -> Float64:
    """Returns hat(position - i) for i below count, with position clamped to [0, count - 1]: [..., count]."""
    x = np.clip(position, 0, count - 1)
    return np.maximum(0, 1 - np.abs(x[..., None] - np.arange(count)))


def centres(first: int, pixels: int, frame: int, cells: int) -> Float64:
    """Returns the positions of the pixels from `first` on among cells that share a frame: [pixels]."""
    return (first + np.arange(pixels) + 0.5) * cells / frame - 0.5


def coefficients(x: Float64, grid: Float64, origin: tuple[int, int] = (0, 0), frame: Any = None) -> Float64:
    """Returns the slice S [H, W, 3, 4] of a grid [Gh, Gw, D, 3, 4] for colours x [H, W, 3]."""
    height, width = x.shape[:2]
    rows, columns, depth = grid.shape[:3]
    (x0, y0), (frame_height, frame_width) = origin, frame or (height, width)
    down = hats(centres(y0, height, frame_height, rows), rows)
    across = hats(centres(x0, width, frame_width, columns), columns)
    deep = hats(depth * (np.clip(x, 0, 1) @ LUMA) - 0.5, depth)
    return np.einsum("yv,xu,yxw,vuwoj->yxoj", down, across, deep, grid, optimize=True)


def color_grid(
    image: npt.NDArray[Any],
    mask: npt.NDArray[Any] | None = None,
    *,
    grid: npt.NDArray[Any] | None = None,
    affine: npt.NDArray[Any] | None = None,
    curves: npt.NDArray[Any] | None = None,
    origin: tuple[int, int] = (0, 0),
    frame: tuple[int, int] | None = None,
) -> Float64:
    """Returns the result [H, W, 3] for an image of floats, not rounded; mask [H, W] of floats."""
    x = np.asarray(image, np.float64)
    one = np.concatenate([x, np.ones_like(x[..., :1])], -1)
    y = one @ np.asarray(IDENTITY if affine is None else affine, np.float64).T
    if curves is not None:
        count = np.shape(curves)[2]
        y = y + np.einsum("yxck,ock->yxo", hats(np.clip(x, 0, 1) * (count - 1), count), np.asarray(curves, np.float64))
    if grid is not None:
        y = y + np.einsum("yxoj,yxj->yxo", coefficients(x, np.asarray(grid, np.float64), origin, frame), one)
    mapped = np.clip(y, np.minimum(x, 0), np.maximum(x, 1))
    m = np.ones(x.shape[:2]) if mask is None else np.asarray(mask, np.float64)
    return np.where(m[..., None] > 0, x + m[..., None] * (mapped - x), x)
