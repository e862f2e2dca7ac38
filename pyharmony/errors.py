"""The errors that pyharmony raises on purpose."""

from __future__ import annotations


class PyHarmonyError(Exception):
    """Base of every error below."""


class ShapeError(PyHarmonyError, ValueError):
    """An array has a shape that the call cannot take."""


class DTypeError(PyHarmonyError, TypeError):
    """An array, or another argument, has a type that the call cannot take."""


class MaskError(PyHarmonyError, ValueError):
    """A mask that says nothing useful: 0/1 integers, values outside [0, 1], nothing left known."""


class ArgumentError(PyHarmonyError, ValueError):
    """A number or name is outside what the argument accepts, or an image holds NaN or Inf."""


class NativeError(PyHarmonyError, ImportError):
    """The compiled module is missing or does not fit this Python."""
