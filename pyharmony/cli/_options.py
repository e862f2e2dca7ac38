"""The parameters of the commands on images, from the descriptions of their calls."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .._calls import IMAGE, Call, Option, harmonize_methods
from ..errors import RunError
from ..runs._jobs.failures import Code
from ..runs._jobs.task import Request
from . import _command
from ._command import COLUMN_FORM, Columns, Overwrite, fields_of, names_of, pairs_of, parameter, runner, with_former
from ._console import Console

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
    if option.auto or option.none or option.word or kind not in (bool, int, float):
        kind = words(option.name, kind) if isinstance(kind, tuple) and not (option.auto or option.none) else str
    flags = [f"{option.flag}/{option.off}" if option.off else option.flag]
    typer_option = typer.Option(
        *flags,
        metavar=option.shown,
        help=option.help,
        min=option.low if kind in (int, float) and is_bounded else None,
        max=option.high if kind in (int, float) and is_bounded else None,
        show_default=False,
        hidden=bool(option.replaced_by),
        autocompletion=harmonize_methods if option.name in ("method", "harmonize") else None,
    )
    return Annotated[list[kind] | None if option.each or option.many else kind | None, typer_option]


def parameters_of(call: Call) -> list[inspect.Parameter]:
    """Returns the options of a call as parameters of a command."""
    return [parameter(option.name, _annotation(option, is_bounded=False)) for option in call.flat]


def values_of(call: Call, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of the options that were set, converted; refuses options that exclude each other."""
    result: dict[str, Any] = {}
    for option in call.flat:
        value = values.get(option.name)
        if value is None or (isinstance(value, (list, tuple)) and not value):
            continue
        is_list = isinstance(value, (list, tuple))
        parts = [converted(option, one) for one in (value if is_list else [value])]
        result[option.name] = option.gathered(parts) if is_list else parts[0]
    for option in call.options:
        first = next((one for one in option.inner if one.name in result), None)
        if first is not None and result.get(option.name) is False:
            raise RunError(f"{option.flag} off and {first.flag} exclude each other", Code.USAGE)
    return call.grouped(result)


def converted(option: Option, value: Any) -> Any:
    """Returns the value of a text; other values are returned as they are, and None, which is not set."""
    value = value.value if isinstance(value, Enum) else value
    if option.type is IMAGE and not os.path.exists(value):
        raise RunError(f"{option.flag}: {value}: no such file or directory", Code.INPUT, "FileNotFoundError")
    try:
        result = option.converted(value) if isinstance(value, str) else value
        option.check(result)
    except ValueError as error:
        raise RunError(f"{option.flag}: {value!r}, expected {error}", Code.USAGE) from None
    return result


def described_by(call: Call) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turns a function into a command with the options of a call.

    The function gets a `Console` first. Its parameter `options` is replaced by them: a dict of the values that were
    set, by name; a parameter `request` by all of a command that computes one image or a list of them.
    """
    parts = {"options": (parameters_of, values_of), "request": (_parameters_of_request, _request_of)}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        parameters = [one for p in own for one in (parts[p.name][0](call) if p.name in parts else [p])]

        def work(console: Console, values: dict[str, Any]) -> None:
            console.names = names_of(parameters) | {one.each: one.flag for one in call.options if one.each}
            for option in call.options:
                start = len(option.name)
                console.names |= {f"{option.name}.{one.name[start + 1 :]}": one.flag for one in option.inner}
            arguments = {p.name: parts[p.name][1](call, values) if p.name in parts else values[p.name] for p in own}
            function(console, **arguments)

        run = runner(call.command, parameters, work)
        run.__name__, run.__doc__ = function.__name__, function.__doc__
        vars(run)["command_class"] = command_of(call)
        return run

    return decorate


def _parameters_of_request(call: Call) -> list[inspect.Parameter]:
    """Returns the inputs, the output and the options of a command that computes one image or a list of them."""
    table = typer.Option(
        "--list",
        metavar="TRIPLES.csv" if len(call.inputs) == 3 else "PICTURES.csv",
        help=f"{call.command.capitalize()} each row: columns {', '.join(call.inputs)}, out, and any option's name.",
    )
    inputs = {name: typer.Argument(metavar=name.upper(), help=about) for name, about in call.inputs.items()}
    return [
        *(parameter(name, Annotated[str | None, argument]) for name, argument in inputs.items()),
        parameter("output", Annotated[str | None, _OUTPUT]),
        *(parameter(option.name, _annotation(option)) for option in call.options),
        parameter("table", Annotated[str | None, table]),
        parameter("columns", Columns),
        *fields_of(Run),
    ]


def _request_of(call: Call, values: Mapping[str, Any]) -> Request:
    """Returns the request of the values of these parameters."""
    plain = {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
    if plain["columns"] and plain["table"] is None:
        raise RunError("--column is for --list", Code.USAGE)
    return Request(
        kind=call,
        inputs={name: plain[name] for name in call.inputs},
        output=plain["output"],
        options={
            one.name: converted(one, plain[one.name]) if one.word or one.none else plain[one.name]
            for one in call.options
        },
        table=plain["table"],
        columns=pairs_of("--column", plain["columns"], COLUMN_FORM),
        **{field.name: plain[field.name] for field in fields_of(Run)},
    )


def command_of(call: Call) -> type[TyperCommand]:
    """Returns the class of the command of a call, which takes former options."""
    old_flags = {one.flag for one in call.flat if one.was_flag}

    def is_bare(word: str, following: str) -> bool:
        if word not in old_flags:
            return False
        return following.startswith("-") or (following not in harmonize_methods() and os.path.isfile(following))

    return with_former(call.renamed, is_bare)
