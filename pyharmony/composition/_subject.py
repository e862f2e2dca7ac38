"""Transforms a subject to its place in the background: decontaminated, enlarged, mirrored, scaled and rotated.

Only the visible part is computed, in tiles, so that time and memory do not depend on the size of the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._arrays import VALUE_RANGE, NumpyArray
from .._images.edge_colours import decontaminated
from .._images.levels import in_dtype, rounded
from .._images.region import Region, bounding_box
from .._images.sizes import block_means
from .._images.source import place, place_scaled, scaled_region
from .._images.threads import in_threads
from ..errors import Reason
from ..harmonization.light import Light
from ..typing import LayerMode
from ..upscaling.cutouts import enlarged_where
from ._adjust import Edge, with_edge
from ._plan import ENLARGED, Photo
from .warping import matrix_in, of_part, resampled, scales_at

#: Two numbers, of rows and columns or of height and width.
Pair = tuple[float, float]

#: The margin around a subject that is resampled with it, in pixels.
_MARGIN = 2
#: The least number of pixels of its photo for one of the background along each side, if it is reduced.
_MIN_OVERSAMPLING = 1.5
#: The side of the tiles in which a subject is drawn, in pixels of the background.
_TILE = 512
#: The radius of the resampling filter, in pixels of its input.
_FILTER_RADIUS = 4
#: The longer side below which a subject is not drawn, in pixels of the background.
_SPECK = 1e-3
#: The largest scaled subject that is computed as a whole before it is rotated, in pixels.
_MAX_WHOLE_PIXELS = 1 << 22


@dataclass
class PlacedSubject:
    """A subject transformed to its place in the background."""

    region: Region  # its region of the background
    colours: NumpyArray  # [h, w, 3] of the background's dtype
    alpha: NumpyArray  # [h, w] of the background's dtype, 0 where people in front occlude it
    #: The factor of the background, [h, w, 3] uint8, white without shadow, and its region; None without one.
    shadow: tuple[NumpyArray, Region] | None = None
    #: The layer over the background, [h, w, 4] of its dtype, and its region; None without one.
    reflection: tuple[NumpyArray, Region] | None = None
    opacity: float = 1.0  # a factor of alpha
    mode: LayerMode = "normal"  # how its colours mix with those below it
    reasons: list[Reason] = field(default_factory=list)  # notes about the subject
    #: Those of the reasons on which the user should act, with a hint.
    warnings: list[Reason] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # the duration of each step
    #: harmonized, grain, sharpness: the infos of the steps; None if they were skipped.
    harmonized: Any = None
    light: Light | None = None  # the change of light after `harmonize`; None if nothing was left to change
    grain: Any = None
    sharpness: Any = None

    @property
    def covers(self) -> bool:
        """Whether it replaces what is below it where its alpha is 1."""
        return self.opacity == 1 and self.mode == "normal"

    @property
    def tiles(self) -> list[Region]:
        """The tiles of its region in which it is drawn."""
        return self.region.tiles(_TILE)

    def warn(self, reason: Reason, remedy: Reason) -> None:
        """Adds a reason on which the user should act, with a hint."""
        self.reasons.append(reason)
        self.warnings.append(reason.within("", remedy))


def place_subject(
    canvas: NumpyArray, entry: Mapping[str, Any], photo: Photo, mask: NumpyArray, ratio: float, own: float
) -> PlacedSubject:
    """Returns a subject at its place in canvas [H, W, 3].

    mask: [h, w], of the photo's shape and the background's dtype.
    ratio, own: the sizes of canvas and photo relative to those in the recipe.
    """
    dtype = canvas.dtype
    shape = (canvas.shape[0], canvas.shape[1])
    box = bounding_box(mask)
    nothing = PlacedSubject(Region(0, 0, 0, 0), np.zeros((0, 0, 3), dtype), np.zeros((0, 0), dtype))
    if box.empty:
        return nothing
    scale = float(entry["scale"]) * ratio / own
    # A subject that becomes much smaller is reduced by block means first.
    longest = max(box.shape)
    if scale * longest < _SPECK:
        return nothing
    matrix = matrix_in(entry, mask.shape[::-1], ratio) if entry.get("warp") else None
    largest, scale_inside = (scale, scale) if matrix is None else _scales(matrix, box)
    every = max(1, min(int(1 / (largest * _MIN_OVERSAMPLING)), longest))
    edge = Edge.of(entry.get("adjust"), ratio / (scale_inside * every))
    box = box.expand(edge.reach * every, mask.shape)
    top, bottom = _span(box.y0, box.y1, len(mask), every)
    left, right = _span(box.x0, box.x1, mask.shape[1], every)
    alpha = block_means(_part(mask, top, bottom, left, right), every)
    angle, flip = float(entry["angle"]), bool(entry["flip"])
    # The middle of the part, from that of the photo, in pixels of the background; corners have whole coordinates.
    dx, dy = (left + right - mask.shape[1]) / 2, (top + bottom - mask.shape[0]) / 2
    dx = -dx if flip else dx
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    middle = (
        (float(entry["x"]) + 0.5) * ratio + scale * (cos * dx - sin * dy),
        (float(entry["y"]) + 0.5) * ratio + scale * (sin * dx + cos * dy),
    )
    across, down = scale * every * alpha.shape[1] / 2, scale * every * alpha.shape[0] / 2
    reach = abs(cos) * across + abs(sin) * down, abs(sin) * across + abs(cos) * down
    is_near = all(-far - 2 < at < end + far + 2 for at, far, end in zip(middle, reach, shape[::-1], strict=True))
    if matrix is None and not is_near:
        return nothing
    pixels = block_means(_part(photo.pixels, top, bottom, left, right), every)
    colours = decontaminated(pixels, alpha, (0, 0), background=photo.alpha is None)
    if edge.reach:
        own_alpha = None if photo.alpha is None else block_means(_part(photo.alpha, top, bottom, left, right), every)
        alpha, colours = with_edge(alpha, colours, edge, None if own_alpha is None else own_alpha > 0)
    source = np.concatenate([colours, alpha[..., None]], 2)
    times, reasons, seconds = 1 / every, [], {}
    if entry.get("upscale") is not None and scale > ENLARGED:
        start = time.perf_counter()
        method, times = entry["upscale"]["method"], int(entry["upscale"]["scale"])
        visible = _visible_part(source.shape[:2], shape, middle, scale, angle, flip)
        visible = visible if matrix is None else Region.whole(source.shape)
        source = enlarged_where(source, times, method, visible)
        seconds["upscale"] = time.perf_counter() - start
        reasons.append(Reason("enlarged", f"it is {scale:.1f} times as large as in its photo, enlarged by {method}"))
    real = np.float64 if dtype == np.float64 else np.float32
    if flip and matrix is None:
        source = source[:, ::-1]
    high, wide = source.shape[:2]
    scale /= times
    if matrix is not None:
        region, part = resampled(source, of_part(matrix, left, top, 1 / times), shape, real)
    elif angle == 0:
        x, y = middle[0] - scale * wide / 2, middle[1] - scale * high / 2
        x, y = (round(v) if abs(v - round(v)) < 1e-6 else v for v in (x, y))
        region, part = _upright(source, shape, (x, y), scale, real)
    else:
        region, part = _rotated(source, shape, middle, scale, angle, real)
    region_colours, region_alpha = np.zeros((*region.shape, 3), dtype), np.zeros(region.shape, dtype)

    def fill(tile: Region) -> None:
        if planes := part(tile):
            tile.of(region_colours, region.origin)[...] = rounded(planes[0], dtype)
            tile.of(region_alpha, region.origin)[...] = in_dtype(planes[1], dtype)

    in_threads(fill, region.tiles(_TILE))
    return PlacedSubject(region, region_colours, region_alpha, reasons=reasons, seconds=seconds)


#: Returns the colours and the alpha of a subject over a tile of the background; None if the subject is not there.
Part = Callable[[Region], "tuple[NumpyArray, NumpyArray] | None"]


def _upright(source: NumpyArray, shape: tuple[int, int], at: Pair, scale: float, real: type) -> tuple[Region, Part]:
    """Returns the region of a background of `shape` that a source [h, w, 4] covers, and a function for its tiles.

    at: the position of its first corner, (x, y).
    """
    x, y = at
    if scale == 1:
        shift = math.floor(y), math.floor(x)
        fraction = (y - shift[0], x - shift[1])
        layer = place(source, None, shape, shift, fraction, real=real, decontaminate=False)
        origin = layer.src_region.origin
        return layer.src_region, lambda tile: (tile.of(layer.colours, origin), tile.of(layer.mask, origin))
    region = scaled_region((source.shape[0], source.shape[1]), shape, (y, x), scale)

    def part(tile: Region) -> tuple[NumpyArray, NumpyArray] | None:
        if not _is_visible(source, [(tile.x0 - x, tile.y0 - y), (tile.x1 - x, tile.y1 - y)], scale):
            return None
        layer = place_scaled(source, None, shape, (y, x), scale, real=real, decontaminate=False, within=tile)
        return layer.colours, layer.mask

    return region, part


def _rotated(
    source: NumpyArray, shape: tuple[int, int], middle: Pair, scale: float, angle: float, real: type
) -> tuple[Region, Part]:
    """Does the same as `_upright` for a source that is scaled and then rotated about its middle at (x, y)."""
    from PIL import Image

    high, wide = source.shape[:2]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    across = (abs(cos) * wide + abs(sin) * high) * scale / 2 + 2
    down = (abs(sin) * wide + abs(cos) * high) * scale / 2 + 2
    region = Region(
        math.floor(middle[1] - down), math.ceil(middle[1] + down),
        math.floor(middle[0] - across), math.ceil(middle[0] + across),
    ).overlap(Region.whole(shape))  # fmt: skip
    size = max(1, math.ceil(high * scale)), max(1, math.ceil(wide * scale))
    upright, of_upright = _upright(source, size, (0.0, 0.0), scale, real)
    unit = VALUE_RANGE[source.dtype.name]

    def back(tile: Region) -> tuple[float, ...]:
        """Returns the affine map from corners of a tile to corners of the upright source."""
        x0, y0 = tile.x0 - middle[0], tile.y0 - middle[1]
        return (
            cos, sin, cos * x0 + sin * y0 + wide * scale / 2,
            -sin, cos, -sin * x0 + cos * y0 + high * scale / 2,
        )  # fmt: skip

    def rotated_tile(tile: Region, box: Region) -> tuple[NumpyArray, NumpyArray] | None:
        """Returns a tile; `box`: the part of the upright source that it needs."""
        below = of_upright(box)
        if below is None:
            return None
        alpha = below[1].astype(np.float32)
        if below[1].dtype.kind == "u":
            alpha /= unit
        planes = np.dstack([below[0].astype(np.float32) * alpha[..., None], alpha])
        a, b, c, d, e, f = back(tile)
        tile_size, way = (tile.shape[1], tile.shape[0]), (a, b, c - box.x0, d, e, f - box.y0)
        images = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(planes, 2, 0)]
        turned = (one.transform(tile_size, Image.Transform.AFFINE, way, Image.Resampling.BICUBIC) for one in images)
        rotated = np.dstack([np.asarray(one) for one in turned])
        share = np.clip(rotated[..., 3], 0, 1)
        colours = rotated[..., :3] / np.maximum(rotated[..., 3:], 1e-6)
        colours = np.where(share[..., None] > 1 / 512, colours, 0)
        return np.clip(colours, 0, unit), share

    def part(tile: Region) -> tuple[NumpyArray, NumpyArray] | None:
        a, b, c, d, e, f = back(tile)
        corners = [(x, y) for x in (0, tile.shape[1]) for y in (0, tile.shape[0])]
        places = [(a * x + b * y + c, d * x + e * y + f) for x, y in corners]
        columns, rows = zip(*places, strict=True)
        box = Region(
            math.floor(min(rows)) - _FILTER_RADIUS, math.ceil(max(rows)) + _FILTER_RADIUS,
            math.floor(min(columns)) - _FILTER_RADIUS, math.ceil(max(columns)) + _FILTER_RADIUS,
        ).overlap(upright)  # fmt: skip
        return None if box.empty or not _is_visible(source, places, scale) else rotated_tile(tile, box)

    if region.empty or size[0] * size[1] > _MAX_WHOLE_PIXELS:
        return region, part
    whole = rotated_tile(region, upright)
    if whole is None:
        return Region(0, 0, 0, 0), part
    return region, lambda tile: (tile.of(whole[0], region.origin), tile.of(whole[1], region.origin))


def _scales(matrix: NumpyArray, box: Region) -> Pair:
    """Returns the largest scale of a warped subject, and the mean one in its middle; box: that of its mask."""
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    corners = [(x, y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)]
    scales = scales_at(matrix, [*corners, middle])
    return float(scales.max()), math.sqrt(float(scales[-1].prod()))


def _is_visible(source: NumpyArray, places: Sequence[Pair], scale: float) -> bool:
    """Returns whether alpha of a source [h, w, 4] is above 0 somewhere in the rectangle around some places.

    places: (x, y), in pixels of the source times scale.
    """
    columns, rows = zip(*places, strict=True)
    beside = _FILTER_RADIUS * max(1 / scale, 1.0)
    box = Region(
        math.floor(min(rows) / scale - beside), math.ceil(max(rows) / scale + beside),
        math.floor(min(columns) / scale - beside), math.ceil(max(columns) / scale + beside),
    ).overlap(Region.whole(source.shape))  # fmt: skip
    return not box.empty and bool(box.of(source)[..., 3].any())


def _visible_part(
    size: tuple[int, int], shape: tuple[int, int], middle: Pair, scale: float, angle: float, flip: bool
) -> Region:
    """Returns the visible part of a subject of a size (height, width) in a background of `shape`.

    middle: the position (x, y) of its middle in the background.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = np.array([[x, y] for x in (0, shape[1]) for y in (0, shape[0])], np.float64) - middle
    x, y = (corners @ np.array([[cos, -sin], [sin, cos]])).T / scale
    sides = []
    for places, length in ((y, size[0]), (-x if flip else x, size[1])):
        places = places + length / 2
        sides += [max(0, math.floor(float(places.min())) - _FILTER_RADIUS)]
        sides += [min(length, math.ceil(float(places.max())) + _FILTER_RADIUS)]
    return Region(*sides)


def _span(start: int, end: int, size: int, every: int) -> tuple[int, int]:
    """Returns the start and end of a part of `size` pixels, with a margin, and of whole groups of pixels.

    It ends beyond the last pixel if there are too few.
    """
    start, end = max(0, start - _MARGIN), min(size, end + _MARGIN)
    end = min(size, end + -(end - start) % every)
    start = max(0, start - -(end - start) % every)
    return start, end + -(end - start) % every


def _part(values: NumpyArray, top: int, bottom: int, left: int, right: int) -> NumpyArray:
    """Returns a part of an image or plane, with the last rows and columns replicated beyond its ends."""
    inside = values[top:bottom, left:right]
    beyond = [(0, bottom - top - inside.shape[0]), (0, right - left - inside.shape[1])]
    if not any(after for _, after in beyond):
        return inside
    return np.pad(inside, [*beyond, *[(0, 0)] * (values.ndim - 2)], "edge")
