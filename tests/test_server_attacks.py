"""What attacks on the HTTP service ask for, and that it stays bounded: heads, bodies, answers, files, times."""

from __future__ import annotations

import contextlib
import http.cookies
import re
import socket
from collections.abc import Iterator

import pytest

pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pyharmony.server._guard import Guard, Keys, session_of
from pyharmony.server._run import MAX_HEAD
from tests.test_server import TOKEN, Running, kind_of, running

pytestmark = pytest.mark.house


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(max_upload=3_000_000, max_pixels=20_000_000) as one:
        yield one


# ---- heads ----


def test_a_cookie_is_split_and_never_unquoted(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    unquoted: list[int] = []
    before = http.cookies._unquote  # type: ignore[attr-defined]
    monkeypatch.setattr(http.cookies, "_unquote", lambda text: (unquoted.append(len(text)), before(text[:10]))[1])
    cookie = {"Cookie": 'pyharmony="' + r"\a" * 15_000 + '"'}
    with running(token=TOKEN) as shared:
        for one, status in ((service, 200), (shared, 401)):
            assert one.client.get("/api/v1/service", headers=cookie).status_code == status
            assert one.client.post("/api/v1/blend", json={}, headers=cookie).status_code == (422, 401)[one is shared]
            assert one.client.delete("/api/v1/session", headers=cookie).status_code == (204, 401)[one is shared]
    assert unquoted == []


def test_the_session_is_found_among_other_cookies() -> None:
    for cookie, name in (
        ("pyharmony=ab12", "ab12"), ("a=b; pyharmony=ab12; c=d", "ab12"), ("a=b;pyharmony=ab12", "ab12"),
        ("pyharmony", ""), ("", ""), ("a=pyharmony=ab12", ""), ("xpyharmony=ab12", ""), ('pyharmony="ab12"', '"ab12"'),
    ):  # fmt: skip
        assert session_of(cookie) == name, cookie
    keys = Keys(TOKEN)
    session = keys.open()
    assert keys.fit({"cookie": f"a=b; pyharmony={session}"})
    assert not keys.fit({"cookie": f"pyharmony={session[:-1]}"}) and not keys.fit({"cookie": ""})
    # Nothing that is looked up is the name itself, so that no look-up takes longer for a name that is nearly right.
    assert session not in repr(keys._sessions)
    keys.close(session)
    assert not keys.fit({"cookie": f"pyharmony={session}"})


def answers(service: Running, data: bytes) -> list[bytes]:
    """Sends bytes at once and returns the first lines of the answers."""
    port = int(service.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 60) as line:
        line.sendall(data)
        got = b""
        with contextlib.suppress(ConnectionError):
            while part := line.recv(1 << 16):
                got += part
    return re.findall(rb"HTTP/1\.1 \d{3}[^\r]*", got)


def test_a_head_has_its_limit_however_it_comes(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[int] = []
    check = Guard._check
    monkeypatch.setattr(
        Guard,
        "_check",
        lambda self, scope, exchange: (heads.append(len(scope["cookie"])), check(self, scope, exchange))[1],
    )

    def get(size: int, *headers: bytes) -> bytes:
        """Returns a request whose head has so many bytes, of which a header is the rest."""
        head = b"\r\n".join([b"GET /health HTTP/1.1", b"Host: localhost", *headers, b"Cookie: "])
        return head + b"x" * (size - len(head) - 4) + b"\r\n\r\n"

    close = b"Connection: close"
    assert answers(service, get(MAX_HEAD, close)) == [b"HTTP/1.1 200 OK"]
    for size in (MAX_HEAD + 1, 64_000, 124_000):
        (first,) = answers(service, get(size))
        assert first.startswith(b"HTTP/1.1 431 "), (size, first)
    # Nor does one behind another request.
    first, second = answers(service, get(200) + get(MAX_HEAD + 1))
    assert first == b"HTTP/1.1 200 OK" and second.startswith(b"HTTP/1.1 431 ")
    # A body is no head, though it comes with it.
    body = b"POST /api/v1/blend HTTP/1.1\r\nHost: localhost\r\nX-Pyharmony: 1\r\nConnection: close\r\n"
    body += b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n" + b" " * 60_000
    (first,) = answers(service, body)
    assert first.startswith(b"HTTP/1.1 400 ")
    # What was refused came to no layer behind the parser.
    assert len(heads) == 3 and max(heads) < MAX_HEAD


def test_a_host_is_a_name_and_a_port(service: Running) -> None:
    for host in ("localhost", "localhost:", "localhost:80", "LocalHost.", "127.0.0.1:8787", "[::1]", "[::1]:80"):
        assert service.client.get("/health", headers={"Host": host}).status_code == 200, host
    for host in (
        "localhost:evil.example", "localhost:80:80", "localhost:evil.example:80", "127.0.0.1:x", "[::1]evil.example",
        "[::1]:x", "[::1", "::1", "localhost@evil.example", "localhost/evil.example", "localhost:123456",
    ):  # fmt: skip
        answer = service.client.get("/health", headers={"Host": host})
        assert answer.status_code == 421 and kind_of(answer) == "host", host
