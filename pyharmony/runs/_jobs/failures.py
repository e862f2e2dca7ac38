"""Errors of jobs, and the exit code of each on the command line."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any

from ... import errors
from ...errors import NativeError, PyHarmonyError, PyHarmonyWarning, Reason, RunError


class Code(IntEnum):
    """The exit codes of the command line."""

    OK = 0
    UNEXPECTED = 1  # also if the output could not be written, or a check of `doctor` failed
    USAGE = 2
    INPUT = 3
    RESOURCES = 4
    SOME_FAILED = 5
    WEIGHTS = 6
    DEVICE = 7
    INTERRUPTED = 130


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and those that it was raised from, each once: a chain may have a cycle."""
    seen: list[BaseException] = []
    while error is not None and not any(error is one for one in seen):
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def reading(name: str, code: Code = Code.INPUT, before: str = "") -> Iterator[None]:
    """Turns errors of the operating system into failures of the input called `name`; `before` precedes the reason.

    code: the exit code; that of a missing file or folder is the same for inputs and outputs.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
        message = f"{name}: {before}{reason[:1].lower()}{reason[1:]}"
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        raise RunError(message, Code.INPUT if is_missing else code, type(error).__name__) from error


def writing(name: str) -> contextlib.AbstractContextManager[None]:
    """Turns errors of the operating system into failures of the output called `name`."""
    return reading(name, Code.UNEXPECTED, "cannot be written: ")


@contextlib.contextmanager
def reading_or_writing(source: Path, output: Path) -> Iterator[None]:
    """Attributes errors of the operating system to the output folder if they name it, otherwise to the source."""
    try:
        yield
    except OSError as error:
        name = str(error.filename or source)
        with writing(name) if Path(name).absolute().is_relative_to(output.absolute()) else reading(name):
            raise


#: Texts of the interfaces by the code of an error, in place of the library's; sizes of images are width first.
_TEXTS = {"wrong-size": "{given} pixels, expected {expected}"}
#: Hints of the interfaces by code, in place of the library's, which name Python functions.
_HINTS = {"format-lacks-alpha": "use {able}", "format-lacks-depth": "use {able}", "original-unknown": ""}


@dataclass(frozen=True)
class Words:
    """The texts with which an interface reports errors, warnings and reasons of the library.

    Attributes:
        names: the names of arguments in messages, by argument; '' omits the name.
        files: the names of arguments that are files, such as 'photo.png', by argument.
        texts: the texts of errors, warnings and reasons by code; `{field}` is replaced by that detail of the issue, and
            by the file's name where the detail is an argument that is a file.
        hints: the hints, by the code of the hint or of the error; '' omits the hint.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, argument: str | None) -> str | None:
        """Returns the name of an argument in messages; the library's name if the interface has none."""
        if argument is None:
            return None
        return next((self.names[key] for key in _keys(argument) if key in self.names), argument)

    def of(self, issue: PyHarmonyError | PyHarmonyWarning) -> str:
        """Returns the message of an error or a warning."""
        finding, hint = issue.details.get("finding"), self._hint(issue)
        file = next((self.files[key] for key in _keys(issue.argument or "") if key in self.files), None)
        if finding is not None and file is not None:
            return f"{file} {finding}{hint}"
        name = self.name_of(issue.argument) if file is None else file
        text = self._text(issue) if finding is None else f"{issue.details['file']} {finding}"
        if file is not None:
            text = text.removeprefix(f"{issue.details.get('filename')}: ")
        return f"{name}: {text}{hint}" if name else f"{text}{hint}"

    def reason(self, reason: Reason) -> str:
        """Returns the sentence of a reason."""
        return self._text(reason) + self._hint(reason)

    def failure(self, error: PyHarmonyError) -> RunError:
        """Returns an error of the library as that of a job, with these texts."""
        failure = as_failure(error)
        if isinstance(error, NativeError):
            return failure
        return RunError(self.of(error), failure.exit_code, failure.kind, error.code, error.argument)

    def _text(self, issue: Any) -> str:
        reason = issue.details.get("reason")
        if reason is not None:
            return str(issue.text[: len(issue.text) - len(reason.text)]) + self._text(reason)
        form = self.texts.get(issue.code, _TEXTS.get(issue.code))
        return str(issue.text) if form is None else form.format(**self._details(issue))

    def _hint(self, issue: Any) -> str:
        codes = (getattr(issue.hint, "code", ""), issue.code)
        advice = next((table[code] for code in codes for table in (self.hints, _HINTS) if code in table), None)
        hint = issue.hint if advice is None else advice.format(**self._details(issue))
        return f"; {hint}" if hint else ""

    def _details(self, issue: Any) -> dict[str, Any]:
        def shown(value: Any) -> Any:
            if isinstance(value, Reason):
                return self.reason(value)
            return self.files.get(value, value) if isinstance(value, str) else value

        return {key: shown(value) for key, value in issue.details.items()}


def _keys(argument: str) -> tuple[str, ...]:
    """Returns the keys to look an argument up by, most specific first: 'all[1].points[0]' to 'points'."""
    last = argument.rpartition(".")[2]
    return argument, argument.partition("[")[0], last, last.partition("[")[0]


@contextlib.contextmanager
def translated(failure: Callable[[Any], RunError], *more: type[Exception]) -> Iterator[None]:
    """Raises errors of the library, and of `more` classes, as `failure` returns them; a RunError is raised as it is."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        if not isinstance(error, (PyHarmonyError, *more)):
            raise
        raise failure(error) from error


@contextlib.contextmanager
def as_failures(words: Words | None = None) -> Iterator[None]:
    """Reports errors and warnings of the library with the texts of a command; errors become failures."""
    own, show = words or Words(), warnings.showwarning

    def show_in_words(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        text = category(own.of(message)) if isinstance(message, PyHarmonyWarning) else message
        show(text, category, *where, **more)

    with translated(own.failure), warnings.catch_warnings():
        warnings.showwarning = show_in_words
        yield


def as_failure(error: BaseException) -> RunError:
    """Returns any error as the one that is shown to the user."""
    if isinstance(error, RunError):
        return error
    kind, message = type(error).__name__, str(error)
    about = (error.code, error.argument) if isinstance(error, errors.PyHarmonyError) else (None, None)
    if isinstance(error, errors.ImageTooLarge | MemoryError):
        return RunError(message or "out of memory", Code.RESOURCES, kind, *about)
    if isinstance(error, errors.NativeError):
        return RunError(f"{message}; `pyharmony doctor` reports details", Code.UNEXPECTED, kind, *about)
    codes = {
        errors.WeightsError: Code.WEIGHTS,
        errors.DeviceError: Code.DEVICE,
        errors.ArgumentError: Code.USAGE,
        errors.PyHarmonyError: Code.INPUT,
        ImportError: Code.UNEXPECTED,  # the message names the packages to install
    }
    for error_type, code in codes.items():
        if isinstance(error, error_type):
            return RunError(message, code, kind, *about)
    if isinstance(error, KeyboardInterrupt):
        return RunError("interrupted; nothing was written", Code.INTERRUPTED, kind)
    return RunError(f"unexpected {kind}: {message}", Code.UNEXPECTED, kind, "unexpected")


def record_of(failure: RunError) -> dict[str, Any]:
    """Returns an error for JSON; it has a code if it is an error of the library or has one of its own."""
    about = {"code": None if failure.code == RunError.code else failure.code, "argument": failure.argument}
    about = {key: value for key, value in about.items() if value is not None}
    return {"kind": failure.kind, "message": str(failure), "exit_code": int(failure.exit_code), **about}


def with_code(reason: Reason) -> dict[str, str]:
    """Returns a reason and its code, as results store them."""
    return {"reason": reason, "reason_code": reason.code}


def with_codes(name: str, reasons: Sequence[Reason]) -> dict[str, list[str]]:
    """Returns reasons or warnings and their codes, as results store them."""
    return {f"{name}s": list(reasons), f"{name}_codes": [one.code for one in reasons]}


def likely_record(usable: float | None, doubts: Sequence[Reason]) -> dict[str, Any]:
    """Returns how likely a result is usable, and what speaks against it, as results store them."""
    return {"usable": None if usable is None else round(usable, 4), "doubt_codes": [doubt.code for doubt in doubts]}


def verdict_record(info: Any) -> dict[str, Any]:
    """Returns the verdict on a composite or a merge as results store it."""
    return {**likely_record(info.usable, info.doubts), "verdict": info.verdict, "verdict_code": info.verdict.code}


def check_usable(info: Any, name: str, option: str) -> None:
    """Refuses a result that is probably not usable; option: what writes it all the same."""
    if info.verdict.code == "not-usable":
        text = f"{name}: not written, as {info.verdict}; {option} writes it"
        raise RunError(text, Code.INPUT, "refused", info.verdict.code)


def finite(x: Any) -> Any:
    """Returns x for JSON: None for infinities and NaN, and numbers of Python for those of NumPy and Decimal."""
    if isinstance(x, dict):
        return {key: finite(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [finite(value) for value in x]
    x = float(x) if isinstance(x, Decimal) else x.item() if hasattr(x, "item") else x
    return None if isinstance(x, float) and not math.isfinite(x) else x
