"""The responses of the service: errors, and the types of all other responses."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .._calls import Call, Group, Option
from ._text import limited_message


class Refusal(HTTPException):
    """A refusal: its status, its kind as a word, and a sentence for people."""

    def __init__(
        self, status: int, kind: str, message: str, retry_after: int | None = None, headers: Any = None
    ) -> None:
        all_headers = {**(headers or {}), **({} if retry_after is None else {"Retry-After": str(retry_after)})}
        super().__init__(status, message, all_headers or None)
        self.kind = kind

    def answer(self) -> JSONResponse:
        """Returns the refusal as a response."""
        return refusal_response(self.status_code, self.kind, str(self.detail), self.headers)


def refusal_response(status: int, kind: str, message: str, headers: Any = None) -> JSONResponse:
    """Returns a response of the type `Problem`."""
    return JSONResponse({"error": {"kind": kind, "message": limited_message(message)}}, status, headers)


class Answer(BaseModel):
    """The base of the types of responses."""

    model_config = ConfigDict(frozen=True)


class Error(Answer):
    """The cause of a failure."""

    kind: str = Field(description="A word that programs can compare, such as 'DecodeError' or 'timeout'.")
    message: str = Field(description="A sentence for people.")
    code: str | None = Field(
        default=None, description="The code of the library's error, such as 'wrong-size', which is stable."
    )
    argument: str | None = Field(default=None, description="The invalid argument of the library's function.")
    exit_code: int | None = Field(default=None, description="The exit code of the command line for the same failure.")


class Problem(Answer):
    """The body of error responses."""

    error: Error


class PictureInfo(Answer):
    """An image of the service: an upload or a result."""

    id: str = Field(description="Its id in requests: 32 random hexadecimal digits.")
    name: str | None = Field(description="The name of the upload; a label, never a path.")
    width: int
    height: int
    channels: int = Field(description="1 (grey), 3 (RGB) or 4 (RGBA).")
    cuts_out: bool | None = Field(description="Whether its alpha cuts an object out, of an upload; null of a result.")
    dtype: str = Field(description="uint8, uint16, float16, float32 or float64.")
    format: str = Field(description="The format of the file, such as 'JPEG'.")
    bytes: int
    preview: bool = Field(description="Whether it was computed from proxies, by an operation with preview=true.")
    proxy_width: int
    proxy_height: int
    url: str = Field(description="Its URL, like all others relative to the address of the service.")
    file_url: str = Field(description="The URL of the file.")
    proxy_url: str = Field(description="The URL of a small JPEG or PNG in sRGB, for display.")
    expires: datetime.datetime = Field(description="When it is deleted, unless it is used before that.")


class SegmentedMask(Answer):
    """A mask of a segmentation."""

    score: float = Field(description="Its estimated quality, 0 to 1.")
    box: list[float] = Field(description="x, y, width and height, in pixels of the image at full size.")
    head: list[float] | None = Field(default=None, description="The box of the head, for people.")
    mask: PictureInfo | None = Field(default=None, description="The mask; for clicks only the best, unless every=true.")
    thumb: PictureInfo | None = Field(default=None, description="A reduced copy of the mask, if thumbs=true.")
    area: float | None = Field(default=None, description="The pixels of the object at full size, if thumbs=true.")


class Place(Answer):
    """A place for an object, in the form that `compose` accepts, in pixels of the background at full size."""

    at: list[float] = Field(description="The position of the first pixel of its image, before rotation.")
    scale: float
    angle: float = Field(description="The rotation in degrees, clockwise.")
    flip: bool
    behind: list[int] = Field(description="The people, by index, who occlude it.")
    box: list[float] = Field(description="x, y, width and height of the placed object.")
    score: float = Field(description="The larger, the better; scores of one job are comparable.")
    terms: dict[str, float] = Field(description="The terms of the score.")
    reason: str = Field(description="The defect of the place; empty if there is none.")
    reason_code: str = Field(description="The code of the reason, such as 'face-covered', which is stable; else empty.")
    usable: float | None = Field(description="How likely a composite there has no visible fault, 0 to 1.")
    doubt_codes: list[str] = Field(description="The codes of what speaks against it, the weightiest first.")


class Layer(Answer):
    """A layer over a background."""

    name: Literal["background", "shadow", "reflection", "plain", "matched", "front"] = Field(
        description="'background', if it is corrected; 'shadow', a factor for the layers below; 'reflection'; the "
        "subject, 'plain' before matching and 'matched'; or 'front', the people who occlude it."
    )
    box: list[float] = Field(description="x, y, width and height in pixels of the background at full size.")
    picture: PictureInfo


class Result(Answer):
    """The results of a job."""

    picture: PictureInfo | None = Field(default=None, description="The resulting image.")
    mask: PictureInfo | None = Field(default=None, description="The mask: the best candidate, or that of the object.")
    masks: list[SegmentedMask] = Field(default=[], description="All masks: candidates for clicks, or people.")
    other_people: PictureInfo | None = Field(default=None, description="A mask of people who are not separated.")
    others: PictureInfo | None = Field(default=None, description="The same, by its former name.", deprecated=True)
    places: list[Place] = Field(default=[], description="The places, the best first.")
    layers: list[Layer] = Field(default=[], description="The layers over the background, from bottom to top.")
    openraster: PictureInfo | None = Field(default=None, description="The layers as a file for Krita and GIMP.")
    recipe_url: str | None = Field(default=None, description="The URL of the recipe, as JSON.")
    info: dict[str, Any] = Field(default={}, description="Further information: method, warnings, milliseconds.")


class Phase(Answer):
    """The progress of a job."""

    name: str = Field(description="The current phase, such as 'decode' or 'solve'.")
    step: int
    steps: int


Status = Literal["queued", "running", "done", "failed", "cancelled"]


class JobInfo(Answer):
    """A job."""

    id: str
    operation: str
    status: Status
    preview: bool
    position: int | None = Field(default=None, description="While it waits: the number of jobs before it.")
    phase: Phase | None = Field(default=None, description="While it runs: its progress.")
    created: datetime.datetime
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    result: Result | None = Field(default=None, description="If it is done: its results.")
    error: Error | None = Field(default=None, description="If it failed: the cause.")
    url: str
    events_url: str = Field(description="The URL of its changes, as server-sent events.")


class SegmentMethod(Answer):
    """A method of `segment`, also accepted as `segment` of `compose`."""

    name: str
    about: str = Field(description="A description.")
    detects_people: bool = Field(description="Whether it segments people.")

    # Pydantic's own `deprecated` warns at every answer.
    @computed_field(description="The same, by its former name.", json_schema_extra={"deprecated": True})  # type: ignore[prop-decorator]
    @property
    def people(self) -> bool:
        return self.detects_people


class PageField(Answer):
    """An option of `compose` for which a page shows a generated field, from the description of the call."""

    name: str
    about: str = Field(description="A description.")
    type: Literal["number", "whole", "flag", "word", "group"]
    default: Any
    low: float | None = None
    high: float | None = None
    words: list[str] = Field(default=[], description="The accepted words; 'none' is null.")
    fields: list[PageField] = Field(default=[], description="The arguments of a group.")
    look: bool = Field(default=False, description="Whether `layers` accepts it too.")


class ServiceInfo(Answer):
    """The service: its version, its limits and its methods."""

    version: str
    operations: list[str]
    max_upload: int = Field(description="The largest upload in bytes.")
    max_pixels: int = Field(description="The largest image in pixels.")
    max_json: int = Field(description="The largest request other than an upload, in bytes.")
    json_limits: dict[str, int] = Field(description="The largest request of each operation, in bytes.")
    queue: int = Field(description="The largest number of waiting jobs.")
    workers: int
    timeout: float = Field(description="The time limit of jobs other than exports, in seconds.")
    export_timeout: float | None = Field(
        description="The time limit of exports in seconds; null: until no client has asked for it within timeout."
    )
    lifetime: float = Field(description="The seconds for which files and jobs are stored after their last use.")
    preview_lifetime: float
    proxy_side: int
    needs_token: bool
    methods: list[str] = Field(description="The methods and networks of `harmonize`.")
    fields: list[PageField] = Field(description="The options of `compose` that have no dedicated control.")
    segment_methods: list[SegmentMethod] = Field(description="The methods of `segment` that are available.")


class Health(Answer):
    """Whether the service works."""

    status: Literal["ok", "stopping", "no worker"]
    version: str
    workers: int = Field(description="The workers that are ready or busy.")
    running: int
    queued: int
    uptime: float = Field(description="Seconds since the start.")
    confinement: dict[str, str] = Field(
        description="Whether the 'files' and the 'system calls' of workers are 'confined', or why they are not."
    )


def moment(seconds: float) -> datetime.datetime:
    """Returns a time of `time.time` for a response."""
    return datetime.datetime.fromtimestamp(round(seconds, 3), datetime.timezone.utc)


def page_fields(call: Call) -> list[PageField]:
    """Returns the fields of a page for the options of a call that have no dedicated control."""
    return [_page_field(option) for option in call.options if option.on_page == "field"]


def _page_field(option: Option) -> PageField:
    field = PageField(
        name=option.name, about=option.about, type="word", default=option.value, low=option.low, high=option.high,
        look=option.look,
    )  # fmt: skip
    if isinstance(option.type, tuple):
        words = [*(["auto"] if option.auto else []), *option.type, *(["none"] if option.none else [])]
        return field.model_copy(update={"words": words})
    if isinstance(option.type, Group):
        numbers = [_page_field(one) for one in option.type.call.options if one.type is float and one.value is not None]
        return field.model_copy(update={"type": "group", "fields": numbers})
    kinds: dict[Any, str] = {bool: "flag", int: "whole", float: "number"}
    return field.model_copy(update={"type": kinds[option.type]})
