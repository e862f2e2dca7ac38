"""The part of `pyharmony compose` that merges photographs of one place, `--merge`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from .._jobs.failures import Code, Failure, Words, spoken
from ._console import Console
from ._images import as_composite, named, read_with_source, write_image

#: The word that asks for the best base.
_AUTO = "auto"
#: What is said with the names of files.
_TEXTS = {
    "left-out": "{photo} was left out: {why}",
    "other-place": "it does not show the place of {base}, {why}",
    "channels-differ": "{given} channels beside {expected} of {base}; expected equal numbers, alpha apart",
}


def merge_photos(
    console: Console, photos: list[str], output: str, masks: list[str] | None, base: str, overwrite: bool
) -> None:
    """Merges photographs, writes the result, and tells what was taken over; base: 'auto' or one of the photographs."""
    import pyharmony

    if len(photos) < 2:
        raise Failure("--merge: one photograph, expected two or more of one place", Code.USAGE)
    if masks and len(masks) != len(photos):
        raise Failure(f"--mask: given {len(masks)} times for {len(photos)} photographs, expected once each", Code.USAGE)
    if base != _AUTO and base not in photos:
        raise Failure(f"--base: {base!r}, expected {_AUTO} or one of {', '.join(photos)}", Code.USAGE)
    start = time.perf_counter()
    read = [read_with_source(path) for path in photos]
    pictures = [picture for picture, _ in read]
    files = {f"photos[{i}]": path for i, path in enumerate(photos)}
    files |= {f"people[{i}]": path for i, path in enumerate(masks or ())}
    with spoken(Words(files=files, texts=_TEXTS)):
        number: Any = base if base == _AUTO else photos.index(base)
        result, info = pyharmony.merge(pictures, base=number, people=masks or None, return_info=True)
    sources = [
        source
        for i, ((_, source), photo) in enumerate(zip(read, info.photos, strict=True))
        if i == info.base or any(part.taken for part in photo.parts)
    ]
    # The base alone is no composite.
    write_image(as_composite(result, pictures[info.base], sources) if len(sources) > 1 else result, output, overwrite)
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
    chosen = photos[info.base]
    if info.bases:
        costs = ", ".join(f"{path} {one.cost:.2f}" for path, one in zip(photos, info.bases, strict=True) if one.allowed)
        console.note(f"the base is {chosen}; what each would cost: {costs}")
    console.note(f"wrote {named(output)}: {seconds:.2f} s")
    bases = [{**dataclasses.asdict(one), "cost": one.cost} for one in info.bases]
    console.result(
        status="ok", output=output, base=chosen, bases=bases, photos=told, reason=info.reason, seconds=round(seconds, 3)
    )


def refuse_others(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuses options of a composite beside --merge.

    Args:
        given, defaults: the values of the options, by name.
    """
    for name, default in defaults.items():
        if given[name] not in (default, [], ()):
            raise Failure(f"--merge and --{name.replace('_', '-')} do not go together", Code.USAGE)
