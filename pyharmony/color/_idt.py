"""Iterative distribution transfer, and the regraining that follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import VALUE_RANGE, Array, NumpyArray
from ..errors import ShapeError
from ..ops.color_map import Affine, Curves, bounds, color_image, encode, share
from ..ops.color_map import run as run_map
from ..ops.color_stats import run as run_stats
from ._common import Float64, Region, both, generator, region, whole
from ._histogram import quantile_tables

Float32 = npt.NDArray[np.float32]

#: Sweeps of each level of `regrain`, finest first.
_SWEEPS = (4, 16, 32, 64, 64, 64)
#: A level of fewer pixels a side has no coarser one.
_SMALLEST = 20


def idt(
    image: Array, reference: Array, mask: Array | None = None, reference_mask: Array | None = None, *,
    iterations: int = 20, bins: int = 512, seed: Any = 0, regrain: bool = True, strength: float = 1.0,
) -> Array:  # fmt: skip
    """The whole distribution of colours: iterative distribution transfer, then `regrain`.

    Each iteration turns colours to other axes R, matches the cumulative histogram along each of them, and turns them
    back: x ← Rᵀ t(R x). The first R is the identity, the others are random rotations. After Pitié, Kokaram and Dahyot,
    *Automated Colour Grading Using Colour Distribution Transfer*, 2007.

    Args:
        image, reference, mask, reference_mask, strength: as of `reinhard`.
        iterations: 1 to 1000.
        bins: of the histograms, 2 to 65536.
        seed: of the rotations: a whole number, or a numpy.random.Generator, which is advanced.
        regrain: whether to keep the gradients of image where it is smooth.

    Returns:
        As `reinhard`.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: as `reinhard`; another argument is not accepted.
    """
    target, source, amount = both(image, reference, mask, reference_mask, strength)
    rounds, count = whole(iterations, "iterations", 1, 1000), whole(bins, "bins", 2, 65536)
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
    moved = x[0]
    if regrain:
        moved = ours + _smoothed_change(target, moved - ours)
    return target.replace(moved, amount, image)


def random_rotation(rng: np.random.Generator) -> Float64:
    """[3, 3], uniform over the rotations."""
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
    turn, _held = encode([Affine(rotation)])
    ours, theirs = (
        run_stats(colors, w, turn, bins, edges, False).foreground.histogram
        for colors, w in ((x, weights), (y, their_weights))
    )
    curves = Curves(quantile_tables(ours, theirs, low, high), low, high)
    whole_turn, _held_too = encode([Affine(rotation), curves, Affine(rotation.T)])
    run_map(x, whole_turn, None, 1.0, x)


def regrain(image: Array, recolored: Array, mask: Array | None = None, *, strength: float = 1.0) -> Array:
    """The colours of recolored with the gradients of image where image is smooth.

    The change J - I minimises Σ φ |∇(J - I)|² + ψ |J - T|² for image I and recolored T, with g = |∇I| in 8-bit levels,
    φ = 30 / (1 + 10 g) and ψ = min(g / 5, 1): what a transfer stretched into grain or bands is smooth again. Damped
    Jacobi sweeps from coarse to fine, 4 on the finest level, inside the mask only. After Pitié, Kokaram and Dahyot,
    *Automated Colour Grading Using Colour Distribution Transfer*, 2007.

    Args:
        image: [H, W, 3], any image dtype.
        recolored: [H, W, 3], image after a transfer, of any image dtype.
        mask: [H, W], soft: where the transfer was; None: everywhere.
        strength: 0 to 1: how far from image; 0 gives a copy of image.

    Returns:
        As `reinhard`.

    Raises:
        ShapeError, DTypeError, MaskError, ArgumentError: as `reinhard`; recolored has another size than image.
    """
    target = region(image, mask)
    amount = share(strength, "strength")
    after = color_image(recolored, "recolored")
    if after.shape != target.image.shape:
        raise ShapeError(f"recolored: shape {list(after.shape)} differs from image {list(target.image.shape)}")
    changed = Region(after, target.mask, "recolored")
    for part in (target, changed):
        part.stats()
    ours, moved = target.pixels[0], changed.pixels[0]
    return target.replace(ours + _smoothed_change(target, moved - ours), amount, image)


def _smoothed_change(target: Region, change: Float32) -> Float32:
    """The change [N, 3] of a region's pixels, regrained."""
    height, width = target.image.shape[:2]
    inside = np.ones((height, width), bool) if target.mask is None else target.mask > 0
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside = inside[box]
    levels = 255 / np.float32(VALUE_RANGE[target.image.dtype.name])
    planes = np.zeros((2, 3, *inside.shape), np.float32)
    planes[0][:, inside] = target.image[box][inside].T * levels
    planes[1][:, inside] = change.T
    return np.ascontiguousarray(_regrain_level(planes[0], planes[1], inside, 0)[:, inside].T)


def _regrain_level(image: Float32, change: Float32, inside: NumpyArray, level: int) -> Float32:
    """image in 8-bit levels and change are [3, H, W], zero outside; the smoothed change."""
    height, width = inside.shape
    start = change
    if level + 1 < len(_SWEEPS) and min(height, width) > _SMALLEST:
        share_inside = _halve(inside[None].astype(np.float32))[0]
        known = share_inside > 0
        per = np.where(known, 1 / np.where(known, share_inside, 1), 0).astype(np.float32)
        coarse = _regrain_level(_halve(image) * per, _halve(change) * per, known, level + 1)
        start = np.where(inside, coarse.repeat(2, 1).repeat(2, 2)[:, :height, :width], 0)

    down, right = inside[1:] & inside[:-1], inside[:, 1:] & inside[:, :-1]
    gradient = np.zeros((height, width), np.float32)
    gradient[:-1] += np.where(down, ((image[:, 1:] - image[:, :-1]) ** 2).sum(0), 0)
    gradient[:, :-1] += np.where(right, ((image[:, :, 1:] - image[:, :, :-1]) ** 2).sum(0), 0)
    gradient = np.sqrt(gradient)
    keep = np.minimum(gradient / 5, 1)
    smooth = 30 * np.float32(0.5**level) / (1 + 10 * gradient)
    vertical = np.where(down, (smooth[1:] + smooth[:-1]) / 2, 0)
    horizontal = np.where(right, (smooth[:, 1:] + smooth[:, :-1]) / 2, 0)
    total = keep.copy()
    total[1:] += vertical
    total[:-1] += vertical
    total[:, 1:] += horizontal
    total[:, :-1] += horizontal
    alone = total == 0
    per_total = np.where(alone, 0, 1 / np.where(alone, 1, total)).astype(np.float32)
    wanted = np.where(alone, change, keep * change * per_total)
    x, y, part = np.array(start, np.float32), np.empty_like(change), np.empty_like(change)
    here, before, after = np.s_[:], np.s_[:-1], np.s_[1:]
    links = (
        (vertical * per_total[1:], (here, after, here), (here, before, here)),
        (vertical * per_total[:-1], (here, before, here), (here, after, here)),
        (horizontal * per_total[:, 1:], (here, here, after), (here, here, before)),
        (horizontal * per_total[:, :-1], (here, here, before), (here, here, after)),
    )
    for _ in range(_SWEEPS[level]):
        np.subtract(wanted, x, out=y)
        for weight, at, neighbour in links:
            y[at] += np.multiply(weight, x[neighbour], out=part[at])
        y *= np.float32(0.8)  # undamped, a checkerboard would stay
        x += y
    return x


def _halve(x: Float32) -> Float32:
    """Means of 2 x 2 of [C, H, W], zeros beyond the border."""
    x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)))
    total: Float32 = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return total * np.float32(0.25)
