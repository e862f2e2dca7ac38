"""Shadows: what an object keeps from the light, drawn on the ground that it stands on.

`shadow` takes a picture and the mask of an object, and gives back the picture with the shadow; with return_info, the
shadow as a layer of its own, too. It needs NumPy and Pillow.
"""

from ._shadow import ShadowInfo, shadow

__all__ = ["ShadowInfo", "shadow"]
