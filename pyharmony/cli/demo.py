"""`pyharmony demo`: the main job on pictures that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._console import Console, Debug, Json, LogJson, Quiet, Verbose


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder for the pictures; made where missing.")
    ] = Path("pyharmony-demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pictures of an earlier demo.")] = False,
    as_json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    log_json: LogJson = False,
    debug: Debug = False,
) -> None:
    """Put three cut-outs into photographs with every blend.

    Writes a picture for each pair and blend, before_after.jpg (pasted, and blended with the choice that suits) and
    sheet.png (every blend side by side).
    """
    console = Console("demo", as_json=as_json, verbose=verbose, quiet=quiet, log_json=log_json, debug=debug)
    with console.session():
        from ._sheets import run

        run(output, overwrite, console)
