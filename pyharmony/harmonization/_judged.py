"""The confidence of a network's result, computed in torch or in NumPy.

A guarded network is run several times, each time on a view of the scene for which the correct result is the same. Its
result is the mean of all, and the share of it that is applied depends on their agreement.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Float32, NumpyArray
from .._header import Calibration
from .._images.planes import grown
from ..errors import NO_REASON, Reason
from ._guards import (
    Answer,
    Care,
    agreement,
    change_confidence,
    combined,
    explained_part,
    keeping_skin,
    mean_change,
    region_confidence,
    share_of,
)
from ._maps import ColorMap, images_of, weighted
from ._scene import Scene, close_to, scene_of

#: A network whose change is below this, in units of white, leaves the image unchanged.
_AGREES = 2 / 255
#: The numbers of pixels by which masks are grown for a judge, as in `pyharmony.networks.models.colorgrid`.
JUDGE_GROWTHS = (-2, -1, 1, 2)
_VIEW_GROWTHS = (1, -1)  # the same without a judge
#: The factor of the change if there is a closer crop: the mean of two is smaller than one of them, and with the factor
#: it changes matching objects no more than one does (`benchmarks/unseen.py`).
BOOST_OF_TWO = 1.1
#: The number of pixels of object and background that a grown mask has to leave; else the mask is not changed.
_MIN_REGION_PIXELS = 30
#: The reasons of a result with low confidence because its views differ, or because it is small.
_VIEWS_DISAGREE = Reason("contradicts-itself", "the network contradicts itself on other views of the image")
_NO_COLOURS = Reason("no-colours", "the network's change is none of colours")
_CHANGE_SMALL = Reason("little-wrong", "the network's change is so small that it may be an error")


def hardened(scene: Scene) -> Scene:
    """Returns the scene with a hard mask, as in training: at least 0.5, or half the maximum if no pixel has 0.5.

    Its closer crop is hardened too.
    """
    limit = min(0.5, float(scene.mask.max()) / 2)
    mask = (scene.mask >= limit).astype(np.float32) if limit > 0 else scene.mask
    return Scene(scene.image, mask, None if scene.close is None else hardened(scene.close))


def with_close(scene: Scene, colors: NumpyArray, mask: NumpyArray, holes: NumpyArray | None) -> Scene:
    """Returns the scene with a closer crop, if that differs and shows enough of the object.

    colors, mask, holes: of the image, see `scene`.
    """
    region = close_to(hardened(scene), mask.shape)
    if region is None:
        return scene
    size = scene.mask.shape[0], scene.mask.shape[1]
    close = scene_of(region.of(colors), region.of(mask), None if holes is None else region.of(holes), size)
    enough = close.mask.any() and region_confidence(hardened(close))[0] == 1
    return dataclasses.replace(scene, close=close) if enough else scene


def looks_of(scene: Scene) -> list[Scene]:
    """Returns the scene itself, and its closer crop if there is one."""
    return [Scene(scene.image, scene.mask)] if scene.close is None else [Scene(scene.image, scene.mask), scene.close]


def views_of(scene: Scene, care: Care, *, gives_maps: bool, judge: bool = False) -> list[Scene]:
    """Returns the inputs of a network: the scene, and other views of it for a guarded call or a judge.

    The second is the mirror image. A network that returns maps gets grown masks, too.
    """
    if care is Care.UNGUARDED and not judge:
        return [scene]
    moves = JUDGE_GROWTHS if judge else _VIEW_GROWTHS if gives_maps else ()
    mirrored = Scene(np.ascontiguousarray(scene.image[:, ::-1]), np.ascontiguousarray(scene.mask[:, ::-1]))
    return [scene, mirrored, *(Scene(scene.image, moved(scene.mask, by)) for by in moves)]


def moved(mask: Float32, by: int) -> Float32:
    """Returns a mask this many pixels wider, or narrower below 0, as `colorgrid.moved` of the models does."""
    inside = mask > 0
    hard = bool((inside == mask).all())
    # A hard mask is moved as bytes.
    wider: NumpyArray = inside.view(np.uint8) if hard else mask
    wider = wider if by > 0 else 1 - wider
    for step in range(abs(by)):
        wider = grown(wider, corners=step % 2 == 0)
    result: Float32 = (wider if by > 0 else 1 - wider).astype(mask.dtype, copy=False)
    return result if min(result.sum(), (1 - result).sum()) >= _MIN_REGION_PIXELS else mask


def judged_maps(
    scene: Scene,
    maps: Sequence[ColorMap],
    calibration: Calibration,
    care: Care,
    weights: npt.NDArray[Any] | None = None,
) -> Answer:
    """Returns the result of a network that returns a colour map for each of `views_of`.

    weights: the weight of each, [V]; None: equal, with sum 1. With a closer crop those of the scene and of the crop are
    concatenated.
    """
    if scene.close is not None:
        calibration = dataclasses.replace(calibration, boost=calibration.boost * BOOST_OF_TWO)
    here = [m.mirrored() if i == 1 else m for i, m in enumerate(maps)]
    counts = np.full(len(maps), 1 / len(maps)) if weights is None else weights
    color_map, judged_scene = weighted(here, counts), scene
    if color_map.grid is None:
        # Each pixel's result depends on its colour alone, and only those of the object are judged.
        inside = scene.mask > 0
        judged_scene = Scene(scene.image[inside][None], scene.mask[inside][None])
    outputs = images_of(here, judged_scene.image)
    return judged(judged_scene, color_map, outputs, 1.0, calibration, care, counts, region_confidence(scene))


def judged(
    scene: Scene,
    color_map: ColorMap,
    outputs: Sequence[Float32],
    explained: float,
    calibration: Calibration,
    care: Care,
    weights: npt.NDArray[Any],
    region: tuple[float, Reason] | None = None,
) -> Answer:
    """Returns the result of a network.

    color_map: the colour map of its weighted changes.
    outputs: its image [h, w, 3] for each view, aligned with the scene.
    explained: the share of its change that the map explains.
    weights: the weight of each view, [V].
    region: the confidence from the sizes of object and background; None: of the scene, which is whole.
    """
    image, apart = compared(scene, outputs, weights)
    change = mean_change(scene, image)
    parts = [region_confidence(scene) if region is None else region]
    still = change <= _AGREES
    if not still:
        parts.append((explained, NO_REASON if explained > 0.9 else _NO_COLOURS))
    boost = calibration.boost if care is not Care.UNGUARDED else 1.0
    parts.append(change_confidence(scene, scene.image + np.float32(boost) * (image - scene.image)))
    confidence, reason = combined(*parts)
    if care is Care.UNGUARDED:
        return Answer(color_map, confidence, reason)
    doubt, noise = calibration.caution if care is Care.CAUTIOUS else calibration.doubt, calibration.noise
    agreed = agreement(change, apart, doubt, noise)
    share = share_of(agreed)
    if not still and agreed < confidence:
        slight = noise / 255 > np.sqrt(doubt) * apart
        confidence, reason = agreed, NO_REASON if agreed > 0.9 else _CHANGE_SMALL if slight else _VIEWS_DISAGREE
    part = explained_part(keeping_skin(boost * share, share, scene, image), scene, image)
    return Answer(color_map.scaled(part), confidence, reason, color_map.scaled(boost))


def compared(scene: Scene, outputs: Sequence[Float32], weights: npt.NDArray[Any]) -> tuple[Float32, float]:
    """Returns the image of the sum of changes, and their spread.

    The spread is the root of the weighted mean of the squared mean change of the object from the weighted mean to each
    image, scaled by the sum of the weights.
    """
    total = float(weights.sum())
    change = sum(np.float32(w) * (output - scene.image) for w, output in zip(weights, outputs, strict=True))
    image: Float32 = scene.image + change
    if not total:
        return image, 0.0
    centre = Scene(scene.image + change / np.float32(total), scene.mask)
    squares = [mean_change(centre, output) ** 2 for output in outputs]
    return image, total * float(np.sqrt(np.dot(weights, squares) / total))
