"""`pyharmony blend` and `edit`: put one image into another, or edit one by its gradients; one or a list."""

from __future__ import annotations

from .._calls import BLEND, EDIT
from ..runs._jobs.task import Request
from ._console import Console
from ._options import described_by


@described_by(BLEND)
def blend(console: Console, request: Request) -> None:
    """Blend SRC into DST under MASK, and write OUT.

    For a person or an object use --harmonize, with --mode alpha, which keeps the colours; blend prints and textures.
    OUT has DST's depth, colour profile and metadata. Where MASK is black nothing changes.

    Files may be JPEG, PNG, WebP, TIFF, BMP, AVIF or JPEG XL; - is stdin, or stdout for OUT.
    """
    from ._make import make

    make(request, console)


@described_by(EDIT)
def edit(console: Console, request: Request) -> None:
    """Edit IMAGE by its gradients under MASK, and write OUT.

    texture-flattening removes texture and keeps edges, illumination-change evens out the light, detail-boost sharpens,
    inpaint fills the mask smoothly from around it. Gradients are in 8-bit levels per pixel. OUT has IMAGE's depth,
    colour profile and metadata.

    - is stdin, or stdout for OUT.
    """
    from ._make import make

    make(request, console)
