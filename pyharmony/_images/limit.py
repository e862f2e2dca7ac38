"""Soft masks: how much they let an image change, and a warning of masks that are probably unintended."""

from __future__ import annotations

import numpy as np

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native
from .._warnings import warn
from ..errors import MaskWarning

_ROWS = 64  # the rows of a strip, so few that its temporaries stay in the cache
_FAINT = 0.04  # a pixel of the mask below this share of white is faint
_MOST = 0.5  # the share of faint pixels among those above 0 above which there is a warning


def is_hard(mask: NumpyArray) -> bool:
    """Returns whether a mask [h, w] of any dtype is zero or fully inside in every pixel."""
    if mask.dtype == np.bool_:
        return True
    for y in range(0, mask.shape[0], _ROWS):
        m = mask[y : y + _ROWS]
        # One more than the largest integer is zero.
        soft = (m + m.dtype.type(1)).max() > 1 if m.dtype.kind == "u" else ((m > 0) & (m < 1)).any()
        if soft:
            return False
    return True


def limit_change(src: NumpyArray, dst: NumpyArray, mask: NumpyArray, out: NumpyArray) -> None:
    """Limits out [h, w, C], where its mask [h, w] is soft, to at most mask * range from dst.

    The range is that of out's dtype; for floats the largest of 1, abs(src), abs(dst) and abs(src - dst). src and dst
    may have other dtypes, in the unit of out.
    """
    native.limit_change(
        _arrays.view(src, "src"),
        _arrays.view(dst, "dst"),
        _arrays.view(mask, "mask"),
        _arrays.view(out, "out", writable=True),
    )


def count_faint(mask: NumpyArray) -> tuple[int, int]:
    """Returns the number of pixels of a mask [h, w] above zero, and the number of faint ones."""
    inside = int(np.count_nonzero(mask))
    least = _FAINT * _arrays.VALUE_RANGE.get(mask.dtype.name, 1.0)
    # A comparison with an integer of the same dtype is ten times as fast.
    clear = mask > mask.dtype.type(least) if mask.dtype.kind == "u" else mask >= least
    return inside, inside - int(np.count_nonzero(clear))


def warn_of_faint(inside: int, faint: int, dtype: str, name: str, tiny: str = "") -> None:
    """Warns of a mask with small values that are probably meant to be zero, from the counts of `count_faint`.

    tiny: the reason if the values are small because of the scale, which makes the source smaller than a pixel.
    """
    white = _arrays.VALUE_RANGE.get(dtype, 1.0)
    if faint > _MOST * inside:
        if tiny:
            warn(f"scale: {tiny}, which is almost invisible; use a larger scale")
            return
        least = "0.04" if white == 1 else f"{int(_FAINT * white)}"
        remedy = f"`numpy.where({name} > {least}, {name}, 0)`" if name == "mask" else "an alpha of 0 there"
        warn(
            f"{name}: {faint / inside:.0%} of the pixels inside are below 4 %, where dst can change by 4 % only; if "
            f"they are meant to be black, pass {remedy}",
            MaskWarning,
        )
