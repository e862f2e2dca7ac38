"""The descriptions of the calls on images: each option once, with its type, range, default and help.

The commands, the requests to the service and its OpenAPI, the fields of the page, the checks of recipes and the
reference are generated from them. Nothing here loads NumPy, so that the help of a command is fast.
"""

from .composites import ADJUST, APPLY_EDIT, COMPOSE, MERGE, PLACE, REFLECTION, REMOVE, SEGMENT, SHADOW, SUPER_RESOLVE
from .images import BLEND, BLENDS, EDIT, FIELDS, FLAGS, HARMONIZE, HINTS, NETLESS, QUALITY, Style, harmonize_methods
from .option import CURVE, IMAGE, Call, Curve, File, Group, Name, Numbers, Option, flag, on_or_off, points_of

__all__ = [
    "ADJUST", "APPLY_EDIT", "BLEND", "BLENDS", "COMPOSE", "CURVE", "EDIT", "FIELDS", "FLAGS", "HARMONIZE", "HINTS",
    "IMAGE", "MERGE", "NETLESS", "PLACE", "QUALITY", "REFLECTION", "REMOVE", "SEGMENT", "SHADOW", "SUPER_RESOLVE",
    "Call", "Curve", "File", "Group", "Name", "Numbers", "Option", "Style", "flag", "harmonize_methods",
    "on_or_off", "points_of",
]  # fmt: skip
