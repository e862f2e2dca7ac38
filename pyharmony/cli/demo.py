"""`pyharmony demo`: the main job on images that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._command import command
from ._console import Console


@command("demo", verbose=True)
def demo(
    console: Console,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the images; made where missing.")
    ] = Path("pyharmony-demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace images of an earlier demo.")] = False,
) -> None:
    """Put an astronaut before a rocket, and three cut-outs into photographs with every blend.

    The astronaut is cut out by clicks, and composed at a place that is found: together.png, with its layers
    (together.ora) and its recipe (together.json); together.jpg shows both photographs beside it, before_and_after.webp
    is animated. It says what was given by hand.

    Writes an image for each pair and blend, before_after.jpg (pasted, and blended with the choice that suits) and
    sheet.png (every blend side by side).
    """
    from ._sheets import run

    run(output, overwrite, console)
