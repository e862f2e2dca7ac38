"""Reading the input image of a command and writing its output, from and to files, stdin and stdout."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._jobs.failures import Words, as_failures, reading, writing
from .._jobs.task import STREAM, check_output


def read_image(image: str) -> Any:
    """Returns the picture of a file, or of stdin."""
    return read_with_source(image)[0]


def read_with_source(image: str) -> tuple[Any, str | bytes]:
    """Returns the picture of a file or of stdin, and its source: the file's path, or the bytes from stdin."""
    from .. import io

    name = "stdin" if image == STREAM else image
    with reading(name), as_failures(Words(files={"image": name})):
        source = sys.stdin.buffer.read() if image == STREAM else image
        return io.read(source), source


def as_composite(picture: Any, below: Any, sources: Sequence[str | bytes]) -> Any:
    """Returns a picture with metadata that mark it as a composite and name its source files.

    below: the picture of the background, whose metadata are kept.
    """
    from ..io.provenance import provenance

    return dataclasses.replace(picture, xmp=provenance(below.xmp, sources))


def check_image(output: str, overwrite: bool) -> None:
    """Refuses an output that cannot be an image file, before any work; `STREAM` is not checked."""
    from ..io.files import check_destination

    if output != STREAM:
        check_output(output, not overwrite)
        with writing(output), as_failures():
            check_destination(output)


def write_image(picture: Any, output: str, overwrite: bool) -> None:
    """Writes a picture into a file, or to stdout as PNG."""
    from .. import io

    with writing("stdout" if output == STREAM else output), as_failures(Words(files={"out": output})):
        if output == STREAM:
            io.write(picture, sys.stdout.buffer, format="png")
        else:
            io.write(picture, output, overwrite=overwrite)


def output_name(output: str) -> str:
    """Returns the name of an output in messages."""
    return "stdout" if output == STREAM else output


def numbered(output: str, number: int) -> str:
    """Returns an output with a number before its suffix: OUT-2."""
    path = Path(output)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
