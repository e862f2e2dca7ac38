"""The errors and warnings of pyharmony, and the reasons in results.

Each has a sentence for people and a code for programs. Sentences may change in any version; codes do not.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "NO_REASON",
    "ArgumentError",
    "ClippedWarning",
    "ConfidenceWarning",
    "DTypeError",
    "DataError",
    "DecodeError",
    "DeviceError",
    "FileError",
    "FloodedWarning",
    "ImageTooLarge",
    "MaskError",
    "MaskWarning",
    "NativeError",
    "OutOfMemory",
    "PyHarmonyError",
    "PyHarmonyWarning",
    "Reason",
    "RunError",
    "ShapeError",
    "UnchangedWarning",
    "UnusableSample",
    "WeightsError",
]

_NAME = r"[a-z_]\w*(?:\[\d+\])*"
_NAMES = rf"{_NAME}(?:\.{_NAME})*"
#: The argument at the start of a message, "azimuth: 400, expected ..."; of one of several, "subjects[1]: points: ...".
_ARGUMENT = re.compile(rf"(?:the alpha of )?(?P<name>{_NAMES})(?:(?<=\]): (?P<inner>{_NAMES}))?: ")


#: The most characters of a message: a hostile argument is shown by its beginning and its end.
_MESSAGE_LENGTH = 1200


def _shortened(text: str) -> str:
    """Returns a text without its middle if it is too long for a message, and without characters that no file takes."""
    if len(text) > _MESSAGE_LENGTH:
        text = f"{text[: _MESSAGE_LENGTH * 2 // 3]} … {text[-_MESSAGE_LENGTH // 3 :]}"
    if text.isascii():
        return text
    try:
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()


class _Coded(Exception):
    """The base of errors and warnings: a sentence, and its parts for programs."""

    code = "failed"
    #: The arguments at the start of messages; None: any name, as no message begins with that of a file or a sample.
    _arguments: tuple[str, ...] | None = None

    def __init__(self, message: object = "", *, code: str | None = None, hint: str = "", **details: Any) -> None:
        self._message = _shortened(str(message))
        super().__init__(f"{self._message}; {hint}" if hint else self._message)
        if code is not None:
            self.code = code
        self.hint, self.details = hint, details
        self.argument, self.text = self._parted()

    def _parted(self) -> tuple[str | None, str]:
        """Returns the name of the argument at the start of the message, and the rest."""
        begin = _ARGUMENT.match(self._message)
        if begin is None:
            return None, self._message
        name = ".".join(filter(None, begin.group("name", "inner")))
        if self._arguments is not None and name not in self._arguments:
            return None, self._message
        return name, self._message[begin.end() :]

    def within(self, owner: str, argument: str | None = None) -> Self:
        """Returns the same error with `owner` in front of its message, such as 'subjects[1]: '.

        argument: another name for the argument; None: it keeps its name.
        """
        message = self._message if argument is None else f"{argument}: {self.text}"
        return type(self)(f"{owner}{message}", code=self.code, hint=self.hint, **self.details)

    @classmethod
    def because(cls, before: str, reason: Reason, hint: str = "") -> Self:
        """Returns an error or a warning whose message ends with a reason, and has its code."""
        return cls(f"{before}{reason.text}", code=reason.code or None, hint=hint or reason.hint, reason=reason)


class Reason(str):
    """Why a call did nothing or less than requested, or a remark on its result: a sentence with a code.

    It is a `str`, the sentence, which is empty if there is no reason.

    Attributes:
        code: a short, stable name, such as "outside"; empty if there is none.
        text: the sentence without the hint.
        hint: the remedy, the end of the sentence; may be empty.
        details: values in the sentence, by name; reasons of some codes have them.

    Example:
        >>> from pyharmony.errors import Reason
        >>> reason = Reason("outside", "the object lies outside dst")
        >>> reason.code, reason
        ('outside', 'the object lies outside dst')
    """

    code: str
    text: str
    hint: str
    details: dict[str, Any]

    def __new__(cls, code: str = "", text: str = "", *, hint: str = "", **details: Any) -> Self:
        reason = super().__new__(cls, f"{text}; {hint}" if hint else text)
        reason.code, reason.text, reason.hint, reason.details = code, text, hint, details
        return reason

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.code, str(self)

    def within(self, before: str, hint: str = "") -> Reason:
        """Returns the reason with text in front of its sentence, and another hint if passed; an empty one is kept."""
        if not self:
            return self
        return Reason(self.code, f"{before}{self.text}", hint=hint or self.hint, reason=self)


#: The reason of a result without one; it is empty, and so false.
NO_REASON = Reason()


class PyHarmonyError(_Coded):
    """The base of every error below.

    Attributes:
        code: a short, stable name, such as "sizes-differ"; most errors have that of their class.
        argument: the name of the invalid argument, such as "azimuth" or "subjects[1].points"; None: not a single one.
        text: the message without the name of the argument and without the hint.
        hint: the remedy in Python, the end of the message; may be empty.
        details: values in the message, by name; errors of some codes have them.

    Example:
        >>> import pyharmony
        >>> from pyharmony.errors import PyHarmonyError
        >>> try:
        ...     pyharmony.set_num_threads(0)
        ... except PyHarmonyError as error:
        ...     print(type(error).__name__, error.code, error.argument)
        ArgumentError not-accepted n
    """


class ShapeError(PyHarmonyError, ValueError):
    """An array has a shape that the call does not accept.

    Example:
        >>> from pyharmony import metrics
        >>> metrics.mse(np.zeros((2, 2, 3)), np.zeros((2, 3, 3)))
        Traceback (most recent call last):
            ...
        pyharmony.errors.ShapeError: output: ...
    """

    code = "wrong-shape"


class DTypeError(PyHarmonyError, TypeError):
    """An array, or another argument, has a type that the call does not accept.

    Example:
        >>> from pyharmony import metrics
        >>> metrics.mse(1.0, 2.0)
        Traceback (most recent call last):
            ...
        pyharmony.errors.DTypeError: output: ...
    """

    code = "wrong-type"


class MaskError(PyHarmonyError, ValueError):
    """A mask is not usable: 0/1 integers, values outside [0, 1], or no known pixels left.

    Example:
        >>> from pyharmony import blend
        >>> image = np.zeros((2, 2, 3), np.uint8)
        >>> blend.alpha(image, image, np.ones((2, 2), np.uint8))
        Traceback (most recent call last):
            ...
        pyharmony.errors.MaskError: mask: ...
    """

    code = "unusable-mask"


class ArgumentError(PyHarmonyError, ValueError):
    """A number or name is outside the accepted values, or an image contains NaN or Inf.

    Example:
        >>> import pyharmony
        >>> pyharmony.set_num_threads(0)
        Traceback (most recent call last):
            ...
        pyharmony.errors.ArgumentError: n: ...
    """

    code = "not-accepted"


class NativeError(PyHarmonyError, ImportError):
    """The compiled module is missing or does not fit this Python.

    Example:
        >>> from pyharmony.errors import NativeError
        >>> issubclass(NativeError, ImportError)
        True
    """

    code = "no-native-module"


class ImageTooLarge(PyHarmonyError, ValueError):
    """An image file has more pixels than the call allows; found in its header, before decoding.

    Example:
        >>> import pyharmony
        >>> pyharmony.save(np.zeros((10, 10, 3), np.uint8), "ten.png")
        >>> pyharmony.load("ten.png", max_pixels=50)
        Traceback (most recent call last):
            ...
        pyharmony.errors.ImageTooLarge: source: ...
    """

    code = "too-large"


class DecodeError(PyHarmonyError, ValueError):
    """A file is not an image, is damaged, or has a format or kind of pixels that is not accepted.

    Example:
        >>> import pyharmony
        >>> pyharmony.load(b"no image")
        Traceback (most recent call last):
            ...
        pyharmony.errors.DecodeError: source: ...
    """

    code = "not-an-image"


class DataError(PyHarmonyError, ValueError):
    """A data set's list, index, annotation or shard is missing, damaged, or inconsistent with its files.

    Example:
        >>> from pathlib import Path
        >>> from pyharmony import data
        >>> Path("empty").mkdir()
        >>> data.open_dataset("empty")
        Traceback (most recent call last):
            ...
        pyharmony.errors.DataError: path: ...
    """

    code = "bad-data"
    _arguments = ("annotations", "boxes", "path", "paths", "folder", "root", "data.root")


class UnusableSample(DataError, MaskError):
    """A sample of a data set has no pixel of its object at the requested size, or in any drawn crop.

    Example:
        >>> from pyharmony import data
        >>> mask = np.zeros((480, 640), np.uint8)
        >>> mask[1:4, 1:4] = 255
        >>> data.resize_sample({"name": "a", "mask": mask}, 64)
        Traceback (most recent call last):
            ...
        pyharmony.errors.UnusableSample: a: ...
    """

    code = "unusable-sample"


class WeightsError(PyHarmonyError, RuntimeError):
    """A model's weights are missing, do not match their checksum, or may not be used.

    Example:
        >>> from pyharmony import harmonize
        >>> harmonize(np.zeros((8, 8, 3), np.uint8), np.eye(8), method="none.safetensors")
        Traceback (most recent call last):
            ...
        pyharmony.errors.WeightsError: method: none.safetensors: there is no such file
    """

    code = "unusable-weights"
    _arguments = ("harmonize", "method", "model", "network", "source", "start", "run.start", "state", "weights")


class OutOfMemory(PyHarmonyError, MemoryError):
    """A call needs more memory than is available.

    Example:
        >>> from pyharmony.errors import OutOfMemory
        >>> issubclass(OutOfMemory, MemoryError)
        True
    """

    code = "out-of-memory"


class RunError(PyHarmonyError):
    """A job on files, such as a run of `pyharmony.runs.batch`, cannot begin or has to end.

    Attributes:
        exit_code: the exit code of the command line for it, from 1 to 7.
        kind: what it concerns, such as "input" or "ledger", or the class of the error behind it.

    Example:
        >>> from pyharmony import batch
        >>> from pyharmony.errors import RunError
        >>> try:
        ...     batch.run("harmonize", "no such folder", "harmonized")
        ... except RunError as error:
        ...     print(error, error.exit_code)
        no such folder: no such file or directory 3
    """

    code = "run-failed"
    _arguments = ()  # messages begin with the names of files

    def __init__(
        self, message: object = "", exit_code: int = 1, kind: str = "", code: str | None = None,
        argument: str | None = None, **more: Any,
    ) -> None:  # fmt: skip
        self.kind = kind or getattr(exit_code, "name", "failed").lower()
        super().__init__(message, code=code, **more)
        self.exit_code, self.argument = exit_code, argument

    def within(self, owner: str, argument: str | None = None) -> Self:
        """Returns the same error with `owner` in front of its message; argument: the name of the argument, if any."""
        about = (self.exit_code, self.kind, self.code, argument or self.argument)
        return type(self)(f"{owner}{self._message}", *about, hint=self.hint, **self.details)


class DeviceError(PyHarmonyError, RuntimeError):
    """The requested device does not exist, or its kernels do not load.

    Example:
        >>> from pyharmony.errors import DeviceError
        >>> issubclass(DeviceError, RuntimeError)
        True
    """

    code = "no-device"


class FileError(PyHarmonyError, OSError):
    """A file or a folder is missing, exists already, is of the wrong kind, or cannot be read or written.

    It also is of the class that Python has for the cause, such as FileNotFoundError or PermissionError.

    Attributes:
        errno: the number of the cause, as in `OSError`.
        filename: the path.

    Example:
        >>> import pyharmony
        >>> from pyharmony.errors import FileError
        >>> try:
        ...     pyharmony.load("no-such.png")
        ... except FileError as error:
        ...     print(error.argument, isinstance(error, FileNotFoundError), error.filename)
        source True no-such.png
    """

    code = "file"

    def __init__(self, message: object = "", *, code: str | None = None, hint: str = "", **details: Any) -> None:
        super().__init__(message, code=code, hint=hint, **details)
        self.errno, self.filename = details.get("errno"), details.get("filename")
        self.strerror = None if self.errno is None else os.strerror(self.errno)

    __str__ = Exception.__str__  # that of OSError has the number and not the argument

    @staticmethod
    def of(number: int, name: str, path: str | os.PathLike[str], accepts: str = "", cause: str = "") -> FileError:
        """Returns the error for a cause of the operating system, of that cause's class.

        Args:
            number: the number of the cause, such as `errno.ENOENT`.
            name: the name of the argument; empty: it is not known.
            accepts: the accepted values, such as 'an existing folder'; empty: nothing is said of them.
            cause: the text of the cause; empty: that of the operating system.
        """
        kind = _FILE_ERRORS.get(type(OSError(number, "")), FileError)
        cause = cause or os.strerror(number)
        text = f"{os.fspath(path)}: {cause[:1].lower()}{cause[1:]}{accepts and f', expected {accepts}'}"
        return kind(f"{name}: {text}" if name else text, errno=number, filename=os.fspath(path))


#: The classes of `FileError` by that of Python, whose names they have.
_FILE_ERRORS: dict[type[OSError], type[FileError]] = {
    kind: type(kind.__name__, (FileError, kind), {"__module__": __name__, "__doc__": FileError.__doc__})
    for kind in (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
}


class PyHarmonyWarning(_Coded, UserWarning):
    """A call did as requested, but probably not as intended: the message has the details.

    ``warnings.simplefilter("error", PyHarmonyWarning)`` makes it an error, "ignore" silences it.

    Example:
        >>> import warnings
        >>> from pyharmony.errors import PyHarmonyWarning
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", PyHarmonyWarning)
        ...     try:
        ...         warnings.warn("nothing was blended", PyHarmonyWarning)
        ...     except PyHarmonyWarning as warning:
        ...         print(warning)
        nothing was blended
    """

    code = "noticed"


class UnchangedWarning(PyHarmonyWarning):
    """The result is a copy of the input.

    Example:
        >>> import warnings
        >>> from pyharmony import blend
        >>> image = np.zeros((4, 4, 3), np.uint8)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     result = blend.alpha(image, image, np.zeros((4, 4), np.uint8))
        >>> caught[0].category.__name__
        'UnchangedWarning'
    """

    code = "unchanged"


class ClippedWarning(PyHarmonyWarning):
    """At least a twentieth of the solved values are beyond black or white, and were clipped to be stored as integers.

    ``SolveInfo.clipped`` is the share. A blend that keeps the colours of src clips less, by a larger ``color_weight``
    of `poisson` or ``base="copy-paste"`` of `gaussian_poisson`; floats are not clipped.

    Example:
        >>> import warnings
        >>> from pyharmony import blend
        >>> dst, src = np.full((16, 16, 3), 20, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> src[::2] = 100
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     result = blend.poisson(src, dst, np.pad(np.ones((12, 12), bool), ((2, 2), (0, 4))))
        >>> caught[0].category.__name__
        'ClippedWarning'
    """

    code = "clipped"


class FloodedWarning(PyHarmonyWarning):
    """The difference of colours varies so much along the contour that it is visible inside the object.

    A gradient-domain blend continues it into the object, which looks transparent. `pyharmony.blend.alpha` keeps the
    colours of the object, and `pyharmony.harmonize` changes its light uniformly.

    Example:
        >>> import warnings
        >>> from pyharmony import blend
        >>> src, dst = np.full((64, 64, 3), 120, np.uint8), np.full((64, 64, 3), 20, np.uint8)
        >>> dst[:, 32:] = 220
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     result = blend.poisson(src, dst, np.pad(np.ones((48, 48), bool), 8))
        >>> caught[0].category.__name__
        'FloodedWarning'
    """

    code = "flooded"


class MaskWarning(PyHarmonyWarning):
    """A mask, or dst under it, is probably not as intended.

    An integer mask looks like a map of labels; a soft one is mostly near zero; dst is nearly one colour under the mask
    and not around it, as if an object had been erased there.

    Example:
        >>> import warnings
        >>> from pyharmony import blend
        >>> image, labels = np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=np.uint8) * 15
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     result = blend.alpha(image, image, labels)
        >>> caught[0].category.__name__
        'MaskWarning'
    """

    code = "doubtful-mask"


class ConfidenceWarning(PyHarmonyWarning):
    """The guard of `pyharmony.harmonize` reduced a change, or the change has low confidence.

    Example:
        >>> from pyharmony.errors import ConfidenceWarning, PyHarmonyWarning
        >>> issubclass(ConfidenceWarning, PyHarmonyWarning)
        True
    """

    code = "low-confidence"
