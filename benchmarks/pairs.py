"""Pairs of photographs for composites that are reviewed, as drawn and shown by `composition.py pairs`.

Subjects are people of the open photographs of val and test, which were not used in training, in equal parts cropped at
the bottom, whole, or among others or with a thing; backgrounds in equal parts with people far away, a group nearby,
rooms, and landscapes without people. Masks, boxes drawn by hand (`tools/annotations/heads.json`) and the categories of
the manifests define these kinds: pyharmony's own segmentation and placement are not used here. Mixed pairs are a third
things, a sixth animals, a sixth people cropped at the bottom, and others; a tenth of the backgrounds are at night.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

HEADS = Path(__file__).resolve().parent.parent / "tools" / "annotations" / "heads.json"
FOLDERS, SPLITS = ("photos_open", "pairs_open", "masks_open"), ("val", "test")
#: Photographs that are skipped: the origin of the first is not stated, and the faces of the second are blanked.
EXCLUDED_PREFIXES = ("rembg_", "p3m_")
#: The kinds of subjects and of backgrounds, in the order in which they take turns.
SUBJECTS, GROUNDS = ("cropped", "whole", "among"), ("far", "room", "near", "nobody")
#: The categories of rooms and of landscapes; the latter have no people, unless a head was drawn.
ROOM, LANDSCAPE = "indoor", "landscape"
#: The categories of backgrounds for each kind of thing, for animals and for all others, and of those at night.
_TABLES, _STREETS = ("indoor", "food", "object", "grocery"), ("street", "city", "landscape", "vehicle")
BACKGROUNDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("food", "tableware", "glass", "package", "device", "toy", "bag", "grocery"), _TABLES),
    **dict.fromkeys(("vehicle", "sign"), _STREETS),
    **dict.fromkeys(("furniture", "instrument"), (ROOM,)),
    "": ("landscape", "city", "street", ROOM),
}
ANIMAL, NIGHT = "animal", "night"
#: The kinds of masks that are neither a thing nor an animal.
NO_THINGS = ("person", "landscape", "city", ROOM, NIGHT, "building", "clothing", "flower")
#: The least and the largest share of the photograph, and the least share of its height, of a thing or an animal.
THING_SHARES, MIN_THING_HEIGHT = (0.02, 0.6), 0.25
#: The smallest height of a subject, as a share of the photograph's height.
MIN_SUBJECT_HEIGHT = 0.35
#: The distance from the frame below which a box drawn by hand touches it, as a share of the side.
REACHES = 0.012
#: The number of heads in the height below which a person is a bust, and above which whole; without a head, the ratio of
#: height to width of a whole person's mask.
BUST_HEADS, WHOLE_HEADS, UPRIGHT_RATIO = 4.5, 5.0, 1.8
#: The share of the box that is another person's from which a subject is among others, and the share of the mask next to
#: a mask of a thing from which it is with a thing.
SHARED_BOX_SHARE, ADJACENT_MASK_SHARE = 0.1, 0.01
#: The largest height of distant heads and the smallest of near ones, as shares of the image's height.
MAX_DISTANT_HEAD, MIN_NEAR_HEAD = 0.07, 0.1
#: The IoU of a mask's box and a body's box from which they are of one person.
FITS = 0.4
#: The part of a head that is face: the margins at each side and above, in its width and height.
FACE = (0.08, 0.2)
#: The number of pixels by which a cut edge may be inside the image without floating.
EDGE_TOLERANCE = 2
#: The side of a cell of the sheets in pixels, and the pairs per page.
CELL_SIDE, PAGE_ROWS = 360, 5
#: The columns of the table; reviewers fill the first two.
COLUMNS = (
    "word", "kind", "number", "subject_kind", "ground_kind", "by_click", "subject", "background", "click", "refused",
    "mask_iou", "mask_score", "placement_score", "reason", "scale", "head_off_line", "head_times", "head_share",
    "face_covered", "floating", "stops", "shadow", "usable", "doubts", "warnings", "seconds",
)  # fmt: skip
#: The recipe's options of a subject that is placed unchanged.
UNCHANGED_OPTIONS: dict[str, Any] = {
    "harmonize": None,
    "sharpness": 0.0,
    "grain": 0.0,
    "shadow": None,
    "reflection": None,
}

Pixels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


class Photo(NamedTuple):
    """A photograph of the open data.

    Attributes:
        path: its file.
        origin: the photograph from which it was made: two files may be of one.
        category: the category in its manifest.
        size: width and height.
        heads, bodies: the boxes of people drawn by hand, one each; None for an invisible head.
        people, things: the files of the masks of people, and of everything else.
    """

    path: Path
    origin: str
    category: str
    size: tuple[int, int]
    heads: tuple[Box | None, ...]
    bodies: tuple[Box, ...]
    people: tuple[Path, ...]
    things: tuple[Path, ...]


class Subject(NamedTuple):
    """A person, an animal or a thing in a photograph.

    Attributes:
        photo: the photograph.
        kind: one of `SUBJECTS`, or that of an animal or a thing.
        head: the box of the head drawn by hand, or None.
        mask: the file of the mask, or None if there is a head.
    """

    photo: Photo
    kind: str
    head: Box | None
    mask: Path | None

    def click(self) -> tuple[float, float]:
        """Returns (x, y) of a click on the subject: at the deepest point of the mask, or on the chest."""
        if self.mask is not None:
            return deepest(region_of(self.mask))
        assert self.head is not None
        left, top, right, bottom = self.head
        return (left + right) / 2, min(bottom + 0.75 * (bottom - top), self.photo.size[1] - 1.0)


class Pair(NamedTuple):
    """A subject and a background, and whether the subject is clicked or there is no prompt."""

    subject: Subject
    background: Photo
    ground: str
    by_click: bool


def photos_in(data: Path, splits: Sequence[str] = SPLITS) -> list[Photo]:
    """Returns the photographs of some splits of a folder with the open data, in the order of the manifests."""
    annotations = {one["photo"]: one["people"] for one in json.loads(HEADS.read_text("utf-8"))["photographs"]}
    people: dict[str, list[Path]] = {}
    things: dict[str, list[Path]] = {}
    entries: list[tuple[Path, dict[str, Any]]] = []
    for folder in (*FOLDERS, "masks_open/more_masks"):
        manifest = data / folder / "manifest.json"
        if manifest.is_file():
            entries += [(manifest.parent, one) for one in json.loads(manifest.read_text("utf-8"))["entries"]]
    for root, entry in entries:
        if entry["role"] == "mask":
            is_person = entry.get("object", entry.get("category")) == "person"
            (people if is_person else things).setdefault(entry["pair"], []).append(root / entry["file"])
    photos = []
    for root, entry in entries:
        name = entry["pair"]
        is_open = entry["role"] == "photo" and entry["split"] in splits and not name.startswith(EXCLUDED_PREFIXES)
        if not is_open or entry.get("monochrome"):
            continue
        size = int(entry["width"]), int(entry["height"])
        unit = np.array([*size, *size]) / 100
        boxes = [(one["head"], one["body"]) for one in annotations.get(name, ())]
        heads = tuple(None if head is None else _box(unit * head) for head, _ in boxes)
        bodies = tuple(_box(unit * body) for _, body in boxes)
        masks = tuple(people.get(name, ())), tuple(things.get(name, ()))
        origin = Path(entry.get("path") or name).stem
        photos.append(Photo(root / entry["file"], origin, entry.get("category", ""), size, heads, bodies, *masks))
    return photos


def subjects_in(photo: Photo) -> list[Subject]:
    """Returns the possible subjects of a photograph, each with a kind."""
    width, height = photo.size
    regions = [region_of(path) for path in photo.people]
    things = [region_of(path) for path in photo.things]
    boxes = [box_of(region) for region in regions]
    free = set(range(len(regions)))
    persons: list[tuple[Box | None, Box, int | None]] = []
    for head, body in zip(photo.heads, photo.bodies, strict=True):
        best = max(free, key=lambda i: _alike(boxes[i], body), default=None)
        mine = best if best is not None and _alike(boxes[best], body) >= FITS else None
        free -= {mine} if mine is not None else set()
        persons.append((head, body, mine))
    persons += [(None, boxes[i], i) for i in sorted(free)]
    subjects = []
    for number, (head, body, mask) in enumerate(persons):
        others = [other for i, (_, other, _) in enumerate(persons) if i != number]
        # If heads were drawn, a person without one is only an arm or a leg.
        if body[3] - body[1] < MIN_SUBJECT_HEIGHT * height or (head is None and photo.bodies):
            continue
        with_thing = mask is not None and any(_touch(regions[mask], thing) for thing in things)
        among = with_thing or any(_shared(body, other) >= SHARED_BOX_SHARE for other in others)
        kind = "among" if among else _kind_of(head, body, (width, height))
        if kind:
            subjects.append(Subject(photo, kind, head, None if mask is None else photo.people[mask]))
    return subjects


def ground_of(photo: Photo) -> str:
    """Returns the kind of a background; empty if it is of none."""
    heads = [(head[3] - head[1]) / photo.size[1] for head in photo.heads if head is not None]
    if heads:
        if max(heads) <= MAX_DISTANT_HEAD:
            return "far"
        return "near" if len(heads) > 1 and float(np.median(heads)) >= MIN_NEAR_HEAD else ""
    if photo.bodies or photo.people:
        return ""
    return {ROOM: "room", LANDSCAPE: "nobody"}.get(photo.category, "")


def draw(
    seed: int,
    count: int,
    subjects: Sequence[Subject],
    grounds: Mapping[str, Sequence[Photo]],
    kinds: Sequence[str] = (),
) -> list[Pair]:
    """Draws pairs: kinds of subjects and of backgrounds take turns, as do clicks and no prompt.

    Photographs are repeated only after all others of their kind, and no pair is repeated. `kinds` are those of the
    backgrounds, all of `GROUNDS` if it is empty.

    Raises:
        ValueError: there are not enough pairs.
    """
    random = np.random.default_rng(seed)

    def shuffled(every: Sequence[Any]) -> list[Any]:
        return [every[i] for i in random.permutation(len(every))]

    people = {kind: shuffled([one for one in subjects if one.kind == kind]) for kind in SUBJECTS}
    scenes = {kind: shuffled(grounds.get(kind, ())) for kind in GROUNDS}
    turns = kinds or GROUNDS
    pairs: list[Pair] = []
    earlier: set[tuple[str, str]] = set()
    for number in range(count):
        kind, ground = SUBJECTS[number % 3], turns[number // 3 % len(turns)]
        for one, scene in itertools.product(people[kind], scenes[ground]):
            key = one.photo.origin, scene.origin
            if key[0] != key[1] and key not in earlier:
                break
        else:
            raise ValueError(
                f"{count} pairs: no more of a subject that is {kind!r} and a background that is {ground!r}"
            )
        earlier.add(key)
        # Both are repeated last.
        people[kind].remove(one)
        people[kind].append(one)
        scenes[ground].remove(scene)
        scenes[ground].append(scene)
        # Every dozen has all kinds of pairs; clicked kinds of one are not clicked in the next.
        pairs.append(Pair(one, scene, ground, (number + number // 12) % 2 == 0))
    return pairs


def composite_of(pair: Pair) -> tuple[dict[str, Any], list[tuple[str, Pixels]]]:
    """Returns the row of a pair for the table, and its cells for the sheet."""
    import pyharmony
    from pyharmony.errors import PyHarmonyError

    own, scene = pixels_of(pair.subject.photo.path), pixels_of(pair.background.path)
    click = pair.subject.click() if pair.by_click else None
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {"subject_kind": pair.subject.kind, "ground_kind": pair.ground, "by_click": pair.by_click}
    row |= {"subject": pair.subject.photo.path.name, "background": pair.background.path.name}
    row["click"] = "" if click is None else f"{click[0]:.0f} {click[1]:.0f}"
    title = f"{pair.subject.kind}, {'clicked' if pair.by_click else 'not pointed at'}: {row['subject']}"
    cells = [(title, cell_of(with_click(own, click))), (f"{pair.ground}: {row['background']}", cell_of(scene))]
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        try:
            picture, info = pyharmony.compose(own, scene, points=click, return_info=True)
        except PyHarmonyError as error:
            row |= {"word": "refused", "refused": str(error), "seconds": f"{time.perf_counter() - start:.1f}"}
            return row, [*cells, (str(error)[:50], cell_of(scene))]
    row |= {
        "seconds": f"{time.perf_counter() - start:.1f}",
        "warnings": " | ".join(str(one.message) for one in records),
    }
    entry, one = info.recipe["subjects"][0], info.subjects[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, plain = pyharmony.compose(own, scene, recipe={**info.recipe, "subjects": [{**entry, **UNCHANGED_OPTIONS}]},
                                     return_info=True)  # fmt: skip
    mask = mask_in(entry, own)
    row |= figures(pair, mask, one, (scene.shape[1], scene.shape[0]))
    row["stops"] = f"{stops(plain.subjects[0], one):+.2f}"
    row["shadow"] = one.shadow is not None
    row |= {"usable": f"{info.usable:.2f}", "doubts": " ".join(doubt.code for doubt in info.doubts)}
    caption = f"score {row['placement_score']}, scale {row['scale']}, light {row['stops']}"
    pixels = np.asarray(picture)
    cells += [(f"mask score {row['mask_score']}, IoU {row['mask_iou'] or '-'}", cell_of(on_squares(own, mask))),
              (caption, cell_of(pixels)), (row["reason"][:50], close_up(pixels, one.mask))]  # fmt: skip
    return row, cells


def figures(pair: Pair, mask: Pixels, one: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Returns automatic metrics of a composite, for the table.

    Args:
        pair: its photographs.
        mask: the mask of the subject in its photograph, [h, w].
        one: the info of `compose`.
        size: width and height of the background.
    """
    row: dict[str, Any] = {"scale": f"{one.scale:.2f}"}
    if one.mask_score is not None:
        row["mask_score"] = f"{one.mask_score:.2f}"
    if one.placement is not None:
        row |= {"placement_score": f"{one.placement.score:.2f}", "reason": one.placement.reason}
    who = pair.subject if pair.by_click else subject_under(pair.subject.photo, mask)
    if who is not None and who.mask is not None:
        region = region_of(who.mask)
        row["mask_iou"] = f"{np.count_nonzero(region & (mask >= 128)) / np.count_nonzero(region | (mask >= 128)):.2f}"
    heads = [head for head in pair.background.heads if head is not None]
    matrix = one.placement.matrix
    if who is not None and who.head is not None:
        left, top, right, bottom = who.head
        high = one.scale * (bottom - top)
        line = float(matrix[1] @ ((left + right - 1) / 2, (top + bottom - 1) / 2, 1.0)) + 0.5
        row["head_share"] = f"{high / size[1]:.2f}"
        if heads:
            off = (line - float(np.median([(head[1] + head[3]) / 2 for head in heads]))) / high
            row["head_off_line"] = f"{off:+.2f}"
            row["head_times"] = f"{high / float(np.median([head[3] - head[1] for head in heads])):.2f}"
    if heads:
        row["face_covered"] = f"{max(face_share(one.mask, head) for head in heads):.2f}"
    row["floating"] = f"{floating(mask, one.mask, matrix):.2f}"
    return row


def subject_under(photo: Photo, mask: Pixels) -> Subject | None:
    """Returns the person of a mask: the one with the largest head that it covers, or with a similar mask."""
    subjects = subjects_in(photo)
    mask_box = box_of(mask >= 128)
    by_head = [one for one in subjects if one.head is not None and face_share(mask, one.head) >= 0.5]
    if by_head:
        return max(by_head, key=lambda one: _area(one.head or mask_box))
    by_mask = [one for one in subjects if one.head is None and one.mask is not None
               and _alike(box_of(region_of(one.mask)), mask_box) >= FITS]  # fmt: skip
    return by_mask[0] if by_mask else None


def face_share(mask: Pixels, head: Box) -> float:
    """Returns the share of the face of a head's box that a mask [H, W] covers."""
    left, top, right, bottom = head
    wide, high = right - left, bottom - top
    rows = slice(max(0, round(top + FACE[1] * high)), max(0, round(bottom)))
    columns = slice(max(0, round(left + FACE[0] * wide)), max(0, round(right - FACE[0] * wide)))
    face = mask[rows, columns] >= 128
    return float(face.mean()) if face.size else 0.0


def floating(mask: Pixels, silhouette: Pixels, matrix: npt.NDArray[np.float64]) -> float:
    """Returns the share of a subject's lower edge, cut by its own frame, that is visible inside the composite.

    Args:
        mask: the mask of the subject in its photograph, [h, w].
        silhouette: its visible part in the composite, [H, W].
        matrix: [2, 3], from pixels of the photograph to those of the composite.
    """
    columns = np.flatnonzero(mask[-1] >= 128)
    if not len(columns):
        return 0.0
    ends = np.stack([columns, np.full(len(columns), len(mask) - 1.0), np.ones(len(columns))])
    x, y = np.rint(matrix @ ends).astype(int)
    height, width = silhouette.shape
    inside = (
        (x > EDGE_TOLERANCE)
        & (x < width - 1 - EDGE_TOLERANCE)
        & (y > EDGE_TOLERANCE)
        & (y < height - 1 - EDGE_TOLERANCE)
    )
    # Checked above the end, since the end itself may be half transparent.
    inside[inside] = silhouette[y[inside] - EDGE_TOLERANCE, x[inside]] >= 128
    return float(inside.mean())


def stops(before: Any, after: Any) -> float:
    """Returns by how many stops the drawn subject became lighter, by the means of linear luma."""
    weights = after.alpha.astype(np.float64)
    means = [float((luma(one.colours) * weights).sum()) + 1e-6 * float(weights.sum()) for one in (before, after)]
    return math.log2(means[1] / means[0]) if weights.any() else 0.0


def luma(colours: Pixels) -> npt.NDArray[np.float64]:
    """Returns the linear luma [h, w] of sRGB colours [h, w, 3]."""
    values = colours / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ (0.2126, 0.7152, 0.0722))


def mask_in(entry: Mapping[str, Any], photo: Pixels) -> Pixels:
    """Returns the mask [h, w] of its photograph in a recipe's entry of a subject."""
    from pyharmony.composition._recipe import mask_over

    return np.asarray(mask_over(entry["mask"], "mask", (photo.shape[1], photo.shape[0]), photo, soft=True))


def deepest(region: Bools) -> tuple[float, float]:
    """Returns (x, y) of the pixel of a region [H, W] that is farthest from its contour and from the frame."""
    from pyharmony.ops.distance import distance

    inside = np.pad(region, 1)
    row, column = np.unravel_index(int(distance(inside).argmax()), inside.shape)
    return float(column - 1), float(row - 1)


def pixels_of(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def region_of(path: Path) -> Bools:
    """Returns the region where a mask's file is at least half inside, [H, W]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L")) >= 128


def box_of(region: Bools) -> Box:
    """Returns the box of a region [H, W]; an empty box for an empty region."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    return _box((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)) if len(rows) else (0.0, 0.0, 0.0, 0.0)


def _box(values: Any) -> Box:
    left, top, right, bottom = (float(v) for v in values)
    return left, top, right, bottom


def _kind_of(head: Box | None, body: Box, size: tuple[int, int]) -> str:
    """Returns whether a person alone is cropped at the bottom or whole; empty for neither."""
    wide, high = body[2] - body[0], body[3] - body[1]
    slack = REACHES * size[0], REACHES * size[1]
    heads = None if head is None else high / (head[3] - head[1])
    if body[3] >= size[1] - slack[1]:
        return "cropped" if heads is None or heads < BUST_HEADS else ""
    inside = body[0] > slack[0] and body[1] > slack[1] and body[2] < size[0] - slack[0]
    is_whole = high >= UPRIGHT_RATIO * wide if heads is None else heads >= WHOLE_HEADS
    return "whole" if inside and is_whole else ""


def _intersection(first: Box, second: Box) -> float:
    wide, high = (
        min(first[2], second[2]) - max(first[0], second[0]),
        min(first[3], second[3]) - max(first[1], second[1]),
    )
    return max(wide, 0.0) * max(high, 0.0)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(box: Box, other: Box) -> float:
    """Returns the share of a box that another one covers."""
    return _intersection(box, other) / _area(box)


def _alike(first: Box, second: Box) -> float:
    """Returns the IoU of two boxes."""
    both = _intersection(first, second)
    union = _area(first) + _area(second) - both
    return both / union if union > 0 else 0.0


def _touch(region: Bools, thing: Bools) -> bool:
    """Returns whether a thing is adjacent to a person: many of its pixels are within three of theirs."""
    if region.shape != thing.shape:
        return False
    padded = np.pad(region, 3)
    near = np.zeros_like(region)
    height, width = region.shape
    for y, x in itertools.product((0, 3, 6), repeat=2):
        near |= padded[y : y + height, x : x + width]
    return bool(np.count_nonzero(near & thing) >= ADJACENT_MASK_SHARE * np.count_nonzero(region))


def cell_of(image: Pixels) -> Pixels:
    """Returns an image centred in a white square of a cell's side."""
    picture = Image.fromarray(image)
    factor = CELL_SIDE / max(picture.size)
    picture = picture.resize([max(1, round(factor * n)) for n in picture.size], Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (CELL_SIDE, CELL_SIDE), "white")
    cell.paste(picture, ((CELL_SIDE - picture.width) // 2, (CELL_SIDE - picture.height) // 2))
    return np.asarray(cell)


def with_click(image: Pixels, click: tuple[float, float] | None) -> Pixels:
    """Returns an image with a ring about a click."""
    if click is None:
        return image
    picture = Image.fromarray(image)
    radius = max(image.shape) / 60
    box = [click[0] - radius, click[1] - radius, click[0] + radius, click[1] + radius]
    ImageDraw.Draw(picture).ellipse(box, outline="red", width=max(2, round(radius / 3)))
    return np.asarray(picture)


def on_squares(image: Pixels, mask: Pixels) -> Pixels:
    """Returns the part of an image [h, w, 3] in a mask [h, w] on grey squares, with a margin."""
    left, top, right, bottom = box_of(mask >= 128)
    margin = round(0.08 * max(right - left, bottom - top)) + 1
    part = np.s_[max(0, int(top) - margin) : int(bottom) + margin, max(0, int(left) - margin) : int(right) + margin]
    colours, share = image[part].astype(np.float64), mask[part].astype(np.float64)[..., None] / 255
    rows, columns = np.indices(share.shape[:2]) // max(4, max(share.shape) // 24)
    squares = np.where((rows + columns) % 2, 255, 190)[..., None]
    return np.rint(share * colours + (1 - share) * squares).astype(np.uint8)


def close_up(picture: Pixels, mask: Pixels) -> Pixels:
    """Returns the upper and the lower end of a subject's visible part [H, W] in a composite, one above the other."""
    left, top, right, bottom = box_of(mask >= 128)
    wide = max(48.0, min(0.6 * max(right - left, bottom - top), picture.shape[1]))
    high = wide / 2
    cell = Image.new("RGB", (CELL_SIDE, CELL_SIDE), "white")
    for number, (first, last) in enumerate(((top, top + high), (bottom - high, bottom))):
        band = mask[int(max(0, first)) : int(max(1, last))] >= 128
        columns = np.flatnonzero(band.any(0))
        middle = float(columns.mean()) if len(columns) else (left + right) / 2
        y = (first - 0.2 * high, first + 0.8 * high) if number == 0 else (last - 0.8 * high, last + 0.2 * high)
        part = Image.fromarray(picture).crop(
            (round(middle - wide / 2), round(y[0]), round(middle + wide / 2), round(y[1]))
        )
        cell.paste(
            part.resize((CELL_SIDE, CELL_SIDE // 2 - 2), Image.Resampling.BICUBIC), (0, number * (CELL_SIDE // 2 + 1))
        )
    return np.asarray(cell)


def open_pairs(seed: int, count: int, data: Path, kinds: Sequence[str] = ()) -> list[Pair]:
    """Returns pairs of the open data in a folder, see `draw`."""
    photos = photos_in(data)
    grounds: dict[str, list[Photo]] = {}
    for photo in {photo.origin: photo for photo in photos}.values():
        grounds.setdefault(ground_of(photo), []).append(photo)
    return draw(seed, count, [one for photo in photos for one in subjects_in(photo)], grounds, kinds)


def mixed_pairs(seed: int, count: int, data: Path) -> list[Pair]:
    """Returns pairs of the open data in a folder, see `draw_mixed`."""
    photos = photos_in(data)
    subjects = [*(one for photo in photos for one in subjects_in(photo)), *masked_objects(data, photos)]
    return draw_mixed(seed, count, subjects, photos)


def draw_mixed(seed: int, count: int, subjects: Sequence[Subject], photos: Sequence[Photo]) -> list[Pair]:
    """Draws pairs, all clicked: things, animals, cropped people, then all other people, the first of them at night.

    Each photograph has one subject. The background of a thing or an animal is of a category that suits it.

    Raises:
        ValueError: there are not enough subjects.
    """
    random = np.random.default_rng(seed)

    def shuffled(every: Sequence[Any]) -> list[Any]:
        return [every[i] for i in random.permutation(len(every))]

    by_category: dict[str, list[Photo]] = {}
    by_ground: dict[str, list[Photo]] = {}
    for photo in {photo.origin: photo for photo in photos}.values():
        by_category.setdefault(photo.category, []).append(photo)
        by_ground.setdefault(ground_of(photo), []).append(photo)
    things, third = count // 3, count // 3
    animals, nights = third // 2, count // 10
    cropped = third - animals
    groups: list[tuple[int, list[Subject]]] = [
        (things, [one for one in subjects if one.kind not in (ANIMAL, *SUBJECTS)]),
        (animals, [one for one in subjects if one.kind == ANIMAL]),
        (cropped, [one for one in subjects if one.kind == SUBJECTS[0]]),
        (count - things - third, [one for one in subjects if one.kind in SUBJECTS[1:]]),
    ]
    pairs: list[Pair] = []
    origins: set[str] = set()
    for group, (size, its) in enumerate(groups):
        distinct = list({one.photo.origin: one for one in shuffled(its)}.values())
        members = [one for one in distinct if one.photo.origin not in origins][:size]
        if len(members) < size:
            raise ValueError(f"{count} pairs: {size} subjects of a kind are required, there are {len(members)}")
        for number, one in enumerate(members):
            origins.add(one.photo.origin)
            if group < 2:
                names = BACKGROUNDS.get(one.kind, BACKGROUNDS[""])
                every = [photo for name in names for photo in by_category.get(name, ())]
            else:
                names = (NIGHT,) if group == 3 and number < nights else (GROUNDS[number % len(GROUNDS)],)
                every = (by_category if names[0] == NIGHT else by_ground)[names[0]]
            others = [photo for photo in every if photo.origin != one.photo.origin]
            scene = others[int(random.integers(len(others)))]
            pairs.append(Pair(one, scene, names[0] if group > 1 else scene.category, True))
    return pairs


def masked_objects(data: Path, photos: Sequence[Photo]) -> list[Subject]:
    """Returns the things and animals with a mask that are large enough, in some photographs of the open data."""
    from photographs import OPEN_FOLDERS, open_objects

    by_file = {photo.path.resolve(): photo for photo in photos}
    every = [one for split in SPLITS for one in open_objects(data, split, (*OPEN_FOLDERS, "masks_drawn"))]
    subjects = []
    for one in every:
        photo = by_file.get(one.image.resolve())
        if photo is None or one.kind in NO_THINGS:
            continue
        region = region_of(one.mask)
        rows = np.flatnonzero(region.any(1))
        least, largest = THING_SHARES
        if least < region.mean() < largest and rows[-1] - rows[0] > MIN_THING_HEIGHT * len(region):
            subjects.append(Subject(photo, one.kind, None, one.mask))
    return subjects


def run(
    seed: int, count: int, data: Path, out: Path, kinds: Sequence[str] = (), *, mixed: bool = False
) -> Iterator[Path]:
    """Draws pairs, composes them, and yields the files: pages of the sheet, and the table."""
    from pyharmony.cli._sheets import sheet

    pairs = mixed_pairs(seed, count, data) if mixed else open_pairs(seed, count, data, kinds)
    out.mkdir(parents=True, exist_ok=True)
    table: list[dict[str, Any]] = []
    for page, first in enumerate(range(0, count, PAGE_ROWS), 1):
        cells = []
        for number, pair in enumerate(pairs[first : first + PAGE_ROWS], first + 1):
            row, [(title, cell), *rest] = composite_of(pair)
            table.append({**row, "number": number})
            cells.append([(f"{number} {title}"[:50], cell), *rest])
            print(number, {key: row[key] for key in COLUMNS if row[key] != ""}, file=sys.stderr, flush=True)
        path = out / f"pairs_{page}.png"
        sheet(cells).save(path)
        yield path
    with (out / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    yield out / "pairs.csv"
