"""Upscaling: images twice or four times as large, with more detail than an interpolation gives.

`super_resolve` is one call. Its default is the generator of a small SRGAN, run tile by tile in NumPy; `METHODS` names
it and the interpolations beside it. docs/upscaling.md says how good they are. Needs NumPy and Pillow.
"""

from ._methods import METHODS, Method, trained
from ._super_resolve import UpscalingInfo, super_resolve

__all__ = ["METHODS", "Method", "UpscalingInfo", "super_resolve", "trained"]


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
