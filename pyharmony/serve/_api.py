"""The HTTP API under /api/v1, with /health and /metrics: requests become jobs, and jobs become responses."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import StringConstraints
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from .. import __version__
from .._calls import COMPOSE, harmonize_methods
from ..errors import RunError
from ..runs._jobs.failures import Code
from ._answers import (
    Health,
    JobInfo,
    PictureInfo,
    Problem,
    Refusal,
    SegmentMethod,
    ServiceInfo,
    page_fields,
    refusal_response,
)
from ._bodies import Body, OpenBody
from ._guard import CLIENT_LEFT, COOKIE, CSRF_HEADER, UNEXPECTED, Guard, Keys, session_of
from ._history import History
from ._ids import ID, PictureId
from ._metrics import CONTENT_TYPE, Metrics
from ._operations import MAX_JSON, OPEN, OPERATIONS, Operation
from ._page import Page
from ._pool import Job, Pool
from ._store import FULL_RETRY, Store, StoredPicture
from ._text import excerpt
from ._tree import Tree, new_id, proxy_format
from .settings import SAMPLES, Settings

_log = logging.getLogger("pyharmony.serve")

_API = "/api/v1"
#: The longest interval in seconds between deletions of expired files.
_LOOK = 30.0
#: The seconds after which a stream of events sends a heartbeat.
_HEARTBEAT = 15.0
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff", "BMP": "image/bmp",
          "AVIF": "image/avif", "JXL": "image/jxl", "HEIF": "image/heif", "OPENRASTER": "image/openraster"}  # fmt: skip
_SUFFIXES = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic", "OPENRASTER": "ora"}
#: The largest number of values, lists and objects in a JSON body, which bounds the time to parse and refuse it.
MAX_VALUES = 50_000
#: The largest number of reported errors of a body.
MAX_ERRORS = 5
#: The statuses of failures to read an upload; others have 422.
_UNREADABLE = {"ImageTooLarge": 413, "OutOfMemory": 413, "MemoryError": 413, "full": 429}


async def _user_of(request: Request) -> str:
    """Returns the name of the user of a request, as the guard has found it."""
    return str(request.scope["user"])


#: The user of a request.
User = Annotated[str, Depends(_user_of)]
Id = Annotated[str, Path(pattern=ID, description="32 hexadecimal digits.")]
Wait = Annotated[
    float, Query(ge=0, le=60, description="The seconds to wait for the end of the job before the response is sent.")
]
#: A name for people, which is escaped where it is shown.
Label = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
_PROBLEMS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Problem, "description": "Refused; see the body."}}


class PictureResponse(FileResponse):
    """The file of an image, which is not deleted before it is sent."""

    def __init__(self, store: Store, picture: StoredPicture, path: Any, **options: Any) -> None:
        headers = {"cache-control": "private, max-age=3600, immutable"}
        super().__init__(path, headers=headers, **options)
        self._store, self._picture = store, picture

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._picture.gone:
            raise Refusal(404, "unknown_picture", "this image was deleted")
        self._picture.pins += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._store.unpin(self._picture)


class _Route(APIRoute):
    """A route that limits the number of values of a body before it is parsed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the handler of a request."""
        answer = super().get_route_handler()
        if self.body_field is None:
            return answer

        async def run(request: Request) -> Response:
            # Each JSON value except the first of a list or object is preceded by a comma.
            if (await request.body()).count(b",") > MAX_VALUES:
                raise Refusal(413, "too_large", f"the body contains more than {MAX_VALUES:,} values")
            return await answer(request)

        return run


class Service:
    """A service: its files, workers, figures and routes; `guard` is the application to run."""

    def __init__(self, settings: Settings, tree: Tree) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.store = Store(tree, settings)
        self.pool = Pool(settings, self.store, self.metrics)
        self.keys = Keys(settings.tokens)
        self.began = time.monotonic()
        #: The number of uploads in progress, by user.
        self._uploads = Counter[str]()
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._looker: asyncio.Task[None] | None = None
        self.page = Page(settings.page, SAMPLES)
        self.app = self._application()
        limits = {f"{_API}/{operation.name}": operation.max_json for operation in OPERATIONS.values()}
        self.guard = Guard(self._answer, settings, self.metrics, self.keys, limits, MAX_JSON)
        self.failure = ""
        self._about = self._service_info()
        pool, store = self.pool, self.store
        self.metrics.gauge("queue_length", "Waiting jobs.", lambda: len(pool.queue))
        self.metrics.gauge("jobs_running", "Running jobs.", lambda: len(pool.running))
        self.metrics.gauge("workers", "Workers that are ready or busy.", lambda: pool.workers)
        self.metrics.gauge("pictures", "Stored images.", lambda: len(store.pictures))
        self.metrics.gauge("file_bytes", "Bytes of all files.", lambda: store.total_bytes)

    async def start(self) -> None:
        """Starts the workers, or raises RuntimeError."""
        try:
            await self.pool.start()
        except RuntimeError as error:
            self.failure = str(error)
            raise
        self._looker = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Refuses further work, and gives running jobs a few seconds to end."""
        self.guard.stopping = True
        await self.pool.drain(self.settings.grace)

    async def close(self) -> None:
        """Ends the workers."""
        if self._looker is not None:
            self._looker.cancel()
        await self.pool.close()

    async def _look(self) -> None:
        """Deletes expired files at regular intervals."""
        pause = min(_LOOK, self.settings.lifetime / 4, self.settings.preview_lifetime / 4)
        while True:
            await asyncio.sleep(pause)
            try:
                count = self.store.expire(time.time())
                self.pool.expire(time.time())
            except OSError:
                _log.exception("expired files could not be deleted; will be tried again")
                continue
            if count:
                _log.info("%d images expired", count)

    # ---- routes ----

    def _application(self) -> FastAPI:
        @contextlib.asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            await self.start()
            try:
                yield
            finally:
                await self.close()

        app = FastAPI(
            title="pyharmony",
            version=__version__,
            description=(
                "Composites a part of one image into another, matched to it. Images are uploaded, operations on "
                "them are jobs, and their results are images again. Every request that changes something has the "
                "header `X-Pyharmony: 1`."
            ),
            openapi_url=f"{_API}/openapi.json",
            docs_url=None,
            redoc_url=None,
            lifespan=lifespan,
            responses=_PROBLEMS,
            redirect_slashes=False,
        )
        app.router.route_class = _Route
        make = app.openapi

        def openapi() -> dict[str, Any]:
            """Returns the schema with the token of requests."""
            schema = make()
            needs: dict[str, Any] = {"header": {"type": "apiKey", "in": "header", "name": CSRF_HEADER}}
            if self.settings.needs_token:
                needs["token"] = {"type": "http", "scheme": "bearer"}
            schema.setdefault("components", {})["securitySchemes"] = needs
            schema["security"] = [{name: [] for name in needs}]
            return schema

        app.openapi = openapi  # type: ignore[method-assign]
        app.add_exception_handler(HTTPException, _on_refusal)
        app.add_exception_handler(RequestValidationError, _on_invalid)
        app.add_exception_handler(ClientDisconnect, lambda request, error: Response(status_code=CLIENT_LEFT))
        app.add_exception_handler(Exception, lambda request, error: UNEXPECTED.answer())
        add = app.add_api_route
        add("/health", self.health, methods=["GET"], response_model=Health, tags=["service"])
        add("/metrics", self.figures, methods=["GET"], response_class=Response, tags=["service"])
        add(f"{_API}/service", self.about, methods=["GET"], response_model=ServiceInfo, tags=["service"])
        add(f"{_API}/session", self.open_session, methods=["POST"], status_code=204, tags=["service"])
        add(f"{_API}/session", self.close_session, methods=["DELETE"], status_code=204, tags=["service"])
        pictures = f"{_API}/pictures"
        file = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
        add(pictures, self.upload, methods=["POST"], status_code=201, response_model=PictureInfo, tags=["images"],
            openapi_extra={"requestBody": {**file, "required": True}})  # fmt: skip
        one: dict[str, Any] = {"tags": ["images"]}
        add(f"{pictures}/{{id}}", self.picture, methods=["GET"], response_model=PictureInfo, **one)
        add(f"{pictures}/{{id}}", self.remove_picture, methods=["DELETE"], status_code=204, **one)
        for name, give in (("file", self.file), ("proxy", self.proxy)):
            for method in ("GET", "HEAD"):
                add(
                    f"{pictures}/{{id}}/{name}", give, methods=[method], response_class=FileResponse,
                    include_in_schema=method == "GET", **one,
                )  # fmt: skip
        for operation in OPERATIONS.values():
            add(
                f"{_API}/{operation.name}", self._starts(operation), methods=["POST"], status_code=202,
                response_model=JobInfo, response_model_exclude_none=True, tags=["operations"], name=operation.name,
                summary=operation.name.capitalize(), description=operation.about,
                responses={200: {"model": JobInfo, "description": "The job ended within the seconds of wait."}},
            )  # fmt: skip
        job: dict[str, Any] = {"tags": ["jobs"]}
        options: dict[str, Any] = {**job, "response_model": JobInfo, "response_model_exclude_none": True}
        add(f"{_API}/jobs/{{id}}", self.job, methods=["GET"], **options)
        add(f"{_API}/jobs/{{id}}", self.cancel, methods=["DELETE"], **options)
        add(f"{_API}/jobs/{{id}}/recipe", self.recipe, methods=["GET"], response_class=FileResponse, **job)
        add(f"{_API}/jobs/{{id}}/events", self.events, methods=["GET"], response_class=StreamingResponse, **job)
        return app

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with a file of the page, or by the routes."""
        of_page = scope["type"] == "http" and scope["path"] in self.page
        await (self.page if of_page else self.app)(scope, receive, send)

    async def health(self, response: Response) -> Health:
        """Returns the state of the service; the status is 503 if it does not work, or stops."""
        status: Any = "stopping" if self.pool.stopping else "ok" if self.pool.works else "no worker"
        if status != "ok":
            response.status_code = 503
        return Health(
            status=status,
            version=__version__,
            workers=self.pool.workers,
            running=len(self.pool.running),
            queued=len(self.pool.queue),
            uptime=round(time.monotonic() - self.began, 1),
            confinement=self.pool.confinement,
        )

    async def figures(self) -> Response:
        """Returns the metrics of the service in Prometheus' format."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    async def about(self) -> ServiceInfo:
        """Returns the version, the limits and the methods of the service."""
        return self._about

    def _service_info(self) -> ServiceInfo:
        from ..segmentation import METHODS

        settings, default = self.settings, next(method for method in METHODS.values() if not method.missing)
        return ServiceInfo(
            version=__version__,
            # The page offers what works here.
            operations=[name for name in OPERATIONS if name != "merge" or importlib.util.find_spec("cv2")],
            max_upload=settings.upload_limit,
            max_pixels=settings.max_pixels,
            max_json=max(operation.max_json for operation in OPERATIONS.values()),
            json_limits={operation.name: operation.max_json for operation in OPERATIONS.values()},
            queue=settings.queue,
            workers=len(self.pool.slots),
            timeout=settings.timeout or settings.preview_timeout,
            export_timeout=settings.timeout,
            lifetime=settings.lifetime,
            preview_lifetime=settings.preview_lifetime,
            proxy_side=settings.proxy_side,
            needs_token=settings.needs_token,
            methods=harmonize_methods(),
            fields=page_fields(COMPOSE),
            segment_methods=[
                SegmentMethod(
                    name="auto", about=f"the default: {default.summary}", detects_people=default.detects_people
                ),
                *(
                    SegmentMethod(name=name, about=method.summary, detects_people=method.detects_people)
                    for name, method in METHODS.items()
                    if not method.missing
                ),
            ],
        )

    async def open_session(self, request: Request, response: Response, user: User) -> None:
        """Sets a cookie, which images and events need, for a page whose request has the token."""
        secure = request.headers.get("origin", "").startswith("https://")
        name = self.keys.open(user)
        response.set_cookie(COOKIE, name, path="/", httponly=True, samesite="strict", secure=secure)

    async def close_session(self, request: Request, response: Response) -> None:
        """Ends the session of the cookie."""
        self.keys.close(session_of(request.scope["cookie"]))
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    async def upload(
        self,
        request: Request,
        response: Response,
        user: User,
        name: Annotated[Label | None, Query(description="A label for people; never a path.")] = None,
    ) -> PictureInfo:
        """Stores an image, the file itself as the body, and reads it."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith("multipart/"):
            raise Refusal(415, "media_type", "the body is a form, expected the file itself")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "media_type", "the body is compressed, expected the file itself")
        self.pool.check_room(user)
        self.store.make_room(user)
        for count, limit, whose in (
            (self._uploads.total(), self.settings.queue, ""),
            (self._uploads[user], self.settings.user_queue_limit, " of yours"),
        ):
            if count >= limit:
                raise Refusal(429, "busy", f"{count} images{whose} are being uploaded", self.pool.retry_after())
        self._uploads[user] += 1
        try:
            return await self._take(request, response, user, name)
        finally:
            self._uploads[user] -= 1

    async def _take(self, request: Request, response: Response, user: str, name: str | None) -> PictureInfo:
        id = PictureId(new_id())
        with self.store.incoming(id, user) as incoming:
            waiting = bytearray()
            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= 1 << 20:
                    await incoming.take(bytes(waiting))
                    waiting.clear()
            await incoming.take(bytes(waiting))
            label = None if name is None else excerpt(name)
            if not incoming.bytes:
                raise Refusal(422, "empty", f"{_file_of(label)} is empty, expected an image file")
            incoming.close()
            about = await self._opened(id, user, label)
            self.store.add(id, user, about, History((incoming.sha256,)), label)
        info = self.store.info(id)
        response.headers["Location"] = info.url.removeprefix("api/v1/")  # relative to the request
        return info

    async def _opened(self, id: PictureId, user: str, label: str | None) -> Mapping[str, Any]:
        """Reads an image in an internal job, which has its own time limit, and returns its record."""
        job = self.pool.submit(OPEN, OpenBody(picture=id), user, admitted=True, hidden=True)
        try:
            while not job.over:
                await job.wait(1.0)
        except BaseException:
            self.pool.cancel(job)
            raise
        if job.raw is None:
            raise _unreadable(job, id, label)
        return job.raw

    async def picture(self, id: Id, user: User) -> PictureInfo:
        """Returns the information about an image."""
        self.store.get(id, user)
        return self.store.info(id)

    async def remove_picture(self, id: Id, user: User) -> None:
        """Deletes an image."""
        self.store.get(id, user)
        self.store.remove(id)

    async def file(
        self,
        id: Id,
        user: User,
        name: Annotated[Label | None, Query(description="The name of the download.")] = None,
    ) -> FileResponse:
        """Returns the file of an image."""
        picture = self.store.get(id, user)
        suffix = _SUFFIXES.get(picture.format, picture.format.lower())
        file_name = _file_name(name or picture.name or "pyharmony", suffix)
        kind = _TYPES.get(picture.format, "application/octet-stream")
        return PictureResponse(self.store, picture, self.store.tree.picture(id), media_type=kind, filename=file_name)

    async def proxy(self, id: Id, user: User) -> FileResponse:
        """Returns an image as a small JPEG or PNG in sRGB, which is created if missing."""
        picture = self.store.get(id, user)
        path = self.store.tree.proxy(id)
        if not path.exists():
            if id not in self._opening:
                self.pool.check_room(user)
                self._opening[id] = asyncio.create_task(self._open(PictureId(id), user, picture.name))
            await asyncio.shield(self._opening[id])
        kind = _TYPES[proxy_format(picture.sizes.channels).upper()]
        return PictureResponse(self.store, picture, path, media_type=kind)

    async def _open(self, id: PictureId, user: str, label: str | None) -> None:
        try:
            await self._opened(id, user, label)
        finally:
            del self._opening[id]

    def _starts(self, operation: Operation) -> Callable[..., Any]:
        async def start(body: Body, response: Response, user: User, wait: Wait = 0.0) -> JobInfo:
            try:
                body.check()
                sizes = {str(id): self.store.get(id, user).sizes for id in body.pictures()}
                body.check_result(sizes, self.settings.max_pixels)
            except RunError as failure:
                status = 413 if failure.exit_code == Code.RESOURCES else 422
                raise Refusal(status, failure.kind, str(failure)) from None
            info = await self._state(self.pool.submit(operation, body, user), wait)
            response.headers["Location"] = info.url.removeprefix("api/v1/")  # relative to the request
            if info.finished is not None:
                response.status_code = 200
            return info

        # The type of the body depends on the operation.
        types = {"response": Response, "user": User, "wait": Wait, "return": JobInfo}
        start.__annotations__ = {"body": operation.body, **types}
        return start

    async def job(self, id: Id, user: User, wait: Wait = 0.0) -> JobInfo:
        """Returns the state of a job."""
        return await self._state(self.pool.get(id, user), wait)

    async def _state(self, job: Job, wait: float) -> JobInfo:
        await job.wait(wait)
        info = self.pool.info(job)
        self.pool.on_sent(job)
        return info

    async def cancel(self, id: Id, user: User) -> JobInfo:
        """Stops a job; a job that has ended is not changed."""
        job = self.pool.get(id, user)
        self.pool.cancel(job)
        await job.wait(5.0)
        return self.pool.info(job)

    async def recipe(self, id: Id, user: User) -> FileResponse:
        """Returns the recipe of a job of compose, which `pyharmony.compose` and its command accept too."""
        path = self.store.tree.recipe(self.pool.get(id, user).id)
        if not path.exists():
            raise Refusal(404, "no_recipe", "this job has no recipe")
        return FileResponse(path, media_type="application/json", filename="recipe.json")

    async def events(self, id: Id, user: User) -> StreamingResponse:
        """Sends every change of a job, as server-sent events named 'job' with the job as data, until it ends."""
        job = self.pool.get(id, user)

        async def stream() -> AsyncIterator[str]:
            yield "retry: 1000\n\n"
            # Phases may pass faster than they are sent: each is sent nevertheless.
            count = len(job.phases)
            while True:
                # A snapshot: while these are sent the job may continue, and end.
                changed, changes, over = job.changed, self.pool.changes(job, count), job.over
                count = len(job.phases)
                for one in changes:
                    yield f"event: job\ndata: {one.model_dump_json(exclude_none=True)}\n\n"
                if over:
                    self.pool.on_sent(job)
                    return
                while True:
                    try:
                        with job.counting_listener():
                            await asyncio.wait_for(changed.wait(), _HEARTBEAT)
                        break
                    except asyncio.TimeoutError:
                        yield ": still here\n\n"

        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


def _unreadable(job: Job, id: PictureId, label: str | None) -> Refusal:
    """Returns the refusal of a file that cannot be read. No client knows the id of a refused upload."""
    if job.status == "cancelled" or job.error is None:
        return Refusal(503, "stopping", "the service is stopping", 5)
    retry = FULL_RETRY if job.error.kind == "full" else None
    message = job.error.message.replace(f"file: {id}", _file_of(label))
    return Refusal(_UNREADABLE.get(job.error.kind, 422), job.error.kind, message, retry)


def _file_of(label: str | None) -> str:
    return f"file: {label}" if label else "the file"


def _file_name(name: str, suffix: str) -> str:
    """Returns a name to save a file under: without folders, with the suffix of its format."""
    last = name.replace("\\", "/").rpartition("/")[2].strip(". ")
    safe_name = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in last)
    stem = safe_name.rpartition(".")[0] or safe_name
    return f"{stem[:100] or 'pyharmony'}.{suffix}"


async def _on_refusal(request: Request, error: Any) -> Response:
    """Answers a request with a refusal of the service, or of a part of it such as the router."""
    if isinstance(error, Refusal):
        request.scope["refused"] = error.kind
        return error.answer()
    kind = {404: "not_found", 405: "method"}.get(error.status_code, "malformed")
    request.scope["refused"] = kind
    message = {404: "no such path; the API is under /api/v1", 405: "the method is not allowed for this path"}
    return refusal_response(error.status_code, kind, message.get(error.status_code, str(error.detail)), error.headers)


def _message_of(error: Any) -> str:
    """Returns the message of an invalid body or parameter."""
    *where, last = error["loc"]
    if error["type"] == "json_invalid":
        return f"the body is not JSON: {excerpt(error['ctx']['error'])}, at character {int(last) + 1}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch" and error["ctx"]["pattern"] == ID:
        message = f"no such image{' or job' if where == ['path'] else ''}, an id has 32 hexadecimal digits"
    return f"{'.'.join(excerpt(part) for part in error['loc'][1:]) or 'body'}: {excerpt(message)}"


async def _on_invalid(request: Request, error: Any) -> JSONResponse:
    """Answers a request with an invalid body or parameters; the message contains no values."""
    errors = error.errors()
    unread = any(one["type"] == "json_invalid" for one in errors)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    of_body = any(one["loc"][0] == "body" for one in errors)
    if request.method == "POST" and kind != "application/json" and of_body and not unread:
        request.scope["refused"] = "media_type"
        return refusal_response(415, "media_type", "expected a body of JSON, with Content-Type: application/json")
    messages = [_message_of(one) for one in errors[:MAX_ERRORS]]
    more = f"; and {len(errors) - MAX_ERRORS} more" if len(errors) > MAX_ERRORS else ""
    request.scope["refused"] = "malformed"
    return refusal_response(400 if unread else 422, "malformed", "; ".join(messages) + more)
