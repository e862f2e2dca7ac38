"""The frame and job of a blend whose arrays are in the memory of a CUDA device.

The arrays are blended on the device, and their values are not read: src is at whole pixels of dst and has no alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import _checks, _cuda
from .._arrays import VALUE_RANGE, is_torch
from .._checks import SolveInfo
from .._cuda import DeviceArray, Place
from ..errors import ArgumentError, DTypeError, Reason, ShapeError
from ..ops.images_cuda import planes_of, unsupported, weight_on
from ..ops.pyramid import lay, lay_mask, limit
from .frame import AnyFrame, Crop, Infos, Solve, WeightMap, layout, positions_of, size_of, sizes_differ
from .region import Region, to_border


class DeviceFrame(AnyFrame):
    """A `Frame` of arrays on a device; beside contains the other arrays of the call."""

    name = "dst"

    def __init__(self, src: Any, dst: Any, mask: Any, at: Any, out: Any, beside: dict[str, Any]) -> None:
        place = _cuda.place_of({"dst": dst, "src": src, "mask": mask, "out": out, **beside}, None)
        assert place is not None  # noqa: S101  # some images are on a device
        self.place: Place = place
        target, self.batch = layout(dst, "dst")
        if reason := unsupported(target.dtype.name, "dst"):
            raise DTypeError(reason)
        source = _source(src, target)
        self.src_region, corner = _placed(at, source, target)
        source_mask = None if mask is None else _mask(mask, source)
        dst_array = _cuda.describe(dst, "dst")
        self.result = self._take_out(out, dst_array, {"src": source, "dst": target, "mask": source_mask})
        result = place.take(layout(self.result, "out")[0], "out")
        source, target = place.take(source, "src"), place.take(target, "dst")
        if target.shape[3] == 4:
            place.copy(_channels(target, 3, 4), _channels(result, 3, 4))
        self.count = target.shape[0]
        self.dst, self.out, self.src, self.mask = _colours(target), _colours(result), source, None
        if source_mask is not None:
            self.mask = planes_of(place.take(source_mask, "mask"), self.count)
        if not self.src_region.empty:
            self.src = self.src_region.of(source, corner)
            self.mask = None if self.mask is None else self.src_region.of(self.mask, corner)
        self._has_copy = False

    def _take_out(self, out: Any, like: DeviceArray, inputs: dict[str, DeviceArray | None]) -> Any:
        if out is None:
            return self.place.result(like.shape, like.dtype)[0]
        into = _cuda.describe(out, "out")
        _checks.same_dtype(into, "out", like, "dst")
        _checks.same_shape(into, "out", like, "dst")
        for name, other in inputs.items():
            if other is not None and into.pointer == other.pointer:
                raise ArgumentError(f"out: shares memory with {name}; pass another array")
        return out

    def keep_apart(self, other: Any, name: str) -> None:
        """Does nothing: on a device, out may overlap an image other than dst."""

    def color_weight(self, x: Any) -> float | WeightMap:
        """Returns color_weight over dst; the call waits for the device to read the range of a map."""
        least, values, most = weight_on(self.place, x, self.count, *self.shape)
        return least if values is None else WeightMap(values, least, most)

    def images_like_dst(self, x: Any, name: str) -> Any:
        """Returns the colours of another image in dst's frame, as a sequence that is indexed by `DeviceJob.item`."""
        a = _colours(layout(x, name)[0])
        _checks.same_dtype(a, name, self.dst, "dst")
        if a.shape != self.dst.shape:
            raise ShapeError(f"{name}: colours of shape {list(a.shape)}, expected {list(self.dst.shape)}, that of dst")
        return _Items(self.place.take(a, name))

    def start(self) -> None:
        """Copies dst into out."""
        if not self._has_copy:
            self.place.copy(self.dst, self.out)
            self._has_copy = True

    def jobs(self, boxes: bool) -> Iterator[DeviceJob]:
        """Yields a job per item with the box of its mask, for which it waits for the device, or one job for all."""
        if boxes:
            for i, box in enumerate(self._boxes()):
                yield DeviceJob(self, slice(i, i + 1), box, boxed=True)
        else:
            yield DeviceJob(self, slice(0, self.count), self.src_region, boxed=False)

    def each(self, blend: Callable[[Any], Infos], *, boxes: bool = True) -> Infos:
        """Runs a blend on each item, or on all at once if it does not need boxes, and returns their infos."""
        return [info for job in self.jobs(boxes) for info in blend(job)]

    def _boxes(self) -> list[Region]:
        """Returns, for each item, the box in dst around the pixels of its mask above zero."""
        mask, src_region = self.mask, self.src_region
        if mask is None or src_region.empty:
            return [src_region] * self.count
        memory = self.place.scratch(16 * mask.shape[0])
        with _cuda.failures("mask"):
            self.place.module.poisson_box(
                mask.view("mask"), (memory.pointer, memory.nbytes), device=self.place.device, stream=self.place.stream
            )
        whole = "a blend of the whole rectangle, such as with preserve_background=False, needs none"
        values = self.place.fetch(memory, "the box of mask", whole).view(np.int32).reshape(-1, 4).tolist()
        return [Region(top, bottom, left, right).moved(*src_region.origin) for top, left, bottom, right in values]


class _Items:
    """A batch of images that a job indexes with its items."""

    def __init__(self, images: DeviceArray) -> None:
        self._images = images

    def __getitem__(self, items: slice) -> DeviceArray:
        return self._images.items(items)


@dataclass
class DeviceJob:
    """A `Job` for one item of a batch on a device, or for all of them."""

    frame: DeviceFrame
    item: slice
    bbox: Region  # the box around the pixels of the mask above zero if boxed is True; else the region of src in dst
    boxed: bool
    strips: bool = False  # whether strips between the mask and dst's border count as inside; see `to_border`

    @property
    def soft(self) -> bool:
        """Whether a pixel of the mask may be neither zero nor fully inside; values on a device are not read."""
        return True

    @property
    def shape(self) -> tuple[int, int]:
        return self.frame.shape

    def unchanged(self) -> Infos:
        """Makes the result a copy of dst."""
        self.frame.start()
        if self.frame.src_region.empty:
            size = size_of(self.shape)
            reason = Reason("outside", f"the object lies outside dst ({size})", image="dst", size=size)
        else:
            reason = Reason("mask-empty-there", "mask is zero everywhere in dst", mask="mask", image="dst")
        info = SolveInfo("copy", 0, 0.0, 0.0, self.frame.place.name, 0.0, 0, reason)
        return [info] * (self.item.stop - self.item.start)

    def to_border(self) -> DeviceJob:
        """Returns this job with the strips of `close_strips` inside its mask."""
        return replace(self, bbox=to_border(self.bbox, self.shape), strips=True)

    def covered(self, mask: DeviceArray) -> bool:
        """Returns whether the object certainly covers dst, without reading a mask."""
        return not self.boxed and self.frame.mask is None and self.frame.src_region.shape == self.shape

    def check_finite(self, region: Region, mask: DeviceArray | None = None, *, hide: bool = False) -> None:
        """Does nothing: values on a device are not read."""

    def warn_of_erased(self, *, hard: bool = True) -> None:
        """Does nothing: values on a device are not read."""

    def warn_of_flooded(self) -> None:
        """Does nothing: values on a device are not read."""

    def mask_of(self, region: Region) -> DeviceArray:
        """Returns the mask over a region of dst."""
        frame, inner = self.frame, self.frame.src_region.overlap(region)
        mask, (height, width) = None, self.shape
        ends = region.y0 == 0, region.y1 == height, region.x0 == 0, region.x1 == width
        at_border = ends if self.strips else ()
        if frame.mask is not None and not inner.empty:
            mask = inner.of(frame.mask.items(self.item), frame.src_region.origin)
            if inner == region and not any(at_border):
                return mask
        corner = (0, 0) if inner.empty else (inner.y0 - region.y0, inner.x0 - region.x0)
        shape = self.item.stop - self.item.start, *region.shape
        whole = region.shape == self.shape
        return lay_mask(frame.place, mask, shape, corner, inner.shape, at_border, whole=whole)

    def _src_of(self, region: Region) -> DeviceArray:
        """Returns src over a region of dst, as `Job.src_of` does."""
        frame, inner = self.frame, self.frame.src_region.overlap(region)
        dst = region.of(frame.dst.items(self.item))
        if inner.empty:
            return dst
        src = inner.of(frame.src.items(self.item), frame.src_region.origin)
        if inner == region:
            return src
        return lay(frame.place, src, dst, (inner.y0 - region.y0, inner.x0 - region.x0))

    def crop(
        self,
        region: Region,
        mask: DeviceArray,
        weight: float | WeightMap = 0.0,
        base: DeviceArray | None = None,
        *,
        monochrome: bool = False,
        hide: bool = False,
    ) -> Crop:
        """Returns the inputs of a solve over a region; see `Job.crop`."""
        frame = self.frame
        if isinstance(weight, WeightMap):
            weight = replace(weight, values=region.of(weight.values.items(self.item)))
        with _cuda.failures("src"):
            src = self._src_of(region)
        return Crop(
            place=frame.place,
            region=region,
            src=src,
            dst=region.of(frame.dst.items(self.item)),
            mask=mask,
            base=None if base is None else region.of(base),
            weight=weight,
            target=lambda part: part.of(frame.out.items(self.item)),
            unit=VALUE_RANGE[frame.dtype],
        )

    def solved(self, crop: Crop, solve: Solve, *, name: str, everywhere: bool = False, only_on_cpu: str = "") -> Infos:
        """Solves over a crop; see `Job.solved`."""
        if only_on_cpu:
            raise ArgumentError(only_on_cpu)
        if self.boxed or crop.region.shape != self.shape:
            self.frame.start()
        frame = self.frame
        soft = not everywhere and frame.mask is not None and frame.mask.dtype != np.bool_
        with _cuda.failures(name):
            infos = solve(crop)
            if soft:
                limit(frame.place, crop.src, crop.dst, crop.mask, crop.target(crop.region))
            return infos


def has_alpha(dst: Any, keep_alpha: bool) -> bool:
    """Returns whether an image on a device is transparent anywhere, for which it waits for the device.

    keep_alpha: whether only an alpha of zero counts, where the image is unknown.
    """
    target, _ = layout(dst, "dst")
    if target.shape[3] != 4:
        return False
    place = _cuda.place_of({"dst": dst}, None)
    assert place is not None  # noqa: S101  # the image is on a device
    alpha = place.fetch(_channels(place.take(target, "dst"), 3, 4), "the alpha of dst", "pass images without alpha")
    return not ((alpha > 0) if keep_alpha else (alpha >= VALUE_RANGE[alpha.dtype.name])).all()


def _channels(a: DeviceArray, first: int, end: int) -> DeviceArray:
    return a.moved(first * a.strides[3], (*a.shape[:3], end - first), a.strides)


def _colours(a: DeviceArray) -> DeviceArray:
    return _channels(a, 0, min(a.shape[3], 3))


def _source(x: Any, target: DeviceArray) -> DeviceArray:
    """Returns src [N, h, w, C], checked against dst except for height and width."""
    a, _ = layout(x, "src")
    if a.shape[3] == 4:
        raise ShapeError(
            f"src: {a.shape[3]} channels, expected 1 or 3; alpha is for the CPU, pass the colours and a mask"
        )
    _checks.same_dtype(a, "src", target, "dst")
    if (a.shape[0], a.shape[3]) != (target.shape[0], min(target.shape[3], 3)):
        raise ShapeError(
            f"src: {a.shape[0]} images of {a.shape[3]} channels, but dst has {target.shape[0]} of "
            f"{min(target.shape[3], 3)}; expected equal numbers, not counting alpha"
        )
    return a


def _placed(at: Any, source: DeviceArray, target: DeviceArray) -> tuple[Region, tuple[int, int]]:
    """Returns the region of src inside dst, and the position (y, x) of its first pixel in dst."""
    if at is None:
        if source.shape[1:3] != target.shape[1:3]:
            raise sizes_differ(source.shape[1:3], target.shape[1:3], 1.0)
        at = (0, 0)
    positions = set(positions_of(at, target.shape[0], True))
    if len(positions) > 1:
        raise ArgumentError("at: one position for each item is supported on the CPU only; pass dst as a list of images")
    ((x, y),) = positions
    if not (x.is_integer() and y.is_integer()):
        raise ArgumentError(
            f"at: {at!r}, expected whole pixels; fractions resample src, which is supported on the CPU only"
        )
    corner = int(y), int(x)
    inside = Region.whole(source.shape[1:]).moved(*corner).overlap(Region.whole(target.shape[1:]))
    return inside, corner


def _mask(x: Any, source: DeviceArray) -> DeviceArray:
    """Returns a mask [H, W] or [N, H, W] over src, checked and without an axis for its one channel."""
    count, height, width, _ = source.shape
    array = _cuda.describe(x, "mask")
    # A torch mask may have its channel axis first, any other mask last.
    if array.ndim > 2 and array.shape != (count, height, width):
        axis = array.ndim - 3 if is_torch(x) else array.ndim - 1
        if array.shape[axis] == 1:
            keep = [i for i in range(array.ndim) if i != axis]
            array = array.reshaped(tuple(array.shape[i] for i in keep), tuple(array.strides[i] for i in keep))
    if array.shape != (count, height, width):
        _checks.mask_form(array.shape, array.dtype.name, "mask", height, width)
    return array
