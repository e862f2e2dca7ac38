"""Interactive segmentation: computes a mask at the image's resolution from clicks, a box or a rough mask.

`segment` is one call; a `Session` reuses an image for several prompts. The default method is a small network that runs
in NumPy; `METHODS` contains it, by the name `DEFAULT`, and others, each with its requirements. docs/segment.md reports
their accuracy.
"""

from __future__ import annotations

from .._public import publish
from ._cutout import cutout
from ._methods import DEFAULT, METHODS, Method, trained
from ._onnx import salient, sam
from ._postures import Posture
from ._segment import Session, segment
from .heads import Head
from .masks import Masks

__all__ = [
    "DEFAULT",
    "METHODS",
    "Head",
    "Masks",
    "Method",
    "Posture",
    "Session",
    "cutout",
    "salient",
    "sam",
    "segment",
    "trained",
]

publish(globals())
