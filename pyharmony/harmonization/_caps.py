"""Limits on the map of a guarded call, for all methods."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..color import rgb_to_lab
from ..reference.luma import LUMA
from ._guards import SKIN_LEAST, is_skin, largest, luma_of
from ._judged import hardened, moved
from ._maps import ColorMap, followed_by, mapped
from ._scene import Scene

_GREY = 3.0  # a background whose chroma (Cb, Cr) is below this many 8-bit levels is grey
_CHROMA_PERCENTILE = 99.9  # the percentile of the background's chroma that is compared: a few pixels may be coloured
_RIM_PIXELS = 4  # pixels around the mask that are ignored: the object's coloured rims extend into the background
_PIXELS = 64  # the smallest number of pixels of a background to evaluate
#: The least mean step of luma between neighbours, in 8-bit levels, of a photo without colour, which excludes white
#: paper and a studio's grey gradient.
_DETAIL = 1.5
#: An object below this mean chroma, in levels, is grey itself.
_MIN_OBJECT_CHROMA = 1.0
_RATIO = 1.5  # the largest factor by which the mean chroma of skin may increase
_MAX_SKIN_CHROMA = 38.0  # the largest mean chroma, in CIELAB, to which that of skin may increase
#: The largest number of pixels of skin that are measured.
_SKIN_PIXELS = 4096


def capped(color_map: ColorMap, scene: Scene) -> ColorMap:
    """Returns the map, limited for skin and, in a photo without colour, without chroma."""
    hard = hardened(scene)
    return without_colour(with_calm_skin(color_map, hard), hard)


def without_colour(color_map: ColorMap, scene: Scene) -> ColorMap:
    """Returns the map followed by the removal of all chroma, if the background is a photo without colour."""
    outside = moved(scene.mask, _RIM_PIXELS) < 0.5
    if outside.sum() < _PIXELS:
        return color_map
    chroma = _chroma(scene.image[outside])
    # With so many pixels of colour the percentile need not be computed.
    many = len(chroma) * (1 - _CHROMA_PERCENTILE / 100) + 2
    if np.count_nonzero(chroma >= _GREY) > many or np.percentile(chroma, _CHROMA_PERCENTILE) >= _GREY:
        return color_map
    steps = np.abs(np.diff(scene.image @ LUMA, axis=1))[outside[:, 1:] & outside[:, :-1]]
    if not steps.size or steps.mean() * 255 < _DETAIL:
        return color_map
    if _chroma(mapped(color_map, scene.image, np.flatnonzero(scene.mask >= 0.5))).mean() < _MIN_OBJECT_CHROMA:
        return color_map
    return followed_by(color_map, _desaturation(0.0))


def _chroma(colors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Returns the length of (Cb, Cr) of colours [N, 3] in [0, 1], in levels."""
    luma = luma_of(colors)
    chroma: npt.NDArray[np.floating] = 255 * np.hypot((colors[:, 2] - luma) / 1.772, (colors[:, 0] - luma) / 1.402)
    return chroma


def with_calm_skin(color_map: ColorMap, scene: Scene) -> ColorMap:
    """Returns the map followed by the smallest reduction of chroma that keeps the skin's within its limits.

    The mean chroma of skin may increase by the factor `_RATIO` up to `_MAX_SKIN_CHROMA`, or not at all. Reducing the
    whole map would remove light, too: on faces with known targets that costs two decibels, less chroma nothing.
    """
    if color_map.is_identity:
        return color_map
    inside = np.flatnonzero(scene.mask >= 0.5)
    where = inside[is_skin(scene.image.reshape(-1, 3)[inside] * np.float32(255))]
    if len(where) < max(SKIN_LEAST * len(inside), 1):
        return color_map
    where = where[:: -(-len(where) // _SKIN_PIXELS)]

    def chroma(colors: npt.NDArray[np.floating]) -> float:
        a, b = rgb_to_lab(colors.astype(np.float64).clip(0, 1))[:, 1:].mean(0)
        return float(np.hypot(a, b))

    def calm(share: float) -> bool:
        return chroma(mapped(followed_by(color_map, _desaturation(share)), scene.image, where)) <= most

    own = chroma(scene.image.reshape(-1, 3)[where])
    most = max(own, min(_RATIO * own, _MAX_SKIN_CHROMA))
    if chroma(mapped(color_map, scene.image, where)) <= most:
        return color_map
    return followed_by(color_map, _desaturation(largest(calm, 1.0)))


def _desaturation(share: float) -> npt.NDArray[np.float64]:
    """Returns the matrix [3, 3] that keeps luma and a share of the chroma."""
    return share * np.eye(3) + (1 - share) * np.tile(LUMA, (3, 1))
