"""`pyharmony reflection`: mirrors an object in the ground under it."""

from __future__ import annotations

import time
from typing import Annotated, Any

from .._calls import REFLECTION
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import report_written
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

    start = time.perf_counter()
    arguments = REFLECTION.arguments(options)
    info = draw_with_layer(console, pyharmony.reflection, image, mask, output, layer, overwrite, arguments)
    strength = arguments.get("strength", REFLECTION.by_name["strength"].value)
    about = f"contact at {info.contact[0]:.0f}, "
    report_written(console, output, start, about, layer=layer, strength=strength, contact=list(info.contact))
