"""Random lookup tables over the colour cube, and mixes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops.color_map import Lut, share
from ..reference.luma import LUMA
from ..typing import Array, ImageLike, MaskLike, Rng
from .common import generator, region


def random_lut(rng: Rng, size: int = 17, *, amount: float = 1.0) -> npt.NDArray[np.float32]:
    """Returns a random smooth colour map as a lookup table.

    The map applies a power and a curve to each channel, mixes the channels so that greys stay grey except for gains,
    and adds a smooth offset, like changes of light, camera or grading. Random numbers are the same for any amount.

    Args:
        rng: a numpy.random.Generator, which is advanced, or a whole number to seed one.
        size: the number of entries per side, 2 to 65.
        amount: the distance of the map from the identity, 0 to 2.

    Returns:
        [size, size, size, 3] float32 in [0, 1]; [i, j, k] is the colour of red i, green j and blue k of size - 1.

    Raises:
        DTypeError, ArgumentError: an argument is not accepted.

    Example:
        >>> from pyharmony import color
        >>> color.random_lut(0, 5).shape
        (5, 5, 5, 3)
        >>> bool(np.array_equal(color.random_lut(7, 5), color.random_lut(7, 5)))
        True
    """
    generate = generator(rng, "rng")
    n = _checks.whole(size, "size", low=2, high=65)
    scale = _checks.number(amount, "amount", high=2.0, accepts="a number from 0 to 2")
    axis = np.linspace(0, 1, n)
    power = np.exp2(scale * (generate.uniform(-0.5, 0.5) + generate.uniform(-0.25, 0.25, 3)))
    bend = scale * generate.uniform(-0.5, 0.5)
    gain = np.exp2(scale * (generate.uniform(-0.3, 0.3) + generate.uniform(-0.25, 0.25, 3)))
    mix = np.eye(3) + scale * (generate.uniform(-0.4, 0.4) * (np.eye(3) - LUMA) + generate.normal(0, 0.05, (3, 3)))
    offset = scale * generate.normal(0, 0.05, (3, 3, 3, 3))

    curves = axis[:, None] ** power
    curves = curves + bend * curves * (1 - curves) * (2 * curves - 1)
    cube = np.stack(np.meshgrid(*curves.T, indexing="ij"), -1)
    mix *= (gain / mix.sum(1))[:, None]
    place = 2 * axis
    near = np.maximum(1 - np.abs(place[:, None] - np.arange(3)), 0)  # [n, 3], linear between three nodes per side
    smooth = np.einsum("ia,jb,kc,abcd->ijkd", near, near, near, offset, optimize=True)
    return np.clip(cube @ mix.T + smooth, 0, 1).astype(np.float32)


def lut_mix(
    image: ImageLike,
    luts: Sequence[Array] | Array,
    mask: MaskLike | None = None,
    *,
    weights: Sequence[float] | Array | None = None,
    rng: Rng | None = None,
    strength: float = 1.0,
) -> Any:
    """Maps colours by a convex mix of lookup tables, interpolated tetrahedrally.

    x' = (Σ_k w_k lut_k)(x), w_k ≥ 0 with sum one, gives many looks from a few tables, at the cost of one. After Niu et
    al., *Deep Image Harmonization with Learnable Augmentation*, 2023, where a network predicts the weights.

    Args:
        image: an image of any kind, see `reinhard`; floats are clipped to [0, 1].
        luts: [K, n, n, n, 3] or a list of K tables like those of `random_lut`.
        mask, strength: see `reinhard`.
        weights: K numbers of at least 0, divided by their sum. None: uniform over the simplex, drawn from rng.
        rng: a numpy.random.Generator, which is advanced, or a whole number; it is required without weights, else None.

    Returns, Raises: see `reinhard`; also ShapeError, ArgumentError if tables differ in size, or weights are invalid.

    Example:
        >>> from pyharmony import color
        >>> luts = [color.random_lut(seed, 5) for seed in range(3)]
        >>> image = np.full((2, 2, 3), 128, np.uint8)
        >>> color.lut_mix(image, luts, weights=[0.5, 0.3, 0.2]).shape
        (2, 2, 3)
    """
    target = region(image, mask)
    amount = share(strength, "strength")
    accepts = "[K, n, n, n, 3] or a list of tables"
    try:
        tables = [np.asarray(table, np.float32) for table in _checks.several(luts, "luts", accepts)]
    except ValueError as error:
        raise DTypeError(f"luts: not numeric, expected {accepts}") from error
    if not tables:
        raise ShapeError(f"luts: none, expected {accepts}")
    for table in tables:
        n = len(table) if table.ndim == 4 else 0
        if table.shape != (n, n, n, 3) or table.shape != tables[0].shape:
            raise ShapeError(f"luts: a table of shape {list(table.shape)}, expected [n, n, n, 3], the same n for all")
    if (weights is None) == (rng is None):
        raise ArgumentError("weights: expected either weights or rng")
    if weights is None:
        mix = generator(rng, "rng").dirichlet(np.ones(len(tables)))
    else:
        try:
            mix = np.asarray(weights, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise DTypeError(f"weights: {type(weights).__name__}, expected {len(tables)} numbers") from error
        if mix.shape != (len(tables),):
            raise ShapeError(f"weights: shape {list(mix.shape)}, expected [{len(tables)}]")
        if not (np.isfinite(mix).all() and (mix >= 0).all() and mix.sum() > 0):
            raise ArgumentError(f"weights: {mix.tolist()}, expected finite numbers of at least 0, one above 0")
        mix = mix / mix.sum()
    if target.image.dtype.kind == "f":
        target.stats()
    mixed = np.zeros(tables[0].shape, np.float32)
    for w, table in zip(mix, tables):
        mixed += np.float32(w) * table
    return target.map([Lut(mixed)], amount)
