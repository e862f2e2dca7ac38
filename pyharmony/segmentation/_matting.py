"""Matting: alpha near the contour of a rough mask.

Source: Levin, Lischinski and Weiss, "A Closed-Form Solution to Natural Image Matting", PAMI 2008: in each window of
3 x 3 pixels alpha is about an affine function of the colours. Only the band of uncertain pixels is solved for, on a
reduced image; the functions are then applied at the image's own resolution, as in `_edges`.
"""

from __future__ import annotations

import numpy as np

from .._arrays import Bools, Float32, Pixels
from .._images.levels import levels_of_shares, shares_of
from .._images.region import bounding_box
from .._images.sizes import fitted, resized
from ..ops import guided_filter, matting
from ..ops.distance import distance_inside
from ._edges import at_full_size
from .layers import Layer

#: The longer side of the image on which alpha is solved for.
_SOLVE_SIDE = 448
#: The width of the band beyond uncertain pixels of a mask, in pixels of the mask.
_BAND = 2.0
#: The least value that is certainly inside; values up to 1 less this are certainly outside.
_MIN_CERTAIN_VALUE = 0.95
#: The least value of thin parts that `_thin` added; the network itself is less certain of what is as thin.
_DRAWN_VALUE = 0.999
#: The regularisation of the matting Laplacian, for colours in [0, 1].
_RIDGE = 2e-5
#: The least weight of the guided filter's alpha in the equations.
_PRIOR = 1e-3
#: The largest number of steps of conjugate gradients.
_STEPS = 60
#: The weight of the guided filter's alpha that is added if colours do not vary at all.
_MAX_PRIOR_WEIGHT = 1.0
#: The radius of the window in which the variance of colours is computed, in pixels.
_VARIANCE_RADIUS = 5
#: The variance of colours in [0, 1] at which that added weight is halved.
_HALF_WEIGHT_VARIANCE = 1e-4
#: The radius of the window in which alpha is fitted to colours for the full resolution, in pixels.
_RADIUS = 1
#: The regularisation of that fit, for colours in [0, 1].
_UPSAMPLED = 1e-4
#: The contrast of the alpha at full resolution about one half.
_CONTRAST = 1.1
#: The squared residual norm at which the solver stops.
_SOLVED = 1e-10
#: The longer side of the part under an edge brush on which alpha is solved for.
_BRUSH_SIDE = 640
#: The weight of the mask under the brush: of 1e-5 to 1e-2 it had the least error on 35 photographs with fine edges.
_BRUSH_PRIOR = 1e-2
#: The least margin around the brush within which the mask is known, in pixels.
_MIN_BRUSH_MARGIN = 24


def soft_alpha(picture: Pixels, layer: Layer) -> Pixels:
    """Returns the alpha [H, W] of the object under a rough mask of an image [H, W, 3], 0 to 255."""
    left, top, right, bottom = layer.box
    wide, high = right - left, bottom - top
    size = fitted((wide, high), _SOLVE_SIDE)
    values = resized(layer.values.astype(np.float32, copy=False), size)
    reach = _BAND * max(size) / max(layer.values.shape)
    band = _unsure(values, reach)
    # A thin part that is all band has no certain place from which its alpha follows, but for its own.
    core = (values > 0.5) & ~band
    band &= (values < _DRAWN_VALUE) | (distance_inside(~core) <= 2 * reach)
    if min(size) < 3 or not band.any():
        return at_full_size(picture, layer)
    part = picture[top:bottom, left:right]
    small = resized(part, size)
    filtered = shares_of(at_full_size(small, Layer((0, 0, *size), layer.values, layer.score)))
    guide = shares_of(small)
    start = np.where(band, filtered, np.where(values > 0.5, np.float32(1), np.float32(0)))
    alpha = _solve(guide, band, start).clip(0, 1)
    whole = np.zeros(picture.shape[:2], np.uint8)
    functions = guided_filter.fit(guide, alpha, _RADIUS, _UPSAMPLED)
    guided_filter.apply(
        part, alpha, functions, whole[top:bottom, left:right], contrast=_CONTRAST, share=band.astype(np.float32)
    )
    return whole


def alpha_within(picture: Pixels, mask: Pixels, region: Pixels) -> Pixels:
    """Returns a mask of an image [H, W, 3] with its alpha solved for in a region; all are [H, W] of 0 to 255.

    The mask around the region shows what is inside and outside of the object. Outside of the region nothing changes.
    """
    box = bounding_box(region)
    if box.empty:
        return mask
    box = box.expand(max(_MIN_BRUSH_MARGIN, round(max(box.shape) / 8)), mask.shape)
    part, own, within = box.of(picture), box.of(mask), box.of(region)
    size = fitted(box.shape[::-1], _BRUSH_SIDE)
    share = resized(shares_of(within), size)
    band = share > 0
    if min(size) < 3 or band.all():
        return mask
    guide, start = shares_of(resized(part, size)), resized(shares_of(own), size)
    alpha = _solve(guide, band, start, _BRUSH_PRIOR).clip(0, 1)
    solved = np.zeros(box.shape, np.uint8)
    functions = guided_filter.fit(guide, alpha, _RADIUS, _UPSAMPLED)
    guided_filter.apply(part, alpha, functions, solved, contrast=_CONTRAST, share=band.astype(np.float32))
    result, weight = mask.copy(), shares_of(within)
    box.of(result)[...] = levels_of_shares(shares_of(own) + weight * (shares_of(solved) - shares_of(own)))
    return result


def _unsure(values: Float32, reach: float) -> Bools:
    """Returns where values [h, w] are uncertain, or within the reach of such a place."""
    unsure = (values > 1 - _MIN_CERTAIN_VALUE) & (values < _MIN_CERTAIN_VALUE)
    inside = values > 0.5
    # At a step from 0 to 1 both sides are uncertain.
    for axis in (0, 1):
        jump = np.diff(inside, axis=axis)
        ends = [(0, 0), (0, 0)]
        for ends[axis] in ((1, 0), (0, 1)):
            unsure |= np.pad(jump, ends)
    near: Bools = distance_inside(np.pad(~unsure, 1, constant_values=True))[1:-1, 1:-1] <= reach
    return near


def _solve(guide: Float32, band: Bools, start: Float32, prior: float | None = None) -> Float32:
    """Returns alpha [h, w], equal to start outside of a band and solved in it by conjugate gradients.

    The steps are few: started from the guided filter's alpha they reach the contour, and do not go far beyond. prior:
    the weight of start in the band; None: it follows the colours.
    """
    weights = matting.rows(guide, band, _RIDGE)
    pull = _trust(guide)[band] if prior is None else np.full(int(band.sum()), prior, np.float32)
    weights[12] += pull
    return matting.solution(band, weights, pull, start, steps=_STEPS, solved=_SOLVED)


def _trust(guide: Float32) -> Float32:
    """Returns the weight of the guided filter's alpha, [h, w]: larger where colours vary little."""
    planes = [np.ascontiguousarray(guide[..., channel]) for channel in range(3)]
    varied = np.zeros(guide.shape[:2], np.float32)
    for plane in planes:
        varied += guided_filter.mean(plane * plane, _VARIANCE_RADIUS) - guided_filter.mean(plane, _VARIANCE_RADIUS) ** 2
    trust: Float32 = np.float32(_PRIOR) + np.float32(_MAX_PRIOR_WEIGHT * _HALF_WEIGHT_VARIANCE) / (
        varied.clip(0, None) + np.float32(_HALF_WEIGHT_VARIANCE)
    )
    return trust
