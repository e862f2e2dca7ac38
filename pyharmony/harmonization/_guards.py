"""When an answer is trusted, and how far colours may go."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..color import rgb_to_lab
from ..color.spaces import LUMA
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
#: The largest mean change that a network makes where it is not sure, and from which share of a sure change on it rises.
_UNNOTICED, RISES = 7.5 / 255, 0.95
#: Skin: least and most of Cb and Cr, the least luma, all of 255, and which share of the object it is at least.
_SKIN_CB, _SKIN_CR, _SKIN_LUMA, SKIN_LEAST = (77, 127), (133, 173), 60, 0.01
#: How far its hue turns at most where a network is not sure, in degrees of CIELAB; of so many pixels.
_TURN, _SEEN = 3.0, 4096
#: Where the largest channel of a colour lies when its chroma begins to be kept, and when it is kept as it was.
_BRIGHT = (0.85, 1.0)


class Found(NamedTuple):
    """What a method says of a scene.

    Attributes:
        map: the colour map.
        confidence: 0 to 1.
        reason: why the confidence is low, in a few words; empty where nothing is wrong.
        asked: the map before the guard held it back; None: the same.
    """

    map: ColorMap
    confidence: float
    reason: str = ""
    asked: ColorMap | None = None


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


def believed(change: float, doubtful: float, sure: float) -> float:
    """The share of a network's mean change that is made.

    Args:
        change: the mean change.
        doubtful: of which half is made, and of smaller ones less; 0: of none.
        sure: from which on a change is made in full; what is less comes to `_UNNOTICED` at most. 0: all are.
    """
    share = 1.0
    if doubtful:
        times = (change / doubtful) ** 4
        share = times / (times + 1)
    if change >= sure or share * change <= _UNNOTICED:
        return share
    # Not at once, so that pictures which differ by little are not changed by much more.
    rise = float(np.clip((change / sure - RISES) / (1 - RISES), 0, 1))
    least = _UNNOTICED / change
    return least + (share - least) * rise


def is_skin(colors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which colours [..., 3] in [0, 255] may be skin: a box of chroma (Chai and Ngan 1999), and no darkness."""
    luma = colors @ LUMA
    blue, red = 128 + (colors[..., 2] - luma) / 1.772, 128 + (colors[..., 0] - luma) / 1.402
    found: npt.NDArray[np.bool_] = luma >= _SKIN_LUMA
    for x, (low, high) in ((blue, _SKIN_CB), (red, _SKIN_CR)):
        found &= (x >= low) & (x <= high)
    return found


def keeping_skin(share: float, scene: Scene, after: npt.NDArray[np.floating]) -> float:
    """So much of a change, up to the share, that the mean hue of the object's skin turns by `_TURN` at most."""
    inside = np.flatnonzero(scene.mask.reshape(-1) >= 0.5)
    before, after = (x.reshape(-1, 3)[inside].astype(np.float64) for x in (scene.picture, after))
    where = np.flatnonzero(is_skin(before * 255))
    if len(where) < SKIN_LEAST * max(len(inside), 1) or not len(where):
        return share
    where = where[:: -(-len(where) // _SEEN)]
    before, change = before[where], after[where] - before[where]

    def turned(part: float) -> float:
        (a, b), (x, y) = (rgb_to_lab(np.clip(z, 0, 1))[:, 1:].mean(0) for z in (before, before + part * change))
        return abs(float(np.degrees(np.arctan2(a * y - b * x, a * x + b * y))))

    if turned(share) <= _TURN:
        return share
    least, most = 0.0, share
    for _ in range(10):
        middle = (least + most) / 2
        least, most = (middle, most) if turned(middle) <= _TURN else (least, middle)
    return least


def keep_highlights(before: Float64, after: Float64) -> Float64:
    """Colours [N, 3] whose highlights keep their chroma and take the change of luma alone.

    A clipped highlight has lost the colour that a transfer would move: moved with the rest, white becomes cyan in lαβ.
    """
    top = before.max(-1, keepdims=True)
    share = np.clip((top - _BRIGHT[0]) / (_BRIGHT[1] - _BRIGHT[0]), 0, 1)
    share = share * share * (3 - 2 * share)
    ratio = (after.clip(0, 1) @ LUMA)[:, None] / np.maximum((before @ LUMA)[:, None], 1e-3)
    return (1 - share) * after + share * before * ratio
