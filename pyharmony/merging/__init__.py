"""Merging: combines photos of one scene with different people into one photo with all of them.

`merge` aligns the photos by features, selects the people to add to a base, and blends them. It needs NumPy, Pillow and
OpenCV.
"""

from .._public import publish
from ._base import MergeBase
from ._merge import MergedPart, MergedPhoto, MergeInfo, merge

__all__ = ["MergeBase", "MergeInfo", "MergedPart", "MergedPhoto", "merge"]

publish(globals())
