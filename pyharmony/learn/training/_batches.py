"""Batches of samples whose order and augmentation depend only on the seed, not on workers or resuming."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..._arrays import Corners, Pixels
from ...errors import ArgumentError, DataError, PyHarmonyError, UnusableSample
from ..data import Dataset
from ._samples import unreadable

_LOG = logging.getLogger(__name__)
#: The largest number of random crops tried until one contains the object, and of replacements tried for a sample.
_TRIES = 20
#: The number of batches whose samples stay in memory when samples are repeated.
WINDOW = 8


def resized(image: Pixels, size: int, box: Corners | None = None) -> Pixels:
    """Returns the box (x0, y0, x1, y1) of an image, or the whole image, resized to size x size.

    The filters are those of `pyharmony.learn.data.resize_sample`: that of masks for a plane [H, W].
    """
    if image.shape[:2] == (size, size) and box is None:
        return image
    filter_ = Image.Resampling.NEAREST if image.ndim == 2 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((size, size), filter_, box=box))


class TensorSamples:
    """The samples of one epoch as float tensors, ready to be stacked.

    Args:
        dataset: the samples, with uint8 images.
        inputs: the names of the tensors that the step needs.
        size, low: the side of the images, and their lowest pixel value, -1 or 0.
        scale: for super-resolution, the factor by which `image` is smaller than the target (bicubic reduction).
        crop_share, flip: see `DataConfig`; 0 and False for validation.
        seed: the seed of crops and flips, combined with the sample's index.
        skip_bad: whether `usable` skips samples that cannot be read.
    """

    def __init__(
        self,
        dataset: Dataset,
        inputs: Sequence[str],
        size: int,
        low: float,
        *,
        scale: int = 1,
        crop_share: float = 0.0,
        flip: bool = False,
        seed: tuple[int, ...] = (0,),
        skip_bad: bool = False,
    ) -> None:
        self.dataset, self.inputs, self.size, self.low, self.scale = dataset, tuple(inputs), size, low, scale
        self.crop_share, self.flip, self.seed, self.skip_bad = crop_share, flip, seed, skip_bad
        self.left_out = 0
        self.bad: dict[int, str] = {}

    def usable(self) -> Iterator[dict[str, Tensor]]:
        """Yields the usable samples in order; counts the others in `left_out` and records reasons in `bad`."""
        for index in range(len(self)):
            try:
                yield self[index]
            except UnusableSample as error:
                _LOG.info("a sample is left out: %s", error)
                self.left_out += 1
            except (PyHarmonyError, OSError) as error:
                if not (self.skip_bad and unreadable(error)):
                    raise
                self.bad[index] = str(error)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Returns a sample's tensors; uses the first random crop that contains the object."""
        sample = self.dataset[index]
        random = np.random.default_rng((*self.seed, index))
        mask = None
        if "mask" in self.inputs and "mask" in sample:
            mask = np.where(sample["mask"] >= 128, np.uint8(255), np.uint8(0))
        for _ in range(_TRIES if self.crop_share else 1):
            box = self._drawn_box(sample, random) if self.crop_share else None
            region = None if mask is None else resized(mask, self.size, box)
            if region is None or region.any():
                break
        else:
            raise UnusableSample(
                f"{sample.get('name', index)}: its mask is empty at {self.size} x {self.size} pixels"
                + (f", in {_TRIES} crops" if self.crop_share else "")
            )
        mirrored = self.flip and bool(random.integers(2))
        tensors = {}
        for name in self.inputs:
            source = "target" if name == "image" and "target" in sample else name
            if source not in sample:
                # The step reports the missing tensor.
                continue
            pixels = region if name == "mask" and region is not None else resized(sample[source], self.size, box)
            pixels = np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
            x = torch.from_numpy(pixels.copy() if not pixels.flags.writeable else pixels).float() / 255
            if x.ndim == 2:
                tensors[name] = x[None]
                continue
            x = x.permute(2, 0, 1)
            if name == "image" and self.scale > 1:
                small = functional.interpolate(x[None], scale_factor=1 / self.scale, mode="bicubic", antialias=True)
                x = small[0].clamp(0, 1)
            tensors[name] = (x * (1 - self.low) + self.low).contiguous()
        return tensors

    def _drawn_box(self, sample: Mapping[str, Any], random: np.random.Generator) -> Corners:
        height, width = sample["target" if "target" in sample else "image"].shape[:2]
        share = 1 - random.uniform(0, self.crop_share)
        h, w = max(1, round(height * share)), max(1, round(width * share))
        top, left = int(random.integers(height - h + 1)), int(random.integers(width - w + 1))
        return left, top, left + w, top + h


class UsableSamples:
    """Samples as tensors, in which another random sample replaces an unusable one.

    Each sample has two more tensors: `replaced` [], 1 if it replaces a sample whose object vanishes, else 0; and
    `bad` [tries], the indices of the samples that could not be read, padded with -1.
    """

    def __init__(self, prepared: TensorSamples) -> None:
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        random = np.random.default_rng((*self.prepared.seed, index, 1))
        number, replaced = index, 0.0
        bad = torch.full((_TRIES,), -1)
        for tries in range(_TRIES):
            try:
                tensors = self.prepared[number]
            except UnusableSample as error:
                _LOG.info("a sample is replaced by another: %s", error)
                last, replaced = str(error), 1.0
            except (PyHarmonyError, OSError) as error:
                if not (self.prepared.skip_bad and unreadable(error)):
                    raise
                last, bad[tries] = str(error), number
            else:
                return {**tensors, "replaced": torch.tensor(replaced), "bad": bad}
            number = int(random.integers(len(self)))
        raise DataError(f"data.root: {_TRIES} samples in a row are unusable; the last: {last}")


def stacked(samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stacks the tensors that all samples contain."""
    names = [name for name in samples[0] if all(name in sample for sample in samples)]
    return {name: torch.stack([sample[name] for sample in samples]) for name in names}


def order(count: int, batch: int, seed: int, epoch: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Returns the sample indices of each batch of this process in an epoch; drops an incomplete last batch.

    Raises:
        ArgumentError: there are fewer samples than one batch of all processes.
    """
    whole = batch * world
    if count < whole:
        raise ArgumentError(f"data.root: {count} training samples, expected at least one batch of {whole}")
    shuffled = np.random.default_rng((seed, epoch)).permutation(count)
    starts = range(0, count - whole + 1, whole)
    return [[int(i) for i in shuffled[s + rank * batch : s + (rank + 1) * batch]] for s in starts]


def batches(
    prepared: TensorSamples | UsableSamples,
    batch_indices: Sequence[Sequence[int]],
    workers: int,
    *,
    ahead: int = 2,
    pin: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Yields the batches of these samples; each worker process reads `ahead` batches in advance."""
    if not workers or not batch_indices:  # a run that goes on from the end of an epoch has no batch left in it
        for indices in batch_indices:
            yield stacked([prepared[i] for i in indices])
        return
    loader: Any = torch.utils.data.DataLoader(
        prepared,  # type: ignore[arg-type]
        batch_sampler=[list(indices) for indices in batch_indices],
        num_workers=min(workers, os.cpu_count() or 1, len(batch_indices)),
        collate_fn=stacked,
        prefetch_factor=ahead,
        pin_memory=pin,
        worker_init_fn=_one_thread,
    )
    try:
        yield from loader
    except RuntimeError as error:
        cause = error.__cause__
        raise cause if isinstance(cause, PyHarmonyError) else error from None


def repeated(
    prepared: TensorSamples | UsableSamples,
    batch_indices: Sequence[Sequence[int]],
    workers: int,
    repeats: int,
    *,
    start: int = 0,
    seed: tuple[int, ...] = (0,),
    pin: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Yields batches in which each sample occurs `repeats` times, shuffled within a buffer of `WINDOW` batches.

    batch_indices has the same number of samples for each batch. The first `start` batches are skipped; the later ones
    do not depend on it.
    """
    if repeats == 1:
        yield from batches(prepared, batch_indices[start:], workers, pin=pin)
        return
    first, left_out = divmod(start, WINDOW * repeats)
    fresh = batches(prepared, batch_indices[first * WINDOW :], workers, ahead=WINDOW, pin=pin)
    for window in itertools.count(first):
        buffer = list(itertools.islice(fresh, WINDOW))
        if not buffer:
            return
        samples = {name: torch.cat([x[name] for x in buffer]) for name in buffer[0]}
        count = sum(len(next(iter(x.values()))) for x in buffer)
        del buffer
        random = np.random.default_rng((*seed, window))
        for _ in range(repeats):
            for indices in random.permutation(count).reshape(-1, len(batch_indices[0])):
                if left_out:
                    left_out -= 1
                    continue
                which = torch.from_numpy(indices)
                yield {name: x[which] for name, x in samples.items()}


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
