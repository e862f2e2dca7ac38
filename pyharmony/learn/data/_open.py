"""Opening of data sets by their paths."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import _checks
from ...errors import ArgumentError, DataError, FileError
from ...typing import DataKind, PathLike
from ._dataset import Dataset
from ._folders import Manifest, Photos, Triples
from ._iharmony4 import SUBSETS, IHarmony4
from ._scenes import AlignedScenes
from ._shards import Shards
from ._tar import TarShards
from ._tfrecord import SUFFIXES, TFRecordPairs
from .coco import CocoPeople


@dataclass(frozen=True)
class Options:
    """The options of `open_dataset` other than path and kind."""

    split: Any
    annotations: Any
    category: str
    min_share: float
    max_share: float
    boxes: Any
    features: dict[str, str]


#: The kinds of data sets that `open_dataset` supports, with the functions that open them.
KINDS: dict[str, Callable[[Path, Options], Dataset]] = {
    "shards": lambda path, options: Shards(path),
    "iharmony4": lambda path, options: IHarmony4(path, options.split or "all"),
    "manifest": lambda path, options: Manifest(path, options.split),
    "tar": lambda path, options: TarShards(path),
    "tfrecord": lambda path, options: TFRecordPairs(path, *map(options.features.get, ("composite", "target", "mask"))),
    "triples": lambda path, options: Triples(path) if path.is_dir() else Triples.from_table(path),
    "photos": lambda path, options: Photos(path, mask="masks" if (path / "masks").is_dir() else None),
    "coco": lambda path, options: CocoPeople(
        options.annotations, path, options.category, min_share=options.min_share, max_share=options.max_share
    ),
    "scenes": lambda path, options: AlignedScenes(path, options.boxes),
}


@_checks.kinds
def open_dataset(
    path: PathLike,
    kind: DataKind | None = None,
    *,
    split: str | None = None,
    annotations: PathLike | None = None,
    category: str = "person",
    min_share: float = 0.0,
    max_share: float = 1.0,
    boxes: PathLike | None = None,
    features: Mapping[str, str] | None = None,
) -> Dataset:
    """Opens the data set in a folder or file, detecting its kind from its contents.

    Args:
        path: the folder or file; for COCO the folder of the photographs.
        kind: 'shards', 'iharmony4', 'manifest', 'tar', 'tfrecord', 'triples', 'photos', 'coco' or 'scenes'; None:
            detected, 'coco' if annotations and 'scenes' if boxes are given.
        split: the split of iHarmony4 ('train' or 'test') or of a manifest; None: all.
        annotations: the JSON file of COCO.
        category, min_share, max_share: the selection of COCO instances, see `CocoPeople`.
        boxes: the file with the boxes of aligned scenes; None: all scenes, uncropped.
        features: the names of the TFRecord features for 'composite', 'target' and 'mask'; omitted or None: see
            `TFRecordPairs`.

    Raises:
        FileNotFoundError: the path does not exist.
        DataError: it is of none of these kinds, or is damaged.
        ArgumentError: the kind is unknown, it has no splits, annotations, boxes, features or selection of instances,
            or COCO's annotations are missing.

    Example:
        >>> from pyharmony import data
        >>> photos = data.open_dataset("photos")
        >>> type(photos).__name__, photos.names
        ('Photos', ['a', 'b'])
    """
    place = _checks.path(path, "path")
    if not place.exists():
        raise FileError.of(errno.ENOENT, "path", place, "a folder or a file of a data set")
    if kind is not None and not (isinstance(kind, str) and kind in KINDS):
        raise ArgumentError(f"kind: {kind!r}, expected one of {', '.join(map(repr, KINDS))}")
    data_kind = kind or ("coco" if annotations is not None else "scenes" if boxes is not None else _kind(place))
    if split is not None and data_kind not in ("iharmony4", "manifest"):
        raise ArgumentError(
            f"split: {split!r}, but {data_kind} has no predefined splits; use pyharmony.learn.data.split"
        )
    for name, value, owner in (("annotations", annotations, "coco"), ("boxes", boxes, "scenes")):
        if value is not None and data_kind != owner:
            raise ArgumentError(f"{name}: {str(value)!r}, accepted only for the kind {owner!r}, not for {data_kind}")
    defaults = (("category", category, "person"), ("min_share", min_share, 0), ("max_share", max_share, 1))
    for name, choice, default in defaults:
        if choice != default and data_kind != "coco":
            raise ArgumentError(f"{name}: {choice!r}, accepted only for the kind 'coco', not for {data_kind}")
    if features and data_kind != "tfrecord":
        raise ArgumentError(f"features: {dict(features)!r}, accepted only for the kind 'tfrecord', not for {data_kind}")
    roles = ("composite", "target", "mask")
    for role, name in (features or {}).items():
        if role not in roles or not isinstance(name, str):
            raise ArgumentError(f"features: {role!r}: {name!r}, expected names for some of {', '.join(roles)}")
    if data_kind == "coco" and annotations is None:
        raise ArgumentError("annotations: missing, expected the JSON file of COCO annotations")
    return KINDS[data_kind](
        place, Options(split, annotations, category, min_share, max_share, boxes, dict(features or {}))
    )


def _kind(path: Path) -> str:
    if path.is_file():
        suffixes = {".tar": "tar", ".csv": "triples", ".json": "manifest"}
        suffixes |= dict.fromkeys(SUFFIXES, "tfrecord")
        for suffix, kind in suffixes.items():
            if path.match(f"*{suffix}") or path.suffix.lower() == suffix:
                return kind
        raise DataError(f"path: {path}: unknown suffix; expected {', '.join(suffixes)}, or a folder")
    signs = {
        "shards": ["index.json"],
        "manifest": ["manifest.json"],
        "iharmony4": [
            *("IHD_train.txt", "IHD_test.txt"),
            *(f"{folder}{name}_test.txt" for name in SUBSETS.values() for folder in (f"{name}/", "")),
            *(f"{name}/composite_images" for name in SUBSETS.values()),
        ],
        "triples": ["composite", "Composite", "composite_images"],
        "photos": ["images"],
    }
    for kind, names in signs.items():
        if any((path / name).exists() for name in names):
            return kind
    for kind, patterns in {"tar": ["*.tar"], "tfrecord": [f"*{suffix}" for suffix in SUFFIXES]}.items():
        if any(next(path.glob(pattern), None) for pattern in patterns):
            return kind
    kind_names = ", ".join(KINDS)
    raise DataError(
        f"path: {path}: no known kind of data set", code="unknown-kind",
        hint=f"pass kind, one of {kind_names}", kinds=kind_names,
    )  # fmt: skip
