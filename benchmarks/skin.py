"""Skin in photographs, and the change of its hue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from photographs import Picture

from pyharmony import color
from pyharmony.harmonization._guards import SKIN_LEAST, is_skin

Bools = npt.NDArray[np.bool_]


def skin(image: Picture, mask: Picture) -> Bools:
    """Returns the pixels of an object classified as skin, [H, W]; none if they are too few."""
    inside = mask >= 128
    region: Bools = inside & is_skin(image.astype(np.float64))
    return region if region.sum() >= SKIN_LEAST * max(inside.sum(), 1) else np.zeros_like(region)


def hue(image: Picture, where: Bools) -> float:
    """Returns the hue angle in degrees of the mean a* and b* of CIELAB."""
    a, b = color.rgb_to_lab(image[where] / 255)[:, 1:].mean(0)
    return float(np.degrees(np.arctan2(b, a)))


def hue_apart(result: Picture, target: Picture, mask: Picture) -> float | None:
    """Returns the hue difference of skin from the target, 0 to 180 degrees; None if the target shows no skin."""
    where = skin(target, mask)
    if not where.any():
        return None
    return round(abs((hue(result, where) - hue(target, where) + 180) % 360 - 180), 3)
