"""Transfers that match means and covariances: Reinhard, Xiao and Ma, Monge-Kantorovich."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from .._arrays import Float64
from ..ops.color_map import Affine, Exp, Log
from ..typing import ImageLike, MaskLike
from .common import NO_SPREAD, map_about, regions
from .spaces import LMS_FLOOR, LMS_TO_LALPHABETA, RGB_TO_LMS

__all__ = ["floored", "mkl", "reinhard", "transport", "xiao_ma"]

_TO_LMS = Affine(np.column_stack([RGB_TO_LMS, np.full(3, LMS_FLOOR)]))
_FROM_LMS = np.linalg.inv(RGB_TO_LMS)


def reinhard(
    image: ImageLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    strength: float = 1.0,
) -> Any:  # fmt: skip
    """Matches mean and standard deviation of each channel of ℓαβ: x' = (x - μ) σ_r / σ + μ_r.

    ℓαβ are the decorrelated logarithms of the cones' responses; 1/255 is added before the logarithm and subtracted
    again at the end. A channel with σ below 1e-4 is only shifted. After Reinhard et al., *Color Transfer between
    Images*, 2001.

    Args:
        image: an image of any kind: NumPy [H, W, 3] or [H, W, 4], torch [3, H, W] or [4, H, W] on the CPU, in RGB and
            any image dtype; a PIL image, a path, the bytes of a file, an open binary file or a `pyharmony.io.Picture`.
            Its alpha multiplies the mask, and is preserved.
        reference: the image with the reference colours, of any kind, dtype and size. A file is converted to the colour
            profile of image.
        mask: soft, of any kind, [H, W] as an array: where image is changed, and the weights of its statistics. None:
            everywhere.
        reference_mask: the weights of reference's statistics, like mask; None: the whole reference.
        strength: the strength of the change, 0 to 1; 0 returns a copy.

    Returns:
        An image of image's kind, layout and dtype; for a file a PIL image, or an array if it has more than 8 bits.
        Where the mask is zero it equals image bit for bit; elsewhere image + strength · mask · (image' - image),
        integers rounded half to even and clamped, floats not clipped.

    Raises:
        ShapeError, DTypeError: an image does not have three colours, or is a batch; a mask has another size.
        DecodeError: a file is not an image.
        MaskError: a mask is zero everywhere, or not a mask.
        ArgumentError: strength is outside 0 to 1, or NaN or infinities are inside a mask.

    Example:
        >>> from pyharmony import color
        >>> image = np.random.default_rng(0).integers(50, 100, (16, 16, 3), np.uint8)
        >>> result = color.reinhard(image, image + 100)
        >>> bool(result.mean() > image.mean() + 80)
        True
    """
    target, source, amount = regions(image, reference, mask, reference_mask, strength)
    ours, theirs = (part.stats([_TO_LMS, Log()]) for part in (target, source))
    spread, goal = (
        np.sqrt(np.einsum("ij,jk,ik->i", LMS_TO_LALPHABETA, part.covariance, LMS_TO_LALPHABETA).clip(0))
        for part in (ours, theirs)
    )
    scale = np.where(spread > NO_SPREAD, goal / np.maximum(spread, NO_SPREAD), 1.0)
    mixed = LMS_TO_LALPHABETA.T @ np.diag(scale) @ LMS_TO_LALPHABETA
    back = np.column_stack([_FROM_LMS, _FROM_LMS @ np.full(3, -LMS_FLOOR)])
    return target.map([_TO_LMS, Log(), Affine(map_about(mixed, ours.mean, theirs.mean)), Exp(), Affine(back)], amount)


def xiao_ma(
    image: ImageLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    strength: float = 1.0,
) -> Any:  # fmt: skip
    """Matches mean and covariance in RGB, by the principal axes: x' = U_r S_r^½ S^-½ Uᵀ (x - μ) + μ_r.

    U S Uᵀ is a covariance, with axes in order of decreasing variance; of an axis' two directions the nearer is used.
    After Xiao and Ma, *Color Transfer in Correlated Color Space*, 2006. An axis with σ below 1e-4 is not scaled.

    Args, Returns, Raises: see `reinhard`.

    Example:
        >>> from pyharmony import color
        >>> image = np.random.default_rng(0).integers(0, 100, (16, 16, 3), np.uint8)
        >>> reference = image + 100
        >>> bool(np.abs(color.xiao_ma(image, reference).mean() - reference.mean()) < 1)
        True
    """
    target, source, amount = regions(image, reference, mask, reference_mask, strength)
    ours, theirs = target.stats(), source.stats()
    (variance, axes), (goal_variance, onto) = (_principal(part.covariance) for part in (ours, theirs))
    onto = onto * np.where((axes * onto).sum(0) < 0, -1.0, 1.0)
    spread, goal = np.sqrt(variance), np.sqrt(goal_variance)
    scale = np.where(spread > NO_SPREAD, goal / np.maximum(spread, NO_SPREAD), 1.0)
    return target.map([Affine(map_about(onto @ np.diag(scale) @ axes.T, ours.mean, theirs.mean))], amount)


def mkl(
    image: ImageLike, reference: ImageLike, mask: MaskLike | None = None, reference_mask: MaskLike | None = None, *,
    floor: float = 0.0, strength: float = 1.0,
) -> Any:  # fmt: skip
    """Matches mean and covariance in RGB, moving colours as little as possible: the linear Monge-Kantorovich map.

    x' = T (x - μ) + μ_r with T = Σ^-½ (Σ^½ Σ_r Σ^½)^½ Σ^-½, the optimal transport between Gaussians. After Pitié and
    Kokaram, *The Linear Monge-Kantorovitch Linear Colour Mapping for Example-Based Colour Transfer*, 2007. Directions
    with σ below 1e-4 are not scaled.

    Args:
        image, reference, mask, reference_mask, strength: see `reinhard`.
        floor: the smallest variance, to which others are raised, 0 to 1e6; 1 is the square of white. It limits the
            amplification of noise in regions of nearly one colour.

    Returns, Raises: see `reinhard`; also ArgumentError if floor is not accepted.

    Example:
        >>> from pyharmony import color
        >>> image = np.random.default_rng(0).integers(0, 100, (16, 16, 3), np.uint8)
        >>> reference = image + 100
        >>> bool(np.abs(color.mkl(image, reference).mean() - reference.mean()) < 1)
        True
    """
    target, source, amount = regions(image, reference, mask, reference_mask, strength)
    least = _checks.number(floor, "floor", high=1e6, accepts="a number from 0 to 1e6")
    ours, theirs = target.stats(), source.stats()
    matrix = transport(floored(ours.covariance, least), floored(theirs.covariance, least))
    return target.map([Affine(map_about(matrix, ours.mean, theirs.mean))], amount)


def floored(covariance: Float64, least: float) -> Float64:
    """Returns a covariance with its variances raised to at least `least`."""
    return covariance + np.diag(np.maximum(least - np.diag(covariance), 0))


def transport(covariance: Float64, goal: Float64, no_spread: float = NO_SPREAD) -> Float64:
    """Returns the linear optimal transport between Gaussians of two covariances; identity along axes without spread."""
    variance, axes = np.linalg.eigh(covariance)
    spread = np.sqrt(variance.clip(0))
    has_spread = spread > no_spread
    inverse = np.where(has_spread, 1 / np.maximum(spread, no_spread), 0)
    root = axes @ np.diag(np.where(has_spread, spread, 0)) @ axes.T
    middle, middle_axes = np.linalg.eigh(root @ goal @ root)
    shrink = axes @ np.diag(inverse) @ axes.T
    linear = shrink @ (middle_axes @ np.diag(np.sqrt(middle.clip(0))) @ middle_axes.T) @ shrink
    return linear + axes @ np.diag(1.0 - has_spread) @ axes.T


def _principal(covariance: Float64) -> tuple[Any, Float64]:
    """Returns the variances, largest first, and their axes as columns."""
    variance, axes = np.linalg.eigh(covariance)
    return variance[::-1].clip(0), axes[:, ::-1]
