"""Sheets of captioned images, to be looked at."""

from __future__ import annotations

from typing import Any

from .._arrays import Pixels


def sheet(rows: list[list[tuple[str, Pixels]]], margin: int = 6, caption: int = 22) -> Any:
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
