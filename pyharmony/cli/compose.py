"""`pyharmony compose`: composites people and objects of some photos into another."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from .._calls import Group, flag
from .._calls.composites import COMPOSE_FILE
from ..errors import PyHarmonyWarning, RunError
from ..runs._jobs.failures import Code, Words, as_failures, reading, verdict_record, with_code, with_codes, writing
from ..runs._jobs.task import STREAM, check_output
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import check_image, check_verdict, numbered, read_with_source, report_written, write_image
from ._options import described_by
from .place import position_flags

#: The most places whose files are checked before the work; there are never more than some tens of places.
_MAX_CHECKED = 100
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


@described_by(COMPOSE_FILE)
def compose(
    console: Console,
    photos: Annotated[list[str], argument("SUBJECT... BACKGROUND", COMPOSE_FILE.inputs["subjects"])],
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
    subjects, give --points, --beside, --box and --mask once for each, in their order; --at, --scale, --angle, --flip,
    --behind, --opacity, --mode and corrections such as --adjust-exposure once for each or once for all. With -k, OUT
    shows the best place, OUT-2 the next, and so on. OUT has the depth, colour profile and metadata of BACKGROUND, which
    also mark it as a composite and name its source files. A composite that is probably not usable is not written,
    unless with --anyway.
    """
    *subjects, background = photos
    if not subjects:
        raise RunError("BACKGROUND is missing, expected photos with subjects, then the background", Code.USAGE)
    if recipe is not None:
        _check_recipe(recipe, options, explain)
    k = options.get("k", 1)
    more: dict[str, Any] = {"explain": explain, "recipe": save_recipe, "layers": layers}
    _check_outputs(console, output, k, more, overwrite)
    try:
        arguments = COMPOSE_FILE.arguments(options, len(subjects), len(subjects) > 1)
    except ValueError as error:
        raise RunError(str(error), Code.USAGE) from None
    start = time.perf_counter()
    composer = _Photos(console, subjects, background, side, arguments)
    result, info = composer.compose(recipe, **composer.arguments)
    check_verdict(console, info, output, options)
    sheet = None if explain is None else composer.sheet(info)
    composer.write(result, output, overwrite)
    alternatives = []
    for number, other in enumerate(info.alternatives, 1):
        path = numbered(output, number + 1)
        composite, about = composer.compose(other)
        composer.write(composite, path, overwrite)
        spot = info.subjects[0].places[number]
        alternatives.append({"output": path, **_record(about.subjects[0], spot, info.subjects[0].mask_score)})
        console.note(f"wrote {path}: score {spot.score:.2f}")
    if len(alternatives) < k - 1:
        console.note(f"{1 + len(alternatives)} of {k} places were found")
    _write_more(console, more, result, info, sheet, overwrite)
    _tell(console, info, composer.names, arguments)
    records = [_record(one, one.placement, one.mask_score) for one in info.subjects]
    report_written(
        console, output, start, subjects=records, alternatives=alternatives, others=alternatives, **more,
        steps=dict(info.seconds), **verdict_record(info),
    )  # fmt: skip


class _Photos:
    """The photos of a command, which are composed once for each place; errors name their files and options."""

    def __init__(
        self, console: Console, subjects: list[str], background: str, side: int | None, arguments: dict[str, Any]
    ) -> None:
        from pyharmony.composition.subjects import in_rows

        *read, (self.background, below) = [read_with_source(path) for path in (*subjects, background)]
        pictures, self.sources = [picture for picture, _ in read], [*(source for _, source in read), below]
        self.names = ["stdin" if path == STREAM else path for path in subjects]
        files = {f"subjects[{i}]": path for i, path in enumerate(self.names)}
        words = console.words(_NAMES, files=files, texts=_TEXTS, hints=_HINTS)
        self._path, self._words, self._side = background, words, side
        self._subjects: Any = pictures[0]
        self.arguments = arguments
        if len(pictures) > 1:
            with as_failures(words):
                self._subjects, self.arguments = in_rows(pictures, arguments)

    def compose(self, recipe: Any, **arguments: Any) -> tuple[Any, Any]:
        """Returns the composite of a recipe, or without one that of the arguments, and its info."""
        import pyharmony

        with as_failures(self._words), reading(self._path):
            # The verdict is noted, or the message of a failure.
            warnings.filterwarnings("ignore", "the composite is ", PyHarmonyWarning)
            return pyharmony.compose(
                self._subjects, self.background, recipe=recipe, side=self._side, return_info=True, **arguments
            )

    def sheet(self, info: Any) -> Any:
        """Returns the image of the places with their scores."""
        from pyharmony import composition

        with as_failures(self._words), reading(self._path):
            return composition.contact_sheet(self._subjects, self.background, info)

    def write(self, composite: Any, path: str, overwrite: bool) -> None:
        """Writes a composite, whose metadata name its sources."""
        from pyharmony.io.provenance import composite_over

        write_image(composite_over(composite, self.background, self.sources), path, overwrite)


def _check_recipe(recipe: str, options: dict[str, Any], explain: str | None) -> None:
    """Refuses options beside a recipe, which contains all these settings."""
    flags = [
        # A Group that has no flag is set by those of its arguments.
        flag(f"{name}_{next(iter(value))}" if isinstance(kind, Group) and not kind.is_step else name)
        for name, value in options.items()
        if not name.startswith("keep_") and (kind := COMPOSE_FILE.by_name[name].type)
    ]
    flags += ["--explain"] * (explain is not None)
    if flags:
        raise RunError(f"--recipe and {flags[0]} exclude each other", Code.USAGE)
    if not os.path.exists(recipe):
        raise RunError(f"--recipe: {recipe}: no such file or directory", Code.INPUT, "FileNotFoundError")


def _check_outputs(console: Console, output: str, k: int, more: dict[str, str | None], overwrite: bool) -> None:
    """Refuses files that cannot be written, before any work: OUT, those of the other places, and those of options."""
    layers, explain = more["layers"], more["explain"]
    if layers is not None and not layers.lower().endswith(".ora"):
        raise RunError(f"--layers: {layers}, expected a path that ends in '.ora'", Code.USAGE)
    if k > 1 and output == STREAM:
        raise RunError("-k: stdout is for one image; write to a file", Code.USAGE)
    paths = [path for path in more.values() if path is not None]
    for path in [output, *paths, *(numbered(output, number) for number in range(2, min(k, _MAX_CHECKED) + 1))]:
        if path != STREAM:
            check_output(path, not overwrite)
            if path not in (more["recipe"], layers):
                check_image(path, overwrite, "--explain" if path is explain else "-o")
        elif console.as_json or path is not output:
            raise RunError("stdout is for OUT alone, without --json; write to a file", Code.USAGE)


def _write_more(
    console: Console, more: dict[str, str | None], result: Any, info: Any, sheet: Any, overwrite: bool
) -> None:
    """Writes the files of options: the image of the places, the recipe, and the layers."""
    from pyharmony import _temporary, io

    explain, recipe, layers = more["explain"], more["recipe"], more["layers"]
    if explain is not None:
        write_image(io.Picture(sheet), explain, overwrite)
    if recipe is not None:
        with writing(recipe):
            _temporary.write_text(Path(recipe), json.dumps(info.recipe))
    if layers is not None:
        with writing(layers), as_failures(Words(files={"target": layers, "background": layers})):
            form = {"profile": result.profile, "dpi": result.dpi}
            io.write_layers(layers, info.layers, result.pixels, overwrite=overwrite, **form)
    for path in filter(None, more.values()):
        console.note(f"wrote {path}")


def _tell(console: Console, info: Any, names: list[str], arguments: dict[str, Any]) -> None:
    """Tells where each subject is, and the options that place it there again; names: those of their photos."""
    for one, number, entry in zip(info.subjects, info.recipe["order"], info.recipe["subjects"], strict=True):
        console.detail(f"{names[number]}: {_scores_line(one)}")
        if not one.mask.any():
            console.note(f"{names[number]} is outside the image")
            continue
        x, y, wide, high = one.box
        behind = one.placement.behind if one.placement else _behind_of(arguments.get("behind"), number)
        console.note(f"{wide} x {high} at {x},{y}, by {position_flags(one, entry['size'], behind)}")


def _behind_of(value: Any, number: int) -> Sequence[int]:
    """Returns the people in front of a subject by its number, of what was passed for it alone or for all of them."""
    if not isinstance(value, str | None) and any(not isinstance(one, int) for one in value):
        value = value[number]
    return () if isinstance(value, str | None) else value


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
