"""Shadows and reflections: the shadow that an object casts, and its mirror image in the ground under it.

`shadow` and `reflection` draw one or the other into an image, by the mask of an object; with return_info they also
return it as a layer. They need NumPy and Pillow.
"""

from .._public import publish
from ._reflection import ReflectionInfo, reflection
from ._shadow import ShadowInfo, shadow

__all__ = ["ReflectionInfo", "ShadowInfo", "reflection", "shadow"]

publish(globals())
