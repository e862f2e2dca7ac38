"""Aligned scenes: images of one place at many times, the training data of GP-GAN."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import _checks
from ... import io as files
from ..._warnings import warn
from ...errors import ArgumentError, DataError, PyHarmonyError, ShapeError
from ...typing import PathLike, Skip
from . import _files
from ._dataset import Dataset, Problem, Sample, error_text, in_order

_LOG = logging.getLogger(__name__)
#: The number of missing scenes named in a warning.
_MAX_NAMED_SCENES = 3
_LINE = re.compile(r"(?P<scene>[^:]+):\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")


class AlignedScenes(Dataset):
    """Images of scenes, a folder each, cropped to the box of their scene (Wu et al. 2019).

    Args:
        root: the folder of the scenes.
        boxes: a file with a line `scene:top,left,bottom,right` each, rows and columns of pixels, the last two
            exclusive; scenes without a line are skipped. None: every scene, uncropped.

    Attributes:
        scenes: the samples of each scene.
        boxes_xyxy: the box of each scene, (x0, y0, x1, y1), or None.
        missing: the listed scenes without a folder, which are skipped; a warning names the first of them.

    Samples have `image` and `scene`; names are like scene/file. The images of a scene form a group. `pairs` returns a
    data set in which each sample has two images of one scene; `check` lists scenes with fewer, or without a folder.

    Raises:
        DataError: a line is not a box, a box is empty, or a scene is listed twice.
        FileNotFoundError: the root or the file is missing, or all listed scenes are.

    Example:
        >>> from pyharmony import data
        >>> scenes = data.AlignedScenes("scenes")
        >>> scenes.names, len(scenes.pairs(5))
        (['park/a', 'park/b'], 5)
    """

    @_checks.kinds
    def __init__(self, root: PathLike, boxes: PathLike | None = None) -> None:
        self.root = _checks.folder(root, "root")
        every = (path.name for path in sorted(self.root.iterdir()) if path.is_dir())
        self.boxes_xyxy: dict[str, Any] = dict.fromkeys(every) if boxes is None else _boxes(Path(boxes))
        self._paths: list[Path] = []
        self.scene_of: list[str] = []
        self.scenes: dict[str, list[int]] = {}
        where = f"boxes: {boxes}"
        folders = {scene: _files.inside(self.root, scene, where) for scene in sorted(self.boxes_xyxy)}
        self.missing = [scene for scene, folder in folders.items() if not os.path.lexists(folder)]
        if self.missing:
            self._warn_of_missing(where, folders)
        for scene, path in folders.items():
            if scene in self.missing:
                continue
            folder = _checks.folder(path, "root")
            if boxes is not None:
                _files.own_file(self.root, folder, where)
            image_paths = list(_files.pictures_in(folder).values())
            self.scenes[scene] = list(range(len(self._paths), len(self._paths) + len(image_paths)))
            self._paths += image_paths
            self.scene_of += [scene] * len(image_paths)
        self.names = [f"{scene}/{path.stem}" for scene, path in zip(self.scene_of, self._paths, strict=True)]

    def _warn_of_missing(self, where: str, folders: dict[str, Path]) -> None:
        if len(self.missing) == len(folders):
            raise FileNotFoundError(
                2, f"No such folder, and none of the {len(folders)} of {where}", str(folders[self.missing[0]])
            )
        more = f" and {len(self.missing) - _MAX_NAMED_SCENES} more" if len(self.missing) > _MAX_NAMED_SCENES else ""
        some, count = ", ".join(self.missing[:_MAX_NAMED_SCENES]), len(self.missing)
        text = "%s: %d of %d scenes have no folder in %s and are left out: %s%s"
        _LOG.warning(text, where, count, len(folders), self.root, some, more)

    @property
    def groups(self) -> Sequence[str]:
        return self.scene_of

    @property
    def boxes(self) -> dict[str, Any]:
        """The old name of `boxes_xyxy`, each in the order of the file."""
        warn("boxes: top, left, bottom, right; corners x0, y0, x1, y1 are called boxes_xyxy now", DeprecationWarning)
        return {scene: box and (box[1], box[0], box[3], box[2]) for scene, box in self.boxes_xyxy.items()}

    def _strays(self) -> list[Problem]:
        return [Problem(name, f"{self.root / name}: no such folder; the scene is skipped") for name in self.missing] + [
            Problem(name, f"{self.root / name}: {len(indices)} images, expected two or more; pairs skips the scene")
            for name, indices in self.scenes.items()
            if len(indices) < 2
        ]

    def path_of(self, index: int) -> Path:
        """Returns the file of a sample."""
        return self._paths[self._at(index)]

    @_checks.kinds
    def pairs(self, count: int, *, seed: int = 0) -> ScenePairs:
        """Draws count pairs of two images of one scene, reproducibly for a seed; all scenes are equally likely."""
        return ScenePairs(self, count, seed=seed)

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        path, scene = self._paths[index], self.scene_of[index]
        image = _files.read_picture(path, "image")
        if (box := self.boxes_xyxy[scene]) is not None:
            (x0, y0, x1, y1), (height, width) = box, image.shape[:2]
            if x1 > width or y1 > height:
                line = f"{width} x {height} pixels, the box of its scene is {y0},{x0},{y1},{x1}"
                raise ShapeError(f"image: {path}: {line}")
            image = np.ascontiguousarray(image[y0:y1, x0:x1])
        return {"name": self.names[index], "image": image, "scene": scene}


@_checks.kinds
def write_scenes(
    scenes: AlignedScenes,
    folder: PathLike,
    *,
    quality: int = 95,
    errors: Skip = "raise",
    overwrite: bool = False,
    threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> list[Problem]:
    """Writes the images of scenes, cropped to their boxes, as folder/scene/file of the same names, all or nothing.

    This is the training format of tools for GP-GAN; `AlignedScenes(folder)` reads it without boxes.

    Args:
        scenes: the images.
        folder: the folder to write.
        quality: 1 to 100, for JPEG, WebP and AVIF files, which are encoded again.
        errors: 'raise', or 'skip' to skip images that cannot be read or are smaller than their box.
        overwrite: whether to replace a folder that contains only folders of these scenes.
        threads: the number of images to process at once.
        progress: called after each image.

    Returns:
        The images that were skipped.

    Raises:
        FileExistsError: the folder exists, and overwrite is False.
        DataError: folder contains other files; no image is left.
        ArgumentError: an argument is not accepted.
        PyHarmonyError, OSError: an image is bad.

    Example:
        >>> from pyharmony import data
        >>> data.write_scenes(data.AlignedScenes("scenes"), "cropped")
        []
        >>> data.AlignedScenes("cropped").names
        ['park/a', 'park/b']
    """
    _checks.one_of(errors, "errors", ("raise", "skip"))
    problems: list[Problem] = []
    if overwrite and isinstance(folder, (str, os.PathLike)) and Path(folder).resolve() == scenes.root.resolve():
        raise DataError(f"folder: {Path(folder)}: contains the source scenes, expected another folder")
    with _files.replaced_folder(folder, overwrite, lambda old: old.name in scenes.boxes_xyxy and old.is_dir()) as new:
        for scene in scenes.scenes:
            (new / scene).mkdir()

        def write(index: int) -> Exception | None:
            try:
                image = scenes[index]["image"]
            except (PyHarmonyError, OSError) as error:
                return error
            files.save(image, new / scenes.scene_of[index] / scenes.path_of(index).name, quality=quality)
            return None

        for index, error in enumerate(in_order(write, len(scenes), threads)):
            if error is not None:
                if errors == "raise":
                    raise error
                problems.append(Problem(scenes.names[index], error_text(error)))
            if progress is not None:
                progress()
        if len(problems) == len(scenes):
            raise DataError(f"scenes: {scenes.root}: no image can be read" if len(scenes) else "scenes: no images")
    return problems


class ScenePairs(Dataset):
    """Pairs of two images of one scene: `src`, the source of an object, and `dst`.

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

    @_checks.kinds
    def __init__(self, scenes: AlignedScenes, count: int, *, seed: int = 0) -> None:
        self.scenes = scenes
        able = [name for name, indices in scenes.scenes.items() if len(indices) > 1]
        if not able:
            raise ArgumentError("scenes: no scene has two images")
        random = np.random.default_rng(_checks.whole(seed, "seed"))
        self._pairs: list[tuple[int, int]] = []
        for _ in range(_checks.whole(count, "count", low=1)):
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
        pair = {"name": name, "src": src["image"], "dst": dst["image"]}
        _files.one_size(pair, {"src": f"src: {src['name']}", "dst": f"dst: {dst['name']}"})
        return {**pair, "scene": src["scene"]}


def _boxes(path: Path) -> dict[str, Any]:
    """Returns the box of each scene, x0, y0, x1, y1."""
    boxes: dict[str, Any] = {}
    for number, line in enumerate(_files.read_lines(path, "boxes"), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(f"boxes: {path}:{number}: {line.strip()!r}, expected scene:top,left,bottom,right")
        y0, x0, y1, x1 = (int(n) for n in match.groups()[1:])
        if y1 <= y0 or x1 <= x0:
            raise DataError(f"boxes: {path}:{number}: an empty box {y0},{x0},{y1},{x1}")
        if match["scene"] in boxes:
            raise DataError(f"boxes: {path}:{number}: the scene {match['scene']!r} is listed twice")
        boxes[match["scene"]] = x0, y0, x1, y1
    return boxes
