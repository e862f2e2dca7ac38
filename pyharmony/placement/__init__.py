"""Placing: where in a picture an object that was cut out belongs, how large and how upright.

`place` takes the object and the picture, and gives back the best places, each with what speaks for it. It needs NumPy
and Pillow; without `people` it looks for them with `pyharmony.segment`.
"""

from ._place import Placement, contact_sheet, place
from ._roll import roll_of

__all__ = ["Placement", "contact_sheet", "place", "roll_of"]


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
