"""When an answer is trusted, and how far colours may go."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..color._spaces import LUMA
from ._maps import ColorMap
from ._scene import Scene

Float64 = npt.NDArray[np.float64]

#: Below this confidence a guarded call leaves the image as it is.
TRUSTED = 0.25
#: Pixels of the reduced picture: with so few nothing is known of a region, and from so many on all that is needed.
_FEW, _MANY = 8.0, 64.0
#: The mean change of a colour, 1 for white: up to the first an answer is plausible, from the second on it is not.
_PLAUSIBLE, _ABSURD = 0.2, 0.45
#: The same of the ratio of two mean lumas, in powers of two of encoded values, to which so much of white is added.
_STOPS, _DARK = (1.0, 1.8), 0.02
#: The largest mean change of a guarded transfer of statistics; beyond, the map is brought nearer to the identity.
_LARGEST = 0.05
#: Where the largest channel of a colour lies when its chroma begins to be kept, and when it is kept as it was.
_BRIGHT = (0.85, 1.0)


class Found(NamedTuple):
    """What a method says of a scene.

    Attributes:
        map: the colour map.
        confidence: 0 to 1.
        reason: why the confidence is low, in a few words; empty where nothing is wrong.
    """

    map: ColorMap
    confidence: float
    reason: str = ""


def region_confidence(scene: Scene) -> tuple[float, str]:
    """How far object and background are large enough to say anything, and what is wrong if they are not."""
    inside = float(scene.mask.sum(dtype=np.float64))
    outside = float(scene.mask.size - inside)
    found, reason = 1.0, ""
    for weight, name in ((inside, "the object"), (outside, "the background")):
        share = float(np.clip((weight - _FEW) / (_MANY - _FEW), 0, 1))
        if share < found:
            found, reason = share, f"{name} is too small"
    return found, reason


def mean_change(scene: Scene, after: npt.NDArray[np.floating]) -> float:
    """The mean over the mask of the largest change of a channel."""
    weight = scene.mask.sum(dtype=np.float64)
    change = np.abs(after - scene.picture).max(-1)
    return float((change * scene.mask).sum(dtype=np.float64) / weight) if weight > 0 else 0.0


def change_confidence(scene: Scene, after: npt.NDArray[np.floating]) -> tuple[float, str]:
    """How far light explains a change: its mean, and the ratio of the object's mean lumas."""
    change = float(np.clip((_ABSURD - mean_change(scene, after)) / (_ABSURD - _PLAUSIBLE), 0, 1))
    before, now = (float((x @ LUMA * scene.mask).sum() / max(scene.mask.sum(), 1e-9)) for x in (scene.picture, after))
    stops = abs(np.log2((max(now, 0) + _DARK) / (before + _DARK)))
    share = min(change, float(np.clip((_STOPS[1] - stops) / (_STOPS[1] - _STOPS[0]), 0, 1)))
    return share, "" if share == 1 else "the change is larger than light explains"


def combined(*parts: tuple[float, str]) -> tuple[float, str]:
    """The product of confidences, and the reason of the least."""
    value = float(np.prod([part[0] for part in parts]))
    return value, min(parts, key=lambda part: part[0])[1]


def limited(found: ColorMap, scene: Scene) -> ColorMap:
    """The map, brought as near to the identity as its mean change asks."""
    change = mean_change(scene, found.apply(scene.picture))
    return found.scaled(_LARGEST / change) if change > _LARGEST else found


def believed(change: float, doubtful: float) -> float:
    """The share of a network's mean change that is made; doubtful: that of which it is half, of smaller ones less."""
    if doubtful == 0:
        return 1.0
    times = (change / doubtful) ** 4
    return times / (times + 1)


def keep_highlights(before: Float64, after: Float64) -> Float64:
    """Colours [N, 3] whose highlights keep their chroma and take the change of luma alone.

    A clipped highlight has lost the colour that a transfer would move: moved with the rest, white becomes cyan in lαβ.
    """
    top = before.max(-1, keepdims=True)
    share = np.clip((top - _BRIGHT[0]) / (_BRIGHT[1] - _BRIGHT[0]), 0, 1)
    share = share * share * (3 - 2 * share)
    ratio = (after.clip(0, 1) @ LUMA)[:, None] / np.maximum((before @ LUMA)[:, None], 1e-3)
    return (1 - share) * after + share * before * ratio
