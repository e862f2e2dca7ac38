"""Edits: puts what an AI edit changed back into its photograph, with every other pixel as it was.

`apply_edit` finds what was changed on purpose, undoes motion and drift of colours, and draws the changes at the size,
sharpness and grain of the photograph. It needs NumPy and Pillow.
"""

from .._public import publish
from ._apply import EditChange, EditInfo, apply_edit
from ._show import show_changes

__all__ = ["EditChange", "EditInfo", "apply_edit", "show_changes"]

publish(globals())
