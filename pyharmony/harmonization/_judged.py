"""How far the answer of a network is trusted, whether it ran in torch or in NumPy.

A guarded network is asked several times, each time shown the scene in another way that changes nothing of what is
right. Its answer is the mean of all, and of that as much is made as they agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._header import Calibration
from ._guards import (
    Care,
    Found,
    agreement,
    change_confidence,
    combined,
    keeping_skin,
    mean_change,
    region_confidence,
    share_of,
)
from ._maps import ColorMap, mean_of
from ._scene import Float32, Scene

#: A network whose change is below this, in units of white, agrees with the image as it is.
_AGREES = 2 / 255
#: The reason of an answer that is less trusted because the views of it differ.
_APART = "the network contradicts itself on other views of the image"


def hardened(scene: Scene) -> Scene:
    """Returns the scene with a hard mask, as in training: at least 0.5, or half the maximum where no pixel has 0.5."""
    limit = min(0.5, float(scene.mask.max()) / 2)
    return Scene(scene.picture, (scene.mask >= limit).astype(np.float32) if limit > 0 else scene.mask)


def views_of(seen: Scene, care: Care, *, gives_maps: bool) -> list[Scene]:
    """Returns what a network is shown: the scene, and for a guarded call other views of it, too.

    The second is the mirror image. A network that gives maps is shown the mask one pixel wider and one tighter, too; a
    mask that would fill the scene, or vanish, stays as it is.
    """
    if care is Care.ALL:
        return [seen]
    views = [seen, Scene(seen.picture[:, ::-1], seen.mask[:, ::-1])]
    if gives_maps:
        wider, tighter = _wider(seen.mask), 1 - _wider(1 - seen.mask)
        views.append(Scene(seen.picture, wider if wider.min() < 1 else seen.mask))
        views.append(Scene(seen.picture, tighter if tighter.max() > 0 else seen.mask))
    return views


def _wider(mask: Float32) -> Float32:
    """Returns the largest value of a pixel and its eight neighbours."""
    padded = np.pad(mask, 1, mode="edge")
    rows = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    found: Float32 = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return found


def judged_maps(seen: Scene, maps: Sequence[ColorMap], calibration: Calibration, care: Care) -> Found:
    """Returns the answer of a network that gives a colour map for each of `views_of`."""
    here = [m.mirrored() if i == 1 else m for i, m in enumerate(maps)]
    outputs = [m.apply(seen.picture) for m in here]
    return judged(seen, mean_of(here), outputs, 1.0, calibration, care)


def judged(
    seen: Scene,
    found: ColorMap,
    outputs: Sequence[Float32],
    explained: float,
    calibration: Calibration,
    care: Care,
) -> Found:
    """Returns the answer of a network.

    Args:
        seen: what the network saw.
        found: the colour map of the mean of its changes.
        outputs: its image [h, w, 3] for each view, as the scene lies.
        explained: the share of its change that the map makes.
        calibration: what is known of its weights.
        care: how far its change is made.
    """
    made, apart = compared(seen, outputs)
    change = mean_change(seen, made)
    parts = [region_confidence(seen)]
    still = change <= _AGREES
    if not still:
        parts.append((explained, "" if explained > 0.9 else "the network's change is none of colours"))
    boost = calibration.boost if care is not Care.ALL else 1.0
    parts.append(change_confidence(seen, seen.picture + np.float32(boost) * (made - seen.picture)))
    confidence, reason = combined(*parts)
    if care is Care.ALL:
        return Found(found, confidence, reason)
    agreed = agreement(change, apart, calibration.caution if care is Care.CAUTIOUS else calibration.doubt)
    share = share_of(agreed)
    if not still and agreed < confidence:
        confidence, reason = agreed, "" if agreed > 0.9 else _APART
    return Found(found.scaled(keeping_skin(boost * share, share, seen, made)), confidence, reason, found)


def compared(seen: Scene, outputs: Sequence[Float32]) -> tuple[Float32, float]:
    """Returns the mean of images, and the root of the mean squared change of the object from it to each of them."""
    made: Float32 = np.mean(outputs, 0, dtype=np.float32)
    centre = Scene(made, seen.mask)
    return made, float(np.sqrt(np.mean([mean_change(centre, output) ** 2 for output in outputs])))
