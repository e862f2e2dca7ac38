"""Writes the man page from the command line's own options, and for the site the reference of docs/command-line.md.

    python tools/command_reference.py pyharmony.1

Each build writes the man page, and `make docs` the reference; the rest of that page is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from pyharmony.cli._app import app

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "command-line.md"


def leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the commands of a group and of the groups in it, by their names in full."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def commands() -> list[tuple[str, str, list[str], list[tuple[str, str]]]]:
    """Returns each command's usage, first line, further paragraphs, and arguments and options with their help."""
    root: Any = get_command(app)
    commands_ = []
    for name, command in leaves(root):
        # The usage is one line, however wide the terminal is.
        context = command.make_context(f"pyharmony {name}", [], resilient_parsing=True, terminal_width=1000)
        usage = command.get_usage(context).removeprefix("Usage: ")
        first, *more = (" ".join(part.split()) for part in command.help.split("\n\n"))
        records = (parameter.get_help_record(context) for parameter in command.get_params(context))
        options = [(names, " ".join(text.split())) for names, text in filter(None, records)]
        commands_.append((usage, first, more, [(_plain(names), _bounds(text)) for names, text in options]))
    return commands_


def _plain(names: str) -> str:
    return names.replace(" <str>", "").replace("--help", "-h, --help")


def _bounds(text: str) -> str:
    """Returns the text without the bounds that it states in words."""
    return re.sub(r"\s*(\[(\d+<=)?x[<>]=?[\de.-]+\]|\[default: 0\])$", "", text).replace("  [", " [")


def reference() -> str:
    """Returns the reference of all commands in Markdown, which `make docs` adds to the page."""
    parts = []
    for usage, first, more, options in commands():
        name = name_of(usage)
        paragraphs = "\n\n".join((first, *more))
        rows = "\n".join(f"| `{_cell(names)}` | {_cell(text)} |" for names, text in options)
        parts.append(f"### {name}\n\n```\n{usage}\n```\n\n{paragraphs}\n\n| | |\n|---|---|\n{rows}\n")
    return "\n" + "\n".join(parts) + "\n"


def name_of(usage: str) -> str:
    """Returns the command of a usage line."""
    return usage.split(" [")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def manual() -> str:
    """Returns the man page, pyharmony(1)."""
    lines = [
        '.TH PYHARMONY 1 "" "pyharmony" "User Commands"',
        ".SH NAME",
        "pyharmony \\- put a part of one image into another so that it belongs there",
        ".SH SYNOPSIS",
    ]
    commands_ = commands()
    for usage, *_ in commands_:
        lines += [f".B {_roff(usage)}", ".br"]
    for usage, first, more, options in commands_:
        lines += [f'.SH "{_roff(name_of(usage)).upper()}"', _roff(first)]
        for paragraph in more:
            lines += [".PP", _roff(paragraph)]
        for names, text in options:
            lines += [".TP", f".B {_roff(names)}", _roff(text)]
    lines += [".SH EXIT STATUS"]
    for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE):
        lines += [".TP", f".B {code}", _roff(text.replace("`", ""))]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "\\&" + text if text.startswith((".", "'")) else text


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual(), "utf-8")
