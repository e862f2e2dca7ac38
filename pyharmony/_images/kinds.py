"""Conversion of one image or mask of any kind to an array, and of a result to the kind of the image."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import VALUE_RANGE, NumpyArray, is_array, is_pil, is_torch
from .._warnings import warn
from ..errors import DTypeError, PyHarmonyError, PyHarmonyWarning
from ..io import Picture, convert, read, write
from ..io.masks import known_of, mask_of
from .frame import one_image


def is_file(x: Any) -> bool:
    """Returns whether x is a path, the bytes of a file or an open file."""
    return isinstance(x, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(x, "read")


def picture_of(x: Any, name: str, *, keep_gps: bool = False, takes_nodata: bool = False) -> Picture:
    """Returns an image that is not an array as a `Picture`.

    takes_nodata: whether the caller keeps pixels without data apart; otherwise a warning says that they are colours.
    """
    if not (isinstance(x, Picture) or is_file(x) or is_pil(x)):
        raise DTypeError(
            f"{name}: {type(x).__name__}, expected a numpy.ndarray, a torch.Tensor, a PIL image, a path, the bytes "
            "of a file, an open binary file or a pyharmony.io.Picture"
        )
    picture = read(x, name, keep_gps=keep_gps)
    if not takes_nodata and (known := known_of(picture)) is not None:
        value = f"the nodata value of the file, {picture.description.nodata:g}"
        text = f"{name}: {known.size - np.count_nonzero(known)} pixels have {value}, which is taken for a colour here"
        warn(PyHarmonyWarning(text, code="nodata", hint="fill them before, as inpainting does, or crop to the others"))
    return picture


@contextlib.contextmanager
def as_out() -> Iterator[None]:
    """Gives errors of `pyharmony.io.write` about its target the name of the argument of a call, out."""
    try:
        yield
    except PyHarmonyError as error:
        if error.argument != "target":
            raise
        raise error.within("", "out") from error.__cause__


def as_delivered(picture: Picture) -> Any:
    """Returns the result of a call on a file or a PIL image: a PIL image for 8 bits, an array for more."""
    if picture.pixels.dtype == np.uint8:
        return picture.to_pil()
    return picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels


def in_kind_of(original: Any, result: Any, picture: Picture | None, file: Any = None) -> Any:
    """Returns a result in the kind of an original image, or the file that it is written to.

    picture: the result with its metadata; None for an array that is not written.
    file: a path or an open file; None: it is not written.
    """
    if file is not None:
        assert picture is not None  # noqa: S101
        with as_out():
            write(picture, file)
        return file
    if picture is None:
        return result
    return picture if isinstance(original, Picture) else as_delivered(picture)


@dataclass(frozen=True)
class OneImage:
    """An image of any kind as pixels."""

    given: Any  # the image as passed by the caller
    pixels: NumpyArray  # [H, W, C] of 1, 3 or 4 channels, over the memory of an array
    picture: Picture | None  # the `Picture` of a file, a PIL image or a `Picture`; None for an array

    def like(self, pixels: NumpyArray) -> Any:
        """Returns pixels [h, w, c] as the kind, and in the layout, of the image."""
        if self.picture is not None:
            # The format is not kept: an image from a JPEG file may have alpha now.
            made = dataclasses.replace(self.picture, pixels=pixels, format=None)
            return in_kind_of(self.given, pixels, made)
        flat = self.given.ndim == 2 and pixels.shape[2] == 1
        if not is_torch(self.given):
            return pixels[..., 0] if flat else pixels
        planes = np.ascontiguousarray(pixels[..., 0] if flat else np.moveaxis(pixels, -1, 0))
        return _arrays.like_kind(planes, self.given).to(self.given.dtype)


def checked_image(x: Any, name: str) -> OneImage:
    """Returns an image of any kind as pixels."""
    if not is_array(x):
        picture = picture_of(x, name)
        _checks.warn_of_range(picture.pixels, name)
        return OneImage(x, picture.pixels, picture)
    warn_of_gradients({name: x})
    values: Any = in_float32(x)
    _arrays.to_numpy(values, name)  # refuses a tensor on a device
    pixels = one_image(values, name)
    _checks.warn_of_range(pixels, name)
    return OneImage(x, pixels, None)


def in_colours(image: OneImage, like: OneImage, name: str) -> NumpyArray:
    """Returns the pixels of an image in the colour space of another, not in its dtype or with its channels.

    An array is assumed to be in the other's colour space. A grey and a coloured image are not converted.
    """
    grey = image.pixels.shape[2] == 1
    if image.picture is None or grey != (like.pixels.shape[2] == 1):
        return image.pixels
    profile = None if like.picture is None else like.picture.profile
    return convert(image.picture, Picture(image.pixels[:1, :1, : 1 if grey else 3], profile), name).pixels


def checked_mask(x: Any, name: str, height: int, width: int) -> NumpyArray:
    """Returns a mask of any kind as a checked array [H, W] of bool, integers, or floats in [0, 1]."""
    values = x
    if is_torch(x):
        # The channel axis of a tensor is its first.
        values = in_float32(x[0] if tuple(x.shape) == (1, height, width) else x)
    elif not is_array(x):
        values = mask_of(picture_of(x, name, takes_nodata=True), name)
    return _checks.mask(values, name, height, width)


def hard_mask(x: Any, name: str, height: int, width: int) -> NumpyArray:
    """Returns a mask of any kind as bool [H, W]: where it is above one half."""
    values = checked_mask(x, name, height, width)
    return np.asarray(values if values.dtype == bool else values > VALUE_RANGE[values.dtype.name] / 2)


def in_float32(x: Any) -> Any:
    """Returns a tensor of bfloat16, which NumPy lacks, in float32; anything else unchanged."""
    return x.float() if is_torch(x) and _arrays.dtype_of(x) == "bfloat16" else x


def warn_of_gradients(images: dict[str, Any], instead: str = "") -> None:
    """Warns that a result has no gradients, if an image of a call requires them.

    instead: the function that has gradients, for the message.
    """
    for name, x in images.items():
        if _arrays.in_graph(x):
            remedy = f"pyharmony.ops.{instead}, on tensors [H, W, C], computes them, or " if instead else ""
            warn(f"{name}: a tensor that requires gradients, and the result has none; {remedy}pass {name}.detach()")
            return
