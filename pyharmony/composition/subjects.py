"""The subjects of a call: what the caller says of each, checked before anything is read or computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import _checks, _reprs
from .._arrays import Rectangle
from .._calls import ADJUST, COMPOSE, Call
from .._images.frame import LARGEST_COORDINATE, position_of
from .._warnings import warn
from ..errors import ArgumentError, DTypeError, PyHarmonyError
from ..placement import Placement
from ..typing import ImageLike, LayerMode, MaskLike, Position
from . import warping
from ._recipe import check_numbers

__all__ = ["Subject", "in_rows"]

Spot = Literal["auto"] | Position | Placement
Number = Literal["auto"] | float
Front = Literal["auto"] | Sequence[int]

#: The arguments of `compose` with another name than the field of `Subject`, by that field.
_PLURALS = {"box": "boxes", "mask": "masks"}


@dataclass(frozen=True, eq=False, repr=False)
class Subject(_reprs.Line):
    """A subject of a composite: its photo, and what is known about it; everything else is estimated.

    Attributes:
        photo: the photo with the subject, of any kind that `compose` accepts.
        points: a click (x, y) on the subject, or several [(x, y), …].
        beside: a click (x, y) on what does not belong to the subject, or several; with points, a box or a mask.
        box: a rectangle (x, y, width, height) around the subject.
        mask: a mask of the subject, of its photo's size.
        at: 'auto', the best placement; or (x, y), the position of the first pixel of the photo in the background before
            the rotation; or a `pyharmony.placement.Placement`.
        scale: the factor by which the subject is enlarged; 'auto': that of the placement, 1 if `at` is a position.
        angle: the rotation in degrees clockwise; 'auto': that of the placement, 0 if `at` is a position.
        flip: whether it may be mirrored, and if `at` is a position, whether it is.
        behind: the numbers of the people who are in front of it; 'auto': those of the placement, none if `at` is a
            position.
        adjust: corrections by hand after the match, see `compose`; None: none.
        opacity: its opacity, without its shadow and reflection, 0 to 1.
        mode: how its colours mix with those below it, see `pyharmony.io.Layer`.
        warp: the displacements ((dx, dy), …) of the four corners of its photo, see `compose`; None: none.

    Raises:
        ArgumentError, DTypeError: a value is not accepted.

    Example:
        >>> import pyharmony
        >>> from pyharmony.composition import Subject
        >>> photo = np.zeros((30, 20, 4), np.uint8)
        >>> photo[5:25, 5:15] = (200, 100, 50, 255)
        >>> background = np.full((60, 80, 3), 128, np.uint8)
        >>> pair = [Subject(photo, at=(10, 20)), Subject(photo, at=(50, 20), adjust={"saturation": 0})]
        >>> result = pyharmony.compose(pair, background, harmonize=None, shadow=False)
        >>> result[30, 20].tolist(), len(set(result[30, 60].tolist()))
        ([200, 100, 50], 1)
    """

    photo: ImageLike
    _: KW_ONLY
    points: Position | Sequence[Position] | None = None
    beside: Position | Sequence[Position] | None = None
    box: Rectangle | None = None
    mask: MaskLike | None = None
    at: Spot = "auto"
    scale: Number = "auto"
    angle: Number = "auto"
    flip: bool = False
    behind: Front = "auto"
    adjust: Mapping[str, object] | None = None
    opacity: float = 1.0
    mode: LayerMode = "normal"
    warp: Sequence[Position] | None = None

    def __post_init__(self) -> None:
        _checks.flag(self.flip, "flip")
        if not _is_auto(self.scale) and not 0 < number(self.scale, "scale") <= 1000:
            raise ArgumentError(f"scale: {self.scale!r}, expected 'auto' or a number above 0, at most 1000")
        if not _is_auto(self.angle) and abs(number(self.angle, "angle")) > 180:
            raise ArgumentError(f"angle: {self.angle!r}, expected 'auto' or -180 to 180 degrees")
        _check_position(self.at)
        _check_behind(self.behind)
        for name in ("points", "beside"):
            if getattr(self, name) is not None:
                _check_points(getattr(self, name), name)
        if self.beside is not None and self.points is None and self.box is None and self.mask is None:
            raise ArgumentError("beside: without points, a box or a mask, expected one of them")
        if self.box is not None:
            _checks.checked_box(self.box, "box")
        object.__setattr__(self, "adjust", adjustment(self.adjust))
        opacity = _checks.number(self.opacity, "opacity", high=1.0, accepts="a number from 0 to 1")
        object.__setattr__(self, "opacity", opacity)
        _checks.one_of(self.mode, "mode", COMPOSE.by_name["mode"].identifiers)
        object.__setattr__(self, "warp", warping.checked(self.warp))


class Names(NamedTuple):
    """The names of a subject's arguments in messages: `names("box")` is 'subjects[1]: boxes'."""

    owner: str = ""  # what is in front of them
    plurals: Mapping[str, str] = {}  # those that the caller knows by another name than a field of `Subject`

    def __call__(self, argument: str) -> str:
        return f"{self.owner}{self.plurals.get(argument, argument)}"

    @property
    def photo(self) -> str:
        """The name of the photo."""
        return self.owner.removesuffix(": ") or "subjects"


def photos_of(subjects: Any) -> list[Any]:
    """Returns the photos of one subject, or of several in a list."""
    listed = list(subjects) if isinstance(subjects, (list, tuple)) else [subjects]
    return [one.photo if isinstance(one, Subject) else one for one in listed]


def subjects_of(subjects: Any, each: Mapping[str, Any]) -> tuple[list[Subject], list[Names]]:
    """Returns the subjects of a call, and the names of their arguments in messages.

    each: the arguments of the call that describe photos which are passed as such, by the field of `Subject`: a value
        for all of them, or a list with one each, which warns.
    """
    several = isinstance(subjects, (list, tuple))
    listed = list(subjects) if several else [subjects]
    if not listed:
        raise ArgumentError("subjects: empty, expected at least one photo")
    owners = [f"subjects[{i}]: " for i in range(len(listed))] if several else [""]
    if any(isinstance(one, Subject) for one in listed):
        for field in fields(Subject):
            if field.name in each and not _is_same(each[field.name], field.default):
                name = _PLURALS.get(field.name, field.name)
                raise ArgumentError(f"{name}: passed beside a Subject, expected {field.name} of each Subject")
        described = [one if isinstance(one, Subject) else Subject(one) for one in listed]
        return described, [Names(owner) for owner in owners]
    columns = {name: _column(name, value, len(listed)) if several else [value] for name, value in each.items()}
    return _described(listed, columns, owners, _PLURALS), [Names(owner, _PLURALS) for owner in owners]


def in_rows(photos: Sequence[Any], arguments: Mapping[str, Any]) -> tuple[list[Subject], dict[str, Any]]:
    """Returns a subject for each of several photos, and the other arguments, from arguments of `compose`.

    arguments: those that describe subjects have a value for all photos, or a list with one each.
    """
    others, columns = dict(arguments), {}
    for field in fields(Subject)[1:]:
        name = _PLURALS.get(field.name, field.name)
        if name in others:
            value = others.pop(name)
            columns[field.name] = value if isinstance(value, list) else [value] * len(photos)
    return _described(photos, columns, [f"subjects[{i}]: " for i in range(len(photos))], {}), others


def _described(
    photos: Sequence[Any], columns: Mapping[str, Sequence[Any]], owners: Sequence[str], plurals: Mapping[str, str]
) -> list[Subject]:
    """Returns a subject for each photo, with the values of its fields in columns."""
    described = []
    for i, (photo, owner) in enumerate(zip(photos, owners, strict=True)):
        try:
            described.append(Subject(photo, **{name: column[i] for name, column in columns.items()}))
        except PyHarmonyError as error:
            raise error.within(owner, plurals.get(error.argument or "")) from None
    return described


def _column(field: str, value: Any, count: int) -> list[Any]:
    """Returns the value of a field for each of several photos: one for all, or those of a list in step with them."""
    # A position is a pair of numbers, while a list of them has other items. A mask may be an array.
    is_shared = value is None or (field in ("at", "behind") and not _is_list_of_each(value))
    numbers = ("scale", "angle", "flip", "opacity", "mode")
    is_shared |= field in numbers and not isinstance(value, (list, tuple, np.ndarray))
    is_shared |= field == "warp" or (field == "adjust" and isinstance(value, Mapping))
    if is_shared:
        return [value] * count
    name = _PLURALS.get(field, field)
    if not isinstance(value, (list, tuple)) or len(value) != count:
        what = f"a list of {len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
        raise ArgumentError(f"{name}: {what} for {count} subjects, expected a list with one each")
    instead = f"pass a list of composition.Subject, each with its {field}; the next release does not take this list"
    warn(f"{name}: a list in step with that of the subjects, {instead}", DeprecationWarning)
    return list(value)


def number(value: Any, name: str) -> float:
    """Returns a finite number."""
    try:
        is_number = isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        is_number = False
    if isinstance(value, bool) or not is_number:
        raise ArgumentError(f"{name}: {value!r}, expected 'auto' or a finite number")
    return float(value)


def adjustment(value: Any, name: str = "adjust", call: Call = ADJUST) -> dict[str, Any] | None:
    """Returns corrections by hand as values of JSON; None without any.

    name, call: those of the argument, by default of a subject's.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{name}: {value!r}, expected None or numbers by name: {', '.join(call.by_name)}")
    numbers = {
        key: one.tolist() if isinstance(one, (np.generic, np.ndarray)) else one
        for key, one in value.items() if one is not None or key != "curve"
    }  # fmt: skip
    check_numbers(call, numbers, f"{name}.")
    return {
        key: [[float(x), float(y)] for x, y in one] if key == "curve" else float(one) for key, one in numbers.items()
    } or None


def _check_behind(behind: Any) -> None:
    if not _is_auto(behind) and not (
        isinstance(behind, (list, tuple, np.ndarray))
        and getattr(behind, "ndim", 1) == 1
        and all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in behind)
    ):
        raise ArgumentError(f"behind: {behind!r}, expected 'auto' or a list of numbers of people")


def clicks_of(points: Any) -> list[Any]:
    """Returns one point, or several, as a list."""
    return [points] if len(points) == 2 and all(np.isscalar(v) for v in points) else list(points)


def _check_points(points: Any, name: str) -> None:
    accepts = "expected (x, y) in pixels, or a list of them"
    try:
        every = _checks.several(points, name, accepts)
    except DTypeError:
        raise ArgumentError(f"{name}: {points!r}, {accepts}") from None
    if not every:
        raise ArgumentError(f"{name}: empty, {accepts}")
    for point in [every] if np.isscalar(every[0]) else every:
        pair = _checks.two_numbers(point, name, accepts)
        try:
            is_finite = all(math.isfinite(v) for v in pair)
        except OverflowError:
            is_finite = False
        if not is_finite:
            raise ArgumentError(f"{name}: {points!r}, {accepts}, finite")


def _check_position(at: Any) -> None:
    accepts = "expected 'auto', (x, y) or a Placement"
    if isinstance(at, Placement):
        numbers = (at.x, at.y, at.scale, at.angle)
        are_near = all(isinstance(v, (int, float, np.number)) and abs(v) < LARGEST_COORDINATE for v in numbers)
        if not (are_near and 0 < at.scale <= 1000):
            raise ArgumentError(f"at: {at!r}, expected a Placement of finite numbers, with a scale of at most 1000")
    elif not _is_auto(at):
        if isinstance(at, str):
            raise ArgumentError(f"at: {at!r}, {accepts}")
        try:
            position_of(at)
        except PyHarmonyError:
            raise ArgumentError(f"at: {at!r}, {accepts} of finite numbers below {LARGEST_COORDINATE}") from None


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _is_same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (str, int, float)) and value == default)


def _is_list_of_each(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(
        x is None or isinstance(x, (str, list, tuple, np.ndarray, Placement)) for x in value
    )
