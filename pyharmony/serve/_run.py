"""Runs the service on uvicorn: limits on slow and on too many connections, and the shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import re
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._answers import refusal_response
from ._api import Service
from ._tree import run_folder
from .settings import Settings

_log = logging.getLogger("pyharmony.serve")

#: The largest size of the first line and the headers of a request, in bytes.
MAX_HEAD = 32_768
#: The end of the headers.
_END_OF_HEAD = re.compile(rb"\n\r?\n")
#: A host with a space or a tab behind it, which h11 removes and another server may not.
_PADDED_HOST = re.compile(rb"^host:[^\r\n]*[ \t]\r?\n", re.IGNORECASE | re.MULTILINE)
#: The seconds that a connection may be idle between requests.
_IDLE = 20
#: The seconds that responses have to end after the jobs have.
_SHUTDOWN_SECONDS = 3


class _Connection(h11.Connection):
    """The state of a connection, with a limit on the size of the head.

    h11 itself limits incomplete heads only: a larger one passes if it arrives in one piece.
    """

    head_is_too_large = False

    def next_event(self) -> Any:
        """Returns the next event, as h11 does; RemoteProtocolError also if the head is too large."""
        if self.their_state is h11.IDLE:
            waiting = self.trailing_data[0]
            end = _END_OF_HEAD.search(waiting, 0, MAX_HEAD)
            if len(waiting) > MAX_HEAD and not end:
                self.head_is_too_large = True
                raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)
            if end and _PADDED_HOST.search(waiting, 0, end.start() + 1):
                raise h11.RemoteProtocolError("the host is followed by a space or a tab", error_status_hint=400)
        return super().next_event()


def protocol_of(settings: Settings) -> type[H11Protocol]:
    """Returns uvicorn's protocol with limits on the number of connections, and on the time to send a head."""

    class Protocol(H11Protocol):
        """A connection; a timer runs until the head of its request is complete."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.conn = _Connection(h11.SERVER, MAX_HEAD)
            self.access_log = False  # the guard writes one
            # asyncio does so for sockets that it opened itself; without it every response waits 40 ms for the client.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(self.connections) > settings.connections:
                self._send_refusal(429, "busy", "too many connections")
                return
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _watch(self) -> None:
            waits = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
            if not waits:
                self._stop_timer()
            elif self._timer is None:
                self._timer = self.loop.call_later(settings.patience, self._too_slow)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _too_slow(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                if self.conn.trailing_data[0]:
                    self._send_refusal(408, "slow", "the request arrived too slowly")
                else:
                    self.transport.close()

        def send_400_response(self, msg: str) -> None:
            """Answers input that is not HTTP, unless a response has begun."""
            if isinstance(self.conn, _Connection) and self.conn.head_is_too_large:
                self._send_refusal(431, "head_too_large", f"the headers are larger than {MAX_HEAD:,} bytes")
            elif self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._send_refusal(400, "malformed", "not an HTTP request")
            else:
                self.transport.close()

        def _send_refusal(self, status: int, kind: str, message: str) -> None:
            """Sends a response before there is a request, and closes the connection."""
            answer = refusal_response(status, kind, message, {"Retry-After": "1"} if status == 429 else None)
            head = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}", "connection: close"]
            head += [f"{name.decode()}: {value.decode()}" for name, value in answer.raw_headers]
            self.transport.write("\r\n".join([*head, "", ""]).encode() + bytes(answer.body))
            self.transport.close()

    return Protocol


class Server(uvicorn.Server):
    """The server of a service; after `stop`, it answers until the jobs have ended or were cancelled."""

    def __init__(self, config: uvicorn.Config, service: Service, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self.service, self._on_start = service, on_start
        self.loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Stores the loop, for signals, and reports that requests are answered."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._on_start()
            self.service.pool.log_confinement()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops at the first signal, at once at the second."""
        self.stop()

    def stop(self) -> None:
        """Stops the server; may be called from any thread. A second call does not wait for jobs."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._stop)
        else:
            self.should_exit = True

    def _stop(self) -> None:
        if self._stopping is None and self.started:
            _log.info("stopping: %d jobs wait or run", len(self.service.pool.queue) + len(self.service.pool.running))
            self._stopping = asyncio.create_task(self._wait_for_jobs())
        else:
            self.should_exit = self.force_exit = True

    async def _wait_for_jobs(self) -> None:
        await self.service.stop()
        self.should_exit = True


@contextlib.contextmanager
def serving(settings: Settings, on_start: Callable[[str], None]) -> Iterator[tuple[Server, socket.socket]]:
    """Yields a server that is ready to run, and its socket; they and its folder are removed afterwards."""
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, settings.port), family=family, backlog=1024)
    with listener, run_folder() as tree, _quiet_uvicorn():
        service = Service(settings, tree)
        config = uvicorn.Config(
            service.guard, http=protocol_of(settings), ws="none", loop="asyncio", lifespan="on", log_config=None,
            access_log=False, proxy_headers=False, server_header=False, timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS, h11_max_incomplete_event_size=MAX_HEAD,
        )  # fmt: skip
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        yield Server(config, service, lambda: on_start(address)), listener


def run(settings: Settings, on_start: Callable[[str], None]) -> None:
    """Runs the service until it is stopped; see `pyharmony.serve.serve`."""
    with serving(settings, on_start) as (server, listener):
        try:
            server.run(sockets=[listener])
        except SystemExit:  # uvicorn ends the process if the start fails; older ones return
            raise RuntimeError(server.service.failure or "the service does not start") from None
        if server.service.failure and not server.started:
            raise RuntimeError(server.service.failure)


class _UvicornHandler(logging.Handler):
    """A handler that passes uvicorn's log on to the service's, at the level of details."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.debug("uvicorn: %s", self.format(record))


@contextlib.contextmanager
def _quiet_uvicorn() -> Iterator[None]:
    logger: Any = logging.getLogger("uvicorn")
    handler, before = _UvicornHandler(), (logger.propagate, logger.level)
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate, level = before
        logger.setLevel(level)
