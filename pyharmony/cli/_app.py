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

from .._version import __version__
from . import (
    _modules,
    bench,
    blend,
    compose,
    data,
    demo,
    doctor,
    edit,
    evaluate,
    harmonize,
    info,
    models,
    place,
    reflection,
    segment,
    serve,
    shadow,
    super_resolve,
    train,
)

#: What may be taken for a command, and the one that does it.
_OPTIONS = {"merge": "compose --merge"}


class WholeSummaries(TyperGroup):
    """A group whose list of commands shows their first sentences whole, in as many lines as they need."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and args[0] in _OPTIONS:
            ctx.fail(f"No such command {args[0]!r}. It is `pyharmony {_OPTIONS[args[0]]}`.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        rows = [(name, self.commands[name].get_short_help_str(limit=1000)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


# The help is plain, because rich's would cost 80 ms at every --help and every wrong option.
app = typer.Typer(
    name="pyharmony",
    cls=WholeSummaries,
    help="Put a part of one image into another so that it belongs there.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("blend")(blend.blend)
app.command("compose")(compose.compose)
app.command("edit")(edit.edit)
app.command("harmonize")(harmonize.harmonize)
app.command("place")(place.place)
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


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"pyharmony {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    modules: Annotated[
        list[Path] | None,
        typer.Option(
            "--module",
            metavar="FILE",
            help="Run this Python file first, which makes networks of one's own known; may be given again.",
        ),
    ] = None,
) -> None:
    for path in modules or []:
        _modules.name(path)


def _terminate(*_: Any) -> None:
    raise SystemExit(128 + signal.SIGTERM)  # unwinds, so that unfinished files are removed


def run() -> None:
    signal.signal(signal.SIGTERM, _terminate)
    try:
        sys.exit(app(prog_name="pyharmony"))
    except SystemExit as ended:
        if ended.code in (128 + signal.SIGINT, 128 + signal.SIGTERM) and threading.active_count() > 1:
            _leave(int(ended.code))
        raise


def _leave(code: int) -> None:
    """Ends a process that a signal has stopped while other threads are at work.

    They may be within OpenCV, say, which aborts where Python has shut down before its call returns.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
