"""The bodies of requests, and their checks, which read no image.

Those of calls are made of the descriptions of `_calls`: a field for each input and each option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model, model_validator

from .._calls import (
    APPLY_EDIT,
    BLEND,
    COMPOSE,
    EDIT,
    FIELDS,
    HARMONIZE,
    MERGE,
    PLACE,
    QUALITY,
    REMOVE,
    Call,
    Curve,
    File,
    Group,
    Name,
    Numbers,
    Option,
    harmonize_methods,
)
from ..errors import ImageTooLarge, RunError
from ..runs._jobs.failures import Code
from ..runs._jobs.task import Task, names_of, task_of
from ..segmentation import METHODS as CUTTERS
from ..typing import ImageFormat
from ._ids import PictureId
from ._text import excerpt
from ._tree import Sizes

if TYPE_CHECKING:
    CutterName = str
else:
    CutterName = Literal[("auto", *CUTTERS)]

MAX_LINE = 10_000  # the largest number of points of a line
MAX_POINTS = 20_000  # the largest number of points in all lines of a body
#: The largest number of people of an image.
MAX_PEOPLE = 50
#: Long lists are validated up to their first error.
_FIRST = Field(fail_fast=True)
#: The largest number of unknown fields, each of which is reported.
_UNKNOWN = 5


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

    #: The call that it describes, of those that are made by `body_of`.
    call: ClassVar[Call]

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

    def options(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Returns the options of the call, or some of them, that the request sets, as plain values."""
        every = self.call.by_name if names is None else names
        return {name: plain(getattr(self, name)) for name in every if name in self.model_fields_set}


def plain(value: Any) -> Any:
    """Returns the value of a field, the arguments of a step as those that a request sets."""
    return value.model_dump(exclude_unset=True) if isinstance(value, Part) else value


def _ids(value: Any) -> Iterator[PictureId]:
    if isinstance(value, PictureId):
        yield value
    elif isinstance(value, BaseModel):
        yield from _ids([inner for _, inner in value])
    elif isinstance(value, list):
        for inner in value:
            if not isinstance(inner, tuple):  # there may be thousands of points
                yield from _ids(inner)


# ---- the fields of requests, from the descriptions of calls ----

#: The largest number of a field whose description has no bounds: far beyond any image.
_FARTHEST = 10**9
Real = Annotated[float, Field(ge=-_FARTHEST, le=_FARTHEST)]
Whole = Annotated[int, Field(ge=-_FARTHEST, le=_FARTHEST)]
# A tuple is a list in JSON, which a strict one refuses.
Position = Annotated[tuple[Real, Real], Field(strict=False)]
Rectangle = Annotated[tuple[Real, Real, Real, Real], Field(strict=False)]
Corners = Annotated[tuple[Position, Position, Position, Position], Field(strict=False)]
Points = Annotated[list[Position], _FIRST]
Ids = Annotated[list[PictureId], _FIRST]
Indices = Annotated[list[Whole], Field(max_length=MAX_PEOPLE), _FIRST]
QualityField = Literal["original"] | Annotated[int, Field(ge=1, le=100)]
#: The types of numbers, by their placeholders on the command line.
_NUMBERS: dict[str, Any] = {
    "X,Y": Position,
    "X,Y[,X,Y…]": Annotated[Points, Field(min_length=1, max_length=100)],
    "X,Y,W,H": Rectangle,
    "Y|X,Y,X,Y": Real | Annotated[tuple[Position, Position], Field(strict=False)],
    "DX,DY,DX,DY,DX,DY,DX,DY": Corners,
    "R,G,B": Annotated[tuple[Real, Real, Real], Field(strict=False)],
    "N[,N…]": Indices,
}
_ABOUT = {
    "at": "The position x, y of the first pixel of src in dst; none: equal sizes.",
    "color_weight": "How much colours are kept, at least 0; a number, or a grey image, black 0 and white 1.",
    "format": "The format of the result; none: PNG, and JPEG for previews without alpha.",
    "save_mask": "Whether to return the mask at dst's size too, as input for `harmonize`.",
}


def _type_of(option: Option) -> Any:
    """Returns the type of a field for an option, without null; a file of the server and a free text have none."""
    kind: Any = option.type
    if isinstance(kind, Curve):
        share = Annotated[float, Field(ge=0, le=1)]
        points = Annotated[list[Annotated[tuple[share, share], Field(strict=False)]], _FIRST]
        kind = Annotated[points, Field(min_length=kind.least, max_length=kind.most), AfterValidator(_checked(kind))]
    elif isinstance(kind, Numbers):
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
        kind = Literal[names_of(kind)]
    elif kind in (int, float):
        low, high = (-_FARTHEST if option.low is None else option.low), option.high
        kind = Annotated[kind, Field(ge=low, le=max(_FARTHEST, low) if high is None else high)]
    elif kind is not bool:
        raise TypeError(f"{option.name}: {kind}, expected a type whose values a request may have")
    if option.many:
        kind = Annotated[list[kind], Field(max_length=MAX_PEOPLE), _FIRST]
    if option.word:
        kind = Literal[option.word] | kind
    if option.was_flag:
        kind = kind | bool
    return Literal["auto"] | kind if option.auto else kind


def _checked(curve: Curve) -> Callable[[Any], Any]:
    """Returns a check of the points of a tone curve, which returns them."""

    def check(points: Any) -> Any:
        if not curve.accepts(points):
            raise ValueError(f"expected {curve.accepted}")
        return points

    return check


def _arguments_of(group: Group) -> type[Part]:
    """Returns the type of the arguments of a step."""
    name = f"{group.call.command.title().replace('-', '')}Arguments"
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
            about = call.in_fields(_ABOUT.get(option.name, option.help) if call.modes else option.about)
            if option.value is None and option.default and not call.modes:
                about += f" null: {option.default}."
            fields[option.name] = (
                kind | None if nullable else kind,
                Field(default=option.value, description=about),
            )
    return fields


def body_of(call: Call, base: type[Body] = Body, but: Iterable[str] = ()) -> Any:
    """Returns the type of requests for a call: the fields of base, the inputs, and the options except some."""
    fields: dict[str, Any] = {}
    for name, about in call.inputs.items():
        if name not in base.model_fields:
            is_needed = name in call.needed or not call.items
            type_, default = (PictureId, ...) if is_needed else (PictureId | None, None)
            fields[name] = (type_, Field(default=default, description=call.in_fields(about)))
    own = [name for name in call.by_name if name not in base.model_fields and name not in but]
    fields |= fields_of(call, own)
    title = call.command.title().replace("-", "")
    body = create_model(f"{title}Body", __base__=base, __doc__=call.command, **fields)
    body.call, body.renamed = call, _renamed_fields(call)
    return body


def _renamed_fields(call: Call) -> dict[str, str]:
    """Returns the present names of fields by their former ones, from those of flags and of arguments of lists."""
    names = {one.each: f"{one.name} of a subject" for one in call.options if one.each not in ("", one.name)}
    for option in call.options:
        for one in (option, *option.inner):
            words = one.name.split("_", 1) if one is not option else [one.name]
            present = " of ".join(reversed(words))
            names |= {old: present for old, flag in call.renamed.items() if flag == one.flag}
            names |= {old: f"{present}=false" for old, flag in call.renamed.items() if flag == one.off}
    return names


class ImageBody(Body):
    """The base of the bodies of calls that return an image."""

    format: ImageFormat | None = Field(default=None, description="The format; none: PNG, and JPEG for previews.")
    quality: QualityField = Field(default=95, description=QUALITY.about)


# ---- blend, edit and harmonize ----


class ModeBody(Body):
    """The base of the bodies of calls with modes, which become tasks."""

    def check(self) -> None:
        self.task(lambda id: id, "out", "mask.png")

    def check_result(self, sizes: Mapping[str, Sizes], max_pixels: int) -> None:
        times = getattr(self, "upscale", None) or 1
        size = sizes[getattr(self, self.call.primary)]
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
        call = self.call
        values = {name: path_of(value) if isinstance(value, PictureId) else value for name, value in self}
        options = {option.name: values.get(option.name) for option in call.options}
        if "save_mask" in options:
            options["save_mask"] = mask if options["save_mask"] else None
        return task_of(call, {name: values.get(name) for name in call.inputs}, out, options, FIELDS)


BlendBody, EditBody, HarmonizeBody = (body_of(call, ModeBody) for call in (BLEND, EDIT, HARMONIZE))


# ---- segment, paint, cutout, export ----

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


class Lasso(Part):
    """A rough outline of the object, or of a part to add or, with add=false, to remove; it is closed."""

    kind: Literal["lasso"]
    line: Points = Field(min_length=3, max_length=MAX_LINE)
    add: bool = True
    tolerance: float | None = Field(default=None, ge=0, le=10_000,
        description="The largest distance of the contour from the outline, in pixels; 0: as drawn. null: a share of "
        "its size.",
    )  # fmt: skip


class Box(Part):
    """The rectangle x, y, width, height around the object; the first step only."""

    kind: Literal["box"]
    box: Rectangle


class Coarse(Part):
    """A coarse mask of the image's size, which is refined; the first step only."""

    kind: Literal["mask"]
    mask: PictureId


class Combine(Part):
    """A mask of the image's size whose pixels are added or, with add=false, removed."""

    kind: Literal["combine"]
    mask: PictureId
    add: bool = True


class Choose(Part):
    """Selects another mask of the last result as the best one."""

    kind: Literal["choose"]
    index: int = Field(ge=0, le=2)


Step = Annotated[Click | Scribble | Lasso | Box | Coarse | Combine | Choose, Field(discriminator="kind")]


class SegmentBody(Body):
    """segment"""

    renamed = {"people": "all_people"}

    picture: PictureId = Field(description="The image.")
    steps: Annotated[list[Step], _FIRST] = Field(default=[], max_length=200,
        description="All prompts, in order. The result depends on the steps alone; to continue, send the "
        "previous steps and one more, to undo, one less. The worker caches the image, so that the next click is fast.",
    )  # fmt: skip
    all_people: bool = Field(default=False, description="Segment all people instead, one by one, without steps.")
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
        if self.all_people == bool(self.steps):
            raise ValueError("expected steps, or all_people=true and no steps")
        if any(step.kind in ("box", "mask") for step in self.steps[1:]):
            raise ValueError("steps: a box or a mask must be the first step")
        if self.steps and self.steps[0].kind == "choose":
            raise ValueError("steps: choose is not possible as the first step")
        _check_points("steps", [step.line for step in self.steps if step.kind in ("scribble", "lasso")])
        return self

    def check(self) -> None:
        _check_cutter(self.method, "method")
        if self.all_people and self.method != "auto" and not CUTTERS[self.method].detects_people:
            names = ", ".join(["auto", *(name for name, cutter in CUTTERS.items() if cutter.detects_people)])
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


class CutoutBody(Body):
    """cutout"""

    renamed = {"crop": "crop_to_mask"}

    picture: PictureId = Field(description="The image.")
    mask: PictureId = Field(description="A grey image of its size, white on the object.")
    crop_to_mask: bool = Field(default=False, description="Whether to crop the result to the mask.")
    keep_background: bool = Field(default=False, description="Whether the colours of the image stay under alpha 0.")
    format: Literal["png", "webp", "tiff", "avif"] = Field(default="png", description="A format with alpha.")


class ExportBody(Body):
    """export"""

    picture: PictureId = Field(description="The image.")
    format: ImageFormat = Field(description="The format to write.")
    depth: Literal[8, 16] | None = Field(
        default=None,
        description="The bits per channel; none: unchanged. 16 bits from 8 have the same 256 levels.",
    )
    quality: QualityField = Field(default=95, description=QUALITY.about)
    crop: Annotated[tuple[Whole, Whole, Whole, Whole], Field(strict=False)] | None = Field(
        default=None, description="The rectangle x, y, width, height to write, in pixels of the image; none: all of it."
    )
    keep_gps: bool = Field(default=False, description="Keep the GPS position in the metadata.")
    sources: Ids = Field(default=[], max_length=50,
        description="Further source images, masks too: the metadata name their SHA-256, and mark it as a "
        "composite. The sources of operations of this service are named anyway.",
    )  # fmt: skip


# ---- place, compose ----

#: The largest number of nested brackets in a recipe, and its largest number.
_DEEP, _MOST = 16, 2**53
#: The largest number of places of a request.
_MAX_PLACES = 20


def _check_places(count: int) -> None:
    if count > _MAX_PLACES:
        raise RunError(f"k: {count}, expected at most {_MAX_PLACES}", Code.USAGE)


def _check_harmonize(methods: Iterable[Any]) -> None:
    """Refuses names that are no methods: the function accepts paths of weights too, which clients may not name."""
    accepted = harmonize_methods()
    for method in methods:
        if method is not None and method not in accepted:
            raise RunError(f"harmonize: {excerpt(repr(method))}, expected one of {', '.join(accepted)}", Code.USAGE)


class _PlaceBase(Body):
    def check(self) -> None:
        _check_places(cast(Any, self).k)


PlaceBody = body_of(PLACE, _PlaceBase)


class _Subject(Part):
    picture: PictureId = Field(description="The photo with the subject.")


#: The options of a composite that each subject has.
EACH = [option.name for option in COMPOSE.options if option.each]
Subject = create_model(
    "Subject", __base__=_Subject, __doc__="A subject; the largest of its photo if there are no points, box and mask.",
    **cast(Any, fields_of(COMPOSE, EACH)),
)  # fmt: skip


class _Compose(ImageBody):
    subjects: Annotated[list[Subject], _FIRST] = Field(  # type: ignore[valid-type]
        min_length=1, max_length=8, description="The subjects."
    )
    recipe: dict[str, Any] | None = Field(
        default=None, description="The recipe of an earlier job, which replaces all but images, format and quality."
    )
    layers: bool = Field(default=False, description="Whether to write the layers too, as an OpenRaster file.")

    def check(self) -> None:
        _check_recipe(self.recipe)
        body: Any = self
        _check_cutter(body.segment, "segment")
        _check_places(body.k)
        subjects = (self.recipe or {}).get("subjects", [])
        if not isinstance(subjects, list):
            raise RunError(f"recipe: subjects: {excerpt(subjects)}, expected a list", Code.USAGE)
        steps = [one.get("harmonize") for one in subjects if isinstance(one, dict)]
        methods = [step.get("method") if isinstance(step, dict) else step for step in steps]
        _check_harmonize([body.harmonize, *methods])


def compose_body(call: Call) -> type[Body]:
    """Returns the type of requests for a composite with the options of a call."""
    return cast(type[Body], body_of(call, _Compose, EACH))


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


# ---- layers and live, for pages ----


class PlacedCutout(Part):
    """A segmented subject and its place."""

    picture: PictureId = Field(description="The photo with the subject.")
    mask: PictureId | None = Field(default=None, description="Its mask; none: the alpha of the photo.")
    at: Position = Field(description="The position of the first pixel of its photo, before rotation.")
    scale: float = Field(default=1.0, gt=0, le=1000, description="The factor of its size.")
    angle: float = Field(default=0.0, ge=-180, le=180, description="The rotation in degrees, clockwise.")
    flip: bool = Field(default=False, description="Whether it is mirrored.")
    warp: Corners | None = Field(default=None, description="How far the corners of the photo move, as in `compose`.")


Side = Annotated[int, Field(ge=64, le=1600, description="The longer side of the displayed background.")]


#: The options of a composite that affect its layers.
LOOKS = ["people", "harmonize", "shadow", *(option.name for option in COMPOSE.options if option.look)]


class _Layers(Body):
    subject: PlacedCutout = Field(description="The subject.")
    background: PictureId = Field(description="The photo to place it in.")
    front: Indices = Field(default=[], description="The people, by index, who occlude the subject.")
    side: Side = 1024

    def check(self) -> None:
        _check_harmonize([cast(Any, self).harmonize])


LayersBody = create_model("LayersBody", __base__=_Layers, __doc__="layers", **cast(Any, fields_of(COMPOSE, LOOKS)))


class LiveBody(Body):
    """live"""

    background: PictureId = Field(description="The background photo.")
    plain: PictureId | None = Field(default=None, description="The plain layer of `layers`.")
    matched: PictureId | None = Field(default=None, description="The matched layer of `layers`.")
    strength: float = Field(default=1.0, ge=0, le=1, description="The interpolation from plain to matched.")
    shadow: PictureId | None = Field(default=None, description="The shadow layer, if there is one.")
    cast: Position | None = Field(default=None, description="The position of its first pixel in background.")
    base: PictureId | None = Field(default=None, description="The background layer of `layers`, if there is one.")
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


# ---- merge, apply-edit ----


class _Merge(ImageBody):
    photos: Ids = Field(
        min_length=2, max_length=8, description="Photos of one scene, merged into one of them, the base."
    )
    base: int | None = Field(default=None, ge=0, le=7, description="The index of the base photo; null: the best one.")
    people: Annotated[list[PictureId | None], _FIRST] | None = Field(
        default=None, max_length=8,
        description="The mask of the people of each photo, or null for one whose people are detected.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> _Merge:
        if self.people is not None and len(self.people) != len(self.photos):
            raise ValueError("people: expected an entry for each of the photos")
        if self.base is not None and self.base >= len(self.photos):
            raise ValueError(f"base: expected the index of a photo, 0 to {len(self.photos) - 1}")
        return self


MergeBody = body_of(MERGE, _Merge)


class _ApplyEdit(ImageBody):
    edited: Annotated[list[PictureId], _FIRST] = Field(
        min_length=1, max_length=8, description="Its edit, or several of them, which are applied in their order."
    )

    @model_validator(mode="after")
    def _fits(self) -> _ApplyEdit:
        if getattr(self, "changes", None) is not None and len(self.edited) > 1:
            raise ValueError("changes: numbers for several edits, expected one edit")
        if getattr(self, "frame", "original") == "edit" and len(self.edited) > 1:
            raise ValueError("frame: 'edit' for several edits, expected one edit")
        return self


ApplyEditBody = body_of(APPLY_EDIT, _ApplyEdit)


class _Remove(ImageBody):
    mask: PictureId = Field(description="The mask of the thing to take away, of the size of image.")


RemoveBody = body_of(REMOVE, _Remove, but=("points", "beside", "box", "lasso"))


class OpenBody(Body):
    """open"""

    picture: PictureId
