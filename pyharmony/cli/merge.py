"""`pyharmony merge`: merges photos of one scene into one with everyone."""

from __future__ import annotations

import dataclasses
import time
import warnings
from typing import Annotated, Any

from .._calls.composites import MERGE_FILE
from ..errors import PyHarmonyWarning, RunError
from ..runs._jobs.failures import Code, Words, as_failures, verdict_record, with_code
from ._command import Output, Overwrite, argument
from ._console import Console
from ._images import check_images, check_verdict, read_with_source, report_written, write_image
from ._options import described_by

#: The word for the best base.
_AUTO = "auto"
#: Texts with the names of files.
_TEXTS = {
    "left-out": "{photo} was left out: {why}",
    "other-place": "it does not show the scene of {base}, {why}",
    "channels-differ": "{given} channels, expected {expected} as in {base}, not counting alpha",
}


@described_by(MERGE_FILE)
def merge(
    console: Console,
    photos: Annotated[list[str], argument("PHOTO PHOTO...", MERGE_FILE.inputs["photos"])],
    output: Output,
    options: dict[str, Any],
    overwrite: Overwrite = False,
) -> None:
    """Merge photos of one scene into one with everyone in any of them, and write OUT.

    The photos are aligned, and people who are missing in the base are added from the others. The base is the photo that
    the others fit best, or that of --base. OUT has its depth, colour profile and metadata. A merged photo that is
    probably not usable, or to which no other photo adds anything as none shows the scene of the base, is not written,
    unless with --anyway.
    """
    import pyharmony
    from pyharmony.io.provenance import composite_over

    check_images(console, output, overwrite)
    masks, base = options.get("people"), options.get("base", _AUTO)
    if len(photos) < 2:
        raise RunError("one photo, expected two or more of one scene", Code.USAGE)
    if masks and len(masks) != len(photos):
        times = f"given {len(masks)} times for {len(photos)} photos, expected once for each"
        raise RunError(f"--people: {times}", Code.USAGE)
    if base != _AUTO and base not in photos:
        raise RunError(f"--base: {base!r}, expected {_AUTO} or one of {', '.join(photos)}", Code.USAGE)
    start = time.perf_counter()
    read = [read_with_source(path) for path in photos]
    pictures = [picture for picture, _ in read]
    files = {f"photos[{i}]": path for i, path in enumerate(photos)}
    files |= {f"people[{i}]": path for i, path in enumerate(masks or ())}
    with as_failures(Words(files=files, texts=_TEXTS)):
        # The verdict is noted, or the message of a failure.
        warnings.filterwarnings("ignore", "the merged photo is ", PyHarmonyWarning)
        number: Any = base if base == _AUTO else photos.index(base)
        arguments = MERGE_FILE.arguments(options)
        result, info = pyharmony.merge(pictures, base=number, people=masks, return_info=True, **arguments)
    code = info.reason.code
    if code == "no-common-place" and not options.get("anyway"):
        text = f"{output}: not written, as {info.reason}, {photos[info.base]}; --anyway writes a copy of that"
        raise RunError(text, Code.INPUT, "refused", code)
    check_verdict(console, info, output, options)
    sources = [
        source
        for i, ((_, source), photo) in enumerate(zip(read, info.photos, strict=True))
        if i == info.base or any(part.taken for part in photo.parts)
    ]
    # The base alone is not a composite.
    write_image(composite_over(result, pictures[info.base], sources) if len(sources) > 1 else result, output, overwrite)
    records = []
    for path, photo in zip(photos, info.photos, strict=True):
        parts = [
            {
                "box": list(part.box), "people_share": part.people_share, "people": part.people_share,
                "crossing": part.crossing, "taken": part.taken, **with_code(part.reason),
            }
            for part in photo.parts
        ]  # fmt: skip
        records.append(
            {
                "photo": path, "inliers": photo.inliers, "residual": round(photo.residual, 3),
                "differs": round(photo.differs, 4), "parts": parts, **with_code(photo.reason),
            }
        )  # fmt: skip
        for part in photo.parts:
            x, y, wide, high = part.box
            outcome = "added" if part.taken else f"not added, {part.reason}"
            console.note(f"{path}: {wide} x {high} at {x},{y}: {outcome}")
    base_path = photos[info.base]
    if info.bases:
        costs = ", ".join(f"{path} {one.cost:.2f}" for path, one in zip(photos, info.bases, strict=True) if one.allowed)
        console.note(f"the base is {base_path}; costs: {costs}")
    bases = [{**dataclasses.asdict(one), "cost": one.cost} for one in info.bases]
    report_written(console, output, start, base=base_path, bases=bases, photos=records, **with_code(info.reason),
                   **verdict_record(info))  # fmt: skip
