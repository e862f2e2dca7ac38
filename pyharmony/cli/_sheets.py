"""Sheets of captioned images, to be looked at; cells of contact sheets are of images of any size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..runs._jobs.failures import writing
from ..runs._jobs.task import check_new

#: The side of the cells of a sheet, and the number of samples on it.
_CELL, SHEET_SAMPLES = 256, 8


def spread(count: int) -> list[int]:
    """Returns the indices of the samples that a sheet shows, spread over a data set of count samples."""
    return sorted({i * count // SHEET_SAMPLES for i in range(SHEET_SAMPLES)})


def check_file(path: Path | None, overwrite: bool, *, picture: bool = False) -> None:
    """Refuses a file that cannot be written, before the computation."""
    if path is None:
        return
    check_new(path, overwrite)
    with writing(str(path)):
        os.stat(path.parent)
    if picture:
        import numpy as np

        from .. import io

        io.check_target(io.Picture(np.zeros((1, 1, 3), np.uint8)), path)


def fitted(picture: Any, side: int = _CELL) -> Any:
    """Resizes an image [H, W, 3] or mask [H, W], uint8, to fit into a white square, keeping its aspect ratio."""
    import numpy as np
    from PIL import Image

    height, width = picture.shape[:2]
    scale = min(side / height, side / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    cell = Image.new("RGB", (side, side), "white")
    small = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB").resize(size, Image.Resampling.LANCZOS)
    cell.paste(small, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(cell)


def sheet(rows: list[list[tuple[str, Any]]], margin: int = 6, caption: int = 22) -> Any:
    """Returns rows of captioned images of equal size as a PIL image."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = rows[0][0][1].shape[:2]
    columns = max(len(row) for row in rows)
    page = Image.new(
        "RGB", (columns * (width + margin) + margin, len(rows) * (height + caption + margin) + margin), "white"
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for i, row in enumerate(rows):
        for j, (text, picture) in enumerate(row):
            x, y = margin + j * (width + margin), margin + i * (height + caption + margin)
            draw.text((x + 2, y + 2), text, fill="black", font=font)
            page.paste(Image.fromarray(picture), (x, y + caption))
    return page


def write_sheet(rows: list[list[tuple[str, Any]]], path: Path) -> None:
    """Writes rows of captioned cells as an image file, in the format of its suffix."""
    from .. import io

    with writing(str(path)):
        io.save(sheet(rows), path)
