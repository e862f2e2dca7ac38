"""The files and caches of a worker: the images of a job, the state kept between jobs, and the outputs."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _shipped, io
from .._images.cutouts import cuts_out
from .._images.sizes import fitted, resized
from ..errors import PyHarmonyWarning, Reason
from ..io import Layer, Picture
from ..ops.hierarchies import Hierarchies
from ..runs._jobs.runner import Runner
from ..runs._jobs.task import Request, Task
from ..typing import ImageFormat, Quality
from ._history import History, joined_history
from ._ids import PictureId
from ._tree import Sizes, Tree, new_id, proxy_format

_SESSION_PIXELS = 100_000_000  # the largest total of pixels in the cached sessions of a worker
_MAX_SESSIONS = 8  # the largest number of cached sessions of a worker
_CACHE_BYTES = 128_000_000  # the largest size of the cached proxies of a worker, in bytes
_MAX_CACHED = 32  # the largest number of images in each cache of a worker
#: The longer side of the image in which people are segmented together if none was detected individually.
_PEOPLE_SIDE = 1024
#: The largest size of cached full-size photos for the next composite with them, in bytes.
_PHOTO_BYTES = 400_000_000
#: The largest size of the cached preparations of solves, for a mask that is dragged, in bytes.
_HIERARCHY_BYTES = 64_000_000
_PROXY_QUALITY = 92


class Desk:
    """The inputs, outputs and caches of one job.

    Args:
        tree: the folder of files.
        memory: the caches that last from job to job.
        job: the id of the job.
        sizes, histories: those of the images of the job.
        report_phase: reports that a phase began: its name, its number and the number of phases.
        weights: the table of the weights that are used, as `_shipped.noted` fills it.
    """

    def __init__(
        self,
        tree: Tree,
        memory: Memory,
        job: str,
        sizes: Mapping[str, Sizes],
        report_phase: Callable[[str, int, int], None],
        histories: Mapping[str, History] | None = None,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        self.tree, self.memory, self.sizes, self.report_phase = tree, memory, sizes, report_phase
        self.histories, self.weights = histories or {}, {} if weights is None else weights
        self.folder = tree.of_job(job)

    @contextlib.contextmanager
    def phase(self, name: str, step: int, steps: int) -> Iterator[None]:
        self.report_phase(name, step, steps)
        yield

    def path(self, id: PictureId, preview: bool = False) -> str:
        """Returns the path of an image, or of its proxy, which is created if missing."""
        if not preview:
            return str(self.tree.picture(id))
        path = self.tree.proxy(id)
        if not path.exists():
            self._save_proxy(id, self.read(id, "picture"))
        return str(path)

    def factor(self, id: PictureId) -> float:
        """Returns the ratio of an image's proxy size to its full size."""
        return self.sizes[id].factor

    def format_for(self, id: PictureId, preview: bool) -> ImageFormat:
        """Returns the default format of a result that is like an image."""
        return "jpeg" if preview and self.sizes[id].channels < 4 else "png"

    def read(self, id: PictureId, name: str, preview: bool = False, keep_gps: bool = False) -> Picture:
        """Reads an image, or its proxy."""
        return self._read(self.path(id, preview), name, keep_gps)

    def _read(self, path: str, name: str, keep_gps: bool = False) -> Picture:
        with self.tree.open(path, name) as file:
            return io.read(file, name, max_pixels=self.memory.max_pixels, keep_gps=keep_gps)

    def photo(self, id: PictureId, keep_gps: bool = False) -> Picture:
        """Reads an image at full size, which is cached for the next job."""
        key = f"{id}{' with GPS' if keep_gps else ''}"
        return self.memory.photos.get_or_make(key, lambda: self.read(id, "picture", keep_gps=keep_gps))

    def proxy(self, id: PictureId) -> Picture:
        """Reads the proxy of an image, which is cached for the next job."""
        path = self.path(id, True)
        return self.memory.decoded.get_or_make(path, lambda: self._read(path, "picture"))

    @contextlib.contextmanager
    def collected_warnings(self) -> Iterator[list[Reason]]:
        reasons: list[Reason] = []
        with warnings.catch_warnings(record=True) as recorded:
            warnings.simplefilter("always", PyHarmonyWarning)
            yield reasons
        every = (warning.message for warning in recorded)
        reasons += [Reason(one.code, str(one)) for one in every if isinstance(one, PyHarmonyWarning)]

    def new(self, suffix: str = "") -> str:
        return str(self.folder / f"{new_id()}{suffix}")

    def record_of(self, path: str, format: str, channels: int, dtype: str, width: int, height: int) -> dict[str, Any]:
        size = {"width": width, "height": height, "channels": channels, "dtype": dtype}
        return {"file": os.path.basename(path), "format": format.upper(), "bytes": os.path.getsize(path), **size}

    def write(self, picture: Picture, format: ImageFormat, quality: Quality = 95) -> dict[str, Any]:
        path = self.new()
        io.write(picture, path, format=format, quality=quality)
        height, width, channels = picture.pixels.shape
        return self.record_of(path, format, channels, picture.pixels.dtype.name, width, height)

    def history(self, ids: Iterable[PictureId], operation: str) -> History:
        """Returns the history of the result of an operation on images, with the weights used so far."""
        return joined_history([self.histories[id] for id in dict.fromkeys(ids)], operation, self.weights)

    def write_layers(self, layers: Sequence[Layer], merged: Picture) -> dict[str, Any]:
        """Writes the layers of a composite as an OpenRaster file, and returns its record."""
        path = self.new()
        with open(path, "xb") as file:
            io.write_layers(file, layers, merged.pixels, profile=merged.profile, dpi=merged.dpi, xmp=merged.xmp)
        height, width, channels = merged.pixels.shape
        return self.record_of(path, "openraster", channels, merged.pixels.dtype.name, width, height)

    def write_json(self, value: Any) -> str:
        """Writes JSON, and returns the name of its file."""
        path = Path(self.new(".json"))
        path.write_text(json.dumps(value, default=lambda x: x.item()), "utf-8")
        return path.name

    def open_upload(self, id: PictureId) -> dict[str, Any]:
        """Reads an image, creates its proxy, and returns the image's record."""
        picture = self.read(id, "file")
        height, width, channels = picture.pixels.shape
        size = {"width": width, "height": height, "channels": channels, "dtype": picture.pixels.dtype.name}
        self._save_proxy(id, picture)
        return {**size, "format": picture.format or "", "cuts_out": channels == 4 and cuts_out(picture.pixels[..., 3])}

    def run_task(self, task: Task) -> dict[str, Any]:
        """Runs a task of `_jobs`, and returns its record with the warnings."""
        memory, names = self.memory, {path: name for name, path in task.files.items()}
        reasons: list[Reason] = []
        with contextlib.ExitStack() as files:
            runner = Runner(
                Request(task.kind, max_pixels=str(memory.max_pixels)), networks=memory.networks,
                # It reads from the folder of the service alone.
                source_of=lambda path: files.enter_context(self.tree.open(path, names[path])),
                cache=memory.decoded if all(map(self.tree.is_proxy, names)) else None, report_phase=self.report_phase,
            )  # fmt: skip
            return {**runner.run(task, reasons.append), "warnings": reasons}

    def session(self, id: PictureId, preview: bool, method: str) -> SegmentSession:
        """Returns the session of an image, which is cached for the next click."""
        sessions = self.memory.sessions
        key = (id, preview, method)
        if key not in sessions:
            from ..segmentation import Session

            with _shipped.noted() as weights:
                session = Session(self.read(id, "picture", preview), method=method)
            sessions[key] = SegmentSession(session, [entry for entry in _shipped.every() if entry.name in weights])
        sessions[key].read = self._read
        sessions.move_to_end(key)
        for entry in sessions[key].weights:
            _shipped.note(entry)
        while len(sessions) > _MAX_SESSIONS or (
            len(sessions) > 1 and sum(one.session.picture[..., 0].size for one in sessions.values()) > _SESSION_PIXELS
        ):
            sessions.popitem(last=False)
        return sessions[key]

    def _save_proxy(self, id: PictureId, picture: Picture) -> None:
        """Writes the proxy of an image: small, 8 bits, sRGB, without metadata."""

        height, width, channels = picture.pixels.shape
        size = Sizes(width, height, channels, self.memory.proxy_side)
        small = picture
        if size.proxy != (width, height) and picture.pixels.dtype == np.uint8:
            small = Picture(_with_channels(resized(_plane(picture.pixels), size.proxy)), picture.profile)
        small = io.convert(small, Picture(np.zeros((1, 1, channels), np.uint8)), "file")
        if size.proxy != (small.pixels.shape[1], small.pixels.shape[0]):
            small = Picture(_with_channels(resized(_plane(small.pixels), size.proxy)))
        small = Picture(small.pixels)
        io.write(small, self.tree.proxy(id), format=proxy_format(channels), quality=_PROXY_QUALITY)


def _plane(pixels: Any) -> Any:
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _with_channels(pixels: Any) -> Any:
    return pixels[..., None] if pixels.ndim == 2 else pixels


class SegmentSession:
    """A session of segmentation, with the steps so far and the weights that it uses."""

    def __init__(self, session: Any, weights: Sequence[_shipped.Weights]) -> None:
        self.session, self.weights = session, weights
        self.read: Callable[[str, str], Picture] = io.read
        self.steps: list[dict[str, Any]] = []
        self.answers: list[Any] = []

    def people(self) -> Any:
        with _shipped.noted() as weights:
            people = self.session.people()
        self._add(weights)
        return people

    def other_people(self, people: Any) -> Any:
        """Returns a mask [H, W] uint8 of people who are not separated."""

        height, width = self.session.picture.shape[:2]
        size = fitted((width, height), _PEOPLE_SIDE)
        return resized(self.session.other_people(people.reduced(size), size), (width, height))

    def after(self, steps: list[dict[str, Any]]) -> Any:
        """Returns the result of steps; only new ones are applied, and missing ones are undone."""
        same = 0
        while same < min(len(steps), len(self.steps)) and steps[same] == self.steps[same]:
            same += 1
        # A choice changes the result before it, which undoing the choice alone does not restore.
        while same < len(self.steps) and same > 0 and self.steps[same]["kind"] == "choose":
            same -= 1
        for step in reversed(self.steps[same:]):
            if step["kind"] != "choose":
                self.session.undo()
        del self.steps[same:], self.answers[same:]
        for step in steps[same:]:
            with _shipped.noted() as weights:
                self.answers.append(self._take(step))
            self._add(weights)
            self.steps.append(step)
        return self.answers[-1]

    def _add(self, names: Collection[str]) -> None:
        """Adds weights that were used for the first time: later results depend on them."""
        more = set(names) - {entry.name for entry in self.weights}
        self.weights = [*self.weights, *(entry for entry in _shipped.every() if entry.name in more)]

    def _take(self, step: dict[str, Any]) -> Any:
        session = self.session
        if step["kind"] == "click":
            return session.click(step["x"], step["y"], add=step["add"])
        if step["kind"] == "scribble":
            return session.scribble(step["line"], add=step["add"])
        if step["kind"] == "lasso":
            return session.lasso(step["line"], add=step["add"], tolerance=step["tolerance"])
        if step["kind"] == "combine":
            return session.combine(self.read(step["mask"], "mask"), add=step["add"])
        if step["kind"] == "choose":
            return session.choose(step["index"])
        prompt = step[step["kind"]]
        return session.segment(**{step["kind"]: self.read(prompt, "mask") if step["kind"] == "mask" else prompt})


class PictureCache:
    """Recently used decoded images by name, of `most` bytes together; the image of a name never changes."""

    def __init__(self, most: int) -> None:
        self._most, self._pictures = most, OrderedDict[str, Picture]()

    def get(self, name: str) -> Picture | None:
        if name in self._pictures:
            self._pictures.move_to_end(name)
        return self._pictures.get(name)

    def get_or_make(self, name: str, make: Callable[[], Picture]) -> Picture:
        """Returns an image, which is made and added if missing."""
        picture = self.get(name)
        if picture is None:
            picture = make()
            self.put(name, picture)
        return picture

    def put(self, name: str, picture: Picture) -> None:
        """Adds an image, and removes the least recently used ones."""
        self._pictures[name] = picture
        self._pictures.move_to_end(name)
        pictures = self._pictures.values()
        while len(pictures) > _MAX_CACHED or sum(one.pixels.nbytes for one in pictures) > self._most:
            self._pictures.popitem(last=False)


class Memory:
    """The images, sessions and preparations that a worker caches from job to job."""

    def __init__(self, max_pixels: int, proxy_side: int) -> None:
        self.max_pixels, self.proxy_side = max_pixels, proxy_side
        self.sessions: OrderedDict[tuple[str, bool, str], SegmentSession] = OrderedDict()
        self.decoded, self.photos = PictureCache(_CACHE_BYTES), PictureCache(_PHOTO_BYTES)
        self.hierarchies = Hierarchies(_HIERARCHY_BYTES)
        #: The networks of gp-gan by the paths of their weights.
        self.networks: dict[str, Any] = {}


def without_paths(text: str, folder: Path) -> str:
    """Returns a message without the paths of the service's folder; a file is named by its id."""
    for inner in ("pictures", "proxies"):
        text = text.replace(f"{folder / inner}{os.sep}", "")
    return text.replace(str(folder), "")
