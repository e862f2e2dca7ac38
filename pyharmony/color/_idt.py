"""Iterative distribution transfer, and the regraining that follows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Float32, Float64
from ..errors import ShapeError
from ..ops.color_map import Affine, Curves, bounds, encode, share
from ..ops.color_map import run as run_map
from ..ops.color_stats import run as run_stats
from ..ops.regrain import regrain as smooth_change
from ..typing import ImageLike, MaskLike, Rng
from .common import Region, generator, region, regions
from .histogram import quantile_tables


def idt(
    image: ImageLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    iterations: int = 20, bins: int = 512, seed: Rng = 0, regrain: bool = True, strength: float = 1.0,
) -> Any:  # fmt: skip
    """Matches the whole distribution of colours by iterative distribution transfer, followed by `regrain`.

    Each iteration rotates colours by R, matches the cumulative histogram along each axis, and rotates them
    back: x ← Rᵀ t(R x). The first R is the identity, the others are random rotations. After Pitié, Kokaram and Dahyot,
    *Automated Colour Grading Using Colour Distribution Transfer*, 2007.

    Args:
        image, reference, mask, reference_mask, strength: see `reinhard`.
        iterations: the number of rotations, 1 to 1000.
        bins: the bins of the histograms, 2 to 65536.
        seed: the seed of the rotations: a whole number, or a numpy.random.Generator, which is advanced.
        regrain: whether to preserve the gradients of image where it is smooth.

    Returns, Raises: see `reinhard`; also ArgumentError if another argument is not accepted.

    Example:
        >>> from pyharmony import color
        >>> image = np.random.default_rng(0).integers(0, 100, (16, 16, 3), np.uint8)
        >>> reference = image + 100
        >>> bool(color.idt(image, reference, iterations=5).mean() > image.mean() + 80)
        True
    """
    _checks.flags(regrain=regrain)
    target, source, amount = regions(image, reference, mask, reference_mask, strength)
    rounds = _checks.whole(iterations, "iterations", low=1, high=1000)
    count = _checks.whole(bins, "bins", low=2, high=65536)
    rng = generator(seed, "seed")
    extremes = [part.stats() for part in (target, source)]
    box = (
        np.minimum(0, np.min([part.minimum for part in extremes], 0)),
        np.maximum(1, np.max([part.maximum for part in extremes], 0)),
    )
    (ours, weights), (theirs, their_weights) = target.pixels, source.pixels
    x = ours[None].copy()
    for turn in range(rounds):
        rotation = np.eye(3) if turn == 0 else random_rotation(rng)
        _match_along(x, weights[None], theirs[None], their_weights[None], rotation, count, box)
    colors = x[0]
    if regrain:
        colors = ours + _smoothed_change(target, colors - ours)
    return target.replace(colors, amount)


def random_rotation(rng: np.random.Generator) -> Float64:
    """Returns a random rotation [3, 3], uniform over all rotations."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return q * np.linalg.det(q)


def _match_along(
    x: Float32, weights: Float32, y: Float32, their_weights: Float32, rotation: Float64, bins: int, box: Any
) -> None:
    """Matches the histograms of x [1, N, 3], which is changed, to those of y along the rows of a rotation."""
    low = np.minimum(rotation * box[0], rotation * box[1]).sum(1)
    high = np.maximum(rotation * box[0], rotation * box[1]).sum(1)
    edges = bounds(low, high, "")
    turn, _memory = encode([Affine(rotation)])
    ours, theirs = (
        run_stats(colors, w, turn, bins, edges, False).foreground.histogram
        for colors, w in ((x, weights), (y, their_weights))
    )
    curves = Curves(quantile_tables(ours, theirs, low, high), low, high)
    whole_turn, _whole_memory = encode([Affine(rotation), curves, Affine(rotation.T)])
    run_map(x, whole_turn, None, 1.0, x)


def regrain(image: ImageLike, recolored: ImageLike, mask: MaskLike | None = None, *, strength: float = 1.0) -> Any:
    """Returns the colours of recolored, with the gradients of image where image is smooth.

    The change J - I minimises Σ φ |∇(J - I)|² + ψ |J - T|² for image I and recolored T, with g = |∇I| in 8-bit levels,
    φ = 30 / (1 + 10 g) and ψ = min(g / 5, 1): grain or bands that a transfer amplified are smoothed. Solved by damped
    Jacobi sweeps from coarse to fine, 4 on the finest level, inside the mask only. After Pitié,
    Kokaram and Dahyot, *Automated Colour Grading Using Colour Distribution Transfer*, 2007.

    Args:
        image: an image of any kind, see `reinhard`.
        recolored: image after a transfer, of any kind and dtype.
        mask: soft, of any kind: where the transfer was applied; None: everywhere.
        strength: the strength of the change of image, 0 to 1; 0 returns a copy of image.

    Returns, Raises: see `reinhard`; also ShapeError if recolored has another size than image.

    Example:
        >>> from pyharmony import color
        >>> image = np.full((8, 8, 3), 100, np.uint8)
        >>> grainy = 150 + np.random.default_rng(0).integers(-9, 10, image.shape).astype(np.uint8)
        >>> bool(color.regrain(image, grainy).std() < grainy.std())
        True
    """
    target = region(image, mask)
    amount = share(strength, "strength")
    after = region(recolored, None, "recolored", target).image
    if after.shape != target.image.shape:
        raise ShapeError(f"recolored: shape {list(after.shape)}, expected that of image, {list(target.image.shape)}")
    changed = Region(after, target.mask, "recolored")
    for part in (target, changed):
        part.stats()
    ours, colors = target.pixels[0], changed.pixels[0]
    return target.replace(ours + _smoothed_change(target, colors - ours), amount)


def _smoothed_change(target: Region, change: Float32) -> Float32:
    """Returns the change [N, 3] of a region's pixels, regrained."""
    width = target.image.shape[1]
    y, x = target.places // width, target.places % width
    top, left, bottom, right = y[0], x.min(), y[-1] + 1, x.max() + 1
    places = (y - top) * (right - left) + x - left
    inside, plane = np.zeros((bottom - top, right - left), bool), np.zeros((bottom - top, right - left, 3), np.float32)
    inside.reshape(-1)[places] = True
    plane.reshape(-1, 3)[places] = change
    smooth = smooth_change(target.image[top:bottom, left:right], plane, inside)
    return smooth.reshape(-1, 3).take(places, 0)
