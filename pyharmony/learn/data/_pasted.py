"""Synthetic segmentation scenes: objects of photographs pasted into others, with crops and changes of light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ... import _checks, color, ops
from ..._arrays import Bools, Pixels
from ..._images.region import bounding_box
from ...errors import UnusableSample
from ._dataset import Dataset, RandomSamples, Sample, image_of, numbers_with_masks
from .pasting import as_jpeg, between, blended

_SIZES = (0.12, 0.95)  # the longer side of a pasted object, relative to that of the scene
_MIN_OBJECT_SHARE = 0.002  # the smallest share of the scene covered by an object
#: The largest number of objects pasted into a scene.
_PASTED = 3
# People pasted next to a person in the scene.
_RELATIVE_HEIGHTS = (0.7, 1.4)  # the range of their height, relative to that person's
_RELATIVE_DISTANCES = (0.2, 1.1)  # the range of the distance between their centres, in half the sum of their widths
_MAX_HEAD_OFFSET = 0.15  # the largest vertical offset of their heads, relative to that person's height
_RIM_SIGMA = 0.7  # the standard deviation of the blur of an occluding rim, in pixels
_STRETCHED = 1.25  # the largest change of a pasted object's aspect ratio
_MAX_ROTATION = 25.0  # the largest rotation of a pasted object, in degrees
# Values of the plane `people`.
_NO_PERSON = 0  # no person
_UNKNOWN = 128  # unknown
_PERSON = 255  # a person
#: The share of an object's pixels that must remain visible for it to be the target.
_VISIBLE = 0.4
_TRIES = 8
#: The light of a scene is estimated from every n-th pixel along rows and columns.
_LIGHT_STEP = 4
#: The side of a magnified crop, in sides of the object: below 1 a part of it is outside.
_CROP_SIDES = (0.5, 2.2)


class _Scene(NamedTuple):
    """An image [H, W, 3], the target object [H, W], and where people are, see `Pasted`."""

    image: Pixels
    mask: Bools
    people: Pixels


class Pasted(RandomSamples):
    """Scenes with an object and its mask, for a click segmentation network.

    The random numbers of a sample depend only on seed, epoch and its index.

    Args:
        photos: samples with `image` (or `target`) and optionally `mask`, all of one size.
        size: the side of the images, to which a part of the scene is resized.
        pasted: the share of the scenes with pasted objects of other photographs. The target is one of these, or the
            photograph's own object without the occluded part.
        seamless: the share of the pasted objects without a visible seam: by Poisson blending, or by a soft rim and
            adapted light. Otherwise a network would learn to detect seams.
        nearer: the share of the scenes cropped around the object, like a magnified view.
        retouched: the share of the scenes with changed light (`pyharmony.color.retouch`).
        worn: the share of the scenes that are blurred, noisy, grey or JPEG compressed.
        persons: the indices of the photographs whose mask is that of a person.
        empty: the indices of the photographs without people.
        crowded: the share of the scenes with a person next to whom other people of similar height are pasted, in front
            or behind, as in groups.
        with_masks: the indices of the photographs that have a mask; None: all are read now to find out.
        per_photo: the number of scenes per photograph with a mask.
        seed: the seed of all random numbers.

    In addition to `image` and `mask` a sample has the plane `people`: 255 on a person, 0 where there is none, and 128
    where unknown, as around the person of a photograph that may show others.

    Raises:
        ArgumentError: a share is outside 0 to 1, or no photograph has a mask.

    Example:
        >>> from pyharmony import data
        >>> scenes = data.Pasted(data.Resized(data.Photos("photos"), 48), size=32, per_photo=4)
        >>> len(scenes), scenes[0]["image"].shape
        (8, (32, 32, 3))
    """

    @_checks.kinds
    def __init__(
        self,
        photos: Dataset,
        *,
        size: int = 256,
        pasted: float = 0.6,
        seamless: float = 0.6,
        nearer: float = 0.5,
        retouched: float = 0.5,
        worn: float = 0.25,
        persons: Sequence[int] = (),
        empty: Sequence[int] = (),
        crowded: float = 0.0,
        with_masks: Sequence[int] | None = None,
        per_photo: int = 1,
        seed: int = 0,
    ) -> None:
        self.size = int(_checks.number(size, "size", low=8, accepts="8 or more"))
        shares = {"pasted": pasted, "seamless": seamless, "nearer": nearer, "retouched": retouched, "worn": worn}
        shares["crowded"] = crowded
        self._share = {name: _checks.number(value, name, high=1.0, accepts="0 to 1") for name, value in shares.items()}
        masked, self._others = numbers_with_masks(photos, with_masks)
        super().__init__(photos, masked, per_photo, seed)
        self._persons, self._empty = set(persons), set(empty)
        self._company = [i for i in self._photo_indices if i in self._persons]

    def _load(self, index: int) -> Sample:
        random = self._random(index)
        for _ in range(_TRIES):
            image, mask, people = self._view(self._scene(self._photo_indices[index // self._per], random), random)
            if np.count_nonzero(mask) >= _MIN_OBJECT_SHARE * mask.size:
                break
        else:
            raise UnusableSample(f"{self.names[index]}: no scene in {_TRIES} tries shows enough of the object")
        if self._chance("retouched", random):
            image = color.retouch(image, parameters=color.Retouching.draw(random, 0.8))[0]
        if self._chance("worn", random):
            image = _worn(image, random)
        hard = np.where(mask, np.uint8(255), np.uint8(0))
        return {"name": self.names[index], "image": image, "mask": hard, "people": people}

    def _chance(self, name: str, random: np.random.Generator) -> bool:
        return bool(random.random() < self._share[name])

    def _photo(self, number: int) -> tuple[Pixels, Bools | None]:
        sample = self.photos[number]
        image = image_of(sample, self.photos.names[number])
        return image, sample["mask"] >= 128 if "mask" in sample else None

    def _people(self, number: int, region: Bools | None, size: tuple[int, int]) -> Pixels:
        """Returns where people are in a photograph of this size, whose object covers a region."""
        people = np.full(size, np.uint8(_NO_PERSON if number in self._empty else _UNKNOWN))
        if region is not None:
            people[region] = self._kind(number)
        return people

    def _kind(self, number: int) -> int:
        if not self._persons:
            return _UNKNOWN
        return _PERSON if number in self._persons else _NO_PERSON

    def _scene(self, number: int, random: np.random.Generator) -> _Scene:
        """Returns a scene with the photograph's object."""
        image, own = self._photo(number)
        assert own is not None  # noqa: S101  # only photographs with a mask are used
        people = self._people(number, own, own.shape)
        if number in self._persons and self._chance("crowded", random):
            return self._crowd(image, own, people, random)
        if not self._chance("pasted", random):
            return _Scene(image, own, people)
        # Either the object is pasted into another photograph, or others are pasted next to it.
        objects = _Objects(own)
        if self._others and random.random() < 0.4:
            first, object_ = image, own
            behind = self._others[int(random.integers(len(self._others)))]
            image, _ = self._photo(behind)
            image, region = self._with(image, first, object_, random)
            people = self._people(behind, None, region.shape)
            people[region] = self._kind(number)
            objects = _Objects(region)
        for _ in range(int(random.integers(1, _PASTED + 1))):
            another = self._photo_indices[int(random.integers(len(self._photo_indices)))]
            other, its = self._photo(another)
            image, region = self._with(image, other, its, random)
            people[region] = self._kind(another)
            objects.add(region)
        return _Scene(image, objects.one(random), people)

    def _crowd(self, image: Pixels, own: Bools, people: Pixels, random: np.random.Generator) -> _Scene:
        """Returns a scene with other people next to its person, in front or behind."""
        objects = _Objects(own)
        for _ in range(int(random.integers(1, _PASTED + 1))):
            other, its = self._photo(self._company[int(random.integers(len(self._company)))])
            before = image
            image, region = self._with(image, other, its, random, beside=own)
            if random.integers(2):
                image, region = blended(image, before, _soft(own)), region & ~own
            people[region] = _PERSON
            objects.add(region)
        return _Scene(image, objects.one(random), people)

    def _with(
        self, image: Pixels, other: Pixels, mask: Any, random: np.random.Generator, beside: Bools | None = None
    ) -> tuple[Pixels, Bools]:
        """Returns an image with an object of another photograph pasted, and its mask.

        beside: the region [H, W] of a person next to whom the object, a person too, is pasted; None: anywhere.
        """
        from PIL import Image

        height, width = image.shape[:2]
        nothing = np.zeros((height, width), np.bool_)
        box = bounding_box(mask)
        if box.empty:
            return image, nothing
        high, wide = box.shape
        around = None if beside is None or not beside.any() else bounding_box(beside)
        if around is None:
            longer = between(_SIZES, random) * max(height, width)
            factor = longer / max(wide, high)
        else:
            factor = between(_RELATIVE_HEIGHTS, random) * around.shape[0] / high
        stretch = _STRETCHED ** random.uniform(-0.5, 0.5)
        size = max(2, round(wide * factor * stretch)), max(2, round(high * factor / stretch))
        object_ = Image.fromarray(other).resize(size, Image.Resampling.BILINEAR, box=box.box)
        alpha = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
        alpha = alpha.resize(size, Image.Resampling.BILINEAR, box=box.box)
        if random.integers(2):
            object_, alpha = (x.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for x in (object_, alpha))
        if random.integers(2):
            angle = random.uniform(-_MAX_ROTATION, _MAX_ROTATION)
            object_, alpha = (x.rotate(angle, Image.Resampling.BICUBIC, expand=True) for x in (object_, alpha))
            size = object_.size
        if around is None:
            # Half of an object may be outside the frame.
            left = int(random.integers(-(size[0] // 2), max(1, width - size[0] // 2)))
            top = int(random.integers(-(size[1] // 2), max(1, height - size[1] // 2)))
        else:
            apart = random.uniform(*_RELATIVE_DISTANCES) * (size[0] + around.x1 - around.x0) / 2
            middle = (around.x0 + around.x1) / 2 + random.choice([-1, 1]) * apart
            left = round(middle - size[0] / 2)
            top = round(around.y0 + random.uniform(-_MAX_HEAD_OFFSET, _MAX_HEAD_OFFSET) * around.shape[0])
        source = Image.fromarray(image)
        source.paste(object_, (left, top))
        soft = Image.new("L", (width, height))
        soft.paste(alpha, (left, top))
        soft_region = np.asarray(soft)
        region = soft_region >= 128
        if np.count_nonzero(region) < 16:
            return image, nothing
        return self._blended(np.asarray(source), image, soft_region, region, random), region

    def _blended(
        self, source: Pixels, image: Pixels, soft_region: Pixels, region: Bools, random: np.random.Generator
    ) -> Pixels:
        """Returns an image with the source inserted in a soft region, with or without a seam."""
        part = bounding_box(soft_region).expand(1, soft_region.shape)
        near, object_, inside = part.of(image), part.of(source), part.of(region)
        if self._chance("seamless", random):
            if random.random() < 0.4:
                solved: Pixels = ops.poisson(object_, near, inside, gradients="source", device="cpu")
                # Restores part of the object's colours, which Poisson blending removes.
                object_ = blended(object_, solved, np.float32(random.uniform(0.3, 1.0)))
            else:
                around = image[::_LIGHT_STEP, ::_LIGHT_STEP][~region[::_LIGHT_STEP, ::_LIGHT_STEP]]
                object_ = _in_light_of(object_, inside, around if len(around) else near[inside], random)
        out = image.copy()
        part.of(out)[...] = blended(near, object_, part.of(soft_region)[..., None].astype(np.float32) / 255)
        return out

    def _view(self, scene: _Scene, random: np.random.Generator) -> _Scene:
        """Returns the visible part of a scene, mirrored half of the time, at `size`."""
        from PIL import Image

        image, mask, people = scene
        height, width = mask.shape
        if self._chance("nearer", random) and mask.any():
            box = bounding_box(mask)
            sides = []
            for first, end, whole in ((box.x0, box.x1, width), (box.y0, box.y1, height)):
                side = min(float(whole), max((end - first) * random.uniform(*_CROP_SIDES), 0.12 * whole))
                start = (first + end) / 2 - side * random.uniform(0.4, 0.6)
                sides.append((float(np.clip(start, 0, whole - side)), side))
        else:
            shares = random.uniform(0.6, 1.0, 2) if random.random() < 0.7 else np.ones(2)
            sides = [(float(random.uniform(0, w * (1 - k))), float(w * k)) for w, k in zip((width, height), shares)]
        (left, across), (top, down) = sides
        part, size = (left, top, left + across, top + down), (self.size, self.size)
        pixels = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box=part))
        region = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)))
        inside = np.asarray(region.resize(size, Image.Resampling.BILINEAR, box=part)) >= 128
        labels = np.asarray(Image.fromarray(people).resize(size, Image.Resampling.NEAREST, box=part))
        step = -1 if random.integers(2) else 1
        return _Scene(*(np.ascontiguousarray(x[:, ::step]) for x in (pixels, inside, labels)))


class _Objects:
    """The visible pixels [H, W] of the objects of a scene, each in front of those before it."""

    def __init__(self, first: Bools) -> None:
        self._visible, self._sizes = [first], [np.count_nonzero(first)]

    def add(self, region: Bools) -> None:
        self._visible = [*(x & ~region for x in self._visible), region]
        self._sizes.append(np.count_nonzero(region))

    def one(self, random: np.random.Generator) -> Bools:
        """Returns a random object that is visible enough, else the last one."""
        for i in random.permutation(len(self._visible)):
            if np.count_nonzero(self._visible[i]) > _VISIBLE * self._sizes[i]:
                return self._visible[i]
        return self._visible[-1]


def _soft(region: Bools) -> npt.NDArray[np.float32]:
    """Returns a region [H, W] with a soft rim, [H, W, 1] in [0, 1]."""
    from PIL import Image, ImageFilter

    hard = Image.fromarray(np.where(region, np.uint8(255), np.uint8(0)))
    soft = np.asarray(hard.filter(ImageFilter.GaussianBlur(_RIM_SIGMA)), np.float32)
    return soft[..., None] * np.float32(1 / 255)


def _in_light_of(source: Pixels, inside: Bools, around: Pixels, random: np.random.Generator) -> Pixels:
    """Returns the source with the mean colour and contrast inside moved towards those of pixels around it."""
    own = source[inside].astype(np.float32)
    part = np.float32(random.uniform(0.3, 0.9))
    mean, spread = own.mean(0), own.std(0) + 1
    target_mean, wide = around.mean(0), np.clip(around.std(0) / spread, 0.6, 1.6)
    values = (source - mean) * (1 + part * (wide - 1)) + (mean + part * (target_mean - mean))
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def _worn(image: Pixels, random: np.random.Generator) -> Pixels:
    """Returns an image blurred, noisy, grey or JPEG compressed."""
    from PIL import Image, ImageFilter

    way = int(random.integers(4))
    pil_image = Image.fromarray(image)
    if way == 0:
        return np.asarray(pil_image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.4, 1.6)))))
    if way == 1:
        noise = random.standard_normal(image.shape, np.float32) * np.float32(random.uniform(2, 12))
        return np.rint((image + noise).clip(0, 255)).astype(np.uint8)
    if way == 2:
        return np.asarray(pil_image.convert("L").convert("RGB"))
    return as_jpeg(image, int(random.integers(20, 90)))
