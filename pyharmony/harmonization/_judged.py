"""How far the answer of a network is trusted, whether it ran in torch or in NumPy.

A guarded network is asked several times, each time shown the scene in another way that changes nothing of what is
right. Its answer is the mean of all, and of that as much is made as they agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import NumpyArray
from .._header import Calibration
from .._images.planes import grown
from ..errors import NO_REASON, Reason
from ._guards import (
    Care,
    Found,
    agreement,
    change_confidence,
    combined,
    explained_part,
    keeping_skin,
    mean_change,
    region_confidence,
    share_of,
)
from ._maps import ColorMap, weighted
from ._scene import Float32, Scene, close_to, scene

#: A network whose change is below this, in units of white, agrees with the image as it is.
_AGREES = 2 / 255
#: By how many pixels masks are moved: for a judge, as in `pyharmony.models.colorgrid`, and without one.
JUDGED, _ALONE = (-2, -1, 1, 2), (1, -1)
#: The factor of the boost where there are two looks at a scene: their mean asks for less than one of them, and with it
#: changes what fits no more than one look does (`benchmarks/unseen.py`).
BOOST_OF_TWO = 1.1
#: The pixels that a moved mask has to leave of object and background; else the mask stays.
_LEAST = 30
#: The reasons of an answer that is less trusted because the views of it differ, or because it is so little.
_APART = Reason("contradicts-itself", "the network contradicts itself on other views of the image")
_NO_COLOURS = Reason("no-colours", "the network's change is none of colours")
_SLIGHT = Reason("little-wrong", "the network finds so little wrong that it may be mistaken")


def hardened(seen: Scene) -> Scene:
    """Returns the scene with a hard mask, as in training: at least 0.5, or half the maximum where no pixel has 0.5.

    So has its closer look.
    """
    limit = min(0.5, float(seen.mask.max()) / 2)
    mask = (seen.mask >= limit).astype(np.float32) if limit > 0 else seen.mask
    return Scene(seen.picture, mask, None if seen.close is None else hardened(seen.close))


def with_close(seen: Scene, colors: NumpyArray, mask: NumpyArray, holes: NumpyArray | None) -> Scene:
    """Returns the scene with a closer look, where that shows something else, and enough of it.

    Args:
        seen: the scene of an image.
        colors, mask, holes: of the image, see `scene`.
    """
    region = close_to(hardened(seen), mask.shape)
    if region is None:
        return seen
    size = seen.mask.shape[0], seen.mask.shape[1]
    close = scene(region.of(colors), region.of(mask), None if holes is None else region.of(holes), size)
    enough = close.mask.any() and region_confidence(hardened(close))[0] == 1
    return dataclasses.replace(seen, close=close) if enough else seen


def looks_of(seen: Scene) -> list[Scene]:
    """Returns the scene itself, and its closer look where there is one."""
    return [Scene(seen.picture, seen.mask)] if seen.close is None else [Scene(seen.picture, seen.mask), seen.close]


def views_of(seen: Scene, care: Care, *, gives_maps: bool, judge: bool = False) -> list[Scene]:
    """Returns what a network is shown: the scene, and other views of it for a guarded call or a judge.

    The second is the mirror image. A network that gives maps is shown moved masks, too.
    """
    if care is Care.ALL and not judge:
        return [seen]
    moves = JUDGED if judge else _ALONE if gives_maps else ()
    mirrored = Scene(seen.picture[:, ::-1], seen.mask[:, ::-1])
    return [seen, mirrored, *(Scene(seen.picture, moved(seen.mask, by)) for by in moves)]


def moved(mask: Float32, by: int) -> Float32:
    """Returns a mask that is so many pixels wider, or narrower below 0, as `pyharmony.models.colorgrid.moved` does."""
    wider = mask if by > 0 else 1 - mask
    for step in range(abs(by)):
        wider = grown(wider, corners=step % 2 == 0)
    found: Float32 = wider if by > 0 else 1 - wider
    return found if min(found.sum(), (1 - found).sum()) >= _LEAST else mask


def judged_maps(
    seen: Scene,
    maps: Sequence[ColorMap],
    calibration: Calibration,
    care: Care,
    weights: npt.NDArray[Any] | None = None,
) -> Found:
    """Returns the answer of a network that gives a colour map for each of `views_of`.

    weights: how far each of them counts, [V]; None: all alike, together 1. With a closer look those of both looks
    follow one another.
    """
    if seen.close is not None:
        calibration = dataclasses.replace(calibration, boost=calibration.boost * BOOST_OF_TWO)
    here = [m.mirrored() if i == 1 else m for i, m in enumerate(maps)]
    counts = np.full(len(maps), 1 / len(maps)) if weights is None else weights
    outputs = [m.apply(seen.picture) for m in here]
    return judged(seen, weighted(here, counts), outputs, 1.0, calibration, care, counts)


def judged(
    seen: Scene,
    found: ColorMap,
    outputs: Sequence[Float32],
    explained: float,
    calibration: Calibration,
    care: Care,
    weights: npt.NDArray[Any],
) -> Found:
    """Returns the answer of a network.

    Args:
        seen: what the network saw.
        found: the colour map of its changes, each by its weight.
        outputs: its image [h, w, 3] for each view, as the scene lies.
        explained: the share of its change that the map makes.
        calibration: what is known of its weights.
        care: how far its change is made.
        weights: how far each view counts, [V].
    """
    made, apart = compared(seen, outputs, weights)
    change = mean_change(seen, made)
    parts = [region_confidence(seen)]
    still = change <= _AGREES
    if not still:
        parts.append((explained, NO_REASON if explained > 0.9 else _NO_COLOURS))
    boost = calibration.boost if care is not Care.ALL else 1.0
    parts.append(change_confidence(seen, seen.picture + np.float32(boost) * (made - seen.picture)))
    confidence, reason = combined(*parts)
    if care is Care.ALL:
        return Found(found, confidence, reason)
    doubt, noise = calibration.caution if care is Care.CAUTIOUS else calibration.doubt, calibration.noise
    agreed = agreement(change, apart, doubt, noise)
    share = share_of(agreed)
    if not still and agreed < confidence:
        slight = noise / 255 > np.sqrt(doubt) * apart
        confidence, reason = agreed, NO_REASON if agreed > 0.9 else _SLIGHT if slight else _APART
    part = explained_part(keeping_skin(boost * share, share, seen, made), seen, made)
    return Found(found.scaled(part), confidence, reason, found.scaled(boost))


def compared(seen: Scene, outputs: Sequence[Float32], weights: npt.NDArray[Any]) -> tuple[Float32, float]:
    """Returns the image of the sum of changes, and how far they are apart.

    That is the root of the weighted mean of the squared mean change of the object from the weighted mean to each image,
    as large as the sum of the weights makes it.
    """
    total = float(weights.sum())
    change = sum(np.float32(w) * (output - seen.picture) for w, output in zip(weights, outputs, strict=True))
    made: Float32 = seen.picture + change
    if not total:
        return made, 0.0
    centre = Scene(seen.picture + change / np.float32(total), seen.mask)
    squares = [mean_change(centre, output) ** 2 for output in outputs]
    return made, total * float(np.sqrt(np.dot(weights, squares) / total))
