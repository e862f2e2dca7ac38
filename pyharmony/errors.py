"""The errors that pyharmony raises on purpose, and its warnings."""

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


class ImageTooLarge(PyHarmonyError, ValueError):
    """An image file has more pixels than the call allows; found in its header, before decoding."""


class DecodeError(PyHarmonyError, ValueError):
    """A file is no image, is damaged, or has a format or kind of pixels that is not accepted."""


class DataError(PyHarmonyError, ValueError):
    """A data set's list, index, annotation or shard is missing, damaged, or contradicts what is there."""


class WeightsError(PyHarmonyError, RuntimeError):
    """A model's weights are missing, do not match their checksum, or may not be used."""


class OutOfMemory(PyHarmonyError, MemoryError):
    """The memory that a call needs could not be had."""


class DeviceError(PyHarmonyError, RuntimeError):
    """The device that was asked for is not there, or its kernels do not load."""


class PyHarmonyWarning(UserWarning):
    """A call did what it was told, and that is likely not what was meant: the message says what happened.

    ``warnings.simplefilter("error", PyHarmonyWarning)`` makes it an error, "ignore" silences it.
    """


class UnchangedWarning(PyHarmonyWarning):
    """The result is a copy of what was given."""


class ConfidenceWarning(PyHarmonyWarning):
    """The guard of `pyharmony.harmonize` held a change back, or what was changed is hardly to be trusted."""
