"""The objects that are pasted: from folders, COCO annotations, data sets and arrays."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ... import _checks
from ... import io as files
from ..._arrays import Pixels, is_array, is_pil
from ..._images.cutouts import cutout_alpha, warn_of_opaque
from ..._images.fill import fill
from ..._images.kinds import is_file
from ..._images.levels import image_levels, in_levels, mask_levels, picture_levels
from ..._images.region import Region, bounding_box
from ...errors import ArgumentError, DataError, DTypeError, PyHarmonyError, ShapeError, UnusableSample
from ...io.folders import images_in, tell_of_others
from ...typing import ImageLike, MaskLike, PathLike
from ._boxes import BOXES
from ._cutout import Cutout

if TYPE_CHECKING:
    from ..data import Dataset, Problem

logger = logging.getLogger("pyharmony")

#: The suffixes of files without an alpha channel.
_WITHOUT_ALPHA = (".jpg", ".jpeg", ".jpe", ".jfif", ".bmp")
#: The memory for decoded donors, in bytes.
_MEMORY = 256 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class Donor:
    """An object of a picture, to be pasted into others.

    Attributes:
        image: the picture that contains it, of any kind: uint8 [H, W, 3] or another array, a PIL image or a path. A
            path is read when the donor is used.
        mask: where it is, of image's height and width: an array of bool, of uint8 (255 inside) or of floats from 0 to
            1, a path, or a COCO segmentation (polygons, or runs). None: see box_xyxy; without it, the alpha of image.
        box_xyxy: (x0, y0, x1, y1) in pixels, the last two excluded, of an object without a mask: `pyharmony.segment`
            cuts it out when the donor is first used. None: not used.
        label: its label, of the type of those of the pictures, such as an integer.
        name: its name, for messages.

    `box` is the old name of box_xyxy, which this release still takes, with a warning.

    Example:
        >>> from pyharmony import augment
        >>> picture = np.full((32, 32, 3), 90, np.uint8)
        >>> mask = np.zeros((32, 32), bool)
        >>> mask[8:24, 10:20] = True
        >>> augment.Donor(picture, mask, label=3).label
        3
    """

    image: ImageLike
    mask: MaskLike | Mapping[str, Any] | Sequence[Any] | None = None
    box_xyxy: Sequence[float] | None = None
    label: Any = None
    name: str = ""
    box: dataclasses.InitVar[Sequence[float] | None] = None

    def __post_init__(self, box: Sequence[float] | None) -> None:
        # dataclasses.replace passes the property on, too.
        corners = {"box": box, "box_xyxy": self.box_xyxy}
        if box is not self.box_xyxy and _checks.renamed(corners, "box", "box_xyxy") == "box":
            object.__setattr__(self, "box_xyxy", box)
        if not _is_image(self.image) and not isinstance(self.image, _Of):
            raise DTypeError(f"image: {type(self.image).__name__}, expected an array, a PIL image, a path or a Picture")
        if not (self.mask is None or isinstance(self.mask, (Mapping, list, tuple)) or _is_image(self.mask)):
            accepts = "None, an array, a PIL image, a path, or a segmentation of COCO"
            raise DTypeError(f"mask: {type(self.mask).__name__}, expected {accepts}")
        if self.box_xyxy is not None:
            _checks.checked_box(self.box_xyxy, "box_xyxy", corners=True)
        if not isinstance(self.name, str):
            raise DTypeError(f"name: {type(self.name).__name__}, expected a text")


# dataclasses leaves the default of `box` in the class, where it would be taken for the value.
Donor.box = property(lambda donor: donor.box_xyxy, doc="The old name of box_xyxy.")  # type: ignore[attr-defined]


@dataclasses.dataclass(frozen=True)
class _Of:
    """A sample of a data set as the source of a donor."""

    dataset: Any
    index: int


class Bank(Sequence[Donor]):
    """Donors, cut out when they are used, and kept in memory up to a limit.

    Args:
        donors: `Donor`, or mappings with its attributes as keys.
        rectangles: whether the objects with a box alone are pasted as rectangles, background included. False:
            `pyharmony.segment` cuts each out when it is first used, which takes some tenths of a second; `checked` does
            so for all of them ahead of training, and the result is stored in the bank.
        memory: the bytes of memory for decoded donors of files, per process; the least recently used are read again.

    An item is a `Donor` with `image`, uint8 [h, w, 3], and `mask`, uint8 [h, w]: the object with a margin of a few
    pixels. A bank can be sent to other processes, which read the files on their own.

    Raises:
        DTypeError, ArgumentError: a donor is not one, has both a mask and a box, or there is none at all.

    Example:
        >>> from pyharmony import augment
        >>> picture = np.full((32, 32, 3), 90, np.uint8)
        >>> mask = np.zeros((32, 32), bool)
        >>> mask[8:24, 10:20] = True
        >>> bank = augment.Bank([augment.Donor(picture, mask, label="cup")])
        >>> bank[0].image.shape, bank.labels
        ((20, 14, 3), ['cup'])
    """

    def __init__(
        self, donors: Iterable[Donor | Mapping[str, Any]], *, rectangles: bool = False, memory: int = _MEMORY
    ) -> None:
        self.rectangles = _checks.flag(rectangles, "rectangles")
        several = _checks.several(donors, "donors", "a list of donors")
        self._donors = [_donor(each, f"donors[{i}]: ") for i, each in enumerate(several)]
        if not self._donors:
            raise ArgumentError("donors: none, expected at least one")
        self.memory = _checks.whole(memory, "memory")
        self._cutouts: OrderedDict[int, Cutout] = OrderedDict()
        self._empty: set[int] = set()
        #: Masks that were computed for boxes, by the index of the donor: the shape of the picture, their region and
        #: their packed bits.
        self._segmented: dict[int, tuple[tuple[int, int], Region, Any]] = {}

    @classmethod
    @_checks.kinds
    def from_folder(cls, folder: PathLike, *, labels: Mapping[str, Any] | None = None, memory: int = _MEMORY) -> Bank:
        """Opens the cut-outs of a folder.

        It contains pictures with an alpha channel, of any format that has one, or `images` and `masks` with files of
        one stem, or is of another kind that `learn.data.open_dataset` opens, whose samples have a mask; or folders
        of the first two kinds, the name of each of which is the label of its objects. Other files are left out, with
        a warning that counts them.

        Args:
            folder: the folder.
            labels: the label for each name of a folder; others are not read. None: the name. For objects that are not
                in a folder of a label: the category of a data set, or ''.
            memory: see `Bank`.

        Raises:
            FileNotFoundError: there is no such folder.
            DataError: it contains none of these.

        Example:
            >>> from pyharmony import augment
            >>> bank = augment.Bank.from_folder("photos")
            >>> len(bank), bank.labels
            (2, ['', ''])
        """
        root = _checks.folder(folder, "folder")
        folders = {root: ""}
        if not (root / "images").is_dir():
            folders |= {path: path.name for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."}
        donors: list[Donor] = []
        left_out: dict[Path, list[Path]] = {}
        for path, label in folders.items():
            if labels is None or label in labels:
                more, left_out[path] = _donors_in(path, label if labels is None else labels[label])
                donors += more
        if not donors:
            from ..data import open_dataset

            return cls.from_dataset(open_dataset(root), labels=labels, memory=memory)
        for path, others in left_out.items():
            tell_of_others(path, others, "no image with an alpha channel")
        return cls(donors, memory=memory)

    @classmethod
    @_checks.kinds
    def from_dataset(cls, dataset: Dataset, *, labels: Mapping[str, Any] | None = None, memory: int = _MEMORY) -> Bank:
        """Takes the objects of a data set of `learn.data`, whose samples have `image` or `target`, and `mask`.

        Args:
            dataset: the data set.
            labels: the label for each of its categories; others are left out. None: the name of the category.
            memory: see `Bank`.

        Raises:
            ArgumentError: no object is left.

        Example:
            >>> from pyharmony import augment, data
            >>> augment.Bank.from_dataset(data.Photos("photos"))
            Bank(2 donors)
        """
        from ..data import Dataset

        if not isinstance(dataset, Dataset):
            raise DTypeError(f"dataset: {type(dataset).__name__}, expected a data set of pyharmony.learn.data")
        donors = [
            {"image": _Of(dataset, i), "label": category if labels is None else labels[category], "name": name}
            for i, (name, category) in enumerate(zip(dataset.names, dataset.categories, strict=True))
            if labels is None or category in labels
        ]
        return cls._labelled(donors, labels, memory=memory)

    @classmethod
    @_checks.kinds
    def from_coco(
        cls,
        annotations: PathLike,
        images: PathLike,
        *,
        labels: Mapping[str, Any] | None = None,
        min_area: float = 0.0,
        rectangles: bool = False,
        memory: int = _MEMORY,
    ) -> Bank:
        """Takes the instances of a file of COCO annotations; regions of several (`iscrowd`) are left out.

        Args:
            annotations: the JSON file, such as `instances_train2017.json`.
            images: the folder of the photographs.
            labels: the label for each name of a category; others are left out. None: all, with `category_id`.
            min_area: the least area of an instance, in pixels, by its `area`, or else its box.
            rectangles, memory: see `Bank`; they concern instances with a box and no segmentation.

        Raises:
            FileNotFoundError: the file or the folder is missing.
            DataError: the file contains no COCO annotations, an annotation is incomplete, or its file is outside the
                folder.
            ArgumentError: no instance is left.

        Example:
            >>> from pyharmony import augment
            >>> augment.Bank.from_coco("coco/instances.json", "coco").labels
            [1]
        """
        from ..data.coco import Instances

        least = _checks.number(min_area, "min_area")
        instances = Instances(annotations, images, labels)
        if instances.problems:
            raise DataError(f"not COCO annotations that can be used: {instances.problems[0].message}")
        donors = []
        for i, one in enumerate(instances.instances):
            if not one.crowd and one.area >= least:
                instances.paths(i)  # refuses one outside the folder
                label = one.category_id if labels is None else labels[one.category]
                donors.append({"image": _Of(instances, i), "label": label, "name": one.name})
        return cls._labelled(donors, labels, rectangles=rectangles, memory=memory)

    @classmethod
    def _labelled(cls, donors: list[Any], labels: Mapping[str, Any] | None, **settings: Any) -> Bank:
        if labels is not None and not donors:
            raise ArgumentError(f"labels: {_checks.shortened(list(labels))}, no object is of one of these")
        return cls(donors, **settings)

    @classmethod
    @_checks.kinds
    def from_arrays(
        cls,
        images: Iterable[ImageLike],
        masks: Iterable[Any] | None = None,
        *,
        boxes_xyxy: Iterable[Any] | None = None,
        labels: Iterable[Any] | None = None,
        rectangles: bool = False,
        memory: int = _MEMORY,
        boxes: Iterable[Any] | None = None,
    ) -> Bank:
        """Takes one object of each picture.

        Args:
            images: the pictures, see `Donor`.
            masks: their masks; None: the alpha of the pictures, or boxes.
            boxes_xyxy: their boxes (x0, y0, x1, y1), for objects without masks; None: not used.
            labels: their labels; None: they have none.
            rectangles, memory: see `Bank`.
            boxes: the old name of boxes_xyxy, which this release still takes, with a warning.

        Raises:
            ShapeError: there are more or fewer masks, boxes or labels than pictures.
            DTypeError, ArgumentError: see `Bank`.

        Example:
            >>> from pyharmony import augment
            >>> pictures, masks = np.zeros((2, 32, 32, 3), np.uint8), np.ones((2, 32, 32), bool)
            >>> augment.Bank.from_arrays(pictures, masks, labels=[1, 2])
            Bank(2 donors)
        """
        columns: dict[str, list[Any]] = {"image": _checks.several(images, "images", "a list of pictures")}
        corners_name = _checks.renamed({BOXES: boxes_xyxy, "boxes": boxes}, "boxes", BOXES)
        corners = boxes_xyxy if corners_name == BOXES else boxes
        parts = (("mask", "masks", masks), ("box_xyxy", corners_name, corners), ("label", "labels", labels))
        for key, name, values in parts:
            if values is not None:
                columns[key] = _checks.several(values, name, "a list, an item for each picture")
                if len(columns[key]) != len(columns["image"]):
                    raise ShapeError(f"{name}: {len(columns[key])}, expected {len(columns['image'])}, as images")
        plural = {"image": "images", **{key: name for key, name, _ in parts}}
        donors = []
        for i, row in enumerate(zip(*columns.values(), strict=True)):
            try:
                donors.append(Donor(**dict(zip(columns, row, strict=True))))
            except PyHarmonyError as error:
                raise error.within("", f"{plural.get(error.argument or '', 'images')}[{i}]") from None
        return cls(donors, rectangles=rectangles, memory=memory)

    @property
    def labels(self) -> list[Any]:
        """The label of each donor."""
        return [donor.label for donor in self._donors]

    @property
    def names(self) -> list[str]:
        """The name of each donor, for messages."""
        return [_name(donor, i) for i, donor in enumerate(self._donors)]

    @_checks.kinds
    def checked(self, progress: Callable[[], None] | None = None) -> tuple[Bank, list[Problem]]:
        """Cuts out every donor; returns the bank of those that can be used, and the problems of the others.

        Masks that `pyharmony.segment` computes for boxes are stored in the bank.

        Args:
            progress: called after each donor.

        Raises:
            ArgumentError: no donor can be used.

        Example:
            >>> from pyharmony import augment
            >>> bank, problems = augment.Bank.from_folder("photos").checked()
            >>> len(bank), problems
            (2, [])
        """
        from ..data import Problem

        problems, usable = [], []
        for i, name in enumerate(self.names):
            try:
                self._cutout(i)
                usable.append(i)
            except (PyHarmonyError, OSError) as error:
                problems.append(Problem(name, str(error)))
            if progress is not None:
                progress()
        bank = Bank([self._donors[i] for i in usable], rectangles=self.rectangles, memory=self.memory)
        bank._segmented = {new: self._segmented[i] for new, i in enumerate(usable) if i in self._segmented}
        return bank, problems

    def __len__(self) -> int:
        return len(self._donors)

    @overload
    def __getitem__(self, index: int) -> Donor: ...
    @overload
    def __getitem__(self, index: slice) -> list[Donor]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: {index}, expected 0 to {len(self) - 1}")
        number = int(index) % len(self)
        cutout, donor = self._cutout(number), self._donors[number]
        return Donor(cutout.image, cutout.mask, label=donor.label, name=_name(donor, number))

    def __repr__(self) -> str:
        return f"Bank({len(self)} donors)"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cutouts": OrderedDict()}

    def _label(self, index: int) -> Any:
        """Returns the label of a donor, which is not read."""
        return self._donors[index].label

    def _cutout(self, index: int) -> Cutout:
        """Returns the cut-out of a donor, from memory if it is there; several threads may call it."""
        cutout = self._cutouts.get(index)
        if cutout is None:
            cutout = self._cut_out(index)
            self._cutouts[index] = cutout
            total = sum(each.nbytes for each in list(self._cutouts.values()))
            while total > self.memory and len(self._cutouts) > 1:
                oldest = next(iter(self._cutouts), index)
                gone = self._cutouts.pop(oldest, None)
                total -= 0 if gone is None else gone.nbytes
        else:
            with contextlib.suppress(KeyError):  # another thread has removed it
                self._cutouts.move_to_end(index)
        return cutout

    def _cutout_or_none(self, index: int) -> Cutout | None:
        """Returns the cut-out of a donor; None, and a warning in the log at first, if it has no pixel inside."""
        if index in self._empty:
            return None
        try:
            return self._cutout(index)
        except UnusableSample as error:
            self._empty.add(index)
            logger.warning("a donor is left out: %s", error)
            return None

    def _cut_out(self, index: int) -> Cutout:
        donor = self._donors[index]
        name = _name(donor, index)
        try:
            return Cutout(*self._read(donor, index))
        except PyHarmonyError as error:
            raise error.within(f"{name}: ") from error

    def _read(self, donor: Donor, index: int) -> tuple[Pixels, Pixels]:
        """Returns the picture of a donor and its mask."""
        if isinstance(donor.image, _Of):
            sample = donor.image.dataset[donor.image.index]
            image = sample.get("image", sample.get("target"))
            if image is not None and "box_xyxy" in sample:
                return image, self._mask_of_box(image, sample["box_xyxy"], index)
            if image is None or "mask" not in sample:
                raise DataError(f"sample: {', '.join(sample)}, expected image or target, and mask")
            return image, sample["mask"]
        image, alpha = _picture(donor.image)
        height, width = image.shape[:2]
        if donor.mask is not None:
            if isinstance(donor.mask, (Mapping, list)):
                from ..data import decode_segmentation

                return image, decode_segmentation(donor.mask, height, width)
            return image, mask_levels(donor.mask, height, width)
        if donor.box_xyxy is not None:
            return image, self._mask_of_box(image, donor.box_xyxy, index)
        if alpha is None:
            raise ArgumentError("image: without alpha, expected a mask, a box, or a picture with alpha")
        own = cutout_alpha(alpha, "image")
        if own is None:
            if index not in self._segmented:
                warn_of_opaque("image")
            return image, self._once(index, image, lambda: _main_object(image))
        return _filled(image, own), own

    def _mask_of_box(self, image: Pixels, box: Any, index: int) -> Pixels:
        height, width = image.shape[:2]
        x0, y0, x1, y1 = _checks.checked_box(box, "box_xyxy", (width, height), corners=True)
        mask = np.zeros((height, width), np.uint8)
        if self.rectangles:
            mask[round(y0) : round(y1), round(x0) : round(x1)] = 255
            return mask

        def in_box() -> Pixels:
            from ...segmentation import segment

            left, top, right, bottom = round(x0), round(y0), round(x1), round(y1)
            segmented = segment(image, box=(left, top, right - left, bottom - top)).mask
            if not (segmented >= 128).any():
                raise UnusableSample(f"box_xyxy: {tuple(box)}, no object was segmented in it")
            return segmented

        return self._once(index, image, in_box)

    def _once(self, index: int, image: Pixels, segment: Callable[[], Pixels]) -> Pixels:
        """Returns the hard mask [H, W] of a donor that is segmented once."""
        height, width = image.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        if index not in self._segmented:
            inside = segment() >= 128
            region = bounding_box(inside)
            self._segmented[index] = inside.shape, region, np.packbits(region.of(inside))
        shape, region, bits = self._segmented[index]
        if shape != (height, width):
            raise ShapeError(f"image: {width} x {height} pixels, it had {shape[1]} x {shape[0]} when it was segmented")
        count = region.shape[0] * region.shape[1]
        region.of(mask)[np.unpackbits(bits, count=count).reshape(region.shape) > 0] = 255
        return mask


def _is_image(x: Any) -> bool:
    return is_array(x) or is_pil(x) or is_file(x) or isinstance(x, files.Picture)


def as_bank(bank: Any) -> Bank:
    """Returns a bank from one, a folder, or donors."""
    if isinstance(bank, Bank):
        return bank
    if isinstance(bank, (str, os.PathLike)):
        return Bank.from_folder(bank)
    return Bank(bank)


def _donor(each: Any, owner: str) -> Donor:
    if isinstance(each, Mapping):
        names = [*(field.name for field in dataclasses.fields(Donor)), "box"]
        strange = [key for key in each if key not in names]
        if strange or "image" not in each:
            what = f"key {strange[0]!r}" if strange else "without the key 'image'"
            raise ArgumentError(f"{owner}{what}, expected image and some of {', '.join(map(repr, names[1:-1]))}")
        try:
            each = Donor(**each)
        except PyHarmonyError as error:
            raise error.within(owner) from None
    if not isinstance(each, Donor):
        raise DTypeError(f"{owner}{type(each).__name__}, expected a Donor, or a mapping with its attributes")
    if each.mask is not None and each.box_xyxy is not None:
        raise ArgumentError(f"{owner}both mask and box_xyxy, expected one of them")
    return each


def _name(donor: Donor, index: int) -> str:
    return donor.name or (str(donor.image) if isinstance(donor.image, (str, Path)) else f"donors[{index}]")


def _picture(image: Any) -> tuple[Pixels, Pixels | None]:
    """Returns a picture as uint8 [H, W, 3], and its alpha [H, W]."""
    if is_array(image):
        values = np.asarray(image)
        alpha = in_levels(values[..., 3]) if values.ndim == 3 and values.shape[2] == 4 else None
        return image_levels(image), alpha
    picture = files.read(image, "image")
    alpha = in_levels(picture.pixels[..., -1]) if picture.pixels.shape[2] in (2, 4) else None
    return picture_levels(picture, "image"), alpha


def _main_object(image: Pixels) -> Pixels:
    """Returns the mask of the main object of a picture; it is segmented in a room that takes a while to import."""
    from ...segmentation.subjects import main_object

    return main_object(image, "image")


def _filled(image: Pixels, alpha: Pixels) -> Pixels:
    """Returns a picture whose colours where its alpha is zero, which are arbitrary, continue those of the object."""
    holes = alpha == 0
    if not holes.any():
        return image
    colours = fill(image.astype(np.float32), holes)
    return np.rint(np.clip(colours, 0, 255)).astype(np.uint8)


def _donors_in(folder: Path, value: Any) -> tuple[list[Donor], list[Path]]:
    """Returns the donors of one folder with a label, its pictures with alpha, or images and masks; and other files."""
    from ..data import Photos

    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        photos = Photos(folder)
        paths = [(name, photos.paths(i)) for i, name in enumerate(photos.names)]
        return [Donor(each["image"], each["mask"], label=value, name=f"{folder}: {name}") for name, each in paths], []
    images, others = images_in(folder)
    opaque = [path for path in images if path.suffix.lower() in _WITHOUT_ALPHA]
    return [Donor(path, label=value) for path in images if path not in opaque], sorted(opaque + others)
