"""The names of methods of harmonisation, and the check of a name before it runs."""

from __future__ import annotations

import os
from pathlib import Path

from .. import _catalogue, _checks, _shipped
from .._header import named
from ..errors import ArgumentError, WeightsError

__all__ = ["DEFAULT", "METHODS", "check_name"]

#: The names of the methods without weights.
METHODS_WITHOUT_WEIGHTS = ("reinhard", "mkl", "match_histogram", "luminance_temperature", "lalonde_efros", "xue")

#: The names that `harmonize` accepts, in addition to networks.
METHODS = ("auto", *METHODS_WITHOUT_WEIGHTS)

#: The name of the weights of 'auto'.
DEFAULT = "colorgrid"


def check_name(method: str | os.PathLike[str]) -> None:
    """Refuses a name that is no method and does not look like weights, and 'auto' if its weights are missing."""
    shipped = [entry.name for entry in _shipped.every() if entry.task == "harmonize"]
    if method == "auto":
        if DEFAULT not in shipped:
            raise WeightsError(
                f"method: 'auto' needs the weights {DEFAULT}, which this pyharmony lacks; pass the path of "
                f"weights, or one of {', '.join(map(repr, METHODS_WITHOUT_WEIGHTS))}"
            )
        return
    name = os.fspath(_checks.path(method, "method", "the name of a method, or the path of weights"))
    if isinstance(method, os.PathLike) or Path(name).suffix or os.sep in name:
        with named("method"):
            _catalogue.check_weights(method)
    elif not Path(name).exists():
        names = {*shipped, *(entry.name for entry in _catalogue.every("harmonize"))}
        if method not in names:
            raise ArgumentError(
                f"method: {method!r}, expected one of {', '.join(map(repr, METHODS))}, the path of weights, or the "
                f"name of weights that come with pyharmony{': ' if shipped else ''}{', '.join(shipped)}"
            )
