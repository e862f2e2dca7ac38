"""The tree of commands."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .._version import __version__
from . import _modules
from ._command import option, switch
from ._console import printable

#: The module of this package that defines each command, a function of the command's name or a group's `app`.
_MODULES = {
    "apply-edit": "apply_edit",
    "batch": "batch",
    "blend": "blend",
    "compose": "compose",
    "edit": "blend",
    "harmonize": "harmonize",
    "mcp": "mcp",
    "merge": "merge",
    "place": "place",
    "reflection": "reflection",
    "remove": "remove",
    "segment": "segment",
    "serve": "serve",
    "shadow": "shadow",
    "sign": "sign",
    "super-resolve": "super_resolve",
    "demo": "demo",
    "info": "info",
    "doctor": "doctor",
    "bench": "bench",
    "train": "train",
    "evaluate": "evaluate",
    "models": "models",
    "data": "data",
}


class WholeSummaries(TyperGroup):
    """A command group whose help lists the whole first sentence of each command, wrapped over several lines."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        rows = [(name, self.commands[name].get_short_help_str(limit=1000)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class _Commands(Mapping[str, Any]):
    """The commands by name; a command's module is imported when the command is first read."""

    def __init__(self) -> None:
        self._load = functools.cache(_load)

    def __getitem__(self, name: str) -> Any:
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


def _load(name: str) -> Any:
    """Returns the command of this name, from its module."""
    module = importlib.import_module(f".{_MODULES[name]}", __package__)
    parent = _typer()
    parent.callback()(lambda: None)  # so that it is a group
    if hasattr(module, "app"):
        parent.add_typer(module.app, cls=WholeSummaries)
    else:
        function = getattr(module, name.replace("-", "_"))
        parent.command(name, cls=getattr(function, "command_class", None))(function)
    return typer.main.get_group(parent).commands[name]


class Root(WholeSummaries):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_AS_JSON] = "--json" in args
        with _usage_errors(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with _usage_errors(ctx):
            return super().invoke(ctx)


#: The key in the context of whether the command line has --json.
_AS_JSON = "pyharmony.json"


@contextlib.contextmanager
def _usage_errors(ctx: Any) -> Iterator[None]:
    """Writes the object of --json for an error of typer's parser, which comes before the command that would.

    Its message repeats words of the command line, such as names that a shell expanded.
    """
    try:
        yield
    except Exception as error:
        if hasattr(error, "message"):
            error.message = printable(str(error.message))
        if hasattr(error, "format_message") and ctx.meta[_AS_JSON]:
            _print_usage_error(getattr(error, "ctx", None) or ctx, error.format_message())
        raise


def _print_usage_error(ctx: Any, message: str) -> None:
    from ..errors import RunError
    from ..runs._jobs.failures import Code, as_failures
    from ._console import Console

    console = Console(".".join(ctx.command_path.split()[1:]) or "usage", as_json=True)
    with as_failures(), contextlib.suppress(RunError):
        console.result(status="error", error={"kind": "usage", "message": message, "exit_code": int(Code.USAGE)})


def _typer(**attributes: Any) -> typer.Typer:
    # The help is plain: formatting it with rich would cost 80 ms at every --help and every usage error.
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, **attributes)


app = _typer(
    name="pyharmony",
    cls=Root,
    help="Composite a part of one image into another, matched to its new surroundings.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


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

    Some C code discards exceptions, as when it imports a module or tests for an attribute, and Python those of
    callbacks. So the exception is raised again until it propagates through Python code, and no traceback is printed
    where it was discarded.
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
        report = sys.unraisablehook

        def report_others(discarded: Any) -> None:
            if self.exception is None or discarded.exc_value is not self.exception:
                report(discarded)

        sys.unraisablehook = report_others

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
