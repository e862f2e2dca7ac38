"""The guided filter: affine functions of an image's colours, fitted at a low resolution and applied at a high one.

See `pyharmony.reference.guided_filter` for the definition. Not public: used by `pyharmony.segmentation`.
"""

from __future__ import annotations

import numpy as np

from .. import _arrays
from .._arrays import Float32, Pixels
from .._native import native

__all__ = ["apply", "fit", "mean"]


def mean(x: Float32, radius: int) -> Float32:
    """Returns the mean of the existing pixels of x [h, w] at most radius away along each axis."""
    x, out = np.ascontiguousarray(x), np.empty(x.shape, np.float32)
    native.window_mean(_arrays.view(x, "x"), radius, _arrays.view(out, "out", writable=True))
    return out


def fit(guide: Float32, target: Float32, radius: int, ridge: float) -> Float32:
    """Returns an intercept and the slopes of three channels, [4, h, w]: the linear regression of a target on colours.

    It is fitted in the window of a radius around each place, and averaged over such windows.

    Args:
        guide: the colours [h, w, 3], in [0, 1].
        target: [h, w].
        radius: in pixels.
        ridge: the regularisation; the larger, the smaller are the slopes.
    """
    out = np.empty((4, *target.shape), np.float32)
    views = _arrays.view(guide, "guide"), _arrays.view(target, "target")
    native.guided_fit(*views, radius, ridge, _arrays.view(out, "fit", writable=True))
    return out


def apply(
    picture: Pixels, plain: Float32, functions: Float32, out: Pixels, *, contrast: float, share: Float32 | None = None
) -> None:
    """Writes a mask of a picture, 0 to 255: functions of its colours, all planes being enlarged to it bilinearly.

    Args:
        picture: [H, W, 3].
        plain: [h, w] in [0, 1], the mask where it is certain, near 0 and 1.
        functions: [4, h, w], the result of `fit`.
        out: [H, W].
        contrast: by which the result is multiplied about one half.
        share: [h, w], how much of the functions counts instead, 0 to 1; the rest is plain.
    """
    plain = np.ascontiguousarray(plain)
    native.guided_apply(
        _arrays.view(picture, "picture"), _arrays.view(plain, "plain"), _arrays.view(functions, "fit"),
        None if share is None else _arrays.view(share, "share"), contrast, _arrays.view(out, "out", writable=True),
    )  # fmt: skip
