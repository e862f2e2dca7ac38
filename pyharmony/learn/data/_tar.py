"""Shards as tar files in the WebDataset format: files of one key form a sample."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ... import _checks
from ... import io as files
from ..._public import naming_keywords
from ...errors import DataError, PyHarmonyError
from ...io.folders import IMAGE_SUFFIXES
from ...typing import ImageFormat, PathLike, Skip
from . import _files
from ._dataset import Dataset, Problem, Sample, load_samples, write_numbered
from .tar_members import members

logger = logging.getLogger("pyharmony")

#: The roles of a sample's files by their common names.
ROLES = {**{role: role for role in (*_files.IMAGES, "mask")}, "real": "target"}
ROLES |= {suffix[1:]: "image" for suffix in IMAGE_SUFFIXES}


@naming_keywords
class TarShards(Dataset):
    """Samples of tar files: `key.composite.jpg`, `key.target.jpg`, `key.mask.png`, `key.json` and so on.

    The key is the part of a file's name before the first dot, folders included; the next part is the role: composite,
    target (or real), image, src, dst or mask; a plain `key.jpg` is the image. Files are read in place, without
    unpacking. A JSON object may contain the sample's `name`; its other entries are returned under `json`.

    Args:
        paths: a folder of .tar files, one such file, or several. Compressed ones are not accepted, since they do not
            support random access.

    Truncated files and other files are named in the log and by `check`; samples before the damage can be read.

    Raises:
        DataError: there is no .tar file, or none can be read.

    Example:
        >>> from pyharmony import data
        >>> tar = data.write_tar_shards(data.Photos("photos"), "tar")
        >>> sorted(data.TarShards("tar")[0])
        ['image', 'json', 'mask', 'name']
    """

    @_checks.kinds
    def __init__(self, paths: PathLike | Sequence[PathLike]) -> None:
        self._bad: list[Problem] = []
        self._samples: list[tuple[Path, dict[str, tuple[str, int, int]], Any]] = []
        self.names: list[str] = []
        for path in _files.files_of(paths, ".tar"):
            self._scan(path)
        for problem in self._bad:
            logger.warning("%s", problem.message)
        if not self._samples:
            raise DataError(f"paths: {paths}: no sample" + "".join(f"; {problem.message}" for problem in self._bad[:1]))

    def _scan(self, path: Path) -> None:
        parts_of: dict[str, dict[str, tuple[str, int, int]]] = {}
        about: dict[str, Any] = {}
        try:
            with _files.data_errors(str(path)), _checks.opened(path, "paths") as file:
                for member in members(path):
                    folder, _, name = member.name.rpartition("/")
                    stem, _, suffix = name.partition(".")
                    key, role = (f"{folder}/{stem}" if folder else stem), ROLES.get(suffix.partition(".")[0].lower())
                    if role:
                        parts_of.setdefault(key, {})[role] = (member.name, member.offset, member.size)
                    elif suffix == "json":
                        file.seek(member.offset)
                        about[key] = json.loads(file.read(member.size))
                        if isinstance(about[key], dict):
                            _files.check_name(about[key].get("name", ""), member.name)
        except PyHarmonyError as error:
            reason = str(error).removeprefix(f"{path}: ").removeprefix("damaged: ")
            self._bad.append(Problem(path.name, f"{path}: damaged, or not an uncompressed tar file: {reason}"))
        for key, parts in parts_of.items():
            entry = about.get(key)
            self._samples.append((path, parts, entry))
            self.names.append(str(entry["name"]) if isinstance(entry, dict) and "name" in entry else key)

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        path, parts, entry = self._samples[index]
        sources = {}
        with open(path, "rb") as file:
            for role, (name, offset, size) in parts.items():
                file.seek(offset)
                sources[role] = _files.NamedBytes(file.read(size), f"{path}:{name}")
        sample = _files.sample(self.names[index], sources)
        return sample if entry is None else {**sample, "json": entry}


@_checks.kinds
def write_tar_shards(
    dataset: Dataset | Sequence[Sample],
    folder: PathLike,
    *,
    samples_per_shard: int = 1000,
    format: Literal["png", "jpeg", "webp"] = "png",
    quality: int = 95,
    errors: Skip = "raise",
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> TarShards:
    """Writes samples as tar files that WebDataset and `TarShards` read, all or nothing.

    Args:
        dataset: a `Dataset`, or any sequence of samples.
        folder, samples_per_shard, errors, threads, progress: see `write_shards`.
        format: the format of the images, 'png', or 'jpeg' or 'webp', which are lossy; masks are PNG.
        quality: 1 to 100, for JPEG and WebP.

    Returns:
        The `TarShards`.

    Raises:
        FileExistsError: folder exists.
        PyHarmonyError, OSError: a sample is bad.

    Example:
        >>> from pyharmony import data
        >>> data.write_tar_shards(data.Photos("photos"), "tar", format="webp").names
        ['a', 'b']
    """
    _checks.one_of(format, "format", ("png", "jpeg", "webp"))

    def write(file: Any, samples: Iterator[tuple[int, Sample]]) -> None:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for index, sample in samples:
                for name, data in _members(sample, index, format, quality):
                    about = tarfile.TarInfo(name)
                    about.size = len(data)
                    archive.addfile(about, io.BytesIO(data))

    write_numbered(folder, ".tar", load_samples(dataset, errors, progress, threads), samples_per_shard, write)
    return TarShards(folder)


def _members(
    sample: Sample, index: int, format: Literal["png", "jpeg", "webp"], quality: int
) -> Iterable[tuple[str, bytes]]:
    key = f"{index:08}"
    for role in (*_files.IMAGES, "mask"):
        if role in sample:
            kind: ImageFormat = "png" if role == "mask" else format
            yield f"{key}.{role}.{'jpg' if kind == 'jpeg' else kind}", encoded(sample[role], kind, quality)
    yield f"{key}.json", json.dumps({"name": str(sample.get("name", key))}).encode()


def encoded(pixels: Any, format: ImageFormat, quality: int = 95) -> bytes:
    """Encodes an image [H, W, 3] or mask [H, W] as a file."""
    buffer = io.BytesIO()
    array = np.asarray(pixels)
    files.write(files.Picture(array[..., None] if array.ndim == 2 else array), buffer, format=format, quality=quality)
    return buffer.getvalue()
