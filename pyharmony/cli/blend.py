"""`pyharmony blend`: puts one image into another, or does so for a list."""

from __future__ import annotations

from .._calls import BLEND
from .._jobs.task import Request
from ._console import Console
from ._options import makes


@makes(BLEND)
def blend(console: Console, request: Request, table: str | None) -> None:
    """Blend SRC into DST under MASK, and write OUT.

    For a person or an object use --harmonize, with --mode alpha, which keeps the colours; blend prints and textures.

    Files may be JPEG, PNG, WebP, TIFF, BMP or AVIF; - is stdin, or stdout for OUT. OUT has DST's depth, colour profile
    and metadata. Where MASK is black nothing changes.
    """
    from ._make import make

    make(request, table, console)
