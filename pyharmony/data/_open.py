"""A data set by its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, DataError
from ._dataset import Dataset
from ._folders import Manifest, Photos, Triples
from ._iharmony4 import SUBSETS, IHarmony4
from ._scenes import AlignedScenes
from ._shards import Shards
from ._tar import TarShards
from ._tfrecord import TFRecordPairs

#: What `open_dataset` opens, and how.
KINDS: dict[str, Callable[[Path, str | None], Dataset]] = {
    "shards": lambda path, split: Shards(path),
    "iharmony4": lambda path, split: IHarmony4(path, split or "all"),
    "manifest": lambda path, split: Manifest(path, split),
    "tar": lambda path, split: TarShards(path),
    "tfrecord": lambda path, split: TFRecordPairs(path),
    "triples": lambda path, split: Triples(path) if path.is_dir() else Triples.from_table(path),
    "photos": lambda path, split: Photos(path, mask="masks" if (path / "masks").is_dir() else None),
    "scenes": lambda path, split: AlignedScenes(path),
}


def open_dataset(path: Any, kind: str | None = None, *, split: str | None = None) -> Dataset:
    """The data set of a folder or file, by what is in it.

    Args:
        path: the folder or file.
        kind: 'shards', 'iharmony4', 'manifest', 'tar', 'tfrecord', 'triples', 'photos' or 'scenes'; None: found out.
        split: of iHarmony4 ('train' or 'test') and of a manifest; None: all.

    Raises:
        FileNotFoundError: there is nothing.
        DataError: it is none of these, or damaged.
        ArgumentError: there is no such kind, or it has no splits.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(2, "No such file or folder", str(place))
    if kind is not None and kind not in KINDS:
        raise ArgumentError(f"kind: {kind!r}, expected one of {', '.join(map(repr, KINDS))}")
    found = kind or _kind(place)
    if split is not None and found not in ("iharmony4", "manifest"):
        raise ArgumentError(f"split: {split!r}, but {found} has no splits of its own; pyharmony.data.split makes them")
    return KINDS[found](place, split)


def _kind(path: Path) -> str:
    if path.is_file():
        kinds = {
            ".tar": "tar",
            ".tfrecord": "tfrecord",
            ".tfrecords": "tfrecord",
            ".csv": "triples",
            ".json": "manifest",
        }
        if path.suffix.lower() in kinds:
            return kinds[path.suffix.lower()]
        raise DataError(f"path: {path}: no data set by its suffix; expected {', '.join(kinds)}, or a folder")
    signs = {
        "shards": ["index.json"],
        "manifest": ["manifest.json"],
        "iharmony4": ["IHD_train.txt", "IHD_test.txt", *(f"{name}/{name}_test.txt" for name in SUBSETS.values())],
        "triples": ["composite"],
        "photos": ["images"],
    }
    for kind, names in signs.items():
        if any((path / name).exists() for name in names):
            return kind
    for kind, patterns in {"tar": ["*.tar"], "tfrecord": ["*.tfrecord", "*.tfrecords"]}.items():
        if any(next(path.glob(pattern), None) for pattern in patterns):
            return kind
    raise DataError(f"path: {path}: no data set that is known by its files; pass kind, one of {', '.join(KINDS)}")
