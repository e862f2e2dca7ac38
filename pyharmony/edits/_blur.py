"""The blur of an edit against its original, and the filter that undoes it.

Filters are 1 + Σ c_i B_i over the bands of an image: differences of ever smoother copies. How an edit is blurred is
fitted where nothing changed, with the original's bands as the regressors, so that the edit's noise biases nothing. The
inverse is fitted inside of the change itself: a copy of it is blurred in the same way and gets as much noise, and the
filter is the one that restores it best. So it knows the spectrum of what it sharpens, even where all that did not
change is flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .._arrays import Bools, Float32, Float64
from ._planes import smoothed, tent, texture

#: The passes of `tent` between the smoother copies, whose deviations are 0.71, 1, 1.41 and 2 pixels.
_PASSES = (1, 1, 2, 4)
_BLUR_BANDS = 3  # the bands of a blur
#: The radius of the window whose mean is not compared, since it depends on the light.
_LIGHT_RADIUS = 4
_SAMPLES = 30000
_RIDGE = 1e-3
_ROUNDS = 3
#: The share of samples with the least texture, in which the noise is measured.
_FLAT_SHARE = 0.3


@dataclass(frozen=True)
class Blur:
    """How an edit differs from its original by a blur, and its noise in levels."""

    weights: Float64  # of the bands
    noise: float

    def apply(self, plane: Float32) -> Float32:
        """Returns a plane [h, w] of the original as blurred as the edit."""
        return filtered(plane, self.weights)


def bands(plane: Float32, count: int = len(_PASSES)) -> list[Float32]:
    """Returns the bands of a plane [h, w], the finest first."""
    result, before = [], plane
    for passes in _PASSES[:count]:
        after = before
        for _ in range(passes):
            after = tent(after)
        result.append(before - after)
        before = after
    return result


def filtered(plane: Float32, weights: Float64) -> Float32:
    """Returns a plane [h, w] plus its weighted bands."""
    result = plane.copy()
    for weight, band in zip(weights, bands(plane, len(weights)), strict=True):
        band *= np.float32(weight)
        result += band
    return result


def blur_of(original: Sequence[Float32], edited: Sequence[Float32], fitting: Bools) -> Blur:
    """Returns the blur of an edit, from planes [h, w] in levels; fitting: where they show the same."""
    at = _sampled(fitting)
    if len(at) < 100:
        return Blur(np.zeros(_BLUR_BANDS), 0.0)
    regressors, goals, slopes = [], [], []
    for plane, other in zip(original, edited, strict=True):
        off = other - plane
        off -= smoothed(off, _LIGHT_RADIUS)
        regressors.append(np.stack([band.ravel()[at] for band in bands(plane, _BLUR_BANDS)], 1))
        goals.append(off.ravel()[at])
        slopes.append(texture(plane).ravel()[at])
    x, y, slope = (np.concatenate(values) for values in (regressors, goals, slopes))
    weights = _robust(x, y, 1e-5)
    flat = slope <= np.quantile(slope, _FLAT_SHARE)
    return Blur(weights, 1.48 * float(np.median(np.abs(x @ weights - y)[flat])))


def inverse_of(blur: Blur, edited: Sequence[Float32], inside: Bools, seed: int = 0) -> Float64:
    """Returns the weights of the bands that undo a blur of an edit inside a region, from its planes [h, w]."""
    at = _sampled(inside)
    if len(at) < 100 or np.abs(blur.weights).max() < 1e-3:
        return np.zeros(len(_PASSES))
    random = np.random.default_rng(seed)
    regressors, goals = [], []
    for plane in edited:
        blurred = blur.apply(plane)
        blurred += random.normal(0, blur.noise, plane.shape).astype(np.float32)
        regressors.append(np.stack([band.ravel()[at] for band in bands(blurred)], 1))
        goals.append((plane - blurred).ravel()[at])
    return _robust(np.concatenate(regressors), np.concatenate(goals), _RIDGE)


def _sampled(region: Bools) -> npt.NDArray[np.intp]:
    at = np.flatnonzero(region)
    return at[:: max(1, len(at) // _SAMPLES)]


def _robust(x: Float64, y: Float64, ridge: float) -> Float64:
    """Returns the robust least-squares solution of x c = y, with small c."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    weight = np.ones(len(y))
    solution = np.zeros(x.shape[1])
    penalty = ridge * float(np.einsum("ij,ij->", x, x)) / x.shape[1] + 1e-9
    for _ in range(_ROUNDS):
        weighted = x * weight[:, None]
        solution = np.linalg.solve(weighted.T @ x + penalty * np.eye(x.shape[1]), weighted.T @ y)
        off = np.abs(x @ solution - y)
        weight = 1 / (1 + (off / (3 * 1.48 * float(np.median(off)) + 1e-6)) ** 4)
    return solution
