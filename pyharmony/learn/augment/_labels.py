"""Boxes, labels and masks of a picture into which objects are pasted."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import _checks
from ..._arrays import Bools, Corners, NumpyArray
from ..._images.region import Region, bounding_box
from ...errors import DTypeError, ShapeError
from . import _boxes


class Pasted(NamedTuple):
    """An object in the picture.

    Attributes:
        region: a region around it.
        visible: bool [h, w], its visible pixels there. Those of several objects do not overlap.
        box: the region of these pixels.
        area: their number.
        label: its label.
        number: the index of its donor.
    """

    region: Region
    visible: Bools
    box: Region
    area: int
    label: Any
    number: int


class Objects(NamedTuple):
    """The checked number, boxes, labels and masks of the objects of a picture; None for those that it lacks.

    `ids` are the values of the objects in a map of masks that is not numbered from 1 on, ascending; else None.
    """

    number: int
    boxes: Any
    labels: Any
    masks: Any
    ids: NumpyArray | None = None


def checked(boxes: Any, labels: Any, masks: Any, shape: tuple[int, int], name: str = _boxes.BOXES) -> Objects:
    """Returns the description of the objects of a picture [H, W]; refuses parts that do not belong together.

    name: the name of boxes in messages.
    """
    counts: dict[str, int] = {}
    ids = None
    if boxes is not None:
        counts[name] = _boxes.count_of(boxes, name)
    if masks is not None:
        _check_masks(masks, shape)
        if masks.ndim == 3:
            counts["masks"] = len(masks)
    if labels is not None:
        counts["labels"] = _length(labels)
    if masks is not None and masks.ndim == 2:
        values = _checks.checked_label_map(masks, "masks", *shape)[1]
        counts["masks"] = max(counts.values(), default=len(values))
        if values and values[-1] > counts["masks"]:
            if len(counts) > 1:
                raise ShapeError(f"masks: a map with object {values[-1]}, expected 0 to {counts['masks']}")
            ids = np.array(values, masks.dtype)
    first = next(iter(counts.items()), ("", 0))
    for part, count in counts.items():
        if count != first[1]:
            raise ShapeError(f"{part}: {count} objects, {first[0]} are of {first[1]}; expected the same number")
    if boxes is not None:
        _boxes.check(boxes, name, shape)
    return Objects(first[1], boxes, labels, masks, ids)


def _check_masks(masks: Any, shape: tuple[int, int]) -> None:
    accepts = f"[N, {shape[0]}, {shape[1]}] of bool or uint8, or a map of objects {list(shape)} of integers"
    if not isinstance(masks, np.ndarray):
        raise DTypeError(f"masks: {type(masks).__name__}, expected an array {accepts}")
    if masks.ndim not in (2, 3) or masks.shape[-2:] != shape:
        raise ShapeError(f"masks: shape {list(masks.shape)}, expected {accepts}")
    if masks.dtype != np.uint8 and masks.dtype.kind not in ("b" if masks.ndim == 3 else "iu"):
        raise DTypeError(f"masks: dtype {masks.dtype}, expected {accepts}")


def _length(labels: Any) -> int:
    if isinstance(labels, np.ndarray):
        if labels.ndim == 1 or (labels.ndim == 2 and labels.shape[1] == 1):
            return len(labels)
        raise ShapeError(f"labels: shape {list(labels.shape)}, expected [N] or [N, 1]")
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Sequence):
        raise DTypeError(f"labels: {type(labels).__name__}, expected a list or an array, a label for each object")
    return len(labels)


class Old(NamedTuple):
    """An object from before, of which some is covered: its row before, its visible pixels now, and its box now."""

    row: int
    visible: int
    box: Corners | None


class Update(NamedTuple):
    """The objects of the picture after pasting: `keep`, the indices of those from before, then the new ones."""

    gone: int
    keep: list[int]
    occluded: list[Old]
    new: list[Pasted]
    objects: Objects


def updated(objects: Objects, pasted: Sequence[Pasted], occlusion: float, shape: tuple[int, int]) -> Update:
    """Returns the objects of a picture [H, W] after others were pasted, in order.

    Args:
        pasted: the new ones, each where it is visible.
        occlusion: the least share of an object that has to be visible.
    """
    overlaps = (
        _covered_by_masks(objects, pasted) if objects.masks is not None else _covered_boxes(objects, pasted, shape)
    )
    gone, occluded = set(), []
    for index, before, now, box in overlaps:
        if now == 0 or now < occlusion * before:
            gone.add(index)
        else:
            occluded.append(Old(index, now, box))
    keep = [i for i in range(objects.number) if i not in gone]
    new = list(pasted)
    place = {index: row for row, index in enumerate(keep)}
    parts = Objects(
        len(keep) + len(new),
        None if objects.boxes is None else _new_boxes(objects.boxes, keep, occluded, place, new),
        None if objects.labels is None else with_values(objects.labels, keep, [one.label for one in new], "labels"),
        None if objects.masks is None else _new_masks(objects, keep, occluded, new),
    )
    return Update(len(gone), keep, occluded, new, parts)


#: An object that is covered in part: its index, its pixels before and now, and its box now.
_Overlap = tuple[int, int, int, Corners | None]


def _covered_by_masks(objects: Objects, pasted: Sequence[Pasted]) -> list[_Overlap]:
    """Returns the objects whose masks the new ones cover."""
    masks, ids = objects.masks, objects.ids
    hidden: set[int] = set()
    for one in pasted:
        if masks.ndim == 3:
            rows, columns = (slice(*ends) for ends in one.box.spans)
            visible = one.box.of(one.visible, one.region.origin)
            under = masks.view(np.uint8)[:, rows, columns] & np.where(visible, np.uint8(255), np.uint8(0))
            hidden.update(np.nonzero(under.any((1, 2)))[0].tolist())
        else:
            there = np.unique(one.region.of(masks)[one.visible])
            there = there[there > 0]
            hidden.update((there - 1 if ids is None else np.searchsorted(ids, there)).tolist())
    boxes = None if objects.boxes is None else _boxes.rows_of(objects.boxes)
    result = []
    for index in sorted(hidden):
        mask = masks[index] if masks.ndim == 3 else masks == (index + 1 if ids is None else ids[index])
        own = bounding_box(mask)
        part = own.of(mask) != 0
        remaining = part.copy()
        for one in pasted:
            both = one.box.overlap(own)
            if not both.empty:
                both.of(remaining, own.origin)[both.of(one.visible, one.region.origin)] = False
        now = int(np.count_nonzero(remaining))
        box: Corners | None = None
        if boxes is not None and now:
            was = own.box
            box_now = bounding_box(remaining).moved(*own.origin).box
            # A side that does not move keeps the value that it was annotated with.
            ends = (old if a == b else float(b) for old, a, b in zip(boxes[index].tolist(), was, box_now, strict=True))
            box = tuple(ends)  # type: ignore[assignment]
        result.append((index, int(np.count_nonzero(part)), now, box))
    return result


def _covered_boxes(objects: Objects, pasted: Sequence[Pasted], shape: tuple[int, int]) -> list[_Overlap]:
    """Returns the objects without masks whose boxes the new ones cover in part; their boxes stay."""
    if objects.boxes is None:
        return []
    result: list[_Overlap] = []
    new = [(one, *one.box.box) for one in pasted]
    for index, (left, top, right, bottom) in enumerate(_boxes.rows_of(objects.boxes).tolist()):
        own, hidden = None, 0
        for one, x0, y0, x1, y1 in new:
            if left < x1 and x0 < right and top < y1 and y0 < bottom:
                if own is None:
                    rows = max(math.floor(top + 0.5), 0), min(math.floor(bottom + 0.5), shape[0])
                    columns = max(math.floor(left + 0.5), 0), min(math.floor(right + 0.5), shape[1])
                    own = Region(*rows, *columns)
                both = own.overlap(one.box)
                if not both.empty:
                    hidden += int(np.count_nonzero(both.of(one.visible, one.region.origin)))
        if own is not None and hidden:
            area = own.shape[0] * own.shape[1]
            result.append((index, area, area - hidden, None))
    return result


def _new_boxes(boxes: Any, keep: list[int], occluded: list[Old], place: dict[int, int], new: list[Pasted]) -> Any:
    changed = {place[one.row]: one.box for one in occluded if one.box is not None}
    if isinstance(boxes, np.ndarray):
        old = _boxes.rows_of(boxes)
        result = np.empty((len(keep) + len(new), 4), old.dtype)
        result[: len(keep)] = old if len(keep) == len(old) else old[keep]
        for row, box in changed.items():
            result[row] = box
        if new:
            result[len(keep) :] = [one.box.box for one in new]
        return result
    kind = tuple if len(boxes) and isinstance(boxes[0], tuple) else list
    rows = [boxes[index] if row not in changed else kind(changed[row]) for row, index in enumerate(keep)]
    return type(boxes)([*rows, *(kind(one.box.box) for one in new)])


#: The values that an array of a kind of NumPy's dtypes can hold.
_KINDS: dict[str, Any] = {
    "i": numbers.Integral, "u": numbers.Integral, "f": numbers.Real, "b": (bool, np.bool_, numbers.Integral), "U": str,
}  # fmt: skip


def with_values(values: Any, keep: list[int], new: Sequence[Any], name: str) -> Any:
    """Returns the values of the objects that stay and of the new ones, in the kind of values."""
    if not isinstance(values, np.ndarray):
        return type(values)([*(values[i] for i in keep), *new])
    if not new:
        return values[keep]
    kind = values.dtype.kind
    expected: Any = _KINDS.get(kind, object)
    for value in new:
        if value is None or not isinstance(value, expected):
            hint = "a bank has an argument `labels` that translates its own"
            raise DTypeError(f"{name}: an array of {values.dtype}, but a donor has {value!r}; {hint}")
    if kind in "iu" and not np.iinfo(values.dtype).min <= min(new) <= max(new) <= np.iinfo(values.dtype).max:
        raise DTypeError(f"{name}: an array of {values.dtype}, which cannot hold {max(new, key=abs)}")
    extra = np.array(new, None if kind == "U" else values.dtype)
    old = values if len(keep) == len(values) else values[keep]
    return np.concatenate([old, extra.reshape(-1, *values.shape[1:])])


def _new_masks(objects: Objects, keep: list[int], occluded: list[Old], new: list[Pasted]) -> NumpyArray:
    masks: NumpyArray = objects.masks
    if masks.ndim == 2:
        return _new_map(masks, objects.ids, keep, new)
    result = np.zeros((len(keep) + len(new), *masks.shape[1:]), masks.dtype)
    inside = masks.dtype.type(True if masks.dtype == np.bool_ else _inside(masks))
    if len(keep) == len(masks):
        result[: len(keep)] = masks
    else:
        for row, index in enumerate(keep):
            result[row] = masks[index]
    place = {index: row for row, index in enumerate(keep)}
    for row, one in enumerate(new, len(keep)):
        visible = one.box.of(one.visible, one.region.origin)
        for each in occluded:
            np.copyto(one.box.of(result[place[each.row]]), masks.dtype.type(0), where=visible)
        np.copyto(one.box.of(result[row]), inside, where=visible)
    return result


def _inside(masks: NumpyArray) -> int:
    """Returns the value inside: the largest of the first mask that is not empty; 1 if there is none."""
    return next((int(value) for value in (mask.max(initial=0) for mask in masks) if value), 1)


def _new_map(masks: NumpyArray, ids: NumpyArray | None, keep: list[int], new: list[Pasted]) -> NumpyArray:
    last = len(keep) if ids is None else int(ids[-1])
    if last + len(new) > np.iinfo(masks.dtype).max:
        raise DTypeError(f"masks: a map of {masks.dtype}, which cannot hold object {last + len(new)}")
    if ids is not None:
        result = np.where(np.isin(masks, np.delete(ids, keep)), masks.dtype.type(0), masks)
    elif keep == list(range(len(keep))):
        result = masks.copy()
        result[masks > len(keep)] = 0
    else:
        numbers_of = np.zeros(int(masks.max(initial=0)) + 1, masks.dtype)
        for row, index in enumerate(keep):
            if index + 1 < len(numbers_of):
                numbers_of[index + 1] = row + 1
        result = numbers_of[masks]
    for number, one in enumerate(new, last + 1):
        one.region.of(result)[one.visible] = number
    return result


def check_share(x: Any, name: str) -> float:
    return _checks.number(x, name, high=1.0, accepts="a number from 0 to 1")
