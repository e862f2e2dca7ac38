"""Prompts of a user, checked for an image of which nothing but the size is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._network import Prompts
from ._segment import _prompts


def prompts_of(size: tuple[int, int], **given: Any) -> Prompts:
    """Returns what is pointed at in an image of a size (width, height); for the arguments see `segment`.

    Raises:
        ArgumentError, ShapeError, MaskError: as `segment` raises them.
    """
    named = {name: given.get(name) for name in ("points", "labels", "box", "scribble", "mask")}
    return _prompts(np.broadcast_to(np.uint8(0), (size[1], size[0], 3)), *named.values())
