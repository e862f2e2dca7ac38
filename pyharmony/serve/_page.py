"""The files of the page: only those in its folder at the start are served, each by its name."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ._answers import Refusal

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".map": "application/json",
}
_COMPRESSED = (".html", ".js", ".mjs", ".css", ".json", ".svg", ".txt", ".md", ".map", ".webmanifest")


class _File(NamedTuple):
    """A file as it is served, and the state of the file on the disk when it was read."""

    state: tuple[int, int]
    data: bytes
    small: bytes | None
    tag: str


class Page:
    """The page, without a folder an empty one. A name of a client is looked up in a table, never in the file system.

    samples: the folder of the sample photos, under /samples.
    """

    def __init__(self, folder: Path | None, samples: Path | None = None) -> None:
        self._paths: dict[str, Path] = {}
        self._files: dict[str, _File] = {}
        if folder is not None:
            for name, one in (("/", folder), ("/samples/", samples)):
                self._find(name, one)
        if "/index.html" in self._paths:
            self._paths["/"] = self._paths["/index.html"]

    def _find(self, name: str, folder: Path | None) -> None:
        """Adds the files of a folder, under a name that ends in a slash."""
        if folder is None or not folder.is_dir():
            return
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            if path.is_file() and path.suffix in _TYPES and not any(p.startswith(".") for p in inner.parts):
                self._paths[name + inner.as_posix()] = path

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Refusal(405, "method", "the page is read-only", headers={"Allow": "GET, HEAD"})
        headers = dict(scope["headers"])
        await self._answer(scope["path"], headers)(scope, receive, send)

    def _answer(self, name: str, headers: dict[bytes, bytes]) -> Response:
        file = self._read(name)
        response_headers = {"etag": file.tag, "cache-control": "no-cache", "vary": "Accept-Encoding"}
        if headers.get(b"if-none-match") == file.tag.encode():
            return Response(None, 304, response_headers)
        data = file.data
        if file.small is not None and b"gzip" in headers.get(b"accept-encoding", b""):
            data = file.small
            response_headers["content-encoding"] = "gzip"
        return Response(data, 200, {**response_headers, "content-type": _TYPES[self._paths[name].suffix]})

    def _read(self, name: str) -> _File:
        """Returns a file, read again if it has changed."""
        path = self._paths[name]
        about = path.stat()
        state = about.st_mtime_ns, about.st_size
        file = self._files.get(name)
        if file is None or file.state != state:
            data = path.read_bytes()
            small = gzip.compress(data, 9, mtime=0) if path.suffix in _COMPRESSED else None
            file = _File(state, data, small, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
            self._files[name] = file
        return file
