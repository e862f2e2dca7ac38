"""The pyramid of `gaussian_poisson`, solved from coarse to fine on the CPU or on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .. import _checks
from .._arrays import NumpyArray
from .._cuda import Place
from .._images.call import Call
from .._images.frame import Crop, Infos
from .._images.region import Region, as_float, covered_by, regions_of
from ..errors import ArgumentError
from ..ops.gaussian_poisson import MAX_REFERENCE_SIGMA, MAX_SIGMA, REFERENCE_SIGMAS
from ..ops.pyramid import MAX_SMOOTH_SIGMA, copy_paste, empty_like, halve, hold
from ..reference.gaussian_poisson import GRADIENT_KERNELS
from ._solve import Level, membrane, solve_gaussian_poisson

_COARSE_TOLERANCE = 0.25  # the largest tolerance of coarser levels, in 8-bit levels
_FINEST_COARSE_TOLERANCE = 0.004  # the smallest one, which float32 can still reach


@dataclass(frozen=True)
class Equation:
    """The validated arguments of `gaussian_poisson` that define the equation."""

    sigma: float
    smooth_sigma: float
    gradient_kernel: str
    preserve_background: bool
    as_published: bool
    contour: str = "half"

    @property
    def only_on_cpu(self) -> str:
        """The reason why CUDA kernels do not support this equation; empty if they do."""
        if self.gradient_kernel != "normal":
            kernel = f"gradient_kernel: {self.gradient_kernel!r}"
            return f"{kernel} is supported only on the CPU; on CUDA use 'normal'"
        if self.contour != "half":
            return f"contour: {self.contour!r} with a soft mask is supported only on the CPU; on CUDA use 'half'"
        if self.as_published:
            return "as_published: True is supported only on the CPU; CUDA kernels do not clip between levels"
        return ""


def equation_of(
    sigma: float,
    smooth_sigma: float,
    gradient_kernel: str,
    preserve_background: bool,
    as_published: bool,
    contour: str = "half",
    wrap: str | None = None,
) -> Equation:
    """Validates the named arguments and returns their equation."""
    _checks.flags(preserve_background=preserve_background, as_published=as_published)
    if wrap is not None and not preserve_background:
        raise ArgumentError(f"wrap: {wrap!r} with preserve_background=False, expected True, or wrap None")
    if not as_published:
        width = _checks.number(sigma, "sigma", high=MAX_SIGMA, accepts=f"0 to {MAX_SIGMA} pixels")
    else:
        width = _checks.number(sigma, "sigma", high=MAX_REFERENCE_SIGMA, accepts=REFERENCE_SIGMAS)
        if preserve_background:
            raise ArgumentError(
                "preserve_background: True with as_published=True; GP-GAN's code solves the whole image, pass "
                "preserve_background=False",
                code="reference-solves-all",
            )
    return Equation(
        sigma=width,
        smooth_sigma=_checks.number(
            smooth_sigma, "smooth_sigma", high=MAX_SMOOTH_SIGMA, accepts="a number from 0 to 16"
        ),
        gradient_kernel=_checks.one_of(gradient_kernel, "gradient_kernel", tuple(GRADIENT_KERNELS)),
        preserve_background=bool(preserve_background),
        as_published=bool(as_published),
        contour=_checks.one_of(contour, "contour", _checks.CONTOURS),
    )


@dataclass(frozen=True)
class Options:
    """The settings of the solve of a job.

    Attributes:
        base: 'copy-paste'; or None for the membrane, or for colours that are passed to `solve`.
        weight: color_weight over dst, as the frame returns it.
        tolerance: the tolerance of the finest level, in 8-bit levels.
        certify: whether the error of the finest level is proven; on a device, also whether it is reported.
    """

    base: str | None
    weight: Any
    equation: Equation
    tolerance: float
    certify: bool


def options_of(
    call: Call, frame: Any, equation: Equation, color_weight: Any, tolerance: float | None, base: str | None = None
) -> Options:
    """Returns the settings for a frame of a call."""
    weight = frame.color_weight(color_weight)
    return Options(base, weight, equation, _checks.tolerance(tolerance, frame.dtype), bool(call.return_info))


def coarse_tolerance_of(tolerance: float) -> float:
    """Returns the tolerance of the levels below the finest, in 8-bit levels."""
    return min(_COARSE_TOLERANCE, max(tolerance, _FINEST_COARSE_TOLERANCE))


#: A function that returns the colours of the coarsest level, [h, w, C] float32 in dst's unit, from a job, the part of
#: dst that the levels cover, and the levels, finest first.
Guess = Callable[[Any, Region, list[Level]], NumpyArray]


def solve(job: Any, options: Options, bases: Any = None, guess: Guess | None = None) -> Infos:
    """Blends one job, on the device of its arrays or of the call.

    Args:
        job: a Job or DeviceJob.
        options: the settings of the solve.
        bases: for each item, colours over dst, which are halved for the base of the coarsest level.
        guess: a function that computes the colours of the coarsest level instead, on the CPU.
    """
    equation, job = options.equation, job.to_border()
    if job.bbox.empty and equation.preserve_background:
        return job.unchanged()
    regions = regions_of(job.bbox, job.shape, not equation.preserve_background)
    # Every level is computed over the part of dst under the coarsest region.
    part = covered_by(regions, job.shape)
    # Under a hard mask the full contour uses nothing of dst inside; a coarse level would mix it in.
    hide = equation.contour == "full" and not job.soft
    if hide and equation.gradient_kernel == "normal":  # both contours are the same then
        equation = replace(equation, contour="half")
        options = replace(options, equation=equation)
    job.check_finite(part, hide=hide)
    job.warn_of_erased(hard=not hide)
    mask = job.mask_of(part)
    descend = partial(_descend, job, regions=regions, options=options, guess=guess, no_background=job.covered(mask))
    crop = job.crop(part, mask, options.weight, None if bases is None else bases[job.item], hide=hide)
    whole = not equation.preserve_background
    infos = job.solved(crop, descend, name="gaussian_poisson", everywhere=whole, only_on_cpu=equation.only_on_cpu)
    # A network's colours do not match those of the contour.
    if guess is None:
        job.warn_of_flooded()
    return infos


def _descend(
    job: Any, crop: Crop, *, regions: list[Region], options: Options, guess: Guess | None, no_background: bool
) -> Infos:
    """Solves the levels of a crop from coarse to fine into its target.

    regions are the regions to solve on each level, finest first; a device solves the whole level. no_background: the
    mask covers dst, so that no pixel of dst is known.
    """
    equation, place = options.equation, crop.place
    pinned = equation.preserve_background and not no_background
    known_share = None if place is not None else crop.mask == 0
    levels = [Level(crop.src, crop.dst, crop.mask, known_share, crop.weight)]
    del known_share
    for _ in regions[1:]:
        levels.append(levels[-1].coarser(equation.smooth_sigma, place))
    count = len(levels) - 1
    if guess is not None:
        colours = guess(job, crop.region, levels)
    elif crop.base is not None:
        colours = crop.base
        for _ in range(count):
            colours = halve([colours], equation.smooth_sigma, place)[0]
    else:
        tolerance = coarse_tolerance_of(options.tolerance)
        only_src = no_background and place is None
        how: Any = {"coarse": count > 0, "contour": equation.contour}
        colours = first_base(levels[-1], options.base, only_src, tolerance, crop.unit, place, **how)
    infos: Infos = []
    for k in range(count, -1, -1):
        whole = crop.region.halved(k)
        region = regions[k] if place is None else whole
        level = levels.pop().over(region, (whole.y0, whole.x0))
        result = crop.target(region) if k == 0 else empty_like(level.dst, place)
        infos = solve_gaussian_poisson(
            level,
            colours,
            result,
            sigma=equation.sigma,
            pinned=pinned,
            tolerance=coarse_tolerance_of(options.tolerance) if k > 0 else options.tolerance,
            unit=crop.unit,
            place=place,
            half_base=k < count,
            reference=equation.as_published,
            gradient_kernel=equation.gradient_kernel,
            contour=equation.contour,
            certify=k == 0 and options.certify,
            report=k == 0 and (options.certify or crop.fetched),
        )
        if equation.as_published and result.dtype.kind == "f":
            np.clip(result, 0, crop.unit, out=result)
        if k > 0:
            finer = regions[k - 1] if place is None else crop.region.halved(k - 1)
            colours = finer.halved().of(result, (region.y0, region.x0))
    return infos


def first_base(
    level: Level,
    kind: str | None,
    only_src: bool,
    tolerance: float,
    unit: float,
    place: Place | None,
    *,
    coarse: bool,
    contour: str = "half",
) -> Any:
    """Returns the base colours of the coarsest level, float32 (or src unchanged if only_src is set)."""
    if kind == "copy-paste":
        if place is not None:
            return copy_paste(place, level.src, level.dst, level.mask)
        m = as_float(level.mask)[..., None]
        base = level.src.astype(np.float32)
        base *= m
        rest = level.dst.astype(np.float32)
        rest *= 1 - m
        base += rest
        return base
    if only_src:
        return level.src
    weights = None
    if coarse:
        weights = _anchor_weights(level.known_share) if place is None else hold(place, level.known_share)
    return membrane(level, weights, tolerance, unit, place, contour)


def _anchor_weights(known_share: NumpyArray) -> NumpyArray | None:
    """Returns weights [h, w] that pull the membrane of a coarse level to dst, from the known share of each pixel.

    A coarse pixel on the contour is known in part: the larger its known share, the larger its weight.
    Without weights, known strips and spots finer than a coarse pixel would have no effect there. The weight is
    2 + 4 share / (1 - share), and 0 where nothing is known.
    """
    share = np.clip(as_float(known_share), 0, 0.999)
    weight = np.where(share > 0, 2 + 4 * share / (1 - share), 0).astype(np.float32)
    return weight if weight.any() else None
