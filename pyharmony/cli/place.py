"""`pyharmony place`: finds where a person or an object belongs in a picture."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from .._jobs.failures import Code, Failure, reading, spoken
from .._jobs.task import STREAM
from ._command import Overwrite, command
from ._console import Console
from ._images import check_image, named, read_image, write_image

_TEXTS = {"no-mask": "not given, and SUBJECT has no transparency"}
_HINTS = {"no-mask": "`pyharmony segment --crop` makes a cut-out that has"}


@command("place", verbose=True)
def place(
    console: Console,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The picture with the person or the object.")],
    background: Annotated[str, typer.Argument(metavar="BACKGROUND", help="The picture that they belong in.")],
    mask: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where they are in SUBJECT.", show_default="its alpha")
    ] = None,
    top: Annotated[int, typer.Option(metavar="K", help="How many places are wanted.")] = 5,
    head: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="The rectangle of their head.", show_default="found")
    ] = None,
    thing: Annotated[bool, typer.Option("--thing", help="It is no person.")] = False,
    flip: Annotated[bool, typer.Option("--flip", help="Try it mirrored as well.")] = False,
    roll: Annotated[
        float | None, typer.Option(help="Degrees clockwise to turn it by.", show_default="as upright as BACKGROUND")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a sheet of all places, with what speaks for each.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find where what is cut out of SUBJECT belongs in BACKGROUND, and print the best places.

    People come to stand among the people of BACKGROUND, as large as they are there, with no face covered.
    """
    import pyharmony
    from pyharmony import io, placement

    if thing and head is not None:
        raise Failure("--thing and --head do not go together", Code.USAGE)
    given: dict[str, Any] = {"k": top, "flip": flip, "roll": roll, "person": False if thing else None}
    if head is not None:
        given["head"] = _rectangle(head)
    if explain is not None and explain != STREAM:
        check_image(explain, overwrite)
    elif explain is not None and console.as_json:
        raise Failure("--json and --explain - both want stdout; write to a file", Code.USAGE)
    start = time.perf_counter()
    own, scene = read_image(subject), read_image(background)
    with spoken(console.words({"k": "--top"}, texts=_TEXTS, hints=_HINTS)), reading(f"--mask: {mask}"):
        found = pyharmony.place(own, scene, mask=mask, **given)
        sheet = None if explain is None else placement.contact_sheet(own, scene, found, mask=mask)
    if explain is not None and sheet is not None:
        write_image(io.Picture(sheet), explain, overwrite)
        console.note(f"wrote {named(explain)}")
    seconds = time.perf_counter() - start
    if found[0].reason:
        console.warn(f"{background}: {found[0].reason}; this is the best place that there is")
    places = [
        {
            "x": round(one.x, 2), "y": round(one.y, 2), "scale": round(one.scale, 4), "angle": round(one.angle, 2),
            "flip": one.flip, "z": one.z, "behind": list(one.behind), "score": one.score, "terms": dict(one.terms),
            "box": [round(v, 1) for v in one.box], "reason": one.reason,
        }
        for one in found
    ]  # fmt: skip
    for i, one in enumerate([] if console.as_json else found, 1):
        x, y, wide, high = one.box
        how = f"scale {one.scale:.2f}" + (f", turned by {one.angle:.1f} degrees" if one.angle else "")
        how += (", mirrored" if one.flip else "") + (f", behind {one.z}" if one.z else "")
        console.say(f"{i}. score {one.score:.2f}: {wide:.0f} x {high:.0f} at {x:.0f},{y:.0f}, {how}")
    console.result(status="ok", places=places, explain=explain, seconds=round(seconds, 3))


def _rectangle(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4:
        raise Failure(f"--head: {text!r}, expected X,Y,W,H, such as 10,20,300,200", Code.USAGE)
    return values
