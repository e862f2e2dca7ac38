"""Gaussian-Poisson blending through a pyramid."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._cuda import Place, attempt
from ..errors import ArgumentError
from ..ops.gaussian_poisson import MAX_SIGMA
from ..ops.pyramid import MAX_SMOOTH_SIGMA, downsample, halve_mask, meet_known, upsample
from ..reference.gaussian_poisson import GRADIENT_KERNELS
from ..typing import Device, Errors, GradientKernel, ImageLike, MaskLike, OneOrMany, OutLike, Position
from ._cuda import (
    PyramidOptions,
    crops,
    gaussian_poisson_on_device,
    only_there,
    pyramid,
    takes,
    upload,
)
from ._frame import Frame, Job, direct_info
from ._images import Infos, run
from ._memory import Memory
from ._region import Region, as_float, check_finite, covered_by, regions_of
from ._solve import solve_gaussian_poisson, solve_poisson

_COARSE_TOLERANCE = 0.25  # in 8-bit levels, at most
_FINEST_COARSE_TOLERANCE = 0.004  # what float32 levels are good for


def gaussian_poisson(
    src: OneOrMany[ImageLike],
    dst: OneOrMany[ImageLike],
    mask: OneOrMany[MaskLike | None] = None,
    *,
    at: OneOrMany[Position | None] = None,
    scale: OneOrMany[float] = 1.0,
    base: OneOrMany[Literal["copy-paste"] | ImageLike | None] = None,
    color_weight: OneOrMany[float | MaskLike] = 1.0,
    sigma: float = 0.5,
    smooth_sigma: float = 1.0,
    gradient_kernel: GradientKernel = "normal",
    preserve_background: bool = True,
    reference: bool = False,
    tolerance: float | None = None,
    decontaminate: bool = True,
    keep_gps: bool = False,
    device: Device | None = None,
    errors: Errors = "raise",
    out: OneOrMany[OutLike | None] = None,
    return_info: bool = False,
) -> Any:
    """Gaussian-Poisson blending from coarse to fine.

    Wu, Zheng, Zhang, Huang: GP-GAN: Towards Realistic High-Resolution Image Blending, 2019. Every
    level solves for the gradients of src and dst and the colours of the level before, doubled in
    size (`pyharmony.ops.gaussian_poisson`); levels halve until the short side of the mask's
    surroundings is at most 64 pixels. The colours of the first are the base.

    Args:
        src, dst, mask, at, scale, decontaminate, keep_gps, device, errors, out: see `pyharmony.blend`.
        base: colours of the coarsest level. None: the membrane, Perez' Poisson solve of that level,
            which has no seam; where nothing is known, src. 'copy-paste': mask * src + (1 - mask) *
            dst, whose seam shows at high color_weight. Or an image like dst,
            of any kind.
        color_weight: how far the colours of the base are kept, at least 0; a number, or a map
            [H, W] over dst, which coarser levels average: floats, or a grey picture whose white is 1.
        sigma: of the Gaussian of the colour term, in pixels, 0 to 0.8 (any with reference).
        smooth_sigma: of the smoothing before each halving, in pixels, 0 to 16.
        gradient_kernel: 'normal', 'sobel', 'scharr', 'prewitt' or 'roberts', what derivatives are taken
            with on every level; 'normal' alone reproduces src exactly, see `pyharmony.ops.gaussian_poisson`.
        preserve_background: solve for the pixels with mask > 0 only; the others stay bit for bit.
            False: the whole image, as in the paper; the background changes too.
        reference: as GP-GAN's code: taps whose sum is below one, and values clipped to the range
            after each level. Needs preserve_background=False.
        tolerance: the largest error allowed in the finest level's solve, given its base colours, in
            8-bit levels (1/255 of the value range). None: 0.25 for uint8, 0.004 for uint16, 0.025
            for float16 and float32, 1e-6 for float64. Coarser levels are solved to it too, but not
            below 0.004, and not above 0.25.
        return_info: also return a SolveInfo, of each item of a batch: that of the finest level,
            with the milliseconds and peak_bytes of the whole call; method 'copy' where nothing is
            inside.

    The levels below the finest and the colours that they hand on are float32, for float64 images
    too: those colours are an input of the finest solve. So a float64 result is within tolerance of
    the exact solution for its own base (about 4e-9 of white by default), while the base is that of
    the definition within 0.004 levels (1.6e-5 of white) for each coarser level. With a base given
    and nothing to halve, up to 64 pixels, it is exact throughout.

    Returns:
        The blend, in dst's kind, layout, shape and dtype, or (blend, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> dst, src = np.full((32, 32, 3), 60, np.uint8), np.full((16, 16, 3), 200, np.uint8)
        >>> src[8, 8] = 230
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[2:14, 2:14] = 255
        >>> result, info = blend.gaussian_poisson(src, dst, mask, at=(8, 8), return_info=True)
        >>> result[16, 14:19, 0].tolist()  # the colours of dst, the detail of src
        [60, 60, 92, 60, 60]
        >>> info.max_error < 0.25
        True
    """
    equation = equation_of(sigma, smooth_sigma, gradient_kernel, preserve_background, reference)
    if isinstance(base, str) and base != "copy-paste" and not os.path.exists(base):
        raise ArgumentError(f"base: {base!r}, expected None, 'copy-paste' or an image; there is no file of this name")

    def work(frame: Frame, base: Any, color_weight: Any) -> Infos:
        bases = None if base is None or isinstance(base, str) else frame.images_like_dst(base, "base")
        weight = _checks.color_weight(color_weight, *frame.shape)
        for other, name in ((base, "base"), (color_weight, "color_weight")):
            frame.keep_apart(other, name)
        options = Options(
            base=base if bases is None else None,
            weight=weight,
            equation=equation,
            tolerance=_checks.tolerance(tolerance, frame.dtype),
            certify=bool(return_info),
        )
        return frame.each(lambda job: solve(job, options, None if bases is None else bases[job.item], frame.place))

    def on_device(src: Any, dst: Any, mask: Any, at: Any, out: Any, base: Any, color_weight: Any) -> tuple[Any, Any]:
        if reason := only_there(gradient_kernel, reference):
            raise ArgumentError(reason)
        return gaussian_poisson_on_device(
            src,
            dst,
            mask,
            at,
            out,
            base,
            color_weight,
            sigma=equation.sigma,
            smooth_sigma=equation.smooth_sigma,
            preserve_background=equation.preserve_background,
            tolerance=tolerance,
            coarse_tolerance=coarse_tolerance_of,
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
        base=base,
        color_weight=color_weight,
    )


@dataclass(frozen=True)
class Equation:
    """The arguments of `gaussian_poisson` that say what is solved, checked."""

    sigma: float
    smooth_sigma: float
    gradient_kernel: str
    preserve_background: bool
    reference: bool


def equation_of(
    sigma: float, smooth_sigma: float, gradient_kernel: str, preserve_background: bool, reference: bool
) -> Equation:
    """Checks the arguments of these names."""
    if not reference:
        width = _checks.number(sigma, "sigma", high=MAX_SIGMA, accepts=f"0 to {MAX_SIGMA} pixels")
    else:
        width = _checks.number(sigma, "sigma")
        if preserve_background:
            raise ArgumentError(
                "preserve_background: True with reference=True; GP-GAN's code solves the whole image, pass "
                "preserve_background=False"
            )
    return Equation(
        sigma=width,
        smooth_sigma=_checks.number(
            smooth_sigma, "smooth_sigma", high=MAX_SMOOTH_SIGMA, accepts="a number from 0 to 16"
        ),
        gradient_kernel=_checks.one_of(gradient_kernel, "gradient_kernel", tuple(GRADIENT_KERNELS)),
        preserve_background=bool(preserve_background),
        reference=bool(reference),
    )


@dataclass(frozen=True)
class Options:
    """How a job is solved.

    Attributes:
        base: 'copy-paste', or None: the membrane, or what is given beside.
        weight: color_weight over dst.
        tolerance: of the finest level, in 8-bit levels.
        certify: whether its error is to be proven.
    """

    base: str | None
    weight: float | NumpyArray
    equation: Equation
    tolerance: float
    certify: bool


@dataclass
class Level:
    """What one level knows, over the same part of dst.

    Attributes:
        src, dst: [h, w, C]; the caller's at the finest level, float32 in the same unit below.
        mask: [h, w].
        known: [h, w], the share of each pixel that has mask zero.
        weight: color_weight.
    """

    src: NumpyArray
    dst: NumpyArray
    mask: NumpyArray
    known: NumpyArray
    weight: float | NumpyArray

    def coarser(self, smooth_sigma: float, memory: Memory) -> Level:
        return Level(
            src=memory.hold(downsample(self.src, smooth_sigma)),
            dst=memory.hold(downsample(self.dst, smooth_sigma)),
            mask=memory.hold(halve_mask(self.mask)),
            known=memory.hold(halve_mask(self.known)),
            weight=self.weight if isinstance(self.weight, float) else memory.hold(downsample(self.weight, 0.0)),
        )

    def weight_of(self, region: Region) -> float | NumpyArray:
        return self.weight if isinstance(self.weight, float) else region.of(self.weight)


def coarse_tolerance_of(tolerance: float) -> float:
    """Of the levels below the finest, in 8-bit levels."""
    return min(_COARSE_TOLERANCE, max(tolerance, _FINEST_COARSE_TOLERANCE))


#: Makes the colours of the coarsest level, [h, w, C] float32 in dst's unit: of a job, the part of dst that the levels
#: cover, and the levels, finest first.
Guess = Callable[[Job, Region, list[Level]], NumpyArray]


def solve(job: Job, options: Options, base: NumpyArray | Guess | None, place: Place | None) -> _checks.SolveInfo:
    """The pyramid of one job; base: colours over dst, or who makes those of the coarsest level (on no place)."""
    equation = options.equation
    if job.bbox.empty and equation.preserve_background:
        job.start()
        return direct_info("copy")
    memory = job.memory
    regions = regions_of(job.bbox, job.shape, not equation.preserve_background)
    count = len(regions) - 1
    # The part of dst under the coarsest region: every level is computed over it.
    frame = covered_by(regions, job.shape)
    job.check_finite(frame)
    mask = job.mask_of(frame)
    if (
        place is not None
        and not callable(base)
        and takes(place, job, only_there(equation.gradient_kernel, equation.reference))
    ):
        made: _checks.SolveInfo = attempt(
            place, "gaussian_poisson", lambda: _blend_at(place, job, options, base, frame, mask, count)
        )
        if made is not NotImplemented:
            return made
    level = Level(
        src=job.src_of(frame),
        dst=job.dst_of(frame),
        mask=mask,
        known=memory.hold(mask == 0),
        weight=options.weight if isinstance(options.weight, float) else frame.of(options.weight),
    )
    anything_known = bool(level.known.any())
    levels = [level]
    for _ in range(count):
        levels.append(levels[-1].coarser(equation.smooth_sigma, memory))

    unit = _arrays.VALUE_RANGE[job.dst.dtype.name]
    coarse_tolerance = coarse_tolerance_of(options.tolerance) * unit
    if callable(base):
        colours = memory.hold(base(job, frame, levels))
    elif base is not None:
        check_finite(frame.of(base), "base", (frame.y0, frame.x0))
        colours = frame.of(base)
        for _ in range(count):
            colours = memory.hold(downsample(colours, equation.smooth_sigma))
    else:
        colours = first_base(levels[-1], options.base, anything_known, coarse_tolerance, memory, coarse=count > 0)

    # colours covers regions[k]; the coarsest covers the whole of its level.
    for k in range(count, -1, -1):
        level, region = levels.pop(), regions[k]
        origin = frame.y0 >> k, frame.x0 >> k
        src, dst, inside = (region.of(a, origin) for a in (level.src, level.dst, level.mask))
        local = Region(region.y0 - origin[0], region.y1 - origin[0], region.x0 - origin[1], region.x1 - origin[1])
        if k == 0:
            result = region.of(job.start())
        else:
            result = memory.hold(np.empty(dst.shape, np.float32))
        info = solve_gaussian_poisson(
            src,
            dst,
            inside,
            colours,
            result,
            color_weight=level.weight_of(local),
            sigma=equation.sigma,
            reference=equation.reference,
            gradient_kernel=equation.gradient_kernel,
            preserve_background=equation.preserve_background,
            tolerance=options.tolerance if k == 0 else coarse_tolerance,
            certify=k == 0 and options.certify,
            memory=memory,
        )
        if equation.reference and result.dtype.kind == "f":
            np.clip(result, 0, unit, out=result)
        if k > 0:
            finer = regions[k - 1]
            under = Region(finer.y0 // 2, (finer.y1 + 1) // 2, finer.x0 // 2, (finer.x1 + 1) // 2)
            colours = memory.hold(upsample(under.of(result, (region.y0, region.x0)), finer.shape))
            if equation.preserve_background and anything_known:
                below, corner = levels[-1], (frame.y0 >> (k - 1), frame.x0 >> (k - 1))
                meet_known(colours, finer.of(below.dst, corner), finer.of(below.known, corner))
    return info


def _blend_at(
    place: Place,
    job: Job,
    options: Options,
    base: NumpyArray | None,
    frame: Region,
    mask: NumpyArray,
    count: int,
) -> _checks.SolveInfo:
    """The same on a device, of copies of the crops."""
    equation = options.equation
    weight = options.weight if isinstance(options.weight, float) else np.ascontiguousarray(frame.of(options.weight))
    if base is not None:
        check_finite(frame.of(base), "base", (frame.y0, frame.x0))
    src, dst, cover, out = crops(place, job, frame, mask)
    (info,) = pyramid(
        place,
        src,
        dst,
        cover,
        None if base is None else upload(place, frame.of(base), "base"),
        None if isinstance(weight, float) else upload(place, weight, "color_weight"),
        out,
        PyramidOptions(
            base=options.base,
            weight=weight if isinstance(weight, float) else float(weight.min()),
            most=weight if isinstance(weight, float) else float(weight.max()),
            sigma=equation.sigma,
            smooth_sigma=equation.smooth_sigma,
            preserve_background=equation.preserve_background and not mask.min() > 0,
            tolerance=options.tolerance,
            coarse_tolerance=coarse_tolerance_of(options.tolerance),
            count=count,
            unit=_arrays.VALUE_RANGE[job.dst.dtype.name],
            info=True,
            certify=options.certify,
        ),
    )
    values = place.fetch(out)[0]
    inside = (mask > 0)[..., None] if equation.preserve_background else True
    np.copyto(frame.of(job.start()), values, where=inside)
    return info


def first_base(
    level: Level, kind: str | None, anything_known: bool, tolerance: float, memory: Memory, *, coarse: bool
) -> NumpyArray:
    """Base colours of the coarsest level, float32 (or src as it is)."""
    if kind == "copy-paste":
        m = memory.hold(as_float(level.mask))[..., None]
        base = memory.hold(level.src.astype(np.float32))
        base *= m
        rest = memory.hold(level.dst.astype(np.float32))
        rest *= memory.hold(1 - m)
        base += rest
        return base
    if not anything_known:
        return level.src
    src, dst = (memory.hold(x.astype(np.float32)) for x in (level.src, level.dst))
    membrane = memory.hold(dst.copy())
    solve_poisson(
        src,
        dst,
        level.mask,
        membrane,
        gradients="source",
        color_weight=_hold(level.known, memory) if coarse else 0.0,
        base=dst,
        tolerance=tolerance,
        memory=memory,
    )
    return membrane


def _hold(known: NumpyArray, memory: Memory) -> float | NumpyArray:
    """Weights [h, w] that hold the membrane of a coarse level near dst, from the known share of each pixel.

    A coarse pixel that is known in part has the contour inside: it is held the more, the larger the
    known share. Otherwise known pixels in strips and spots finer than a coarse pixel would be lost
    there. The weight is 2 + 4 known / (1 - known), and 0 where nothing is known.
    """
    share = memory.hold(np.clip(as_float(known), 0, 0.999))
    weight = memory.hold(np.where(share > 0, 2 + 4 * share / (1 - share), 0).astype(np.float32))
    memory.touch(4 * share.nbytes)
    return weight if weight.any() else 0.0
