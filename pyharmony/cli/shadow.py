"""`pyharmony shadow`: draws the shadow of an object."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from .._jobs.failures import Code, Failure, reading, spoken
from .._jobs.task import STREAM
from ._command import Overwrite, command
from ._console import Console
from ._images import check_image, named, read_image, write_image

LINE = "Y|X,Y,X,Y"


@command("shadow", verbose=True)
def shadow(
    console: Console,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image, with the object in it or without.")],
    mask: Annotated[str, typer.Argument(metavar="MASK", help="Where the object is, of IMAGE's size.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT", help="The image to write, or - for stdout.")],
    azimuth: Annotated[
        float, typer.Option(help="Where the light comes from, in degrees to the right of where the camera looks.")
    ] = 150.0,
    elevation: Annotated[float, typer.Option(help="How high the light stands over the horizon, in degrees.")] = 45.0,
    tip: Annotated[
        str | None, typer.Option(metavar="X,Y", help="In place of both: where the shadow of the highest pixel ends.")
    ] = None,
    softness: Annotated[
        float, typer.Option(help="How wide the source looks, in degrees: 0.5 for the sun, 30 for a window.")
    ] = 4.0,
    strength: Annotated[
        float | None, typer.Option(help="How dark the shadow is, 0 to 1.", show_default="as the ground's")
    ] = None,
    under: Annotated[float, typer.Option(help="How much darker it is right under the object, 0 to 1.")] = 1.0,
    contact: Annotated[
        str | None,
        typer.Option(metavar=LINE, help="Where the object meets the ground: a row, or a line through two points."),
    ] = None,
    horizon: Annotated[float | None, typer.Option(help="The row of the horizon.")] = None,
    wall: Annotated[
        str | None, typer.Option(metavar=LINE, help="Where an upright wall behind the object meets the ground.")
    ] = None,
    depth: Annotated[
        float, typer.Option(help="How much smaller the object's back looks than its front, 0 to 0.5.")
    ] = 0.0,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the shadow by itself too: it multiplies what lies below, beneath the object."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw the shadow that the object under MASK throws in IMAGE, and write OUT.

    The object stays as it is. OUT has IMAGE's depth, colour profile and metadata.
    """
    import pyharmony

    given: dict[str, Any] = {"azimuth": azimuth, "elevation": elevation, "softness": softness, "under": under}
    given |= {"strength": strength, "horizon": horizon, "depth": depth}
    given["tip"] = None if tip is None else _numbers(tip, (2,), "--tip", "X,Y, such as 120,480")
    for name, text in (("contact", contact), ("wall", wall)):
        given[name] = None if text is None else row_or_line(text, f"--{name}")
    info, seconds = drawn(console, pyharmony.shadow, image, mask, output, layer, overwrite, given)
    console.note(
        f"wrote {named(output)}: strength {info.strength:.2f}, horizon at {info.horizon:.0f}, "
        f"contact at {info.contact[0]:.0f}, {seconds:.2f} s"
    )
    console.result(
        status="ok", output=output, layer=layer, strength=round(info.strength, 4), tint=[round(x, 4) for x in
        info.tint], contact=list(info.contact), horizon=info.horizon, seconds=round(seconds, 3),
    )  # fmt: skip


def drawn(
    console: Console, draw: Callable[..., Any], image: str, mask: str, output: str, layer: str | None, overwrite: bool,
    given: dict[str, Any],
) -> tuple[Any, float]:  # fmt: skip
    """Draws with a function that takes an image and the mask of its object, and writes the result and its layer.

    given: the function's arguments.

    Returns:
        The function's info, and the seconds that all of it took.
    """
    for path in (output, layer):
        if path is not None:
            check_image(path, overwrite)
    if output == STREAM and console.as_json:
        raise Failure("--json and -o - both want stdout; write to a file", Code.USAGE)
    start = time.perf_counter()
    picture = read_image(image)
    with spoken(console.words()), reading(f"MASK: {mask}"):
        result, info = draw(picture, mask, return_info=True, **given)
    if info.reason:
        raise Failure(f"{image}: {info.reason}; nothing was written", Code.INPUT, "nothing_drawn")
    write_image(result, output, overwrite)
    if layer is not None:
        write_image(dataclasses.replace(picture, pixels=info.layer, format=None), layer, overwrite)
    return info, time.perf_counter() - start


def _numbers(text: str, counts: tuple[int, ...], option: str, wanted: str) -> tuple[float, ...]:
    """Returns the numbers of an option, of which it may have so many."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in counts:
        raise Failure(f"{option}: {text!r}, expected {wanted}", Code.USAGE)
    return values


def row_or_line(text: str, option: str) -> Any:
    """Returns a row, or the two points of a line, as functions take them."""
    values = _numbers(text, (1, 4), option, "a row, or X,Y,X,Y, two points of a line")
    return values[0] if len(values) == 1 else (values[:2], values[2:])
