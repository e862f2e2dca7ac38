"""Contact sheets of pictures of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._failures import writing

#: Sides of the cells of a sheet.
_CELL = 256


def fitted(picture: Any) -> Any:
    """A picture [H, W, 3] or mask [H, W], uint8, inside a cell, its shape kept."""
    import numpy as np
    from PIL import Image

    height, width = picture.shape[:2]
    scale = min(_CELL / height, _CELL / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    cell = Image.new("RGB", (_CELL, _CELL), "white")
    small = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    cell.paste(small, ((_CELL - size[0]) // 2, (_CELL - size[1]) // 2))
    return np.asarray(cell)


def write_sheet(rows: list[list[tuple[str, Any]]], path: Path) -> None:
    """Rows of captioned cells as a picture file, by its name."""
    from .. import io
    from ._sheets import sheet

    with writing(str(path)):
        io.save(sheet(rows), path)
