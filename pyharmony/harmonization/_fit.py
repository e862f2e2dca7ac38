"""The least-squares fit of a colour map to the change by a network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arrays import Float32, Float64
from ..reference.luma import LUMA
from ._maps import ColorMap
from ._scene import Scene

KNOTS = 8  # the number of knots of a curve
CELLS = (4, 4, 4)  # the rows, columns and levels of luma of the grid
#: The largest number of fitted pixels; a larger object is sampled evenly.
_MAX_FITTED_PIXELS = 8192
# Ridges (Tikhonov regularisation) of the least squares, as shares of the weight of all pixels.
_AFFINE = 1e-5  # the ridge that pulls the affine map towards the identity
_CURVES = 1e-4  # the ridge that pulls the curves towards the identity
_BEND = 1e-3  # the ridge that pulls the curves towards straight lines
_GRID = 1e-3  # the ridge that pulls the grid towards the identity


def fit(scene: Scene, output: Float32) -> tuple[ColorMap, float]:
    """Returns the map from an image to a network's output inside the mask, and the share of the change it explains.

    output - image is fitted by least squares in float64, weighted by the mask, over affine map, curves and bilateral
    grid together. Each of the three has a ridge, the grid the strongest, so that simpler parts explain as much as
    possible. The share is 1 - (sum of squared residuals) / (sum of squares of the change), or 1 where nothing changed.

    scene, output: a scene with a mask above zero somewhere, and [h, w, 3], which is clipped to [0, 1].
    """
    colors, weights, places = samples(scene)
    target_change = np.clip(output.reshape(-1, 3).take(places, 0).astype(np.float64), 0, 1) - colors
    simple = np.concatenate([colors, np.ones((len(colors), 1)), hats(colors, KNOTS)], 1)
    cells = cell_weights(scene.image.shape[:2], places, colors @ LUMA, CELLS)
    local = (cells[:, :, None] * simple[:, None, :4]).reshape(len(colors), -1)
    features = np.concatenate([simple, local], 1)
    total = float(weights.sum())
    normal = features.T @ (features * weights[:, None]) + total * _ridge()
    coefficients: Float64 = np.linalg.solve(normal, features.T @ (target_change * weights[:, None])).astype(np.float64)
    left = ((target_change - features @ coefficients) ** 2).sum(1) @ weights
    change = (target_change**2).sum(1) @ weights
    explained = 1.0 if change <= 1e-12 * total else float(np.clip(1 - left / change, 0, 1))
    affine = np.eye(3, 4) + coefficients[:4].T
    curves = coefficients[4 : 4 + 3 * KNOTS].T.reshape(3, 3, KNOTS)
    grid = coefficients[4 + 3 * KNOTS :].reshape(*CELLS, 4, 3).swapaxes(-1, -2)
    return ColorMap(affine, curves, np.ascontiguousarray(grid)), explained


def samples(scene: Scene, most: int = _MAX_FITTED_PIXELS) -> tuple[Float64, Float64, npt.NDArray[np.intp]]:
    """Returns colours [N, 3], weights [N] and indices of pixels inside the mask, evenly spread in reading order."""
    mask = scene.mask.reshape(-1)
    places = np.flatnonzero(mask > 0)
    if len(places) > most:
        places = places[(np.arange(most) * len(places)) // most]
    colors = scene.image.reshape(-1, 3).take(places, 0).astype(np.float64)
    return colors, mask[places].astype(np.float64), places


def hats(colors: Float64, knots: int) -> Float64:
    """Returns the values of linear B-splines at each channel, [N, 3 * knots]."""
    at = colors.clip(0, 1)[:, :, None] * (knots - 1)
    return np.maximum(1 - np.abs(at - np.arange(knots)), 0).reshape(len(colors), -1)


def cell_weights(
    shape: tuple[int, ...], places: npt.NDArray[np.intp], luma: Float64, cells: tuple[int, int, int]
) -> Float64:
    """Returns the weight of each cell of a grid at each pixel, [N, cells]: trilinear between the cells' centres."""
    height, width = shape[:2]
    y, x = np.divmod(places, width)
    weights = np.ones((len(places), 1))
    for at, count in zip(((y + 0.5) / height, (x + 0.5) / width, luma.clip(0, 1)), cells, strict=True):
        centre = (at * count - 0.5).clip(0, count - 1)
        near = np.maximum(1 - np.abs(centre[:, None] - np.arange(count)), 0)
        weights = (weights[:, :, None] * near[:, None, :]).reshape(len(places), -1)
    return weights


def _ridge() -> Float64:
    """Returns the matrix that is added to the normal equations, divided by the total weight of the pixels."""
    bend = np.diff(np.eye(KNOTS), 2, axis=0)
    curves = np.kron(np.eye(3), _CURVES * np.eye(KNOTS) + _BEND * bend.T @ bend)
    count = 4 * int(np.prod(CELLS))
    whole = np.zeros((4 + len(curves) + count,) * 2)
    whole[:4, :4] = _AFFINE * np.eye(4)
    whole[4 : 4 + len(curves), 4 : 4 + len(curves)] = curves
    whole[4 + len(curves) :, 4 + len(curves) :] = _GRID * np.eye(count)
    return whole
