"""The description inside a file of weights, which is read without torch.

The metadata of the safetensors file has one entry, `pyharmony`, a JSON object with `format` (1), `name`, `config`,
`part` ('all' or 'generator'), and `calibration` where something is known of the changes that the weights make.
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
from .errors import ArgumentError, WeightsError

FORMAT = 1
#: The names of a calibration that older files have, as an entry or among the settings.
_OLD = ("doubtful", "sure")
#: The length of the longest header that safetensors itself reads, in bytes.
_MAX_HEADER = 100_000_000
#: The dtype of tensors that count, such as the batches that a norm has seen.
_COUNTER = "I64"

Source = str | os.PathLike[str] | bytes
Part = Literal["all", "generator"]


@dataclass(frozen=True)
class Calibration:
    """The calibration of some weights: how far `pyharmony.harmonize` with its guard makes the changes they propose.

    A guarded call takes the mean of the answers to several views of the image. With c for its mean change of the object
    and s for the root of the mean squared change between an answer and their mean, p = c² / (c² + k s² + n²) tells how
    far they agree, and (p - 0.25) / 0.75 of the mean change is made, nothing where p is below 0.25.

    Attributes:
        doubt: k by default.
        caution: k where `cautious` is set.
        boost: the factor of the mean change; several views ask for less of it than one.
        noise: n, in 8-bit levels: by how much all views may be wrong alike, so that slight changes are left out. Where
            it is 0 and k, too, the whole change is made.
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
    """Returns the words for a source in messages."""
    return "the bytes" if isinstance(source, bytes) else os.fspath(source)


def header_of(data: bytes, source: Source) -> Header:
    """Returns the description in the bytes of a file."""
    table = table_of(data, source)
    try:
        text = (table.get("__metadata__") or {}).get("pyharmony")
        entry = None if text is None else json.loads(text)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise WeightsError(f"{shown(source)}: no safetensors file, or a damaged one") from error
    if entry is None:
        raise WeightsError(
            f"{shown(source)}: weights without the configuration of a model of pyharmony; "
            "`pyharmony models convert` reads published weights"
        )
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        version = entry.get("format") if isinstance(entry, dict) else entry
        raise WeightsError(f"{shown(source)}: format {version!r}, this version reads format {FORMAT}")
    name, config, part = entry.get("name"), entry.get("config"), entry.get("part")
    if not isinstance(name, str) or not isinstance(config, dict) or part not in ("all", "generator"):
        raise WeightsError(f"{shown(source)}: a damaged description of its model")
    calibration = entry.get("calibration", {})
    old = [
        key
        for key in _OLD
        if config.pop(key, None) is not None or (isinstance(calibration, dict) and key in calibration)
    ]
    if old:
        warn(
            f"{shown(source)}: calibrated by {' and '.join(old)}, which is of an older guard and is not used: all of "
            "the changes that these weights say are made; `benchmarks/harmonization.py calibrate` finds a new one"
        )
        calibration = {}
    try:
        return Header(name, config, part, Calibration(**calibration))
    except (TypeError, ArgumentError) as error:
        raise WeightsError(f"{shown(source)}: a damaged calibration, {error}") from error


def table_of(data: bytes, source: Source) -> dict[str, Any]:
    """Returns the table at the beginning of the bytes of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(_MAX_HEADER, len(data) - 8):
        raise WeightsError(f"{shown(source)}: no safetensors file, or a damaged one")
    try:
        table = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{shown(source)}: no safetensors file, or a damaged one") from error
    if not isinstance(table, dict):
        raise WeightsError(f"{shown(source)}: no safetensors file, or a damaged one")
    return table


def arrays_of(data: bytes, source: Source, name: str) -> tuple[Header, dict[str, Any]]:
    """Returns the description in the bytes of a file, and its tensors as arrays; counters are left out.

    Floats become float32, and bytes stay what they are.

    Args:
        name: the model whose weights these must be.
    """
    # Whoever reads a description alone does without NumPy.
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
    """Turns what goes wrong with the numbers or settings of a file into an error of its weights."""
    try:
        yield
    except (ValueError, LookupError, TypeError) as error:
        message = f"{shown(source)}: a damaged safetensors file: {type(error).__name__}: {error}"
        raise WeightsError(message) from error
