"""An image that a command reads and the one that it writes, which may be stdin and stdout."""

from __future__ import annotations

import sys
from typing import Any

from .._jobs.failures import reading, spoken, writing
from .._jobs.task import STREAM


def read_image(image: str) -> Any:
    """Returns the picture of a file, or of stdin."""
    from .. import io

    with reading("stdin" if image == STREAM else image), spoken(((r"^image:", f"{image}:"),)):
        return io.read(sys.stdin.buffer.read() if image == STREAM else image)


def write_image(picture: Any, output: str, overwrite: bool) -> None:
    """Writes a picture into a file, or to stdout as PNG."""
    from .. import io

    with writing("stdout" if output == STREAM else output), spoken(((r"^out:", f"{output}:"),)):
        if output == STREAM:
            io.write(picture, sys.stdout.buffer, format="png")
        else:
            io.write(picture, output, overwrite=overwrite)


def named(output: str) -> str:
    """Returns the word for what is written to."""
    return "stdout" if output == STREAM else output
