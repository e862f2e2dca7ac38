"""Shadows and reflections: what an object keeps from the light, and its image in the ground that it stands on.

`shadow` and `reflection` take a picture and the mask of an object, and give back the picture with the one or the other;
with return_info, it is told as a layer of its own, too. They need NumPy and Pillow.
"""

from ._reflection import ReflectionInfo, reflection
from ._shadow import ShadowInfo, shadow

__all__ = ["ReflectionInfo", "ShadowInfo", "reflection", "shadow"]


def __dir__() -> list[str]:
    """Returns the public names, for editors and notebooks."""
    return sorted(__all__)
