"""Draws the shadow of an object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks, _reprs
from .._arrays import VALUE_RANGE, Float32, NumpyArray
from .._images.call import Call, on_object, unchanged
from .._images.frame import Job
from .._images.levels import levels_of_shares
from .._images.region import Region, as_float
from .._images.threads import in_threads
from ..errors import NO_REASON, ArgumentError, Reason
from ..typing import Position
from ._begin import MaskedObject, begin
from ._cast import Scene, Shade, cast
from ._geometry import Line, Rays, View, beams_of, direction_of, rays_of, rays_through
from ._grid import Band, Grid, Spread, spread
from ._ground import Darkness, Outline, contact_of, darkness_of, outline_of
from ._lines import check_near, line_of, point_of, row_of
from ._parts import MIDDLES, border, covered
from ._soft import deviation

#: The number of rows of an image that are computed at once.
_ROWS = 64
#: The least elevation of a source, in degrees: for lower ones the shadows in an image do not become longer.
_MIN_ELEVATION = 0.01
_HORIZON = 0.4  # the row of the horizon by default, as a share of the image's height
_FOCAL = 1.0  # the focal length, in longer sides of the image
#: The light of the sky, which an object occludes right under it.
_SKY = (180.0, 70.0)  # the azimuth and elevation of its centre, in degrees
_SKY_DIAMETER = 60.0  # its angular diameter, in degrees
_OCCLUDER_SHARE = 0.15  # the lowest share of the object's height, which alone occludes it
_SHARE = 0.6  # its shadow's strength, as a share of that of the main shadow
_GROUND = 1.0  # the width of the ground that is measured on each side of the object, in widths of the object
_PARTS = 128  # the largest number of parts along a side whose mean colours are compared
_MIN_GROUND_SHARE = 0.9  # the least share of a part that must be ground

#: The reasons why nothing is drawn.
_SHADOW_OUTSIDE = Reason("shadow-outside", "the shadow is outside of the image")
_NO_STRENGTH = Reason("no-strength", "both strength and under are 0")


@dataclass(frozen=True, repr=False)
class ShadowInfo(_reprs.Line):
    """A record of a shadow.

    Attributes:
        method: 'cast', or 'copy' if nothing was drawn.
        layer: the shadow as a layer of blend mode multiply, [H, W, 4] uint8. It continues under the object, which has
            to be above it. None if nothing was drawn.
        contact: the line on which the object stands, as the row at the left edge and its slope, in pixels.
        horizon: the row of the horizon.
        strength: the share of the light that is missing in the full shadow, 0 to 1.
        tint: the colour of the remaining light, a factor for red, green and blue each, of mean 1.
        reason: why nothing was drawn, in a few words; else empty.
        milliseconds: the wall time of the item.
        peak_bytes: the largest scratch memory, without the caller's arrays and the result.

    Example:
        >>> from pyharmony import shadows
        >>> mask = np.zeros((60, 80), np.uint8)
        >>> mask[10:40, 30:40] = 255
        >>> result, info = shadows.shadow(np.full((60, 80, 3), 200, np.uint8), mask, return_info=True)
        >>> info.method, info.contact, info.layer.shape
        ('cast', (39.0, 0.0), (60, 80, 4))
    """

    method: str
    layer: npt.NDArray[np.uint8] | None
    contact: tuple[float, float]
    horizon: float
    strength: float
    tint: tuple[float, float, float]
    reason: Reason = NO_REASON
    milliseconds: float = 0.0
    peak_bytes: int = 0


class _Options(NamedTuple):
    """The checked options of a shadow; None is estimated from the image. With a tip the two angles are not used."""

    azimuth: float
    elevation: float
    tip: tuple[float, float] | None
    softness: float
    contact: Line | None
    horizon: float | None
    wall: Line | None
    depth: float
    strength: float | None
    tint: tuple[float, float, float] | None
    under: float


@on_object
def shadow(
    call: Call,
    *,
    azimuth: float = 150.0,
    elevation: float = 45.0,
    tip: Position | None = None,
    softness: float = 4.0,
    strength: float | None = None,
    tint: tuple[float, float, float] | None = None,
    under: float = 1.0,
    contact: float | tuple[Position, Position] | None = None,
    horizon: float | None = None,
    wall: float | tuple[Position, Position] | None = None,
    depth: float = 0.0,
) -> Any:
    """Draws the shadow of an object on the ground under it, and on a wall behind it.

    The model is an upright card, the object's mask, on a horizontal ground, seen by a level camera; its shadow is
    computed by projective geometry. The penumbra grows with the distance from the part that casts it. Right under the
    object, which occludes the sky, too, the ground is darker.

    Args:
        image: the image, with or without the object in it, see `pyharmony.blend`.
        mask: the mask of the object, of the image's size, soft; of any kind that `pyharmony.blend` accepts. The object
            itself does not change.
        at: (x, y), the position in the image of the first pixel of a mask of another size; see `pyharmony.harmonize`.
        azimuth: the direction of the light, in degrees to the right of the viewing direction: at 0 the source is in
            front of the camera and shadows point towards it, at 90 at the right, at 180 behind the camera.
        elevation: the height of the source over the horizon, in degrees above 0, to 85; below 0.01 it counts as that.
        tip: (x, y), the end on the ground of the shadow of the object's highest pixel, instead of the two angles.
        softness: the angular diameter of the source, in degrees from 0 to 90: 0.5 for the sun, 4 for a bright haze, 30
            for a window.
        strength: the share of the light that is missing in the full shadow, 0 to 1; None: estimated from the shadows on
            the ground around the object. 0: only the contact shadow is drawn, for which it is estimated.
        tint: the colour of the light in the shadow, a factor for red, green and blue each; only their ratios count.
            None: estimated likewise.
        under: the share of the sky's light that the object occludes right under it, 0 to 1.
        contact: the line on which the object meets the ground: a row, or two points (x, y). None: its lowest pixels.
        horizon: the row of the horizon, which may be outside of the image; None: at 0.4 of its height, or above the
            contact.
        wall: the line on which an upright wall behind the object meets the ground: a row, or two points (x, y). None:
            there is no wall.
        depth: the thickness of the object, as the relative decrease of the size of its back in the image, 0 to 0.5.
        keep_gps, errors, out: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda'; the shadow is drawn on the CPU, and arrays on a CUDA device are copied.
        return_info: whether to return a ShadowInfo too, with the shadow as a layer, or one for each item.

    Returns:
        The image, in its own kind, layout, shape and dtype, or (image, info). Pixels with a full mask are those of
        image, bit for bit. Floats outside of [0, 1] are not clipped.

    Raises:
        MaskError: mask is None.
        ArgumentError: a number is outside of its range; the contact is not below the horizon; the tip is not on the
            ground; the wall is in front of the object; the image contains NaN or infinities.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import shadows
        >>> image = np.full((60, 80, 3), 200, np.uint8)
        >>> mask = np.zeros((60, 80), np.uint8)
        >>> mask[10:40, 30:40] = 255
        >>> result = shadows.shadow(image, mask, azimuth=20, elevation=50)
        >>> bool(result[45, 28, 0] < 200), bool(np.array_equal(result[mask > 0], image[mask > 0]))
        (True, True)
    """
    options = _Options(
        _checks.number(azimuth, "azimuth", low=-360.0, high=360.0, accepts="degrees from -360 to 360"),
        _elevation(elevation),
        None if tip is None else point_of(tip, "tip"),
        _checks.number(softness, "softness", high=90.0, accepts="degrees from 0 to 90"),
        line_of(contact, "contact"),
        None if horizon is None else row_of(horizon, "horizon"),
        line_of(wall, "wall"),
        _checks.number(depth, "depth", high=0.5, accepts="a number from 0 to 0.5"),
        None if strength is None else _checks.number(strength, "strength", high=1.0, accepts="0 to 1, or None"),
        None if tint is None else _tint(tint),
        _checks.number(under, "under", high=1.0, accepts="a number from 0 to 1"),
    )
    return call.each(partial(_draw_shadow, options=options), unchanged("no shadow was drawn: "))


def _elevation(value: Any) -> float:
    degrees = _checks.number(value, "elevation", high=85.0, accepts="degrees above 0, to 85")
    if degrees == 0:
        raise ArgumentError("elevation: 0, expected degrees above 0, to 85")
    return max(degrees, _MIN_ELEVATION)


def _tint(value: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = (
            _checks.number(x, "tint", accepts="three numbers above 0")
            for x in _checks.several(value, "tint", "three numbers above 0")
        )
    except (TypeError, ValueError):
        raise ArgumentError(f"tint: {value!r}, expected three numbers above 0") from None
    if max(red, green, blue) > 1e300:
        red, green, blue = red / 4, green / 4, blue / 4
    mean = (red + green + blue) / 3
    if min(red, green, blue) <= 0:
        raise ArgumentError(f"tint: {value!r}, expected three numbers above 0")
    return red / mean, green / mean, blue / mean


def _draw_shadow(job: Job, options: _Options) -> ShadowInfo:
    """Draws the shadow into the result of one image and returns its info."""
    object_ = begin(job)
    if object_ is None:
        return ShadowInfo("copy", None, (0.0, 0.0), 0.0, 0.0, (1.0, 1.0, 1.0))
    height, width = job.shape
    grid = Grid.over(width, height)
    scene = _scene(grid, object_, options)
    rays = _rays(scene, options, grid)
    azimuth, elevation = direction_of(scene.view, rays)
    dark = _darkness(job, object_, scene, grid, options)
    strength = dark.strength if options.strength is None else options.strength
    layers = []
    if strength > 0:
        beams = beams_of(scene.view, azimuth, elevation, options.softness)
        layers.append((cast(scene, beams, deviation(options.softness, elevation)), strength))
    if options.under > 0:
        sky = [rays_of(scene.view, *_SKY)]
        shade = cast(scene.lowest(_OCCLUDER_SHARE), sky, deviation(_SKY_DIAMETER, _SKY[1]))
        layers.append((shade, dark.strength * options.under * _SHARE))
    shades = [(shade, amount) for shade, amount in layers if shade is not None]
    contact = options.contact or grid.line_of_image(scene.contact)
    horizon = grid.row_of_image(scene.view.horizon) if options.horizon is None else options.horizon
    estimates = (contact.start, contact.slope), horizon, strength, dark.tint
    if not shades:
        return ShadowInfo("copy", None, *estimates, reason=_SHADOW_OUTSIDE if layers else _NO_STRENGTH)
    layer = np.zeros((height, width, 4), np.uint8)
    box, share = _combined(shades)
    # The colour of the full shadow, the layer's factor.
    full = np.clip((1 - max(amount for _, amount in shades)) * np.array(dark.tint), 0, 1)
    _draw(job, spread(grid, share, box, _ROWS), full, layer, grid.coarse)
    return ShadowInfo("cast", layer, *estimates)


def _scene(grid: Grid, object_: MaskedObject, options: _Options) -> Scene:
    """Returns the object and its surroundings on the grid."""
    card, box = grid.card(object_.mask, object_.box, object_.white)
    outline = outline_of(card, box)
    if options.contact is None:
        contact = contact_of(outline)
    else:
        check_near(options.contact, "contact", (object_.box.x0, object_.box.x1 - 1), grid.image_size[1])
        contact = grid.line(options.contact)
    view = _view(grid, contact, options.horizon, outline)
    wall = _wall_line(options.wall, contact, view, outline, grid)
    return Scene(card, box, grid.size, outline, contact, view, wall, options.depth)


def _view(grid: Grid, contact: Line, horizon: float | None, outline: Outline) -> View:
    """Returns the camera; its horizon is above the contact of the object."""
    width, height = grid.size
    foot = contact.at((outline.left + outline.right) / 2)
    if horizon is None:
        # An object high in the image is seen from a low camera.
        row = min(_HORIZON * height - 0.5, foot - 0.15 * (outline.bottom - outline.top))
    else:
        row = grid.row(horizon)
        if foot <= row:
            raise ArgumentError(
                f"horizon: {horizon:g}, and the object meets the ground at {grid.row_of_image(foot):g}; expected a "
                "row above that"
            )
    return View(row, (width - 1) / 2, _FOCAL * max(height, width))


def _wall_line(wall: Line | None, contact: Line, view: View, outline: Outline, grid: Grid) -> Line | None:
    """Returns the lower line of a wall on the grid, after a check that it is between horizon and contact."""
    if wall is None:
        return None
    middle = (outline.left + outline.right) / 2
    line = grid.line(wall)
    if not view.horizon < line.at(middle) <= contact.at(middle):
        at, horizon, foot = (grid.row_of_image(y) for y in (line.at(middle), view.horizon, contact.at(middle)))
        raise ArgumentError(
            f"wall: meets the ground at {at:g} behind the object, expected a row between the horizon at {horizon:g} "
            f"and the contact at {foot:g}"
        )
    return line


def _rays(scene: Scene, options: _Options, grid: Grid) -> Rays:
    """Returns the rays of the light, by its angles or by the end of the shadow of the object's highest point."""
    if options.tip is None:
        return rays_of(scene.view, options.azimuth, options.elevation)
    tip, (x, y) = grid.place(options.tip), scene.outline.summit
    foot = scene.contact.at(x)
    if tip[1] <= scene.view.horizon:
        horizon = grid.row_of_image(scene.view.horizon)
        raise ArgumentError(f"tip: {options.tip} is not on the ground, expected a row below the horizon at {horizon:g}")
    if math.hypot(tip[0] - x, tip[1] - foot) < 1 or y >= foot:
        raise ArgumentError(f"tip: {options.tip} is at the foot of the object, expected a place at some distance")
    with np.errstate(all="ignore"):
        rays = rays_through(scene.view, (x, y), (x, foot), tip)
    if not (np.isfinite(rays.light).all() and np.isfinite(rays.ground).all() and rays.rise):
        raise ArgumentError(f"tip: {options.tip} is not reached by a shadow for any light, expected another place")
    return rays


def _darkness(job: Job, object_: MaskedObject, scene: Scene, grid: Grid, options: _Options) -> Darkness:
    """Returns the darkness of the shadow, as passed or estimated from the ground around the object.

    The strength is estimated for 0, too. The object's own pixels are not ground, and the image may contain them or not.
    """
    if options.strength and options.tint is not None:
        return Darkness(options.strength, options.tint)
    outline, foot, (width, height) = scene.outline, scene.foot[1], grid.size
    reach = _GROUND * (outline.right - outline.left)
    sides = (max(-0.5, outline.left - reach), min(width - 0.5, outline.right + reach))
    ends = (max(-0.5, scene.view.horizon, foot - reach), height - 0.5)
    if ends[1] <= ends[0] or sides[1] <= sides[0]:
        # The ground is outside of the image.
        darkness = darkness_of(np.empty((0, 3)))
    else:
        ground, beside = grid.parts(job.dst, sides, ends, _PARTS, object_.mask, object_.box, object_.white)
        darkness = darkness_of(ground[beside >= _MIN_GROUND_SHARE] / np.float32(VALUE_RANGE[job.dst.dtype.name]))
    return Darkness(
        options.strength or darkness.strength,
        darkness.tint if options.tint is None else options.tint,
    )


def _combined(shades: list[tuple[Shade, float]]) -> tuple[Region, Float32]:
    """Returns the light that shades occlude together, as a share of that of the darkest of them, and its box."""
    box = Region.around([shade.box for shade, _ in shades])
    light = np.ones(box.shape, np.float32)
    for shade, amount in shades:
        part = shade.box.of(light, box.origin)
        part *= 1 - np.float32(amount) * shade.values
    share = (1 - light) / np.float32(max(amount for _, amount in shades))
    return box, np.minimum(share, 1, out=share)


def _outside_object(share: Float32, job: Job, region: Region, shadow: Spread) -> Float32:
    """Returns the share of each pixel over a region that is in the shadow and not covered by the object.

    share: the share of each pixel that is in the shadow.
    """
    around = region.expand(1, job.shape)
    mask = as_float(job.mask_of(around))
    own = region.of(mask, around.origin)
    outside: Float32 = share * (1 - own)
    # In a partly covered pixel the object may cover the part that is in the shadow.
    rows, columns = border(mask)
    places = np.stack([rows + around.y0 - region.y0, columns + around.x0 - region.x0])
    rows, columns = places[:, ((places >= 0) & (places < np.array([share.shape]).T)).all(0)]
    dark = share[rows, columns] > 0
    rows, columns = rows[dark], columns[dark]
    inside = shadow.at(region.y0 + rows[:, None, None] + MIDDLES[:, None], region.x0 + columns[:, None, None] + MIDDLES)
    parts = covered(mask, (rows + region.y0 - around.y0, columns + region.x0 - around.x0))
    # The correction is 0 for parts that are covered evenly, so that the mean of the shadow over the pixel is kept.
    outside[rows, columns] -= ((parts - own[rows, columns][:, None, None]) * inside).mean((1, 2)).astype(np.float32)
    return np.clip(outside, 0, 1, out=outside)


def _draw(job: Job, shadow: Spread, full: npt.NDArray[np.float64], layer: NumpyArray, coarse: bool) -> None:
    """Writes the layer, and multiplies the image by the remaining light, outside of the object.

    The layer does not depend on the mask's borders: so the layer of a smaller image is that of a larger one, reduced.
    """
    channels, box = job.dst.shape[2], shadow.box
    less = [np.float32(1 - x) for x in (full if channels == 3 else [full.mean()])]
    # The four bytes of a pixel of the layer for each alpha; transparent pixels are black.
    colours = np.zeros((256, 4), np.uint8)
    colours[1:, :3], colours[:, 3] = levels_of_shares(full), np.arange(256)
    pixels = layer.view(np.uint32)[..., 0]
    packed = colours.view(np.uint32)[:, 0]

    def draw(band: Band) -> None:
        shaded = np.flatnonzero(shadow.wide[band.inputs].any(0))
        if not len(shaded):
            return
        columns = slice(int(shaded[0]), int(shaded[-1]) + 1)
        share = shadow.part(band, columns)
        rows = band.outputs
        region = Region(rows.start, rows.stop, columns.start, columns.stop).moved(*box.origin)
        np.clip(share, 0, 1, out=share)
        np.take(packed, levels_of_shares(share), out=region.of(pixels), mode="clip")
        object_region = region.overlap(job.bbox)
        if not object_region.empty:
            part = object_region.of(share, region.origin)
            part[...] = (
                _outside_object(part, job, object_region, shadow)
                if coarse
                else part * (1 - as_float(job.mask_of(object_region)))
            )
        before, after = region.of(job.dst), region.of(job.out)
        for channel, missing in enumerate(less):
            factor = np.subtract(1, missing * share)
            values = np.multiply(before[..., channel], factor)
            if after.dtype.kind == "u":
                np.rint(values, out=values)
            # Factors from 0 to 1 keep values in the range.
            np.copyto(after[..., channel], values, casting="unsafe")

    in_threads(draw, shadow.rows)
