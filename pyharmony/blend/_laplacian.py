"""Multiband blending in a Laplacian pyramid."""

from __future__ import annotations

from typing import Any

from .. import _checks
from .._images.call import Call, on_two_images
from .._images.frame import Infos, Job, direct_info
from .._images.limit import limit_change
from .._images.region import Region
from ..ops.laplacian import laplacian as add_bands

_MAX_LEVELS = 16
_MARGIN = 4  # the margin around the mask, in cells of the coarsest level


@on_two_images
def laplacian(call: Call, *, levels: int | None = None) -> Any:
    """Blends each frequency band over a width of its own scale.

    Burt, Adelson: A Multiresolution Spline With Application to Image Mosaics, 1983, with masks
    that fade inwards from the contour, so that nothing changes outside and there is no step at the
    contour: a band whose cells are 2^k pixels wide fades in over some 4 * 2^k pixels. The bands are
    those of src - dst; where src has no pixels, the difference at its nearest pixel is used.

    Args:
        src: the source: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or floats
            with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. Its alpha multiplies the mask.
        dst: the destination, of any of these kinds, as an array of src's dtype. The result has its kind.
        mask: the soft mask of src, of its height and width: bool, uint8 or uint16 (their largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of src, or all of it.
        at: (x, y), the position in dst of src's first pixel, in pixels. None: both images are of equal size.
        scale, dst_valid, decontaminate, keep_alpha, wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
        levels: the number of halvings, 0 to 16. None: as long as the coarsest band has its
            full weight in a quarter of the mask, so that the object keeps its colours.
        return_info: whether to return a SolveInfo too, or one for each item of a batch: method 'laplacian'
            ('copy' if nothing is inside), the milliseconds and peak_bytes; iterations, residual and
            max_error are 0, since there is no iteration.

    The bands are float32, for float64 images too: src - dst is rounded to float32, and the values
    added to a float64 dst are accurate to some 1e-6 of the largest difference.

    Returns:
        The blend, in dst's kind, layout, shape and dtype, or (blend, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> dst, src = np.full((32, 32), 50, np.uint8), np.full((32, 32), 200, np.uint8)
        >>> mask = np.zeros((32, 32), np.uint8)
        >>> mask[:, 16:] = 255
        >>> row = blend.laplacian(src, dst, mask)[16].tolist()
        >>> row[0], row[-1]
        (50, 200)
    """
    accepts = f"None or a whole number from 0 to {_MAX_LEVELS}"
    count = None if levels is None else _checks.whole(levels, "levels", high=_MAX_LEVELS, accepts=accepts)

    return call.run(lambda frame: frame.each(lambda job: _blend(job, count)))


def _blend(job: Job, levels: int | None) -> Infos:
    if job.bbox.empty:
        return job.unchanged()
    count = _MAX_LEVELS if levels is None else levels
    # The image is halved at most to one cell.
    count = min(count, max(job.shape).bit_length())
    if levels is None:
        count = min(count, max(min(job.bbox.shape) // 8, 1).bit_length() - 1)
    region = job.bbox.expand(_MARGIN << count, job.shape)
    # It starts at a multiple of the coarsest cell's side, so that its cells are the image's on all levels.
    region = Region(region.y0 >> count << count, region.y1, region.x0 >> count << count, region.x1)
    job.check_finite(region)
    job.warn_of_erased()
    source, (dst, _), mask = job.src_of(region), job.ground.of(region), job.mask_of(region)
    result = region.of(job.start())
    ground = dst.copy() if job.soft and job.in_place else dst
    clipped = add_bands(source, dst, mask, result, levels=count, adapt=levels is None)
    if job.soft:
        limit_change(source, ground, mask, result)
    return [direct_info("laplacian", clipped / (max(job.facts.inside, 1) * result.shape[2]))]
