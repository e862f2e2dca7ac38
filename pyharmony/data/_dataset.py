"""What every data set has, and sets made of another one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, MaskError, PyHarmonyError, ShapeError
from . import _files

logger = logging.getLogger("pyharmony")

Sample = dict[str, Any]
"""`name` and arrays of uint8."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one sample or file.

    Attributes:
        name: of the sample, or of the file where it is no sample's.
        message: what is wrong, with the path.
    """

    name: str
    message: str


class Dataset:
    """A map from 0 .. len - 1 to samples.

    Attributes:
        names: the name of each sample.
        groups: of each sample what it shares with others that show the same: they go to one split.
    """

    names: Sequence[str]

    @property
    def groups(self) -> Sequence[str]:
        return self.names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return self._load(self._at(index))

    def __iter__(self) -> Iterator[Sample]:
        for index in range(len(self)):
            yield self[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} samples)"

    def check(self, progress: Callable[[], None] | None = None) -> list[Problem]:
        """Every problem of the data set: each sample is loaded, and a failure stops nothing.

        Args:
            progress: called after each sample.
        """
        found, seen = self._strays(), set()
        for index, name in enumerate(self.names):
            if name in seen:
                found.append(Problem(name, f"{name}: there are several samples of this name"))
            seen.add(name)
            found += self._check_one(index)
            if progress is not None:
                progress()
        return found

    def _at(self, index: Any) -> int:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise DTypeError(f"index: {type(index).__name__}, expected a whole number")
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: {index}, there are {len(self)} samples")
        return int(index) % len(self)

    def _load(self, index: int) -> Sample:
        raise NotImplementedError

    def _check_one(self, index: int) -> list[Problem]:
        try:
            self._load(index)
        except (PyHarmonyError, OSError) as error:
            return [Problem(self.names[index], said(error))]
        return []

    def _strays(self) -> list[Problem]:
        """Problems of files that are no sample's."""
        return []


def said(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or type(error).__name__).lower()}"
    return str(error)


def loaded(
    dataset: Any, errors: str, progress: Callable[[], None] | None, size: int | None = None
) -> Iterator[tuple[int, Sample]]:
    """Number and sample, resized, of all that can be loaded; errors, 'raise' or 'skip', says what becomes of others."""
    if errors not in ("raise", "skip"):
        raise ArgumentError(f"errors: {errors!r}, expected 'raise' or 'skip'")
    return _loaded(dataset, errors, progress, size)


def _loaded(
    dataset: Any, errors: str, progress: Callable[[], None] | None, size: int | None
) -> Iterator[tuple[int, Sample]]:
    for index in range(len(dataset)):
        try:
            sample = dataset[index] if size is None else resize_sample(dataset[index], size)
        except (PyHarmonyError, OSError) as error:
            if errors == "raise":
                raise
            name = dataset.names[index] if isinstance(dataset, Dataset) else index
            logger.warning("%s is left out: %s", name, said(error))
        else:
            yield index, sample
        if progress is not None:
            progress()


class Subset(Dataset):
    """Some samples of a data set.

    Args:
        dataset: the data set.
        indices: which of its samples, in this order.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, [int(index) for index in indices]
        bad = next((index for index in self.indices if not 0 <= index < len(dataset)), None)
        if bad is not None:
            raise ArgumentError(f"indices: {bad}, expected 0 to {len(dataset) - 1}")
        self.names = [dataset.names[index] for index in self.indices]

    @property
    def groups(self) -> Sequence[str]:
        groups = self.dataset.groups
        return [groups[index] for index in self.indices]

    def _load(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def _check_one(self, index: int) -> list[Problem]:
        return self.dataset._check_one(self.indices[index])


class Resized(Dataset):
    """A data set at size x size pixels.

    Args:
        dataset: the data set.
        size: see `resize_sample`.
    """

    def __init__(self, dataset: Dataset, size: int = 256) -> None:
        self.dataset, self.size = dataset, _files.whole(size, "size")
        self.names = dataset.names

    @property
    def groups(self) -> Sequence[str]:
        return self.dataset.groups

    def _load(self, index: int) -> Sample:
        return resize_sample(self.dataset[index], self.size)


def resize_sample(sample: Sample, size: int = 256) -> Sample:
    """A sample at size x size pixels, squashed to a square, as harmonisation is trained and measured.

    Pictures by Pillow's bilinear filter, which widens to what it shrinks; a mask is 255 where it is at least half
    inside, and taken from the nearest pixel, so that it stays hard: the protocol of Cong et al. 2020.

    Raises:
        MaskError: the mask is empty at that size.
        ShapeError, DTypeError: a picture is not [H, W, 3] or a mask not [H, W], of uint8.
    """
    from PIL import Image

    side = _files.whole(size, "size")
    found = dict(sample)
    for role, value in sample.items():
        if role != "mask" and role not in _files.PICTURES:
            continue
        name = f"{sample.get('name', 'sample')}: {role}"
        if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
            raise DTypeError(f"{name}: {getattr(value, 'dtype', type(value).__name__)}, expected an array of uint8")
        if value.ndim != (2 if role == "mask" else 3) or value.shape[2:] not in ((), (3,)) or value.size == 0:
            raise ShapeError(
                f"{name}: shape {list(value.shape)}, expected {'[H, W]' if role == 'mask' else '[H, W, 3]'}"
            )
        if role == "mask":
            hard = Image.fromarray(np.where(value >= 128, np.uint8(255), np.uint8(0)))
            found[role] = np.array(hard.resize((side, side), Image.Resampling.NEAREST))
            if not found[role].any():
                raise MaskError(f"{sample.get('name', 'mask')}: its mask is empty at {side} x {side} pixels")
        elif value.shape[:2] != (side, side):
            picture = Image.fromarray(value)
            found[role] = np.array(picture.resize((side, side), Image.Resampling.BILINEAR))
    return found
