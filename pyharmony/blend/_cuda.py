"""Blends of arrays in the memory of a CUDA device, and the pyramid of `gaussian_poisson` there.

Arrays on a device are blended where they are, and no value is looked at by the processor: src lies on
whole pixels of dst and has no alpha. What comes from the processor has been laid over dst there, as
for any blend, and its crop is copied to the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays, _checks, _cuda
from .._arrays import NumpyArray
from .._checks import SolveInfo
from .._cuda import DeviceArray, Place
from .._images.frame import CHANNELS, Job, position_of, size_of, sizes_differ
from .._images.region import Region, covered_by, regions_of
from ..errors import ArgumentError, DTypeError, MaskError, ShapeError
from ..ops._gaussian_poisson_cuda import DeviceEquation, choose_method, solve
from ..ops._images_cuda import batch_of, planes_of, unsupported, weight_on
from ..ops._poisson_cuda import DeviceHierarchy, most_iterations, solve_images
from ..reference.gaussian_poisson import gaussian_taps

NOTHING_KNOWN = (
    "mask: covers all of dst, and with color_weight 0 nothing fixes the colours; leave pixels at zero or pass "
    "color_weight > 0"
)

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
        src, mask: cut to what lies inside dst; mask None: all of src. Unused where that is empty.
        placed: where that is in dst.
        dst, out: colours.
        result: what the blend returns, out: how kernels see it.
    """

    place: Place
    src: DeviceArray
    dst: DeviceArray
    mask: DeviceArray | None
    placed: Region
    out: DeviceArray
    result: Any
    batch: bool

    @property
    def unit(self) -> float:
        return _arrays.VALUE_RANGE[self.dst.dtype.name]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of dst."""
        return self.dst.shape[1], self.dst.shape[2]

    def over(self, items: slice, region: Region) -> tuple[DeviceArray, DeviceArray]:
        """src and mask of some items over a region of dst, as `Job.src_of` and `Job.mask_of`."""
        inner = self.placed.overlap(region)
        dst = _cut(self.dst, items, region)
        if inner.empty:
            return dst, self._mask_over(items, region, Region(0, 0, 0, 0))
        src = _cut(self.src, items, inner, self.placed)
        if inner != region:
            at = {"device": self.place.device, "stream": self.place.stream}
            _, laid = self.place.empty(dst.shape, _FLOAT)
            self.place.module.pyramid_lay(
                src.view("src"),
                dst.view("dst"),
                inner.y0 - region.y0,
                inner.x0 - region.x0,
                laid.view("src", writable=True),
                **at,
            )
            src = laid
        return src, self._mask_over(items, region, inner)

    def _mask_over(self, items: slice, region: Region, inner: Region) -> DeviceArray:
        mask = None if self.mask is None or inner.empty else _cut(self.mask, items, inner, self.placed)
        if mask is not None and inner == region:
            return mask
        _, laid = self.place.empty((items.stop - items.start, *region.shape), _FLOAT)
        self.place.module.pyramid_lay_mask(
            None if mask is None else mask.view("mask"),
            0 if inner.empty else inner.y0 - region.y0,
            0 if inner.empty else inner.x0 - region.x0,
            *inner.shape,
            laid.view("mask", writable=True),
            device=self.place.device,
            stream=self.place.stream,
        )
        return laid


def _cut(a: DeviceArray, items: slice, region: Region, origin: Region | None = None) -> DeviceArray:
    """Some items over a region of dst, of an array whose first pixel is that of origin, or dst's."""
    y0, x0 = (region.y0, region.x0) if origin is None else (region.y0 - origin.y0, region.x0 - origin.x0)
    return a.cropped(items, y0, y0 + region.shape[0], x0, x0 + region.shape[1])


def _images(x: Any, name: str) -> DeviceArray:
    """[N, H, W, C] of the layouts that blends take; torch's have their channels first."""
    a = given = _cuda.describe(x, name)
    _checks.image_form(a, a.dtype.name, name, (2, 3, 4))
    if _arrays.is_torch(x) and a.ndim > 2:
        order = (*range(a.ndim - 3), -2, -1, -3)
        a = a.reshaped(tuple(a.shape[i] for i in order), tuple(a.strides[i] for i in order))
    a = batch_of(a)
    if a.shape[3] not in CHANNELS:
        raise ShapeError(f"{name}: shape {list(given.shape)}, expected 1, 3 or 4 channels")
    return a


def _channels(a: DeviceArray, first: int, end: int) -> DeviceArray:
    return a.moved(first * a.strides[3], (*a.shape[:3], end - first), a.strides)


def _colours(a: DeviceArray) -> DeviceArray:
    return _channels(a, 0, min(a.shape[3], 3))


def _source(x: Any, target: DeviceArray) -> DeviceArray:
    """src, checked beside dst but for its size."""
    a = _images(x, "src")
    if a.shape[3] == 4:
        raise ShapeError(
            f"src: {a.shape[3]} channels, expected 1 or 3; alpha is blended on the processor, pass the colours and a "
            "mask"
        )
    _checks.same_dtype(a, "src", target, "dst")
    if (a.shape[0], a.shape[3]) != (target.shape[0], min(target.shape[3], 3)):
        raise ShapeError(
            f"src: {a.shape[0]} images of {a.shape[3]} channels beside {target.shape[0]} of "
            f"{min(target.shape[3], 3)} of dst; expected equal numbers, alpha apart"
        )
    return a


def _placed(at: Any, source: DeviceArray, target: DeviceArray) -> tuple[Region, tuple[int, int]]:
    """Where src lies inside dst, and where in dst (y, x) its first pixel is."""
    if at is None:
        if source.shape[1:3] != target.shape[1:3]:
            raise ShapeError(sizes_differ(source.shape[1:3], target.shape[1:3], 1.0))
        at = (0, 0)
    x, y = position_of(at)
    if not (x.is_integer() and y.is_integer()):
        raise ArgumentError(
            f"at: {at!r}, expected whole pixels; a part of a pixel resamples src, which is for arrays on the processor"
        )
    top, left = int(y), int(x)
    inside = Region(top, top + source.shape[1], left, left + source.shape[2]).overlap(
        Region(0, target.shape[1], 0, target.shape[2])
    )
    return (Region(0, 0, 0, 0) if inside.empty else inside), (top, left)


def _mask(x: Any, source: DeviceArray) -> DeviceArray:
    """[H, W] or [N, H, W] over src."""
    count, height, width, _ = source.shape
    cover = _cuda.describe(x, "mask")
    # torch's masks may have their one channel first, others last.
    if cover.ndim > 2 and cover.shape != (count, height, width):
        axis = cover.ndim - 3 if _arrays.is_torch(x) else cover.ndim - 1
        if cover.shape[axis] == 1:
            keep = [i for i in range(cover.ndim) if i != axis]
            cover = cover.reshaped(tuple(cover.shape[i] for i in keep), tuple(cover.strides[i] for i in keep))
    if cover.shape != (count, height, width):
        _checks.mask_form(cover.shape, cover.dtype.name, "mask", height, width)
    return cover


def frame_of(src: Any, dst: Any, mask: Any, at: Any, out: Any, **beside: Any) -> Frame:
    """The checked arguments of a blend whose arrays are on a device.

    Raises:
        ShapeError, DTypeError, ArgumentError, DeviceError: naming the argument.
    """
    place = _cuda.place_of({"dst": dst, "src": src, "mask": mask, "out": out, **beside}, None)
    assert place is not None  # noqa: S101  # some of them are on a device
    target = _images(dst, "dst")
    if reason := unsupported(target.dtype.name, "dst"):
        raise DTypeError(reason)
    source = _source(src, target)
    placed, (top, left) = _placed(at, source, target)
    cover = None if mask is None else _mask(mask, source)
    given = _cuda.describe(dst, "dst")
    if out is None:
        out, _ = place.empty(given.shape, given.dtype)
    else:
        into = _cuda.describe(out, "out")
        _checks.same_dtype(into, "out", given, "dst")
        _checks.same_shape(into, "out", given, "dst")
        for other, name in ((source, "src"), (target, "dst"), (cover, "mask")):
            if other is not None and into.pointer == other.pointer:
                raise ArgumentError(f"out: shares memory with {name}; pass another array")
    result = _images(out, "out")
    source, target = place.take(source, "src"), place.take(target, "dst")
    if target.shape[3] == 4:
        place.copy(_channels(target, 3, 4), _channels(result, 3, 4))
    items = slice(0, target.shape[0])
    if cover is not None:
        cover = planes_of(place.take(cover, "mask"), target.shape[0])
    if not placed.empty:
        first = Region(top, 0, left, 0)
        source = _cut(source, items, placed, first)
        cover = None if cover is None else _cut(cover, items, placed, first)
    return Frame(
        place=place,
        src=source,
        dst=_colours(target),
        mask=cover,
        placed=placed,
        out=_colours(result),
        result=out,
        batch=given.ndim == 4,
    )


def images_like_dst(frame: Frame, x: Any, name: str) -> DeviceArray:
    """Another image in dst's frame, its colours."""
    a = _colours(_images(x, name))
    _checks.same_dtype(a, name, frame.dst, "dst")
    if a.shape != frame.dst.shape:
        raise ShapeError(f"{name}: colours of shape {list(a.shape)}, expected those of dst, {list(frame.dst.shape)}")
    return frame.place.take(a, name)


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
            infos.append(_copied(frame))
            continue
        regions = regions_of(box, (height, width), not preserve_background)
        part = covered_by(regions, (height, width))
        src_part, mask_part = frame.over(items, part)
        dst_part, out_part = (_cut(a, items, part) for a in (frame.dst, frame.out))
        base_part, map_part = (None if a is None else _cut(a, items, part) for a in (ground, weight_map))
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


def _copied(frame: Frame) -> SolveInfo:
    outside = f"the object lies outside dst ({size_of(frame.shape)})"
    reason = outside if frame.placed.empty else "mask is zero everywhere in dst"
    return SolveInfo("copy", 0, 0.0, 0.0, frame.place.name, 0.0, 0, reason)


def _boxes(frame: Frame) -> list[Region]:
    """In dst, of the pixels above zero of each item's mask."""
    place, mask, placed = frame.place, frame.mask, frame.placed
    if mask is None or placed.empty:
        return [placed] * frame.dst.shape[0]
    memory = place.scratch(16 * mask.shape[0])
    with _cuda.failures("mask"):
        place.module.poisson_box(
            mask.view("mask"), (memory.pointer, memory.nbytes), device=place.device, stream=place.stream
        )
    values = place.fetch(memory).view(np.int32).reshape(-1, 4).tolist()
    return [
        Region(top + placed.y0, bottom + placed.y0, left + placed.x0, right + placed.x0)
        for top, left, bottom, right in values
    ]


def poisson_on_device(
    src: Any,
    dst: Any,
    mask: Any,
    at: Any,
    out: Any,
    color_weight: Any,
    *,
    gradients: str,
    contour: str,
    tolerance: float | None,
    return_info: bool,
) -> tuple[Any, Any]:
    """`pyharmony.blend.poisson` of arrays on a device."""
    frame = frame_of(src, dst, mask, at, out, color_weight=_checks.map_or_none(color_weight))
    count, height, width, _ = frame.dst.shape
    weight, weight_map, _ = weight_on(frame.place, color_weight, count, height, width)
    place, items = frame.place, slice(0, count)
    if frame.mask is None and frame.placed.shape == frame.shape and weight == 0 and weight_map is None:
        raise MaskError(NOTHING_KNOWN)
    # Around src there is nothing to solve for.
    part = frame.placed.expand(1, frame.shape)
    if frame.placed.empty or part.shape != frame.shape:
        place.copy(frame.dst, frame.out)
    if frame.placed.empty:
        return frame.result, _infos(frame, [_copied(frame)] * count)
    src_part, mask_part = frame.over(items, part)
    infos = solve_images(
        place,
        src_part,
        _cut(frame.dst, items, part),
        mask_part,
        None,
        _cut(frame.out, items, part),
        gradients=gradients,
        contour=contour,
        weight=weight,
        weight_map=None if weight_map is None else _cut(weight_map, items, part),
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


def takes(place: Place, job: Job, against: str = "") -> bool:
    """Whether CUDA kernels take this; where they do not and the caller named the device, an error.

    against: another reason why they do not.
    """
    reason = unsupported(job.dst.dtype.name, "dst") or against
    if reason and place.required:
        raise ArgumentError(reason)
    return not reason


def crops(
    place: Place, job: Job, region: Region, mask: NumpyArray
) -> tuple[DeviceArray, DeviceArray, DeviceArray, DeviceArray]:
    """src, dst and mask over a region of dst, copied to the device, and memory for the result."""
    dst = upload(place, job.dst_of(region), "dst")
    _, out = place.empty(dst.shape, dst.dtype)
    return upload(place, job.src_of(region), "src"), dst, upload(place, mask, "mask"), out


def upload(place: Place, image: NumpyArray, name: str) -> DeviceArray:
    """[h, w, C] as [1, h, w, C], or [h, w] as [1, h, w], on the device."""
    return place.take(image[None], name)
