"""The parameters of the commands on images, from the descriptions of their calls."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .._calls import IMAGE, Call, Group, Kind, Option, harmonize_methods
from .._jobs.failures import Code
from .._jobs.task import Request
from ..errors import RunError
from . import _command
from ._command import COLUMN_FORM, Columns, Overwrite, fields_of, names_of, pairs_of, parameter, runner
from ._console import Console

Make = Callable[[Console, Request, str | None], None]

_OUTPUT = typer.Option(
    "--output", "-o", metavar="OUT", help="The file to write, or - for stdout; a folder for several images."
)


class Device(str, Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class Run:
    """The options of a run that concern all its images."""

    max_pixels: Annotated[
        str | None, _command.option("N", "The largest image to decode; 64M is 64 million.  [default: 256M]")
    ] = None
    overwrite: Overwrite = False
    dry_run: Annotated[bool, _command.switch("--dry-run", "Do everything except writing.")] = False
    threads: Annotated[int | None, _command.option("N", "Threads of a blend.  [default: one per core]", min=1)] = None
    jobs: Annotated[
        int, _command.option("N", "Processes for the images of a list or a folder.", "--jobs", "-j", min=1)
    ] = 1
    device: Annotated[Device | None, typer.Option(help="Where to compute.  [default: auto]")] = None
    strict: Annotated[bool, _command.switch("--strict", "Fail if the device is not available.")] = False


def words(name: str, choices: tuple[str, ...]) -> Any:
    """Returns the type of an option that accepts some words."""
    return Enum(name, {choice.replace("-", "_"): choice for choice in choices}, type=str)


def _annotation(option: Option, *, is_bounded: bool = True) -> Any:
    """Returns the type of an option; is_bounded: whether the parser checks the bounds of numbers."""
    kind: Any = option.type
    if option.auto or option.none or kind not in (bool, int, float):
        kind = words(option.name, kind) if isinstance(kind, tuple) and not (option.auto or option.none) else str
    flags = [f"{option.flag}/{option.off}" if option.off else option.flag]
    typer_option = typer.Option(
        *flags,
        metavar=option.shown,
        help=option.help,
        min=option.low if kind in (int, float) and is_bounded else None,
        max=option.high if kind in (int, float) and is_bounded else None,
        show_default=False,
        autocompletion=harmonize_methods if option.name in ("method", "harmonize") else None,
    )
    return Annotated[list[kind] | None if option.each or option.many else kind | None, typer_option]


def _with_groups(call: Call) -> Iterator[Option]:
    """Yields the options of a call, and after a step, or in place of a Group that is none, those of its arguments."""
    for option in call.options:
        is_group = isinstance(option.type, Group)
        if not is_group or option.type.is_step:
            yield option
        if is_group:
            yield from option.inner


def parameters_of(call: Call) -> list[inspect.Parameter]:
    """Returns the options of a call as parameters of a command."""
    return [parameter(option.name, _annotation(option, is_bounded=False)) for option in _with_groups(call)]


def values_of(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of the options that were set, converted; refuses options that exclude each other."""
    result: dict[str, Any] = {}
    for option in _with_groups(call):
        value = values.get(option.name)
        if value is None or (isinstance(value, (list, tuple)) and not value):
            continue
        is_list = isinstance(value, (list, tuple))
        parts = [_converted(option, one) for one in (value if is_list else [value])]
        result[option.name] = option.gathered(parts) if is_list else parts[0]
    for option in call.options:
        if isinstance(option.type, Group):
            before = f"{option.name}_"
            arguments = {name: result.pop(name) for name in list(result) if name.startswith(before)}
            if arguments and result.get(option.name) is False:
                first = replace(option, name=next(iter(arguments))).flag
                raise RunError(f"{option.flag} off and {first} exclude each other", Code.USAGE)
            if arguments:
                result[option.name] = {name.removeprefix(before): value for name, value in arguments.items()}
    return result


def _converted(option: Option, value: Any) -> Any:
    value = value.value if isinstance(value, Enum) else value
    if option.type is IMAGE and not os.path.exists(value):
        raise RunError(f"{option.flag}: {value}: no such file or directory", Code.INPUT, "FileNotFoundError")
    try:
        converted = option.converted(value) if isinstance(value, str) else value
        option.check(converted)
    except ValueError as error:
        raise RunError(f"{option.flag}: {value!r}, expected {error}", Code.USAGE) from None
    return converted


def described_by(call: Call) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turns a function into a command with the options of a call.

    The function gets a `Console` first; its parameter `options` is replaced by them: a dict of the values that were
    set, by name.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [one for p in own for one in (parameters_of(call) if p.name == "options" else [p])]

        def work(console: Console, values: dict[str, Any]) -> None:
            console.names = names_of(parameters) | {one.each: one.flag for one in call.options if one.each}
            for option in call.options:
                if isinstance(option.type, Group):
                    console.names |= {one.name.replace("_", ".", 1): one.flag for one in option.inner}
            options = values_of(call, values)
            function(console, **{p.name: options if p.name == "options" else values[p.name] for p in own})

        run = runner(call.command, parameters, work)
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        vars(run)["command_class"] = _command_of(call)
        return run

    return decorate


def _command_of(call: Call) -> type[TyperCommand]:
    """Returns the class of the command of a call, which names the new spelling if an old one is used."""

    class Command(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            options = args[: args.index("--")] if "--" in args else args
            for name in (one.partition("=")[0] for one in options if one.startswith("--")):
                new = call.renamed.get(name[2:].replace("-", "_"))
                if new is not None:
                    ctx.fail(f"No such option: {name}. Use {new} instead.")
            return super().parse_args(ctx, args)

    return Command


def makes(kind: Kind) -> Callable[[Make], Callable[..., None]]:
    """Turns a function into a command on images: it gets the console, the request, and the table of --list."""
    inputs = {name: typer.Argument(metavar=name.upper(), help=about) for name, about in kind.inputs.items()}
    table = typer.Option(
        "--list",
        metavar="TRIPLES.csv" if len(inputs) == 3 else "PICTURES.csv",
        help=f"{kind.command.capitalize()} each row: columns {', '.join(inputs)}, out, and any option's name.",
    )
    parameters = [
        *(parameter(name, Annotated[str | None, argument]) for name, argument in inputs.items()),
        parameter("output", Annotated[str | None, _OUTPUT]),
        *(parameter(option.name, _annotation(option)) for option in kind.options),
        parameter("table", Annotated[str | None, table]),
        parameter("columns", Columns),
        *fields_of(Run),
    ]

    def decorate(function: Make) -> Callable[..., None]:
        def call(console: Console, values: dict[str, Any]) -> None:
            plain = {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
            if plain["columns"] and plain["table"] is None:
                raise RunError("--column is for --list", Code.USAGE)
            request = Request(
                kind=kind,
                inputs={name: plain[name] for name in inputs},
                output=plain["output"],
                options={option.name: plain[option.name] for option in kind.options},
                columns=pairs_of("--column", plain["columns"], COLUMN_FORM),
                **{field.name: plain[field.name] for field in fields_of(Run)},
            )
            function(console, request, plain["table"])

        run = runner(kind.command, parameters, call)
        run.__doc__ = function.__doc__
        return run

    return decorate
