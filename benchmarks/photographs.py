"""Photographs and their masks for the benchmarks of harmonisation and realism."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyharmony import data

#: The least share of an image that a mask covers.
LEAST = 0.005

Picture = npt.NDArray[np.uint8]


class Photographs(data.Dataset):
    """Photographs of several manifests with a mask each: their own, or, where borrowed, that of another one.

    Args:
        root: the folder of the manifests.
        folders: their names; those that are not there are left out.
        splits: the splits of each.
        borrowed: whether those without a mask are meant, with masks of others that are mirrored by chance.
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
                self._masked += [(both, i) for i in range(len(both)) if (both[i]["mask"] >= 128).mean() >= LEAST]
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
    """Returns the name of a sample's photograph where it came from: several objects and composites may be of one."""
    entry = next(entry for role, entry in manifest.entries[index].items() if role in ("image", "target"))
    return origins(manifest.root).get(entry["file"], str(entry["pair"]))


@functools.cache
def origins(root: Path) -> dict[str, str]:
    """Returns for each file of a manifest the stem of the one that it was made of."""
    entries = json.loads((root / "manifest.json").read_text())["entries"]
    return {entry["file"]: Path(entry["path"]).stem for entry in entries if entry.get("path")}


def source_of(entry: Mapping[str, Any]) -> str:
    """Returns the pair that the photograph of a triple's entry is in."""
    return str(entry["pair"]).partition("__")[0]


def is_person(entry: Mapping[str, Any]) -> bool:
    return "person" in (entry.get("object"), entry.get("category")) and entry.get("object", "person") == "person"


def nearest(mask: Picture, size: tuple[int, ...]) -> Picture:
    """Returns a mask at [H, W], each pixel the nearest one."""
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(np.intp) for n, m in zip(size, mask.shape, strict=True))
    return np.ascontiguousarray(mask[np.ix_(rows, columns)])
