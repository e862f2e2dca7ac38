"""Checks the arguments of `compose`, before anything is read or computed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .. import _arrays, _checks, io
from .._calls import ADJUST, COMPOSE, Group, Option
from .._cuda import is_device_array
from .._images.frame import position_of
from .._images.kinds import as_out, is_file
from ..errors import ArgumentError, DTypeError, PyHarmonyError
from ..harmonization import METHODS
from ..harmonization.names import check_name
from ..io import Picture
from ..io.files import check_destination
from ..placement import Placement
from ..segmentation import Masks
from ._plan import SubjectOptions, number
from ._recipe import accepted, check_effect, check_numbers
from ._weights import harmonizes

#: The largest absolute coordinate of a position.
_FAR = 1 << 31


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
        expected = "expected None, a list of masks, or the result of pyharmony.segment with people=True"
        raise DTypeError(f"people: {type(people).__name__}, {expected}")


def settings_of(harmonize: Any, strength: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of matching and blending, which are the same for all subjects, for the recipe.

    values: the values of the other options that are part of recipes, by their names.
    """
    options = [option for option in COMPOSE.options if option.in_recipe and not option.each]
    settings = {option.name: _setting(option, values[option.name]) for option in options}
    amount = _amount(COMPOSE.by_name["strength"], strength)
    settings["harmonize"] = None
    if harmonize is not None:
        _check_method(harmonize)
        method, weights = harmonizes(harmonize)
        identity = {"method": method, "weights": weights, "strength": amount}
        settings["harmonize"] = {**identity, "source": True, "reference": []}
    if amount == 0:
        # A plain paste.
        return {**{option.name: option.plain for option in options}, "harmonize": None}
    for name in ("sharpness", "grain"):
        settings[name] *= min(1.0, amount)
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
        return option.plain if value == "auto" else value
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


def options_of(count: int, several: bool, *values: Any) -> list[SubjectOptions]:
    """Returns the options of each subject, from values that are one for all or lists with one each."""
    names = ("points", "boxes", "masks", "at", "scale", "angle", "flip", "behind", "adjust")
    columns = []
    for name, value in zip(names, values, strict=True):
        # A position is a pair of numbers, while a list of them has other items. A mask may be an array.
        shared = name in ("at", "behind") and not _is_list_of_each(value)
        shared |= name in ("scale", "angle", "flip") and not isinstance(value, (list, tuple, np.ndarray))
        shared |= name == "adjust" and isinstance(value, Mapping)
        if not several or shared or value is None:
            columns.append([value] * count)
            continue
        if not isinstance(value, (list, tuple)) or len(value) != count:
            what = f"a list of {len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
            raise ArgumentError(f"{name}: {what} for {count} subjects, expected a list with one each")
        columns.append(list(value))
    rows = []
    for i, row in enumerate(zip(*columns)):
        name = f"subjects[{i}]: " if several else ""
        one = SubjectOptions(*row)
        _check_options(one, name)
        rows.append(replace(one, adjust=_adjustment(one.adjust, f"{name}adjust")))
    return rows


def _adjustment(value: Any, name: str) -> dict[str, float] | None:
    """Returns the corrections by hand of a subject as values of JSON; None without any."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{name}: {value!r}, expected None or numbers by name: {', '.join(ADJUST.by_name)}")
    numbers = {key: one.item() if isinstance(one, np.generic) else one for key, one in value.items()}
    check_numbers(ADJUST, numbers, f"{name}.")
    return {key: float(one) for key, one in numbers.items()} or None


def _check_options(one: SubjectOptions, name: str) -> None:
    """Rejects options of a subject that are not accepted; name: the prefix of arguments in messages."""
    _checks.flag(one.flip, f"{name}flip")
    if not _is_auto(one.scale) and not 0 < number(one.scale, f"{name}scale") <= 1000:
        raise ArgumentError(f"{name}scale: {one.scale!r}, expected 'auto' or a number above 0, at most 1000")
    if not _is_auto(one.angle) and abs(number(one.angle, f"{name}angle")) > 180:
        raise ArgumentError(f"{name}angle: {one.angle!r}, expected 'auto' or -180 to 180 degrees")
    _check_place(one.at, f"{name}at")
    if not _is_auto(one.behind) and not (
        isinstance(one.behind, (list, tuple, np.ndarray))
        and getattr(one.behind, "ndim", 1) == 1
        and all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in one.behind)
    ):
        raise ArgumentError(f"{name}behind: {one.behind!r}, expected 'auto' or a list of numbers of people")
    if one.points is not None:
        accepts = "expected (x, y) in pixels, or a list of them"
        points = one.points
        try:
            every = _checks.several(points, f"{name}points", accepts)
        except DTypeError:
            raise ArgumentError(f"{name}points: {points!r}, {accepts}") from None
        if not every:
            raise ArgumentError(f"{name}points: empty, {accepts}")
        for point in [every] if np.isscalar(every[0]) else every:
            _finite(_checks.two_numbers(point, f"{name}points", accepts), points, f"{name}points", accepts)
    if one.box is not None:
        _checks.checked_box(one.box, f"{name}boxes")


def _check_place(at: Any, name: str) -> None:
    accepts = "expected 'auto', (x, y) or a Placement"
    if isinstance(at, Placement):
        numbers = (at.x, at.y, at.scale, at.angle)
        are_near = all(isinstance(v, (int, float, np.number)) and abs(v) < _FAR for v in numbers)
        if not (are_near and 0 < at.scale <= 1000):
            raise ArgumentError(f"{name}: {at!r}, expected a Placement of finite numbers, with a scale of at most 1000")
    elif not _is_auto(at):
        if isinstance(at, str):
            raise ArgumentError(f"{name}: {at!r}, {accepts}")
        try:
            position_of(at)
        except PyHarmonyError:
            raise ArgumentError(f"{name}: {at!r}, {accepts} of finite numbers below {_FAR}") from None


def _finite(pair: tuple[Any, Any], value: Any, name: str, accepts: str) -> None:
    try:
        is_finite = all(math.isfinite(v) for v in pair)
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise ArgumentError(f"{name}: {value!r}, {accepts}, finite")


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _is_list_of_each(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(
        x is None or isinstance(x, (str, list, tuple, np.ndarray, Placement)) for x in value
    )
