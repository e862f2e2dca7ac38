"""Matching: the grain and the sharpness of a picture, given to an object that was put into it.

`match_grain` adds the noise that the object lacks, `match_sharpness` the blur. Both look at tiles of the picture around
the object and of the object itself, and need NumPy and Pillow.
"""

from ._grain import GrainInfo, match_grain
from ._sharpness import SharpnessInfo, match_sharpness

__all__ = ["GrainInfo", "SharpnessInfo", "match_grain", "match_sharpness"]


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
