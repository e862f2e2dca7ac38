"""A warning of objects flooded by the colours around them."""

from __future__ import annotations

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from .._warnings import warn
from ..errors import FloodedWarning
from .planes import shrunk
from .region import Region

#: The smallest number of rows or columns, along the longer side, of the grid on which colours are compared.
_SAMPLES = 48
_LEAST = 32  # the smallest number of samples that is significant
_MARGIN = 2  # samples within this many steps of the grid of the contour are omitted
_THICK = 0.4  # an object with a smaller share of samples left is thin: the colours around it may fill it
# Scenes that look flooded, ten of the shared data and those of `examples/gallery.py`, have 27 levels or more and a
# share of 0.16 or more; of the others those with more than 17 levels are thin.
_LEVELS = 20.0  # the least standard deviation of the colours' moves of a flooded object, in 8-bit levels
_SHARE = 0.13  # the same, as a share of the range of the object's own colours
#: The range of colours goes from the first of these quantiles to the second.
_RANGE = 0.05, 0.95


def warn_of_flooded(src: NumpyArray, out: NumpyArray, mask: NumpyArray, src_region: Region, box: Region) -> None:
    """Warns of an object whose colours changed differently at one side than at another, on a grid of samples.

    A gradient-domain blend adds the difference of both images at the contour, continued smoothly into the object. If
    that difference is the same all along the contour, the light of the object changes; if not, the background's colours
    flood it.

    src, mask: [h, w, C] in the unit of out, and [h, w], over src_region of out, the blend [H, W, C].
    box: the box of the mask's pixels above zero, in out.
    """
    part = box.overlap(src_region)
    if part.empty:
        return
    step = max(1, max(part.shape) // _SAMPLES)
    grid, origin = np.s_[::step, ::step], src_region.origin
    inside = part.of(mask, origin)[grid] > VALUE_RANGE.get(mask.dtype.name, 1) / 2
    deep = shrunk(inside, _MARGIN, corners=False)
    if np.count_nonzero(deep) < max(_LEAST, _THICK * np.count_nonzero(inside)):
        return
    level = VALUE_RANGE[out.dtype.name] / 255
    own = part.of(src, origin)[grid].astype(np.float64) / level
    deviation = (own - part.of(out)[grid] / level)[deep].std(0).mean()
    low, high = np.quantile(own[inside], _RANGE, axis=0)
    # NaN is above nothing.
    if deviation >= _LEVELS and deviation >= _SHARE * (high - low).mean():
        warn(
            f"the difference between src and dst varies along the contour, and their colours flood the "
            f"object: by {deviation:.0f} of 255 levels (standard deviation) it became darker here and lighter there; "
            "alpha keeps its colours, and harmonize then changes its light uniformly",
            FloodedWarning,
        )
