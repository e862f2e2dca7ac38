"""Recipes: all that was decided for a composite, as JSON; with the same photographs it gives the same picture again."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import io as images
from .._arrays import NumpyArray
from ..errors import ArgumentError
from ..typing import PathLike
from ..upscaling import METHODS

SCHEMA = "pyharmony.recipe/1"
#: The ways to blend, of which 'auto' is the first.
BLENDS = ("alpha", "gaussian_poisson", "poisson")
#: The largest recipe that is read, in bytes.
_LARGEST = 256 << 20


def encoded(mask: NumpyArray) -> dict[str, Any]:
    """Returns a mask [h, w] uint8 as JSON: a PNG of the part that is not zero, in base 64."""
    from PIL import Image

    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = [0, 0, 0, 0]
    if len(rows):
        box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    part = mask[box[1] : box[3], box[0] : box[2]]
    held = io.BytesIO()
    if part.size:
        Image.fromarray(np.ascontiguousarray(part)).save(held, "PNG", compress_level=6)
    return {"size": [mask.shape[1], mask.shape[0]], "box": box, "png": base64.b64encode(held.getvalue()).decode()}


def decoded(value: Any, name: str, size: tuple[int, int]) -> NumpyArray:
    """Returns the mask [h, w] uint8 of a size (width, height) that `encoded` made.

    Raises:
        ArgumentError: it is damaged or has another size.
    """
    try:
        left, top, right, bottom = (int(v) for v in value["box"])
        wide, high = (int(v) for v in value["size"])
        data = base64.b64decode(value["png"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise _damaged(name, "no mask as compose writes it") from None
    if (wide, high) != size:
        raise ArgumentError(f"recipe: {name} is of {wide} x {high} pixels, its picture has {size[0]} x {size[1]}")
    if not (0 <= left <= right <= wide and 0 <= top <= bottom <= high):
        raise _damaged(name, "a mask that goes beyond its picture")
    found = np.zeros((high, wide), np.uint8)
    if right > left and bottom > top:
        part = images.read(data, f"recipe: {name}", max_pixels=wide * high).pixels
        if part.shape != (bottom - top, right - left, 1) or part.dtype != np.uint8:
            raise _damaged(name, "a mask of another size than it says")
        found[top:bottom, left:right] = part[..., 0]
    return found


def digest(pixels: NumpyArray) -> str:
    """Returns what tells photographs apart: a checksum of shape, type and pixels."""
    held = hashlib.sha256(f"{pixels.dtype.name} {list(pixels.shape)}\n".encode())
    held.update(np.ascontiguousarray(pixels).data)
    return held.hexdigest()


def read_recipe(recipe: Mapping[str, object] | PathLike) -> dict[str, Any]:
    """Reads a recipe of `compose` and checks it.

    Args:
        recipe: a path of a JSON file, or what it holds.

    Raises:
        ArgumentError: it is no recipe, of another version, or something in it is missing or has a wrong value.
        OSError: the file cannot be read.

    Example:
        >>> import pyharmony
        >>> from pyharmony import composition
        >>> subject = np.zeros((30, 20, 4), np.uint8)
        >>> subject[5:25, 5:15] = 255
        >>> _, info = pyharmony.compose(subject, np.full((60, 80, 3), 128, np.uint8), at=(10, 20), return_info=True)
        >>> composition.read_recipe(info.recipe)["subjects"][0]["scale"]
        1.0
    """
    found: Any = recipe
    if not isinstance(recipe, Mapping):
        path = Path(os.fspath(recipe))
        if path.stat().st_size > _LARGEST:
            raise ArgumentError(f"recipe: {path} has more than {_LARGEST >> 20} MiB, which no recipe has")
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            raise ArgumentError(f"recipe: {path} is no JSON") from None
    if not isinstance(found, Mapping) or found.get("schema") != SCHEMA:
        given = found.get("schema") if isinstance(found, Mapping) else type(found).__name__
        raise ArgumentError(f"recipe: {given!r}, expected one of compose, {SCHEMA!r}")
    whole = dict(found)
    subjects = whole.get("subjects")
    if not isinstance(subjects, list) or not all(isinstance(one, Mapping) for one in subjects):
        raise _damaged("subjects", "no list of them")
    for i, one in enumerate(subjects):
        name = f"subjects[{i}]"
        for key in ("x", "y", "scale", "angle"):
            value = one.get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise _damaged(f"{name}.{key}", f"{value!r}, expected a number")
        if not 0 < one["scale"] <= 1000:
            raise _damaged(f"{name}.scale", f"{one['scale']!r}, expected a number above 0")
        if not isinstance(one.get("flip"), bool):
            raise _damaged(f"{name}.flip", f"{one.get('flip')!r}, expected true or false")
        if one.get("blend") not in BLENDS:
            raise _damaged(f"{name}.blend", f"{one.get('blend')!r}, expected one of {', '.join(BLENDS)}")
        larger = one.get("upscale")
        if larger is not None and not (
            isinstance(larger, Mapping) and larger.get("method") in METHODS and larger.get("scale") in (2, 4)
        ):
            raise _damaged(f"{name}.upscale", f"{larger!r}, expected a method and 2 or 4")
        for key in ("mask", "size"):
            if key not in one:
                raise _damaged(f"{name}.{key}", "missing")
    if not isinstance(whole.get("size"), list) or len(whole["size"]) != 2:
        raise _damaged("size", f"{whole.get('size')!r}, expected width and height")
    return whole


def _damaged(name: str, what: str) -> ArgumentError:
    return ArgumentError(f"recipe: {name}: {what}")
