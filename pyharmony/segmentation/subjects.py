"""The main object of a photo, for which there is no prompt."""

from __future__ import annotations

import numpy as np

from .._arrays import Pixels
from ..errors import ArgumentError
from ._segment import Session
from .people import around_person

__all__ = ["main_object"]


def main_object(image: Pixels, name: str) -> Pixels:
    """Returns the mask [H, W] of the foremost person of an image [H, W, 3], or else of the object in its middle.

    An image of one colour is all object.
    name: the name of the image, for messages.
    """
    height, width = image.shape[:2]
    session = Session(image)
    head = session.foremost()
    if head is not None:
        masks = session.segment(points=head.clicks(height), box=around_person(head, width, height))
    else:
        masks = session.segment(points=((width - 1) / 2, (height - 1) / 2))
    if not len(masks) and masks.reason.code == "one-colour":
        return np.full((height, width), 255, np.uint8)
    if not len(masks):
        hint = "expected a mask, or an alpha that cuts an object out"
        raise ArgumentError(f"{name}: no person was found, and {masks.reason}", code="nobody", hint=hint)
    return masks.mask
