"""Tasks: requests, checked as far as possible without reading an image."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ... import _shipped
from ..._calls import BLEND, EDIT, FLAGS, HINTS, Call, Name, Style, harmonize_methods, on_or_off
from ..._calls.batches import OF_ALL
from ..._warnings import warn
from ...errors import PyHarmonyError, RunError
from .failures import Code, Words, as_failure, translated, writing

if TYPE_CHECKING:
    from ...typing import Device, ImageFormat, Quality

#: The file name of a stream: stdin for an input, stdout for the output.
STREAM = "-"


def names_of(kind: Name) -> tuple[str, ...]:
    """Returns the names that an option of this type accepts."""
    if kind.of == "harmonize":
        return tuple(harmonize_methods())
    if kind.of == "synth":
        from ...learn import data

        return tuple(data.METHODS)
    from ... import segmentation, typing, upscaling

    if kind.of == "format":
        return get_args(typing.ImageFormat)
    return ("auto", *(segmentation.METHODS if kind.of == "segment" else upscaling.METHODS))


@dataclass(frozen=True)
class Request:
    """A request; options that are not set are missing or None.

    Attributes:
        inputs: paths by the names of the kind's inputs.
        output: a path, '-', or for several tasks a folder; None: each task has its output.
        max_pixels: the largest number of pixels of an image, such as '64M'.
        jobs: the number of processes for the tasks of a list.
        table: the table of a list; None: one image, or a folder of them.
        columns: the columns of a table for inputs, options and 'out' that are not called so.
    """

    kind: Call
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    output: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    max_pixels: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    threads: int | None = None
    device: Device | None = None
    strict: bool = False
    jobs: int = 1
    table: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def keeps_files(self) -> bool:
        """Whether an existing file is an error."""
        return not (self.overwrite or self.dry_run)


@dataclass(frozen=True)
class Task:
    """A call on files, with arguments that are checked as far as possible without reading an image.

    Attributes:
        files: the paths of the inputs and, where they are images, of 'dst_valid', 'base', 'color_weight' and the hints.
        outputs: the paths of the results by their roles, or '-'; '' is the role of an only result, and 'mask' that of a
            mask, which is saved beside it or is one of several results.
        mode: the mode of the call; '': it has none.
        arguments: the arguments of the mode's function, without the images; of a call without modes its options.
        name: its name in a list or a run.
        harmonize: the arguments of `pyharmony.harmonize` for the blended result; None: it is not harmonised.
        upscale: the factor by which the result is enlarged at the end; 1: it is not enlarged.
        style: how messages write its options.
        values: the options as they were set, from which another process makes the same task.
    """

    kind: Call
    files: Mapping[str, str]
    outputs: Mapping[str, str]
    mode: str
    arguments: Mapping[str, Any]
    format: ImageFormat | None
    quality: Quality
    keep_gps: bool
    name: str = ""
    weight_scale: float | None = None
    harmonize: Mapping[str, Any] | None = None
    upscale: int = 1
    style: Style = FLAGS
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> str:
        """The path of the result, or of the first one."""
        return next(iter(self.outputs.values()))

    @property
    def save_mask(self) -> str | None:
        """The path of the mask that is saved beside the result; None: it is not saved."""
        return self.outputs.get("mask") if "" in self.outputs else None

    @property
    def options(self) -> dict[str, Any]:
        """The options that were set, for the record."""
        options = dict(self.arguments)
        if self.harmonize is not None:
            options |= {"harmonize": self.harmonize["method"], **self.harmonize}
        if self.save_mask is not None:
            options["save_mask"] = self.save_mask
        if self.upscale != 1:
            options["upscale"] = self.upscale
        if self.weight_scale is not None:
            options["color_weight_scale"] = self.weight_scale
        return options

    def where(self, name: str) -> str:
        """Returns the name of an input with its file."""
        return f"{name} ({self._named(name)})"

    def _named(self, name: str) -> str:
        path = self.files[name]
        return "stdin" if path == STREAM else path

    @property
    def words(self) -> Words:
        """The texts of messages about this task, with the names of files and options in place of arguments."""
        named = self._named if self.kind.modes else self.where
        return self._words({name: named(name) for name in self.files})

    def failure(self, error: BaseException) -> RunError:
        """Returns an error as a failure whose message names files and options in place of arguments."""
        if isinstance(error, RunError) or not isinstance(error, PyHarmonyError):
            return as_failure(error)
        failure = self._words({name: self.where(name) for name in self.files}).failure(error)
        if error.argument in self.files and failure.exit_code == Code.USAGE:
            # An error in the content of an image is an error of the input, whatever its class.
            failure.exit_code = Code.INPUT
        return failure

    @contextlib.contextmanager
    def failures(self, option: str = "") -> Iterator[None]:
        """Turns errors of the library into failures; option: the one that needs what may not be installed."""
        try:
            with translated(self.failure, MemoryError):
                yield
        except ImportError as error:
            before = f"{self.style.option(option)}: " if option else ""
            raise RunError(f"{before}{error}", Code.UNEXPECTED, type(error).__name__) from error

    def _words(self, files: Mapping[str, str]) -> Words:
        names = {"target": self.style.input("out")}
        if not self.kind.modes:
            return Words(names, files)
        option = self.style.option
        weight, base = option("color_weight"), option("base", "copy-paste")
        at = "X,Y" if self.style.flags else "[x, y]"
        named = self.kind.by_name.get("supervised")
        unsupervised = named.off if self.style.flags and named is not None else option("supervised", False)
        texts = {
            "reference-solves-all": f"True with {option('as_published')}; GP-GAN's code solves the whole image, pass "
            f"{option('preserve_background', False)}",
            "nothing-fixed": f"covers all of {{image}}, and with {weight} 0 the colours are not determined",
            "cautious-unguarded": f"True with {option('guard', False)}, which applies every change",
            "mask-empty": "{mask} is zero everywhere",
            "alpha-empty": "the alpha of {image} is zero everywhere",
            "mask-off-alpha": "{mask} is zero wherever {image} is not transparent",
            "generator-blends": f"the blending generator, and {unsupervised} needs the one from noise",
            "generator-from-noise": f"the generator from noise, and {option('supervised', True)} needs the blending",
            "outside": "the object lies outside {image} ({size})",
        }
        hints = {
            "sizes-differ": f"pass {option('at', at)}, the position of its first pixel",
            "mask-at": "masks are never resized; for a part of the image pass "
            f"{option('at', at)}, its first pixel there",
            "nothing-fixed": f"leave pixels at zero or pass {weight} above 0",
            "looks-erased": f"mark unknown pixels: alpha 0, or black in {option('dst_valid')}",
            "hold-base": f"{base} with a {weight} near 1 clips less, and images of floats are not clipped",
            "hold-colours": f"a larger {weight} clips less, and images of floats are not clipped",
        }
        if self.kind.harmonizes and "network" in self.values:
            names["method"] = option("network")
        if self.style.flags:
            hints["too-many-pixels"] = f"{option('max_pixels')} allows more"
        return Words({name: option(name) for name in self.kind.by_name} | names, files, texts, hints)


def task_of(
    kind: Call,
    inputs: Mapping[str, str | None],
    out: str | Mapping[str, str],
    options: Mapping[str, Any],
    style: Style = FLAGS,
    name: str = "",
) -> Task:
    """Makes a task of inputs and options, checked against the mode; a failure names the invalid values.

    out: the path of the result, or those of several results by their roles.
    """
    values = {name: value for name, value in options.items() if value is not None}
    outputs = {"": out} if isinstance(out, str) else out
    of_file: dict[str, Any] = {
        "format": values.get("format"),
        "quality": values.get("quality", 95),
        "keep_gps": bool(values.get("keep_gps", False)),
    }
    if not kind.modes:
        files = {name: path for name, path in inputs.items() if path is not None}
        own = kind.grouped({option: value for option, value in options.items() if option not in OF_ALL})
        return Task(kind, files, outputs, "", own, **of_file, name=name, style=style, values=values)
    original = dict(values)
    after = _after(values, style) if kind is BLEND else None
    # An object that is harmonised afterwards keeps its own colours until then.
    mode = values.get(kind.chooser, kind.modes[0] if after is None else "alpha")
    modes = harmonize_methods() if kind.harmonizes else kind.modes
    if kind is EDIT and kind.chooser not in values:
        raise RunError(f"{style.option(kind.chooser)} is missing, expected one of {', '.join(modes)}", Code.USAGE)
    if mode not in modes:
        raise RunError(f"{style.option(kind.chooser)}: {mode!r}, expected one of {', '.join(modes)}", Code.USAGE)
    for option in kind.options:
        if option.name in values and option.modes and mode not in option.modes:
            others = ", ".join(option.modes)
            does_not = f"{style.option(option.name)} cannot be used with {style.option('mode', mode)}"
            raise RunError(f"{does_not}; it goes with {others}", Code.USAGE)
    files = {name: path for name, path in inputs.items() if path is not None}
    arguments = {
        option.name: values[option.name] for option in kind.options if option.argument and option.name in values
    }
    if kind.harmonizes:
        if "network" in values and "method" in values:
            both = f"{style.option('network')} and {style.option('method')}"
            raise RunError(f"{both} exclude each other", Code.USAGE)
        arguments["method"] = mode = values.get("network", mode)
        _check_network(values, style)
        files |= {name: arguments.pop(name) for name in HINTS if name in arguments}
    if "dst_valid" in arguments:
        files["dst_valid"] = arguments.pop("dst_valid")
    if "at" in values:
        arguments["at"] = _position(values["at"], style)
    if mode == "inpaint" and "mask" not in files:
        needs = f"{style.option('mode', mode)} needs {style.input('mask')}"
        raise RunError(f"{needs}, white in the region to fill", Code.USAGE)
    base = arguments.get("base")
    if base == "membrane":
        del arguments["base"]
    elif base is not None and base != "copy-paste":
        files["base"] = arguments.pop("base")
    weight, scale = arguments.get("color_weight"), values.get("color_weight_scale")
    if weight is not None:
        try:
            arguments["color_weight"] = float(weight)
        except ValueError:
            files["color_weight"] = arguments.pop("color_weight")
    if scale is not None and "color_weight" not in files:
        needs = f"{style.option('color_weight_scale')} needs a map in {style.option('color_weight')}"
        raise RunError(needs, Code.USAGE)
    streams = [name for name, path in files.items() if path == STREAM]
    if len(streams) > 1:
        raise RunError(f"{' and '.join(streams)} are both -, but stdin can be read only once", Code.USAGE)
    if values.get("save_mask") is not None:
        _check_mask_file(values["save_mask"], outputs[""], files, style.option("save_mask"))
        outputs = {**outputs, "mask": values["save_mask"]}
    return Task(
        kind=kind,
        files=files,
        outputs=outputs,
        mode=mode,
        arguments=arguments,
        **of_file,
        name=name,
        weight_scale=scale,
        harmonize=after,
        upscale=int(values.get("upscale", 1)),
        style=style,
        values=original,
    )


def _check_network(values: Mapping[str, Any], style: Style) -> None:
    """Refuses the weights of a network that are neither a file nor come with pyharmony."""
    network = values.get("network")
    names = [entry.name for entry in _shipped.every() if entry.task == "harmonize"]
    if network is not None and network not in names and not os.path.exists(network):
        expected = f"expected the path of weights, or the name of those that come with pyharmony: {', '.join(names)}"
        raise RunError(
            f"{style.option('network')}: {network}: there is no such file; {expected}", Code.WEIGHTS, "WeightsError"
        )


#: The options of `pyharmony.harmonize` that a blend accepts with `harmonize`.
_HARMONIZE_OPTIONS = ("strength", "guard", "cautious")


def _after(values: dict[str, Any], style: Style) -> dict[str, Any] | None:
    """Removes the options of `harmonize` from those of a blend; returns None if the result is not harmonised."""
    method, names = _method(values, style), harmonize_methods()
    settings: dict[str, Any] = {name: values.pop(name) for name in _HARMONIZE_OPTIONS if name in values}
    if method is None:
        if settings:
            raise RunError(f"{style.option(next(iter(settings)))} needs {style.option('harmonize')}", Code.USAGE)
        return None
    if method not in names:
        raise RunError(f"{style.option('harmonize')}: {method!r}, expected one of {', '.join(names)}, none", Code.USAGE)
    return {"method": method, **settings}


def _method(values: dict[str, Any], style: Style) -> Any:
    """Removes the method of `harmonize` from the options of a blend; it was a flag beside an option `method`."""
    method, old = values.pop("harmonize", None), values.pop("method", None)
    is_on = on_or_off(method)
    if old is None and is_on is None:
        return method
    if old is not None and method is not None and not is_on:
        name, other = style.option("method"), style.option("harmonize")
        raise RunError(f"{name}: passed beside {other}, its new name; expected one of them", Code.USAGE)
    warn_of_flag(style)
    return old or (harmonize_methods()[0] if is_on else None)


def warn_of_flag(style: Style) -> None:
    """Warns that `harmonize` is a flag, or has `method` beside it."""
    name, old = style.option("harmonize"), f"a flag beside {style.option('method')}"
    text = (
        f"{name}: it takes the name of a method now, such as auto; the next release does not take the old form, {old}"
    )
    warn(text, DeprecationWarning)


def _position(position: str | Sequence[float], style: Style) -> tuple[float, float]:
    with contextlib.suppress(ValueError):
        values = [float(part) for part in (position.split(",") if isinstance(position, str) else position)]
        if len(values) == 2 and all(map(math.isfinite, values)):
            x, y = (int(value) if value.is_integer() else value for value in values)
            return x, y
    raise RunError(f"{style.option('at')}: {position!r}, expected X,Y, such as 120,-5 or 10.5,3", Code.USAGE)


def _check_mask_file(path: str, out: str, files: Mapping[str, str], option: str) -> None:
    """Refuses the file of a saved mask whose suffix is no format, or which is the file of another image."""
    import numpy as np

    from ...io import Picture, check_target

    if path == STREAM:
        raise RunError(f"{option}: -, expected a file", Code.USAGE)
    if os.path.realpath(path) in {os.path.realpath(file) for file in (out, *files.values()) if file != STREAM}:
        raise RunError(f"{option}: {path} is also the output or an input", Code.USAGE)
    try:
        # Its folder is checked, or made, with those of the outputs.
        with contextlib.suppress(OSError):
            check_target(Picture(np.zeros((1, 1, 1), np.uint8)), path)
    except PyHarmonyError as error:
        raise RunError(str(error.within("", option)), Code.USAGE) from error


def check_new(path: str | Path, overwrite: bool = False, code: str | None = "output-exists") -> None:
    """Refuses a file that already exists."""
    if os.path.lexists(path) and not overwrite:
        raise RunError(f"{path}: already exists", Code.USAGE, code=code)


def check_output(out: str, keep: bool) -> None:
    """Refuses an output that cannot be written, before any work; keep: whether an existing file must stay."""
    path = Path(out)
    with writing(out):
        if path.is_dir():
            raise RunError(f"{out}: is a folder, expected a file", Code.USAGE)
        check_new(path, overwrite=not keep or is_stream(path))
        if not path.parent.is_dir():
            raise RunError(f"{out}: no such folder: {path.parent}", Code.INPUT, "FileNotFoundError")
        if not os.access(path.parent, os.W_OK):
            raise RunError(f"{out}: no permission to write to the folder", Code.UNEXPECTED, "PermissionError")


def check_outputs(tasks: Sequence[Task], request: Request) -> None:
    """Refuses outputs that already exist, before any work."""
    existing = [file for task in tasks for file in task.outputs.values() if os.path.lexists(file)]
    if existing and request.keeps_files:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise RunError(f"{existing[0]}: already exists{more}", Code.USAGE, code="outputs-exist")


def is_stream(path: Path) -> bool:
    """Returns whether a path is not a regular file, such as /dev/stdout or a pipe."""
    return os.path.exists(path) and (path.is_fifo() or path.is_char_device())
