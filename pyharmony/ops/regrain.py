"""Smoothing of a colour change where the image is smooth.

See `pyharmony.reference.regrain` for the definition. Not public: used by `pyharmony.color`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._native import native
from ..errors import DTypeError
from .color_map import color_image

__all__ = ["regrain"]


def regrain(image: Any, change: Any, inside: Any) -> NumpyArray:
    """Returns a change of image [H, W, 3], smoothed where image is smooth, as float32.

    change, that of a transfer, is [H, W, 3] of floats, 1 for white; where inside [H, W] bool is False it is returned.
    """
    a = color_image(image, "image")
    d = color_image(change, "change")
    if d.dtype.kind != "f":
        raise DTypeError(f"change: dtype {d.dtype.name}, expected floats")
    _checks.same_shape(d, "change", a, "image")
    m = _checks.mask(inside, "inside", *a.shape[:2])
    if m.dtype != bool:
        raise DTypeError(f"inside: dtype {m.dtype.name}, expected bool")
    out = np.array(d, np.float32, order="C")
    native.regrain(_arrays.view(a, "image"), _arrays.view(m, "inside"), _arrays.view(out, "change", writable=True))
    return out
