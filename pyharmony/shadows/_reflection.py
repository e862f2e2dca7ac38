"""Reflects an object in the ground under it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import _checks, _reprs
from .._arrays import VALUE_RANGE, Float32, NumpyArray, round_into
from .._images.call import Call, on_object, unchanged
from .._images.frame import Job
from .._images.region import Region, as_float
from .._images.sizes import resized
from ..errors import NO_REASON, Reason
from ..typing import Position
from ._begin import begin
from ._geometry import Line
from ._ground import contact_of, outline_of
from ._lines import check_near, line_of

#: The variance of a pixel after it is reduced, smoothed by a triangle and enlarged again, in squares of the factor: a
#: quarter for the first and the last, a half for the triangle.
_SPREAD = 0.75
#: The extent of a blur, in standard deviations.
_REACH = 3.0

#: The reasons why nothing is drawn.
_REFLECTION_OUTSIDE = Reason("reflection-outside", "the reflection is outside of the image")
_BELOW_CONTACT = Reason("below-contact", "the object is below its contact")
_NO_STRENGTH = Reason("no-strength", "strength is 0")


@dataclass(frozen=True, repr=False)
class ReflectionInfo(_reprs.Line):
    """A record of a reflection.

    Attributes:
        method: 'mirrored', or 'copy' if nothing was drawn.
        layer: the reflection as a layer of blend mode normal, [H, W, 4] in the image's dtype, transparent under the
            object. None if nothing was drawn.
        contact: the line on which the object stands, as the row at the left edge and its slope, in pixels.
        reason: why nothing was drawn, in a few words; else empty.
        milliseconds: the wall time of the item.
        peak_bytes: the largest scratch memory, without the caller's arrays and the result.

    Example:
        >>> from pyharmony import shadows
        >>> mask = np.zeros((60, 80), np.uint8)
        >>> mask[10:40, 30:40] = 255
        >>> result, info = shadows.reflection(np.full((60, 80, 3), 200, np.uint8), mask, return_info=True)
        >>> info.method, info.contact, info.layer.shape
        ('mirrored', (39.0, 0.0), (60, 80, 4))
    """

    method: str
    layer: NumpyArray | None
    contact: tuple[float, float]
    reason: Reason = NO_REASON
    milliseconds: float = 0.0
    peak_bytes: int = 0


class _Mirror(NamedTuple):
    """The checked options of the ground; a contact of None is estimated from the object."""

    strength: float
    fade: float
    blur: float
    contact: Line | None


@on_object
def reflection(
    call: Call,
    *,
    strength: float = 0.4,
    fade: float = 0.6,
    blur: float = 0.03,
    contact: float | tuple[Position, Position] | None = None,
) -> Any:
    """Draws the reflection of an object in the ground under it, such as water or a polished floor.

    The model is an upright card on a horizontal ground, seen by a level camera: a part of the object at a height in
    pixels above the contact is mirrored at the same distance below it. Higher parts are blurred more, since the ground
    is rough, and fade.

    Args:
        image: the image with the object in it, see `pyharmony.blend`.
        mask: the mask of the object, of the image's size, soft; of any kind that `pyharmony.blend` accepts. The object
            itself stays as it is.
        at: (x, y), the position in the image of the first pixel of a mask of another size; see `pyharmony.harmonize`.
        strength: the opacity of the reflection at the contact, 0 to 1.
        fade: the share of it that is lost at the height of the object's top, 0 to 1.
        blur: the standard deviation of the blur for each pixel of height, 0 to 1: 0 for a mirror, 0.03 for a polished
            floor, 0.1 for a slightly glossy one.
        contact: the line on which the object meets the ground: a row, or two points (x, y). None: its lowest pixels.
        keep_gps, errors, out: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda'; the reflection is drawn on the CPU, and arrays on a CUDA device are copied.
        return_info: whether to return a ReflectionInfo too, with the reflection as a layer, or one for each item.

    Returns:
        The image, in its own kind, layout, shape and dtype, or (image, info). Pixels above the contact with a full mask
        are those of image, bit for bit. Floats outside of [0, 1] are not clipped.

    Raises:
        MaskError: mask is None.
        ArgumentError: a number is outside of its range; the image contains NaN or infinities.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import shadows
        >>> image = np.full((60, 80, 3), 200, np.uint8)
        >>> mask = np.zeros((60, 80), np.uint8)
        >>> mask[10:40, 30:40] = 255
        >>> image[mask > 0] = 40
        >>> result = shadows.reflection(image, mask, strength=0.5, fade=0, blur=0)
        >>> result[40, 35].tolist(), result[39, 35].tolist()
        ([120, 120, 120], [40, 40, 40])
    """
    mirror = _Mirror(
        _share(strength, "strength"), _share(fade, "fade"), _share(blur, "blur"), line_of(contact, "contact")
    )
    return call.each(partial(_draw_reflection, mirror=mirror), unchanged("no reflection was drawn: "))


def _share(value: Any, name: str) -> float:
    return _checks.number(value, name, high=1.0, accepts="a number from 0 to 1")


def _draw_reflection(job: Job, mirror: _Mirror) -> ReflectionInfo:
    """Draws the reflection into the result of one image and returns its info."""
    object_ = begin(job)
    if object_ is None:
        return ReflectionInfo("copy", None, (0.0, 0.0))
    (height, width), box = job.shape, object_.box
    mask = np.ascontiguousarray(as_float(object_.mask), np.float32)
    if mirror.contact is not None:
        check_near(mirror.contact, "contact", (box.x0, box.x1 - 1), height)
    contact = mirror.contact or _contact(mask, box)
    line = contact.start, contact.slope
    flipped = _flipped(job, box, mask, contact)
    if not len(flipped) or not mirror.strength:
        reason = _NO_STRENGTH if len(flipped) else _BELOW_CONTACT
        return ReflectionInfo("copy", None, line, reason=reason)
    faded = _blurred(flipped, mirror.blur, (box.x0 == 0, box.x1 == width))
    rows, around = len(flipped), (faded.shape[1] - flipped.shape[1]) // 2
    heights = np.arange(len(faded), dtype=np.float32)[:, None, None] + np.float32(0.5)
    faded *= np.float32(mirror.strength) * np.clip(1 - np.float32(mirror.fade / rows) * heights, 0, 1)
    # Its first row is the one below the contact.
    columns = np.arange(box.x0 - around, box.x1 + around)
    first = contact.start + contact.slope * columns + 1
    bottom = math.ceil(first.max()) + len(faded)
    region = Region(math.floor(first.min()), bottom, box.x0 - around, box.x1 + around).overlap(Region.whole(job.shape))
    reflection = _shifted(faded, region.y0 - first, region.shape[0])
    reflection = reflection[:, region.x0 - int(columns[0]) : region.x1 - int(columns[0])]
    reflection *= 1 - np.asarray(as_float(job.mask_of(region)), np.float32)[..., None]
    share = reflection[..., -1:]
    if not share.any():
        return ReflectionInfo("copy", None, line, reason=_REFLECTION_OUTSIDE)
    layer = np.zeros((height, width, 4), job.dst.dtype)
    colours = np.where(share > 0, reflection[..., :-1] / np.maximum(share, np.float32(1e-6)), 0)
    round_into(colours, region.of(layer)[..., :3])
    round_into(share * np.float32(VALUE_RANGE[job.dst.dtype.name]), region.of(layer)[..., 3:])
    below = region.of(job.dst)
    values = below * (1 - share)
    values += reflection[..., :-1] if below.shape[2] == 3 else reflection[..., :1]
    round_into(values, region.of(job.out), where=share > 0)
    return ReflectionInfo("mirrored", layer, line)


def _contact(mask: Float32, box: Region) -> Line:
    """Returns the line on which an object stands; a level one has a whole row, which avoids interpolation."""
    line = contact_of(outline_of(mask, box))
    return line if line.slope else Line(float(round(line.start)))


def _flipped(job: Job, box: Region, mask: Float32, contact: Line) -> Float32:
    """Returns the object upside down [n, w, 4], from the contact to its top: premultiplied colours and the mask."""
    colours = np.broadcast_to(box.of(job.dst), (*mask.shape, 3))
    whole = np.concatenate([colours * mask[..., None], mask[..., None]], 2).astype(np.float32, copy=False)
    # Row i of the result is i rows above the contact, in each column.
    feet = contact.start + contact.slope * np.arange(box.x0, box.x1) - box.y0
    count = max(0, math.ceil(feet.max()) + 1)
    return _shifted(whole[::-1], len(whole) - 1 - feet, count)


def _shifted(values: Float32, starts: np.ndarray[Any, Any], count: int) -> Float32:
    """Returns `count` rows of values [n, w, C], each column from its own start, interpolated linearly; 0 beyond."""
    result = np.zeros((count, *values.shape[1:]), np.float32)
    whole = np.floor(starts).astype(np.intp)
    shares = (starts - whole).astype(np.float32)
    if (whole == whole[0]).all() and not shares.any():
        first, last = max(0, int(whole[0])), min(len(values), int(whole[0]) + count)
        if last > first:
            result[first - int(whole[0]) : last - int(whole[0])] = values[first:last]
        return result
    padded = np.concatenate([np.zeros_like(values[:1]), values, np.zeros_like(values[:1])])
    columns = np.arange(values.shape[1])
    for row in range(count):
        low = np.clip(whole + row + 1, 0, len(values) + 1)
        high = np.clip(whole + row + 2, 0, len(values) + 1)
        result[row] = padded[low, columns] * (1 - shares[:, None]) + padded[high, columns] * shares[:, None]
    return result


def _blurred(values: Float32, blur: float, cropped: tuple[bool, bool]) -> Float32:
    """Returns values [n, w, C] with margins below and at both sides, blurred more in lower rows.

    Each row is interpolated between two levels of a pyramid of means, whose blur doubles from one to the next. cropped:
    whether the image's border crops the object at the left and at the right, where its columns are replicated.
    """
    # Rows in the margin are blurred still more.
    margin = math.ceil(_REACH * blur * len(values) / max(1 - _REACH * blur, 0.5))
    variances = np.square(blur * (np.arange(len(values) + margin) + 0.5))
    levels = max(0, math.ceil(math.log(variances[-1] / _SPREAD, 4))) if variances[-1] else 0
    level_variances = [0.0, *(_SPREAD * 4.0**number for number in range(1, levels + 1))]
    # The interpolation is linear in the variance.
    row_levels = np.interp(variances, level_variances, np.arange(levels + 1))
    cell = 1 << levels
    around = -(-margin // cell) * cell
    rows, columns = (-(-size // cell) * cell for size in (len(variances), values.shape[1] + 2 * around))
    level: Float32 = np.zeros((rows, columns, values.shape[2]), np.float32)
    last = around + values.shape[1]
    level[: len(values), around:last] = values
    if cropped[0]:
        level[: len(values), :around] = values[:, :1]
    if cropped[1]:
        level[: len(values), last:] = values[:, -1:]
    result = np.zeros((len(variances), values.shape[1] + 2 * around, values.shape[2]), np.float32)
    for number in range(levels + 1):
        near = np.clip(1 - np.abs(row_levels - number), 0, 1).astype(np.float32)
        indices = np.flatnonzero(near)
        if len(indices):
            start, end = int(indices[0]), int(indices[-1]) + 1
            part = _enlarged(level, 1 << number, start, end)[:, : result.shape[1]]
            result[start:end] += near[start:end, None, None] * part
        if number < levels:
            level = level.reshape(len(level) // 2, 2, level.shape[1] // 2, 2, -1).mean((1, 3))
    return result


def _enlarged(level: Float32, factor: int, start: int, end: int) -> Float32:
    """Returns the rows from start to end of a level [h, w, C] that is smoothed and enlarged by `factor`."""
    if factor == 1:
        return level[start:end]
    for axis in (0, 1):
        padded = np.pad(level, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        before, after = (padded.take(range(i, i + level.shape[axis]), axis) for i in (0, 2))
        level = np.float32(0.5) * level + np.float32(0.25) * (before + after)
    box = (0.0, start / factor, float(level.shape[1]), end / factor)
    return resized(level, (level.shape[1] * factor, end - start), box)
