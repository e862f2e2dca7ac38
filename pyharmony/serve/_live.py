"""Composites for a page: the layers over a background, and blends of them at a place while they are dragged.

All of it is computed from proxies, at the size of the screen. `compose` computes the download from the photos
themselves.
"""

from __future__ import annotations

import base64
import io as streams
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import blend as blends
from .. import io
from .._arrays import NumpyArray
from .._images.levels import in_levels
from .._images.region import bounding_box
from .._images.sizes import resized
from ..composition import Composed, compose
from ..composition.laying import BESIDE, in_canvas_pixels, laid_over
from ..composition.warping import checked, largest_growth
from ..errors import MaskError, PyHarmonyWarning, RunError
from ..io import Picture
from ..reference.luma import LUMA
from ..runs._jobs.failures import Code, with_codes

if TYPE_CHECKING:
    from ._bodies import LiveBody
    from ._desk import Desk
    from ._ids import PictureId

#: The resolution of a subject, relative to the screen, before it is placed.
_SUBJECT_OVERSAMPLING = 1.5
#: The pixels around a subject's mask that the blends of a source use, some of which have large supports.
_SOURCE_BLEND_MARGIN = 32
#: The pixels around a subject that are sent with it, so that its contour is not at an image border.
_CONTOUR_MARGIN = 2


def layers(body: Any, settings: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
    """Composes on proxies; returns the layers: shadow, reflection, the subject plain and matched, occluding people.

    With corrections of the background it is a layer too.
    """
    one = body.subject
    with desk.phase("decode", 1, 3):
        background, ratio = _reduced(desk, body.background, body.side / max(desk.sizes[body.background][:2]))
        photo_size, warp = desk.sizes[one.picture], checked(one.warp)
        scale = one.scale * largest_growth(warp, (photo_size.width, photo_size.height))
        own, own_ratio = _reduced(desk, one.picture, scale * ratio * _SUBJECT_OVERSAMPLING)
        size = own.shape[1], own.shape[0]
        mask = None if one.mask is None else _mask(desk, one.mask, size)
        photo = own if mask is None else own[..., :3]
        people = [_mask(desk, id, (background.shape[1], background.shape[0])) for id in body.people or ()]
    place: dict[str, Any] = {"at": tuple(value * ratio for value in one.at), "scale": one.scale * ratio / own_ratio}
    place |= {"angle": one.angle, "flip": one.flip, "warp": warp, "masks": mask, "upscale": None, "return_info": True}
    matched = {**settings, "people": people or None}
    for name in ("shadow", "reflection", "adjust"):
        if isinstance(settings.get(name), Mapping):
            matched[name] = in_canvas_pixels(settings[name], ratio)
    colours = background[..., :3]
    with desk.phase("match", 2, 3), desk.collected_warnings() as reasons:
        # Both have the corrections by hand, so that any mixture of them has.
        plain: Composed = compose(photo, colours, **place, adjust=matched.get("adjust"), strength=0.0)[1].subjects[0]
        info = compose(photo, colours, **place, **matched)[1]
        full: Composed = info.subjects[0]
    with desk.phase("encode", 3, 3):
        images = []
        if settings.get("adjust_background"):
            colours = np.ascontiguousarray(info.layers[0].pixels[..., :3])
            images.append(("background", (0, 0, colours.shape[1], colours.shape[0]), colours))
        grey = desk.sizes[body.background].channels == 1
        if full.shadow is not None and not (box := bounding_box((full.shadow != 255).any(2))).empty:
            images.append(("shadow", box.rectangle, box.of(full.shadow)))
        if full.reflection is not None and not (box := bounding_box(full.reflection[..., 3])).empty:
            pixels = np.dstack([_as_displayed(full.reflection[..., :3], grey), full.reflection[..., 3]])
            images.append(("reflection", box.rectangle, np.ascontiguousarray(box.of(pixels))))
        if plain.box[2] and plain.box[3]:
            for name, composed in (("plain", plain), ("matched", full)):
                images.append((name, composed.box, np.dstack([_as_displayed(composed.colours, grey), composed.alpha])))
        if any(0 <= i < len(people) for i in body.front):
            front_mask = np.max([people[i] for i in body.front if 0 <= i < len(people)], axis=0)
            if not (box := bounding_box(front_mask)).empty:
                part = box.of(np.dstack([colours, front_mask]))
                images.append(("front", box.rectangle, np.ascontiguousarray(part)))
        record: dict[str, Any] = {**with_codes("warning", reasons), **with_codes("reason", full.reasons)}
        record |= {"seconds": dict(info.seconds), "ratio": ratio}
        entries = [
            {"name": name, "box": [value / ratio for value in box], "picture": desk.write(Picture(pixels), "png")}
            for name, box, pixels in images
        ]
        return {"layers": entries, "info": record}


def live(body: LiveBody, desk: Desk) -> dict[str, Any]:
    """Blends a subject at a place, and returns the changed part of the background as a small file in text."""
    with desk.phase("blend", 1, 1):
        finest = body.side * body.detail / max(desk.sizes[body.background][:2])
        background, ratio = _reduced(desk, body.background, finest)
        if body.base is not None:
            background = _base(desk, body.base, (background.shape[1], background.shape[0]))
        colours, mask = _mixed(desk, body) if body.source is None else _scaled(desk, body, ratio)
        height, width = background.shape[:2]
        high, wide = mask.shape
        x, y = at = round(body.at[0] * ratio), round(body.at[1] * ratio)
        if x >= width or y >= height or x + wide <= 0 or y + high <= 0:  # outside the background
            return {"info": {"box": [0, 0, 0, 0], "url": ""}}
        around = BESIDE if body.source is None else _SOURCE_BLEND_MARGIN
        left, top = max(0, x - around), max(0, y - around)
        right, bottom = min(width, x + wide + around), min(height, y + high + around)
        dst = np.ascontiguousarray(background[top:bottom, left:right, :3])
        if body.shadow is not None and body.cast is not None:
            dst = _shaded(dst, _shadow_layer(desk, body), [round(value * ratio) for value in body.cast], (left, top))
        # A drag does not change the mask: a move changes only the colours around it, and the preparations are reused.
        with warnings.catch_warnings(), desk.memory.hierarchies.used():
            warnings.simplefilter("ignore", PyHarmonyWarning)
            if body.source is not None:
                pixels = _as_blend(dst, colours, mask, (x - left, y - top), body)
            else:
                # The part of the subject that is inside the background.
                rows = np.s_[max(0, y) - top : min(height, y + high) - top]
                inner = rows, np.s_[max(0, x) - left : min(width, x + wide) - left]
                part = np.s_[max(0, -y) : height - y, max(0, -x) : width - x]
                pixels = _blended(dst, colours[part], mask[part], inner, body.mode)
        pixels, (left, top) = _trimmed(pixels, (left, top), mask, at)
        if not pixels.size:
            return {"info": {"box": [0, 0, 0, 0], "url": ""}}
        if desk.sizes[body.background].channels == 1:
            pixels = _as_displayed(pixels, True)
        # The image is sent as text, without a file: during a drag, each is shown for an instant.
        buffer = streams.BytesIO()
        io.write(Picture(np.ascontiguousarray(pixels)), buffer, format=body.format, quality=88)
        data = base64.b64encode(buffer.getvalue()).decode()
        box = [value / ratio for value in (left, top, pixels.shape[1], pixels.shape[0])]
        return {"info": {"box": box, "url": f"data:image/{body.format};base64,{data}"}}


def _trimmed(
    pixels: NumpyArray, corner: tuple[int, int], mask: NumpyArray, at: tuple[int, int]
) -> tuple[NumpyArray, tuple[int, int]]:
    """Returns the crop of a blend [h, w, 3] to the box of a mask [h, w] at (x, y) with a rim, and its corner (x, y).

    The rest equals the background: it would be drawn over itself, and takes time to encode.
    """
    support = bounding_box(mask)
    if support.empty:
        return pixels[:0], corner
    x, y, wide, high = support.rectangle
    left, top = (max(0, a + b - c - _CONTOUR_MARGIN) for a, b, c in zip(at, (x, y), corner, strict=True))
    right, bottom = (
        a + b + c - d + _CONTOUR_MARGIN for a, b, c, d in zip(at, (x, y), (wide, high), corner, strict=True)
    )
    part = pixels[top : max(top, bottom), left : max(left, right)]
    return part, (corner[0] + left, corner[1] + top)


def _shadow_layer(desk: Desk, body: LiveBody) -> NumpyArray:
    """Returns a shadow [h, w, 3] of `layers`, at the size of the screen; cached."""

    def make() -> Picture:
        assert body.shadow is not None  # noqa: S101  # the caller has one
        pixels = desk.read(body.shadow, "shadow").pixels
        if pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            what = f"{pixels.shape[2]} channels of {pixels.dtype}"
            raise RunError(f"shadow: {what}, expected the shadow layer of `layers`", Code.INPUT)
        size = (max(1, round(side * body.detail)) for side in (pixels.shape[1], pixels.shape[0]))
        return Picture(pixels if body.detail == 1 else resized(pixels, cast(tuple[int, int], tuple(size))))

    return desk.memory.decoded.get_or_make(f"{body.shadow} {body.detail}", make).pixels


def _shaded(dst: NumpyArray, shadow: NumpyArray, at: Sequence[int], corner: tuple[int, int]) -> NumpyArray:
    """Returns dst [h, w, 3], whose first pixel is at corner (x, y), times a shadow [h, w, 3] at (x, y)."""
    left, top = (a - c for a, c in zip(at, corner, strict=True))
    inside = np.s_[max(0, top) : max(0, top + shadow.shape[0]), max(0, left) : max(0, left + shadow.shape[1])]
    part = dst[inside]
    factor = shadow[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
    result = dst.copy()
    result[inside] = np.rint(part * (factor.astype(np.float32) / 255))
    return result


def _as_blend(
    dst: NumpyArray, colours: NumpyArray, mask: NumpyArray, at: tuple[int, int], body: LiveBody
) -> NumpyArray:
    """Returns dst with a source [h, w, 3] under its mask [h, w], as in the operation `blend`."""
    options: dict[str, Any] = {"gradients": body.gradients} if body.mode == "poisson" else {}
    try:
        result: NumpyArray = getattr(blends, body.mode.replace("-", "_"))(colours, dst, mask, at=at, **options)
    except MaskError:  # it is outside the background, or covers all of it
        return dst
    return result


def _scaled(desk: Desk, body: LiveBody, ratio: float) -> tuple[NumpyArray, NumpyArray]:
    """Returns the colours [h, w, 3] of a source, beyond its mask too, and its mask, at the screen's size; cached."""
    assert body.source is not None and body.mask is not None  # noqa: S101  # the body was checked
    size = desk.sizes[body.source]
    wide, high = (max(1, round(value * body.scale * ratio)) for value in (size.width, size.height))

    def make() -> tuple[NumpyArray, NumpyArray]:
        assert body.source is not None and body.mask is not None  # noqa: S101
        photo, _ = _reduced(desk, body.source, 1.0)
        colours = resized(np.ascontiguousarray(photo[..., :3]), (wide, high))
        mask = _mask(desk, body.mask, (wide, high))
        if photo.shape[2] == 4:
            mask = np.minimum(mask, resized(np.ascontiguousarray(photo[..., 3]), (wide, high)))
        return colours, mask

    return _cached(desk, f"{body.source} {body.mask} {wide} {high}", make)


def _cached(desk: Desk, key: str, make: Callable[[], tuple[NumpyArray, NumpyArray]]) -> tuple[NumpyArray, NumpyArray]:
    """Returns colours [h, w, 3] and their mask [h, w], computed once and cached for the next move."""
    cache = desk.memory.decoded
    colours, mask = cache.get(f"{key} colours"), cache.get(f"{key} mask")
    if colours is None or mask is None:
        arrays = make()
        colours, mask = Picture(np.ascontiguousarray(arrays[0])), Picture(np.ascontiguousarray(arrays[1])[..., None])
        cache.put(f"{key} colours", colours)
        cache.put(f"{key} mask", mask)
    return colours.pixels, mask.pixels[..., 0]


def _blended(dst: NumpyArray, colours: NumpyArray, alpha: NumpyArray, inner: Any, mode: str) -> NumpyArray:
    """Returns dst with colours [h, w, 3] under their alpha [h, w] in its rectangle, as in `compose`."""
    visible = alpha > 0
    if not visible.any():
        return dst
    composite, result = laid_over(dst, colours, alpha, inner, mode.replace("-", "_")), dst.copy()
    np.copyto(result[inner], composite[inner], where=visible[..., None])
    return result


def _mixed(desk: Desk, body: LiveBody) -> tuple[NumpyArray, NumpyArray]:
    """Returns the colours [h, w, 3] of the subject, between plain and matched, and its alpha [h, w]; cached."""

    def make() -> tuple[NumpyArray, NumpyArray]:
        assert body.plain is not None and body.matched is not None  # noqa: S101  # the body was checked
        plain, matched = (desk.read(id, "layer").pixels for id in (body.plain, body.matched))
        if plain.shape != matched.shape or plain.shape[2] != 4 or plain.dtype != np.uint8 or matched.dtype != np.uint8:
            shapes = " and ".join(f"{list(one.shape)} of {one.dtype}" for one in (plain, matched))
            raise RunError(f"plain, matched: {shapes}, expected two layers of one result of `layers`", Code.INPUT)
        result = plain.copy()
        way = matched[..., :3].astype(np.float32) - plain[..., :3]
        result[..., :3] = np.rint(plain[..., :3] + np.float32(body.strength) * way)
        if body.detail < 1:
            size = max(1, round(result.shape[1] * body.detail)), max(1, round(result.shape[0] * body.detail))
            result = resized(result, size)
        return result[..., :3], result[..., 3]

    return _cached(desk, f"{body.plain} {body.matched} {body.strength} {body.detail}", make)


def _reduced(desk: Desk, id: PictureId, factor: float) -> tuple[NumpyArray, float]:
    """Returns an image reduced by at most a factor, from its proxy, and the actual factor; it is cached."""
    size = desk.sizes[id]
    factor = min(factor, size.factor)
    wide, high = max(1, round(size.width * factor)), max(1, round(size.height * factor))

    def make() -> Picture:
        pixels = desk.proxy(id).pixels
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, 2)
        if (wide, high) != (pixels.shape[1], pixels.shape[0]):
            pixels = resized(np.ascontiguousarray(pixels), (wide, high))
        return Picture(np.ascontiguousarray(pixels))

    return desk.memory.decoded.get_or_make(f"{id} {wide} {high}", make).pixels, wide / size.width


def _base(desk: Desk, id: PictureId, size: tuple[int, int]) -> NumpyArray:
    """Returns the background layer of `layers` at a size (width, height); it is cached."""

    def make() -> Picture:
        pixels = desk.read(id, "base").pixels
        if pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            what = f"{pixels.shape[2]} channels of {pixels.dtype}"
            raise RunError(f"base: {what}, expected the background layer of `layers`", Code.INPUT)
        return Picture(resized(pixels, size))

    return desk.memory.decoded.get_or_make(f"{id} {size[0]} {size[1]}", make).pixels


def _mask(desk: Desk, id: PictureId, size: tuple[int, int]) -> NumpyArray:
    """Returns a mask [h, w] uint8 at a size (width, height)."""
    from ..io.masks import mask_of

    def make() -> Picture:
        mask = in_levels(mask_of(desk.proxy(id), "mask"))
        mask = mask if (mask.shape[1], mask.shape[0]) == size else resized(np.ascontiguousarray(mask), size)
        return Picture(np.ascontiguousarray(mask)[..., None])

    return desk.memory.decoded.get_or_make(f"{id} {size[0]} {size[1]}", make).pixels[..., 0]


def _as_displayed(colours: NumpyArray, grey: bool) -> NumpyArray:
    """Returns colours [h, w, 3], or three channels of their grey if the background is grey."""
    if not grey:
        return colours
    level = np.rint(colours.astype(np.float32) @ LUMA).astype(np.uint8)
    return np.repeat(level[..., None], 3, 2)
