"""Rooms that are imported at their first use, and the former names of those that moved into a wing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: The rooms of rooms.
WINGS = ("learn", "networks", "runs")
#: Where a room is now, by its former name.
PLACES = {
    **{room: f"networks.{room}" for room in ("losses", "models", "nn")},
    **{room: f"learn.{room}" for room in ("augment", "data", "evaluation", "metrics", "scoring", "training")},
    "batch": "runs.batch",
    "server": "serve",
}


def current(name: str) -> str:
    """Returns the name of a room, or of what is in one, where it is now."""
    package, _, rest = name.partition(".")
    room, dot, inner = rest.partition(".")
    return f"{package}.{PLACES[room]}{dot}{inner}" if room in PLACES else name


def lazy(package: str, rooms: Sequence[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package that imports its rooms at their first use."""

    def attribute(name: str) -> Any:
        if name in rooms:
            try:
                return importlib.import_module(f".{name}", package)
            except ImportError as error:  # hasattr and help then treat the name as absent
                raise AttributeError(str(error)) from error
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return attribute, lambda: list(rooms)


# Not derived from the classes of `importlib.abc`, which loads fifteen modules.
class _FormerNames:
    """Gives the modules of rooms that moved under the names that they had: the same modules, not copies."""

    def __init__(self) -> None:
        self._specs: dict[str, Any] = {}

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        room, dot, _ = rest.partition(".")
        is_former = package == __package__ and dot and room in PLACES
        return ModuleSpec(fullname, self) if is_former else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(current(spec.name))
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        former = module.__spec__  # by which the import has replaced it
        module.__spec__ = self._specs.pop(former.name if former else module.__name__)


def moved(former: str) -> None:
    """Puts a room in place of the module of its former name."""
    sys.modules[former] = importlib.import_module(current(former))


sys.meta_path.insert(0, _FormerNames())
