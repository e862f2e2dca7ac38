"""Harmonisation: giving an object the light and colour of the image that it was composited into.

`harmonize` is one call for networks, transfers of statistics and published baselines; `harmonize_frames` does the same
for the frames of a sequence. The result has the image's kind. docs/harmonize.md compares the methods.
"""

from __future__ import annotations

from .._public import publish
from ._harmonize import HarmonizeInfo, harmonize, harmonize_frames
from ._maps import ColorMap
from .names import METHODS

__all__ = ["METHODS", "ColorMap", "HarmonizeInfo", "harmonize", "harmonize_frames"]

publish(globals())
