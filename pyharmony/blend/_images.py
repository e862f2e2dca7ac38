"""Images of any kind for the blends: arrays, files, PIL images, Pictures, and lists of them."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _checks, _cuda, _device
from .._arrays import VALUE_RANGE, NumpyArray, is_pil, is_torch
from .._warnings import warn
from ..errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    MaskError,
    OutOfMemory,
    PyHarmonyError,
    PyHarmonyWarning,
    ShapeError,
    UnchangedWarning,
)
from ..io import Picture, check_target, convert, read, write
from ._frame import Frame, as_images, scale_of

#: A JPEG does not keep black and white as they are: values this near to them mean them, in a mask.
_JPEG_NOISE = 8

#: As src: the edit of one image, which is dst and which messages call image.
ITSELF = object()

Infos = list[_checks.SolveInfo]
Blend = Callable[..., Infos]
OnDevice = Callable[..., tuple[Any, Any]]
#: Of an item's info the warning, None for none.
Tell = Callable[[Any], tuple[str, type[PyHarmonyWarning]] | None]


def nothing_done(what: str) -> Tell:
    """Tells that a result is a copy, and why."""

    def tell(info: Any) -> tuple[str, type[PyHarmonyWarning]] | None:
        return (f"nothing was {what}: {info.reason}", UnchangedWarning) if info.reason else None

    return tell


def is_file(x: Any) -> bool:
    """Whether x is a path, the bytes of a file or an open one."""
    return isinstance(x, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(x, "read")


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or is_torch(x)


def _count(batch: Any) -> int:
    """How many images an array [N, H, W, C] holds."""
    return _cuda.describe(batch, "dst").shape[0] if _cuda.is_device_array(batch) else len(batch)


def run(
    blend: Blend,
    src: Any,
    dst: Any,
    mask: Any,
    *,
    at: Any,
    decontaminate: bool,
    keep_gps: bool,
    device: str | None,
    errors: str,
    out: Any,
    return_info: bool,
    scale: Any = 1.0,
    on_device: OnDevice | None = None,
    there_and_back: bool = False,
    tell: Tell | None = None,
    **beside: Any,
) -> Any:
    """What `pyharmony.blend` promises around the work of one blend.

    Args:
        blend: called with a Frame and, by name, what beside holds; returns an info for each item.
        src: that of the blend, or ITSELF.
        on_device: the blend of arrays on a CUDA device, where it has kernels for that: called with src, dst,
            mask, at, out, and by name what beside holds; returns the result and its info.
        tell: what is warned of an item, by its info; None: that nothing was blended.
        there_and_back: whether arrays on a device are copied to the processor, and the result back, where the blend
            has no kernels for them.
        beside: other arguments that are images over dst: 'base', and 'color_weight' as a picture.
        The rest: see `pyharmony.blend`.
    """
    place = _cuda.place_of({}, device)
    if place is not None and on_device is None:
        if device == "cuda":
            _device.only_on_processor("this blend")
        place = None
    _checks.one_of(errors, "errors", ("raise", "return"))
    options = {"decontaminate": bool(decontaminate), "keep_gps": bool(keep_gps)}
    own = "image" if src is ITSELF else "dst"
    warning_of = tell or nothing_done("blended")

    def one(
        src: Any, dst: Any, mask: Any, at: Any, scale: Any, out: Any, beside: dict[str, Any], where: str = ""
    ) -> tuple[Any, Any]:
        result, info = once(src, dst, mask, at, scale, out, beside)
        batch = isinstance(info, list)
        for number, item in enumerate(info if batch else [info]):
            if found := warning_of(item):
                # Blends on a device tell of copies alone, unless they are asked for more.
                which = f"item {number} of the batch: " if batch and len(info) == _count(dst) else ""
                warn(f"{where}{which}{found[0]}", found[1])
        return result, info

    def once(src: Any, dst: Any, mask: Any, at: Any, scale: Any, out: Any, beside: dict[str, Any]) -> tuple[Any, Any]:
        if any(_cuda.is_device_array(x) for x in (src, dst, mask, out, *beside.values())):
            if on_device is None and there_and_back:
                return _through_processor(blend, src, dst, mask, at, scale, out, beside, own=own, **options)
            if on_device is None:
                raise DeviceError(f"{own}: on a CUDA device, and this blend has no kernels there; pass {own}.cpu()")
            if device == "cpu":
                raise DeviceError(f"device: 'cpu', but {own} is on a CUDA device; move it, or leave device None")
            if scale_of(scale) != 1:
                raise ArgumentError(
                    f"scale: {scale!r} resamples src, which is for arrays on the processor; expected 1, or resize src"
                )
            return on_device(src, dst, mask, at, out, **beside)
        return _run_one(blend, src, dst, mask, at, scale, out, beside, place=place, **options)

    if not isinstance(dst, (list, tuple)):
        given = {"src": src, "mask": mask, "scale": scale, **beside}
        for name, value in given.items():
            if isinstance(value, (list, tuple)):
                raise DTypeError(f"{name}: a {type(value).__name__} beside one {own}; pass {own} as a list too")
        result, infos = one(src, dst, mask, at, scale, out, beside)
        return (result, infos) if return_info else result

    count = len(dst)
    sources, covers = _spread(src, "src", count), _spread(mask, "mask", count)
    places, outputs, scales = _positions(at, count), _outputs(out, count), _spread(scale, "scale", count)
    named = {name: _spread(value, name, count) for name, value in beside.items()}
    results: list[Any] = []
    all_infos: list[Any] = []
    for i in range(count):
        others = {name: values[i] for name, values in named.items()}
        try:
            result, info = one(sources[i], dst[i], covers[i], places[i], scales[i], outputs[i], others, f"{own}[{i}]: ")
        except (PyHarmonyError, OSError) as error:
            if errors == "raise":
                raise
            result, info = error, None
        results.append(result)
        all_infos.append(info)
    made = tuple(results) if isinstance(dst, tuple) else results
    return (made, all_infos) if return_info else made


def _spread(x: Any, name: str, count: int) -> Sequence[Any]:
    """One for each item: a list as it is, anything else for all."""
    if not isinstance(x, (list, tuple)):
        return [x] * count
    if len(x) != count:
        raise ShapeError(f"{name}: a list of {len(x)} beside {count} of dst")
    return x


def _positions(at: Any, count: int) -> Sequence[Any]:
    """A pair (x, y) for all, or a list of pairs and None."""
    if isinstance(at, (list, tuple)) and any(x is None or isinstance(x, (list, tuple, np.ndarray)) for x in at):
        return _spread(at, "at", count)
    return [at] * count


def _outputs(out: Any, count: int) -> Sequence[Any]:
    if out is not None and not isinstance(out, (list, tuple)):
        raise DTypeError(f"out: {type(out).__name__}, expected None or a list, one for each of {count} of dst")
    return _spread(out, "out", count)


def _through_processor(
    blend: Blend,
    src: Any,
    dst: Any,
    mask: Any,
    at: Any,
    scale: Any,
    out: Any,
    beside: dict[str, Any],
    *,
    own: str,
    **options: bool,
) -> tuple[Any, Any]:
    """Of arrays of which some are on a device: there dst decides where the result goes, unless out is a file."""
    given = {own: dst, "mask": mask, **({} if src is ITSELF else {"src": src}), **beside}
    place = _cuda.place_of({name: x for name, x in {**given, "out": out}.items() if _cuda.is_device_array(x)}, None)
    assert place is not None  # noqa: S101  # some of them are on a device
    there, out_there = _cuda.is_device_array(dst), _cuda.is_device_array(out)
    to_file = out is not None and not (out_there or is_array(out))
    if out is not None and not to_file and there != out_there:
        ours, its = (place.name, "the processor") if there else ("the processor", place.name)
        raise DeviceError(f"out: in the memory of {its}, {own} in that of {ours}; move one of them")
    if out_there:
        like = _cuda.describe(dst, own)
        _checks.same_dtype(_cuda.describe(out, "out"), "out", like, own)
        _checks.same_shape(_cuda.describe(out, "out"), "out", like, own)

    def here(x: Any, name: str) -> Any:
        if not _cuda.is_device_array(x):
            return x
        host = place.fetch(place.take(x, name))
        return sys.modules["torch"].from_numpy(host) if is_torch(x) else host

    found = {name: here(x, name) for name, x in given.items()}
    target, cover, source = found.pop(own), found.pop("mask"), found.pop("src", ITSELF)
    kept = None if out_there else out
    result, info = _run_one(blend, source, target, cover, at, scale, kept, found, place=None, **options)
    if there and not to_file:
        result = place.put(result.numpy() if is_torch(result) else result, out)
    return result, info


def _run_one(
    blend: Blend,
    src: Any,
    dst: Any,
    mask: Any,
    at: Any,
    scale: Any,
    out: Any,
    beside: dict[str, Any],
    *,
    place: _cuda.Place | None,
    decontaminate: bool,
    keep_gps: bool,
) -> tuple[Any, Any]:
    def opened(x: Any, name: str) -> Picture:
        if isinstance(x, Picture):
            return x
        if not (is_file(x) or is_pil(x)):
            raise DTypeError(
                f"{name}: {type(x).__name__}, expected a numpy.ndarray, a torch.Tensor, a PIL image, a path, the bytes "
                "of a file, an open binary file or a pyharmony.io.Picture"
            )
        return read(x, name, keep_gps=keep_gps)

    own = "image" if src is ITSELF else "dst"
    picture = None if is_array(dst) else opened(dst, own)
    target = dst if picture is None else picture.pixels
    like = picture
    if like is None and not all(x is ITSELF or is_array(x) for x in (src, *beside.values())):
        like = Picture(as_images(dst, own)[0])

    def in_colours(x: Any, name: str) -> Any:
        assert like is not None  # noqa: S101  # made where anything is no array
        return convert(opened(x, name), like, name).pixels

    source = None if src is ITSELF else src if is_array(src) else in_colours(src, "src")
    cover = mask if mask is None or is_array(mask) else _mask_of(opened(mask, "mask"), "mask")
    others = dict(beside)
    base, weight = others.get("base"), others.get("color_weight")
    if base is not None and not is_array(base) and not (isinstance(base, str) and base == "copy-paste"):
        others["base"] = in_colours(base, "base")
    if is_file(weight) or is_pil(weight) or isinstance(weight, Picture):
        values = _mask_of(opened(weight, "color_weight"), "color_weight")
        others["color_weight"] = values / np.float32(VALUE_RANGE[values.dtype.name])

    # A grey picture has no room for the alpha of a source: it is blended as three equal channels.
    widened = source is not None and source.shape[-1] == 4 and picture is not None and picture.pixels.shape[2] == 1
    if widened:
        target = np.broadcast_to(target, (*target.shape[:2], 3))
        if "base" in others and is_array(others["base"]):
            others["base"] = np.broadcast_to(others["base"], target.shape)
    to_file = out is not None and not is_array(out)
    if to_file and not (is_file(out) or hasattr(out, "write")):
        raise DTypeError(f"out: {type(out).__name__}, expected an array like {own}, a path or an open binary file")
    if to_file and isinstance(out, (bytes, bytearray, memoryview)):
        raise DTypeError(f"out: bytes, expected an array like {own}, a path or an open binary file")
    if to_file:
        first = picture or Picture(as_images(dst, own)[0])
        check_target(first, out)
    if widened and is_array(out):
        raise ArgumentError("out: an array, for a source with alpha over a grey picture; leave it None")
    try:
        frame = Frame(source, target, cover, at, None if to_file else out, scale=scale, decontaminate=decontaminate)
        frame.place = place
        infos = blend(frame, **others)
    except MemoryError as error:
        if isinstance(error, PyHarmonyError):
            raise
        raise OutOfMemory(f"{own}: memory ran out blending into {list(target.shape)} of {target.dtype}") from error
    result = frame.result()
    if widened:
        result = result[..., :1]
    info = infos if frame.batch else infos[0]
    if to_file:
        images = as_images(result, own)
        if len(images) != 1:
            raise ShapeError(f"out: one file for a batch of {len(images)}; pass {own} as a list and a list of files")
        write(Picture(images[0]) if picture is None else dataclasses.replace(picture, pixels=images[0]), out)
        return out, info
    if picture is None or is_array(out):
        return result, info
    made = dataclasses.replace(picture, pixels=result)
    if isinstance(dst, Picture):
        return made, info
    if result.dtype == np.uint8:
        return made.to_pil(), info
    return (result[..., 0] if result.shape[2] == 1 else result), info


def _mask_of(picture: Picture, name: str) -> NumpyArray:
    """[H, W] of a grey picture, of one whose colours are all grey, or its alpha."""
    pixels = picture.pixels
    if pixels.shape[2] == 4 and (pixels[..., 3] != VALUE_RANGE[pixels.dtype.name]).any():
        return pixels[..., 3]
    grey = pixels[..., 0]
    if pixels.shape[2] > 1 and not all(np.array_equal(grey, pixels[..., k]) for k in (1, 2)):
        raise MaskError(f"{name}: a colour picture, expected a grey one or one with alpha")
    if picture.format == "JPEG":
        grey = grey.copy()
        grey[grey <= _JPEG_NOISE] = 0
        grey[grey >= 255 - _JPEG_NOISE] = 255
    return grey
