"""The part of `pyharmony compose` that merges photographs of one place, `--merge`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._jobs.failures import Code, Failure, spoken
from ._console import Console
from ._images import named, read_image, write_image


def merge_photos(console: Console, photos: list[str], output: str, masks: list[str] | None, overwrite: bool) -> None:
    """Merges photographs, of which the first one is the base, writes the result, and tells what was taken over."""
    import pyharmony

    if len(photos) < 2:
        raise Failure("--merge: one photograph, expected two or more of one place", Code.USAGE)
    if masks and len(masks) != len(photos):
        raise Failure(f"--mask: given {len(masks)} times for {len(photos)} photographs, expected once each", Code.USAGE)
    start = time.perf_counter()
    pictures = [read_image(path) for path in photos]
    files = {"photos": photos, "people": masks or ()}
    words = [
        (rf"\b{name}\[{i}\]", path.replace("\\", r"\\"))
        for name, paths in files.items()
        for i, path in enumerate(paths)
    ]
    with spoken(words):
        result, info = pyharmony.merge(pictures, people=masks or None, return_info=True)
    write_image(result, output, overwrite)
    seconds = time.perf_counter() - start
    told = []
    for path, photo in zip(photos, info.photos, strict=True):
        parts = [
            {
                "box": list(part.box), "people": part.people, "crossing": part.crossing, "taken": part.taken,
                "reason": part.reason,
            }
            for part in photo.parts
        ]  # fmt: skip
        told.append(
            {
                "photo": path, "inliers": photo.inliers, "residual": round(photo.residual, 3),
                "differs": round(photo.differs, 4), "parts": parts, "reason": photo.reason,
            }
        )  # fmt: skip
        for part in photo.parts:
            x, y, wide, high = part.box
            done = "taken over" if part.taken else f"not taken over, {part.reason}"
            console.note(f"{path}: {wide} x {high} at {x},{y}: {done}")
    console.note(f"wrote {named(output)}: {seconds:.2f} s")
    console.result(status="ok", output=output, photos=told, reason=info.reason, seconds=round(seconds, 3))


def refuse_others(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuses options of a composite beside --merge.

    Args:
        given, defaults: the values of the options, by name.
    """
    for name, default in defaults.items():
        if given[name] not in (default, [], ()):
            raise Failure(f"--merge and --{name.replace('_', '-')} do not go together", Code.USAGE)
