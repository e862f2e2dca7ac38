"""The failures of a job, and the exit code of each on the command line."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any


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
def reading(name: str, code: Code = Code.INPUT, before: str = "") -> Iterator[None]:
    """Turns errors of the system into failures of the input called name; before precedes the reason."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
        message = f"{name}: {before}{reason[:1].lower()}{reason[1:]}"
        raise Failure(message, code, type(error).__name__) from error


def writing(name: str) -> contextlib.AbstractContextManager[None]:
    """Turns errors of the system into failures of the output called name."""
    return reading(name, Code.UNEXPECTED, "cannot be written: ")


@contextlib.contextmanager
def reading_or_writing(source: Path, output: Path) -> Iterator[None]:
    """Attributes errors of the system to the written folder where they name it, otherwise to what is read."""
    try:
        yield
    except OSError as error:
        name = str(error.filename or source)
        with writing(name) if Path(name).absolute().is_relative_to(output.absolute()) else reading(name):
            raise


#: The replacements from Python's way to write arrays, height first, to the sizes of images; remedies in code go.
OF_ARRAYS = (
    (r"\bshape \[(\d+), (\d+)(?:, \d)?\]", r"\2 x \1 pixels"),
    (r"\[(\d+), (\d+)(?:, \d)?\]", r"\2 x \1"),
    (r", or drop it: pixels\[[^]]*\]|, or make it 8-bit: .*", ""),
)


def replaced(text: str, words: Iterable[tuple[str, str]]) -> str:
    """Returns a text in which patterns are replaced, one after another."""
    for pattern, replacement in words:
        text = re.sub(pattern, replacement, text)
    return text


@contextlib.contextmanager
def spoken(words: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Turns errors and warnings of the library into the words of a command, by replacing patterns in messages.

    Errors become failures, and shapes of arrays sizes of images, width first.
    """
    from ..errors import PyHarmonyError, PyHarmonyWarning

    every, show = (*words, *OF_ARRAYS), warnings.showwarning

    def show_in_words(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        ours = issubclass(category, PyHarmonyWarning)
        show(category(replaced(str(message), every)) if ours else message, category, *where, **more)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_in_words
            yield
    except PyHarmonyError as error:
        failure = as_failure(error)
        raise Failure(replaced(str(error), every), failure.code, failure.kind) from error


def as_failure(error: BaseException) -> Failure:
    """Returns any error as the failure that the user reads."""
    from .. import errors

    if isinstance(error, Failure):
        return error
    kind, message = type(error).__name__, str(error)
    if isinstance(error, errors.ImageTooLarge | MemoryError):
        return Failure(message or "the memory that this needs could not be had", Code.RESOURCES, kind)
    if isinstance(error, errors.NativeError):
        return Failure(f"{message}; `pyharmony doctor` says more", Code.UNEXPECTED, kind)
    codes = {
        errors.WeightsError: Code.WEIGHTS,
        errors.DeviceError: Code.DEVICE,
        errors.ArgumentError: Code.USAGE,
        errors.PyHarmonyError: Code.INPUT,
        ImportError: Code.UNEXPECTED,  # its message says what to install
    }
    for known, code in codes.items():
        if isinstance(error, known):
            return Failure(message, code, kind)
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted; nothing was written", Code.INTERRUPTED, kind)
    return Failure(f"unexpected {kind}: {message}; --debug shows where", Code.UNEXPECTED, kind)
