"""`pyharmony bench`: how fast the blends are here, compared with other tools that are installed."""

from __future__ import annotations

from typing import Annotated

import typer

from .._calls import BLEND
from ._command import command
from ._console import Console
from ._options import words

_Mode = words("Mode", BLEND.modes)


@command("bench", verbose=True)
def bench(
    console: Console,
    op: Annotated[
        list[_Mode] | None, typer.Option(help="A blend; may be given again.  [default: all]")  # type: ignore[valid-type]
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="WxH,...", help="Sizes, or the names 480p, 720p, 1080p, 4K.")
    ] = "480p,1080p",
    against: Annotated[
        str | None, typer.Option(metavar="cv2,fpie", help="Other tools for the same job, those installed.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds, in which all run in turn.")] = 5,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads of everything.  [default: one a core]")
    ] = None,
) -> None:
    """Time the blends on this machine, arrays in and out.

    Everything runs in turn within a round; times are medians over the rounds. The peers of --op poisson are
    cv2.seamlessClone, and fpie with 1,000 iterations of its fastest backend; the other blends have none. The error is
    the distance to the exact answer on the mask, in 8-bit levels, that of pyharmony before it is rounded to 8 bits: its
    median, and its largest. seamlessClone changes pixels around the mask too, so there it is more than inaccuracy.
    """
    from ._timing import run

    run([mode.value for mode in op or _Mode], sizes, against, rounds, threads, console)
