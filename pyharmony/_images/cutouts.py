"""Judges whether the alpha of a photo cuts an object out, and where the object ends."""

from __future__ import annotations

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._warnings import warn
from ..errors import MaskWarning
from .limit import FAINT_ALPHA, mask_facts

#: An alpha above `FAINT_ALPHA` in this share of an image is that of a screenshot or a window, and cuts nothing out.
_OPAQUE = 0.98
#: The share of faint pixels among those above 0 from which on they do not belong to the object: networks leave such
#: values around it. The soft edge of hair has less.
_MAX_FAINT_SHARE = 0.1


def cuts_out(alpha: NumpyArray) -> bool:
    """Returns whether an alpha [h, w] cuts an object out: not if it is above 4 % nearly everywhere."""
    facts = mask_facts(alpha)
    return facts.inside - facts.faint < _OPAQUE * alpha.size


def cutout_alpha(alpha: NumpyArray, name: str) -> NumpyArray | None:
    """Returns the alpha [h, w] of a cut-out, 0 where it is faint; None if it cuts nothing out.

    name: the name of the image, for messages.
    """
    owner = f"the alpha of {name}"
    if alpha.dtype.kind == "f":
        _checks.mask(alpha, owner, *alpha.shape)
    return without_faint(alpha, owner) if cuts_out(alpha) else None


def without_faint(mask: NumpyArray, name: str) -> NumpyArray:
    """Returns a mask [h, w] that is 0 where it is below 4 %, with a warning, if much of it is; else the mask itself."""
    facts = mask_facts(mask)
    if facts.faint <= _MAX_FAINT_SHARE * facts.inside:
        return mask
    share = facts.faint / facts.inside
    warn(f"{name}: {share:.0%} of the pixels above 0 are below 4 %, and count as 0 around the object", MaskWarning)
    return np.where(mask < FAINT_ALPHA * _arrays.VALUE_RANGE.get(mask.dtype.name, 1.0), mask.dtype.type(0), mask)


def warn_of_opaque(name: str) -> None:
    """Warns that an alpha cuts nothing out, so that the object is segmented, or all of an image of one colour is it."""
    warn(f"{name}: its alpha is above 0 nearly everywhere and cuts nothing out, so the object is segmented")
