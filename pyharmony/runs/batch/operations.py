"""The operations of a run: each decodes, computes and encodes an item, made from the descriptions of the calls."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .. import _checks
from .._arrays import VALUE_RANGE
from .._calls import COMPOSE, FIELDS, FLAGS, IMAGE, SEGMENT, SHADOW, SUPER_RESOLVE, Call, Group, Kind, Numbers, Option
from .._calls.batches import BATCHES, OF_ALL, SYNTH, inputs_of
from .._jobs.failures import Code, Words, as_failures, reading, translated
from .._jobs.lists import option_of
from .._jobs.task import Request, task_of
from .._jobs.worker import Clock, Worker, pixels_of
from ..errors import ArgumentError, PyHarmonyWarning, RunError
from ..io.masks import mask_of
from ..typing import ImageFormat
from ._folder import Begun, check_inside, checksum, is_inside, mark_of, writing
from ._sources import Item, Needs, open_source

if TYPE_CHECKING:
    from ..io import Picture
    from ._worker import Order

#: The folders of the files of `SYNTH`.
ROLES = ("composite", "mask", "target")


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
        as_list: whether it is a list of a command for single images: masks are not judged, and records are those of
            `_jobs`, with figures of the solve.
        dry_run: whether nothing is written; only with `as_list`.
        columns: see `Needs`.
        begun: the folder that notes the files that are begun, see `Begun`; '': none does.
    """

    operation: str
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str = ""
    quality: int = 95
    keep_gps: bool = False
    max_pixels: str | None = None
    threads: int = 1
    device: str = "cpu"
    max_memory: int | None = None
    time_limit: float | None = None
    as_list: bool = False
    dry_run: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    begun: str = ""


@dataclass
class Work:
    """An item on its way through the phases.

    Attributes:
        order: the item, and which files at its outputs may be replaced.
        whole: the width and height of the image, if it was decoded at a reduced size.
    """

    order: Order
    clock: Clock = field(default_factory=Clock)
    warnings: list[str] = field(default_factory=list)
    inner: Any = None
    pictures: dict[str, Picture] = field(default_factory=dict)
    whole: tuple[int, int] | None = None
    results: dict[str, Picture] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def item(self) -> Item:
        return self.order.item


class Operation:
    """An operation: the three phases of an item, which may run in three threads.

    Args:
        settings: those of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.call = BATCHES[settings.operation]
        self.begun = Begun(settings.begun)

    def decode(self, order: Order) -> Work:
        """Reads the images of an item."""
        work = Work(order)
        with work.clock.phase("decode"):
            for out in () if self.settings.as_list else self._outs(work):
                check_inside(out, self.settings.output)
                with writing(out):
                    os.makedirs(os.path.dirname(out), exist_ok=True)
            self._decode(work)
        return work

    def compute(self, work: Work, step: int) -> None:
        """Computes the results of an item; step: how often it has been tried with less memory."""
        with work.clock.phase("compute"), warnings.catch_warnings(record=True) as recorded:
            warnings.simplefilter("always", PyHarmonyWarning)
            self._compute(work, step)
        work.warnings += [str(one.message) for one in recorded if issubclass(one.category, PyHarmonyWarning)]

    def encode(self, work: Work) -> dict[str, Any]:
        """Writes the results, and returns the record of the item."""
        with work.clock.phase("encode"):
            self._encode(work)
        outs = self._outs(work)
        files = {os.path.relpath(out, self.settings.output): checksum(out) for out in outs}
        first = next(iter(files.values()))
        return {
            **first, "ms": work.clock.done(), "warnings": work.warnings, **work.figures,
            **({"files": files} if len(files) > 1 else {}),
            "marks": [mark_of(out, **sums) for out, sums in zip(outs, files.values(), strict=True)],
        }  # fmt: skip

    # ---- for subclasses ----

    def _decode(self, work: Work) -> None:
        raise NotImplementedError

    def _compute(self, work: Work, step: int) -> None:
        raise NotImplementedError

    def _encode(self, work: Work) -> None:
        raise NotImplementedError

    def _outs(self, work: Work) -> list[str]:
        return outputs_of(self.settings, work.item.out)

    def _may_replace(self, work: Work, index: int) -> bool:
        """Returns whether the file at one of the outputs may be replaced: any, or only one that the run has written."""
        order, out = work.order, self._outs(work)[index]
        return order.replaces or self.begun.owns(order.number, index, out, self.settings.output, order.files)


class _TaskOperation(Operation):
    """A blend or harmonisation, by the worker that runs the tasks of the command line."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.kind: Kind = self.call  # type: ignore[assignment]
        device: Any = settings.device
        request = Request(
            self.kind, {}, None, {}, max_pixels=settings.max_pixels, dry_run=settings.dry_run,
            threads=settings.threads, device=device,
        )  # fmt: skip
        self._new = Worker(request, figures=settings.as_list, source_of=open_source)
        # The same worker for outputs that may be replaced.
        self._again = dataclasses.replace(self._new, request=dataclasses.replace(request, overwrite=True))

    def _worker(self, work: Work) -> Worker:
        return self._again if self._may_replace(work, 0) else self._new

    def _decode(self, work: Work) -> None:
        inputs = {name: work.item.inputs.get(name) for name in self.kind.inputs}
        settings = self.settings
        options = {**settings.options, **work.item.options}
        if not settings.as_list:
            options |= {"quality": settings.quality, "keep_gps": settings.keep_gps, "format": settings.format or None}
        (out,) = self._outs(work)
        task = task_of(self.kind, inputs, out, options, FLAGS if settings.as_list else FIELDS)
        work.inner = self._new.decode(task)
        if "mask" in work.inner.pictures and not settings.as_list:
            check_mask(work.inner.pictures["mask"], task.where("mask"))

    def _compute(self, work: Work, step: int) -> None:
        self._new.compute(work.inner, lambda reason: work.warnings.append(str(reason)))

    def encode(self, work: Work) -> dict[str, Any]:
        if not self.settings.as_list:
            return super().encode(work)
        return {"task": self._worker(work).encode(work.inner), "warnings": work.warnings}

    def _encode(self, work: Work) -> None:
        (out,) = self._outs(work)
        with writing(out), self.begun.recording(work.order.number, 0, out, self.settings.output):
            record = self._worker(work).encode(work.inner)
        work.figures = {"unchanged": record["unchanged"]}
        primary = record[self.kind.primary]
        times = work.inner.task.upscale
        work.figures |= {"width": primary["width"] * times, "height": primary["height"] * times}
        if "harmonize" in record:
            work.figures["harmonize"] = record["harmonize"]


class _CallOperation(Operation):
    """A call on pictures that returns a picture."""

    def __init__(self, settings: Settings) -> None:
        from .. import set_device, set_num_threads

        super().__init__(settings)
        set_num_threads(settings.threads)
        device: Any = settings.device
        set_device(device)
        self._max_pixels = pixels_of(settings.max_pixels)

    def _decode(self, work: Work) -> None:
        from ..io import read
        from ..io.files import read_square

        side = {**self.settings.options, **work.item.options}.get("size") if self.call is SYNTH else None
        limits: dict[str, Any] = {"max_pixels": self._max_pixels, "keep_gps": self.settings.keep_gps}
        for name, path in work.item.inputs.items():
            with reading(f"{name} ({path})"), translated(Words(files={name: f"{name} ({path})"}).failure):
                if name == "image" and side is not None:
                    _checks.number(side, "size", low=8, accepts="8 or more")
                    work.pictures[name], work.whole = read_square(open_source(path), name, side, **limits)
                else:
                    work.pictures[name] = read(open_source(path), name, **limits)
                if name == "mask":
                    check_mask(work.pictures[name], f"{name} ({path})")

    def _compute(self, work: Work, step: int) -> None:
        options = grouped(self.call, {**self.settings.options, **work.item.options})
        files = {name: f"{name} ({path})" for name, path in work.item.inputs.items()}
        with as_failures(Words(files=files)):
            work.results, work.figures = _FUNCTIONS[self.call.command](work, options, step)
        work.pictures = {}

    def _encode(self, work: Work) -> None:
        from ..io import write

        settings = self.settings
        complete: dict[str, os.stat_result] = {}
        try:
            for index, (out, (role, picture)) in enumerate(zip(self._outs(work), work.results.items(), strict=True)):
                replaces = self._may_replace(work, index)
                with (
                    writing(out),
                    self.begun.recording(work.order.number, index, out, settings.output),
                    translated(Words(files={"out": out}).failure),
                ):
                    form: Any = settings.format if settings.format and role != "mask" else None
                    write(picture, out, format=form, quality=settings.quality, overwrite=replaces)
                complete[out] = os.lstat(out)
        except BaseException:
            for out, there in complete.items():  # all files of an item, or none; another program may have changed them
                with contextlib.suppress(OSError):
                    if is_inside(out, settings.output) and os.path.samestat(os.lstat(out), there):
                        os.unlink(out)
            raise
        height, width = next(iter(work.results.values())).pixels.shape[:2]
        work.figures |= {"width": width, "height": height}
        work.results = {}


def _compose(work: Work, options: dict[str, Any], step: int) -> tuple[dict[str, Picture], dict[str, Any]]:
    from ..composition import compose
    from ..io.provenance import provenance

    pictures = work.pictures
    if "mask" in pictures:
        options["mask"] = [pictures["mask"]]
    arguments = COMPOSE.arguments(options)
    result, info = compose(pictures["subject"], pictures["background"], return_info=True, **arguments)
    sources = [open_source(work.item.inputs[name]) for name in ("subject", "background")]
    xmp = provenance(pictures["background"].xmp, [x if isinstance(x, str) else x.getvalue() for x in sources])
    subject = info.subjects[0]
    figures = {"box": list(subject.box), "scale": round(subject.scale, 4), "reasons": list(subject.reasons)}
    return {"": dataclasses.replace(result, xmp=xmp)}, figures


def _segment(work: Work, options: dict[str, Any], step: int) -> tuple[dict[str, Picture], dict[str, Any]]:
    from .. import segmentation
    from .._jobs.prompts import prompted

    image = work.pictures["image"]
    session = segmentation.Session(image, method=options.pop("method", "auto"))
    if "mask" in work.pictures:
        options["mask"] = work.pictures["mask"]
    people = options.pop("people", False)
    mask_only, keep = options.pop("mask_only", False), options.pop("keep_background", False)
    masks = session.people() if people else prompted(session, options)
    if not len(masks):
        raise RunError(f"{work.item.inputs['image']}: {masks.reason}", Code.INPUT, "nothing_found")
    alpha = masks.alpha(None)
    if mask_only:
        result = dataclasses.replace(image, pixels=alpha[..., None], profile=None, format=None)
    else:
        result = segmentation.cutout(image, alpha, keep_background=keep)
    return {"": result}, {"score": round(float(masks.scores[0]), 4), "count": len(masks), "reason": str(masks.reason)}


def _shadow(work: Work, options: dict[str, Any], step: int) -> tuple[dict[str, Picture], dict[str, Any]]:
    from ..shadows import shadow

    arguments = SHADOW.arguments(options)
    result, info = shadow(work.pictures["image"], work.pictures["mask"], return_info=True, **arguments)
    if info.reason:
        raise RunError(f"{work.item.inputs['image']}: {info.reason}", Code.INPUT, "nothing_drawn")
    return {"": result}, {"strength": round(info.strength, 4)}


def _enlarge(work: Work, options: dict[str, Any], step: int) -> tuple[dict[str, Picture], dict[str, Any]]:
    from ..upscaling import super_resolve

    method = options.pop("method", "auto")
    if step > 1:
        options["tile"] = min(options.get("tile", 256), 64)
    arguments = SUPER_RESOLVE.arguments(options)
    result, info = super_resolve(work.pictures["image"], method=method, return_info=True, **arguments)
    return {"": result}, {"method": info.method, "scale": info.scale}


def _synthesize(work: Work, options: dict[str, Any], step: int) -> tuple[dict[str, Picture], dict[str, Any]]:
    from .. import data, io
    from ..data.single import SinglePhoto

    method = options.get("method")
    # The name is part of the seed, so that an item does not depend on its place in the run.
    salt = int.from_bytes(hashlib.sha256(os.fsencode(work.item.name)).digest()[:4], "big")
    photo = SinglePhoto(work.item.name, work.pictures["image"], work.pictures["mask"], work.whole)
    seed = options.get("seed", 0) * (1 << 32) + salt
    sample = data.Synthesis(photo, [method] if method else None, size=options.get("size"), seed=seed)[0]
    roles = {role: io.Picture(_with_channels(sample[role])) for role in ROLES}
    return roles, {"recipe": {key: value for key, value in sample["recipe"].items() if key != "photo"}}


def _with_channels(pixels: Any) -> Any:
    return pixels if pixels.ndim == 3 else pixels[..., None]


_FUNCTIONS = {
    "compose": _compose,
    "segment": _segment,
    "shadow": _shadow,
    "super-resolve": _enlarge,
    "synth": _synthesize,
}
#: The suffix of outputs, where that of the input cannot store the result.
_SUFFIXES = {"segment": ".png", "synth": ".png"}


def outputs_of(settings: Settings, out: str) -> list[str]:
    """Returns the paths of the files of an item, for its path in the output folder; a mask is a PNG file."""
    if settings.operation != SYNTH.command:
        return [os.path.join(settings.output, out)]
    names = {role: out if role != "mask" else f"{os.path.splitext(out)[0]}.png" for role in ROLES}
    return [os.path.join(settings.output, role, name) for role, name in names.items()]


def operation_of(settings: Settings) -> Operation:
    """Returns the operation of a run."""
    return _TaskOperation(settings) if isinstance(BATCHES[settings.operation], Kind) else _CallOperation(settings)


def needs_of(settings: Settings) -> Needs:
    """Returns what the operation of a run needs of its items."""
    call = BATCHES[settings.operation]
    inputs = inputs_of(settings.operation)

    options = _options_of(call)

    def option(name: str, cell: Any, folder: Path) -> Any:
        one = options[name]
        if isinstance(one.type, Group) and isinstance(cell, dict):
            return cell
        if isinstance(call, Kind):
            value = option_of(call, name, _texts_of(one, cell)[0], folder)
            one.check(value)
            return value
        values = [one.converted(text) for text in _texts_of(one, cell)]
        for value in values:
            one.check(value)
        if one.type is IMAGE:
            values = [str(folder / value) for value in values]
        return one.gathered(values) if one.many or one.each else values[0]

    suffix = f".{settings.format}" if settings.format else _SUFFIXES.get(call.command, "")
    needed = tuple(name for name in inputs if inputs[name])
    many_files = call.command == SYNTH.command
    return Needs(tuple(inputs), needed, tuple(options), option, suffix, many_files, settings.columns)


def _options_of(call: Call) -> dict[str, Option]:
    """Returns the options that a row may set; those of the arguments of a Group have names such as shadow_azimuth."""
    every = [one for option in call.options for one in (option, *_inner(option)) if _is_value(one)]
    omitted = (*OF_ALL, *inputs_of(call.command))
    return {one.name: one for one in every if one.name not in omitted}


def _is_value(option: Option) -> bool:
    return not isinstance(option.type, Group) or option.type.is_step


def _inner(option: Option) -> tuple[Option, ...]:
    return option.inner if isinstance(option.type, Group) else ()


def grouped(call: Call, options: dict[str, Any]) -> dict[str, Any]:
    """Returns options with those of the arguments of a Group in it, as calls expect them."""
    for option in call.options:
        own = {one.name: options.pop(one.name) for one in _inner(option) if one.name in options}
        if own:
            others = options.get(option.name)
            others = dict(others) if isinstance(others, Mapping) else {}
            options[option.name] = others | {name[len(option.name) + 1 :]: value for name, value in own.items()}
    return options


def _texts_of(option: Option, cell: Any) -> list[str]:
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
    if isinstance(call, Kind):
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
        from .. import data, segmentation, upscaling

        methods: dict[str, Iterable[str]] = {
            "segment": ("auto", *segmentation.METHODS), "super-resolve": ("auto", *upscaling.METHODS),
            "synth": data.METHODS,
        }  # fmt: skip
        _checks.one_of(method, "method", tuple(methods[settings.operation]))


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
