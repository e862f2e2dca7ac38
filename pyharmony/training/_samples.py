"""The samples of a run: opened, divided, made into composites, and those that were held back afterwards."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import _catalogue, data
from ..errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    NativeError,
    OutOfMemory,
    PyHarmonyError,
    UnusableSample,
)
from ._config import TrainConfig, config_of, in_table

_LOG = logging.getLogger(__name__)
#: The number of samples of a folder by which a run tells whether its images are large enough.
_LOOKED_AT = 16
#: The largest number of composites of each photograph that is held back.
_HELD_BACK = 8


def unreadable(error: Exception) -> bool:
    """Returns whether an error says that a sample is bad, and not that the machine lacks something."""
    return not isinstance(error, (OutOfMemory, NativeError, DeviceError))


def why_bad(found: data.Dataset, index: int) -> str:
    """Returns why a sample cannot be read, which another process has noticed."""
    try:
        found[index]
    except (PyHarmonyError, OSError) as error:
        return str(error)
    return f"{found.names[index]}: could be read only when it was tried again"


def check_bad(bad: dict[str, str], config: TrainConfig) -> None:
    """Logs the last of the samples that cannot be read, by name with the reason.

    Raises:
        DataError: there are more of them than `data.largest_bad`.
    """
    name, why = list(bad.items())[-1]
    if len(bad) > config.data.largest_bad:
        raise DataError(
            f"data.root: {len(bad)} samples cannot be read, and data.largest_bad is {config.data.largest_bad}; "
            f"the last: {why}"
        )
    _LOG.warning("%s is left out, since it cannot be read: %s", name, why)


def size_of(run: str | os.PathLike[str]) -> int:
    """Returns the side of the images that the network of a run saw.

    Raises:
        ArgumentError: the folder is not that of a run.
    """
    return _config_of_run(run).data.size


def held_back(run: str | os.PathLike[str], *, size: int | str | None = None) -> data.Dataset:
    """Returns the samples that a run held back to choose its weights by; photographs become composites.

    Args:
        run: the folder of a run.
        size: the size of composites that are made of photographs, see `pyharmony.data.Synthesis`; None: the size of
            the photographs; 'run': the composites that the run itself was measured on, at `size_of` the run. What a
            network that cuts objects out held back are photographs with masks at that size, whatever this is, and what
            one that enlarges held back are squares of that size.

    Raises:
        ArgumentError: the folder is not that of a run, or the run held back nothing.
        FileNotFoundError, DataError: the data has moved or is damaged.
    """
    config = _config_of_run(run)
    found = _parts(config)[1]
    if not len(found):
        raise ArgumentError(f"run: {Path(run)} held back nothing; data.validation was {config.data.validation!r}")
    if _task_of(config) == "segment":
        return _cut_outs(found, config, 1, {})
    if _shows_details(found, config):
        return _details(found, config, 1)
    side = _made_at(config) if isinstance(size, str) else size
    return _composites(found, config, 1, size=side, bad={})


def _config_of_run(run: str | os.PathLike[str]) -> TrainConfig:
    path = Path(run) / "config.json"
    try:
        return config_of(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ArgumentError(f"run: {Path(run)} is no folder of a training run: {error}") from error


def _made_at(config: TrainConfig) -> int:
    """Returns the size at which composites are made, so that a crop leaves data.size."""
    return math.ceil(config.data.size / (1 - config.data.crop))


def datasets(config: TrainConfig, bad: dict[str, str] | None = None) -> tuple[data.Dataset, data.Dataset]:
    """Returns the samples to train on and those held back; photographs and scenes become composites.

    Args:
        config: the configuration of the run.
        bad: gets the names of those that cannot be read and are left out, with the reason, as `data.skip_bad` asks.
    """
    bad = {} if bad is None else bad
    training, validation = _parts(config, sized=not config.data.enlarge)
    if 0 < config.data.limit < len(training):
        drawn = np.random.default_rng((config.run.seed, 2)).permutation(len(training))[: config.data.limit]
        training = data.Subset(training, sorted(drawn.tolist()))
    if _task_of(config) == "segment":
        return _cut_outs(training, config, 0, bad), _cut_outs(validation, config, 1, bad)
    if _shows_details(training, config):
        return _details(training, config, 0), _details(validation, config, 1)
    size = _made_at(config)
    training = _composites(training, config, 0, size=size, bad=bad)
    return training, _composites(validation, config, 1, size=size, bad=bad)


def _task_of(config: TrainConfig) -> str:
    """Returns the task of the network of a run."""
    return _catalogue.entry_of(config.model["name"]).task


def _shows_details(found: data.Dataset, config: TrainConfig) -> bool:
    """Tells whether the network of a run enlarges, and samples are photographs, of which it is shown parts."""
    return _task_of(config) == "upscale" and len(found) > 0 and "composite" not in _first(found, config)


def _details(found: data.Dataset, config: TrainConfig, side: int) -> data.Dataset:
    """Makes squares of photographs to train on (side 0), or of those held back, which are not cropped further."""
    chosen, seed = config.data, 2 * config.run.seed + side
    if not side:
        return data.Crops(found, size=_made_at(config), per_photo=chosen.per_photo, seed=seed)
    squares = data.Crops(found, size=chosen.size, per_photo=min(chosen.per_photo, _HELD_BACK), seed=seed)
    return data.Cached(squares)


def _cut_outs(found: data.Dataset, config: TrainConfig, side: int, bad: dict[str, str]) -> data.Dataset:
    """Makes scenes to cut objects out of from samples to train on (side 0); those held back are shown as they are."""
    chosen = config.data
    if not len(found):
        return found
    found, masked = _usable(found, config, bad)
    if side:
        return data.Cached(data.Resized(data.Subset(found, masked), chosen.size))
    shares = {name: getattr(chosen, name) for name in ("pasted", "seamless", "nearer", "retouched", "worn", "crowded")}
    persons, empty = (
        [i for i, category in enumerate(found.categories) if category in wanted]
        for wanted in (chosen.persons, chosen.empty)
    )
    return data.Pasted(
        data.Cached(data.Resized(found, chosen.scene or 2 * chosen.size)),
        size=chosen.size,
        persons=persons,
        empty=empty,
        with_masks=masked,
        per_photo=chosen.per_photo,
        seed=2 * config.run.seed,
        **shares,
    )


def _usable(
    found: data.Dataset, config: TrainConfig, bad: dict[str, str], *, vanishing: bool = False
) -> tuple[data.Dataset, list[int]]:
    """Returns the samples that can be read, and the numbers of those with a mask.

    Args:
        bad: gets the names of the others, with the reason.
        vanishing: whether to leave out, too, those whose object vanishes at their size.
    """
    usable: list[int] = []
    masked: list[int] = []
    for index in range(len(found)):
        try:
            sample = found[index]
        except UnusableSample as error:
            if not vanishing:
                raise
            _LOG.warning("a sample is left out: %s", error)
            continue
        except (PyHarmonyError, OSError) as error:
            if not (config.data.skip_bad and unreadable(error)):
                raise
            bad[found.names[index]] = str(error)
            check_bad(bad, config)
            continue
        if "mask" in sample:
            masked.append(len(usable))
        usable.append(index)
    return (found if len(usable) == len(found) else data.Subset(found, usable)), masked


def _first(found: data.Dataset, config: TrainConfig) -> dict[str, Any]:
    """Returns the first sample that can be read."""
    tries = min(len(found), config.data.largest_bad + 1) if config.data.skip_bad else 1
    for index in range(tries):
        try:
            return dict(found[index])
        except (PyHarmonyError, OSError) as error:
            if not unreadable(error) or index == tries - 1:
                raise
    raise AssertionError("there is no sample")


def check_root(config: TrainConfig) -> None:
    """Refuses a configuration without data."""
    if not config.data.roots:
        raise ArgumentError("data.root: missing, expected a folder", code="no-data")


def _parts(config: TrainConfig, *, sized: bool = False) -> tuple[data.Dataset, data.Dataset]:
    """Returns the samples to train on and those held back; sized: whether sets of small images are refused."""
    chosen = config.data
    check_root(config)
    own: Any = {"kind": chosen.kind, "annotations": chosen.annotations, "boxes": chosen.boxes, "sized": sized}
    training = _opened(chosen.roots, chosen.split, config, **own)
    if isinstance(chosen.validation, str):
        if not os.path.exists(chosen.validation):
            raise FileNotFoundError(errno.ENOENT, "No such file or folder", f"data.validation={chosen.validation}")
        held_back = _opened(
            (chosen.validation,),
            chosen.validation_split,
            config,
            kind=chosen.validation_kind,
            annotations=chosen.validation_annotations,
            boxes=chosen.validation_boxes,
            sized=sized,
            named="validation_",
        )
        return training, held_back
    if chosen.validation_split:
        return training, _opened(chosen.roots, chosen.validation_split, config, **own, named="validation_")
    parts = data.split(training, {"train": 1 - chosen.validation, "val": chosen.validation})
    return parts["train"], parts["val"]


@contextlib.contextmanager
def _told_by_key(named: str) -> Iterator[None]:
    """Makes errors about arguments of `open_dataset` name the setting instead; named: what its name begins with."""
    try:
        yield
    except (ArgumentError, DTypeError) as error:
        own = named if error.argument in ("kind", "split", "annotations", "boxes") else ""
        raise error.within(f"data.{own}") from error


def _opened(
    roots: tuple[str, ...],
    split: str,
    config: TrainConfig,
    *,
    kind: str,
    annotations: str,
    boxes: str,
    sized: bool,
    named: str = "",
) -> data.Dataset:
    chosen, opened = config.data, []
    for root in roots:
        its_kind: Any = kind or None
        with _told_by_key(named):
            found = data.open_dataset(
                root,
                its_kind,
                split=split or None,
                annotations=annotations or None,
                category=chosen.category,
                min_share=chosen.min_share,
                features=chosen.features,
                max_share=chosen.max_share,
                boxes=boxes or None,
            )
        if isinstance(found, data.AlignedScenes):
            found = found.pairs(chosen.pairs, seed=config.run.seed)
        if sized:
            _check_sizes(found, root, config)
        opened.append(found)
    return opened[0] if len(opened) == 1 else data.Joined(opened)


def _check_sizes(found: data.Dataset, root: str, config: TrainConfig) -> None:
    """Refuses a set where both sides of most of the first images are smaller than what the network sees.

    A photograph that is smaller is no reason, nor is one that is smaller in one side.
    """
    size, sides, large = config.data.size, list[tuple[int, int]](), 0
    count = min(len(found), _LOOKED_AT)
    for index in range(count):
        try:
            sample = found[index]
        except (PyHarmonyError, OSError) as error:
            if isinstance(error, UnusableSample) or (config.data.skip_bad and unreadable(error)):
                continue
            raise
        height, width = next(sample[role] for role in ("target", "image", "dst", "composite") if role in sample).shape[
            :2
        ]
        if max(height, width) >= size:
            large += 1
        else:
            sides.append((height, width))
        if 2 * large >= count:
            return
    if len(sides) > large:
        height, width = sides[0]
        raise ArgumentError(
            f"data.size: {size}, and most of the images of {root} are smaller, such as {width} x {height} pixels; "
            f"data.enlarge=true enlarges them, data.size={max(height, width)} does not, if the network takes that"
        )


def _composites(
    found: data.Dataset, config: TrainConfig, side: int, *, size: int | None, bad: dict[str, str]
) -> data.Dataset:
    """Makes composites of `size` from samples to train on (side 0) or held back (side 1), which are not varied."""
    if not len(found):
        return found
    chosen, seed, first = config.data, 2 * config.run.seed + side, _first(found, config)
    if "composite" in first:
        return found
    if "src" in first and "dst" in first:
        side_of_scene = size or chosen.size
        return data.CopyPaste(found, load_size=side_of_scene, crop_size=side_of_scene, seed=seed)
    varies = bool(chosen.retouched or chosen.inverted or chosen.borrowed or chosen.reshaped)
    if "mask" not in first and not varies:
        key = "data.validation" if side and isinstance(chosen.validation, str) else "data.root"
        raise DataError(
            f"{key}: the photograph {first['name']} has no mask; expected masks of the same names in the folder masks "
            "beside images, or composites with mask and target"
        )
    if size is not None:  # decoding takes longer than everything else
        found = data.Cached(data.Resized(found, size))
    per_photo = min(chosen.per_photo, _HELD_BACK) if side else chosen.per_photo
    if chosen.skip_bad or varies:
        # One photograph that cannot be read would spoil the composites of others whose colours it lends.
        found, masked = _usable(found, config, bad, vanishing=varies)
    if varies:
        if side:
            found = data.Subset(found, masked)
            if not masked:
                return found
        else:
            found = data.Varied(
                found,
                retouched=chosen.retouched,
                inverted=chosen.inverted,
                borrowed=chosen.borrowed,
                reshaped=chosen.reshaped,
                with_masks=masked,
                per_photo=per_photo,
                seed=seed,
            )
            per_photo = 1
    # A transfer needs another photograph; where only one is held back, methods that do without are chosen.
    methods: Any = chosen.methods if not side or len(found) > 1 else None
    with in_table("data"):
        return data.Synthesis(
            found,
            methods or None,
            per_photo=per_photo,
            size=size,
            seed=seed,
            severity=(chosen.severity[0], chosen.severity[1]) if chosen.severity else None,
            unchanged=0.0 if side else chosen.unchanged,
        )
