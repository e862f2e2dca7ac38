"""Finds the main object and the people of a photo without a prompt."""

from __future__ import annotations

import numpy as np

from .. import _shipped
from .._arrays import Pixels
from .._warnings import warn
from ..errors import NO_REASON, ArgumentError
from ._methods import DEFAULT
from ._segment import Session
from .heads import Head
from .masks import Masks
from .people import SURE, around_person

__all__ = ["main_object", "people_in"]


def main_object(image: Pixels, name: str) -> Pixels:
    """Returns the mask [H, W] of the foremost person of an image [H, W, 3], or else of the object in its middle.

    An image of one colour is all object.
    name: the name of the image, for messages.
    """
    height, width = image.shape[:2]
    session = Session(image)
    head = session.foremost() if session.finds_people else None
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


def people_in(session: Session, people: Masks | None = None) -> tuple[Masks, tuple[Head, ...]]:
    """Returns the people of a session's image, and the heads of all, also of those without a mask.

    Where PYHARMONY_OPEN_DATA=1 leaves out the network that detects people there are none, which a warning says.
    people: those that were detected before; None: they are detected here.
    """
    why = "" if session.finds_people else _shipped.why_left_out(DEFAULT)
    if not why:
        return session.people() if people is None else people, session.heads(SURE)
    if people is None:
        warn(f"people: not detected, which needs the weights {DEFAULT}: {why}; pass their masks, or [] for nobody")
    return session._masks([], NO_REASON) if people is None else people, ()
