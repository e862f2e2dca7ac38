"""Sharpness: estimates the blur of an image from its edges, and blurs an object likewise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks, _reprs
from .._arrays import Float32, round_into
from .._images.call import Call, on_object, unchanged
from .._images.frame import Job
from .._images.planes import gaussian, reach_of
from .._images.region import Region, as_float
from .._images.threads import in_threads
from ..errors import NO_REASON, Reason
from ._tiles import bands_of, taller, tiles

#: The standard deviations of the narrow and the wide Gaussian under which slopes of edges are compared, in pixels.
_NARROW_SIGMA, _WIDE_SIGMA = 1.0, 2.0
_MIN_SLOPE = 0.02  # the least slope of an edge, in shares of white for each pixel
_MIN_SLOPE_NOISE_SIGMAS = 6.0  # the least slope of an edge, in standard deviations of the slopes of noise
#: The share of the edges that are assumed to be as sharp as the lens allows: the others are soft in the scene.
_SHARPEST_SHARE = 0.3
#: The least number of edges for an estimate.
_MIN_EDGES = 24
_PIXEL = 1 / 12  # the variance that the area of a pixel adds to an edge, in square pixels
_DIFFERENCE = 1 / 3  # the variance that a central difference adds, a mean over two pixels, in square pixels
_MAX_BLUR = 6.0  # the largest blur that is reported, in pixels
_MIN_BLUR = 0.15  # the least blur that is applied, in pixels


@dataclass(frozen=True, repr=False)
class SharpnessInfo(_reprs.Line):
    """A record of the blur that was added.

    Attributes:
        method: 'blur', or 'copy' if nothing was done.
        surroundings: the blur of the edges around the object, the standard deviation of a Gaussian in pixels; NaN if
            there are too few edges for an estimate.
        before: the same of the object before.
        added: the standard deviation of the Gaussian that was added, in pixels; 0 without one.
        reason: why nothing was done, in a few words; else empty.
        milliseconds: the wall time of the item.
        peak_bytes: the largest scratch memory, without the caller's arrays and the result.

    Example:
        >>> from pyharmony import matching
        >>> image = np.zeros((300, 400), np.uint8)
        >>> image[:, ::20] = 255
        >>> mask = np.zeros((300, 400), np.uint8)
        >>> mask[80:220, 130:270] = 255
        >>> result, info = matching.match_sharpness(image, mask, return_info=True)
        >>> info.method, info.added
        ('copy', 0.0)
    """

    method: str
    surroundings: float
    before: float
    added: float = 0.0
    reason: Reason = NO_REASON
    milliseconds: float = 0.0
    peak_bytes: int = 0


@on_object
def match_sharpness(call: Call, *, strength: float = 1.0) -> Any:
    """Blurs an object like its surroundings: a Gaussian is applied if its edges are sharper than theirs.

    The blur of an edge is estimated from the ratio of its slopes without and with a second Gaussian (Zhuo and Sim,
    "Defocus Map Estimation From a Single Image", Pattern Recognition 2011); only the sharpest third of the edges is
    used, since others are soft in the scene. An object that is less sharp than its surroundings does not change.

    Args:
        image: the composite, see `pyharmony.blend`.
        mask: the mask of the object, of the image's size, soft; of any kind that `pyharmony.blend` accepts.
        at: (x, y), the position in the image of the first pixel of a mask of another size; see `pyharmony.harmonize`.
        strength: the share of the missing blur's variance that is added, 0 to 1.
        keep_gps, errors, out: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda'; the work is done on the CPU, and arrays on a CUDA device are copied.
        return_info: whether to return a SharpnessInfo too, or one for each item.

    Returns:
        The image, in its own kind, layout, shape and dtype, or (image, info). Pixels with a mask of zero are those of
        image, bit for bit; colours from outside of the mask do not bleed into the object.

    Raises:
        MaskError: mask is None.
        ArgumentError: strength is outside 0 to 1; the image contains NaN or infinities.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import matching
        >>> columns = np.arange(400)
        >>> row = 128 + 100 * np.tanh(3 * np.sin(columns * np.pi / 20))  # soft edges
        >>> image = np.repeat(row[None], 300, 0).round().astype(np.uint8)
        >>> mask = np.zeros((300, 400), np.uint8)
        >>> mask[80:220, 130:270] = 255
        >>> image[mask > 0] = np.where(image > 128, np.uint8(228), np.uint8(28))[mask > 0]  # hard ones
        >>> result, info = matching.match_sharpness(image, mask, return_info=True)
        >>> info.method, info.before < 0.5 < info.surroundings
        ('blur', True)
    """
    share = _checks.number(strength, "strength", high=1.0, accepts="a number from 0 to 1")
    return call.each(partial(_matched, share=share), unchanged("nothing was blurred: "))


def _matched(job: Job, share: float) -> SharpnessInfo:
    job.begin()
    if job.bbox.empty:
        return SharpnessInfo("copy", math.nan, math.nan)
    outside, inside = blur_of(tiles(job, False)), blur_of(tiles(job, True))
    reason = NO_REASON
    if math.isnan(outside):
        reason = Reason("few-edges-around", "there are too few edges around the object to estimate their blur")
    elif math.isnan(inside):
        reason = Reason("few-edges", "the object has too few edges to estimate its blur")
    if reason:
        return SharpnessInfo("copy", outside, inside, reason=reason)
    blur = math.sqrt(max(0.0, outside**2 - inside**2) * share)
    if blur < _MIN_BLUR:
        return SharpnessInfo("copy", outside, inside)
    _blur(job, blur)
    return SharpnessInfo("blur", outside, inside, blur)


def blur_of(patches: Float32) -> float:
    """Returns the blur of the edges of patches [N, h, w, C], a deviation in pixels; NaN if there are too few edges."""
    if not len(patches):
        return math.nan
    grey = patches[..., :3].mean(-1) if patches.shape[-1] >= 3 else patches[..., 0]
    near, far = _slopes(grey, _NARROW_SIGMA), _slopes(grey, _WIDE_SIGMA)
    steep = np.hypot(*near)
    noise = float(np.median(steep)) / 1.18 if steep.any() else 0.0
    edges = _ridges(steep, near) & (steep > max(_MIN_SLOPE, _MIN_SLOPE_NOISE_SIGMAS * min(noise, _MIN_SLOPE)))
    margin = math.ceil(2 * _WIDE_SIGMA)
    edges[:, :margin] = edges[:, -margin:] = edges[:, :, :margin] = edges[:, :, -margin:] = False
    if np.count_nonzero(edges) < _MIN_EDGES:
        return math.nan
    ratio = np.square(steep[edges] / np.maximum(np.hypot(*far)[edges], 1e-9))
    # The slope of a step of blur s under a Gaussian of variance a² is proportional to (s² + a²) ^ -½.
    near_square, far_square = _NARROW_SIGMA**2 + _DIFFERENCE, _WIDE_SIGMA**2 + _DIFFERENCE
    variance = (far_square - ratio * near_square) / np.maximum(ratio - 1, 1e-6) - _PIXEL
    return min(math.sqrt(max(0.0, float(np.quantile(variance, _SHARPEST_SHARE)))), _MAX_BLUR)


def _slopes(grey: Float32, deviation: float) -> tuple[Float32, Float32]:
    """Returns the derivatives along rows and columns of tiles [N, h, w] under a Gaussian."""
    smooth = gaussian(grey, deviation, (1, 2))
    padded = np.pad(smooth, [(0, 0), (1, 1), (1, 1)], mode="edge")
    across, down = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    return across * np.float32(0.5), down * np.float32(0.5)


def _ridges(steep: Float32, slopes: tuple[Float32, Float32]) -> npt.NDArray[np.bool_]:
    """Returns the local maxima of a slope across its edge, along the nearer of the two axes."""
    along_rows = np.abs(slopes[0]) >= np.abs(slopes[1])
    ridges = np.zeros(steep.shape, np.bool_)
    rows = (steep[:, :, 1:-1] >= steep[:, :, :-2]) & (steep[:, :, 1:-1] >= steep[:, :, 2:])
    columns = (steep[:, 1:-1] >= steep[:, :-2]) & (steep[:, 1:-1] >= steep[:, 2:])
    ridges[:, :, 1:-1] |= rows & along_rows[:, :, 1:-1]
    ridges[:, 1:-1] |= columns & ~along_rows[:, 1:-1]
    return ridges


def _blur(job: Job, deviation: float) -> None:
    """Blurs the object by a Gaussian, weighted by the mask, so that no colour from outside bleeds in."""
    region, reach = job.bbox, reach_of(deviation)
    # No other task reads what one writes.
    source = job.dst_of(region)

    def blur(part: Region) -> None:
        around = taller(part, reach, region)
        mask = np.asarray(as_float(job.mask_of(around)), np.float32)[..., None]
        before = around.of(source, region.origin).astype(job.real)
        weighted = gaussian(before * mask, deviation)
        weights = gaussian(mask, deviation)
        values = np.where(weights > 1e-4, weighted / np.maximum(weights, 1e-4), before)
        values = before + mask * (values - before)
        inner = slice(part.y0 - around.y0, part.y1 - around.y0)
        round_into(values[inner], part.of(job.out), where=mask[inner] > 0)

    in_threads(blur, bands_of(region))
