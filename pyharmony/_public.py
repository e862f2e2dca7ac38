"""Completes the public names of a room: `dir` lists them alone, and unknown keywords are answered with known ones."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from .errors import DTypeError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def publish(names: dict[str, Any], check: Callable[[Any], Any] | None = None) -> None:
    """Completes the namespace of a module with `__all__`: its `dir`, and its functions.

    check: a decorator of the functions: `_checks.kinds`, or None.
    """
    for name in names["__all__"]:
        if isinstance(names.get(name), FunctionType):
            names[name] = naming_keywords(check(names[name]) if check else names[name])
            names[name].__module__ = names["__name__"]
    # Editors and notebooks list the public names, without imports.
    names["__dir__"] = lambda: sorted(names["__all__"])


def naming_keywords(function: _Function) -> _Function:
    """Returns a function that answers an unknown keyword with the most similar one that it accepts.

    Keywords are only compared after a call has failed, which costs a call that does not fail 0.1 microseconds.
    """

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        except TypeError:
            if (better := _unknown_keyword(function, keywords)) is None:
                raise
            raise better from None

    return call  # type: ignore[return-value]


def _unknown_keyword(function: Callable[..., Any], keywords: dict[str, Any]) -> DTypeError | None:
    """Returns the error for the first keyword that a function does not accept; None if it accepts all."""
    import difflib

    parameters = inspect.signature(function).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    accepted = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.POSITIONAL_ONLY)]
    name = next((name for name in keywords if name not in accepted), None)
    if name is None:
        return None
    near = difflib.get_close_matches(name.lower(), accepted, 1)
    expected = f"did you mean {near[0]!r}?" if near else f"expected some of {', '.join(accepted)}"
    text = f"{name}: no argument of {getattr(function, '__name__', 'the function')}"
    error = DTypeError(text, code="unknown-argument", hint=expected)
    error.argument = name
    return error
