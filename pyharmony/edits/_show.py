"""A picture of the changes of an edit, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import NumpyArray
from .._images.levels import image_levels
from ..errors import DTypeError, ShapeError
from ..typing import ImageLike
from ._apply import EditInfo
from ._planes import grey as grey_of

#: The brightness of what was not changed, and the colours of the frames of changes that were applied and left out.
_DIM_SHARE = 0.45
_APPLIED_COLOUR, _LEFT_OUT_COLOUR = (255, 210, 0), (150, 150, 150)
#: The height of the numbers, as a share of the shorter side, and their least height in pixels.
_TEXT_SHARE, _MIN_TEXT_HEIGHT = 0.04, 10


def show_changes(result: ImageLike, info: EditInfo | Sequence[EditInfo]) -> NumpyArray:
    """Returns a picture of the changes of an edit: the rest is grey and dark, and each change has its number.

    Args:
        result: the result of `apply_edit`.
        info: its EditInfo, or a list of them.

    Returns:
        [H, W, 3] uint8.

    Raises:
        DTypeError: info is not an EditInfo or a list of them.
        ShapeError: result has another size than the masks.

    Example:
        >>> from pyharmony import edits
        >>> photo = np.random.default_rng(0).integers(60, 200, (30, 40, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        >>> edit = photo.copy()
        >>> edit[100:160, 120:200] = (250, 30, 30)
        >>> result, info = edits.apply_edit(photo, edit, return_info=True)
        >>> edits.show_changes(result, info).shape
        (240, 320, 3)
    """
    from PIL import Image, ImageDraw, ImageFont

    infos: list[Any] = (
        [info] if isinstance(info, EditInfo) else list(info) if isinstance(info, (list, tuple)) else [info]
    )
    if not infos or not all(isinstance(one, EditInfo) for one in infos):
        raise DTypeError(f"info: {type(infos[0] if infos else info).__name__}, expected an EditInfo or a list of them")
    levels = image_levels(result, "result")
    mask = np.maximum.reduce([one.mask for one in infos])
    if levels.shape[:2] != mask.shape:
        sizes = f"{levels.shape[1]} x {levels.shape[0]} pixels, expected {mask.shape[1]} x {mask.shape[0]} as info.mask"
        raise ShapeError(f"result: {sizes}")
    grey = grey_of(levels)[..., None] * np.float32(_DIM_SHARE)
    share = mask[..., None] * np.float32(1 / 255)
    image = Image.fromarray(np.rint(grey + share * (levels - grey)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    size = max(_MIN_TEXT_HEIGHT, round(_TEXT_SHARE * min(image.size)))
    font: Any = ImageFont.load_default(size)
    for one in infos:
        for number, change in enumerate(one.changes):
            x, y, width, height = change.box
            colour = _APPLIED_COLOUR if change.applied else _LEFT_OUT_COLOUR
            draw.rectangle((x, y, x + width - 1, y + height - 1), outline=colour, width=max(1, size // 10))
            draw.text((x + size // 4, y + size // 8), str(number), fill=colour, font=font)
    return np.asarray(image)
