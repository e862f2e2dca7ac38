"""Prepares a source for its destination: crops it, decontaminates it and moves it by fractions of a pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._arrays import NumpyArray
from .fill import fill
from .region import Region, as_float, check_finite
from .resample import CUBIC, TRIANGLE, Kernel, resample, weighted

_REACH = 2  # the pixels that resampling reads on each side
#: The pixels beyond dst that are used to estimate the colours of a soft edge in it.
_CONTEXT_PIXELS = 256
#: The resampled alpha from which on the sharp kernel is used in part, and alone; below, it may divide by zero.
SHARP_KERNEL_ALPHAS = (0.25, 0.75)
#: A smaller share of a pixel counts as a rounding error.
_NO_SHARE = 1e-6

Weights = Callable[[float], tuple[float, ...]]


@dataclass
class Source:
    """A source at its place in dst."""

    colours: NumpyArray  # [h, w, C]; floats in the unit of the source if it was resampled
    mask: NumpyArray  # [h, w], the caller's mask times alpha
    holes: NumpyArray | None  # [h, w] bool, where alpha is zero, so that there is no colour; None if there is no alpha
    src_region: Region  # the region of dst that the source covers


def place(
    src: NumpyArray,
    mask: NumpyArray | None,
    shape: tuple[int, int],
    shift: tuple[int, int],
    fraction: tuple[float, float],
    *,
    real: type,
    decontaminate: bool,
) -> Source:
    """Returns src [h, w, C] with mask [h, w], placed over a destination of `shape` and cropped to it.

    shift (y, x) is the whole part of src's position in dst and fraction the rest, from 0 to below 1.
    real is the float type of resampled colours.
    """
    h, w = src.shape[:2]
    frame = Region.whole(shape)
    is_fractional = fraction != (0.0, 0.0)
    reach = _REACH if is_fractional else 0
    beyond = Region(-reach, shape[0] + reach, -reach, shape[1] + reach)
    src_region = Region(0, h, 0, w).moved(*shift).overlap(beyond)
    whole, src = src, src_region.of(src, shift)
    mask = None if mask is None else src_region.of(mask, shift)
    colours, alpha, holes = src[..., : min(src.shape[2], 3)], None, None
    if src.shape[2] == 4 and src.size:
        alpha = src[..., 3]
        holes = alpha == 0
        if decontaminate:
            corner = src_region.y0 - shift[0], src_region.x0 - shift[1]
            near = Region.whole(src.shape).moved(*corner).expand(_CONTEXT_PIXELS, (h, w))
            part = near.of(whole)
            from .edge_colours import decontaminated

            own_colours = decontaminated(part[..., :3], part[..., 3], near.origin)
            colours = src_region.of(own_colours, near.moved(*shift).origin)
    if alpha is not None:
        mask = alpha if mask is None else as_float(mask) * as_float(alpha)
    elif mask is None:
        mask = np.ones(src_region.shape, bool)
    if not is_fractional or src_region.empty:
        return Source(colours, mask, holes, src_region)

    check_finite(colours, "src", (src_region.y0 - shift[0], src_region.x0 - shift[1]), skip=mask == 0)
    values: NumpyArray = colours.astype(real)
    if holes is not None and holes.any():
        values = fill(values, holes)
    values = _shifted(values, fraction, _catmull_rom)
    soft_mask = _shifted(as_float(mask)[..., None], fraction, _share)[..., 0]
    if holes is not None:
        visible = (~holes).astype(np.float32)
        holes = _shifted(visible[..., None], fraction, _share)[..., 0] == 0
    inside, origin = Region.whole(soft_mask.shape).moved(*src_region.origin).overlap(frame), src_region.origin
    holes = None if holes is None else inside.of(holes, origin)
    return Source(inside.of(values, origin), inside.of(soft_mask, origin), holes, inside)


def scaled_region(size: tuple[int, int], shape: tuple[int, int], position: tuple[float, float], scale: float) -> Region:
    """Returns the region of a destination of `shape` that `place_scaled` covers with a source of a size (h, w)."""
    rows, columns = (
        (math.floor(low + _NO_SHARE), math.ceil(low + length * scale - _NO_SHARE))
        for low, length in zip(position, size, strict=True)
    )
    return Region(*rows, *columns).overlap(Region.whole(shape))


def place_scaled(
    src: NumpyArray,
    mask: NumpyArray | None,
    shape: tuple[int, int],
    position: tuple[float, float],
    scale: float,
    *,
    real: type,
    decontaminate: bool,
    within: Region | None = None,
) -> Source:
    """Does what `place` does for src [h, w, C] resized to [h * scale, w * scale], its first corner at position (y, x).

    Colours are multiplied by alpha first (premultiplied) and resampled by a cubic kernel where alpha is large enough,
    by a triangle near the contour; mask and alpha are resampled by a triangle. Kernels widen as they shrink. Where
    src covers only a share of a pixel of dst, the mask is multiplied by that share.

    within: the part of the destination that is computed, with the same bits as without it; None: all of it.
    """
    whole = scaled_region((src.shape[0], src.shape[1]), shape, position, scale)
    src_region = whole if within is None else whole.overlap(within)
    if src_region.empty:
        return Source(src[:0, :0, :3], np.zeros((0, 0), bool), None, src_region)
    colours, alpha = src[..., : min(src.shape[2], 3)], src[..., 3] if src.shape[2] == 4 else None
    if alpha is not None and decontaminate:
        from .edge_colours import decontaminated

        colours = decontaminated(colours, alpha, (0, 0))
    step, (top, left) = 1 / scale, position
    wide = max(step, 1.0)
    reach = 2 * wide + 1

    def part_for(region: Region) -> Region:
        """Returns the part of src that the kernels read for a region of the destination."""
        rows, columns = (
            (math.floor((low - start) * step - reach), math.ceil((high - start) * step + reach))
            for (low, high), start in zip(region.spans, position, strict=True)
        )
        return Region(*rows, *columns).overlap(Region.whole(src.shape))

    # The arithmetic is that of the whole, so that parts have the same bits.
    part, full = part_for(src_region), part_for(whole)
    alpha_part = None if alpha is None else as_float(part.of(alpha))
    check_finite(part.of(colours), "src", part.origin, skip=None if alpha_part is None else alpha_part == 0)
    axes = (
        ((whole.y0 - top) * step - full.y0, src_region.y0 - whole.y0, part.y0 - full.y0),
        ((whole.x0 - left) * step - full.x0, src_region.x0 - whole.x0, part.x0 - full.x0),
    )

    def along(axis: int, x: NumpyArray, kernel: Kernel) -> NumpyArray:
        start, cell, pixel = axes[axis]
        return resample(
            x, axis, start, step, src_region.shape[axis], kernel=kernel, real=real, first_cell=cell,
            first_pixel=pixel, count=full.shape[axis],
        )  # fmt: skip

    def at_size(x: NumpyArray, kernel: Kernel) -> NumpyArray:
        return along(1, along(0, x, kernel), kernel)

    def ones_at_size(kernel: Kernel) -> NumpyArray:
        """Returns `at_size` of ones, with the same bits: only rows that differ are computed."""
        column = along(0, np.ones((part.shape[0], 1, 1), np.float32), kernel)
        levels, which = np.unique(column, return_inverse=True)
        rows = along(1, np.repeat(levels[:, None, None], part.shape[1], 1), kernel)
        return rows[which.reshape(-1)]

    values = part.of(colours).astype(real)
    soft = None
    soft_mask = np.ones(part.shape, np.float32) if mask is None else as_float(part.of(mask))
    if alpha_part is None:
        values, holes = at_size(values, CUBIC), None
    else:
        opaque = bool((alpha_part == 1).all())
        if not opaque:
            values[alpha_part == 0] = 0
            values *= alpha_part[..., None].astype(real)
            soft_mask = soft_mask * alpha_part
        sharp, soft = (
            ones_at_size(kernel) if opaque else at_size(alpha_part[..., None], kernel) for kernel in (CUBIC, TRIANGLE)
        )
        share = ((sharp - SHARP_KERNEL_ALPHAS[0]) / (SHARP_KERNEL_ALPHAS[1] - SHARP_KERNEL_ALPHAS[0])).clip(0, 1)
        cubic = at_size(values, CUBIC)
        cubic /= np.maximum(sharp, SHARP_KERNEL_ALPHAS[0])
        if (share < 1).any():
            smooth = at_size(values, TRIANGLE) / np.maximum(soft, _NO_SHARE)
            np.copyto(cubic, smooth + share * (cubic - smooth), where=share < 1)
        values = cubic
        holes = soft[..., 0] <= _NO_SHARE
    overlaps = [
        np.minimum(np.arange(low, high) + 1, start + length * scale) - np.maximum(np.arange(low, high), start)
        for (low, high), start, length in zip(src_region.spans, position, src.shape[:2], strict=True)
    ]
    # Alpha alone has been resampled already.
    soft_mask = soft if mask is None and soft is not None else at_size(soft_mask[..., None], TRIANGLE)
    soft_mask = soft_mask[..., 0].astype(np.float32)
    soft_mask *= np.outer(*(c.clip(0, 1).astype(np.float32) for c in overlaps))
    soft_mask[soft_mask <= _NO_SHARE] = 0
    return Source(values, soft_mask.clip(0, 1), holes, src_region)


def lay_mask(
    mask: NumpyArray, shape: tuple[int, int], shift: tuple[int, int], fraction: tuple[float, float]
) -> NumpyArray:
    """Returns a mask [h, w] placed over an image of `shape`, zero elsewhere; float32 if a fraction moves it."""
    if fraction != (0.0, 0.0):
        mask = _shifted(as_float(mask)[..., None], fraction, _share)[..., 0]
    result = np.zeros(shape, mask.dtype)
    inside = Region.whole(mask.shape).moved(*shift).overlap(Region.whole(shape))
    inside.of(result)[...] = inside.of(mask, shift)
    return result


def _share(t: float) -> tuple[float, ...]:
    """Returns the weights of the pixels i - 1 and i for the value at i - t: the share of the area that each covers."""
    return t, 1 - t


def _catmull_rom(t: float) -> tuple[float, ...]:
    """Returns the weights of the pixels i - 2 to i + 1 for the value at i - t (Keys 1981, a = -1/2)."""
    u = 1 - t
    return (
        ((-0.5 * u + 1.0) * u - 0.5) * u,
        (1.5 * u - 2.5) * u * u + 1.0,
        ((-1.5 * u + 2.0) * u + 0.5) * u,
        (0.5 * u - 0.5) * u * u,
    )


def _shifted(x: NumpyArray, fraction: tuple[float, float], weights_of: Weights) -> NumpyArray:
    """Returns x [h, w, C] moved down and right by fractions of a pixel, as [h + 1, w + 1, C].

    Beyond the border, a kernel of four weights reads the nearest pixel. One of two weights reads zero: it is used for
    shares of coverage.
    """
    for axis, t in enumerate(fraction):
        taps, count = np.array(weights_of(t)), x.shape[axis]
        reach = len(taps) // 2
        at = np.arange(-reach, len(taps) - reach)[:, None] + np.arange(count + 1)
        shares = np.where((reach > 1) | ((at >= 0) & (at < count)), taps[:, None], 0)
        x = weighted(x, axis, at.clip(0, count - 1), shares, x.dtype)
    return x
