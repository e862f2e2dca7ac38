"""The outermost layer: checks of names, origins, tokens, sizes and times; headers, metrics and the log.

It is written on ASGI itself, so that no response bypasses it and bodies are counted as they arrive.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._answers import Refusal
from ._metrics import Metrics
from ._tree import new_id
from .settings import Settings

_log = logging.getLogger("pyharmony.serve")

#: The header of requests that change something: forms and pages of other sites cannot set it.
CSRF_HEADER = "x-pyharmony"
COOKIE = "pyharmony"
UPLOADS = "/api/v1/pictures"
#: The lowest rate of a sender in bytes per second, after the pause that is allowed.
MIN_BYTES_PER_SECOND = 16_000
#: After a refusal the rest of the body is read and discarded, within these limits, so that the client gets the answer.
_LINGER_BYTES = 64_000_000  # bytes
_LINGER_SECONDS = 2.0  # seconds
SESSION = 12 * 3600.0  # the lifetime of a session of the page, in seconds
MAX_SESSIONS = 1000  # the largest number of sessions of the page
_SAFE_HTTP_METHODS = ("GET", "HEAD")

_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


#: The status, in metrics and the log, of a request whose client disconnected before the response.
CLIENT_LEFT = 499
UNEXPECTED = Refusal(500, "unexpected", "unexpected error; the log of the service has details")


class Keys:
    """The tokens of users, and the sessions of pages that were opened with them.

    Args:
        tokens: the token of each user by name; empty: no token is needed, and all requests are of one user.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {name: _digest(token) for name, token in tokens.items()}
        #: The end and the user of each session, by the digest of its name: the time of a look-up reveals nothing of it.
        self._sessions: dict[bytes, tuple[float, str]] = {}

    def open(self, user: str) -> str:
        """Opens a session of a user, and returns its name; of too many, the oldest of the user with most is closed."""
        now = time.monotonic()
        self._sessions = {name: session for name, session in self._sessions.items() if session[0] > now}
        while len(self._sessions) >= MAX_SESSIONS:
            (most, _), *_ = Counter(owner for _, owner in self._sessions.values()).most_common(1)
            del self._sessions[next(name for name, (_, owner) in self._sessions.items() if owner == most)]
        name = new_id()
        self._sessions[_digest(name)] = (now + SESSION, user)
        return name

    def close(self, name: str) -> None:
        self._sessions.pop(_digest(name), None)

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """Returns the user of a request, by its token or the cookie of its session; None: it has neither."""
        if not self._tokens:
            return ""
        kind, _, value = headers.get("authorization", "").partition(" ")
        user = None
        if kind.lower() == "bearer":
            digest = _digest(value.strip())
            for name, token in self._tokens.items():  # all of them: the time does not reveal whose it is
                if hmac.compare_digest(digest, token):
                    user = name
        if user is None:
            end, owner = self._sessions.get(_digest(session_of(headers.get("cookie", ""))), (0.0, ""))
            user = owner if end > time.monotonic() else None
        return user


def session_of(cookie: str) -> str:
    """Returns the name of the session in a Cookie header; empty: there is none.

    The names of sessions are hexadecimal digits, so no unquoting is needed: in `http.cookies` it takes quadratic time
    before Python 3.11.10 and 3.12.6.
    """
    for pair in cookie.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class Guard:
    """The outermost layer of the service."""

    def __init__(
        self, app: ASGIApp, settings: Settings, metrics: Metrics, keys: Keys, limits: Mapping[str, int], limit: int
    ) -> None:
        self.app, self.settings, self.metrics, self.keys = app, settings, metrics, keys
        #: The largest body that is not an upload, in bytes, by path, and for other paths.
        self.limits, self.limit = limits, limit
        self.stopping = False
        own = settings.host.strip("[]").lower()
        self._proxies = {name.lower() for name in settings.hosts}  # they may replace the Host header
        names = {"localhost", "127.0.0.1", "::1", own, *self._proxies}
        # With a token and no names, the token shows that a request is meant for this service.
        self._names = None if settings.needs_token and not settings.hosts else names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        # Cookies are read by `session_of` only; FastAPI would parse them all for each request.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
        scope["cookie"] = exchange.headers.get("cookie", "")
        try:
            await self._answer(scope, exchange)
        except (_ClientLeft, ClientDisconnect) as gone:
            exchange.note = str(gone)
            exchange.status = exchange.status or CLIENT_LEFT
        except Exception:
            _log.exception("a request failed in an unexpected way", extra={"fields": exchange.log_fields()})
            if exchange.status is None:
                await UNEXPECTED.answer()(scope, exchange.receive, exchange.send)
        finally:
            exchange.finish()

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            self._check(scope, exchange)
            await self.app(scope, exchange.receive, exchange.send)
        except Refusal as refusal:
            if exchange.status is not None:
                raise
            scope["refused"] = refusal.kind
            await refusal.answer()(scope, exchange.receive, exchange.send)

    def _check(self, scope: Scope, exchange: _Exchange) -> None:
        headers, path, method = exchange.headers, scope["path"], scope["method"]
        host = headers.get("host", "")
        if self._names is not None and _name_of(host) not in self._names:
            raise Refusal(421, "host", "requests to this host name are not allowed by this service")
        origin = headers.get("origin")
        if origin is not None and (own := _place_of(origin)) != host.lower() and _name_of(own) not in self._proxies:
            raise Refusal(403, "origin", "requests from pages of other origins are not allowed")
        if path.startswith("/api/") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refusal(403, "origin", "requests from pages of other origins are not allowed")
        if path.startswith("/api/") or path == "/metrics":
            user = self.keys.user_of(headers)
            if user is None:
                raise Refusal(401, "token", "the token is missing or wrong", headers={"WWW-Authenticate": "Bearer"})
            scope["user"] = user
        if method not in _SAFE_HTTP_METHODS and CSRF_HEADER not in headers:
            raise Refusal(403, "csrf", "requests that change something need the header X-Pyharmony: 1")
        if method not in _SAFE_HTTP_METHODS and self.stopping:
            raise Refusal(503, "stopping", "the service is stopping", 5)
        if exchange.announced is not None and exchange.announced > exchange.limit:
            raise exchange.too_large()


def _name_of(host: str) -> str:
    """Returns the name in a Host header, without its port; empty if it is not a name or address with a port."""
    parts = _HOST.fullmatch(host.lower())
    return "" if parts is None else (parts["address"] or parts["name"].removesuffix("."))


def _place_of(origin: str) -> str:
    """Returns the name and port of an origin, in the form of a Host header; empty if it is not an origin of the web."""
    scheme, separator, place = origin.lower().partition("://")
    return place if scheme in ("http", "https") and separator and _HOST.fullmatch(place) else ""


#: A Host header: a name, or an IPv6 address in brackets, and a port.
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-z:.%_-]+)\]|(?P<name>[a-z0-9_.-]+))(?::\d{0,5})?", re.ASCII)


class _ClientLeft(Exception):
    """An error that reports that the client disconnected, or does not read the response."""


class _Exchange:
    """One request and its response."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard, self._scope, self._receive, self._send = guard, scope, receive, send
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"].rstrip("/")
        self.upload = path == UPLOADS and scope["method"] == "POST"
        self.limit = guard.settings.upload_limit if self.upload else guard.limits.get(path, guard.limit)
        length = self.headers.get("content-length", "")
        self.announced = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
        self.has_body = "transfer-encoding" in self.headers or length not in ("", "0")
        self.began = time.monotonic()
        self.came = self.went = 0
        self.whole = not self.has_body
        self.status: int | None = None
        self.lingers = False
        self.note = ""

    def too_large(self) -> Refusal:
        """Returns the refusal of a body that is too large."""
        return Refusal(413, "too_large", f"the body is larger than {self.limit:,} bytes")

    async def receive(self) -> Message:
        """Receives a message, within the limits of sizes (else Refusal 413) and times (408)."""
        if self.whole:
            return await self._receive()
        patience = self._guard.settings.patience
        end = self.began + patience + self.came / MIN_BYTES_PER_SECOND
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, min(patience, end - time.monotonic())))
        except asyncio.TimeoutError:
            raise Refusal(408, "slow", f"the body arrived too slowly, or paused for {patience:g} s") from None
        if message["type"] == "http.request":
            self.came += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
            if self.came > self.limit:
                raise self.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Sends a message, with the headers of every response; disconnects a client that does not read it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            # The rest of the body would be read as the next request, or end the connection too soon.
            unread = not self.whole
            self.lingers = unread and self.status != 408
            own = {name for name, _ in message["headers"]}
            headers = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in own)]
            if b"cache-control" not in own:
                headers.append((b"cache-control", b"no-store"))
            if unread:
                headers.append((b"connection", b"close"))
            await self._send_in_time({**message, "headers": headers})
            return
        self.went += len(message.get("body", b""))
        if self.lingers and not message.get("more_body", False):
            await self._send_in_time({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send_in_time(message)

    async def _send_in_time(self, message: Message) -> None:
        try:
            await asyncio.wait_for(self._send(message), self._guard.settings.patience)
        except asyncio.TimeoutError:
            raise _ClientLeft("the client does not read") from None

    async def _linger(self) -> None:
        """Reads and discards the rest of a body, so that the response reaches a client that is still sending."""
        end, came = time.monotonic() + _LINGER_SECONDS, 0
        while came < _LINGER_BYTES and (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except asyncio.TimeoutError:
                return
            came += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body", False):
                return

    def log_fields(self) -> dict[str, Any]:
        client = self._scope.get("client")
        path = self._scope.get("raw_path") or self._scope["path"].encode()
        return {
            "method": self._scope["method"],
            "path": path.decode("latin-1")[:200],
            "status": self.status,
            "ms": round((time.monotonic() - self.began) * 1e3, 1),
            "received": self.came,
            "sent": self.went,
            "client": client[0] if client else None,
            **({"user": user} if (user := self._scope.get("user")) else {}),
            **({"refused": kind} if (kind := self._scope.get("refused")) else {}),
            **({"note": note} if (note := self.note or "the client left" * (self.status == CLIENT_LEFT)) else {}),
        }

    def finish(self) -> None:
        """Counts and logs the request."""
        fields = self.log_fields()
        route = getattr(self._scope.get("route"), "path", "other")
        method = fields["method"] if fields["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"
        metrics = self._guard.metrics
        metrics.requests.labels(method, route, str(self.status or "none")).inc()
        metrics.request_seconds.labels(route).observe(fields["ms"] / 1e3)
        if (kind := self._scope.get("refused")) is not None:
            metrics.refusals.labels(kind).inc()
        if self.upload:
            metrics.uploaded.inc(self.came)
        level = logging.DEBUG if route in ("/health", "/metrics") else logging.INFO
        line = "%s %s %s %.1f ms%s"
        user = f" {fields['user']}" if "user" in fields else ""
        _log.log(
            level, line, fields["method"], fields["path"], fields["status"], fields["ms"], user,
            extra={"fields": fields},
        )  # fmt: skip
