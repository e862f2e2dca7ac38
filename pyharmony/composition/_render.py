"""Draws a recipe: lays every subject over the background, matches it, and keeps what it added as layers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import VALUE_RANGE, NumpyArray
from .._images.memory import Memory
from .._images.region import Region
from .._images.source import decontaminated, place, place_scaled
from .._warnings import quiet
from ..evaluation.pictures import levels_of
from ..harmonization import harmonize
from ..io import Layer, merged_of
from ..matching import match_grain, match_sharpness
from ..segmentation.layers import resized
from ..shadows import ReflectionInfo, ShadowInfo, reflection, shadow
from ..upscaling import super_resolve
from ._plan import ENLARGED, Photo, base_is_seen, is_cut_below
from ._recipe import mask_over
from .laying import BESIDE, in_canvas_pixels, laid_over, over

Float32 = npt.NDArray[np.float32]

#: How far around an object its surroundings are looked at for grain and sharpness: a share of its longer side, and at
#: least so many pixels.
_AROUND, _LEAST = 0.5, 200
#: How many pixels around a subject are laid with it, and how many pixels of its photograph go at least into one of the
#: background where it becomes smaller.
_MARGIN, _FINER = 2, 1.5
#: The longer side of a subject's own photograph in which its light is looked for.
_SOURCE = 768
#: Where in the row of its contact a reflection begins, from the middle of the row.
_LOWER_EDGE = 0.5
#: The part of the rectangle of a head in which the face lies, an ellipse: its half axes and the middle's height.
_FACE = (0.36, 0.36, 0.56)


@dataclass
class Laid:
    """A subject as it lies in the background.

    Attributes:
        region: where in the background it is.
        colours: [h, w, 3] of the background's dtype.
        alpha: [h, w] of the background's dtype, without what is hidden behind somebody.
        shadow: what the background is multiplied by, [h, w, 3] uint8, white for nothing, and its region; None without
            one.
        reflection: what is laid over the background, [h, w, 4] of its dtype, and its region; None without one.
        reasons: what is to be said.
        seconds: how long each step took.
        harmonized, grain, sharpness, shadow_info: the infos of the steps; None where they were left out.
    """

    region: Region
    colours: NumpyArray
    alpha: NumpyArray
    shadow: tuple[NumpyArray, Region] | None = None
    reflection: tuple[NumpyArray, Region] | None = None
    reasons: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    harmonized: Any = None
    grain: Any = None
    sharpness: Any = None
    shadow_info: Any = None


def draw(canvas: NumpyArray, recipe: Mapping[str, Any], photos: list[Photo], ratio: float) -> list[Laid]:
    """Draws the subjects of a recipe into canvas [H, W, 3], one after another, and returns them.

    ratio is the size of canvas by that which the recipe is about; photos may be reduced as well.
    """
    before = canvas.copy()
    found = []
    for number, (entry, photo) in enumerate(zip(recipe["subjects"], photos, strict=True)):
        cover = _cover(recipe, entry, before, f"subjects[{number}].cover")
        found.append(_drawn(canvas, recipe, entry, photo, cover, ratio, number))
    if canvas.dtype.kind == "u":
        # What viewers of layers make of them is what is exported, bit for bit: one rounding at the end.
        for region in _regions(found):
            height, width = region.shape
            merged = merged_of(layers_of(region.of(before), found, region), (width, height))
            region.of(canvas)[...] = merged[..., :3]
    return found


def layers_of(background: NumpyArray, found: Sequence[Laid], region: Region) -> list[Layer]:
    """Returns the layers of a part of a composite, from the bottom to the top; the part of the background is given."""
    dtype = background.dtype
    opaque = np.full((*background.shape[:2], 1), VALUE_RANGE[dtype.name], dtype)
    colours = background if background.shape[2] == 4 else np.concatenate([background, opaque], 2)
    layers = [Layer("background", np.ascontiguousarray(colours))]
    for number, one in enumerate(found, 1):
        if one.shadow is not None:
            factor, place_of = one.shadow
            solid = np.full((*factor.shape[:2], 1), 255, np.uint8)
            at = (place_of.x0 - region.x0, place_of.y0 - region.y0)
            layers.append(Layer(f"shadow {number}", np.concatenate([factor, solid], 2), at, blend="multiply"))
        if one.reflection is not None:
            pixels, place_of = one.reflection
            at = (place_of.x0 - region.x0, place_of.y0 - region.y0)
            layers.append(Layer(f"reflection {number}", pixels, at))
        if not one.region.empty:
            at = (one.region.x0 - region.x0, one.region.y0 - region.y0)
            layers.append(Layer(f"subject {number}", np.dstack([one.colours, one.alpha]), at))
    return layers


def _regions(found: Sequence[Laid]) -> list[Region]:
    """Returns the region of the background that subjects, shadows and reflections lie in; none where there are none."""
    every = [one.region for one in found if not one.region.empty]
    every += [drawn[1] for one in found for drawn in (one.shadow, one.reflection) if drawn is not None]
    if not every:
        return []
    return [Region(min(r.y0 for r in every), max(r.y1 for r in every),
                   min(r.x0 for r in every), max(r.x1 for r in every))]  # fmt: skip


def _drawn(
    canvas: NumpyArray, recipe: Mapping[str, Any], entry: Mapping[str, Any], photo: Photo, cover: NumpyArray | None,
    ratio: float, number: int,
) -> Laid:  # fmt: skip
    start = time.perf_counter()
    name = f"subjects[{number}]"
    full_size = int(entry["size"][0]), int(entry["size"][1])
    own = photo.size[0] / full_size[0]
    # Previews, which are drawn again and again, do without the time of a soft edge.
    mask = _matte(entry, photo, full_size, f"{name}.mask", soft=ratio == 1)
    laid = _laid(canvas, entry, photo, mask, ratio, own)
    laid.seconds["laid"] = time.perf_counter() - start
    over_it = None if cover is None else laid.region.of(cover)
    unhidden = laid.alpha
    if over_it is not None:
        laid.alpha = _scaled(laid.alpha, 255 - over_it)
    if laid.region.empty or not laid.alpha.any():
        laid.reasons.append("nothing of it would be seen in the background")
        return laid
    wanted = entry.get("shadow")
    if wanted == "auto":
        wanted = {} if base_is_seen(_levels(unhidden), over_it, laid.region.y1, len(canvas)) else None
        if wanted is not None and is_cut_below(entry):
            wanted = None
            if not entry["hidden"]:
                laid.reasons.append("no shadow: its photograph ends where its lower edge is, so it may go on below")
    if wanted is not None:
        start = time.perf_counter()
        _shade(canvas, laid, unhidden, cover, wanted, ratio)
        laid.seconds["shadow"] = time.perf_counter() - start
    with quiet():  # what was left as it is, or changed by less than asked, stands in the infos and reasons
        _match(canvas, laid, recipe, entry, photo, mask, ratio)
    if entry.get("reflection") is not None:
        start = time.perf_counter()
        _reflect(canvas, laid, unhidden, cover, entry, ratio)
        laid.seconds["reflection"] = time.perf_counter() - start
    start = time.perf_counter()
    _blend(canvas, laid, entry["blend"])
    laid.seconds["blend"] = time.perf_counter() - start
    return laid


def _matte(entry: Mapping[str, Any], photo: Photo, full_size: tuple[int, int], name: str, *, soft: bool) -> NumpyArray:
    """Returns the mask of a subject, [h, w] of the background's dtype: its alpha, that of the recipe, or both."""
    if entry["mask"] is None:
        assert photo.alpha is not None  # noqa: S101  # the recipe was checked
        return photo.alpha
    mask = mask_over(entry["mask"], name, full_size, photo.levels, soft=soft)
    made = _of_levels(mask, photo.pixels.dtype)
    return made if photo.alpha is None else np.minimum(made, photo.alpha)


def _laid(
    canvas: NumpyArray, entry: Mapping[str, Any], photo: Photo, mask: NumpyArray, ratio: float, own: float
) -> Laid:
    """Returns a subject at its place: cleaned of its old background, mirrored, scaled, turned."""
    memory = Memory()
    dtype, unit = canvas.dtype, VALUE_RANGE[canvas.dtype.name]
    real = np.float64 if dtype == np.float64 else np.float32
    shape = (canvas.shape[0], canvas.shape[1])
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    scale = float(entry["scale"]) * ratio / own
    (top, bottom), (left, right) = ((int(at[0]), int(at[-1]) + 1) for at in (rows, columns))
    # Of what becomes much smaller, the mean of so many pixels along each side is as good as all of them.
    every = max(1, min(int(1 / (scale * _FINER)), max(bottom - top, right - left)))
    top, bottom = _span(top, bottom, len(mask), every)
    left, right = _span(left, right, mask.shape[1], every)
    alpha = _fewer(_part(mask, top, bottom, left, right), every)
    pixels = _fewer(_part(photo.pixels, top, bottom, left, right), every)
    colours = decontaminated(pixels, alpha, (0, 0), memory)
    source = np.concatenate([colours, alpha[..., None]], 2)
    times, reasons, seconds = 1 / every, [], {}
    if entry.get("upscale") is not None and scale > ENLARGED:
        start = time.perf_counter()
        method, times = entry["upscale"]["method"], int(entry["upscale"]["scale"])
        source = np.ascontiguousarray(super_resolve(source, times, method=method))
        seconds["upscale"] = time.perf_counter() - start
        reasons.append(f"it is {scale:.1f} times as large as in its photograph, enlarged by {method}")
    angle, flip = float(entry["angle"]), bool(entry["flip"])
    if flip:
        source = source[:, ::-1]
    high, wide = source.shape[:2]
    # The middle of the part, from that of the picture, in pixels of the background; corners are whole numbers.
    dx, dy = (left + right - mask.shape[1]) / 2, (top + bottom - mask.shape[0]) / 2
    dx = -dx if flip else dx
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    middle = (
        (float(entry["x"]) + 0.5) * ratio + scale * (cos * dx - sin * dy),
        (float(entry["y"]) + 0.5) * ratio + scale * (sin * dx + cos * dy),
    )
    scale /= times
    options: dict[str, Any] = {"real": real, "decontaminate": False, "memory": memory}
    if angle == 0:
        x, y = middle[0] - scale * wide / 2, middle[1] - scale * high / 2
        x, y = (round(v) if abs(v - round(v)) < 1e-6 else v for v in (x, y))
        if scale == 1:
            shift = math.floor(y), math.floor(x)
            found = place(source, None, shape, shift, (y - shift[0], x - shift[1]), **options)
        else:
            found = place_scaled(source, None, shape, (y, x), scale, **options)
        region, laid, cover = found.placed, found.colours, found.mask
    else:
        region, laid, cover = _turned(source, shape, middle, scale, angle, options)
    if laid.dtype != dtype:
        laid = np.rint(np.clip(laid, 0, unit)).astype(dtype) if dtype.kind == "u" else laid.astype(dtype)
    if cover.dtype != dtype:
        share = cover.astype(np.float64) / (VALUE_RANGE[cover.dtype.name] if cover.dtype != bool else 1)
        share = np.clip(share, 0, 1)
        cover = np.rint(share * unit).astype(dtype) if dtype.kind == "u" else share.astype(dtype)
    return Laid(region, np.ascontiguousarray(laid), np.ascontiguousarray(cover), reasons=reasons, seconds=seconds)


def _span(start: int, end: int, size: int, every: int) -> tuple[int, int]:
    """Returns where a part of `size` pixels begins and ends: with a margin, and of whole groups of pixels.

    It ends beyond the last pixel where there are too few.
    """
    start, end = max(0, start - _MARGIN), min(size, end + _MARGIN)
    end = min(size, end + -(end - start) % every)
    start = max(0, start - -(end - start) % every)
    return start, end + -(end - start) % every


def _part(values: NumpyArray, top: int, bottom: int, left: int, right: int) -> NumpyArray:
    """Returns a part of an image or plane, whose last rows and columns are repeated beyond its ends."""
    found = values[top:bottom, left:right]
    beyond = [(0, bottom - top - found.shape[0]), (0, right - left - found.shape[1])]
    if not any(after for _, after in beyond):
        return found
    return np.pad(found, [*beyond, *[(0, 0)] * (values.ndim - 2)], "edge")


def _fewer(values: NumpyArray, every: int) -> NumpyArray:
    """Returns an image or plane of which so many pixels along each side became one, their mean."""
    from PIL import Image

    if every == 1:
        return np.ascontiguousarray(values)
    if values.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(values)).reduce(every))
    high, wide = values.shape[0] // every, values.shape[1] // every
    means = values.reshape(high, every, wide, every, *values.shape[2:]).mean((1, 3))
    return np.rint(means).astype(values.dtype) if values.dtype.kind == "u" else means.astype(values.dtype)


def _turned(
    source: NumpyArray, shape: tuple[int, int], middle: tuple[float, float], scale: float, angle: float,
    options: dict[str, Any],
) -> tuple[Region, NumpyArray, NumpyArray]:  # fmt: skip
    """Returns the region, colours and cover of a source [h, w, 4] that is scaled and then turned about its middle."""
    from PIL import Image

    high, wide = source.shape[:2]
    size = max(1, math.ceil(high * scale)), max(1, math.ceil(wide * scale))
    found = (
        place_scaled(source, None, size, (0.0, 0.0), scale, **options)
        if scale != 1
        else place(source, None, size, (0, 0), (0.0, 0.0), **options)
    )
    unit = VALUE_RANGE[source.dtype.name]
    cover = found.mask.astype(np.float32)
    if found.mask.dtype.kind == "u":
        cover /= unit
    planes = np.dstack([found.colours.astype(np.float32) * cover[..., None], cover])
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    across = (abs(cos) * wide + abs(sin) * high) * scale / 2 + 2
    down = (abs(sin) * wide + abs(cos) * high) * scale / 2 + 2
    region = Region(
        math.floor(middle[1] - down), math.ceil(middle[1] + down),
        math.floor(middle[0] - across), math.ceil(middle[0] + across),
    ).overlap(Region(0, shape[0], 0, shape[1]))  # fmt: skip
    if region.empty:
        return Region(0, 0, 0, 0), source[:0, :0, :3], np.zeros((0, 0), np.float32)
    # From corners of the region back to corners of the source.
    x0, y0 = region.x0 - middle[0], region.y0 - middle[1]
    back = (
        cos, sin, cos * x0 + sin * y0 + wide * scale / 2,
        -sin, cos, -sin * x0 + cos * y0 + high * scale / 2,
    )  # fmt: skip
    turned = np.dstack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(planes[..., i])).transform(
                    (region.shape[1], region.shape[0]), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC
                )
            )
            for i in range(planes.shape[2])
        ]
    )
    share = np.clip(turned[..., 3], 0, 1)
    colours = turned[..., :3] / np.maximum(turned[..., 3:], 1e-6)
    colours = np.where(share[..., None] > 1 / 512, colours, 0)
    return region, np.clip(colours, 0, unit), share


def _cover(recipe: Mapping[str, Any], entry: Mapping[str, Any], background: NumpyArray, name: str) -> NumpyArray | None:
    """Returns what stands before a subject in the background [h, w, 3], [h, w] uint8; None where nothing does."""
    if entry.get("cover") is None:
        return None
    width, height = (int(v) for v in recipe["size"])
    return mask_over(entry["cover"], name, (width, height), levels_of(background))


def _shade(
    canvas: NumpyArray, laid: Laid, alpha: NumpyArray, cover: NumpyArray | None, wanted: Mapping[str, Any],
    ratio: float,
) -> None:  # fmt: skip
    """Draws the shadow of a subject into the canvas, except on whoever stands before it."""
    given = in_canvas_pixels(wanted, ratio)
    with quiet():
        info: ShadowInfo
        _, info = shadow(canvas, _levels(alpha), at=(laid.region.x0, laid.region.y0), return_info=True, **given)
    laid.shadow_info = info
    if info.layer is None:
        laid.reasons.append(f"no shadow: {info.reason}")
        return
    rows, columns = (np.flatnonzero(info.layer[..., 3].any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    region = Region(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    layer = region.of(info.layer)
    share = layer[..., 3:].astype(np.float64) / 255
    if cover is not None:
        share *= 1 - region.of(cover)[..., None].astype(np.float64) / 255
    factor = np.rint(255 * (1 - share) + share * layer[..., :3]).astype(np.uint8)
    laid.shadow = factor, region
    part = region.of(canvas)
    values = part * (factor.astype(np.float64) / 255)
    part[...] = np.rint(values).astype(canvas.dtype) if canvas.dtype.kind == "u" else values.astype(canvas.dtype)


def _reflect(
    canvas: NumpyArray, laid: Laid, alpha: NumpyArray, cover: NumpyArray | None, entry: Mapping[str, Any],
    ratio: float,
) -> None:  # fmt: skip
    """Draws the reflection of a subject into the canvas, except on whoever stands before it."""
    whole = canvas.copy()
    over(laid.region.of(whole), laid.colours, alpha)
    with quiet():
        info: ReflectionInfo
        _, info = reflection(
            whole, _levels(alpha), at=(laid.region.x0, laid.region.y0), return_info=True,
            **in_canvas_pixels(entry["reflection"], ratio, _LOWER_EDGE),
        )  # fmt: skip
    if info.layer is None:
        laid.reasons.append(f"no reflection: {info.reason}")
        return
    rows, columns = (np.flatnonzero(info.layer[..., 3].any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    region = Region(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    layer = region.of(info.layer).copy()
    if cover is not None:
        layer[..., 3] = _scaled(layer[..., 3], 255 - region.of(cover))
    laid.reflection = layer, region
    over(region.of(canvas), layer[..., :3], layer[..., 3])


def _match(
    canvas: NumpyArray, laid: Laid, recipe: Mapping[str, Any], entry: Mapping[str, Any], photo: Photo,
    mask: NumpyArray, ratio: float,
) -> None:  # fmt: skip
    """Gives a subject light and colour, sharpness and grain of the background."""
    region = laid.region
    hard = np.where(laid.alpha > 0, np.uint8(255), np.uint8(0))
    seen = hard > 0
    wanted = entry.get("harmonize")
    if wanted is not None:
        start = time.perf_counter()
        whole = canvas.copy()
        region.of(whole)[seen] = laid.colours[seen]
        hints: dict[str, Any] = {}
        if wanted.get("source"):
            small, where = _small(photo, _levels(mask))
            if (where < 128).mean() > 0.1:
                hints |= {"source": small, "source_mask": where}
        if wanted.get("reference"):
            like = _faces(canvas, wanted["reference"], ratio)
            region.of(like)[seen] = 0
            if (like >= 128).sum() >= 64:
                hints["reference"] = like
        result, info = harmonize(
            whole, hard, at=(region.x0, region.y0), method=wanted["method"], strength=wanted["strength"],
            return_info=True, **hints,
        )  # fmt: skip
        laid.harmonized = info
        if info.reason:
            laid.reasons.append(f"colours: {info.reason}")
        laid.colours[seen] = region.of(result)[seen]
        laid.seconds["harmonize"] = time.perf_counter() - start
    match: Any
    for key, match in (("sharpness", match_sharpness), ("grain", match_grain)):
        share = float(entry.get(key, 0))
        if not share:
            continue
        start = time.perf_counter()
        reach = max(_LEAST, round(_AROUND * max(region.shape)))
        around = region.expand(reach, canvas.shape[:2])
        part = around.of(canvas).copy()
        inner = region.of(part, (around.y0, around.x0))
        inner[seen] = laid.colours[seen]
        extra = {"seed": int(recipe.get("seed", 0))} if key == "grain" else {}
        at = (region.x0 - around.x0, region.y0 - around.y0)
        result, info = match(part, hard, at=at, strength=share, return_info=True, **extra)
        setattr(laid, key, info)
        laid.colours[seen] = region.of(result, (around.y0, around.x0))[seen]
        laid.seconds[key] = time.perf_counter() - start


def _blend(canvas: NumpyArray, laid: Laid, method: str) -> None:
    """Blends a subject into the canvas."""
    region = laid.region
    if method == "alpha":
        over(region.of(canvas), laid.colours, laid.alpha)
        return
    around = region.expand(BESIDE, canvas.shape[:2])
    rows, columns = (region.y0 - around.y0, region.y1 - around.y0), (region.x0 - around.x0, region.x1 - around.x0)
    inner, seen = (slice(*rows), slice(*columns)), laid.alpha > 0
    part = laid_over(around.of(canvas).copy(), laid.colours, laid.alpha, inner, method)[inner]
    full = VALUE_RANGE[canvas.dtype.name]
    laid.colours = np.ascontiguousarray(part)
    laid.alpha = np.where(seen, np.array(full, canvas.dtype), np.array(0, canvas.dtype))
    region.of(canvas)[seen] = part[seen]


def _scaled(alpha: NumpyArray, by: NumpyArray) -> NumpyArray:
    """Returns alpha times a mask of levels, in alpha's dtype."""
    product = alpha.astype(np.float64) * (by.astype(np.float64) / 255)
    return np.rint(product).astype(alpha.dtype) if alpha.dtype.kind == "u" else product.astype(alpha.dtype)


def _levels(alpha: NumpyArray) -> NumpyArray:
    """Returns alpha of any dtype as uint8."""
    if alpha.dtype == np.uint8:
        return alpha
    return np.rint(alpha.astype(np.float64) * (255 / VALUE_RANGE[alpha.dtype.name])).astype(np.uint8)


def _of_levels(mask: NumpyArray, dtype: Any) -> NumpyArray:
    """Returns a mask of levels in another dtype."""
    if dtype == np.uint8:
        return np.ascontiguousarray(mask)
    if dtype == np.uint16:
        return mask.astype(np.uint16) * np.uint16(257)
    return (mask.astype(np.float64) / 255).astype(dtype)


def _small(photo: Photo, mask: NumpyArray) -> tuple[NumpyArray, NumpyArray]:
    """Returns a subject's photograph and mask, reduced, in the photograph's dtype."""
    height, width = photo.pixels.shape[:2]
    factor = min(1.0, _SOURCE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if factor == 1.0:
        return photo.pixels, mask
    if photo.pixels.dtype == np.uint8:
        small = resized(photo.pixels, size)
    else:
        planes = [resized(photo.pixels[..., i].astype(np.float32), size) for i in range(3)]
        unit = VALUE_RANGE[photo.pixels.dtype.name]
        small = np.dstack(planes)
        small = np.rint(np.clip(small, 0, unit)) if photo.pixels.dtype.kind == "u" else small
        small = small.astype(photo.pixels.dtype)
    return small, resized(mask, size)


def _faces(canvas: NumpyArray, heads: Any, ratio: float) -> NumpyArray:
    """Returns the mask [H, W] uint8 of the faces of rectangles of heads."""
    found = np.zeros(canvas.shape[:2], np.uint8)
    for x, y, wide, high in heads:
        x, y, wide, high = (v * ratio for v in (x, y, wide, high))
        region = Region(int(y), math.ceil(y + high), int(x), math.ceil(x + wide)).overlap(
            Region(0, canvas.shape[0], 0, canvas.shape[1])
        )
        if region.empty:
            continue
        v, u = np.mgrid[region.y0 : region.y1, region.x0 : region.x1] + 0.5
        inside = ((u - x - wide / 2) / (_FACE[0] * wide)) ** 2 + ((v - y - _FACE[2] * high) / (_FACE[1] * high)) ** 2
        region.of(found)[inside <= 1] = 255
    return found
