"""Blends of arrays in the memory of a CUDA device, and the pyramid of `gaussian_poisson` there.

Arrays on a device are blended where they are: src and mask have the size of dst, there is no alpha,
and no value is looked at by the processor. What comes from the processor has been laid over dst
there, as for any blend, and its crop is copied to the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda
from .._checks import SolveInfo
from .._cuda import DeviceArray, Place
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops._gaussian_poisson_cuda import DeviceEquation, choose_method, solve
from ..ops._images_cuda import batch_of, planes_of, unsupported, weight_on
from ..ops._poisson_cuda import DeviceHierarchy, most_iterations, solve_images
from ..reference.gaussian_poisson import gaussian_taps
from ._region import Region, covered_by, regions_of

_FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class PyramidOptions:
    """Of `pyharmony.blend.gaussian_poisson`.

    Attributes:
        weight, most: the least and the largest color_weight.
        tolerance, coarse_tolerance: of the finest level and of the others, in 8-bit levels.
        count: of the levels below the finest.
    """

    base: str | None
    weight: float
    most: float
    sigma: float
    smooth_sigma: float
    preserve_background: bool
    tolerance: float
    coarse_tolerance: float
    count: int
    unit: float
    info: bool
    certify: bool


@dataclass
class _Level:
    src: DeviceArray
    dst: DeviceArray
    mask: DeviceArray
    known: DeviceArray | None
    weight_map: DeviceArray | None


def pyramid(
    place: Place,
    src: DeviceArray,
    dst: DeviceArray,
    mask: DeviceArray,
    base: DeviceArray | None,
    weight_map: DeviceArray | None,
    out: DeviceArray,
    options: PyramidOptions,
) -> list[SolveInfo]:
    """The blend of src, dst, base [N, H, W, C] with mask, weight_map [N, H, W] into out [N, H, W, C]."""
    with _cuda.failures("gaussian_poisson"):
        return _Pyramid(place, options).run(src, dst, mask, base, weight_map, out)


class _Pyramid:
    def __init__(self, place: Place, options: PyramidOptions) -> None:
        self.place, self.options = place, options
        self.at = {"device": place.device, "stream": place.stream}

    def new(self, shape: tuple[int, ...]) -> DeviceArray:
        return self.place.empty(shape, _FLOAT)[1]

    def run(
        self,
        src: DeviceArray,
        dst: DeviceArray,
        mask: DeviceArray,
        base: DeviceArray | None,
        weight_map: DeviceArray | None,
        out: DeviceArray,
    ) -> list[SolveInfo]:
        o = self.options
        levels = [_Level(src, dst, mask, None, weight_map)]
        count = o.count
        for _ in range(count):
            levels.append(self.coarser(levels[-1]))
        if base is None:
            colours = self.first_base(levels[-1], coarse=count > 0)
        else:
            colours = base
            for _ in range(count):
                colours = self.halved([colours])[0]
        infos: list[SolveInfo] = []
        for k in range(count, -1, -1):
            level = levels.pop()
            result = out if k == 0 else self.new(level.dst.shape)
            infos = self.solve(level, colours, result, finest=k == 0, doubled=k < count)
            colours = result
        return infos

    def solve(
        self, level: _Level, colours: DeviceArray, out: DeviceArray, *, finest: bool, doubled: bool
    ) -> list[SolveInfo]:
        o = self.options
        w0, w1 = gaussian_taps(o.sigma)
        equation = DeviceEquation(
            src=level.src,
            dst=level.dst,
            mask=level.mask,
            base=colours,
            weight=o.weight,
            weight_map=level.weight_map,
            w0=w0,
            w1=w1,
            pinned=o.preserve_background,
            most=o.most,
            half_base=doubled,
        )
        levels = o.tolerance if finest else o.coarse_tolerance
        # Chebyshev's kernel doubles on the way, where nothing has to meet what is known.
        if doubled and (o.preserve_background or choose_method(equation, levels) != "chebyshev"):
            equation.base, equation.half_base = self.doubled(level, colours), False
        return solve(
            self.place,
            equation,
            out,
            method="auto",
            levels=levels,
            unit=o.unit,
            info=finest and o.info,
            certify=finest and o.certify,
        )

    def doubled(self, level: _Level, colours: DeviceArray) -> DeviceArray:
        """colours of the level below, at the size of this one, meeting what is known."""
        module = self.place.module
        out = self.new(level.dst.shape)
        image, into = colours.view("base"), out.view("base", writable=True)
        if self.options.preserve_background:
            known = level.mask if level.known is None else level.known
            module.pyramid_upsample_meet(
                image, level.dst.view("dst"), known.view("known"), into, from_mask=level.known is None, **self.at
            )
        else:
            module.pyramid_upsample(image, into, **self.at)
        return out

    def first_base(self, level: _Level, *, coarse: bool) -> DeviceArray:
        """Colours of the coarsest level, see `first_base` of the processor."""
        place, module = self.place, self.place.module
        count, height, width, _ = level.dst.shape
        colours = self.new(level.dst.shape)
        into = colours.view("base", writable=True)
        if self.options.base == "copy-paste":
            module.pyramid_copy_paste(
                level.src.view("src"), level.dst.view("dst"), level.mask.view("mask"), into, **self.at
            )
            return colours
        hold = None
        if coarse:
            assert level.known is not None  # noqa: S101  # made by `coarser`
            hold = self.new((count, height, width))
            module.pyramid_hold(level.known.view("known"), hold.view("hold", writable=True), **self.at)
        place.copy(level.dst, colours)
        hierarchy = DeviceHierarchy(place, level.mask, (height, width), weight=0.0, weight_map=hold)
        tolerance = self.options.coarse_tolerance
        hierarchy.solve(
            place,
            level.src,
            level.dst,
            level.mask,
            level.dst,
            colours,
            gradients="source",
            tolerance=tolerance * self.options.unit / 255,
            iterations=most_iterations(tolerance),
            certify=False,
            read=False,
        )
        return colours

    def halved(self, images: list[DeviceArray], smooth_sigma: float | None = None) -> list[DeviceArray]:
        sigma = self.options.smooth_sigma if smooth_sigma is None else smooth_sigma
        outs = [self.new((a.shape[0], (a.shape[1] + 1) // 2, (a.shape[2] + 1) // 2, a.shape[3])) for a in images]
        self.place.module.pyramid_downsample(
            [a.view("image") for a in images], sigma, [a.view("out", writable=True) for a in outs], **self.at
        )
        return outs

    def coarser(self, level: _Level) -> _Level:
        src, dst = self.halved([level.src, level.dst])
        shape = dst.shape[:3]
        mask, known = self.new(shape), self.new(shape)
        self.place.module.pyramid_downsample_mask(
            level.mask.view("mask"),
            None if level.known is None else level.known.view("known"),
            mask.view("mask", writable=True),
            known.view("known", writable=True),
            **self.at,
        )
        weight_map = level.weight_map
        if weight_map is not None:
            planes = weight_map.reshaped((*weight_map.shape, 1), (*weight_map.strides, 1))
            (halved,) = self.halved([planes], 0.0)
            weight_map = halved.reshaped(halved.shape[:3], halved.strides[:3])
        return _Level(src, dst, mask, known, weight_map)


# ---- arrays that are on a device -----------------------------------------------------------------


@dataclass
class Frame:
    """The arguments of a blend on a device: checked, [N, H, W, C] and [N, H, W].

    Attributes:
        result: what the blend returns, out: how kernels see it.
    """

    place: Place
    src: DeviceArray
    dst: DeviceArray
    mask: DeviceArray
    out: DeviceArray
    result: Any
    batch: bool

    @property
    def unit(self) -> float:
        return _arrays.VALUE_RANGE[self.dst.dtype.name]


def _images(x: Any, name: str, like: DeviceArray | None = None) -> DeviceArray:
    """[N, H, W, C] of the layouts that blends take; torch's have their channels first."""
    a = _cuda.describe(x, name)
    _checks.image_form(a, a.dtype.name, name, (2, 3, 4))
    if _arrays.is_torch(x) and a.ndim > 2:
        order = (*range(a.ndim - 3), -2, -1, -3)
        a = a.reshaped(tuple(a.shape[i] for i in order), tuple(a.strides[i] for i in order))
    a = batch_of(a)
    if a.shape[3] not in (1, 3):
        raise ShapeError(
            f"{name}: shape {list(x.shape)}, expected 1 or 3 channels; alpha is blended on the processor, pass the "
            "colours and a mask"
        )
    if like is not None:
        _checks.same_dtype(a, name, like, "dst")
        if a.shape != like.shape:
            raise ShapeError(
                f"{name}: shape {list(x.shape)} differs from that of dst; on a device all images have one size"
            )
    return a


def frame_of(src: Any, dst: Any, mask: Any, at: Any, out: Any, **beside: Any) -> Frame:
    """The checked arguments of a blend whose arrays are on a device.

    Raises:
        ShapeError, DTypeError, ArgumentError, DeviceError: naming the argument.
    """
    if mask is None:
        raise ArgumentError("mask: None; arrays on a device have no alpha, pass a mask")
    if at is not None and tuple(at) != (0, 0):
        raise ArgumentError(f"at: {at!r}; on a device src lies on dst pixel for pixel, pad it to dst's size")
    place = _cuda.place_of({"dst": dst, "src": src, "mask": mask, "out": out, **beside}, None)
    assert place is not None  # noqa: S101  # some of them are on a device
    target = _images(dst, "dst")
    if reason := unsupported(target.dtype.name, "dst"):
        raise DTypeError(reason)
    source = _images(src, "src", target)
    count, height, width, _ = target.shape
    cover = _cuda.describe(mask, "mask")
    # torch's masks may have their one channel first, others last.
    if cover.ndim > 2 and cover.shape != (count, height, width):
        axis = cover.ndim - 3 if _arrays.is_torch(mask) else cover.ndim - 1
        if cover.shape[axis] == 1:
            keep = [i for i in range(cover.ndim) if i != axis]
            cover = cover.reshaped(tuple(cover.shape[i] for i in keep), tuple(cover.strides[i] for i in keep))
    if cover.shape != (count, height, width):
        _checks.mask_form(cover.shape, cover.dtype.name, "mask", height, width)
    given = _cuda.describe(dst, "dst")
    if out is None:
        out, _ = place.empty(given.shape, given.dtype)
    else:
        into = _cuda.describe(out, "out")
        _checks.same_dtype(into, "out", given, "dst")
        _checks.same_shape(into, "out", given, "dst")
        for other, name in ((source, "src"), (target, "dst"), (cover, "mask")):
            if into.pointer == other.pointer:
                raise ArgumentError(f"out: shares memory with {name}; pass another array")
    return Frame(
        place=place,
        src=place.take(source, "src"),
        dst=target,
        mask=planes_of(place.take(cover, "mask"), count),
        out=_images(out, "out"),
        result=out,
        batch=given.ndim == 4,
    )


def images_like_dst(frame: Frame, x: Any, name: str) -> DeviceArray:
    """Another image in dst's frame."""
    return frame.place.take(_images(x, name, frame.dst), name)


def gaussian_poisson_on_device(
    src: Any,
    dst: Any,
    mask: Any,
    at: Any,
    out: Any,
    base: Any,
    color_weight: Any,
    *,
    sigma: float,
    smooth_sigma: float,
    preserve_background: bool,
    tolerance: float | None,
    coarse_tolerance: Callable[[float], float],
    return_info: bool,
) -> tuple[Any, Any]:
    """`pyharmony.blend.gaussian_poisson` of arrays on a device.

    With preserve_background the box of each mask is read, which waits for the device.
    """
    named = isinstance(base, str)
    frame = frame_of(
        src, dst, mask, at, out, base=None if named else base, color_weight=_checks.map_or_none(color_weight)
    )
    place = frame.place
    levels = _checks.tolerance(tolerance, frame.dst.dtype.name)
    count, height, width, _ = frame.dst.shape
    weight, weight_map, most = weight_on(place, color_weight, count, height, width)
    ground = None if named or base is None else images_like_dst(frame, base, "base")
    if preserve_background:
        boxes = [(slice(i, i + 1), box) for i, box in enumerate(_boxes(frame))]
        place.copy(frame.dst, frame.out)
    else:
        boxes = [(slice(0, count), Region(0, height, 0, width))]
    infos: list[SolveInfo] = []
    for items, box in boxes:
        if box.empty:
            infos.append(SolveInfo("copy", 0, 0.0, 0.0, place.name, 0.0, 0))
            continue
        regions = regions_of(box, (height, width), not preserve_background)
        part = covered_by(regions, (height, width))
        src_part, dst_part, mask_part, out_part = (
            a.cropped(items, part.y0, part.y1, part.x0, part.x1) for a in (frame.src, frame.dst, frame.mask, frame.out)
        )
        base_part, map_part = (
            None if a is None else a.cropped(items, part.y0, part.y1, part.x0, part.x1) for a in (ground, weight_map)
        )
        infos += pyramid(
            place,
            src_part,
            dst_part,
            mask_part,
            base_part,
            map_part,
            out_part,
            PyramidOptions(
                base=base if named else None,
                weight=weight,
                most=most,
                sigma=sigma,
                smooth_sigma=smooth_sigma,
                preserve_background=preserve_background,
                tolerance=levels,
                coarse_tolerance=coarse_tolerance(levels),
                count=len(regions) - 1,
                unit=frame.unit,
                info=return_info,
                certify=return_info,
            ),
        )
    return frame.result, _infos(frame, infos)


def _boxes(frame: Frame) -> list[Region]:
    """Of the pixels above zero of each item's mask."""
    place, mask = frame.place, frame.mask
    memory = place.scratch(16 * mask.shape[0])
    with _cuda.failures("mask"):
        place.module.poisson_box(
            mask.view("mask"), (memory.pointer, memory.nbytes), device=place.device, stream=place.stream
        )
    values = place.fetch(memory).view(np.int32).reshape(-1, 4).tolist()
    return [Region(top, bottom, left, right) for top, left, bottom, right in values]


def poisson_on_device(
    src: Any,
    dst: Any,
    mask: Any,
    at: Any,
    out: Any,
    color_weight: Any,
    *,
    gradients: str,
    tolerance: float | None,
    return_info: bool,
) -> tuple[Any, Any]:
    """`pyharmony.blend.poisson` of arrays on a device."""
    frame = frame_of(src, dst, mask, at, out, color_weight=_checks.map_or_none(color_weight))
    count, height, width, _ = frame.dst.shape
    weight, weight_map, _ = weight_on(frame.place, color_weight, count, height, width)
    infos = solve_images(
        frame.place,
        frame.src,
        frame.dst,
        frame.mask,
        None,
        frame.out,
        gradients=gradients,
        weight=weight,
        weight_map=weight_map,
        levels=_checks.tolerance(tolerance, frame.dst.dtype.name),
        unit=frame.unit,
        certify=return_info,
        read=return_info,
    )
    return frame.result, _infos(frame, infos)


def _infos(frame: Frame, infos: list[SolveInfo]) -> Any:
    if frame.batch or not infos:
        return infos
    return infos[0]


def only_there(gradient_kernel: str, reference: bool) -> str:
    """Why a blend is for the processor alone; empty where it is not."""
    if gradient_kernel != "normal":
        return f"gradient_kernel: {gradient_kernel!r} is for arrays on the processor; CUDA kernels have 'normal'"
    if reference:
        return "reference: True is for arrays on the processor; CUDA kernels do not clip between levels"
    return ""


# ---- crops of what is on the processor -----------------------------------------------------------


def upload(place: Place, image: np.ndarray[Any, Any], name: str) -> DeviceArray:
    """[h, w, C] as [1, h, w, C], or [h, w] as [1, h, w], on the device."""
    return place.take(image[None], name)
