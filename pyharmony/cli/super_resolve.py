"""`pyharmony super-resolve`: enlarges an image twice or four times."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

from .._calls import SUPER_RESOLVE
from ..errors import RunError
from ..runs._jobs.failures import Code, Words, as_failures, reading
from ..runs._jobs.task import STREAM
from ._command import Output, Overwrite, argument, option
from ._console import Console
from ._images import check_images, read_image, report_written, write_image
from ._options import described_by


@described_by(SUPER_RESOLVE)
def super_resolve(
    console: Console,
    image: Annotated[str, argument("IMAGE", SUPER_RESOLVE.inputs["image"])],
    output: Output,
    options: dict[str, Any],
    network: Annotated[str | None, option("FILE", "In place of --method: weights of srgan, .safetensors.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Enlarge IMAGE twice or four times, with more detail than interpolation, and write OUT.

    OUT has IMAGE's depth, colour profile, metadata and transparency.
    """
    from .. import io, upscaling

    method = options.get("method", "auto")
    if network is not None and method != "auto":
        raise RunError("--method and --network exclude each other", Code.USAGE)
    check_images(console, output, overwrite)
    upscaler: Any = method
    if network is not None:
        with reading(f"--network: {network}"), as_failures(Words({"network": "--network"})):
            upscaler = upscaling.trained(network)
    start = time.perf_counter()
    picture = read_image(image)
    # Checked first: it may take minutes, and a JPEG cannot store alpha.
    with as_failures(Words(files={"out": output})):
        io.check_target(picture, sys.stdout.buffer if output == STREAM else output)
    with console.status("enlarging", True), as_failures(console.words(files={"image": image})):
        result, info = upscaling.super_resolve(
            picture, method=upscaler, return_info=True, **SUPER_RESOLVE.arguments(options)
        )
    write_image(result, output, overwrite)
    height, width = result.pixels.shape[:2]
    about = {"method": info.method, "scale": info.scale, "width": width, "height": height, "tiles": info.tiles}
    report_written(console, output, start, f"{width} x {height} pixels by {info.method}, ", **about)
