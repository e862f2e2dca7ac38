"""`pyharmony harmonize`: an object takes the light and colour of its picture; of one, a list or a folder of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._console import Console, Debug, Json, LogJson, Quiet, Verbose
from ._failures import Code, Failure, reading
from ._options import (
    DryRun,
    Format,
    KeepGps,
    MaxPixels,
    Output,
    Overwrite,
    Quality,
    Strict,
    Threads,
    Where,
    method_names,
    values,
)

if TYPE_CHECKING:
    from ._work import Request, Task

#: Where the pictures and masks of one folder may lie.
_PARTS = (("composite", "mask"), ("composites", "masks"), ("images", "masks"))
_MASK = "_mask"


def harmonize(
    image: Annotated[
        str | None, typer.Argument(metavar="IMAGE", help="The picture with the object in it, or a folder of them.")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Argument(metavar="MASK", help="A grey picture of its size, white on the object; of a folder, a folder."),
    ] = None,
    *,
    output: Output = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y", help="Where the first pixel of a MASK of its own size lies in IMAGE; none: equal sizes."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=method_names,
            help="auto, reinhard, mkl, match_histogram, luminance_temperature, lalonde_efros, xue, or weights that "
            "come with pyharmony.  [default: auto]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="In place of --method: the weights of a network that harmonizes."),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(metavar="0..1", min=0, max=1, help="How far colours go.  [default: 1]")
    ] = None,
    guard: Annotated[
        bool | None,
        typer.Option(
            "--guard/--no-guard",
            help="Leave a picture as it is where the answer cannot be trusted, and make little of what a network is "
            "not sure of.  [default: guard]",
        ),
    ] = None,
    batch_statistics: Annotated[
        bool | None,
        typer.Option(
            "--batch-statistics",
            help="Of a network: batch norms take the statistics of the picture, as published tests run.",
        ),
    ] = None,
    triples: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="PICTURES.csv", help="Each row: columns image, mask, out, and any option's name."
        ),
    ] = None,
    format: Format = None,
    quality: Quality = None,
    keep_gps: KeepGps = None,
    max_pixels: MaxPixels = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    threads: Threads = None,
    device: Where = None,
    strict: Strict = False,
    as_json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    log_json: LogJson = False,
    debug: Debug = False,
) -> None:
    """Give the object of IMAGE under MASK the light and colour of its surroundings, and write OUT.

    Where MASK is black nothing changes. OUT has IMAGE's size, depth, colour profile and metadata. - is stdin, or stdout
    for OUT.

    Of a folder every picture is harmonised into the folder OUT, under its own name: with the mask of its stem in the
    folder MASK; without MASK, with that in the folder mask beside the folder composite inside IMAGE, or with
    NAME_mask.png beside NAME.jpg.
    """
    console = Console("harmonize", as_json=as_json, verbose=verbose, quiet=quiet, log_json=log_json, debug=debug)
    with console.session():
        from ._work import Request, harmonize_kind, make, make_all

        options = {
            "at": at,
            "method": method,
            "model": model,
            "strength": strength,
            "guard": guard,
            "batch_statistics": batch_statistics,
            "format": format,
            "quality": quality,
            "keep_gps": keep_gps,
        }
        request = Request(
            kind=harmonize_kind(),
            inputs={"image": image, "mask": mask},
            output=output,
            options=values(options),
            max_pixels=max_pixels,
            overwrite=overwrite,
            dry_run=dry_run,
            threads=threads,
            device=device and device.value,
            strict=strict,
        )
        if image is not None and Path(image).is_dir() and triples is None:
            make_all(_of_folder(request, Path(image), mask), request, console)
        else:
            make(request, triples, console)


def _of_folder(request: Request, folder: Path, masks: str | None) -> list[tuple[dict[str, Any], Task]]:
    """A task for each picture of a folder, all checked before the first is read."""
    from ..data._files import SUFFIXES
    from ._work import STREAM, check_folder, task_of

    if request.output in (None, STREAM):
        raise Failure("a folder of pictures needs a folder to write to: -o OUT", Code.USAGE)
    assert request.output is not None  # noqa: S101
    out = Path(request.output)

    def pictures(inside: Path) -> list[Path]:
        with reading(str(inside)):
            found = [path for path in sorted(inside.iterdir()) if path.suffix.lower() in SUFFIXES]
        return [path for path in found if path.is_file() and not path.name.startswith(".")]

    beside = False
    if masks is not None:
        others = Path(masks)
        if not others.is_dir():
            raise Failure(f"{masks}: is no folder, and {folder} is one; expected a folder of masks", Code.USAGE)
    else:
        parts = [(folder / a, folder / b) for a, b in _PARTS if (folder / a).is_dir() and (folder / b).is_dir()]
        beside = not parts
        folder, others = parts[0] if parts else (folder, folder)
    of_stem = {path.stem.removesuffix(_MASK) if beside else path.stem: path for path in pictures(others)
               if not beside or path.stem.endswith(_MASK)}  # fmt: skip
    found = [path for path in pictures(folder) if not (beside and path.stem.endswith(_MASK))]
    if not found:
        raise Failure(f"{folder}: no pictures; expected some of {', '.join(SUFFIXES)}", Code.INPUT)
    tasks = []
    written: dict[Path, Path] = {}
    for path in found:
        cover = of_stem.get(path.stem)
        if cover is None:
            expected = f"{path.stem}{_MASK}.png beside it" if beside else f"one called {path.stem} in {others}"
            raise Failure(f"{path}: has no mask, expected {expected}", Code.INPUT)
        suffix = f".{request.options['format']}" if request.options.get("format") else path.suffix
        target = out / (path.stem + suffix)
        if target in written:
            raise Failure(f"{path}: its output {target} is that of {written[target]}", Code.INPUT)
        written[target] = path
        inputs = {"image": str(path), "mask": str(cover)}
        tasks.append(({"name": path.name}, task_of(request.kind, inputs, str(target), request.options)))
    read = {os.path.realpath(file): file for _, task in tasks for file in task.files.values()}
    for _, task in tasks:
        if os.path.realpath(task.out) in read:
            raise Failure(f"{task.out}: the output of {task.files['image']} is an input", Code.INPUT)
    check_folder([task for _, task in tasks], request)
    return tasks
