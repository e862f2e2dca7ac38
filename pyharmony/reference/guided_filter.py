"""The guided filter, in float64 NumPy.

He, Sun and Tang, "Guided Image Filtering", PAMI 2013, eq. 19 and 20 for three channels: in each window the target is an
affine function of the colours, by linear regression with a ridge; at a place the functions of its windows are averaged.
They are applied at a higher resolution, as in He and Sun, "Fast Guided Filter", 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def mean(x: Any, radius: int) -> Float64:
    """Returns the mean of the existing pixels of x [h, w] at most radius away along each axis."""
    x = np.asarray(x, np.float64)
    result = np.empty(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            result[i, j] = x[max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1].mean()
    return result


def fit(guide: Any, target: Any, radius: int, ridge: float) -> Float64:
    """Returns intercept and slopes [4, h, w] of a target [h, w] on a guide [h, w, 3], averaged over windows."""
    guide, target = np.asarray(guide, np.float64), np.asarray(target, np.float64)
    result = np.empty((4, *target.shape))
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            window = np.s_[max(0, i - radius) : i + radius + 1, max(0, j - radius) : j + radius + 1]
            colours, values = guide[window].reshape(-1, 3), target[window].reshape(-1)
            off = colours - colours.mean(0)
            slopes = np.linalg.solve(off.T @ off / len(off) + ridge * np.eye(3), off.T @ values / len(off))
            result[:, i, j] = values.mean() - slopes @ colours.mean(0), *slopes
    return np.stack([mean(plane, radius) for plane in result])


def enlarged(plane: Any, shape: tuple[int, int]) -> Float64:
    """Returns a plane [h, w] at a shape (H, W), bilinearly, with its border replicated."""
    result = np.asarray(plane, np.float64)
    for axis, count in enumerate(shape):
        last = result.shape[axis] - 1
        at = np.clip((np.arange(count) + 0.5) * result.shape[axis] / count - 0.5, 0, last)
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        result = (1 - share) * result.take(low, axis) + share * result.take(np.minimum(low + 1, last), axis)
    return result


def apply(picture: Any, plain: Any, functions: Any, contrast: float, share: Any = None) -> Float64:
    """Returns the mask [H, W] in [0, 1] of a picture [H, W, 3] of levels: the functions [4, h, w] of its colours.

    Without a share, plain [h, w] replaces them where it is certain: within 0.05 of 0 and 1, and in part within 0.1.
    """
    shape = picture.shape[0], picture.shape[1]
    base = enlarged(plain, shape)
    level, *slopes = (enlarged(plane, shape) for plane in functions)
    fine = level + sum(slope * picture[..., k] / 255 for k, slope in enumerate(slopes))
    if share is not None:
        fine = base + enlarged(share, shape) * (fine - base)
    fine = (fine - 0.5) * contrast + 0.5
    if share is None:
        fine += (np.abs(base - 0.5) * 20 - 9).clip(0, 1) * (base - fine)
    return np.asarray(fine.clip(0, 1))
