"""Cutting out: an object that is clicked, boxed or roughly masked becomes a mask as fine as the picture.

`segment` is one call; a `Session` keeps a picture that is clicked again and again. The default is a small network that
runs in NumPy; `METHODS` has it, by the name `DEFAULT`, and others, each with what it needs. docs/segment.md says how
good they are.
"""

from __future__ import annotations

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


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
