"""Checks the arguments of `compose`, before anything is read or computed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _arrays, _checks, io
from .._calls import COMPOSE, Group, Option
from .._cuda import is_device_array
from .._images.kinds import as_out, is_file
from ..errors import ArgumentError, DTypeError, PyHarmonyError
from ..harmonization import METHODS
from ..harmonization.names import check_name
from ..io import Picture
from ..io.files import check_destination
from ..segmentation import Masks
from ..upscaling import METHODS as UPSCALERS
from ._recipe import accepted, check_effect
from ._weights import harmonizes


def check_out(out: Any) -> None:
    """Rejects a destination that cannot be written to."""
    if out is None or _arrays.is_array(out) or is_device_array(out):
        return
    if isinstance(out, (bytes, bytearray, memoryview)) or not (is_file(out) or hasattr(out, "write")):
        raise DTypeError(f"out: {type(out).__name__}, expected an array like background, a path or an open binary file")
    with as_out():
        check_destination(out)


def check_result(out: Any, picture: Picture, background: Any) -> None:
    """Rejects a destination that cannot store a result like the background."""
    if out is None or is_device_array(out):
        return
    if not _arrays.is_array(out):
        with as_out():
            io.check_target(picture, out)
    elif _arrays.is_array(background):
        array = _arrays.to_numpy(background, "background")
        _checks.out_like(_arrays.to_numpy(out, "out", writable=True), "out", array, "background")


def check_people(people: Any) -> None:
    """Rejects a value that does not describe people."""
    stack = isinstance(people, np.ndarray) and people.ndim >= 3
    if not (people is None or stack or isinstance(people, (Masks, list, tuple))):
        expected = "expected None, a list of masks, or the result of pyharmony.segment with all_people=True"
        raise DTypeError(f"people: {type(people).__name__}, {expected}")


def settings_of(harmonize: Any, strength: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of matching and blending, which are the same for all subjects, for the recipe.

    values: the values of the other options that are part of recipes, by their names.
    """
    if (upscale := values["upscale"]) is not None:
        _checks.one_of(upscale, "upscale", ("auto", *UPSCALERS), " or None")
    options = [option for option in COMPOSE.options if option.in_recipe and not option.each]
    settings = {option.name: _setting(option, values[option.name]) for option in options}
    amount = _amount(COMPOSE.by_name["strength"], strength)
    settings["harmonize"] = None
    if harmonize is not None:
        _check_method(harmonize)
        method, weights = harmonizes(harmonize)
        identity = {"method": method, "weights": weights, "strength": amount}
        settings["harmonize"] = {**identity, "source": True, "reference_heads": [], "light": None}
    if amount == 0:
        # A plain paste.
        settings = {**{option.name: option.neutral for option in options}, "harmonize": None}
    else:
        for name in ("sharpness", "grain"):
            settings[name] *= min(1.0, amount)
    settings["upscale"] = next(iter(UPSCALERS)) if upscale == "auto" else upscale
    return settings


def _setting(option: Option, value: Any) -> Any:
    """Returns the value of an option for the recipe, after checks."""
    name = option.name
    if isinstance(option.type, Group):
        if isinstance(value, Mapping):
            return _numbers(value, name)
        if isinstance(value, (bool, np.bool_)):
            return {} if value else None
        if isinstance(value, str) and option.type.auto and value == "auto":
            return value
        auto = "'auto', " if option.type.auto else ""
        raise ArgumentError(f"{name}: {value!r}, expected {auto}True, False or arguments of pyharmony.{name}")
    if isinstance(option.type, tuple):
        words = ("auto", *option.identifiers) if option.auto else option.identifiers
        _checks.one_of(value, name, words)
        return option.identifiers[0] if value == "auto" else value
    if option.type is bool:
        _checks.flag(value, name)
        return bool(value)
    return _amount(option, value)


def _amount(option: Option, value: Any) -> float:
    high = math.inf if option.high is None else option.high
    return _checks.number(value, option.name, low=option.low or 0, high=high, accepts=option.accepted)


def _check_method(method: Any) -> None:
    """Rejects an unknown method of `harmonize`, and missing weights."""
    if not isinstance(method, (str, os.PathLike)):
        expected = f"expected one of {', '.join(map(repr, METHODS))}, the name or path of weights, or None"
        raise DTypeError(f"harmonize: {type(method).__name__}, {expected}")
    if method in METHODS and method != "auto":
        return
    try:
        check_name(method)
    except PyHarmonyError as error:
        raise error.within("", "harmonize" if error.argument == "method" else None) from None


def _numbers(arguments: Mapping[str, Any], of: str) -> dict[str, Any]:
    """Returns the arguments of a shadow or a reflection as values of JSON."""
    import json

    for name in arguments:
        if name not in accepted(of):
            raise ArgumentError(f"{of}: {name!r}, expected some of {', '.join(accepted(of))}")
    try:
        numbers: dict[str, Any] = json.loads(json.dumps(dict(arguments), default=float))
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(f"{of}: {dict(arguments)!r}, expected numbers and pairs of numbers") from None
    check_effect(numbers, of, "")
    return numbers
