"""How far the answer of a network is trusted, whether it ran in torch or in NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._header import Calibration
from ._guards import Found, believed, change_confidence, combined, keeping_skin, mean_change, region_confidence
from ._maps import ColorMap
from ._scene import Float32, Scene

#: A network whose change is below this, in units of white, agrees with the image as it is.
_AGREES = 2 / 255


def hardened(scene: Scene) -> Scene:
    """Returns the scene with a hard mask, as in training: at least 0.5, or half the maximum where no pixel has 0.5."""
    limit = min(0.5, float(scene.mask.max()) / 2)
    return Scene(scene.picture, (scene.mask >= limit).astype(np.float32) if limit > 0 else scene.mask)


def views_of(seen: Scene, guard: bool) -> list[Scene]:
    """Returns what a network is shown: the scene, and for a guarded call its mirror image."""
    return [seen, Scene(seen.picture[:, ::-1], seen.mask[:, ::-1])] if guard else [seen]


def judged_maps(seen: Scene, maps: Sequence[ColorMap], calibration: Calibration) -> Found:
    """Returns the answer of a network that gives a colour map for each of `views_of`."""
    outputs = [m.apply(view.picture) for m, view in zip(maps, views_of(seen, len(maps) > 1), strict=True)]
    return judged(seen, maps[0], outputs, 1.0, calibration)


def judged(
    seen: Scene, found: ColorMap, outputs: Sequence[Float32], explained: float, calibration: Calibration
) -> Found:
    """Returns the answer of a network.

    Args:
        seen: what the network saw.
        found: the colour map of its change.
        outputs: its image [h, w, 3] and, for a guarded call, that of the mirror image.
        explained: the share of its change that the map makes.
        calibration: what is known of its weights.
    """
    asked, change = found, mean_change(seen, outputs[0])
    parts = [region_confidence(seen), change_confidence(seen, outputs[0])]
    still = change <= _AGREES
    if not still:
        parts.append((explained, "" if explained > 0.9 else "the network's change is none of colours"))
    if len(outputs) > 1:
        apart = mean_change(Scene(outputs[0], seen.mask), outputs[1][:, ::-1])
        agreement = float(np.clip(1 - apart / (change + _AGREES), 0, 1))
        parts.append((agreement, "" if agreement > 0.9 else "the network contradicts itself in the mirror"))
        doubtful, sure = calibration.doubtful / 255, calibration.sure / 255
        share = believed(change, doubtful, sure)
        found = found.scaled(keeping_skin(share, seen, outputs[0]) if change < sure else share)
    return Found(found, *combined(*parts), asked)
