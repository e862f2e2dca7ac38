"""The public names and signatures are those of tests/house/api_snapshot.txt; `make api-snapshot` writes that file."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.house

SNAPSHOT = Path(__file__).with_name("api_snapshot.txt")
MODULES = (
    "pyharmony", "pyharmony.learn.augment", "pyharmony.blend", "pyharmony.color", "pyharmony.compat",
    "pyharmony.composition", "pyharmony.learn.data", "pyharmony.edits", "pyharmony.learn.evaluation",
    "pyharmony.harmonization", "pyharmony.matching", "pyharmony.merging", "pyharmony.learn.metrics", "pyharmony.ops",
    "pyharmony.errors", "pyharmony.placement", "pyharmony.shadows", "pyharmony.upscaling",
)  # fmt: skip
#: Names that need torch, which is optional: recorded in the same file, and not compared where torch is missing.
TORCH_MODULES = ("pyharmony.networks.nn",)


class Unquoted(str):
    """An annotation that is shown as it was written."""

    __repr__ = str.__str__


def signature(thing: Callable[..., object]) -> str:
    interface = inspect.signature(thing)

    def shown(annotation: object) -> object:
        return Unquoted(annotation) if isinstance(annotation, str) else annotation

    parameters = [value.replace(annotation=shown(value.annotation)) for value in interface.parameters.values()]
    return str(interface.replace(parameters=parameters, return_annotation=shown(interface.return_annotation)))


def members_of(thing: type, public: list[str]) -> dict[str, object]:
    """Returns the members of a class by name, those of its bases that are not public included."""
    members: dict[str, object] = {}
    for base in reversed(thing.__mro__):
        if base is thing or base.__module__.startswith("pyharmony.") and base.__name__ not in public:
            members |= vars(base)
    return members


def describe(name: str, thing: object) -> Iterator[str]:
    """Yields a line for a function or value; for a class also its bases, fields, properties and methods."""
    if inspect.isclass(thing):
        bases = ", ".join(base.__name__ for base in thing.__bases__)
        if issubclass(thing, BaseException):
            yield f"class {name}({bases})"
            return
        yield f"class {name}{signature(thing)}"
        package = importlib.import_module(name.rpartition(".")[0])
        for member, value in sorted(members_of(thing, public_names(package)).items()):
            if member.startswith("_"):
                continue
            if isinstance(value, property):
                yield f"    {member}: property"
            elif isinstance(value, staticmethod | classmethod) or inspect.isfunction(value):
                yield f"    {member}{signature(getattr(thing, member))}"
    elif callable(thing):
        yield f"{name}{signature(thing)}"
    elif inspect.ismodule(thing):
        yield f"module {name}"
    else:
        yield f"{name}: {type(thing).__name__}"


def public_names(module: object) -> list[str]:
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, thing in vars(module).items()
            if inspect.isclass(thing) and thing.__module__ == module.__name__
        ]
    return sorted(name for name in names if not name.startswith("_") or name == "__version__")


def callables(modules: Iterable[str]) -> Iterator[tuple[str, object]]:
    """Yields each public function and class of modules once, by the first name that it has."""
    ids = set()
    for path in modules:
        module = importlib.import_module(path)
        for name in public_names(module):
            thing = getattr(module, name)
            if callable(thing) and id(thing) not in ids:
                ids.add(id(thing))
                yield f"{path}.{name}", thing


def snapshot(modules: tuple[str, ...]) -> str:
    lines = []
    for path in modules:
        module = importlib.import_module(path)
        for name in public_names(module):
            lines.extend(describe(f"{path}.{name}", getattr(module, name)))
    return "\n".join(lines) + "\n"


def recorded(modules: tuple[str, ...]) -> str:
    """Returns the lines of these modules; those of a class's members are indented below it."""
    lines, is_wanted = [], False
    for line in SNAPSHOT.read_text().splitlines(keepends=True):
        if not line.startswith(" "):
            path = line.removeprefix("class ").removeprefix("module ").split("(")[0].split(":")[0]
            is_wanted = path.rpartition(".")[0] in modules
        if is_wanted:
            lines.append(line)
    return "".join(lines)


@pytest.mark.parametrize("modules", [MODULES, TORCH_MODULES], ids=["numpy", "torch"])
def test_public_names_and_signatures_are_as_recorded(modules: tuple[str, ...]) -> None:
    if modules == TORCH_MODULES:
        pytest.importorskip("torch", reason="torch is not installed")
    expected, actual = recorded(modules), snapshot(modules)
    difference = "\n".join(difflib.unified_diff(expected.splitlines(), actual.splitlines(), "recorded", "found", n=1))
    assert actual == expected, f"if this is meant, run `make api-snapshot`\n{difference}"


def test_the_record_holds_nothing_else() -> None:
    assert len(recorded(MODULES) + recorded(TORCH_MODULES)) == len(SNAPSHOT.read_text())


if __name__ == "__main__":
    with_torch = importlib.util.find_spec("torch") is not None
    SNAPSHOT.write_text(snapshot(MODULES) + (snapshot if with_torch else recorded)(TORCH_MODULES))
    print(f"wrote {SNAPSHOT}")
