"""The failures of a job, and the exit code of each on the command line."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from enum import IntEnum


class Code(IntEnum):
    """The exit codes of the command line."""

    OK = 0
    UNEXPECTED = 1  # also where the output could not be written, or a check of `doctor` failed
    USAGE = 2
    INPUT = 3
    RESOURCES = 4
    SOME_FAILED = 5
    WEIGHTS = 6
    DEVICE = 7
    INTERRUPTED = 130


class Failure(Exception):
    """An error that is reported in one line and ends the command with a code."""

    def __init__(self, message: str, code: Code, kind: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.kind = kind or code.name.lower()


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns errors of the system into failures of the input called name."""
    try:
        yield
    except OSError as error:
        raise Failure(f"{name}: {_reason(error)}", Code.INPUT, type(error).__name__) from error


@contextlib.contextmanager
def writing(name: str) -> Iterator[None]:
    """Turns errors of the system into failures of the output called name."""
    try:
        yield
    except OSError as error:
        raise Failure(f"{name}: cannot be written: {_reason(error)}", Code.UNEXPECTED, type(error).__name__) from error


@contextlib.contextmanager
def spoken(words: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Turns errors of the library into failures in the words of a command, by replacing patterns in messages."""
    from ..errors import PyHarmonyError

    try:
        yield
    except PyHarmonyError as error:
        text = str(error)
        for pattern, replacement in words:
            text = re.sub(pattern, replacement, text)
        failure = as_failure(error)
        raise Failure(text, failure.code, failure.kind) from error


def _reason(error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:]


def as_failure(error: BaseException) -> Failure:
    """Returns any error as the failure that the user reads."""
    from .. import errors

    if isinstance(error, Failure):
        return error
    kind, message = type(error).__name__, str(error)
    if isinstance(error, errors.ImageTooLarge | MemoryError):
        return Failure(message or "the memory that this needs could not be had", Code.RESOURCES, kind)
    if isinstance(error, errors.WeightsError):
        return Failure(message, Code.WEIGHTS, kind)
    if isinstance(error, errors.DeviceError):
        return Failure(message, Code.DEVICE, kind)
    if isinstance(error, errors.ArgumentError):
        return Failure(message, Code.USAGE, kind)
    if isinstance(error, errors.NativeError):
        return Failure(f"{message}; `pyharmony doctor` says more", Code.UNEXPECTED, kind)
    if isinstance(error, errors.PyHarmonyError):
        return Failure(message, Code.INPUT, kind)
    if isinstance(error, ImportError):  # its message says what to install
        return Failure(message, Code.UNEXPECTED, kind)
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted; nothing was written", Code.INTERRUPTED, kind)
    return Failure(f"unexpected {kind}: {message}; --debug shows where", Code.UNEXPECTED, kind)
