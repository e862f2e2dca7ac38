"""Completes the public names of a room: `dir` lists them alone, and unknown keywords are answered with known ones.

Former names of arguments and fields work for one release, and warn.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from ._warnings import warn
from .errors import ArgumentError, DTypeError

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: The former names of arguments with the present ones, by function.
FORMER: dict[str, dict[str, str]] = {
    "CopyPaste.__init__": {"harmonize": "harmonize_probability", "others": "image_keys"},
    "ComposeInfo.__init__": {"others": "alternatives"},
    "MergedPart.__init__": {"people": "people_share"},
    "Method.__init__": {"people": "detects_people"},
    "DataConfig.__init__": {"crop": "crop_share"},
    "TFRecordPairs.__init__": {"source": "paths"},
    "TarShards.__init__": {"source": "paths"},
    "cutout": {"crop": "crop_to_mask"},
    "gaussian_poisson": {"reference": "as_published"},
    "gaussian_poisson_tiles": {"reference": "as_published"},
    "gp_gan": {"generator": "network", "reference": "as_published"},
    "harmonize": {"reference": "reference_mask"},
    "harmonize_frames": {"reference": "reference_mask"},
    "harmonizer": {"source": "network"},
    "harmony_score": {"weights": "network"},
    "judge": {"source": "network"},
    "place": {"cut": "cropped_sides", "most": "max_scale", "others": "other_people", "roll": "angle"},
    "realism_score": {"model": "network"},
    "run": {"others": "other_inputs"},
    "segment": {"people": "all_people"},
    "trained": {"weights": "network"},
}


def publish(names: dict[str, Any], check: Callable[[Any], Any] | None = None, homes: Mapping[str, str] = {}) -> None:
    """Completes the namespace of a module with `__all__`: its `dir`, and its functions.

    check: a decorator of the functions: `_checks.kinds`, or None.
    homes: the modules in the room of the names that are imported at their first use, without this decorator.
    """
    room = names["__name__"]

    def completed(value: Any, check: Callable[[Any], Any] | None = None) -> Any:
        if isinstance(value, FunctionType):
            value = naming_keywords(check(value) if check else value)
            value.__module__ = room
        return value

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{homes[name]}", room), name)
        return names.setdefault(name, completed(value))  # one function, whichever thread is first

    names.update({name: completed(names[name], check) for name in names["__all__"] if name in names})
    if homes:
        names["__getattr__"] = attribute
        sys.modules[room].__class__ = _Room
    # Editors and notebooks list the public names, without imports.
    names["__dir__"] = lambda: sorted(names["__all__"])


class _Room(ModuleType):
    """A room whose import of a module leaves the public name that this has too, such as `ops.poisson`."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in self.__all__):
            super().__setattr__(name, value)


def naming_keywords(function: _Function) -> _Function:
    """Returns a function that takes former keywords, and answers an unknown one with the most similar that it accepts.

    Keywords are only compared after a call has failed, which costs a call that does not fail 0.1 microseconds. Of a
    class it is the constructor.
    """
    if isinstance(function, type):
        function.__init__ = naming_keywords(function.__init__)  # type: ignore[misc]
        return function

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        except TypeError:
            accepted = _accepted_keywords(function)
            unknown = [name for name in keywords if accepted and name not in accepted]
            if not unknown:
                raise
        former = FORMER.get(function.__qualname__, {})
        for name in unknown:
            if name not in former:
                raise _unknown_keyword(function, name, accepted)
        by_position = inspect.signature(function).bind_partial(*args).arguments
        return function(*args, **under_present_names(former, keywords, by_position))

    return call  # type: ignore[return-value]


def under_present_names(
    former: Mapping[str, str], keywords: Mapping[str, Any], by_position: Iterable[str] = (), within: str = ""
) -> dict[str, Any]:  # fmt: skip
    """Returns keywords under their present names, and warns of former ones.

    Args:
        former: the former names with the present ones.
        by_position: the names of arguments that are passed by position.
        within: the text before a name in messages, such as that of a table.
    """
    for old, new in former.items():
        if old in keywords:
            if new in (*keywords, *by_position):
                raise ArgumentError(f"{within}{old}: passed beside {new}, its new name; expected one of them")
            _warn_of_former(f"{within}{old}", new)
    return {former.get(name, name): value for name, value in keywords.items()}


def former_field(old: str, new: str) -> property:
    """Returns a property under the former name of a field, which warns."""

    def value(self: Any) -> Any:
        _warn_of_former(old, new)
        return getattr(self, new)

    return property(value, doc=f"The former name of `{new}`, which warns.")


def former_name(old: str, new: str) -> str:
    """Returns the warning of a former name."""
    return f"{old}: it is called {new} now; the next release does not take the old name"


def _warn_of_former(old: str, new: str) -> None:
    warn(former_name(old, new), DeprecationWarning)


def _accepted_keywords(function: Callable[..., Any]) -> list[str]:
    """Returns the names of the keywords that a function accepts; none if it accepts all."""
    parameters = inspect.signature(function).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return []
    return [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.POSITIONAL_ONLY)]


def _unknown_keyword(function: Callable[..., Any], name: str, accepted: list[str]) -> DTypeError:
    """Returns the error for a keyword that is not among the accepted ones."""
    import difflib

    near = difflib.get_close_matches(name.lower(), accepted, 1)
    expected = f"did you mean {near[0]!r}?" if near else f"expected some of {', '.join(accepted)}"
    text = f"{name}: no argument of {getattr(function, '__name__', 'the function')}"
    error = DTypeError(text, code="unknown-argument", hint=expected)
    error.argument = name
    return error
