"""Aligned scenes: one place at many times, on which GP-GAN is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError, ShapeError
from ..typing import PathLike
from . import _files
from ._dataset import Dataset, Problem, Sample

_LINE = re.compile(r"(?P<scene>[^:]+):\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")


class AlignedScenes(Dataset):
    """Images of scenes, a folder each, cropped to the box of their scene (Wu et al. 2019).

    Args:
        root: the folder of the scenes.
        boxes: a file with a line `scene:top,left,bottom,right` each, rows and columns of pixels, the last two not
            included; scenes without a line are left out. None: every scene, uncropped.

    Attributes:
        scenes: the samples of each scene.
        boxes: the box of each scene.

    Samples have `image` and `scene`; names are like scene/file. The images of a scene are a group. `pairs` makes a
    set in which each sample has two images of one scene; `check` names the scenes that have fewer.

    Raises:
        DataError: a line is not a box, a box is empty, or a scene is listed twice.
        FileNotFoundError: the root, the file or the folder of a listed scene is missing.

    Example:
        >>> from pyharmony import data
        >>> scenes = data.AlignedScenes("scenes")
        >>> scenes.names, len(scenes.pairs(5))
        (['park/a', 'park/b'], 5)
    """

    def __init__(self, root: PathLike, boxes: PathLike | None = None) -> None:
        self.root = _files.folder_of(root, "root")
        if boxes is None:
            self.boxes = dict.fromkeys((path.name for path in sorted(self.root.iterdir()) if path.is_dir()), None)
        else:
            self.boxes = _boxes(Path(boxes))
        self._paths: list[Path] = []
        self.scene_of: list[str] = []
        self.scenes: dict[str, list[int]] = {}
        for scene in sorted(self.boxes):
            where = f"boxes: {boxes}"
            folder = _files.folder_of(_files.inside(self.root, scene, where), "root")
            if boxes is not None:
                _files.own_file(self.root, folder, where)
            found = list(_files.pictures_in(folder).values())
            self.scenes[scene] = list(range(len(self._paths), len(self._paths) + len(found)))
            self._paths += found
            self.scene_of += [scene] * len(found)
        self.names = [f"{scene}/{path.stem}" for scene, path in zip(self.scene_of, self._paths, strict=True)]

    @property
    def groups(self) -> Sequence[str]:
        return self.scene_of

    def _strays(self) -> list[Problem]:
        return [
            Problem(name, f"{self.root / name}: images: {len(found)}, expected two or more; pairs leave the scene out")
            for name, found in self.scenes.items()
            if len(found) < 2
        ]

    def pairs(self, count: int, *, seed: int = 0) -> ScenePairs:
        """Draws count pairs of two images of one scene, the same for one seed; all scenes are equally likely."""
        return ScenePairs(self, count, seed=seed)

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        path, scene = self._paths[index], self.scene_of[index]
        image = _files.read_picture(path, "image")
        box = self.boxes[scene]
        if box is not None:
            top, left, bottom, right = box
            if bottom > image.shape[0] or right > image.shape[1]:
                raise ShapeError(
                    f"image: {path}: {image.shape[1]} x {image.shape[0]} pixels, the box of its scene is "
                    f"{top},{left},{bottom},{right}"
                )
            image = np.ascontiguousarray(image[top:bottom, left:right])
        return {"name": self.names[index], "image": image, "scene": scene}


class ScenePairs(Dataset):
    """Pairs of two images of one scene: `src`, from which an object may be taken, and `dst`.

    Args:
        scenes: the images.
        count: the number of pairs.
        seed: the seed of the draws.

    Example:
        >>> from pyharmony import data
        >>> pairs = data.ScenePairs(data.AlignedScenes("scenes"), 5, seed=1)
        >>> len(pairs), sorted(pairs[0])
        (5, ['dst', 'name', 'scene', 'src'])
    """

    def __init__(self, scenes: AlignedScenes, count: int, *, seed: int = 0) -> None:
        self.scenes = scenes
        able = [name for name, found in scenes.scenes.items() if len(found) > 1]
        if not able:
            raise ArgumentError("scenes: no scene has two images")
        random = np.random.default_rng(_files.whole(seed, "seed", 0))
        self._pairs: list[tuple[int, int]] = []
        for _ in range(_files.whole(count, "count")):
            members = scenes.scenes[able[random.integers(len(able))]]
            first, second = random.choice(len(members), 2, replace=False)
            self._pairs.append((members[first], members[second]))
        self.names = [f"{i}:{scenes.names[a]}:{scenes.names[b]}" for i, (a, b) in enumerate(self._pairs)]

    @property
    def groups(self) -> Sequence[str]:
        return [self.scenes.scene_of[a] for a, _ in self._pairs]

    def _load(self, index: int) -> Sample:
        (a, b), name = self._pairs[index], self.names[index]
        src, dst = self.scenes[a], self.scenes[b]
        found = {"name": name, "src": src["image"], "dst": dst["image"]}
        _files.one_size(found, {"src": f"src: {src['name']}", "dst": f"dst: {dst['name']}"})
        return {**found, "scene": src["scene"]}


def _boxes(path: Path) -> dict[str, Any]:
    """Returns top, left, bottom and right of each scene."""
    found: dict[str, Any] = {}
    for number, line in enumerate(_files.read_lines(path), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(f"{path}:{number}: {line.strip()!r}, expected scene:top,left,bottom,right")
        top, left, bottom, right = box = tuple(int(n) for n in match.groups()[1:])
        if bottom <= top or right <= left:
            raise DataError(f"{path}:{number}: an empty box {top},{left},{bottom},{right}")
        if match["scene"] in found:
            raise DataError(f"{path}:{number}: the scene {match['scene']!r} is listed twice")
        found[match["scene"]] = box
    return found
