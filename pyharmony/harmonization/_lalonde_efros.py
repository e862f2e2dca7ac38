"""The method of Lalonde and Efros 2007, which recolours an object by the clusters of object and background."""

from __future__ import annotations

import numpy as np

from .._arrays import Float64
from ..color import lab_to_rgb, rgb_to_lab
from ._fit import samples
from ._guards import Answer, change_confidence, combined, limited, region_confidence
from ._maps import image_of, table_of
from ._scene import Scene
from ._transport import transport_plan

_CLUSTERS = 50
#: The sigma of the damping, in CIELAB, as in iHarmony4's figures for this method.
_SIGMA = 75.0
_PIXELS = 4096  # the largest number of pixels of a region that are clustered
_ROUNDS = 20  # the largest number of rounds of k-means
#: The number of colours whose distances to all centres are in memory at once.
_COLORS_PER_BLOCK = 4096


def lalonde_efros(scene: Scene, guard: bool) -> Answer:
    """Estimates the map of the method 'lalonde_efros', see `pyharmony.harmonize`."""
    inside, weights, _ = samples(scene, _PIXELS)
    outside, others, _ = samples(Scene(scene.image, 1 - scene.mask), _PIXELS)
    ours, share = clusters(rgb_to_lab(inside), weights)
    theirs, their_share = clusters(rgb_to_lab(outside), others)
    distance = np.linalg.norm(ours[:, None] - theirs, axis=2)
    flow = transport_plan(share, their_share, distance)
    shifts = flow @ theirs / flow.sum(1, keepdims=True) - ours
    shifts *= np.where(np.abs(shifts) < _SIGMA, np.exp(-((shifts / _SIGMA) ** 2)), 0.0)

    def function(x: Float64) -> Float64:
        lab = rgb_to_lab(x)
        return lab_to_rgb(lab + shift_of(lab, ours, shifts))

    color_map = table_of(function)
    confidence = combined(region_confidence(scene), change_confidence(scene, image_of(color_map, scene.image)))
    return Answer(limited(color_map, scene) if guard else color_map, *confidence, color_map)


def shift_of(lab: Float64, centres: Float64, shifts: Float64) -> Float64:
    """Returns the shifts of colours [N, 3]: means over the nearer half of the clusters, weighted by exp(-d² / σ²)."""
    if len(lab) > _COLORS_PER_BLOCK:
        return np.concatenate(
            [shift_of(lab[i : i + _COLORS_PER_BLOCK], centres, shifts) for i in range(0, len(lab), _COLORS_PER_BLOCK)]
        )
    near = max(1, round(len(centres) / 2))
    distance = np.maximum((lab**2).sum(1)[:, None] - 2 * lab @ centres.T + (centres**2).sum(1), 0)
    limit = np.partition(distance, near - 1, axis=1)[:, near - 1 : near]
    # The exponent of the nearest cluster is subtracted, so that the weights do not vanish far from all clusters.
    weights = np.exp((distance.min(1, keepdims=True) - distance) / _SIGMA**2) * (distance <= limit)
    mean: Float64 = weights @ shifts / weights.sum(1, keepdims=True)
    return mean


def clusters(colors: Float64, weights: Float64, count: int = _CLUSTERS) -> tuple[Float64, Float64]:
    """Returns centres [k, 3] by k-means and their shares [k] of the weight, k at most count; always the same bits.

    The first centres are drawn by k-means++ (Arthur and Vassilvitskii 2007) from one seed.
    """
    random = np.random.default_rng(0)
    centres = colors[random.choice(len(colors), p=weights / weights.sum())][None]
    nearest = ((colors - centres[0]) ** 2).sum(1)
    while len(centres) < count and (chance := nearest * weights).sum() > 1e-9:
        new = colors[random.choice(len(colors), p=chance / chance.sum())]
        centres = np.vstack([centres, new])
        nearest = np.minimum(nearest, ((colors - new) ** 2).sum(1))
    for _ in range(_ROUNDS):
        sums, share = _assigned(colors, weights, centres)
        new_centres = np.where(share[:, None] > 0, sums / np.maximum(share, 1e-300)[:, None], centres)
        still = np.array_equal(new_centres, centres)
        centres = new_centres
        if still:
            break
    share = _assigned(colors, weights, centres)[1]
    is_used = share > 0
    return centres[is_used], share[is_used] / share.sum()


def _assigned(colors: Float64, weights: Float64, centres: Float64) -> tuple[Float64, Float64]:
    """Returns, for each centre, the weighted sum of the colours nearest to it, and their total weight."""
    which = ((centres**2).sum(1) - 2 * colors @ centres.T).argmin(1)
    share: Float64 = np.bincount(which, weights, len(centres)).astype(np.float64)
    sums: Float64 = np.stack([np.bincount(which, weights * colors[:, c], len(centres)) for c in range(3)], -1)
    return sums, share
