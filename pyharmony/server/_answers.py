"""The answers of the service that are not its results: refusals, and the types of everything that it tells."""

from __future__ import annotations

import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .._calls import Call, Group, Option
from ._text import shortened


class Refusal(HTTPException):
    """A refusal: its status, what kind it is, and why in a sentence."""

    def __init__(
        self, status: int, kind: str, message: str, retry_after: int | None = None, headers: Any = None
    ) -> None:
        all_headers = {**(headers or {}), **({} if retry_after is None else {"Retry-After": str(retry_after)})}
        super().__init__(status, message, all_headers or None)
        self.kind = kind

    def answer(self) -> JSONResponse:
        """Returns it as a response."""
        return refusal_response(self.status_code, self.kind, str(self.detail), self.headers)


def refusal_response(status: int, kind: str, message: str, headers: Any = None) -> JSONResponse:
    """Returns a response of the type `Problem`."""
    return JSONResponse({"error": {"kind": kind, "message": shortened(message)}}, status, headers)


class Answer(BaseModel):
    """The base of what the service tells."""

    model_config = ConfigDict(frozen=True)


class Error(Answer):
    """Why something failed."""

    kind: str = Field(description="A word that programs can compare, such as 'DecodeError' or 'timeout'.")
    message: str = Field(description="A sentence for people.")
    code: str | None = Field(
        default=None, description="What the library refused, such as 'wrong-size'; codes stay when sentences change."
    )
    argument: str | None = Field(default=None, description="The name of the library's argument at fault.")
    exit_code: int | None = Field(default=None, description="The exit code of the command line for the same failure.")


class Problem(Answer):
    """The body of refusals."""

    error: Error


class PictureInfo(Answer):
    """An image that the service holds: one that was uploaded, or a result."""

    id: str = Field(description="Its name in requests: 32 hexadecimal digits, which cannot be guessed.")
    name: str | None = Field(description="The name that it was uploaded under; a label, never a path.")
    width: int
    height: int
    channels: int = Field(description="1 (grey), 3 (RGB) or 4 (RGBA).")
    dtype: str = Field(description="uint8, uint16, float16, float32 or float64.")
    format: str = Field(description="The format of the file, such as 'JPEG'.")
    bytes: int
    preview: bool = Field(description="Whether it was made of proxies, by an operation with preview=true.")
    proxy_width: int
    proxy_height: int
    url: str
    file_url: str = Field(description="Where the file itself is.")
    proxy_url: str = Field(description="Where it is as a small JPEG or PNG of sRGB, for a page.")
    expires: datetime.datetime = Field(description="When it is deleted, unless it is used before.")


class Found(Answer):
    """A mask that was found."""

    score: float = Field(description="How good it is expected to be, 0 to 1.")
    box: list[float] = Field(description="x, y, width and height, in pixels of the image at full size.")
    head: list[float] | None = Field(default=None, description="The same of the head, for people.")
    mask: PictureInfo | None = Field(default=None, description="The mask; of answers to clicks only where asked for.")


class Place(Answer):
    """A place for an object, as `compose` takes it, in pixels of the background at full size."""

    at: list[float] = Field(description="Where the first pixel of its image lies, before it is turned.")
    scale: float
    angle: float = Field(description="The turn in degrees clockwise.")
    flip: bool
    behind: list[int] = Field(description="The people, by their numbers, who stay in front of it.")
    box: list[float] = Field(description="x, y, width and height of where it comes to lie.")
    score: float = Field(description="The larger, the better; scores of one job can be compared.")
    terms: dict[str, float] = Field(description="What each term adds to the score.")
    reason: str = Field(description="What is wrong with the place; else empty.")
    reason_code: str = Field(description="The same as a short name, such as 'face-covered', which stays; else empty.")


class Layer(Answer):
    """A layer over a background."""

    name: Literal["shadow", "reflection", "plain", "matched", "front"] = Field(
        description="'shadow', by which what is below is multiplied; 'reflection'; the subject, 'plain' as it was and "
        "'matched'; or 'front', the people who stay in front of it."
    )
    box: list[float] = Field(description="x, y, width and height in pixels of the background at full size.")
    picture: PictureInfo


class Result(Answer):
    """The results of a job."""

    picture: PictureInfo | None = Field(default=None, description="The image that was made.")
    mask: PictureInfo | None = Field(default=None, description="The mask: the best found, or where the object lies.")
    masks: list[Found] = Field(default=[], description="All that was found: answers to clicks, or people.")
    others: PictureInfo | None = Field(
        default=None, description="A mask of where people seem to be who are not told apart."
    )
    places: list[Place] = Field(default=[], description="The places that were found, the best first.")
    layers: list[Layer] = Field(default=[], description="What is laid over a background, from the bottom to the top.")
    openraster: PictureInfo | None = Field(default=None, description="The layers as a file for Krita and GIMP.")
    recipe_url: str | None = Field(default=None, description="Where all that was decided is, as JSON.")
    info: dict[str, Any] = Field(default={}, description="What else there is to tell: method, warnings, milliseconds.")


class Phase(Answer):
    """How far a job is."""

    name: str = Field(description="What is being done, such as 'decode' or 'solve'.")
    step: int
    steps: int


Status = Literal["queued", "running", "done", "failed", "cancelled"]


class JobInfo(Answer):
    """A job."""

    id: str
    operation: str
    status: Status
    preview: bool
    position: int | None = Field(default=None, description="While it waits: how many jobs are before it.")
    phase: Phase | None = Field(default=None, description="While it runs: how far it is.")
    created: datetime.datetime
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    result: Result | None = Field(default=None, description="Where it is done: what it made.")
    error: Error | None = Field(default=None, description="Where it failed: why.")
    url: str
    events_url: str = Field(description="Where its changes are told, as server-sent events.")


class SegmentMethod(Answer):
    """A method of `segment`, which `compose` takes as its segment too."""

    name: str
    about: str = Field(description="What it is.")
    people: bool = Field(description="Whether it finds people.")


class PageField(Answer):
    """An option of `compose` that a page shows as a field of its own, made from the description of the call."""

    name: str
    about: str = Field(description="What it does.")
    type: Literal["number", "whole", "flag", "word", "group"]
    default: Any
    low: float | None = None
    high: float | None = None
    words: list[str] = Field(default=[], description="The values of a word; 'none' stands for null.")
    fields: list[PageField] = Field(default=[], description="The arguments of a group that is on.")
    look: bool = Field(default=False, description="Whether `layers` takes it too.")


class ServiceInfo(Answer):
    """The service: its version, its limits and its methods."""

    version: str
    operations: list[str]
    max_upload: int = Field(description="The most bytes of an uploaded file.")
    max_pixels: int = Field(description="The most pixels of an image.")
    max_json: int = Field(description="The most bytes of a request other than an upload.")
    json_limits: dict[str, int] = Field(description="The most bytes of a request of each operation.")
    queue: int = Field(description="The most jobs that wait.")
    workers: int
    timeout: float = Field(description="The seconds that a job may run that is no export.")
    export_timeout: float | None = Field(
        description="The seconds that an export may run; null: as long as somebody asks of it within those of timeout."
    )
    lifetime: float = Field(description="The seconds that files and jobs stay after they were last used.")
    preview_lifetime: float
    proxy_side: int
    needs_token: bool
    methods: list[str] = Field(description="The methods and networks of `harmonize`.")
    fields: list[PageField] = Field(description="The options of `compose` that have no control of their own.")
    segment_methods: list[SegmentMethod] = Field(description="The methods of `segment` that can run here.")


class Health(Answer):
    """Whether the service works."""

    status: Literal["ok", "stopping", "no worker"]
    version: str
    workers: int = Field(description="The workers that are ready or at work.")
    running: int
    queued: int
    uptime: float = Field(description="Seconds since the start.")


def moment(seconds: float) -> datetime.datetime:
    """Returns a time of `time.time` for an answer."""
    return datetime.datetime.fromtimestamp(round(seconds, 3), datetime.timezone.utc)


def page_fields(call: Call) -> list[PageField]:
    """Returns the fields of a page for the options of a call that have no control of their own."""
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
