"""`pyharmony reflection`: mirrors an object in the ground under it."""

from __future__ import annotations

from typing import Annotated, Any

from .._calls import REFLECTION
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import output_name
from ._options import described_by
from .shadow import draw_with_layer


@described_by(REFLECTION)
def reflection(
    console: Console,
    image: Annotated[str, argument("IMAGE", REFLECTION.inputs["image"])],
    mask: Annotated[str, argument("MASK", REFLECTION.inputs["mask"])],
    output: Output,
    options: dict[str, Any],
    layer: Annotated[str | None, option("FILE", "Write the reflection alone too, with alpha.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Mirror the object under MASK in the water or the polished floor under it in IMAGE, and write OUT.

    The object is not changed. OUT has IMAGE's depth, colour profile and metadata.
    """
    import pyharmony

    arguments = REFLECTION.arguments(options)
    info, seconds = draw_with_layer(console, pyharmony.reflection, image, mask, output, layer, overwrite, arguments)
    strength = arguments.get("strength", REFLECTION.by_name["strength"].value)
    console.note(f"wrote {output_name(output)}: contact at {info.contact[0]:.0f}, {seconds:.2f} s")
    console.result(
        status="ok", output=output, layer=layer, strength=strength, contact=list(info.contact),
        seconds=round(seconds, 3),
    )  # fmt: skip
