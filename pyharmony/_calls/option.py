"""The types of descriptions: options, their values, and calls."""

from __future__ import annotations

import contextlib
import itertools
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from .. import _shipped


@dataclass(frozen=True)
class Numbers:
    """The type of an option that is several numbers, on the command line with commas between them.

    Attributes:
        metavar: the placeholder in the help, such as 'X,Y'.
        example: an example, for messages.
        counts: the accepted numbers of numbers; empty: any.
        pairs: whether they are points (x, y): two make one point, more of them a list of points.
        whole: whether they are whole numbers.
        line: whether one point is also a list of points.
    """

    metavar: str
    example: str
    counts: tuple[int, ...] = ()
    pairs: bool = False
    whole: bool = False
    line: bool = False

    def converted(self, text: str) -> Any:
        """Returns the numbers of a text: a number if one is accepted and given, else a tuple.

        ValueError: the text is not of this type; the message describes the accepted texts.
        """
        try:
            values = tuple((int if self.whole else float)(part) for part in text.split(","))
        except ValueError:
            values = ()
        accepted = len(values) in self.counts if self.counts else len(values) > 0
        if not accepted or (self.pairs and len(values) > 1 and len(values) % 2):
            raise ValueError(f"{self.metavar}, such as {self.example}")
        if len(values) == 1 and 1 in self.counts:
            return values[0]
        if self.pairs and (self.line or len(values) > 2):
            return tuple(zip(values[::2], values[1::2], strict=True))
        return values


POINT = Numbers("X,Y", "120,80", (2,))
POINTS = Numbers("X,Y[,X,Y…]", "120,80", pairs=True)
RECTANGLE = Numbers("X,Y,W,H", "10,20,300,200", (4,))
LINE = Numbers("X,Y,X,Y…", "120,80,160,90", pairs=True, line=True)
ROW_OR_LINE = Numbers("Y|X,Y,X,Y", "300 or 10,300,200,290", (1, 4), pairs=True)


@dataclass(frozen=True)
class Curve(Numbers):
    """The type of an option that is a tone curve: its points (x, y), each number 0 to 1, x rising."""

    least: int = 2
    most: int = 16
    #: The least distance of two points in x: nearer ones have no slope in double precision.
    apart: float = 1e-6

    @property
    def accepted(self) -> str:
        """The accepted points in words, for messages."""
        return f"{self.least} to {self.most} points [x, y], each from 0 to 1, x rising by 1e-6 or more"

    def accepts(self, points: Any) -> bool:
        """Returns whether a sequence is the points of a tone curve."""
        if not isinstance(points, Sequence) or isinstance(points, str) or not self.least <= len(points) <= self.most:
            return False
        pairs: list[Any] = [one if isinstance(one, Sequence) and len(one) == 2 else (None, None) for one in points]
        if not all(_is_number(value) and 0 <= value <= 1 for pair in pairs for value in pair):
            return False
        return all(after[0] - one[0] >= self.apart for one, after in itertools.pairwise(pairs))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


CORNERS = Numbers("DX,DY,DX,DY,DX,DY,DX,DY", "0,0,0.1,0.05,0.1,-0.05,0,0", (8,), pairs=True)
COLOUR = Numbers("R,G,B", "0.9,0.95,1.1", (3,))
INDICES = Numbers("N[,N…]", "0,2", whole=True)
CURVE = Curve("X,Y,X,Y…", "0,0,0.5,0.6,1,1", pairs=True, line=True)


@dataclass(frozen=True)
class File:
    """The type of an option that is a file on the command line.

    Attributes:
        role: 'image', which a request names by its id; 'weights', which may be the name of those that come with
            pyharmony, and which no request names; or 'output', which a request turns on.
        words: the words that are accepted in place of a path.
        number: whether a number is accepted in place of a path.
    """

    role: str = "image"
    words: tuple[str, ...] = ()
    number: bool = False

    def is_path(self, text: str) -> bool:
        """Returns whether a text is a path, rather than a word or a number."""
        with contextlib.suppress(ValueError):
            if self.number:
                float(text)
                return False
        return text not in (self.words if self.role != "weights" else [entry.name for entry in _shipped.every()])


IMAGE = File()


@dataclass(frozen=True)
class Name:
    """The type of an option that is a name out of a list which is known only where it is used.

    of: what is listed, such as 'harmonize' for the methods of harmonisation.
    """

    of: str


@dataclass(frozen=True)
class Group:
    """The type of an option that turns a step on or off, with auto also 'auto', or has the arguments of its call.

    is_step: whether words turn it on and off; if not, it is only the arguments, and without any it does nothing.
    """

    call: Call
    auto: bool = False
    is_step: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        """The words that turn the step on and off on the command line."""
        return (*(("auto",) if self.auto else ()), "on", "off")


@dataclass(frozen=True)
class Option:
    """An option of a call; if it is not set, the function's default applies.

    Attributes:
        name: the name, also of the argument and of a list's column.
        type: bool, int or float; the accepted words; Numbers, a Name, a File or a Group. No text is accepted as it is.
        about: its description, for the help.
        default: the default in words, for the help; empty: that of value.
        modes: the modes that it applies to; empty: all.
        metavar: the placeholder of its value in the help.
        low, high: the bounds of a number.
        off: the flag that turns it off; empty: there is none.
        argument: whether it is passed to the mode's function unchanged.
        value: the default of the function; None: it is estimated, or there is none.
        auto: whether 'auto' is accepted in addition to the type.
        word: a word that is accepted in addition to the type; empty: none.
        none: whether the step may be turned off: 'none' on the command line, null in a request, None in Python.
        each: the argument that has one value for each subject; empty: one value for all.
        shared: whether one value of such an option may apply to all subjects.
        many: whether it is a list, passed by repeating the option.
        look: whether it changes how a subject is matched, so that a preview of one subject needs it too.
        in_recipe: whether recipes store it under its name.
        is_new: whether older recipes lack it; they have the neutral value.
        neutral: the value without effect, which a plain paste has, as in recipes; None: the step is off.
        unit: the input in whose pixels it is, or, as 'dst/src', how many pixels of one input it is for each of another;
            empty: it does not depend on sizes.
        was_flag: whether it was on or off, which is accepted for a release, with a warning.
        replaced_by: the option that it is now a part of; it is accepted for a release, with a warning, and not shown.
        on_page: the control of the page that sets it, 'field' if it is generated from this description; empty: the page
            has none, and `about` need not be shown there.
    """

    name: str
    type: Any
    about: str
    default: str = ""
    modes: tuple[str, ...] = ()
    metavar: str | None = None
    low: float | None = None
    high: float | None = None
    off: str = ""
    argument: bool = True
    value: Any = None
    auto: bool = False
    word: str = ""
    none: bool = False
    each: str = ""
    shared: bool = False
    many: bool = False
    look: bool = False
    in_recipe: bool = False
    is_new: bool = False
    neutral: Any = None
    unit: str = ""
    was_flag: bool = False
    replaced_by: str = ""
    on_page: str = ""

    @property
    def flag(self) -> str:
        return flag(self.name)

    @property
    def inner(self) -> tuple[Option, ...]:
        """The options of the arguments of a Group, with the names of their flags, such as shadow_azimuth."""
        if not isinstance(self.type, Group):
            return ()
        return tuple(
            replace(one, name=f"{self.name}_{one.name}", each=self.each, shared=self.shared)
            for one in self.type.call.options
        )

    @property
    def help(self) -> str:
        """The option's help: the modes that it applies to, its description, and its default."""
        before = f"{', '.join(self.modes)}: " if self.modes else ""
        default = self.default or _written(self.name.replace("_", "-") if self.value is True else self.value)
        return f"{before}{self.about}{f'  [default: {default}]' if default else ''}"

    @property
    def shown(self) -> str | None:
        """The placeholder of the value in the help, such as X,Y."""
        if self.type is bool or self.metavar is not None:
            return self.metavar
        before = "auto|" if self.auto else ""
        after = "|none" if self.none else ""
        if isinstance(self.type, Group):
            return "|".join(self.type.words)
        if isinstance(self.type, tuple):
            return f"{before}{'|'.join(self.type)}{after}"
        if isinstance(self.type, Numbers):
            return f"{before}{self.type.metavar}{after}"
        if isinstance(self.type, File):
            return "FILE"
        return f"{before}{'N' if self.type is int else 'F' if self.type is float else 'NAME'}{after}"

    def converted(self, text: str) -> Any:
        """Returns the value of a text, such as that of a flag or a cell of a list.

        ValueError: the text is no value of the option; the message describes the accepted values.
        """
        if self.none and text == "none":
            return () if isinstance(self.type, Numbers) else None
        if (self.auto and text == "auto") or (self.word and text == self.word):
            return text
        try:
            return self._converted(text)
        except ValueError as error:
            words = [word for word, accepted in (("auto", self.auto), ("none", self.none)) if accepted]
            words += [self.word] * bool(self.word)
            raise ValueError(" or ".join([*words, str(error)])) from None

    def gathered(self, values: list[Any]) -> list[Any]:
        """Returns the value of a repeatable option from its converted values; points become one list."""
        return points_of(values) if self.many and self.type is POINTS else values

    def _converted(self, text: str) -> Any:
        if isinstance(self.type, tuple):
            if text not in self.type:
                raise ValueError(f"one of {', '.join(self.type)}")
            return text
        if isinstance(self.type, Numbers):
            return self.type.converted(text)
        if isinstance(self.type, Group):
            if text not in self.type.words:
                number = f"; {self.flag}-strength is a number" if text[:1].isdigit() else ""
                raise ValueError(f"one of {', '.join(self.type.words)}{number}")
            return {"on": True, "off": False}.get(text, text)
        if isinstance(self.type, (File, Name)):
            return text
        if self.type is bool:
            if text.lower() not in _YES_OR_NO:
                raise ValueError("yes or no")
            return _YES_OR_NO[text.lower()]
        try:
            return self.type(text)
        except ValueError:
            raise ValueError("a whole number" if self.type is int else "a number") from None

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The words that are accepted, as Python and recipes spell them: names have underscores."""
        return tuple(word.replace("-", "_") for word in self.type)

    def accepts(self, value: Any) -> bool:
        """Returns whether a value of JSON, as in recipes, is accepted; the arguments of a Group are not checked."""
        if value is None:
            return self.none or isinstance(self.type, Group)
        if self.auto and value == "auto":
            return True
        if isinstance(self.type, Group):
            return isinstance(value, Mapping) or (self.type.auto and value == "auto")
        if isinstance(self.type, tuple):
            return isinstance(value, str) and value in self.identifiers
        if self.type is bool:
            return isinstance(value, bool)
        if isinstance(self.type, Curve):
            return self.type.accepts(value)
        number = isinstance(value, (int, float) if self.type is float else int) and not isinstance(value, bool)
        return number and self._within(value)

    def _within(self, value: float) -> bool:
        # NaN and whole numbers beyond all floats do not lie between two floats, and are no error of a comparison.
        low = -sys.float_info.max if self.low is None else self.low
        return low <= value <= (sys.float_info.max if self.high is None else self.high)

    def check(self, value: Any) -> None:
        """Refuses a number out of the bounds by a ValueError that describes the accepted values."""
        if _is_number(value) and (self.low, self.high) != (None, None) and not self._within(value):
            raise ValueError(self.accepted)

    @property
    def accepted(self) -> str:
        """The accepted values in words, for messages."""
        if isinstance(self.type, Group):
            auto = ", 'auto'" if self.type.auto else ""
            return f"null{auto} or arguments of {self.type.call.command}"
        if isinstance(self.type, tuple):
            text = "one of " + ", ".join(self.identifiers)
        elif self.type is bool:
            text = "true or false"
        elif isinstance(self.type, Curve):
            text = self.type.accepted
        else:
            text = "a whole number" if self.type is int else "a number"
            if self.low is not None and self.high is not None:
                text += f" from {self.low:g} to {self.high:g}"
            elif self.low is not None:
                text += f" of at least {self.low:g}"
        return f"null or {text}" if self.none else text


_YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def on_or_off(value: Any) -> bool | None:
    """Returns the value of a flag, or a text of one; None for another value."""
    return value if isinstance(value, bool) else _YES_OR_NO.get(str(value).lower())


def flag(name: str) -> str:
    """Returns an argument's option as in messages and on the command line."""
    return ("-" if len(name) == 1 else "--") + name.replace("_", "-")


def _written(value: Any) -> str:
    """Returns a default as shown in the help; empty for none and for off."""
    if value is None or value is False or value == ():
        return ""
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


@dataclass(frozen=True)
class Call:
    """A call on images.

    Attributes:
        inputs: its images, with a description of each.
        renamed: former spellings of options, with the new ones.
        items: the inputs of an item of a list or a run, and whether every item needs it; the first one varies.
        modes: functions of `pyharmony.blend`, or methods of `pyharmony.harmonize`, of which the call runs one, the
            first by default; empty: it has a function of its own.
        chooser: the option that selects the mode.
        primary: the input whose kind the result of a mode has.
        phase: the name of a mode's computation in timings.
        suffix: the suffix of the outputs of a run, if those of images may not store them; empty: that of the image.
        roles: the folders of the files of an item; empty: an item has one file.
    """

    command: str
    inputs: Mapping[str, str]
    options: tuple[Option, ...]
    _: KW_ONLY
    renamed: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, bool] = field(default_factory=dict)
    modes: tuple[str, ...] = ()
    chooser: str = "mode"
    primary: str = "image"
    phase: str = "solve"
    suffix: str = ""
    roles: tuple[str, ...] = ()

    @property
    def by_name(self) -> dict[str, Option]:
        return {option.name: option for option in self.options}

    def former(self, but: Collection[str] = ()) -> dict[str, str]:
        """Returns the former names of options, except of some, with the present ones."""
        names = {one.flag: one.name for one in self.flat if one.name not in but}
        return {old: names[flag] for old, flag in self.renamed.items() if flag in names}

    @property
    def flat(self) -> tuple[Option, ...]:
        """The options, and after a step, or in place of a Group that is none, those of its arguments."""
        return tuple(
            one
            for option in self.options
            for one in (option, *option.inner)
            if not isinstance(one.type, Group) or one.type.is_step
        )

    def grouped(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns values of the flat options with those of the arguments of a Group in it."""
        options = dict(values)
        for option in self.options:
            own = {one.name: options.pop(one.name) for one in option.inner if one.name in options}
            if own:
                others = options.get(option.name)
                others = dict(others) if isinstance(others, Mapping) else {}
                options[option.name] = others | {name[len(option.name) + 1 :]: value for name, value in own.items()}
        return options

    def in_fields(self, text: str) -> str:
        """Returns a help with the names of fields in place of flags, and of inputs in place of capitals."""
        text = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda match: match[1].replace("-", "_"), text)
        names = "|".join(name.upper() for name in (*self.inputs, "image", "mask", "out"))
        return re.sub(rf"\b({names})\b", lambda match: match[0].lower(), text)

    @property
    def harmonizes(self) -> bool:
        return bool(self.modes) and self.chooser == "method"

    @property
    def needed(self) -> tuple[str, ...]:
        """The inputs that every item needs."""
        return tuple(name for name, is_needed in self.items.items() if is_needed)

    def arguments(self, values: Mapping[str, Any], count: int = 1, several: bool = False) -> dict[str, Any]:
        """Returns the keyword arguments of the function for values of options, by name; missing ones are omitted.

        For an option that is `each`, values are a list with one for all `count` subjects, or one for each; of a Group
        they may also be such a list for each of its arguments. several: whether the function gets a list of subjects.
        ValueError: their number differs; the message begins with the option's name.
        """
        arguments = {}
        for option in self.options:
            if option.argument and option.name in values:
                value = values[option.name]
                if option.each:
                    if isinstance(option.type, Group) and isinstance(value, Mapping):
                        value = _in_rows(option, value, count, several)
                    value = _for_each(option, value, count, several)
                if isinstance(option.type, tuple):  # names in Python have underscores
                    value = [_as_identifier(one) for one in value] if isinstance(value, list) else _as_identifier(value)
                arguments[option.each or option.name] = value
        return arguments


def _as_identifier(word: Any) -> Any:
    return word.replace("-", "_") if isinstance(word, str) else word


def _in_rows(option: Option, columns: Mapping[str, Sequence[Any]], count: int, several: bool) -> list[dict[str, Any]]:
    """Returns the arguments of a Group for each subject, or once for all, from the values of each argument."""
    by_name = dict(zip(option.type.call.by_name, option.inner, strict=True))
    each = {name: _for_each(by_name[name], values, count, several) for name, values in columns.items()}
    rows = count if any(isinstance(value, list) for value in each.values()) else 1
    return [{name: value[i] if isinstance(value, list) else value for name, value in each.items()} for i in range(rows)]


def points_of(values: Sequence[Any]) -> list[Any]:
    """Returns the points of values of POINTS, each of which is a point or a list of them."""
    return [point for value in values for point in ([value] if isinstance(value[0], (int, float)) else value)]


def _for_each(option: Option, values: Sequence[Any], count: int, several: bool) -> Any:
    """Returns the argument for the values of an option that is set once for each subject."""
    if several and len(values) == count:
        return list(values)
    if not several and option.type is POINTS:
        points = points_of(values)
        return points[0] if len(points) == 1 else points
    if len(values) == 1 and (option.shared or not several):
        return values[0]
    once = "once for each, or once for all" if option.shared else "once for each"
    raise ValueError(f"{option.flag}: given {len(values)} times for {count} subjects, expected {once}")
