"""`pyharmony demo`: pictures of photos that come with the package."""

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
    """Put an edit back into its photograph, two people into other photos by clicks, and merge two photos.

    cup.png has the edit, roofs.png and pier.png are the composites, with layers (.ora) and recipes (.json), and
    visit.png is the merge, which needs OpenCV. together.jpg shows the composites beside their photos and pasted. The
    photos are in the folder photos, and each line that is printed has the command that makes the same picture.
    """
    from ._demo import run

    run(output, overwrite, console)
