"""The images of the service, under random names, until they expire."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ._answers import PictureInfo, Refusal, moment
from ._history import History
from ._tree import DISK_FULL, Sizes, Tree, is_full, new_id
from .settings import Settings

_FILE = re.compile(r"[0-9a-f]{32}(\.png)?")  # the names of images that a worker may write
_RECIPE = re.compile(r"[0-9a-f]{32}\.json")  # the names of recipes that a worker may write
#: The seconds that a client is asked to wait if there is no room for files.
FULL_RETRY = 60


@dataclass(eq=False)
class StoredPicture:
    """An image of the service.

    Attributes:
        user: the name of the user whom it belongs to.
        history: its sources and operations.
        cuts_out: whether the alpha of an upload cuts an object out; None of a result.
        proxy_bytes: the size of its proxy in bytes; 0: there is none yet.
        recipe: the job with its recipe, which is deleted with it; empty: none.
        last_use: when it was used last, by time.time.
        pins: the number of jobs that use it; it does not expire meanwhile.
        gone: whether it was deleted; its file is removed when the last job releases it.
    """

    id: str
    user: str
    name: str | None
    bytes: int
    sizes: Sizes
    dtype: str
    format: str
    preview: bool
    history: History
    cuts_out: bool | None
    proxy_bytes: int = 0
    recipe: str = ""
    last_use: float = field(default_factory=time.time)
    pins: int = 0
    gone: bool = False


class Store:
    """The images of a run."""

    def __init__(self, tree: Tree, settings: Settings) -> None:
        self.tree, self.settings = tree, settings
        self.pictures: dict[str, StoredPicture] = {}
        #: The sizes of the recipes in bytes, by job.
        self.recipes: dict[str, int] = {}
        #: The bytes of all images, including uploads in progress, of proxies and recipes.
        self.total_bytes = 0
        #: The same by user; those with none have no entry.
        self.user_bytes = Counter[str]()

    def count(self, user: str, bytes: int) -> None:
        """Adds to the bytes of a user's files, or with a negative number subtracts from them."""
        self.total_bytes += bytes
        self.user_bytes[user] += bytes
        if not self.user_bytes[user]:
            del self.user_bytes[user]

    def get(self, id: str, user: str) -> StoredPicture:
        """Returns an image, which counts as used; Refusal 404: the user has none of this id, 410: its file is gone."""
        picture = self.pictures.get(id)
        if picture is None or picture.user != user:
            raise Refusal(404, "unknown_picture", "unknown image; it may have expired")
        if not self.tree.picture(id).is_file():  # such as by a cleaner of temporary files
            self.remove(id)
            raise Refusal(410, "gone", "the file of this image was deleted, though not by the service; upload it again")
        picture.last_use = time.time()
        return picture

    def info(self, id: str) -> PictureInfo:
        picture = self.pictures[id]
        url = f"api/v1/pictures/{id}"
        width, height = picture.sizes.proxy
        return PictureInfo(
            id=id,
            name=picture.name,
            width=picture.sizes.width,
            height=picture.sizes.height,
            channels=picture.sizes.channels,
            cuts_out=picture.cuts_out,
            dtype=picture.dtype,
            format=picture.format,
            bytes=picture.bytes,
            preview=picture.preview,
            proxy_width=width,
            proxy_height=height,
            url=url,
            file_url=f"{url}/file",
            proxy_url=f"{url}/proxy",
            expires=moment(picture.last_use + self._lifetime(picture)),
        )

    def add(
        self,
        id: str,
        user: str,
        about: Mapping[str, Any],
        history: History,
        name: str | None = None,
        preview: bool = False,
    ) -> StoredPicture:
        """Adds an image of a user whose file is in its place; about is its record from `Desk`."""
        sizes = Sizes(about["width"], about["height"], about["channels"], self.settings.proxy_side)
        size = os.path.getsize(self.tree.picture(id))
        fields = about["dtype"], about["format"], preview, history, about.get("cuts_out")
        picture = StoredPicture(id, user, name, size, sizes, *fields)
        self.pictures[id] = picture
        self.count(user, size)
        self._count_proxy(picture)
        return picture

    def _count_proxy(self, picture: StoredPicture) -> None:
        """Counts the proxy of an image, which any job that uses it may have created."""
        if not picture.proxy_bytes:
            with contextlib.suppress(FileNotFoundError):
                picture.proxy_bytes = os.path.getsize(self.tree.proxy(picture.id))
                self.count(picture.user, picture.proxy_bytes)

    def adopt(self, job: str, user: str, about: Mapping[str, Any], history: History, preview: bool) -> str:
        """Moves an image that a job of a user wrote into the store, and returns its id."""
        file = str(about["file"])
        if not _FILE.fullmatch(file):
            raise ValueError(f"a worker wrote {file!r}")
        id = new_id()
        os.rename(self.tree.of_job(job) / file, self.tree.picture(id))
        self.add(id, user, about, history, preview=preview)
        return id

    def adopt_recipe(self, job: str, file: str, picture: str) -> None:
        """Moves the recipe that a job wrote into the store; it is deleted with its image."""
        if not _RECIPE.fullmatch(file):
            raise ValueError(f"a worker wrote {file!r}")
        os.rename(self.tree.of_job(job) / file, self.tree.recipe(job))
        self.recipes[job] = os.path.getsize(self.tree.recipe(job))
        self.count(self.pictures[picture].user, self.recipes[job])
        self.pictures[picture].recipe = job

    def remove_recipe(self, job: str, user: str) -> None:
        self.count(user, -self.recipes.pop(job, 0))
        self.tree.recipe(job).unlink(missing_ok=True)

    @staticmethod
    @contextlib.contextmanager
    def disk() -> Iterator[None]:
        """Turns the error of a full disk into a refusal (429)."""
        try:
            yield
        except OSError as error:
            if not is_full(error):
                raise
            raise Refusal(429, "full", DISK_FULL, FULL_RETRY) from error

    def make_room(self, user: str, count: int = 0) -> None:
        """Frees room for this many bytes of a user, images of previews first, or refuses them (429)."""
        most, share = self.settings.files_limit, self.settings.user_files_limit

        def share_is_full() -> bool:
            return self.user_bytes[user] + count > share

        def has_room() -> bool:
            return self.total_bytes + count <= most and not share_is_full()

        if has_room():
            return
        # The user's own first; nobody loses any to somebody whose share is full.
        for picture in sorted(self.pictures.values(), key=lambda one: (one.user != user, one.last_use)):
            if picture.user != user and share_is_full():
                break
            if picture.preview and not picture.pins:
                self.remove(picture.id)
                if has_room():
                    return
        what, limit = ("your", share) if share < most and share_is_full() else ("the service's", most)
        message = f"{what} limit for files, {limit // 1_000_000} MB, is reached; delete some or try later"
        raise Refusal(429, "full", message, FULL_RETRY)

    @contextlib.contextmanager
    def incoming(self, id: str, user: str) -> Iterator[Incoming]:
        """Opens the file of an image that a user uploads; it is removed unless it is added meanwhile."""
        path = self.tree.picture(id)
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            incoming = Incoming(self, user, file)
            try:
                yield incoming
            finally:
                self.count(user, -incoming.bytes)
                if id not in self.pictures:
                    for one in (path, self.tree.proxy(id)):
                        one.unlink(missing_ok=True)

    def pin(self, id: str, user: str) -> StoredPicture:
        """Returns an image of a user, which is kept until a job releases it."""
        picture = self.get(id, user)
        picture.pins += 1
        return picture

    def unpin(self, picture: StoredPicture) -> None:
        """Releases an image that was kept for a job."""
        picture.pins -= 1
        picture.last_use = time.time()
        self._count_proxy(picture)
        if picture.gone and not picture.pins:
            self._unlink(picture)

    def remove(self, id: str) -> None:
        """Deletes an image; its file is kept as long as a job uses it."""
        picture = self.pictures.pop(id)
        picture.gone = True
        if not picture.pins:
            self._unlink(picture)

    def expire(self, now: float) -> int:
        """Deletes the images whose lifetime is over, and returns their number."""
        old = [
            picture.id
            for picture in self.pictures.values()
            if not picture.pins and now - picture.last_use >= self._lifetime(picture)
        ]
        for id in old:
            self.remove(id)
        return len(old)

    def _lifetime(self, picture: StoredPicture) -> float:
        return self.settings.preview_lifetime if picture.preview else self.settings.lifetime

    def _unlink(self, picture: StoredPicture) -> None:
        self.count(picture.user, -picture.bytes - picture.proxy_bytes)
        if picture.recipe:
            self.remove_recipe(picture.recipe, picture.user)
        for path in (self.tree.picture(picture.id), self.tree.proxy(picture.id)):
            path.unlink(missing_ok=True)


class Incoming:
    """A file that is being uploaded."""

    def __init__(self, store: Store, user: str, file: BinaryIO) -> None:
        self._store, self._user, self._file, self.bytes = store, user, file, 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def take(self, data: bytes) -> None:
        """Writes received bytes in a thread, since the disk may be slow, or refuses them (429)."""
        self._store.make_room(self._user, len(data))
        self._store.count(self._user, len(data))
        self.bytes += len(data)
        with self._store.disk():
            await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    def close(self) -> None:
        """Writes the rest; the file is complete then."""
        with self._store.disk():
            self._file.close()
