"""The limits that SECURITY.md promises are those of the code."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ..shared import ROOT, need

need("fastapi", "uvicorn")

pytestmark = pytest.mark.house

ROW = re.compile(r"\| (?P<what>[^|]+) \| (?P<limit>[^|]+) \| `(?P<constant>[\w.]+)` \|")


def rows() -> list[tuple[str, str, str]]:
    """Returns what each row of the table is about, its limit and its constant."""
    table = (ROOT / "SECURITY.md").read_text("utf-8").partition("\n## Limits\n")[2]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert lines[:2] == ["| what | limit | constant |", "|---|---|---|"]
    groups = [line for line in lines[2:] if re.fullmatch(r"\| \*\*[^|]+\*\* \| \| \|", line)]
    limits = [row.group("what", "limit", "constant") for line in lines[2:] if (row := ROW.fullmatch(line))]
    assert len(limits) + len(groups) == len(lines) - 2, "a row is neither a limit nor the heading of a group"
    return limits


def value_of(constant: str) -> Any:
    """Returns a constant of a module of pyharmony, or of a class in one."""
    parts = constant.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            value = importlib.import_module(".".join(["pyharmony", *parts[:end]]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            value = getattr(value, name)
        return value
    raise AssertionError(f"{constant}: there is no such module")


@pytest.mark.parametrize(("what", "limit", "constant"), rows(), ids=lambda text: text.replace(" ", "-")[:40])
def test_a_limit_is_what_security_says(what: str, limit: str, constant: str) -> None:
    number = re.match(r"[\d,]+(?:\.\d+)?", limit)
    promised = None if limit == "none" else float(number[0].replace(",", "")) if number else limit
    assert value_of(constant) == promised, f"SECURITY.md, {what}: {limit}"


def constants() -> Iterator[str]:
    """Yields the names of the constants of the service that are limits by their name."""
    for path in sorted((ROOT / "pyharmony" / "serve").glob("*.py")):
        for names in re.findall(r"^((?:[A-Z_]+, )*[A-Z_]+) = ", path.read_text("utf-8"), re.MULTILINE):
            yield from (f"serve.{path.stem}.{name}" for name in names.split(", ") if name.startswith("MAX_"))


def test_every_limit_of_the_service_is_in_the_table() -> None:
    listed = [constant for _, _, constant in rows()]
    assert len(set(listed)) == len(listed)
    assert len(list(constants())) > 10
    assert [name for name in constants() if name not in listed] == []
