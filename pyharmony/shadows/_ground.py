"""Estimates the line on which an object meets the ground, and the darkness of the shadows on that ground."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Float32, Float64
from .._images.region import Region
from ._geometry import Line

_FEET = 0.06  # the lowest share of an object's height, which contains its feet
_SLOPE = 0.25  # the largest slope of the line through its feet, in rows for each column
#: The threshold of a mask; half of the largest value if that is less than 1.
_MASK_THRESHOLD = 0.5
#: The digits to which a contact's row and its slope are rounded.
_DIGITS = 3, 6
#: The ranges of quantiles by brightness whose mean colours are those of ground in the shadow and in the light.
_SHADED, _LIT = (0.02, 0.12), (0.45, 0.75)
_STRENGTHS = (0.3, 0.75)  # the least and the largest strength of a shadow that is estimated
_TINTED = 1.2  # the largest ratio of a channel's tint to the mean, either way
#: The least estimated strength of visible shadows; below it the ground counts as one without shadows.
_MIN_VISIBLE_STRENGTH = 0.1


class Darkness(NamedTuple):
    """The darkness of shadows: the missing share of the light, and the colour of the rest, of mean 1."""

    strength: float
    tint: tuple[float, float, float]


class Outline(NamedTuple):
    """The outline of an object, with subpixel accuracy: rows and columns at the centres of pixels are whole numbers."""

    #: left, top, right, bottom: its outermost edges.
    left: float
    top: float
    right: float
    bottom: float
    columns: npt.NDArray[np.intp]  # the columns that it covers, in order
    lowest: Float64  # its lower edge in each of them
    summit: tuple[float, float]  # the place (x, y) of its highest row, half a pixel below its upper edge


def outline_of(mask: Float32, box: Region) -> Outline:
    """Returns the outline at which a mask [h, w] over a box crosses one half, linear between the centres of pixels."""
    within = min(_MASK_THRESHOLD, float(mask.max()) / 2)
    columns = np.flatnonzero(mask.max(0) >= within)
    inside = mask[:, columns] >= within
    lowest = box.y0 + _end(mask[:, columns], inside, within, last=True)
    highest = box.y0 + _end(mask[:, columns], inside, within, last=False)
    profile = mask.max(0)[:, None]
    left, right = (box.x0 + float(_end(profile, profile >= within, within, last=last)[0]) for last in (False, True))
    top, bottom = float(highest.min()), float(lowest.max())
    near = np.maximum(1 - (highest - top), 0)
    summit = float((near * (columns + box.x0)).sum() / near.sum()), top + 0.5
    return Outline(left, top, right, bottom, columns + box.x0, lowest, summit)


def _end(values: Float32, inside: npt.NDArray[np.bool_], within: float, *, last: bool) -> Float64:
    """Returns the last or first place in each column of values [h, w] at which they cross `within`."""
    step = 1 if last else -1
    rows = len(values) - 1 - inside[::-1].argmax(0) if last else inside.argmax(0)
    columns, after = np.arange(values.shape[1]), rows + step
    beyond = (after < 0) | (after >= len(values))
    one = values[rows, columns].astype(np.float64)
    other = np.where(beyond, 0.0, values[np.clip(after, 0, len(values) - 1), columns])
    ends: Float64 = rows + step * (one - within) / np.maximum(one - other, 1e-9)
    return ends


def contact_of(outline: Outline) -> Line:
    """Returns the line on which an object stands, half a pixel above its lower edge at the left and at the right."""
    bottom, high = outline.bottom, outline.bottom - outline.top
    low = outline.lowest >= bottom - _FEET * high
    feet, at = outline.columns[low].astype(np.float64), outline.lowest[low]
    start, slope = bottom, 0.0
    if feet[-1] - feet[0] > 0.15 * (outline.right - outline.left):
        middle = (feet[0] + feet[-1]) / 2
        (one, left), (other, right) = (_foot(feet[side], at[side]) for side in (feet < middle, feet >= middle))
        if other > one:
            slope = round(float(np.clip((right - left) / (other - one), -_SLOPE, _SLOPE)), _DIGITS[1])
            start = max(left - slope * one, right - slope * other)
    return Line(round(start - 0.5, _DIGITS[0]), slope)


def _foot(columns: Float64, lowest: Float64) -> tuple[float, float]:
    """Returns the place of a foot: its lowest row, and the mean of the columns that extend to nearly there."""
    bottom = float(lowest.max())
    near = np.maximum(1 - (bottom - lowest), 0)
    return float((near * columns).sum() / near.sum()), bottom


def darkness_of(colors: npt.NDArray[Any]) -> Darkness:
    """Returns the darkness of shadows on a ground, estimated from the mean colours [n, C] of its parts, in [0, 1].

    The darkest tenth of the parts is assumed to be in the shadow, and those of medium brightness to be lit. A ground of
    one colour contains no information about shadows, and gets a strength of one half.
    """
    if len(colors) < 16:
        return Darkness(0.5, (1.0, 1.0, 1.0))
    order = np.argsort(colors.mean(1), kind="stable")
    shaded, lit = (
        colors[order[int(low * len(order)) : max(int(high * len(order)), int(low * len(order)) + 1)]].mean(0)
        for low, high in (_SHADED, _LIT)
    )
    ratio = (shaded + 1e-3) / (lit + 1e-3)
    mean = float(ratio.mean())
    if 1 - mean < _MIN_VISIBLE_STRENGTH:
        return Darkness(0.5, (1.0, 1.0, 1.0))
    tint = np.clip(ratio / mean, 1 / _TINTED, _TINTED)
    red, green, blue = (float(x) for x in np.broadcast_to(tint / tint.mean(), 3))
    return Darkness(float(np.clip(1 - mean, *_STRENGTHS)), (red, green, blue))
