"""The description inside a file of weights, which is read without torch.

The metadata of the safetensors file has one entry, `pyharmony`, a JSON object with `format` (1), `name`, `config`,
`part` ('all' or 'generator'), and `calibration` where something is known of the changes that the weights make.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .errors import ArgumentError, WeightsError

FORMAT = 1
#: The length of the longest header that safetensors itself reads, in bytes.
_MAX_HEADER = 100_000_000

Source = str | os.PathLike[str] | bytes
Part = Literal["all", "generator"]


@dataclass(frozen=True)
class Calibration:
    """The calibration of some weights: how far `pyharmony.harmonize` with its guard makes the changes they propose.

    Attributes:
        doubtful: the mean change of an object, in levels of 255, of which a guarded call makes half. Of smaller changes
            it makes less, because an object that already fits is changed a little, too. 0: all changes are made.
        sure: the mean change, in levels of 255, from which on a guarded call makes as much of it as `doubtful` says; a
            smaller one is cut to 7.5 at most, and to 3 degrees of the hue of skin. 0: all changes are sure.
    """

    doubtful: float = 0.0
    sure: float = 0.0

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
    """Returns the description in the bytes of a file.

    Raises:
        WeightsError: the file is damaged or has no description of a model of pyharmony.
    """
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
        found = entry.get("format") if isinstance(entry, dict) else entry
        raise WeightsError(f"{shown(source)}: format {found!r}, this version reads format {FORMAT}")
    name, config, part = entry.get("name"), entry.get("config"), entry.get("part")
    if not isinstance(name, str) or not isinstance(config, dict) or part not in ("all", "generator"):
        raise WeightsError(f"{shown(source)}: a damaged description of its model")
    known = entry.get("calibration", {})
    # It may also lie among the settings.
    known = {key: config.pop(key) for key in ("doubtful", "sure") if key in config} or known
    try:
        return Header(name, config, part, Calibration(**known))
    except (TypeError, ArgumentError) as error:
        raise WeightsError(f"{shown(source)}: a damaged calibration, {error}") from error


def table_of(data: bytes, source: Source) -> dict[str, Any]:
    """Returns the table at the beginning of the bytes of a safetensors file.

    Raises:
        WeightsError: the file is damaged.
    """
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
