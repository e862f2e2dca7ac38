"""Poisson image editing on a mask, in float64 NumPy.

Perez, Gangnet, Blake: Poisson Image Editing, 2003, eq. 7, with a screening term:
``(L + color_weight I) x = b + color_weight base`` on the pixels with mask > 0; the others
are dst. It is the Gaussian-Poisson equation with a Gaussian of width zero and a preserved
background, see `pyharmony.reference.gaussian_poisson` for L, b and the soft mask.

With the contour 'full', a hard mask, gradients 'source' and no color_weight it is eq. 7 itself: v_pq = g_p - g_q,
eq. 11, for every edge of an unknown pixel p, known neighbours q included. 'half' uses half of each image there.
"""

from __future__ import annotations

from typing import Any

from .gaussian_poisson import Float64, gaussian_poisson

__all__ = ["poisson"]


def poisson(
    src: Any,
    dst: Any,
    mask: Any,
    *,
    gradients: str = "source",
    contour: str = "half",
    color_weight: Any = 0.0,
    base: Any = None,
) -> Float64:
    """Solves the equation above exactly.

    Args:
        src, dst: [H, W, C], any real dtype and unit.
        mask: [H, W] in [0, 1]; with color_weight zero at least one pixel must be zero.
        gradients: 'source', 'mixed', 'average' or 'monochrome'.
        contour: the share of the guidance at an edge: 'half', the mean of the mask over its two pixels, or 'full',
            the larger of the two.
        color_weight: a number or a map [H, W], not negative.
        base: [H, W, C], the colours to which color_weight pulls; None means src.

    Returns:
        [H, W, C] float64, in the unit of the inputs.
    """
    return gaussian_poisson(
        src,
        dst,
        mask,
        src if base is None else base,
        color_weight=color_weight,
        sigma=0.0,
        preserve_background=True,
        gradients=gradients,
        contour=contour,
    )
