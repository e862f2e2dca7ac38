"""The tree of commands."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .._calls import COMPOSE, MERGE, PLACE
from .._version import __version__
from . import (
    _modules,
    bench,
    blend,
    compose,
    data,
    demo,
    doctor,
    evaluate,
    harmonize,
    info,
    merge,
    models,
    place,
    reflection,
    segment,
    serve,
    shadow,
    super_resolve,
    train,
)
from ._command import option, switch
from ._options import command_of


class WholeSummaries(TyperGroup):
    """A command group whose help lists the whole first sentence of each command, wrapped over several lines."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        rows = [(name, self.commands[name].get_short_help_str(limit=1000)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


# The help is plain: formatting it with rich would cost 80 ms at every --help and every usage error.
app = typer.Typer(
    name="pyharmony",
    cls=WholeSummaries,
    help="Composite a part of one image into another, matched to its new surroundings.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("blend")(blend.blend)
app.command("compose", cls=command_of(COMPOSE))(compose.compose)
app.command("edit")(blend.edit)
app.command("harmonize")(harmonize.harmonize)
app.command("merge", cls=command_of(MERGE))(merge.merge)
app.command("place", cls=command_of(PLACE))(place.place)
app.command("reflection")(reflection.reflection)
app.command("segment")(segment.segment)
app.command("serve")(serve.serve)
app.command("shadow")(shadow.shadow)
app.command("super-resolve")(super_resolve.super_resolve)
app.command("demo")(demo.demo)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(models.app, cls=WholeSummaries)
app.add_typer(data.app, cls=WholeSummaries)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"pyharmony {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, switch("--version", "Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
    modules: Annotated[
        list[Path] | None,
        option("FILE", "Run this Python file first, which registers your own networks; repeatable.", "--module"),
    ] = None,
) -> None:
    for path in modules or []:
        _modules.name(path)


class _SignalExit:
    """Ends the command by an exception when a signal arrives, so that unfinished files are removed.

    Some C code discards exceptions, as when it imports a module or tests for an attribute. So the exception is raised
    again until it propagates through Python code.
    """

    _PERIOD = 0.1  # seconds

    def __init__(self) -> None:
        self.exception: BaseException | None = None

    def watch(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may ignore it
            signal.signal(signal.SIGINT, self._end)
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self._again)

    def leave(self) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _end(self, number: int, _: Any) -> None:
        self.exception = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, self._PERIOD, self._PERIOD)
        raise self.exception

    def _again(self, *_: Any) -> None:
        handled = sys.exc_info()[1]
        while handled is not None and handled is not self.exception:
            handled = handled.__context__
        if handled is None and self.exception is not None:
            raise self.exception


def run() -> None:
    ending = _SignalExit()
    ending.watch()
    try:
        sys.exit(app(prog_name="pyharmony"))
    except SystemExit as ended:
        ending.leave()
        stop_codes = (128 + signal.SIGINT, 128 + signal.SIGTERM)
        code = ended.code
        if isinstance(ending.exception, SystemExit) and code not in (0, None):
            code = ending.exception.code  # even if the interrupted import raised another error
        if code in stop_codes and threading.active_count() > 1:
            _leave(int(code))
        raise SystemExit(code) from None
    finally:
        ending.leave()


def _leave(code: int) -> None:
    """Ends a process after a signal while other threads are running.

    They may be within OpenCV, for example, which aborts if Python has shut down before its call returns.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
