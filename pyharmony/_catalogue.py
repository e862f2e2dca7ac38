"""Names, settings and sizes of the networks, which are available without importing torch.

`models/_catalogue.json` is written by `tools/model_catalogue.py` from the models themselves.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import _shipped
from ._shipped import Weights
from .errors import ArgumentError, WeightsError

FILE = Path(__file__).parent / "networks" / "models" / "_catalogue.json"
TASKS = ("harmonize", "blend", "realism", "segment", "style", "upscale")


@dataclass(frozen=True)
class Variant:
    """A network in one configuration.

    Attributes:
        config: its settings; sequences are tuples.
        parameters: the number of parameters by name: 'all', and each of the two networks of a GAN.
    """

    config: dict[str, Any]
    parameters: dict[str, int]


@dataclass(frozen=True)
class Entry:
    """A network of `pyharmony.networks.models.list`.

    Attributes:
        name, task, summary, source: see `pyharmony.networks.models.ModelInfo`.
        presets: the settings that each preset changes.
        converts: whether published weights can be converted.
        variants: by preset, and the network as published under ''.
    """

    name: str
    task: str
    summary: str
    source: str
    presets: dict[str, dict[str, Any]]
    converts: bool
    variants: dict[str, Variant]

    def variant(self, preset: str | None) -> Variant:
        """Returns the network as published, or with a preset."""
        preset_of(self.name, self.presets, preset)
        return self.variants[preset or ""]


#: The networks that `pyharmony.networks.models.register` has added.
_user_entries: dict[str, Entry] = {}


def add(entry: Entry) -> None:
    """Adds a network of the user."""
    _user_entries[entry.name] = entry


def every(task: str | None = None) -> list[Entry]:
    """Returns the networks sorted by name: all of them, or those of one task."""
    check_task(task)
    entries = [*(_entry(dict(table)) for table in json.loads(FILE.read_text("utf-8"))), *_user_entries.values()]
    return sorted((entry for entry in entries if task in (None, entry.task)), key=lambda entry: entry.name)


def entry_of(name: Any) -> Entry:
    """Returns the network with a name."""
    entries = {entry.name: entry for entry in every()}
    check_name(name, entries)
    return entries[name]


def check_task(task: str | None) -> None:
    if task is not None and task not in TASKS:
        raise ArgumentError(f"task: {task!r}, expected one of {', '.join(map(repr, TASKS))}")


def check_name(name: Any, names: Any) -> None:
    """Refuses a name that is not among names."""
    if not isinstance(name, str) or name not in names:
        raise ArgumentError(f"name: {name!r} is no model{hint(name, names)}; the models are {', '.join(sorted(names))}")


def preset_of(name: str, presets: dict[str, dict[str, Any]], preset: str | None) -> dict[str, Any]:
    """Returns a copy of the settings that a preset changes; None is no preset."""
    if preset is None:
        return {}
    if not isinstance(preset, str) or preset not in presets:
        raise ArgumentError(f"preset: {preset!r}, {name} has {', '.join(sorted(presets)) or 'none'}")
    return dict(presets[preset])


def check_key(key: str, keys: Any, name: str) -> None:
    """Refuses a setting that a network does not have."""
    if key not in keys:
        raise ArgumentError(f"{key}: {name} has no such setting{hint(key, keys)}; it has {', '.join(keys)}")


def hint(name: Any, names: Any) -> str:
    near = difflib.get_close_matches(str(name), names, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_model(table: dict[str, Any]) -> None:
    """Refuses a table that describes no network: it needs `name`, optionally `preset`, and settings."""
    settings = dict(table)
    entry = entry_of(settings.pop("name", None))
    variant = entry.variant(settings.pop("preset", None))
    for key in settings:
        check_key(key, variant.config, entry.name)


def weights_of(source: Any) -> Weights | None:
    """Returns the weights of this name that come with pyharmony, or None if source is a path."""
    if not isinstance(source, str) or source != Path(source).name or "." in source:
        return None
    known_weights = {weights.name: weights for weights in _shipped.every()}
    if source in known_weights:
        return known_weights[source]
    if why := _shipped.why_left_out(source):
        raise WeightsError(f"the weights {source}: {why}")
    name = source.replace("-", "_")
    if name in {entry.name for entry in every()}:
        names = ", ".join(repr(weights.name) for weights in known_weights.values() if weights.model == name)
        there = f" under this name, only {names}" if names else f" of {name}"
        raise WeightsError(
            f"pyharmony comes without weights{there}; `pyharmony train --model {name} --data ROOT` trains them, "
            "and `load` accepts the path of a file"
        )
    near = difflib.get_close_matches(source, known_weights, 1)
    if near and not os.path.lexists(source):
        raise WeightsError(f"{source}: no such file or weights; did you mean {near[0]!r}?")
    return None


def check_weights(source: str | os.PathLike[str]) -> None:
    """Refuses a source that is neither the name of weights that come with pyharmony nor a file."""
    if weights_of(source) is None and not Path(source).exists():
        text = os.fspath(source)
        if Path(text).suffix or os.sep in text:
            raise WeightsError(f"{text}: there is no such file")
        names = ", ".join(weights.name for weights in _shipped.every())
        raise WeightsError(f"{text}: there is no such file; weights that come with pyharmony are {names}")


def _entry(table: dict[str, Any]) -> Entry:
    variants = {name: Variant(_tuples(v["config"]), v["parameters"]) for name, v in table.pop("variants").items()}
    presets = {name: _tuples(changes) for name, changes in table.pop("presets").items()}
    return Entry(**table, presets=presets, variants=variants)


def _tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings with tuples, as in a configuration, in place of JSON's lists."""

    def tupled(value: Any) -> Any:
        return tuple(map(tupled, value)) if isinstance(value, list) else value

    return {key: tupled(value) for key, value in settings.items()}
