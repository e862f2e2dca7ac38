"""The runner: it reads the images of a task, computes the results, and writes them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from ... import _checks, _shipped
from ..._calls.batches import SYNTH
from ...errors import ArgumentError, Reason, RunError
from .failures import Code, reading, writing
from .functions import run_call, run_mode
from .task import STREAM, Request, Task, is_stream

if TYPE_CHECKING:
    from ...io import Picture
    from ...typing import ImageFormat


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
    """A task on its way through the phases of a runner.

    Attributes:
        step: how often it has been tried with less memory.
        record: its record, which each phase completes.
        figures: the part of the record that the results of a run repeat.
        pictures: the images, from decoding until the results are computed.
        results: the results by their roles, until they are encoded.
        whole: the width and height of the image, if it was decoded at a reduced size.
        is_copy: whether the result is a copy of an input.
        ms: the milliseconds of each phase.
        source_of: that of the runner.
    """

    task: Task
    step: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    results: dict[str, Picture] = field(default_factory=dict)
    whole: tuple[int, int] | None = None
    is_copy: bool = False
    ms: dict[str, float] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)
    source_of: Callable[[str], Any] = field(default=lambda path: path)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = milliseconds(start)

    def sources(self, *names: str) -> list[Any]:
        """Returns the files of inputs, to be named in the metadata of a composite."""
        return [self.source_of(self.task.files[name]) for name in names]


class Cache(Protocol):
    """Decoded images by the paths of their files."""

    def get(self, name: str) -> Picture | None: ...
    def put(self, name: str, picture: Picture) -> None: ...


@dataclass
class Runner:
    """Runs the tasks of a request, with the state that they share: it reads the images, computes, and writes.

    Attributes:
        stdin, stdout: the streams for '-'; None: there is none.
        figures: whether the record of a blend includes measurements of the solve.
        source_of: returns what `pyharmony.io.read` opens for the path of an input, which may denote part of a file.
        cache: images that need not be read again.
        report_phase: called when a phase begins, with its name, its number, and the number of phases.
        output_ids: the device and file numbers of the outputs of this run, if it overwrites files; otherwise empty, as
            existing files are refused.
        networks: those of gp-gan by the paths of their weights.
    """

    request: Request
    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None
    figures: bool = False
    max_pixels: int | None = None
    source_of: Callable[[str], Any] = field(default=lambda path: path)
    cache: Cache | None = None
    report_phase: Callable[[str, int, int], None] = field(default=lambda *_: None)
    output_ids: set[tuple[int, int]] = field(default_factory=set)
    networks: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from ... import get_device, set_device, set_num_threads

        self.max_pixels = pixels_of(self.request.max_pixels)
        set_device(self.request.device or get_device(), strict=self.request.strict)
        if self.request.threads is not None:
            set_num_threads(self.request.threads)

    def run(self, task: Task, warn: Callable[[Reason], None], where: str = "") -> dict[str, Any]:
        """Runs a task and returns its record; `warn` gets the warnings, which begin with `where`.

        A failure names the image.
        """
        work = self.decode(task)
        self.compute(work, lambda reason: warn(reason.within(where)))
        return self.encode(work)

    def decode(self, task: Task) -> Work:
        """Reads the images of a task, the first of its three phases."""
        kind = task.kind
        work = Work(task, source_of=self.source_of)
        record = work.record = {kind.chooser: task.mode, "options": task.options} if kind.modes else {}
        if task.mode == "gp-gan":
            with work.phase("load"):
                network = self._network(task)
                work.task = task = dataclasses.replace(task, arguments={**task.arguments, "network": network})
        self.report_phase("decode", 1, 3)
        with work.phase("decode"):
            self._read(work)
        if kind.modes:
            self._check_target(task, work.pictures[kind.primary])
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

    def compute(self, work: Work, warn: Callable[[Reason], None]) -> None:
        """Computes the results of images that were read; they are released."""
        kind = work.task.kind
        self.report_phase(kind.phase, 2, 3)
        if kind.modes:
            work.results = run_mode(work, warn, self.request.device, self.figures)
        else:
            work.results = run_call(work, warn)

    def encode(self, work: Work, overwrite: bool = False) -> dict[str, Any]:
        """Writes the results and returns the record; overwrite: whether files are replaced whatever the request."""
        self.report_phase("encode", 3, 3)
        with work.phase("encode"):
            for role in work.results:
                work.record["saved_mask" if role == "mask" else "output"] = self.write(work, role, overwrite)
        work.record["ms"] = {**work.ms, "total": milliseconds(work.start)}
        return work.record

    def _network(self, task: Task) -> Any:
        """Returns the network of gp-gan, loaded once for all tasks with the same weights."""
        path = task.arguments.get("network", _shipped.GENERATOR)
        if path not in self.networks:
            with task.failures():
                from ...networks.models.gp_gan import generator_of

                self.networks[path] = generator_of(path)
        return self.networks[path]

    def _read(self, work: Work) -> None:
        """Reads the images, which are decoded in parallel."""
        task = work.task
        cached = {} if self.cache is None else {name: self.cache.get(path) for name, path in task.files.items()}
        contents: dict[str, Any] = {name: picture for name, picture in cached.items() if picture is not None}
        names = [name for name in task.files if name not in contents]

        def one(name: str) -> None:
            try:
                contents[name] = self._read_one(work, name)
            except Exception as error:
                contents[name] = error

        others = [threading.Thread(target=one, args=(name,), daemon=True) for name in names[1:]]
        for thread in others:
            thread.start()
        for name in names[:1]:
            one(name)
        for thread in others:
            thread.join()
        for name in names:
            error = contents[name]
            if isinstance(error, Exception):
                failure = task.failure(error)
                raise failure from (None if failure is error else error)  # no error is its own cause
            if self.cache is not None:
                self.cache.put(task.files[name], contents[name])
        work.pictures = {name: contents[name] for name in task.files}

    def _read_one(self, work: Work, name: str) -> Picture:
        from ...io import read

        task = work.task
        path, side = task.files[name], task.arguments.get("size")
        limits: dict[str, Any] = {"max_pixels": self.max_pixels, "keep_gps": task.keep_gps}
        with reading(task.where(name)):
            source = self._stream(self.stdin, "stdin").read() if path == STREAM else self.source_of(path)
            if task.kind is not SYNTH or name != "image" or side is None:
                return read(source, name, **limits)
            from ...io.files import read_square

            _checks.number(side, "size", low=8, accepts="8 or more")
            picture, work.whole = read_square(source, name, side, **limits)
            return picture

    @staticmethod
    def _stream(stream: BinaryIO | None, name: str) -> BinaryIO:
        if stream is None:
            raise RunError(f"-: {name} is closed", Code.USAGE)
        return stream

    def _check_target(self, task: Task, primary: Picture) -> None:
        """Refuses a file format that cannot store the result, before the computation."""
        from ...io import check_target

        with task.failures():
            check_target(primary, self._target(task.out), format=_format(task), quality=task.quality)

    def _target(self, path: str) -> BinaryIO | str:
        return self._stream(self.stdout, "stdout") if path == STREAM else path

    def write(self, work: Work, role: str, overwrite: bool = False) -> dict[str, Any]:
        """Writes one of the results, and returns its record; a mask has the format of its name."""
        from ...io import write

        task, path = work.task, work.task.outputs[role]
        if self.request.dry_run:
            return {"path": path, "written": False}
        target, overwrite = self._target(path), overwrite or self.request.overwrite
        is_mask = role == "mask"
        options: dict[str, Any] = {"format": None if is_mask else _format(task), "quality": task.quality}
        if is_mask and task.quality == "original":
            options["quality"] = 95  # no pixel of the mask is one of the original
        with task.failures(), writing("stdout" if path == STREAM else path):
            if not isinstance(target, str):
                write(work.results[role], target, **options)
                target.flush()
                return {"path": STREAM, "written": True}
            self.keep_apart(target)
            write(work.results[role], target, overwrite=overwrite or is_stream(Path(target)), **options)
            stat = os.stat(target)
            if overwrite:
                self.output_ids.add((stat.st_dev, stat.st_ino))
            return {"path": target, "written": True, "bytes": stat.st_size}

    def keep_apart(self, out: str) -> None:
        """Refuses an output that is the file of another image of this run, also on case-insensitive file systems."""
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(out)
            if (there.st_dev, there.st_ino) in self.output_ids:
                raise RunError(f"{out}: is also the output of another row", Code.INPUT)


def _format(task: Task) -> ImageFormat | None:
    return task.format or ("png" if task.out == STREAM else None)
