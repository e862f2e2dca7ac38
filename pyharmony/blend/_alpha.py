"""Alpha compositing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from .._arrays import NumpyArray, round_into
from .._images.call import Call, on_two_images
from .._images.frame import Infos, Job, direct_info
from .._images.region import as_float, check_finite
from ..ops.distance import distance_inside

_ROWS = 64  # the rows of a strip, so few that its temporaries fit in the cache


@on_two_images
def alpha(call: Call, *, feather: float = 0.0) -> Any:
    """Blends by alpha compositing: ``mask * src + (1 - mask) * dst``.

    Args:
        src: the source: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or floats
            with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. Its alpha multiplies the mask.
        dst: the destination, of any of these kinds, as an array of src's dtype. The result has its kind.
        mask: the soft mask of src, of its height and width: bool, uint8 or uint16 (their largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of src, or all of it.
        at: (x, y), the position in dst of src's first pixel, in pixels. None: both images are of equal size.
        scale, dst_valid, decontaminate, keep_gps, device, errors, out: see `pyharmony.blend`.
        feather: the width in pixels of a ramp by Euclidean distance, from 0 at the contour to 1 that far
            inside the mask; the border of dst is not a contour. Nothing changes outside the mask.
        return_info: whether to return a SolveInfo too, or one for each item of a batch: method 'alpha' ('copy'
            if nothing is inside), the milliseconds and peak_bytes; iterations, residual and max_error are 0, since
            there is no iteration.

    Returns:
        The blend, in dst's kind, layout, shape and dtype, or (blend, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> dst, src = np.zeros((1, 4, 3), np.uint8), np.full((1, 2, 3), 200, np.uint8)
        >>> mask = np.array([[255, 128]], np.uint8)
        >>> blend.alpha(src, dst, mask, at=(1, 0))[0, :, 0].tolist()
        [0, 200, 100, 0]
    """
    width = _checks.number(feather, "feather", accepts="a finite number of pixels, at least 0")

    return call.run(lambda frame: frame.each(lambda job: _blend(job, width)))


def _blend(job: Job, feather: float) -> Infos:
    box = job.bbox
    if box.empty:
        return job.unchanged()
    mask = job.mask_of(box)
    origin = job.src_region.y0, job.src_region.x0
    src = box.of(job.src, origin)
    dst, unknown = job.ground.of(box)
    outside = job.memory.hold(mask == 0)
    if job.soft or feather > 0:
        job.warn_of_erased()
    if src.dtype.kind == "f":
        job.memory.touch(src.nbytes)  # check_finite makes a copy without the pixels outside.
    check_finite(src, "src", (box.y0 - job.shift[0], box.x0 - job.shift[1]), skip=outside)
    check_finite(box.of(job.dst), "dst", (box.y0, box.x0), skip=outside if unknown is None else outside | unknown)
    if feather > 0:
        mask = _feather(job, mask, feather)
    result = box.of(job.start())
    for y in range(0, box.shape[0], _ROWS):
        rows = slice(y, y + _ROWS)
        _blend_rows(job, src[rows], dst[rows], mask[rows], outside[rows], result[rows])
    return [direct_info("alpha")]


def _blend_rows(
    job: Job, src: NumpyArray, dst: NumpyArray, mask: NumpyArray, outside: NumpyArray, out: NumpyArray
) -> None:
    s: NumpyArray = src.astype(job.real)
    d: NumpyArray = dst.astype(job.real)
    if out.dtype.kind == "f":  # This keeps NaN and Inf outside the mask out of the sum.
        s[outside] = d[outside] = 0
    m: NumpyArray = as_float(mask).astype(job.real, copy=False)[..., None]
    s *= m
    m = 1 - m
    d *= m
    s += d
    job.memory.touch(s.nbytes + d.nbytes + 2 * m.nbytes)
    round_into(s, out, where=~outside[..., None])


def _feather(job: Job, mask: NumpyArray, feather: float) -> NumpyArray:
    """Returns the mask over its bounding box times a ramp: the distance to the contour over feather, at most 1.

    The contour is half a pixel before the nearest pixel with mask zero.
    """
    box = job.bbox
    around = box.expand(1, job.shape)
    ramp = job.memory.hold(distance_inside(job.mask_of(around)))
    job.memory.touch(ramp.nbytes)  # distance_inside allocates the distances along the columns.
    ramp -= np.float32(0.5)
    ramp /= np.float32(feather)
    np.clip(ramp, 0, 1, out=ramp)
    inner: NumpyArray = box.of(ramp, (around.y0, around.x0))
    scaled = as_float(mask)
    job.memory.touch(scaled.nbytes)
    inner *= scaled
    return inner
