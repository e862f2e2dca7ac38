"""Placement: estimates the position, size, rotation and depth order of a cut-out object in a background.

`place` returns the best placements of an object in a background, each with the terms of its score. It needs NumPy and
Pillow; without `people` it detects them with `pyharmony.segment`.
"""

from .._public import publish
from ._place import Placement, contact_sheet, place
from ._roll import roll_of

__all__ = ["Placement", "contact_sheet", "place", "roll_of"]

publish(globals())
