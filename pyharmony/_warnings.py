"""Warnings that point at the caller's line."""

from __future__ import annotations

import os
import sys
import warnings

from .errors import PyHarmonyWarning

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn(message: str, kind: type[Warning] = PyHarmonyWarning) -> None:
    """Warns at the line outside of the package that called into it, however deep the call is."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)
