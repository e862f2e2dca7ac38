"""`pyharmony edit`: one picture by its gradients, or a list of such."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from ._console import Console, Debug, Json, LogJson, Quiet, Verbose
from ._options import (
    ColorWeightScale,
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
    values,
)


class EditMode(str, Enum):
    """The functions of `pyharmony.blend` that take one image."""

    texture_flattening = "texture-flattening"
    illumination_change = "illumination-change"
    detail_boost = "detail-boost"
    inpaint = "inpaint"


def edit(
    image: Annotated[str | None, typer.Argument(metavar="IMAGE", help="The picture.")] = None,
    mask: Annotated[
        str | None, typer.Argument(metavar="MASK", help="A grey picture of its size, white where to work; none: all.")
    ] = None,
    *,
    output: Output = None,
    mode: Annotated[EditMode | None, typer.Option(help="What to do.  [default: texture-flattening]")] = None,
    low: Annotated[
        float | None,
        typer.Option(metavar="G", min=0, help="texture-flattening: an edge goes on to this gradient.  [default: 4]"),
    ] = None,
    high: Annotated[
        float | None,
        typer.Option(metavar="G", min=0, help="texture-flattening: an edge has this gradient.  [default: 6]"),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(metavar="A", help="illumination-change: the gradient that stays, over the mean.  [default: 0.2]"),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(metavar="B", min=0, max=2, help="illumination-change: how far to even out.  [default: 0.4]"),
    ] = None,
    gain: Annotated[
        float | None, typer.Option(metavar="F", min=0, help="detail-boost: the factor of details.  [default: 1.5]")
    ] = None,
    color_weight: Annotated[
        str | None,
        typer.Option(
            metavar="W|MAP",
            help="detail-boost: how far colours are kept; a number or a grey picture of IMAGE's size.  [default: 0.05]",
        ),
    ] = None,
    color_weight_scale: ColorWeightScale = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="T", min=1e-9, help="The largest error, in 8-bit levels.  [default: by depth, 0.25 at 8 bits]"
        ),
    ] = None,
    triples: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="PICTURES.csv", help="Edit each row: columns image, mask, out, and any option's name."
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
    """Edit IMAGE by its gradients where MASK is white, and write OUT.

    texture-flattening washes out texture and keeps edges, illumination-change evens out the light, detail-boost
    sharpens, inpaint fills the mask smoothly from around it. Gradients are in 8-bit levels a pixel. - is stdin, or
    stdout for OUT. OUT has IMAGE's depth, colour profile and metadata.
    """
    console = Console("edit", as_json=as_json, verbose=verbose, quiet=quiet, log_json=log_json, debug=debug)
    with console.session():
        from ._work import EDIT, Request, make

        options = {
            "mode": mode,
            "low": low,
            "high": high,
            "alpha": alpha,
            "beta": beta,
            "gain": gain,
            "color_weight": color_weight,
            "color_weight_scale": color_weight_scale,
            "tolerance": tolerance,
            "format": format,
            "quality": quality,
            "keep_gps": keep_gps,
        }
        request = Request(
            kind=EDIT,
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
        make(request, triples, console)
