"""The call that gives an object its shadow."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _checks
from .._arrays import VALUE_RANGE, NumpyArray, round_into
from .._images.call import Call, on_one_image
from .._images.frame import Frame, Job
from .._images.region import Region, as_float, check_finite
from ..errors import ArgumentError, MaskError, UnchangedWarning
from ..typing import MaskLike, OneOrMany, Position
from ._cast import Box, Cover, Scene, cast
from ._geometry import Line, Rays, View, beams_of, direction_of, rays_of, rays_through
from ._ground import Darkness, contact_of, darkness_of
from ._lines import line_of, point_of
from ._soft import Float32, deviation

#: The rows of an image that are worked on at once.
_ROWS = 256
#: The horizon of a picture that says nothing of it, as a share of its height, and the focal length, in longer sides.
_HORIZON, _FOCAL = 0.4, 1.0
#: The light of the sky, which an object keeps from the ground right under it: where it comes from, how wide it is, the
#: share of the object's height that counts, and how much of the light it is.
_SKY, _WIDE, _LOW, _SHARE = (180.0, 70.0), 60.0, 0.15, 0.6
#: What the ground is judged by: how far it reaches beside the object, in its widths.
_GROUND = 1.0


@dataclass(frozen=True)
class ShadowInfo:
    """A record of the shadow that was drawn.

    Attributes:
        method: 'cast', or 'copy' where nothing was drawn.
        layer: the shadow by itself, [H, W, 4] uint8, for an image of layers: by its colour what lies below is
            multiplied, as far as its alpha says. It is transparent where the object is. None where nothing was drawn.
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
    reason: str = ""
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


@on_one_image
def shadow(
    call: Call,
    mask: OneOrMany[MaskLike],
    *,
    at: OneOrMany[Position | None] = None,
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
        elevation: how high the source is over the horizon, in degrees above 0, to 85.
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
    if mask is None:
        raise MaskError("mask: None, expected the mask of the object")
    light = _Light(
        _checks.number(azimuth, "azimuth", low=-360.0, high=360.0, accepts="degrees from -360 to 360"),
        _elevation(elevation),
        None if tip is None else point_of(tip, "tip"),
        _checks.number(softness, "softness", high=90.0, accepts="degrees from 0 to 90"),
    )
    row = None if horizon is None else _checks.number(horizon, "horizon", low=-math.inf, accepts="a finite row")
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
    work = partial(Frame.each, blend=partial(_drawn, light=light, place=place, look=look))
    return call.with_mask(mask, at).run(work, tell=_warning_of)


def _elevation(value: Any) -> float:
    found = _checks.number(value, "elevation", high=85.0, accepts="degrees above 0, to 85")
    if found == 0:
        raise ArgumentError("elevation: 0, expected degrees above 0, to 85")
    return found


def _tint(value: Any) -> tuple[float, float, float]:
    try:
        red, green, blue = (_checks.number(x, "tint", accepts="three numbers above 0") for x in value)
    except (TypeError, ValueError):
        raise ArgumentError(f"tint: {value!r}, expected three numbers above 0") from None
    mean = (red + green + blue) / 3
    if min(red, green, blue) <= 0:
        raise ArgumentError(f"tint: {value!r}, expected three numbers above 0")
    return red / mean, green / mean, blue / mean


def _warning_of(info: ShadowInfo) -> tuple[str, type[UnchangedWarning]] | None:
    return (f"no shadow was drawn: {info.reason}", UnchangedWarning) if info.reason else None


def _drawn(job: Job, light: _Light, place: _Place, look: _Look) -> ShadowInfo:
    """Draws the shadow into the result of one image and returns its info."""
    check_finite(job.dst, "image", skip=job.holes if job.holes is not None and job.holes.any() else None)
    job.start()
    height, width = job.shape
    nothing = ShadowInfo("copy", None, (0.0, 0.0), 0.0, 0.0, (1.0, 1.0, 1.0))
    if job.bbox.empty:
        return nothing
    box = Box(job.bbox.x0, job.bbox.y0, job.bbox.x1, job.bbox.y1)
    matte = np.ascontiguousarray(as_float(job.mask_of(job.bbox)), np.float32)
    contact = place.contact or contact_of(matte, box)
    view = _view(job.shape, contact, place.horizon, box)
    scene = Scene(matte, box, (width, height), contact, view, _behind(place.wall, contact, view, box), place.depth)
    rays = _rays(scene, light)
    azimuth, elevation = direction_of(view, rays)
    found = _darkness(job, scene, look)
    layers = []
    if found.strength > 0:
        beams = beams_of(view, azimuth, elevation, light.softness)
        layers.append((cast(scene, beams, deviation(light.softness, elevation)), found.strength))
        if look.under > 0:
            low = _lowest(scene)
            sky = [rays_of(view, *_SKY)]
            layers.append((cast(low, sky, deviation(_WIDE, _SKY[1])), found.strength * look.under * _SHARE))
    covers = [(cover, amount) for cover, amount in layers if cover is not None]
    told = (contact.start, contact.slope), view.horizon, found.strength, found.tint
    if not covers:
        return ShadowInfo("copy", None, *told, reason="the shadow lies outside of the image")
    layer = np.zeros((height, width, 4), np.uint8)
    _draw(job, covers, found.tint, layer)
    return ShadowInfo("cast", layer, *told)


def _view(shape: tuple[int, int], contact: Line, horizon: float | None, box: Box) -> View:
    """Returns how the camera sees the ground; the horizon lies above where the object stands."""
    height, width = shape
    foot = contact.at((box.left + box.right) / 2)
    if horizon is None:
        # An object that stands high in the picture is seen by a camera that looks at it from little above.
        horizon = min(_HORIZON * height, foot - 0.15 * (box.bottom - box.top))
    elif foot <= horizon:
        raise ArgumentError(
            f"horizon: {horizon:g}, and the object meets the ground at {foot:g}; expected a row above that"
        )
    return View(float(horizon), (width - 1) / 2, _FOCAL * max(height, width))


def _behind(wall: Line | None, contact: Line, view: View, box: Box) -> Line | None:
    middle = (box.left + box.right) / 2
    if wall is not None and not view.horizon < wall.at(middle) <= contact.at(middle):
        raise ArgumentError(
            f"wall: meets the ground at {wall.at(middle):g} behind the object, expected a row between the horizon at "
            f"{view.horizon:g} and the contact at {contact.at(middle):g}"
        )
    return wall


def _rays(scene: Scene, light: _Light) -> Rays:
    if light.tip is None:
        return rays_of(scene.view, light.azimuth, light.elevation)
    rows, columns = np.nonzero(scene.matte >= 0.5)
    if not len(rows):
        rows, columns = np.nonzero(scene.matte == scene.matte.max())
    highest = rows == rows[0]
    x, y = scene.box.left + float(columns[highest].mean()), scene.box.top + float(rows[0])
    foot = scene.contact.at(x)
    if light.tip[1] <= scene.view.horizon:
        raise ArgumentError(
            f"tip: {light.tip} is not on the ground, expected a row below the horizon at {scene.view.horizon:g}"
        )
    if math.hypot(light.tip[0] - x, light.tip[1] - foot) < 1 or y >= foot:
        raise ArgumentError(f"tip: {light.tip} is at the foot of the object, expected a place beside it")
    return rays_through(scene.view, (x, y), (x, foot), light.tip)


def _lowest(scene: Scene) -> Scene:
    """Returns a scene with the lowest part of its object alone."""
    rows = max(2, round(_LOW * len(scene.matte)))
    box = scene.box._replace(top=scene.box.bottom - rows)
    return dataclasses.replace(scene, matte=scene.matte[-rows:], box=box, wall=None, depth=0.0)


def _darkness(job: Job, scene: Scene, look: _Look) -> Darkness:
    if look.strength is not None and look.tint is not None:
        return Darkness(look.strength, look.tint)
    height, width = job.shape
    across, foot = scene.box.right - scene.box.left, scene.contact.at((scene.box.left + scene.box.right) / 2)
    left, right = (int(x) for x in (scene.box.left - _GROUND * across, scene.box.right + _GROUND * across))
    top = int(max(scene.view.horizon, foot - _GROUND * across))
    part = job.dst[max(0, top) : height, max(0, left) : min(width, right)]
    found = darkness_of(part, VALUE_RANGE[job.dst.dtype.name])
    return Darkness(
        found.strength if look.strength is None else look.strength, found.tint if look.tint is None else look.tint
    )


def _draw(job: Job, covers: list[tuple[Cover, float]], tint: tuple[float, float, float], layer: NumpyArray) -> None:
    """Multiplies the image by what is left of the light, outside of the object, and writes the layer."""
    channels = job.dst.shape[2]
    left, right = min(c.box.left for c, _ in covers), max(c.box.right for c, _ in covers)
    top, bottom = min(c.box.top for c, _ in covers), max(c.box.bottom for c, _ in covers)
    most = max(amount for _, amount in covers)
    # The colour of the full shadow, by which the layer multiplies.
    full = np.clip((1 - most) * np.array(tint), 0, 1)
    wide = [_enlarged(cover) for cover, _ in covers]
    target = job.out
    for start in range(top, bottom, _ROWS):
        end = min(bottom, start + _ROWS)
        kept = np.ones((end - start, right - left), np.float32)
        for (cover, amount), plane in zip(covers, wide, strict=True):
            box = cover.box
            first, last = max(start, box.top), min(end, box.bottom)
            if first < last:
                part = kept[first - start : last - start, box.left - left : box.right - left]
                part *= 1 - np.float32(amount) * plane[first - box.top : last - box.top]
        share = (1 - kept) / np.float32(most)
        np.minimum(share, 1, out=share)
        share *= 1 - _object(job, start, end, left, right)
        part_of_layer = layer[start:end, left:right]
        part_of_layer[..., :3] = np.rint(255 * full)
        part_of_layer[..., 3] = np.rint(255 * share)
        factor = 1 - share[..., None] * (1 - full if channels == 3 else np.array([1 - full.mean()])).astype(np.float32)
        values = job.dst[start:end, left:right] * factor
        round_into(values, target[start:end, left:right], where=(share > 0)[..., None])


def _object(job: Job, start: int, end: int, left: int, right: int) -> Float32:
    found: Float32 = np.asarray(as_float(job.mask_of(Region(start, end, left, right))), np.float32)
    return found


def _enlarged(cover: Cover) -> Float32:
    from PIL import Image

    size = cover.box.right - cover.box.left, cover.box.bottom - cover.box.top
    found = np.asarray(Image.fromarray(cover.values).resize(size, Image.Resampling.BICUBIC))
    clipped: Float32 = np.clip(found, 0, 1)
    return clipped
