"""The table of operations: the body of each request, and the call of the library that runs it.

An operation is a type of body and a function `run(body, desk)`, which runs in a worker. Its path, its description and
its checks follow from the type. The bodies of blends, edits and harmonisation are generated from the options of
`_jobs`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model, model_validator
from pydantic_core import CoreSchema, core_schema

from .._calls import (
    BLEND,
    COMPOSE,
    EDIT,
    FIELDS,
    HARMONIZE,
    MERGE,
    PLACE,
    Call,
    File,
    Group,
    Kind,
    Name,
    Numbers,
    Option,
    harmonize_methods,
)
from .._jobs.failures import Code, with_code, with_codes
from .._jobs.task import Task, task_of
from ..errors import ImageTooLarge, RunError
from ..segmentation import METHODS as CUTTERS
from ..typing import ImageFormat
from ._text import excerpt
from ._tree import Sizes

if TYPE_CHECKING:
    from ..io import Picture
    from ..placement import Placement
    from ._desk import Desk

    CutterName = str
else:
    CutterName = Literal[("auto", *CUTTERS)]

_ID = r"[0-9a-f]{32}"
MAX_JSON = 128_000  # the largest body of most operations, in bytes
MAX_JSON_OF_POINTS = 1_000_000  # the largest body with points, in bytes
MAX_JSON_OF_RECIPE = 4_000_000  # the largest body with a recipe, in bytes
MAX_LINE = 10_000  # the largest number of points of a line
MAX_POINTS = 20_000  # the largest number of points in all lines of a body
#: The largest number of people of an image.
MAX_PEOPLE = 50
#: Long lists are validated up to their first error.
_FIRST = Field(fail_fast=True)
#: The largest number of unknown fields, each of which is reported.
_UNKNOWN = 5


class PictureId(str):
    """The id of an image of the service. Paths are made from such ids only, never from other text of a client."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(pattern=f"^{_ID}$"))


class Part(BaseModel):
    """The base of all parts of bodies. Invalid input is reported by a few errors, whatever its size."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)
    #: Former names of fields, with the new names.
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, data: Any) -> Any:
        if isinstance(data, dict) and len(data) > len(cls.model_fields) + _UNKNOWN:
            raise ValueError(f"{len(data)} fields, expected only {', '.join(cls.model_fields)}")
        for name in data if isinstance(data, dict) else ():
            if name in cls.renamed:
                raise ValueError(f"no field {name!r}; use {cls.renamed[name]} instead")
        return data


class Body(Part):
    """The base of the bodies of operations."""

    preview: bool = Field(
        default=False,
        description="Whether to compute from proxies: fast, small, deleted soon. Positions are in pixels of full size.",
    )

    def pictures(self) -> Iterator[PictureId]:
        """Yields the ids of all images of the body."""
        yield from _ids(self)

    def check(self) -> None:
        """Refuses inconsistent values by a RunError that names them, without reading an image."""

    def check_result(self, sizes: Mapping[str, Sizes], max_pixels: int) -> None:
        """Refuses a result of more than max_pixels, from the sizes of the images of the body."""


def _ids(value: Any) -> Iterator[PictureId]:
    if isinstance(value, PictureId):
        yield value
    elif isinstance(value, BaseModel):
        yield from _ids([inner for _, inner in value])
    elif isinstance(value, list):
        for inner in value:
            if not isinstance(inner, tuple):  # there may be thousands of points
                yield from _ids(inner)


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        name: its name, also in its path.
        about: a description in a sentence.
        body: the type of the request's body.
        run: runs it in a worker, and returns a `_answers.Result` as JSON, with `Desk.record_of` for images.
        shares: the field with the image that the worker caches, so that the next such job is run by the same worker.
        max_json: the largest body in bytes.
        is_single_use: whether its result is read once, and deleted after it was sent.
        exports: whether its result has full size and no time limit, unless it is a preview.
    """

    name: str
    about: str
    body: type[Body]
    run: Callable[[Any, Desk], dict[str, Any]]
    shares: str = ""
    max_json: int = MAX_JSON
    is_single_use: bool = False
    exports: bool = False


# ---- the fields of requests, from the descriptions of calls ----

#: The largest number of a field whose description has no bounds: far beyond any image.
_FARTHEST = 10**9
Real = Annotated[float, Field(ge=-_FARTHEST, le=_FARTHEST)]
Whole = Annotated[int, Field(ge=-_FARTHEST, le=_FARTHEST)]
# A tuple is a list in JSON, which a strict one refuses.
Position = Annotated[tuple[Real, Real], Field(strict=False)]
Rectangle = Annotated[tuple[Real, Real, Real, Real], Field(strict=False)]
Points = Annotated[list[Position], _FIRST]
Ids = Annotated[list[PictureId], _FIRST]
Indices = Annotated[list[Whole], Field(max_length=MAX_PEOPLE), _FIRST]
#: The types of numbers, by their placeholders on the command line.
_NUMBERS: dict[str, Any] = {
    "X,Y": Position,
    "X,Y[,X,Y…]": Annotated[Points, Field(min_length=1, max_length=100)],
    "X,Y,W,H": Rectangle,
    "Y|X,Y,X,Y": Real | Annotated[tuple[Position, Position], Field(strict=False)],
    "R,G,B": Annotated[tuple[Real, Real, Real], Field(strict=False)],
    "N[,N…]": Indices,
}
#: The accepted names, by what they are names of.
_NAMES: dict[str, tuple[str, ...]] = {
    "format": get_args(ImageFormat),
    "harmonize": tuple(harmonize_methods()),
    "segment": ("auto", *CUTTERS),
}


_ABOUT = {
    "at": "The position x, y of the first pixel of src in dst; none: equal sizes.",
    "color_weight": "How much colours are kept, at least 0; a number, or a grey image, black 0 and white 1.",
    "format": "The format of the result; none: PNG, and JPEG for previews without alpha.",
    "save_mask": "Whether to return the mask at dst's size too, as input for `harmonize`.",
}


def _as_fields(text: str) -> str:
    """Returns the help of options with the names of fields in place of flags, and of inputs in place of capitals."""
    text = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda match: match[1].replace("-", "_"), text)
    return re.sub(r"\b(SRC|DST|MASK|IMAGE|OUT)\b", lambda match: match[0].lower(), text)


def _type_of(option: Option) -> Any:
    """Returns the type of a field for an option, without null; a file of the server and a free text have none."""
    kind: Any = option.type
    if isinstance(kind, Numbers):
        kind = _NUMBERS[kind.metavar]
    elif isinstance(kind, Group):
        group, kind = kind, _arguments_of(kind)
        if group.is_step:
            kind = Literal["auto"] | bool | kind if group.auto else bool | kind
    elif isinstance(kind, tuple):
        kind = Literal[tuple(int(word) if word.isdigit() else word for word in kind)]
    elif isinstance(kind, File):
        if kind.role == "output":
            return bool
        words, numbers = kind.words, kind.number
        kind = PictureId
        if words:
            kind = Literal[words] | kind
        if numbers:
            kind = Annotated[float, Field(ge=0, le=1e6)] | kind
    elif isinstance(kind, Name):
        kind = Literal[_NAMES[kind.of]]
    elif kind in (int, float):
        low, high = (-_FARTHEST if option.low is None else option.low), option.high
        kind = Annotated[kind, Field(ge=low, le=max(_FARTHEST, low) if high is None else high)]
    elif kind is not bool:
        raise TypeError(f"{option.name}: {kind}, expected a type whose values a request may have")
    if option.many:
        kind = Annotated[list[kind], Field(max_length=MAX_PEOPLE), _FIRST]
    return Literal["auto"] | kind if option.auto else kind


def _arguments_of(group: Group) -> type[Part]:
    """Returns the type of the arguments of a step."""
    name = f"{group.call.command.capitalize()}Arguments"
    if name not in _GROUPS:
        fields: Any = fields_of(group.call)
        _GROUPS[name] = create_model(name, __base__=Part, __doc__=f"Arguments of {group.call.command}.", **fields)
    return _GROUPS[name]


_GROUPS: dict[str, type[Part]] = {}


def fields_of(call: Call, names: Iterable[str] | None = None) -> dict[str, tuple[Any, Any]]:
    """Returns the fields of requests for the options of a call, or for some of them."""
    fields = {}
    for option in call.options:
        # Weights of a client are never loaded.
        is_weights = isinstance(option.type, File) and option.type.role == "weights"
        if (names is None or option.name in names) and not is_weights:
            kind = _type_of(option)
            nullable = option.none or option.value is None
            about = _as_fields(_ABOUT.get(option.name, option.help) if isinstance(call, Kind) else option.about)
            if option.value is None and option.default and not isinstance(call, Kind):
                about += f" null: {option.default}."
            fields[option.name] = (
                kind | None if nullable else kind,
                Field(default=option.value, description=about),
            )
    return fields


def _values_of(body: Part, names: Iterable[str]) -> dict[str, Any]:
    """Returns the values of the fields that a request sets, as plain values."""
    return {name: _plain(getattr(body, name)) for name in names if name in body.model_fields_set}


def _plain(value: Any) -> Any:
    """Returns the value of a field, the arguments of a step as those that a request sets."""
    return value.model_dump(exclude_unset=True) if isinstance(value, Part) else value


# ---- blend, edit and harmonize, from the options of _jobs ----


class KindBody(Body):
    """The base of bodies that are generated from a kind of `_jobs`."""

    def check(self) -> None:
        self.task(lambda id: id, "out", "mask.png")

    def check_result(self, sizes: Mapping[str, Sizes], max_pixels: int) -> None:
        kind = _KINDS[type(self)]
        times = getattr(self, "upscale", None) or 1
        size = sizes[getattr(self, kind.primary)]
        width, height = size.proxy if self.preview else (size.width, size.height)
        if times > 1 and width * height * times**2 > max_pixels:
            raise RunError(
                f"upscale: {times} enlarges {width} x {height} to {width * times} x {height * times} pixels (width x "
                f"height), expected at most {max_pixels} pixels",
                Code.RESOURCES,
                ImageTooLarge.__name__,
            )

    def task(self, path_of: Callable[[PictureId], str], out: str, mask: str) -> Task:
        """Returns the body as a task; out, mask: the paths of the result and, if requested, of the mask."""
        kind = _KINDS[type(self)]
        values = {name: path_of(value) if isinstance(value, PictureId) else value for name, value in self}
        options = {option.name: values.get(option.name) for option in kind.options}
        if "save_mask" in options:
            options["save_mask"] = mask if options["save_mask"] else None
        return task_of(kind, {name: values.get(name) for name in kind.inputs}, out, options, FIELDS)


def _body_of(kind: Kind) -> type[KindBody]:
    fields: dict[str, Any] = {}
    for name, about in kind.inputs.items():
        description = _as_fields(about)
        required = name in kind.needed
        fields[name] = (PictureId, Field(description=description)) if required else (
            PictureId | None, Field(default=None, description=description)
        )  # fmt: skip
    fields |= fields_of(kind)
    body = create_model(f"{kind.command.capitalize()}Body", __base__=KindBody, __doc__=kind.command, **fields)
    _KINDS[body] = kind
    return body


_KINDS: dict[type[Body], Kind] = {}


def _run_kind(body: KindBody, desk: Desk) -> dict[str, Any]:
    kind = _KINDS[type(body)]
    primary = cast(PictureId, getattr(body, kind.primary))
    changes: dict[str, Any] = {"format": body.model_dump()["format"] or desk.format_for(primary, body.preview)}
    if body.preview:
        changes |= _on_proxies(body, desk)
    request = body.model_copy(update=changes)
    result, mask = desk.new(), desk.new(".png")
    task = request.task(lambda id: desk.path(id, body.preview), result, mask)
    record = desk.run_task(task)
    of = record[kind.primary]
    size = {"width": of["width"] * task.upscale, "height": of["height"] * task.upscale}
    info = {kind.chooser: task.mode, "unchanged": record["unchanged"], "ms": record["ms"]}
    info |= with_codes("warning", record["warnings"])
    if "harmonize" in record:
        info["harmonize"] = {**record["harmonize"], "reason_code": record["harmonize"]["reason"].code}
    answer = {"picture": desk.record_of(result, changes["format"], of["channels"], of["dtype"], **size), "info": info}
    if task.save_mask is not None:
        answer["mask"] = desk.record_of(mask, "png", 1, "uint8", **size)
    return answer


def _on_proxies(body: KindBody, desk: Desk) -> dict[str, Any]:
    """Returns options in pixels converted to pixels of proxies, whose factors differ by image."""
    values = dict(body)
    kind = _KINDS[type(body)]
    within = desk.factor(values[kind.primary])
    result: dict[str, Any] = {}
    if values.get("at") is not None:
        x, y = values["at"]
        result["at"] = (x * within, y * within)
        if kind is BLEND:
            result["scale"] = (values.get("scale") or 1.0) * within / desk.factor(values["src"])
    if values.get("feather"):
        result["feather"] = values["feather"] * within
    return result


BlendBody, EditBody, HarmonizeBody = _body_of(BLEND), _body_of(EDIT), _body_of(HARMONIZE)


# ---- segment ----

#: The longer side of the reduced masks of a segmentation.
_THUMB = 256

X = Annotated[Real, Field(description="In pixels of the image at full size; the centre of the first one is 0.")]


class Click(Part):
    """A click on the object, or, with add=false, outside it."""

    kind: Literal["click"]
    x: X
    y: X
    add: bool = True


class Scribble(Part):
    """A line over the object, or, with add=false, outside it."""

    kind: Literal["scribble"]
    line: Points = Field(min_length=1, max_length=MAX_LINE)
    add: bool = True


class Box(Part):
    """The rectangle x, y, width, height around the object; the first step only."""

    kind: Literal["box"]
    box: Rectangle


class Coarse(Part):
    """A coarse mask of the image's size, which is refined; the first step only."""

    kind: Literal["mask"]
    mask: PictureId


class Choose(Part):
    """Selects another mask of the last result as the best one."""

    kind: Literal["choose"]
    index: int = Field(ge=0, le=2)


Step = Annotated[Click | Scribble | Box | Coarse | Choose, Field(discriminator="kind")]


class SegmentBody(Body):
    """segment"""

    picture: PictureId = Field(description="The image.")
    steps: Annotated[list[Step], _FIRST] = Field(default=[], max_length=200,
        description="All prompts, in order. The result depends on the steps alone; to continue, send the "
        "previous steps and one more, to undo, one less. The worker caches the image, so that the next click is fast.",
    )  # fmt: skip
    people: bool = Field(default=False, description="Segment all people instead, one by one, without steps.")
    method: CutterName = Field(
        default="auto", description="The method; /api/v1/service lists and describes those that are available."
    )
    alpha: bool = Field(
        default=False, description="Whether masks are the alpha of cut-outs, as the command writes; it takes longer."
    )
    every: bool = Field(default=False, description="Whether to return every mask, not only the best.")
    thumbs: bool = Field(default=False, description="Whether to return a reduced copy of every mask.")

    @model_validator(mode="after")
    def _fits(self) -> SegmentBody:
        if self.people == bool(self.steps):
            raise ValueError("expected steps, or people=true and no steps")
        if any(step.kind in ("box", "mask") for step in self.steps[1:]):
            raise ValueError("steps: a box or a mask must be the first step")
        if self.steps and self.steps[0].kind == "choose":
            raise ValueError("steps: choose is not possible as the first step")
        _check_points("steps", [step.line for step in self.steps if step.kind == "scribble"])
        return self

    def check(self) -> None:
        _check_cutter(self.method, "method")
        if self.people and self.method != "auto" and not CUTTERS[self.method].people:
            names = ", ".join(["auto", *(name for name, cutter in CUTTERS.items() if cutter.people)])
            raise RunError(f"method: {self.method!r} does not segment people, expected one of {names}", Code.USAGE)


def _check_points(field: str, lines: list[Points]) -> None:
    """Refuses lines of too many points by a ValueError with their number."""
    count = sum(map(len, lines))
    if count > MAX_POINTS:
        raise ValueError(f"{field}: {count} points in all lines, expected at most {MAX_POINTS}")


def _check_cutter(name: str, field: str) -> None:
    """Refuses a method of segmentation whose package is missing."""
    if name != "auto" and (reason := CUTTERS[name].missing):
        raise RunError(f"{field}: {name!r}: {reason}", Code.USAGE)


def _segment(body: SegmentBody, desk: Desk) -> dict[str, Any]:
    import numpy as np

    from .._images.sizes import fitted
    from ..io import Picture

    session = desk.session(body.picture, body.preview, body.method)
    factor = desk.factor(body.picture) if body.preview else 1.0
    with desk.phase("segment", 1, 2):
        segments = (
            session.people()
            if body.people
            else session.after([_scaled(step, factor, desk, body) for step in body.steps])
        )
    with desk.phase("encode", 2, 2):
        every = body.every or body.people

        def saved(mask: Any) -> dict[str, Any]:
            return desk.write(Picture(mask[..., None]), "png")

        draw = segments.alpha if body.alpha else segments.__getitem__
        drawn = [draw(i) for i in range(len(segments) if every else min(1, len(segments)))]
        size = fitted(segments.size, _THUMB)
        thumbs = [saved(mask) for mask in segments.reduced(size)] if body.thumbs else []
        masks: list[dict[str, Any]] = []
        for i, (score, box) in enumerate(zip(segments.scores, segments.boxes, strict=True)):
            one: dict[str, Any] = {"score": round(score, 4), "box": [value / factor for value in box]}
            if segments.heads:
                one["head"] = [value / factor for value in segments.heads[i]]
            if every:
                one["mask"] = saved(drawn[i])
            if thumbs:
                one |= {"thumb": thumbs[i], "area": segments.areas[i] / factor**2}
            masks.append(one)
        info = {"method": segments.method, **with_code(segments.reason)}
        # People are one mask together; of the masks of a prompt the first is the best.
        whole = saved(functools.reduce(np.maximum, drawn if body.people else drawn[:1])) if drawn else None
        answer = {"mask": whole, "masks": masks, "info": info}
        if body.people:
            answer["others"] = saved(session.others(segments))
        return answer


def _scaled(step: Any, factor: float, desk: Desk, body: SegmentBody) -> dict[str, Any]:
    """Returns a step in pixels of the processed image, the centre of whose first pixel is 0 too."""

    def at(value: float) -> float:
        return (value + 0.5) * factor - 0.5

    result: dict[str, Any] = step.model_dump()
    if step.kind == "click":
        result |= {"x": at(step.x), "y": at(step.y)}
    elif step.kind == "scribble":
        result["line"] = [(at(x), at(y)) for x, y in step.line]
    elif step.kind == "box":
        result["box"] = [value * factor for value in step.box]
    elif step.kind == "mask":
        result["mask"] = desk.path(step.mask, body.preview)
    return result


# ---- paint ----


class Stroke(Part):
    """A stroke of a brush with a round tip: it adds to a mask, removes from it with add=false, or refines its edge."""

    line: Points = Field(
        min_length=1, max_length=MAX_LINE,
        description="The points of the stroke, in pixels of the image at full size; the centre of the first one "
        "is 0.",
    )  # fmt: skip
    width: float = Field(gt=0, le=10_000, description="The width of the brush, in the same pixels.")
    add: bool = True
    edge: bool = Field(
        default=False, description="Whether alpha is estimated under the stroke, as for hair, in place of painting."
    )


class PaintBody(Body):
    """paint"""

    picture: PictureId = Field(description="The image of the mask.")
    mask: PictureId | None = Field(default=None, description="The mask to paint into; none: an empty one.")
    strokes: Annotated[list[Stroke], _FIRST] = Field(min_length=1, max_length=200, description="The strokes, in order.")

    @model_validator(mode="after")
    def _fits(self) -> PaintBody:
        _check_points("strokes", [stroke.line for stroke in self.strokes])
        return self


def _paint(body: PaintBody, desk: Desk) -> dict[str, Any]:
    import numpy as np

    from .. import io
    from .._images.levels import in_levels, picture_levels
    from ..segmentation.masks import alpha_within
    from ._strokes import paint_stroke

    size, factor = desk.sizes[body.picture], 1.0
    wide, high = size.width, size.height
    if body.preview:
        (wide, high), factor = size.proxy, size.factor
    with desk.phase("decode", 1, 3):
        mask = np.zeros((high, wide), np.uint8)
        if body.mask is not None:
            mask = np.array(in_levels(_mask(desk.read(body.mask, "mask", body.preview))))
            if mask.shape != (high, wide):
                sizes = f"{mask.shape[1]} x {mask.shape[0]}, and picture is {wide} x {high}"
                raise RunError(f"mask: {sizes} (width x height), expected equal sizes", Code.INPUT)
    with desk.phase("paint", 2, 3):
        for stroke in body.strokes:
            line = [((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5) for x, y in stroke.line]
            if stroke.edge:
                region = np.zeros_like(mask)
                paint_stroke(region, line, stroke.width * factor)
                photo = desk.proxy(body.picture) if body.preview else desk.photo(body.picture)
                mask = np.array(alpha_within(picture_levels(photo, "picture"), mask, region))
            else:
                paint_stroke(mask, line, stroke.width * factor, add=stroke.add)
    with desk.phase("encode", 3, 3):
        return {"mask": desk.write(io.Picture(mask[..., None]), "png")}


# ---- cutout, export ----


class CutoutBody(Body):
    """cutout"""

    picture: PictureId = Field(description="The image.")
    mask: PictureId = Field(description="A grey image of its size, white on the object.")
    crop: bool = Field(default=False, description="Whether to crop the result to the mask.")
    keep_background: bool = Field(default=False, description="Whether the colours of the image stay under alpha 0.")
    format: Literal["png", "webp", "tiff", "avif"] = Field(default="png", description="A format with alpha.")


def _cutout(body: CutoutBody, desk: Desk) -> dict[str, Any]:
    from ..segmentation import cutout

    with desk.phase("decode", 1, 3):
        picture = desk.read(body.picture, "picture", body.preview)
    with desk.phase("cut out", 2, 3):
        mask = desk.read(body.mask, "mask", body.preview)
        result = cutout(picture, mask, crop=body.crop, keep_background=body.keep_background)
    with desk.phase("encode", 3, 3):
        return {"picture": desk.write(result, body.format)}


class ExportBody(Body):
    """export"""

    picture: PictureId = Field(description="The image.")
    format: ImageFormat = Field(description="The format to write.")
    depth: Literal[8, 16] | None = Field(
        default=None,
        description="The bits per channel; none: unchanged. 16 bits from 8 have the same 256 levels.",
    )
    quality: int = Field(default=95, ge=1, le=100, description="The quality of JPEG, WebP and AVIF.")
    crop: Annotated[tuple[Whole, Whole, Whole, Whole], Field(strict=False)] | None = Field(
        default=None, description="The rectangle x, y, width, height to write, in pixels of the image; none: all of it."
    )
    keep_gps: bool = Field(default=False, description="Keep the GPS position in the metadata.")
    sources: Ids = Field(default=[], max_length=50,
        description="Further source images, masks too: the metadata name their SHA-256, and mark it as a "
        "composite. The sources of operations of this service are named anyway.",
    )  # fmt: skip


def _export(body: ExportBody, desk: Desk) -> dict[str, Any]:
    import dataclasses

    import numpy as np

    from .. import io
    from ..io.provenance import add_history

    with desk.phase("decode", 1, 2):
        picture = desk.read(body.picture, "picture", body.preview, keep_gps=body.keep_gps)
        history = desk.history(body.pictures(), "export")
        if body.sources or history.steps:
            packet = add_history(picture.xmp, *history, composite=bool(body.sources) or history.composite)
            picture = dataclasses.replace(picture, xmp=packet)
        if body.crop is not None:
            picture = _cropped(picture, body.crop, desk.factor(body.picture) if body.preview else 1.0)
        if body.depth is not None:
            pixel = np.zeros((1, 1, picture.pixels.shape[2]), np.uint8 if body.depth == 8 else np.uint16)
            xmp, picture = picture.xmp, io.convert(picture, io.Picture(pixel, picture.profile))
            picture = dataclasses.replace(picture, xmp=xmp)
    with desk.phase("encode", 2, 2):
        return {"picture": desk.write(picture, body.format, body.quality)}


def _cropped(picture: Picture, crop: tuple[int, int, int, int], factor: float) -> Picture:
    """Returns a rectangle (x, y, width, height) of a picture that is reduced by a factor."""
    import dataclasses

    height, width = picture.pixels.shape[:2]
    x, y, wide, high = (round(value * factor) for value in crop)
    if not (wide >= 1 and high >= 1 and 0 <= x <= width - wide and 0 <= y <= height - high):
        size = f"{round(width / factor)} x {round(height / factor)}"
        raise RunError(f"crop: {list(crop)}, expected x, y, width, height within {size} pixels", Code.USAGE)
    return dataclasses.replace(picture, pixels=picture.pixels[y : y + high, x : x + wide].copy())


# ---- place, compose ----

#: The largest number of nested brackets in a recipe, and its largest number.
_DEEP, _MOST = 16, 2**53


#: The largest number of places of a request.
_MAX_PLACES = 20


def _check_places(count: int) -> None:
    if count > _MAX_PLACES:
        raise RunError(f"k: {count}, expected at most {_MAX_PLACES}", Code.USAGE)


class _PlaceBase(Body):
    renamed: ClassVar[Mapping[str, str]] = {"thing": "person=false", "top": "k"}

    subject: PictureId = Field(description="The image with the person or object.")
    background: PictureId = Field(description="The image to place it in.")

    def check(self) -> None:
        _check_places(cast(Any, self).k)


PlaceBody = create_model("PlaceBody", __base__=_PlaceBase, __doc__="place", **cast(Any, fields_of(PLACE)))


def _place(body: Any, desk: Desk) -> dict[str, Any]:
    from ..placement import place

    own, within = (desk.factor(id) if body.preview else 1.0 for id in (body.subject, body.background))
    values = {name: value for name, value in _values_of(body, PLACE.by_name).items() if value is not None}
    if "mask" in values:
        values["mask"] = desk.read(values["mask"], "mask", body.preview)
    if "people" in values:
        values["people"] = [_mask(desk.read(id, "people", body.preview)) for id in values["people"]]
    if "others" in values:
        values["others"] = _mask(desk.read(values["others"], "others", body.preview))
    for name in ("heads", "faces"):
        if name in values:
            values[name] = [tuple(value * within for value in one) for one in values[name]]
    if "head" in values:
        values["head"] = [value * own for value in values["head"]]
    for name in ("scale", "most"):
        if name in values:
            values[name] *= within / own
    arguments = PLACE.arguments(values)
    with desk.phase("place", 1, 1):
        photos = (desk.read(getattr(body, name), name, body.preview) for name in ("subject", "background"))
        places = place(*photos, **arguments)
    size = desk.sizes[body.subject]
    return {"places": [_place_of(one, size, own, within) for one in places]}


def _place_of(place: Placement, size: Sizes, own: float = 1.0, within: float = 1.0) -> dict[str, Any]:
    """Returns a place in pixels of full size.

    own, within: the ratios of processed to full size, of the subject, whose full size is `size`, and of the background.
    """
    # The centre of the first pixel is 0, so a half is added before scaling and subtracted after it.
    x, y, scale = (place.x + 0.5) / within - 0.5, (place.y + 0.5) / within - 0.5, place.scale * own / within
    return {
        "at": [x - (size.width * scale - 1) / 2, y - (size.height * scale - 1) / 2],
        "scale": scale,
        "angle": place.angle,
        "flip": place.flip,
        "behind": list(place.behind),
        "box": [value / within for value in place.box],
        "score": place.score,
        "terms": dict(place.terms),
        **with_code(place.reason),
    }


def _mask(picture: Any) -> Any:
    from ..io.masks import mask_of

    return mask_of(picture, "people")


_EACH = [option.name for option in COMPOSE.options if option.each]
_FOR_ALL = [option.name for option in COMPOSE.options if not option.each]


class _Subject(Part):
    picture: PictureId = Field(description="The photo with the subject.")


Subject = create_model(
    "Subject", __base__=_Subject, __doc__="A subject; the largest of its photo if there are no points, box and mask.",
    **cast(Any, fields_of(COMPOSE, _EACH)),
)  # fmt: skip


class _Compose(Body):
    renamed: ClassVar[Mapping[str, str]] = {
        "top": "k", "boxes": "box of a subject", "masks": "mask of a subject", "azimuth": "azimuth of shadow",
        "elevation": "elevation of shadow", "tip": "tip of shadow", "softness": "softness of shadow",
    }  # fmt: skip

    subjects: Annotated[list[Subject], _FIRST] = Field(  # type: ignore[valid-type]
        min_length=1, max_length=8, description="The subjects."
    )
    background: PictureId = Field(description="The photo to place them in.")
    recipe: dict[str, Any] | None = Field(
        default=None, description="The recipe of an earlier job, which replaces all but images, format and quality."
    )
    format: ImageFormat | None = Field(default=None, description="The format; none: PNG, and JPEG for previews.")
    quality: int = Field(default=95, ge=1, le=100, description="The quality of JPEG, WebP and AVIF.")
    layers: bool = Field(default=False, description="Whether to write the layers too, as an OpenRaster file.")

    def check(self) -> None:
        _check_recipe(self.recipe)
        body: Any = self
        _check_cutter(body.segment, "segment")
        _check_places(body.k)
        methods = harmonize_methods()
        method_names = [body.harmonize]
        subjects = (self.recipe or {}).get("subjects", [])
        if not isinstance(subjects, list):
            raise RunError(f"recipe: subjects: {excerpt(subjects)}, expected a list", Code.USAGE)
        for one in subjects:
            harmonize = one.get("harmonize") if isinstance(one, dict) else None
            method_names.append(harmonize.get("method") if isinstance(harmonize, dict) else harmonize)
        # The function accepts paths of weights too, which clients may not name.
        for method in method_names:
            if method is not None and method not in methods:
                raise RunError(f"harmonize: {excerpt(repr(method))}, expected one of {', '.join(methods)}", Code.USAGE)


def compose_body(call: Call) -> type[Body]:
    """Returns the type of requests for a composite with the options of a call."""
    names = [option.name for option in call.options if not option.each]
    return create_model("ComposeBody", __base__=_Compose, __doc__="compose", **cast(Any, fields_of(call, names)))


ComposeBody = compose_body(COMPOSE)


#: A text of a recipe: its schema, a PNG in base 64, or a word without a separator of paths.
_TEXT = re.compile(r"pyharmony\.recipe/\d{1,9}|iVBORw0KGgo[A-Za-z0-9+/]*={0,2}|[^/\\:\0-\x1f]*")


def _check_recipe(recipe: Any) -> None:
    """Refuses JSON with texts or numbers that no recipe has, or that is nested too deeply.

    It goes level by level, since recursion could overflow the stack.
    """
    values = [recipe]
    for _ in range(_DEEP):
        for value in values:
            if isinstance(value, str) and _TEXT.fullmatch(value) is None:
                raise RunError(f"recipe: {excerpt(repr(value))}, expected a word, a digest or a PNG", Code.USAGE)
            if isinstance(value, (int, float)) and not abs(value) <= _MOST:  # NaN is none of them
                raise RunError(f"recipe: {excerpt(value)}, expected numbers of at most {_MOST:g}", Code.USAGE)
        values = [
            inner
            for value in values
            if isinstance(value, dict | list)
            for inner in ([*value, *value.values()] if isinstance(value, dict) else value)
        ]
    if values:
        raise RunError(f"recipe: more than {_DEEP} levels of brackets, expected a recipe of compose", Code.USAGE)


def _compose(body: Any, desk: Desk) -> dict[str, Any]:
    import dataclasses

    from ..composition import compose
    from ..io.provenance import add_history

    body.check()
    with desk.phase("decode", 1, 3):
        photos = [desk.photo(one.picture) for one in body.subjects]
        background = desk.photo(body.background, body.keep_gps)
    arguments: dict[str, Any] = {"recipe": body.recipe, "keep_gps": body.keep_gps}
    if body.recipe is None:
        options = _values_of(body, _FOR_ALL)
        if body.people is not None:
            options["people"] = [_mask(desk.read(id, "people")) for id in body.people]
        for name in _EACH:
            options[name] = [_plain(getattr(one, name)) for one in body.subjects]
        options["mask"] = [None if one.mask is None else desk.read(one.mask, "mask") for one in body.subjects]
        arguments = COMPOSE.arguments(options, len(body.subjects), True)
    side = desk.memory.proxy_side if body.preview else None
    with desk.phase("compose", 2, 3), desk.collected_warnings() as warnings:
        composite, info = compose(photos, background, side=side, return_info=True, **arguments)
        # Its history names its sources, when it is exported.
        composite = dataclasses.replace(composite, xmp=background.xmp)
    with desk.phase("encode", 3, 3):
        record: dict[str, Any] = {"seconds": dict(info.seconds), **with_codes("warning", warnings), "subjects": []}
        for one in info.subjects:
            about = {name: getattr(one, name) for name in ("x", "y", "scale", "angle", "flip")}
            record["subjects"].append({**about, "box": list(one.box), **with_codes("reason", one.reasons)})
        format = body.format or desk.format_for(body.background, body.preview)
        answer: dict[str, Any] = {"picture": desk.write(composite, format, body.quality), "info": record}
        if body.recipe is None and body.k > 1:
            size = desk.sizes[body.subjects[0].picture]
            answer["places"] = [_place_of(one, size) for one in info.subjects[0].places]
        if body.layers:
            xmp = add_history(composite.xmp, *desk.history(body.pictures(), "compose"))
            answer["openraster"] = desk.write_layers(info.layers, dataclasses.replace(composite, xmp=xmp))
        return {**answer, "recipe": desk.write_json(info.recipe)}


# ---- layers and live, for pages ----


class PlacedCutout(Part):
    """A segmented subject and its place."""

    picture: PictureId = Field(description="The photo with the subject.")
    mask: PictureId | None = Field(default=None, description="Its mask; none: the alpha of the photo.")
    at: Position = Field(description="The position of the first pixel of its photo, before rotation.")
    scale: float = Field(default=1.0, gt=0, le=1000, description="The factor of its size.")
    angle: float = Field(default=0.0, ge=-180, le=180, description="The rotation in degrees, clockwise.")
    flip: bool = Field(default=False, description="Whether it is mirrored.")


Side = Annotated[int, Field(ge=64, le=1600, description="The longer side of the displayed background.")]


#: The options of a composite that affect its layers.
_LOOKS = ["people", "harmonize", "shadow", *(option.name for option in COMPOSE.options if option.look)]


class _Layers(Body):
    subject: PlacedCutout = Field(description="The subject.")
    background: PictureId = Field(description="The photo to place it in.")
    front: Indices = Field(default=[], description="The people, by index, who occlude the subject.")
    side: Side = 1024

    def check(self) -> None:
        method = cast(Any, self).harmonize
        if method is not None and method not in harmonize_methods():
            expected = ", ".join(harmonize_methods())
            raise RunError(f"harmonize: {method!r}, expected one of {expected}", Code.USAGE)


LayersBody = create_model("LayersBody", __base__=_Layers, __doc__="layers", **cast(Any, fields_of(COMPOSE, _LOOKS)))


def _layers(body: Any, desk: Desk) -> dict[str, Any]:
    from ._live import layers

    body.check()
    values = _values_of(body, _LOOKS)
    # There is one subject: options that each has are lists of one.
    values |= {name: [values[name]] for name in _EACH if name in values}
    return layers(body, COMPOSE.arguments(values), desk)


class LiveBody(Body):
    """live"""

    background: PictureId = Field(description="The background photo.")
    plain: PictureId | None = Field(default=None, description="The plain layer of `layers`.")
    matched: PictureId | None = Field(default=None, description="The matched layer of `layers`.")
    strength: float = Field(default=1.0, ge=0, le=1, description="The interpolation from plain to matched.")
    shadow: PictureId | None = Field(default=None, description="The shadow layer, if there is one.")
    cast: Position | None = Field(default=None, description="The position of its first pixel in background.")
    source: PictureId | None = Field(default=None, description="The source image of `blend`, in place of layers.")
    mask: PictureId | None = Field(default=None, description="The mask of source.")
    scale: float = Field(default=1.0, gt=0, le=1000, description="The factor of source's size.")
    gradients: Literal["source", "mixed", "average", "monochrome"] = Field(
        default="source", description="poisson: the image whose gradients are used."
    )
    at: Position = Field(description="The position of the first pixel of layers or source, in pixels of background.")
    mode: Literal["alpha", "laplacian", "poisson", "gaussian-poisson"] = Field(description="The blend.")
    format: Literal["jpeg", "png"] = Field(default="jpeg", description="The format of the result.")
    side: Side = 1024
    detail: float = Field(default=1.0, ge=0.1, le=1, description="The resolution relative to side; less is faster.")

    @model_validator(mode="after")
    def _fits(self) -> LiveBody:
        present = [one is not None for one in (self.plain, self.matched, self.source, self.mask)]
        if present not in ([True, True, False, False], [False, False, True, True]):
            raise ValueError("expected plain and matched, or source and mask")
        if (self.shadow is None) != (self.cast is None) or (self.shadow is not None and self.plain is None):
            raise ValueError("shadow and cast: expected both, with plain and matched, or neither")
        if self.plain is not None and self.mode == "laplacian":
            raise ValueError("mode: 'laplacian', expected a blend of compose for layers")
        return self


def _live(body: LiveBody, desk: Desk) -> dict[str, Any]:
    from ._live import live

    return live(body, desk)


# ---- merge ----


class _Merge(Body):
    renamed: ClassVar[Mapping[str, str]] = {"mask": "people"}

    photos: Ids = Field(
        min_length=2, max_length=8, description="Photos of one scene, merged into one of them, the base."
    )
    base: int | None = Field(default=None, ge=0, le=7, description="The index of the base photo; null: the best one.")
    people: Annotated[list[PictureId | None], _FIRST] | None = Field(
        default=None, max_length=8,
        description="The mask of the people of each photo, or null for one whose people are detected.",
    )  # fmt: skip
    format: ImageFormat | None = Field(default=None, description="The format; none: PNG, and JPEG for previews.")
    quality: int = Field(default=95, ge=1, le=100, description="The quality of JPEG, WebP and AVIF.")

    @model_validator(mode="after")
    def _fits(self) -> _Merge:
        if self.people is not None and len(self.people) != len(self.photos):
            raise ValueError("people: expected an entry for each of the photos")
        if self.base is not None and self.base >= len(self.photos):
            raise ValueError(f"base: expected the index of a photo, 0 to {len(self.photos) - 1}")
        return self


MergeBody = create_model(
    "MergeBody", __base__=_Merge, __doc__="merge", **cast(Any, fields_of(MERGE, ["align", "keep_gps"]))
)


def _merge(body: Any, desk: Desk) -> dict[str, Any]:
    from ..merging import merge

    with desk.phase("decode", 1, 3):
        photos = [desk.read(id, "picture", body.preview, body.keep_gps) for id in body.photos]
        people = None
        if body.people is not None:
            people = [None if id is None else _mask(desk.read(id, "people", body.preview)) for id in body.people]
    with desk.phase("merge", 2, 3), desk.collected_warnings() as warnings:
        base_option: Any = "auto" if body.base is None else body.base
        options = MERGE.arguments(_values_of(body, ["align", "keep_gps"]))
        merged, info = merge(photos, base=base_option, people=people, return_info=True, **options)
    base = body.photos[info.base]
    with desk.phase("encode", 3, 3):
        factor = desk.factor(base) if body.preview else 1.0
        record: dict[str, Any] = {"seconds": info.seconds, **with_codes("warning", warnings), **with_code(info.reason)}
        record |= {"base": info.base, "bases": [{**asdict(one), "cost": one.cost} for one in info.bases], "photos": []}
        for one in info.photos:
            parts = [
                {"box": [value / factor for value in part.box], "people": part.people, "crossing": part.crossing,
                 "taken": part.taken, **with_code(part.reason)}
                for part in one.parts
            ]  # fmt: skip
            about = {"inliers": one.inliers, "residual": one.residual, "differs": one.differs}
            record["photos"].append({**about, **with_code(one.reason), "parts": parts})
        format = body.format or desk.format_for(base, body.preview)
        return {"picture": desk.write(merged, format, body.quality), "info": record}


#: The operations by name.
OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("blend", "Blends one image into another under a mask.", BlendBody, _run_kind, exports=True),
        Operation("edit", "Inpaints, evens out the light, flattens texture or boosts detail.", EditBody, _run_kind,
                  exports=True),
        Operation("harmonize", "Gives an object the light and colour of its surroundings.", HarmonizeBody, _run_kind,
                  exports=True),
        Operation("segment", "Segments the object of a prompt, or all people.", SegmentBody, _segment, "picture",
                  MAX_JSON_OF_POINTS),
        Operation("paint", "Paints into a mask with a brush, at the image's full size.", PaintBody, _paint,
                  max_json=MAX_JSON_OF_POINTS),
        Operation("place", "Estimates the best places for a person or an object in an image.", PlaceBody, _place),
        Operation("compose", "Segments, places, matches and blends, in one call.", ComposeBody, _compose,
                  max_json=MAX_JSON_OF_RECIPE, exports=True),
        Operation("merge", "Merges photos of one scene into one with everyone.", MergeBody, _merge, exports=True),
        Operation("layers", "Composes on proxies, and returns the layers over the background.", LayersBody, _layers,
                  "background"),
        Operation("live", "Blends layers at a place, for a page on which they are dragged.", LiveBody, _live,
                  "background", is_single_use=True),
        Operation("cutout", "Writes the object under a mask with transparency.", CutoutBody, _cutout, exports=True),
        Operation("export", "Writes an image in another format or depth.", ExportBody, _export, exports=True),
    )
}  # fmt: skip


class OpenBody(Body):
    """open"""

    picture: PictureId


def _open(body: OpenBody, desk: Desk) -> dict[str, Any]:
    return desk.open_upload(body.picture)


#: An internal operation: it reads an uploaded image, and creates its proxy.
OPEN = Operation("open", "Reads an image and creates its proxy.", OpenBody, _open)


def operation_of(name: str) -> Operation:
    """Returns an operation, also the internal one."""
    return OPEN if name == OPEN.name else OPERATIONS[name]
