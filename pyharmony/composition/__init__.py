"""Composing: people and objects of some photographs put into another, cut out, placed, matched and blended in one call.

`compose` does it all; what it decided is a recipe, which gives the same picture again. It needs NumPy and Pillow.
"""

from ._compose import Composed, ComposeInfo, compose, contact_sheet
from ._recipe import read_recipe

__all__ = ["ComposeInfo", "Composed", "compose", "contact_sheet", "read_recipe"]


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
