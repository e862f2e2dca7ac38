"""`pyharmony batch`: runs an operation on many images, so that nothing is lost whatever ends in between."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._calls import QUALITY, Call
from .._calls.batches import BATCHES, OF_ALL
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failures
from ._command import COLUMN_FORM, Columns, argument, fields_of, option, pairs_of, parameter, runner, switch
from ._console import Console, duration
from ._facts import cores
from ._options import Device, command_of, converted, parameters_of, values_of

if TYPE_CHECKING:
    from ..runs.batch import Progress, Report

app = typer.Typer(
    name="batch",
    help="Run an operation on many images: resumed after any interruption, every image ends as an output or an error.",
    no_args_is_help=True,
)


class EngineName(str, Enum):
    local = "local"
    ray = "ray"


class Existing(str, Enum):
    error = "error"
    skip = "skip"
    overwrite = "overwrite"


@dataclass(frozen=True, kw_only=True)
class _BatchOptions:
    """The options of every run."""

    output: Annotated[Path, option("OUT", "The folder to write, not inside SOURCE.", "--output", "-o")]
    other_inputs: Annotated[
        list[str] | None,
        option("INPUT=PATH", "Another input: a file for all, or a folder with one of each stem; repeatable.", "--with"),
    ] = None
    columns: Columns = None
    format: Annotated[
        str | None,
        option("NAME", "The format of outputs: jpeg, png, webp, tiff, bmp, avif, jxl.  [default: the input's]"),
    ] = None
    quality: Annotated[str, option(str(QUALITY.metavar), QUALITY.about)] = "95"
    keep_gps: Annotated[bool, switch("--keep-gps", "Keep the GPS position in the metadata.")] = False
    resume: Annotated[bool, switch("--resume", "Continue the run in OUT.")] = False
    verify: Annotated[bool, switch("--verify", "With --resume: compare outputs by digest, not by size alone.")] = False
    retry_failed: Annotated[bool, switch("--retry-failed", "With --resume: try again what failed.")] = False
    restart: Annotated[bool, switch("--restart", "Begin again, and replace what the run in OUT wrote.")] = False
    on_exist: Annotated[
        Existing, typer.Option("--on-exist", help="What to do if a file of somebody else is at an output.")
    ] = Existing.error
    jobs: Annotated[int | None, option("N", "Worker processes.  [default: one per core]", "--jobs", "-j", min=1)] = None
    threads: Annotated[int, option("N", "Threads of each worker.", min=1)] = 1
    shard: Annotated[str | None, option("I/N", "Only the I-th of N parts, for N machines that share OUT.")] = None
    per_shard: Annotated[
        int | None, option("N", "Write .tar shards of N outputs, as WebDataset has them.  [default: files]", min=1)
    ] = None
    time_limit: Annotated[float | None, option("SECONDS", "The longest time for an image.", min=0.1)] = None
    max_memory: Annotated[str | None, option("SIZE", "The memory of each worker, such as 4G.")] = None
    max_pixels: Annotated[
        str | None, option("N", "The largest image to decode; 64M is 64 million.  [default: 256M]")
    ] = None
    engine: Annotated[EngineName, typer.Option("--engine", help="Processes of this machine, or a Ray cluster.")] = (
        EngineName.local
    )
    device: Annotated[Device, typer.Option("--device", help="Where to compute.")] = Device.cpu
    results: Annotated[
        Path | None, option("FILE", "The table of results, .parquet or .csv.  [default: OUT/results.parquet]")
    ] = None


def _define(call: Call) -> None:
    """Adds the command of an operation."""
    columns = ", ".join(call.items)
    source = argument("SOURCE", f"A folder of images, a table .csv, .jsonl or .parquet with {columns}, or .tar shards.")
    own = [p for p in parameters_of(call) if p.name not in OF_ALL]

    def work(console: Console, values: dict[str, Any]) -> None:
        chosen = {p.name: values.pop(p.name) for p in own}
        path = values.pop("path")
        _run(console, call, path, values_of(call, chosen), values)

    function = runner(
        f"batch.{call.command}",
        [parameter("path", Annotated[Path, source], inspect.Parameter.empty), *own, *fields_of(_BatchOptions)],
        work,
    )
    first = next(iter(call.items))
    function.__doc__ = (
        f"Run `pyharmony {call.command}` on each {first} of SOURCE, and write the results into the folder OUT.\n\n"
        "A run that ends early, in whatever way, is continued by --resume. If some images failed, OUT/errors.jsonl "
        "names them, and the exit code is 5."
    )
    app.command(call.command, cls=command_of(call))(function)


def _run(console: Console, call: Call, source: Path, options: dict[str, Any], values: dict[str, Any]) -> None:
    from ..runs.batch import run

    shard = (1, 1)
    if (text := values.pop("shard")) is not None:
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        shard = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= shard[0] <= shard[1]:
            raise RunError(f"--shard: {text!r}, expected I/N, such as 2/8", Code.USAGE)
    for name in ("retry_failed", "verify"):
        if values[name] and not values["resume"]:
            raise RunError(f"{console.names[name]} needs --resume", Code.USAGE)
    if values["resume"] and values["restart"]:
        raise RunError("--resume and --restart exclude each other", Code.USAGE)
    pairs = {
        "other_inputs": pairs_of("--with", values.pop("other_inputs"), "INPUT=PATH, such as mask=masks"),
        "columns": pairs_of("--column", values.pop("columns"), COLUMN_FORM),
    }
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
    plain["quality"] = converted(QUALITY, plain["quality"])
    plain |= {"jobs": plain["jobs"] or cores(), "max_memory": _bytes_of(plain["max_memory"]), **pairs}
    start = time.perf_counter()
    with _shown(console, call.command) as progress, as_failures(console.words({"other_inputs": "--with"})):
        try:
            report = run(call.command, source, plain.pop("output"), options=options, shard=shard, progress=progress,
                         **plain)  # fmt: skip
        except KeyboardInterrupt:
            raise RunError("interrupted; --resume continues", Code.INTERRUPTED) from None
    _conclude(console, report, time.perf_counter() - start)


def _conclude(console: Console, report: Report, seconds: float) -> None:
    counts = report.counts
    for error in report.errors:
        remedy = "--on-exist skip or overwrite accepts it" if error["kind"] == "exists" else ""
        console.error(RunError(f"{error['name']}: {error['message']}", Code.SOME_FAILED, error["kind"], hint=remedy))
    console.result(
        status="some failed" if counts["failed"] else "ok", counts=counts, changed=report.changed,
        earlier=report.earlier, errors=report.errors, results=str(report.results), seconds=round(seconds, 3),
    )  # fmt: skip
    text = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "done")
    before = f", {report.earlier:,} of them by an earlier run" if report.earlier else ""
    again = f", {report.changed:,} of them again, as their files or outputs had changed" if report.changed else ""
    console.note(f"{text}{before}{again}, {seconds:.1f} s; {report.results} lists them")
    if counts["failed"]:
        text = f"{counts['failed']:,} of {sum(counts.values()):,} images failed; {report.errors_list} lists them"
        raise RunError(text, Code.SOME_FAILED)


def _bytes_of(text: str | None) -> int | None:
    """Returns the number of bytes that a text denotes: '4G' is 4 times 2³⁰."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)i?B?", text)
    if not match or float(match[1]) == 0:
        raise RunError(f"--max-memory: {text!r}, expected a size such as 4G", Code.USAGE)
    return int(float(match[1]) * 1024 ** "_KMGT".index(match[2].upper() or "_"))


@contextmanager
def _shown(console: Console, what: str) -> Iterator[Callable[[Progress], None]]:
    """Shows how far a run is, with its rate and the time left."""
    with console.long_progress(what) as show:

        def update(now: Progress) -> None:
            failed = f", {now.failed:,} failed" if now.failed else ""
            show(now.done, now.total, f"{now.rate:.3g} a second, {duration(now.seconds_left)} left{failed}")

        yield update


for _call in BATCHES.values():
    _define(_call)
