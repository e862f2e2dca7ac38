"""Alpha compositing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks
from .._arrays import NumpyArray
from .._images.call import Call, on_two_images
from .._images.frame import Infos, Job, direct_info
from .._images.region import check_finite, is_finite
from ..ops.alpha import alpha as composite


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
        scale, dst_valid, decontaminate, keep_alpha, wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
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
    if type(call.dst) is np.ndarray:
        from ._paste import in_one_call  # modules that an image in a file does not need

        if (pasted := in_one_call(call, {"feather": feather})) is not None:
            return pasted
    width = _checks.number(feather, "feather", accepts="a finite number of pixels, at least 0")
    return call.run(lambda frame: frame.each(lambda job: _blend(job, width)))


def _blend(job: Job, feather: float) -> Infos:
    box = job.bbox
    if box.empty:
        return job.unchanged()
    mask = job.mask_of(box)
    src = box.of(job.src, job.src_region.origin)
    known, unknown = job.ground.of(box)
    if job.soft or feather > 0:
        job.warn_of_erased()
    corner = box.y0 - job.shift[0], box.x0 - job.shift[1]
    for x, name, origin, unseen in ((src, "src", corner, None), (box.of(job.dst), "dst", box.origin, unknown)):
        if x.dtype.kind == "f" and not is_finite(x):  # NaN and Inf are refused inside the mask, where x is known
            check_finite(x, name, origin, skip=mask == 0 if unseen is None else (mask == 0) | unseen)
    ramp = _ramp(job, feather) if feather > 0 else None
    if unknown is None:
        composite(src, job.dst, mask, job.out, origin=box.origin, ramp=ramp)
        job.start_alpha()
    else:  # pixels outside the mask stay as they are, unknown ones too
        composite(src, known, mask, box.of(job.start()), ramp=ramp, keep=True)
    return [direct_info("alpha")]


def _ramp(job: Job, feather: float) -> NumpyArray:
    """Returns a ramp over the mask's bounding box: the distance to the contour over feather, at most 1.

    The contour is half a pixel before the nearest pixel with mask zero.
    """
    from ..ops.distance import distance_inside

    box = job.bbox
    around = box.expand(1, job.shape)
    ramp = distance_inside(job.mask_of(around))
    ramp -= np.float32(0.5)
    ramp /= np.float32(feather)
    np.clip(ramp, 0, 1, out=ramp)
    inner: NumpyArray = box.of(ramp, around.origin)
    return inner
