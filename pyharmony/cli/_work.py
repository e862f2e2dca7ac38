"""What `blend`, `edit` and `harmonize` do: read, compute and write one picture, or each row of a list."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _shipped, blend
from .._arrays import VALUE_RANGE
from ..errors import ConfidenceWarning, PyHarmonyError, PyHarmonyWarning, UnchangedWarning
from ._console import Console, described
from ._failures import Code, Failure, as_failure, reading, writing

if TYPE_CHECKING:
    from ..io import Picture
    from ..typing import ImageFormat


@dataclass(frozen=True)
class Kind:
    """What a command makes pictures of, and how.

    Attributes:
        command: its name.
        inputs: the pictures it takes, the mask last, which may be missing where a blend can do without.
        primary: the one that the result is like.
        modes: functions of `pyharmony.blend`, or methods of `pyharmony.harmonize`; the default first.
        options: those that are arguments of the functions, under the same names.
        chooser: the option that says which of the modes.
        phase: what the work is called in figures.
    """

    command: str
    inputs: tuple[str, ...]
    primary: str
    modes: tuple[str, ...]
    options: tuple[str, ...]
    chooser: str = "mode"
    phase: str = "solve"

    @property
    def needed(self) -> tuple[str, ...]:
        return self.inputs if self.harmonizes else self.inputs[:-1]

    @property
    def harmonizes(self) -> bool:
        return self.chooser == "method"

    @property
    def all_options(self) -> tuple[str, ...]:
        """Every option of one picture."""
        place = {"blend": ("at", "scale"), "harmonize": ("at",)}.get(self.command, ())
        after = ("harmonize", *HARMONIZE_OPTIONS, "save_mask") if self.command == "blend" else ()
        other = "color_weight_scale" if "color_weight" in self.options else "model"
        return (self.chooser, *place, other, *self.options, *after, *FILE_OPTIONS)


#: Options that say how files are read and written; they go with every mode.
FILE_OPTIONS = ("format", "quality", "keep_gps")
#: Those of `blend --harmonize`.
HARMONIZE_OPTIONS = ("method", "strength", "guard")

BLEND = Kind(
    command="blend",
    inputs=("src", "dst", "mask"),
    primary="dst",
    modes=("gaussian-poisson", "poisson", "gp-gan", "laplacian", "alpha"),
    options=(
        *("gradients", "contour", "color_weight", "sigma", "smooth_sigma", "gradient_kernel", "base"),
        *("preserve_background", "reference", "generator", "supervised", "nz", "n_iteration", "seed"),
        *("feather", "levels", "tolerance", "decontaminate"),
    ),
)
EDIT = Kind(
    command="edit",
    inputs=("image", "mask"),
    primary="image",
    modes=("texture-flattening", "illumination-change", "detail-boost", "inpaint"),
    options=("low", "high", "alpha", "beta", "gain", "color_weight", "tolerance"),
)


def harmonize_kind() -> Kind:
    """What `harmonize` makes; the other commands do without the package behind it."""
    from .. import harmonization

    return Kind(
        command="harmonize",
        inputs=("image", "mask"),
        primary="image",
        modes=harmonization.METHODS,
        options=("strength", "guard", "batch_statistics"),
        chooser="method",
        phase="harmonize",
    )


STREAM = "-"
_LONG = 3_000_000  # bytes of files from which on a terminal sees a sign of life


@dataclass(frozen=True)
class Request:
    """The command line as it was given; options that were not are None."""

    kind: Kind
    inputs: Mapping[str, str | None]
    output: str | None
    options: Mapping[str, Any]
    max_pixels: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    threads: int | None = None
    device: str | None = None
    strict: bool = False


@dataclass(frozen=True)
class Task:
    """One picture to make, its arguments checked as far as they can be without reading.

    Attributes:
        files: the inputs and, where they are pictures, 'base' and 'color_weight', with their paths.
        out: a path, or '-'.
        arguments: of the function of `pyharmony.blend`, or of `pyharmony.harmonize`, by name, but for the pictures.
        harmonize: of what is blended, the arguments of `pyharmony.harmonize`; None: it stays as it is blended.
        save_mask: where the mask at dst's size goes; None: nowhere.
    """

    kind: Kind
    files: Mapping[str, str]
    out: str
    mode: str
    arguments: Mapping[str, Any]
    weight_scale: float | None
    format: ImageFormat | None
    quality: int
    keep_gps: bool
    harmonize: Mapping[str, Any] | None = None
    save_mask: str | None = None


def flag(name: str) -> str:
    """The option of an argument."""
    return "--" + name.replace("_", "-")


def function_of(kind: Kind, mode: str) -> Callable[..., Any]:
    if kind.harmonizes:
        from ..harmonization import harmonize

        return harmonize
    function: Callable[..., Any] = getattr(blend, mode.replace("-", "_"))
    return function


def task_of(kind: Kind, inputs: Mapping[str, str | None], out: str, options: Mapping[str, Any]) -> Task:
    """Checks options against the mode.

    Raises:
        Failure: USAGE, with what does not fit.
    """
    given = {name: value for name, value in options.items() if value is not None}
    after = _after(kind, given)
    # What is harmonised afterwards keeps its own colours until then.
    mode = given.pop(kind.chooser, kind.modes[0] if after is None else "alpha")
    modes = kind.modes
    if kind.harmonizes and mode not in modes:
        modes = tuple(methods())
    if mode not in modes:
        raise Failure(f"{flag(kind.chooser)}: {mode!r}, expected one of {', '.join(modes)}", Code.USAGE)
    accepted = inspect.signature(function_of(kind, mode)).parameters
    for name in kind.options:
        if name in given and name not in accepted:
            others = [m for m in kind.modes if name in inspect.signature(function_of(kind, m)).parameters]
            raise Failure(f"{flag(name)} does not go with --mode {mode}, but with {', '.join(others)}", Code.USAGE)
    files = {name: path for name, path in inputs.items() if path is not None}
    arguments = {name: given[name] for name in kind.options if name in given}
    if kind.harmonizes:
        if "model" in given and "method" in options and options["method"] is not None:
            raise Failure("--model and --method both say what to do; give the one or the other", Code.USAGE)
        arguments["method"] = mode = given.get("model", mode)
    if "at" in given:
        arguments["at"] = _position(given["at"])
    if "scale" in given:
        arguments["scale"] = given["scale"]
    if mode == "inpaint" and "mask" not in files:
        raise Failure("--mode inpaint needs MASK, white where the picture is to be filled", Code.USAGE)
    base = arguments.get("base")
    if base == "membrane":
        del arguments["base"]
    elif base is not None and base != "copy-paste":
        files["base"] = arguments.pop("base")
    weight, scale = arguments.get("color_weight"), given.get("color_weight_scale")
    if weight is not None:
        try:
            arguments["color_weight"] = float(weight)
        except ValueError:
            files["color_weight"] = arguments.pop("color_weight")
    if scale is not None and "color_weight" not in files:
        raise Failure("--color-weight-scale needs a map as --color-weight", Code.USAGE)
    if STREAM in files.values() and sys.stdin is None:
        raise Failure("- needs a stdin, and it is closed", Code.USAGE)
    streams = [name for name, path in files.items() if path == STREAM]
    if len(streams) > 1:
        raise Failure(f"{' and '.join(streams)} are both -, and there is one stdin", Code.USAGE)
    if given.get("save_mask") is not None:
        _check_mask_file(given["save_mask"], out, files)
    return Task(
        kind=kind,
        files=files,
        out=out,
        mode=mode,
        arguments=arguments,
        weight_scale=scale,
        format=given.get("format"),
        quality=given.get("quality", 95),
        keep_gps=bool(given.get("keep_gps", False)),
        harmonize=after,
        save_mask=given.get("save_mask"),
    )


def _after(kind: Kind, given: dict[str, Any]) -> dict[str, Any] | None:
    """Takes the options of --harmonize out of those of a blend; None where it is not harmonised."""
    if kind.command != "blend":
        return None
    wanted = given.pop("harmonize", False)
    found = {name: given.pop(name) for name in HARMONIZE_OPTIONS if name in given}
    if not wanted:
        if found:
            raise Failure(f"{flag(next(iter(found)))} goes with --harmonize", Code.USAGE)
        return None
    if "method" in found:
        names = methods()
        if found["method"] not in names:
            raise Failure(f"--method: {found['method']!r}, expected one of {', '.join(names)}", Code.USAGE)
    return found


def methods() -> list[str]:
    """What harmonises by name."""
    return [*harmonize_kind().modes, *(entry.name for entry in _shipped.every() if entry.task == "harmonize")]


def _position(text: str) -> tuple[float, float]:
    parts = text.split(",")
    with contextlib.suppress(ValueError):
        values = [float(part) for part in parts]
        if len(values) == 2 and all(map(math.isfinite, values)):
            x, y = (int(value) if value.is_integer() else value for value in values)
            return x, y
    raise Failure(f"--at: {text!r}, expected X,Y, such as 120,-5 or 10.5,3", Code.USAGE)


def pixels_of(text: str | None) -> int | None:
    """'64M' as 64,000,000."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text)
    count = int(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]) if found else 0
    if count < 1:
        raise Failure(f"--max-pixels: {text!r}, expected a number of pixels such as 64M", Code.USAGE)
    return count


def check_output(out: str, overwrite: bool, console: Console) -> None:
    """Refuses an output that cannot be written, before any work."""
    if out == STREAM:
        if console.as_json:
            raise Failure("--json and -o - both want stdout; write to a file", Code.USAGE)
        if sys.stdout is None:
            raise Failure("-o - needs a stdout, and it is closed", Code.USAGE)
        if sys.stdout.isatty():
            raise Failure("-o - would write a picture to the terminal; redirect stdout", Code.USAGE)
        return
    path = Path(out)
    with writing(out):
        if path.is_dir():
            raise Failure(f"{out}: is a folder, expected the name of a file", Code.USAGE)
        if os.path.lexists(path) and not (overwrite or _is_stream(path)):
            raise Failure(f"{out}: is there already; --overwrite replaces it", Code.USAGE)
        if not path.parent.is_dir():
            raise Failure(f"{out}: there is no folder {path.parent}", Code.UNEXPECTED, "FileNotFoundError")
        if not os.access(path.parent, os.W_OK):
            raise Failure(f"{out}: the folder may not be written to", Code.UNEXPECTED, "PermissionError")


def _is_stream(path: Path) -> bool:
    """Whether a name is there for something else than a file, such as /dev/stdout or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


class Clock:
    """Milliseconds of each phase."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = _ms(start)

    def done(self) -> dict[str, float]:
        return {**self.ms, "total": _ms(self._start)}


def _ms(start: float) -> float:
    return round((time.perf_counter() - start) * 1e3, 2)


@dataclass
class Worker:
    """Runs tasks with what they have in common."""

    request: Request
    console: Console
    max_pixels: int | None = None
    written: set[tuple[int, int]] = field(default_factory=set)
    networks: dict[str, Any] = field(default_factory=dict)
    where: str = ""  # what warnings begin with, such as the line of a list

    @classmethod
    def start(cls, request: Request, console: Console) -> Worker:
        from .. import get_device, set_device, set_num_threads

        max_pixels = pixels_of(request.max_pixels)
        device: Any = request.device
        set_device(device or get_device(), strict=request.strict)
        if request.threads is not None:
            set_num_threads(request.threads)
        return cls(request, console, max_pixels)

    def run(self, task: Task) -> dict[str, Any]:
        """Makes one picture and returns its record.

        Raises:
            Failure: with the picture's name.
        """
        clock = Clock()
        record: dict[str, Any] = {task.kind.chooser: task.mode, "options": _told(task)}
        if task.mode == "gp-gan":
            with clock.phase("load"):
                task = dataclasses.replace(task, arguments={**task.arguments, "generator": self._network(task)})
        with clock.phase("decode"):
            pictures = self._read(task)
        self._check_target(task, pictures[task.kind.primary])
        for name, picture in pictures.items():
            height, width, channels = picture.pixels.shape
            record[name] = {
                "path": task.files[name],
                "width": width,
                "height": height,
                "channels": channels,
                "dtype": picture.pixels.dtype.name,
                "format": picture.format,
            }
        with clock.phase(task.kind.phase):
            (result, info), copied = self._telling(task, pictures)
        mask = None
        if task.save_mask is not None or (task.harmonize is not None and not copied):
            mask = self._mask(task, pictures)
        if mask is not None and task.harmonize is not None and not copied:
            with clock.phase("harmonize"):
                result, lit = self._harmonized(task, result, mask)
            record["harmonize"] = _of_harmonize(lit, task.harmonize.get("guard", True))
        record["unchanged"] = copied
        if task.kind.harmonizes:
            record["harmonize"] = _of_harmonize(info, task.arguments.get("guard", True))
        elif info is not None:
            record["solve"] = {
                "method": info.method,
                "iterations": info.iterations,
                "max_error": info.max_error,
                "residual": info.residual,
                "device": info.device,
                "peak_bytes": info.peak_bytes,
                "reason": info.reason,
            }
        del pictures
        with clock.phase("encode"):
            record["output"] = self._write(task, result)
            if task.save_mask is not None and mask is not None:
                plain = dataclasses.replace(task, out=task.save_mask, format=None)
                record["saved_mask"] = self._write(plain, mask)
        record["warnings"] = self.console.take_warnings()
        record["ms"] = clock.done()
        return record

    def _network(self, task: Task) -> Any:
        """The network of gp-gan, read once for all rows that want the same."""
        path = task.arguments.get("generator", _shipped.GENERATOR)
        if path not in self.networks:
            try:
                from ..models.gp_gan import generator_of

                self.networks[path] = generator_of(path)
            except PyHarmonyError as error:
                raise _in_terms_of_the_command(error, task) from error
            except ImportError as error:
                raise Failure(str(error), Code.UNEXPECTED, type(error).__name__) from error
        return self.networks[path]

    def _read(self, task: Task) -> dict[str, Picture]:
        """The pictures, decoded side by side."""
        from ..io import read

        found: dict[str, Any] = {}

        def one(name: str, path: str) -> None:
            try:
                with reading(_where(name, path)):
                    source = sys.stdin.buffer.read() if path == STREAM else path
                    found[name] = read(source, name, max_pixels=self.max_pixels, keep_gps=task.keep_gps)
            except Exception as error:
                found[name] = error

        names = list(task.files)
        others = [threading.Thread(target=one, args=(name, task.files[name]), daemon=True) for name in names[1:]]
        for thread in others:
            thread.start()
        one(names[0], task.files[names[0]])
        for thread in others:
            thread.join()
        for name in names:
            if isinstance(found[name], Exception):
                raise _in_terms_of_the_command(found[name], task) from found[name]
        return {name: found[name] for name in names}

    def _blend(self, task: Task, pictures: Mapping[str, Picture]) -> tuple[Picture, Any]:
        arguments = {**task.arguments, **{name: pictures[name] for name in ("base",) if name in pictures}}
        if "color_weight" in pictures:
            arguments["color_weight"] = _scaled(pictures["color_weight"], task.weight_scale)
        call = function_of(task.kind, task.mode)
        if task.kind.harmonizes:
            arguments["device"] = self.request.device
        images = [pictures.get(name) for name in task.kind.inputs]
        try:
            if self.console.as_json or task.kind.harmonizes:
                result, info = call(*images, return_info=True, **arguments)
                return result, info
            return call(*images, **arguments), None
        except (PyHarmonyError, MemoryError) as error:
            raise _in_terms_of_the_command(error, task) from error
        except ImportError as error:
            raise Failure(str(error), Code.UNEXPECTED, type(error).__name__) from error

    def _telling(self, task: Task, pictures: Mapping[str, Picture]) -> tuple[Any, bool]:
        """What `_blend` returns, and whether that is a copy; its warnings in the words of the command."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PyHarmonyWarning)
            done = self._blend(task, pictures)
        for warning in caught:
            # What harmonize says is told with its figures.
            if not (task.kind.harmonizes and issubclass(warning.category, UnchangedWarning | ConfidenceWarning)):
                self.console.warn(self.where + _named(_translated(str(warning.message), task.kind), task))
        return done, any(issubclass(warning.category, UnchangedWarning) for warning in caught)

    def _mask(self, task: Task, pictures: Mapping[str, Picture]) -> Picture:
        """The mask at dst's size."""
        place = {name: task.arguments[name] for name in ("at", "scale") if name in task.arguments}
        inputs: list[Any] = [pictures.get(name) for name in task.kind.inputs]
        found: Picture = blend.placed_mask(*inputs, **place)
        return dataclasses.replace(found, pixels=placed_levels(found.pixels))

    def _harmonized(self, task: Task, picture: Picture, mask: Picture) -> tuple[Picture, Any]:
        """What was blended, in the light of its surroundings."""
        from ..harmonization import harmonize

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PyHarmonyWarning)  # told with its figures
                device: Any = self.request.device
                done: tuple[Picture, Any] = harmonize(
                    picture, mask, device=device, return_info=True, **(task.harmonize or {})
                )
                return done
        except (PyHarmonyError, MemoryError) as error:
            raise _in_terms_of_the_command(error, task) from error
        except ImportError as error:
            raise Failure(f"--harmonize: {error}", Code.UNEXPECTED, type(error).__name__) from error

    def _check_target(self, task: Task, primary: Picture) -> None:
        """Refuses a kind of file that does not hold the result, before the work is done."""
        from ..io import check_target

        target = sys.stdout.buffer if task.out == STREAM else task.out
        try:
            check_target(primary, target, format=_format(task), quality=task.quality)
        except PyHarmonyError as error:
            raise _in_terms_of_the_command(error, task) from error

    def _write(self, task: Task, picture: Picture) -> dict[str, Any]:
        from ..io import write

        if self.request.dry_run:
            return {"path": task.out, "written": False}
        options: dict[str, Any] = {"format": _format(task), "quality": task.quality}
        try:
            with writing("stdout" if task.out == STREAM else task.out):
                if task.out == STREAM:
                    write(picture, sys.stdout.buffer, **options)
                    sys.stdout.buffer.flush()
                    return {"path": STREAM, "written": True}
                self._keep_apart(task.out)
                write(picture, task.out, overwrite=self.request.overwrite or _is_stream(Path(task.out)), **options)
                made = os.stat(task.out)
                self.written.add((made.st_dev, made.st_ino))
                return {"path": task.out, "written": True, "bytes": made.st_size}
        except PyHarmonyError as error:
            raise _in_terms_of_the_command(error, task) from error

    def _keep_apart(self, out: str) -> None:
        """Refuses the name of a picture of this run, as where a file system takes two cases of a name for one."""
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(out)
            if (there.st_dev, there.st_ino) in self.written:
                raise Failure(f"{out}: is the file of another row", Code.INPUT)


def _format(task: Task) -> ImageFormat | None:
    return task.format or ("png" if task.out == STREAM else None)


def _scaled(picture: Picture, scale: float | None) -> Picture:
    """A map as floats whose white is scale."""
    if scale is None:
        return picture
    pixels = picture.pixels
    values = pixels.astype(np.float32) / np.float32(VALUE_RANGE[pixels.dtype.name])
    if values.shape[2] == 4:  # as of a mask: the alpha, where it says anything
        values = values[..., :3] if (values[..., 3] == 1).all() else values[..., 3:]
    return dataclasses.replace(picture, pixels=values * np.float32(scale), format=None)


def placed_levels(mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A mask in 8 bits, which every format holds."""
    if mask.dtype == np.uint8:
        return mask
    return np.rint(mask.astype(np.float64) / VALUE_RANGE[mask.dtype.name] * 255).astype(np.uint8)


def _of_harmonize(info: Any, guard: bool) -> dict[str, Any]:
    """What harmonize did, for the record."""
    return {
        "method": info.method,
        "weights": info.weights,
        "confidence": info.confidence,
        "reason": info.reason,
        "change": info.change,
        "asked": info.asked,
        "held_back": bool(guard and info.held_back),
        "device": info.device,
        "peak_bytes": info.peak_bytes,
    }


def _told(task: Task) -> dict[str, Any]:
    """The options that were given, for the record."""
    told = dict(task.arguments)
    if task.harmonize is not None:
        told |= {"harmonize": True, **task.harmonize}
    if task.save_mask is not None:
        told["save_mask"] = task.save_mask
    if task.weight_scale is not None:
        told["color_weight_scale"] = task.weight_scale
    return told


def _where(name: str, path: str) -> str:
    return f"{name} ({'stdin' if path == STREAM else path})"


def _in_terms_of_the_command(error: BaseException, task: Task) -> Failure:
    """An error whose message names files and options instead of arguments."""
    failure = as_failure(error)
    message = str(failure)
    name, colon, rest = message.partition(":")
    name = name.removeprefix("the alpha of ")
    if colon and name in task.files:
        # What a picture holds is an input's fault, whatever the error is called.
        code = Code.INPUT if failure.code == Code.USAGE else failure.code
        return Failure(f"{_where(name, task.files[name])}:{_translated(rest, task.kind)}", code, failure.kind)
    if colon and name in task.kind.all_options:
        return Failure(f"{flag(name)}:{_translated(rest, task.kind)}", failure.code, failure.kind)
    return Failure(_translated(message, task.kind), failure.code, failure.kind)


def _named(text: str, task: Task) -> str:
    """A sentence about inputs with the names of their files."""
    names = {name: "stdin" if path == STREAM else path for name, path in task.files.items()}
    return re.sub(rf"\b({'|'.join(names)})\b", lambda found: names[found[1]], text)


#: What Python says of arrays, and what people say of pictures: width by height.
_OF_ARRAYS = (
    (r"\bat=\(x, y\)", "--at X,Y"),
    (r"\bshape \[(\d+), (\d+)(?:, \d)?\]", r"\2 x \1 pixels"),
    (r"\[(\d+), (\d+)(?:, \d)?\]", r"\2 x \1"),
    (r" \(max_pixels=\d+\)", "; --max-pixels allows more"),
    (r", or drop it: pixels\[[^]]*\]|, or make it 8-bit: .*", ""),
)


def _translated(text: str, kind: Kind) -> str:
    for pattern, words in _OF_ARRAYS:
        text = re.sub(pattern, words, text)
    names = "|".join(sorted(kind.all_options, key=len, reverse=True))

    def option(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        if value is None:
            return flag(name) if "_" in name else found[0]
        off = {"supervised": "--unsupervised"}.get(name, f"--no-{flag(name)[2:]}")
        return off if value == "False" else flag(name) if value == "True" else found[0]

    return re.sub(rf"\b({names})\b(?:=(\w+))?", option, text)


def _size(task: Task) -> float:
    """Bytes of the files of a task."""
    total = 0.0
    for path in task.files.values():
        try:
            total += math.inf if path == STREAM else os.path.getsize(path)
        except OSError:
            continue
    return total


def make(request: Request, triples: str | None, console: Console) -> None:
    """Makes the picture that is asked for, or each of a list."""
    if triples is None:
        make_one(request, console)
    else:
        make_list(request, triples, console)


def make_one(request: Request, console: Console) -> None:
    """`pyharmony blend SRC DST [MASK] -o OUT`, and the like."""
    kind = request.kind
    if any(request.inputs[name] is None for name in kind.needed):
        needed = " and ".join(map(str.upper, kind.needed))
        raise Failure(f"what is to be done needs {needed}, or a list by --list", Code.USAGE)
    if request.output is None:
        raise Failure("where to? -o OUT, or -o - for stdout", Code.USAGE)
    task = task_of(kind, request.inputs, request.output, request.options)
    worker = Worker.start(request, console)
    check_output(task.out, request.overwrite or request.dry_run, console)
    if task.save_mask is not None:
        check_output(task.save_mask, request.overwrite or request.dry_run, console)
    with console.status(kind.command, _size(task) > _LONG):
        record = worker.run(task)
    primary, ms = record[kind.primary], record["ms"]
    console.note(
        f"{'would write' if request.dry_run else 'wrote'} {'stdout' if task.out == STREAM else task.out}: "
        f"{primary['width']} x {primary['height']}, {task.mode}, {ms['total'] / 1e3:.2f} s{_done(task, record)}",
        ms=ms,
        output=record["output"],
    )
    console.detail(", ".join(f"{name} {ms[name]:.0f} ms" for name in ("decode", kind.phase, "encode")))
    console.result(status="ok", dry_run=request.dry_run, threads=_threads(), **record)


def _check_mask_file(path: str, out: str, files: Mapping[str, str]) -> None:
    """Refuses a file of --save-mask whose name says no format, or is that of another picture."""
    from ..io import Picture, check_target

    if path == STREAM:
        raise Failure("--save-mask: -, expected a file", Code.USAGE)
    if os.path.realpath(path) in {os.path.realpath(file) for file in (out, *files.values()) if file != STREAM}:
        raise Failure(f"--save-mask: {path} is the output, or an input", Code.USAGE)
    try:
        check_target(Picture(np.zeros((1, 1, 1), np.uint8)), path)
    except PyHarmonyError as error:
        raise Failure(f"--save-mask: {error}", Code.USAGE) from error


def _done(task: Task, record: Mapping[str, Any]) -> str:
    """What is told of what was done, beyond the size of the picture."""
    told = record.get("harmonize")
    if told is None:
        return "; unchanged" if record["unchanged"] else ""
    if told["method"] == "copy":
        why = f": {_named(told['reason'], task)}" if told["reason"] else ""
        hint = f", confidence {told['confidence']:.2g}; --no-guard makes the change" if told["held_back"] else ""
        return f"; left as it is{why}{hint}"
    sentence = f"; changed by {told['change']:.2g} of 255, confidence {told['confidence']:.2g}"
    if told["held_back"]:
        return f"{sentence}; held back by the guard, --no-guard makes all of it, {told['asked']:.2g} of 255"
    return sentence + (f": {told['reason']}" if told["reason"] else "")


def make_list(request: Request, triples: str, console: Console) -> None:
    """`--list TRIPLES.csv`: each row by itself; one that fails takes no other along."""
    from ._triples import read_triples

    if any(path is not None for path in request.inputs.values()):
        raise Failure("the pictures come from the list; give the one or the other", Code.USAGE)
    if request.options.get("save_mask") is not None:
        raise Failure("--save-mask has room for one mask; in a list it is a column", Code.USAGE)
    if request.output == STREAM:
        raise Failure("-o - has room for one picture; with --list it is a folder", Code.USAGE)
    make_all([({"line": line}, task) for line, task in read_triples(triples, request)], request, console)


def check_folder(tasks: Sequence[Task], request: Request) -> None:
    """Refuses outputs that are there already, before any work."""
    files = [file for task in tasks for file in (task.out, task.save_mask) if file is not None]
    there = [file for file in files if os.path.lexists(file)]
    if there and not (request.overwrite or request.dry_run):
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise Failure(f"{there[0]}: is there already{more}; --overwrite replaces", Code.USAGE)


def make_all(tasks: list[tuple[dict[str, Any], Task]], request: Request, console: Console) -> None:
    """Tasks, each by itself, with what tells it from the others, such as its line."""
    worker = Worker.start(request, console)
    start = time.perf_counter()
    items: list[dict[str, Any]] = []
    failed = 0

    def finish(status: str) -> None:
        counts = {"count": len(tasks), "failed": failed}
        console.result(
            status=status, dry_run=request.dry_run, threads=_threads(), **counts, ms={"total": _ms(start)}, items=items
        )

    try:
        with console.progress(len(tasks), request.kind.command) as advance:
            for key, task in tasks:
                try:
                    if request.output is not None and not request.dry_run:
                        for file in (task.out, task.save_mask):
                            with writing(str(file)):
                                Path(file or task.out).parent.mkdir(parents=True, exist_ok=True)
                    worker.where = _where_in_list(key)
                    record = {**key, "status": "ok", **worker.run(task)}
                    done = _done(task, record)
                    if task.kind.harmonizes and record["unchanged"]:
                        console.warn(f"{worker.where}{done[2:]}")
                        record["warnings"] += console.take_warnings()
                    console.detail(f"wrote {task.out}: {record['ms']['total'] / 1e3:.2f} s{done}")
                except Exception as error:
                    failure = as_failure(error)
                    failed += 1
                    console.error(Failure(f"{_where_in_list(key)}{failure}", failure.code, failure.kind), **key)
                    record = {**key, "status": "error", "output": {"path": task.out, "written": False}}
                    record |= {"error": described(failure), "warnings": console.take_warnings()}
                items.append(record)
                advance()
    except KeyboardInterrupt:
        finish("interrupted")
        done = f"{len(items) - failed} of {len(tasks)} pictures are written"
        raise Failure(f"interrupted; {done}", Code.INTERRUPTED) from None
    finish("some failed" if failed else "ok")
    seconds = time.perf_counter() - start
    if failed:
        what = "rows" if "line" in tasks[0][0] else "pictures"
        raise Failure(f"{failed} of {len(tasks)} {what} failed", Code.SOME_FAILED)
    console.note(f"{'would write' if request.dry_run else 'wrote'} {len(tasks)} pictures, {seconds:.2f} s")


def _where_in_list(key: Mapping[str, Any]) -> str:
    return f"line {key['line']}: " if "line" in key else f"{key['name']}: "


def _threads() -> int:
    from .. import get_num_threads

    return get_num_threads()
