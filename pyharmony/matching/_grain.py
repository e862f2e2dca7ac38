"""Grain: estimates the noise of an image in three bands, and adds noise to an object likewise."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _checks, _reprs
from .._arrays import VALUE_RANGE, Float32, round_into
from .._images.call import Call, on_object
from .._images.frame import Job
from .._images.planes import gaussian
from .._images.region import as_float
from .._images.threads import in_threads
from ..errors import NO_REASON, Reason, UnchangedWarning
from ._tiles import TILE_SIDE, bands_of, tiles

#: The deviations, in pixels, of the Gaussians that separate the three bands: the finest is below the first.
_EDGES = (1.0, 2.0, 4.0)
#: The sides of the blocks in which noise is estimated, for each band, in pixels.
_BLOCKS = 16, 24, 48
#: The width of the border of a tile in which bands cannot be estimated, in pixels.
_BORDER = 8
#: The share of the blocks that is used, the smoothest.
_SMOOTH_SHARE = 0.1
#: The levels, 0 to 1, beyond which a block is clipped, which hides noise.
_CLIPPED = 0.01, 0.99
#: The least number of tiles around an object; fewer may show texture only, while noise is the same everywhere.
_MIN_TILES = 16
#: For shares of blocks of white noise, those with the least energy, the ratio of their energy to all, in each band.
_SHARES = (0.02, 0.03, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
_QUANTILE_BIASES = (
    (0.785, 0.797, 0.806, 0.82, 0.839, 0.857, 0.87, 0.891, 0.924, 0.952, 1.0),
    (0.736, 0.751, 0.763, 0.78, 0.805, 0.826, 0.842, 0.868, 0.907, 0.94, 1.0),
    (0.749, 0.765, 0.776, 0.791, 0.813, 0.831, 0.847, 0.873, 0.909, 0.942, 1.0),
)
#: The ratio of two estimates of noise, by a smaller and a larger share of the blocks, distinguishes noise from texture.
_SMALL_SHARE = 0.04  # the smaller share
_LARGE_SHARE = 0.2  # the larger share
_NOISE = (0.5, 0.85)  # the ratio up to which all is texture, and that from which on all is noise
#: The largest ratio of a band to the next finer one: coarser bands of noise are weaker.
_MAX_BAND_RATIOS = (1.5, 1.2)
#: Up to this deviation, in 8-bit levels per channel, noise is added whatever its structure, since JPEG changes that of
#: noise, too, and weak texture does little harm. At twice the deviation the structure must be that of noise.
_WEAK_NOISE_LEVELS = 2.0
_STRUCTURE_SHARE = 0.05  # the share of the blocks, the smoothest ones, whose structure is measured
_CELL = 4  # the side of a cell of a block, in pixels
_BLUR = 0.7  # the standard deviation of the Gaussian before gradients are taken, in pixels
#: The structure up to which all is noise, and that from which on none is. Normal noise has 0.26 if it is white and 0.35
#: if it is blurred by 1.2 pixels; of 168 photos whose smoothest blocks alone indicate more than 3 levels 95 % have over
#: 0.45.
_STRUCTURE = (0.40, 0.48)
_MAX_NOISE_LEVELS = 8.0  # the strongest noise that is added, in 8-bit levels per channel: photos seldom have more
_MAX_COARSE_NOISE_LEVELS = 1.75  # the strongest noise of each of the two coarser bands, in 8-bit levels per channel
_TEXTURE = (12.0, 20.0)  # the strength from which on it may be texture, and that at which it is, in 8-bit levels
#: The energy below which a block counts as uniform.
_MIN_ENERGY = 1e-12
#: The colour axes on which noise is estimated and generated: grey, red against green, and both against blue.
_AXES = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], np.float64) / np.sqrt([[3.0], [2.0], [6.0]])
#: The side of the noise on which the bands of generated noise are measured.
_MEASURED = 512
_MARGIN_ROWS = 3  # the extra rows of a coarser band, above and below a part, that enlarging it reads
_SKIPPED = 1 << 16  # the random values that are generated at once if they are only skipped
#: The number of an object's pixels above which each part has its own random stream.
_MAX_SINGLE_STREAM_PIXELS = 1 << 23

Levels = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, repr=False)
class GrainInfo(_reprs.Line):
    """A record of the grain that was added.

    Attributes:
        method: 'grain', or 'copy' if nothing was added.
        surroundings: the standard deviation of the noise around the object, in 8-bit levels, for each colour axis
            (grey; red against green; both against blue) those of the three bands, the finest first.
        before: the same of the object before.
        reason: why nothing was added, or less than is estimated around the object, in a few words; else empty.
        milliseconds: the wall time of the item.
        peak_bytes: the largest scratch memory, without the caller's arrays and the result.

    Example:
        >>> from pyharmony import matching
        >>> image = np.random.default_rng(0).normal(128, 6, (200, 300)).round().astype(np.uint8)
        >>> mask = np.zeros((200, 300), np.uint8)
        >>> mask[60:140, 100:200] = 255
        >>> image[mask > 0] = 128
        >>> result, info = matching.match_grain(image, mask, return_info=True)
        >>> info.method, len(info.surroundings), max(info.before[0]) < 0.01 < info.surroundings[0][0]
        ('grain', 1, True)
    """

    method: str
    surroundings: Levels
    before: Levels
    reason: Reason = NO_REASON
    milliseconds: float = 0.0
    peak_bytes: int = 0


@on_object
def match_grain(call: Call, *, strength: float = 1.0, seed: int = 0) -> Any:
    """Adds noise to an object until it has the grain of its surroundings, in each of three bands.

    Noise is estimated from the smoothest blocks around the object, or of the whole image if few are around it, in bands
    of about one, two and four pixels, for grey and for two colour differences. The added noise is normal noise of the
    same bands. An object that has more noise than its surroundings does not change. Leaves, grass and other textures
    are not noise: if an estimate exceeds 2 levels of 8 bits, its structure must be as even and as isotropic as that of
    noise, and at most 8 levels are added.

    Args:
        image: the composite, see `pyharmony.blend`.
        mask: the mask of the object, of the image's size, soft; of any kind that `pyharmony.blend` accepts.
        at: (x, y), the position in the image of the first pixel of a mask of another size; see `pyharmony.harmonize`.
        strength: the share of the missing noise's standard deviation that is added, 0 to 1.
        seed: the seed of the noise, a whole number of at least 0.
        keep_gps, errors, out: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda'; the work is done on the CPU, and arrays on a CUDA device are copied.
        return_info: whether to return a GrainInfo too, or one for each item.

    Returns:
        The image, in its own kind, layout, shape and dtype, or (image, info). Pixels with a mask of zero are those of
        image, bit for bit.

    Raises:
        MaskError: mask is None.
        ArgumentError: strength is outside 0 to 1; the image contains NaN or infinities.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import matching
        >>> image = np.random.default_rng(0).normal(128, 6, (200, 300, 3)).round().astype(np.uint8)
        >>> mask = np.zeros((200, 300), np.uint8)
        >>> mask[60:140, 100:200] = 255
        >>> image[mask > 0] = 128
        >>> bool(5 < matching.match_grain(image, mask)[mask > 0].std() < 7)
        True
    """
    share = _checks.number(strength, "strength", high=1.0, accepts="a number from 0 to 1")
    number = _checks.whole(seed, "seed")
    return call.each(partial(_matched, share=share, seed=number), _warning_of)


def _warning_of(info: GrainInfo) -> UnchangedWarning | None:
    is_copy = info.reason and info.method == "copy"
    return UnchangedWarning.because("no grain was added: ", info.reason) if is_copy else None


def _matched(job: Job, share: float, seed: int) -> GrainInfo:
    job.begin()
    if job.bbox.empty:
        return GrainInfo("copy", (), ())
    outside, inside = tiles(job, False, few=_MIN_TILES), tiles(job, True)
    if not len(outside):
        reason = Reason("no-room-around", "the area around the object is too small for an estimate")
        return GrainInfo("copy", (), (), reason=reason)
    goal, reason = plausible(outside)
    # An object that is too small for an estimate counts as free of noise.
    own = np.zeros_like(goal)
    if len(inside):
        deviations, trust = noise_of(inside)
        own = trust * deviations
    levels = _levels(goal), _levels(own)
    missing = share**2 * np.maximum(np.square(goal) - np.square(own), 0)
    if not missing.any():
        return GrainInfo("copy", *levels, reason=NO_REASON if goal.any() else reason)
    _add(job, missing, seed)
    return GrainInfo("grain", *levels, reason=reason)


def _levels(deviations: npt.NDArray[np.float64]) -> Levels:
    return tuple((float(a), float(b), float(c)) for a, b, c in 255 * deviations)


def bands(values: Float32) -> list[Float32]:
    """Returns the three bands of tiles [N, h, w, C]."""
    smooth = [values, *(gaussian(values, deviation, (1, 2)) for deviation in _EDGES)]
    return [a - b for a, b in itertools.pairwise(smooth)]


def noise_of(patches: Float32) -> tuple[npt.NDArray[np.float64], float]:
    """Returns the deviation of the noise of patches [N, h, w, C], [axes, 3], and its share that is not texture.

    Noise is the same everywhere, while the content of an image is not. The blocks with the least energy in the finest
    band consist almost only of noise, and are as smooth as the next ones.
    """
    axes = _along_axes(patches)
    deviations = np.zeros((axes.shape[-1], len(_BLOCKS)))
    trust = 1.0
    for number, (band, side) in enumerate(zip(bands(axes), _BLOCKS, strict=True)):
        energies, levels = _of_blocks(np.square(band), side), _of_blocks(patches, side)
        energies = np.sort(energies[((levels > _CLIPPED[0]) & (levels < _CLIPPED[1])).all(1)], 0)
        if not len(energies):
            return np.zeros_like(deviations), 0.0
        deviations[:, number] = _of_smoothest(energies, number, _SMOOTH_SHARE)
        if number == 0 and deviations[0, 0] > 0:
            fewer, more = (_of_smoothest(energies, number, share)[0] for share in (_SMALL_SHARE, _LARGE_SHARE))
            trust = float(np.clip((fewer / more - _NOISE[0]) / (_NOISE[1] - _NOISE[0]), 0, 1))
    for number, most in enumerate(_MAX_BAND_RATIOS):
        deviations[:, number + 1] = np.minimum(deviations[:, number + 1], most * deviations[:, number])
    return deviations, trust


def plausible(patches: Float32) -> tuple[npt.NDArray[np.float64], Reason]:
    """Returns the deviation of noise in patches [N, h, w, C], [axes, 3], and the reason if that is less than measured.

    Strong noise has to pass two more tests: the smoothest blocks have the structure of noise, and photos usually have
    so much of it.
    """
    deviations, trust = noise_of(patches)
    strength = _strength(deviations)
    if strength <= _WEAK_NOISE_LEVELS:
        return trust * deviations, NO_REASON
    if trust:
        evidence = min(_falling(_structure(patches), *_STRUCTURE), _falling(strength, *_TEXTURE))
        trust *= max(evidence, 2 - trust * strength / _WEAK_NOISE_LEVELS)
    if not trust:
        return np.zeros_like(deviations), Reason("texture", "the surroundings of the object have a texture, not noise")
    usual = deviations.copy()
    usual[:, 1:] = np.minimum(usual[:, 1:], _MAX_COARSE_NOISE_LEVELS / 255 * len(deviations) ** 0.5)
    usual *= min(1.0, _MAX_NOISE_LEVELS / _strength(usual))
    reason = NO_REASON
    if trust < 1:
        reason = Reason("part-texture", "the surroundings of the object are partly texture: the grain is weaker")
    elif not np.array_equal(usual, deviations):
        text = "the noise around the object is stronger than usual in photos: the grain is weaker"
        reason = Reason("strong-noise", text)
    return trust * usual, reason


def _falling(value: float, low: float, high: float) -> float:
    """Returns a weight that falls from 1 at low to 0 at high."""
    return float(np.clip((high - value) / (high - low), 0, 1))


def _strength(deviations: npt.NDArray[np.float64]) -> float:
    """Returns the deviation of noise with these deviations of the bands [axes, 3], in 8-bit levels per channel."""
    variances = [_shares(one) @ _responses()[3] for one in np.square(deviations)]
    return float(255 * np.sqrt(np.mean(variances)))


def _structure(patches: Float32) -> float:
    """Returns a measure of the structure of the smoothest blocks of patches [N, h, w, C] in grey.

    It combines the variation of the finest band's energy between the cells of a block with, at less weight, the
    anisotropy of the gradients. Coarse noise varies more, which the ratio of the bands compensates for in part.
    """
    grey, side = _along_axes(patches)[..., :1], _BLOCKS[0]
    once, twice = (gaussian(grey, deviation, (1, 2)) for deviation in _EDGES[:2])
    fine, levels = np.square(grey - once), _of_blocks(patches, side)
    energies = _of_blocks(fine, side)[:, 0]
    # Blocks without any energy are synthetic, or black or white.
    usable = np.flatnonzero(((levels > _CLIPPED[0]) & (levels < _CLIPPED[1])).all(1) & (energies > _MIN_ENERGY))
    blocks = usable[np.argsort(energies[usable], kind="stable")][: max(3, round(_STRUCTURE_SHARE * len(usable)))]
    in_row, of_cells = (TILE_SIDE - 2 * _BORDER) // side, side // _CELL
    cells = _of_blocks(fine, _CELL).reshape(len(patches), in_row, of_cells, in_row, of_cells)
    cells = np.moveaxis(cells, 2, 3).reshape(len(energies), -1)[blocks]
    uneven = (cells.std(1) / energies[blocks]).mean()
    dy, dx = (np.gradient(gaussian(grey, _BLUR, (1, 2)), axis=axis) for axis in (1, 2))
    yy, xx, xy = (_of_blocks(product, side)[blocks, 0] for product in (dy * dy, dx * dx, dx * dy))
    directed = (np.hypot(xx - yy, 2 * xy) / (xx + yy + _MIN_ENERGY)).mean()
    finer = energies[blocks].mean() / (_of_blocks(np.square(once - twice), side)[blocks, 0].mean() + _MIN_ENERGY)
    return float(uneven * directed**0.2 * finer**0.06)


def _of_smoothest(energies: Float32, number: int, share: float) -> npt.NDArray[np.float64]:
    """Returns the deviation of noise in a band, [axes], by a share of the sorted energies [N, axes] of blocks."""
    count = min(len(energies), max(3, round(share * len(energies))))
    # The bias of selecting blocks by their energy is that for white noise.
    bias = float(np.interp(count / len(energies), _SHARES, _QUANTILE_BIASES[number]))
    least = energies[:count].mean(0, dtype=np.float64) / bias
    return np.asarray(np.sqrt(least))


def _of_blocks(values: Float32, side: int) -> Float32:
    """Returns the means over the blocks of tiles [N, h, w, C], [blocks, C]."""
    inner = values[:, _BORDER : TILE_SIDE - _BORDER, _BORDER : TILE_SIDE - _BORDER]
    count, blocks = len(inner), inner.shape[1] // side
    parts = inner.reshape(count, blocks, side, blocks, side, inner.shape[-1])
    return np.asarray(parts.mean((2, 4)).reshape(-1, inner.shape[-1]))


def _along_axes(values: Float32) -> Float32:
    """Returns values [..., C] on the colour axes, [..., 1 or 3]."""
    if values.shape[-1] < 3:
        return values[..., :1]
    return values[..., :3] @ _AXES.T.astype(np.float32)


def _add(job: Job, missing: npt.NDArray[np.float64], seed: int) -> None:
    """Adds noise whose bands have these variances [axes, 3] under the mask."""
    region, axes = job.bbox, len(missing)
    shares = np.stack([_shares(one) for one in missing])
    unit = np.float32(VALUE_RANGE[job.dst.dtype.name])
    parts = bands_of(region)
    source = _NoiseField(seed, region.shape, axes, [(part.y0 - region.y0, part.y1 - region.y0) for part in parts])

    def add(number: int) -> None:
        part = parts[number]
        noise = np.zeros((*part.shape, axes), np.float32)
        scaled = np.empty(part.shape, np.float32)
        for band in range(3):
            factors = np.sqrt(shares[:, band]).astype(np.float32)
            for axis in np.flatnonzero(factors):
                np.multiply(factors[axis], source.plane(number, band, int(axis)), out=scaled)
                noise[..., axis] += scaled
        colors = noise @ _AXES.astype(np.float32) if axes == 3 else noise
        weight = np.asarray(as_float(job.mask_of(part)), np.float32)[..., None]
        values = part.of(job.dst).astype(job.real)
        colors *= unit * weight
        values += colors
        round_into(values, part.of(job.out), where=weight > 0)

    in_threads(add, range(len(parts)))


class _NoiseField:
    """Noise [axes, h, w] of three bands, any rows of which can be generated again, the same for any division in parts.

    Each band is generated at full, half or a quarter of the size, and enlarged. Each part of a very large object has
    its own random stream, since generating all of it twice would take most of the time.

    rows: the first row of each part and the one after its last.
    """

    def __init__(self, seed: int, size: tuple[int, int], axes: int, rows: Sequence[tuple[int, int]]) -> None:
        self._size, self._rows = size, rows
        self._states: dict[tuple[int, int, int], Any] = {}
        if size[0] * size[1] > _MAX_SINGLE_STREAM_PIXELS:
            for key in itertools.product(range(len(rows)), range(3), range(axes)):
                self._states[key] = np.random.PCG64([seed, *key]).state
            return
        random = np.random.default_rng(seed)
        for band in range(3):
            height, width = self._small(band)
            starts = [self._row_range(band, number)[0] for number in range(len(rows))]
            for axis in range(axes):
                at = 0
                for number, start in enumerate(starts):
                    self._skip(random, start - at, width)
                    at = start
                    self._states[number, band, axis] = random.bit_generator.state
                self._skip(random, height - at, width)

    def plane(self, number: int, band: int, axis: int) -> Float32:
        """Returns the noise of a band on an axis over the rows of a part, [h, w]."""
        from PIL import Image

        factor, (top, bottom), width = 2**band, self._rows[number], self._size[1]
        first, last = self._row_range(band, number)
        random = np.random.Generator(np.random.PCG64())
        random.bit_generator.state = self._states[number, band, axis]
        values = random.standard_normal((last - first, self._small(band)[1]), np.float32)
        if factor == 1:
            return values[:, :width]
        whole = values.shape[1] * factor, values.shape[0] * factor
        large = np.asarray(Image.fromarray(values).resize(whole, Image.Resampling.BICUBIC))
        start = top + factor - first * factor
        return large[start : start + bottom - top, factor : factor + width]

    def _small(self, band: int) -> tuple[int, int]:
        """Returns the height and width at which a band is generated."""
        factor = 2**band
        return -(-self._size[0] // factor) + 2, -(-self._size[1] // factor) + 2

    def _row_range(self, band: int, number: int) -> tuple[int, int]:
        """Returns the first row of a band that a part needs, and the one after its last."""
        top, bottom = self._rows[number]
        factor = 2**band
        if factor == 1:
            return top, bottom
        return max(0, top // factor + 1 - _MARGIN_ROWS), min(
            self._small(band)[0], -(-bottom // factor) + 1 + _MARGIN_ROWS
        )

    @staticmethod
    def _skip(random: np.random.Generator, rows: int, width: int) -> None:
        """Generates rows that are not needed yet, and discards them."""
        count = rows * width
        values = np.empty(min(count, _SKIPPED), np.float32)
        for start in range(0, count, _SKIPPED):
            random.standard_normal(dtype=np.float32, out=values[: count - start])


@functools.lru_cache(maxsize=1)
def _responses() -> npt.NDArray[np.float64]:
    """Returns the variance of each kind of noise in each band and as a whole, [4, kind]."""
    field = _NoiseField(0, (_MEASURED, _MEASURED), 1, [(0, _MEASURED)])
    responses = np.empty((4, 3))
    for number in range(3):
        plane = field.plane(0, number, 0)[None, ..., None]
        parts = (*bands(plane), plane)
        responses[:, number] = [
            float(np.square(part[:, TILE_SIDE:-TILE_SIDE, TILE_SIDE:-TILE_SIDE]).mean()) for part in parts
        ]
    return responses


def _shares(variances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the nonnegative amounts of each kind of noise whose sum has these variances in the bands, [3]."""
    kinds, response = [0, 1, 2], _responses()[:3]
    shares = np.zeros(3)
    while kinds:
        values = np.linalg.lstsq(response[:, kinds], variances, rcond=None)[0]
        if (values >= 0).all():
            shares[kinds] = values
            break
        kinds.remove(kinds[int(values.argmin())])
    return shares
