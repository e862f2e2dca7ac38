"""Edits: puts what an AI edit changed back into its photograph, with every other pixel as it was.

`apply_edit` finds what was changed on purpose, undoes motion and drift of colours, and draws the changes at the size,
sharpness and grain of the photograph. `remove` takes something away without an AI. Both need NumPy and Pillow.
"""

from .._public import publish
from ._apply import EditChange, EditInfo, apply_edit
from ._remove import RemoveInfo, remove
from ._show import show_changes

__all__ = ["EditChange", "EditInfo", "RemoveInfo", "apply_edit", "remove", "show_changes"]

publish(globals())
