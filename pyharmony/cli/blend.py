"""`pyharmony blend`: one picture into another, or a list of such."""

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
    method_names,
    values,
)


class Mode(str, Enum):
    """The functions of `pyharmony.blend`."""

    gaussian_poisson = "gaussian-poisson"
    poisson = "poisson"
    gp_gan = "gp-gan"
    laplacian = "laplacian"
    alpha = "alpha"


class Gradients(str, Enum):
    source = "source"
    mixed = "mixed"
    average = "average"
    monochrome = "monochrome"


class Contour(str, Enum):
    half = "half"
    full = "full"


class GradientKernel(str, Enum):
    normal = "normal"
    sobel = "sobel"
    scharr = "scharr"
    roberts = "roberts"
    prewitt = "prewitt"


def blend(
    src: Annotated[
        str | None, typer.Argument(metavar="SRC", help="The picture to put in; its alpha multiplies the mask.")
    ] = None,
    dst: Annotated[
        str | None, typer.Argument(metavar="DST", help="The picture that it goes into, whose kind the result has.")
    ] = None,
    mask: Annotated[
        str | None, typer.Argument(metavar="MASK", help="A grey picture of SRC's size, white inside, soft at will.")
    ] = None,
    *,
    output: Output = None,
    mode: Annotated[
        Mode | None, typer.Option(help="The blend.  [default: gaussian-poisson; alpha with --harmonize]")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y",
            help="Where SRC's first pixel lands in DST, fractions and negative numbers too; none: equal sizes.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(metavar="F", min=0, help="The factor of SRC's size; its first pixel stays at X,Y.  [default: 1]"),
    ] = None,
    gradients: Annotated[
        Gradients | None, typer.Option(help="poisson: the edges of which picture.  [default: source]")
    ] = None,
    contour: Annotated[
        Contour | None,
        typer.Option(help="poisson: how much of SRC's edges counts across a hard contour of MASK.  [default: half]"),
    ] = None,
    color_weight: Annotated[
        str | None,
        typer.Option(
            metavar="W|MAP",
            help="poisson, gaussian-poisson, gp-gan: how far colours are kept, at least 0; a number, or a grey picture "
            "of DST's size, black 0 and white 1.  [default: 0 for poisson, else 1]",
        ),
    ] = None,
    color_weight_scale: ColorWeightScale = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            min=0,
            help="gaussian-poisson, gp-gan: Gaussian of the colours, 0 to 0.8 pixels.  [default: 0.5]",
        ),
    ] = None,
    smooth_sigma: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            min=0,
            help="gaussian-poisson, gp-gan: smoothing before each halving, to 16 pixels.  [default: 1]",
        ),
    ] = None,
    gradient_kernel: Annotated[
        GradientKernel | None, typer.Option(help="gaussian-poisson, gp-gan: how edges are taken.  [default: normal]")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="membrane|copy-paste|IMAGE",
            help="gaussian-poisson: the colours to keep; IMAGE has DST's size.  [default: membrane]",
        ),
    ] = None,
    preserve_background: Annotated[
        bool | None,
        typer.Option(
            "--preserve-background/--no-preserve-background",
            help="gaussian-poisson, gp-gan: leave what is outside the mask as it is.  [default: preserve-background]",
        ),
    ] = None,
    reference: Annotated[
        bool | None,
        typer.Option("--reference", help="gaussian-poisson, gp-gan: as GP-GAN's code; needs --no-preserve-background."),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="gp-gan: the network's weights, .safetensors.  [default: gp-gan-small, which come with pyharmony]",
        ),
    ] = None,
    supervised: Annotated[
        bool | None,
        typer.Option(
            "--supervised/--unsupervised",
            help="gp-gan: the network makes the colours of the paste, or of noise that is searched for.  "
            "[default: what FILE holds]",
        ),
    ] = None,
    nz: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="gp-gan: length of the noise.  [default: that of FILE]")
    ] = None,
    n_iteration: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="gp-gan: of the search, at most.  [default: 1000]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="gp-gan: where the search starts.  [default: 0]")
    ] = None,
    feather: Annotated[
        float | None,
        typer.Option(metavar="PIXELS", min=0, help="alpha: the width of a ramp inside the contour.  [default: 0]"),
    ] = None,
    levels: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=16, help="laplacian: how often to halve.  [default: by size]")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            min=1e-9,
            help="poisson, gaussian-poisson, gp-gan: the largest error, in 8-bit levels.  "
            "[default: by depth, 0.25 at 8 bits]",
        ),
    ] = None,
    decontaminate: Annotated[
        bool | None,
        typer.Option(
            "--decontaminate/--no-decontaminate",
            help="Free the edge colours of SRC from its own background.  [default: decontaminate]",
        ),
    ] = None,
    harmonize: Annotated[
        bool | None,
        typer.Option("--harmonize", help="Give what was put in the light and colour of its surroundings, afterwards."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=method_names, help="--harmonize: by which method of it.  [default: auto]"
        ),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(metavar="0..1", min=0, max=1, help="--harmonize: how far colours go.  [default: 1]"),
    ] = None,
    guard: Annotated[
        bool | None,
        typer.Option("--guard/--no-guard", help="--harmonize: make little of what is not sure.  [default: guard]"),
    ] = None,
    save_mask: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the mask at DST's size too, as `harmonize` takes it."),
    ] = None,
    triples: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="TRIPLES.csv", help="Blend each row: columns src, dst, mask, out, and any option's name."
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
    """Put SRC into DST where MASK is white, and write OUT.

    A person or a thing keeps its colours with --harmonize, which takes --mode alpha; prints and textures are blended.

    Files may be JPEG, PNG, WebP, TIFF, BMP or AVIF; - is stdin, or stdout for OUT. OUT has DST's depth, colour profile
    and metadata. Where MASK is black nothing changes.
    """
    console = Console("blend", as_json=as_json, verbose=verbose, quiet=quiet, log_json=log_json, debug=debug)
    with console.session():
        from ._work import BLEND, Request, make

        options = {
            "mode": mode,
            "at": at,
            "scale": scale,
            "gradients": gradients,
            "contour": contour,
            "color_weight": color_weight,
            "color_weight_scale": color_weight_scale,
            "sigma": sigma,
            "smooth_sigma": smooth_sigma,
            "gradient_kernel": gradient_kernel,
            "base": base,
            "preserve_background": preserve_background,
            "reference": reference,
            "generator": generator,
            "supervised": supervised,
            "nz": nz,
            "n_iteration": n_iteration,
            "seed": seed,
            "feather": feather,
            "levels": levels,
            "tolerance": tolerance,
            "decontaminate": decontaminate,
            "harmonize": harmonize,
            "method": method,
            "strength": strength,
            "guard": guard,
            "save_mask": save_mask,
            "format": format,
            "quality": quality,
            "keep_gps": keep_gps,
        }
        request = Request(
            kind=BLEND,
            inputs={"src": src, "dst": dst, "mask": mask},
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
