"""The settings of the service, and their consistency."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .. import _checks
from ..errors import ArgumentError, FileError

__all__ = ["PAGE", "Settings", "User", "bytes_of", "users_of"]

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
#: The largest size of a file of tokens, in bytes.
TOKEN_FILE = 65_536
#: The part of the queue and of the files that one of several users may have: a quarter.
SHARE = 4
#: The smallest default of `user_queue`.
_MIN_USER_QUEUE = 4


#: A text that no message shows; the check by annotation shows others.
Secret = str


class User(NamedTuple):
    """Somebody who may use the service: a name for the log, empty if there is none, and the token."""

    name: str
    token: str


@_checks.kinds
@dataclass(frozen=True)
class Settings:
    """The settings of a service.

    Attributes:
        host, port: the address; port 0 is any free one.
        token: the token of requests, of a user without a name; None: none is needed if there are no users either, which
            is allowed on loopback only.
        users: users, each with a name and a token of their own. Several take turns, and see only their own images and
            jobs.
        hosts: accepted host names in addition to its own, such as that of a proxy; they need a token.
        max_upload: the largest upload in bytes; None: 512 MB, and 32 MB with a token.
        max_pixels: the largest number of pixels of an image, known from its header before anything is decoded.
        max_files: the largest size of all files together, in bytes; None: 20 of the largest uploads.
        workers: the number of worker processes; None: one for two cores, or one if there is a GPU.
        queue: the largest number of waiting jobs.
        user_queue: the largest number of waiting jobs of one user; None: with several users a quarter of queue, at
            least 4.
        user_files: the largest size of all files of one user, in bytes; None: with several users a quarter of
            max_files.
        timeout: the time limit of all jobs in seconds; None: preview_timeout, and for an export as long as a client
            waits for it.
        preview_timeout: the time limit of previews, clicks and uploads in seconds, and the time after which an export
            is stopped if no client asks for it.
        phase_timeout: the time after which an export is stopped, also while a client waits, if it is still in the same
            phase, in seconds.
        patience: the seconds that a sender or reader may pause.
        lifetime: the seconds for which files and jobs are stored after their last use.
        preview_lifetime: the same for results of previews.
        grace: the seconds that jobs have to end when the service stops.
        connections: the largest number of connections at a time.
        page: the folder of the page; None: there is none.
        proxy_side: the longer side of proxies, in pixels.
        readable: files and folders that workers may read beside their own, such as weights of your own methods.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    token: Secret | None = field(default=None, repr=False)
    users: tuple[User, ...] = field(default=(), repr=False)
    hosts: tuple[str, ...] = ()
    max_upload: int | None = None
    max_pixels: int = 64_000_000
    max_files: int | None = None
    workers: int | None = None
    queue: int = 32
    user_queue: int | None = None
    user_files: int | None = None
    timeout: float | None = None
    preview_timeout: float = 60.0
    phase_timeout: float = 900.0
    patience: float = 30.0
    lifetime: float = 3600.0
    preview_lifetime: float = 120.0
    grace: float = 8.0
    connections: int = 512
    page: Path | None = PAGE
    proxy_side: int = 1600
    readable: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for name in (
            "max_upload", "max_pixels", "max_files", "workers", "queue", "user_queue", "user_files", "connections",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"{name}: {value}, expected at least 1")
        for name in ("timeout", "preview_timeout", "phase_timeout", "patience", "lifetime", "preview_lifetime"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ArgumentError(f"{name}: {value}, expected more than 0 seconds")
        if not 0 <= self.port <= 65535:
            raise ArgumentError(f"port: {self.port}, expected 0 to 65535")
        if self.page is not None:
            _checks.folder(self.page, "page")
        for number, path in enumerate(map(Path, self.readable)):
            if not path.exists():
                raise FileError.of(errno.ENOENT, f"readable[{number}]", path, "an existing file or folder")
        if not 1024 <= self.proxy_side <= 1600:
            raise ArgumentError(f"proxy_side: {self.proxy_side}, expected 1024 to 1600")
        if self.token is not None and (problem := _problem_of(User("", self.token))):
            raise ArgumentError(f"token: {problem}")
        for number, user in enumerate(self.users):
            if problem := _problem_of(user) or ("" if user.name else "expected a name"):
                raise ArgumentError(f"users[{number}]: {problem}")
        tokens = [*(user.token for user in self.users), *([] if self.token is None else [self.token])]
        if len({user.name for user in self.users}) < len(self.users) or len(set(tokens)) < len(tokens):
            raise ArgumentError("users: expected a name and a token of its own for each")
        if not self.needs_token and not is_loopback(self.host):
            raise ArgumentError(
                f"host: {self.host!r} can be reached from other machines, which needs a token", code="host-needs-token",
                host=self.host,
            )  # fmt: skip
        if not self.needs_token and self.hosts:
            raise ArgumentError(
                "hosts: by other names it can be reached from other machines, which needs a token",
                code="hosts-need-token",
            )

    @property
    def tokens(self) -> Mapping[str, str]:
        """The token of each user by name; empty: no token is needed."""
        return {**({} if self.token is None else {"": self.token}), **dict(self.users)}

    @property
    def needs_token(self) -> bool:
        """Whether requests need a token."""
        return self.token is not None or bool(self.users)

    @property
    def upload_limit(self) -> int:
        """The largest upload in bytes."""
        return self.max_upload or (SHARED_UPLOAD if self.needs_token else LOCAL_UPLOAD)

    @property
    def files_limit(self) -> int:
        """The largest size of all files together, in bytes."""
        return self.max_files or UPLOADS * self.upload_limit

    @property
    def user_queue_limit(self) -> int:
        """The largest number of waiting jobs of one user."""
        share = max(_MIN_USER_QUEUE, self.queue // SHARE) if len(self.tokens) > 1 else self.queue
        return min(self.queue, self.user_queue or share)

    @property
    def user_files_limit(self) -> int:
        """The largest size of all files of one user, in bytes."""
        share = max(1, self.files_limit // SHARE) if len(self.tokens) > 1 else self.files_limit
        return min(self.files_limit, self.user_files or share)

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


def users_of(path: Path) -> tuple[User, ...]:
    """Returns the users in a file of tokens; ArgumentError: it has none, or a line is wrong, which the message numbers.

    A line is a name and a token, or a token alone, of one user without a name. Empty lines, and those that begin with
    #, are comments. No message has text of the file, which may be a token.
    """
    with path.open("rb") as file:
        data = file.read(TOKEN_FILE + 1)
    if len(data) > TOKEN_FILE:
        raise ArgumentError(f"token_file: {path}: expected at most {TOKEN_FILE:,} bytes")
    users: dict[int, User] = {}
    for number, line in enumerate(data.splitlines(), 1):
        words = line.decode("latin-1").split()
        if not words or words[0].startswith("#"):
            continue
        user = User("", words[0]) if len(words) == 1 else User(*words[:2])
        problem = "expected a token, or a name and a token" if len(words) > 2 else _problem_of(user)
        for earlier, other in users.items():
            if user.token == other.token:
                problem = problem or f"the same token as in line {earlier}"
            elif user.name == other.name:
                what = "the same name as in" if user.name else "a token without a name, like that of"
                problem = problem or f"{what} line {earlier}"
        if problem:
            raise ArgumentError(f"token_file: {path}, line {number}: {problem}")
        users[number] = user
    if not users:
        raise ArgumentError(f"token_file: {path}: expected a token, or lines of a name and a token")
    return tuple(users.values())


def _problem_of(user: User) -> str:
    """Returns what is wrong with a user; empty: nothing. The text has no token."""
    if user.name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", user.name):
        return "expected a name of at most 32 letters, digits and ._-"
    if len(user.token) < _TOKEN or not re.fullmatch(r"[!-~]+", user.token):
        return f"expected a token of at least {_TOKEN} characters of ASCII without spaces"
    return ""
