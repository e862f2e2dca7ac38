"""Draws a recipe: blends every matched subject into the background, and returns them for layers."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from .._images.call import as_step
from .._images.levels import image_levels, in_dtype, in_levels
from .._images.region import Region, as_float, bounding_box
from .._images.sizes import fitted, resized
from .._images.threads import copied, in_threads
from .._warnings import quiet
from ..color import retouch
from ..errors import PyHarmonyError, Reason, WeightsError
from ..harmonization import harmonize
from ..harmonization.light import Light, map_of, remaining
from ..io import Layer, merged_of
from ..io.modes import mixed
from ..matching import match_grain, match_sharpness
from ..reference.luma import LUMA
from ..shadows import ReflectionInfo, ShadowInfo, reflection, shadow
from ._adjust import retouching_of
from ._plan import Photo, base_is_seen, is_cut_below
from ._recipe import mask_over
from ._subject import PlacedSubject, place_subject
from .laying import BESIDE, in_canvas_pixels, laid_over, over

#: The width of the surroundings of an object that are measured for grain and sharpness, as a share of its longer side.
_CONTEXT_SHARE = 0.5
#: The least width of these surroundings, in pixels.
_MIN_CONTEXT_PIXELS = 200
#: The number of pixels that are blended at once.
_PIXELS_PER_BLOCK = 1 << 20
#: The number of columns of the parts in which layers are merged.
_LAYER_COLUMNS = 512
#: The longer side of the reduced photo of a subject from which its light is estimated.
_SOURCE = 768
#: The number of pixels of a subject that tell what `harmonize` changed.
_LIGHT_PIXELS = 1 << 15
#: The light of a shadow whose direction is unknown: its soft shadow lies under the subject, and points nowhere.
_HIGH_LIGHT = {"elevation": 80.0, "softness": 60.0, "strength": 0.45}
#: The options of a shadow that tell a direction of the light.
_DIRECTIONS = ("azimuth", "elevation", "tip")
#: The start of a reflection in the row of its contact, from the middle of the row.
_REFLECTION_OFFSET = 0.5
#: The ellipse of the face in the rectangle of a head: its half axes and its middle's height.
_FACE = (0.36, 0.36, 0.56)
#: The reasons of a subject that is not visible, and of one whose lower end is not.
_UNSEEN = Reason("unseen", "nothing of it would be visible in the background")
_GOES_ON = Reason("goes-on-below", "no shadow: its photo crops it at the lower side")


def draw(
    canvas: NumpyArray, background: NumpyArray, recipe: Mapping[str, Any], photos: list[Photo], ratio: float, grey: bool
) -> list[PlacedSubject]:
    """Draws the subjects of a recipe into canvas [H, W, 3], one after another, and returns them.

    ratio: the size of canvas relative to that in the recipe; photos may be reduced as well.
    grey: whether layers of whole numbers lose their colours, since the composite has one channel.
    """
    subjects = []
    for number, (entry, photo) in enumerate(zip(recipe["subjects"], photos, strict=True)):
        front_mask = _front_mask(recipe, entry, background, f"subjects[{number}].cover")
        subjects.append(_draw_one(canvas, recipe, entry, photo, front_mask, ratio, number))
    if canvas.dtype.kind == "u":
        if grey:
            every = [layer[0] for one in subjects for layer in (one.shadow, one.reflection) if layer is not None]
            for colours in (canvas, *(one.colours for one in subjects), *every):
                colours[..., :3] = in_grey(colours[..., :3])

        # Layers are merged with one rounding at the end, like in viewers of layers, which gives the same bits.
        def merge(part: Region) -> None:
            layers = layers_of(part.of(background), [within(one, part) for one in subjects], part)
            part.of(canvas)[...] = merged_of(layers, part.shape[::-1])[..., :3]

        in_threads(merge, list(_overlapping_parts(subjects)))
    return subjects


def in_grey(colours: NumpyArray) -> NumpyArray:
    """Returns colours [h, w, 3] of whole numbers in three equal channels, of their luma."""
    return np.repeat(np.rint(colours.astype(np.float64) @ LUMA).astype(colours.dtype)[..., None], 3, 2)


def _overlapping_parts(subjects: Sequence[PlacedSubject]) -> Iterator[Region]:
    """Yields parts of the background with pixels that are a mixture of several layers."""
    every = [one.region for one in subjects if not one.region.empty]
    every += [layer[1] for one in subjects for layer in (one.shadow, one.reflection) if layer is not None]
    for rows in _rows(Region.around(every)) if every else ():
        for x in range(rows.x0, rows.x1, _LAYER_COLUMNS):
            part = Region(rows.y0, rows.y1, x, min(x + _LAYER_COLUMNS, rows.x1))
            over_it = [within(one, part) for one in subjects]
            over_it = [one for one in over_it if not (one.region.empty and one.shadow is one.reflection is None)]
            if len(over_it) == 1 and over_it[0].shadow is over_it[0].reflection is None and over_it[0].covers:
                alpha = over_it[0].alpha
                if not ((alpha > 0) & (alpha < VALUE_RANGE[alpha.dtype.name])).any():
                    continue
            if over_it:
                yield part


def _rows(region: Region) -> Iterator[Region]:
    """Yields a region in bands of rows, which limits the memory of what is computed of each."""
    for rows in _bands(region.shape):
        yield Region(region.y0 + rows.start, region.y0 + rows.stop, region.x0, region.x1)


def within(subject: PlacedSubject, part: Region) -> PlacedSubject:
    """Returns the part of a subject, its shadow and its reflection in a part of the background."""

    def cut(layer: tuple[NumpyArray, Region] | None) -> tuple[NumpyArray, Region] | None:
        if layer is None:
            return None
        inside = layer[1].overlap(part)
        return None if inside.empty else (inside.of(layer[0], layer[1].origin), inside)

    origin, inside = subject.region.origin, subject.region.overlap(part)
    colours, alpha = (inside.of(x, origin) for x in (subject.colours, subject.alpha))
    layers = cut(subject.shadow), cut(subject.reflection)
    return PlacedSubject(inside, colours, alpha, *layers, subject.opacity, subject.mode)


def layers_of(background: NumpyArray, subjects: Sequence[PlacedSubject], region: Region) -> list[Layer]:
    """Returns the layers of a part of a composite, from the bottom to the top, over that part of the background."""
    dtype = background.dtype
    opaque = np.full((*background.shape[:2], 1), VALUE_RANGE[dtype.name], dtype)
    colours = background if background.shape[2] == 4 else np.concatenate([background, opaque], 2)
    layers = [Layer("background", np.ascontiguousarray(colours))]

    def at(place: Region) -> tuple[int, int]:
        return place.x0 - region.x0, place.y0 - region.y0

    for number, one in enumerate(subjects, 1):
        if one.shadow is not None:
            factor, place = one.shadow
            solid = np.full((*factor.shape[:2], 1), 255, np.uint8)
            layers.append(Layer(f"shadow {number}", np.concatenate([factor, solid], 2), at(place), blend="multiply"))
        if one.reflection is not None:
            layers.append(Layer(f"reflection {number}", one.reflection[0], at(one.reflection[1])))
        if not one.region.empty:
            # What was cut away from the photo is not in the file.
            colours = np.where((one.alpha > 0)[..., None], one.colours, one.colours.dtype.type(0))
            look: Any = {"opacity": one.opacity, "blend": one.mode}
            layers.append(Layer(f"subject {number}", np.dstack([colours, one.alpha]), at(one.region), **look))
    return layers


def _draw_one(
    canvas: NumpyArray, recipe: Mapping[str, Any], entry: Mapping[str, Any], photo: Photo,
    front_mask: NumpyArray | None, ratio: float, number: int,
) -> PlacedSubject:  # fmt: skip
    start = time.perf_counter()
    name = f"subjects[{number}]"
    full_size = int(entry["size"][0]), int(entry["size"][1])
    own = photo.size[0] / full_size[0]
    # Previews, which are drawn often, save the time of computing alpha.
    mask = _subject_alpha(entry, photo, full_size, f"{name}.mask", soft=ratio == 1)
    subject = place_subject(canvas, entry, photo, mask, ratio, own)
    subject.opacity, subject.mode = float(entry.get("opacity", 1)), entry.get("mode", "normal")
    subject.seconds["laid"] = time.perf_counter() - start
    over_it = None if front_mask is None else subject.region.of(front_mask)
    unhidden = subject.alpha
    if over_it is not None:
        subject.alpha = _scaled(subject.alpha, 255 - over_it)
    if subject.region.empty or not subject.alpha.any():
        subject.warn(_UNSEEN, Reason("move", "another place or size makes it visible"))
        return subject
    shadow_options = entry.get("shadow")
    if shadow_options == "auto":
        shadow_options = {} if base_is_seen(in_levels(unhidden), over_it, subject.region.y1, len(canvas)) else None
        if shadow_options is not None and is_cut_below(entry):
            shadow_options = None
            if not entry["hidden"]:
                subject.reasons.append(_GOES_ON)
    if shadow_options is not None:
        start = time.perf_counter()
        _shade(canvas, subject, unhidden, front_mask, shadow_options, ratio, entry["shadow"] != "auto")
        subject.seconds["shadow"] = time.perf_counter() - start
    with quiet():  # the infos and reasons contain what the warnings would
        _match(canvas, subject, recipe, entry, photo, mask, ratio)
    if (parameters := retouching_of(entry.get("adjust"))) is not None:
        start = time.perf_counter()
        hard = (subject.alpha > 0).view(np.uint8) * np.uint8(255)
        subject.colours, _ = retouch(subject.colours, hard, parameters=parameters)
        subject.seconds["adjust"] = time.perf_counter() - start
    if entry.get("reflection") is not None:
        start = time.perf_counter()
        _reflect(canvas, subject, unhidden, front_mask, entry, ratio)
        subject.seconds["reflection"] = time.perf_counter() - start
    start = time.perf_counter()
    _blend(canvas, subject, entry["blend"])
    subject.seconds["blend"] = time.perf_counter() - start
    return subject


def _subject_alpha(
    entry: Mapping[str, Any], photo: Photo, full_size: tuple[int, int], name: str, *, soft: bool
) -> NumpyArray:
    """Returns the alpha of a subject, [h, w] of the background's dtype: its photo's, that of the recipe, or both."""
    if entry["mask"] is None:
        assert photo.alpha is not None  # noqa: S101  # the recipe was checked
        return photo.alpha
    mask = mask_over(entry["mask"], name, full_size, photo.levels, soft=soft)
    alpha = in_dtype(mask, photo.pixels.dtype)
    return alpha if photo.alpha is None else np.minimum(alpha, photo.alpha)


def _front_mask(
    recipe: Mapping[str, Any], entry: Mapping[str, Any], background: NumpyArray, name: str
) -> NumpyArray | None:
    """Returns the mask of people in front of a subject in the background [h, w, 3], [h, w] uint8; None without any."""
    if entry.get("cover") is None:
        return None
    width, height = (int(v) for v in recipe["size"])
    return mask_over(entry["cover"], name, (width, height), image_levels(background))


@contextlib.contextmanager
def _named_after(step: str) -> Iterator[None]:
    """Prefixes the argument of an error with the argument of compose that contains it, such as shadow.contact."""
    try:
        yield
    except PyHarmonyError as error:
        raise error.within("", None if error.argument is None else f"{step}.{error.argument}") from None


def _shade(
    canvas: NumpyArray, subject: PlacedSubject, alpha: NumpyArray, front_mask: NumpyArray | None,
    options: Mapping[str, Any], ratio: float, is_explicit: bool,
) -> None:  # fmt: skip
    """Draws the shadow of a subject into the canvas, except on people in front of it.

    is_explicit: whether the caller asked for a shadow, and is warned if there is none.
    """
    is_told = any(options.get(name) is not None for name in _DIRECTIONS)
    light = {} if is_told else _HIGH_LIGHT
    arguments, at = {**light, **in_canvas_pixels(options, ratio)}, subject.region.origin[::-1]
    info: ShadowInfo
    with quiet(), _named_after("shadow"):
        info = as_step(shadow, canvas, in_levels(alpha), at, np.empty_like(canvas), **arguments)
    if info.layer is None:
        reason = info.reason.within("no shadow: ")
        if is_explicit and info.reason.code == "shadow-outside":
            subject.warn(reason, Reason("another-light", "another direction of the light, or a tip, makes it visible"))
        else:
            subject.reasons.append(reason)
        return
    region = bounding_box(info.layer[..., 3])
    if region.empty:
        return
    factor = np.empty((*region.shape, 3), np.uint8)
    subject.shadow = factor, region
    for band in _rows(region):
        layer = band.of(info.layer)
        share = layer[..., 3:].astype(np.float64) / 255
        if front_mask is not None:
            share *= 1 - band.of(front_mask)[..., None].astype(np.float64) / 255
        own, part = band.of(factor, region.origin), band.of(canvas)
        own[...] = np.rint(255 * (1 - share) + share * layer[..., :3])
        values = part * (own.astype(np.float64) / 255)
        part[...] = np.rint(values) if canvas.dtype.kind == "u" else values


def _reflect(
    canvas: NumpyArray, subject: PlacedSubject, alpha: NumpyArray, front_mask: NumpyArray | None,
    entry: Mapping[str, Any], ratio: float,
) -> None:  # fmt: skip
    """Draws the reflection of a subject into the canvas, except on people in front of it."""
    whole = canvas.copy()
    over(subject.region.of(whole), subject.colours, alpha)
    arguments, at = in_canvas_pixels(entry["reflection"], ratio, _REFLECTION_OFFSET), subject.region.origin[::-1]
    info: ReflectionInfo
    with quiet(), _named_after("reflection"):
        info = as_step(reflection, whole, in_levels(alpha), at, whole, **arguments)
    if info.layer is None:
        remedy = Reason("say-contact", "pass a contact, the row at which the object touches the ground")
        subject.warn(info.reason.within("no reflection: "), remedy)
        return
    region = bounding_box(info.layer[..., 3])
    if region.empty:
        return
    layer = region.of(info.layer).copy()
    if front_mask is not None:
        layer[..., 3] = _scaled(layer[..., 3], 255 - region.of(front_mask))
    subject.reflection = layer, region
    over(region.of(canvas), layer[..., :3], layer[..., 3])


def _match(
    canvas: NumpyArray, subject: PlacedSubject, recipe: Mapping[str, Any], entry: Mapping[str, Any], photo: Photo,
    mask: NumpyArray, ratio: float,
) -> None:  # fmt: skip
    """Matches light and colour, sharpness and grain of a subject to the background."""
    region, bands = subject.region, list(_rows(subject.region))
    origin, visible = region.origin, (subject.alpha > 0)[..., None]
    # The subject is drawn into the canvas while it is matched, which saves the memory of a copy of the canvas.
    below = copied(region.of(canvas))

    def put(band: Region) -> None:
        np.copyto(band.of(canvas), band.of(subject.colours, origin), where=band.of(visible, origin))

    def take(band: Region) -> None:
        np.copyto(band.of(subject.colours, origin), band.of(canvas), where=band.of(visible, origin))

    try:
        in_threads(put, bands)
        _match_on(canvas, subject, visible, recipe, entry, photo, mask, ratio)
        in_threads(take, bands)
    finally:
        copied(below, region.of(canvas))


def _match_on(
    canvas: NumpyArray, subject: PlacedSubject, visible: NumpyArray, recipe: Mapping[str, Any],
    entry: Mapping[str, Any], photo: Photo, mask: NumpyArray, ratio: float,
) -> None:  # fmt: skip
    """Matches a subject that is drawn in the canvas; visible: [h, w, 1] bool, its visible pixels in its region."""
    region, hard = subject.region, visible[..., 0].view(np.uint8) * np.uint8(255)
    options = entry.get("harmonize")
    if options is not None:
        start = time.perf_counter()
        hints: dict[str, Any] = {}
        if options.get("source"):
            size = fitted(photo.pixels.shape[1::-1], _SOURCE)
            small, where = resized(photo.pixels, size), resized(_no_scene(photo, mask), size)
            if (where < 128).mean() > 0.1:
                hints |= {"source": small, "source_mask": where}
        if options.get("reference_heads"):
            like = _faces(canvas, options["reference_heads"], ratio)
            np.copyto(region.of(like), 0, where=visible[..., 0])
            if (like >= 128).sum() >= 64:
                hints["reference_mask"] = like
        try:
            arguments = {"method": options["method"], "strength": options["strength"], **hints}
            info = as_step(harmonize, canvas, hard, region.origin[::-1], canvas, **arguments)
        except WeightsError as error:
            raise error.within("", "harmonize") if error.argument == "method" else error from None
        subject.harmonized = info
        if info.reason:
            subject.reasons.append(info.reason.within("colours: "))
        if options["light"] is not None:
            _relight(canvas, subject, hard, options["light"], options["strength"])
        subject.seconds["harmonize"] = time.perf_counter() - start
    match: Any
    for key, match in (("sharpness", match_sharpness), ("grain", match_grain)):
        share = float(entry.get(key, 0))
        if not share:
            continue
        start = time.perf_counter()
        around = region.expand(max(_MIN_CONTEXT_PIXELS, round(_CONTEXT_SHARE * max(region.shape))), canvas.shape)
        extra = {"seed": int(recipe.get("seed", 0))} if key == "grain" else {}
        part, at = around.of(canvas), (region.x0 - around.x0, region.y0 - around.y0)
        info = as_step(match, part, hard, at, part, strength=share, **extra)
        setattr(subject, key, info)
        subject.seconds[key] = time.perf_counter() - start


def _relight(
    canvas: NumpyArray, subject: PlacedSubject, hard: NumpyArray, light: Mapping[str, Any], strength: float
) -> None:
    """Gives a harmonized subject, drawn in the canvas, what is left of a change of light."""
    region = subject.region
    where = np.flatnonzero(in_levels(subject.alpha) >= 128)
    where = where[:: 1 + len(where) // _LIGHT_PIXELS]
    before, after = (as_float(x.reshape(-1, 3)[where]).astype(np.float64) for x in (subject.colours, region.of(canvas)))
    stops, red, blue = (strength * light[name] for name in ("stops", "red", "blue"))
    whole = Light(stops, red, blue, light["evidence"], light["white"])
    if (rest := remaining(whole, before, after)) is None:
        return
    subject.light, color_map = rest, map_of(rest, after)
    for band in _rows(region):
        part = band.of(canvas)
        part[...] = color_map.apply(part, band.of(hard, region.origin))


def _blend(canvas: NumpyArray, subject: PlacedSubject, method: str) -> None:
    """Blends a subject into the canvas."""
    region = subject.region
    if method == "alpha":
        origin, opaque = region.origin, VALUE_RANGE[canvas.dtype.name]

        def lay_tile(tile: Region) -> None:
            target, colours, alpha = tile.of(canvas), tile.of(subject.colours, origin), tile.of(subject.alpha, origin)
            if subject.covers and alpha.min() == opaque:
                target[...] = colours
            elif alpha.any():
                _lay(target, colours, alpha, subject)

        in_threads(lay_tile, subject.tiles)
        return
    around = region.expand(BESIDE, canvas.shape)
    rows, columns = region.moved(-around.y0, -around.x0).spans
    inner, visible = (slice(*rows), slice(*columns)), subject.alpha > 0
    part = laid_over(around.of(canvas).copy(), subject.colours, subject.alpha, inner, method)[inner]
    full = VALUE_RANGE[canvas.dtype.name]
    subject.colours = np.ascontiguousarray(part)
    subject.alpha = np.where(visible, np.array(full, canvas.dtype), np.array(0, canvas.dtype))
    if subject.covers:
        region.of(canvas)[visible] = part[visible]
    else:
        _lay(region.of(canvas), subject.colours, subject.alpha, subject)


def _lay(canvas: NumpyArray, colours: NumpyArray, alpha: NumpyArray, subject: PlacedSubject) -> None:
    """Draws a part of a subject, of its colours and alpha, over that of the canvas, by its opacity and mode."""
    if subject.covers:
        over(canvas, colours, alpha)
        return
    white, below = VALUE_RANGE[canvas.dtype.name], canvas.astype(np.float64)
    share = (alpha.astype(np.float64) / white * subject.opacity)[..., None]
    values = below * (1 - share) + share * mixed(colours.astype(np.float64), below, 1, subject.mode, white)
    canvas[...] = np.rint(values) if canvas.dtype.kind == "u" else values


def _scaled(alpha: NumpyArray, by: NumpyArray) -> NumpyArray:
    """Returns alpha times a mask of levels, in alpha's dtype."""
    result = np.empty_like(alpha)
    for rows in _bands(alpha.shape):
        product = alpha[rows].astype(np.float64) * (by[rows].astype(np.float64) / 255)
        result[rows] = np.rint(product) if alpha.dtype.kind == "u" else product
    return result


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yields bands of rows of a plane, which limits the memory of what is computed of them."""
    step = max(1, _PIXELS_PER_BLOCK // max(1, shape[1]))
    for y in range(0, shape[0], step):
        yield slice(y, min(y + step, shape[0]))


def _no_scene(photo: Photo, mask: NumpyArray) -> NumpyArray:
    """Returns where a photo does not show its light, [h, w] uint8: under the mask, and where it is transparent.

    The colours of a cut-out are arbitrary where its alpha is 0.
    """
    levels = in_levels(mask)
    return levels if photo.alpha is None else np.where(photo.alpha > 0, levels, np.uint8(255))


def _faces(canvas: NumpyArray, heads: Any, ratio: float) -> NumpyArray:
    """Returns the mask [H, W] uint8 of the faces in rectangles of heads."""
    mask = np.zeros(canvas.shape[:2], np.uint8)
    for x, y, wide, high in heads:
        x, y, wide, high = (v * ratio for v in (x, y, wide, high))
        region = Region(int(y), math.ceil(y + high), int(x), math.ceil(x + wide)).overlap(Region.whole(mask.shape))
        if region.empty:
            continue
        v, u = np.mgrid[region.y0 : region.y1, region.x0 : region.x1] + 0.5
        inside = ((u - x - wide / 2) / (_FACE[0] * wide)) ** 2 + ((v - y - _FACE[2] * high) / (_FACE[1] * high)) ** 2
        region.of(mask)[inside <= 1] = 255
    return mask
