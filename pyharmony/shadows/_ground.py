"""Tells from a picture where an object meets the ground, and how dark the shadows on that ground are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._cast import Box
from ._geometry import Line
from ._soft import Float32

#: The share of an object's height, from its lowest pixel, in which its feet are, and the largest slope of their line.
_FEET, _SLOPE = 0.06, 0.25
#: What counts as inside a matte.
_INSIDE = 0.5
#: The shares of the ground, by brightness, whose means are taken for shadow and for light.
_SHADED, _LIT = (0.02, 0.12), (0.45, 0.75)
#: The strengths that a scene may call for, and the largest tint of a channel.
_STRENGTHS, _TINTED = (0.3, 0.75), 1.2
#: A ground whose darkest parts are lighter than this shows no shadow.
_PLAIN = 0.1
#: The most pixels along a side from which darkness is told.
_SAMPLED = 128


class Darkness(NamedTuple):
    """How dark shadows are: the share of the light that is missing, and the colour of what is left, of mean 1."""

    strength: float
    tint: tuple[float, float, float]


def contact_of(matte: Float32, box: Box) -> Line:
    """Returns the line that an object stands on: through its lowest pixels at the left and at the right."""
    inside = matte >= _INSIDE
    filled = inside.any(0)
    columns = np.flatnonzero(filled)
    if not len(columns):
        return Line(float(box.bottom - 1))
    lowest = len(matte) - 1 - inside[::-1].argmax(0)[columns]
    bottom, high = int(lowest.max()), int(np.flatnonzero(inside.any(1))[-1] + 1 - np.flatnonzero(inside.any(1))[0])
    feet = columns[lowest >= bottom - _FEET * high]
    at = lowest[lowest >= bottom - _FEET * high]
    start, slope = float(bottom), 0.0
    if feet[-1] - feet[0] > 0.15 * (columns[-1] - columns[0] + 1):
        middle = (feet[0] + feet[-1]) / 2
        left, right = feet < middle, feet >= middle
        if left.any() and right.any():
            one, other = (int(np.flatnonzero(side)[at[side].argmax()]) for side in (left, right))
            run = float(feet[other] - feet[one])
            if run > 0:
                slope = float(np.clip((at[other] - at[one]) / run, -_SLOPE, _SLOPE))
                start = float(max(at[one] - slope * feet[one], at[other] - slope * feet[other]))
    return Line(box.top + start - slope * box.left, slope)


def darkness_of(ground: npt.NDArray[Any], white: float) -> Darkness:
    """Returns how dark the shadows on a ground are, told from its colours [h, w, C] from 0 to `white`.

    The darkest tenth of what the ground shows is taken for shadow, what is about as bright as most of it for lit. A
    ground of one colour says nothing of shadows, and gets one of half the light.
    """
    steps = [max(1, side // _SAMPLED) for side in ground.shape[:2]]
    colors = ground[:: steps[0], :: steps[1]].reshape(-1, ground.shape[2]).astype(np.float32) / np.float32(white)
    if len(colors) < 16:
        return Darkness(0.5, (1.0, 1.0, 1.0))
    order = np.argsort(colors.mean(1), kind="stable")
    shaded, lit = (
        colors[order[int(low * len(order)) : max(int(high * len(order)), int(low * len(order)) + 1)]].mean(0)
        for low, high in (_SHADED, _LIT)
    )
    ratio = (shaded + 1e-3) / (lit + 1e-3)
    mean = float(ratio.mean())
    if 1 - mean < _PLAIN:
        return Darkness(0.5, (1.0, 1.0, 1.0))
    tint = np.clip(ratio / mean, 1 / _TINTED, _TINTED)
    red, green, blue = (float(x) for x in np.broadcast_to(tint / tint.mean(), 3))
    return Darkness(float(np.clip(1 - mean, *_STRENGTHS)), (red, green, blue))
