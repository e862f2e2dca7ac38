"""`pyharmony place`: suggests places for a person or an object in a photo."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from .._calls import PLACE
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failures, likely_record, reading, with_code
from ._command import Overwrite, argument, option
from ._console import Console
from ._images import check_image, check_stdout, output_name, read_image, write_image
from ._options import described_by

_TEXTS = {"no-mask": "not given, and SUBJECT has no transparency"}
_HINTS = {"no-mask": "`pyharmony segment` writes one with transparency, pass it as SUBJECT"}


def _corner(one: Any, size: Sequence[int]) -> list[float]:
    """Returns the position (x, y) of the top-left pixel of a placed photo of a size (w, h), as `compose` takes it."""
    return [round(v - (n * one.scale - 1) / 2, 1) + 0.0 for v, n in zip((one.x, one.y), size, strict=True)]


def position_flags(one: Any, size: Sequence[int], behind: Sequence[int]) -> str:
    """Returns the options of `compose` for a position of a subject whose photo has a size (w, h)."""
    at = ",".join(f"{v:g}" for v in _corner(one, size))
    flags = f"--at {at} --scale {one.scale:.5g}" + (f" --angle {one.angle:.4g}" if one.angle else "")
    return flags + (" --flip" if one.flip else "") + (f" --behind {','.join(map(str, behind))}" if behind else "")


@described_by(PLACE)
def place(
    console: Console,
    subject: Annotated[str, argument("SUBJECT", PLACE.inputs["subject"])],
    background: Annotated[str, argument("BACKGROUND", PLACE.inputs["background"])],
    options: dict[str, Any],
    explain: Annotated[
        str | None, option("FILE", "Write an image of all places with the terms of their scores.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Suggest places for the subject of SUBJECT in BACKGROUND, the best first.

    People are placed among the people of BACKGROUND, at their size, without occluding a face.
    """
    import pyharmony
    from pyharmony import io, placement
    from pyharmony._verdict import told

    if options.get("person") is False and "head" in options:
        raise RunError("--no-person and --head exclude each other", Code.USAGE)
    if explain is not None:
        check_image(explain, overwrite, "--explain")
        check_stdout(console, explain, "--explain")
    start = time.perf_counter()
    own, scene = read_image(subject), read_image(background)
    mask = options.get("mask")
    with as_failures(console.words(texts=_TEXTS, hints=_HINTS)), reading(f"--mask: {mask}"):
        places = pyharmony.place(own, scene, **PLACE.arguments(options))
        sheet = None if explain is None else placement.contact_sheet(own, scene, places, mask=mask)
    if explain is not None and sheet is not None:
        write_image(io.Picture(sheet), explain, overwrite)
        console.note(f"wrote {output_name(explain)}")
    seconds = time.perf_counter() - start
    if places[0].reason:
        console.warn(f"{background}: {places[0].reason}; this is the best place")
    verdict = told(places[0].usable, places[0].doubts, "composite at the best place")
    if verdict:
        console.note(verdict)
    size = own.pixels.shape[1::-1]
    rows = [
        {
            "at": _corner(one, size),
            "x": round(one.x, 2), "y": round(one.y, 2), "scale": round(one.scale, 4), "angle": round(one.angle, 2),
            "flip": one.flip, "z": one.z, "behind": list(one.behind), "score": one.score, "terms": dict(one.terms),
            "box": [round(v, 1) for v in one.box], **with_code(one.reason),
            **likely_record(one.usable, one.doubts),
        }
        for one in places
    ]  # fmt: skip
    for i, one in enumerate(places, 1):
        x, y, wide, high = one.box
        flags = position_flags(one, size, one.behind)
        console.report(f"{i}. score {one.score:.2f}: {wide:.0f} x {high:.0f} at {x:.0f},{y:.0f}, by {flags}")
    if len(places) < (count := options.get("k", 1)):
        console.note(f"{len(places)} of {count} places were found")
    console.result(status="ok", places=rows, explain=explain, seconds=round(seconds, 3))
