"""The table of blends, by which the tests of every blend are parametrised; `test_blend.py` fails if one is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyharmony import _checks
from pyharmony.reference import alpha, gaussian_poisson, laplacian, poisson, pyramid

Options = dict[str, Any]


@dataclass(frozen=True)
class Blend:
    """A blend, and how tests call it and check it.

    Attributes:
        definition: returns the blend of src and dst [H, W, C] in float64, in their unit, for a mask [H, W] from 0 to 1.
        by_gradients: whether it solves for gradients: to a tolerance, with strips beside the border of dst as inside.
        relights: whether it changes an image that is blended over itself.
        determined: the options with which a mask may cover all of dst.
        variants: the options that change what it reads of dst.
    """

    definition: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    by_gradients: bool = False
    relights: bool = False
    determined: Options = field(default_factory=dict)
    variants: tuple[Options, ...] = ({},)


def laplacian_of(src: np.ndarray, dst: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the blend with as many levels as have their full weight in a quarter of the mask."""
    sides = [np.ptp(np.flatnonzero(mask.any(axis))) + 1 for axis in (0, 1)]
    return laplacian.laplacian(src, dst, mask, max(int(min(sides)) // 8, 1).bit_length() - 1, adapt=True)


def gaussian_poisson_of(
    src: np.ndarray, dst: np.ndarray, mask: np.ndarray, base: Any = "membrane", weight: Any = 1.0, preserve: bool = True
) -> np.ndarray:
    """Returns the pyramid of `blend.gaussian_poisson` in float64, for a mask that spans the image.

    base: 'membrane', 'copy-paste' or an image.
    """
    levels = [(src, dst, mask.astype(float), (mask == 0).astype(float), weight)]
    bases = [base]
    while min(levels[-1][2].shape) > 64:
        s, d, m, k, w = levels[-1]
        images, masks = (pyramid.downsample(x) for x in (s, d)), (pyramid.downsample_mask(x) for x in (m, k))
        levels.append((*images, *masks, w if np.ndim(w) == 0 else pyramid.downsample(w, 0.0)))
        bases.append(base if isinstance(base, str) else pyramid.downsample(bases[-1]))
    s, d, m, k, _ = levels[-1]
    x = bases[-1]
    if isinstance(base, str) and base == "copy-paste":
        x = alpha.alpha(s, d, m)
    elif isinstance(base, str):
        hold = np.where(k > 0, 2 + 4 * k / (1 - np.minimum(k, 0.999)), 0)
        x = poisson.poisson(s, d, m, color_weight=hold, base=d)
    for i, (s, d, m, k, w) in enumerate(reversed(levels)):
        if i > 0:
            x = pyramid.upsample(x, m.shape)
            if preserve:
                x = pyramid.meet_known(x, d, k)
        x = gaussian_poisson.gaussian_poisson(s, d, m, x, color_weight=w, preserve_background=preserve)
    return x


TABLE = {
    "alpha": Blend(alpha.alpha, variants=({}, {"feather": 4})),
    "laplacian": Blend(laplacian_of, variants=({}, {"levels": 3})),
    "poisson": Blend(
        poisson.poisson,
        by_gradients=True,
        determined={"color_weight": 1.0},
        variants=(
            *({"contour": c, "gradients": g} for c in _checks.CONTOURS for g in _checks.GRADIENTS),
            {"color_weight": 0.2},
        ),
    ),
    "gaussian_poisson": Blend(
        gaussian_poisson_of,
        by_gradients=True,
        variants=(
            {},
            {"contour": "full"},
            {"base": "copy-paste", "color_weight": 0.01},
            {"color_weight": 0.0},
            {"gradient_kernel": "scharr"},
        ),
    ),
}
#: The blends by networks, which have tests of their own: their results depend on weights.
NETWORKS = ("gp_gan",)

BLENDS = tuple(TABLE)
GRADIENTS = tuple(name for name, row in TABLE.items() if row.by_gradients)
#: Every blend with the options that change what it reads of dst.
VARIANTS = [(name, options) for name, row in TABLE.items() for options in row.variants]
