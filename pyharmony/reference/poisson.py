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
    """Solves the equation above exactly; the arguments are those of `gaussian_poisson`.

    With color_weight zero at least one pixel of the mask must be zero; a base of None is src.
    """
    options: Any = {"gradients": gradients, "contour": contour, "color_weight": color_weight}
    ground = src if base is None else base
    return gaussian_poisson(src, dst, mask, ground, sigma=0.0, preserve_background=True, **options)
