"""Matching: adapts the grain and the sharpness of an object to the image around it.

`match_grain` adds the missing noise to the object, `match_sharpness` the missing blur. Both are estimated from tiles
around the object and inside of it. They need NumPy and Pillow.
"""

from .._public import publish
from ._grain import GrainInfo, match_grain
from ._sharpness import SharpnessInfo, match_sharpness

__all__ = ["GrainInfo", "SharpnessInfo", "match_grain", "match_sharpness"]

publish(globals())
