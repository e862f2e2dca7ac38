"""Poisson image editing."""

from __future__ import annotations

import functools
from typing import Any

from .. import _checks
from .._images.call import Call, on_two_images
from .._images.frame import Infos
from ..errors import MaskError
from ..typing import Contour, Gradients, MaskLike, OneOrMany
from ._paste import in_one_call
from ._solve import solve_poisson

_UNDETERMINED_MESSAGE = "mask: covers all of dst, and with color_weight 0 nothing determines the colours"


@on_two_images
def poisson(
    call: Call,
    *,
    gradients: Gradients = "source",
    contour: Contour = "half",
    color_weight: OneOrMany[float | MaskLike] = 0.0,
    tolerance: float | None = None,
) -> Any:
    """Blends seamlessly: the result has the gradients of src inside the mask, and the colours of dst around it.

    Perez, Gangnet, Blake: Poisson Image Editing, 2003, solved to a tolerance; see
    `pyharmony.ops.poisson`. An edge that leaves src has the gradient of dst.

    Args:
        src: the source: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or floats
            with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. Its alpha multiplies the mask.
        dst: the destination, of any of these kinds, as an array of src's dtype. The result has its kind.
        mask: the soft mask of src, of its height and width: bool, uint8 or uint16 (their largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of src, or all of it.
            With color_weight 0 at least one pixel of it, placed in dst, must be zero. Strips of at most three pixels
            between it and dst's border count as inside.
        at: (x, y), the position in dst of src's first pixel, in pixels. None: both images are of equal size.
        scale, dst_valid, decontaminate, keep_alpha, wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
        gradients: 'source': those of src; 'mixed': at each edge the stronger of src and dst, by the norm
            over the colours; 'average': their mean; 'monochrome': those of the luma of src.
        contour: the share of these gradients at an edge, the rest being dst's: 'half', the mean of the
            mask at its two pixels; 'full', the larger of the two, so that an edge across a hard contour uses
            only these, as in the paper's equation.
        color_weight: how strongly colours are pulled to src, 0 to 1e6; a number, or a map [H, W]
            over dst: floats, or a grey image whose white is 1.
        tolerance: the largest error allowed in 8-bit levels (1/255 of the value range). None: 0.25
            for uint8, 0.004 for uint16, 0.025 for float16 and float32, 1e-6 for float64.
        return_info: whether to return a SolveInfo too, or one for each item of a batch; its method is 'copy'
            if nothing is inside. Proving the error takes one and a half to two times as long as the solve, in addition.

    Returns:
        The blend, in dst's kind, layout, shape and dtype, or (blend, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> dst, src = np.full((16, 16, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> src[8, 8] = 230
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[2:14, 2:14] = 255
        >>> blend.poisson(src, dst, mask)[8, 6:11, 0].tolist()
        [60, 60, 90, 60, 60]
    """
    _checks.one_of(gradients, "gradients", _checks.GRADIENTS)
    _checks.one_of(contour, "contour", _checks.CONTOURS)
    own = {"gradients": gradients, "contour": contour, "color_weight": color_weight, "tolerance": tolerance}
    pasted = in_one_call(call, own)
    if pasted is not None:
        return pasted

    def work(frame: Any, color_weight: Any) -> Infos:
        options: dict[str, Any] = {
            "gradients": gradients,
            "contour": contour,
            "tolerance": _checks.tolerance(tolerance, frame.dtype),
            "certify": bool(call.return_info),
        }
        weight = frame.color_weight(color_weight)
        return frame.each(lambda job: _blend(job, weight, options), boxes=False)

    return call.run(work, color_weight=color_weight)


def _blend(job: Any, weight: Any, options: dict[str, Any]) -> Infos:
    """Blends one Job or DeviceJob."""
    job = job.to_border()
    if job.bbox.empty:
        return job.unchanged()
    region = job.bbox.expand(1, job.shape)  # there is nothing to solve for outside this region
    mask = job.mask_of(region)
    if isinstance(weight, float) and weight == 0 and job.covered(mask):
        hint = "leave pixels at zero or pass color_weight > 0"
        raise MaskError(_UNDETERMINED_MESSAGE, code="nothing-fixed", image="dst", hint=hint)
    job.check_finite(region, mask)
    job.warn_of_erased(hard=options["contour"] == "half")
    crop = job.crop(region, mask, weight, monochrome=options["gradients"] == "monochrome")
    infos = job.solved(crop, functools.partial(solve_poisson, **options), name="poisson")
    # Gradients other than those of src are meant to include dst.
    if options["gradients"] == "source":
        job.warn_of_flooded()
    return infos
