"""Corrections by hand: the colours of a matched subject, and where its edge is and how soft."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Float32, NumpyArray
from .._images.fill import fill
from .._images.levels import in_dtype, rounded
from .._images.planes import gaussian
from .._images.region import as_float
from .._images.sizes import resized
from ..color import Retouching
from ..ops.distance import distance_inside

#: The corrections that are arguments of `pyharmony.color.Retouching`.
_COLOURS = ("exposure", "temperature", "contrast", "saturation", "curve")
#: The deviation of the Gaussian that smooths distances before their gradient is taken, in pixels.
_DISTANCE_SIGMA = 1.0
#: The number of levels of alpha for which the distance to the nearest pixel that has them is computed.
_LEVELS = 8
#: The deviation of a Gaussian below which it is the identity, in pixels.
_MIN_SIGMA = 0.05
#: The deviation in pixels of a reduced plane above which a Gaussian is computed on a further reduced one.
_MAX_REDUCED_SIGMA = 1.5


class Edge(NamedTuple):
    """The change of an edge, in pixels of the alpha that is changed."""

    shift: float  # outwards if above 0
    deviation: float  # that of the Gaussian that softens it

    @staticmethod
    def of(adjust: Mapping[str, Any] | None, pixels: float) -> Edge:
        """Returns the change of a subject's edge; pixels: the number of pixels of alpha for one of the background."""
        values = adjust or {}
        return Edge(values.get("edge", 0.0) * pixels, values.get("feather", 0.0) * pixels / 2)

    @property
    def reach(self) -> int:
        """The distance outside the subject beyond which alpha stays 0, in whole pixels; 0 if nothing changes."""
        if not self.shift and not self.deviation:
            return 0
        return math.ceil(max(0.0, self.shift) + 5 * self.deviation) + 2


def with_edge(alpha: NumpyArray, colours: NumpyArray, edge: Edge, there: NumpyArray | None) -> tuple[NumpyArray, ...]:
    """Returns the alpha [h, w] and the colours [h, w, 3] of a subject with another edge.

    An edge that moves outwards uncovers what the photo shows there. Where it is softer, and where the photo shows
    nothing, colours are extrapolated: those of the old background would be a halo.

    colours: the decontaminated colours of alpha, of its dtype.
    there: where the photo shows something, [h, w] bool; None: everywhere.
    """
    share = np.clip(as_float(alpha), 0, 1)
    holes = np.zeros(alpha.shape, bool) if there is None else ~there
    if edge.shift:
        share = moved(share, edge.shift)
    if edge.deviation > _MIN_SIGMA:
        holes |= share == 0
        share = feathered(share, edge.deviation)
    changed = in_dtype(share, alpha.dtype)
    if (changed[holes] > 0).any():
        filled = fill(colours.astype(np.float32), holes)
        colours = np.where(holes[..., None], rounded(filled, colours.dtype), colours)
    return changed, colours


def moved(alpha: Float32, shift: float) -> Float32:
    """Returns alpha [h, w] with its edge moved by a distance outwards, or, below 0, inwards; its softness is kept.

    Beyond the photo the subject goes on as at its border.
    """
    return _widened(alpha, shift) if shift > 0 else 1 - _widened(1 - alpha, -shift)


def _widened(alpha: Float32, reach: float) -> Float32:
    """Returns alpha with its edge moved outwards, so that it is about the largest value within that reach.

    A pixel gets the alpha at that distance towards the subject, along the gradient of the signed distance of its edge,
    which is exact at straight edges of any direction and softness. Narrow gaps and parts, across which that may lead,
    get at least the levels of alpha that are that near.
    """
    peak = float(alpha.max())
    if peak == 0:
        return alpha
    far = float(sum(alpha.shape))
    inside = alpha >= min(0.5, peak / 2)
    signed = np.minimum(distance_inside(inside), far) - np.minimum(distance_inside(~inside), far)
    slopes = (
        np.gradient(gaussian(signed, _DISTANCE_SIGMA, reach=2)) if min(alpha.shape) > 1 else [np.zeros_like(alpha)] * 2
    )
    near = (alpha < 1) & (distance_inside(alpha == 0) <= reach + 1)
    ys, xs = np.nonzero(near)
    down, across = (slope[ys, xs] for slope in slopes)
    steepness = np.maximum(np.hypot(down, across), np.float32(1e-6))
    result = alpha.copy()
    result[ys, xs] = np.maximum(
        alpha[ys, xs], _sampled(alpha, ys + reach * (down / steepness), xs + reach * (across / steepness))
    )
    levels = np.arange(1, _LEVELS + 1, dtype=np.float32) / _LEVELS
    for level in levels if reach >= 1 else ():
        np.maximum(result, level, out=result, where=distance_inside(alpha < level) <= reach)
    return result


def _sampled(plane: Float32, ys: NumpyArray, xs: NumpyArray) -> Float32:
    """Returns the values [N] of a plane between its pixels, interpolated linearly, and replicated beyond its border."""
    height, width = plane.shape
    ys, xs = np.clip(ys, 0, height - 1), np.clip(xs, 0, width - 1)
    top, left = ys.astype(np.intp), xs.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    v, u = (ys - top).astype(np.float32), (xs - left).astype(np.float32)
    above = (1 - u) * plane[top, left] + u * plane[top, right]
    below = (1 - u) * plane[bottom, left] + u * plane[bottom, right]
    result: Float32 = (1 - v) * above + v * below
    return result


def feathered(alpha: Float32, deviation: float) -> Float32:
    """Returns alpha [h, w] under a Gaussian, mirrored at the photo's border, so that its mean is kept.

    A wide one is computed on a reduced plane. A linear reduction and enlargement by a factor have, together, a third of
    its square as their variance.
    """
    every = max(1, int(deviation / _MAX_REDUCED_SIGMA))
    height, width = alpha.shape
    small = resized(alpha, (max(1, round(width / every)), max(1, round(height / every)))) if every > 1 else alpha
    rest = math.sqrt((deviation / every) ** 2 - (1 / 3 if every > 1 else 0))
    blurred = resized(gaussian(small, rest, reach=3), (width, height))
    # The sum of the kernel is 1 but for rounding.
    result: Float32 = np.where(blurred > 1 - 1e-5, np.float32(1), np.where(blurred < 1e-5, np.float32(0), blurred))
    return result


def retouching_of(adjust: Mapping[str, Any] | None) -> Retouching | None:
    """Returns the parameters of corrections for `pyharmony.color.retouch`; None if colours do not change."""
    values: dict[str, Any] = {name: value for name, value in (adjust or {}).items() if name in _COLOURS}
    parameters = Retouching(**values)
    return None if parameters == Retouching() else parameters
