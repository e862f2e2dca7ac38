"""Photographs, their masks and triples for the benchmarks of harmonisation and realism."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyharmony.learn import data

#: The smallest share of an image covered by a mask.
MIN_MASK_SHARE = 0.005

#: The folders of triples, and those of photographs of which some have masks.
TRIPLES = ("triples_open", "research_only/triples")
PHOTOS = ("pairs_open", "photos_open", "research_only/pairs")

#: The folders of photographs under open licences with masks, in which a photograph may have several.
OPEN_FOLDERS = ("pairs_open", "photos_open", "masks_open", "masks_open/more_masks")

Picture = npt.NDArray[np.uint8]


class Photographs(data.Dataset):
    """Photographs of several manifests with a mask each: their own, or, if borrowed, that of another one.

    Args:
        root: the folder of the manifests.
        folders: their names; missing ones are skipped.
        splits: the splits of each.
        borrowed: whether to use those without a mask, with masks of others that are mirrored at random.
    """

    def __init__(self, root: Path, folders: Sequence[str], splits: Sequence[str], *, borrowed: bool = False) -> None:
        self.borrowed = borrowed
        self._photos: list[tuple[data.Manifest, int]] = []
        self._masked: list[tuple[data.Manifest, int]] = []
        for folder in folders:
            for split in splits:
                if not (root / folder).is_dir():
                    continue
                both = data.Manifest(root / folder, split, ("image", "mask"))
                self._masked += [
                    (both, i) for i in range(len(both)) if (both[i]["mask"] >= 128).mean() >= MIN_MASK_SHARE
                ]
                if borrowed:
                    every = data.Manifest(root / folder, split)
                    self._photos += [(every, i) for i, roles in enumerate(every.entries) if "mask" not in roles]
        if not borrowed:
            self._photos = self._masked
        self.names = [source.names[i] for source, i in self._photos]

    @property
    def groups(self) -> list[str]:
        return [photograph(source, i) for source, i in self._photos]

    @property
    def persons(self) -> list[bool]:
        return [is_person(source.entries[i]["image"]) for source, i in self._photos]

    @property
    def categories(self) -> list[str]:
        entries = [source.entries[i]["image"] for source, i in self._photos]
        return [entry.get("object") or entry.get("category", "") for entry in entries]

    @property
    def is_open(self) -> list[bool]:
        return [not is_research(source) for source, _ in self._photos]

    @property
    def fine(self) -> list[bool | None]:
        return [is_fine(source.entries[i].get("mask", {}).get("mask_quality")) for source, i in self._photos]

    def _load(self, index: int) -> dict[str, Any]:
        source, at = self._photos[index]
        sample = source[at]
        if self.borrowed:
            random = np.random.default_rng((7, index))
            other, its = self._masked[int(random.integers(len(self._masked)))]
            mask = other[its]["mask"][:, :: -1 if random.integers(2) else 1]
            sample["mask"] = nearest(mask, sample["image"].shape[:2])
        return sample


def photograph(manifest: data.Manifest, index: int) -> str:
    """Returns the name of a sample's original photograph: several objects and composites may be of one."""
    entry = next(entry for role, entry in manifest.entries[index].items() if role in ("image", "target"))
    return origins(manifest.root).get(entry["file"], str(entry["pair"]))


@functools.cache
def origins(root: Path) -> dict[str, str]:
    """Returns for each file of a manifest the stem of the one from which it was made."""
    entries = json.loads((root / "manifest.json").read_text())["entries"]
    return {entry["file"]: Path(entry["path"]).stem for entry in entries if entry.get("path")}


def source_of(entry: Mapping[str, Any]) -> str:
    """Returns the pair of the photograph of a triple's entry."""
    return str(entry["pair"]).partition("__")[0]


def mask_qualities(root: Path) -> dict[str, str]:
    """Returns how the mask of each pair of photograph and mask was made, according to the manifests."""
    files = [root / folder / "manifest.json" for folder in PHOTOS]
    entries = [entry for file in files if file.is_file() for entry in json.loads(file.read_text())["entries"]]
    return {entry["pair"]: entry["mask_quality"] for entry in entries if "mask_quality" in entry}


def is_fine(quality: str | None) -> bool | None:
    """Returns whether a mask of this quality follows the contour pixel by pixel; None if unknown."""
    return None if quality is None else "polygon" not in quality


def is_research(manifest: data.Manifest) -> bool:
    """Returns whether the files of a manifest are not under an open licence."""
    return manifest.root.parent.name == "research_only"


def is_person(entry: Mapping[str, Any]) -> bool:
    return "person" in (entry.get("object"), entry.get("category")) and entry.get("object", "person") == "person"


def nearest(mask: Picture, size: tuple[int, ...]) -> Picture:
    """Returns a mask resized to [H, W] by nearest neighbour."""
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(np.intp) for n, m in zip(size, mask.shape, strict=True))
    return np.ascontiguousarray(mask[np.ix_(rows, columns)])


class Object(NamedTuple):
    """An object of a photograph under an open licence: the files of both, the photograph's name, and what it is."""

    image: Path
    mask: Path
    group: str
    kind: str = ""


def open_objects(root: Path, split: str, names: Sequence[str] = OPEN_FOLDERS) -> list[Object]:
    """Returns the objects of a split whose mask was not made by a network alone; a photograph may have several.

    Args:
        root: the folder of the data.
        split: the split of the objects.
        names: the folders of `root`; those that do not exist are skipped.

    Raises:
        FileNotFoundError: none of the folders exists.
    """
    objects = []
    folders = [root / name for name in names if (root / name / "manifest.json").is_file()]
    if not folders:
        raise FileNotFoundError(f"{root}: none of {', '.join(names)} is there")
    for folder in folders:
        entries = json.loads((folder / "manifest.json").read_text())["entries"]
        photos = {entry["pair"]: entry["file"] for entry in entries if entry["role"] == "photo"}
        objects += [
            Object(
                folder / entry.get("photo", photos.get(entry["pair"])),
                folder / entry["file"],
                entry["pair"],
                entry.get("kind", entry.get("category", "")),
            )
            for entry in entries
            if (entry["role"], entry["split"]) == ("mask", split) and not entry["pair"].startswith("rembg_")
        ]
    return objects


class Set(NamedTuple):
    """Images for an evaluation.

    Attributes:
        samples: with composite, target and mask, or image and mask.
        groups: the photograph of each sample.
        persons: whether each sample's object is a person whose skin is measured.
        is_open: whether each sample is under an open licence; empty if not requested.
        fine: whether each sample's mask follows its contour pixel by pixel, a matte or a model's mask, and not by the
            straight lines of a polygon; None if unknown. Empty if not requested.
    """

    samples: data.Dataset
    groups: Sequence[str]
    persons: Sequence[bool]
    is_open: Sequence[bool] = ()
    fine: Sequence[bool | None] = ()


def triples(root: Path, split: str = "test") -> Set:
    """Returns the triples of a split."""
    there = [data.Manifest(root / f, split, ("composite", "mask", "target")) for f in TRIPLES if (root / f).is_dir()]
    groups = [photograph(manifest, i) for manifest in there for i in range(len(manifest))]
    persons = [is_person(entry["composite"]) for manifest in there for entry in manifest.entries]
    is_open = [not is_research(manifest) for manifest in there for _ in manifest.entries]
    qualities = mask_qualities(root)
    fine = [is_fine(qualities.get(source_of(entry["target"]))) for manifest in there for entry in manifest.entries]
    return Set(data.Joined(there), groups, persons, is_open, fine)


def fitting(root: Path, split: str = "test") -> Set:
    """Returns photographs of a split with their masks, and the targets of its triples that are not among them."""
    photos = Photographs(root, PHOTOS, (split,))
    there = set(photos.names)
    parts: list[data.Dataset] = [photos]
    groups, persons = list(photos.groups), list(photos.persons)
    is_open, fine = list(photos.is_open), list(photos.fine)
    qualities = mask_qualities(root)
    for folder in TRIPLES:
        if not (root / folder).is_dir():
            continue
        manifest = data.Manifest(root / folder, split, ("target", "mask"))
        others = [i for i, entry in enumerate(manifest.entries) if source_of(entry["target"]) not in there]
        parts.append(data.Subset(manifest, others))
        groups += [photograph(manifest, i) for i in others]
        persons += [is_person(manifest.entries[i]["target"]) for i in others]
        is_open += [not is_research(manifest)] * len(others)
        fine += [is_fine(qualities.get(source_of(manifest.entries[i]["target"]))) for i in others]
    return Set(data.Joined(parts), groups, persons, is_open, fine)
