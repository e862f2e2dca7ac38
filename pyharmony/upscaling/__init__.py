"""Upscaling: enlarges images two or four times, with more detail than interpolation.

`super_resolve` is one call. Its default is the generator of a small SRGAN, run tile by tile in NumPy; `METHODS`
contains it and interpolations. docs/upscaling.md reports their accuracy. Needs NumPy and Pillow.
"""

from .._public import publish
from ._methods import METHODS, Method, trained
from ._super_resolve import UpscalingInfo, super_resolve

__all__ = ["METHODS", "Method", "UpscalingInfo", "super_resolve", "trained"]

publish(globals())
