"""The data set iHarmony4 with its four subsets and lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ... import _checks
from ..._warnings import warn
from ...errors import ArgumentError, DataError
from ...typing import PathLike
from . import _files
from ._dataset import Dataset, Sample

#: The subsets by the first letter of a name.
SUBSETS = {"a": "HAdobe5k", "c": "HCOCO", "d": "Hday2night", "f": "HFlickr"}
SPLITS = ("train", "test", "all")


class IHarmony4(Dataset):
    """The data set iHarmony4 (Cong et al. 2020), or the existing part of it.

    A subset is a folder with `composite_images`, `masks` and `real_images`. The composite `a0002_1_4.jpg` has the mask
    `a0002_1.png` and the real image `a0002.jpg`. The lists are `IHD_train.txt` and `IHD_test.txt` next to the subsets;
    if these are missing, `HCOCO/HCOCO_train.txt` and so on. The root may be a single subset with its own list. Without
    any list, 'all' is the files of `composite_images`, which a warning says.

    Args:
        root: the folder of the subsets, or a subset.
        split: 'train', 'test' or 'all'.
        subsets: some of 'HAdobe5k', 'HCOCO', 'Hday2night' and 'HFlickr'; None: all those in the list.

    Attributes:
        subset_of: the subset of each sample.

    Samples have `composite`, `target`, `mask` and `subset`; names are like HCOCO/c1_2_3. Composites of one real
    image are a group.

    Raises:
        DataError: there is no list of the split, or one of its lines is not a composite.
        FileNotFoundError: the root does not exist.
        ArgumentError: there is no such split or subset.

    Example:
        >>> from pyharmony import data
        >>> data.IHarmony4("iHarmony4", "test").names
        ['HCOCO/c1_1_1']
    """

    @_checks.kinds
    def __init__(
        self, root: PathLike, split: Literal["train", "test", "all"] = "train", subsets: Sequence[str] | None = None
    ) -> None:
        self.root = _checks.folder(root, "root")
        if split not in SPLITS:
            raise ArgumentError(f"split: {split!r}, expected one of {', '.join(map(repr, SPLITS))}")
        self._is_subset = (self.root / "composite_images").is_dir()
        subset_names = tuple(SUBSETS.values()) if subsets is None else tuple(subsets)
        for name in subset_names:
            if name not in SUBSETS.values():
                raise ArgumentError(f"subsets: {name!r}, expected some of {', '.join(map(repr, SUBSETS.values()))}")
        lists = {each: self._lists(each) for each in (("train", "test") if split == "all" else (split,))}
        if split == "all" and not any(lists.values()):
            entries = self._listed_by_folders()
        else:
            entries = [line for each, files in lists.items() for line in self._listed(each, files)]
        entries = [(subset, file) for subset, file in entries if subset in subset_names]
        self.subset_of = [subset for subset, _ in entries]
        self._files = [file for _, file in entries]
        self.names = [f"{subset}/{Path(file).stem}" for subset, file in entries]

    @property
    def groups(self) -> Sequence[str]:
        return [name.rsplit("_", 2)[0] for name in self.names]

    def paths(self, index: int) -> dict[str, Path]:
        """Returns the files of a sample."""
        at = self._at(index)
        folder, file = self.root if self._is_subset else self.root / self.subset_of[at], self._files[at]
        real, place, _ = Path(file).stem.rsplit("_", 2)
        return {
            "composite": folder / "composite_images" / file,
            "target": folder / "real_images" / f"{real}.jpg",
            "mask": folder / "masks" / f"{real}_{place}.png",
        }

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        return {**_files.sample(self.names[index], self.paths(index)), "subset": self.subset_of[index]}

    def _lists(self, split: str) -> list[Path]:
        """Returns the files with the composites of a split."""
        whole = self.root / f"IHD_{split}.txt"
        lists = [whole] if whole.is_file() else []
        if not lists:
            folders = {name: self.root if self._is_subset else self.root / name for name in SUBSETS.values()}
            lists = [path for name, folder in folders.items() if (path := folder / f"{name}_{split}.txt").is_file()]
        return lists

    def _listed_by_folders(self) -> list[tuple[str, str]]:
        """Returns the composites of all subsets by their files, and warns that there are no lists."""
        folders = [self.root] if self._is_subset else [self.root / name for name in SUBSETS.values()]
        folders = [each for folder in folders if (each := folder / "composite_images").is_dir()]
        if not folders:
            raise DataError(f"root: {self.root}: no lists and no subsets; expected IHD_train.txt or HCOCO, for example")
        entries = []
        for folder in folders:
            entries += [_composite(path.name, str(path)) for path in _files.pictures_in(folder).values()]
        warn(f"root: {self.root}: no lists of iHarmony4; all {len(entries):,} composites of its folders are read")
        return entries

    def _listed(self, split: str, lists: list[Path]) -> list[tuple[str, str]]:
        if not lists:
            text = f"root: {self.root}: no list of {split}; expected IHD_{split}.txt or HCOCO/HCOCO_{split}.txt"
            raise DataError(text, hint="the split 'all' needs none")
        entries = []
        for path in lists:
            for number, line in enumerate(_files.read_lines(path), 1):
                if line.strip():
                    entries.append(_composite(line.strip(), f"{path}:{number}"))
        return entries


def _composite(line: str, where: str) -> tuple[str, str]:
    """Returns the subset and file name of a line: HCOCO/composite_images/c1_2_3.jpg, or the name alone."""
    name = line.replace("\\", "/").rsplit("/", 1)[-1]
    subset = SUBSETS.get(name[:1])
    listed = _files.is_file_name(name) and Path(name).stem.count("_") >= 2 and Path(name).suffix
    if subset is None or not listed:
        raise DataError(f"{where}: {line!r}, expected a composite such as HCOCO/composite_images/c1_2_3.jpg")
    return subset, name
