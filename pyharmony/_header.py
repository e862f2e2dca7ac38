"""The description inside a file of weights, which is read without torch.

The metadata of the safetensors file has one entry, `pyharmony`, a JSON object with `format` (1), `name`, `config`,
`part` ('all' or 'generator'), and optionally `calibration` of the changes by the weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ._warnings import warn
from .errors import ArgumentError, DTypeError, FileError, WeightsError

FORMAT = 1
#: The names of a calibration in older files, as an entry or among the settings.
_OLD_CALIBRATION_KEYS = ("doubtful", "sure")
#: The length of the longest header that safetensors accepts, in bytes.
_MAX_HEADER = 100_000_000
#: The dtype of counters, such as the number of batches of a norm.
_COUNTER = "I64"

Source = str | os.PathLike[str] | bytes
Part = Literal["all", "generator"]


@dataclass(frozen=True)
class Calibration:
    """The calibration of some weights: how much of their changes a guarded `pyharmony.harmonize` applies.

    A guarded call uses the mean of the results for several views of the image. With c for its mean change of the object
    and s for the root of the mean squared change between a result and their mean, p = c² / (c² + k s² + n²) measures
    their agreement, and (p - 0.25) / 0.75 of the mean change is applied, nothing if p is below 0.25.

    Attributes:
        doubt: k by default.
        caution: k if `cautious` is set.
        boost: the factor of the mean change, which is smaller for several views than for one.
        noise: n, in 8-bit levels: the common error of all views, so that slight changes are not applied. If
            it and k are 0, the whole change is applied.
    """

    doubt: float = 0.0
    caution: float = 0.0
    boost: float = 1.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 <= value < math.inf:
                raise ArgumentError(f"{name}: {str(value)[:80]}, expected a number of at least 0")


class Header(NamedTuple):
    """The description inside a file."""

    name: str
    config: dict[str, Any]
    part: Part
    calibration: Calibration


def shown(source: Source) -> str:
    """Returns the name of a source in messages."""
    return "the bytes" if isinstance(source, bytes) else os.fspath(source)


@contextlib.contextmanager
def named(argument: str) -> Iterator[None]:
    """Gives errors about a file of weights, which name the file, the name of the argument too."""
    try:
        yield
    except (WeightsError, ArgumentError, FileError, DTypeError) as error:
        if error.argument not in (None, "source"):
            raise
        raise error.within(f"{argument}: " if error.argument is None else "", error.argument and argument) from error


def header_of(data: bytes, source: Source) -> Header:
    """Returns the description in the bytes of a file."""
    table = table_of(data, source)
    try:
        text = (table.get("__metadata__") or {}).get("pyharmony")
        entry = None if text is None else json.loads(text)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise WeightsError(f"{shown(source)}: not a safetensors file, or a damaged one") from error
    if entry is None:
        raise WeightsError(
            f"{shown(source)}: weights without the configuration of a model of pyharmony; "
            "`pyharmony models convert` reads published weights"
        )
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        version = entry.get("format") if isinstance(entry, dict) else entry
        raise WeightsError(f"{shown(source)}: format {str(version)[:80]}, this version reads format {FORMAT}")
    name, config, part = entry.get("name"), entry.get("config"), entry.get("part")
    if not isinstance(name, str) or not isinstance(config, dict) or part not in ("all", "generator"):
        raise WeightsError(f"{shown(source)}: a damaged description of its model")
    calibration = entry.get("calibration", {})
    old = [
        key
        for key in _OLD_CALIBRATION_KEYS
        if config.pop(key, None) is not None or (isinstance(calibration, dict) and key in calibration)
    ]
    if old:
        warn(
            f"{shown(source)}: calibrated by {' and '.join(old)} for an older guard, which is ignored: all of "
            "the changes by these weights are applied; `benchmarks/harmonization.py calibrate` computes a new one"
        )
        calibration = {}
    try:
        return Header(name, config, part, Calibration(**calibration))
    except (TypeError, ArgumentError) as error:
        raise WeightsError(f"{shown(source)}: a damaged calibration, {error}") from error


def table_of(data: bytes, source: Source) -> dict[str, Any]:
    """Returns the table at the beginning of the bytes of a safetensors file."""
    length, table = int.from_bytes(data[:8], "little"), None
    if len(data) >= 8 and 2 <= length <= min(_MAX_HEADER, len(data) - 8):
        with contextlib.suppress(ValueError, RecursionError):
            table = json.loads(data[8 : 8 + length])
    if not isinstance(table, dict):
        raise WeightsError(f"{shown(source)}: not a safetensors file, or a damaged one")
    return table


def arrays_of(data: bytes, source: Source, name: str) -> tuple[Header, dict[str, Any]]:
    """Returns the description in the bytes of a file, and its tensors as arrays; counters are omitted.

    Floats are converted to float32, bytes are unchanged.

    Args:
        name: the model for which these weights must be.
    """
    # Reading only a description does not need NumPy.
    import numpy as np

    header, table = header_of(data, source), table_of(data, source)
    if header.name != name:
        raise WeightsError(f"{shown(source)}: weights of {header.name}, expected those of {name}")
    values = memoryview(data)[8 + int.from_bytes(data[:8], "little") :]
    dtypes: dict[str, Any] = {"F16": np.float16, "F32": np.float32, "U8": np.uint8}
    arrays = {}
    with damage(source):
        for key, tensor in table.items():
            if key != "__metadata__" and tensor["dtype"] != _COUNTER:
                start, end = tensor["data_offsets"]
                array = np.frombuffer(values[start:end], dtypes[tensor["dtype"]])
                dtype = np.uint8 if array.dtype == np.uint8 else np.float32
                arrays[key] = array.reshape(tensor["shape"]).astype(dtype)
    return header, arrays


@contextlib.contextmanager
def damage(source: Source) -> Iterator[None]:
    """Turns errors about the numbers or settings of a file into an error of its weights."""
    try:
        yield
    except (ValueError, LookupError, TypeError) as error:
        message = f"{shown(source)}: a damaged safetensors file: {type(error).__name__}: {error}"
        raise WeightsError(message) from error
