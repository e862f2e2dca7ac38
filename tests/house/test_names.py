"""The words of the sources: a name says what a value is, never what happened to it (CONTRIBUTING.md, Words)."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from .shared import nodes_of

pytestmark = pytest.mark.house

PACKAGE = Path(__file__).resolve().parent.parent / "pyharmony"

#: Participles that name nothing by themselves, and words for people and masks that the glossary replaces. Participles
#: of image processing, such as `padded` and `cropped`, are names; `left` is a side.
BANNED = frozenset(
    re.findall(
        r"\w+",
        """
        added allowed answered asked begun bent brought built called caught chosen closed counted covered decided done
        drawn ended filled finished found gathered given got grown handed heard held judged kept known laid learned
        lifted looked lost made marked meant met missed moved named needed noted offered opened picked placed pointed
        put reached refused reported said saved seen sent served shown spoken started stayed stood stopped stored taken
        tested thrown told touched tried turned used waited wanted warned weighed worked written
        cover looks matte nobody somebody whoever whom
        """,
    )
)
#: The largest share of such names among those that are assigned.
MOST = 0.003


def assigned_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yields the names of variables, parameters and attributes that code assigns, without underscores at the ends."""
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id.strip("_")
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr.strip("_")
        elif isinstance(node, ast.arg):
            yield node.arg.strip("_")


def names_of(room: str) -> Counter[str]:
    """Returns how often each name is assigned in a room, or in the modules beside the rooms with ''."""
    files = (PACKAGE / room).rglob("*.py") if room else PACKAGE.glob("*.py")
    names: Counter[str] = Counter()
    for file in files:
        names.update(assigned_names(nodes_of(file)))
    return names


ROOMS = ("", *sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))


def test_names_say_what_a_value_is() -> None:
    names = sum((names_of(room) for room in ROOMS), Counter())
    banned = {name: count for name, count in names.items() if name in BANNED}
    assert sum(banned.values()) <= MOST * sum(names.values()), banned


def test_a_bare_participle_is_counted() -> None:
    code = "found = 1\nfor cropped in x: self._held = 2\ndef f(given, mask): pass"
    names = Counter(assigned_names(ast.walk(ast.parse(code))))
    assert {name for name in names if name in BANNED} == {"found", "held", "given"}


def test_a_class_has_one_meaning_in_its_room() -> None:
    meanings: dict[tuple[str, str], set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE)
        room = file.parts[0] if len(file.parts) > 1 else ""
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                meanings.setdefault((room, node.name.strip("_")), set()).add(file.as_posix())
    assert {name: files for name, files in meanings.items() if len(files) > 1} == {}
