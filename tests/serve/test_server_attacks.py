"""What attacks on the HTTP service ask for, and that it stays bounded: heads, bodies, answers, files, times."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import http.cookies
import itertools
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import need

need("httpx", "fastapi", "uvicorn")

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from pyharmony.errors import RunError
from pyharmony.runs._jobs.failures import causes
from pyharmony.serve import _pool, _tree
from pyharmony.serve._bodies import MAX_LINE, MAX_POINTS
from pyharmony.serve._guard import Guard, Keys, session_of
from pyharmony.serve._operations import MAX_JSON, MAX_JSON_OF_POINTS
from pyharmony.serve._run import MAX_HEAD
from pyharmony.serve._text import MAX_ANSWER, MAX_MESSAGE
from tests.serve.test_server import ROOT, TOKEN, Running, clear, file_of, having, kind_of, placed, running, scene, until

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
    assert service.client.get("/api/v1/service", headers=cookie).status_code == 200
    assert service.client.post("/api/v1/blend", json={}, headers=cookie).status_code == 422
    assert service.client.delete("/api/v1/session", headers=cookie).status_code == 204
    assert Keys({"ann": TOKEN}).user_of({"cookie": cookie["Cookie"]}) is None
    assert unquoted == []


def test_the_session_is_found_among_other_cookies() -> None:
    for cookie, name in (
        ("pyharmony=ab12", "ab12"), ("a=b; pyharmony=ab12; c=d", "ab12"), ("a=b;pyharmony=ab12", "ab12"),
        ("pyharmony", ""), ("", ""), ("a=pyharmony=ab12", ""), ("xpyharmony=ab12", ""), ('pyharmony="ab12"', '"ab12"'),
    ):  # fmt: skip
        assert session_of(cookie) == name, cookie
    keys = Keys({"ann": TOKEN, "bob": TOKEN[::-1]})
    session = keys.open("bob")
    assert keys.user_of({"cookie": f"a=b; pyharmony={session}"}) == "bob"
    assert keys.user_of({"cookie": f"pyharmony={session[:-1]}"}) is keys.user_of({"cookie": ""}) is None
    # A token says more than a cookie that a browser sends by itself.
    assert keys.user_of({"authorization": f"Bearer {TOKEN}", "cookie": f"pyharmony={session}"}) == "ann"
    # Nothing that is looked up is the name itself, so that no look-up takes longer for a name that is nearly right.
    assert session not in repr(keys._sessions)
    keys.close(session)
    assert keys.user_of({"cookie": f"pyharmony={session}"}) is None


def test_nobody_closes_the_sessions_of_others_by_opening_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyharmony.serve._guard.MAX_SESSIONS", 5)
    keys = Keys({"ann": TOKEN, "bob": TOKEN[::-1]})
    first = keys.open("ann")
    sessions = [keys.open("bob") for _ in range(20)]
    users = [keys.user_of({"cookie": f"pyharmony={session}"}) for session in (first, *sessions)]
    assert users == ["ann", *[None] * 16, *["bob"] * 4]


def answers(service: Running, data: bytes) -> list[bytes]:
    """Sends bytes at once and returns the first lines of the answers."""
    port = int(service.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 60) as line:
        line.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := line.recv(1 << 16):
                received += part
    return re.findall(rb"HTTP/1\.1 \d{3}[^\r]*", received)


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


# ---- bodies ----

ID = "0" * 32
JSON = {"content-type": "application/json"}


def bodies() -> Iterator[tuple[str, int, Any]]:
    """Yields operations, the status that a body is refused by, and bodies that ask for too much or are wrong often."""
    wrong = {"kind": "scribble", "line": [1] * 9_990}
    point = [100.25, 200.5]
    yield "segment", 413, {"picture": ID, "steps": [wrong] * 199}
    yield "segment", 422, {"picture": ID, "steps": [{"kind": "scribble", "line": [point] * 7_000}] * 3}
    yield "segment", 422, {"picture": ID, "steps": [{"kind": "click", "x": "a", "y": "b", "z": 1}] * 200}
    yield "segment", 422, {"picture": ID, "steps": [{"kind": "click", **{f"a{i}": i for i in range(9_000)}}]}
    yield "paint", 413, {"picture": ID, "strokes": [{"line": [point] * 9_990, "width": 1}] * 100}
    yield "paint", 422, {"picture": ID, "strokes": [{"line": [point] * 120, "width": 1}] * 199}
    yield "compose", 413, {"subjects": [{"picture": ID, "behind": [1] * 1_300_000}], "background": ID}
    yield "compose", 422, {"subjects": [{"picture": ID, "behind": ["a"] * 49_000}], "background": ID}
    yield "compose", 422, {"subjects": [{"picture": ID, "behind": [1] * 51}], "background": ID}
    yield "compose", 422, {"subjects": [{"picture": "x", "points": [1] * 100, "behind": 1, "box": []}] * 8}
    yield "compose", 422, {"people": ["x"] * 40_000}
    yield "compose", 422, {f"a{i}": i for i in range(49_000)}
    yield "layers", 413, {f"a{i}": i for i in range(49_000)}
    yield "layers", 422, {"front": ["a"] * 20_000}
    yield "merge", 422, {"photos": ["x"] * 20_000, "people": [1] * 20_000}
    yield "place", 422, {"heads": [[1]] * 20_000, "people": [1] * 20_000}
    yield "export", 422, {"sources": ["x"] * 30_000}


def test_what_is_wrong_with_a_body_is_told_in_a_few_errors(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[int] = []
    normalised = RequestValidationError.errors

    def counted(self: RequestValidationError) -> Any:
        details = normalised(self)
        errors.append(len(details))
        return details

    monkeypatch.setattr(RequestValidationError, "errors", counted)
    parsed: list[int] = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text, **kw: (parsed.append(len(text)), loads(text, **kw))[1])
    for name, status, body in bodies():
        text = json.dumps(body, separators=(",", ":"))
        answer = service.client.post(f"/api/v1/{name}", content=text, headers=JSON)
        assert answer.status_code == status, (name, text[:80], answer.text)
        assert len(answer.text) < 3000 and "Value error" not in answer.text
    assert max(errors) < 40  # some of them have as many fields
    # What holds more values than any body was not parsed: the values of a list or object are counted by their commas.
    assert max(parsed) < MAX_JSON_OF_POINTS


def test_bodies_at_their_limits_are_taken(service: Running) -> None:
    points = [[index % 37 + 0.125, index % 29 + 0.25] for index in range(MAX_LINE)]
    picture = service.upload(scene()["mask"])["id"]
    strokes = [{"line": points, "width": 2.5}] * (MAX_POINTS // MAX_LINE)
    result = service.done("paint", picture=picture, strokes=strokes)
    assert service.pixels(result["mask"]).max() == 255
    answer = service.start("paint", picture=picture, strokes=[*strokes, {"line": points[:1], "width": 2.5}])
    assert answer.status_code == 422 and f"expected at most {MAX_POINTS}" in answer.text
    limits = service.client.get("/api/v1/service").json()["json_limits"]
    for limit, name in {limit: name for name, limit in limits.items()}.items():
        answer = service.client.post(f"/api/v1/{name}", content=b" " * limit, headers=JSON)
        assert answer.status_code == 400, name
        answer = service.client.post(f"/api/v1/{name}", content=b" " * (limit + 1), headers=JSON)
        assert answer.status_code == 413 and kind_of(answer) == "too_large", name
    assert limits["live"] == MAX_JSON < limits["paint"] == MAX_JSON_OF_POINTS < limits["compose"]


def test_recipes_that_are_none_are_refused(service: Running) -> None:
    picture = service.upload(scene()["dst"])["id"]
    body = {"subjects": [{"picture": picture}], "background": picture}
    long = "x" * 3_900_000
    for recipe in (
        {"subjects": 5}, {"subjects": "abc"}, {"subjects": {"a": 1}}, {"subjects": None}, {"subjects": True},
        {"subjects": [{"harmonize": 5}]}, {"subjects": [{"harmonize": []}]},
        {"subjects": [{"harmonize": {"method": {}}}]},
        {"subjects": [{"harmonize": long}]}, {"subjects": [{"harmonize": {"method": long}}]}, {"subjects": long},
        {"subjects": [{"harmonize": {"method": [long]}}]},
    ):  # fmt: skip
        answer = service.start("compose", **body, recipe=recipe)
        assert answer.status_code == 422 and kind_of(answer) == "usage", answer.text[:300]
        assert len(answer.text) < 1000
    for recipe in (
        {}, {"subjects": []}, {"subjects": [5]}, {"subjects": [[]]}, {"schema": long}, {"schema": "pyharmony.recipe/1"},
        {"schema": "pyharmony.recipe/1", long: 1}, {"schema": "pyharmony.recipe/1", "size": long},
    ):  # fmt: skip
        record = service.start("compose", 60, **body, recipe=recipe).json()
        assert record["status"] == "failed" and record["error"]["kind"] == "ArgumentError", str(record)[:300]
        assert len(record["error"]["message"]) <= MAX_MESSAGE + 1


# ---- live ----


def test_what_is_dragged_beyond_an_edge_is_not_seen(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    high, wide = images["background"].shape[:2]
    look = {"harmonize": None, "grain": 0, "sharpness": 0, "shadow": False}
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [110, 40]}
    layers = service.done("layers", subject=subject, background=ids["background"], **look)["layers"]
    pictures = {one["name"]: one["picture"] for one in layers}
    shapes = {"layers": (pictures["plain"]["width"], pictures["plain"]["height"]), "source": images["mask"].shape[::-1]}
    bodies = {
        "layers": {"plain": pictures["plain"]["id"], "matched": pictures["matched"]["id"]},
        "source": {"source": ids["subject"], "mask": ids["mask"]},
    }
    for kind, fields in bodies.items():
        own_wide, own_high = shapes[kind]
        for i, mode in enumerate(("alpha", "poisson", "gaussian-poisson")):
            for j, beyond in enumerate((0, 1, 3, 7, 8, 31, 33, 500)):
                # Every distance beyond an edge with every blend, and both with every edge.
                places = (wide + beyond, 30), (-own_wide - beyond, 30), (80, high + beyond), (80, -own_high - beyond)
                at = places[(i + j) % 4]
                result = service.done("live", background=ids["background"], **fields, at=at, mode=mode)
                assert result["info"] == {"box": [0, 0, 0, 0], "url": ""}, (kind, mode, at)


def test_a_tip_is_at_the_same_place_while_it_is_dragged_and_in_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyharmony.serve import _live
    from pyharmony.serve._bodies import LayersBody
    from pyharmony.serve._desk import Desk, Memory
    from pyharmony.serve._operations import OPERATIONS
    from pyharmony.serve._tree import Sizes, Tree

    tree, sizes = Tree(tmp_path), dict[str, Sizes]()
    for name in ("pictures", "proxies", "jobs"):
        (tmp_path / name).mkdir()
    tree.of_job("f" * 32).mkdir()
    images = placed()
    ids = {name: f"{i:032x}" for i, name in enumerate(images)}
    for name, image in images.items():
        large = np.repeat(np.repeat(image, 8, 0), 8, 1)
        tree.picture(ids[name]).write_bytes(file_of(large))
        sizes[ids[name]] = Sizes(large.shape[1], large.shape[0], 1 if image.ndim == 2 else 3, 1600)
    shadows: list[Any] = []
    compose = _live.compose
    monkeypatch.setattr(
        _live, "compose", lambda *of, **options: (shadows.append(options.get("shadow")), compose(*of, **options))[1]
    )

    # In the middle of a pixel of the reduced background, whose pixels are 8 of the photograph along each side.
    tip, horizon = [8 * 250 + 3.5, 8 * 150 + 3.5], 8 * 20 + 3.5
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [880, 320]}
    body = {"subject": subject, "background": ids["background"], "side": 300, "harmonize": None}
    desk = Desk(tree, Memory(10_000_000, 1600), "f" * 32, sizes, lambda *_: None)
    OPERATIONS["layers"].run(LayersBody(**body, shadow={"tip": tip, "horizon": horizon, "softness": 2}), desk)
    assert shadows == [None, {"tip": [250.0, 150.0], "horizon": 20.0, "softness": 2}]
    for wrong in ({"tip": "abc"}, {"tip": [1, [2]]}, {"horizon": {"a": 1}}, {"wall": "abc"}, {"contact": [[1], 2]}):
        with pytest.raises(ValidationError):
            LayersBody(**body, shadow=wrong)


# ---- clients that leave ----


def test_a_client_that_leaves_is_no_error(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    port = int(service.address.rpartition(":")[2])

    def statuses() -> set[str]:
        samples = next(iter(service.service.metrics.requests.collect())).samples
        return {sample.labels["status"] for sample in samples}

    for path, kind in (("pictures", "image/png"), ("blend", "application/json")):
        with socket.create_connection(("127.0.0.1", port), 60) as line:
            head = f"POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nX-Pyharmony: 1\r\nContent-Type: {kind}\r\n"
            line.sendall(head.encode() + b"Content-Length: 5000\r\n\r\n" + b"x" * 100)

        def left(path: str = path) -> bool:
            text = service.client.get("/metrics").text
            return f'route="/api/v1/{path}",status="499"' in text

        until(left)
    assert "500" not in statuses() and "none" not in statuses()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# ---- the folder of a run ----


def test_services_that_start_at_once_leave_each_other_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_file, removed = os.open, list[str]()

    def others(path: Any, *of: Any) -> int:
        """Lets another service start after the lock was made, and before it is held."""
        descriptor = open_file(path, *of)
        if not removed and str(path).endswith("lock"):
            before = set(os.listdir(tmp_path))
            monkeypatch.setattr(os, "open", open_file)
            _tree._sweep(tmp_path)
            removed.extend(before - set(os.listdir(tmp_path)))
        return descriptor

    monkeypatch.setattr(os, "open", others)
    with _tree.run_folder() as tree:
        assert len(removed) == 1  # the first one was swept away, and is not what the service runs in
        assert os.listdir(tmp_path) == [tree.folder.name]
        _tree._sweep(tmp_path)
        assert {"pictures", "proxies", "recipes", "jobs", "lock"} == set(os.listdir(tree.folder))
    assert os.listdir(tmp_path) == []


def on_disk(service: Running) -> int:
    return sum(path.stat().st_size for path in service.folder.glob("[prx]*/*"))


def test_all_files_are_counted_and_go_with_their_image(service: Running) -> None:
    clear(service)
    store, images = service.service.store, placed()
    ids = service.ids(**images)
    assert store.total_bytes == on_disk(service) > sum(picture.bytes for picture in store.pictures.values())
    body = {"subjects": [{"picture": ids["subject"], "mask": ids["mask"], "at": [110, 40]}]}
    look = {"background": ids["background"], "harmonize": None, "shadow": False}
    jobs = [service.start("compose", 60, **body, **look).json() for _ in range(2)]
    pictures = [job["result"]["picture"] for job in jobs]
    assert service.client.get(jobs[0]["result"]["recipe_url"]).status_code == 200
    service.bytes(pictures[0], "proxy_url")  # made now
    service.done("export", picture=pictures[1]["id"], format="png", preview=True)  # makes one too
    assert (
        store.total_bytes == on_disk(service) and len(os.listdir(service.folder / "recipes")) == len(store.recipes) == 2
    )
    assert service.client.delete(pictures[0]["url"]).status_code == 204
    assert kind_of(service.client.get(jobs[0]["result"]["recipe_url"])) == "no_recipe"
    assert service.client.get(jobs[0]["url"]).status_code == 200
    assert os.listdir(service.folder / "recipes") == [f"{jobs[1]['id']}.json"]
    assert store.total_bytes == on_disk(service)
    clear(service)
    assert store.total_bytes == on_disk(service) == 0 and store.recipes == {}


def test_nobody_else_may_read_a_file(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [110, 40]}
    job = service.start("compose", 60, subjects=[subject], background=ids["background"], harmonize=None, layers=True)
    assert job.json()["status"] == "done"
    paths = [service.folder, *service.folder.rglob("*")]
    assert len([path for path in paths if path.is_file()]) > 8
    assert [path for path in paths if path.stat().st_mode & 0o077] == []


def test_a_full_disk_is_told_as_such(service: Running) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    picture, pid = service.upload(noise)["id"], service.pid()
    mask = service.upload(np.full((300, 300), 255, np.uint8))["id"]
    subject = {"picture": picture, "mask": mask, "at": [0, 0]}
    bodies: list[tuple[str, Any]] = [
        ("export", {"picture": picture, "format": "png"}),
        ("export", {"picture": picture, "format": "tiff"}),
        ("edit", {"image": picture, "mask": mask, "mode": "detail-boost"}),
        ("compose", {"subjects": [subject], "background": picture, "harmonize": None, "layers": True}),
        ("layers", {"subject": subject, "background": picture, "harmonize": None}),
    ]
    # A file that grows beyond its limit fails as one does on a disk that is full, for this process alone.
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
    try:
        for name, body in bodies:
            answer = service.start(name, 60, **body).json()
            assert answer["status"] == "failed" and answer["error"]["kind"] == "full", answer
            assert "disk" in answer["error"]["message"] and answer["error"]["exit_code"] == 4
        refusal = service.client.post("/api/v1/pictures", content=file_of(noise))
        assert refusal.status_code == 429 and kind_of(refusal) == "full" and refusal.headers["retry-after"] == "60"
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert os.listdir(service.folder / "jobs") == [] and service.service.store.total_bytes == on_disk(service)
    assert service.pid() == pid and service.done("export", picture=picture, format="png")["picture"]["width"] == 300


@pytest.mark.parametrize(("folder", "count"), [("pictures", 1), ("recipes", 0)])
def test_no_image_stays_of_a_job_for_whose_others_the_disk_is_full(
    service: Running, monkeypatch: pytest.MonkeyPatch, folder: str, count: int
) -> None:
    images = placed()
    ids = service.ids(**images)
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [110, 40]}
    before, rename, there = set(service.service.store.pictures), os.rename, []

    def fail(source: Path, target: Path) -> None:
        if target.parent.name == folder:
            there.append(target)
            if len(there) > count:
                raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        answer = service.start(
            "compose", 60, subjects=[subject], background=ids["background"], harmonize=None, layers=True
        ).json()
    assert answer["status"] == "failed" and answer["error"]["kind"] == "full", answer
    assert len(there) == count + 1
    store = service.service.store
    assert set(store.pictures) == before and set(os.listdir(service.folder / "pictures")) == before
    assert store.total_bytes == on_disk(service)


# ---- what is remembered ----


def test_what_is_looked_at_once_is_forgotten_when_it_was_sent(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    body = {"source": ids["subject"], "mask": ids["mask"], "background": ids["background"], "mode": "alpha"}
    pool = service.service.pool
    for x in range(8):
        job = service.start("live", 60, **body, at=[x, 20]).json()
        assert job["status"] == "done" and job["result"]["info"]["url"]
        assert service.client.get(job["url"]).status_code == 404
    with service.at_rest():
        jobs = [service.start("live", **body, at=[x, 20]).json() for x in range(2)]
    answer = service.client.get(jobs[0]["url"], params={"wait": 60}).json()
    assert answer["status"] == "done" and answer["result"]["info"]["url"]
    until(lambda: not pool.running and not pool.queue)
    assert '"status":"done"' in service.client.get(jobs[1]["events_url"]).text
    until(lambda: not [job for job in pool.jobs.values() if job.operation.name == "live"])


def test_jobs_are_remembered_by_number_and_by_bytes(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, picture = service.service.pool, service.upload(scene()["mask"])["id"]
    first = service.start("export", 60, picture=picture, format="png").json()
    size = pool.jobs[first["id"]].bytes
    assert 100 < size < 2000 and pool.jobs[first["id"]].raw is None
    monkeypatch.setattr(_pool, "MAX_JOB_BYTES", 5 * size + size // 2)
    jobs = [service.start("export", 60, picture=picture, format="png").json() for _ in range(8)]
    over = [job for job in pool.jobs.values() if job.over]
    assert sum(job.bytes for job in over) <= _pool.MAX_JOB_BYTES and 4 <= len(over) <= 6
    assert service.client.get(jobs[-1]["url"]).json()["status"] == "done"
    assert service.client.get(first["url"]).status_code == 404
    monkeypatch.setattr(_pool, "MAX_JOBS", 3)
    service.start("export", 60, picture=picture, format="png")
    assert len([job for job in pool.jobs.values() if job.over]) == 3
    # What has just ended stays until somebody was told of it, a preview, too.
    monkeypatch.setattr(_pool, "MAX_JOB_BYTES", size)
    preview = service.start("export", 60, picture=picture, format="png", preview=True).json()
    assert preview["id"] in pool.jobs


def test_the_largest_answer_is_one_that_the_service_takes(service: Running) -> None:
    pid = service.pid()
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), np.uint8)
    with having(service, max_upload=20_000_000):
        ids = service.ids(background=np.zeros_like(noise), source=noise, mask=np.full((1600, 1600), 255, np.uint8))
    body = {**ids, "at": [0, 0], "mode": "alpha", "side": 1600}
    result = service.done("live", **body, format="png")
    assert result["info"]["box"] == [0, 0, 1600, 1600] and 10_000_000 < len(result["info"]["url"]) < MAX_ANSWER
    assert service.done("live", **body, format="jpeg")["info"]["box"] == [0, 0, 1600, 1600]
    assert service.pid() == pid


def test_an_answer_that_is_too_large_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from pyharmony.serve import _worker
    from pyharmony.serve._operations import OPERATIONS

    answer = {"info": {"text": "x" * MAX_ANSWER}}
    operation = dataclasses.replace(OPERATIONS["export"], run=lambda body, desk: answer)
    monkeypatch.setattr(_worker, "operation_of", lambda name: operation)
    stream = io.BytesIO()
    body = json.dumps({"picture": ID, "format": "png"})
    message = {"job": ID, "operation": "export", "body": body, "sizes": {}, "histories": {}}
    _worker._do(message, _tree.Tree(tmp_path), None, _worker.Channel(stream))  # type: ignore[arg-type]
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == "failed"
    assert event["error"]["kind"] == "AnswerTooLarge" and event["error"]["exit_code"] == 4
    assert f"at most {MAX_ANSWER:,}" in event["error"]["message"]
    assert len(line) < 1000


# ---- times ----


@contextlib.contextmanager
def at_a_stop(service: Running) -> Iterator[None]:
    """Stops the worker, as one whose work takes for ever; it goes on afterwards, unless it was killed."""
    pid = until(lambda: service.service.pool.slots[0].idle and service.pid())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_an_export_runs_as_long_as_somebody_waits_for_it(service: Running) -> None:
    picture, pool = service.upload(scene()["dst"])["id"], service.service.pool
    body = {"picture": picture, "format": "png"}
    with having(service, preview_timeout=0.4):
        # Beyond the time of previews, by asking again and again, and by listening.
        with at_a_stop(service):
            job = service.start("export", **body).json()
            for _ in range(4):
                assert service.client.get(job["url"], params={"wait": 0.3}).json()["status"] == "running"
        assert service.client.get(job["url"], params={"wait": 60}).json()["status"] == "done"
        with at_a_stop(service):
            job = service.start("export", **body).json()
            with service.client.stream("GET", job["events_url"]) as stream:
                lines = stream.iter_lines()
                next(lines)
                time.sleep(1.2)
                assert pool.jobs[job["id"]].status == "running" and pool.jobs[job["id"]].listeners == 1
        assert service.client.get(job["url"], params={"wait": 60}).json()["status"] == "done"
        # Nobody asks any more.
        with at_a_stop(service):
            job = service.start("export", **body).json()
            until(lambda: pool.jobs[job["id"]].over)
        answer = service.client.get(job["url"]).json()
        assert answer["error"]["kind"] == "timeout"
        assert "no client asked for the job for 0.4 s" in answer["error"]["message"]
        # What is looked at while one works has its time, whoever waits.
        with at_a_stop(service):
            answer = service.start("export", 60, **body, preview=True).json()
        assert answer["error"]["kind"] == "timeout" and "longer than 0.4 s" in answer["error"]["message"]
        # An operator's limit is one of every job.
        with having(service, timeout=0.6), at_a_stop(service):
            answer = service.start("export", 60, **body).json()
        assert answer["error"]["kind"] == "timeout" and "longer than 0.6 s" in answer["error"]["message"]
    assert service.done("export", **body)["picture"]["width"] == 80
    about = service.client.get("/api/v1/service").json()
    assert about["timeout"] == 60 and about["export_timeout"] is None


def test_workers_read_what_the_operator_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the weights of a method of the operator's own: a worker that could not read them would not start."""
    path = tmp_path / "own.onnx"
    path.write_bytes(b"weights")
    own = f"from pathlib import Path; Path({str(path)!r}).read_bytes()\nfrom pyharmony.serve._worker import main"
    monkeypatch.setattr(_pool, "_CODE", _pool._CODE.replace("from pyharmony.serve._worker import main", own))
    with running(readable=(path,)) as service:
        assert service.upload(scene()["dst"])["width"] == 80


# ---- jobs that cannot end by themselves ----


def test_a_chain_of_errors_may_have_a_cycle() -> None:
    first, second = ValueError("first"), OSError(errno.ENOENT, "second")
    first.__cause__, second.__cause__ = second, first
    assert list(causes(first)) == [first, second] and not _tree.is_full(first)
    first.__cause__ = first
    assert list(causes(first)) == [first]
    third = KeyError()
    third.__context__, first.__cause__ = first, OSError(errno.ENOSPC, "full")
    assert _tree.is_full(third)


@pytest.mark.parametrize("operation", ["blend", "edit", "harmonize", "export", "segment", "cutout", "compose", "place"])
def test_a_file_that_is_gone_when_its_job_begins_ends_the_job(service: Running, operation: str) -> None:
    images = scene()
    ids = service.ids(src=images["src"], dst=images["dst"], mask=images["mask"], whole=images["dst"][..., 0])
    two = {"background": ids["src"]}
    body: dict[str, Any] = {
        "blend": {"src": ids["src"], "dst": ids["dst"], "mask": ids["mask"], "at": [30, 12]},
        "edit": {"image": ids["dst"], "mode": "detail-boost"},
        "harmonize": {"image": ids["dst"], "mask": ids["whole"]},
        "export": {"picture": ids["dst"], "format": "png"},
        "segment": {"picture": ids["dst"], "steps": [{"kind": "click", "x": 20, "y": 20}], "method": "grabcut"},
        "cutout": {"picture": ids["dst"], "mask": ids["whole"]},
        "compose": {"subjects": [{"picture": ids["dst"]}], **two},
        "place": {"subject": ids["dst"], **two},
    }[operation]
    pid = service.pid()
    with service.at_rest():
        answer = service.start(operation, **body)
        assert answer.status_code == 202, answer.text
        job = answer.json()
        (service.folder / "pictures" / ids["dst"]).unlink()
    record = service.client.get(job["url"], params={"wait": 60}).json()
    assert record["status"] == "failed" and record["error"]["kind"] == "FileNotFoundError", record
    assert ids["dst"] in record["error"]["message"] and "no such file" in record["error"]["message"]
    assert str(service.folder) not in record["error"]["message"] and service.pid() == pid


def test_an_image_whose_file_was_deleted_is_gone(service: Running) -> None:
    for way in ("", "/file", "/proxy"):
        picture = service.upload(scene()["dst"])
        (service.folder / "pictures" / picture["id"]).unlink()
        answer = service.client.get(picture["url"] + way)
        assert answer.status_code == 410 and kind_of(answer) == "gone", way
        # From then on it is unknown, and it counts no more.
        assert service.client.get(picture["url"]).status_code == 404
    picture, size = service.upload(scene()["dst"]), service.service.store.total_bytes
    (service.folder / "pictures" / picture["id"]).unlink()
    answer = service.start("export", picture=picture["id"], format="png")
    assert answer.status_code == 410 and service.service.store.total_bytes < size


def test_a_file_in_place_of_an_image_that_is_none_is_not_read(service: Running, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(file_of(scene()["dst"]))
    pid = service.pid()
    for kind in ("symlink", "hard link", "pipe", "folder"):
        answer = service.upload(scene()["dst"])
        path = service.folder / "pictures" / answer["id"]
        with service.at_rest():
            job = service.start("export", picture=answer["id"], format="png").json()
            path.unlink()
            make: dict[str, Any] = {
                "symlink": lambda path: path.symlink_to(secret), "hard link": lambda path: path.hardlink_to(secret),
                "pipe": os.mkfifo, "folder": Path.mkdir,
            }  # fmt: skip
            make[kind](path)
        answer = service.client.get(job["url"], params={"wait": 60}).json()
        assert answer["status"] == "failed" and answer["error"]["kind"] in ("PermissionError", "OSError"), (
            kind,
            answer,
        )
        if kind == "folder":
            path.rmdir()
    assert service.pid() == pid


def test_the_door_of_files_opens_those_of_the_run_alone(tmp_path: Path) -> None:
    tree = _tree.Tree(tmp_path / "run")
    tree.folder.mkdir()
    tree.make()
    tree.picture(ID).write_bytes(b"pixels")
    with tree.open(str(tree.picture(ID)), "picture") as file:
        assert file.read() == b"pixels" and file.name == str(tree.picture(ID))
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"secret")
    (tree.folder / "lock").write_bytes(b"")
    (tree.folder / "pictures" / "link").symlink_to(outside)
    for path in (
        outside, "/etc/passwd", "/dev/zero", "passwd", "", tree.folder / "lock", tree.folder / "pictures",
        tree.folder / "pictures" / "link", tree.folder / "pictures" / ".." / "lock", tree.folder / "jobs" / ID,
        f"{tree.folder}/pictures/../../outside.png", f"{tree.folder}/pictures/",
    ):  # fmt: skip
        with pytest.raises(RunError, match="picture: "):
            tree.open(str(path), "picture")


def test_an_upload_whose_worker_dies_is_the_uploads_fault(service: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        pid = until(lambda: service.service.pool.slots[0].idle and service.pid())
        os.kill(pid, signal.SIGSTOP)
        answer = pool.submit(service.client.post, "/api/v1/pictures", content=file_of(scene()["dst"]))
        until(lambda: service.service.pool.running)
        os.kill(pid, signal.SIGKILL)
        refusal = answer.result(60)
    assert refusal.status_code == 422 and kind_of(refusal) == "worker_died", refusal.text
    until(lambda: service.service.pool.slots[0].idle)
    assert service.upload(scene()["dst"])["width"] == 80


@pytest.mark.slow
def test_an_export_that_makes_no_progress_is_ended_though_a_client_waits(service: Running) -> None:
    body = {"picture": service.upload(scene()["dst"])["id"], "format": "png"}
    with having(service, phase_timeout=0.5), at_a_stop(service):
        start = time.monotonic()
        answer = service.start("export", 60, **body).json()
    assert answer["error"]["kind"] == "timeout", answer
    assert answer["error"]["message"] == "the job made no progress for 0.5 s, and it was stopped"
    assert time.monotonic() - start < 30
    # A phase that begins is progress.
    pool = service.service.pool
    with having(service, phase_timeout=0.8), at_a_stop(service):
        job = service.start("export", **body).json()
        until(lambda: pool.running)
        slot = pool.slots[0]
        for i in range(5):
            time.sleep(0.3)
            phase = {"event": "phase", "job": job["id"], "name": f"part {i}", "step": i, "steps": 5}
            pool._receive(slot, phase, 0)
            assert pool.jobs[job["id"]].status == "running"
        until(lambda: pool.jobs[job["id"]].over, 30)


# ---- what was too lenient ----


def test_a_host_and_an_origin_are_exact(service: Running) -> None:
    for host in (b"localhost..", b"localhost...", b".localhost", b"localhost.:80.", b"[::1].", b"127.0.0.1.."):
        (first,) = answers(service, b"GET /health HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 421 "), host
    for host in (b"localhost\t", b"localhost ", b"localhost:80 \t ", b"localhost\t\t"):
        for rest in (b"\r\nConnection: close\r\n\r\n", b"\r\n\r\n"):
            (first,) = answers(service, b"GET /health HTTP/1.1\r\nhOsT: " + host + rest)
            assert first.startswith(b"HTTP/1.1 400 "), (host, rest)
    # Other headers may have them, as HTTP says, and so may bodies.
    plain = b"GET /health HTTP/1.1\r\nHost: localhost\r\nAccept: */* \t\r\nConnection: close\r\n\r\nHost: x \r\n"
    assert answers(service, plain)[0] == b"HTTP/1.1 200 OK"
    own = service.address.removeprefix("http://")
    for origin in (f"http://{own}", f"HTTP://{own}"):
        assert service.client.get("/health", headers={"Origin": origin}).status_code == 200, origin
    for origin in (
        f"http://{own}#x", f"http://{own}/#x", f"http://{own}/", f"http://{own}?x", f"http://a@{own}", f"//{own}", own,
        f"http:{own}", f"ftp://{own}", f"file://{own}", f"x://{own}", f"http://{own}\\x", f"http://{own},http://{own}",
        f"http://{own} http://{own}", "null", "", "http://", f"http:///{own}",
    ):  # fmt: skip
        answer = service.client.get("/health", headers={"Origin": origin})
        assert answer.status_code == 403 and kind_of(answer) == "origin", origin


def test_live_takes_layers_or_a_source_and_its_mask(service: Running) -> None:
    names = ("plain", "matched", "source", "mask")
    for present in itertools.product((False, True), repeat=4):
        body = {name: ID for name, is_there in zip(names, present, strict=True) if is_there}
        answer = service.start("live", background=ID, at=[0, 0], mode="alpha", **body)
        # 404: the body is accepted, and there is no such image.
        is_right = present in ((True, True, False, False), (False, False, True, True))
        assert answer.status_code == (404 if is_right else 422), (body, answer.text)
        if not is_right:
            assert "expected plain and matched, or source and mask" in answer.text


def test_layers_that_do_not_belong_together_are_refused(service: Running) -> None:
    rng = np.random.default_rng(3)
    layer = rng.integers(0, 256, (20, 30, 4), np.uint8)
    deep = (layer.astype(np.uint16) * 257).astype(np.uint16)
    ids = service.ids(
        dst=scene()["dst"], layer=layer, other=layer[:, :-1], turned=layer.swapaxes(0, 1), three=layer[..., :3],
        grey=layer[..., 0], deep=deep,
    )  # fmt: skip
    body = {"background": ids["dst"], "at": [10, 10], "mode": "alpha"}
    for pair in (
        ("layer", "other"), ("layer", "turned"), ("layer", "three"), ("three", "three"), ("grey", "grey"),
        ("deep", "deep"), ("layer", "deep"), ("dst", "layer"),
    ):  # fmt: skip
        answer = service.start("live", 60, **body, plain=ids[pair[0]], matched=ids[pair[1]]).json()
        assert answer["status"] == "failed" and answer["error"]["kind"] == "input", (pair, answer)
        assert "expected two layers of one result" in answer["error"]["message"]
    right = {**body, "plain": ids["layer"], "matched": ids["layer"]}
    assert service.done("live", **right)["info"]["url"]
    for shadow in ("layer", "grey", "deep"):
        answer = service.start("live", 60, **right, shadow=ids[shadow], cast=[0, 0]).json()
        assert answer["error"]["kind"] == "input" and "expected the shadow layer" in answer["error"]["message"], answer


# ---- the confinement of workers ----

#: Run in a process as a worker's: what it may not do, and what jobs need.
TRIAL = """
import json, os, socket, subprocess, sys, tempfile, urllib.request
from pathlib import Path
from pyharmony.serve._confinement import confine

folder, secret = Path(sys.argv[1]), sys.argv[2]
state, refused, done = confine(str(folder)), [], []
def tried(name, work):
    try:
        work()
    except OSError as error:
        refused.append(name)
    else:
        done.append(name)
for path in (secret, "/etc/passwd", "/etc/hostname", "/dev/zero", f"/proc/{os.getppid()}/environ", "/proc/1/environ",
             f"/proc/self/root{secret}", f"{folder}/../{Path(secret).name}", f"{folder}/link"):
    tried(path, lambda: open(path, "rb").read(1))
tried("list", lambda: os.listdir(Path(secret).parent))
tried("write", lambda: open(secret + ".new", "w"))
tried("truncate", lambda: os.truncate(secret, 0))
tried("rename out", lambda: os.rename(folder / "own", secret + ".own"))
tried("socket", lambda: socket.socket())
tried("unix socket", lambda: socket.socket(socket.AF_UNIX))
tried("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
tried("address", lambda: urllib.request.urlopen("http://127.0.0.1:1/"))
tried("program", lambda: subprocess.run(["/bin/true"]))
tried("symlink", lambda: os.symlink(secret, folder / "made"))
tried("pipe", lambda: os.mkfifo(folder / "pipe"))
tried("signal", lambda: os.kill(os.getppid(), 0))
import threading
thread = threading.Thread(target=tried, args=("thread", lambda: open(secret, "rb")))
thread.start(); thread.join()
if not os.fork():
    tried("child", lambda: open(secret, "rb"))
    os._exit(0 if "child" in refused else 1)
assert os.wait()[1] == 0
hidden = list(refused)
tried("own", lambda: (folder / "own").read_bytes())
tried("new", lambda: (folder / "new").write_bytes(b"x"))
tried("rename", lambda: os.rename(folder / "new", folder / "newer"))
tried("remove", lambda: os.remove(folder / "newer"))
import numpy, PIL.Image, pyharmony.blend, pyharmony.segmentation, importlib.util
for name in ("cv2", "torch", "scipy", "onnxruntime", "imagecodecs", "pillow_heif"):
    if importlib.util.find_spec(name):
        importlib.import_module(name)
from pyharmony import _shipped
for entry in _shipped.every():
    _shipped.read(entry)
print(json.dumps({"state": state, "refused": refused, "done": done}))
"""


def test_a_worker_opens_only_files_of_its_run_and_no_connection(tmp_path: Path) -> None:
    folder, secret = tmp_path / "run", tmp_path / "secret"
    folder.mkdir()
    (folder / "own").write_bytes(b"own")
    secret.write_bytes(b"secret")
    (folder / "link").symlink_to(secret)
    process = subprocess.run(
        [sys.executable, "-c", TRIAL, str(folder), str(secret)], capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout.splitlines()[-1])
    if set(report["state"].values()) != {"confined"}:
        pytest.skip("the system has no Landlock or no seccomp")
    assert report["done"] == ["own", "new", "rename", "remove"], report
    assert len(report["refused"]) == 22 and secret.read_bytes() == b"secret"


#: What CUDA opens, as files in a folder: a worker may read and write them, and no others beside them.
GPU_TRIAL = """
import json, sys
from pathlib import Path
from pyharmony.serve import _confinement

devices = _confinement._DEVICE_FOLDER = Path(sys.argv[2])
paths = [path for path in devices.rglob("*") if path.is_file()]
state, opened = _confinement.confine(sys.argv[1]), []
for path in paths:
    try:
        path.open("r+b").close()
    except OSError:
        continue
    opened.append(path.name)
read = []
for path in map(Path, (
    "/proc/self/maps", "/proc/devices", "/proc/modules", "/proc/cpuinfo", "/proc/meminfo", "/proc/driver",
    "/proc/sys/vm/mmap_min_addr", "/sys/devices/system/node/online", "/sys/devices/system/cpu/online",
)):
    if path.is_file():
        path.read_bytes()
        read.append(str(path))
print(json.dumps({"state": state, "opened": opened, "read": read}))
"""


def test_a_worker_opens_the_files_of_gpus(tmp_path: Path) -> None:
    run, devices = tmp_path / "run", tmp_path / "dev"
    (devices / "nvidia-caps").mkdir(parents=True)
    run.mkdir()
    expected = {"dxg", "nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidia12", "nvidiactl", "nvidia-caps/nvidia-cap1"}
    for name in (*expected, "null", "sda", "kmsg", "my-nvidia0", "mem"):
        (devices / name).write_bytes(b"x")
    process = subprocess.run(
        [sys.executable, "-c", GPU_TRIAL, str(run), str(devices)], capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    if report["state"]["files"] != "confined":
        pytest.skip("the system has no Landlock or no seccomp")
    assert set(report["opened"]) == {Path(name).name for name in expected} | {"null"}
    assert "/proc/self/maps" in report["read"]


def test_a_worker_that_cannot_use_the_gpu_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from pyharmony import _native
    from pyharmony.serve import _confinement, _worker

    monkeypatch.setattr(_confinement, "_DEVICE_FOLDER", tmp_path)
    monkeypatch.setattr(_native, "native", types.SimpleNamespace(cuda=None))
    monkeypatch.setattr(_native, "cuda_status", lambda: "OS call failed")
    monkeypatch.setattr(_worker, "importlib", types.SimpleNamespace(import_module=lambda name: None))

    def warned(device: str = "auto", status: str = "OS call failed") -> bool:
        monkeypatch.setattr(_worker, "get_device", lambda: device)
        monkeypatch.setattr(_native, "cuda_status", lambda: status)
        caplog.clear()
        with caplog.at_level("WARNING", "pyharmony.serve"):
            _worker._warm()
        return "without this machine's GPU: OS call failed" in caplog.text

    assert not warned()  # a machine without a GPU
    (tmp_path / "nvidiactl").touch()
    assert warned() and warned("cuda")
    assert not warned("cpu") and not warned(status="")


def test_a_system_that_cannot_confine_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Degrades with a reason: another system, another processor, a kernel without it."""
    from pyharmony.serve import _confinement

    monkeypatch.setattr(_confinement, "_checked", lambda result: result)
    monkeypatch.setattr(_confinement, "_restrict_files", lambda *_: (_ for _ in ()).throw(OSError(38, "no Landlock")))
    monkeypatch.setattr(_confinement.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(_confinement.ctypes, "CDLL", lambda *_, **__: types.SimpleNamespace(prctl=lambda *_: 0))
    monkeypatch.setattr(_confinement, "_prefer_oom_kill", lambda: None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    state = _confinement.confine(str(tmp_path))
    assert state == {"files": "no Landlock", "system calls": "no list of system calls for riscv64"}
    monkeypatch.setattr(_confinement.sys, "platform", "darwin")
    assert _confinement.confine(str(tmp_path))["files"] == "darwin has no Landlock and no seccomp"


def test_health_says_how_workers_are_confined(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    answer = service.client.get("/health").json()["confinement"]
    assert set(answer) == {"files", "system calls"}
    pool = service.service.pool
    slot = type(pool.slots[0])(7)
    before = pool.confinement
    try:
        with caplog.at_level("INFO", "pyharmony.serve"):
            pool._receive(
                slot, {"event": "ready", "confinement": {"files": "no Landlock", "system calls": "confined"}}, 0
            )
            pool.log_confinement()
        (record,) = [one for one in caplog.records if "confinement of workers" in one.getMessage()]
        assert record.levelname == "WARNING" and "files no Landlock" in record.getMessage()
    finally:
        pool.confinement = before
