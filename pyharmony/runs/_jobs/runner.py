"""The worker: it reads the images of a task, computes the result, and writes it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from .. import _shipped, blend
from .._arrays import VALUE_RANGE
from .._calls import HINTS
from .._images.levels import in_levels
from ..errors import ArgumentError, ConfidenceWarning, PyHarmonyWarning, Reason, RunError, UnchangedWarning
from ..upscaling import super_resolve
from .failures import Code, reading, translated, writing
from .task import STREAM, Request, Task, is_stream

if TYPE_CHECKING:
    from ..io import Picture
    from ..typing import ImageFormat


class Clock:
    """The milliseconds of each phase."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = milliseconds(start)

    def done(self) -> dict[str, float]:
        return {**self.ms, "total": milliseconds(self._start)}


def milliseconds(start: float) -> float:
    """Returns the milliseconds since a time of `time.perf_counter`."""
    return round((time.perf_counter() - start) * 1e3, 2)


def pixels_of(text: str | None) -> int | None:
    """Returns the number of pixels that a text denotes: '64M' is 64,000,000."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text, re.ASCII) if isinstance(text, str) else None
    size = float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match[2]] if match else 0
    if not 1 <= size < 1 << 62:
        raise ArgumentError(f"max_pixels: {text!r}, expected a number of pixels such as '64M'")
    return int(size)


@dataclass
class Work:
    """A task on its way through the phases of a worker.

    Attributes:
        record: its record, which each phase completes.
        pictures: the images, from decoding until the result is computed.
        result, mask: the result and, if it is saved, the mask at its size, until they are encoded.
    """

    task: Task
    record: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    pictures: dict[str, Picture] = field(default_factory=dict)
    result: Any = None
    mask: Picture | None = None


@dataclass
class Worker:
    """The worker that runs the tasks of a request, with the state that they share.

    Attributes:
        stdin, stdout: the streams for '-'; None: there is none.
        figures: whether the record of a blend includes measurements of the solve.
        source_of: returns what `pyharmony.io.read` opens for the path of an input, which may denote part of a file.
        output_ids: the device and file numbers of the outputs of this run, if it overwrites files; otherwise empty, as
            existing files are refused.
    """

    request: Request
    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None
    figures: bool = False
    max_pixels: int | None = None
    source_of: Callable[[str], Any] = field(default=lambda path: path)
    output_ids: set[tuple[int, int]] = field(default_factory=set)
    networks: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from .. import get_device, set_device, set_num_threads

        self.max_pixels = pixels_of(self.request.max_pixels)
        set_device(self.request.device or get_device(), strict=self.request.strict)
        if self.request.threads is not None:
            set_num_threads(self.request.threads)

    def run(self, task: Task, warn: Callable[[Reason], None], where: str = "") -> dict[str, Any]:
        """Computes one image and returns its record; `warn` gets the warnings, which begin with `where`.

        A failure names the image.
        """
        work = self.decode(task)
        self.compute(work, warn, where)
        return self.encode(work)

    def decode(self, task: Task) -> Work:
        """Reads the images of a task, the first of its three phases."""
        work = Work(task)
        record = work.record = {task.kind.chooser: task.mode, "options": task.options}
        if task.mode == "gp-gan":
            with work.clock.phase("load"):
                generator = self._network(task)
                work.task = task = dataclasses.replace(task, arguments={**task.arguments, "generator": generator})
        with work.clock.phase("decode"):
            work.pictures = self._read(task)
        self._check_target(task, work.pictures[task.kind.primary])
        for name, picture in work.pictures.items():
            height, width, channels = picture.pixels.shape
            record[name] = {
                "path": task.files[name],
                "width": width,
                "height": height,
                "channels": channels,
                "dtype": picture.pixels.dtype.name,
                "format": picture.format,
            }
        return work

    def compute(self, work: Work, warn: Callable[[Reason], None], where: str = "") -> None:
        """Computes the result of images that were read; they are released."""
        task, pictures, record = work.task, work.pictures, work.record
        with work.clock.phase(task.kind.phase):
            (result, info), copied = self._computed(task, pictures, lambda reason: warn(reason.within(where)))
        if task.save_mask is not None or (task.harmonize is not None and not copied):
            work.mask = self._mask(task, pictures)
        if work.mask is not None and task.harmonize is not None and not copied:
            with work.clock.phase("harmonize"):
                result, changed = self._harmonized(task, result, work.mask)
            record["harmonize"] = _harmonize_figures(changed, task.harmonize.get("guard", True))
        record["unchanged"] = copied
        if task.kind.harmonizes:
            record["harmonize"] = _harmonize_figures(info, task.arguments.get("guard", True))
        elif info is not None:
            names = ("method", "iterations", "max_error", "residual", "device", "peak_bytes", "reason", "clipped")
            record["solve"] = {name: getattr(info, name) for name in names}
        work.pictures = {}
        if task.upscale != 1:
            with work.clock.phase("upscale"), _failures_of(task, "upscale"):
                result = super_resolve(result, task.upscale)
        work.result = result

    def encode(self, work: Work) -> dict[str, Any]:
        """Writes the result and the mask, if it is asked for, and returns the record."""
        task, record = work.task, work.record
        with work.clock.phase("encode"):
            record["output"] = self._write(task, work.result)
            if task.save_mask is not None and work.mask is not None:
                plain = dataclasses.replace(task, out=task.save_mask, format=None)
                record["saved_mask"] = self._write(plain, work.mask)
        record["ms"] = work.clock.done()
        return record

    def _network(self, task: Task) -> Any:
        """Returns the network of gp-gan, loaded once for all tasks with the same weights."""
        path = task.arguments.get("generator", _shipped.GENERATOR)
        if path not in self.networks:
            with _failures_of(task):
                from ..models.gp_gan import generator_of

                self.networks[path] = generator_of(path)
        return self.networks[path]

    def _read(self, task: Task) -> dict[str, Picture]:
        """Reads the images, which are decoded in parallel."""
        from ..io import read

        contents: dict[str, Any] = {}

        def one(name: str, path: str) -> None:
            try:
                with reading(task.where(name)):
                    source = self._stream(self.stdin, "stdin").read() if path == STREAM else self.source_of(path)
                    contents[name] = read(source, name, max_pixels=self.max_pixels, keep_gps=task.keep_gps)
            except Exception as error:
                contents[name] = error

        names = list(task.files)
        others = [threading.Thread(target=one, args=(name, task.files[name]), daemon=True) for name in names[1:]]
        for thread in others:
            thread.start()
        one(names[0], task.files[names[0]])
        for thread in others:
            thread.join()
        for name in names:
            error = contents[name]
            if isinstance(error, Exception):
                failure = task.failure(error)
                raise failure from (None if failure is error else error)  # no error is its own cause
        return {name: contents[name] for name in names}

    @staticmethod
    def _stream(stream: BinaryIO | None, name: str) -> BinaryIO:
        if stream is None:
            raise RunError(f"-: {name} is closed", Code.USAGE)
        return stream

    def _call(self, task: Task, pictures: Mapping[str, Picture]) -> tuple[Picture, Any]:
        arguments = dict(task.arguments)
        arguments |= {name: pictures[name] for name in ("dst_valid", "base") if name in pictures}
        if "color_weight" in pictures:
            arguments["color_weight"] = _scaled(pictures["color_weight"], task.weight_scale)
        images: list[Any] = [pictures.get(name) for name in task.kind.inputs]
        result: Any
        with _failures_of(task):
            if task.kind.harmonizes:
                from ..harmonization import harmonize

                arguments |= {name: pictures[name] for name in HINTS if name in pictures}
                return harmonize(*images, return_info=True, device=self.request.device, **arguments)
            function = getattr(blend, task.mode.replace("-", "_"))
            if self.figures:
                result, info = function(*images, return_info=True, **arguments)
                return result, info
            return function(*images, **arguments), None

    def _computed(
        self, task: Task, pictures: Mapping[str, Picture], warn: Callable[[Reason], None]
    ) -> tuple[tuple[Picture, Any], bool]:
        """Returns the result and its figures, and whether it is a copy of the input."""
        with warnings.catch_warnings(record=True) as recorded:
            warnings.simplefilter("always", PyHarmonyWarning)
            outcome = self._call(task, pictures)
        for warning in recorded:
            # The warnings of harmonize are reported with its figures.
            if not (task.kind.harmonizes and issubclass(warning.category, UnchangedWarning | ConfidenceWarning)):
                message: PyHarmonyWarning = warning.message  # type: ignore[assignment]
                warn(Reason(message.code, task.words.of(message)))
        return outcome, any(issubclass(warning.category, UnchangedWarning) for warning in recorded)

    def _mask(self, task: Task, pictures: Mapping[str, Picture]) -> Picture:
        """Returns the mask at dst's size, in 8 bits, which every format can store."""
        place = {name: task.arguments[name] for name in ("at", "scale") if name in task.arguments}
        images: list[Any] = [pictures.get(name) for name in task.kind.inputs]
        mask: Picture = blend.placed_mask(*images, **place)
        return dataclasses.replace(mask, pixels=in_levels(mask.pixels))

    def _harmonized(self, task: Task, picture: Picture, mask: Picture) -> tuple[Picture, Any]:
        """Harmonizes the blended image."""
        from ..harmonization import harmonize

        with _failures_of(task, "harmonize"), warnings.catch_warnings():
            warnings.simplefilter("ignore", PyHarmonyWarning)  # reported with its figures
            options: dict[str, Any] = {"device": self.request.device, **(task.harmonize or {})}
            return harmonize(picture, mask, return_info=True, **options)

    def _check_target(self, task: Task, primary: Picture) -> None:
        """Refuses a file format that cannot store the result, before the computation."""
        from ..io import check_target

        with _failures_of(task):
            check_target(primary, self._target(task), format=_format(task), quality=task.quality)

    def _target(self, task: Task) -> BinaryIO | str:
        return self._stream(self.stdout, "stdout") if task.out == STREAM else task.out

    def _write(self, task: Task, picture: Picture) -> dict[str, Any]:
        from ..io import write

        if self.request.dry_run:
            return {"path": task.out, "written": False}
        target = self._target(task)
        options: dict[str, Any] = {"format": _format(task), "quality": task.quality}
        with _failures_of(task), writing("stdout" if task.out == STREAM else task.out):
            if not isinstance(target, str):
                write(picture, target, **options)
                target.flush()
                return {"path": STREAM, "written": True}
            self.keep_apart(target)
            write(picture, target, overwrite=self.request.overwrite or is_stream(Path(target)), **options)
            stat = os.stat(target)
            if self.request.overwrite:
                self.output_ids.add((stat.st_dev, stat.st_ino))
            return {"path": target, "written": True, "bytes": stat.st_size}

    def keep_apart(self, out: str) -> None:
        """Refuses an output that is the file of another image of this run, also on case-insensitive file systems."""
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(out)
            if (there.st_dev, there.st_ino) in self.output_ids:
                raise RunError(f"{out}: is also the output of another row", Code.INPUT)


@contextlib.contextmanager
def _failures_of(task: Task, option: str = "") -> Iterator[None]:
    """Turns errors of the library into failures of the task; option: the one that needs what may not be installed."""
    try:
        with translated(task.failure, MemoryError):
            yield
    except ImportError as error:
        before = f"{task.style.option(option)}: " if option else ""
        raise RunError(f"{before}{error}", Code.UNEXPECTED, type(error).__name__) from error


def _format(task: Task) -> ImageFormat | None:
    return task.format or ("png" if task.out == STREAM else None)


def _scaled(picture: Picture, scale: float | None) -> Picture:
    """Returns a map as floats, with white as `scale`."""
    if scale is None:
        return picture
    pixels = picture.pixels
    values = pixels.astype(np.float32) / np.float32(VALUE_RANGE[pixels.dtype.name])
    if values.shape[2] == 4:  # alpha multiplies the values, as in a mask, unless it is 1 everywhere
        values = values[..., :3] if (values[..., 3] == 1).all() else values[..., 3:]
    return dataclasses.replace(picture, pixels=values * np.float32(scale), format=None)


def _harmonize_figures(info: Any, guard: bool) -> dict[str, Any]:
    """Returns the record of the harmonisation."""
    names = ("method", "weights", "confidence", "reason", "change", "asked", "device", "peak_bytes")
    return {**{name: getattr(info, name) for name in names}, "held_back": bool(guard and info.held_back)}
