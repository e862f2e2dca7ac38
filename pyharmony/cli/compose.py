"""`pyharmony compose`: composites people and objects of some photos into another."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

from .._calls import COMPOSE, Group, flag
from .._jobs.failures import Code, Words, as_failures, reading, with_code, with_codes, writing
from .._jobs.task import STREAM, check_output
from ..errors import RunError
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import as_composite, check_image, numbered, output_name, read_with_source, write_image
from ._options import described_by

_NAMES = {"method": "--harmonize", "info": "--explain"}
_TEXTS = {
    "no-place-sought": "every place is given by --at, so none is estimated",
    "one-place": "several places need one subject without --at, whose place is estimated",
}
_HINTS = {
    "another-place": "--at sets another place, and -k returns more of them",
    "say-who": "--points or --box selects the person",
    "say-what": "--points or --box selects the object",
    "another-size": "--scale sets another size",
    "another-light": "another --shadow-azimuth, or a --shadow-tip, moves it into the image",
}


@described_by(COMPOSE)
def compose(
    console: Console,
    photos: Annotated[list[str], argument("SUBJECT... BACKGROUND", COMPOSE.inputs["subjects"])],
    output: Output,
    options: dict[str, Any],
    explain: Annotated[
        str | None, option("FILE", "Write an image of the places with the terms of their scores.")
    ] = None,
    side: Annotated[
        int | None, option("N", "Make a preview with N pixels on its longer side.", show_default="full size")
    ] = None,
    recipe: Annotated[str | None, option("FILE", "Repeat the composite of this recipe.")] = None,
    save_recipe: Annotated[str | None, option("FILE", "Write the recipe of OUT, JSON.")] = None,
    layers: Annotated[str | None, option("FILE.ora", "Write the layers for Krita or GIMP, OpenRaster.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Composite people or objects of some photos into another, and write OUT.

    Each subject is segmented, placed among the people of BACKGROUND at their size, matched in light, sharpness and
    grain, and gets a shadow if the ground under it is visible. Options that you omit are estimated. With several
    subjects, give --points, --box and --mask once for each, in their order; --at, --scale, --angle, --flip, --behind
    and the options that begin with --adjust once for each or once for all. With -k, OUT shows the best place, OUT-2 the
    next, and so on. OUT has the depth, colour profile and metadata of BACKGROUND, which also mark it as a composite and
    name its source files.
    """
    import json

    import pyharmony
    from pyharmony import _temporary, composition, io

    if len(photos) < 2:
        raise RunError("BACKGROUND is missing, expected photos with subjects, then the background", Code.USAGE)
    *subjects, background = photos
    k = options.get("k", 1)
    if recipe is not None:
        # A recipe contains all these settings.
        decided = [_flag_of(name, value) for name, value in options.items() if not name.startswith("keep_")]
        decided += ["--explain"] * (explain is not None)
        if decided:
            raise RunError(f"--recipe and {decided[0]} exclude each other", Code.USAGE)
        if not os.path.exists(recipe):
            raise RunError(f"--recipe: {recipe}: no such file or directory", Code.INPUT, "FileNotFoundError")
    if layers is not None and not layers.lower().endswith(".ora"):
        raise RunError(f"--layers: {layers}, expected a path that ends in '.ora'", Code.USAGE)
    if k > 1 and output == STREAM:
        raise RunError("-k: stdout is for one image; write to a file", Code.USAGE)
    outputs = [path for path in (output, save_recipe, layers, explain) if path is not None]
    outputs += [numbered(output, number) for number in range(2, k + 1)]
    for path in outputs:
        if path != STREAM:
            check_output(path, not overwrite)
            if path not in (save_recipe, layers):
                check_image(path, overwrite)
        elif console.as_json or path is not output:
            raise RunError("stdout is for OUT alone, without --json; write to a file", Code.USAGE)
    try:
        arguments = COMPOSE.arguments(options, len(subjects), len(subjects) > 1)
    except ValueError as error:
        raise RunError(str(error), Code.USAGE) from None
    start = time.perf_counter()
    *read, (scene, below) = [read_with_source(path) for path in photos]
    pictures, sources = [picture for picture, _ in read], [*(source for _, source in read), below]
    names = ["stdin" if path == STREAM else path for path in subjects]
    files = {f"subjects[{i}]": path for i, path in enumerate(names)}
    words = console.words(_NAMES, files=files, texts=_TEXTS, hints=_HINTS)
    with as_failures(words), reading(background):
        images = pictures if len(pictures) > 1 else pictures[0]
        result, info = pyharmony.compose(images, scene, recipe=recipe, side=side, return_info=True, **arguments)
        sheet = None if explain is None else composition.contact_sheet(images, scene, info)
    write_image(as_composite(result, scene, sources), output, overwrite)
    others = []
    for number, other in enumerate(info.others, 2):
        with as_failures(words), reading(background):
            composite, about = pyharmony.compose(images, scene, recipe=other, side=side, return_info=True)
        path = numbered(output, number)
        write_image(as_composite(composite, scene, sources), path, overwrite)
        spot = info.subjects[0].places[number - 1]
        others.append({"output": path, **_record(about.subjects[0], spot, info.subjects[0].mask_score)})
        console.note(f"wrote {path}: score {spot.score:.2f}")
    if len(others) < k - 1:
        console.note(f"{1 + len(others)} of {k} places were found")
    if explain is not None and sheet is not None:
        write_image(io.Picture(sheet), explain, overwrite)
        console.note(f"wrote {explain}")
    if save_recipe is not None:
        with writing(save_recipe):
            _temporary.write_text(Path(save_recipe), json.dumps(info.recipe))
        console.note(f"wrote {save_recipe}")
    if layers is not None:
        with writing(layers), as_failures(Words(files={"target": layers, "background": layers})):
            io.write_layers(
                layers, info.layers, result.pixels, overwrite=overwrite, profile=result.profile, dpi=result.dpi
            )
        console.note(f"wrote {layers}")
    seconds = time.perf_counter() - start
    records = [_record(one, one.placement, one.mask_score) for one in info.subjects]
    for one, number in zip(info.subjects, info.recipe["order"], strict=True):
        console.detail(f"{names[number]}: {_scores_line(one)}")
        if not one.mask.any():
            console.note(f"{names[number]} is outside the image")
            continue
        x, y, wide, high = one.box
        how = f"{wide} x {high} at {x},{y}, scale {one.scale:.2f}"
        console.note(how + (f", rotated by {one.angle:.1f} degrees" if one.angle else ""))
    console.note(f"wrote {output_name(output)}: {seconds:.2f} s")
    console.result(
        status="ok", output=output, subjects=records, others=others, layers=layers, recipe=save_recipe, explain=explain,
        seconds=round(seconds, 3), steps=dict(info.seconds),
    )  # fmt: skip


def _flag_of(name: str, value: Any) -> str:
    """Returns the flag by which an option was set, the first of them for a Group that has none of its own."""
    type_ = COMPOSE.by_name[name].type
    return flag(f"{name}_{next(iter(value))}" if isinstance(type_, Group) and not type_.is_step else name)


def _record(one: Any, spot: Any, mask_score: float | None) -> dict[str, Any]:
    """Returns the record of a subject in the composite, and of its place if it was estimated."""
    place = None
    if spot is not None:
        place = {"score": spot.score, "terms": dict(spot.terms), "behind": list(spot.behind)}
        place |= with_code(spot.reason)
    return {
        "x": round(one.x, 2), "y": round(one.y, 2), "scale": round(one.scale, 4), "angle": round(one.angle, 2),
        "flip": one.flip, "box": list(one.box), "shadow": one.shadow is not None,
        "reflection": one.reflection is not None, "place": place, "mask_score": _rounded(mask_score),
        "confidence": _rounded(one.confidence), **with_codes("reason", one.reasons),
    }  # fmt: skip


def _scores_line(one: Any) -> str:
    """Returns a line with the scores of the mask and the place of a subject, and its scale."""
    mask = "given" if one.mask_score is None else f"score {one.mask_score:.2f}"
    place = "given" if one.placement is None else f"score {one.placement.score:.2f}"
    return f"mask {mask}, place {place}, {one.scale:.2f} times its size"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
