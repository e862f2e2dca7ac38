"""Merging: photographs of one place, in each of which other people stand, become one with all of them.

`merge` aligns the photographs by features, finds who is to be taken over, and blends. It needs NumPy, Pillow and
OpenCV.
"""

from ._base import MergeBase
from ._merge import MergedPart, MergedPhoto, MergeInfo, merge

__all__ = ["MergeBase", "MergeInfo", "MergedPart", "MergedPhoto", "merge"]


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
