"""Warnings that point at the caller's line."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import PyHarmonyWarning

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps functions of the package from warning, in this thread, where the caller says the same in its own words."""
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)


def warn(message: str, kind: type[Warning] = PyHarmonyWarning) -> None:
    """Warns at the line outside of the package that called into it, however deep the call is."""
    if _QUIET.get():
        return
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)
