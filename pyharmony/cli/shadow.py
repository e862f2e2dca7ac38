"""`pyharmony shadow`: draws the shadow of an object."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Annotated, Any

from .._calls import SHADOW
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failures, reading
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import check_images, read_image, report_written, write_image
from ._options import described_by


@described_by(SHADOW)
def shadow(
    console: Console,
    image: Annotated[str, argument("IMAGE", SHADOW.inputs["image"])],
    mask: Annotated[str, argument("MASK", SHADOW.inputs["mask"])],
    output: Output,
    options: dict[str, Any],
    layer: Annotated[str | None, option("FILE", "Write the shadow alone too, as a layer that multiplies.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw the shadow that the object under MASK casts in IMAGE, and write OUT.

    The object is not changed. OUT has IMAGE's depth, colour profile and metadata.
    """
    import pyharmony

    start = time.perf_counter()
    arguments = SHADOW.arguments(options)
    info = draw_with_layer(console, pyharmony.shadow, image, mask, output, layer, overwrite, arguments)
    about = f"strength {info.strength:.2f}, horizon at {info.horizon:.0f}, contact at {info.contact[0]:.0f}, "
    report_written(
        console, output, start, about, layer=layer, strength=round(info.strength, 4),
        tint=[round(x, 4) for x in info.tint], contact=list(info.contact), horizon=info.horizon,
    )  # fmt: skip


def draw_with_layer(
    console: Console, draw: Callable[..., Any], image: str, mask: str, output: str, layer: str | None, overwrite: bool,
    arguments: dict[str, Any],
) -> Any:  # fmt: skip
    """Calls a function on an image, the mask of its object and arguments; writes the result and its layer.

    Returns the function's info.
    """
    check_images(console, output, overwrite, layer=layer)
    picture = read_image(image)
    with as_failures(console.words()), reading(f"MASK: {mask}"):
        result, info = draw(picture, mask, return_info=True, **arguments)
    if info.reason:
        raise RunError(f"{image}: {info.reason}; nothing was written", Code.INPUT, "nothing_drawn")
    write_image(result, output, overwrite)
    if layer is not None:
        write_image(dataclasses.replace(picture, pixels=info.layer, format=None), layer, overwrite)
    return info
