"""Reading the input image of a command and writing its output, from and to files, stdin and stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._calls import flag
from ..errors import Reason, RunError
from ..runs._jobs.failures import Code, Words, as_failures, check_usable, reading, writing
from ..runs._jobs.task import STREAM, check_output
from ._console import Console

if TYPE_CHECKING:
    from ..typing import Quality


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


def check_image(output: str, overwrite: bool, option: str = "-o") -> None:
    """Refuses an output that cannot be an image file, before any work; `STREAM` is not checked.

    option: the option that names the output.
    """
    from ..io.files import check_destination

    if output != STREAM:
        check_output(output, not overwrite)
        with writing(output), as_failures(Words({"target": option})):
            check_destination(output)


def check_images(console: Console, output: str, overwrite: bool, **others: str | None) -> None:
    """Refuses outputs that cannot be written, before any work; others: further images by the options that name them."""
    check_image(output, overwrite)
    for name, path in others.items():
        if path in (STREAM, output):
            raise RunError(f"{flag(name)}: {path}, expected a file other than OUT", Code.USAGE)
        if path is not None:
            check_image(path, overwrite, flag(name))
    check_stdout(console, output)


def check_verdict(console: Console, info: Any, output: str, options: Mapping[str, Any]) -> None:
    """Notes a doubtful result, and refuses one that is probably not usable, unless with --anyway."""
    if not options.get("anyway"):
        check_usable(info, output, "--anyway")
    if info.verdict:
        console.note(info.verdict)


def note_doubts(console: Console, doubts: Iterable[Reason]) -> None:
    """Notes what speaks against a mask that was segmented."""
    for doubt in doubts:
        console.note(doubt)


def check_stdout(console: Console, output: str, option: str = "-o") -> None:
    """Refuses an image on stdout beside the object of --json."""
    if output == STREAM and console.as_json:
        raise RunError(f"--json and {option} - both write to stdout; write to a file", Code.USAGE)


def write_image(picture: Any, output: str, overwrite: bool, quality: Quality = 95) -> None:
    """Writes a picture into a file, or to stdout as PNG."""
    from .. import io

    with writing("stdout" if output == STREAM else output), as_failures(Words(files={"out": output})):
        if output == STREAM:
            io.write(picture, sys.stdout.buffer, format="png")
        else:
            io.write(picture, output, quality=quality, overwrite=overwrite)


def report_written(console: Console, output: str, start: float, about: str = "", **fields: Any) -> None:
    """Reports an image that was written, and the seconds since a time; fields: those of --json."""
    seconds = time.perf_counter() - start
    console.note(f"wrote {output_name(output)}: {about}{seconds:.2f} s")
    console.result(status="ok", output=output, **fields, seconds=round(seconds, 3))


def output_name(output: str) -> str:
    """Returns the name of an output in messages."""
    return "stdout" if output == STREAM else output


def numbered(output: str, number: int) -> str:
    """Returns an output with a number before its suffix: OUT-2."""
    path = Path(output)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
