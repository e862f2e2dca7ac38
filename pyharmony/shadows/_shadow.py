"""The call that gives an object its shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks, _reprs
from .._arrays import VALUE_RANGE, NumpyArray
from .._images.call import Call, on_object, unchanged
from .._images.frame import Job
from .._images.levels import levels_of_shares
from .._images.region import Region, as_float
from .._images.threads import in_threads
from ..errors import NO_REASON, ArgumentError, Reason
from ..typing import Position
from ._begin import MaskedObject, begun
from ._cast import Scene, Shade, cast
from ._geometry import Line, Rays, View, beams_of, direction_of, rays_of, rays_through
from ._grid import Band, Box, Grid, Spread, spread
from ._ground import Darkness, Outline, contact_of, darkness_of, outline_of
from ._lines import check_near, line_of, point_of, row_of
from ._parts import MIDDLES, border, covered
from ._soft import Float32, deviation

#: The rows of an image that are worked on at once.
_ROWS = 64
#: The least elevation of a source, in degrees: the shadows of lower ones are not longer in any picture.
_LOWEST = 0.01
_HORIZON = 0.4  # the row of the horizon by default, as a share of the image's height
_FOCAL = 1.0  # the focal length, in longer sides of the image
#: The light of the sky, which an object keeps from the ground right under it.
_SKY = (180.0, 70.0)  # the azimuth and elevation of its centre, in degrees
_WIDE = 60.0  # the angle under which it is seen, in degrees
_LOW = 0.15  # the lowest share of the object's height, which alone blocks it
_SHARE = 0.6  # its shadow's strength, as a share of that of the main shadow
_GROUND = 1.0  # the width of the ground that is measured on each side of the object, in widths of the object
_PARTS = 128  # the most parts along a side whose mean colours are compared
_BARE = 0.9  # the least share of a part that must be ground

#: Why nothing is drawn.
_OUTSIDE = Reason("shadow-outside", "the shadow lies outside of the image")


@dataclass(frozen=True, repr=False)
class ShadowInfo(_reprs.Line):
    """A record of the shadow that was drawn.

    Attributes:
        method: 'cast', or 'copy' where nothing was drawn.
        layer: the shadow by itself, [H, W, 4] uint8, for an image of layers: by its colour what lies below is
            multiplied, as far as its alpha says. It goes on beneath the object, which belongs above it. None where
            nothing was drawn.
        contact: the line on which the object stands, as the row at the left edge and its slope, in pixels.
        horizon: the row of the horizon.
        strength: how much darker the ground is where no light of the source arrives, 0 to 1.
        tint: the colour of what is left, a factor for red, green and blue each, of mean 1.
        reason: why nothing was drawn, in a few words; else empty.
        milliseconds: the wall time of the item.
        peak_bytes: the most scratch held at once beside the caller's arrays and the result.

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


class _Light(NamedTuple):
    """Where light comes from, checked: two angles, or the tip of the shadow; and how wide the source is, in degrees."""

    azimuth: float
    elevation: float
    tip: tuple[float, float] | None
    softness: float


class _Place(NamedTuple):
    """Holds what the caller says of the ground: lines and rows in pixels, or None."""

    contact: Line | None
    horizon: float | None
    wall: Line | None
    depth: float


class _Look(NamedTuple):
    """Holds what the caller says of the look; None leaves it to the picture."""

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
    """Draws the shadow of an object on the ground that it stands on, and on a wall behind it.

    The object is taken for an upright card, its mask, on a horizontal ground, seen by a camera that looks level; what
    the light throws of it is found by projective geometry. The penumbra grows with the distance from what casts it.
    Right under the object, where the sky is hidden too, the ground is darker still.

    Args:
        image: the picture, with the object in it or without, see `pyharmony.blend`.
        mask: where the object is, of the image's size, soft; of any kind that `pyharmony.blend` takes. The object
            itself stays as it is.
        at: (x, y), the position in the image of the first pixel of a mask of another size; see `pyharmony.harmonize`.
        azimuth: where the light comes from, in degrees to the right of where the camera looks: at 0 the source is
            before the camera and shadows come towards it, at 90 the source is at the right, at 180 behind the camera.
        elevation: how high the source is over the horizon, in degrees above 0, to 85; below 0.01 it counts as that.
        tip: (x, y), where on the ground the shadow of the object's highest pixel ends, in place of the two angles.
        softness: the angle under which the source is seen, in degrees from 0 to 90: 0.5 for the sun, 4 for a bright
            haze, 30 for a window.
        strength: how much darker the ground is in the full shadow, 0 to 1; None: as the shadows of the ground around
            the object.
        tint: the colour of the light in the shadow, a factor for red, green and blue each; only their ratios count.
            None: as that of the shadows of the ground.
        under: how much of the sky's light is kept from the ground right under the object, 0 to 1.
        contact: where the object meets the ground: a row, or two points (x, y) of a line. None: its lowest pixels.
        horizon: the row of the horizon, which may lie beyond the image; None: at 0.4 of its height, or above the
            contact.
        wall: where an upright wall meets the ground: a row, or two points (x, y) of a line, behind the contact. None:
            there is no wall.
        depth: how thick the object is, as the share by which its back looks smaller than its front, 0 to 0.5.
        keep_gps, errors, out: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda'; the shadow is drawn on the CPU, and arrays on a CUDA device are copied.
        return_info: whether to return a ShadowInfo too, with the shadow as a layer, or one for each item.

    Returns:
        The image, in its own kind, layout, shape and dtype, or (image, info). Where the mask is full it is image, bit
        for bit. Floats beyond [0, 1] stay beyond.

    Raises:
        MaskError: mask is None.
        ArgumentError: a number is outside of its range; the contact is not below the horizon; the tip is not on the
            ground; the wall is before the object; the image holds NaN or infinities.
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
    light = _Light(
        _checks.number(azimuth, "azimuth", low=-360.0, high=360.0, accepts="degrees from -360 to 360"),
        _elevation(elevation),
        None if tip is None else point_of(tip, "tip"),
        _checks.number(softness, "softness", high=90.0, accepts="degrees from 0 to 90"),
    )
    row = None if horizon is None else row_of(horizon, "horizon")
    place = _Place(
        line_of(contact, "contact"),
        row,
        line_of(wall, "wall"),
        _checks.number(depth, "depth", high=0.5, accepts="a number from 0 to 0.5"),
    )
    look = _Look(
        None if strength is None else _checks.number(strength, "strength", high=1.0, accepts="0 to 1, or None"),
        None if tint is None else _tint(tint),
        _checks.number(under, "under", high=1.0, accepts="a number from 0 to 1"),
    )
    blend = partial(_drawn, light=light, place=place, look=look)
    return call.each(blend, unchanged("no shadow was drawn: "))


def _elevation(value: Any) -> float:
    degrees = _checks.number(value, "elevation", high=85.0, accepts="degrees above 0, to 85")
    if degrees == 0:
        raise ArgumentError("elevation: 0, expected degrees above 0, to 85")
    return max(degrees, _LOWEST)


def _tint(value: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = (_checks.number(x, "tint", accepts="three numbers above 0") for x in value)
    except (TypeError, ValueError):
        raise ArgumentError(f"tint: {value!r}, expected three numbers above 0") from None
    if max(red, green, blue) > 1e300:
        red, green, blue = red / 4, green / 4, blue / 4
    mean = (red + green + blue) / 3
    if min(red, green, blue) <= 0:
        raise ArgumentError(f"tint: {value!r}, expected three numbers above 0")
    return red / mean, green / mean, blue / mean


def _drawn(job: Job, light: _Light, place: _Place, look: _Look) -> ShadowInfo:
    """Draws the shadow into the result of one image and returns its info."""
    object_ = begun(job)
    if object_ is None:
        return ShadowInfo("copy", None, (0.0, 0.0), 0.0, 0.0, (1.0, 1.0, 1.0))
    height, width = job.shape
    grid = Grid.over(width, height)
    scene = _scene(grid, object_, place)
    rays = _rays(scene, light, grid)
    azimuth, elevation = direction_of(scene.view, rays)
    dark = _darkness(job, object_, scene, grid, look)
    layers = []
    if dark.strength > 0:
        beams = beams_of(scene.view, azimuth, elevation, light.softness)
        layers.append((cast(scene, beams, deviation(light.softness, elevation)), dark.strength))
        if look.under > 0:
            sky = [rays_of(scene.view, *_SKY)]
            shade = cast(scene.lowest(_LOW), sky, deviation(_WIDE, _SKY[1]))
            layers.append((shade, dark.strength * look.under * _SHARE))
    shades = [(shade, amount) for shade, amount in layers if shade is not None]
    contact = place.contact or grid.line_of_image(scene.contact)
    horizon = grid.row_of_image(scene.view.horizon) if place.horizon is None else place.horizon
    estimates = (contact.start, contact.slope), horizon, dark.strength, dark.tint
    if not shades:
        return ShadowInfo("copy", None, *estimates, reason=_OUTSIDE)
    layer = np.zeros((height, width, 4), np.uint8)
    box, share = _joined(shades)
    # The colour of the full shadow, by which the layer multiplies.
    full = np.clip((1 - max(amount for _, amount in shades)) * np.array(dark.tint), 0, 1)
    _draw(job, spread(grid, share, box, _ROWS), full, layer, grid.coarse)
    return ShadowInfo("cast", layer, *estimates)


def _scene(grid: Grid, object_: MaskedObject, place: _Place) -> Scene:
    """Returns the object and what it stands in on the grid."""
    card, box = grid.card(object_.mask, object_.box, object_.white)
    outline = outline_of(card, box)
    if place.contact is None:
        contact = contact_of(outline)
    else:
        check_near(place.contact, "contact", (object_.box.left, object_.box.right - 1), grid.image_size[1])
        contact = grid.line(place.contact)
    view = _view(grid, contact, place.horizon, outline)
    return Scene(card, box, grid.size, outline, contact, view, _behind(place.wall, contact, view, outline, grid),
                 place.depth)  # fmt: skip


def _view(grid: Grid, contact: Line, horizon: float | None, outline: Outline) -> View:
    """Returns how the camera sees the ground; the horizon lies above where the object stands."""
    width, height = grid.size
    foot = contact.at((outline.left + outline.right) / 2)
    if horizon is None:
        # An object that stands high in the picture is seen by a camera that looks at it from little above.
        row = min(_HORIZON * height - 0.5, foot - 0.15 * (outline.bottom - outline.top))
    else:
        row = grid.row(horizon)
        if foot <= row:
            raise ArgumentError(
                f"horizon: {horizon:g}, and the object meets the ground at {grid.row_of_image(foot):g}; expected a "
                "row above that"
            )
    return View(row, (width - 1) / 2, _FOCAL * max(height, width))


def _behind(wall: Line | None, contact: Line, view: View, outline: Outline, grid: Grid) -> Line | None:
    """Returns the line on which a wall stands on the grid; it lies between horizon and contact."""
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


def _rays(scene: Scene, light: _Light, grid: Grid) -> Rays:
    """Returns the rays of the light, by its angles or by where the shadow of the object's highest place ends."""
    if light.tip is None:
        return rays_of(scene.view, light.azimuth, light.elevation)
    tip, (x, y) = grid.place(light.tip), scene.outline.summit
    foot = scene.contact.at(x)
    if tip[1] <= scene.view.horizon:
        horizon = grid.row_of_image(scene.view.horizon)
        raise ArgumentError(f"tip: {light.tip} is not on the ground, expected a row below the horizon at {horizon:g}")
    if math.hypot(tip[0] - x, tip[1] - foot) < 1 or y >= foot:
        raise ArgumentError(f"tip: {light.tip} is at the foot of the object, expected a place beside it")
    with np.errstate(all="ignore"):
        rays = rays_through(scene.view, (x, y), (x, foot), tip)
    if not (np.isfinite(rays.light).all() and np.isfinite(rays.ground).all() and rays.rise):
        raise ArgumentError(f"tip: {light.tip} is where no light throws the shadow, expected another place")
    return rays


def _darkness(job: Job, object_: MaskedObject, scene: Scene, grid: Grid, look: _Look) -> Darkness:
    """Returns how dark the shadow is, as the caller says or as the ground around the object shows.

    The object's own pixels say nothing of the ground, and the picture may have them or not.
    """
    if look.strength is not None and look.tint is not None:
        return Darkness(look.strength, look.tint)
    outline, foot, (width, height) = scene.outline, scene.foot[1], grid.size
    reach = _GROUND * (outline.right - outline.left)
    sides = (max(-0.5, outline.left - reach), min(width - 0.5, outline.right + reach))
    ends = (max(-0.5, scene.view.horizon, foot - reach), height - 0.5)
    if ends[1] <= ends[0] or sides[1] <= sides[0]:
        # The ground is beyond the picture.
        darkness = darkness_of(np.empty((0, 3)))
    else:
        ground, beside = grid.parts(job.dst, sides, ends, _PARTS, object_.mask, object_.box, object_.white)
        darkness = darkness_of(ground[beside >= _BARE] / np.float32(VALUE_RANGE[job.dst.dtype.name]))
    return Darkness(
        darkness.strength if look.strength is None else look.strength, darkness.tint if look.tint is None else look.tint
    )


def _joined(shades: list[tuple[Shade, float]]) -> tuple[Box, Float32]:
    """Returns what shades keep from the light together, as a share of what the darkest of them keeps, and its box."""
    boxes = [shade.box for shade, _ in shades]
    box = Box(min(b.left for b in boxes), min(b.top for b in boxes), max(b.right for b in boxes),
              max(b.bottom for b in boxes))  # fmt: skip
    light = np.ones((box.bottom - box.top, box.right - box.left), np.float32)
    for shade, amount in shades:
        part = light[shade.box.top - box.top : shade.box.bottom - box.top,
                    shade.box.left - box.left : shade.box.right - box.left]  # fmt: skip
        part *= 1 - np.float32(amount) * shade.values
    share = (1 - light) / np.float32(max(amount for _, amount in shades))
    return box, np.minimum(share, 1, out=share)


def _beside(share: Float32, job: Job, region: Region, shadow: Spread) -> Float32:
    """Returns how much of each pixel over a region is both in the shadow and not the object's.

    share: how much of each pixel is in the shadow.
    """
    around = region.expand(1, job.shape)
    mask = as_float(job.mask_of(around))
    own = region.of(mask, (around.y0, around.x0))
    beside: Float32 = share * (1 - own)
    # Where the object covers a part of a pixel, it may be the part that the shadow is in.
    rows, columns = border(mask)
    places = np.stack([rows + around.y0 - region.y0, columns + around.x0 - region.x0])
    rows, columns = places[:, ((places >= 0) & (places < np.array([share.shape]).T)).all(0)]
    dark = share[rows, columns] > 0
    rows, columns = rows[dark], columns[dark]
    inside = shadow.at(region.y0 + rows[:, None, None] + MIDDLES[:, None], region.x0 + columns[:, None, None] + MIDDLES)
    parts = covered(mask, (rows + region.y0 - around.y0, columns + region.x0 - around.x0))
    # What is added is 0 for parts that are covered evenly, so that the mean of the shadow over the pixel stays.
    beside[rows, columns] -= ((parts - own[rows, columns][:, None, None]) * inside).mean((1, 2)).astype(np.float32)
    return np.clip(beside, 0, 1, out=beside)


def _draw(job: Job, shadow: Spread, full: npt.NDArray[np.float64], layer: NumpyArray, coarse: bool) -> None:
    """Writes the layer, and multiplies the image by what is left of the light, outside of the object.

    The layer knows nothing of the mask's borders: so the layer of a smaller picture is that of a larger one, reduced.
    """
    channels, box = job.dst.shape[2], shadow.box
    less = [np.float32(1 - x) for x in (full if channels == 3 else [full.mean()])]
    # The four bytes of a pixel of the layer for each alpha; what is transparent is black.
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
        region = Region(box.top + band.outputs.start, box.top + band.outputs.stop, box.left + columns.start,
                        box.left + columns.stop)  # fmt: skip
        np.clip(share, 0, 1, out=share)
        np.take(packed, levels_of_shares(share), out=region.of(pixels), mode="clip")
        object_region = region.overlap(job.bbox)
        if not object_region.empty:
            part = object_region.of(share, (region.y0, region.x0))
            part[...] = (
                _beside(part, job, object_region, shadow)
                if coarse
                else part * (1 - as_float(job.mask_of(object_region)))
            )
        before, after = region.of(job.dst), region.of(job.out)
        for channel, missing in enumerate(less):
            factor = np.subtract(1, missing * share)
            values = np.multiply(before[..., channel], factor)
            if after.dtype.kind == "u":
                np.rint(values, out=values)
            # A factor from 0 to 1 leaves no value beyond the range.
            np.copyto(after[..., channel], values, casting="unsafe")

    in_threads(draw, shadow.rows)
