"""The work of `blend`, `edit` and `harmonize`: they compute one image, or each of a list, and report."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import get_num_threads
from ..errors import RunError
from ..runs._jobs.failures import Code, as_failure, as_failures, reading, record_of, writing
from ..runs._jobs.runner import Runner, milliseconds
from ..runs._jobs.task import STREAM, Request, Task, check_output, task_of
from ._console import Console, in_flags

_MIN_STATUS_BYTES = 3_000_000  # bytes of files from which on a terminal shows an activity indicator


def make(request: Request, console: Console) -> None:
    """Computes the requested image, or each image of a table."""
    if request.table is None:
        _make_one(request, console)
        return
    if any(path is not None for path in request.inputs.values()):
        raise RunError("images and --list exclude each other: the images come from the list", Code.USAGE)
    if request.options.get("save_mask") is not None:
        raise RunError("--save-mask is for one image; in a list it is a column", Code.USAGE)
    if request.output == STREAM:
        raise RunError("-o - is for one image; with --list, OUT is a folder", Code.USAGE)
    from ..runs._jobs.lists import rows_of

    with as_failures(console.words({"columns": "--column"})):
        tasks = rows_of(request.table, request, getattr(sys.stdin, "buffer", None))
    make_all(tasks, request, console)


def _runner(request: Request, console: Console) -> Runner:
    stdin, stdout = (getattr(stream, "buffer", None) for stream in (sys.stdin, sys.stdout))
    with as_failures(console.words({"max_pixels": "--max-pixels"})):
        return Runner(request, stdin, stdout, figures=console.as_json)


def _make_one(request: Request, console: Console) -> None:
    kind = request.kind
    missing = [name.upper() for name in kind.needed if request.inputs[name] is None]
    for name, path in request.inputs.items() if missing or request.output is None else ():
        if path and path != STREAM:
            with reading(f"{name} ({path})"):
                os.stat(path)
    if missing:
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise RunError(f"{' and '.join(missing)} {are} missing; pass {them}, or a list with --list", Code.USAGE)
    if request.output is None:
        raise RunError("-o OUT is missing; -o - is stdout", Code.USAGE)
    task = task_of(kind, request.inputs, request.output, request.options)
    runner = _runner(request, console)
    if task.out == STREAM:
        _check_stdout(console)
    for file in task.outputs.values():
        if file != STREAM:
            check_output(file, request.keeps_files)
    with console.status(kind.command, _size(task) > _MIN_STATUS_BYTES):
        record = runner.run(task, console.warn)
    record["warnings"] = console.take_warnings()
    primary, ms = record[kind.primary], record["ms"]
    console.note(
        f"{'would write' if request.dry_run else 'wrote'} {'stdout' if task.out == STREAM else task.out}: "
        f"{primary['width']} x {primary['height']}, {task.mode}, {ms['total'] / 1e3:.2f} s{_report(task, record)}",
        ms=ms,
        output=record["output"],
    )
    console.detail(", ".join(f"{name} {ms[name]:.0f} ms" for name in ("decode", kind.phase, "encode")))
    console.result(status="ok", dry_run=request.dry_run, threads=get_num_threads(), **record)


def _check_stdout(console: Console) -> None:
    """Refuses to write an image to stdout if it is a terminal, closed, or used by --json."""
    if console.as_json:
        raise RunError("--json and -o - both write to stdout; write to a file", Code.USAGE)
    if sys.stdout is None:
        raise RunError("-o -: stdout is closed", Code.USAGE)
    if sys.stdout.isatty():
        raise RunError("-o - would write an image to the terminal; redirect stdout", Code.USAGE)


def _size(task: Task) -> float:
    """Returns the size of a task's files in bytes; infinity with a stream, whose size is unknown."""
    total = 0.0
    for path in task.files.values():
        try:
            total += math.inf if path == STREAM else os.path.getsize(path)
        except OSError:
            continue
    return total


def _report(task: Task, record: Mapping[str, Any]) -> str:
    """Returns the report on a finished image, without its size."""
    figures = record.get("harmonize")
    if figures is None:
        return "; unchanged" if record["unchanged"] else ""
    if figures["method"] == "copy":
        why = f": {task.words.reason(figures['reason'])}" if figures["reason"] else ""
        hint = f", confidence {figures['confidence']:.2g}; --no-guard applies it" if figures["held_back"] else ""
        return f"; unchanged{why}{hint}"
    change = f"; changed by {figures['change']:.2g} of 255"
    if figures["held_back"]:
        return f"{change}, reduced by the guard from {figures['asked']:.2g}; --no-guard applies all of it"
    return f"{change}, confidence {figures['confidence']:.2g}" + (f": {figures['reason']}" if figures["reason"] else "")


def make_all(tasks: list[tuple[dict[str, Any], Task]], request: Request, console: Console) -> None:
    """Runs tasks, each with fields that identify it, such as its line; continues if one fails."""
    start = time.perf_counter()
    items: dict[int, dict[str, Any]] = {}
    failed = 0

    def finish(status: str) -> None:
        figures = {"threads": get_num_threads(), "count": len(tasks), "failed": failed}
        every = [items[number] for number in sorted(items)]
        console.result(
            status=status, dry_run=request.dry_run, **figures, ms={"total": milliseconds(start)}, items=every
        )

    run = _side_by_side if request.jobs > 1 else _in_order
    try:
        with console.progress(len(tasks), request.kind.command) as advance:
            for number, record in run(tasks, request, console):
                key, task = tasks[number]
                where = _where(key)
                if isinstance(record, RunError):
                    failed += 1
                    names_file = "line" not in key and record.argument in task.files
                    console.error(record if names_file else record.within(where), **key)
                    item = {**key, "status": "error", "output": {"path": task.out, "written": False}}
                    item["error"] = record_of(record)
                else:
                    item = {**key, "status": "ok", **record}
                    report = _report(task, record)
                    if task.kind.harmonizes and record["unchanged"]:
                        console.warn(f"{where}{report[2:]}")
                    console.detail(f"wrote {task.out}: {record['ms']['total'] / 1e3:.2f} s{report}")
                items[number] = {**item, "warnings": console.take_warnings()}
                advance()
    except KeyboardInterrupt:
        finish("interrupted")
        report = f"{len(items) - failed} of {len(tasks)} images were written"
        raise RunError(f"interrupted; {report}", Code.INTERRUPTED) from None
    finish("some failed" if failed else "ok")
    if failed:
        what = "rows" if "line" in tasks[0][0] else "images"
        raise RunError(f"{failed} of {len(tasks)} {what} failed", Code.SOME_FAILED)
    seconds = time.perf_counter() - start
    console.note(f"{'would write' if request.dry_run else 'wrote'} {len(tasks)} images, {seconds:.2f} s")


_Records = Iterator[tuple[int, dict[str, Any] | RunError]]


def _where(key: Mapping[str, Any]) -> str:
    return f"line {key['line']}: " if "line" in key else f"{key['name']}: "


def _prepare(task: Task, request: Request) -> None:
    """Makes the folders of the outputs of a task, if they are in the folder of the request."""
    if request.output is not None and not request.dry_run:
        for file in task.outputs.values():
            with writing(file):
                Path(file).parent.mkdir(parents=True, exist_ok=True)


def _in_order(tasks: list[tuple[dict[str, Any], Task]], request: Request, console: Console) -> _Records:
    """Yields the number and the record, or the failure, of each task."""
    runner = _runner(request, console)
    for number, (key, task) in enumerate(tasks):
        try:
            _prepare(task, request)
            record = runner.run(task, console.warn, _where(key))
        except Exception as error:
            yield number, in_flags(as_failure(error))
        else:
            yield number, record


def _side_by_side(tasks: list[tuple[dict[str, Any], Task]], request: Request, console: Console) -> _Records:
    """As `_in_order`, by several processes, and as the tasks end."""
    from ..runs.batch.pool import Item, ListSettings, Order, Pool

    device = request.device or "auto"
    settings = ListSettings(
        request.kind.command, output="", max_pixels=request.max_pixels, threads=request.threads or 1, device=device,
        dry_run=request.dry_run,
    )  # fmt: skip
    unmade: list[tuple[int, RunError]] = []

    def orders() -> Iterator[Order]:
        for number, (_, task) in enumerate(tasks):
            try:
                _prepare(task, request)
            except RunError as failure:
                unmade.append((number, in_flags(failure)))
                continue
            inputs = {name: task.files[name] for name in task.kind.inputs if name in task.files}
            yield Order(number, Item(str(number), inputs, task.values, task.out), request.overwrite)

    with Pool(settings, request.jobs) as pool:
        for outcome in pool.outcomes(orders()):
            record = outcome.record
            if outcome.is_error:
                about = record.get("code"), record.get("argument")
                failure = RunError(record["message"], Code(record["exit_code"]), record["kind"], *about)
                yield outcome.number, failure
            else:
                for text in record["warnings"]:
                    console.warn(_where(tasks[outcome.number][0]) + text)
                yield outcome.number, record["task"]
    yield from unmade
