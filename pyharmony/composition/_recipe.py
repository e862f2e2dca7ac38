"""Recipes: all decisions for a composite, as JSON; with the same photos a recipe reproduces the same composite."""

from __future__ import annotations

import base64
import functools
import hashlib
import inspect
import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _checks, shadows
from .. import io as images
from .._arrays import NumpyArray
from .._calls import COMPOSE, Call, Group
from .._images.levels import levels_of_shares
from .._images.region import bounding_box
from .._images.sizes import resized
from .._images.threads import in_threads
from .._native import get_num_threads
from .._public import under_present_names
from .._warnings import quiet
from ..errors import ArgumentError, DTypeError, PyHarmonyError
from ..placement.subject import SIDES
from ..segmentation.layers import Layer
from ..segmentation.masks import layer_mask
from ..typing import PathLike
from ..upscaling import METHODS
from . import warping

SCHEMA = "pyharmony.recipe/1"
#: The corrections by hand of the whole image, which a recipe has once.
CORRECTIONS = ("adjust_background", "adjust_result")
#: The largest recipe that is read, in bytes.
_MAX_RECIPE_BYTES = 256 << 20
#: The largest number of layers of a mask; segmentation separates at most 24 people in an image.
_LAYERS = 64
#: The largest number of values of a layer along a side.
_MAX_LAYER_SIDE = 4096
#: The largest number of values of a layer in all; a layer of a larger box may have one for each pixel.
_VALUES = 1 << 20


def encoded(mask: NumpyArray) -> dict[str, Any]:
    """Returns a mask [h, w] uint8 as JSON: a PNG of its bounding box, in base 64."""
    from PIL import Image

    box = bounding_box(mask)
    part = box.of(mask)
    buffer = io.BytesIO()
    if part.size:
        Image.fromarray(np.ascontiguousarray(part)).save(buffer, "PNG", compress_level=6)
    png = base64.b64encode(buffer.getvalue()).decode()
    return {"size": [mask.shape[1], mask.shape[0]], "box": [*box.box], "png": png}


def quantized(layer: Layer) -> Layer:
    """Returns a layer as a recipe stores it, in 255 steps."""
    return layer._replace(values=levels_of_shares(layer.values).astype(np.float32) / np.float32(255))


def of_layers(layers: Sequence[Layer], size: tuple[int, int], mask: NumpyArray | None = None) -> dict[str, Any]:
    """Returns the layers of masks of a photo of a size (width, height) as JSON.

    mask: another mask, [h, w] uint8, which is stored as it is.
    """
    entry: dict[str, Any] = {"size": list(size), "box": [0, 0, 0, 0], "png": ""} if mask is None else encoded(mask)
    if layers:
        values = [encoded(levels_of_shares(layer.values)) for layer in layers]
        entry["layers"] = [{"box": list(layer.box), "values": one} for layer, one in zip(layers, values, strict=True)]
    return entry


def mask_over(value: Any, name: str, size: tuple[int, int], image: NumpyArray, *, soft: bool = False) -> NumpyArray:
    """Returns the mask that `encoded` or `of_layers` stored, of a photo of a size (width, height).

    The mask has the shape of `image`, the photo, which may be reduced. soft: whether to compute alpha, which takes
    longer.
    """
    count = len(value.get("layers", ()))
    mask = np.zeros(image.shape[:2], np.uint8)
    if value["png"] or not count:
        mask = np.array(resized(decoded(value, name, size), (image.shape[1], image.shape[0])))

    def draw(number: int) -> NumpyArray:
        return layer_mask(image, layer_in(value, number, name, size), size, soft=soft)

    # At most one task for each thread, since each needs memory for the whole image.
    threads = max(1, min(get_num_threads(), count))
    for first in range(0, count, threads):
        for one in in_threads(draw, range(first, min(first + threads, count))):
            np.maximum(mask, one, out=mask)
    return mask


def check_mask(value: Any, name: str, size: tuple[int, int]) -> None:
    """Rejects a damaged mask of a recipe, of a photo of a size (width, height)."""
    count = len(value.get("layers", ()))
    for number in range(count):
        layer_in(value, number, name, size)
    if value["png"] or not count:
        decoded(value, name, size)


def layer_in(value: Any, number: int, name: str, size: tuple[int, int]) -> Layer:
    """Returns one of the layers of a mask of a recipe, of a photo of a size (width, height)."""
    one, name = value["layers"][number], f"{name}.layers[{number}]"
    left, top, right, bottom = one["box"]
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise _damaged(name, "a box that exceeds its image")
    wide, high = one["values"]["size"]
    levels = decoded(one["values"], f"{name}.values", (wide, high))
    return Layer((left, top, right, bottom), levels.astype(np.float32) / np.float32(255), 0.0)


def decoded(value: Any, name: str, size: tuple[int, int]) -> NumpyArray:
    """Returns the mask [h, w] uint8 of a size (width, height) that `encoded` stored."""
    try:
        left, top, right, bottom = (int(v) for v in value["box"])
        wide, high = (int(v) for v in value["size"])
        data = base64.b64decode(value["png"], validate=True)
    except (KeyError, TypeError, ValueError):
        raise _damaged(name, "not a mask as compose writes it") from None
    if (wide, high) != size:
        raise ArgumentError(f"recipe: {name} has {wide} x {high} pixels, expected {size[0]} x {size[1]}")
    if not (0 <= left <= right <= wide and 0 <= top <= bottom <= high):
        raise _damaged(name, "a box that exceeds its image")
    mask = np.zeros((high, wide), np.uint8)
    if right > left and bottom > top:
        part = images.read(data, f"recipe: {name}", max_pixels=wide * high).pixels
        if part.shape != (bottom - top, right - left, 1) or part.dtype != np.uint8:
            raise _damaged(name, "a PNG of another size than its box")
        mask[top:bottom, left:right] = part[..., 0]
    return mask


def digest(pixels: NumpyArray) -> str:
    """Returns a checksum of shape, type and pixels, which identifies a photo."""
    checksum = hashlib.sha256(f"{pixels.dtype.name} {list(pixels.shape)}\n".encode())
    checksum.update(np.ascontiguousarray(pixels).data)
    return checksum.hexdigest()


def read_recipe(recipe: Mapping[str, object] | PathLike) -> dict[str, Any]:
    """Reads and checks a recipe of `compose`.

    Args:
        recipe: a path of a JSON file, or its content.

    Raises:
        ArgumentError: it is not a recipe, has another version, or a field is missing or has a wrong value.
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
    content: Any = recipe
    if not isinstance(recipe, Mapping):
        if not isinstance(recipe, (str, os.PathLike)):
            raise DTypeError(f"recipe: {type(recipe).__name__}, expected the recipe of an earlier call, or its file")
        with _checks.opened(recipe, "recipe") as file:
            data = file.read(_MAX_RECIPE_BYTES + 1)
        if len(data) > _MAX_RECIPE_BYTES:
            raise ArgumentError(f"recipe: {recipe} is larger than expected, at most {_MAX_RECIPE_BYTES >> 20} MiB")
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            raise ArgumentError(f"recipe: {recipe} is not JSON") from None
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        problem = type(content).__name__
        if isinstance(content, Mapping):
            problem = f"schema is {content['schema']!r}" if "schema" in content else "'schema' is missing"
        raise ArgumentError(f"recipe: {problem}, expected a recipe of compose, whose 'schema' is {SCHEMA!r}")
    whole = dict(content)
    _check(whole, {**_RECIPE_CHECKS, **{key: check for key, check in _OPTIONAL_CHECKS.items() if key in whole}}, "")
    if (crop := whole.get("crop")) and any(sum(crop[i::2]) > whole["size"][i] for i in (0, 1)):
        raise _damaged("crop", f"{crop!r}, expected a rectangle within {whole['size'][0]} x {whole['size'][1]} pixels")
    for name in CORRECTIONS:
        check_numbers(COMPOSE.by_name[name].type.call, whole.get(name) or {}, f"recipe: {name}.")
    _check_known(whole, "background", "background_file", "")
    options = [option for option in COMPOSE.options if option.in_recipe]
    accepts = {**_SUBJECT, **{option.name: (option.accepts, option.accepted) for option in options}}
    subjects = whole["subjects"] = list(whole["subjects"])
    if sorted(whole["order"]) != list(range(len(subjects))):
        raise _damaged("order", f"{whole['order']!r}, expected each number below {len(subjects)} once")
    for i, one in enumerate(subjects):
        name = f"subjects[{i}]."
        one = subjects[i] = {
            **{option.name: option.neutral for option in options if option.is_new},
            "warp": None,
            **under_present_names({"cut": "cropped_sides"}, one, within=f"recipe: {name}"),
        }
        _check(one, accepts, name)
        check_mode(one["mode"], one["blend"], f"recipe: {name}mode")
        _check_known(one, "digest", "file", name)
        for key, of in (("mask", one["size"]), ("cover", whole["size"])):
            if one[key] is not None:
                plain = {field: value for field, value in one[key].items() if field != "layers"}
                _check(plain, _MASK, f"{name}{key}.")
                if one[key]["size"] != of:
                    raise _damaged(f"{name}{key}.size", f"{one[key]['size']!r}, expected that of its image, {of!r}")
                _check_layers(one[key].get("layers", []), f"{name}{key}.layers")
        if one["harmonize"] is not None:
            former, within = {"reference": "reference_heads"}, f"recipe: {name}harmonize."
            one["harmonize"] = under_present_names(former, one["harmonize"], within=within)
            one["harmonize"] = {"light": None, **one["harmonize"]}
            _check(one["harmonize"], _HARMONIZE, f"{name}harmonize.")
            if (light := one["harmonize"]["light"]) is not None:
                light = one["harmonize"]["light"] = {"white": 0.0, **light} if isinstance(light, Mapping) else light
                _check(light, _LIGHT, f"{name}harmonize.light.")
        if warping.checked(one["warp"], f"recipe: {name}warp") is None:
            one["warp"] = None
        if one["upscale"] is not None:
            _check(one["upscale"], _UPSCALE, f"{name}upscale.")
        for option in options:
            if isinstance(option.type, Group) and isinstance(one[option.name], Mapping):
                before = f"recipe: {name}{option.name}."
                if option.type.is_step:
                    check_effect(one[option.name], option.name, before)
                else:
                    check_numbers(option.type.call, one[option.name], before)
    return whole


def check_effect(arguments: Mapping[str, Any], of: str, name: str) -> None:
    """Rejects arguments of a shadow or a reflection of a wrong type or value; name: their prefix in messages."""
    for key in arguments:
        if key not in accepted(of):
            raise ArgumentError(f"{name}{key}: not an argument of {of}, expected some of {', '.join(accepted(of))}")
    # For an empty mask nothing is drawn, but the arguments are checked.
    empty = np.zeros((2, 2), np.uint8)
    try:
        with quiet():
            getattr(shadows, of)(np.zeros((2, 2, 3), np.uint8), empty, **arguments)
    except PyHarmonyError as error:
        if not name:
            raise error.within("", f"{of}.{error.argument}") from None
        inner = error.within(name)
        raise ArgumentError(str(inner), code=inner.code, **inner.details) from None


def check_numbers(call: Call, arguments: Mapping[str, Any], name: str) -> None:
    """Rejects arguments that a call lacks, or whose value it does not accept; name: their prefix in messages."""
    options = call.by_name
    for key, value in arguments.items():
        if key not in options:
            raise ArgumentError(
                f"{name}{key}: not an argument of {call.command}, expected some of {', '.join(options)}"
            )
        if not options[key].accepts(value):
            raise ArgumentError(f"{name}{key}: {_short(value)}, expected {options[key].accepted}")


def check_mode(mode: str, blend: str, name: str) -> None:
    """Rejects a mode with a blend that gives a subject the colours of its surroundings, which it would mix twice."""
    if mode != "normal" and blend != "alpha":
        raise ArgumentError(f"{name}: {mode!r} with blend {blend!r}, expected 'normal', or blend 'alpha'")


@functools.cache
def accepted(of: str) -> tuple[str, ...]:
    """Returns the arguments of `pyharmony.shadow` or `reflection` that `compose` accepts."""
    # Python 3.14 gives a decorated function no __annotations__.
    return tuple(name for name in inspect.signature(getattr(shadows, of)).parameters if name not in _OF_A_CALL)


#: The arguments of a shadow and of a reflection that compose sets itself.
_OF_A_CALL = ("image", "mask", "at", "keep_gps", "device", "errors", "out", "return_info")

#: The largest coordinate, far beyond any image. A whole number of JSON may be larger than every float.
_MAX_COORDINATE = 1e9

Check = tuple[Callable[[Any], bool], str]
"""A function that accepts or rejects a value of a recipe, and a description of accepted values."""


def _is_number(value: Any, low: float = -_MAX_COORDINATE, high: float = _MAX_COORDINATE) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _is_count(value: Any, low: int, high: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _are(value: Any, count: int | None, accepts: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and count in (None, len(value)) and all(accepts(one) for one in value)


def _is_sum(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_weights(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return value is None
    return set(value) == {"name", "sha256"} and isinstance(value["name"], str) and _is_sum(value["sha256"])


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


_SIZE: Check = (lambda value: _are(value, 2, lambda v: _is_count(v, 1))), "width and height"
_NUMBER: Check = _is_number, "a number"
_FLAG: Check = (lambda value: isinstance(value, bool)), "true or false"
_DIGEST: Check = (lambda value: value is None or _is_sum(value)), "null, or 64 digits and letters a to f, a SHA-256"
_WEIGHTS: Check = _is_weights, "null, or name and sha256 of weights"

_RECIPE_CHECKS: dict[str, Check] = {
    "size": _SIZE,
    "background": _DIGEST,
    "background_file": _DIGEST,
    "version": ((lambda value: isinstance(value, str)), "the version of pyharmony that made it"),
    "seed": ((lambda value: _is_count(value, 0)), "a whole number of at least 0"),
    "order": ((lambda value: _are(value, None, lambda v: _is_count(v, 0))), "the numbers of the subjects"),
    "subjects": ((lambda value: _are(value, None, lambda v: isinstance(v, Mapping)) and value), "a list of them"),
}
#: The fields that a program may add: a rectangle of the composite to return, and what it reads itself.
_OPTIONAL_CHECKS: dict[str, Check] = {
    "crop": (
        (lambda value: value is None or (_are(value, 4, lambda v: _is_count(v, 0)) and min(value[2:]) > 0)),
        "null, or whole numbers x, y, width, height",
    ),
    "page": (_is_object, "null, or an object"),
    "adjust_background": (_is_object, "null, or corrections of the background"),
    "adjust_result": (_is_object, "null, or corrections of the composite"),
}
_SUBJECT: dict[str, Check] = {
    "size": _SIZE,
    "digest": _DIGEST,
    "file": _DIGEST,
    "mask": (_is_object, "null or a mask as compose writes it"),
    "x": _NUMBER,
    "y": _NUMBER,
    "scale": ((lambda value: _is_number(value, 0, 1000) and value > 0), "a number above 0, at most 1000"),
    "angle": _NUMBER,
    "flip": _FLAG,
    "cover": (_is_object, "null or a mask as compose writes it"),
    "cropped_sides": ((lambda value: _are(value, None, lambda v: v in SIDES)), f"some of {', '.join(SIDES)}"),
    "hidden": _FLAG,
    "harmonize": (_is_object, "null, or arguments of harmonize"),
    "upscale": (_is_object, "null, or a method and 2 or 4"),
    "warp": (
        (lambda value: value is None or _are(value, 4, lambda v: _are(v, 2, _is_number))),
        f"null, or {warping.ACCEPTED}",
    ),
}
_MASK: dict[str, Check] = {
    "size": _SIZE,
    "box": ((lambda value: _are(value, 4, lambda v: _is_count(v, 0))), "left, top, right and bottom"),
    "png": ((lambda value: isinstance(value, str)), "a PNG in base 64"),
}
_LAYER: dict[str, Check] = {
    "box": _MASK["box"],
    "values": ((lambda value: isinstance(value, Mapping)), "a mask as compose writes it"),
}
_HARMONIZE: dict[str, Check] = {
    "method": ((lambda value: isinstance(value, str) and value != ""), "a method of harmonize"),
    "weights": _WEIGHTS,
    "strength": ((lambda value: _is_number(value, 0, 2)), "a number from 0 to 2"),
    "source": _FLAG,
    "reference_heads": (
        (lambda value: _are(value, None, lambda box: _are(box, 4, _is_number) and min(box[2:]) > 0)),
        "rectangles (x, y, width, height) of heads",
    ),
    "light": (_is_object, "null, or a change of light as compose writes it"),
}
_LIGHT: dict[str, Check] = {
    **dict.fromkeys(
        ("stops", "red", "blue", "white"), ((lambda value: _is_number(value, -4, 4)), "a number from -4 to 4")
    ),
    "evidence": ((lambda value: isinstance(value, str)), "the evidence"),
}
_UPSCALE: dict[str, Check] = {
    "method": ((lambda value: isinstance(value, str) and value in METHODS), f"one of {', '.join(METHODS)}"),
    "scale": ((lambda value: _is_count(value, 2, 4) and value != 3), "2 or 4"),
    "weights": _WEIGHTS,
}


def _check(fields: Mapping[str, Any], accepts: Mapping[str, Check], name: str) -> None:
    """Rejects fields that are missing or unknown, or whose value is not accepted."""
    for key, (is_accepted, what) in accepts.items():
        if key not in fields:
            raise _damaged(f"{name}{key}", f"missing, expected {what}")
        if not is_accepted(fields[key]):
            raise _damaged(f"{name}{key}", f"{_short(fields[key])}, expected {what}")
    for key in fields:
        if key not in accepts and not (name == "" and key == "schema"):
            raise _damaged(f"{name}{key}", f"unknown, expected {', '.join(accepts)}")


def _check_known(fields: Mapping[str, Any], pixels: str, file: str, name: str) -> None:
    """Rejects a recipe that does not identify a photo."""
    if fields[pixels] is None and fields[file] is None:
        raise _damaged(f"{name}{pixels}", f"null, as is {name}{file}, expected a SHA-256 for one of them")


def _check_layers(layers: Any, name: str) -> None:
    """Rejects layers from which a mask cannot be drawn."""
    if not _are(layers, None, lambda one: isinstance(one, Mapping)):
        raise _damaged(name, f"{_short(layers)}, expected a list of layers")
    if len(layers) > _LAYERS:
        raise _damaged(name, f"{len(layers)} layers, expected at most {_LAYERS}")
    for i, one in enumerate(layers):
        _check(one, _LAYER, f"{name}[{i}].")
        _check(one["values"], _MASK, f"{name}[{i}].values.")
        if max(one["values"]["size"]) > _MAX_LAYER_SIDE:
            raise _damaged(f"{name}[{i}].values.size", f"{one['values']['size']}, expected at most {_MAX_LAYER_SIDE}")
        (left, top, right, bottom), (wide, high) = one["box"], one["values"]["size"]
        most = max(_VALUES, (right - left) * (bottom - top))
        if wide * high > most:
            what = f"{wide} x {high}, expected at most {most} values for {right - left} x {bottom - top} pixels"
            raise _damaged(f"{name}[{i}].values.size", what)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"


def _damaged(name: str, what: str) -> ArgumentError:
    return ArgumentError(f"recipe: {name}: {what}")
