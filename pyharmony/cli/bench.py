"""`pyharmony bench`: the speed of the blends on this machine, compared with other tools that are installed."""

from __future__ import annotations

from typing import Annotated

import typer

from .._calls import BLEND
from ._command import command, option
from ._console import Console
from ._options import words

_Mode = words("Mode", BLEND.modes)


@command("bench", verbose=True)
def bench(
    console: Console,
    op: Annotated[
        list[_Mode] | None, typer.Option(help="A blend; repeatable.  [default: all]")  # type: ignore[valid-type]
    ] = None,
    sizes: Annotated[str, option("WxH,...", "Sizes, or the names 480p, 720p, 1080p, 4K.")] = "480p,1080p",
    against: Annotated[
        str | None, option("cv2,fpie", "Other tools to compare with.  [default: those installed]")
    ] = None,
    rounds: Annotated[int, option("N", "Rounds, in each of which all run in turn.", min=1)] = 5,
    threads: Annotated[int | None, option("N", "Threads of all tools.  [default: one per core]", min=1)] = None,
) -> None:
    """Time the blends on this machine, from arrays to arrays.

    All tools run in turn within a round; times are medians over the rounds. --mode poisson is compared with
    cv2.seamlessClone, and with fpie at 1,000 iterations of its fastest backend; the other blends have no peers. The
    error is the distance to the exact result on the mask, in 8-bit levels, that of pyharmony before rounding to 8 bits:
    median and largest. seamlessClone also changes pixels around the mask, so there it is more than inaccuracy.
    """
    from ._timing import run

    run([mode.value for mode in op or _Mode], sizes, against, rounds, threads, console)
