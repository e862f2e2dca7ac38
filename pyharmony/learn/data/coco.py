"""COCO annotations: the instances, for other rooms too, and their masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ... import _arrays, _checks
from ..._arrays import Corners, NumpyArray, Rectangle
from ..._images.kinds import hard_mask
from ...errors import ArgumentError, DataError, ShapeError
from ...typing import PathLike
from . import _files
from ._dataset import Dataset, Problem, Sample

__all__ = ["CocoPeople", "Instances", "decode_segmentation", "encode_segmentation"]


class Instance(NamedTuple):
    """An annotated object of a photograph.

    Attributes:
        name: the stem of the photograph's file and the id of the annotation, such as 000000000139_900100.
        file: the name of the photograph's file.
        size: the width and height of the photograph that the annotations are of.
        segmentation: polygons or runs, see `decode_segmentation`; None: it has a box alone.
        box_xyxy: its corners (x0, y0, x1, y1) in pixels; None without a box.
        category: the name of its category; '' if the file does not name it.
        category_id: the number of its category.
        area: its pixels, as annotated, or those of its box.
        crowd: whether it is a region of several.
    """

    name: str
    file: str
    size: tuple[int, int]
    segmentation: Any
    box_xyxy: Corners | None
    category: str
    category_id: Any
    area: float
    crowd: bool


class Instances(Dataset):
    """Instances of a file of COCO annotations, with `image` and `mask`, or without one `box_xyxy`.

    Args:
        annotations: the JSON file.
        images: the folder of the photographs.
        categories: the names of the categories; None: all.

    Incomplete annotations are skipped and listed by `check`, which compares the sizes of photographs, too.
    """

    def __init__(self, annotations: PathLike, images: PathLike, categories: Iterable[str] | None = None) -> None:
        self.annotations, self.images = _checks.path(annotations, "annotations"), _checks.folder(images, "images")
        self.problems: list[Problem] = []
        self.category_names: list[str] = []
        self._select([])
        with _files.data_errors(str(self.annotations)):
            self._select(list(self._read(None if categories is None else set(categories))))

    def _select(self, instances: list[Instance]) -> None:
        self.instances = instances
        self.names = [one.name for one in instances]

    def _read(self, categories: set[str] | None) -> Iterator[Instance]:
        table = read_table(self.annotations)
        named = [c for c in table["categories"] if isinstance(c, dict) and "name" in c and _is_key(c.get("id"))]
        names = {c.get("id"): str(c["name"]) for c in named}
        self.category_names = sorted(names.values())
        photos = {x["id"]: x for x in table["images"] if isinstance(x, dict) and _is_id(x.get("id"))}
        for number, one in enumerate(table["annotations"]):
            category_id = one.get("category_id") if isinstance(one, dict) else None
            category = names.get(category_id, "") if _is_key(category_id) else ""
            if isinstance(one, dict) and categories is not None and category not in categories:
                continue
            try:
                yield _instance(one, photos, category)
            except DataError as error:
                what = f"{self.annotations}: annotation {number}: {error}"
                self.problems.append(Problem(f"annotation {number}", what))

    @property
    def groups(self) -> list[str]:
        return [one.file for one in self.instances]

    @property
    def categories(self) -> list[str]:
        return [one.category for one in self.instances]

    def paths(self, index: int) -> dict[str, Path]:
        """Returns the file of a sample, which is in the folder of the photographs."""
        one = self.instances[self._at(index)]
        where = f"{self.annotations}: {one.name}"
        return {"image": _files.own_file(self.images, _files.inside(self.images, one.file, where), where)}

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        one, path = self.instances[index], self.paths(index)["image"]
        image = _files.read_picture(path, "image")
        height, width = image.shape[:2]
        check_size((width, height), one.size, path)
        sample = {"name": one.name, "image": image}
        if one.segmentation is None:
            return {**sample, "box_xyxy": one.box_xyxy}
        where = f"{self.annotations}: {one.name}"
        try:
            sample["mask"] = decode_segmentation(one.segmentation, height, width)
        except (ArgumentError, ShapeError) as error:
            raise DataError(f"{where}: {error}") from None
        _files.one_size(sample, {"image": f"image: {path}", "mask": f"mask: {where}"})
        return sample

    def _strays(self) -> list[Problem]:
        return self.problems


class CocoPeople(Instances):
    """People, or instances of another category, from a file of COCO annotations.

    Args:
        annotations: the JSON file, such as `instances_train2017.json`.
        images: the folder of the photographs.
        category: the name of the category.
        min_share, max_share: the range of an instance's share of the photograph, by the annotation's `area`.
        crowd: whether to include regions of several instances.

    Samples have `image`, `mask` and `share`. A name like 000000000139_900100 contains the ids of the photograph and the
    annotation. Instances of one photograph form a group. Incomplete annotations are skipped and listed by `check`.

    Raises:
        DataError: the file contains no COCO annotations, or has no such category.
        FileNotFoundError: the file or the folder is missing.

    Example:
        >>> from pyharmony import data
        >>> people = data.CocoPeople("coco/instances.json", "coco")
        >>> people[0]["name"], int((people[0]["mask"] > 0).sum())
        ('1_7', 16)
    """

    @_checks.kinds
    def __init__(
        self,
        annotations: PathLike,
        images: PathLike,
        category: str = "person",
        *,
        min_share: float = 0.0,
        max_share: float = 1.0,
        crowd: bool = False,
    ) -> None:
        low = _checks.number(min_share, "min_share", high=1.0, accepts="a number from 0 to 1")
        high = _checks.number(max_share, "max_share", high=1.0, accepts="a number from 0 to 1")
        super().__init__(annotations, images, [category])
        if category not in self.category_names:
            names = ", ".join(self.category_names)
            raise DataError(f"{self.annotations}: no category {category!r}, expected one of {names}")
        for one in self.instances:
            if one.segmentation is None:
                text = "has no segmentation; `boxes_to_masks` computes one from its box"
                self.problems.append(Problem(one.name, f"{self.annotations}: {one.name} {text}"))
        masked = [one for one in self.instances if one.segmentation is not None]
        self._select([one for one in masked if low <= _share(one) <= high and (crowd or not one.crowd)])

    @_files.loads_files
    def _load(self, index: int) -> Sample:
        return {**super()._load(index), "share": _share(self.instances[index])}


def _share(one: Instance) -> float:
    return one.area / (one.size[0] * one.size[1])


def read_table(annotations: Path) -> dict[str, Any]:
    """Returns the contents of a file of COCO annotations; `categories` may be missing in it."""
    table = _files.read_json(annotations, "annotations")
    for key in ("images", "annotations", "categories"):
        entries = table.get(key, [] if key == "categories" else None) if isinstance(table, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{annotations}: no list {key!r}, expected COCO annotations")
    return {"categories": [], **table}


def check_size(size: tuple[int, int], annotated: tuple[Any, Any], path: Path) -> None:
    """Raises if a photograph has another size than its annotations are of."""
    if size != annotated:
        width, height = annotated
        raise ShapeError(f"image: {path}: {size[0]} x {size[1]} pixels, annotations are for {width} x {height}")


def _is_id(x: Any) -> bool:
    return isinstance(x, (int, str))


def _is_key(x: Any) -> bool:
    return x is None or _is_id(x)


def is_size(x: Any) -> bool:
    return isinstance(x, int) and 0 < x < 1 << 31


def box_of(box: Any) -> Rectangle:
    """Returns a box of COCO, x, y, width, height; raises DataError if it is none."""
    numbers = isinstance(box, (list, tuple)) and all(isinstance(x, (int, float)) and abs(x) < 1 << 31 for x in box)
    if not numbers or len(box) != 4 or min(box[2:]) <= 0:  # NaN is no number here
        raise DataError(f"bbox: {str(box)[:60]}, expected x, y, width and height in pixels, the last two above 0")
    x, y, width, height = map(float, box)
    return x, y, width, height


def _instance(one: Any, photos: dict[Any, Any], category: str) -> Instance:
    """Returns the instance of an annotation; raises DataError if something is missing or wrong in it."""
    segmentation, bbox = (one.get("segmentation"), one.get("bbox")) if isinstance(one, dict) else (None, None)
    if not (segmentation or bbox) or not {"id", "image_id"} <= one.keys() or ("area" not in one and not bbox):
        raise DataError("expected id, image_id, segmentation and area, or bbox in place of one of the last two")
    if not _is_id(one["image_id"]) or one["image_id"] not in photos:
        raise DataError(f"there is no image {one['image_id']!r}")
    photo = photos[one["image_id"]]
    file, width, height = (photo.get(key) for key in ("file_name", "width", "height"))
    if not isinstance(file, str) or not _files.is_file_name(file) or not is_size(width) or not is_size(height):
        raise DataError(f"image {one['image_id']!r} lacks file_name, height or width")
    if not _is_id(one["id"]):
        raise DataError(f"id: {str(one['id'])[:40]}")
    box = None if segmentation and "area" in one else box_of(bbox)
    area = one["area"] if "area" in one or box is None else box[2] * box[3]
    if not isinstance(area, (int, float)) or not abs(area) < 1 << 62:  # NaN fails the comparison
        raise DataError(f"area: {str(area)[:40]}")
    corners = box and (box[0], box[1], box[0] + box[2], box[1] + box[3])
    details = category, one.get("category_id"), area, bool(one.get("iscrowd"))
    return Instance(f"{Path(file).stem}_{one['id']}", file, (width, height), segmentation or None, corners, *details)


@_checks.kinds
def decode_segmentation(segmentation: Any, height: int, width: int) -> NumpyArray:
    """Decodes the mask of a COCO segmentation: polygons, or runs.

    Args:
        segmentation: a list of polygons, each [x0, y0, x1, y1, ...] in pixels; or an object with `size` (height, width)
            and `counts`: run lengths in column-major order, background first, as a list or as COCO's text.
        height, width: the size of the photograph.

    Returns:
        uint8 [height, width], 255 inside: a polygon covers the pixels whose centres are inside, by the even-odd rule.

    Raises:
        ArgumentError: it is neither, or its runs are for another size.

    Example:
        >>> from pyharmony import data
        >>> data.decode_segmentation([[1, 0, 3, 0, 3, 2, 1, 2]], 2, 4).tolist()
        [[0, 255, 255, 0], [0, 255, 255, 0]]
    """
    for side, name in ((height, "height"), (width, "width")):
        _checks.whole(side, name, low=1)
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        size = segmentation.get("size")
        if size != [height, width] and size != (height, width):
            raise ArgumentError(f"segmentation: size {size!r}, expected [{height}, {width}]")
        lengths = _counts(counts) if isinstance(counts, (str, bytes)) else counts
        return _runs(lengths, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ArgumentError(f"segmentation: {type(segmentation).__name__}, expected polygons, or size and counts")
    inside = np.zeros((height, width), bool)
    for polygon in segmentation:
        inside |= _polygon(polygon, height, width)
    return np.where(inside, np.uint8(255), np.uint8(0))


@_checks.kinds
def encode_segmentation(mask: NumpyArray) -> dict[str, Any]:
    """Encodes a mask in COCO's format: `size` (height, width) and `counts`, its run lengths as text.

    Args:
        mask: a mask [H, W] of the kinds of `pyharmony.blend`; inside is what is above one half.

    Raises:
        ShapeError, DTypeError, MaskError: it is no mask.

    Example:
        >>> from pyharmony import data
        >>> mask = np.zeros((2, 4), np.uint8)
        >>> mask[:, 1:3] = 255
        >>> runs = data.encode_segmentation(mask)
        >>> runs["size"], bool((data.decode_segmentation(runs, 2, 4) == mask).all())
        ([2, 4], True)
    """
    values = _arrays.to_numpy(mask, "mask")
    if values.ndim != 2 or not values.size:
        raise ShapeError(f"mask: shape {list(values.shape)}, expected [H, W] with pixels")
    inside = hard_mask(values, "mask", *values.shape).T.ravel()
    turns = np.flatnonzero(np.diff(inside)) + 1
    ends = np.concatenate([[0] if inside[0] else [], turns, [inside.size]]).astype(np.int64)
    lengths = np.diff(ends, prepend=0).tolist()
    letters = bytearray()
    for number, length in enumerate(lengths):
        value = length - (lengths[number - 2] if number > 2 else 0)
        while True:
            piece, value = value & 31, value >> 5
            more = value != (-1 if piece & 16 else 0)
            letters.append(48 + piece + (32 if more else 0))
            if not more:
                break
    return {"size": list(values.shape), "counts": letters.decode("ascii")}


def _polygon(polygon: Any, height: int, width: int) -> NumpyArray:
    """Returns bool [H, W]: each edge flips the pixels to its right, in the rows whose centres it crosses."""
    try:
        points = np.asarray(polygon, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 1 or points.size < 6 or points.size % 2 or not np.isfinite(points).all():
        raise ArgumentError("segmentation: a polygon with fewer than three points x, y, expected three or more")
    points = points.reshape(-1, 2)
    turns = np.zeros((height, width + 1), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in (y0, y1))
        rows = np.arange(first, last)  # y0 <= row + 0.5 < y1
        if rows.size:
            x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            turns[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] ^= True
    return np.logical_xor.accumulate(turns, axis=1)[:, :width]


def _counts(text: str | bytes) -> list[int]:
    """Decodes the run lengths of COCO's text: 5 bits per character from '0' on; the 6th bit marks a continuation.

    From the fourth on, a number is the difference to the run two positions before.
    """
    data = text.encode("latin-1", "replace") if isinstance(text, str) else text
    lengths: list[int] = []
    value = shift = 0
    for byte in data:
        piece = byte - 48
        if not 0 <= piece < 64:
            raise ArgumentError(f"segmentation: invalid character {chr(byte)!r} in the text of runs")
        value |= (piece & 31) << shift
        shift += 5
        if not piece & 32:
            if piece & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
        elif shift > 60:
            raise ArgumentError("segmentation: a run of more than 60 bits")
    if shift:
        raise ArgumentError("segmentation: the text of runs ends within a number")
    return lengths


def _runs(lengths: Any, height: int, width: int) -> NumpyArray:
    try:
        counts = np.asarray(lengths, np.int64)
    except (TypeError, ValueError, OverflowError):
        counts = np.full(1, -1)
    if counts.ndim != 1 or (counts < 0).any() or (counts > height * width).any() or counts.sum() != height * width:
        raise ArgumentError(f"segmentation: its runs do not fit {width} x {height} pixels")
    values = np.zeros(counts.size, np.uint8)
    values[1::2] = 255
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)
