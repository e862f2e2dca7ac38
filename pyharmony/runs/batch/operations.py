"""The operations of a run: each decodes, computes and encodes an item, made from the descriptions of the calls."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ... import _checks
from ..._arrays import VALUE_RANGE
from ..._calls import FIELDS, FLAGS, IMAGE, SEGMENT, Call, Group, Numbers, Option, on_or_off
from ..._calls.batches import BATCHES, OF_ALL
from ...errors import ArgumentError, RunError
from ...io.masks import mask_of
from ...typing import ImageFormat, Quality
from .._jobs.failures import Code, Words, translated
from .._jobs.lists import option_of
from .._jobs.runner import Runner, Work, milliseconds, pixels_of
from .._jobs.task import Request, names_of, task_of, warn_of_flag
from ._folder import Begun, check_inside, checksum, is_inside, mark_of, writing
from ._sources import Needs, open_source

if TYPE_CHECKING:
    from ...io import Picture
    from ._worker import Order

__all__ = ["texts_of"]


@dataclass(frozen=True)
class Settings:
    """The settings of a run that workers need; values are those of JSON.

    Attributes:
        operation: a name of `BATCHES`.
        output: the folder of outputs.
        options: the options of all items, by name; those of an item replace them.
        format: the format of outputs; '': by their suffix.
        max_pixels: the largest number of pixels of an image, such as '64M'; None: 256M.
        threads: the threads of each worker process.
        max_memory: the largest memory of a worker process in bytes; None: any.
        time_limit: the largest time for an item in seconds; None: any.
        columns: see `Needs`.
        begun: the folder that notes the files that are begun, see `Begun`; '': none does.
    """

    operation: str
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str = ""
    quality: Quality = 95
    keep_gps: bool = False
    max_pixels: str | None = None
    threads: int = 1
    device: str = "cpu"
    max_memory: int | None = None
    time_limit: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    begun: str = ""


@dataclass(frozen=True)
class ListSettings(Settings):
    """The settings of a list of a command, whose items have their outputs anywhere.

    dry_run: whether nothing is written.
    """

    dry_run: bool = False


class Operation:
    """An operation: the three phases of an item, which may run in three threads.

    Args:
        settings: those of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.call = BATCHES[settings.operation]
        self.begun = Begun(settings.begun)
        self.runner = _runner(settings)

    def decode(self, order: Order) -> Work:
        """Reads the images of an item."""
        start = time.perf_counter()
        settings, item = self.settings, order.item
        outputs = outputs_of(settings, item.out)
        for out in outputs.values():
            check_inside(out, settings.output)
            with writing(out):
                os.makedirs(os.path.dirname(out), exist_ok=True)
        of_all = {"quality": settings.quality, "keep_gps": settings.keep_gps, "format": settings.format or None}
        options = {**settings.options, **item.options, **of_all}
        inputs = {name: item.inputs[name] for name in self.call.items if name in item.inputs}
        task = task_of(self.call, inputs, outputs, options, FIELDS, item.name)
        work = self.runner.decode(task)
        if "mask" in work.pictures:
            check_mask(work.pictures["mask"], task.where("mask"))
        work.start, work.ms = start, {"decode": milliseconds(start)}
        return work

    def compute(self, order: Order, work: Work) -> None:
        """Computes the results of an item."""
        work.step = order.step
        start = time.perf_counter()
        self.runner.compute(work, lambda reason: work.warnings.append(str(reason)))
        work.ms = {"decode": work.ms["decode"], "compute": milliseconds(start)}

    def encode(self, order: Order, work: Work) -> dict[str, Any]:
        """Writes the results, all of them or none, and returns the record of the item."""
        output, outputs = self.settings.output, work.task.outputs
        complete: dict[str, os.stat_result] = {}
        with work.phase("encode"):
            try:
                for index, (role, out) in enumerate(outputs.items()):
                    # An order replaces any file, or only one that the run has written.
                    replaces = order.replaces or self.begun.owns(order.number, index, out, output, order.files)
                    with writing(out), self.begun.recording(order.number, index, out, output):
                        self.runner.write(work, role, replaces)
                    complete[out] = os.lstat(out)
            except BaseException:
                for out, there in complete.items():  # another program may have changed it
                    with contextlib.suppress(OSError):
                        if is_inside(out, output) and os.path.samestat(os.lstat(out), there):
                            os.unlink(out)
                raise
        height, width = next(iter(work.results.values())).pixels.shape[:2]
        work.results = {}
        files = {os.path.relpath(out, output): checksum(out) for out in outputs.values()}
        first = next(iter(files.values()))
        return {
            **first, "ms": {**work.ms, "total": milliseconds(work.start)}, "warnings": work.warnings, **work.figures,
            "width": width, "height": height, **({"files": files} if len(files) > 1 else {}),
            "marks": [mark_of(out, **sums) for out, sums in zip(outputs.values(), files.values(), strict=True)],
        }  # fmt: skip


class ListOperation:
    """The rows of a list of a command: their records are those of its runner, with measurements of solves."""

    def __init__(self, settings: ListSettings) -> None:
        self.call = BATCHES[settings.operation]
        self.runner = _runner(settings, dry_run=settings.dry_run, figures=True)

    def decode(self, order: Order) -> Work:
        """Reads the images of a row."""
        item = order.item
        inputs = {name: item.inputs.get(name) for name in self.call.inputs}
        return self.runner.decode(task_of(self.call, inputs, item.out, item.options, FLAGS))

    def compute(self, order: Order, work: Work) -> None:
        """Computes the result of a row."""
        self.runner.compute(work, lambda reason: work.warnings.append(str(reason)))

    def encode(self, order: Order, work: Work) -> dict[str, Any]:
        """Writes the result, and returns the record of the row."""
        return {"task": self.runner.encode(work, order.replaces), "warnings": work.warnings}


def _runner(settings: Settings, *, dry_run: bool = False, figures: bool = False) -> Runner:
    device: Any = settings.device
    request = Request(
        BATCHES[settings.operation], max_pixels=settings.max_pixels, threads=settings.threads, device=device,
        dry_run=dry_run,
    )  # fmt: skip
    return Runner(request, figures=figures, source_of=open_source)


def outputs_of(settings: Settings, out: str) -> dict[str, str]:
    """Returns the paths of the files of an item by their roles, for its path in the output folder.

    The role of an only file is ''; a mask is a PNG file.
    """
    roles = BATCHES[settings.operation].roles
    names = {role: out if role != "mask" else f"{os.path.splitext(out)[0]}.png" for role in roles or ("",)}
    return {role: os.path.join(settings.output, role, name) for role, name in names.items()}


def operation_of(settings: Settings) -> Operation | ListOperation:
    """Returns the operation of a run, or of a list."""
    return ListOperation(settings) if isinstance(settings, ListSettings) else Operation(settings)


def needs_of(settings: Settings) -> Needs:
    """Returns what the operation of a run needs of its items."""
    call = BATCHES[settings.operation]
    options = _options_of(call)

    def option(name: str, cell: Any, folder: Path) -> Any:
        one = options[name]
        if isinstance(one.type, Group) and isinstance(cell, dict):
            return cell
        if call.modes:
            value = option_of(call, name, texts_of(one, cell)[0], folder)
            if one.replaced_by or (one.was_flag and on_or_off(value) is not None):
                warn_of_flag(FIELDS)
            one.check(value)
            return value
        values = [one.converted(text) for text in texts_of(one, cell)]
        for value in values:
            one.check(value)
        if one.type is IMAGE:
            values = [str(folder / value) for value in values]
        return one.gathered(values) if one.many or one.each else values[0]

    suffix = f".{settings.format}" if settings.format else call.suffix
    return Needs(
        tuple(call.items), call.needed, tuple(options), option, suffix, bool(call.roles), settings.columns,
        call.former(settings.columns),
    )  # fmt: skip


def _options_of(call: Call) -> dict[str, Option]:
    """Returns the options that a row may set; those of the arguments of a Group have names such as shadow_azimuth."""
    return {one.name: one for one in call.flat if one.name not in (*OF_ALL, *call.items)}


def texts_of(option: Option, cell: Any) -> list[str]:
    """Returns the values in a cell as in a CSV file, where there is a semicolon between those of a repeatable option.

    In JSON and Parquet a number, or a list of them, may be one too. ValueError: it is no value.
    """
    if option.many and isinstance(cell, str):
        return [part.strip() for part in cell.split(";")]
    if option.many and isinstance(cell, (list, tuple)) and cell:
        line = isinstance(option.type, Numbers) and option.type.line
        first = cell[0][0] if line and isinstance(cell[0], (list, tuple)) and cell[0] else cell[0]
        if not isinstance(first, (int, float)):
            return [_text_of(option, part) for part in cell]
    return [_text_of(option, cell)]


def _text_of(option: Option, cell: Any) -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool):
        return ("on" if cell else "off") if isinstance(option.type, Group) else str(cell).lower()
    if isinstance(cell, (list, tuple)):
        return ",".join(_text_of(option, part) for part in cell)
    if isinstance(cell, int):
        return _checks.shortened(cell)
    if not isinstance(cell, (float, Decimal)):
        raise ValueError(option.shown or "true or false")
    return str(int(cell)) if math.isfinite(cell) and cell == int(cell) else str(cell)


def check(settings: Settings) -> None:
    """Refuses settings by which every item would fail.

    Raises:
        ArgumentError, RunError: a setting is not accepted.
    """
    call = BATCHES[settings.operation]
    pixels_of(settings.max_pixels)
    _checks.one_of(settings.device, "device", ("cpu", "cuda", "auto"))
    if settings.format:
        _checks.one_of(settings.format, "format", get_args(ImageFormat))
    _check_options(call, settings)
    if call.modes:
        try:
            task_of(call, dict.fromkeys(call.inputs, "image.png"), "out.png", settings.options, FIELDS)
        except RunError as failure:
            raise ArgumentError(str(failure)) from None
        return
    is_cutout = settings.operation == SEGMENT.command and not settings.options.get("mask_only")
    if is_cutout and settings.format in ("jpeg", "bmp"):
        raise RunError(f"format: {settings.format!r} has no transparency, expected png, webp or tiff", Code.USAGE)
    method = settings.options.get("method")
    if method is not None:
        _checks.one_of(method, "method", names_of(call.by_name["method"].type))


def _check_options(call: Call, settings: Settings) -> None:
    """Refuses options that the operation does not have, or whose values it does not accept."""
    needs, groups = needs_of(settings), [one.name for one in call.options if isinstance(one.type, Group)]

    def check(name: str, value: Any) -> None:
        if isinstance(value, Mapping) and name in groups:
            for inner, one in value.items():
                check(f"{name}_{inner}", one)
        elif name in needs.options:
            try:
                if value is not None and value != ():
                    needs.option(name, value, Path())
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                raise ArgumentError(f"options: {name} {_checks.shortened(value)}, expected {error}") from None
        elif not (name in groups and isinstance(value, bool)):
            raise ArgumentError(f"options: {name!r}, expected some of {', '.join(needs.options)}")

    for name, value in settings.options.items():
        check(name, value)
    try:
        json.dumps(settings.options)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"options: {error}, expected values of JSON") from None


def check_mask(mask: Picture, where: str) -> None:
    """Refuses an image that is no mask: a map of labels, or one that is nowhere black.

    Such files are accepted by the library, which cannot know what is meant. In a run of many they are mistakes.
    """
    with translated(Words().failure):
        values = mask_of(mask, where)
    low, high, dtype, labels = values.min(), values.max(), values.dtype, ""
    if dtype.kind == "u":
        labels = _checks.label_values(int(high), dtype.name, lambda: _checks.labels_in(values))
    if labels or 0 < low < high:
        white = f"{VALUE_RANGE[dtype.name]:g}"
        text = f"{where}: its values are {low} to {high}, expected 0 outside the object, and {white} inside"
        raise RunError(f"{text}; {labels}: it looks like a label map" if labels else text, Code.INPUT, "no_mask")
