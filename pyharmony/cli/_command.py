"""Turns functions into commands; options that several commands share are declared once."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .._public import former_name
from ..errors import RunError
from ..runs._jobs.failures import Code
from . import _modules
from ._console import Console


def option(metavar: str, help: str, *flags: str, **more: Any) -> Any:
    """Returns the description of an option with a value; without flags, its flag is the name of the parameter."""
    return typer.Option(*flags, metavar=metavar, help=help, **more)


def switch(flag: str, help: str, **more: Any) -> Any:
    """Returns the description of an option without a value."""
    return typer.Option(flag, help=help, **more)


def argument(metavar: str, help: str) -> Any:
    """Returns the description of an argument."""
    return typer.Argument(metavar=metavar, help=help)


_CONSOLE_OPTIONS = {
    "as_json": Annotated[bool, switch("--json", "Print one JSON object on stdout.")],
    "verbose": Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log details; twice: everything.")],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Log errors only.")],
    "log_json": Annotated[bool, switch("--log-json", "Log to stderr as JSON, one object a line.")],
    "debug": Annotated[bool, switch("--debug", "Show the traceback of an error.")],
}

Overwrite = Annotated[bool, switch("--overwrite", "Replace OUT if it already exists.")]

COLUMN_FORM = "NAME=COLUMN, such as image=photo"
#: The columns of a table that are called otherwise.
Columns = Annotated[
    list[str] | None,
    option(
        "NAME=COLUMN", "The column of a table for an input or option that has another name; repeatable.", "--column"
    ),
]

TorchDevice = Annotated[str | None, option("cpu|cuda", "[default: a GPU if there is one]", "--device")]


def pairs_of(flag: str, texts: Iterable[str] | None, form: str) -> dict[str, str]:
    """Returns the names and values of a repeatable option of the form NAME=VALUE."""
    pairs = {}
    for text in texts or ():
        name, mark, value = text.partition("=")
        if not mark:
            raise RunError(f"{flag}: {text!r}, expected {form}", Code.USAGE)
        pairs[name] = value
    return pairs


#: The image that a command writes.
Output = Annotated[str, option("OUT", "The image to write, or - for stdout.", "--output", "-o")]


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def command(
    schema: str, *, verbose: bool = False, renamed: Mapping[str, str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turns a function into a command; the function gets a `Console` as its first argument.

    A parameter of the function whose type is a dataclass is replaced by the dataclass's fields, which become options.
    schema is the command's name in its JSON; with verbose it has --verbose, --quiet and --log-json too. renamed: see
    `with_former`.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()

        def call(console: Console, values: dict[str, Any]) -> None:
            function(console, **_arguments_of(own, values))

        run = runner(schema, _expanded(own), call, verbose)
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        vars(run)["command_class"] = with_former(renamed or {})
        return run

    return decorate


def runner(
    schema: str,
    parameters: Iterable[inspect.Parameter],
    call: Callable[[Console, dict[str, Any]], None],
    verbose: bool = True,
) -> Callable[..., None]:
    """Returns a function for typer with these parameters and the console's; it runs `call` in the console's session."""
    parameters = list(parameters)
    console_options = _CONSOLE_OPTIONS if verbose else {name: _CONSOLE_OPTIONS[name] for name in ("as_json", "debug")}

    def run(**values: Any) -> None:
        console = Console(schema, **{name: values.pop(name) for name in console_options})
        console.names = names_of(parameters)
        with console.session():
            _modules.run_named()
            while _notes:
                console.warn(_notes.pop(0))
            call(console, values)

    last = [parameter(name, kind, 0 if name == "verbose" else False) for name, kind in console_options.items()]
    every = [*(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters), *last]
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in every}
    return run


#: The warnings of former options of the command line that is being run.
_notes: list[str] = []


def with_former(renamed: Mapping[str, str], bare: Callable[[str, str], bool] | None = None) -> type[TyperCommand]:
    """Returns the class of a command that refuses empty values, and takes former options for a release, with a warning.

    renamed: the present options by the former names; an error names one that the command does not have.
    bare: returns whether an option, before a word, has no value, as when it was a flag; it is turned on then.
    """

    class Command(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            own = {flag for one in self.params for flag in (*one.opts, *one.secondary_opts)}
            end = args.index("--") if "--" in args else len(args)
            for word, before in zip(args, ["", *args]):
                name = before if not word else word[:-1] if word.endswith("=") and word[:-1] in own else None
                if name is not None:
                    ctx.fail(f"{name if name in own else 'An argument'} is empty, expected a value.")
            words: list[str] = []
            _notes.clear()
            for word, following in zip(args[:end], [*args[1:end], "-"]):
                name, sign, value = word.partition("=")
                new = renamed.get(name[2:].replace("-", "_")) if name.startswith("--") else None
                if new is None:
                    words.append(f"{word}=yes" if bare is not None and bare(word, following) else word)
                    continue
                if new not in own:
                    ctx.fail(f"No such option: {name}. Use {new} instead.")
                if any(one.partition("=")[0] == new for one in args[:end]):
                    ctx.fail(f"{name}: passed beside {new}, its new name; expected one of them")
                _notes.append(former_name(name, new))
                words += [new, value] if sign else [new]
            return super().parse_args(ctx, [*words, *args[end:]])

    return Command


def names_of(parameters: Iterable[inspect.Parameter]) -> dict[str, str]:
    """Returns the names of parameters on the command line: the flags of options, the metavars of arguments."""
    return {p.name: _name_in_messages(p.name, *getattr(p.annotation, "__metadata__", ())) for p in parameters}


def _name_in_messages(name: str, about: Any = None, *_: Any) -> str:
    if isinstance(about, typer.models.ArgumentInfo):
        return about.metavar or name.upper()
    flags = (part for declared in getattr(about, "param_decls", None) or () for part in declared.split("/"))
    names = [flag for flag in flags if flag.startswith("-")]
    return next((flag for flag in names if flag.startswith("--")), names[0] if names else f"--{name.replace('_', '-')}")


def fields_of(group: Any) -> list[inspect.Parameter]:
    """Returns the fields of a dataclass as parameters."""
    return list(inspect.signature(group, eval_str=True).parameters.values())


def _expanded(parameters: Iterable[inspect.Parameter]) -> Iterator[inspect.Parameter]:
    """Yields the parameters, each dataclass replaced by its fields."""
    for p in parameters:
        if dataclasses.is_dataclass(p.annotation):
            yield from _expanded(fields_of(p.annotation))
        else:
            yield p


def _arguments_of(parameters: Iterable[inspect.Parameter], values: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of the function: the values, with those of a dataclass's fields collected in it."""
    arguments = {}
    for p in parameters:
        kind: Any = p.annotation
        is_group = dataclasses.is_dataclass(kind)
        arguments[p.name] = kind(**_arguments_of(fields_of(kind), values)) if is_group else values[p.name]
    return arguments
