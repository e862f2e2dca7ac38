"""Checks photos and masks of any kind, and converts them to the arrays that are merged."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _checks, io
from .._arrays import Bools, NumpyArray
from .._images.frame import one_image
from .._images.kinds import hard_mask
from .._images.planes import connected_parts
from .._images.sizes import fitted, resized
from ..errors import ArgumentError, DTypeError, ShapeError
from ..io import Picture
from ..segmentation import Masks

#: The least share of a photo that a person covers, in a mask of several people.
_PERSON = 0.0005
#: The longer side of the reduced mask in which people are separated, in pixels.
_PEOPLE_MASK_SIDE = 800
#: The value of `base` for the best base.
AUTO = "auto"


class Photo(NamedTuple):
    """A photo."""

    number: int  # its index in the list
    colours: NumpyArray  # [H, W, C], in the base's dtype and colours
    persons: list[Bools] | None  # a mask [H, W] of each person, if the caller passed them; else None

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"photos[{self.number}]"

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height."""
        return self.colours.shape[1], self.colours.shape[0]


def checked_photos(photos: Any, base: Any) -> list[Any]:
    """Returns the photos as a list, after a check that there are two or more and that `base` is a number or AUTO."""
    if not isinstance(photos, (list, tuple)):
        raise DTypeError(f"photos: {type(photos).__name__}, expected a list of two or more images")
    if len(photos) < 2:
        raise ArgumentError(f"photos: a list of {len(photos)}, expected two or more images")
    is_number = isinstance(base, (int, np.integer)) and not isinstance(base, bool) and 0 <= base < len(photos)
    if not is_number and not (isinstance(base, str) and base == AUTO):
        raise ArgumentError(f"base: {base!r}, expected {AUTO!r} or the number of a photo, 0 to {len(photos) - 1}")
    return list(photos)


def people_of_each(people: Any, count: int) -> list[Any]:
    """Returns the entry about the people of each photo."""
    if people is None:
        return [None] * count
    accepts = f"expected None or a list with an entry for each of the {count} photos"
    if isinstance(people, Masks) or not isinstance(people, (list, tuple)):
        raise DTypeError(f"people: {type(people).__name__}, {accepts}")
    if len(people) != count:
        raise ShapeError(f"people: a list of {len(people)}, {accepts}")
    return list(people)


def photo_of(number: int, image: Any, people: Any, base: Photo | None = None, like: Picture | None = None) -> Photo:
    """Returns a photo with finite colours, converted to those of the base.

    image: an array or a Picture.
    base, like: the base, and the same as a Picture, if it is one; None for the base itself.
    """
    name = f"photos[{number}]"
    if isinstance(image, Picture):
        if base is not None:
            image = io.convert(image, like or Picture(base.colours), name)
        image = image.pixels
    pixels = one_image(image, name)
    colours: NumpyArray = pixels[..., : min(pixels.shape[2], 3)]
    _checks.finite(colours, name)
    _checks.warn_of_range(colours[None], name)
    if base is not None:
        _checks.same_dtype(colours, name, base.colours, base.name)
        if colours.shape[2] != base.colours.shape[2]:
            accepted = f"expected {base.colours.shape[2]} like {base.name}, alpha apart"
            details = {"base": base.name, "given": colours.shape[2], "expected": base.colours.shape[2]}
            raise ShapeError(f"{name}: {colours.shape[2]} channels, {accepted}", code="channels-differ", **details)
    return Photo(number, colours, _persons(people, f"people[{number}]", *colours.shape[:2]))


def _persons(people: Any, name: str, height: int, width: int) -> list[Bools] | None:
    """Returns a mask [H, W] of each person of a photo, or None if people are to be detected."""
    if people is None:
        return None
    if isinstance(people, Masks):
        if people.mask.shape != (height, width):
            raise ShapeError(f"{name}: masks {list(people.mask.shape)}, expected [{height}, {width}]")
        return [people[i] > 127 for i in range(len(people))]
    if isinstance(people, (list, tuple)):
        return [hard_mask(one, f"{name}[{i}]", height, width) for i, one in enumerate(people)]
    return _apart(hard_mask(people, name, height, width))


def _apart(mask: Bools) -> list[Bools]:
    """Returns the connected parts of a mask of several people, without small ones."""
    height, width = mask.shape
    size = fitted((width, height), _PEOPLE_MASK_SIDE)
    numbers = connected_parts(resized(mask.astype(np.uint8) * np.uint8(255), size) > 127)
    areas = np.bincount(numbers.ravel())
    large = [number for number in range(1, len(areas)) if areas[number] >= _PERSON * numbers.size]
    levels = ((numbers == number).astype(np.uint8) * np.uint8(255) for number in large)
    return [mask & (resized(one, (width, height)) > 0) for one in levels]
