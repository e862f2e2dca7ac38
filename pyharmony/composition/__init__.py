"""Composition: subjects of some photos segmented, placed, matched and blended into another photo, in one call.

`compose` returns the composite and a recipe of all its decisions, which reproduces it. It needs NumPy and Pillow.
"""

from .._public import publish
from ._compose import Composed, ComposeInfo, compose, contact_sheet
from ._recipe import read_recipe
from .subjects import Subject

__all__ = ["ComposeInfo", "Composed", "Subject", "compose", "contact_sheet", "read_recipe"]

publish(globals())
