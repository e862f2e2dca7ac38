"""People: where they are, one by one, with a box for each and one for the head.

The network's mask of all people, which needs no click, says where to point: at the tops of its silhouette, at faces
that scikit-image's cascade finds, where it is installed, and at what nobody covers so far. There a glance at the whole
picture cuts somebody out, as a click does; of masks that share much, a part of somebody or several people at once among
them, the one that looks most like a person stays. Those who are left are looked at closely.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._native import get_num_threads
from ..ops.distance import distance_inside
from ._network import NetworkCutter, Prompts
from .layers import Bools, Box, Float32, Layer, Pixels, box_of, grown, parts, resized, sampled

#: The longer side of the image in which people are looked for.
_SIDE = 320
#: The most people of one picture.
_MOST = 24
#: A person goes this far inside at least, in longer sides, and is smaller nowhere than this share of the picture.
_DEEP, _LEAST = 0.025, 0.0015
#: How surely people must be where a mask is, by the mean, and where a face says that somebody is.
_PEOPLE, _FACED = 0.5, 0.3
#: How surely people must be, by the mean, where a part of the silhouette that is nobody yet is worth a look.
_FAINT = 0.7
#: Somebody without a face is surely there from this score on, with a head so wide at least and at most, in its heights.
_SURE, _SLIM, _BROAD = 0.6, 0.5, 1.6
#: How much the larger of two masks counts, as an exponent of its share of the picture: for who is somebody, and for
#: what of somebody who was found is the whole. A part of a person lies where people are as well.
_WHOLE, _WHOLER = 0.1, 0.5
#: Masks are of one person if they share so much of the smaller one.
_SAME = 0.5
#: Tops of a silhouette are heads if nothing so far beside them is higher, in the height of it; a head's middle is so
#: much of that below its top. Heads are farther apart than this share of the picture's longer side.
_SHOULDERS, _DEEPER, _CROWDED = 0.12, 0.5, 0.04
#: The longer side of the image in which faces are looked for, and the least face, in sides of that.
_FACES, _FACE = 480, 0.05
#: How far a click for a person lies below the middle of a face, in its heights.
_CHEST = 1.4
#: The head in sides of a face: beyond it at the left and right, above and below.
_AROUND, _ABOVE, _BELOW = 0.15, 0.35, 0.12
#: The share of a silhouette's height in which the neck is looked for, and how much narrower than the head it is.
_UPPER, _NARROWER = 0.55, 0.85
#: The height of a head without a neck: the share of a standing person's height, and its width in heads.
_STANDING, _HEAD = 1 / 7.5, 1.3


Point = tuple[float, float]


class Person(NamedTuple):
    """One person: the mask and the box of the head."""

    layer: Layer
    head: Box


class _Seed(NamedTuple):
    """Somebody who seems to be there: the middle of the head, a place on the chest or None, and how sure that is."""

    head: Point
    chest: Point | None
    is_face: bool


def people_of(cutter: NetworkCutter, seen: Sequence[Box] | None = None) -> list[Person]:
    """Returns the people of a picture, the largest first; None: its frontal faces are looked for, too."""
    if seen is None:
        seen = faces(cutter.picture)
    height, width = cutter.picture.shape[:2]
    factor = _SIDE / max(height, width)
    size = max(8, round(width * factor)), max(8, round(height * factor))
    whole = (0, 0, width, height)
    where = sampled(Layer(whole, cutter.people(), 1.0), whole, size)
    left = where > 0.5
    found: list[_Found] = []

    def look(seed: _Seed) -> _Found | None:
        points = [seed.head] if seed.chest is None else [seed.head, seed.chest]
        prompts = Prompts(points, [1] * len(points))
        return _likely(cutter.glanced(prompts), prompts, seed.is_face, cutter.picture, where)

    def closely(one: _Found) -> _Found:
        near = _likely(cutter.closely(one.prompts, one.layers), one.prompts, one.is_face, cutter.picture, where)
        return near or one

    def add(one: _Found | None) -> None:
        if one is not None:
            left[one.region] = False
            found.append(one)

    seeds = [_Seed(*_head_and_chest(face, height), True) for face in seen[:_MOST]]
    tops = [_Seed((x / factor, y / factor), None, False) for x, y in _tops(left)]
    for top in tops:
        if all(_apart(top.head, seed.head) > _CROWDED * max(height, width) for seed in seeds):
            seeds.append(top)
    rows, columns = np.ogrid[: size[1], : size[0]]
    with ThreadPoolExecutor(max(1, min(get_num_threads(), len(seeds)))) as pool:
        for one in pool.map(look, seeds[:_MOST]):
            add(one)
        for _ in range(_MOST):
            depth = distance_inside(np.pad(left, 1))[1:-1, 1:-1]
            deepest = float(depth.max())
            if deepest < max(1.0, _DEEP * _SIDE):
                break
            y, x = divmod(int(depth.argmax()), size[0])
            numbers = parts(left)
            if where[numbers == numbers[y, x]].mean() > _FAINT:
                middle = (x + 0.5) * width / size[0] - 0.5, (y + 0.5) * height / size[1] - 0.5
                add(look(_Seed(middle, None, False)))
            # This place is not looked at again, whatever was found there.
            left[(rows - y) ** 2 + (columns - x) ** 2 <= deepest**2] = False
        near = list(pool.map(closely, _one_each(found)))
    kept = [one for one in _one_each(near) if one.is_face or one.layer.score >= cutter.person]
    for i, one in enumerate(kept):
        kept[i] = _whole(one, [other.region for other in kept if other is not one], cutter.picture, where)
    people: list[tuple[int, Person]] = []
    for one in kept:
        head = head_of(one.layer, seen)
        # Nobody has the head of another one, who looks more like a person.
        if all(_shared(head, other.head) < _SAME for _, other in people):
            people.append((int(np.count_nonzero(one.region)), Person(one.layer, head)))
    people.sort(key=lambda pair: -pair[0])
    return [person for _, person in people[:_MOST]]


def surely(
    heads: Sequence[tuple[int, int, int, int]], scores: Sequence[float], seen: Sequence[tuple[int, int, int, int]]
) -> list[int]:
    """Returns the numbers of the people who are surely there: those with a face, or a good score and a likely head.

    Of those that are found, many are none: a flag, an arm, a barrel. Who takes sizes from heads is better off without.

    Args:
        heads, scores: of people, the heads as (x, y, width, height).
        seen: the faces of the picture, likewise.
    """

    def has_face(head: tuple[int, int, int, int]) -> bool:
        x, y, wide, high = head
        return any(
            x < left + across / 2 < x + wide and y < top + down / 2 < y + high for left, top, across, down in seen
        )

    return [
        i
        for i, (head, score) in enumerate(zip(heads, scores, strict=True))
        if has_face(head) or (score > _SURE and _SLIM < head[2] / head[3] < _BROAD)
    ]


def apart(
    seen: Sequence[tuple[int, int, int, int]], heads: Sequence[tuple[float, float, float, float]]
) -> list[tuple[int, int, int, int]]:
    """Returns the faces (x, y, width, height) whose middle is in none of the heads: of people without a mask."""
    found = []
    for face in seen:
        x, y = face[0] + face[2] / 2, face[1] + face[3] / 2
        if not any(left <= x <= left + wide and top <= y <= top + high for left, top, wide, high in heads):
            found.append(face)
    return found


def whole_one(scores: Sequence[float], masks: Sequence[Pixels]) -> int:
    """Returns the number of the mask that most likely is a whole person, of those that a click found.

    A click at a face may mean the face; who wants a person in another picture wants all of it.
    """
    shares = [float((mask > 127).mean()) for mask in masks]
    return max(range(len(masks)), key=lambda i: scores[i] * shares[i] ** _WHOLER)


def shows_people(cutter: NetworkCutter, mask: Pixels) -> bool:
    """Returns whether what a mask [H, W] of 0 to 255 covers is people, on the whole."""
    where = cutter.people()
    inside = resized(mask, (where.shape[1], where.shape[0])) > 127
    return bool(inside.any() and where[inside].mean() > _PEOPLE)


def others(cutter: NetworkCutter, masks: Sequence[Pixels], size: tuple[int, int]) -> Pixels:
    """Returns where people seem to be of whom none has a mask, [h, w] of 0 or 255, at a size (width, height).

    Args:
        masks: of those who were found, [h, w] of 0 to 255.
    """
    left = resized(cutter.people(), size) > _PEOPLE
    for mask in masks:
        left &= ~grown(mask > 127)
    # What is thinner than a head is the rim of somebody who was found.
    numbers, least = parts(left), _DEEP * max(size)
    depth = distance_inside(np.pad(left, 1))[1:-1, 1:-1]
    deep = [number for number in range(1, int(numbers.max()) + 1) if depth[numbers == number].max() >= least]
    return np.isin(numbers, deep).astype(np.uint8) * np.uint8(255)


class _Found(NamedTuple):
    """A mask that may be one person.

    Attributes:
        layer: the mask, whose score says how surely it is a person.
        region: what it covers of the small picture.
        worth: how much it looks like one person.
        is_face: whether a face led to it.
        prompts, layers: what was pointed at, and all masks that were found there.
    """

    layer: Layer
    region: Bools
    worth: float
    is_face: bool
    prompts: Prompts
    layers: Sequence[Layer]


def _head_and_chest(face: Box, height: int) -> tuple[Point, Point | None]:
    """Returns the middle of a face and, where the picture goes on, a place on the chest."""
    x, y = (face[0] + face[2] - 1) / 2, (face[1] + face[3] - 1) / 2
    below = y + _CHEST * (face[3] - face[1])
    return (x, y), (x, below) if below < height - 1 else None


def _apart(first: Point, second: Point) -> float:
    return math.hypot(first[0] - second[0], first[1] - second[1])


def _tops(region: Bools) -> list[Point]:
    """Returns the middles of what may be heads: where the upper contour of a silhouette is highest."""
    numbers = parts(region)
    found: list[Point] = []
    for number in range(1, int(numbers.max()) + 1):
        part = numbers == number
        rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
        high, wide = int(rows[-1] + 1 - rows[0]), len(columns)
        if high * wide < _LEAST * region.size:
            continue
        # The height of the contour over the foot of the part, column by column.
        over = np.where(part.any(0), len(part) - part.argmax(0), 0).astype(np.float64)
        reach = max(2, round(_SHOULDERS * min(high, 2 * wide)))
        for x in range(len(over)):
            window = over[max(0, x - reach) : x + reach + 1]
            # The first one of several that are as high.
            if over[x] and over[x] == window.max() and not (over[max(0, x - reach) : x] == over[x]).any():
                same = x + int(np.flatnonzero(over[x : x + reach] == over[x])[-1])
                found.append(((x + same) / 2, len(part) - over[x] + _DEEPER * reach))
    return found


def _one_each(found: Sequence[_Found]) -> list[_Found]:
    """Returns those that are not the same person as a better one, nor a part of one, nor several together."""
    kept: list[_Found] = []
    for one in sorted(found, key=lambda one: -one.worth):
        area = np.count_nonzero(one.region)
        shares = [np.count_nonzero(one.region & other.region) for other in kept]
        inside = [shared / min(area, np.count_nonzero(other.region)) for shared, other in zip(shares, kept)]
        if all(share < _SAME for share in inside):
            kept.append(one)
    return kept


def _whole(one: _Found, others: Sequence[Bools], picture: Pixels, where: Float32) -> _Found:
    """Returns a person with the mask of the whole: a larger one of those that were found there, with nobody else."""
    larger = []
    for layer in one.layers:
        found = _likely([layer], one.prompts, one.is_face, picture, where, _WHOLER)
        if found is not None and not any(
            np.count_nonzero(found.region & other) > _SAME * np.count_nonzero(other) for other in others
        ):
            larger.append(found)
    return max(larger, key=lambda found: found.worth, default=one)


def _likely(
    layers: Sequence[Layer],
    prompts: Prompts,
    is_face: bool,
    picture: Pixels,
    where: Float32,
    whole: float = _WHOLE,
) -> _Found | None:
    """Returns the mask that looks most like a person; None where none does."""
    height, width = picture.shape[:2]
    size = (where.shape[1], where.shape[0])
    best: _Found | None = None
    for layer in layers:
        region = sampled(layer, (0, 0, width, height), size) > 0.5
        share = float(region.mean())
        if share < _LEAST:
            continue
        inside = float(where[region].mean())
        if inside < (_FACED if is_face else _PEOPLE):
            continue
        worth = inside * layer.score * share**whole
        if best is None or worth > best.worth:
            best = _Found(layer._replace(score=inside * layer.score), region, worth, is_face, prompts, layers)
    return best


@functools.lru_cache(maxsize=1)
def _cascade() -> Any:
    """Returns scikit-image's cascade of faces; None where that is not installed."""
    try:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade
    except ImportError:
        return None
    return Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]


def faces(picture: Pixels) -> list[Box]:
    """Returns the boxes of frontal faces, the largest first; none where scikit-image is not installed."""
    cascade = _cascade()
    if cascade is None:
        return []
    height, width = picture.shape[:2]
    factor = min(1.0, _FACES / max(height, width))
    small = resized(picture, (max(1, round(width * factor)), max(1, round(height * factor))))
    least = max(20, round(_FACE * max(small.shape)))
    if min(small.shape[:2]) <= least:
        return []
    found = cascade.detect_multi_scale(
        img=small, scale_factor=1.15, step_ratio=1, min_size=(least, least), max_size=small.shape[:2]
    )
    boxes: list[Box] = []
    for one in found:
        left, top = round(one["c"] / factor), round(one["r"] / factor)
        boxes.append((left, top, left + round(one["width"] / factor), top + round(one["height"] / factor)))
    return sorted(boxes, key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))


def head_of(layer: Layer, seen: Sequence[Box]) -> Box:
    """Returns the box of the head of a person: around a face, or by the silhouette."""
    body = box_of(layer) or layer.box
    for face in seen:
        x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
        is_high = y < body[1] + _UPPER * (body[3] - body[1])
        if is_high and sampled(layer, (int(x), int(y), int(x) + 1, int(y) + 1), (1, 1))[0, 0] > 0.5:
            wide, high = face[2] - face[0], face[3] - face[1]
            return _cut(
                body,
                (face[0] - _AROUND * wide, face[1] - _ABOVE * high, face[2] + _AROUND * wide, face[3] + _BELOW * high),
            )
    rows = 128
    columns = max(8, round(rows * (body[2] - body[0]) / (body[3] - body[1])))
    region = sampled(layer, body, (columns, rows)) > 0.5
    left, top, right, bottom = _silhouettes_head(region)
    across, down = (body[2] - body[0]) / columns, (body[3] - body[1]) / rows
    return _cut(
        body, (body[0] + left * across, body[1] + top * down, body[0] + right * across, body[1] + bottom * down)
    )


def _shared(first: Box, second: Box) -> float:
    """Returns the share of the smaller one of two boxes that both cover."""
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return max(0, across) * max(0, down) / min(areas)


def _cut(body: Box, box: Sequence[float]) -> Box:
    """Returns whole pixels of a box inside another one."""
    left, top, right, bottom = (round(v) for v in box)
    left, top = min(max(left, body[0]), body[2] - 1), min(max(top, body[1]), body[3] - 1)
    return left, top, min(max(right, left + 1), body[2]), min(max(bottom, top + 1), body[3])


def _silhouettes_head(region: Bools) -> tuple[int, int, int, int]:
    """Returns the box of the head of a silhouette [H, W]: down to the neck, where it is narrower than above and below.

    Without a neck, as under long hair, it is as high as the head of somebody who stands, or as heads are wide.
    """
    rows, columns = region.shape
    first, last = _longest_runs(region)
    widths = np.convolve(last - first, np.full(5, 0.2), "same")
    filled = np.flatnonzero(last > first)
    if not len(filled):
        return 0, 0, columns, rows
    top, end = int(filled[0]), int(_UPPER * rows)
    bottom = 0
    widest = np.maximum.accumulate(widths[top:end])
    narrow = np.flatnonzero(widths[top:end] < _NARROWER * widest)
    if len(narrow):
        start = top + int(narrow[0])
        neck = start + int(widths[start : start + rows // 8].argmin())
        if widths[neck : neck + rows // 4].max() > widths[neck] / _NARROWER:
            bottom = neck
    if bottom <= top:
        width = widths[top : top + max(2, rows // 8)].max()
        standing = rows > 2 * columns
        bottom = top + max(2, round(_STANDING * rows if standing else min(_HEAD * width, rows / 2)))
    part = slice(top, max(bottom, top + 1))
    inside = last[part] > first[part]
    return int(first[part][inside].min()), top, int(last[part][inside].max()), bottom


def _longest_runs(region: Bools) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns for each row of a region [H, W] where its longest run begins and ends; twice 0 where it is empty."""
    first, last = np.zeros(len(region), np.intp), np.zeros(len(region), np.intp)
    for y, row in enumerate(region):
        steps = np.diff(np.concatenate([[0], row.astype(np.int8), [0]]))
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        if len(starts):
            longest = int((ends - starts).argmax())
            first[y], last[y] = starts[longest], ends[longest]
    return first, last
