"""`pyharmony apply-edit`: puts what an AI edit changed back into its photograph."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

from .._calls import APPLY_EDIT, QUALITY
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failures, with_code
from ..runs._jobs.task import STREAM
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import check_images, read_with_source, report_written, write_image
from ._options import converted, described_by


@described_by(APPLY_EDIT)
def apply_edit(
    console: Console,
    original: Annotated[str, argument("ORIGINAL", APPLY_EDIT.inputs["original"])],
    edited: Annotated[list[str], argument("EDITED", APPLY_EDIT.inputs["edited"])],
    output: Output,
    options: dict[str, Any],
    show: Annotated[str | None, option("FILE", "Write a picture of the changes too, with their numbers.")] = None,
    quality: Annotated[str, option(str(QUALITY.metavar), QUALITY.about)] = "95",
    overwrite: Overwrite = False,
) -> None:
    """Put what EDITED changed on purpose back into ORIGINAL, and write OUT; every other pixel stays as it was.

    Motion, drift of colours and blur of EDITED are undone. Several edits of one photograph are applied in their order.
    OUT has ORIGINAL's size, depth, colour profile and metadata. PNG, TIFF and BMP keep every other pixel exactly, JPEG
    with --quality original.
    """
    from .. import edits, io
    from ..io.provenance import composite_over

    check_images(console, output, overwrite, show=show)
    if len(edited) > 1 and "changes" in options:
        raise RunError(f"--changes: numbers for {len(edited)} edits, expected one edit", Code.USAGE)
    if len(edited) > 1 and options.get("frame") == "edit":
        raise RunError(f"--frame: edit for {len(edited)} edits, expected one edit", Code.USAGE)
    quality_value = converted(QUALITY, quality)
    start = time.perf_counter()
    picture, source = read_with_source(original)
    with as_failures(console.words(files={"original": original})):
        io.check_target(picture, sys.stdout.buffer if output == STREAM else output, quality=quality_value)
    read = [read_with_source(path) for path in edited]
    names = ["edited"] if len(edited) == 1 else [f"edited[{i}]" for i in range(len(edited))]
    with as_failures(console.words(files={"original": original, **dict(zip(names, edited, strict=True))})):
        pictures = [one for one, _ in read]
        result, info = edits.apply_edit(
            picture, pictures[0] if len(pictures) == 1 else pictures, return_info=True, **APPLY_EDIT.arguments(options)
        )
    infos = info if isinstance(info, list) else [info]
    sources = [source, *(own for (_, own), one in zip(read, infos, strict=True) if not one.reason)]
    composite = composite_over(result, picture, sources) if len(sources) > 1 else result
    write_image(composite, output, overwrite, quality_value)
    if show is not None:
        write_image(io.Picture(edits.show_changes(result, infos)), show, overwrite)
    records = []
    for path, one in zip(edited, infos, strict=True):
        changes = [{"box": list(c.box), "share": round(c.share, 5), "applied": c.applied} for c in one.changes]
        records.append(
            {
                "edited": path, "changes": changes, "share": round(one.share, 5), "motion": round(one.motion, 2),
                "color_change": round(one.color_change, 2), "agreement": round(one.agreement, 3),
                **with_code(one.reason),
            }
        )  # fmt: skip
        for number, change in enumerate(one.changes):
            x, y, width, height = change.box
            left_out = "" if change.applied else ", left out"
            console.note(f"{path}: change {number}: {width} x {height} at {x},{y}{left_out}")
        moved = f"moved by up to {one.motion:.1f} pixels, " if one.motion else ""
        drift = f"{moved}colours drifted by {one.color_change:.1f} levels"
        console.note(f"{path}: {drift}; {one.share:.1%} of the picture applied")
    report_written(console, output, start, show=show, edits=records)
