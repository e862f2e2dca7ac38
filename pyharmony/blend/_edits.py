"""Gradient-domain edits of one image: flattening textures, evening out light, boosting details, filling holes."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _arrays, _checks
from .._arrays import NumpyArray
from .._images.call import Call, on_one_image, solved
from .._images.fill import fill
from .._images.frame import Frame, Infos, Job, store
from .._images.limit import limit_change
from .._images.region import Region, check_finite
from .._native import native
from ..errors import ArgumentError, MaskError
from ..reference.edits import LEAST_GRADIENT, LOG_OFFSET
from ..typing import MaskLike, OneOrMany, Wrap
from ._solve import in_levels, solve_edit, solve_membrane

_ROWS = 64  # the rows of a strip, so few that its temporaries fit in the cache
_MAX_GAIN = 1e3
_MAX_ALPHA = 10.0  # the largest alpha of `illumination_change`
_MAX_BETA = 2.0  # the largest beta of `illumination_change`


@on_one_image
def texture_flattening(
    call: Call,
    mask: OneOrMany[MaskLike | None] = None,
    *,
    low: float = 4.0,
    high: float = 6.0,
    tolerance: float | None = None,
    wrap: Wrap | None = None,
) -> Any:
    """Removes texture and preserves edges, which gives the look of a painting.

    Perez, Gangnet, Blake: Poisson Image Editing, 2003, section 4: the result has the image's gradients
    at edges, and none elsewhere. An edge has a gradient of at least high, and is continued while it is
    at least low (hysteresis); its whole width counts.

    Args:
        image: the image to edit: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or
            floats with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. The result has its kind.
        mask: the soft mask of the edit, of its height and width: bool, uint8 or uint16 (the largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of image, or all of it.
            The mean of an image that it covers is preserved.
        wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
        low, high: thresholds of the gradient, by Sobel's kernel over 8 in the channel with the largest, in
            8-bit levels (1/255 of the value range) per pixel, for every dtype. A step of s levels between two
            pixels has a gradient of s / 2. The thresholds of `cv2.textureFlattening` are 8 times as high; it adds
            the two axes instead of computing the length, and thins edges to lines.
        tolerance: the largest error allowed in 8-bit levels. None: 0.25 for uint8, 0.004 for uint16,
            0.025 for float16 and float32, 1e-6 for float64.
        return_info: whether to return a SolveInfo too, or one for each item of a batch, with a certified error.

    Returns:
        The edited image, in image's kind, layout, shape and dtype, or (image, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> image = np.full((16, 16, 3), 100, np.uint8)
        >>> image[::2, ::2] = 103  # a texture
        >>> blend.texture_flattening(image, low=10, high=20)[4:12, 4:12].std().round(1).item()
        0.0
    """
    weak = _checks.number(low, "low")
    strong = _checks.number(high, "high")
    if weak > strong:
        raise ArgumentError(f"low: {weak:g} with high {strong:g}; expected low <= high")

    def edit(job: Job, weight: float | NumpyArray, limit: float, certify: bool) -> _checks.SolveInfo:
        region, image = _read(job)
        unit = _arrays.VALUE_RANGE[job.dst.dtype.name] / 255
        norm = _norm(image, smooth=True, real=np.float32)
        gain = np.empty_like(norm)
        native.edge_map(
            _arrays.view(norm, "norm"), weak * unit, strong * unit, _arrays.view(gain, "gain", writable=True)
        )
        del norm
        return _write_edit(job, region, image, gain=gain, limit=limit, certify=certify)

    return _run(call, edit, mask, tolerance, wrap)


@on_one_image
def illumination_change(
    call: Call,
    mask: OneOrMany[MaskLike | None] = None,
    *,
    alpha: float = 0.2,
    beta: float = 0.4,
    tolerance: float | None = None,
    wrap: Wrap | None = None,
) -> Any:
    """Evens out the light: brightens under-exposed parts and reduces reflections.

    Perez, Gangnet, Blake: Poisson Image Editing, 2003, section 4, after Fattal, Lischinski, Werman,
    2002: with g the gradient of the logarithm of the image and m the mean of its length on the mask,
    the target gradient is ``(alpha m / |g|)^beta g``. Gradients above alpha m shrink, those below
    grow. The factor is the same for all channels, which preserves hues.

    Args:
        image: the image to edit: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or
            floats with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. The result has its kind.
            Values below zero count as zero.
        mask: the soft mask of the edit, of its height and width: bool, uint8 or uint16 (the largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of image, or all of it.
            The mean of the logarithm of an image that it covers is preserved.
        wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
        alpha: the gradient that does not change, as a multiple of the mean one; above 0, at most 10.
        beta: the strength, 0 (no change) to 2; above 1, larger gradients become the
            smaller ones. Perez uses 0.2 for both. `cv2.illuminationChange`, whose defaults
            these are, works on pixel values instead of their logarithm, in each channel separately,
            and its alpha is a gradient in 8-bit levels.
        tolerance, return_info: see `texture_flattening`.

    The logarithm is computed of the value plus one 8-bit level, so black is an ordinary value, and an image
    gives the same result in every dtype. An encoding by a power law only scales the logarithm.

    Returns:
        The edited image, in image's kind, layout, shape and dtype, or (image, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> image = np.tile(np.linspace(20, 80, 16).astype(np.uint8)[None, :, None], (16, 1, 3))
        >>> mask = np.zeros((16, 16), np.uint8)
        >>> mask[4:12, 4:12] = 255
        >>> result = blend.illumination_change(image, mask)
        >>> result.shape, bool(np.array_equal(result[mask == 0], image[mask == 0]))
        ((16, 16, 3), True)
    """
    accepts = f"a number above 0, at most {_MAX_ALPHA:g}"
    level = _checks.number(alpha, "alpha", low=math.nextafter(0, 1), high=_MAX_ALPHA, accepts=accepts)
    power = _checks.number(beta, "beta", high=_MAX_BETA, accepts=f"a number from 0 to {_MAX_BETA:g}")

    return _run(call, functools.partial(_relight, alpha=level, beta=power), mask, tolerance, wrap)


@on_one_image
def detail_boost(
    call: Call,
    mask: OneOrMany[MaskLike | None] = None,
    *,
    gain: float = 1.5,
    color_weight: OneOrMany[float | MaskLike] = 0.05,
    tolerance: float | None = None,
    wrap: Wrap | None = None,
) -> Any:
    """Multiplies the gradients of the image while pulling its colours to the original.

    It solves the screened Poisson equation ``(L + color_weight) x = gain L image + color_weight image`` (Bhat,
    Curless, Cohen, Zitnick: Fourier Analysis of the 2D Screened Poisson Equation for Gradient Domain
    Problems, 2008): details much smaller than ``2 pi / sqrt(color_weight)`` pixels grow by gain, and much
    larger ones do not change. It sharpens without halos at the contour of the mask.

    Args:
        image: the image to edit: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or
            floats with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. The result has its kind.
        mask: the soft mask of the edit, of its height and width: bool, uint8 or uint16 (the largest value is inside) or
            floats from 0 to 1; or a grey image. None: the alpha of image, or all of it.
        wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
        gain: the factor of the gradients, 0 to 1000; below 1 smooths.
        color_weight: how strongly colours are pulled to the image's, 0 to 1e6; a number or a map [H, W]
            of floats or a grey image, white being 1. 0.05 preserves details larger than some 28 pixels.
            With 0 and a mask that covers the image, the mean is preserved.
        tolerance, return_info: see `texture_flattening`.

    Returns:
        The edited image, in image's kind, layout, shape and dtype, or (image, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> image = np.full((9, 9, 3), 100, np.uint8)
        >>> image[4, 4] = 120
        >>> blend.detail_boost(image, gain=2)[4, 4].tolist()
        [139, 139, 139]
    """
    factor = _checks.number(gain, "gain", high=_MAX_GAIN, accepts=f"a number from 0 to {_MAX_GAIN:g}")

    def edit(job: Job, weight: float | NumpyArray, limit: float, certify: bool) -> _checks.SolveInfo:
        region, image = _read(job)
        local_weight = weight if isinstance(weight, float) else region.of(weight)
        return _write_edit(job, region, image, gain=factor, weight=local_weight, limit=limit, certify=certify)

    return _run(call, edit, mask, tolerance, wrap, color_weight)


@on_one_image
def inpaint(call: Call, mask: OneOrMany[MaskLike], *, tolerance: float | None = None, wrap: Wrap | None = None) -> Any:
    """Fills the mask with a membrane interpolated from its surroundings: smooth, without texture.

    Pixels inside the mask are not read, and may be NaN. Suitable for scratches, specks, wires and
    the background under a later paste; a large hole becomes a smooth gradient.

    Args:
        image: the image to edit: NumPy [H, W] or [H, W, C], torch [C, H, W], of 1, 3 or 4 channels, uint8, uint16 or
            floats with 1.0 for white; or a PIL image, a file or a `pyharmony.io.Picture`. The result has its kind.
        wrap, keep_gps, device, errors, out: see `pyharmony.blend`.
        mask: the pixels to fill, of the image's height and width: those above zero, blended with the image where the
            mask is soft. bool, uint8 or uint16 (their largest value is inside) or floats from 0 to 1; or a grey image.
            At least one pixel must be zero.
        tolerance, return_info: see `texture_flattening`.

    Returns:
        The filled image, in image's kind, layout, shape and dtype, or (image, info).

    Raises:
        PyHarmonyError: see `pyharmony.blend`.

    Example:
        >>> from pyharmony import blend
        >>> image = np.full((9, 9, 3), 100, np.uint8)
        >>> image[4, 2:7] = 255  # a scratch
        >>> mask = np.zeros((9, 9), np.uint8)
        >>> mask[4, 2:7] = 255
        >>> blend.inpaint(image, mask)[4, :, 0].tolist()
        [100, 100, 100, 100, 100, 100, 100, 100, 100]
    """
    if mask is None:
        raise MaskError("mask: None, expected the pixels to fill")
    return _run(call, _inpaint, mask, tolerance, wrap)


# ---- around an edit ------------------------------------------------------------------------------

#: A function of a job with a non-empty mask, color_weight, the tolerance, and whether to prove the error.
Edit = Callable[[Job, "float | NumpyArray", float, bool], _checks.SolveInfo]


def _run(call: Call, edit: Edit, mask: Any, tolerance: float | None, wrap: str | None, color_weight: Any = 0.0) -> Any:
    def work(frame: Frame, color_weight: Any) -> Infos:
        limit = _checks.tolerance(tolerance, frame.dtype)
        weight, certify = frame.color_weight(color_weight), bool(call.return_info)
        return frame.each(lambda job: job.unchanged() if job.bbox.empty else edit(job, weight, limit, certify))

    tell = solved("edited", call.function)
    return dataclasses.replace(call, mask=mask, wrap=wrap).run(work, tell=tell, color_weight=color_weight)


def _read(job: Job) -> tuple[Region, NumpyArray]:
    """Returns the part of the image that an edit reads: the mask and two pixels around, for gradients at its border."""
    region = job.bbox.expand(2, job.shape)
    _check_finite(job, region, job.mask_of(region), None if job.holes is None else region.of(job.holes))
    return region, _colours(job, region)


def _check_finite(job: Job, region: Region, mask: NumpyArray, skip: NumpyArray | None) -> None:
    """Raises for NaN and Inf on the mask or within one pixel of it, except where skip is True."""
    check_finite(region.of(job.dst), "image", (region.y0, region.x0), skip=skip, mask=mask)


def _colours(job: Job, region: Region, without: NumpyArray | None = None) -> NumpyArray:
    """Returns the image over a region, in separate memory from out; extrapolates its colours to where alpha is zero.

    Pixels where without [h, w] is True are not extrapolated from.
    """
    image = job.dst_of(region)
    holes = None if job.holes is None else region.of(job.holes)
    if holes is None or not holes.any():
        return image
    absent = holes if without is None else holes | without
    colours = fill(image.astype(job.real), absent)
    if without is not None:
        np.copyto(colours, image, where=(without & ~holes)[..., None])
    return colours


def _norm(image: NumpyArray, *, smooth: bool, real: type) -> NumpyArray:
    norm: NumpyArray = np.empty(image.shape[:2], real)
    native.gradient_norm(_arrays.view(image, "image"), smooth=smooth, out=_arrays.view(norm, "norm", writable=True))
    return norm


def _write_edit(
    job: Job,
    region: Region,
    image: NumpyArray,
    *,
    gain: float | NumpyArray,
    weight: float | NumpyArray = 0.0,
    limit: float,
    certify: bool,
) -> _checks.SolveInfo:
    mask = job.mask_of(region)
    target = region.of(job.start())
    plain = image.dtype == job.dst.dtype
    # Colours extrapolated into holes must not be written to the image.
    result = target if plain else np.empty(target.shape, job.real)
    level = _arrays.VALUE_RANGE[job.dst.dtype.name] / _arrays.VALUE_RANGE[image.dtype.name]
    options: Any = {"tolerance": limit * level, "certify": certify}
    info = solve_edit(image, mask, result, gain=gain, color_weight=weight, **options)
    if not plain:
        info = dataclasses.replace(in_levels(info, level), clipped=store(result, target, mask > 0))
    if job.soft:
        limit_change(image, image, mask, target)
    return info


def _relight(
    job: Job, weight: float | NumpyArray, limit: float, certify: bool, *, alpha: float, beta: float
) -> _checks.SolveInfo:
    region, image = _read(job)
    mask = job.mask_of(region)
    white = _arrays.VALUE_RANGE[job.dst.dtype.name]
    offset = LOG_OFFSET * white
    y = _logarithm(image, offset, job.real)
    norm = _norm(y, smooth=False, real=job.real)
    mean = float(norm.mean(where=mask > 0, dtype=np.float64))
    if mean > 0:
        np.fmax(norm, LEAST_GRADIENT * mean, out=norm)  # norm is NaN next to pixels that are not read
        np.divide(alpha * mean, norm, out=norm)
        np.power(norm, beta, out=norm)
    else:
        norm[...] = 1
    solved = np.empty_like(y)
    error = limit * white / 255
    most = white
    if job.dst.dtype.kind == "f":
        most = max(float(image.max(where=(mask > 0)[..., None], initial=0)), offset)
    for _ in range(4):
        # An error of d in the logarithm is an error of at most (exp(d) - 1) (x + offset) in x.
        tolerance = math.log1p(error / (most + offset))
        info = solve_edit(y, mask, solved, gain=norm, tolerance=tolerance * 255, certify=certify)
        if job.dst.dtype.kind != "f":
            break
        largest = math.exp(float(solved.max(where=(mask > 0)[..., None], initial=-math.inf))) - offset
        if largest <= most:
            break
        most = largest
    result = region.of(job.start())
    inside, clipped = (mask > 0)[..., None], 0
    for top in range(0, region.shape[0], _ROWS):
        rows = slice(top, top + _ROWS)
        with np.errstate(over="ignore"):
            values = np.exp(solved[rows])
        values -= offset
        clipped += _arrays.count_clipped(values, result.dtype, inside[rows])
        _arrays.round_into(values, result[rows], where=inside[rows])
    if job.soft:
        limit_change(image, image, mask, result)
    proven = math.expm1(min(info.max_error / 255, 700.0)) * (most + offset) / white * 255
    share = clipped / int(np.count_nonzero(inside) * result.shape[2])
    return dataclasses.replace(info, max_error=proven, clipped=share)


def _logarithm(image: NumpyArray, offset: float, real: type) -> NumpyArray:
    """Returns log(max(image, 0) + offset), in real."""
    if image.dtype.kind == "u":
        table = np.log(np.arange(np.iinfo(image.dtype).max + 1) + offset).astype(real)
        return table[image]
    y: NumpyArray = np.maximum(image, 0, dtype=real)
    y += real(offset)
    return np.log(y, out=y)


def _inpaint(job: Job, weight: float | NumpyArray, limit: float, certify: bool) -> _checks.SolveInfo:
    region = job.bbox.expand(1, job.shape)
    mask = job.mask_of(region)
    inside = mask > 0
    if job.bbox.shape == job.shape and inside.all():
        raise MaskError("mask: covers all of the image, expected some pixels at zero to interpolate from")
    full = mask if mask.dtype == np.bool_ else mask == mask.dtype.type(_arrays.VALUE_RANGE[mask.dtype.name])
    holes = None if job.holes is None else region.of(job.holes)
    _check_finite(job, region, mask, full if holes is None else full | holes)
    image = _colours(job, region, without=inside)
    target = region.of(job.start())
    soft = bool((inside & ~full).any())  # then the blend with the image precedes rounding
    plain = image.dtype == job.dst.dtype and not soft
    result = target if plain else np.zeros(target.shape, job.real)
    scale = _arrays.VALUE_RANGE[job.dst.dtype.name] / _arrays.VALUE_RANGE[image.dtype.name]
    info = solve_membrane(image, mask, result, tolerance=limit * scale, certify=certify)
    if soft:
        weight = np.divide(mask, _arrays.VALUE_RANGE.get(mask.dtype.name, 1.0), dtype=job.real)[..., None]
        result -= image
        result *= weight
        result += image
    return info if plain else dataclasses.replace(in_levels(info, scale), clipped=store(result, target, inside))
