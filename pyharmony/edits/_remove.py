"""Takes something away from a photograph, and continues what is around it in its place."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _checks, _reprs
from .._arrays import VALUE_RANGE, Bools
from .._images.call import Call, on_object
from .._images.frame import Job, store
from .._images.planes import connected_parts, grown
from .._images.region import Region, as_float
from ..errors import NO_REASON, ArgumentError, MaskError, PyHarmonyWarning, Reason, UnchangedWarning
from ._texture import Offsets, completed

#: The least value of a mask, 0 to 1, that is taken away: what is fainter is a trace of a soft edge.
_LEAST_COVER = 0.1
#: The default growth: shares of the longer side of the image and of the thing's size, and a least one, in pixels.
_GROW_OF_SIDE, _GROW_OF_SIZE, _LEAST_GROW = 0.006, 0.1, 2
_MOST_GROW = 1000
_LARGEST_VALUE = 1e12  # of images of floats
_JOIN_RADIUS = 8  # of holes, in pixels: those nearer to each other than twice that are one
#: The holes that are filled one by one; nearer ones are joined until they are so few.
_MOST_HOLES = 400
_LEAST_MARGIN = 48  # pixels around a hole to copy from, at least; else as many as the hole is wide and high
_COMMON_SHARE = 1 / 16  # of the part around a speck that has to be around another too, whose offsets do for both
#: The share of the image from which on a hole is refused, and that from which on a warning doubts the result.
_REFUSED_SHARE, _LARGE_SHARE = 0.8, 0.2


@dataclass(frozen=True, repr=False)
class RemoveInfo(_reprs.Line):
    """A record of what was taken away.

    Attributes:
        method: 'offsets', or 'copy' if nothing was taken away.
        share: the share of the image that was filled, 0 to 1.
        mask: what was filled, [H, W] uint8, 255 or 0; None if nothing was.
        reason: why nothing was taken away, in a few words; else empty.
        milliseconds: the wall time of the item.
        peak_bytes: the largest scratch memory, without the caller's arrays and the result.

    Example:
        >>> from pyharmony import edits
        >>> image = np.tile(np.arange(8, dtype=np.uint8) * 30, (64, 8))
        >>> mask = np.zeros((64, 64), np.uint8)
        >>> mask[28:36, 28:36] = 255
        >>> result, info = edits.remove(image, mask, grow=1, return_info=True)
        >>> info.method, round(info.share, 3)
        ('offsets', 0.035)
    """

    method: str
    share: float
    mask: Any = None
    reason: Reason = NO_REASON
    milliseconds: float = 0.0
    peak_bytes: int = 0


@on_object
def remove(call: Call, *, grow: float | None = None) -> Any:
    """Takes what is under a mask away, and continues the textures and edges around it in its place.

    Pieces of the photograph around the hole are moved into it at full size, by the offsets at which it resembles
    itself, and joined by their gradients (He and Sun, Statistics of Patch Offsets for Image Completion, 2012). Nothing
    is invented: a face or a sign that was half covered is not completed. The result is the same for every run. For
    what an AI has removed see `pyharmony.apply_edit`; for scratches `pyharmony.blend.inpaint`.

    Args:
        image: the photograph, see `pyharmony.blend`.
        mask: the mask of the thing, of the image's size, of any kind that `pyharmony.blend` accepts; with its shadow,
            if that goes too. What is at least a tenth inside goes whole.
        at: (x, y), the position in the image of the first pixel of a mask of another size; see `pyharmony.harmonize`.
        grow: the pixels by which the mask is widened, for its soft edge and the trace of light around it, 0 to 1000,
            and by up to as many more where that hides the seam; None: by the sizes of the image and the thing.
        keep_gps, errors, out: see `pyharmony.blend`.
        device: 'auto', 'cpu' or 'cuda'; the work is done on the CPU, and arrays on a CUDA device are copied.
        return_info: whether to return a RemoveInfo too, or one for each item.

    Returns:
        The image, in its own kind, layout, shape and dtype, or (image, info). Pixels outside of `RemoveInfo.mask` are
        those of image, bit for bit, and so is its alpha. A PyHarmonyWarning says if the hole is too large to be filled
        well.

    Raises:
        MaskError: mask is None, or leaves too little of the image to copy from.
        ArgumentError: grow is outside of its range; the image contains NaN, infinities or values beyond 1e12.
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> import pyharmony
        >>> image = np.tile(np.arange(8, dtype=np.uint8) * 30, (64, 8))  # stripes
        >>> thing = np.zeros((64, 64), np.uint8)
        >>> thing[28:36, 28:36] = 255
        >>> photo = np.where(thing > 0, 255, image).astype(np.uint8)
        >>> bool((pyharmony.remove(photo, thing, grow=1) == image).all())
        True
    """
    accepts = f"None or a number from 0 to {_MOST_GROW}"
    radius = None if grow is None else round(_checks.number(grow, "grow", high=_MOST_GROW, accepts=accepts))
    return dataclasses.replace(call, keep_alpha=True).each(functools.partial(_removed, grow=radius), _warning_of)


def _warning_of(info: RemoveInfo) -> PyHarmonyWarning | None:
    if info.reason:
        return UnchangedWarning.because("nothing was taken away: ", info.reason)
    if info.share > _LARGE_SHARE:
        text = f"{info.share:.0%} of the image was filled from the rest of it, which is too much to look right"
        return PyHarmonyWarning(text, code="large-hole", hint="take one thing away at a time, or mask less around it")
    return None


def _removed(job: Job, grow: int | None) -> RemoveInfo:
    job.begin()
    if job.bbox.empty:
        return RemoveInfo("copy", 0.0)
    # The mask of a job is that of the caller times the alpha of the image.
    cover = as_float(job.mask_of(Region.whole(job.shape)))
    alpha = np.float32(1) if job.dst_alpha is None else as_float(job.dst_alpha)
    inside: Bools = (cover > 0) & (cover >= _LEAST_COVER * alpha)
    if not inside.any():
        return RemoveInfo("copy", 0.0, reason=Reason("mask-faint", f"mask is below {_LEAST_COVER:g} everywhere"))
    if grow is None:
        largest = np.bincount(connected_parts(grown(inside, _JOIN_RADIUS))[inside]).max()
        shares = _GROW_OF_SIDE * max(job.shape), _GROW_OF_SIZE * float(np.sqrt(largest))
        grow = max(_LEAST_GROW, round(min(shares)))
    core: Bools = grown(inside, grow) if grow else inside
    hole: Bools = grown(core, grow) if grow else inside
    visible = np.ones(job.shape, bool) if job.dst_alpha is None else job.dst_alpha > 0
    hole &= visible
    sources = visible & ~hole
    share = np.count_nonzero(hole) / np.count_nonzero(visible)
    if share > _REFUSED_SHARE:
        most = f"at most {_REFUSED_SHARE:.0%}, the rest of which is copied into it"
        raise MaskError(f"mask: {share:.0%} of the image with its growth, expected {most}", code="no-source")
    if job.dst.dtype.kind == "f" and float(np.abs(job.dst).max()) > _LARGEST_VALUE:
        raise ArgumentError(f"image: values above {_LARGEST_VALUE:g}, expected at most that, whose squares are finite")
    unit = np.float32(VALUE_RANGE[job.dst.dtype.name] / 255)
    mask = np.zeros(job.shape, np.uint8)
    around: list[tuple[Region, Offsets]] = []  # of specks
    for part, one in _parts(hole, sources):
        colours = np.divide(part.of(job.dst), unit, dtype=np.float32, casting="unsafe")
        is_speck = max(part.shape) <= 3 * _LEAST_MARGIN and np.count_nonzero(one) <= _LEAST_MARGIN**2
        near = _nearest(part, around) if is_speck else None
        box, result, changed, offsets = completed(colours, one, part.of(sources), one & ~part.of(core), near)
        if is_speck and near is None:
            around.append((part, offsets))
        store(result.astype(job.real) * job.real(unit), box.of(part.of(job.out)), box.of(changed))
        part.of(mask)[changed] = 255
    return RemoveInfo("offsets", float(np.count_nonzero(mask) / mask.size), mask)


def _nearest(part: Region, around: list[tuple[Region, Offsets]]) -> Offsets | None:
    """Returns the offsets of the nearest of the specks whose surroundings are in part those of another."""
    common = [math.prod(part.overlap(other).shape) for other, _ in around]
    most = max(common, default=0)
    return around[common.index(most)][1] if most > _COMMON_SHARE * math.prod(part.shape) else None


def _parts(hole: Bools, sources: Bools) -> Iterator[tuple[Region, Bools]]:
    """Yields the parts of an image with a hole each, and the hole in it; near holes are one."""
    radius = _JOIN_RADIUS
    while (groups := connected_parts(grown(hole, radius))).max() > _MOST_HOLES:
        radius *= 2
    groups[~hole] = 0
    numbers = groups[hole]
    holes = np.split(np.argwhere(hole)[np.argsort(numbers, kind="stable")], np.cumsum(np.bincount(numbers)[1:-1]))
    for number, at in enumerate(holes, 1):
        box = Region(*np.stack([at.min(0), at.max(0) + 1], 1).ravel().tolist())
        part = box.expand(max(_LEAST_MARGIN, *box.shape), hole.shape)
        while np.count_nonzero(part.of(sources)) < 2 * len(at) and part.shape != hole.shape:
            part = part.expand(max(part.shape), hole.shape)
        yield part, part.of(groups) == number
