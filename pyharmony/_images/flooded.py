"""A warning of objects flooded by the colours around them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._arrays import NumpyArray
from .._native import native
from .._warnings import warn
from ..errors import FloodedWarning
from .region import Region


def warn_of_flooded(src: NumpyArray, out: NumpyArray, mask: NumpyArray, src_region: Region, box: Region) -> None:
    """Warns of an object whose colours changed differently at one side than at another, on a grid of samples.

    A gradient-domain blend adds the difference of both images at the contour, continued smoothly into the object. If
    that difference is the same all along the contour, the light of the object changes; if not, the background's colours
    flood it.

    src, mask: [h, w, C] in the unit of out, and [h, w], over src_region of out, the blend [H, W, C].
    box: the box of the mask's pixels above zero, in out.
    """
    arrays = {"src": src, "out": out, "mask": mask}
    views = [_arrays.view(array, name, copies=True) for name, array in arrays.items()]
    warn_of_levels(native.flooded_levels(*views, src_region.ends, box.ends), out.dtype)


def warn_of_levels(levels: float, dtype: npt.DTypeLike) -> None:
    """Warns of an object whose colours moved differently by these 8-bit levels of a dtype, if they are more than 0."""
    if levels > 0:
        # Floats may have any range, so that 255 levels need not be all of theirs.
        of_floats = np.dtype(dtype).kind == "f"
        amount = f"{levels / 255:.3g}, where 1 is white," if of_floats else f"{levels:.0f} of 255 levels"
        warn(
            f"the difference between src and dst varies along the contour, and their colours flood the "
            f"object: by {amount} (standard deviation) it became darker here and lighter there; "
            "alpha keeps its colours, and harmonize then changes its light uniformly",
            FloodedWarning,
        )
