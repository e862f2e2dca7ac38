"""`pyharmony harmonize`: gives an object the light and colour of its image, for one image, a list or a folder."""

from __future__ import annotations

from pathlib import Path

from .._calls import HARMONIZE
from ..runs._jobs.task import Request
from ._console import Console
from ._options import described_by


@described_by(HARMONIZE)
def harmonize(console: Console, request: Request) -> None:
    """Give the object of IMAGE under MASK the light and colour of its surroundings, and write OUT.

    Where MASK is black nothing changes. OUT has IMAGE's size, depth, colour profile and metadata.

    - is stdin, or stdout for OUT.

    In a folder every image is harmonised into the folder OUT, under its own name: with the mask of the same stem in the
    folder MASK; without MASK, with that in the folder mask next to the folder composite inside IMAGE, or with
    NAME_mask.png next to NAME.jpg.
    """
    from ..runs._jobs.lists import folder_of
    from ._make import make, make_all

    image = request.inputs["image"]
    if image is not None and Path(image).is_dir() and request.table is None:
        tasks = folder_of(request, Path(image), request.inputs["mask"])
        make_all([({"name": name}, task) for name, task in tasks], request, console)
    else:
        make(request, console)
