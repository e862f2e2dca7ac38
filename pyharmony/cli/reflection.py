"""`pyharmony reflection`: mirrors an object in the ground that it stands on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ._command import Overwrite, command
from ._console import Console
from ._images import named
from .shadow import LINE, drawn, row_or_line


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
    import pyharmony

    given: dict[str, Any] = {"strength": strength, "fade": fade, "blur": blur}
    given["contact"] = None if contact is None else row_or_line(contact, "--contact")
    info, seconds = drawn(console, pyharmony.reflection, image, mask, output, layer, overwrite, given)
    console.note(f"wrote {named(output)}: contact at {info.contact[0]:.0f}, {seconds:.2f} s")
    console.result(
        status="ok", output=output, layer=layer, strength=strength, contact=list(info.contact),
        seconds=round(seconds, 3),
    )  # fmt: skip
