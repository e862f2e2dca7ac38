"""Images and results as they are shown in notebooks."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np

from .._reprs import short

__all__ = ["WithInfo", "page", "png"]

#: The longer side in pixels of the images in a notebook.
_DISPLAY_SIDE = 1024


def png(pixels: Any) -> bytes:
    """Returns an image [H, W] or [H, W, C] of any image dtype as a PNG of 8 bit, reduced for display."""
    from PIL import Image

    values = np.asarray(pixels)
    if values.dtype != np.uint8:
        unit = np.iinfo(values.dtype).max if values.dtype.kind == "u" else 1.0
        values = np.rint(np.nan_to_num(values.astype(np.float32)) * (255 / unit)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
    image.thumbnail((_DISPLAY_SIDE, _DISPLAY_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def page(text: str, *images: bytes) -> str:
    """Returns PNG files and a text below them as HTML."""
    tags = [f'<img src="data:image/png;base64,{base64.b64encode(image).decode()}"/>' for image in images]
    return f"<div>{' '.join(tags)}<pre>{html.escape(text)}</pre></div>"


class WithInfo(tuple[Any, Any]):
    """A result and its info, shown in a notebook as an image and a line."""

    __slots__ = ()

    def __repr__(self) -> str:
        result, info = self
        return f"({short(result)}, {info!r})"

    def _repr_html_(self) -> str | None:
        """Returns the result as an image, and the info; None if the result is not one image."""
        result, info = self
        if isinstance(result, np.ndarray) and (result.ndim == 2 or (result.ndim == 3 and result.shape[2] in (1, 3, 4))):
            return page(repr(info), png(result))
        # A PIL image, or a Picture.
        png_of = getattr(result, "_repr_png_", None)
        return None if png_of is None else page(repr(info), png_of())
