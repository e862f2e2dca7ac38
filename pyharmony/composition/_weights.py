"""The weights of the networks that a composite uses, as a recipe identifies them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import _checks, _shipped, harmonization, upscaling
from ..errors import Reason
from ..harmonization.names import DEFAULT

#: The weights of a method: their name, and the SHA-256 of their file.
Identity = dict[str, str]


def harmonizes(method: str | os.PathLike[str]) -> tuple[str, Identity | None]:
    """Returns the name of a method of `pyharmony.harmonize`, with 'auto' resolved, and its weights."""
    name = os.fspath(method)
    if name == "auto":
        # If the weights are missing, the call itself reports it.
        name = DEFAULT if _shipped.named(DEFAULT) is not None else name
    return name, None if name in harmonization.METHODS else _weights_of(name)


def enlarges(method: str) -> Identity | None:
    """Returns the weights of a method of `pyharmony.super_resolve`; None if it has none."""
    name = upscaling.METHODS[method].weights
    return _weights_of(name) if name else None


def changed(entry: Mapping[str, Any]) -> list[Reason]:
    """Returns a reason for each network of a subject's recipe whose weights differ from those here."""
    reasons = []
    for step, now in (("harmonize", lambda method: harmonizes(method)[1]), ("upscale", enlarges)):
        step_entry = entry[step]
        if step_entry is None:
            continue
        then, here = step_entry["weights"], now(step_entry["method"])
        if (then or {}).get("sha256") != (here or {}).get("sha256"):
            weights_then = f"{then['name']} of SHA-256 {then['sha256'][:12]}…" if then else "no weights"
            has = f"{here['name']} of SHA-256 {here['sha256'][:12]}…" if here else "none"
            text = f"{step}: the recipe was made with {weights_then}, here there are {has}; the result may differ"
            reasons.append(Reason("other-weights", text))
    return reasons


def _weights_of(name: str) -> Identity | None:
    """Returns the name and checksum of weights that come with pyharmony or are in a file; None if there are none."""
    shipped, path = _shipped.named(name), Path(name)
    if shipped is not None:
        return {"name": name, "sha256": shipped.sha256}
    return {"name": path.name, "sha256": sha256_of(path)} if path.is_file() else None


def sha256_of(path: str | os.PathLike[str], name: str = "path") -> str:
    """Returns the SHA-256 of a file; name: the name of the argument, for messages."""
    checksum = hashlib.sha256()
    with _checks.opened(path, name) as file:
        while data := file.read(1 << 20):
            checksum.update(data)
    return checksum.hexdigest()
