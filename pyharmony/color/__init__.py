"""Colour changes: transfers from another image, temperature, lookup tables and retouching.

Images are of any kind with three colours, as in `pyharmony.blend`, and so are masks, which are soft; the result has
the kind of the image. Where the mask is zero it equals the image bit for bit. All compute in float32 with NumPy only.
The conversions between spaces accept colours [..., 3] as arrays.
"""

from __future__ import annotations

from .._public import publish
from ._idt import idt, regrain
from ._lut import lut_mix, random_lut
from ._retouch import Retouching, brightness_contrast, retouch
from .gaussian import mkl, reinhard, xiao_ma
from .histogram import fecker, match_histogram
from .spaces import (
    lab_to_rgb,
    lalphabeta_to_rgb,
    linear_to_srgb,
    rgb_to_lab,
    rgb_to_lalphabeta,
    rgb_to_xyz,
    rgb_to_ycbcr,
    srgb_to_linear,
    xyy_to_xyz,
    xyz_to_rgb,
    xyz_to_xyy,
    ycbcr_to_rgb,
)
from .temperature import luminance_temperature, shift_temperature

__all__ = [
    "Retouching",
    "brightness_contrast",
    "fecker",
    "idt",
    "lab_to_rgb",
    "lalphabeta_to_rgb",
    "linear_to_srgb",
    "luminance_temperature",
    "lut_mix",
    "match_histogram",
    "mkl",
    "random_lut",
    "regrain",
    "reinhard",
    "retouch",
    "rgb_to_lab",
    "rgb_to_lalphabeta",
    "rgb_to_xyz",
    "rgb_to_ycbcr",
    "shift_temperature",
    "srgb_to_linear",
    "xiao_ma",
    "xyy_to_xyz",
    "xyz_to_rgb",
    "xyz_to_xyy",
    "ycbcr_to_rgb",
]

publish(globals())
