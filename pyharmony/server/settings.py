"""The settings of the service, and their consistency."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import ArgumentError

__all__ = ["PAGE", "Settings", "bytes_of", "token_of"]

#: The folder of the page.
PAGE = Path(__file__).parent / "static"
#: The sample photos of the page, those of `pyharmony demo`.
SAMPLES = Path(__file__).parent.parent / "cli" / "images"

_MB = 1_000_000
LOCAL_UPLOAD = 512 * _MB  # the largest upload without a token, in bytes
SHARED_UPLOAD = 32 * _MB  # the largest upload with a token, in bytes
#: The number of largest uploads that fit into the folder.
UPLOADS = 20
#: The smallest number of characters of a token: 16 random letters and digits are 95 bits.
_TOKEN = 16


@dataclass(frozen=True)
class Settings:
    """The settings of a service.

    Attributes:
        host, port: the address; port 0 is any free one.
        token: the token of requests; None: none is needed, which is allowed on loopback only.
        hosts: accepted host names in addition to its own, such as that of a proxy; they need a token.
        max_upload: the largest upload in bytes; None: 512 MB, and 32 MB with a token.
        max_pixels: the largest number of pixels of an image, known from its header before anything is decoded.
        max_files: the largest size of all files together, in bytes; None: 20 of the largest uploads.
        workers: the number of worker processes; None: one for two cores, or one if there is a GPU.
        queue: the largest number of waiting jobs.
        timeout: the time limit of all jobs in seconds; None: preview_timeout, and for an export as long as a client
            waits for it.
        preview_timeout: the time limit of previews, clicks and uploads in seconds, and the time after which an export
            is stopped if no client asks for it.
        patience: the seconds that a sender or reader may pause.
        lifetime: the seconds for which files and jobs are stored after their last use.
        preview_lifetime: the same for results of previews.
        grace: the seconds that jobs have to end when the service stops.
        connections: the largest number of connections at a time.
        page: the folder of the page; None: there is none.
        proxy_side: the longer side of proxies, in pixels.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    token: str | None = None
    hosts: tuple[str, ...] = ()
    max_upload: int | None = None
    max_pixels: int = 64_000_000
    max_files: int | None = None
    workers: int | None = None
    queue: int = 32
    timeout: float | None = None
    preview_timeout: float = 60.0
    patience: float = 30.0
    lifetime: float = 3600.0
    preview_lifetime: float = 120.0
    grace: float = 8.0
    connections: int = 512
    page: Path | None = PAGE
    proxy_side: int = 1600

    def __post_init__(self) -> None:
        for name in ("max_upload", "max_pixels", "max_files", "workers", "queue", "connections"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"{name}: {value}, expected at least 1")
        for name in ("timeout", "preview_timeout", "patience", "lifetime", "preview_lifetime"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArgumentError(f"{name}: {value}, expected more than 0 seconds")
        if not 0 <= self.port <= 65535:
            raise ArgumentError(f"port: {self.port}, expected 0 to 65535")
        if not 1024 <= self.proxy_side <= 1600:
            raise ArgumentError(f"proxy_side: {self.proxy_side}, expected 1024 to 1600")
        if self.token is not None and (len(self.token) < _TOKEN or not re.fullmatch(r"[!-~]+", self.token)):
            raise ArgumentError(f"token: expected at least {_TOKEN} characters of ASCII without spaces")
        if self.token is None and not is_loopback(self.host):
            raise ArgumentError(
                f"host: {self.host!r} can be reached from other machines, which needs a token", code="host-needs-token",
                host=self.host,
            )  # fmt: skip
        if self.token is None and self.hosts:
            raise ArgumentError(
                "hosts: by other names it can be reached from other machines, which needs a token",
                code="hosts-need-token",
            )

    @property
    def upload_limit(self) -> int:
        """The largest upload in bytes."""
        return self.max_upload or (LOCAL_UPLOAD if self.token is None else SHARED_UPLOAD)

    @property
    def files_limit(self) -> int:
        """The largest size of all files together, in bytes."""
        return self.max_files or UPLOADS * self.upload_limit

    @property
    def worker_count(self) -> int:
        """The number of worker processes."""
        if self.workers is not None:
            return self.workers
        from .. import has_cuda

        return 1 if has_cuda() else max(1, cores() // 2)


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_loopback(host: str) -> bool:
    """Returns whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bytes_of(text: str) -> int:
    """Returns the number of bytes that a text denotes: '32MB' is 32,000,000; ValueError: it is not a size."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*([kMG]?)B?", text.strip())
    count = int(float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match[2]]) if match else 0
    if count < 1:
        raise ValueError("a size such as 32MB")
    return count


def token_of(path: Path) -> str:
    """Returns the token in a file, its first line without spaces; ArgumentError: there is no line of ASCII."""
    with path.open("rb") as file:
        lines = file.read(4096).splitlines()
    try:
        return lines[0].decode("ascii").strip()
    except (IndexError, UnicodeDecodeError):
        raise ArgumentError(f"token_file: {path} expected a token in its first line") from None
