"""`pyharmony compose`: puts people and objects of some photographs into another."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .._jobs.failures import Code, Failure, Words, reading, spoken, writing
from .._jobs.task import STREAM, check_output
from ._command import Overwrite, command
from ._console import Console
from ._images import as_composite, check_image, named, read_with_source, write_image
from ._merge import merge_photos, refuse_others

_NAMES = {"boxes": "--box", "masks": "--mask", "k": "--top", "method": "--harmonize", "info": "--explain"}
_TEXTS = {
    "no-place-sought": "every place is given by --at, none is looked for",
    "one-place": "more than one place is for one subject whose place is looked for, without --at",
}
_HINTS = {
    "another-place": "--at says another place, and --top finds more of them",
    "say-who": "--points or --box says who is meant",
    "say-what": "--points or --box says what is meant",
    "another-size": "--scale says another size",
    "another-light": "another --azimuth, or a --tip, brings it in",
}
_EACH = "; of several subjects once for each"
#: The options that go with --merge.
_MERGE = ("photos", "output", "mask", "merge", "base", "overwrite")


@command("compose", verbose=True)
def compose(
    console: Console,
    photos: Annotated[
        list[str],
        typer.Argument(metavar="SUBJECT... BACKGROUND", help="Photographs with a subject each, and the background."),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="The picture to write, or - for stdout.")
    ],
    points: Annotated[
        list[str] | None,
        typer.Option("--points", metavar="X,Y", help=f"A click on the subject, in pixels{_EACH}."),
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar="X,Y,W,H", help=f"The rectangle that the subject lies in{_EACH}.")
    ] = None,
    mask: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help=f"Where the subject is in its photograph{_EACH}.")
    ] = None,
    segment: Annotated[
        str, typer.Option(metavar="NAME", help="A method of `pyharmony segment`, by which subjects are cut out.")
    ] = "auto",
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="auto|X,Y", help=f"Where the first pixel of SUBJECT goes{_EACH}.", show_default="the best place"
        ),
    ] = None,
    scale: Annotated[str, typer.Option(metavar="auto|F", help="How much larger the subject becomes.")] = "auto",
    angle: Annotated[str, typer.Option(metavar="auto|DEGREES", help="The turn, clockwise.")] = "auto",
    flip: Annotated[bool, typer.Option("--flip", help="Mirror it, or with --at auto try that too.")] = False,
    harmonize: Annotated[
        str, typer.Option(metavar="NAME|none", help="A method of `pyharmony harmonize`, or none.")
    ] = "auto",
    strength: Annotated[float, typer.Option(help="How far colours go, 0 to 2.")] = 1.0,
    blend: Annotated[str, typer.Option(metavar="NAME", help="auto, alpha, gaussian_poisson or poisson.")] = "auto",
    sharpness: Annotated[float, typer.Option(help="How much of the blur around it the subject gets, 0 to 1.")] = 1.0,
    grain: Annotated[float, typer.Option(help="How much of the grain around it the subject gets, 0 to 1.")] = 1.0,
    shadow: Annotated[str, typer.Option(metavar="auto|on|off", help="auto: where what it stands on is seen.")] = "auto",
    azimuth: Annotated[float | None, typer.Option(help="Where the light comes from; see `pyharmony shadow`.")] = None,
    elevation: Annotated[float | None, typer.Option(help="How high the light stands, in degrees.")] = None,
    tip: Annotated[str | None, typer.Option(metavar="X,Y", help="In place of both: where the shadow ends.")] = None,
    softness: Annotated[float | None, typer.Option(help="How wide the light looks, in degrees.")] = None,
    reflection: Annotated[
        float | None, typer.Option(metavar="0..1", help="Mirror it in water or a polished floor, so strongly.")
    ] = None,
    upscale: Annotated[
        str, typer.Option(metavar="NAME|none", help="How a subject over 1.5 times its size gets detail.")
    ] = "auto",
    top: Annotated[
        int, typer.Option(metavar="K", min=1, help="Write the best K places: OUT, and beside it OUT-2, OUT-3, ...")
    ] = 1,
    explain: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a sheet of the places, with what speaks for each.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of the grain.")] = 0,
    side: Annotated[
        int | None,
        typer.Option(metavar="N", help="A preview with N pixels on its longer side.", show_default="full size"),
    ] = None,
    recipe: Annotated[str | None, typer.Option(metavar="FILE", help="Do again what this recipe says.")] = None,
    save_recipe: Annotated[str | None, typer.Option(metavar="FILE", help="Write the recipe of OUT, JSON.")] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="FILE.ora", help="Write the layers for Krita or GIMP, OpenRaster.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="All are photographs of one place: keep everyone.")] = False,
    base: Annotated[
        str, typer.Option(metavar="auto|PHOTO", help="With --merge: the photograph that the others are added to.")
    ] = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Put the people or objects of some photographs into another, and write OUT.

    Each is cut out, finds its place and size among the people who are there, gets their light, grain and sharpness, and
    a shadow where what it stands on is seen. What is given is not looked for. OUT has BACKGROUND's depth, colour
    profile and metadata, which tell besides that it is a composite, and of which files.

    With --merge, photographs of one place become one with everyone who stands in any of them: they are aligned, and
    who is not in the base yet is taken over from the others. A --mask for each says who that is. The base is the one
    into which the others go best, or that of --base.
    """
    given: dict[str, Any] = dict(locals())
    import json

    import pyharmony
    from pyharmony import _temporary, composition, io

    if merge:
        own = inspect.signature(globals()["compose"]).parameters
        refuse_others(given, {name: own[name].default for name in given if name in own and name not in _MERGE})
        check_image(output, overwrite)
        if output == STREAM and console.as_json:
            raise Failure("stdout takes OUT alone, and not beside --json; write to a file", Code.USAGE)
        merge_photos(console, photos, output, mask, base, overwrite)
        return
    if base != "auto":
        raise Failure("--base goes with --merge", Code.USAGE)
    if len(photos) < 2:
        raise Failure("BACKGROUND is missing, expected a photograph with a subject and one to put it into", Code.USAGE)
    *subjects, background = photos
    many = len(subjects) > 1
    if recipe is not None and (top > 1 or explain is not None):
        raise Failure(f"--recipe and --{'top' if top > 1 else 'explain'} do not go together", Code.USAGE)
    if top > 1 and output == STREAM:
        raise Failure("--top: stdout takes one picture; write to a file", Code.USAGE)
    outputs = [path for path in (output, save_recipe, layers, explain) if path is not None]
    outputs += [_beside(output, number) for number in range(2, top + 1)]
    for path in outputs:
        if path != STREAM:
            check_output(path, not overwrite)
            if path not in (save_recipe, layers):
                check_image(path, overwrite)
        elif console.as_json or path is not output:
            raise Failure("stdout takes OUT alone, and not beside --json; write to a file", Code.USAGE)
    given = {"k": top, "flip": flip, "strength": strength, "blend": blend, "sharpness": sharpness}
    given |= {"grain": grain, "seed": seed, "side": side, "recipe": recipe, "segment": segment}
    given["harmonize"] = None if harmonize == "none" else harmonize
    given["reflection"] = False if reflection is None else {"strength": reflection}
    given["upscale"] = None if upscale == "none" else upscale
    given["scale"], given["angle"] = _or_auto(scale, "--scale"), _or_auto(angle, "--angle")
    clicks = [_numbers(text, 2, "--points", "X,Y, such as 120,80") for text in points or ()]
    given["points"] = _each(clicks, many, len(subjects), "--points") if many or len(clicks) < 2 else clicks
    boxes = [_numbers(text, 4, "--box", "X,Y,W,H, such as 10,20,300,200") for text in box or ()]
    given["boxes"] = _each(boxes, many, len(subjects), "--box")
    given["masks"] = _each(list(mask or ()), many, len(subjects), "--mask")
    places = [text if text == "auto" else _numbers(text, 2, "--at", "auto or X,Y, such as 120,80") for text in at or ()]
    given["at"] = _each(places, many, len(subjects), "--at") or "auto"
    given["shadow"] = _shadow(shadow, azimuth, elevation, tip, softness)
    start = time.perf_counter()
    *read, (scene, below) = [read_with_source(path) for path in photos]
    pictures, sources = [picture for picture, _ in read], [*(source for _, source in read), below]
    names = ["stdin" if path == STREAM else path for path in subjects]
    files = {f"subjects[{i}]": path for i, path in enumerate(names)}
    words = console.words(_NAMES, files=files, texts=_TEXTS, hints=_HINTS)
    with spoken(words), reading(background):
        meant = pictures if many else pictures[0]
        result, info = pyharmony.compose(meant, scene, return_info=True, **given)
        sheet = None if explain is None else composition.contact_sheet(meant, scene, info)
    write_image(as_composite(result, scene, sources), output, overwrite)
    others = []
    for number, other in enumerate(info.others, 2):
        with spoken(words), reading(background):
            drawn, about = pyharmony.compose(meant, scene, recipe=other, side=side, return_info=True)
        path = _beside(output, number)
        write_image(as_composite(drawn, scene, sources), path, overwrite)
        spot = info.subjects[0].places[number - 1]
        others.append({"output": path, **_told(about.subjects[0], spot, info.subjects[0].mask_score)})
        console.note(f"wrote {path}: score {spot.score:.2f}")
    if len(others) < top - 1:
        console.note(f"{1 + len(others)} places were found, of {top} that are wanted")
    if explain is not None and sheet is not None:
        write_image(io.Picture(sheet), explain, overwrite)
        console.note(f"wrote {explain}")
    if save_recipe is not None:
        with writing(save_recipe):
            _temporary.write_text(Path(save_recipe), json.dumps(info.recipe))
        console.note(f"wrote {save_recipe}")
    if layers is not None:
        with writing(layers), spoken(Words(files={"target": layers, "background": layers})):
            io.write_layers(
                layers, info.layers, result.pixels, overwrite=overwrite, profile=result.profile, dpi=result.dpi
            )
        console.note(f"wrote {layers}")
    seconds = time.perf_counter() - start
    told = [_told(one, one.placement, one.mask_score) for one in info.subjects]
    for one, number in zip(info.subjects, info.recipe["order"], strict=True):
        console.detail(f"{names[number]}: {_sureness(one)}")
        if not one.mask.any():
            console.note(f"nothing of {names[number]} lies in the picture")
            continue
        x, y, wide, high = one.box
        how = f"{wide} x {high} at {x},{y}, scale {one.scale:.2f}"
        console.note(how + (f", turned by {one.angle:.1f} degrees" if one.angle else ""))
    console.note(f"wrote {named(output)}: {seconds:.2f} s")
    console.result(
        status="ok", output=output, subjects=told, others=others, layers=layers, recipe=save_recipe, explain=explain,
        seconds=round(seconds, 3), steps=dict(info.seconds),
    )  # fmt: skip


def _beside(output: str, number: int) -> str:
    """Returns the file of the picture with the next best place of a number."""
    path = Path(output)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}"))


def _told(one: Any, spot: Any, mask_score: float | None) -> dict[str, Any]:
    """Returns what is told of a subject that was drawn, and of its place where one was looked for."""
    place = None
    if spot is not None:
        place = {"score": spot.score, "terms": dict(spot.terms), "behind": list(spot.behind), "reason": spot.reason}
    return {
        "x": round(one.x, 2), "y": round(one.y, 2), "scale": round(one.scale, 4), "angle": round(one.angle, 2),
        "flip": one.flip, "box": list(one.box), "shadow": one.shadow is not None,
        "reflection": one.reflection is not None, "place": place, "mask_score": _rounded(mask_score),
        "confidence": _rounded(one.confidence), "reasons": list(one.reasons),
    }  # fmt: skip


def _sureness(one: Any) -> str:
    """Returns a line that tells how sure the mask and the place of a subject are, and how far it is enlarged."""
    mask = "given" if one.mask_score is None else f"score {one.mask_score:.2f}"
    place = "given" if one.placement is None else f"score {one.placement.score:.2f}"
    return f"mask {mask}, place {place}, {one.scale:.2f} times its size"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _shadow(asked: str, azimuth: float | None, elevation: float | None, tip: str | None, softness: float | None) -> Any:
    """Returns what is said of the shadow, as `pyharmony.compose` takes it."""
    if asked not in ("auto", "on", "off"):
        raise Failure(f"--shadow: {asked!r}, expected auto, on or off", Code.USAGE)
    said = {"azimuth": azimuth, "elevation": elevation, "softness": softness}
    said["tip"] = None if tip is None else _numbers(tip, 2, "--tip", "X,Y, such as 120,480")  # type: ignore[assignment]
    said = {name: value for name, value in said.items() if value is not None}
    if asked == "off":
        if said:
            raise Failure(f"--shadow off and --{next(iter(said))} do not go together", Code.USAGE)
        return False
    if said:
        return said
    return True if asked == "on" else "auto"


def _or_auto(text: str, option: str) -> Any:
    return text if text == "auto" else _numbers(text, 1, option, "auto or a number")[0]


def _each(values: list[Any], many: bool, count: int, option: str) -> Any:
    """Returns the value of one subject, or a list with one of each; None where nothing is given."""
    if not values:
        return None
    if len(values) != count:
        raise Failure(f"{option}: given {len(values)} times for {count} subjects, expected once for each", Code.USAGE)
    return values if many else values[0]


def _numbers(text: str, count: int, option: str, wanted: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise Failure(f"{option}: {text!r}, expected {wanted}", Code.USAGE)
    return values
