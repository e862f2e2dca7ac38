"""Poisson image editing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._cuda import Place, attempt
from ..errors import MaskError
from ..ops._poisson_cuda import solve_images
from ..typing import Contour, Device, Errors, Gradients, ImageLike, MaskLike, OneOrMany, OutLike, Position
from ._cuda import NOTHING_KNOWN, crops, poisson_on_device, takes, upload
from ._frame import Frame, Job, direct_info
from ._images import Infos, run
from ._region import Region
from ._solve import solve_poisson


def poisson(
    src: OneOrMany[ImageLike],
    dst: OneOrMany[ImageLike],
    mask: OneOrMany[MaskLike | None] = None,
    *,
    at: OneOrMany[Position | None] = None,
    scale: OneOrMany[float] = 1.0,
    gradients: Gradients = "source",
    contour: Contour = "half",
    color_weight: OneOrMany[float | MaskLike] = 0.0,
    tolerance: float | None = None,
    decontaminate: bool = True,
    keep_gps: bool = False,
    device: Device | None = None,
    errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None,
    return_info: bool = False,
) -> Any:
    """Seamless cloning: the gradients of src inside the mask, the colours of dst around it.

    Perez, Gangnet, Blake: Poisson Image Editing, 2003, solved to a tolerance; see
    `pyharmony.ops.poisson`. An edge that leaves src has the gradient of dst.

    Args:
        src, dst, mask, at, scale, decontaminate, keep_gps, device, errors, out: see `pyharmony.blend`.
            With color_weight 0 at least one pixel of the mask, laid over dst, must be zero.
        gradients: 'source'; 'mixed' takes for each edge the stronger of src and dst, by the norm
            over the colours; 'average' their mean; 'monochrome' the luma of src.
        contour: how much of them an edge takes, the rest being dst's: 'half', the mean of the mask of its two
            pixels; 'full', the larger, so that an edge across a hard contour takes all of it, as in the
            paper's equation.
        color_weight: how far the colours of src are kept, at least 0; a number, or a map [H, W]
            over dst: floats, or a grey picture whose white is 1.
        tolerance: the largest error allowed in 8-bit levels (1/255 of the value range). None: 0.25
            for uint8, 0.004 for uint16, 0.025 for float16 and float32, 1e-6 for float64.
        return_info: also return a SolveInfo, of each item of a batch; its method is 'copy' where
            nothing is inside. The certified bound costs one and a half to two solves more.

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

    def work(frame: Frame, color_weight: Any) -> Infos:
        limit = _checks.tolerance(tolerance, frame.dtype)
        weight = _checks.color_weight(color_weight, *frame.shape)
        frame.keep_apart(color_weight, "color_weight")
        return frame.each(lambda job: _blend(job, gradients, contour, weight, limit, bool(return_info), frame.place))

    def on_device(src: Any, dst: Any, mask: Any, at: Any, out: Any, color_weight: Any) -> tuple[Any, Any]:
        return poisson_on_device(
            src,
            dst,
            mask,
            at,
            out,
            color_weight,
            gradients=gradients,
            contour=contour,
            tolerance=tolerance,
            return_info=bool(return_info),
        )

    return run(
        work,
        src,
        dst,
        mask,
        at=at,
        scale=scale,
        decontaminate=decontaminate,
        keep_gps=keep_gps,
        device=device,
        errors=errors,
        out=out,
        return_info=return_info,
        on_device=on_device,
        color_weight=color_weight,
    )


def _blend(
    job: Job, gradients: str, contour: str, weight: Any, tolerance: float, certify: bool, place: Place | None
) -> _checks.SolveInfo:
    if job.bbox.empty:
        job.start()
        return direct_info("copy")
    region = job.bbox.expand(1, job.shape)
    mask = job.mask_of(region)
    if isinstance(weight, float) and weight == 0 and job.bbox.shape == job.shape and mask.min() > 0:
        raise MaskError(NOTHING_KNOWN)
    job.check_finite(region, mask)
    color_weight = weight if isinstance(weight, float) else region.of(weight)
    if place is not None and takes(place, job):
        made: _checks.SolveInfo = attempt(
            place,
            "poisson",
            lambda: _blend_at(place, job, gradients, contour, color_weight, tolerance, certify, region, mask),
        )
        if made is not NotImplemented:
            return made
    return solve_poisson(
        job.src_of(region),
        job.dst_of(region),
        mask,
        region.of(job.start()),
        gradients=gradients,
        contour=contour,
        color_weight=color_weight,
        tolerance=tolerance,
        certify=certify,
        memory=job.memory,
    )


def _blend_at(
    place: Place,
    job: Job,
    gradients: str,
    contour: str,
    color_weight: Any,
    tolerance: float,
    certify: bool,
    region: Region,
    mask: NumpyArray,
) -> _checks.SolveInfo:
    """The same on a device, of copies of the crops."""
    src, dst, cover, out = crops(place, job, region, mask)
    a_map = not isinstance(color_weight, float)
    (info,) = solve_images(
        place,
        src,
        dst,
        cover,
        None,
        out,
        gradients=gradients,
        contour=contour,
        weight=0.0 if a_map else color_weight,
        weight_map=upload(place, np.ascontiguousarray(color_weight, np.float32), "color_weight") if a_map else None,
        levels=tolerance,
        unit=_arrays.VALUE_RANGE[job.dst.dtype.name],
        certify=certify,
        read=True,
    )
    np.copyto(region.of(job.start()), place.fetch(out)[0], where=(mask > 0)[..., None])
    return info
