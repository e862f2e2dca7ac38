"""Gradient-domain edits of one image, in float64 NumPy.

Perez, Gangnet, Blake: Poisson Image Editing, 2003, section 4. Each edit is the Poisson equation of
`pyharmony.reference.poisson` with the image as dst, and its differences times a gain as the guidance. The gain is
defined per pixel; that of an edge is the mean of the gains of both ends.
If no pixel is known, the mean of the image is preserved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .gaussian_poisson import Float64, apply_operator, conjugate_gradients, gaussian_poisson

__all__ = [
    "LEAST_GRADIENT",
    "LOG_OFFSET",
    "detail_boost",
    "edge_map",
    "edge_norm",
    "illumination_change",
    "inpaint",
    "sobel_norm",
    "texture_flattening",
]

#: The offset added before a logarithm, where 1 is white: one 8-bit level.
LOG_OFFSET = 1 / 255
#: Gradients below this share of their mean are amplified like a gradient of that size.
LEAST_GRADIENT = 0.01


def _edit(image: Float64, mask: Float64, gain: Float64, color_weight: Any = 0.0) -> Float64:
    has_background = not (mask > 0).all()
    return gaussian_poisson(
        image, image, mask, image, color_weight=color_weight, sigma=0.0, preserve_background=has_background, gain=gain
    )


def sobel_norm(image: Float64) -> Float64:
    """Returns |gradient| [H, W] in units per pixel: Sobel's kernel over 8, of the channel where it is the largest."""
    p = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    h, w = image.shape[:2]
    at = {(i, j): p[i : i + h, j : j + w] for i in range(3) for j in range(3)}
    gx = (at[0, 2] - at[0, 0]) + 2 * (at[1, 2] - at[1, 0]) + (at[2, 2] - at[2, 0])
    gy = (at[2, 0] - at[0, 0]) + 2 * (at[2, 1] - at[0, 1]) + (at[2, 2] - at[0, 2])
    return np.sqrt(((gx**2 + gy**2) / 64).max(-1))


def edge_norm(image: Float64) -> Float64:
    """Returns |gradient| [H, W]: the root of the mean over channels of the squared differences to the neighbours.

    The squares are averaged over the two neighbours along each axis and summed over the axes; zero across the border.
    """
    p = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    x, y = np.diff(p, axis=1)[1:-1] ** 2, np.diff(p, axis=0)[:, 1:-1] ** 2
    return np.sqrt((x[:, :-1] + x[:, 1:] + y[:-1] + y[1:]).mean(-1) / 2)


def edge_map(norm: Float64, low: float, high: float) -> Float64:
    """Returns 1 where norm >= high, and where a chain of norm >= low over eight neighbours leads to one; else 0."""
    weak, edges = norm >= low, norm >= high
    while True:
        p = np.pad(edges, 1)
        h, w = norm.shape
        near = np.zeros_like(edges)
        for i in range(3):
            for j in range(3):
                near |= p[i : i + h, j : j + w]
        next_edges = edges | (near & weak)
        if (next_edges == edges).all():
            return edges.astype(np.float64)
        edges = next_edges


def texture_flattening(image: Any, mask: Any, low: float, high: float) -> Float64:
    """Keeps the differences at edges and sets all others to zero; low and high are in the image's unit per pixel."""
    image, mask = np.asarray(image, np.float64), np.asarray(mask, np.float64)
    return _edit(image, mask, edge_map(sobel_norm(image), low, high))


def illumination_change(image: Any, mask: Any, alpha: float, beta: float, white: float = 1.0) -> Float64:
    """Multiplies differences of logs by (alpha mean / |gradient|)^beta, mean being that of |gradient| on the mask."""
    image, mask = np.asarray(image, np.float64), np.asarray(mask, np.float64)
    offset = LOG_OFFSET * white
    y = np.log(np.maximum(image, 0) + offset)
    norm = edge_norm(y)
    mean = norm[mask > 0].mean() if (mask > 0).any() else 0.0
    gain = np.ones(mask.shape) if mean == 0 else (alpha * mean / np.maximum(norm, LEAST_GRADIENT * mean)) ** beta
    return np.where((mask > 0)[..., None], np.exp(_edit(y, mask, gain)) - offset, image)


def detail_boost(image: Any, mask: Any, gain: float, color_weight: Any) -> Float64:
    """Multiplies differences by gain, while color_weight pulls colours to the image's."""
    image, mask = np.asarray(image, np.float64), np.asarray(mask, np.float64)
    return _edit(image, mask, np.full(mask.shape, float(gain)), color_weight)


def inpaint(image: Any, mask: Any) -> Float64:
    """Returns the membrane over mask > 0, blended with the image by the mask."""
    image, mask = np.asarray(image, np.float64), np.asarray(mask, np.float64)
    inside = (mask > 0)[..., None]
    outside = np.where(inside, 0.0, image)

    def laplacian(x: Float64) -> Float64:
        return np.where(inside, apply_operator(np.where(inside, x, 0.0), np.zeros(mask.shape), 1.0, 0.0), 0.0)

    rhs = np.where(inside, -apply_operator(outside, np.zeros(mask.shape), 1.0, 0.0), 0.0)
    membrane = conjugate_gradients(laplacian, rhs, np.zeros_like(image))
    m = mask[..., None]
    return np.where(inside, m * membrane + (1 - m) * np.where(m < 1, image, 0), image)
