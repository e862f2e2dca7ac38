"""Soft masks: how much they let an image change, and a warning of masks that are probably unintended."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native
from .._warnings import warn
from ..errors import MaskWarning
from .region import Region

FAINT_ALPHA = 0.04  # a pixel of the mask below this share of white is faint
MAX_FAINT_SHARE = 0.5  # the share of faint pixels among those above 0 above which there is a warning


@dataclass(frozen=True)
class MaskFacts:
    """The properties of a mask that a blend needs.

    Attributes:
        box: the smallest region with every pixel above zero; empty if there is none.
        soft: whether a pixel is neither zero nor fully inside.
        inside: the number of pixels above zero.
        faint: the number of them below 4 % of fully inside.
        largest: the largest value of a mask of integers; 0 for other dtypes.
    """

    box: Region
    soft: bool
    inside: int
    faint: int
    largest: int


def mask_facts(mask: NumpyArray) -> MaskFacts:
    """Returns the facts of a mask [h, w] of any dtype, in one pass over it."""
    *ends, soft, inside, faint, largest = native.mask_facts(_arrays.view(mask, "mask", copies=True), FAINT_ALPHA)
    return MaskFacts(Region(*ends), soft, inside, faint, largest)


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


def warn_of_faint(inside: int, faint: int, dtype: str, name: str, tiny: str = "") -> None:
    """Warns of a mask with small values that are probably meant to be zero, from its `MaskFacts`.

    tiny: the reason if the values are small because of the scale, which makes the source smaller than a pixel.
    """
    white = _arrays.VALUE_RANGE.get(dtype, 1.0)
    if faint > MAX_FAINT_SHARE * inside:
        if tiny:
            warn(f"scale: {tiny}, which is almost invisible; use a larger scale")
            return
        least = "0.04" if white == 1 else f"{int(FAINT_ALPHA * white)}"
        remedy = f"`numpy.where({name} > {least}, {name}, 0)`" if name == "mask" else "an alpha of 0 there"
        warn(
            f"{name}: {faint / inside:.0%} of the pixels inside are below 4 %, where dst can change by 4 % only; if "
            f"they are meant to be black, pass {remedy}",
            MaskWarning,
        )
