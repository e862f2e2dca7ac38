"""Warnings that point at the caller's line."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import PyHarmonyWarning

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep

#: The text in front of warnings.
_OWNER: ContextVar[str] = ContextVar("owner", default="")
#: The kinds of warnings that are suppressed.
_SUPPRESSED_KINDS: ContextVar[tuple[type[Warning], ...]] = ContextVar("quiet", default=())


#: A list that gets an item for each warning, suppressed or not; None: nobody counts.
_COUNTED: ContextVar[list[None] | None] = ContextVar("counted", default=None)


@contextmanager
def counted() -> Iterator[list[None]]:
    """Yields a list that gets an item for each of the package's warnings in this thread, suppressed or not."""
    counts: list[None] = []
    token = _COUNTED.set(counts)
    try:
        yield counts
    finally:
        _COUNTED.reset(token)


@contextmanager
def quiet(kind: type[Warning] = Warning) -> Iterator[None]:
    """Suppresses the package's warnings of a kind, in this thread.

    It is for callers that report the same in other words, or know that a warning does not apply.
    """
    token = _SUPPRESSED_KINDS.set((*_SUPPRESSED_KINDS.get(), kind))
    try:
        yield
    finally:
        _SUPPRESSED_KINDS.reset(token)


@contextmanager
def of(owner: str) -> Iterator[None]:
    """Puts text such as 'items[1]: ' in front of the package's warnings, in this thread."""
    token = _OWNER.set(_OWNER.get() + owner)
    try:
        yield
    finally:
        _OWNER.reset(token)


def is_quiet(kind: type[Warning]) -> bool:
    """Returns whether the package's warnings of a kind are suppressed in this thread."""
    return issubclass(kind, _SUPPRESSED_KINDS.get())


def warn(warning: str | PyHarmonyWarning, kind: type[Warning] = PyHarmonyWarning) -> bool:
    """Warns at the line outside of the package that called into it, at any depth of the call.

    Args:
        warning: the warning, or its message; kind is that of a message.

    Returns whether it warned: `quiet` may suppress it.
    """
    if (counts := _COUNTED.get()) is not None:
        counts.append(None)
    if is_quiet(kind if isinstance(warning, str) else type(warning)):
        return False
    owner = _OWNER.get()
    instance = kind(f"{owner}{warning}") if isinstance(warning, str) else warning.within(owner) if owner else warning
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _is_own(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warnings.warn(instance, stacklevel=level)
    return True


@functools.lru_cache(maxsize=1024)
def _is_own(path: str) -> bool:
    """Returns whether a source file is one of the package's; most paths are absolute."""
    return path.startswith(_PACKAGE) or os.path.abspath(path).startswith(_PACKAGE)
