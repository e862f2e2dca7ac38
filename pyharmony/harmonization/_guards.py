"""Guards: the confidence of an estimate, and limits on the change of colours."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import Float64
from ..color import rgb_to_lab
from ..errors import NO_REASON, Reason
from ..reference.luma import LUMA
from ._maps import ColorMap, image_of
from ._scene import Scene

#: Below this confidence a guarded call does not change the image.
TRUSTED = 0.25
_UNTRUSTED_PIXELS = 8.0  # a region of at most this many pixels of the reduced image has confidence 0
_TRUSTED_PIXELS = 64.0  # a region of at least this many pixels of the reduced image has confidence 1
_TRUSTED_CHANGE = 0.2  # a mean change of colours up to this, where white is 1, has confidence 1
_UNTRUSTED_CHANGE = 0.45  # a mean change of colours from this on, where white is 1, has confidence 0
_STOPS = (1.0, 1.8)  # the same two bounds for the ratio of two mean lumas of encoded values, in stops
_LUMA_OFFSET = 0.02  # the offset of each mean luma, where white is 1, so that the ratio of black is finite
#: The largest mean change of a guarded transfer of statistics; a larger one is reduced towards the identity.
_MAX_MEAN_CHANGE = 0.05
_SKIN_CB = (77, 127)  # the range of Cb of skin, of 0 to 255
_SKIN_CR = (133, 173)  # the range of Cr of skin, of 0 to 255
_SKIN_LUMA = 60  # the smallest luma of skin, of 0 to 255
SKIN_LEAST = 0.01  # the smallest share of skin in an object for which skin is guarded
_TURN = 3.0  # the largest rotation of skin's hue in CIELAB, in degrees, if views agree least
_SKIN_PIXELS = 4096  # the largest number of pixels of skin in which the rotation is measured
#: The number of bisections in the search for the largest part of a change.
_HALVINGS = 10
#: Values of a colour's largest channel between which the preservation of its chroma rises from none to full.
_PRESERVED_PEAKS = (0.85, 1.0)
#: The largest number of colours in a product that NumPy computes in one thread.
_COLOURS = 2048


class Care(Enum):
    """How much of the change of a method is applied."""

    UNGUARDED = "all of it"
    AGREED = "as far as the answer can be trusted"
    CAUTIOUS = "little of it, unless an object is surely one that does not fit"


#: Why an estimate cannot be trusted: too little of the object or of its background is visible, or it changes too much.
OBJECT_SMALL = Reason("object-small", "the object is too small")
BACKGROUND_SMALL = Reason("background-small", "the background is too small")
NO_BACKGROUND = Reason("no-background", "there is no background")
_CHANGE_LARGE = Reason("change-large", "the change is larger than light explains")


class Answer(NamedTuple):
    """The result of a method for a scene."""

    map: ColorMap  # the colour map
    confidence: float  # the confidence of the map, 0 to 1
    reason: Reason = NO_REASON  # why the confidence is low, in a few words; empty if it is not
    full_map: ColorMap | None = None  # the map before the guard reduced it; None if it is the same as map


def region_confidence(scene: Scene) -> tuple[float, Reason]:
    """Returns the confidence, 0 to 1, from the sizes of object and background, and the reason if it is low."""
    inside = float(scene.mask.sum(dtype=np.float64))
    outside = float(scene.mask.size - inside)
    confidence, reason = 1.0, NO_REASON
    for weight, too_small in ((inside, OBJECT_SMALL), (outside, BACKGROUND_SMALL)):
        share = float(np.clip((weight - _UNTRUSTED_PIXELS) / (_TRUSTED_PIXELS - _UNTRUSTED_PIXELS), 0, 1))
        if share < confidence:
            confidence, reason = share, too_small
    return confidence, reason


def mean_change(scene: Scene, after: npt.NDArray[np.floating]) -> float:
    """Returns the mean over the mask of the largest change of a channel."""
    weight = scene.mask.sum(dtype=np.float64)
    # The maximum of three arrays is much faster than one over an axis of three.
    red, green, blue = np.moveaxis(np.abs(after - scene.image), -1, 0)
    change = np.maximum(np.maximum(red, green), blue)
    return float((change * scene.mask).sum(dtype=np.float64) / weight) if weight > 0 else 0.0


def change_confidence(scene: Scene, after: npt.NDArray[np.floating]) -> tuple[float, Reason]:
    """Returns the confidence that light explains a change, from its mean and the ratio of the object's mean lumas."""
    change = float(
        np.clip((_UNTRUSTED_CHANGE - mean_change(scene, after)) / (_UNTRUSTED_CHANGE - _TRUSTED_CHANGE), 0, 1)
    )
    before, now = (float((x @ LUMA * scene.mask).sum() / max(scene.mask.sum(), 1e-9)) for x in (scene.image, after))
    stops = abs(np.log2((max(now, 0) + _LUMA_OFFSET) / (before + _LUMA_OFFSET)))
    share = min(change, float(np.clip((_STOPS[1] - stops) / (_STOPS[1] - _STOPS[0]), 0, 1)))
    return share, NO_REASON if share == 1 else _CHANGE_LARGE


def explained_part(part: float, scene: Scene, after: npt.NDArray[np.floating]) -> float:
    """Returns the largest part of a change, at most `part`, that light explains completely."""

    def explains(x: float) -> bool:
        return change_confidence(scene, scene.image + np.float32(x) * (after - scene.image))[0] == 1

    return part if explains(part) else largest(explains, part)


def largest(holds: Callable[[float], bool], part: float) -> float:
    """Returns the largest number for which a condition is true, if it is true at 0 and false at part."""
    least, most = 0.0, part
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        least, most = (middle, most) if holds(middle) else (least, middle)
    return least


def combined(*parts: tuple[float, Reason]) -> tuple[float, Reason]:
    """Returns the product of confidences, and the reason of the lowest."""
    value = float(np.prod([part[0] for part in parts]))
    return value, min(parts, key=lambda part: part[0])[1]


def limited(color_map: ColorMap, scene: Scene) -> ColorMap:
    """Returns the map, reduced towards the identity so that its mean change is at most `_MAX_MEAN_CHANGE`."""
    change = mean_change(scene, image_of(color_map, scene.image))
    return color_map.scaled(_MAX_MEAN_CHANGE / change) if change > _MAX_MEAN_CHANGE else color_map


def agreement(change: float, apart: float, doubt: float, noise: float) -> float:
    """Returns the agreement of several results for one scene, 0 to 1, see `pyharmony._header.Calibration`.

    change: the mean change c of their mean, in units of white.
    apart: the root s of the mean squared distance of a result from the mean.
    doubt: the weight k of s² in c² / (c² + k s² + n²).
    noise: n, in 8-bit levels.
    """
    against = doubt * apart * apart + (noise / 255) ** 2
    return change * change / (change * change + against) if against else 1.0


def share_of(agreed: float) -> float:
    """Returns the share of a change to apply for an agreement: nothing up to `TRUSTED`, all at 1."""
    return max(agreed - TRUSTED, 0.0) / (1 - TRUSTED)


def luma_of(colors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the luma of colours [..., 3]; of many in parts, since NumPy's threads busy-wait after a large product."""
    flat = colors.reshape(-1, 3)
    parts = [flat[i : i + _COLOURS] @ LUMA for i in range(0, max(len(flat), 1), _COLOURS)]
    return np.concatenate(parts).reshape(colors.shape[:-1])


def is_skin(colors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Returns which colours [..., 3] in [0, 255] may be skin: in a box of chroma (Chai and Ngan 1999), and not dark."""
    luma = luma_of(colors)
    blue, red = 128 + (colors[..., 2] - luma) / 1.772, 128 + (colors[..., 0] - luma) / 1.402
    result: npt.NDArray[np.bool_] = luma >= _SKIN_LUMA
    for x, (low, high) in ((blue, _SKIN_CB), (red, _SKIN_CR)):
        result &= (x >= low) & (x <= high)
    return result


def keeping_skin(part: float, share: float, scene: Scene, after: npt.NDArray[np.floating]) -> float:
    """Returns the largest part of a change, at most `part`, that rotates the hue of skin within its limit.

    The limit of the mean hue is `_TURN` / (1 - share) degrees: the better the results agree, the larger.
    """
    if share == 1:
        return part
    inside = np.flatnonzero(scene.mask.reshape(-1) >= 0.5)
    before, after = (x.reshape(-1, 3)[inside].astype(np.float64) for x in (scene.image, after))
    where = np.flatnonzero(is_skin(before * 255))
    if len(where) < SKIN_LEAST * max(len(inside), 1) or not len(where):
        return part
    where = where[:: -(-len(where) // _SKIN_PIXELS)]
    before, change = before[where], after[where] - before[where]
    most_turned = _TURN / (1 - share)

    def turned(x: float) -> float:
        (a, b), (c, d) = (rgb_to_lab(np.clip(z, 0, 1))[:, 1:].mean(0) for z in (before, before + x * change))
        return abs(float(np.degrees(np.arctan2(a * d - b * c, a * c + b * d))))

    return part if turned(part) <= most_turned else largest(lambda x: turned(x) <= most_turned, part)


def keep_highlights(before: Float64, after: Float64) -> Float64:
    """Returns colours [N, 3] whose highlights keep their chroma and get only the change of luma.

    A clipped highlight has lost the colour that a transfer would change: otherwise white becomes cyan in lαβ.
    """
    top = before.max(-1, keepdims=True)
    share = np.clip((top - _PRESERVED_PEAKS[0]) / (_PRESERVED_PEAKS[1] - _PRESERVED_PEAKS[0]), 0, 1)
    share = share * share * (3 - 2 * share)
    ratio = luma_of(after.clip(0, 1))[:, None] / np.maximum(luma_of(before)[:, None], 1e-3)
    return (1 - share) * after + share * before * ratio
