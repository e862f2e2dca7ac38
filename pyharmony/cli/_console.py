"""The output of commands: results as JSON on stdout, all messages on stderr."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import math
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import typer

from .._version import __version__
from ..errors import PyHarmonyWarning, RunError
from ..runs._jobs.failures import Code, Words, as_failure, finite, record_of, writing

_LIBRARY = logging.getLogger("pyharmony")
_LOG = logging.getLogger("pyharmony.cli")
_SCHEMA = 1
_PAUSE = 30.0  # the seconds between two lines about a long run
_COLOURS = {logging.WARNING: "33", logging.ERROR: "31"}


class _Handler(logging.Handler):
    """A handler that writes a line of text or JSON to stderr for each record, and stores the texts of warnings."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno == logging.WARNING:
            self.warnings.append(text)
        escaped = printable(text)
        if self.as_json:
            fields = getattr(record, "fields", {})
            line = json.dumps({"time": record.created, "level": record.levelname.lower(), "message": text, **fields})
        elif record.levelno > logging.INFO:
            line = f"{coloured(record.levelname.lower(), _COLOURS.get(record.levelno, '31'))}: {escaped}"
        else:
            line = escaped
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                print(line, file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Escapes control and invisible characters in text, which may contain names of untrusted files."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def coloured(text: str, code: str) -> str:
    """Returns text in a colour if stderr is a terminal and NO_COLOR is not set (https://no-color.org)."""
    if not _on_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


#: The remedies of errors in flags, by code, in place of those of Python.
_REMEDIES = {
    "unexpected": "--debug shows the traceback",
    "output-missing": "-o OUT is missing",
    "output-exists": "--overwrite replaces it",
    "outputs-exist": "--overwrite replaces",
    "has-run": "--resume continues it, --restart begins again",
    "other-run": "--restart begins again, replacing what it wrote",
    "changed-in-shard": "--restart begins again",
    "results-are-source": "--results names another file",
    "results-exist": "--results names another file, --on-exist skip or overwrite replaces it",
    "other-inputs-missing": "--with INPUT=PATH has {missing}, or a table does",
    "damaged-ledger": "delete {what}, and --on-exist says what becomes of outputs",
    "disk-full": "--resume continues",
}


def in_flags(failure: RunError) -> RunError:
    """Returns an error with its remedy as the command line has it."""
    remedy = _REMEDIES.get(failure.code)
    if remedy is None:
        return failure
    about = (failure.exit_code, failure.kind, failure.code, failure.argument)
    return RunError(failure.text, *about, hint=remedy.format(**failure.details), **failure.details)


class Console:
    """The output of one run of a command, by its name in JSON: its messages, progress and JSON."""

    def __init__(
        self,
        command: str,
        *,
        as_json: bool = False,
        verbose: int = 0,
        quiet: bool = False,
        log_json: bool = False,
        debug: bool = False,
    ) -> None:
        self.command, self.as_json = command, as_json
        self.names: dict[str, str] = {}  # the command-line names of the parameters, by parameter
        self.debug = debug or verbose > 1
        self.plain = log_json or quiet or not _on_terminal()  # whether progress is not shown
        self._quiet, self._verbose = quiet, verbose
        self._handler = _Handler(log_json)
        self._has_result = False  # whether the one JSON object was written
        self._some_failed = False

    def note(self, text: str, **fields: Any) -> None:
        """Logs an informational message; the fields are added with --log-json."""
        _LOG.info(text, extra={"fields": fields})

    def warn(self, text: str) -> None:
        """Logs a warning, which is also among the warnings of --json."""
        _LOG.warning(text)

    def detail(self, text: str) -> None:
        """Logs a message that is shown with --verbose."""
        if self._verbose:
            _LOG.info(text)

    def error(self, failure: RunError, **fields: Any) -> None:
        _LOG.error(str(failure), extra={"fields": {"code": int(failure.exit_code), "kind": failure.kind, **fields}})

    def words(
        self,
        names: Mapping[str, str] | None = None,
        *,
        files: Mapping[str, str] | None = None,
        texts: Mapping[str, str] | None = None,
        hints: Mapping[str, str] | None = None,
    ) -> Words:
        """Returns the texts of the library's messages, see `Words`; names: those beside the parameters' own."""
        return Words({**self.names, **(names or {})}, files or {}, texts or {}, hints or {})

    def problems(self, problems: Iterable[Any]) -> list[dict[str, str]]:
        """Reports samples that failed, and returns them for the JSON object."""
        rows = [{"name": problem.name, "message": problem.message} for problem in problems]
        for row in rows:
            self.error(RunError(row["message"], Code.SOME_FAILED, "problem"), name=row["name"])
        return rows

    def take_warnings(self) -> list[str]:
        """Returns the warnings since the last call."""
        texts, self._handler.warnings = self._handler.warnings, []
        return texts

    def result(self, **fields: Any) -> None:
        """Writes the object of --json. With `problems` the status is that of the samples, and so is the exit code."""
        self._has_result = True
        if "problems" in fields:
            self._some_failed = bool(fields["problems"])
            fields = {"status": "some failed" if self._some_failed else "ok", **fields}
        if self.as_json:
            head = {"schema": f"pyharmony.{self.command}/{_SCHEMA}", "pyharmony": __version__}
            self.print_text(json.dumps(finite({**head, **fields}), allow_nan=False))

    def report(self, text: str) -> None:
        """Writes a text for people to stdout, unless --json writes its object there."""
        if not self.as_json:
            self.print_text(text)

    @staticmethod
    def print_text(text: str) -> None:
        """Writes text to stdout."""
        with writing("stdout"):
            print(printable(text), flush=True)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Sets up logging, and turns errors into one line, a JSON object and an exit code."""
        if not gc.isenabled():  # in a process of its own
            gc.freeze()  # modules stay until the end: no collection need visit what they have defined, nor the last one
            gc.enable()
        before, filters = (_LIBRARY.level, _LOG.level), warnings.catch_warnings()
        levels = (logging.WARNING, logging.INFO, logging.DEBUG)  # levels of the library's own messages
        _LIBRARY.setLevel(logging.ERROR if self._quiet else levels[min(self._verbose, 2)])
        _LOG.setLevel(logging.ERROR if self._quiet else logging.INFO)
        _LIBRARY.addHandler(self._handler)

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            _LOG.warning(str(message))

        filters.__enter__()
        warnings.simplefilter("always", PyHarmonyWarning)
        warnings.filterwarnings("default", ".*; the next release does not take the old ", DeprecationWarning)
        warnings.showwarning = show
        try:
            if self._quiet and self._verbose:
                raise RunError("--quiet and --verbose exclude each other", Code.USAGE)
            yield
            if self._some_failed:
                raise typer.Exit(Code.SOME_FAILED)
        except typer.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:
            failure = in_flags(as_failure(error))
            if self.debug:
                print(printable(traceback.format_exc()), file=sys.stderr)
            self.error(failure)
            _leave_broken_stdout()
            if not self._has_result:
                with contextlib.suppress(RunError):
                    self.result(status="error", error=record_of(failure))
            raise typer.Exit(failure.exit_code) from None
        finally:
            _LIBRARY.removeHandler(self._handler)
            _LIBRARY.setLevel(before[0])
            _LOG.setLevel(before[1])
            filters.__exit__(None, None, None)

    @contextlib.contextmanager
    def progress(self, total: int, what: str) -> Iterator[Callable[[], None]]:
        """Shows a bar on a terminal's stderr; yields the function to call after each of total steps."""
        if self.plain or total < 2:
            yield lambda: None
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)

    @contextlib.contextmanager
    def long_progress(self, what: str) -> Iterator[Callable[[int, int, str], None]]:
        """Shows the progress of a long run: a bar on a terminal's stderr, else a line now and then.

        Yields the function to call after each step with the steps that are done, all of them, and a text.
        """
        if self.plain:
            last = time.monotonic()

            def note(done: int, total: int, text: str) -> None:
                nonlocal last
                if time.monotonic() - last >= _PAUSE:
                    last = time.monotonic()
                    self.note(f"{done:,} of {total:,}, {text}", done=done, total=total)

            yield note
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        text = TextColumn("{task.fields[text]}")
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), text
        with Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None, text="")
            yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)

    @contextlib.contextmanager
    def status(self, what: str, long: bool) -> Iterator[None]:
        """Shows an activity indicator on a terminal's stderr during one long step."""
        if self.plain or not long:
            yield
            return
        from rich.console import Console as RichConsole

        with RichConsole(stderr=True).status(what):
            yield


def _leave_broken_stdout() -> None:
    """Discards stdout's buffer, which would raise the error again when Python exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def duration(seconds: float) -> str:
    """Returns a time in words, such as '2 h 05 min'."""
    if not math.isfinite(seconds):
        return "unknown time"
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60:02} min"


def table(rows: list[list[str]], indent: str = "") -> str:
    """Returns rows of equal length as text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(indent + line.rstrip() for line in lines)
