"""The weights that come with pyharmony, listed by a manifest next to them. Needs no torch.

`models/_weights/manifest.json` contains `format` (1) and `weights`, a list of objects with the fields of `Weights`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ArgumentError, WeightsError

#: The name of the default weights of `blend.gp_gan`.
GENERATOR = "gp-gan-small"
FOLDER = Path(__file__).parent / "networks" / "models" / "_weights"
#: The variable of the environment that, as 1, leaves out weights with `open_data` false.
OPEN_DATA = "PYHARMONY_OPEN_DATA"
_FORMAT = 1
_REINSTALL_HINT = "install pyharmony again"
#: The tables of `noted` that are being filled.
_tables: list[dict[str, str]] = []


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        data: the data set of the measurement.
        images: the number of images in it.
        measure: the name of the measure, such as 'PSNR', in the unit of `pyharmony.learn.metrics`.
        value: the mean.
        low, high: its bootstrap interval of 95 %; None if there is none.
        before: the mean for the network's input, unchanged; None if there is none.
    """

    data: str
    images: int
    measure: str
    value: float
    low: float | None = None
    high: float | None = None
    before: float | None = None


@dataclass(frozen=True)
class Weights:
    """Weights that come with pyharmony.

    Attributes:
        name: the name for `pyharmony.networks.models.load`.
        model, task: the network and its task, see `pyharmony.networks.models.list`.
        summary: a description in one line.
        file: the name of the file in the folder of weights.
        bytes, sha256: size and checksum of the file.
        licence: the licence of the weights.
        trained_on: the images, their number, and their licences.
        open_data: whether all these images are under open licences.
        commands: the commands that trained them, in order.
        figures: the results on images that they were not trained on.
        notes: further information, such as failure cases.
    """

    name: str
    model: str
    task: str
    summary: str
    file: str
    bytes: int
    sha256: str
    licence: str
    trained_on: str
    open_data: bool
    commands: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: str = ""

    @property
    def path(self) -> Path:
        """The path of the file."""
        return FOLDER / self.file

    @property
    def card(self) -> str:
        """The page of the repository that describes them."""
        return f"docs/models/{self.model}.md"


def every() -> list[Weights]:
    """Returns the weights of the manifest, sorted by name, except those left out; their files are not read."""
    is_open_only = _is_open_only()
    return [weights for weights in manifest() if weights.open_data or not is_open_only]


def left_out() -> list[Weights]:
    """Returns the weights that PYHARMONY_OPEN_DATA=1 leaves out, sorted by name."""
    return [weights for weights in manifest() if not weights.open_data] if _is_open_only() else []


def why_left_out(name: str) -> str:
    """Returns why weights of a name are left out, to follow the name and a colon; empty if they are not."""
    if all(weights.name != name for weights in left_out()):
        return ""
    return f"{OPEN_DATA}=1 leaves them out, since not all photographs they were trained on are under open licences"


def _is_open_only() -> bool:
    value = os.environ.get(OPEN_DATA, "")
    if value not in ("", "0", "1"):
        raise ArgumentError(f"{OPEN_DATA}: {value!r}, expected 0 or 1")
    return value == "1"


def manifest() -> list[Weights]:
    """Returns all weights of the manifest, sorted by name, also those left out."""
    path = FOLDER / "manifest.json"
    try:
        table = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read, {error.strerror}; {_REINSTALL_HINT}") from error
    except ValueError as error:
        raise WeightsError(f"{path}: not JSON, {error}; {_REINSTALL_HINT}") from error
    if not isinstance(table, dict) or table.get("format") != _FORMAT or not isinstance(table.get("weights"), list):
        raise WeightsError(f"{path}: expected an object of format {_FORMAT} with a list 'weights'; {_REINSTALL_HINT}")
    try:
        entries = [_entry(entry) for entry in table["weights"]]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: a damaged entry, {type(error).__name__}: {error}; {_REINSTALL_HINT}") from error
    return sorted(entries, key=lambda weights: weights.name)


def named(name: str) -> Weights | None:
    """Returns the weights of a name; None if this pyharmony does not have them, or leaves them out."""
    return next((weights for weights in every() if weights.name == name), None)


def is_there(name: str) -> bool:
    """Returns whether this installation has the file of weights, which a minimal one may lack, and uses it."""
    weights = named(name)
    return weights is not None and weights.path.is_file()


def _entry(entry: Any) -> Weights:
    values = dict(entry)
    values["commands"] = tuple(values.get("commands", ()))
    values["figures"] = tuple(Figure(**figure) for figure in values.get("figures", ()))
    weights = Weights(**values)
    if not isinstance(weights.open_data, bool):
        raise ValueError(f"open_data: {weights.open_data!r}, expected true or false")
    if Path(weights.file).name != weights.file:
        raise ValueError(f"file: {weights.file!r}, expected a name without a folder")
    return weights


def read(weights: Weights) -> bytes:
    """Returns the bytes of the file after checking them against the manifest."""
    path = weights.path
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: there is no such file, expected the weights {weights.name}; {_REINSTALL_HINT}"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read, {error.strerror}") from error
    if len(data) != weights.bytes:
        raise WeightsError(f"{path}: damaged, {len(data):,} bytes in place of {weights.bytes:,}; {_REINSTALL_HINT}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != weights.sha256:
        raise WeightsError(f"{path}: damaged, its SHA-256 is {digest}, expected {weights.sha256}; {_REINSTALL_HINT}")
    return data


@contextlib.contextmanager
def noted() -> Iterator[dict[str, str]]:
    """Yields a table of the weights that are used meanwhile, in any thread: the SHA-256 of each by its name."""
    hashes: dict[str, str] = {}
    _tables.append(hashes)
    try:
        yield hashes
    finally:
        _tables[:] = [table for table in _tables if table is not hashes]


def note(weights: Weights) -> None:
    """Records that a network with these weights is about to run; to be called each time that one is returned."""
    for table in _tables:
        table[weights.name] = weights.sha256
