"""The samples of a run: opening, splitting, making composites, and reopening the validation samples of a run."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ... import _catalogue
from ...errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    NativeError,
    OutOfMemory,
    PyHarmonyError,
    UnusableSample,
)
from .. import data
from ._config import TrainConfig, config_of, in_table

_LOG = logging.getLogger(__name__)
#: The number of images of a folder that are inspected for their size.
_INSPECTED_IMAGES = 16
#: The largest number of composites of each validation photograph.
_MAX_VALIDATION_PER_PHOTO = 8


def unreadable(error: Exception) -> bool:
    """Returns whether an error means that a sample is bad, not that the machine lacks something."""
    return not isinstance(error, (OutOfMemory, NativeError, DeviceError))


def why_bad(dataset: data.Dataset, index: int) -> str:
    """Returns why a sample, which failed in another process, cannot be read."""
    try:
        dataset[index]
    except (PyHarmonyError, OSError) as error:
        return str(error)
    return f"{dataset.names[index]}: unreadable at first, readable when tried again"


def check_bad(bad: dict[str, str], config: TrainConfig) -> None:
    """Logs the most recent unreadable sample and raises if there are too many."""
    name, why = list(bad.items())[-1]
    if len(bad) > config.data.largest_bad:
        raise DataError(
            f"data.root: {len(bad)} samples cannot be read, data.largest_bad allows {config.data.largest_bad}; "
            f"the last: {why}"
        )
    _LOG.warning("%s is left out because it cannot be read: %s", name, why)


def size_of(run: str | os.PathLike[str]) -> int:
    """Returns the input size of the network of a run."""
    return _config_of_run(run).data.size


def held_back(run: str | os.PathLike[str], *, size: int | str | None = None) -> data.Dataset:
    """Returns the validation samples of a run; photographs become composites.

    Args:
        run: the folder of a run.
        size: the size of composites made from photographs, see `pyharmony.learn.data.Synthesis`; None: the size of the
            photographs; 'run': the composites on which the run itself was evaluated, at `size_of` the run. Ignored for
            a segmentation network, whose samples are photographs with masks at that size, and for super-resolution,
            whose samples are squares of that size.

    Raises:
        ArgumentError: the folder is not that of a run, or the run has no validation samples.
        FileNotFoundError, DataError: the data has moved or is damaged.
    """
    config = _config_of_run(run)
    dataset = _parts(config)[1]
    if not len(dataset):
        raise ArgumentError(f"run: {run} has no validation samples; it had data.validation={config.data.validation!r}")
    if _task_of(config) == "segment":
        return _cut_outs(dataset, config, 1, {})
    if _shows_details(dataset, config):
        return _details(dataset, config, 1)
    side = _composite_size(config) if isinstance(size, str) else size
    return _composites(dataset, config, 1, size=side, bad={})


def _config_of_run(run: str | os.PathLike[str]) -> TrainConfig:
    path = Path(run) / "config.json"
    try:
        return config_of(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise ArgumentError(f"run: {Path(run)} is not the folder of a training run: {error}") from error


def _composite_size(config: TrainConfig) -> int:
    """Returns the size of composites such that a crop still has data.size pixels."""
    return math.ceil(config.data.size / (1 - config.data.crop_share))


def datasets(config: TrainConfig, bad: dict[str, str] | None = None) -> tuple[data.Dataset, data.Dataset]:
    """Returns the training and validation samples; photographs and scenes become composites.

    bad is filled with the names of unreadable samples, with the reason, if `data.skip_bad` is set.
    """
    bad = {} if bad is None else bad
    training, validation = _parts(config, sized=not config.data.enlarge)
    if 0 < config.data.limit < len(training):
        indices = np.random.default_rng((config.run.seed, 2)).permutation(len(training))[: config.data.limit]
        training = data.Subset(training, sorted(indices.tolist()))
    if _task_of(config) == "segment":
        return _cut_outs(training, config, 0, bad), _cut_outs(validation, config, 1, bad)
    if _shows_details(training, config):
        return _details(training, config, 0), _details(validation, config, 1)
    size = _composite_size(config)
    training = _composites(training, config, 0, size=size, bad=bad)
    return training, _composites(validation, config, 1, size=size, bad=bad)


def _task_of(config: TrainConfig) -> str:
    """Returns the task of the network of a run."""
    return _catalogue.entry_of(config.model["name"]).task


def _shows_details(dataset: data.Dataset, config: TrainConfig) -> bool:
    """Returns whether the samples are photographs to be cropped for a super-resolution network."""
    return _task_of(config) == "upscale" and len(dataset) > 0 and "composite" not in _first(dataset, config)


def _details(dataset: data.Dataset, config: TrainConfig, side: int) -> data.Dataset:
    """Returns square crops of photographs for training (side 0) or validation, which is not cropped randomly."""
    settings, seed = config.data, 2 * config.run.seed + side
    if not side:
        return data.Crops(dataset, size=_composite_size(config), per_photo=settings.per_photo, seed=seed)
    squares = data.Crops(
        dataset, size=settings.size, per_photo=min(settings.per_photo, _MAX_VALIDATION_PER_PHOTO), seed=seed
    )
    return data.Cached(squares)


def _cut_outs(dataset: data.Dataset, config: TrainConfig, side: int, bad: dict[str, str]) -> data.Dataset:
    """Returns synthetic scenes for segmentation from training samples (side 0), or unchanged validation samples."""
    settings = config.data
    if not len(dataset):
        return dataset
    dataset, masked = _usable(dataset, config, bad)
    if side:
        return data.Cached(data.Resized(data.Subset(dataset, masked), settings.size))
    shares = {
        name: getattr(settings, name) for name in ("pasted", "seamless", "nearer", "retouched", "worn", "crowded")
    }
    persons, empty = (
        [i for i, category in enumerate(dataset.categories) if category in names]
        for names in (settings.persons, settings.empty)
    )
    return data.Pasted(
        data.Cached(data.Resized(dataset, settings.scene or 2 * settings.size)),
        size=settings.size,
        persons=persons,
        empty=empty,
        with_masks=masked,
        per_photo=settings.per_photo,
        seed=2 * config.run.seed,
        **shares,
    )


def _usable(
    dataset: data.Dataset, config: TrainConfig, bad: dict[str, str], *, vanishing: bool = False
) -> tuple[data.Dataset, list[int]]:
    """Returns the readable samples, and the indices of those with a mask.

    Args:
        bad: filled with the names of the others, with the reason.
        vanishing: whether to drop samples whose object vanishes at their size as well.
    """
    usable: list[int] = []
    masked: list[int] = []
    for index in range(len(dataset)):
        try:
            sample = dataset[index]
        except UnusableSample as error:
            if not vanishing:
                raise
            _LOG.warning("a sample is left out: %s", error)
            continue
        except (PyHarmonyError, OSError) as error:
            if not (config.data.skip_bad and unreadable(error)):
                raise
            bad[dataset.names[index]] = str(error)
            check_bad(bad, config)
            continue
        if "mask" in sample:
            masked.append(len(usable))
        usable.append(index)
    return (dataset if len(usable) == len(dataset) else data.Subset(dataset, usable)), masked


def _first(dataset: data.Dataset, config: TrainConfig) -> dict[str, Any]:
    """Returns the first readable sample."""
    tries = min(len(dataset), config.data.largest_bad + 1) if config.data.skip_bad else 1
    for index in range(tries):
        try:
            return dict(dataset[index])
        except (PyHarmonyError, OSError) as error:
            if not unreadable(error) or index == tries - 1:
                raise
    raise AssertionError("there is no sample")


def check_root(config: TrainConfig) -> None:
    """Raises if the configuration has no data."""
    if not config.data.roots:
        raise ArgumentError("data.root: missing, expected a folder", code="no-data")


def _parts(config: TrainConfig, *, sized: bool = False) -> tuple[data.Dataset, data.Dataset]:
    """Returns the training and validation samples; sized: whether sets of small images are refused."""
    settings = config.data
    check_root(config)
    training = _open(settings.roots, config, sized)
    if isinstance(settings.validation, str):
        if not os.path.exists(settings.validation):
            raise FileNotFoundError(errno.ENOENT, "No such file or folder", f"data.validation={settings.validation}")
        return training, _open((settings.validation,), config, sized, source="validation_", part="validation_")
    if settings.validation_split:
        return training, _open(settings.roots, config, sized, part="validation_")
    parts = data.split(training, {"train": 1 - settings.validation, "val": settings.validation})
    return parts["train"], parts["val"]


def _open(
    roots: tuple[str, ...], config: TrainConfig, sized: bool, *, source: str = "", part: str = ""
) -> data.Dataset:
    """Opens folders; source and part are prefixes of the names of the settings of their layout, and of their split."""
    settings, parts = config.data, []
    options: Any = {name: getattr(settings, name) for name in ("category", "min_share", "max_share", "features")}
    options |= {name: getattr(settings, f"{source}{name}") or None for name in ("kind", "annotations", "boxes")}
    options["split"] = getattr(settings, f"{part}split") or None
    for root in roots:
        try:
            dataset = data.open_dataset(root, **options)
        except (ArgumentError, DTypeError) as error:
            own = part if error.argument in ("kind", "split", "annotations", "boxes") else ""
            raise error.within(f"data.{own}") from error
        if isinstance(dataset, data.AlignedScenes):
            dataset = dataset.pairs(settings.pairs, seed=config.run.seed)
        if sized:
            _check_sizes(dataset, root, config)
        parts.append(dataset)
    return parts[0] if len(parts) == 1 else data.Joined(parts)


def _check_sizes(dataset: data.Dataset, root: str, config: TrainConfig) -> None:
    """Raises if most of the first images are smaller than the network's input in both sides.

    Single small photographs, or images smaller in one side, are accepted.
    """
    size, sides, large = config.data.size, list[tuple[int, int]](), 0
    count = min(len(dataset), _INSPECTED_IMAGES)
    for index in range(count):
        try:
            sample = dataset[index]
        except (PyHarmonyError, OSError) as error:
            if isinstance(error, UnusableSample) or (config.data.skip_bad and unreadable(error)):
                continue
            raise
        image = next(sample[role] for role in ("target", "image", "dst", "composite") if role in sample)
        height, width = image.shape[:2]
        if max(height, width) >= size:
            large += 1
        else:
            sides.append((height, width))
        if 2 * large >= count:
            return
    if len(sides) > large:
        height, width = sides[0]
        raise ArgumentError(
            f"data.size: {size}, but most images of {root} are smaller, such as {width} x {height} pixels; set "
            f"data.enlarge=true to enlarge them, or data.size={max(height, width)} if the network accepts it"
        )


def _composites(
    dataset: data.Dataset, config: TrainConfig, side: int, *, size: int | None, bad: dict[str, str]
) -> data.Dataset:
    """Makes composites of `size` from samples for training (side 0) or validation, which are not augmented."""
    if not len(dataset):
        return dataset
    settings, seed, first = config.data, 2 * config.run.seed + side, _first(dataset, config)
    if "composite" in first:
        return dataset
    if "src" in first and "dst" in first:
        side_of_scene = size or settings.size
        return data.PairComposites(dataset, load_size=side_of_scene, crop_size=side_of_scene, seed=seed)
    shares = {name: getattr(settings, name) for name in ("retouched", "inverted", "borrowed", "reshaped")}
    varies = any(shares.values())
    if "mask" not in first and not varies:
        key = "data.validation" if side and isinstance(settings.validation, str) else "data.root"
        raise DataError(
            f"{key}: the photograph {first['name']} has no mask; expected masks of the same names in a folder masks "
            "next to images, or composites with mask and target"
        )
    if size is not None:  # decoding dominates the time
        dataset = data.Cached(data.Resized(dataset, size))
    per_photo = min(settings.per_photo, _MAX_VALIDATION_PER_PHOTO) if side else settings.per_photo
    if settings.skip_bad or varies:
        # An unreadable photograph would spoil the composites that take their colours from it.
        dataset, masked = _usable(dataset, config, bad, vanishing=varies)
    if varies:
        if side:
            dataset = data.Subset(dataset, masked)
            if not masked:
                return dataset
        else:
            dataset = data.Varied(dataset, **shares, with_masks=masked, per_photo=per_photo, seed=seed)
            per_photo = 1
    # A transfer needs a second photograph; if there is only one, methods without a reference are chosen.
    methods: Any = settings.methods if not side or len(dataset) > 1 else None
    with in_table("data"):
        return data.Synthesis(
            dataset,
            methods or None,
            per_photo=per_photo,
            size=size,
            seed=seed,
            severity=(settings.severity[0], settings.severity[1]) if settings.severity else None,
            unchanged=0.0 if side else settings.unchanged,
        )
