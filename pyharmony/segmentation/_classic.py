"""Methods without a network: GrabCut and the random walker, by themselves or as refinements of the network's mask.

Sources: Rother, Kolmogorov and Blake, "GrabCut", SIGGRAPH 2004, by OpenCV; Grady, "Random Walks for Image
Segmentation", PAMI 2006, by scikit-image. Both run on a reduced image, which takes some tenths of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Bools, Box, Float32, Pixels
from .._images.sizes import fitted, resized
from ..ops.distance import distance_inside
from ._network import Prompts
from .layers import Layer, connected, sampled

#: The longer side of the image on which GrabCut works, in pixels.
_GRABCUT_SIDE = 384
#: The longer side of the image on which the random walker works, in pixels.
_WALKER_SIDE = 256
#: The radius around a click that has the click's label with certainty, in longer sides of the image.
_CERTAIN_RADIUS = 0.012
#: The radius around a click that the object may cover if there is no other prompt, in longer sides of the image.
_POSSIBLE_RADIUS = 0.22
#: The number of iterations of GrabCut.
_ROUNDS = 5
#: How strongly the random walker avoids image edges.
_BETA = 300.0
#: The radius of the middle of a box, which is certainly on the object, in half sides of the box.
_BOX_CORE_RADIUS = 0.4
#: The largest error of the contour of a rough mask, in square roots of its area.
_MAX_CONTOUR_ERROR = 0.15
#: The random walker's seeds are where a prior mask is below this or above 1 less this.
_STARTS = 0.15


@dataclass
class ClassicCutter:
    """An image [H, W, 3] of uint8, and a solver from seeds inside, seeds outside and a prior mask to a mask."""

    picture: Pixels
    side: int
    solve: Callable[[Pixels, Bools, Bools, Float32], Float32]
    goes_on: bool

    def __post_init__(self) -> None:
        height, width = self.picture.shape[:2]
        self.size = fitted((width, height), self.side, least=2)
        self.small = resized(self.picture, self.size)

    def cut(self, prompts: Prompts, last: Layer | None = None) -> list[Layer]:
        """Returns one mask; `last` is the mask that further prompts correct, if the method can start from it."""
        return self.refined(prompts, last if self.goes_on else None)

    def refined(self, prompts: Prompts, last: Layer | None) -> list[Layer]:
        """Returns one mask, computed from `last` as the prior."""
        height, width = self.picture.shape[:2]
        whole = (0, 0, width, height)
        inside, outside = (self._near(prompts, label, _CERTAIN_RADIUS) for label in (1, 0))
        if last is not None:
            prior = _ramp(sampled(last, whole, self.size) > 0.5)
            if (box := prompts.limit) is not None:
                outside |= self._boxed(box)[1]
        elif prompts.mask is not None:
            prior = _ramp(resized(prompts.mask, self.size) >= 128)
        elif prompts.box is not None:
            prior, frame = self._boxed(prompts.box)
            outside |= frame
        else:
            prior = np.where(self._near(prompts, 1, _POSSIBLE_RADIUS), np.float32(0.5), np.float32(0))
        values = self.solve(self.small, inside, outside & ~inside, prior)
        return [connected(Layer(whole, values, 0.5), prompts.inside)]

    def _boxed(self, box: Box) -> tuple[Float32, Bools]:
        """Returns the prior mask by a box, which is certain in its middle, and the region outside of the box."""
        width, height = self.size
        across, down = width / self.picture.shape[1], height / self.picture.shape[0]
        y, x = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
        u = np.abs(x - (box[0] + box[2]) / 2 * across) / max((box[2] - box[0]) / 2 * across, 0.5)
        v = np.abs(y - (box[1] + box[3]) / 2 * down) / max((box[3] - box[1]) / 2 * down, 0.5)
        frame = np.maximum(u, v) > 1
        prior = np.where(np.hypot(u, v) < _BOX_CORE_RADIUS, 1.0, np.where(frame, 0.0, 0.5)).astype(np.float32)
        return prior, frame

    def _near(self, prompts: Prompts, label: int, reach: float) -> Bools:
        """Returns the pixels within a radius of clicks with a label."""
        width, height = self.size
        factor = width / self.picture.shape[1]
        radius = max(1.0, reach * max(width, height))
        y, x = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
        places = np.zeros((height, width), np.bool_)
        for (px, py), own in zip(prompts.points, prompts.labels, strict=True):
            if own == label:
                places |= (x - (px + 0.5) * factor) ** 2 + (y - (py + 0.5) * factor) ** 2 <= radius**2
        return places


def _ramp(region: Bools) -> Float32:
    """Returns a mask in [0, 1] of a rough region [h, w], a ramp by the distance from its contour, where it is 0.5."""
    reach = max(2.0, _MAX_CONTOUR_ERROR * float(np.count_nonzero(region)) ** 0.5)
    apart = distance_inside(np.pad(region, 1)) - distance_inside(np.pad(~region, 1, mode="edge"))
    sureness: Float32 = np.clip(0.5 + apart[1:-1, 1:-1] / (2 * reach), 0, 1).astype(np.float32)
    return sureness


def grabcut(picture: Pixels) -> ClassicCutter:
    """Returns OpenCV's GrabCut for an image."""
    import cv2

    def solve(small: Pixels, inside: Bools, outside: Bools, prior: Float32) -> Float32:
        state = np.where(prior >= 0.5, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
        state[outside], state[inside] = cv2.GC_BGD, cv2.GC_FGD
        if not ((state == cv2.GC_PR_BGD) | (state == cv2.GC_BGD)).any():
            state[[0, -1]] = cv2.GC_PR_BGD
        models: Any = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        cut: Any = cv2.grabCut
        cut(np.ascontiguousarray(small), state, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
        return np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)

    return ClassicCutter(picture, _GRABCUT_SIDE, solve, goes_on=True)


def random_walker(picture: Pixels) -> ClassicCutter:
    """Returns scikit-image's random walker for an image, with seeds at clicks and at the image's border."""
    from skimage.segmentation import random_walker as walked

    def solve(small: Pixels, inside: Bools, outside: Bools, prior: Float32) -> Float32:
        labels = np.zeros(prior.shape, np.int64)
        if prior.max() > 0.5:
            labels[prior > 1 - _STARTS], labels[prior < _STARTS] = 1, 2
        else:
            labels[[0, -1]] = labels[:, [0, -1]] = 2
        labels[outside], labels[inside] = 2, 1
        if not ((labels == 1).any() and (labels == 2).any() and (labels == 0).any()):
            return (labels == 1).astype(np.float32)
        settings: Any = {"beta": _BETA, "mode": "cg_j", "tol": 1e-3, "prob_tol": 0.05}
        probabilities = walked(small, labels, channel_axis=2, return_full_prob=True, **settings)
        return probabilities[0].astype(np.float32)

    # It never changes its seeds, and all clicks together are better seeds than its last mask.
    return ClassicCutter(picture, _WALKER_SIDE, solve, goes_on=False)
