"""`pyharmony reflection`: mirrors an object in the ground that it stands on."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from .._jobs.failures import Code, Failure, reading, spoken
from .._jobs.task import STREAM, check_output
from ._command import Overwrite, command
from ._console import Console
from ._images import named, read_image, write_image
from .shadow import LINE, row_or_line

_WORDS = ((r"^(strength|fade|blur|contact):", r"--\1:"),)


@command("reflection", verbose=True)
def reflection(
    console: Console,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image with the object in it.")],
    mask: Annotated[str, typer.Argument(metavar="MASK", help="Where the object is, of IMAGE's size.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="The image to write, or - for stdout.")],
    strength: Annotated[float, typer.Option(help="How much of it is seen at the contact, 0 to 1.")] = 0.4,
    fade: Annotated[float, typer.Option(help="How much of that is lost at the height of the object's top.")] = 0.6,
    blur: Annotated[
        float, typer.Option(help="Its blur for each pixel of height: 0 for a mirror, 0.03 for a polished floor.")
    ] = 0.03,
    contact: Annotated[
        str | None,
        typer.Option(metavar=LINE, help="Where the object meets the ground: a row, or a line through two points."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the reflection by itself too, with alpha.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Mirror the object under MASK in the water or the polished floor that it stands on in IMAGE, and write OUT.

    The object stays as it is. OUT has IMAGE's depth, colour profile and metadata.
    """
    import dataclasses

    import pyharmony

    given: dict[str, Any] = {"strength": strength, "fade": fade, "blur": blur}
    given["contact"] = None if contact is None else row_or_line(contact, "--contact")
    for path in (output, layer):
        if path is not None and path != STREAM:
            check_output(path, not overwrite)
    if output == STREAM and console.as_json:
        raise Failure("--json and -o - both want stdout; write to a file", Code.USAGE)
    start = time.perf_counter()
    picture = read_image(image)
    with spoken(_WORDS), reading(f"MASK: {mask}"):
        result, info = pyharmony.reflection(picture, mask, return_info=True, **given)
    if info.reason:
        raise Failure(f"{image}: {info.reason}; nothing was written", Code.INPUT, "nothing_drawn")
    write_image(result, output, overwrite)
    if layer is not None:
        write_image(dataclasses.replace(picture, pixels=info.layer, format=None), layer, overwrite)
    seconds = time.perf_counter() - start
    console.note(f"wrote {named(output)}: contact at {info.contact[0]:.0f}, {seconds:.2f} s")
    console.result(
        status="ok", output=output, layer=layer, strength=strength, contact=list(info.contact),
        seconds=round(seconds, 3),
    )  # fmt: skip
