"""An image that a command reads and the one that it writes, which may be stdin and stdout."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from .._jobs.failures import Words, reading, spoken, writing
from .._jobs.task import STREAM, check_output


def read_image(image: str) -> Any:
    """Returns the picture of a file, or of stdin."""
    return read_with_source(image)[0]


def read_with_source(image: str) -> tuple[Any, str | bytes]:
    """Returns the picture of a file, or of stdin, and the path of the file, or what came from stdin."""
    from .. import io

    name = "stdin" if image == STREAM else image
    with reading(name), spoken(Words(files={"image": name})):
        source = sys.stdin.buffer.read() if image == STREAM else image
        return io.read(source), source


def as_composite(picture: Any, below: Any, sources: Sequence[str | bytes]) -> Any:
    """Returns a picture whose metadata tell that it was put together, and of which files.

    below: the picture that the others were put into, whose metadata it has.
    """
    from ..io.provenance import provenance

    return dataclasses.replace(picture, xmp=provenance(below.xmp, sources))


def check_image(output: str, overwrite: bool) -> None:
    """Refuses a file that no image can be written into, before any work; `STREAM` is left out."""
    from ..io.files import check_destination

    if output != STREAM:
        check_output(output, not overwrite)
        with writing(output), spoken():
            check_destination(output)


def write_image(picture: Any, output: str, overwrite: bool) -> None:
    """Writes a picture into a file, or to stdout as PNG."""
    from .. import io

    with writing("stdout" if output == STREAM else output), spoken(Words(files={"out": output})):
        if output == STREAM:
            io.write(picture, sys.stdout.buffer, format="png")
        else:
            io.write(picture, output, overwrite=overwrite)


def named(output: str) -> str:
    """Returns the word for what is written to."""
    return "stdout" if output == STREAM else output
