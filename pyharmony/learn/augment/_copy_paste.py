"""Copy-paste augmentation of one picture."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ... import _checks
from ..._arrays import Bools, NumpyArray, Pixels
from ..._calls import NETLESS
from ..._images.levels import in_levels
from ..._images.region import STRIP, Region, bounding_box, close_strips, to_border
from ..._public import naming_keywords
from ..._warnings import quiet
from ...blend import paste_many
from ...errors import ArgumentError, DTypeError, PyHarmonyError, PyHarmonyWarning, ShapeError
from ._bank import Bank, as_bank
from ._boxes import BOXES
from ._cutout import INSIDE_LEVEL, Cutout, box_of
from ._labels import Objects, Pasted, Update, check_share, checked, updated, with_values

#: The blends of 'random', one of which is drawn for each object.
_RANDOM: tuple[dict[str, Any], ...] = ({"method": "alpha"}, {"method": "poisson"}, {"method": "gaussian_poisson"})
_METHODS = tuple(mode.replace("-", "_") for mode in NETLESS)
#: The methods for which a narrow strip between the mask and the border of the picture counts as inside.
_WITH_STRIPS = ("poisson", "gaussian_poisson")
#: The shortest longer side of a pasted object, in pixels.
_MIN_OBJECT_SIDE = 4
#: The surroundings whose colours an object takes on: its box with this share of its longer side around it; every
#: second pixel of every second row.
_CONTEXT_SHARE, _CONTEXT_STEP = 0.25, 2
#: The largest ratio of the contrasts before and after, and the largest shift of the means, in levels.
_RATIO, _SHIFT = 1.5, 0.15 * 255
#: The random numbers of an object.
_DRAWS = 8
#: The keys of a sample that have a value for each object, with that of a pasted one.
_FIELDS: Mapping[str, Any] = {"iscrowd": 0}
#: The keys of a sample that are updated, or concern it as a whole.
_UPDATED = ("image", BOXES, "boxes", "labels", "masks", "area")
_OF_PICTURE = ("image_id", "size", "orig_size")


class _Plan(NamedTuple):
    """An object that will be pasted, its levels [h, w, 4], the options of its blend and the share of new colours."""

    object: Pasted
    levels: Pixels
    options: dict[str, Any]
    harmonize: float

    @property
    def region(self) -> Region:
        return self.object.region

    @property
    def visible(self) -> Bools:
        return self.object.visible


@naming_keywords
class CopyPaste:
    """Pastes objects of a bank into a picture, and updates its boxes, labels and masks.

    Each object is scaled, mirrored half of the time, placed, and blended; all by random numbers that depend on seed,
    epoch and the index of the picture only. An object gets a label if at least one pixel of it is changed, and the box
    of its visible pixels. Objects of which less than a share stays visible lose their labels and masks, the pasted ones
    included: of those, nothing is pasted at all. After Dwibedi et al., *Cut, Paste and Learn*, 2017, and Ghiasi et al.,
    *Simple Copy-Paste*, 2021.

    Args:
        bank: a `Bank`, a folder, a list of donors; None: donors are passed to each call.
        n: the number of objects, or the range it is drawn from, both ends included.
        blend: 'random' (`alpha`, `poisson` or `gaussian_poisson`, drawn for each object), a method of
            `pyharmony.blend.paste_many`, or a list to draw from: of such methods, or of mappings like its items, such
            as {"method": "poisson", "gradients": "mixed"}.
        harmonize_probability: the probability that the colours of an object take on mean and contrast of what is around
            it.
        occlusion: the least share of an object's pixels that has to be visible, 0 to 1.
        size: the range of an object's longer side, as a share of that of the picture; drawn so that each factor is
            equally likely.
        enlarge: the largest factor by which an object is enlarged to that size, at least 1.
        scale: the range of the factor of an object's own size, instead of size and enlarge. Either is limited so that
            the object is no larger than the picture.
        flip: the probability of mirroring.
        inside: the least share of an object's width, and of its height, that lies in the picture, above 0 to 1.
        seed: the seed of all random numbers.
        fields: for other keys of samples that have a value for each object, the value of a pasted one. 'iscrowd' is 0,
            and 'area' the number of visible pixels.
        image_keys: other keys of samples that are lists or arrays and concern the picture as a whole, beside
            'image_id', 'size' and 'orig_size'.

    Raises:
        ArgumentError, DTypeError: an argument is wrong.

    Example:
        >>> from pyharmony import augment
        >>> cup = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
        >>> disc = np.hypot(*(np.mgrid[:40, :40] - 19.5)) < 16
        >>> paste = augment.CopyPaste([augment.Donor(cup, disc, label=2)], n=3, seed=1)
        >>> photo = np.full((128, 128, 3), 128, np.uint8)
        >>> result = paste(photo, boxes_xyxy=np.zeros((0, 4)), labels=np.zeros(0, int), index=7)
        >>> result["labels"].tolist(), result["boxes_xyxy"].shape, result["image"].shape
        ([2, 2, 2], (3, 4), (128, 128, 3))
    """

    def __init__(
        self,
        bank: Any,
        n: int | tuple[int, int] = (1, 5),
        blend: Any = "random",
        harmonize_probability: float = 0.3,
        occlusion: float = 0.05,
        *,
        size: tuple[float, float] = (0.1, 0.5),
        enlarge: float = 2.0,
        scale: tuple[float, float] | None = None,
        flip: float = 0.5,
        inside: float = 0.6,
        seed: int = 0,
        fields: Mapping[str, Any] | None = None,
        image_keys: Sequence[str] = (),
    ) -> None:
        try:
            self.bank = None if bank is None else as_bank(bank)
        except PyHarmonyError as error:
            raise error.within("bank: ") from None
        self.n = _range_of_counts(n)
        self.blends = _blends(blend)
        self.harmonize_probability = check_share(harmonize_probability, "harmonize_probability")
        self.occlusion = check_share(occlusion, "occlusion")
        self.size = _range(size, "size", 1.0)
        self.enlarge = _checks.number(enlarge, "enlarge", low=1.0, accepts="a finite number of at least 1")
        self.scale = None if scale is None else _range(scale, "scale", 1e3)
        self.flip = check_share(flip, "flip")
        self.inside = _checks.number(inside, "inside", low=1e-3, high=1.0, accepts="a number above 0, at most 1")
        self.seed = _checks.whole(seed, "seed")
        if not (fields is None or isinstance(fields, Mapping)):
            raise DTypeError(
                f"fields: {type(fields).__name__}, expected a mapping from keys to values of a pasted object"
            )
        keys = _checks.several(image_keys, "image_keys", "a list of keys")
        for name, key in (*(("image_keys", key) for key in keys), *(("fields", key) for key in fields or ())):
            if not isinstance(key, str):
                raise DTypeError(f"{name}: {_checks.shortened(key)}, expected keys of samples, which are texts")
        self.fields, self.image_keys = {**_FIELDS, **(fields or {})}, {*_OF_PICTURE, *keys}
        self._epoch = self._calls = 0

    def __repr__(self) -> str:
        return f"CopyPaste({self.bank}, n={self.n}, seed={self.seed}, epoch={self._epoch})"

    def at_epoch(self, epoch: int) -> CopyPaste:
        """Returns the same augmentation with other random numbers, which differ in every epoch.

        Example:
            >>> from pyharmony import augment
            >>> augment.CopyPaste(None).at_epoch(3)
            CopyPaste(None, n=(1, 5), seed=0, epoch=3)
        """
        other = copy.copy(self)
        other._epoch, other._calls = _checks.whole(epoch, "epoch"), 0
        return other

    def __call__(
        self,
        image: Any,
        *,
        boxes_xyxy: Any = None,
        labels: Any = None,
        masks: Any = None,
        index: int | None = None,
        donors: Any = None,
        in_place: bool = False,
        boxes: Any = None,
    ) -> dict[str, Any]:
        """Returns a picture with pasted objects, and what describes its objects.

        Args:
            image: [H, W] or [H, W, C], C of 1 or 3, uint8, uint16 or floats with 1.0 for white; or a mapping with
                'image' and any of 'boxes_xyxy', 'labels' and 'masks'. Of its other keys, single values stay as they
                are, and lists and arrays have to be in `fields` or `image_keys`.
            boxes_xyxy: [N, 4], x0, y0, x1, y1 in pixels, integers or floats, the last two excluded; an array or a list.
            labels: a label for each object, an array [N] or [N, 1] or a list.
            masks: [N, H, W], bool or uint8 (not zero inside), or a map [H, W] of integers: 0 for no object, k for the
                k-th one. A map without boxes and labels may have other numbers, such as ids: objects keep them, and
                pasted ones get those after the largest.
            index: the number of the picture, at least 0, for its random numbers. None: the number of this call of this
                object; with several worker processes pass an index, since each counts on its own.
            donors: a bank or list to paste all of, in random places, instead of some of the bank.
            in_place: whether to write into image, an array.
            boxes: the old name of boxes_xyxy, which this release still takes, with a warning.

        Returns:
            A dictionary of 'image' and those of 'boxes_xyxy', 'labels' and 'masks' that were passed, or of all keys of
            the mapping, in the same kinds and dtypes: first the objects that stay, in order, then the pasted ones.
            Where masks show that an object is covered in part, its box shrinks to what is visible; without masks boxes
            stay. Boxes of pasted objects end where the last pixel does.

        Raises:
            ShapeError, DTypeError, ArgumentError: an argument is wrong, or boxes, labels and masks are of different
                numbers of objects.
            DataError, MaskError, OSError: a donor cannot be read; the message names it, `Bank.checked` lists them all.
                One without a pixel inside its mask is left out, with a warning in the log.
        """
        if isinstance(image, Mapping):
            _refuse(boxes_xyxy=boxes_xyxy, boxes=boxes, labels=labels, masks=masks)
            return self._sample(image, index, donors, in_place, _checks.renamed(image, "boxes", BOXES))
        name = _checks.renamed({BOXES: boxes_xyxy, "boxes": boxes}, "boxes", BOXES)
        corners = boxes_xyxy if name == BOXES else boxes
        result, update = self._pasted(image, corners, labels, masks, index, donors, in_place, name)
        return {"image": result, **_parts(update.objects, name)}

    def _sample(
        self, sample: Mapping[str, Any], index: int | None, donors: Any, in_place: bool, name: str
    ) -> dict[str, Any]:
        """Returns a sample with pasted objects; name: the key of its boxes."""
        if "image" not in sample:
            raise ArgumentError(f"image: a mapping of {', '.join(map(repr, sample))}, expected the key 'image'")
        for key, values in sample.items():
            if key not in (*self.fields, *self.image_keys, *_UPDATED) and _count_of(values) is not None:
                hint = f"pass fields={{{key!r}: the value of a pasted one}}, or image_keys=[{key!r}] if of the picture"
                raise ArgumentError(f"{key}: a list or an array, of which it is not known what it describes", hint=hint)
        boxes, labels, masks = map(sample.get, (name, "labels", "masks"))
        result, update = self._pasted(sample["image"], boxes, labels, masks, index, donors, in_place, name)
        output = {**sample, "image": result, **_parts(update.objects, name)}
        count = update.objects.number - len(update.new) + update.gone
        if "area" in sample:
            output["area"] = _areas(sample["area"], update, count)
        for key, values in sample.items():
            if key in self.fields:
                _check_length(values, key, count)
                output[key] = with_values(values, update.keep, [self.fields[key]] * len(update.new), key)
        return output

    def _pasted(
        self, image: Any, boxes: Any, labels: Any, masks: Any, index: int | None, donors: Any, in_place: bool, name: str
    ) -> tuple[NumpyArray, Update]:
        """Returns the picture with objects, and the update of what describes it; name: that of boxes in messages."""
        _check_image(image, _checks.flag(in_place, "in_place"))
        shape = image.shape[:2]
        objects = checked(boxes, labels, masks, shape, name)
        bank = self.bank if donors is None else as_bank(donors)
        if bank is None:
            raise ArgumentError("donors: None without a bank, expected a bank or a list of donors")
        if index is None:
            index, self._calls = self._calls, self._calls + 1
        number = _checks.whole(index, "index")
        plans = self._plans(bank, shape, self._draws(number, len(bank) if donors is not None else None), donors is None)
        if labels is not None:
            _check_labels(plans, bank)
        around = [plan.region.of(image).copy() for plan in plans] if in_place else []
        result = image if in_place else image.copy()
        if plans:
            _paste(result, image, plans)
        pasted = []
        for i, plan in enumerate(plans):
            before = around[i] if in_place else plan.region.of(image)
            if _changes(before, plan.region.of(result), plan.visible):
                pasted.append(plan.object)
        return result, updated(objects, pasted, self.occlusion, shape)

    def _draws(self, index: int, count: int | None) -> list[list[float]]:
        """Returns the random numbers of each object from the top down, in [0, 1); count: their number, or drawn.

        Python's generator has the same numbers for a seed in every version, on every machine.
        """
        random = Random(self.seed << 128 | self._epoch << 64 | index).random  # noqa: S311
        low, high = (count, count) if count is not None else self.n
        number = low + int(random() * (high - low + 1))
        return [[random() for _ in range(_DRAWS)] for _ in range(number)]

    def _plans(self, bank: Bank, shape: tuple[int, int], draws: list[list[float]], drawn: bool) -> list[_Plan]:
        """Returns the objects to paste, the lowest first.

        They are planned from the top down: an object of which too little is visible is not pasted at all.
        """
        plans: list[_Plan] = []
        for i, draw in enumerate(draws):
            number = int(draw[0] * len(bank)) if drawn else i
            cutout = bank._cutout_or_none(number)
            if cutout is None:
                continue
            plan = self._plan(cutout, bank._label(number), number, shape, draw, plans)
            if plan is not None:
                plans.append(plan)
        return plans[::-1]

    def _plan(
        self, cutout: Cutout, label: Any, number: int, shape: tuple[int, int], draw: list[float], above: list[_Plan]
    ) -> _Plan | None:
        """Returns an object as it is pasted under others; None if too little of it would be visible."""
        _, for_size, for_flip, for_x, for_y, for_blend, for_colours, strength = draw
        height, width = cutout.shape
        if self.scale is not None:
            factor = _between(self.scale, for_size)
        else:
            factor = min(_between(self.size, for_size) * max(shape) / max(height, width), self.enlarge)
        factor = min(max(factor, _MIN_OBJECT_SIDE / max(height, width)), shape[0] / height, shape[1] / width)
        scaled = cutout.scaled(factor)
        if not scaled.area:  # thinner than a pixel
            return None
        if for_flip < self.flip:
            scaled = scaled.mirrored
        options = self.blends[int(for_blend * len(self.blends))]
        (rows, columns), box = scaled.hard.shape, scaled.box
        x = self._start(box.x1 - box.x0, shape[1], for_x) - box.x0
        y = self._start(box.y1 - box.y0, shape[0], for_y) - box.y0
        region, levels, visible = Region(y, y + rows, x, x + columns), scaled.levels, scaled.hard
        near = STRIP + 1 if options["method"] in _WITH_STRIPS else 0
        inner = y >= near and x >= near and y + rows <= shape[0] - near and x + columns <= shape[1] - near
        if not inner:
            region = region.overlap(Region.whole(shape))
            levels = region.of(levels, (y, x))
            if near:
                region, levels = _to_border(region, levels, shape)
            visible = levels[..., 3] >= INSIDE_LEVEL
            if near and region.shape == shape and levels[..., 3].all():
                options = {"method": "alpha"}  # a solve needs a pixel of the picture
        own = visible
        for other in above:
            there = other.object.box
            if there.y0 < region.y1 and region.y0 < there.y1 and there.x0 < region.x1 and region.x0 < there.x1:
                both = region.overlap(there)
                visible = visible.copy() if visible is own else visible
                both.of(visible, region.origin)[both.of(other.visible, other.region.origin)] = False
        pixels_seen = int(np.count_nonzero(visible)) if visible is not scaled.hard else scaled.area
        if pixels_seen == 0 or pixels_seen < self.occlusion * scaled.area:
            return None
        box = (box if visible is scaled.hard else box_of(visible)).moved(*region.origin)
        amount = 0.5 + 0.5 * strength if for_colours < self.harmonize_probability else 0.0
        return _Plan(Pasted(region, visible, box, pixels_seen, label, number), levels, options, amount)

    def _start(self, side: int, whole: int, share: float) -> int:
        """Returns the first pixel of an object of a side, of which at least `inside` lies in a picture."""
        least, most = math.ceil((self.inside - 1) * side), math.floor(whole - self.inside * side)
        return least + int(share * (most - least + 1))


def _to_border(region: Region, part: Pixels, shape: tuple[int, int]) -> tuple[Region, Pixels]:
    """Returns a region and its levels, extended by the strips at the picture's border that count as inside."""
    own = bounding_box(part[..., 3]).moved(*region.origin)
    wide = Region.around([region, to_border(own, shape)])
    if wide.y0 > 0 and wide.x0 > 0 and wide.y1 < shape[0] and wide.x1 < shape[1]:
        return region, part
    sides = ((region.y0 - wide.y0, wide.y1 - region.y1), (region.x0 - wide.x0, wide.x1 - region.x1), (0, 0))
    levels = np.pad(part, sides, mode="edge") if wide != region else part.copy()
    mask = np.pad(part[..., 3], sides[:2]) if wide != region else part[..., 3]
    levels[..., 3] = close_strips(np.ascontiguousarray(mask), wide, shape)
    return wide, levels


def _paste(result: NumpyArray, image: NumpyArray, plans: Sequence[_Plan]) -> None:
    """Pastes objects into a copy of image, or image itself, in one call."""
    items = []
    for plan in plans:
        colours = plan.levels[..., :3]
        if plan.harmonize:
            colours = _harmonized(plan, image)
        item = {"src": _like(colours, image), "mask": plan.levels[..., 3], "at": (plan.region.x0, plan.region.y0)}
        items.append({**plan.options, **item})
    with quiet(PyHarmonyWarning):  # of clipped colours, small masks and the like, which are meant here
        paste_many(result, items, device="cpu", out=result)


def _harmonized(plan: _Plan, image: NumpyArray) -> Pixels:
    """Returns the colours of an object with the mean and the contrast of each channel moved towards those around it.

    The sums are of whole numbers in float64, which are exact, so that they are the same on every machine.
    """
    height, width = plan.region.shape
    around = plan.region.expand(round(_CONTEXT_SHARE * max(height, width)), image.shape).of(image)[
        ::_CONTEXT_STEP, ::_CONTEXT_STEP
    ]
    own = plan.levels[::_CONTEXT_STEP, ::_CONTEXT_STEP][
        plan.levels[::_CONTEXT_STEP, ::_CONTEXT_STEP, 3] >= INSIDE_LEVEL
    ][:, :3]
    if not len(own):
        return plan.levels[..., :3]
    (mean, spread), (goal, wide) = _moments(own), _moments(in_levels(around).reshape(-1, around[0, 0].size))
    ratio = np.clip(wide / np.maximum(spread, 1.0), 1 / _RATIO, _RATIO)
    shift = np.clip(goal - mean, -_SHIFT, _SHIFT)
    gain, amount = 1 + plan.harmonize * (ratio - 1), plan.harmonize
    values = (np.arange(256.0)[:, None] - mean) * gain + (mean + amount * shift)
    table = np.rint(values.clip(0, 255)).astype(np.uint8)
    return np.stack([table[:, c][plan.levels[..., c]] for c in range(3)], -1)


def _moments(values: NumpyArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the mean and the standard deviation of each channel of levels [N, C]."""
    x = values.astype(np.float64)
    mean = x.sum(0) / len(x)
    return mean, np.sqrt(np.maximum((x * x).sum(0) / len(x) - mean * mean, 0))


def _like(colours: Pixels, image: NumpyArray) -> NumpyArray:
    """Returns colours [h, w, 3] with the channels and in the dtype of an image."""
    values: NumpyArray = colours
    if image.ndim == 2 or image.shape[2] == 1:  # the luma of Rec. 601
        weighted = colours.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
        values = ((weighted + 500) // 1000).astype(np.uint8)
        values = values if image.ndim == 2 else values[..., None]
    if image.dtype == np.uint8:
        return values
    if image.dtype == np.uint16:
        return values.astype(np.uint16) * np.uint16(257)
    return (values.astype(np.float32) / np.float32(255)).astype(image.dtype)


def _changes(before: NumpyArray, after: NumpyArray, visible: Bools) -> bool:
    """Returns whether a visible pixel [h, w] differs: mostly, the middle one or one of its row does."""
    row, column = len(visible) // 2, visible.shape[1] // 2
    if visible[row, column] and before[row, column].tolist() != after[row, column].tolist():
        return True
    if (before[row] != after[row])[visible[row]].any():
        return True
    return bool((before != after)[visible].any())


def _check_image(image: Any, in_place: bool) -> None:
    accepts = "an array [H, W] or [H, W, C] of 1 or 3 channels"
    if not isinstance(image, np.ndarray):
        raise DTypeError(f"image: {type(image).__name__}, expected {accepts}, or a mapping with 'image'")
    _checks.image_form(image.shape, image.dtype.name, "image", (2, 3))
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        raise ShapeError(f"image: shape {list(image.shape)}, expected {accepts}")
    _checks.warn_of_range(image[..., None] if image.ndim == 2 else image, "image")
    if in_place and not image.flags.writeable:
        raise ArgumentError("image: the array is read-only, expected one that can be written into, with in_place=True")


def _check_labels(plans: Sequence[_Plan], bank: Bank) -> None:
    for plan in plans:
        if plan.object.label is None:
            raise ArgumentError(
                f"labels: passed, but {bank.names[plan.object.number]} has no label; expected donors with labels"
            )


def _refuse(**parts: Any) -> None:
    for name, value in parts.items():
        if value is not None:
            raise ArgumentError(f"{name}: passed beside a mapping, expected it in the mapping")


def _parts(objects: Objects, name: str) -> dict[str, Any]:
    """Returns those of boxes, which have this name, labels and masks that a picture has."""
    parts = {name: objects.boxes, "labels": objects.labels, "masks": objects.masks}
    return {name: value for name, value in parts.items() if value is not None}


def _areas(areas: Any, update: Update, count: int) -> Any:
    """Returns the area of each object: of those that are covered, by their masks, and of the new ones the pixels."""
    _check_length(areas, "area", count)
    result = with_values(areas, update.keep, [one.area for one in update.new], "area")
    if update.objects.masks is not None:
        rows = {index: row for row, index in enumerate(update.keep)}
        for one in update.occluded:
            result[rows[one.row]] = one.visible
    return result


def _check_length(values: Any, key: str, count: int) -> None:
    if _count_of(values) != count:
        raise ShapeError(f"{key}: {_count_of(values)} values, expected {count}, one for each object")


def _count_of(values: Any) -> int | None:
    """Returns the length of a list or an array; None for other values."""
    if isinstance(values, np.ndarray):
        return len(values) if values.ndim else None
    return len(values) if isinstance(values, (list, tuple)) else None


def _range_of_counts(n: Any) -> tuple[int, int]:
    accepts = "expected a whole number, or (least, most), 0 to 1000"
    ends = n if isinstance(n, (tuple, list)) else (n, n)
    if len(ends) != 2:
        raise ArgumentError(f"n: {n!r}, {accepts}")
    low, high = (_checks.whole(value, "n", high=1000) for value in ends)
    if low > high:
        raise ArgumentError(f"n: {n!r}, {accepts}")
    return low, high


def _range(x: Any, name: str, most: float) -> tuple[float, float]:
    accepts = f"expected (least, most), numbers above 0, at most {most:g}"
    first, second = _checks.two_numbers(x, name, accepts)
    low, high = float(first), float(second)
    if not 0 < low <= high <= most:
        raise ArgumentError(f"{name}: {x!r}, {accepts}")
    return low, high


def _between(ends: tuple[float, float], share: float) -> float:
    """Returns a number between two ends, by a share of their ratio."""
    return ends[0] * (ends[1] / ends[0]) ** share


def _blends(blend: Any) -> tuple[dict[str, Any], ...]:
    """Returns the options of the blends that are drawn from."""
    if isinstance(blend, str):
        _checks.one_of(blend, "blend", ("random", *_METHODS))
        return _RANDOM if blend == "random" else ({"method": blend},)
    options = []
    for i, each in enumerate(_checks.several(blend, "blend", "a name, or a list of names or mappings")):
        own = dict(each) if isinstance(each, Mapping) else {"method": each}
        own.setdefault("method", "poisson")
        _checks.one_of(own["method"], f"blend[{i}]", _METHODS)
        probe = np.zeros((8, 8, 3), np.uint8)
        mask = np.pad(np.full((4, 4), 255, np.uint8), 2)
        try:
            with quiet(PyHarmonyWarning):
                paste_many(probe, [{**own, "src": probe, "mask": mask}], device="cpu")
        except PyHarmonyError as error:
            raise error.within(f"blend[{i}]: ") from None
        strange = {"src", "mask", "box", "at"} & own.keys()
        if strange:
            raise ArgumentError(f"blend[{i}]: key {min(strange)!r}, expected options of {own['method']}")
        options.append(own)
    if not options:
        raise ArgumentError("blend: an empty list, expected names or mappings")
    return tuple(options)
