"""`pyharmony demo`: composites and blends of images that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ._command import command, option, switch
from ._console import Console


@command("demo", verbose=True)
def demo(
    console: Console,
    output: Annotated[Path, option("DIR", "The folder for the images; created if missing.", "--output", "-o")] = Path(
        "pyharmony-demo"
    ),
    overwrite: Annotated[bool, switch("--overwrite", "Replace images of an earlier demo.")] = False,
) -> None:
    """Composite two people into other photos by one click each, and blend three cut-outs with every blend.

    colorado.png and pier.png are the composites, colorado.ora and pier.ora their layers, colorado.json and pier.json
    their recipes. together.jpg shows them next to their sources, with close-ups; before_and_after.webp shows
    pier.png before and after the match of light.

    Writes an image for each pair and blend, before_after.jpg (pasted, and blended with the most suitable blend) and
    sheet.png (all blends side by side).
    """
    from ._sheets import run

    run(output, overwrite, console)
