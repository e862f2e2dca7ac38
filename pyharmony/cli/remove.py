"""`pyharmony remove`: takes something away from a photograph."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

from .._calls import QUALITY, REMOVE
from ..errors import Reason, RunError
from ..runs._jobs.failures import Code, as_failures, reading, with_codes
from ..runs._jobs.prompts import prompted
from ..runs._jobs.task import STREAM
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import check_images, note_doubts, read_image, report_written, write_image
from ._options import converted, described_by


@described_by(REMOVE)
def remove(
    console: Console,
    image: Annotated[str, argument("IMAGE", REMOVE.inputs["image"])],
    output: Output,
    options: dict[str, Any],
    quality: Annotated[str, option(str(QUALITY.metavar), QUALITY.about)] = "95",
    overwrite: Overwrite = False,
) -> None:
    """Take a thing away from IMAGE, continue what is around it in its place, and write OUT.

    The thing is that under --mask, or at --points, in --box or within --lasso, as `pyharmony segment` finds it. Every
    other pixel stays as it was. OUT has IMAGE's depth, colour profile and metadata. PNG, TIFF and BMP keep every other
    pixel exactly, JPEG with --quality original.
    """
    from .. import edits, io, segmentation
    from ..segmentation.masks import doubts_of

    prompts: dict[str, Any] = {name: options[name] for name in ("points", "beside", "box", "lasso") if name in options}
    if ("mask" in options) == bool(prompts):
        raise RunError("expected --mask, or --points, --box or --lasso, of what to take away", Code.USAGE)
    check_images(console, output, overwrite)
    start, quality_value = time.perf_counter(), converted(QUALITY, quality)
    picture = read_image(image)
    names = {"mask": " and ".join(f"--{name}" for name in prompts or ("mask",))}
    hints = {"nothing-pointed-at": "expected --points, --box or --lasso"}
    words = console.words(names, files={"image": image}, hints=hints)
    with as_failures(words):
        io.check_target(picture, sys.stdout.buffer if output == STREAM else output, quality=quality_value)
    arguments = REMOVE.arguments({name: value for name, value in options.items() if name not in prompts})
    with (
        console.status("removing", True),
        as_failures(words),
        reading(f"--mask: {options['mask']}" if "mask" in options else image),
    ):
        mask = arguments.pop("mask", None)
        doubts: tuple[Reason, ...] = ()
        if mask is None:
            masks = prompted(segmentation.Session(picture), prompts)
            if not len(masks):
                raise RunError(f"{image}: {masks.reason}; nothing was written", Code.INPUT, "nothing_found")
            doubts = doubts_of(masks)
            mask = masks[0].astype("float32") / 255  # no map of labels, however faint
        result, info = edits.remove(picture, mask, return_info=True, **arguments)
    write_image(result, output, overwrite, quality_value)
    note_doubts(console, doubts)
    report_written(
        console, output, start, f"{info.share:.1%} of it filled, ", share=round(info.share, 5),
        **with_codes("doubt", doubts),
    )  # fmt: skip
