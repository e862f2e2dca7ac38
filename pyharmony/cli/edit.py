"""`pyharmony edit`: edits one image by its gradients, or each of a list."""

from __future__ import annotations

from .._calls import EDIT
from .._jobs.task import Request
from ._console import Console
from ._options import makes


@makes(EDIT)
def edit(console: Console, request: Request, table: str | None) -> None:
    """Edit IMAGE by its gradients under MASK, and write OUT.

    texture-flattening removes texture and keeps edges, illumination-change evens out the light, detail-boost sharpens,
    inpaint fills the mask smoothly from around it. Gradients are in 8-bit levels per pixel. - is stdin, or stdout for
    OUT. OUT has IMAGE's depth, colour profile and metadata.
    """
    from ._make import make

    make(request, table, console)
