"""The parameters of the commands that make images, `blend`, `edit` and `harmonize`, from the table of their options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import typer

from .._jobs.options import Kind, Option, harmonize_methods
from .._jobs.task import Request
from ._command import Overwrite, fields_of, parameter, runner
from ._console import Console

Make = Callable[[Console, Request, str | None], None]

_OUTPUT = typer.Option(
    "--output", "-o", metavar="OUT", help="The file to write, or - for stdout; of a list or folder, a folder for all."
)


class Device(str, Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class Run:
    """The options of a run that do not belong to one image."""

    max_pixels: Annotated[
        str | None, typer.Option(metavar="N", help="Refuse larger images unread; 64M is 64 million.  [default: 256M]")
    ] = None
    overwrite: Overwrite = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but write.")] = False
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads of a blend.  [default: one a core]")
    ] = None
    device: Annotated[Device | None, typer.Option(help="Where to compute.  [default: auto]")] = None
    strict: Annotated[bool, typer.Option("--strict", help="Fail where the device cannot be had.")] = False


def words(name: str, choices: tuple[str, ...]) -> Any:
    """Returns the type of an option that takes one of some words."""
    return Enum(name, {choice.replace("-", "_"): choice for choice in choices}, type=str)


def _annotation(option: Option) -> Any:
    kind = words(option.name, option.type) if isinstance(option.type, tuple) else option.type
    flags = [f"{option.flag}/{option.off}" if option.off else option.flag] if option.type is bool else []
    told = typer.Option(
        *flags,
        metavar=option.metavar,
        help=option.help,
        min=option.low,
        max=option.high,
        autocompletion=harmonize_methods if option.name == "method" else None,
    )
    return Annotated[kind | None, told]


def makes(kind: Kind) -> Callable[[Make], Callable[..., None]]:
    """Makes a function a command on images: it gets the console, the request, and the table of --list."""
    inputs = {name: typer.Argument(metavar=name.upper(), help=about) for name, about in kind.inputs.items()}
    table = typer.Option(
        "--list",
        metavar="TRIPLES.csv" if len(inputs) == 3 else "PICTURES.csv",
        help=f"{kind.command.capitalize()} each row: columns {', '.join(inputs)}, out, and any option's name.",
    )
    parameters = [
        *(parameter(name, Annotated[str | None, told]) for name, told in inputs.items()),
        parameter("output", Annotated[str | None, _OUTPUT]),
        *(parameter(option.name, _annotation(option)) for option in kind.options),
        parameter("table", Annotated[str | None, table]),
        *fields_of(Run),
    ]

    def decorate(function: Make) -> Callable[..., None]:
        def call(console: Console, values: dict[str, Any]) -> None:
            plain = {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
            request = Request(
                kind=kind,
                inputs={name: plain[name] for name in inputs},
                output=plain["output"],
                options={option.name: plain[option.name] for option in kind.options},
                **{field.name: plain[field.name] for field in fields_of(Run)},
            )
            function(console, request, plain["table"])

        run = runner(kind.command, parameters, call)
        run.__doc__ = function.__doc__
        return run

    return decorate
