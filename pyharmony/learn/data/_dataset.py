"""The base class of data sets, and data sets derived from others."""

from __future__ import annotations

import copy
import functools
import itertools
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ... import _checks
from ..._warnings import quiet
from ...errors import (
    ArgumentError,
    DataError,
    DTypeError,
    FileError,
    MaskError,
    PyHarmonyError,
    PyHarmonyWarning,
    ShapeError,
    UnusableSample,
)
from . import _files

logger = logging.getLogger("pyharmony")

Result = TypeVar("Result")
RandomSamplesT = TypeVar("RandomSamplesT", bound="RandomSamples")

Sample = dict[str, Any]
"""A sample: its `name` and arrays of uint8."""


class OutOfRange(ArgumentError, IndexError):
    """An index is beyond the end, by which a loop over samples ends."""


@dataclass(frozen=True)
class Problem:
    """A defect of a sample or file.

    Attributes:
        name: the name of the sample, or of the file if it belongs to no sample.
        message: the description, with the path.

    Example:
        >>> from pyharmony.learn.data import Problem
        >>> Problem("0007", "mask: missing").message
        'mask: missing'
    """

    name: str
    message: str


class Dataset:
    """A map from indices, 0 to len - 1, to samples.

    Attributes:
        names: the name of each sample.
        groups: for each sample a key common to samples of the same scene; a group is never split.
        categories: for each sample the category of its content, as named by its source; empty if unknown.

    Example:
        >>> from pyharmony.learn.data import Dataset
        >>> class Greys(Dataset):
        ...     names = ["dark", "light"]
        ...     def _load(self, index):
        ...         return {"name": self.names[index], "image": np.full((2, 2, 3), 100 + 100 * index, np.uint8)}
        >>> [sample["name"] for sample in Greys()], len(Greys())
        (['dark', 'light'], 2)
    """

    names: Sequence[str]
    _bad: Sequence[Problem] = ()  # the problems of its files

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if not {"_load", "__getitem__"}.isdisjoint(vars(cls)) and "_load_for" not in vars(cls):
            cls._load_for = Dataset._load_for  # type: ignore[method-assign]  # that of a base loads other samples

    @property
    def groups(self) -> Sequence[str]:
        return self.names

    @property
    def categories(self) -> Sequence[str]:
        return [""] * len(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return self._load(self._at(index))

    def __iter__(self) -> Iterator[Sample]:
        for index in range(len(self)):
            yield self[index]

    def _load_for(self, index: int, side: int) -> Sample:
        """Returns a sample for `resize_sample`; large images may be at side x side pixels, decoded at less than all."""
        return self[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} samples)"

    @_checks.kinds
    def check(
        self, progress: Callable[[], None] | None = None, *, threads: int = 1, size: int | None = None
    ) -> list[Problem]:
        """Returns all problems of the data set: every sample is loaded and looked at, and failures are collected.

        Images are uint8 [H, W, 3], a mask is uint8 [H, W] with 255 for fully inside and a pixel that is at least half
        inside, all of a sample have one size, and boxes have an area in it: `box` and `boxes` are (x, y, width,
        height), `box_xyxy` and `boxes_xyxy` corners.

        Args:
            progress: called after each sample.
            threads: the number of samples to decode at once.
            size: the side of a network's training images, such as `data.size` of a recipe: a sample whose mask is
                empty at that size, see `resize_sample`, is a problem too. None: masks are checked at full size.
        """
        side = None if size is None else _checks.whole(size, "size", low=1)
        problems, names = [*self._strays()], set()
        work = functools.partial(self._check_at, size=side)
        for name, own_problems in zip(self.names, in_order(work, len(self), threads), strict=True):
            if name in names:
                problems.append(Problem(name, f"{name}: there are several samples of this name"))
            names.add(name)
            problems += own_problems
            if progress is not None:
                progress()
        return problems

    def _at(self, index: Any, name: str = "index") -> int:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise DTypeError(f"{name}: {type(index).__name__}, expected a whole number")
        if not -len(self) <= index < len(self):
            raise OutOfRange(f"{name}: {_checks.shortened(index)}, expected 0 to {len(self) - 1}")
        return int(index) % len(self)

    def _load(self, index: int) -> Sample:
        raise NotImplementedError

    def _check_one(self, index: int) -> list[Problem]:
        name = self.names[index]
        try:
            return [Problem(name, f"{name}: {fault}") for fault in faults_of(self[index])]
        except (PyHarmonyError, OSError) as error:
            return [Problem(name, error_text(error))]

    def _check_at(self, index: int, size: int | None) -> list[Problem]:
        """Returns the problems of a sample; if it has none, that of its mask at size x size pixels."""
        problems = self._check_one(index)
        return problems if problems or size is None else self._check_mask(index, size)

    def _check_mask(self, index: int, size: int) -> list[Problem]:
        """Returns the problem of a sample whose mask is empty at size x size pixels."""
        sample = self[index]
        try:
            resize_sample({"name": self.names[index], **{k: v for k, v in sample.items() if k == "mask"}}, size)
        except UnusableSample as error:
            return [Problem(self.names[index], str(error))]
        return []

    def _strays(self) -> list[Problem]:
        """Returns the problems of files that belong to no sample."""
        return [*self._bad]


def faults_of(sample: Any) -> list[str]:
    """Describes what is wrong with the arrays of a sample."""
    if not isinstance(sample, dict):
        return [f"a {type(sample).__name__}, expected a dict of its name and its arrays"]
    roles = [role for role in sample if role in _files.IMAGES or role == "mask"]
    arrays = [value for value in sample.values() if isinstance(value, np.ndarray) and value.dtype == np.uint8]
    faults = (
        [] if roles or arrays else [f"has {', '.join(map(str, sample))}; expected {', '.join(_files.IMAGES)} or mask"]
    )
    size: tuple[int, int] | None = None
    for role in roles:
        value = sample[role]
        try:
            check_array(value, role, role)
            height, width = value.shape[:2]
            size = size or (width, height)
            if size != (width, height):
                raise ShapeError(f"{role}: {width} x {height} pixels, expected {size[0]} x {size[1]} as {roles[0]}")
            largest = int(value.max())
            if largest == 1 and not value.all():
                raise MaskError(f"{role}: its largest value is 1, expected 255 for {_WHITES[role == 'mask']}")
            if role == "mask" and largest < 128:
                raise MaskError(f"mask: empty; no pixel is at least half inside, its largest value is {largest}")
        except PyHarmonyError as error:
            faults.append(str(error))
    for key in ("box", "box_xyxy", "boxes", "boxes_xyxy"):
        if sample.get(key) is None:
            continue
        check: Callable[..., Any] = _checks.checked_boxes if key.startswith("boxes") else _checks.checked_box
        try:
            with quiet(PyHarmonyWarning):  # a box partly outside is clipped
                check(sample[key], key, size, corners=key.endswith("_xyxy"))
        except PyHarmonyError as error:
            faults.append(str(error))
    return faults


#: The words for the largest value of an image and of a mask.
_WHITES = ("white", "fully inside")


def check_array(value: Any, role: str, name: str) -> None:
    """Raises if the value of a role is not an image uint8 [H, W, 3], or a mask uint8 [H, W]."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        kind = getattr(value, "dtype", type(value).__name__)
        hint = "255 is fully inside" if role == "mask" else "255 is white"
        raise DTypeError(f"{name}: {kind}, expected an array of uint8", hint=hint)
    form = "[H, W]" if role == "mask" else "[H, W, 3]"
    if value.ndim != form.count(",") + 1 or value.shape[2:] not in ((), (3,)) or value.size == 0:
        raise ShapeError(f"{name}: shape {list(value.shape)}, expected {form}")


def error_text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        role = f"{error.argument}: " if isinstance(error, FileError) and error.argument else ""
        return f"{error.filename}: {role}{(error.strerror or type(error).__name__).lower()}"
    return str(error)


def in_order(work: Callable[[int], Result], count: int, threads: int) -> Generator[Result, None, None]:
    """Yields work(0), work(1), ... in order, computed by several threads, a few ahead."""
    at_once = _checks.whole(threads, "threads", low=1)
    return results_in_order((functools.partial(work, index) for index in range(count)), at_once)


def results_in_order(calls: Iterable[Callable[[], Result]], threads: int) -> Generator[Result, None, None]:
    """Yields the results of calls in order, computed by several threads, a few ahead."""
    if threads == 1:
        for call in calls:
            yield call()
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for call in calls:
                waiting.append(pool.submit(call))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def write_numbered(
    folder: Any, suffix: str, parts: Iterator[Result], per_file: int, write: Callable[[Any, Iterator[Result]], None]
) -> None:
    """Writes parts as files `000000` and so on with a suffix in a new folder, all or nothing."""
    most = _checks.whole(per_file, "samples_per_shard", low=1)
    with _files.new_folder(folder) as draft:
        for number in itertools.count():
            first = list(itertools.islice(parts, 1))
            if not first:
                return
            with open(draft / f"{number:06}{suffix}", "wb") as file:
                write(file, itertools.chain(first, itertools.islice(parts, most - 1)))
                _files.sync(file)


def sample_of(dataset: Any, index: int) -> Sample:
    """Returns a copy of a sample of a data set, or of a list of samples."""
    sample = dataset[index]
    if not isinstance(sample, Mapping):
        raise DTypeError(f"dataset[{index}]: {type(sample).__name__}, expected a sample, a dictionary")
    return dict(sample)


def load_samples(
    dataset: Any, errors: str, progress: Callable[[], None] | None, threads: int, size: int | None = None
) -> Iterator[tuple[int, Sample]]:
    """Yields index and resized sample of all that can be loaded; errors: whether others 'raise' or are skipped."""
    _checks.one_of(errors, "errors", ("raise", "skip"))
    _checks.whole(threads, "threads", low=1)

    def load(index: int) -> Sample | Exception:
        try:
            sample = sample_of(dataset, index)
            return sample if size is None else resize_sample(sample, size)
        except (PyHarmonyError, OSError) as error:
            return error

    def samples() -> Iterator[tuple[int, Sample]]:
        for index, outcome in enumerate(in_order(load, len(dataset), threads)):
            if not isinstance(outcome, Exception):
                yield index, outcome
            elif errors == "raise":
                raise outcome
            else:
                name = dataset.names[index] if isinstance(dataset, Dataset) else index
                logger.warning("%s is left out: %s", name, error_text(outcome))
            if progress is not None:
                progress()

    return samples()


class RandomSamples(Dataset):
    """Samples drawn from some photographs, `per_photo` of each, with other random numbers in every epoch."""

    _epoch = 0

    def __init__(self, photos: Dataset, photo_indices: Sequence[int], per_photo: int, seed: int) -> None:
        self._per = _checks.whole(per_photo, "per_photo", low=1)
        self.photos, self._photo_indices = photos, list(photo_indices)
        self.seed = _checks.whole(seed, "seed")
        names = photos.names
        self.names = [f"{names[i]}_{k}" if self._per > 1 else names[i] for i in photo_indices for k in range(self._per)]

    @property
    def groups(self) -> Sequence[str]:
        groups = self.photos.groups
        return [groups[i] for i in self._photo_indices for _ in range(self._per)]

    def at_epoch(self: RandomSamplesT, epoch: int) -> RandomSamplesT:
        """Returns samples of the same photographs with other random numbers, which differ in every epoch."""
        other = copy.copy(self)
        other._epoch = _checks.whole(epoch, "epoch")
        if isinstance(self.photos, RandomSamples):
            other.photos = self.photos.at_epoch(epoch)
        return other

    def _random(self, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self._epoch, index))


def image_of(sample: Sample, name: str) -> Any:
    """Returns the photograph of a sample, `target` or `image`."""
    image = sample.get("target", sample.get("image"))
    if image is None:
        raise DataError(f"{name}: has {', '.join(sample)}, expected an image")
    return image


def numbers_with_masks(photos: Dataset, with_masks: Sequence[int] | None) -> tuple[list[int], list[int]]:
    """Returns the indices of the photographs that have a mask, and of the others.

    with_masks: the former, if they are known; None: all photographs are read to find out.
    """
    if with_masks is None:
        with_masks = [i for i in range(len(photos)) if "mask" in photos[i]]
    for number, index in enumerate(with_masks):
        _checks.whole(index, f"with_masks[{number}]", high=len(photos) - 1)
    if not with_masks:
        raise ArgumentError(f"photos: none of {len(photos)} has a mask, expected at least one")
    own = set(with_masks)
    return list(with_masks), [i for i in range(len(photos)) if i not in own]


class Subset(Dataset):
    """Some samples of a data set.

    Args:
        dataset: the data set.
        indices: the indices of its samples, in this order.

    Example:
        >>> from pyharmony import data
        >>> data.Subset(data.Photos("photos"), [1]).names
        ['b']
    """

    @_checks.kinds
    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)
        bad = next((index for index in self.indices if not 0 <= index < len(dataset)), None)
        if bad is not None:
            raise ArgumentError(f"indices: {bad}, expected 0 to {len(dataset) - 1}")
        self.names = [dataset.names[index] for index in self.indices]

    @property
    def groups(self) -> Sequence[str]:
        groups = self.dataset.groups
        return [groups[index] for index in self.indices]

    @property
    def categories(self) -> Sequence[str]:
        categories = self.dataset.categories
        return [categories[index] for index in self.indices]

    def _load(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def _load_for(self, index: int, side: int) -> Sample:
        return self.dataset._load_for(self.indices[index], side)

    def _check_one(self, index: int) -> list[Problem]:
        return self.dataset._check_one(self.indices[index])


class _SameSamples(Dataset):
    """Samples derived one by one from another data set, `dataset`."""

    dataset: Dataset

    @property
    def groups(self) -> Sequence[str]:
        return self.dataset.groups

    @property
    def categories(self) -> Sequence[str]:
        return self.dataset.categories


class Resized(_SameSamples):
    """A data set at size x size pixels.

    Args:
        dataset: the data set.
        size: the side, see `resize_sample`.

    Example:
        >>> from pyharmony import data
        >>> data.Resized(data.Photos("photos"), 16)[0]["image"].shape
        (16, 16, 3)
    """

    @_checks.kinds
    def __init__(self, dataset: Dataset, size: int = 256) -> None:
        self.dataset, self.size = dataset, _checks.whole(size, "size", low=1)
        self.names = dataset.names

    def _load(self, index: int) -> Sample:
        return resize_sample(self.dataset[index], self.size)


class Cached(_SameSamples):
    """A data set that caches its samples in memory; their arrays must not be changed.

    Args:
        dataset: the data set.
        memory: the largest number of bytes of cached arrays; samples beyond that are read again.

    Example:
        >>> from pyharmony import data
        >>> photos = data.Cached(data.Photos("photos"))
        >>> photos[1]["name"], len(photos)
        ('b', 2)
    """

    @_checks.kinds
    def __init__(self, dataset: Dataset, *, memory: int = 1 << 30) -> None:
        self.dataset, self.names = dataset, dataset.names
        self._samples: dict[tuple[int, int | None], Sample] = {}
        self._left = _checks.whole(memory, "memory", low=1)

    def _load(self, index: int) -> Sample:
        return self._cached(index, None)

    def _load_for(self, index: int, side: int) -> Sample:
        return self._cached(index, side)

    def _cached(self, index: int, side: int | None) -> Sample:
        sample = self._samples.get((index, side))
        if sample is None:
            sample = self.dataset[index] if side is None else self.dataset._load_for(index, side)
            size = sum(value.nbytes for value in sample.values() if isinstance(value, np.ndarray))
            if size <= self._left:
                self._samples[index, side], self._left = sample, self._left - size
        return dict(sample)

    def _check_one(self, index: int) -> list[Problem]:
        return self.dataset._check_one(index)


class Joined(Dataset):
    """Several data sets, concatenated.

    Args:
        datasets: one or more data sets.

    Raises:
        ArgumentError: there is no data set.

    Example:
        >>> from pyharmony import data
        >>> photos = data.Photos("photos")
        >>> len(data.Joined([photos, photos]))
        4
    """

    @_checks.kinds
    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("datasets: none, expected one or more")
        self.names = [name for dataset in self.datasets for name in dataset.names]
        self._starts = np.cumsum([0, *(len(dataset) for dataset in self.datasets)])

    @property
    def groups(self) -> Sequence[str]:
        return [group for dataset in self.datasets for group in dataset.groups]

    @property
    def categories(self) -> Sequence[str]:
        return [category for dataset in self.datasets for category in dataset.categories]

    def _place(self, index: int) -> tuple[Dataset, int]:
        which = int(np.searchsorted(self._starts, index, "right")) - 1
        return self.datasets[which], index - int(self._starts[which])

    def _load(self, index: int) -> Sample:
        dataset, there = self._place(index)
        return dataset[there]

    def _load_for(self, index: int, side: int) -> Sample:
        dataset, there = self._place(index)
        return dataset._load_for(there, side)

    def _check_one(self, index: int) -> list[Problem]:
        dataset, there = self._place(index)
        return dataset._check_one(there)

    def _strays(self) -> list[Problem]:
        return [problem for dataset in self.datasets for problem in dataset._strays()]


@_checks.kinds
def resize_sample(sample: Sample, size: int = 256) -> Sample:
    """Resizes a sample to size x size pixels, ignoring its aspect, as for training and evaluation of harmonisation.

    Images are resized by Pillow's bilinear filter, whose support grows when shrinking. A mask is binarised, 255 where
    it is at least half inside, and resized by nearest neighbour: the protocol of Cong et al. 2020.

    Raises:
        UnusableSample: the mask is empty at that size.
        ShapeError, DTypeError: an image is not [H, W, 3] or a mask not [H, W], of uint8.

    Example:
        >>> from pyharmony import data
        >>> sample = {"name": "a", "image": np.zeros((40, 60, 3), np.uint8)}
        >>> data.resize_sample(sample, 16)["image"].shape
        (16, 16, 3)
    """
    from PIL import Image

    side = _checks.whole(size, "size", low=1)
    result = dict(sample)
    for role, value in sample.items():
        if role != "mask" and role not in _files.IMAGES:
            continue
        check_array(value, role, f"{sample.get('name', 'sample')}: {role}")
        if role == "mask":
            nearest = np.asarray(Image.fromarray(value).resize((side, side), Image.Resampling.NEAREST))
            result[role] = np.where(nearest >= 128, np.uint8(255), np.uint8(0))
            if not result[role].any():
                raise UnusableSample(f"{sample.get('name', 'mask')}: its mask is empty at {side} x {side} pixels")
        elif value.shape[:2] != (side, side):
            image = Image.fromarray(value)
            result[role] = np.array(image.resize((side, side), Image.Resampling.BILINEAR))
    return result
