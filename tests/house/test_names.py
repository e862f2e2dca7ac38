"""The words of the sources: a name says what a value is, never what happened to it (CONTRIBUTING.md, Words)."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from ..shared import ROOT, nodes_of, tree_of

pytestmark = pytest.mark.house

PACKAGE = ROOT / "pyharmony"

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
#: Adverbs, prepositions, pronouns, superlatives and sides, which say nothing of a constant without a noun beside them.
WITHOUT_A_NOUN = frozenset(
    re.findall(
        r"\w+",
        """
        about above across after again ago alike all alone along always among any around as aside at away back before
        behind below beneath beside between beyond both but by down during each either else enough ever every except far
        for from here if in inside into just less little loosely more much near nearly neither never no none nor not of
        off often on once only or other others out outside over own past per quite rather same so soon still than then
        there through till to together too toward twice under unlike until up upon usually very what when where while
        with within without yet
        few fewer fewest last least lot many most several
        beginning bottom edge end ends front left lower middle outer rim right side sides top upper
        best broadest closest coarsest deepest farthest finest furthest highest largest longest loosest lowest nearest
        narrowest sharpest shortest smallest smoothest steepest strongest thickest thinnest weakest widest worst
        """,
    )
)
#: The largest number of such constants in a folder.
MAX_CONSTANTS = 10
#: The largest share of such names among those that are assigned, by folder.
MAX_SHARE = {"pyharmony": 0.003, "tests": 0.005, "benchmarks": 0.005, "tools": 0.005}


def assigned_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yields the names of variables, parameters and attributes that code assigns, without underscores at the ends."""
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id.strip("_")
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr.strip("_")
        elif isinstance(node, ast.arg):
            yield node.arg.strip("_")


def constants(tree: ast.Module) -> Iterator[str]:
    """Yields the names in capitals that a module and its classes assign."""
    for scope in (tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))):
        for name in assigned_names(node for part in scope.body for node in ast.walk(part)
                                   if isinstance(part, ast.Assign | ast.AnnAssign)):  # fmt: skip
            if name.isupper():
                yield name


#: The rooms of rooms.
WINGS = ("learn", "networks", "runs")


@pytest.mark.parametrize("folder", MAX_SHARE)
def test_names_say_what_a_value_is(folder: str) -> None:
    names: Counter[str] = Counter()
    for file in (ROOT / folder).rglob("*.py"):
        names.update(assigned_names(nodes_of(file)))
    banned = {name: count for name, count in names.items() if name in BANNED}
    assert sum(banned.values()) <= MAX_SHARE[folder] * sum(names.values()), banned


@pytest.mark.parametrize("folder", MAX_SHARE)
def test_constants_say_what_they_are(folder: str) -> None:
    names = [name for path in sorted((ROOT / folder).rglob("*.py")) for name in constants(tree_of(path))]
    bare = [name for name in names if set(name.lower().split("_")) <= WITHOUT_A_NOUN]
    assert names and len(bare) <= MAX_CONSTANTS, bare


def test_a_constant_without_a_noun_is_counted() -> None:
    names = list(constants(ast.parse("_LEAST = 1\nMIN_PIXELS: int = 2\nclass A:\n    _BESIDE, RIM_PIXELS = 3, 4")))
    assert [name for name in names if set(name.lower().split("_")) <= WITHOUT_A_NOUN] == ["LEAST", "BESIDE"]


def test_a_bare_participle_is_counted() -> None:
    code = "found = 1\nfor cropped in x: self._held = 2\ndef f(given, mask): pass"
    names = Counter(assigned_names(ast.walk(ast.parse(code))))
    assert {name for name in names if name in BANNED} == {"found", "held", "given"}


def test_a_class_has_one_meaning_in_its_room() -> None:
    meanings: dict[tuple[str, str], set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE)
        end = 2 if file.parts[0] in WINGS else 1
        room = "/".join(file.parts[:-1][:end])
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                meanings.setdefault((room, node.name.strip("_")), set()).add(file.as_posix())
    assert {name: files for name, files in meanings.items() if len(files) > 1} == {}
